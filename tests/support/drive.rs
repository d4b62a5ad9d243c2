//! What the drive itself says it has, asked through its API and not through a mount.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{crc64, sha1_hex_upper};

/// One entry of the drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    Folder,
    File { size: u64, crc64: String, sha1: String },
}

impl Remote {
    /// What a file of these bytes must be.
    pub fn of(bytes: &[u8]) -> Remote {
        let (crc64, sha1) = (crc64(bytes).to_string(), sha1_hex_upper(bytes));
        Remote::File { size: bytes.len() as u64, crc64, sha1 }
    }
}

/// Everything on the drive by path, read with `call(path, body)`, which answers an API call on drive 1.
///
/// # Panics
/// Two entries of a folder have the same name, or a file is not complete.
pub fn everything(call: &dyn Fn(&str, Value) -> Value) -> BTreeMap<String, Remote> {
    let mut found = BTreeMap::new();
    let mut folders = vec![("root".to_owned(), String::new())];
    while let Some((id, prefix)) = folders.pop() {
        for file in listing(call, &id) {
            let path = format!("{prefix}{}", file["name"].as_str().unwrap());
            let entry = match file["type"].as_str() {
                Some("folder") => {
                    folders.push((file["file_id"].as_str().unwrap().to_owned(), format!("{path}/")));
                    Remote::Folder
                }
                _ => remote_file(&file),
            };
            assert!(found.insert(path.clone(), entry).is_none(), "the drive has {path:?} twice");
        }
    }
    found
}

fn remote_file(file: &Value) -> Remote {
    assert_eq!(file["status"], "available", "{file}");
    Remote::File {
        size: file["size"].as_u64().unwrap(),
        crc64: file["crc64_hash"].as_str().unwrap().to_owned(),
        sha1: file["content_hash"].as_str().unwrap().to_owned(),
    }
}

/// All pages of a folder.
fn listing(call: &dyn Fn(&str, Value) -> Value, folder: &str) -> Vec<Value> {
    let (mut files, mut marker) = (Vec::new(), String::new());
    loop {
        let body = json!({"parent_file_id": folder, "limit": 200, "fields": "*", "marker": marker});
        let page = call("/v2/file/list", body);
        files.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_marker"].as_str() {
            Some(next) if !next.is_empty() => marker = next.to_owned(),
            _ => return files,
        }
    }
}
