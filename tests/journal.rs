//! The journal as the engine keeps it, in simulated time: what it says, that it
//! brings everything back, and that replies wait for it.

mod support;

use std::time::Duration;

use support::kept::{journaling, restarted, same, texts};
use support::resp::Reply;
use support::sim::{Sim, encode};
use tollgate::engine::JournalProgress;

/// Plays requests, and checks that a restart brings back exactly what there is.
fn keeps(requests: &[&str]) -> Sim {
    let mut sim = journaling(&[]);
    for request in requests {
        let reply = sim.cli(1, request);
        assert!(!reply.starts_with("(error)"), "{request}: {reply}");
    }
    let mut again = restarted(&sim);
    same(&mut again, &mut sim, &requests.join("; "));
    again
}

/// The groups of a journal from the `from`th on, a line for each command.
fn said(sim: &Sim, from: usize) -> Vec<Vec<String>> {
    let lines = |group: &Vec<u8>| {
        let mut rest = &group[..];
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let (reply, len) = support::resp::decode(rest).expect("RESP").expect("whole");
            rest = &rest[len..];
            let Reply::Array(words) = reply else { panic!("a command is an array") };
            let words = words
                .iter()
                .map(|word| String::from_utf8_lossy(word.text().expect("a bulk")).into_owned());
            lines.push(words.collect::<Vec<_>>().join(" "));
        }
        lines
    };
    sim.journal[from..].iter().map(lines).collect()
}

/// The number in the reply to LOCK.ACQUIRE or LEASE.GET.
fn token_of(reply: &str) -> u64 {
    let digits = reply.lines().filter_map(|line| line.split("(integer) ").nth(1)?.parse().ok());
    digits.max().unwrap_or_else(|| panic!("no token in {reply}"))
}

#[test]
fn strings_come_back_with_their_deadlines_and_databases() {
    let mut again = keeps(&[
        "SET plain value",
        "SET number 42",
        "INCRBY number 5",
        "SET timed value PX 90000",
        "SET kept value EX 100",
        "PERSIST kept",
        "SET gone value",
        "DEL gone",
        "EXPIRE plain 1000",
        "APPEND appended abc",
        "APPEND appended def",
        "SETRANGE appended 10 xyz",
        "RENAME timed renamed",
        "COPY renamed copied",
        "MSET a 1 b 2",
        "INCRBYFLOAT floating 1.5",
        "GETEX copied PX 5000",
        "SELECT 3",
        "SET there 1",
        "MOVE there 5",
        "SET flushed 1",
        "FLUSHDB",
        "SET later 1",
        "SWAPDB 3 7",
        "SET 3 after",
    ]);
    assert_eq!(again.cli(1, "PEXPIRETIME renamed"), "(integer) 1893456090000");
    assert_eq!(again.cli(1, "GET appended"), r#""abcdef\x00\x00\x00\x00xyz""#);
}

#[test]
fn versions_and_freshness_come_back() {
    let mut again = keeps(&[
        "SETIFMATCH doc one 0",
        "SETIFMATCH doc two 1",
        "SETIFMATCH doc three 2",
        "APPEND doc more",
        "SETIFMATCH other one 0 PX 5000",
        "SET other two",
    ]);
    assert_eq!(again.cli(1, "GETWITHETAG doc"), "1) (integer) 4\n2) \"threemore\"");

    let mut sim = journaling(&[]);
    let lease = sim.cli(1, "LEASE.GET page FOR 5000");
    let token = token_of(&lease);
    assert!(sim.cli(1, &format!("LEASE.SET page {token} html PX 1000 STALE 60000")).contains('1'));
    let mut again = restarted(&sim);
    same(&mut again, &mut sim, "after a restart");
    assert!(
        texts(&again.snapshot())[0].starts_with("0 SET page html PXAT"),
        "{:?}",
        again.snapshot()
    );
}

#[test]
fn locks_come_back_with_owner_token_mode_count_and_deadline() {
    let mut sim = journaling(&[]);
    let token = sim.cli(1, "LOCK.ACQUIRE door alice PX 60000");
    sim.cli(1, "LOCK.ACQUIRE door alice PX 60000");
    sim.cli(1, "LOCK.ACQUIRE book r1 PX 60000 SHARED");
    sim.cli(1, "LOCK.ACQUIRE book r2 PX 90000 SHARED");
    for owner in ["a", "b", "c"] {
        sim.cli(1, &format!("LOCK.ACQUIRE pool {owner} PX 50000 LIMIT 3"));
    }
    sim.cli(1, "LOCK.RELEASE pool b");
    sim.cli(1, "LOCK.ACQUIRE tied eve PX 60000 TIED");
    sim.cli(1, "LOCK.ACQUIRE free bob PX 60000");
    sim.cli(1, "LOCK.RELEASE free bob");
    let before = sim.snapshot();
    let mut again = restarted(&sim);
    let is_tied = |line: &String| line.contains(" tied") && !line.contains("untied");
    let before: Vec<String> = texts(&before);
    let kept = before.iter().filter(|line| !line.contains(" tied ") || !is_tied(line));
    let kept: Vec<&String> = kept.filter(|line| *line != "0 DEL tied").collect();
    let after = texts(&again.snapshot());
    // The connection that the lock was tied to is no more.
    let expected: Vec<&String> = kept.into_iter().filter(|line| !line.ends_with(" tied")).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), expected);
    assert_eq!(again.cli(1, "EXISTS tied free"), "(integer) 0");
    // The same owner enters again, with its token.
    assert_eq!(again.cli(2, "LOCK.ACQUIRE door alice PX 60000"), token);
    assert_eq!(again.cli(2, "LOCK.RELEASE door alice"), "(integer) 2");
    // The time goes on as if nothing had happened.
    again.advance_ms(60_000);
    assert_eq!(again.cli(2, "EXISTS door"), "(integer) 0");
}

