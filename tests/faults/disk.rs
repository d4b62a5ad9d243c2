//! The local disk is full. As root, on a small disk in memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Scene;
use crate::server_support::noise;
use crate::support::disk::{Direct, Disk, FileLike, How};
use crate::{impatient, support};

/// A disk of a few MiB; taken away when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(path: &Path, mib: u32) -> Option<SmallDisk> {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(path.to_owned()));
        }
        #[allow(clippy::print_stderr)] // Loud where it cannot be tested.
        {
            eprintln!("NOT TESTED: only root can make a small disk");
        }
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_local_disk_is_enospc_at_write_and_harms_no_file() {
    let mut scene = Scene::new();
    let local = scene.local.path().join("small");
    let Some(_disk) = SmallDisk::new(&local, 4) else { return };
    let tuning = support::disk::Tuning { part_bytes: 64 * 1024, ..impatient() };
    scene.client = Some(Direct::new(&scene.bed.server, &local, tuning));
    let old = noise(1, 1 << 20);
    scene.client().put("old", &old).unwrap();
    let big = noise(2, 8 << 20);
    let file = scene.client().open("big", How::NEW).unwrap();
    let written = big
        .chunks(100_000)
        .enumerate()
        .map(|(number, chunk)| file.write_at(chunk, number as u64 * 100_000).map(|()| chunk.len()))
        .take_while(Result::is_ok)
        .map(Result::unwrap)
        .sum::<usize>();
    assert!(written < 4 << 20, "{written} bytes on a disk of 4 MiB");
    assert_eq!(file.write_at(&big[written..written + 100_000], written as u64), Err(libc::ENOSPC));
    // What could be written is a file, as on any disk; nothing of what could not is in it.
    file.close().unwrap();
    let kept = scene.client().get("big").unwrap();
    assert!(kept == big[..kept.len()] && kept.len() == written, "{} of {written}", kept.len());
    scene.drain();
    scene.agree(&[("big", &big[..written]), ("old", &old)]);
    scene.client().unlink("big").unwrap();
    scene.client().put("new", &old).unwrap();
    scene.agree(&[("new", &old), ("old", &old)]);
}

/// A write that failed half-way leaves nothing that growing the file would bring to light.
#[test]
fn what_did_not_fit_never_appears() {
    let mut scene = Scene::new();
    let local = scene.local.path().join("small");
    let Some(_disk) = SmallDisk::new(&local, 4) else { return };
    scene.client = Some(Direct::new(&scene.bed.server, &local, impatient()));
    let file = scene.client().open("f", How::NEW).unwrap();
    file.write_at(b"start", 0).unwrap();
    assert_eq!(file.write_at(&vec![0xEE; 8 << 20], 100), Err(libc::ENOSPC));
    file.set_len(50_000).unwrap();
    let mut wanted = vec![0; 50_000];
    wanted[..5].copy_from_slice(b"start");
    assert!(file.read_at(0, 50_000).unwrap() == wanted, "bytes of the failed write show");
    file.close().unwrap();
    scene.drain();
    scene.agree(&[("f", &wanted)]);
}
