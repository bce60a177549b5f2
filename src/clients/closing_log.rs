//! Whom the server has closed, and why, for a log that no client can fill.

use std::time::Duration;

/// How often there is a line at most: whoever is closed can connect again, and be closed
/// again, as often as the network lets it.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// What is to be logged of those who have been closed: the first, and how many others.
#[derive(Debug, Default)]
pub(crate) struct ClosingLog {
    first: Option<String>,
    /// Those of whom there is no line, since the last one.
    others: u64,
    /// The monotonic time before which there is no other line.
    next_at: Duration,
}

impl ClosingLog {
    /// Somebody has been closed; `line` says who and why.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        match self.first {
            None => self.first = Some(line()),
            Some(_) => self.others += 1,
        }
    }

    /// The line to be logged at this monotonic time, if there is one.
    pub(crate) fn take(&mut self, now: Duration) -> Option<String> {
        let line = self.first.take()?;
        if now < self.next_at {
            self.others += 1;
            return None;
        }
        self.next_at = now + LINE_EVERY;
        Some(match std::mem::take(&mut self.others) {
            0 => line,
            others => format!("{line}; {others} others closed since the last such line"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_line_a_second_that_counts_the_others() {
        let mut log = ClosingLog::default();
        let mut lines = Vec::new();
        // Three of them in each of forty tenths of a second.
        for tenth in 0..40 {
            for number in 0..3 {
                log.note(|| format!("client {} closed", tenth * 3 + number));
            }
            lines.extend(log.take(Duration::from_millis(5_000 + tenth * 100)));
            assert_eq!(log.take(Duration::MAX), None, "it has been taken");
        }
        let others = |first, count| {
            format!("client {first} closed; {count} others closed since the last such line")
        };
        assert_eq!(lines, [others(0, 2), others(30, 29), others(60, 29), others(90, 29)]);
        log.note(|| "client 120 closed".to_owned());
        let line = log.take(Duration::from_millis(60_000));
        assert_eq!(line, Some(others(120, 27)));
        log.note(|| "client 121 closed".to_owned());
        let line = log.take(Duration::from_millis(61_000));
        assert_eq!(line.as_deref(), Some("client 121 closed"));
    }
}
