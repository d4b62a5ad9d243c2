//! # pdsfs
//!
//! Mounts a drive of Alibaba Cloud PDS as a Linux filesystem.

pub mod cli;
pub mod error;
pub mod fs;
pub mod pds;
