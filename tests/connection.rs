//! Connections: HELLO, AUTH, SELECT, RESET, CLIENT, WAIT, SHUTDOWN, and who may
//! run what before AUTH.

mod support;

use support::sim::{Sim, play};
use tollgate::config::Config;

fn with_password() -> Sim {
    let mut config = Config::default();
    config.set("requirepass", "pw").expect("a valid option");
    Sim::with_config(config)
}

#[test]
fn hello_refuses_what_it_does_not_know_and_changes_nothing_then() {
    play(
        "hello",
        r#"
> HELLO 1
(error) NOPROTO unsupported protocol version
> HELLO x
(error) ERR Protocol version is not an integer or out of range
> HELLO 3 FOO
(error) ERR Syntax error in HELLO option 'FOO'
> HELLO 3 AUTH a
(error) ERR Syntax error in HELLO option 'AUTH'
> HELLO 3 SETNAME "a b"
(error) ERR Client names cannot contain spaces, newlines or special characters.
> HELLO 3 SETNAME x AUTH a b
(error) WRONGPASS invalid username-password pair or user is disabled.
> CLIENT GETNAME
(nil)
> HELLO 2 SETNAME x AUTH default anything
 1) "server"
 2) "redis"
 3) "version"
 4) "7.4.0"
 5) "proto"
 6) (integer) 2
 7) "id"
 8) (integer) 1
 9) "mode"
10) "standalone"
11) "role"
12) "master"
13) "modules"
14) (empty array)
> CLIENT GETNAME
"x"
"#,
    );
    let mut sim = Sim::new();
    sim.send_raw(1, b"GET a\r\nHELLO 3\r\nHELLO\r\nGET a\r\nHELLO 2\r\nGET a\r\n");
    let received = sim.take_bytes(1);
    let text = String::from_utf8_lossy(&received);
    assert!(text.starts_with("$-1\r\n%7\r\n$6\r\nserver\r\n"), "{text}");
    assert!(text.contains("*0\r\n%7\r\n"), "HELLO alone stays with the version: {text}");
    assert!(text.contains("_\r\n*14\r\n"), "{text}");
    assert!(text.ends_with("$-1\r\n"), "{text}");
}

#[test]
fn auth_without_a_required_password() {
    play(
        "auth",
        r#"
> AUTH
(error) ERR wrong number of arguments for 'auth' command
> AUTH x
(error) ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
> AUTH default x
OK
> AUTH u p
(error) WRONGPASS invalid username-password pair or user is disabled.
> AUTH a b c
(error) ERR syntax error
"#,
    );
}

#[test]
fn strangers_may_do_little() {
    with_password().transcript(
        "gates",
        r#"
> nosuch a
(error) ERR unknown command 'nosuch', with args beginning with: 'a' 
> GET
(error) ERR wrong number of arguments for 'get' command
> GET a
(error) NOAUTH Authentication required.
> PING
(error) NOAUTH Authentication required.
> CLIENT ID
(error) NOAUTH Authentication required.
> HELLO 3
(error) NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
> HELLO 4
(error) NOPROTO unsupported protocol version
> AUTH bad
(error) WRONGPASS invalid username-password pair or user is disabled.
> AUTH pw2
(error) WRONGPASS invalid username-password pair or user is disabled.
> AUTH p
(error) WRONGPASS invalid username-password pair or user is disabled.
> AUTH x pw
(error) WRONGPASS invalid username-password pair or user is disabled.
> MULTI
(error) NOAUTH Authentication required.
> EXEC
(error) EXECABORT Transaction discarded because of: NOAUTH Authentication required.
> RESET
RESET
> AUTH pw
OK
> PING
PONG
> AUTH bad
(error) WRONGPASS invalid username-password pair or user is disabled.
> PING
PONG
> RESET
RESET
> PING
(error) NOAUTH Authentication required.
> AUTH default pw
OK
> PING
PONG
2> HELLO 2 AUTH default pw SETNAME z
(any)
2> CLIENT GETNAME
"z"
3> QUIT
OK
"#,
    );
}

