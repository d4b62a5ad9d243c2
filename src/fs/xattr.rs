//! Extended attributes: what the drive knows about a file, under names that `getfattr` shows.
//!
//! Everything here is a pure function of a [`File`], of what this machine knows beside it ([`Local`]) and
//! of the mount's [`Options`]. Nothing asks the network: a signed URL, which must be fresh, is answered by
//! [`Answer::Fetch`], and setting answers with the [`Change`] to make. The caller does both.
//!
//! | part | question it answers |
//! |---|---|
//! | [`table`] | which attributes are there, which are listed, what do they mean |
//! | [`mod@flatten`] | which of them does this File object have |
//! | [`value`] | how does a JSON value become bytes, which URLs must go |
//! | [`mod@list`] | which are named by `listxattr` |
//! | [`foreign`] | how do other programs' attributes live in user tags |
//! | [`policy`] | who may set or remove what |
//! | [`writable`] | what does that change, and where |
//!
//! # Names
//! `user.pds.*` is the drive's; a few well-known names (`user.xdg.tags`, ...) are aliases; any other
//! `user.*` belongs to whoever set it. Outside `user.` nothing is kept: `security.*` does not exist here
//! (the kernel asks before each write and must hear "no attribute"), the rest, ACLs included, is not
//! supported. Nothing is ever answered by ENOSYS, which would switch attributes off for the whole mount.
//!
//! # While newer bytes wait for their upload
//! What the service found in the old bytes (size, hashes, media) would lie about the new ones, so it is
//! absent until the new revision is complete. Ids, times of creation and what people attached stay
//! readable. The list names only what setting can really change. A field this version does not know counts
//! as found in the bytes.
//!
//! # Choices
//! * A tag without a value is an attribute with an empty value: here it is the key that carries meaning.
//! * `all` lists whatever [`get`] answers without a request, EXIF tags and JSON included.
//! * An unknown field is listed, after all known ones, when it is not JSON and fits the budget.
//! * `user.pds.json` never has signed URLs. Other attributes that hold some are fetched anew with
//!   `--xattr-urls`, because those in a listing have usually expired.

pub mod flatten;
pub mod foreign;
pub mod list;
pub mod policy;
pub mod table;
#[cfg(test)]
mod tests;
pub mod value;
pub mod writable;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use self::flatten::{Attribute, PREFIX, Urls, flatten};
use self::policy::{Case, Wish};
use self::table::{Meant, Show};
use crate::error::{Error, Kind, Result};
use crate::pds::model::File;
use crate::pds::{Annotations, NewAttributes};

/// The longest attribute name the kernel passes, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// The longest value the kernel takes back, in bytes (`XATTR_SIZE_MAX`).
pub const MAX_VALUE_BYTES: usize = 65_536;

/// Where the copy on this machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing here, nothing to send.
    Clean,
    /// All bytes are here.
    Cached,
    /// Some bytes are here.
    Partial,
    /// Kept here for offline use.
    Pinned,
    /// Bytes that no revision has yet.
    Dirty,
    /// They are being sent.
    Uploading,
    /// Sending them failed.
    Error,
    /// The service cannot be reached.
    Offline,
}

impl State {
    /// The word of `user.pds.state`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Clean => "clean",
            State::Cached => "cached",
            State::Partial => "partial",
            State::Pinned => "pinned",
            State::Dirty => "dirty",
            State::Uploading => "uploading",
            State::Error => "error",
            State::Offline => "offline",
        }
    }
}

/// What lies below a folder, when the whole subtree is known and fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Sum of the sizes of all files.
    pub bytes: u64,
    /// Files at any depth.
    pub files: u64,
    /// Folders at any depth, without the folder itself.
    pub folders: u64,
}

/// What this machine knows about a file beside its File object; all of it cheap to gather.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// The name shown in this mount.
    pub visible_name: &'a str,
    /// See [`State`].
    pub state: State,
    /// Bytes of the current content on this machine.
    pub cached_bytes: u64,
    /// Bytes sent and bytes in all, while uploading.
    pub upload_progress: Option<(u64, u64)>,
    /// One sentence about the last failure, without URLs.
    pub upload_error: Option<&'a str>,
    /// Time since the service said what the File object says.
    pub cache_age: Duration,
    /// Whether the current content is a revision on the drive. Folders on the drive are committed.
    pub committed: bool,
    /// What was attached to a file that was not on the drive at all; it goes out with `create`, or right after.
    pub pending: &'a NewAttributes,
    /// For a folder whose subtree is completely known.
    pub subtree: Option<Subtree>,
    /// What [`flat`] makes of the file with what is pending, when the caller has it at hand.
    pub flat: Option<&'a [Attribute]>,
}

