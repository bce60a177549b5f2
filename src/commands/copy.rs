//! COPY and MOVE: a key in another place.

use super::flags::{DENYOOM, FAST, WRITE};
use super::parse::{int, is};
use super::{CommandError, Context, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::EntryRef;
use crate::protocol::Args;

pub(super) static COPY: Spec = Spec {
    name: "copy",
    arity: -3,
    flags: WRITE | DENYOOM,
    keys: &[KeySpec::one(1, "RO ACCESS"), KeySpec::one(2, "OW UPDATE")],
    since: "6.2.0",
    complexity: "O(N) where N is the length of the value",
    summary: "Copies a key with its deadline; answers 1, or 0 if it is not there or the target is.",
    syntax: "source destination [DB destination-db] [REPLACE]",
    example: r#"
> MSET a 1 b 2
OK
> COPY a b
(integer) 0
> COPY a b REPLACE
(integer) 1
> GET b
"1"
"#,
    handler: copy,
    ..Spec::BASE
};

pub(super) static MOVE: Spec = Spec {
    name: "move",
    arity: 3,
    flags: WRITE | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    summary: "Moves a key to another database; answers 1, or 0 if it is not there or the target is.",
    syntax: "key db",
    example: "
> SET a 1
OK
> MOVE a 1
(integer) 1
> MOVE a 1
(integer) 0
",
    handler: move_key,
    ..Spec::BASE
};

/// Refuses to let what stands under a key stand under another: owners and buyers
/// know a lock or a hold by its name.
pub(super) fn check_movable(entry: Option<EntryRef<'_>>) -> Result<(), CommandError> {
    if entry.is_some_and(|entry| entry.object().is_some()) {
        return Err(CommandError::fixed(
            "ERR a lock or a hold cannot be copied, moved or renamed: its name is what its \
             owners know it by",
        ));
    }
    Ok(())
}

const SAME_OBJECT: CommandError =
    CommandError::fixed("ERR source and destination objects are the same");

fn copy(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (from, to) = (&args[1], &args[2]);
    let mut target = context.db.index();
    let mut replace = false;
    let mut options = args.tail(3).iter();
    while let Some(option) = options.next() {
        if is(option, "replace") {
            replace = true;
        } else if is(option, "db") {
            target = database(context, options.next().ok_or(CommandError::Syntax)?)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if target == context.db.index() && from == to {
        return Err(SAME_OBJECT);
    }
    check_movable(context.db.look(from))?;
    let copied = context.db.read(from).is_some()
        && (replace || context.db.other(target).peek(to).is_none())
        && context.db.copy(from, target, to);
    context.reply.integer(i64::from(copied));
    Ok(Outcome::Done)
}

fn move_key(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    let target = database(context, &args[2])?;
    if target == context.db.index() {
        return Err(SAME_OBJECT);
    }
    check_movable(context.db.look(key))?;
    let moved = context.db.peek(key).is_some()
        && context.db.other(target).peek(key).is_none()
        && context.db.move_to(target, key);
    context.reply.integer(i64::from(moved));
    Ok(Outcome::Done)
}

fn database(context: &mut Context<'_>, arg: &[u8]) -> Result<usize, CommandError> {
    usize::try_from(int(arg)?)
        .ok()
        .filter(|index| *index < context.db.keyspace().database_count())
        .ok_or(CommandError::DbOutOfRange)
}
