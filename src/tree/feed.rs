//! Following the drive's change feed, so that what was listed once stays true (pds-api.md section 11).
//!
//! One poll serves everyone: [`Feed::refresh`] joins a poll under way, or does nothing when the last one is
//! recent enough. A drive without a feed, or one that lost our cursor, makes all listings stale instead, and
//! they are loaded anew when used.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as AsyncMutex, broadcast};

use super::Tree;
use crate::content::lock;
use crate::error::{Kind, Result};
use crate::pds::model::{File, FileId};
use crate::pds::{DeltaItem, DeltaOp, Pds, code};

/// Pages of one poll; the rest comes with the next, so that no caller waits for a flood.
const MAX_PAGES: usize = 100;

/// What a feed item means to the tree.
#[derive(Clone, Debug)]
pub enum Change {
    /// Deleted or in the recycle bin.
    Gone(FileId),
    /// This is what it is now.
    Now(Box<File>),
    /// It came back from the recycle bin, as this.
    Restored(Box<File>),
    /// It changed, and the feed does not say how.
    Unclear(FileId),
}

impl Change {
    /// Reads an item. Deletion is told by the operation alone (11.2).
    pub fn of(item: DeltaItem) -> Self {
        match (item.op, item.file) {
            (DeltaOp::Delete | DeltaOp::Trash, _) => Change::Gone(item.file_id),
            (_, Some(file)) if file.trashed => Change::Gone(item.file_id),
            (op, Some(file)) if file.parent.is_some() && !file.updated_at.is_empty() => match op {
                DeltaOp::Restore => Change::Restored(Box::new(file)),
                _ => Change::Now(Box::new(file)),
            },
            (
                DeltaOp::Create
                | DeltaOp::Overwrite
                | DeltaOp::Update
                | DeltaOp::Move
                | DeltaOp::Restore
                | DeltaOp::Rename
                | DeltaOp::Other,
                _,
            ) => Change::Unclear(item.file_id),
        }
    }

    /// Whom it is about.
    pub fn id(&self) -> &FileId {
        match self {
            Change::Gone(id) | Change::Unclear(id) => id,
            Change::Now(file) | Change::Restored(file) => &file.id,
        }
    }
}

/// What the feed told, and where that was, for whoever watches.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Something changed.
    Changed {
        /// How.
        op: DeltaOp,
        /// What.
        id: FileId,
        /// As the feed described it.
        file: Option<Box<File>>,
        /// Its path before, when it was known.
        before: Option<String>,
        /// Its path after, when it is known.
        after: Option<String>,
    },
    /// The thread was lost: changes were missed.
    Lost,
}

/// What waits for a slow watcher; it is told that it missed what is beyond.
const MAX_NEWS: usize = 1024;

/// See the module's documentation.
pub struct Feed {
    /// Held during a poll, so that there is one at a time.
    cursor: AsyncMutex<Cursor>,
    polled_at: Mutex<Option<Instant>>,
    is_on: AtomicBool,
    resets: AtomicU64,
    news: broadcast::Sender<Seen>,
}

enum Cursor {
    /// Not asked for yet.
    Unknown,
    At(String),
    /// The drive has no feed.
    Off,
}

impl Feed {
    /// Nothing polled yet; what happened since `cursor` comes first.
    pub fn new(cursor: Option<&str>) -> Self {
        let cursor = cursor.map_or(Cursor::Unknown, |position| Cursor::At(position.to_owned()));
        Feed {
            is_on: AtomicBool::new(matches!(cursor, Cursor::At(_))),
            cursor: AsyncMutex::new(cursor),
            polled_at: Mutex::new(None),
            resets: AtomicU64::new(0),
            news: broadcast::Sender::new(MAX_NEWS),
        }
    }

    /// What is told from now on, whoever asks for it; `None` when `most` watch already.
    pub fn watch(&self, most: usize) -> Option<broadcast::Receiver<Seen>> {
        let news = self.news.subscribe();
        (self.news.receiver_count() <= most).then_some(news)
    }

