//! Bytes the drive has are not sent again; what others changed may be refused instead of kept beside.

use super::*;

fn policy(rapid: Rapid) -> WritePolicy {
    WritePolicy { rapid, ..WritePolicy::default() }
}

#[test]
fn known_bytes_are_not_sent() {
    let bed = Bed::new();
    let sent = || bed.server.faults().count("put_part");
    let (small, large) = (noise(1000), noise(3 * PART_BYTES as usize + 1));
    let fs = bed.fs_with(policy(Rapid::Off));
    bed.put(&fs, "small", &small).unwrap();
    bed.put(&fs, "large", &large).unwrap();
    assert_eq!(sent(), 5);
    bed.put(&fs, "small2", &small).unwrap();
    assert_eq!(sent(), 6, "off sends what is known");
    bed.kill(fs);
    let fs = bed.fs_with(policy(Rapid::Auto));
    bed.put(&fs, "small3", &small).unwrap();
    assert_eq!(sent(), 6);
    bed.kill(fs);
    let fs = bed.fs_with(policy(Rapid::Always));
    bed.put(&fs, "large2", &large).unwrap();
    bed.put(&fs, "small", &large).unwrap();
    assert_eq!(sent(), 6);
    bed.put(&fs, "new", &noise(3 * PART_BYTES as usize)).unwrap();
    assert_eq!(sent(), 9);
    let crc_of = |name: &str| bed.files().iter().find(|file| *file.name == *name).unwrap().crc64;
    assert_eq!(crc_of("small3"), Some(crc64(&small)));
    assert_eq!(crc_of("large2"), Some(crc64(&large)));
    assert_eq!(crc_of("small"), Some(crc64(&large)));
    assert_eq!(bed.files().len(), 6);
    assert!(bed.read(&fs, ROOT, "small") == large);
}

#[test]
fn a_lost_reply_to_a_create_that_took_known_bytes_makes_no_second_file() {
    let bed = Bed::new();
    let fs = bed.fs();
    bed.put(&fs, "a", b"known bytes").unwrap();
    bed.server.faults().add(Fault { route: "create", action: FaultAction::LostReply, times: 1 });
    bed.put(&fs, "b", b"known bytes").unwrap();
    let mut names: Vec<String> = bed.files().iter().map(|file| file.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_conflict_can_be_refused() {
    let bed = Bed::new();
    let fail = WritePolicy { on_conflict: OnConflict::Fail, ..WritePolicy::default() };
    let fs = bed.fs_with(fail);
    bed.put(&fs, "doc", b"first").unwrap();
    let ino = bed.runtime.block_on(fs.lookup(ROOT, OsStr::new("doc"))).unwrap().node.ino;
    let handle = bed.runtime.block_on(fs.open_file(ino, NEW, ME)).unwrap().handle;
    fs.write(handle, b"OURS", 0).unwrap();
    let other = bed.dir.path().join("other");
    let second = DriveFs::open(bed.pds(), options(&other), bed.runtime.handle().clone()).unwrap();
    bed.runtime.block_on(second.check()).unwrap();
    bed.put(&second, "doc", b"theirs").unwrap();
    let error = bed.runtime.block_on(fs.flush(handle, ME)).unwrap_err();
    assert_eq!(error.kind(), Kind::Stale);
    assert_eq!(fs.status().uploads[0].path, "doc");
    let files = bed.files();
    assert_eq!((files.len(), files[0].crc64), (1, Some(crc64(b"theirs"))));
}

#[test]
fn uploads_keep_to_a_rate() {
    let bed = Bed::new();
    let options = PdsOptions { upload_rate: 512 * 1024, ..bed.pds_options() };
    let fs = DriveFs::open(
        Pds::new(options).unwrap(),
        self::options(bed.dir.path()),
        bed.runtime.handle().clone(),
    );
    let fs = fs.unwrap();
    bed.runtime.block_on(fs.check()).unwrap();
    let began_at = Instant::now();
    bed.put(&fs, "f", &noise(6 * PART_BYTES as usize)).unwrap();
    // 768 KiB at 512 KiB a second; each of the connections may have one slice of 64 KiB on its way.
    assert!(began_at.elapsed() >= Duration::from_millis(1200), "{:?}", began_at.elapsed());
}
