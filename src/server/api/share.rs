//! Share links: making and managing them, and what whoever has one may ask (pds-api.md 15).

use serde_json::{Map, Value, json};

use super::super::account::{self, Caller, Role};
use super::super::entry;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::share::{self, Admitted, FLAGS, LIMITS, Share};
use super::super::view;
use super::Endpoint;
use super::call::Call;
use super::read::fields;

/// The longest and the usual life of a share token in seconds.
const TOKEN_SECS: u64 = 7200;
const MAX_FILES: usize = 100;
const MAX_NAME_CHARS: usize = 128;
const MAX_PASSWORD_BYTES: usize = 64;

/// `share_link/create`.
pub fn create(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, now) = (call.drive()?, service.clock.now_ms());
    let files: Option<Vec<String>> =
        args.array("file_id_list")?.iter().map(|id| id.as_str().map(str::to_owned)).collect();
    let files = files.ok_or_else(|| ApiError::invalid("file_id_list", "It has strings."))?;
    let files = match args.flag("share_all_files")? {
        true => None,
        false if files.is_empty() => return Err(ApiError::missing("file_id_list")),
        false if files.len() > MAX_FILES => {
            return Err(ApiError::invalid("file_id_list", "It has at most 100 entries."));
        }
        false => Some(files),
    };
    let id = super::super::hash::upper_hex(&super::super::random(6)?)[..11].to_owned();
    let mut share = Share {
        id,
        drive,
        user: service.drives.owner(drive),
        name: String::new(),
        description: String::new(),
        password: String::new(),
        expires_at: None,
        files,
        settings: Map::new(),
        enabled: true,
        downloads: 0,
        visits: 0,
        created_at: now,
        updated_at: now,
    };
    change(call, &mut share)?;
    let saved = share.clone();
    service.store.write(move |c| {
        for id in saved.files.iter().flatten() {
            entry::live(c, drive, id)?;
        }
        saved.save(c)
    })?;
    Ok(Reply::created(share.describe(service)))
}

/// Takes over what a request says about a share.
fn change(call: &Call, share: &mut Share) -> ApiResult<()> {
    let args = &call.args;
    if let Some(name) = args.text("share_name")? {
        if name.chars().count() > MAX_NAME_CHARS {
            return Err(ApiError::invalid("share_name", "It has more than 128 characters."));
        }
        share.name = name.to_owned();
    }
    if let Some(text) = args.text("description")? {
        if text.chars().count() > 1024 {
            return Err(ApiError::invalid("description", "It has more than 1024 characters."));
        }
        share.description = text.to_owned();
    }
    if let Some(password) = args.text("share_pwd")? {
        if password.len() > MAX_PASSWORD_BYTES || !password.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ApiError::invalid("share_pwd", "It has at most 64 visible characters of ASCII."));
        }
        share.password = password.to_owned();
    }
    if let Some(text) = args.text("expiration")? {
        let at = (!text.is_empty()).then(|| text.parse::<jiff::Timestamp>()).transpose();
        let at = at.map_err(|_| ApiError::invalid("expiration", "It is a time, or empty for never."))?;
        share.expires_at = at.map(|at| at.as_millisecond());
    }
    for flag in FLAGS {
        if args.value(flag).is_some() {
            share.settings.insert((*flag).to_owned(), args.flag(flag)?.into());
        }
    }
    for limit in LIMITS {
        if let Some(number) = args.number(limit)? {
            share.settings.insert((*limit).to_owned(), number.into());
        }
    }
    match args.text("status")? {
        None | Some("") => {}
        Some("enabled") => share.enabled = true,
        Some("disabled") => share.enabled = false,
        Some(_) => return Err(ApiError::invalid("status", "It is enabled or disabled.")),
    }
    Ok(())
}

/// The share of a request, which belongs to the caller.
fn own(call: &Call) -> ApiResult<Share> {
    let id = call.args.required("share_id")?;
    let share = call.service.store.read(|c| share::get(c, id))?;
    match call.caller.is_admin() || share.user == call.caller.user_id {
        true => Ok(share),
        false => Err(ApiError::forbidden("ShareLink")),
    }
}

/// `share_link/get`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    Ok(Reply::ok(own(call)?.describe(&call.service)))
}

/// `share_link/list`: those of the caller.
pub fn list(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (user, limit) = (call.user_id()?, args.limit(50, 100)?);
    let after = args.text("marker")?.unwrap_or_default();
    let mut shares = service.store.read(|c| share::of_user(c, &user, after, limit + 1))?;
    let more = shares.len() as u64 > limit;
    shares.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = shares.last().filter(|_| more).map_or(String::new(), |last| last.id.clone());
    let items: Vec<Value> = shares.iter().map(|share| share.describe(service)).collect();
    Ok(Reply::ok(json!({"items": items, "next_marker": next})))
}

/// `share_link/update`.
pub fn update(call: &Call) -> ApiResult<Reply> {
    let mut share = own(call)?;
    change(call, &mut share)?;
    share.updated_at = call.service.clock.now_ms();
    let reply = share.describe(&call.service);
    call.service.store.write(move |c| {
        // Canceled meanwhile: it stays so. Counts go on as they are.
        let now = share::get(c, &share.id)?;
        Share { downloads: now.downloads, visits: now.visits, ..share }.save(c)
    })?;
    Ok(Reply::ok(reply))
}

