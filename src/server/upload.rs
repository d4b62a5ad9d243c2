//! Uploads: parts arrive, are hashed and written as they stream, and become a content without being read again.
//!
//! **Placement.** Each upload has one file. A part is written straight to its final offset there: in serial mode
//! after the parts before it, in parallel mode at the `part_offset` of its context. When that place is already
//! taken, by a stored part or by a request still in flight (a repeated or contradictory PUT), the part goes to
//! a file of its own instead ("aside") and is copied into place by `complete`. So no request ever writes
//! over bytes another one has stored.
//!
//! **Hashing.** Each part is hashed once: MD5 (ETag), CRC-64, and SHA-1 going on from the context the client
//! gave, or from the part before. `complete` checks that each part starts in the state in which the one
//! before it ended; by induction from the start of SHA-1 this proves every context against the real bytes.
//!
//! **Exclusion.** `gate` orders writers and `complete`: chunks are written and parts recorded under its read
//! side, `complete` holds the write side from its checks to its commit and leaves it closed. After that no
//! request still in flight can touch the bytes.
//!
//! Order of locks: `gate`, then `claims`, then the store.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use md5::Md5;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha1::{Digest, Sha1};

use super::Service;
use super::hash::{Sha1State, upper_hex};
use super::reply::{ApiError, ApiResult, DataError};
use super::store::{doom, doom_at_start};

/// The largest part number (pds-api.md 4.5).
pub const MAX_PART_NUMBER: u32 = 10_000;
/// The largest part: 5 GiB (4.5).
pub const MAX_PART_BYTES: u64 = 5 << 30;
/// Written bytes after which the kernel is asked to start writing them back, so that the flush at the end of
/// a part does not begin with all of it.
const WRITE_BACK_BYTES: u64 = 4 << 20;
/// The columns of a [`Part`].
const PART_COLUMNS: &str = "number, offset, size, md5, crc64, sha1_before, sha1_after, aside";

/// An upload that is not complete.
#[derive(Clone, Debug)]
pub struct Upload {
    /// `upload_id`.
    pub id: String,
    /// The drive it is for.
    pub drive: i64,
    /// Id the file has or will have.
    pub file_id: String,
    /// Row number of the folder.
    pub parent: i64,
    /// Name of the new file.
    pub name: String,
    /// Row number of the entry that gets a new revision.
    pub overwrites: Option<i64>,
    /// Parallel mode (8.7).
    pub parallel: bool,
    /// Declared size.
    pub size: Option<u64>,
    /// Declared content type.
    pub content_type: String,
    /// Fields the client set at create, as JSON text.
    pub meta_json: String,
    /// User tags set at create, as JSON text.
    pub tags_json: String,
    /// Its bytes, below `blobs/`.
    pub file: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// A stored part.
#[derive(Clone, Debug)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// Where in the content it starts.
    pub offset: u64,
    /// Length in bytes.
    pub size: u64,
    /// Its MD5, or 16 other bytes that tell it from other parts (`ServerOptions::md5_etags`).
    pub md5: Vec<u8>,
    /// Its CRC-64.
    pub crc64: u64,
    /// SHA-1 before its first byte.
    pub before: Sha1State,
    /// SHA-1 after its last byte.
    pub after: Sha1State,
    /// The file of its own, if it has one.
    pub aside: Option<String>,
}

impl Part {
    /// The ETag as the service prints it, quotes included.
    pub fn etag(&self) -> String {
        format!("\"{}\"", upper_hex(&self.md5))
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Part> {
        let state = |index| -> rusqlite::Result<Sha1State> {
            let bytes: Vec<u8> = row.get(index)?;
            Sha1State::from_bytes(&bytes).ok_or(rusqlite::Error::InvalidQuery)
        };
        Ok(Part {
            number: row.get(0)?,
            offset: row.get::<_, i64>(1)?.unsigned_abs(),
            size: row.get::<_, i64>(2)?.unsigned_abs(),
            md5: row.get(3)?,
            crc64: row.get::<_, i64>(4)?.cast_unsigned(),
            before: state(5)?,
            after: state(6)?,
            aside: row.get(7)?,
        })
    }
}

/// The upload with this id; `None` when it never was, is complete, or is too old.
pub fn find(c: &Connection, service: &Service, id: &str) -> ApiResult<Option<Upload>> {
    Ok(find_any_age(c, id)?.filter(|upload| upload.created_at > service.oldest_upload_ms()))
}

/// The upload with this id, also when it is too old and only waits to be reaped.
pub fn find_any_age(c: &Connection, id: &str) -> ApiResult<Option<Upload>> {
    let sql = "SELECT id, drive, file_id, parent, name, overwrites, parallel, size, content_type, meta_json,
        tags_json, file, created_at FROM upload WHERE id = ?1";
    Ok(c.prepare_cached(sql)?.query_row([id], Upload::from_row).optional()?)
}

impl Upload {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Upload> {
        Ok(Upload {
            id: row.get(0)?,
            drive: row.get(1)?,
            file_id: row.get(2)?,
            parent: row.get(3)?,
            name: row.get(4)?,
            overwrites: row.get(5)?,
            parallel: row.get(6)?,
            size: row.get::<_, Option<i64>>(7)?.map(i64::unsigned_abs),
            content_type: row.get(8)?,
            meta_json: row.get(9)?,
            tags_json: row.get(10)?,
            file: row.get(11)?,
            created_at: row.get(12)?,
        })
    }

