//! CLIENT TRACKING: clients that keep copies are told when these are no longer
//! good.

mod support;

use ::tollgate::config::Config;
use support::program;
use support::redis_server;
use support::sim::{Sim, play};
use support::target::{Target as _, TcpTarget, encode};
use support::tollgate;

/// A simulation in which client 1 speaks RESP3 and tracks as is said.
fn tracking(options: &str) -> Sim {
    tracking_with(Config::default(), options)
}

fn tracking_with(config: Config, options: &str) -> Sim {
    let mut sim = Sim::with_config(config);
    sim.cli(1, "HELLO 3");
    assert_eq!(sim.cli(1, &format!("CLIENT TRACKING ON {options}")), "OK");
    sim
}

/// The keys that the client has been told of, a group for each message; `*`
/// stands for all keys.
fn told(sim: &mut Sim, client: usize) -> String {
    let mut groups = Vec::new();
    while let Some(reply) = sim.take_reply(client) {
        let elements = reply.elements().expect("a message, not a reply");
        let word = elements[0].text().expect("a word");
        assert!(word == b"invalidate" || word == b"message", "{reply:?}");
        let keys = elements.last().expect("not empty");
        groups.push(match keys.elements() {
            Some(keys) => {
                let names = keys.iter().map(|key| key.text().expect("a name"));
                names.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
            }
            None => "*".to_owned(),
        });
    }
    groups.join("; ")
}

