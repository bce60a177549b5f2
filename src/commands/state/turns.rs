//! How the loop fares: what its turns take, stage by stage, and what they do.
//!
//! The stages are told apart by readings of the stopwatch at their ends, and a stage
//! that had nothing to do is given none: its few nanoseconds count to the next one.
//! So a turn that runs one request costs one reading more than no figures at all.

use std::time::Duration;

use super::ServerState;
use crate::clock::Now;

/// What a turn of the loop does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Taking new connections.
    Accept,
    /// Reading requests, running them, and sending what they answer. What the end of a
    /// client's wait runs within this, because a request has ended it, counts to it.
    Requests,
    /// Removing keys that are due, and ending locks, holds and leases; telling of both.
    Expire,
    /// Going on with clients whose waits have ended otherwise.
    WakeUps,
    /// Freeing what was flushed.
    Free,
    /// Keeping: sealing what has changed for the journal, and walking for a snapshot.
    Keep,
    /// Sending all other output, and closing connections.
    Send,
}

impl Stage {
    /// All of them, in the order of their numbers.
    pub const ALL: [Stage; 7] = [
        Stage::Accept,
        Stage::Requests,
        Stage::Expire,
        Stage::WakeUps,
        Stage::Free,
        Stage::Keep,
        Stage::Send,
    ];

    /// As INFO calls it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Accept => "accept",
            Stage::Requests => "requests",
            Stage::Expire => "expire",
            Stage::WakeUps => "wakeups",
            Stage::Free => "free",
            Stage::Keep => "keep",
            Stage::Send => "send",
        }
    }
}

/// Nanoseconds by [`Stage`].
pub(crate) type StageTimes = [u64; Stage::ALL.len()];

/// Turns since the start or CONFIG RESETSTAT. All times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct TurnStats {
    /// Turns of the loop.
    pub(crate) turns: u64,
    /// Turns that took longer than a millisecond, waiting not included.
    pub(crate) over_1ms: u64,
    /// Those of them that had the processor for longer than a millisecond, while
    /// `loop-cpu-time` is on.
    pub(crate) over_1ms_cpu: u64,
    /// Waiting for events, which is no part of a turn.
    pub(crate) wait_ns: u64,
    /// By stage, over all turns.
    pub(crate) stages_ns: StageTimes,
    /// The longest turn.
    pub(crate) longest: TurnFigures,
    /// The longest turn of the last minute.
    pub(crate) recent: Recent,
    /// The most requests run in a turn.
    pub(crate) requests_max: u64,
    /// The most bytes received in a turn.
    pub(crate) input_bytes_max: u64,
    /// The most bytes sent in a turn.
    pub(crate) output_bytes_max: u64,
    /// How late the latest key was that the last turn which removed any has removed,
    /// in milliseconds.
    pub(crate) expire_lag_ms: u64,
    /// The most of these.
    pub(crate) expire_lag_max_ms: u64,
}

impl TurnStats {
    /// Keys that were due have been removed, the latest of them so late.
    pub(crate) fn note_expire_lag(&mut self, lag_ms: u64) {
        self.expire_lag_ms = lag_ms;
        self.expire_lag_max_ms = self.expire_lag_max_ms.max(lag_ms);
    }
}

/// What one turn took, in nanoseconds, and what it did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TurnFigures {
    /// From the end of the wait for events to the beginning of the next.
    pub(crate) busy_ns: u64,
    /// The same by stage.
    pub(crate) stages_ns: StageTimes,
    /// How long the loop's thread had the processor, if that was measured.
    pub(crate) cpu_ns: Option<u64>,
    /// When it began, on the monotonic axis.
    pub(crate) at: Duration,
    /// Requests run.
    pub(crate) requests: u64,
    /// Bytes received.
    pub(crate) input_bytes: u64,
    /// Bytes sent.
    pub(crate) output_bytes: u64,
}

/// The longest turn of the last minute: of each of the last ten seconds of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recent {
    /// By number of the ten seconds, modulo their count.
    longest_ns: [u64; Recent::PARTS],
    part: u64,
}

impl Recent {
    /// Six full ones, and the one that it is now.
    const PARTS: usize = 7;
    const PART_S: u64 = 10;

    /// Forgets what is older than a minute.
    fn advance(&mut self, now: Duration) {
        let part = now.as_secs() / Recent::PART_S;
        let passed = part.saturating_sub(self.part).min(Recent::PARTS as u64);
        for gone in 0..passed {
            self.longest_ns[((part - gone) % Recent::PARTS as u64) as usize] = 0;
        }
        self.part = part;
    }

    #[inline]
    fn note(&mut self, busy_ns: u64, now: Duration) {
        self.advance(now);
        let longest_ns = &mut self.longest_ns[(self.part % Recent::PARTS as u64) as usize];
        *longest_ns = busy_ns.max(*longest_ns);
    }

