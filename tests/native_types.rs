//! What the commands that Redis has say of locks, holds and leases, and KEY.INFO.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::refusals::wrong_type;
use support::resp::Reply;
use support::sim::{Sim, play};
use tollgate::config::Config;

const UNMOVABLE: &str = "(error) ERR a lock or a hold cannot be copied, moved or renamed: its \
                         name is what its owners know it by";

/// `lock` is a lock that is over in ten seconds, `hold` a live hold and `sold` an ended
/// one; `shirt` is the counter of both and `text` a string.
fn stocked() -> Sim {
    let mut config = Config::default();
    config.set("key-write-times", "yes").expect("a known option");
    config.set("enable-debug-command", "local").expect("a known option");
    let mut sim = Sim::with_config(config);
    for request in [
        "MSET shirt 5 text abc",
        "LOCK.ACQUIRE lock a PX 10000 SHARED",
        "LOCK.ACQUIRE lock b PX 4000 SHARED",
        "STOCK.HOLD hold PX 20000 shirt 2",
        "STOCK.HOLD sold PX 70000 shirt 1",
        "STOCK.CONFIRM sold",
    ] {
        let reply = sim.cli(1, request);
        assert!(!reply.contains("error"), "{request}: {reply}");
    }
    sim
}

const NATIVE: [&str; 3] = ["lock", "hold", "sold"];

/// All that there is to know of what `stocked` has.
fn state(sim: &mut Sim) -> Vec<String> {
    let looks =
        ["LOCK.INFO lock", "STOCK.INFO hold", "STOCK.INFO sold", "MGET shirt text", "DBSIZE"];
    looks.map(|request| sim.cli(3, request)).into()
}

fn sorted_keys(reply: &Reply) -> BTreeSet<String> {
    let keys = reply.elements().expect("an array").iter();
    keys.map(|key| String::from_utf8_lossy(key.text().expect("a key")).into_owned()).collect()
}

#[test]
fn they_are_keys_with_a_type_of_their_own() {
    let mut sim = stocked();
    for (key, name) in [("lock", "lock"), ("hold", "hold"), ("sold", "hold"), ("shirt", "string")] {
        assert_eq!(sim.cli(1, &format!("TYPE {key}")), name);
    }
    assert_eq!(sim.cli(1, "EXISTS lock hold sold nothing"), "(integer) 3");
    assert_eq!(sim.cli(1, "TOUCH lock hold sold nothing"), "(integer) 3");
    assert_eq!(sim.cli(1, "DBSIZE"), "(integer) 5");
    let all = sorted_keys(&sim.ask(1, &[b"KEYS", b"*"]));
    assert_eq!(all, ["hold", "lock", "shirt", "sold", "text"].map(str::to_owned).into());
}

#[test]
fn scan_finds_them_by_type() {
    let mut sim = stocked();
    for (name, expected) in [
        ("lock", &["lock"][..]),
        ("HOLD", &["hold", "sold"]),
        ("string", &["shirt", "text"]),
        ("stream", &[]),
    ] {
        let reply = sim.ask(1, &[b"SCAN", b"0", b"COUNT", b"100", b"TYPE", name.as_bytes()]);
        let parts = reply.elements().expect("cursor and keys");
        let expected = expected.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(sorted_keys(&parts[1]), expected, "{name}");
    }
}

#[test]
fn randomkey_finds_them() {
    let mut sim = stocked();
    let found: BTreeSet<String> = (0..500).map(|_| sim.cli(1, "RANDOMKEY")).collect();
    assert_eq!(found.len(), 5);
}

#[test]
fn a_locks_time_is_that_of_its_last_owner() {
    play(
        "ttl of a lock",
        "
> LOCK.ACQUIRE k a PX 10000 SHARED
(any)
> LOCK.ACQUIRE k b PX 4000 SHARED
(any)
> PTTL k
(integer) 10000
> TTL k
(integer) 10
> PEXPIRETIME k
(integer) 1893456010000
> EXPIRETIME k
(integer) 1893456010
> LOCK.RELEASE k a
(integer) 0
> PTTL k
(integer) 4000
(4000 ms later)
> PTTL k
(integer) -2
",
    );
}

