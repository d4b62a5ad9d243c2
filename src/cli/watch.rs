//! `pdsfs status --watch`: the uploads of mounts as they go, until Ctrl-C.
//!
//! On a terminal there is a bar for each file, with its rate and the time it will take at that rate. Elsewhere the
//! status is written again and again.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::status;
use crate::config::Failure;
use crate::error::Error;
use crate::mount::table::{Entry, printable};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Bars at the same time; a screen has no room for more.
const MAX_BARS: usize = 20;

/// Shows `entries` until Ctrl-C.
///
/// # Errors
/// A mount does not answer.
pub fn run(entries: &[Entry], json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start threads", error))?;
    let done = runtime.block_on(async {
        tokio::select! {
            ended = follow(entries, json) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    runtime.shutdown_background();
    done
}

async fn follow(entries: &[Entry], json: bool) -> Result<(), Failure> {
    let mut bars = (!json && std::io::stderr().is_terminal()).then(Bars::new);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        let mut uploads = Vec::new();
        for entry in entries {
            let status = status::ask(entry).await?;
            match &bars {
                Some(_) => uploads.extend(uploads_of(entry, &status)),
                None => status::show(entry, &status, json),
            }
        }
        if let Some(bars) = &mut bars {
            bars.update(&uploads);
        }
    }
}

/// One file on its way.
struct Upload {
    path: PathBuf,
    done: u64,
    total: u64,
    error: Option<String>,
}

fn uploads_of(entry: &Entry, status: &Value) -> Vec<Upload> {
    let lists = ["uploads", "recovering"].into_iter().filter_map(|key| status[key].as_array());
    let upload = |upload: &Value| Upload {
        path: entry.mountpoint.join(upload["path"].as_str().unwrap_or_default()),
        done: upload["bytes_done"].as_u64().unwrap_or_default(),
        total: upload["bytes_total"].as_u64().unwrap_or_default(),
        error: upload["error"].as_str().map(str::to_owned),
    };
    lists.flatten().map(upload).collect()
}

struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
    files: BTreeMap<PathBuf, ProgressBar>,
}

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let total = screen.add(ProgressBar::new_spinner());
        Bars { screen, total, files: BTreeMap::new() }
    }

    fn update(&mut self, uploads: &[Upload]) {
        let gone = |path: &PathBuf| !uploads.iter().any(|upload| upload.path == *path);
        self.files.retain(|path, bar| {
            if gone(path) {
                bar.finish_and_clear();
            }
            !gone(path)
        });
        for upload in uploads {
            if !self.files.contains_key(&upload.path) && self.files.len() < MAX_BARS {
                let bar = self.screen.add(ProgressBar::new(upload.total));
                if let Ok(style) = ProgressStyle::with_template(
                    "{bar:24} {bytes:>10} / {total_bytes:10} {bytes_per_sec:>12} {eta:>5}  {prefix}{msg}",
                ) {
                    bar.set_style(style);
                }
                bar.set_prefix(printable(&upload.path));
                self.files.insert(upload.path.clone(), bar);
            }
            if let Some(bar) = self.files.get(&upload.path) {
                bar.set_length(upload.total);
                bar.set_position(upload.done);
                bar.set_message(upload.error.as_ref().map_or(String::new(), |error| format!(": {error}")));
            }
        }
        self.total.set_message(match uploads.len() {
            0 => "everything is on the drive".to_owned(),
            1 => "1 file is not on the drive yet".to_owned(),
            files => format!("{files} files are not on the drive yet"),
        });
        self.total.tick();
    }
}
