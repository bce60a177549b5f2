//! SET: store a string, on conditions, for a time.

use super::condition::Condition;
use super::flags::{BRIEF, DENYOOM, WRITE};
use super::lifetime::Lifetime;
use super::parse::{is, write_value};
use super::value::adopted;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, Entry, Versioning, event};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "set",
    arity: -3,
    flags: WRITE | DENYOOM | BRIEF,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE VARIABLE_FLAGS")],
    group: Group::String,
    summary: "Stores a string under a key, if a condition holds and for as long as is said.",
    syntax: "key value [NX|XX|IFEQ value|IFNE value|IFDEQ digest|IFDNE digest] [GET] \
             [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|\
             KEEPTTL] [JITTER percent] [WITHETAG]",
    example: r#"
> SET job waiting
OK
> SET job running IFEQ waiting GET PX 5000
"waiting"
2> SET job running IFEQ waiting
(nil)
2> SET job taken NX
(nil)
(5000 ms later)
2> SET job taken NX
OK
"#,
    handler: set,
    ..Spec::BASE
};

fn set(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (key, value) = (&args[1], adopted(context.server, &args[2]));
    if args.len() == 3 {
        context.db.store(key, value, Deadline::Never, event::SET);
        context.reply.ok();
        return Ok(Outcome::Done);
    }
    let Options { condition, get, with_etag, lifetime } = Options::read(args)?;
    let deadline_ms = lifetime.deadline_ms(context, "set")?;
    let deadline = lifetime.on_overwrite(deadline_ms, context);
    if get {
        match context.db.read_string(key)? {
            Some(value) => write_value(&mut context.reply, value),
            None => context.reply.null(),
        }
    }
    let mut version = None;
    let stored = context.db.write(key, event::SET, |old| {
        if !condition.admits(old)? {
            return Err(None);
        }
        version = with_etag.then(|| old.map_or(1, Entry::next_version));
        Ok((value, deadline, version.map_or(Versioning::Forget, Versioning::Is)))
    });
    match stored {
        Ok(()) => {
            if let Deadline::At(_) = deadline {
                context.db.notify(key, event::EXPIRE);
            }
            match version {
                Some(version) => context.reply.integer(version as i64),
                None if get => {}
                None => context.reply.ok(),
            }
        }
        Err(Some(error)) => return Err(error),
        Err(None) if get => {}
        Err(None) => context.reply.null(),
    }
    Ok(Outcome::Done)
}

struct Options<'a> {
    condition: Condition<'a>,
    get: bool,
    /// The value is to have a version, which is the reply.
    with_etag: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> Options<'a> {
    #[inline]
    fn read(args: Args<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options {
            condition: Condition::Always,
            get: false,
            with_etag: false,
            lifetime: Lifetime::or("keepttl"),
        };
        let mut at = 3;
        while at < args.len() {
            at += options.read_one(args, at)?;
        }
        if options.get && options.with_etag {
            return Err(CommandError::fixed(
                "ERR WITHETAG option not allowed with GET inside of SET",
            ));
        }
        Ok(options)
    }

    fn read_one(&mut self, args: Args<'a>, at: usize) -> Result<usize, CommandError> {
        if is(&args[at], "get") {
            self.get = true;
            return Ok(1);
        }
        if is(&args[at], "withetag") {
            self.with_etag = true;
            return Ok(1);
        }
        match self.lifetime.read(args, at)? {
            0 => {}
            taken => return Ok(taken),
        }
        match self.condition.read_existence(args, at)? {
            0 => {}
            taken => return Ok(taken),
        }
        match self.condition.read_comparison(args, at)? {
            0 => Err(CommandError::Syntax),
            taken => Ok(taken),
        }
    }
}
