//! How long a command takes: a histogram of fixed size.

/// Durations by their order of magnitude: each power of two of nanoseconds is
/// cut into eight equal parts, so a duration is known to an eighth at worst.
///
/// It takes `BUCKETS` counters, whatever is recorded.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
}

/// Parts that a power of two is cut into, as a power of two.
const PART_BITS: u32 = 3;

/// Longer durations, over two minutes, count as this many nanoseconds.
const LONGEST_NS: u64 = (1 << 37) - 1;

const BUCKETS: usize = bucket(LONGEST_NS) + 1;

/// The finest that LATENCY HISTOGRAM shows, in nanoseconds: Redis's.
const SHOWN_NS_MIN: u64 = 1_024;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, time_ns: u64) {
        self.record_many(time_ns, 1);
    }

    /// Counts `count` durations of that length.
    #[inline]
    pub fn record_many(&mut self, time_ns: u64, count: u64) {
        self.counts[bucket(time_ns.min(LONGEST_NS))] += count;
        self.total += count;
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration in nanoseconds that `percent` of all do not exceed,
    /// rounded up to the end of its bucket; 0 when there are none.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        // A rounded rank, as in HdrHistogram; at least one must be covered.
        let rank = ((percent.clamp(0.0, 100.0) / 100.0) * self.total as f64 + 0.5) as u64;
        let mut covered = 0;
        for (index, count) in self.counts.iter().enumerate() {
            covered += count;
            if *count > 0 && covered >= rank.max(1) {
                return last_of(index);
            }
        }
        0
    }

    /// Pairs of microseconds, doubling, and of how many durations were below:
    /// only where that number rises.
    pub fn cumulative_us(&self) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        let (mut limit_ns, mut covered, mut shown) = (SHOWN_NS_MIN, 0, 0);
        let mut buckets = self.counts.iter().enumerate().peekable();
        while covered < self.total {
            // A power of two is the edge of a bucket, so this is exact.
            while let Some((_, count)) = buckets.next_if(|(index, _)| last_of(*index) < limit_ns) {
                covered += count;
            }
            if covered > shown {
                pairs.push((limit_ns / 1_000, covered));
                shown = covered;
            }
            limit_ns *= 2;
        }
        pairs
    }
}

const fn bucket(time_ns: u64) -> usize {
    if time_ns < 1 << PART_BITS {
        return time_ns as usize;
    }
    let magnitude = 63 - time_ns.leading_zeros();
    let shift = magnitude - PART_BITS;
    ((shift as usize) << PART_BITS) + (time_ns >> shift) as usize
}

/// The longest duration that falls into a bucket, in nanoseconds.
fn last_of(index: usize) -> u64 {
    let parts = 1 << PART_BITS;
    if index < 2 * parts {
        return index as u64;
    }
    let shift = index / parts - 1;
    ((index - shift * parts + 1) << shift) as u64 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_and_are_an_eighth_wide() {
        let mut next = 0;
        for index in 0..BUCKETS {
            let last = last_of(index);
            assert_eq!((bucket(next), bucket(last)), (index, index));
            assert!(last - next <= next / 8, "{next}..={last}");
            next = last + 1;
        }
        assert_eq!(next, LONGEST_NS + 1);
    }

    #[test]
    fn percentiles_cover_what_was_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile_ns(50.0), 0);
        for time_ns in 1..=1_000 {
            histogram.record(time_ns * 1_000);
        }
        for (percent, exact_ns) in [(0.0, 1_000), (50.0, 500_000), (99.9, 999_000)] {
            let found_ns = histogram.percentile_ns(percent);
            assert!((exact_ns..=exact_ns * 9 / 8).contains(&found_ns), "{percent}: {found_ns}");
        }
        histogram.record(u64::MAX);
        assert_eq!(histogram.percentile_ns(100.0), LONGEST_NS);
    }

    #[test]
    fn cumulative_counts_rise_and_end_at_the_total() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.cumulative_us(), []);
        for time_ns in [0, 1_023, 1_024, 5_000, 5_001, u64::MAX] {
            histogram.record(time_ns);
        }
        let last = (1u64 << 37) / 1_000;
        assert_eq!(histogram.cumulative_us(), [(1, 2), (2, 3), (8, 5), (last, 6)]);
    }
}
