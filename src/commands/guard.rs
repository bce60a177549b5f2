//! LOCK.GUARD: a command that runs only for who holds the lock.

use super::flags::{IMMEDIATE, MOVABLEKEYS, NO_MULTI, NOSCRIPT, WRITE};
use super::{
    CommandError, Context, FindKeys, Group, KeySpec, LookupError, Outcome, Ran, Spec, TABLE, call,
    span, unknown_command,
};
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "lock.guard",
    arity: -4,
    flags: WRITE | MOVABLEKEYS,
    keys: &[
        KeySpec::one(1, "RO ACCESS"),
        KeySpec { flags: "RW ACCESS UPDATE DELETE", first: 3, find: FindKeys::OfCommand },
    ],
    group: Group::Lock,
    since: "0.1.0",
    complexity: "Depends on the command that is guarded.",
    summary: "Runs a command if the token holds the lock, so that a late owner cannot write.",
    syntax: "lock token command [arg ...]",
    example: r#"
> LOCK.ACQUIRE report worker-1 PX 30000
(integer) 1893456000000001
> LOCK.GUARD report 1893456000000001 SET result done
OK
(30000 ms later)
> LOCK.GUARD report 1893456000000001 SET result late
(error) STALE token 1893456000000001 does not hold lock 'report'
> GET result
"done"
"#,
    handler: guard,
    ..Spec::BASE
};

/// Where the guarded command begins.
const COMMAND_AT: usize = 3;

fn guard(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (lock, token) = (&args[1], span::positive(&args[2], "token")?);
    let guarded = args.tail(COMMAND_AT);
    let command = match TABLE.resolve(guarded) {
        Ok(command) => command,
        Err(LookupError::UnknownCommand) => return Err(unknown_command(guarded)),
        Err(LookupError::UnknownSubcommand) => {
            return Err(CommandError::unknown_subcommand(guarded));
        }
    };
    // What changes the connection or its transaction is none of the lock's
    // business, and what guards is not guarded: there would be no end to it.
    let allowed =
        !command.spec.has(NOSCRIPT | NO_MULTI | IMMEDIATE) && command.spec.command_at().is_none();
    if !allowed {
        return Err(CommandError::owned(format!(
            "ERR {} is not allowed inside LOCK.GUARD",
            command.full_name()
        )));
    }
    if !command.spec.accepts(guarded) {
        return Err(CommandError::WrongArity { command: command.full_name() });
    }
    if !context.db.holds_lock(lock, token)? {
        let mut text = format!("STALE token {token} does not hold lock '").into_bytes();
        text.extend_from_slice(CommandError::quotable(lock));
        text.push(b'\'');
        return Err(CommandError::owned(text));
    }
    let inside = std::mem::replace(&mut context.in_transaction, true);
    let db = context.db.index();
    let outcome = call(context, command, guarded);
    // As after a script, the connection is in the database that it was in.
    context.clients[context.me].select(db);
    context.db.select(db);
    context.in_transaction = inside;
    debug_assert_eq!(outcome, Outcome::Done, "nothing waits inside LOCK.GUARD");
    Ok(Outcome::Done)
}
