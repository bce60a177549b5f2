//! The commands on keys of any type, by transcript. What Redis 7.0 has was
//! answered by it; JITTER follows the contract of the native commands.

mod support;

use support::resp::Reply;
use support::sim::{Sim, play};
use tollgate::config::Config;

/// Plays a transcript and gives the events that it has caused, in order, as
/// `event key`, with `@database` behind it where that is not 0.
fn events_of(transcript: &str) -> Vec<String> {
    let mut config = Config::default();
    config.set("notify-keyspace-events", "EAnm").expect("a known option");
    let mut sim = Sim::with_config(config);
    sim.send(9, &[b"PSUBSCRIBE", b"__keyevent@*"]);
    sim.take_replies(9);
    sim.transcript("events", transcript);
    let mut events = Vec::new();
    while let Some(reply) = sim.take_reply(9) {
        let Reply::Array(parts) = reply else { panic!("not a message: {reply:?}") };
        let text = |at: usize| {
            String::from_utf8(parts[at].text().expect("a bulk").to_vec()).expect("ASCII")
        };
        let channel = text(2);
        let (db, event) = channel
            .strip_prefix("__keyevent@")
            .and_then(|rest| rest.split_once("__:"))
            .expect("a channel of events");
        let database = if db == "0" { String::new() } else { format!("@{db}") };
        events.push(format!("{event} {}{database}", text(3)));
    }
    events
}

#[test]
fn expire_conditions_alone_and_combined() {
    play(
        "expire_conditions_alone_and_combined",
        "
> SET k v
OK
> EXPIRE k 100 XX
(integer) 0
> EXPIRE k 100 GT
(integer) 0
> TTL k
(integer) -1
> EXPIRE k 100 LT
(integer) 1
> EXPIRE k 200 NX
(integer) 0
> EXPIRE k 100 GT
(integer) 0
> EXPIRE k 100 LT
(integer) 0
> EXPIRE k 101 gt
(integer) 1
> EXPIRE k 200 LT
(integer) 0
> EXPIRE k 50 lt
(integer) 1
> EXPIRE k 60 XX GT
(integer) 1
> EXPIRE k 50 XX GT
(integer) 0
> EXPIRE k 40 XX LT
(integer) 1
> EXPIRE k 70 XX
(integer) 1
> TTL k
(integer) 70
> PERSIST k
(integer) 1
> EXPIRE k 10 XX LT
(integer) 0
> EXPIRE k 10 NX NX
(integer) 1
> EXPIRE k 20 NX XX
(error) ERR NX and XX, GT or LT options at the same time are not compatible
> EXPIRE k 20 GT NX
(error) ERR NX and XX, GT or LT options at the same time are not compatible
> EXPIRE k 20 LT NX
(error) ERR NX and XX, GT or LT options at the same time are not compatible
> EXPIRE k 20 GT LT
(error) ERR GT and LT options at the same time are not compatible
> EXPIRE k 20 FOO
(error) ERR Unsupported option FOO
> EXPIRE k abc FOO
(error) ERR Unsupported option FOO
> EXPIRE missing 20 NX XX
(error) ERR NX and XX, GT or LT options at the same time are not compatible
> TTL k
(integer) 10
> EXPIRE missing 20
(integer) 0
> EXPIRE k
(error) ERR wrong number of arguments for 'expire' command
",
    );
}

#[test]
fn expire_conditions_hold_for_a_deadline_that_is_past() {
    play(
        "expire_conditions_hold_for_a_deadline_that_is_past",
        "
> SET k v
OK
> EXPIRE k -1 GT
(integer) 0
> EXPIRE k -1 XX
(integer) 0
> EXISTS k
(integer) 1
> EXPIRE k 10
(integer) 1
> EXPIRE k -1 NX
(integer) 0
> EXPIRE k -1 GT
(integer) 0
> EXPIRE k -1 LT
(integer) 1
> EXISTS k
(integer) 0
",
    );
}

