//! Signed URLs: whoever holds one may do the one thing it says until it expires (pds-api.md 8.4, 12.2).
//!
//! The signature covers the method, the path, every query parameter and, for uploads, the content type and
//! MD5. Parameters are compared decoded and sorted, so a client that re-encodes a URL does no harm, while
//! one that changes, adds or drops anything is refused. The key is the store's, so URLs survive a restart.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::reply::DataError;

const SIGNATURE: &str = "x-oss-signature";
const EXPIRES: &str = "x-oss-expires";

/// Makes and checks signatures.
pub struct Signer {
    key: Vec<u8>,
}

/// What a signature stands for, apart from the query.
#[derive(Clone, Copy)]
pub struct Grant<'a> {
    /// `PUT`, or `GET` for `GET` and `HEAD`.
    pub method: &'a str,
    /// The path, as it is sent.
    pub path: &'a str,
    /// The exact `Content-Type` an upload must carry; empty for none.
    pub content_type: &'a str,
    /// The exact `Content-MD5` an upload must carry; empty for none.
    pub content_md5: &'a str,
}

/// The verified query of a signed URL.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The value of a parameter.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Signer {
    /// A signer with the store's key.
    pub fn new(key: Vec<u8>) -> Self {
        Signer { key }
    }

    /// The URL that grants `grant` with these parameters until `expires_at`, in seconds since 1970.
    pub fn url(&self, base: &str, grant: Grant<'_>, query: &[(&str, &str)], expires_at: i64) -> String {
        let mut pairs: Vec<(String, String)> =
            query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        pairs.push((EXPIRES.to_owned(), expires_at.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.mac(grant, &pairs).finalize().into_bytes());
        pairs.push((SIGNATURE.to_owned(), signature));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        format!("{base}{}?{query}", grant.path)
    }

    /// Checks a request against the signature in its query.
    pub fn verify(&self, grant: Grant<'_>, query: &str, now_ms: i64) -> Result<Query, DataError> {
        let mut pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let at = pairs.iter().position(|(key, _)| key == SIGNATURE).ok_or_else(DataError::unsigned)?;
        let (_, signature) = pairs.swap_remove(at);
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| DataError::bad_signature())?;
        self.mac(grant, &pairs).verify_slice(&signature).map_err(|_| DataError::bad_signature())?;
        let query = Query(pairs);
        let expires_at: i64 = query.value(EXPIRES).and_then(|text| text.parse().ok()).unwrap_or(0);
        if now_ms >= expires_at.saturating_mul(1000) {
            return Err(DataError::expired(expires_at.saturating_mul(1000), now_ms));
        }
        Ok(query)
    }

    /// A text that only this server can have made for this purpose: what it says, and a signature.
    pub fn seal(&self, purpose: &str, text: &str) -> String {
        let signature = self.sealing(purpose, text).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(signature))
    }

    /// What a sealed text says; `None` when it is not ours or was made for something else.
    pub fn unseal(&self, purpose: &str, sealed: &str) -> Option<String> {
        let (text, signature) = sealed.split_once('.')?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.sealing(purpose, &text).verify_slice(&signature).ok()?;
        Some(text)
    }

    fn sealing(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // No canonical form of a grant begins with this byte.
        self.keyed(&[b"\0", purpose.as_bytes(), b"\0", text.as_bytes()])
    }

    fn keyed(&self, pieces: &[&[u8]]) -> Hmac<Sha256> {
        // HMAC takes keys of every length; the empty key cannot happen and would verify nothing.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()));
        for piece in pieces {
            mac.update(piece);
        }
        mac
    }

    fn mac(&self, grant: Grant<'_>, pairs: &[(String, String)]) -> Hmac<Sha256> {
        let mut sorted: Vec<_> = pairs.iter().collect();
        sorted.sort();
        let canonical = form_urlencoded::Serializer::new(String::new())
            .append_pair("method", grant.method)
            .append_pair("path", grant.path)
            .append_pair("type", grant.content_type)
            .append_pair("md5", grant.content_md5)
            .extend_pairs(sorted)
            .finish();
        self.keyed(&[canonical.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: Grant<'_> = Grant { method: "PUT", path: "/data/u/1", content_type: "", content_md5: "" };

    fn check(url: &str, grant: Grant<'_>, now_ms: i64) -> Result<Query, u16> {
        let query = url.split_once('?').unwrap().1;
        Signer::new(vec![7; 32]).verify(grant, query, now_ms).map_err(|error| error.status)
    }

    #[test]
    fn a_signed_url_is_good_until_it_expires() {
        let url = Signer::new(vec![7; 32]).url("http://h", GRANT, &[("a", "b c&=ü")], 100);
        assert!(url.starts_with("http://h/data/u/1?"));
        assert_eq!(check(&url, GRANT, 99_999).unwrap().value("a"), Some("b c&=ü"));
        assert_eq!(check(&url, GRANT, 100_000).err(), Some(403));
    }

    #[test]
    fn every_change_is_noticed() {
        let url = Signer::new(vec![7; 32]).url("", GRANT, &[("a", "b")], 100);
        for wrong in [
            Grant { method: "GET", ..GRANT },
            Grant { path: "/data/u/2", ..GRANT },
            Grant { content_type: "text/plain", ..GRANT },
            Grant { content_md5: "x", ..GRANT },
        ] {
            assert_eq!(check(&url, wrong, 0).err(), Some(403));
        }
        for (from, to) in
            [("a=b", "a=c"), ("a=b&", ""), ("?", "?c=d&"), ("=100", "=900"), ("signature=", "signature=A")]
        {
            let url = url.replacen(from, to, 1);
            assert_eq!(check(&url, GRANT, 0).err(), Some(403), "{url}");
        }
        let other_key = Signer::new(vec![8; 32]).url("", GRANT, &[("a", "b")], 100);
        assert_eq!(check(&other_key, GRANT, 0).err(), Some(403));
    }

    #[test]
    fn a_sealed_text_opens_for_its_purpose_alone() {
        let signer = Signer::new(vec![7; 32]);
        let sealed = signer.seal("token", "ü 1");
        assert_eq!(signer.unseal("token", &sealed).as_deref(), Some("ü 1"));
        assert_eq!(signer.unseal("share", &sealed), None);
        assert_eq!(Signer::new(vec![8; 32]).unseal("token", &sealed), None);
        let (text, signature) = sealed.split_once('.').unwrap();
        for wrong in ["", ".", text, &format!("{text}A.{signature}"), &format!("{text}.{signature}A")] {
            assert_eq!(signer.unseal("token", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn order_and_encoding_of_the_query_do_not_matter() {
        let url = Signer::new(vec![7; 32]).url("", GRANT, &[("a", "b"), ("c", "d")], 100);
        let swapped = url.replacen("a=b&c=d", "c=%64&a=b", 1);
        assert_ne!(url, swapped);
        assert!(check(&swapped, GRANT, 0).is_ok());
    }
}
