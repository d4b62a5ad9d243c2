//! Modes, owners, exact times and symbolic links: what the drive has no fields for, kept in user tags
//! ([`crate::tree::posix`]) with `--posix-metadata on`.
//!
//! A file like any other of the mount needs no tag; one that differs gets its tags with `create`, without a
//! request of their own. A symbolic link is a small file that has its target as content and in a tag.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::attr::{Defaults, attr, to_millis};
use super::body::{Body, Stage};
use super::change::NewAttr;
use super::data::OpenMode;
use super::{Caller, DriveFs, Stat, gone};
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::tree::posix::{Kept, MAX_TARGET_BYTES, encode};
use crate::tree::{Facts, Ino, LocalAttributes};

/// The group of what is made in a folder with this bit is the folder's.
const SET_GROUP: u32 = 0o2000;

/// What files of the mount are like that do not say otherwise.
#[derive(Default)]
pub(super) struct Usual(OnceLock<Defaults>);

impl Usual {
    fn get(&self) -> Defaults {
        let root = Defaults { uid: 0, gid: 0, umask: 0o022, mounted_at: UNIX_EPOCH };
        self.0.get().copied().unwrap_or(root)
    }
}

impl DriveFs {
    /// Says what files are like that do not say otherwise. The first word counts.
    pub fn set_defaults(&self, defaults: Defaults) {
        // A second mount of the same filesystem does not exist.
        let _ = self.usual.0.set(defaults);
    }

    /// Whether files are shown as the symbolic links they are.
    pub fn keeps_links(&self) -> bool {
        self.options.posix_metadata
    }

    /// The node as programs may see it.
    pub(super) fn shown(&self, mut node: Facts) -> Facts {
        if !self.options.posix_metadata {
            (node.mode, node.uid, node.gid, node.is_link) = (None, None, None, false);
        }
        node
    }

    /// Mode and owner of what a program makes in `parent`.
    pub(super) fn new_local(
        &self,
        parent: Ino,
        mode: u32,
        is_folder: bool,
        caller: Caller,
    ) -> LocalAttributes {
        // `--umask` is for what is made here as for what is found; a later chmod has its way.
        let mode = mode & !self.usual.get().umask;
        let mut local = LocalAttributes {
            mode: Some(mode),
            uid: Some(caller.uid),
            gid: Some(caller.gid),
            ..LocalAttributes::default()
        };
        if let Some(parent) = self.tree.facts(parent) {
            let parent = attr(&self.shown(parent), None, &self.usual.get());
            if parent.mode & SET_GROUP != 0 {
                local.gid = Some(parent.gid);
                local.mode = Some(if is_folder { mode | SET_GROUP } else { mode });
            }
        }
        local
    }

    /// What the drive is to keep of a new file or folder: what is not as usual.
    pub(super) fn kept_of_new(&self, local: &LocalAttributes, is_folder: bool) -> Kept {
        if !self.options.posix_metadata {
            return Kept::default();
        }
        let usual = self.usual.get();
        let usual_mode = if is_folder { 0o777 } else { 0o666 } & !usual.umask;
        let is_owned = (local.uid, local.gid) == (Some(usual.uid), Some(usual.gid));
        Kept {
            mode: local.mode.filter(|mode| *mode != usual_mode),
            uid: local.uid.filter(|_| !is_owned),
            gid: local.gid.filter(|_| !is_owned),
            ..Kept::default()
        }
    }

    /// Keeps what changes by `new` on the drive. Call before the change is made here.
    pub(super) async fn keep(&self, ino: Ino, new: &NewAttr) -> Result<()> {
        let Some(node) = self.tree.facts(ino).filter(|node| self.options.posix_metadata && !node.removed)
        else {
            return Ok(());
        };
        let now = attr(&self.shown(node), None, &self.usual.get());
        // The kernel gives the file's kind along.
        let mode = new.mode.map(|mode| mode & 0o7777).filter(|mode| *mode != now.mode);
        let mut kept = Kept { mode, ..Kept::default() };
        let owner = (new.uid.unwrap_or(now.uid), new.gid.unwrap_or(now.gid));
        if owner != (now.uid, now.gid) {
            (kept.uid, kept.gid) = (Some(owner.0), Some(owner.1));
        }
        kept.modified = new.modified_at.and_then(nanos);
        self.put_kept(ino, &kept).await
    }

