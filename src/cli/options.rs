//! The options of `pdsfs mount`, and what they become: a [`Job`] in plain values.
//!
//! Each flag can be given as `PDSFS_<FLAG>` in the environment; the flag wins. Secrets are never arguments,
//! because arguments are visible to everybody in `ps`: a token comes from a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use super::words::{within, word};
use crate::config::paths::{self, Base};
use crate::config::value::{drop_pattern, duration, min_free, show_bytes, size, umask};
use crate::config::{
    self, DeletePolicy, Exit, Failure, FsOptions, Fsync, LogLevel, MAX_PARALLEL, MinFree, MountOptions,
    OnConflict, Rapid, Switch, WriteMode, WritePolicy, XattrList, XattrMode, XattrReadonly,
};
use crate::mount::Plan;

/// Mounts a drive on a folder and returns once it answers.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Examples:
  pdsfs mount local: ~/pds
  pdsfs mount --read-only local:/srv/photos /mnt/photos
  pdsfs mount --endpoint https://bj1.api.aliyunpds.com --token-file ~/.token --drive-id 101 ~/pds"
)]
pub struct MountArgs {
    /// What to mount: `local:` is a drive on this machine with its data below $XDG_DATA_HOME/pdsfs/local,
    /// `local:/DIR` one with its data in DIR [default: local:, unless --endpoint is given]
    #[arg(help_heading = "Source", display_order = 0)]
    pub source: Option<String>,

    /// The folder to mount on; created if missing
    #[arg(help_heading = "Source", display_order = 1)]
    pub mountpoint: PathBuf,

    /// A PDS service or `pdsfs serve`: https://DOMAIN.api.aliyunpds.com [default: none]
    #[arg(long, value_name = "URL", help_heading = "Source", env = "PDSFS_ENDPOINT")]
    #[arg(requires = "token_file", requires = "drive_id")]
    #[arg(display_order = 2)]
    pub endpoint: Option<String>,

    /// The file with the access token; read again when it changes [default: none]
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Source",
        env = "PDSFS_TOKEN_FILE",
        hide_env_values = true
    )]
    #[arg(display_order = 3)]
    pub token_file: Option<PathBuf>,

    /// The drive to mount [default: none]
    #[arg(long, value_name = "ID", help_heading = "Source", env = "PDSFS_DRIVE_ID")]
    #[arg(display_order = 4)]
    pub drive_id: Option<String>,

    #[command(flatten)]
    pub mount: MountFlags,
    #[command(flatten)]
    pub cache: CacheFlags,
    #[command(flatten)]
    pub write: WriteFlags,
    #[command(flatten)]
    pub metadata: MetadataFlags,
    #[command(flatten)]
    pub network: NetworkFlags,
    #[command(flatten)]
    pub logging: LogFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Mount")]
