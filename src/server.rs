//! The embedded PDS: a server that speaks the service's API over a directory of its own.
//!
//! ```text
//! http     connections, limits, deadlines        fault    scripted misbehaviour, outermost layer
//! api/*    one function per endpoint (JSON)      data     signed part and download URLs (bytes)
//! upload   parts on their way in                 complete parts become a content
//! task     background work on large folders      archive  files and folders in one zip
//! facts    what media tell, found out later      process  thumbnails
//! entry    rows as values      view  File objects      feed  change log
//! store    SQLite + files, durable before it answers   hash, sign, clock, reply, media
//! ```
//!
//! Requests are read and answered on the server's own runtime; everything that touches the store or hashes
//! bytes runs on its blocking threads. What it does where the service's documentation is silent follows
//! pds-api.md section 19.3. It shares no code with the client in `pds`.

mod account;
mod api;
mod archive;
pub mod check;
mod clock;
mod complete;
mod data;
mod entry;
mod facts;
mod fault;
mod feed;
mod hash;
mod http;
pub mod media;
mod migrations;
mod process;
mod reply;
mod search;
mod share;
mod sign;
mod store;
mod task;
mod thumbnail;
mod upload;
mod view;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::account::register::Accounts;
use self::account::register::Person;
use self::account::session::{self, Pending};
use self::account::{Drives, LOCAL_USER, NewDrive, Role, User};
use self::api::consent::Guesses;
use self::clock::Clock;
pub use self::fault::{Fault, FaultAction, Faults, spec as fault_words};
pub use self::http::Limits;
use self::process::Studio;
use self::reply::ApiError;
use self::sign::{Grant, Signer};
use self::store::Store;
use self::upload::Uploads;
use crate::error::{Error, Kind, Result};

/// The first drive, which every store has.
const DRIVE_ID: i64 = 1;
/// An upload that is not complete lives this long: 10 days (pds-api.md 4.5).
const UPLOAD_LIFE_MS: i64 = 10 * 24 * 3600 * 1000;
/// Part uploads hash on blocking threads, one chunk at a time; this many may run, the rest queue.
const BLOCKING_THREADS: usize = 64;
/// Requests in flight get this long at shutdown.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// How to serve. Make one with [`ServerOptions::new`] and change what differs.
#[derive(Clone)]
pub struct ServerOptions {
    /// The data directory; made if missing, used by one process at a time.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What signed URLs start with, for clients that reach the server by another name. No slash at the end.
    pub public_url: Option<String>,
    /// The token clients must send; `None` makes a fresh random one at start.
    pub access_token: Option<String>,
    /// Users, access keys and applications beside the server's own user.
    pub accounts: Accounts,
    /// Life of part URLs in seconds (8.4).
    pub upload_url_secs: u64,
    /// Life of download URLs in seconds, when the request does not say (12.1).
    pub download_url_secs: u64,
    /// Every part but the last has at least this many bytes (4.5).
    pub min_part_bytes: u64,
    /// Size of the drive in bytes; `None` leaves what the store has, 0 removes the limit.
    pub drive_total_bytes: Option<u64>,
    /// Whether parallel uploads are offered; else `InvalidParameterNotSupported.ParallelUpload` (8.7).
    pub parallel_upload: bool,
    /// Whether `create` of a file needs `size`.
    pub require_size: bool,
    /// Whether the ETag of a part is its MD5, as the service has it (4.4). MD5 takes 2.0 of the 5 seconds of
    /// processor time that a GiB of parts costs here; a server whose only clients compare CRC-64 does without.
    pub md5_etags: bool,
    /// Whether `complete` waits for what images, videos and music tell about themselves. The service does not:
    /// it answers, and an `update` in the feed brings it.
    pub facts_at_once: bool,
    /// Contents kept of each file, the current one included (8.9). At least 1.
    pub keep_revisions: u32,
    /// Contents that are not the current one are removed after this many days (8.9): 1 to 999.
    pub revision_days: u32,
    /// Trashed entries are removed after this many seconds (10.5).
    pub recycle_secs: u64,
    /// Folders with more entries in their tree are copied, trashed, restored and deleted by a background task:
    /// the answer is 202 (19.3 rule 15).
    pub async_entries: u32,
    /// Connections, and how slow a sender may be.
    pub limits: Limits,
}

