//! The accounts file: which users, access keys and applications the server knows beside its own user.
//!
//! JSON, read at start. Users become rows; secrets and keys stay in memory and in the file.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::Role;
use super::assertion::PublicKey;
use crate::error::{Error, Kind, Result};

/// The domain of a server to which no other was told.
const DEFAULT_DOMAIN: &str = "pdsfs";

/// What an accounts file says.
#[derive(Clone)]
pub struct Accounts {
    /// The domain's id, 1 to 50 of `a-z`, `0-9` and `-`.
    pub domain_id: String,
    /// Users to make or update at start.
    pub users: Vec<Person>,
    keys: HashMap<String, AccessKey>,
    apps: HashMap<String, App>,
}

impl Default for Accounts {
    fn default() -> Self {
        let domain_id = DEFAULT_DOMAIN.to_owned();
        Accounts { domain_id, users: Vec::new(), keys: HashMap::new(), apps: HashMap::new() }
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("domain_id", &self.domain_id).finish_non_exhaustive()
    }
}

/// A user of the file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// 1 to 64 of letters, digits, `-`, `_`, `.`, `@`.
    pub user_id: String,
    /// For the consent page; without one the user cannot log in there.
    pub password: Option<String>,
    #[serde(default)]
    role: Option<String>,
    /// The name shown.
    pub nick_name: Option<String>,
    /// May be missing.
    pub email: Option<String>,
    /// May be missing.
    pub phone: Option<String>,
    /// Size of the default drive in bytes when it is made; no limit if missing.
    pub total_size: Option<u64>,
    /// `enabled` or `disabled`.
    #[serde(default)]
    status: Option<String>,
}

impl Person {
    /// What they may do; a user if the file does not say.
    pub fn role(&self) -> Role {
        self.role.as_deref().and_then(Role::parse).unwrap_or(Role::User)
    }

    /// Whether they get tokens.
    pub fn enabled(&self) -> bool {
        self.status.as_deref() != Some("disabled")
    }
}

/// An AccessKey pair; acts as the domain's administrator (2.3).
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    access_key_id: String,
    /// Signs requests.
    pub access_key_secret: String,
}

/// An application that asks for tokens.
#[derive(Clone)]
pub struct App {
    /// `client_id`.
    pub id: String,
    /// Shown on the consent page.
    pub name: String,
    /// Must come with every request for a token, where there is one.
    pub secret: Option<String>,
    /// Where codes may be sent; compared as text.
    pub redirect_uris: Vec<String>,
    /// Checks its assertions.
    pub public_key: Option<PublicKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    domain_id: Option<String>,
    #[serde(default)]
    users: Vec<Person>,
    #[serde(default)]
    access_keys: Vec<AccessKey>,
    #[serde(default)]
    apps: Vec<AppText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppText {
    client_id: String,
    name: Option<String>,
    client_secret: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    public_key: Option<String>,
}

impl Accounts {
    /// Reads an accounts file.
    ///
    /// # Errors
    /// The local error when it cannot be read; `Invalid` with the place when it makes no sense.
    pub fn read(path: &Path) -> Result<Accounts> {
        let failed = |error| Error::io("read the accounts", error).on(path.display());
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Accounts::parse(&text)
            .map_err(|why| Error::new(Kind::Invalid, "read the accounts", why).on(path.display()))
    }

    /// Understands the text of an accounts file; the error is for people, and repeats no secret.
    pub fn parse(text: &str) -> std::result::Result<Accounts, String> {
        let text: Text = serde_json::from_str(text).map_err(|error| without_values(&error))?;
        let mut accounts = Accounts::default();
        if let Some(domain) = text.domain_id {
            let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !(1..=50).contains(&domain.len()) || !domain.bytes().all(good) {
                return Err(format!("domain_id {domain:?} is not 1 to 50 of a-z, 0-9 and -"));
            }
            accounts.domain_id = domain;
        }
        for person in text.users {
            check_person(&person)?;
            if accounts.users.iter().any(|known| known.user_id == person.user_id) {
                return Err(format!("user {:?} comes twice", person.user_id));
            }
            accounts.users.push(person);
        }
        for key in text.access_keys {
            if key.access_key_id.is_empty() || key.access_key_secret.is_empty() {
                return Err("an access key has an empty id or secret".into());
            }
            if let Some(twice) = accounts.keys.insert(key.access_key_id.clone(), key) {
                return Err(format!("access key {:?} comes twice", twice.access_key_id));
            }
        }
        for app in text.apps {
            let app = check_app(app)?;
            if let Some(twice) = accounts.apps.insert(app.id.clone(), app) {
                return Err(format!("app {:?} comes twice", twice.id));
            }
        }
        Ok(accounts)
    }

