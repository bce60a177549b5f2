//! Turns taken one by one, in the thread of the test: what happens in which
//! turn is certain.

use std::io::{Read as _, Write};
use std::net::TcpStream;

use super::*;
use crate::config::Config;
use crate::reactor::Role;

/// A server whose turns the test takes.
struct Server {
    work: EventLoop,
    events: Events,
}

impl Server {
    fn new(options: &[(&str, &str)]) -> Server {
        let mut config = Config::default();
        for (name, value) in [("port", "0")].iter().chain(options) {
            config.set(name, value).expect("the option exists");
        }
        let reactor = Reactor::bind(config, Role::Embedded).expect("a port is free");
        Server { work: EventLoop::new(reactor), events: Events::with_capacity(EVENTS_MAX) }
    }

    fn connect(&self) -> TcpStream {
        let addr = self.work.acceptor.addrs().next().expect("it listens");
        let stream = TcpStream::connect(addr).expect("the backlog has room");
        stream.set_nodelay(true).expect("it is connected");
        stream
    }

    /// Waits for events as the server would, though not for ever.
    fn turn(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(60);
        let timeout = self.work.timeout().unwrap_or(PATIENCE).min(PATIENCE);
        self.work.poll.poll(&mut self.events, Some(timeout)).expect("nothing interrupts it");
        let waited_in_vain = timeout == PATIENCE && self.events.is_empty();
        assert!(!waited_in_vain, "nothing happens any more");
        self.work.turn(&self.events).expect("nothing is to be loaded");
    }

    fn turn_until(&mut self, done: impl Fn(&EventLoop) -> bool) {
        while !done(&self.work) {
            self.turn();
        }
    }

    fn sent_bytes(&mut self) -> u64 {
        self.work.engine.server().stats.output_bytes
    }

    fn reads(&self) -> u64 {
        self.work.engine.server().stats.reads
    }

    fn writes(&self) -> u64 {
        self.work.engine.server().stats.writes
    }

    /// Whether the next poll waits.
    fn is_idle(&self) -> bool {
        self.work.timeout() != Some(Duration::ZERO)
    }
}

#[test]
fn places_are_used_again() {
    let mut server = Server::new(&[]);
    for round in 0..1_000 {
        let mut client = server.connect();
        server.turn_until(|work| work.connections.len() == 1);
        assert!(server.work.connections.contains(0), "round {round}");
        // Some end in the middle of a request, some with a reply under way.
        client.write_all(if round % 2 == 0 { b"*1\r\n$4\r\n" } else { b"PING\r\n" }).unwrap();
        drop(client);
        server.turn_until(|work| work.connections.is_empty());
        assert!(server.work.engine.clients().is_empty());
    }
    assert!(server.is_idle());
}

#[test]
fn a_batch_of_requests_takes_one_turn_and_leaves_nothing_to_do() {
    let mut server = Server::new(&[]);
    let mut client = server.connect();
    server.turn_until(|work| work.connections.len() == 1);
    // The first event says that the socket takes output.
    server.turn();
    for _ in 0..10 {
        let (turns, bytes) = (server.work.engine.server().turns.turns, server.sent_bytes());
        client.write_all(&b"PING\r\n".repeat(100)).unwrap();
        server.turn();
        assert_eq!(server.sent_bytes() - bytes, 700);
        assert_eq!(server.work.engine.server().turns.turns - turns, 1);
        assert!(server.is_idle(), "a short read is the end of the input");
    }
}

/// Connects so many, in the order of their places, and lets them settle.
fn connect_all(server: &mut Server, count: usize) -> Vec<TcpStream> {
    let clients: Vec<TcpStream> = (0..count).map(|_| server.connect()).collect();
    server.turn_until(|work| work.connections.len() == count);
    // The first events say that the sockets take output.
    server.turn_until(|work| work.timeout() != Some(Duration::ZERO));
    while server.work.poll.poll(&mut server.events, Some(Duration::ZERO)).is_ok()
        && !server.events.is_empty()
    {
        server.work.turn(&server.events).expect("nothing is to be loaded");
    }
    clients
}

fn received(mut client: &TcpStream) -> String {
    client.set_nonblocking(true).expect("it is connected");
    let mut bytes = Vec::new();
    // The end of what has come, or of the connection.
    let _ = client.read_to_end(&mut bytes);
    String::from_utf8(bytes).expect("only text is answered")
}

