//! Zip archives of files and folders (pds-api.md 12.5): stored, not compressed, since what people keep on a drive
//! mostly is already; ZIP64 where sizes need it.
//!
//! Everything about an entry is in front of it, as even the simplest unpacker wants it, so each file is read
//! twice: once for its CRC-32. The archive is hashed as it is written, and is then a content like any other,
//! whose revision belongs to no file: its entry is 0, its drive is not charged.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use rusqlite::{Connection, OptionalExtension, params};
use sha1::{Digest, Sha1};

use super::Service;
use super::entry::{self, Content, Entry};
use super::reply::{ApiError, ApiResult};
use super::store::{doom, doom_at_start};

/// Entries of one archive: bounds the memory its directory takes.
const MAX_ENTRIES: usize = 100_000;
/// Reading and writing in pieces of this size.
const COPY_BYTES: usize = 1 << 20;
/// `pre_hash` covers this many bytes at the start (4.4).
const PRE_HASH_BYTES: usize = 1024;
/// From here on a number needs ZIP64.
const LARGE: u64 = 0xFFFF_FFFF;

/// An archive whose file is written and durable.
pub struct Made {
    file: String,
    name: String,
    size: u64,
    crc64: u64,
    sha1: [u8; 20],
    pre_hash: [u8; 20],
}

/// Writes the archive; `None` when `go_on` said no. `total` is told how many entries it has. Blocks.
pub fn make(
    service: &Service,
    drive: i64,
    files: &[String],
    name: &str,
    go_on: &dyn Fn() -> bool,
    total: &dyn Fn(i64) -> ApiResult<()>,
) -> ApiResult<Option<Made>> {
    let members = service.store.read(|c| members(c, drive, files))?;
    total(i64::try_from(members.len()).unwrap_or(i64::MAX))?;
    let file = service.new_blob_name();
    let doomed = file.clone();
    service.store.write(move |c| doom_at_start(c, &doomed))?;
    let made = write_all(service, &file, &members, go_on);
    let failed = |error: io::Error| ApiError::io("write the archive", &error);
    match made.map_err(failed) {
        Ok(Some(hashes)) => Ok(Some(hashes.finish(file, name))),
        other => {
            // Still in the table of the doomed: if this fails, the next start removes it.
            let _ = std::fs::remove_file(service.store.blob_path(&file));
            other.map(|_| None)
        }
    }
}

/// Makes the archive a content; gives the row number of its revision.
pub fn keep(service: &Service, c: &Connection, made: &Made) -> ApiResult<i64> {
    let size = made.size.cast_signed();
    let sql = "SELECT id FROM blob WHERE sha1 = ?1 AND size = ?2";
    let known = c.prepare_cached(sql)?.query_row(params![made.sha1, size], |row| row.get(0)).optional()?;
    let blob: i64 = match known {
        Some(blob) => {
            doom(c, &made.file)?;
            blob
        }
        None => {
            let sql = "INSERT INTO blob (file, sha1, size, crc64, pre_hash) VALUES (?1, ?2, ?3, ?4, ?5)";
            let crc64 = made.crc64.cast_signed();
            c.prepare_cached(sql)?.execute(params![made.file, made.sha1, size, crc64, made.pre_hash])?;
            let blob = c.last_insert_rowid();
            c.prepare_cached("DELETE FROM doomed WHERE file = ?1")?.execute([&made.file])?;
            blob
        }
    };
    let now = service.clock.now_ms();
    let sql = "INSERT INTO revision (id, entry, version, blob, name, upload_id, content_type, mime_type,
            mime_extension, category, created_at, updated_at)
        VALUES (?1, 0, 1, ?2, ?3, '', 'application/zip', 'application/zip', 'zip', 'zip', ?4, ?4)";
    c.prepare_cached(sql)?.execute(params![service.new_id(), blob, made.name, now])?;
    Ok(c.last_insert_rowid())
}

/// The content of an archive.
pub fn content(c: &Connection, revision: i64) -> ApiResult<Content> {
    entry::revision_by_seq(c, revision)
}

/// Forgets an archive.
pub fn erase(c: &Connection, revision: i64) -> ApiResult<()> {
    // No drive has this number: nobody was charged.
    entry::erase_revision(c, 0, revision)
}

/// Something in an archive, by its path there; folders end with a slash.
struct Member {
    path: String,
    changed_at: i64,
    content: Option<Content>,
}

