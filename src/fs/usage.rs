//! How much is below a folder: sizes and counts, from what is known; folders that are not are listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DriveFs;
use crate::error::{Kind, Result};
use crate::pds::model::FileKind;
use crate::tree::{DirEntry, Ino};

/// Folders that are listed at the same time.
const WALKERS: usize = 12;

/// Sizes and counts.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// Of all files, as `stat` shows them.
    bytes: u64,
    files: u64,
    folders: u64,
}

impl Usage {
    fn add(&mut self, other: Usage) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.files += other.files;
        self.folders += other.folders;
    }

    fn describe(self, path: &str) -> Value {
        json!({ "path": path, "bytes": self.bytes, "files": self.files, "folders": self.folders })
    }
}

impl DriveFs {
    /// Tells how much is below each folder in the folder at `path`, one item each, in the order of names: `path`,
    /// `bytes`, `files`, `folders`, the folder itself not counted. The same of everything below `path` is the answer;
    /// of a file, its own size.
    ///
    /// # Errors
    /// What kept a folder from being read: a part is never told as the whole.
    pub async fn usage(&self, path: &str, items: &mpsc::Sender<Value>) -> Result<Value> {
        let node = self.at(path).await?;
        if !node.is_folder() {
            return Ok(Usage { files: 1, bytes: self.bytes_of(node.ino), folders: 0 }.describe(path));
        }
        // A folder, and the name below `path` that it counts for; `None` for `path` itself.
        let mut waiting: Vec<(Ino, Option<Arc<str>>)> = vec![(node.ino, None)];
        let mut parts: BTreeMap<Arc<str>, Usage> = BTreeMap::new();
        let mut total = Usage::default();
        let mut listing = FuturesUnordered::new();
        loop {
            while listing.len() < WALKERS
                && let Some((dir, part)) = waiting.pop()
            {
                listing.push(async move { (part, self.listed(dir).await) });
            }
            let Some((part, entries)) = listing.next().await else { break };
            let mut here = Usage::default();
            for entry in entries? {
                if entry.kind == FileKind::File {
                    here.add(Usage { files: 1, bytes: self.bytes_of(entry.ino), folders: 0 });
                    continue;
                }
                here.folders += 1;
                let part = part.clone().unwrap_or_else(|| Arc::clone(&entry.name));
                parts.entry(Arc::clone(&part)).or_default();
                waiting.push((entry.ino, Some(part)));
            }
            total.add(here);
            if let Some(part) = part {
                parts.entry(part).or_default().add(here);
            }
        }
        for (name, usage) in parts {
            let path = if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
            if items.send(usage.describe(&path)).await.is_err() {
                break;
            }
        }
        Ok(total.describe(path))
    }

    /// The entries of a folder; none of one that was removed meanwhile.
    async fn listed(&self, dir: Ino) -> Result<Vec<DirEntry>> {
        match self.load(dir).await {
            Ok(()) => Ok(self.tree.entries(dir)),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Stale) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What `stat` shows as its size.
    fn bytes_of(&self, ino: Ino) -> u64 {
        self.stat_cached(ino).map_or(0, |stat| stat.newer.map_or(stat.node.size, |newer| newer.size))
    }
}
