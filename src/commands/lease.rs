//! LEASE.GET, SET, FAIL, INVALIDATE: one client computes, however many ask.

use std::sync::Arc;

use super::flags::{BLOCKING, CACHEABLE, DENYOOM, FAST, WRITE};
use super::parse::{is, write_value};
use super::span::{self, Span};
use super::value::adopted;
use super::wait::UNBLOCKED;
use super::{CommandError, Context, Grant, Granted, Group, KeySpec, Outcome, Ran, Spec, Wait, ttl};
use crate::clients::Wake;
use crate::keyspace::{Fill, Value, Want, WantKind as Kind};
use crate::protocol::Args;

const BASE: Spec = Spec {
    flags: WRITE | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::Lease,
    since: "0.1.0",
    ..Spec::BASE
};

pub(super) static GET: Spec = Spec {
    name: "lease.get",
    arity: -4,
    flags: WRITE | DENYOOM | BLOCKING | CACHEABLE,
    summary: "Answers a value, or the lease to compute it for one caller while the others wait.",
    syntax: "key FOR milliseconds [WAIT milliseconds] [AHEAD milliseconds]",
    example: r#"
> LEASE.GET page FOR 5000
1) "FILL"
2) (nil)
3) (integer) 1893456000000001
2> LEASE.GET page FOR 5000 WAIT 2000
(none)
> LEASE.SET page 1893456000000001 html PX 60000
(integer) 1
2>
1) "HIT"
2) "html"
3) (nil)
"#,
    handler: get,
    ..BASE
};

pub(super) static SET: Spec = Spec {
    name: "lease.set",
    arity: -6,
    flags: WRITE | DENYOOM,
    summary: "Stores the value that a lease was for; 1, or -1: the lease is no longer yours.",
    syntax: "key token value PX milliseconds [STALE milliseconds] [JITTER percent]",
    example: r#"
> LEASE.GET page FOR 5000
1) "FILL"
2) (nil)
3) (integer) 1893456000000001
> LEASE.SET page 1893456000000001 html PX 60000 STALE 30000
(integer) 1
(60000 ms later)
> LEASE.GET page FOR 5000
1) "FILL"
2) "html"
3) (integer) 1893456000000002
2> LEASE.GET page FOR 5000
1) "STALE"
2) "html"
3) (nil)
"#,
    handler: set,
    ..BASE
};

pub(super) static FAIL: Spec = Spec {
    name: "lease.fail",
    arity: -3,
    complexity: "O(1), with a message O(N) with N being the number of waiters",
    summary: "Gives a lease up: the next in line gets it, or with a message all who wait get that.",
    syntax: "key token [message]",
    example: r#"
> LEASE.GET page FOR 5000
1) "FILL"
2) (nil)
3) (integer) 1893456000000001
2> LEASE.GET page FOR 5000 WAIT 2000
(none)
> LEASE.FAIL page 1893456000000001 "no database"
(integer) 1
2>
(error) LEASEFAIL no database
"#,
    handler: fail,
    ..BASE
};

pub(super) static INVALIDATE: Spec = Spec {
    name: "lease.invalidate",
    arity: -2,
    summary: "Makes a value stale and any lease on it void; 1, or -2: no such key.",
    syntax: "key [STALE milliseconds]",
    example: r#"
> SET page html PX 60000
OK
> LEASE.INVALIDATE page
(integer) 1
> GET page
"html"
> LEASE.GET page FOR 5000
1) "FILL"
2) "html"
3) (integer) 1893456000000001
"#,
    handler: invalidate,
    ..BASE
};

/// What LEASE.GET answers, and with it the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Hit,
    Stale,
    /// The caller may have the lease.
    Fill,
    /// There is nothing, and another computes it.
    Nothing,
}

fn get(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let Options { lasts, wait, ahead } = Options::read(args)?;
    match &context.wake {
        Wake::First | Wake::Ready | Wake::TimedOut => {}
        Wake::Unblocked => return Err(UNBLOCKED),
        Wake::Refused(message) => {
            return Err(CommandError::owned([b"LEASEFAIL ", &message[..]].concat()));
        }
    }
    let key = &args[1];
    let deadline_ms = lasts.deadline_ms(context, "lease.get")?;
    let now_ms = context.now.unix_ms();
    let (db, me) = (context.db.index(), context.me);
    let is_leased = context.db.lease(key).is_some();
    // Who has waited in vain takes nothing from those who came before.
    let is_next = context.db.keyspace().waiters().is_first(db, key, me, Kind::Lease)
        && context.wake != Wake::TimedOut;
    let answer = match context.db.read(key) {
        None if is_leased || !is_next => Answer::Nothing,
        None => Answer::Fill,
        Some(entry) => {
            entry.string()?;
            let left_ms =
                entry.fresh_end_ms().map_or(u64::MAX, |at_ms| at_ms.saturating_sub(now_ms));
            match left_ms {
                0 if is_leased || context.wake == Wake::TimedOut => Answer::Stale,
                0 => Answer::Fill,
                // Who has waited for a value is served with it, however short-lived.
                left_ms if left_ms < ahead.ms && !is_leased && context.wake == Wake::First => {
                    Answer::Fill
                }
                _ => Answer::Hit,
            }
        }
    };
    if answer == Answer::Nothing
        && context.wake != Wake::TimedOut
        && let Some(deadline) = wait.deadline(context)
    {
        let on = Some((vec![1], Want::Lease));
        return Ok(Outcome::Wait(Box::new(Wait { deadline: Some(deadline), on })));
    }
    let client_id = context.clients[me].id;
    let token =
        (answer == Answer::Fill).then(|| context.db.grant_lease(key, deadline_ms, client_id));
    if let Some(token) = token {
        let db = context.db.id();
        let grant = Grant { granted: Granted::Lease, db, key: key.into(), token };
        context.server.grants.push(client_id, grant);
    }
    write(context, key, answer, token)
}

