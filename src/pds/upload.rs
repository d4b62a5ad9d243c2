//! Upload: create, part URLs, the list of parts (8.1 to 8.5); `complete.rs` ends it.
//!
//! Names are always created with `refuse`, so nothing here ever makes a second entry of one name. A create
//! whose reply got lost may be repeated: the upload it left behind is invisible and dies after 10 days (8.1).

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::blob::unquoted;
use super::lease::{self, PartUrl};
use super::metadata::{set, some_text, text};
use super::model::{FileId, FileKind, RevisionId, UploadId, number_of};
use super::transport::{Call, Reply};
use super::{NewAttributes, Pds};
use crate::error::{Error, Kind, Result};

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

/// Parts per upload (4.5).
const MAX_PARTS: u32 = 10_000;
/// Parts per page of the list of parts (section 20).
const PAGE: u32 = 100;

impl Pds {
    /// Creates a folder, or says what has its name. When a reply was lost and the repeated request finds
    /// the folder there, it is taken for our own.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the parent is gone, [`Kind::Invalid`] for a name the service refuses.
    pub async fn create_folder(
        &self,
        parent: &FileId,
        name: &str,
        attributes: &NewAttributes,
    ) -> Result<Created> {
        const OP: &str = "create folder";
        let mut body = json!({
            "drive_id": self.drive_id().as_str(), "parent_file_id": parent.as_str(), "name": name,
            "type": "folder", "check_name_mode": "refuse",
        });
        attributes.write_to(&mut body);
        let reply = match self.create(OP, name, body).await {
            Ok(reply) => reply,
            Err(error) => return self.taken(parent, name, FileKind::Folder, error).await,
        };
        let id = FileId::from(&*some_text(OP, &reply.value, "file_id")?);
        if !exists(&reply.value) {
            return Ok(Created::Folder(id));
        }
        match existing_kind(&reply.value) {
            FileKind::Folder if reply.repeated => Ok(Created::Folder(id)),
            kind => Ok(Created::Exists(Existing { id, kind })),
        }
    }

    /// Opens an upload for a new file or a new revision (8.1, 8.9), or finishes at once when the service
    /// has the bytes.
    ///
    /// # Errors
    /// [`Kind::Quota`]; [`Kind::NotFound`] when the parent or the file to overwrite is gone;
    /// [`code::PARALLEL_REFUSED`](super::code::PARALLEL_REFUSED).
    pub async fn create_file(&self, request: &CreateFile) -> Result<Created> {
        const OP: &str = "create";
        let mut body = self.create_body(request);
        let mut reply = match self.create(OP, &request.name, body.clone()).await {
            Ok(reply) => reply,
            Err(error) => return self.taken(&request.parent, &request.name, FileKind::File, error).await,
        };
        if exists(&reply.value) && text(&reply.value, "upload_id").is_empty() {
            if request.overwrite.is_none() {
                return self.found_existing(request, &reply).await;
            }
            // The name check hit the very file that is overwritten, or a duplicate of its name.
            set(&mut body, "check_name_mode", Some("ignore"));
            reply = self.create(OP, &request.name, body).await?;
        }
        let id = FileId::from(&*some_text(OP, &reply.value, "file_id")?);
        if reply.value.get("rapid_upload").and_then(Value::as_bool) == Some(true) {
            return Ok(Created::Rapid {
                id,
                revision: RevisionId::from(&*text(&reply.value, "revision_id")),
            });
        }
        let upload = UploadId::from(&*some_text(OP, &reply.value, "upload_id")?);
        let urls = part_urls(OP, &reply, &request.parts)?;
        let final_name = Some(text(&reply.value, "file_name")).filter(|name| !name.is_empty());
        let final_name = final_name.unwrap_or_else(|| request.name.clone());
        Ok(Created::Upload { key: UploadKey { file: id, upload }, urls, final_name })
    }

