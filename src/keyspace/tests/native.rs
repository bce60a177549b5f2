//! The table of mutations, continued: locks, holds and leases.

use super::mutations::{Mutation, check_mutations, check_noted};
use super::*;
use crate::keyspace::health::NativeFigures;

/// What connections are called here.
const TIED_TO: u64 = 7;

const FIRST_TOKEN: u64 = NOW.unix_us + 1;
/// The lease on `page`.
const LEASE: u64 = NOW.unix_us + 3;

/// The keys of database 0, each with a watcher of its own. Those that are due have
/// not ended yet.
const KEYS: [(usize, &str); 10] = [
    (0, "stock"),
    (0, "hold"),
    (0, "due-hold"),
    (0, "lock"),
    (0, "due-lock"),
    (0, "page"),
    (0, "stale"),
    (0, "new"),
    (0, "text"),
    (0, "other"),
];

fn request(owner: &[u8], mode: LockMode) -> Acquire<'_> {
    Acquire {
        owner,
        mode,
        deadline_ms: NOW_MS + 20_000,
        tied: false,
        client_id: TIED_TO,
        waiter: 1,
    }
}

fn item(amount: i64, remained: i64) -> Vec<HoldItem> {
    vec![HoldItem { key: Box::from(&b"stock"[..]), amount, remained }]
}

fn value(fresh_until_ms: Option<u64>) -> Fill<'static> {
    Fill { value: NewValue::Int(1), deadline_ms: NOW_MS + 20_000, fresh_until_ms }
}

/// `stock` had 5, of which `hold` has 2 and `due-hold` 1; Ann owns `lock`, tied to
/// her connection, and `due-lock`; there are a lease on `page`, which has no value,
/// and a value under `stale` that goes so in this millisecond.
fn prepared() -> Keyspace {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(0);
    db.store(b"stock", NewValue::Int(5), Deadline::Never, event::SET);
    db.store(b"text", NewValue::Bytes(b"text"), Deadline::Never, event::SET);
    db.place_hold(b"hold", item(2, 3), NOW_MS + 10_000, 10_000);
    db.place_hold(b"due-hold", item(1, 2), NOW_MS + 1, 1);
    let ann = request(b"ann", LockMode::Exclusive);
    assert_eq!(
        db.acquire(b"lock", Acquire { tied: true, ..ann }),
        Ok(Acquired::Granted(FIRST_TOKEN))
    );
    let due = db.acquire(b"due-lock", Acquire { deadline_ms: NOW_MS + 1, ..ann });
    assert_eq!(due, Ok(Acquired::Granted(FIRST_TOKEN + 1)));
    assert_eq!(db.grant_lease(b"page", NOW_MS + 10_000, 1), LEASE);
    let token = db.grant_lease(b"stale", NOW_MS + 10_000, 1);
    assert!(db.fill(b"stale", token, value(Some(NOW_MS + 1))));
    keyspace.set_now(after_ms(1));
    keyspace.set_notify(NotifyFlags::ALL | NotifyFlags::NEW);
    keyspace
}

/// A change that nobody hears of.
const fn unheard(method: &'static str, change: fn(&mut Keyspace)) -> Mutation {
    Mutation { method, change, events: &[], dirties: &[], changes: 0 }
}

/// What is due on a lock ends before anybody looks at it.
const fn ends_due_owner(method: &'static str, change: fn(&mut Keyspace)) -> Mutation {
    Mutation {
        method,
        change,
        events: &[(0, "expired", "due-lock")],
        dirties: &[(0, "due-lock")],
        changes: 1,
    }
}

const fn on_lock(
    method: &'static str,
    change: fn(&mut Keyspace),
    events: &'static [(usize, &'static str, &'static str)],
) -> Mutation {
    Mutation { method, change, events, dirties: &[(0, "lock")], changes: 1 }
}

/// What gives units of `hold` back, and so changes two keys.
const fn gives_back(
    method: &'static str,
    change: fn(&mut Keyspace),
    events: &'static [(usize, &'static str, &'static str)],
) -> Mutation {
    Mutation { method, change, events, dirties: &[(0, "stock"), (0, "hold")], changes: 2 }
}