fn write(context: &mut Context<'_>, key: &[u8], answer: Answer, token: Option<u64>) -> Ran {
    let reply = &mut context.reply;
    reply.array(3);
    reply.bulk(match answer {
        Answer::Hit => b"HIT",
        Answer::Stale => b"STALE",
        Answer::Fill => b"FILL",
        Answer::Nothing => b"MISS",
    });
    let value: Option<Value<'_>> = context.db.look(key).map(|entry| entry.string()).transpose()?;
    match value {
        Some(value) => write_value(reply, value),
        None => reply.null(),
    }
    match token {
        Some(token) => reply.integer(token as i64),
        None => reply.null(),
    }
    Ok(Outcome::Done)
}

struct Options {
    lasts: Span,
    wait: Span,
    ahead: Span,
}

impl Options {
    fn read(args: Args<'_>) -> Result<Options, CommandError> {
        let (mut lasts, mut wait, mut ahead) = (None, None, None);
        let mut options = args.tail(2).iter();
        while let Some(word) = options.next() {
            let mut operand = || options.next().ok_or(CommandError::Syntax);
            let repeated = match () {
                () if is(word, "for") => lasts.replace(Span::positive(operand()?, "FOR")?),
                () if is(word, "wait") => wait.replace(Span::any(operand()?, "WAIT")?),
                () if is(word, "ahead") => ahead.replace(Span::positive(operand()?, "AHEAD")?),
                () => return Err(CommandError::Syntax),
            };
            if repeated.is_some() {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Options {
            lasts: lasts.ok_or(CommandError::Syntax)?,
            wait: wait.unwrap_or_default(),
            ahead: ahead.unwrap_or_default(),
        })
    }
}

fn set(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (key, token) = (&args[1], span::positive(&args[2], "token")?);
    let (mut fresh, mut stale, mut jitter) = (None, None, None);
    let mut options = args.tail(4).iter();
    while let Some(word) = options.next() {
        let operand = options.next().ok_or(CommandError::Syntax)?;
        let repeated = match () {
            () if is(word, "px") => fresh.replace(Span::positive(operand, "PX")?).is_some(),
            () if is(word, "stale") => stale.replace(Span::any(operand, "STALE")?).is_some(),
            () if is(word, "jitter") => jitter.replace(ttl::jitter_percent(operand)?).is_some(),
            () => return Err(CommandError::Syntax),
        };
        if repeated {
            return Err(CommandError::Syntax);
        }
    }
    let fresh: Span = fresh.ok_or(CommandError::Syntax)?;
    let stale: Span = stale.unwrap_or_default();
    // The check is of what was asked for, whatever the jitter makes of it.
    let mut fresh_until_ms = fresh.deadline_ms(context, "lease.set")?;
    stale.after(fresh_until_ms, "lease.set")?;
    if let Some(percent) = jitter {
        let rng = &mut context.server.rng;
        fresh_until_ms = ttl::jittered(fresh_until_ms, percent, context.now, rng);
    }
    let fill = Fill {
        value: adopted(context.server, &args[3]),
        deadline_ms: stale.after(fresh_until_ms, "lease.set")?,
        fresh_until_ms: (stale.ms > 0).then_some(fresh_until_ms),
    };
    context.db.peek_string(key)?;
    let stored = context.db.fill(key, token, fill);
    context.reply.integer(if stored { 1 } else { NOT_YOURS });
    Ok(Outcome::Done)
}

/// The lease has run out, is void, or is another's.
const NOT_YOURS: i64 = -1;
const NO_SUCH_KEY: i64 = -2;

fn fail(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    if args.len() > 4 {
        return Err(CommandError::WrongArity { command: "lease.fail".to_owned() });
    }
    let (key, token) = (&args[1], span::positive(&args[2], "token")?);
    context.db.peek_string(key)?;
    let was_live = context.db.lease(key).is_some_and(|lease| lease.token == token);
    let given_up = context.db.fail_lease(key, token);
    if let Some(message) = args.get(3).filter(|_| was_live) {
        let message: Arc<[u8]> = message.into();
        let db = context.db.index();
        let waiters = context.db.keyspace().waiters();
        let for_value = waiters.of(db, key).filter(|(_, want, _)| **want == Want::Lease);
        let for_value: Vec<_> = for_value.map(|(waiter, ..)| waiter).collect();
        for waiter in for_value {
            context.clients.unblock(waiter, Wake::Refused(message.clone()));
        }
    }
    context.reply.integer(if given_up { 1 } else { NOT_YOURS });
    Ok(Outcome::Done)
}

fn invalidate(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let deadline_ms = match args.len() {
        2 => None,
        4 if is(&args[2], "stale") => {
            let stale = Span::any(&args[3], "STALE")?;
            Some(stale.deadline_ms(context, "lease.invalidate")?)
        }
        3 | 4 => return Err(CommandError::Syntax),
        _ => return Err(CommandError::Syntax),
    };
    let found = context.db.invalidate(&args[1], deadline_ms)?;
    context.reply.integer(if found { 1 } else { NO_SUCH_KEY });
    Ok(Outcome::Done)
}
