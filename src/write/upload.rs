//! The upload of one draft as a state machine without I/O: what is known goes in, what to do comes out.
//!
//! ```text
//!  Idle -> Creating -> Sending -> Completing -> Done
//!    ^        |           |           |
//!    +--------+-- restart-+-----------+     new upload id; the hash states up to the change are kept
//! ```
//!
//! The runner (`write.rs`) calls [`Upload::step`] whenever something may have changed, performs the actions,
//! and gives each result back through [`Upload::on`]. Between two steps the machine never assumes that a
//! part arrived: only a receipt whose CRC-64 is that of the shard makes it `Sent`.
//!
//! Streaming: while the file is still being written, full shards of the contiguous prefix are sealed, and
//! the upload is created without a size as soon as there is one. Programs that rewrite what is already
//! sealed make it restart; after [`MAX_REWINDS`] it waits for close.

use std::ops::Range;

use super::shard::{Hashed, Prefix, Shards};
use crate::config::Rapid;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{File, FileId, RevisionId};
use crate::pds::{
    Created, Expect, PartReceipt, PartRequest, PartUrl, UploadKey, UploadedPart, code, is_expired,
};

/// Rewritten shards before an upload stops streaming: the first is a patched header, the second a pattern.
const MAX_REWINDS: u32 = 2;

/// Upload ids one completion may use up: expired, mixed up or refused ones are replaced this often.
const MAX_RESTARTS: u32 = 4;

/// Times one part may be sent for reasons that are not the network's: expired URLs, parts mixed up.
const MAX_PART_TRIES: u32 = 4;

/// What the drive does; learnt, and kept for the life of the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// It takes parts in any order (8.7).
    pub parallel: bool,
    /// It takes `create` without a size (section 1, item 7).
    pub open_ended: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Habits { parallel: true, open_ended: true }
    }
}

/// What the machine sees of its draft.
#[derive(Clone, Debug)]
pub struct View {
    /// Bytes in the file.
    pub size: u64,
    /// Bytes from 0 that are here without a gap.
    pub prefix_end: u64,
    /// Someone waits for completion: the size is final, and every byte is here.
    pub finishing: bool,
    /// Shards may leave before that.
    pub streaming: bool,
}

/// What to do. Results come back through [`Upload::on`].
pub enum Action {
    /// Hash the next shard.
    Hash {
        /// Names this job; comes back with its result.
        job: u64,
        /// Its bytes.
        range: Range<u64>,
        /// The state before it.
        before: Prefix,
    },
    /// Open an upload.
    Create {
        /// Parallel mode.
        parallel: bool,
        /// When known.
        size: Option<u64>,
        /// The SHA-1 of all bytes, when the drive may have them already (8.8).
        content_hash: Option<String>,
        /// The parts to ask URLs for.
        parts: Vec<PartRequest>,
    },
    /// Ask for part URLs.
    Urls(UploadKey, Vec<PartRequest>),
    /// Send a shard.
    Send {
        /// Where.
        url: PartUrl,
        /// Which bytes.
        range: Range<u64>,
    },
    /// Ask which parts have arrived.
    List(UploadKey),
    /// Commit.
    Complete(UploadKey, Expect),
    /// Look at the file that the drive made from bytes it had. Comes back as [`Event::Completed`].
    Verify(FileId, Expect),
}

/// What became of an action.
pub enum Event {
    /// Of [`Action::Hash`], with its job.
    Hashed(u64, Result<Hashed>),
    /// Of [`Action::Create`].
    Created(Result<Created>),
    /// Of [`Action::Urls`].
    Urls(Result<Vec<PartUrl>>),
    /// Of [`Action::Send`], with the part number.
    Sent(u32, Result<PartReceipt>),
    /// Of [`Action::List`].
    Listed(Result<Vec<UploadedPart>>),
    /// Of [`Action::Complete`] and [`Action::Verify`].
    Completed(Result<File>),
}

/// What an event led to.
#[derive(Debug)]
pub enum Outcome {
    /// Step again.
    Continue,
    /// The upload starts again: jobs under way are of no use any more.
    Restart,
    /// The drive has the file.
    Done(Box<File>),
    /// It will not work without someone's help.
    Failed(Error),
}

