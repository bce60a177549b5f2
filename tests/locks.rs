//! LOCK.ACQUIRE, RELEASE, EXTEND, INFO, as far as nobody waits.

mod support;

use support::events::{check_events, listening};
use support::refusals::{
    check_refusals, invalid_expire, out_of_range, syntax, wrong_count, wrong_type,
};
use support::sim::{START_UNIX_US, Sim, play};
use tollgate::clock::Now;
use tollgate::config::Config;
use tollgate::engine::{Engine, Environment};

#[test]
fn a_lock_has_one_owner() {
    play(
        "one owner",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE k b PX 1000
(nil)
2> LOCK.ACQUIRE k b PX 1000 WAIT 0
(nil)
2> LOCK.ACQUIRE other b PX 1000
(integer) 1893456000000002
",
    );
}

#[test]
fn tokens_rise_with_each_grant_of_any_lock_or_lease() {
    play(
        "tokens",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
> LEASE.GET page FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000002
> LOCK.RELEASE k a
(integer) 0
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000003
(1000 ms later)
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000004
> FLUSHALL
OK
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000005
",
    );
}

#[test]
fn tokens_go_on_rising_after_a_restart() {
    let mut sim = Sim::new();
    let mut last = String::new();
    for _ in 0..900 {
        sim.cli(1, "DEL k");
        last = sim.cli(1, "LOCK.ACQUIRE k a PX 1000");
    }
    assert_eq!(last, "(integer) 1893456000000900");
    // A millisecond after the first one was started.
    let now = Now { unix_us: START_UNIX_US + 1_000, ..sim.now };
    let mut restarted = Sim::new();
    restarted.now = now;
    restarted.engine = Engine::new(Config::default(), Environment::simulated(1), now);
    let token = restarted.cli(1, "LOCK.ACQUIRE k a PX 1000");
    assert_eq!(token, "(integer) 1893456000001001");
}

#[test]
fn the_same_owner_again_holds_it_once_more_with_the_same_token() {
    play(
        "reentry",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.RELEASE k a
(integer) 1
3> LOCK.ACQUIRE k b PX 1000
(nil)
> LOCK.RELEASE k a
(integer) 0
> LOCK.RELEASE k a
(integer) -2
3> LOCK.ACQUIRE k b PX 1000
(integer) 1893456000000002
",
    );
}

#[test]
fn reentry_moves_the_deadline_only_if_that_is_later() {
    play(
        "later",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
> LOCK.ACQUIRE k a PX 10
(integer) 1893456000000001
> PTTL k
(integer) 1000
(100 ms later)
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
> PTTL k
(integer) 1000
> LOCK.RELEASE k a
(integer) 2
> PTTL k
(integer) 1000
(1000 ms later)
> LOCK.RELEASE k a
(integer) -2
",
    );
}

#[test]
fn release_is_for_owners() {
    play(
        "release",
        "
> LOCK.RELEASE k a
(integer) -2
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.RELEASE k b
(integer) -1
2> LOCK.RELEASE k a
(integer) 0
",
    );
}

#[test]
fn an_owners_time_is_over_in_its_millisecond() {
    play(
        "in time",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
(999 ms later)
2> LOCK.ACQUIRE k b PX 1000
(nil)
> EXISTS k
(integer) 1
(1 ms later)
> EXISTS k
(integer) 0
> LOCK.RELEASE k a
(integer) -2
2> LOCK.ACQUIRE k b PX 1000
(integer) 1893456000000002
> LOCK.RELEASE k a
(integer) -1
",
    );
}

#[test]
fn an_owners_time_is_over_although_very_many_others_are_too() {
    let mut config = Config::default();
    config.set("turn-timers-max", "1").expect("a known option");
    let mut sim = Sim::with_config(config);
    for number in 0..100 {
        sim.cli(1, &format!("LOCK.ACQUIRE k{number} a PX 1000"));
    }
    sim.now = sim.now.advanced(std::time::Duration::from_millis(1_000));
    for (request, reply) in [
        ("LOCK.RELEASE k99 a", ":-2"),
        ("LOCK.EXTEND k98 a PX 10", ":-2"),
        ("LOCK.INFO k97", "$-1"),
        (
            "LOCK.GUARD k96 1893456000000097 PING",
            "-STALE token 1893456000000097 does not hold lock 'k96'",
        ),
        ("LOCK.ACQUIRE k95 b PX 1000", ":1893456000000101"),
    ] {
        sim.engine.receive(1, format!("{request}\r\n").as_bytes(), sim.now);
        let output = String::from_utf8_lossy(sim.engine.output(1)).into_owned();
        sim.engine.sent(1, output.len());
        assert_eq!(output, format!("{reply}\r\n"), "{request}");
    }
}

