//! Modes, owners, links and exact times, and the programs that need them: each is compared after a new mount.

use crate::support::Mount;

/// A tree with everything that a drive has no field for.
const TREE: &str = "
    mkdir -p t/sub t/group t/sticky; echo '#!/bin/true' > t/script; echo read > t/sub/plain
    chmod 755 t/script; chmod 600 t/sub/plain; chmod 2775 t/group; chmod 1777 t/sticky; echo x > t/group/inside
    ln -s sub/plain t/relative; ln -s /nowhere/at\\ all t/dangling; ln -s ../group t/sub/up
    touch -d '2001-02-03T04:05:06.789012345Z' t/script; touch -d '1970-01-02T00:00:00.5Z' t/sub/plain
    touch -h -d '2002-02-03T04:05:06.123456789Z' t/relative t/dangling t/sub/up";

/// What `stat` shows of it. Times of folders change with what is made in them.
const SHOW: &str =
    "find . -type d -printf '%p %y %m %U:%G\\n' -o -printf '%p %y %m %U:%G %T@ %s %l\\n' | sort";

#[test]
fn modes_owners_links_and_nanoseconds_survive_a_new_mount() {
    let m = Mount::new();
    m.quiet(&format!("cd disk; {TREE}\n cd ../mnt; {TREE}"));
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        m.quiet("for t in disk/t mnt/t; do chown 1234:5678 $t/script; chgrp 77 $t/group; echo y > $t/group/later; mkdir $t/group/d; done");
        m.quiet("for t in disk/t mnt/t; do touch -d @1.000000001 $t/group/*; done");
    } else {
        m.quiet("for t in disk/t mnt/t; do touch -d @1.000000001 $t/group/inside; done");
    }
    let wanted = m.quiet(&format!("cd disk/t; {SHOW}"));
    assert_eq!(m.quiet(&format!("cd mnt/t; {SHOW}")), wanted);
    m.remount();
    assert_eq!(m.quiet(&format!("cd mnt/t; {SHOW}")), wanted);
    m.quiet("test $(cat mnt/t/relative) = read; test -L mnt/t/dangling; test ! -e mnt/t/dangling; ls mnt/t/sub/up > /dev/null");
    assert_eq!(m.sh("mnt/t/script").code, Some(0), "it may be run");
    assert_eq!(
        m.quiet("getfattr -d -m - mnt/t/script | grep pdsfs. || true"),
        "",
        "the tags are nobody's business"
    );
    // Back to what is usual, and over another mode by rename.
    m.quiet("chmod 644 mnt/t/script; echo new > mnt/t/x; mv mnt/t/x mnt/t/sub/plain; rm mnt/t/dangling");
    m.remount();
    assert_eq!(m.quiet("stat -c %a mnt/t/script mnt/t/sub/plain"), "644\n644\n");
    m.quiet("test ! -L mnt/t/dangling; test \"$(cat mnt/t/sub/plain)\" = new");
}

#[test]
fn without_posix_metadata_modes_are_fixed_and_links_are_refused() {
    let m = Mount::with(&["--posix-metadata", "off"]);
    m.quiet("echo a > mnt/a; chmod 755 mnt/a");
    assert!(m.sh("ln -s a mnt/l").err.contains("Operation not permitted"));
    m.remount();
    assert_eq!(m.quiet("stat -c %a mnt/a"), "644\n");
}

