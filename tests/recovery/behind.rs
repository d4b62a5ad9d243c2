//! `--write-mode back`: close is durable here, the drive follows.

use super::*;

const BACK: WritePolicy =
    WritePolicy { mode: WriteMode::Back, rapid: Rapid::Auto, on_conflict: OnConflict::Keep };

#[test]
fn close_does_not_wait_for_the_drive_and_the_drive_follows() {
    let bed = Bed::new();
    let fs = bed.fs_with(BACK);
    bed.server.faults().add(Fault { route: "create", action: FaultAction::Hold, times: 1_000 });
    let (small, large) = (noise(10), noise(3 * PART_BYTES as usize));
    bed.put(&fs, "small", &small).unwrap();
    bed.put(&fs, "large", &large).unwrap();
    bed.put(&fs, "small", &large).unwrap();
    assert!(bed.read(&fs, ROOT, "small") == large);
    assert_eq!(fs.status().dirty_files, 2);
    bed.server.faults().clear();
    bed.server.faults().release();
    bed.soon("all is sent", || fs.status().dirty_files == 0);
    let files = bed.files();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|file| file.crc64 == Some(crc64(&large))));
    bed.kill(fs);
    // Nothing is left to do.
    assert_eq!(bed.fs().status().uploads.len(), 0);
}

#[test]
fn what_was_closed_survives_a_kill_whatever_its_size() {
    let bed = Bed::new();
    let fs = bed.fs_with(BACK);
    bed.server.faults().add(Fault {
        route: "create",
        action: FaultAction::Status(503, "ServiceUnavailable", "busy"),
        times: 1_000_000,
    });
    let sizes = [0, 1, 16 * 1024, 16 * 1024 + 1, 300_000];
    let files: Vec<(String, Vec<u8>)> = sizes.iter().map(|size| (format!("f{size}"), noise(*size))).collect();
    for (name, bytes) in &files {
        bed.put(&fs, name, bytes).unwrap();
    }
    bed.put(&fs, "removed", b"x").unwrap();
    bed.runtime.block_on(fs.unlink(ROOT, OsStr::new("removed"))).unwrap();
    bed.kill(fs);
    // A small file is in the journal as a whole: its content file need not have survived.
    for draft in std::fs::read_dir(bed.dir.path().join("state/drafts")).unwrap().flatten() {
        if draft.metadata().unwrap().len() <= 16 * 1024 {
            std::fs::remove_file(draft.path()).unwrap();
        }
    }
    bed.server.faults().clear();
    let fs = bed.fs_with(BACK);
    for (name, bytes) in &files {
        assert!(bed.read(&fs, ROOT, name) == *bytes, "{name}");
    }
    assert!(bed.recover(&fs).is_empty());
    let there = bed.files();
    assert_eq!(there.len(), files.len());
    for (name, bytes) in &files {
        assert_eq!(
            there.iter().find(|file| *file.name == **name).unwrap().crc64,
            Some(crc64(bytes)),
            "{name}"
        );
    }
}

#[test]
fn what_fails_is_tried_again_until_it_works() {
    let bed = Bed::new();
    let fs = bed.fs_with(BACK);
    bed.server.faults().add(Fault { route: "create", action: FaultAction::QuotaExhausted, times: 2 });
    bed.put(&fs, "f", b"bytes").unwrap();
    bed.soon("it failed", || fs.status().uploads.first().is_some_and(|upload| upload.error.is_some()));
    bed.soon("it is tried again", || {
        fs.hurry();
        fs.status().dirty_files == 0
    });
    assert_eq!(bed.files()[0].crc64, Some(crc64(b"bytes")));
}

#[test]
fn a_failed_close_is_tried_again_by_itself() {
    let bed = Bed::new();
    let fs = bed.fs();
    bed.server.faults().add(Fault { route: "create", action: FaultAction::QuotaExhausted, times: 1 });
    assert_eq!(bed.put(&fs, "f", b"bytes"), Err(Kind::Quota));
    assert!(fs.status().uploads[0].error.as_ref().unwrap().contains("full"), "{:?}", fs.status());
    bed.soon("it is tried again", || {
        fs.hurry();
        fs.status().dirty_files == 0
    });
    assert_eq!(bed.files()[0].crc64, Some(crc64(b"bytes")));
}

#[test]
fn many_closers_and_a_file_that_is_written_again_and_again() {
    let bed = Bed::new();
    let fs = bed.fs_with(BACK);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (bed, fs) = (&bed, &fs);
            scope.spawn(move || {
                for round in 0..20 {
                    bed.put(fs, &format!("own-{thread}-{round}"), format!("{thread} {round}").as_bytes())
                        .unwrap();
                    bed.put(fs, &format!("again-{thread}"), format!("{round:03}").as_bytes()).unwrap();
                }
            });
        }
    });
    bed.soon("all is sent", || fs.status().dirty_files == 0);
    let files = bed.runtime.block_on(async {
        let pds = bed.pds();
        let (mut files, mut marker) = (Vec::new(), String::new());
        loop {
            let page = pds.list(&FileId::root(), &marker).await.unwrap();
            files.extend(page.files);
            match page.next {
                Some(next) => marker = next,
                None => return files,
            }
        }
    });
    let again: Vec<_> = files.iter().filter(|file| file.name.starts_with("again")).collect();
    assert_eq!(files.len(), 8 * 21, "{again:?}");
    let last = files.iter().filter(|file| file.name.starts_with("again"));
    assert!(last.into_iter().all(|file| file.crc64 == Some(crc64(b"019"))));
}

#[test]
fn a_completion_that_was_not_heard_of_is_no_conflict_with_what_was_written_since() {
    let bed = Bed::new();
    let faults = bed.server.faults();
    let fs = bed.fs_with(BACK);
    faults.add(Fault { route: "complete", action: FaultAction::LostReply, times: 1_000_000 });
    let busy = FaultAction::Status(503, "ServiceUnavailable", "busy");
    faults.add(Fault { route: "get", action: busy, times: 1_000_000 });
    bed.put(&fs, "f", b"one!").unwrap();
    bed.soon("it failed", || fs.status().uploads.first().is_some_and(|upload| upload.error.is_some()));
    bed.put(&fs, "f", b"two!").unwrap();
    bed.kill(fs);
    faults.clear();
    let fs = bed.fs_with(BACK);
    assert!(bed.recover(&fs).is_empty());
    bed.kill(fs);
    let files = bed.files();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].crc64, Some(crc64(b"two!")));
}
