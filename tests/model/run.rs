//! Does each operation to a disk and to the reference, and compares. A difference is a value, not a panic,
//! so that the shrinker can go on.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::ops::{Op, SLOTS};
use crate::reference::{Entry, Id, Reference};
use crate::server_support::{Bed, noise};
use crate::support::disk::{Disk, Errno, FileLike, How};
use crate::support::drive::{Remote, everything};

/// What differed.
pub type Difference = String;

struct Slot<F> {
    file: F,
    id: Id,
    how: How,
}

/// A disk, what it must be like, and what is open.
pub struct Run<'b, D: Disk> {
    bed: &'b Bed,
    disk: Option<D>,
    model: Reference,
    slots: [Option<Slot<D::File>>; SLOTS],
}

/// Does all operations and compares everything at the end, here and on the drive, before and after opening
/// the filesystem once more.
pub fn run<D: Disk>(bed: &Bed, disk: D, ops: &[Op]) -> Result<(), Difference> {
    let mut run =
        Run { bed, disk: Some(disk), model: Reference::default(), slots: std::array::from_fn(|_| None) };
    for (number, op) in ops.iter().enumerate() {
        run.step(op).map_err(|difference| format!("operation {number}, {op:?}: {difference}"))?;
    }
    run.remount().map_err(|difference| format!("at the end: {difference}"))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), Difference> {
    if got == wanted { Ok(()) } else { Err(format!("{what} gave {got:?} instead of {wanted:?}")) }
}

/// Says where two contents part, not what they are.
fn same_bytes(what: &str, got: &[u8], wanted: &[u8]) -> Result<(), Difference> {
    same(&format!("{what}: length"), &got.len(), &wanted.len())?;
    let differing: Vec<usize> = (0..got.len()).filter(|at| got[*at] != wanted[*at]).collect();
    match (differing.first(), differing.last()) {
        (Some(first), Some(last)) => {
            let zeros = differing.iter().filter(|at| got[**at] == 0).count();
            Err(format!("{what}: {} bytes differ in {first}..={last}, {zeros} are 0", differing.len()))
        }
        _ => Ok(()),
    }
}