/// `--xattr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Readable, and writable where the drive can keep it.
    #[default]
    On,
    /// Readable; every attribute is treated as the drive's own.
    ReadOnly,
    /// Not supported at all.
    Off,
}

/// `--xattr-list`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListPolicy {
    /// The listed rows of the table within the budget.
    #[default]
    Auto,
    /// Everything that can be got without a request, without a budget.
    All,
    /// What people and programs attached, within the budget.
    User,
    /// Nothing.
    None,
}

/// `--xattr-readonly`: what setting one of the drive's own attributes does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadonlyPolicy {
    /// Copy tools succeed without effect, others are told. See [`policy`].
    #[default]
    Auto,
    /// Never permitted.
    Deny,
    /// Always succeeds without effect.
    Ignore,
}

/// How the mount treats attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--xattr`.
    pub mode: Mode,
    /// `--xattr-list`.
    pub list: ListPolicy,
    /// `--xattr-readonly`.
    pub readonly: ReadonlyPolicy,
    /// `--xattr-urls`: signed URLs may be read.
    pub urls: bool,
}

/// What `getxattr` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes.
    Value(Vec<u8>),
    /// The value holds signed URLs: get the File anew, then ask [`fetched`].
    Fetch(FetchUrl),
}

/// A value that must be fetched for the call that asks for it, neither cached nor logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchUrl {
    /// The attribute.
    pub name: String,
    /// The field of the File object it is in, such as `download_url`; `file/get` may want it named in
    /// `fields`, and `download_url` has a call of its own (pds-api.md 9.1, 12.1).
    pub field: String,
}

/// The flags of `setxattr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetFlags {
    /// Create or replace.
    Any,
    /// `XATTR_CREATE`.
    Create,
    /// `XATTR_REPLACE`.
    Replace,
}

impl SetFlags {
    /// Reads the flags of the system call.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for both at once and for any other bit.
    pub fn from_bits(bits: i32) -> Result<Self> {
        match bits {
            0 => Ok(SetFlags::Any),
            libc::XATTR_CREATE => Ok(SetFlags::Create),
            libc::XATTR_REPLACE => Ok(SetFlags::Replace),
            _ => Err(Error::new(Kind::Invalid, "change attribute", "the flags contradict each other")),
        }
    }
}

/// What matters about the process that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// It created this file no longer than [`policy::CREATOR_GRACE`] ago.
    pub is_creator_within_grace: bool,
    /// It listed the attributes of this file no longer than that ago, as only tools do that make one file like
    /// another: nobody who names an attribute needs to.
    pub has_listed: bool,
    /// Which tool it is, as far as that is known.
    pub tool: Tool,
}

/// Programs that are known to carry attributes from one file to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Sets what the source has: `tar`.
    Copies,
    /// Also removes what the source does not have: `rsync`.
    Mirrors,
    /// Anything else, or not known.
    Other,
}

impl Tool {
    /// The tool a process is by its name, as `/proc/PID/comm` tells it.
    pub fn named(name: &str) -> Self {
        match name {
            "rsync" => Tool::Mirrors,
            "tar" | "bsdtar" | "star" | "cpio" | "bsdcpio" | "borg" | "restic" | "rclone" => Tool::Copies,
            _ => Tool::Other,
        }
    }
}

/// What a set or remove means; the caller performs it. For a file that is not on the drive yet the caller
/// keeps it in [`Local::pending`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It succeeds without effect.
    Ignore,
    /// `file/update` with these (pds-api.md 10.1).
    Annotate(Annotations),
    /// `file/put_usertags` and `file/delete_usertags` (10.6).
    Tags {
        /// Added or replaced.
        put: BTreeMap<String, String>,
        /// The keys of those that go.
        delete: Vec<String>,
    },
    /// The file's modification time.
    ModifiedAt(SystemTime),
    /// The file's birth time, which `create` carries.
    CreatedAt(SystemTime),
    /// Ask the drive about it anew.
    Refresh,
}