#[test]
fn extend_sets_the_deadline_of_one_owner_counted_from_now() {
    play(
        "extend",
        "
> LOCK.EXTEND k a PX 1000
(integer) -2
> LOCK.ACQUIRE k a PX 1000 SHARED
(integer) 1893456000000001
> LOCK.ACQUIRE k b PX 1000 SHARED
(integer) 1893456000000002
> LOCK.EXTEND k c PX 1000
(integer) -1
(500 ms later)
> LOCK.EXTEND k a px 1000
(integer) 1
(500 ms later)
> LOCK.EXTEND k b PX 1000
(integer) -1
> PTTL k
(integer) 500
> LOCK.EXTEND k a PX 20
(integer) 1
(20 ms later)
> LOCK.EXTEND k a PX 1000
(integer) -2
",
    );
}

#[test]
fn readers_come_together_and_a_writer_alone() {
    play(
        "shared",
        "
> LOCK.ACQUIRE k r1 PX 1000 SHARED
(integer) 1893456000000001
2> LOCK.ACQUIRE k r2 PX 2000 SHARED
(integer) 1893456000000002
3> LOCK.ACQUIRE k w PX 1000
(nil)
> LOCK.RELEASE k r1
(integer) 0
3> LOCK.ACQUIRE k w PX 1000
(nil)
(2000 ms later)
3> LOCK.ACQUIRE k w PX 1000
(integer) 1893456000000003
> LOCK.ACQUIRE k r1 PX 1000 SHARED
(nil)
",
    );
}

#[test]
fn a_limit_admits_so_many_owners_each_with_a_deadline_of_its_own() {
    play(
        "limit",
        "
> LOCK.ACQUIRE k a PX 1000 LIMIT 2
(integer) 1893456000000001
> LOCK.ACQUIRE k b PX 2000 LIMIT 2
(integer) 1893456000000002
> LOCK.ACQUIRE k c PX 1000 LIMIT 2
(nil)
> LOCK.ACQUIRE k a PX 10 LIMIT 2
(integer) 1893456000000001
(1000 ms later)
> LOCK.ACQUIRE k c PX 500 LIMIT 2
(integer) 1893456000000003
> LOCK.RELEASE k b
(integer) 0
> LOCK.ACQUIRE k d PX 500 LIMIT 2
(integer) 1893456000000004
(500 ms later)
> EXISTS k
(integer) 0
",
    );
}

#[test]
fn a_mode_other_than_the_one_in_use_is_an_error() {
    for (first, in_use, others) in [
        ("", "exclusive", &["LIMIT 1", "LIMIT 2"][..]),
        ("SHARED", "shared", &["LIMIT 1", "LIMIT 9223372036854775807"]),
        ("LIMIT 3", "limit 3", &["", "SHARED", "LIMIT 2", "LIMIT 4"]),
    ] {
        let mut sim = Sim::new();
        sim.cli(1, &format!("LOCK.ACQUIRE k a PX 1000 {first}"));
        for other in others {
            for owner in ["a", "b"] {
                for wait in ["", "WAIT 1000"] {
                    assert_eq!(
                        sim.cli(2, &format!("LOCK.ACQUIRE k {owner} PX 1000 {other} {wait}")),
                        format!("(error) ERR lock is in use in another mode: {in_use}"),
                        "{owner}: {other} while {in_use}"
                    );
                }
            }
        }
        sim.cli(1, "LOCK.RELEASE k a");
        for other in others {
            let reply = sim.cli(1, &format!("LOCK.ACQUIRE k a PX 1000 {other}"));
            assert!(reply.starts_with("(integer) "), "a free lock has no mode: {reply}");
            assert_eq!(sim.cli(1, "LOCK.RELEASE k a"), "(integer) 0");
        }
    }
}

