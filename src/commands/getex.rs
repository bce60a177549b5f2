//! GETEX: answer a string and change how long it lives.

use super::flags::{BRIEF, FAST, WRITE};
use super::lifetime::Lifetime;
use super::parse::write_value;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::event;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "getex",
    arity: -2,
    flags: WRITE | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::String,
    since: "6.2.0",
    summary: "Answers the string under a key and may set or take away the key's time to live.",
    syntax: "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|\
             PXAT unix-time-milliseconds|PERSIST] [JITTER percent]",
    example: r#"
> SET session alice EX 10
OK
> GETEX session EX 60
"alice"
> TTL session
(integer) 60
> GETEX session PERSIST
"alice"
> TTL session
(integer) -1
"#,
    handler: getex,
    ..Spec::BASE
};

fn getex(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    let mut lifetime = Lifetime::or("persist");
    let mut at = 2;
    while at < args.len() {
        match lifetime.read(args, at)? {
            0 => return Err(CommandError::Syntax),
            taken => at += taken,
        }
    }
    // A key that does not exist comes before an error over the time.
    let deadline_ms = lifetime.deadline_ms(context, "getex");
    let Some(entry) = context.db.read(key) else {
        context.reply.null();
        return Ok(Outcome::Done);
    };
    let deadline_ms = deadline_ms?;
    let had_deadline = entry.has_deadline();
    write_value(&mut context.reply, entry.string()?);
    if let Some(deadline_ms) = deadline_ms {
        if lifetime.is_absolute() && deadline_ms <= context.now.unix_ms() {
            context.db.remove(key, event::DEL);
        } else {
            let deadline_ms = lifetime.jittered(deadline_ms, context);
            context.db.set_deadline(key, Some(deadline_ms), event::EXPIRE);
        }
    } else if lifetime.is_instead && had_deadline {
        context.db.set_deadline(key, None, event::PERSIST);
    }
    Ok(Outcome::Done)
}
