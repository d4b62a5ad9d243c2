//! Changing names and attributes: mkdir, unlink, rmdir, times and modes.

use std::ffi::OsStr;
use std::time::SystemTime;

use super::attr::{format_time, to_millis};
use super::body::Stage;
use super::{Caller, DriveFs, Stat, gone};
use crate::config::DeletePolicy;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::File;
use crate::pds::{Changed, Created, NewAttributes, Update};
use crate::tree::{Ino, Lookup, Node, ROOT, names};

/// What `setattr` asks for, size apart. `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub accessed_at: Option<SystemTime>,
    /// Last modification.
    pub modified_at: Option<SystemTime>,
}

impl DriveFs {
    /// The entry `name`, as fresh as a look-up.
    pub(super) async fn entry(&self, parent: Ino, name: &OsStr) -> Result<Node> {
        let found = self.lookup(parent, name).await?.node;
        self.tree.node(found.ino).ok_or_else(|| gone("look up"))
    }

    /// Makes a folder on the drive.
    ///
    /// # Errors
    /// [`Kind::Exists`] also when the name is taken by something this mount has not seen yet.
    pub async fn make_dir(&self, parent: Ino, name: &OsStr, mode: u32, caller: Caller) -> Result<Stat> {
        let name = names::check(name)?;
        self.refresh().await;
        self.load(parent).await?;
        let taken = || Error::new(Kind::Exists, "make folder", "there is an entry of this name").on(name);
        if matches!(self.tree.lookup(parent, name), Lookup::Found(_)) {
            return Err(taken());
        }
        let folder = self.folder_id(parent)?;
        let local = self.new_local(parent, mode, true, caller);
        let attributes = NewAttributes {
            local_created_at: Some(format_time(to_millis(SystemTime::now()))),
            user_tags: self.kept_of_new(&local, true).tags(),
            ..NewAttributes::default()
        };
        match self.pds.create_folder(&folder, name, &attributes).await? {
            Created::Folder(id) => {
                let file = self.pds.file(&id).await?;
                let node = self.tree.insert_file(parent, file, local).ok_or_else(|| gone("make folder"))?;
                self.creators.note(node.ino, super::data::thread_group(caller.pid));
                self.stat_cached(node.ino).ok_or_else(|| gone("make folder"))
            }
            Created::Exists(_) => {
                self.tree.unload(parent);
                Err(taken())
            }
            Created::Upload { .. } | Created::Rapid { .. } => {
                Err(Error::new(Kind::Protocol, "make folder", "the service made a file instead").on(name))
            }
        }
    }

    /// Removes a file: to the recycle bin, or for good with `--trash permanent`.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::IsDirectory`], what the drive says.
    pub async fn unlink(&self, parent: Ino, name: &OsStr) -> Result<()> {
        let node = self.entry(parent, name).await?;
        if node.is_folder() {
            return Err(Error::new(Kind::IsDirectory, "remove", "it is a folder").on(&node.name));
        }
        if let Some(file) = &node.file {
            self.hold_open_content(node.ino).await;
            self.remove_from_drive(file).await.map_err(|error| error.on(&node.name))?;
        }
        self.tree.remove(node.ino);
        let body = lock(&self.bodies).get(&node.ino).cloned();
        if let Some(body) = body
            && self.tree.opens(node.ino) == 0
        {
            self.discard(&body);
        }
        Ok(())
    }

    /// Who has the file open can go on reading it: a lease taken now outlives the file's place on the drive.
    async fn hold_open_content(&self, ino: Ino) {
        let body = lock(&self.bodies).get(&ino).cloned();
        let Some(body) = body.filter(|_| self.tree.opens(ino) > 0) else { return };
        let (content, size, remote) = body.source();
        if let Some(remote) = remote.filter(|_| !content.missing(0..size).is_empty())
            && let Err(error) = self.reader.hold(&remote).await
        {
            tracing::debug!(%error, "an open file that is removed may become unreadable");
        }
    }

