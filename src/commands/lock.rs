//! LOCK.ACQUIRE, RELEASE, EXTEND, INFO: one owner at a time, in order of arrival,
//! with a token that proves it.

use super::flags::{BLOCKING, DENYOOM, FAST, READONLY, WRITE};
use super::parse::is;
use super::span::{self, Span};
use super::wait::UNBLOCKED;
use super::{CommandError, Context, Grant, Granted, Group, KeySpec, Outcome, Ran, Spec, Wait};
use crate::clients::Wake;
use crate::keyspace::{Acquire, Acquired, Edge, LockMode, Want};
use crate::protocol::Args;

const BASE: Spec = Spec { group: Group::Lock, since: "0.1.0", ..Spec::BASE };

pub(super) static ACQUIRE: Spec = Spec {
    name: "lock.acquire",
    arity: -5,
    flags: WRITE | DENYOOM | BLOCKING,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    complexity: "O(log N) with N being the number of owners",
    summary: "Makes the lock an owner's for a time and answers a fencing token, or nil.",
    syntax: "lock owner PX milliseconds [WAIT milliseconds] [SHARED|LIMIT owners] [TIED]",
    example: "
> LOCK.ACQUIRE report worker-1 PX 30000
(integer) 1893456000000001
2> LOCK.ACQUIRE report worker-2 PX 30000
(nil)
2> LOCK.ACQUIRE report worker-2 PX 30000 WAIT 5000
(none)
> LOCK.RELEASE report worker-1
(integer) 0
2>
(integer) 1893456000000002
",
    handler: acquire,
    ..BASE
};

pub(super) static RELEASE: Spec = Spec {
    name: "lock.release",
    arity: 3,
    flags: WRITE | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS DELETE")],
    complexity: "O(log N) with N being the number of owners",
    summary: "Gives back one hold of a lock; answers those left, -1: another owns it, -2: nobody.",
    syntax: "lock owner",
    example: "
> LOCK.ACQUIRE report worker-1 PX 30000
(integer) 1893456000000001
2> LOCK.RELEASE report worker-2
(integer) -1
> LOCK.RELEASE report worker-1
(integer) 0
> LOCK.RELEASE report worker-1
(integer) -2
",
    handler: release,
    ..BASE
};

pub(super) static EXTEND: Spec = Spec {
    name: "lock.extend",
    arity: 5,
    flags: WRITE | FAST,
    keys: &[KeySpec::one(1, "RW UPDATE")],
    complexity: "O(log N) with N being the number of owners",
    summary: "Lets an owner's time end so long from now; 1, -1: another owns it, -2: nobody does.",
    syntax: "lock owner PX milliseconds",
    example: "
> LOCK.ACQUIRE report worker-1 PX 30000
(integer) 1893456000000001
(20000 ms later)
> LOCK.EXTEND report worker-1 PX 30000
(integer) 1
> PTTL report
(integer) 30000
",
    handler: extend,
    ..BASE
};

pub(super) static INFO: Spec = Spec {
    name: "lock.info",
    arity: 2,
    flags: READONLY,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    complexity: "O(N) with N being the number of owners and waiters",
    summary: "Answers who owns a lock and who waits for it, or nil if nobody owns it.",
    syntax: "lock",
    example: r#"
> LOCK.ACQUIRE report worker-1 PX 30000
(integer) 1893456000000001
2> LOCK.ACQUIRE report worker-2 PX 30000 WAIT 5000
(none)
(100 ms later)
> LOCK.INFO report
1) "mode"
2) "exclusive"
3) "limit"
4) (integer) 1
5) "owners"
6) 1) 1) "owner"
      2) "worker-1"
      3) "token"
      4) (integer) 1893456000000001
      5) "holds"
      6) (integer) 1
      7) "pttl"
      8) (integer) 29900
7) "waiters"
8) 1) 1) "owner"
      2) "worker-2"
      3) "waited-ms"
      4) (integer) 100
"#,
    handler: info,
    ..BASE
};

