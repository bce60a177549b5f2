use std::collections::BTreeMap;

use super::*;

/// A wheel beside a model of it: every item has a prefix of its own, and the
/// model knows its deadline.
struct Pair {
    expiry: Expiry,
    deadlines: BTreeMap<u32, u64>,
    by_deadline: BTreeMap<u64, usize>,
    next_prefix: u32,
}

impl Pair {
    fn new() -> Pair {
        Pair {
            expiry: Expiry::new(),
            deadlines: BTreeMap::new(),
            by_deadline: BTreeMap::new(),
            next_prefix: 0,
        }
    }

    fn insert(&mut self, deadline_ms: u64, now_ms: u64) {
        let prefix = self.next_prefix;
        self.next_prefix += 1;
        self.expiry.insert(u64::from(prefix) << 32 | 0x5eed, deadline_ms, now_ms);
        self.deadlines.insert(prefix, deadline_ms);
        *self.by_deadline.entry(deadline_ms).or_default() += 1;
        self.check();
    }

    /// One slice; what comes out must be due, be known, and be in order.
    fn take(&mut self, now_ms: u64, items_max: usize) -> (Vec<u64>, bool) {
        let mut due = Vec::new();
        let more = self.expiry.take_due(now_ms, &mut { items_max }, &mut due);
        assert!(due.len() <= items_max);
        let deadlines: Vec<u64> = due
            .iter()
            .map(|prefix| self.deadlines.remove(prefix).expect("handed out once"))
            .collect();
        assert!(deadlines.is_sorted());
        assert!(deadlines.last().is_none_or(|&last| last <= now_ms));
        for deadline_ms in &deadlines {
            let count = self.by_deadline.get_mut(deadline_ms).expect("known");
            *count -= 1;
            if *count == 0 {
                self.by_deadline.remove(deadline_ms);
            }
        }
        assert_eq!(more, self.next().is_some_and(|next| next <= now_ms), "work left is due work");
        assert!(more || self.earliest().is_none_or(|earliest| earliest > now_ms), "overlooked");
        self.check();
        (deadlines, more)
    }

    fn take_all(&mut self, now_ms: u64, items_max: usize) -> Vec<u64> {
        let mut all = Vec::new();
        loop {
            let (some, more) = self.take(now_ms, items_max);
            all.extend(some);
            if !more {
                return all;
            }
        }
    }

    fn earliest(&self) -> Option<u64> {
        self.by_deadline.first_key_value().map(|(&deadline_ms, _)| deadline_ms)
    }

    fn next(&self) -> Option<u64> {
        self.expiry.next_deadline_ms()
    }

    fn check(&self) {
        assert_eq!(self.expiry.items(), self.deadlines.len());
        match (self.next(), self.earliest()) {
            (Some(next), Some(earliest)) => assert!(next <= earliest, "{next} > {earliest}"),
            (next, earliest) => assert_eq!(next, earliest),
        }
        let (window, block, era) = self.expiry.position();
        assert!(!self.expiry.windows.is_occupied(window), "left behind");
        assert!(!self.expiry.blocks.is_occupied(block), "left behind");
        assert!(self.expiry.far.first().is_none_or(|slot| slot > era));
    }
}

/// A distance in time of any magnitude up to `bits` bits.
fn distance(rng: &mut fastrand::Rng, bits: u32) -> u64 {
    let bits = rng.u32(0..=bits);
    if bits == 0 { 0 } else { rng.u64(..) >> (64 - bits) }
}

#[test]
fn an_empty_index_is_tiny() {
    let expiry = Expiry::new();
    assert_eq!((expiry.items(), expiry.memory_bytes()), (0, 0));
    assert_eq!(expiry.next_deadline_ms(), None);
    assert!(size_of::<Expiry>() <= 256);
}

#[test]
fn each_item_comes_out_in_its_millisecond() {
    let seed = 0x7011_6a7e;
    let mut rng = fastrand::Rng::with_seed(seed);
    for round in 0..60 {
        let start = distance(&mut rng, 50);
        let mut pair = Pair::new();
        let mut now_ms = start;
        for _ in 0..200 {
            pair.insert(now_ms + distance(&mut rng, 45), now_ms);
        }
        let mut wakes = 0;
        while let Some(next) = pair.next() {
            now_ms = now_ms.max(next);
            // Everything due before has been taken: whatever comes out is due
            // exactly now.
            let out = pair.take_all(now_ms, rng.usize(1..500));
            let exact = out.iter().all(|&deadline_ms| deadline_ms == now_ms || wakes == 0);
            assert!(exact, "seed {seed}, round {round}: {out:?} at {now_ms}");
            wakes += 1;
        }
        assert_eq!(pair.deadlines.len(), 0);
        assert!(wakes <= 4 * 200 + 1, "an item costs at most three wakes to prepare: {wakes}");
    }
}

