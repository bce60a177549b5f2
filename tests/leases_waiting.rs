//! LEASE.GET ... WAIT: a thousand misses, one query; and leases that never reached
//! their holder.

mod support;

use support::sim::{Sim, play};

/// A server on which client 1 has the lease on `k`, and these clients wait.
fn waiting(clients: &[usize]) -> Sim {
    let mut sim = Sim::new();
    sim.cli(1, "LEASE.GET k FOR 10000");
    for &client in clients {
        assert_eq!(sim.cli(client, "LEASE.GET k FOR 2000 WAIT 30000"), "");
    }
    sim
}

fn fill(value: &str, nth: u64) -> String {
    format!("1) \"FILL\"\n2) {value}\n3) (integer) {}", 1_893_456_000_000_000 + nth)
}

fn hit(value: &str) -> String {
    format!("1) \"HIT\"\n2) {value}\n3) (nil)")
}

const MISS: &str = "1) \"MISS\"\n2) (nil)\n3) (nil)";

#[test]
fn a_thousand_misses_are_one_query() {
    let clients: Vec<usize> = (2..1_001).collect();
    let mut sim = waiting(&clients);
    assert_eq!(sim.cli(1, "LEASE.SET k 1893456000000001 v PX 1000"), "(integer) 1");
    for client in clients {
        assert_eq!(sim.take_replies(client), hit("\"v\""));
    }
}

#[test]
fn whatever_brings_a_value_serves_all_who_wait() {
    for (change, value) in [
        ("LEASE.SET k 1893456000000001 v PX 1000", "\"v\""),
        ("LEASE.SET k 1893456000000001 v PX 1 STALE 1", "\"v\""),
        ("SET k v", "\"v\""),
        ("SETNX k v", "\"v\""),
        ("MSET a b k v", "\"v\""),
        ("APPEND k v", "\"v\""),
        ("SETRANGE k 1 v", "\"\\x00v\""),
        ("INCR k", "\"1\""),
        ("INCREX k", "\"1\""),
        ("RENAME other k", "\"o\""),
        ("COPY other k", "\"o\""),
        ("SWAPDB 0 1", "\"one\""),
    ] {
        let mut sim = Sim::new();
        sim.cli(1, "SET other o");
        for request in ["SELECT 1", "SET k one", "SELECT 0", "LEASE.GET k FOR 10000"] {
            sim.cli(1, request);
        }
        for client in [2, 3] {
            assert_eq!(sim.cli(client, "LEASE.GET k FOR 2000 WAIT 30000"), "");
        }
        assert!(!sim.cli(1, change).contains("error"), "{change}");
        for client in [2, 3] {
            assert_eq!(sim.take_replies(client), hit(value), "{change}");
        }
    }
}

#[test]
fn a_value_that_is_moved_here_serves_who_waits_here() {
    play(
        "move",
        "
> LEASE.GET k FOR 1000
(any)
2> LEASE.GET k FOR 1000 WAIT 500
(none)
3> SELECT 1
OK
3> SET k v
OK
2>
(none)
3> MOVE k 0
(integer) 1
2>
1) \"HIT\"
2) \"v\"
3) (nil)
",
    );
}

#[test]
fn when_the_lease_ends_without_a_value_the_first_who_waits_has_it_and_the_rest_wait_on() {
    for end in [
        "> LEASE.FAIL k 1893456000000001",
        "(10000 ms later)",
        "> LEASE.INVALIDATE k",
        "> DEL k",
        "> FLUSHDB",
        "> FLUSHALL",
        "> SWAPDB 0 1",
    ] {
        let mut sim = waiting(&[2, 3, 4]);
        sim.act(end);
        assert_eq!(sim.take_replies(2), fill("(nil)", 2), "{end}");
        assert_eq!(sim.take_replies(3), "", "{end}");
        // Its own time counts from the grant.
        sim.advance_ms(1_999);
        assert_eq!(sim.take_replies(3), "", "{end}");
        sim.advance_ms(1);
        assert_eq!(sim.take_replies(3), fill("(nil)", 3), "{end}");
        sim.cli(3, "LEASE.SET k 1893456000000003 v PX 1000");
        assert_eq!(sim.take_replies(4), hit("\"v\""), "{end}");
    }
}

#[test]
fn a_failure_with_a_message_is_everybodys_who_waits_now() {
    let mut sim = waiting(&[2, 3]);
    assert_eq!(sim.cli(1, "LEASE.FAIL k 1893456000000001 \"no database\""), "(integer) 1");
    for client in [2, 3] {
        assert_eq!(sim.take_replies(client), "(error) LEASEFAIL no database");
    }
    assert_eq!(sim.cli(2, "LEASE.GET k FOR 1000"), fill("(nil)", 2));
    assert_eq!(sim.cli(3, "LEASE.GET k FOR 1000 WAIT 100"), "");
    let again = sim.cli(1, "LEASE.FAIL k 1893456000000001 \"no database\"");
    assert_eq!(again, "(integer) -1", "it is another's by now");
    assert_eq!(sim.take_replies(3), "");
}

