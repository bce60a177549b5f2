//! The server over real sockets: what a simulated one cannot show.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tollgate::server::{Builder, Handle, Server, StartError};

/// Long enough for any machine; it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

fn builder() -> Builder {
    Server::builder().port(0)
}

fn start(builder: Builder) -> Handle {
    builder.start().expect("the server starts")
}

struct Client(TcpStream);

impl Client {
    fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_nodelay(true).expect("it is connected");
        Client(stream)
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the server takes input");
    }

    fn expect(&mut self, reply: impl AsRef<[u8]>) {
        let reply = reply.as_ref();
        let mut read = vec![0; reply.len()];
        self.0.read_exact(&mut read).expect("the server replies");
        assert!(read == reply, "{:?}", String::from_utf8_lossy(&read[..read.len().min(200)]));
    }

    fn ping(&mut self) {
        self.send("PING\r\n");
        self.expect("+PONG\r\n");
    }

    /// Everything up to the end of the connection.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("the server closes in order");
        rest
    }
}

/// One PING that is answered with `message`, and its answer.
fn echo(message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let bulk = [format!("${}\r\n", message.len()).as_bytes(), message, b"\r\n"].concat();
    ([b"*2\r\n$4\r\nPING\r\n", &bulk[..]].concat(), bulk)
}

/// Sends one request over and over, until nothing has moved during many turns
/// of the server. Returns the number of bytes sent.
fn send_until_stuck(client: &Client, other: &mut Client, request: &[u8]) -> usize {
    const TURNS: usize = 100;
    let (mut sent, mut stuck) = (0, 0);
    client.0.set_nonblocking(true).expect("it is connected");
    while stuck < TURNS {
        match (&client.0).write(&request[sent % request.len()..]) {
            Ok(count) => (sent, stuck) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stuck += 1;
                other.ping();
            }
            Err(error) => panic!("{error}"),
        }
        // The sockets hold some megabytes; the server must not add to them.
        assert!(sent < 256 << 20, "the server takes input without end");
    }
    client.0.set_nonblocking(false).expect("it is connected");
    sent
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let server = start(builder());
    let mut client = Client::connect(server.addr());
    let mut other = Client::connect(server.addr());
    client.ping();
    let (request, reply) = echo(b"in pieces");
    for byte in &request {
        client.send([*byte]);
        // When the other one is answered, the server has read the piece.
        other.ping();
    }
    client.expect(&reply);
    client.send(request.repeat(3));
    client.expect(reply.repeat(3));
}

#[test]
fn a_request_may_be_larger_than_the_read_buffer() {
    let server = start(builder().option("client-read-bytes", "4kb"));
    let mut client = Client::connect(server.addr());
    let (request, reply) = echo(&b"0123456789abcdef".repeat(20_000));
    client.send(&request);
    client.expect(&reply);
    // Exactly a full buffer: nothing is left, and the next read says so.
    let (request, reply) = echo(&vec![b'x'; 4_096 - 23]);
    assert_eq!(request.len(), 4_096);
    client.send(&request);
    client.expect(&reply);
    client.ping();
}