#[test]
fn amounts_out_of_range_are_refused_and_change_nothing() {
    play(
        "amounts_out_of_range_are_refused_and_change_nothing",
        "
> SET k v
OK
> EXPIRE k abc
(error) ERR value is not an integer or out of range
> EXPIRE k 1.5
(error) ERR value is not an integer or out of range
> EXPIRE k 9223372036854775808
(error) ERR value is not an integer or out of range
> EXPIRE k 9223372036854775807
(error) ERR invalid expire time in 'expire' command
> EXPIRE k -9223372036854775808
(error) ERR invalid expire time in 'expire' command
> EXPIRE k 9223372036854775
(error) ERR invalid expire time in 'expire' command
> PEXPIRE k 9223372036854775807
(error) ERR invalid expire time in 'pexpire' command
> EXPIREAT k 9223372036854776
(error) ERR invalid expire time in 'expireat' command
> EXPIRE missing 9223372036854775807
(error) ERR invalid expire time in 'expire' command
> TTL k
(integer) -1
> EXPIREAT k 9223372036854775
(integer) 1
> PEXPIRETIME k
(integer) 9223372036854775000
> PEXPIREAT k 9223372036854775807
(integer) 1
> TTL k
(integer) 9223370143398776
> PTTL k
(integer) 9223370143398775807
> EXPIRETIME k
(integer) 9223372036854776
> PEXPIRETIME k
(integer) 9223372036854775807
(100000000 ms later)
> EXISTS k
(integer) 1
> PEXPIRE k -9223372036854775808
(integer) 1
> EXISTS k
(integer) 0
",
    );
}

#[test]
fn a_deadline_that_is_past_deletes() {
    assert_eq!(
        events_of(
            "
> MSET a 1 b 2 c 3 d 4 e 5
OK
> EXPIRE a 0
(integer) 1
> EXPIRE b -1
(integer) 1
> PEXPIRE c 0
(integer) 1
> EXPIREAT d 1
(integer) 1
> PEXPIREAT e 1893456000000
(integer) 1
> DBSIZE
(integer) 0
"
        )[10..],
        ["del a", "del b", "del c", "del d", "del e"]
    );
}

#[test]
fn the_deadline_is_a_millisecond() {
    play(
        "the_deadline_is_a_millisecond",
        "
> SET k v
OK
> PEXPIRE k 1
(integer) 1
> EXISTS k
(integer) 1
(1 ms later)
> EXISTS k
(integer) 0
> SET k v
OK
> PEXPIREAT k 1893456000002
(integer) 1
> PTTL k
(integer) 1
(1 ms later)
> GET k
(nil)
> PTTL k
(integer) -2
",
    );
}

#[test]
fn seconds_are_rounded_to_the_nearest() {
    play(
        "seconds_are_rounded_to_the_nearest",
        "
> SET k v PX 1499
OK
> TTL k
(integer) 1
> EXPIRETIME k
(integer) 1893456001
> PEXPIRE k 1500
(integer) 1
> TTL k
(integer) 2
> EXPIRETIME k
(integer) 1893456002
> PEXPIRE k 499
(integer) 1
> TTL k
(integer) 0
> PTTL k
(integer) 499
> TTL missing
(integer) -2
> PTTL missing
(integer) -2
> EXPIRETIME missing
(integer) -2
> PEXPIRETIME missing
(integer) -2
> SET k v
OK
> PTTL k
(integer) -1
> EXPIRETIME k
(integer) -1
> PEXPIRETIME k
(integer) -1
",
    );
}