pub struct MountFlags {
    /// Stay in the foreground; Ctrl-C unmounts [default: off]
    #[arg(short, long, env = "PDSFS_FOREGROUND", value_parser = BoolishValueParser::new())]
    pub foreground: bool,
    /// Refuse all changes [default: off]
    #[arg(long, env = "PDSFS_READ_ONLY", value_parser = BoolishValueParser::new())]
    pub read_only: bool,
    /// Let other users look in; as an ordinary user this needs user_allow_other in /etc/fuse.conf
    /// [default: off]
    #[arg(long, env = "PDSFS_ALLOW_OTHER", value_parser = BoolishValueParser::new())]
    pub allow_other: bool,
    /// Mount over a folder with files in it, which hides them [default: off]
    #[arg(long, env = "PDSFS_ALLOW_NON_EMPTY", value_parser = BoolishValueParser::new())]
    pub allow_non_empty: bool,
    /// The owner of all files, as a number [default: you]
    #[arg(long, value_name = "UID", env = "PDSFS_UID")]
    pub uid: Option<u32>,
    /// The group of all files, as a number [default: yours]
    #[arg(long, value_name = "GID", env = "PDSFS_GID")]
    pub gid: Option<u32>,
    /// Permission bits that files and folders do not have, in octal
    #[arg(long, value_name = "MASK", default_value = "022", value_parser = umask)]
    #[arg(env = "PDSFS_UMASK")]
    pub umask: u32,
    /// How long the command waits for the mount to answer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    #[arg(env = "PDSFS_DAEMON_WAIT")]
    pub daemon_wait: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheFlags {
    /// Where copies of the drive's content are kept, a folder per drive [default: $XDG_CACHE_HOME/pdsfs]
    #[arg(long, value_name = "DIR", env = "PDSFS_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Where data is kept that is not on the drive yet, a folder per drive [default: $XDG_STATE_HOME/pdsfs]
    #[arg(long, value_name = "DIR", env = "PDSFS_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// How large the copies may grow together
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = cache_size)]
    #[arg(env = "PDSFS_CACHE_SIZE")]
    pub cache_size: u64,
    /// How much of the cache's disk must stay free: a share or a size
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = min_free)]
    #[arg(env = "PDSFS_CACHE_MIN_FREE")]
    pub cache_min_free: MinFree,
    /// How much memory all buffers together may take
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = memory_limit)]
    #[arg(env = "PDSFS_MEMORY_LIMIT")]
    pub memory_limit: u64,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Write")]
pub struct WriteFlags {
    /// What close waits for: the drive, or the local disk (the drive follows, retried for as long as it takes)
    #[arg(long, value_name = "MODE", default_value = "through", value_parser = word::<WriteMode>())]
    #[arg(env = "PDSFS_WRITE_MODE")]
    pub write_mode: WriteMode,
    /// Bytes that the drive has already are not sent: where asking costs nothing (files of one part), never, or
    /// always (large files are then sent when they are closed)
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = word::<Rapid>())]
    #[arg(env = "PDSFS_RAPID")]
    pub rapid: Rapid,
    /// What happens when someone else changed a file meanwhile: keep both, or fail
    #[arg(long, value_name = "RULE", default_value = "keep", value_parser = word::<OnConflict>())]
    #[arg(env = "PDSFS_ON_CONFLICT")]
    pub on_conflict: OnConflict,
    /// Bytes per second that all uploads together may take; 0 is no limit
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    #[arg(env = "PDSFS_BWLIMIT")]
    pub bwlimit: u64,
    /// Bytes per uploaded part: a multiple of 64, from 100 KiB to 5 GiB
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = part_size)]
    #[arg(env = "PDSFS_PART_SIZE")]
    pub part_size: u64,
    /// Files transferred at the same time
    #[arg(long, value_name = "N", default_value = "4", value_parser = parallel)]
    #[arg(env = "PDSFS_TRANSFERS")]
    pub transfers: usize,
    /// Parts of one file uploaded at the same time
    #[arg(long, value_name = "N", default_value = "4", value_parser = parallel)]
    #[arg(env = "PDSFS_UPLOAD_CONCURRENCY")]
    pub upload_concurrency: usize,
    /// How long unmounting waits for what is not on the drive yet
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    #[arg(env = "PDSFS_DRAIN_TIMEOUT")]
    pub drain_timeout: Duration,
    /// What fsync waits for: the local disk (uploads go on after a crash), or the drive
    #[arg(long, value_name = "WHERE", default_value = "local", value_parser = word::<Fsync>())]
    #[arg(env = "PDSFS_FSYNC")]
    pub fsync: Fsync,
    /// Where deleted files go: the drive's recycle bin, or nowhere
    #[arg(long, value_name = "WHERE", default_value = "recycle", value_parser = word::<DeletePolicy>())]
    #[arg(env = "PDSFS_TRASH")]
    pub trash: DeletePolicy,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Metadata")]