    /// URLs for parts of an open upload, in the order asked (8.3).
    ///
    /// # Errors
    /// [`code::UPLOAD_NOT_FOUND`](super::code::UPLOAD_NOT_FOUND); [`Kind::Exists`] when the create had
    /// taken bytes the service had.
    pub async fn part_urls(&self, upload: &UploadKey, parts: &[PartRequest]) -> Result<Vec<PartUrl>> {
        const OP: &str = "get part URLs";
        let mut body = self.upload_body(upload);
        set(&mut body, "part_info_list", Some(part_list(parts)));
        let call = Call::new(OP, upload.file.as_str(), "file/get_upload_url", body);
        part_urls(OP, &self.transport.call(call).await?, parts)
    }

    /// Every part the service has, by number (8.5).
    ///
    /// # Errors
    /// [`code::UPLOAD_NOT_FOUND`](super::code::UPLOAD_NOT_FOUND) when completed, abandoned or too old.
    pub async fn uploaded_parts(&self, upload: &UploadKey) -> Result<Vec<UploadedPart>> {
        const OP: &str = "list parts";
        let (mut parts, mut marker) = (Vec::new(), 0);
        loop {
            let mut body = self.upload_body(upload);
            set(&mut body, "limit", Some(PAGE));
            set(&mut body, "part_number_marker", Some(marker).filter(|&marker| marker > 0));
            let value = self.read(OP, upload.file.as_str(), "file/list_uploaded_parts", body).await?;
            let page =
                value.get("uploaded_parts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for part in page {
                parts.push(uploaded_part(OP, part)?);
            }
            // "" and "0" end the list (8.5); numbers that only grow, up to 10,000, end the loop.
            let next = value.get("next_part_number_marker").and_then(number_of).unwrap_or(0);
            match u32::try_from(next) {
                Ok(0) => break,
                Ok(next) if next > marker && next <= MAX_PARTS && parts.len() < MAX_PARTS as usize => {
                    marker = next
                }
                _ => return Err(Error::new(Kind::Protocol, OP, "the list of parts does not end")),
            }
        }
        parts.sort_by_key(|part| part.number);
        parts.dedup_by_key(|part| part.number);
        Ok(parts)
    }

    async fn create(&self, op: &'static str, name: &str, body: Value) -> Result<Reply> {
        Ok(self.transport.call(Call::new(op, name, "file/create", body)).await?)
    }

    fn create_body(&self, request: &CreateFile) -> Value {
        let mut body = json!({
            "drive_id": self.drive_id().as_str(), "parent_file_id": request.parent.as_str(),
            "name": request.name, "type": "file", "check_name_mode": "refuse",
            "parallel_upload": request.parallel, "part_info_list": part_list(&request.parts),
            "content_type": request.content_type.as_deref().unwrap_or("application/octet-stream"),
        });
        set(&mut body, "file_id", request.overwrite.as_ref().map(FileId::as_str));
        set(&mut body, "size", request.size);
        set(&mut body, "content_hash", request.content_hash.as_deref());
        set(&mut body, "content_hash_name", request.content_hash.as_ref().map(|_| "sha1"));
        request.attributes.write_to(&mut body);
        body
    }

    /// The name of a new file is taken: by another entry, or by our own file when a lost reply had said
    /// that the service took bytes it had.
    async fn found_existing(&self, request: &CreateFile, reply: &Reply) -> Result<Created> {
        let id = FileId::from(&*some_text("create", &reply.value, "file_id")?);
        if reply.repeated
            && let Some(hash) = &request.content_hash
            && let Ok(file) = self.file(&id).await
            && file.sha1.as_deref().is_some_and(|sha1| sha1.eq_ignore_ascii_case(hash))
            && request.size == Some(file.size)
        {
            return Ok(Created::Rapid { id, revision: file.revision });
        }
        Ok(Created::Exists(Existing { id, kind: existing_kind(&reply.value) }))
    }

    /// What an error of `create` means when some deployments say "exists" by an error (10.1).
    async fn taken(&self, parent: &FileId, name: &str, kind: FileKind, error: Error) -> Result<Created> {
        if error.kind() != Kind::Exists {
            return Err(error);
        }
        self.sibling(parent, name, kind).await?.map(Created::Exists).ok_or(error)
    }

