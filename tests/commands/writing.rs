//! Programs that do not write from front to back and go: in pieces, in place, behind holes, twice, from two processes.

use crate::support::Mount;

/// Runs the script on the drive and on the local disk, and compares all files, now and after a new mount.
#[track_caller]
fn same_as_local(m: &Mount, script: &str) {
    m.quiet(&format!("cd disk; {script}"));
    m.quiet(&format!("cd mnt; {script}"));
    m.quiet("diff -r disk mnt");
    m.remount();
    m.quiet("diff -r disk mnt");
}

#[test]
fn dd_in_all_forms() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    m.file("in", 2_500_000);
    same_as_local(
        &m,
        "
         q='status=none'
         dd if=../in of=one bs=1 count=3000 $q
         dd if=../in of=four bs=4k $q
         dd if=../in of=mega bs=1M conv=fsync $q
         dd if=../in of=data bs=64k conv=fdatasync $q
         dd if=../in of=sync bs=100k oflag=sync count=5 $q
         dd if=../in of=four bs=4k conv=notrunc seek=1 count=3 $q
         dd if=../in of=four bs=1 conv=notrunc seek=2499999 count=50 $q
         dd if=../in of=hole bs=1k seek=3000 count=1 $q
         dd if=/dev/null of=grown bs=1M seek=3 $q
         dd if=../in of=mega bs=1k count=700 oflag=append conv=notrunc $q
         dd if=../in of=cut bs=1k $q; dd if=/dev/null of=cut bs=1k seek=100 $q
         dd if=../in of=back bs=100k seek=20 count=4 $q; dd if=../in of=back bs=100k count=20 conv=notrunc $q
         dd if=../in of=direct bs=4k count=200 oflag=direct $q",
    );
}

#[test]
fn redirections_of_the_shell() {
    let m = Mount::new();
    same_as_local(
        &m,
        "echo one > f; echo two >> f; cat f f > g; : > empty; > empty2
         { echo a; echo b; ls -d .; } > group
         exec 3> three; echo x >&3; bash -c 'echo y >&3'; echo z >&3; exec 3>&-
         exec 4<> both; echo hello >&4; exec 4>&-; cat both > both.copy
         exec 5>> log; echo 1 >&5; (echo 2 >&5); echo 3 >&5; exec 5>&-
         echo replaced >| f; printf %s no-newline > n; for i in 1 2 3 4 5; do echo $i >> loop; done
         for i in 1 2 3; do echo $i; done > loop2; (echo sub; (echo subsub)) > nested; cat <<< here > here",
    );
}

#[test]
fn a_child_that_outlives_its_parent_finishes_the_file() {
    let m = Mount::new();
    // The opener is gone before the last byte is written; the child is told when by a pipe.
    m.quiet(
        "mkfifo disk/go
         bash -c 'exec 3> mnt/f; echo parent >&3; (read x < disk/go; echo child >&3) & disown'
         test \"$(cat mnt/f)\" = parent
         echo now > disk/go
         for n in $(seq 1000); do test $(wc -l < mnt/f) = 2 && break; sleep 0.01; done
         printf 'parent\\nchild\\n' | cmp - mnt/f",
    );
    m.remount();
    m.quiet("printf 'parent\\nchild\\n' | cmp - mnt/f");
}

#[test]
fn a_pipeline_of_writers_to_one_file() {
    let m = Mount::new();
    m.quiet(
        "(for i in $(seq 20); do echo a$i; done & for i in $(seq 20); do echo b$i; done; wait) >> mnt/f
         test $(wc -l < mnt/f) = 40; test $(sort -u mnt/f | wc -l) = 40",
    );
    m.quiet("for p in 1 2 3 4; do (for i in $(seq 10); do echo $p.$i >> mnt/g; done) & done; wait; test $(sort -u mnt/g | wc -l) = 40");
    m.remount();
    m.quiet("test $(sort -u mnt/f | wc -l) = 40; test $(sort -u mnt/g | wc -l) = 40");
}

