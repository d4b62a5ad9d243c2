//! The life of a mount as its user meets it: it begins, is refused, is killed, goes on, ends.
//!
//! | file | what it tries |
//! |---|---|
//! | `beginning.rs` | what `pdsfs mount` does and refuses, with which words and exit code |
//! | `crash.rs` | `kill -9` at random moments of writing |
//! | `ending.rs` | umount, busy, signals, `kill -9`, and what is there afterwards |
//! | `serving.rs` | a drive of `pdsfs serve` in another process: tokens, restarts, what is never told |
//! | `trouble.rs` | full disks and drives, servers that answer nonsense |
//! | `uploads.rs` | what is not on the drive: listed, exported, discarded, sent |

#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

#[path = "mounting/beginning.rs"]
mod beginning;
#[path = "mounting/crash.rs"]
mod crash;
#[path = "mounting/ending.rs"]
mod ending;
#[path = "mounting/serving.rs"]
mod serving;
mod support;
#[path = "mounting/trouble.rs"]
mod trouble;
#[path = "mounting/uploads.rs"]
mod uploads;