#[test]
fn tokens_never_repeat_whatever_is_lost_and_however_the_clock_is_set() {
    let mut sim = journaling(&[]);
    let mut last = 0;
    for at in 0..100 {
        let reply = sim.cli(1, &format!("LOCK.ACQUIRE lock{at} me PX 60000"));
        last = token_of(&reply);
    }
    // All but the first group is lost, and it is a day earlier than it was.
    let mut config = sim.engine.config().clone();
    config.set("appendfsync", "everysec").expect("an option");
    let mut now = sim.now;
    now.unix_us -= 86_400_000_000;
    let mut again = Sim::restarted(config, now, &sim.journal[..1]);
    let reply = again.cli(1, "LOCK.ACQUIRE lock0 me PX 60000");
    let token = token_of(&reply);
    assert!(token > last, "{token} after {last}");
}

#[test]
fn holds_come_back_live_and_ended_and_those_that_ended_meanwhile_have_returned() {
    let mut sim = journaling(&[]);
    for request in [
        "MSET seats 10 meals 10",
        "STOCK.HOLD h1 PX 30000 seats 2 meals 1",
        "STOCK.HOLD h2 PX 60000 seats 3",
        "STOCK.HOLD h3 PX 60000 meals 4",
        "STOCK.CONFIRM h3",
        "STOCK.HOLD h4 PX 60000 meals 1",
        "STOCK.CANCEL h4",
        "STOCK.HOLD h5 PX 60000 seats 1",
        "DEL h5",
    ] {
        let reply = sim.cli(1, request);
        assert!(!reply.starts_with("(error)"), "{request}: {reply}");
    }
    let mut again = restarted(&sim);
    same(&mut again, &mut sim, "after a restart");
    assert_eq!(again.cli(1, "STOCK.INFO seats"), sim.cli(1, "STOCK.INFO seats"));
    assert_eq!(again.cli(1, "STOCK.CONFIRM h3"), "(integer) 1");
    assert_eq!(again.cli(1, "STOCK.CANCEL h3"), "(integer) -1");
    assert_eq!(again.cli(1, "MGET seats meals"), "1) \"5\"\n2) \"5\"");

    // Down for 40 seconds: the first hold's time has passed.
    let later = sim.now.advanced(Duration::from_secs(40));
    let mut again = Sim::restarted(sim.engine.config().clone(), later, &sim.journal);
    assert_eq!(again.cli(1, "MGET seats meals"), "1) \"7\"\n2) \"6\"");
    let end = again.cli(1, "STOCK.CONFIRM h1");
    assert_eq!(end, "(integer) -1");
    // And that has been journaled in its turn.
    again.cli(1, "DECRBY seats 1");
    let all = [&sim.journal[..], &again.journal[..]].concat();
    let mut fourth = Sim::restarted(sim.engine.config().clone(), again.now, &all);
    assert_eq!(texts(&fourth.snapshot()), texts(&again.snapshot()));
}

