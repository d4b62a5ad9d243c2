//! The mount's side of the control socket.
//!
//! [`Listener`] binds the socket of a [`Place`]; [`serve`] answers clients until told to stop. Only the
//! mounting user and root are answered (SO_PEERCRED). Everything is bounded: connections by a semaphore,
//! lines by [`MAX_REQUEST`], each read and write by a deadline. `status` and jobs are answered here, as long
//! as the client listens; an unmount is handed to the mount's own loop as an [`UmountOrder`], because only
//! that loop may end the mount.

use std::os::unix::fs::PermissionsExt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::protocol::{Job, MAX_REQUEST, Progress, Reply, Report, Request};
use super::runtime_dir::Place;
use crate::config::{Exit, Failure};
use crate::error::{Error, Result};

/// Clients talked to at the same time; more wait in the socket's backlog.
const MAX_CLIENTS: usize = 8;
/// How long a client may take to send its line, or to take one of ours.
const LINE_WITHIN: Duration = Duration::from_secs(10);
/// How often a client that waits hears how far it is, at least.
const BEAT: Duration = Duration::from_secs(5);
/// Lines of an unmount that wait for a slow client; progress beyond is dropped, the last line is not.
const REPLY_QUEUE: usize = 4;
/// Pieces of a job's result that wait for a slow client; a full queue makes the job wait.
const ITEM_QUEUE: usize = 64;
/// How long clients may take for their last line when the mount ends.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// A bound socket that nobody answers yet.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// Keeps the mountpoint ours and removes the socket in the end.
    place: Place,
}

impl Listener {
    /// Binds the socket of `place`. Needs a runtime.
    ///
    /// # Errors
    /// [`crate::error::Kind::Local`] when it cannot be bound.
    pub fn bind(place: Place) -> Result<Self> {
        let failed = |error| Error::io("open control socket", error).on(place.socket().display());
        let socket = UnixListener::bind(place.socket()).map_err(failed)?;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(place.socket(), mode).map_err(failed)?;
        Ok(Listener { socket, place })
    }

    /// Where it is bound.
    pub fn path(&self) -> &std::path::Path {
        self.place.socket()
    }
}

/// Where a job puts the pieces of its result. Waits when the client is slow; fails when it is gone.
pub type Items = mpsc::Sender<Value>;

/// A job at work. Dropped when the client hangs up.
pub type Work = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

/// What the socket answers with.
#[derive(Clone)]
pub struct Handlers {
    /// The filesystem's status. Called from a task: it must not block.
    pub status: Arc<dyn Fn() -> Value + Send + Sync>,
    /// Does a job.
    pub work: Arc<dyn Fn(Job, Items) -> Work + Send + Sync>,
    /// Takes unmounts, one at a time.
    pub umount: mpsc::Sender<UmountOrder>,
}

/// A client's wish to unmount, on its way to the mount's loop.
#[derive(Debug)]
pub struct UmountOrder {
    /// How long to wait for what is not on the drive; the mount's own setting when `None`.
    pub drain_timeout: Option<Duration>,
    replies: mpsc::Sender<Reply>,
}

impl UmountOrder {
    /// An order and what its client will read.
    pub fn new(drain_timeout: Option<Duration>) -> (Self, mpsc::Receiver<Reply>) {
        let (replies, receiver) = mpsc::channel(REPLY_QUEUE);
        (UmountOrder { drain_timeout, replies }, receiver)
    }

    /// Tells the client how far it is; dropped when the client is slow.
    pub fn progress(&self, progress: Progress) {
        // One slot stays free for the last line.
        if self.replies.capacity() > 1 {
            let _ = self.replies.try_send(Reply::Progress(progress));
        }
    }

    /// Waits until the client hangs up.
    pub async fn called_off(&self) {
        self.replies.closed().await;
    }

    /// The last line: what came of it.
    pub async fn finish(self, outcome: Result<Report, Failure>) {
        let reply = match outcome {
            Ok(report) => Reply::Done(report),
            Err(failure) => Reply::Failed(failure),
        };
        // A client that hung up does not want to know.
        let _ = tokio::time::timeout(LINE_WITHIN, self.replies.send(reply)).await;
    }
}

/// Answers clients until `stop` becomes true, then lets those being answered finish, shortly.
pub async fn serve(listener: Listener, handlers: Handlers, mut stop: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
            listener.socket.accept().await.ok().map(|(stream, _)| (permit, stream))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some((permit, stream)) = accepted else {
            // Out of descriptors: give the others time to end, without spinning.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let handlers = handlers.clone();
        clients.spawn(async move {
            converse(stream, handlers).await;
            drop(permit);
        });
    }
    let goodbyes = async { while clients.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE_WITHIN, goodbyes).await;
}

