//! CLIENT: what the server knows about its clients, and what it does to them.

mod kill;
mod list;
mod pause;
mod tracking;

use super::flags::{ADMIN, KEEPS_CACHING, LOADING, NOSCRIPT, STALE};
use super::parse::is;
use super::{CommandError, Context, Group, Outcome, Ran, Spec, help};
use crate::clients::{Client, ReplyMode};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "client",
    arity: -2,
    flags: KEEPS_CACHING,
    since: "2.4.0",
    complexity: "Depends on the subcommand.",
    summary: "A container for commands about connections.",
    subcommands: &[
        &tracking::CACHING,
        &GETNAME,
        &tracking::GETREDIR,
        &HELP,
        &ID,
        &list::INFO,
        &kill::SPEC,
        &list::LIST,
        &NO_EVICT,
        &NO_TOUCH,
        &pause::PAUSE,
        &REPLY,
        &SETINFO,
        &SETNAME,
        &tracking::TRACKING,
        &tracking::TRACKINGINFO,
        &pause::UNBLOCK,
        &pause::UNPAUSE,
    ],
    group: Group::Connection,
    ..Spec::BASE
};

const BASE: Spec =
    Spec { arity: 2, flags: NOSCRIPT | LOADING | STALE, group: Group::Connection, ..Spec::BASE };

static GETNAME: Spec = Spec {
    name: "getname",
    since: "2.6.9",
    summary: "Answers the connection's name, or nil.",
    example: "
> CLIENT GETNAME
(nil)
",
    handler: |context, _| {
        match context.clients[context.me].name() {
            b"" => context.reply.null(),
            name => context.reply.bulk(name),
        }
        Ok(Outcome::Done)
    },
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> CLIENT HELP
(any)
",
    ..help::spec(Group::Connection, "5.0.0")
};

static ID: Spec = Spec {
    name: "id",
    since: "5.0.0",
    summary: "Answers the connection's number, which no other will have.",
    example: "
> CLIENT ID
(integer) 1
2> CLIENT ID
(integer) 2
",
    handler: |context, _| {
        context.reply.integer(context.clients[context.me].id as i64);
        Ok(Outcome::Done)
    },
    ..BASE
};

