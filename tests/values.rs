//! Large values: where they are freed, that they come in and go out without being
//! copied, and that every limit counts them.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use support::sim::Sim;
use tollgate::config::Config;
use tollgate::engine::{Engine, Environment, Room};

/// From this size on a value is given away to be freed.
const LARGE: usize = 1 << 20;

/// A server that counts in `discarded` the bytes that it gives away to be freed.
macro_rules! sim_that_counts_discarded {
    ($discarded:ident, $config:expr) => {{
        static $discarded: AtomicUsize = AtomicUsize::new(0);
        let mut sim = Sim::new();
        let environment = Environment {
            discard: |block| {
                $discarded.fetch_add(block.len(), Ordering::SeqCst);
            },
            ..Environment::simulated(1)
        };
        sim.engine = Engine::new($config, environment, sim.now);
        (sim, || $discarded.swap(0, Ordering::SeqCst))
    }};
}

#[test]
fn a_large_value_is_given_away_to_be_freed_however_it_ends() {
    let (mut sim, discarded) = sim_that_counts_discarded!(DISCARDED, Config::default());
    let value = vec![b'v'; LARGE];
    let endings: [&[&[u8]]; 7] = [
        &[b"DEL", b"k"],
        &[b"UNLINK", b"k"],
        &[b"SET", b"k", b"short"],
        &[b"SET", b"k", b"17"],
        &[b"GETDEL", b"k"],
        &[b"RENAME", b"other", b"k"],
        &[b"FLUSHALL"],
    ];
    for ending in endings {
        sim.ask(1, &[b"SET", b"other", b"1"]);
        sim.ask(1, &[b"SET", b"k", &value]);
        discarded();
        sim.ask(1, ending);
        sim.advance_ms(1);
        assert!(discarded() >= LARGE, "{}", ending[0].escape_ascii());
    }
    sim.ask(1, &[b"SET", b"k", &value, b"PX", b"10"]);
    discarded();
    sim.advance_ms(11);
    assert!(discarded() >= LARGE, "at its deadline");
}

#[test]
fn a_value_of_less_is_freed_in_place() {
    let (mut sim, discarded) = sim_that_counts_discarded!(DISCARDED, Config::default());
    sim.ask(1, &[b"SET", b"k", &vec![b'v'; LARGE / 2]]);
    sim.ask(1, &[b"DEL", b"k"]);
    assert_eq!(discarded(), 0);
}

