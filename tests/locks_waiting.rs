//! LOCK.ACQUIRE ... WAIT: the queue, who comes out of it when, circles of owners who
//! wait for each other, and grants that never reached their owner.

mod support;

use support::events::{check_events, listening};
use support::sim::{Sim, play};

/// The `nth` token that a server grants, as its reply.
fn token(nth: u64) -> String {
    format!("(integer) {}", 1_893_456_000_000_000 + nth)
}

/// Each line is a request; none of them is answered.
#[track_caller]
fn wait(sim: &mut Sim, lines: &[&str]) {
    for line in lines {
        assert_eq!(sim.act(line), "", "{line}");
    }
}

/// What these clients have been sent.
fn replies<const N: usize>(sim: &mut Sim, clients: [usize; N]) -> [String; N] {
    sim.turn();
    clients.map(|client| sim.take_replies(client))
}

#[test]
fn waiters_are_served_in_order_of_arrival_in_the_turn_in_which_the_lock_is_free() {
    play(
        "order",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE k b PX 1000 WAIT 5000
(none)
3> LOCK.ACQUIRE k c PX 1000 WAIT 5000
(none)
> LOCK.RELEASE k a
(integer) 0
2>
(integer) 1893456000000002
3>
(none)
> LOCK.RELEASE k c
(integer) -1
2> LOCK.RELEASE k b
(integer) 0
3>
(integer) 1893456000000003
3> LOCK.RELEASE k c
(integer) 0
> EXISTS k
(integer) 0
",
    );
}

#[test]
fn who_is_served_has_the_lock_before_anybodys_next_command() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 1000");
    wait(&mut sim, &["2> LOCK.ACQUIRE k b PX 1000 WAIT 5000"]);
    sim.send_raw(1, b"LOCK.RELEASE k a\r\nLOCK.ACQUIRE k a PX 1000\r\nLOCK.RELEASE k b\r\n");
    assert_eq!(sim.take_replies(1), "(integer) 0\n(nil)\n(integer) 0");
    assert_eq!(sim.take_replies(2), token(2));
}

#[test]
fn the_time_of_a_waiter_starts_when_it_is_granted() {
    play(
        "px",
        "
> LOCK.ACQUIRE k a PX 1000
(any)
2> LOCK.ACQUIRE k b PX 300 WAIT 5000
(none)
(1000 ms later)
2>
(integer) 1893456000000002
> PTTL k
(integer) 300
(299 ms later)
> LOCK.ACQUIRE k a PX 1000
(nil)
(1 ms later)
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000003
",
    );
}

#[test]
fn a_lock_passes_on_however_it_becomes_free() {
    for (acquire, free) in [
        ("LOCK.ACQUIRE k a PX 9000", "> LOCK.RELEASE k a"),
        ("LOCK.ACQUIRE k a PX 9000", "> DEL k"),
        ("LOCK.ACQUIRE k a PX 9000", "> UNLINK k"),
        ("LOCK.ACQUIRE k a PX 9000", "> FLUSHDB"),
        ("LOCK.ACQUIRE k a PX 9000", "> FLUSHALL"),
        ("LOCK.ACQUIRE k a PX 9000", "> SWAPDB 0 1"),
        ("LOCK.ACQUIRE k a PX 9000", "> LOCK.EXTEND k a PX 1"),
        ("LOCK.ACQUIRE k a PX 1000", "(1000 ms later)"),
        ("LOCK.ACQUIRE k a PX 1000 LIMIT 1", "(1000 ms later)"),
    ] {
        let mut sim = Sim::new();
        sim.cli(1, acquire);
        let mode = if acquire.contains("LIMIT") { "LIMIT 1" } else { "" };
        for (client, owner) in [(2, "b"), (3, "c")] {
            let line = format!("{client}> LOCK.ACQUIRE k {owner} PX 5000 WAIT 5000 {mode}");
            wait(&mut sim, &[&line]);
        }
        sim.act(free);
        sim.advance_ms(1);
        assert_eq!(sim.take_replies(2), token(2), "{free}");
        assert_eq!(sim.take_replies(3), "", "{free}");
    }
}

