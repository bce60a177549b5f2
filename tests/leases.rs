//! LEASE.GET, SET, FAIL, INVALIDATE, as far as nobody waits.

mod support;

use support::events::{check_events, listening};
use support::refusals::{
    check_refusals, invalid_expire, not_an_integer, out_of_range, syntax, wrong_count, wrong_type,
};
use support::resp::Reply;
use support::sim::{Sim, play};

const LEASE_SET: &str = "LEASE.SET k 1893456000000001 new PX 1000";

/// A server on which somebody has the first token that there is, the lease on `k`
/// for ten seconds, after these requests.
fn leased(requests: &[&str]) -> Sim {
    let mut sim = Sim::new();
    for request in requests {
        let reply = sim.act(request);
        assert!(!reply.contains("error"), "{request}: {reply}");
    }
    let reply = sim.cli(1, "LEASE.GET k FOR 10000 AHEAD 9223372036854775807");
    assert!(reply.starts_with("1) \"FILL\""), "{requests:?}: {reply}");
    sim
}

#[test]
fn one_caller_computes_and_the_value_is_everybodys() {
    play(
        "fill",
        "
> LEASE.GET k FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000001
2> LEASE.GET k FOR 1000
1) \"MISS\"
2) (nil)
3) (nil)
> LEASE.GET k FOR 1000
1) \"MISS\"
2) (nil)
3) (nil)
> LEASE.SET k 1893456000000001 v PX 5000
(integer) 1
2> LEASE.GET k FOR 1000
1) \"HIT\"
2) \"v\"
3) (nil)
(4999 ms later)
2> LEASE.GET k FOR 1000
1) \"HIT\"
2) \"v\"
3) (nil)
(1 ms later)
2> LEASE.GET k FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000002
",
    );
}

#[test]
fn the_reply_is_an_array_with_nulls_in_either_protocol() {
    for (hello, null) in [("HELLO 2", "$-1\r\n"), ("HELLO 3", "_\r\n")] {
        let mut sim = Sim::new();
        sim.cli(1, hello);
        sim.cli(2, "SET k 12");
        for (request, reply) in [
            ("LEASE.GET k FOR 10", format!("*3\r\n$3\r\nHIT\r\n$2\r\n12\r\n{null}")),
            ("LEASE.GET m FOR 10", format!("*3\r\n$4\r\nFILL\r\n{null}:1893456000000001\r\n")),
            ("LEASE.GET m FOR 10", format!("*3\r\n$4\r\nMISS\r\n{null}{null}")),
            ("LEASE.INVALIDATE k", ":1\r\n".to_owned()),
            (
                "LEASE.GET k FOR 10",
                "*3\r\n$4\r\nFILL\r\n$2\r\n12\r\n:1893456000000002\r\n".to_owned(),
            ),
            ("LEASE.GET k FOR 10", format!("*3\r\n$5\r\nSTALE\r\n$2\r\n12\r\n{null}")),
            ("LEASE.FAIL k 1893456000000002", ":1\r\n".to_owned()),
            ("LEASE.SET k 1893456000000002 v PX 10", ":-1\r\n".to_owned()),
        ] {
            sim.send_raw(1, format!("{request}\r\n").as_bytes());
            assert_eq!(String::from_utf8_lossy(&sim.take_bytes(1)), reply, "{hello}, {request}");
        }
    }
}

#[test]
fn a_lease_ends_by_itself_in_its_millisecond() {
    play(
        "for",
        "
> LEASE.GET k FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000001
(999 ms later)
2> LEASE.GET k FOR 1000
1) \"MISS\"
2) (nil)
3) (nil)
(1 ms later)
> LEASE.SET k 1893456000000001 late PX 1000
(integer) -1
2> LEASE.GET k FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000002
> LEASE.SET k 1893456000000001 late PX 1000
(integer) -1
> LEASE.FAIL k 1893456000000001
(integer) -1
2> LEASE.SET k 1893456000000002 v PX 1000
(integer) 1
",
    );
}