fn figure(sim: &mut Sim, name: &str) -> u64 {
    let info = sim.cli(90, "INFO everything");
    let (_, rest) = info.split_once(&format!("{name}:")).expect("the field is there");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

fn figures(sim: &mut Sim) -> [u64; 4] {
    ["tracking_clients", "tracking_total_keys", "tracking_total_items", "tracking_total_prefixes"]
        .map(|name| figure(sim, name))
}

#[test]
fn a_client_is_told_once_of_a_key_that_it_has_read() {
    let mut sim = tracking("");
    for (write, told_keys) in [
        ("SET a 1", "a"),
        ("SET a 2", ""),
        ("SET other 1", ""),
        ("INCR b", "b"),
        ("APPEND c x", "c"),
        ("SETRANGE d 0 x", "d"),
        ("MSET e 1 f 2", "e; f"),
        ("DEL e f", ""),
        ("RENAME a g", "g"),
        ("COPY b h", "h"),
        ("EXPIRE b 100", ""),
        ("GETDEL c", ""),
        ("DECRIFPOS b", ""),
    ] {
        if write == "SET a 1" {
            sim.cli(1, "MGET a b c d e f g h");
        }
        sim.cli(2, write);
        assert_eq!(told(&mut sim, 1), told_keys, "{write}");
    }
}

#[test]
fn every_kind_of_change_is_told() {
    let mut sim = tracking("");
    for write in [
        "SET k 1",
        "INCRBY k 2",
        "INCREX k",
        "DECRIFPOS k",
        "EXPIRE k 100",
        "PERSIST k",
        "GETEX k EX 10",
        "GETEX k PERSIST",
        "GETSET k 5",
        "SETEX k 10 x",
        "PEXPIREAT k 1",
        "SETNX k 1",
        "MOVE k 1",
        "MSETEX 1 k 5 EX 10",
        "DELIFEQ k 5",
        "SET k 1 PXAT 1",
        "MSETNX k 1",
        "DELEX k",
        "SET k 1",
        "UNLINK k",
    ] {
        sim.cli(1, "GET k");
        sim.cli(2, write);
        assert_eq!(told(&mut sim, 1), "k", "{write}");
    }
    for unchanged in ["DEL k", "GET k", "EXISTS k", "SET k 1 XX", "DELIFEQ k 5", "SWAPDB 0 1"] {
        sim.cli(1, "GET k");
        sim.cli(2, unchanged);
        assert_eq!(told(&mut sim, 1), "", "{unchanged}");
    }
}

#[test]
fn every_command_that_reads_keys_is_followed_and_no_other() {
    let mut sim = tracking("");
    sim.cli(1, "MGET a b");
    for read in [
        "TTL c",
        "EXISTS d e",
        "TYPE f",
        "STRLEN g",
        "GETRANGE h 0 1",
        "OBJECT ENCODING i",
        "MEMORY USAGE j",
        "TOUCH k",
        "DIGEST l",
        "GETRANGE m nonsense 1",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "PUBLISH n 1",
        "WATCH o",
        "GETEX p",
        "SET q 1",
    ] {
        sim.cli(1, read);
    }
    let pairs: Vec<String> = ('a'..='z').map(|name| format!("{name} 1")).collect();
    sim.cli(2, &format!("MSET {}", pairs.join(" ")));
    assert_eq!(told(&mut sim, 1), "a; b; c; d; e; f; g; h; i; j; k; l; m");
}

#[test]
fn a_key_that_expires_is_told_in_its_millisecond() {
    for options in ["", "NOLOOP", "BCAST"] {
        let mut sim = tracking(options);
        sim.cli(2, "SET a 1 PX 1500");
        let _ = told(&mut sim, 1);
        sim.cli(1, "GET a");
        sim.advance_ms(1_499);
        assert_eq!(told(&mut sim, 1), "", "{options}");
        sim.advance_ms(1);
        assert_eq!(told(&mut sim, 1), "a", "{options}");
    }
}

#[test]
fn what_expires_by_a_clients_own_command_is_told_even_with_noloop() {
    let mut sim = tracking("NOLOOP");
    sim.cli(1, "SET a 1 PX 10");
    sim.cli(1, "GET a");
    // The turn's expiry has not come to it yet: the clock moves and the
    // command is there first.
    sim.now = sim.now.advanced(std::time::Duration::from_millis(10));
    sim.engine.receive(1, b"SETNX a 2\r\n", sim.now);
    sim.turn();
    assert_eq!(sim.take_reply(1), Some(support::resp::Reply::Integer(1)));
    assert_eq!(told(&mut sim, 1), "a");
}

#[test]
fn all_keys_are_invalid_when_databases_are_emptied() {
    for options in ["", "BCAST", "NOLOOP", "OPTIN"] {
        let mut sim = tracking(options);
        for flush in ["FLUSHALL", "FLUSHDB"] {
            sim.cli(1, "GET a");
            sim.cli(2, flush);
            assert_eq!(told(&mut sim, 1), "*", "{options} {flush}");
            assert_eq!(figure(&mut sim, "tracking_total_keys"), 0);
        }
        sim.send_raw(1, b"FLUSHALL\r\n");
        assert_eq!(sim.take_bytes(1), b"+OK\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n");
    }
}

#[test]
fn names_count_whatever_the_database() {
    let mut sim = tracking("");
    sim.cli(1, "GET a");
    sim.cli(2, "SELECT 5");
    sim.cli(2, "SET a 1");
    assert_eq!(told(&mut sim, 1), "a");
}

#[test]
fn what_a_client_does_itself_comes_behind_the_reply() {
    let mut sim = tracking("");
    sim.send_raw(1, b"GET a\r\nSET a 1\r\nGET a\r\nDEL a\r\nPING\r\n");
    let expected = "_\r\n+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n$1\r\n1\r\n:1\r\n\
                    >2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n+PONG\r\n";
    assert_eq!(String::from_utf8_lossy(&sim.take_bytes(1)), expected);
}

#[test]
fn what_a_transaction_changes_comes_behind_the_reply_to_exec() {
    let mut sim = tracking("");
    for line in ["GET a", "GET b", "MULTI", "GET a", "SET a 1", "GET a", "SET a 2", "SET b 1"] {
        sim.cli(1, line);
    }
    sim.send_raw(1, b"EXEC\r\n");
    let push = |key| format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n{key}\r\n");
    let expected = format!(
        "*5\r\n_\r\n+OK\r\n$1\r\n1\r\n+OK\r\n+OK\r\n{}{}{}",
        push("a"),
        push("a"),
        push("b")
    );
    assert_eq!(String::from_utf8_lossy(&sim.take_bytes(1)), expected);
    // Others hear of it too, once.
    sim.cli(1, "GET a");
    for line in ["MULTI", "SET a 3", "SET a 4", "FLUSHALL"] {
        sim.cli(2, line);
    }
    assert_eq!(told(&mut sim, 1), "");
    sim.cli(2, "EXEC");
    assert_eq!(told(&mut sim, 1), "a; *");
}

#[test]
fn noloop_leaves_out_what_the_client_does_itself() {
    let mut sim = tracking("NOLOOP");
    sim.cli(1, "GET a");
    assert_eq!(sim.cli(1, "SET a 1"), "OK");
    // It has not read the key since.
    sim.cli(2, "SET a 2");
    assert_eq!(told(&mut sim, 1), "");
    sim.cli(1, "GET a");
    sim.cli(2, "SET a 2");
    assert_eq!(told(&mut sim, 1), "a");

    let mut sim = tracking("BCAST NOLOOP");
    assert_eq!(sim.cli(1, "SET a 1"), "OK");
    for raw in [&b"SET a 1\r\nSET b 1\r\nSET c 1\r\n"[..], b"SET b 2\r\n"] {
        sim.engine.receive(1, raw, sim.now);
    }
    sim.cli(2, "SET a 2");
    // Who has changed a key last decides.
    let told = sim.cli(1, "PING");
    assert!(told.starts_with("OK\nOK\nOK\nOK\n1) \"invalidate\"\n2) 1) \"a\"\nPONG"), "{told}");
}

#[test]
fn optin_remembers_only_what_is_read_after_caching_yes() {
    let mut sim = tracking("OPTIN");
    for line in ["GET a", "CLIENT CACHING YES", "GET b", "GET c"] {
        sim.cli(1, line);
    }
    sim.cli(2, "MSET a 1 b 1 c 1");
    assert_eq!(told(&mut sim, 1), "b");
    // Other subcommands of CLIENT do not count as the next command, whatever
    // else is one does.
    for (between, expected) in [
        ("CLIENT ID", "a"),
        ("CLIENT CACHING", "a"),
        ("CLIENT NOSUCH", ""),
        ("PING", ""),
        ("GET", ""),
        ("NOSUCH", ""),
    ] {
        for line in ["CLIENT CACHING YES", between, "GET a"] {
            sim.cli(1, line);
        }
        sim.cli(2, "SET a 1");
        assert_eq!(told(&mut sim, 1), expected, "{between}");
    }
    // A transaction is one command.
    for line in ["CLIENT CACHING YES", "MULTI", "GET a", "GET b", "EXEC", "GET c"] {
        sim.cli(1, line);
    }
    sim.cli(2, "MSET a 1 b 1 c 1");
    assert_eq!(told(&mut sim, 1), "a; b");
    for line in ["MULTI", "GET a", "CLIENT CACHING YES", "GET b", "EXEC", "GET c"] {
        sim.cli(1, line);
    }
    sim.cli(2, "MSET a 1 b 1 c 1");
    assert_eq!(told(&mut sim, 1), "b");
}

#[test]
fn optout_remembers_all_but_what_is_read_after_caching_no() {
    let mut sim = tracking("OPTOUT");
    for line in ["GET a", "CLIENT CACHING NO", "GET b", "GET c"] {
        sim.cli(1, line);
    }
    sim.cli(2, "MSET a 1 b 1 c 1");
    assert_eq!(told(&mut sim, 1), "a; c");
}

#[test]
fn broadcasts_are_collected_over_a_turn_and_sorted() {
    let mut sim = tracking("BCAST");
    sim.send_raw(2, b"SET b 1\r\nSET a 1\r\nSET b 2\r\nDEL a\r\n");
    assert_eq!(told(&mut sim, 1), "a b");
    sim.send_raw(1, b"SET x 1\r\nGET x\r\nSET y 1\r\n");
    let expected =
        "+OK\r\n$1\r\n1\r\n+OK\r\n>2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n";
    assert_eq!(String::from_utf8_lossy(&sim.take_bytes(1)), expected);
}

#[test]
fn broadcasts_go_to_those_with_a_prefix_of_the_key() {
    let mut sim = tracking("BCAST PREFIX user: PREFIX item:");
    sim.cli(2, "HELLO 3");
    sim.cli(2, "CLIENT TRACKING ON BCAST PREFIX user:1");
    sim.cli(3, "MSET user:1 a user:12 b user:2 c item:1 d use e other f");
    assert_eq!(told(&mut sim, 1), "item:1; user:1 user:12 user:2");
    assert_eq!(told(&mut sim, 2), "user:1 user:12");
    assert_eq!(figures(&mut sim), [2, 0, 0, 3]);
    // More prefixes can be added; all keys are one more.
    sim.cli(2, "CLIENT TRACKING ON BCAST PREFIX other");
    sim.cli(3, "SET other 1");
    assert_eq!((told(&mut sim, 1), told(&mut sim, 2)), (String::new(), "other".to_owned()));
    sim.cli(2, "CLIENT TRACKING ON BCAST");
    sim.cli(3, "SET other 1");
    assert_eq!(told(&mut sim, 2), "other; other");
    sim.cli(1, "CLIENT TRACKING OFF");
    sim.cli(2, "RESET");
    assert_eq!(figures(&mut sim), [0; 4]);
    sim.cli(3, "SET user:1 x");
    assert_eq!((told(&mut sim, 1), told(&mut sim, 2)), (String::new(), String::new()));
}

#[test]
fn a_broadcast_that_grows_too_large_does_not_wait_for_the_turns_end() {
    let mut config = Config::default();
    config.set("tracking-broadcast-max", "2").expect("a valid option");
    let mut sim = tracking_with(config, "BCAST");
    sim.send_raw(2, b"SET a 1\r\nSET b 1\r\nSET c 1\r\nSET a 2\r\nSET d 1\r\n");
    assert_eq!(told(&mut sim, 1), "a b; a c; d");
}

#[test]
fn who_has_switched_to_broadcasts_is_not_told_of_earlier_reads() {
    let mut sim = tracking("");
    sim.cli(1, "GET a");
    sim.cli(1, "CLIENT TRACKING OFF");
    sim.cli(1, "CLIENT TRACKING ON BCAST PREFIX x");
    sim.cli(2, "SET a 1");
    assert_eq!(told(&mut sim, 1), "");
    assert_eq!(figures(&mut sim), [1, 0, 0, 1]);
}

#[test]
fn another_client_can_be_told_instead() {
    play(
        "redirect to RESP2",
        r#"
2> SUBSCRIBE __redis__:invalidate
1) "subscribe"
2) "__redis__:invalidate"
3) (integer) 1
> CLIENT TRACKING ON REDIRECT 1
OK
> CLIENT GETREDIR
(integer) 1
> GET a
(nil)
3> SET a 1
OK
2>
1) "message"
2) "__redis__:invalidate"
3) 1) "a"
> GET a
"1"
> SET a 2
OK
2>
1) "message"
2) "__redis__:invalidate"
3) 1) "a"
3> FLUSHALL
OK
2>
1) "message"
2) "__redis__:invalidate"
3) (nil)
2> UNSUBSCRIBE
1) "unsubscribe"
2) "__redis__:invalidate"
3) (integer) 0
> GET a
(nil)
3> SET a 1
OK
2>
(none)
"#,
    );
    play(
        "redirect to RESP3",
        r#"
2> HELLO 3
(any)
> CLIENT TRACKING ON REDIRECT 1
OK
> GET a
(nil)
2> SET a 1
1) "invalidate"
2) 1) "a"
OK
> GET a
"1"
> MULTI
OK
2> MULTI
OK
2> SET a 2
QUEUED
2> EXEC
1) "invalidate"
2) 1) "a"
1) OK
"#,
    );
}

