//! The mechanism of waiting, whatever is waited for: what ends a wait, who is
//! served next, what it costs, and what a waiting client looks like.

mod support;

use std::time::Duration;

use support::refusals::wrong_type;
use support::sim::{Sim, encode, play};
use tollgate::config::Config;

/// What waits, and what others do for it to have to.
struct Waiting {
    before: &'static str,
    waits: &'static str,
    /// The reply when the time is over.
    in_vain: &'static str,
    /// What makes it the waiter's turn, and its reply then.
    turn: &'static str,
    served: &'static str,
}

const WAITING: &[Waiting] = &[
    Waiting {
        before: "LOCK.ACQUIRE k other PX 3600000",
        waits: "LOCK.ACQUIRE k me PX 1000",
        in_vain: "(nil)",
        turn: "LOCK.RELEASE k other",
        served: "(integer) 1893456000000002",
    },
    Waiting {
        before: "LEASE.GET k FOR 3600000",
        waits: "LEASE.GET k FOR 1000",
        in_vain: "1) \"MISS\"\n2) (nil)\n3) (nil)",
        turn: "SET k v",
        served: "1) \"HIT\"\n2) \"v\"\n3) (nil)",
    },
];

const UNBLOCKED: &str = "(error) UNBLOCKED client unblocked via CLIENT UNBLOCK";

fn with(options: &[(&str, &str)]) -> Sim {
    let mut config = Config::default();
    for (name, value) in options {
        config.set(name, value).expect("a known option");
    }
    Sim::with_config(config)
}

/// A server on which client 2 (CLIENT ID 2) waits for `ms`.
fn waiting(sim: &mut Sim, waiting: &Waiting, ms: u64) {
    sim.cli(1, waiting.before);
    assert_eq!(sim.cli(2, &format!("{} WAIT {ms}", waiting.waits)), "", "{}", waiting.waits);
}

#[test]
fn a_wait_ends_at_its_time_to_the_millisecond() {
    for case in WAITING {
        let mut sim = Sim::new();
        waiting(&mut sim, case, 500);
        sim.advance_ms(499);
        assert_eq!(sim.take_replies(2), "", "{}", case.waits);
        sim.advance_ms(1);
        assert_eq!(sim.take_replies(2), case.in_vain, "{}", case.waits);
    }
}

#[test]
fn without_wait_or_with_wait_0_nobody_waits() {
    for case in WAITING {
        let mut sim = Sim::new();
        sim.cli(1, case.before);
        assert_eq!(sim.cli(2, case.waits), case.in_vain);
        assert_eq!(sim.cli(2, &format!("{} WAIT 0", case.waits)), case.in_vain);
    }
}

#[test]
fn a_wait_ends_at_max_wait_ms_however_long_it_was_to_be() {
    for ms in [201, 100_000, i64::MAX as u64] {
        for case in WAITING {
            let mut sim = with(&[("max-wait-ms", "200")]);
            waiting(&mut sim, case, ms);
            sim.advance_ms(199);
            assert_eq!(sim.take_replies(2), "", "{}", case.waits);
            sim.advance_ms(1);
            assert_eq!(sim.take_replies(2), case.in_vain, "{}", case.waits);
        }
    }
}

#[test]
fn max_wait_ms_is_a_minute_unless_it_is_set() {
    let mut sim = Sim::new();
    waiting(&mut sim, &WAITING[0], 3_600_000);
    sim.advance_ms(59_999);
    assert_eq!(sim.take_replies(2), "");
    sim.advance_ms(1);
    assert_eq!(sim.take_replies(2), "(nil)");
}

#[test]
fn client_unblock_ends_a_wait_like_its_time_or_with_an_error() {
    for case in WAITING {
        for (how, reply) in [("", case.in_vain), (" TIMEOUT", case.in_vain), (" error", UNBLOCKED)]
        {
            let mut sim = Sim::new();
            waiting(&mut sim, case, 500);
            assert_eq!(sim.cli(1, &format!("CLIENT UNBLOCK 2{how}")), "(integer) 1");
            assert_eq!(sim.take_replies(2), reply, "{}", case.waits);
            assert_eq!(sim.cli(1, &format!("CLIENT UNBLOCK 2{how}")), "(integer) 0");
            assert_eq!(sim.cli(2, "PING"), "PONG", "it is free to go on");
            sim.cli(1, case.turn);
            sim.advance_ms(1000);
            assert_eq!(sim.take_replies(2), "", "and waits no longer");
        }
    }
}