#[test]
fn waiters_stay_with_the_number_of_their_database() {
    play(
        "swapdb",
        "
> LOCK.ACQUIRE k a PX 9000
(integer) 1893456000000001
2> LOCK.ACQUIRE k b PX 9000 WAIT 5000
(none)
> SELECT 1
OK
> LOCK.ACQUIRE k c PX 9000
(integer) 1893456000000002
> SWAPDB 0 1
OK
2>
(none)
> LOCK.RELEASE k a
(integer) 0
2>
(none)
> SELECT 0
OK
> LOCK.RELEASE k c
(integer) 0
2>
(integer) 1893456000000003
",
    );
}

#[test]
fn a_wait_that_is_over_in_the_millisecond_in_which_the_lock_is_free_is_served() {
    play(
        "same millisecond",
        "
> LOCK.ACQUIRE k a PX 1000
(any)
2> LOCK.ACQUIRE k b PX 1000 WAIT 1000
(none)
3> LOCK.ACQUIRE k c PX 1000 WAIT 1000
(none)
(1000 ms later)
2>
(integer) 1893456000000002
3>
(nil)
",
    );
}

#[test]
fn nobody_overtakes_who_waits_although_the_mode_would_admit_it() {
    for (first, waits, newcomer) in
        [("SHARED", "", "SHARED"), ("LIMIT 1", "LIMIT 1", "LIMIT 1"), ("SHARED", "", "")]
    {
        let mut sim = Sim::new();
        sim.cli(1, &format!("LOCK.ACQUIRE k a PX 1000 {first}"));
        wait(&mut sim, &[&format!("2> LOCK.ACQUIRE k b PX 1000 WAIT 5000 {waits}")]);
        assert_eq!(sim.cli(3, &format!("LOCK.ACQUIRE k c PX 1000 {newcomer}")), "(nil)");
        wait(&mut sim, &[&format!("3> LOCK.ACQUIRE k c PX 1000 WAIT 5000 {newcomer}")]);
        sim.cli(1, "LOCK.RELEASE k a");
        assert_eq!(replies(&mut sim, [2, 3]), [token(2), String::new()], "{newcomer}");
        sim.cli(1, "LOCK.RELEASE k b");
        assert_eq!(sim.take_replies(3), token(3), "{newcomer}");
    }
}

#[test]
fn readers_behind_a_writer_come_together_and_a_writer_behind_them_alone() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k w PX 1000");
    wait(
        &mut sim,
        &[
            "2> LOCK.ACQUIRE k r2 PX 5000 SHARED WAIT 9000",
            "3> LOCK.ACQUIRE k r3 PX 5000 SHARED WAIT 9000",
            "4> LOCK.ACQUIRE k w4 PX 5000 WAIT 9000",
            "5> LOCK.ACQUIRE k r5 PX 5000 SHARED WAIT 9000",
        ],
    );
    sim.cli(1, "LOCK.RELEASE k w");
    let none = String::new();
    let clients = [2, 3, 4, 5];
    assert_eq!(replies(&mut sim, clients), [token(2), token(3), none.clone(), none.clone()]);
    sim.cli(1, "LOCK.RELEASE k r2");
    assert_eq!(replies(&mut sim, clients), [const { String::new() }; 4]);
    sim.cli(1, "LOCK.RELEASE k r3");
    assert_eq!(replies(&mut sim, clients), [none.clone(), none.clone(), token(4), none.clone()]);
    sim.cli(1, "LOCK.RELEASE k w4");
    assert_eq!(replies(&mut sim, clients), [none.clone(), none.clone(), none, token(5)]);
}

#[test]
fn readers_come_in_when_the_writer_before_them_gives_up_or_goes() {
    for leaves in [None, Some("disconnect"), Some("unblock")] {
        let mut sim = Sim::new();
        sim.cli(1, "LOCK.ACQUIRE k r PX 9000 SHARED");
        wait(
            &mut sim,
            &[
                "2> LOCK.ACQUIRE k w PX 9000 WAIT 100",
                "3> LOCK.ACQUIRE k r3 PX 9000 SHARED WAIT 9000",
                "4> LOCK.ACQUIRE k r4 PX 9000 SHARED WAIT 9000",
            ],
        );
        match leaves {
            None => sim.advance_ms(100),
            Some("disconnect") => sim.disconnect(2),
            Some(_) => assert_eq!(sim.cli(1, "CLIENT UNBLOCK 2"), "(integer) 1"),
        }
        assert_eq!(replies(&mut sim, [3, 4]), [token(2), token(3)], "{leaves:?}");
    }
}

