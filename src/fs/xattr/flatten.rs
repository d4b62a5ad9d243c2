//! From one File object to all of its attributes.
//!
//! The walk knows only the shapes of pds-api.md sections 16 and 17 that are not plain fields (tags, media,
//! folder counts, streams). Every other field becomes `user.pds.<field>` as it is, so what the service adds
//! tomorrow appears by itself; what each name means and whether it is listed is [`super::table`]'s affair.
//!
//! The first attribute of a name wins: derived ones are made before plain fields, so a field that happens
//! to be called `image.width` cannot replace the real one.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::table::{self, Meant, Show};
use super::writable::{self, Keeper};
use super::{MAX_NAME_BYTES, foreign, value};

/// The prefix of everything that is the drive's own.
pub const PREFIX: &str = "user.pds.";

/// One attribute with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Full name.
    pub name: String,
    /// Its bytes.
    pub value: Vec<u8>,
    /// Place in the listing order, from the table.
    pub rank: usize,
    /// See [`Show`]. `Sometimes` is decided already.
    pub show: Show,
    /// See [`Meant`].
    pub meant: Meant,
    /// Whether signed URLs were taken out of the value.
    pub had_urls: bool,
}

impl Attribute {
    /// Whether it is what a person or program attached, and can change.
    pub fn is_attached(&self) -> bool {
        self.meant == Meant::Person && writable::keeper_of(&self.name) != Keeper::Drive
    }
}

/// What to do about signed URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urls {
    /// Take them out.
    Strip,
    /// Leave them: the object was fetched for this very call.
    Keep,
}

/// All attributes of a File object, unsorted, each name once. `wanted` is a hint: when only one attribute
/// is asked for, the many EXIF tags are made only if it may be one of them.
pub fn flatten(file: &Map<String, Value>, urls: Urls, wanted: Option<&str>) -> Vec<Attribute> {
    let mut walk = Walk { urls, wanted, out: Vec::new(), names: HashSet::new() };
    walk.file(file);
    walk.out
}

struct Walk<'a> {
    urls: Urls,
    wanted: Option<&'a str>,
    out: Vec<Attribute>,
    names: HashSet<String>,
}