/// The value of an attribute.
///
/// `file` is the File object as last seen, or `None` for a file that is not on the drive yet.
///
/// # Errors
/// [`Kind::NoAttribute`] when it does not exist; [`Kind::Unsupported`] outside `user.` and `security.`, and
/// when attributes are off.
pub fn get(file: Option<&File>, local: &Local<'_>, options: &Options, name: &str) -> Result<Answer> {
    let missing = |kind| Err(Error::new(kind, "read attribute", "there is no such attribute").on(name));
    match namespace(name) {
        Namespace::Security => return missing(Kind::NoAttribute),
        Namespace::User if options.mode != Mode::Off => {}
        Namespace::User | Namespace::Other => return missing(Kind::Unsupported),
    }
    let found = attributes(file, local, Some(name)).into_iter().find(|attribute| attribute.name == name);
    let is_link = found.as_ref().is_some_and(|it| it.show == Show::Link || it.had_urls) || is_link_name(name);
    let can_fetch = local.committed && file.is_some_and(|file| !file.is_folder());
    if options.urls && is_link && can_fetch {
        return Ok(Answer::Fetch(FetchUrl { name: name.into(), field: field_of(name).into() }));
    }
    match found {
        Some(attribute) if attribute.show != Show::Link => Ok(Answer::Value(attribute.value)),
        Some(_) | None => missing(Kind::NoAttribute),
    }
}

/// The value of an attribute with signed URLs, from a File object fetched for this call.
///
/// # Errors
/// [`Kind::NoAttribute`] when the service sent none.
pub fn fetched(fresh: &File, fetch: &FetchUrl) -> Result<Vec<u8>> {
    let all = flatten(&object(fresh), Urls::Keep, Some(&fetch.name));
    let found = all.into_iter().find(|attribute| attribute.name == fetch.name);
    found.map(|attribute| attribute.value).ok_or_else(|| {
        Error::new(Kind::NoAttribute, "read attribute", "the service sent no such URL").on(&fetch.name)
    })
}

/// The names of the attributes a listing shows, most important first; see [`mod@list`].
///
/// # Errors
/// [`Kind::Unsupported`] when attributes are off.
pub fn list(file: Option<&File>, local: &Local<'_>, options: &Options) -> Result<Vec<String>> {
    match (options.mode, options.list) {
        (Mode::Off, _) => {
            Err(Error::new(Kind::Unsupported, "list attributes", "attributes are off (--xattr=off)"))
        }
        (Mode::On | Mode::ReadOnly, ListPolicy::None) => Ok(Vec::new()),
        (Mode::On | Mode::ReadOnly, policy) => Ok(list::select(attributes(file, local, None), local, policy)),
    }
}

/// The bytes of `listxattr`: each name with a NUL behind it.
pub fn encode_list(names: &[String]) -> Vec<u8> {
    names.iter().flat_map(|name| name.bytes().chain([0])).collect()
}

/// What setting an attribute means.
///
/// # Errors
/// [`Kind::Unsupported`] outside `user.` and when attributes are off; [`Kind::NotPermitted`] for the
/// drive's own under the rule of [`policy`]; [`Kind::Exists`] and [`Kind::NoAttribute`] by the flags;
/// [`Kind::OutOfRange`] for a name over 255 bytes or a value over the drive's limit; [`Kind::NoSpace`] for the
/// 1,001st tag or 101st label; [`Kind::Invalid`] for a value that is none.
pub fn set(
    file: Option<&File>,
    local: &Local<'_>,
    options: &Options,
    name: &str,
    value: &[u8],
    flags: SetFlags,
    caller: Caller,
) -> Result<Change> {
    policy::decide(&case(file, local, options, name, caller), &Wish::Set(value, flags))
}

/// What removing an attribute means.
///
/// # Errors
/// As [`set`]; [`Kind::NoAttribute`] when it is not there.
pub fn remove(
    file: Option<&File>,
    local: &Local<'_>,
    options: &Options,
    name: &str,
    caller: Caller,
) -> Result<Change> {
    policy::decide(&case(file, local, options, name, caller), &Wish::Remove)
}

fn case<'a>(
    file: Option<&File>,
    local: &'a Local<'a>,
    options: &'a Options,
    name: &'a str,
    caller: Caller,
) -> Case<'a> {
    let answer = get(file, local, options, name).ok();
    let exists = answer.is_some();
    let present = match answer {
        Some(Answer::Value(value)) => Some(value),
        Some(Answer::Fetch(_)) | None => None,
    };
    let on_drive = file.is_some();
    Case { name, exists, present, file: local.pending.over(file), on_drive, local, options, caller }
}

/// How `getxattr` and `listxattr` answer a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The buffer has no size: the length in bytes.
    Size(u32),
    /// The bytes fit.
    Data,
}