#[test]
fn truncate_and_touch() {
    let m = Mount::new();
    m.file("a", 100_000);
    same_as_local(
        &m,
        "cp ../a a; cp ../a b; cp ../a c
         truncate -s 10 a; truncate -s 200000 b; truncate -s 0 c; truncate -s 5000 new; truncate -s +7 a; truncate -s -1 b
         touch t; touch -d 2020-02-02T02:02:02Z t a; touch -r a b; touch -c not-there",
    );
    assert_eq!(
        m.quiet("stat -c '%n %Y %s' mnt/a mnt/b mnt/t"),
        "mnt/a 1580608922 17\nmnt/b 1580608922 199999\nmnt/t 1580608922 0\n"
    );
    m.quiet("touch -d 1969-12-31T23:59:59Z mnt/a; touch -d 2100-01-01T00:00:00Z mnt/b");
    m.remount();
    assert_eq!(m.quiet("stat -c %Y mnt/a mnt/b"), "-1\n4102444800\n");
}

#[test]
fn mapped_memory_is_written() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    m.file("disk/a", 3_000_000);
    m.python(
        "import mmap, shutil
shutil.copyfile('disk/a', 'mnt/a')
for name in ['disk/a', 'mnt/a']:
    with open(name, 'r+b') as f:
        with mmap.mmap(f.fileno(), 0) as memory:
            memory[0:5] = b'first'
            memory[1500000:1500006] = b'middle'
            memory[-4:] = b'last'
for name in ['disk/n', 'mnt/n']:
    with open(name, 'w+b') as f:
        f.truncate(100000)
        memory = mmap.mmap(f.fileno(), 0)
        memory[:] = bytes(range(250)) * 400
        memory.flush()
        memory.close()
with open('mnt/n', 'rb') as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as memory:
    assert memory.find(b'\\xf0\\xf1') == 240",
    );
    m.quiet("diff -r disk mnt");
    m.remount();
    m.quiet("diff -r disk mnt");
}

#[test]
fn what_is_closed_by_a_duplicate_is_on_the_drive_and_goes_on() {
    let m = Mount::new();
    m.python(
        "import os
f = os.open('mnt/f', os.O_CREAT | os.O_RDWR)
os.write(f, b'one ')
d = os.dup(f)
os.close(d)
assert os.getxattr('mnt/f', 'user.pds.size') == b'4'
os.write(f, b'two ')
os.lseek(f, 0, 0)
assert os.read(f, 100) == b'one two '
os.fsync(f)
os.write(f, b'three')
os.close(os.dup(f))
os.close(os.dup(f))
assert os.getxattr('mnt/f', 'user.pds.size') == b'13'
os.pwrite(f, b'ONE', 0)
assert os.fstat(f).st_size == 13
os.close(f)
assert open('mnt/f').read() == 'ONE two three'",
    );
    m.remount();
    m.quiet("test \"$(cat mnt/f)\" = 'ONE two three'");
}

#[test]
fn a_file_unlinked_while_dirty_does_not_come_back() {
    let m = Mount::new();
    m.python(
        "import os
for old in [False, True]:
    if old: open('mnt/f', 'w').write('old')
    f = os.open('mnt/f', os.O_CREAT | os.O_RDWR)
    os.write(f, b'new content')
    os.unlink('mnt/f')
    assert not os.path.exists('mnt/f')
    os.write(f, b' and more')
    assert os.pread(f, 100, 0) == b'new content and more'
    assert os.fstat(f).st_size == 20
    os.fsync(f)
    os.close(f)
    assert os.listdir('mnt') == [], os.listdir('mnt')
# And one that was only being read.
open('mnt/g', 'w').write('content')
f = os.open('mnt/g', os.O_RDONLY)
os.unlink('mnt/g')
assert os.read(f, 100) == b'content'
os.close(f)
# And one whose name was given to another file meanwhile.
f = os.open('mnt/h', os.O_CREAT | os.O_WRONLY)
os.write(f, b'first')
os.unlink('mnt/h')
open('mnt/h', 'w').write('second')
os.write(f, b' more')
os.close(f)
assert open('mnt/h').read() == 'second'",
    );
    m.remount();
    m.quiet("test \"$(ls -A mnt)\" = h; test $(cat mnt/h) = second");
}