    async fn put_kept(&self, ino: Ino, kept: &Kept) -> Result<()> {
        let tags = kept.tags();
        if tags.is_empty() {
            return Ok(());
        }
        let body = lock(&self.bodies).get(&ino).cloned();
        if let Some(body) = body.filter(|body| matches!(body.stage(), Stage::Draft { .. })) {
            body.change_pending(|pending| pending.user_tags.extend(tags));
            return self.record_again(&body);
        }
        match self.tree.id_of(ino).filter(|_| ino != crate::tree::ROOT) {
            Some(id) => self.change_tags(Some(ino), &id, tags, &[]).await,
            None => Ok(()),
        }
    }

    /// The time as it will be seen again: exact, or as exact as the drive itself keeps it.
    pub(super) fn keepable(&self, time: SystemTime) -> SystemTime {
        if self.options.posix_metadata { time } else { to_millis(time) }
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// [`Kind::Exists`]; [`Kind::NameTooLong`] for a target that no tag can hold; with `--posix-metadata off`
    /// [`Kind::NotPermitted`].
    pub async fn make_link(
        self: &std::sync::Arc<Self>,
        parent: Ino,
        name: &OsStr,
        target: &Path,
        caller: Caller,
    ) -> Result<Stat> {
        const OP: &str = "make a symbolic link";
        if !self.options.posix_metadata {
            let message = "a drive has files and folders only; --posix-metadata on keeps links in tags";
            return Err(Error::new(Kind::NotPermitted, OP, message).on(name.display()));
        }
        let target = target.as_os_str().as_bytes();
        if encode(target).len() > MAX_TARGET_BYTES {
            return Err(Error::new(Kind::NameTooLong, OP, "the target is too long for a tag"));
        }
        let mode = OpenMode { read: false, write: true, truncate: false, append: false, exclusive: true };
        let (stat, opened) = self.create(parent, name, mode, 0o777, caller).await?;
        let ino = stat.node.ino;
        let done = async {
            let mut kept = Kept { target: Some(target.to_vec()), ..Kept::default() };
            let owner = self.kept_of_new(&stat.node.local, false);
            (kept.uid, kept.gid) = (owner.uid, owner.gid);
            let body = lock(&self.bodies).get(&ino).cloned().ok_or_else(|| gone(OP))?;
            body.change_pending(|pending| pending.user_tags = kept.tags());
            self.write(opened.handle, target, 0)?;
            self.flush(opened.handle, Caller { pid: 0, ..caller }).await
        };
        let done = done.await;
        if done.is_err() {
            // Whoever asked for a link has no use for half of one.
            self.tree.remove(ino);
        }
        self.release(opened.handle);
        done?;
        self.tree.set_local(ino, |local| local.mode = None);
        self.stat_cached(ino).ok_or_else(|| gone(OP))
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is none.
    pub fn read_link(&self, ino: Ino) -> Result<Vec<u8>> {
        let file = self.tree.node(ino).and_then(|node| node.file).ok_or_else(|| gone("read link"))?;
        let none = || Error::new(Kind::Invalid, "read link", "it is no symbolic link").on(&file.name);
        Kept::of(&file).target.filter(|_| self.options.posix_metadata).ok_or_else(none)
    }
}

/// Nanoseconds since 1970, as far as they fit.
fn nanos(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).ok(),
        Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|nanos| -nanos),
    }
}

/// What a new file is to be given beside its content.
pub(super) fn give(body: &Body, kept: &Kept) {
    let tags = kept.tags();
    if !tags.is_empty() {
        body.change_pending(|pending| pending.user_tags.extend(tags));
    }
}
