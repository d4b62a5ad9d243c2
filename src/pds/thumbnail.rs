//! Thumbnails that the service makes of images and videos (12.4).

use serde_json::json;
use tokio::time::timeout;

use super::Pds;
use super::blob::{Tries, accepted};
use super::failure::{self, Failure};
use super::lease::{self, DownloadUrl};
use super::metadata::text;
use super::model::FileId;
use super::transport::{Call, Transport, collect};
use crate::error::Result;

/// The longest thumbnail that is taken, in bytes: larger ones are none.
const MAX_THUMBNAIL_BYTES: usize = 2 << 20;
/// The most pixels along a side that are asked for.
pub const MAX_THUMBNAIL_PIXELS: u32 = 1_024;

impl Pds {
    /// A picture (JPEG, PNG, ...) of an image or video that fits into a square of `pixels`, at most
    /// [`MAX_THUMBNAIL_PIXELS`]; `None` when the service makes none of this file.
    ///
    /// # Errors
    /// [`crate::error::Kind::NotFound`] when the file is gone; what keeps the picture from being read.
    pub async fn thumbnail(&self, id: &FileId, pixels: u32) -> Result<Option<Vec<u8>>> {
        const OP: &str = "get thumbnail";
        const NAME: &str = "pdsfs";
        let pixels = pixels.clamp(1, MAX_THUMBNAIL_PIXELS);
        let body = json!({
            "drive_id": self.drive_id().as_str(), "file_id": id.as_str(), "fields": "*",
            "thumbnail_processes": { NAME: {
                "image_thumbnail_process": format!("image/resize,m_lfit,h_{pixels},w_{pixels}"),
                "video_thumbnail_process": format!("video/snapshot,t_1000,f_jpg,w_{pixels},h_0,m_fast,ar_auto"),
            } },
        });
        let reply = self.transport.call(Call::new(OP, id.as_str(), "file/get", body)).await?;
        let Some(urls) = reply.value.get("thumbnail_urls") else { return Ok(None) };
        let url = text(urls, NAME);
        if url.is_empty() {
            return Ok(None);
        }
        let url = lease::parse(OP, &url).map_err(|error| error.on(id))?;
        let now = std::time::Instant::now();
        let lease = DownloadUrl {
            expires_at: lease::expires_at(&url, now, reply.server_now),
            size: None,
            crc64: None,
            url,
        };
        let mut tries = Tries::new(&self.transport, OP);
        loop {
            self.transport.pass_data_gate().await;
            match fetch(&self.transport, OP, &lease).await {
                Ok(picture) => return Ok(Some(picture)),
                Err(failure) => tries.after(failure).await.map_err(|error| error.on(id))?,
            }
        }
    }
}

async fn fetch(transport: &Transport, op: &'static str, url: &DownloadUrl) -> Result<Vec<u8>, Failure> {
    let _permit = transport.data_permit(op).await.map_err(Failure::fatal)?;
    let host = lease::host(&url.url);
    let silent = |_| Failure::timeout(op, format!("{host} does not answer"), false);
    let request = transport.http.get(url.url.clone()).send();
    let response = timeout(transport.options.stall_timeout, request).await.map_err(silent)?;
    let response = response.map_err(|error| failure::from_network(op, &host, error))?;
    let response = accepted(transport, op, &host, response).await?;
    let body = collect(op, &host, response, MAX_THUMBNAIL_BYTES);
    timeout(transport.options.op_timeout, body).await.map_err(silent)?
}
