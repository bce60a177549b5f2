//! MSETEX: store several strings in one step, on a condition, for a time.

use super::condition::Condition;
use super::flags::{DENYOOM, MOVABLEKEYS, WRITE};
use super::lifetime::Lifetime;
use super::value::adopted;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, event};
use crate::protocol::{Args, number};

pub(super) static SPEC: Spec = Spec {
    name: "msetex",
    arity: -4,
    flags: WRITE | DENYOOM | MOVABLEKEYS,
    keys: &[KeySpec::counted(1, 2, "OW UPDATE")],
    group: Group::String,
    since: "8.4.0",
    complexity: "O(N) with N being the number of keys",
    summary: "Stores several strings for a time, if none or if all of the keys exist.",
    syntax: "numkeys key value [key value ...] [NX|XX] [EX seconds|PX milliseconds|\
             EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] [JITTER percent]",
    example: "
> MSETEX 2 a 1 b 2 NX EX 10
(integer) 1
> MSETEX 2 b 3 c 4 NX
(integer) 0
> TTL b
(integer) 10
> EXISTS c
(integer) 0
",
    handler: msetex,
    ..Spec::BASE
};

/// Where the pairs begin.
const PAIRS_AT: usize = 2;

fn msetex(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let count = number::parse_i64(&args[1])
        .and_then(|count| i32::try_from(count).ok())
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0)
        .ok_or(CommandError::fixed("ERR invalid numkeys value"))?;
    if count > (args.len() - PAIRS_AT) / 2 {
        return Err(CommandError::fixed("ERR wrong number of key-value pairs"));
    }
    let pairs_end = PAIRS_AT + 2 * count;
    let mut condition = Condition::Always;
    let mut lifetime = Lifetime::or("keepttl");
    let mut at = pairs_end;
    while at < args.len() {
        at += match lifetime.read(args, at)? {
            0 => match condition.read_existence(args, at)? {
                0 => return Err(CommandError::Syntax),
                taken => taken,
            },
            taken => taken,
        };
    }
    let deadline_ms = lifetime.deadline_ms(context, "msetex")?;
    let keys = || (PAIRS_AT..pairs_end).step_by(2);
    let admitted = match condition {
        Condition::Nx => keys().all(|at| !context.db.contains(&args[at])),
        Condition::Xx => keys().all(|at| context.db.contains(&args[at])),
        _ => true,
    };
    if admitted {
        for at in keys() {
            let (key, value) = (&args[at], adopted(context.server, &args[at + 1]));
            let deadline = lifetime.on_overwrite(deadline_ms, context);
            context.db.store(key, value, deadline, event::SET);
            if let Deadline::At(_) = deadline {
                context.db.notify(key, event::EXPIRE);
            }
        }
    }
    context.reply.integer(i64::from(admitted));
    Ok(Outcome::Done)
}