impl ServerOptions {
    /// The service's own limits, on a free loopback port.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        ServerOptions {
            data: data.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            access_token: None,
            accounts: Accounts::default(),
            upload_url_secs: 900,
            download_url_secs: 900,
            min_part_bytes: 102_400,
            drive_total_bytes: None,
            parallel_upload: true,
            require_size: false,
            md5_etags: true,
            facts_at_once: false,
            keep_revisions: 10,
            revision_days: 999,
            recycle_secs: 30 * 24 * 3600,
            async_entries: 1000,
            limits: Limits::default(),
        }
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    service: Arc<Service>,
    faults: Arc<Faults>,
    url: String,
    address: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the store, binds, and serves on a runtime of its own until [`Server::stop`] or drop.
    ///
    /// # Errors
    /// `Busy` when another process uses the directory or the port, `Invalid` and `Corrupt` when the
    /// directory is not ours or is damaged, and the local error when a file cannot be used.
    pub fn start(options: ServerOptions) -> Result<Server> {
        let limits = options.limits;
        let store = Store::open(&options.data)?;
        let (listener, address) = listen(options.listen)?;
        let url = format!("http://{}", reachable(address));
        let service = Arc::new(Service::new(options, store, &url).map_err(api_error)?);
        let faults = Arc::new(Faults::default());
        let shutdown = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("pds-server")
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the server", error))?;
        let router = api::router(service.clone(), faults.clone());
        let (keeper, worker, stopped) = (service.clone(), service.clone(), shutdown.clone());
        let finder = service.clone();
        let serve = move || {
            runtime.block_on(async {
                tokio::join!(
                    http::serve(listener, router, limits, stopped.clone()),
                    do_tasks(worker, stopped.clone()),
                    find_facts(finder, stopped.clone()),
                    keep_house(keeper, stopped)
                );
            });
            runtime.shutdown_timeout(SHUTDOWN_WAIT);
        };
        let thread = std::thread::Builder::new()
            .name("pds-server".into())
            .spawn(serve)
            .map_err(|error| Error::io("start the server", error))?;
        Ok(Server { service, faults, url, address, shutdown, thread: Some(thread) })
    }

    /// Where the API is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token clients must send.
    pub fn access_token(&self) -> &str {
        &self.service.access_token
    }

    /// The drive to use.
    pub fn drive_id(&self) -> &str {
        "1"
    }

    /// Misbehaviour to order, and counts of requests.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Moves the server's time forwards and does at once what has become due: URLs expire, uploads of 10
    /// days die, the recycle bin empties.
    pub fn advance_clock(&self, by: Duration) {
        self.service.clock.advance(by);
        self.service.housekeep();
    }

    /// Ends open requests within seconds and closes the store.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let failed = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            let message = "the address is in use; stop what listens there or choose another port";
            return Error::new(Kind::Busy, "listen", message).on(address).caused_by(error);
        }
        Error::io("listen", error).on(address)
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The address a client on this machine can use.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn api_error(error: ApiError) -> Error {
    Error::new(Kind::Corrupt, "open the data directory", error.message).with_code(&error.code)
}

