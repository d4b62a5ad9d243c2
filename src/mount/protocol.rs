//! What a mount and the commands that talk to it say: one JSON object per line.
//!
//! A client sends one [`Request`] and reads [`Reply`] lines until one that is the last
//! ([`Reply::is_last`]). Lines are bounded on both sides. Nothing in here carries tokens or URLs.
//!
//! Most commands are a [`Job`]: something the mount does for a client, told piece by piece.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Failure;

/// The longest request line, in bytes: paths and queries, escaped.
pub const MAX_REQUEST: usize = 64 << 10;
/// The longest reply line, in bytes: a status of thousands of files.
pub const MAX_REPLY: usize = 4 << 20;
/// The most paths one job takes.
pub const MAX_PATHS: usize = 16;
/// How many incomplete files a report names; the number of all is told beside.
pub const MAX_NAMED: usize = 200;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub enum Request {
    /// What is going on. Answered by one [`Reply::Status`].
    Status,
    /// Send what is not on the drive yet, then unmount. Answered by any number of [`Reply::Progress`] and
    /// one [`Reply::Done`]; a client that hangs up calls it off.
    Umount {
        /// How long to wait for what is not on the drive, in seconds; the mount's own setting when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drain_timeout: Option<f64>,
    },
    /// A job. Answered by any number of [`Reply::Item`] and [`Reply::Alive`], and one [`Reply::Answer`]; a
    /// client that hangs up calls it off.
    Do(Job),
}

/// Something a mount does for a client. Paths are below the mountpoint, without a leading slash; the root is
/// empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case")]
pub enum Job {
    /// Asks the drive for files (9.4). Each item is a found file: `path`, `size`, `modified`, `folder`.
    Find {
        /// In the service's search grammar.
        query: String,
        /// Only what lies below this path.
        under: String,
        /// At most this many.
        limit: u64,
    },
    /// Gets the service's thumbnails of files. Each item is one: `path`, and `picture` in base64 or `null` when
    /// there is none, or `error` in words.
    Thumbnails {
        /// At most [`MAX_PATHS`].
        paths: Vec<String>,
        /// The longest side.
        pixels: u32,
    },
    /// Tells what is in the recycle bin. Each item is an entry: `id`, `name`, `size`, `folder`, `trashed_at`.
    TrashList,
    /// Brings entries of the recycle bin back, or deletes them for good. Each item is one: `id`, and `error` in
    /// words where it failed.
    TrashEnd {
        /// Their ids; at most [`MAX_PATHS`].
        ids: Vec<String>,
        /// Back to where they were, instead of deleted.
        restore: bool,
    },
    /// Tells what changes on the drive, until the client hangs up. Each item is one: `change`, `path`, and where there
    /// is one `from`, `id`, `folder`. The first one says that it begins.
    Watch {
        /// Only this file, or what is below this folder.
        under: String,
    },
    /// Tells how much is below each folder in a folder. Each item is one: `path`, `bytes`, `files`, `folders`. The
    /// answer is the same of everything.
    Usage {
        /// The folder, or a file.
        path: String,
    },
    /// Tells of the revisions of a file, newest first. Each item is one: `file`, `revision`, `version`, `size`,
    /// `created_at`, `latest`, `kept`, `description`, `crc64`.
    Versions {
        /// The file.
        path: String,
    },
    /// Reads a piece of a revision. Each item has the next `bytes`, in base64.
    VersionRead {
        /// The file's id.
        file: String,
        /// The revision's id.
        revision: String,
        /// Bytes it has.
        size: u64,
        /// From where; the mount chooses how much.
        start: u64,
    },
    /// Makes an earlier revision of a file its content again.
    VersionRestore {
        /// The file.
        path: String,
        /// The revision's id.
        revision: String,
    },
    /// Keeps a revision for good, or no longer.
    VersionKeep {
        /// The file.
        path: String,
        /// The revision's id.
        revision: String,
        /// For good.
        keep: bool,
        /// Words about it; as they are when absent.
        description: Option<String>,
    },
    /// Tells what is cached, in the answer: `bytes`, `files`, `limit`, and `freed` bytes.
    Cache {
        /// Gives all of it back first.
        clear: bool,
    },
    /// Waits until a file is on the drive.
    Wait {
        /// Which.
        path: String,
        /// Also until the service has looked at images and videos.
        media: bool,
        /// At most this long.
        seconds: f64,
    },
    /// Sends what is not on the drive yet, now. Each item is a file: `path`, and `error` when it is still not there.
    Flush {
        /// Only this file, or what lies below this folder.
        under: String,
        /// Only what was tried without success.
        failed: bool,
    },
    /// Gives up what was written to a file and is not on the drive.
    Discard {
        /// The file.
        path: String,
    },
    /// Tells where the bytes of a file are that is not on the drive: `content`, a local path, and `size`.
    Export {
        /// The file.
        path: String,
    },
}

