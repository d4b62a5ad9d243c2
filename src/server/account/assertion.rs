//! JWT assertions of applications: RS256, checked against a registered public key (pds-api.md 6.4).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

/// Assertions may live this long from now, in seconds; bounds how long their ids are remembered.
pub const MAX_AHEAD_SECS: i64 = 3600;
/// An assertion is a few hundred bytes.
const MAX_BYTES: usize = 16 << 10;

/// An RSA public key of 2048 to 8192 bits.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// `RSAPublicKey` of PKCS #1 in DER.
    der: Vec<u8>,
}

/// Who an assertion speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// A user, or `None` for the service itself.
    pub user: Option<String>,
    /// Whether to make the user when there is none.
    pub auto_create: bool,
    /// Its own id.
    pub id: String,
    /// Seconds since 1970.
    pub expires_at: i64,
}

impl PublicKey {
    /// Reads `BEGIN PUBLIC KEY` or `BEGIN RSA PUBLIC KEY`.
    pub fn from_pem(pem: &str) -> Result<PublicKey, &'static str> {
        let body = |label: &str| {
            let start = pem.split_once(&format!("-----BEGIN {label}-----"))?.1;
            let text = start.split_once(&format!("-----END {label}-----"))?.0;
            let text: String = text.split_whitespace().collect();
            STANDARD.decode(text).ok()
        };
        let der = match (body("PUBLIC KEY"), body("RSA PUBLIC KEY")) {
            (Some(info), _) => inner_key(&info).ok_or("is not of RSA")?.to_vec(),
            (None, Some(key)) => key,
            (None, None) => return Err("is not a PEM text (-----BEGIN PUBLIC KEY-----)"),
        };
        let (modulus, _) = read(&der, 0x30).and_then(|(inner, _)| read(inner, 0x02)).ok_or("is damaged")?;
        match modulus.len() {
            256.. => Ok(PublicKey { der }),
            _ => Err("has fewer than 2048 bits"),
        }
    }

    /// What a signed assertion of application `issuer` for `domain` claims at `now` (seconds since 1970), or why
    /// it is not good. Whether its id was used before is the caller's to know.
    pub fn verify(&self, token: &str, issuer: &str, domain: &str, now: i64) -> Result<Claims, &'static str> {
        let shape = "It is not a JWT.";
        if token.len() > MAX_BYTES {
            return Err("It is too long.");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(shape)?;
        let (header, claims) = signed.split_once('.').ok_or(shape)?;
        let json = |text: &str| -> Option<Value> {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        };
        let header = json(header).ok_or(shape)?;
        if header["alg"] != "RS256" {
            return Err("It is not signed with RS256.");
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| shape)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.der)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| "Its signature does not match the registered public key.")?;
        check(&json(claims).ok_or(shape)?, issuer, domain, now)
    }
}

fn check(claims: &Value, issuer: &str, domain: &str, now: i64) -> Result<Claims, &'static str> {
    let text = |key: &str| claims[key].as_str().unwrap_or_default();
    let time = |key: &str| claims[key].as_i64();
    if text("iss") != issuer {
        return Err("iss is not the client_id.");
    }
    let audience = match &claims["aud"] {
        Value::Array(all) => all.iter().any(|one| one == domain),
        one => one == domain,
    };
    if !audience {
        return Err("aud is not the domain_id.");
    }
    let expires_at = time("exp").ok_or("exp is missing.")?;
    if expires_at <= now {
        return Err("It has expired.");
    }
    if expires_at > now.saturating_add(MAX_AHEAD_SECS) {
        return Err("exp is more than an hour ahead.");
    }
    if time("iat").is_some_and(|at| at > now) || time("nbf").is_some_and(|at| at > now) {
        return Err("It is not good yet.");
    }
    let id = text("jti");
    if id.is_empty() || id.len() > 256 {
        return Err("jti is missing or longer than 256 bytes.");
    }
    let subject = text("sub");
    let user = match text("sub_type") {
        "user" if !subject.is_empty() => Some(subject.to_owned()),
        "service" if subject == domain => None,
        "service" => return Err("sub is not the domain_id."),
        _ => return Err("sub_type is user or service, and sub says whom."),
    };
    let auto_create = claims["auto_create"].as_bool().unwrap_or(false);
    Ok(Claims { user, auto_create, id: id.to_owned(), expires_at })
}

/// The RSA key within a `SubjectPublicKeyInfo`.
fn inner_key(info: &[u8]) -> Option<&[u8]> {
    /// `rsaEncryption`, 1.2.840.113549.1.1.1.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (info, _) = read(info, 0x30)?;
    let (algorithm, rest) = read(info, 0x30)?;
    let (id, _) = read(algorithm, 0x06)?;
    let (bits, _) = read(rest, 0x03)?;
    (id == RSA).then_some(bits.strip_prefix(&[0])?)
}

/// The content of the DER value of this tag at the start, and what follows it.
fn read(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = der else { return None };
    let (len, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
        _ => return None,
    };
    (*found == tag && len <= rest.len()).then(|| rest.split_at(len))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_checked_one_by_one() {
        let good = json!({"iss": "app", "sub": "alice", "sub_type": "user", "aud": "dom", "jti": "x",
            "exp": 1300, "iat": 700, "auto_create": true});
        let verdict = |key: &str, value: Value| {
            let mut claims = good.clone();
            claims[key] = value;
            check(&claims, "app", "dom", 1000)
        };
        let claims = check(&good, "app", "dom", 1000).unwrap();
        assert_eq!((claims.user.as_deref(), claims.auto_create), (Some("alice"), true));
        assert!(verdict("aud", json!(["x", "dom"])).is_ok());
        for (key, value) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("aud", json!(null)),
            ("exp", json!(1000)),
            ("exp", json!(1000 + MAX_AHEAD_SECS + 1)),
            ("exp", json!("1300")),
            ("iat", json!(1001)),
            ("nbf", json!(1001)),
            ("jti", json!("")),
            ("sub", json!("")),
            ("sub_type", json!("service")),
            ("sub_type", json!("root")),
        ] {
            assert!(verdict(key, value.clone()).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for pem in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "MIIB"] {
            assert!(PublicKey::from_pem(pem).is_err());
        }
        for der in [&[][..], &[0x30], &[0x30, 0x82, 1], &[0x30, 5, 0], &[0x30, 0x84, 0, 0, 0, 1, 0]] {
            assert_eq!(read(der, 0x30), None);
        }
    }
}
