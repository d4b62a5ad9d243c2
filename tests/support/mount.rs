//! A drive mounted by the real program, as a person at a keyboard has it.
//!
//! [`Home`] is a machine's user: a folder of its own with all XDG directories in it, so that tests never meet each
//! other or the person running them. [`Mount`] is a drive mounted there on `mnt`, next to the folder `disk` on the
//! local disk; scripts run with the home as working directory, so that `cp disk/a mnt/` is what it says. Whatever
//! happens, also a panic, the mount is taken away again and the daemon is ended by its own number.
//!
//! [`Home::of_user`] is an ordinary user, who mounts through fusermount3. Where root runs the tests and `/dev/fuse` is
//! for root only, that user gets a private mount namespace with a device that everybody may open.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// nobody and nogroup, which every system has.
const NOBODY: u32 = 65534;
/// No script of these tests takes a tenth of it; one that hangs shall not hang the run.
const SCRIPT_SECONDS: &str = "120";

/// A user with directories of their own.
#[derive(Debug)]
pub struct Home {
    dir: tempfile::TempDir,
    program: PathBuf,
    /// The ordinary user's namespace; `None` for whoever runs the tests.
    user: Option<Namespace>,
}

/// A process that keeps a mount namespace with an open `/dev/fuse` alive.
#[derive(Debug)]
struct Namespace(Child);

