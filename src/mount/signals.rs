//! The signals a mount listens to.
//!
//! SIGINT and SIGTERM ask to stop, each one counts (the second means "at once"). SIGHUP is taken and
//! ignored: the terminal that started a mount may close.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};

/// From its making on, the signals no longer end the process by themselves.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    _hangup: Signal,
}

impl Signals {
    /// Takes over the signals. Needs a runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("listen to signals", error));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            _hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next request to stop. Cancel-safe.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
