//! SUBSCRIBE and the like, PUBLISH, PUBSUB, and the mode that subscribers are in.

mod support;

use support::sim::{Sim, play};
use tollgate::config::Config;

#[test]
fn messages_go_by_name_first_and_then_by_pattern() {
    play(
        "order",
        r#"
2> SUBSCRIBE news
(any)
2> PSUBSCRIBE n* *s x*
(any)
> PUBLISH news hello
(integer) 3
2>
1) "message"
2) "news"
3) "hello"
1) "pmessage"
2) "*s"
3) "news"
4) "hello"
1) "pmessage"
2) "n*"
3) "news"
4) "hello"
> PUBLISH other hello
(integer) 0
"#,
    );
}

#[test]
fn confirmations_count_channels_and_patterns_together() {
    let mut sim = Sim::new();
    sim.send_raw(1, b"SUBSCRIBE a a b\r\nPSUBSCRIBE a\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE a b\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\n");
    let expected: Vec<u8> = [
        ("9\r\nsubscribe", Some("a"), 1),
        ("9\r\nsubscribe", Some("a"), 1),
        ("9\r\nsubscribe", Some("b"), 2),
        ("10\r\npsubscribe", Some("a"), 3),
        ("11\r\nunsubscribe", Some("a"), 2),
        ("11\r\nunsubscribe", Some("b"), 1),
        ("12\r\npunsubscribe", Some("a"), 0),
        ("12\r\npunsubscribe", Some("b"), 0),
        ("11\r\nunsubscribe", None, 0),
        ("12\r\npunsubscribe", None, 0),
    ]
    .into_iter()
    .flat_map(|(what, name, count)| {
        let name = name.map_or("$-1\r\n".to_owned(), |name| format!("$1\r\n{name}\r\n"));
        format!("*3\r\n${what}\r\n{name}:{count}\r\n").into_bytes()
    })
    .collect();
    let received = sim.take_bytes(1);
    assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(&expected));
}

#[test]
fn a_resp2_subscriber_may_run_little() {
    play(
        "subscribed mode",
        r#"
> SUBSCRIBE a
(any)
> GET a
(error) ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
> CLIENT ID
(error) ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
> PING
1) "pong"
2) ""
> PING hi
1) "pong"
2) "hi"
> UNSUBSCRIBE a
(any)
> GET a
(nil)
> PSUBSCRIBE a
(any)
> RESET
RESET
> GET a
(nil)
2> PUBLISH a x
(integer) 0
> SUBSCRIBE a
(any)
> QUIT
OK
"#,
    );
}

#[test]
fn a_resp3_subscriber_may_run_everything_and_gets_pushes() {
    let mut sim = Sim::new();
    sim.cli(1, "HELLO 3");
    sim.send_raw(1, b"SUBSCRIBE a\r\nECHO x\r\nPUBLISH a hi\r\n");
    assert_eq!(
        String::from_utf8_lossy(&sim.take_bytes(1)),
        ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n$1\r\nx\r\n\
         >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n:1\r\n"
    );
}

#[test]
fn a_message_from_within_exec_does_not_break_its_reply() {
    let mut sim = Sim::new();
    sim.cli(1, "HELLO 3");
    sim.send_raw(1, b"SUBSCRIBE a\r\n");
    sim.take_bytes(1);
    sim.send_raw(1, b"MULTI\r\nPING\r\nPUBLISH a hi\r\nEXEC\r\n");
    assert_eq!(
        String::from_utf8_lossy(&sim.take_bytes(1)),
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n\
         >3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*2\r\n+PONG\r\n:1\r\n"
    );
}

#[test]
fn confirmations_are_sent_although_replies_are_off() {
    play(
        "reply off",
        r#"
> CLIENT REPLY OFF
(none)
> SUBSCRIBE a
1) "subscribe"
2) "a"
3) (integer) 1
2> PUBLISH a x
(integer) 1
>
1) "message"
2) "a"
3) "x"
> PING
(none)
"#,
    );
}

