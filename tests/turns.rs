//! One turn of the engine: everyone gets a share, nobody's memory grows without
//! bound, and what stops goes on.

mod support;

use support::sim::Sim;
use tollgate::config::Config;

#[test]
fn a_long_pipeline_does_not_keep_others_waiting() {
    const REQUESTS: usize = 100_000;
    let mut sim = Sim::new();
    let share = sim.engine.config().turn_requests_max;
    sim.connect(1);
    sim.connect(2);
    sim.engine.receive(1, &b"INCR a\r\n".repeat(REQUESTS), sim.now);
    // Each reply is a line, and none is taken away meanwhile.
    let done = |sim: &mut Sim| sim.engine.output(1).iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(done(&mut sim), share, "no more than its share at first");
    sim.engine.receive(2, b"GET a\r\n", sim.now);
    assert_eq!(sim.engine.output(2), format!("$4\r\n{share}\r\n").as_bytes());
    for turn in 1..4 {
        let before = done(&mut sim);
        sim.engine.tick(sim.now);
        assert_eq!(done(&mut sim), before + share, "turn {turn}");
    }
    assert!(!sim.engine.wants_input(1), "its socket is left alone meanwhile");
    sim.turn();
    assert!(sim.engine.wants_input(1));
    let received = sim.take_bytes(1);
    assert!(received.ends_with(format!(":{REQUESTS}\r\n").as_bytes()));
    assert_eq!(received.iter().filter(|&&byte| byte == b'\n').count(), REQUESTS);
}

#[test]
fn who_does_not_read_is_not_served_and_goes_on_later() {
    let mut config = Config::default();
    config.set("output-pause-bytes", "100kb").expect("a valid option");
    let mut sim = Sim::with_config(config);
    let value = vec![b'v'; 10_000];
    sim.ask(1, &[b"SET", b"a", &value]);
    sim.stall(1);
    const REQUESTS: usize = 500;
    sim.send_raw(1, &b"GET a\r\n".repeat(REQUESTS));
    for _ in 0..10 {
        sim.advance_ms(1_000);
    }
    let unread = sim.engine.output(1).len();
    assert!((100 << 10..120 << 10).contains(&unread), "{unread} bytes wait");
    assert!(!sim.engine.wants_input(1));
    assert_eq!(sim.engine.next_deadline(), None, "nothing spins meanwhile");
    assert_eq!(sim.cli(2, "STRLEN a"), "(integer) 10000");
    // It reads slowly: never is more in memory than the limit and one reply.
    while sim.drain(1, 7_777) > 0 {
        assert!(sim.engine.output(1).len() < 120 << 10);
        let memory = sim.engine.client_memory_bytes(1);
        assert!(memory < 400 << 10, "{memory}");
    }
    assert!(sim.engine.wants_input(1));
    let received = sim.take_bytes(1);
    assert_eq!(received.len(), REQUESTS * (b"$10000\r\n".len() + value.len() + 2));
}

#[test]
fn a_partly_read_client_may_send_on() {
    let mut sim = Sim::new();
    sim.cli(1, "SET a 1");
    sim.stall(1);
    let mut expected = Vec::new();
    for round in 0..50 {
        sim.send_raw(1, format!("ECHO {round}\r\nGET a\r\n").as_bytes());
        let digits = round.to_string();
        expected.extend(format!("${}\r\n{digits}\r\n$1\r\n1\r\n", digits.len()).bytes());
        sim.drain(1, 5);
    }
    sim.unstall(1);
    assert_eq!(sim.take_bytes(1), expected);
}

#[test]
fn reading_on_does_not_run_a_waiting_command_again() {
    let mut config = Config::default();
    config.set("output-pause-bytes", "100kb").expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.stall(1);
    let large = vec![b'x'; 150_000];
    sim.send(1, &[b"SET", b"a", &large]);
    // The message makes the waiting client's output exceed the limit.
    sim.send_raw(1, b"HELLO 3\r\nSUBSCRIBE c\r\nWAIT 1 1000\r\nPING\r\n");
    sim.send(2, &[b"PUBLISH", b"c", &large]);
    sim.advance_ms(500);
    sim.unstall(1);
    assert!(sim.cli(3, "INFO clients").contains("blocked_clients:1"));
    sim.take_bytes(1);
    sim.advance_ms(499);
    assert_eq!(sim.take_replies(1), "");
    sim.advance_ms(1);
    assert_eq!(sim.take_replies(1), "(integer) 0\nPONG");
    assert_eq!(sim.engine.next_deadline(), None);
}

#[test]
fn a_reply_beyond_the_hard_limit_closes_the_client() {
    let mut config = Config::default();
    config.set("client-output-buffer-limit", "normal 1mb 0 0").expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.ask(1, &[b"SET", b"a", &vec![b'v'; 600_000]]);
    sim.stall(2);
    sim.send_raw(2, b"MULTI\r\nGET a\r\nGET a\r\nEXEC\r\n");
    assert!(sim.is_closed(2));
    assert_eq!(sim.cli(1, "PING"), "PONG");
}