async fn converse(stream: UnixStream, handlers: Handlers) {
    let own = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred().map(|peer| peer.uid());
    let (reader, mut writer) = stream.into_split();
    if !peer.is_ok_and(|uid| uid == own || uid == 0) {
        let refusal = Failure::new(Exit::Other, "only the user who mounted, and root, may do this");
        send(&mut writer, &Reply::Failed(refusal)).await;
        return;
    }
    let mut reader = BufReader::new(reader);
    match read_request(&mut reader).await {
        Ok(Request::Status) => {
            send(&mut writer, &Reply::Status((handlers.status)())).await;
        }
        Ok(Request::Umount { drain_timeout }) => unmount(reader, writer, &handlers, drain_timeout).await,
        Ok(Request::Do(job)) => {
            let (items, pieces) = mpsc::channel(ITEM_QUEUE);
            work(reader, writer, (handlers.work)(job, items), pieces).await;
        }
        Err(failure) => {
            send(&mut writer, &Reply::Failed(failure)).await;
        }
    }
}

/// Lets a job work and tells the client what it finds, until it is done or the client is gone.
async fn work<R, W>(mut reader: R, mut writer: W, job: Work, mut pieces: mpsc::Receiver<Value>)
where
    R: AsyncReadExt + Unpin,
    W: AsyncWriteExt + Unpin,
{
    let mut job = pin!(job);
    let mut byte = [0];
    let mut beat = tokio::time::interval(BEAT);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(piece) = pieces.recv() => {
                if !send(&mut writer, &Reply::Item(piece)).await {
                    return;
                }
            }
            outcome = &mut job => break outcome,
            _ = beat.tick() => {
                if !send(&mut writer, &Reply::Alive).await {
                    return;
                }
            }
            _ = reader.read(&mut byte) => return,
        }
    };
    // What it sent before it ended is still in the queue.
    while let Ok(piece) = pieces.try_recv() {
        if !send(&mut writer, &Reply::Item(piece)).await {
            return;
        }
    }
    let last = match outcome {
        Ok(answer) => Reply::Answer(answer),
        Err(failure) => Reply::Failed(failure),
    };
    send(&mut writer, &last).await;
}

async fn unmount<R, W>(mut reader: R, mut writer: W, handlers: &Handlers, drain_timeout: Option<f64>)
where
    R: AsyncReadExt + Unpin,
    W: AsyncWriteExt + Unpin,
{
    let drain_timeout = match drain_timeout.map(Duration::try_from_secs_f64).transpose() {
        Ok(timeout) => timeout,
        Err(_) => {
            let failure = Failure::new(Exit::Usage, "drain_timeout is not a number of seconds");
            send(&mut writer, &Reply::Failed(failure)).await;
            return;
        }
    };
    let (order, mut replies) = UmountOrder::new(drain_timeout);
    if handlers.umount.try_send(order).is_err() {
        let failure = Failure::new(Exit::Mountpoint, "another unmount of it is already under way");
        send(&mut writer, &Reply::Failed(failure)).await;
        return;
    }
    let mut byte = [0];
    let mut beat = tokio::time::interval(BEAT);
    let mut latest = Progress::default();
    loop {
        tokio::select! {
            reply = replies.recv() => {
                let Some(reply) = reply else { return };
                if let Reply::Progress(progress) = reply {
                    latest = progress;
                }
                if !send(&mut writer, &reply).await || reply.is_last() {
                    return;
                }
            }
            // A client that hears nothing takes us for dead.
            _ = beat.tick() => {
                if !send(&mut writer, &Reply::Progress(latest)).await {
                    return;
                }
            }
            // End of file or anything else: the client is done with us, and the dropped receiver says so.
            _ = reader.read(&mut byte) => return,
        }
    }
}

async fn read_request<R: tokio::io::AsyncBufRead + Unpin>(reader: &mut R) -> Result<Request, Failure> {
    let mut line = Vec::new();
    let mut bounded = reader.take(MAX_REQUEST as u64);
    let read = tokio::time::timeout(LINE_WITHIN, bounded.read_until(b'\n', &mut line)).await;
    let complete = matches!(read, Ok(Ok(_))) && line.ends_with(b"\n");
    let wrong = || Failure::new(Exit::Usage, "not a request: one JSON object per line is expected");
    if !complete {
        return Err(wrong());
    }
    serde_json::from_slice(&line).map_err(|_| wrong())
}

/// Whether the client took the line.
async fn send<W: AsyncWriteExt + Unpin>(writer: &mut W, reply: &Reply) -> bool {
    let Ok(mut line) = serde_json::to_vec(reply) else { return false };
    line.push(b'\n');
    matches!(tokio::time::timeout(LINE_WITHIN, writer.write_all(&line)).await, Ok(Ok(())))
}
