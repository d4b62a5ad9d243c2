//! The content of an inode as handles see it: a revision of the drive, or a draft over it.
//!
//! ```text
//!            first write, truncate                completed and not written since
//!   Clean ------------------------------> Draft ----------------------------------> Clean (new revision)
//! ```
//!
//! All handles of an inode share its body, so what one writes the others read. When the drive's content
//! changes from outside, a new body is made for later opens: handles that are open keep what they have.
//!
//! Locking: `state` is a leaf. `completing` (async) is held while the body is brought to the drive, so that
//! one task at a time settles names and times there.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::Mutex as AsyncMutex;

use super::attr::{Newer, to_millis};
use crate::content::store::Store;
use crate::content::{Content, lock};
use crate::error::Result;
use crate::pds::NewAttributes;
use crate::pds::model::{File, RevisionId};
use crate::read::Remote;
use crate::tree::Ino;
use crate::write::{Draft, Placement, Writer};

/// See the module's documentation.
pub struct Body {
    /// Whose content it is.
    pub ino: Ino,
    /// Held while the body is being completed.
    pub completing: AsyncMutex<()>,
    /// A task is about to bring it to the drive: what is written until it begins is included.
    pub queued: AtomicBool,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// The last write, or the time a program asked for since.
    modified_at: SystemTime,
    /// The last write, whatever a program asked for since.
    written_at: SystemTime,
    /// A program asked for `modified_at` itself.
    modified_is_explicit: bool,
    /// What was attached before the drive had the file.
    pending: NewAttributes,
}

/// Where the bytes are.
#[derive(Clone)]
pub enum Stage {
    /// The drive has them.
    Clean(Arc<Remote>),
    /// Only this machine has some of them. `base` fetches those of the rest that were not read yet.
    Draft {
        /// The bytes and their upload.
        draft: Arc<Draft>,
        /// The revision below.
        base: Option<Arc<Remote>>,
    },
}

impl Body {
    /// The content of a revision.
    pub fn clean(ino: Ino, remote: Arc<Remote>) -> Arc<Self> {
        Self::new(ino, Stage::Clean(remote))
    }

    /// The content of a new file, or of an old one cut to nothing.
    pub fn draft(ino: Ino, draft: Arc<Draft>) -> Arc<Self> {
        Self::new(ino, Stage::Draft { draft, base: None })
    }

    /// The content of a draft of an earlier run.
    pub fn resumed(ino: Ino, draft: Arc<Draft>, base: Option<Arc<Remote>>) -> Arc<Self> {
        Self::new(ino, Stage::Draft { draft, base })
    }

