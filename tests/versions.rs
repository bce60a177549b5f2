//! Versions of strings: SET WITHETAG, GETWITHETAG, GETIFNOTMATCH, SETIFMATCH,
//! SETIFGREATER, DELIFGREATER, and what every other command makes of a version.

mod support;

use std::collections::BTreeMap;

use support::resp::Reply;
use support::sim::{Sim, play};
use tollgate::config::Config;

#[test]
fn set_with_etag_answers_the_version() {
    play(
        "set_with_etag_answers_the_version",
        r#"
> SET k a WITHETAG
(integer) 1
> SET k b withetag
(integer) 2
> SET k c WITHETAG WITHETAG
(integer) 3
> SET k d NX WITHETAG
(nil)
> SET k d WITHETAG XX
(integer) 4
> SET new d XX WITHETAG
(nil)
> EXISTS new
(integer) 0
> SET k e WITHETAG IFEQ other
(nil)
> SET k e IFEQ d WITHETAG EX 10
(integer) 5
> SET k f WITHETAG KEEPTTL
(integer) 6
> TTL k
(integer) 10
> SET k g WITHETAG PX 5000 JITTER 0
(integer) 7
> PTTL k
(integer) 5000
> SET k h WITHETAG
(integer) 8
> TTL k
(integer) -1
> SET k i WITHETAG GET
(error) ERR WITHETAG option not allowed with GET inside of SET
> SET k i GET NX WITHETAG
(error) ERR WITHETAG option not allowed with GET inside of SET
> SET k i WITHETAG JITTER 10
(error) ERR JITTER requires EX, PX, EXAT or PXAT
> SET k i WITHETAG 1
(error) ERR syntax error
> GETWITHETAG k
1) (integer) 8
2) "h"
> SET plain 1
OK
> SET plain 2 WITHETAG
(integer) 1
"#,
    );
}

#[test]
fn a_string_is_read_with_its_version() {
    play(
        "a_string_is_read_with_its_version",
        r#"
> GETWITHETAG k
(nil)
> GETIFNOTMATCH k 0
(nil)
> GETIFNOTMATCH k x
(error) ETAG must be a numerical value greater than or equal to 0
> SET k 12
OK
> GETWITHETAG k
1) (integer) 0
2) "12"
> GETIFNOTMATCH k 0
1) (integer) 0
2) (nil)
> GETIFNOTMATCH k 1
1) (integer) 0
2) "12"
> SET k 13 WITHETAG
(integer) 1
> GETWITHETAG k
1) (integer) 1
2) "13"
> GETIFNOTMATCH k 1
1) (integer) 1
2) (nil)
> GETIFNOTMATCH k 0
1) (integer) 1
2) "13"
> GETIFNOTMATCH k 9223372036854775807
1) (integer) 1
2) "13"
> GETIFNOTMATCH k 9223372036854775808
(error) ETAG must be a numerical value greater than or equal to 0
> GETIFNOTMATCH k -1
(error) ETAG must be a numerical value greater than or equal to 0
> GETIFNOTMATCH k 01
(error) ETAG must be a numerical value greater than or equal to 0
> GETIFNOTMATCH k
(error) ERR wrong number of arguments for 'getifnotmatch' command
> GETWITHETAG k 1
(error) ERR wrong number of arguments for 'getwithetag' command
> GET k
"13"
"#,
    );
}

#[test]
fn setifmatch_stores_the_next_version_over_the_one_it_names() {
    play(
        "setifmatch_stores_the_next_version_over_the_one_it_names",
        r#"
> SET k one WITHETAG
(integer) 1
> SETIFMATCH k two 1738
1) (integer) 1
2) "one"
> SETIFMATCH k two 0
1) (integer) 1
2) "one"
> SETIFMATCH k two 1738 NOGET
1) (integer) 1
2) (nil)
> SETIFMATCH k two 1
1) (integer) 2
2) (nil)
> SETIFMATCH k two 1
1) (integer) 2
2) "two"
> SETIFMATCH k 3 2 noget
1) (integer) 3
2) (nil)
> GET k
"3"
> DEL k
(integer) 1
> SETIFMATCH k four 7
1) (integer) 8
2) (nil)
> SET plain one
OK
> SETIFMATCH plain two 5
1) (integer) 0
2) "one"
> SETIFMATCH plain two 0
1) (integer) 1
2) (nil)
> GETWITHETAG plain
1) (integer) 1
2) "two"
"#,
    );
}

