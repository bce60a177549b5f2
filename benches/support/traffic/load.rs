//! The load: any number of connections on one thread, each of which sends its next
//! batch when the last one is answered, or at a fixed rate.
//!
//! A batch is one write, and the replies to it are one read where they come
//! together. There is one clock reading for each read and no timer for any
//! connection.

use std::io::{self, ErrorKind, Read as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::outbox::Outbox;
use super::replies::{Malformed, Skipper, Tally};
use super::requests::Batches;
use super::schedule::Schedule;

/// Without any reply for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nothing is measured for longer than this and `End::After`'s time.
const RUN_MAX: Duration = Duration::from_secs(600);

/// What comes due at the very end of a fixed rate may be sent until so long after.
const GRACE: Duration = Duration::from_millis(10);

/// How often the progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Read at once.
const CHUNK: usize = 262_144;

/// Latencies above this count as this.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// When a connection sends its next batch.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// When the last one is answered.
    Closed,
    /// So many requests a second in all, evenly spread.
    Rate(f64),
}

/// When nothing more is sent.
#[derive(Clone, Copy)]
pub(crate) enum End {
    After(Duration),
    /// After so many requests, or a few more to complete a batch.
    Requests(u64),
}

/// What a run has come to.
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Replies among them that are errors.
    pub(crate) errors: u64,
    pub(crate) first_error: String,
    /// Batches that had come due and could not be sent, because those before them
    /// were still unanswered at the end. How long they had waited then is among the
    /// latencies.
    pub(crate) unsent: u64,
    /// From the first request to the last reply.
    pub(crate) time: Duration,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// The connections to one server.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    /// Those that send come first.
    connections: Vec<Connection>,
    active: usize,
    chunk: Vec<u8>,
    /// Nothing more is sent once this is set, whatever the end was to be.
    stops: Arc<AtomicBool>,
}

struct Connection {
    stream: mio::net::TcpStream,
    skipper: Skipper,
    outbox: Outbox,
    /// When the batch was sent, or was to be sent, that is not answered yet.
    begun: Instant,
    unanswered: u64,
    /// Batches that it has sent in this run.
    sent: u64,
}

impl Load {
    /// Of these connections only so many send, the others are there.
    pub(crate) fn new(streams: Vec<TcpStream>, active: usize) -> io::Result<Load> {
        let poll = Poll::new()?;
        let now = Instant::now();
        let mut connections = Vec::with_capacity(streams.len());
        for (number, stream) in spread(streams, active).into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            // An event comes when the state changes, so that it costs nothing to ask
            // for both from the beginning.
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number), interest)?;
            connections.push(Connection {
                stream,
                skipper: Skipper::default(),
                outbox: Outbox::default(),
                begun: now,
                unanswered: 0,
                sent: 0,
            });
        }
        let events = Events::with_capacity(1_024);
        Ok(Load { poll, events, connections, active, chunk: vec![0; CHUNK], stops: Arc::default() })
    }

    /// Setting it ends a run before its end: for whoever cannot say when that will be.
    pub(crate) fn stops(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stops)
    }

    /// One batch on each connection that sends: whatever a server does when it first
    /// hears from a client is done then.
    pub(crate) fn warm_up(&mut self, batches: &mut Batches) -> io::Result<Outcome> {
        let each_once = self.active as f64 * batches.requests_a_batch();
        self.run(batches, Pace::Closed, End::Requests(each_once as u64), &mut |_| ())
    }

    /// Loads the server; `progress` is told now and then what share is done.
    pub(crate) fn run(
        &mut self,
        batches: &mut Batches,
        pace: Pace,
        end: End,
        progress: &mut dyn FnMut(f64),
    ) -> io::Result<Outcome> {
        let (schedule, end) = match (pace, end) {
            (Pace::Closed, end) => (None, end),
            (Pace::Rate(rate), end) => {
                let length = match end {
                    End::After(time) => time,
                    End::Requests(requests) => Duration::from_secs_f64(requests as f64 / rate),
                };
                let interval = batches.requests_a_batch() / rate;
                (Some(Schedule::new(interval, self.active, length)), End::After(length + GRACE))
            }
        };
        for connection in &mut self.connections {
            connection.sent = 0;
        }
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3);
        let latencies = latencies.map_err(|error| io::Error::other(error.to_string()))?;
        let begun = Instant::now();
        let mut run = Run {
            connections: &mut self.connections[..],
            batches,
            schedule,
            end,
            stops: &self.stops,
            begun,
            now: begun,
            heard_at: begun,
            told_at: begun,
            sent: 0,
            tally: Tally::default(),
            latencies,
        };
        if run.schedule.is_none() {
            for who in 0..self.active {
                run.send_next(who)?;
            }
        }
        loop {
            run.send_due()?;
            if run.is_over() {
                break;
            }
            match self.poll.poll(&mut self.events, Some(run.longest_wait())) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                polled => polled?,
            }
            run.now = Instant::now();
            for event in &self.events {
                run.hear(event, &mut self.chunk)?;
            }
            run.check_patience()?;
            run.tell(progress);
        }
        Ok(run.finish(self.active))
    }
}

