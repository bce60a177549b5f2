//! The options of SET and its relatives that say how long the key lives: EX,
//! PX, EXAT, PXAT with JITTER, or the one word that stands instead of them.

use super::parse::is;
use super::ttl::{self, Unit};
use crate::commands::{CommandError, Context};
use crate::keyspace::Deadline;
use crate::protocol::Args;

/// What the options have said so far.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Lifetime<'a> {
    /// KEEPTTL or PERSIST, lower case: what the command takes instead of a time.
    instead: &'static str,
    /// Whether that word was given.
    pub(in crate::commands) is_instead: bool,
    /// Whether an option may come twice, in which case the last one counts.
    repeatable: bool,
    until: Option<(Unit, &'a [u8])>,
    jitter_percent: Option<u8>,
}

impl<'a> Lifetime<'a> {
    /// Nothing said yet; `instead` is the word that excludes a time.
    pub(in crate::commands) const fn or(instead: &'static str) -> Lifetime<'a> {
        Lifetime { instead, is_instead: false, repeatable: true, until: None, jitter_percent: None }
    }

    /// The same, where Redis refuses options that are repeated.
    pub(in crate::commands) const fn once_or(instead: &'static str) -> Lifetime<'a> {
        Lifetime { repeatable: false, ..Lifetime::or(instead) }
    }

    /// Reads the option at `at`, if it is one of these, and says how many
    /// arguments it took: 0 if it is another. Different ones exclude each other,
    /// except that JITTER goes with a time.
    pub(in crate::commands) fn read(
        &mut self,
        args: Args<'a>,
        at: usize,
    ) -> Result<usize, CommandError> {
        let word = &args[at];
        if is(word, self.instead) {
            if self.until.is_some() || self.is_instead && !self.repeatable {
                return Err(CommandError::Syntax);
            }
            self.is_instead = true;
            return Ok(1);
        }
        if is(word, "jitter") {
            let percent = args.get(at + 1).ok_or(CommandError::Syntax)?;
            if self.jitter_percent.is_some() && !self.repeatable {
                return Err(CommandError::Syntax);
            }
            self.jitter_percent = Some(ttl::jitter_percent(percent)?);
            return Ok(2);
        }
        let Some(unit) = Unit::of(word) else { return Ok(0) };
        let amount = args.get(at + 1).ok_or(CommandError::Syntax)?;
        let excluded = |(other, _)| other != unit || !self.repeatable;
        if self.is_instead || self.until.is_some_and(excluded) {
            return Err(CommandError::Syntax);
        }
        self.until = Some((unit, amount));
        Ok(2)
    }

    /// Whether a time was given.
    pub(in crate::commands) fn has_time(&self) -> bool {
        self.until.is_some()
    }

    /// Whether the time was given as a Unix time.
    pub(in crate::commands) fn is_absolute(&self) -> bool {
        self.until.is_some_and(|(unit, _)| unit.absolute)
    }

    /// The deadline in Unix ms, before JITTER; `None` without a time.
    pub(in crate::commands) fn deadline_ms(
        &self,
        context: &Context<'_>,
        command: &'static str,
    ) -> Result<Option<u64>, CommandError> {
        match self.until {
            Some((unit, amount)) => {
                ttl::positive_deadline(amount, unit, context.now, command).map(Some)
            }
            None if self.jitter_percent.is_some() => {
                Err(CommandError::fixed("ERR JITTER requires EX, PX, EXAT or PXAT"))
            }
            None => Ok(None),
        }
    }

    /// The deadline with a JITTER of its own: keys that are written by one
    /// command are not to expire together either.
    pub(in crate::commands) fn jittered(&self, deadline_ms: u64, context: &mut Context<'_>) -> u64 {
        match self.jitter_percent {
            Some(percent) => {
                ttl::jittered(deadline_ms, percent, context.now, &mut context.server.rng)
            }
            None => deadline_ms,
        }
    }

    /// What happens to the deadline of a key that is overwritten, `deadline_ms`
    /// being what [`Lifetime::deadline_ms`] has answered.
    pub(in crate::commands) fn on_overwrite(
        &self,
        deadline_ms: Option<u64>,
        context: &mut Context<'_>,
    ) -> Deadline {
        match deadline_ms {
            Some(deadline_ms) => Deadline::At(self.jittered(deadline_ms, context)),
            None if self.is_instead => Deadline::Keep,
            None => Deadline::Never,
        }
    }
    /// The same where the key's deadline stays unless an option says otherwise, and
    /// the word that excludes a time is PERSIST.
    pub(in crate::commands) fn on_change(
        &self,
        deadline_ms: Option<u64>,
        context: &mut Context<'_>,
    ) -> Deadline {
        match deadline_ms {
            Some(deadline_ms) => Deadline::At(self.jittered(deadline_ms, context)),
            None if self.is_instead => Deadline::Never,
            None => Deadline::Keep,
        }
    }
}