#[test]
fn leases_are_void_after_a_restart() {
    let mut sim = journaling(&[]);
    let lease = sim.cli(1, "LEASE.GET page FOR 5000");
    let token = token_of(&lease);
    let mut again = restarted(&sim);
    assert_eq!(again.cli(1, &format!("LEASE.SET page {token} html PX 1000")), "(integer) -1");
}

#[test]
fn rates_come_back() {
    let mut sim = journaling(&[]);
    for _ in 0..3 {
        sim.cli(1, "CL.THROTTLE user 2 1 60");
    }
    let mut again = restarted(&sim);
    assert_eq!(again.cli(1, "CL.THROTTLE user 2 1 60"), sim.cli(1, "CL.THROTTLE user 2 1 60"));
}

#[test]
fn what_has_expired_meanwhile_is_gone() {
    let mut sim = journaling(&[]);
    sim.cli(1, "SET short 1 PX 1000");
    sim.cli(1, "SET long 1 PX 100000");
    let later = sim.now.advanced(Duration::from_secs(2));
    let mut again = Sim::restarted(sim.engine.config().clone(), later, &sim.journal);
    assert_eq!(again.cli(1, "DBSIZE"), "(integer) 1");
    assert_eq!(said(&again, 1), [["DEL short"]]);
}

#[test]
fn a_deadline_that_had_passed_and_was_moved_before_is_no_end() {
    let mut sim = journaling(&[]);
    sim.cli(1, "SET key 1 PX 1000");
    sim.cli(1, "EXPIRE key 100");
    let later = sim.now.advanced(Duration::from_secs(2));
    let mut again = Sim::restarted(sim.engine.config().clone(), later, &sim.journal);
    assert_eq!(again.cli(1, "TTL key"), "(integer) 98");
}

#[test]
fn one_turn_is_one_group_and_says_of_each_key_what_it_is() {
    let mut sim = journaling(&[]);
    let from = sim.journal.len();
    let mut requests = Vec::new();
    for _ in 0..1_000 {
        requests.extend(encode(&[b"INCR", b"hits"]));
    }
    sim.send_raw(1, &requests);
    assert_eq!(said(&sim, from), [["SET hits 1000"]]);

    let from = sim.journal.len();
    sim.send_raw(1, b"APPEND c x\r\nSET c y\r\nSET c z\r\nEXPIRE c 100\r\nSET c 1\r\nINCR c\r\n");
    assert_eq!(said(&sim, from), [["MULTI", "SET c z", "PERSIST c", "SET c 2", "EXEC"]]);

    let from = sim.journal.len();
    sim.send_raw(1, b"MULTI\r\nSET a 1\r\nSET b 2\r\nDEL a\r\nEXEC\r\n");
    assert_eq!(
        said(&sim, from),
        [["MULTI", "SET a 1", "SET b 2", "DEL a", "EXEC"]],
        "in their order they lead to the state at the end"
    );
}

#[test]
fn a_command_is_one_group_whatever_its_size() {
    let mut sim = journaling(&[]);
    let from = sim.journal.len();
    let keys: Vec<Vec<u8>> = (0..5_000).map(|at| format!("key{at}").into_bytes()).collect();
    let mut args: Vec<&[u8]> = vec![b"MSET"];
    args.extend(keys.iter().flat_map(|key| [key.as_slice(), b"value"]));
    sim.send(1, &args);
    let groups = said(&sim, from);
    assert_eq!((groups.len(), groups[0].len()), (1, 5_002));
}

#[test]
fn little_is_said_of_a_little_change_of_much() {
    let mut sim = journaling(&[]);
    let large = vec![b'x'; 100_000];
    sim.send(1, &[b"SET", b"large", &large]);
    let from = sim.journal.len();
    sim.cli(1, "APPEND large tail");
    sim.cli(1, "SETRANGE large 10 ab");
    sim.cli(1, "PEXPIREAT large 1893457000000");
    sim.cli(1, "PERSIST large");
    assert_eq!(
        said(&sim, from),
        [
            ["SETRANGE large 100000 tail"],
            ["SETRANGE large 10 ab"],
            ["PEXPIREAT large 1893457000000"],
            ["PERSIST large"],
        ]
    );
    let mut again = restarted(&sim);
    assert_eq!(again.snapshot(), sim.snapshot());
}

