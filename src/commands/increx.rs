//! INCREX: count within bounds, and set the time to live in the same step.

use std::cmp::Ordering;

use super::flags::{DENYOOM, FAST, WRITE};
use super::lifetime::Lifetime;
use super::parse::is;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use super::{incrbyfloat, value};
use crate::keyspace::{Deadline, Event, NewValue, Value, event};
use crate::long_double::LongDouble;
use crate::protocol::{Args, Reply, Version, number};

pub(super) static SPEC: Spec = Spec {
    name: "increx",
    arity: -2,
    flags: WRITE | DENYOOM | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::String,
    since: "8.8.0",
    summary: "Adds to the number under a key within bounds, and sets the key's time to live.",
    syntax: "key [BYINT increment|BYFLOAT increment] [LBOUND lowerbound] [UBOUND upperbound] \
             [SATURATE] [EX seconds|PX milliseconds|EXAT unix-time-seconds|\
             PXAT unix-time-milliseconds|PERSIST] [ENX] [JITTER percent]",
    example: "
> INCREX calls UBOUND 2 EX 60 ENX
1) (integer) 1
2) (integer) 1
> INCREX calls UBOUND 2 EX 60 ENX
1) (integer) 2
2) (integer) 1
> INCREX calls UBOUND 2 EX 60 ENX
1) (integer) 2
2) (integer) 0
(60000 ms later)
> INCREX calls UBOUND 2 EX 60 ENX
1) (integer) 1
2) (integer) 1
",
    handler: increx,
    ..Spec::BASE
};

/// Why nothing is stored.
enum Stop {
    OutOfBounds,
    /// The key gets a deadline that has passed.
    Gone,
    Error(CommandError),
}

fn increx(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    let options = Options::read(args)?;
    let change = options.change()?;
    let deadline_ms = options.lifetime.deadline_ms(context, "increx")?;
    let gone = options.lifetime.is_absolute()
        && deadline_ms.is_some_and(|deadline_ms| deadline_ms <= context.now.unix_ms());
    let deadline = options.lifetime.on_change(deadline_ms, context);
    let mut step = None;
    let mut had_deadline = false;
    let updated = context.db.update(key, change.event(), |old| {
        let string = value::string_of(old).map_err(|error| Stop::Error(error.into()))?;
        let taken = change.step(string).map_err(Stop::Error)?;
        step = Some(taken);
        had_deadline = old.is_some_and(|entry| entry.has_deadline());
        match deadline {
            _ if taken.is_refused() => Err(Stop::OutOfBounds),
            _ if options.enx && had_deadline => Ok((taken.stored(), Deadline::Keep)),
            _ if gone => Err(Stop::Gone),
            deadline => Ok((taken.stored(), deadline)),
        }
    });
    match updated {
        Ok(()) => match deadline {
            Deadline::At(_) if !(options.enx && had_deadline) => {
                context.db.notify(key, event::EXPIRE);
            }
            Deadline::Never if had_deadline => context.db.notify(key, event::PERSIST),
            _ => {}
        },
        Err(Stop::OutOfBounds) => {}
        Err(Stop::Gone) => {
            context.db.remove(key, event::DEL);
        }
        Err(Stop::Error(error)) => return Err(error),
    }
    if let Some(step) = step {
        step.write(&mut context.reply);
    }
    Ok(Outcome::Done)
}