#[test]
fn a_resp2_client_that_tells_nobody_else_is_told_nothing() {
    let mut sim = Sim::new();
    sim.cli(1, "CLIENT TRACKING ON");
    sim.cli(1, "GET a");
    sim.cli(2, "SET a 1");
    sim.cli(2, "FLUSHALL");
    assert_eq!(told(&mut sim, 1), "");
    // The version counts at the moment of the change.
    sim.cli(1, "GET a");
    sim.cli(1, "HELLO 3");
    sim.cli(2, "SET a 1");
    assert_eq!(told(&mut sim, 1), "a");
}

#[test]
fn a_redirection_that_has_gone_is_told() {
    let mut sim = Sim::new();
    sim.cli(2, "PING");
    sim.cli(1, "HELLO 3");
    assert_eq!(sim.cli(1, "CLIENT TRACKING ON REDIRECT 1"), "OK");
    sim.cli(1, "MGET a b");
    sim.disconnect(2);
    assert!(sim.cli(1, "CLIENT INFO").contains(" flags=t "));
    sim.cli(3, "SET a 1");
    let broken = "1) \"tracking-redir-broken\"\n2) (integer) 1";
    assert_eq!(sim.take_replies(1), broken);
    assert!(sim.cli(1, "CLIENT TRACKINGINFO").contains("broken_redirect"));
    let info = sim.cli(1, "CLIENT INFO");
    assert!(info.contains(" flags=tR ") && info.contains(" redir=1 "), "{info}");
    sim.cli(3, "FLUSHALL");
    assert_eq!(sim.take_replies(1), broken);
    assert_eq!(sim.cli(1, "FLUSHALL"), format!("OK\n{broken}"));
    sim.cli(1, "CLIENT TRACKING ON");
    assert!(!sim.cli(1, "CLIENT TRACKINGINFO").contains("broken_redirect"));
    // One that is being killed is gone already.
    sim.cli(2, "PING");
    let id = sim.cli(2, "CLIENT ID");
    let id = id.trim_start_matches("(integer) ");
    sim.cli(1, &format!("CLIENT TRACKING ON REDIRECT {id}"));
    sim.cli(1, "GET a");
    sim.send_raw(3, format!("CLIENT KILL ID {id}\r\nSET a 1\r\n").as_bytes());
    assert!(sim.take_replies(1).contains("tracking-redir-broken"));
}

