//! Rename in all its forms.
//!
//! The drive has two calls, update (name) and move (folder and name), and neither replaces what has the name
//! already. Renaming over a file therefore gives the *target* a new revision with the source's bytes, which
//! the drive has already (rapid upload, pds-api.md 8.8), and then removes the source: the name never
//! disappears, and the target keeps its id, history and shares. Where the drive does not take the bytes that
//! way, the target goes to the recycle bin first.

use std::ffi::OsStr;
use std::sync::Arc;

use super::body::Stage;
use super::{DriveFs, gone};
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::File;
use crate::pds::{Changed, CreateFile, Created, NewAttributes, PartRequest, Update};
use crate::tree::{Ino, Lookup, Node, names};

impl DriveFs {
    /// Renames. With `no_replace` an entry that has the new name is an error.
    ///
    /// # Errors
    /// As rename(2): [`Kind::NotFound`], [`Kind::Exists`], [`Kind::NotEmpty`], [`Kind::IsDirectory`],
    /// [`Kind::NotDirectory`], [`Kind::Invalid`] into a folder's own subtree.
    pub async fn rename(
        &self,
        parent: Ino,
        name: &OsStr,
        new_parent: Ino,
        new_name: &OsStr,
        no_replace: bool,
    ) -> Result<()> {
        let new_name = names::check(new_name)?;
        let source = self.entry(parent, name).await?;
        self.load(new_parent).await?;
        let target = match self.tree.lookup(new_parent, new_name) {
            Lookup::Found(found) => self.tree.node(found.ino),
            Lookup::Absent | Lookup::Unknown | Lookup::NoDirectory => None,
        };
        if let Some(target) = &target {
            if target.ino == source.ino {
                return Ok(());
            }
            if no_replace {
                return Err(Error::new(Kind::Exists, "rename", "the new name is taken").on(new_name));
            }
            require_same_kind(&source, target)?;
        }
        if source.is_folder() && self.tree.is_below(new_parent, source.ino) {
            return Err(
                Error::new(Kind::Invalid, "rename", "a folder cannot go into itself").on(&source.name)
            );
        }
        match target {
            None => self.move_to(source, new_parent, new_name).await,
            Some(target) if target.is_folder() => {
                self.require_empty(&target).await?;
                if let Some(file) = &target.file {
                    self.remove_from_drive(file).await?;
                }
                self.tree.remove(target.ino);
                self.move_to(source, new_parent, new_name).await
            }
            Some(target) => self.replace(source, target, new_parent, new_name).await,
        }
    }

    /// Moves to a name that is free.
    async fn move_to(&self, source: Node, new_parent: Ino, new_name: &str) -> Result<()> {
        let folder = self.folder_id(new_parent)?;
        let body = lock(&self.bodies).get(&source.ino).cloned();
        let turn = body.clone();
        let _turn = match &turn {
            Some(body) => Some(body.completing.lock().await),
            None => None,
        };
        // It may have been completed while we waited for our turn.
        let source = self.tree.node(source.ino).ok_or_else(|| gone("rename"))?;
        if let Some(draft) = body.as_ref().and_then(|body| body.current_draft()) {
            draft.replace(|placement| {
                placement.parent = folder.clone();
                placement.name = new_name.to_owned();
            });
        }
        if let Some(file) = &source.file {
            let file = self.move_on_drive(file, &folder, new_name).await?;
            if let Some(draft) = body.as_ref().and_then(|body| body.current_draft()) {
                draft.replace(|placement| rebase_name(placement, &file));
            }
            self.tree.publish(source.ino, Arc::new(file));
        }
        self.tree.relocate(source.ino, new_parent, new_name);
        body.map_or(Ok(()), |body| self.record_again(&body))
    }

    async fn move_on_drive(
        &self,
        file: &File,
        folder: &crate::pds::model::FileId,
        new_name: &str,
    ) -> Result<File> {
        let same_name = *file.name == *new_name;
        let changed = if file.parent.as_ref() == Some(folder) {
            if same_name {
                return Ok(file.clone());
            }
            let update = Update { name: Some(new_name.to_owned()), ..Update::default() };
            self.pds.update(&file.id, &update).await?
        } else {
            self.pds.move_file(&file.id, folder, (!same_name).then_some(new_name)).await?
        };
        match changed {
            Changed::Done(file) => Ok(file),
            Changed::Exists { .. } => {
                if let Some(dir) = self.tree.by_id(folder) {
                    self.tree.unload(dir);
                }
                Err(Error::new(Kind::Exists, "rename", "another client has just taken this name")
                    .on(new_name))
            }
        }
    }