#[test]
fn sockets_that_are_read_together_are_answered_in_order_and_within_the_buffer() {
    const FULL: usize = 4_096 / 6;
    let mut server = Server::new(&[("client-read-bytes", "4kb")]);
    let mut clients = connect_all(&mut server, 3 * READ_TOGETHER);
    let batch = b"PING\r\n".repeat(FULL);
    let mut sent = vec![0; clients.len()];
    for round in 0..3 {
        for (index, client) in clients.iter_mut().enumerate() {
            // Small ones, large ones, and both beside each other.
            let is_full = [index % 2 == 0, true, false][round];
            client.write_all(if is_full { &batch } else { b"PING\r\n" }).unwrap();
            sent[index] += if is_full { FULL } else { 1 };
        }
        let bytes = 7 * sent.iter().sum::<usize>() as u64;
        while server.sent_bytes() < bytes {
            server.turn();
        }
    }
    assert!(server.work.inputs.is_empty() && server.work.buffered == 0);
    for (client, sent) in clients.iter().zip(sent) {
        assert_eq!(received(client), "+PONG\r\n".repeat(sent));
    }
}

fn array(words: &[&str]) -> String {
    let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(bulk).collect::<String>())
}

fn bulk(value: &str) -> String {
    format!("${}\r\n{value}\r\n", value.len())
}

/// Values for so many keys, none of which is like another.
fn store_values(server: &mut Server, client: &mut TcpStream, lengths: &[usize]) -> Vec<String> {
    let mut values = Vec::new();
    for (key, &length) in lengths.iter().enumerate() {
        let value: String = format!("{key}-").chars().cycle().take(length).collect();
        client.write_all(array(&["SET", &key.to_string(), &value]).as_bytes()).unwrap();
        server.turn();
        assert_eq!(received(client), "+OK\r\n");
        values.push(value);
    }
    values
}

/// A reply that goes past the output is no worse off when the socket is full.
#[test]
fn lone_requests_of_a_client_that_does_not_read_are_answered_when_it_does() {
    const ROUNDS_MAX: usize = 1_000_000;
    let mut server = Server::new(&[]);
    let mut clients = connect_all(&mut server, 1);
    let client = &mut clients[0];
    let values = store_values(&mut server, client, &[1_900, 2_000, 2_100, 2_200, 2_300]);
    let mut replies_due = String::new();
    // Until the engine has to keep something for it, and then some more.
    let mut more = 5;
    for key in (0..values.len()).cycle() {
        client.write_all(array(&["GET", &key.to_string()]).as_bytes()).unwrap();
        replies_due.push_str(&bulk(&values[key]));
        server.turn();
        more -= usize::from(server.work.engine.unsent_bytes(0) > 0);
        if more == 0 {
            break;
        }
    }
    let mut replies = String::new();
    for _ in 0..ROUNDS_MAX {
        replies.push_str(&received(client));
        if replies.len() >= replies_due.len() {
            break;
        }
        if !server.is_idle() || server.work.engine.unsent_bytes(0) > 0 {
            server.turn();
        }
    }
    let same = replies.bytes().zip(replies_due.bytes()).take_while(|(a, b)| a == b).count();
    assert_eq!((replies.len(), same), (replies_due.len(), replies_due.len()));
}

/// The replies to lone requests stand in one buffer, but for those that are large, and each
/// client gets its own.
#[test]
fn each_of_many_lone_requests_is_answered_with_its_own_reply() {
    const CLIENTS: usize = READ_TOGETHER + 5;
    const LARGE: [usize; 2] = [3, 9];
    let limit = ("client-output-buffer-limit", "normal 4096 0 0");
    for (options, survivors) in [(&[][..], CLIENTS), (&[limit][..], CLIENTS - LARGE.len())] {
        let mut server = Server::new(options);
        let mut clients = connect_all(&mut server, CLIENTS);
        let length = |index| if LARGE.contains(&index) { 5_000 } else { 300 + index };
        let lengths: Vec<usize> = (0..CLIENTS).map(length).collect();
        let values = store_values(&mut server, &mut clients[0], &lengths);
        let before = server.sent_bytes();
        for (index, client) in clients.iter_mut().enumerate() {
            client.write_all(array(&["GET", &index.to_string()]).as_bytes()).unwrap();
        }
        let mut sent = 0;
        for (index, value) in values.iter().enumerate() {
            let is_cut = survivors < CLIENTS && LARGE.contains(&index);
            sent += if is_cut { 0 } else { bulk(value).len() as u64 };
        }
        while server.sent_bytes() - before < sent || server.work.connections.len() > survivors {
            server.turn();
        }
        assert_eq!(server.sent_bytes() - before, sent);
        for (index, (client, value)) in clients.iter().zip(&values).enumerate() {
            let is_cut = survivors < CLIENTS && LARGE.contains(&index);
            assert_eq!(received(client), if is_cut { String::new() } else { bulk(value) });
        }
    }
}