#[test]
fn a_holds_time_is_until_the_units_go_back_and_then_until_it_is_forgotten() {
    play(
        "ttl of a hold",
        "
> SET shirt 5
OK
> STOCK.HOLD k PX 10000 shirt 1
(any)
> PTTL k
(integer) 10000
> PEXPIRETIME k
(integer) 1893456010000
(10000 ms later)
> PTTL k
(integer) 60000
> EXPIRETIME k
(integer) 1893456070
(60000 ms later)
> TTL k
(integer) -2
",
    );
}

#[test]
fn how_long_they_last_is_for_their_own_commands_to_change() {
    let mut sim = stocked();
    let before = state(&mut sim);
    for key in NATIVE {
        for request in [
            "EXPIRE {} 1",
            "EXPIRE {} -1",
            "PEXPIRE {} 1 XX",
            "EXPIREAT {} 1",
            "PEXPIREAT {} 1893456000001 LT",
            "PEXPIRE {} 90000 GT JITTER 5",
            "PERSIST {}",
        ] {
            let request = request.replace("{}", key);
            assert_eq!(sim.cli(1, &request), "(integer) 0", "{request}");
            assert_eq!(state(&mut sim), before, "{request}");
        }
    }
}

#[test]
fn commands_for_strings_are_refused() {
    let mut sim = stocked();
    let before = state(&mut sim);
    for key in NATIVE {
        for request in [
            "GET {}",
            "GETDEL {}",
            "GETEX {}",
            "GETEX {} PX 1",
            "GETEX {} PERSIST",
            "GETSET {} v",
            "GETRANGE {} 0 1",
            "SUBSTR {} 0 1",
            "STRLEN {}",
            "APPEND {} x",
            "SETRANGE {} 0 x",
            "SETRANGE {} 0 \"\"",
            "INCR {}",
            "DECR {}",
            "INCRBY {} 1",
            "DECRBY {} 1",
            "INCRBYFLOAT {} 1",
            "INCREX {}",
            "INCREX {} BYFLOAT 1",
            "DECRIFPOS {}",
            "SET {} v GET",
            "SET {} v XX GET",
            "SET {} v IFEQ x",
            "SET {} v IFNE x",
            "SET {} v IFDEQ 0123456789abcdef",
            "SET {} v IFDNE 0123456789abcdef",
            "DELEX {} IFEQ x",
            "DELIFEQ {} x",
            "DIGEST {}",
            "GETWITHETAG {}",
            "SETIFMATCH {} v 1",
            "SETIFGREATER {} v 1",
            "DELIFGREATER {} 1",
            "CL.THROTTLE {} 1 1 1",
            "LEASE.GET {} FOR 10",
            "LEASE.SET {} 1 v PX 10",
            "LEASE.FAIL {} 1",
            "LEASE.INVALIDATE {}",
        ] {
            let request = request.replace("{}", key);
            assert_eq!(sim.cli(1, &request), wrong_type(), "{request}");
            assert_eq!(state(&mut sim), before, "{request}");
        }
    }
    assert_eq!(sim.cli(1, "MGET lock shirt hold"), "1) (nil)\n2) \"2\"\n3) (nil)");
}

#[test]
fn conditions_on_their_being_there_see_them() {
    let mut sim = stocked();
    let before = state(&mut sim);
    for key in NATIVE {
        for (request, reply) in [
            ("SET {} v NX", "(nil)"),
            ("SETNX {} v", "(integer) 0"),
            ("MSETNX new v {} v", "(integer) 0"),
            ("MSETEX 2 new v {} v NX", "(integer) 0"),
        ] {
            let request = request.replace("{}", key);
            assert_eq!(sim.cli(1, &request), reply, "{request}");
            assert_eq!(state(&mut sim), before, "{request}");
        }
    }
}

#[test]
fn what_overwrites_any_key_overwrites_them_and_leaves_nothing_of_their_time() {
    for key in NATIVE {
        for (request, value, pttl) in [
            ("SET {} v", "v", -1),
            ("SET {} v XX", "v", -1),
            ("SET {} v KEEPTTL", "v", -1),
            ("SET {} v EX 100", "v", 100_000),
            ("SETEX {} 100 v", "v", 100_000),
            ("PSETEX {} 1000 v", "v", 1_000),
            ("MSET {} v", "v", -1),
            ("MSETEX 1 {} v", "v", -1),
            ("RENAME text {}", "abc", -1),
            ("COPY text {} REPLACE", "abc", -1),
        ] {
            let mut sim = stocked();
            let request = request.replace("{}", key);
            let reply = sim.cli(1, &request);
            assert!(!reply.contains("error"), "{request}: {reply}");
            assert_eq!(sim.cli(1, &format!("GET {key}")), format!("\"{value}\""), "{request}");
            assert_eq!(
                sim.cli(1, &format!("PTTL {key}")),
                format!("(integer) {pttl}"),
                "{request}"
            );
            // Of the three only the ended hold has a deadline as other keys have one.
            let with_deadline = usize::from(key != "sold") + usize::from(pttl > 0);
            assert_eq!(
                sim.info("db0").split(',').nth(1),
                Some(&*format!("expires={with_deadline}")),
                "{request}"
            );
            let units = if key == "hold" { "\"4\"" } else { "\"2\"" };
            assert_eq!(sim.cli(1, "GET shirt"), units, "{request}");
        }
    }
}

