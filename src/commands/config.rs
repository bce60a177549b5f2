//! CONFIG: options, read and changed while the server runs.

use std::collections::BTreeMap;

use super::flags::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::wait::UNBLOCKED;
use super::{CommandError, Context, Group, Outcome, Ran, Spec, Wait, help};
use crate::clients::Wake;
use crate::config::Config;
use crate::glob::{self, Case};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "config",
    arity: -2,
    flags: 0,
    complexity: "Depends on the subcommand.",
    summary: "A container for commands on the configuration.",
    subcommands: &[&GET, &HELP, &RESETSTAT, &REWRITE, &SET],
    ..BASE
};

const BASE: Spec = Spec {
    arity: 2,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    group: Group::Server,
    since: "2.0.0",
    ..Spec::BASE
};

static GET: Spec = Spec {
    name: "get",
    arity: -3,
    complexity: "O(N) where N is the number of patterns",
    summary: "Answers the options that match any of the patterns.",
    syntax: "parameter [parameter ...]",
    example: r#"
> CONFIG GET tcp-back* nosuch
1) "tcp-backlog"
2) "511"
"#,
    handler: get,
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> CONFIG HELP
(any)
",
    ..help::spec(Group::Server, "5.0.0")
};

static RESETSTAT: Spec = Spec {
    name: "resetstat",
    summary: "Sets the counters that INFO shows back to zero.",
    example: "
> CONFIG RESETSTAT
OK
",
    handler: |context, _| {
        context.server.reset_stats();
        context.db.keyspace().reset_stats();
        context.clients.output_limit_closes = 0;
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

static REWRITE: Spec = Spec {
    name: "rewrite",
    since: "2.8.0",
    summary: "Answers an error: the configuration file is the operator's to write.",
    example: "
> CONFIG REWRITE
(error) ERR The server is running without a config file
",
    handler: |context, _| {
        if context.config.config_file.is_empty() {
            return Err(CommandError::fixed("ERR The server is running without a config file"));
        }
        Err(CommandError::fixed(
            "ERR CONFIG REWRITE is not supported: change the config file by hand",
        ))
    },
    ..BASE
};

static SET: Spec = Spec {
    name: "set",
    arity: -4,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    complexity: "O(N) where N is the number of options",
    summary: "Changes options while the server runs, all of them or none.",
    syntax: "parameter value [parameter value ...]",
    example: r#"
> CONFIG SET timeout 60 maxclients 5000
OK
> CONFIG GET timeout
1) "timeout"
2) "60"
> CONFIG SET timeout 30 databases 4
(error) ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config
"#,
    handler: set,
    ..BASE
};

fn get(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let config: &Config = context.config;
    let options: Vec<(&str, String)> = config.iter().collect();
    // By name: each option once, however many patterns name it.
    let mut found: BTreeMap<&str, (&[u8], &str)> = BTreeMap::new();
    for pattern in args.tail(2).iter() {
        let is_glob = pattern.iter().any(|byte| b"[*?".contains(byte));
        for (name, value) in &options {
            // A plain name is answered as it was written, as in Redis.
            let (matches, shown) = if is_glob {
                (glob::matches(pattern, name.as_bytes(), Case::Ignored), name.as_bytes())
            } else {
                (name.as_bytes().eq_ignore_ascii_case(pattern), pattern)
            };
            if matches {
                found.entry(name).or_insert((shown, value));
            }
        }
    }
    context.reply.map(found.len());
    for (name, value) in found.into_values() {
        context.reply.bulk(name);
        context.reply.bulk(value.as_bytes());
    }
    Ok(Outcome::Done)
}

fn set(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    if context.wake != Wake::First {
        return set_when_journal_begun(context);
    }
    let words: Vec<&[u8]> = args.tail(2).iter().collect();
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::Syntax);
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|&[name, value]| (name, value)).collect();
    let mut changed = context.config.clone();
    changed.set_live(&pairs).map_err(|error| CommandError::owned(error.to_string()))?;
    check_open_files(context, &changed)?;
    let beginning = &mut context.server.persistence.beginning;
    let begins_journal = changed.appendonly && (beginning.is_pending || !context.config.appendonly);
    *context.config = changed;
    // Inside EXEC the next command already has its events.
    context.db.keyspace().set_notify(context.config.notify_keyspace_events);
    context.server.config_changed = true;
    if begins_journal && !context.in_transaction {
        (beginning.is_pending, beginning.refusal) = (true, None);
        return wait_for_journal(context);
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

/// Whether there can be a journal is known when its files are open.
fn wait_for_journal(context: &mut Context<'_>) -> Ran {
    let me = (context.me, context.clients[context.me].id);
    context.server.persistence.beginning.waiters.push(me);
    Ok(Outcome::Wait(Box::new(Wait { deadline: None, on: None })))
}

/// The end of a CONFIG SET that has begun a journal.
fn set_when_journal_begun(context: &mut Context<'_>) -> Ran {
    if matches!(context.wake, Wake::Unblocked | Wake::Refused(_)) {
        return Err(UNBLOCKED);
    }
    let beginning = &context.server.persistence.beginning;
    if let Some(why) = &beginning.refusal {
        return Err(CommandError::owned(format!(
            "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on \
             AOF: {why}"
        )));
    }
    // It takes as long as it takes.
    if beginning.is_pending && !context.server.shutdown {
        return wait_for_journal(context);
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

/// A client that the process has no file for would wait without an answer; one
/// beyond `maxclients` is told.
fn check_open_files(context: &Context<'_>, changed: &Config) -> Result<(), CommandError> {
    let Some(clients_max) = context.server.clients_max else { return Ok(()) };
    if changed.maxclients == context.config.maxclients || changed.maxclients as usize <= clients_max
    {
        return Ok(());
    }
    Err(CommandError::owned(format!(
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system \
         is not able to handle the specified number of clients, try with {clients_max}"
    )))
}
