//! Drafts of an earlier run: files in their folders at once, sent with what is missing.

use super::*;

#[test]
fn it_is_a_file_in_its_folder_again_before_anything_is_sent() {
    let bed = Bed::new();
    let fs = bed.fs();
    let folder = bed.runtime.block_on(fs.make_dir(ROOT, OsStr::new("deep"), 0o755, ME)).unwrap().node.ino;
    let (small, large) = (noise(700), noise(5 * PART_BYTES as usize + 3));
    let open = |folder, name: &str, bytes: &[u8]| {
        let created = bed.runtime.block_on(fs.create(folder, OsStr::new(name), NEW, 0o644, ME));
        let handle = created.unwrap().1.handle;
        fs.write(handle, bytes, 0).unwrap();
        bed.runtime.block_on(fs.fsync(handle)).unwrap();
    };
    open(folder, "small", &small);
    open(ROOT, "large", &large);
    bed.kill(fs);

    bed.server.faults().add(Fault { route: "create", action: FaultAction::Hold, times: 2 });
    let fs = bed.fs();
    fs.recover();
    assert!(bed.read(&fs, ROOT, "large") == large);
    let folder = bed.runtime.block_on(fs.lookup(ROOT, OsStr::new("deep"))).unwrap().node.ino;
    assert!(bed.read(&fs, folder, "small") == small);
    let names: Vec<String> = fs.status().uploads.into_iter().map(|upload| upload.path).collect();
    assert_eq!(names, ["deep/small", "large"]);
    bed.soon("both wait for the drive", || bed.server.faults().held() == 2);
    bed.server.faults().release();
    bed.soon("both are there", || fs.status().dirty_files == 0);
    assert!(bed.read(&fs, folder, "small") == small);
    assert!(bed.recover(&fs).is_empty());
    bed.kill(fs);
    assert!(std::fs::read_dir(bed.dir.path().join("state/drafts")).unwrap().next().is_none());
}

#[test]
fn it_can_be_changed_renamed_and_removed_before_it_is_sent() {
    let bed = Bed::new();
    let fs = bed.fs();
    for name in ["changed", "renamed", "removed"] {
        let handle = bed.write(&fs, name, b"before");
        bed.runtime.block_on(fs.fsync(handle)).unwrap();
    }
    bed.kill(fs);
    let fs = bed.fs();
    bed.runtime.block_on(async {
        let ino = fs.lookup(ROOT, OsStr::new("changed")).await.unwrap().node.ino;
        let handle = fs.open_file(ino, NEW, ME).await.unwrap().handle;
        fs.write(handle, b"after!", 0).unwrap();
        fs.flush(handle, ME).await.unwrap();
        fs.release(handle);
        fs.rename(ROOT, OsStr::new("renamed"), ROOT, OsStr::new("other"), false).await.unwrap();
        fs.unlink(ROOT, OsStr::new("removed")).await.unwrap();
    });
    assert!(bed.recover(&fs).is_empty());
    let mut files: Vec<(String, Option<u64>)> =
        bed.files().iter().map(|file| (file.name.to_string(), file.crc64)).collect();
    files.sort();
    let wanted =
        [("changed".to_owned(), Some(crc64(b"after!"))), ("other".to_owned(), Some(crc64(b"before")))];
    assert_eq!(files, wanted);
}

/// The shards of a file that was sent in part before a kill, and how many were sent after it.
fn shards_sent_again(parallel: bool, meanwhile: impl FnOnce(&Bed)) -> (u64, u64) {
    const SHARDS: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::over(dir, |options| options.parallel_upload = parallel);
    let bytes = noise((SHARDS * PART_BYTES) as usize);
    let faults = bed.server.faults();
    let fs = bed.fs();
    // The last part never arrives.
    let handle = bed.write(&fs, "large", &bytes[..(SHARDS - 1) as usize * PART_BYTES as usize]);
    bed.soon("the first shards are sent", || faults.count("put_part") == SHARDS - 1);
    bed.soon("and acknowledged", || fs.status().uploads[0].bytes_done == (SHARDS - 1) * PART_BYTES);
    fs.write(handle, &bytes[(SHARDS - 1) as usize * PART_BYTES as usize..], (SHARDS - 1) * PART_BYTES)
        .unwrap();
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.kill(fs);
    let before = faults.count("put_part");
    meanwhile(&bed);
    let fs = bed.fs();
    assert!(bed.recover(&fs).is_empty());
    let files = bed.files();
    assert_eq!(files.len(), 1);
    assert_eq!((&*files[0].name, files[0].crc64), ("large", Some(crc64(&bytes))));
    (before, faults.count("put_part") - before)
}

