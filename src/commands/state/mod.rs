//! What the commands know about the server as a whole, apart from keys and
//! clients.

mod environment;
mod grants;
mod latency;
mod persistence;
mod rate;
mod slow_log;
mod stats;
mod timer;
mod turns;

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use bytes::Bytes;

use super::histogram::Histogram;
use super::table::Table;
use crate::clock::Now;
use crate::keyspace::Discard;
pub use environment::{Environment, ProcessFigures, Stopwatch};
pub(crate) use grants::{Grant, Granted, Grants};
use latency::LatencyMonitor;
pub(crate) use latency::LatencySamples;
use persistence::Persistence;
pub(crate) use persistence::Runs;
use rate::Rate;
pub(crate) use slow_log::SlowEntry;
use slow_log::SlowLog;
use stats::{CommandStats, ServerStats};
use timer::Timer;
pub use turns::Stage;
use turns::{OpenTurn, TurnStats};

/// The server's state apart from keys and clients.
#[derive(Debug)]
pub(crate) struct ServerState {
    /// Since the start or CONFIG RESETSTAT.
    pub(crate) stats: ServerStats,
    /// Turns of the loop, since the same moment.
    pub(crate) turns: TurnStats,
    /// The turn of the loop that is under way.
    pub(crate) turn: OpenTurn,
    /// By [`Command::id`](super::Command::id).
    pub(crate) commands: Vec<CommandStats>,
    /// How long each command takes, by the same number; made when it is first
    /// run.
    pub(crate) latencies: Vec<Option<Histogram>>,
    /// SLOWLOG.
    pub(crate) slow_log: SlowLog,
    /// LATENCY.
    pub(crate) latency: LatencyMonitor,
    /// CLIENT PAUSE, while it lasts.
    pub(crate) pause: Option<Pause>,
    /// What has been granted to connections.
    pub(crate) grants: Grants,
    /// SHUTDOWN has been called, or a signal has asked for the end.
    pub(crate) shutdown: bool,
    /// When the server started.
    pub(crate) started: Now,
    /// 40 hexadecimal digits that tell this run from any other.
    pub(crate) run_id: String,
    /// What the process says about itself.
    pub(crate) process: ProcessFigures,
    /// Reads [`ProcessFigures`] anew.
    pub(crate) refresh_process: fn(&mut ProcessFigures),
    /// Lets time pass.
    pub(crate) sleep: fn(Duration),
    /// The buffer that the running request came in, if an argument may be taken over
    /// together with it.
    pub(crate) input: Option<Bytes>,
    /// Frees large buffers.
    pub(crate) discard: Discard,
    /// The most that `maxclients` may be.
    pub(crate) clients_max: Option<usize>,
    /// For RANDOMKEY, JITTER and the like.
    pub(crate) rng: fastrand::Rng,
    /// For durations.
    pub(crate) stopwatch: Stopwatch,
    /// How long the loop's thread has had the processor, in nanoseconds.
    pub(crate) thread_cpu_time: Stopwatch,
    /// Times the commands of a batch.
    pub(crate) timer: Timer,
    /// Operations in the current and the last full second, for INFO.
    pub(crate) rate: Rate,
    /// Most memory seen, in bytes.
    pub(crate) peak_rss_bytes: u64,
    /// The journal and snapshots.
    pub(crate) persistence: Persistence,
    /// Something keeps some commands from running: data is being loaded, or the
    /// journal cannot be written or is too far behind.
    pub(crate) is_obstructed: bool,
    /// CONFIG SET has changed something: after the command the engine brings up
    /// to date what it keeps copies of.
    pub(crate) config_changed: bool,
}

impl ServerState {
    /// A server that has just started.
    pub(crate) fn new(table: &Table, environment: Environment, now: Now) -> ServerState {
        let Environment {
            seed,
            stopwatch,
            thread_cpu_time,
            sleep,
            process,
            refresh_process,
            discard,
            clients_max,
        } = environment;
        // The seed also keys the hash function. What clients see of the random
        // numbers must not lead back to it, so it goes through SipHash first.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seed);
        let mut rng = fastrand::Rng::with_seed(hasher.finish());
        let run_id = (0..40).map(|_| char::from_digit(rng.u32(..16), 16).unwrap_or('0')).collect();
        ServerState {
            stats: ServerStats::default(),
            turns: TurnStats::default(),
            turn: OpenTurn::default(),
            commands: vec![CommandStats::default(); table.all().len()],
            latencies: vec![None; table.all().len()],
            slow_log: SlowLog::default(),
            latency: LatencyMonitor::default(),
            pause: None,
            grants: Grants::default(),
            shutdown: false,
            started: now,
            run_id,
            process,
            refresh_process,
            sleep,
            input: None,
            discard,
            clients_max,
            rng,
            stopwatch,
            thread_cpu_time,
            timer: Timer::default(),
            rate: Rate::default(),
            peak_rss_bytes: 0,
            persistence: Persistence { last_save_s: now.unix_s(), ..Persistence::default() },
            is_obstructed: false,
            config_changed: false,
        }
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_stats(&mut self) {
        self.stats = ServerStats::default();
        self.turns = TurnStats::default();
        self.commands.fill(CommandStats::default());
        self.latencies.fill(None);
        self.rate = Rate::default();
        self.persistence.delayed_syncs_reset = self.persistence.delayed_syncs;
    }

    /// Counts an error reply, `text` being what follows the `-`.
    pub(crate) fn count_error(&mut self, text: &[u8]) {
        self.stats.errors += 1;
        let code = text.split(|&byte| byte == b' ').next().unwrap_or(text);
        if let Some(count) = self.stats.errors_by_code.get_mut(code) {
            *count += 1;
        } else if self.stats.errors_by_code.len() < ServerStats::ERROR_CODES_MAX {
            self.stats.errors_by_code.insert(code.into(), 1);
        }
    }
}

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    /// When it ends, on the monotonic axis.
    pub(crate) until: Duration,
    /// It holds back only commands that write.
    pub(crate) writes_only: bool,
}