#[test]
fn pubsub_tells_who_listens() {
    play(
        "pubsub",
        r#"
2> SUBSCRIBE news
(any)
2> PSUBSCRIBE a* b*
(any)
3> PSUBSCRIBE a*
(any)
> PUBSUB CHANNELS
1) "news"
> PUBSUB CHANNELS n*
1) "news"
> PUBSUB CHANNELS x
(empty array)
> PUBSUB NUMSUB news other
1) "news"
2) (integer) 1
3) "other"
4) (integer) 0
> PUBSUB NUMSUB
(empty array)
> PUBSUB NUMPAT
(integer) 2
> PUBSUB CHANNELS a b
(error) ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.
> PUBSUB NOSUCH
(error) ERR unknown subcommand 'NOSUCH'. Try PUBSUB HELP.
> PUBSUB
(error) ERR wrong number of arguments for 'pubsub' command
> PUBSUB NUMPAT x
(error) ERR wrong number of arguments for 'pubsub|numpat' command
"#,
    );
}

#[test]
fn who_goes_is_subscribed_no_longer() {
    let mut sim = Sim::new();
    sim.cli(2, "SUBSCRIBE a");
    sim.cli(2, "PSUBSCRIBE a*");
    sim.disconnect(2);
    assert_eq!(sim.cli(1, "PUBLISH a x"), "(integer) 0");
    assert_eq!(sim.cli(1, "PUBSUB NUMPAT"), "(integer) 0");
    assert_eq!(sim.cli(1, "PUBSUB CHANNELS"), "(empty array)");
}

#[test]
fn too_many_subscriptions_are_refused_as_a_whole() {
    let mut config = Config::default();
    config.set("client-subscriptions-max", "2").expect("a valid option");
    let mut sim = Sim::with_config(config);
    assert!(sim.cli(1, "SUBSCRIBE a b c").contains("client-subscriptions-max (2)"));
    assert_eq!(sim.cli(1, "PUBSUB CHANNELS"), "(empty array)");
    assert!(sim.cli(1, "SUBSCRIBE a b").contains("(integer) 2"));
    assert!(sim.cli(1, "PSUBSCRIBE c").contains("client-subscriptions-max (2)"));
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_at_its_hard_limit() {
    let mut config = Config::default();
    config.set("client-output-buffer-limit", "pubsub 100kb 0 0").expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.cli(2, "SUBSCRIBE a");
    sim.cli(3, "SUBSCRIBE a");
    sim.stall(2);
    let message = vec![b'x'; 1_000];
    for _ in 0..200 {
        sim.ask(1, &[b"PUBLISH", b"a", &message]);
    }
    assert!(sim.is_closed(2) && !sim.is_closed(3));
    assert_eq!(sim.cli(1, "PUBSUB NUMSUB a"), "1) \"a\"\n2) (integer) 1");
    let stats = sim.cli(1, "INFO stats");
    assert!(stats.contains("client_output_buffer_limit_disconnections:1"), "{stats}");
}

#[test]
fn a_subscriber_beyond_its_soft_limit_has_some_time() {
    let mut config = Config::default();
    config.set("client-output-buffer-limit", "pubsub 1mb 10kb 5").expect("a valid option");
    let mut sim = Sim::with_config(config);
    let message = vec![b'x'; 20_000];
    for client in [2, 3] {
        sim.cli(client, "SUBSCRIBE a");
        sim.stall(client);
    }
    // No byte is ever taken from them: only what is pushed can tell.
    sim.ask(1, &[b"PUBLISH", b"a", &message]);
    sim.advance_ms(4_000);
    assert!(!sim.is_closed(2) && !sim.is_closed(3));
    sim.unstall(3);
    sim.stall(3);
    sim.advance_ms(2_000);
    assert!(sim.is_closed(2), "over the limit for more than five seconds");
    assert!(!sim.is_closed(3), "it has read in time");
    sim.ask(1, &[b"PUBLISH", b"a", &message]);
    sim.advance_ms(4_000);
    assert!(!sim.is_closed(3), "its time starts anew");
    sim.advance_ms(2_000);
    assert!(sim.is_closed(3));
}