impl Walk<'_> {
    fn file(&mut self, file: &Map<String, Value>) {
        for (key, value) in file {
            match key.as_str() {
                "user_tags" => self.tags(value),
                "image_media_metadata" => self.image(value),
                "video_media_metadata" => self.video(value),
                "dir_size_info" => {
                    self.field(&format!("{PREFIX}dir.files"), value.get("file_count"));
                    self.field(&format!("{PREFIX}dir.subdirs"), value.get("dir_count"));
                }
                "streams_info" => self.streams(value),
                _ => {}
            }
        }
        self.aliases(file);
        for (key, value) in file {
            match key.as_str() {
                // pdsfs's own tags are not what anybody attached; each has a name of its own.
                "user_tags" => {
                    let tags = value::tags(value).into_iter();
                    let theirs = tags.filter(|(key, _)| !key.starts_with(foreign::RESERVED_PREFIX));
                    let theirs: Map<String, Value> = theirs.map(|(key, text)| (key, text.into())).collect();
                    self.written(&format!("{PREFIX}user_tags"), Some(&Value::Object(theirs)));
                }
                "labels" => self.json_list(&format!("{PREFIX}labels"), &value::labels(value)),
                _ => self.stripped(&format!("{PREFIX}{key}"), value, value::strip_field(key, value)),
            }
        }
        if self.may_want(&format!("{PREFIX}json")) {
            let json = Value::Object(value::without_urls(file));
            self.put(&format!("{PREFIX}json"), json.to_string().into_bytes(), false, false);
        }
    }

    fn tags(&mut self, tags: &Value) {
        for (key, text) in value::tags(tags) {
            let name = foreign::name_of(&key);
            if let Some(name) = &name {
                self.put(name, foreign::decode(&text), true, false);
            }
            if !name.is_some_and(|name| foreign::is_foreign(&name)) && !key.is_empty() {
                self.put(&format!("{PREFIX}tag.{key}"), text.into_bytes(), true, false);
            }
        }
    }

    fn image(&mut self, image: &Value) {
        let Value::Object(fields) = image else {
            return;
        };
        let base = format!("{PREFIX}image.");
        self.field(&format!("{base}quality"), image.pointer("/image_quality/overall_score"));
        let labels = fields.get("image_tags").map(value::confident_names).unwrap_or_default();
        self.text(&format!("{base}labels"), &labels.join(","));
        let exif_prefix = format!("{base}exif.");
        if self.may_want(&exif_prefix)
            && let Some(Value::Object(exif)) = fields.get("exif").and_then(value::unwrap_json)
        {
            for (tag, value) in &exif {
                self.nested(&format!("{exif_prefix}{tag}"), tag, value.get("value").unwrap_or(value));
            }
        }
        for (key, value) in fields {
            self.nested(&format!("{base}{key}"), key, value);
        }
    }

    fn video(&mut self, video: &Value) {
        let Value::Object(fields) = video else {
            return;
        };
        let base = format!("{PREFIX}video.");
        self.field(&format!("{base}duration"), duration(video));
        for (list, word) in [("video_media_video_stream", "stream"), ("video_media_audio_stream", "audio")] {
            let Some(Value::Array(streams)) = fields.get(list) else {
                continue;
            };
            for (at, stream) in streams.iter().enumerate() {
                for (key, value) in stream.as_object().into_iter().flatten() {
                    let word_for_key = if key == "code_name" { "codec" } else { key };
                    self.nested(&format!("{base}{word}.{at}.{word_for_key}"), key, value);
                }
            }
        }
        for (key, value) in fields {
            self.nested(&format!("{base}{key}"), key, value);
        }
    }

    fn streams(&mut self, streams: &Value) {
        for (name, stream) in streams.as_object().into_iter().flatten() {
            for (key, value) in stream.as_object().into_iter().flatten() {
                self.nested(&format!("{PREFIX}streams_info.{name}.{key}"), key, value);
            }
        }
    }

    /// The names other programs know (users-want.md, C3).
    fn aliases(&mut self, file: &Map<String, Value>) {
        let labels = file.get("labels").map(value::labels).unwrap_or_default();
        let tags: Vec<_> = labels.into_iter().filter(|label| !label.contains(',')).collect();
        self.text("user.xdg.tags", &tags.join(","));
        self.written("user.xdg.comment", file.get("description"));
        self.field("user.mime_type", file.get("mime_type"));
        self.field("user.checksum.crc64", file.get("crc64_hash"));
        let hash_name = file.get("content_hash_name").and_then(value::text).unwrap_or_default();
        if hash_name.is_empty() || hash_name.eq_ignore_ascii_case("sha1") {
            // A hash is a word; what else a service might put there is shown under its own name.
            let hash = file.get("content_hash").and_then(Value::as_str).unwrap_or_default();
            if hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                self.text("user.checksum.sha1", &hash.to_ascii_lowercase());
            }
        }
    }

    /// A field that has another name here, if it is there.
    fn field(&mut self, name: &str, value: Option<&Value>) {
        if let Some(value) = value {
            self.nested(name, "", value);
        }
    }

    /// As [`Walk::field`], for what a person wrote.
    fn written(&mut self, name: &str, value: Option<&Value>) {
        if let Some(text) = value.and_then(value::text) {
            self.put(name, text.into_bytes(), true, false);
        }
    }

    /// A field inside another.
    fn nested(&mut self, name: &str, key: &str, value: &Value) {
        self.stripped(name, value, value::strip_nested(key, value));
    }

    /// A field of the service's, minus signed URLs unless they are wanted.
    fn stripped(&mut self, name: &str, value: &Value, (kept, had_urls): (Option<Value>, bool)) {
        let kept = if self.urls == Urls::Keep { Some(value) } else { kept.as_ref() };
        if let Some(text) = kept.and_then(value::text) {
            self.put(name, text.into_bytes(), value::is_scalar(value), had_urls);
        } else if had_urls {
            // Nothing is left, but a caller who may see URLs can still ask for it.
            self.push_link(name);
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.put(name, text.as_bytes().to_vec(), true, false);
        }
    }

    fn json_list(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            self.put(name, Value::from(items).to_string().into_bytes(), false, false);
        }
    }

    fn put(&mut self, name: &str, value: Vec<u8>, is_scalar: bool, had_urls: bool) {
        let found = table::find(name);
        let show = match found.row.show {
            Show::Sometimes if found.row.name.contains('<') && is_scalar => Show::Listed,
            Show::Sometimes => Show::Hidden,
            show => show,
        };
        self.push(Attribute {
            name: name.into(),
            value,
            rank: found.rank,
            show,
            meant: found.row.meant,
            had_urls,
        });
    }

    fn push_link(&mut self, name: &str) {
        let found = table::find(name);
        self.push(Attribute {
            name: name.into(),
            value: Vec::new(),
            rank: found.rank,
            show: Show::Link,
            meant: found.row.meant,
            had_urls: true,
        });
    }

    fn push(&mut self, attribute: Attribute) {
        let name = &attribute.name;
        let is_valid = name.len() <= MAX_NAME_BYTES && name != PREFIX;
        if is_valid && !name.contains('\0') && self.names.insert(name.clone()) {
            self.out.push(attribute);
        }
    }

    fn may_want(&self, prefix: &str) -> bool {
        self.wanted.is_none_or(|wanted| wanted.starts_with(prefix))
    }
}

/// Seconds: the video's own field, else the first video stream's, else the first audio stream's.
fn duration(video: &Value) -> Option<&Value> {
    ["/duration", "/video_media_video_stream/0/duration", "/video_media_audio_stream/0/duration"]
        .into_iter()
        .filter_map(|path| video.pointer(path))
        .find(|value| value::text(value).is_some())
}