#[test]
fn the_state_is_shown() {
    play(
        "trackinginfo",
        r#"
> CLIENT TRACKINGINFO
1) "flags"
2) 1) "off"
3) "redirect"
4) (integer) -1
5) "prefixes"
6) (empty array)
> CLIENT TRACKING ON OPTIN NOLOOP
OK
> CLIENT CACHING YES
OK
> CLIENT TRACKINGINFO
1) "flags"
2) 1) "on"
   2) "optin"
   3) "caching-yes"
   4) "noloop"
3) "redirect"
4) (integer) 0
5) "prefixes"
6) (empty array)
> CLIENT TRACKING OFF
OK
> CLIENT TRACKING ON OPTOUT
OK
> CLIENT CACHING NO
OK
> CLIENT TRACKINGINFO
1) "flags"
2) 1) "on"
   2) "optout"
   3) "caching-no"
3) "redirect"
4) (integer) 0
5) "prefixes"
6) (empty array)
> HELLO 3
(any)
> CLIENT TRACKING OFF
OK
> CLIENT TRACKING ON BCAST PREFIX b PREFIX a
OK
> CLIENT TRACKINGINFO
1# "flags" => 
   1~ "on"
   2~ "bcast"
2# "redirect" => (integer) 0
3# "prefixes" => 
   1) "a"
   2) "b"
