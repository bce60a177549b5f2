//! EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT: give a key a deadline.

use super::flags::{BRIEF, FAST, WRITE};
use super::parse::{integer, is};
use super::ttl::{self, Unit};
use super::{CommandError, Context, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::event;
use crate::protocol::Args;

const BASE: Spec = Spec {
    arity: -3,
    flags: WRITE | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RW UPDATE")],
    ..Spec::BASE
};

pub(super) static EXPIRE: Spec = Spec {
    name: "expire",
    summary: "Lets a key be gone after a number of seconds.",
    syntax: "key seconds [NX|XX|GT|LT] [JITTER percent]",
    example: "
> SET a 1
OK
> EXPIRE a 10
(integer) 1
> EXPIRE a 20 NX
(integer) 0
> TTL a
(integer) 10
(10000 ms later)
> EXISTS a
(integer) 0
",
    handler: |context, args| expire(context, args, Unit::EX, "expire"),
    ..BASE
};

pub(super) static PEXPIRE: Spec = Spec {
    name: "pexpire",
    since: "2.6.0",
    summary: "Lets a key be gone after a number of milliseconds.",
    syntax: "key milliseconds [NX|XX|GT|LT] [JITTER percent]",
    example: "
> SET a 1
OK
> PEXPIRE a 1500
(integer) 1
(1499 ms later)
> EXISTS a
(integer) 1
(1 ms later)
> EXISTS a
(integer) 0
",
    handler: |context, args| expire(context, args, Unit::PX, "pexpire"),
    ..BASE
};

pub(super) static EXPIREAT: Spec = Spec {
    name: "expireat",
    since: "1.2.0",
    summary: "Lets a key be gone at a Unix time in seconds.",
    syntax: "key unix-time-seconds [NX|XX|GT|LT] [JITTER percent]",
    example: "
> SET a 1
OK
> EXPIREAT a 4102444800
(integer) 1
> EXPIRETIME a
(integer) 4102444800
",
    handler: |context, args| expire(context, args, Unit::EXAT, "expireat"),
    ..BASE
};

pub(super) static PEXPIREAT: Spec = Spec {
    name: "pexpireat",
    since: "2.6.0",
    summary: "Lets a key be gone at a Unix time in milliseconds.",
    syntax: "key unix-time-milliseconds [NX|XX|GT|LT] [JITTER percent]",
    example: "
> SET a 1
OK
> PEXPIREAT a 4102444800123
(integer) 1
> PEXPIRETIME a
(integer) 4102444800123
",
    handler: |context, args| expire(context, args, Unit::PXAT, "pexpireat"),
    ..BASE
};

/// Under which circumstances the deadline is set.
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    jitter_percent: u8,
}

fn expire(context: &mut Context<'_>, args: Args<'_>, unit: Unit, command: &'static str) -> Ran {
    let condition = parse_condition(args)?;
    let mut deadline_ms = ttl::deadline(integer(&args[2])?, unit, context.now, command)?;
    let key = &args[1];
    let Some(entry) = context.db.peek(key) else {
        context.reply.integer(0);
        return Ok(Outcome::Done);
    };
    // How long a lock or a hold lasts is for its own commands to change.
    if entry.object().is_some() {
        context.reply.integer(0);
        return Ok(Outcome::Done);
    }
    let now_ms = context.now.unix_ms() as i64;
    if condition.jitter_percent > 0 && deadline_ms > now_ms {
        let rng = &mut context.server.rng;
        let percent = condition.jitter_percent;
        deadline_ms = ttl::jittered(deadline_ms as u64, percent, context.now, rng) as i64;
    }
    let current = entry.deadline_ms().map(|current_ms| current_ms as i64);
    // For GT and LT a key without a deadline counts as one that never ends.
    let refused = (condition.nx && current.is_some())
        || (condition.xx && current.is_none())
        || (condition.gt && current.is_none_or(|current_ms| deadline_ms <= current_ms))
        || (condition.lt && current.is_some_and(|current_ms| deadline_ms >= current_ms));
    if refused {
        context.reply.integer(0);
        return Ok(Outcome::Done);
    }
    if deadline_ms <= now_ms {
        context.db.remove(key, event::DEL);
    } else {
        context.db.set_deadline(key, Some(deadline_ms as u64), event::EXPIRE);
    }
    context.reply.integer(1);
    Ok(Outcome::Done)
}

fn parse_condition(args: Args<'_>) -> Result<Condition, CommandError> {
    let mut condition = Condition::default();
    let mut options = args.tail(3).iter();
    while let Some(option) = options.next() {
        if is(option, "nx") {
            condition.nx = true;
        } else if is(option, "xx") {
            condition.xx = true;
        } else if is(option, "gt") {
            condition.gt = true;
        } else if is(option, "lt") {
            condition.lt = true;
        } else if is(option, "jitter") {
            let percent = options.next().ok_or(CommandError::Syntax)?;
            condition.jitter_percent = ttl::jitter_percent(percent)?;
        } else {
            let mut text = b"ERR Unsupported option ".to_vec();
            // Whole, up to a zero byte, as Redis does here.
            text.extend(option.iter().take_while(|byte| **byte != 0));
            return Err(CommandError::owned(text));
        }
    }
    if condition.nx && (condition.xx || condition.gt || condition.lt) {
        return Err(CommandError::fixed(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if condition.gt && condition.lt {
        return Err(CommandError::fixed(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    Ok(condition)
}
