//! CLIENT LIST and CLIENT INFO: one line a client.

use std::io::Write;

use super::super::auth::USER;
use super::super::flags::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::super::parse::is;
use super::super::{CommandError, Context, Outcome, Ran, Spec, TABLE};
use super::{BASE, ClientType};
use crate::clients::pubsub::Kind;
use crate::clients::tracking::Mode;
use crate::clients::{Client, ClientKey, Closing, Peer};
use crate::clock::Now;
use crate::protocol::{Args, Version, number};

pub(super) static INFO: Spec = Spec {
    name: "info",
    tips: &["nondeterministic_output"],
    since: "6.2.0",
    summary: "Answers the connection's own line of CLIENT LIST.",
    example: "
> CLIENT INFO
(any)
",
    handler: info,
    ..BASE
};

pub(super) static LIST: Spec = Spec {
    name: "list",
    tips: &["nondeterministic_output"],
    arity: -2,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections.",
    summary: "Answers a line for every connection, oldest first.",
    syntax: "[TYPE type] [ID client-id [client-id ...]]",
    example: r#"
> CLIENT LIST
(any)
> CLIENT LIST TYPE replica
""
"#,
    handler: list,
    ..BASE
};

fn info(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    let mut lines = Vec::new();
    write_line(&mut lines, &context.clients[context.me], context.now);
    context.reply.verbatim(&lines, "txt");
    Ok(Outcome::Done)
}

fn list(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let mut lines = Vec::new();
    match args.len() {
        2 => write_lines(&mut lines, context, |_| true),
        4 if is(&args[2], "type") => {
            let wanted = ClientType::parse(&args[3])?;
            write_lines(&mut lines, context, |client| ClientType::of(client) == wanted);
        }
        4.. if is(&args[2], "id") => {
            for arg in args.iter().skip(3) {
                let id =
                    number::parse_i64(arg).ok_or(CommandError::fixed("ERR Invalid client ID"))?;
                if let Some(client) = find(context, id).map(|key| &context.clients[key]) {
                    write_line(&mut lines, client, context.now);
                }
            }
        }
        _ => return Err(CommandError::Syntax),
    }
    context.reply.verbatim(&lines, "txt");
    Ok(Outcome::Done)
}

/// The client with this number, which need not be one.
pub(super) fn find(context: &Context<'_>, id: i64) -> Option<ClientKey> {
    context.clients.by_id(u64::try_from(id).ok()?)
}

fn write_lines(lines: &mut Vec<u8>, context: &Context<'_>, wanted: impl Fn(&Client) -> bool) {
    for (_, client) in context.clients.iter().filter(|(_, client)| wanted(client)) {
        write_line(lines, client, context.now);
    }
}

/// Fields and their order are those of Redis 7.2.
fn write_line(line: &mut Vec<u8>, client: &Client, now: Now) {
    let age = now.monotonic.saturating_sub(client.connected_at()).as_secs();
    let idle = now.monotonic.saturating_sub(client.active_at()).as_secs();
    let count = |kind| client.subscriptions.as_ref().map_or(0, |own| own.count(kind));
    let transaction = client.transaction.as_deref();
    let queued = transaction.map_or(-1, |transaction| transaction.len() as i64);
    let queued_bytes = transaction.map_or(0, |transaction| transaction.bytes());
    let (unread, unread_free) = (client.unread_bytes(), client.unread_free_bytes());
    let unsent = client.output.len();
    let output = client.output.capacity();
    let total = client.memory_bytes();
    let command = client
        .last_command
        .and_then(|id| TABLE.all().get(usize::from(id)))
        .map_or_else(|| "NULL".to_owned(), |command| command.full_name());
    let details = client.details.as_deref();
    let redirect = client.tracking.as_deref().map_or(-1, |own| own.redirect.unwrap_or(0) as i64);
    let push = |line: &mut Vec<u8>, text: std::fmt::Arguments<'_>| {
        line.write_fmt(text).expect("a Vec takes everything");
    };
    push(
        line,
        format_args!(
            "id={} addr={} laddr={} fd={} name=",
            client.id,
            Peer::print(client.peer().addr),
            Peer::print(client.peer().laddr),
            client.peer().fd
        ),
    );
    line.extend_from_slice(client.name());
    push(line, format_args!(" age={age} idle={idle} flags="));
    push_flags(line, client);
    push(
        line,
        format_args!(
            " db={} sub={} psub={} ssub=0 multi={queued} qbuf={unread} qbuf-free={unread_free} \
             argv-mem=0 multi-mem={queued_bytes} rbs={output} rbp={output} obl={unsent} oll=0 \
             omem=0 tot-mem={total} events={} cmd={command} user={USER} redir={redirect} resp={} \
             lib-name=",
            client.db(),
            count(Kind::Channel),
            count(Kind::Pattern),
            if unsent > 0 { "rw" } else { "r" },
            if client.version == Version::Resp3 { 3 } else { 2 },
        ),
    );
    line.extend_from_slice(details.map_or(b"", |details| &details.lib_name));
    line.extend_from_slice(b" lib-ver=");
    line.extend_from_slice(details.map_or(b"", |details| &details.lib_ver));
    line.push(b'\n');
}

fn push_flags(line: &mut Vec<u8>, client: &Client) {
    let start = line.len();
    let dirty = client.watched.as_deref().is_some_and(|watched| watched.dirty);
    let tracking = client.tracking.as_deref();
    let no_evict = client.details.as_deref().is_some_and(|details| details.no_evict);
    for (set, flag) in [
        (client.monitor, b'O'),
        (client.subscriptions.is_some(), b'P'),
        (client.transaction.is_some(), b'x'),
        (client.parked.is_some(), b'b'),
        (tracking.is_some(), b't'),
        (tracking.is_some_and(|own| own.redirect_is_broken), b'R'),
        (tracking.is_some_and(|own| own.mode == Mode::Broadcast), b'B'),
        (dirty, b'd'),
        (client.closing == Closing::AfterOutput, b'c'),
        (client.closing == Closing::Now, b'A'),
        (no_evict, b'e'),
        (client.no_touch, b'T'),
    ] {
        if set {
            line.push(flag);
        }
    }
    if line.len() == start {
        line.push(b'N');
    }
}
