//! What LATENCY keeps: the spikes of each event.

use std::collections::{BTreeMap, VecDeque};

use crate::clock::Now;

/// A latency event's samples: at most one a second, the worst of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatencySamples {
    /// `(unix_s, milliseconds)`, oldest first; at most
    /// [`LatencySamples::LEN_MAX`].
    pub(crate) samples: VecDeque<(u64, u64)>,
    /// The worst of all time.
    pub(crate) max_ms: u64,
}

impl LatencySamples {
    /// Samples kept of each event.
    pub(crate) const LEN_MAX: usize = 160;
}

/// LATENCY: spikes by event name.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatencyMonitor {
    /// By event, such as `command` or `expire-cycle`.
    pub(crate) events: BTreeMap<&'static str, LatencySamples>,
}

impl LatencyMonitor {
    /// Records a spike of `time_ms` if the threshold is set and reached.
    pub(crate) fn record(
        &mut self,
        event: &'static str,
        time_ms: u64,
        threshold_ms: u64,
        now: Now,
    ) {
        if threshold_ms == 0 || time_ms < threshold_ms {
            return;
        }
        let samples = self.events.entry(event).or_default();
        samples.max_ms = samples.max_ms.max(time_ms);
        if let Some((at, worst)) = samples.samples.back_mut()
            && *at == now.unix_s()
        {
            *worst = (*worst).max(time_ms);
            return;
        }
        if samples.samples.len() == LatencySamples::LEN_MAX {
            samples.samples.pop_front();
        }
        samples.samples.push_back((now.unix_s(), time_ms));
    }
}
