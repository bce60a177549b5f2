//! STOCK.HOLD, CONFIRM, CANCEL, EXTEND, INFO: units that are set aside, sold, and
//! given back.

mod support;

use support::events::{check_events, listening};
use support::refusals::{
    check_refusals, invalid_expire, not_an_integer, out_of_range, syntax, wrong_count, wrong_type,
};
use support::sim::{Sim, play};
use tollgate::config::Config;

#[test]
fn a_hold_takes_all_or_nothing() {
    play(
        "all or nothing",
        "
> MSET shirt 5 cap 1
OK
> STOCK.HOLD one PX 60000 shirt 2 cap 1
1) (integer) 3
2) (integer) 0
> STOCK.HOLD two PX 60000 shirt 3 cap 1
1) (integer) 3
2) (integer) -1
> MGET shirt cap
1) \"3\"
2) \"0\"
> STOCK.CONFIRM two
(integer) -2
> STOCK.HOLD two PX 60000 shirt 3
1) (integer) 0
",
    );
}

#[test]
fn a_refusal_says_of_each_key_what_it_has_not_enough_or_no_such_key() {
    play(
        "refusal",
        "
> MSET shirt 5 cap 1 debt -7
OK
> STOCK.HOLD one PX 60000 shirt 5 cap 2 sock 1 debt 1
1) (integer) 5
2) (integer) -1
3) (integer) -2
4) (integer) -1
> MGET shirt cap sock debt
1) \"5\"
2) \"1\"
3) (nil)
4) \"-7\"
> EXISTS one sock
(integer) 0
",
    );
}

#[test]
fn a_key_named_twice_counts_with_the_sum_and_shows_one_remainder() {
    play(
        "twice",
        "
> MSET shirt 5 cap 2
OK
> STOCK.HOLD one PX 60000 shirt 3 cap 1 shirt 3
1) (integer) -1
2) (integer) 2
3) (integer) -1
> STOCK.HOLD one PX 60000 shirt 2 cap 1 shirt 3
1) (integer) 0
2) (integer) 1
3) (integer) 0
",
    );
}

#[test]
fn more_than_64_bits_are_not_enough_of_anything() {
    play(
        "sum",
        "
> MSET most 9223372036854775807 least -9223372036854775808
OK
> STOCK.HOLD one PX 60000 most 9223372036854775807 most 1
1) (integer) -1
2) (integer) -1
> STOCK.HOLD one PX 60000 least 1
1) (integer) -1
> STOCK.HOLD one PX 60000 gone 9223372036854775807 gone 1
1) (integer) -2
2) (integer) -2
> STOCK.HOLD one PX 60000 most 9223372036854775807
1) (integer) 0
> STOCK.HOLD one PX 60000 most 9223372036854775807 most 1
(error) HOLDBUSY hold 'one' holds other items
> STOCK.CANCEL one
(integer) 1
> GET most
\"9223372036854775807\"
",
    );
}

#[test]
fn the_same_call_again_is_the_same_hold_and_gets_the_same_reply() {
    play(
        "repeated",
        "
> MSET shirt 5 cap 4
OK
> STOCK.HOLD one PX 60000 shirt 2 cap 1
1) (integer) 3
2) (integer) 3
2> STOCK.HOLD two PX 90000 shirt 1
1) (integer) 2
(1000 ms later)
> STOCK.HOLD one PX 60000 shirt 2 cap 1
1) (integer) 3
2) (integer) 3
> stock.hold one px 99999 cap 1 shirt 1 shirt 1
1) (integer) 3
2) (integer) 3
3) (integer) 3
> MGET shirt cap
1) \"2\"
2) \"3\"
> PTTL one
(integer) 59000
(59000 ms later)
> MGET shirt cap
1) \"4\"
2) \"4\"
",
    );
}

