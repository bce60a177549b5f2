use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::directory::LINKS_MAX;
use super::*;
use crate::keyspace::entry::{NewValue, Value};

/// As many as asked for, or fewer where each takes long.
const fn scaled(count: usize) -> usize {
    if cfg!(miri) {
        count / 200
    } else if cfg!(debug_assertions) {
        count / 5
    } else {
        count
    }
}

impl Table {
    fn with_hasher(hasher: fn(&[u8]) -> u64) -> Table {
        let mut table = Table::new(0);
        table.hasher = Some(hasher);
        table
    }

    fn put(&mut self, key: &[u8], value: i64, deadline_ms: Option<u64>) {
        let hash = self.hash(key);
        self.insert(hash, Entry::new(key, NewValue::Int(value), deadline_ms));
    }

    fn value(&self, key: &[u8]) -> Option<i64> {
        match self.find(self.hash(key), key)?.string().unwrap() {
            Value::Int(value) => Some(value),
            Value::Bytes(_) | Value::Apart(_) => None,
        }
    }

    fn take(&mut self, key: &[u8]) -> bool {
        self.remove(self.hash(key), key).is_some()
    }

    fn spilled(&self) -> usize {
        self.spill.len()
    }

    /// Checks all that the table relies on about itself.
    fn check(&self) {
        let (mut len, mut deadlines, mut segments, mut segment_bytes) = (0, 0, 0, 0);
        let mut depths = [0; DEPTH_MAX as usize + 1];
        for (first, link) in self.directory.check() {
            let depth = link.depth();
            assert_eq!(*link.hashes(first).start(), first);
            // SAFETY: the segment is the table's, which is borrowed.
            let segment = unsafe { &*link.as_ptr() };
            let mut entries = 0;
            let mut displaced = HashSet::new();
            for place in segment.all_places() {
                // SAFETY: as above.
                let entry = unsafe { segment.slot(place).entry() }.expect("occupied");
                let hash = self.hash(entry.key());
                assert_eq!(self.directory.link(hash).as_ptr(), link.as_ptr());
                assert!(link.hashes(hash).contains(&hash));
                let home = link.home(hash);
                assert_eq!(segment.find(hash, home, entry.key()), Some(place));
                assert!(segment.places(home).any(|other| other == place));
                if place.bucket != home {
                    displaced.insert(home);
                }
                assert_eq!(segment.slot(place).has_deadline(), entry.has_deadline());
                deadlines += usize::from(entry.has_deadline());
                entries += 1;
            }
            for (hash, slot) in self.spill.within(link.hashes(first)) {
                // SAFETY: the slot is the table's, which is borrowed.
                let entry = unsafe { slot.entry() }.expect("occupied");
                assert_eq!(hash, self.hash(entry.key()));
                displaced.insert(link.home(hash));
                deadlines += usize::from(entry.has_deadline());
                len += 1;
            }
            for home in 0..link.size().buckets() {
                assert_eq!(segment.has_overflowed(home), displaced.contains(&home));
            }
            assert_eq!(segment.entries(usize::MAX), entries);
            len += entries;
            segments += 1;
            // The classes of the allocator.
            segment_bytes += if link.size() == Size::Small { 2_560 } else { 3_584 };
            depths[depth as usize] += 1;
        }
        assert_eq!((self.len, self.deadlines), (len, deadlines));
        assert_eq!((self.segment_count(), self.segments), (segments, depths));
        assert_eq!(self.segment_bytes, segment_bytes);
    }