/// The options as they are written.
struct Options<'a> {
    by_int: Option<&'a [u8]>,
    by_float: Option<&'a [u8]>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturate: bool,
    enx: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> Options<'a> {
    fn read(args: Args<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options {
            by_int: None,
            by_float: None,
            lower: None,
            upper: None,
            saturate: false,
            enx: false,
            lifetime: Lifetime::once_or("persist"),
        };
        let mut at = 2;
        while at < args.len() {
            at += options.read_one(args, at)?;
        }
        let two_increments = options.by_int.is_some() && options.by_float.is_some();
        if two_increments || options.enx && options.lifetime.is_instead {
            return Err(CommandError::Syntax);
        }
        if options.enx && !options.lifetime.has_time() {
            return Err(CommandError::fixed("ERR ENX flag requires an expiration"));
        }
        Ok(options)
    }

    fn read_one(&mut self, args: Args<'a>, at: usize) -> Result<usize, CommandError> {
        let taken = self.lifetime.read(args, at)?;
        if taken > 0 {
            return Ok(taken);
        }
        let word = &args[at];
        for (name, flag) in [("saturate", &mut self.saturate), ("enx", &mut self.enx)] {
            if is(word, name) {
                return if std::mem::replace(flag, true) {
                    Err(CommandError::Syntax)
                } else {
                    Ok(1)
                };
            }
        }
        for (name, operand) in [
            ("byint", &mut self.by_int),
            ("byfloat", &mut self.by_float),
            ("lbound", &mut self.lower),
            ("ubound", &mut self.upper),
        ] {
            if is(word, name) {
                let given = args.get(at + 1).ok_or(CommandError::Syntax)?;
                return if operand.replace(given).is_some() {
                    Err(CommandError::Syntax)
                } else {
                    Ok(2)
                };
            }
        }
        Err(CommandError::Syntax)
    }

    /// What the increment and the bounds mean.
    fn change(&self) -> Result<Change, CommandError> {
        let saturate = self.saturate;
        if let Some(by) = self.by_float {
            let change = FloatChange {
                by: float(by, "Increment", "BYFLOAT increment")?,
                lower: match self.lower {
                    Some(lower) => float(lower, "LBOUND", "LBOUND")?,
                    None => LongDouble::MAX.negated(),
                },
                upper: match self.upper {
                    Some(upper) => float(upper, "UBOUND", "UBOUND")?,
                    None => LongDouble::MAX,
                },
                saturate,
            };
            check_order(change.lower.compare(change.upper))?;
            return Ok(Change::Float(change));
        }
        let change = IntChange {
            by: self.by_int.map_or(Ok(1), |by| int(by, "Increment"))?,
            lower: self.lower.map_or(Ok(i64::MIN), |lower| int(lower, "LBOUND"))?,
            upper: self.upper.map_or(Ok(i64::MAX), |upper| int(upper, "UBOUND"))?,
            saturate,
        };
        check_order(change.lower.cmp(&change.upper))?;
        Ok(Change::Int(change))
    }
}

fn int(arg: &[u8], what: &str) -> Result<i64, CommandError> {
    number::parse_i64(arg)
        .ok_or_else(|| CommandError::owned(format!("ERR {what} is not an integer or out of range")))
}

fn float(arg: &[u8], what: &str, option: &str) -> Result<LongDouble, CommandError> {
    let number = LongDouble::parse(arg)
        .ok_or_else(|| CommandError::owned(format!("ERR {what} is not a valid float")))?;
    if number.is_infinite() {
        return Err(CommandError::owned(format!("ERR {option} cannot be Infinity")));
    }
    Ok(number)
}

fn check_order(lower_to_upper: Ordering) -> Result<(), CommandError> {
    if lower_to_upper == Ordering::Greater {
        return Err(CommandError::fixed("ERR LBOUND can't be greater than UBOUND"));
    }
    Ok(())
}

enum Change {
    Int(IntChange),
    Float(FloatChange),
}

impl Change {
    fn event(&self) -> Event {
        match self {
            Change::Int(_) => event::INCRBY,
            Change::Float(_) => incrbyfloat::EVENT,
        }
    }

    fn step(&self, old: Option<Value<'_>>) -> Result<Step, CommandError> {
        match self {
            Change::Int(change) => change.step(value::counted(old)?),
            Change::Float(change) => change.step(incrbyfloat::counted(old)?),
        }
    }
}

struct IntChange {
    by: i64,
    lower: i64,
    upper: i64,
    saturate: bool,
}