#[test]
fn strangers_may_send_little() {
    for (input, error) in [
        (&b"*11\r\n$4\r\nPING\r\n"[..], "unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\nx", "unauthenticated bulk length"),
    ] {
        let mut sim = with_password();
        sim.send_raw(1, input);
        assert_eq!(sim.take_replies(1), format!("(error) ERR Protocol error: {error}"));
        assert!(sim.is_closed(1));
    }
    // The limit ends within the batch that authenticates.
    let mut sim = with_password();
    let mut batch = b"AUTH pw\r\n*11\r\n$6\r\nEXISTS\r\n".to_vec();
    batch.extend(b"$1\r\na\r\n".repeat(10));
    sim.send_raw(1, &batch);
    assert_eq!(sim.take_replies(1), "OK\n(integer) 0");
}

#[test]
fn a_browser_is_closed_before_it_can_send_commands() {
    for head in [
        &b"POST / HTTP/1.1\r\n"[..],
        b"GET / HTTP/1.1\r\nhost: localhost:6379\r\n",
        b"*1\r\n$4\r\nPost\r\n",
        b"MULTI\r\nHOST: localhost\r\n",
    ] {
        let mut sim = Sim::new();
        sim.send_raw(1, &[head, b"\r\nSET a 1\r\n"].concat());
        assert!(sim.is_closed(1), "{}", head.escape_ascii());
        assert!(!sim.take_replies(1).contains("unknown command"), "{}", head.escape_ascii());
        assert_eq!(sim.cli(2, "GET a"), "(nil)");
    }
    // The words are nothing special behind the first one.
    let mut sim = Sim::new();
    assert_eq!(sim.cli(1, "ECHO host:"), "\"host:\"");
    assert!(sim.cli(1, "posts host:").contains("unknown command"));
    assert!(!sim.is_closed(1));
}