#[test]
fn setifgreater_stores_the_version_it_names_over_an_older_one() {
    play(
        "setifgreater_stores_the_version_it_names_over_an_older_one",
        r#"
> SETIFGREATER k a 10
1) (integer) 10
2) (nil)
> SETIFGREATER k b 10
1) (integer) 10
2) "a"
> SETIFGREATER k b 9
1) (integer) 10
2) "a"
> SETIFGREATER k b 9 NOGET
1) (integer) 10
2) (nil)
> SETIFGREATER k b 11
1) (integer) 11
2) (nil)
> SETIFMATCH k c 11
1) (integer) 12
2) (nil)
> SET plain a
OK
> SETIFGREATER plain b 0
1) (integer) 0
2) "a"
> SETIFGREATER plain b 1
1) (integer) 1
2) (nil)
> SETIFGREATER zero a 0
1) (integer) 0
2) (nil)
> APPEND zero b
(integer) 2
> GETWITHETAG zero
1) (integer) 1
2) "ab"
"#,
    );
}

#[test]
fn delifgreater_removes_older_versions() {
    play(
        "delifgreater_removes_older_versions",
        r#"
> DELIFGREATER k 1
(integer) 0
> SETIFGREATER k a 10
1) (integer) 10
2) (nil)
> DELIFGREATER k 9
(integer) 0
> DELIFGREATER k 10
(integer) 0
> DELIFGREATER k x
(error) ETAG must be a numerical value greater than or equal to 0
> DELIFGREATER k -1
(error) ETAG must be a numerical value greater than or equal to 0
> EXISTS k
(integer) 1
> DELIFGREATER k 9223372036854775807
(integer) 1
> EXISTS k
(integer) 0
> SET k a
OK
> DELIFGREATER k 0
(integer) 0
> DELIFGREATER k 1
(integer) 1
> DELIFGREATER k
(error) ERR wrong number of arguments for 'delifgreater' command
"#,
    );
}

#[test]
fn both_keep_the_ttl_or_set_one() {
    for (command, first) in [("SETIFMATCH", 0), ("SETIFGREATER", 1)] {
        let mut sim = Sim::new();
        let mut etag = first;
        let mut store = |sim: &mut Sim, options: &str| {
            let reply = sim.cli(1, &format!("{command} k v {etag} {options}"));
            assert!(reply.ends_with("2) (nil)"), "{command} {options}: {reply}");
            etag += 1;
            sim.cli(1, "PTTL k")
        };
        assert_eq!(store(&mut sim, ""), "(integer) -1");
        assert_eq!(store(&mut sim, "EX 10"), "(integer) 10000");
        assert_eq!(store(&mut sim, ""), "(integer) 10000", "kept");
        assert_eq!(store(&mut sim, "px 500 NOGET"), "(integer) 500");
        assert_eq!(store(&mut sim, "PERSIST"), "(integer) -1");
        assert_eq!(store(&mut sim, "EXAT 1893456060"), "(integer) 60000");
        assert_eq!(store(&mut sim, "PXAT 1893456000300"), "(integer) 300");
        let shortened: Vec<String> =
            (0..20).map(|_| store(&mut sim, "PX 100000 JITTER 10")).collect();
        for ttl in &shortened {
            let ttl: u64 = ttl.trim_start_matches("(integer) ").parse().expect("a number");
            assert!((90_000..=100_000).contains(&ttl), "{ttl}");
        }
        assert!(shortened.iter().any(|ttl| ttl != &shortened[0]));
        assert_eq!(store(&mut sim, "PX 5"), "(integer) 5");
        sim.advance_ms(5);
        assert_eq!(sim.cli(1, "GETWITHETAG k"), "(nil)");
    }
}