/// What one client asks for concerns those whose input was read in the same turn.
#[test]
fn input_that_was_read_and_is_not_wanted_any_more_is_dropped_or_kept() {
    let mut server = Server::new(&[]);
    let mut clients = connect_all(&mut server, 4);
    let ids: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            client.write_all(b"CLIENT ID\r\n").unwrap();
            server.turn();
            received(client).trim_start_matches(':').trim().to_owned()
        })
        .collect();
    let mut earlier = &clients[0];
    let both = format!("CLIENT KILL ID {}\r\nCLIENT PAUSE 100000 WRITE\r\n", ids[1]);
    // In the order in which they are written, so are their events.
    earlier.write_all(both.as_bytes()).unwrap();
    for mut later in &clients[1..] {
        later.write_all(b"SET k v\r\nGET k\r\n").unwrap();
    }
    server.turn();
    assert_eq!(received(&clients[0]), ":1\r\n+OK\r\n");
    for later in &clients[1..] {
        assert_eq!(received(later), "");
    }
    earlier.write_all(b"CLIENT UNPAUSE\r\n").unwrap();
    server.turn_until(|work| work.engine.unfinished_clients() == 0);
    assert_eq!(received(&clients[1]), "", "it was closed before its requests were run");
    assert!(!server.work.connections.contains(1));
    for later in &clients[2..] {
        assert_eq!(received(later), "+OK\r\n$1\r\nv\r\n");
    }
}

#[test]
fn a_fast_sender_has_one_buffer_a_turn() {
    // A buffer holds 682 requests and a part of one, which may complete one
    // that was begun before.
    const BUFFER_REQUESTS: u64 = 4_096 / 6 + 1;
    const REQUESTS: usize = 5 * 4_096 / 6;
    let mut server = Server::new(&[("client-read-bytes", "4kb"), ("turn-requests-max", "1000000")]);
    let (mut fast, mut slow) = (server.connect(), server.connect());
    server.turn_until(|work| work.connections.len() == 2);
    fast.write_all(&b"PING\r\n".repeat(REQUESTS)).unwrap();
    let (mut added, mut answered) = (0, 0);
    while answered < REQUESTS as u64 + added {
        if answered < REQUESTS as u64 {
            // Each makes an event, which is no second share.
            fast.write_all(b"PING\r\n").unwrap();
            slow.write_all(b"PING\r\n").unwrap();
            added += 2;
        }
        let before = server.sent_bytes();
        server.turn();
        let replies = (server.sent_bytes() - before) / 7;
        assert!(replies <= BUFFER_REQUESTS + added, "{replies} replies in one turn");
        answered += replies;
    }
    assert!(added >= 2 * 5, "the slow one was served in each of the fast one's turns");
}

#[test]
fn what_a_large_argument_lacks_is_read_at_once() {
    let mut server = Server::new(&[("client-read-bytes", "4kb")]);
    let mut client = connect_all(&mut server, 1).pop().expect("one has connected");
    let request = array(&["SET", "a", &"x".repeat(64 << 10)]);
    // As much as the system keeps for the server, all of it.
    client.write_all(request.as_bytes()).unwrap();
    let (reads, bytes) = (server.reads(), server.sent_bytes());
    while server.sent_bytes() == bytes {
        server.turn();
    }
    assert_eq!(received(&client), "+OK\r\n");
    // The first brings the length.
    assert!(server.reads() - reads <= 4, "{}", server.reads() - reads);
}

