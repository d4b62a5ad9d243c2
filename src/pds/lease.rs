//! Signed URLs as leases: the URL, and until when it may be used.
//!
//! How long one lives is read from the URL itself (8.4 lists the three spellings) and measured against the
//! service's clock (the `Date` of the reply that brought it), so that a wrong local clock does no harm.
//! A URL is a credential: `Debug` shows its host and nothing else.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use reqwest::Url;

use crate::error::{Error, Kind, Result};

/// What a URL that does not say is good for: 15 minutes (4.5).
const USUAL_LIFE: Duration = Duration::from_secs(15 * 60);
/// Stop using a URL this long before it ends, or a quarter of its life before, whichever is less (8.4).
const MARGIN: Duration = Duration::from_secs(60);

/// Where to PUT one part (8.3).
#[derive(Clone)]
pub struct PartUrl {
    /// The part, 1..=10,000.
    pub number: u32,
    /// From when on a new URL should be asked for; the service itself refuses a little later.
    pub expires_at: Instant,
    pub(super) url: Url,
    /// What the PUT must send as `Content-Type`; nothing when empty.
    pub(super) content_type: String,
}

/// Where to read the bytes of one revision (12.1).
#[derive(Clone)]
pub struct DownloadUrl {
    /// From when on a new URL should be asked for; a transfer that has begun is not cut.
    pub expires_at: Instant,
    /// Bytes of the revision, when the service said so.
    pub size: Option<u64>,
    /// CRC-64/XZ of the revision, when the service said so.
    pub crc64: Option<u64>,
    pub(super) url: Url,
}

impl PartUrl {
    /// Whether there is still time to start sending.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now < self.expires_at
    }
}

impl DownloadUrl {
    /// Whether there is still time to start reading.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now < self.expires_at
    }
}

#[cfg(test)]
impl PartUrl {
    /// A lease that leads nowhere, for tests of those who only pass it on.
    pub fn nowhere(number: u32) -> Self {
        PartUrl {
            number,
            expires_at: Instant::now() + USUAL_LIFE,
            url: Url::parse("http://127.0.0.1:9/").unwrap(),
            content_type: String::new(),
        }
    }
}

impl fmt::Debug for PartUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartUrl({} at {})", self.number, host(&self.url))
    }
}

impl fmt::Debug for DownloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DownloadUrl(at {}, {:?} B)", host(&self.url), self.size)
    }
}

/// `host:port`, the only part of a URL that may be shown.
pub(super) fn host(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "?".to_owned(),
    }
}

/// Reads a signed URL out of a reply.
pub(super) fn parse(op: &'static str, text: &str) -> Result<Url> {
    let bad =
        || Error::new(Kind::Protocol, op, "the service sent something that is not a URL to move data with");
    let url = Url::parse(text).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad());
    }
    Ok(url)
}

/// When to stop using a URL received `now`, at `server_now` by the service's clock.
pub(super) fn expires_at(url: &Url, now: Instant, server_now: SystemTime) -> Instant {
    let life = life(url, server_now).unwrap_or(USUAL_LIFE);
    now + (life - MARGIN.min(life / 4))
}

/// How much longer the URL says it lives; `None` when it does not say or claims to be over already.
fn life(url: &Url, server_now: SystemTime) -> Option<Duration> {
    let field = |name: &str| {
        url.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let ends_at = match (field("x-oss-date"), field("x-oss-expires"), field("Expires")) {
        (Some(signed), Some(seconds), _) => iso_basic(&signed)?.checked_add(seconds.parse().ok()?)?,
        (None, Some(unix), _) | (None, None, Some(unix)) => unix.parse().ok()?,
        (_, None, _) => return None,
    };
    let now = server_now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    // A year is more than any URL is given; beyond it the number means something else.
    ends_at.checked_sub(now).filter(|&left| left > 0 && left < 366 * 86_400).map(Duration::from_secs)
}

/// Seconds since 1970 of `20260102T030405Z`.
fn iso_basic(text: &str) -> Option<u64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let second = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    u64::try_from(second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02T03:04:05Z.
    const NOW: u64 = 1_767_323_045;

    fn left(query: &str) -> Option<u64> {
        let url = Url::parse(&format!("https://data.example/o?{query}")).unwrap();
        life(&url, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).map(|life| life.as_secs())
    }

    #[test]
    fn every_spelling_of_expiry_is_understood() {
        assert_eq!(left(&format!("Expires={}&OSSAccessKeyId=a&Signature=b", NOW + 900)), Some(900));
        assert_eq!(left(&format!("x-oss-expires={}&x-oss-signature-version=OSS2", NOW + 60)), Some(60));
        assert_eq!(left("x-oss-date=20260102T030400Z&x-oss-expires=900&x-oss-signature=b"), Some(895));
        assert_eq!(left("partNumber=1"), None);
    }

    #[test]
    fn nonsense_is_no_expiry() {
        assert_eq!(left("Expires=soon"), None);
        assert_eq!(left("Expires=1"), None, "already over: trust the service, not the number");
        assert_eq!(left("x-oss-date=yesterday&x-oss-expires=900"), None);
        assert_eq!(left("x-oss-date=20260102T030400Z&x-oss-expires=18446744073709551615"), None);
        assert_eq!(left("Expires=99999999999999"), None);
    }

    #[test]
    fn the_margin_suits_the_life() {
        let now = Instant::now();
        let server = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let url = |life: u64| Url::parse(&format!("http://h/?Expires={}", NOW + life)).unwrap();
        assert_eq!(expires_at(&url(900), now, server) - now, Duration::from_secs(840));
        assert_eq!(expires_at(&url(4), now, server) - now, Duration::from_secs(3));
        assert_eq!(
            expires_at(&Url::parse("http://h/").unwrap(), now, server) - now,
            Duration::from_secs(840)
        );
    }

    #[test]
    fn a_url_is_never_shown() {
        let url = Url::parse("http://127.0.0.1:81/bucket/key?Signature=hush").unwrap();
        let part = PartUrl { number: 3, expires_at: Instant::now(), url, content_type: String::new() };
        assert_eq!(format!("{part:?}"), "PartUrl(3 at 127.0.0.1:81)");
    }
}
