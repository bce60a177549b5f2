//! TTL, PTTL, EXPIRETIME, PEXPIRETIME: when a key will be gone.

use super::flags::{BRIEF, FAST, READONLY};
use super::{Context, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

const BASE: Spec = Spec {
    arity: 2,
    flags: READONLY | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    syntax: "key",
    ..Spec::BASE
};

pub(super) static TTL: Spec = Spec {
    name: "ttl",
    tips: &["nondeterministic_output"],
    summary: "Answers how many seconds a key has left; -1: no deadline, -2: no key.",
    example: "
> SET a 1 EX 100
OK
> TTL a
(integer) 100
> PERSIST a
(integer) 1
> TTL a
(integer) -1
> TTL b
(integer) -2
",
    // Rounded to the nearest second, as Redis does.
    handler: |context, args| {
        let now_ms = context.now.unix_ms();
        answer(context, args, |deadline_ms| (deadline_ms.saturating_sub(now_ms) + 500) / 1_000)
    },
    ..BASE
};

pub(super) static PTTL: Spec = Spec {
    name: "pttl",
    tips: &["nondeterministic_output"],
    since: "2.6.0",
    summary: "Answers how many milliseconds a key has left; -1: no deadline, -2: no key.",
    example: "
> SET a 1 PX 1500
OK
(400 ms later)
> PTTL a
(integer) 1100
",
    handler: |context, args| {
        let now_ms = context.now.unix_ms();
        answer(context, args, |deadline_ms| deadline_ms.saturating_sub(now_ms))
    },
    ..BASE
};

pub(super) static EXPIRETIME: Spec = Spec {
    name: "expiretime",
    since: "7.0.0",
    summary: "Answers the Unix second of a key's deadline; -1: no deadline, -2: no key.",
    example: "
> SET a 1 EXAT 4102444800
OK
> EXPIRETIME a
(integer) 4102444800
",
    handler: |context, args| answer(context, args, |deadline_ms| (deadline_ms + 500) / 1_000),
    ..BASE
};

pub(super) static PEXPIRETIME: Spec = Spec {
    name: "pexpiretime",
    since: "7.0.0",
    summary: "Answers the Unix millisecond of a key's deadline; -1: no deadline, -2: no key.",
    example: "
> SET a 1 PXAT 4102444800123
OK
> PEXPIRETIME a
(integer) 4102444800123
",
    handler: |context, args| answer(context, args, |deadline_ms| deadline_ms),
    ..BASE
};

fn answer(context: &mut Context<'_>, args: Args<'_>, print: impl FnOnce(u64) -> u64) -> Ran {
    let reply = match context.db.inspect(&args[1]).map(|entry| entry.ends_ms()) {
        None => -2,
        Some(None) => -1,
        // A deadline fits 63 bits: that is checked where it is set.
        Some(Some(deadline_ms)) => print(deadline_ms) as i64,
    };
    context.reply.integer(reply);
    Ok(Outcome::Done)
}