#[test]
fn each_place_of_a_limit_goes_to_the_next_waiter() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 1000 LIMIT 2");
    sim.cli(1, "LOCK.ACQUIRE k b PX 1000 LIMIT 2");
    for (client, owner) in [(2, "c"), (3, "d"), (4, "e")] {
        let line = format!("{client}> LOCK.ACQUIRE k {owner} PX 9000 LIMIT 2 WAIT 9000");
        wait(&mut sim, &[&line]);
    }
    sim.cli(1, "LOCK.RELEASE k b");
    assert_eq!(replies(&mut sim, [2, 3, 4]), [token(3), String::new(), String::new()]);
    sim.advance_ms(1000);
    assert_eq!(replies(&mut sim, [2, 3, 4]), [String::new(), token(4), String::new()]);
    sim.cli(1, "DEL k");
    assert_eq!(sim.take_replies(4), token(5));
}

#[test]
fn who_waits_in_another_mode_than_the_lock_is_in_by_then_gets_an_error() {
    play(
        "another mode",
        "
> LOCK.ACQUIRE k a PX 9000 LIMIT 1
(any)
2> LOCK.ACQUIRE k b PX 9000 LIMIT 1 WAIT 5000
(none)
3> LOCK.ACQUIRE k c PX 9000 LIMIT 1 WAIT 5000
(none)
> SELECT 1
OK
> LOCK.ACQUIRE k d PX 9000 SHARED
(any)
> SWAPDB 0 1
OK
2>
(error) ERR lock is in use in another mode: shared
3>
(error) ERR lock is in use in another mode: shared
",
    );
}

#[test]
fn an_owner_comes_in_again_although_others_wait() {
    play(
        "reentry",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE k b PX 1000 WAIT 5000
(none)
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
3> LOCK.ACQUIRE k a PX 1000 WAIT 1000
(integer) 1893456000000001
> LOCK.RELEASE k a
(integer) 2
> LOCK.RELEASE k a
(integer) 1
2>
(none)
> LOCK.RELEASE k a
(integer) 0
2>
(integer) 1893456000000002
",
    );
}

#[test]
fn who_waits_twice_under_one_name_is_served_twice_at_once() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 1000");
    wait(
        &mut sim,
        &[
            "2> LOCK.ACQUIRE k b PX 2000 WAIT 5000",
            "3> LOCK.ACQUIRE k c PX 2000 WAIT 5000",
            "4> LOCK.ACQUIRE k b PX 3000 WAIT 5000",
            "5> LOCK.ACQUIRE k b PX 1000 SHARED WAIT 5000",
        ],
    );
    sim.cli(1, "LOCK.RELEASE k a");
    let other_mode = "(error) ERR lock is in use in another mode: exclusive".to_owned();
    assert_eq!(
        replies(&mut sim, [2, 3, 4, 5]),
        [token(2), String::new(), token(2), other_mode],
        "the same token, past who stands between"
    );
    assert_eq!(sim.cli(1, "PTTL k"), "(integer) 3000", "the later deadline");
    assert_eq!(sim.cli(1, "LOCK.RELEASE k b"), "(integer) 1");
    assert_eq!(sim.cli(1, "LOCK.RELEASE k b"), "(integer) 0");
    assert_eq!(sim.take_replies(3), token(3));
}

#[test]
fn who_waits_twice_under_one_name_keeps_the_place_that_is_left() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 1000 LIMIT 1");
    wait(
        &mut sim,
        &[
            "2> LOCK.ACQUIRE k b PX 2000 LIMIT 1 WAIT 5000",
            "3> LOCK.ACQUIRE k c PX 2000 LIMIT 1 WAIT 5000",
            "4> LOCK.ACQUIRE k b PX 2000 LIMIT 1 WAIT 5000",
        ],
    );
    sim.disconnect(2);
    sim.cli(1, "LOCK.RELEASE k a");
    assert_eq!(replies(&mut sim, [3, 4]), [token(2), String::new()]);
    sim.cli(1, "LOCK.RELEASE k c");
    assert_eq!(sim.take_replies(4), token(3));
}

