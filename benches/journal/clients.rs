//! Clients that work in threads of their own until they are stopped.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::thread::set_current_timer_slack;

use crate::Result;
use crate::servers::{PATIENCE, Server};
use crate::traffic::connect::{self, call};
use crate::traffic::load::{End, Load, Outcome, Pace};
use crate::traffic::replies::{Skipper, Tally};
use crate::traffic::requests::Batches;

/// Latencies above this count as this.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// A load may last so long at the most.
const LOAD_MAX: Duration = Duration::from_secs(900);

/// How late a sleep may end.
const SLEEP_SLACK_NS: u64 = 1_000;

type Work<T> = std::result::Result<T, String>;

/// A thread that is told when to stop.
struct Worker<T> {
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<Work<T>>>,
}

impl<T: Send + 'static> Worker<T> {
    fn start(
        stops: Arc<AtomicBool>,
        work: impl FnOnce(&AtomicBool) -> Work<T> + Send + 'static,
    ) -> Worker<T> {
        let seen = Arc::clone(&stops);
        let thread = Some(thread::spawn(move || work(&seen)));
        Worker { stops, thread }
    }

    fn stop(mut self) -> Result<T> {
        self.stops.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken here only");
        Ok(thread.join().expect("it does not panic")?)
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
    }
}

/// What a [`Reader`] has seen.
pub(crate) struct Beats {
    /// In nanoseconds, from when each request was to be sent.
    latencies: Histogram<u64>,
}

impl Beats {
    /// In microseconds.
    pub(crate) fn latency_us(&self, share: f64) -> f64 {
        self.latencies.value_at_quantile(share) as f64 / 1e3
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.latencies.max() as f64 / 1e3
    }
}

/// When requests at a fixed rate are to be sent.
#[derive(Clone, Copy)]
struct Beat {
    begun: Instant,
    interval_s: f64,
}

impl Beat {
    fn new(rate: f64) -> Beat {
        Beat { begun: Instant::now(), interval_s: 1.0 / rate }
    }

    fn intended(&self, number: u64) -> Instant {
        self.begun + Duration::from_secs_f64(number as f64 * self.interval_s)
    }

    /// Sleeps until then; false if it is to be sent no more.
    fn wait(&self, number: u64, stops: &AtomicBool) -> bool {
        let early = self.intended(number).saturating_duration_since(Instant::now());
        if !early.is_zero() {
            thread::sleep(early);
        }
        !stops.load(Ordering::Relaxed) && self.begun.elapsed() < LOAD_MAX
    }
}

/// One connection that sends GETs at a fixed rate, whether or not those before are
/// answered: as many clients would of whom nobody waits for another. It sleeps in
/// between, where the load generator would keep the processor busy that it shares with
/// other clients.
pub(crate) struct Reader {
    sender: Worker<()>,
    receiver: JoinHandle<Work<Beats>>,
}

/// The sender does not know yet how many requests there are.
const UNKNOWN: u64 = u64::MAX;