    fn walk_all(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut position = Some(0);
        while let Some(from) = position {
            position = self.walk(from, &mut |_, entry| keys.push(entry.key().to_vec()));
        }
        keys
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

#[test]
fn grows_and_shrinks_in_small_steps() {
    let count = scaled(1_000_000);
    let mut table = Table::new(7);
    assert_eq!(table.memory_bytes(), 0);
    for number in 0..count {
        table.put(&key(number), number as i64, None);
    }
    table.check();
    assert_eq!(table.spilled(), 0);
    assert!(table.memory_bytes() < 20 * count + 10_000, "{}", table.memory_bytes());
    for number in 0..count {
        assert_eq!(table.value(&key(number)), Some(number as i64));
        assert_eq!(table.value(&key(number + count)), None);
    }
    let mut seen = table.walk_all();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
    for number in 0..count {
        assert!(table.take(&key(number)));
        assert!(!table.take(&key(number)));
        if number.is_multiple_of(count / 4) {
            table.check();
        }
    }
    table.check();
    assert_eq!(table.segment_count(), 1);
    assert!(table.memory_bytes() < 10_000, "{}", table.memory_bytes());
    assert_eq!(table.walk_all().len(), 0);
}

#[test]
fn agrees_with_a_map() {
    for seed in 0..3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut table = Table::new(seed);
        let mut model: HashMap<Vec<u8>, (i64, Option<u64>)> = HashMap::new();
        let mut now_ms = 0;
        let mut due = Vec::new();
        for round in 0..scaled(400_000) {
            // The number of keys swings between few and many.
            let many = (round / scaled(80_000)).is_multiple_of(2);
            let key = key(random.usize(0..scaled(50_000)));
            let hash = table.hash(&key);
            let deadline_ms = random.bool().then(|| now_ms + random.u64(0..20_000));
            match random.u8(0..8) {
                0..4 if many => {
                    let value = round as i64;
                    if let Some(mut entry) = table.find_mut(hash, &key) {
                        entry.set_int(value);
                        entry.set_deadline(deadline_ms);
                    } else {
                        table.put(&key, value, deadline_ms);
                    }
                    model.insert(key, (value, deadline_ms));
                }
                0..4 => {
                    let removed = table.remove(hash, &key);
                    let known = model.remove(&key);
                    assert_eq!(removed.is_some(), known.is_some());
                    if let (Some(entry), Some((value, deadline_ms))) = (removed, known) {
                        assert_eq!(entry.string().unwrap(), Value::Int(value));
                        assert_eq!(entry.deadline_ms(), deadline_ms);
                    }
                }
                4 => {
                    now_ms += random.u64(0..3);
                    let earliest_ms = table.remove_due((hash >> 32) as u32, now_ms, &mut due);
                    assert!(earliest_ms.is_none_or(|left_ms| left_ms > now_ms));
                    for entry in due.drain(..) {
                        let (value, deadline_ms) = model.remove(entry.key()).expect("known");
                        assert_eq!(entry.string().unwrap(), Value::Int(value));
                        assert!(deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms));
                    }
                    if let Some((_, Some(deadline_ms))) = model.get(&key) {
                        assert!(*deadline_ms > now_ms);
                        assert!(earliest_ms.is_some_and(|least| least <= *deadline_ms));
                    }
                }
                5 => {
                    let entry = table.random(&mut random);
                    assert!(entry.map_or(model.is_empty(), |e| model.contains_key(e.key())));
                }
                _ => {
                    let known = model.get(&key).map(|(value, _)| *value);
                    assert_eq!(table.value(&key), known);
                }
            }
            assert_eq!(table.len(), model.len());
            if round.is_multiple_of(scaled(40_000)) {
                table.check();
            }
        }
        table.check();
        let walked: HashSet<_> = table.walk_all().into_iter().collect();
        assert_eq!(walked, model.into_keys().collect());
    }
}