#[test]
fn a_waiter_whose_request_cannot_be_granted_any_more_lets_the_next_one_in() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 1000");
    // The latest deadline that there is, if it began now.
    let longest = i64::MAX as u64 - sim.now.unix_ms();
    wait(
        &mut sim,
        &[
            &format!("2> LOCK.ACQUIRE k b PX {longest} WAIT 5000"),
            "3> LOCK.ACQUIRE k c PX 1000 WAIT 5000",
        ],
    );
    sim.advance_ms(1000);
    let error = "(error) ERR invalid expire time in 'lock.acquire' command".to_owned();
    assert_eq!(replies(&mut sim, [2, 3]), [error, token(2)]);
}

#[test]
fn a_tied_lock_passes_on_when_its_owners_connection_closes() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000 TIED");
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
    wait(
        &mut sim,
        &["2> LOCK.ACQUIRE k b PX 9000 WAIT 5000 TIED", "3> LOCK.ACQUIRE k c PX 9000 WAIT 5000"],
    );
    sim.disconnect(1);
    assert_eq!(replies(&mut sim, [2, 3]), [token(2), String::new()]);
    sim.disconnect(2);
    assert_eq!(replies(&mut sim, [3]), [token(3)], "the tie begins with the grant");
    sim.disconnect(3);
    assert_eq!(sim.cli(4, "LOCK.RELEASE k c"), "(integer) 0");
}

#[test]
fn info_lists_the_waiters_in_queue_order_with_their_times() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
    wait(&mut sim, &["2> LOCK.ACQUIRE k c PX 9000 WAIT 5000"]);
    sim.advance_ms(70);
    wait(&mut sim, &["3> LOCK.ACQUIRE k b PX 9000 SHARED WAIT 5000"]);
    sim.advance_ms(30);
    let info = sim.cli(1, "LOCK.INFO k");
    let (_, waiters) = info.split_once("7) \"waiters\"\n").expect("it has waiters");
    assert_eq!(
        waiters,
        "8) 1) 1) \"owner\"\n      2) \"c\"\n      3) \"waited-ms\"\n      4) (integer) 100\n   \
         2) 1) \"owner\"\n      2) \"b\"\n      3) \"waited-ms\"\n      4) (integer) 30"
    );
    sim.cli(4, "HELLO 3");
    let info = sim.cli(4, "LOCK.INFO k");
    let (_, waiters) = info.split_once("4# \"waiters\" => \n").expect("it has waiters");
    assert_eq!(
        waiters,
        "   1) 1# \"owner\" => \"c\"\n      2# \"waited-ms\" => (integer) 100\n   \
         2) 1# \"owner\" => \"b\"\n      2# \"waited-ms\" => (integer) 30"
    );
}

#[test]
fn who_waits_for_a_value_of_that_name_does_not_keep_a_free_lock() {
    play(
        "lease",
        "
> LEASE.GET k FOR 9000
(any)
2> LEASE.GET k FOR 9000 WAIT 5000
(none)
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000002
2>
(error) WRONGTYPE Operation against a key holding the wrong kind of value
",
    );
}

#[test]
fn a_lock_that_passes_on_emits_its_events_in_order() {
    check_events(
        &mut listening("KEA"),
        &[
            ("> LOCK.ACQUIRE k a PX 1000", &["lock k"]),
            ("2> LOCK.ACQUIRE k b PX 1000 WAIT 9000", &[]),
            ("3> LOCK.ACQUIRE k c PX 1000 WAIT 9000", &[]),
            ("4> LOCK.ACQUIRE k d PX 1000 WAIT 9000", &[]),
            ("> LOCK.RELEASE k a", &["unlock k", "lock k"]),
            ("(1000 ms later)", &["expired k", "lock k"]),
            ("> DEL k", &["del k", "lock k"]),
        ],
    );
}

