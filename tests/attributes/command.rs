//! `pdsfs attr` and `pdsfs find`.

use crate::support::{Mount, Said};

fn pdsfs(m: &Mount, arguments: &[&str]) -> Said {
    Said::of("pdsfs", &mut m.pdsfs(arguments))
}

#[test]
fn attr_sets_shows_and_removes_and_says_why_not() {
    let m = Mount::new();
    m.quiet("echo x > mnt/a; echo y > mnt/b; mkdir mnt/d");
    pdsfs(&m, &["attr", "set", "labels", "lake, summer", "mnt/a", "mnt/b", "mnt/d"]).quiet();
    pdsfs(&m, &["attr", "set", "xdg.comment", "am See", "mnt/a"]).quiet();
    assert_eq!(pdsfs(&m, &["attr", "get", "labels", "mnt/d"]).quiet(), "[\"lake\",\"summer\"]\n");
    assert_eq!(pdsfs(&m, &["attr", "get", "description", "mnt/a"]).quiet(), "am See\n");
    let both = pdsfs(&m, &["attr", "get", "xdg.tags", "mnt/a", "mnt/b"]).quiet();
    assert_eq!(both, "mnt/a\tlake,summer\nmnt/b\tlake,summer\n");
    let listed = pdsfs(&m, &["attr", "ls", "mnt/a"]).quiet();
    assert!(listed.lines().any(|line| line.starts_with("user.pds.labels  ")), "{listed}");
    assert!(!listed.contains("user.pds.domain_id"), "{listed}");
    assert!(pdsfs(&m, &["attr", "ls", "--all", "mnt/a"]).quiet().contains("user.pds.domain_id"));
    let json = pdsfs(&m, &["attr", "ls", "--json", "mnt/a"]).quiet();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["user.xdg.comment"], "am See");
    pdsfs(&m, &["attr", "rm", "labels", "mnt/a"]).quiet();
    for (arguments, code, words) in [
        (&["attr", "get", "labels", "mnt/a"][..], 3, "no such attribute"),
        (&["attr", "rm", "labels", "mnt/a", "mnt/b"], 3, "no such attribute"),
        (&["attr", "set", "starred", "maybe", "mnt/a"], 2, "this is true or false"),
        (&["attr", "set", "labels", "[1]", "mnt/a"], 2, "words with commas"),
        (&["attr", "set", "size", "1", "mnt/a"], 1, "belongs to the drive"),
        (&["attr", "set", "labels", "x", "mnt/none"], 3, "no such file"),
        (&["attr", "set", "labels", "x", "mnt"], 1, "takes no such attribute"),
    ] {
        pdsfs(&m, arguments).failed(code, &[words]);
    }
    // Of several all are tried.
    pdsfs(&m, &["attr", "get", "labels", "mnt/b"]).failed(3, &["no such attribute"]);
}

#[test]
fn find_prints_the_paths_of_this_machine() {
    let m = Mount::new();
    m.quiet(
        "mkdir -p mnt/Photos/2026/lake mnt/other; echo 1 > mnt/Photos/2026/lake/one.txt; echo 22 > mnt/Photos/two.txt
         echo 333 > mnt/other/one.txt; setfattr -n user.pds.starred -v 1 mnt/Photos/two.txt",
    );
    m.remount();
    let lines = |said: String| {
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let here = |paths: &[&str]| -> Vec<String> {
        paths.iter().map(|path| m.on(path).to_str().unwrap().to_owned()).collect()
    };
    let found = lines(pdsfs(&m, &["find", "name = 'one.txt'", "mnt"]).quiet());
    assert_eq!(found, here(&["Photos/2026/lake/one.txt", "other/one.txt"]));
    let found = lines(pdsfs(&m, &["find", "name = 'one.txt'", "mnt/Photos"]).quiet());
    assert_eq!(found, here(&["Photos/2026/lake/one.txt"]));
    let found = lines(pdsfs(&m, &["find", "starred = true or size > 3", "mnt"]).quiet());
    assert_eq!(found, here(&["Photos/two.txt", "other/one.txt"]));
    assert_eq!(lines(pdsfs(&m, &["find", "type = 'file'", "mnt", "--limit", "2"]).quiet()).len(), 2);
    let json = pdsfs(&m, &["find", "--json", "name = 'two.txt'", "mnt"]).quiet();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["size"].as_u64(), json["folder"].as_bool()), (Some(3), Some(false)));
    let zero = pdsfs(&m, &["find", "-0", "name = 'two.txt'", "mnt"]).quiet();
    assert_eq!(zero, format!("{}\0", m.on("Photos/two.txt").display()));
    assert!(pdsfs(&m, &["find", "--long", "name = 'two.txt'", "mnt"]).quiet().contains("3 bytes"));
    assert_eq!(pdsfs(&m, &["find", "name = 'nowhere'", "mnt"]).quiet(), "");
    pdsfs(&m, &["find", "name === 'x'", "mnt"]).failed(2, &["Column 6"]);
    pdsfs(&m, &["find", "name = 'x'", "disk"]).failed(7, &["no drive is mounted there"]);
    pdsfs(&m, &["find", "name = 'x'", "mnt/none"]).failed(3, &[]);
}

