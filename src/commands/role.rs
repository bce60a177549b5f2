//! ROLE: a master without replicas.

use super::flags::{FAST, LOADING, NOSCRIPT, STALE};
use super::{Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "role",
    arity: 1,
    flags: NOSCRIPT | LOADING | STALE | FAST,
    group: Group::Server,
    acl: &["admin", "dangerous"],
    since: "2.8.12",
    summary: "Answers that this is a master, and that it has no replicas.",
    example: r#"
> ROLE
1) "master"
2) (integer) 0
3) (empty array)
"#,
    handler: role,
    ..Spec::BASE
};

fn role(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    context.reply.array(3);
    context.reply.bulk(b"master");
    context.reply.integer(0);
    context.reply.array(0);
    Ok(Outcome::Done)
}