#[test]
fn a_group_of_another_database_says_so_itself() {
    let mut sim = journaling(&[]);
    sim.cli(1, "SET first 1");
    let from = sim.journal.len();
    for request in ["SELECT 2", "SET a 1", "SET b 1", "SELECT 0", "SET c 1", "SET d 1"] {
        sim.cli(1, request);
    }
    sim.cli(1, "SELECT 2");
    sim.send_raw(1, b"MULTI\r\nSWAPDB 2 5\r\nSET a 2\r\nSET b 2\r\nEXEC\r\n");
    assert_eq!(
        said(&sim, from),
        [
            vec!["SELECT 2", "SET a 1"],
            vec!["SELECT 2", "SET b 1"],
            vec!["SELECT 0", "SET c 1"],
            vec!["SET d 1"],
            vec!["MULTI", "SWAPDB 2 5", "SELECT 2", "SET a 2", "SET b 2", "EXEC"],
        ]
    );
    // Also if it begins with what concerns no database.
    for request in ["SELECT 2", "SET a 2"] {
        sim.cli(1, request);
    }
    let from = sim.journal.len();
    sim.send_raw(1, b"MULTI\r\nSWAPDB 1 3\r\nSET a 3\r\nEXEC\r\n");
    assert_eq!(said(&sim, from), [["MULTI", "SWAPDB 1 3", "SELECT 2", "SET a 3", "EXEC"]]);
    assert_eq!(restarted(&sim).snapshot(), sim.snapshot());
}

// Replies that wait

#[test]
fn with_always_a_reply_waits_until_its_change_is_durable() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.disk_is_stuck = true;
    let first = sim.journal.len() as u64;
    assert_eq!(sim.cli(1, "SET a 1"), "");
    assert_eq!(sim.cli(2, "SET b 1"), "");
    // What is not durable is not shown to others either; all else is.
    assert_eq!(sim.cli(3, "GET c"), "(nil)");
    assert_eq!(sim.cli(3, "GET a"), "");
    sim.note_durable(first + 1);
    sim.turn();
    assert_eq!(sim.take_replies(1), "OK");
    assert_eq!(sim.take_replies(2), "");
    assert_eq!(sim.take_replies(3), "\"1\"");
    sim.note_durable(first + 2);
    sim.turn();
    assert_eq!(sim.take_replies(2), "OK");
    // Nothing is under way: a reader need not wait.
    assert_eq!(sim.cli(3, "GET a"), "\"1\"");
}

#[test]
fn who_reads_with_always_waits_for_what_was_changed_before_it_was_chosen() {
    let mut sim = journaling(&[("appendfsync", "everysec")]);
    sim.disk_is_stuck = true;
    assert_eq!(sim.cli(1, "SET a 1"), "OK");
    assert_eq!(sim.cli(1, "CONFIG SET appendfsync always"), "OK");
    assert_eq!(sim.cli(2, "GET a"), "");
    assert_eq!(sim.cli(3, "PING"), "PONG");
    let seq = sim.journal.len() as u64;
    assert_eq!(sim.cli(1, "SET b 1"), "");
    assert_eq!(sim.cli(3, "GET a"), "");
    sim.note_durable(seq);
    sim.turn();
    assert_eq!((sim.take_replies(2), sim.take_replies(3)), ("\"1\"".into(), "\"1\"".into()));
    assert_eq!(sim.take_replies(1), "");
    assert_eq!(sim.cli(3, "GET a"), "\"1\"");
}

