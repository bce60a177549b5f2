//! COMMAND: what commands there are, and everything about them.

mod categories;
mod docs;
mod info;
mod keys;

use super::flags::{LOADING, STALE};
use super::parse::is;
use super::{Command, CommandError, Context, Group, Outcome, Ran, Spec, TABLE, help};
use crate::glob::{self, Case};
use crate::protocol::Args;
pub(super) use categories::{CATEGORIES, categories};
pub(crate) use keys::keys_of;

pub(super) static SPEC: Spec = Spec {
    name: "command",
    arity: -1,
    since: "2.8.13",
    tips: &["nondeterministic_output_order"],
    complexity: "O(N) where N is the number of commands",
    summary: "Describes all commands.",
    subcommands: &[&COUNT, &DOCS, &GETKEYS, &GETKEYSANDFLAGS, &HELP, &INFO, &LIST],
    example: "
> COMMAND
(any)
",
    handler: |context, _| {
        info::all(&mut context.reply);
        Ok(Outcome::Done)
    },
    ..BASE
};

const BASE: Spec = Spec {
    flags: LOADING | STALE,
    group: Group::Server,
    acl: &["connection"],
    since: "2.8.13",
    ..Spec::BASE
};

static COUNT: Spec = Spec {
    name: "count",
    arity: 2,
    summary: "Answers the number of commands.",
    example: "
> COMMAND COUNT
(any)
",
    handler: |context, _| {
        context.reply.integer(TABLE.top_level().count() as i64);
        Ok(Outcome::Done)
    },
    ..BASE
};

static DOCS: Spec = Spec {
    name: "docs",
    arity: -2,
    since: "7.0.0",
    tips: &["nondeterministic_output_order"],
    complexity: "O(N) where N is the number of commands to look up",
    summary: "Documents commands, all of them when none is named.",
    syntax: "[command-name ...]",
    example: "
> COMMAND DOCS nosuch
(empty array)
",
    handler: docs::docs,
    ..BASE
};

static GETKEYS: Spec = Spec {
    name: "getkeys",
    arity: -4,
    complexity: "O(N) where N is the number of arguments to the command",
    summary: "Picks the keys out of a request.",
    syntax: "command [arg ...]",
    example: r#"
> COMMAND GETKEYS MSET a 1 b 2
1) "a"
2) "b"
"#,
    handler: keys::getkeys,
    ..BASE
};

static GETKEYSANDFLAGS: Spec = Spec {
    name: "getkeysandflags",
    arity: -4,
    since: "7.0.0",
    complexity: "O(N) where N is the number of arguments to the command",
    summary: "Picks the keys out of a request and says what happens to each.",
    syntax: "command [arg ...]",
    example: r#"
> COMMAND GETKEYSANDFLAGS GET a
1) 1) "a"
   2) 1) RO
      2) access
"#,
    handler: keys::getkeysandflags,
    ..BASE
};

static HELP: Spec = Spec {
    acl: &["connection"],
    example: "
> COMMAND HELP
(any)
",
    ..help::spec(Group::Server, "5.0.0")
};

static INFO: Spec = Spec {
    name: "info",
    arity: -2,
    tips: &["nondeterministic_output_order"],
    complexity: "O(N) where N is the number of commands to look up",
    summary: "Describes commands, all of them when none is named.",
    syntax: "[command-name ...]",
    example: "
> COMMAND INFO nosuch
1) (nil)
",
    handler: info::info,
    ..BASE
};

static LIST: Spec = Spec {
    name: "list",
    arity: -2,
    since: "7.0.0",
    tips: &["nondeterministic_output_order"],
    complexity: "O(N) where N is the number of commands",
    summary: "Lists the names of all commands, or of those that pass a filter.",
    syntax: "[FILTERBY MODULE module-name|ACLCAT category|PATTERN pattern]",
    example: r#"
> COMMAND LIST FILTERBY PATTERN rename*
1) "rename"
2) "renamenx"
> COMMAND LIST FILTERBY MODULE nosuch
(empty array)
"#,
    handler: list,
    ..BASE
};

/// The command of this name; `config|get` is a subcommand.
pub(super) fn named(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|&byte| byte == b'|') {
        None => TABLE.find(name),
        Some(bar) => TABLE.subcommand(TABLE.find(&name[..bar])?, &name[bar + 1..]),
    }
}

fn list(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let filter = match args.len() {
        2 => Filter::Everything,
        5 if is(&args[2], "filterby") => Filter::parse(&args[3], &args[4])?,
        _ => return Err(CommandError::Syntax),
    };
    context.reply.array_with(|reply| {
        let mut count = 0;
        for command in TABLE.all().iter().filter(|command| filter.passes(command)) {
            reply.bulk(command.full_name().as_bytes());
            count += 1;
        }
        count
    });
    Ok(Outcome::Done)
}

/// Which commands COMMAND LIST names.
enum Filter<'a> {
    Everything,
    /// Those of a module; there are no modules.
    Module,
    Category(&'a [u8]),
    Pattern(&'a [u8]),
}

impl Filter<'_> {
    fn parse<'a>(by: &[u8], wanted: &'a [u8]) -> Result<Filter<'a>, CommandError> {
        match by {
            by if is(by, "module") => Ok(Filter::Module),
            by if is(by, "aclcat") => Ok(Filter::Category(wanted)),
            by if is(by, "pattern") => Ok(Filter::Pattern(wanted)),
            _ => Err(CommandError::Syntax),
        }
    }

    fn passes(&self, command: &Command) -> bool {
        match self {
            Filter::Everything => true,
            Filter::Module => false,
            Filter::Category(wanted) => categories(command).any(|category| is(wanted, category)),
            Filter::Pattern(wanted) => {
                glob::matches(wanted, command.full_name().as_bytes(), Case::Ignored)
            }
        }
    }
}