#[test]
fn a_long_pipeline_does_not_keep_others_waiting() {
    const REQUESTS: usize = 100_000;
    let server = start(builder().option("turn-requests-max", "1"));
    let mut other = Client::connect(server.addr());
    let busy = Client::connect(server.addr());
    let answered = AtomicUsize::new(0);
    let mut pings = 0;
    thread::scope(|scope| {
        let mut writer = Client(busy.0.try_clone().unwrap());
        scope.spawn(move || writer.send(b"PING\r\n".repeat(REQUESTS)));
        scope.spawn(|| {
            let mut reader = BufReader::new(&busy.0);
            let mut line = String::new();
            for _ in 0..REQUESTS {
                line.clear();
                reader.read_line(&mut line).expect("each request is answered");
                assert_eq!(line, "+PONG\r\n");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        // One request a turn: the other client's share is as large.
        while answered.load(Ordering::Relaxed) < REQUESTS {
            other.ping();
            pings += 1;
        }
    });
    assert!(pings >= 10, "{pings} answers meanwhile");
}

#[test]
fn one_too_many_is_told() {
    let server = start(builder().option("maxclients", "1"));
    let mut first = Client::connect(server.addr());
    first.ping();
    for _ in 0..10 {
        let mut second = Client::connect(server.addr());
        assert_eq!(second.rest(), b"-ERR max number of clients reached\r\n");
    }
    first.ping();
}

#[test]
fn all_connections_are_accepted_however_few_a_turn_takes() {
    let server = start(builder().option("turn-accepts-max", "1"));
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(server.addr())).collect();
    clients.iter_mut().for_each(Client::ping);
}

#[test]
fn connections_come_and_go() {
    const AT_ONCE: usize = 50;
    // In the turn that accepts a connection those before it may still be there.
    let maxclients = (2 * AT_ONCE).to_string();
    let server = start(builder().option("maxclients", &maxclients));
    for round in 0..20 {
        let mut clients: Vec<_> = (0..AT_ONCE).map(|_| Client::connect(server.addr())).collect();
        clients.iter_mut().for_each(Client::ping);
        for client in clients {
            match round % 3 {
                // In the middle of a request.
                0 => (&client.0).write_all(b"*2\r\n$4\r\nPI").unwrap(),
                // With a reply that nobody reads, which is a reset.
                1 => (&client.0).write_all(b"PING\r\n").unwrap(),
                _ => {}
            }
        }
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    let server = start(builder().option("output-pause-bytes", "64kb"));
    let mut other = Client::connect(server.addr());
    let mut client = Client::connect(server.addr());
    let (request, reply) = echo(&vec![b'x'; 30_000]);
    let sent = send_until_stuck(&client, &mut other, &request);
    // It goes on when the client reads: each request has its answer.
    let whole = sent / request.len();
    for _ in 0..whole {
        client.expect(&reply);
    }
    let begun = sent % request.len();
    if begun > 0 {
        client.send(&request[begun..]);
        client.expect(&reply);
    }
    client.ping();
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_at_its_limit() {
    let server = start(builder().option("client-output-buffer-limit", "pubsub 256kb 0 0"));
    let mut subscriber = Client::connect(server.addr());
    subscriber.send("SUBSCRIBE news\r\n");
    subscriber.expect("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    let mut publisher = Client::connect(server.addr());
    let text = "x".repeat(30_000);
    let request = format!("*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$30000\r\n{text}\r\n");
    let message = format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$30000\r\n{text}\r\n");
    let mut published = 0;
    loop {
        publisher.send(&request);
        let mut receivers = [0; 4];
        publisher.0.read_exact(&mut receivers).expect("the server replies");
        if &receivers == b":0\r\n" {
            break;
        }
        assert_eq!(&receivers, b":1\r\n");
        published += 1;
        // The sockets hold some megabytes; the server must not add to them.
        assert!(published * message.len() < 256 << 20, "the subscriber is never closed");
    }
    // What had been sent before is there, in order, and more was published.
    let received = subscriber.rest();
    assert!(message.repeat(published).as_bytes().starts_with(&received));
    assert!(received.len() < published * message.len());
}

#[test]
fn the_end_of_input_is_not_the_end_of_replies() {
    let server = start(builder().option("output-pause-bytes", "64kb"));
    for count in [0, 1, 1_000, 50_000] {
        let mut client = Client::connect(server.addr());
        let mut writer = Client(client.0.try_clone().unwrap());
        let writing = thread::spawn(move || {
            writer.send(b"PING\r\n".repeat(count));
            // A request that will never be complete is nothing to wait for.
            writer.send("*2\r\n$4\r\nPING");
            writer.0.shutdown(Shutdown::Write).unwrap();
        });
        let replies = client.rest();
        writing.join().unwrap();
        assert_eq!(replies.len(), count * "+PONG\r\n".len());
    }
}

#[test]
fn large_replies_are_finished_after_the_end_of_input() {
    let server = start(builder().option("output-pause-bytes", "64kb"));
    let (request, reply) = echo(&vec![b'x'; 100_000]);
    let mut client = Client::connect(server.addr());
    let mut writer = Client(client.0.try_clone().unwrap());
    let writing = thread::spawn(move || {
        writer.send(request.repeat(300));
        writer.0.shutdown(Shutdown::Write).unwrap();
    });
    let replies = client.rest();
    writing.join().unwrap();
    assert!(replies == reply.repeat(300));
}

#[test]
fn a_protocol_error_is_told_before_the_connection_ends() {
    let server = start(builder());
    let mut client = Client::connect(server.addr());
    client.send("PING\r\n*1\r\nPING\r\n");
    assert_eq!(client.rest(), b"+PONG\r\n-ERR Protocol error: expected '$', got 'P'\r\n");
}

#[test]
fn shutdown_finishes_what_was_received_and_closes_everything() {
    let server = start(builder());
    let addr = server.addr();
    let mut client = Client::connect(addr);
    client.ping();
    assert!(server.is_running());
    server.shutdown().expect("the thread ends in order");
    assert_eq!(client.rest(), b"");
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

#[test]
fn shutdown_runs_what_has_been_sent_however_much() {
    // Several turns' shares and many read buffers, and still no more than the
    // socket holds: when all is written, all has been received.
    const REQUESTS: usize = 5_000;
    let server = start(builder().option("client-read-bytes", "4kb"));
    let mut client = Client::connect(server.addr());
    client.ping();
    client.send(b"INCR n\r\n".repeat(REQUESTS));
    server.shutdown().expect("the thread ends in order");
    let answers = client.rest();
    assert_eq!(answers.iter().filter(|byte| **byte == b'\n').count(), REQUESTS);
    assert!(answers.ends_with(format!(":{REQUESTS}\r\n").as_bytes()));
}

#[test]
fn shutdown_answers_who_waits_and_who_is_held_back() {
    let server = start(builder());
    let mut waiter = Client::connect(server.addr());
    waiter.send("PING\r\nWAIT 1 0\r\n");
    waiter.expect("+PONG\r\n");
    let mut paused = Client::connect(server.addr());
    paused.send("CLIENT PAUSE 60000 WRITE\r\nSET a 1\r\n");
    paused.expect("+OK\r\n");
    let mut last = Client::connect(server.addr());
    // More than a turn's share: SHUTDOWN comes out of the queue.
    last.send([&b"PING\r\n".repeat(1_500)[..], b"SHUTDOWN\r\n"].concat());
    assert_eq!(waiter.rest(), b":0\r\n");
    assert_eq!(paused.rest(), b"+OK\r\n");
    assert_eq!(last.rest(), b"+PONG\r\n".repeat(1_500));
}

#[test]
fn shutdown_does_not_wait_long_for_who_does_not_stop_sending() {
    let server = start(builder());
    let mut client = Client::connect(server.addr());
    client.ping();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut reply = [0; 7];
            while client.0.write_all(b"PING\r\n").is_ok() && client.0.read_exact(&mut reply).is_ok()
            {
            }
        });
        server.shutdown().expect("the thread ends in order");
    });
}

#[test]
fn shutdown_does_not_wait_long_for_who_does_not_read() {
    let server = start(builder().option("output-pause-bytes", "64kb"));
    let client = Client::connect(server.addr());
    let mut other = Client::connect(server.addr());
    let (request, _) = echo(&vec![b'x'; 30_000]);
    send_until_stuck(&client, &mut other, &request);
    server.shutdown().expect("the thread ends in order");
    assert_eq!(other.rest(), b"");
}

#[test]
fn a_client_may_shut_the_server_down() {
    let server = start(builder());
    let mut other = Client::connect(server.addr());
    other.ping();
    let mut client = Client::connect(server.addr());
    client.send("SHUTDOWN\r\n");
    assert_eq!((client.rest(), other.rest()), (vec![], vec![]));
    server.shutdown().expect("it has ended in order");
}

#[test]
fn dropping_the_handle_stops_the_server() {
    let server = start(builder());
    let addr = server.addr();
    Client::connect(addr).ping();
    drop(server);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn servers_share_a_process() {
    let (one, two) = (start(builder()), start(builder().bind("127.0.0.1 127.0.0.2")));
    assert_ne!(one.addr(), two.addr());
    assert_eq!(two.addrs().len(), 2);
    let mut clients: Vec<_> =
        one.addrs().iter().chain(two.addrs()).map(|addr| Client::connect(*addr)).collect();
    clients.iter_mut().for_each(Client::ping);
    one.shutdown().unwrap();
    assert_eq!(clients[0].rest(), b"");
    clients[1..].iter_mut().for_each(Client::ping);
}

#[test]
fn what_is_wrong_is_told_by_start() {
    let refused = builder().option("maxclients", "none").option("port", "x").start();
    let error = refused.expect_err("the first wrong option counts");
    assert!(matches!(error, StartError::Option(_)));
    assert!(error.to_string().contains("maxclients"), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = builder().port(port).start().expect_err("the port is taken");
    assert!(matches!(error, StartError::Listen(_)));
    assert!(error.to_string().contains("in use"), "{error}");
}

/// The program, told to listen on a free port.
struct Program {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    addr: SocketAddr,
}

impl Program {
    fn start(args: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["--port", "0"])
            .args(args)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        let addr = loop {
            line.clear();
            let count = log.read_line(&mut line).expect("the log is text");
            assert_ne!(count, 0, "it ended before it listened");
            if let Some((_, after)) = line.split_once("listening on ") {
                let (addr, hint) = after.split_once(';').expect("a hint follows");
                assert!(hint.contains("redis-cli -p "), "{line}");
                break addr.parse().expect("an address");
            }
        };
        Program { child, log, addr }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is a child of ours");
    }

    /// The rest of the log, once the program has ended with success.
    fn success(mut self) -> String {
        let mut log = String::new();
        self.log.read_to_string(&mut log).expect("the log is text");
        let status = self.child.wait().expect("it has not been waited for");
        assert!(status.success(), "{log}");
        log
    }
}

/// A test that fails must not leave its program behind.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn signals_stop_the_program_in_order() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let program = Program::start(&[]);
        let mut client = Client::connect(program.addr);
        client.ping();
        // A closed terminal is no reason to stop.
        program.signal(Signal::HUP);
        client.ping();
        program.signal(signal);
        assert_eq!(client.rest(), b"");
        let log = program.success();
        assert!(log.contains(name) && log.contains("stopped"), "{log}");
    }
}

#[test]
fn a_taken_port_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--port", &addr.port().to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(&addr.to_string()) && text.contains("in use"), "{text}");
}

