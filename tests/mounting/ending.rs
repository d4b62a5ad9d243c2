//! umount, busy, signals, `kill -9`, and what is there afterwards.

use std::process::Stdio;

use rustix::process::Signal;

use crate::support::mount::{gone, send, until};
use crate::support::{Mount, Said};

#[test]
fn umount_of_a_mount_in_use_names_who_uses_it() {
    let m = Mount::new();
    m.quiet("echo hello > mnt/f; mkdir mnt/d");
    let pdsfs = m.program().display().to_string();
    for (script, user) in [
        (format!("exec 3< mnt/f; '{pdsfs}' umount mnt 3<&-; exit $?"), "bash"),
        (format!("cd mnt/d; '{pdsfs}' umount ../../mnt; exit $?"), "bash"),
        (format!("exec 3>> mnt/f; echo more >&3; '{pdsfs}' umount mnt 3>&-; exit $?"), "bash"),
    ] {
        let said = m.sh(&format!("set +e; {script}"));
        said.failed(7, &["pdsfs: unmount", "a program is using it", user]);
        assert!(!said.err.contains("pdsfs (pid"), "the command does not stand in its own way: {said}");
        m.quiet("cat mnt/f > /dev/null; echo again >> mnt/f; ls mnt > /dev/null");
    }
    m.umount().quiet();
    m.umount().failed(7, &["nothing is mounted there"]);
    m.mount().quiet();
    assert_eq!(m.quiet("cat mnt/f"), "hello\nagain\nagain\nmore\nagain\n");
}

#[test]
fn umount_waits_for_what_is_written_in_the_background() {
    let m = Mount::new();
    m.file("disk/a", 5_000_000);
    // The last close is a child's, so nobody waits for the upload but umount.
    m.quiet("bash -c 'exec 3> mnt/a; (cat disk/a >&3) & exec 3>&-; wait'");
    m.umount().quiet();
    m.mount().quiet();
    m.quiet("cmp disk/a mnt/a");
}

#[test]
fn unmounted_from_outside_it_ends_cleanly() {
    let m = Mount::new();
    m.file("disk/a", 2_000_000);
    let mut tools = vec!["fusermount3 -u mnt", "fusermount3 -uz mnt"];
    if rustix::process::geteuid().is_root() {
        tools.extend(["umount mnt", "umount -l mnt"]);
    }
    for (number, tool) in tools.iter().enumerate() {
        let pid = m.daemon();
        m.quiet(&format!("cp disk/a mnt/{number}; {tool}"));
        gone(pid);
        m.mount().quiet();
        m.quiet(&format!("cmp disk/a mnt/{number}"));
    }
}

#[test]
fn a_signal_ends_it_when_everything_is_on_the_drive() {
    let m = Mount::new();
    m.file("disk/a", 4_000_000);
    for (number, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let pid = m.daemon();
        // The terminal it was started from may close.
        send(pid, Signal::HUP);
        // A program has the file open and has not closed it: what it wrote is sent nevertheless.
        m.quiet(&format!("mkfifo go{number}"));
        let script = format!(
            "exec 3> mnt/{number}; cat disk/a >&3; echo ready > ready{number}; read x < go{number}; exec 3>&- || true"
        );
        let mut writer = m.command("bash").args(["-c", &script]).spawn().unwrap();
        until("the program has written", || m.path(format!("ready{number}")).exists());
        send(pid, signal);
        until("it is unmounted", || m.sh("mountpoint -q mnt").code != Some(0));
        m.quiet(&format!("echo now > go{number}"));
        writer.wait().unwrap();
        gone(pid);
        m.mount().quiet();
        m.quiet(&format!("cmp disk/a mnt/{number}"));
    }
}

