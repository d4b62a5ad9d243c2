//! Who keeps an attribute, and what setting or removing one changes there.
//!
//! | kept by | set by (pds-api.md) |
//! |---|---|
//! | a field that `file/update` takes | [`Change::Annotate`] (10.1) |
//! | one user tag, or all of them | [`Change::Tags`] (10.6) |
//! | the modification time | [`Change::ModifiedAt`] (10.1) |
//! | the birth time | `create` alone (8.1), so only before the file is on the drive |
//! | nobody: `user.pds.refresh` is a request | [`Change::Refresh`] |
//! | the drive | read-only |
//!
//! # Choices
//! * A label list may be JSON, or words between commas or new lines: the first is exact, the second is what
//!   people type. Doubled labels are one.
//! * `user.xdg.tags` has commas between its words, so labels with a comma in them are out of its reach: they
//!   are not shown there and setting it keeps them.
//! * Removing a flag makes it `false`: the drive always has one.
//! * `user.pds.user_tags` as a whole leaves pdsfs's own tags (modes, links) alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::flatten::PREFIX;
use super::{Change, foreign, value};
use crate::error::{Error, Kind, Result};
use crate::pds::Annotations;

/// Characters of a description (pds-api.md 4.5).
const MAX_DESCRIPTION_CHARS: usize = 1_024;
/// Labels on one file, and characters of each (4.5).
const MAX_LABELS: usize = 100;
const MAX_LABEL_CHARS: usize = 128;
/// The highest `user.baloo.rating`.
const MAX_RATING: u32 = 10;

/// Who keeps an attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A field that `file/update` takes.
    Field(Field),
    /// The user tag of this key, in the encoding of [`foreign`].
    Foreign(String),
    /// The user tag of this key, as it is.
    Tag(String),
    /// All user tags.
    AllTags,
    /// `local_modified_at`.
    ModifiedAt,
    /// `local_created_at`.
    CreatedAt,
    /// Nobody: whoever sets it wants everything asked anew.
    Refresh,
    /// The service itself.
    Drive,
}

/// A field that `file/update` takes, as an attribute sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `description`.
    Description,
    /// `labels`, all of them.
    Labels,
    /// `labels` without a comma.
    Words,
    /// `starred`.
    Starred,
    /// `hidden`.
    Hidden,
    /// `user_meta`.
    UserMeta,
    /// `custom_index_key`.
    CustomIndexKey,
}

/// Who keeps the attribute `name`.
pub fn keeper_of(name: &str) -> Keeper {
    if let Some(key) = foreign::key_of(name) {
        return Keeper::Foreign(key);
    }
    match name {
        "user.xdg.tags" => return Keeper::Field(Field::Words),
        "user.xdg.comment" => return Keeper::Field(Field::Description),
        _ => {}
    }
    let Some(field) = name.strip_prefix(PREFIX) else { return Keeper::Drive };
    match field {
        "description" => Keeper::Field(Field::Description),
        "labels" => Keeper::Field(Field::Labels),
        "starred" => Keeper::Field(Field::Starred),
        "hidden" => Keeper::Field(Field::Hidden),
        "user_meta" => Keeper::Field(Field::UserMeta),
        "custom_index_key" => Keeper::Field(Field::CustomIndexKey),
        "user_tags" => Keeper::AllTags,
        "local_modified_at" => Keeper::ModifiedAt,
        "local_created_at" => Keeper::CreatedAt,
        "refresh" => Keeper::Refresh,
        _ => match field.strip_prefix("tag.") {
            Some(key) if !key.is_empty() && !key.starts_with(foreign::RESERVED_PREFIX) => {
                Keeper::Tag(key.to_owned())
            }
            Some(_) | None => Keeper::Drive,
        },
    }
}

/// The word of the README's column "Settable" for the attribute `name`.
pub fn word(name: &str) -> &'static str {
    match keeper_of(name) {
        Keeper::Drive => "",
        Keeper::CreatedAt => "before close",
        _ => "yes",
    }
}

