use super::*;
use crate::pds::model::UploadId;
use crate::write::shard;
use serde_json::json;
use std::io::Write;

const SHARD: u64 = 128;

/// A draft of bytes, and a machine that is fed by hand.
struct Bench {
    upload: Upload,
    file: std::fs::File,
    view: View,
}

/// What an action is, for comparing.
fn word(action: &Action) -> String {
    match action {
        Action::Hash { range, .. } => format!("hash {}..{}", range.start, range.end),
        Action::Create { parallel, size, parts, content_hash } => {
            let known = content_hash.as_ref().map_or("", |_| " hash");
            format!("create parallel={parallel} size={size:?} parts={}{known}", parts.len())
        }
        Action::Urls(_, parts) => {
            format!("urls {:?}", parts.iter().map(|part| part.number).collect::<Vec<_>>())
        }
        Action::Send { url, .. } => format!("send {}", url.number),
        Action::List(_) => "list".to_owned(),
        Action::Complete(_, expect) => format!("complete {}", expect.size),
        Action::Verify(id, expect) => format!("verify {id} {}", expect.size),
    }
}

fn error(kind: Kind, code: &str) -> Error {
    Error::new(kind, "test", "a fault").with_code(code)
}

impl Bench {
    fn new(len: u64) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let view = View { size: len, prefix_end: len, finishing: false, streaming: true };
        Bench { upload: Upload::new(SHARD, 2, Habits::default(), Rapid::Off), file, view }
    }

    fn step(&mut self) -> Vec<Action> {
        self.upload.step(&self.view)
    }

    fn words(&mut self) -> Vec<String> {
        self.step().iter().map(word).collect()
    }

    /// Steps, answers every hash at once, and gives the other actions back.
    fn hashed(&mut self) -> Vec<Action> {
        let mut rest = Vec::new();
        loop {
            let (hashes, others): (Vec<_>, Vec<_>) =
                self.step().into_iter().partition(|action| matches!(action, Action::Hash { .. }));
            rest.extend(others);
            if hashes.is_empty() {
                return rest;
            }
            for action in hashes {
                let Action::Hash { job, range, before } = action else { continue };
                let event = Event::Hashed(job, shard::hash(&self.file, range, before));
                assert!(matches!(self.upload.on(event), Outcome::Continue));
            }
        }
    }

    fn created(&mut self, urls: u32) -> Outcome {
        let key = UploadKey { file: FileId::from("f"), upload: UploadId::from("u") };
        let urls = (1..=urls).map(PartUrl::nowhere).collect();
        self.upload.on(Event::Created(Ok(Created::Upload { key, urls, final_name: "n".to_owned() })))
    }

    fn receipt(&self, number: u32) -> PartReceipt {
        let sent_crc64 = self.upload.shards.crc64(number as usize - 1);
        PartReceipt { crc64: Some(sent_crc64), etag: None, sent_crc64 }
    }

    fn sent(&mut self, number: u32) -> Outcome {
        let receipt = self.receipt(number);
        self.upload.on(Event::Sent(number, Ok(receipt)))
    }

    fn refused(&mut self, number: u32, kind: Kind, code: &str) -> Outcome {
        self.upload.on(Event::Sent(number, Err(error(kind, code))))
    }

    fn finish(&mut self) {
        self.view.finishing = true;
    }
}

fn words(actions: &[Action]) -> Vec<String> {
    actions.iter().map(word).collect()
}

#[test]
fn a_small_file_is_created_when_its_size_is_known() {
    let mut bench = Bench::new(100);
    assert!(bench.words().is_empty());
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=Some(100) parts=1"]);
    bench.created(1);
    assert_eq!(bench.words(), ["send 1"]);
    bench.sent(1);
    assert_eq!(bench.words(), ["complete 100"]);
    let file = File::from_value(json!({"file_id": "f", "type": "file"})).unwrap();
    assert!(matches!(bench.upload.on(Event::Completed(Ok(file))), Outcome::Done(_)));
    assert!(bench.words().is_empty());
}

#[test]
fn an_empty_file_is_one_empty_part() {
    let mut bench = Bench::new(0);
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=Some(0) parts=1"]);
    bench.created(1);
    assert_eq!(bench.words(), ["send 1"]);
    bench.sent(1);
    assert_eq!(bench.words(), ["complete 0"]);
}

#[test]
fn full_shards_leave_while_the_file_is_written() {
    let mut bench = Bench::new(3 * SHARD + 5);
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=None parts=1"]);
    bench.created(1);
    assert_eq!(bench.words(), ["send 1", "urls [2, 3]"]);
    bench.upload.on(Event::Urls(Ok(vec![PartUrl::nowhere(2), PartUrl::nowhere(3)])));
    assert_eq!(bench.words(), ["send 2"]);
    assert!(bench.words().is_empty(), "two at a time");
    bench.sent(1);
    assert_eq!(bench.words(), ["send 3"]);
    bench.sent(2);
    bench.sent(3);
    assert!(bench.words().is_empty(), "the tail waits for close");
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["urls [4]"]);
    bench.upload.on(Event::Urls(Ok(vec![PartUrl::nowhere(4)])));
    assert_eq!(bench.words(), ["send 4"]);
    bench.sent(4);
    assert_eq!(bench.words(), ["complete 389"]);
}

