//! TIME: what the server's clock says.

use super::flags::{FAST, LOADING, STALE};
use super::{Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "time",
    tips: &["nondeterministic_output"],
    arity: 1,
    flags: LOADING | STALE | FAST,
    group: Group::Server,
    since: "2.6.0",
    summary: "Answers the Unix time: seconds, and microseconds of the current one.",
    example: r#"
> TIME
1) "1893456000"
2) "0"
(1500 ms later)
> TIME
1) "1893456001"
2) "500000"
"#,
    handler: time,
    ..Spec::BASE
};

fn time(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    context.reply.array(2);
    context.reply.bulk_int(context.now.unix_s() as i64);
    context.reply.bulk_int((context.now.unix_us % 1_000_000) as i64);
    Ok(Outcome::Done)
}