#[test]
fn an_owner_does_not_change_between_reading_and_writing() {
    for (own, other, in_use) in [("", "SHARED", "exclusive"), ("SHARED", "", "shared")] {
        let mut sim = Sim::new();
        sim.cli(1, &format!("LOCK.ACQUIRE k a PX 1000 {own}"));
        assert_eq!(
            sim.cli(1, &format!("LOCK.ACQUIRE k a PX 9000 {other}")),
            format!("(error) ERR lock is in use in another mode: {in_use}")
        );
        assert_eq!(sim.cli(1, "PTTL k"), "(integer) 1000");
        assert_eq!(sim.cli(1, "LOCK.RELEASE k a"), "(integer) 0", "held once, as before");
    }
}

#[test]
fn info_is_nil_of_a_lock_that_nobody_owns() {
    play(
        "nobody",
        "
> LOCK.INFO k
(nil)
> LOCK.ACQUIRE k a PX 10
(any)
(10 ms later)
> LOCK.INFO k
(nil)
> HELLO 3
(any)
> LOCK.INFO k
(nil)
",
    );
}

#[test]
fn info_tells_mode_limit_and_owners_in_order_of_their_grants() {
    let mut sim = Sim::new();
    sim.transcript(
        "info",
        r#"
> LOCK.ACQUIRE k b PX 1000 SHARED
(integer) 1893456000000001
> LOCK.ACQUIRE k a PX 2000 SHARED
(integer) 1893456000000002
> LOCK.ACQUIRE k b PX 1000 SHARED
(integer) 1893456000000001
(100 ms later)
> LOCK.INFO k
1) "mode"
2) "shared"
3) "limit"
4) (nil)
5) "owners"
6) 1) 1) "owner"
      2) "b"
      3) "token"
      4) (integer) 1893456000000001
      5) "holds"
      6) (integer) 2
      7) "pttl"
      8) (integer) 900
   2) 1) "owner"
      2) "a"
      3) "token"
      4) (integer) 1893456000000002
      5) "holds"
      6) (integer) 1
      7) "pttl"
      8) (integer) 1900
7) "waiters"
8) (empty array)
> LOCK.ACQUIRE pool c PX 1000 LIMIT 7
(integer) 1893456000000003
> LOCK.ACQUIRE one d PX 1000
(integer) 1893456000000004
"#,
    );
    sim.cli(1, "HELLO 3");
    sim.transcript(
        "as a map",
        r#"
> LOCK.INFO pool
1# "mode" => "limit"
2# "limit" => (integer) 7
3# "owners" => 
   1) 1# "owner" => "c"
      2# "token" => (integer) 1893456000000003
      3# "holds" => (integer) 1
      4# "pttl" => (integer) 1000
4# "waiters" => (empty array)
> LOCK.INFO one
1# "mode" => "exclusive"
2# "limit" => (integer) 1
3# "owners" => 
   1) 1# "owner" => "d"
      2# "token" => (integer) 1893456000000004
      3# "holds" => (integer) 1
      4# "pttl" => (integer) 1000
4# "waiters" => (empty array)
"#,
    );
}

/// A server on which client 2 has run these requests about lock `k`, and is gone.
fn after_disconnect(requests: &[&str]) -> Sim {
    let mut sim = Sim::new();
    for request in requests {
        let reply = sim.act(request);
        assert!(reply.starts_with("(integer) 18"), "{request}: {reply}");
    }
    sim.disconnect(2);
    sim.turn();
    sim
}

const PLAIN: &str = "2> LOCK.ACQUIRE k a PX 1000";
const TIED: &str = "2> LOCK.ACQUIRE k a PX 1000 TIED";

#[test]
fn a_lock_outlives_the_connection_that_acquired_it_unless_it_is_tied() {
    let mut sim = after_disconnect(&[PLAIN]);
    assert_eq!(sim.cli(1, "LOCK.RELEASE k a"), "(integer) 0");
    let mut sim = after_disconnect(&[TIED]);
    assert_eq!(sim.cli(1, "LOCK.RELEASE k a"), "(integer) -2");
}

#[test]
fn a_tied_lock_ends_with_all_its_holds() {
    let mut sim = after_disconnect(&[TIED, TIED, PLAIN]);
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0");
}