/// What Redis 7.0.15 sends.
#[test]
fn whoever_wants_no_reply_is_sent_none_whatever_it_asks() {
    for (sent, replies) in [
        ("CLIENT REPLY SKIP|PING|ECHO a", "\"a\""),
        ("CLIENT REPLY SKIP|RESET|ECHO a", "\"a\""),
        ("CLIENT REPLY OFF|RESET|ECHO a", "RESET\n\"a\""),
        ("CLIENT REPLY OFF|PING|CLIENT REPLY SKIP|PING", ""),
        ("CLIENT REPLY OFF|ECHO \"a", ""),
        ("CLIENT REPLY SKIP|ECHO \"a", ""),
        (
            "CLIENT REPLY SKIP|PING|ECHO \"a",
            "(error) ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let mut sim = Sim::new();
        sim.send_raw(1, (sent.replace('|', "\r\n") + "\r\n").as_bytes());
        assert_eq!(sim.take_replies(1), replies, "{sent}");
        assert_eq!(sim.is_closed(1), sent.contains('"'), "{sent}");
    }
}

#[test]
fn select_and_quit() {
    play(
        "select",
        r#"
> SELECT x
(error) ERR value is not an integer or out of range
> SELECT 16
(error) ERR DB index is out of range
> SELECT -1
(error) ERR DB index is out of range
> SELECT 99999999999
(error) ERR value is out of range, value must between -2147483648 and 2147483647
> SELECT 15
OK
> ECHO
(error) ERR wrong number of arguments for 'echo' command
"#,
    );
    let mut sim = Sim::new();
    sim.send_raw(1, b"QUIT now\r\nPING\r\n");
    assert_eq!(sim.take_replies(1), "OK");
    assert!(sim.is_closed(1));
}

#[test]
fn reset_forgets_everything_of_the_connection() {
    play(
        "reset",
        r#"
> CLIENT SETNAME n
OK
> SELECT 2
OK
> WATCH a
OK
> MULTI
OK
> GET a
QUEUED
> RESET
RESET
> CLIENT GETNAME
(nil)
> EXEC
(error) ERR EXEC without MULTI
> SET a 1
OK
> MULTI
OK
> EXEC
(empty array)
2> GET a
"1"
> CLIENT REPLY OFF
(none)
> RESET
RESET
> PING
PONG
> RESET now
(error) ERR wrong number of arguments for 'reset' command
"#,
    );
}

#[test]
fn client_subcommands_refuse_as_redis_does() {
    play(
        "client",
        r#"
> CLIENT
(error) ERR wrong number of arguments for 'client' command
> CLIENT NOPE
(error) ERR unknown subcommand 'NOPE'. Try CLIENT HELP.
> CLIENT ID x
(error) ERR wrong number of arguments for 'client|id' command
> CLIENT REPLY foo
(error) ERR syntax error
> CLIENT NO-EVICT x
(error) ERR syntax error
> CLIENT NO-TOUCH x
(error) ERR syntax error
> CLIENT SETINFO LIB-NAME "a b"
(error) ERR lib-name cannot contain spaces, newlines or special characters.
> CLIENT SETINFO lib-ver "a b"
(error) ERR lib-ver cannot contain spaces, newlines or special characters.
> CLIENT LIST FOO
(error) ERR syntax error
> CLIENT LIST TYPE
(error) ERR syntax error
> CLIENT LIST TYPE foo
(error) ERR Unknown client type 'foo'
> CLIENT LIST ID
(error) ERR syntax error
> CLIENT LIST ID x
(error) ERR Invalid client ID
> CLIENT LIST ID 0 99 -1
""
> CLIENT LIST TYPE normal x
(error) ERR syntax error
> CLIENT KILL 1.2.3.4:5
(error) ERR No such client
> CLIENT KILL ID 0
(error) ERR client-id should be greater than 0
> CLIENT KILL ID x
(error) ERR client-id should be greater than 0
> CLIENT KILL TYPE foo
(error) ERR Unknown client type 'foo'
> CLIENT KILL USER foo
(error) ERR No such user 'foo'
> CLIENT KILL SKIPME x
(error) ERR syntax error
> CLIENT KILL FOO BAR
(error) ERR syntax error
> CLIENT KILL ID 1 ADDR
(error) ERR syntax error
> CLIENT KILL MAXAGE 0
(error) ERR maxage should be greater than 0
> CLIENT PAUSE x
(error) ERR timeout is not an integer or out of range
> CLIENT PAUSE -1
(error) ERR timeout is negative
> CLIENT PAUSE 10 foo
(error) ERR CLIENT PAUSE mode must be WRITE or ALL
> CLIENT PAUSE 9223372036854775807
(error) ERR timeout is out of range
> CLIENT PAUSE 1 ALL x
(error) ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.
> CLIENT UNBLOCK x
(error) ERR value is not an integer or out of range
> CLIENT UNBLOCK 1 foo
(error) ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR
> CLIENT UNBLOCK 9999
(integer) 0
> CLIENT UNBLOCK 1
(integer) 0
> CLIENT UNBLOCK 1 ERROR x
(error) ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.
"#,
    );
}

/// The fields of a line of CLIENT LIST.
fn fields(line: &str) -> Vec<(String, String)> {
    line.split(' ')
        .map(|field| field.split_once('=').expect("name=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn client_info(sim: &mut Sim, client: usize, about: &str) -> Vec<(String, String)> {
    let reply = sim.ask(client, &[b"CLIENT", b"LIST", b"ID", about.as_bytes()]);
    let text = String::from_utf8(reply.text().expect("text").to_vec()).expect("UTF-8");
    fields(text.strip_suffix('\n').expect("a line's end"))
}

fn field(fields: &[(String, String)], name: &str) -> String {
    fields.iter().find(|(field, _)| field == name).expect("the field is there").1.clone()
}

#[test]
fn client_list_has_the_fields_of_redis_in_their_order() {
    let mut sim = Sim::new();
    for line in [
        "CLIENT SETNAME shop",
        "CLIENT SETINFO LIB-NAME somelib",
        "CLIENT SETINFO LIB-VER 1.2",
        "SELECT 3",
    ] {
        sim.cli(1, line);
    }
    sim.advance_ms(2_500);
    let shown = client_info(&mut sim, 1, "1");
    let names: Vec<&str> = shown.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names.join(" "),
        "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem \
         multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver"
    );
    for (name, value) in [
        ("id", "1"),
        ("name", "shop"),
        ("age", "2"),
        ("idle", "0"),
        ("flags", "N"),
        ("db", "3"),
        ("multi", "-1"),
        ("cmd", "client|list"),
        ("user", "default"),
        ("resp", "2"),
        ("lib-name", "somelib"),
        ("lib-ver", "1.2"),
    ] {
        assert_eq!(field(&shown, name), value, "{name}");
    }
    sim.cli(2, "SUBSCRIBE a b");
    sim.cli(2, "PSUBSCRIBE c");
    let shown = client_info(&mut sim, 1, "2");
    assert_eq!((field(&shown, "sub"), field(&shown, "psub")), ("2".into(), "1".into()));
    assert_eq!(field(&shown, "flags"), "P");
    sim.cli(3, "WATCH k");
    sim.cli(3, "MULTI");
    sim.cli(3, "GET k");
    sim.cli(1, "SET k 1");
    sim.cli(1, "SELECT 0");
    sim.cli(1, "SET k 1");
    let shown = client_info(&mut sim, 1, "3");
    assert_eq!((field(&shown, "flags"), field(&shown, "multi")), ("xd".into(), "1".into()));
    sim.cli(4, "WAIT 1 0");
    assert_eq!(field(&client_info(&mut sim, 1, "4"), "flags"), "b");
    assert_eq!(field(&client_info(&mut sim, 1, "4"), "cmd"), "wait");
    let pubsub = sim.cli(1, "CLIENT LIST TYPE pubsub");
    assert!(pubsub.starts_with("\"id=2 ") && pubsub.matches("id=").count() == 1, "{pubsub}");
    assert_eq!(sim.cli(1, "CLIENT LIST").matches("\\n").count(), 4);
}

#[test]
fn client_kill_closes_whom_the_filters_name() {
    let mut sim = Sim::new();
    for client in 1..=5 {
        sim.cli(client, "PING");
        sim.advance_ms(1_000);
    }
    sim.cli(5, "SUBSCRIBE a");
    assert_eq!(sim.cli(1, "CLIENT KILL ID 2"), "(integer) 1");
    assert!(sim.is_closed(2));
    assert_eq!(sim.cli(1, "CLIENT KILL TYPE pubsub"), "(integer) 1");
    assert!(sim.is_closed(5));
    assert_eq!(sim.cli(1, "CLIENT KILL MAXAGE 3"), "(integer) 1");
    assert!(sim.is_closed(3) && !sim.is_closed(4));
    assert_eq!(sim.cli(1, "CLIENT KILL ADDR ?:0 LADDR ?:0 USER default"), "(integer) 1");
    assert!(sim.is_closed(4));
    // Its own end comes behind the reply, and behind nothing else.
    sim.send_raw(1, b"CLIENT KILL TYPE normal SKIPME no\r\nPING\r\n");
    assert_eq!(sim.take_replies(1), "(integer) 1");
    assert!(sim.is_closed(1));
}

#[test]
fn a_killed_client_runs_nothing_more() {
    let mut sim = Sim::new();
    sim.connect(1);
    sim.connect(2);
    sim.engine.receive(2, &b"INCR a\r\n".repeat(2_000), sim.now);
    sim.send_raw(1, b"CLIENT KILL ID 2\r\nGET a\r\n");
    assert_eq!(sim.take_replies(1), "(integer) 1\n\"1024\"");
    assert_eq!(sim.cli(1, "GET a"), "\"1024\"");
}

#[test]
fn wait_waits_in_vain_and_not_for_ever() {
    play(
        "wait",
        r#"
> WAIT x 0
(error) ERR value is not an integer or out of range
> WAIT 0 x
(error) ERR timeout is not an integer or out of range
> WAIT 0 -1
(error) ERR timeout is negative
> WAIT 1 1.5
(error) ERR timeout is not an integer or out of range
> WAIT 0 0
(integer) 0
> WAIT -1 0
(integer) 0
> MULTI
OK
> WAIT 1 0
QUEUED
> EXEC
1) (integer) 0
> WAIT 1 50
(none)
(49 ms later)
>
(none)
(1 ms later)
>
(integer) 0
> WAIT 1 0
(none)
(59999 ms later)
>
(none)
(1 ms later)
>
(integer) 0
> WAIT 1 9223372036854775807
(none)
(60000 ms later)
>
(integer) 0
"#,
    );
}

#[test]
fn what_follows_a_wait_waits_behind_it() {
    let mut sim = Sim::new();
    sim.send_raw(1, b"SET a 1\r\nWAIT 1 100\r\nINCR a\r\nWAIT 1 100\r\nINCR a\r\n");
    sim.send_raw(1, b"INCR a\r\n");
    assert_eq!(sim.take_replies(1), "OK");
    assert_eq!(sim.cli(2, "GET a"), "\"1\"");
    sim.advance_ms(100);
    assert_eq!(sim.take_replies(1), "(integer) 0\n(integer) 2");
    sim.advance_ms(100);
    assert_eq!(sim.take_replies(1), "(integer) 0\n(integer) 3\n(integer) 4");
    assert_eq!(sim.engine.next_deadline(), None);
}

#[test]
fn unblock_ends_a_wait_once() {
    let mut sim = Sim::new();
    sim.send_raw(1, b"WAIT 1 0\r\nECHO next\r\n");
    sim.send_raw(2, b"CLIENT UNBLOCK 1\r\nCLIENT UNBLOCK 1\r\n");
    assert_eq!(sim.take_replies(2), "(integer) 1\n(integer) 0");
    assert_eq!(sim.take_replies(1), "(integer) 0\n\"next\"");
    sim.cli(1, "WAIT 1 0");
    assert_eq!(sim.cli(2, "CLIENT UNBLOCK 1 ERROR"), "(integer) 1");
    assert_eq!(sim.take_replies(1), "(error) UNBLOCKED client unblocked via CLIENT UNBLOCK");
    sim.cli(1, "WAIT 1 0");
    assert_eq!(sim.cli(2, "CLIENT UNBLOCK 1 TIMEOUT"), "(integer) 1");
    assert_eq!(sim.take_replies(1), "(integer) 0");
}

#[test]
fn a_chain_of_unblocks_does_not_nest() {
    const CLIENTS: usize = 5_000;
    let mut sim = Sim::new();
    for client in 1..=CLIENTS {
        sim.send_raw(client, format!("WAIT 1 0\r\nCLIENT UNBLOCK {}\r\n", client + 1).as_bytes());
    }
    assert_eq!(sim.cli(0, "CLIENT UNBLOCK 1"), "(integer) 1");
    assert_eq!(sim.take_replies(CLIENTS - 1), "(integer) 0\n(integer) 1");
    // The last one names the client that has begun it, which does not wait.
    assert_eq!(sim.take_replies(CLIENTS), "(integer) 0\n(integer) 0");
}

#[test]
fn a_waiting_client_that_goes_leaves_no_trace() {
    let mut sim = Sim::new();
    sim.cli(1, "WAIT 1 0");
    sim.cli(2, "WAIT 1 0");
    sim.cli(3, "PING");
    sim.engine.receive(3, b"CLIENT UNBLOCK 2\r\n", sim.now);
    sim.disconnect(1);
    sim.disconnect(2);
    sim.connect(2);
    sim.turn();
    assert_eq!(sim.engine.next_deadline(), None);
    assert_eq!(sim.cli(2, "PING"), "PONG");
    assert_eq!(sim.cli(3, "CLIENT UNBLOCK 1"), "(integer) 1\n(integer) 0");
}

#[test]
fn pause_holds_back_and_lets_go_in_order() {
    play(
        "pause all",
        r#"
> CLIENT PAUSE 1000
OK
2> INCR a
(none)
3> INCR a
(none)
> PING
(none)
(999 ms later)
2>
(none)
(1 ms later)
2>
(integer) 1
3>
(integer) 2
>
PONG
"#,
    );
}

#[test]
fn pause_of_writes_lets_reads_through() {
    play(
        "pause write",
        r#"
2> MULTI
OK
2> SET a 1
QUEUED
4> MULTI
OK
4> SET a 2
QUEUED
> CLIENT PAUSE 1000 WRITE
OK
> GET a
(nil)
2> EXEC
(none)
3> PUBLISH a x
(none)
4> DISCARD
OK
4> MULTI
OK
4> GET a
QUEUED
4> EXEC
1) (nil)
> CLIENT PAUSE 10 WRITE
OK
(500 ms later)
2>
(none)
> CLIENT UNPAUSE
OK
2>
1) OK
3>
(integer) 0
> SET a 3
OK
"#,
    );
}

