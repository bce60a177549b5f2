//! CLIENT TRACKING and its kin: copies of keys that clients keep.

use super::super::parse::{integer, is};
use super::super::watch::check_names_bytes;
use super::super::{CommandError, Context, Outcome, Ran, Spec};
use super::BASE;
use super::list::find;
use crate::clients::tracking::{Mode, Tracking};
use crate::protocol::Args;

pub(super) static TRACKING: Spec = Spec {
    name: "tracking",
    arity: -3,
    since: "6.0.0",
    complexity: "O(1); O(N^2) where N is the number of prefixes given.",
    summary: "Tells the client when a key that it has read, or a key below a prefix, changes.",
    syntax: "ON|OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] \
             [OPTOUT] [NOLOOP]",
    example: r#"
> HELLO 3
(any)
> CLIENT TRACKING ON
OK
> GET price
(nil)
2> SET price 20
OK
>
1) "invalidate"
2) 1) "price"
2> SET price 30
OK
>
(none)
"#,
    handler: tracking,
    ..BASE
};

pub(super) static CACHING: Spec = Spec {
    name: "caching",
    arity: 3,
    since: "6.0.0",
    summary: "Says whether the keys that the next command reads are to be tracked.",
    syntax: "YES|NO",
    example: "
> CLIENT TRACKING ON OPTIN
OK
> CLIENT CACHING YES
OK
> GET price
(nil)
> CLIENT CACHING NO
(error) ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
",
    handler: caching,
    ..BASE
};

pub(super) static GETREDIR: Spec = Spec {
    name: "getredir",
    since: "6.0.0",
    summary: "Answers who is told in the client's place; 0: nobody, -1: it does not track.",
    example: "
> CLIENT GETREDIR
(integer) -1
> CLIENT TRACKING ON
OK
> CLIENT GETREDIR
(integer) 0
",
    handler: |context, _| {
        let redirect = redirect_of(context);
        context.reply.integer(redirect);
        Ok(Outcome::Done)
    },
    ..BASE
};

pub(super) static TRACKINGINFO: Spec = Spec {
    name: "trackinginfo",
    since: "6.2.0",
    summary: "Answers how the client tracks keys.",
    example: r#"
> CLIENT TRACKING ON BCAST PREFIX price:
OK
> CLIENT TRACKINGINFO
1) "flags"
2) 1) "on"
   2) "bcast"
3) "redirect"
4) (integer) 0
5) "prefixes"
6) 1) "price:"
"#,
    handler: tracking_info,
    ..BASE
};

/// The id of the client that is told instead.
fn redirect_of(context: &Context<'_>) -> i64 {
    let tracking = context.clients[context.me].tracking.as_deref();
    tracking.map_or(-1, |own| own.redirect.unwrap_or(0) as i64)
}

/// The words behind ON or OFF.
#[derive(Default)]
struct Options<'a> {
    redirect: Option<u64>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<&'a [u8]>,
}

fn tracking(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let options = parse(context, args)?;
    match () {
        () if is(&args[2], "on") => start(context, &options)?,
        () if is(&args[2], "off") => context.clients.stop_tracking(context.me),
        () => return Err(CommandError::Syntax),
    }
    context.reply.ok();
    Ok(Outcome::Done)
}

/// As in Redis all words must be good even if tracking is switched off.
fn parse<'a>(context: &Context<'_>, args: Args<'a>) -> Result<Options<'a>, CommandError> {
    let mut options = Options::default();
    let mut at = 3;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1);
        match value {
            Some(value) if is(option, "redirect") => {
                options.redirect = Some(redirect(context, &options, value)?);
                at += 1;
            }
            Some(value) if is(option, "prefix") => {
                options.prefixes.push(value);
                at += 1;
            }
            _ if is(option, "bcast") => options.broadcast = true,
            _ if is(option, "optin") => options.opt_in = true,
            _ if is(option, "optout") => options.opt_out = true,
            _ if is(option, "noloop") => options.no_loop = true,
            _ => return Err(CommandError::Syntax),
        }
        at += 1;
    }
    Ok(options)
}

fn redirect(
    context: &Context<'_>,
    options: &Options<'_>,
    value: &[u8],
) -> Result<u64, CommandError> {
    if options.redirect.is_some() {
        return Err(CommandError::fixed("ERR A client can only redirect to a single other client"));
    }
    let id = integer(value)?;
    // It may go later, but now it must be there.
    let found = find(context, id).map(|key| context.clients[key].id);
    found.ok_or(CommandError::fixed("ERR The client ID you want redirect to does not exist"))
}

