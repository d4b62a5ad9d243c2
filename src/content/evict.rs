//! Which cached bytes to give back when space is needed. Pure: the store does what is decided here.
//!
//! Regions of contents go, the one not used for the longest time first, whether its file is open or not: who
//! still wants them fetches again.

/// A region of a clean content as eviction sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<K> {
    /// Which region of which content.
    pub key: K,
    /// The store's clock at its last use.
    pub last_used: u64,
    /// Bytes it would give back.
    pub bytes: u64,
}

/// Chooses regions to evict until `need` bytes are free; fewer when there are not enough.
pub fn choose<K: Clone>(candidates: &mut [Candidate<K>], need: u64) -> Vec<K> {
    candidates.sort_by_key(|candidate| candidate.last_used);
    let mut freed = 0;
    let mut victims = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.bytes > 0) {
        if freed >= need {
            break;
        }
        freed += candidate.bytes;
        victims.push(candidate.key.clone());
    }
    victims
}

/// Bytes to free so that `incoming` more fit: below the limit on the cache, and above the floor of free
/// disk space. A tenth of the limit more than needed, so that eviction runs seldom.
pub fn shortfall(cached: u64, incoming: u64, limit: u64, disk_free: u64, min_free: u64) -> u64 {
    let over_limit = (cached + incoming).saturating_sub(limit);
    let under_floor = (min_free + incoming).saturating_sub(disk_free);
    match over_limit.max(under_floor) {
        0 => 0,
        short => short + limit / 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(key: u32, last_used: u64, bytes: u64) -> Candidate<u32> {
        Candidate { key, last_used, bytes }
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut all = [candidate(1, 9, 10), candidate(2, 1, 10), candidate(3, 5, 10), candidate(4, 0, 0)];
        assert_eq!(choose(&mut all, 15), vec![2, 3]);
        assert_eq!(choose(&mut all, 100), vec![2, 3, 1]);
        assert_eq!(choose(&mut all, 0), Vec::<u32>::new());
    }

    #[test]
    fn both_bounds_count() {
        assert_eq!(shortfall(50, 10, 100, 1_000, 10), 0);
        assert_eq!(shortfall(95, 10, 100, 1_000, 10), 5 + 10);
        assert_eq!(shortfall(0, 10, 100, 15, 10), 5 + 10);
    }
}
