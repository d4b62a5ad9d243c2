//! What `pdsfs mount` does and refuses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::mount::{not_tested, running, send, until};
use crate::support::{Home, Mount, Said};

fn mounted(home: &Home, name: &str) -> bool {
    // The file escapes blanks.
    let path = home.path(name).to_str().unwrap().replace(' ', "\\040");
    fs::read_to_string("/proc/mounts").unwrap().lines().any(|line| line.split(' ').nth(1) == Some(&path))
}

#[test]
fn one_command_and_it_is_there() {
    let home = Home::new();
    let m = Mount::at(home, &["local:"]);
    // The command has returned: it is in the list of mounts and answers at once.
    assert!(mounted(&m, "mnt"));
    m.quiet("ls -la mnt; echo hello > mnt/f; cat mnt/f");
    let told = Said::of("status", &mut m.pdsfs(["status", "mnt"])).quiet();
    assert!(told.contains("local:") && told.contains("dirty files: 0"), "{told}");
    m.umount().quiet();
    assert!(!mounted(&m, "mnt"));
    assert!(m.path("mnt").is_dir());
    m.mount().quiet();
    assert_eq!(m.quiet("cat mnt/f"), "hello\n");
}

#[test]
fn the_words_of_success_can_be_typed() {
    let home = Home::new();
    let place = "a drive/of 'my' \u{7167}\u{7247}";
    let said = Said::of("mount", &mut home.pdsfs(["mount", "local:", place]));
    let m = Mount::adopt(home, place);
    assert!(said.out.starts_with("Mounted local:"), "{said}");
    said.clone().quiet();
    let lines: Vec<&str> = said.out.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
    assert_eq!(lines.len(), 4, "{said}");
    m.quiet("ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x48 -frames:v 1 photo.jpg");
    let typed = lines.join("\n");
    let typed = typed.split("    (").next().unwrap();
    let said = m.sh(&format!("pdsfs() {{ '{}' \"$@\"; }}\n{typed}", m.program().display())).ok();
    assert!(said.contains("user.pds.image.width=\"64\""), "{said}");
    assert!(!mounted(&m, place));
}