#[test]
fn nothing_is_copied_moved_or_renamed() {
    let mut sim = stocked();
    let before = state(&mut sim);
    for key in NATIVE {
        for request in [
            "RENAME {} other",
            "RENAME {} {}",
            "RENAMENX {} other",
            "RENAMENX {} text",
            "COPY {} other",
            "COPY {} text REPLACE",
            "COPY {} {} DB 1",
            "MOVE {} 1",
        ] {
            let request = request.replace("{}", key);
            assert_eq!(sim.cli(1, &request), UNMOVABLE, "{request}");
            assert_eq!(state(&mut sim), before, "{request}");
        }
    }
    assert_eq!(sim.cli(1, "RENAMENX text lock"), "(integer) 0");
    assert_eq!(sim.cli(1, "COPY text lock"), "(integer) 0");
    sim.cli(2, "SELECT 1");
    sim.cli(2, "SET lock here");
    assert_eq!(sim.cli(2, "MOVE lock 0"), "(integer) 0");
    assert_eq!(state(&mut sim), before);
}

#[test]
fn del_and_unlink_count_them() {
    for removal in ["DEL", "UNLINK"] {
        let mut sim = stocked();
        let reply = sim.cli(1, &format!("{removal} lock hold sold nothing"));
        assert_eq!(reply, "(integer) 3", "{removal}");
        assert_eq!(sim.cli(1, "GET shirt"), "\"4\"", "{removal}: those of the live hold are back");
        assert_eq!(sim.cli(1, "DBSIZE"), "(integer) 2", "{removal}");
    }
}

#[test]
fn delex_without_a_condition_removes_them_as_del_does() {
    for key in NATIVE {
        let mut sim = stocked();
        assert_eq!(sim.cli(1, &format!("DELEX {key}")), "(integer) 1");
        assert_eq!(sim.cli(1, &format!("EXISTS {key}")), "(integer) 0");
    }
}

#[test]
fn flushing_ends_them_and_swapping_takes_them_along() {
    for flush in ["FLUSHDB", "FLUSHALL"] {
        let mut sim = stocked();
        assert_eq!(sim.cli(1, flush), "OK");
        assert_eq!(sim.cli(1, "DBSIZE"), "(integer) 0");
        sim.cli(1, "SET shirt 100");
        sim.advance_ms(100_000);
        assert_eq!(sim.cli(1, "GET shirt"), "\"100\"", "{flush}: no units come from nowhere");
        assert_eq!(sim.info("timers"), "0", "{flush}");
    }
    let mut sim = stocked();
    let before = state(&mut sim);
    sim.cli(1, "SWAPDB 0 7");
    sim.cli(3, "SELECT 7");
    assert_eq!(state(&mut sim), before);
    sim.advance_ms(20_000);
    assert_eq!(sim.cli(3, "MGET shirt"), "1) \"4\"", "they end there as they would have here");
    assert_eq!(sim.cli(3, "EXISTS lock"), "(integer) 0");
    assert_eq!(sim.cli(1, "EXISTS shirt"), "(integer) 0");
}

