//! What a user can choose, as plain values.
//!
//! Owns the options of a mount after they have been read from flags and environment ([`MountOptions`] for
//! the kernel's side, [`FsOptions`] for the filesystem core), the words they are spelled with ([`Word`]),
//! the parsers of sizes and durations ([`value`]), where things live on disk ([`paths`]) and how a command
//! ends ([`exit`]). There is no command line parser in here: `cli` fills these in, everybody else reads.
//!
//! Every limit and default is a constant with its reason, so that `--help` and the code cannot disagree.

pub mod exit;
pub mod paths;
pub mod value;

use std::path::PathBuf;
use std::time::Duration;

pub use exit::{Exit, Failure};

/// The filesystem subtype: mounts show as `fuse.pdsfs` in `/proc/self/mountinfo`.
pub const SUBTYPE: &str = "pdsfs";

/// How large the local copies of clean content may grow together, in bytes.
pub const DEFAULT_CACHE_BYTES: u64 = 10 << 30;
/// The smallest cache that can hold what one read ahead and one shard need at once, in bytes.
pub const MIN_CACHE_BYTES: u64 = 64 << 20;
/// Bytes per uploaded part: large enough that the round trip per part does not matter, small enough that a
/// repeated part costs little. 10,000 parts of it (the service's limit) are 156 GiB.
pub const DEFAULT_PART_BYTES: u64 = 16 << 20;
/// The service's lower limit of a part that is not the last (pds-api.md section 4.4), a multiple of 64.
pub const MIN_PART_BYTES: u64 = 100 << 10;
/// The service's upper limit of a part, in bytes (pds-api.md section 4.4).
pub const MAX_PART_BYTES: u64 = 5 << 30;
/// Parts must be a multiple of this in parallel uploads (pds-api.md section 8.7), in bytes.
pub const PART_ALIGN: u64 = 64;
/// The bound of every buffer of the process together, in bytes.
pub const DEFAULT_MEMORY_BYTES: u64 = 512 << 20;
/// Less than this cannot hold a part in flight and a read window at once, in bytes.
pub const MIN_MEMORY_BYTES: u64 = 64 << 20;
/// More parallel transfers than this only queue up in the service's rate limits.
pub const MAX_PARALLEL: usize = 64;

/// An option whose values are words. The first word of [`Word::WORDS`] is not special: defaults are named
/// where the option is.
pub trait Word: Copy + Sized + 'static {
    /// Every spelling with its value, in the order help text shows them.
    const WORDS: &'static [(&'static str, Self)];

    /// The value spelled `word`.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(spelling, _)| *spelling == word).map(|(_, value)| *value)
    }
}

/// Where a deleted file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletePolicy {
    /// To the drive's recycle bin (pds-api.md, recyclebin/trash).
    Recycle,
    /// Gone at once (pds-api.md, file/delete).
    Permanent,
}

impl Word for DeletePolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("recycle", Self::Recycle), ("permanent", Self::Permanent)];
}

/// What fsync waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// The local disk, journal included: what was written reaches the drive also after a power cut.
    Local,
    /// The drive, as close does.
    Drive,
}

impl Word for Fsync {
    const WORDS: &'static [(&'static str, Self)] = &[("local", Self::Local), ("drive", Self::Drive)];
}

/// Whether something is done at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl Word for Switch {
    const WORDS: &'static [(&'static str, Self)] = &[("on", Self::On), ("off", Self::Off)];
}

/// What close waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    /// The drive has the file.
    #[default]
    Through,
    /// The local disk has it, journal included; the drive gets it in the background.
    Back,
}

impl Word for WriteMode {
    const WORDS: &'static [(&'static str, Self)] = &[("through", Self::Through), ("back", Self::Back)];
}

/// Whether the drive is asked for bytes it has already (pds-api.md 8.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rapid {
    /// Where that costs nothing: files of one part, and those that are sent when they are closed.
    #[default]
    Auto,
    /// Never: the hash of a file is not told before its bytes.
    Off,
    /// For every file, which is sent only when it is closed, because its hash is not known before.
    Always,
}

impl Word for Rapid {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("off", Self::Off), ("always", Self::Always)];
}

/// What happens to a file that someone else changed on the drive while it was written here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Both are kept: ours under a name that says so.
    #[default]
    Keep,
    /// Ours stays on this machine, and its close fails with ESTALE.
    Fail,
}

impl Word for OnConflict {
    const WORDS: &'static [(&'static str, Self)] = &[("keep", Self::Keep), ("fail", Self::Fail)];
}

/// How what is written reaches the drive.
#[derive(Clone, Copy, Debug, Default)]
pub struct WritePolicy {
    /// What close waits for.
    pub mode: WriteMode,
    /// Whether the drive is asked for bytes it has already.
    pub rapid: Rapid,
    /// What a conflict leads to.
    pub on_conflict: OnConflict,
}

/// Whether extended attributes are served (users-want.md C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrMode {
    /// Read and, where the service can keep them, written.
    On,
    /// Read only.
    ReadOnly,
    /// Not at all: every call is refused as unsupported.
    Off,
}

impl Word for XattrMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("on", Self::On), ("ro", Self::ReadOnly), ("off", Self::Off)];
}

/// Which attributes `listxattr` names (users-want.md C3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrList {
    /// Those with a value that a person may want to see.
    Auto,
    /// Every attribute with a value.
    All,
    /// Only those the user made.
    User,
    /// None; each is still readable by name.
    None,
}

