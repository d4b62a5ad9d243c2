//! What the service says, as values of ours.
//!
//! A [`File`] keeps the JSON text it came from beside the few fields that decisions are made on, so that a
//! field the service adds tomorrow reaches `getfattr` without a change here (pds-api.md section 16: absent,
//! null and empty mean the same; numbers may be strings and strings numbers).

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Kind, Result};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as the service spells it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                $name(id.into())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

id!(
    /// A file or folder, stable over rename, move, overwrite and the recycle bin (4.1).
    FileId
);
id!(
    /// One content of a file; a new one at each `complete` (8.9). Empty for folders.
    RevisionId
);
id!(
    /// An upload that is not complete; dies at `complete` or after 10 days (4.5).
    UploadId
);
id!(
    /// A drive: decimal digits as a string (4.1).
    DriveId
);

impl FileId {
    /// The root folder of every drive (4.1).
    pub fn root() -> Self {
        FileId::from("root")
    }
}

/// File or folder; the service has nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Bytes with a revision.
    File,
    /// Entries.
    Folder,
}

/// How the keys of user tags begin in which pdsfs keeps what the service has no field for.
pub const OWN_TAGS: &str = "pdsfs.";

/// A file or folder as the service last described it (section 16).
#[derive(Clone, PartialEq)]
pub struct File {
    /// See [`FileId`].
    pub id: FileId,
    /// The folder it is in; `None` for the root itself.
    pub parent: Option<FileId>,
    /// The name on the drive, which may differ from the one shown (duplicates, `.` and `/`).
    pub name: Box<str>,
    /// File or folder.
    pub kind: FileKind,
    /// Bytes; 0 for folders.
    pub size: u64,
    /// Empty for folders.
    pub revision: RevisionId,
    /// CRC-64/XZ of the content (4.4), when the service sent it.
    pub crc64: Option<u64>,
    /// Upper-case hex SHA-1 of the content (4.4), when sent and `content_hash_name` is `sha1`.
    pub sha1: Option<Box<str>>,
    /// Entry created on the server; verbatim ISO 8601 (4.3).
    pub created_at: Box<str>,
    /// Last change on the server; verbatim ISO 8601.
    pub updated_at: Box<str>,
    /// The client's modification time, or empty.
    pub local_modified_at: Box<str>,
    /// The client's birth time, or empty.
    pub local_created_at: Box<str>,
    /// In the recycle bin.
    pub trashed: bool,
    /// The user tags (10.6) that pdsfs keeps for itself: those whose key begins with [`OWN_TAGS`].
    pub own_tags: Box<[(Box<str>, Box<str>)]>,
    /// The whole object as JSON text.
    raw: Arc<str>,
}

impl File {
    /// Reads a File object from its JSON text.
    ///
    /// # Errors
    /// [`Kind::Protocol`] when it is not a JSON object or has no `file_id`.
    pub fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|error| {
            Error::new(Kind::Protocol, "read a File", "the service's description of a file is not JSON")
                .caused_by(error)
        })?;
        File::from_value(value)
    }

    /// Reads a File object that is already a JSON value. See [`File::parse`].
    pub fn from_value(value: Value) -> Result<Self> {
        let protocol = |what: &str| Error::new(Kind::Protocol, "read a File", what);
        let Value::Object(map) = &value else {
            return Err(protocol("the service described a file by something that is not an object"));
        };
        let text = |key: &str| map.get(key).and_then(text_of).unwrap_or_default().into_boxed_str();
        let id = text("file_id");
        if id.is_empty() {
            return Err(protocol("the service described a file without file_id"));
        }
        let parent = text("parent_file_id");
        let kind = match &*text("type") {
            "folder" => FileKind::Folder,
            "file" => FileKind::File,
            "" if &*id == "root" => FileKind::Folder,
            _ => FileKind::File,
        };
        let is_file = kind == FileKind::File;
        let sha1 = text("content_hash");
        let hash_name = text("content_hash_name");
        let sha1 = (is_file && !sha1.is_empty() && (hash_name.is_empty() || &*hash_name == "sha1"))
            .then(|| sha1.to_ascii_uppercase().into_boxed_str());
        Ok(File {
            id: FileId::from(&*id),
            parent: (!parent.is_empty()).then(|| FileId::from(&*parent)),
            name: text("name"),
            kind,
            size: if is_file { map.get("size").and_then(number_of).unwrap_or(0) } else { 0 },
            revision: RevisionId::from(&*text("revision_id")),
            crc64: is_file.then(|| map.get("crc64_hash").and_then(number_of)).flatten(),
            sha1,
            created_at: text("created_at"),
            updated_at: text("updated_at"),
            local_modified_at: text("local_modified_at"),
            local_created_at: text("local_created_at"),
            trashed: map.get("trashed").and_then(Value::as_bool).unwrap_or(false),
            own_tags: own_tags(map.get("user_tags")),
            raw: value.to_string().into(),
        })
    }

    /// The whole object as the service sent it, keys sorted. Signed URLs are still in it: see
    /// [`crate::fs::xattr`] for what may be shown.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.raw).unwrap_or(Value::Null)
    }

    /// [`File::json`] as text.
    pub fn text(&self) -> &str {
        &self.raw
    }

    /// A number that differs for two files that differ in anything.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.raw.hash(&mut hasher);
        hasher.finish()
    }

    /// Whether this is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == FileKind::Folder
    }

    /// This description with the fields that only an `older` one of the same revision has: the service's replies
    /// differ in what they tell. `gone` are the fields that are not taken over.
    ///
    /// # Errors
    /// As [`File::from_value`].
    pub fn completed_by(self, older: &File, gone: &[&str]) -> Result<Self> {
        if older.id != self.id || older.revision != self.revision {
            return Ok(self);
        }
        let (Value::Object(mut map), Value::Object(newer)) = (older.json(), self.json()) else {
            return Ok(self);
        };
        map.retain(|key, _| !gone.contains(&key.as_str()));
        map.extend(newer);
        File::from_value(Value::Object(map))
    }

    /// A copy with one field of the JSON text replaced, the typed fields read anew.
    ///
    /// # Errors
    /// As [`File::from_value`].
    pub fn with(&self, key: &str, value: Value) -> Result<Self> {
        let mut json = self.json();
        if let Value::Object(map) = &mut json {
            map.insert(key.to_owned(), value);
        }
        File::from_value(json)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({:?} {} rev {} {} B)", self.name, self.id, self.revision, self.size)
    }
}