#[test]
fn jitter_shortens_a_deadline_and_never_lengthens_it() {
    let mut sim = Sim::new();
    let mut shortest = i64::MAX;
    let mut longest = 0;
    for number in 0..500 {
        let key = format!("k{number}");
        sim.cli(1, &format!("SET {key} v"));
        assert_eq!(sim.cli(1, &format!("PEXPIRE {key} 10000 JITTER 20")), "(integer) 1");
        let Reply::Integer(left_ms) = sim.ask(1, &[b"PTTL", key.as_bytes()]) else {
            panic!("PTTL answers an integer")
        };
        shortest = shortest.min(left_ms);
        longest = longest.max(left_ms);
    }
    assert!((8_000..8_200).contains(&shortest), "{shortest}");
    assert!((9_800..=10_000).contains(&longest), "{longest}");
    sim.transcript(
        "jitter",
        "
> SET k v
OK
> PEXPIRE k 10000 JITTER 0
(integer) 1
> PTTL k
(integer) 10000
> EXPIRE k 1 jitter 100 XX LT
(integer) 1
> PEXPIRE k 1 JITTER 100
(integer) 1
> PTTL k
(integer) 1
> PERSIST k
(integer) 1
> EXPIREAT k 1893456001 JITTER 50 NX
(integer) 1
> PEXPIREAT k 1893456001000 JITTER 50
(integer) 1
> PEXPIRE k 10 JITTER
(error) ERR syntax error
> PEXPIRE k 10 JITTER x
(error) ERR value is not an integer or out of range
> PEXPIRE k 10 JITTER 101
(error) ERR JITTER must be a percentage between 0 and 100
> PEXPIRE k 10 JITTER -1
(error) ERR JITTER must be a percentage between 0 and 100
> PEXPIRE k -10 JITTER 50
(integer) 1
> EXISTS k
(integer) 0
",
    );
}

#[test]
fn persist_takes_the_deadline_away_once() {
    assert_eq!(
        events_of(
            "
> SET k v PX 100
OK
> PERSIST k
(integer) 1
> PERSIST k
(integer) 0
> PERSIST missing
(integer) 0
(1000 ms later)
> PTTL k
(integer) -1
> PERSIST
(error) ERR wrong number of arguments for 'persist' command
"
        ),
        ["new k", "set k", "expire k", "persist k"]
    );
}

#[test]
fn del_unlink_exists_and_touch_count_keys() {
    assert_eq!(
        events_of(
            "
> MSET a 1 b 2 c 3
OK
> EXISTS a a missing b a
(integer) 4
> TOUCH a a missing
(integer) 2
> DEL a a missing
(integer) 1
> UNLINK b missing c b
(integer) 2
> DEL a
(integer) 0
> DEL
(error) ERR wrong number of arguments for 'del' command
> UNLINK
(error) ERR wrong number of arguments for 'unlink' command
> EXISTS
(error) ERR wrong number of arguments for 'exists' command
> TOUCH
(error) ERR wrong number of arguments for 'touch' command
"
        )[6..],
        ["keymiss missing", "keymiss missing", "del a", "del b", "del c"]
    );
}

#[test]
fn copy_takes_value_and_deadline_along() {
    play(
        "copy_takes_value_and_deadline_along",
        r#"
> SET a 1 PX 5000
OK
> SET b 2
OK
> COPY a b
(integer) 0
> COPY a b REPLACE
(integer) 1
> GET b
"1"
> PTTL b
(integer) 5000
> SET c 3
OK
> COPY c b replace REPLACE
(integer) 1
> PTTL b
(integer) -1
> COPY a b DB 1
(integer) 1
> COPY a a DB 1
(integer) 1
> COPY a a DB 1
(integer) 0
> COPY a a DB 1 REPLACE DB 2
(integer) 1
> COPY missing x
(integer) 0
> COPY missing a REPLACE
(integer) 0
> GET a
"1"
> COPY a a
(error) ERR source and destination objects are the same
> COPY a a REPLACE DB 0
(error) ERR source and destination objects are the same
> COPY missing missing
(error) ERR source and destination objects are the same
> COPY a b DB
(error) ERR syntax error
> COPY a b FOO
(error) ERR syntax error
> COPY a b DB x
(error) ERR value is not an integer or out of range
> COPY a b DB 16
(error) ERR DB index is out of range
> COPY a b DB -1
(error) ERR DB index is out of range
> COPY a b DB 99999999999
(error) ERR value is out of range, value must between -2147483648 and 2147483647
> COPY a
(error) ERR wrong number of arguments for 'copy' command
(5000 ms later)
> EXISTS a
(integer) 0
> SELECT 1
OK
> EXISTS a b
(integer) 0
"#,
    );
}

