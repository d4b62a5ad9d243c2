//! A mount's life: from an empty folder to a filesystem that answers, and back without losing anything.
//!
//! [`Prepared::new`] does what needs no drive (mountpoint, FUSE, control socket); [`Prepared::run`] opens
//! the filesystem core, mounts it, asks the mount through the kernel, says it is ready, and then waits for
//! one of three ends:
//!
//! ```text
//!  signal ---------> drain -> unmount (lazily when busy) -> drain the rest -> end
//!  pdsfs umount ---> drain -> unmount (refused when busy: the mount goes on) -> drain the rest -> end
//!  unmounted by umount(8), fusermount3 ------------------------------------> drain -> end
//! ```
//!
//! Draining has a deadline, a signal while draining gives up at once, and what stays on this machine is
//! told by name ([`protocol::Report`]). However this ends, a panic included, the mountpoint is taken away
//! ([`Mounted`]). Going to the background is [`daemon`]'s; finding the process again is [`client`]'s.

pub mod client;
pub mod control;
pub mod daemon;
pub mod device;
pub mod holders;
pub mod jobs;
pub mod mountpoint;
pub mod protocol;
pub mod runtime_dir;
pub mod signals;
pub mod table;
pub mod unmount;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::{Control, Exit, Failure, FsOptions, MountOptions};
use crate::error::{Error, Kind};
use crate::fs::DriveFs;
use crate::fuse;
use crate::pds::Pds;
use control::{Handlers, Listener, UmountOrder};
use mountpoint::Mountpoint;
use protocol::{Incomplete, MAX_NAMED, Progress, Report};
use signals::Signals;
use unmount::How;

/// The first contact with the drive, all of it: after this the drive counts as unreachable.
const CHECK_WITHIN: Duration = Duration::from_secs(60);
/// How long the new mount may take to answer its first question through the kernel.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long programs may keep files open after a signal took the mountpoint away.
const LINGER: Duration = Duration::from_secs(10);
/// How long it may take to name what stays, and to send what was written during the last moment.
const NAMING: Duration = Duration::from_secs(5);

/// What to mount, where, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where; need not exist.
    pub mountpoint: PathBuf,
    /// Folders that must not overlap with the mountpoint, with what they are. Settled.
    pub apart: Vec<(&'static str, PathBuf)>,
    /// A folder with files in it will do.
    pub allow_non_empty: bool,
    /// The kernel's side.
    pub mount: MountOptions,
    /// The core's side; its `control` is filled in here.
    pub fs: FsOptions,
    /// How long to wait at the end for what is not on the drive.
    pub drain_timeout: Duration,
}

/// A mount that answers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ready {
    /// Where it is mounted, in words.
    pub mountpoint: String,
    /// What had to be done on the way, in sentences.
    pub notes: Vec<String>,
}

/// A mount of which everything is in place that needs no drive.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    mountpoint: Mountpoint,
    listener: Listener,
    signals: Signals,
}

impl Prepared {
    /// Checks the mountpoint and FUSE, takes over the signals, and opens the control socket. Needs a
    /// runtime; blocks for as long as a dead mountpoint takes to show it.
    ///
    /// # Errors
    /// [`Exit::Mountpoint`] or [`Exit::Fuse`] with what to do.
    pub fn new(plan: Plan) -> Result<Self, Failure> {
        raise_descriptor_limit();
        let signals = Signals::listen()?;
        let apart: Vec<(&str, &Path)> =
            plan.apart.iter().map(|(what, path)| (*what, path.as_path())).collect();
        let mountpoint = Mountpoint::prepare(&plan.mountpoint, &apart, plan.allow_non_empty)?;
        device::check(&plan.mount)?;
        let listener = Listener::bind(runtime_dir::Place::take(mountpoint.path())?)?;
        Ok(Prepared { plan, mountpoint, listener, signals })
    }

    /// Mounts the drive behind `pds`, calls `ready` once it answers, and returns when the mount is gone.
    /// When `ready` fails, the mount is taken away again.
    ///
    /// # Errors
    /// What went wrong before it answered; [`Exit::NotDurable`] when something is only on this machine at
    /// the end; [`Exit::Interrupted`] when a signal came before it answered.
    pub async fn run<F>(self, pds: Pds, ready: F) -> Result<(), Failure>
    where
        F: FnOnce(&Ready) -> Result<(), Failure>,
    {
        let Prepared { mut plan, mut mountpoint, listener, mut signals } = self;
        plan.fs.control = Some(Control { socket: listener.path().to_owned() });
        let fs = DriveFs::open(pds, plan.fs.clone(), tokio::runtime::Handle::current())?;
        let mounted = tokio::select! {
            mounted = start(&fs, &plan.mount, mountpoint.path()) => mounted?,
            () = signals.stop() => return Err(Failure::new(Exit::Interrupted, "mount: interrupted")),
        };
        mountpoint.keep();
        let (stop_control, stopping) = watch::channel(false);
        let (orders, mut incoming) = mpsc::channel(1);
        let handlers = Handlers { status: status_of(&fs), work: jobs::of(&fs), umount: orders };
        let control = tokio::spawn(control::serve(listener, handlers, stopping));
        let told =
            Ready { mountpoint: table::printable(mountpoint.path()), notes: mountpoint.notes().to_vec() };
        tracing::info!(mountpoint = told.mountpoint, source = plan.mount.fsname, "mounted");
        for note in &told.notes {
            tracing::warn!("{note}");
        }
        let mut life = Life {
            fs,
            mounted,
            signals,
            kept_in: plan.fs.state_dir,
            drain_timeout: plan.drain_timeout,
            gave_up: false,
        };
        let report = match ready(&told) {
            Ok(()) => Ok(life.run(&mut incoming).await),
            Err(failure) => Err(failure),
        };
        let fs = Arc::clone(&life.fs);
        drop(life);
        fs.stop_following().await;
        let _ = stop_control.send(true);
        // The task ends by itself within its own bound; a panic in it is not worth losing the report.
        let _ = control.await;
        tracing::info!("unmounted");
        report?.failure().map_or(Ok(()), Err)
    }
}

