//! The HELP subcommand of every container, made from the table.

use super::flags::{LOADING, STALE};
use super::{Context, Group, Outcome, Ran, Spec, TABLE};
use crate::protocol::Args;

/// The spec of a container's HELP.
pub(super) const fn spec(group: Group, since: &'static str) -> Spec {
    Spec {
        name: "help",
        arity: 2,
        flags: LOADING | STALE,
        group,
        since,
        summary: "Lists the subcommands with their arguments.",
        handler: help,
        ..Spec::BASE
    }
}

fn help(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
    let container = TABLE.find(&args[0]).expect("this subcommand was reached through it");
    let mut lines =
        vec![format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for sub in TABLE.subcommands(container) {
        let syntax = sub.spec.syntax;
        let space = if syntax.is_empty() { "" } else { " " };
        lines.push(format!("{}{space}{syntax}", sub.spec.name.to_ascii_uppercase()));
        lines.push(format!("    {}", sub.spec.summary));
    }
    context.reply.array(lines.len());
    for line in &lines {
        context.reply.simple(line);
    }
    Ok(Outcome::Done)
}