#[test]
fn random_operations_agree_with_the_model() {
    for seed in 0..150 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pair = Pair::new();
        let mut now_ms = distance(&mut rng, 50);
        // Some rounds live in one window, some in centuries.
        let bits = rng.u32(4..48);
        for _ in 0..600 {
            match rng.u32(0..100) {
                0..50 => pair.insert(now_ms + distance(&mut rng, bits), now_ms),
                50..53 => pair.insert(now_ms.saturating_sub(distance(&mut rng, bits)), now_ms),
                53..55 => pair.insert(u64::MAX - distance(&mut rng, 30), now_ms),
                55..57 => pair.insert(i64::MAX as u64 - distance(&mut rng, 12), now_ms),
                57..60 => {
                    let deadline_ms = now_ms + distance(&mut rng, bits);
                    for _ in 0..rng.usize(1..60) {
                        pair.insert(deadline_ms, now_ms);
                    }
                }
                60..80 => {
                    pair.take(now_ms, rng.usize(0..30));
                }
                80..85 => {
                    pair.take_all(now_ms, rng.usize(1..300));
                }
                85..88 => {
                    if let Some(next) = pair.next() {
                        now_ms = now_ms.max(next.min(1 << 60));
                    }
                }
                88..97 => now_ms += distance(&mut rng, bits),
                _ => now_ms = now_ms.saturating_sub(distance(&mut rng, bits)),
            }
        }
        pair.take_all(u64::MAX, 100);
        assert_eq!(pair.deadlines.len(), 0, "seed {seed}");
        assert_eq!(pair.next(), None, "seed {seed}");
    }
}

#[test]
fn a_burst_is_prepared_in_slices_before_it_is_due() {
    const ITEMS: usize = 20_000;
    const SLICE: usize = 64;
    for wait_ms in [3 << WINDOW_SHIFT, 3 << BLOCK_SHIFT, 3 << ERA_SHIFT] {
        let mut pair = Pair::new();
        let start_ms = 1_700_000_000_123;
        let due_ms = start_ms + wait_ms;
        for _ in 0..ITEMS {
            // Without `Pair::insert`, whose checks take time.
            pair.expiry.insert(u64::from(pair.next_prefix) << 32, due_ms, start_ms);
            pair.deadlines.insert(pair.next_prefix, due_ms);
            pair.next_prefix += 1;
        }
        pair.by_deadline.insert(due_ms, ITEMS);
        let mut moved = 0;
        let mut now_ms = start_ms;
        loop {
            now_ms = now_ms.max(pair.next().expect("items are left"));
            if now_ms == due_ms {
                break;
            }
            let before = pair.expiry.milliseconds.items();
            let (out, _) = pair.take(now_ms, SLICE);
            assert!(out.is_empty());
            assert!(pair.expiry.milliseconds.items() - before <= SLICE);
            moved += 1;
        }
        assert!(moved >= ITEMS / SLICE, "{moved} slices");
        assert_eq!(pair.expiry.milliseconds.items(), ITEMS, "nothing is left to prepare");
        assert!(pair.expiry.memory_bytes() < ITEMS * 8 + (256 << 10));
        assert_eq!(pair.take(due_ms, SLICE).0.len(), SLICE);
        assert_eq!(pair.take_all(due_ms, SLICE).len(), ITEMS - SLICE);
        assert_eq!(pair.next(), None);
    }
}

#[test]
fn preparing_a_vast_block_does_not_delay_what_is_due() {
    let mut expiry = Expiry::new();
    let start_ms = 5 << BLOCK_SHIFT;
    for prefix in 0..10_000 {
        expiry.insert(prefix << 32, start_ms + (2 << BLOCK_SHIFT) + prefix, start_ms);
    }
    let now_ms = start_ms + (1 << BLOCK_SHIFT);
    for after in 0..20 {
        expiry.insert(77 << 32, now_ms + after * 1_000, start_ms);
    }
    for after in 0..20 {
        let mut due = Vec::new();
        // A window's items are moved and handed out within 2 items; the rest of
        // the block, though next in line, does not come before them.
        expiry.take_due(now_ms + after * 1_000, &mut 4, &mut due);
        assert_eq!(due, [77], "after {after} s");
    }
}