#[test]
fn renamed_while_dirty() {
    let m = Mount::new();
    m.python(
        "import os
os.mkdir('mnt/d')
f = open('mnt/a', 'w')
f.write('one'); f.flush()
os.rename('mnt/a', 'mnt/b')
f.write(' two'); f.flush()
os.rename('mnt/b', 'mnt/d/c')
f.write(' three'); f.flush()
os.rename('mnt/d', 'mnt/e')
f.write(' four')
f.close()
assert open('mnt/e/c').read() == 'one two three four'
# Over another file, which is also dirty.
old = open('mnt/old', 'w'); old.write('old'); old.flush()
new = open('mnt/new', 'w'); new.write('new'); new.flush()
os.rename('mnt/new', 'mnt/old')
new.write('er'); new.close()
old.write('est'); old.close()
assert open('mnt/old').read() == 'newer', open('mnt/old').read()
assert sorted(os.listdir('mnt')) == ['e', 'old'], os.listdir('mnt')",
    );
    m.remount();
    m.quiet("test \"$(cat mnt/e/c)\" = 'one two three four'; test $(cat mnt/old) = newer; test \"$(ls mnt | xargs)\" = 'e old'");
}

#[test]
fn a_reader_follows_a_file_that_is_being_written() {
    let m = Mount::new();
    m.python(
        "import os
w = open('mnt/f', 'wb', buffering=0)
r = open('mnt/f', 'rb', buffering=0)
for n in range(200):
    line = b'line %d\\n' % n
    w.write(line)
    assert r.read(100) == line, n
    assert os.stat('mnt/f').st_size == w.tell()
w.close()
assert r.read(100) == b''
r.close()
a = open('mnt/f', 'ab', buffering=0)
r = open('mnt/f', 'rb', buffering=0); r.seek(0, 2)
a.write(b'more\\n')
assert r.read(100) == b'more\\n'",
    );
    m.quiet(": > disk/seen; tail -n 1 -f mnt/f > disk/seen & tail=$!; for n in $(seq 500); do grep -q more disk/seen && break; sleep 0.01; done
         echo last >> mnt/f; for n in $(seq 1000); do grep -q last disk/seen && break; sleep 0.01; done; kill $tail; grep -qx last disk/seen");
}

#[test]
fn two_programs_change_parts_of_one_file() {
    let m = Mount::new();
    m.python(
        "import os
open('mnt/f', 'wb').write(bytes(100000))
a = os.open('mnt/f', os.O_RDWR)
b = os.open('mnt/f', os.O_RDWR)
os.pwrite(a, b'aaaa', 0)
os.pwrite(b, b'bbbb', 50000)
assert os.pread(b, 4, 0) == b'aaaa'
os.close(a)
os.pwrite(b, b'BBBB', 99996)
os.close(b)
content = open('mnt/f', 'rb').read()
assert len(content) == 100000 and content[:4] == b'aaaa' and content[50000:50004] == b'bbbb' and content[-4:] == b'BBBB'",
    );
    m.remount();
    m.quiet("test $(wc -c < mnt/f) = 100000; test $(head -c 4 mnt/f)$(tail -c 4 mnt/f) = aaaaBBBB");
}

#[test]
fn flags_of_open_are_obeyed() {
    let m = Mount::new();
    m.python(
        "import os, errno
def fails(code, call):
    try: call()
    except OSError as error: assert error.errno == code, error
    else: raise AssertionError('it worked')
open('mnt/f', 'w').write('content')
fails(errno.EEXIST, lambda: os.open('mnt/f', os.O_CREAT | os.O_EXCL | os.O_WRONLY))
fails(errno.ENOENT, lambda: os.open('mnt/no', os.O_RDONLY))
fails(errno.EISDIR, lambda: os.open('mnt', os.O_WRONLY))
fails(errno.ENOTDIR, lambda: os.open('mnt/f/below', os.O_RDONLY))
fails(errno.ENOTDIR, lambda: os.open('mnt/f', os.O_DIRECTORY))
r = os.open('mnt/f', os.O_RDONLY)
fails(errno.EBADF, lambda: os.write(r, b'x'))
w = os.open('mnt/f', os.O_WRONLY)
fails(errno.EBADF, lambda: os.read(w, 1))
a = os.open('mnt/f', os.O_WRONLY | os.O_APPEND)
os.write(w, b'C'); os.write(a, b'!'); os.write(a, b'!')
for fd in (r, w, a): os.close(fd)
assert open('mnt/f').read() == 'Content!!', open('mnt/f').read()
t = os.open('mnt/f', os.O_RDWR | os.O_TRUNC)
assert os.fstat(t).st_size == 0
os.close(t)
assert os.stat('mnt/f').st_size == 0
s = os.open('mnt', os.O_TMPFILE | os.O_RDWR) if False else None
fails(errno.EINVAL, lambda: os.truncate('mnt/f', -1))
fails(errno.EFBIG, lambda: os.truncate('mnt/f', 2**63 - 1))",
    );
    m.remount();
    m.quiet("test $(stat -c %s mnt/f) = 0");
}

#[test]
fn holes_are_read_as_zeros_and_found_again() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    m.python(
        "import os
f = os.open('mnt/f', os.O_CREAT | os.O_RDWR)
os.pwrite(f, b'end', 5000000)
assert os.pread(f, 10, 100) == bytes(10)
os.pwrite(f, b'start', 0)
os.pwrite(f, b'mid', 2500000)
os.close(f)
content = open('mnt/f', 'rb').read()
assert len(content) == 5000003
assert content.strip(b'\\0') == b'start' + content[5:2500000] + b'mid' + content[2500003:5000000] + b'end'
assert not any(content[5:2500000]) and not any(content[2500003:5000000])",
    );
    m.quiet("cp mnt/f disk/f; cp --sparse=always mnt/f disk/s; cmp disk/f disk/s");
    m.remount();
    m.quiet("cmp disk/f mnt/f");
}

