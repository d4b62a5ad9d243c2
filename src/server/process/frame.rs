//! `video/snapshot`: one picture of a video, by the `ffmpeg` of this machine.
//!
//! The program is told which container it reads and that it may open nothing but this one file, because some
//! formats are lists of other files. It gets one thread and [`DEADLINE`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::{MOST_PIXELS, Made, damaged, not_supported, number, parameters};
use crate::server::reply::DataError;

/// One frame takes a tenth of a second; of a file that takes longer there is no picture.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest picture that is sent on, in bytes.
const MOST_BYTES: u64 = 32 << 20;

/// What `snapshot` was told.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    /// Milliseconds from the start.
    at_ms: u64,
    /// 0 follows from the height, or is the video's own.
    width: u32,
    height: u32,
    png: bool,
}

impl Snapshot {
    /// Reads the action behind `video/`.
    pub fn parse<'a>(mut actions: impl Iterator<Item = &'a str>) -> Result<Snapshot, String> {
        let action = actions.next().unwrap_or_default();
        if action.split(',').next() != Some("snapshot") || actions.next().is_some() {
            return Err(format!("{action:?} is not supported; of videos there is snapshot."));
        }
        let mut snapshot = Snapshot { at_ms: 0, width: 0, height: 0, png: false };
        for (key, value) in parameters(action) {
            match key {
                "t" => snapshot.at_ms = number(key, value, 0, u64::from(u32::MAX))?,
                "w" => snapshot.width = number(key, value, 0, 16_384)?,
                "h" => snapshot.height = number(key, value, 0, 16_384)?,
                "f" if value == "jpg" || value == "png" => snapshot.png = value == "png",
                // Upright it is in any case, and fast.
                "m" | "ar" => {}
                _ => return Err(format!("snapshot has no parameter {key} of value {value:?}.")),
            }
        }
        Ok(snapshot)
    }

    /// Takes it.
    pub async fn make(&self, mime_type: &str, blob: &Path) -> Result<Made, DataError> {
        let program = program().ok_or_else(not_supported)?;
        let container = container(mime_type).ok_or_else(not_supported)?;
        let mut bytes = self.run(program, container, blob, self.at_ms).await?;
        if bytes.is_empty() && self.at_ms > 0 {
            // It is shorter than that.
            bytes = self.run(program, container, blob, 0).await?;
        }
        if bytes.is_empty() {
            return Err(damaged());
        }
        let mime_type = if self.png { "image/png" } else { "image/jpeg" };
        Ok(Made { mime_type, bytes: bytes.into() })
    }

    async fn run(
        &self,
        program: &Path,
        container: &str,
        blob: &Path,
        at_ms: u64,
    ) -> Result<Vec<u8>, DataError> {
        let failed = |error: std::io::Error| DataError::io("take a frame", &error);
        let mut command = Command::new(program);
        command
            .args(["-nostdin", "-hide_banner", "-loglevel", "quiet", "-threads", "1"])
            .args(["-protocol_whitelist", "file", "-max_pixels", &MOST_PIXELS.to_string()])
            .args(["-ss", &format!("{}.{:03}", at_ms / 1000, at_ms % 1000), "-f", container, "-i"])
            .arg(blob)
            .args(["-an", "-sn", "-dn", "-frames:v", "1"]);
        if let Some(scale) = self.scale() {
            command.args(["-vf", &scale]);
        }
        command
            .args(["-c:v", if self.png { "png" } else { "mjpeg" }, "-f", "image2pipe", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let stdout = child.stdout.take();
        let work = async {
            let mut bytes = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(MOST_BYTES).read_to_end(&mut bytes).await?;
            }
            child.wait().await.map(|_| bytes)
        };
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(bytes) => bytes.map_err(failed),
            Err(_) => {
                Err(DataError::new(400, "VideoSnapshotTimeout", "The frame could not be taken in time."))
            }
        }
    }

    fn scale(&self) -> Option<String> {
        match (self.width, self.height) {
            (0, 0) => None,
            (width, 0) => Some(format!("scale={width}:-2")),
            (0, height) => Some(format!("scale=-2:{height}")),
            (width, height) => Some(format!("scale={width}:{height}")),
        }
    }
}

/// What ffmpeg calls the container of a MIME type.
fn container(mime_type: &str) -> Option<&'static str> {
    match mime_type {
        "video/mp4" | "video/quicktime" | "video/x-m4v" | "video/3gpp" | "video/3gpp2" => Some("mov"),
        "video/x-matroska" | "video/webm" => Some("matroska"),
        "video/x-msvideo" => Some("avi"),
        "video/x-flv" => Some("flv"),
        "video/mpeg" => Some("mpeg"),
        "video/mp2t" => Some("mpegts"),
        _ => None,
    }
}

/// Whether frames of this type can be taken, where there is a program for it.
pub fn is_readable(mime_type: &str) -> bool {
    container(mime_type).is_some()
}

/// The program, looked for once.
pub fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let look = || {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join("ffmpeg")).find(|path| path.is_file())
    };
    PROGRAM.get_or_init(look).as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_understood() {
        let parse = |text: &str| Snapshot::parse(text.split('/'));
        let snapshot = parse("snapshot,t_1500,f_png,w_320,h_0,m_fast,ar_auto").unwrap();
        assert_eq!(snapshot, Snapshot { at_ms: 1500, width: 320, height: 0, png: true });
        assert_eq!(snapshot.scale().unwrap(), "scale=320:-2");
        for text in [
            "snapshot,t_-1",
            "snapshot,f_gif",
            "snapshot,w_99999",
            "snapshot,x_1",
            "resize,w_1",
            "snapshot/resize",
        ] {
            parse(text).unwrap_err();
        }
    }
}