#[test]
fn wait_ends_when_the_drive_has_looked_at_a_photo() {
    let m = Mount::new();
    m.quiet("ffmpeg -nostdin -v error -f lavfi -i testsrc=size=64x48 -frames:v 1 disk/photo.jpg; echo x > mnt/note.txt; mkdir mnt/d");
    m.quiet("cp disk/photo.jpg mnt/photo.jpg");
    pdsfs(&m, &["wait", "--media", "mnt/photo.jpg", "mnt/note.txt", "mnt/d"]).quiet();
    assert_eq!(m.quiet("getfattr --only-values -n user.pds.image.width mnt/photo.jpg"), "64");
    pdsfs(&m, &["wait", "mnt/photo.jpg"]).quiet();
    pdsfs(&m, &["wait", "mnt/none"]).failed(3, &["no such"]);
    // A file that somebody is still writing is not there yet.
    let program = "import os, subprocess, sys
f = open('mnt/open', 'w'); f.write('x'); f.flush(); os.fsync(f.fileno())
said = subprocess.run([sys.argv[1], 'wait', '--timeout', '0.3s', 'mnt/open'], capture_output=True, text=True)
assert said.returncode == 5 and 'not on the drive yet' in said.stderr, said
f.close()
subprocess.run([sys.argv[1], 'wait', 'mnt/open'], check=True)";
    let program_path = m.program().to_str().unwrap().to_owned();
    Said::of("python", m.command("python3").args(["-c", program, &program_path])).quiet();
}

#[test]
fn thumbs_puts_the_drives_thumbnails_where_the_desktop_looks() {
    let m = Mount::new();
    m.quiet(
        "mkdir -p disk/in/sub; ffmpeg -nostdin -v error -f lavfi -i testsrc=size=640x480 -frames:v 1 'disk/in/a b.jpg'
         ffmpeg -nostdin -v error -f lavfi -i testsrc=size=64x48 -frames:v 1 disk/in/sub/small.png
         echo text > disk/in/note.txt; cp -r disk/in mnt/in",
    );
    pdsfs(&m, &["wait", "--media", "mnt/in/a b.jpg", "mnt/in/sub/small.png"]).quiet();
    let first = pdsfs(&m, &["thumbs", "mnt/in"]).quiet();
    assert!(first.starts_with("2 made, 0 were there"), "{first}");
    let uri = format!("file://{}", m.on("in/a%20b.jpg").display());
    let made =
        m.quiet(&format!("echo cache/thumbnails/large/$(printf %s '{uri}' | md5sum | cut -c1-32).png"));
    let made = made.trim();
    assert_eq!(m.quiet(&format!("stat -c %a {made}")).trim(), "600");
    let text = m.quiet(&format!("strings {made}"));
    assert!(text.contains(&uri) && text.contains("Thumb::MTime"), "{text}");
    let size = m.quiet(&format!("ffprobe -v error -show_entries stream=width,height -of csv=p=0 {made}"));
    assert_eq!(size.trim(), "256,192");
    assert!(pdsfs(&m, &["thumbs", "mnt/in"]).quiet().starts_with("0 made, 2 were there"));
    m.quiet("touch -d @1000000000 'mnt/in/a b.jpg'");
    assert!(pdsfs(&m, &["thumbs", "mnt/in"]).quiet().starts_with("1 made, 1 were there"));
    pdsfs(&m, &["thumbs", "disk/in"]).failed(7, &["no drive is mounted there"]);
}