#[test]
fn words_that_do_not_fit_are_refused_and_change_nothing() {
    for command in ["SETIFMATCH", "SETIFGREATER"] {
        let mut sim = Sim::new();
        sim.cli(1, "SET k v WITHETAG");
        let lower = command.to_ascii_lowercase();
        for (rest, error) in [
            ("w", format!("ERR wrong number of arguments for '{lower}' command")),
            ("w 1 EX", "ERR syntax error".to_owned()),
            ("w 1 EX x", "ERR value is not an integer or out of range".to_owned()),
            ("w 1 EX 0", format!("ERR invalid expire time in '{lower}' command")),
            ("w 1 PX -1", format!("ERR invalid expire time in '{lower}' command")),
            ("w 1 PX 9223372036854775807", format!("ERR invalid expire time in '{lower}' command")),
            ("w 1 EX 1 PX 1", "ERR syntax error".to_owned()),
            ("w 1 EX 1 PERSIST", "ERR syntax error".to_owned()),
            ("w 1 KEEPTTL", "ERR syntax error".to_owned()),
            ("w 1 NOGET NOGET", "ERR syntax error".to_owned()),
            ("w 1 JITTER 10", "ERR JITTER requires EX, PX, EXAT or PXAT".to_owned()),
            ("w 1 NX", "ERR syntax error".to_owned()),
            // What the ETag is comes before what the options are.
            ("w x NX", "ETAG must be a numerical value greater than or equal to 0".to_owned()),
            ("w -1", "ETAG must be a numerical value greater than or equal to 0".to_owned()),
            (
                "w 9000000000000000001",
                "ETAG must be a numerical value between 0 and 9000000000000000000".to_owned(),
            ),
        ] {
            let request = format!("{command} k {rest}");
            assert_eq!(sim.cli(1, &request), format!("(error) {error}"), "{request}");
        }
        assert_eq!(sim.cli(1, "GETWITHETAG k"), "1) (integer) 1\n2) \"v\"");
        let largest = sim.cli(1, &format!("{command} new v 9000000000000000000"));
        assert!(largest.starts_with("1) (integer) 90000000000000000"), "{largest}");
    }
}

/// What each command leaves of version 3 of the key `k`, a number: the version
/// after it, 0 for none, or nothing where the key is gone.
#[test]
fn every_other_write_counts_or_forgets_the_version() {
    let next = Some(4);
    let same = Some(3);
    let none = Some(0);
    for (requests, left) in [
        // Made from the version before: the next one.
        ("INCR k", next),
        ("INCRBY k 0", next),
        ("DECR k", next),
        ("DECRBY k 2", next),
        ("INCRBYFLOAT k 1.5", next),
        ("INCREX k BYINT 2 EX 9 ENX", next),
        ("DECRIFPOS k", next),
        ("APPEND k 0", next),
        ("SETRANGE k 1 7", next),
        ("SETRANGE k 2000 7", next),
        ("STOCK.HOLD h PX 1000 k 1", next),
        ("STOCK.HOLD h PX 1000 k 1;STOCK.CANCEL h", Some(5)),
        ("SET k 9 WITHETAG", next),
        ("SET k 9 WITHETAG KEEPTTL", next),
        // Nothing was stored.
        ("APPEND k \"\"", same),
        ("SETRANGE k 1 \"\"", same),
        ("INCREX k UBOUND 1", same),
        ("DECRIFPOS k 1000", same),
        ("STOCK.HOLD h PX 1000 k 1000", same),
        ("SET k 9 NX", same),
        ("SET k 9 IFEQ 8", same),
        ("SETNX k 9", same),
        ("MSETNX k 9 l 9", same),
        ("MSETEX 1 k 9 NX", same),
        ("SETIFMATCH k 9 2", same),
        ("SETIFGREATER k 9 3", same),
        ("DELIFGREATER k 3", same),
        ("DELEX k IFEQ x", same),
        ("INCRBY k 9223372036854775807", same),
        // The value is not what they change.
        ("GET k", same),
        ("GETEX k EX 100", same),
        ("EXPIRE k 100", same),
        ("EXPIRE k 100;PERSIST k", same),
        ("TOUCH k", same),
        ("LEASE.GET k FOR 100", same),
        ("LEASE.INVALIDATE k STALE 1000", same),
        ("RENAME k k", same),
        ("COPY k l", same),
        ("RENAMENX k l;SET l 1;RENAME l k", none),
        ("SWAPDB 0 1;SWAPDB 0 1", same),
        // Put in the place of whatever was there.
        ("SET k 9", none),
        ("SET k 9 KEEPTTL", none),
        ("SET k 9 XX GET", none),
        ("SET k 9 IFEQ 42", none),
        ("SETEX k 10 9", none),
        ("PSETEX k 10000 9", none),
        ("GETSET k 9", none),
        ("MSET k 9", none),
        ("MSETEX 1 k 9", none),
        ("SET l 1 WITHETAG;RENAME l k", none),
        ("SET l 1 WITHETAG;COPY l k REPLACE", none),
        // Another key, whatever its name.
        ("DEL k;SET k 9 WITHETAG", Some(1)),
        ("GETDEL k;INCR k", none),
        ("RENAME k l;RENAME l k", none),
        ("MOVE k 1;SELECT 1", none),
        ("COPY k l;RENAME l k", none),
        ("FLUSHALL;SET k 9 WITHETAG", Some(1)),
        ("DEL k", None),
        ("DELIFGREATER k 4", None),
    ] {
        let mut sim = Sim::new();
        for value in ["40", "41", "42"] {
            sim.cli(1, &format!("SET k {value} WITHETAG"));
        }
        for request in requests.split(';') {
            let reply = sim.cli(1, request);
            let unknown = ["unknown command", "syntax error", "wrong number"];
            assert!(!unknown.iter().any(|text| reply.contains(text)), "{request}: {reply}");
        }
        let etag = sim.ask(1, &[b"GETWITHETAG", b"k"]);
        let etag = etag.elements().map(|elements| match elements[0] {
            Reply::Integer(etag) => etag,
            _ => panic!("{requests}: {etag:?}"),
        });
        assert_eq!(etag, left, "{requests}");
    }
}

