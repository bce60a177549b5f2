//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

mod support;

use support::sim::{Sim, play};
use tollgate::config::Config;

#[test]
fn a_transaction_runs_as_one_step() {
    play(
        "exec",
        r#"
> MULTI
OK
> SET a 1
QUEUED
> INCR a
QUEUED
> GET a
QUEUED
2> GET a
(nil)
> EXEC
1) OK
2) (integer) 2
3) "2"
> EXEC
(error) ERR EXEC without MULTI
> DISCARD
(error) ERR DISCARD without MULTI
> MULTI
OK
> EXEC
(empty array)
"#,
    );
}

#[test]
fn an_error_of_a_queued_command_stops_nothing() {
    play(
        "exec error",
        r#"
> MULTI
OK
> SET s text
QUEUED
> INCR s
QUEUED
> GET s
QUEUED
> EXEC
1) OK
2) (error) ERR value is not an integer or out of range
3) "text"
"#,
    );
}

#[test]
fn what_cannot_be_queued_spoils_the_transaction() {
    for line in ["NOSUCH", "SET a", "SHUTDOWN"] {
        let mut sim = Sim::new();
        sim.cli(1, "MULTI");
        assert!(sim.cli(1, line).starts_with("(error) ERR "), "{line}");
        assert_eq!(sim.cli(1, "SET b 1"), "QUEUED");
        assert_eq!(
            sim.cli(1, "EXEC"),
            "(error) EXECABORT Transaction discarded because of previous errors."
        );
        assert_eq!(sim.cli(1, "GET b"), "(nil)");
    }
}

#[test]
fn nested_multi_and_watch_are_refused_and_spoil_nothing() {
    play(
        "nested",
        r#"
> MULTI
OK
> MULTI
(error) ERR MULTI calls can not be nested
> WATCH a
(error) ERR WATCH inside MULTI is not allowed
> SET a 1
QUEUED
> EXEC
1) OK
"#,
    );
}

#[test]
fn exec_with_arguments_ends_the_transaction() {
    play(
        "exec arity",
        r#"
> WATCH a
OK
> MULTI
OK
> SET a 1
QUEUED
> EXEC now
(error) EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
> EXEC
(error) ERR EXEC without MULTI
> GET a
(nil)
"#,
    );
}

#[test]
fn discard_forgets_queue_and_watches() {
    play(
        "discard",
        r#"
> WATCH a
OK
> MULTI
OK
> SET a 1
QUEUED
2> SET a 2
OK
> DISCARD
OK
> MULTI
OK
> GET a
QUEUED
> EXEC
1) "2"
"#,
    );
}

#[test]
fn every_way_to_change_a_watched_key_fails_exec() {
    for change in [
        "SET k 2",
        "DEL k",
        "APPEND k x",
        "INCR k",
        "EXPIRE k 100",
        "PEXPIREAT k 1",
        "RENAME k other",
        "RENAME source k",
        "COPY source k REPLACE",
        "MOVE k 1",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
        "MSET x 1 k 2",
        "GETDEL k",
    ] {
        let mut sim = Sim::new();
        sim.cli(2, "MSET k 1 source 1");
        sim.cli(1, "WATCH unrelated k k");
        sim.cli(2, change);
        sim.cli(1, "MULTI");
        sim.cli(1, "PING");
        assert_eq!(sim.cli(1, "EXEC"), "(nil)", "{change}");
        // Once is enough: the failed EXEC has ended the watch.
        sim.cli(1, "MULTI");
        sim.cli(1, "PING");
        assert_eq!(sim.cli(1, "EXEC"), "1) PONG", "{change}");
    }
}