pub struct MetadataFlags {
    /// How long sizes, times and names are trusted without asking
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    #[arg(env = "PDSFS_ATTR_TIMEOUT")]
    pub attr_timeout: Duration,
    /// How often the drive is asked what others changed, which then shows without being looked at
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = some_time)]
    #[arg(env = "PDSFS_POLL_INTERVAL")]
    pub poll_interval: Duration,
    /// Keep modes, owners, exact times and symbolic links on the drive, in user tags
    #[arg(long, value_name = "MODE", default_value = "on", value_parser = word::<Switch>())]
    #[arg(env = "PDSFS_POSIX_METADATA")]
    pub posix_metadata: Switch,
    /// Extended attributes: readable and writable, read-only, or none
    #[arg(long, value_name = "MODE", default_value = "on", value_parser = word::<XattrMode>())]
    #[arg(env = "PDSFS_XATTR")]
    pub xattr: XattrMode,
    /// Which attributes are listed; the others are still readable by name
    #[arg(long, value_name = "WHICH", default_value = "auto", value_parser = word::<XattrList>())]
    #[arg(env = "PDSFS_XATTR_LIST")]
    pub xattr_list: XattrList,
    /// What setting one of the drive's own attributes does: what copy tools need, fail, or nothing
    #[arg(long, value_name = "RULE", default_value = "auto", value_parser = word::<XattrReadonly>())]
    #[arg(env = "PDSFS_XATTR_READONLY")]
    pub xattr_readonly: XattrReadonly,
    /// Signed URLs as attributes; whoever reads one can fetch the file [default: off]
    #[arg(long, env = "PDSFS_XATTR_URLS", value_parser = BoolishValueParser::new())]
    pub xattr_urls: bool,
    /// Attributes of other programs that are taken and not kept, such as user.DOSATTRIB or user.com.apple.*
    /// [default: none]
    #[arg(long, env = "PDSFS_XATTR_DROP", value_name = "PATTERN", value_delimiter = ',', value_parser = drop_pattern)]
    pub xattr_drop: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkFlags {
    /// How long an operation on the drive may take, repeats included
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    #[arg(env = "PDSFS_OP_TIMEOUT")]
    pub op_timeout: Duration,
    /// How long a transfer may stand still
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = some_time)]
    #[arg(env = "PDSFS_STALL_TIMEOUT")]
    pub stall_timeout: Duration,
    /// How long connecting may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    #[arg(env = "PDSFS_CONNECT_TIMEOUT")]
    pub connect_timeout: Duration,
    /// How often a request that failed for a passing reason is repeated
    #[arg(long, value_name = "N", default_value = "6", value_parser = clap::value_parser!(u32).range(0..=100))]
    #[arg(env = "PDSFS_RETRIES")]
    pub retries: u32,
    /// Connections to the service at the same time
    #[arg(long, value_name = "N", default_value = "32", value_parser = parallel)]
    #[arg(env = "PDSFS_CONNECTIONS")]
    pub connections: usize,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogFlags {
    /// How much is logged
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = word::<LogLevel>())]
    #[arg(env = "PDSFS_LOG_LEVEL")]
    pub log_level: LogLevel,
    /// Where to log [default: standard error; of a mount in the background, pdsfs.log in the drive's state
    /// folder]
    #[arg(long, value_name = "FILE", env = "PDSFS_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// Log more; twice for every step [default: off]
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say and log only what failed [default: off]
    #[arg(short, long, env = "PDSFS_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

impl LogFlags {
    /// The level meant by all flags together.
    pub fn level(&self) -> LogLevel {
        if self.quiet { LogLevel::Error } else { self.log_level.louder(self.verbose) }
    }
}

fn cache_size(text: &str) -> Result<u64, String> {
    within(size(text)?, config::MIN_CACHE_BYTES, i64::MAX as u64, show_bytes)
}

fn memory_limit(text: &str) -> Result<u64, String> {
    within(size(text)?, config::MIN_MEMORY_BYTES, i64::MAX as u64, show_bytes)
}

