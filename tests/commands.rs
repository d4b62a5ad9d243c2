//! Ordinary programs on a real mount of the real binary: what a person types must do what it does on a local disk.
//!
//! | file | what it tries |
//! |---|---|
//! | `copying.rs` | cp, mv, tar, rsync, zip, Python's shutil, of files of all sizes and of trees |
//! | `xattr_copying.rs` | the same tools told to keep extended attributes, in both directions, as root and as a user |
//! | `writing.rs` | programs that write in pieces, in place, behind holes, twice, from two processes |
//! | `saving.rs` | editors, databases, git: temporary file and rename, locks, fsync |
//! | `cache.rs` | `pdsfs cache`: how much is here, and giving it back |
//! | `versions.rs` | `pdsfs versions`: what a file was before |
//! | `news.rs` | `pdsfs watch` |
//! | `du.rs` | `pdsfs du` |
//! | `looking.rs` | ls, find, du, df, stat, and what is refused with which words |
//!
//! A test that says "quiet" means it: exit code 0 and nothing on standard error.

#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

#[path = "commands/cache.rs"]
mod cache;
#[path = "commands/copying.rs"]
mod copying;
#[path = "commands/du.rs"]
mod du;
#[path = "commands/looking.rs"]
mod looking;
#[path = "commands/news.rs"]
mod news;
#[path = "commands/posix.rs"]
mod posix;
#[path = "commands/saving.rs"]
mod saving;
mod support;
#[path = "commands/trash.rs"]
mod trash;
#[path = "commands/versions.rs"]
mod versions;
#[path = "commands/writing.rs"]
mod writing;
#[path = "commands/xattr_copying.rs"]
mod xattr_copying;
