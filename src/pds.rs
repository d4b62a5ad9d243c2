//! The service's API client: every call of pds-api.md that pdsfs needs, as one async method of [`Pds`].
//!
//! ```text
//!   metadata  upload  complete  change     one method per API call; here is decided what a lost reply means
//!        \      |       |      /
//!         transport ---- auth         POST JSON: permit, token, deadline, retries, size-bounded reply
//!   blob -----/   \      retry        when to try again, and the pause all threads keep after a 429
//!    | \           failure            status + body -> Error; the only place where codes get a meaning
//!   body lease                        a part streamed from a local file; URLs that expire
//! ```
//!
//! Rules that hold for every method:
//! - it ends: connecting, waiting for headers, silence between two chunks and a whole metadata call
//!   including its retries each have a deadline ([`PdsOptions`]);
//! - it is repeated only where repeating is harmless, and a reply that got lost on the way is settled by
//!   asking, so that "done" and "not done" are never confused (3.3, 8.10);
//! - metadata and data have separate permits: a `stat` never queues behind gigabytes;
//! - replies are bounded and checked; whatever the service sends, the answer is a value or an [`Error`];
//! - no token and no signed URL reaches an error, a log line or `Debug`.
//!
//! Dropping a future cancels its request. Nothing runs in the background.

mod annotations;
mod auth;
mod blob;
mod body;
mod change;
pub mod code;
mod complete;
mod failure;
mod lease;
mod metadata;
pub mod model;
mod rate;
mod retry;
mod revision;
mod thumbnail;
mod transport;
mod upload;

use std::sync::Arc;
use std::time::Duration;

pub use annotations::{Annotations, NewAttributes};
pub use auth::{Credentials, Secret};
pub use blob::{PartReceipt, RangeBody};
pub use body::PartBody;
pub use change::{Changed, Update};
pub use complete::Expect;
pub use lease::{DownloadUrl, PartUrl};
pub use metadata::{DeltaItem, DeltaOp, DeltaPage, Page};
pub use revision::{Revision, RevisionPage};
pub use thumbnail::MAX_THUMBNAIL_PIXELS;
pub use upload::{CreateFile, Created, Existing, PartRequest, Sha1Context, UploadKey, UploadedPart};

use crate::error::{Error, Result};
use model::DriveId;
use transport::Transport;

/// A client of one drive. Clones share connections, permits, token and pauses.
#[derive(Clone)]
pub struct Pds {
    transport: Arc<Transport>,
}

/// Where the drive is, who we are, and how patient to be.
#[derive(Clone, Debug)]
pub struct PdsOptions {
    /// `https://{domain_id}.api.aliyunpds.com` or the address of an embedded server (2.1).
    pub endpoint: String,
    /// The drive every call is about.
    pub drive_id: DriveId,
    /// Who we are.
    pub credentials: Credentials,
    /// The most a metadata call may take, retries included. Calls that wait for a background task of the
    /// service (14.1) get twenty times this.
    pub op_timeout: Duration,
    /// The longest silence while data moves, and the longest wait for the reply to a part.
    pub stall_timeout: Duration,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// How often one call may be repeated.
    pub retries: u32,
    /// How many metadata requests, and how many data requests, may be under way at once. At least 1.
    pub connections: usize,
    /// Bytes per second that all parts together may take; 0 is no limit.
    pub upload_rate: u64,
}

impl PdsOptions {
    /// Options with the defaults that suit a mount: 30 s, 60 s, 10 s, 10 retries, 16 connections.
    pub fn new(endpoint: impl Into<String>, drive_id: DriveId, credentials: Credentials) -> Self {
        PdsOptions {
            endpoint: endpoint.into(),
            drive_id,
            credentials,
            op_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            retries: 10,
            connections: 16,
            upload_rate: 0,
        }
    }
}

impl Pds {
    /// A client; sends nothing yet.
    ///
    /// # Errors
    /// [`Kind::Invalid`](crate::error::Kind::Invalid) when the endpoint is not an `http` or `https` URL.
    pub fn new(options: PdsOptions) -> Result<Pds> {
        Ok(Pds { transport: Arc::new(Transport::new(options)?) })
    }

    /// How many data requests may be under way at once.
    pub fn connections(&self) -> usize {
        self.transport.options.connections.max(1)
    }

    /// The drive of this client.
    pub fn drive_id(&self) -> &DriveId {
        &self.transport.options.drive_id
    }
}

/// Whether a signed URL has run out (8.4, 12.2): get a new one and send the same request again.
pub fn is_expired(error: &Error) -> bool {
    error.code() == code::EXPIRED
}