/// An open upload, as it is kept for the next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Names it.
    pub key: UploadKey,
    /// In parallel mode.
    pub parallel: bool,
    /// Bytes of each part but the last.
    pub shard_len: u64,
}

/// What the drive was last asked to make the file's content. Should it have done so unheard, the file that is
/// found there is no one else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Bytes.
    pub size: u64,
    /// CRC-64/XZ of them.
    pub crc64: u64,
}

enum Phase {
    Idle,
    Creating,
    /// `create` tells the hash: where the drive has the bytes, that completes the file.
    Offering,
    Sending(Transfer),
    /// The drive had the bytes; the file it made is to be looked at.
    Taken(FileId),
    Completing,
    Done,
}

struct Transfer {
    key: UploadKey,
    parallel: bool,
    /// By part number less one.
    parts: Vec<Part>,
    asking: bool,
    listing: bool,
    /// The parts that an earlier run sent.
    earlier: Earlier,
}

enum Earlier {
    None,
    /// It is not known yet which.
    Unknown,
    Listed(Vec<UploadedPart>),
}

struct Part {
    state: PartState,
    tries: u32,
}

enum PartState {
    /// Needs a URL.
    Sealed,
    Ready(PartUrl),
    InFlight,
    /// Its fate is unclear: ask for the list of parts.
    Unclear,
    Sent,
}

/// See the module's documentation.
pub struct Upload {
    shards: Shards,
    phase: Phase,
    /// The hash job under way and its bytes. A result of another job is of bytes that changed since.
    hashing: Option<(u64, Range<u64>)>,
    hash_jobs: u64,
    habits: Habits,
    /// Parts of this upload that may be under way at once.
    concurrency: usize,
    rapid: Rapid,
    rewinds: u32,
    restarts: u32,
    base_revision: Option<RevisionId>,
    /// Who has the name.
    rival: Option<FileId>,
}

impl Upload {
    /// An upload of a draft whose shards are `shard_len` bytes long.
    pub fn new(shard_len: u64, concurrency: usize, habits: Habits, rapid: Rapid) -> Self {
        Upload {
            shards: Shards::new(shard_len),
            phase: Phase::Idle,
            hashing: None,
            hash_jobs: 0,
            habits,
            concurrency: concurrency.max(1),
            rapid,
            rewinds: 0,
            restarts: 0,
            base_revision: None,
            rival: None,
        }
    }

    /// Goes on with an upload of an earlier run. Which parts it has is asked; that they have our bytes is not
    /// known before the CRC-64 of all is compared, and where they have not it starts again.
    #[must_use]
    pub fn resuming(mut self, mark: Mark) -> Self {
        self.shards = Shards::new(mark.shard_len);
        self.phase = Phase::Sending(Transfer {
            key: mark.key,
            parallel: mark.parallel,
            parts: Vec::new(),
            asking: false,
            listing: false,
            earlier: Earlier::Unknown,
        });
        self
    }

    /// The open upload, if there is one.
    pub fn mark(&self) -> Option<Mark> {
        let Phase::Sending(transfer) = &self.phase else { return None };
        let shard_len = self.shards.shard_len();
        Some(Mark { key: transfer.key.clone(), parallel: transfer.parallel, shard_len })
    }

    /// The draft changed after a completion: goes on with the hash states that still hold. Uploads of
    /// files that are completed again and again do not stream.
    pub fn begin_again(&mut self) {
        self.phase = Phase::Idle;
        self.hashing = None;
        self.restarts = 0;
        self.rewinds = MAX_REWINDS;
    }

    /// A failed upload is tried again from a new upload id.
    pub fn retry(&mut self) {
        self.phase = Phase::Idle;
        self.hashing = None;
        self.restarts = 0;
    }

    /// The revision that is being replaced, so that a completion whose reply got lost can be told from none.
    pub fn set_base_revision(&mut self, revision: Option<RevisionId>) {
        self.base_revision = revision;
    }

    /// Who has the name, after `create` was refused for it.
    pub fn rival(&self) -> Option<FileId> {
        self.rival.clone()
    }

