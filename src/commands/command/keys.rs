//! COMMAND GETKEYS and GETKEYSANDFLAGS: the keys of a request.

use crate::commands::parse::is;
use crate::commands::{CommandError, Context, Outcome, Ran, Spec, TABLE, flags};
use crate::commands::{FindKeys, KeySpec};
use crate::protocol::{Args, Reply, number};

pub(super) fn getkeys(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let found = keys(args)?;
    context.reply.array(found.len());
    for (key, _) in found {
        context.reply.bulk(key);
    }
    Ok(Outcome::Done)
}

pub(super) fn getkeysandflags(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let found = keys(args)?;
    context.reply.array(found.len());
    for (key, words) in found {
        context.reply.array(2);
        context.reply.bulk(key);
        write_flags(&mut context.reply, words);
    }
    Ok(Outcome::Done)
}

/// Words of a key spec as Redis prints them: the first, what is done with the
/// key as a whole, in capitals, the others in small letters.
pub(super) fn write_flags(reply: &mut Reply<'_>, words: &str) {
    reply.set_with(|reply| {
        let mut count = 0;
        for word in words.split_ascii_whitespace() {
            if matches!(word, "RO" | "RW" | "OW" | "RM") {
                reply.simple(word);
            } else {
                reply.simple(&word.to_ascii_lowercase());
            }
            count += 1;
        }
        count
    });
}

/// The keys of the request behind the subcommand's name, with their flags.
fn keys<'a>(args: Args<'a>) -> Result<Vec<(&'a [u8], &'static str)>, CommandError> {
    let mut found = Vec::new();
    find(args.tail(2), &mut found)?;
    Ok(found)
}

fn find<'a>(
    request: Args<'a>,
    found: &mut Vec<(&'a [u8], &'static str)>,
) -> Result<(), CommandError> {
    let Ok(command) = TABLE.resolve(request) else {
        return Err(CommandError::fixed("ERR Invalid command specified"));
    };
    let spec = command.spec;
    if spec.keys.is_empty() {
        return Err(CommandError::fixed("ERR The command has no key arguments"));
    }
    if !spec.accepts(request) {
        return Err(CommandError::fixed("ERR Invalid number of arguments specified for command"));
    }
    for keys in spec.keys {
        if matches!(keys.find, FindKeys::OfCommand) {
            // A command may be guarded that has no keys.
            if let Some((at, _)) = spec.guarded(request) {
                let _ = find(request.tail(at), found);
            }
            continue;
        }
        let words = flags_of(spec, keys, request);
        match positions(keys, request) {
            Some(positions) => {
                found.extend(positions.map(|position| (args_at(request, position), words)));
            }
            None if spec.has(flags::NO_MANDATORY_KEYS) => {}
            None => {
                return Err(CommandError::fixed("ERR Invalid arguments specified for command"));
            }
        }
    }
    Ok(())
}

/// The keys of a request that has as many arguments as its command takes.
pub(crate) fn keys_of<'a>(spec: &Spec, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> {
    spec.keys
        .iter()
        .filter_map(move |keys| positions(keys, args))
        .flatten()
        .map(move |position| args_at(args, position))
}

fn args_at(args: Args<'_>, position: usize) -> &[u8] {
    args.get(position).expect("positions() stays inside the request")
}

/// Where the keys stand; `None` when the request is too short for them or
/// their count is no number.
fn positions(spec: &KeySpec, args: Args<'_>) -> Option<impl Iterator<Item = usize>> {
    let (first, last, step) = match spec.find {
        FindKeys::Range { last, step } => {
            let end = if last >= 0 { spec.first } else { args.len() };
            (spec.first, end.checked_add_signed(last as isize)?, step)
        }
        FindKeys::Counted { step } => {
            let count = number::parse_i64(args.get(spec.first)?)?;
            let count = usize::try_from(count).ok().filter(|&count| count > 0)?;
            let first = spec.first + 1;
            // As many steps as keys, because what belongs to the last key is
            // part of the request too.
            let end = count.checked_mul(step).and_then(|span| span.checked_add(first))?;
            (first, end - 1, step)
        }
        FindKeys::OfCommand => return None,
    };
    (first <= last && last < args.len()).then(|| (first..=last).step_by(step))
}

/// Some commands do more with a key when an option says so. Redis answers
/// for the request at hand.
fn flags_of(spec: &Spec, keys: &KeySpec, args: Args<'_>) -> &'static str {
    if !keys.flags.contains("VARIABLE_FLAGS") {
        return keys.flags;
    }
    let reads = ["get", "ifeq", "ifne", "ifdeq", "ifdne"];
    let asked = |arg: &[u8]| reads.iter().any(|word| is(arg, word));
    debug_assert_eq!(spec.name, "set", "no other command has variable flags");
    if args.tail(3).iter().any(asked) { "RW ACCESS UPDATE" } else { "OW UPDATE" }
}