"#,
    );
    let mut sim = tracking("BCAST");
    assert!(sim.cli(1, "CLIENT INFO").contains(" flags=tB "));
    assert!(sim.cli(2, "CLIENT INFO").contains(" redir=-1 "));
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_redis() {
    let switch = |what| {
        format!(
            "You can't switch {what} mode{} before disabling tracking for this client, and then \
             re-enabling it with a different mode.",
            if what == "BCAST" { " on/off" } else { "" }
        )
    };
    let (bcast, opt) = (switch("BCAST"), switch("OPTIN/OPTOUT"));
    let overlaps = |one, which, other| {
        format!(
            "Prefix '{one}' overlaps with {which} prefix '{other}'. Prefixes for a single client \
             must not overlap."
        )
    };
    let (given, existing) =
        (overlaps("ab", "another provided", "a"), overlaps("xyz", "an existing", "xy"));
    let none = "";
    for (state, request, error) in [
        (none, "TRACKING", "wrong number of arguments for 'client|tracking' command"),
        (none, "TRACKING maybe", "syntax error"),
        (none, "TRACKING ON maybe", "syntax error"),
        (none, "TRACKING ON REDIRECT", "syntax error"),
        (none, "TRACKING OFF PREFIX", "syntax error"),
        (none, "TRACKING ON REDIRECT x", "value is not an integer or out of range"),
        (none, "TRACKING ON REDIRECT 0", "The client ID you want redirect to does not exist"),
        (none, "TRACKING ON REDIRECT -1", "The client ID you want redirect to does not exist"),
        (none, "TRACKING OFF REDIRECT 9", "The client ID you want redirect to does not exist"),
        (
            none,
            "TRACKING ON REDIRECT 1 REDIRECT 1",
            "A client can only redirect to a single other client",
        ),
        (none, "TRACKING ON PREFIX a", "PREFIX option requires BCAST mode to be enabled"),
        (none, "TRACKING ON BCAST OPTIN", "OPTIN and OPTOUT are not compatible with BCAST"),
        (none, "TRACKING ON OPTOUT BCAST", "OPTIN and OPTOUT are not compatible with BCAST"),
        (none, "TRACKING ON OPTIN OPTOUT", "You can't specify both OPTIN mode and OPTOUT mode"),
        (none, "TRACKING ON BCAST PREFIX x PREFIX ab PREFIX a", &given),
        ("ON", "TRACKING ON BCAST", &bcast),
        ("ON BCAST", "TRACKING ON", &bcast),
        ("ON OPTIN", "TRACKING ON OPTOUT", &opt),
        ("ON OPTOUT", "TRACKING ON OPTIN", &opt),
        ("ON BCAST PREFIX xy", "TRACKING ON BCAST PREFIX xyz", &existing),
        (none, "CACHING", "wrong number of arguments for 'client|caching' command"),
        (
            none,
            "CACHING maybe",
            "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
             OPTOUT mode enabled",
        ),
        ("ON", "CACHING maybe", "syntax error"),
        (
            "ON",
            "CACHING YES",
            "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        (
            "ON OPTIN",
            "CACHING NO",
            "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        (none, "GETREDIR x", "wrong number of arguments for 'client|getredir' command"),
        (none, "TRACKINGINFO x", "wrong number of arguments for 'client|trackinginfo' command"),
    ] {
        let mut sim = Sim::new();
        if !state.is_empty() {
            assert_eq!(sim.cli(1, &format!("CLIENT TRACKING {state}")), "OK");
        }
        let before = sim.cli(1, "CLIENT TRACKINGINFO");
        assert_eq!(sim.cli(1, &format!("CLIENT {request}")), format!("(error) ERR {error}"));
        assert_eq!(sim.cli(1, "CLIENT TRACKINGINFO"), before, "{request}: nothing has changed");
    }
}

#[test]
fn prefixes_are_bounded() {
    let mut config = Config::default();
    config.set("client-prefixes-max", "2").expect("a valid option");
    config.set("client-names-max-bytes", "1kb").expect("a valid option");
    let mut sim = Sim::with_config(config);
    let error = "(error) ERR a client can track no more than client-prefixes-max (2) prefixes";
    assert_eq!(sim.cli(1, "CLIENT TRACKING ON BCAST PREFIX a PREFIX b PREFIX c"), error);
    assert_eq!(sim.cli(1, "CLIENT TRACKING ON BCAST PREFIX a"), "OK");
    assert_eq!(sim.cli(1, "CLIENT TRACKING ON BCAST PREFIX b PREFIX c"), error);
    let before = sim.engine.client_memory_bytes(1);
    let long = format!("CLIENT TRACKING ON BCAST PREFIX b{}", "x".repeat(900));
    assert_eq!(sim.cli(1, &long), "OK");
    assert!(sim.engine.client_memory_bytes(1) > before + 900);
    assert!(sim.cli(2, &long).contains("OK"));
    sim.cli(2, "SUBSCRIBE news");
    let more = format!("SUBSCRIBE {}", "x".repeat(900));
    assert!(sim.cli(2, &more).contains("client-names-max-bytes (1024)"));
}

#[test]
fn too_many_remembered_keys_are_given_up() {
    let mut config = Config::default();
    config.set("tracking-table-max-keys", "3").expect("a valid option");
    let mut sim = tracking_with(config, "NOLOOP");
    sim.send_raw(1, b"MGET a b c d e\r\n");
    // The reply comes first.
    assert!(sim.take_reply(1).expect("a reply").elements().is_some());
    assert_eq!(told(&mut sim, 1), "a; b");
    assert_eq!(figures(&mut sim), [1, 3, 3, 0]);
    // Whoever may have a copy is told.
    sim.cli(2, "HELLO 3");
    sim.cli(2, "CLIENT TRACKING ON");
    sim.cli(2, "MGET c d");
    sim.send_raw(1, b"GET f\r\n");
    sim.take_reply(1).expect("a reply");
    assert_eq!((told(&mut sim, 1), told(&mut sim, 2)), ("c".to_owned(), "c".to_owned()));
    sim.cli(3, "CONFIG SET tracking-table-max-keys 1");
    assert_eq!((told(&mut sim, 1), told(&mut sim, 2)), ("d; e".to_owned(), "d".to_owned()));
    assert_eq!(figures(&mut sim), [2, 1, 1, 0]);
    sim.cli(3, "CONFIG SET tracking-table-max-keys 0");
    sim.cli(1, "MGET g h i j k l m");
    assert_eq!(figures(&mut sim), [2, 8, 8, 0]);
    assert_eq!(told(&mut sim, 1), "");
}

#[test]
fn a_table_that_must_shrink_much_does_so_in_slices() {
    let mut config = Config::default();
    config.set("free-slice-entries", "100").expect("a valid option");
    let mut sim = tracking_with(config, "");
    let names: Vec<Vec<u8>> = (0..2_000).map(|number| format!("k{number}").into_bytes()).collect();
    let mut request: Vec<&[u8]> = vec![b"MGET"];
    request.extend(names.iter().map(Vec::as_slice));
    sim.ask(1, &request);
    sim.engine.receive(90, b"", sim.now);
    sim.cli(90, "PING");
    sim.engine.receive(90, b"CONFIG SET tracking-table-max-keys 10\r\n", sim.now);
    sim.engine.tick(sim.now);
    assert!(sim.engine.next_deadline().is_some_and(|deadline| deadline <= sim.now.monotonic));
    sim.turn();
    assert_eq!(sim.take_replies(90), "OK");
    assert_eq!(told(&mut sim, 1).split("; ").count(), 1_990);
    assert_eq!(figures(&mut sim), [1, 10, 10, 0]);
}

#[test]
fn who_goes_leaves_nothing_behind() {
    let mut config = Config::default();
    config.set("free-slice-entries", "10").expect("a valid option");
    let mut sim = tracking_with(config, "");
    for client in 2..=4 {
        sim.cli(client, "HELLO 3");
        sim.cli(client, ["CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST"][client % 2]);
    }
    for client in 1..=4 {
        sim.cli(client, "MGET shared own");
    }
    for number in 0..100 {
        sim.cli(2, &format!("GET k{number}"));
    }
    sim.cli(4, "GET k7");
    // Off does not forget, as in Redis; the end of the connection does.
    sim.cli(4, "CLIENT TRACKING OFF");
    assert_eq!(figures(&mut sim), [3, 102, 107, 1]);
    sim.disconnect(2);
    sim.turn();
    assert_eq!(figures(&mut sim), [2, 3, 5, 1]);
    sim.disconnect(4);
    sim.disconnect(3);
    sim.turn();
    assert_eq!(figures(&mut sim), [1, 2, 2, 0]);
    sim.cli(1, "QUIT");
    assert!(sim.is_closed(1));
    sim.turn();
    assert_eq!(figures(&mut sim), [0; 4]);
    // A place that is used again is somebody else's.
    sim.connect(1);
    sim.cli(1, "HELLO 3");
    sim.cli(1, "CLIENT TRACKING ON");
    sim.cli(90, "SET shared 1");
    assert_eq!(told(&mut sim, 1), "");
}

#[test]
fn reset_ends_tracking() {
    let mut sim = tracking("BCAST PREFIX a");
    sim.cli(1, "RESET");
    let info = sim.cli(1, "CLIENT INFO");
    assert!(info.contains(" flags=N ") && info.contains(" redir=-1 "), "{info}");
    assert_eq!(sim.cli(1, "CLIENT GETREDIR"), "(integer) -1");
    sim.cli(1, "HELLO 3");
    sim.cli(2, "SET a 1");
    assert_eq!(told(&mut sim, 1), "");
    assert_eq!(figures(&mut sim), [0; 4]);
}

#[test]
fn replies_that_are_off_do_not_silence_messages() {
    let mut sim = tracking("");
    sim.cli(1, "MGET a b");
    sim.cli(1, "CLIENT REPLY OFF");
    sim.cli(2, "SET a 1");
    sim.send_raw(1, b"SET b 1\r\n");
    assert_eq!(told(&mut sim, 1), "a; b");
}

#[test]
fn a_cache_hears_before_a_subscriber() {
    let mut sim = tracking("");
    sim.cli(1, "CONFIG SET notify-keyspace-events KEA");
    sim.cli(1, "SUBSCRIBE __keyspace@0__:a");
    sim.cli(1, "GET a");
    sim.cli(2, "SET a 1");
    let replies = sim.take_replies(1);
    let (first, second) = (replies.find("invalidate"), replies.find("__keyspace@0__:a"));
    assert!(first.is_some() && first < second, "{replies}");
}

/// A cache that does as it is told, against random commands of others: it never
/// answers with what is not so.
#[test]
fn a_cache_that_listens_is_never_wrong() {
    use std::collections::BTreeMap;
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let options = ["", "OPTOUT", "BCAST", "NOLOOP", "BCAST NOLOOP"][seed as usize % 5];
        let mut config = Config::default();
        config.set("tracking-table-max-keys", "12").expect("a valid option");
        let mut sim = tracking_with(config, options);
        let mut cache: BTreeMap<String, String> = BTreeMap::new();
        for _ in 0..2_000 {
            let key = format!("k{}", rng.u32(..20));
            let value = rng.u32(..1000);
            match rng.u32(..12) {
                0 => sim.advance_ms(rng.u64(1..40)),
                1 => drop(sim.cli(2, &format!("SET {key} {value} PX {}", rng.u32(1..100)))),
                2 => drop(sim.cli(2, &format!("DEL {key} k{}", rng.u32(..20)))),
                3 => drop(sim.cli(2, &format!("INCRBY {key} {value}"))),
                4 => drop(sim.cli(2, &format!("RENAME {key} k{}", rng.u32(..20)))),
                5 if rng.u32(..20) == 0 => drop(sim.cli(2, "FLUSHALL")),
                6 => {
                    cache.remove(&key);
                    sim.send_raw(1, format!("SET {key} {value}\r\n").as_bytes());
                    sim.take_reply(1).expect("OK");
                }
                7 => drop(sim.cli(2, &format!("PEXPIRE {key} {}", rng.u32(1..60)))),
                _ => {
                    sim.send_raw(1, format!("GET {key}\r\n").as_bytes());
                    let reply = sim.take_reply(1).expect("a reply");
                    cache.insert(key, support::resp::format_cli(&reply).trim_end().to_owned());
                }
            }
            match told(&mut sim, 1).as_str() {
                "" => {}
                text if text.contains('*') => cache.clear(),
                text => {
                    for key in text.split([';', ' ']) {
                        cache.remove(key);
                    }
                }
            }
            for (key, cached) in &cache {
                assert_eq!(*cached, sim.cli(3, &format!("GET {key}")), "{options}: {key}");
            }
        }
    }
}