    /// Who has a name in a folder (9.8).
    pub(super) async fn sibling(
        &self,
        parent: &FileId,
        name: &str,
        kind: FileKind,
    ) -> Result<Option<Existing>> {
        let kind = if kind == FileKind::Folder { "folder" } else { "file" };
        let body = json!({
            "drive_id": self.drive_id().as_str(), "parent_file_id": parent.as_str(), "name": name, "type": kind,
        });
        let value = self.read("check name", name, "file/pre_create_check", body).await?;
        let found = value.get("name_check_result").unwrap_or(&Value::Null);
        let id = text(found, "exist_file_id");
        let kind = if text(found, "exist_file_type") == "folder" { FileKind::Folder } else { FileKind::File };
        Ok((!id.is_empty()).then(|| Existing { id: FileId::from(&*id), kind }))
    }

    pub(super) fn upload_body(&self, upload: &UploadKey) -> Value {
        json!({
            "drive_id": self.drive_id().as_str(), "file_id": upload.file.as_str(),
            "upload_id": upload.upload.as_str(),
        })
    }
}

/// Whether `refuse` hit an entry of the same name (8.1, 10.1).
pub(super) fn exists(value: &Value) -> bool {
    value.get("exist").and_then(Value::as_bool).unwrap_or(false)
}

fn existing_kind(value: &Value) -> FileKind {
    if text(value, "type") == "folder" { FileKind::Folder } else { FileKind::File }
}

fn part_list(parts: &[PartRequest]) -> Value {
    let entry = |part: &PartRequest| {
        let mut entry = json!({ "part_number": part.number });
        set(&mut entry, "parallel_sha1_ctx", part.sha1_context.map(Sha1Context::json));
        entry
    };
    parts.iter().map(entry).collect()
}

impl Sha1Context {
    /// As the service wants it; the first part has no state (4.4).
    fn json(self) -> Value {
        let h: &[u32] = if self.part_offset == 0 { &[] } else { &self.h };
        json!({ "h": h, "part_offset": self.part_offset })
    }
}

/// The URLs of a reply, one for each part asked for; all there are when none was.
fn part_urls(op: &'static str, reply: &Reply, asked: &[PartRequest]) -> Result<Vec<PartUrl>> {
    let list =
        reply.value.get("part_info_list").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut urls = BTreeMap::new();
    for item in list.iter().take(MAX_PARTS as usize) {
        let number = part_number(op, item)?;
        let url = lease::parse(op, &text(item, "upload_url"))?;
        let expires_at = lease::expires_at(&url, Instant::now(), reply.server_now);
        urls.insert(number, PartUrl { number, expires_at, url, content_type: text(item, "content_type") });
    }
    if asked.is_empty() {
        return Ok(urls.into_values().collect());
    }
    let missing =
        |number| Error::new(Kind::Protocol, op, format!("the service gave no URL for part {number}"));
    asked.iter().map(|part| urls.get(&part.number).cloned().ok_or_else(|| missing(part.number))).collect()
}

fn part_number(op: &'static str, item: &Value) -> Result<u32> {
    let number = item.get("part_number").and_then(number_of).and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| (1..=MAX_PARTS).contains(number))
        .ok_or_else(|| Error::new(Kind::Protocol, op, "the service described a part without a part number"))
}

fn uploaded_part(op: &'static str, item: &Value) -> Result<UploadedPart> {
    let len = item.get("part_size").and_then(number_of);
    let len =
        len.ok_or_else(|| Error::new(Kind::Protocol, op, "the service described a part without its size"))?;
    let etag = Some(unquoted(&text(item, "etag"))).filter(|etag| !etag.is_empty());
    Ok(UploadedPart { number: part_number(op, item)?, len, etag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_has_no_state_and_the_others_do() {
        // The test vector of 4.4.
        let h = [2_781_477_636, 2_167_910_136, 4_107_292_220, 1_153_442_652, 2_872_263_382];
        let part =
            |number, part_offset| PartRequest { number, sha1_context: Some(Sha1Context { h, part_offset }) };
        assert_eq!(
            part_list(&[part(1, 0), part(2, 768), PartRequest { number: 3, sha1_context: None }]),
            json!([
                {"part_number": 1, "parallel_sha1_ctx": {"h": [], "part_offset": 0}},
                {"part_number": 2, "parallel_sha1_ctx": {"h": h, "part_offset": 768}},
                {"part_number": 3},
            ])
        );
    }
}
