//! What was answered stays: over restarts, over kill -9, and never in two processes at once.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pdsfs::error::Kind;
use pdsfs::server::{Server, ServerOptions};
use serde_json::{Value, json};

use super::PART;
use super::server_support::{Bed, crc, id, noise, raw, send, sha1, target};

#[test]
fn a_restart_keeps_everything() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let file = bed.write(&folder, "a", b"content");
    let cursor = bed.expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone();
    let bytes = noise(1, PART + 5);
    let upload = bed.create("root", "later", 2);
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes[..PART]).status, 200);
    let old_path = target(&upload.urls[1]).to_owned();
    let bed = bed.restart();
    assert_eq!(bed.read(&id(&file)), b"content");
    let mut now = bed.file(&id(&file));
    for url in ["url", "download_url"] {
        assert_ne!(now[url], file[url]);
        now[url] = file[url].clone();
    }
    assert_eq!(now, file);
    // Part URLs of before are still good, and the hash goes on from the stored state.
    assert_eq!(send(bed.address(), "PUT", &old_path, &[], &bytes[PART..]).unwrap().status, 200);
    let done = bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes).to_string()));
    assert_eq!(done["content_hash"], sha1(&bytes));
    let delta = bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor}));
    assert_eq!(delta["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_fresh_token_is_made_when_none_is_given() {
    let bed = Bed::with(|options| options.access_token = None);
    assert_eq!(bed.server.access_token().len(), 64);
    assert_eq!(bed.file("root")["type"], "folder");
}

fn start(dir: &std::path::Path) -> pdsfs::error::Error {
    Server::start(ServerOptions::new(dir)).err().expect("must not start")
}

#[test]
fn a_data_directory_belongs_to_one_server() {
    let bed = Bed::new();
    let error = start(bed.dir.path());
    assert_eq!(error.kind(), Kind::Busy);
    assert!(error.to_string().contains(bed.dir.path().to_str().unwrap()), "{error}");
    let mut options = ServerOptions::new(tempfile::tempdir().unwrap().path());
    options.listen = bed.address();
    assert_eq!(Server::start(options).err().unwrap().kind(), Kind::Busy);
}

#[test]
fn foreign_and_damaged_directories_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("holiday.jpg"), "jpg").unwrap();
    assert_eq!(start(dir.path()).kind(), Kind::Invalid);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

    std::fs::write(dir.path().join("pds.db"), "this is no database, but it is long enough to look like one")
        .unwrap();
    assert_eq!(start(dir.path()).kind(), Kind::Corrupt);

    let dir = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(dir.path().join("pds.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    assert_eq!(start(dir.path()).kind(), Kind::Invalid);

    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(start(file.path()).to_string().contains(file.path().to_str().unwrap()));

    let bed = Bed::new();
    let Bed { server, dir } = bed;
    server.stop();
    let db = dir.path().join("pds.db");
    let mut bytes = std::fs::read(&db).unwrap();
    let len = bytes.len();
    bytes[4096..len.min(20_000)].fill(0xAA);
    std::fs::write(&db, bytes).unwrap();
    assert_eq!(start(dir.path()).kind(), Kind::Corrupt);
}

#[test]
fn lost_bytes_are_an_error_and_no_panic() {
    let bed = Bed::new();
    let file = bed.write("root", "a", &noise(1, 3_000_000));
    let url = bed.download_url(&id(&file));
    for folder in std::fs::read_dir(bed.dir.path().join("blobs")).unwrap() {
        for blob in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            std::fs::OpenOptions::new()
                .write(true)
                .open(blob.unwrap().path())
                .unwrap()
                .set_len(1000)
                .unwrap();
        }
    }
    let cut = send(bed.address(), "GET", target(&url), &[], b"");
    assert!(cut.is_none_or(|answer| answer.body.len() < 3_000_000));
    assert_eq!(bed.file("root")["type"], "folder");
}

/// Not a test by itself: the server that [`killed_at_any_point_it_keeps_what_it_answered`] kills.
#[test]
fn child() {
    let Ok(dir) = std::env::var("PDSFS_TEST_SERVE") else { return };
    let mut options = ServerOptions::new(dir);
    options.access_token = Some("secret".into());
    options.min_part_bytes = 1;
    let server = Server::start(options).unwrap();
    println!("serving {}", server.address());
    loop {
        std::thread::park();
    }
}

