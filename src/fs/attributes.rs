//! Extended attributes of nodes: gathers what [`super::xattr`] decides on, and performs what it decides.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::attr::format_time;
use super::body::{Body, Stage};
use super::change::NewAttr;
use super::xattr::flatten::Attribute;
use super::xattr::foreign;
use super::xattr::{self, Answer, Caller as Setter, Change, FetchUrl, SetFlags, State, Tool};
use super::{Caller, DriveFs, gone};
use crate::config::{XattrList, XattrMode, XattrReadonly};
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{File, FileId};
use crate::pds::{Annotations, Changed, NewAttributes, Update};
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

/// Files whose attributes are kept taken apart: whoever lists attributes asks for each of them then.
const MAX_FLATS: usize = 16;

/// The attributes of the files that were asked about last.
#[derive(Default)]
pub struct Flats {
    latest: Mutex<VecDeque<Flat>>,
}

type Flat = (Arc<File>, Arc<Vec<Attribute>>);

impl Flats {
    fn of(&self, file: &Arc<File>) -> Arc<Vec<Attribute>> {
        let known = |(known, _): &&Flat| Arc::ptr_eq(known, file) || known == file;
        if let Some((_, flat)) = lock(&self.latest).iter().find(known) {
            return Arc::clone(flat);
        }
        let flat = Arc::new(xattr::flat(Some(file), &NewAttributes::default()));
        let mut latest = lock(&self.latest);
        latest.truncate(MAX_FLATS - 1);
        latest.push_front((Arc::clone(file), Arc::clone(&flat)));
        flat
    }
}

