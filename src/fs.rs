//! The filesystem without the kernel: one method per operation, joining tree, content, writer and reader.
//!
//! | file | what it answers |
//! |---|---|
//! | `fs.rs` | who is there: lookup, stat, directories, freshness, space |
//! | [`data`] | bytes: open, read, write, truncate, close |
//! | [`complete`] | how a draft gets to the drive, conflicts, draining, status |
//! | [`behind`] | what is sent after close, and again after a failure |
//! | [`recover`] | what survives this process, and how it goes on |
//! | [`uploads`] | what people do about files that are not on the drive: send, discard, export |
//! | [`space`] | space and holes: fallocate, where data begins |
//! | [`follow`] | what runs beside the requests: the feed, the index, telling the kernel |
//! | [`change`] | mkdir, unlink, rmdir, times and modes |
//! | [`rename`] | all forms of rename |
//! | [`posix`] | modes, owners, exact times, symbolic links |
//! | [`cache`] | what is cached, pinned, and given back |
//! | [`attributes`], [`xattr`] | extended attributes |
//! | [`find`] | where in the tree are the files that the drive's search finds |
//! | [`thumbnails`] | pictures of files, for the desktop |
//! | [`wait`] | when is a file on the drive, and looked at there |
//! | [`attr`], [`body`], [`handle`] | the values these work on |
//!
//! Methods named `*_now` answer from memory and local disk and may be called on a kernel thread; they say
//! `None` when the network is needed. All others are async and end by the deadlines of `pds`.
//!
//! When the service cannot be reached, what is known is served: names and attributes as last seen, bytes that
//! are here. Only what needs the service fails.

pub mod attr;
pub mod attributes;
pub mod behind;
pub mod body;
pub mod cache;
pub mod change;
pub mod complete;
pub mod data;
pub mod find;
pub mod follow;
pub mod handle;
pub mod news;
pub mod posix;
pub mod recover;
pub mod rename;
pub mod space;
pub mod thumbnails;
pub mod trash;
pub mod uploads;
pub mod usage;
pub mod versions;
pub mod wait;
pub mod xattr;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::config::FsOptions;
use crate::content::lock;
use crate::content::store::{Limits, Store};
use crate::error::{Error, Kind, Result};
use crate::pds::Pds;
use crate::pds::model::{Drive, FileId};
use crate::read::{Patience, Reader};
use crate::tree::feed::Feed;
use crate::tree::index::Index;
use crate::tree::{DirEntry, Facts, Ino, Lookup, Node, ROOT, Tree, names};
use crate::write::journal::Journal;
use crate::write::{WriteOptions, Writer};
use attr::Newer;
use attributes::{Creators, Flats};
use behind::Behind;
use body::Body;
use follow::Follower;
use handle::{DirHandle, Handles, Pages};
use recover::Recovering;

pub use complete::{DrainReport, Progress, Status};

/// After the service could not be reached, names and attributes are served as last seen for this long
/// before it is asked again: otherwise every `stat` would wait for the same deadline.
const QUIET_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// How long the drive's numbers are good for `df`.
const SPACE_AGE: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Thread; 0 when it is of another pid namespace.
    pub pid: u32,
}

/// A node and its newer local content, if any: what attributes are made of.
#[derive(Clone, Debug)]
pub struct Stat {
    /// The node.
    pub node: Facts,
    /// Content the drive does not have yet.
    pub newer: Option<Newer>,
}

/// See the module's documentation.
pub struct DriveFs {
    pds: Pds,
    options: FsOptions,
    tree: Tree,
    feed: Feed,
    store: Arc<Store>,
    reader: Arc<Reader>,
    writer: Arc<Writer>,
    bodies: Mutex<HashMap<Ino, Arc<Body>>>,
    handles: Handles,
    pages: Pages,
    loading: Mutex<HashMap<Ino, Weak<AsyncMutex<()>>>>,
    quiet_until: Mutex<Option<Instant>>,
    space: AsyncMutex<Option<(Instant, Drive)>>,
    creators: Creators,
    follower: Follower,
    usual: posix::Usual,
    flats: Flats,
    journal: Arc<Journal>,
    behind: Behind,
    /// Drafts of an earlier run that are not in the tree.
    recovering: Mutex<Vec<Recovering>>,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
}

