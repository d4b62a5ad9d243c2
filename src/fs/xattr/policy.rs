//! What setting or removing an attribute means.
//!
//! Attributes of other programs, and the three aliases that live in a tag, are changed on the drive. All
//! others are the drive's own and read-only for now; `Writer` is the place where writable ones join.
//!
//! Copy tools set and remove the attributes they see without knowing whose they are, and `cp
//! --preserve=xattr` and `rsync -X` fail when that fails. A person at the shell deserves an honest EPERM.
//! The `auto` rule tells the two apart:
//!
//! 1. The file has no content on the drive yet, or newer content here: a copy is under way. Ignored.
//! 2. The process that created the file, within [`CREATOR_GRACE`]: `tar` and Python set attributes after
//!    close. Ignored.
//! 3. The process listed the attributes of the file within the same time: `rsync -X` lists what is there,
//!    sets what differs and removes what the source does not have. Ignored.
//! 4. The value is what it is already. Ignored.
//! 5. Otherwise not permitted.

use std::time::Duration;

use super::{Caller, Change, Local, MAX_NAME_BYTES, Mode, Options, ReadonlyPolicy, foreign};
use super::{Namespace, SetFlags, namespace};
use crate::error::{Error, Kind, Result};

/// For how long the process that created a file may still restore attributes on it, and one that listed them.
pub const CREATOR_GRACE: Duration = Duration::from_secs(60);

/// The highest `user.baloo.rating`.
const MAX_RATING: u32 = 10;

/// Who keeps an attribute's value.
enum Writer {
    /// The user tag of this key.
    Tag(String),
    /// The service itself.
    ReadOnly,
}

/// What the caller wants.
pub(super) enum Wish<'a> {
    /// To have this value.
    Set(&'a [u8], SetFlags),
    /// To have it gone.
    Remove,
}

/// The situation of one call.
pub(super) struct Case<'a> {
    pub name: &'a str,
    /// Whether a get would answer now.
    pub exists: bool,
    /// With this value, unless that would take a request.
    pub present: Option<Vec<u8>>,
    /// User tags there are on the file.
    pub tags: usize,
    pub local: &'a Local<'a>,
    pub options: &'a Options,
    pub caller: Caller,
}

/// Decides. Errors as [`super::set`] and [`super::remove`] document.
pub(super) fn decide(case: &Case<'_>, wish: &Wish<'_>) -> Result<Change> {
    check_name(case.name, case.options)?;
    match writer_of(case.name) {
        Writer::Tag(key) if case.options.mode == Mode::On => change_tag(case, wish, key),
        Writer::Tag(_) | Writer::ReadOnly => leave_alone(case, wish),
    }
}

fn writer_of(name: &str) -> Writer {
    foreign::key_of(name).map_or(Writer::ReadOnly, Writer::Tag)
}

fn check_name(name: &str, options: &Options) -> Result<()> {
    if namespace(name) != Namespace::User || options.mode == Mode::Off {
        return Err(error(
            Kind::Unsupported,
            "only attributes whose name starts with user. can be set",
            name,
        ));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(error(Kind::OutOfRange, "the name of an attribute has at most 255 bytes", name));
    }
    if name == "user." || name.contains('\0') {
        return Err(error(Kind::Invalid, "an attribute needs a name after user.", name));
    }
    Ok(())
}

fn change_tag(case: &Case<'_>, wish: &Wish<'_>, key: String) -> Result<Change> {
    check_presence(case, wish)?;
    let Wish::Set(value, _) = wish else {
        return Ok(Change::DeleteTag { key });
    };
    if case.name == "user.baloo.rating" && !is_rating(value) {
        return Err(error(Kind::Invalid, "a rating is a number from 0 to 10", case.name));
    }
    let text = foreign::encode(value);
    if key.len() + text.len() > foreign::MAX_TAG_BYTES {
        return Err(error(
            Kind::OutOfRange,
            "the drive keeps at most 2,000 bytes of name and value for an attribute",
            case.name,
        ));
    }
    if !case.exists && case.tags >= foreign::MAX_TAGS {
        return Err(error(Kind::NoSpace, "the drive keeps at most 1,000 tags for a file", case.name));
    }
    if case.present.as_deref() == Some(*value) {
        return Ok(Change::Ignore);
    }
    Ok(Change::PutTag { key, value: text })
}

/// The rule of the header for the drive's own attributes.
fn leave_alone(case: &Case<'_>, wish: &Wish<'_>) -> Result<Change> {
    let policy = case.options.readonly;
    if policy == ReadonlyPolicy::Auto && !case.local.committed {
        // What exists is not known before the service has seen the content: flags prove nothing.
        return Ok(Change::Ignore);
    }
    check_presence(case, wish)?;
    let same = matches!(wish, Wish::Set(value, _) if case.present.as_deref() == Some(*value));
    let ignored = match policy {
        ReadonlyPolicy::Ignore => true,
        ReadonlyPolicy::Auto => case.caller.is_creator_within_grace || case.caller.has_listed || same,
        ReadonlyPolicy::Deny => false,
    };
    if ignored {
        return Ok(Change::Ignore);
    }
    Err(error(
        Kind::NotPermitted,
        "this attribute belongs to the drive and cannot be changed here",
        case.name,
    ))
}

/// `XATTR_CREATE` wants it absent, `XATTR_REPLACE` and removing want it present.
fn check_presence(case: &Case<'_>, wish: &Wish<'_>) -> Result<()> {
    match (wish, case.exists) {
        (Wish::Set(_, SetFlags::Create), true) => {
            Err(error(Kind::Exists, "the attribute exists already", case.name))
        }
        (Wish::Set(_, SetFlags::Replace) | Wish::Remove, false) => {
            Err(error(Kind::NoAttribute, "there is no such attribute", case.name))
        }
        (Wish::Set(..) | Wish::Remove, _) => Ok(()),
    }
}

fn is_rating(value: &[u8]) -> bool {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u32>().ok());
    number.is_some_and(|number| number <= MAX_RATING)
}

fn error(kind: Kind, message: &str, name: &str) -> Error {
    Error::new(kind, "change attribute", message).on(name)
}
