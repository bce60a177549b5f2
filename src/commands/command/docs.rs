//! COMMAND DOCS: what `redis-cli` shows as hints and as HELP.

use super::named;
use crate::commands::syntax::{self, Argument, Kind};
use crate::commands::{Command, Context, Outcome, Ran, Spec, TABLE};
use crate::protocol::{Args, Reply};

pub(super) fn docs(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let reply = &mut context.reply;
    if args.len() == 2 {
        reply.map_with(|reply| TABLE.top_level().map(|command| entry(reply, command)).count());
    } else {
        let asked = args.tail(2);
        reply.map_with(|reply| {
            asked.iter().filter_map(named).map(|command| entry(reply, command)).count()
        });
    }
    Ok(Outcome::Done)
}

fn entry(reply: &mut Reply<'_>, command: &Command) {
    let spec = command.spec;
    reply.bulk(command.full_name().as_bytes());
    let arguments = arguments(spec);
    reply.map_with(|reply| {
        for (name, text) in [
            ("summary", spec.summary),
            ("since", spec.since),
            ("group", spec.group.name()),
            ("complexity", spec.complexity),
        ] {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
        let mut fields = 4;
        if !arguments.is_empty() {
            reply.bulk(b"arguments");
            write_all(reply, &arguments, &mut KeyIndex { next: 0, specs: spec.keys.len() });
            fields += 1;
        }
        if !spec.subcommands.is_empty() {
            reply.bulk(b"subcommands");
            reply.map(spec.subcommands.len());
            for sub in TABLE.subcommands(command) {
                entry(reply, sub);
            }
            fields += 1;
        }
        fields
    });
}

fn arguments(spec: &Spec) -> Vec<Argument> {
    let mut arguments = syntax::parse(spec.syntax);
    // The one command whose increment is a fraction although no token says so.
    if spec.name == "incrbyfloat"
        && let Some(increment) = arguments.iter_mut().find(|arg| arg.name == "increment")
    {
        increment.kind = Kind::Double;
    }
    arguments
}

/// Counts the keys among the arguments: each belongs to the key spec of its
/// number, and all further ones to the last.
struct KeyIndex {
    next: usize,
    specs: usize,
}

fn write_all(reply: &mut Reply<'_>, arguments: &[Argument], keys: &mut KeyIndex) {
    reply.array(arguments.len());
    for argument in arguments {
        write(reply, argument, keys);
    }
}

fn write(reply: &mut Reply<'_>, argument: &Argument, keys: &mut KeyIndex) {
    // A name like a key's in a command without keys is a plain string.
    let is_key = argument.kind == Kind::Key && keys.specs > 0;
    let kind = match argument.kind {
        Kind::Key if !is_key => Kind::Text,
        kind => kind,
    };
    reply.map_with(|reply| {
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(kind.name().as_bytes());
        let mut fields = 2;
        if is_key {
            reply.bulk(b"key_spec_index");
            reply.integer(keys.next.min(keys.specs - 1) as i64);
            keys.next += 1;
            fields += 1;
        }
        if let Some(token) = &argument.token {
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
            fields += 1;
        }
        if argument.is_optional || argument.is_multiple {
            reply.bulk(b"flags");
            reply.set(usize::from(argument.is_optional) + usize::from(argument.is_multiple));
            if argument.is_optional {
                reply.simple("optional");
            }
            if argument.is_multiple {
                reply.simple("multiple");
            }
            fields += 1;
        }
        if !argument.parts.is_empty() {
            reply.bulk(b"arguments");
            write_all(reply, &argument.parts, keys);
            fields += 1;
        }
        fields
    });
}
