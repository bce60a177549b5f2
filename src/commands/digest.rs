//! DIGEST: a string's hash, for comparing without the string.

use super::condition;
use super::flags::{FAST, READONLY};
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "digest",
    arity: 2,
    flags: READONLY | FAST,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    group: Group::String,
    since: "8.4.0",
    complexity: "O(N) with N being the length of the string",
    summary: "Answers the XXH3 hash of the string under a key as 16 hexadecimal digits.",
    syntax: "key",
    example: r#"
> SET greeting hello
OK
> DIGEST greeting
"9555e8555c62dcfd"
> SET greeting goodbye IFDEQ 9555e8555c62dcfd
OK
> DIGEST nothing
(nil)
"#,
    handler: digest,
    ..Spec::BASE
};

fn digest(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    match context.db.read_string(&args[1])? {
        Some(value) => context.reply.bulk(&condition::digest(value)),
        None => context.reply.null(),
    }
    Ok(Outcome::Done)
}
