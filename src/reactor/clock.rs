//! The only place that reads a clock.

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::Now;

/// The origin of the monotonic axis: when the first server of this process
/// started. One origin for all, so that a plain function can be a stopwatch.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Both axes at this moment. To be called once a turn.
pub(super) fn now() -> Now {
    // A system clock before 1970 is a clock that was never set.
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { monotonic: monotonic(), unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX) }
}

/// The monotonic axis alone, for durations within a turn.
pub(super) fn monotonic() -> Duration {
    // The origin is read first: it may be made by this very call.
    let origin = *ORIGIN;
    origin.elapsed()
}

/// The monotonic axis in nanoseconds; it lasts 584 years.
pub(super) fn stopwatch() -> u64 {
    nanoseconds(monotonic())
}

/// `time` in nanoseconds, as [`stopwatch`] has it.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

/// How long the calling thread has had the processor, in nanoseconds. A system call,
/// and so some twenty times as dear as the other clocks.
pub(super) fn thread_cpu_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
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
        let first = now();
        let nanoseconds = stopwatch();
        let last = now();
        assert!(first.monotonic <= last.monotonic);
        assert!(first.monotonic.as_nanos() <= u128::from(nanoseconds));
        assert!(u128::from(nanoseconds) <= last.monotonic.as_nanos());
        assert!(first.unix_s() > 1_600_000_000);
    }
}