#[test]
fn a_walk_visits_exactly_once_whatever_happens_meanwhile() {
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut table = Table::new(seed);
        let stay = scaled([60_000, 2_000, 200, 100_000, 20_000, 400][seed as usize]);
        for number in 0..stay {
            table.put(&key(number), 0, None);
        }
        // Others come and go in waves, which splits and merges segments.
        let come = scaled(100_000);
        let mut present = vec![false; come];
        let mut wave = 0;
        let mut growing = true;
        let mut visits: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut position = Some(0);
        let churn = 1 + random.usize(0..200);
        let (mut deepest, mut shallowest) = (0, usize::MAX);
        while let Some(from) = position {
            position = table.walk(from, &mut |hash, entry| {
                assert!(hash >= from);
                *visits.entry(entry.key().to_vec()).or_default() += 1;
            });
            assert!(position.is_none_or(|position| position > from));
            for _ in 0..churn {
                let number = wave;
                wave += 1;
                if wave == come {
                    wave = 0;
                    growing = !growing;
                }
                let name = key(stay + number);
                if growing && !present[number] {
                    table.put(&name, 0, None);
                    present[number] = true;
                } else if !growing && present[number] {
                    assert!(table.take(&name));
                    present[number] = false;
                }
            }
            deepest = deepest.max(table.segment_count());
            shallowest = shallowest.min(table.segment_count());
        }
        assert!(visits.values().all(|&times| times == 1));
        for number in 0..stay {
            assert_eq!(visits.get(&key(number)), Some(&1), "seed {seed}");
        }
        if churn > 20 && stay > 5_000 {
            assert!(deepest > shallowest + shallowest / 4, "{deepest} {shallowest}");
        }
        table.check();
    }
}

#[test]
fn a_position_inside_a_bucket_still_divides_exactly() {
    let mut table = Table::new(5);
    for number in 0..3000 {
        table.put(&key(number), 0, None);
    }
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..if cfg!(miri) { 5 } else { 200 } {
        let from = random.u64(..);
        let mut hashes = Vec::new();
        let mut position = Some(from);
        while let Some(at) = position {
            position = table.walk(at, &mut |hash, _| hashes.push(hash));
        }
        let all = (0..3000).map(|number| table.hash(&key(number)));
        let mut expected: Vec<_> = all.filter(|&hash| hash >= from).collect();
        expected.sort_unstable();
        hashes.sort_unstable();
        assert_eq!(hashes, expected);
    }
}

#[test]
fn equal_hashes_stay_correct_and_bounded() {
    let hashers: [fn(&[u8]) -> u64; 4] = [
        |_| 0,
        |_| u64::MAX,
        // Equal top bits: no depth separates them.
        |key| 0xabcd_ef01_2345_0000 | u64::from(key[key.len() - 1]),
        // Half of them clustered, and the others well spread.
        |key| {
            let hash = xxhash_rust::xxh3::xxh3_64(key);
            if hash & 1 == 0 { hash >> 30 } else { hash }
        },
    ];
    for hasher in hashers {
        let count = if cfg!(miri) { 100 } else { 2_000 };
        let mut table = Table::with_hasher(hasher);
        for number in 0..count {
            table.put(&key(number), number as i64, Some(number as u64));
        }
        table.check();
        assert!(table.spilled() > 0);
        assert!(table.directory.len() <= 64 + 16 * table.segment_count());
        assert_eq!(table.walk_all().len(), count);
        for number in 0..count {
            let key = key(number);
            assert_eq!(table.value(&key), Some(number as i64));
            let mut entry = table.find_mut(table.hash(&key), &key).expect("there");
            entry.set_value(NewValue::Bytes(&[0; 100]));
            entry.set_value(NewValue::Int(-1));
        }
        let mut due = Vec::new();
        for number in 0..count / 2 {
            let prefix = (table.hash(&key(number)) >> 32) as u32;
            table.remove_due(prefix, count as u64 / 2, &mut due);
        }
        due.sort_unstable_by_key(Entry::deadline_ms);
        let taken: Vec<_> = due.iter().filter_map(Entry::deadline_ms).collect();
        let (least, rest) = taken.split_at(count / 2);
        assert!(least.iter().copied().eq(0..count as u64 / 2));
        assert!(rest.iter().all(|&deadline_ms| deadline_ms == count as u64 / 2));
        table.check();
        for number in 0..count {
            assert_eq!(table.take(&key(number)), number >= taken.len());
        }
        table.check();
        assert_eq!((table.len(), table.segment_count()), (0, 1));
    }
}