#[test]
fn a_value_is_fresh_then_stale_then_gone() {
    play(
        "stale",
        "
> LEASE.GET k FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000001
> LEASE.SET k 1893456000000001 v PX 1000 STALE 500
(integer) 1
> PTTL k
(integer) 1500
(999 ms later)
> LEASE.GET k FOR 100
1) \"HIT\"
2) \"v\"
3) (nil)
(1 ms later)
> GET k
\"v\"
> LEASE.GET k FOR 100
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000002
2> LEASE.GET k FOR 100 WAIT 5000
1) \"STALE\"
2) \"v\"
3) (nil)
(100 ms later)
2> LEASE.GET k FOR 1000
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000003
(399 ms later)
> LEASE.GET k FOR 1000
1) \"STALE\"
2) \"v\"
3) (nil)
(1 ms later)
> LEASE.GET k FOR 1000
1) \"MISS\"
2) (nil)
3) (nil)
2> LEASE.SET k 1893456000000003 w PX 1000
(integer) 1
",
    );
}

#[test]
fn ahead_lets_one_caller_refresh_early_while_all_others_still_hit() {
    play(
        "ahead",
        "
> LEASE.GET k FOR 1000
(any)
> LEASE.SET k 1893456000000001 v PX 1000 STALE 500
(integer) 1
(800 ms later)
> LEASE.GET k FOR 1000 AHEAD 200
1) \"HIT\"
2) \"v\"
3) (nil)
> LEASE.GET k FOR 1000
1) \"HIT\"
2) \"v\"
3) (nil)
> LEASE.GET k FOR 300 AHEAD 201
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000002
2> LEASE.GET k FOR 1000 AHEAD 500
1) \"HIT\"
2) \"v\"
3) (nil)
(200 ms later)
2> LEASE.GET k FOR 1000 AHEAD 500
1) \"STALE\"
2) \"v\"
3) (nil)
> LEASE.SET k 1893456000000002 w PX 1000 STALE 500
(integer) 1
2> LEASE.GET k FOR 1000 AHEAD 500
1) \"HIT\"
2) \"w\"
3) (nil)
",
    );
}

#[test]
fn a_plain_value_is_fresh_until_its_deadline_and_for_ever_without_one() {
    play(
        "plain",
        "
> SET k v PX 1000
OK
> SET for-ever v
OK
> LEASE.GET for-ever FOR 1000 AHEAD 9223372036854775807
1) \"HIT\"
2) \"v\"
3) (nil)
(900 ms later)
> LEASE.GET k FOR 1000 AHEAD 100
1) \"HIT\"
2) \"v\"
3) (nil)
> LEASE.GET k FOR 1000 AHEAD 101
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000001
(100 ms later)
> LEASE.GET k FOR 1000
1) \"MISS\"
2) (nil)
3) (nil)
",
    );
}

#[test]
fn whatever_writes_or_removes_the_value_voids_the_lease() {
    for before in [&[][..], &["> SET k 5 PX 5000"]] {
        for write in [
            "SET k v",
            "SET k 6 KEEPTTL",
            "SETEX k 10 v",
            "PSETEX k 10 v",
            "GETSET k v",
            "MSET k v",
            "MSETEX 1 k v",
            "APPEND k 1",
            "SETRANGE k 0 x",
            "INCR k",
            "DECRBY k 1",
            "INCRBYFLOAT k 1",
            "INCREX k",
            "DEL k",
            "UNLINK k",
            "RENAME other k",
            "COPY other k REPLACE",
            "FLUSHDB",
            "FLUSHALL",
            "LEASE.INVALIDATE k",
            "LOCK.ACQUIRE l a PX 10",
        ] {
            let mut sim = leased(before);
            sim.cli(2, "SET other 1");
            let reply = sim.cli(2, write);
            assert!(!reply.contains("error"), "{write}: {reply}");
            let voided = if write.starts_with("LOCK") { "(integer) 1" } else { "(integer) -1" };
            let value = sim.cli(2, "GET k");
            assert_eq!(sim.cli(1, LEASE_SET), voided, "{before:?}, {write}");
            let after = if write.starts_with("LOCK") { "\"new\"".to_owned() } else { value };
            assert_eq!(sim.cli(2, "GET k"), after, "{before:?}, {write}: a newer truth stays");
        }
    }
    for removal in ["GETDEL k", "RENAME k other", "MOVE k 1", "EXPIRE k -1", "GETEX k PXAT 1"] {
        let mut sim = leased(&["> SET k 5 PX 5000"]);
        sim.cli(2, removal);
        assert_eq!(sim.cli(1, LEASE_SET), "(integer) -1", "{removal}");
        assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0", "{removal}");
    }
}

