//! Tokens (pds-api.md 6.1, 6.2, 6.4): by code, by refresh token, by assertion.

use serde_json::{Value, json};

use super::super::Service;
use super::super::account::register::App;
use super::super::account::session::{self, Issue, Tokens};
use super::super::account::{self, Caller, DriveFacts, Role, User};
use super::super::clock::iso;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::call::Call;

/// `oauth/token`.
pub fn token(call: &Call) -> ApiResult<Reply> {
    let app = app(call, "client_id")?;
    check_secret(call, app)?;
    grant(call, app)
}

/// `account/token`: refreshing, with an `app_id` and without a secret.
pub fn account_token(call: &Call) -> ApiResult<Reply> {
    let app = app(call, "app_id")?;
    match call.args.required("grant_type")? {
        "refresh_token" => by_refresh(call, app),
        _ => Err(ApiError::invalid("grant_type", "It is refresh_token.")),
    }
}

/// `account/revoke`.
pub fn revoke(call: &Call) -> ApiResult<Reply> {
    let (app, token) = (app(call, "app_id")?.id.clone(), call.args.required("refresh_token")?.to_owned());
    call.service.store.write(move |c| session::revoke(c, &app, &token))?;
    Ok(Reply::empty())
}

fn app<'a>(call: &'a Call, key: &str) -> ApiResult<&'a App> {
    let id = call.args.required(key)?;
    call.service.accounts.app(id).ok_or_else(|| ApiError::not_found("App"))
}

fn check_secret(call: &Call, app: &App) -> ApiResult<()> {
    let Some(secret) = &app.secret else { return Ok(()) };
    // A refused secret and a missing one look alike, and neither tells how long the right one is.
    let sent = call.args.text("client_secret")?.unwrap_or_default();
    // An assertion proves the application by itself.
    if call.args.text("assertion")?.is_some() || account::same(secret.as_bytes(), sent.as_bytes()) {
        return Ok(());
    }
    Err(ApiError::new(403, "Forbidden", "The client_secret is not right."))
}

fn grant(call: &Call, app: &App) -> ApiResult<Reply> {
    match call.args.required("grant_type")? {
        "authorization_code" | "code" => by_code(call, app),
        "refresh_token" => by_refresh(call, app),
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => by_assertion(call, app),
        _ => Err(ApiError::invalid(
            "grant_type",
            "It is authorization_code, refresh_token or urn:ietf:params:oauth:grant-type:jwt-bearer.",
        )),
    }
}

fn by_code(call: &Call, app: &App) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (code, uri) = (args.required("code")?, args.required("redirect_uri")?);
    let wrong = || ApiError::invalid("code", "It is not good, was used before, or is of another request.");
    let consent = service.pending.take_code(code, service.clock.now_secs()).ok_or_else(wrong)?;
    if consent.app != app.id || consent.redirect_uri != uri {
        return Err(wrong());
    }
    begin(service, app, Some(consent.user), false)
}

fn by_refresh(call: &Call, app: &App) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let token = args.required("refresh_token")?.to_owned();
    let (worker, app, random) = (service.clone(), app.id.clone(), fresh()?);
    service.store.write(move |c| {
        let issue =
            Issue { signer: &worker.signer, random: &random, app: &app, now: worker.clock.now_secs() };
        let (session, tokens) = session::refresh(c, issue, &token)?;
        let caller = session::caller(c, &session)?;
        let user = account::find_user(c, &caller.user_id)?;
        Ok(Reply::ok(describe(&worker, &caller, user.as_ref(), &tokens)))
    })
}

fn by_assertion(call: &Call, app: &App) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let wrong = |why: &str| ApiError::invalid("assertion", why);
    let key = app.public_key.as_ref().ok_or_else(|| wrong("The app has no public key registered."))?;
    let now = service.clock.now_secs();
    let claims = key.verify(args.required("assertion")?, &app.id, service.domain_id(), now).map_err(wrong)?;
    let used = format!("{} {}", app.id, claims.id);
    if !service.pending.first_use(used, claims.expires_at, now) {
        return Err(wrong("Its jti was used before."));
    }
    begin(service, app, claims.user, claims.auto_create)
}

/// Starts a session for a user, or for the service itself.
fn begin(
    service: &std::sync::Arc<Service>,
    app: &App,
    user: Option<String>,
    auto_create: bool,
) -> ApiResult<Reply> {
    let (worker, app, random) = (service.clone(), app.id.clone(), fresh()?);
    let (reply, made) = service.store.write(move |c| {
        let now = worker.clock.now_secs();
        let issue = Issue { signer: &worker.signer, random: &random, app: &app, now };
        let Some(id) = user else {
            let caller = Caller::service();
            let tokens = session::start(c, issue, &caller)?;
            return Ok((describe(&worker, &caller, None, &tokens), None));
        };
        let mut made = None;
        let user = match account::find_user(c, &id)? {
            Some(user) if user.enabled => user,
            Some(_) => return Err(ApiError::new(403, "Forbidden", "The user is disabled.")),
            None if auto_create => {
                let mut user = User::new(&id, Role::User, &app, worker.clock.now_ms());
                made = account::settle_user(c, &mut user, -1)?;
                user
            }
            None => return Err(ApiError::not_found("User")),
        };
        let caller = Caller { user_id: user.id.clone(), role: user.role };
        let tokens = session::start(c, issue, &caller)?;
        Ok((describe(&worker, &caller, Some(&user), &tokens), made.map(|drive| (drive, user.id))))
    })?;
    if let Some((drive, owner)) = made {
        service.drives.set(drive, Some(DriveFacts { owner, enabled: true }));
    }
    Ok(Reply::ok(reply))
}

fn fresh() -> ApiResult<[u8; 32]> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| ApiError::internal("draw a random number", error))?;
    Ok(random)
}

/// The Token object of 6.1.
fn describe(service: &Service, caller: &Caller, user: Option<&User>, tokens: &Tokens) -> Value {
    let drive = user.and_then(|user| user.default_drive).map_or(String::new(), |drive| drive.to_string());
    json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "expires_in": session::ACCESS_SECS,
        "expire_time": iso(tokens.expires_at.saturating_mul(1000)).replace(".000Z", "Z"),
        "token_type": "Bearer",
        "role": caller.role.name(),
        "status": "enabled",
        "user_id": caller.user_id,
        "user_name": user.map_or("", |user| user.name.as_str()),
        "nick_name": user.map_or("", |user| user.nick_name.as_str()),
        "avatar": "",
        "domain_id": service.domain_id(),
        "default_drive_id": drive,
        "default_sbox_drive_id": "",
        "device_id": "",
        "device_name": "",
        "user_data": user.map_or(json!({}), |user| user.data.clone()),
        "state": "",
        "exist_link": [],
        "is_first_login": false,
        "need_link": false,
        "need_rp_verify": false,
        "pin_setup": false,
        "path_status": "enabled",
    })
}
