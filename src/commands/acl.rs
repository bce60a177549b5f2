//! ACL: as much of it as a server with one user has.

use super::command::{CATEGORIES, categories};
use super::flags::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::parse::is;
use super::{CommandError, Context, Group, Outcome, Ran, Spec, TABLE, help};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "acl",
    arity: -2,
    flags: 0,
    complexity: "Depends on the subcommand.",
    summary: "A container for commands on users and command categories.",
    subcommands: &[&CAT, &HELP, &USERS, &WHOAMI],
    ..BASE
};

const BASE: Spec = Spec {
    arity: 2,
    flags: NOSCRIPT | LOADING | STALE,
    group: Group::Server,
    since: "6.0.0",
    ..Spec::BASE
};

static CAT: Spec = Spec {
    name: "cat",
    arity: -2,
    summary: "Lists the categories of commands, or the commands of one category.",
    syntax: "[categoryname]",
    example: "
> ACL CAT hyperloglog
(empty array)
> ACL CAT nosuch
(error) ERR Unknown category 'nosuch'
",
    handler: cat,
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> ACL HELP
(any)
",
    ..help::spec(Group::Server, "6.0.0")
};

static USERS: Spec = Spec {
    name: "users",
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    summary: "Lists the users, of which there is one.",
    example: r#"
> ACL USERS
1) "default"
"#,
    handler: |context, _| {
        context.reply.array(1);
        context.reply.bulk(b"default");
        Ok(Outcome::Done)
    },
    ..BASE
};

static WHOAMI: Spec = Spec {
    name: "whoami",
    summary: "Answers the user of this connection.",
    example: r#"
> ACL WHOAMI
"default"
"#,
    handler: |context, _| {
        context.reply.bulk(b"default");
        Ok(Outcome::Done)
    },
    ..BASE
};

fn cat(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let reply = &mut context.reply;
    match args.len() {
        2 => {
            reply.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|category| reply.bulk(category.as_bytes()));
        }
        3 => {
            let wanted = &args[2];
            if !CATEGORIES.iter().any(|category| is(wanted, category)) {
                let mut text = b"ERR Unknown category '".to_vec();
                text.extend_from_slice(wanted);
                text.push(b'\'');
                return Err(CommandError::owned(text));
            }
            reply.array_with(|reply| {
                let mut count = 0;
                for command in TABLE.all() {
                    if categories(command).any(|category| is(wanted, category)) {
                        reply.bulk(command.full_name().as_bytes());
                        count += 1;
                    }
                }
                count
            });
        }
        _ => return Err(CommandError::unknown_form(args)),
    }
    Ok(Outcome::Done)
}
