//! The only place that reads a clock.

use std::thread;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::clock::Now;

/// How long the system's time is taken to keep its distance from the monotonic one.
/// Somebody may set it, which is noticed after so long.
const SYSTEM_TIME_KEPT: Duration = Duration::from_micros(500);

/// Both axes, for one reading a turn rather than two.
#[derive(Debug)]
pub(super) struct Clock {
    /// When both were last read.
    read_at: Now,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { read_at: read_both() }
    }

    /// Both axes at this moment. To be called once a turn.
    #[inline]
    pub(super) fn now(&mut self) -> Now {
        let monotonic = monotonic();
        let passed = monotonic.saturating_sub(self.read_at.monotonic);
        if passed > SYSTEM_TIME_KEPT {
            self.read_at = read_both();
            return self.read_at;
        }
        // Less than a second.
        Now { monotonic, unix_us: self.read_at.unix_us + u64::from(passed.subsec_micros()) }
    }
}

/// Both axes, each read.
pub(super) fn read_both() -> Now {
    // A system clock before 1970 is a clock that was never set.
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { monotonic: monotonic(), unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX) }
}

/// The monotonic axis alone, for durations within a turn. Its origin is the same for
/// all servers of a process, so that a plain function can be a stopwatch.
#[inline]
pub(super) fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The monotonic axis in nanoseconds; it lasts 584 years.
pub(super) fn stopwatch() -> u64 {
    nanoseconds(monotonic())
}

/// `time` in nanoseconds, as [`stopwatch`] has it.
#[inline]
pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

/// How long the calling thread has had the processor, in nanoseconds. A system call,
/// and so some twenty times as dear as the other clocks.
pub(super) fn thread_cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is ever negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Lets `time` pass with nothing done: DEBUG SLEEP.
pub(super) fn sleep(time: Duration) {
    thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_readings_are_of_the_same_axis() {
        let mut clock = Clock::new();
        let first = clock.now();
        let nanoseconds = stopwatch();
        let last = clock.now();
        assert!(first.monotonic <= last.monotonic);
        assert!(first.monotonic.as_nanos() <= u128::from(nanoseconds));
        assert!(u128::from(nanoseconds) <= last.monotonic.as_nanos());
        assert!(first.unix_s() > 1_600_000_000);
    }

    #[test]
    fn the_axes_keep_together_however_long_it_takes() {
        let mut clock = Clock::new();
        for pause_us in [0, 100, 600, 0, 2_000] {
            sleep(Duration::from_micros(pause_us));
            let (before, now, after) = (read_both(), clock.now(), read_both());
            assert!(before.monotonic <= now.monotonic && now.monotonic <= after.monotonic);
            // Unless the clock is being set just now.
            let at_most = u64::try_from((after.monotonic - before.monotonic).as_micros());
            let late_us = now.unix_us.abs_diff(before.unix_us);
            assert!(late_us <= at_most.expect("a short time") + 100, "{late_us}");
        }
    }
}
