//! The drive's recycle bin: what is in it, bringing back, deleting for good.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DriveFs;
use crate::error::Result;
use crate::pds::model::FileId;

impl DriveFs {
    /// Tells what is in the recycle bin, entry by entry.
    ///
    /// # Errors
    /// What the service says.
    pub async fn trash_list(&self, items: &mpsc::Sender<Value>) -> Result<()> {
        let mut marker = String::new();
        loop {
            let page = self.pds.bin(&marker).await?;
            for file in page.files {
                let item = json!({
                    "id": file.id.as_str(), "name": file.name, "size": file.size, "folder": file.is_folder(),
                    "trashed_at": file.json()["trashed_at"],
                });
                if items.send(item).await.is_err() {
                    return Ok(());
                }
            }
            match page.next {
                Some(next) => marker = next,
                None => return Ok(()),
            }
        }
    }

    /// Brings entries of the recycle bin back to where they were, or deletes them for good, and tells of each.
    ///
    /// # Errors
    /// None: what the service says to one entry is told with it.
    pub async fn trash_end(&self, ids: &[String], restore: bool, items: &mpsc::Sender<Value>) -> Result<()> {
        for id in ids {
            let file = FileId::from(&**id);
            let done = if restore { self.pds.restore(&file).await } else { self.pds.delete(&file).await };
            let error = done.err().map(|error| error.message().to_owned());
            if items.send(json!({ "id": id, "error": error })).await.is_err() {
                return Ok(());
            }
        }
        // What came back is seen at once.
        self.feed.refresh(&self.pds, &self.tree, std::time::Duration::ZERO).await
    }
}
