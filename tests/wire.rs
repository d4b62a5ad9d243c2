//! Samples written from the public API reference, checked on the client's side.
//!
//! Each file of `tests/wire` is one exchange: the section of the reference, the path, the request and the
//! reply. The client must send exactly the request and understand the reply. Client and server share no
//! structs, so this is what keeps a typo from passing on both sides.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod scripted;

use std::collections::BTreeMap;

use pdsfs::error::{Error, Kind};
use pdsfs::pds::model::{FileId, FileKind, RevisionId, UploadId};
use pdsfs::pds::{
    Annotations, Changed, CreateFile, Created, DeltaOp, Expect, NewAttributes, PartRequest, Pds, Sha1Context,
    Update, UploadKey, code,
};
use scripted::{Scripted, Step, bytes};
use serde_json::{Value, json};

const FILE: &str = "5d79206586bb5dd69fb34c349282718146c55da7";
const UPLOAD: &str = "C9DCFE5A82644AC7A02DB74C30C934A6";
const CRC64: u64 = 3_574_582_125_365_864_400;
const SHA1: &str = "EA4942AA8761213890A5C386F88E6464D2C31CA3";

struct Sample(Value);

impl Sample {
    fn read(name: &str) -> Self {
        let path = format!("{}/tests/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Sample(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    fn answer(&self) -> Step {
        let status = u16::try_from(self.0["status"].as_u64().unwrap()).unwrap();
        match &self.0["reply"] {
            Value::Null => Step::Answer(format!("HTTP/1.1 {status} OK\r\n\r\n").into_bytes()),
            reply => Step::Answer(bytes(status, &reply.to_string())),
        }
    }
}

/// Plays the exchanges in order against whatever `act` does, and compares what the client sent.
async fn exchange<T>(names: &[&str], act: impl AsyncFnOnce(Pds) -> T) -> T {
    let samples: Vec<_> = names.iter().map(|name| Sample::read(name)).collect();
    let server = Scripted::start(|_| samples.iter().map(Sample::answer).collect()).await;
    let outcome = act(server.client()).await;
    for (request, (Sample(sample), name)) in server.finish().iter().zip(samples.iter().zip(names)) {
        assert_eq!(request.line(), format!("POST {}", sample["path"].as_str().unwrap()), "{name}");
        assert_eq!(request.json(), sample["request"], "{name}");
    }
    outcome
}

fn file() -> FileId {
    FileId::from(FILE)
}

fn key() -> UploadKey {
    UploadKey { file: file(), upload: UploadId::from(UPLOAD) }
}

#[tokio::test]
async fn drives() {
    let drive = exchange(&["drive_get"], async |pds| pds.drive().await).await.unwrap();
    assert_eq!((drive.id.as_str(), &*drive.name), ("1", "photos"));
    assert_eq!(
        (drive.total_bytes, drive.used_bytes, drive.delta_enabled),
        (Some(1 << 40), 1 << 20, Some(true))
    );
    let drives = exchange(&["drive_list_my_drives"], async |pds| pds.my_drives().await).await.unwrap();
    assert_eq!((drives.len(), drives[0].total_bytes), (1, None));
}

#[tokio::test]
async fn folders() {
    let make = async |pds: Pds| pds.create_folder(&FileId::root(), "docs", &NewAttributes::default()).await;
    let Created::Folder(id) = exchange(&["create_folder"], make).await.unwrap() else { panic!() };
    let Created::Exists(existing) = exchange(&["create_folder_exists"], make).await.unwrap() else {
        panic!()
    };
    assert_eq!((existing.id, existing.kind), (id, FileKind::Folder));
}

#[tokio::test]
async fn uploads() {
    let mut request = CreateFile {
        parent: FileId::root(),
        name: "a.bin".to_owned(),
        overwrite: None,
        size: Some(13_381_200),
        content_hash: None,
        parallel: false,
        parts: [1, 2].map(|number| PartRequest { number, sha1_context: None }).to_vec(),
        content_type: None,
        attributes: NewAttributes {
            local_modified_at: Some("2026-01-02T03:04:05.000Z".to_owned()),
            user_tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            ..NewAttributes::default()
        },
    };
    let created = exchange(&["create_file"], async |pds| pds.create_file(&request).await).await.unwrap();
    let Created::Upload { key: made, urls, final_name } = created else { panic!("{created:?}") };
    assert_eq!((made, &*final_name), (key(), "a.bin"));
    assert_eq!(urls.iter().map(|url| url.number).collect::<Vec<_>>(), [1, 2]);

    let context = |number, part_offset| {
        let h = [2_781_477_636, 2_167_910_136, 4_107_292_220, 1_153_442_652, 2_872_263_382];
        PartRequest { number, sha1_context: Some(Sha1Context { h, part_offset }) }
    };
    request = CreateFile {
        name: "1.mov".to_owned(),
        overwrite: Some(file()),
        size: Some(1024),
        content_hash: Some(SHA1.to_owned()),
        parallel: true,
        parts: vec![context(1, 0)],
        content_type: Some("video/quicktime".to_owned()),
        attributes: NewAttributes::default(),
        ..request
    };
    let act = async |pds: Pds| pds.create_file(&request).await;
    let created = exchange(&["create_file_overwrite_rapid"], act).await.unwrap();
    let Created::Rapid { id, revision } = created else { panic!("{created:?}") };
    assert_eq!((id, revision.as_str()), (file(), "77cb7794c9294bb2bd6b6a1e22b5a5f4"));

    let act = async |pds: Pds| pds.part_urls(&key(), &[context(2, 768)]).await;
    assert_eq!(exchange(&["get_upload_url"], act).await.unwrap()[0].number, 2);

    let parts =
        exchange(&["list_uploaded_parts"], async |pds| pds.uploaded_parts(&key()).await).await.unwrap();
    assert_eq!((parts[0].number, parts[0].len), (1, 10_485_824));
    assert_eq!(parts[0].etag.as_deref(), Some("F2A43A97777D22FC44186B46777469C9"));

    let expect = Expect { crc64: CRC64, size: 1024, sha1: Some(SHA1.to_owned()), base_revision: None };
    let done = exchange(&["complete"], async |pds| pds.complete(&key(), expect).await).await.unwrap();
    assert_eq!(done.crc64, Some(CRC64));
}

#[tokio::test]
async fn files_and_listings() {
    let got = exchange(&["get"], async |pds| pds.file(&file()).await).await.unwrap();
    assert_eq!((&got.id, &*got.name, got.kind, got.size), (&file(), "1.mov", FileKind::File, 1024));
    assert_eq!((got.sha1.as_deref(), got.crc64), (Some(SHA1), Some(CRC64)));
    assert_eq!(&*got.local_modified_at, "2019-08-19T00:00:00.000Z");
    assert_eq!(got.json(), Sample::read("get").0["reply"], "no field is lost");

    let page = exchange(&["list"], async |pds| pds.list(&FileId::root(), "m1").await).await.unwrap();
    assert_eq!(page.next.as_deref(), Some("m2"));
    assert_eq!(page.files[0], got);
    assert_eq!((page.files[1].kind, page.files[1].size, page.files[1].crc64), (FileKind::Folder, 0, None));
}

#[tokio::test]
async fn changes() {
    let change = Update {
        name: Some("2.mov".to_owned()),
        local_modified_at: Some("2026-01-02T03:04:05.000Z".to_owned()),
        annotations: Annotations {
            description: Some("d".to_owned()),
            labels: Some(vec!["a".to_owned(), "b".to_owned()]),
            hidden: Some(true),
            starred: Some(true),
            ..Annotations::default()
        },
    };
    let changed = exchange(&["update"], async |pds| pds.update(&file(), &change).await).await.unwrap();
    assert!(matches!(&changed, Changed::Done(file) if &*file.name == "2.mov"), "{changed:?}");

    let to = FileId::from("60f5");
    let changed = exchange(&["move"], async |pds| pds.move_file(&file(), &to, None).await).await.unwrap();
    assert!(matches!(&changed, Changed::Exists { id } if id.as_str() == "aaaa"), "{changed:?}");

    let copy = exchange(&["copy"], async |pds| pds.copy(&file(), &to, None).await).await.unwrap();
    assert_eq!(copy.as_str(), "bbbb");
    exchange(&["delete"], async |pds| pds.delete(&file()).await).await.unwrap();
    exchange(&["trash"], async |pds| pds.trash(&file()).await).await.unwrap();

    let tags = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
    exchange(&["put_usertags"], async |pds| pds.put_tags(&file(), &tags).await).await.unwrap();
    let keys = ["a".to_owned(), "b".to_owned()];
    exchange(&["delete_usertags"], async |pds| pds.delete_tags(&file(), &keys).await).await.unwrap();
}

#[tokio::test]
async fn background_tasks() {
    let task = Sample::read("async_task_get");
    let accepted = json!({"file_id": FILE, "async_task_id": task.0["request"]["async_task_id"]});
    let server =
        Scripted::start(|_| vec![Step::Answer(bytes(202, &accepted.to_string())), task.answer()]).await;
    server.client().trash(&file()).await.unwrap();
    let request = server.finish().remove(1);
    assert_eq!(request.line(), "POST /v2/async_task/get");
    assert_eq!(request.json(), task.0["request"]);
}

#[tokio::test]
async fn the_change_feed() {
    let cursor = exchange(&["get_last_cursor"], async |pds| pds.last_cursor().await).await.unwrap();
    let page = exchange(&["list_delta"], async |pds| pds.delta(&cursor).await).await.unwrap();
    assert_eq!((page.has_more, &*page.cursor), (false, "1WQ1Yjk4YmI1"));
    let items: Vec<_> =
        page.items.iter().map(|item| (item.file_id.as_str(), item.op, item.file.is_some())).collect();
    assert_eq!(items, [("122f", DeltaOp::Create, true), ("133f", DeltaOp::Trash, false)]);
    let error: Error =
        exchange(&["list_delta_cursor_gone"], async |pds| pds.delta("old").await).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, code::CURSOR_NOT_FOUND));
}

#[tokio::test]
async fn download_urls() {
    let revision = RevisionId::from("40cb7794c9294bb2bd6b6a1e22b5a5f4");
    let act = async |pds: Pds| pds.download_url(&file(), &revision).await;
    let url = exchange(&["get_download_url"], act).await.unwrap();
    assert_eq!((url.size, url.crc64), (Some(1024), Some(CRC64)));
}

#[test]
fn every_sample_is_played() {
    let source = std::fs::read_to_string(format!("{}/tests/wire.rs", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let samples = std::fs::read_dir(format!("{}/tests/wire", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for sample in samples {
        let name = sample.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".json");
        assert!(source.contains(&format!("\"{name}\"")), "nothing plays {name}");
    }
}