#[test]
fn other_items_under_the_same_name_are_refused() {
    for items in
        ["shirt 2", "shirt 2 cap 2", "shirt 2 cap 1 sock 1", "sock 1", "shirt 2 cap 1 shirt 1"]
    {
        let mut sim = Sim::new();
        sim.cli(1, "MSET shirt 5 cap 4 sock 3");
        sim.cli(1, "STOCK.HOLD one PX 60000 shirt 2 cap 1");
        assert_eq!(
            sim.cli(1, &format!("STOCK.HOLD one PX 60000 {items}")),
            "(error) HOLDBUSY hold 'one' holds other items",
            "{items}"
        );
        assert_eq!(sim.cli(1, "MGET shirt cap sock"), "1) \"3\"\n2) \"3\"\n3) \"3\"", "{items}");
        assert_eq!(sim.cli(1, "STOCK.CONFIRM one"), "(integer) 1", "{items}");
    }
}

#[test]
fn a_hold_that_has_ended_is_not_placed_again() {
    play(
        "done",
        "
> SET shirt 9
OK
> STOCK.HOLD sold PX 1000 shirt 1
1) (integer) 8
> STOCK.HOLD back PX 1000 shirt 1
1) (integer) 7
> STOCK.HOLD late PX 1000 shirt 1
1) (integer) 6
> STOCK.CONFIRM sold
(integer) 1
> STOCK.CANCEL back
(integer) 1
(1000 ms later)
> STOCK.HOLD sold PX 1000 shirt 1
(error) HOLDDONE hold 'sold' has ended: confirmed
> STOCK.HOLD back PX 1000 shirt 1
(error) HOLDDONE hold 'back' has ended: returned
> STOCK.HOLD late PX 1000 shirt 2
(error) HOLDDONE hold 'late' has ended: returned
> GET shirt
\"8\"
",
    );
}

#[test]
fn units_go_back_by_themselves_in_their_millisecond() {
    play(
        "in time",
        "
> SET shirt 5 PX 90000
OK
> STOCK.HOLD one PX 60000 shirt 2
1) (integer) 3
(59999 ms later)
> GET shirt
\"3\"
> PTTL one
(integer) 1
> STOCK.HOLD two PX 1 shirt 4
1) (integer) -1
(1 ms later)
> STOCK.HOLD two PX 1 shirt 4
1) (integer) 1
(1 ms later)
> GET shirt
\"5\"
> PTTL shirt
(integer) 29999
",
    );
}

#[test]
fn confirm_sells_for_good_and_may_be_repeated() {
    play(
        "confirm",
        "
> SET shirt 5
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 3
> STOCK.CONFIRM one
(integer) 1
> STOCK.CONFIRM one
(integer) 1
> STOCK.CANCEL one
(integer) -1
(1000 ms later)
> STOCK.CONFIRM one
(integer) 1
> GET shirt
\"3\"
> STOCK.CONFIRM other
(integer) -2
",
    );
}

#[test]
fn confirm_comes_too_late_when_the_units_went_back() {
    play(
        "late",
        "
> SET shirt 5
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 3
(1000 ms later)
> STOCK.CONFIRM one
(integer) -1
> STOCK.CANCEL one
(integer) 1
> GET shirt
\"5\"
",
    );
}

#[test]
fn cancel_gives_back_once_and_may_be_repeated() {
    play(
        "cancel",
        "
> SET shirt 5
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 3
> STOCK.CANCEL one
(integer) 1
> STOCK.CANCEL one
(integer) 1
> STOCK.CONFIRM one
(integer) -1
> GET shirt
\"5\"
> STOCK.CANCEL other
(integer) -2
",
    );
}

#[test]
fn extend_sets_a_new_deadline_counted_from_now() {
    play(
        "extend",
        "
> SET shirt 5
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 3
(900 ms later)
> STOCK.EXTEND one PX 1000
(integer) 1
(999 ms later)
> GET shirt
\"3\"
> STOCK.EXTEND one px 5000
(integer) 1
> STOCK.EXTEND one PX 10
(integer) 1
(9 ms later)
> GET shirt
\"3\"
(1 ms later)
> GET shirt
\"5\"
> STOCK.EXTEND one PX 1000
(integer) -1
> STOCK.EXTEND other PX 1000
(integer) -2
> STOCK.HOLD two PX 1000 shirt 2
1) (integer) 3
> STOCK.CONFIRM two
(integer) 1
> STOCK.EXTEND two PX 1000
(integer) -1
",
    );
}

