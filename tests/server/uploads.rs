//! Uploads: order, replacement, contexts, sizes, checks (8, 19.3 rules 3 to 11).

use serde_json::{Value, json};

use super::PART;
use super::server_support::{Bed, Upload, context, crc, id, noise, sha1, urls};

fn parallel(bed: &Bed, name: &str, parts: &[Value]) -> Upload {
    bed.create_as(
        json!({"parent_file_id": "root", "name": name, "parallel_upload": true, "part_info_list": parts}),
    )
}

/// Equal parts with their true contexts.
fn plan(bytes: &[u8], part: usize) -> Vec<Value> {
    let starts = (0..bytes.len()).step_by(part);
    (1..)
        .zip(starts)
        .map(|(number, start)| json!({"part_number": number, "parallel_sha1_ctx": context(&bytes[..start])}))
        .collect()
}

#[test]
fn parts_arrive_in_any_order_in_parallel_mode() {
    let bed = Bed::new();
    let bytes = noise(2, 4 * PART + 777);
    let upload = parallel(&bed, "p", &plan(&bytes, PART));
    let chunks: Vec<&[u8]> = bytes.chunks(PART).collect();
    for at in [4, 1, 3, 0, 2] {
        assert_eq!(bed.put(&upload.urls[at], &[], chunks[at]).status, 200);
    }
    let file = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!(file["content_hash"], sha1(&bytes));
    assert_eq!(file["crc64_hash"], crc(&bytes).to_string());
    assert_eq!(bed.read(&upload.file_id), bytes);
}

// 4.4
#[test]
fn the_official_test_vector_of_midstates() {
    let bed = Bed::with(|options| options.min_part_bytes = 1);
    let content = (0..100).map(|i| format!("test-{i}")).collect::<Vec<_>>().join("\n").into_bytes();
    let h = [2781477636u32, 2167910136, 4107292220, 1153442652, 2872263382];
    let parts = [
        json!({"part_number": 1, "parallel_sha1_ctx": {"h": [], "part_offset": 0}}),
        json!({"part_number": 2, "parallel_sha1_ctx": {"h": h, "part_offset": 768}}),
    ];
    let upload = parallel(&bed, "t", &parts);
    assert_eq!(bed.put(&upload.urls[1], &[], &content[768..]).status, 200);
    assert_eq!(bed.put(&upload.urls[0], &[], &content[..768]).status, 200);
    let file = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!(file["content_hash"], "392AF61CCA9BC02502B0BB03B45ABD78601DD1DF");
}
