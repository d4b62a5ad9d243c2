//! Share links (pds-api.md 15): who has the link, and its password, may look into some files of a drive.
//!
//! A request with a share token names its files by `share_id` instead of `drive_id`. [`admit`] looks at every id
//! in it before a handler does; what it lets through is then done as if the drive's owner had asked, so
//! handlers know nothing of shares. Routes that name files in other ways are not open to shares.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value, json};

use super::Service;
use super::clock::iso;
use super::entry;
use super::reply::{ApiError, ApiResult};
use super::upload;

/// Purpose of a sealed share token.
const PURPOSE: &str = "share";
/// Settings that are kept as they come: true or false.
pub const FLAGS: &[&str] =
    &["disable_preview", "disable_save", "disable_download", "require_login", "creatable", "office_editable"];
/// Settings that are kept as they come: numbers, 0 for no limit.
pub const LIMITS: &[&str] = &["preview_limit", "save_limit", "download_limit"];

/// A share link.
#[derive(Clone, Debug)]
pub struct Share {
    /// `share_id`, 11 letters and digits.
    pub id: String,
    /// The drive of its files.
    pub drive: i64,
    /// The user who made it.
    pub user: String,
    /// May be empty.
    pub name: String,
    /// May be empty.
    pub description: String,
    /// Empty for none.
    pub password: String,
    /// Milliseconds since 1970; `None` for never.
    pub expires_at: Option<i64>,
    /// What it opens; `None` for the whole drive.
    pub files: Option<Vec<String>>,
    /// [`FLAGS`] and [`LIMITS`].
    pub settings: Map<String, Value>,
    /// Disabled links open nothing.
    pub enabled: bool,
    /// How often files were downloaded by it.
    pub downloads: i64,
    /// How often a token was given for it.
    pub visits: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

const COLUMNS: &str = "id, drive, user, name, description, password, expires_at, files_json, settings_json, enabled, \
     downloads, visits, created_at, updated_at";

impl Share {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Share> {
        let (files, settings): (Option<String>, String) = (row.get(7)?, row.get(8)?);
        Ok(Share {
            id: row.get(0)?,
            drive: row.get(1)?,
            user: row.get(2)?,
            name: row.get(3)?,
            description: row.get(4)?,
            password: row.get(5)?,
            expires_at: row.get(6)?,
            // What cannot be read opens nothing.
            files: files.map(|files| serde_json::from_str(&files).unwrap_or_default()),
            settings: serde_json::from_str(&settings).unwrap_or_default(),
            enabled: row.get(9)?,
            downloads: row.get(10)?,
            visits: row.get(11)?,
            created_at: row.get(12)?,
            updated_at: row.get(13)?,
        })
    }

    /// Inserts it, or replaces what is known of it.
    pub fn save(&self, c: &Connection) -> ApiResult<()> {
        let sql = format!(
            "INSERT OR REPLACE INTO share ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
        );
        c.prepare_cached(&sql)?.execute(params![
            self.id,
            self.drive,
            self.user,
            self.name,
            self.description,
            self.password,
            self.expires_at,
            self.files.as_ref().map(|files| json!(files).to_string()),
            entry::to_json(&self.settings),
            self.enabled,
            self.downloads,
            self.visits,
            self.created_at,
            self.updated_at,
        ])?;
        Ok(())
    }

