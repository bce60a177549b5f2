//! The parts of the load generator that can be wrong without anybody seeing it:
//! replies that are counted, a rate that is kept, requests that are what they are
//! said to be; and a short run of all of them against the floor.

#[path = "../benches/connections/bare.rs"]
mod bare;
#[allow(dead_code)]
#[path = "../benches/support/figures.rs"]
mod figures;
#[path = "../benches/connections/floor.rs"]
mod floor;
#[path = "../benches/connections/plain.rs"]
mod plain;
#[allow(dead_code)]
#[path = "../benches/connections/report.rs"]
mod report;

// What the benchmark has of these names.
mod servers {
    pub(crate) const FLOOR: &str = "floor";
}
mod shared {
    pub(crate) use crate::figures;
}
#[path = "../benches/support/traffic/mod.rs"]
mod traffic;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use bare::Bare;
use fastrand::Rng;
use floor::Floor;
use plain::Answers;
use report::Point;
use traffic::connect;
use traffic::load::{End, Load, Pace};
use traffic::mix::{Kind, Mix};
use traffic::outbox::Outbox;
use traffic::replies::{Malformed, Skipper, Tally};
use traffic::requests::{Batches, Settings};
use traffic::schedule::Schedule;

// Replies

/// The replies and errors in these bytes, which arrive in pieces of this size.
fn count(bytes: &[u8], piece: usize) -> Result<(u64, u64), Malformed> {
    let (mut skipper, mut tally) = (Skipper::default(), Tally::default());
    for piece in bytes.chunks(piece) {
        skipper.skip(piece, &mut tally)?;
    }
    Ok((tally.replies, tally.errors))
}

#[test]
fn replies_are_counted_wherever_they_are_cut() {
    for (bytes, expected) in [
        ("+OK\r\n", (1, 0)),
        (":17\r\n:-3\r\n", (2, 0)),
        ("$3\r\n\r\n$\r\n$0\r\n\r\n$-1\r\n", (3, 0)),
        ("*-1\r\n*0\r\n", (2, 0)),
        ("*2\r\n$1\r\na\r\n*3\r\n:1\r\n:2\r\n*1\r\n$-1\r\n+OK\r\n", (2, 0)),
        ("%1\r\n+a\r\n*2\r\n#t\r\n_\r\n,1.5\r\n(12345\r\n=5\r\ntxt:a\r\n~1\r\n:1\r\n", (5, 0)),
        ("-ERR no\r\n+OK\r\n!5\r\nERR a\r\n", (3, 2)),
        ("*2\r\n-ERR in it\r\n:1\r\n", (1, 1)),
        ("*2\r\n:1\r\n", (0, 0)),
        ("$10\r\nabc", (0, 0)),
    ] {
        for piece in 1..=bytes.len() {
            assert_eq!(count(bytes.as_bytes(), piece), Ok(expected), "{bytes:?} by {piece}");
        }
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    for (bytes, byte) in [("OK\r\n", b'O'), ("$x\r\n", b'x'), ("$1\r\nab\r\n+OK\r\n", b'\n')] {
        assert_eq!(count(bytes.as_bytes(), 64), Err(Malformed(byte)), "{bytes:?}");
    }
    assert_eq!(count(b"$9999999999999999\r\n", 64), Err(Malformed(b'9')));
}

#[test]
fn the_first_error_is_kept_and_no_more_than_a_line_of_it() {
    let (mut skipper, mut tally) = (Skipper::default(), Tally::default());
    for piece in ["+OK\r\n-ERR fi", "rst\r\n-ERR second\r\n"] {
        skipper.skip(piece.as_bytes(), &mut tally).unwrap();
    }
    assert_eq!(tally.first_error(), "ERR first");
    let (mut skipper, mut tally) = (Skipper::default(), Tally::default());
    let long = format!("-ERR {}\r\n", "x".repeat(100_000));
    skipper.skip(long.as_bytes(), &mut tally).unwrap();
    assert_eq!((tally.replies, tally.first_error().len()), (1, 200));
}

// The report

/// What a server did that needs so long for a request.
fn point(server: &str, server_cpu_us: f64) -> Point {
    Point {
        server: server.to_owned(),
        connections: 50,
        active: 50,
        round: 0,
        requests: 1,
        errors: 0,
        unsent: 0,
        requests_per_s: 1.0,
        p50_us: 1.0,
        p99_us: 1.0,
        p999_us: 1.0,
        max_us: 1.0,
        server_cpu_us,
        load_cpu_us: 7.0,
        memory: 1.0,
    }
}

/// The cells of a Markdown table, without the line below the heads.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().filter(|line| !line.contains("---"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_floor_is_a_column_where_it_was_measured() {
    let with = report::table(&[point("tollgate", 6.0), point("floor", 4.0)]);
    let with = rows(&with);
    assert_eq!(with[0][7..10], ["server us/request", "times the floor", "load us/request"]);
    assert_eq!(with[1][7..10], ["6.00", "1.50", "7.00"]);
    assert_eq!(with[2][7..10], ["4.00", "1.00", "7.00"]);
    let without = report::table(&[point("tollgate", 6.0), point("redis-server", 9.0)]);
    let without = rows(&without);
    assert_eq!(without[0][7..9], ["server us/request", "load us/request"]);
    assert_eq!(without[1][7..9], ["6.00", "7.00"]);
    assert!(!without.concat().contains(&"?"), "{without:?}");
}