    /// Its parts after `marker`, in order of number.
    pub fn parts(&self, c: &Connection, marker: u32, limit: u32) -> ApiResult<Vec<Part>> {
        let sql = format!(
            "SELECT {PART_COLUMNS} FROM part WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3"
        );
        let mut statement = c.prepare_cached(&sql)?;
        let rows = statement.query_map(params![self.id, marker, limit], Part::from_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The part of this number.
    fn part(&self, c: &Connection, number: u32) -> ApiResult<Option<Part>> {
        Ok(self.parts(c, number - 1, 1)?.into_iter().find(|part| part.number == number))
    }

    /// The part of the highest number.
    fn last_part(&self, c: &Connection) -> ApiResult<Option<Part>> {
        let sql = format!("SELECT {PART_COLUMNS} FROM part WHERE upload = ?1 ORDER BY number DESC LIMIT 1");
        Ok(c.prepare_cached(&sql)?.query_row([&self.id], Part::from_row).optional()?)
    }

    /// Whether a stored part has bytes of this range in the upload's file.
    fn is_taken(&self, c: &Connection, start: u64, end: u64) -> ApiResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM part
            WHERE upload = ?1 AND aside IS NULL AND size > 0 AND offset < ?3 AND offset + size > ?2)";
        let (start, end) = (start.min(i64::MAX as u64).cast_signed(), end.min(i64::MAX as u64).cast_signed());
        Ok(c.prepare_cached(sql)?.query_row(params![self.id, start, end], |row| row.get(0))?)
    }

    /// All its parts.
    pub fn all_parts(&self, c: &Connection) -> ApiResult<Vec<Part>> {
        self.parts(c, 0, MAX_PART_NUMBER)
    }

    /// Forgets the upload and its parts; dooms the files of parts aside, and its own unless it is kept.
    pub fn forget(&self, c: &Connection, keep_file: bool) -> ApiResult<()> {
        for part in self.all_parts(c)? {
            if let Some(aside) = part.aside {
                doom(c, &aside)?;
            }
        }
        if !keep_file {
            doom(c, &self.file)?;
        }
        c.prepare_cached("DELETE FROM part WHERE upload = ?1")?.execute([&self.id])?;
        c.prepare_cached("DELETE FROM upload WHERE id = ?1")?.execute([&self.id])?;
        Ok(())
    }
}

/// The uploads someone is working on right now.
#[derive(Default)]
pub struct Uploads {
    live: Mutex<HashMap<String, Arc<Live>>>,
}

/// What requests on one upload share.
#[derive(Default)]
pub struct Live {
    /// Whether the bytes are final. See the module's words on exclusion.
    pub gate: RwLock<bool>,
    claims: Mutex<Vec<Claim>>,
}

/// A range of the upload's file that a request in flight writes to.
struct Claim {
    token: u64,
    start: u64,
    end: u64,
}

impl Uploads {
    /// Joins the work on an upload.
    pub fn join(&self, id: &str) -> Arc<Live> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.entry(id.to_owned()).or_default().clone()
    }

    /// Forgets an upload no one works on. Whoever holds its gate also holds the `Arc`.
    pub fn leave(&self, id: &str) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.get(id).is_some_and(|live| Arc::strong_count(live) == 1) {
            live.remove(id);
        }
    }
}

/// What a signed part URL says.
#[derive(Clone, Debug)]
pub struct PartTicket {
    /// The upload.
    pub upload_id: String,
    /// The part.
    pub number: u32,
    /// The context, in parallel mode.
    pub context: Option<Sha1State>,
    /// The MD5 the bytes must have.
    pub content_md5: Option<Vec<u8>>,
}

