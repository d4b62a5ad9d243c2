//! How editors, databases and version control save: a temporary file and a rename, locks, fsync, many small files.

use crate::support::Mount;

#[test]
fn editors_that_write_a_temporary_file_and_rename() {
    let m = Mount::new();
    m.quiet("printf 'one\\ntwo\\n' > mnt/f; sed -i s/two/three/ mnt/f; printf 'one\\nthree\\n' | cmp - mnt/f; sed -i.bak s/one/1/ mnt/f; printf '1\\nthree\\n' | cmp - mnt/f");
    m.quiet("test \"$(ls -A mnt | xargs)\" = 'f f.bak'; perl -pi -e s/three/3/ mnt/f; printf '1\\n3\\n' | cmp - mnt/f");
    m.python(
        "import os, tempfile
id = os.getxattr('mnt/f', 'user.pds.file_id')
for n in range(5):
    fd, name = tempfile.mkstemp(dir='mnt')
    os.write(fd, b'saved %d' % n)
    os.fsync(fd)
    os.close(fd)
    os.replace(name, 'mnt/f')
    assert open('mnt/f').read() == 'saved %d' % n
assert os.getxattr('mnt/f', 'user.pds.file_id') == id, 'the file keeps its identity'
assert sorted(os.listdir('mnt')) == ['f', 'f.bak'], os.listdir('mnt')
# Renamed before it is closed.
with open('mnt/tmp', 'w') as new:
    new.write('late')
    os.replace('mnt/tmp', 'mnt/f')
assert open('mnt/f').read() == 'late'
assert sorted(os.listdir('mnt')) == ['f', 'f.bak'], os.listdir('mnt')",
    );
    m.remount();
    m.quiet("test \"$(ls -A mnt | xargs)\" = 'f f.bak'; test \"$(cat mnt/f)\" = late");
}

#[test]
fn vim_saves_in_every_way_it_knows() {
    let m = Mount::new();
    m.quiet("printf 'one\\n' > mnt/f");
    for (how, options) in [
        ("renames the old away", "set backup writebackup backupcopy=no"),
        ("copies the old away", "set writebackup backupcopy=yes"),
        ("decides itself", "set writebackup backupcopy=auto"),
        ("just writes", "set nowritebackup nobackup"),
    ] {
        m.quiet(&format!(
            "vim -u NONE -i NONE -n -es -c '{options}' -c 's/.*/{how}/' -c wq mnt/f < /dev/null"
        ));
        assert_eq!(m.quiet("cat mnt/f"), format!("{how}\n"));
    }
    // With a swap file, which is written to all the time.
    m.quiet(
        "vim -u NONE -i NONE -es -c 'set swapfile' -c 'normal oline' -c preserve -c wq mnt/f < /dev/null",
    );
    m.remount();
    m.quiet("printf 'just writes\\nline\\n' | cmp - mnt/f; rm -f mnt/f~; test \"$(ls -A mnt)\" = f");
}

#[test]
fn a_database_on_the_drive() {
    let m = Mount::new();
    let sql = |statements: &str| m.quiet(&format!("sqlite3 -batch mnt/base.db \"{statements}\""));
    sql("create table t(n integer primary key, text); insert into t(text) values('one'), ('two');");
    for round in 0..5 {
        sql(&format!(
            "begin; insert into t(text) select hex(randomblob(200)) from t; update t set text='{round}' where n=1; commit;"
        ));
    }
    assert_eq!(sql("pragma integrity_check; select count(*) from t;"), "ok\n64\n");
    sql("delete from t where n > 10; vacuum;");
    m.remount();
    assert_eq!(sql("pragma integrity_check; select count(*), min(text) from t;").lines().next(), Some("ok"));
    assert_eq!(sql("select count(*) from t;"), "10\n");
    m.quiet("test \"$(ls -A mnt)\" = base.db");
    m.python(
        "import sqlite3
base = sqlite3.connect('mnt/base.db')
base.execute('pragma journal_mode=truncate')
with base:
    base.execute('insert into t(text) values(1)')
try:
    with base:
        base.execute('delete from t')
        raise KeyError
except KeyError: pass
other = sqlite3.connect('mnt/base.db')
assert other.execute('select count(*) from t').fetchone() == (11,)
with base: base.execute('insert into t(text) values(2)')
assert other.execute('select count(*) from t').fetchone() == (12,)",
    );
}

#[test]
fn git_works_on_the_drive() {
    let m = Mount::new();
    m.file("disk/big", 300_000);
    let git = "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0;";
    m.quiet(&format!(
        "{git} git -c init.defaultBranch=main init -q mnt/r; cd mnt/r; echo one > a; mkdir d; cp ../../disk/big d/; git add .; git commit -qm first
         test -z \"$(git status --porcelain)\"; echo two >> a; git commit -qam second; git branch side; git gc -q; git fsck --no-progress; test $(git log --oneline | wc -l) = 2"
    ));
    m.remount();
    m.quiet(&format!("{git} cd mnt/r; git fsck --no-progress; test -z \"$(git status --porcelain)\"; git checkout -q side; git mv a b; git commit -qm third; git checkout -q main; test -e a"));
    m.quiet(&format!("{git} git clone -q mnt/r disk/out; cmp disk/big disk/out/d/big; git clone -q --no-hardlinks disk/out mnt/clone; cd mnt/clone; git fsck --no-progress; test $(git log --oneline | wc -l) = 2"));
    m.quiet("rm -rf mnt/r mnt/clone; test -z \"$(ls -A mnt)\"");
}