#[test]
fn the_tie_is_to_the_connection_of_the_latest_tied_acquire() {
    let elsewhere = "3> LOCK.ACQUIRE k a PX 1000";
    let tied_elsewhere = "3> LOCK.ACQUIRE k a PX 1000 TIED";
    for (requests, stays) in [
        (&[PLAIN, TIED][..], false),
        (&[TIED, PLAIN], false),
        (&[TIED, elsewhere], true),
        (&[TIED, elsewhere, PLAIN], true),
        (&[TIED, elsewhere, TIED], false),
        (&[TIED, tied_elsewhere], true),
        (&[tied_elsewhere, TIED], false),
    ] {
        let mut sim = after_disconnect(requests);
        assert_eq!(
            sim.cli(1, "EXISTS k"),
            format!("(integer) {}", i32::from(stays)),
            "{requests:?}"
        );
    }
    let mut sim = after_disconnect(&[TIED, tied_elsewhere]);
    sim.disconnect(3);
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0", "it has moved");
}

#[test]
fn a_tie_ends_with_the_ownership() {
    for end in ["LOCK.RELEASE k a", "DEL k", "FLUSHALL", "SET k v"] {
        let mut sim = Sim::new();
        sim.act(TIED);
        sim.cli(1, end);
        sim.cli(1, "DEL k");
        sim.cli(1, "LOCK.ACQUIRE k a PX 1000");
        sim.disconnect(2);
        assert_eq!(sim.cli(1, "LOCK.RELEASE k a"), "(integer) 0", "{end}");
    }
}

#[test]
fn a_tied_lock_ends_too_when_the_server_closes_the_connection_or_the_database_has_moved() {
    let mut sim = Sim::new();
    sim.act(TIED);
    let id = sim.cli(2, "CLIENT ID").replace("(integer) ", "");
    sim.cli(1, &format!("CLIENT KILL ID {id}"));
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0");
    sim.act("3> LOCK.ACQUIRE k a PX 1000 TIED");
    sim.cli(1, "LOCK.ACQUIRE k2 a PX 1000");
    sim.cli(1, "SWAPDB 0 1");
    sim.cli(1, "LOCK.ACQUIRE k a PX 1000");
    sim.disconnect(3);
    assert_eq!(sim.cli(1, "KEYS *"), "1) \"k\"");
    sim.cli(1, "SELECT 1");
    assert_eq!(sim.cli(1, "KEYS *"), "1) \"k2\"");
}

#[test]
fn a_connection_ties_no_more_locks_to_itself_than_client_tied_max() {
    let mut config = Config::default();
    config.set("client-tied-max", "2").expect("a known option");
    let mut sim = Sim::with_config(config);
    let acquire = |sim: &mut Sim, key: &str| sim.cli(2, &format!("LOCK.ACQUIRE {key} a PX 9 TIED"));
    let refused = "(error) ERR this connection holds client-tied-max (2) locks TIED to it";
    assert!(acquire(&mut sim, "k1").starts_with("(integer) "));
    assert!(acquire(&mut sim, "k2").starts_with("(integer) "));
    assert_eq!(acquire(&mut sim, "k3"), refused);
    assert_eq!(sim.cli(1, "EXISTS k3"), "(integer) 0");
    for freed in ["LOCK.RELEASE k1 a", "DEL k3", "FLUSHALL"] {
        sim.cli(1, freed);
        assert!(acquire(&mut sim, "k3").starts_with("(integer) "), "{freed}");
        if freed != "FLUSHALL" {
            assert_eq!(acquire(&mut sim, "k4"), refused, "{freed}");
        }
    }
    sim.advance_ms(9);
    assert!(acquire(&mut sim, "k5").starts_with("(integer) "));
    assert!(acquire(&mut sim, "k6").starts_with("(integer) "));
}

#[test]
fn del_frees_a_lock_and_whatever_else_is_stored_there_does_too() {
    for removal in ["DEL k", "UNLINK k", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "GETDEL k"] {
        let mut sim = Sim::new();
        sim.cli(1, "LOCK.ACQUIRE k a PX 1000 SHARED");
        sim.cli(1, removal);
        let free = removal != "GETDEL k";
        let token = if free { "(integer) 1893456000000002" } else { "(nil)" };
        assert_eq!(sim.cli(1, "LOCK.ACQUIRE k b PX 1000"), token, "{removal}");
    }
    for overwriting in ["SET k v", "MSET k v", "RENAME other k", "COPY other k REPLACE"] {
        let mut sim = Sim::new();
        sim.cli(1, "SET other v");
        sim.cli(1, "LOCK.ACQUIRE k a PX 1000 SHARED");
        sim.cli(1, overwriting);
        assert_eq!(sim.cli(1, "GET k"), "\"v\"", "{overwriting}");
        assert_eq!(sim.cli(1, "LOCK.RELEASE k a"), wrong_type(), "{overwriting}");
        sim.advance_ms(1_000);
        assert_eq!(sim.cli(1, "GET k"), "\"v\"", "{overwriting}: the owner's time means nothing");
    }
}