#[test]
fn killed_at_any_point_it_keeps_what_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, mut parts) = (Vec::new(), Vec::new());
    for round in 0..5u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::child", "--nocapture"])
            .env("PDSFS_TEST_SERVE", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("serving ")?.1.parse().unwrap()))
            .expect("the child serves");
        let (done, open) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in 0..4u64 {
                let (done, open, over) = (&done, &open, &over);
                scope.spawn(move || {
                    for n in 0.. {
                        let seed = round * 1_000_000 + worker * 10_000 + n;
                        if over.load(Ordering::Relaxed) || upload(address, seed, done, open).is_none() {
                            break;
                        }
                    }
                });
            }
            // Kill after a number of files, not after a time.
            while done.lock().unwrap().len() < 10 + 7 * round as usize {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            over.store(true, Ordering::Relaxed);
        });
        child.wait().unwrap();
        files.extend(done.into_inner().unwrap());
        parts.extend(open.into_inner().unwrap());
    }
    let verdict = pdsfs::server::check::check(dir.path()).unwrap();
    assert_eq!(verdict.damage, [""; 0]);
    let bed = Bed::on(dir);
    for (file_id, seed) in &files {
        assert!(bed.read(file_id) == noise(*seed, content_len(*seed)), "file {seed}");
    }
    let mut unfinished = 0;
    for (upload, number) in &parts {
        let answer = bed.call("/v2/file/list_uploaded_parts", upload);
        if answer.status == 200 {
            unfinished += 1;
            assert!(answer.json()["uploaded_parts"].as_array().unwrap().len() >= *number);
        } else {
            // Completed, with the answer lost.
            assert_eq!(bed.file(upload["file_id"].as_str().unwrap())["status"], "available");
        }
    }
    let used = bed.expect(200, "/v2/drive/get", json!({}))["used_size"].as_u64().unwrap();
    let sized = bed.expect(200, "/v2/file/get", json!({"file_id": "root", "fields": "dir_size"}));
    assert_eq!(sized["size"].as_u64().unwrap(), used);
    bed.server.advance_clock(std::time::Duration::from_secs(11 * 24 * 3600));
    assert_eq!(super::uploads::blobs(&bed) as u64, sized["dir_size_info"]["file_count"].as_u64().unwrap());
    println!("{} files, {} parts, {unfinished} uploads unfinished", files.len(), parts.len());
}

fn content_len(seed: u64) -> usize {
    2 + (seed as usize * 7919) % 300_000
}

/// One file in two parts. Puts into `done` what was completed, into `open` which parts were stored.
fn upload(
    address: std::net::SocketAddr,
    seed: u64,
    done: &Mutex<Vec<(String, u64)>>,
    open: &Mutex<Vec<(Value, usize)>>,
) -> Option<()> {
    let call = |path: &str, body: Value| {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer secret\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = try_raw(address, head.as_bytes())?;
        (answer.status < 300).then(|| serde_json::from_slice::<Value>(&answer.body).ok()).flatten()
    };
    let bytes = noise(seed, content_len(seed));
    let reply = call(
        "/v2/file/create",
        json!({"drive_id": "1", "parent_file_id": "root", "name": seed.to_string(), "type": "file",
            "part_info_list": [{"part_number": 1}, {"part_number": 2}]}),
    )?;
    let body = json!({"drive_id": "1", "file_id": reply["file_id"], "upload_id": reply["upload_id"]});
    let half = bytes.len() / 2;
    for (number, part) in [&bytes[..half], &bytes[half..]].into_iter().enumerate() {
        let url = target(reply["part_info_list"][number]["upload_url"].as_str()?);
        let head = format!(
            "PUT {url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            part.len()
        );
        let answer = try_raw(address, &[head.as_bytes(), part].concat())?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        open.lock().unwrap().push((body.clone(), number + 1));
    }
    let file = call("/v2/file/complete", body)?;
    done.lock().unwrap().push((id(&file), seed));
    Some(())
}

/// Like `raw`, for a server that may be gone.
fn try_raw(address: std::net::SocketAddr, request: &[u8]) -> Option<super::server_support::Answer> {
    std::net::TcpStream::connect(address).ok()?;
    std::panic::catch_unwind(|| raw(address, request)).ok().flatten()
}
