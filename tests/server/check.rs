//! The store check finds what is damaged and names it, and finds nothing in a store that is not.

use std::path::PathBuf;

use pdsfs::error::Kind;
use pdsfs::server::check::check;
use rusqlite::Connection;
use serde_json::json;

use super::server_support::{Bed, id};

/// Stops the server; every kind of row is in its store.
fn store() -> (tempfile::TempDir, String) {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let file = bed.write(&folder, "a", b"content");
    bed.write("root", "same", b"content");
    bed.write("root", "b", b"other");
    bed.write_as(json!({"parent_file_id": "root", "name": "b", "file_id": id(&file)}), b"newer");
    let upload = bed.create("root", "later", 2);
    assert_eq!(bed.put(&upload.urls[0], &[], b"part").status, 200);
    let gone = bed.write("root", "gone", b"gone");
    bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": id(&gone)}));
    let Bed { server, dir } = bed;
    server.stop();
    (dir, id(&file))
}

fn sql(dir: &tempfile::TempDir, sql: &str) {
    Connection::open(dir.path().join("pds.db")).unwrap().execute_batch(sql).unwrap();
}

/// The file with the bytes of a size.
fn blob(dir: &tempfile::TempDir, size: i64) -> PathBuf {
    let c = Connection::open(dir.path().join("pds.db")).unwrap();
    let name: String =
        c.query_row("SELECT file FROM blob WHERE size = ?1", [size], |row| row.get(0)).unwrap();
    dir.path().join("blobs").join(name)
}

#[test]
fn a_sound_store_has_no_damage() {
    let (dir, _) = store();
    let verdict = check(dir.path()).unwrap();
    assert_eq!(verdict.damage, [""; 0]);
    assert_eq!((verdict.entries, verdict.damaged), (5, 0));
    assert_eq!((verdict.contents, verdict.bytes), (4, 7 + 5 + 5 + 4));
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(check(empty.path()).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn bytes_that_are_not_what_they_were_are_found_with_their_files() {
    let (dir, id) = store();
    let path = blob(&dir, 7);
    std::fs::write(&path, b"CONTENT").unwrap();
    let damage = check(dir.path()).unwrap().damage.join("\n");
    assert!(
        damage.contains("its SHA-1 is") && damage.contains("\"same\"") && damage.contains(&id),
        "{damage}"
    );
    std::fs::write(&path, b"cont").unwrap();
    assert!(check(dir.path()).unwrap().damage[0].contains("it has 4 bytes instead of 7"));
    std::fs::remove_file(&path).unwrap();
    let verdict = check(dir.path()).unwrap();
    assert!(verdict.damage[0].contains("the file is gone"), "{:?}", verdict.damage);
    assert_eq!(verdict.damaged, 1);
}

#[test]
fn files_nobody_knows_are_found() {
    let (dir, _) = store();
    let stray = dir.path().join("blobs/ab/stray");
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, "x").unwrap();
    assert_eq!(check(dir.path()).unwrap().damage, ["orphan blobs/ab/stray: no row names it"]);
}

#[test]
fn rows_that_do_not_fit_are_found() {
    for (change, expected) in [
        ("UPDATE entry SET parent = 999 WHERE name = 'f'", "the folder it is in does not exist"),
        ("UPDATE entry SET parent = seq WHERE name = 'f'", "only in itself"),
        ("UPDATE entry SET drive = 9 WHERE name = 'same'", "its drive does not exist"),
        ("DELETE FROM entry WHERE file_id = 'root'", "no root folder"),
        ("UPDATE entry SET revision = 999 WHERE name = 'same'", "its current content does not exist"),
        ("UPDATE entry SET revision = 1 WHERE name = 'f'", "a folder with a content"),
        ("UPDATE entry SET size = 1 WHERE name = 'same'", "its size is not"),
        ("UPDATE entry SET meta_json = '{' WHERE name = 'same'", "no JSON object"),
        ("DELETE FROM entry WHERE name = 'same'", "its file does not exist"),
        ("DELETE FROM blob WHERE size = 7", "its bytes have no row"),
        (
            "DELETE FROM revision WHERE blob = (SELECT id FROM blob WHERE size = 7)",
            "no revision has these bytes",
        ),
        ("DELETE FROM upload", "its upload does not exist"),
        ("UPDATE part SET size = 9", "its bytes are missing"),
        ("UPDATE drive SET used_bytes = used_bytes + 1", "its used size is not"),
        ("UPDATE user SET default_drive = 99", "its default drive"),
        ("UPDATE feed SET file_json = 'x' WHERE seq = 1", "feed item 1: its item is no JSON"),
    ] {
        let (dir, _) = store();
        sql(&dir, change);
        let verdict = check(dir.path()).unwrap();
        assert!(
            verdict.damage.iter().any(|damage| damage.contains(expected)),
            "{change}: {:?}",
            verdict.damage
        );
    }
}
