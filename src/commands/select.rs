//! SELECT: another database.

use super::flags::{FAST, LOADING, STALE};
use super::parse::int;
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "select",
    arity: 2,
    flags: LOADING | STALE | FAST,
    group: Group::Connection,
    summary: "Chooses the database that the client's further commands are about.",
    syntax: "index",
    example: "
> SET a 1
OK
> SELECT 1
OK
> GET a
(nil)
> SELECT 16
(error) ERR DB index is out of range
",
    handler: select,
    ..Spec::BASE
};

fn select(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let index = usize::try_from(int(&args[1])?)
        .ok()
        .filter(|index| *index < context.db.keyspace().database_count())
        .ok_or(CommandError::DbOutOfRange)?;
    // The client's next command, and the next one of this transaction.
    context.clients[context.me].select(index);
    context.db.select(index);
    context.reply.ok();
    Ok(Outcome::Done)
}
