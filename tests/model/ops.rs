//! Operations as plain values, so that a failing run can be shrunk and kept. They are drawn without looking
//! at the state: what an operation means on a missing name or a closed slot is part of the test.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::disk::How;

/// Open files at the same time.
pub const SLOTS: usize = 3;
/// Bytes per shard of the clients under test.
pub const PART: u64 = 4096;

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Opens into a slot; what was open there is closed first.
    Open(usize, &'static str, How),
    /// Slot, offset, length, and what the bytes are.
    Write(usize, u64, usize, u64),
    /// Writes behind the last byte, as a copy does: slot, length, and what the bytes are.
    Grow(usize, usize, u64),
    /// Lets what runs in the background get on, so that shards are sealed and sent. Nothing relies on it.
    Breathe,
    /// Slot, offset, length.
    Read(usize, u64, usize),
    SetLen(usize, u64),
    Sync(usize),
    Close(usize),
    Truncate(&'static str, u64),
    Rename(&'static str, &'static str),
    Unlink(&'static str),
    MakeDir(&'static str),
    RemoveDir(&'static str),
    List(&'static str),
    Stat(&'static str),
    /// Sets the modification time to this many milliseconds after 1970.
    Touch(&'static str, u64),
    /// Opens, reads all, closes.
    Get(&'static str),
    /// Closes all slots, compares everything here and on the drive, and opens the filesystem again.
    Remount,
}

const FOLDERS: [&str; 4] = ["", "d", "e", "d/e"];
const FILES: [&str; 5] = ["a", "b", "d/a", "d/b", "d/e/a"];

/// `count` operations of a seed.
pub fn draw(seed: u64, count: usize) -> Vec<Op> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut ops = vec![Op::MakeDir("d"), Op::MakeDir("e"), Op::MakeDir("d/e")];
    ops.extend((0..count).map(|_| one(&mut rng)));
    ops
}

/// The same with everything closed after every few operations.
pub fn draw_closing(seed: u64, count: usize) -> Vec<Op> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut ops = Vec::new();
    for op in draw(seed, count) {
        ops.push(op);
        if rng.random_bool(0.4) {
            ops.extend((0..SLOTS).map(Op::Close));
        }
    }
    ops
}

fn one(rng: &mut StdRng) -> Op {
    let slot = rng.random_range(0..SLOTS);
    match rng.random_range(0..100) {
        0..11 => Op::Open(slot, any(rng), how(rng)),
        11..26 => Op::Grow(slot, length(rng) * 2, rng.random()),
        26..43 => Op::Write(slot, place(rng), length(rng), rng.random()),
        43..57 => Op::Read(slot, place(rng), length(rng) * 2),
        57..61 => Op::SetLen(slot, place(rng)),
        61..64 => Op::Sync(slot),
        64..71 => Op::Breathe,
        71..77 => Op::Close(slot),
        77..79 => Op::Truncate(any(rng), place(rng)),
        79..83 => Op::Rename(any(rng), any(rng)),
        83..86 => Op::Unlink(any(rng)),
        86..87 => Op::MakeDir(folder(rng)),
        87..88 => Op::RemoveDir(folder(rng)),
        88..90 => Op::List(if rng.random_bool(0.9) { FOLDERS[rng.random_range(0..4)] } else { any(rng) }),
        90..93 => Op::Stat(any(rng)),
        93..95 => Op::Touch(any(rng), rng.random_range(1..2_000_000_000_000)),
        95..99 => Op::Get(any(rng)),
        _ => Op::Remount,
    }
}

/// A file most of the time, or a folder where a file is meant.
fn any(rng: &mut StdRng) -> &'static str {
    if rng.random_bool(0.92) { FILES[rng.random_range(0..FILES.len())] } else { folder(rng) }
}

fn folder(rng: &mut StdRng) -> &'static str {
    FOLDERS[rng.random_range(1..FOLDERS.len())]
}

fn how(rng: &mut StdRng) -> How {
    match rng.random_range(0..16) {
        0..2 => How::READ,
        2..4 => How::EDIT,
        4..7 => How::NEW,
        7..12 => How { truncate: false, ..How::NEW },
        12 => How { read: false, truncate: rng.random(), ..How::NEW },
        13 => How { exclusive: true, truncate: rng.random(), ..How::NEW },
        14 => How::ADD,
        _ => How { read: false, create: rng.random(), truncate: rng.random(), ..How::ADD },
    }
}

/// An offset or size: near a shard's boundary as often as anywhere else.
fn place(rng: &mut StdRng) -> u64 {
    let shard = rng.random_range(0..8) * PART;
    match rng.random_range(0..8) {
        0 => 0,
        1 => shard,
        2 => (shard + rng.random_range(0..3)).saturating_sub(1),
        3 => rng.random_range(0..24 * PART),
        _ => rng.random_range(0..6 * PART),
    }
}

fn length(rng: &mut StdRng) -> usize {
    match rng.random_range(0..6) {
        0 => 1,
        1 => PART as usize,
        2 => rng.random_range(1..6 * PART as usize),
        _ => rng.random_range(1..2 * PART as usize),
    }
}