#[test]
fn what_counted_when_it_was_written_is_waited_for_once_always_is_chosen() {
    for policy in ["no", "everysec"] {
        let mut sim = journaling(&[("appendfsync", policy)]);
        sim.disk_is_stuck = true;
        assert_eq!(sim.cli(1, "SET a 1"), "OK");
        let seq = sim.journal.len() as u64;
        let mut progress = JournalProgress {
            written_seq: seq,
            durable_seq: if policy == "no" { seq } else { 0 },
            ..JournalProgress::default()
        };
        sim.engine.note_journal(progress.clone());
        // Whoever asks for a sync waits for it in any case.
        assert_eq!(sim.cli(3, "WAITAOF 1 0 0"), "", "{policy}");
        assert_eq!(sim.engine.awaited_seq(), Some(seq));
        assert_eq!(sim.cli(1, "CONFIG SET appendfsync always"), "OK");
        assert_eq!(sim.cli(2, "GET a"), "", "{policy}");
        // The writer has not heard of it yet.
        sim.engine.note_journal(progress.clone());
        sim.turn();
        assert_eq!((sim.take_replies(2), sim.take_replies(3)), ("".into(), "".into()));
        (progress.durable_seq, progress.synced_seq) = (seq, seq);
        sim.engine.note_journal(progress);
        sim.turn();
        assert_eq!(sim.take_replies(2), "\"1\"");
        assert_eq!(sim.take_replies(3), "1) (integer) 1\n2) (integer) 0");
        assert_eq!(sim.engine.awaited_seq(), None);
    }
}

#[test]
fn a_client_that_goes_on_gets_its_replies_as_they_become_durable() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.disk_is_stuck = true;
    let first = sim.journal.len() as u64;
    for at in 0..5 {
        sim.cli(1, &format!("INCRBY n {}", at + 1));
    }
    for (at, sum) in [(1, 1), (2, 3), (3, 6), (4, 10), (5, 15)] {
        sim.note_durable(first + at);
        sim.turn();
        assert_eq!(sim.take_replies(1), format!("(integer) {sum}"));
    }
}

#[test]
fn a_client_that_leaves_while_its_replies_wait_leaves_nothing_behind() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.disk_is_stuck = true;
    let first = sim.journal.len() as u64;
    sim.cli(1, "SET a 1");
    sim.disconnect(1);
    // Another client in its place.
    assert_eq!(sim.cli(1, "SET b 1"), "");
    sim.note_durable(first + 1);
    sim.turn();
    assert_eq!(sim.take_replies(1), "");
    sim.note_durable(first + 2);
    sim.turn();
    assert_eq!(sim.take_replies(1), "OK");
}

#[test]
fn a_lock_that_another_has_left_is_granted_when_that_is_durable() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.cli(1, "LOCK.ACQUIRE door alice PX 60000");
    assert_eq!(sim.cli(2, "LOCK.ACQUIRE door bob PX 60000 WAIT 5000"), "");
    sim.disk_is_stuck = true;
    sim.cli(1, "LOCK.RELEASE door alice");
    assert_eq!(sim.take_replies(2), "");
    sim.note_durable(sim.journal.len() as u64);
    sim.turn();
    assert!(sim.take_replies(2).starts_with("(integer) "));
    assert_eq!(sim.take_replies(1), "(integer) 0");
}

#[test]
fn with_everysec_nobody_waits_but_who_asks_to() {
    let mut sim = journaling(&[("appendfsync", "everysec")]);
    sim.disk_is_stuck = true;
    assert_eq!(sim.cli(1, "SET a 1"), "OK");
    assert_eq!(sim.cli(1, "WAITAOF 1 0 1000"), "");
    sim.note_durable(sim.journal.len() as u64);
    sim.turn();
    assert_eq!(sim.take_replies(1), "1) (integer) 1\n2) (integer) 0");
    assert_eq!(sim.cli(1, "SET a 2"), "OK");
    assert_eq!(sim.cli(1, "WAITAOF 1 0 1000"), "");
    sim.advance_ms(1_000);
    assert_eq!(sim.take_replies(1), "1) (integer) 0\n2) (integer) 0");
    assert_eq!(
        sim.cli(1, "WAITAOF 2 0 1000"),
        "(error) ERR value is out of range, value must between 0 and 1"
    );
}

#[test]
fn what_tells_of_all_keys_waits_for_all_changes() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.cli(1, "SET a 1");
    sim.disk_is_stuck = true;
    sim.cli(1, "DEL a");
    // Nothing is left to be flushed, but that is not durable yet.
    let requests = ["FLUSHALL", "DBSIZE", "SCAN 0", "RANDOMKEY", "COPY a b DB 3", "SETNX c 1"];
    for (at, request) in requests.into_iter().enumerate() {
        let client = 10 + at;
        assert_eq!(sim.cli(client, request), "", "{request}");
        assert_eq!(sim.cli(100 + client, "PING"), "PONG");
    }
    sim.note_durable(sim.journal.len() as u64);
    sim.turn();
    assert_eq!((sim.take_replies(10), sim.take_replies(11)), {
        ("OK".to_owned(), "(integer) 0".to_owned())
    });
}

