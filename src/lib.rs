//! # pdsfs
//!
//! Mounts a drive of Alibaba Cloud PDS as a Linux filesystem.

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