#[test]
fn in_the_foreground_until_ctrl_c() {
    let home = Home::new();
    let mut child = home
        .pdsfs(["mount", "-f", "local:", "mnt"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let m = Mount::adopt(home, "mnt");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Mounted local:"), "{line}");
    m.quiet("echo hello > mnt/f");
    assert!(running(pid));
    send(pid, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!mounted(&m, "mnt"));
    let again = Mount::at_home_of(&m, &["local:"]);
    again.quiet("test $(cat mnt/f) = hello");
}

#[test]
fn a_second_mount_is_refused_and_the_first_goes_on() {
    let m = Mount::new();
    m.quiet("echo hello > mnt/f");
    let same_place = Said::of("mount", &mut m.pdsfs(["mount", "local:/tmp/never-made", "mnt"]));
    same_place.failed(7, &["pdsfs: mount", "already mounted there", "pdsfs umount"]);
    let same_data = Said::of("mount", &mut m.pdsfs(["mount", "local:", "other"]));
    same_data.failed(7, &["pdsfs: ", "another pdsfs process is using it"]);
    assert!(!m.path("other").exists(), "a mountpoint that was made for nothing is removed again");
    let serve = Said::of("serve", &mut m.pdsfs(["serve", "--listen", "127.0.0.1:0"]));
    serve.failed(7, &["pdsfs: ", "another pdsfs process is using it"]);
    let inside = Said::of("mount", &mut m.pdsfs(["mount", "local:inside", "mnt/f"]));
    inside.failed(7, &["pdsfs: mount", "not a folder"]);
    m.quiet("test $(cat mnt/f) = hello; echo more >> mnt/f");
    // Another drive at another place is fine.
    let second = Mount::at(Home::new(), &["local:"]);
    second.quiet("echo second > mnt/f");
    m.quiet("test $(wc -l < mnt/f) = 2");
}

#[test]
fn what_cannot_be_mounted_on_is_named() {
    let home = Home::new();
    home.quiet("echo x > file; mkdir full; echo x > full/x; ln -s nowhere dangling");
    let refused = |place: &str, words: &[&str]| {
        let said = Said::of(place, &mut home.pdsfs(["mount", "local:", place]));
        said.failed(7, words);
        assert!(
            said.err.starts_with("pdsfs: mount ") && said.err.lines().count() <= 2 && said.out.is_empty(),
            "{said}"
        );
    };
    refused("file", &["not a folder"]);
    refused("file/below", &["file/below"]);
    refused("full", &["not empty", "--allow-non-empty"]);
    refused("/proc", &["proc"]);
    refused("data/pdsfs/local/inside", &["overlaps with the data folder"]);
    home.quiet("cat file full/x > /dev/null");
    let m = Mount::at(home, &["--allow-non-empty", "local:"]);
    m.quiet("echo y > mnt/y; mkdir hidden");
}

#[test]
fn a_forgotten_endpoint_does_not_mount_another_drive() {
    let home = Home::new();
    home.quiet("echo secret > token");
    for options in
        [&["--drive-id", "7"][..], &["--token-file", "token"], &["--token-file", "token", "--drive-id", "7"]]
    {
        let said = Said::of("mount", home.pdsfs(["mount"]).args(options).arg("mnt"));
        said.failed(2, &["pdsfs: mount", "--endpoint"]);
        assert!(!home.path("mnt").exists() && !home.path("data").exists(), "{said}");
    }
}

#[test]
fn a_read_only_mount_changes_nothing() {
    let m = Mount::new();
    m.quiet("echo hello > mnt/f; mkdir mnt/d");
    m.umount().quiet();
    let m = Mount::at_home_of(&m, &["--read-only", "local:"]);
    m.quiet(
        "test $(cat mnt/f) = hello; getfattr -d mnt/f > /dev/null; ls -l mnt > /dev/null; cp mnt/f disk/f",
    );
    for script in [
        "echo x > mnt/f",
        "echo x >> mnt/f",
        "echo x > mnt/new",
        "rm mnt/f",
        "rmdir mnt/d",
        "mkdir mnt/e",
        "mv mnt/f mnt/g",
        "touch mnt/f",
        "chmod 600 mnt/f",
        "truncate -s 1 mnt/f",
        "setfattr -n user.x -v 1 mnt/f",
        "cp disk/f mnt/h",
        "ln mnt/f mnt/l",
    ] {
        m.sh(script).failed(1, &["Read-only file system"]);
    }
    m.quiet("test $(cat mnt/f) = hello; test \"$(ls mnt | xargs)\" = 'd f'");
}

#[test]
fn owner_and_permissions_are_as_asked_for() {
    if !rustix::process::geteuid().is_root() {
        return not_tested("only root can look at a mount with another user's eyes");
    }
    let as_nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let m = Mount::with(&["--allow-other", "--uid", "65534", "--gid", "65534", "--umask", "077"]);
    m.quiet("chmod 755 .");
    m.quiet(&format!("{as_nobody} sh -c 'echo mine > mnt/f; mkdir mnt/d; cat mnt/f > /dev/null'"));
    m.remount();
    assert_eq!(m.quiet("stat -c '%a %u %g' mnt/f mnt/d"), "600 65534 65534\n700 65534 65534\n");
    m.sh("setpriv --reuid 12345 --regid 12345 --clear-groups cat mnt/f").failed(1, &["Permission denied"]);
    // Without the option nobody else gets in.
    let private = Mount::new();
    private.quiet("chmod 755 .; echo x > mnt/f");
    private.sh(&format!("{as_nobody} ls mnt")).failed(2, &["Permission denied"]);
}

#[test]
fn an_ordinary_user_mounts_through_fusermount() {
    let m = Mount::of_user();
    m.file("disk/a", 3_000_000);
    m.quiet("cp disk/a mnt/a; cmp disk/a mnt/a; test $(stat -c %u mnt/a) = $(id -u)");
    m.remount();
    m.quiet("cmp disk/a mnt/a; test $(stat -f -c %T mnt) = fuseblk -o $(stat -f -c %T mnt) = fuse");
    let busy = m.sh(&format!("exec 3< mnt/a; '{}' umount mnt", m.program().display()));
    busy.failed(7, &["a program is using it"]);
    m.kill();
    let said = m.mount();
    assert!(said.code == Some(0) && said.err.contains("left over by a pdsfs that was killed"), "{said}");
    m.quiet("cmp disk/a mnt/a; fusermount3 -u mnt");
    until("the process ends", || m.daemon_if_any().is_none());
    m.mount().quiet();
    m.quiet("cmp disk/a mnt/a");
}

#[test]
fn a_user_without_the_right_to_fuse_is_told() {
    if !rustix::process::geteuid().is_root() {
        return not_tested("only root can take the device away");
    }
    let home = Home::of_user();
    home.quiet_as_root("chmod 600 fuse");
    let said = Said::of("mount", &mut home.pdsfs(["mount", "local:", "mnt"]));
    said.failed(8, &["pdsfs: mount", "/dev/fuse", "chmod 666"]);
    assert!(!home.path("mnt").exists());
    home.quiet_as_root("chmod 666 fuse");
    let said = Said::of("mount", &mut home.pdsfs(["mount", "--allow-other", "local:", "mnt"]));
    if home.sh("grep -qx user_allow_other /etc/fuse.conf").code != Some(0) {
        said.failed(8, &["pdsfs: mount", "user_allow_other"]);
    }
}