#[test]
fn what_is_not_a_change_lets_exec_through() {
    for harmless in
        ["GET k", "SET other 1", "EXPIRE missing 1", "DEL missing", "SWAPDB 2 3", "TOUCH k"]
    {
        let mut sim = Sim::new();
        sim.cli(2, "SET k 1");
        sim.cli(1, "WATCH k missing");
        sim.cli(2, harmless);
        sim.cli(1, "MULTI");
        sim.cli(1, "PING");
        assert_eq!(sim.cli(1, "EXEC"), "1) PONG", "{harmless}");
    }
}

#[test]
fn a_change_from_the_same_client_counts_and_exec_itself_does_not() {
    play(
        "own changes",
        r#"
> WATCH a
OK
> SET a 1
OK
> MULTI
OK
> GET a
QUEUED
> EXEC
(nil)
> WATCH a
OK
> MULTI
OK
> INCR a
QUEUED
> EXEC
1) (integer) 2
> MULTI
OK
> INCR a
QUEUED
> EXEC
1) (integer) 3
"#,
    );
}

#[test]
fn watching_again_after_a_change_does_not_hide_it() {
    play(
        "watch twice",
        r#"
> WATCH a
OK
2> SET a 1
OK
> WATCH a
OK
> MULTI
OK
> PING
QUEUED
> EXEC
(nil)
> WATCH a
OK
2> SET a 2
OK
> UNWATCH
OK
> WATCH a
OK
2> SET a 3
OK
> MULTI
OK
> EXEC
(nil)
"#,
    );
}

#[test]
fn a_watched_key_that_expires_has_changed() {
    play(
        "expiry",
        r#"
> SET a 1 PX 100
OK
> WATCH a
OK
(100 ms later)
> MULTI
OK
> PING
QUEUED
> EXEC
(nil)
"#,
    );
}

#[test]
fn a_key_that_was_gone_when_it_was_watched_has_not() {
    let mut sim = Sim::new();
    sim.cli(1, "SET a 1 PX 100");
    // No turn in between: nobody has removed the key before WATCH meets it.
    sim.now = sim.now.advanced(std::time::Duration::from_millis(100));
    sim.engine.receive(1, b"WATCH a\r\nMULTI\r\nPING\r\nEXEC\r\n", sim.now);
    sim.turn();
    assert_eq!(sim.take_replies(1), "OK\nOK\nQUEUED\n1) PONG");
}

#[test]
fn a_key_that_is_due_at_exec_and_still_there_has_changed() {
    let mut sim = Sim::new();
    sim.cli(1, "SET a 1 PX 100");
    sim.cli(1, "WATCH a");
    sim.cli(1, "MULTI");
    sim.cli(1, "PING");
    sim.now = sim.now.advanced(std::time::Duration::from_millis(100));
    sim.engine.receive(1, b"EXEC\r\n", sim.now);
    sim.turn();
    assert_eq!(sim.take_replies(1), "(nil)");
}

#[test]
fn select_inside_exec_holds_for_what_follows_and_after_it() {
    play(
        "select",
        r#"
> MULTI
OK
> SELECT 3
QUEUED
> SET a 3
QUEUED
> EXEC
1) OK
2) OK
> GET a
"3"
2> GET a
(nil)
"#,
    );
}

#[test]
fn watches_are_of_one_database() {
    play(
        "databases",
        r#"
> WATCH a
OK
2> SELECT 1
OK
2> SET a 1
OK
> MULTI
OK
> EXEC
(empty array)
"#,
    );
}

#[test]
fn nil_of_a_failed_exec_is_a_null_array() {
    let mut sim = Sim::new();
    sim.send_raw(1, b"WATCH a\r\nSET a 1\r\nMULTI\r\nEXEC\r\n");
    assert_eq!(sim.take_bytes(1), b"+OK\r\n+OK\r\n+OK\r\n*-1\r\n");
    sim.cli(1, "HELLO 3");
    sim.send_raw(1, b"WATCH a\r\nSET a 1\r\nMULTI\r\nEXEC\r\n");
    assert_eq!(sim.take_bytes(1), b"+OK\r\n+OK\r\n+OK\r\n_\r\n");
}