#[test]
fn an_unblock_before_the_turn_comes_wins_within_one_transaction() {
    let mut sim = Sim::new();
    waiting(&mut sim, &WAITING[0], 500);
    for line in ["MULTI", "CLIENT UNBLOCK 2 ERROR", "LOCK.RELEASE k other", "EXEC"] {
        sim.cli(1, line);
    }
    assert_eq!(sim.take_replies(2), UNBLOCKED);
    assert_eq!(sim.cli(1, "LOCK.INFO k"), "(nil)");
}

#[test]
fn a_key_that_becomes_something_else_ends_all_its_waits() {
    for (case, change) in [
        (&WAITING[0], "SET k v"),
        (&WAITING[0], "RENAME shirt k"),
        (&WAITING[1], "LOCK.ACQUIRE k someone PX 1000"),
        (&WAITING[1], "STOCK.HOLD k PX 1000 shirt 1"),
    ] {
        let mut sim = Sim::new();
        sim.cli(1, "SET shirt 5");
        waiting(&mut sim, case, 5000);
        assert_eq!(sim.cli(3, &format!("{} WAIT 5000", case.waits.replace("me", "you"))), "");
        assert!(!sim.cli(1, change).contains("error"), "{change}");
        assert_eq!(sim.take_replies(2), wrong_type(), "{change}");
        assert_eq!(sim.take_replies(3), wrong_type(), "{change}");
    }
}

#[test]
fn inside_a_transaction_nobody_waits() {
    for case in WAITING {
        let mut sim = Sim::new();
        sim.cli(1, case.before);
        sim.cli(2, "MULTI");
        assert_eq!(sim.cli(2, &format!("{} WAIT 5000", case.waits)), "QUEUED");
        let reply = case.in_vain.replace('\n', "\n   ");
        assert_eq!(sim.cli(2, "EXEC"), format!("1) {reply}"));
    }
}

#[test]
fn a_transaction_serves_nobody_before_its_end() {
    play(
        "exec",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE k b PX 1000 WAIT 1000
(none)
> MULTI
OK
> LOCK.RELEASE k a
QUEUED
> LOCK.ACQUIRE k a PX 1000
QUEUED
> LOCK.INFO k
QUEUED
> EXEC
1) (integer) 0
2) (nil)
3) (nil)
2>
(integer) 1893456000000002
",
    );
}

#[test]
fn a_watching_client_that_waits_sees_the_change_that_serves_it() {
    play(
        "watch",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> WATCH k
OK
2> LOCK.ACQUIRE k b PX 1000 WAIT 1000
(none)
> LOCK.RELEASE k a
(integer) 0
2> MULTI
(integer) 1893456000000002
OK
2> EXEC
(nil)
",
    );
}

#[test]
fn who_goes_away_waits_no_longer() {
    for case in WAITING {
        for killed in [false, true] {
            let mut sim = Sim::new();
            waiting(&mut sim, case, 5000);
            assert_eq!(sim.cli(3, &format!("{} WAIT 5000", case.waits.replace("me", "you"))), "");
            if killed {
                assert_eq!(sim.cli(1, "CLIENT KILL ID 2"), "(integer) 1");
                assert!(sim.is_closed(2));
            } else {
                sim.disconnect(2);
            }
            sim.cli(1, case.turn);
            assert_eq!(sim.take_replies(3), case.served, "the next one is served");
            assert_eq!(sim.info("blocked_clients"), "0");
        }
    }
}

#[test]
fn a_client_that_is_killed_as_its_turn_comes_takes_nothing() {
    for case in WAITING {
        let mut sim = Sim::new();
        waiting(&mut sim, case, 5000);
        sim.cli(3, &format!("{} WAIT 5000", case.waits.replace("me", "you")));
        for line in ["MULTI", "CLIENT KILL ID 2", case.turn, "EXEC"] {
            sim.cli(1, line);
        }
        assert!(sim.is_closed(2));
        assert_eq!(sim.take_replies(2), "");
        assert_eq!(sim.take_replies(3), case.served);
    }
}

