//! SETEX, PSETEX: store a string for a time.

use super::flags::{BRIEF, DENYOOM, WRITE};
use super::parse::is;
use super::ttl::{self, Unit};
use super::value::adopted;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, event};
use crate::protocol::Args;

const BASE: Spec = Spec {
    arity: -4,
    flags: WRITE | DENYOOM | BRIEF,
    keys: &[KeySpec::one(1, "OW UPDATE")],
    group: Group::String,
    exceeds: Some(|args| args.len() != 4 && !has_jitter(args)),
    ..Spec::BASE
};

pub(super) static SETEX: Spec = Spec {
    name: "setex",
    since: "2.0.0",
    summary: "Stores a string under a key for a number of seconds.",
    syntax: "key seconds value [JITTER percent]",
    example: r#"
> SETEX session 10 alice
OK
> TTL session
(integer) 10
(10000 ms later)
> GET session
(nil)
"#,
    handler: |context, args| setex(context, args, Unit::EX, "setex"),
    ..BASE
};

pub(super) static PSETEX: Spec = Spec {
    name: "psetex",
    since: "2.6.0",
    summary: "Stores a string under a key for a number of milliseconds.",
    syntax: "key milliseconds value [JITTER percent]",
    example: r#"
> PSETEX session 1500 alice
OK
> PTTL session
(integer) 1500
(1500 ms later)
> GET session
(nil)
"#,
    handler: |context, args| setex(context, args, Unit::PX, "psetex"),
    ..BASE
};

fn has_jitter(args: Args<'_>) -> bool {
    args.len() == 6 && is(&args[4], "jitter")
}

fn setex(context: &mut Context<'_>, args: Args<'_>, unit: Unit, command: &'static str) -> Ran {
    let key = &args[1];
    let jitter_percent = if has_jitter(args) { ttl::jitter_percent(&args[5])? } else { 0 };
    let mut deadline_ms = ttl::positive_deadline(&args[2], unit, context.now, command)?;
    if jitter_percent > 0 {
        let rng = &mut context.server.rng;
        deadline_ms = ttl::jittered(deadline_ms, jitter_percent, context.now, rng);
    }
    context.db.store(key, adopted(context.server, &args[3]), Deadline::At(deadline_ms), event::SET);
    context.db.notify(key, event::EXPIRE);
    context.reply.ok();
    Ok(Outcome::Done)
}