#[test]
fn what_a_counter_has_in_holds_is_told_when_that_is_durable() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.cli(1, "SET s 10");
    sim.cli(1, "STOCK.HOLD h PX 100000 s 3");
    sim.disk_is_stuck = true;
    // The counter itself does not change with that.
    sim.cli(1, "STOCK.CONFIRM h");
    assert_eq!(sim.cli(2, "STOCK.INFO s"), "");
    sim.note_durable(sim.journal.len() as u64);
    sim.turn();
    assert!(sim.take_replies(2).contains("\"held\"\n4) (integer) 0"));
}

#[test]
fn a_change_without_a_reply_holds_back_the_next_one() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.disk_is_stuck = true;
    sim.cli(1, "CLIENT REPLY SKIP");
    assert_eq!(sim.cli(1, "SET a 1"), "");
    assert_eq!(sim.cli(1, "PING"), "");
    sim.note_durable(sim.journal.len() as u64);
    sim.turn();
    assert_eq!(sim.take_replies(1), "PONG");
}

#[test]
fn whoever_waits_for_durability_is_served_once_whatever_else_becomes_durable() {
    let mut sim = journaling(&[("appendfsync", "everysec")]);
    sim.disk_is_stuck = true;
    sim.cli(1, "SET a 1");
    let needed = sim.journal.len() as u64;
    assert_eq!(sim.cli(1, "WAITAOF 1 0 60000"), "");
    for round in 0..10 {
        sim.cli(2, "INCR other");
        // Twice in one turn, before the client is run again.
        sim.note_durable(needed - 1);
        sim.note_durable(needed - 1);
        sim.turn();
        assert_eq!(sim.take_replies(1), "", "round {round}");
    }
    sim.note_durable(needed);
    sim.note_durable(needed);
    sim.turn();
    assert_eq!(sim.take_replies(1), "1) (integer) 1\n2) (integer) 0");
}

#[test]
fn a_lock_that_ends_while_the_journal_is_full_goes_to_the_next_in_line_afterwards() {
    let mut sim = journaling(&[("append-queue-max", "1mb")]);
    sim.cli(1, "LOCK.ACQUIRE door alice PX 1000");
    assert_eq!(sim.cli(2, "LOCK.ACQUIRE door bob PX 5000 WAIT 20000"), "");
    assert_eq!(sim.cli(3, "LOCK.ACQUIRE door carol PX 5000 WAIT 20000"), "");
    sim.disk_is_stuck = true;
    full(&mut sim, 1 << 20);
    sim.advance_ms(2_000);
    assert_eq!(sim.take_replies(2), "");
    full(&mut sim, 0);
    assert!(sim.take_replies(2).starts_with("(integer) "));
    assert_eq!(sim.take_replies(3), "");
    sim.cli(2, "LOCK.RELEASE door bob");
    assert!(sim.take_replies(3).starts_with("(integer) "));
    assert!(sim.cli(4, "LOCK.ACQUIRE door dan PX 5000 WAIT 100").is_empty());
    sim.advance_ms(100);
    assert_eq!(sim.take_replies(4), "(nil)");
}

/// So many bytes are not durable.
fn full(sim: &mut Sim, bytes: usize) {
    let unsynced_bytes = bytes;
    sim.engine.note_journal(JournalProgress { unsynced_bytes, ..JournalProgress::default() });
    sim.turn();
}

// When the disk fails

fn fault(sim: &mut Sim, fault: Option<&str>) {
    let seq = sim.journal.len() as u64;
    sim.engine.note_journal(JournalProgress {
        written_seq: seq,
        durable_seq: seq,
        synced_seq: seq,
        fault: fault.map(str::to_owned),
        ..JournalProgress::default()
    });
}