fn own_tags(tags: Option<&Value>) -> Box<[(Box<str>, Box<str>)]> {
    let tags = tags.and_then(Value::as_object).into_iter().flatten();
    let own = tags.filter(|(key, _)| key.starts_with(OWN_TAGS));
    own.filter_map(|(key, value)| Some((Box::from(&**key), text_of(value)?.into_boxed_str()))).collect()
}

/// A string, or a number spelled as one; `None` for absent, null and the rest.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number, or a string that spells one.
pub fn number_of(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A drive (7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// See [`DriveId`].
    pub id: DriveId,
    /// The name given to it.
    pub name: String,
    /// Bytes; `None` = unlimited (the service says −1 or 0).
    pub total_bytes: Option<u64>,
    /// Bytes used, which may lag.
    pub used_bytes: u64,
    /// Whether the change feed is on, when the service says so.
    pub delta_enabled: Option<bool>,
}

impl Drive {
    /// Reads a Drive object (7.3).
    ///
    /// # Errors
    /// [`Kind::Protocol`] when it is not an object or has no `drive_id`.
    pub fn from_value(value: &Value) -> Result<Self> {
        let text = |key: &str| value.get(key).and_then(text_of).unwrap_or_default();
        let number = |key: &str| value.get(key).and_then(number_of);
        let id = text("drive_id");
        if id.is_empty() {
            return Err(Error::new(
                Kind::Protocol,
                "read a Drive",
                "the service described a drive without drive_id",
            ));
        }
        Ok(Drive {
            id: DriveId::from(&*id),
            name: text("drive_name"),
            total_bytes: number("total_size").filter(|&total| total > 0),
            used_bytes: number("used_size").unwrap_or(0),
            delta_enabled: value.get("delta_enabled").and_then(Value::as_bool),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers_are_interchangeable() {
        let file = File::parse(
            r#"{"file_id":"f","drive_id":1,"parent_file_id":"root","name":"n","type":"file","size":"12",
                "crc64_hash":3574582125365864400,"content_hash":"ab","revision_id":"r"}"#,
        )
        .unwrap();
        assert_eq!((file.size, file.crc64), (12, Some(3574582125365864400)));
        assert_eq!(file.sha1.as_deref(), Some("AB"));
    }

    #[test]
    fn unknown_fields_survive() {
        let file =
            File::parse(r#"{"file_id":"f","type":"file","tomorrow":{"a":[1,2]},"labels":null}"#).unwrap();
        assert_eq!(file.json()["tomorrow"]["a"][1], 2);
    }

    #[test]
    fn a_drive_without_limit_has_no_total() {
        let drive = |total: Value| {
            Drive::from_value(&serde_json::json!({"drive_id": 1, "total_size": total, "used_size": "7"}))
                .unwrap()
        };
        assert_eq!(drive((-1).into()).total_bytes, None);
        assert_eq!(drive(0.into()).total_bytes, None);
        assert_eq!(drive(9.into()).total_bytes, Some(9));
        assert_eq!((drive(9.into()).id.as_str(), drive(9.into()).used_bytes), ("1", 7));
        assert_eq!(Drive::from_value(&Value::Null).unwrap_err().kind(), Kind::Protocol);
    }

    #[test]
    fn a_file_without_id_is_refused() {
        assert_eq!(File::parse(r#"{"name":"x"}"#).unwrap_err().kind(), Kind::Protocol);
        assert_eq!(File::parse("[]").unwrap_err().kind(), Kind::Protocol);
        assert_eq!(File::parse("{").unwrap_err().kind(), Kind::Protocol);
    }
}