#[test]
fn due_is_exactly_what_the_bucket_has_due() {
    let count: usize = if cfg!(miri) { 200 } else { 20_000 };
    let mut table = Table::new(3);
    for number in 0..count {
        let deadline_ms = (!number.is_multiple_of(3)).then_some(number as u64 % 100);
        table.put(&key(number), 0, deadline_ms);
    }
    let mut due = Vec::new();
    for number in 0..count {
        table.remove_due((table.hash(&key(number)) >> 32) as u32, 49, &mut due);
    }
    table.check();
    let expected = |number: &usize| !number.is_multiple_of(3) && number % 100 < 50;
    let mut keys: Vec<_> = due.iter().map(|entry| entry.key().to_vec()).collect();
    let mut wanted: Vec<_> = (0..count).filter(expected).map(key).collect();
    keys.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(table.len(), count - wanted.len());
}

#[test]
fn random_entries_are_evenly_chosen() {
    if cfg!(miri) {
        return;
    }
    // The other one has segments, and parts of the directory, of very different depths.
    let skewed = |key: &[u8]| {
        let hash = xxhash_rust::xxh3::xxh3_64(key);
        if hash & 1 == 0 { hash >> 3 } else { hash }
    };
    for mut table in [Table::new(9), Table::with_hasher(skewed)] {
        let mut random = fastrand::Rng::with_seed(9);
        assert!(table.random(&mut random).is_none());
        // A count at which segments of different depths are mixed.
        let count = 2_000;
        for number in 0..count {
            table.put(&key(number), number as i64, None);
        }
        let mut chosen = vec![0_u32; count];
        for _ in 0..count * 50 {
            let entry = table.random(&mut random).expect("not empty");
            if let Value::Int(number) = entry.string().unwrap() {
                chosen[number as usize] += 1;
            }
        }
        // Poisson with a mean of 50: its standard deviation is about 7.
        let squares: f64 = chosen.iter().map(|&times| (f64::from(times) - 50.0).powi(2)).sum();
        let variance = squares / count as f64;
        assert!((40.0..60.0).contains(&variance), "{variance}");
        for number in 1..count {
            table.take(&key(number));
        }
        assert_eq!(table.random(&mut random).expect("one is left").key(), key(0));
    }
}

#[test]
fn an_insert_writes_few_links_however_many_there_are() {
    if cfg!(miri) {
        return;
    }
    let mut table = Table::new(12);
    for number in 0..scaled(500_000) {
        let before = table.directory.written;
        table.put(&key(number), 0, None);
        // Two halves of a part, a half of one of these that needs fewer bits, the other one
        // with another bit; and the links of one segment as it has grown and split.
        let written = table.directory.written - before;
        assert!(written <= 5 * LINKS_MAX, "{written} at {number}");
    }
    table.check();
    // Else the bound would be met by the doubling of all links.
    assert!(table.directory.len() > 20 * LINKS_MAX, "{}", table.directory.len());
}

#[test]
fn parts_of_the_directory_come_and_go_with_the_keys() {
    let even = |key: &[u8]| xxhash_rust::xxh3::xxh3_64(key);
    // All keys in one part in a thousand of the hashes: the root tells much more apart
    // there than elsewhere.
    let clustered = |key: &[u8]| xxhash_rust::xxh3::xxh3_64(key) >> 10;
    for (seed, hasher) in [even, clustered as fn(&[u8]) -> u64].into_iter().enumerate() {
        let mut table = Table::with_hasher(hasher);
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let mut keys: Vec<_> = (0..scaled(100_000).max(4_000)).map(key).collect();
        for round in 0..2 {
            for (number, key) in keys.iter().enumerate() {
                table.put(key, 0, None);
                if number.is_multiple_of(keys.len() / 8) {
                    table.check();
                }
            }
            let (parts, links) = (table.directory.part_count(), table.directory.len());
            assert!(parts > 3 && links <= 64 + 16 * table.segment_count(), "{parts} {links}");
            random.shuffle(&mut keys);
            for (number, key) in keys.iter().enumerate() {
                assert!(table.take(key), "round {round}");
                if number.is_multiple_of(keys.len() / 8) {
                    table.check();
                }
            }
            table.check();
            // Two parts in the root, which are one of two links.
            assert_eq!((table.directory.part_count(), table.directory.len()), (1, 4));
        }
    }
}