#[test]
fn a_shutdown_ends_waits_like_their_time() {
    for case in WAITING {
        let mut sim = Sim::new();
        waiting(&mut sim, case, 5000);
        sim.send_raw(2, b"PING\r\n");
        assert!(sim.engine.unfinished_clients() > 0);
        sim.engine.request_shutdown();
        sim.turn();
        assert_eq!(sim.take_replies(2), format!("{}\nPONG", case.in_vain));
        assert_eq!(sim.engine.unfinished_clients(), 0);
        let late = sim.cli(2, &format!("{} WAIT 5000", case.waits));
        assert_eq!(late, case.in_vain, "nor does a new one last");
    }
}

#[test]
fn what_is_sent_behind_a_wait_runs_after_it_in_order() {
    for case in WAITING {
        let mut sim = Sim::new();
        sim.cli(1, case.before);
        let batch = format!("ECHO before\r\n{} WAIT 500\r\nECHO behind\r\n", case.waits);
        sim.send_raw(2, batch.as_bytes());
        assert_eq!(sim.take_replies(2), "\"before\"");
        sim.send_raw(2, b"ECHO later\r\nECH");
        assert_eq!(sim.take_replies(2), "");
        assert!(!sim.engine.wants_input(2), "its socket is not read meanwhile");
        sim.cli(1, case.turn);
        assert_eq!(sim.take_replies(2), format!("{}\n\"behind\"\n\"later\"", case.served));
        sim.send_raw(2, b"O last\r\n");
        assert_eq!(sim.take_replies(2), "\"last\"");
    }
}

#[test]
fn several_waits_in_one_batch_are_waited_for_one_after_the_other() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE a other PX 10000");
    sim.cli(1, "LOCK.ACQUIRE b other PX 10000");
    sim.send_raw(
        2,
        b"LOCK.ACQUIRE a me PX 9000 WAIT 100\r\nLOCK.ACQUIRE b me PX 9000 WAIT 100\r\n",
    );
    sim.advance_ms(100);
    assert_eq!(sim.take_replies(2), "(nil)");
    sim.advance_ms(99);
    sim.cli(1, "LOCK.RELEASE b other");
    assert_eq!(sim.take_replies(2), "(integer) 1893456000000003");
}

#[test]
fn a_pause_holds_those_back_whose_turn_comes_and_serves_them_at_its_end() {
    for mode in ["ALL", "WRITE"] {
        for case in WAITING {
            let mut sim = Sim::new();
            sim.cli(1, case.before.replace("3600000", "100").as_str());
            assert_eq!(sim.cli(2, &format!("{} WAIT 5000", case.waits)), "");
            sim.cli(1, &format!("CLIENT PAUSE 300 {mode}"));
            sim.advance_ms(299);
            assert_eq!(sim.take_replies(2), "", "{}: changes keys", case.waits);
            sim.advance_ms(1);
            let reply = sim.take_replies(2);
            assert!(reply.contains("1893456000000002"), "{}: {reply}", case.waits);
        }
    }
}

#[test]
fn a_pause_lets_who_arrived_first_be_served_first() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 100");
    sim.cli(2, "LOCK.ACQUIRE k b PX 1000 WAIT 5000");
    sim.cli(1, "CLIENT PAUSE 300 WRITE");
    sim.advance_ms(200);
    assert_eq!(sim.cli(3, "LOCK.ACQUIRE k c PX 1000 WAIT 5000"), "");
    sim.advance_ms(100);
    assert_eq!(sim.take_replies(2), "(integer) 1893456000000002");
    assert_eq!(sim.take_replies(3), "");
    sim.cli(1, "LOCK.RELEASE k b");
    assert_eq!(sim.take_replies(3), "(integer) 1893456000000003");
}