/// What both servers are asked in turn, on connections numbered from 0. `@2`
/// stands for the id of connection 2.
const SESSION: &[(usize, &[&str])] = &[
    (0, &["CLIENT TRACKING on REDIRECT @2"]),
    (0, &["GET a", "MGET b c"]),
    (1, &["SET a 1", "MSET b 2 c 3"]),
    (2, &["SUBSCRIBE __redis__:invalidate"]),
    (0, &["GET a", "MGET b c", "EXISTS d", "GETEX e", "STRLEN f"]),
    (1, &["SET a 1", "MSET b 2 c 3 d 4 e 5 f 6", "DEL a b"]),
    (0, &["CLIENT GETREDIR", "GET a", "SET a 1", "GET a", "MULTI", "SET a 2", "DEL a", "EXEC"]),
    (0, &["CLIENT TRACKING off", "CLIENT GETREDIR", "CLIENT TRACKINGINFO"]),
    (1, &["SET a 1"]),
    (0, &["HELLO 3"]),
    (0, &["CLIENT TRACKING on", "CLIENT TRACKINGINFO", "GET a", "GET b", "GET x"]),
    (1, &["EXPIRE a 100", "RENAME b x", "SET y 1", "SELECT 3", "SET x 1", "SELECT 0"]),
    (0, &["GET a", "SET a 1", "SET a 2", "GET a", "MULTI", "GET a", "SET a 1", "GET a", "EXEC"]),
    (0, &["GET b", "MULTI", "SET b 1", "FLUSHALL", "SET b 2", "GET b", "EXEC", "SET b 3"]),
    (1, &["FLUSHDB", "FLUSHALL"]),
    (0, &["CLIENT TRACKING on NOLOOP", "GET a", "SET a 1", "GET a", "CLIENT TRACKING on BCAST"]),
    (1, &["SET a 2"]),
    (0, &["CLIENT TRACKING on OPTIN", "CLIENT CACHING no", "CLIENT CACHING yes", "CLIENT ID x"]),
    (0, &["GET a", "CLIENT CACHING yes", "CLIENT ID x", "CLIENT TRACKINGINFO", "GET b", "GET f"]),
    (0, &["CLIENT CACHING yes", "MULTI", "GET c", "GET d", "EXEC", "GET e", "CLIENT TRACKINGINFO"]),
    (0, &["MULTI", "GET g", "CLIENT CACHING yes", "GET h", "EXEC", "CLIENT TRACKING on OPTOUT"]),
    (1, &["MSET a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1"]),
    (0, &["CLIENT TRACKING off", "CLIENT TRACKING on OPTOUT", "GET a", "CLIENT CACHING no"]),
    (0, &["CLIENT TRACKINGINFO", "GET b", "GET c", "CLIENT CACHING yes", "CLIENT CACHING z"]),
    (1, &["MSET a 1 b 1 c 1", "SETEX a 100 x"]),
    (0, &["GET a", "CLIENT TRACKING off", "CLIENT TRACKING on BCAST PREFIX us PREFIX it"]),
    (1, &["SET it 1", "SET user 1", "SET us 1", "SET user 2", "SET u 1", "SET a 5", "DEL us"]),
    (0, &["CLIENT TRACKING on BCAST PREFIX user", "CLIENT TRACKING on BCAST PREFIX q PREFIX qq"]),
    (
        0,
        &["CLIENT TRACKING on BCAST NOLOOP PREFIX q", "CLIENT TRACKINGINFO", "SET us 5", "SET q 1"],
    ),
    (1, &["SET us 6", "SET q 2"]),
    (0, &["RESET", "CLIENT TRACKINGINFO", "HELLO 3"]),
    (1, &["SET us 7"]),
    (2, &["RESET", "HELLO 3"]),
    (0, &["CLIENT TRACKING on REDIRECT @2", "GET a", "GET b"]),
    (1, &["SET a 1"]),
    (2, &["SET b 1", "PING"]),
    (0, &["GET a", "GET b"]),
    (2, &["QUIT"]),
    (1, &["SET a 1", "SET b 1", "FLUSHALL"]),
    (0, &["CLIENT TRACKINGINFO", "FLUSHALL", "CLIENT TRACKING on", "CLIENT TRACKINGINFO"]),
];

