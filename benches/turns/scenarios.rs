//! What is measured, each with a fresh server.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Socket, Type};

use super::figures::{Value, quantile};
use super::probe::{Answer, Probe};
use super::subject::Subject;
use super::{Result, Sizes};

/// How long memory and late events are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long other keys live, which must not end meanwhile.
const HOUR_MS: u64 = 3_600_000;

/// The most that a server may take for the expiry of all keys.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(90);

/// Time between two points of a timeline.
pub(crate) const STEP: Duration = Duration::from_millis(10);

/// A name and a value, in the order in which they are shown.
pub(crate) type Row = Vec<(&'static str, Value)>;

/// A point of the timeline of a mass expiry.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    /// Seconds since the deadline.
    pub(crate) at_s: f64,
    pub(crate) keys: u64,
    /// The longest that the second client waited for an answer in this step, in
    /// microseconds.
    pub(crate) worst_us: f64,
}

/// Bytes per key, without and with a time to live.
pub(crate) fn memory(subject: &mut Subject, sizes: &Sizes, with_ttl: bool) -> Result<Row> {
    let from_ms = unix_ms() + HOUR_MS;
    let deadline_ms = |number: usize| from_ms + number as u64 * 7 % HOUR_MS;
    subject.fill(sizes.keys, with_ttl.then_some(&deadline_ms as &dyn Fn(usize) -> u64))?;
    let bytes = subject.grown_bytes()? / sizes.keys as f64;
    let name = if with_ttl { "a key with a time to live" } else { "a key" };
    Ok(vec![(name, Value::Bytes(bytes))])
}

/// The keyspace grows.
pub(crate) fn growth(subject: &mut Subject, sizes: &Sizes) -> Result<Row> {
    watched(subject, |subject| Ok(subject.fill(sizes.growth_keys, None)?))
}

