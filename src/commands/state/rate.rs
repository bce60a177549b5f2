//! How much happens in a second.

use crate::clock::Now;

/// Commands and bytes per second, over the last full second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    second: u64,
    at_second_start: (u64, u64, u64),
    /// Commands in the last full second.
    pub(crate) commands: u64,
    /// Bytes received in the last full second.
    pub(crate) input_bytes: u64,
    /// Bytes sent in the last full second.
    pub(crate) output_bytes: u64,
}

impl Rate {
    /// Notes the totals at `now`.
    pub(crate) fn sample(&mut self, now: Now, commands: u64, input_bytes: u64, output_bytes: u64) {
        let second = now.unix_s();
        if second == self.second {
            return;
        }
        let seconds = second.saturating_sub(self.second).max(1);
        let per_second = |total: u64, before: u64| total.saturating_sub(before) / seconds;
        self.commands = per_second(commands, self.at_second_start.0);
        self.input_bytes = per_second(input_bytes, self.at_second_start.1);
        self.output_bytes = per_second(output_bytes, self.at_second_start.2);
        self.at_second_start = (commands, input_bytes, output_bytes);
        self.second = second;
    }
}
