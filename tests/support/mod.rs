//! What integration tests share. Each of them uses only a part.
#![allow(dead_code)]

pub mod corpus;
pub mod hashes;
