//! The commands as a user types them, without a mount: grammar, help, sentences and exit codes for bad
//! input, the way to the background, the control socket, the stand-alone server.
//!
//! Nothing here needs a FUSE device; where one changes what can be seen, the test says so.

#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A home of its own for each test.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn pdsfs(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pdsfs"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.pdsfs().args(arguments).output().unwrap()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Asserts that the command fails with `code` and sentences that hold all of `parts`.
#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let words = err(output);
    assert_eq!(output.status.code(), Some(code), "{words}");
    assert!(words.starts_with("pdsfs: "), "{words}");
    for part in parts {
        assert!(words.contains(part), "{part:?} is missing in: {words}");
    }
}

mod help {
    use super::*;

    #[test]
    fn alone_it_tells_what_to_type_first() {
        let output = Home::new().run(&[]);
        assert!(output.status.success());
        assert!(out(&output).contains("pdsfs mount local: ~/pds"), "{}", out(&output));
    }

    #[test]
    fn both_spellings_tell_the_version() {
        let home = Home::new();
        let version = format!("pdsfs {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(out(&home.run(&["--version"])), version);
        assert_eq!(out(&home.run(&["version"])), version);
    }

    #[test]
    fn mount_help_is_grouped_in_the_documented_order() {
        let text = out(&Home::new().run(&["mount", "--help"]));
        let groups = [
            "Source:",
            "Mount:",
            "Cache:",
            "Write:",
            "Metadata:",
            "Network:",
            "Logging:",
            "Examples:",
            "Exit codes:",
        ];
        let places: Vec<Option<usize>> =
            groups.iter().map(|group| text.find(&format!("\n{group}\n"))).collect();
        assert!(places.iter().all(Option::is_some), "{places:?}\n{text}");
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(text.matches("\n  pdsfs mount ").count(), 3, "three examples to paste");
        assert!(text.contains("130  interrupted"));
    }

    #[test]
    fn every_option_shows_its_default_and_its_variable() {
        let home = Home::new();
        for command in ["mount", "umount", "serve", "status", "info"] {
            let text = out(&home.run(&[command, "--help"]));
            let paragraphs: Vec<&str> = text.split("\n      --").skip(1).collect();
            let short = text.split("\n  -").skip(1).filter(|option| !option.starts_with("h, "));
            for option in paragraphs.into_iter().chain(short) {
                let option = option.split("\n\n  -").next().unwrap();
                let name = option.lines().next().unwrap();
                assert!(option.contains("[default:"), "{command} {name}: no default\n{option}");
            }
        }
        let mount = out(&home.run(&["mount", "--help"]));
        for flag in
            ["PDSFS_READ_ONLY", "PDSFS_PART_SIZE", "PDSFS_XATTR_LIST", "PDSFS_LOG_LEVEL", "PDSFS_DRIVE_ID"]
        {
            assert!(mount.contains(flag), "{flag}");
        }
    }

    #[test]
    fn short_help_fits_a_screen() {
        let text = out(&Home::new().run(&["mount", "-h"]));
        assert!(text.lines().count() < 50, "{text}");
        assert!(!text.contains("--connect-timeout"), "{text}");
    }

    #[test]
    fn unmount_is_another_word_for_umount() {
        let home = Home::new();
        assert_eq!(out(&home.run(&["unmount", "--help"])), out(&home.run(&["umount", "--help"])));
    }
}

mod bad_input {
    use super::*;