#[test]
fn only_missing_shards_are_sent() {
    for parallel in [true, false] {
        let (before, after) = shards_sent_again(parallel, |_| {});
        // The last one may have been under way.
        assert!(before >= 7 && after <= 1, "parallel {parallel}: {before} before, {after} after");
    }
}

#[test]
fn an_upload_that_died_of_age_meanwhile_starts_again() {
    let old = |bed: &Bed| bed.server.advance_clock(Duration::from_secs(11 * 24 * 3600));
    assert_eq!(shards_sent_again(true, old).1, 8);
}

#[test]
fn bytes_rewritten_after_they_were_sent_are_sent_again() {
    let bed = Bed::new();
    let mut bytes = noise(4 * PART_BYTES as usize);
    let fs = bed.fs();
    let handle = bed.write(&fs, "patched", &bytes);
    bed.soon("they are sent", || fs.status().uploads[0].bytes_done == 4 * PART_BYTES);
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    // As a program does whose process dies right after its fsync.
    fs.write(handle, b"header", 0).unwrap();
    bytes[..6].copy_from_slice(b"header");
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.kill(fs);
    let fs = bed.fs();
    assert!(bed.recover(&fs).is_empty());
    assert_eq!(bed.files()[0].crc64, Some(crc64(&bytes)));
}

#[test]
fn what_others_did_to_the_base_meanwhile_is_kept_beside_it() {
    let bed = Bed::new();
    let fs = bed.fs();
    bed.put(&fs, "doc.txt", b"first").unwrap();
    let ino = bed.runtime.block_on(fs.lookup(ROOT, OsStr::new("doc.txt"))).unwrap().node.ino;
    let handle = bed.runtime.block_on(fs.open_file(ino, NEW, ME)).unwrap().handle;
    fs.write(handle, b"OURS", 0).unwrap();
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.kill(fs);
    let other = bed.dir.path().join("other");
    let second = DriveFs::open(bed.pds(), options(&other), bed.runtime.handle().clone()).unwrap();
    bed.runtime.block_on(second.check()).unwrap();
    bed.put(&second, "doc.txt", b"theirs").unwrap();

    let fs = bed.fs();
    assert!(bed.recover(&fs).is_empty());
    let mut found: Vec<(bool, Option<u64>)> =
        bed.files().iter().map(|file| (file.name.contains("conflict"), file.crc64)).collect();
    found.sort();
    assert_eq!(found, [(false, Some(crc64(b"theirs"))), (true, Some(crc64(b"OURSt")))]);
}

#[test]
fn what_others_removed_meanwhile_is_made_again() {
    let bed = Bed::new();
    let fs = bed.fs();
    bed.put(&fs, "doc.txt", b"first").unwrap();
    let ino = bed.runtime.block_on(fs.lookup(ROOT, OsStr::new("doc.txt"))).unwrap().node.ino;
    let handle = bed.runtime.block_on(fs.open_file(ino, NEW, ME)).unwrap().handle;
    fs.write(handle, b"second", 0).unwrap();
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.kill(fs);
    bed.runtime.block_on(bed.pds().trash(&bed.files()[0].id)).unwrap();
    assert!(bed.recover(&bed.fs()).is_empty());
    assert_eq!(bed.files()[0].crc64, Some(crc64(b"second")));
    assert_eq!(bed.files().len(), 1);
}