#[test]
fn a_lease_of_a_name_that_becomes_a_lock_or_a_hold_is_void() {
    for taken in ["LOCK.ACQUIRE k a PX 10", "STOCK.HOLD k PX 10 shirt 1"] {
        let mut sim = leased(&["> SET shirt 5"]);
        sim.cli(2, taken);
        assert_eq!(sim.cli(1, LEASE_SET), wrong_type(), "{taken}");
        sim.cli(2, "DEL k");
        assert_eq!(sim.cli(1, LEASE_SET), "(integer) -1", "{taken}");
    }
}

#[test]
fn what_is_no_write_leaves_the_lease() {
    for harmless in [
        "> EXPIRE k 100",
        "> PERSIST k",
        "> GETEX k PX 50",
        "> GET k",
        "> COPY k other",
        "> SET k v NX",
        "> SET k v IFEQ other",
        "> TOUCH k",
        "> SET other v",
        "> SWAPDB 2 3",
        "> LEASE.GET k FOR 1000",
        "> LEASE.SET k 7 v PX 1000",
        "> LEASE.FAIL k 7",
        "(5000 ms later)",
    ] {
        let mut sim = leased(&["> SET k 5 PX 5000"]);
        sim.act(harmless);
        assert_eq!(sim.cli(1, LEASE_SET), "(integer) 1", "{harmless}");
    }
}

#[test]
fn set_may_be_repeated_until_its_time_is_over_or_somebody_else_has_written() {
    for (between, again) in [
        ("(9999 ms later)", "(integer) 1"),
        ("> LEASE.GET k FOR 5", "(integer) 1"),
        ("> EXPIRE k 100", "(integer) 1"),
        ("(10000 ms later)", "(integer) -1"),
        ("> SET k newest", "(integer) -1"),
        ("> DEL k", "(integer) -1"),
        ("> LEASE.INVALIDATE k", "(integer) -1"),
        ("> LEASE.GET k FOR 5 AHEAD 99999", "(integer) -1"),
    ] {
        let mut sim = leased(&[]);
        assert_eq!(sim.cli(1, LEASE_SET), "(integer) 1");
        sim.act(between);
        let value = sim.cli(1, "GET k");
        assert_eq!(sim.cli(1, LEASE_SET), again, "{between}");
        assert_eq!(sim.cli(1, "GET k"), value, "{between}: nothing is stored twice");
        assert_eq!(sim.cli(1, "LEASE.FAIL k 1893456000000001"), "(integer) -1", "{between}");
    }
}

#[test]
fn fail_gives_the_lease_up_and_may_be_repeated() {
    for message in ["", " \"no database\""] {
        let mut sim = leased(&[]);
        let fail = format!("LEASE.FAIL k 1893456000000001{message}");
        assert_eq!(sim.cli(2, &fail), "(integer) 1");
        assert_eq!(sim.cli(1, &fail), "(integer) 1");
        assert_eq!(sim.cli(1, LEASE_SET), "(integer) -1");
        assert!(sim.cli(2, "LEASE.GET k FOR 1000").starts_with("1) \"FILL\""));
        assert_eq!(sim.cli(1, &fail), "(integer) -1", "another has it");
        assert_eq!(sim.cli(1, "LEASE.FAIL nothing 7"), "(integer) -1");
    }
}

#[test]
fn invalidate_makes_the_value_stale_for_what_it_had_left() {
    play(
        "invalidate",
        "
> LEASE.INVALIDATE k
(integer) -2
> LEASE.GET k FOR 1000
(any)
> LEASE.SET k 1893456000000001 v PX 1000 STALE 500
(integer) 1
(100 ms later)
> LEASE.INVALIDATE k
(integer) 1
> PTTL k
(integer) 1400
> GET k
\"v\"
> LEASE.GET k FOR 1000
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000002
> LEASE.INVALIDATE k
(integer) 1
> LEASE.SET k 1893456000000002 late PX 1000
(integer) -1
> LEASE.GET k FOR 1000
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000003
> SET for-ever v
OK
> LEASE.INVALIDATE for-ever
(integer) 1
> PTTL for-ever
(integer) -1
> LEASE.GET for-ever FOR 1000
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000004
",
    );
}

