//! MONITOR: every command as it is run, to whoever watches.

use super::flags::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::redact::{REDACTED, is_secret};
use super::{Command, CommandError, Context, Group, Outcome, Ran, Spec};
use crate::clients::Peer;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "monitor",
    arity: 1,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    group: Group::Server,
    summary: "Sends every command that is run to this client, until RESET or QUIT.",
    example: r#"
2> MONITOR
OK
> GET greeting
(nil)
2>
1893456000.000000 [0 ?:0] "GET" "greeting"
"#,
    handler: monitor,
    ..Spec::BASE
};

fn monitor(context: &mut Context<'_>, _args: Args<'_>) -> Ran {
    // Inside EXEC each command has exactly one reply.
    if context.in_transaction {
        return Err(CommandError::fixed("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    context.clients.add_monitor(context.me);
    context.reply.ok();
    Ok(Outcome::Done)
}

/// Shows one request to the clients in MONITOR mode.
pub(super) fn feed(context: &mut Context<'_>, command: &Command, args: Args<'_>) {
    let client = &context.clients[context.me];
    let mut line = format!(
        "+{}.{:06} [{} {}]",
        context.now.unix_s(),
        context.now.unix_us % 1_000_000,
        context.db.index(),
        Peer::print(client.peer().addr)
    )
    .into_bytes();
    for (index, arg) in args.iter().enumerate() {
        let arg = if is_secret(command, args, index) { REDACTED } else { arg };
        line.extend_from_slice(b" \"");
        for &byte in arg {
            match byte {
                b'"' | b'\\' => line.extend([b'\\', byte]),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                b'\t' => line.extend_from_slice(b"\\t"),
                0x07 => line.extend_from_slice(b"\\a"),
                0x08 => line.extend_from_slice(b"\\b"),
                b' '..=b'~' => line.push(byte),
                _ => line.extend(format!("\\x{byte:02x}").bytes()),
            }
        }
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    for index in 0..context.clients.monitors().len() {
        let key = context.clients.monitors()[index];
        context.clients.push_bytes(key, &line);
    }
}