#[test]
fn a_message_is_one_line_whatever_bytes_it_has() {
    let mut sim = waiting(&[2]);
    let token = b"1893456000000001";
    sim.ask(1, &[b"LEASE.FAIL", b"k", token, b"two\r\nlines\x00 and \xff"]);
    sim.send_raw(2, b"PING\r\n");
    let replies = sim.take_replies(2);
    assert!(replies.starts_with("(error) LEASEFAIL two"), "{replies}");
    assert_eq!(replies.lines().count(), 2, "{replies}");
    assert!(replies.ends_with("\nPONG"), "{replies}");
    let mut sim = waiting(&[2]);
    sim.ask(1, &[b"LEASE.FAIL", b"k", token, b""]);
    assert!(sim.take_replies(2).starts_with("(error) LEASEFAIL"));
}

#[test]
fn who_has_something_to_be_served_does_not_wait() {
    play(
        "stale at once",
        "
> SET k v PX 1000
OK
2> LEASE.GET k FOR 1000 WAIT 500
1) \"HIT\"
2) \"v\"
3) (nil)
> LEASE.INVALIDATE k
(integer) 1
> LEASE.GET k FOR 5000 WAIT 500
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000001
2> LEASE.GET k FOR 1000 WAIT 500
1) \"STALE\"
2) \"v\"
3) (nil)
(1000 ms later)
2> LEASE.GET k FOR 1000 WAIT 500
(none)
> LEASE.SET k 1893456000000001 w PX 1000
(integer) 1
2>
1) \"HIT\"
2) \"w\"
3) (nil)
",
    );
}

#[test]
fn a_wait_that_is_over_in_the_millisecond_in_which_the_lease_ends_gets_the_lease() {
    play(
        "same millisecond",
        "
> LEASE.GET k FOR 1000
(any)
2> LEASE.GET k FOR 1000 WAIT 1000
(none)
3> LEASE.GET k FOR 1000 WAIT 1000
(none)
(1000 ms later)
2>
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000002
3>
1) \"MISS\"
2) (nil)
3) (nil)
",
    );
}

#[test]
fn a_value_and_the_failure_that_came_before_it_in_one_transaction_fail_who_waited_then() {
    let mut sim = waiting(&[2, 3]);
    for request in ["MULTI", "LEASE.FAIL k 1893456000000001 broken", "SET k v", "EXEC"] {
        sim.cli(1, request);
    }
    for client in [2, 3] {
        assert_eq!(sim.take_replies(client), "(error) LEASEFAIL broken");
    }
    let mut sim = waiting(&[2, 3]);
    for request in ["MULTI", "LEASE.FAIL k 1893456000000001", "SET k v", "EXEC"] {
        sim.cli(1, request);
    }
    for client in [2, 3] {
        assert_eq!(sim.take_replies(client), hit("\"v\""));
    }
}

#[test]
fn a_value_that_comes_and_goes_in_one_transaction_has_not_come() {
    let mut sim = waiting(&[2, 3]);
    for request in ["MULTI", "SET k v", "DEL k", "EXEC"] {
        sim.cli(1, request);
    }
    assert_eq!(sim.take_replies(2), fill("(nil)", 2));
    assert_eq!(sim.take_replies(3), "");
}

#[test]
fn a_lease_that_was_not_delivered_when_its_holder_goes_passes_on() {
    for by_kill in [false, true] {
        let mut sim = waiting(&[2, 3, 4]);
        sim.stall(2);
        sim.cli(1, "LEASE.FAIL k 1893456000000001");
        if by_kill {
            sim.cli(1, "CLIENT KILL ID 2");
        } else {
            sim.disconnect(2);
        }
        sim.turn();
        assert_eq!(sim.take_replies(3), fill("(nil)", 3));
        assert_eq!(sim.take_replies(4), "");
        // What was delivered lasts, whatever becomes of the connection.
        sim.disconnect(3);
        sim.turn();
        assert_eq!(sim.take_replies(4), "");
        sim.advance_ms(2_000);
        assert_eq!(sim.take_replies(4), fill("(nil)", 4));
    }
}

#[test]
fn a_lease_with_a_stale_value_that_was_not_delivered_is_free_again() {
    let mut sim = Sim::new();
    sim.cli(1, "SET k v");
    sim.cli(1, "LEASE.INVALIDATE k");
    sim.connect(2);
    sim.stall(2);
    sim.send_raw(2, b"LEASE.GET k FOR 9000\r\n");
    assert!(sim.cli(1, "LEASE.GET k FOR 9000").starts_with("1) \"STALE\""));
    sim.disconnect(2);
    assert_eq!(sim.cli(1, "LEASE.GET k FOR 9000"), fill("\"v\"", 2));
}

#[test]
fn the_lease_of_who_disconnects_without_waiting_lasts_its_time() {
    let mut sim = waiting(&[2]);
    sim.disconnect(1);
    sim.advance_ms(9_999);
    assert_eq!(sim.take_replies(2), "");
    sim.advance_ms(1);
    assert_eq!(sim.take_replies(2), fill("(nil)", 2));
    assert_eq!(sim.cli(3, "LEASE.GET k FOR 9"), MISS);
}