// Circles

#[test]
fn a_wait_that_would_close_a_circle_is_refused_at_once_and_names_it() {
    play(
        "two",
        "
> LOCK.ACQUIRE L1 a PX 9000
(integer) 1893456000000001
2> LOCK.ACQUIRE L2 b PX 9000
(integer) 1893456000000002
> LOCK.ACQUIRE L2 a PX 9000 WAIT 5000
(none)
2> LOCK.ACQUIRE L1 b PX 9000 WAIT 5000
(error) DEADLOCK b waits for L1 held by a, a waits for L2 held by b
2> LOCK.ACQUIRE L1 b PX 9000
(nil)
2> LOCK.RELEASE L2 b
(integer) 0
>
(integer) 1893456000000003
2> LOCK.ACQUIRE L2 b PX 9000 WAIT 5000
(none)
> LOCK.RELEASE L2 a
(integer) 0
2>
(integer) 1893456000000004
",
    );
}

/// Owners `0..len` in a row: each owns the lock of its own number and waits for the
/// next one's. The last one's request for the first lock, then, is given.
fn chain(sim: &mut Sim, len: usize) -> String {
    for owner in 0..len {
        sim.cli(10 + owner, &format!("LOCK.ACQUIRE L{owner} o{owner} PX 90000"));
    }
    for owner in 0..len - 1 {
        wait(
            sim,
            &[&format!("{}> LOCK.ACQUIRE L{} o{owner} PX 9 WAIT 9000", 10 + owner, owner + 1)],
        );
    }
    let last = len - 1;
    format!("{}> LOCK.ACQUIRE L0 o{last} PX 9 WAIT 9000", 10 + last)
}

#[test]
fn a_circle_of_any_length_is_named_as_far_as_sixteen_steps() {
    let mut sim = Sim::new();
    let last = chain(&mut sim, 3);
    assert_eq!(
        sim.act(&last),
        "(error) DEADLOCK o2 waits for L0 held by o0, o0 waits for L1 held by o1, o1 waits for L2 \
         held by o2"
    );
    for (len, rest) in [(16, ""), (17, ", and 1 more"), (100, ", and 84 more")] {
        let mut sim = Sim::new();
        let last = chain(&mut sim, len);
        let error = sim.act(&last);
        assert_eq!(error.matches(" waits for ").count(), 16, "{len}: {error}");
        assert!(
            error.ends_with(&format!("held by o{}{rest}", (15).min(len - 1))),
            "{len}: {error}"
        );
    }
}

#[test]
fn a_chain_that_does_not_close_is_no_circle() {
    let mut sim = Sim::new();
    chain(&mut sim, 10);
    wait(&mut sim, &["50> LOCK.ACQUIRE L0 outsider PX 9 WAIT 9000"]);
    sim.cli(19, "LOCK.RELEASE L9 o9");
    assert_eq!(sim.take_replies(18), token(11));
}

#[test]
fn one_reader_is_enough_for_a_circle() {
    play(
        "readers",
        "
> LOCK.ACQUIRE S r1 PX 9000 SHARED
(any)
2> LOCK.ACQUIRE S r2 PX 9000 SHARED
(any)
3> LOCK.ACQUIRE L w PX 9000
(any)
2> LOCK.ACQUIRE L r2 PX 9000 WAIT 5000
(none)
3> LOCK.ACQUIRE S w PX 9000 WAIT 5000
(error) DEADLOCK w waits for S held by r2, r2 waits for L held by w
",
    );
}

#[test]
fn a_limit_is_part_of_a_circle_only_if_all_its_owners_are() {
    let mut sim = Sim::new();
    sim.transcript(
        "limit",
        "
> LOCK.ACQUIRE S a PX 9000 LIMIT 2
(any)
2> LOCK.ACQUIRE S c PX 9000 LIMIT 2
(any)
3> LOCK.ACQUIRE L b PX 9000
(any)
> LOCK.ACQUIRE L a PX 9000 WAIT 5000
(none)
3> LOCK.ACQUIRE S b PX 9000 WAIT 100 LIMIT 2
(none)
(100 ms later)
3>
(nil)
2> LOCK.ACQUIRE L c PX 9000 WAIT 5000
(none)
",
    );
    assert_eq!(
        sim.act("3> LOCK.ACQUIRE S b PX 9000 WAIT 100 LIMIT 2"),
        "(error) DEADLOCK b waits for S held by a, a waits for L held by b",
        "both are; who has owned longest is named"
    );
}

