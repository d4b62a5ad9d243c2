//! pdsfs mounts a drive of Alibaba Cloud PDS (Drive and Photo Service) as a Linux filesystem.
//!
//! This page is the map: what the parts are, which ideas they share, and the rules that hold everywhere.
//! What users see is in the README. Section numbers in comments (`8.7`) are those of the API reference
//! `pds-api.md`.
//!
//! # The picture
//!
//! ```text
//!  cp  rsync  vim  getfattr  ...                     pdsfs umount, status
//!        | system calls                                     | socket
//!     /dev/fuse                                             |
//!        |                                                  |
//!      fuse      decodes, calls, encodes          mount   a mount's life: ready, drain, unmount
//!        |       never waits for the network        |
//!        +--------------------+---------------------+
//!                             |
//!                            fs       one method per operation; joins what is below
//!            +----------------+-----------------+
//!            |                |                 |
//!          tree             write              read
//!   names, inodes, what   drafts: hash,    what to fetch for a read,
//!   the drive said last;  shards, upload,  one fetch per range
//!   the change feed       journal             |
//!            |                |                 |
//!            |                +----- content ---+    one sparse local file per revision or draft
//!            |                |                 |
//!            +----------- pds: the API client --+    tokens, deadlines, retries, checks
//!                             | HTTP
//!              a PDS, or  server: an embedded one, in this process or another
//! ```
//!
//! # Four ideas
//!
//! **One local copy.** The bytes of a file on this machine are in one sparse file with a set of extents that
//! are present ([`content`]). A program's writes fill it, fetches fill it, uploads read it, eviction punches
//! holes into it. What was just written is the read cache of the new revision, by renaming and without a
//! copy. There is one mechanism for small, large, sequential and random.
//!
//! **Shards leave while the file is still being written.** When the contiguous prefix of a new file passes a
//! shard's end, that shard is hashed and sent. At close only the tail and `complete` are left. Rewriting
//! what was sent restarts the upload; the hashes up to that place are kept ([`mod@write`]).
//!
//! **What is known is kept true, not asked again.** Directories are listed once and then follow the drive's
//! change feed. A poll no older than `--attr-timeout` is joined by everyone, so `ls`, `stat` and `getfattr`
//! cost at most one shared request, however many files they look at ([`tree`]).
//!
//! **The wire is the only seam.** Without an account an embedded server runs behind a loopback socket, and
//! the client cannot tell. Nothing is mocked: tests run against that server and order its faults there
//! ([`server`]). Client and server share no code and no types, so that one mistake cannot pass on both sides.
//!
//! # Modules
//!
//! | module | question it answers |
//! |---|---|
//! | [`cli`] | what did the user ask for, and what is said at the end |
//! | [`mount`] | how a mount begins, drains and ends; the background; stale mountpoints |
//! | [`fuse`] | how the kernel's requests become calls of [`fs`], and errors become errno |
//! | [`fs`] | what does each operation mean; open handles; who waits for what; attributes; recovery |
//! | [`tree`] | what is where, as far as the drive told us |
//! | [`mod@write`] | how does a draft reach the drive; what survives a crash (the journal) |
//! | [`read`] | which bytes to fetch, and when |
//! | [`content`] | which bytes are here, and which of them to give up |
//! | [`budget`] | how much memory may be used for buffers |
//! | [`pds`] | how to call the service so that "done" and "not done" are never confused |
//! | [`server`] | the embedded PDS |
//! | [`config`] | what can be chosen, within which bounds; where things live; exit codes |
//! | [`error`] | what an error means; the only place with errno numbers |
//!
//! Imports go downwards: `main > cli > mount > fuse > fs > {tree, write, read} > {content, budget, pds} >
//! {config, error}`, and `cli > server > {config, error}`. `tree`, `write` and `read` meet only in `fs`;
//! `server` and `pds` never meet. `fuser` is named only in `fuse` and `mount`, `reqwest` only in `pds`.
//! `tests/layering.rs` keeps this true.
//!
//! # What happens when a file is copied in
//!
//! 1. `create`: [`tree`] gets a node without an id, [`content`] a draft, [`mod@write`] a task for it. The drive
//!    is asked for nothing but news.
//! 2. `write`: the bytes go to the draft's local file and the call returns. The draft's task looks at the
//!    prefix and lets the state machine [`write::upload`] decide: hash, create, send.
//! 3. `flush` (close): [`fs::handle::on_close`] decides whether this is the close that must tell the truth.
//!    If so it waits for the upload: tail, `complete`, comparison of size and CRC-64 with ours.
//! 4. The draft becomes the content of the revision that the drive named; the node gets its File.
//!
//! Copying out is the reverse: `open` pins a revision, [`read::window`] plans from the handle's history, each
//! range is fetched once and wakes its readers as bytes come in. Reads of bytes that are here are answered
//! on the kernel's thread.
//!
//! # What a command asks of a running mount
//!
//! `getfattr` and `pdsfs info` need no daemon: attributes come through the kernel. What takes time or has many
//! pieces is a [`mount::protocol::Job`]: a command sends it over the control socket, [`mount::jobs`] calls the
//! core, the pieces travel back as they come, and a command that hangs up ends its job.
//!
//! # Threads and tasks
//!
//! Four kernel threads ([`fuse`]) and one tokio runtime. A kernel thread answers from memory and local disk
//! (methods named `*_now`); whatever needs the network is answered from a task, and the late reply is the
//! back-pressure. Every task belongs to something that waits for it at the end: requests and recovery to
//! [`fs::DriveFs`], fetches to [`read::Reader`], uploads to [`write::Writer`].
//!
//! # Locks
//!
//! Plain mutexes are never held across an await, and async ones never two of a kind at a time.
//!
//! ```text
//! async, each held while the drive is asked:
//!   Body::completing  >  Remote::lease        a completion waits for fetches, which take leases
//!   one directory's load;  the feed's poll;  the drive's space      none of these inside another
//!
//! plain, from the outside in:
//!   DriveFs::recovering, DirHandle::entries
//!     > DriveFs::bodies
//!       > a body's state
//!         > tree | store (its index > its map) | a draft's state
//!           > a content's state
//!   Remote's list of fetches > a content's state
//!   leaves: tree, journal, handles, windows, a content's state
//! ```
//!
//! The tree's lock and a content's lock are held for map and extent work only, except that a content writes
//! its local file under its lock: extents and bytes must not disagree.
//!
//! # Invariants
//!
//! - Close says 0 only for bytes that the drive has acknowledged with our size and our CRC-64.
//! - Bytes that only this machine has are never evicted, and never deleted unless a program unlinked them or
//!   they are on the drive. An error keeps them, names them in the status, and records them in the journal.
//! - All reads of a handle come from one revision, or fail with ESTALE.
//! - A fetched byte never overwrites a written one.
//! - Older news never overwrites newer: what changed here after a listing was asked for stays ([`tree`]).
//! - An errno is made from an error's kind in one table, [`error::Kind::errno`].
//! - No token and no signed URL is in an error, a log, `Debug` or an attribute (but with `--xattr-urls`).
//! - Every wait ends, every queue and cache has a bound; the numbers are constants with their reason.
//!
//! # Deliberately absent
//!
//! - A trait over the service or over storage: there is one client, and tests talk to a real server.
//! - The kernel's write-back cache: it would make the kernel ignore sizes and times set elsewhere.
//! - Hard links and devices: the drive has files and folders, and says EPERM otherwise.
//! - A second kind of buffer for small files, or for streams.

pub mod budget;
pub mod cli;
pub mod config;
pub mod content;
pub mod error;
pub mod fs;
pub mod fuse;
pub mod mount;
pub mod pds;
pub mod read;
pub mod server;
pub mod tree;
pub mod write;