    fn new(ino: Ino, stage: Stage) -> Arc<Self> {
        let now = to_millis(SystemTime::now());
        let state = State {
            stage,
            modified_at: now,
            written_at: now,
            modified_is_explicit: false,
            pending: NewAttributes::default(),
        };
        Arc::new(Body {
            ino,
            completing: AsyncMutex::new(()),
            queued: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    /// Where the bytes are now.
    pub fn stage(&self) -> Stage {
        lock(&self.state).stage.clone()
    }

    /// The draft, if there is one.
    pub fn current_draft(&self) -> Option<Arc<Draft>> {
        match &lock(&self.state).stage {
            Stage::Draft { draft, .. } => Some(Arc::clone(draft)),
            Stage::Clean(_) => None,
        }
    }

    /// Whether the drive lacks something of it.
    pub fn is_dirty(&self) -> bool {
        self.current_draft().is_some_and(|draft| draft.is_dirty())
    }

    /// Size and time of content newer than the drive's.
    pub fn newer(&self) -> Option<Newer> {
        let state = lock(&self.state);
        match &state.stage {
            Stage::Draft { draft, .. } => Some(Newer {
                size: draft.size(),
                modified_at: state.modified_at,
                written_at: state.written_at,
            }),
            Stage::Clean(_) => None,
        }
    }

    /// The revision it is, or is based on.
    pub fn revision(&self) -> Option<RevisionId> {
        match &lock(&self.state).stage {
            Stage::Clean(remote) => Some(remote.key().1.clone()),
            Stage::Draft { draft, .. } => draft.placement().base.map(|base| base.revision.clone()),
        }
    }

    /// The local bytes, the file's size, and who can fetch what is missing.
    pub fn source(&self) -> (Arc<Content>, u64, Option<Arc<Remote>>) {
        match &lock(&self.state).stage {
            Stage::Clean(remote) => (Arc::clone(remote.content()), remote.size(), Some(Arc::clone(remote))),
            Stage::Draft { draft, base } => (Arc::clone(draft.content()), draft.size(), base.clone()),
        }
    }

    /// Does `change` to the draft, making one over the revision first when there is none. `change` says
    /// `None` when the draft was completed and retired meanwhile; then it is done to the next one.
    pub fn change<T>(
        &self,
        store: &Store,
        writer: &Arc<Writer>,
        placement: impl Fn() -> Placement,
        change: impl Fn(&Draft) -> Result<Option<T>>,
    ) -> Result<T> {
        let mut state = lock(&self.state);
        loop {
            if let Stage::Draft { draft, .. } = &state.stage
                && let Some(done) = change(draft)?
            {
                state.written_at = to_millis(SystemTime::now());
                state.modified_at = state.written_at;
                state.modified_is_explicit = false;
                return Ok(done);
            }
            let (content, size, base) = match &state.stage {
                Stage::Clean(remote) => {
                    store.reclaim(remote.key(), remote.content())?;
                    (Arc::clone(remote.content()), remote.size(), Some(Arc::clone(remote)))
                }
                Stage::Draft { draft, base } => (Arc::clone(draft.content()), draft.size(), base.clone()),
            };
            let draft = writer.begin(content, size, placement());
            state.stage = Stage::Draft { draft, base };
        }
    }

    /// Cuts to nothing, as `O_TRUNC` does. The cached revision stays cached.
    ///
    /// # Errors
    /// The local disk refuses.
    pub fn clear(
        &self,
        store: &Store,
        writer: &Arc<Writer>,
        placement: impl Fn() -> Placement,
    ) -> Result<()> {
        let mut state = lock(&self.state);
        let cut = match &state.stage {
            Stage::Draft { draft, .. } => draft.truncate(0)?,
            Stage::Clean(_) => false,
        };
        if !cut {
            let draft = writer.begin(store.draft()?, 0, placement());
            state.stage = Stage::Draft { draft, base: None };
        }
        state.written_at = to_millis(SystemTime::now());
        state.modified_at = state.written_at;
        state.modified_is_explicit = false;
        Ok(())
    }

    /// If the drive has all of the draft, the body becomes the new revision. The file as completed.
    pub fn settle(&self, store: &Store) -> Option<Arc<File>> {
        let mut state = lock(&self.state);
        let Stage::Draft { draft, .. } = &state.stage else { return None };
        let file = draft.retire()?;
        let content = Arc::clone(draft.content());
        store.adopt((file.id.clone(), file.revision.clone()), &content, file.size);
        state.stage = Stage::Clean(Remote::new(&file, content));
        Some(file)
    }

    /// The same bytes are another revision now: the source of a rename over a file became its content.
    pub fn rebase(&self, file: &File, store: &Store) {
        let mut state = lock(&self.state);
        if let Stage::Clean(remote) = &state.stage {
            let content = Arc::clone(remote.content());
            store.rename(remote.key(), (file.id.clone(), file.revision.clone()));
            state.stage = Stage::Clean(Remote::new(file, content));
        }
    }

    /// A program asked for a modification time. True when there is a draft that will carry it.
    pub fn set_modified(&self, time: SystemTime) -> bool {
        let mut state = lock(&self.state);
        state.modified_at = time;
        state.modified_is_explicit = true;
        matches!(state.stage, Stage::Draft { .. })
    }

    /// The last write.
    pub fn written_at(&self) -> SystemTime {
        lock(&self.state).written_at
    }

    /// The last write, or the time a program asked for since.
    pub fn modified_at(&self) -> SystemTime {
        lock(&self.state).modified_at
    }

    /// What was attached before the drive had the file.
    pub fn pending(&self) -> NewAttributes {
        lock(&self.state).pending.clone()
    }

    /// Changes it.
    pub fn change_pending(&self, change: impl FnOnce(&mut NewAttributes)) {
        change(&mut lock(&self.state).pending);
    }

    /// The drive has `sent` of it. What was attached since is still pending.
    pub fn attached(&self, sent: &NewAttributes) {
        let mut state = lock(&self.state);
        if state.pending == *sent {
            state.pending = NewAttributes::default();
        }
    }
}
