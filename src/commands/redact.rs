//! Which arguments must not be shown to others: passwords.

use super::parse::is;
use super::{Command, TABLE};
use crate::config::OptionSpec;
use crate::protocol::Args;

/// What stands in their place, as in Redis.
pub(super) const REDACTED: &[u8] = b"(redacted)";

/// Whether the argument at `index` is a secret that SLOWLOG and MONITOR must
/// not show.
///
/// Every command that takes a password is named here, and a password that such
/// a command refuses is as secret as one that it takes.
pub(super) fn is_secret(command: &Command, args: Args<'_>, index: usize) -> bool {
    let (mut command, mut args, mut index) = (command, args, index);
    // What a command runs is as secret as if it came alone, also where it is refused.
    while let Some(at) = command.spec.command_at()
        && index >= at
        && let Ok(inner) = TABLE.resolve(args.tail(at))
    {
        (command, args, index) = (inner, args.tail(at), index - at);
    }
    match (command.parent.map(|parent| parent.name), command.spec.name) {
        (None, "auth") => index >= 1,
        // HELLO 3 AUTH user password
        (None, "hello") => {
            let is_auth = |at: usize| at >= 2 && args.get(at).is_some_and(|arg| is(arg, "auth"));
            index >= 3 && (is_auth(index - 1) || is_auth(index - 2))
        }
        (Some("config"), "set") => {
            index >= 3 && index % 2 == 1 && args.get(index - 1).is_some_and(names_secret)
        }
        _ => false,
    }
}

fn names_secret(name: &[u8]) -> bool {
    std::str::from_utf8(name)
        .ok()
        .and_then(OptionSpec::find)
        .is_some_and(|option| option.is_secret())
}