#[test]
fn events_of_a_transaction_reach_subscribers_and_watchers() {
    let mut config = Config::default();
    config.set("notify-keyspace-events", "K$").expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.transcript(
        "events",
        r#"
3> WATCH a
OK
2> SUBSCRIBE __keyspace@0__:a
1) "subscribe"
2) "__keyspace@0__:a"
3) (integer) 1
> MULTI
OK
> SET a 1
QUEUED
> EXEC
1) OK
2>
1) "message"
2) "__keyspace@0__:a"
3) "set"
3> MULTI
OK
3> EXEC
(nil)
"#,
    );
}

#[test]
fn too_large_a_transaction_is_refused_and_spoiled() {
    let mut config = Config::default();
    config.set("transaction-max-bytes", "1mb").expect("a valid option");
    let mut sim = Sim::with_config(config);
    let value = vec![b'x'; 600_000];
    sim.cli(1, "MULTI");
    sim.send(1, &[b"SET", b"a", &value]);
    assert_eq!(sim.take_replies(1), "QUEUED");
    sim.send(1, &[b"SET", b"b", &value]);
    assert!(sim.take_replies(1).contains("transaction-max-bytes"));
    assert!(sim.cli(1, "EXEC").starts_with("(error) EXECABORT"));
    assert_eq!(sim.cli(1, "EXISTS a b"), "(integer) 0");
}

#[test]
fn too_many_watched_keys_are_refused() {
    let mut config = Config::default();
    config.set("client-watch-max", "3").expect("a valid option");
    let mut sim = Sim::with_config(config);
    let refused = "(error) ERR a client can watch no more than client-watch-max (3) keys";
    assert_eq!(sim.cli(1, "WATCH a b c d"), refused);
    assert_eq!(sim.cli(1, "WATCH a b c"), "OK");
    assert_eq!(sim.cli(1, "WATCH d"), refused);
    sim.cli(1, "UNWATCH");
    assert_eq!(sim.cli(1, "WATCH d"), "OK");
}

#[test]
fn the_names_of_watched_keys_and_channels_are_bounded_together() {
    let mut config = Config::default();
    config.set("client-names-max-bytes", "10kb").expect("a valid option");
    let mut sim = Sim::with_config(config);
    let name = [b'n'; 6_000];
    let memory = sim.engine.client_memory_bytes(1);
    sim.send(1, &[b"WATCH", &name]);
    assert_eq!(sim.take_replies(1), "OK");
    assert!(sim.engine.client_memory_bytes(1) >= memory + 2 * name.len(), "both copies count");
    let refused = "(error) ERR the names that a client watches, tracks and is subscribed to can have no \
                   more than client-names-max-bytes (10240) bytes";
    for command in [&b"WATCH"[..], b"SUBSCRIBE", b"PSUBSCRIBE"] {
        sim.send(1, &[command, &[b'm'; 6_000]]);
        assert_eq!(sim.take_replies(1), refused);
    }
    sim.cli(1, "UNWATCH");
    sim.send(1, &[b"SUBSCRIBE", &name]);
    sim.take_replies(1);
    sim.send(1, &[b"SUBSCRIBE", &[b'm'; 6_000]]);
    assert_eq!(sim.take_replies(1), refused);
    sim.send(1, &[b"UNSUBSCRIBE", &name]);
    sim.take_replies(1);
    sim.send(1, &[b"WATCH", &name]);
    assert_eq!(sim.take_replies(1), "OK");
}

#[test]
fn who_goes_watches_no_longer() {
    let mut sim = Sim::new();
    sim.cli(1, "WATCH a");
    sim.disconnect(1);
    sim.cli(2, "SET a 1");
    // Another client in the same place is not disturbed.
    sim.cli(1, "MULTI");
    assert_eq!(sim.cli(1, "EXEC"), "(empty array)");
}
