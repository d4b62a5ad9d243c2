//! What setting or removing an attribute means.
//!
//! What people and programs attach is changed where it is kept ([`writable`]). All else is the drive's own.
//!
//! Copy tools set and remove the attributes they see without knowing whose they are, and `cp
//! --preserve=xattr` and `rsync -X` fail when that fails. A person at the shell deserves an honest EPERM.
//! For the drive's own, the `auto` rule tells the two apart:
//!
//! 1. The file has no content on the drive yet, or newer content here: a copy is under way. Ignored.
//! 2. The process that created the file, within [`CREATOR_GRACE`]: `tar` and Python set attributes after
//!    close. Ignored.
//! 3. The process listed the attributes of the file within the same time: `rsync -X` lists what is there,
//!    sets what differs and removes what the source does not have. Ignored.
//! 4. The process is a copy tool by its name: `tar` also restores attributes of folders it finds. Ignored.
//! 5. The value is what it is already. Ignored.
//! 6. Otherwise not permitted.
//!
//! Copy tools would also damage two things that can be set:
//!
//! * A time set by them as an attribute is the time of another copy; they set the file's own by `utimensat`.
//!   Ignored under 1 to 4.
//! * A mirroring tool (`rsync`) removes labels and descriptions that its source, a plain disk, cannot have. What
//!   is kept under the drive's own names and their aliases is not removed by it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::flatten::PREFIX;
use super::writable::{self, Keeper, keeper_of};
use super::{Caller, Change, Local, MAX_NAME_BYTES, Mode, Options, ReadonlyPolicy, Tool, foreign};
use super::{Namespace, SetFlags, namespace};
use crate::error::{Error, Kind, Result};

/// For how long the process that created a file may still restore attributes on it, and one that listed them.
pub const CREATOR_GRACE: Duration = Duration::from_secs(60);

/// What the caller wants.
pub(super) enum Wish<'a> {
    /// To have this value.
    Set(&'a [u8], SetFlags),
    /// To have it gone.
    Remove,
}

impl Wish<'_> {
    fn value(&self) -> Option<&[u8]> {
        match self {
            Wish::Set(value, _) => Some(value),
            Wish::Remove => None,
        }
    }
}

/// The situation of one call.
pub(super) struct Case<'a> {
    pub name: &'a str,
    /// Whether a get would answer now.
    pub exists: bool,
    /// With this value, unless that would take a request.
    pub present: Option<Vec<u8>>,
    /// The fields of the File object, with what is to be sent to the drive.
    pub file: Map<String, Value>,
    /// Whether the drive has the file, in whatever revision.
    pub on_drive: bool,
    pub local: &'a Local<'a>,
    pub options: &'a Options,
    pub caller: Caller,
}

/// Decides. Errors as [`super::set`] and [`super::remove`] document.
pub(super) fn decide(case: &Case<'_>, wish: &Wish<'_>) -> Result<Change> {
    check_name(case.name, case.options)?;
    let keeper = match keeper_of(case.name) {
        _ if case.options.mode != Mode::On => Keeper::Drive,
        Keeper::CreatedAt if case.on_drive => Keeper::Drive,
        keeper => keeper,
    };
    match (&keeper, wish) {
        (Keeper::Drive, _) => return leave_alone(case, wish),
        (Keeper::ModifiedAt, Wish::Set(..)) if is_copying(case) => return Ok(Change::Ignore),
        (Keeper::ModifiedAt | Keeper::CreatedAt, Wish::Remove) => return leave_alone(case, wish),
        (_, Wish::Remove) if case.caller.tool == Tool::Mirrors && !is_others(case.name) => {
            return Ok(Change::Ignore);
        }
        _ => {}
    }
    check_presence(case, wish)?;
    writable::change(case.name, &keeper, wish.value(), &case.file)
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

/// Whether this is, as far as anyone can tell, a copy tool at work on this file.
fn is_copying(case: &Case<'_>) -> bool {
    let caller = case.caller;
    !case.local.committed || caller.is_creator_within_grace || caller.has_listed || caller.tool != Tool::Other
}

/// Whether another program keeps its own in it, rather than the drive or its owner.
fn is_others(name: &str) -> bool {
    !name.starts_with(PREFIX) && foreign::is_foreign(name)
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
        ReadonlyPolicy::Auto => is_copying(case) || same,
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

fn error(kind: Kind, message: &str, name: &str) -> Error {
    Error::new(kind, "change attribute", message).on(name)
}