#[test]
fn a_wait_whose_time_is_over_in_a_pause_ends_in_it() {
    for case in WAITING {
        let mut sim = Sim::new();
        waiting(&mut sim, case, 100);
        sim.cli(1, "CLIENT PAUSE 300 WRITE");
        sim.advance_ms(99);
        assert_eq!(sim.take_replies(2), "", "{}", case.waits);
        sim.advance_ms(1);
        assert_eq!(sim.take_replies(2), case.in_vain, "{}", case.waits);
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let mut sim = Sim::with_config(Config { output_pause_bytes: 1_024, ..Config::default() });
    sim.cli(1, "LOCK.ACQUIRE k a PX 60000");
    sim.cli(2, "HELLO 3");
    sim.cli(2, "SUBSCRIBE news");
    sim.stall(2);
    sim.cli(2, "LOCK.ACQUIRE k b PX 500 WAIT 30000");
    sim.cli(3, "LOCK.ACQUIRE k c PX 60000 WAIT 30000");
    sim.cli(1, &format!("PUBLISH news {}", "x".repeat(4_000)));
    sim.cli(1, "LOCK.RELEASE k a");
    assert_eq!(sim.info("waiting_places"), "1", "the one in front has it, read or unread");
    sim.advance_ms(500);
    assert_eq!(sim.take_replies(3), "(integer) 1893456000000003");
}

#[test]
fn a_client_that_has_waited_was_not_idle() {
    let mut sim = Sim::with_config(Config { timeout: 3, ..Config::default() });
    sim.cli(1, "LOCK.ACQUIRE k a PX 5000");
    sim.cli(2, "LOCK.ACQUIRE k b PX 60000 WAIT 30000");
    sim.advance_ms(5_000);
    assert_eq!(sim.take_replies(2), "(integer) 1893456000000002");
    assert!(!sim.is_closed(2));
    sim.advance_ms(5_000);
    assert!(sim.is_closed(2));
}

#[test]
fn who_waits_is_counted_and_marked() {
    for case in WAITING {
        let mut sim = Sim::new();
        waiting(&mut sim, case, 500);
        let line = |sim: &mut Sim| sim.cli(1, "CLIENT LIST ID 2");
        assert!(line(&mut sim).contains(" flags=b "), "{}", line(&mut sim));
        const FIGURES: [&str; 3] =
            ["blocked_clients", "clients_in_timeout_table", "waiting_places"];
        assert_eq!(FIGURES.map(|name| sim.info(name)), ["1"; 3], "{}", case.waits);
        sim.advance_ms(500);
        assert!(line(&mut sim).contains(" flags=N "), "{}", line(&mut sim));
        assert_eq!(FIGURES.map(|name| sim.info(name)), ["0"; 3], "{}", case.waits);
    }
}

#[test]
fn a_client_that_wants_no_replies_waits_and_is_served_all_the_same() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 10000");
    for (client, mode) in [(2, "OFF"), (3, "SKIP")] {
        sim.send_raw(client, format!("CLIENT REPLY {mode}\r\n").as_bytes());
        sim.send_raw(client, b"LOCK.ACQUIRE k me PX 10000 WAIT 5000\r\nECHO behind\r\n");
    }
    sim.cli(1, "LOCK.RELEASE k a");
    assert_eq!(sim.take_replies(2), "");
    assert_eq!(sim.take_replies(3), "\"behind\"", "only the one reply is skipped");
    assert_eq!(sim.cli(1, "LOCK.RELEASE k me"), "(integer) 1", "both have acquired it");
    sim.disconnect(2);
    assert_eq!(sim.cli(1, "LOCK.RELEASE k me"), "(integer) 0", "nothing was undelivered");
}

#[test]
fn among_several_keys_who_has_waited_longest_is_served_first() {
    for change in ["FLUSHALL", "DEL b a c", "SWAPDB 0 1"] {
        let mut sim = Sim::new();
        for key in ["a", "b", "c"] {
            sim.cli(1, &format!("LOCK.ACQUIRE {key} other PX 9000"));
        }
        for (client, key) in [(2, "c"), (3, "a"), (4, "b")] {
            sim.cli(client, &format!("LOCK.ACQUIRE {key} me PX 9000 WAIT 5000"));
        }
        sim.cli(1, change);
        for client in 2..5 {
            let token = format!("(integer) {}", 1_893_456_000_000_002 + client);
            assert_eq!(sim.take_replies(client), token, "{change}");
        }
    }
}

#[test]
fn messages_go_on_arriving_while_a_client_waits() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
    sim.cli(2, "HELLO 3");
    sim.cli(2, "SUBSCRIBE news");
    assert_eq!(sim.cli(2, "LOCK.ACQUIRE k b PX 9000 WAIT 5000"), "");
    sim.cli(1, "PUBLISH news now");
    assert_eq!(sim.take_replies(2), "1) \"message\"\n2) \"news\"\n3) \"now\"");
    sim.cli(1, "LOCK.RELEASE k a");
    assert_eq!(sim.take_replies(2), "(integer) 1893456000000002");
}

