//! The commands' side of the control socket.
//!
//! Finds the process behind a mountpoint ([`Client::connect`]), says one request and reads the replies. The
//! process's number comes from the kernel, so that a command can wait until it is really gone
//! ([`Client::watch_process`]): only then are its locks free for the next mount.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::protocol::{MAX_REPLY, Reply, Request};
use super::{runtime_dir, table};
use crate::error::{Error, Kind, Result};

/// How long a mount may take to accept a client or a line of it.
const LINE_WITHIN: Duration = Duration::from_secs(10);

/// A conversation with the process behind a mount.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    pid: Option<i32>,
}

impl Client {
    /// Connects to the process that serves `mountpoint` (settled), whichever of `uids` started it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when nobody answers.
    pub async fn connect(mountpoint: &Path, uids: &[u32]) -> Result<Self> {
        let mut sockets = runtime_dir::sockets_of(mountpoint, uids);
        sockets.dedup();
        for socket in sockets {
            if let Ok(client) = Self::connect_to(&socket).await {
                return Ok(client);
            }
        }
        // The environment or the user of the mount may differ from ours; the mount itself knows its socket.
        if let Some(socket) = socket_by_attribute(mountpoint).await
            && let Ok(client) = Self::connect_to(&socket).await
        {
            return Ok(client);
        }
        let message = "its process does not answer";
        Err(Error::new(Kind::Unavailable, "talk to mount", message).on(table::printable(mountpoint)))
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when nobody answers there.
    pub async fn connect_to(path: &Path) -> Result<Self> {
        let failed = |message: String| Error::new(Kind::Unavailable, "talk to mount", message);
        let connected = tokio::time::timeout(LINE_WITHIN, UnixStream::connect(path)).await;
        let stream = connected
            .map_err(|_| failed("its process does not answer".into()))?
            .map_err(|error| failed(error.to_string()))?;
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        Ok(Client { stream: BufReader::new(stream), pid })
    }

    /// Says what is wanted.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the line cannot be delivered.
    pub async fn ask(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request).map_err(|error| lost(error.to_string()))?;
        line.push(b'\n');
        match tokio::time::timeout(LINE_WITHIN, self.stream.get_mut().write_all(&line)).await {
            Ok(written) => written.map_err(|error| lost(error.to_string())),
            Err(_) => Err(lost("its process does not answer".into())),
        }
    }

    /// The next line of the answer, waited for no longer than `within`.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the process goes away, is silent, or says something else.
    pub async fn reply(&mut self, within: Duration) -> Result<Reply> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(MAX_REPLY as u64);
        match tokio::time::timeout(within, bounded.read_until(b'\n', &mut line)).await {
            Err(_) => Err(lost("its process does not answer".into())),
            Ok(Err(error)) => Err(lost(error.to_string())),
            Ok(Ok(_)) if !line.ends_with(b"\n") => Err(lost("its process ended in mid-sentence".into())),
            Ok(Ok(_)) => serde_json::from_slice(&line).map_err(|error| lost(error.to_string())),
        }
    }

    /// The process answering, as this process would call it.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Opens the handle by which the end of the process can be awaited. To be taken while it still
    /// answers, because numbers are used again.
    pub fn watch_process(&self) -> Option<ProcessEnd> {
        let pid = Pid::from_raw(self.pid?)?;
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Deprecated for types that may change their descriptor under way; an OwnedFd does not.
        #[allow(deprecated)]
        AsyncFd::new(fd).ok().map(ProcessEnd)
    }
}

/// Becomes ready when a process has ended and let go of its locks.
#[derive(Debug)]
pub struct ProcessEnd(AsyncFd<std::os::fd::OwnedFd>);

impl ProcessEnd {
    /// Waits for the end, no longer than `within`; whether it came.
    pub async fn wait(&self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.0.readable()).await, Ok(Ok(_)))
    }
}

fn lost(message: String) -> Error {
    Error::new(Kind::Unavailable, "talk to mount", message)
}

/// Reads `user.pds.control` of the mount's root, unless the mount hangs.
async fn socket_by_attribute(mountpoint: &Path) -> Option<PathBuf> {
    const NAME: &str = "user.pds.control";
    let mountpoint = mountpoint.to_owned();
    let asking = tokio::task::spawn_blocking(move || {
        let mut value = vec![0; 4096];
        let length = rustix::fs::getxattr(&mountpoint, NAME, &mut value).ok()?;
        value.truncate(length);
        String::from_utf8(value).ok().map(PathBuf::from)
    });
    tokio::time::timeout(Duration::from_secs(2), asking).await.ok()?.ok()?
}
