//! CLIENT KILL: end other connections, or one's own.

use std::time::Duration;

use super::super::auth::USER;
use super::super::flags::{ADMIN, LOADING, NOSCRIPT, STALE};
use super::super::parse::is;
use super::super::{CommandError, Context, Outcome, Ran, Spec};
use super::{BASE, ClientType};
use crate::clients::{Client, ClientKey, Closing, Peer};
use crate::protocol::{Args, number};

pub(super) static SPEC: Spec = Spec {
    name: "kill",
    arity: -3,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections.",
    summary: "Closes the connections that fit all the filters; answers how many.",
    syntax: "[ip:port] [ID client-id] [TYPE type] [USER username] [ADDR ip:port] [LADDR ip:port] \
             [SKIPME yes-no] [MAXAGE seconds]",
    example: "
2> CLIENT ID
(integer) 1
> CLIENT KILL ID 1
(integer) 1
> CLIENT KILL ID 1
(integer) 0
> CLIENT KILL 127.0.0.1:1
(error) ERR No such client
",
    handler: kill,
    ..BASE
};

/// What a client must be to be closed.
struct Filter {
    id: Option<u64>,
    of_type: Option<ClientType>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    age_min: Duration,
    skip_me: bool,
}

fn kill(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    if args.len() == 3 {
        let everyone = Filter {
            id: None,
            of_type: None,
            addr: Some(args[2].to_vec()),
            laddr: None,
            age_min: Duration::ZERO,
            skip_me: false,
        };
        if close_all(context, &everyone) == 0 {
            return Err(CommandError::fixed("ERR No such client"));
        }
        context.reply.ok();
    } else {
        let filter = parse(args)?;
        let closed = close_all(context, &filter);
        context.reply.integer(closed as i64);
    }
    Ok(Outcome::Done)
}

fn parse(args: Args<'_>) -> Result<Filter, CommandError> {
    let mut filter = Filter {
        id: None,
        of_type: None,
        addr: None,
        laddr: None,
        age_min: Duration::ZERO,
        skip_me: true,
    };
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
        match () {
            () if is(option, "id") => {
                filter.id = Some(
                    positive(value)
                        .ok_or(CommandError::fixed("ERR client-id should be greater than 0"))?,
                );
            }
            () if is(option, "type") => filter.of_type = Some(ClientType::parse(value)?),
            () if is(option, "addr") => filter.addr = Some(value.to_vec()),
            () if is(option, "laddr") => filter.laddr = Some(value.to_vec()),
            () if is(option, "user") => {
                if value != USER.as_bytes() {
                    let text =
                        [b"ERR No such user '", CommandError::quotable(value), b"'"].concat();
                    return Err(CommandError::owned(text));
                }
            }
            () if is(option, "skipme") => match () {
                () if is(value, "yes") => filter.skip_me = true,
                () if is(value, "no") => filter.skip_me = false,
                () => return Err(CommandError::Syntax),
            },
            () if is(option, "maxage") => {
                let seconds = positive(value)
                    .ok_or(CommandError::fixed("ERR maxage should be greater than 0"))?;
                filter.age_min = Duration::from_secs(seconds);
            }
            () => return Err(CommandError::Syntax),
        }
        at += 2;
    }
    Ok(filter)
}

fn positive(arg: &[u8]) -> Option<u64> {
    number::parse_i64(arg)
        .and_then(|number| u64::try_from(number).ok())
        .filter(|&number| number > 0)
}

/// Closes the clients that fit; returns how many. The one that asks is closed
/// when it has been answered.
fn close_all(context: &mut Context<'_>, filter: &Filter) -> usize {
    let now = context.now.monotonic;
    let fits = |key: ClientKey, client: &Client| {
        let is_at = |wanted: &Option<Vec<u8>>, addr| {
            wanted.as_ref().is_none_or(|wanted| Peer::print(addr).as_bytes() == wanted)
        };
        (key != context.me || !filter.skip_me)
            && !client.is_closing()
            && filter.id.is_none_or(|id| id == client.id)
            && filter.of_type.is_none_or(|of_type| of_type == ClientType::of(client))
            && now.saturating_sub(client.connected_at()) >= filter.age_min
            && is_at(&filter.addr, client.peer().addr)
            && is_at(&filter.laddr, client.peer().laddr)
    };
    let keys: Vec<ClientKey> = context
        .clients
        .iter()
        .filter(|(key, client)| fits(*key, client))
        .map(|(key, _)| key)
        .collect();
    for &key in &keys {
        let how = if key == context.me { Closing::AfterOutput } else { Closing::Now };
        context.clients.close(key, how);
    }
    keys.len()
}
