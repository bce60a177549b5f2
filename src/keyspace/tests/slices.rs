//! What is removed and freed a slice at a time: the bounds of slices and of what waits.

use super::*;
use crate::keyspace::sweeping::BUCKET_KEYS_MAX;
use crate::keyspace::upheavals::FLUSHED_AT_ONCE_MAX;

#[test]
fn a_key_with_a_million_different_deadlines_leaves_little_behind() {
    let mut keyspace = keyspace();
    let mut random = fastrand::Rng::with_seed(3);
    let mut now = NOW;
    let mut most_bytes = 0;
    for step in 0..1_000_000_u64 {
        let deadline_ms = now.unix_ms() + random.u64(1_000..10_000_000);
        let key: &[u8] = if step % 2 == 0 { b"one" } else { b"other" };
        keyspace.db(0).store(key, NewValue::Int(1), Deadline::At(deadline_ms), event::SET);
        if step % 500 == 0 {
            now = now.advanced(Duration::from_millis(1));
            keyspace.set_now(now);
            keyspace.expire_slice(2_000);
            most_bytes = most_bytes.max(keyspace.overhead_bytes_of(0).1);
        }
    }
    assert_eq!(keyspace.len(), 2);
    // 4,096 stale items are never worth a walk. The worst case is that each has
    // a slot of its own, which is a vector of four items; twice, while what was
    // discarded is freed.
    assert!(most_bytes < 600_000, "{most_bytes} bytes for two keys");
    let mut slices = 0;
    while let Some(deadline_ms) = keyspace.next_deadline_ms() {
        slices += 1;
        assert!(slices < 10_000, "stale items come to an end");
        if deadline_ms > now.unix_ms() {
            now = now.advanced(Duration::from_millis(deadline_ms - now.unix_ms()));
            keyspace.set_now(now);
        }
        keyspace.expire_slice(2_000);
    }
    assert_eq!((keyspace.len(), keyspace.stats().expired), (0, 2));
}

#[test]
fn a_slice_removes_no_more_than_its_size_and_no_database_waits_for_another() {
    let mut keyspace = keyspace();
    for db in 0..3 {
        for number in 0..10_000_u32 {
            let key = number.to_be_bytes();
            keyspace.db(db).store(&key, NewValue::Int(1), Deadline::At(NOW_MS + 5), event::SET);
        }
    }
    keyspace.set_now(after_ms(4));
    keyspace.expire_slice(100);
    assert_eq!(keyspace.len(), 30_000, "nothing before its time");
    keyspace.set_now(after_ms(5));
    let mut removed_in_first = [0; 3];
    let mut slices = 0;
    loop {
        let before = keyspace.len();
        let more = keyspace.expire_slice(500);
        slices += 1;
        let removed = before - keyspace.len();
        assert!(removed <= 500 + BUCKET_KEYS_MAX, "{removed} in one slice");
        if slices == 6 {
            for figures in keyspace.figures() {
                removed_in_first[figures.db] = 10_000 - figures.keys;
            }
        }
        if !more {
            break;
        }
        assert_eq!(keyspace.next_deadline_ms().map(|ms| ms <= NOW_MS + 5), Some(true));
    }
    assert!(removed_in_first.iter().all(|&removed| removed > 800), "{removed_in_first:?}");
    assert_eq!(keyspace.len(), 0);
    assert!((60..200).contains(&slices), "{slices} slices");
    assert_eq!(keyspace.next_deadline_ms(), None);
}

#[test]
fn flushing_over_and_over_leaves_nothing_to_pile_up() {
    let mut keyspace = keyspace();
    for turn in 0..20 {
        for _ in 0..512 {
            let deadline = Deadline::At(NOW_MS + 100_000);
            keyspace.db(0).store(b"a", NewValue::Int(1), deadline, event::SET);
            keyspace.flush(0);
        }
        assert_eq!((keyspace.garbage_tables(), keyspace.overhead_bytes()), (0, 0), "turn {turn}");
    }
    // More than a flush frees itself: the slices free as much as comes.
    let mut most = 0;
    for _ in 0..20 {
        for _ in 0..10 {
            for number in 0..2_000_u32 {
                let key = number.to_be_bytes();
                let deadline = Deadline::At(NOW_MS + 100_000);
                keyspace.db(0).store(&key, NewValue::Int(1), deadline, event::SET);
            }
            keyspace.flush(0);
        }
        keyspace.expire_slice(500);
        keyspace.free_slice(4_000);
        most = most.max(keyspace.garbage_tables());
        assert!(keyspace.overhead_bytes() < 2_000_000, "{}", keyspace.overhead_bytes());
    }
    assert!(most <= 1, "{most} tables wait");
    while keyspace.free_slice(4_000) {}
    while keyspace.expire_slice(500) {}
    assert_eq!(keyspace.overhead_bytes(), 0);
}

#[test]
fn a_steady_load_of_deadlines_is_kept_up_with() {
    const PER_TURN: u64 = 60;
    const TTL_MS: u64 = 2_100;
    let mut keyspace = keyspace();
    let mut number = 0_u64;
    for turn in 1..=8_000 {
        let now = after_ms(turn);
        for _ in 0..PER_TURN {
            number += 1;
            let deadline = Deadline::At(keyspace.now_ms + TTL_MS);
            keyspace.db(0).store(&number.to_be_bytes(), NewValue::Int(1), deadline, event::SET);
        }
        keyspace.set_now(now);
        // A third of what comes, once a millisecond and no more.
        keyspace.expire_slice(PER_TURN as usize / 3);
        let live = PER_TURN * turn.min(TTL_MS);
        let overdue = keyspace.len() as u64 - live.min(keyspace.len() as u64);
        assert!(overdue <= 2 * PER_TURN, "turn {turn}: {overdue} keys overdue");
    }
}

