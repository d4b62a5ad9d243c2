//! Telling programs what changes on the drive: they cannot get inotify for what others do.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::DriveFs;
use crate::error::{Error, Kind, Result};
use crate::pds::DeltaOp;
use crate::tree::feed::Seen;

/// Watchers at the same time: other commands need the control socket, too.
const MAX_WATCHERS: usize = 4;
/// While somebody watches, the feed is asked this often at most.
const ASK_EVERY: Duration = Duration::from_secs(1);

impl DriveFs {
    /// Tells what changes at or below the path `under`, from now on and until the listener is gone. The first item says
    /// that it begins. Each has `change` in one word, `path`, and `from` where it had another path.
    ///
    /// `rescan` means that changes were missed: anything may have changed.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the drive has no feed; [`Kind::Busy`] when too many watch already.
    pub async fn watch(&self, under: &str, items: &mpsc::Sender<Value>) -> Result<()> {
        const OP: &str = "watch";
        self.at(under).await?;
        // What happened before is news to nobody.
        self.feed.refresh(&self.pds, &self.tree, Duration::ZERO).await?;
        if !self.feed.is_on() {
            let why = "this drive does not tell what changes (it has no change feed)";
            return Err(Error::new(Kind::Unsupported, OP, why));
        }
        let mut news = self.feed.watch(MAX_WATCHERS).ok_or_else(|| {
            Error::new(Kind::Busy, OP, format!("{MAX_WATCHERS} programs watch this mount already"))
        })?;
        if items.send(json!({ "change": "watching", "path": under })).await.is_err() {
            return Ok(());
        }
        let asking = async {
            loop {
                tokio::time::sleep(ASK_EVERY).await;
                if let Err(error) = self.feed.refresh(&self.pds, &self.tree, ASK_EVERY).await {
                    tracing::debug!(%error, "the change feed cannot be read now");
                }
            }
        };
        tokio::select! {
            () = asking => Ok(()),
            () = self.tell_news(under, &mut news, items) => Ok(()),
            () = self.follower.ended() => Ok(()),
        }
    }

    async fn tell_news(
        &self,
        under: &str,
        news: &mut broadcast::Receiver<Seen>,
        items: &mpsc::Sender<Value>,
    ) {
        loop {
            let item = match news.recv().await {
                Ok(seen) => self.describe_news(seen, under).await,
                Err(RecvError::Lagged(_)) => Some(json!({ "change": "rescan", "path": under })),
                Err(RecvError::Closed) => return,
            };
            if let Some(item) = item
                && items.send(item).await.is_err()
            {
                return;
            }
        }
    }

    /// `None` for what is elsewhere, and for what is gone and never was looked at here.
    async fn describe_news(&self, seen: Seen, under: &str) -> Option<Value> {
        let Seen::Changed { op, id, file, before, after } = seen else {
            return Some(json!({ "change": "rescan", "path": under }));
        };
        let is_gone = matches!(op, DeltaOp::Trash | DeltaOp::Delete);
        let folder = file.as_ref().map(|file| file.is_folder());
        let path = match (after, is_gone) {
            (Some(after), false) => after,
            (_, true) if before.is_some() => before.clone()?,
            // Not looked at before: its folders are now.
            (_, false) => {
                let ino = self.place(file.as_deref()?, &mut HashMap::new()).await.ok()??;
                self.tree.path(ino)
            }
            // It was removed here, and its folder may still be known.
            (_, true) => {
                let file = file.as_deref()?;
                let parent = self.tree.path(self.tree.by_id(file.parent.as_ref()?)?);
                if parent.is_empty() { file.name.to_string() } else { format!("{parent}/{}", file.name) }
            }
        };
        let from = before.filter(|before| *before != path);
        let is_below = |path: &str| {
            under.is_empty()
                || path == under
                || path.strip_prefix(under).is_some_and(|rest| rest.starts_with('/'))
        };
        if !is_below(&path) && !from.as_deref().is_some_and(is_below) {
            return None;
        }
        let mut item = json!({ "change": word(op), "path": path, "id": id.as_str() });
        if let Some(from) = from {
            item["from"] = from.into();
        }
        if let Some(folder) = folder {
            item["folder"] = folder.into();
        }
        Some(item)
    }
}

fn word(op: DeltaOp) -> &'static str {
    match op {
        DeltaOp::Create => "created",
        DeltaOp::Overwrite => "changed",
        DeltaOp::Update => "attributes",
        DeltaOp::Move => "moved",
        DeltaOp::Rename => "renamed",
        DeltaOp::Trash => "trashed",
        DeltaOp::Restore => "restored",
        DeltaOp::Delete => "deleted",
        DeltaOp::Other => "other",
    }
}
