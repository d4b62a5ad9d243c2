//! `pdsfs serve`: the embedded server on its own, for another process or machine to mount.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::logging;
use super::options::{LogFlags, check_endpoint};
use crate::config::paths::{self, Base};
use crate::config::{Exit, Failure};
use crate::error::Error;
use crate::mount::signals::Signals;
use crate::server::{Accounts, Server, ServerOptions, check, fault_words};

const EXAMPLES: &str = "\
Examples:
  pdsfs serve --data /srv/pds
  pdsfs serve --data /srv/pds --listen 127.0.0.1:0 --token-file /run/user/1000/pds-token
  pdsfs serve --data /tmp/pds --fault 'create lost-reply 10%' --fault 'list 429 retry-after 2s 3 times'
  pdsfs mount --endpoint http://127.0.0.1:7070 --token-file /srv/pds/token --drive-id 1 ~/pds";

/// What `--fault` understands.
fn fault_help() -> String {
    let mut text = "\
Faults: ROUTE ACTION [always | once | N times | N%]
  ROUTE is * for all, put_part, get_object, or the last words of an API's path: create, list, drive/get.
  ACTION is one of"
        .to_owned();
    for (name, meaning) in fault_words::ACTIONS {
        text.push_str(&format!("\n    {name:<24}{meaning}"));
    }
    text
}

/// Runs a PDS-compatible server until Ctrl-C. Prints one line when it is ready; the access token, new with
/// each start, goes to a file that only you can read.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", fault_help()))]
pub struct ServeArgs {
    /// Where drives are kept; created if missing [default: $XDG_DATA_HOME/pdsfs/local]
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Source",
        env = "PDSFS_SERVE_DATA",
        hide_env_values = true
    )]
    data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7070", value_parser = address)]
    #[arg(help_heading = "Network", env = "PDSFS_SERVE_LISTEN")]
    listen: SocketAddr,
    /// The base of signed upload and download URLs, when clients reach this server under another name
    /// [default: http://ADDR:PORT]
    #[arg(long, value_name = "URL", help_heading = "Network")]
    #[arg(env = "PDSFS_SERVE_PUBLIC_URL")]
    public_url: Option<String>,
    /// Where the access token is written [default: DIR/token]
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Source",
        env = "PDSFS_SERVE_TOKEN_FILE",
        hide_env_values = true
    )]
    token_file: Option<PathBuf>,
    /// Users, access keys and applications, as JSON; see the README [default: none, one user]
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Source",
        env = "PDSFS_SERVE_ACCOUNTS",
        hide_env_values = true
    )]
    accounts: Option<PathBuf>,
    /// Do not serve: compare everything in --data with everything, and name what is damaged [default: off]
    #[arg(long, help_heading = "Testing", conflicts_with_all = ["faults", "accounts"])]
    check: bool,
    /// Something to go wrong, for testing clients; may come several times, see below [default: none]
    #[arg(long = "fault", value_name = "SPEC", help_heading = "Testing", value_parser = fault)]
    faults: Vec<String>,
    #[command(flatten)]
    logging: LogFlags,
}

/// Runs the command.
///
/// # Errors
/// When the data or the address is in use, or the token cannot be written.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    logging::start(args.logging.level(), args.logging.log_file.as_deref())?;
    let data = match &args.data {
        Some(data) => data.clone(),
        None => Base::of_user()?.data.join("local"),
    };
    let data = paths::settle(&data)
        .map_err(|error| Failure::new(Exit::Usage, format!("serve: --data {:?}: {error}", data.display())))?;
    if args.check {
        return check(&data);
    }
    let token_file = args.token_file.clone().unwrap_or_else(|| data.join("token"));
    let mut options = ServerOptions::new(&data);
    options.listen = args.listen;
    if let Some(file) = &args.accounts {
        options.accounts = Accounts::read(file)?;
    }
    options.public_url =
        args.public_url.as_deref().map(|url| check_endpoint("serve: --public-url", url)).transpose()?;
    if !args.listen.ip().is_loopback() {
        complain!(
            "pdsfs: WARNING: {} can be reached from other machines. Token and files travel unencrypted: \
             put TLS in front, or listen on 127.0.0.1",
            args.listen
        );
    }
    serve(options, &args.faults, &token_file)
}

fn serve(options: ServerOptions, faults: &[String], token_file: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start threads", error))?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    let server = Server::start(options)?;
    for words in faults {
        server
            .faults()
            .order(words)
            .map_err(|why| Failure::new(Exit::Usage, format!("serve: --fault: {why}")))?;
    }
    let outcome = announce(&server, token_file);
    if outcome.is_ok() {
        runtime.block_on(signals.stop());
    }
    server.stop();
    outcome
}

/// Prints each damage on a line; damage is a failure.
fn check(data: &Path) -> Result<(), Failure> {
    let verdict = check::check(data)?;
    let mut lines = String::new();
    for damage in &verdict.damage {
        lines.push_str(&format!("{damage}\n"));
    }
    let checked = format!(
        "{} files and folders, {} contents, {} bytes",
        verdict.entries, verdict.contents, verdict.bytes
    );
    if verdict.damaged == 0 {
        lines.push_str(&format!("no damage: {checked}\n"));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("print the check", error))?;
    match verdict.damaged {
        0 => Ok(()),
        count => Err(Failure::new(Exit::Other, format!("serve: --check: {count} damaged, of {checked}"))),
    }
}

/// The token file first: whoever reads the ready line may use it at once.
fn announce(server: &Server, token_file: &Path) -> Result<(), Failure> {
    let token_file = std::path::absolute(token_file).map_err(|error| Error::io("write token", error))?;
    write_token(&token_file, server.access_token())
        .map_err(|error| Error::io("write token", error).on(token_file.display()))?;
    let mut out = std::io::stdout().lock();
    let line = format!(
        "pdsfs serve: ready on http://{} drive_id={} token_file={}\n",
        server.address(),
        server.drive_id(),
        token_file.display()
    );
    let said = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    // Nobody listening to the ready line is no reason not to serve.
    if let Err(error) = said {
        tracing::warn!(%error, "cannot print the ready line");
    }
    Ok(())
}

/// Replaces the file at once, so that nobody reads half a token; only its owner may read it.
fn write_token(path: &Path, token: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{token}")?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn fault(text: &str) -> Result<String, String> {
    fault_words::parse(text).map(|_| text.to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an address and a port; write 127.0.0.1:7070 or [::1]:7070"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_token_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/token");
        write_token(&path, "one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_token(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_address_without_port_is_explained() {
        assert!(address("127.0.0.1").unwrap_err().contains("7070"));
        assert!(address("[::1]:0").is_ok());
    }
}
