//! How long commands take, at less than a reading of the clock for each.
//!
//! A reading costs as much as a tenth of a GET. So commands that are
//! [brief](crate::commands::flags::BRIEF), one behind the other in one batch and all
//! the same, are timed together, and each is taken to have had an equal share of the
//! time. Of brief commands that come alone, one in sixteen of a kind is timed, and the
//! others are taken to have had its time, unless that was long. Whatever may take
//! longer is timed by itself: only what is can get into SLOWLOG.
//!
//! A command's time counts from the end of the one before it in the batch.

use super::ServerState;

/// Commands that are timed together at the most: if one of them is held up, no more
/// than these share the blame.
const RUN_MAX: u64 = 16;

/// Brief commands of a kind that come alone and are not timed after one that was.
const UNTIMED_MAX: u8 = 15;

/// None are left out after one that took longer than this.
const STEADY_NS_MAX: u64 = 50_000;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timer {
    /// The stopwatch's last reading.
    read_at_ns: u64,
    /// It was read in the batch that runs, and nothing but commands has taken time since.
    is_running: bool,
    /// The brief command that has run since, and how often.
    run: Run,
    /// The requests that run now were sent together.
    pub(crate) is_pipelined: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Run {
    command: usize,
    count: u64,
}

impl Timer {
    /// When the last command has ended, in nanoseconds, if that was timed and nothing has
    /// been done since.
    #[inline]
    pub(super) fn ended_ns(&self) -> Option<u64> {
        self.is_running.then_some(self.read_at_ns)
    }
}

impl ServerState {
    /// A batch of requests begins, perhaps within another one.
    #[inline]
    pub(crate) fn start_watch(&mut self, keep_histogram: bool) {
        self.stop_watch(keep_histogram);
        self.timer.is_running = false;
        self.timer.is_pipelined = false;
    }

    /// Something other than commands takes time: the last reading says no more when it
    /// has ended.
    #[inline]
    pub(crate) fn note_other_work(&mut self) {
        self.timer.is_running = false;
    }

    /// When a command that is about to run begins, in nanoseconds.
    #[inline]
    pub(crate) fn begun_ns(&mut self) -> u64 {
        if !self.timer.is_running {
            self.timer.read_at_ns = (self.stopwatch)();
            self.timer.is_running = true;
        }
        self.timer.read_at_ns
    }

    /// Whether a brief command that has come alone, and is about to run, need not be
    /// timed.
    #[inline]
    pub(crate) fn skips_timing(&mut self, command: usize) -> bool {
        let left = &mut self.commands[command].untimed_left;
        let skips = *left > 0;
        *left -= u8::from(skips);
        skips
    }

    /// A brief command that has come alone was timed.
    #[inline]
    pub(crate) fn note_alone(&mut self, command: usize, time_ns: u64) {
        let stats = &mut self.commands[command];
        stats.last_ns = time_ns;
        stats.untimed_left = if time_ns <= STEADY_NS_MAX { UNTIMED_MAX } else { 0 };
    }

    /// A command has run that was not timed. Returns what it is taken to have taken.
    #[inline]
    pub(crate) fn untimed_ns(&mut self, command: usize) -> u64 {
        // What comes next begins later than what was timed last has ended.
        self.timer.is_running = false;
        self.commands[command].last_ns
    }

    /// A batch of requests has ended: what has run and is not timed yet, is.
    #[inline]
    pub(crate) fn stop_watch(&mut self, keep_histogram: bool) {
        if self.timer.run.count > 0 {
            self.end_run(keep_histogram);
        }
    }

    /// A command is about to run: the run before it has ended, unless it goes on.
    #[inline]
    pub(crate) fn end_other_run(&mut self, command: usize, keep_histogram: bool) {
        let Run { command: last, count } = self.timer.run;
        if count > 0 && (last != command || count >= RUN_MAX) {
            self.end_run(keep_histogram);
        }
    }

    /// A brief command has run, and goes on the run of its like.
    #[inline]
    pub(crate) fn extend_run(&mut self, command: usize) {
        self.timer.run = Run { command, count: self.timer.run.count + 1 };
    }

    /// A command has run that is timed by itself: its time in nanoseconds since
    /// `begun_ns`. If a run of its like went before it, that is taken to have had its
    /// usual time.
    #[inline]
    pub(crate) fn time_alone_ns(&mut self, begun_ns: u64, keep_histogram: bool) -> u64 {
        let now_ns = (self.stopwatch)();
        self.timer.read_at_ns = now_ns;
        let time_ns = now_ns.saturating_sub(begun_ns);
        let Run { command, count } = std::mem::take(&mut self.timer.run);
        if count == 0 {
            return time_ns;
        }
        let stats = &self.commands[command];
        let usual_ns = stats.time_ns / stats.calls.max(1);
        let run_ns = usual_ns.saturating_mul(count).min(time_ns);
        self.count_run(command, count, run_ns, keep_histogram);
        time_ns - run_ns
    }

    fn end_run(&mut self, keep_histogram: bool) {
        let now_ns = (self.stopwatch)();
        let time_ns = now_ns.saturating_sub(self.timer.read_at_ns);
        self.timer.read_at_ns = now_ns;
        let Run { command, count } = std::mem::take(&mut self.timer.run);
        self.count_run(command, count, time_ns, keep_histogram);
    }

    fn count_run(&mut self, command: usize, count: u64, time_ns: u64, keep_histogram: bool) {
        self.commands[command].time_ns += time_ns;
        if keep_histogram {
            let latencies = self.latencies[command].get_or_insert_default();
            latencies.record_many(time_ns / count, count);
        }
    }
}