/// A part on its way in. Owned by one request; handed to a blocking thread for each chunk.
pub struct PartWriter {
    service: Arc<Service>,
    upload: Upload,
    live: Arc<Live>,
    ticket: PartTicket,
    token: u64,
    file: File,
    aside: Option<String>,
    /// Where in the content the part starts; where in `file` is 0 when it is aside.
    offset: u64,
    written: u64,
    written_back: u64,
    before: Sha1State,
    /// The most expensive of the three hashes, so only where someone asks for it.
    md5: Option<Md5>,
    crc64: crc64fast::Digest,
    sha1: Sha1,
}

impl PartWriter {
    /// Checks that the part may come, and opens its place. `len` is what the request announces.
    pub fn begin(service: &Arc<Service>, ticket: PartTicket, len: Option<u64>) -> Result<Self, DataError> {
        let live = service.uploads.join(&ticket.upload_id);
        let result = PartWriter::begin_live(service, ticket.clone(), len, live);
        if result.is_err() {
            service.uploads.leave(&ticket.upload_id);
        }
        result
    }

    fn begin_live(
        service: &Arc<Service>,
        ticket: PartTicket,
        len: Option<u64>,
        live: Arc<Live>,
    ) -> Result<Self, DataError> {
        if len.is_some_and(|len| len > MAX_PART_BYTES) {
            return Err(DataError::new(413, "EntityTooLarge", "A part has at most 5368709120 bytes."));
        }
        let token = service.next_number();
        let (upload, before, aside) = {
            let gate = live.gate.read().unwrap_or_else(PoisonError::into_inner);
            // A request that ends records its part first and gives up its claim after: whoever looks at
            // claims first and at parts second sees it in one of them.
            let mut claims = live.claims.lock().unwrap_or_else(PoisonError::into_inner);
            let upload = service.store.read(|c| find(c, service, &ticket.upload_id))?;
            let upload = upload.filter(|_| !*gate).ok_or_else(DataError::no_such_upload)?;
            let before = placement(service, &upload, &ticket)?;
            let (start, end) = (before.len, len.map_or(u64::MAX, |len| before.len.saturating_add(len)));
            let taken = claims.iter().any(|claim| claim.start < end && start < claim.end)
                || service.store.read(|c| upload.is_taken(c, start, end))?;
            let aside = taken.then(|| service.new_blob_name());
            if aside.is_none() {
                claims.push(Claim { token, start, end });
            }
            (upload, before, aside)
        };
        let opened = match &aside {
            None => service.store.open_staging(&upload.file),
            Some(name) => {
                let doomed = name.clone();
                service.store.write(move |c| doom_at_start(c, &doomed))?;
                service.store.open_staging(name)
            }
        };
        let file = opened.map_err(|error| {
            live.release(token);
            DataError::io("store the part", &error)
        })?;
        let md5 = (service.options.md5_etags || ticket.content_md5.is_some()).then(Md5::new);
        Ok(PartWriter {
            service: service.clone(),
            offset: before.len,
            sha1: before.hasher(),
            upload,
            live,
            ticket,
            token,
            file,
            aside,
            written: 0,
            written_back: 0,
            before,
            md5,
            crc64: crc64fast::Digest::new(),
        })
    }

    /// Takes in the next bytes. Blocks.
    pub fn absorb(&mut self, chunks: &[Bytes]) -> Result<(), DataError> {
        for chunk in chunks {
            if self.written + chunk.len() as u64 > MAX_PART_BYTES {
                return Err(DataError::new(413, "EntityTooLarge", "A part has at most 5368709120 bytes."));
            }
            if let Some(md5) = &mut self.md5 {
                md5.update(chunk);
            }
            self.crc64.write(chunk);
            self.sha1.update(chunk);
            let at = if self.aside.is_some() { self.written } else { self.offset + self.written };
            {
                let gate = self.live.gate.read().unwrap_or_else(PoisonError::into_inner);
                if *gate {
                    return Err(DataError::no_such_upload());
                }
                self.file.write_all_at(chunk, at).map_err(|error| DataError::io("store the part", &error))?;
            }
            self.written += chunk.len() as u64;
        }
        self.start_write_back();
        Ok(())
    }

    /// Makes the part durable and records it. Blocks.
    pub fn finish(mut self, expected_len: Option<u64>) -> Result<Part, DataError> {
        if expected_len.is_some_and(|len| len != self.written) {
            return Err(DataError::new(400, "IncompleteBody", "The body is shorter than announced."));
        }
        let crc64 = self.crc64.sum64();
        let md5 = match self.md5.take() {
            Some(md5) => md5.finalize().to_vec(),
            None => [crc64.to_be_bytes(), self.written.to_be_bytes()].concat(),
        };
        if self.ticket.content_md5.as_ref().is_some_and(|expected| *expected != md5) {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(DataError::new(400, "BadDigest", message));
        }
        self.file.sync_data().map_err(|error| DataError::io("store the part", &error))?;
        let part = Part {
            number: self.ticket.number,
            offset: self.offset,
            size: self.written,
            md5,
            crc64,
            before: self.before.clone(),
            after: Sha1State::of(std::mem::take(&mut self.sha1)),
            aside: self.aside.clone(),
        };
        self.record(part.clone())?;
        Ok(part)
    }