#[test]
fn locks_of_one_name_in_two_databases_are_two() {
    play(
        "databases",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> SELECT 1
OK
2> LOCK.ACQUIRE k b PX 1000
(integer) 1893456000000002
2> SWAPDB 0 1
OK
> LOCK.RELEASE k b
(integer) 0
2> LOCK.RELEASE k a
(integer) 0
",
    );
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let mut sim = Sim::new();
    sim.cli(1, "MSET shirt 5");
    sim.cli(1, "STOCK.HOLD hold PX 60000 shirt 2");
    sim.cli(1, "LOCK.ACQUIRE lock a PX 60000");
    check_refusals(
        &mut sim,
        &["STOCK.INFO hold", "LOCK.INFO lock", "GET shirt", "DBSIZE"],
        &[
            (wrong_count("lock.acquire"), &["LOCK.ACQUIRE", "LOCK.ACQUIRE k a PX"]),
            (wrong_count("lock.release"), &["LOCK.RELEASE lock", "LOCK.RELEASE lock a b"]),
            (wrong_count("lock.extend"), &["LOCK.EXTEND lock a PX", "LOCK.EXTEND lock a PX 1 2"]),
            (wrong_count("lock.info"), &["LOCK.INFO", "LOCK.INFO lock lock"]),
            (
                syntax(),
                &[
                    "LOCK.ACQUIRE k a EX 10",
                    "LOCK.ACQUIRE k a SHARED TIED",
                    "LOCK.ACQUIRE k a PX 10 PX 10",
                    "LOCK.ACQUIRE k a PX 10 WAIT",
                    "LOCK.ACQUIRE k a PX 10 WAIT 1 WAIT 1",
                    "LOCK.ACQUIRE k a PX 10 LIMIT",
                    "LOCK.ACQUIRE k a PX 10 LIMIT 1 LIMIT 1",
                    "LOCK.ACQUIRE k a PX 10 SHARED SHARED",
                    "LOCK.ACQUIRE k a PX 10 SHARED LIMIT 2",
                    "LOCK.ACQUIRE k a PX 10 LIMIT 2 SHARED",
                    "LOCK.ACQUIRE k a PX 10 TIED TIED",
                    "LOCK.ACQUIRE lock a PX 10 TOGETHER",
                    "LOCK.EXTEND lock a EX 10",
                ],
            ),
            (
                out_of_range("PX", 1),
                &[
                    "LOCK.ACQUIRE k a PX 0",
                    "LOCK.ACQUIRE lock a PX -1",
                    "LOCK.ACQUIRE lock a PX 9223372036854775808",
                    "LOCK.EXTEND lock a PX 0",
                    "LOCK.EXTEND nothing a PX 1e3",
                ],
            ),
            (
                out_of_range("WAIT", 0),
                &[
                    "LOCK.ACQUIRE lock b PX 10 WAIT -1",
                    "LOCK.ACQUIRE lock b PX 10 WAIT 9223372036854775808",
                    "LOCK.ACQUIRE lock b PX 10 WAIT soon",
                ],
            ),
            (
                out_of_range("LIMIT", 1),
                &["LOCK.ACQUIRE k a PX 10 LIMIT 0", "LOCK.ACQUIRE k a PX 10 LIMIT few"],
            ),
            (invalid_expire("lock.acquire"), &["LOCK.ACQUIRE k a PX 9223372036854775807"]),
            (invalid_expire("lock.extend"), &["LOCK.EXTEND lock a PX 9223372036854775807"]),
            (
                wrong_type(),
                &[
                    "LOCK.ACQUIRE shirt a PX 10",
                    "LOCK.ACQUIRE shirt a PX 10 WAIT 10",
                    "LOCK.ACQUIRE hold a PX 10 LIMIT 2 TIED",
                    "LOCK.RELEASE shirt a",
                    "LOCK.RELEASE hold a",
                    "LOCK.EXTEND shirt a PX 10",
                    "LOCK.EXTEND hold a PX 10",
                    "LOCK.INFO shirt",
                    "LOCK.INFO hold",
                ],
            ),
        ],
    );
}