/// What makes the attribute `name` have `value`, or go with `None`. `file` are the fields as they are.
///
/// # Errors
/// [`Kind::Invalid`] for a value that is none, [`Kind::OutOfRange`] for one that is too long,
/// [`Kind::NoSpace`] for too many; [`Kind::NotPermitted`] for what cannot be removed.
pub fn change(
    name: &str,
    keeper: &Keeper,
    value: Option<&[u8]>,
    file: &Map<String, Value>,
) -> Result<Change> {
    match keeper {
        Keeper::Field(field) => annotate(name, *field, value, file),
        Keeper::Foreign(key) => match value {
            Some(value) => put_tag(name, key, foreign_value(name, value)?, file),
            None => Ok(delete_tag(key)),
        },
        Keeper::Tag(key) => match value {
            Some(value) => put_tag(name, key, tag_text(name, value)?, file),
            None => Ok(delete_tag(key)),
        },
        Keeper::AllTags => replace_tags(name, value, file),
        Keeper::ModifiedAt | Keeper::CreatedAt => {
            let Some(value) = value else {
                return Err(error(Kind::NotPermitted, "every file has this time", name));
            };
            let time: jiff::Timestamp = text(name, value)?
                .trim()
                .parse()
                .map_err(|_| error(Kind::Invalid, "a time looks like 2026-01-31T23:59:59Z", name))?;
            Ok(match keeper {
                Keeper::ModifiedAt => Change::ModifiedAt(time.into()),
                _ => Change::CreatedAt(time.into()),
            })
        }
        Keeper::Refresh => Ok(Change::Refresh),
        Keeper::Drive => Err(error(Kind::NotPermitted, "this attribute belongs to the drive", name)),
    }
}

fn annotate(name: &str, field: Field, value: Option<&[u8]>, file: &Map<String, Value>) -> Result<Change> {
    let value = value.unwrap_or_default();
    let some_text = || text(name, value).map(|text| Some(text.to_owned()));
    let mut new = Annotations::default();
    match field {
        Field::Description => {
            if text(name, value)?.chars().count() > MAX_DESCRIPTION_CHARS {
                return Err(error(Kind::OutOfRange, "a description has at most 1,024 characters", name));
            }
            new.description = some_text()?;
        }
        Field::Labels => new.labels = Some(checked_labels(name, labels(name, value)?)?),
        Field::Words => {
            let now = file.get("labels").map(value::labels).unwrap_or_default();
            let beyond = now.into_iter().filter(|label| label.contains(','));
            let words = split(text(name, value)?, ',').chain(beyond).collect();
            new.labels = Some(checked_labels(name, words)?);
        }
        Field::Starred => new.starred = Some(flag(name, value)?),
        Field::Hidden => new.hidden = Some(flag(name, value)?),
        Field::UserMeta => new.user_meta = some_text()?,
        Field::CustomIndexKey => new.custom_index_key = some_text()?,
    }
    // A service may keep an index key without showing it: then nobody knows that it is there already.
    let is_known = field != Field::CustomIndexKey || file.contains_key("custom_index_key");
    Ok(if is_known && new.are_in(file) { Change::Ignore } else { Change::Annotate(new) })
}

/// Labels as a JSON array of texts, or as words.
fn labels(name: &str, value: &[u8]) -> Result<Vec<String>> {
    let text = text(name, value)?.trim();
    if !text.starts_with('[') {
        return Ok(text.lines().flat_map(|line| split(line, ',')).collect());
    }
    serde_json::from_str(text).map_err(|_| {
        error(Kind::Invalid, "labels are a JSON array of texts, or words with commas between", name)
    })
}

fn split(text: &str, between: char) -> impl Iterator<Item = String> {
    text.split(between).map(|word| word.trim().to_owned())
}

fn checked_labels(name: &str, labels: Vec<String>) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let labels: Vec<String> =
        labels.into_iter().filter(|label| !label.is_empty() && seen.insert(label.clone())).collect();
    if labels.iter().any(|label| label.chars().count() > MAX_LABEL_CHARS) {
        return Err(error(Kind::OutOfRange, "a label has at most 128 characters", name));
    }
    if labels.len() > MAX_LABELS {
        return Err(error(Kind::NoSpace, "the drive keeps at most 100 labels for a file", name));
    }
    Ok(labels)
}