/// What is asked for and everything below, paths made unique.
fn members(c: &Connection, drive: i64, files: &[String]) -> ApiResult<Vec<Member>> {
    let mut open: Vec<(Entry, String)> = Vec::new();
    let mut tops = HashSet::new();
    for id in files {
        let entry = entry::live(c, drive, id)?;
        let name = unique(&mut tops, entry.name.clone());
        open.push((entry, name));
    }
    let mut members = Vec::new();
    while let Some((entry, path)) = open.pop() {
        if members.len() == MAX_ENTRIES {
            return Err(ApiError::out_of_range("files", "An archive has at most 100000 files and folders."));
        }
        let mut names = HashSet::new();
        if entry.folder {
            for child in entry::children(c, entry.seq)? {
                let child = entry::by_seq(c, child)?;
                let name = unique(&mut names, child.name.clone());
                open.push((child, format!("{path}/{name}")));
            }
        }
        let path = if entry.folder { format!("{path}/") } else { path };
        members.push(Member { path, changed_at: entry.updated_at, content: entry.content });
    }
    members.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(members)
}

/// A name no other has; the drive allows several of the same, and `.` and `..`, which lead out of an archive.
fn unique(taken: &mut HashSet<String>, name: String) -> String {
    let name = if name == "." || name == ".." { format!("{name}_") } else { name };
    let mut candidate = name.clone();
    let mut number = 1;
    while !taken.insert(candidate.clone()) {
        number += 1;
        candidate = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => format!("{stem} ({number}).{extension}"),
            _ => format!("{name} ({number})"),
        };
    }
    candidate
}

/// Counts and hashes what passes.
struct Hashing<W> {
    inner: W,
    size: u64,
    crc64: crc64fast::Digest,
    sha1: Sha1,
    head: Vec<u8>,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        let bytes = &bytes[..len];
        self.size += len as u64;
        self.crc64.write(bytes);
        self.sha1.update(bytes);
        let missing = PRE_HASH_BYTES.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(missing));
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> Hashing<W> {
    fn finish(self, file: String, name: &str) -> Made {
        Made {
            file,
            name: name.to_owned(),
            size: self.size,
            crc64: self.crc64.sum64(),
            sha1: self.sha1.finalize().into(),
            pre_hash: Sha1::digest(&self.head).into(),
        }
    }
}

fn write_all(
    service: &Service,
    file: &str,
    members: &[Member],
    go_on: &dyn Fn() -> bool,
) -> io::Result<Option<Hashing<BufWriter<File>>>> {
    let file = service.store.open_staging(file)?;
    let mut zip = Hashing {
        inner: BufWriter::with_capacity(COPY_BYTES, file),
        size: 0,
        crc64: crc64fast::Digest::new(),
        sha1: Sha1::new(),
        head: Vec::new(),
    };
    let mut directory = Vec::new();
    for member in members {
        if !go_on() {
            return Ok(None);
        }
        let offset = zip.size;
        let (mut crc, mut size) = (0, 0);
        if let Some(content) = &member.content {
            size = content.size;
            crc = crc32(service.store.open_blob(&content.file)?, size)?;
        }
        zip.write_all(&header(member, crc, size, None))?;
        if let Some(content) = &member.content {
            let copied = io::copy(&mut service.store.open_blob(&content.file)?.take(size), &mut zip)?;
            if copied != size {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bytes of a file are gone"));
            }
        }
        directory.extend(header(member, crc, size, Some(offset)));
    }
    let start = zip.size;
    zip.write_all(&directory)?;
    zip.write_all(&end(members.len() as u64, directory.len() as u64, start))?;
    zip.flush()?;
    zip.inner.get_ref().sync_all()?;
    Ok(Some(zip))
}

fn crc32(file: File, size: u64) -> io::Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    let mut file = file.take(size);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(crc.finalize()),
            len => crc.update(&buffer[..len]),
        }
    }
}