#[test]
fn media_programs_that_patch_their_headers() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    let film = "ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=s=320x240:r=25:d=4 -f lavfi -i sine=440:d=4 -c:v mpeg4 -q:v 2 -c:a aac";
    m.quiet(&format!("{film} mnt/a.mp4; {film} -movflags +faststart mnt/b.mp4; {film} mnt/c.mkv; ffmpeg -nostdin -v error -y -i mnt/a.mp4 mnt/d.wav"));
    m.remount();
    m.quiet("for f in a.mp4 b.mp4 c.mkv d.wav; do ffmpeg -nostdin -v error -i mnt/$f -f null -; done");
    assert_eq!(m.quiet("getfattr --only-values -n user.pds.video.width mnt/b.mp4"), "320");
    m.quiet("ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=s=64x48 -frames:v 1 mnt/p.jpg; exiftool -q -overwrite_original -Artist=Li mnt/p.jpg; exiftool -q -overwrite_original_in_place -Make=Pdsfs mnt/p.jpg");
    assert_eq!(m.quiet("getfattr --only-values -n user.pds.image.exif.Artist mnt/p.jpg"), "Li");
    m.remount();
    assert_eq!(
        m.quiet("getfattr --only-values -n user.pds.image.exif.Make mnt/p.jpg; ls mnt | grep -c jpg"),
        "Pdsfs1\n"
    );
}

#[test]
fn only_one_of_many_makes_a_file_or_folder() {
    let m = Mount::new();
    m.python(
        "import os, threading
won = []
def make(n, attempt):
    try:
        os.close(os.open('mnt/lock%d' % n, os.O_CREAT | os.O_EXCL | os.O_WRONLY)); won.append('f%d' % n)
    except FileExistsError: pass
    try: os.mkdir('mnt/dir%d' % n); won.append('d%d' % n)
    except FileExistsError: pass
    os.makedirs('mnt/deep%d/a/b' % n, exist_ok=True)
    with open('mnt/deep%d/a/b/%d' % (n, attempt), 'w') as f: f.write('x')
threads = [threading.Thread(target=make, args=(n, attempt)) for n in range(5) for attempt in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert sorted(won) == sorted(kind + str(n) for kind in 'fd' for n in range(5)), won
assert all(len(os.listdir('mnt/deep%d/a/b' % n)) == 8 for n in range(5))",
    );
    m.remount();
    m.quiet("test $(ls mnt | wc -l) = 15; test $(ls mnt/deep3/a/b | wc -l) = 8; rm -r mnt/*; test -z \"$(ls -A mnt)\"");
}

#[test]
fn a_file_is_read_by_many_while_it_is_replaced() {
    let m = Mount::new();
    m.python(
        "import os, threading
def content(n): return (b'%06d' % n) * 20000
open('mnt/f', 'wb').write(content(0))
stop, wrong = threading.Event(), []
def read():
    while not stop.is_set():
        data = open('mnt/f', 'rb').read()
        if len(data) != 120000 or data != data[:6] * 20000: wrong.append((len(data), data[:6], data[-6:]))
readers = [threading.Thread(target=read) for _ in range(3)]
for reader in readers: reader.start()
for n in range(1, 40):
    open('mnt/tmp', 'wb').write(content(n))
    os.replace('mnt/tmp', 'mnt/f')
stop.set()
for reader in readers: reader.join()
assert not wrong, wrong
assert open('mnt/f', 'rb').read() == content(39) and os.listdir('mnt') == ['f']",
    );
}

#[test]
fn space_is_reserved_and_holes_are_punched() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    m.file("a", 3_000_000);
    same_as_local(
        &m,
        "cp ../a r; cp ../a p; cp ../a z; cp ../a k; cp ../a g
         python3 -c 'import os; f = os.open(\"r\", os.O_RDWR); os.posix_fallocate(f, 3500000, 1000); os.close(f)'
         fallocate -l 4000000 new; fallocate -p -o 4096 -l 2000000 p; fallocate -z -o 100 -l 4000000 z
         fallocate -z -n -o 2900000 -l 4000000 k; fallocate -n -l 5000000 g; fallocate -d p",
    );
    // A hole in what is not here yet.
    m.quiet("for d in disk mnt; do fallocate -p -o 1000000 -l 1000 $d/r; done; cmp disk/r mnt/r");
    for options in ["-c -o 4096 -l 4096", "-i -o 4096 -l 4096"] {
        m.sh(&format!("fallocate {options} mnt/p")).failed(1, &["Operation not supported"]);
    }
    m.quiet("shred -n 1 -u mnt/p; test ! -e mnt/p");
    m.quiet("cp --attributes-only mnt/r mnt/e; test ! -s mnt/e; cp /dev/null mnt/r; test ! -s mnt/r");
}

