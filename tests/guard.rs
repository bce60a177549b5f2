//! LOCK.GUARD: a command runs if the token holds the lock now, in the same step.

mod support;

use support::events::{check_events, listening};
use support::refusals::{check_refusals, not_an_integer, out_of_range, wrong_count, wrong_type};
use support::sim::{Sim, play};
use tollgate::commands::{Command, TABLE, flags};
use tollgate::config::Config;

/// A server on which `a` owns `k` with the first token that there is.
fn owned() -> Sim {
    let mut sim = Sim::new();
    assert_eq!(sim.cli(1, "LOCK.ACQUIRE k a PX 1000"), "(integer) 1893456000000001");
    sim
}

fn guarded(command: &str) -> String {
    format!("LOCK.GUARD k 1893456000000001 {command}")
}

const STALE: &str = "(error) STALE token 1893456000000001 does not hold lock 'k'";

#[test]
fn the_reply_is_that_of_the_command() {
    let mut sim = owned();
    for (command, reply) in [
        ("SET a 1", "OK"),
        ("GET a", "\"1\""),
        ("GET nothing", "(nil)"),
        ("INCR a", "(integer) 2"),
        ("MGET a nothing", "1) \"2\"\n2) (nil)"),
        ("lock.release other me", "(integer) -2"),
        ("PING", "PONG"),
        ("OBJECT ENCODING a", "\"int\""),
        ("INCRBY a x", &not_an_integer()),
        ("GET k", &wrong_type()),
    ] {
        assert_eq!(sim.cli(1, &guarded(command)), reply, "{command}");
    }
    sim.cli(2, "HELLO 3");
    let info = sim.cli(2, &guarded("LOCK.INFO k"));
    assert!(info.starts_with("1# \"mode\" => \"exclusive\"\n"), "a map: {info}");
}

#[test]
fn a_token_that_holds_the_lock_no_longer_runs_nothing() {
    for end in [
        "(1000 ms later)",
        "> LOCK.RELEASE k a",
        "> DEL k",
        "> FLUSHALL",
        "> SWAPDB 0 1",
        "> LOCK.EXTEND k a PX 1",
    ] {
        for next in ["", "LOCK.ACQUIRE k b PX 9000", "LOCK.ACQUIRE k a PX 9000"] {
            let mut sim = owned();
            sim.act(end);
            sim.advance_ms(1);
            if !next.is_empty() {
                sim.cli(2, next);
            }
            assert_eq!(sim.cli(1, &guarded("SET result late")), STALE, "{end}, {next}");
            assert_eq!(sim.cli(1, "EXISTS result"), "(integer) 0", "{end}, {next}");
        }
    }
}

#[test]
fn a_paused_worker_cannot_write_over_its_successor() {
    play(
        "successor",
        r#"
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE k b PX 1000 WAIT 5000
(none)
(999 ms later)
> LOCK.GUARD k 1893456000000001 SET result a
OK
(1 ms later)
2> LOCK.GUARD k 1893456000000002 SET result b
(integer) 1893456000000002
OK
> LOCK.GUARD k 1893456000000001 SET result a
(error) STALE token 1893456000000001 does not hold lock 'k'
> GET result
"b"
"#,
    );
}

#[test]
fn a_token_is_good_for_its_own_lock_only() {
    play(
        "own",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
> LOCK.ACQUIRE other a PX 1000
(integer) 1893456000000002
> LOCK.GUARD k 1893456000000002 PING
(error) STALE token 1893456000000002 does not hold lock 'k'
> LOCK.GUARD nothing 1893456000000002 PING
(error) STALE token 1893456000000002 does not hold lock 'nothing'
> LEASE.GET page FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000003
> LOCK.GUARD page 1893456000000003 PING
(error) STALE token 1893456000000003 does not hold lock 'page'
",
    );
}

#[test]
fn each_of_several_owners_has_a_good_token_and_reentry_keeps_it() {
    play(
        "several",
        "
> LOCK.ACQUIRE k a PX 1000 LIMIT 2
(integer) 1893456000000001
> LOCK.ACQUIRE k b PX 2000 LIMIT 2
(integer) 1893456000000002
> LOCK.ACQUIRE k b PX 2000 LIMIT 2
(integer) 1893456000000002
> LOCK.GUARD k 1893456000000001 PING
PONG
> LOCK.RELEASE k b
(integer) 1
(1000 ms later)
> LOCK.GUARD k 1893456000000001 PING
(error) STALE token 1893456000000001 does not hold lock 'k'
> LOCK.GUARD k 1893456000000002 PING
PONG
",
    );
}

#[test]
fn the_name_of_the_lock_is_shown_as_far_as_an_error_shows_any() {
    let mut sim = Sim::new();
    let long = "x".repeat(300);
    let error = sim.cli(1, &format!("LOCK.GUARD {long} 7 PING"));
    assert_eq!(error, format!("(error) STALE token 7 does not hold lock '{}'", &long[..128]));
}

/// Whether scripts may not run it either, or it is about the transaction that it
/// would be in, or it guards itself.
fn is_forbidden(command: &Command) -> bool {
    let own = ["multi", "exec", "discard", "watch", "unwatch", "lock.guard"];
    command.spec.has(flags::NOSCRIPT | flags::NO_MULTI)
        || own.contains(&command.full_name().as_str())
}