impl Reader {
    /// So many requests a second.
    pub(crate) fn start(server: &Server, mut batches: Batches, rate: f64) -> Result<Reader> {
        let stream = server.connect()?;
        let mut output = stream.try_clone()?;
        let (beat, sent) = (Beat::new(rate), Arc::new(AtomicU64::new(UNKNOWN)));
        let all = Arc::clone(&sent);
        let send = move |stops: &AtomicBool| {
            sleep_exactly()?;
            let mut number = 0;
            let mut goes_on = true;
            while goes_on {
                goes_on = beat.wait(number, stops);
                number += 1;
                if !goes_on {
                    // It is known before the last reply comes, which ends the receiver.
                    all.store(number, Ordering::SeqCst);
                }
                output.write_all(batches.next(0).bytes).map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        let sender = Worker::start(Arc::default(), send);
        let receiver = thread::spawn(move || receive(stream, beat, &sent));
        Ok(Reader { sender, receiver })
    }

    /// All is answered then that had come due.
    pub(crate) fn stop(self) -> Result<Beats> {
        self.sender.stop()?;
        Ok(self.receiver.join().expect("it does not panic")?)
    }
}

fn receive(mut stream: TcpStream, beat: Beat, sent: &AtomicU64) -> Work<Beats> {
    let latencies = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3);
    let mut latencies: Histogram<u64> = latencies.map_err(|error| error.to_string())?;
    let (mut skipper, mut tally) = (Skipper::default(), Tally::default());
    let mut chunk = [0; 65_536];
    while tally.replies != sent.load(Ordering::SeqCst) {
        let length = stream.read(&mut chunk).map_err(|error| error.to_string())?;
        let (now, before) = (Instant::now(), tally.replies);
        if length == 0 {
            return Err("the server has closed a reader".to_owned());
        }
        let skipped = skipper.skip(&chunk[..length], &mut tally);
        skipped.map_err(|malformed| format!("not a reply: {malformed:?}"))?;
        for number in before..tally.replies {
            let latency = now.saturating_duration_since(beat.intended(number));
            latencies.saturating_record(latency.as_nanos() as u64);
        }
        if tally.errors > 0 {
            return Err(tally.first_error());
        }
    }
    Ok(Beats { latencies })
}

/// One connection that sends its next batch at a fixed rate, or when the last one is
/// answered if that is later. It sleeps as well.
pub(crate) struct Writer(Worker<f64>);

impl Writer {
    /// So many requests a second at the most.
    pub(crate) fn start(server: &Server, mut batches: Batches, rate: f64) -> Result<Writer> {
        let mut stream = server.connect()?;
        let beat = Beat::new(rate / batches.requests_a_batch());
        let work = move |stops: &AtomicBool| {
            sleep_exactly()?;
            let mut tally = Tally::default();
            let mut number = 0;
            while beat.wait(number, stops) {
                number += 1;
                let batch = batches.next(0);
                call(&mut stream, batch.bytes, u64::from(batch.requests), &mut tally)
                    .map_err(|error| error.to_string())?;
                if tally.errors > 0 {
                    return Err(tally.first_error());
                }
            }
            Ok(tally.replies as f64 / beat.begun.elapsed().as_secs_f64())
        };
        Ok(Writer(Worker::start(Arc::default(), work)))
    }

    /// The requests a second that were answered.
    pub(crate) fn stop(self) -> Result<f64> {
        self.0.stop()
    }
}

/// The system lets a thread sleep 50 us longer than it asks for, as long as several
/// replies take, unless it asks for less of that too.
fn sleep_exactly() -> Work<()> {
    set_current_timer_slack(NonZeroU64::new(SLEEP_SLACK_NS)).map_err(|error| error.to_string())
}

/// The load generator: as many requests as the server takes.
pub(crate) struct Flood(Worker<Outcome>);

impl Flood {
    /// So many connections, each of which sends its next batch when the last one is
    /// answered.
    pub(crate) fn start(
        server: &Server,
        mut batches: Batches,
        connections: usize,
    ) -> Result<Flood> {
        let streams = connect::open(server.address(), connections)?;
        for stream in &streams {
            stream.set_read_timeout(Some(PATIENCE))?;
        }
        let mut load = Load::new(streams, connections)?;
        let stops = load.stops();
        let work = move |_: &AtomicBool| {
            let end = End::After(LOAD_MAX);
            let ran = load.run(&mut batches, Pace::Closed, end, &mut |_| ());
            let outcome = ran.map_err(|error| error.to_string())?;
            match outcome.errors {
                0 => Ok(outcome),
                _ => Err(outcome.first_error),
            }
        };
        Ok(Flood(Worker::start(stops, work)))
    }

    /// All is answered then that was sent.
    pub(crate) fn stop(self) -> Result<Outcome> {
        self.0.stop()
    }
}