#[test]
fn names_are_bytes() {
    let mut sim = Sim::new();
    let (key, owner) = (b"k\0\r\n\xff", b"");
    sim.ask(1, &[b"lock.acquire", key, owner, b"px", b"1000", b"tied", b"wait", b"0"]);
    sim.transcript(
        "bytes",
        r#"
> KEYS *
1) "k\x00\r\n\xff"
2> LOCK.RELEASE "k\x00\r\n\xff" other
(integer) -1
2> LOCK.RELEASE "k\x00\r\n\xff" ""
(integer) 0
"#,
    );
}

#[test]
fn each_step_of_a_lock_is_an_event() {
    check_events(
        &mut listening("KEA"),
        &[
            ("> LOCK.ACQUIRE k a PX 1000", &["lock k"]),
            ("> LOCK.ACQUIRE k a PX 1000", &["lock k"]),
            ("> LOCK.ACQUIRE k b PX 1000", &[]),
            ("> LOCK.EXTEND k b PX 1000", &[]),
            ("> LOCK.EXTEND k a PX 1000", &["expire k"]),
            ("> LOCK.RELEASE k b", &[]),
            ("> LOCK.RELEASE k a", &[]),
            ("> LOCK.RELEASE k a", &["unlock k"]),
            ("> LOCK.RELEASE k a", &[]),
            ("> LOCK.ACQUIRE k a PX 1000 SHARED", &["lock k"]),
            ("> LOCK.ACQUIRE k b PX 2000 SHARED", &["lock k"]),
            ("(1000 ms later)", &["expired k"]),
            ("(1000 ms later)", &["expired k"]),
            ("> LOCK.ACQUIRE k a PX 1000 SHARED", &["lock k"]),
            ("> DEL k", &["del k"]),
            ("(1000 ms later)", &[]),
        ],
    );
    check_events(
        &mut listening("Ed"),
        &[
            ("> LOCK.ACQUIRE k a PX 1000", &["lock k"]),
            ("> LOCK.EXTEND k a PX 1000", &[]),
            ("> LOCK.RELEASE k a", &["unlock k"]),
            ("> LOCK.ACQUIRE k a PX 1000", &["lock k"]),
            ("(1000 ms later)", &[]),
        ],
    );
    check_events(
        &mut listening("Exg"),
        &[
            ("> LOCK.ACQUIRE k a PX 1000", &[]),
            ("> LOCK.EXTEND k a PX 500", &["expire k"]),
            ("(500 ms later)", &["expired k"]),
        ],
    );
}

#[test]
fn the_end_of_a_tied_lock_is_an_unlock() {
    let mut sim = listening("KEA");
    check_events(&mut sim, &[(TIED, &["lock k"])]);
    sim.disconnect(2);
    check_events(&mut sim, &[("(0 ms later)", &["unlock k"])]);
}

#[test]
fn whatever_happens_to_a_lock_is_a_change_to_who_watches_it() {
    for change in [
        "> LOCK.ACQUIRE free a PX 1000",
        "> LOCK.ACQUIRE k a PX 1000 SHARED",
        "> LOCK.ACQUIRE k b PX 1000 SHARED",
        "> LOCK.RELEASE k a",
        "> LOCK.EXTEND k a PX 1",
        "(1000 ms later)",
    ] {
        let mut sim = Sim::new();
        sim.cli(1, "LOCK.ACQUIRE k a PX 1000 SHARED");
        sim.cli(2, "WATCH k free");
        sim.act(change);
        sim.cli(2, "MULTI");
        assert_eq!(sim.cli(2, "EXEC"), "(nil)", "{change}");
    }
    for harmless in ["> LOCK.ACQUIRE k w PX 1000", "> LOCK.RELEASE k b", "> LOCK.INFO k"] {
        let mut sim = Sim::new();
        sim.cli(1, "LOCK.ACQUIRE k a PX 1000 SHARED");
        sim.cli(2, "WATCH k free");
        sim.act(harmless);
        sim.cli(2, "MULTI");
        assert_eq!(sim.cli(2, "EXEC"), "(empty array)", "{harmless}");
    }
}
