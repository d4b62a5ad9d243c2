//! Pictures made on download: `x-oss-process`, thumbnails in File objects (pds-api.md 12.3, 12.4).

use std::io::Cursor;
use std::process::Command;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder, Rgb, RgbImage};
use serde_json::{Value, json};

use super::server_support::{Answer, Bed, id, send, target};

/// The left half red, the right half blue, with this EXIF orientation.
fn photo(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let pixel = |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) };
    let image = RgbImage::from_fn(width, height, pixel);
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    // One directory with one tag, 0x0112, a 16-bit number.
    let exif =
        [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], &[0; 6]].concat();
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(&image, width, height, image::ExtendedColorType::Rgb8).unwrap();
    bytes.into_inner()
}

fn picture(answer: &Answer) -> DynamicImage {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    image::load_from_memory(&answer.body).unwrap()
}

fn url<'a>(file: &'a Value, key: &str) -> &'a str {
    file.pointer(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {file}"))
}

#[test]
fn a_photo_has_thumbnails_that_are_upright() {
    let bed = Bed::new();
    // Taken with the camera turned: the right half of what is stored is up.
    let file = id(&bed.write("root", "photo.jpg", &photo(400, 200, 8)));
    assert!(bed.expect(200, "/v2/file/get", json!({"file_id": file})).get("thumbnail").is_none());
    let body = json!({"file_id": file, "fields": "thumbnail", "thumbnail_processes": {
        "wide": {"image_thumbnail_process": "image/resize,w_50"},
        "png": {"image_thumbnail_process": "image/resize,m_fixed,w_30,h_20/format,png"},
    }});
    let described = bed.expect(200, "/v2/file/get", body);
    let small = picture(&bed.get(url(&described, "/thumbnail"), &[])).to_rgb8();
    assert_eq!(small.dimensions(), (128, 128));
    assert!(small.get_pixel(64, 5)[2] > 200 && small.get_pixel(64, 120)[0] > 200, "blue is up, red is down");
    let wide = bed.get(url(&described, "/thumbnail_urls/wide"), &[]);
    assert_eq!(
        (wide.header("content-type"), picture(&wide).width(), picture(&wide).height()),
        ("image/jpeg", 50, 100)
    );
    let png = bed.get(url(&described, "/thumbnail_urls/png"), &[]);
    assert_eq!(
        (png.header("content-type"), picture(&png).width(), picture(&png).height()),
        ("image/png", 30, 20)
    );
    let head = send(bed.address(), "HEAD", target(url(&described, "/thumbnail")), &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    // The process is part of what is signed.
    let other = url(&described, "/thumbnail").replacen("h_128", "h_999", 1);
    assert_ne!(other, url(&described, "/thumbnail"));
    assert_eq!(bed.get(&other, &[]).xml_error(), (403, "SignatureDoesNotMatch".into()));
}

#[test]
fn lists_have_thumbnails_of_what_has_a_picture() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    bed.write(&folder, "a.jpg", &photo(40, 40, 1));
    bed.write(&folder, "b.txt", b"text");
    bed.mkdir(&folder, "c");
    let body = json!({"parent_file_id": folder, "order_by": "name", "fields": "url",
        "image_thumbnail_process": "image/resize,l_10", "image_url_process": "image/resize,l_20"});
    let listed = bed.expect(200, "/v2/file/list", body);
    let items = listed["items"].as_array().unwrap();
    assert_eq!(picture(&bed.get(url(&items[0], "/thumbnail"), &[])).width(), 10);
    assert_eq!(picture(&bed.get(url(&items[0], "/url"), &[])).width(), 20);
    assert_eq!(bed.get(url(&items[0], "/download_url"), &[]).body, photo(40, 40, 1));
    assert!(items[1..].iter().all(|item| item.get("thumbnail").is_none()));
    let six: serde_json::Map<_, _> = (0..6).map(|n| (n.to_string(), json!({}))).collect();
    for wrong in [json!(six), json!([1]), json!({"a": 1}), json!({"a": {"image_thumbnail_process": 1}})] {
        let body = json!({"parent_file_id": folder, "thumbnail_processes": wrong});
        assert_eq!(bed.refused("/v2/file/list", body).1, "InvalidParameter.ThumbnailProcesses");
    }
}