#[test]
fn what_scripts_may_not_run_is_not_allowed_and_all_else_is() {
    let mut config = Config::default();
    config.set("enable-debug-command", "local").expect("a known option");
    let mut forbidden = 0;
    for command in TABLE.all() {
        let mut sim = Sim::with_config(config.clone());
        sim.cli(1, "LOCK.ACQUIRE k a PX 1000");
        let name = command.full_name();
        let request = guarded(&name.replace('|', " "));
        let reply = sim.cli(1, &request);
        let refusal = format!("(error) ERR {name} is not allowed inside LOCK.GUARD");
        assert_eq!(reply == refusal, is_forbidden(command), "{name}: {reply}");
        forbidden += usize::from(is_forbidden(command));
        assert_eq!(sim.cli(2, "PING"), "PONG", "{name}");
    }
    assert!(forbidden > 20, "{forbidden}");
    // With all that they ask for, too.
    for (request, name) in [
        ("SUBSCRIBE news", "subscribe"),
        ("CLIENT KILL ID 1", "client|kill"),
        ("WATCH a b", "watch"),
        ("WAIT 1 0", "wait"),
        ("CONFIG SET timeout 1", "config|set"),
        ("DEBUG SLEEP 0", "debug"),
        ("LOCK.GUARD k 1893456000000001 PING", "lock.guard"),
    ] {
        let mut sim = owned();
        let refusal = format!("(error) ERR {name} is not allowed inside LOCK.GUARD");
        assert_eq!(sim.cli(1, &guarded(request)), refusal);
    }
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let mut sim = owned();
    sim.cli(1, "SET text abc");
    check_refusals(
        &mut sim,
        &["LOCK.INFO k", "GET text", "DBSIZE"],
        &[
            (wrong_count("lock.guard"), &["LOCK.GUARD", "LOCK.GUARD k 1893456000000001"]),
            (
                out_of_range("token", 1),
                &["LOCK.GUARD k 0 DEL text", "LOCK.GUARD k x DEL text", "LOCK.GUARD k -1 DEL text"],
            ),
            (wrong_count("set"), &["LOCK.GUARD k 1893456000000001 SET text"]),
            (wrong_count("object|encoding"), &["LOCK.GUARD k 1893456000000001 OBJECT ENCODING"]),
            (
                "(error) ERR unknown command 'NOSUCH', with args beginning with: 'text'".into(),
                &["LOCK.GUARD k 1893456000000001 NOSUCH text"],
            ),
            (
                "(error) ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP.".into(),
                &["LOCK.GUARD k 1893456000000001 OBJECT NOSUCH text"],
            ),
            (wrong_type(), &["LOCK.GUARD text 1893456000000001 DEL text"]),
        ],
    );
}

#[test]
fn nothing_waits_inside_a_guard() {
    play(
        "no waits",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE other b PX 1000
(integer) 1893456000000002
2> LEASE.GET page FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000003
> LOCK.GUARD k 1893456000000001 LOCK.ACQUIRE other a PX 1000 WAIT 500
(nil)
> LOCK.GUARD k 1893456000000001 LEASE.GET page FOR 1000 WAIT 500
1) \"MISS\"
2) (nil)
3) (nil)
> LOCK.ACQUIRE other a PX 1000 WAIT 500
(none)
",
    );
}

#[test]
fn a_guard_stands_in_a_transaction_like_any_command() {
    play(
        "transaction",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
> MULTI
OK
> LOCK.GUARD k 1893456000000001 INCR n
QUEUED
> LOCK.RELEASE k a
QUEUED
> LOCK.GUARD k 1893456000000001 INCR n
QUEUED
> EXEC
1) (integer) 1
2) (integer) 0
3) (error) STALE token 1893456000000001 does not hold lock 'k'
> MULTI
OK
> LOCK.GUARD k
(error) ERR wrong number of arguments for 'lock.guard' command
> EXEC
(error) EXECABORT Transaction discarded because of previous errors.
",
    );
}

#[test]
fn what_a_guarded_command_makes_anybodys_turn_is_served_after_it() {
    play(
        "served",
        "
> LOCK.ACQUIRE k a PX 1000
(integer) 1893456000000001
2> LOCK.ACQUIRE k b PX 1000 WAIT 5000
(none)
3> LEASE.GET page FOR 1000
1) \"FILL\"
2) (nil)
3) (integer) 1893456000000002
4> LEASE.GET page FOR 1000 WAIT 1000
(none)
> LOCK.GUARD k 1893456000000001 SET page html
OK
4>
1) \"HIT\"
2) \"html\"
3) (nil)
> LOCK.GUARD k 1893456000000001 LOCK.RELEASE k a
(integer) 0
2>
(integer) 1893456000000003
",
    );
}

#[test]
fn a_guarded_command_is_heard_of_and_counted_like_any() {
    let mut sim = listening("KEA");
    check_events(
        &mut sim,
        &[
            ("> LOCK.ACQUIRE k a PX 1000", &["lock k"]),
            ("> LOCK.GUARD k 1893456000000001 SET x 1 EX 10", &["set x", "expire x"]),
            ("> LOCK.GUARD k 2 SET x 1", &[]),
        ],
    );
    let stats = sim.cli(1, "INFO commandstats");
    assert!(stats.contains("cmdstat_set:calls=1,"), "{stats}");
    assert!(stats.contains("cmdstat_lock.guard:calls=2,"), "{stats}");
    sim.cli(2, "WATCH x");
    sim.cli(1, &guarded("INCR x"));
    sim.cli(2, "MULTI");
    assert_eq!(sim.cli(2, "EXEC"), "(nil)");
}

#[test]
fn its_keys_are_the_lock_and_those_of_the_command() {
    play(
        "keys",
        "
> COMMAND GETKEYS LOCK.GUARD k 1 MSET a 1 b 2
1) \"k\"
2) \"a\"
3) \"b\"
> COMMAND GETKEYS LOCK.GUARD k 1 PING
1) \"k\"
",
    );
}