#[test]
fn who_quits_behind_a_wait_is_served_before_it_goes() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 9000");
    sim.send_raw(2, b"LOCK.ACQUIRE k b PX 9000 WAIT 5000\r\nQUIT\r\n");
    sim.cli(1, "LOCK.RELEASE k a");
    assert_eq!(sim.take_replies(2), "(integer) 1893456000000002\nOK");
    assert!(sim.is_closed(2));
    assert_eq!(sim.cli(1, "LOCK.RELEASE k b"), "(integer) 0", "it was told");
}

#[test]
fn a_waiting_client_is_not_idle() {
    let mut sim = with(&[("timeout", "2")]);
    waiting(&mut sim, &WAITING[0], 30_000);
    sim.cli(3, "PING");
    sim.advance_ms(10_000);
    assert!(sim.is_closed(3) && !sim.is_closed(2));
    sim.advance_ms(20_000);
    assert_eq!(sim.take_replies(2), "(nil)");
}

#[test]
fn a_command_that_waits_is_counted_and_shown_once() {
    for case in WAITING {
        let mut sim = Sim::new();
        sim.cli(3, "MONITOR");
        waiting(&mut sim, case, 500);
        sim.cli(1, case.turn);
        let name = case.waits.split(' ').next().expect("a command").to_ascii_lowercase();
        let shown = sim.take_replies(3);
        let shown =
            shown.lines().filter(|line| line.contains("\"me\"") || line.contains("\"1000\""));
        assert_eq!(shown.count(), 1, "{name}");
        let stats = sim.cli(1, "INFO commandstats");
        assert!(stats.contains(&format!("cmdstat_{name}:calls=2,")), "{name}: {stats}");
    }
}

/// A counter of INFO.
fn counter(sim: &mut Sim, name: &str) -> usize {
    sim.info(name).parse().expect("a number")
}

const CROWD: usize = 10_000;

/// A server on which ten thousand wait, as clients 10 and up.
fn crowded(before: &str, waits: impl Fn(usize) -> String) -> Sim {
    let mut sim = Sim::new();
    sim.cli(1, before);
    for number in 0..CROWD {
        sim.connect(10 + number);
        sim.engine.receive(10 + number, waits(number).as_bytes(), sim.now);
    }
    sim.turn();
    assert_eq!(counter(&mut sim, "blocked_clients"), CROWD);
    sim
}

#[test]
fn ten_thousand_waiters_for_a_lock_cost_ten_thousand_wake_ups() {
    let mut sim = crowded("LOCK.ACQUIRE k first PX 1000", |number| {
        format!("LOCK.ACQUIRE k w{number} PX 1000 WAIT 60000\r\n")
    });
    let before = counter(&mut sim, "wakeups");
    let mut owner = "first".to_owned();
    for number in 0..CROWD {
        assert_eq!(sim.cli(1, &format!("LOCK.RELEASE k {owner}")), "(integer) 0");
        let token = format!("(integer) {}", 1_893_456_000_000_002 + number);
        assert_eq!(sim.take_replies(10 + number), token, "in order of arrival");
        owner = format!("w{number}");
    }
    assert_eq!(counter(&mut sim, "wakeups") - before, CROWD, "one each, in all");
    let stats = sim.cli(1, "INFO commandstats");
    let calls = format!("cmdstat_lock.acquire:calls={},", CROWD + 1);
    assert!(stats.contains(&calls), "{stats}");
}

#[test]
fn ten_thousand_waits_that_end_in_vain_cost_ten_thousand_wake_ups() {
    let mut sim = crowded("LOCK.ACQUIRE k first PX 100000", |number| {
        format!("LOCK.ACQUIRE k w{number} PX 1000 WAIT {}\r\n", 1_000 + number % 7)
    });
    let before = counter(&mut sim, "wakeups");
    sim.advance_ms(1_007);
    for number in 0..CROWD {
        assert_eq!(sim.take_replies(10 + number), "(nil)");
    }
    assert_eq!(counter(&mut sim, "wakeups") - before, CROWD);
    assert_eq!(counter(&mut sim, "waiting_places"), 0);
}