/// Removes what is due, at start, when woken by a change, and each minute.
async fn keep_house(service: Arc<Service>, stopped: CancellationToken) {
    loop {
        let worker = service.clone();
        let _ = tokio::task::spawn_blocking(move || worker.housekeep()).await;
        tokio::select! {
            () = stopped.cancelled() => return,
            () = service.chores.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
}

/// Does background tasks, at start and when woken by a request that made one.
async fn do_tasks(service: Arc<Service>, stopped: CancellationToken) {
    loop {
        let (worker, token) = (service.clone(), stopped.clone());
        let done = tokio::task::spawn_blocking(move || task::run_all(&worker, &token)).await;
        let pause = match done {
            Ok(Ok(())) => Duration::from_secs(60),
            // The store cannot be used right now: the tasks are still there later.
            _ => Duration::from_secs(5),
        };
        tokio::select! {
            () = stopped.cancelled() => return,
            () = service.tasks.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Finds out about media, at start and when woken by a content that came.
async fn find_facts(service: Arc<Service>, stopped: CancellationToken) {
    loop {
        let (worker, token) = (service.clone(), stopped.clone());
        let done = tokio::task::spawn_blocking(move || facts::find_all(&worker, &token)).await;
        if let Ok(Err(error)) = done {
            tracing::warn!("media: {}", error.message);
        }
        tokio::select! {
            () = stopped.cancelled() => return,
            () = service.facts.notified() => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
}

/// What every request handler works with.
pub(crate) struct Service {
    options: ServerOptions,
    store: Store,
    drives: Drives,
    accounts: Accounts,
    pending: Pending,
    guesses: Guesses,
    signer: Signer,
    clock: Clock,
    uploads: Uploads,
    studio: Studio,
    access_token: String,
    /// Start of signed URLs.
    base_url: String,
    /// The feed's, and with it every cursor's.
    epoch: String,
    numbers: AtomicU64,
    chores: Notify,
    tasks: Notify,
    facts: Notify,
}

impl Service {
    fn new(options: ServerOptions, store: Store, url: &str) -> Result<Self, ApiError> {
        let clock = Clock::default();
        let now = clock.now_ms();
        let total = options.drive_total_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let people = options.accounts.users.clone();
        let (new_key, new_epoch) = (random(32)?, random(8)?);
        let (key, epoch) = store.write(move |c| {
            let first: bool = c.query_row("SELECT NOT EXISTS (SELECT 1 FROM drive)", [], |row| row.get(0))?;
            if first {
                account::make_drive(c, Some(DRIVE_ID), &NewDrive::of("Default", LOCAL_USER, now))?;
            }
            if account::find_user(c, LOCAL_USER)?.is_none() {
                let mut user = User::new(LOCAL_USER, Role::SuperAdmin, "system", now);
                user.default_drive = Some(DRIVE_ID);
                user.save(c)?;
            }
            for person in people {
                settle_person(c, &person, now)?;
            }
            if let Some(total) = total {
                let total = if total == 0 { -1 } else { total };
                c.execute("UPDATE drive SET total_bytes = ?2 WHERE id = ?1", params![DRIVE_ID, total])?;
            }
            Ok((store::constant(c, "signing_key", &new_key)?, store::constant(c, "feed_epoch", &new_epoch)?))
        })?;
        let access_token = match &options.access_token {
            Some(token) => token.clone(),
            None => hex(&random(32)?),
        };
        let (drives, accounts) = (store.read(Drives::load)?, options.accounts.clone());
        let base_url = options.public_url.as_deref().unwrap_or(url).trim_end_matches('/').to_owned();
        Ok(Service {
            options,
            store,
            drives,
            accounts,
            pending: Pending::default(),
            guesses: Guesses::default(),
            signer: Signer::new(key),
            clock,
            uploads: Uploads::default(),
            studio: Studio::default(),
            access_token,
            base_url,
            epoch: hex(&epoch),
            numbers: AtomicU64::new(0),
            chores: Notify::new(),
            tasks: Notify::new(),
            facts: Notify::new(),
        })
    }

    fn domain_id(&self) -> &str {
        &self.accounts.domain_id
    }

    /// 40 lower-case hexadecimal digits, the first eight a time (4.1).
    fn new_id(&self) -> String {
        let seconds = u32::try_from(self.clock.now_ms() / 1000).unwrap_or(u32::MAX);
        format!("{seconds:08x}{}", hex(&self.unique(16)))
    }

    /// 32 upper-case hexadecimal digits.
    fn new_upload_id(&self) -> String {
        hash::upper_hex(&self.unique(16))
    }

    /// A name below `blobs/` that no one has.
    fn new_blob_name(&self) -> String {
        let name = hex(&self.unique(16));
        format!("{}/{name}", &name[..2])
    }

    /// A number no other call gets.
    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Random bytes. Without a source of randomness, bytes that are still unique to this process.
    fn unique(&self, len: usize) -> Vec<u8> {
        random(len).unwrap_or_else(|_| {
            let mut bytes = self.clock.now_ms().to_be_bytes().to_vec();
            bytes.extend_from_slice(&self.next_number().to_be_bytes());
            bytes.resize(len, 0);
            bytes
        })
    }

    /// Uploads made before this are dead.
    fn oldest_upload_ms(&self) -> i64 {
        self.clock.now_ms() - UPLOAD_LIFE_MS
    }

    /// A signed URL to a content, under a name for `Content-Disposition`; 0 seconds means the default life.
    fn download_url(&self, content: &entry::Content, name: &str, secs: u64) -> String {
        self.download_url_as(content, name, secs, None)
    }

    /// The same, which also fixes the `Content-Type` of the answer.
    fn download_url_as(&self, content: &entry::Content, name: &str, secs: u64, kind: Option<&str>) -> String {
        let secs = if secs == 0 { self.options.download_url_secs } else { secs };
        let path = format!("/data/r/{}", content.revision_id);
        let disposition = data::attachment(name);
        let mut query = vec![("response-content-disposition", disposition.as_str())];
        query.extend(kind.map(|kind| ("response-content-type", kind)));
        let grant = Grant { method: "GET", path: &path, content_type: "", content_md5: "" };
        self.signer.url(&self.base_url, grant, &query, self.expiry_secs(secs))
    }

    /// A signed URL of a picture made from a content; `secs` of 0 takes the default life.
    fn picture_url(&self, content: &entry::Content, process: &str, secs: u64) -> String {
        let secs = if secs == 0 { self.options.download_url_secs } else { secs };
        let path = format!("/data/r/{}", content.revision_id);
        let grant = Grant { method: "GET", path: &path, content_type: "", content_md5: "" };
        self.signer.url(&self.base_url, grant, &[(process::PARAMETER, process)], self.expiry_secs(secs))
    }

    /// What is known about a content when it becomes one.
    fn first_facts(&self, name: &str, content_type: &str, file: &std::fs::File, size: u64) -> media::Facts {
        let look = if self.options.facts_at_once { media::describe } else { media::recognise };
        look(name, content_type, file, size)
    }

    /// Seconds since 1970 when something that lives this long ends.
    fn expiry_secs(&self, secs: u64) -> i64 {
        let ms = i64::try_from(secs).unwrap_or(i64::MAX / 2000).saturating_mul(1000);
        // Rounded up: a URL of one second must not be dead on arrival.
        (self.clock.now_ms().saturating_add(ms) + 999) / 1000
    }

    /// Lets the housekeeper look for bytes to remove.
    fn wake_housekeeping(&self) {
        self.chores.notify_one();
    }

    /// Lets the runner of tasks look for new ones; after the commit, or it would not see them.
    fn wake_tasks(&self) {
        self.tasks.notify_one();
    }

    /// Ends uploads that are too old, empties the bin of what is due, removes bytes no one needs. Blocks.
    fn housekeep(self: &Arc<Self>) {
        if let Err(error) = self.try_housekeep() {
            tracing::warn!("housekeeping: {}", error.message);
        }
    }

    fn try_housekeep(self: &Arc<Self>) -> Result<(), ApiError> {
        let now = self.clock.now_secs();
        if self.store.read(|c| session::any_dead(c, now))? {
            self.store.write(move |c| session::reap(c, now))?;
        }
        let oldest = self.oldest_upload_ms();
        let dead: Vec<String> = self.store.read(|c| {
            let mut statement = c.prepare_cached("SELECT id FROM upload WHERE created_at <= ?1")?;
            Ok(statement.query_map([oldest], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        })?;
        for id in dead {
            complete::abandon(self, id)?;
        }
        let kept_ms = i64::try_from(self.options.recycle_secs).unwrap_or(i64::MAX).saturating_mul(1000);
        let limit = self.clock.now_ms().saturating_sub(kept_ms);
        let due: Vec<i64> = self.store.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT seq FROM entry WHERE drive = ?1 AND trashed_at <= ?2 AND parent >= 0",
            )?;
            let mut due = Vec::new();
            for drive in self.drives.ids() {
                let rows = statement.query_map([drive, limit], |row| row.get::<_, i64>(0))?;
                due.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
            }
            Ok(due)
        })?;
        for seq in due {
            task::erase_gradually(self, seq)?;
        }
        self.drop_aged_revisions()?;
        task::sweep_limbo(self)?;
        task::forget_old(self)?;
        self.store.bury()
    }
}

/// Makes or updates a user of the accounts file.
fn settle_person(c: &Connection, person: &Person, now: i64) -> Result<(), ApiError> {
    let fresh = || User::new(&person.user_id, person.role(), "system", now);
    let mut user = account::find_user(c, &person.user_id)?.unwrap_or_else(fresh);
    let keep = |new: &Option<String>, old: &str| new.clone().unwrap_or_else(|| old.to_owned());
    user.nick_name = keep(&person.nick_name, &user.nick_name);
    user.email = keep(&person.email, &user.email);
    user.phone = keep(&person.phone, &user.phone);
    if user.id != LOCAL_USER {
        user.role = person.role();
        user.enabled = person.enabled();
    }
    user.updated_at = now;
    let total = person.total_size.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1);
    account::settle_user(c, &mut user, total)?;
    Ok(())
}

impl Service {
    /// Removes contents that were replaced too long ago, never those kept forever.
    fn drop_aged_revisions(&self) -> Result<(), ApiError> {
        let days = i64::from(self.options.revision_days.max(1));
        let limit = self.clock.now_ms().saturating_sub(days * 24 * 3600 * 1000);
        loop {
            let old: Vec<(i64, i64)> = self.store.read(|c| {
                // Replaced when the next one came.
                let sql = "SELECT r.seq, e.drive FROM revision r JOIN entry e ON e.seq = r.entry
                    WHERE r.created_at <= ?1 AND r.seq != e.revision AND r.keep_forever = 0 AND EXISTS
                        (SELECT 1 FROM revision n WHERE n.entry = r.entry AND n.version > r.version
                            AND n.created_at <= ?1)
                    LIMIT 100";
                let mut statement = c.prepare_cached(sql)?;
                let old = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(old.collect::<rusqlite::Result<_>>()?)
            })?;
            if old.is_empty() {
                return Ok(());
            }
            self.store.write(move |c| {
                old.iter().try_for_each(|(seq, drive)| entry::erase_old_revision(c, *drive, *seq))
            })?;
        }
    }
}

fn random(len: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::internal("draw a random number", error))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