fn acquire(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let options = Options::read(args)?;
    match &context.wake {
        Wake::First | Wake::Ready => {}
        Wake::TimedOut => {
            context.reply.null();
            return Ok(Outcome::Done);
        }
        Wake::Unblocked | Wake::Refused(_) => return Err(UNBLOCKED),
    }
    let (key, owner) = (&args[1], &args[2]);
    let client_id = context.clients[context.me].id;
    if options.tied {
        check_ties(context, key, owner, client_id)?;
    }
    let acquired = context.db.acquire(
        key,
        Acquire {
            owner,
            mode: options.mode,
            deadline_ms: options.lasts.deadline_ms(context, "lock.acquire")?,
            tied: options.tied,
            client_id,
            waiter: context.me,
        },
    )?;
    match acquired {
        Acquired::Granted(token) => {
            let db = context.db.id();
            let grants = &mut context.server.grants;
            if options.tied {
                grants.tie(client_id, token, db, key);
            }
            grants.push(client_id, Grant { granted: Granted::Lock, db, key: key.into(), token });
            context.reply.integer(token as i64);
            Ok(Outcome::Done)
        }
        Acquired::OtherMode(mode) => {
            Err(CommandError::owned(format!("ERR lock is in use in another mode: {}", name(mode))))
        }
        Acquired::Busy => wait_for(context, args, &options),
    }
}

/// Waits, unless nobody asked to or it would never end.
fn wait_for(context: &mut Context<'_>, args: Args<'_>, options: &Options) -> Ran {
    let (key, owner) = (&args[1], &args[2]);
    let Some(deadline) = options.wait.deadline(context) else {
        context.reply.null();
        return Ok(Outcome::Done);
    };
    if context.wake == Wake::First
        && let Some(circle) = context.db.circle(owner, key, context.config.lock_circle_max)
    {
        return Err(deadlock(&circle));
    }
    let want = Want::Lock { owner: owner.into(), mode: options.mode };
    Ok(Outcome::Wait(Box::new(Wait { deadline: Some(deadline), on: Some((vec![1], want)) })))
}

/// How many steps of a circle its error names.
const NAMED_STEPS_MAX: usize = 16;