#[test]
fn copies_are_independent_of_each_other() {
    let mut sim = Sim::new();
    let large = "x".repeat(100_000);
    sim.ask(1, &[b"SET", b"large", large.as_bytes()]);
    sim.transcript(
        "copies",
        "
> COPY large copy
(integer) 1
> APPEND copy y
(integer) 100001
> SETRANGE large 0 z
(integer) 100000
> STRLEN copy
(integer) 100001
> GETRANGE copy 0 0
\"x\"
> GETRANGE large 0 0
\"z\"
> DEL large
(integer) 1
> GETRANGE copy 99999 -1
\"xy\"
",
    );
}

#[test]
fn copy_and_move_announce_where_the_key_is() {
    assert_eq!(
        events_of(
            "
> MSET a 1 b 2
OK
> COPY a b REPLACE
(integer) 1
> COPY a c
(integer) 1
> COPY a c DB 3
(integer) 1
> COPY missing c
(integer) 0
> MOVE a 2
(integer) 1
> MOVE missing 2
(integer) 0
"
        )[4..],
        [
            "new b",
            "copy_to b",
            "new c",
            "copy_to c",
            "new c@3",
            "copy_to c@3",
            "keymiss missing",
            "new a@2",
            "move_from a",
            "move_to a@2",
        ]
    );
}

#[test]
fn move_leaves_what_is_there_already() {
    play(
        "move_leaves_what_is_there_already",
        r#"
> SET k here PX 100
OK
> MOVE k 1
(integer) 1
> MOVE k 1
(integer) 0
> SET k again
OK
> MOVE k 1
(integer) 0
> GET k
"again"
> MOVE k 0
(error) ERR source and destination objects are the same
> MOVE missing 0
(error) ERR source and destination objects are the same
> MOVE k 16
(error) ERR DB index is out of range
> MOVE k -1
(error) ERR DB index is out of range
> MOVE k x
(error) ERR value is not an integer or out of range
> MOVE k
(error) ERR wrong number of arguments for 'move' command
> SELECT 1
OK
> PTTL k
(integer) 100
(100 ms later)
> EXISTS k
(integer) 0
> SELECT 0
OK
> MOVE k 1
(integer) 1
"#,
    );
}

#[test]
fn swapdb_exchanges_keys_and_deadlines_at_once() {
    play(
        "swapdb_exchanges_keys_and_deadlines_at_once",
        r#"
> SET a 0 PX 100
OK
2> SELECT 1
OK
2> SET b 1 PX 200
OK
> SWAPDB 0 1
OK
> GET b
"1"
2> GET a
"0"
> SWAPDB 0 0
OK
(100 ms later)
2> GET a
(nil)
> PTTL b
(integer) 100
(100 ms later)
> GET b
(nil)
> SWAPDB x 1
(error) ERR invalid first DB index
> SWAPDB 1 x
(error) ERR invalid second DB index
> SWAPDB 99999999999 0
(error) ERR invalid first DB index
> SWAPDB 0 16
(error) ERR DB index is out of range
> SWAPDB -1 0
(error) ERR DB index is out of range
> SWAPDB 0
(error) ERR wrong number of arguments for 'swapdb' command
"#,
    );
}

