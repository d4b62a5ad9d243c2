//! Two clients of one drive as one disk: whenever nothing is open, the other one has its turn.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use pdsfs::fs::DriveFs;
use pdsfs::server::Server;

use crate::support::disk::{Disk, Errno, Facts, FileLike, How, Tuning};

/// See the module's documentation.
pub struct Pair<D> {
    clients: [D; 2],
    turn: Cell<usize>,
    open: Rc<Cell<usize>>,
}

/// A file of whoever had the turn.
pub struct Counted<F> {
    file: F,
    open: Rc<Cell<usize>>,
}

impl<D: Disk> Pair<D> {
    fn client(&self) -> &D {
        if self.open.get() == 0 {
            self.turn.set(1 - self.turn.get());
        }
        &self.clients[self.turn.get()]
    }
}

impl<D: Disk> Disk for Pair<D> {
    type File = Counted<D::File>;

    fn new(server: &Server, local: &Path, tuning: Tuning) -> Self {
        let client = |name: &str| D::new(server, &local.join(name), tuning.clone());
        Pair { clients: [client("one"), client("two")], turn: Cell::new(0), open: Rc::default() }
    }

    fn open(&self, path: &str, how: How) -> Result<Self::File, Errno> {
        let file = self.client().open(path, how)?;
        self.open.set(self.open.get() + 1);
        Ok(Counted { file, open: Rc::clone(&self.open) })
    }

    fn make_dir(&self, path: &str) -> Result<(), Errno> {
        self.client().make_dir(path)
    }

    fn remove_dir(&self, path: &str) -> Result<(), Errno> {
        self.client().remove_dir(path)
    }

    fn unlink(&self, path: &str) -> Result<(), Errno> {
        self.client().unlink(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        self.client().rename(from, to)
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), Errno> {
        self.client().truncate(path, len)
    }

    fn set_modified(&self, path: &str, time: SystemTime) -> Result<(), Errno> {
        self.client().set_modified(path, time)
    }

    fn stat(&self, path: &str) -> Result<Facts, Errno> {
        self.client().stat(path)
    }

    fn list(&self, path: &str) -> Result<Vec<(String, bool)>, Errno> {
        self.client().list(path)
    }

    fn fs(&self) -> &Arc<DriveFs> {
        self.clients[self.turn.get()].fs()
    }

    fn remount(self) -> Self {
        let Pair { clients, turn, open } = self;
        Pair { clients: clients.map(D::remount), turn, open }
    }

    fn settle(&self) -> Result<(), String> {
        self.clients.iter().try_for_each(D::settle)
    }
}

impl<F: FileLike> FileLike for Counted<F> {
    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        self.file.read_at(offset, len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), Errno> {
        self.file.set_len(len)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.file.sync()
    }

    fn close(self) -> Result<(), Errno> {
        let Counted { file, open } = self;
        open.set(open.get() - 1);
        file.close()
    }
}
