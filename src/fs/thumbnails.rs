//! The service's thumbnails of files, by path.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DriveFs;
use crate::error::Result;

/// Thumbnails that are fetched at the same time.
const AT_ONCE: usize = 8;

impl DriveFs {
    /// Sends a description of each thumbnail to `items`: `path`, and `picture` in base64 (`null` when the service
    /// makes none) or `error`. `pixels` is the longest side.
    pub async fn thumbnails(&self, paths: Vec<String>, pixels: u32, items: &mpsc::Sender<Value>) {
        let one = |path: String| async move {
            match self.thumbnail(&path, pixels).await {
                Ok(picture) => {
                    json!({ "path": path, "picture": picture.map(|bytes| STANDARD.encode(bytes)) })
                }
                Err(error) => json!({ "path": path, "error": error.to_string() }),
            }
        };
        let mut made = stream::iter(paths).map(one).buffer_unordered(AT_ONCE);
        while let Some(item) = made.next().await {
            if items.send(item).await.is_err() {
                return;
            }
        }
    }

    async fn thumbnail(&self, path: &str, pixels: u32) -> Result<Option<Vec<u8>>> {
        let node = self.at(path).await?;
        match node.id().filter(|_| !node.is_folder()) {
            Some(id) => self.pds.thumbnail(id, pixels).await.map_err(|error| error.on(path)),
            None => Ok(None),
        }
    }
}