    #[test]
    fn grammar_errors_end_with_2() {
        let home = Home::new();
        let cases: &[(&[&str], &[&str])] = &[
            (&["mount"], &["MOUNTPOINT"]),
            (&["format"], &["format"]),
            (&["mount", "--tokn-file", "x", "m"], &["--token-file"]),
            (&["mount", "--part-size", "5MB", "m"], &["--part-size", "MiB"]),
            (&["mount", "--part-size", "1000001", "m"], &["multiple of 64"]),
            (&["mount", "--part-size", "1k", "m"], &["100.0 KiB", "5.0 GiB"]),
            (&["mount", "--cache-size", "1M", "m"], &["64.0 MiB"]),
            (&["mount", "--op-timeout", "soon", "m"], &["1h30m"]),
            (&["mount", "--op-timeout", "0", "m"], &["longer than nothing"]),
            (&["mount", "--umask", "888", "m"], &["octal"]),
            (&["mount", "--transfers", "0", "m"], &["from 1 to 64"]),
            (&["mount", "--xattr", "maybe", "m"], &["on, ro, off"]),
            (&["mount", "--cache-min-free", "120%", "m"], &["99%"]),
            (&["mount", "--verbose", "--quiet", "m"], &["--quiet"]),
            (&["mount", "photos", "m"], &["local:/DIR", "--endpoint"]),
            (&["mount", "--endpoint", "http://h", "m"], &["--token-file", "--drive-id"]),
            (&["mount", "--endpoint", "h", "--token-file", "t", "--drive-id", "1", "m"], &["https://"]),
            (
                &["mount", "--endpoint", "http://me@h", "--token-file", "t", "--drive-id", "1", "m"],
                &["no user"],
            ),
            (
                &["mount", "--endpoint", "http://h", "--token-file", "t", "--drive-id", "", "m"],
                &["--drive-id"],
            ),
            (
                &["mount", "--endpoint", "http://h", "--token-file", "t", "--drive-id", "1", "local:", "m"],
                &["both"],
            ),
            (&["serve", "--listen", "7070"], &["127.0.0.1:7070"]),
            (&["serve", "--public-url", "ftp://x"], &["--public-url"]),
            (&["serve", "--fault", "list explode"], &["\"explode\" is no fault", "lost-reply"]),
            (&["serve", "--check", "--fault", "list 500"], &["--check", "--fault"]),
            (&["umount", "--now", "--drain-timeout", "1s", "m"], &["--now"]),
        ];
        for (arguments, parts) in cases {
            refused(&home.run(arguments), 2, parts);
        }
        assert!(!home.path("m").exists(), "nothing is made for a command that makes no sense");
    }

    #[test]
    fn the_environment_is_read_as_strictly_as_the_flags() {
        let home = Home::new();
        let output = home.pdsfs().env("PDSFS_PART_SIZE", "x").args(["mount", "m"]).output().unwrap();
        refused(&output, 2, &["--part-size"]);
        let output = home.pdsfs().env("PDSFS_READ_ONLY", "perhaps").args(["mount", "m"]).output().unwrap();
        refused(&output, 2, &["--read-only"]);
        let output = home.pdsfs().env("PDSFS_ENDPOINT", "http://h").args(["mount", "m"]).output().unwrap();
        refused(&output, 2, &["--token-file"]);
    }

    #[test]
    fn a_mountpoint_that_cannot_be_one_ends_with_7() {
        let home = Home::new();
        std::fs::write(home.path("file"), "").unwrap();
        std::fs::create_dir(home.path("full")).unwrap();
        std::fs::write(home.path("full/x"), "").unwrap();
        for mode in [&["mount", "--foreground"][..], &["mount"]] {
            let run = |rest: &[&str]| home.run(&[mode, rest].concat());
            refused(&run(&["file"]), 7, &["file", "not a folder"]);
            refused(&run(&["full"]), 7, &["not empty", "--allow-non-empty"]);
            refused(&run(&["/proc"]), 7, &["/proc", "already mounted"]);
            refused(&run(&["local:data", "data/m"]), 7, &["overlaps with the data folder"]);
            refused(&run(&["--cache-dir", "c", "c"]), 7, &["overlaps with the cache"]);
        }
        assert!(!home.path("data/m").exists());
    }

    #[test]
    fn a_missing_token_file_ends_with_4_in_front_and_behind() {
        let home = Home::new();
        let remote = ["--endpoint", "http://127.0.0.1:1", "--token-file", "nowhere", "--drive-id", "1", "m"];
        for mode in [&["mount", "-f"][..], &["mount"]] {
            refused(&home.run(&[mode, &remote[..]].concat()), 4, &["nowhere", "--token-file"]);
        }
        assert!(!home.path("m").exists());
    }

