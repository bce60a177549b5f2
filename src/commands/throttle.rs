//! CL.THROTTLE: may this be done now, and if not, when.
//!
//! The generic cell rate algorithm. A bucket leaks one unit each interval (period
//! divided by count) and holds as many as may come at once. All that has to be
//! kept of it is when it will be empty, the *theoretical arrival time* (TAT): the
//! key holds that, in nanoseconds of Unix time, and expires then.

use super::flags::{DENYOOM, FAST, WRITE};
use super::parse::integer;
use super::value::{counted, string_of};
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, NewValue, event};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "cl.throttle",
    arity: -5,
    flags: WRITE | DENYOOM | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::Rate,
    since: "0.1.0",
    summary: "Takes a quantity from a rate of so many in so many seconds, or says when to retry.",
    syntax: "key max_burst count period [quantity]",
    example: "
> CL.THROTTLE login:alice 1 6 60
1) (integer) 0
2) (integer) 2
3) (integer) 1
4) (integer) -1
5) (integer) 10
> CL.THROTTLE login:alice 1 6 60
1) (integer) 0
2) (integer) 2
3) (integer) 0
4) (integer) -1
5) (integer) 20
> CL.THROTTLE login:alice 1 6 60
1) (integer) 1
2) (integer) 2
3) (integer) 0
4) (integer) 10
5) (integer) 20
(10000 ms later)
> CL.THROTTLE login:alice 1 6 60
1) (integer) 0
2) (integer) 2
3) (integer) 0
4) (integer) -1
5) (integer) 20
",
    handler: throttle,
    ..Spec::BASE
};

const NS_PER_US: i128 = 1_000;
const NS_PER_MS: i128 = 1_000_000;
const NS_PER_S: i128 = 1_000_000_000;

/// Why nothing is stored.
enum Stop {
    /// The bucket stays as it is.
    Unchanged,
    /// It is empty, which is what an absent key says.
    Empty,
    Error(CommandError),
}

impl<E: Into<CommandError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Error(error.into())
    }
}

fn throttle(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    let rate = Rate::read(args)?;
    let quantity = match args.len() {
        5 => 1,
        6 => integer(&args[5])?,
        _ => return Err(CommandError::WrongArity { command: "cl.throttle".to_owned() }),
    };
    let now_ns = i128::from(context.now.unix_us) * NS_PER_US;
    let mut verdict = None;
    let stored = context.db.update(key, event::SET, |old| {
        let tat_ns = match string_of(old)? {
            Some(string) => i128::from(counted(Some(string))?).max(now_ns),
            None => now_ns,
        };
        let (ours, new_tat_ns) = rate.judge(tat_ns, now_ns, quantity);
        let Ok(stored_ns) = i64::try_from(new_tat_ns) else {
            return Err(Stop::Error(CommandError::fixed(
                "ERR the bucket would not be empty before the year 2262",
            )));
        };
        verdict = Some(ours);
        if new_tat_ns == tat_ns {
            return Err(Stop::Unchanged);
        }
        if new_tat_ns == now_ns {
            return Err(Stop::Empty);
        }
        let deadline_ms = divided_up(new_tat_ns, NS_PER_MS) as u64;
        Ok((NewValue::Int(stored_ns), Deadline::At(deadline_ms)))
    });
    match stored {
        Ok(()) => context.db.notify(key, event::EXPIRE),
        Err(Stop::Unchanged) => {}
        Err(Stop::Empty) => {
            context.db.remove(key, event::DEL);
        }
        Err(Stop::Error(error)) => return Err(error),
    }
    if let Some(verdict) = verdict {
        context.reply.array(5);
        context.reply.integer(i64::from(verdict.is_limited));
        context.reply.integer(rate.limit);
        context.reply.integer(verdict.remaining);
        context.reply.integer(verdict.retry_after_s.unwrap_or(-1));
        context.reply.integer(verdict.reset_after_s);
    }
    Ok(Outcome::Done)
}

/// What is allowed.
#[derive(Clone, Copy)]
struct Rate {
    /// The time after which one more is allowed, at most [`Rate::INTERVAL_MAX_NS`].
    interval_ns: i128,
    /// How many are allowed at once.
    limit: i64,
}

/// The answer for one request.
struct Verdict {
    is_limited: bool,
    /// How many more would be allowed now.
    remaining: i64,
    /// Whole seconds until the same request would be allowed, if it ever is and is
    /// not now.
    retry_after_s: Option<i64>,
    /// Whole seconds until the bucket is empty.
    reset_after_s: i64,
}

impl Rate {
    /// So that an interval times any number of 64 bits, twice added, still is one
    /// of 128 bits.
    const INTERVAL_MAX_NS: i128 = i64::MAX as i128;

    fn read(args: Args<'_>) -> Result<Rate, CommandError> {
        let max_burst = integer(&args[2])?;
        let (count, period_s) = (integer(&args[3])?, integer(&args[4])?);
        let limit = max_burst
            .checked_add(1)
            .ok_or(CommandError::fixed("ERR max_burst must be less than 9223372036854775807"))?;
        if count < 0 || period_s < 0 {
            return Err(CommandError::fixed("ERR count and period must be positive"));
        }
        let period_ns = i128::from(period_s) * NS_PER_S;
        let interval_ns = period_ns.checked_div(i128::from(count)).unwrap_or(0);
        if interval_ns == 0 {
            return Err(CommandError::fixed("ERR Zero rates are not supported"));
        }
        if interval_ns > Rate::INTERVAL_MAX_NS {
            return Err(CommandError::fixed(
                "ERR period divided by count must be at most 9223372036 seconds",
            ));
        }
        Ok(Rate { interval_ns, limit })
    }

    /// Judges a request, and gives the TAT after it. The one before is never in the
    /// past.
    fn judge(self, tat_ns: i128, now_ns: i128, quantity: i64) -> (Verdict, i128) {
        let increment_ns = self.interval_ns * i128::from(quantity);
        let tolerance_ns = self.interval_ns * i128::from(self.limit);
        let early_ns = tat_ns + increment_ns - tolerance_ns - now_ns;
        let is_limited = early_ns > 0;
        let will_be_allowed = increment_ns <= tolerance_ns;
        let retry_after_s = (is_limited && will_be_allowed).then(|| divided_up(early_ns, NS_PER_S));
        // A negative quantity gives back: at most all that is in the bucket.
        let new_tat_ns = if is_limited { tat_ns } else { (tat_ns + increment_ns).max(now_ns) };
        let left_ns = new_tat_ns - now_ns;
        let remaining = ((tolerance_ns - left_ns) / self.interval_ns).max(0);
        let verdict = Verdict {
            is_limited,
            // No more than the limit, which is an `i64`.
            remaining: remaining as i64,
            retry_after_s,
            reset_after_s: divided_up(left_ns, NS_PER_S),
        };
        (verdict, new_tat_ns)
    }
}

/// A span of time that is not negative in a larger unit, rounded up: who waits that
/// long does not come too early.
fn divided_up(ns: i128, unit_ns: i128) -> i64 {
    i64::try_from((ns + unit_ns - 1) / unit_ns).unwrap_or(i64::MAX)
}
