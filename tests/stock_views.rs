//! How holds of stock are seen: STOCK.INFO, keyspace events, WATCH.

mod support;

use support::events::{check_events, listening};
use support::sim::Sim;

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