fn status_of(fs: &Arc<DriveFs>) -> Arc<dyn Fn() -> serde_json::Value + Send + Sync> {
    let fs = Arc::clone(fs);
    Arc::new(move || serde_json::to_value(fs.status()).unwrap_or_default())
}

/// Every open file of the mount is an open file of this process, too: the usual soft limit of 1,024 is for
/// programs that use `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%errno, "the limit on open files stays as it is");
    }
}

/// Talks to the drive, mounts, and asks the mount through the kernel.
async fn start(fs: &Arc<DriveFs>, options: &MountOptions, path: &Path) -> Result<Mounted, Failure> {
    match tokio::time::timeout(CHECK_WITHIN, fs.check()).await {
        Ok(checked) => checked?,
        Err(_) => {
            let message = "mount: the drive did not answer within a minute. Check --endpoint and the network";
            return Err(Failure::new(Exit::Temporary, message));
        }
    }
    let mounted = Mounted::make(Arc::clone(fs), options.clone(), path.to_owned()).await?;
    mounted.confirm().await?;
    fs.recover();
    Ok(mounted)
}

/// A mount in the kernel. Taken away when dropped, by force if need be.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    /// The kernel's number of the mount; `None` when it was gone before we looked.
    id: Option<u64>,
    session: JoinHandle<()>,
    ended: bool,
}

impl Mounted {
    async fn make(fs: Arc<DriveFs>, options: MountOptions, path: PathBuf) -> Result<Self, Failure> {
        let place = path.clone();
        let mounting = tokio::task::spawn_blocking(move || fuse::mount(fs, &place, &options)).await;
        let mut session = match mounting {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => return Err(device::refused(&path, &error)),
            Err(panic) => return Err(Failure::new(Exit::Other, format!("mount: {panic}"))),
        };
        let session = tokio::task::spawn_blocking(move || {
            if let Err(error) = session.wait() {
                tracing::warn!(%error, "the kernel session ended with an error");
            }
        });
        let id = table::at(&path)?.filter(table::Entry::is_ours).map(|entry| entry.id);
        Ok(Mounted { path, id, session, ended: false })
    }

    /// Asks for the root folder the way a program would.
    async fn confirm(&self) -> Result<(), Failure> {
        let path = self.path.clone();
        let asked = tokio::task::spawn_blocking(move || mountpoint::look(&path));
        let wrong = |message: String| {
            Failure::new(Exit::Temporary, format!("mount {:?}: {message}", table::printable(&self.path)))
        };
        match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(Ok(_))) if self.is_there() => Ok(()),
            Ok(Ok(Ok(_))) => Err(wrong("it was unmounted before it was ready".into())),
            Ok(Ok(Err(error))) => Err(wrong(format!("the new mount answers with an error: {error}"))),
            Ok(Err(panic)) => Err(wrong(panic.to_string())),
            Err(_) => Err(wrong("the new mount does not answer".into())),
        }
    }

    /// Whether our mount is the one programs see at the path.
    fn is_there(&self) -> bool {
        self.id.is_some() && table::at(&self.path).is_ok_and(|entry| entry.map(|entry| entry.id) == self.id)
    }

    /// Waits until the kernel has let go of it. Cancel-safe, and may be asked again.
    async fn ended(&mut self) {
        if !self.ended {
            // A panic in the session has been told by the panic handler; the mount is over either way.
            let _ = (&mut self.session).await;
            self.ended = true;
        }
    }

    async fn unmount(&self, how: How) -> Result<(), Error> {
        if !self.is_there() {
            return Ok(());
        }
        let path = self.path.clone();
        let unmounting = tokio::task::spawn_blocking(move || unmount::unmount(&path, how)).await;
        match unmounting {
            Ok(Err(error)) if error.kind() == Kind::NotFound => Ok(()),
            Ok(result) => result,
            Err(panic) => Err(Error::new(Kind::Corrupt, "unmount", panic.to_string())),
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_there()
            && let Err(error) = unmount::unmount(&self.path, How::Lazily)
        {
            tracing::error!(%error, "the mountpoint is left behind");
        }
    }
}