    /// What was learnt about the drive.
    pub fn habits(&self) -> Habits {
        self.habits
    }

    /// Bytes the drive has acknowledged.
    pub fn sent_bytes(&self) -> u64 {
        let Phase::Sending(transfer) = &self.phase else {
            let is_sent = matches!(self.phase, Phase::Taken(_) | Phase::Completing | Phase::Done);
            return if is_sent { self.hashed_bytes() } else { 0 };
        };
        let sent = |(index, part): (usize, &Part)| match part.state {
            PartState::Sent => self.shards.range(index).end - self.shards.range(index).start,
            PartState::Sealed | PartState::Ready(_) | PartState::InFlight | PartState::Unclear => 0,
        };
        transfer.parts.iter().enumerate().map(sent).sum()
    }

    fn hashed_bytes(&self) -> u64 {
        match self.shards.sealed() {
            0 => 0,
            sealed => self.shards.range(sealed - 1).end,
        }
    }

    /// Whether what completes the file is under way, during which changes of the file belong to the next revision
    /// and no reply may be missed.
    pub fn is_completing(&self) -> bool {
        matches!(self.phase, Phase::Offering | Phase::Taken(_) | Phase::Completing | Phase::Done)
    }

    /// What is to be done while `complete` is under way: the file that the drive made from bytes it had is looked
    /// at. It has the bytes that were hashed, whatever was written since.
    pub fn verify(&mut self) -> Option<Action> {
        let Phase::Taken(id) = &self.phase else { return None };
        let id = id.clone();
        self.phase = Phase::Completing;
        Some(Action::Verify(id, self.expectation(self.hashed_bytes())))
    }

    /// What an action asks the drive to make the file's content, if it does.
    pub fn commit(&self, action: &Action) -> Option<Commit> {
        match action {
            Action::Complete(_, expect) => Some(Commit { size: expect.size, crc64: expect.crc64 }),
            Action::Create { content_hash: Some(_), size: Some(size), .. } => {
                Some(Commit { size: *size, crc64: self.shards.end().crc64() })
            }
            Action::Hash { .. }
            | Action::Create { .. }
            | Action::Urls(..)
            | Action::Send { .. }
            | Action::List(_)
            | Action::Verify(..) => None,
        }
    }

    /// SHA-1 of the whole file in upper-case hex and its CRC-64, once all of `size` bytes are hashed.
    pub fn hashes(&self, size: u64) -> Option<(String, u64)> {
        let end = self.shards.are_all(size).then(|| self.shards.end())?;
        Some((end.sha1_hex(), end.crc64()))
    }

    /// Bytes from `offset` on changed. True when an upload had to be given up: jobs under way are void.
    pub fn rewind(&mut self, offset: u64) -> bool {
        // A short shard was to be the last: growth behind it makes it another one.
        let shard_len = self.shards.shard_len();
        if self.hashing.as_ref().is_some_and(|(_, range)| offset < range.start + shard_len) {
            self.hashing = None;
        }
        let transferring = matches!(self.phase, Phase::Sending(_) | Phase::Creating);
        if !self.shards.rewind(offset) || !transferring {
            return false;
        }
        self.rewinds += 1;
        self.phase = Phase::Idle;
        true
    }

