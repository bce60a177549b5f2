//! The kinds of values that are lists: of words, or of letters.

use super::kind::{Describe, Kind, ValueError, parse_memory};
use super::value::{BindAddress, NotifyFlags, OutputBufferLimit, OutputBufferLimits};

/// Most addresses that `bind` takes, as in Redis.
const BIND_ADDRESSES_MAX: usize = 16;

/// The addresses of `bind`.
pub(super) struct Addresses;

impl Kind<Vec<BindAddress>> for Addresses {
    fn parse(
        &self,
        value: &str,
        _current: &Vec<BindAddress>,
    ) -> Result<Vec<BindAddress>, ValueError> {
        let written: Vec<&str> = value.split_ascii_whitespace().collect();
        if written.len() > BIND_ADDRESSES_MAX {
            return Err(ValueError::Text("Too many bind addresses specified."));
        }
        if written.is_empty() {
            return Err(ValueError::Text("at least one address is needed"));
        }
        let parse = |text: &str| {
            BindAddress::parse(text).ok_or_else(|| ValueError::NotAddress(text.to_owned()))
        };
        written.into_iter().map(parse).collect()
    }

    fn print(&self, value: &Vec<BindAddress>) -> String {
        value.iter().map(BindAddress::to_string).collect::<Vec<_>>().join(" ")
    }
}

impl Describe for Addresses {
    fn allowed(&self) -> String {
        format!(
            "up to {BIND_ADDRESSES_MAX} of: an IPv4 or IPv6 address, '*', '::*', 'localhost', \
             each with '-' before it if it may be missing"
        )
    }

    fn placeholder(&self) -> &'static str {
        "ADDRESS..."
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// The limits of `client-output-buffer-limit`, in groups of four words. A
/// class that is not named keeps its limits.
pub(super) struct OutputLimits;

impl Kind<OutputBufferLimits> for OutputLimits {
    fn parse(
        &self,
        value: &str,
        current: &OutputBufferLimits,
    ) -> Result<OutputBufferLimits, ValueError> {
        let mut limits = *current;
        if value.is_empty() {
            return Ok(limits);
        }
        let words: Vec<&str> = value.split(' ').collect();
        let (groups, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            let text = "Wrong number of arguments in buffer limit configuration.";
            return Err(ValueError::Text(text));
        }
        for [class, hard, soft, seconds] in groups {
            let limit = match class.to_ascii_lowercase().as_str() {
                "normal" => &mut limits.normal,
                "replica" | "slave" => &mut limits.replica,
                "pubsub" => &mut limits.pubsub,
                _ => {
                    let text = "Invalid client class specified in buffer limit configuration.";
                    return Err(ValueError::Text(text));
                }
            };
            *limit = parse_limit(hard, soft, seconds).ok_or(ValueError::Text(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ))?;
        }
        Ok(limits)
    }

    fn print(&self, value: &OutputBufferLimits) -> String {
        value.to_string()
    }
}

fn parse_limit(hard: &str, soft: &str, seconds: &str) -> Option<OutputBufferLimit> {
    // Redis reads a missing last number as 0.
    let seconds: u32 = if seconds.is_empty() { 0 } else { seconds.parse().ok()? };
    if seconds > i32::MAX as u32 {
        return None;
    }
    Some(OutputBufferLimit::new(parse_memory(hard)?, parse_memory(soft)?, seconds))
}

impl Describe for OutputLimits {
    fn allowed(&self) -> String {
        "groups of CLASS HARD-BYTES SOFT-BYTES SOFT-SECONDS, CLASS being normal, replica or \
         pubsub"
            .to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "LIMITS..."
    }

    fn is_list(&self) -> bool {
        true
    }
}

/// The letters of `notify-keyspace-events`.
pub(super) struct Events;

impl Kind<NotifyFlags> for Events {
    fn parse(&self, value: &str, _current: &NotifyFlags) -> Result<NotifyFlags, ValueError> {
        NotifyFlags::parse(value)
            .ok_or(ValueError::Text("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."))
    }

