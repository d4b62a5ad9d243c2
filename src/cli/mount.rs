//! `pdsfs mount`: foreground, or background with the same answer.
//!
//! Three ways through here. In the *foreground* the mount lives in this process. Otherwise this process
//! starts itself as a *child* that lives on, and repeats the child's one word as its own result. Source and
//! server are put together here, because only the command line knows both the server and the client.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use super::options::{Job, MountArgs, Source};
use super::{logging, shell_word};
use crate::config::Failure;
use crate::error::{Error, Kind};
use crate::mount::daemon::{self, Word};
use crate::mount::{Prepared, Ready};
use crate::pds::{Credentials, Pds, PdsOptions};
use crate::server::{Server, ServerOptions};

/// How long the runtime may take to end its threads; a program that keeps a file open would hold it.
const RUNTIME_END_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Runs the command.
///
/// # Errors
/// Everything that can go wrong with a mount; see the exit codes.
pub fn run(args: &MountArgs) -> Result<(), Failure> {
    if daemon::is_child() {
        return child(args);
    }
    let job = args.job()?;
    if args.mount.foreground { foreground(args, job) } else { background(args, &job) }
}

fn foreground(args: &MountArgs, job: Job) -> Result<(), Failure> {
    logging::start(args.logging.level(), args.logging.log_file.as_deref())?;
    let source = job.source.describe();
    live(args, job, |ready| {
        announce(args, &source, ready);
        Ok(())
    })
}

fn background(args: &MountArgs, job: &Job) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| Error::io("find own program", error))?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    let ready = daemon::launch(&mut command, &job.log, args.mount.daemon_wait)?;
    announce(args, &job.source.describe(), &ready);
    Ok(())
}

/// The process in the background. What fails before the mount is ready is the parent's to tell.
fn child(args: &MountArgs) -> Result<(), Failure> {
    daemon::detach();
    let told = Cell::new(false);
    let outcome = args.job().and_then(|job| {
        logging::start(args.logging.level(), Some(&job.log))?;
        // Relative paths are settled; the folder it was started in must not stay busy.
        std::env::set_current_dir("/").map_err(|error| Error::io("leave folder", error))?;
        live(args, job, |ready| {
            told.set(true);
            daemon::say(&Word::Ready(ready.clone()))
        })
    });
    match outcome {
        Err(failure) if !told.get() => {
            // The parent may be gone; the log still has it.
            let _ = daemon::say(&Word::Failed(failure.clone()));
            Err(failure)
        }
        outcome => outcome,
    }
}

/// The mount, from its making to its end.
fn live(
    args: &MountArgs,
    job: Job,
    ready: impl FnOnce(&Ready) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let Source::Remote { token_file, .. } = &job.source {
        check_token_file(token_file)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start threads", error))?;
    let prepared = {
        let _entered = runtime.enter();
        Prepared::new(job.plan)?
    };
    let (pds, server) = connect(args, &job.source)?;
    let outcome = runtime.block_on(prepared.run(pds, ready));
    if let Some(server) = server {
        server.stop();
    }
    runtime.shutdown_timeout(RUNTIME_END_WITHIN);
    outcome
}

/// The client of the drive, and the server behind it when that is ours.
fn connect(args: &MountArgs, source: &Source) -> Result<(Pds, Option<Server>), Failure> {
    let (endpoint, drive_id, credentials, server) = match source {
        Source::Local(data) => {
            // Nobody sees part ETags of this server: the mount compares CRC-64. MD5 would be the most
            // expensive thing a copy does.
            let options = ServerOptions { md5_etags: false, facts_at_once: true, ..ServerOptions::new(data) };
            let server = Server::start(options)?;
            let token = Credentials::Token(server.access_token().to_owned().into());
            (server.url().to_owned(), server.drive_id().to_owned(), token, Some(server))
        }
        Source::Remote { endpoint, token_file, drive_id } => {
            (endpoint.clone(), drive_id.clone(), Credentials::TokenFile(token_file.clone()), None)
        }
    };
    let network = &args.network;
    let pds = Pds::new(PdsOptions {
        endpoint,
        drive_id: drive_id.as_str().into(),
        credentials,
        op_timeout: network.op_timeout,
        stall_timeout: network.stall_timeout,
        connect_timeout: network.connect_timeout,
        retries: network.retries,
        connections: network.connections,
        upload_rate: args.write.bwlimit,
    })?;
    Ok((pds, server))
}

/// Tells early what the first request would fail with in worse words.
fn check_token_file(path: &Path) -> Result<(), Failure> {
    let wrong = |why: &str| {
        let error = Error::new(Kind::Unauthenticated, "read token", why).on(path.display());
        Failure::from(error)
    };
    match std::fs::read_to_string(path) {
        Ok(token) if token.trim().is_empty() => {
            Err(wrong("the file is empty. Write the access token into it"))
        }
        Ok(_) => {
            warn_if_readable(path);
            Ok(())
        }
        Err(error) => Err(wrong(&format!("{error}. --token-file names the file with the access token"))),
    }
}

fn warn_if_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        tracing::warn!(file = %path.display(), "other users can read the token; chmod 600 it");
    }
}

/// Where it is mounted and what to type next.
fn announce(args: &MountArgs, source: &str, ready: &Ready) {
    for note in &ready.notes {
        complain!("pdsfs: {note}");
    }
    if args.logging.quiet {
        return;
    }
    let place = shell_word(&ready.mountpoint);
    say!("Mounted {source} at {}", ready.mountpoint);
    say!("Next:");
    if !args.mount.read_only {
        say!("  cp photo.jpg {place}/");
    }
    say!("  ls -l {place}");
    say!("  getfattr -d {place}/photo.jpg");
    let end = if args.mount.foreground { "or press Ctrl-C" } else { "waits until all is stored" };
    say!("  pdsfs umount {place}    ({end})");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Exit;

    #[test]
    fn a_token_file_that_cannot_help_is_told_before_any_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert_eq!(check_token_file(&path).unwrap_err().exit(), Exit::Auth);
        std::fs::write(&path, " \n").unwrap();
        assert!(check_token_file(&path).unwrap_err().message().contains("empty"));
        std::fs::write(&path, "secret-value").unwrap();
        assert!(check_token_file(&path).is_ok());
    }
}
