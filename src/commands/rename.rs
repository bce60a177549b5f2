//! RENAME and RENAMENX: another name for a key.

use super::copy::check_movable;
use super::flags::{FAST, WRITE};
use super::{CommandError, Context, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static RENAME: Spec = Spec {
    name: "rename",
    arity: 3,
    flags: WRITE,
    keys: &[KeySpec::one(1, "RW ACCESS DELETE"), KeySpec::one(2, "OW UPDATE")],
    summary: "Gives a key another name, in place of whatever has that name.",
    syntax: "key newkey",
    example: r#"
> SET a 1
OK
> RENAME a b
OK
> GET b
"1"
> RENAME a b
(error) ERR no such key
"#,
    handler: rename,
    ..Spec::BASE
};

pub(super) static RENAMENX: Spec = Spec {
    name: "renamenx",
    arity: 3,
    flags: WRITE | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS DELETE"), KeySpec::one(2, "OW INSERT")],
    summary: "Gives a key another name if that is free; answers 1, or 0 if it is not.",
    syntax: "key newkey",
    example: "
> MSET a 1 b 2
OK
> RENAMENX a b
(integer) 0
> RENAMENX a c
(integer) 1
",
    handler: renamenx,
    ..Spec::BASE
};

fn rename(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (from, to) = (&args[1], &args[2]);
    check_movable(context.db.look(from))?;
    let renamed =
        if from == to { context.db.peek(from).is_some() } else { context.db.rename(from, to) };
    if !renamed {
        return Err(CommandError::NoSuchKey);
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

fn renamenx(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (from, to) = (&args[1], &args[2]);
    check_movable(context.db.look(from))?;
    if context.db.peek(from).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    let renamed = from != to && context.db.peek(to).is_none() && context.db.rename(from, to);
    context.reply.integer(i64::from(renamed));
    Ok(Outcome::Done)
}