#[test]
fn unpause_from_a_queue_of_requests_lets_go_in_the_next_turn() {
    let mut sim = Sim::new();
    sim.cli(1, "CLIENT PAUSE 100000 WRITE");
    sim.cli(2, "SET a 1");
    let mut batch = b"PING\r\n".repeat(1_500);
    batch.extend_from_slice(b"CLIENT UNPAUSE\r\n");
    sim.send_raw(3, &batch);
    assert_eq!(sim.take_replies(2), "OK");
}

#[test]
fn a_wait_that_ends_in_a_pause_ends_in_it() {
    let mut sim = Sim::new();
    sim.cli(1, "WAIT 1 100");
    sim.cli(2, "CLIENT PAUSE 200 ALL");
    sim.advance_ms(99);
    assert_eq!(sim.take_replies(1), "");
    sim.advance_ms(1);
    assert_eq!(sim.take_replies(1), "(integer) 0");
}

#[test]
fn shutdown_takes_its_words() {
    play(
        "shutdown",
        r#"
> SHUTDOWN FOO
(error) ERR syntax error
> SHUTDOWN SAVE NOSAVE
(error) ERR syntax error
> SHUTDOWN ABORT NOW
(error) ERR syntax error
> SHUTDOWN ABORT
(error) ERR No shutdown in progress.
"#,
    );
    for words in ["", "NOSAVE", "NOW", "FORCE", "nosave now force", "SAVE", "SAVE FORCE"] {
        let mut sim = Sim::new();
        assert_eq!(sim.cli(1, &format!("SHUTDOWN {words}")), "");
        assert!(sim.engine.shutdown_requested() && sim.is_closed(1), "{words}");
    }
}