#[test]
fn a_key_that_expires_takes_its_version_along() {
    play(
        "a_key_that_expires_takes_its_version_along",
        r#"
> SET k 1 WITHETAG
(integer) 1
> SET k 2 WITHETAG PX 100
(integer) 2
(99 ms later)
> INCR k
(integer) 3
> GETWITHETAG k
1) (integer) 3
2) "3"
(1 ms later)
> INCR k
(integer) 1
> GETWITHETAG k
1) (integer) 0
2) "1"
> SET k 1 WITHETAG PX 100
(integer) 1
> SETIFMATCH k 2 1
1) (integer) 2
2) (nil)
(100 ms later)
> SET k 3 WITHETAG XX
(nil)
> SET k 3 WITHETAG
(integer) 1
"#,
    );
}

#[test]
fn locks_and_holds_have_no_versions() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE lock me PX 1000");
    sim.cli(1, "SET stock 5");
    sim.cli(1, "STOCK.HOLD hold PX 1000 stock 2");
    for key in ["lock", "hold"] {
        for request in [
            format!("GETWITHETAG {key}"),
            format!("GETIFNOTMATCH {key} 0"),
            format!("SETIFMATCH {key} v 0"),
            format!("SETIFGREATER {key} v 1"),
            format!("DELIFGREATER {key} 1"),
        ] {
            let reply = sim.cli(1, &request);
            assert!(reply.starts_with("(error) WRONGTYPE "), "{request}: {reply}");
        }
    }
    // SET replaces whatever is there.
    assert_eq!(sim.cli(1, "SET lock v WITHETAG"), "(integer) 1");
    assert_eq!(sim.cli(1, "SET hold v WITHETAG"), "(integer) 1");
    assert_eq!(sim.cli(1, "GET stock"), "\"5\"", "the units are back");
}

#[test]
fn a_lease_and_a_version_do_not_disturb_each_other() {
    let mut sim = Sim::new();
    sim.cli(1, "SET page a WITHETAG");
    sim.cli(1, "LEASE.INVALIDATE page STALE 5000");
    let token = match sim.ask(2, &[b"LEASE.GET", b"page", b"FOR", b"1000"]).elements() {
        Some([_, _, Reply::Integer(token)]) => *token,
        other => panic!("{other:?}"),
    };
    // A conditional write is a write: the filler comes too late, and the value is
    // fresh again.
    assert_eq!(sim.cli(1, "SETIFMATCH page b 1"), "1) (integer) 2\n2) (nil)");
    assert_eq!(sim.cli(2, &format!("LEASE.SET page {token} old PX 1000")), "(integer) -1");
    assert_eq!(
        sim.cli(2, "LEASE.GET page FOR 1000"),
        "1) \"HIT\"\n2) \"b\"\n3) (nil)",
        "fresh, and its deadline still that of the stale value"
    );
    // One that is refused is none.
    sim.cli(1, "LEASE.INVALIDATE page STALE 5000");
    let reply = sim.ask(2, &[b"LEASE.GET", b"page", b"FOR", b"1000"]);
    let Some([_, _, Reply::Integer(token)]) = reply.elements() else { panic!("{reply:?}") };
    assert_eq!(sim.cli(1, "SETIFMATCH page c 1"), "1) (integer) 2\n2) \"b\"");
    assert_eq!(sim.cli(2, &format!("LEASE.SET page {token} c PX 1000 STALE 100")), "(integer) 1");
    assert_eq!(sim.cli(1, "GETWITHETAG page"), "1) (integer) 0\n2) \"c\"");
    // Deadline, freshness and version beside each other, coming and going.
    assert_eq!(sim.cli(1, "SETIFMATCH page longer-than-before 0"), "1) (integer) 1\n2) (nil)");
    assert_eq!(sim.cli(1, "PTTL page"), "(integer) 1100");
    sim.cli(1, "LEASE.INVALIDATE page STALE 500");
    assert_eq!(sim.cli(1, "APPEND page !"), "(integer) 19");
    assert_eq!(sim.cli(1, "GETWITHETAG page"), "1) (integer) 2\n2) \"longer-than-before!\"");
    sim.advance_ms(1_100);
    assert_eq!(sim.cli(1, "GETWITHETAG page"), "(nil)");
}