    /// Whether the drive tells what changes, so that what is known stays true.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The drive says that it has no feed.
    pub async fn switch_off(&self, tree: &Tree) {
        self.end(tree, &mut *self.cursor.lock().await);
    }

    /// How often the thread was lost, and with it the truth of all listings.
    pub fn resets(&self) -> u64 {
        self.resets.load(Ordering::Relaxed)
    }

    /// Whether the last poll is no older than `max_age`.
    pub fn is_fresh(&self, max_age: Duration) -> bool {
        lock(&self.polled_at).is_some_and(|polled_at| polled_at.elapsed() <= max_age)
    }

    /// Brings the tree up to date unless a poll of the last `max_age` did. Without a feed, listings older
    /// than `max_age` become stale.
    ///
    /// # Errors
    /// The service cannot be asked; what the tree knows stays as it is.
    pub async fn refresh(&self, pds: &Pds, tree: &Tree, max_age: Duration) -> Result<()> {
        let mut cursor = self.cursor.lock().await;
        if self.is_fresh(max_age) {
            return Ok(());
        }
        let started = Instant::now();
        let result = match &mut *cursor {
            Cursor::Unknown => self.start(pds, tree, &mut cursor).await,
            Cursor::At(_) => self.poll(pds, tree, &mut cursor).await,
            Cursor::Off => {
                tree.unload_all();
                Ok(())
            }
        };
        if result.is_ok() {
            *lock(&self.polled_at) = Some(started);
        }
        result
    }

    /// The cursor is taken before anything is listed, so that nothing is missed in between (11.2).
    async fn start(&self, pds: &Pds, tree: &Tree, cursor: &mut Cursor) -> Result<()> {
        match pds.last_cursor().await {
            Ok(position) => {
                // In this order: a listing that is still trusted must not be written with the new cursor.
                tree.unload_all();
                tree.set_cursor(Some(&position));
                *cursor = Cursor::At(position);
                self.is_on.store(true, Ordering::Relaxed);
                self.resets.fetch_add(1, Ordering::Relaxed);
                // Without a watcher it is news to nobody.
                let _ = self.news.send(Seen::Lost);
                Ok(())
            }
            Err(error) if error.kind().is_transient() || error.kind() == Kind::Unauthenticated => Err(error),
            Err(error) => {
                tracing::info!(%error, "this drive has no change feed: listings are read again when they get old");
                self.end(tree, cursor);
                Ok(())
            }
        }
    }

    fn end(&self, tree: &Tree, cursor: &mut Cursor) {
        *cursor = Cursor::Off;
        tree.unload_all();
        tree.set_cursor(None);
        self.is_on.store(false, Ordering::Relaxed);
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    async fn poll(&self, pds: &Pds, tree: &Tree, cursor: &mut Cursor) -> Result<()> {
        for _ in 0..MAX_PAGES {
            let Cursor::At(position) = &*cursor else { return Ok(()) };
            let asked = tree.ask();
            let page = match pds.delta(position).await {
                Ok(page) => page,
                Err(error) if error.code() == code::CURSOR_NOT_FOUND => {
                    return self.start(pds, tree, cursor).await;
                }
                Err(error) => return Err(error),
            };
            for item in page.items {
                self.apply(tree, item, asked);
            }
            tree.set_cursor(Some(&page.cursor));
            *cursor = Cursor::At(page.cursor);
            if !page.has_more {
                break;
            }
        }
        Ok(())
    }
}

impl Feed {
    fn apply(&self, tree: &Tree, item: DeltaItem, asked: u64) {
        if self.news.receiver_count() == 0 {
            tree.apply_change(Change::of(item), asked);
            return;
        }
        let path = |id: &FileId| tree.by_id(id).map(|ino| tree.path(ino));
        let (op, id, file) = (item.op, item.file_id.clone(), item.file.clone().map(Box::new));
        let before = path(&id);
        tree.apply_change(Change::of(item), asked);
        let after = path(&id);
        // Who watched may have gone meanwhile.
        let _ = self.news.send(Seen::Changed { op, id, file, before, after });
    }
}

impl Default for Feed {
    fn default() -> Self {
        Feed::new(None)
    }
}