static NO_EVICT: Spec = Spec {
    name: "no-evict",
    arity: 3,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "7.0.0",
    summary: "Is remembered and shown by CLIENT LIST; no client is evicted anyway.",
    syntax: "ON|OFF",
    example: "
> CLIENT NO-EVICT ON
OK
",
    handler: |context, args| {
        let on = on_or_off(&args[2])?;
        context.clients[context.me].details_mut().no_evict = on;
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

static NO_TOUCH: Spec = Spec {
    name: "no-touch",
    arity: 3,
    since: "7.2.0",
    summary: "Lets the client's reads leave the keys' idle times as they are.",
    syntax: "ON|OFF",
    example: "
> SET a 1
OK
> CLIENT NO-TOUCH ON
OK
(5000 ms later)
> GET a
\"1\"
> OBJECT IDLETIME a
(integer) 5
",
    handler: |context, args| {
        context.clients[context.me].no_touch = on_or_off(&args[2])?;
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

static REPLY: Spec = Spec {
    name: "reply",
    arity: 3,
    since: "3.2.0",
    summary: "Switches replies off and on, or skips the next one.",
    syntax: "ON|OFF|SKIP",
    example: "
> CLIENT REPLY OFF
(none)
> PING
(none)
> CLIENT REPLY ON
OK
> CLIENT REPLY SKIP
(none)
> PING
(none)
> PING
PONG
",
    handler: reply,
    ..BASE
};

static SETINFO: Spec = Spec {
    name: "setinfo",
    arity: 4,
    since: "7.2.0",
    summary: "Notes the client's library or its version, for CLIENT LIST.",
    syntax: "LIB-NAME libname|LIB-VER libver",
    example: "
> CLIENT SETINFO LIB-NAME somelib
OK
> CLIENT SETINFO LIB-COLOR red
(error) ERR Unrecognized option 'LIB-COLOR'
",
    handler: setinfo,
    ..BASE
};

static SETNAME: Spec = Spec {
    name: "setname",
    arity: 3,
    since: "2.6.9",
    summary: "Names the connection, for CLIENT LIST; an empty name takes it away.",
    syntax: "connection-name",
    example: r#"
> CLIENT SETNAME shop
OK
> CLIENT GETNAME
"shop"
> CLIENT SETNAME "two words"
(error) ERR Client names cannot contain spaces, newlines or special characters.
"#,
    handler: |context, args| {
        check_name(&args[2])?;
        set_name(&mut context.clients[context.me], &args[2]);
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

/// Whether CLIENT LIST can show the name as one word, and not too long a one.
pub(super) fn check_name(name: &[u8]) -> Result<(), CommandError> {
    check_length("Client names", name)?;
    if is_one_word(name) {
        return Ok(());
    }
    Err(CommandError::fixed(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// Names the client, or takes its name away.
pub(super) fn set_name(client: &mut Client, name: &[u8]) {
    if !name.is_empty() || client.details.is_some() {
        client.details_mut().name = name.into();
    }
}

fn reply(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let client = &mut context.clients[context.me];
    match () {
        () if is(&args[2], "on") => {
            client.reply_mode = ReplyMode::On;
            context.reply.ok();
        }
        () if is(&args[2], "off") => client.reply_mode = ReplyMode::Off,
        () if is(&args[2], "skip") => {
            if client.reply_mode != ReplyMode::Off {
                client.reply_mode = ReplyMode::SkipNext;
            }
        }
        () => return Err(CommandError::Syntax),
    }
    Ok(Outcome::Done)
}

fn setinfo(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (option, value) = (&args[2], &args[3]);
    let (name, is_version) = match () {
        () if is(option, "lib-name") => ("lib-name", false),
        () if is(option, "lib-ver") => ("lib-ver", true),
        () => {
            let text =
                [b"ERR Unrecognized option '", CommandError::quotable(option), b"'"].concat();
            return Err(CommandError::owned(text));
        }
    };
    check_length(name, value)?;
    if !is_one_word(value) {
        return Err(CommandError::owned(format!(
            "ERR {name} cannot contain spaces, newlines or special characters."
        )));
    }
    let details = context.clients[context.me].details_mut();
    let place = if is_version { &mut details.lib_ver } else { &mut details.lib_name };
    *place = value.into();
    context.reply.ok();
    Ok(Outcome::Done)
}

/// Most bytes of a client's name, or of its library's name or version: far
/// beyond any that somebody reads, and little memory for each client.
const TEXT_BYTES_MAX: usize = 64 << 10;

fn check_length(what: &str, text: &[u8]) -> Result<(), CommandError> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(CommandError::owned(format!("ERR {what} cannot be longer than {TEXT_BYTES_MAX} bytes.")))
}

fn is_one_word(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn on_or_off(arg: &[u8]) -> Result<bool, CommandError> {
    match () {
        () if is(arg, "on") => Ok(true),
        () if is(arg, "off") => Ok(false),
        () => Err(CommandError::Syntax),
    }
}

/// The kinds of clients that LIST and KILL can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    /// There are none: nothing replicates.
    Master,
    /// There are none: nothing replicates.
    Replica,
    Pubsub,
}

impl ClientType {
    fn parse(arg: &[u8]) -> Result<ClientType, CommandError> {
        match () {
            () if is(arg, "normal") => Ok(ClientType::Normal),
            () if is(arg, "master") => Ok(ClientType::Master),
            () if is(arg, "replica") || is(arg, "slave") => Ok(ClientType::Replica),
            () if is(arg, "pubsub") => Ok(ClientType::Pubsub),
            () => {
                let text =
                    [b"ERR Unknown client type '", CommandError::quotable(arg), b"'"].concat();
                Err(CommandError::owned(text))
            }
        }
    }

    fn of(client: &Client) -> ClientType {
        if client.subscriptions.is_some() { ClientType::Pubsub } else { ClientType::Normal }
    }
}
