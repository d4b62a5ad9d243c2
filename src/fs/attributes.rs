//! Extended attributes of nodes: gathers what [`super::xattr`] decides on, and performs what it decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use super::body::{Body, Stage};
use super::xattr::{self, Answer, Caller as Setter, Change, FetchUrl, SetFlags, State};
use super::{Caller, DriveFs, gone};
use crate::config::{XattrList, XattrMode, XattrReadonly};
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::FileId;
use crate::tree::{Ino, Node, ROOT};

/// The attribute of the mount's root that tells where its control socket is.
const CONTROL: &str = "user.pds.control";

/// Creators remembered, and as many listers; they are forgotten after the grace of [`xattr::policy`] anyway.
const MAX_CREATORS: usize = 16 * 1024;

/// Which process created which node, and which thread listed its attributes last, for as long as copy tools
/// are given grace.
#[derive(Default)]
pub struct Creators {
    of: Mutex<HashMap<Ino, (u32, Instant)>>,
    /// Threads, because asking the system for their process would make listing slow.
    listers: Mutex<HashMap<Ino, (u32, Instant)>>,
}

impl Creators {
    /// A process created a node.
    pub fn note(&self, ino: Ino, process: u32) {
        remember(&mut lock(&self.of), ino, process);
    }

    /// A thread listed the attributes of a node.
    fn note_lister(&self, ino: Ino, thread: u32) {
        remember(&mut lock(&self.listers), ino, thread);
    }

    fn has_listed(&self, ino: Ino, thread: u32) -> bool {
        remembers(&lock(&self.listers), ino, thread)
    }

    /// The grace counts from completion: large files take longer than it.
    pub fn renew(&self, ino: Ino) {
        if let Some((_, at)) = lock(&self.of).get_mut(&ino) {
            *at = Instant::now();
        }
    }

    fn is_creator(&self, ino: Ino, process: u32) -> bool {
        remembers(&lock(&self.of), ino, process)
    }
}

fn remember(by: &mut HashMap<Ino, (u32, Instant)>, ino: Ino, whom: u32) {
    if by.len() >= MAX_CREATORS {
        by.retain(|_, (_, at)| at.elapsed() < xattr::policy::CREATOR_GRACE);
    }
    if by.len() < MAX_CREATORS {
        by.insert(ino, (whom, Instant::now()));
    }
}

fn remembers(by: &HashMap<Ino, (u32, Instant)>, ino: Ino, whom: u32) -> bool {
    by.get(&ino).is_some_and(|(who, at)| *who == whom && at.elapsed() < xattr::policy::CREATOR_GRACE)
}

/// What is known about a node beside its File, kept together so that it can be borrowed.
struct Known {
    node: Node,
    state: State,
    cached_bytes: u64,
    upload_progress: Option<(u64, u64)>,
    upload_error: Option<String>,
    committed: bool,
    pending: BTreeMap<String, Vec<u8>>,
}

impl Known {
    fn local(&self) -> xattr::Local<'_> {
        xattr::Local {
            visible_name: &self.node.name,
            state: self.state,
            cached_bytes: self.cached_bytes,
            upload_progress: self.upload_progress,
            upload_error: self.upload_error.as_deref(),
            cache_age: Instant::now().duration_since(self.node.seen_at),
            committed: self.committed,
            pending: &self.pending,
            subtree: None,
        }
    }
}

/// A value, or what to fetch for it.
pub enum Get {
    /// The value.
    Value(Vec<u8>),
    /// To be given to [`DriveFs::fetch_xattr`].
    Fetch(FetchUrl),
}

impl DriveFs {
    fn xattr_options(&self) -> xattr::Options {
        xattr::Options {
            mode: match self.options.xattr {
                XattrMode::On => xattr::Mode::On,
                XattrMode::ReadOnly => xattr::Mode::ReadOnly,
                XattrMode::Off => xattr::Mode::Off,
            },
            list: match self.options.xattr_list {
                XattrList::Auto => xattr::ListPolicy::Auto,
                XattrList::All => xattr::ListPolicy::All,
                XattrList::User => xattr::ListPolicy::User,
                XattrList::None => xattr::ListPolicy::None,
            },
            readonly: match self.options.xattr_readonly {
                XattrReadonly::Auto => xattr::ReadonlyPolicy::Auto,
                XattrReadonly::Deny => xattr::ReadonlyPolicy::Deny,
                XattrReadonly::Ignore => xattr::ReadonlyPolicy::Ignore,
            },
            urls: self.options.xattr_urls,
        }
    }

    fn known(&self, ino: Ino) -> Result<Known> {
        let node = self.tree.node(ino).ok_or_else(|| gone("read attributes"))?;
        let body = lock(&self.bodies).get(&ino).cloned();
        let mut known = Known {
            state: State::Clean,
            cached_bytes: 0,
            upload_progress: None,
            upload_error: None,
            committed: node.file.is_some() || ino == ROOT,
            pending: BTreeMap::new(),
            node,
        };
        match body {
            Some(body) => self.add_body(&mut known, &body),
            None => self.add_cached(&mut known),
        }
        Ok(known)
    }

    fn add_body(&self, known: &mut Known, body: &Body) {
        known.pending = body.pending();
        let Stage::Draft { draft, .. } = body.stage() else {
            return self.add_cached(known);
        };
        known.cached_bytes = draft.content().present_bytes();
        known.committed = !draft.is_dirty();
        let (done, total) = draft.progress();
        known.upload_progress = (done > 0).then_some((done, total));
        known.upload_error = draft.failure().map(|error| error.to_string());
        known.state = match (&known.upload_error, done) {
            (Some(_), _) => State::Error,
            (None, 0) => State::Dirty,
            (None, _) => State::Uploading,
        };
    }