    /// Renames a file over another.
    async fn replace(&self, source: Node, target: Node, new_parent: Ino, new_name: &str) -> Result<()> {
        let Some(old) = target.file.clone() else {
            // The target never was on the drive: it is simply gone.
            self.forget_target(&target);
            return self.move_to(source, new_parent, new_name).await;
        };
        let body = lock(&self.bodies).get(&source.ino).cloned();
        if let Some(body) = &body {
            self.complete(body).await?;
        }
        let source = self.tree.node(source.ino).ok_or_else(|| gone("rename"))?;
        let file = source.file.clone().ok_or_else(|| gone("rename"))?;
        self.hold_open(&target).await;
        match self.take_over(&file, &old).await? {
            Some(merged) => {
                self.forget_target(&target);
                self.tree.relocate(source.ino, new_parent, new_name);
                let merged = Arc::new(merged);
                self.tree.publish(source.ino, Arc::clone(&merged));
                if let Some(body) = body {
                    body.rebase(&merged, &self.store);
                }
                self.remove_replaced_source(&file).await;
                Ok(())
            }
            None => {
                self.remove_from_drive(&old).await?;
                self.forget_target(&target);
                self.move_to(source, new_parent, new_name).await
            }
        }
    }

    /// Gives `old` a new revision with the bytes of `file`; `None` when the drive does not do that.
    async fn take_over(&self, file: &File, old: &File) -> Result<Option<File>> {
        let (Some(sha1), Some(parent)) = (&file.sha1, &old.parent) else { return Ok(None) };
        let json = file.json();
        let tags = json["user_tags"].as_object().into_iter().flatten();
        let given = |time: &str| (!time.is_empty()).then(|| time.to_owned());
        let request = CreateFile {
            parent: parent.clone(),
            name: old.name.to_string(),
            overwrite: Some(old.id.clone()),
            size: Some(file.size),
            content_hash: Some(sha1.to_string()),
            parallel: false,
            parts: vec![PartRequest { number: 1, sha1_context: None }],
            content_type: None,
            attributes: NewAttributes {
                local_created_at: given(&file.local_created_at),
                local_modified_at: given(&file.local_modified_at).or_else(|| given(&file.updated_at)),
                user_tags: tags
                    .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                    .collect(),
                ..NewAttributes::default()
            },
        };
        let Created::Rapid { .. } = self.pds.create_file(&request).await? else { return Ok(None) };
        // The mode of the old content is not the new one's.
        let is_new = |key: &str| file.own_tags.iter().any(|(other, _)| **other == *key);
        let stale = old.own_tags.iter().filter(|(key, _)| !is_new(key));
        let stale: Vec<String> = stale.map(|(key, _)| key.to_string()).collect();
        self.pds.delete_tags(&old.id, &stale).await?;
        let merged = self.pds.file(&old.id).await?;
        if merged.size != file.size || merged.crc64 != file.crc64 {
            return Err(Error::new(Kind::Corrupt, "rename", "the drive replaced the file by other bytes")
                .on(&old.name));
        }
        Ok(Some(merged))
    }

    /// The source's bytes live on in the target, so it does not go to the recycle bin where that can be
    /// avoided. If it cannot be removed it stays: nothing is lost by that, and the next listing shows it.
    async fn remove_replaced_source(&self, source: &File) {
        let mut removed = self.pds.delete(&source.id).await;
        if removed.as_ref().is_err_and(|error| error.kind() == Kind::Denied) {
            removed = self.pds.trash(&source.id).await;
        }
        match removed {
            Err(error) if error.kind() != Kind::NotFound => {
                tracing::warn!(%error, name = %source.name, "a renamed file could not be removed under its old name");
            }
            Ok(_) | Err(_) => self.tree.vanished(source),
        }
    }

    async fn hold_open(&self, target: &Node) {
        let body = lock(&self.bodies).get(&target.ino).cloned();
        if let Some(Stage::Clean(remote)) =
            body.filter(|_| self.tree.opens(target.ino) > 0).map(|body| body.stage())
            && let Err(error) = self.reader.hold(&remote).await
        {
            tracing::debug!(%error, "an open file that is replaced may become unreadable");
        }
    }

    /// Takes a replaced node out of the tree; who has it open keeps it.
    fn forget_target(&self, target: &Node) {
        self.tree.remove(target.ino);
        let body = lock(&self.bodies).get(&target.ino).cloned();
        if let Some(body) = body
            && self.tree.opens(target.ino) == 0
        {
            self.discard(&body);
        }
    }
}

/// The draft's base has a new name: the next revision is created under it.
fn rebase_name(placement: &mut crate::write::Placement, file: &File) {
    if let Some(base) = &placement.base
        && base.id == file.id
    {
        placement.base = Some(Arc::new(file.clone()));
    }
}

fn require_same_kind(source: &Node, target: &Node) -> Result<()> {
    match (source.is_folder(), target.is_folder()) {
        (false, true) => {
            Err(Error::new(Kind::IsDirectory, "rename", "the new name is a folder").on(&target.name))
        }
        (true, false) => {
            Err(Error::new(Kind::NotDirectory, "rename", "the new name is a file").on(&target.name))
        }
        (true, true) | (false, false) => Ok(()),
    }
}