/// `share_link/cancel`.
pub fn cancel(call: &Call) -> ApiResult<Reply> {
    let share = own(call)?;
    call.service.store.write(move |c| {
        c.prepare_cached("DELETE FROM share WHERE id = ?1")?.execute([&share.id])?;
        Ok(())
    })?;
    Ok(Reply::empty())
}

/// `share_link/get_by_anonymous`: what everyone with the link may know.
pub fn get_by_anonymous(call: &Call) -> ApiResult<Reply> {
    let id = call.args.required("share_id")?;
    let share = call.service.store.read(|c| share::get(c, id))?;
    share.require_good(call.service.clock.now_ms())?;
    let whole = share.describe(&call.service);
    let mut public = Map::new();
    for key in FLAGS.iter().chain(&[
        "share_id",
        "domain_id",
        "share_name",
        "expiration",
        "expired",
        "status",
        "access_count",
        "created_at",
        "updated_at",
    ]) {
        public.insert((*key).to_owned(), whole[*key].clone());
    }
    let first = share.user.chars().next().map(String::from).unwrap_or_default();
    public.insert("creator_name".into(), format!("{first}***").into());
    public.insert("has_pwd".into(), (!share.password.is_empty()).into());
    public.insert("file_count".into(), share.files.as_ref().map_or(0, Vec::len).into());
    Ok(Reply::ok(Value::Object(public)))
}

/// `share_link/get_share_token`.
pub fn get_share_token(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let id = args.required("share_id")?;
    let secs = match args.number("expire_sec")? {
        None | Some(0) => TOKEN_SECS,
        Some(secs) if secs <= TOKEN_SECS => secs,
        Some(_) => return Err(ApiError::invalid("expire_sec", "It is 1 to 7200.")),
    };
    let now = service.clock.now_secs();
    if !service.guesses.may_try(now) {
        return Err(ApiError::new(429, "TooManyRequests", "Too many wrong passwords. Wait a minute."));
    }
    let share = service.store.read(|c| share::get(c, id))?;
    share.require_good(service.clock.now_ms())?;
    let sent = args.text("share_pwd")?.unwrap_or_default();
    if !share.password.is_empty() && !account::same(share.password.as_bytes(), sent.as_bytes()) {
        service.guesses.wrong(now);
        return Err(ApiError::new(
            400,
            "InvalidResource.SharePwd",
            "The password of the share is not right.",
        ));
    }
    let token = share::token(service, &share, secs.cast_signed());
    service.store.write(move |c| {
        c.prepare_cached("UPDATE share SET visits = visits + 1 WHERE id = ?1")?.execute([&share.id])?;
        Ok(())
    })?;
    Ok(Reply::ok(json!({"share_token": token, "expires_in": secs})))
}

/// A call of someone with a share token: done as if the drive's owner asked, if the share allows it.
pub fn visit(mut call: Call, path: &str, token: &str, endpoint: Endpoint) -> ApiResult<Reply> {
    let service = call.service.clone();
    let id = call.args.required("share_id")?.to_owned();
    let (share, admitted) = service.store.read(|c| {
        let share = share::of_token(&service, c, token, &id)?;
        if share.settings.get("require_login") == Some(&Value::Bool(true))
            && call.caller == Caller::anonymous()
        {
            return Err(ApiError::token());
        }
        let admitted = share::admit(&service, c, &share, path, call.args.fields())?;
        Ok((share, admitted))
    })?;
    call.caller = Caller { user_id: service.drives.owner(share.drive), role: Role::User };
    call.args.set("drive_id", share.drive.to_string().into());
    let mut reply = match admitted {
        Admitted::Go => endpoint(&call)?,
        Admitted::ListShared(files) => list_shared(&call, share.drive, &files)?,
    };
    if path == "/v2/file/get_download_url" {
        let id = share.id.clone();
        service.store.write(move |c| {
            c.prepare_cached("UPDATE share SET downloads = downloads + 1 WHERE id = ?1")?.execute([&id])?;
            Ok(())
        })?;
    } else if share::hides_urls(&share)
        && let Some(body) = &mut reply.body
    {
        hide_urls(body);
        body.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(hide_urls);
    }
    Ok(reply)
}

/// Takes out where the bytes of a File are; what an upload needs stays.
fn hide_urls(file: &mut Value) {
    if let Some(file) = file.as_object_mut() {
        file.retain(|key, _| !["url", "download_url", "thumbnail"].contains(&key.as_str()));
    }
}

/// The list of a share's own files, as the root of the share shows them. One page: there are 100 at most.
pub fn list_shared(call: &Call, drive: i64, files: &[String]) -> ApiResult<Reply> {
    let fields = fields(&call.args)?;
    call.service.store.read(|c| {
        let mut items = Vec::new();
        for id in files {
            // What is in the bin or gone is not shown.
            if let Ok(entry) = entry::live(c, drive, id) {
                let mut file = view::file(&call.service, c, &entry, fields)?;
                file["parent_file_id"] = "root".into();
                items.push(file);
            }
        }
        Ok(Reply::ok(json!({"items": items, "next_marker": ""})))
    })
}