#[test]
fn a_circle_through_two_limits_is_found_although_one_owner_waits_twice() {
    let mut sim = Sim::new();
    for request in [
        "LOCK.ACQUIRE L a PX 60000 LIMIT 2",
        "LOCK.ACQUIRE L b PX 60000 LIMIT 2",
        "LOCK.ACQUIRE K b PX 60000 LIMIT 2",
        "LOCK.ACQUIRE K x PX 60000 LIMIT 2",
        "LOCK.ACQUIRE H w PX 60000",
        "LOCK.ACQUIRE J a PX 60000",
    ] {
        sim.cli(1, request);
    }
    wait(
        &mut sim,
        &[
            "2> LOCK.ACQUIRE K a PX 60000 WAIT 50000 LIMIT 2",
            "3> LOCK.ACQUIRE H a PX 60000 WAIT 50000",
            "4> LOCK.ACQUIRE J b PX 60000 WAIT 50000",
        ],
    );
    let error = sim.act("5> LOCK.ACQUIRE L w PX 60000 WAIT 50000 LIMIT 2");
    assert!(error.starts_with("(error) DEADLOCK w waits for L held by "), "{error}");
    assert!(error.ends_with("a waits for H held by w"), "{error}");
}

#[test]
fn names_in_two_databases_make_no_circle() {
    play(
        "databases",
        "
> LOCK.ACQUIRE L1 a PX 9000
(any)
> SELECT 1
OK
2> LOCK.ACQUIRE L2 b PX 9000
(any)
3> SELECT 1
OK
3> LOCK.ACQUIRE L2 b PX 9000
(any)
> LOCK.ACQUIRE L2 a PX 9000 WAIT 5000
(none)
2> LOCK.ACQUIRE L1 b PX 9000 WAIT 5000
(none)
",
    );
}

#[test]
fn a_wait_that_has_ended_closes_no_circle() {
    for end in ["(100 ms later)", "3> CLIENT UNBLOCK 1", "3> CLIENT KILL ID 1"] {
        let mut sim = Sim::new();
        sim.cli(1, "LOCK.ACQUIRE L1 a PX 9000");
        sim.cli(2, "LOCK.ACQUIRE L2 b PX 9000");
        wait(&mut sim, &["1> LOCK.ACQUIRE L2 a PX 9000 WAIT 100"]);
        sim.act(end);
        assert_eq!(sim.act("2> LOCK.ACQUIRE L1 b PX 9000 WAIT 100"), "", "{end}");
    }
}

// Grants that were not delivered

#[test]
fn a_grant_that_was_not_delivered_when_the_owner_goes_passes_on() {
    for by_kill in [false, true] {
        let mut sim = Sim::new();
        sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
        wait(
            &mut sim,
            &["2> LOCK.ACQUIRE k b PX 9000 WAIT 5000", "3> LOCK.ACQUIRE k c PX 9000 WAIT 5000"],
        );
        sim.stall(2);
        sim.cli(1, "LOCK.RELEASE k a");
        assert!(sim.cli(1, "LOCK.INFO k").contains("\"b\""), "it owns it as long as it may read");
        if by_kill {
            sim.cli(1, "CLIENT KILL ID 2");
        } else {
            sim.disconnect(2);
        }
        assert_eq!(replies(&mut sim, [2, 3]), [String::new(), token(3)]);
    }
}

#[test]
fn a_grant_that_was_delivered_stays_when_the_owner_goes() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
    wait(
        &mut sim,
        &["2> LOCK.ACQUIRE k b PX 9000 WAIT 5000", "3> LOCK.ACQUIRE k c PX 9000 WAIT 5000"],
    );
    sim.cli(1, "LOCK.RELEASE k a");
    sim.stall(2);
    sim.send_raw(2, b"PING\r\n");
    sim.disconnect(2);
    assert_eq!(replies(&mut sim, [3]), [String::new()]);
    assert_eq!(sim.cli(1, "LOCK.RELEASE k b"), "(integer) 0");
}