    #[test]
    fn an_unreachable_service_tells_the_same_in_front_and_behind() {
        let home = Home::new();
        std::fs::write(home.path("token"), "very-secret").unwrap();
        // Port 1 is nobody's.
        let remote = ["--endpoint", "http://127.0.0.1:1", "--token-file", "token", "--drive-id", "1"];
        let hasty = ["--op-timeout", "2s", "--retries", "0", "m"];
        let front = home.run(&[&["mount", "-f"][..], &remote, &hasty].concat());
        let behind = home.run(&[&["mount"][..], &remote, &hasty].concat());
        // 8 is what a machine without FUSE answers before any request.
        assert!(matches!(front.status.code(), Some(5 | 8)), "{}", err(&front));
        assert_eq!(behind.status.code(), front.status.code(), "{}", err(&behind));
        // Log lines may come first in the foreground; the sentence is the same.
        let sentence =
            |output: &Output| err(output).lines().find(|line| line.starts_with("pdsfs: ")).map(str::to_owned);
        assert_eq!(sentence(&front), sentence(&behind));
        assert!(!format!("{}{}", err(&front), err(&behind)).contains("very-secret"));
        assert!(!home.path("m").exists(), "the folder made for the mount is taken away again");
    }

    #[test]
    fn umount_of_what_is_no_mount_of_ours_ends_with_7() {
        let home = Home::new();
        std::fs::create_dir(home.path("plain")).unwrap();
        refused(&home.run(&["umount", "plain"]), 7, &["plain", "nothing is mounted"]);
        refused(&home.run(&["umount", "missing"]), 7, &["missing", "nothing is mounted"]);
        refused(&home.run(&["umount", "/proc"]), 7, &["proc", "not a drive of pdsfs"]);
        refused(&home.run(&["status", "plain"]), 7, &["no drive is mounted there"]);
    }