#[test]
fn stale_items_are_bounded_however_fast_they_come() {
    const KEYS: u64 = 20_000;
    let mut keyspace = keyspace();
    let mut number = 0_u64;
    let mut most = 0;
    for turn in 0..400 {
        keyspace.set_now(after_ms(turn));
        for _ in 0..1_000 {
            number += 1;
            let deadline = Deadline::At(NOW_MS + 10_000_000 + number);
            let key = (number % KEYS).to_be_bytes();
            keyspace.db(0).store(&key, NewValue::Int(1), deadline, event::SET);
        }
        keyspace.expire_slice(10);
        most = most.max(keyspace.databases[0].index.items());
    }
    // What is allowed before a walk, what comes during one, the fresh items of
    // the walk itself, and one turn's.
    let keys = KEYS as usize;
    let bound = (2 * keys + keys / 8 + 4_096) + keys / 3 + keys + 1_000;
    assert!(most <= bound, "{most} items, {bound} at most");
}

#[test]
fn large_values_count_for_many_small_ones() {
    const KEYS: usize = 400;
    const LARGE: usize = 320 << 10;
    let fill = |keyspace: &mut Keyspace| {
        let value = vec![b'x'; LARGE];
        for number in 0..KEYS as u32 {
            let deadline = Deadline::At(NOW_MS + 5);
            let mut db = keyspace.db(0);
            db.store(&number.to_be_bytes(), NewValue::Bytes(&value), deadline, event::SET);
        }
    };
    // Each counts for 20, and a bucket is taken whole.
    let most = 500 / 20 + BUCKET_KEYS_MAX;
    let mut keyspace = keyspace();
    fill(&mut keyspace);
    keyspace.expire_slice(500);
    keyspace.set_now(after_ms(5));
    let mut slices = 0;
    loop {
        let before = keyspace.len();
        let more = keyspace.expire_slice(500);
        assert!(before - keyspace.len() <= most, "{} in a slice", before - keyspace.len());
        slices += 1;
        if !more {
            break;
        }
    }
    assert_eq!((keyspace.len(), keyspace.next_deadline_ms()), (0, None));
    assert!(slices >= KEYS / most, "{slices} slices");

    fill(&mut keyspace);
    keyspace.free_slice(1);
    keyspace.flush(0);
    let mut slices = 1;
    while keyspace.free_slice(500) {
        slices += 1;
    }
    let at_once = FLUSHED_AT_ONCE_MAX / 20 + 8;
    assert!(slices >= (KEYS - at_once) / (500 / 20 + 8), "{slices} slices");
}

#[test]
fn a_clock_set_back_between_two_slices_loses_no_key() {
    let mut keyspace = keyspace();
    let value = vec![b'x'; 320 << 10];
    for number in 0..200_u32 {
        let deadline = Deadline::At(NOW_MS + 5);
        let mut db = keyspace.db(0);
        db.store(&number.to_be_bytes(), NewValue::Bytes(&value), deadline, event::SET);
    }
    keyspace.expire_slice(1);
    keyspace.set_now(after_ms(5));
    keyspace.expire_slice(64);
    assert!(!keyspace.databases[0].due_prefixes.is_empty(), "some are in between");
    keyspace.set_now(after_ms(2));
    let left = keyspace.len();
    while keyspace.expire_slice(64) {}
    assert_eq!(keyspace.len(), left, "nothing before its time");
    keyspace.set_now(after_ms(5));
    while keyspace.expire_slice(64) {}
    assert_eq!(keyspace.len(), 0);
}

#[test]
fn what_is_overdue_is_told_apart_from_work() {
    let mut keyspace = keyspace();
    let store = |keyspace: &mut Keyspace, key: &[u8], after_ms: u64| {
        let deadline = Deadline::At(NOW_MS + after_ms);
        keyspace.db(0).store(key, NewValue::Int(1), deadline, event::SET);
    };
    assert_eq!(keyspace.earliest_deadline_ms(), None);
    store(&mut keyspace, b"years", 100_000_000_000);
    store(&mut keyspace, b"minutes", 1_000_000);
    store(&mut keyspace, b"seconds", 2_100);
    let earliest_ms = keyspace.earliest_deadline_ms().expect("three are filed");
    assert!((NOW_MS + 2_100..NOW_MS + 2_100 + 1_024).contains(&earliest_ms));
    for number in 0..100_u32 {
        store(&mut keyspace, &number.to_be_bytes(), 2_100);
    }
    keyspace.expire_slice(500);
    keyspace.set_now(after_ms(1_100));
    keyspace.expire_slice(1);
    assert_eq!(keyspace.next_deadline_ms(), Some(0), "there is something to prepare");
    assert_eq!(keyspace.earliest_deadline_ms(), Some(NOW_MS + 2_100), "and nothing overdue");
    while keyspace.expire_slice(500) {}
    store(&mut keyspace, b"soon", 1_105);
    keyspace.set_now(after_ms(1_109));
    assert_eq!(keyspace.earliest_deadline_ms(), Some(NOW_MS + 1_105));
    while keyspace.expire_slice(500) {}
    assert!(keyspace.earliest_deadline_ms() >= Some(NOW_MS + 2_100));
}
