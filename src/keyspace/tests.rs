use std::collections::BTreeSet;
use std::time::Duration;

use super::sweeping::BUCKET_KEYS_MAX;
use super::upheavals::FLUSHED_AT_ONCE_MAX;
use super::*;

mod native;

const NOW: Now = Now { monotonic: Duration::ZERO, unix_us: 1_893_456_000_000_000 };
const NOW_MS: u64 = NOW.unix_ms();

fn keyspace() -> Keyspace {
    Keyspace::new(16, 1, NOW)
}

fn after_ms(ms: u64) -> Now {
    NOW.advanced(Duration::from_millis(ms))
}

/// One way to change keys, and all that has to be heard of it.
struct Mutation {
    method: &'static str,
    change: fn(&mut Keyspace),
    /// In order: database, event, key.
    events: &'static [(usize, &'static str, &'static str)],
    /// Keys whose watchers are told: database, key.
    dirties: &'static [(usize, &'static str)],
    changes: u64,
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

/// In each database the keys that the table may touch, each with a watcher of
/// its own.
const WATCHED: [(usize, &str); 8] =
    [(0, "a"), (0, "b"), (0, "due"), (0, "new"), (1, "a"), (1, "b"), (1, "due"), (1, "new")];

const MUTATIONS: &[Mutation] = &[
    Mutation {
        method: "store",
        change: |keyspace| {
            keyspace.db(0).store(b"new", NewValue::Int(1), Deadline::Never, event::SET);
        },
        events: &[(0, "new", "new"), (0, "set", "new")],
        dirties: &[(0, "new")],
        changes: 1,
    },
    Mutation {
        method: "store",
        change: |keyspace| {
            keyspace.db(0).store(b"a", NewValue::Bytes(b"x"), Deadline::Keep, event::SET);
        },
        events: &[(0, "set", "a")],
        dirties: &[(0, "a")],
        changes: 1,
    },
    Mutation {
        method: "store",
        change: |keyspace| {
            keyspace.db(0).store(b"due", NewValue::Int(1), Deadline::Keep, event::SET);
            assert_eq!(keyspace.db(0).peek(b"due").expect("stored").deadline_ms(), None);
        },
        events: &[(0, "expired", "due"), (0, "new", "due"), (0, "set", "due")],
        dirties: &[(0, "due")],
        changes: 2,
    },
    Mutation {
        method: "update",
        change: |keyspace| {
            let changed = keyspace.db(0).update(b"a", event::INCRBY, |old| {
                assert_eq!(old.expect("it is there").string().unwrap(), Value::Int(1));
                Ok::<_, ()>((NewValue::Int(2), Deadline::Keep))
            });
            assert_eq!(changed, Ok(()));
        },
        events: &[(0, "incrby", "a")],
        dirties: &[(0, "a")],
        changes: 1,
    },
    Mutation {
        method: "update",
        change: |keyspace| {
            assert_eq!(keyspace.db(0).update(b"a", event::SET, |_| Err(7)), Err(7));
            assert_eq!(keyspace.db(0).update(b"new", event::SET, |_| Err(8)), Err(8));
        },
        events: &[],
        dirties: &[],
        changes: 0,
    },
    Mutation {
        method: "write",
        change: |keyspace| {
            let mut db = keyspace.db(0);
            for key in [&b"a"[..], b"new"] {
                let written = db.write(key, event::SET, |_| {
                    Ok::<_, ()>((NewValue::Int(2), Deadline::Keep, Versioning::Is(7)))
                });
                assert_eq!(written, Ok(()));
                assert_eq!(db.look(key).expect("stored").version(), Some(7));
            }
            assert_eq!(db.write(b"a", event::SET, |_| Err(9)), Err(9));
        },
        events: &[(0, "set", "a"), (0, "new", "new"), (0, "set", "new")],
        dirties: &[(0, "a"), (0, "new")],
        changes: 2,
    },
    Mutation {
        method: "append",
        change: |keyspace| {
            assert_eq!(keyspace.db(0).append(b"b", b"s"), 5);
        },
        events: &[(0, "append", "b")],
        dirties: &[(0, "b")],
        changes: 1,
    },
    Mutation {
        method: "write_at",
        change: |keyspace| {
            assert_eq!(keyspace.db(0).write_at(b"b", 6, b"s"), 7);
        },
        events: &[(0, "setrange", "b")],
        dirties: &[(0, "b")],
        changes: 1,
    },
    Mutation {
        method: "remove",
        change: |keyspace| {
            assert!(keyspace.db(0).remove(b"b", event::DEL));
            assert!(!keyspace.db(0).remove(b"new", event::DEL));
        },
        events: &[(0, "del", "b")],
        dirties: &[(0, "b")],
        changes: 1,
    },
    Mutation {
        method: "remove",
        change: |keyspace| assert!(!keyspace.db(0).remove(b"due", event::DEL)),
        events: &[(0, "expired", "due")],
        dirties: &[(0, "due")],
        changes: 1,
    },
    Mutation {
        method: "take",
        change: |keyspace| {
            let taken = keyspace.db(0).take(b"b", event::DEL).expect("it is there");
            assert_eq!(taken.string().unwrap(), Value::Bytes(b"text"));
        },
        events: &[(0, "del", "b")],
        dirties: &[(0, "b")],
        changes: 1,
    },
    Mutation {
        method: "set_deadline",
        change: |keyspace| {
            keyspace.db(0).set_deadline(b"a", Some(NOW_MS + 5), event::EXPIRE);
            keyspace.db(0).set_deadline(b"new", Some(NOW_MS + 5), event::EXPIRE);
        },
        events: &[(0, "expire", "a")],
        dirties: &[(0, "a")],
        changes: 1,
    },
    Mutation {
        method: "set_deadline",
        change: |keyspace| keyspace.db(0).set_deadline(b"b", None, event::PERSIST),
        events: &[(0, "persist", "b")],
        dirties: &[(0, "b")],
        changes: 1,
    },
    Mutation {
        method: "rename",
        change: |keyspace| assert!(keyspace.db(0).rename(b"a", b"new")),
        events: &[(0, "new", "new"), (0, "rename_from", "a"), (0, "rename_to", "new")],
        dirties: &[(0, "a"), (0, "new")],
        changes: 2,
    },
    Mutation {
        method: "rename",
        change: |keyspace| assert!(keyspace.db(0).rename(b"a", b"b")),
        events: &[(0, "new", "b"), (0, "rename_from", "a"), (0, "rename_to", "b")],
        dirties: &[(0, "a"), (0, "b")],
        changes: 2,
    },
    Mutation {
        method: "rename",
        change: |keyspace| assert!(!keyspace.db(0).rename(b"due", b"b")),
        events: &[(0, "expired", "due")],
        dirties: &[(0, "due")],
        changes: 1,
    },
    Mutation {
        method: "move_to",
        change: |keyspace| assert!(keyspace.db(0).move_to(1, b"b")),
        events: &[(1, "new", "b"), (0, "move_from", "b"), (1, "move_to", "b")],
        dirties: &[(0, "b"), (1, "b")],
        changes: 2,
    },
    Mutation {
        method: "copy",
        change: |keyspace| assert!(keyspace.db(0).copy(b"b", 1, b"new")),
        events: &[(1, "new", "new"), (1, "copy_to", "new")],
        dirties: &[(1, "new")],
        changes: 1,
    },
    Mutation {
        method: "copy",
        change: |keyspace| assert!(keyspace.db(0).copy(b"b", 0, b"due")),
        events: &[(0, "expired", "due"), (0, "new", "due"), (0, "copy_to", "due")],
        dirties: &[(0, "due")],
        changes: 2,
    },
    Mutation {
        method: "contains",
        change: |keyspace| assert!(!keyspace.db(0).contains(b"due")),
        events: &[(0, "expired", "due")],
        dirties: &[(0, "due")],
        changes: 1,
    },
    Mutation {
        method: "random",
        change: |keyspace| {
            keyspace.db(0).remove(b"a", event::DEL);
            keyspace.db(0).remove(b"b", event::DEL);
            let mut rng = fastrand::Rng::with_seed(1);
            assert_eq!(keyspace.db(0).random(&mut rng), None);
        },
        events: &[(0, "del", "a"), (0, "del", "b"), (0, "expired", "due")],
        dirties: &[(0, "a"), (0, "b"), (0, "due")],
        changes: 3,
    },
    Mutation {
        method: "expire_slice",
        change: |keyspace| assert!(!keyspace.expire_slice(10)),
        events: &[(0, "expired", "due")],
        dirties: &[(0, "due")],
        changes: 1,
    },
    Mutation {
        method: "flush",
        change: |keyspace| assert_eq!(keyspace.flush(0), 3),
        events: &[],
        dirties: &[(0, "a"), (0, "b"), (0, "due")],
        changes: 3,
    },
    Mutation {
        method: "swap",
        change: |keyspace| keyspace.swap(0, 1),
        events: &[],
        dirties: &[(0, "a"), (0, "b"), (0, "due"), (1, "a"), (1, "b"), (1, "due")],
        changes: 1,
    },
];