    /// The secret of an access key.
    pub fn key(&self, id: &str) -> Option<&AccessKey> {
        self.keys.get(id)
    }

    /// The application with this `client_id`.
    pub fn app(&self, id: &str) -> Option<&App> {
        self.apps.get(id)
    }

    /// The password of a user.
    pub fn password(&self, user: &str) -> Option<&str> {
        self.users.iter().find(|person| person.user_id == user)?.password.as_deref()
    }
}

fn check_person(person: &Person) -> std::result::Result<(), String> {
    let id = &person.user_id;
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    if !(1..=64).contains(&id.len()) || !id.bytes().all(good) {
        return Err(format!("user_id {id:?} is not 1 to 64 letters, digits, -, _, . or @"));
    }
    if let Some(role) = person.role.as_deref().filter(|role| Role::parse(role).is_none()) {
        return Err(format!("user {id:?}: role {role:?} is not user, admin or superadmin"));
    }
    match person.status.as_deref() {
        None | Some("enabled" | "disabled") => {}
        Some(status) => return Err(format!("user {id:?}: status {status:?} is not enabled or disabled")),
    }
    if person.password.as_deref() == Some("") {
        return Err(format!("user {id:?}: the password is empty; leave it out"));
    }
    Ok(())
}

fn check_app(app: AppText) -> std::result::Result<App, String> {
    let id = app.client_id;
    if id.is_empty() {
        return Err("an app has an empty client_id".into());
    }
    for uri in &app.redirect_uris {
        if !uri.contains("://") || uri.contains(['#', '\r', '\n', ' ']) {
            return Err(format!("app {id:?}: redirect uri {uri:?} is not a whole URL without #"));
        }
    }
    let key = app.public_key.map(|pem| PublicKey::from_pem(&pem)).transpose();
    let public_key = key.map_err(|why| format!("app {id:?}: public_key {why}"))?;
    Ok(App {
        name: app.name.unwrap_or_else(|| id.clone()),
        id,
        secret: app.client_secret.filter(|secret| !secret.is_empty()),
        redirect_uris: app.redirect_uris,
        public_key,
    })
}

/// The parser's words end with a place but may quote a value first; a wrong place must not print a secret.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = match text.split_once(':') {
        Some((what, _)) if what.starts_with("invalid type") || what.starts_with("invalid value") => what,
        _ => text.split(" at line").next().unwrap_or_default(),
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_is_understood() {
        let accounts = Accounts::parse(
            r#"{"domain_id": "bj1",
                "users": [{"user_id": "alice", "password": "p", "role": "admin"}, {"user_id": "bob"}],
                "access_keys": [{"access_key_id": "AK", "access_key_secret": "S"}],
                "apps": [{"client_id": "web", "client_secret": "s", "redirect_uris": ["http://h/cb"]}]}"#,
        )
        .unwrap();
        assert_eq!((accounts.domain_id.as_str(), accounts.users.len()), ("bj1", 2));
        assert_eq!((accounts.users[0].role(), accounts.users[1].role()), (Role::Admin, Role::User));
        assert_eq!((accounts.password("alice"), accounts.password("bob")), (Some("p"), None));
        assert_eq!(accounts.key("AK").unwrap().access_key_secret, "S");
        assert_eq!(accounts.app("web").unwrap().name, "web");
        assert_eq!(Accounts::parse("{}").unwrap().domain_id, "pdsfs");
    }

    #[test]
    fn what_makes_no_sense_is_named_without_its_secrets() {
        for (text, expected) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            (r#"{"user": []}"#, "unknown field `user`"),
            (r#"{"domain_id": "A b"}"#, "domain_id"),
            (r#"{"users": [{"user_id": ""}]}"#, "user_id"),
            (r#"{"users": [{"user_id": "a"}, {"user_id": "a"}]}"#, "comes twice"),
            (r#"{"users": [{"user_id": "a", "role": "root"}]}"#, "role"),
            (r#"{"users": [{"user_id": "a", "status": "x"}]}"#, "status"),
            (r#"{"users": [{"user_id": "a", "total_size": "geheim"}]}"#, "invalid type at line 1"),
            (r#"{"access_keys": [{"access_key_id": "a", "access_key_secret": ""}]}"#, "empty"),
            (r#"{"apps": [{"client_id": "a", "redirect_uris": ["/x"]}]}"#, "redirect"),
            (r#"{"apps": [{"client_id": "a", "public_key": "geheim"}]}"#, "public_key"),
        ] {
            let error = Accounts::parse(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("geheim"), "{text}: {error}");
        }
    }
}
