//! Times to live: EX, PX, EXAT, PXAT, and JITTER.

use super::parse::{integer, is};
use crate::clock::Now;
use crate::commands::CommandError;

/// How an amount of time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Unit {
    /// Seconds rather than milliseconds.
    pub(in crate::commands) seconds: bool,
    /// A Unix time rather than a span from now.
    pub(in crate::commands) absolute: bool,
}

impl Unit {
    pub(in crate::commands) const EX: Unit = Unit { seconds: true, absolute: false };
    pub(in crate::commands) const PX: Unit = Unit { seconds: false, absolute: false };
    pub(in crate::commands) const EXAT: Unit = Unit { seconds: true, absolute: true };
    pub(in crate::commands) const PXAT: Unit = Unit { seconds: false, absolute: true };

    /// The unit that an option word names.
    pub(in crate::commands) fn of(word: &[u8]) -> Option<Unit> {
        match () {
            () if is(word, "ex") => Some(Unit::EX),
            () if is(word, "px") => Some(Unit::PX),
            () if is(word, "exat") => Some(Unit::EXAT),
            () if is(word, "pxat") => Some(Unit::PXAT),
            () => None,
        }
    }
}

/// The deadline in Unix ms that a positive amount stands for, as in SET and
/// GETEX; zero, a negative amount and what does not fit 63 bits are refused.
pub(in crate::commands) fn positive_deadline(
    amount: &[u8],
    unit: Unit,
    now: Now,
    command: &'static str,
) -> Result<u64, CommandError> {
    let amount = integer(amount)?;
    if amount <= 0 {
        return Err(CommandError::InvalidExpire { command });
    }
    deadline(amount, unit, now, command).map(|deadline_ms| deadline_ms as u64)
}

/// The deadline in Unix ms that an amount stands for, as in EXPIRE: it may be
/// in the past and even negative.
pub(in crate::commands) fn deadline(
    amount: i64,
    unit: Unit,
    now: Now,
    command: &'static str,
) -> Result<i64, CommandError> {
    let amount_ms = if unit.seconds { amount.checked_mul(1_000) } else { Some(amount) };
    let base_ms = if unit.absolute { 0 } else { now.unix_ms() as i64 };
    amount_ms
        .and_then(|amount_ms| amount_ms.checked_add(base_ms))
        .ok_or(CommandError::InvalidExpire { command })
}

/// JITTER's percentage: 0 to 100.
pub(in crate::commands) fn jitter_percent(arg: &[u8]) -> Result<u8, CommandError> {
    let percent = integer(arg)?;
    u8::try_from(percent)
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or(CommandError::fixed("ERR JITTER must be a percentage between 0 and 100"))
}

/// The deadline brought nearer by a random share, of at most `percent`, of the
/// time that is left, but never to now: keys written together do not expire
/// together, and none lives longer than was asked for.
pub(in crate::commands) fn jittered(
    deadline_ms: u64,
    percent: u8,
    now: Now,
    rng: &mut fastrand::Rng,
) -> u64 {
    let left_ms = deadline_ms.saturating_sub(now.unix_ms());
    let most_ms = u128::from(left_ms) * u128::from(percent) / 100;
    let most_ms = u64::try_from(most_ms).unwrap_or(u64::MAX).min(left_ms.saturating_sub(1));
    deadline_ms - rng.u64(0..=most_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { monotonic: std::time::Duration::ZERO, unix_us: 1_000_000_000 };

    #[test]
    fn amounts_become_deadlines_or_are_refused() {
        let of = |text: &str, unit| positive_deadline(text.as_bytes(), unit, NOW, "set");
        assert_eq!(of("10", Unit::EX), Ok(1_010_000));
        assert_eq!(of("10", Unit::PXAT), Ok(10));
        let refused = Err(CommandError::InvalidExpire { command: "set" });
        assert_eq!(of("0", Unit::PX), refused);
        assert_eq!(of("-1", Unit::EXAT), refused);
        assert_eq!(of("9223372036854775807", Unit::PX), refused);
        assert_eq!(of("9223372036854775807", Unit::PXAT), Ok(i64::MAX as u64));
        assert_eq!(of("9223372036854776", Unit::EXAT), refused);
        assert_eq!(of("x", Unit::EX), Err(CommandError::NotInteger));
    }

    #[test]
    fn jitter_shortens_within_bounds_and_never_to_nothing() {
        let mut rng = fastrand::Rng::with_seed(7);
        let jittered: Vec<u64> =
            (0..1_000).map(|_| jittered(1_001_000, 10, NOW, &mut rng)).collect();
        assert!(jittered.iter().all(|deadline_ms| (1_000_900..=1_001_000).contains(deadline_ms)));
        assert!(jittered.iter().any(|deadline_ms| *deadline_ms < 1_000_920), "it reaches far");
        assert!((0..100).all(|_| super::jittered(1_000_001, 100, NOW, &mut rng) == 1_000_001));
    }
}