/// Methods with `&mut self` that change no key.
const NOT_MUTATIONS: &[&str] = &[
    // of Db
    "inspect",
    "inspect_quietly",
    "keyspace",
    "mark_raw", // a part of the change that made the value
    "notify",
    "other",
    "peek",
    "peek_string",
    "read",
    "read_string",
    "select",
    // of Dirty
    "clear",
    "forget_pending",
    "track_pending",
    // of Keyspace
    "begin_replay",
    "db",
    "dirty",
    "end_replay",
    "free_slice",
    "reset_stats",
    "restore_dirty",
    "set_notify",
    "set_now",
    "set_write_times",
    "skip_tokens",
    "take_changes",
    "take_expire_lag_ms",
    "take_has_expired",
    "take_notifications",
    "take_stored_due",
    "take_untied",
    "waiters",
    "want_changes",
    "want_dirty",
    "watchers",
    // A replay puts back what was announced when it happened.
    "restore_annotations",
    "restore_bytes",
    "restore_deadline",
    "restore_hold",
    "restore_owner",
    "restore_owner_end",
];

#[test]
fn every_mutation_counts_dirties_its_watchers_and_emits_its_events() {
    check_mutations(MUTATIONS, prepared, &WATCHED);
}

/// `watched` are the keys that the table may touch.
fn check_mutations(
    mutations: &[Mutation],
    prepared: fn() -> Keyspace,
    watched: &[(usize, &'static str)],
) {
    for (number, mutation) in mutations.iter().enumerate() {
        let name = format!("{number}: {}", mutation.method);
        let mut keyspace = prepared();
        for (watcher, &(db, key)) in watched.iter().enumerate() {
            keyspace.watchers().watch(db, key.as_bytes(), watcher);
        }
        let changes = keyspace.stats().changes;
        (mutation.change)(&mut keyspace);
        assert_eq!(keyspace.stats().changes - changes, mutation.changes, "{name}: changes");
        let events: Vec<_> = keyspace.take_notifications().unwrap_or_default();
        let events: Vec<(usize, &str, &str)> = events
            .iter()
            .map(|event| (event.db, event.event, str::from_utf8(&event.key).expect("ASCII")))
            .collect();
        assert_eq!(events, mutation.events, "{name}: events");
        let dirtied = keyspace.watchers().take_dirtied().unwrap_or_default();
        let dirtied: BTreeSet<_> = dirtied.into_iter().map(|watcher| watched[watcher]).collect();
        assert_eq!(dirtied, mutation.dirties.iter().copied().collect(), "{name}: watchers");
    }
}

#[test]
fn every_mutation_is_noted_for_client_side_caches() {
    check_noted(MUTATIONS, prepared);
}

/// Of a string that is written at once, its key.
fn key_record(out: &mut Vec<u8>, key: &[u8], _: Value<'_>) -> usize {
    out.extend_from_slice(key);
    out.push(b';');
    out.len() - 1 - key.len()
}

/// The journal hears of the same keys as those who watch them. That a value has gone
/// stale by itself it knows, since it has the time of that.
fn check_journaled(mutation: &Mutation, name: &str, dirty: &Dirty) {
    let mut noted = BTreeSet::new();
    for (db, note) in dirty.notes() {
        match note {
            Noted::Changed(key, _) => noted.extend([(db, key)]),
            Noted::Records(keys) => {
                noted.extend(
                    keys.split_inclusive(|byte| *byte == b';')
                        .map(|key| (db, &key[..key.len() - 1])),
                );
            }
        }
    }
    let expected: BTreeSet<_> = match mutation.method {
        "swap" => {
            assert_eq!(dirty.upheavals(), [Upheaval::Swap(0, 1)], "{name}");
            BTreeSet::new()
        }
        "flush" => {
            assert!(matches!(dirty.upheavals(), [Upheaval::Flush(_)]), "{name}");
            BTreeSet::new()
        }
        method => {
            let ages =
                |db, key| method == "fire_timers" && mutation.events.contains(&(db, "stale", key));
            let dirties = mutation.dirties.iter().filter(|(db, key)| !ages(*db, key));
            dirties.map(|(db, key)| (*db, key.as_bytes())).collect()
        }
    };
    assert_eq!(noted, expected, "{name}: journal");
}

/// Events of what happens to a key of its own accord; a value is stale so or because
/// somebody says so.
const BY_ITSELF: [&str; 2] = ["expired", "holdexpired"];

fn check_noted(mutations: &[Mutation], prepared: fn() -> Keyspace) {
    for (number, mutation) in mutations.iter().enumerate() {
        let name = format!("{number}: {}", mutation.method);
        let mut keyspace = prepared();
        keyspace.want_changes(true);
        keyspace.want_dirty(Some(key_record));
        (mutation.change)(&mut keyspace);
        check_journaled(mutation, &name, keyspace.dirty());
        let changes = keyspace.take_changes().unwrap_or_default();
        let (mut noted, mut expired) = (BTreeSet::new(), BTreeSet::new());
        for change in &changes {
            match change {
                Change::Key { name, by_command } => {
                    noted.insert(&**name);
                    if !by_command {
                        expired.insert(&**name);
                    }
                }
                Change::Flush => assert_eq!(mutation.method, "flush"),
            }
        }
        // SWAPDB is not noted, as in Redis; and a flush not key by key.
        let expected: BTreeSet<&[u8]> = match mutation.method {
            "swap" | "flush" => BTreeSet::new(),
            // What STOCK.INFO says of a counter changes although the counter does not.
            "end_hold" => BTreeSet::from([&b"hold"[..], b"stock"]),
            _ => mutation.dirties.iter().map(|(_, key)| key.as_bytes()).collect(),
        };
        assert_eq!(noted, expected, "{name}");
        for (_, event, key) in mutation.events.iter().filter(|(_, event, _)| *event != "stale") {
            let by_itself = expired.contains(key.as_bytes());
            assert!(by_itself || !BY_ITSELF.contains(event), "{name}: {key} of its own accord");
        }
        let emitted = |key: &[u8]| {
            let mut events = mutation.events.iter().filter(|(.., of)| of.as_bytes() == key);
            events.any(|(_, event, _)| *event == "stale" || BY_ITSELF.contains(event))
        };
        assert!(expired.iter().all(|key| emitted(key)), "{name}: nothing else is");
    }
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
fn no_method_that_may_change_a_key_is_missing_above() {
    let sources = [
        include_str!("announcing.rs"),
        include_str!("db.rs"),
        include_str!("dirty.rs"),
        include_str!("firing.rs"),
        include_str!("health.rs"),
        include_str!("leases.rs"),
        include_str!("locking.rs"),
        include_str!("lookup.rs"),
        include_str!("mod.rs"),
        include_str!("moving.rs"),
        include_str!("restore.rs"),
        include_str!("stock.rs"),
        include_str!("sweeping.rs"),
        include_str!("upheavals.rs"),
    ];
    let mut methods = BTreeSet::new();
    for part in sources.iter().flat_map(|source| source.split("pub(crate) fn ").skip(1)) {
        let (name, rest) = part.split_once('(').expect("a signature");
        let name = name.split('<').next().expect("not empty");
        let first = rest.trim_start();
        if first.starts_with("&mut self") {
            methods.insert(name);
        }
    }
    let known: BTreeSet<_> = MUTATIONS
        .iter()
        .chain(native::MUTATIONS)
        .map(|mutation| mutation.method)
        .chain(NOT_MUTATIONS.iter().copied())
        .collect();
    assert_eq!(methods, known);
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