    #[test]
    fn without_a_home_the_way_out_is_told_or_not_needed() {
        let home = Home::new();
        // A relative XDG path counts for nothing (XDG base directory specification).
        let output =
            home.pdsfs().env("XDG_STATE_HOME", "relative").args(["mount", "/proc"]).output().unwrap();
        refused(&output, 7, &["/proc"]);
        assert!(!home.path("relative").exists());
    }
}

mod background {
    use super::*;
    use pdsfs::config::Exit;
    use pdsfs::mount::daemon::launch;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_child_that_is_ready_is_believed() {
        let home = Home::new();
        let script = r#"echo '{"ready":{"mountpoint":"/m","notes":["repaired"]}}'"#;
        let ready = launch(&mut shell(script), &home.path("deep/log"), LONG).unwrap();
        assert_eq!((ready.mountpoint.as_str(), ready.notes.len()), ("/m", 1));
        let mode = std::fs::metadata(home.path("deep/log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_child_that_fails_passes_on_its_code_and_words() {
        let script = r#"echo '{"failed":{"code":4,"message":"mount: no"}}'; exit 4"#;
        let failure = launch(&mut shell(script), &Home::new().path("log"), LONG).unwrap_err();
        assert_eq!((failure.exit(), failure.message()), (Exit::Auth, "mount: no"));
    }

    #[test]
    fn a_child_that_dies_is_told_with_the_end_of_its_own_log() {
        let home = Home::new();
        std::fs::write(home.path("log"), "from an earlier run\n").unwrap();
        let failure = launch(&mut shell("echo it broke >&2; exit 3"), &home.path("log"), LONG).unwrap_err();
        for part in ["it broke", "exit status: 3", "log"] {
            assert!(failure.message().contains(part), "{part}: {failure}");
        }
        assert!(!failure.message().contains("earlier"), "{failure}");
        assert_eq!(failure.exit(), Exit::Other);
    }

    #[test]
    fn a_child_that_babbles_is_stopped() {
        let failure =
            launch(&mut shell("echo hello; exec sleep 600"), &Home::new().path("log"), LONG).unwrap_err();
        assert!(failure.message().contains("no sense"), "{failure}");
    }

    #[test]
    fn a_child_that_says_nothing_is_stopped_when_the_time_is_up() {
        let home = Home::new();
        let script = format!("echo $$ > {}; exec sleep 600", home.path("pid").display());
        let failure = launch(&mut shell(&script), &home.path("log"), Duration::from_millis(500)).unwrap_err();
        assert_eq!(failure.exit(), Exit::Temporary);
        assert!(failure.message().contains("--daemon-wait"), "{failure}");
        if let Ok(pid) = std::fs::read_to_string(home.path("pid")) {
            assert!(!Path::new("/proc").join(pid.trim()).exists(), "the child still lives");
        }
    }

    #[test]
    fn a_log_that_cannot_be_written_is_told_before_anything_starts() {
        let home = Home::new();
        std::fs::write(home.path("file"), "").unwrap();
        let script = format!("touch {}", home.path("started").display());
        let failure = launch(&mut shell(&script), &home.path("file/log"), LONG).unwrap_err();
        assert!(failure.message().contains("file/log"), "{failure}");
        assert!(!home.path("started").exists());
    }
}

mod control {
    use super::*;
    use pdsfs::config::{Exit, Failure};
    use pdsfs::mount::client::Client;
    use pdsfs::mount::control::{Handlers, Items, Listener, UmountOrder, Work, serve};
    use pdsfs::mount::protocol::{Incomplete, Job, MAX_REQUEST, Progress, Reply, Report, Request};
    use pdsfs::mount::runtime_dir::Place;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::sync::{mpsc, watch};
    use tokio::task::JoinHandle;

    const LONG: Duration = Duration::from_secs(60);

    struct Fake {
        home: Home,
        socket: PathBuf,
        orders: mpsc::Receiver<UmountOrder>,
        stop: watch::Sender<bool>,
        task: JoinHandle<()>,
    }

    impl Fake {
        fn start() -> Self {
            let home = Home::new();
            let uid = rustix::process::geteuid().as_raw();
            let place = Place::take_in(&[home.path("run")], Path::new("/mnt/fake"), uid).unwrap();
            let listener = Listener::bind(place).unwrap();
            let socket = listener.path().to_owned();
            let (umount, orders) = mpsc::channel(1);
            let (stop, stopping) = watch::channel(false);
            let status = Arc::new(|| json!({ "dirty_files": 2 }));
            // A job that says its limit's numbers, or never ends when there is none.
            let work = Arc::new(|job: Job, items: Items| -> Work {
                Box::pin(async move {
                    let (query, limit) = match job {
                        Job::Find { query, limit, .. } => (query, limit),
                        #[allow(unreachable_patterns)]
                        _ => return Err(Failure::new(Exit::Other, "not the job of this test")),
                    };
                    for number in 0..limit {
                        items.send(json!(number)).await.map_err(|_| Failure::new(Exit::Other, "gone"))?;
                    }
                    match &*query {
                        "for ever" => std::future::pending().await,
                        "nonsense" => Err(Failure::new(Exit::Usage, "column 1")),
                        _ => Ok(json!({ "found": limit })),
                    }
                })
            });
            let task = tokio::spawn(serve(listener, Handlers { status, work, umount }, stopping));
            Fake { home, socket, orders, stop, task }
        }

        async fn client(&self) -> Client {
            Client::connect_to(&self.socket).await.unwrap()
        }

        /// Says `bytes` as they are and reads all that comes back.
        async fn say(&self, bytes: &[u8]) -> String {
            let mut stream = UnixStream::connect(&self.socket).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }
    }

    #[tokio::test]
    async fn status_is_one_line_each_way() {
        let fake = Fake::start();
        let answer = fake.say(b"{\"cmd\":\"status\"}\n").await;
        assert_eq!(answer, "{\"status\":{\"dirty_files\":2}}\n");
        let mut client = fake.client().await;
        client.ask(&Request::Status).await.unwrap();
        assert_eq!(client.reply(LONG).await.unwrap(), Reply::Status(json!({ "dirty_files": 2 })));
        assert_eq!(client.pid(), i32::try_from(std::process::id()).ok());
    }

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_the_mount() {
        let fake = Fake::start();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&fake.socket), 0o600);
        assert_eq!(mode(&fake.home.path("run")), 0o700);
        fake.stop.send(true).unwrap();
        fake.task.await.unwrap();
        assert!(!fake.socket.exists());
    }