#[test]
fn locks_keep_programs_apart() {
    let m = Mount::new();
    m.python(
        "import fcntl, os, subprocess, sys
f = open('mnt/lock', 'w')
fcntl.flock(f, fcntl.LOCK_EX)
other = [sys.executable, '-c', 'import fcntl; fcntl.flock(open(\"mnt/lock\"), fcntl.LOCK_EX | fcntl.LOCK_NB)']
assert subprocess.run(other, stderr=subprocess.DEVNULL).returncode == 1
fcntl.flock(f, fcntl.LOCK_UN)
assert subprocess.run(other).returncode == 0
fcntl.lockf(f, fcntl.LOCK_EX)
posix = [sys.executable, '-c', 'import fcntl; fcntl.lockf(open(\"mnt/lock\", \"r+\"), fcntl.LOCK_EX | fcntl.LOCK_NB)']
assert subprocess.run(posix, stderr=subprocess.DEVNULL).returncode == 1",
    );
}

#[test]
fn a_folder_is_renamed_with_all_that_is_in_it() {
    let m = Mount::new();
    m.file("disk/t/a/1", 10);
    m.file("disk/t/b/c/2", 100_000);
    m.quiet("cp -r disk/t mnt/; mv mnt/t mnt/u; mkdir mnt/v; mv mnt/u/b mnt/v/; mv mnt/v/b/c mnt/u/; cmp disk/t/b/c/2 mnt/u/c/2");
    m.remount();
    m.quiet("cmp disk/t/a/1 mnt/u/a/1; cmp disk/t/b/c/2 mnt/u/c/2; test \"$(ls -A mnt/v/b)\" = ''; rmdir mnt/v/b mnt/v");
    m.python(
        "import os, errno
def fails(code, *names):
    try: os.rename(*names)
    except OSError as error: assert error.errno == code, error
    else: raise AssertionError('it worked')
os.mkdir('mnt/full'); open('mnt/full/x', 'w').close(); os.mkdir('mnt/empty'); open('mnt/file', 'w').close()
fails(errno.ENOTEMPTY, 'mnt/u', 'mnt/full')
fails(errno.EISDIR, 'mnt/file', 'mnt/empty')
fails(errno.ENOTDIR, 'mnt/empty', 'mnt/file')
fails(errno.EINVAL, 'mnt/u', 'mnt/u/a/self')
fails(errno.ENOENT, 'mnt/no', 'mnt/x')
os.rename('mnt/u', 'mnt/empty')
os.rename('mnt/file', 'mnt/file')
assert sorted(os.listdir('mnt')) == ['empty', 'file', 'full'], os.listdir('mnt')",
    );
    m.remount();
    m.quiet("cmp disk/t/a/1 mnt/empty/a/1; test \"$(ls mnt | xargs)\" = 'empty file full'");
}

#[test]
fn a_name_changes_its_case() {
    let m = Mount::new();
    m.quiet("echo x > mnt/photo.jpg; mv mnt/photo.jpg mnt/Photo.JPG; test $(ls mnt) = Photo.JPG; mkdir mnt/d; mv mnt/d mnt/D; test -d mnt/D");
    m.remount();
    m.quiet("test \"$(ls mnt | xargs)\" = 'D Photo.JPG' && test $(cat mnt/Photo.JPG) = x");
}

#[test]
fn an_ordinary_user_works_on_files_nobody_may_write() {
    let m = Mount::of_user();
    m.file("disk/t/a", 50_000);
    m.file("disk/t/d/b", 0);
    let git = "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1;";
    // Copy tools make a file with its final mode and write into it.
    m.quiet("chmod 444 disk/t/a; chmod 400 disk/t/d/b; cp -a disk/t mnt/; tar -cf - -C disk t | (mkdir mnt/tar; tar -xf - -C mnt/tar); rsync -a disk/t/ mnt/rsync/");
    m.quiet("for t in t tar/t rsync; do diff -r disk/t mnt/$t; done; test $(stat -c %a mnt/t/a) = 444");
    m.sh("echo x >> mnt/t/a").failed(1, &["Permission denied"]);
    m.quiet(&format!("{git} git -c init.defaultBranch=main init -q mnt/r; cd mnt/r; cp ../t/a .; git add a; git commit -qm first; git fsck --no-progress; git gc -q; rm -f a; git checkout -q a; cmp a ../t/a"));
    m.remount();
    m.quiet("diff -r disk/t mnt/rsync; cd mnt/r; git -c safe.directory='*' fsck --no-progress; cd ..; rm -rf r t tar rsync; test -z \"$(ls -A)\"");
}

#[test]
fn two_names_are_not_exchanged_and_both_files_stay_as_they_are() {
    let m = Mount::new();
    m.quiet("echo a > mnt/a; echo b > mnt/b; mkdir mnt/d");
    m.python(
        "import ctypes, errno\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         def rename(old, new, flags):\n\
         \x20   done = libc.renameat2(-100, old, -100, new, flags)\n\
         \x20   return 0 if done == 0 else ctypes.get_errno()\n\
         assert rename(b'mnt/a', b'mnt/b', 2) == errno.EINVAL\n\
         assert rename(b'mnt/a', b'mnt/d', 2) == errno.EINVAL\n\
         assert rename(b'mnt/a', b'mnt/b', 1) == errno.EEXIST\n\
         assert rename(b'mnt/a', b'mnt/c', 1) == 0",
    );
    m.quiet("test $(cat mnt/c) = a; test $(cat mnt/b) = b; test -d mnt/d; test ! -e mnt/a");
}
