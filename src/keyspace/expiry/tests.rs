use std::collections::BTreeMap;

use super::*;

/// What the owner does, over a table that is a sorted map: a bucket is all
/// hashes that share their top 32 bits.
struct Owner {
    index: Index,
    /// Hash to deadline; without one, the key does not expire.
    table: BTreeMap<u64, Option<u64>>,
    now_ms: u64,
}

impl Owner {
    fn new(now_ms: u64) -> Owner {
        Owner { index: Index::new(), table: BTreeMap::new(), now_ms }
    }

    fn set(&mut self, hash: u64, deadline_ms: Option<u64>) {
        self.table.insert(hash, deadline_ms);
        if let Some(deadline_ms) = deadline_ms {
            self.index.insert(hash, deadline_ms, self.now_ms);
        }
    }

    fn live(&self) -> usize {
        self.table.values().flatten().count()
    }

    /// One slice of expiry; says whether work is left.
    fn expire(&mut self, items_max: usize) -> bool {
        let mut due = Vec::new();
        let more = self.index.take_due(self.now_ms, items_max, &mut due);
        for prefix in due {
            let bucket = u64::from(prefix) << 32..=u64::from(prefix) << 32 | 0xffff_ffff;
            let dead: Vec<u64> = self
                .table
                .range(bucket)
                .filter(|(_, deadline_ms)| deadline_ms.is_some_and(|at| at <= self.now_ms))
                .map(|(&hash, _)| hash)
                .collect();
            for hash in dead {
                self.table.remove(&hash);
            }
        }
        more
    }

    /// One slice of the walk, if one is under way.
    fn walk(&mut self, entries: usize) {
        let Some(position) = self.index.rebuild_position() else { return };
        let mut rest = self.table.range(position..);
        for (&hash, deadline_ms) in rest.by_ref().take(entries) {
            if let Some(deadline_ms) = deadline_ms {
                self.index.rebuild_visit(hash, *deadline_ms, self.now_ms);
            }
        }
        let next = rest.next().map(|(&hash, _)| hash);
        self.index.rebuild_advance(next);
    }

    /// Nothing that is due is left, and nothing that will be is overlooked.
    fn check(&self) {
        let earliest = self.table.values().flatten().min();
        assert!(earliest.is_none_or(|&earliest| earliest > self.now_ms), "overlooked");
        if let Some(&earliest) = earliest {
            assert!(self.index.next_deadline_ms().is_some_and(|next| next <= earliest), "late");
        }
    }
}

#[test]
fn keys_expire_exactly_over_rebuilds_at_any_moment() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut owner = Owner::new(1_700_000_000_000);
        let mut rebuilt = 0;
        for _ in 0..2_500 {
            // Few prefixes and few keys, so that everything meets everything.
            let hash = rng.u64(0..16) << 60 | rng.u64(0..6);
            let ttl_ms = 1 + (rng.u64(..) >> rng.u32(36..63));
            match rng.u32(0..100) {
                0..55 => owner.set(hash, Some(owner.now_ms + ttl_ms)),
                55..60 => owner.set(hash, None),
                60..65 => drop(owner.table.remove(&hash)),
                65..80 => owner.walk(rng.usize(0..10)),
                80..84 => {
                    if owner.index.rebuild_position().is_none() {
                        rebuilt += 1;
                    }
                    owner.index.rebuild_start();
                }
                84..86 => owner.now_ms -= rng.u64(0..100_000),
                _ => owner.now_ms += rng.u64(..) >> rng.u32(40..64),
            }
            let items_max = rng.usize(1..40);
            while owner.expire(items_max) {}
            owner.check();
        }
        assert!(rebuilt > 20, "seed {seed}");
        // The old index is dropped with every item that is stale by now.
        owner.index.rebuild_start();
        while owner.index.rebuild_position().is_some() {
            owner.walk(3);
        }
        while owner.expire(10) {}
        owner.check();
        owner.now_ms = u64::MAX;
        while owner.expire(100) {}
        assert_eq!((owner.live(), owner.index.items()), (0, 0), "seed {seed}");
    }
}

#[test]
fn stale_items_are_bounded() {
    let mut owner = Owner::new(1_000);
    let keys = 1_000;
    let mut rebuilds = 0;
    for turn in 0..100_000_u64 {
        owner.set((turn % keys) << 40, Some(10_000_000 + turn));
        if owner.index.needs_rebuild(owner.live_cached(keys), owner.table.len()) {
            owner.index.rebuild_start();
            rebuilds += 1;
        }
        owner.walk(8);
        owner.expire(16);
        let bound = 2 * keys as usize + keys as usize / 8 + 4_096;
        assert!(owner.index.items() <= bound + 2 * keys as usize / 8 + keys as usize);
    }
    assert!((10..=25).contains(&rebuilds), "{rebuilds}");
    assert!(owner.index.memory_bytes() < 400 << 10);
}

impl Owner {
    /// The owner knows its live deadlines; counting them each turn takes long.
    fn live_cached(&self, keys: u64) -> usize {
        self.table.len().min(keys as usize)
    }
}

#[test]
fn a_walk_is_worth_its_visits() {
    let mut index = Index::new();
    for turn in 0..100_000 {
        index.insert(turn << 32, 5_000, 1_000);
    }
    assert!(!index.needs_rebuild(100_000, 100_000));
    assert!(index.needs_rebuild(10, 100_000));
    assert!(!index.needs_rebuild(10, 10_000_000), "ten million visits for 100,000 items");
    index.rebuild_start();
    assert!(!index.needs_rebuild(10, 100_000), "one is under way");
}

#[test]
fn clearing_forgets_at_once_and_frees_in_slices() {
    let mut index = Index::new();
    for turn in 0..10_000_u64 {
        index.insert(turn << 50, 5_000 + (turn << 31), 1_000);
    }
    index.rebuild_start();
    index.rebuild_visit(0, 5_000, 1_000);
    index.rebuild_advance(Some(1 << 63));
    index.insert(3, 5_000, 1_000);
    index.clear();
    assert_eq!((index.items(), index.rebuild_position()), (0, None));
    assert_eq!(index.next_deadline_ms(), Some(0));
    let mut due = Vec::new();
    let mut slices = 0;
    while index.take_due(u64::MAX, 100, &mut due) {
        slices += 1;
    }
    assert!(slices >= 99, "{slices}");
    assert!(due.is_empty());
    assert_eq!((index.next_deadline_ms(), index.memory_bytes()), (None, 0));
}