#[test]
fn how_they_are_stored_can_be_looked_at() {
    let mut sim = stocked();
    sim.advance_ms(3_000);
    for key in NATIVE {
        let ask = |sim: &mut Sim, request: &str| sim.cli(1, &request.replace("{}", key));
        assert_eq!(ask(&mut sim, "OBJECT ENCODING {}"), "\"raw\"", "{key}");
        assert_eq!(ask(&mut sim, "OBJECT REFCOUNT {}"), "(integer) 1", "{key}");
        assert_eq!(ask(&mut sim, "OBJECT IDLETIME {}"), "(integer) 3", "{key}");
        let freq = ask(&mut sim, "OBJECT FREQ {}");
        assert!(freq.starts_with("(error) ERR An LFU maxmemory policy is not selected"), "{freq}");
        let debug = ask(&mut sim, "DEBUG OBJECT {}");
        assert!(debug.starts_with("Value at:0x0 refcount:1 encoding:raw serializedlength:"));
        assert!(debug.ends_with(" lru_seconds_idle:3"), "{debug}");
        let Reply::Integer(bytes) = sim.ask(1, &[b"MEMORY", b"USAGE", key.as_bytes()]) else {
            panic!("an integer");
        };
        assert!((60..600).contains(&bytes), "{key}: {bytes} bytes");
    }
}

#[test]
fn memory_usage_grows_with_owners_and_items() {
    let mut sim = Sim::new();
    let usage = |sim: &mut Sim| match sim.ask(1, &[b"MEMORY", b"USAGE", b"k"]) {
        Reply::Integer(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    let mut last = 0;
    for owner in 0..20 {
        sim.cli(1, &format!("LOCK.ACQUIRE k owner-{owner} PX 1000 SHARED"));
        let bytes = usage(&mut sim);
        assert!(bytes > last, "{owner}: {bytes}");
        last = bytes;
    }
    sim.cli(1, "DEL k");
    sim.cli(1, "MSET a 1 b 1");
    sim.cli(1, "STOCK.HOLD k PX 1000 a 1");
    let one = usage(&mut sim);
    sim.cli(1, "DEL k");
    sim.cli(1, "STOCK.HOLD k PX 1000 a 1 b 1");
    assert!(usage(&mut sim) > one);
}

#[test]
fn a_lease_without_a_value_is_no_key() {
    play(
        "no key",
        "
> LEASE.GET k FOR 1000
(any)
> EXISTS k
(integer) 0
> TYPE k
none
> PTTL k
(integer) -2
> GET k
(nil)
> KEYS *
(empty array)
> SCAN 0
1) \"0\"
2) (empty array)
> DBSIZE
(integer) 0
> RANDOMKEY
(nil)
> OBJECT ENCODING k
(nil)
> MEMORY USAGE k
(nil)
> EXPIRE k 10
(integer) 0
> PERSIST k
(integer) 0
> RENAME k other
(error) ERR no such key
> COPY k other
(integer) 0
> MOVE k 1
(integer) 0
> SET k v XX
(nil)
> LEASE.SET k 1893456000000001 v PX 10
(integer) 1
> LEASE.GET m FOR 1000
(any)
> DEL m
(integer) 0
> LEASE.SET m 1893456000000002 v PX 10
(integer) -1
",
    );
}

#[test]
fn replies_have_the_shapes_of_the_protocol() {
    for (hello, null) in [("HELLO 2", "$-1"), ("HELLO 3", "_")] {
        let map = |len: usize| {
            if hello == "HELLO 3" { format!("%{len}") } else { format!("*{}", 2 * len) }
        };
        let mut sim = stocked();
        sim.cli(2, hello);
        for (request, reply) in [
            ("LOCK.ACQUIRE new a PX 10", ":1893456000000003".to_owned()),
            ("LOCK.ACQUIRE new b PX 10", null.to_owned()),
            ("LOCK.EXTEND new a PX 10", ":1".to_owned()),
            ("LOCK.GUARD new 1893456000000003 GET nothing", null.to_owned()),
            ("LOCK.RELEASE new a", ":0".to_owned()),
            ("LOCK.INFO lock", map(4)),
            ("LOCK.INFO nothing", null.to_owned()),
            ("STOCK.HOLD new PX 10 shirt 1", "*1\r\n:1".to_owned()),
            ("STOCK.EXTEND new PX 10", ":1".to_owned()),
            ("STOCK.CANCEL new", ":1".to_owned()),
            ("STOCK.CONFIRM new", ":-1".to_owned()),
            ("STOCK.INFO shirt", map(3)),
            ("STOCK.INFO hold", map(3)),
            ("STOCK.INFO nothing", null.to_owned()),
            ("DECRIFPOS shirt", ":1".to_owned()),
            ("INCREX shirt", "*2\r\n:2\r\n:1".to_owned()),
            ("LEASE.GET page FOR 10", format!("*3\r\n$4\r\nFILL\r\n{null}\r\n:1893456000000004")),
            ("LEASE.SET page 1893456000000004 v PX 10", ":1".to_owned()),
            ("LEASE.FAIL page 1893456000000004", ":-1".to_owned()),
            ("LEASE.INVALIDATE page", ":1".to_owned()),
            ("KEY.INFO page", map(13)),
            ("KEY.INFO nothing", null.to_owned()),
        ] {
            sim.send_raw(2, format!("{request}\r\n").as_bytes());
            let bytes = String::from_utf8_lossy(&sim.take_bytes(2)).into_owned();
            assert!(bytes.starts_with(&format!("{reply}\r\n")), "{hello}, {request}: {bytes}");
        }
    }
}