// The schedule

#[test]
fn batches_come_due_evenly_and_in_turn() {
    let ms = Duration::from_millis;
    // One every 10 ms on two connections, for 50 ms.
    let mut schedule = Schedule::new(0.01, 2, ms(50));
    assert_eq!(schedule.take_due(ms(0)), Some(0));
    assert_eq!(schedule.take_due(ms(0)), None);
    assert_eq!(schedule.next_time(), Some(ms(10)));
    assert_eq!(schedule.take_due(ms(9)), None);
    // A stall: all that it has held up is due at once.
    let due: Vec<usize> = std::iter::from_fn(|| schedule.take_due(ms(1_000))).collect();
    assert_eq!(due, [1, 0, 1, 0]);
    assert_eq!(schedule.next_time(), None);
}

#[test]
fn a_batch_that_is_late_was_due_when_it_was_intended() {
    let ms = Duration::from_millis;
    let mut schedule = Schedule::new(0.01, 2, ms(50));
    while schedule.take_due(ms(30)).is_some() {}
    // Due at 0 and 20 ms on the first connection, at 10 and 30 ms on the second.
    assert_eq!((schedule.owed(0, 0), schedule.owed(1, 0)), (2, 2));
    assert_eq!((schedule.owed(0, 1), schedule.owed(0, 2), schedule.owed(1, 2)), (1, 0, 0));
    assert_eq!((schedule.intended(0, 1), schedule.intended(1, 1)), (ms(20), ms(30)));
}

// The mix

