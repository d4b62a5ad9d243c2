//! Going to the background, with an honest answer.
//!
//! A process with threads cannot fork, so the command starts itself again: the child (which knows by
//! [`CHILD_ENV`]) leaves the terminal's session, logs to a file, and says exactly one [`Word`] line on its
//! standard output, which is a pipe to the waiting parent: ready, or what failed. The parent ends with that
//! answer. A child that dies without a word is told with the last lines of its log; one that says nothing
//! for too long is stopped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::Ready;
use crate::config::{Exit, Failure, paths};
use crate::error::Error;

/// Set in the environment of the child.
pub const CHILD_ENV: &str = "PDSFS_INTERNAL_CHILD";
/// The longest line of the child, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// How long a child that was asked to stop, or said it failed, may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How much of the log's end is looked at, in bytes, and how many lines of it are shown.
const TAIL_BYTES: u64 = 4 << 10;
const TAIL_LINES: usize = 5;

/// What the child says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The mount answers.
    Ready(Ready),
    /// It does not, and will not.
    Failed(Failure),
}

/// Whether this process is the child of [`launch`].
pub fn is_child() -> bool {
    std::env::var_os(CHILD_ENV).is_some()
}

/// The child's first step: its own session, so that the terminal's signals and its closing do not reach it.
pub fn detach() {
    // Fails only for a process that leads a group already, which then has its own.
    let _ = rustix::process::setsid();
}

/// The child's one word.
///
/// # Errors
/// [`Exit::Interrupted`] when the parent is gone: nobody knows of this mount, so it must not stay.
pub fn say(word: &Word) -> Result<(), Failure> {
    let gone = || Failure::new(Exit::Interrupted, "mount: the command that started this was interrupted");
    let mut line = serde_json::to_vec(word).map_err(|_| gone())?;
    line.push(b'\n');
    let mut pipe = std::io::stdout().lock();
    pipe.write_all(&line).and_then(|()| pipe.flush()).map_err(|_| gone())
}

/// Starts `command` as the child, its errors going to `log`, and waits up to `within` for its word.
///
/// # Errors
/// The child's own failure; or that it died, with the end of its log; or [`Exit::Temporary`] when it said
/// nothing in time and was stopped.
pub fn launch(command: &mut Command, log: &Path, within: Duration) -> Result<Ready, Failure> {
    let file = open_log(log)?;
    let before = file.metadata().map_or(0, |metadata| metadata.len());
    let spawned =
        command.env(CHILD_ENV, "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn();
    let mut child = spawned.map_err(|error| Error::io("start background process", error))?;
    match first_line(&mut child, within) {
        Said::Line(line) => match serde_json::from_str(&line) {
            Ok(Word::Ready(ready)) => Ok(ready),
            Ok(Word::Failed(failure)) => {
                end(&mut child);
                Err(failure)
            }
            Err(_) => {
                stop(&mut child);
                Err(died("said something that makes no sense", log, before))
            }
        },
        Said::Nothing => {
            let how = end(&mut child)
                .map_or_else(|| "was stopped".to_owned(), |status| format!("ended ({status})"));
            Err(died(&how, log, before))
        }
        Said::TooLate => {
            stop(&mut child);
            let message = format!(
                "mount: not ready within {} s, stopped it. Wait longer with --daemon-wait, or see {:?}",
                within.as_secs(),
                log.display()
            );
            Err(Failure::new(Exit::Temporary, message))
        }
    }
}

fn open_log(log: &Path) -> Result<File, Failure> {
    let failed = |error| Failure::from(Error::io("open log", error).on(log.display()));
    if let Some(folder) = log.parent() {
        paths::make_private(folder).map_err(failed)?;
    }
    File::options().create(true).append(true).mode(0o600).open(log).map_err(failed)
}

enum Said {
    Line(String),
    Nothing,
    TooLate,
}

fn first_line(child: &mut Child, within: Duration) -> Said {
    let Some(pipe) = child.stdout.take() else { return Said::Nothing };
    let (sender, receiver) = mpsc::sync_channel(1);
    // Ends with the pipe: when the child speaks, ends, or is stopped.
    let reading = std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(pipe.take(MAX_LINE)).read_line(&mut line);
        let _ = sender.send((read.is_ok() && line.ends_with('\n')).then_some(line));
    });
    match receiver.recv_timeout(within) {
        Ok(Some(line)) => {
            let _ = reading.join();
            Said::Line(line)
        }
        Ok(None) | Err(mpsc::RecvTimeoutError::Disconnected) => Said::Nothing,
        Err(mpsc::RecvTimeoutError::Timeout) => Said::TooLate,
    }
}

/// Waits for a child that is about to end, and stops it if it does not.
fn end(child: &mut Child) -> Option<ExitStatus> {
    let status = wait(child);
    if status.is_none() {
        stop(child);
    }
    status
}

/// Asks the child to stop, so that it can clean up, and makes sure.
fn stop(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    if wait(child).is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + END_WITHIN;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            Ok(None) | Err(_) => return None,
        }
    }
}

fn died(how: &str, log: &Path, before: u64) -> Failure {
    let shown = log.display();
    let tail = tail(log, before).unwrap_or_default();
    let words = if tail.is_empty() {
        format!("Its log {shown:?} is empty")
    } else {
        format!("Its log {shown:?} ends:\n{tail}")
    };
    Failure::new(
        Exit::Other,
        format!("mount: the background process {how} before the mount was ready. {words}"),
    )
}

/// The last lines of what was added to `log` after its first `before` bytes.
fn tail(log: &Path, before: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(before.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.len().saturating_sub(TAIL_LINES);
    Ok(lines[last..].iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))
}