pub(super) const MUTATIONS: &[Mutation] = &[
    // Locks
    ends_due_owner("lock", |keyspace| assert!(keyspace.db(0).lock(b"due-lock").unwrap().is_none())),
    unheard("lock", |keyspace| assert!(keyspace.db(0).lock(b"stock").is_err())),
    Mutation {
        method: "acquire",
        change: |keyspace| {
            let bob = request(b"bob", LockMode::Shared);
            let acquired = keyspace.db(0).acquire(b"new", bob);
            assert_eq!(acquired, Ok(Acquired::Granted(FIRST_TOKEN + 4)));
        },
        events: &[(0, "new", "new"), (0, "lock", "new")],
        dirties: &[(0, "new")],
        changes: 1,
    },
    Mutation {
        method: "acquire",
        change: |keyspace| {
            let bob = request(b"bob", LockMode::Exclusive);
            let acquired = keyspace.db(0).acquire(b"due-lock", bob);
            assert_eq!(acquired, Ok(Acquired::Granted(FIRST_TOKEN + 4)));
        },
        events: &[(0, "expired", "due-lock"), (0, "new", "due-lock"), (0, "lock", "due-lock")],
        dirties: &[(0, "due-lock")],
        changes: 2,
    },
    on_lock(
        "acquire",
        |keyspace| {
            let again = keyspace.db(0).acquire(b"lock", request(b"ann", LockMode::Exclusive));
            assert_eq!(again, Ok(Acquired::Granted(FIRST_TOKEN)));
        },
        &[(0, "lock", "lock")],
    ),
    unheard("acquire", |keyspace| {
        let mut db = keyspace.db(0);
        let busy = db.acquire(b"lock", request(b"bob", LockMode::Exclusive));
        assert_eq!(busy, Ok(Acquired::Busy));
        let other = db.acquire(b"lock", request(b"bob", LockMode::Limit(2)));
        assert_eq!(other, Ok(Acquired::OtherMode(LockMode::Exclusive)));
        let other = db.acquire(b"lock", request(b"ann", LockMode::Shared));
        assert_eq!(other, Ok(Acquired::OtherMode(LockMode::Exclusive)));
        assert_eq!(db.acquire(b"hold", request(b"ann", LockMode::Shared)), Err(WrongType));
    }),
    on_lock(
        "release",
        |keyspace| {
            assert_eq!(keyspace.db(0).release(b"lock", b"ann"), Ok(0));
            assert_eq!(keyspace.db(0).release(b"lock", b"ann"), Ok(-2));
        },
        &[(0, "unlock", "lock")],
    ),
    unheard("release", |keyspace| {
        assert_eq!(keyspace.db(0).release(b"lock", b"bob"), Ok(-1));
        assert_eq!(keyspace.db(0).release(b"hold", b"ann"), Err(WrongType));
    }),
    Mutation {
        method: "release_token",
        change: |keyspace| {
            let mut db = keyspace.db(0);
            db.acquire(b"lock", request(b"ann", LockMode::Exclusive)).unwrap();
            assert_eq!(db.release_token(b"lock", FIRST_TOKEN), 1);
            assert_eq!(db.release_token(b"lock", FIRST_TOKEN), 0);
            assert_eq!(db.release_token(b"lock", FIRST_TOKEN), -2);
        },
        events: &[(0, "lock", "lock"), (0, "unlock", "lock")],
        dirties: &[(0, "lock")],
        changes: 3,
    },
    on_lock(
        "release_tied",
        |keyspace| {
            let mut db = keyspace.db(0);
            db.release_tied(b"lock", FIRST_TOKEN, TIED_TO + 1);
            db.release_tied(b"lock", FIRST_TOKEN + 1, TIED_TO);
            assert!(db.is_tied(b"lock", FIRST_TOKEN, TIED_TO));
            db.release_tied(b"lock", FIRST_TOKEN, TIED_TO);
        },
        &[(0, "unlock", "lock")],
    ),
    ends_due_owner("is_tied", |keyspace| {
        assert!(!keyspace.db(0).is_tied(b"due-lock", FIRST_TOKEN + 1, TIED_TO));
    }),
    on_lock(
        "extend_lock",
        |keyspace| {
            let mut db = keyspace.db(0);
            assert_eq!(db.extend_lock(b"lock", b"ann", NOW_MS + 9), Ok(1));
            assert_eq!(db.extend_lock(b"lock", b"bob", NOW_MS + 9), Ok(-1));
            assert_eq!(db.extend_lock(b"new", b"bob", NOW_MS + 9), Ok(-2));
        },
        &[(0, "expire", "lock")],
    ),
    ends_due_owner("holds_lock", |keyspace| {
        assert_eq!(keyspace.db(0).holds_lock(b"lock", FIRST_TOKEN), Ok(true));
        assert_eq!(keyspace.db(0).holds_lock(b"due-lock", FIRST_TOKEN + 1), Ok(false));
    }),
    on_lock(
        "remove",
        |keyspace| assert!(keyspace.db(0).remove(b"lock", event::DEL)),
        &[(0, "del", "lock")],
    ),
    // Holds
    Mutation {
        method: "hold",
        change: |keyspace| {
            let mut db = keyspace.db(0);
            assert_eq!(db.hold(b"hold").unwrap().expect("placed").state(), HoldState::Held);
            let due = db.hold(b"due-hold").unwrap().expect("remembered");
            assert_eq!(due.state(), HoldState::Returned);
        },
        events: &[(0, "incrby", "stock"), (0, "holdexpired", "due-hold")],
        dirties: &[(0, "stock"), (0, "due-hold")],
        changes: 2,
    },
    Mutation {
        method: "place_hold",
        change: |keyspace| {
            keyspace.db(0).place_hold(b"new", item(1, 1), NOW_MS + 10_000, 10_000);
        },
        events: &[(0, "incrby", "stock"), (0, "new", "new"), (0, "hold", "new")],
        dirties: &[(0, "stock"), (0, "new")],
        changes: 2,
    },
    Mutation {
        method: "end_hold",
        change: |keyspace| {
            assert_eq!(keyspace.db(0).end_hold(b"hold", true), Ok(1));
            assert_eq!(keyspace.db(0).end_hold(b"hold", true), Ok(1));
            assert_eq!(keyspace.db(0).end_hold(b"hold", false), Ok(-1));
            assert_eq!(keyspace.db(0).end_hold(b"new", false), Ok(-2));
        },
        events: &[(0, "confirm", "hold")],
        dirties: &[(0, "hold")],
        changes: 1,
    },
    gives_back(
        "end_hold",
        |keyspace| assert_eq!(keyspace.db(0).end_hold(b"hold", false), Ok(1)),
        &[(0, "incrby", "stock"), (0, "cancel", "hold")],
    ),
    Mutation {
        method: "extend_hold",
        change: |keyspace| {
            assert_eq!(keyspace.db(0).extend_hold(b"hold", NOW_MS + 9, 8), Ok(1));
            assert_eq!(keyspace.db(0).extend_hold(b"new", NOW_MS + 9, 8), Ok(-2));
        },
        events: &[(0, "expire", "hold")],
        dirties: &[(0, "hold")],
        changes: 1,
    },
    gives_back(
        "take",
        |keyspace| assert!(keyspace.db(0).take(b"hold", event::DEL).is_some()),
        &[(0, "incrby", "stock"), (0, "del", "hold")],
    ),
    gives_back(
        "store",
        |keyspace| keyspace.db(0).store(b"hold", NewValue::Int(1), Deadline::Never, event::SET),
        &[(0, "incrby", "stock"), (0, "set", "hold")],
    ),
    Mutation {
        method: "rename",
        change: |keyspace| assert!(keyspace.db(0).rename(b"text", b"hold")),
        events: &[
            (0, "incrby", "stock"),
            (0, "new", "hold"),
            (0, "rename_from", "text"),
            (0, "rename_to", "hold"),
        ],
        dirties: &[(0, "stock"), (0, "text"), (0, "hold")],
        changes: 3,
    },
    // Leases
    unheard("grant_lease", |keyspace| {
        assert_eq!(keyspace.db(0).grant_lease(b"new", NOW_MS + 9, 1), FIRST_TOKEN + 4);
    }),
    Mutation {
        method: "fill",
        change: |keyspace| {
            assert!(keyspace.db(0).fill(b"page", LEASE, value(None)));
            assert!(keyspace.db(0).fill(b"page", LEASE, value(None)), "it was stored");
            assert!(!keyspace.db(0).fill(b"page", LEASE + 9, value(None)));
        },
        events: &[(0, "new", "page"), (0, "set", "page"), (0, "expire", "page")],
        dirties: &[(0, "page")],
        changes: 1,
    },
    unheard("fail_lease", |keyspace| {
        assert!(keyspace.db(0).fail_lease(b"page", LEASE));
        assert!(!keyspace.db(0).fail_lease(b"page", LEASE + 9));
    }),
    Mutation {
        method: "invalidate",
        change: |keyspace| {
            assert_eq!(keyspace.db(0).invalidate(b"text", None), Ok(true));
            assert_eq!(keyspace.db(0).invalidate(b"new", None), Ok(false));
            assert_eq!(keyspace.db(0).invalidate(b"lock", None), Err(WrongType));
        },
        events: &[(0, "stale", "text")],
        dirties: &[(0, "text")],
        changes: 1,
    },
    Mutation {
        method: "invalidate",
        change: |keyspace| {
            assert_eq!(keyspace.db(0).invalidate(b"text", Some(NOW_MS + 1)), Ok(true));
        },
        events: &[(0, "del", "text")],
        dirties: &[(0, "text")],
        changes: 1,
    },
    // All of them
    Mutation {
        method: "fire_timers",
        change: |keyspace| {
            keyspace.fire_timers(10);
            assert!(!keyspace.timers_due());
        },
        events: &[
            (0, "incrby", "stock"),
            (0, "holdexpired", "due-hold"),
            (0, "expired", "due-lock"),
            (0, "stale", "stale"),
        ],
        dirties: &[(0, "stock"), (0, "due-hold"), (0, "due-lock"), (0, "stale")],
        changes: 4,
    },
    Mutation {
        method: "flush",
        change: |keyspace| {
            assert_eq!(keyspace.flush(0), 7);
            let figures = keyspace.native_figures();
            assert_eq!(figures, NativeFigures::default(), "and what stood beside the keys");
        },
        events: &[],
        dirties: &[
            (0, "stock"),
            (0, "hold"),
            (0, "due-hold"),
            (0, "lock"),
            (0, "due-lock"),
            (0, "stale"),
            (0, "text"),
        ],
        changes: 7,
    },
];

#[test]
fn every_native_mutation_counts_dirties_its_watchers_and_emits_its_events() {
    check_mutations(MUTATIONS, prepared, &KEYS);
}

#[test]
fn every_native_mutation_is_noted_for_client_side_caches() {
    check_noted(MUTATIONS, prepared);
}
