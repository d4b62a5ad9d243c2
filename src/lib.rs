//! # pdsfs
//!
//! Mounts a drive of Alibaba Cloud PDS as a Linux filesystem.

pub mod error;
pub mod pds;
pub mod server;
