//! FLUSHDB and FLUSHALL: remove all keys.
//!
//! SYNC and ASYNC mean the same here: the keys are gone at once, and what they
//! held is freed in slices, so that neither form holds up the loop.

use super::flags::WRITE;
use super::parse::is;
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static FLUSHDB: Spec = Spec {
    name: "flushdb",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arity: -1,
    flags: WRITE,
    acl: &["dangerous", "keyspace"],
    group: Group::Server,
    complexity: "O(1); freeing takes O(N) in the background",
    summary: "Removes all keys of the selected database.",
    syntax: "[ASYNC|SYNC]",
    example: "
> SET a 1
OK
> FLUSHDB
OK
> DBSIZE
(integer) 0
",
    handler: flushdb,
    ..Spec::BASE
};

pub(super) static FLUSHALL: Spec = Spec {
    name: "flushall",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    summary: "Removes all keys of all databases.",
    example: "
> SET a 1
OK
> FLUSHALL
OK
> DBSIZE
(integer) 0
",
    handler: flushall,
    arity: FLUSHDB.arity,
    flags: FLUSHDB.flags,
    acl: FLUSHDB.acl,
    group: FLUSHDB.group,
    complexity: FLUSHDB.complexity,
    syntax: FLUSHDB.syntax,
    ..Spec::BASE
};

fn flushdb(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    check_mode(args)?;
    let db = context.db.index();
    context.db.keyspace().flush(db);
    context.reply.ok();
    Ok(Outcome::Done)
}

fn flushall(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    check_mode(args)?;
    let keyspace = context.db.keyspace();
    for db in 0..keyspace.database_count() {
        keyspace.flush(db);
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

fn check_mode(args: Args<'_>) -> Result<(), CommandError> {
    let known = match args.len() {
        1 => true,
        2 => is(&args[1], "async") || is(&args[1], "sync"),
        _ => false,
    };
    if known { Ok(()) } else { Err(CommandError::Syntax) }
}
