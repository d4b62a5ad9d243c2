//! The commands.

pub mod info;
