//! Waiting for what happens by itself: uploads that go on behind a program's back, and the facts about images and
//! videos that the service finds out after an upload.

use std::time::{Duration, Instant};

use super::DriveFs;
use super::body::Stage;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::tree::{Ino, Node};

/// How long between two looks at what this machine knows.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long between two questions to the drive, at first and at most.
const ASK_AFTER: Duration = Duration::from_millis(200);
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The content is a verified revision on the drive.
    Uploaded,
    /// And the drive knows what is in it, if it is an image or a video.
    Media,
}

impl DriveFs {
    /// Waits until what is at `path` is on the drive, and for [`WaitFor::Media`] until it has been looked at there.
    /// Folders are.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Timeout`] at `deadline`; what an upload failed with.
    pub async fn wait_for(&self, path: &str, what: WaitFor, deadline: Instant) -> Result<()> {
        let ino = self.at(path).await?.ino;
        self.wait_uploaded(ino, path, deadline).await?;
        let mut pause = ASK_AFTER;
        while what == WaitFor::Media && self.tree.node(ino).is_some_and(|node| lacks_media(&node)) {
            pause_before(deadline, pause, "the drive has not looked at it", path).await?;
            pause = (pause * 2).min(ASK_EVERY);
            self.feed.refresh(&self.pds, &self.tree, Duration::ZERO).await?;
        }
        match self.tree.node(ino).filter(|node| node.linked) {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::NotFound, "wait", "it was removed meanwhile").on(path)),
        }
    }

    async fn wait_uploaded(&self, ino: Ino, path: &str, deadline: Instant) -> Result<()> {
        loop {
            let body = lock(&self.bodies).get(&ino).cloned();
            let Some(Stage::Draft { draft, .. }) = body.map(|body| body.stage()) else { return Ok(()) };
            if let Some(error) = draft.failure() {
                return Err(error.on(path));
            }
            if !draft.is_dirty() {
                return Ok(());
            }
            pause_before(deadline, LOOK_EVERY, "it is not on the drive yet", path).await?;
        }
    }
}

/// Whether the service will still tell what is in a file. Other kinds of files have nothing to tell.
fn lacks_media(node: &Node) -> bool {
    let Some(file) = node.file.as_ref().filter(|file| !file.is_folder()) else { return false };
    let fields = file.json();
    let field = match fields["category"].as_str() {
        Some("image") => "image_media_metadata",
        Some("video") => "video_media_metadata",
        _ => return false,
    };
    fields[field].as_object().is_none_or(serde_json::Map::is_empty)
}

async fn pause_before(deadline: Instant, pause: Duration, why: &str, path: &str) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::new(Kind::Timeout, "wait", why).on(path));
    }
    tokio::time::sleep(pause.min(left)).await;
    Ok(())
}
