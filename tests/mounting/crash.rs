//! The mount is killed at random moments while a program writes: what the program was told stays true.
//!
//! `PDSFS_CRASH_ROUNDS` says how often; `PDSFS_CRASH_SEED` repeats a run.

#![allow(clippy::print_stdout)] // The seed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Home, Mount, Said};

/// Writes until the mount is gone. Says `begin NAME HASH` before each change, `done NAME HASH` after it.
const WRITER: &str = "
import hashlib, os, random, sys
rng = random.Random(int(sys.argv[1]))
held = []
def say(*words): print(*words, flush=True)
say('ready')
try:
    while True:
        how = rng.choice(sys.argv[2])
        # A file that is held open is not opened a second time: closing that would be no last close.
        name = 'f%d' % rng.randrange(30) if how != 's' else 's%x' % rng.randrange(1 << 60)
        size = rng.choice([0, 1, 3000, 20000, 200000, 700000])
        content = rng.randbytes(size)
        say('begin', name, hashlib.sha256(content).hexdigest())
        if how == 'r':
            with open('mnt/tmp', 'wb') as f: f.write(content)
            os.replace('mnt/tmp', 'mnt/' + name)
        elif how == 's':
            f = os.open('mnt/' + name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            for at in range(0, size, 65536): os.write(f, content[at:at + 65536])
            os.fsync(f)
            held.append(f)
            if len(held) > 5: os.close(held.pop(0))
        else:
            with open('mnt/' + name, 'wb') as f: f.write(content)
        say('done', name, hashlib.sha256(content).hexdigest())
except OSError:
    os._exit(0)
";

/// What each file may be: the last that was promised. What was being changed at the moment of the kill may be
/// anything, as on a local disk: it is written over in place while the drive does not have it.
const CHECK: &str = "
import hashlib, os
may = {}
for line in open('said'):
    words = line.split()
    if len(words) != 3: continue
    what, name, content = words
    may[name] = {content} if what == 'done' else None
for name, allowed in sorted(may.items()):
    if allowed is None: continue
    path = 'mnt/' + name
    found = hashlib.sha256(open(path, 'rb').read()).hexdigest() if os.path.exists(path) else 'none'
    assert found in allowed, (name, found, allowed)
strange = [name for name in os.listdir('mnt') if name not in may and name != 'tmp']
assert not strange, strange
open('said', 'w').writelines('done %s %s\\n' % (name, hashlib.sha256(open('mnt/' + name, 'rb').read()).hexdigest())
    for name in may if os.path.exists('mnt/' + name))
";

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `how` names what the program does, a letter each: rename over the old file, sync, close.
fn survives(mode: &str, how: &str) {
    let seed = number("PDSFS_CRASH_SEED", u64::from(std::process::id()));
    println!("PDSFS_CRASH_SEED={seed}");
    let m = Mount::at(Home::new(), &["--write-mode", mode, "--part-size", "128KiB", "local:"]);
    for round in 0..number("PDSFS_CRASH_ROUNDS", 3) {
        let seed = seed.wrapping_mul(31).wrapping_add(round);
        let mut writer = m.command("python3");
        writer.args(["-c", WRITER, &seed.to_string(), how]).stdout(Stdio::piped());
        let mut writer = writer.spawn().unwrap();
        let mut said = BufReader::new(writer.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "ready");
        let lines = std::thread::spawn(move || said.map_while(Result::ok).collect::<Vec<_>>());
        // Any moment will do: this is no waiting for something.
        std::thread::sleep(Duration::from_millis(50 + seed % 900));
        m.kill();
        let lines = lines.join().unwrap();
        assert!(writer.wait().unwrap().success());
        use std::io::Write as _;
        let mut file = std::fs::File::options().create(true).append(true).open(m.path("said")).unwrap();
        file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        m.mount().ok();
        Said::of("flush", &mut m.pdsfs(["flush", "mnt"])).quiet();
        m.python(CHECK);
    }
    m.remount();
    m.python(CHECK);
}

#[test]
fn what_was_closed_or_synced_survives_kills() {
    survives("through", "scc");
}

#[test]
fn what_was_closed_or_synced_survives_kills_before_it_was_sent() {
    survives("back", "scc");
}
