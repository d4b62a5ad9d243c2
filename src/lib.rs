//! # pdsfs
//!
//! Mounts a drive of Alibaba Cloud PDS as a Linux filesystem.

pub mod budget;
pub mod cli;
pub mod content;
pub mod error;
pub mod fs;
pub mod pds;
pub mod read;
pub mod tree;
pub mod write;