#[test]
fn one_value_serves_ten_thousand_at_once() {
    let mut sim =
        crowded("LEASE.GET k FOR 1000", |_| "LEASE.GET k FOR 1000 WAIT 60000\r\n".to_owned());
    let before = counter(&mut sim, "wakeups");
    assert_eq!(sim.cli(1, "LEASE.SET k 1893456000000001 v PX 1000"), "(integer) 1");
    for number in 0..CROWD {
        assert_eq!(sim.take_replies(10 + number), "1) \"HIT\"\n2) \"v\"\n3) (nil)");
    }
    assert_eq!(counter(&mut sim, "wakeups") - before, CROWD);
}

#[test]
fn changes_that_are_nobodys_turn_wake_nobody() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 10000");
    sim.cli(2, "LOCK.ACQUIRE k b PX 1000 WAIT 60000");
    sim.cli(1, "LEASE.GET page FOR 10000");
    sim.cli(3, "LEASE.GET page FOR 1000 WAIT 60000");
    let before = counter(&mut sim, "wakeups");
    for _ in 0..100 {
        sim.cli(1, "LOCK.EXTEND k a PX 10000");
        sim.cli(1, "LOCK.ACQUIRE k a PX 10000");
        sim.cli(1, "LOCK.RELEASE k a");
        sim.cli(1, "SET other v");
    }
    assert_eq!(counter(&mut sim, "wakeups"), before);
}

#[test]
fn a_thousand_locks_that_end_in_one_millisecond_pass_on_before_the_next_command() {
    for timers_max in ["10000", "10"] {
        let mut sim = with(&[("turn-timers-max", timers_max)]);
        for number in 0..1_000 {
            sim.cli(1, &format!("LOCK.ACQUIRE k{number} a PX 1000"));
            let wait = format!("LOCK.ACQUIRE k{number} b PX 1000 WAIT 5000");
            assert_eq!(sim.cli(10 + number, &wait), "");
        }
        sim.advance_ms(1_000);
        for number in 0..1_000 {
            let token = sim.take_replies(10 + number);
            assert!(token.starts_with("(integer) 189345600000"), "{timers_max}: {token}");
            assert_eq!(sim.cli(1, &format!("LOCK.RELEASE k{number} a")), "(integer) -1");
        }
    }
}

#[test]
fn a_first_run_that_makes_it_its_own_turn_is_served() {
    // Readers that wait for a writer whose time is over; but so many others' are that
    // it has not been seen to yet when the next reader arrives.
    let mut sim = with(&[("turn-timers-max", "1")]);
    for owner in 0..50 {
        sim.cli(1, &format!("LOCK.ACQUIRE a{owner} w PX 1000"));
    }
    sim.cli(1, "LOCK.ACQUIRE k w PX 1000");
    assert_eq!(sim.cli(2, "LOCK.ACQUIRE k r2 PX 1000 SHARED WAIT 5000"), "");
    sim.now = sim.now.advanced(Duration::from_millis(1_000));
    sim.send(3, &[b"LOCK.ACQUIRE", b"k", b"r3", b"PX", b"1000", b"SHARED", b"WAIT", b"5000"]);
    assert_eq!(sim.take_replies(2), "(integer) 1893456000000052");
    assert_eq!(sim.take_replies(3), "(integer) 1893456000000053");
}

#[test]
fn a_request_that_a_lower_limit_forbids_by_now_is_refused_when_its_turn_comes() {
    let mut sim = Sim::new();
    sim.cli(1, "LOCK.ACQUIRE k a PX 100000");
    let owner = vec![b'x'; 2 << 20];
    let wait = encode(&[b"LOCK.ACQUIRE", b"k", &owner, b"PX", b"1000", b"WAIT", b"5000"]);
    for chunk in wait.chunks(64 << 10) {
        sim.send_raw(2, chunk);
    }
    assert!(sim.cli(1, "CLIENT LIST ID 2").contains(" flags=b "));
    sim.cli(3, "LOCK.ACQUIRE k c PX 1000 WAIT 5000");
    sim.cli(1, "CONFIG SET proto-max-bulk-len 1mb");
    sim.cli(1, "LOCK.RELEASE k a");
    assert_eq!(sim.take_replies(3), "(integer) 1893456000000002", "the next one is served");
    assert_eq!(sim.take_replies(2), "(error) ERR Protocol error: invalid bulk length");
    assert!(sim.is_closed(2));
}