impl IntChange {
    fn step(&self, old: i64) -> Result<Step, CommandError> {
        // Sums and differences of two numbers of 64 bits fit 65.
        let sum = i128::from(old) + i128::from(self.by);
        let bounded = sum.clamp(self.lower.into(), self.upper.into());
        if bounded != sum && !self.saturate {
            return Ok(Step::Int { value: old, applied: 0, refused: true });
        }
        let applied = i64::try_from(bounded - i128::from(old))
            .map_err(|_| CommandError::fixed("ERR applied increment would overflow"))?;
        // The bounds have 64 bits, and so has what is between them.
        Ok(Step::Int { value: bounded as i64, applied, refused: false })
    }
}

struct FloatChange {
    by: LongDouble,
    lower: LongDouble,
    upper: LongDouble,
    saturate: bool,
}

impl FloatChange {
    fn step(&self, old: LongDouble) -> Result<Step, CommandError> {
        if old.is_infinite() {
            return Err(CommandError::fixed("ERR value cannot be Infinity"));
        }
        let violated = match old.checked_add(self.by) {
            // Only a sum of numbers with the same sign is out of range.
            None if self.by.is_negative() => self.lower,
            None => self.upper,
            Some(sum) if sum.compare(self.upper) == Ordering::Greater => self.upper,
            Some(sum) if sum.compare(self.lower) == Ordering::Less => self.lower,
            Some(sum) => return Ok(Step::Float { value: sum, applied: self.by, refused: false }),
        };
        if !self.saturate {
            let applied = LongDouble::from(0);
            return Ok(Step::Float { value: old, applied, refused: true });
        }
        let applied = violated
            .checked_add(old.negated())
            .ok_or(CommandError::fixed("ERR applied increment would produce Infinity"))?;
        Ok(Step::Float { value: violated, applied, refused: false })
    }
}

/// What the number becomes, or, if refused, what it stays; and by how much it
/// changes.
#[derive(Clone, Copy)]
enum Step {
    Int { value: i64, applied: i64, refused: bool },
    Float { value: LongDouble, applied: LongDouble, refused: bool },
}

impl Step {
    fn is_refused(self) -> bool {
        let (Step::Int { refused, .. } | Step::Float { refused, .. }) = self;
        refused
    }

    fn stored(self) -> NewValue<'static> {
        match self {
            Step::Int { value, .. } => NewValue::Int(value),
            Step::Float { value, .. } => incrbyfloat::stored(&value.to_string()),
        }
    }

    fn write(self, reply: &mut Reply<'_>) {
        reply.array(2);
        match self {
            Step::Int { value, applied, .. } => {
                reply.integer(value);
                reply.integer(applied);
            }
            Step::Float { value, applied, .. } => {
                for number in [value, applied] {
                    write_float(reply, number);
                }
            }
        }
    }
}

/// A double in RESP3, with the digits that are stored; a bulk in RESP2.
fn write_float(reply: &mut Reply<'_>, number: LongDouble) {
    match reply.version() {
        Version::Resp2 => reply.bulk(number.to_string().as_bytes()),
        Version::Resp3 => reply.raw(format!(",{number}\r\n").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(step: Step, version: Version) -> String {
        let mut out = Vec::new();
        step.write(&mut Reply::new(&mut out, version));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_doubles_in_resp3_and_bulks_in_resp2() {
        let number = |text: &str| LongDouble::parse(text.as_bytes()).unwrap();
        let float = Step::Float { value: number("1.75"), applied: number("-0.1"), refused: false };
        assert_eq!(written(float, Version::Resp3), "*2\r\n,1.75\r\n,-0.1\r\n");
        assert_eq!(written(float, Version::Resp2), "*2\r\n$4\r\n1.75\r\n$4\r\n-0.1\r\n");
        let int = Step::Int { value: 5, applied: -1, refused: false };
        assert_eq!(written(int, Version::Resp3), "*2\r\n:5\r\n:-1\r\n");
    }
}
