//! What the tree keeps of one file or folder in memory: names, places and the few numbers that `stat` shows.
//!
//! The File itself is kept beside them only while it is new or was used lately; otherwise it is in the index
//! on disk, and a slot costs some 400 bytes however much the service says about the file.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Facts, Ino, LocalAttributes, posix};
use crate::pds::model::{File, FileId, FileKind};

/// A time in nanoseconds since 1970; [`NO_TIME`] when there is none.
pub(super) type Nanos = i64;
/// No time.
pub(super) const NO_TIME: Nanos = i64::MIN;
/// No mode, no owner.
pub(super) const UNSET: u32 = u32::MAX;

/// What a File comes down to for `stat` and for telling old news from new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub size: u64,
    pub modified: Nanos,
    pub changed: Nanos,
    pub created: Nanos,
    /// Of everything the service said.
    pub mark: u64,
    /// Of the revision and the client's time.
    pub content: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub is_link: bool,
}

impl Brief {
    /// Of what never was on the drive.
    pub const DRAFT: Brief = Brief {
        size: 0,
        modified: NO_TIME,
        changed: NO_TIME,
        created: NO_TIME,
        mark: 0,
        content: 0,
        mode: UNSET,
        uid: UNSET,
        gid: UNSET,
        is_link: false,
    };

    /// What a File comes down to.
    pub fn of(file: &File) -> Self {
        let or = |first: Nanos, second: Nanos| if first == NO_TIME { second } else { first };
        let changed = nanos(&file.updated_at);
        let kept = posix::Kept::of(file);
        let modified = kept.modified.unwrap_or_else(|| nanos(&file.local_modified_at));
        let mut content = DefaultHasher::new();
        (file.revision.as_str(), &file.local_modified_at).hash(&mut content);
        Brief {
            size: file.size,
            modified: or(modified, changed),
            changed,
            created: or(nanos(&file.local_created_at), nanos(&file.created_at)),
            mark: file.fingerprint(),
            content: content.finish(),
            mode: kept.mode.unwrap_or(UNSET),
            uid: kept.uid.unwrap_or(UNSET),
            gid: kept.gid.unwrap_or(UNSET),
            is_link: kept.target.is_some(),
        }
    }
}

/// Reads a time of the service (4.3).
pub(super) fn nanos(text: &str) -> Nanos {
    let parsed = text.parse::<jiff::Timestamp>().ok();
    parsed.and_then(|time| i64::try_from(time.as_nanosecond()).ok()).unwrap_or(NO_TIME)
}

/// The time as the system has it.
pub(super) fn system_time(nanos: Nanos) -> Option<SystemTime> {
    match nanos {
        NO_TIME => None,
        0.. => Some(UNIX_EPOCH + Duration::from_nanos(nanos.unsigned_abs())),
        _ => UNIX_EPOCH.checked_sub(Duration::from_nanos(nanos.unsigned_abs())),
    }
}

/// A node in memory.
pub(super) struct Slot {
    pub parent: Ino,
    pub name: Arc<str>,
    /// The id on the drive; `None` for a draft and for the root.
    pub id: Option<FileId>,
    /// The name on the drive, where another one is shown.
    pub drive_name: Option<Box<str>>,
    pub kind: FileKind,
    pub brief: Brief,
    /// The File, unless it is in the index only.
    pub file: Option<Arc<File>>,
    /// The tick at which `file` was set: tells whether the index has this one.
    pub stamp: u64,
    pub local: Option<Box<LocalAttributes>>,
    /// Reachable by its name; false after unlink.
    pub linked: bool,
    /// A program took its name away here.
    pub removed: bool,
    /// When the drive last told about it, in seconds of the tree.
    pub seen: u32,
    /// Open handles.
    pub opens: u32,
    /// References the kernel holds.
    pub lookups: u64,
    /// The tick of its last change, here or by news.
    pub changed: u64,
    /// Of folders that were looked into.
    pub dir: Option<Box<Dir>>,
}

/// The inside of a folder.
#[derive(Default)]
pub(super) struct Dir {
    pub by_name: BTreeMap<Arc<str>, Ino>,
    pub loaded_at: Option<Instant>,
    /// What left this folder: news older than that is no news.
    pub left: Vec<Left>,
    /// The folder was looked into, and `by_name` tells something.
    pub is_known: bool,
}

/// A file that is no longer in a folder.
pub(super) struct Left {
    pub id: FileId,
    /// When it was known to have left.
    pub tick: u64,
    /// How new the File was that left; [`NO_TIME`] when others took it away.
    pub version: Nanos,
}

/// Ids remembered as gone per directory; older ones are long settled.
const MAX_LEFT: usize = 1024;

impl Slot {
    pub fn new(parent: Ino, name: Arc<str>, kind: FileKind, tick: u64) -> Self {
        Slot {
            parent,
            name,
            id: None,
            drive_name: None,
            kind,
            brief: Brief::DRAFT,
            file: None,
            stamp: 0,
            local: None,
            linked: true,
            removed: false,
            seen: 0,
            opens: 0,
            lookups: 0,
            changed: tick,
            dir: None,
        }
    }

    pub fn is_folder(&self) -> bool {
        self.kind == FileKind::Folder
    }

    /// The File is in the index only.
    pub fn is_cold(&self) -> bool {
        self.id.is_some() && self.file.is_none()
    }

    /// Takes the drive's description over.
    pub fn describe(&mut self, file: Arc<File>, tick: u64) {
        self.brief = Brief::of(&file);
        self.id = Some(file.id.clone());
        self.stamp = tick;
        self.file = Some(file);
        self.note_drive_name();
    }

    /// Remembers the drive's name beside the one shown, where they differ.
    pub fn note_drive_name(&mut self) {
        if let Some(file) = &self.file {
            self.drive_name = (*file.name != *self.name).then(|| file.name.clone());
        }
    }

    /// Gives it another name here; the drive's stays.
    pub fn show_as(&mut self, name: Arc<str>) {
        let drive = self.drive_name.take().unwrap_or_else(|| Box::from(&*self.name));
        self.name = name;
        self.drive_name = (self.id.is_some() && *drive != *self.name).then_some(drive);
    }

    pub fn drive_name(&self) -> &str {
        self.drive_name.as_deref().unwrap_or(&self.name)
    }

    pub fn dir_mut(&mut self) -> &mut Dir {
        self.dir.get_or_insert_default()
    }

    /// The folder's inside, when something is known of it.
    pub fn children(&self) -> Option<&Dir> {
        self.dir.as_deref().filter(|dir| dir.is_known)
    }

    pub fn facts(&self, ino: Ino) -> Facts {
        let given = |number: u32| (number != UNSET).then_some(number);
        let brief = &self.brief;
        Facts {
            ino,
            parent: self.parent,
            kind: self.kind,
            is_link: brief.is_link,
            is_draft: self.id.is_none(),
            linked: self.linked,
            removed: self.removed,
            size: brief.size,
            modified_at: system_time(brief.modified),
            changed_at: system_time(brief.changed),
            created_at: system_time(brief.created),
            mode: given(brief.mode),
            uid: given(brief.uid),
            gid: given(brief.gid),
            local: self.local.as_deref().copied().unwrap_or_default(),
        }
    }
}

impl Dir {
    pub fn leave(&mut self, left: Left) {
        self.left.push(left);
        let excess = self.left.len().saturating_sub(MAX_LEFT);
        self.left.drain(..excess);
    }
}