// KEY.INFO

const FIELDS: [&str; 13] = [
    "type", "bytes", "encoding", "age-ms", "pttl", "state", "fresh-ms", "lease", "version",
    "owners", "held", "holds", "waiters",
];

/// KEY.INFO, each field as redis-cli shows it.
fn key_info(sim: &mut Sim, key: &str) -> BTreeMap<String, String> {
    let reply = sim.ask(1, &[b"KEY.INFO", key.as_bytes()]);
    let pairs = reply.pairs().unwrap_or_else(|| panic!("{key}: {reply:?}"));
    let text = |reply: &Reply| support::resp::format_cli(reply).trim_end().to_owned();
    let names: Vec<String> = pairs.iter().map(|(name, _)| text(name).replace('"', "")).collect();
    assert_eq!(names, FIELDS, "{key}");
    names.into_iter().zip(pairs.iter().map(|(_, value)| text(value))).collect()
}

#[track_caller]
fn check_key_info(sim: &mut Sim, key: &str, expected: &[(&str, &str)]) {
    let info = key_info(sim, key);
    for (name, value) in expected {
        assert_eq!(info[*name], *value, "{key}: {name}");
    }
}

#[test]
fn key_info_is_nil_where_nothing_is_known() {
    let mut sim = Sim::new();
    assert_eq!(sim.cli(1, "KEY.INFO k"), "(nil)");
    assert_eq!(sim.cli(1, "KEY.INFO"), support::refusals::wrong_count("key.info"));
    assert_eq!(sim.cli(1, "KEY.INFO k k"), support::refusals::wrong_count("key.info"));
}

#[test]
fn key_info_tells_all_of_a_lock() {
    let mut sim = stocked();
    sim.cli(2, "LOCK.ACQUIRE lock w PX 10 WAIT 5000");
    sim.advance_ms(1_000);
    check_key_info(
        &mut sim,
        "lock",
        &[
            ("type", "\"lock\""),
            ("encoding", "\"raw\""),
            ("age-ms", "(integer) 1000"),
            ("pttl", "(integer) 9000"),
            ("state", "(nil)"),
            ("fresh-ms", "(nil)"),
            ("lease", "(nil)"),
            ("version", "(nil)"),
            ("owners", "1) \"a\"\n2) \"b\""),
            ("held", "(integer) 0"),
            ("holds", "(empty array)"),
            ("waiters", "(integer) 1"),
        ],
    );
}

#[test]
fn key_info_tells_all_of_a_hold_and_of_its_counter() {
    let mut sim = stocked();
    sim.advance_ms(1_000);
    check_key_info(
        &mut sim,
        "hold",
        &[("type", "\"hold\""), ("pttl", "(integer) 19000"), ("state", "(nil)")],
    );
    check_key_info(&mut sim, "sold", &[("type", "\"hold\""), ("pttl", "(integer) 69000")]);
    check_key_info(
        &mut sim,
        "shirt",
        &[
            ("type", "\"string\""),
            ("encoding", "\"int\""),
            ("age-ms", "(integer) 1000"),
            ("pttl", "(integer) -1"),
            ("state", "\"fresh\""),
            ("fresh-ms", "(nil)"),
            ("owners", "(empty array)"),
            ("held", "(integer) 2"),
            ("holds", "1) \"hold\""),
            ("waiters", "(integer) 0"),
        ],
    );
}

