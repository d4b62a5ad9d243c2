//! Stub.
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Stub.
pub fn run(_path: &Path, _json: bool) -> Result<()> {
    Err(Error::new(Kind::Unsupported, "info", "not yet"))
}