#[test]
fn the_replies_on_the_wire() {
    let mut sim = Sim::new();
    for (request, resp2, resp3) in [
        ("GETWITHETAG none", "$-1\r\n", "_\r\n"),
        ("GETIFNOTMATCH none 1", "$-1\r\n", "_\r\n"),
        ("SET k v WITHETAG", ":1\r\n", ":1\r\n"),
        ("SET k v NX WITHETAG", "$-1\r\n", "_\r\n"),
        ("GETWITHETAG k", "*2\r\n:1\r\n$1\r\nv\r\n", "*2\r\n:1\r\n$1\r\nv\r\n"),
        ("GETIFNOTMATCH k 1", "*2\r\n:1\r\n$-1\r\n", "*2\r\n:1\r\n_\r\n"),
        ("SETIFMATCH k w 7", "*2\r\n:1\r\n$1\r\nv\r\n", "*2\r\n:1\r\n$1\r\nv\r\n"),
        ("SETIFMATCH k w 7 NOGET", "*2\r\n:1\r\n$-1\r\n", "*2\r\n:1\r\n_\r\n"),
        ("SETIFMATCH k 12 1", "*2\r\n:2\r\n$-1\r\n", "*2\r\n:2\r\n_\r\n"),
        ("SETIFGREATER k w 2", "*2\r\n:2\r\n$2\r\n12\r\n", "*2\r\n:2\r\n$2\r\n12\r\n"),
        ("SETIFGREATER k w 3", "*2\r\n:3\r\n$-1\r\n", "*2\r\n:3\r\n_\r\n"),
        ("DELIFGREATER k 3", ":0\r\n", ":0\r\n"),
        ("DELIFGREATER k 4", ":1\r\n", ":1\r\n"),
    ] {
        for (client, db, expected) in [(2, 2, resp2), (3, 3, resp3)] {
            if !sim.is_connected(client) {
                sim.cli(client, &format!("HELLO {client}"));
                sim.cli(client, &format!("SELECT {db}"));
            }
            sim.send_raw(client, format!("{request}\r\n").as_bytes());
            let bytes = sim.take_bytes(client);
            assert_eq!(String::from_utf8_lossy(&bytes), expected, "RESP{client}: {request}");
        }
    }
}

#[test]
fn a_transaction_may_hold_them_and_watch_sees_them() {
    play(
        "a_transaction_may_hold_them_and_watch_sees_them",
        r#"
> SET k a WITHETAG
(integer) 1
> WATCH k
OK
2> SETIFMATCH k b 7
1) (integer) 1
2) "a"
2> GETWITHETAG k
1) (integer) 1
2) "a"
2> DELIFGREATER k 1
(integer) 0
> MULTI
OK
> SETIFMATCH k b 1
QUEUED
> SETIFMATCH k c 1
QUEUED
> SETIFGREATER k d 9
QUEUED
> SET k e WITHETAG
QUEUED
> GETIFNOTMATCH k 10
QUEUED
> EXEC
1) 1) (integer) 2
   2) (nil)
2) 1) (integer) 2
   2) "b"
3) 1) (integer) 9
   2) (nil)
4) (integer) 10
5) 1) (integer) 10
   2) (nil)
> WATCH k
OK
2> SETIFMATCH k f 10
1) (integer) 11
2) (nil)
> MULTI
OK
> GET k
QUEUED
> EXEC
(nil)
> WATCH k
OK
2> DELIFGREATER k 12
(integer) 1
> MULTI
OK
> GET k
QUEUED
> EXEC
(nil)
"#,
    );
}