    fn record(&mut self, part: Part) -> Result<(), DataError> {
        let live = self.live.clone();
        let _gate = live.gate.read().unwrap_or_else(PoisonError::into_inner);
        let (service, upload) = (self.service.clone(), self.upload.clone());
        let outcome = self.service.store.write(move |c| {
            if find(c, &service, &upload.id)?.is_none() {
                return Ok(Err(DataError::no_such_upload()));
            }
            let old = upload.part(c, part.number)?;
            if !upload.parallel
                && let Some(error) = out_of_order(old.as_ref(), upload.last_part(c)?.as_ref(), part.number)
            {
                return Ok(Err(error));
            }
            if let Some(aside) = old.and_then(|old| old.aside) {
                doom(c, &aside)?;
            }
            if let Some(aside) = &part.aside {
                c.prepare_cached("DELETE FROM doomed WHERE file = ?1")?.execute([aside])?;
            }
            insert_part(c, &upload.id, &part)?;
            Ok(Ok(()))
        })?;
        if outcome.is_ok() {
            // Recorded: the file is no longer ours to remove.
            self.aside = None;
        }
        outcome
    }

    fn start_write_back(&mut self) {
        let fresh = self.written - self.written_back;
        if fresh < WRITE_BACK_BYTES {
            return;
        }
        let start = if self.aside.is_some() { 0 } else { self.offset } + self.written_back;
        // Advice on dirty pages starts writing them and drops none of them. It may fail; it is advice.
        let len = std::num::NonZeroU64::new(fresh);
        let _ = rustix::fs::fadvise(&self.file, start, len, rustix::fs::Advice::DontNeed);
        self.written_back = self.written;
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        self.live.release(self.token);
        if let Some(aside) = self.aside.take() {
            // Still in the table of the doomed: if this fails, the next start removes it.
            let _ = std::fs::remove_file(self.service.store.blob_path(&aside));
        }
        self.live = Arc::default();
        self.service.uploads.leave(&self.upload.id);
    }
}

impl Live {
    fn release(&self, token: u64) {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).retain(|claim| claim.token != token);
    }
}

/// The state before a part, or why it may not come now (8.7).
fn placement(service: &Service, upload: &Upload, ticket: &PartTicket) -> Result<Sha1State, DataError> {
    if upload.parallel {
        return ticket.context.clone().ok_or_else(|| {
            DataError::new(400, "InvalidArgument", "A part of a parallel upload needs its parallel_sha1_ctx.")
        });
    }
    let (stored, last) =
        service.store.read(|c| Ok((upload.part(c, ticket.number)?, upload.last_part(c)?)))?;
    match out_of_order(stored.as_ref(), last.as_ref(), ticket.number) {
        Some(error) => Err(error),
        None => Ok(last.map_or_else(Sha1State::start, |last| last.after)),
    }
}

/// Serial mode: a part comes after all parts before it, and once.
fn out_of_order(stored: Option<&Part>, last: Option<&Part>, number: u32) -> Option<DataError> {
    if let Some(stored) = stored {
        let message = "For sequential multipart upload, you can't overwrite uploaded parts.";
        return Some(
            DataError::new(409, "PartAlreadyExist", message)
                .with("PartNumber", number.to_string())
                .with("PartEtag", upper_hex(&stored.md5))
                .with("EC", "0042-00000108"),
        );
    }
    let next = last.map_or(0, |last| last.number) + 1;
    (number != next).then(|| {
        let message = format!("For sequential multipart upload, the next part is number {next}.");
        DataError::new(400, "PartNotSequential", message)
    })
}

fn insert_part(c: &Connection, upload: &str, part: &Part) -> ApiResult<()> {
    let sql = "INSERT OR REPLACE INTO part (upload, number, offset, size, md5, crc64, sha1_before, sha1_after, aside)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let signed = |n: u64| i64::try_from(n).map_err(|_| ApiError::invalid("part_offset", "It is too large."));
    c.prepare_cached(sql)?.execute(params![
        upload,
        part.number,
        signed(part.offset)?,
        signed(part.size)?,
        part.md5,
        part.crc64.cast_signed(),
        part.before.to_bytes(),
        part.after.to_bytes(),
        part.aside,
    ])?;
    Ok(())
}
