//! HELLO: which protocol, and who is there.

use super::auth::authenticate;
use super::client::{check_name, set_name};
use super::flags::{ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE};
use super::parse::is;
use super::version::REDIS_VERSION;
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::protocol::{Args, Version, number};

pub(super) static SPEC: Spec = Spec {
    name: "hello",
    arity: -1,
    flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
    group: Group::Connection,
    since: "6.0.0",
    summary: "Chooses the protocol's version, 2 or 3, and answers what the server is.",
    syntax: "[protover [AUTH username password] [SETNAME clientname]]",
    example: r#"
> HELLO 3 SETNAME shop
1# "server" => "redis"
2# "version" => "7.4.0"
3# "proto" => (integer) 3
4# "id" => (integer) 1
5# "mode" => "standalone"
6# "role" => "master"
7# "modules" => (empty array)
> HELLO 4
(error) NOPROTO unsupported protocol version
"#,
    handler: hello,
    ..Spec::BASE
};

/// Nothing changes unless all options are good.
fn hello(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let version = match args.get(1) {
        None => context.clients[context.me].version,
        Some(arg) => match number::parse_i64(arg) {
            Some(2) => Version::Resp2,
            Some(3) => Version::Resp3,
            Some(_) => return Err(CommandError::fixed("NOPROTO unsupported protocol version")),
            None => {
                return Err(CommandError::fixed(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        },
    };
    let mut credentials = None;
    let mut name = None;
    let mut at = 2;
    while let Some(option) = args.get(at) {
        if is(option, "auth") && args.len() > at + 2 {
            credentials = Some((&args[at + 1], &args[at + 2]));
            at += 3;
        } else if is(option, "setname") && args.len() > at + 1 {
            check_name(&args[at + 1])?;
            name = Some(&args[at + 1]);
            at += 2;
        } else {
            let text =
                [b"ERR Syntax error in HELLO option '", CommandError::quotable(option), b"'"]
                    .concat();
            return Err(CommandError::owned(text));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(context, user, password)?;
    }
    let client = &mut context.clients[context.me];
    if !client.authenticated && !context.config.requirepass.is_empty() {
        return Err(CommandError::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        set_name(client, name);
    }
    client.version = version;
    let id = client.id as i64;
    let reply = &mut context.reply;
    reply.set_version(version);
    reply.map(7);
    reply.bulk(b"server");
    // What clients look for; some refuse to talk to anything else.
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(if version == Version::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Outcome::Done)
}
