//! `oauth/authorize`: a page on which a user agrees that an application acts for them (pds-api.md 6.3).
//!
//! `GET` shows it, `POST` takes the answer and redirects with a code. An application or a redirect address that is
//! not registered gets an error here and no redirect: the address would be an attacker's. The user proves who
//! they are with the password of the accounts file, the server's own user with its token.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::super::Service;
use super::super::account::register::App;
use super::super::account::session::Consent;
use super::super::account::{self, LOCAL_USER};
use super::super::reply::{ApiError, ApiResult};
use super::args::Args;

/// Ways to log in that the service has (6.3); they all end on the same page here.
const LOGIN_TYPES: &[&str] = &["default", "ding", "ding_sns", "ram", "wechat", "wechat_app"];
/// Wrong passwords in a minute, beyond which none is looked at until the next.
const MAX_WRONG: u32 = 20;

/// `GET`: the page.
pub fn show(service: &Service, query: &str) -> Response {
    match Request::parse(service, &Args::from_query(query)) {
        Ok(request) => request.page(service, StatusCode::OK, ""),
        Err(error) => error.into_response(),
    }
}

/// `POST`: the answer. Blocks.
pub fn answer(service: &Service, form: &[u8]) -> Response {
    let args = Args::from_query(&String::from_utf8_lossy(form));
    let request = match Request::parse(service, &args) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    match request.decide(service, &args) {
        Ok(response) => response,
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::FORBIDDEN);
            request.page(service, status, &error.message)
        }
    }
}

/// A request whose application and redirect address are registered.
struct Request<'a> {
    app: &'a App,
    redirect_uri: &'a str,
    state: &'a str,
    scope: &'a str,
}

impl<'a> Request<'a> {
    fn parse(service: &'a Service, args: &'a Args) -> ApiResult<Request<'a>> {
        let app = service.accounts.app(args.required("client_id")?);
        let app = app.ok_or_else(|| ApiError::not_found("App"))?;
        let uri = args.required("redirect_uri")?;
        if !app.redirect_uris.iter().any(|known| known == uri) {
            return Err(ApiError::invalid("redirect_uri", "It is not registered for this app."));
        }
        if args.required("response_type")? != "code" {
            return Err(ApiError::invalid("response_type", "It is code."));
        }
        args.required("login_type")?;
        args.choice("login_type", LOGIN_TYPES)?;
        let text = |key| Ok::<_, ApiError>(args.text(key)?.unwrap_or_default());
        Ok(Request { app, redirect_uri: uri, state: text("state")?, scope: text("scope")? })
    }

    fn decide(&self, service: &Service, args: &Args) -> ApiResult<Response> {
        if args.text("answer")? == Some("deny") {
            return self.redirect(&[("error", "access_denied")]);
        }
        let now = service.clock.now_secs();
        let (user, password) = (args.required("user_name")?, args.required("password")?);
        if !service.guesses.may_try(now) {
            return Err(ApiError::new(429, "TooManyRequests", "Too many wrong passwords. Wait a minute."));
        }
        let expected = match user {
            LOCAL_USER => service.accounts.password(user).unwrap_or(&service.access_token),
            user => service.accounts.password(user).unwrap_or_default(),
        };
        let enabled = service.store.read(|c| account::find_user(c, user))?.is_some_and(|user| user.enabled);
        if expected.is_empty() || !account::same(expected.as_bytes(), password.as_bytes()) || !enabled {
            service.guesses.wrong(now);
            return Err(ApiError::new(403, "Forbidden", "The user or the password is not right."));
        }
        let code = super::super::hex(&super::super::random(20)?);
        let consent = Consent {
            user: user.to_owned(),
            app: self.app.id.clone(),
            redirect_uri: self.redirect_uri.to_owned(),
        };
        service.pending.add_code(code.clone(), consent, now)?;
        self.redirect(&[("code", &code)])
    }

    fn redirect(&self, pairs: &[(&str, &str)]) -> ApiResult<Response> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        if !self.state.is_empty() {
            query.append_pair("state", self.state);
        }
        let join = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let to = format!("{}{join}{}", self.redirect_uri, query.finish());
        let to =
            HeaderValue::from_str(&to).map_err(|_| ApiError::invalid("redirect_uri", "It is no URL."))?;
        Ok((StatusCode::FOUND, [(header::LOCATION, to)]).into_response())
    }

    fn page(&self, service: &Service, status: StatusCode, complaint: &str) -> Response {
        let mut hidden = String::new();
        for (key, value) in [
            ("client_id", self.app.id.as_str()),
            ("redirect_uri", self.redirect_uri),
            ("response_type", "code"),
            ("login_type", "default"),
            ("scope", self.scope),
            ("state", self.state),
        ] {
            let value = escape(value);
            hidden.push_str(&format!("<input type=\"hidden\" name=\"{key}\" value=\"{value}\">\n"));
        }
        let complaint = match complaint {
            "" => String::new(),
            text => format!("<p role=\"alert\">{}</p>\n", escape(text)),
        };
        let page = include_str!("consent.html")
            .replace("{domain}", &escape(service.domain_id()))
            .replace("{complaint}", &complaint)
            .replace("{hidden}", &hidden)
            // Last, so that nothing in a name is taken for a place to fill in.
            .replace("{app}", &escape(&self.app.name));
        let headers = [
            (header::CACHE_CONTROL, "no-store"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (status, headers, Html(page)).into_response()
    }
}

/// Text as HTML, within an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '{' => escaped.push_str("&#123;"),
            '}' => escaped.push_str("&#125;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// Counts wrong passwords, so that guessing takes forever.
#[derive(Debug, Default)]
pub struct Guesses {
    /// The minute, and how many were wrong in it.
    state: std::sync::Mutex<(i64, u32)>,
}

impl Guesses {
    /// Whether a password is looked at now, in seconds since 1970.
    pub fn may_try(&self, now: i64) -> bool {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.0 != now / 60 || state.1 < MAX_WRONG
    }

    /// Counts a wrong one.
    pub fn wrong(&self, now: i64) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.0 != now / 60 {
            *state = (now / 60, 0);
        }
        state.1 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_becomes_markup() {
        assert_eq!(escape("<a href='x'>\"&{app}"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&#123;app&#125;");
    }

    #[test]
    fn wrong_guesses_stop_for_a_minute() {
        let guesses = Guesses::default();
        for _ in 0..MAX_WRONG {
            assert!(guesses.may_try(7));
            guesses.wrong(7);
        }
        assert!(!guesses.may_try(59));
        assert!(guesses.may_try(60));
    }
}
