//! SLOWLOG: which commands took long.

use super::flags::{ADMIN, LOADING, STALE};
use super::redact::{REDACTED, is_secret};
use super::{Command, CommandError, Context, Group, Outcome, Ran, SlowEntry, Spec, help};
use crate::clients::Peer;
use crate::protocol::{Args, number};

pub(super) static SPEC: Spec = Spec {
    name: "slowlog",
    arity: -2,
    flags: 0,
    complexity: "Depends on the subcommand.",
    summary: "A container for commands on the log of slow commands.",
    subcommands: &[&GET, &HELP, &LEN, &RESET],
    ..BASE
};

const BASE: Spec = Spec {
    arity: 2,
    flags: ADMIN | LOADING | STALE,
    group: Group::Server,
    since: "2.2.12",
    ..Spec::BASE
};

static GET: Spec = Spec {
    name: "get",
    arity: -2,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    complexity: "O(N) where N is the number of entries returned",
    summary: "Lists the latest slow commands, ten unless told, -1 for all.",
    syntax: "[count]",
    example: "
> SLOWLOG GET
(empty array)
",
    handler: get,
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> SLOWLOG HELP
(any)
",
    ..help::spec(Group::Server, "6.2.0")
};

static LEN: Spec = Spec {
    name: "len",
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    summary: "Answers the number of entries in the log.",
    example: "
> SLOWLOG LEN
(integer) 0
",
    handler: |context, _| {
        context.reply.integer(context.server.slow_log.entries.len() as i64);
        Ok(Outcome::Done)
    },
    ..BASE
};

static RESET: Spec = Spec {
    name: "reset",
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    complexity: "O(N) where N is the number of entries in the log",
    summary: "Empties the log.",
    example: "
> SLOWLOG RESET
OK
",
    handler: |context, _| {
        context.server.slow_log.entries.clear();
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

/// Entries that SLOWLOG GET lists when it is not told how many.
const LISTED: usize = 10;

/// How many arguments an entry keeps, and how many bytes of each and of the
/// client's name. The arguments are as in Redis.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

fn get(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let log = &context.server.slow_log.entries;
    let count = match args.len() {
        2 => LISTED,
        3 => match number::parse_i64(&args[2]) {
            Some(-1) => log.len(),
            Some(count @ 0..) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => {
                let text = "ERR count should be greater than or equal to -1";
                return Err(CommandError::fixed(text));
            }
        },
        _ => return Err(CommandError::unknown_form(args)),
    };
    let reply = &mut context.reply;
    reply.array(count.min(log.len()));
    for entry in log.iter().take(count) {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_s as i64);
        reply.integer(entry.time_us as i64);
        reply.array(entry.args.len());
        for arg in &entry.args {
            reply.bulk(arg);
        }
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(Outcome::Done)
}

/// Records a command that was slow.
#[cold]
pub(super) fn record(context: &mut Context<'_>, command: &Command, args: Args<'_>, time_us: u64) {
    let shown = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut kept: Vec<Box<[u8]>> = args
        .iter()
        .take(shown)
        .enumerate()
        .map(|(index, arg)| {
            if is_secret(command, args, index) {
                return REDACTED.into();
            }
            shortened(arg)
        })
        .collect();
    if shown < args.len() {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes().into());
    }
    let client = &context.clients[context.me];
    let (addr, name) = (Peer::print(client.peer().addr), shortened(client.name()));
    let log = &mut context.server.slow_log;
    let id = log.next_id;
    log.next_id += 1;
    log.entries.push_front(SlowEntry {
        id,
        unix_s: context.now.unix_s(),
        time_us,
        args: kept,
        addr,
        name,
    });
    log.entries.truncate(context.config.slowlog_max_len);
}

/// A copy that the log can afford to keep.
fn shortened(text: &[u8]) -> Box<[u8]> {
    if text.len() <= ARG_BYTES_MAX {
        return text.into();
    }
    let mut kept = text[..ARG_BYTES_MAX].to_vec();
    kept.extend(format!("... ({} more bytes)", text.len() - ARG_BYTES_MAX).bytes());
    kept.into()
}