    /// To the recycle bin or gone. One that is gone already is fine.
    pub(super) async fn remove_from_drive(&self, file: &File) -> Result<()> {
        let removed = match self.options.delete {
            DeletePolicy::Recycle => self.pds.trash(&file.id).await,
            DeletePolicy::Permanent => self.pds.delete(&file.id).await,
        };
        match removed {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Removes an empty folder. Emptiness is asked of the drive, never assumed.
    ///
    /// # Errors
    /// [`Kind::NotEmpty`], [`Kind::NotDirectory`], what the drive says.
    pub async fn remove_dir(&self, parent: Ino, name: &OsStr) -> Result<()> {
        let node = self.entry(parent, name).await?;
        self.require_empty(&node).await?;
        if let Some(file) = &node.file {
            self.remove_from_drive(file).await.map_err(|error| error.on(&node.name))?;
        }
        self.tree.remove(node.ino);
        Ok(())
    }

    pub(super) async fn require_empty(&self, node: &Node) -> Result<()> {
        if !node.is_folder() {
            return Err(Error::new(Kind::NotDirectory, "remove folder", "it is a file").on(&node.name));
        }
        let not_empty = || Error::new(Kind::NotEmpty, "remove folder", "it has entries").on(&node.name);
        let has_draft = |entry: &crate::tree::DirEntry| {
            self.tree.node(entry.ino).is_some_and(|child| child.linked && child.file.is_none())
        };
        if self.tree.entries(node.ino).iter().any(has_draft) {
            return Err(not_empty());
        }
        let Some(id) = node.id() else { return Ok(()) };
        let page = self.pds.list(id, "").await?;
        if page.files.iter().any(|file| !file.trashed) || page.next.is_some() {
            self.tree.unload(node.ino);
            return Err(not_empty());
        }
        Ok(())
    }

    /// Sets times, mode and owner. They go to the drive; the time of the last access is kept while mounted.
    ///
    /// # Errors
    /// [`Kind::Stale`]; what the drive says to a new time.
    pub async fn set_attr(&self, ino: Ino, new: NewAttr) -> Result<()> {
        let node = self.tree.node(ino).ok_or_else(|| gone("set attributes"))?;
        let now = SystemTime::now();
        self.keep(ino, &new).await?;
        self.tree.set_local(ino, |local| {
            local.mode = new.mode.or(local.mode);
            local.uid = new.uid.or(local.uid);
            local.gid = new.gid.or(local.gid);
            local.accessed_at = new.accessed_at.or(local.accessed_at);
            local.changed_at = Some(now);
        });
        match new.modified_at {
            Some(time) => self.set_modified(&node, self.keepable(time)).await,
            None => Ok(()),
        }
    }

    async fn set_modified(&self, node: &Node, time: SystemTime) -> Result<()> {
        let body = lock(&self.bodies).get(&node.ino).cloned();
        if let Some(body) = body {
            let in_draft = body.set_modified(time);
            if in_draft && matches!(body.stage(), Stage::Draft { .. }) {
                return self.record_again(&body);
            }
        }
        let wanted = format_time(to_millis(time));
        let Some(file) = node.file.as_ref().filter(|_| node.ino != ROOT && node.linked) else {
            self.tree.set_local(node.ino, |local| local.modified_at = Some(time));
            return Ok(());
        };
        if *file.local_modified_at == wanted {
            return Ok(());
        }
        let update = Update { local_modified_at: Some(wanted), ..Update::default() };
        if let Changed::Done(file) = self.pds.update(&file.id, &update).await? {
            let kept = file.local_modified_at.parse::<jiff::Timestamp>().is_ok();
            self.publish_reply(node.ino, file, &["local_modified_at"])?;
            // A service that does not keep the time: at least this mount does.
            self.tree.set_local(node.ino, |local| local.modified_at = (!kept).then_some(time));
        }
        Ok(())
    }
}