/// A mount that is in use, until it is not.
struct Life {
    fs: Arc<DriveFs>,
    mounted: Mounted,
    signals: Signals,
    kept_in: PathBuf,
    drain_timeout: Duration,
    /// A signal came while draining: nothing is waited for any more.
    gave_up: bool,
}

impl Life {
    async fn run(&mut self, orders: &mut mpsc::Receiver<UmountOrder>) -> Report {
        loop {
            tokio::select! {
                () = self.mounted.ended() => {
                    tracing::info!("unmounted from outside");
                    return self.drain(Instant::now() + self.drain_timeout).await;
                }
                () = self.signals.stop() => return self.stop().await,
                Some(order) = orders.recv() => {
                    if let Some(report) = self.obey(order).await {
                        return report;
                    }
                }
            }
        }
    }

    /// A signal: the mount ends, busy or not.
    async fn stop(&mut self) -> Report {
        tracing::info!("stopping: sending what is not on the drive yet; another signal gives up");
        let deadline = Instant::now() + self.drain_timeout;
        let before = self.drain(deadline).await;
        if let Err(error) = self.mounted.unmount(How::Politely).await {
            let inside = holders::describe(&holders::find(&self.mounted.path));
            tracing::warn!(%error, inside, "detaching the mountpoint");
            if let Err(error) = self.mounted.unmount(How::Lazily).await {
                tracing::error!(%error, "cannot detach the mountpoint");
            }
        }
        tokio::select! {
            _ = tokio::time::timeout(LINGER, self.mounted.ended()) => {}
            () = self.signals.stop() => self.gave_up = true,
        }
        self.drain(after(&before, deadline)).await
    }

    /// `pdsfs umount`: the report when the mount has ended, `None` when it goes on.
    async fn obey(&mut self, order: UmountOrder) -> Option<Report> {
        let deadline = Instant::now() + order.drain_timeout.unwrap_or(self.drain_timeout);
        let before = tokio::select! {
            report = drain(&self.fs, deadline, |progress| order.progress(progress)) => report,
            () = order.called_off() => {
                tracing::info!("unmounting was called off");
                return None;
            }
            () = self.signals.stop() => {
                let report = self.stop().await;
                order.finish(Ok(report.clone())).await;
                return Some(report);
            }
        };
        if let Err(error) = self.mounted.unmount(How::Politely).await {
            order.finish(Err(self.busy(&error))).await;
            return None;
        }
        let _ = tokio::time::timeout(LINGER, self.mounted.ended()).await;
        let report = self.drain(after(&before, deadline)).await;
        order.finish(Ok(report.clone())).await;
        Some(report)
    }

    fn busy(&self, error: &Error) -> Failure {
        let inside = holders::describe(&holders::find(&self.mounted.path));
        busy(error, &inside)
    }

    /// Drains until `deadline` or a signal, and tells what stayed.
    async fn drain(&mut self, deadline: Instant) -> Report {
        let deadline = if self.gave_up { Instant::now() } else { deadline };
        let report = tokio::select! {
            report = drain(&self.fs, deadline, |_| {}) => report,
            () = self.signals.stop() => {
                tracing::warn!("giving up on sending the rest");
                self.gave_up = true;
                drain(&self.fs, Instant::now(), |_| {}).await
            }
        };
        Report { kept_in: table::printable(&self.kept_in), ..report }
    }
}

/// Until when to wait for what was written between draining (which ended with `before`) and unmounting.
/// Where all had been sent this is a moment's work, also after the deadline.
fn after(before: &Report, deadline: Instant) -> Instant {
    if before.total == 0 { deadline.max(Instant::now() + NAMING) } else { deadline }
}

/// The failure of an unmount that `inside` stands in the way of.
pub fn busy(error: &Error, inside: &str) -> Failure {
    let advice = if inside.is_empty() {
        "Close what uses it (another user's program, perhaps) and try again".to_owned()
    } else {
        format!("Close {inside} and try again")
    };
    Failure::new(Exit::Mountpoint, format!("{error}. {advice}"))
}

/// Lets the core send what it has, in any case not much longer than until `deadline`.
async fn drain(fs: &Arc<DriveFs>, deadline: Instant, progress: impl Fn(Progress)) -> Report {
    let draining = fs.drain(deadline, |step| {
        let (files, bytes_done, bytes_total) = (step.files, step.bytes_done, step.bytes_total);
        progress(Progress { files, bytes_done, bytes_total });
    });
    let bound = deadline.max(Instant::now()) + NAMING;
    let Ok(left) = tokio::time::timeout_at(bound.into(), draining).await else {
        let message = "the filesystem does not tell which files; see the log";
        let unknown = Incomplete { path: "?".into(), error: message.into() };
        return Report { incomplete: vec![unknown], total: 1, kept_in: String::new() };
    };
    let total = left.incomplete.len() as u64;
    let named = left.incomplete.into_iter().take(MAX_NAMED);
    let incomplete =
        named.map(|(path, error)| Incomplete { path, error: error.message().to_owned() }).collect();
    Report { incomplete, total, kept_in: String::new() }
}
