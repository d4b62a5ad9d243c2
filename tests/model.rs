//! Random operations on a real filesystem over the embedded server and on a map in memory, compared after
//! each step; in process and through the kernel.
//!
//! A failing run prints its seed and the shortest list of operations found that still fails; that list then
//! stays in `model/stories.rs` under a name that tells what went wrong.
//!
//! `PDSFS_SEED=n PDSFS_STEPS=n cargo test --test model` runs one seed, as long as wanted.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)] // Also in the helpers of tests.

#[path = "model/clients.rs"]
mod clients;
#[path = "model/ops.rs"]
mod ops;
#[path = "model/pair.rs"]
mod pair;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/run.rs"]
mod run;
#[allow(dead_code)]
mod server_support;
#[path = "model/stories.rs"]
mod stories;
mod support;

use std::time::{Duration, Instant};

use ops::{Op, PART};
use pair::Pair;
use run::Difference;
use server_support::Bed;
use support::disk::{Direct, Disk, Mounted, Tuning, can_mount};

/// Where the operations go.
#[derive(Clone, Copy, Debug)]
enum Through {
    Process,
    Kernel,
    /// Two clients of one drive take turns.
    TwoInProcess,
    TwoInKernel,
}

/// Operations of one seed.
const STEPS: usize = 300;
/// How long the shrinker may try.
const SHRINK_FOR: Duration = Duration::from_secs(120);

fn play(through: Through, attr_timeout: Duration, ops: &[Op]) -> Result<(), Difference> {
    let bed = Bed::with(|options| options.min_part_bytes = 64);
    let local = tempfile::tempdir().unwrap();
    let tuning = Tuning { attr_timeout, part_bytes: PART, ..Tuning::default() };
    let (server, local) = (&bed.server, local.path());
    match through {
        Through::Process => run::run(&bed, Direct::new(server, local, tuning), ops),
        Through::Kernel => run::run(&bed, Mounted::new(server, local, tuning), ops),
        Through::TwoInProcess => run::run(&bed, Pair::<Direct>::new(server, local, tuning), ops),
        Through::TwoInKernel => run::run(&bed, Pair::<Mounted>::new(server, local, tuning), ops),
    }
}

/// Runs one seed; on a difference finds a shorter list of operations and panics with it.
fn check(through: Through, attr_timeout: Duration, seed: u64, steps: usize) {
    println!("PDSFS_SEED={seed} PDSFS_STEPS={steps} {through:?}, attributes live {attr_timeout:?}");
    let ops = match through {
        Through::Process | Through::Kernel => ops::draw(seed, steps),
        Through::TwoInProcess | Through::TwoInKernel => ops::draw_closing(seed, steps),
    };
    if let Err(difference) = play(through, attr_timeout, &ops) {
        println!("{difference}");
        let (ops, difference) = shrink(ops, difference, |ops| play(through, attr_timeout, ops).err());
        let list: String = ops.iter().map(|op| format!("    {op:?},\n")).collect();
        panic!("PDSFS_SEED={seed} PDSFS_STEPS={steps} {through:?}: {difference}\n[\n{list}]");
    }
}

/// Leaves out operations, many at first, as long as the rest still fails.
fn shrink(
    mut ops: Vec<Op>,
    mut difference: Difference,
    fails: impl Fn(&[Op]) -> Option<Difference>,
) -> (Vec<Op>, Difference) {
    let until = Instant::now() + SHRINK_FOR;
    let mut chunk = ops.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < ops.len() && Instant::now() < until {
            let end = (at + chunk).min(ops.len());
            let rest = [&ops[..at], &ops[end..]].concat();
            match fails(&rest) {
                Some(found) => (ops, difference) = (rest, found),
                None => at = end,
            }
        }
        chunk /= 2;
    }
    (ops, difference)
}

/// The seed asked for, or these and one that nobody has seen.
fn seeds(fixed: &[u64]) -> Vec<u64> {
    let asked = std::env::var("PDSFS_SEED").ok().map(|seed| seed.parse().expect("PDSFS_SEED is a number"));
    match asked {
        Some(seed) => vec![seed],
        None => fixed.iter().copied().chain([u64::from(getrandom::u32().unwrap() % 1_000_000)]).collect(),
    }
}

fn steps() -> usize {
    let asked = std::env::var("PDSFS_STEPS").ok();
    asked.map_or(STEPS, |steps| steps.parse().expect("PDSFS_STEPS is a number"))
}

#[test]
fn in_process_with_attributes_that_are_always_asked_for() {
    for seed in seeds(&[1, 2]) {
        check(Through::Process, Duration::ZERO, seed, steps());
    }
}

#[test]
fn in_process_with_attributes_that_live_a_second() {
    for seed in seeds(&[3, 4]) {
        check(Through::Process, Duration::from_secs(1), seed, steps());
    }
}

#[test]
fn on_a_real_mount_with_attributes_that_are_always_asked_for() {
    if !can_mount() {
        return;
    }
    for seed in seeds(&[5]) {
        check(Through::Kernel, Duration::ZERO, seed, steps());
    }
}

#[test]
fn on_a_real_mount_with_attributes_that_live_a_second() {
    if !can_mount() {
        return;
    }
    for seed in seeds(&[6, 7]) {
        check(Through::Kernel, Duration::from_secs(1), seed, steps());
    }
}

#[test]
fn two_clients_in_process_take_turns() {
    for seed in seeds(&[8, 9]) {
        check(Through::TwoInProcess, Duration::ZERO, seed, steps());
    }
}

#[test]
fn two_real_mounts_take_turns() {
    if !can_mount() {
        return;
    }
    for seed in seeds(&[10]) {
        check(Through::TwoInKernel, Duration::ZERO, seed, steps());
    }
}