/// The connections that send first, chosen evenly from all of them.
fn spread(streams: Vec<TcpStream>, active: usize) -> Vec<TcpStream> {
    let count = streams.len();
    let numbered = streams.into_iter().enumerate();
    let (mut first, others): (Vec<_>, Vec<_>) =
        numbered.partition(|(number, _)| number * active % count < active);
    first.extend(others);
    first.into_iter().map(|(_, stream)| stream).collect()
}

/// One run while it lasts.
struct Run<'a> {
    connections: &'a mut [Connection],
    batches: &'a mut Batches,
    /// With a fixed rate.
    schedule: Option<Schedule>,
    end: End,
    stops: &'a AtomicBool,
    begun: Instant,
    /// The last time the clock was read.
    now: Instant,
    /// The last reply.
    heard_at: Instant,
    told_at: Instant,
    /// Requests.
    sent: u64,
    tally: Tally,
    latencies: Histogram<u64>,
}

impl Run<'_> {
    /// Whether more is to be sent.
    fn may_send(&self) -> bool {
        if self.stops.load(Ordering::Relaxed) {
            return false;
        }
        match self.end {
            End::After(time) => self.now - self.begun < time,
            End::Requests(requests) => self.sent < requests,
        }
    }

    fn is_over(&self) -> bool {
        self.sent == self.tally.replies && !self.may_send()
    }

    /// Sends a batch on a connection that is not waiting for replies, if one is due.
    fn send_next(&mut self, who: usize) -> io::Result<()> {
        if !self.may_send() {
            return Ok(());
        }
        let connection = &mut self.connections[who];
        connection.begun = match &self.schedule {
            Some(schedule) if schedule.owed(who, connection.sent) == 0 => return Ok(()),
            Some(schedule) => self.begun + schedule.intended(who, connection.sent),
            None => self.now,
        };
        let batch = self.batches.next(who);
        connection.unanswered = u64::from(batch.requests);
        connection.sent += 1;
        self.sent += u64::from(batch.requests);
        connection.outbox.send(&mut connection.stream, batch.bytes)
    }

    /// Sends what has come due on the connections that are free; the others send it
    /// when they are.
    fn send_due(&mut self) -> io::Result<()> {
        while let Some(schedule) = &mut self.schedule {
            let Some(who) = schedule.take_due(self.now - self.begun) else { break };
            if self.connections[who].unanswered == 0 {
                self.send_next(who)?;
            }
        }
        // Time has passed where much was due.
        if self.schedule.is_some() {
            self.now = Instant::now();
        }
        Ok(())
    }

    /// How long may be waited for events. The system counts milliseconds; shorter
    /// than one is not waited at all.
    fn longest_wait(&self) -> Duration {
        let passed = self.now - self.begun;
        let next = self.schedule.as_ref().and_then(Schedule::next_time);
        let end = match self.end {
            End::After(time) if passed < time => Some(time),
            _ => None,
        };
        let wait = next.or(end).map_or(PATIENCE, |time| time.saturating_sub(passed));
        Duration::from_millis(wait.min(PATIENCE).as_millis() as u64)
    }

    fn hear(&mut self, event: &Event, chunk: &mut [u8]) -> io::Result<()> {
        let Token(who) = event.token();
        let connection = &mut self.connections[who];
        connection.outbox.flush(&mut connection.stream)?;
        if !event.is_readable() && !event.is_read_closed() {
            return Ok(());
        }
        loop {
            let connection = &mut self.connections[who];
            let length = match connection.stream.read(chunk) {
                Ok(0) => return Err(io::Error::other("the server has closed a connection")),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.now = Instant::now();
            let before = self.tally.replies;
            let malformed = |Malformed(byte)| {
                io::Error::other(format!(
                    "not a reply: '{}' where none has it",
                    byte.escape_ascii()
                ))
            };
            connection.skipper.skip(&chunk[..length], &mut self.tally).map_err(malformed)?;
            let replies = self.tally.replies - before;
            if replies > 0 {
                self.heard_at = self.now;
                let latency = self.now.saturating_duration_since(connection.begun);
                self.latencies.saturating_record_n(latency.as_nanos() as u64, replies);
                connection.unanswered = connection
                    .unanswered
                    .checked_sub(replies)
                    .ok_or_else(|| io::Error::other("a reply to which there is no request"))?;
                if connection.unanswered == 0 {
                    self.send_next(who)?;
                }
            }
            // What comes later is another event.
            if length < chunk.len() && !event.is_read_closed() {
                return Ok(());
            }
        }
    }

    fn check_patience(&self) -> io::Result<()> {
        let unanswered = self.sent - self.tally.replies;
        if unanswered > 0 && self.now - self.heard_at > PATIENCE {
            let waited = PATIENCE.as_secs();
            let error = format!("{unanswered} requests have no reply, none came for {waited} s");
            return Err(io::Error::new(ErrorKind::TimedOut, error));
        }
        let planned = match self.end {
            End::After(time) => time,
            End::Requests(_) => Duration::ZERO,
        };
        if self.now - self.begun > planned + RUN_MAX {
            return Err(io::Error::new(ErrorKind::TimedOut, "the server is too slow for this"));
        }
        Ok(())
    }

    fn tell(&mut self, progress: &mut dyn FnMut(f64)) {
        if self.now - self.told_at < PROGRESS_EVERY {
            return;
        }
        self.told_at = self.now;
        progress(match self.end {
            End::After(time) => (self.now - self.begun).as_secs_f64() / time.as_secs_f64(),
            End::Requests(requests) => self.tally.replies as f64 / requests as f64,
        });
    }

    fn finish(mut self, active: usize) -> Outcome {
        let mut unsent = 0;
        let mut time = self.heard_at - self.begun;
        if let (Some(schedule), End::After(length)) = (&mut self.schedule, self.end) {
            // What came due after the last look at it was not sent either.
            while schedule.take_due(length).is_some() {}
            // However early the last one was: the rate is over the whole time.
            time = time.max(length - GRACE);
            let requests = self.batches.requests_a_batch().round() as u64;
            for (who, connection) in self.connections[..active].iter().enumerate() {
                let owed = schedule.owed(who, connection.sent);
                unsent += owed;
                for nth in connection.sent..connection.sent + owed {
                    let waited = length.saturating_sub(schedule.intended(who, nth));
                    self.latencies.saturating_record_n(waited.as_nanos() as u64, requests);
                }
            }
        }
        Outcome {
            requests: self.tally.replies,
            errors: self.tally.errors,
            first_error: self.tally.first_error(),
            unsent,
            time,
            latencies: self.latencies,
        }
    }
}