#[test]
fn a_mix_is_read() {
    let mix = Mix::parse("get=90,set=10,decrifpos=0").unwrap();
    assert_eq!(mix.kinds().collect::<Vec<_>>(), [Kind::Get, Kind::Set]);
    assert_eq!(mix.text(), "90 % GET, 10 % SET");
    assert_eq!(Mix::parse("lock=3").unwrap().only(), Some(Kind::Lock));
    let wrong = ["", "get", "get=", "get=-1", "get=1000001", "del=1", "get=0", "get=1,get=2"];
    for text in wrong {
        assert!(Mix::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_mix_of_kinds_has_each_once() {
    let mix = Mix::of(&[Kind::Set, Kind::SetNx, Kind::Set]);
    assert_eq!(mix.text(), "50 % SET, 50 % SET NX PX");
    assert_eq!(mix, Mix::parse("set=1,setnx=1").unwrap());
}

#[test]
fn kinds_are_drawn_as_often_as_they_weigh() {
    let mix = Mix::parse("get=70,lock=30").unwrap();
    assert_eq!(mix.requests_a_draw(), 1.3);
    let mut rng = Rng::with_seed(1);
    let locks = (0..10_000).filter(|_| mix.draw(&mut rng) == Kind::Lock).count();
    assert!((2_800..3_200).contains(&locks), "{locks}");
}

// The requests

fn settings(mix: Mix, keys: u64, pipeline: usize) -> Settings {
    Settings { mix, keys, value_bytes: 3, pipeline, are_values_counted: false }
}

fn batches(mix: &str, keys: u64, pipeline: usize) -> Batches {
    let mix = Mix::parse(mix).expect("it is a mix");
    Batches::new(settings(mix, keys, pipeline), 7)
}

#[test]
fn requests_are_what_they_are_said_to_be() {
    for (mix, expected) in [
        ("get=1", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n"),
        ("set=1", "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$3\r\nxxx\r\n"),
        ("decrifpos=1", "*3\r\n$9\r\nDECRIFPOS\r\n$17\r\nitem:000000000000\r\n$1\r\n1\r\n"),
        ("incr=1", "*2\r\n$4\r\nINCR\r\n$20\r\ncounter:000000000000\r\n"),
        (
            "setnx=1",
            "*6\r\n$3\r\nSET\r\n$18\r\nmutex:000000000000\r\n$18\r\nowner:000000000042\r\n\
             $2\r\nNX\r\n$2\r\nPX\r\n$5\r\n30000\r\n",
        ),
        (
            "lock=1",
            "*5\r\n$12\r\nLOCK.ACQUIRE\r\n$17\r\nlock:000000000000\r\n$18\r\nowner:000000000042\
             \r\n$2\r\nPX\r\n$5\r\n30000\r\n*3\r\n$12\r\nLOCK.RELEASE\r\n$17\r\n\
             lock:000000000000\r\n$18\r\nowner:000000000042\r\n",
        ),
    ] {
        let mut batches = batches(mix, 1, 2);
        let batch = batches.next(42);
        assert_eq!(String::from_utf8_lossy(batch.bytes), expected.repeat(2), "{mix}");
        assert_eq!(u64::from(batch.requests), expected.matches('*').count() as u64 * 2, "{mix}");
    }
}

#[test]
fn every_batch_has_other_keys_of_the_right_ones() {
    for mix in ["get=1", "get=1,set=1"] {
        let mut batches = batches(mix, 1_000, 3);
        let mut numbers = Vec::new();
        for _ in 0..100 {
            let text = String::from_utf8(batches.next(0).bytes.to_vec()).unwrap();
            let keys = text.split("key:").skip(1).map(|rest| rest[..12].parse::<u64>().unwrap());
            numbers.extend(keys);
        }
        assert!(numbers.len() == 300 && numbers.iter().all(|number| *number < 1_000));
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() > 200, "{mix}: only {} different keys", numbers.len());
    }
}

#[test]
fn values_are_counted_where_that_is_asked_for() {
    let mix = Mix::parse("set=1").unwrap();
    let settings = Settings { value_bytes: 20, are_values_counted: true, ..settings(mix, 9, 2) };
    let mut batches = Batches::new(settings, 7);
    batches.next(0);
    let text = String::from_utf8(batches.next(0).bytes.to_vec()).unwrap();
    assert!(text.contains("\r\n$20\r\nxxxxxxxx000000000003\r\n"), "{text}");
    assert!(text.ends_with("\r\n$20\r\nxxxxxxxx000000000004\r\n"), "{text}");
}

#[test]
fn all_that_is_read_and_counted_down_is_stored_before() {
    let batches = batches("get=1,decrifpos=1,incr=1,lock=1,setnx=1", 25, 1);
    let parts: Vec<(String, u64)> = batches
        .fillings(10)
        .map(|(bytes, requests)| (String::from_utf8(bytes).unwrap(), requests))
        .collect();
    let requests: Vec<u64> = parts.iter().map(|(_, requests)| *requests).collect();
    assert_eq!(requests, [10, 10, 5, 10, 10, 5, 10, 10, 5]);
    let text: String = parts.into_iter().map(|(text, _)| text).collect();
    for number in 0..25 {
        assert!(text.contains(&format!("key:{number:012}\r\n$3\r\nxxx\r\n")));
        assert!(text.contains(&format!("item:{number:012}\r\n$13\r\n1000000000000\r\n")));
        assert!(text.contains(&format!("counter:{number:012}\r\n$1\r\n0\r\n")));
    }
}

// The floor and the bare loop

/// The replies to these bytes, which arrive in pieces of this size.
fn replies(answers: &mut impl Answers, bytes: &[u8], piece: usize) -> io::Result<String> {
    let (mut input, mut replies) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        let answered = answers.answer(&input, &mut replies)?;
        input.drain(..answered);
    }
    Ok(String::from_utf8_lossy(&replies).into_owned())
}

#[test]
fn the_floor_answers_each_request_wherever_it_is_cut() {
    let requests = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n\
                     *3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
    for piece in 1..=requests.len() {
        let replies = replies(&mut Floor::new(3), requests, piece).unwrap();
        assert_eq!(replies, "+PONG\r\n$3\r\nxxx\r\n+OK\r\n", "by {piece}");
    }
}

#[test]
fn the_bare_loop_keeps_what_it_is_given_wherever_requests_are_cut() {
    let value = "v".repeat(1_234);
    let requests = format!(
        "*2\r\n$3\r\nGET\r\n$1\r\na\r\n\
         *3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n\
         *3\r\n$3\r\nset\r\n$2\r\nab\r\n$0\r\n\r\n\
         *2\r\n$3\r\nGET\r\n$1\r\na\r\n\
         *3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n*\r\n\
         *2\r\n$3\r\nget\r\n$1\r\na\r\n\
         *3\r\n$3\r\nSET\r\n$1\r\na\r\n$1234\r\n{value}\r\n\
         *2\r\n$3\r\nGET\r\n$1\r\na\r\n\
         *2\r\n$3\r\nGET\r\n$2\r\nab\r\n\
         *1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"
    );
    let expected = format!(
        "$-1\r\n+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n$1\r\n*\r\n+OK\r\n$1234\r\n{value}\r\n\
         $0\r\n\r\n+PONG\r\n-ERR the bare loop knows GET, SET and PING\r\n"
    );
    for piece in 1..=requests.len() {
        let replies = replies(&mut Bare::new(), requests.as_bytes(), piece).unwrap();
        assert_eq!(replies, expected, "by {piece}");
    }
}

#[test]
fn the_bare_loop_refuses_what_is_no_request() {
    for wrong in ["PING\r\n", "*x\r\n", "*1\r\n+4\r\n", "*17\r\n", "*1\r\n$1234567890\r\n"] {
        assert!(replies(&mut Bare::new(), wrong.as_bytes(), 64).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_request_that_is_longer_than_what_is_read_at_once_is_answered() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("it is a socket");
    thread::spawn(|| plain::serve(mio::net::TcpListener::from_std(listener), Bare::new()));
    let mix = Mix::parse("get=1,set=1").unwrap();
    let settings = Settings { value_bytes: 1_000_000, ..settings(mix, 3, 4) };
    let mut batches = Batches::new(settings, 7);
    let streams = connect::open(address, 2).expect("the bare loop accepts");
    let mut load = Load::new(streams, 2).expect("the system has epoll");
    let outcome = load.run(&mut batches, Pace::Closed, End::Requests(40), &mut |_| ()).unwrap();
    assert!(outcome.requests >= 40);
    assert_eq!(outcome.errors, 0);
}

// Connections

#[test]
fn many_connections_come_from_several_addresses() {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 6379));
    assert_eq!(connect::source(local, 4_999), None);
    assert_eq!(connect::source(local, 5_000), Some(Ipv4Addr::new(127, 0, 0, 2)));
    assert_eq!(connect::source(local, 18_999), Some(Ipv4Addr::new(127, 0, 0, 4)));
    let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 6379));
    assert_eq!(connect::source(elsewhere, 18_999), None);
}