/// All keys of [`growth`] are flushed.
pub(crate) fn flush(subject: &mut Subject) -> Result<Row> {
    let full = subject.grown_bytes()?;
    let mut back = None;
    let mut row = watched(subject, |subject| {
        let begun = Instant::now();
        subject.call(&["FLUSHALL"]);
        while begun.elapsed() < PATIENCE && back.is_none() {
            if subject.grown_bytes()? < full / 10.0 {
                back = Some(begun.elapsed());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    })?;
    row.push(("nine tenths of the memory are back after", Value::Micros(micros_or_nan(back))));
    row.push(("memory above an empty server's", Value::Bytes(subject.grown_bytes()?.max(0.0))));
    Ok(row)
}

/// One large value is deleted.
pub(crate) fn big(subject: &mut Subject, sizes: &Sizes) -> Result<Row> {
    let mut stream = TcpStream::connect(subject.address())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = sizes.big_bytes;
    write!(stream, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${length}\r\n")?;
    let chunk = vec![b'v'; 1 << 20];
    let mut left = length;
    while left > 0 {
        let count = left.min(chunk.len());
        stream.write_all(&chunk[..count])?;
        left -= count;
    }
    stream.write_all(b"\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    if answer != *b"+OK\r\n" {
        return Err("the large value is refused".into());
    }
    watched(subject, |subject| {
        subject.call(&["DEL", "big"]);
        Ok(())
    })
}

/// All keys are due in one millisecond.
pub(crate) fn expiry(subject: &mut Subject, sizes: &Sizes) -> Result<(Row, Vec<Point>)> {
    // Some are stored first, to know how long all will take.
    let begun = Instant::now();
    let sample = sizes.keys.div_ceil(20);
    subject.fill(sample, None)?;
    let expected = begun.elapsed().as_secs_f64() * sizes.keys as f64 / sample as f64;
    let deadline_ms = unix_ms() + (expected * 2_000.0) as u64 + 3_000;
    subject.fill(sizes.keys, Some(&|_| deadline_ms))?;
    if unix_ms() + 500 > deadline_ms {
        return Err("the keys were due before all were stored".into());
    }
    thread::sleep(Duration::from_millis(deadline_ms - unix_ms() - 400));
    let deadline = Instant::now() + Duration::from_millis(deadline_ms.saturating_sub(unix_ms()));
    let mut sizes_seen = Vec::new();
    let mut gone = None;
    let (answers, turns) = observed(subject, |subject| {
        while gone.is_none() && deadline.elapsed() < EXPIRY_PATIENCE {
            let keys = subject.keys();
            sizes_seen.push((Instant::now(), keys));
            if keys == 0 {
                gone = Some(deadline.elapsed());
            }
            thread::sleep(STEP);
        }
        Ok(())
    })?;
    let mut row = vec![("all gone after", Value::Micros(micros_or_nan(gone)))];
    let since: Vec<Answer> =
        answers.iter().copied().filter(|answer| answer.sent + answer.took > deadline).collect();
    row.extend(second_client(&since));
    row.extend(turns);
    Ok((row, timeline(&sizes_seen, &answers, deadline)))
}

/// The points, one for each time the keys were counted.
fn timeline(sizes: &[(Instant, u64)], answers: &[Answer], deadline: Instant) -> Vec<Point> {
    let seconds = |at: Instant| match at.checked_duration_since(deadline) {
        Some(since) => since.as_secs_f64(),
        None => -(deadline - at).as_secs_f64(),
    };
    let mut answers = answers.iter().peekable();
    let mut points = Vec::new();
    for &(at, keys) in sizes {
        let mut worst = Duration::ZERO;
        while let Some(answer) = answers.next_if(|answer| answer.sent + answer.took <= at) {
            worst = worst.max(answer.took);
        }
        points.push(Point { at_s: seconds(at), keys, worst_us: worst.as_secs_f64() * 1e6 });
    }
    points
}

/// How late `expired` events come, while many other keys have deadlines.
pub(crate) fn lag(subject: &mut Subject, sizes: &Sizes) -> Result<Row> {
    let from_ms = unix_ms() + HOUR_MS;
    subject.fill(sizes.other_keys, Some(&|number| from_ms + number as u64 * 7 % HOUR_MS))?;
    subject.call(&["CONFIG", "SET", "notify-keyspace-events", "Ex"]);
    let mut events = TcpStream::connect(subject.address())?;
    events.write_all(b"SUBSCRIBE __keyevent@0__:expired\r\n")?;
    let mut random = fastrand::Rng::with_seed(1);
    let first_ms = unix_ms() + 1_000;
    let mut last_ms = 0;
    for number in 0..sizes.lag_keys {
        let deadline_ms = first_ms + random.u64(..sizes.lag_span_ms);
        last_ms = last_ms.max(deadline_ms);
        let key = format!("due:{deadline_ms}:{number}");
        subject.call(&["SET", &key, "v", "PXAT", &deadline_ms.to_string()]);
    }
    let until_ms = last_ms + PATIENCE.as_millis() as u64;
    let mut lags_us = Vec::new();
    let mut text = String::new();
    let mut chunk = [0; 65_536];
    events.set_read_timeout(Some(Duration::from_millis(100)))?;
    while lags_us.len() < sizes.lag_keys && unix_ms() < until_ms {
        let length = match events.read(&mut chunk) {
            Ok(0) => return Err("the server has closed the subscription".into()),
            Ok(length) => length,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        let arrived_us = unix_us();
        text.push_str(&String::from_utf8_lossy(&chunk[..length]));
        // The last line may go on with the next read.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        for line in text[..whole].lines() {
            let deadline = line.strip_prefix("due:").and_then(|rest| rest.split(':').next());
            if let Some(deadline_ms) = deadline.and_then(|text| text.parse::<u64>().ok()) {
                lags_us.push(arrived_us.saturating_sub(deadline_ms * 1_000) as f64);
            }
        }
        text.drain(..whole);
    }
    lags_us.sort_by(f64::total_cmp);
    Ok(vec![
        ("events by 10 s after the last deadline", Value::Count(lags_us.len() as f64)),
        ("of keys", Value::Count(sizes.lag_keys as f64)),
        ("median of those", Value::Micros(quantile(&lags_us, 0.5))),
        ("99th percentile", Value::Micros(quantile(&lags_us, 0.99))),
        ("latest", Value::Micros(quantile(&lags_us, 1.0))),
    ])
}

/// Bytes per connection that has asked PING once.
pub(crate) fn idle(subject: &mut Subject, sizes: &Sizes) -> Result<Row> {
    let limit = (sizes.connections + 100).to_string();
    subject.call(&["CONFIG", "SET", "maxclients", &limit]);
    // Redis has no guests from other addresses than 127.0.0.1 without this; where it is
    // unknown it is not needed.
    subject.call(&["CONFIG", "SET", "protected-mode", "no"]);
    let before = subject.memory_bytes()?;
    let mut streams = Vec::with_capacity(sizes.connections);
    for number in 0..sizes.connections {
        let mut stream = connect_from(number, subject.address())?;
        stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        streams.push(stream);
    }
    for stream in &mut streams {
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        if answer != *b"+PONG\r\n" {
            return Err("a connection is refused".into());
        }
    }
    let each = |now: f64| Value::Bytes((now - before).max(0.0) / sizes.connections as f64);
    let at_once = each(subject.memory_bytes()?);
    thread::sleep(Duration::from_secs(8));
    Ok(vec![
        ("a connection after one PING", at_once),
        ("the same 8 s later", each(subject.memory_bytes()?)),
    ])
}

/// From several addresses, because one has too few ports for many connections.
fn connect_from(number: usize, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let own = Ipv4Addr::new(127, 0, 0, 2 + (number % 8) as u8);
    socket.bind(&SocketAddr::from((own, 0)).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Does `work` while a second client asks, and tells what both sides noticed.
fn watched(subject: &mut Subject, work: impl FnOnce(&mut Subject) -> Result<()>) -> Result<Row> {
    let (answers, turns) = observed(subject, work)?;
    let mut row = second_client(&answers);
    row.extend(turns);
    Ok(row)
}

/// The second client's answers, and what the loop says of its turns.
fn observed(
    subject: &mut Subject,
    work: impl FnOnce(&mut Subject) -> Result<()>,
) -> Result<(Vec<Answer>, Row)> {
    let probe = Probe::start(subject.address())?;
    thread::sleep(Duration::from_millis(100));
    subject.reset();
    work(subject)?;
    // What the last request has left to do is seen as well.
    thread::sleep(Duration::from_millis(200));
    let turns = subject.turns();
    let answers = probe.stop()?;
    let mut row = Row::new();
    if let Some(turns) = turns {
        row.push(("longest turn", Value::Micros(turns.longest_us)));
        row.push(("longest turn, processor time", Value::Micros(turns.longest_cpu_us)));
        row.push(("longest turn, stages", Value::Text(turns.stages)));
        row.push(("turns over 1 ms", Value::Count(turns.over_1ms)));
        row.push(("turns over 1 ms of processor time", Value::Count(turns.over_1ms_cpu)));
    }
    Ok((answers, row))
}

fn second_client(answers: &[Answer]) -> Row {
    let worst = answers.iter().map(|answer| answer.took).max();
    let stalls = answers.iter().filter(|answer| answer.took > Duration::from_millis(1)).count();
    vec![
        ("second client: worst answer", Value::Micros(micros_or_nan(worst))),
        ("second client: answers over 1 ms", Value::Count(stalls as f64)),
    ]
}

fn micros_or_nan(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("the clock is set").as_micros() as u64
}

fn unix_ms() -> u64 {
    unix_us() / 1_000
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
