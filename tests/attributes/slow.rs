//! What looking at attributes costs: pages of listings, and no byte of content.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::server_support::Bed;
use crate::support::{Home, Mount};

/// Copies of one photo in one folder, made on the server.
const PHOTOS: usize = 10_000;
/// Entries on one page of a listing.
const PAGE: usize = 100;

#[test]
fn the_attributes_of_ten_thousand_photos_cost_the_pages_of_their_listing() {
    let home = Home::new();
    home.quiet("ffmpeg -nostdin -v error -f lavfi -i testsrc=size=64x48 -frames:v 1 photo.jpg");
    let bed = Bed::new();
    let folder = bed.mkdir("root", "photos");
    let photo = fs::read(home.path("photo.jpg")).unwrap();
    let id = bed.write("root", "photo.jpg", &photo)["file_id"].as_str().unwrap().to_owned();
    crate::support::mount::until("the photo has been looked at", || {
        bed.file(&id)["image_media_metadata"]["width"] == 64
    });
    for first in (0..PHOTOS).step_by(PAGE) {
        let copy = |n: usize| {
            let body = json!({
                "drive_id": "1", "file_id": id, "to_parent_file_id": folder, "new_name": format!("{n:05}.jpg"),
            });
            json!({ "id": n.to_string(), "method": "POST", "url": "/file/copy", "body": body })
        };
        let requests: Vec<_> = (first..first + PAGE).map(copy).collect();
        bed.expect(200, "/v2/batch", json!({ "resource": "file", "requests": requests }));
    }
    fs::write(home.path("token"), "secret").unwrap();
    let url = bed.server.url().to_owned();
    fs::set_permissions(home.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let m = Mount::at(home, &["--endpoint", &url, "--token-file", "token", "--drive-id", "1"]);
    let count = |route: &str| bed.server.faults().count(route);
    let (pages, gets, urls) = (count("list"), count("get"), count("get_download_url"));
    let all = m.quiet("getfattr -R -d mnt/photos | grep -c '^user.pds.image.width=\"64\"'");
    assert_eq!(all.trim(), PHOTOS.to_string());
    let pages = count("list") - pages;
    assert!((100..=103).contains(&pages), "{pages} pages");
    assert_eq!((count("get") - gets, count("get_download_url") - urls), (0, 0));
    assert_eq!(bed.server.faults().bytes_sent(), 0, "no content was read");
    // Again, and one by one: nothing at all.
    let before = count("*") - count("list_delta");
    m.quiet("getfattr -n user.pds.json mnt/photos/*.jpg > /dev/null");
    assert_eq!(count("*") - count("list_delta") - before, 0);
}