#[test]
fn they_emit_the_events_of_set_and_del() {
    let mut config = Config::default();
    config.set("notify-keyspace-events", "KEAmn").expect("known letters");
    let mut sim = Sim::with_config(config);
    sim.cli(2, "PSUBSCRIBE __keyevent@0__:*");
    for (request, expected) in [
        ("GETWITHETAG k", "keymiss"),
        ("GETIFNOTMATCH k 0", "keymiss"),
        ("DELIFGREATER k 0", ""),
        ("SETIFMATCH k v 0", "new set"),
        ("SETIFMATCH k v 0", ""),
        ("SETIFMATCH k v 1", "set"),
        ("SETIFMATCH k v 2 EX 10", "set expire"),
        ("SETIFMATCH k v 3 PERSIST", "set persist"),
        ("SETIFMATCH k v 4 PERSIST", "set"),
        ("SETIFGREATER k v 5", ""),
        ("SETIFGREATER k v 6 PX 10", "set expire"),
        ("SET k v WITHETAG", "set"),
        ("SET k v WITHETAG EX 10", "set expire"),
        ("GETWITHETAG k", ""),
        ("DELIFGREATER k 8", ""),
        ("DELIFGREATER k 9", "del"),
    ] {
        sim.cli(1, request);
        let mut events = Vec::new();
        while let Some(message) = sim.take_reply(2) {
            let channel = message.elements().and_then(|elements| elements[2].text());
            let channel = String::from_utf8_lossy(channel.expect("a message")).into_owned();
            events.push(channel.trim_start_matches("__keyevent@0__:").to_owned());
        }
        assert_eq!(events.join(" "), expected, "{request}");
    }
}

#[test]
fn a_value_that_comes_back_is_another_version() {
    let mut sim = Sim::new();
    sim.cli(1, "SET seat free WITHETAG");
    let seen = sim.cli(1, "GETWITHETAG seat");
    assert_eq!(seen, "1) (integer) 1\n2) \"free\"");
    // Somebody takes the seat and gives it back.
    sim.cli(2, "SET seat bob WITHETAG");
    sim.cli(2, "SET seat free WITHETAG");
    // By value it looks as if nothing had happened.
    assert_eq!(sim.cli(1, "SET copy free"), "OK");
    assert_eq!(sim.cli(1, "SET copy alice IFEQ free"), "OK");
    assert_eq!(sim.cli(1, "SETIFMATCH seat alice 1"), "1) (integer) 3\n2) \"free\"");
    assert_eq!(sim.cli(1, "SETIFMATCH seat alice 3"), "1) (integer) 4\n2) (nil)");
}