    fn is_on(&self, setting: &str) -> bool {
        self.settings.get(setting).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether it opens anything now.
    ///
    /// # Errors
    /// `ShareLink.Expired`, or `ForbiddenNoPermission.ShareLink` for one that is disabled.
    pub fn require_good(&self, now_ms: i64) -> ApiResult<()> {
        if self.expires_at.is_some_and(|at| at <= now_ms) {
            return Err(ApiError::new(403, "ShareLink.Expired", "The share link has expired."));
        }
        if self.enabled { Ok(()) } else { Err(ApiError::forbidden("ShareLink")) }
    }

    /// As the service shows it to whom it belongs.
    pub fn describe(&self, service: &Service) -> Value {
        let mut share = self.settings.clone();
        for flag in FLAGS {
            share.entry(*flag).or_insert(false.into());
        }
        for limit in LIMITS {
            share.entry(*limit).or_insert(0.into());
        }
        let expired = self.expires_at.is_some_and(|at| at <= service.clock.now_ms());
        let more = json!({
            "share_id": self.id,
            "domain_id": service.domain_id(),
            "drive_id": self.drive.to_string(),
            "file_id_list": self.files,
            "share_all_files": self.files.is_none(),
            "share_name": self.name,
            "share_pwd": self.password,
            "description": self.description,
            "expiration": self.expires_at.map_or(String::new(), iso),
            "expired": expired,
            "status": if self.enabled { "enabled" } else { "disabled" },
            "creator": self.user,
            "access_count": self.visits,
            "preview_count": 0,
            "save_count": 0,
            "download_count": self.downloads,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        });
        if let Value::Object(more) = more {
            share.extend(more);
        }
        Value::Object(share)
    }
}

/// The share with this id, or `NotFound.ShareLink`.
pub fn get(c: &Connection, id: &str) -> ApiResult<Share> {
    let sql = format!("SELECT {COLUMNS} FROM share WHERE id = ?1");
    let found = c.prepare_cached(&sql)?.query_row([id], Share::from_row).optional()?;
    found.ok_or_else(|| ApiError::not_found("ShareLink"))
}

/// Shares of a user after one of them, in the order of ids.
pub fn of_user(c: &Connection, user: &str, after: &str, limit: u64) -> ApiResult<Vec<Share>> {
    let sql = format!("SELECT {COLUMNS} FROM share WHERE user = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params![user, after, limit.cast_signed()], Share::from_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A token for a share that lives so long.
pub fn token(service: &Service, share: &Share, secs: i64) -> String {
    service.signer.seal(PURPOSE, &format!("{} {}", share.id, service.clock.now_secs().saturating_add(secs)))
}

/// The share of a token and of the `share_id` beside it.
pub fn of_token(service: &Service, c: &Connection, token: &str, id: &str) -> ApiResult<Share> {
    let invalid =
        |why: &str| ApiError::new(401, "ShareLinkTokenInvalid", format!("ShareLinkToken is invalid. {why}"));
    let text = service.signer.unseal(PURPOSE, token).ok_or_else(|| invalid("not good"))?;
    let (named, ends) = text.split_once(' ').ok_or_else(|| invalid("not good"))?;
    if named != id {
        return Err(invalid("of another share"));
    }
    if ends.parse().is_ok_and(|ends: i64| service.clock.now_secs() < ends) {
        get(c, id).map_err(|_| invalid("canceled"))
    } else {
        Err(invalid("expired"))
    }
}

/// What a request with a share may do.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Let the handler of the route do it.
    Go,
    /// List what is shared.
    ListShared(Vec<String>),
}

/// Checks a request with a share: its route, and every id in its body.
pub fn admit(
    service: &Service,
    c: &Connection,
    share: &Share,
    route: &str,
    body: &Map<String, Value>,
) -> ApiResult<Admitted> {
    share.require_good(service.clock.now_ms())?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    match route {
        "/v2/file/get" => require_within(c, share, text("file_id"))?,
        "/v2/file/list" => match (&share.files, text("parent_file_id")) {
            (Some(files), "root") => return Ok(Admitted::ListShared(files.clone())),
            (_, folder) => require_within(c, share, folder)?,
        },
        "/v2/file/get_download_url" => {
            require_within(c, share, text("file_id"))?;
            let limit = share.settings.get("download_limit").and_then(Value::as_i64).unwrap_or(0);
            if share.is_on("disable_download") || (limit > 0 && share.downloads >= limit) {
                return Err(ApiError::forbidden("ShareLink"));
            }
        }
        "/v2/file/create" if share.is_on("creatable") => {
            if !text("file_id").is_empty() {
                return Err(ApiError::forbidden("File"));
            }
            require_within(c, share, text("parent_file_id"))?;
        }
        "/v2/file/get_upload_url" | "/v2/file/list_uploaded_parts" | "/v2/file/complete"
            if share.is_on("creatable") =>
        {
            let upload = upload::find(c, service, text("upload_id"))?;
            let upload = upload.filter(|upload| upload.overwrites.is_none());
            let upload = upload.ok_or_else(|| ApiError::not_found("UploadId"))?;
            let folder = entry::by_seq(c, upload.parent)?;
            if upload.drive != share.drive {
                return Err(ApiError::forbidden("File"));
            }
            require_within(c, share, &folder.file_id)?;
        }
        _ => return Err(ApiError::forbidden("ShareLink")),
    }
    Ok(Admitted::Go)
}

/// Whether addresses of bytes may be in an answer.
pub fn hides_urls(share: &Share) -> bool {
    share.is_on("disable_download")
        || share.settings.get("download_limit").and_then(Value::as_i64).unwrap_or(0) > 0
}

fn require_within(c: &Connection, share: &Share, id: &str) -> ApiResult<()> {
    let Some(files) = &share.files else { return Ok(()) };
    let entry = entry::live(c, share.drive, id).map_err(|_| ApiError::not_found("FileId"))?;
    for shared in files {
        if let Some(shared) = entry::find(c, share.drive, shared)?
            && entry::is_within(c, entry.seq, shared.seq)?
        {
            return Ok(());
        }
    }
    Err(ApiError::forbidden("File"))
}