impl Drop for Namespace {
    fn drop(&mut self) {
        // It reads its input until that ends, and the namespace ends with it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Home {
    /// A home of whoever runs the tests.
    ///
    /// # Panics
    /// Without a FUSE device: these tests do not pass by silence.
    pub fn new() -> Self {
        fs::File::options().read(true).write(true).open("/dev/fuse").unwrap_or_else(|error| {
            panic!("these tests mount for real, and /dev/fuse cannot be opened: {error}. modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN")
        });
        let dir = tempfile::Builder::new().prefix("pdsfs-test-").tempdir().unwrap();
        fs::create_dir(dir.path().join("disk")).unwrap();
        Home { dir, program: env!("CARGO_BIN_EXE_pdsfs").into(), user: None }
    }

    /// A home of an ordinary user. When an ordinary user runs the tests this is [`Home::new`].
    ///
    /// # Panics
    /// When root cannot act as an ordinary user here.
    pub fn of_user() -> Self {
        let mut home = Home::new();
        if !rustix::process::geteuid().is_root() {
            return home;
        }
        // The user may not be able to reach the place where the tests were built.
        let (program, node) = (home.path("pdsfs"), home.path("fuse"));
        fs::copy(&home.program, &program).unwrap();
        home.program = program;
        let device = rustix::fs::makedev(10, 229);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &node,
            rustix::fs::FileType::CharacterDevice,
            0o666.into(),
            device,
        )
        .expect("root makes a device that everybody may open");
        fs::set_permissions(&node, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(home.root(), fs::Permissions::from_mode(0o755)).unwrap();
        for path in [home.root(), home.path("disk")] {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("mount --bind \"$0\" /dev/fuse && echo ready && exec cat")
            .arg(&node)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let namespace = Namespace(holder);
        assert_eq!(line, "ready\n", "root cannot make a mount namespace for an ordinary user here");
        home.user = Some(namespace);
        home
    }

    /// The home folder, without symbolic links.
    pub fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    /// The `pdsfs` that this user runs.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A path in the home folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    /// `program` as this user runs it here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let root = self.root();
        let mut command = match &self.user {
            None => Command::new(program),
            Some(namespace) => {
                let mut command = Command::new("nsenter");
                // The working directory, too, must be the namespace's own: outside, nothing is mounted there.
                command
                    .arg(format!("--mount=/proc/{}/ns/mnt", namespace.0.id()))
                    .args(["env", "-C"])
                    .arg(&root)
                    .args(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
                    .arg(program);
                command
            }
        };
        // The system's programs first: another user cannot run what lies in somebody's home.
        let mut path = std::ffi::OsString::from("/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env_clear().env("PATH", path).env("HOME", &root).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        for (variable, folder) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            command.env(variable, root.join(folder));
        }
        // How full the disk is on which the tests run is none of their business.
        command.env("PDSFS_CACHE_MIN_FREE", "0%");
        command.current_dir(root).stdin(Stdio::null());
        command
    }

    /// `pdsfs` with arguments, not run yet.
    pub fn pdsfs<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// [`Home::quiet`] by whoever runs the tests, in the same folder and outside of the user's namespace.
    #[track_caller]
    pub fn quiet_as_root(&self, script: &str) -> String {
        Said::of(script, Command::new("bash").args(["-e", "-c", script]).current_dir(self.root())).quiet()
    }

    /// Makes a file of `bytes_len` bytes, never the same for two lengths, and the folders above it.
    pub fn file(&self, name: &str, bytes_len: usize) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, noise(bytes_len)).unwrap();
        if self.user.is_some() {
            for made in path.ancestors().take_while(|made| *made != self.root()) {
                std::os::unix::fs::chown(made, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
    }

    /// Runs a program of Python in the home folder; it must be quiet.
    #[track_caller]
    pub fn python(&self, program: &str) -> String {
        let mut command = self.command("timeout");
        command.args([SCRIPT_SECONDS, "python3", "-c", program]);
        Said::of(program, &mut command).quiet()
    }

    /// Runs a script of bash in the home folder; it ends at the first command that fails.
    pub fn sh(&self, script: &str) -> Said {
        let mut command = self.command("timeout");
        command.args([SCRIPT_SECONDS, "bash", "-e", "-o", "pipefail", "-c", script]);
        Said::of(script, &mut command)
    }

    /// [`Home::sh`] that must end with 0 and say nothing on standard error; gives its standard output.
    #[track_caller]
    pub fn quiet(&self, script: &str) -> String {
        self.sh(script).quiet()
    }
}

/// What a command said and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// What was run, for messages.
    pub what: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Runs `command`.
    pub fn of(what: &str, command: &mut Command) -> Self {
        // To files: a pipe would keep us waiting for every process that inherited it, also for one that hangs.
        let (mut out, mut err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
        let status = command.status().unwrap_or_else(|error| panic!("cannot run {what}: {error}"));
        Said { what: what.to_owned(), code: status.code(), out: text(&mut out), err: text(&mut err) }
    }

    /// It succeeded and had nothing to complain about; gives its standard output.
    #[track_caller]
    pub fn quiet(self) -> String {
        assert!(self.code == Some(0) && self.err.is_empty(), "{self}");
        self.out
    }

    /// It succeeded; gives its standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.out
    }

    /// It failed with `code`, and said all of `parts` on standard error.
    #[track_caller]
    pub fn failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing in:\n{self}");
        }
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "$ {}\nended with {:?}\n--- out\n{}\n--- err\n{}", self.what, self.code, self.out, self.err)
    }
}

/// A drive mounted on `mnt` in a home.
#[derive(Debug)]
pub struct Mount {
    home: std::rc::Rc<Home>,
    arguments: Vec<String>,
    place: String,
}

impl Mount {
    /// A new drive of the embedded server.
    pub fn new() -> Self {
        Self::at(Home::new(), &["local:"])
    }

    /// The same with more options.
    pub fn with(options: &[&str]) -> Self {
        Self::at(Home::new(), &[options, &["local:"]].concat())
    }

    /// A new drive of an ordinary user.
    pub fn of_user() -> Self {
        Self::at(Home::of_user(), &["local:"])
    }

    /// What `arguments` name, mounted in `home`.
    pub fn at(home: Home, arguments: &[&str]) -> Self {
        let mut mount = Mount::adopt(home, "mnt");
        mount.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        mount.mount().quiet();
        mount
    }

    /// Another way to mount in the same home, where nothing is mounted any more.
    pub fn at_home_of(other: &Mount, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mount = Mount { home: std::rc::Rc::clone(&other.home), arguments, place: other.place.clone() };
        mount.mount().quiet();
        mount
    }