#[test]
fn download_redirects_to_a_picture_when_one_is_asked_for() {
    let bed = Bed::new();
    let (photo, text) = (bed.write("root", "a.jpg", &photo(40, 40, 1)), bed.write("root", "b.txt", b"text"));
    let follow = |file: &Value| {
        let query = format!(
            "/v2/file/download?drive_id=1&file_id={}&image_thumbnail_process=image%2Fresize%2Cw_8",
            id(file)
        );
        let answer = send(bed.address(), "GET", &query, &[("authorization", "Bearer secret")], b"").unwrap();
        assert_eq!(answer.status, 302);
        bed.get(answer.header("location"), &[])
    };
    assert_eq!(picture(&follow(&photo)).width(), 8);
    assert_eq!(follow(&text).body, b"text");
}

#[test]
fn what_cannot_be_processed_is_refused_in_words() {
    let bed = Bed::new();
    let damaged = [&photo(40, 40, 1)[..100], &[0; 500]].concat();
    let huge = [photo(40, 40, 1), vec![0; 20 << 20]].concat();
    for (name, bytes, process, code) in [
        ("a.jpg", &photo(40, 40, 1), "image/explode", "InvalidArgument"),
        ("b.jpg", &photo(40, 40, 1), "image/resize,w_0", "InvalidArgument"),
        ("c.jpg", &photo(40, 40, 1), "video/snapshot,t_0", "BadRequest"),
        ("d.jpg", &damaged, "image/resize,w_8", "ImageDamage"),
        ("e.jpg", &huge, "image/resize,w_8", "ImageTooLarge"),
    ] {
        let file = id(&bed.write("root", name, bytes));
        let body = json!({"file_id": file, "image_thumbnail_process": process});
        let described = bed.expect(200, "/v2/file/get", body);
        assert_eq!(bed.get(url(&described, "/thumbnail"), &[]).xml_error(), (400, code.into()), "{process}");
    }
}

#[test]
fn a_video_shows_a_frame() {
    let bed = Bed::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.mp4");
    // Half a second: shorter than the second at which the default frame is taken.
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=red:size=64x48:duration=0.5"])
        .args(["-c:v", "mpeg4"])
        .arg(&path)
        .output()
        .expect("ffmpeg, which scripts/install-deps installs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = id(&bed.write("root", "film.mp4", &std::fs::read(path).unwrap()));
    let body = json!({"file_id": file, "fields": "thumbnail", "thumbnail_processes": {
        "small": {"video_thumbnail_process": "video/snapshot,t_100,f_png,w_32"}}});
    let described = bed.expect(200, "/v2/file/get", body);
    let frame = picture(&bed.get(url(&described, "/thumbnail"), &[])).to_rgb8();
    assert_eq!(frame.dimensions(), (64, 48));
    assert!(frame.get_pixel(32, 24)[0] > 200 && frame.get_pixel(32, 24)[2] < 60);
    let small = bed.get(url(&described, "/thumbnail_urls/small"), &[]);
    assert_eq!((small.header("content-type"), picture(&small).width()), ("image/png", 32));
    // Bytes that only claim to be a film.
    let fake = [b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".as_slice(), &[7; 3000]].concat();
    let fake = bed.write("root", "fake.mp4", &fake);
    let body = json!({"file_id": id(&fake), "fields": "thumbnail"});
    let described = bed.expect(200, "/v2/file/get", body);
    assert_eq!(bed.get(url(&described, "/thumbnail"), &[]).xml_error().0, 400);
}
