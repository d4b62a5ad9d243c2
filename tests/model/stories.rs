//! Lists of operations that failed once, as short as the shrinker got them. Each keeps the name of its bug.

use std::time::Duration;

use crate::ops::Op::{self, *};
use crate::support::disk::{How, can_mount};
use crate::{Through, play};

const CREATE: How = How { read: false, truncate: true, ..How::NEW };

/// In process and on a real mount, a few times: most of these are races.
#[track_caller]
fn holds(ops: &[Op]) {
    for _ in 0..3 {
        for through in [Through::Process, Through::Kernel] {
            if matches!(through, Through::Process) || can_mount() {
                let difference = play(through, Duration::ZERO, ops).err();
                assert_eq!(difference, None, "{through:?}");
            }
        }
    }
}

/// The upload had begun under the old name, which a new file has by the time it is complete.
#[test]
fn a_file_moved_while_it_is_sent_is_no_conflict_with_its_successor() {
    for to in ["b", "d/c"] {
        holds(&[
            MakeDir("d"),
            Open(0, "d/b", CREATE),
            Grow(0, 8192, 1),
            Breathe,
            Rename("d/b", to),
            Open(1, "d/b", CREATE),
            Grow(1, 9000, 2),
            Close(1),
            Close(0),
        ]);
    }
}