#[test]
fn expired_events_name_the_database_the_key_is_in_now() {
    assert_eq!(
        events_of(
            "
> SET a 1 PX 100
OK
> SWAPDB 0 3
OK
> SET b 1 PX 200
OK
> MOVE b 4
(integer) 1
(300 ms later)
> DBSIZE
(integer) 0
"
        )[6..],
        ["new b@4", "move_from b", "move_to b@4", "expired a@3", "expired b@4"]
    );
}

#[test]
fn watch_notices_every_way_in_which_a_key_changes() {
    // How client 2 changes the keys that client 1 watches, and whether that
    // is a change.
    let ways = [
        ("SWAPDB 0 1", true),
        ("SWAPDB 1 0", true),
        ("SWAPDB 0 0", false),
        ("SWAPDB 2 3", false),
        ("FLUSHDB", true),
        ("FLUSHALL", true),
        ("DEL k", true),
        ("DEL missing", false),
        ("RENAME k other", true),
        ("RENAME other k", true),
        ("RENAME k k", false),
        ("RENAMENX other k", false),
        ("COPY other k", false),
        ("COPY other k REPLACE", true),
        ("COPY k copy", false),
        ("MOVE k 1", true),
        ("EXPIRE k 100", true),
        ("EXPIRE k 100 XX", false),
        ("EXPIRE k -1", true),
        ("PERSIST k", false),
        ("TOUCH k", false),
        ("GET k", false),
        ("SET k v", true),
        ("APPEND k v", true),
        ("SETRANGE k 0 v", true),
        ("INCR other", false),
    ];
    for (way, is_change) in ways {
        let mut sim = Sim::new();
        for line in ["SET k v", "SET other 1", "WATCH k", "MULTI", "PING"] {
            sim.cli(1, line);
        }
        sim.cli(2, way);
        let reply = sim.cli(1, "EXEC");
        let expected = if is_change { "(nil)" } else { "1) PONG" };
        assert_eq!(reply, expected, "after {way}");
    }
}

#[test]
fn watch_in_the_other_database_sees_a_swap_that_brings_the_key() {
    play(
        "watch_in_the_other_database_sees_a_swap_that_brings_the_key",
        "
2> SELECT 5
OK
2> SET k v
OK
> WATCH k
OK
> MULTI
OK
> PING
QUEUED
2> SWAPDB 5 0
OK
> EXEC
(nil)
> WATCH nothing
OK
> MULTI
OK
> PING
QUEUED
2> SWAPDB 5 0
OK
> EXEC
1) PONG
",
    );
}

#[test]
fn watch_notices_a_deadline_at_its_millisecond_and_not_earlier() {
    play(
        "watch_notices_a_deadline_at_its_millisecond_and_not_earlier",
        "
> SET k v PX 100
OK
> WATCH k
OK
> MULTI
OK
> PING
QUEUED
(99 ms later)
> EXEC
1) PONG
> WATCH k
OK
> MULTI
OK
> PING
QUEUED
(1 ms later)
> EXEC
(nil)
> WATCH k
OK
> MULTI
OK
> PING
QUEUED
> EXEC
1) PONG
",
    );
}

#[test]
fn exec_notices_a_watched_key_that_is_due_before_the_index_does() {
    let mut sim = Sim::new();
    for line in ["SET k v PX 100", "WATCH k", "MULTI", "PING"] {
        sim.cli(1, line);
    }
    // No tick comes between the deadline and EXEC.
    sim.now = sim.now.advanced(std::time::Duration::from_millis(100));
    sim.engine.receive(1, b"EXEC\r\n", sim.now);
    sim.turn();
    assert_eq!(sim.take_replies(1), "(nil)");
    // A key that was due when WATCH came was absent, and still is.
    sim.cli(1, "SET k v PX 100");
    sim.now = sim.now.advanced(std::time::Duration::from_millis(100));
    sim.engine.receive(1, b"WATCH k\r\nMULTI\r\nPING\r\n", sim.now);
    sim.turn();
    sim.take_replies(1);
    assert_eq!(sim.cli(1, "EXEC"), "1) PONG");
}