#[test]
fn clients_are_told_the_whole_path_of_the_directory() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let reply = format!("*2\r\n$3\r\ndir\r\n${}\r\n{dir}\r\n", dir.len());
    // Tests run in the directory of the package.
    let embedded = start(builder().option("dir", "tests"));
    let program = Program::start(&["--dir", "tests"]);
    for addr in [embedded.addr(), program.addr] {
        let mut client = Client::connect(addr);
        client.send("CONFIG GET dir\r\n");
        client.expect(&reply);
    }
}

#[test]
fn a_value_of_64_mb_reaches_a_slow_reader_whole_and_others_are_served_meanwhile() {
    const LEN: usize = 64 << 20;
    let server = start(builder());
    let value: Vec<u8> = (0..LEN).map(|index| (index * 31 % 251) as u8).collect();
    let mut slow = Client::connect(server.addr());
    let mut other = Client::connect(server.addr());
    slow.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${LEN}\r\n"));
    slow.send(&value);
    slow.send("\r\n");
    slow.expect("+OK\r\n");
    slow.send("GET k\r\nPING\r\n");
    slow.expect(format!("${LEN}\r\n"));
    // The reply is on its way; what it shares must outlive the key.
    other.send("DEL k\r\n");
    other.expect(":1\r\n");
    for part in value.chunks(4 << 20) {
        other.ping();
        slow.expect(part);
        thread::sleep(Duration::from_millis(5));
    }
    slow.expect("\r\n+PONG\r\n");
    server.shutdown().expect("it stops in order");
}
