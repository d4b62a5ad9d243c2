//! The arguments of a request: a JSON object whose fields are asked for by name and type.
//!
//! Absent and null mean the same; fields nobody asks for are tolerated (pds-api.md 2.2). Errors name the
//! field.

use serde_json::{Map, Value};

use super::super::reply::{ApiError, ApiResult, camel};

/// Names and paths: bytes of UTF-8 (4.2).
const MAX_NAME_BYTES: usize = 1024;
/// Ids of files and folders (4.1).
const MAX_ID_BYTES: usize = 50;
/// Descriptions: characters (4.2).
pub const MAX_DESCRIPTION_CHARS: usize = 1024;
/// Labels of a file, and characters of one (4.5).
const MAX_LABELS: usize = 100;
const MAX_LABEL_CHARS: usize = 128;
/// User tags of a file, and bytes of a key with its value (4.5).
pub const MAX_TAGS: usize = 1000;
const MAX_TAG_BYTES: usize = 2000;
/// What a file can be (4.6); the first is none.
pub const CATEGORIES: &[&str] = &["", "image", "video", "audio", "doc", "zip", "app", "others"];
/// Fields of a File that a client sets as plain strings, at create and update (8.1, 10.1).
const TEXT_FIELDS: &[&str] = &[
    "local_created_at",
    "local_modified_at",
    "user_meta",
    "meta",
    "custom_field_1",
    "custom_field_2",
    "custom_type",
    "custom_index_key",
    "upload_type",
];

/// The body of a request.
#[derive(Clone)]
pub struct Args(Map<String, Value>);