/// Nothing, as after removing, is no.
fn flag(name: &str, value: &[u8]) -> Result<bool> {
    match text(name, value)?.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" | "" => Ok(false),
        _ => Err(error(Kind::Invalid, "this is true or false", name)),
    }
}

fn foreign_value(name: &str, value: &[u8]) -> Result<String> {
    let is_rating = || {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u32>().ok());
        number.is_some_and(|number| number <= MAX_RATING)
    };
    if name == "user.baloo.rating" && !is_rating() {
        return Err(error(Kind::Invalid, "a rating is a number from 0 to 10", name));
    }
    Ok(foreign::encode(value))
}

fn tag_text(name: &str, value: &[u8]) -> Result<String> {
    let text = text(name, value)?;
    if text.contains('#') || name.contains('#') {
        return Err(error(Kind::Invalid, "the drive has no tags with # in them", name));
    }
    Ok(text.to_owned())
}

fn put_tag(name: &str, key: &str, text: String, file: &Map<String, Value>) -> Result<Change> {
    check_tag(name, key, &text)?;
    let now = tags(file);
    if now.get(key) == Some(&text) {
        return Ok(Change::Ignore);
    }
    if !now.contains_key(key) && now.len() >= foreign::MAX_TAGS {
        return Err(error(Kind::NoSpace, "the drive keeps at most 1,000 tags for a file", name));
    }
    Ok(Change::Tags { put: BTreeMap::from([(key.to_owned(), text)]), delete: Vec::new() })
}

fn delete_tag(key: &str) -> Change {
    Change::Tags { put: BTreeMap::new(), delete: vec![key.to_owned()] }
}

fn check_tag(name: &str, key: &str, text: &str) -> Result<()> {
    if key.len() + text.len() > foreign::MAX_TAG_BYTES {
        let message = "the drive keeps at most 2,000 bytes of key and value for a tag";
        return Err(error(Kind::OutOfRange, message, name));
    }
    Ok(())
}

/// The difference to the tags there are.
fn replace_tags(name: &str, value: Option<&[u8]>, file: &Map<String, Value>) -> Result<Change> {
    let mut wanted: BTreeMap<String, String> = match value {
        Some(value) => {
            let map: BTreeMap<String, Value> = serde_json::from_str(text(name, value)?)
                .map_err(|_| error(Kind::Invalid, "tags are a JSON object of texts", name))?;
            value::tags(&Value::from_iter(map)).into_iter().collect()
        }
        None => BTreeMap::new(),
    };
    wanted.retain(|key, _| !key.starts_with(foreign::RESERVED_PREFIX));
    for (key, text) in &wanted {
        if key.is_empty() || key.contains('#') || text.contains('#') {
            return Err(error(Kind::Invalid, "a tag has a key, and no # in it", name));
        }
        check_tag(name, key, text)?;
    }
    if wanted.len() > foreign::MAX_TAGS {
        return Err(error(Kind::NoSpace, "the drive keeps at most 1,000 tags for a file", name));
    }
    let now = tags(file);
    let is_gone = |key: &&String| !key.starts_with(foreign::RESERVED_PREFIX) && !wanted.contains_key(*key);
    let delete: Vec<String> = now.keys().filter(is_gone).cloned().collect();
    let put: BTreeMap<_, _> = wanted.into_iter().filter(|(key, text)| now.get(key) != Some(text)).collect();
    if put.is_empty() && delete.is_empty() {
        return Ok(Change::Ignore);
    }
    Ok(Change::Tags { put, delete })
}

fn tags(file: &Map<String, Value>) -> BTreeMap<String, String> {
    file.get("user_tags").map(value::tags).unwrap_or_default().into_iter().collect()
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'));
    text.ok_or_else(|| error(Kind::Invalid, "the drive keeps text here, and this is not UTF-8", name))
}

fn error(kind: Kind, message: &str, name: &str) -> Error {
    Error::new(kind, "change attribute", message).on(name)
}