#[test]
fn invalidate_with_stale_says_how_long_the_value_is_still_served() {
    play(
        "invalidate stale",
        "
> MSET a v b v
OK
> LEASE.INVALIDATE a STALE 300
(integer) 1
> PTTL a
(integer) 300
(299 ms later)
> LEASE.GET a FOR 1000
1) \"FILL\"
2) \"v\"
3) (integer) 1893456000000001
(1 ms later)
> LEASE.GET a FOR 1000
1) \"MISS\"
2) (nil)
3) (nil)
> LEASE.INVALIDATE b stale 0
(integer) 1
> EXISTS b
(integer) 0
> LEASE.INVALIDATE b STALE 0
(integer) -2
",
    );
}

#[test]
fn invalidate_voids_a_lease_without_a_value_too() {
    let mut sim = leased(&[]);
    assert_eq!(sim.cli(2, "LEASE.INVALIDATE k STALE 100"), "(integer) -2");
    assert_eq!(sim.cli(1, LEASE_SET), "(integer) -1");
    assert!(sim.cli(2, "LEASE.GET k FOR 1000").starts_with("1) \"FILL\""));
}

#[test]
fn a_plain_write_makes_a_stale_value_fresh() {
    for write in ["SET k w", "SET k w KEEPTTL", "APPEND k x", "GETSET k w", "SETRANGE k 0 w"] {
        let mut sim = Sim::new();
        sim.cli(1, "SET k v PX 5000");
        sim.cli(1, "LEASE.INVALIDATE k");
        sim.cli(1, write);
        let reply = sim.cli(1, "LEASE.GET k FOR 1000");
        assert!(reply.starts_with("1) \"HIT\""), "{write}: {reply}");
    }
    for harmless in ["EXPIRE k 100", "PERSIST k", "GETEX k PX 9000", "SET k w NX"] {
        let mut sim = Sim::new();
        sim.cli(1, "SET k v PX 5000");
        sim.cli(1, "LEASE.INVALIDATE k");
        sim.cli(1, harmless);
        let reply = sim.cli(1, "LEASE.GET k FOR 1000");
        assert!(reply.starts_with("1) \"FILL\"\n2) \"v\""), "{harmless}: {reply}");
    }
}

#[test]
fn freshness_goes_with_the_value_and_the_lease_stays_with_the_name() {
    for (moved, select) in
        [("RENAME k other", ""), ("COPY k other", ""), ("COPY k other DB 1", "SELECT 1")]
    {
        let mut sim = leased(&[]);
        sim.cli(1, "LEASE.SET k 1893456000000001 v PX 1000 STALE 1000");
        sim.cli(1, moved);
        if !select.is_empty() {
            sim.cli(1, select);
        }
        sim.advance_ms(999);
        assert!(sim.cli(1, "LEASE.GET other FOR 9").starts_with("1) \"HIT\""), "{moved}");
        sim.advance_ms(1);
        assert!(
            sim.cli(1, "LEASE.GET other FOR 9").starts_with("1) \"FILL\"\n2) \"v\""),
            "{moved}"
        );
    }
}

#[test]
fn a_lease_goes_with_its_database() {
    play(
        "swapdb",
        "
> LEASE.GET k FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000001
> SWAPDB 0 1
OK
> LEASE.SET k 1893456000000001 v PX 1000
(integer) -1
> LEASE.GET k FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000002
> SELECT 1
OK
> LEASE.SET k 1893456000000001 v PX 1000
(integer) 1
",
    );
}

#[test]
fn the_value_is_an_ordinary_string() {
    play(
        "string",
        "
> LEASE.GET k FOR 1000
(any)
> LEASE.SET k 1893456000000001 41 PX 1000 STALE 1000
(integer) 1
> INCR k
(integer) 42
> OBJECT ENCODING k
\"int\"
> TYPE k
string
> STRLEN k
(integer) 2
> LEASE.GET big FOR 1000
(any)
",
    );
    let mut sim = leased(&[]);
    let value = vec![b'x'; 100_000];
    let token = b"1893456000000001";
    let stored = sim.ask(1, &[b"LEASE.SET", b"k", token, &value, b"PX", b"1000"]);
    assert_eq!(stored, Reply::Integer(1));
    assert_eq!(sim.ask(1, &[b"GET", b"k"]), Reply::Bulk(value));
}