    /// What to do now; empty when there is nothing or the rest waits for results.
    pub fn step(&mut self, view: &View) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.shards.are_too_many_for(view.size) && !self.is_completing() && self.hashing.is_none() {
            self.shards.restart_for(view.size);
            self.phase = Phase::Idle;
        }
        self.step_hash(view, &mut actions);
        match &self.phase {
            Phase::Idle => self.step_create(view, &mut actions),
            Phase::Sending(_) => self.step_send(view, &mut actions),
            Phase::Taken(_) => actions.extend(self.verify()),
            Phase::Creating | Phase::Offering | Phase::Completing | Phase::Done => {}
        }
        actions
    }

    fn may_hash_early(&self, view: &View) -> bool {
        view.streaming && self.rewinds < MAX_REWINDS
    }

    fn may_stream(&self, view: &View) -> bool {
        self.may_hash_early(view) && self.habits.open_ended && self.rapid != Rapid::Always
    }

    fn step_hash(&mut self, view: &View, actions: &mut Vec<Action>) {
        if self.hashing.is_some() || self.is_completing() || !(view.finishing || self.may_hash_early(view)) {
            return;
        }
        if let Some(range) = self.shards.next(view.prefix_end, view.finishing.then_some(view.size)) {
            self.hash_jobs += 1;
            self.hashing = Some((self.hash_jobs, range.clone()));
            actions.push(Action::Hash { job: self.hash_jobs, range, before: self.shards.end().clone() });
        }
    }

    fn step_create(&mut self, view: &View, actions: &mut Vec<Action>) {
        let complete = view.finishing && self.shards.are_all(view.size);
        let early = self.shards.sealed() > 0 && self.may_stream(view);
        if !complete && !early {
            return;
        }
        let parallel = self.habits.parallel;
        let wanted = self.shards.sealed().min(self.concurrency);
        let parts = (0..wanted).map(|index| self.part_request(index, parallel)).collect();
        // There is nothing to save with an empty file.
        let may_be_known = complete && view.size > 0 && self.rapid != Rapid::Off;
        self.phase = if may_be_known { Phase::Offering } else { Phase::Creating };
        let content_hash = may_be_known.then(|| self.shards.end().sha1_hex());
        actions.push(Action::Create { parallel, size: complete.then_some(view.size), content_hash, parts });
    }

    fn part_request(&self, index: usize, parallel: bool) -> PartRequest {
        PartRequest {
            number: index as u32 + 1,
            sha1_context: parallel.then(|| self.shards.before(index).context()),
        }
    }

    fn step_send(&mut self, view: &View, actions: &mut Vec<Action>) {
        let sealed = self.shards.sealed();
        let all = view.finishing && self.shards.are_all(view.size);
        let Phase::Sending(transfer) = &mut self.phase else { return };
        if matches!(transfer.earlier, Earlier::Unknown) {
            if !transfer.listing {
                transfer.listing = true;
                actions.push(Action::List(transfer.key.clone()));
            }
            return;
        }
        for index in transfer.parts.len()..sealed {
            let range = self.shards.range(index);
            let state = if transfer.has_earlier(index, &range) { PartState::Sent } else { PartState::Sealed };
            transfer.parts.push(Part { state, tries: 0 });
        }
        let limit = if transfer.parallel { self.concurrency } else { 1 };
        let mut busy = transfer.parts.iter().filter(|part| matches!(part.state, PartState::InFlight)).count();
        // URLs are asked for while earlier parts are under way, so that no part waits for its own.
        let mut wanting = Vec::new();
        let mut ready = 0;
        for (index, part) in transfer.parts.iter_mut().enumerate() {
            match &part.state {
                PartState::Ready(url) if busy < limit => {
                    let url = url.clone();
                    part.state = PartState::InFlight;
                    busy += 1;
                    actions.push(Action::Send { url, range: self.shards.range(index) });
                }
                PartState::Ready(_) => ready += 1,
                PartState::Sealed if ready + wanting.len() < limit => wanting.push(index),
                PartState::Sealed | PartState::InFlight | PartState::Sent => {}
                PartState::Unclear => break,
            }
        }
        if transfer.parts.iter().any(|part| matches!(part.state, PartState::Unclear)) && !transfer.listing {
            transfer.listing = true;
            actions.push(Action::List(transfer.key.clone()));
        }
        if !wanting.is_empty() && !transfer.asking {
            transfer.asking = true;
            let (key, parallel) = (transfer.key.clone(), transfer.parallel);
            let parts = wanting.into_iter().map(|index| self.part_request(index, parallel)).collect();
            actions.push(Action::Urls(key, parts));
        } else if all && transfer.parts.iter().all(|part| matches!(part.state, PartState::Sent)) {
            let key = transfer.key.clone();
            self.phase = Phase::Completing;
            actions.push(Action::Complete(key, self.expectation(view.size)));
        }
    }

    fn expectation(&self, size: u64) -> Expect {
        let end = self.shards.end();
        Expect {
            crc64: end.crc64(),
            size,
            sha1: Some(end.sha1_hex()),
            base_revision: self.base_revision.clone(),
        }
    }

    /// Takes in what became of an action.
    pub fn on(&mut self, event: Event) -> Outcome {
        match event {
            Event::Hashed(job, result) => self.on_hashed(job, result),
            Event::Created(Ok(created)) => self.on_created(created),
            Event::Created(Err(error)) => self.on_create_refused(error),
            Event::Urls(result) => self.on_urls(result),
            Event::Sent(number, result) => self.on_sent(number, result),
            Event::Listed(result) => self.on_listed(result),
            Event::Completed(Ok(file)) => {
                self.phase = Phase::Done;
                Outcome::Done(Box::new(file))
            }
            Event::Completed(Err(error)) => match error.kind() {
                Kind::Corrupt => {
                    // Whatever was wrong, also with bytes that the drive had: ours are sent now.
                    self.rapid = Rapid::Off;
                    self.restart(error)
                }
                _ if is_gone(&error) => self.restart(error),
                _ => self.fail(error),
            },
        }
    }

    fn on_hashed(&mut self, job: u64, result: Result<Hashed>) -> Outcome {
        if self.hashing.as_ref().is_none_or(|(current, _)| *current != job) {
            return Outcome::Continue;
        }
        self.hashing = None;
        match result {
            Ok(hashed) => {
                self.shards.seal(hashed);
                Outcome::Continue
            }
            Err(error) => self.fail(error),
        }
    }

    fn on_created(&mut self, created: Created) -> Outcome {
        match created {
            Created::Upload { key, urls, .. } => {
                let mut transfer = Transfer {
                    key,
                    parallel: self.habits.parallel,
                    parts: Vec::new(),
                    asking: false,
                    listing: false,
                    earlier: Earlier::None,
                };
                transfer.give(urls);
                self.phase = Phase::Sending(transfer);
                Outcome::Continue
            }
            Created::Exists(existing) => {
                self.rival = Some(existing.id);
                self.fail(Error::new(
                    Kind::Exists,
                    "create",
                    "another file took this name on the drive in the meantime",
                ))
            }
            Created::Rapid { id, .. } if self.rapid != Rapid::Off => {
                self.phase = Phase::Taken(id);
                Outcome::Continue
            }
            Created::Rapid { .. } | Created::Folder(_) => self.fail(Error::new(
                Kind::Protocol,
                "create",
                "the service answered with something not asked for",
            )),
        }
    }

    fn on_create_refused(&mut self, error: Error) -> Outcome {
        self.phase = Phase::Idle;
        if error.code() == code::PARALLEL_REFUSED && self.habits.parallel {
            self.habits.parallel = false;
            return Outcome::Continue;
        }
        let about_size = error.code().ends_with(".Size") || error.code().ends_with(".size");
        if error.kind() == Kind::Invalid && about_size && self.habits.open_ended {
            self.habits.open_ended = false;
            return Outcome::Continue;
        }
        self.fail(error)
    }

    fn on_urls(&mut self, result: Result<Vec<PartUrl>>) -> Outcome {
        let Phase::Sending(transfer) = &mut self.phase else { return Outcome::Continue };
        transfer.asking = false;
        match result {
            Ok(urls) => {
                transfer.give(urls);
                Outcome::Continue
            }
            Err(error) if is_gone(&error) => self.restart(error),
            Err(error) => self.fail(error),
        }
    }

    fn on_sent(&mut self, number: u32, result: Result<PartReceipt>) -> Outcome {
        let Phase::Sending(transfer) = &mut self.phase else { return Outcome::Continue };
        let index = number as usize - 1;
        let Some(part) = transfer.parts.get_mut(index) else { return Outcome::Continue };
        part.tries += 1;
        let worn_out = part.tries >= MAX_PART_TRIES;
        match result {
            Ok(receipt) if receipt.sent_crc64 == self.shards.crc64(index) => {
                part.state = PartState::Sent;
                Outcome::Continue
            }
            // The bytes changed between hashing and sending. Whoever changed them says so; if nobody does,
            // hashing them again finds out.
            Ok(_) => {
                self.rewind(self.shards.range(index).start);
                self.restart(Error::new(
                    Kind::Corrupt,
                    "send a part",
                    "the local file changes while it is sent",
                ))
            }
            Err(error) if is_gone(&error) => self.restart(error),
            Err(error) if worn_out => self.fail(error),
            Err(error) if is_expired(&error) => {
                part.state = PartState::Sealed;
                Outcome::Continue
            }
            Err(error)
                if error.code() == code::PART_ALREADY_EXIST || error.code() == code::PART_NOT_SEQUENTIAL =>
            {
                part.state = PartState::Unclear;
                Outcome::Continue
            }
            Err(error) if error.kind() == Kind::Corrupt && transfer.parallel => {
                part.state = PartState::Sealed;
                Outcome::Continue
            }
            Err(error) if error.kind() == Kind::Corrupt => self.restart(error),
            Err(error) => self.fail(error),
        }
    }

    fn on_listed(&mut self, result: Result<Vec<UploadedPart>>) -> Outcome {
        let Phase::Sending(transfer) = &mut self.phase else { return Outcome::Continue };
        transfer.listing = false;
        let listed = match result {
            Ok(listed) => listed,
            Err(error) if is_gone(&error) => return self.restart(error),
            Err(error) => return self.fail(error),
        };
        if matches!(transfer.earlier, Earlier::Unknown) {
            transfer.earlier = Earlier::Listed(listed);
            return Outcome::Continue;
        }
        let mut mixed_up = false;
        for (index, part) in transfer.parts.iter_mut().enumerate() {
            let range = self.shards.range(index);
            let stored = listed.iter().find(|stored| stored.number as usize == index + 1);
            part.state = match (&part.state, stored) {
                (PartState::Unclear | PartState::Sent, Some(stored))
                    if stored.len == range.end - range.start =>
                {
                    PartState::Sent
                }
                (PartState::Unclear | PartState::Sent, Some(_)) => {
                    mixed_up = true;
                    PartState::Unclear
                }
                (PartState::Unclear | PartState::Sent, None) => PartState::Sealed,
                (PartState::InFlight, _) => PartState::InFlight,
                (PartState::Sealed | PartState::Ready(_), _) => PartState::Sealed,
            };
        }
        if mixed_up {
            let short = Error::new(Kind::Corrupt, "send a part", "the drive kept only a piece of a part");
            return self.restart(short);
        }
        Outcome::Continue
    }

    fn restart(&mut self, error: Error) -> Outcome {
        self.restarts += 1;
        self.phase = Phase::Idle;
        self.hashing = None;
        if self.restarts > MAX_RESTARTS {
            // An upload that is gone is no missing file to whoever closes one.
            let worn_out = Error::new(Kind::Unavailable, "upload", "the drive keeps giving the upload up");
            return self.fail(if is_gone(&error) { worn_out.caused_by(error) } else { error });
        }
        Outcome::Restart
    }

    fn fail(&mut self, error: Error) -> Outcome {
        self.phase = Phase::Idle;
        self.hashing = None;
        Outcome::Failed(error)
    }
}

impl Transfer {
    /// Whether an earlier run sent this part. In serial mode one that is not whole, or one behind a gap, makes
    /// the service refuse the parts that follow, which starts the upload again.
    fn has_earlier(&self, index: usize, range: &Range<u64>) -> bool {
        let Earlier::Listed(listed) = &self.earlier else { return false };
        let is_it = |part: &&UploadedPart| part.number as usize == index + 1;
        listed.iter().find(is_it).is_some_and(|part| part.len == range.end - range.start)
    }

    fn give(&mut self, urls: Vec<PartUrl>) {
        for url in urls {
            let index = url.number as usize - 1;
            if self.parts.len() <= index {
                self.parts.resize_with(index + 1, || Part { state: PartState::Sealed, tries: 0 });
            }
            if matches!(self.parts[index].state, PartState::Sealed) {
                self.parts[index].state = PartState::Ready(url);
            }
        }
    }
}

/// Whether the service no longer knows the upload.
fn is_gone(error: &Error) -> bool {
    error.code() == code::UPLOAD_NOT_FOUND || error.code() == code::NO_SUCH_UPLOAD
}

#[cfg(test)]
mod tests;