#[test]
fn data_and_holes_are_found() {
    let m = Mount::new();
    m.python(
        "import os
f = os.open('mnt/f', os.O_CREAT | os.O_RDWR)
os.pwrite(f, b'x' * 65536, 1 << 20)
os.truncate(f, 2 << 20)
def found(offset, what):
    try: return os.lseek(f, offset, what)
    except OSError as error: return error.errno
for _ in range(2):
    assert found(0, os.SEEK_DATA) == 1 << 20
    assert found(0, os.SEEK_HOLE) == 0
    assert found(1 << 20, os.SEEK_HOLE) == (1 << 20) + 65536
    assert found((1 << 20) + 65536, os.SEEK_DATA) == 6
    assert found(2 << 20, os.SEEK_HOLE) == 6
    os.close(f)
    f = os.open('mnt/f', os.O_RDWR)",
    );
    m.remount();
    // What is not here may be data.
    m.python("import os; f = os.open('mnt/f', os.O_RDONLY); assert os.lseek(f, 0, os.SEEK_DATA) == 0; assert os.lseek(f, 0, os.SEEK_HOLE) == 2 << 20");
}

#[test]
fn many_processes_append_to_one_file() {
    let m = Mount::new();
    m.quiet("for n in 1 2 3 4; do (for i in $(seq 100); do echo $n $i >> mnt/log; done) & done; wait");
    m.python(
        "import os
children = []
f = os.open('mnt/held', os.O_CREAT | os.O_APPEND | os.O_WRONLY)
for n in range(4):
    child = os.fork()
    if child == 0:
        for i in range(200): os.write(f, b'%d %03d\\n' % (n, i))
        os._exit(0)
    children.append(child)
for child in children: assert os.waitpid(child, 0)[1] == 0
os.close(f)",
    );
    m.remount();
    m.quiet("test $(sort -u mnt/log | wc -l) = 400; test $(sort -u mnt/held | wc -l) = 800; test $(wc -l < mnt/held) = 800");
}

#[test]
fn cut_by_its_name_while_another_program_writes_it() {
    let m = Mount::new();
    m.python(
        "import os
f = os.open('mnt/f', os.O_CREAT | os.O_WRONLY)
os.write(f, b'0123456789')
os.close(f)
f = os.open('mnt/f', os.O_WRONLY)
os.truncate('mnt/f', 4)
os.close(f)
assert os.getxattr('mnt/f', 'user.pds.size') == b'4', 'the close did not complete it'
os.truncate('mnt/f', 2)
assert os.getxattr('mnt/f', 'user.pds.size') == b'2', 'nobody else has it open'",
    );
    m.remount();
    m.quiet("test \"$(cat mnt/f)\" = 01");
}