#[test]
fn jitter_shortens_the_freshness_by_a_random_share_of_up_to_its_percentage() {
    let mut sim = Sim::new();
    let mut left = Vec::new();
    for number in 0..200_u64 {
        sim.cli(1, &format!("LEASE.GET k{number} FOR 1000"));
        let token = 1_893_456_000_000_001 + number;
        let set = format!("LEASE.SET k{number} {token} v PX 1000 STALE 7000 JITTER 20");
        assert_eq!(sim.cli(1, &set), "(integer) 1");
        let Reply::Integer(ms) = sim.ask(1, &[b"PTTL", format!("k{number}").as_bytes()]) else {
            panic!("an integer");
        };
        left.push(ms - 7_000);
    }
    assert!(left.iter().all(|ms| (800..=1_000).contains(ms)), "{left:?}");
    assert!(left.iter().any(|ms| *ms < 830) && left.iter().any(|ms| *ms > 970), "{left:?}");
    let mut sim = leased(&[]);
    sim.cli(1, "LEASE.SET k 1893456000000001 v PX 1000 JITTER 0");
    assert_eq!(sim.cli(1, "PTTL k"), "(integer) 1000");
}

#[test]
fn inside_a_transaction_leases_work_as_outside() {
    play(
        "transaction",
        "
> MULTI
OK
> LEASE.GET k FOR 1000 WAIT 500
QUEUED
> LEASE.GET k FOR 1000 WAIT 500
QUEUED
> LEASE.SET k 1893456000000001 v PX 1000
QUEUED
> LEASE.GET k FOR 1000
QUEUED
> EXEC
1) 1) \"FILL\"
   2) (nil)
   3) (integer) 1893456000000001
2) 1) \"MISS\"
   2) (nil)
   3) (nil)
3) (integer) 1
4) 1) \"HIT\"
   2) \"v\"
   3) (nil)
",
    );
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let mut sim =
        leased(&["> SET k v PX 60000", "> SET shirt 5", "> STOCK.HOLD hold PX 60000 shirt 1"]);
    sim.cli(1, "LOCK.ACQUIRE lock a PX 60000");
    let jitter = "(error) ERR JITTER must be a percentage between 0 and 100";
    check_refusals(
        &mut sim,
        &["KEY.INFO k", "KEY.INFO lock", "KEY.INFO hold", "DBSIZE"],
        &[
            (wrong_count("lease.get"), &["LEASE.GET", "LEASE.GET k", "LEASE.GET k FOR"]),
            (wrong_count("lease.set"), &["LEASE.SET k 1893456000000001 w", "LEASE.SET k 1 w PX"]),
            (wrong_count("lease.fail"), &["LEASE.FAIL k", "LEASE.FAIL k 1893456000000001 a b"]),
            (wrong_count("lease.invalidate"), &["LEASE.INVALIDATE"]),
            (
                syntax(),
                &[
                    "LEASE.GET k PX 1000",
                    "LEASE.GET k WAIT 10 AHEAD 10",
                    "LEASE.GET k FOR 1000 FOR 1000",
                    "LEASE.GET k FOR 1000 WAIT",
                    "LEASE.GET k FOR 1000 WAIT 1 WAIT 1",
                    "LEASE.GET k FOR 1000 AHEAD 1 AHEAD 1",
                    "LEASE.SET k 1893456000000001 w EX 10",
                    "LEASE.SET k 1893456000000001 w STALE 10",
                    "LEASE.SET k 1893456000000001 w PX 10 PX 10",
                    "LEASE.SET k 1893456000000001 w PX 10 STALE",
                    "LEASE.SET k 1893456000000001 w PX 10 STALE 1 STALE 1",
                    "LEASE.SET k 1893456000000001 w PX 10 JITTER 1 JITTER 1",
                    "LEASE.INVALIDATE k STALE",
                    "LEASE.INVALIDATE k PX 10",
                    "LEASE.INVALIDATE k STALE 10 now",
                ],
            ),
            (out_of_range("FOR", 1), &["LEASE.GET k FOR 0", "LEASE.GET k FOR x"]),
            (out_of_range("WAIT", 0), &["LEASE.GET k FOR 10 WAIT -1"]),
            (out_of_range("AHEAD", 1), &["LEASE.GET k FOR 10 AHEAD 0"]),
            (
                out_of_range("token", 1),
                &["LEASE.SET k 0 w PX 10", "LEASE.SET k x w PX 10", "LEASE.FAIL k -1"],
            ),
            (out_of_range("PX", 1), &["LEASE.SET k 1893456000000001 w PX 0"]),
            (
                out_of_range("STALE", 0),
                &["LEASE.SET k 1893456000000001 w PX 10 STALE -1", "LEASE.INVALIDATE k STALE x"],
            ),
            (
                jitter.to_owned(),
                &[
                    "LEASE.SET k 1893456000000001 w PX 10 JITTER 101",
                    "LEASE.SET k 1893456000000001 w PX 10 JITTER -1",
                ],
            ),
            (not_an_integer(), &["LEASE.SET k 1893456000000001 w PX 10 JITTER x"]),
            (invalid_expire("lease.get"), &["LEASE.GET k FOR 9223372036854775807"]),
            (
                invalid_expire("lease.set"),
                &[
                    "LEASE.SET k 1893456000000001 w PX 9223372036854775807",
                    "LEASE.SET k 1893456000000001 w PX 10 STALE 9223372036854775807",
                ],
            ),
            (invalid_expire("lease.invalidate"), &["LEASE.INVALIDATE k STALE 9223372036854775807"]),
            (
                wrong_type(),
                &[
                    "LEASE.GET lock FOR 10",
                    "LEASE.GET hold FOR 10 WAIT 10",
                    "LEASE.SET lock 1893456000000001 w PX 10",
                    "LEASE.SET hold 1893456000000001 w PX 10",
                    "LEASE.FAIL lock 1893456000000001",
                    "LEASE.FAIL hold 1893456000000001",
                    "LEASE.INVALIDATE lock",
                    "LEASE.INVALIDATE hold STALE 0",
                ],
            ),
        ],
    );
    assert_eq!(sim.cli(1, LEASE_SET), "(integer) 1", "the lease is still its holder's");
}