#[test]
fn only_keys_with_a_version_pay_for_one() {
    let mut sim = Sim::new();
    let mut usage = |request: &str| {
        sim.cli(1, request);
        match sim.ask(1, &[b"MEMORY", b"USAGE", b"key"]) {
            Reply::Integer(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    };
    let plain = usage("SET key value");
    let versioned = usage("SET key value WITHETAG");
    assert_eq!(versioned - plain, 8);
    assert_eq!(usage("SETIFMATCH key value 1"), versioned);
    assert_eq!(usage("SET key value"), plain);
}

/// Clients add one to a number by reading it, and storing what they computed if
/// nobody was there meanwhile; others count with INCR, or write it twice. However
/// they interleave, no addition is lost and versions only grow.
#[test]
fn no_update_is_lost_under_any_interleaving() {
    const CLIENTS: usize = 6;
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = Sim::new();
        sim.cli(1, "SET n 0 WITHETAG");
        let (mut added, mut conflicts, mut last) = (0, 0, 1);
        // What each client has read and not answered yet.
        let mut known: [Option<(i64, i64)>; CLIENTS] = [None; CLIENTS];
        for _ in 0..500 {
            let client = rng.usize(..CLIENTS);
            match (known[client], rng.u8(..10)) {
                (_, 0) => {
                    sim.cli(2 + client, "INCR n");
                    added += 1;
                    last += 1;
                }
                (_, 1) => {
                    sim.cli(2 + client, "INCRBY n 5");
                    sim.cli(2 + client, "INCRBY n -5");
                    last += 2;
                }
                (None, _) => {
                    known[client] = Some(pair(&sim.ask(2 + client, &[b"GETWITHETAG", b"n"])));
                }
                (Some((etag, number)), _) => {
                    let request = format!("SETIFMATCH n {} {etag}", number + 1);
                    sim.send_raw(2 + client, format!("{request}\r\n").as_bytes());
                    let reply = sim.take_reply(2 + client).expect("a reply");
                    known[client] = match reply.elements() {
                        Some([Reply::Integer(new), value]) if value.text().is_none() => {
                            assert_eq!(*new, etag + 1);
                            assert_eq!(last, etag, "it was the latest");
                            added += 1;
                            last += 1;
                            None
                        }
                        _ => {
                            conflicts += 1;
                            Some(pair(&reply))
                        }
                    };
                    if let Some((latest, _)) = known[client] {
                        assert!(latest > etag, "a conflict names a later version");
                    }
                }
            }
            assert_eq!(pair(&sim.ask(1, &[b"GETWITHETAG", b"n"])), (last, added), "seed {seed}");
        }
        assert!(conflicts > 20, "seed {seed}: only {conflicts} conflicts");
    }
}

/// An array of a version and a number.
fn pair(reply: &Reply) -> (i64, i64) {
    let Some([Reply::Integer(etag), value]) = reply.elements() else { panic!("{reply:?}") };
    let text = str::from_utf8(value.text().expect("a string")).expect("ASCII");
    (*etag, text.parse().expect("a number"))
}

/// A key as the model keeps it: value and version, 0 for none.
type Model = BTreeMap<&'static str, (String, i64)>;

/// Random requests against a model of ten lines, through all forms of storage:
/// numbers, short strings, long ones apart, with and without deadlines.
#[test]
fn random_requests_agree_with_a_model() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = Sim::new();
        let mut model = Model::new();
        for step in 0..300 {
            let key = ["a", "b", "c"][rng.usize(..3)];
            let value = match rng.u8(..4) {
                0 => rng.i64(-5..100).to_string(),
                1 => "x".repeat(rng.usize(..40)) + "y",
                2 => "z".repeat(1_000 + rng.usize(..60)),
                _ => rng.alphabetic().to_string(),
            };
            let current = model.get(key).map_or(0, |(_, etag)| *etag);
            let etag = (current + rng.i64(-2..3)).max(0);
            let (request, stored) = match rng.u8(..10) {
                0 => (format!("SET {key} {value}"), Some((value, 0))),
                1 => (format!("SET {key} {value} WITHETAG"), Some((value, current + 1))),
                2 | 3 => {
                    let admitted = !model.contains_key(key) || etag == current;
                    (
                        format!("SETIFMATCH {key} {value} {etag} PX 100000"),
                        admitted.then_some((value, etag + 1)),
                    )
                }
                4 | 5 => {
                    let admitted = !model.contains_key(key) || etag > current;
                    (
                        format!("SETIFGREATER {key} {value} {etag} NOGET"),
                        admitted.then_some((value, etag)),
                    )
                }
                6 => {
                    let old = model.get(key).map_or("", |(value, _)| value);
                    // Version 0 that was given counts, none does not.
                    if current == 0 {
                        model.remove(key);
                        (format!("DEL {key}"), None)
                    } else {
                        (
                            format!("APPEND {key} {value}"),
                            Some((format!("{old}{value}"), current + 1)),
                        )
                    }
                }
                7 => {
                    if model.get(key).is_some_and(|_| etag > current) {
                        model.remove(key);
                    }
                    (format!("DELIFGREATER {key} {etag}"), None)
                }
                8 => {
                    let to = ["a", "b", "c"][rng.usize(..3)];
                    if to != key
                        && let Some((value, _)) = model.remove(key)
                    {
                        model.insert(to, (value, 0));
                    }
                    (format!("RENAME {key} {to}"), None)
                }
                _ => (format!("EXPIRE {key} {}", rng.u32(1_000..2_000)), None),
            };
            sim.cli(1, &request);
            if let Some(stored) = stored {
                model.insert(key, stored);
            }
            for key in ["a", "b", "c"] {
                let expected = match model.get(key) {
                    Some((value, etag)) => format!("1) (integer) {etag}\n2) \"{value}\""),
                    None => "(nil)".to_owned(),
                };
                let found = sim.cli(1, &format!("GETWITHETAG {key}"));
                assert_eq!(found, expected, "seed {seed}, step {step}, {key}: {request}");
            }
        }
    }
}