fn id(connection: &mut TcpTarget) -> i64 {
    match connection.call(&["CLIENT", "ID"]) {
        support::resp::Reply::Integer(id) => id,
        other => panic!("no id: {other:?}"),
    }
}

/// The session's replies on every connection. Before the next client speaks, a
/// PING on each shows that all messages are there.
fn session(connect: impl Fn() -> TcpTarget) -> Vec<String> {
    // Both servers number their connections: the session begins with the same.
    while id(&mut connect()) < 99 {}
    let mut connections: Vec<Option<TcpTarget>> = (0..3).map(|_| Some(connect())).collect();
    let ids: Vec<String> =
        connections.iter_mut().flatten().map(|connection| id(connection).to_string()).collect();
    assert_eq!(ids, ["100", "101", "102"]);
    let mut lines = Vec::new();
    for (step, (from, requests)) in SESSION.iter().enumerate() {
        let raw: Vec<u8> = requests
            .iter()
            .flat_map(|request| {
                let words: Vec<&str> = request
                    .split(' ')
                    .map(|word| match word.strip_prefix('@') {
                        Some(index) => ids[index.parse::<usize>().expect("an index")].as_str(),
                        None => word,
                    })
                    .collect();
                encode(&words)
            })
            .collect();
        let sender = connections[*from].as_mut().expect("still connected");
        sender.send(&raw).expect("the server takes requests");
        if *requests == ["QUIT"] {
            assert_eq!(sender.reply().expect("a reply"), b"+OK\r\n");
            assert!(sender.reply().is_err(), "the connection is closed");
            connections[*from] = None;
        }
        // The one that has sent first: what it has done has then been done.
        let mut order: Vec<usize> = (0..3).collect();
        order.sort_by_key(|index| index != from);
        for index in order {
            let Some(connection) = connections[index].as_mut() else { continue };
            // Twice: what is told at the end of a turn comes after the first.
            for fence in ["one", "two"] {
                connection.send(&encode(&["PING", fence])).expect("the server takes requests");
                loop {
                    let raw = connection.reply().expect("a reply");
                    let text = String::from_utf8_lossy(&raw).into_owned();
                    let is_fence = text.contains(&format!("\r\n{fence}\r\n"));
                    if is_fence {
                        break;
                    }
                    // The greeting names versions.
                    if !text.contains("proto") {
                        lines.push(format!("{step} -> {index}: {text}"));
                    }
                }
            }
        }
    }
    lines
}

#[test]
fn a_session_is_byte_for_byte_that_of_redis() {
    let Some(redis) = redis_server::start() else { return };
    let tollgate = tollgate::start();
    let (expected, found) = (session(|| redis.connect()), session(|| tollgate.connect()));
    assert!(expected.len() > 100, "{expected:?}");
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected.len(), found.len());
}

#[test]
fn redis_cli_shows_what_is_no_longer_good() {
    if !program::is_installed("redis-cli", "Debian: redis-tools") {
        return;
    }
    let tollgate = tollgate::start();
    let mut command = std::process::Command::new("redis-cli");
    command.args(["-p", &tollgate.address().port().to_string(), "-3", "--show-pushes", "yes"]);
    let finished = program::run(command, b"CLIENT TRACKING ON\nGET a\nSET a 1\nPING\n");
    let output = finished.output();
    assert!(output.contains("invalidate"), "{output}");
}