#[test]
fn rewriting_a_sealed_shard_gives_the_upload_up_and_twice_ends_streaming() {
    let mut bench = Bench::new(2 * SHARD);
    for _ in 0..MAX_REWINDS {
        assert_eq!(bench.hashed().len(), 1);
        bench.created(1);
        assert!(bench.upload.rewind(SHARD - 1));
    }
    assert!(bench.words().is_empty());
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=Some(256) parts=2"]);
}

#[test]
fn growth_behind_sealed_shards_is_no_rewrite() {
    let mut bench = Bench::new(2 * SHARD);
    bench.hashed();
    bench.created(1);
    assert!(!bench.upload.rewind(2 * SHARD));
}

#[test]
fn a_hash_of_bytes_that_changed_meanwhile_is_ignored() {
    let mut bench = Bench::new(SHARD);
    let actions = bench.step();
    let Action::Hash { job, range, before } = actions.into_iter().next().unwrap() else { panic!() };
    assert!(!bench.upload.rewind(3));
    bench.upload.on(Event::Hashed(job, shard::hash(&bench.file, range, before)));
    assert_eq!(bench.upload.shards.sealed(), 0);
    assert_eq!(bench.words(), ["hash 0..128"]);
}

#[test]
fn a_short_shard_that_grew_while_it_was_hashed_is_hashed_anew() {
    let mut bench = Bench::new(40);
    bench.view.finishing = true;
    let hashing = bench.step();
    let Some(Action::Hash { job, range, before }) = hashing.into_iter().next() else { panic!("no hash") };
    let hashed = shard::hash(&bench.file, range, before).unwrap();
    bench.file.write_all(b"grown").unwrap();
    bench.view = View { size: 45, prefix_end: 45, ..bench.view };
    assert!(!bench.upload.rewind(40));
    bench.upload.on(Event::Hashed(job, Ok(hashed)));
    assert_eq!(bench.words(), ["hash 0..45"]);
}

#[test]
fn a_drive_without_parallel_mode_gets_one_part_after_the_other() {
    let mut bench = Bench::new(2 * SHARD);
    bench.finish();
    bench.hashed();
    let refused = error(Kind::Invalid, code::PARALLEL_REFUSED);
    assert!(matches!(bench.upload.on(Event::Created(Err(refused))), Outcome::Continue));
    assert_eq!(bench.words(), ["create parallel=false size=Some(256) parts=2"]);
    bench.created(2);
    assert_eq!(bench.words(), ["send 1"]);
    assert!(bench.words().is_empty());
    bench.sent(1);
    assert_eq!(bench.words(), ["send 2"]);
    assert!(!bench.upload.habits().parallel);
}

#[test]
fn a_drive_that_wants_the_size_first_waits_for_close() {
    let mut bench = Bench::new(2 * SHARD);
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=None parts=1"]);
    bench.upload.on(Event::Created(Err(error(Kind::Invalid, "InvalidParameterMissing.Size"))));
    assert!(bench.hashed().is_empty());
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=Some(256) parts=2"]);
}

#[test]
fn an_expired_url_is_replaced_and_the_part_sent_again() {
    let mut bench = Bench::new(10);
    bench.finish();
    bench.hashed();
    bench.created(1);
    bench.step();
    assert!(matches!(bench.refused(1, Kind::Unavailable, code::EXPIRED), Outcome::Continue));
    assert_eq!(bench.words(), ["urls [1]"]);
    bench.upload.on(Event::Urls(Ok(vec![PartUrl::nowhere(1)])));
    assert_eq!(bench.words(), ["send 1"]);
}

#[test]
fn a_part_that_is_there_already_counts_when_it_is_whole() {
    for (stored, next) in [(10, "complete 10"), (9, "create parallel=true size=Some(10) parts=1")] {
        let mut bench = Bench::new(10);
        bench.finish();
        bench.hashed();
        bench.created(1);
        bench.step();
        bench.refused(1, Kind::Protocol, code::PART_ALREADY_EXIST);
        assert_eq!(bench.words(), ["list"]);
        bench.upload.on(Event::Listed(Ok(vec![UploadedPart { number: 1, len: stored, etag: None }])));
        assert_eq!(bench.words(), [next], "stored {stored}");
    }
}

#[test]
fn bytes_that_changed_on_their_way_are_hashed_again() {
    let mut bench = Bench::new(10);
    bench.finish();
    bench.hashed();
    bench.created(1);
    bench.step();
    let other = PartReceipt { crc64: None, etag: None, sent_crc64: 1 };
    assert!(matches!(bench.upload.on(Event::Sent(1, Ok(other))), Outcome::Restart));
    assert_eq!(bench.words(), ["hash 0..10"]);
}

