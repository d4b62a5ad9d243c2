//! What changes on the drive, told as it happens.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::support::mount::until;
use crate::support::{Home, Mount, Said, Serve};

/// `pdsfs watch --json` at work. Ended when dropped.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn new(m: &Mount, place: &str) -> Self {
        let mut child = m.pdsfs(["watch", "--json", place]).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let watch = Watch { child, lines };
        assert_eq!(watch.next()["change"], "watching");
        watch
    }

    #[track_caller]
    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(60)).expect("something is told");
        serde_json::from_str(&line).unwrap()
    }

    /// The next is this, below the mountpoint; others of the same file may come before.
    #[track_caller]
    fn tells(&self, m: &Mount, change: &str, path: &str, from: Option<&str>) {
        let mut others = Vec::new();
        loop {
            let item = self.next();
            let is_at = |key: &str, path: &str| item[key].as_str() == m.on(path).to_str();
            if item["change"] == change && is_at("path", path) {
                match from {
                    Some(from) => assert!(is_at("from", from), "{item}"),
                    None => assert!(item["from"].is_null(), "{item}"),
                }
                return;
            }
            others.push(item);
            assert!(others.len() < 20, "{change} {path} does not come: {others:?}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn changes_by_others_and_by_programs_here_are_told_with_the_paths_of_the_mount() {
    let home = Home::new();
    let server = Serve::new(&home);
    let m = Mount::at(home, &server.options());
    m.quiet("mkdir -p mnt/d/deep mnt/e; echo 1 > mnt/d/deep/f");
    // Nothing of the drive is known.
    m.remount();
    let watch = Watch::new(&m, "mnt");
    let call = |path: &str, body: &str| {
        m.python(&format!(
            "import json, urllib.request\n\
             token = open('token').read().strip()\n\
             request = urllib.request.Request('{}/v2/{path}', json.dumps({body}).encode(),\n\
             \x20   {{'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json'}})\n\
             reply = urllib.request.urlopen(request, timeout=60).read()\n\
             print(json.loads(reply).get('file_id', '') if reply else '')",
            server.url
        ))
        .trim()
        .to_owned()
    };
    let id =
        |path: &str| m.quiet(&format!("getfattr -n user.pds.file_id --only-values {path}")).trim().to_owned();
    let file = id("mnt/d/deep/f");
    call("file/update", &format!("{{'drive_id': '1', 'file_id': '{file}', 'name': 'g'}}"));
    watch.tells(&m, "renamed", "d/deep/g", Some("d/deep/f"));
    let e = id("mnt/e");
    call("file/move", &format!("{{'drive_id': '1', 'file_id': '{file}', 'to_parent_file_id': '{e}'}}"));
    watch.tells(&m, "moved", "e/g", Some("d/deep/g"));
    let made = format!(
        "{{'drive_id': '1', 'parent_file_id': '{e}', 'name': 'new', 'type': 'folder', 'check_name_mode': 'refuse'}}"
    );
    let made = call("file/create", &made);
    watch.tells(&m, "created", "e/new", None);
    call("recyclebin/trash", &format!("{{'drive_id': '1', 'file_id': '{made}'}}"));
    watch.tells(&m, "trashed", "e/new", None);
    call("recyclebin/restore", &format!("{{'drive_id': '1', 'file_id': '{made}'}}"));
    watch.tells(&m, "restored", "e/new", None);

    m.quiet("echo 2 > mnt/e/g");
    watch.tells(&m, "changed", "e/g", None);
    m.quiet("echo here > mnt/own; rm mnt/own");
    watch.tells(&m, "trashed", "own", None);

    // Who watches a folder hears of nothing else, and an unmount does not wait for anybody.
    let below = Watch::new(&m, "mnt/e");
    m.quiet("echo x > mnt/elsewhere; echo y > mnt/e/inside");
    loop {
        let item = below.next();
        let path = item["path"].as_str().unwrap();
        assert!(path.starts_with(m.on("e/").to_str().unwrap()), "{item}");
        if path.ends_with("/inside") {
            break;
        }
    }
    m.umount().quiet();
}

#[test]
fn other_commands_are_answered_however_many_watch() {
    let m = Mount::new();
    let watchers: Vec<Watch> = (0..4).map(|_| Watch::new(&m, "mnt")).collect();
    Said::of("watch", &mut m.pdsfs(["watch", "mnt"])).failed(7, &["watch this mount already"]);
    Said::of("status", &mut m.pdsfs(["status", "mnt"])).ok();
    drop(watchers);
    // Its place is free as soon as the mount knows.
    until("another may watch", || {
        let mut child =
            m.pdsfs(["watch", "--json", "mnt"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        line.contains("watching")
    });
}
