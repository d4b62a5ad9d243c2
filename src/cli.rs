//! The command line: one file per command, and how all of them end.
//!
//! A command returns `Ok` or a [`Failure`]; only [`main`] turns that into lines on standard error
//! (`pdsfs: ...`) and an exit code. Printing happens nowhere outside this module.

/// Prints a line; somebody who closed the other end of the pipe does not want to know.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

/// Prints a line on standard error, which may be a log on a full disk.
macro_rules! complain {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

mod attr;
mod cache;
mod du;
mod find;
pub mod info;
mod logging;
mod mount;
mod news;
mod options;
pub mod reference;
mod serve;
mod status;
mod talk;
mod thumbs;
mod trash;
mod umount;
mod uploads;
mod versions;
mod wait;
mod watch;
mod words;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Exit, Failure};

const FIRST_STEPS: &str = "\
First steps:
  pdsfs mount local: ~/pds       a drive on this machine, no account needed
  cp photo.jpg ~/pds/            copy something in
  getfattr -d ~/pds/photo.jpg    everything the drive knows about it
  pdsfs umount ~/pds             wait until all is stored, and unmount";

/// Mount a drive of Alibaba Cloud PDS (Drive and Photo Service) as a Linux filesystem.
#[derive(Debug, Parser)]
#[command(name = "pdsfs", version, disable_help_subcommand = true, after_help = FIRST_STEPS, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mount a drive
    Mount(Box<options::MountArgs>),
    /// Wait until everything is on the drive, then unmount
    #[command(alias = "unmount")]
    Umount(umount::UmountArgs),
    /// Run the embedded PDS-compatible server alone
    Serve(serve::ServeArgs),
    /// Show everything known about a file
    Info(InfoArgs),
    /// Show and change what is attached to a file: labels, description, tags
    Attr(attr::AttrArgs),
    /// Find files by what the drive knows about them
    Find(find::FindArgs),
    /// Print what changes on the drive as it happens
    Watch(news::WatchArgs),
    /// Show how much is where
    Du(du::DuArgs),
    /// Show what a mount is doing
    Status(status::StatusArgs),
    /// Give the desktop the drive's thumbnails, so that it need not read the files
    Thumbs(thumbs::ThumbsArgs),
    /// List, restore or delete what is in the recycle bin
    Trash(trash::TrashArgs),
    /// Show how much of the drive is on this machine, or give it back
    Cache(cache::CacheArgs),
    /// List, read, restore or keep what a file was before
    Versions(versions::VersionsArgs),
    /// Wait until files are on the drive, or have been looked at there
    Wait(wait::WaitArgs),
    /// List, retry, discard or export what is not on the drive yet
    Uploads(uploads::UploadsArgs),
    /// Wait until what was written is on the drive
    Flush(uploads::FlushArgs),
    /// Show the version
    Version,
}

/// Shows everything known about one file of a mounted drive, laid out for a person.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pdsfs info ~/pds/photo.jpg
  pdsfs info --json ~/pds/photo.jpg
  pdsfs info --json ~/pds/video.mp4 | jq .video_media_metadata")]
struct InfoArgs {
    /// A file or folder below a mountpoint
    path: PathBuf,
    /// For programs: one JSON object [default: off]
    #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain!("pdsfs: {failure}");
            ExitCode::from(failure.exit().code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        None => {
            say!("{}", command().render_help());
            Ok(())
        }
        Some(Command::Mount(args)) => mount::run(&args),
        Some(Command::Umount(args)) => umount::run(&args),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Info(args)) => Ok(info::run(&args.path, args.json)?),
        Some(Command::Attr(args)) => attr::run(&args),
        Some(Command::Find(args)) => find::run(&args),
        Some(Command::Du(args)) => du::run(&args),
        Some(Command::Watch(args)) => news::run(&args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Thumbs(args)) => thumbs::run(&args),
        Some(Command::Trash(args)) => trash::run(&args),
        Some(Command::Cache(args)) => cache::run(&args),
        Some(Command::Versions(args)) => versions::run(&args),
        Some(Command::Wait(args)) => wait::run(&args),
        Some(Command::Uploads(args)) => uploads::run(&args),
        Some(Command::Flush(args)) => uploads::flush(&args),
        Some(Command::Version) => {
            say!("pdsfs {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

/// Options of these headings are in `--help` only: `-h` fits a screen.
const ADVANCED: [&str; 5] = ["Cache", "Write", "Metadata", "Network", "Logging"];

const UNITS: &str = "Sizes: 512k, 16MiB, 1.5G (steps of 1024). Times: 250ms, 30s, 1h30m, or seconds.";

/// The command line's grammar, with environment and exit codes at the end of each `--help`.
fn command() -> clap::Command {
    let mut footer = String::from("Exit codes:");
    for (exit, meaning) in Exit::TABLE {
        let _ = write!(footer, "\n  {:>3}  {meaning}", exit.code());
    }
    let mut command = Cli::command();
    let first_steps = format!("{FIRST_STEPS}\n\n{footer}");
    command = command.after_long_help(first_steps);
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(&name, |sub| {
            let examples = sub.get_after_long_help().or(sub.get_after_help()).map(ToString::to_string);
            let has_units = sub.get_arguments().any(|arg| {
                arg.get_value_names()
                    .is_some_and(|names| names.iter().any(|name| *name == "SIZE" || *name == "TIME"))
            });
            let units = has_units.then(|| UNITS.to_owned());
            let parts: Vec<String> = examples.into_iter().chain(units).chain([footer.clone()]).collect();
            sub.after_long_help(parts.join("\n\n")).mut_args(|arg| {
                let advanced = arg.get_help_heading().is_some_and(|heading| ADVANCED.contains(&heading));
                arg.hide_env_values(true).hide_short_help(advanced && name != "serve")
            })
        });
    }
    command
}

/// Ends on a command line that is not one, or on `--help` and `--version`.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    complain!("pdsfs: {}", lines.join("\n"));
    ExitCode::from(Exit::Usage.code())
}

/// `path` as it can be pasted into a shell.
fn shell_word(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,%=".contains(c) || !c.is_ascii();
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_has_no_contradictions() {
        command().debug_assert();
    }

    #[test]
    fn words_for_the_shell_are_quoted_only_when_needed() {
        assert_eq!(shell_word("/home/me/pds"), "/home/me/pds");
        assert_eq!(shell_word("/home/me/照片"), "/home/me/照片");
        assert_eq!(shell_word("/a b/it's"), r"'/a b/it'\''s'");
        assert_eq!(shell_word("~/x"), "'~/x'");
    }
}