/// Takes three bytes at a time, and nothing every other time.
#[derive(Default)]
struct Narrow {
    taken: Vec<u8>,
    is_full: bool,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_full = !self.is_full;
        if !self.is_full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = bytes.len().min(3);
        self.taken.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_socket_does_not_take_is_sent_later_and_in_order() {
    let (mut outbox, mut narrow) = (Outbox::default(), Narrow::default());
    outbox.send(&mut narrow, b"first, ").unwrap();
    outbox.send(&mut narrow, b"second").unwrap();
    for _ in 0..20 {
        outbox.flush(&mut narrow).unwrap();
    }
    assert_eq!(narrow.taken, b"first, second");
}

/// Connections to a floor that runs as long as the test.
fn load(connections: usize, active: usize) -> Load {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("it is a socket");
    thread::spawn(|| plain::serve(mio::net::TcpListener::from_std(listener), Floor::new(3)));
    let streams = connect::open(address, connections).expect("the floor accepts");
    Load::new(streams, active).expect("the system has epoll")
}

#[test]
fn a_closed_loop_sends_what_was_asked_for() {
    let mut load = load(20, 10);
    let mut batches = batches("get=5,set=3,lock=2", 100, 4);
    let warm_up = load.warm_up(&mut batches).unwrap();
    assert!(warm_up.requests >= 40, "{}", warm_up.requests);
    let mut shares = Vec::new();
    let mut progress = |share| shares.push(share);
    let outcome =
        load.run(&mut batches, Pace::Closed, End::Requests(5_000), &mut progress).unwrap();
    // The last batch is sent whole.
    assert!((5_000..5_008).contains(&outcome.requests), "{}", outcome.requests);
    assert_eq!((outcome.errors, outcome.unsent), (0, 0));
    assert_eq!(outcome.latencies.len(), outcome.requests);
}

#[test]
fn a_fixed_rate_is_sent_or_owned_up_to() {
    let mut load = load(10, 10);
    let mut batches = batches("set=1", 100, 2);
    let length = Duration::from_millis(200);
    let mut run =
        |rate| load.run(&mut batches, Pace::Rate(rate), End::After(length), &mut |_| ()).unwrap();
    // A busy machine may hold some up until the end.
    let slow = run(1_000.0);
    assert_eq!(slow.requests + 2 * slow.unsent, 200);
    assert!(slow.time >= length);
    // More than anybody can answer: what is not sent is in the latencies.
    let fast = run(5_000_000.0);
    assert!(fast.unsent > 0);
    assert!(fast.requests + 2 * fast.unsent >= 1_000_000, "all of them");
    assert_eq!(fast.latencies.len(), fast.requests + 2 * fast.unsent);
}