    /// Takes over a mount that a test made itself.
    pub fn adopt(home: Home, place: &str) -> Self {
        Mount { home: home.into(), arguments: vec!["local:".into()], place: place.to_owned() }
    }

    /// Mounts (again).
    pub fn mount(&self) -> Said {
        let mut command = self.pdsfs(["mount"]);
        command.args(&self.arguments).arg(&self.place);
        Said::of("pdsfs mount", &mut command)
    }

    /// `pdsfs umount`.
    pub fn umount(&self) -> Said {
        Said::of("pdsfs umount", &mut self.pdsfs(["umount", &self.place]))
    }

    /// Everything in memory and in the cache is forgotten; what is on the drive remains.
    #[track_caller]
    pub fn remount(&self) {
        self.umount().quiet();
        self.quiet("rm -rf cache/pdsfs");
        self.mount().quiet();
    }

    /// A path below the mountpoint.
    pub fn on(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path("mnt").join(name)
    }

    /// A path on the local disk.
    pub fn disk(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path("disk").join(name)
    }

    /// The number of the process that serves the mount: the one with the mountpoint in its arguments.
    pub fn daemon(&self) -> i32 {
        daemon_of(&self.root()).expect("the mount has a process")
    }

    /// The same, or nothing.
    pub fn daemon_if_any(&self) -> Option<i32> {
        daemon_of(&self.root())
    }

    /// Ends the daemon the hard way and waits until it is gone.
    pub fn kill(&self) {
        let pid = self.daemon();
        send(pid, rustix::process::Signal::KILL);
        gone(pid);
    }

    /// The log of the daemon, or nothing.
    pub fn log(&self) -> String {
        self.home.sh("cat state/pdsfs/*/pdsfs.log").out
    }
}

impl std::ops::Deref for Mount {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&format!("--- the end of the mount's log\n{}", last_lines(&self.log(), 20)));
        }
        let _ = self.home.command("fusermount3").args(["-uzq", "--"]).arg(&self.place).output();
        // A daemon without a mountpoint ends by itself, when all is sent; a broken one does not.
        let Some(pid) = daemon_of(&self.root()) else { return };
        let patience = Instant::now() + Duration::from_secs(if std::thread::panicking() { 2 } else { 20 });
        while running(pid) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
        if running(pid) {
            send(pid, rustix::process::Signal::KILL);
            gone(pid);
        }
    }
}

fn text(file: &mut fs::File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Says loudly what could not be tried: the harness hides what a passing test prints, but not this.
pub fn not_tested(why: &str) {
    tell(&format!("NOT TESTED: {why}"));
}

fn tell(line: &str) {
    // Nobody listening is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Bytes that do not repeat and cannot be packed, the same each time.
pub fn noise(bytes_len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ bytes_len as u64;
    let mut bytes = Vec::with_capacity(bytes_len + 8);
    while bytes.len() < bytes_len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(bytes_len);
    bytes
}

/// Sends a signal to a process that a test started.
pub fn send(pid: i32, signal: rustix::process::Signal) {
    // Gone already is what was wanted.
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal);
}

/// Whether the process exists and is more than a corpse waiting for its parent. It has let go of its files
/// only when all of its threads have.
pub fn running(pid: i32) -> bool {
    let alive = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    };
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().any(alive)
}

/// Waits for the end of a process.
///
/// # Panics
/// When it does not end within two minutes.
pub fn gone(pid: i32) {
    until("a process ends", || !running(pid));
}

/// Waits until `happened`.
///
/// # Panics
/// When it does not happen within two minutes.
#[track_caller]
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !happened() {
        assert!(Instant::now() < deadline, "waited two minutes: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The background process with its state below `home`. The environment tells it: each home is of one test.
fn daemon_of(home: &Path) -> Option<i32> {
    let marks = [b"XDG_STATE_HOME=", home.as_os_str().as_bytes(), b"/state\0"].concat();
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let has = |part: &[u8]| environment.windows(part.len()).any(|window| window == part);
        has(b"PDSFS_INTERNAL_CHILD=1\0") && has(&marks) && running(*pid)
    })
}