/// The size rules of `getxattr` and `listxattr` for a value and the caller's buffer size in bytes.
///
/// # Errors
/// [`Kind::TooMany`] over 64 KiB, also when only the size is asked; [`Kind::OutOfRange`] when the buffer is
/// too small.
pub fn reply(value: &[u8], buffer: u32) -> Result<Reply> {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    if value.len() > MAX_VALUE_BYTES {
        return Err(Error::new(Kind::TooMany, "read attribute", "it is longer than 64 KiB"));
    }
    match buffer {
        0 => Ok(Reply::Size(length)),
        _ if buffer < length => {
            Err(Error::new(Kind::OutOfRange, "read attribute", "the buffer is too small"))
        }
        _ => Ok(Reply::Data),
    }
}

/// The part of a name that says who is in charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// `user.`: this module's.
    User,
    /// `security.`: never there.
    Security,
    /// `system.` (ACLs), `trusted.` and the rest: not supported.
    Other,
}

pub(crate) fn namespace(name: &str) -> Namespace {
    if name.starts_with("user.") {
        Namespace::User
    } else if name.starts_with("security.") {
        Namespace::Security
    } else {
        Namespace::Other
    }
}

/// The attributes of a File object and of what is to be sent to the drive, whether or not they are true now. Worth
/// keeping for the many calls that follow each other about one file.
pub fn flat(file: Option<&File>, pending: &NewAttributes) -> Vec<Attribute> {
    flatten(&pending.over(file), Urls::Strip, None)
}

/// Everything that is true about the file now, each name once, in no order; at least `wanted` of it.
fn attributes(file: Option<&File>, local: &Local<'_>, wanted: Option<&str>) -> Vec<Attribute> {
    let mut all = local_attributes(file, local);
    let from_file: Vec<Attribute> = match local.flat {
        Some(flat) => {
            flat.iter().filter(|one| wanted.is_none_or(|wanted| wanted == one.name)).cloned().collect()
        }
        None => flatten(&local.pending.over(file), Urls::Strip, wanted),
    };
    let keep = |attribute: &Attribute| {
        let is_true = local.committed || !matches!(attribute.meant, Meant::Content);
        is_true && !all.iter().any(|earlier| earlier.name == attribute.name)
    };
    let mut from_file: Vec<_> = from_file.into_iter().filter(keep).collect();
    let name = format!("{PREFIX}name");
    if file.is_some_and(|file| *file.name != *local.visible_name)
        && let Some(attribute) = from_file.iter_mut().find(|attribute| attribute.name == name)
    {
        attribute.show = Show::Listed;
    }
    all.append(&mut from_file);
    all
}

/// What this machine knows.
fn local_attributes(file: Option<&File>, local: &Local<'_>) -> Vec<Attribute> {
    let make = |name: &str, value: Vec<u8>, show: Option<Show>| {
        let found = table::find(name);
        let show = show.unwrap_or(found.row.show);
        Attribute {
            name: name.into(),
            value,
            rank: found.rank,
            show,
            meant: found.row.meant,
            had_urls: false,
        }
    };
    let ours = |field: &str, value: String, show| make(&format!("{PREFIX}{field}"), value.into_bytes(), show);
    let mut all = Vec::new();
    let expected = matches!(local.state, State::Clean | State::Cached);
    let show = if expected { Show::Hidden } else { Show::Listed };
    all.push(ours("state", local.state.as_str().into(), Some(show)));
    if !file.is_some_and(File::is_folder) {
        all.push(ours("cached_bytes", local.cached_bytes.to_string(), None));
    }
    if let Some((sent, total)) = local.upload_progress {
        all.push(ours("upload_progress", format!("{sent}/{total}"), None));
    }
    if let Some(message) = local.upload_error.filter(|message| !message.is_empty()) {
        all.push(ours("upload_error", message.into(), None));
    }
    if file.is_some() {
        all.push(ours("cache_age", local.cache_age.as_secs().to_string(), None));
    }
    if let Some(Subtree { bytes, files, folders }) = local.subtree {
        let counts = [("dir.rbytes", bytes), ("dir.rfiles", files), ("dir.rsubdirs", folders)];
        all.extend(counts.map(|(field, count)| ours(field, count.to_string(), None)));
    }
    all
}

fn object(file: &File) -> Map<String, Value> {
    match file.json() {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Whether the table says that this attribute is a signed URL, even if the last listing did not bring it.
fn is_link_name(name: &str) -> bool {
    table::find(name).row.show == Show::Link && name.starts_with(PREFIX)
}

/// The field of the File object an attribute of ours comes from.
fn field_of(name: &str) -> &str {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    match rest.split('.').next().unwrap_or(rest) {
        "image" if rest != "image" => "image_media_metadata",
        "video" if rest != "video" => "video_media_metadata",
        "streams_info" => "streams_info",
        _ => rest,
    }
}
