//! Who we are: the access token, where it comes from, and what happens when it is refused.
//!
//! A token from a file is read again when the file changes (looked at no more than once a second) and once
//! when the service refuses it; concurrent callers share that one reading. There is no login here: the
//! file is the place where whoever logs in leaves the token (2.3, 2.4).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncReadExt;

use crate::error::{Error, Kind, Result};

/// More than any token; a file this large is something else.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;
/// How long a look at the token file's times holds.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text itself, for the one header it belongs in.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.into())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the access token comes from (2.3).
#[derive(Clone, Debug)]
pub enum Credentials {
    /// This one, for as long as it lives.
    Token(Secret),
    /// The text of a file, which may be replaced at any time.
    TokenFile(PathBuf),
}

/// A token and which reading it came from, so that a refusal is held against the right one.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) secret: Secret,
    generation: u64,
}

/// Hands out the token.
pub(super) struct Auth {
    credentials: Credentials,
    /// What the file said when last read.
    known: Mutex<Known>,
    /// Held while the file is read, so that it is read once however many wait.
    reading: tokio::sync::Mutex<()>,
}

struct Known {
    token: Option<Token>,
    /// The file's modification time and length at that reading.
    stamp: Option<(SystemTime, u64)>,
    looked_at: Option<Instant>,
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Result<Self> {
        let token = match &credentials {
            Credentials::Token(secret) => {
                Some(Token { secret: checked(secret.expose(), None)?, generation: 0 })
            }
            Credentials::TokenFile(_) => None,
        };
        Ok(Auth {
            credentials,
            known: Mutex::new(Known { token, stamp: None, looked_at: None }),
            reading: tokio::sync::Mutex::new(()),
        })
    }

    /// The token to send now.
    pub(super) async fn token(&self) -> Result<Token> {
        let Credentials::TokenFile(path) = &self.credentials else {
            return self
                .known()
                .token
                .clone()
                .ok_or_else(|| Error::new(Kind::Unauthenticated, "log in", "no token"));
        };
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let _reading = self.reading.lock().await;
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let stamp = stamp(path).await;
        {
            let mut known = self.known();
            known.looked_at = Some(Instant::now());
            if let Some(token) = known.token.clone()
                && known.stamp == stamp
            {
                return Ok(token);
            }
        }
        self.read(path, stamp).await
    }

    /// Looks for a token other than the refused one. `Ok(None)` when there is none.
    pub(super) async fn refresh(&self, refused: &Token) -> Result<Option<Token>> {
        let Credentials::TokenFile(path) = &self.credentials else { return Ok(None) };
        let _reading = self.reading.lock().await;
        let current = self.known().token.clone();
        if let Some(token) = current
            && token.generation != refused.generation
        {
            return Ok(Some(token));
        }
        let stamp = stamp(path).await;
        let token = self.read(path, stamp).await?;
        Ok((token.secret != refused.secret).then_some(token))
    }

    /// What to tell a person whose token was refused.
    pub(super) fn advice(&self) -> String {
        match &self.credentials {
            Credentials::Token(_) => {
                "the service does not accept the access token; it may have expired: give a new one, or use \
                 --token-file, which is read again when it changes"
                    .to_owned()
            }
            Credentials::TokenFile(path) => format!(
                "the service does not accept the access token in {}; it may have expired: write a new one into \
                 that file, it is read again by itself",
                path.display()
            ),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token, when the file was looked at a moment ago.
    fn fresh(&self) -> Option<Token> {
        let known = self.known();
        known.looked_at.filter(|at| at.elapsed() < LOOK_AGAIN_AFTER).and(known.token.clone())
    }

    async fn read(&self, path: &Path, stamp: Option<(SystemTime, u64)>) -> Result<Token> {
        let text = read_bounded(path).await.map_err(|error| {
            let why = format!("cannot read the token file {}: {error}", path.display());
            Error::new(Kind::Unauthenticated, "log in", why).caused_by(error)
        })?;
        let secret = checked(&text, Some(path))?;
        let mut known = self.known();
        let generation = match &known.token {
            Some(token) if token.secret == secret => token.generation,
            Some(token) => token.generation + 1,
            None => 0,
        };
        let token = Token { secret, generation };
        *known = Known { token: Some(token.clone()), stamp, looked_at: Some(Instant::now()) };
        Ok(token)
    }
}

async fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    tokio::fs::File::open(path).await?.take(MAX_TOKEN_BYTES).read_to_string(&mut text).await?;
    Ok(text)
}

/// The token without the space around it and without the word `Bearer`, if it can be sent in a header.
fn checked(text: &str, path: Option<&Path>) -> Result<Secret> {
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim_start();
    let place = path
        .map_or_else(|| "the access token".to_owned(), |path| format!("the token file {}", path.display()));
    if text.is_empty() {
        return Err(Error::new(Kind::Unauthenticated, "log in", format!("{place} is empty")));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = format!("{place} does not hold an access token: one line of visible ASCII is expected");
        return Err(Error::new(Kind::Unauthenticated, "log in", why));
    }
    Ok(Secret::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_never_printed() {
        assert_eq!(checked(" Bearer abc.def \n", None).unwrap().expose(), "abc.def");
        assert!(checked("\n", None).is_err());
        assert!(checked("a\nb", None).is_err());
        assert!(checked("ключ", None).is_err());
        let credentials = Credentials::Token(Secret::from("hush-hush"));
        assert_eq!(format!("{credentials:?}"), "Token(***)");
    }

    #[tokio::test]
    async fn a_refused_token_is_replaced_once_for_everyone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let auth = Auth::new(Credentials::TokenFile(file.path().to_owned())).unwrap();
        let first = auth.token().await.unwrap();
        assert_eq!(first.secret.expose(), "one");
        assert!(auth.refresh(&first).await.unwrap().is_none());
        std::fs::write(file.path(), "two").unwrap();
        assert_eq!(auth.refresh(&first).await.unwrap().unwrap().secret.expose(), "two");
        // The second caller with the old token gets the new one without a reading.
        std::fs::remove_file(file.path()).unwrap();
        assert_eq!(auth.refresh(&first).await.unwrap().unwrap().secret.expose(), "two");
        assert_eq!(auth.token().await.unwrap().secret.expose(), "two");
    }

    #[tokio::test]
    async fn a_missing_or_empty_token_file_says_so() {
        let missing = Auth::new(Credentials::TokenFile("/nonexistent/token".into())).unwrap();
        let error = missing.token().await.err().unwrap();
        assert_eq!(error.kind(), Kind::Unauthenticated);
        assert!(error.message().contains("/nonexistent/token"), "{error}");
    }
}
