//! SCAN, KEYS and RANDOMKEY: which keys are there.

use super::flags::READONLY;
use super::parse::{integer, is};
use super::{CommandError, Context, Outcome, Ran, Spec};
use crate::glob::{self, Case};
use crate::protocol::{Args, Reply};

pub(super) static SCAN: Spec = Spec {
    name: "scan",
    tips: &["nondeterministic_output", "request_policy:special"],
    arity: -2,
    flags: READONLY,
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for a whole iteration",
    summary: "Walks the keys a few at a time; each that stays is given exactly once.",
    syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
    example: r#"
> SET user:1 a
OK
> SET order:1 b
OK
> SCAN 0 MATCH user:* COUNT 1000
1) "0"
2) 1) "user:1"
"#,
    handler: scan,
    ..Spec::BASE
};

pub(super) static KEYS: Spec = Spec {
    name: "keys",
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    arity: 2,
    flags: READONLY,
    acl: &["dangerous"],
    complexity: "O(N) where N is the number of keys in the database",
    summary: "Answers all keys that match a pattern, holding up everybody meanwhile.",
    syntax: "pattern",
    example: r#"
> MSET user:1 a order:1 b
OK
> KEYS user:*
1) "user:1"
"#,
    handler: keys,
    ..Spec::BASE
};

pub(super) static RANDOMKEY: Spec = Spec {
    name: "randomkey",
    tips: &["request_policy:all_shards", "nondeterministic_output"],
    arity: 1,
    flags: READONLY,
    summary: "Answers some key, or nil when there is none.",
    example: r#"
> RANDOMKEY
(nil)
> SET a 1
OK
> RANDOMKEY
"a"
"#,
    handler: randomkey,
    ..Spec::BASE
};

/// How many keys a call looks at when COUNT does not say, as in Redis.
const COUNT_DEFAULT: i64 = 10;

/// How many steps through the table a call takes for each key that it is to
/// look at, before it answers with fewer: keys that are due and not removed yet
/// do not count, and there may be millions of them.
const STEPS_PER_KEY: i64 = 10;

fn scan(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let mut position = parse_cursor(&args[1])?;
    let mut count = COUNT_DEFAULT;
    let mut pattern = None;
    let mut type_name = None;
    let mut options = args.tail(2).iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or(CommandError::Syntax)?;
        if is(option, "count") {
            count = integer(value)?;
            if count < 1 {
                return Err(CommandError::Syntax);
            }
        } else if is(option, "match") {
            pattern = Some(value).filter(|pattern| *pattern != b"*");
        } else if is(option, "type") {
            type_name = Some(value);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let version = context.reply.version();
    let db = &context.db;
    let mut next;
    let mut found = Vec::new();
    let mut keys = 0;
    let mut visited = 0;
    let mut steps_left = count.saturating_mul(STEPS_PER_KEY);
    loop {
        next = db.walk(position, &mut |entry| {
            visited += 1;
            let matches = pattern
                .is_none_or(|pattern| glob::matches(pattern, entry.key(), Case::Sensitive))
                && type_name
                    .is_none_or(|name| name.eq_ignore_ascii_case(entry.type_name().as_bytes()));
            if matches {
                keys += 1;
                Reply::new(&mut found, version).bulk(entry.key());
            }
        });
        steps_left -= 1;
        match next {
            Some(after) if visited < count && steps_left > 0 => position = after,
            _ => break,
        }
    }
    context.reply.array(2);
    context.reply.bulk(next.unwrap_or(0).to_string().as_bytes());
    context.reply.array(keys);
    context.reply.raw(&found);
    Ok(Outcome::Done)
}

/// A cursor as C's `strtoul` reads it, which is what Redis accepts: a sign is
/// allowed, a space in front and anything behind are not.
fn parse_cursor(arg: &[u8]) -> Result<u64, CommandError> {
    let invalid = CommandError::fixed("ERR invalid cursor");
    let (negative, digits) = match arg {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !digits.iter().all(u8::is_ascii_digit) || (digits.is_empty() && !arg.is_empty()) {
        return Err(invalid);
    }
    let mut cursor = 0u64;
    for digit in digits {
        cursor = cursor
            .checked_mul(10)
            .and_then(|cursor| cursor.checked_add(u64::from(digit - b'0')))
            .ok_or(invalid.clone())?;
    }
    Ok(if negative { cursor.wrapping_neg() } else { cursor })
}

fn keys(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let pattern = &args[1];
    let db = &context.db;
    context.reply.array_with(|reply| {
        let mut keys = 0;
        let mut position = Some(0);
        while let Some(at) = position {
            position = db.walk(at, &mut |entry| {
                if pattern == b"*" || glob::matches(pattern, entry.key(), Case::Sensitive) {
                    keys += 1;
                    reply.bulk(entry.key());
                }
            });
        }
        keys
    });
    Ok(Outcome::Done)
}

/// While nearly all keys are due and wait to be removed, a live one may not be
/// found within the search's bound; the answer is nil then, as for no keys.
fn randomkey(context: &mut Context<'_>, _: Args<'_>) -> Ran {
    match context.db.random(&mut context.server.rng) {
        Some(key) => context.reply.bulk(&key),
        None => context.reply.null(),
    }
    Ok(Outcome::Done)
}
