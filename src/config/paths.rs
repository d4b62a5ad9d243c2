//! Where things live on this machine.
//!
//! Data of the embedded server, clean copies and unsent data are kept apart, under the XDG base
//! directories, so that a cleaner of caches never eats a spool (design.md section 2). Each drive has its
//! own folder under cache and state, named by its *drive key*: readable, and with a hash so that two
//! drives never share one.

use std::ffi::OsStr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

/// How many characters of a drive key are for reading; the hash follows.
const READABLE_LEN: usize = 40;
/// How many bytes of the hash a drive key carries: 48 bits never collide among one user's drives.
const HASH_BYTES: usize = 6;

/// The user's base directories, each ending in `pdsfs`.
#[derive(Clone, Debug)]
pub struct Base {
    /// `$XDG_DATA_HOME/pdsfs`: the embedded server's drives.
    pub data: PathBuf,
    /// `$XDG_CACHE_HOME/pdsfs`: clean copies.
    pub cache: PathBuf,
    /// `$XDG_STATE_HOME/pdsfs`: unsent data, journals, logs.
    pub state: PathBuf,
}

impl Base {
    /// The directories of whoever runs this.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when this user has no home directory.
    pub fn of_user() -> Result<Self> {
        let xdg = etcetera::base_strategy::Xdg::new().map_err(|_| {
            Error::new(
                Kind::Invalid,
                "find home directory",
                "this user has none. Set HOME, or give --cache-dir, --state-dir and local:/DIR as absolute paths",
            )
        })?;
        Ok(Base {
            data: xdg.data_dir().join("pdsfs"),
            cache: xdg.cache_dir().join("pdsfs"),
            state: xdg.state_dir().unwrap_or_else(|| xdg.home_dir().join(".local/state")).join("pdsfs"),
        })
    }
}

/// The key of a drive of the embedded server. The port it listens on changes with each start, the place
/// of its data does not.
pub fn local_key(data_dir: &Path) -> String {
    let name = data_dir.file_name().and_then(OsStr::to_str).unwrap_or("root");
    key(&["local", name], &[b"local", data_dir.as_os_str().as_encoded_bytes()])
}

/// The key of a drive of a service.
pub fn remote_key(endpoint: &str, drive_id: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/').to_ascii_lowercase();
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
    key(&[host, drive_id], &[b"remote", endpoint.as_bytes(), drive_id.as_bytes()])
}

fn key(readable: &[&str], identity: &[&[u8]]) -> String {
    let mut text: String = readable
        .join("-")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .take(READABLE_LEN)
        .collect();
    text.push('-');
    text + &short_hash(identity)
}

/// The start of the SHA-256 of `parts`, in hex. Parts are told apart by a zero byte.
pub fn short_hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// `path` without symbolic links as far as it exists, absolute, without `.` and `..`. What does not exist
/// yet is taken literally.
///
/// # Errors
/// Any error of the working directory or of following links, other than "does not exist".
pub fn settle(path: &Path) -> std::io::Result<PathBuf> {
    // By components: a trailing slash would make the system look into a stale mountpoint.
    let absolute: PathBuf = std::path::absolute(path)?.components().collect();
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    let mut settled = loop {
        match existing.canonicalize() {
            Ok(settled) => break settled,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (Some(parent), Some(last)) = (existing.parent(), existing.components().next_back()) else {
            break existing.to_owned();
        };
        missing.push(last);
        existing = parent;
    };
    for component in missing.into_iter().rev() {
        match component {
            Component::ParentDir => {
                settled.pop();
            }
            Component::Normal(name) => settled.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(settled)
}

/// Makes `folder` and what is missing above it; what is made only its owner may enter.
///
/// # Errors
/// Any error of making folders.
pub fn make_private(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether one of two settled paths lies in the other, or they are the same.
pub fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_readable_and_different_for_each_drive() {
        let key = remote_key("https://bj1.api.aliyunpds.com/", "101");
        assert!(key.starts_with("bj1.api.aliyunpds.com-101-"), "{key}");
        assert_eq!(key, remote_key("HTTPS://BJ1.api.aliyunpds.com", "101"));
        assert_ne!(key, remote_key("https://bj1.api.aliyunpds.com", "102"));
        assert_ne!(key, remote_key("http://bj1.api.aliyunpds.com", "101"));
    }

    #[test]
    fn a_local_key_follows_the_data_and_fits_a_file_name() {
        let key = local_key(Path::new("/home/me/.local/share/pdsfs/local"));
        assert!(key.starts_with("local-local-"), "{key}");
        assert_ne!(key, local_key(Path::new("/srv/local")));
        let odd = local_key(Path::new("/x/照片 and/../a,b c"));
        assert!(odd.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{odd}");
        assert!(local_key(Path::new(&format!("/{}", "n".repeat(255)))).len() < 64);
    }

    #[test]
    fn keys_do_not_change_between_versions() {
        // Data that was never sent lies under this name.
        assert_eq!(local_key(Path::new("/data")), "local-data-57e82e310bc2");
    }

    #[test]
    fn settling_follows_links_and_keeps_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(settle(&root.join("link/new/deep")).unwrap(), root.join("real/new/deep"));
        assert_eq!(settle(&root.join("real/./x")).unwrap(), root.join("real/x"));
        assert_eq!(settle(&root.join("nowhere/../x")).unwrap(), root.join("x"));
    }

    #[test]
    fn overlap_is_about_folders_not_letters() {
        assert!(overlap(Path::new("/a/b"), Path::new("/a")));
        assert!(overlap(Path::new("/a"), Path::new("/a/b")));
        assert!(!overlap(Path::new("/a/bc"), Path::new("/a/b")));
    }
}
