//! Units of stock that go back: whatever ends their hold, and whatever has become of
//! their counter.

mod support;

use support::sim::{Sim, play};
use tollgate::config::Config;

#[test]
fn whatever_removes_a_live_hold_gives_its_units_back() {
    for removal in [
        "DEL one",
        "UNLINK one",
        "SET one v",
        "SETEX one 10 v",
        "PSETEX one 10 v",
        "MSET one v",
        "RENAME other one",
        "COPY other one REPLACE",
    ] {
        let mut sim = Sim::new();
        sim.cli(1, "MSET shirt 5 other v");
        sim.cli(1, "STOCK.HOLD one PX 1000 shirt 2");
        sim.cli(1, removal);
        assert_eq!(sim.cli(1, "GET shirt"), "\"5\"", "{removal}");
        assert!(sim.cli(1, "STOCK.INFO shirt").contains("\"held\"\n4) (integer) 0"), "{removal}");
        sim.advance_ms(1000);
        assert_eq!(sim.cli(1, "GET shirt"), "\"5\"", "{removal}: not twice");
    }
}

#[test]
fn a_counter_that_replaces_its_own_hold_has_the_units_first() {
    for (replacement, kept) in [
        ("RENAME shirt one", "1) \"5\"\n2) (nil)"),
        ("COPY shirt one REPLACE", "1) \"5\"\n2) \"5\""),
    ] {
        let mut sim = Sim::new();
        sim.cli(1, "SET shirt 5");
        sim.cli(1, "STOCK.HOLD one PX 1000 shirt 2");
        sim.cli(1, replacement);
        assert_eq!(sim.cli(1, "MGET one shirt"), kept, "{replacement}");
    }
}

#[test]
fn an_ended_hold_has_nothing_to_give_when_it_is_removed() {
    play(
        "removed",
        "
> SET shirt 5
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 3
> STOCK.CONFIRM one
(integer) 1
> DEL one
(integer) 1
> GET shirt
\"3\"
> STOCK.CONFIRM one
(integer) -2
",
    );
}

#[test]
fn units_without_a_counter_to_go_back_to_are_dropped_and_counted() {
    let mut dropped = 0;
    let mut sim = Sim::new();
    for change in [
        "DEL shirt",
        "RENAME shirt elsewhere",
        "SET shirt text",
        "APPEND shirt x",
        "SET shirt 3.5",
        "SET shirt 9223372036854775806",
        "MOVE shirt 1",
    ] {
        sim.cli(1, "FLUSHALL");
        sim.cli(1, "MSET shirt 5 cap 5");
        sim.cli(1, "STOCK.HOLD one PX 1000 shirt 2 cap 2");
        sim.cli(1, change);
        let before = sim.cli(1, "GET shirt");
        sim.advance_ms(1000);
        assert_eq!(sim.cli(1, "GET shirt"), before, "{change}");
        assert_eq!(sim.cli(1, "GET cap"), "\"5\"", "{change}: the others get theirs");
        dropped += 2;
        assert_eq!(sim.info("stock_units_dropped"), dropped.to_string(), "{change}");
    }
}

#[test]
fn units_go_back_to_whatever_is_a_counter_then() {
    play(
        "another counter",
        "
> SET shirt 5
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 3
> SET shirt 100
OK
> STOCK.INFO shirt
1) \"available\"
2) (integer) 100
3) \"held\"
4) (integer) 2
5) \"holds\"
6) 1) 1) \"hold\"
      2) \"one\"
      3) \"amount\"
      4) (integer) 2
      5) \"pttl\"
      6) (integer) 1000
(1000 ms later)
> GET shirt
\"102\"
",
    );
}

#[test]
fn holds_vanish_with_their_counters_and_go_with_their_database() {
    play(
        "databases",
        "
> SET shirt 5
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 3
> SWAPDB 0 3
OK
> STOCK.CONFIRM one
(integer) -2
> SET shirt 50
OK
(1000 ms later)
> GET shirt
\"50\"
> SELECT 3
OK
> GET shirt
\"5\"
> STOCK.HOLD two PX 1000 shirt 2
1) (integer) 3
> FLUSHDB
OK
> SET shirt 7
OK
> STOCK.CONFIRM two
(integer) -2
(1000 ms later)
> GET shirt
\"7\"
> STOCK.INFO shirt
1) \"available\"
2) (integer) 7
3) \"held\"
4) (integer) 0
5) \"holds\"
6) (empty array)
",
    );
}

#[test]
fn a_hold_finds_its_counters_in_its_own_database_only() {
    play(
        "own database",
        "
> SET shirt 5
OK
2> SELECT 1
OK
2> STOCK.HOLD one PX 1000 shirt 2
1) (integer) -2
2> STOCK.CONFIRM one
(integer) -2
",
    );
}

/// A thousand holds on one counter that end in the same millisecond.
fn thousand_holds(turn_timers_max: &str) -> Sim {
    let mut config = Config::default();
    config.set("turn-timers-max", turn_timers_max).expect("a known option");
    let mut sim = Sim::with_config(config);
    sim.cli(1, "SET shirt 1000");
    let due = sim.now.unix_ms() + 60_000;
    for number in 0..1_000 {
        let px = due - sim.now.unix_ms();
        sim.cli(1, &format!("STOCK.HOLD hold:{number} PX {px} shirt 1"));
        if number % 100 == 0 {
            sim.advance_ms(7);
        }
    }
    assert_eq!(sim.cli(1, "GET shirt"), "\"0\"");
    sim.advance_ms(due - 1 - sim.now.unix_ms());
    assert_eq!(sim.cli(1, "GET shirt"), "\"0\"", "not before its time");
    sim
}

#[test]
fn a_thousand_holds_that_are_due_at_once_all_go_back_before_the_next_command() {
    let mut sim = thousand_holds("10000");
    sim.now = sim.now.advanced(std::time::Duration::from_millis(1));
    assert_eq!(sim.cli(1, "GET shirt"), "\"1000\"");
    for number in 0..1_000 {
        assert_eq!(sim.cli(1, &format!("STOCK.CONFIRM hold:{number}")), "(integer) -1");
    }
}

#[test]
fn holds_that_are_due_go_back_in_slices_and_none_is_confirmed_meanwhile() {
    let mut sim = thousand_holds("100");
    sim.now = sim.now.advanced(std::time::Duration::from_millis(1));
    // The last of them, asked for in the very turn in which only the first have gone
    // back.
    sim.engine.receive(1, b"STOCK.CONFIRM hold:999\r\nGET shirt\r\n", sim.now);
    let output = sim.engine.output(1).to_vec();
    sim.engine.sent(1, output.len());
    assert_eq!(String::from_utf8_lossy(&output), ":-1\r\n$3\r\n101\r\n");
    sim.turn();
    assert_eq!(sim.cli(1, "GET shirt"), "\"1000\"");
    assert_eq!(sim.cli(1, "STOCK.INFO hold:0").lines().nth(1), Some("2) \"returned\""));
}