#[test]
fn rename_replaces_and_keeps_the_deadline() {
    play(
        "rename_replaces_and_keeps_the_deadline",
        r#"
> SET a 1 PX 1000
OK
> SET b 2 PX 100
OK
> RENAME a b
OK
> EXISTS a
(integer) 0
> GET b
"1"
> PTTL b
(integer) 1000
(100 ms later)
> GET b
"1"
> SET c 3
OK
> RENAME c b
OK
> PTTL b
(integer) -1
> RENAME b b
OK
> RENAME missing missing
(error) ERR no such key
> RENAME missing b
(error) ERR no such key
> RENAMENX b b
(integer) 0
> RENAMENX missing b
(error) ERR no such key
> SET d 4
OK
> RENAMENX b d
(integer) 0
> RENAMENX b e
(integer) 1
> GET e
"3"
> RENAME e ""
OK
> GET ""
"3"
> RENAME a
(error) ERR wrong number of arguments for 'rename' command
> RENAMENX a b c
(error) ERR wrong number of arguments for 'renamenx' command
"#,
    );
}

#[test]
fn rename_announces_both_names() {
    assert_eq!(
        events_of(
            "
> MSET a 1 b 2
OK
> RENAME a b
OK
> RENAME b b
OK
> RENAMENX b c
(integer) 1
> RENAME missing d
(error) ERR no such key
"
        )[4..],
        ["new b", "rename_from a", "rename_to b", "new c", "rename_from b", "rename_to c"]
    );
}

#[test]
fn a_renamed_key_expires_under_its_new_name() {
    assert_eq!(
        events_of(
            "
> SET a 1 PX 50
OK
> RENAME a b
OK
(50 ms later)
> EXISTS a b
(integer) 0
"
        )[6..],
        ["expired b", "keymiss a", "keymiss b"]
    );
}

#[test]
fn object_tells_encodings_and_reference_counts() {
    let mut sim = Sim::new();
    sim.cli(1, &format!("SET b44 {}", "x".repeat(44)));
    sim.cli(1, &format!("SET b45 {}", "x".repeat(45)));
    sim.cli(1, &format!("SET large {}", "x".repeat(5_000)));
    sim.transcript(
        "object",
        r#"
> MSET zero 0 small 9999 big 10000 negative -1 leading 01 space " 1" long 9223372036854775808
OK
> OBJECT ENCODING zero
"int"
> OBJECT ENCODING negative
"int"
> OBJECT ENCODING leading
"embstr"
> OBJECT ENCODING space
"embstr"
> OBJECT ENCODING long
"embstr"
> OBJECT ENCODING b44
"embstr"
> OBJECT ENCODING b45
"raw"
> OBJECT ENCODING large
"raw"
> COPY b44 copy
(integer) 1
> APPEND copy x
(integer) 45
> SETRANGE space 0 x
(integer) 2
> OBJECT ENCODING space
"raw"
> OBJECT REFCOUNT zero
(integer) 2147483647
> OBJECT REFCOUNT small
(integer) 2147483647
> OBJECT REFCOUNT big
(integer) 1
> OBJECT REFCOUNT negative
(integer) 1
> OBJECT REFCOUNT b44
(integer) 1
> OBJECT ENCODING missing
(nil)
> OBJECT REFCOUNT missing
(nil)
> OBJECT IDLETIME missing
(nil)
> OBJECT FREQ missing
(nil)
> OBJECT FREQ zero
(error) ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
> OBJECT FOO
(error) ERR unknown subcommand 'FOO'. Try OBJECT HELP.
> OBJECT ENCODING
(error) ERR wrong number of arguments for 'object|encoding' command
> OBJECT ENCODING a b
(error) ERR wrong number of arguments for 'object|encoding' command
> OBJECT
(error) ERR wrong number of arguments for 'object' command
> object encoding zero
"int"
"#,
    );
}

