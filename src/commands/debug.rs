//! DEBUG: sleeping, and a look at how a key is stored.
//!
//! As in Redis nobody may run it unless `enable-debug-command` says otherwise:
//! DEBUG SLEEP stops the server for everybody.

use std::time::Duration;

use super::flags::{ADMIN, LOADING, NOSCRIPT, PROTECTED, STALE};
use super::object::{encoding, refcount};
use super::parse::is;
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::keyspace::{Entry, Object, Value, WrongType};
use crate::protocol::{Args, number};

// The subcommands are no specs of their own because they are none in Redis,
// whose tools look at COMMAND.
pub(super) static SPEC: Spec = Spec {
    name: "debug",
    arity: -2,
    flags: ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED,
    group: Group::Server,
    complexity: "O(1)",
    summary: "Holds the whole server up for a while, or shows how a key is stored.",
    syntax: "HELP|OBJECT key|SLEEP seconds",
    example: "
> SET n 12
OK
(3000 ms later)
> DEBUG OBJECT n
Value at:0x0 refcount:2147483647 encoding:int serializedlength:2 lru:14407808 lru_seconds_idle:3
> DEBUG SLEEP 0
OK
",
    handler: debug,
    ..Spec::BASE
};

const HELP: &[&str] = &[
    "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "OBJECT key",
    "    Shows how the key's value is stored.",
    "SLEEP seconds",
    "    Holds the whole server up, at most for max-wait-ms. Decimals are allowed.",
    "HELP",
    "    Lists the subcommands with their arguments.",
];

fn debug(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    match &args[1] {
        name if is(name, "help") && args.len() == 2 => {
            context.reply.array(HELP.len());
            HELP.iter().for_each(|line| context.reply.simple(line));
        }
        name if is(name, "sleep") && args.len() == 3 => {
            let longest = Duration::from_millis(context.config.max_wait_ms);
            (context.server.sleep)(seconds(&args[2]).min(longest));
            context.reply.ok();
        }
        name if is(name, "object") && args.len() == 3 => return object(context, &args[2]),
        _ => return Err(CommandError::unknown_form(args)),
    }
    Ok(Outcome::Done)
}

fn object(context: &mut Context<'_>, key: &[u8]) -> Ran {
    let Some(entry) = context.db.look(key) else { return Err(CommandError::NoSuchKey) };
    let (encoding, refcount) = (encoding(&entry), refcount(&entry));
    let (serialized, accessed_s) = (serialized_bytes(&entry), entry.accessed_s());
    let idle_s = context.db.idle_s(accessed_s);
    let lru = lru_clock(context.now.unix_s().saturating_sub(idle_s));
    // An address would only tell a client where the server's memory lies.
    context.reply.simple(&format!(
        "Value at:0x0 refcount:{refcount} encoding:{encoding} serializedlength:{serialized} \
         lru:{lru} lru_seconds_idle:{idle_s}"
    ));
    Ok(Outcome::Done)
}

/// Seconds as Redis's LRU clock shows them, which has 24 bits.
pub(super) fn lru_clock(unix_s: u64) -> u64 {
    unix_s & 0xff_ffff
}

/// Anything that is not a positive number is no time at all, as in Redis.
fn seconds(arg: &[u8]) -> Duration {
    let text = std::str::from_utf8(arg).unwrap_or_default();
    let seconds: f64 = text.parse().unwrap_or_default();
    if seconds == f64::INFINITY {
        return Duration::MAX;
    }
    Duration::try_from_secs_f64(seconds).unwrap_or(if seconds > 1.0 {
        Duration::MAX
    } else {
        Duration::ZERO
    })
}

/// Bytes of the value in a snapshot file of Redis, uncompressed: a length or
/// an integer's type, then the text or the integer.
fn serialized_bytes(entry: &Entry) -> usize {
    let text_bytes = |len: usize| match len {
        0..64 => 1 + len,
        64..16_384 => 2 + len,
        _ => 5 + len,
    };
    match entry.string() {
        Ok(Value::Int(value)) if i8::try_from(value).is_ok() => 2,
        Ok(Value::Int(value)) if i16::try_from(value).is_ok() => 3,
        Ok(Value::Int(value)) if i32::try_from(value).is_ok() => 5,
        Ok(Value::Int(value)) => text_bytes(number::decimal_len(value)),
        Ok(Value::Bytes(bytes)) => text_bytes(bytes.len()),
        Ok(Value::Apart(bytes)) => text_bytes(bytes.len()),
        // Redis has no form for them; what they take in memory says as much.
        Err(WrongType) => entry.object().map_or(0, Object::allocated_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_some_time_to_sleep() {
        for (text, expected) in [
            ("0.25", Duration::from_millis(250)),
            ("x", Duration::ZERO),
            ("-1", Duration::ZERO),
            ("nan", Duration::ZERO),
            ("inf", Duration::MAX),
            ("1e300", Duration::MAX),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
