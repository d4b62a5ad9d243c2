//! `pdsfs serve` as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::Signal;

use super::mount::{Home, send};

/// A running stand-alone server with its data in `served` of a home and its token in `token`.
#[derive(Debug)]
pub struct Serve {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Its one line.
    pub line: String,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    token_file: PathBuf,
}

impl Serve {
    /// Starts on a free port and waits for the ready line.
    pub fn new(home: &Home) -> Self {
        Self::on(home, "127.0.0.1:0", &[])
    }

    /// Starts on an address, with more options.
    pub fn on(home: &Home, listen: &str, options: &[&str]) -> Self {
        let mut command =
            home.pdsfs(["serve", "--data", "served", "--token-file", "token", "--listen", listen]);
        command.args(options).stdout(Stdio::piped());
        command.stderr(fs::File::options().create(true).append(true).open(home.path("serve.log")).unwrap());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let log = || fs::read_to_string(home.path("serve.log")).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("no ready line but {line:?}: {}", log())).to_owned();
        Serve { child, output, line, url, token_file: home.path("token") }
    }

    /// The address it listens on.
    pub fn address(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// The access token.
    pub fn token(&self) -> String {
        fs::read_to_string(&self.token_file).unwrap().trim().to_owned()
    }

    /// The options that mount its drive.
    pub fn options(&self) -> [&str; 6] {
        ["--endpoint", &self.url, "--token-file", "token", "--drive-id", "1"]
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Ends it the hard way.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end; its exit code and what it said beside the ready line.
    pub fn stop(mut self) -> (Option<i32>, String) {
        send(self.pid(), Signal::TERM);
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.output, &mut rest).unwrap();
        (status.code(), rest)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Has ended already in most tests that care how.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