/// The output of a client as it was sent, in pieces of at most `step` bytes.
fn drained(sim: &mut Sim, client: usize, step: usize) -> Vec<u8> {
    let mut received = Vec::new();
    while let Some(chunk) = sim.engine.output_chunks(client).next() {
        let chunk = chunk[..chunk.len().min(step)].to_vec();
        sim.engine.sent(client, chunk.len());
        received.extend(chunk);
    }
    received
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn value_of(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn a_large_value_is_sent_as_it_was_when_it_was_asked_for_and_is_not_copied() {
    let mut sim = Sim::new();
    let value = value_of(100_000);
    sim.ask(1, &[b"SET", b"k", &value]);
    sim.engine.receive(1, b"GET k\r\nGET k\r\nAPPEND k x\r\nDEL k\r\nPING\r\n", sim.now);
    let mut expected = [bulk(&value), bulk(&value)].concat();
    expected.extend(b":100001\r\n:1\r\n+PONG\r\n");
    let addresses: Vec<_> = sim
        .engine
        .output_chunks(1)
        .filter(|chunk| chunk.len() == 100_000)
        .map(<[u8]>::as_ptr)
        .collect();
    assert_eq!(addresses.len(), 2);
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!(sim.engine.unsent_bytes(1), expected.len());
    assert_eq!(drained(&mut sim, 1, 7_777), expected);
    assert_eq!(sim.engine.unsent_bytes(1), 0);
}

#[test]
fn a_reply_that_is_not_wanted_takes_its_value_along() {
    let mut sim = Sim::new();
    let value = value_of(50_000);
    sim.ask(1, &[b"SET", b"k", &value]);
    let requests: &[u8] = b"GET k\r\nCLIENT REPLY SKIP\r\nGET k\r\nPING\r\nCLIENT REPLY OFF\r\n\
                            GET k\r\nCLIENT REPLY ON\r\n";
    sim.engine.receive(1, requests, sim.now);
    let expected = [bulk(&value), b"+PONG\r\n+OK\r\n".to_vec()].concat();
    assert_eq!(drained(&mut sim, 1, usize::MAX), expected);
}

#[test]
fn exec_answers_large_values_in_their_places() {
    let mut sim = Sim::new();
    let (a, b) = (value_of(20_000), value_of(1_000_000));
    sim.ask(1, &[b"MSET", b"a", &a, b"b", &b, b"n", b"1"]);
    let requests: &[u8] = b"MULTI\r\nGET a\r\nINCR n\r\nMGET b n a\r\nLPUSH x\r\nEXEC\r\n";
    sim.engine.receive(1, requests, sim.now);
    drained(&mut sim, 1, 500);
    let requests: &[u8] = b"MULTI\r\nGET a\r\nINCR n\r\nMGET b n a\r\nGET n\r\nEXEC\r\n";
    sim.engine.receive(1, requests, sim.now);
    let mut expected = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n".to_vec();
    for part in
        [&bulk(&a), &b":2\r\n*3\r\n".to_vec(), &bulk(&b), &bulk(b"2"), &bulk(&a), &bulk(b"2")]
    {
        expected.extend(part);
    }
    assert_eq!(drained(&mut sim, 1, 9_999), expected);
}

#[test]
fn messages_stand_before_the_reply_that_shares_a_value() {
    let mut sim = Sim::new();
    let mut config = Config::default();
    config.set("notify-keyspace-events", "Kg").expect("a valid option");
    sim.engine = Engine::new(config, Environment::simulated(1), sim.now);
    let value = value_of(50_000);
    sim.ask(1, &[b"HELLO", b"3"]);
    sim.ask(1, &[b"SET", b"k", &value]);
    sim.ask(1, &[b"SUBSCRIBE", b"__keyspace@0__:k"]);
    sim.engine.receive(1, b"GET k\r\nGETDEL k\r\nPING\r\n", sim.now);
    let message = b">3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@0__:k\r\n$3\r\ndel\r\n".to_vec();
    let expected = [bulk(&value), message, bulk(&value), b"+PONG\r\n".to_vec()].concat();
    assert_eq!(drained(&mut sim, 1, usize::MAX), expected);
}

#[test]
fn a_shared_value_counts_for_every_limit_of_the_output() {
    let mut config = Config::default();
    config.set("output-pause-bytes", "100kb").expect("a valid option");
    config.set("client-output-buffer-limit", "normal 1mb 0 0").expect("a valid option");
    let mut sim = Sim::new();
    sim.engine = Engine::new(config, Environment::simulated(1), sim.now);
    let value = value_of(60_000);
    sim.ask(1, &[b"SET", b"k", &value]);
    sim.stall(1);
    sim.send_raw(1, &b"GET k\r\n".repeat(10));
    assert_eq!(sim.engine.unsent_bytes(1), 2 * bulk(&value).len(), "the others wait");
    assert!(!sim.engine.wants_input(1));
    let memory = sim.engine.client_memory_bytes(1);
    assert!((120_000..140_000).contains(&memory), "{memory}");
    sim.unstall(1);
    assert_eq!(sim.take_bytes(1), bulk(&value).repeat(10));
    // One request that is answered with more than the limit.
    sim.send(2, &[&[b"MGET".as_slice()], [b"k".as_slice(); 20].as_slice()].concat());
    assert!(sim.is_closed(2));
    assert_eq!(sim.cli(3, "PING"), "PONG");
}

#[test]
fn an_error_takes_back_what_was_shared_before_it() {
    let mut sim = Sim::new();
    let value = value_of(50_000);
    sim.ask(1, &[b"SET", b"k", &value]);
    sim.engine.receive(
        1,
        b"GET k\r\nSET k v GET IFEQ\r\nSET k 1 IFEQ 2 GET\r\nGETEX k\r\n",
        sim.now,
    );
    let mut expected = bulk(&value);
    expected.extend(b"-ERR syntax error\r\n");
    expected.extend([bulk(&value), bulk(&value)].concat());
    assert_eq!(drained(&mut sim, 1, 4_000), expected);
}

#[test]
fn a_client_that_ends_gives_away_what_was_on_its_way_to_it() {
    let (mut sim, discarded) = sim_that_counts_discarded!(DISCARDED, Config::default());
    sim.ask(1, &[b"SET", b"k", &value_of(LARGE)]);
    sim.stall(2);
    sim.connect(2);
    sim.engine.receive(2, b"CLIENT ID\r\nGETDEL k\r\n", sim.now);
    sim.turn();
    // The keyspace's part of it; the output holds the other.
    assert_eq!(discarded(), LARGE);
    assert!(sim.engine.client_memory_bytes(2) > LARGE);
    sim.disconnect(2);
    assert_eq!(discarded(), LARGE);
}

#[test]
fn what_a_client_was_the_last_to_hold_is_given_away_when_it_has_been_sent_or_is_not_wanted() {
    let (mut sim, discarded) = sim_that_counts_discarded!(DISCARDED, Config::default());
    sim.connect(2);
    for step in [LARGE / 3, usize::MAX] {
        sim.ask(1, &[b"SET", b"k", &value_of(LARGE)]);
        discarded();
        sim.stall(2);
        sim.engine.receive(2, b"GETDEL k\r\nCLIENT ID\r\n", sim.now);
        sim.turn();
        assert_eq!(discarded(), LARGE, "the keyspace's part of it");
        drained(&mut sim, 2, step);
        assert_eq!(discarded(), LARGE, "the output's, step {step}");
    }
    sim.ask(1, &[b"SET", b"k", &value_of(LARGE)]);
    discarded();
    sim.engine.receive(2, b"CLIENT REPLY OFF\r\nGETDEL k\r\n", sim.now);
    assert_eq!(discarded(), 2 * LARGE, "the keyspace's and the output's");
}

#[test]
fn a_value_on_its_way_to_many_is_in_memory_once() {
    let mut sim = Sim::new();
    sim.ask(1, &[b"SET", b"k", &value_of(LARGE)]);
    for client in 2..10 {
        sim.connect(client);
        sim.stall(client);
        sim.engine.receive(client, b"GET k\r\n", sim.now);
    }
    sim.turn();
    let reply = sim.ask(1, &[b"INFO", b"memory"]);
    let info = String::from_utf8_lossy(reply.text().expect("INFO is text")).into_owned();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a field");
    // What keys take is known only where the process tells.
    assert!(used.parse::<usize>().expect("a number") < LARGE, "{used}");
    assert!(sim.engine.client_memory_bytes(2) > LARGE, "it keeps the value alive");
}

/// Sends bytes as a reactor does: what belongs to a large argument is read to where it
/// is assembled, and the rest, up to `step` bytes in all, into a buffer beside that.
fn send_windowed(sim: &mut Sim, client: usize, mut bytes: &[u8], step: usize) {
    while !bytes.is_empty() {
        let part = &bytes[..step.min(bytes.len())];
        let mut behind = vec![0; 4_096.max(step)];
        let mut count = 0;
        let ahead = sim.engine.read_into(client, &mut behind, |room, behind| {
            count = match room {
                Room::Window(window) => {
                    let (own, rest) = part.split_at(part.len().min(window.len()));
                    window[..own.len()].copy_from_slice(own);
                    behind[..rest.len()].copy_from_slice(rest);
                    part.len()
                }
                Room::Spare(spare) => {
                    let count = part.len().min(spare.capacity() - spare.len());
                    spare.extend_from_slice(&part[..count]);
                    count
                }
            };
            count
        });
        sim.engine.receive(client, &behind[..ahead], sim.now);
        bytes = &bytes[count..];
    }
}

fn request(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    args.iter().for_each(|arg| bytes.extend(bulk(arg)));
    bytes
}

#[test]
fn a_request_in_pieces_of_every_size_is_the_same_request() {
    let (a, b) = (value_of(70_000), value_of(33_000));
    let requests = [
        request(&[b"SET", b"a", &a, b"PX", b"100000"]),
        b"PING\r\n".to_vec(),
        request(&[b"MSET", b"b", &b, b"c", b"short", b"d", &a]),
        request(&[b"ECHO", &b]),
        request(&[b"SET", b"e", &a]),
        request(&[b"SET", b"f", &b]),
        request(&[b"MGET", b"a", b"b", b"c", b"d", b"e", b"f"]),
        b"PTTL a\r\nGET c\r\n".to_vec(),
    ]
    .concat();
    let mut expected = b"+OK\r\n+PONG\r\n+OK\r\n".to_vec();
    expected.extend(bulk(&b));
    expected.extend(b"+OK\r\n+OK\r\n*6\r\n");
    [&a[..], &b, b"short", &a, &a, &b].iter().for_each(|value| expected.extend(bulk(value)));
    expected.extend(b":100000\r\n$5\r\nshort\r\n");
    for step in [7, 1_000, 4_096, 32_768, 33_030, 65_536, 70_040, 100_000, 1 << 20] {
        for is_windowed in [false, true] {
            let mut sim = Sim::new();
            sim.connect(1);
            if is_windowed {
                send_windowed(&mut sim, 1, &requests, step);
            } else {
                requests.chunks(step).for_each(|part| sim.engine.receive(1, part, sim.now));
            }
            sim.engine.tick(sim.now);
            let received = drained(&mut sim, 1, usize::MAX);
            assert!(received == expected, "step {step}, windowed {is_windowed}");
        }
    }
}

#[test]
fn a_value_is_taken_over_with_its_buffer_if_it_makes_up_most_of_that() {
    let (mut sim, discarded) = sim_that_counts_discarded!(DISCARDED, Config::default());
    sim.connect(1);
    let value = value_of(3 * LARGE);
    for setter in [
        request(&[b"SET", b"k", &value]),
        request(&[b"SETEX", b"k2", b"100", &value]),
        request(&[b"GETSET", b"new", &value]),
        request(&[b"SET", b"k3", &value, b"NX", b"EX", b"100"]),
    ] {
        send_windowed(&mut sim, 1, &setter, 1 << 16);
        assert_eq!(discarded(), 0, "the buffer lives on");
    }
    // Two values share a buffer: each would keep the other alive.
    let half = value_of(LARGE);
    send_windowed(&mut sim, 1, &request(&[b"MSET", b"a", &half, b"b", &half]), 1 << 16);
    assert!(discarded() > 2 * LARGE);
    // Nobody keeps it.
    send_windowed(&mut sim, 1, &request(&[b"SET", b"k3", &value, b"NX"]), 1 << 16);
    assert!(discarded() >= 3 * LARGE);
    send_windowed(&mut sim, 1, b"GET k\r\nGET b\r\nAPPEND k x\r\nSTRLEN k\r\n", 1 << 16);
    let mut received = drained(&mut sim, 1, usize::MAX);
    for _ in 0..3 {
        // Each of these replies is above `output-pause-bytes`.
        sim.engine.tick(sim.now);
        received.extend(drained(&mut sim, 1, usize::MAX));
    }
    let mut end = [bulk(&value), bulk(&half)].concat();
    end.extend(format!(":{}\r\n:{}\r\n", value.len() + 1, value.len() + 1).into_bytes());
    assert!(received.ends_with(&end));
}

#[test]
fn announcing_costs_no_more_than_sending() {
    let mut sim = Sim::new();
    for client in 0..100 {
        sim.connect(client);
        sim.engine.receive(client, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nabc", sim.now);
        let memory = sim.engine.client_memory_bytes(client);
        assert!(memory < 2 << 20, "{memory}");
    }
}

#[test]
fn a_large_argument_that_has_to_wait_is_kept_whole() {
    let mut sim = Sim::new();
    let value = value_of(100_000);
    sim.cli(2, "CLIENT PAUSE 1000 WRITE");
    sim.connect(1);
    let requests = [request(&[b"SET", b"k", &value]), b"GET k\r\n".to_vec()].concat();
    send_windowed(&mut sim, 1, &requests, 30_000);
    sim.turn();
    assert_eq!(sim.take_bytes(1), b"");
    sim.advance_ms(1_001);
    assert_eq!(sim.take_bytes(1), [b"+OK\r\n".to_vec(), bulk(&value)].concat());
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_value_leaves_nothing() {
    let mut sim = Sim::new();
    sim.connect(1);
    let whole = request(&[b"SET", b"k", &value_of(LARGE)]);
    send_windowed(&mut sim, 1, &whole[..LARGE / 2], 1 << 16);
    sim.disconnect(1);
    sim.connect(1);
    send_windowed(&mut sim, 1, b"GET k\r\n", 1 << 16);
    assert_eq!(drained(&mut sim, 1, 100), b"$-1\r\n");
}