    /// The longest turn of the last minute and up to ten seconds more.
    pub(crate) fn longest_ns(mut self, now: Duration) -> u64 {
        self.advance(now);
        self.longest_ns.into_iter().max().unwrap_or(0)
    }
}

/// The turn that is under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenTurn {
    /// It has begun: whoever drives the engine may not tell of turns.
    is_open: bool,
    began_ns: u64,
    /// When the last stage ended.
    stage_ended_ns: u64,
    /// When the last turn ended; 0: there was none.
    last_ended_ns: u64,
    stages_ns: StageTimes,
    cpu_began_ns: Option<u64>,
    requests_before: u64,
    input_bytes_before: u64,
    output_bytes_before: u64,
}

/// A turn longer than this is counted as long: a client has noticed it.
const LONG_TURN_NS: u64 = 1_000_000;

impl ServerState {
    /// A turn begins at `at_ns` of the stopwatch.
    #[inline]
    pub(crate) fn begin_turn(&mut self, at_ns: u64, measures_cpu: bool) {
        let last_ended_ns = self.turn.last_ended_ns;
        if last_ended_ns > 0 {
            self.turns.wait_ns += at_ns.saturating_sub(last_ended_ns);
        }
        self.turn = OpenTurn {
            is_open: true,
            began_ns: at_ns,
            stage_ended_ns: at_ns,
            last_ended_ns,
            stages_ns: StageTimes::default(),
            cpu_began_ns: measures_cpu.then(self.thread_cpu_time),
            requests_before: self.stats.commands,
            input_bytes_before: self.stats.input_bytes,
            output_bytes_before: self.stats.output_bytes,
        };
    }

    /// What has happened since the last such call was this stage.
    #[inline]
    pub(crate) fn end_stage(&mut self, stage: Stage) {
        if self.turn.is_open {
            // If the last command was timed when it had ended, that is near enough to the
            // end of what was received, and a reading less. Not if more was done since:
            // large arguments read, or answers sent.
            let ended_ns = self.timer.ended_ns().filter(|&ended_ns| {
                stage == Stage::Requests && ended_ns > self.turn.stage_ended_ns
            });
            let now_ns = ended_ns.unwrap_or_else(self.stopwatch);
            self.end_stage_at(stage, now_ns);
        }
    }

    #[inline]
    fn end_stage_at(&mut self, stage: Stage, at_ns: u64) {
        let turn = &mut self.turn;
        turn.stages_ns[stage as usize] += at_ns.saturating_sub(turn.stage_ended_ns);
        turn.stage_ended_ns = at_ns;
    }

    /// The turn has ended at `at_ns`; its last stage was [`Stage::Send`]. Spikes of
    /// `threshold_ms` are noted for LATENCY.
    #[inline]
    pub(crate) fn end_turn(&mut self, at_ns: u64, threshold_ms: u64, now: Now) {
        if !self.turn.is_open {
            return;
        }
        self.end_stage_at(Stage::Send, at_ns);
        self.turn.is_open = false;
        self.turn.last_ended_ns = at_ns;
        let (turn, turns) = (&self.turn, &mut self.turns);
        // The counters may have been set back to zero meanwhile.
        let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        let busy_ns = at_ns.saturating_sub(turn.began_ns);
        let requests = since(self.stats.commands, turn.requests_before);
        let input_bytes = since(self.stats.input_bytes, turn.input_bytes_before);
        let output_bytes = since(self.stats.output_bytes, turn.output_bytes_before);
        turns.turns += 1;
        for (sum, time) in turns.stages_ns.iter_mut().zip(turn.stages_ns) {
            *sum += time;
        }
        turns.requests_max = turns.requests_max.max(requests);
        turns.input_bytes_max = turns.input_bytes_max.max(input_bytes);
        turns.output_bytes_max = turns.output_bytes_max.max(output_bytes);
        turns.recent.note(busy_ns, now.monotonic);
        let is_long = busy_ns > LONG_TURN_NS;
        if is_long || busy_ns > turns.longest.busy_ns {
            let cpu_ns =
                turn.cpu_began_ns.map(|began| (self.thread_cpu_time)().saturating_sub(began));
            turns.over_1ms += u64::from(is_long);
            turns.over_1ms_cpu += u64::from(cpu_ns.is_some_and(|cpu_ns| cpu_ns > LONG_TURN_NS));
            if busy_ns > turns.longest.busy_ns {
                turns.longest = TurnFigures {
                    busy_ns,
                    stages_ns: turn.stages_ns,
                    cpu_ns,
                    at: now.monotonic,
                    requests,
                    input_bytes,
                    output_bytes,
                };
            }
        }
        if threshold_ms > 0 {
            self.latency.record("turn", busy_ns / 1_000_000, threshold_ms, now);
        }
    }
}