#[test]
fn each_change_of_a_value_is_an_event_and_a_lease_is_none() {
    let mut sim = listening("KEA");
    check_events(
        &mut sim,
        &[
            ("> LEASE.GET k FOR 1000", &[]),
            ("> LEASE.SET k 1893456000000001 v PX 1000 STALE 500", &["set k", "expire k"]),
            ("> LEASE.SET k 1893456000000001 v PX 1000 STALE 500", &[]),
            ("> LEASE.SET k 7 v PX 1000", &[]),
            ("(999 ms later)", &[]),
            ("(1 ms later)", &["stale k"]),
            ("> LEASE.GET k FOR 1000", &[]),
            ("> LEASE.FAIL k 1893456000000002", &[]),
            ("> LEASE.INVALIDATE k", &["stale k"]),
            ("> LEASE.INVALIDATE nothing", &[]),
            ("(500 ms later)", &["expired k"]),
            ("> SET k v", &["set k"]),
            ("> LEASE.INVALIDATE k STALE 100", &["stale k"]),
            ("> LEASE.INVALIDATE k STALE 0", &["del k"]),
            ("> LEASE.GET k FOR 1000", &[]),
            ("> LEASE.SET k 1893456000000003 v PX 1000 STALE 500", &["set k", "expire k"]),
            ("> RENAME k m", &["rename_from k", "rename_to m"]),
            ("(1000 ms later)", &["stale m"]),
            ("> SET m w", &["set m"]),
            ("(1000 ms later)", &[]),
        ],
    );
    check_events(
        &mut listening("Ed"),
        &[
            ("> SET k v", &[]),
            ("> LEASE.INVALIDATE k STALE 100", &["stale k"]),
            ("(100 ms later)", &[]),
        ],
    );
}

#[test]
fn a_value_that_is_overwritten_or_removed_does_not_go_stale() {
    for change in ["SET k w", "SET k w KEEPTTL", "APPEND k x", "DEL k", "FLUSHALL"] {
        let mut sim = listening("KEA");
        for request in ["LEASE.GET k FOR 1000", "LEASE.SET k 1893456000000001 v PX 1000 STALE 500"]
        {
            sim.cli(1, request);
        }
        sim.cli(1, change);
        support::events::take_events(&mut sim);
        check_events(&mut sim, &[("(1000 ms later)", &[])]);
    }
}