#[test]
fn an_ended_hold_is_remembered_as_long_as_it_was_last_asked_to_last_and_60_s_at_least() {
    for (asked, extended, remembered_ms) in [
        ("1000", None, 60_000),
        ("60000", None, 60_000),
        ("90000", None, 90_000),
        ("90000", Some("1000"), 60_000),
        ("1000", Some("70000"), 70_000),
    ] {
        for end in ["STOCK.CONFIRM one", "STOCK.CANCEL one"] {
            let mut sim = Sim::new();
            sim.cli(1, "SET shirt 5");
            sim.cli(1, &format!("STOCK.HOLD one PX {asked} shirt 2"));
            sim.advance_ms(500);
            if let Some(extended) = extended {
                sim.cli(1, &format!("STOCK.EXTEND one PX {extended}"));
            }
            sim.cli(1, end);
            assert_eq!(sim.cli(1, "PTTL one"), format!("(integer) {remembered_ms}"));
            sim.advance_ms(remembered_ms - 1);
            assert_eq!(sim.cli(1, end), "(integer) 1", "{asked}, {extended:?}: {end}");
            sim.advance_ms(1);
            assert_eq!(sim.cli(1, end), "(integer) -2", "{asked}, {extended:?}: {end}");
            let again = sim.cli(1, "STOCK.HOLD one PX 1000 shirt 1");
            assert!(again.starts_with("1) (integer) "), "the name is free again: {again}");
        }
    }
}

#[test]
fn info_of_a_counter_lists_its_holds_by_name() {
    let mut sim = Sim::new();
    sim.transcript(
        "info of a counter",
        r#"
> MSET shirt 9 cap 5
OK
> STOCK.INFO shirt
1) "available"
2) (integer) 9
3) "held"
4) (integer) 0
5) "holds"
6) (empty array)
> STOCK.HOLD b PX 60000 shirt 2 cap 1 shirt 1
1) (integer) 6
2) (integer) 4
3) (integer) 6
(1000 ms later)
> STOCK.HOLD a PX 30000 shirt 1
1) (integer) 5
> STOCK.INFO shirt
1) "available"
2) (integer) 5
3) "held"
4) (integer) 4
5) "holds"
6) 1) 1) "hold"
      2) "a"
      3) "amount"
      4) (integer) 1
      5) "pttl"
      6) (integer) 30000
   2) 1) "hold"
      2) "b"
      3) "amount"
      4) (integer) 3
      5) "pttl"
      6) (integer) 59000
> STOCK.CONFIRM b
(integer) 1
> STOCK.INFO cap
1) "available"
2) (integer) 4
3) "held"
4) (integer) 0
5) "holds"
6) (empty array)
> STOCK.INFO nothing
(nil)
"#,
    );
    sim.cli(1, "HELLO 3");
    sim.transcript(
        "as a map",
        r#"
> STOCK.INFO shirt
1# "available" => (integer) 5
2# "held" => (integer) 1
3# "holds" => 
   1) 1# "hold" => "a"
      2# "amount" => (integer) 1
      3# "pttl" => (integer) 30000
> STOCK.INFO nothing
(nil)
"#,
    );
}

#[test]
fn info_of_a_hold_says_how_far_it_has_come() {
    let mut sim = Sim::new();
    sim.transcript(
        "info of a hold",
        r#"
> MSET shirt 9 cap 5
OK
> STOCK.HOLD b PX 60000 shirt 2 cap 1 shirt 1
1) (integer) 6
2) (integer) 4
3) (integer) 6
(1000 ms later)
> STOCK.INFO b
1) "state"
2) "held"
3) "pttl"
4) (integer) 59000
5) "items"
6) 1) 1) "key"
      2) "shirt"
      3) "amount"
      4) (integer) 3
   2) 1) "key"
      2) "cap"
      3) "amount"
      4) (integer) 1
> STOCK.CONFIRM b
(integer) 1
"#,
    );
    sim.cli(1, "HELLO 3");
    sim.transcript(
        "as a map",
        r#"
(1000 ms later)
> STOCK.INFO b
1# "state" => "confirmed"
2# "pttl" => (integer) 59000
3# "items" => 
   1) 1# "key" => "shirt"
      2# "amount" => (integer) 3
   2) 1# "key" => "cap"
      2# "amount" => (integer) 1