#[test]
fn idle_time_ends_with_an_access_and_not_with_a_look() {
    // What is an access of `k` in Redis, and what is not.
    let accesses = [
        ("GET k", true),
        ("GETRANGE k 0 0", true),
        ("STRLEN k", true),
        ("MGET k", true),
        ("TOUCH k", true),
        ("SET k v", true),
        ("APPEND k v", true),
        ("EXPIRE k 100", true),
        ("EXPIRE k 100 XX", true),
        ("PERSIST k", true),
        ("COPY k other", true),
        ("RENAME k k", true),
        ("TTL k", false),
        ("PTTL k", false),
        ("EXPIRETIME k", false),
        ("EXISTS k", false),
        ("TYPE k", false),
        ("OBJECT ENCODING k", false),
        ("OBJECT IDLETIME k", false),
        ("KEYS *", false),
        ("SCAN 0", false),
        ("RANDOMKEY", false),
    ];
    for (line, is_access) in accesses {
        let mut sim = Sim::new();
        sim.cli(1, "SET k v");
        sim.advance_ms(7_000);
        sim.cli(1, line);
        let expected = if is_access { "(integer) 0" } else { "(integer) 7" };
        assert_eq!(sim.cli(1, "OBJECT IDLETIME k"), expected, "after {line}");
    }
    play(
        "idle",
        "
> SET a v
OK
(5000 ms later)
> RENAME a b
OK
> OBJECT IDLETIME b
(integer) 0
(5000 ms later)
> COPY b c
(integer) 1
(2000 ms later)
> OBJECT IDLETIME c
(integer) 2
> MOVE c 1
(integer) 1
> SELECT 1
OK
> OBJECT IDLETIME c
(integer) 0
",
    );
}

#[test]
fn a_client_that_touches_nothing_leaves_idle_times_alone() {
    play(
        "a_client_that_touches_nothing_leaves_idle_times_alone",
        r#"
> SET k v
OK
> CLIENT NO-TOUCH ON
OK
(3000 ms later)
> GET k
"v"
> OBJECT IDLETIME k
(integer) 3
> EXPIRE k 100
(integer) 1
> OBJECT IDLETIME k
(integer) 3
2> GET k
"v"
> OBJECT IDLETIME k
(integer) 0
(3000 ms later)
> TOUCH k
(integer) 1
> OBJECT IDLETIME k
(integer) 0
> CLIENT NO-TOUCH OFF
OK
(3000 ms later)
> GET k
"v"
> OBJECT IDLETIME k
(integer) 0
"#,
    );
}

#[test]
fn misses_are_announced_by_reads_only() {
    assert_eq!(
        events_of(
            "
> GET a
(nil)
> TYPE b
none
> TTL c
(integer) -2
> EXISTS d
(integer) 0
> TOUCH e
(integer) 0
> COPY f x
(integer) 0
> OBJECT ENCODING g
(nil)
> DEL h
(integer) 0
> EXPIRE i 10
(integer) 0
> PERSIST j
(integer) 0
> RENAME k x
(error) ERR no such key
> MOVE l 1
(integer) 0
"
        ),
        ["keymiss a", "keymiss b", "keymiss c", "keymiss d", "keymiss e", "keymiss f"]
    );
}

#[test]
fn type_of_what_is_there_and_of_what_is_not() {
    play(
        "type_of_what_is_there_and_of_what_is_not",
        "
> MSET a 1 b text
OK
> TYPE a
string
> TYPE b
string
> TYPE c
none
> TYPE
(error) ERR wrong number of arguments for 'type' command
> TYPE a b
(error) ERR wrong number of arguments for 'type' command
",
    );
}