#[test]
fn rsync_archives_twice_and_sends_nothing_the_second_time() {
    let m = Mount::new();
    m.quiet(&format!("cd disk; {TREE}; ln t/script t/hard"));
    let said = m.sh("rsync -aHAX disk/t/ mnt/r");
    assert!(
        said.code == Some(23) && said.err.contains("Operation not permitted"),
        "hard links are refused: {said}"
    );
    m.quiet("rm disk/t/hard; rsync -aHAX --delete disk/t/ mnt/r");
    m.remount();
    // What the drive says of files beside their content are attributes (the `x`): nothing else differs.
    let differs = |from: &str, to: &str| {
        let listing = m.quiet(&format!("rsync -aHAXc --delete --itemize-changes {from} {to}"));
        let same = |line: &&str| line.starts_with('.') && line[2..11].chars().all(|c| matches!(c, '.' | 'x'));
        listing.lines().filter(|line| !same(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(differs("disk/t/", "mnt/r"), [""; 0]);
    assert_eq!(differs("mnt/r/", "disk/t"), [""; 0]);
}

#[test]
fn tar_takes_out_what_it_put_in() {
    let m = Mount::new();
    m.quiet(&format!("cd disk; {TREE}; tar -cf ../t.tar t; cd ../mnt; tar -xf ../t.tar"));
    m.remount();
    m.quiet("tar -C mnt -df t.tar; tar -C mnt -cf back.tar t; tar -C disk -df back.tar");
}

/// git notes what `fstat` says before it closes a file, and takes the file for changed when that differs later.
#[test]
fn closing_a_file_changes_none_of_its_times() {
    let m = Mount::new();
    m.python(
        "import os, time
def facts(about):
    return about.st_ino, about.st_size, about.st_mode, about.st_mtime_ns, about.st_ctime_ns
for over in [False, True]:
    f = os.open('mnt/f', os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    os.write(f, b'x' * 100_000)
    before = facts(os.fstat(f))
    os.close(f)
    assert facts(os.stat('mnt/f')) == before, (before, facts(os.stat('mnt/f')))
    os.chmod('mnt/f', 0o600)
    changed = os.stat('mnt/f').st_ctime_ns
    assert changed >= before[-1]
    f = os.open('mnt/f', os.O_WRONLY)
    time.sleep(0.01)
    os.write(f, b'y')
    assert os.fstat(f).st_ctime_ns > changed
    os.close(f)
    assert os.stat('mnt/f').st_ctime_ns > changed",
    );
}

#[test]
fn git_works_in_a_mount() {
    let m = Mount::new();
    m.quiet(
        "export GIT_CONFIG_NOSYSTEM=1; git config --global user.email a@example.org; git config --global user.name A
         git config --global init.defaultBranch main; git config --global advice.detachedHead false
         git init -q disk/r; cd disk/r
         for n in $(seq 30); do echo $n > f$n; done; chmod +x f1; ln -s f1 link; git add .; git commit -qm one
         git checkout -qb side; echo side > f2; git commit -qam side; git checkout -q main; echo main > f3; git commit -qam main",
    );
    m.quiet("git clone -q disk/r mnt/r; cd mnt/r; git status --porcelain; git checkout -q side; git rebase -q main");
    m.quiet("cd mnt/r; echo more > new; git add new; git commit -qm more; git gc -q; git fsck --strict 2>&1");
    m.remount();
    assert_eq!(
        m.quiet("cd mnt/r; git status --porcelain; git fsck --strict 2>&1; cat f2 f3 new"),
        "side\nmain\nmore\n"
    );
    m.quiet("test -x mnt/r/f1 -a ! -x mnt/r/f2 -a -L mnt/r/link; git clone -q mnt/r disk/again; cd disk/again; git log --oneline > /dev/null");
}

#[test]
fn sqlite_works_with_a_journal_and_with_a_write_ahead_log() {
    let m = Mount::new();
    for mode in ["delete", "wal"] {
        // Shared memory is for one machine: the lock is held for as long as the database is open.
        m.quiet(&format!(
            "sqlite3 mnt/{mode}.db \"PRAGMA locking_mode=exclusive; PRAGMA journal_mode={mode}; CREATE TABLE t (a, b);
             BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, hex(i) FROM n;
             COMMIT; BEGIN; DELETE FROM t; ROLLBACK; UPDATE t SET b = 'x' WHERE a = 7;\" > /dev/null"
        ));
        m.remount();
        let check = format!("sqlite3 mnt/{mode}.db 'PRAGMA integrity_check; SELECT count(*), sum(a) FROM t'");
        assert_eq!(m.quiet(&check), "ok\n2000|2001000\n", "{mode}");
    }
}