    fn add_cached(&self, known: &mut Known) {
        let Some(file) = known.node.file.as_ref().filter(|file| !file.is_folder()) else { return };
        known.cached_bytes = self.store.cached_bytes_of(&(file.id.clone(), file.revision.clone()));
        known.state = match known.cached_bytes {
            0 => State::Clean,
            cached if cached >= file.size => State::Cached,
            _ => State::Partial,
        };
    }

    /// The value of an attribute from memory.
    ///
    /// # Errors
    /// As [`xattr::get`].
    pub fn get_xattr(&self, ino: Ino, name: &str) -> Result<Get> {
        if ino == ROOT
            && name == CONTROL
            && let Some(socket) = self.control()
        {
            return Ok(Get::Value(socket.as_os_str().as_encoded_bytes().to_vec()));
        }
        let known = self.known(ino)?;
        match xattr::get(known.node.file.as_deref(), &known.local(), &self.xattr_options(), name)? {
            Answer::Value(value) => Ok(Get::Value(value)),
            Answer::Fetch(fetch) => Ok(Get::Fetch(fetch)),
        }
    }

    /// The value of an attribute that holds signed URLs, which are only good when fresh.
    ///
    /// # Errors
    /// What the service says; [`Kind::NoAttribute`] when it sends no such URL.
    pub async fn fetch_xattr(&self, ino: Ino, fetch: &FetchUrl) -> Result<Vec<u8>> {
        let id =
            self.tree.node(ino).and_then(|node| node.id().cloned()).ok_or_else(|| gone("read attributes"))?;
        xattr::fetched(&self.pds.file(&id).await?, fetch)
    }

    /// The names of the attributes of a node, each with a NUL behind it.
    ///
    /// # Errors
    /// As [`xattr::list()`].
    pub fn list_xattrs(&self, ino: Ino, caller: Caller) -> Result<Vec<u8>> {
        let known = self.known(ino)?;
        self.creators.note_lister(ino, caller.pid);
        let names = xattr::list(known.node.file.as_deref(), &known.local(), &self.xattr_options())?;
        Ok(xattr::encode_list(&names))
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// As [`xattr::set`]; what the service says.
    pub async fn set_xattr(
        &self,
        ino: Ino,
        name: &str,
        value: &[u8],
        flags: SetFlags,
        caller: Caller,
    ) -> Result<()> {
        let known = self.known(ino)?;
        let file = known.node.file.as_deref();
        let setter = self.setter(ino, caller);
        let change = xattr::set(file, &known.local(), &self.xattr_options(), name, value, flags, setter)?;
        self.perform(&known.node, name, Some(value), change).await
    }

    /// Removes an attribute.
    ///
    /// # Errors
    /// As [`xattr::remove`]; what the service says.
    pub async fn remove_xattr(&self, ino: Ino, name: &str, caller: Caller) -> Result<()> {
        let known = self.known(ino)?;
        let file = known.node.file.as_deref();
        let setter = self.setter(ino, caller);
        let change = xattr::remove(file, &known.local(), &self.xattr_options(), name, setter)?;
        self.perform(&known.node, name, None, change).await
    }

    fn setter(&self, ino: Ino, caller: Caller) -> Setter {
        let process = super::data::thread_group(caller.pid);
        Setter {
            is_creator_within_grace: self.creators.is_creator(ino, process),
            has_listed: caller.pid != 0 && self.creators.has_listed(ino, caller.pid),
        }
    }

    async fn perform(&self, node: &Node, name: &str, value: Option<&[u8]>, change: Change) -> Result<()> {
        let Some(id) = node.id() else {
            let body = lock(&self.bodies).get(&node.ino).cloned();
            let (Some(body), false) = (body, change == Change::Ignore) else { return Ok(()) };
            body.change_pending(|pending| match value {
                Some(value) => drop(pending.insert(name.to_owned(), value.to_vec())),
                None => drop(pending.remove(name)),
            });
            return Ok(());
        };
        match change {
            Change::Ignore => Ok(()),
            Change::PutTag { key, value } => {
                self.put_tags(node.ino, id, BTreeMap::from([(key, value)])).await
            }
            Change::DeleteTag { key } => {
                self.pds.delete_tags(id, std::slice::from_ref(&key)).await?;
                self.edit_tags(node.ino, |tags| drop(tags.remove(&key)))
            }
        }
    }

    /// Adds tags on the drive and to what is known of the node.
    pub(super) async fn put_tags(&self, ino: Ino, id: &FileId, new: BTreeMap<String, String>) -> Result<()> {
        self.pds.put_tags(id, &new).await?;
        self.edit_tags(ino, |tags| {
            tags.extend(new.into_iter().map(|(key, value)| (key, Value::String(value))))
        })
    }

    fn edit_tags(&self, ino: Ino, edit: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<()> {
        let Some(file) = self.tree.node(ino).and_then(|node| node.file) else { return Ok(()) };
        let mut tags = match file.json()["user_tags"].take() {
            Value::Object(tags) => tags,
            _ => serde_json::Map::new(),
        };
        edit(&mut tags);
        self.tree.publish(ino, Arc::new(file.with("user_tags", json!(tags))?));
        Ok(())
    }
}

/// An attribute name as the service's tags can hold it.
///
/// # Errors
/// [`Kind::NotUnicode`].
pub fn name_of(name: &std::ffi::OsStr) -> Result<&str> {
    name.to_str().ok_or_else(|| Error::new(Kind::NotUnicode, "use an attribute", "its name is not UTF-8"))
}