impl Args {
    /// Parses a body; an empty one is an empty object.
    pub fn parse(body: &[u8]) -> ApiResult<Args> {
        let format = |why: String| ApiError::new(400, "InvalidRequestJSONFormat", why);
        if body.is_empty() {
            return Ok(Args(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Args(map)),
            Ok(_) => Err(format("The request body is not a JSON object.".into())),
            Err(error) => Err(format(format!("The request body is not valid JSON: {error}"))),
        }
    }

    /// The arguments in a URL's query.
    pub fn from_query(query: &str) -> Args {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Args(pairs.map(|(key, value)| (key.into_owned(), Value::String(value.into_owned()))).collect())
    }

    /// The arguments of a child of a batch.
    pub fn from_object(map: Map<String, Value>) -> Args {
        Args(map)
    }

    /// All fields.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Sets a field to what the server knows better.
    pub fn set(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    /// A field as it came.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A string.
    pub fn text(&self, key: &str) -> ApiResult<Option<&str>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ApiError::invalid(key, "It must be a string.")),
        }
    }

    /// A string that must be there and not be empty.
    pub fn required(&self, key: &str) -> ApiResult<&str> {
        match self.text(key)? {
            None => Err(ApiError::missing(key)),
            Some("") => Err(ApiError::new(
                400,
                format!("InvalidParameterEmpty.{}", camel(key)),
                format!("The input parameter {key} is empty."),
            )),
            Some(text) => Ok(text),
        }
    }

    /// The id of a file or folder (4.1), which must be there.
    pub fn id(&self, key: &str) -> ApiResult<&str> {
        let id = self.required(key)?;
        let good =
            id.len() <= MAX_ID_BYTES && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if good { Ok(id) } else { Err(ApiError::invalid(key, "An id has 1 to 50 letters and digits.")) }
    }

    /// `true` or `false`; absent is `false`.
    pub fn flag(&self, key: &str) -> ApiResult<bool> {
        match self.value(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(ApiError::invalid(key, "It must be true or false.")),
        }
    }

    /// A whole number from 0, as a JSON number or decimal text.
    pub fn number(&self, key: &str) -> ApiResult<Option<u64>> {
        let number = match self.value(key) {
            None => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_u64(),
        };
        number.map(Some).ok_or_else(|| ApiError::invalid(key, "It must be a whole number from 0."))
    }

    /// `limit`, within the page size of the endpoint.
    pub fn limit(&self, default: u64, max: u64) -> ApiResult<u64> {
        match self.number("limit")? {
            None | Some(0) => Ok(default),
            Some(limit) if limit <= max => Ok(limit),
            Some(_) => Err(ApiError::invalid("limit", &format!("It is at most {max}."))),
        }
    }

    /// One of these words; absent is the first.
    pub fn choice<'a>(&self, key: &str, words: &[&'a str]) -> ApiResult<&'a str> {
        let text = self.text(key)?.unwrap_or_default();
        if text.is_empty() {
            return Ok(words.first().copied().unwrap_or_default());
        }
        let known = words.iter().find(|word| word.eq_ignore_ascii_case(text));
        known.copied().ok_or_else(|| ApiError::invalid(key, &format!("It is one of {}.", words.join(", "))))
    }

    /// An array; absent is empty.
    pub fn array(&self, key: &str) -> ApiResult<&[Value]> {
        match self.value(key) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(ApiError::invalid(key, "It must be an array.")),
        }
    }

    /// The number of a drive, as text or number; -1 for one no drive can have.
    pub fn drive_number(&self, key: &str) -> ApiResult<i64> {
        drive_number(key, self.value(key).ok_or_else(|| ApiError::missing(key))?)
    }

    /// A time with a zone, as RFC 3339 has it (4.3), in milliseconds since 1970.
    pub fn time(&self, key: &str) -> ApiResult<Option<i64>> {
        let Some(text) = self.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let time: Result<jiff::Timestamp, _> = text.parse();
        let wrong = || ApiError::wrong_format(key, "It is a time like 2006-01-02T15:04:05.000Z.");
        time.map(|time| Some(time.as_millisecond())).map_err(|_| wrong())
    }

    /// A name for a file or folder (4.2).
    pub fn name<'a>(&'a self, key: &str) -> ApiResult<&'a str> {
        let name = self.required(key)?;
        if name.len() > MAX_NAME_BYTES {
            return Err(ApiError::invalid(key, "It has more than 1024 bytes."));
        }
        if name.contains(['/', '\0']) {
            return Err(ApiError::invalid(key, "It contains a slash or a NUL."));
        }
        Ok(name)
    }

    /// The fields of a File that a client sets, as the File object spells them.
    pub fn file_fields(&self, update: bool) -> ApiResult<Map<String, Value>> {
        let mut fields = Map::new();
        for key in TEXT_FIELDS {
            if update && *key == "local_created_at" {
                continue;
            }
            if let Some(text) = self.text(key)? {
                if key.starts_with("local_") {
                    self.time(key)?;
                }
                fields.insert((*key).to_owned(), text.into());
            }
        }
        if update {
            self.derived_fields(&mut fields)?;
        }
        if let Some(text) = self.text("description")? {
            if text.chars().count() > MAX_DESCRIPTION_CHARS {
                return Err(ApiError::invalid("description", "It has more than 1024 characters."));
            }
            fields.insert("description".to_owned(), text.into());
        }
        for key in ["hidden", "starred"] {
            if self.value(key).is_some() {
                fields.insert(key.to_owned(), self.flag(key)?.into());
            }
        }
        if self.value("labels").is_some() {
            fields.insert("labels".to_owned(), self.labels()?);
        }
        Ok(fields)
    }

    /// What older deployments let a client say instead of the server (10.1).
    fn derived_fields(&self, fields: &mut Map<String, Value>) -> ApiResult<()> {
        for key in ["mime_type", "mime_extension"] {
            if let Some(text) = self.text(key)?.filter(|text| !text.is_empty()) {
                fields.insert(key.to_owned(), text.into());
            }
        }
        let category = self.choice("category", CATEGORIES)?;
        if !category.is_empty() {
            fields.insert("category".to_owned(), category.into());
        }
        match self.value("ex_fields_info") {
            None => {}
            Some(Value::Object(info)) => {
                fields.insert("ex_fields_info".to_owned(), info.clone().into());
            }
            Some(_) => return Err(ApiError::invalid("ex_fields_info", "It is an object.")),
        }
        Ok(())
    }

    fn labels(&self) -> ApiResult<Value> {
        let labels = self.array("labels")?;
        let good = |label: &Value| label.as_str().is_some_and(|text| text.chars().count() <= MAX_LABEL_CHARS);
        if labels.len() > MAX_LABELS || !labels.iter().all(good) {
            return Err(ApiError::invalid("labels", "At most 100 strings of at most 128 characters each."));
        }
        Ok(Value::Array(labels.to_vec()))
    }

    /// `user_tags`: a list of pairs here, a map on the File (10.6).
    pub fn tags(&self) -> ApiResult<Map<String, Value>> {
        let mut tags = Map::new();
        for pair in self.array("user_tags")? {
            let key = pair["key"].as_str().unwrap_or_default();
            let value = match &pair["value"] {
                Value::Null => "",
                value => {
                    value.as_str().ok_or_else(|| ApiError::invalid("user_tags", "A value is no string."))?
                }
            };
            if key.is_empty() || key.contains('#') || value.contains('#') {
                return Err(ApiError::invalid("user_tags", "A key is empty, or a # is in it or its value."));
            }
            if key.len() + value.len() > MAX_TAG_BYTES {
                return Err(ApiError::invalid("user_tags", "A key and its value have more than 2000 bytes."));
            }
            if tags.insert(key.to_owned(), value.into()).is_some() {
                return Err(ApiError::invalid("user_tags", "A key comes twice."));
            }
        }
        if tags.len() > MAX_TAGS {
            return Err(ApiError::invalid("user_tags", "A file has at most 1000 tags."));
        }
        Ok(tags)
    }
}

