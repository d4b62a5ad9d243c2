//! The service's API client.
pub mod model;

use std::path::PathBuf;
use std::time::Duration;

/// Stub.
#[derive(Clone)]
pub struct Secret(String);
impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Secret(secret)
    }
}
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
/// Stub.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Stub.
    Token(Secret),
    /// Stub.
    TokenFile(PathBuf),
}
/// Stub.
#[derive(Clone, Debug)]
pub struct PdsOptions {
    /// Stub.
    pub endpoint: String,
    /// Stub.
    pub drive_id: String,
    /// Stub.
    pub credentials: Credentials,
    /// Stub.
    pub op_timeout: Duration,
    /// Stub.
    pub stall_timeout: Duration,
    /// Stub.
    pub connect_timeout: Duration,
    /// Stub.
    pub retries: u32,
    /// Stub.
    pub connections: usize,
}
/// Stub.
#[derive(Clone)]
pub struct Pds(PdsOptions);
impl Pds {
    /// Stub.
    pub fn new(options: PdsOptions) -> crate::error::Result<Self> {
        Ok(Pds(options))
    }
    /// Stub.
    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }
}