fn part_size(text: &str) -> Result<u64, String> {
    let bytes = within(size(text)?, config::MIN_PART_BYTES, config::MAX_PART_BYTES, show_bytes)?;
    if bytes.is_multiple_of(config::PART_ALIGN) {
        Ok(bytes)
    } else {
        Err("must be a multiple of 64 bytes".into())
    }
}

fn parallel(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    within(number, 1, MAX_PARALLEL, |number| number)
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() { Err("must be longer than nothing".into()) } else { Ok(time) }
}

/// Where the drive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The embedded server, with its data here (settled).
    Local(PathBuf),
    /// A service.
    Remote {
        /// Its base URL, without a slash at the end.
        endpoint: String,
        /// The file with the token, absolute.
        token_file: PathBuf,
        /// The drive.
        drive_id: String,
    },
}

impl Source {
    /// The source in words, as `mount` and `df` show it after `pdsfs#`.
    pub fn describe(&self) -> String {
        match self {
            Source::Local(data) => format!("local:{}", crate::mount::table::printable(data)),
            Source::Remote { endpoint, drive_id, .. } => {
                let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
                format!("{host}/{drive_id}")
            }
        }
    }

    fn key(&self) -> String {
        match self {
            Source::Local(data) => paths::local_key(data),
            Source::Remote { endpoint, drive_id, .. } => paths::remote_key(endpoint, drive_id),
        }
    }
}

/// A mount that was asked for, in plain values.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the drive is.
    pub source: Source,
    /// What to mount, where and how.
    pub plan: Plan,
    /// Where the log goes when it cannot go to a terminal.
    pub log: PathBuf,
}

impl MountArgs {
    /// What these options mean on this machine.
    ///
    /// # Errors
    /// [`Exit::Usage`] when they contradict each other or name what cannot be.
    pub fn job(&self) -> Result<Job, Failure> {
        let source = self.resolve_source()?;
        let key = source.key();
        let cache_dir = folder(self.cache.cache_dir.as_deref(), |base| base.cache)?.join(&key);
        let state_dir = folder(self.cache.state_dir.as_deref(), |base| base.state)?.join(&key);
        let log = match &self.logging.log_file {
            Some(file) => std::path::absolute(file).map_err(|error| usage(format!("--log-file: {error}")))?,
            None => state_dir.join("pdsfs.log"),
        };
        let mut apart = vec![("cache", cache_dir.clone()), ("state folder", state_dir.clone())];
        if let Source::Local(data) = &source {
            apart.push(("data folder", data.clone()));
        }
        let plan = Plan {
            mountpoint: std::path::absolute(&self.mountpoint).map_err(|error| usage(error.to_string()))?,
            apart,
            allow_non_empty: self.mount.allow_non_empty,
            mount: self.mount_options(&source),
            fs: self.fs_options(cache_dir, state_dir),
            drain_timeout: self.write.drain_timeout,
        };
        Ok(Job { source, plan, log })
    }

    fn resolve_source(&self) -> Result<Source, Failure> {
        match (&self.source, &self.endpoint) {
            (Some(source), Some(_)) => Err(usage(format!(
                "{source:?} and --endpoint (or PDSFS_ENDPOINT) both name a drive. Leave one of them out"
            ))),
            (None, Some(endpoint)) => self.remote(endpoint),
            // Without it this would be another drive than the one that is meant.
            (None, None) if self.token_file.is_some() || self.drive_id.is_some() => Err(usage(
                "--token-file and --drive-id need --endpoint URL. For a drive on this machine, write: \
                 pdsfs mount local: MOUNTPOINT"
                    .into(),
            )),
            (source, None) => local(source.as_deref().unwrap_or("local:")),
        }
    }