#[test]
fn randomkey_gives_each_key_and_none_that_is_gone() {
    let mut sim = Sim::new();
    assert_eq!(sim.cli(1, "RANDOMKEY"), "(nil)");
    for number in 0..20 {
        sim.cli(1, &format!("SET live{number} v"));
        sim.cli(1, &format!("SET short{number} v PX 10"));
    }
    // The keys are due, and nothing has removed them yet.
    sim.now = sim.now.advanced(std::time::Duration::from_millis(10));
    let mut drawn = std::collections::BTreeSet::new();
    for _ in 0..2_000 {
        sim.engine.receive(1, b"RANDOMKEY\r\n", sim.now);
    }
    sim.turn();
    while let Some(reply) = sim.take_reply(1) {
        drawn.insert(reply.text().expect("a key").to_vec());
    }
    assert_eq!(drawn.len(), 20);
    assert!(drawn.iter().all(|key| key.starts_with(b"live")));
    sim.transcript(
        "randomkey",
        "
> RANDOMKEY x
(error) ERR wrong number of arguments for 'randomkey' command
> FLUSHALL
OK
> RANDOMKEY
(nil)
",
    );
}

#[test]
fn flushing_takes_one_database_or_all() {
    play(
        "flushing_takes_one_database_or_all",
        "
> SET a 1 PX 100
OK
> SELECT 1
OK
> SET b 1
OK
> FLUSHDB FOO
(error) ERR syntax error
> FLUSHDB ASYNC SYNC
(error) ERR syntax error
> FLUSHALL SYNC ASYNC
(error) ERR syntax error
> DBSIZE
(integer) 1
> FLUSHDB async
OK
> DBSIZE
(integer) 0
> SELECT 0
OK
> DBSIZE
(integer) 1
> FLUSHDB SYNC
OK
> SET a 2
OK
(200 ms later)
> EXISTS a
(integer) 1
> SELECT 1
OK
> FLUSHALL ASYNC
OK
> SELECT 0
OK
> DBSIZE
(integer) 0
> FLUSHALL SYNC
OK
> FLUSHALL
OK
> DBSIZE x
(error) ERR wrong number of arguments for 'dbsize' command
",
    );
}

#[test]
fn keys_by_glob() {
    let mut sim = Sim::new();
    let keys: [&[u8]; 10] =
        [b"", b"a", b"ab", b"abc", b"A", b"*", b"a*c", b"[x]", b"\xff\x00", b"user:1"];
    for key in keys {
        sim.ask(1, &[b"SET", key, b"v"]);
    }
    let mut ask = |pattern: &[u8]| -> Vec<Vec<u8>> {
        let reply = sim.ask(1, &[b"KEYS", pattern]);
        let mut found: Vec<_> = reply
            .elements()
            .expect("an array")
            .iter()
            .map(|key| key.text().expect("a bulk").to_vec())
            .collect();
        found.sort();
        found
    };
    assert_eq!(ask(b"*").len(), 10);
    assert_eq!(ask(b""), [b""]);
    assert_eq!(ask(b"?"), [b"*", b"A", b"a"]);
    assert_eq!(ask(b"a?"), [b"ab"]);
    assert_eq!(ask(b"a*c"), [b"a*c".to_vec(), b"abc".to_vec()]);
    assert_eq!(ask(b"a\\*c"), [b"a*c"]);
    assert_eq!(ask(b"\\*"), [b"*"]);
    assert_eq!(ask(b"[aA]"), [b"A", b"a"]);
    assert_eq!(ask(b"[^a]"), [b"*", b"A"]);
    assert_eq!(ask(b"\\[x\\]"), [b"[x]"]);
    assert_eq!(ask(b"u*:[0-9]"), [b"user:1"]);
    assert_eq!(ask(b"\xff?"), [b"\xff\x00"]);
    assert_eq!(ask(b"nothing"), [b""; 0]);
    sim.transcript(
        "keys",
        "
> KEYS
(error) ERR wrong number of arguments for 'keys' command
> SELECT 1
OK
> KEYS *
(empty array)
",
    );
}