#[test]
fn connections_wait_for_the_next_turn_when_one_has_accepted_enough() {
    let mut server = Server::new(&[("turn-accepts-max", "3")]);
    let clients: Vec<_> = (0..7).map(|_| server.connect()).collect();
    let (mut accepted, mut turns) = (0, 0);
    while accepted < clients.len() {
        server.turn();
        turns += 1;
        assert!(server.work.connections.len() - accepted <= 3);
        accepted = server.work.connections.len();
    }
    assert!(turns >= 3);
    drop(clients);
    server.turn_until(|work| work.connections.is_empty());
}

#[test]
fn a_stopping_server_runs_what_it_has_received() {
    let mut server = Server::new(&[("turn-requests-max", "10")]);
    let mut client = server.connect();
    server.turn_until(|work| work.connections.len() == 1);
    client.write_all(&b"PING\r\n".repeat(100)).unwrap();
    server.turn_until(|work| work.engine.clients().iter().any(|(_, client)| client.commands > 0));
    server.work.stop.request().unwrap();
    server.turn_until(EventLoop::has_stopped);
    assert_eq!(server.sent_bytes(), 700);
    let addr = client.peer_addr().unwrap();
    assert!(TcpStream::connect(addr).is_err(), "it accepts no more");
}

#[test]
fn long_turns_are_counted_without_the_waiting() {
    let mut server = Server::new(&[]);
    let client = server.connect();
    server.turn_until(|work| work.connections.len() == 1);
    drop(client);
    server.turn_until(|work| work.connections.is_empty());
    let turns = &server.work.engine.server().turns;
    assert!(turns.turns > 0 && turns.longest.busy_ns > 0);
    assert!(turns.over_1ms <= turns.turns);
    assert!(turns.stages_ns.iter().sum::<u64>() >= turns.longest.busy_ns);
}

#[test]
fn a_deadline_in_unix_time_is_looked_at_again_before_it_comes() {
    let mut server = Server::new(&[]);
    let mut client = server.connect();
    server.turn_until(|work| work.connections.len() == 1);
    client.write_all(b"SET a 1\r\n").unwrap();
    while server.sent_bytes() < 5 {
        server.turn();
    }
    assert_eq!(server.work.timeout(), None, "no deadline, no sleep to shorten");
    client.write_all(b"EXPIRE a 1000\r\n").unwrap();
    while server.sent_bytes() < 9 {
        server.turn();
    }
    assert_eq!(server.work.timeout(), Some(CLOCK_CHECK_EVERY));
    client.write_all(b"PEXPIRE a 500\r\n").unwrap();
    while server.sent_bytes() < 13 {
        server.turn();
    }
    assert!(server.work.timeout() < Some(CLOCK_CHECK_EVERY), "what is due sooner is sooner");
}

#[test]
fn what_many_publish_in_one_turn_is_one_write_for_each_subscriber() {
    const SUBSCRIBERS: usize = 20;
    const PUBLISHERS: usize = 5 * SENT_TOGETHER;
    let mut server = Server::new(&[]);
    let mut subscribers: Vec<_> = (0..SUBSCRIBERS).map(|_| server.connect()).collect();
    let mut publishers: Vec<_> = (0..PUBLISHERS).map(|_| server.connect()).collect();
    server.turn_until(|work| work.connections.len() == SUBSCRIBERS + PUBLISHERS);
    for client in &mut subscribers {
        client.write_all(b"SUBSCRIBE a\r\n").unwrap();
    }
    let subscribed = |work: &EventLoop| {
        work.engine.clients().iter().filter(|(_, client)| client.subscriptions.is_some()).count()
    };
    server.turn_until(|work| subscribed(work) == SUBSCRIBERS && work.engine.output_count() == 0);
    for client in &mut publishers {
        client.write_all(b"PUBLISH a 1\r\n").unwrap();
    }
    let (writes, bytes) = (server.writes(), server.sent_bytes());
    server.turn();
    assert_eq!(server.writes() - writes, (SUBSCRIBERS + PUBLISHERS) as u64);
    let message = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n".len();
    let sent = PUBLISHERS * b":20\r\n".len() + SUBSCRIBERS * PUBLISHERS * message;
    assert_eq!(server.sent_bytes() - bytes, sent as u64, "all of it in this turn");
    assert!(server.is_idle());
}
