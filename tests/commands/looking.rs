//! Programs that only look, and what is refused with which words.

use crate::support::Mount;

#[test]
fn listings_show_what_there_is() {
    let m = Mount::new();
    m.file("disk/t/a", 1234);
    m.file("disk/t/d/e/f", 0);
    m.quiet("cp -r disk/t mnt/");
    m.remount();
    assert_eq!(m.quiet("cd mnt; find . | sort"), m.quiet("cd disk; find . | sort"));
    assert_eq!(m.quiet("cd mnt; find . -type f -size +1k -name a"), "./t/a\n");
    assert_eq!(m.quiet("cd mnt; find . -empty -type f"), "./t/d/e/f\n");
    let listing = m.quiet("ls -lR mnt");
    assert!(listing.contains(" 1234 ") && listing.contains("mnt/t/d/e:"), "{listing}");
    assert_eq!(m.quiet("ls -a mnt"), ".\n..\nt\n");
    assert_eq!(
        m.quiet("ls -1 mnt/t mnt/t/a 2>&1 | sort"),
        m.quiet("ls -1 disk/t disk/t/a | sed s/disk/mnt/ | sort")
    );
    assert_eq!(
        m.quiet("tree -a mnt 2>/dev/null | tail -n 1 || true").trim(),
        m.quiet("tree -a disk 2>/dev/null | tail -n 1 || true").trim()
    );
}

#[test]
fn stat_tells_size_type_owner_and_times() {
    let m = Mount::new();
    m.file("disk/a", 5000);
    m.quiet("cp disk/a mnt/a; mkdir mnt/d");
    m.remount();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    assert_eq!(
        m.quiet("stat -c '%s %F %a %u %g %h' mnt/a"),
        format!("5000 regular file 644 {uid} {gid} 1\n")
    );
    assert!(
        m.quiet("stat -c '%F %a %u %g' mnt/d mnt")
            .starts_with(&format!("directory 755 {uid} {gid}\ndirectory 755"))
    );
    m.quiet("test $(stat -c %b mnt/a) -ge 10; test $(stat -c %i mnt/a) != $(stat -c %i mnt/d); test $(stat -c %X mnt/a) -gt 1000000000; test $(stat -c %Z mnt/d) -gt 1000000000");
}

#[test]
fn du_and_df_add_up() {
    let m = Mount::new();
    m.file("disk/a", 3_000_000);
    let before: u64 = m.quiet("df -B1 --output=used mnt | tail -n 1").trim().parse().unwrap();
    m.quiet("mkdir mnt/d; cp disk/a mnt/d/a; cp disk/a mnt/d/b");
    assert_eq!(m.quiet("du -sb --apparent-size mnt/d/a mnt/d/b | cut -f 1"), "3000000\n3000000\n");
    assert!(m.quiet("du -sk mnt/d | cut -f 1").trim().parse::<u64>().unwrap() >= 5860);
    m.remount();
    let line = m.quiet("df -B1 --output=used,avail,size,fstype,source mnt | tail -n 1");
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| fields[at].parse::<u64>().unwrap();
    assert!(number(0) >= before + 2_900_000 && number(1) > 1 << 30 && number(0) <= number(2), "{line}");
    assert!(fields[3] == "fuse.pdsfs" && fields[4].starts_with("pdsfs#local:"), "{line}");
    m.quiet("test $(stat -f -c %l mnt) = 1024; df -i mnt > /dev/null");
}

#[test]
fn modes_and_owners_are_accepted() {
    let m = Mount::new();
    m.quiet("echo 'echo hello' > mnt/f; mkdir mnt/d; chmod 600 mnt/f; chmod 700 mnt/d; chmod +x mnt/f; chown $(id -u):$(id -g) mnt/f; chgrp $(id -g) mnt/d");
    m.remount();
    m.quiet("chmod 644 mnt/f; chmod -R u+rwX mnt; touch -a mnt/f");
}

// For as long as it is mounted: the drive has no place for permissions yet.
#[test]
fn an_executable_runs() {
    let m = Mount::new();
    m.quiet(
        "printf '#!/bin/sh\\necho hello\\n' > disk/s; chmod 755 disk/s; cp -a disk/s mnt/s; cp -a mnt/s mnt/t
         chmod 600 disk/s; cp -a disk/s mnt/secret",
    );
    assert_eq!(m.quiet("mnt/s; mnt/t; stat -c %a mnt/s mnt/secret"), "hello\nhello\n755\n600\n");
}

#[test]
fn what_a_drive_cannot_have_is_refused_by_the_right_name() {
    let m = Mount::new();
    m.quiet("echo x > mnt/f; mkdir mnt/d; echo y > mnt/d/g");
    for (script, words) in [
        ("ln mnt/f mnt/hard", "Operation not permitted"),
        ("mkfifo mnt/pipe", "Operation not permitted"),
        ("mknod mnt/null c 1 3", "Operation not permitted"),
        ("mkdir mnt/d", "File exists"),
        ("rmdir mnt/d", "Directory not empty"),
        ("rmdir mnt/f", "Not a directory"),
        ("unlink mnt/d", "Is a directory"),
        ("rm mnt/none", "No such file or directory"),
        ("cat mnt/d", "Is a directory"),
        ("cat mnt/f/x", "Not a directory"),
        ("mkdir mnt/none/d", "No such file or directory"),
        ("cp mnt/f mnt/none/d", "No such file or directory"),
    ] {
        m.sh(script).failed(1, &[words]);
    }
    m.quiet("test \"$(ls -A mnt | xargs)\" = 'd f'");
    m.remount();
    m.quiet("test \"$(ls -A mnt | xargs)\" = 'd f'");
}

#[test]
fn a_socket_is_no_file_of_a_drive() {
    let m = Mount::new();
    m.python(
        "import socket, errno
try: socket.socket(socket.AF_UNIX).bind('mnt/s')
except OSError as error: assert error.errno == errno.EPERM, error
else: raise AssertionError('it worked')",
    );
}

#[test]
fn a_folder_being_read_while_it_changes_is_listed_whole() {
    let m = Mount::new();
    m.python(
        "import os
for n in range(300): open('mnt/%03d' % n, 'w').close()
seen = []
with os.scandir('mnt') as entries:
    for entry in entries:
        seen.append(entry.name)
        os.unlink(entry.path)
assert sorted(seen) == ['%03d' % n for n in range(300)], len(seen)
assert os.listdir('mnt') == []
os.makedirs('mnt/a/b/c'); os.removedirs('mnt/a/b/c')",
    );
}
