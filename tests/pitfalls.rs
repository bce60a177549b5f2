//! Cases of the native commands that are easily got wrong: each of them was, once.

mod support;

use support::resp::Reply;
use support::sim::{Sim, play};
use tollgate::config::Config;

#[test]
fn more_units_are_held_than_a_number_can_say() {
    let mut sim = Sim::new();
    for hold in ["h1", "h2", "h3"] {
        sim.cli(1, &format!("SET s {}", i64::MAX));
        let held = sim.cli(1, &format!("STOCK.HOLD {hold} PX 60000 s {}", i64::MAX));
        assert_eq!(held, "1) (integer) 0");
    }
    let info = sim.cli(1, "STOCK.INFO s");
    assert!(info.contains(&format!("4) (integer) {}", i64::MAX)), "{info}");
    let info = sim.cli(1, "KEY.INFO s");
    assert!(info.contains(&format!("22) (integer) {}", i64::MAX)), "{info}");
    sim.cli(1, "DEL s");
    for hold in ["h1", "h2", "h3"] {
        assert_eq!(sim.cli(1, &format!("STOCK.CANCEL {hold}")), "(integer) 1");
    }
    assert_eq!(sim.info("stock_units_dropped"), u64::MAX.to_string());
}

#[test]
fn a_grant_that_was_given_back_unheard_is_not_undone_again() {
    for give_back in [
        &["LOCK.RELEASE k x"][..],
        &["MULTI", "LOCK.ACQUIRE k x PX 9000", "LOCK.RELEASE k x", "LOCK.RELEASE k x", "EXEC"],
    ] {
        let mut sim = Sim::new();
        sim.connect(1);
        sim.stall(1);
        sim.cli(1, "LOCK.ACQUIRE k x PX 9000");
        assert_eq!(sim.cli(2, "LOCK.ACQUIRE k x PX 9000"), "(integer) 1893456000000001");
        for request in give_back {
            sim.cli(1, request);
        }
        sim.disconnect(1);
        let info = sim.cli(2, "LOCK.INFO k");
        assert!(info.contains("\"x\""), "the second connection's hold is left: {info}");
        assert_eq!(sim.cli(2, "LOCK.RELEASE k x"), "(integer) 0");
    }
}

#[test]
fn another_value_with_a_used_lease_is_not_stored_and_says_so() {
    play(
        "used",
        r#"
> LEASE.GET k FOR 9000
1) "FILL"
2) (nil)
3) (integer) 1893456000000001
> LEASE.SET k 1893456000000001 12 PX 60000
(integer) 1
> LEASE.SET k 1893456000000001 12 PX 60000
(integer) 1
> LEASE.SET k 1893456000000001 13 PX 60000
(integer) -1
> GET k
"12"
> LEASE.INVALIDATE k
(integer) 1
> LEASE.GET k FOR 9000
1) "FILL"
2) "12"
3) (integer) 1893456000000002
> LEASE.SET k 1893456000000002 text PX 100
(integer) 1
(100 ms later)
> LEASE.SET k 1893456000000002 other PX 100
(integer) -1
> LEASE.SET k 1893456000000002 text PX 100
(integer) 1
"#,
    );
}

#[test]
fn freshness_ends_with_the_key_at_the_latest() {
    let mut sim = Sim::new();
    sim.cli(1, "LEASE.GET k FOR 9000");
    sim.cli(1, "LEASE.SET k 1893456000000001 v PX 60000 STALE 60000");
    sim.cli(1, "PEXPIRE k 1000");
    let info = sim.cli(1, "KEY.INFO k");
    assert!(info.contains("13) \"fresh-ms\"\n14) (integer) 1000"), "{info}");
    assert!(sim.cli(1, "LEASE.GET k FOR 9000 AHEAD 5000").starts_with("1) \"FILL\""));
}

#[test]
fn appending_nothing_changes_nothing() {
    let mut sim = Sim::new();
    sim.cli(1, "LEASE.GET k FOR 9000");
    sim.cli(1, "LEASE.SET k 1893456000000001 v PX 1000 STALE 60000");
    sim.advance_ms(1_000);
    let filling = sim.cli(1, "LEASE.GET k FOR 9000");
    assert!(filling.starts_with("1) \"FILL\""), "{filling}");
    assert_eq!(sim.cli(2, "APPEND k \"\""), "(integer) 1");
    assert!(sim.cli(2, "LEASE.GET k FOR 9000").starts_with("1) \"STALE\""));
    assert_eq!(sim.cli(1, "LEASE.SET k 1893456000000002 w PX 1000"), "(integer) 1");
}

#[test]
fn a_lease_that_fails_ends_no_wait_for_a_lock() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
    sim.cli(2, "LOCK.ACQUIRE k b PX 9000 WAIT 5000");
    sim.cli(1, "MULTI");
    for request in ["DEL k", "LEASE.GET k FOR 100", "LEASE.FAIL k 1893456000000002 no"] {
        sim.cli(1, request);
    }
    sim.cli(1, "EXEC");
    assert_eq!(sim.take_replies(2), "(integer) 1893456000000003");
}