#[test]
fn a_grant_is_delivered_with_the_last_byte_of_its_reply() {
    // `:` and sixteen digits, `\r\n`; then the reply to PING.
    const REPLY_BYTES: usize = 19;
    for (read, stays) in [(0, false), (REPLY_BYTES - 1, false), (REPLY_BYTES, true)] {
        let mut sim = Sim::new();
        sim.connect(2);
        sim.stall(2);
        sim.send_raw(2, b"LOCK.ACQUIRE k b PX 9000\r\nPING\r\n");
        assert_eq!(sim.drain(2, read), read);
        sim.disconnect(2);
        assert_eq!(sim.cli(1, "EXISTS k"), format!("(integer) {}", i32::from(stays)), "{read}");
    }
}

#[test]
fn only_what_was_not_delivered_is_undone() {
    let mut sim = Sim::new();
    sim.cli(2, "LOCK.ACQUIRE k b PX 9000");
    sim.cli(2, "LOCK.ACQUIRE k b PX 9000");
    sim.stall(2);
    sim.send_raw(2, b"LOCK.ACQUIRE k b PX 9000\r\nLOCK.ACQUIRE other b PX 9000\r\n");
    sim.disconnect(2);
    assert_eq!(sim.cli(1, "EXISTS other"), "(integer) 0");
    assert_eq!(sim.cli(1, "LOCK.RELEASE k b"), "(integer) 1", "two holds were its own");
}

#[test]
fn a_grant_inside_a_transaction_or_a_guard_is_undone_too() {
    for batch in [
        "MULTI\r\nLOCK.ACQUIRE k b PX 9000\r\nEXEC\r\n",
        "LOCK.GUARD g 1893456000000001 LOCK.ACQUIRE k b PX 9000\r\n",
    ] {
        let mut sim = Sim::new();
        sim.cli(1, "LOCK.ACQUIRE g a PX 9000");
        sim.connect(2);
        sim.stall(2);
        sim.send_raw(2, batch.as_bytes());
        assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 1", "{batch}");
        sim.disconnect(2);
        assert_eq!(sim.cli(1, "EXISTS k g"), "(integer) 1", "{batch}");
    }
}

#[test]
fn undelivered_grants_pass_on_until_somebody_is_there() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
    for client in 2..6 {
        let line = format!("{client}> LOCK.ACQUIRE k o{client} PX 9000 WAIT 5000 TIED");
        wait(&mut sim, &[&line]);
        if client < 5 {
            sim.stall(client);
        }
    }
    sim.cli(1, "LOCK.RELEASE k a");
    for client in 2..5 {
        sim.turn();
        assert_eq!(sim.take_replies(5), "");
        sim.disconnect(client);
    }
    assert_eq!(replies(&mut sim, [5]), [token(5)]);
}

#[test]
fn an_undelivered_grant_that_is_over_already_is_nobodys_to_undo() {
    let mut sim = Sim::new();
    sim.connect(2);
    sim.stall(2);
    sim.send_raw(2, b"LOCK.ACQUIRE k b PX 100\r\n");
    sim.advance_ms(100);
    sim.cli(1, "LOCK.ACQUIRE k b PX 9000");
    sim.disconnect(2);
    assert_eq!(sim.cli(1, "LOCK.RELEASE k b"), "(integer) 0", "another grant, another token");
}

#[test]
fn a_grant_in_a_database_that_has_moved_is_undone_there() {
    let mut sim = Sim::new();
    sim.connect(2);
    sim.stall(2);
    sim.send_raw(2, b"LOCK.ACQUIRE k b PX 9000\r\n");
    sim.cli(1, "SWAPDB 0 5");
    sim.cli(1, "LOCK.ACQUIRE k b PX 9000");
    sim.disconnect(2);
    assert_eq!(sim.cli(1, "INFO keyspace").matches("keys=1").count(), 1);
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 1");
}
