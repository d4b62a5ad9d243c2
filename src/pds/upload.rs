//! Upload: create, part URLs, the list of parts, complete (section 8).
//!
//! Names are always created with `refuse`, so nothing here ever makes a second entry of one name. A create
//! whose reply got lost may be repeated: the upload it left behind is invisible and dies after 10 days (8.1).
//! A complete whose reply got lost is settled by looking at the file (8.10).

use std::collections::BTreeMap;

use super::Pds;
use super::lease::PartUrl;
use super::model::{File, FileId, FileKind, RevisionId, UploadId};
use crate::error::{Error, Kind, Result};

/// What a new file or folder is given besides its name (8.1). Empty means: not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAttributes {
    /// Birth time, ISO 8601 UTC (4.3).
    pub local_created_at: Option<String>,
    /// Modification time, ISO 8601 UTC (4.3).
    pub local_modified_at: Option<String>,
    /// At most 1,000; no `#`; key and value together at most 2,000 bytes (10.6).
    pub user_tags: BTreeMap<String, String>,
    /// At most 100 of 128 characters; some deployments ignore them at create (8.1).
    pub labels: Vec<String>,
    /// At most 1,024 characters.
    pub description: Option<String>,
    /// Advisory.
    pub hidden: Option<bool>,
}

/// The SHA-1 state before a part, which parallel mode wants with it (4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha1Context {
    /// The five chaining variables after `part_offset` bytes. Not sent for offset 0.
    pub h: [u32; 5],
    /// Bytes before the part; a multiple of 64.
    pub part_offset: u64,
}

/// A part that a URL is wanted for (8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRequest {
    /// 1..=10,000.
    pub number: u32,
    /// Parallel mode only.
    pub sha1_context: Option<Sha1Context>,
}

/// A file to be uploaded (8.1).
#[derive(Clone, Debug)]
pub struct CreateFile {
    /// The folder it goes to.
    pub parent: FileId,
    /// Its name; for an overwrite the name the file has.
    pub name: String,
    /// The file that gets a new revision (8.9); `None` for a new file.
    pub overwrite: Option<FileId>,
    /// Bytes, when known already.
    pub size: Option<u64>,
    /// Upper-case hex SHA-1 of the content: lets the service take bytes it has (8.8).
    pub content_hash: Option<String>,
    /// Parallel mode (8.7).
    pub parallel: bool,
    /// The parts to get URLs for at once; more with [`Pds::part_urls`].
    pub parts: Vec<PartRequest>,
    /// The declared MIME type; `None` = `application/octet-stream`.
    pub content_type: Option<String>,
    /// Times, tags and the like.
    pub attributes: NewAttributes,
}

/// What `create` led to.
#[derive(Clone, Debug)]
pub enum Created {
    /// The name is taken; nothing was created.
    Exists(Existing),
    /// The folder is there.
    Folder(FileId),
    /// Parts are awaited.
    Upload {
        /// Names the upload in every further call.
        key: UploadKey,
        /// One per requested part, in the order of the request.
        urls: Vec<PartUrl>,
        /// The name as the service wrote it.
        final_name: String,
    },
    /// The service had the bytes: the file is complete, and there is no `complete` to call (8.8).
    Rapid {
        /// The file.
        id: FileId,
        /// Its revision; empty when the service did not say.
        revision: RevisionId,
    },
}

/// The entry that has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Its id.
    pub id: FileId,
    /// File or folder.
    pub kind: FileKind,
}

/// An upload that is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadKey {
    /// The file it will be.
    pub file: FileId,
    /// The upload.
    pub upload: UploadId,
}

/// A part the service has (8.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedPart {
    /// 1..=10,000.
    pub number: u32,
    /// Bytes stored, which in serial mode may be fewer than were sent (8.4).
    pub len: u64,
    /// MD5 of the part in upper-case hex, without quotes.
    pub etag: Option<String>,
}

/// What a completed file must be.
#[derive(Clone, Debug)]
pub struct Expect {
    /// CRC-64/XZ of all bytes; sent, and compared with the reply.
    pub crc64: u64,
    /// Bytes; compared with the reply.
    pub size: u64,
    /// Hex SHA-1 of all bytes when known; compared with the reply.
    pub sha1: Option<String>,
    /// The revision being replaced: as long as the file still has it, the upload is not complete.
    pub base_revision: Option<RevisionId>,
}

fn unbuilt<T>(op: &'static str) -> Result<T> {
    Err(Error::new(Kind::Unsupported, op, "not built yet"))
}

impl Pds {
    /// Creates a folder, or says what has its name. Safe to repeat; see [`Created::Folder`].
    pub async fn create_folder(
        &self,
        parent: &FileId,
        name: &str,
        attributes: &NewAttributes,
    ) -> Result<Created> {
        let _ = (parent, name, attributes);
        unbuilt("create folder")
    }

    /// Opens an upload for a new file or a new revision (8.1, 8.9).
    pub async fn create_file(&self, request: &CreateFile) -> Result<Created> {
        let _ = request;
        unbuilt("create")
    }

    /// URLs for parts of an open upload, in the order asked (8.3).
    pub async fn part_urls(&self, upload: &UploadKey, parts: &[PartRequest]) -> Result<Vec<PartUrl>> {
        let _ = (upload, parts);
        unbuilt("get part URLs")
    }

    /// Every part the service has, by number (8.5).
    pub async fn uploaded_parts(&self, upload: &UploadKey) -> Result<Vec<UploadedPart>> {
        let _ = upload;
        unbuilt("list parts")
    }

    /// Turns the parts into the file's content and checks the result (8.6).
    pub async fn complete(&self, upload: &UploadKey, expect: Expect) -> Result<File> {
        let _ = (upload, expect);
        unbuilt("complete")
    }
}