/// What is known about a node beside its File, kept together so that it can be borrowed.
struct Known {
    node: Node,
    state: State,
    cached_bytes: u64,
    upload_progress: Option<(u64, u64)>,
    upload_error: Option<String>,
    committed: bool,
    pending: NewAttributes,
    flat: Option<Arc<Vec<Attribute>>>,
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
            flat: self.flat.as_deref().map(Vec::as_slice),
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
            pending: NewAttributes::default(),
            flat: None,
            node,
        };
        match body {
            Some(body) => self.add_body(&mut known, &body),
            None => self.add_cached(&mut known),
        }
        if let Some(file) = known.node.file.as_ref().filter(|_| known.pending.is_empty()) {
            known.flat = Some(self.flats.of(file));
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
        if self.stat_cached(ino).is_some_and(|stat| stat.node.is_link) {
            // Links have none of `user.`: the kernel would not let anybody read what is listed.
            return Ok(Vec::new());
        }
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
        if self.is_dropped(name) {
            return Ok(());
        }
        let known = self.known(ino)?;
        let file = known.node.file.as_deref();
        let setter = self.setter(ino, caller);
        let change = xattr::set(file, &known.local(), &self.xattr_options(), name, value, flags, setter)?;
        self.perform(&known.node, change).await
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
        self.perform(&known.node, change).await
    }

    /// `--xattr-drop`: what other programs set by habit and nobody wants to keep.
    fn is_dropped(&self, name: &str) -> bool {
        foreign::is_foreign(name)
            && self.options.xattr_drop.iter().any(|pattern| foreign::matches(pattern, name))
    }

    fn setter(&self, ino: Ino, caller: Caller) -> Setter {
        let process = super::data::thread_group(caller.pid);
        Setter {
            is_creator_within_grace: self.creators.is_creator(ino, process),
            has_listed: caller.pid != 0 && self.creators.has_listed(ino, caller.pid),
            tool: tool_of(caller.pid),
        }
    }

    async fn perform(&self, node: &Node, change: Change) -> Result<()> {
        match (change, node.id()) {
            (Change::Ignore, _) => Ok(()),
            (Change::Refresh, _) => self.refresh_node(node).await,
            (Change::ModifiedAt(time), _) => {
                let modified_at = Some(time);
                self.set_attr(node.ino, NewAttr { modified_at, ..NewAttr::default() }).await
            }
            (Change::Annotate(annotations), Some(id)) => self.annotate(Some(node.ino), id, annotations).await,
            (Change::Tags { put, delete }, Some(id)) => {
                self.change_tags(Some(node.ino), id, put, &delete).await
            }
            (change, _) => self.keep_pending(node, change).await,
        }
    }

    /// Keeps a change for when the drive has the file.
    async fn keep_pending(&self, node: &Node, change: Change) -> Result<()> {
        let body = lock(&self.bodies).get(&node.ino).cloned();
        let Some(body) = body else {
            let message = "there is no file on the drive to attach it to";
            return Err(Error::new(Kind::Unsupported, "change attribute", message).on(&node.name));
        };
        body.change_pending(|pending| match change {
            Change::Annotate(annotations) => pending.annotations.merge(annotations),
            Change::Tags { put, delete } => {
                pending.user_tags.extend(put);
                pending.user_tags.retain(|key, _| !delete.contains(key));
            }
            Change::CreatedAt(time) => pending.local_created_at = Some(format_time(time)),
            Change::Ignore | Change::Refresh | Change::ModifiedAt(_) => {}
        });
        self.record_again(&body)?;
        // The file may have become complete meanwhile, without this.
        match self.tree.node(node.ino).and_then(|node| node.file) {
            Some(file) => self.follow_attributes(node.ino, &file, &body).await,
            None => Ok(()),
        }
    }

    /// Attaches to a file of the drive, and to the node it has here.
    pub(super) async fn annotate(&self, ino: Option<Ino>, id: &FileId, new: Annotations) -> Result<()> {
        let key = new.custom_index_key.clone();
        let fields = new.fields();
        let update = Update { annotations: new, ..Update::default() };
        let changed = self.pds.update(id, &update).await?;
        let (Some(ino), Changed::Done(reply)) = (ino, changed) else { return Ok(()) };
        // Some services keep this one without showing it.
        let reply = match key.filter(|_| reply.json().get("custom_index_key").is_none()) {
            Some(key) => reply.with("custom_index_key", key.into())?,
            None => reply,
        };
        let gone: Vec<&str> = fields.keys().map(String::as_str).collect();
        self.publish_reply(ino, reply, &gone)
    }

    /// Takes the reply to a change of `fields` into the tree. What it does not tell stays known.
    pub(super) fn publish_reply(&self, ino: Ino, reply: File, fields: &[&str]) -> Result<()> {
        let reply = match self.tree.node(ino).and_then(|node| node.file) {
            Some(before) => reply.completed_by(&before, fields)?,
            None => reply,
        };
        self.tree.publish(ino, Arc::new(reply));
        Ok(())
    }

    /// Changes tags on the drive, and what is known of the node.
    pub(super) async fn change_tags(
        &self,
        ino: Option<Ino>,
        id: &FileId,
        put: BTreeMap<String, String>,
        delete: &[String],
    ) -> Result<()> {
        self.pds.put_tags(id, &put).await?;
        self.pds.delete_tags(id, delete).await?;
        let Some((ino, file)) = ino.and_then(|ino| Some((ino, self.tree.node(ino)?.file?))) else {
            return Ok(());
        };
        let mut tags = match file.json()["user_tags"].take() {
            Value::Object(tags) => tags,
            _ => serde_json::Map::new(),
        };
        tags.extend(put.into_iter().map(|(key, value)| (key, Value::String(value))));
        tags.retain(|key, _| !delete.contains(key));
        self.tree.publish(ino, Arc::new(file.with("user_tags", json!(tags))?));
        Ok(())
    }

    /// Asks the drive anew about a file, or about a folder and what is in it. Local bytes stay: they belong to a
    /// revision, and a revision never changes.
    async fn refresh_node(&self, node: &Node) -> Result<()> {
        self.feed.refresh(&self.pds, &self.tree, Duration::ZERO).await?;
        if let Some(id) = node.id() {
            let file = self.pds.file(id).await?;
            self.tree.publish(node.ino, Arc::new(file));
        }
        if node.is_folder() {
            self.tree.unload(node.ino);
        }
        Ok(())
    }
}

/// The tool a thread belongs to.
fn tool_of(thread: u32) -> Tool {
    let name = std::fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default();
    Tool::named(name.trim_end())
}

/// An attribute name as the service's tags can hold it.
///
/// # Errors
/// [`Kind::NotUnicode`].
pub fn name_of(name: &std::ffi::OsStr) -> Result<&str> {
    name.to_str().ok_or_else(|| Error::new(Kind::NotUnicode, "use an attribute", "its name is not UTF-8"))
}