fn deadlock(circle: &[Edge]) -> CommandError {
    let mut text = b"DEADLOCK ".to_vec();
    for (at, edge) in circle.iter().take(NAMED_STEPS_MAX).enumerate() {
        if at > 0 {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(CommandError::quotable(&edge.waiter));
        text.extend_from_slice(b" waits for ");
        text.extend_from_slice(CommandError::quotable(&edge.lock));
        text.extend_from_slice(b" held by ");
        text.extend_from_slice(CommandError::quotable(&edge.owner));
    }
    if circle.len() > NAMED_STEPS_MAX {
        text.extend_from_slice(format!(", and {} more", circle.len() - NAMED_STEPS_MAX).as_bytes());
    }
    CommandError::owned(text)
}

/// Whether the connection may have one more lock tied to it, if this is one.
fn check_ties(
    context: &mut Context<'_>,
    key: &[u8],
    owner: &[u8],
    client_id: u64,
) -> Result<(), CommandError> {
    let ties_max = context.config.client_tied_max;
    let token = context.db.lock(key)?.and_then(|lock| lock.token_of(owner));
    let grants = &mut context.server.grants;
    if token.is_some_and(|token| grants.is_tied(client_id, token)) {
        return Ok(());
    }
    if grants.tied_count(client_id) >= ties_max {
        grants.prune_ties(client_id, context.db.keyspace());
    }
    if grants.tied_count(client_id) >= ties_max {
        return Err(CommandError::owned(format!(
            "ERR this connection holds client-tied-max ({ties_max}) locks TIED to it"
        )));
    }
    Ok(())
}

fn release(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (key, owner) = (&args[1], &args[2]);
    let token = context.db.lock(key)?.and_then(|lock| lock.token_of(owner));
    let left = context.db.release(key, owner)?;
    if let Some(token) = token {
        let client_id = context.clients[context.me].id;
        context.server.grants.settle(client_id, token);
    }
    context.reply.integer(left);
    Ok(Outcome::Done)
}

fn extend(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    if !is(&args[3], "px") {
        return Err(CommandError::Syntax);
    }
    let lasts = Span::positive(&args[4], "PX")?;
    let deadline_ms = lasts.deadline_ms(context, "lock.extend")?;
    let extended = context.db.extend_lock(&args[1], &args[2], deadline_ms)?;
    context.reply.integer(extended);
    Ok(Outcome::Done)
}

fn info(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    let now = context.now;
    let Some(lock) = context.db.lock(key)? else {
        context.reply.null();
        return Ok(Outcome::Done);
    };
    let reply = &mut context.reply;
    reply.map(4);
    reply.bulk(b"mode");
    reply.bulk(match lock.mode() {
        LockMode::Exclusive => b"exclusive",
        LockMode::Shared => b"shared",
        LockMode::Limit(_) => b"limit",
    });
    reply.bulk(b"limit");
    match lock.mode() {
        LockMode::Exclusive => reply.integer(1),
        LockMode::Shared => reply.null(),
        LockMode::Limit(limit) => reply.integer(limit as i64),
    }
    reply.bulk(b"owners");
    reply.array(lock.len());
    for (token, owner) in lock.owners() {
        reply.map(4);
        reply.bulk(b"owner");
        reply.bulk(&owner.name);
        reply.bulk(b"token");
        reply.integer(token as i64);
        reply.bulk(b"holds");
        reply.integer(i64::try_from(owner.holds).unwrap_or(i64::MAX));
        reply.bulk(b"pttl");
        reply.integer(span::left_ms(owner.deadline_ms, now));
    }
    let db = context.db.index();
    reply.bulk(b"waiters");
    let waiters = context.db.keyspace().waiters();
    reply.array_with(|reply| {
        let mut count = 0;
        for (_, want, since) in waiters.of(db, key) {
            let Want::Lock { owner, .. } = want else { continue };
            reply.map(2);
            reply.bulk(b"owner");
            reply.bulk(owner);
            reply.bulk(b"waited-ms");
            reply.integer(now.monotonic.saturating_sub(since).as_millis() as i64);
            count += 1;
        }
        count
    });
    Ok(Outcome::Done)
}

/// A mode as its error names it.
fn name(mode: LockMode) -> String {
    match mode {
        LockMode::Exclusive => "exclusive".to_owned(),
        LockMode::Shared => "shared".to_owned(),
        LockMode::Limit(limit) => format!("limit {limit}"),
    }
}

struct Options {
    lasts: Span,
    wait: Span,
    mode: LockMode,
    tied: bool,
}

impl Options {
    fn read(args: Args<'_>) -> Result<Options, CommandError> {
        let (mut lasts, mut wait, mut mode, mut tied) = (None, None, None, false);
        let mut options = args.tail(3).iter();
        while let Some(word) = options.next() {
            let mut operand = || options.next().ok_or(CommandError::Syntax);
            let repeated = match () {
                () if is(word, "px") => lasts.replace(Span::positive(operand()?, "PX")?).is_some(),
                () if is(word, "wait") => wait.replace(Span::any(operand()?, "WAIT")?).is_some(),
                () if is(word, "shared") => mode.replace(LockMode::Shared).is_some(),
                () if is(word, "limit") => {
                    let limit = span::positive(operand()?, "LIMIT")?;
                    mode.replace(LockMode::Limit(limit)).is_some()
                }
                () if is(word, "tied") => std::mem::replace(&mut tied, true),
                () => return Err(CommandError::Syntax),
            };
            if repeated {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Options {
            lasts: lasts.ok_or(CommandError::Syntax)?,
            wait: wait.unwrap_or_default(),
            mode: mode.unwrap_or(LockMode::Exclusive),
            tied,
        })
    }
}
