//! Full disks and drives, servers that answer nonsense, damaged data.

use std::fs;
use std::time::Duration;

use pdsfs::server::{Fault, FaultAction, Server, ServerOptions};

use crate::support::mount::{noise, not_tested};
use crate::support::{Home, Mount, Said};

/// A server in this process, and the options to mount its drive.
fn server(home: &Home, change: impl FnOnce(&mut ServerOptions)) -> (Server, Vec<String>) {
    let mut options = ServerOptions::new(home.path("served"));
    change(&mut options);
    let server = Server::start(options).unwrap();
    fs::write(home.path("token"), server.access_token()).unwrap();
    let arguments = ["--endpoint", server.url(), "--token-file", "token", "--drive-id", server.drive_id()];
    let arguments = arguments.map(str::to_owned).to_vec();
    (server, arguments)
}

fn mount(home: Home, arguments: &[String]) -> Mount {
    Mount::at(home, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A disk of 12 MiB on `small` of a home; gone with this value, whatever happens.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn new(home: &Home) -> Self {
        home.quiet("mkdir small; mount -t tmpfs -o size=12m none small");
        SmallDisk(home.path("small"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A daemon may still be on it when a test fails, and the home may have been removed around it.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = fs::remove_dir(&self.0).and_then(|()| fs::remove_dir(self.0.parent().unwrap()));
    }
}

#[test]
fn a_full_drive_is_told_and_the_bytes_are_kept() {
    let home = Home::new();
    let (_server, options) = server(&home, |options| options.drive_total_bytes = Some(5_000_000));
    let m = mount(home, &options);
    m.file("disk/big", 4_000_000);
    m.file("disk/more", 2_000_000);
    m.quiet("cp disk/big mnt/big");
    m.sh("cp disk/more mnt/more").failed(1, &["mnt/more", "Disk quota exceeded"]);
    m.quiet("cmp disk/more mnt/more; cmp disk/big mnt/big; echo small > mnt/small");
    let status = Said::of("status", &mut m.pdsfs(["status", "mnt"])).quiet();
    assert!(status.contains("more") && status.contains("dirty files: 1"), "{status}");
    let said = Said::of("umount", &mut m.pdsfs(["umount", "--drain-timeout", "1s", "mnt"]));
    said.failed(6, &["more", "not complete on the drive"]);
    // Room is made, and the next mount sends what was left.
    assert_eq!(m.mount().code, Some(0));
    m.quiet("rm mnt/big");
}

#[test]
fn a_full_local_disk_is_told_when_writing_and_nothing_is_damaged() {
    if !rustix::process::geteuid().is_root() {
        return not_tested("only root can make a small disk");
    }
    let home = Home::new();
    let (_server, options) = server(&home, |_| {});
    let small = SmallDisk::new(&home);
    let mut options = options;
    options.extend(
        [
            "--cache-dir",
            "small/cache",
            "--state-dir",
            "small/state",
            "--part-size",
            "1MiB",
            "--log-file",
            "log",
        ]
        .map(String::from),
    );
    let m = mount(home, &options);
    m.file("disk/fits", 2_000_000);
    m.file("disk/big", 30_000_000);
    m.quiet("cp disk/fits mnt/fits");
    let said = m.sh("cp disk/big mnt/big");
    said.failed(1, &["No space left on device"]);
    m.quiet("rm mnt/big; cmp disk/fits mnt/fits; cp disk/fits mnt/again; cmp disk/fits mnt/again");
    assert_eq!(m.umount().code, Some(0));
    drop(small);
}

#[test]
fn a_server_that_answers_nonsense_is_no_reason_to_hang_or_crash() {
    let home = Home::new();
    let (server, options) = server(&home, |_| {});
    let mount = |what: &str| {
        let mut command = home.pdsfs(["mount", "--retries", "1", "--op-timeout", "5s"]);
        Said::of(what, command.args(&options).arg("mnt"))
    };
    for (route, action) in [
        ("drive/get", FaultAction::NotJson),
        ("drive/get", FaultAction::HugeReply),
        ("drive/get", FaultAction::CutBody),
        ("drive/get", FaultAction::CutBefore),
        ("list", FaultAction::NotJson),
        ("list", FaultAction::CutBody),
        ("drive/get", FaultAction::Status(503, "ServiceUnavailable", "later")),
        ("list", FaultAction::Status(500, "InternalError", "oops")),
        ("drive/get", FaultAction::Delay(Duration::from_secs(30))),
    ] {
        server.faults().add(Fault { route, action: action.clone(), times: u32::MAX });
        let said = mount(&format!("mount with {action:?} of {route}"));
        server.faults().clear();
        assert!(matches!(said.code, Some(1 | 5)), "{said}");
        assert!(
            said.err.starts_with("pdsfs: ") && said.err.len() < 600 && said.err.lines().count() <= 3,
            "{said}"
        );
        assert!(!said.err.contains("panicked") && !home.path("mnt").exists(), "{said}");
    }
    let m = Mount::at(home, &options.iter().map(String::as_str).collect::<Vec<_>>());
    m.quiet("echo fine > mnt/f");
}

#[test]
fn passing_trouble_is_not_noticed_by_programs() {
    let home = Home::new();
    let (server, mut options) = server(&home, |_| {});
    options.extend(["--part-size", "1MiB"].map(String::from));
    let m = mount(home, &options);
    m.file("disk/a", 5_000_000);
    for (route, action) in [
        ("put_part", FaultAction::CutBefore),
        ("put_part", FaultAction::LostReply),
        ("put_part", FaultAction::ExpiredUrl),
        ("put_part", FaultAction::Status(503, "SlowDown", "slow down")),
        ("create", FaultAction::CutBefore),
        ("complete", FaultAction::LostReply),
        ("complete", FaultAction::CutBody),
        ("get_object", FaultAction::CutBody),
        ("get_object", FaultAction::ExpiredUrl),
        ("get_object", FaultAction::CutBefore),
        ("get_download_url", FaultAction::Status(500, "InternalError", "oops")),
    ] {
        m.quiet("rm -f mnt/*");
        server.faults().add(Fault { route, action: action.clone(), times: 1 });
        let copied = m.sh("cp disk/a mnt/a");
        assert!(copied.code == Some(0) && copied.err.is_empty(), "{action:?} of {route}: {copied}");
        m.remount();
        server.faults().add(Fault { route, action: action.clone(), times: 1 });
        let back = m.sh("cp mnt/a disk/b && cmp disk/a disk/b && test $(ls mnt) = a");
        assert!(back.code == Some(0) && back.err.is_empty(), "{action:?} of {route}: {back}");
        server.faults().clear();
    }
}

#[test]
fn damaged_data_of_a_drive_is_told_and_left_alone() {
    let m = Mount::new();
    m.quiet("echo hello > mnt/f");
    m.umount().quiet();
    let database = m.path("data/pdsfs/local/pds.db");
    let good = fs::read(&database).unwrap();
    for damaged in [noise(good.len()), b"not a database".to_vec()] {
        fs::write(&database, &damaged).unwrap();
        let said = m.mount();
        assert!(matches!(said.code, Some(1 | 2)), "{said}");
        assert!(
            said.err.starts_with("pdsfs: ")
                && said.err.contains("pdsfs/local")
                && !said.err.contains("panicked"),
            "{said}"
        );
        assert_eq!(fs::read(&database).unwrap(), damaged, "it is left as it was");
    }
    fs::write(&database, &good).unwrap();
    m.mount().quiet();
    m.quiet("test $(cat mnt/f) = hello");
    m.umount().quiet();
    // Somebody's folder is not taken for a drive.
    m.quiet("mkdir -p disk/precious; echo mine > disk/precious/file");
    let said = Said::of("mount", &mut m.pdsfs(["mount", "local:disk/precious", "mnt2"]));
    assert!(matches!(said.code, Some(1 | 2 | 7)) && said.err.starts_with("pdsfs: "), "{said}");
    assert_eq!(m.quiet("ls disk/precious"), "file\n");
}

#[test]
fn a_file_that_vanished_from_the_store_is_an_error_and_no_garbage() {
    let m = Mount::new();
    m.file("disk/a", 3_000_000);
    m.quiet("cp disk/a mnt/a");
    m.umount().quiet();
    m.quiet("find data/pdsfs/local/blobs -type f -size +1M -exec truncate -s 1000000 {} +");
    m.mount().quiet();
    let said = m.sh("timeout 60 cat mnt/a > disk/out");
    assert_eq!(said.code, Some(1), "{said}");
    m.quiet("ls -l mnt/a > /dev/null; echo fine > mnt/f");
}

#[test]
fn what_is_copied_in_does_not_fill_the_disk_for_ever() {
    let m = Mount::with(&["--cache-size", "64MiB"]);
    m.file("disk/a", 16 << 20);
    for number in 0..12 {
        m.quiet(&format!("cp disk/a mnt/{number}"));
        let kept: u64 =
            m.quiet("du -sm cache state | awk '{ sum += $1 } END { print sum }'").trim().parse().unwrap();
        assert!(kept <= 64 + 2, "after {} files {kept} MiB are kept", number + 1);
    }
    m.quiet("for n in 0 5 11; do cmp disk/a mnt/$n; done");
}
