//! # pdsfs
//!
//! Mounts a drive of Alibaba Cloud PDS as a Linux filesystem.

pub mod cli;
pub mod config;
pub mod error;
pub mod fs;
pub mod fuse;
pub mod mount;
pub mod pds;
pub mod server;