impl DriveFs {
    /// Takes the local directories; asks the service nothing yet. Tasks run on `runtime`, which must be
    /// multi-threaded.
    ///
    /// # Errors
    /// [`Kind::Busy`] when another process uses the directories; [`Kind::Local`] when the disk refuses.
    pub fn open(pds: Pds, options: FsOptions, runtime: tokio::runtime::Handle) -> Result<Arc<Self>> {
        let limits = Limits { cache_bytes: options.cache_bytes, min_free: options.min_free };
        let store = Arc::new(Store::open(&options.cache_dir, &options.state_dir, limits)?);
        let journal = Arc::new(Journal::open(&options.state_dir)?);
        let recorded = journal.entries()?;
        store.sweep(&recorded.iter().map(|entry| entry.content_file.clone()).collect())?;
        let tree = Tree::open(Index::open(&options.state_dir)?)?;
        // What is not counted (tasks, connections, listings) has the other half.
        let budget = Budget::new(options.memory_bytes / 2);
        let patience = Patience { no_progress: options.op_timeout };
        let write_options = WriteOptions {
            part_bytes: options.part_bytes,
            upload_concurrency: options.upload_concurrency,
            transfers: options.transfers * options.upload_concurrency,
            rapid: options.write.rapid,
        };
        Ok(Arc::new(DriveFs {
            reader: Reader::new(pds.clone(), Arc::clone(&store), budget.clone(), patience, runtime.clone()),
            writer: Writer::new(pds.clone(), write_options, budget, Arc::clone(&journal), runtime.clone()),
            behind: Behind::new(options.transfers),
            pds,
            options,
            feed: Feed::new(tree.cursor().as_deref()),
            tree,
            store,
            bodies: Mutex::default(),
            handles: Handles::default(),
            pages: Pages::default(),
            loading: Mutex::default(),
            quiet_until: Mutex::new(None),
            space: AsyncMutex::new(None),
            creators: Creators::default(),
            follower: Follower::default(),
            usual: posix::Usual::default(),
            flats: Flats::default(),
            journal,
            recovering: Mutex::new(recorded.into_iter().map(Recovering::new).collect()),
            tasks: TaskTracker::new(),
            runtime,
        }))
    }

    /// First contact: the drive is there, we may use it, and its root can be listed.
    ///
    /// # Errors
    /// What is wrong, in words: unknown drive, bad token, no service at this address.
    pub async fn check(&self) -> Result<()> {
        let drive = self.pds.drive().await.map_err(|error| match error.kind() {
            Kind::NotFound => Error::new(
                Kind::NotFound,
                "open the drive",
                "there is no drive with this id, or the token may not see it: check --drive-id",
            )
            .on(self.pds.drive_id())
            .with_code(error.code()),
            _ => error,
        })?;
        if drive.delta_enabled == Some(false) {
            self.feed.switch_off(&self.tree).await;
        }
        *self.space.lock().await = Some((Instant::now(), drive));
        self.feed.refresh(&self.pds, &self.tree, Duration::ZERO).await?;
        self.load(ROOT).await?;
        self.adopt_known();
        Ok(())
    }

    /// The runtime that tasks of this filesystem run on.
    pub fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// The tracker of request tasks: they end before the mount does.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// How long the kernel may keep that there is no such entry.
    pub fn negative_timeout(&self) -> Duration {
        self.options.attr_timeout
    }

    /// How long the kernel may keep attributes and entries: as long as it is told when they change.
    pub fn attr_timeout(&self) -> Duration {
        let asked_always = self.options.attr_timeout.is_zero();
        if !asked_always && self.follower.is_followed() && self.feed.is_on() {
            follow::KERNEL_TRUST
        } else {
            self.options.attr_timeout
        }
    }

    // --- freshness -------------------------------------------------------------------------------------

    fn is_fresh(&self) -> bool {
        self.feed.is_fresh(self.options.attr_timeout)
            || lock(&self.quiet_until).is_some_and(|until| Instant::now() < until)
    }

    /// Brings the tree up to date unless that was done within the attribute timeout. Failing is not fatal:
    /// what is known is served.
    async fn refresh(&self) {
        self.follower.note_use();
        if self.is_fresh() {
            return;
        }
        if let Err(error) = self.feed.refresh(&self.pds, &self.tree, self.options.attr_timeout).await {
            tracing::warn!(%error, "names and attributes are served as last seen");
            *lock(&self.quiet_until) = Some(Instant::now() + QUIET_AFTER_FAILURE);
        }
    }