#[test]
fn a_table_is_freed_in_slices() {
    let value = bytes::Bytes::from(vec![0; 5_000]);
    let mut table = Table::new(1);
    let count = if cfg!(miri) { 100 } else { 5_000 };
    for number in 0..count {
        let key = key(number);
        let entry = Entry::new(&key, NewValue::Shared(value.clone()), None);
        table.insert(table.hash(&key), entry);
    }
    let mut rest = table.clear();
    assert_eq!((table.len(), table.memory_bytes()), (0, 0));
    table.put(b"new", 1, None);
    let mut steps = 1;
    while rest.step(&mut { 10 }, drop) {
        steps += 1;
    }
    // Entries and empty buckets count: eight a bucket at most.
    assert!(steps >= count / 17, "{steps}");
    assert!(!rest.step(&mut { 10 }, drop));
    assert!(value.is_unique());
    table.check();
    assert!(!table.into_dismantle().step(&mut { 100 }, drop));
}

#[test]
fn a_forgotten_guard_leaks_and_no_more() {
    if cfg!(miri) {
        return;
    }
    let mut table = Table::new(1);
    table.put(b"lost", 1, Some(1));
    let hash = table.hash(b"lost");
    std::mem::forget(table.find_mut(hash, b"lost"));
    assert!(table.find(hash, b"lost").is_none());
    assert!(table.random(&mut fastrand::Rng::with_seed(0)).is_none());
    table.put(b"lost", 2, None);
    assert_eq!(table.value(b"lost"), Some(2));
}

#[test]
fn slots_take_nearly_the_same_at_any_number_of_keys() {
    if cfg!(miri) {
        return;
    }
    let mut table = Table::new(11);
    let (mut least, mut most) = (f64::MAX, 0_f64);
    let mut next = 20_000.0;
    for number in 0..scaled(600_000) {
        table.put(&key(number), 0, None);
        if number as f64 >= next {
            next *= 1.05;
            let lines = table.segment_bytes / size_of::<segment::Bucket>() - table.segment_count();
            let slots = lines * segment::SLOTS;
            let load = table.len() as f64 / slots as f64;
            (least, most) = (least.min(load), most.max(load));
        }
    }
    assert!(least > 0.6 && most - least < 0.06, "{least} to {most}");
}

#[test]
fn a_home_bucket_is_a_range_of_hashes_for_either_size() {
    for size in [Size::Small, Size::Large] {
        for depth in [0, 1, 7, 20, DEPTH_MAX] {
            let link = Link::new(Segment::new(size), size, depth);
            assert_eq!((link.depth(), link.size()), (depth, size));
            let segment = link.hashes(0x5555_5555_5555_5555);
            let (mut hash, mut home) = (*segment.start(), 0);
            loop {
                let bucket = link.bucket_hashes(hash);
                assert_eq!((*bucket.start(), bucket.start() & u64::from(u32::MAX)), (hash, 0));
                assert!(link.home(hash) >= home && link.home(hash) < size.buckets());
                home = link.home(hash);
                let middle = bucket.start().midpoint(*bucket.end());
                for same in [middle, *bucket.end()] {
                    assert_eq!((link.home(same), link.bucket_hashes(same)), (home, bucket.clone()));
                }
                if bucket.end() == segment.end() {
                    break;
                }
                hash = bucket.end() + 1;
                assert!(link.home(hash) > home);
            }
            assert_eq!(home, size.buckets() - 1, "depth {depth}");
            // SAFETY: this is the only copy.
            drop(unsafe { link.into_box() });
        }
    }
}

