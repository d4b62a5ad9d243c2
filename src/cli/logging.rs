//! Where log lines go: to the terminal, or to a file that does not grow forever.
//!
//! Only this crate logs below "warn": libraries underneath may put URLs into their debug lines.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::config::{Exit, Failure, LogLevel, paths};

/// A log file longer than this is put aside as `NAME.1`, replacing the one before: a busy mount never fills
/// the disk with its diary.
const MAX_LOG_BYTES: u64 = 16 << 20;

/// Starts logging to `file`, or to standard error.
///
/// # Errors
/// [`Exit::Usage`] when the file cannot be written.
pub fn start(level: LogLevel, file: Option<&Path>) -> Result<(), Failure> {
    let filter = EnvFilter::new(format!("warn,pdsfs={}", level.as_str()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // On a full disk a complaint about the log would end the thread that logs.
    let builder = builder.log_internal_errors(false);
    // Fails only when somebody in this process logs already.
    let _ = match file {
        Some(path) => {
            let log = LogFile::open(path).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("cannot write the log {:?}: {error}. See --log-file", path.display()),
                )
            })?;
            builder.with_ansi(false).with_writer(Mutex::new(log)).try_init()
        }
        None => builder.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).try_init(),
    };
    Ok(())
}

/// A file that is put aside when it is long enough.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            paths::make_private(folder)?;
        }
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        Ok(LogFile { path: path.to_owned(), file, bytes, max_bytes: MAX_LOG_BYTES })
    }

    fn put_aside(&mut self) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        std::fs::rename(&self.path, aside)?;
        self.file = append(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.max_bytes && self.put_aside().is_err() {
            // Somebody moved it away: begin counting anew instead of trying at each line.
            self.bytes = 0;
        }
        let written = self.file.write(line)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_put_aside_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/pdsfs.log");
        let mut log = LogFile { max_bytes: 10, ..LogFile::open(&path).unwrap() };
        for line in ["first line\n", "second line\n", "third line\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third line\n");
        assert_eq!(std::fs::read_to_string(dir.path().join("deep/pdsfs.log.1")).unwrap(), "second line\n");
    }
}