#[test]
fn while_the_journal_cannot_be_written_nothing_is_changed_and_all_is_read() {
    let mut sim = journaling(&[]);
    sim.cli(1, "SET a 1");
    sim.cli(1, "LOCK.ACQUIRE door alice PX 1000");
    assert_eq!(sim.cli(2, "LOCK.ACQUIRE door bob PX 1000 WAIT 5000"), "");
    fault(&mut sim, Some("No space left on device"));
    sim.disk_is_stuck = true;
    let refusal = "(error) MISCONF Errors writing to the AOF file: No space left on device";
    assert_eq!(sim.cli(1, "SET a 2"), refusal);
    assert_eq!(sim.cli(1, "DEL a"), refusal);
    assert_eq!(sim.cli(1, "GET a"), "\"1\"");
    assert_eq!(sim.cli(1, "MULTI"), "OK");
    assert_eq!(sim.cli(1, "INCR a"), refusal);
    assert!(sim.cli(1, "EXEC").starts_with("(error) EXECABORT"));
    assert!(sim.info("aof_last_write_status").contains("err"));
    let refused = "(error) ERR Can't execute an AOF background rewriting: No space left on device";
    assert_eq!(sim.cli(1, "BGREWRITEAOF"), refused);
    // Time goes on: a lock's owner loses it.
    sim.advance_ms(1_000);
    assert_eq!(sim.cli(1, "EXISTS door"), "(integer) 0");
    fault(&mut sim, None);
    assert_eq!(sim.cli(1, "INCR a"), "(integer) 2");
}

#[test]
fn what_was_queued_before_the_fault_is_discarded_by_exec() {
    let mut sim = journaling(&[]);
    sim.cli(1, "MULTI");
    sim.cli(1, "SET a 1");
    fault(&mut sim, Some("Input/output error"));
    sim.disk_is_stuck = true;
    assert_eq!(
        sim.cli(1, "EXEC"),
        "(error) EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF \
         file: Input/output error"
    );
    assert_eq!(sim.cli(1, "EXISTS a"), "(integer) 0");
}

#[test]
fn who_was_held_back_is_refused_when_the_disk_fails() {
    let mut sim = journaling(&[("append-queue-max", "1mb")]);
    sim.disk_is_stuck = true;
    full(&mut sim, 1 << 20);
    assert_eq!(sim.cli(1, "SET a 1"), "");
    sim.engine.note_journal(JournalProgress {
        unsynced_bytes: 1 << 20,
        fault: Some("Input/output error".to_owned()),
        ..JournalProgress::default()
    });
    sim.turn();
    assert!(sim.take_replies(1).starts_with("(error) MISCONF"));
}

#[test]
fn with_always_a_refusal_does_not_wait_for_the_disk_that_fails() {
    let mut sim = journaling(&[("appendfsync", "always")]);
    sim.disk_is_stuck = true;
    assert_eq!(sim.cli(1, "SET a 1"), "");
    sim.engine.note_journal(JournalProgress {
        fault: Some("No space left on device".to_owned()),
        ..JournalProgress::default()
    });
    sim.turn();
    assert_eq!(sim.take_replies(1), "");
    assert!(sim.cli(2, "SET b 1").starts_with("(error) MISCONF"));
    assert_eq!(sim.cli(3, "GET a"), "\"1\"");
    assert_eq!(sim.cli(3, "DBSIZE"), "(integer) 1");
}

#[test]
fn who_writes_waits_while_too_much_is_not_durable_yet() {
    let mut sim = journaling(&[("append-queue-max", "1mb")]);
    sim.disk_is_stuck = true;
    full(&mut sim, 1 << 20);
    assert_eq!(sim.cli(1, "SET a 1"), "");
    assert_eq!(sim.cli(2, "EXISTS a"), "(integer) 0");
    assert_eq!(sim.cli(3, "INCR n"), "");
    sim.advance_ms(5_000);
    assert_eq!(sim.take_replies(1), "");
    full(&mut sim, 1_000);
    assert_eq!(sim.take_replies(1), "OK");
    assert_eq!(sim.take_replies(3), "(integer) 1");
}