#[test]
fn shutdown_ends_every_wait() {
    let mut sim = Sim::new();
    sim.send_raw(2, b"WAIT 1 0\r\nWAIT 1 0\r\nINCR a\r\n");
    sim.cli(1, "SHUTDOWN");
    assert_eq!(sim.take_replies(2), "(integer) 0\n(integer) 0\n(integer) 1");
}

#[test]
fn role_and_time() {
    play(
        "role",
        r#"
> ROLE x
(error) ERR wrong number of arguments for 'role' command
> ROLE
1) "master"
2) (integer) 0
3) (empty array)
"#,
    );
}

#[test]
fn a_shutdown_that_has_begun_cannot_be_aborted() {
    let mut sim = Sim::new();
    sim.send_raw(2, b"PING\r\n");
    sim.engine.receive(2, b"SHUTDOWN\r\n", sim.now);
    assert_eq!(sim.cli(1, "SHUTDOWN ABORT"), "(error) ERR No shutdown in progress.");
    assert!(sim.engine.shutdown_requested());
}

#[test]
fn shutdown_ends_every_pause() {
    let mut sim = Sim::new();
    sim.cli(1, "CLIENT PAUSE 60000 WRITE");
    sim.cli(2, "SET a 1");
    assert_eq!(sim.take_replies(2), "");
    sim.cli(1, "SHUTDOWN");
    assert_eq!(sim.take_replies(2), "OK");
    sim.cli(3, "CLIENT PAUSE 60000");
    assert_eq!(sim.cli(4, "GET a"), "\"1\"", "nor does another one begin");
}