fn start(context: &mut Context<'_>, options: &Options<'_>) -> Result<(), CommandError> {
    let own = context.clients[context.me].tracking.as_deref();
    let own_mode = own.map(|own| own.mode);
    if !options.broadcast && !options.prefixes.is_empty() {
        return Err(CommandError::fixed("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    if own_mode.is_some_and(|mode| (mode == Mode::Broadcast) != options.broadcast) {
        return Err(CommandError::fixed(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
             and then re-enabling it with a different mode.",
        ));
    }
    let mode = match (options.broadcast, options.opt_in, options.opt_out) {
        (true, false, false) => Mode::Broadcast,
        (true, ..) => {
            return Err(CommandError::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        (false, true, true) => {
            return Err(CommandError::fixed(
                "ERR You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        (false, true, false) => Mode::OptIn,
        (false, false, true) => Mode::OptOut,
        (false, false, false) => Mode::All,
    };
    let switches = [(Mode::OptIn, Mode::OptOut), (Mode::OptOut, Mode::OptIn)];
    if own_mode.is_some_and(|own_mode| switches.contains(&(own_mode, mode))) {
        return Err(CommandError::fixed(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
             and then re-enabling it with a different mode.",
        ));
    }
    check_prefixes(context, &options.prefixes)?;
    // Without any prefix it is told of all keys.
    let every: &[&[u8]] = &[b""];
    let prefixes = match mode {
        Mode::Broadcast if options.prefixes.is_empty() => every,
        _ => &options.prefixes,
    };
    let tracking = Tracking::new(mode, options.no_loop, options.redirect);
    context.clients.start_tracking(context.me, tracking, prefixes.iter().copied());
    context.db.keyspace().want_changes(true);
    Ok(())
}

/// Whether the client may have these prefixes too: not too many, and none that
/// another one of its own begins with.
fn check_prefixes(context: &Context<'_>, prefixes: &[&[u8]]) -> Result<(), CommandError> {
    let own = context.clients[context.me].tracking.as_deref();
    let own = || own.into_iter().flat_map(Tracking::prefixes);
    let prefixes_max = context.config.client_prefixes_max;
    if own().count() + prefixes.len() > prefixes_max {
        return Err(CommandError::owned(format!(
            "ERR a client can track no more than client-prefixes-max ({prefixes_max}) prefixes"
        )));
    }
    check_names_bytes(context, prefixes.iter().copied())?;
    for (at, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = own().find(|other| overlap(prefix, other)) {
            return Err(overlapping(prefix, "an existing", other));
        }
        if let Some(other) = prefixes[at + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(overlapping(prefix, "another provided", other));
        }
    }
    Ok(())
}

fn overlap(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn overlapping(prefix: &[u8], which: &str, other: &[u8]) -> CommandError {
    let mut text = b"ERR Prefix '".to_vec();
    text.extend_from_slice(CommandError::quotable(prefix));
    text.extend_from_slice(format!("' overlaps with {which} prefix '").as_bytes());
    text.extend_from_slice(CommandError::quotable(other));
    text.extend_from_slice(b"'. Prefixes for a single client must not overlap.");
    CommandError::owned(text)
}

fn caching(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let Some(tracking) = context.clients[context.me].tracking.as_deref_mut() else {
        return Err(CommandError::fixed(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        ));
    };
    match () {
        () if is(&args[2], "yes") => {
            if tracking.mode != Mode::OptIn {
                return Err(CommandError::fixed(
                    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
                ));
            }
        }
        () if is(&args[2], "no") => {
            if tracking.mode != Mode::OptOut {
                return Err(CommandError::fixed(
                    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
                ));
            }
        }
        () => return Err(CommandError::Syntax),
    }
    tracking.caching = true;
    context.reply.ok();
    Ok(Outcome::Done)
}

fn tracking_info(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    let redirect = redirect_of(context);
    let own = context.clients[context.me].tracking.as_deref();
    let reply = &mut context.reply;
    reply.map(3);
    reply.bulk(b"flags");
    match own {
        None => {
            reply.set(1);
            reply.bulk(b"off");
        }
        Some(own) => {
            let flags = [
                (true, "on"),
                (own.mode == Mode::Broadcast, "bcast"),
                (own.mode == Mode::OptIn, "optin"),
                (own.mode == Mode::OptIn && own.caching, "caching-yes"),
                (own.mode == Mode::OptOut, "optout"),
                (own.mode == Mode::OptOut && own.caching, "caching-no"),
                (own.no_loop, "noloop"),
                (own.redirect_is_broken, "broken_redirect"),
            ];
            reply.set(flags.iter().filter(|(is_set, _)| *is_set).count());
            for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
                reply.bulk(flag.as_bytes());
            }
        }
    }
    reply.bulk(b"redirect");
    reply.integer(redirect);
    reply.bulk(b"prefixes");
    match own {
        None => reply.array(0),
        Some(own) => {
            reply.array(own.prefixes().len());
            for prefix in own.prefixes() {
                reply.bulk(prefix);
            }
        }
    }
    Ok(Outcome::Done)
}