> STOCK.HOLD c PX 1 shirt 1
1) (integer) 5
(1 ms later)
> STOCK.INFO c
1# "state" => "returned"
2# "pttl" => (integer) 60000
3# "items" => 
   1) 1# "key" => "shirt"
      2# "amount" => (integer) 1
"#,
    );
}

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

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let mut sim = Sim::new();
    sim.cli(1, "MSET shirt 5 text abc huge 9223372036854775808");
    sim.cli(1, "STOCK.HOLD one PX 60000 shirt 2");
    sim.cli(1, "LOCK.ACQUIRE lock me PX 60000");
    let state =
        ["STOCK.INFO shirt", "STOCK.INFO one", "LOCK.INFO lock", "MGET text huge", "DBSIZE"];
    check_refusals(
        &mut sim,
        &state,
        &[
            (
                wrong_count("stock.hold"),
                &[
                    "STOCK.HOLD",
                    "STOCK.HOLD two PX 1000 shirt",
                    "STOCK.HOLD two PX 1000 shirt 1 cap",
                ],
            ),
            (wrong_count("stock.confirm"), &["STOCK.CONFIRM", "STOCK.CONFIRM one two"]),
            (wrong_count("stock.cancel"), &["STOCK.CANCEL"]),
            (wrong_count("stock.extend"), &["STOCK.EXTEND one PX", "STOCK.EXTEND one PX 1 2"]),
            (wrong_count("stock.info"), &["STOCK.INFO"]),
            (syntax(), &["STOCK.HOLD two EX 1000 shirt 1", "STOCK.EXTEND one EX 1000"]),
            (
                out_of_range("PX", 1),
                &[
                    "STOCK.HOLD two PX 0 shirt 1",
                    "STOCK.HOLD two PX -1 shirt 1",
                    "STOCK.HOLD two PX 1.5 shirt 1",
                    "STOCK.HOLD two PX 9223372036854775808 shirt 1",
                    "STOCK.HOLD one PX x shirt 2",
                    "STOCK.EXTEND one PX 0",
                    "STOCK.EXTEND nothing PX x",
                ],
            ),
            (
                out_of_range("amount", 1),
                &[
                    "STOCK.HOLD two PX 1000 shirt 0",
                    "STOCK.HOLD two PX 1000 shirt -1",
                    "STOCK.HOLD two PX 1000 shirt +1",
                    "STOCK.HOLD two PX 1000 shirt 9223372036854775808",
                    "STOCK.HOLD two PX 1000 shirt 1 text \"\"",
                    "STOCK.HOLD lock PX 1000 shirt none",
                ],
            ),
            (invalid_expire("stock.hold"), &["STOCK.HOLD two PX 9223372036854775807 shirt 1"]),
            (invalid_expire("stock.extend"), &["STOCK.EXTEND one PX 9223372036854775807"]),
            (
                not_an_integer(),
                &[
                    "STOCK.HOLD two PX 1000 shirt 1 text 1",
                    "STOCK.HOLD two PX 1000 huge 1",
                    "STOCK.HOLD two PX 1000 shirt 9 nothing 1 text 1",
                    "STOCK.INFO text",
                ],
            ),
            (
                wrong_type(),
                &[
                    "STOCK.HOLD two PX 1000 shirt 1 lock 1",
                    "STOCK.HOLD two PX 1000 one 1",
                    "STOCK.HOLD two PX 1000 nothing 1 lock 1",
                    "STOCK.HOLD shirt PX 1000 cap 1",
                    "STOCK.HOLD lock PX 1000 shirt 1",
                    "STOCK.CONFIRM shirt",
                    "STOCK.CONFIRM lock",
                    "STOCK.CANCEL text",
                    "STOCK.CANCEL lock",
                    "STOCK.EXTEND shirt PX 1000",
                    "STOCK.EXTEND lock PX 1000",
                    "STOCK.INFO lock",
                    "DECRIFPOS one",
                    "DECRIFPOS lock",
                    "INCREX one",
                    "INCREX lock BYINT 1",
                ],
            ),
        ],
    );
}