/// A drive's number in a field, as text or number; -1 for one no drive can have.
pub fn drive_number(key: &str, value: &Value) -> ApiResult<i64> {
    match value {
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(text.parse().unwrap_or(-1))
        }
        Value::Number(number) => Ok(number.as_i64().unwrap_or(-1)),
        _ => Err(ApiError::invalid(key, "It consists of digits.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(json: &str) -> Args {
        Args::parse(json.as_bytes()).unwrap()
    }

    fn code<T>(result: ApiResult<T>) -> String {
        result.err().map(|error| error.code).unwrap_or_default()
    }

    #[test]
    fn bodies_that_are_no_objects_are_refused() {
        for body in ["{", "[]", "\"x\"", "{\"a\":\"\\ud800\"}", "\u{feff}{}", &"[".repeat(100_000)] {
            assert_eq!(code(Args::parse(body.as_bytes())), "InvalidRequestJSONFormat", "{body:.20}");
        }
        assert_eq!(code(Args::parse(b"{\"a\":\"\xff\"}")), "InvalidRequestJSONFormat");
        assert!(Args::parse(b"").is_ok());
    }

    #[test]
    fn names_have_limits() {
        assert!(args(&format!(r#"{{"name":"{}"}}"#, "n".repeat(1024))).name("name").is_ok());
        for (json, expected) in [
            (format!(r#"{{"name":"{}"}}"#, "n".repeat(1025)), "InvalidParameter.Name"),
            (r#"{"name":"a/b"}"#.into(), "InvalidParameter.Name"),
            (r#"{"name":"a\u0000b"}"#.into(), "InvalidParameter.Name"),
            (r#"{"name":""}"#.into(), "InvalidParameterEmpty.Name"),
            (r#"{"name":7}"#.into(), "InvalidParameter.Name"),
            (r#"{}"#.into(), "InvalidParameterMissing.Name"),
        ] {
            assert_eq!(code(args(&json).name("name")), expected, "{json:.30}");
        }
    }

    #[test]
    fn tags_have_limits() {
        let tag =
            |key: &str, value: &str| format!(r#"{{"user_tags":[{{"key":"{key}","value":"{value}"}}]}}"#);
        assert!(args(&tag("k", &"v".repeat(1999))).tags().is_ok());
        for bad in [tag("", "v"), tag("a#", "v"), tag("a", "#"), tag("k", &"v".repeat(2000))] {
            assert_eq!(code(args(&bad).tags()), "InvalidParameter.UserTags");
        }
        let twice = r#"{"user_tags":[{"key":"k"},{"key":"k"}]}"#;
        assert_eq!(code(args(twice).tags()), "InvalidParameter.UserTags");
    }

    #[test]
    fn numbers_may_be_text() {
        assert_eq!(args(r#"{"size":7}"#).number("size").unwrap(), Some(7));
        assert_eq!(args(r#"{"size":"7"}"#).number("size").unwrap(), Some(7));
        for bad in [r#"{"size":-1}"#, r#"{"size":1.5}"#, r#"{"size":"x"}"#, r#"{"size":[]}"#] {
            assert_eq!(code(args(bad).number("size")), "InvalidParameter.Size");
        }
    }

    #[test]
    fn drives_are_digits() {
        let drive = |json: &str| args(json).drive_number("drive_id");
        assert_eq!(drive(r#"{"drive_id":"1"}"#).unwrap(), 1);
        assert_eq!(drive(r#"{"drive_id":1}"#).unwrap(), 1);
        assert_eq!(drive(r#"{"drive_id":"99999999999999999999"}"#).unwrap(), -1);
        assert_eq!(code(drive(r#"{"drive_id":"x"}"#)), "InvalidParameter.DriveId");
        assert_eq!(code(drive("{}")), "InvalidParameterMissing.DriveId");
    }
}
