//! What can be asked about a file: names, types, and where the store has it.

/// The type of a field decides its operators and its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `=`, `prefix`, `match`, `in`.
    Text,
    /// A set of strings: `=` and `in` ask for members, `prefix` and `match` look at each.
    Texts,
    /// `=` and comparisons with whole numbers.
    Long,
    /// `=` and comparisons with numbers.
    Double,
    /// `=` with `true` and `false`.
    Bool,
    /// `=` and comparisons with times in quotes.
    Date,
}

impl Type {
    /// As a message calls a value of it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Text | Type::Texts => "a string in quotes",
            Type::Long => "a whole number",
            Type::Double => "a number",
            Type::Bool => "true or false",
            Type::Date => "a time in quotes like \"2006-01-02T15:04:05\"",
        }
    }
}

/// A field of a File.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// One of [`FIELDS`]: its type and its SQL over `ENTRY_TABLES`, never NULL.
    Plain(Type, &'static str),
    /// The folder it is in; below which it is, in a recursive search.
    Parent,
    /// Members of `labels`.
    Labels,
    /// User tags: `"key"` for any value, `"key#value"` for this one.
    Tags,
    /// The value of this user tag, `user_tags.KEY`.
    Tag(String),
}

/// After the last dot of the name, in lower case.
const EXTENSION: &str = "CASE WHEN e.folder OR instr(e.name, '.') = 0 THEN '' ELSE \
     lower(substr(e.name, length(rtrim(e.name, replace(e.name, '.', ''))) + 1)) END";
const TYPE: &str = "CASE e.folder WHEN 1 THEN 'folder' ELSE 'file' END";
const IMAGE_TIME: &str = "coalesce(CAST(unixepoch(coalesce(json_extract(e.meta_json, '$.image_media_metadata.time'), \
     json_extract(r.image_json, '$.time')), 'subsec') * 1000 AS INTEGER), 0)";
const IMAGE_SCORE: &str = "CAST(coalesce(json_extract(e.meta_json, '$.image_media_metadata.image_quality.overall_score'), \
     json_extract(r.image_json, '$.image_quality.overall_score'), 0.0) AS REAL)";

macro_rules! meta {
    ($path:literal) => {
        concat!("coalesce(json_extract(e.meta_json, '$.", $path, "'), '')")
    };
}
macro_rules! meta_flag {
    ($path:literal) => {
        concat!("coalesce(json_extract(e.meta_json, '$.", $path, "'), 0)")
    };
}
macro_rules! meta_time {
    ($path:literal) => {
        concat!(
            "coalesce(CAST(unixepoch(json_extract(e.meta_json, '$.",
            $path,
            "'), 'subsec') * 1000 AS INTEGER), 0)"
        )
    };
}
macro_rules! derived {
    ($name:literal) => {
        concat!("coalesce(json_extract(e.meta_json, '$.", $name, "'), r.", $name, ", '')")
    };
}

/// The fields of the documentation's examples, and the others that are as plain.
const FIELDS: &[(&str, Type, &str)] = &[
    ("name", Type::Text, "e.name"),
    ("file_id", Type::Text, "e.file_id"),
    ("drive_id", Type::Text, "CAST(e.drive AS TEXT)"),
    ("type", Type::Text, TYPE),
    ("status", Type::Text, "'available'"),
    ("category", Type::Text, derived!("category")),
    ("mime_type", Type::Text, derived!("mime_type")),
    ("mime_extension", Type::Text, derived!("mime_extension")),
    ("content_type", Type::Text, derived!("content_type")),
    ("file_extension", Type::Text, EXTENSION),
    ("size", Type::Long, "e.size"),
    ("hidden", Type::Bool, meta_flag!("hidden")),
    ("starred", Type::Bool, meta_flag!("starred")),
    ("created_at", Type::Date, "e.created_at"),
    ("updated_at", Type::Date, "e.updated_at"),
    ("trashed_at", Type::Date, "coalesce(e.trashed_at, 0)"),
    ("local_created_at", Type::Date, meta_time!("local_created_at")),
    ("local_modified_at", Type::Date, meta_time!("local_modified_at")),
    ("last_access_at", Type::Date, "e.updated_at"),
    ("image_time", Type::Date, IMAGE_TIME),
    ("image_overall_score", Type::Double, IMAGE_SCORE),
    ("description", Type::Text, meta!("description")),
    ("user_meta", Type::Text, meta!("user_meta")),
    ("custom_type", Type::Text, meta!("custom_type")),
    ("custom_field_1", Type::Text, meta!("custom_field_1")),
    ("custom_field_2", Type::Text, meta!("custom_field_2")),
    ("custom_index_key", Type::Text, meta!("custom_index_key")),
    ("content_hash", Type::Text, "coalesce(hex(b.sha1), '')"),
    ("revision_id", Type::Text, "coalesce(r.id, '')"),
];

/// What `order_by` may name.
pub const ORDER_FIELDS: &[&str] = &[
    "name",
    "type",
    "created_at",
    "updated_at",
    "size",
    "image_time",
    "last_access_at",
    "custom_type",
    "custom_field_1",
    "custom_field_2",
    "image_overall_score",
];

impl Field {
    /// The field of this name.
    pub fn named(name: &str) -> Option<Field> {
        match name {
            "parent_file_id" => return Some(Field::Parent),
            "labels" | "label" => return Some(Field::Labels),
            "user_tags" => return Some(Field::Tags),
            _ => {}
        }
        if let Some(key) = name.strip_prefix("user_tags.") {
            return (!key.is_empty()).then(|| Field::Tag(key.to_owned()));
        }
        let (_, kind, sql) = FIELDS.iter().find(|(known, _, _)| *known == name)?;
        Some(Field::Plain(*kind, sql))
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Field::Plain(kind, _) => *kind,
            Field::Parent | Field::Tag(_) => Type::Text,
            Field::Labels | Field::Tags => Type::Texts,
        }
    }
}