#[test]
fn a_shutdown_out_of_a_queue_of_requests_ends_every_wait() {
    let mut sim = Sim::new();
    sim.cli(1, "WAIT 1 0");
    sim.send_raw(2, &[&b"PING\r\n".repeat(1_500)[..], b"SHUTDOWN\r\n"].concat());
    assert_eq!(sim.take_replies(1), "(integer) 0");
}

#[test]
fn a_client_that_monitors_itself_may_wait() {
    let mut sim = Sim::new();
    sim.cli(1, "MONITOR");
    sim.send_raw(1, b"PING\r\nWAIT 1 100\r\nPING\r\n");
    sim.advance_ms(100);
    let replies = sim.take_replies(1);
    let kinds: Vec<&str> = replies.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(kinds[..2], ["\"PING\"", "PONG"], "{replies}");
    assert_eq!(replies.matches("WAIT").count(), 1, "{replies}");
    assert_eq!(kinds.last(), Some(&"PONG"), "{replies}");
}

#[test]
fn what_a_client_says_of_itself_is_short() {
    let mut sim = Sim::new();
    let longest = vec![b'n'; 64 << 10];
    let longer = vec![b'n'; (64 << 10) + 1];
    for (command, what) in [
        (&[&b"CLIENT"[..], b"SETNAME"][..], "Client names"),
        (&[b"CLIENT", b"SETINFO", b"LIB-NAME"], "lib-name"),
        (&[b"CLIENT", b"SETINFO", b"LIB-VER"], "lib-ver"),
        (&[b"HELLO", b"3", b"SETNAME"], "Client names"),
    ] {
        sim.send(1, &[command, &[&longest[..]]].concat());
        assert!(!sim.take_replies(1).contains("(error)"), "{what}");
        sim.send(1, &[command, &[&longer[..]]].concat());
        let refused = format!("(error) ERR {what} cannot be longer than 65536 bytes.");
        assert_eq!(sim.take_replies(1), refused);
    }
    assert!(sim.engine.client_memory_bytes(1) > 3 * longest.len());
}