    fn remote(&self, endpoint: &str) -> Result<Source, Failure> {
        let (Some(token_file), Some(drive_id)) = (&self.token_file, &self.drive_id) else {
            return Err(usage("--endpoint needs --token-file FILE and --drive-id ID".into()));
        };
        if drive_id.is_empty() || drive_id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(usage(
                "--drive-id is not the number of a drive. The service's console shows it".into(),
            ));
        }
        let token_file = std::path::absolute(token_file).map_err(|error| usage(error.to_string()))?;
        Ok(Source::Remote {
            endpoint: check_endpoint("mount: --endpoint", endpoint)?,
            token_file,
            drive_id: drive_id.clone(),
        })
    }

    fn mount_options(&self, source: &Source) -> MountOptions {
        let flags = &self.mount;
        // A comma would end the option, a blank the field in the list of mounts.
        let name: String = source
            .describe()
            .chars()
            .map(|c| if c == ',' || c == '\\' || c.is_whitespace() { '_' } else { c })
            .collect();
        MountOptions {
            read_only: flags.read_only,
            allow_other: flags.allow_other,
            uid: flags.uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
            gid: flags.gid.unwrap_or_else(|| rustix::process::getegid().as_raw()),
            umask: flags.umask,
            fsname: format!("{}#{name}", config::SUBTYPE),
        }
    }

    fn fs_options(&self, cache_dir: PathBuf, state_dir: PathBuf) -> FsOptions {
        FsOptions {
            cache_dir,
            state_dir,
            cache_bytes: self.cache.cache_size,
            min_free: self.cache.cache_min_free,
            attr_timeout: self.metadata.attr_timeout,
            poll_interval: self.metadata.poll_interval,
            posix_metadata: self.metadata.posix_metadata == Switch::On,
            part_bytes: self.write.part_size,
            transfers: self.write.transfers,
            upload_concurrency: self.write.upload_concurrency,
            op_timeout: self.network.op_timeout,
            memory_bytes: self.cache.memory_limit,
            fsync: self.write.fsync,
            write: WritePolicy {
                mode: self.write.write_mode,
                rapid: self.write.rapid,
                on_conflict: self.write.on_conflict,
            },
            delete: self.write.trash,
            xattr: self.metadata.xattr,
            xattr_list: self.metadata.xattr_list,
            xattr_readonly: self.metadata.xattr_readonly,
            xattr_urls: self.metadata.xattr_urls,
            xattr_drop: self.metadata.xattr_drop.clone(),
            read_only: self.mount.read_only,
            control: None,
        }
    }
}

fn folder(given: Option<&Path>, default: impl Fn(Base) -> PathBuf) -> Result<PathBuf, Failure> {
    let folder = match given {
        Some(folder) => folder.to_owned(),
        None => default(Base::of_user()?),
    };
    paths::settle(&folder).map_err(|error| usage(format!("{}: {error}", folder.display())))
}

fn local(source: &str) -> Result<Source, Failure> {
    let Some(data) = source.strip_prefix("local:") else {
        return Err(usage(format!(
            "{source:?} is not a source. Write local:, local:/DIR, or --endpoint URL --token-file FILE --drive-id ID"
        )));
    };
    let data = if data.is_empty() { Base::of_user()?.data.join("local") } else { PathBuf::from(data) };
    let settled = paths::settle(&data).map_err(|error| usage(format!("{}: {error}", data.display())))?;
    Ok(Source::Local(settled))
}

/// A base URL of a service, without a slash at the end.
///
/// # Errors
/// [`Exit::Usage`] naming `option`.
pub fn check_endpoint(option: &str, endpoint: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        let message =
            format!("{option} {why}. Write https://DOMAIN.api.aliyunpds.com or http://127.0.0.1:7070");
        Failure::new(Exit::Usage, message)
    };
    let url: http::Uri = endpoint.parse().map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(wrong("must start with https:// or http://"));
    }
    if url.authority().is_none_or(|authority| authority.as_str().contains('@') || authority.host().is_empty())
    {
        return Err(wrong("must name a host, and no user"));
    }
    if url.query().is_some() {
        return Err(wrong("must not have a question mark"));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, format!("mount: {message}"))
}
