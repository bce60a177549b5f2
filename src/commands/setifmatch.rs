//! SETIFMATCH, SETIFGREATER: store a string if its version is the one that is
//! meant, or an older one.

use super::etag::{etag_and_string, given};
use super::flags::{DENYOOM, FAST, WRITE};
use super::lifetime::Lifetime;
use super::parse::{is, write_value};
use super::value::adopted;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, Versioning, event};
use crate::protocol::Args;

const BASE: Spec = Spec {
    arity: -4,
    flags: WRITE | DENYOOM | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::String,
    since: "0.1.0",
    syntax: "key value etag [EX seconds|PX milliseconds|EXAT unix-time-seconds|\
             PXAT unix-time-milliseconds|PERSIST] [JITTER percent] [NOGET]",
    ..Spec::BASE
};

pub(super) static SETIFMATCH: Spec = Spec {
    name: "setifmatch",
    summary: "Stores a string as the next version if the key's is the given one, or the key does \
              not exist.",
    example: r#"
> SET page draft WITHETAG
(integer) 1
> SETIFMATCH page "by alice" 1
1) (integer) 2
2) (nil)
2> SETIFMATCH page "by bob" 1
1) (integer) 2
2) "by alice"
2> SETIFMATCH page "by bob" 2
1) (integer) 3
2) (nil)
"#,
    handler: |context, args| set_if(context, args, &MATCH),
    ..BASE
};

pub(super) static SETIFGREATER: Spec = Spec {
    name: "setifgreater",
    summary: "Stores a string with the given version if the key's is a smaller one, or the key \
              does not exist.",
    example: r#"
> SETIFGREATER price 10 1700
1) (integer) 1700
2) (nil)
> SETIFGREATER price 12 1800
1) (integer) 1800
2) (nil)
> SETIFGREATER price 11 1750
1) (integer) 1800
2) "12"
"#,
    handler: |context, args| set_if(context, args, &GREATER),
    ..BASE
};

/// In what the two differ.
struct Rule {
    command: &'static str,
    /// Whether a string is stored that comes with the first ETag, in place of one
    /// that has the second.
    admits: fn(u64, u64) -> bool,
    /// The ETag of what is stored, from the one it comes with.
    new_etag: fn(u64) -> u64,
}

const MATCH: Rule = Rule {
    command: "setifmatch",
    admits: |given, current| given == current,
    new_etag: |given| given + 1,
};

const GREATER: Rule = Rule {
    command: "setifgreater",
    admits: |given, current| given > current,
    new_etag: |given| given,
};

fn set_if(context: &mut Context<'_>, args: Args<'_>, rule: &Rule) -> Ran {
    let (key, value, etag) = (&args[1], adopted(context.server, &args[2]), given(&args[3])?);
    let Options { no_get, lifetime } = Options::read(args)?;
    let deadline_ms = lifetime.deadline_ms(context, rule.command)?;
    let deadline = lifetime.on_change(deadline_ms, context);
    let new_etag = (rule.new_etag)(etag);
    let mut had_deadline = false;
    let reply = &mut context.reply;
    let stored = context.db.write(key, event::SET, |old| {
        if let Some(old) = old {
            let (current, string) = etag_and_string(old).map_err(Some)?;
            if !(rule.admits)(etag, current) {
                reply.array(2);
                reply.integer(current as i64);
                if no_get {
                    reply.null()
                } else {
                    write_value(reply, string)
                }
                return Err(None);
            }
            had_deadline = old.has_deadline();
        }
        Ok((value, deadline, Versioning::Is(new_etag)))
    });
    match stored {
        Ok(()) => {
            match deadline {
                Deadline::At(_) => context.db.notify(key, event::EXPIRE),
                Deadline::Never if had_deadline => context.db.notify(key, event::PERSIST),
                Deadline::Keep | Deadline::Never => {}
            }
            context.reply.array(2);
            context.reply.integer(new_etag as i64);
            context.reply.null();
        }
        Err(Some(error)) => return Err(error),
        Err(None) => {}
    }
    Ok(Outcome::Done)
}

struct Options<'a> {
    /// The string of another version is not answered.
    no_get: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> Options<'a> {
    fn read(args: Args<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options { no_get: false, lifetime: Lifetime::once_or("persist") };
        let mut at = 4;
        while at < args.len() {
            at += match options.lifetime.read(args, at)? {
                0 if is(&args[at], "noget") && !options.no_get => {
                    options.no_get = true;
                    1
                }
                0 => return Err(CommandError::Syntax),
                taken => taken,
            };
        }
        Ok(options)
    }
}