impl<D: Disk> Run<'_, D> {
    fn disk(&self) -> &D {
        self.disk.as_ref().expect("a disk")
    }

    fn step(&mut self, op: &Op) -> Result<(), Difference> {
        match *op {
            Op::Open(slot, path, how) => self.open(slot, path, how),
            Op::Write(slot, offset, len, salt) => self.write(slot, offset, &noise(salt, len)),
            Op::Grow(slot, len, salt) => {
                let end = self.slots[slot].as_ref().map_or(0, |open| self.model.file(open.id).bytes.len());
                self.write(slot, end as u64, &noise(salt, len))
            }
            Op::Breathe => {
                std::thread::sleep(Duration::from_millis(3));
                Ok(())
            }
            Op::Read(slot, offset, len) => self.read(slot, offset, len),
            Op::SetLen(slot, len) => self.set_len(slot, len),
            Op::Sync(slot) => match &self.slots[slot] {
                Some(open) => same("fsync", &open.file.sync(), &Ok(())),
                None => Ok(()),
            },
            Op::Close(slot) => self.close(slot),
            Op::Truncate(path, len) => {
                let wanted = self.model.file_at(path).map(|id| self.model.set_len(id, len));
                same("truncate", &self.disk().truncate(path, len), &wanted)
            }
            Op::Rename(from, to) => {
                let wanted = self.model.rename(from, to);
                same("rename", &self.disk().rename(from, to), &wanted)
            }
            Op::Unlink(path) => {
                let wanted = self.model.unlink(path);
                same("unlink", &self.disk().unlink(path), &wanted)
            }
            Op::MakeDir(path) => {
                let wanted = self.model.make_dir(path);
                same("mkdir", &self.disk().make_dir(path), &wanted)
            }
            Op::RemoveDir(path) => {
                let wanted = self.model.remove_dir(path);
                same("rmdir", &self.disk().remove_dir(path), &wanted)
            }
            Op::List(path) => same("readdir", &self.disk().list(path), &self.model.list(path)),
            Op::Stat(path) => self.stat(path),
            Op::Touch(path, millis) => self.touch(path, millis),
            Op::Get(path) => self.get(path),
            Op::Remount => self.remount(),
        }
    }

    fn open(&mut self, slot: usize, path: &str, how: How) -> Result<(), Difference> {
        self.close(slot)?;
        if !how.write && self.model.entry(path) == Ok(Entry::Folder) {
            return Ok(());
        }
        let wanted = self.model.open(path, how);
        match (self.disk().open(path, how), wanted) {
            (Ok(file), Ok(id)) => {
                self.slots[slot] = Some(Slot { file, id, how });
                Ok(())
            }
            (got, wanted) => same("open", &got.map(|_| ()), &wanted.map(|_| ())),
        }
    }

    fn write(&mut self, slot: usize, offset: u64, bytes: &[u8]) -> Result<(), Difference> {
        let Some(open) = &self.slots[slot] else { return Ok(()) };
        let got = open.file.write_at(bytes, offset);
        if !open.how.write {
            return same("write", &got, &Err(libc::EBADF));
        }
        self.model.write(open.id, (!open.how.append).then_some(offset), bytes);
        same("write", &got, &Ok(()))
    }

    fn read(&mut self, slot: usize, offset: u64, len: usize) -> Result<(), Difference> {
        let Some(open) = &self.slots[slot] else { return Ok(()) };
        let got = open.file.read_at(offset, len);
        if !open.how.read {
            return same("read", &got, &Err(libc::EBADF));
        }
        let bytes = &self.model.file(open.id).bytes;
        let start = bytes.len().min(offset as usize);
        let wanted = &bytes[start..bytes.len().min(start + len)];
        match got {
            Ok(got) => same_bytes("read", &got, wanted),
            Err(errno) => Err(format!("read gave errno {errno}")),
        }
    }

    fn set_len(&mut self, slot: usize, len: u64) -> Result<(), Difference> {
        let Some(open) = &self.slots[slot] else { return Ok(()) };
        let got = open.file.set_len(len);
        if !open.how.write {
            return same("ftruncate", &got, &Err(libc::EINVAL));
        }
        self.model.set_len(open.id, len);
        same("ftruncate", &got, &Ok(()))
    }

    fn close(&mut self, slot: usize) -> Result<(), Difference> {
        match self.slots[slot].take() {
            Some(open) => same("close", &open.file.close(), &Ok(())),
            None => Ok(()),
        }
    }

    fn stat(&mut self, path: &str) -> Result<(), Difference> {
        match (self.disk().stat(path), self.model.entry(path)) {
            (Ok(facts), Ok(Entry::Folder)) => same("stat: is a folder", &facts.is_dir, &true),
            (Ok(facts), Ok(Entry::File(id))) => {
                same("stat: is a folder", &facts.is_dir, &false)?;
                let file = self.model.file_mut(id);
                same("stat: size", &facts.size, &(file.bytes.len() as u64))?;
                let known = *file.modified_at.get_or_insert(facts.modified_at);
                same("stat: modification time", &facts.modified_at, &known)
            }
            (got, wanted) => same("stat", &got.map(|_| ()), &wanted.map(|_| ())),
        }
    }

    fn touch(&mut self, path: &str, millis: u64) -> Result<(), Difference> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let got = self.disk().set_modified(path, time);
        let wanted = self.model.entry(path);
        if let Ok(Entry::File(id)) = wanted {
            self.model.file_mut(id).modified_at = Some(time);
        }
        same("utimensat", &got, &wanted.map(|_| ()))
    }

    fn get(&mut self, path: &str) -> Result<(), Difference> {
        match (self.model.entry(path), self.disk().get(path)) {
            (Ok(Entry::Folder), _) => Ok(()),
            (Ok(Entry::File(id)), Ok(got)) => same_bytes(path, &got, &self.model.file(id).bytes),
            (wanted, got) => {
                let got: Result<(), Errno> = got.map(|_| ());
                same("open", &got, &wanted.map(|_| ()))
            }
        }
    }

    fn remount(&mut self) -> Result<(), Difference> {
        for slot in 0..SLOTS {
            self.close(slot)?;
        }
        self.disk().settle()?;
        self.compare_drive()?;
        self.compare_all("before the remount")?;
        let disk = self.disk.take().expect("a disk");
        self.disk = Some(disk.remount());
        self.compare_all("after the remount")
    }

    fn compare_drive(&self) -> Result<(), Difference> {
        let got = everything(&|path, body| self.bed.expect(200, path, body));
        let mut wanted: BTreeMap<String, Remote> = self
            .model
            .all()
            .map(|(path, entry)| match entry {
                Entry::Folder => (path.to_owned(), Remote::Folder),
                Entry::File(id) => (path.to_owned(), Remote::of(&self.model.file(id).bytes)),
            })
            .collect();
        for (path, got) in got {
            same(&format!("the drive: {path:?}"), &Some(&got), &wanted.remove(&path).as_ref())?;
        }
        same("the drive: missing", &wanted, &BTreeMap::new())
    }

    fn compare_all(&mut self, when: &str) -> Result<(), Difference> {
        let entries: Vec<(String, Entry)> =
            self.model.all().map(|(path, entry)| (path.to_owned(), entry)).collect();
        let named = |difference: Difference| format!("{when}: {difference}");
        same("readdir", &self.disk().list(""), &self.model.list("")).map_err(named)?;
        for (path, entry) in entries {
            let named = |difference: Difference| format!("{when}: {path}: {difference}");
            self.stat(&path).map_err(named)?;
            match entry {
                Entry::Folder => same("readdir", &self.disk().list(&path), &self.model.list(&path)),
                Entry::File(_) => self.get(&path),
            }
            .map_err(named)?;
        }
        Ok(())
    }
}