    #[tokio::test]
    async fn nonsense_and_endless_lines_are_refused() {
        let fake = Fake::start();
        for line in [&b"hello\n"[..], b"{\"cmd\":\"format\"}\n", b"\xff\n", b"[]\n"] {
            assert!(fake.say(line).await.contains("not a request"), "{line:?}");
        }
        assert!(fake.say(&vec![b'x'; MAX_REQUEST]).await.contains("not a request"));
        let endless = b"{\"cmd\":\"umount\",\"drain_timeout\":-1}\n";
        assert!(fake.say(endless).await.contains("drain_timeout"));
        // And it still answers.
        assert!(fake.say(b"{\"cmd\":\"status\"}\n").await.contains("dirty_files"));
    }

    #[tokio::test]
    async fn a_job_tells_all_its_pieces_and_then_its_answer() {
        let fake = Fake::start();
        let find =
            |query: &str, limit| Request::Do(Job::Find { query: query.into(), under: String::new(), limit });
        let mut client = fake.client().await;
        client.ask(&find("any", 1_000)).await.unwrap();
        let (mut pieces, mut last) = (Vec::new(), None);
        while last.is_none() {
            match client.reply(LONG).await.unwrap() {
                Reply::Item(piece) => pieces.push(piece.as_u64().unwrap()),
                Reply::Alive => {}
                other => last = Some(other),
            }
        }
        assert_eq!(pieces, (0..1_000).collect::<Vec<_>>());
        assert_eq!(last, Some(Reply::Answer(json!({ "found": 1_000 }))));

        let mut client = fake.client().await;
        client.ask(&find("nonsense", 0)).await.unwrap();
        let refused = loop {
            match client.reply(LONG).await.unwrap() {
                Reply::Alive => {}
                other => break other,
            }
        };
        assert_eq!(refused, Reply::Failed(Failure::new(Exit::Usage, "column 1")));
    }

    #[tokio::test]
    async fn a_job_whose_client_hangs_up_is_dropped_and_others_are_answered() {
        let fake = Fake::start();
        // More than are served at the same time: each leaves its place.
        for _ in 0..20 {
            let mut client = fake.client().await;
            let job = Job::Find { query: "for ever".into(), under: String::new(), limit: 1 };
            client.ask(&Request::Do(job)).await.unwrap();
            let first = loop {
                match client.reply(LONG).await.unwrap() {
                    Reply::Alive => {}
                    other => break other,
                }
            };
            assert_eq!(first, Reply::Item(json!(0)));
        }
        assert!(fake.say(b"{\"cmd\":\"status\"}\n").await.contains("dirty_files"));
    }

    #[tokio::test]
    async fn an_unmount_reports_its_progress_and_what_stayed() {
        let mut fake = Fake::start();
        let mut client = fake.client().await;
        client.ask(&Request::Umount { drain_timeout: Some(2.5) }).await.unwrap();
        let order = fake.orders.recv().await.unwrap();
        assert_eq!(order.drain_timeout, Some(Duration::from_millis(2500)));
        let step = Progress { files: 1, bytes_done: 5, bytes_total: 9 };
        order.progress(step);
        // A first beat with nothing in it may come before.
        while client.reply(LONG).await.unwrap() != Reply::Progress(step) {}
        let stayed = Incomplete { path: "a".into(), error: "full".into() };
        let report = Report { incomplete: vec![stayed], total: 1, kept_in: "/state".into() };
        order.finish(Ok(report.clone())).await;
        let last = loop {
            let reply = client.reply(LONG).await.unwrap();
            if reply.is_last() {
                break reply;
            }
        };
        assert_eq!(last, Reply::Done(report));
    }

