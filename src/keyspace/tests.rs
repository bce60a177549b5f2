use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

mod mutations;
mod native;
mod slices;

const NOW: Now = Now { monotonic: Duration::ZERO, unix_us: 1_893_456_000_000_000 };
const NOW_MS: u64 = NOW.unix_ms();

fn keyspace() -> Keyspace {
    Keyspace::new(16, 1, NOW)
}

fn after_ms(ms: u64) -> Now {
    NOW.advanced(Duration::from_millis(ms))
}

/// What the table is about: database 0 has `a` = 1, `b` = text with a deadline
/// in ten seconds and `due` with a deadline that has passed; database 1 has `a`.
fn prepared() -> Keyspace {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(0);
    db.store(b"a", NewValue::Int(1), Deadline::Never, event::SET);
    db.store(b"b", NewValue::Bytes(b"text"), Deadline::At(NOW_MS + 10_000), event::SET);
    db.store(b"due", NewValue::Bytes(b"old"), Deadline::At(NOW_MS + 1), event::SET);
    keyspace.db(1).store(b"a", NewValue::Int(2), Deadline::Never, event::SET);
    keyspace.set_now(after_ms(1));
    keyspace.set_notify(NotifyFlags::ALL | NotifyFlags::NEW | NotifyFlags::KEY_MISS);
    keyspace
}

/// The text of each file of the keyspace that has methods of [`Keyspace`] or [`Db`].
fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/keyspace");
    let files = fs::read_dir(folder).expect("the source is there");
    let paths = files.map(|file| file.expect("the source is there").path());
    let texts = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(path).expect("source is UTF-8"));
    let has_methods = |line: &str| {
        line.starts_with("impl") && (line.contains(" Keyspace {") || line.contains(" Db<"))
    };
    let sources: Vec<String> = texts.filter(|text| text.lines().any(has_methods)).collect();
    assert!(sources.len() > 10, "the source was found");
    sources
}

#[test]
fn changes_are_noted_only_while_they_are_wanted_and_a_flush_of_all_once() {
    let mut keyspace = prepared();
    keyspace.db(0).store(b"a", NewValue::Int(2), Deadline::Never, event::SET);
    keyspace.db(0).note_stale(b"a");
    keyspace.flush(1);
    assert_eq!(keyspace.take_changes(), None);
    keyspace.want_changes(true);
    keyspace.db(0).note_stale(b"b");
    keyspace.flush(0);
    keyspace.flush(1);
    let stale = Change::Key { name: Box::from(&b"b"[..]), by_command: false };
    assert_eq!(keyspace.take_changes(), Some(vec![stale, Change::Flush]));
    assert_eq!(keyspace.take_changes(), None);
}

#[test]
fn reads_take_a_due_key_for_absent_and_leave_it_to_the_index() {
    let mut keyspace = prepared();
    let mut db = keyspace.db(0);
    assert!(db.read(b"due").is_none());
    assert!(db.inspect(b"due").is_none());
    assert!(db.inspect_quietly(b"due").is_none());
    assert!(db.peek(b"due").is_none());
    let mut position = Some(0);
    let mut walked = BTreeSet::new();
    while let Some(at) = position {
        position = db.walk(at, &mut |entry| assert!(walked.insert(entry.key().to_vec())));
    }
    assert_eq!(walked, BTreeSet::from([b"a".to_vec(), b"b".to_vec()]));
    assert_eq!((keyspace.stats().hits, keyspace.stats().misses), (0, 3));
    let events = keyspace.take_notifications().expect("two misses are announced");
    assert!(events.iter().all(|event| event.event == "keymiss"), "{events:?}");
    assert_eq!(events.len(), 2);
    assert!(!keyspace.expire_slice(100));
    let events = keyspace.take_notifications().expect("it has expired");
    assert_eq!((events.len(), events[0].event, &*events[0].key), (1, "expired", &b"due"[..]));
    assert_eq!(keyspace.stats().expired, 1);
}

#[test]
fn a_random_key_is_looked_for_within_bounds() {
    let mut keyspace = keyspace();
    let mut rng = fastrand::Rng::with_seed(1);
    for number in 0..50_000_u32 {
        let deadline = Deadline::At(NOW_MS + 5);
        keyspace.db(0).store(&number.to_be_bytes(), NewValue::Int(1), deadline, event::SET);
    }
    keyspace.set_now(after_ms(5));
    assert_eq!(keyspace.db(0).random(&mut rng), None);
    assert!(keyspace.stats().expired <= 100, "{} removed", keyspace.stats().expired);
    // One live key for a hundred due ones is met on the way.
    for number in 0..500_u32 {
        let key = [&b"live"[..], &number.to_be_bytes()].concat();
        keyspace.db(0).store(&key, NewValue::Int(1), Deadline::Never, event::SET);
    }
    for _ in 0..20 {
        let key = keyspace.db(0).random(&mut rng).expect("within the bound");
        assert!(key.starts_with(b"live"));
    }
}

#[test]
fn each_watcher_of_a_key_leaves_by_itself_and_the_rest_are_told_in_order() {
    let mut watchers = Watchers::default();
    for watcher in (0..10_000).rev() {
        watchers.watch(0, b"hot", watcher);
    }
    for watcher in (0..10_000).filter(|watcher| watcher % 1_000 != 0) {
        watchers.unwatch(0, b"hot", watcher);
    }
    watchers.touch(0, b"hot");
    let told: Vec<_> = (0..10).map(|nth| nth * 1_000).collect();
    assert_eq!(watchers.take_dirtied(), Some(told));
    assert!(watchers.is_empty());
}