#[test]
fn input_that_is_no_request_yet_is_limited() {
    let mut config = Config::default();
    config.set("client-query-buffer-limit", "1mb").expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.send_raw(1, b"*2\r\n$4\r\nECHO\r\n$100000000\r\n");
    for _ in 0..20 {
        sim.engine.receive(1, &[b'x'; 65_536], sim.now);
    }
    sim.turn();
    assert!(sim.is_closed(1));
}

#[test]
fn idle_clients_are_closed_but_not_those_who_wait_or_listen() {
    let mut config = Config::default();
    config.set("timeout", "10").expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.cli(1, "PING");
    sim.cli(2, "SUBSCRIBE a");
    sim.cli(3, "WAIT 1 60000");
    sim.advance_ms(10_000);
    assert!(!sim.is_closed(1));
    sim.advance_ms(2_000);
    assert!(sim.is_closed(1) && !sim.is_closed(2) && !sim.is_closed(3));
}

#[test]
fn the_place_of_a_closed_client_is_free_at_once() {
    let mut sim = Sim::new();
    sim.stall(1);
    sim.send_raw(1, b"QUIT\r\n");
    // The last byte and a broken connection in the same turn.
    let count = sim.engine.output(1).len();
    sim.engine.sent(1, count);
    sim.disconnect(1);
    sim.connect(1);
    assert!(sim.engine.take_closed().is_empty(), "the new client stays");
}

fn with_options(options: &[(&str, &str)]) -> Sim {
    let mut config = Config::default();
    for (name, value) in options {
        config.set(name, value).expect("a valid option");
    }
    Sim::with_config(config)
}

#[test]
fn one_request_cannot_ask_for_more_than_the_hard_limit() {
    let mut sim = with_options(&[("client-output-buffer-limit", "normal 2mb 0 0")]);
    sim.ask(1, &[b"SET", b"k", &vec![b'v'; 1 << 20]]);
    sim.connect(2);
    // A thousand megabytes, if they were written before they are counted.
    let request = [b"*1001\r\n$4\r\nMGET\r\n", &b"$1\r\nk\r\n".repeat(1_000)[..]].concat();
    sim.engine.receive(2, &request, sim.now);
    let memory = sim.engine.client_memory_bytes(2);
    assert!(memory < 8 << 20, "{memory} bytes");
    sim.turn();
    assert!(sim.is_closed(2));
    assert!(sim.take_bytes(2).is_empty(), "half a reply is not sent");
    assert!(sim.cli(1, "INFO").contains("client_output_buffer_limit_disconnections:1"));
}

#[test]
fn a_transaction_beyond_the_hard_limit_still_runs_to_its_end() {
    let mut sim = with_options(&[("client-output-buffer-limit", "normal 1mb 0 0")]);
    sim.ask(1, &[b"SET", b"k", &vec![b'v'; 600_000]]);
    sim.send_raw(2, b"MULTI\r\nGET k\r\nGET k\r\nGET k\r\nSET done 1\r\nEXEC\r\nSET not 1\r\n");
    assert!(sim.is_closed(2));
    assert_eq!(sim.cli(1, "MGET done not"), "1) \"1\"\n2) (nil)");
}

#[test]
fn a_reply_that_nobody_wants_has_no_limit_to_exceed() {
    let mut sim = with_options(&[("client-output-buffer-limit", "normal 1mb 0 0")]);
    sim.ask(1, &[b"SET", b"k", &vec![b'v'; 600_000]]);
    sim.send_raw(1, b"CLIENT REPLY OFF\r\nMGET k k k\r\nCLIENT REPLY ON\r\n");
    assert_eq!(sim.take_replies(1), "OK");
}

#[test]
fn a_message_above_the_limit_is_not_copied_for_each_subscriber() {
    let mut sim = with_options(&[("client-output-buffer-limit", "pubsub 1mb 0 0")]);
    for client in 2..=21 {
        sim.cli(client, "SUBSCRIBE c");
    }
    sim.connect(1);
    let message = vec![b'm'; 2 << 20];
    let request = support::sim::encode(&[b"PUBLISH", b"c", &message]);
    sim.engine.receive(1, &request, sim.now);
    let memory: usize = (2..=21).map(|client| sim.engine.client_memory_bytes(client)).sum();
    assert!(memory < 1 << 20, "{memory} bytes");
    sim.turn();
    assert!((2..=21).all(|client| sim.is_closed(client)));
    assert_eq!(sim.take_replies(1), "(integer) 20");
}

#[test]
fn a_queued_request_costs_little_more_than_its_bytes() {
    let mut sim = with_options(&[("transaction-max-bytes", "1mb")]);
    sim.cli(1, "MULTI");
    let before = sim.engine.client_memory_bytes(1);
    // 4 bytes, a span and an end each: 37,449 of them are a megabyte.
    sim.send_raw(1, &b"PING\r\n".repeat(37_449));
    assert!(!sim.take_replies(1).contains("transaction-max-bytes"));
    let memory = sim.engine.client_memory_bytes(1) - before;
    assert!((1 << 20..2 << 20).contains(&memory), "{memory} bytes");
    assert!(sim.cli(1, "PING").contains("transaction-max-bytes"), "the next one is counted too");
}