    #[tokio::test]
    async fn a_busy_mount_answers_with_its_failure() {
        let mut fake = Fake::start();
        let mut client = fake.client().await;
        client.ask(&Request::Umount { drain_timeout: None }).await.unwrap();
        let order = fake.orders.recv().await.unwrap();
        // One order at a time is worked on and one may wait; the next is refused.
        let mut waiting = fake.client().await;
        waiting.ask(&Request::Umount { drain_timeout: None }).await.unwrap();
        while fake.orders.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(fake.say(b"{\"cmd\":\"umount\"}\n").await.contains("already under way"));
        let busy = Failure::new(Exit::Mountpoint, "in use by vim");
        order.finish(Err(busy.clone())).await;
        let last = loop {
            let reply = client.reply(LONG).await.unwrap();
            if reply.is_last() {
                break reply;
            }
        };
        assert_eq!(last, Reply::Failed(busy));
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_calls_it_off() {
        let mut fake = Fake::start();
        let mut client = fake.client().await;
        client.ask(&Request::Umount { drain_timeout: None }).await.unwrap();
        let order = fake.orders.recv().await.unwrap();
        drop(client);
        tokio::time::timeout(LONG, order.called_off()).await.unwrap();
    }

    #[tokio::test]
    async fn the_last_line_arrives_although_the_mount_ends() {
        let mut fake = Fake::start();
        let mut client = fake.client().await;
        client.ask(&Request::Umount { drain_timeout: None }).await.unwrap();
        let order = fake.orders.recv().await.unwrap();
        for _ in 0..100 {
            order.progress(Progress::default());
        }
        order.finish(Ok(Report::default())).await;
        fake.stop.send(true).unwrap();
        let last = loop {
            let reply = client.reply(LONG).await.unwrap();
            if reply.is_last() {
                break reply;
            }
        };
        assert_eq!(last, Reply::Done(Report::default()));
        fake.task.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_said_so() {
        let home = Home::new();
        let error = Client::connect_to(&home.path("none")).await.unwrap_err();
        assert_eq!(error.kind(), pdsfs::error::Kind::Unavailable);
    }
}

mod serve {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    #[test]
    fn one_ready_line_a_private_token_and_a_clean_end() {
        let home = Home::new();
        let arguments =
            ["serve", "--data", "data", "--listen", "127.0.0.1:0", "--token-file", "secret/token"];
        let mut child =
            home.pdsfs().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        lines.read_line(&mut ready).unwrap();
        let words: Vec<&str> = ready.trim_end().splitn(6, ' ').collect();
        assert_eq!(words[..4], ["pdsfs", "serve:", "ready", "on"], "{ready}");
        let address = words[4].strip_prefix("http://").unwrap();
        assert!(std::net::TcpStream::connect(address).is_ok(), "{address}");
        let token_file = home.path("secret/token");
        assert!(
            ready.contains("drive_id=") && ready.contains(&format!("token_file={}", token_file.display())),
            "{ready}"
        );
        let token = std::fs::read_to_string(&token_file).unwrap();
        assert!(token.trim().len() >= 8 && token.ends_with('\n'));
        assert_eq!(std::fs::metadata(&token_file).unwrap().permissions().mode() & 0o777, 0o600);

        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
        assert_eq!(rest, "", "one line and no more");
        assert!(!said.contains(token.trim()) && !ready.contains(token.trim()));
    }

    #[test]
    fn a_check_ends_by_what_it_found() {
        let home = Home::new();
        refused(&home.run(&["serve", "--check", "--data", "nowhere"]), 3, &["nowhere", "no store"]);
        let mut options = pdsfs::server::ServerOptions::new(home.path("served"));
        options.access_token = Some("t".into());
        pdsfs::server::Server::start(options).unwrap().stop();
        let sound = home.run(&["serve", "--check", "--data", "served"]);
        assert!(sound.status.success(), "{}", err(&sound));
        assert_eq!(out(&sound), "no damage: 0 files and folders, 0 contents, 0 bytes\n");
        std::fs::create_dir_all(home.path("served/blobs/ab")).unwrap();
        std::fs::write(home.path("served/blobs/ab/stray"), "x").unwrap();
        let damaged = home.run(&["serve", "--check", "--data", "served"]);
        assert_eq!(out(&damaged), "orphan blobs/ab/stray: no row names it\n");
        assert_eq!(damaged.status.code(), Some(1));
        assert!(err(&damaged).contains("1 damaged"), "{}", err(&damaged));
    }

    #[test]
    fn an_address_in_use_is_told() {
        let home = Home::new();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let output = home.run(&["serve", "--data", "data", "--listen", &address]);
        assert!(matches!(output.status.code(), Some(1 | 7)), "{}", err(&output));
        assert!(err(&output).starts_with("pdsfs: "), "{}", err(&output));
        assert_eq!(out(&output), "");
    }
}
