//! GETDEL: take a string away and answer it.

use super::flags::{BRIEF, FAST, WRITE};
use super::parse::write_value;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::event;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "getdel",
    arity: 2,
    flags: WRITE | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RW ACCESS DELETE")],
    group: Group::String,
    since: "6.2.0",
    summary: "Answers the string under a key and removes the key.",
    syntax: "key",
    example: r#"
> SET voucher 50
OK
> GETDEL voucher
"50"
2> GETDEL voucher
(nil)
"#,
    handler: getdel,
    ..Spec::BASE
};

fn getdel(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    match context.db.read_string(key)? {
        Some(value) => write_value(&mut context.reply, value),
        None => {
            context.reply.null();
            return Ok(Outcome::Done);
        }
    }
    context.db.remove(key, event::DEL);
    Ok(Outcome::Done)
}