#[test]
fn key_info_tells_all_of_a_lease_with_and_without_a_value() {
    let mut config = Config::default();
    config.set("key-write-times", "yes").expect("a known option");
    let mut sim = Sim::with_config(config);
    sim.cli(1, "LEASE.GET k FOR 1000");
    assert_eq!(sim.cli(2, "LEASE.GET k FOR 1000 WAIT 500"), "");
    let lease = "1) \"holder\"\n2) (integer) 1\n3) \"token\"\n4) (integer) 1893456000000001\n5) \
                 \"pttl\"\n6) (integer) 1000";
    check_key_info(
        &mut sim,
        "k",
        &[
            ("type", "\"none\""),
            ("bytes", "(integer) 0"),
            ("encoding", "(nil)"),
            ("age-ms", "(nil)"),
            ("pttl", "(integer) -2"),
            ("state", "(nil)"),
            ("lease", lease),
            ("waiters", "(integer) 1"),
        ],
    );
    sim.cli(1, "LEASE.SET k 1893456000000001 v PX 1000 STALE 500");
    sim.advance_ms(600);
    check_key_info(
        &mut sim,
        "k",
        &[
            ("type", "\"string\""),
            ("age-ms", "(integer) 600"),
            ("pttl", "(integer) 900"),
            ("state", "\"fresh\""),
            ("fresh-ms", "(integer) 400"),
            ("lease", "(nil)"),
        ],
    );
    sim.advance_ms(400);
    check_key_info(
        &mut sim,
        "k",
        &[("pttl", "(integer) 500"), ("state", "\"stale\""), ("fresh-ms", "(integer) 0")],
    );
    sim.cli(1, "HELLO 3");
    sim.cli(1, "LEASE.GET k FOR 1000");
    let info = sim.cli(1, "KEY.INFO k");
    assert!(info.contains("8# \"lease\" => \n    1# \"holder\" => (integer) 1\n"), "{info}");
    assert!(info.contains("10# \"owners\" => (empty array)"), "{info}");
}

#[test]
fn key_info_does_not_know_the_age_unless_write_times_are_kept() {
    let mut sim = Sim::new();
    sim.cli(1, "SET k v");
    sim.cli(1, "LOCK.ACQUIRE l a PX 1000");
    for key in ["k", "l"] {
        check_key_info(&mut sim, key, &[("age-ms", "(nil)")]);
    }
}

#[test]
fn the_age_is_forgotten_with_the_first_write_after_write_times_have_been_switched_off() {
    let mut sim = Sim::new();
    sim.cli(1, "CONFIG SET key-write-times yes");
    let writes = [
        "SET k v",
        "SETRANGE k 0 w",
        "APPEND k w",
        "SET k 1",
        "INCR k",
        "LOCK.ACQUIRE l a PX 1000",
    ];
    for write in writes {
        let key = if write.contains(" l ") { "l" } else { "k" };
        sim.cli(1, "CONFIG SET key-write-times yes");
        sim.cli(1, write);
        sim.advance_ms(100);
        check_key_info(&mut sim, key, &[("age-ms", "(integer) 100")]);
        sim.cli(1, "CONFIG SET key-write-times no");
        check_key_info(&mut sim, key, &[("age-ms", "(integer) 100")]);
        sim.cli(1, write);
        check_key_info(&mut sim, key, &[("age-ms", "(nil)")]);
    }
}

#[test]
fn a_transaction_sees_what_its_watched_locks_and_holds_have_become() {
    for (change, key) in [
        ("> DEL lock", "lock"),
        ("> SET lock v", "lock"),
        ("> FLUSHDB", "hold"),
        ("> SWAPDB 0 1", "lock"),
        ("(10000 ms later)", "lock"),
        ("(20000 ms later)", "hold"),
        ("(70000 ms later)", "sold"),
    ] {
        let mut sim = stocked();
        sim.cli(2, &format!("WATCH {key}"));
        sim.act(change);
        sim.cli(2, "MULTI");
        assert_eq!(sim.cli(2, "EXEC"), "(nil)", "{change}: {key}");
    }
    for harmless in ["EXPIRE lock 1", "PERSIST sold", "GET lock", "TYPE hold", "RENAME hold x"] {
        let mut sim = stocked();
        sim.cli(2, "WATCH lock hold sold");
        sim.cli(1, harmless);
        sim.cli(2, "MULTI");
        assert_eq!(sim.cli(2, "EXEC"), "(empty array)", "{harmless}");
    }
}

#[test]
fn what_is_over_counts_as_expired() {
    let mut sim = stocked();
    sim.advance_ms(10_000);
    assert_eq!(sim.info("expired_keys"), "1", "a lock, with the last of its owners");
    sim.advance_ms(60_000);
    assert_eq!(sim.info("expired_keys"), "2", "and the memory of a hold");
}