/// The header before a member, or with `offset` its entry in the directory at the end.
fn header(member: &Member, crc: u32, size: u64, offset: Option<u64>) -> Vec<u8> {
    let large = size >= LARGE || offset.is_some_and(|offset| offset >= LARGE);
    let mut extra = Vec::new();
    if large {
        let fields = [Some(size), Some(size), offset];
        let len = fields.iter().flatten().count() * 8;
        extra.extend([1, 0]);
        extra.extend(u16::try_from(len).unwrap_or(0).to_le_bytes());
        fields.iter().flatten().for_each(|field| extra.extend(field.to_le_bytes()));
    }
    let short = |number: u64| if large { u32::MAX } else { u32::try_from(number).unwrap_or(u32::MAX) };
    let (time, date) = dos_time(member.changed_at);
    // 4.5 knows ZIP64, 2.0 knows folders.
    let version: u16 = if large { 45 } else { 20 };
    let mut bytes = Vec::new();
    let put16 = |bytes: &mut Vec<u8>, number: u16| bytes.extend(number.to_le_bytes());
    let put32 = |bytes: &mut Vec<u8>, number: u32| bytes.extend(number.to_le_bytes());
    put32(&mut bytes, if offset.is_some() { 0x0201_4b50 } else { 0x0403_4b50 });
    if offset.is_some() {
        // Made by Unix: the upper half of the attributes is a mode.
        put16(&mut bytes, 3 << 8 | version);
    }
    // Names are UTF-8; bytes are stored as they are.
    for field in [version, 1 << 11, 0, time, date] {
        put16(&mut bytes, field);
    }
    for field in [crc, short(size), short(size)] {
        put32(&mut bytes, field);
    }
    put16(&mut bytes, u16::try_from(member.path.len()).unwrap_or(u16::MAX));
    put16(&mut bytes, u16::try_from(extra.len()).unwrap_or(0));
    if let Some(offset) = offset {
        [0, 0, 0].iter().for_each(|field| put16(&mut bytes, *field));
        let mode: u32 = if member.content.is_some() { 0o100_644 } else { 0o040_755 };
        put32(&mut bytes, mode << 16 | u32::from(member.content.is_none()) << 4);
        put32(&mut bytes, short(offset));
    }
    bytes.extend(member.path.bytes().take(usize::from(u16::MAX)));
    bytes.extend(extra);
    bytes
}

/// The end of the directory, with its ZIP64 form where numbers need it.
fn end(count: u64, len: u64, start: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let large = count >= 0xFFFF || len >= LARGE || start >= LARGE;
    if large {
        bytes.extend(0x0606_4b50_u32.to_le_bytes());
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([45, 3, 45, 0]);
        bytes.extend([0; 8]);
        [count, count, len, start].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.extend(0x0706_4b50_u32.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend((start + len).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    let short = |number: u64| if large { u32::MAX } else { u32::try_from(number).unwrap_or(u32::MAX) };
    let count = if large { u16::MAX } else { u16::try_from(count).unwrap_or(u16::MAX) };
    bytes.extend(0x0605_4b50_u32.to_le_bytes());
    bytes.extend([0; 4]);
    [count, count].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    [short(len), short(start)].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    bytes.extend([0; 2]);
    bytes
}

/// Time and date as MS-DOS had them, in UTC, from 1980 to 2107, every other second.
fn dos_time(ms: i64) -> (u16, u16) {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    let part = |number: i8| u16::try_from(number).unwrap_or(0);
    let year = u16::try_from((i32::from(time.year()) - 1980).clamp(0, 127)).unwrap_or(0);
    let clock = (part(time.hour()) << 11) | (part(time.minute()) << 5) | (part(time.second()) / 2);
    (clock, year << 9 | part(time.month()) << 5 | part(time.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_an_archive_are_unique_and_stay_in_it() {
        let mut taken = HashSet::new();
        let names = ["a.txt", "a.txt", "a.txt", ".x", ".x", "..", "b"];
        let unique: Vec<String> = names.iter().map(|name| unique(&mut taken, (*name).into())).collect();
        assert_eq!(unique, ["a.txt", "a (2).txt", "a (3).txt", ".x", ".x (2)", ".._", "b"]);
    }

    #[test]
    fn large_members_have_their_sizes_in_zip64() {
        let member = Member { path: "a".into(), changed_at: 1_566_283_887_292, content: None };
        let small = header(&member, 7, 5, Some(9));
        assert_eq!(small.len(), 46 + 1);
        let large = header(&member, 7, 5 << 30, Some(9));
        assert_eq!(large.len(), 46 + 1 + 4 + 24);
        assert_eq!(large[47 + 4..47 + 12], (5_u64 << 30).to_le_bytes());
        assert_eq!(large[20..28], [0xFF; 8]);
        assert_eq!((end(3, 100, 1000).len(), end(3, 100, 5 << 30).len()), (22, 22 + 56 + 20));
    }

    #[test]
    fn times_are_those_of_dos() {
        // 2019-08-20 06:51:27.
        assert_eq!(dos_time(1_566_283_887_292), (6 << 11 | 51 << 5 | 13, 39 << 9 | 8 << 5 | 20));
        assert_eq!(dos_time(0).1 >> 9, 0);
    }
}