#[test]
fn a_password_is_no_less_secret_behind_a_lock() {
    let mut sim = Sim::new();
    sim.cli(1, "CONFIG SET slowlog-log-slower-than 0");
    sim.cli(2, "MONITOR");
    sim.cli(1, "LOCK.GUARD k 1 AUTH hunter2");
    sim.cli(1, "LOCK.GUARD k 1 CONFIG SET requirepass hunter2");
    sim.cli(1, "LOCK.GUARD k 1 LOCK.GUARD k 1 CONFIG SET requirepass hunter2");
    let shown = sim.take_replies(2) + &sim.cli(1, "SLOWLOG GET 10");
    assert!(shown.contains("(redacted)") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_stock_info_said_of_a_counter_is_old_when_a_hold_is_sold() {
    let mut sim = Sim::new();
    sim.cli(1, "HELLO 3");
    sim.cli(1, "CLIENT TRACKING ON");
    sim.cli(2, "SET s 5");
    sim.cli(2, "STOCK.HOLD h PX 9000 s 2");
    sim.cli(1, "STOCK.INFO s");
    sim.cli(2, "STOCK.CONFIRM h");
    let told = sim.take_replies(1);
    assert!(told.contains("invalidate") && told.contains("\"s\""), "{told}");
}

#[test]
fn more_wake_ups_than_a_turn_has_go_on_in_the_next_and_nobody_overtakes() {
    let mut sim = Sim::with_config(Config { turn_wakeups_max: 3, ..Config::default() });
    sim.cli(1, "LEASE.GET k FOR 9000");
    for client in 2..12 {
        sim.cli(client, "LEASE.GET k FOR 9000 WAIT 5000");
    }
    let stored = "LEASE.SET k 1893456000000001 v PX 60000\r\n".as_bytes();
    sim.engine.receive(1, stored, sim.now);
    assert_eq!(sim.engine.next_deadline(), Some(sim.now.monotonic), "there is more to do at once");
    sim.advance_ms(0);
    for client in 2..12 {
        assert!(sim.take_replies(client).starts_with("1) \"HIT\""), "client {client}");
    }
    assert_eq!(sim.take_replies(1), "(integer) 1");
    assert_eq!(sim.info("wakeups"), "10");
}

#[test]
fn who_is_served_late_in_the_turn_is_served_and_not_timed_out() {
    let mut sim = Sim::with_config(Config { turn_wakeups_max: 1, ..Config::default() });
    sim.cli(1, "LOCK.ACQUIRE k writer PX 400");
    for client in 2..6 {
        sim.cli(client, &format!("LOCK.ACQUIRE k r{client} PX 9000 WAIT 400 SHARED"));
    }
    sim.advance_ms(400);
    for client in 2..6 {
        assert!(sim.take_replies(client).starts_with("(integer)"), "client {client}");
    }
}

#[test]
fn a_wait_that_was_unblocked_leaves_the_next_one_alone() {
    let mut sim = Sim::with_config(Config { turn_wakeups_max: 1, ..Config::default() });
    sim.cli(1, "LOCK.ACQUIRE k holder PX 90000");
    sim.cli(1, "LOCK.ACQUIRE l holder PX 90000");
    for client in 2..6 {
        let waits = [format!("k c{client} PX 9 WAIT 300"), format!("l c{client} PX 9 WAIT 9000")];
        let requests = waits.map(|wait| format!("LOCK.ACQUIRE {wait}\r\n"));
        sim.send_raw(client, requests.concat().as_bytes());
    }
    for id in [4, 5, 2] {
        let unblock = format!("CLIENT UNBLOCK {id} ERROR\r\n");
        sim.engine.receive(1, unblock.as_bytes(), sim.now);
    }
    sim.advance_ms(300);
    for (client, unblocked) in [(2, true), (3, false), (4, true), (5, true)] {
        let reply = sim.take_replies(client);
        assert_eq!(reply.contains("UNBLOCKED"), unblocked, "client {client}: {reply}");
        assert!(unblocked || reply == "(nil)", "client {client}: {reply}");
    }
    assert_eq!(sim.take_replies(1), "(integer) 1\n(integer) 1\n(integer) 1");
    assert_eq!(sim.info("waiting_places"), "4");
}

#[test]
fn a_transaction_may_grant_and_give_back_very_many_locks() {
    let mut sim = Sim::new();
    sim.cli(1, "MULTI");
    for number in 0..2_000 {
        sim.send(1, &split(&format!("LOCK.ACQUIRE k{number} x PX 9000")));
    }
    for number in 0..2_000 {
        sim.send(1, &split(&format!("LOCK.RELEASE k{number} x")));
    }
    sim.cli(1, "EXEC");
    assert_eq!(sim.cli(1, "DBSIZE"), "(integer) 0");
}

#[test]
fn a_circle_among_very_many_owners_costs_one_look_at_each() {
    let mut sim = Sim::with_config(Config { lock_circle_max: 1_000, ..Config::default() });
    // Owners of a semaphore who wait in a chain, the first for the last of all.
    let owners = 300;
    for owner in 0..owners {
        let limit = format!("LOCK.ACQUIRE pool o{owner} PX 900000 LIMIT {owners}");
        assert!(matches!(sim.ask(1, &split(&limit)), Reply::Integer(_)));
        sim.cli(1, &format!("LOCK.ACQUIRE l{owner} o{} PX 900000", owner + 1));
    }
    for owner in 0..owners {
        sim.send(10 + owner, &split(&format!("LOCK.ACQUIRE l{owner} o{owner} PX 9 WAIT 50000")));
    }
    let asked = format!("LOCK.ACQUIRE pool o{owners} PX 9 WAIT 50000 LIMIT {owners}");
    let refused = sim.cli(2, &asked);
    assert!(refused.starts_with("(error) DEADLOCK o300 waits for pool held by o0"), "{refused}");
}

fn split(request: &str) -> Vec<&[u8]> {
    request.split(' ').map(str::as_bytes).collect()
}
