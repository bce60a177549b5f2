//! STOCK.HOLD, CONFIRM, CANCEL, EXTEND: units that are set aside, sold, and given
//! back.

mod support;

use support::refusals::{
    check_refusals, invalid_expire, not_an_integer, out_of_range, syntax, wrong_count, wrong_type,
};
use support::sim::{Sim, play};

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
fn a_hold_is_looked_at_before_its_items() {
    let mut sim = Sim::new();
    for request in [
        "MSET shirt 5 text abc",
        "LOCK.ACQUIRE lock a PX 9000",
        "STOCK.HOLD live PX 9000 shirt 1",
        "STOCK.HOLD sold PX 9000 shirt 1",
        "STOCK.CONFIRM sold",
    ] {
        sim.cli(1, request);
    }
    for item in ["lock", "text", "nothing"] {
        let reply = sim.cli(1, &format!("STOCK.HOLD sold PX 9000 {item} 1"));
        assert_eq!(reply, "(error) HOLDDONE hold 'sold' has ended: confirmed");
        let reply = sim.cli(1, &format!("STOCK.HOLD live PX 9000 {item} 1"));
        assert_eq!(reply, "(error) HOLDBUSY hold 'live' holds other items");
    }
    // Nor does it matter to the same hold what its counter has become.
    for change in ["SET shirt abc", "DEL shirt"] {
        sim.cli(1, change);
        assert_eq!(sim.cli(1, "STOCK.HOLD live PX 9000 shirt 1"), "1) (integer) 4", "{change}");
    }
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