#[test]
fn hours_away_are_caught_up_in_order_and_in_slices() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut pair = Pair::new();
    let start_ms = 1_700_000_000_000;
    for _ in 0..3_000 {
        pair.insert(start_ms + distance(&mut rng, 34), start_ms);
    }
    let mut last = 0;
    let mut slices = 0;
    let now_ms = start_ms + (1 << 34);
    loop {
        let (out, more) = pair.take(now_ms, 10);
        assert!(out.first().is_none_or(|&first| first >= last), "in order over slices");
        last = out.last().copied().unwrap_or(last);
        slices += 1;
        if !more {
            break;
        }
    }
    assert!(pair.deadlines.is_empty());
    assert!((300..=1_201).contains(&slices), "each item moves three times at most: {slices}");
}

#[test]
fn time_waits_for_a_slot_that_is_still_in_preparation() {
    for shift in [WINDOW_SHIFT, BLOCK_SHIFT, ERA_SHIFT] {
        let mut pair = Pair::new();
        let start_ms = 5 << shift;
        // More in the first windows of slot 7 than can be moved while time is in 6.
        for after in 0..500 {
            pair.insert((7 << shift) + after * 7, start_ms);
        }
        assert_eq!(pair.take((6 << shift) + 1, 100).0, []);
        assert_eq!(pair.next(), Some(0));
        assert_eq!(pair.take_all((7 << shift) - 1, 1), []);
        for after in 500..1_000 {
            pair.insert((8 << shift) + after, start_ms);
        }
        pair.take((7 << shift) + 3, 100);
        // Over the end of 7 at once, in the midst of preparing 8.
        let out = pair.take_all((9 << shift) + 10_000, 30);
        assert!(out.is_sorted());
        assert!(pair.deadlines.is_empty());
    }
}

#[test]
fn a_clock_set_back_keeps_every_millisecond() {
    let mut pair = Pair::new();
    let day_ms = 86_400_000;
    let start_ms = 20_000 * day_ms;
    pair.insert(start_ms + 50, start_ms);
    pair.insert(start_ms + day_ms, start_ms);
    assert_eq!(pair.take_all(start_ms + 10, 10), []);
    // A day back: new keys live their second, old ones keep their date.
    let back_ms = start_ms - day_ms;
    pair.insert(back_ms + 1_000, back_ms);
    assert_eq!(pair.next(), Some(back_ms + 1_000));
    assert_eq!(pair.take_all(back_ms + 999, 10), []);
    assert_eq!(pair.take_all(back_ms + 1_000, 10), [back_ms + 1_000]);
    assert_eq!(pair.take_all(start_ms + 49, 10), []);
    assert_eq!(pair.take_all(start_ms + 50, 10), [start_ms + 50]);
    assert_eq!(pair.take_all(start_ms + day_ms - 1, 10), []);
    assert_eq!(pair.take_all(start_ms + day_ms, 10), [start_ms + day_ms]);
}

#[test]
fn the_end_of_time_is_a_deadline_like_any_other() {
    let mut pair = Pair::new();
    let start_ms = 1_700_000_000_000;
    for deadline_ms in [u64::MAX, u64::MAX - 1, i64::MAX as u64, start_ms + (1 << 41)] {
        pair.insert(deadline_ms, start_ms);
    }
    assert_eq!(pair.take_all(start_ms + (1 << 41), 1), [start_ms + (1 << 41)]);
    assert_eq!(pair.take_all(u64::MAX - 1, 1), [i64::MAX as u64, u64::MAX - 1]);
    assert_eq!(pair.take_all(u64::MAX, 1), [u64::MAX]);
    pair.insert(u64::MAX, u64::MAX);
    pair.insert(7, u64::MAX);
    assert_eq!(pair.take_all(u64::MAX, 1), [7, u64::MAX]);
}

#[test]
fn memory_goes_back_and_dismantling_is_sliced() {
    let mut rng = fastrand::Rng::with_seed(9);
    let fill = |rng: &mut fastrand::Rng| {
        let mut expiry = Expiry::new();
        expiry.insert(0, 10, 1_000_000);
        for hash in 0..5_000 {
            expiry.insert(hash << 32, 1_000_000 + distance(rng, 63), 1_000_000);
        }
        expiry
    };
    let mut expiry = fill(&mut rng);
    let rings_bytes = 3 * 2_048 * (2 * size_of::<Vec<u32>>() + 1);
    assert!(expiry.memory_bytes() > 5_000 * 4);
    while expiry.take_due(u64::MAX, &mut 1_000, &mut Vec::new()) {}
    assert!(expiry.memory_bytes() <= rings_bytes);

    let mut expiry = fill(&mut rng);
    let mut slices = 0;
    while !expiry.dismantle(&mut 2) {
        slices += 1;
    }
    assert!(slices >= 45, "{slices}");
    assert_eq!(expiry.items(), 0);
    assert!(expiry.memory_bytes() <= rings_bytes);
}