/// What a mount answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The filesystem's status as it describes itself.
    Status(Value),
    /// How far draining has come.
    Progress(Progress),
    /// Unmounted.
    Done(Report),
    /// A piece of a job's result.
    Item(Value),
    /// The job is still at work.
    Alive,
    /// The job is done; the rest of its result.
    Answer(Value),
    /// Not done, and the mount is as it was.
    Failed(Failure),
}

impl Reply {
    /// Whether the conversation ends with this line.
    pub fn is_last(&self) -> bool {
        !matches!(self, Reply::Progress(_) | Reply::Item(_) | Reply::Alive)
    }
}

/// How far draining has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Files not yet complete on the drive.
    pub files: u64,
    /// Bytes of them already sent.
    pub bytes_done: u64,
    /// Bytes of them altogether.
    pub bytes_total: u64,
}

/// What is left on this machine when a mount ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The first [`MAX_NAMED`] files that are not complete on the drive.
    pub incomplete: Vec<Incomplete>,
    /// How many there are.
    pub total: u64,
    /// The folder that keeps their data.
    pub kept_in: String,
}

/// A file that is not complete on the drive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incomplete {
    /// Its path below the mountpoint.
    pub path: String,
    /// Why, in words.
    pub error: String,
}

impl Report {
    /// The failure this report is, or `None` when everything is on the drive.
    pub fn failure(&self) -> Option<Failure> {
        /// A person reads these; the rest is in `pdsfs status` after the next mount.
        const SHOWN: usize = 10;
        if self.total == 0 {
            return None;
        }
        let mut lines: Vec<String> = Vec::new();
        lines.push(format!(
            "{} not complete on the drive. The data is kept in {:?}; mount again to send it",
            if self.total == 1 { "1 file is".to_owned() } else { format!("{} files are", self.total) },
            self.kept_in
        ));
        lines.extend(
            self.incomplete.iter().take(SHOWN).map(|file| format!("  {:?}: {}", file.path, file.error)),
        );
        let unnamed = self.total.saturating_sub(self.incomplete.len().min(SHOWN) as u64);
        if unnamed > 0 {
            lines.push(format!("  and {unnamed} more"));
        }
        Some(Failure::new(crate::config::Exit::NotDurable, lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Exit;

    #[test]
    fn requests_are_the_lines_documented() {
        let parse = |line| serde_json::from_str::<Request>(line).unwrap();
        assert_eq!(parse(r#"{"cmd":"status"}"#), Request::Status);
        assert_eq!(
            parse(r#"{"cmd":"umount","drain_timeout":2.5}"#),
            Request::Umount { drain_timeout: Some(2.5) }
        );
        assert_eq!(parse(r#"{"cmd":"umount"}"#), Request::Umount { drain_timeout: None });
        let find = Job::Find { query: "name match 'a'".into(), under: String::new(), limit: 5 };
        assert_eq!(
            parse(r#"{"cmd":"do","job":"find","query":"name match 'a'","under":"","limit":5}"#),
            Request::Do(find)
        );
        assert!(serde_json::from_str::<Request>(r#"{"cmd":"format"}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"cmd":"do","job":"format"}"#).is_err());
    }

    #[test]
    fn only_progress_is_followed_by_more() {
        assert!(!Reply::Progress(Progress::default()).is_last());
        assert!(!Reply::Item(Value::Null).is_last() && !Reply::Alive.is_last());
        assert!(Reply::Answer(Value::Null).is_last());
        assert!(Reply::Done(Report::default()).is_last());
        assert!(Reply::Status(Value::Null).is_last());
    }

    #[test]
    fn what_stayed_here_is_named_with_its_place() {
        assert_eq!(Report::default().failure(), None);
        let incomplete = Incomplete { path: "a b.jpg".into(), error: "the drive is full".into() };
        let report = Report { incomplete: vec![incomplete], total: 3, kept_in: "/state/x".into() };
        let failure = report.failure().unwrap();
        assert_eq!(failure.exit(), Exit::NotDurable);
        for part in ["3 files", "a b.jpg", "the drive is full", "/state/x", "and 2 more"] {
            assert!(failure.message().contains(part), "{part}: {failure}");
        }
    }
}
