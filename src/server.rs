//! Stub of the embedded server.
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::Result;

/// Stub.
pub struct ServerOptions {
    /// Stub.
    pub data: PathBuf,
    /// Stub.
    pub listen: SocketAddr,
    /// Stub.
    pub public_url: Option<String>,
    /// Stub.
    pub access_token: Option<String>,
}
impl ServerOptions {
    /// Stub.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        ServerOptions { data: data.into(), listen, public_url: None, access_token: None }
    }
}
/// Stub.
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    url: String,
}
impl Server {
    /// Stub.
    pub fn start(options: ServerOptions) -> Result<Self> {
        let failed = |error| crate::error::Error::io("start server", error);
        std::fs::create_dir_all(&options.data).map_err(failed)?;
        let listener = std::net::TcpListener::bind(options.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let url = options.public_url.unwrap_or_else(|| format!("http://{address}"));
        Ok(Server { listener, address, url })
    }
    /// Stub.
    pub fn url(&self) -> &str {
        &self.url
    }
    /// Stub.
    pub fn access_token(&self) -> &str {
        "stub-token"
    }
    /// Stub.
    pub fn drive_id(&self) -> &str {
        "1"
    }
    /// Stub.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Stub.
    pub fn stop(self) {
        drop(self.listener);
    }
}
