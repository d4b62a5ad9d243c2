//! The filesystem as a map in memory: obvious, and nothing else.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::support::disk::{Errno, How};

/// Names a file's content, whatever its name is.
pub type Id = usize;

/// See the module's documentation.
#[derive(Default)]
pub struct Reference {
    entries: BTreeMap<String, Entry>,
    files: BTreeMap<Id, File>,
    next: Id,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    Folder,
    File(Id),
}

#[derive(Default)]
pub struct File {
    pub bytes: Vec<u8>,
    /// When it was last seen or set and not changed since.
    pub modified_at: Option<SystemTime>,
}

impl Reference {
    pub fn entry(&self, path: &str) -> Result<Entry, Errno> {
        self.parent(path)?;
        if path.is_empty() {
            return Ok(Entry::Folder);
        }
        self.entries.get(path).copied().ok_or(libc::ENOENT)
    }

    /// The file of a path, for what only works on files.
    pub fn file_at(&self, path: &str) -> Result<Id, Errno> {
        match self.entry(path)? {
            Entry::File(id) => Ok(id),
            Entry::Folder => Err(libc::EISDIR),
        }
    }

    /// Every folder above `path` is there.
    fn parent(&self, path: &str) -> Result<(), Errno> {
        for (end, _) in path.match_indices('/') {
            match self.entries.get(&path[..end]) {
                Some(Entry::Folder) => {}
                Some(Entry::File(_)) => return Err(libc::ENOTDIR),
                None => return Err(libc::ENOENT),
            }
        }
        Ok(())
    }

    pub fn file(&self, id: Id) -> &File {
        &self.files[&id]
    }

    pub fn file_mut(&mut self, id: Id) -> &mut File {
        self.files.get_mut(&id).unwrap()
    }

    pub fn open(&mut self, path: &str, how: How) -> Result<Id, Errno> {
        let id = match self.entry(path) {
            Ok(_) if how.create && how.exclusive => return Err(libc::EEXIST),
            Ok(Entry::Folder) => return Err(libc::EISDIR),
            Ok(Entry::File(id)) => id,
            Err(libc::ENOENT) if how.create => {
                self.parent(path)?;
                self.next += 1;
                self.files.insert(self.next, File::default());
                self.entries.insert(path.to_owned(), Entry::File(self.next));
                self.next
            }
            Err(errno) => return Err(errno),
        };
        if how.truncate {
            *self.file_mut(id) = File::default();
        }
        Ok(id)
    }

    pub fn write(&mut self, id: Id, offset: Option<u64>, bytes: &[u8]) {
        let file = self.file_mut(id);
        let start = offset.map_or(file.bytes.len(), |offset| offset as usize);
        let end = start + bytes.len();
        file.bytes.resize(file.bytes.len().max(end), 0);
        file.bytes[start..end].copy_from_slice(bytes);
        file.modified_at = None;
    }

    pub fn set_len(&mut self, id: Id, len: u64) {
        let file = self.file_mut(id);
        file.bytes.resize(len as usize, 0);
        file.modified_at = None;
    }

    pub fn make_dir(&mut self, path: &str) -> Result<(), Errno> {
        match self.entry(path) {
            Ok(_) => Err(libc::EEXIST),
            Err(libc::ENOENT) => {
                self.parent(path)?;
                self.entries.insert(path.to_owned(), Entry::Folder);
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }

    pub fn remove_dir(&mut self, path: &str) -> Result<(), Errno> {
        match self.entry(path)? {
            Entry::File(_) => Err(libc::ENOTDIR),
            Entry::Folder if !self.list(path)?.is_empty() => Err(libc::ENOTEMPTY),
            Entry::Folder => {
                self.entries.remove(path);
                Ok(())
            }
        }
    }

    pub fn unlink(&mut self, path: &str) -> Result<(), Errno> {
        self.file_at(path)?;
        self.entries.remove(path);
        Ok(())
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        self.parent(from)?;
        self.parent(to)?;
        let source = self.entry(from)?;
        if to.starts_with(&format!("{from}/")) {
            return Err(libc::EINVAL);
        }
        if from.starts_with(&format!("{to}/")) {
            return Err(libc::ENOTEMPTY);
        }
        if from == to {
            return Ok(());
        }
        match (source, self.entry(to)) {
            (Entry::File(_), Ok(Entry::Folder)) => return Err(libc::EISDIR),
            (Entry::Folder, Ok(Entry::File(_))) => return Err(libc::ENOTDIR),
            (Entry::Folder, Ok(Entry::Folder)) if !self.list(to)?.is_empty() => return Err(libc::ENOTEMPTY),
            _ => {}
        }
        let below = format!("{from}/");
        let moved: Vec<String> =
            self.entries.keys().filter(|path| *path == from || path.starts_with(&below)).cloned().collect();
        for path in moved {
            let entry = self.entries.remove(&path).unwrap();
            self.entries.insert(format!("{to}{}", &path[from.len()..]), entry);
        }
        Ok(())
    }

    pub fn list(&self, path: &str) -> Result<Vec<(String, bool)>, Errno> {
        if let Entry::File(_) = self.entry(path)? {
            return Err(libc::ENOTDIR);
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let child = |(name, entry): (&String, &Entry)| {
            let name = name.strip_prefix(&prefix).filter(|name| !name.contains('/'))?;
            Some((name.to_owned(), *entry == Entry::Folder))
        };
        Ok(self.entries.iter().filter_map(child).collect())
    }

    /// Every entry by path.
    pub fn all(&self) -> impl Iterator<Item = (&str, Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), *entry))
    }
}