#[test]
fn a_segment_grows_then_splits_and_becomes_small_again() {
    let mut table = Table::with_hasher(xxhash_rust::xxh3::xxh3_64);
    let sizes = |table: &Table| {
        let links = table.directory.check();
        let sizes: Vec<Size> = links.iter().map(|(_, link)| link.size()).collect();
        (sizes, table.spilled())
    };
    table.put(&key(0), 0, None);
    assert_eq!(sizes(&table), (vec![Size::Small], 0));
    for number in 1..330 {
        table.put(&key(number), 0, None);
    }
    assert_eq!(sizes(&table), (vec![Size::Large], 0));
    table.check();
    for number in 330..400 {
        table.put(&key(number), 0, None);
    }
    assert_eq!(sizes(&table), (vec![Size::Small; 2], 0));
    table.check();
    for number in 400..600 {
        table.put(&key(number), 0, None);
    }
    assert!(sizes(&table).0.contains(&Size::Large));
    table.check();
    // Down to what one segment holds well, but not so few that they merge.
    for number in 0..390 {
        assert!(table.take(&key(number)));
    }
    assert_eq!(sizes(&table), (vec![Size::Small; 2], 0));
    table.check();
    for number in 390..600 {
        assert!(table.take(&key(number)));
    }
    assert_eq!(sizes(&table), (vec![Size::Small], 0));
    table.check();
}

#[test]
fn what_was_spilled_gets_a_slot_when_there_is_one() {
    let count = 100;
    let mut table = Table::with_hasher(|_| 0x1234_5678_9abc_def0);
    for number in 0..count {
        table.put(&key(number), number as i64, (number % 2 == 0).then_some(5));
    }
    table.check();
    // A bucket and the three behind it hold 32.
    assert_eq!(table.spilled(), count - 32);
    let mut random = fastrand::Rng::with_seed(1);
    let chosen: HashSet<_> = (0..2_000)
        .filter_map(|_| table.random(&mut random).map(|entry| entry.key().to_vec()))
        .collect();
    assert_eq!(chosen.len(), count);
    let mut due = Vec::new();
    assert_eq!(table.remove_due(0x1234_5678, 4, &mut due), Some(5));
    assert_eq!(table.remove_due(0x1234_5678, 5, &mut due), None);
    assert_eq!(due.len(), count / 2);
    table.check();
    for number in (1..count).step_by(2) {
        assert!(table.take(&key(number)));
        table.check();
    }
    assert_eq!((table.spilled(), table.segment_count()), (0, 1));
}

#[test]
fn spilled_entries_are_freed_in_slices_too() {
    let mut table = Table::with_hasher(|_| u64::MAX);
    for number in 0..500 {
        table.put(&key(number), 0, None);
    }
    let mut rest = table.clear();
    let mut steps = 0;
    while rest.step(&mut { 50 }, drop) {
        steps += 1;
    }
    assert!(steps >= 9, "{steps}");
    table.check();
}

#[test]
fn large_values_of_spilled_entries_are_given_away_to_be_freed() {
    static DISCARDED: AtomicUsize = AtomicUsize::new(0);
    let discard = |_| {
        DISCARDED.fetch_add(1, Ordering::SeqCst);
    };
    let mut table = Table::with_hasher(|_| u64::MAX);
    let count = 34;
    let value = vec![b'v'; 1 << 20];
    for number in 0..count {
        table.insert(u64::MAX, Entry::new(&key(number), NewValue::Bytes(&value), None));
    }
    assert!(table.spilled() > 0);
    assert!(!table.clear().step(&mut { usize::MAX }, discard));
    assert_eq!(DISCARDED.load(Ordering::SeqCst), count);
}
