//! How a JSON value becomes the bytes of an attribute, and what must be left out of it.
//!
//! Absent, null, an empty text and an empty collection are no attribute; booleans and numbers always are
//! one. Collections are compact JSON with sorted keys. Times and hashes pass verbatim.
//!
//! A signed URL is a key to the content, so it is taken out of everything shown, however deep, also out of
//! JSON inside a string and of fields this version does not know. Two nets catch it: the field names the
//! service uses for them, and the look of the text (a URL whose query carries a signature). What a person
//! wrote (tags, names, descriptions) is left alone.

use serde_json::{Map, Value};

/// The attribute's text, or `None` when there is no attribute.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Array(items) => (!items.is_empty()).then(|| value.to_string()),
        Value::Object(map) => (!map.is_empty()).then(|| value.to_string()),
    }
}

/// Whether the value is one word rather than JSON.
pub fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// A number, or a text that spells one.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The value, or the JSON inside it when it is a text holding an array or object (EXIF, faces).
pub fn unwrap_json(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => inner_json(text),
        Value::Array(_) | Value::Object(_) => Some(value.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn inner_json(text: &str) -> Option<Value> {
    let is_candidate = text.trim_start().starts_with(['{', '[']);
    is_candidate.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Labels, however the service spells them: a text, an array, an array in an array, an array in a text.
pub fn labels(value: &Value) -> Vec<String> {
    let mut labels = Vec::new();
    collect_labels(value, &mut labels);
    labels
}

fn collect_labels(value: &Value, labels: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_labels(item, labels)),
        Value::String(text) => match unwrap_json(value) {
            Some(inner @ Value::Array(_)) => collect_labels(&inner, labels),
            _ if text.is_empty() => {}
            _ => labels.push(text.clone()),
        },
        Value::Number(number) => labels.push(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
}

/// An image tag of less confidence is not worth showing to a person.
const MIN_CONFIDENCE: f64 = 0.5;

/// The names in `image_tags` (17.1) that the service is sure enough of; a tag without a number is taken as
/// sure.
pub fn confident_names(tags: &Value) -> Vec<String> {
    let is_sure = |tag: &&Value| tag.get("confidence").and_then(number).is_none_or(|it| it >= MIN_CONFIDENCE);
    let tags = tags.as_array().into_iter().flatten();
    tags.filter(is_sure).filter_map(|tag| tag.get("name").and_then(text)).collect()
}

/// User tags as pairs; the File has a map, requests have a list of pairs, both are read.
pub fn tags(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    match value {
        Value::Object(map) => {
            map.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
        }
        Value::Array(pairs) => pairs
            .iter()
            .filter_map(|pair| {
                Some((
                    text(pair.get("key")?)?,
                    text(pair.get("value").unwrap_or(&Value::Null)).unwrap_or_default(),
                ))
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Fields that only a person or a client's program writes: a link in them is theirs to keep.
const WRITTEN_BY_PEOPLE: &[&str] = &[
    "custom_field_1",
    "custom_field_2",
    "custom_index_key",
    "description",
    "labels",
    "meta",
    "name",
    "name_path",
    "user_meta",
    "user_tags",
];

/// Field names under which the service sends signed URLs (16.5, 17.1, 17.3, 18.2).
const URL_FIELDS: &[&str] = &[
    "download_url",
    "face_thumbnail",
    "internal_download_url",
    "internal_upload_url",
    "thumbnail",
    "thumbnail_url",
    "upload_url",
    "url",
];

/// Maps and lists of signed URLs.
const URL_COLLECTIONS: &[&str] = &["thumbnail_urls"];

/// The whole File object without signed URLs.
pub fn without_urls(file: &Map<String, Value>) -> Map<String, Value> {
    file.iter().filter_map(|(key, value)| Some((key.clone(), strip_field(key, value).0?))).collect()
}

/// A field of the File object without signed URLs: `None` when nothing is left of it; the flag tells whether
/// any was there.
pub fn strip_field(key: &str, value: &Value) -> (Option<Value>, bool) {
    if WRITTEN_BY_PEOPLE.contains(&key) {
        return (Some(value.clone()), false);
    }
    strip_nested(key, value)
}

/// As [`strip_field`], for a field inside another, where nobody but the service writes.
pub fn strip_nested(key: &str, value: &Value) -> (Option<Value>, bool) {
    let mut found = false;
    let value = strip(value, place_of(key), &mut found);
    (value, found)
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Plain,
    /// The value of a URL field: a text here is a URL.
    Url,
    /// Inside a collection of URLs: each text in it is one.
    Urls,
}

fn place_of(key: &str) -> Place {
    if URL_FIELDS.contains(&key) {
        Place::Url
    } else if URL_COLLECTIONS.contains(&key) {
        Place::Urls
    } else {
        Place::Plain
    }
}

fn strip(value: &Value, place: Place, found: &mut bool) -> Option<Value> {
    match value {
        Value::String(text) if text.is_empty() => Some(value.clone()),
        Value::String(_) if place != Place::Plain => {
            *found = true;
            None
        }
        Value::String(text) => strip_text(text, found),
        Value::Array(items) => {
            let kept: Vec<_> = items.iter().filter_map(|item| strip(item, place, found)).collect();
            (items.is_empty() || !kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Object(map) => {
            let inner = |key: &str| if place == Place::Urls { Place::Urls } else { place_of(key) };
            let kept: Map<_, _> = map
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), strip(value, inner(key), found)?)))
                .collect();
            (map.is_empty() || !kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
    }
}

/// A text outside URL fields: JSON in it is searched like any other, and kept verbatim if there is no URL.
fn strip_text(text: &str, found: &mut bool) -> Option<Value> {
    let verbatim = || Value::String(text.to_owned());
    if let Some(inner) = inner_json(text) {
        let mut found_inside = false;
        let kept = strip(&inner, Place::Plain, &mut found_inside);
        *found |= found_inside;
        return if found_inside { Some(Value::String(kept?.to_string())) } else { Some(verbatim()) };
    }
    let is_signed = is_signed_url(text);
    *found |= is_signed;
    (!is_signed).then(verbatim)
}

/// Words that appear in the query of a signed URL of OSS and of the CDNs in front of it.
const SIGNATURE_WORDS: &[&str] = &[
    "accesskeyid",
    "auth_key=",
    "credential",
    "expires",
    "security-token",
    "sign=",
    "signature",
    "token=",
    "x-oss-",
];

/// Whether the text is, or contains, a URL with a signature in its query.
fn is_signed_url(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let Some((_, query)) = rest.split_once('?') else {
        return false;
    };
    let query = query.to_ascii_lowercase();
    SIGNATURE_WORDS.iter().any(|word| query.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_text_or_nothing() {
        for (value, expected) in [
            (json!(null), None),
            (json!(""), None),
            (json!([]), None),
            (json!({}), None),
            (json!(false), Some("false")),
            (json!(true), Some("true")),
            (json!(0), Some("0")),
            (json!(18446744073709551615u64), Some("18446744073709551615")),
            (json!(0.75), Some("0.75")),
            (json!("a b"), Some("a b")),
            (json!("2019-08-20T06:51:27.292Z"), Some("2019-08-20T06:51:27.292Z")),
            (json!([1, "a"]), Some(r#"[1,"a"]"#)),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn json_has_sorted_keys() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap();
        assert_eq!(text(&value).unwrap(), r#"{"a":{"c":2,"d":1},"b":1}"#);
    }

    #[test]
    fn labels_in_every_spelling() {
        for (value, expected) in [
            (json!("a"), vec!["a"]),
            (json!("a,b"), vec!["a,b"]),
            (json!(["a", "b"]), vec!["a", "b"]),
            (json!([["a"], "b"]), vec!["a", "b"]),
            (json!(r#"["a","b"]"#), vec!["a", "b"]),
            (json!(["", null, 7]), vec!["7"]),
            (json!(null), vec![]),
            (json!(""), vec![]),
        ] {
            assert_eq!(labels(&value), expected, "{value}");
        }
    }

    #[test]
    fn tags_as_map_and_as_pairs() {
        let expected = vec![("k".to_owned(), "v".to_owned()), ("n".to_owned(), "1".to_owned())];
        assert_eq!(tags(&json!({"k": "v", "n": 1, "gone": null})), expected);
        assert_eq!(tags(&json!([{"key": "k", "value": "v"}, {"key": "n", "value": 1}, {"no": 1}])), expected);
    }

    #[test]
    fn signed_urls_are_found_at_any_depth() {
        let signed = "https://data.example/o?Expires=1&Signature=x";
        for (key, value, left) in [
            ("url", json!("https://plain.example/"), None),
            ("thumbnail_urls", json!({"small": "https://a/b", "big": "https://a/c"}), None),
            ("tomorrow", json!(signed), None),
            ("tomorrow", json!({"a": [{"deep": signed, "id": 1}]}), Some(json!({"a": [{"id": 1}]}))),
            ("tomorrow", json!(format!("see {signed}")), None),
            ("tomorrow", json!(r#"["https:\/\/a.example\/o?a=1\u0026Signature=x"]"#), None),
            (
                "faces",
                json!(json!([{"FaceId": "f", "Pic": signed}]).to_string()),
                Some(json!(r#"[{"FaceId":"f"}]"#)),
            ),
            (
                "faces_thumbnail",
                json!([{"face_id": "f", "face_thumbnail": "https://a/b"}]),
                Some(json!([{"face_id": "f"}])),
            ),
            ("scene_contents", json!([{"thumbnail_url": "https://a/b"}]), None),
        ] {
            let (stripped, found) = strip_field(key, &value);
            assert_eq!(stripped, left, "{key} {value}");
            assert!(found, "{key} {value}");
        }
    }

    #[test]
    fn what_people_wrote_and_plain_links_stay() {
        let signed = json!("https://data.example/o?Expires=1&Signature=x");
        for key in ["description", "user_meta", "name"] {
            assert_eq!(strip_field(key, &signed), (Some(signed.clone()), false));
        }
        let tags = json!({"url": "https://example.org/?token=1"});
        assert_eq!(strip_field("user_tags", &tags), (Some(tags.clone()), false));
        let plain = json!({"homepage": "https://example.org/a?b=c", "empty": ""});
        assert_eq!(strip_field("tomorrow", &plain), (Some(plain.clone()), false));
    }
}
