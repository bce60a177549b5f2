//! GETSET: store a string and answer the one before.

use super::flags::{BRIEF, DENYOOM, FAST, WRITE};
use super::parse::write_value;
use super::value::adopted;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Deadline, event};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "getset",
    arity: 3,
    flags: WRITE | DENYOOM | FAST | BRIEF,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::String,
    summary: "Stores a string under a key and answers what was there before.",
    syntax: "key value",
    example: r#"
> GETSET owner alice
(nil)
> GETSET owner bob
"alice"
"#,
    handler: getset,
    ..Spec::BASE
};

fn getset(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    match context.db.read_string(key)? {
        Some(value) => write_value(&mut context.reply, value),
        None => context.reply.null(),
    }
    context.db.store(key, adopted(context.server, &args[2]), Deadline::Never, event::SET);
    Ok(Outcome::Done)
}