    fn print(&self, value: &NotifyFlags) -> String {
        value.to_string()
    }
}

impl Describe for Events {
    fn allowed(&self) -> String {
        "any of the letters K E g $ l s h z x e t d m n A".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "LETTERS"
    }
}

/// Percentages, separated by one space.
pub(super) struct Percentiles;

impl Kind<Vec<f64>> for Percentiles {
    fn parse(&self, value: &str, _current: &Vec<f64>) -> Result<Vec<f64>, ValueError> {
        if value.is_empty() {
            return Ok(Vec::new());
        }
        value.split(' ').map(parse_percentile).collect()
    }

    fn print(&self, value: &Vec<f64>) -> String {
        let short = |percent: &f64| {
            let printed = format!("{percent:.6}");
            printed.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        value.iter().map(short).collect::<Vec<_>>().join(" ")
    }
}

fn parse_percentile(word: &str) -> Result<f64, ValueError> {
    // A number too large for an f64 is no number to Redis; a written infinity
    // is one, out of range.
    let overflowed =
        |percent: f64| percent.is_infinite() && word.contains(|c: char| c.is_ascii_digit());
    match word.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        Ok(percent) if !percent.is_nan() && !overflowed(percent) => Err(ValueError::Text(
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        )),
        _ => Err(ValueError::Text("Invalid latency-tracking-info-percentiles parameters")),
    }
}

impl Describe for Percentiles {
    fn allowed(&self) -> String {
        "numbers from 0 to 100".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "PERCENT..."
    }

    fn is_list(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_limits_change_only_the_named_classes() {
        let zero = OutputBufferLimit::default();
        let start = OutputBufferLimits { normal: zero, replica: zero, pubsub: zero };
        let set = |value: &str| OutputLimits.parse(value, &start).map(|l| l.to_string());
        let replica = set("REPLICA 1k 2k 3").unwrap();
        assert_eq!(replica, "normal 0 0 0 slave 1000 2000 3 pubsub 0 0 0");
        assert_eq!(set("slave 1k 2k 3").unwrap(), replica);
        assert_eq!(
            set("normal 1 2 3 normal 4 5 6").unwrap(),
            "normal 4 5 6 slave 0 0 0 pubsub 0 0 0"
        );
        assert_eq!(set("normal 1 2 ").unwrap(), "normal 1 2 0 slave 0 0 0 pubsub 0 0 0");
        assert_eq!(set("").unwrap(), start.to_string());
        for (wrong, start) in [
            ("normal 1 2", "Wrong number"),
            ("normal  1 2 3", "Wrong number"),
            ("master 1 2 3", "Invalid client class"),
            ("normal a 2 3", "Error in hard"),
            ("normal 1 2 -3", "Error in hard"),
            ("normal 1 2 3x", "Error in hard"),
        ] {
            let error = set(wrong).unwrap_err().to_string();
            assert!(error.starts_with(start), "{wrong}: {error}");
        }
    }

    #[test]
    fn percentiles_print_short() {
        let print = |value: &str| Percentiles.parse(value, &vec![]).map(|p| Percentiles.print(&p));
        assert_eq!(print("50 99.12345678901 100.0 0.1 1e1").unwrap(), "50 99.123457 100 0.1 10");
        assert_eq!(print("0.00000001 5. .5 +5").unwrap(), "0 5 0.5 5");
        assert_eq!(print("").unwrap(), "");
        for (wrong, text) in [
            ("a", "Invalid"),
            ("50  99", "Invalid"),
            ("1 ", "Invalid"),
            ("nan", "Invalid"),
            ("1e400", "Invalid"),
            ("1 a 200", "Invalid"),
            ("-1", "latency-tracking-info-percentiles parameters should"),
            ("inf", "latency-tracking-info-percentiles parameters should"),
        ] {
            assert!(print(wrong).unwrap_err().to_string().starts_with(text), "{wrong}");
        }
    }
}
