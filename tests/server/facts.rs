//! What the server finds out about media, and when it says so (pds-api.md 11.2, 17.1).

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::server_support::{Bed, id, sha1};

/// A picture; `shade` makes its bytes differ from others.
fn png(width: u32, height: u32, shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, image::Rgb([shade, 0, 0]))
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// Asks until there is an answer.
fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn width(bed: &Bed, file: &str) -> Option<u64> {
    bed.file(file)["image_media_metadata"]["width"].as_u64()
}

fn cursor(bed: &Bed) -> Value {
    bed.expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone()
}

/// The operations since a cursor, with the width that the File has.
fn told(bed: &Bed, cursor: &Value) -> Vec<(String, Option<u64>)> {
    let page = bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor}));
    let item = |item: &Value| {
        (item["op"].as_str().unwrap().to_owned(), item["file"]["image_media_metadata"]["width"].as_u64())
    };
    page["items"].as_array().unwrap().iter().map(item).collect()
}

#[test]
fn facts_come_after_complete_and_the_feed_says_so() {
    let bed = Bed::new();
    let since = cursor(&bed);
    let made = bed.write("root", "a.png", &png(30, 20, 1));
    assert_eq!((&made["category"], &made["mime_type"]), (&json!("image"), &json!("image/png")));
    assert!(made.get("image_media_metadata").is_none(), "{made}");
    let items = eventually("the update", || Some(told(&bed, &since)).filter(|items| items.len() > 1));
    assert_eq!(items, [("create".to_owned(), None), ("update".to_owned(), Some(30))]);
    let file = bed.file(&id(&made));
    assert_eq!(file["image_media_metadata"]["height"], 20);
    for unchanged in ["revision_id", "updated_at", "crc64_hash"] {
        assert_eq!(file[unchanged], made[unchanged], "{unchanged}");
    }
    // A copy, rapid or not, knows it as well.
    let bytes = png(30, 20, 1);
    let rapid = bed.expect(
        201,
        "/v2/file/create",
        json!({"parent_file_id": "root", "name": "b.png", "type": "file", "size": bytes.len(),
            "content_hash": sha1(&bytes), "content_hash_name": "sha1"}),
    );
    assert_eq!(rapid["rapid_upload"], true);
    eventually("the facts of the rapid upload", || width(&bed, &id(&rapid)));
    let folder = bed.mkdir("root", "f");
    let copy = json!({"file_id": id(&made), "to_parent_file_id": folder});
    let copy = bed.expect(201, "/v2/file/copy", copy);
    assert_eq!(width(&bed, &id(&copy)), Some(30));
}

#[test]
fn what_is_no_picture_is_told_once() {
    let bed = Bed::new();
    let since = cursor(&bed);
    bed.write("root", "a.txt", b"text");
    bed.write("root", "b.png", b"no picture at all");
    // By the time the facts of the last are there, those before it were looked at.
    let last = bed.write("root", "c.png", &png(5, 5, 1));
    eventually("the facts of the last", || width(&bed, &id(&last)));
    let ops: Vec<String> = told(&bed, &since).into_iter().map(|(op, _)| op).collect();
    assert_eq!(ops, ["create", "create", "create", "update"]);
}

#[test]
fn an_overwritten_picture_is_told_as_it_is_now() {
    let bed = Bed::new();
    let file = id(&bed.write("root", "a.png", &png(10, 10, 1)));
    for size in 11..20 {
        bed.write_as(
            json!({"parent_file_id": "root", "name": "a.png", "file_id": file}),
            &png(size, size, 1),
        );
    }
    eventually("the last size", || width(&bed, &file).filter(|width| *width == 19));
}

#[test]
fn facts_survive_the_end_of_the_server() {
    let mut bed = Bed::new();
    let files: Vec<String> =
        (0..40).map(|n| id(&bed.write("root", &format!("{n}.png"), &png(7, 7, n)))).collect();
    bed = bed.restart();
    for file in &files {
        assert_eq!(eventually("the facts", || width(&bed, file)), 7);
    }
}

#[test]
fn a_drive_of_ones_own_can_know_them_at_once() {
    let bed = Bed::with(|options| options.facts_at_once = true);
    let since = cursor(&bed);
    let made = bed.write("root", "a.png", &png(30, 20, 1));
    assert_eq!(made["image_media_metadata"]["width"], 30);
    assert_eq!(told(&bed, &since), [("create".to_owned(), Some(30))]);
}