    /// Loads a directory unless it is. Concurrent callers wait for the same load.
    async fn load(&self, dir: Ino) -> Result<()> {
        if self.tree.loaded_at(dir).is_some() {
            return Ok(());
        }
        let turn = {
            let mut loading = lock(&self.loading);
            loading.retain(|_, turn| turn.strong_count() > 0);
            match loading.get(&dir).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::new(AsyncMutex::new(()));
                    loading.insert(dir, Arc::downgrade(&turn));
                    turn
                }
            }
        };
        let _turn = turn.lock().await;
        if self.tree.loaded_at(dir).is_some() {
            return Ok(());
        }
        let id = self.folder_id(dir)?;
        let asked = self.tree.ask();
        let mut files = Vec::new();
        let mut marker = String::new();
        loop {
            let page = self.pds.list(&id, &marker).await?;
            files.extend(page.files.into_iter().filter(|file| !file.trashed));
            match page.next {
                Some(next) if next != marker => marker = next,
                _ => break,
            }
        }
        self.tree.apply_listing(dir, files, asked, Instant::now());
        self.save_soon();
        self.adopt_into(dir, &id);
        Ok(())
    }

    /// The drive's id of a folder.
    fn folder_id(&self, dir: Ino) -> Result<FileId> {
        let facts = self.tree.facts(dir).ok_or_else(|| gone("open folder"))?;
        if !facts.is_folder() {
            return Err(Error::new(Kind::NotDirectory, "open folder", "it is a file").on(self.tree.path(dir)));
        }
        self.tree.id_of(dir).ok_or_else(|| gone("open folder"))
    }

    fn stat_of(&self, node: Facts) -> Stat {
        let newer = lock(&self.bodies).get(&node.ino).cloned().and_then(|body| body.newer());
        // A completion publishes the File and then ends the draft. Without a draft there may have been one when
        // `node` was read, and then what it says is older than what programs have written.
        let node = match newer {
            Some(_) => node,
            None => self.tree.facts(node.ino).unwrap_or(node),
        };
        Stat { node: self.shown(node), newer }
    }

    // --- names and attributes --------------------------------------------------------------------------

    /// Looks a name up in memory; `None` when the drive must be asked.
    pub fn lookup_now(&self, parent: Ino, name: &OsStr) -> Option<Result<Stat>> {
        let name = match names::check(name) {
            Ok(name) => name,
            Err(error) if error.kind() == Kind::NotUnicode => return Some(Err(absent())),
            Err(error) => return Some(Err(error)),
        };
        if !self.is_fresh() {
            return None;
        }
        self.found(parent, name)
    }

    fn found(&self, parent: Ino, name: &str) -> Option<Result<Stat>> {
        match self.tree.lookup(parent, name) {
            Lookup::Found(node) => Some(Ok(self.stat_of(*node))),
            Lookup::Absent => Some(Err(absent())),
            Lookup::NoDirectory => Some(Err(gone("look up"))),
            Lookup::Unknown => None,
        }
    }

    /// Looks a name up.
    ///
    /// # Errors
    /// [`Kind::NotFound`], or what kept the directory from being read.
    pub async fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Stat> {
        let name = names::check(name)?;
        self.refresh().await;
        if let Some(found) = self.found(parent, name) {
            return found;
        }
        self.load(parent).await?;
        self.found(parent, name).unwrap_or_else(|| Err(absent()))
    }

    /// The node at a path below the root, `/` between names, empty for the root itself.
    ///
    /// # Errors
    /// As [`DriveFs::lookup`].
    pub async fn at(&self, path: &str) -> Result<Node> {
        let mut ino = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            ino = self.lookup(ino, OsStr::new(name)).await.map_err(|error| error.on(path))?.node.ino;
        }
        self.tree.node(ino).ok_or_else(|| gone("look up"))
    }

    /// Attributes from memory; `None` when they may be out of date.
    pub fn stat_now(&self, ino: Ino) -> Option<Result<Stat>> {
        let Some(node) = self.tree.facts(ino) else { return Some(Err(gone("stat"))) };
        let stat = self.stat_of(node);
        (self.is_fresh() || stat.newer.is_some() || ino == ROOT).then_some(Ok(stat))
    }

    /// Attributes as last seen.
    pub fn stat_cached(&self, ino: Ino) -> Option<Stat> {
        self.tree.facts(ino).map(|node| self.stat_of(node))
    }

    /// Attributes.
    ///
    /// # Errors
    /// [`Kind::Stale`] when the node is gone.
    pub async fn stat(&self, ino: Ino) -> Result<Stat> {
        self.refresh().await;
        self.tree.facts(ino).map(|node| self.stat_of(node)).ok_or_else(|| gone("stat"))
    }

    /// The kernel got a reference to an inode, told before the reply.
    pub fn refer(&self, ino: Ino) {
        self.tree.refer(ino);
    }

    /// The kernel gave references back.
    pub fn forget(&self, ino: Ino, count: u64) {
        self.tree.forget(ino, count);
    }

    // --- directories -----------------------------------------------------------------------------------

    /// Opens a directory without asking the drive; `None` when it must be asked.
    pub fn open_dir_now(self: &Arc<Self>, ino: Ino) -> Option<u64> {
        (self.is_fresh() && self.tree.loaded_at(ino).is_some()).then(|| self.open_loaded_dir(ino))
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// What kept it from being read: an unreadable directory is never shown empty.
    pub async fn open_dir(self: &Arc<Self>, ino: Ino) -> Result<u64> {
        self.refresh().await;
        if self.tree.loaded_at(ino).is_none() {
            self.look_ahead(ino);
        }
        self.load(ino).await?;
        Ok(self.open_loaded_dir(ino))
    }

    fn open_loaded_dir(self: &Arc<Self>, ino: Ino) -> u64 {
        self.look_ahead(ino);
        self.tree.open_handle(ino);
        let entries = Mutex::new(Arc::new(self.tree.entries(ino)));
        self.handles.insert_dir(DirHandle { ino, entries })
    }

    /// The entries of an open directory. `rewind` reads them anew, as `rewinddir` promises.
    ///
    /// # Errors
    /// [`Kind::BadHandle`].
    pub fn entries(&self, handle: u64, rewind: bool) -> Result<Arc<Vec<DirEntry>>> {
        let dir = self
            .handles
            .dir(handle)
            .ok_or_else(|| Error::new(Kind::BadHandle, "read directory", "the directory is not open"))?;
        let mut entries = lock(&dir.entries);
        if rewind {
            *entries = Arc::new(self.tree.entries(dir.ino));
        }
        Ok(Arc::clone(&entries))
    }

    /// The attributes of an entry that was just listed; `None` when it is gone meanwhile.
    pub fn stat_entry(&self, entry: &DirEntry) -> Option<Stat> {
        self.tree.facts(entry.ino).filter(|node| node.linked).map(|node| self.stat_of(node))
    }

    /// The directory an inode is in.
    pub fn parent(&self, ino: Ino) -> Ino {
        self.tree.facts(ino).map_or(ROOT, |node| node.parent)
    }

    /// Closes a directory.
    pub fn close_dir(&self, ino: Ino, handle: u64) {
        self.handles.remove_dir(handle);
        self.tree.close(ino);
    }

    // --- space -----------------------------------------------------------------------------------------

    /// The drive's size and use, for `df`.
    ///
    /// # Errors
    /// The service was never reached.
    pub async fn space(&self) -> Result<Drive> {
        let mut space = self.space.lock().await;
        if let Some((asked_at, drive)) = &*space
            && asked_at.elapsed() < SPACE_AGE
        {
            return Ok(drive.clone());
        }
        match (self.pds.drive().await, &*space) {
            (Ok(drive), _) => {
                *space = Some((Instant::now(), drive.clone()));
                Ok(drive)
            }
            (Err(_), Some((_, drive))) => Ok(drive.clone()),
            (Err(error), None) => Err(error),
        }
    }

    /// Where the running mount can be talked to, for `user.pds.control` of the root.
    pub fn control(&self) -> Option<&std::path::Path> {
        self.options.control.as_ref().map(|control| &*control.socket)
    }
}

fn absent() -> Error {
    Error::new(Kind::NotFound, "look up", "there is no such entry")
}

/// The node is not there any more.
fn gone(op: &'static str) -> Error {
    Error::new(Kind::Stale, op, "it is no longer on the drive")
}