#[test]
fn who_begins_a_journal_is_answered_when_it_is_known_whether_there_can_be_one() {
    let mut sim = Sim::new();
    let begin = "CONFIG SET appendonly yes";
    assert_eq!((sim.cli(1, begin), sim.cli(2, begin)), (String::new(), String::new()));
    sim.advance_ms(10 * sim.engine.config().max_wait_ms);
    assert_eq!(sim.take_replies(1), "", "however long that takes");
    sim.engine.start_journal();
    sim.engine.journal_begun();
    sim.turn();
    assert_eq!((sim.take_replies(1), sim.take_replies(2)), ("OK".to_owned(), "OK".to_owned()));
    assert_eq!(sim.cli(1, begin), "OK", "it is kept already");

    sim.engine.stop_journal();
    assert_eq!(sim.cli(1, "CONFIG SET appendonly no"), "OK");
    assert_eq!(sim.cli(1, begin), "");
    sim.engine.refuse_journal("no room");
    sim.turn();
    assert!(sim.take_replies(1).ends_with("Unable to turn on AOF: no room"));
    assert!(sim.cli(1, "CONFIG GET appendonly").ends_with("\"no\""));

    // Somebody has thought better of it, or of waiting.
    assert_eq!(sim.cli(1, begin), "");
    assert_eq!(sim.cli(2, "CONFIG SET appendonly no"), "OK");
    sim.turn();
    assert_eq!(sim.take_replies(1), "OK");
    assert_eq!(sim.cli(1, begin), "");
    let id = sim
        .cli(2, "CLIENT LIST")
        .split_once("id=")
        .map(|(_, rest)| rest.split(' ').next().expect("a number").to_owned());
    let id = id.expect("the first client is listed");
    assert_eq!(sim.cli(2, &format!("CLIENT UNBLOCK {id} ERROR")), "(integer) 1");
    assert!(sim.take_replies(1).starts_with("(error) UNBLOCKED"));
}

#[test]
fn info_counts_the_syncs_that_came_late_since_the_counters_were_reset() {
    let mut sim = journaling(&[("appendfsync", "everysec")]);
    let late = |sim: &mut Sim, delayed_syncs| {
        sim.engine.note_journal(JournalProgress { delayed_syncs, ..JournalProgress::default() });
        sim.info("aof_delayed_fsync")
    };
    assert_eq!(late(&mut sim, 0), "0");
    assert_eq!(late(&mut sim, 3), "3");
    sim.cli(1, "CONFIG RESETSTAT");
    assert_eq!(late(&mut sim, 3), "0");
    assert_eq!(late(&mut sim, 5), "2");
    sim.engine.stop_journal();
    sim.engine.start_journal();
    assert_eq!(late(&mut sim, 1), "1");
}

#[test]
fn clients_are_told_that_data_is_being_loaded() {
    let mut sim = Sim::new();
    sim.engine.begin_replay(sim.now);
    sim.engine.replay(&encode(&[b"SET", b"a", b"1"])).expect("a command");
    let loading = "(error) LOADING Redis is loading the dataset in memory";
    assert_eq!(sim.cli(1, "GET a"), loading);
    assert_eq!(sim.cli(1, "PING"), loading);
    assert!(sim.cli(1, "INFO persistence").contains("loading:1"));
    sim.engine.end_replay(sim.now);
    assert_eq!(sim.cli(1, "GET a"), "\"1\"");
}

#[test]
fn a_part_of_a_string_that_is_one_no_longer_is_passed_over() {
    let mut sim = Sim::new();
    sim.engine.begin_replay(sim.now);
    let mut replay = |words: &[&[u8]]| sim.engine.replay(&encode(words)).map(drop);
    let owner: &[&[u8]] =
        &[b"TOLLGATE.OWNER", b"k", b"shared", b"7", b"me", b"1", b"1893456900000", b"untied"];
    replay(owner).expect("a record");
    replay(&[b"SETRANGE", b"k", b"3", b"abc"]).expect("it is passed over");
    replay(&[b"SETRANGE", b"none", b"2", b"abc"]).expect("it begins one");
    sim.engine.end_replay(sim.now);
    assert_eq!(sim.cli(1, "TYPE k"), "lock");
    assert_eq!(sim.cli(1, "GET none"), r#""\x00\x00abc""#);
}

#[test]
fn what_cannot_be_replayed_is_named() {
    let mut sim = Sim::new();
    sim.engine.begin_replay(sim.now);
    for (words, why) in [
        (vec![&b"LPUSH"[..], b"list", b"1"], "unknown command, 'LPUSH' 'list' '1'"),
        (vec![b"SET", b"a"], "wrong number of arguments, 'SET' 'a'"),
        (vec![b"GET", b"a"], "not a command that changes data, 'GET' 'a'"),
        (vec![b"TOLLGATE.HOLD", b"h", b"lent", b"1", b"1"], "cannot read the record"),
    ] {
        let error = sim.engine.replay(&encode(&words)).expect_err("not a record");
        assert!(error.why.starts_with(why), "{error}");
    }
}
