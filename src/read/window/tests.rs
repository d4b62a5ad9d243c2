use super::*;
use crate::content::extents::ExtentSet;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// A reader whose fetches all arrive at once.
struct Scene {
    window: Window,
    size: u64,
    here: ExtentSet,
    fetched: u64,
    read: u64,
    /// Reads that found their bytes missing.
    misses: u64,
    dropped: Vec<Range<u64>>,
}

impl Scene {
    fn new(size: u64) -> Self {
        let window = Window::new(32 * MIB);
        Scene { window, size, here: ExtentSet::new(), fetched: 0, read: 0, misses: 0, dropped: Vec::new() }
    }

    fn read(&mut self, start: u64, len: u64) {
        let range = start..(start + len).min(self.size);
        let is_missing = !self.here.contains(range.clone());
        let plan = self.window.plan(range.clone(), self.size);
        assert!(plan.now.start <= range.start && plan.now.end >= range.end, "{plan:?} for {range:?}");
        assert!(plan.ahead.iter().chain([&plan.now]).all(|range| range.end <= self.size), "{plan:?}");
        self.misses += u64::from(is_missing);
        self.read += range.end - range.start;
        self.fetch(plan.now);
        if is_missing || plan.is_new {
            plan.ahead.into_iter().for_each(|range| self.fetch(range));
        }
        self.dropped.extend(plan.dropped);
    }

    fn fetch(&mut self, range: Range<u64>) {
        self.fetched += self.here.missing(range.clone()).iter().map(|gap| gap.end - gap.start).sum::<u64>();
        self.here.insert(range);
    }

    fn amplification(&self) -> f64 {
        self.fetched as f64 / self.read as f64
    }
}

#[test]
fn random_reads_cost_what_they_read() {
    let mut scene = Scene::new(10 * GIB);
    let mut place = 12345_u64;
    for _ in 0..2000 {
        place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        scene.read((place >> 11) % (10 * GIB / 4096) * 4096, 4096);
    }
    assert!(scene.amplification() < 1.05, "{}", scene.amplification());
}

#[test]
fn a_small_file_is_fetched_whole() {
    let mut window = Window::new(MIB);
    assert_eq!(window.plan(5..10, 100 * KIB).now, 0..100 * KIB);
    assert_eq!(Window::new(MIB).plan(5000..5010, 200 * KIB).now, 4096..8192);
}

#[test]
fn a_sequential_reader_waits_a_few_times_and_wastes_nothing() {
    for len in [4 * KIB, 128 * KIB, MIB] {
        let mut scene = Scene::new(100 * MIB + 77);
        for start in (0..scene.size).step_by(len as usize) {
            scene.read(start, len);
        }
        assert_eq!(scene.fetched, scene.size, "by {len}");
        assert!(scene.misses < 5, "{} misses by {len}", scene.misses);
    }
}

#[test]
fn the_window_grows_to_its_bound_and_no_further() {
    let mut window = Window::new(16 * MIB);
    let mut most = 0;
    for at in 0..64 {
        let plan = window.plan(at * MIB..(at + 1) * MIB, GIB);
        most = plan.ahead.iter().map(|range| range.end).max().unwrap_or(0).saturating_sub((at + 1) * MIB);
        assert!(most <= 16 * MIB, "{plan:?}");
    }
    assert_eq!(most, 16 * MIB);
}

#[test]
fn reads_out_of_order_are_one_stream() {
    let mut scene = Scene::new(GIB);
    for group in 0..64 {
        for at in [1, 0, 3, 2] {
            scene.read(group * 512 * KIB + at * 128 * KIB, 128 * KIB);
        }
    }
    assert_eq!(scene.window.streams.len(), 1, "{:?}", scene.window);
    assert!(scene.misses < 12, "{}", scene.misses);
}

#[test]
fn a_scanner_fetches_at_most_half_more_than_it_reads() {
    // Head, tail, a few places: what programs do that look for metadata and covers.
    let mut scene = Scene::new(4 * GIB);
    for at in 0..6 {
        scene.read(at * 32 * KIB, 32 * KIB);
    }
    scene.read(4 * GIB - 128 * KIB, 128 * KIB);
    scene.read(4 * GIB - 256 * KIB, 64 * KIB);
    for place in [GIB, 2 * GIB, 3 * GIB] {
        for at in 0..3 {
            scene.read(place + at * 64 * KIB, 64 * KIB);
        }
    }
    assert!(scene.amplification() <= 1.5, "{}", scene.amplification());
}

#[test]
fn interleaved_streams_each_have_a_window() {
    let mut scene = Scene::new(GIB);
    for at in 0..256 {
        for track in 0..3 {
            scene.read(track * 300 * MIB + at * 256 * KIB, 256 * KIB);
        }
    }
    assert!(scene.misses < 30, "{}", scene.misses);
    let plan = scene.window.plan(64 * MIB..64 * MIB + 256 * KIB, GIB);
    assert_eq!(plan.ahead.last().unwrap().end, 96 * MIB + 256 * KIB);
}

#[test]
fn backward_reads_are_fetched_ahead_too() {
    let mut scene = Scene::new(100 * MIB);
    for at in (0..100 * 16).rev() {
        scene.read(at * 64 * KIB, 64 * KIB);
    }
    assert!(scene.misses < 10, "{}", scene.misses);
    assert_eq!(scene.fetched, scene.size);
}

#[test]
fn a_stride_is_recognised() {
    for step in [10 * MIB as i64, -(10 * MIB as i64)] {
        let mut scene = Scene::new(2 * GIB);
        for at in 0..100 {
            scene.read((GIB as i64 + at * step) as u64, 64 * KIB);
        }
        assert!(scene.misses < 10, "{} misses by {step}", scene.misses);
        assert!(scene.amplification() < 1.2, "{}", scene.amplification());
    }
}

#[test]
fn a_jump_gives_up_what_was_fetched_ahead() {
    let mut scene = Scene::new(GIB);
    for at in 0..64 {
        scene.read(at * MIB, MIB);
    }
    scene.read(500 * MIB, 4096);
    assert_eq!(scene.dropped, vec![64 * MIB..96 * MIB]);
    // It goes on all the same: from now on it is not given up for a look elsewhere.
    scene.read(64 * MIB, MIB);
    scene.dropped.clear();
    scene.read(700 * MIB, 4096);
    assert_eq!(scene.dropped, vec![]);
    for place in 0..u64::from(PATIENCE) {
        scene.read(800 * MIB + place * place * MIB / 2 + place * 100 * KIB, 4096);
    }
    assert_eq!(scene.dropped, vec![65 * MIB..97 * MIB]);
}

#[test]
fn reading_the_same_place_again_proves_nothing() {
    let mut window = Window::new(MIB);
    for _ in 0..10 {
        assert_eq!(window.plan(MIB..MIB + 4096, GIB).ahead, vec![]);
    }
}

#[test]
fn pieces_cover_the_range() {
    assert_eq!(pieces(5..17, 5).collect::<Vec<_>>(), vec![5..10, 10..15, 15..17]);
    assert_eq!(pieces(5..5, 5).count(), 0);
}