#[test]
fn what_is_held_is_not_there_for_others() {
    play(
        "others",
        "
> SET shirt 3
OK
> STOCK.HOLD one PX 1000 shirt 2
1) (integer) 1
2> DECRIFPOS shirt
(integer) 0
2> DECRIFPOS shirt
(integer) -1
2> INCREX shirt BYINT -1 LBOUND 0
1) (integer) 0
2) (integer) 0
(1000 ms later)
2> DECRIFPOS shirt 2
(integer) 0
",
    );
}

#[test]
fn each_step_of_a_hold_is_an_event() {
    check_events(
        &mut listening("KEA"),
        &[
            ("> MSET a 5 b 5", &["set a", "set b"]),
            ("> STOCK.HOLD one PX 1000 b 1 a 1 b 1", &["incrby b", "incrby a", "hold one"]),
            ("> STOCK.HOLD one PX 1000 b 2 a 1", &[]),
            ("> STOCK.HOLD two PX 1000 a 9 b 1", &[]),
            ("> STOCK.EXTEND one PX 2000", &["expire one"]),
            ("(1999 ms later)", &[]),
            ("(1 ms later)", &["incrby b", "incrby a", "holdexpired one"]),
            ("> STOCK.CANCEL one", &[]),
            ("> STOCK.EXTEND one PX 1000", &[]),
            ("(1 ms later)", &[]),
            ("> STOCK.HOLD two PX 1000 a 1", &["incrby a", "hold two"]),
            ("> STOCK.CONFIRM two", &["confirm two"]),
            ("> STOCK.CONFIRM two", &[]),
            ("> STOCK.HOLD three PX 1000 a 1", &["incrby a", "hold three"]),
            ("> STOCK.CANCEL three", &["incrby a", "cancel three"]),
            ("> STOCK.HOLD four PX 1000 a 1", &["incrby a", "hold four"]),
            ("> DEL four", &["incrby a", "del four"]),
            ("(59998 ms later)", &[]),
            ("> DEL three", &["del three"]),
            ("(1 ms later)", &["expired one"]),
            ("(1 ms later)", &["expired two"]),
        ],
    );
}

#[test]
fn events_of_holds_are_of_the_class_of_module_types() {
    check_events(
        &mut listening("Ed"),
        &[
            ("> SET a 5", &[]),
            ("> STOCK.HOLD one PX 1000 a 1", &["hold one"]),
            ("(1000 ms later)", &["holdexpired one"]),
        ],
    );
}

#[test]
fn taking_and_giving_back_change_what_others_watch() {
    for (change, key) in [
        ("> STOCK.HOLD two PX 1000 shirt 1", "shirt"),
        ("> STOCK.HOLD two PX 1000 shirt 1", "two"),
        ("> STOCK.CANCEL one", "shirt"),
        ("> STOCK.CANCEL one", "one"),
        ("> STOCK.CONFIRM one", "one"),
        ("> STOCK.EXTEND one PX 1", "one"),
        ("> DEL one", "shirt"),
        ("(1000 ms later)", "shirt"),
        ("(1000 ms later)", "one"),
    ] {
        let mut sim = Sim::new();
        sim.cli(1, "SET shirt 5");
        sim.cli(1, "STOCK.HOLD one PX 1000 shirt 1");
        sim.cli(2, &format!("WATCH {key}"));
        sim.act(change);
        sim.cli(2, "MULTI");
        assert_eq!(sim.cli(2, "EXEC"), "(nil)", "{change}: {key}");
    }
    for harmless in ["STOCK.HOLD one PX 1000 shirt 1", "STOCK.CONFIRM two", "STOCK.INFO shirt"] {
        let mut sim = Sim::new();
        sim.cli(1, "SET shirt 5");
        sim.cli(1, "STOCK.HOLD one PX 1000 shirt 1");
        sim.cli(2, "WATCH shirt one two");
        sim.cli(1, harmless);
        sim.cli(2, "MULTI");
        assert_eq!(sim.cli(2, "EXEC"), "(empty array)", "{harmless}");
    }
}

#[test]
fn a_transaction_holds_and_confirms_as_one_step() {
    play(
        "transaction",
        "
> SET shirt 5
OK
> MULTI
OK
> STOCK.HOLD one PX 1000 shirt 2
QUEUED
> STOCK.CONFIRM one
QUEUED
> GET shirt
QUEUED
> EXEC
1) 1) (integer) 3
2) (integer) 1
3) \"3\"
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