#[test]
fn an_upload_that_keeps_vanishing_fails_in_the_end_and_not_as_a_missing_file() {
    let mut bench = Bench::new(10);
    bench.finish();
    bench.hashed();
    for round in 0..=MAX_RESTARTS {
        bench.created(1);
        bench.step();
        match bench.refused(1, Kind::NotFound, code::NO_SUCH_UPLOAD) {
            Outcome::Restart => assert_eq!(bench.words().len(), 1),
            Outcome::Failed(error) => {
                assert_eq!((round, error.kind()), (MAX_RESTARTS, Kind::Unavailable));
                return;
            }
            Outcome::Continue | Outcome::Done(_) => panic!("round {round}"),
        }
    }
    panic!("it never failed");
}

#[test]
fn a_taken_name_tells_who_has_it() {
    let mut bench = Bench::new(1);
    bench.finish();
    bench.hashed();
    let existing =
        crate::pds::Existing { id: FileId::from("other"), kind: crate::pds::model::FileKind::File };
    let outcome = bench.upload.on(Event::Created(Ok(Created::Exists(existing))));
    assert!(matches!(outcome, Outcome::Failed(error) if error.kind() == Kind::Exists));
    assert_eq!(bench.upload.rival(), Some(FileId::from("other")));
}

#[test]
fn bytes_the_drive_has_are_not_sent_and_looked_at() {
    for (rapid, early) in [(Rapid::Auto, 1), (Rapid::Always, 0)] {
        let mut bench = Bench::new(2 * SHARD);
        bench.upload = Upload::new(SHARD, 2, Habits::default(), rapid);
        assert_eq!(bench.hashed().len(), early, "{rapid:?}");
    }
    let mut bench = Bench::new(100);
    bench.upload = Upload::new(SHARD, 2, Habits::default(), Rapid::Auto);
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=Some(100) parts=1 hash"]);
    assert!(
        bench.upload.is_completing(),
        "its reply must not be missed: it may say that the file is complete"
    );
    let taken = Created::Rapid { id: FileId::from("f"), revision: RevisionId::from("r") };
    bench.upload.on(Event::Created(Ok(taken)));
    assert_eq!(bench.words(), ["verify f 100"]);
    let other = bench.upload.on(Event::Completed(Err(error(Kind::Corrupt, ""))));
    assert!(matches!(other, Outcome::Restart));
    assert_eq!(bench.words(), ["create parallel=true size=Some(100) parts=1"]);
}

#[test]
fn an_upload_of_an_earlier_run_sends_its_missing_shards_only() {
    let mut bench = Bench::new(3 * SHARD + 5);
    let key = UploadKey { file: FileId::from("f"), upload: UploadId::from("u") };
    let mark = Mark { key, parallel: true, shard_len: SHARD };
    bench.upload = Upload::new(1 << 20, 2, Habits::default(), Rapid::Off).resuming(mark.clone());
    assert_eq!(bench.upload.mark(), Some(mark));
    bench.view.streaming = false;
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["list"]);
    let part = |number, len| UploadedPart { number, len, etag: None };
    bench.upload.on(Event::Listed(Ok(vec![part(1, SHARD), part(2, 3), part(3, SHARD)])));
    assert_eq!(bench.words(), ["urls [2, 4]"]);
    bench.upload.on(Event::Urls(Ok(vec![PartUrl::nowhere(2), PartUrl::nowhere(4)])));
    assert_eq!(bench.words(), ["send 2", "send 4"]);
    bench.sent(2);
    bench.sent(4);
    assert_eq!(bench.words(), ["complete 389"]);
    // Other bytes than ours: from the beginning.
    let other = bench.upload.on(Event::Completed(Err(error(Kind::Corrupt, ""))));
    assert!(matches!(other, Outcome::Restart));
    assert_eq!(bench.words(), ["create parallel=true size=Some(389) parts=2"]);
}

#[test]
fn an_upload_of_an_earlier_run_that_is_gone_starts_again() {
    let mut bench = Bench::new(10);
    let key = UploadKey { file: FileId::from("f"), upload: UploadId::from("u") };
    let mark = Mark { key, parallel: false, shard_len: SHARD };
    bench.upload = Upload::new(SHARD, 2, Habits::default(), Rapid::Off).resuming(mark);
    bench.finish();
    assert_eq!(words(&bench.hashed()), ["list"]);
    let gone = bench.upload.on(Event::Listed(Err(error(Kind::NotFound, code::UPLOAD_NOT_FOUND))));
    assert!(matches!(gone, Outcome::Restart));
    assert_eq!(words(&bench.hashed()), ["create parallel=true size=Some(10) parts=1"]);
}
