//! What integration tests share. Each of them uses only a part.
#![allow(dead_code, unused_imports, clippy::print_stdout, clippy::print_stderr)]

pub mod corpus;
pub mod disk;
pub mod drive;
pub mod hashes;
pub mod mount;
pub mod serve;

pub use hashes::{crc64, sha1_hex_upper};
pub use mount::{Home, Mount, Said};
pub use serve::Serve;