impl Word for XattrList {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("all", Self::All), ("user", Self::User), ("none", Self::None)];
}

/// What happens when a program sets an attribute that only the service can set (users-want.md C5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrReadonly {
    /// Accepted silently where a copy tool does it, refused otherwise.
    Auto,
    /// Always refused.
    Deny,
    /// Always accepted, without effect.
    Ignore,
}

impl Word for XattrReadonly {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("deny", Self::Deny), ("ignore", Self::Ignore)];
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what may surprise.
    Warn,
    /// And what happens to the mount as a whole.
    Info,
    /// And each request.
    Debug,
    /// And each step.
    Trace,
}

impl LogLevel {
    /// The word a filter understands.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    /// The level `steps` more talkative; it stops at [`LogLevel::Trace`].
    #[must_use]
    pub fn louder(self, steps: u8) -> Self {
        let all = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        all[(self as usize + usize::from(steps)).min(all.len() - 1)]
    }
}

impl Word for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// How much of the local disk must stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFree {
    /// So many bytes.
    Bytes(u64),
    /// So many percent of the disk's size, 0 to 99.
    Percent(u8),
}

impl MinFree {
    /// The floor in bytes on a disk of `disk_bytes`.
    pub fn bytes(self, disk_bytes: u64) -> u64 {
        match self {
            MinFree::Bytes(bytes) => bytes,
            MinFree::Percent(percent) => disk_bytes / 100 * u64::from(percent),
        }
    }
}

/// The kernel's side of a mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// No changes: the kernel refuses them before they reach us.
    pub read_only: bool,
    /// Other users may look in. An ordinary user needs `user_allow_other` in /etc/fuse.conf.
    pub allow_other: bool,
    /// Who owns every file that does not say otherwise.
    pub uid: u32,
    /// The group of every file that does not say otherwise.
    pub gid: u32,
    /// Mode bits taken away from every file and folder, 0 to 0o777.
    pub umask: u32,
    /// What `mount` and `df` show as the source: `pdsfs#` and the source in words. No comma, no blank.
    pub fsname: String,
}

/// Where the running mount can be talked to.
#[derive(Clone, Debug)]
pub struct Control {
    /// The control socket. The mount's root shows it as the attribute `user.pds.control`.
    pub socket: PathBuf,
}

/// The filesystem core's side of a mount.
#[derive(Clone, Debug)]
pub struct FsOptions {
    /// Clean content and index of this drive; may be wiped at any time when nothing is mounted.
    pub cache_dir: PathBuf,
    /// What the drive does not have yet: spool and journal of this drive. Never wiped.
    pub state_dir: PathBuf,
    /// The bound of clean content, in bytes.
    pub cache_bytes: u64,
    /// The floor of free space on the disk of `cache_dir`.
    pub min_free: MinFree,
    /// How long metadata is trusted without asking, at most.
    pub attr_timeout: Duration,
    /// How often the change feed is asked while the mount is in use.
    pub poll_interval: Duration,
    /// Whether modes, owners, exact times and symbolic links are kept on the drive, in user tags.
    pub posix_metadata: bool,
    /// Bytes per part: a multiple of [`PART_ALIGN`] within [`MIN_PART_BYTES`] and [`MAX_PART_BYTES`].
    pub part_bytes: u64,
    /// Files transferred at the same time, 1 to [`MAX_PARALLEL`].
    pub transfers: usize,
    /// Parts of one file in flight at the same time, 1 to [`MAX_PARALLEL`].
    pub upload_concurrency: usize,
    /// The longest a metadata request may take, its repeats included.
    pub op_timeout: Duration,
    /// The bound of all buffers together, in bytes.
    pub memory_bytes: u64,
    /// What fsync waits for.
    pub fsync: Fsync,
    /// How what is written reaches the drive.
    pub write: WritePolicy,
    /// Where a deleted file goes.
    pub delete: DeletePolicy,
    /// Whether extended attributes are served.
    pub xattr: XattrMode,
    /// Which of them are listed.
    pub xattr_list: XattrList,
    /// What setting one of the service's own does.
    pub xattr_readonly: XattrReadonly,
    /// Whether signed URLs are readable as attributes.
    pub xattr_urls: bool,
    /// Names of other programs' attributes that are taken and not kept; `*` stands for anything.
    pub xattr_drop: Vec<String>,
    /// No changes: nothing is spooled, nothing is sent.
    pub read_only: bool,
    /// Where the running mount can be talked to; `None` when it cannot.
    pub control: Option<Control>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_its_spelling_only() {
        assert_eq!(XattrMode::from_word("ro"), Some(XattrMode::ReadOnly));
        assert_eq!(XattrMode::from_word("RO"), None);
    }

    #[test]
    fn verbosity_stops_at_the_last_level() {
        assert_eq!(LogLevel::Info.louder(1), LogLevel::Debug);
        assert_eq!(LogLevel::Info.louder(200), LogLevel::Trace);
    }

    #[test]
    fn free_space_in_percent_follows_the_disk() {
        assert_eq!(MinFree::Percent(5).bytes(1000), 50);
        assert_eq!(MinFree::Bytes(7).bytes(1000), 7);
    }

    #[test]
    fn the_default_part_is_one_the_service_takes() {
        const { assert!(DEFAULT_PART_BYTES.is_multiple_of(PART_ALIGN)) };
        const { assert!(MIN_PART_BYTES.is_multiple_of(PART_ALIGN)) };
    }
}
