//! Every way to change keys, and all that has to be heard of it.

use std::collections::BTreeSet;

use super::*;

/// One way to change keys, and all that has to be heard of it.
pub(super) struct Mutation {
    pub(super) method: &'static str,
    pub(super) change: fn(&mut Keyspace),
    /// In order: database, event, key.
    pub(super) events: &'static [(usize, &'static str, &'static str)],
    /// Keys whose watchers are told: database, key.
    pub(super) dirties: &'static [(usize, &'static str)],
    pub(super) changes: u64,
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
pub(super) fn check_mutations(
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

pub(super) fn check_noted(mutations: &[Mutation], prepared: fn() -> Keyspace) {
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
fn no_method_that_may_change_a_key_is_missing_above() {
    let sources = sources();
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
