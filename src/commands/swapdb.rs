//! SWAPDB: exchange two databases.

use super::flags::{FAST, WRITE};
use super::parse::int;
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "swapdb",
    arity: 3,
    flags: WRITE | FAST,
    acl: &["dangerous", "keyspace"],
    group: Group::Server,
    since: "4.0.0",
    summary: "Exchanges two databases; clients of one see the other's keys at once.",
    syntax: "index1 index2",
    example: r#"
> SET a 1
OK
> SWAPDB 0 1
OK
> GET a
(nil)
> SWAPDB 0 1
OK
> GET a
"1"
"#,
    handler: swapdb,
    ..Spec::BASE
};

fn swapdb(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let first = int(&args[1]).map_err(|_| CommandError::fixed("ERR invalid first DB index"))?;
    let second = int(&args[2]).map_err(|_| CommandError::fixed("ERR invalid second DB index"))?;
    let keyspace = context.db.keyspace();
    let index = |number: i64| {
        usize::try_from(number)
            .ok()
            .filter(|index| *index < keyspace.database_count())
            .ok_or(CommandError::DbOutOfRange)
    };
    let (first, second) = (index(first)?, index(second)?);
    keyspace.swap(first, second);
    context.reply.ok();
    Ok(Outcome::Done)
}
