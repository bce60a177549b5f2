//! AUTH: the password.

use super::flags::{ALLOW_BUSY, FAST, LOADING, NO_AUTH, NOSCRIPT, STALE};
use super::{CommandError, Context, Group, Outcome, Ran, Spec};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "auth",
    arity: -2,
    flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
    group: Group::Connection,
    complexity: "O(N) where N is the length of the password.",
    summary: "Lets the client in when a password is required.",
    syntax: "[username] password",
    example: "
> AUTH default anything
OK
> AUTH somebody anything
(error) WRONGPASS invalid username-password pair or user is disabled.
",
    handler: auth,
    ..Spec::BASE
};

/// The one user that there is.
pub(super) const USER: &str = "default";

fn auth(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (user, password) = match args.len() {
        2 if context.config.requirepass.is_empty() => {
            return Err(CommandError::fixed(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        2 => (USER.as_bytes(), &args[1]),
        3 => (&args[1], &args[2]),
        _ => return Err(CommandError::Syntax),
    };
    authenticate(context, user, password)?;
    context.reply.ok();
    Ok(Outcome::Done)
}

/// Lets the client in if the password is right. Without a required password
/// any will do, as in Redis. A wrong one changes nothing.
pub(super) fn authenticate(
    context: &mut Context<'_>,
    user: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    let required = &context.config.requirepass;
    let known = user == USER.as_bytes();
    if !known || !(required.is_empty() || required.matches(password)) {
        context.server.stats.auth_failures += 1;
        return Err(CommandError::fixed(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    }
    context.clients[context.me].authenticated = true;
    Ok(())
}
