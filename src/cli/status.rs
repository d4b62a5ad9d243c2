//! `pdsfs status`: what the process behind a mount says about itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::{Value, json};

use super::{talk, watch};
use crate::config::{Exit, Failure, paths};
use crate::error::Error;
use crate::mount::protocol::{Reply, Request};
use crate::mount::table::{self, Entry, printable};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Shows what mounts are doing: what is not on the drive yet, and what went wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pdsfs status
  pdsfs status ~/pds
  pdsfs status --json ~/pds | jq .")]
pub struct StatusArgs {
    /// The folder a drive is mounted on [default: all]
    mountpoint: Option<PathBuf>,
    /// For programs: one JSON object per mount and line [default: off]
    #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
    /// Go on until Ctrl-C, with a bar for each upload on a terminal [default: off]
    #[arg(short, long)]
    watch: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Exit::Mountpoint`] when the named folder is no mount of ours, [`Exit::Temporary`] when one does not
/// answer.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let entries = chosen(args)?;
    if entries.is_empty() && !args.json {
        say!("No drive is mounted. Try: pdsfs mount local: ~/pds");
    }
    if args.watch {
        return watch::run(&entries, args.json);
    }
    let mut failed = None;
    for entry in &entries {
        match of(entry) {
            Ok(status) => show(entry, &status, args.json),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

fn chosen(args: &StatusArgs) -> Result<Vec<Entry>, Failure> {
    let Some(mountpoint) = &args.mountpoint else {
        return Ok(table::read()?.into_iter().filter(Entry::is_ours).collect());
    };
    let wrong = |message: &str| {
        Failure::new(Exit::Mountpoint, format!("status {:?}: {message}", printable(mountpoint)))
    };
    let path = paths::settle(mountpoint).map_err(|error| wrong(&error.to_string()))?;
    Ok(vec![talk::innermost(&path)?.ok_or_else(|| wrong("no drive is mounted there"))?])
}

/// What the process behind one mount says.
///
/// # Errors
/// [`Exit::Temporary`] when it does not answer.
pub fn of(entry: &Entry) -> Result<Value, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start threads", error))?;
    let status = runtime.block_on(ask(entry));
    runtime.shutdown_background();
    status
}

pub(super) async fn ask(entry: &Entry) -> Result<Value, Failure> {
    let mut client = talk::connect(entry).await?;
    client.ask(&Request::Status).await?;
    match client.reply(ANSWER_WITHIN).await? {
        Reply::Status(status) => Ok(status),
        Reply::Failed(failure) => Err(failure),
        Reply::Progress(_) | Reply::Done(_) | Reply::Item(_) | Reply::Alive | Reply::Answer(_) => {
            Err(Failure::new(Exit::Other, "status: an answer to something else"))
        }
    }
}

pub(super) fn show(entry: &Entry, status: &Value, json: bool) {
    let (mountpoint, source) = (printable(&entry.mountpoint), &entry.source);
    if json {
        say!("{}", json!({ "mountpoint": mountpoint, "source": source, "status": status }));
        return;
    }
    say!("{mountpoint}  {source}");
    let mut lines = Vec::new();
    lay_out(status, 1, &mut lines);
    for line in lines {
        say!("{line}");
    }
}

/// `value` as indented `name: value` lines.
fn lay_out(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(name, value)| (format!("{}:", name.replace('_', " ")), value)).collect()
        }
        Value::Array(list) => list.iter().map(|value| ("-".to_owned(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push(format!("{indent}{}", plain(value)));
            return;
        }
    };
    for (label, value) in entries {
        match value {
            Value::Object(map) if !map.is_empty() => {
                lines.push(format!("{indent}{label}"));
                lay_out(value, depth + 1, lines);
            }
            Value::Array(list) if !list.is_empty() => {
                lines.push(format!("{indent}{label}"));
                lay_out(value, depth + 1, lines);
            }
            _ => lines.push(format!("{indent}{label} {}", plain(value))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Value::Array(_) | Value::Object(_) => "none".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_any_shape_is_laid_out() {
        let status = json!({ "dirty_files": 1, "uploads": [{ "path": "a\nb", "done": 5 }], "errors": [] });
        let mut lines = Vec::new();
        lay_out(&status, 1, &mut lines);
        let text = lines.join("\n");
        for part in ["dirty files: 1", "errors: none", "path: a?b", "done: 5"] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