#[test]
fn killed_while_idle_nothing_that_was_closed_is_lost() {
    let m = Mount::new();
    m.file("disk/t/a", 3_000_000);
    m.file("disk/t/d/b", 10);
    for number in 0..3 {
        m.quiet(&format!("cp -r disk/t mnt/t{number}; mv mnt/t{number}/a mnt/t{number}/c"));
        m.kill();
        m.sh("ls mnt").failed(2, &["Transport endpoint is not connected"]);
        Said::of("info", &mut m.pdsfs(["info", "mnt/t0"])).failed(5, &["the mount is dead", "mount again"]);
        let said = m.mount();
        assert!(said.code == Some(0) && said.err.contains("left over by a pdsfs that was killed"), "{said}");
        m.quiet(&format!("for n in $(seq 0 {number}); do cmp disk/t/a mnt/t$n/c; cmp disk/t/d/b mnt/t$n/d/b; test ! -e mnt/t$n/a; done"));
    }
    // Or it is only cleaned up.
    m.kill();
    let said = m.umount();
    assert!(said.code == Some(0) && said.err.contains("left over"), "{said}");
    m.quiet("! mountpoint -q mnt");
}

#[test]
fn killed_during_a_copy_no_half_file_is_seen() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    m.quiet("echo old > mnt/replaced; echo untouched > mnt/other");
    let copy = "import time
new, replaced = open('mnt/new', 'wb', 0), open('mnt/replaced', 'wb', 0)
new.write(bytes(5000000)); replaced.write(bytes(3000000))
open('ready', 'w').close()
time.sleep(60)";
    let mut writer = m.command("python3").args(["-c", copy]).spawn().unwrap();
    until("half a copy", || m.path("ready").exists());
    m.kill();
    writer.kill().unwrap();
    writer.wait().unwrap();
    let said = m.mount();
    assert_eq!(said.code, Some(0), "{said}");
    m.quiet("test ! -e mnt/new; test $(cat mnt/replaced) = old; test $(cat mnt/other) = untouched");
    m.quiet(
        "echo new > mnt/new; test $(cat mnt/new) = new; test \"$(ls mnt | xargs)\" = 'new other replaced'",
    );
    m.remount();
    m.quiet("test $(cat mnt/new) = new; test $(cat mnt/replaced) = old");
}

#[test]
fn killed_in_the_middle_of_a_redirection_the_program_learns_it() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    m.quiet("echo old > mnt/old; mkfifo pipe go");
    for name in ["old", "new"] {
        let script = format!("cat pipe > mnt/{name}; echo $? > code");
        let copy = m.command("bash").args(["-c", &script]).stderr(Stdio::null()).spawn().unwrap();
        let feed =
            "exec 3> pipe; head -c 4000000 disk/a >&3; echo > ready; read x < go; head -c 4000000 disk/a >&3";
        m.file("disk/a", 4_000_000);
        let feed = m.command("bash").args(["-c", feed]).stderr(Stdio::null()).spawn().unwrap();
        until("half a copy", || m.path("ready").exists());
        m.kill();
        m.quiet("rm ready; echo now > go");
        for mut child in [copy, feed] {
            child.wait().unwrap();
        }
        assert_ne!(m.quiet("cat code").trim(), "0");
        assert_eq!(m.mount().code, Some(0));
        // Whatever an earlier run was to bring to the drive is there when it is unmounted.
        m.remount();
        m.quiet("test \"$(ls mnt)\" = old; test $(cat mnt/old) = old");
    }
}

#[test]
fn a_killed_mount_finds_its_cache_again() {
    let m = Mount::new();
    m.file("disk/a", 3_000_000);
    m.quiet("cp disk/a mnt/a");
    let recorded = || {
        let path = m.path(m.quiet("find cache -name content.db").trim());
        let db = rusqlite::Connection::open(path).unwrap();
        db.query_row("SELECT count(*) FROM content", [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    until("it is recorded", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        recorded() == 1
    });
    m.kill();
    assert_eq!(m.mount().code, Some(0));
    assert_eq!(m.quiet("getfattr --only-values -n user.pds.cached_bytes mnt/a"), "3000000");
    m.quiet("cmp disk/a mnt/a");
}
