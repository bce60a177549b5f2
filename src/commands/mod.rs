//! The commands: one file each, or one for a few that share a handler.
//!
//! A file holds the command's [`Spec`] (what COMMAND, the gates and the
//! documentation are made from), its handler and its tests. To add a command,
//! write its file, and add a `mod` line here and one line to the list in `list.rs`.
//!
//! # Locks, holds and leases as keys
//!
//! A lock that somebody owns is a key of type `lock`, a hold one of type `hold`:
//! objects that stand apart from their entry. A lease is no key but an annotation
//! beside one, with a value under that or without. What ends by itself (an owner's
//! time, a hold, a lease, the freshness of a value) has a timer, which fires before
//! anything else that happens in its millisecond; where more than `turn-timers-max`
//! are due at once, the others follow in the next turns, and whoever asks for the
//! lock, the hold or the lease itself finds it ended all the same.
//!
//! | | a lock | a hold | a leased key |
//! |---|---|---|---|
//! | TYPE | `lock` | `hold` | as without the lease: `string` or `none` |
//! | EXISTS, SCAN, KEYS, DBSIZE, RANDOMKEY | a key while somebody owns it | a key until it is forgotten | only if it has a value |
//! | TTL, PTTL, EXPIRETIME | the longest time of its owners | until the units go back; ended, until it is forgotten | of the value: fresh and stale time together |
//! | EXPIRE, PEXPIRE, EXPIREAT, PERSIST | 0, nothing changes: LOCK.EXTEND | 0, nothing changes: STOCK.EXTEND | of the value; the lease stays |
//! | DEL, UNLINK, or SET, COPY REPLACE, RENAME onto it | free; the next in line gets it, or WRONGTYPE where another type stands now | live: its units go back; ended: forgotten | the lease is void |
//! | RENAME, COPY, MOVE of it | refused | refused | the value; a lease does not go along, and moving the value away voids it |
//! | GET, INCR, APPEND and other commands for strings | WRONGTYPE | WRONGTYPE | of the value; writing voids the lease |
//! | SWAPDB | goes with its database; who waits, waits on in the database of that number | with its database | with its database |
//! | FLUSHDB, FLUSHALL | free | gone, as its counters are | void |
//! | WATCH | changes with each acquire, release, extension and end | with each change | with the value, not with the lease |
//! | events | `lock`, `unlock`, `expire`, `expired` of an owner, `del` | `hold`, `confirm`, `cancel`, `holdexpired`, `expire`, `expired`, `del` | of the value, and `stale` |
//! | OBJECT ENCODING | `raw` | `raw` | of the value |
//! | MEMORY USAGE | with its owners | with its items | of the value |

mod acl;
mod append;
mod arguments;
mod auth;
mod client;
mod command;
mod config;
mod copy;
mod dbsize;
mod debug;
mod decrifpos;
mod del;
mod delex;
mod delifgreater;
mod digest;
mod echo;
mod error;
pub(crate) mod events;
mod exists;
mod expire;
mod flush;
mod get;
mod getdel;
mod getex;
mod getrange;
mod getset;
mod getwithetag;
mod guard;
mod hello;
mod help;
mod histogram;
mod incr;
mod incrbyfloat;
mod increx;
mod info;
mod key_info;
mod key_type;
mod latency;
mod lease;
mod lock;
mod memory;
mod mget;
mod monitor;
mod mset;
mod msetex;
mod multi;
mod object;
mod persist;
mod ping;
mod pttl;
mod publish;
mod pubsub;
mod quit;
mod redact;
mod rename;
mod reset;
mod role;
mod save;
mod scan;
mod select;
mod set;
mod setex;
mod setifmatch;
mod setnx;
mod setrange;
mod shutdown;
mod slow_log;
mod state;
mod stock;
mod strlen;
mod subscribe;
mod swapdb;
mod table;
mod throttle;
mod time;
mod version;
mod wait;
mod watch;

use std::sync::LazyLock;
use std::time::Duration;

use crate::clients::{ClientKey, Clients, Wake};
use crate::clock::Now;
use crate::config::{Config, NotifyFlags};
pub use crate::keyspace::Discard;
use crate::keyspace::{Db, Want};
use crate::protocol::{Args, Reply};
use arguments::{condition, etag, lifetime, parse, span, ttl, value};
pub(crate) use command::keys_of;
pub use error::CommandError;
pub use histogram::Histogram;
pub(crate) use state::Runs;
pub use state::{Environment, ProcessFigures, Stage, Stopwatch};
pub(crate) use state::{Grant, Granted, LatencySamples, Pause, ServerState, SlowEntry};
use table::syntax;
pub use table::{Command, FindKeys, Group, KeySpec, LookupError, Spec, Table, flags};
pub(crate) use watch::unwatch_all;

/// What an error quotes of the arguments of an unknown command, in bytes, as in
/// Redis.
const QUOTED_BYTES_MAX: usize = 128;

/// The request and the reply of a brief command, in bytes each, beyond which it is
/// timed by itself all the same.
const BRIEF_BYTES_MAX: usize = 4_096;

/// If `slowlog-log-slower-than` is less than this, in microseconds, every command is
/// timed by itself.
const BRIEF_SLOWER_THAN_US_MIN: i64 = 1_000;

/// The error for a request that names no command.
pub(crate) fn unknown_command(args: Args<'_>) -> CommandError {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(CommandError::quotable(&args[0]));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut quoted = 0;
    for arg in args.iter().skip(1) {
        if quoted >= QUOTED_BYTES_MAX {
            break;
        }
        let shown = CommandError::quotable(&arg[..arg.len().min(QUOTED_BYTES_MAX - quoted)]);
        text.push(b'\'');
        text.extend_from_slice(shown);
        text.extend_from_slice(b"' ");
        quoted += shown.len() + 3;
    }
    CommandError::owned(text)
}

/// All commands, by name.
pub static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(table::ALL));

/// How a command ended, if not with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The reply has been written.
    Done,
    /// Nothing has been written: the client is parked, and the same request is
    /// run again when the wait ends; [`Context::wake`] then says why.
    Wait(Box<Wait>),
}

/// What a command waits for, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When the wait is over, on the monotonic axis. It ends at `max-wait-ms`
    /// anyhow.
    pub(crate) deadline: Option<Duration>,
    /// The keys that it waits for, as positions of arguments, and what would serve
    /// it there; `None` waits only for time to pass.
    pub(crate) on: Option<(Vec<usize>, Want)>,
}

/// What a handler returns.
pub(crate) type Ran = Result<Outcome, CommandError>;

/// Everything a command may touch, and nothing else.
pub(crate) struct Context<'a> {
    /// What time it is, throughout the command.
    pub(crate) now: Now,
    /// The keys of the client's database, and through it the others.
    pub(crate) db: Db<'a>,
    /// Where the reply is written.
    pub(crate) reply: Reply<'a>,
    /// All clients.
    pub(crate) clients: &'a mut Clients,
    /// The one that asked.
    pub(crate) me: ClientKey,
    /// The configuration.
    pub(crate) config: &'a mut Config,
    /// Counters, slow log and the like.
    pub(crate) server: &'a mut ServerState,
    /// Why the command is run again, if it has waited.
    pub(crate) wake: Wake,
    /// It must not wait: it runs inside EXEC or LOCK.GUARD, or while a journal is
    /// replayed.
    pub(crate) in_transaction: bool,
}

/// A command that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    /// Where its reply begins.
    mark: usize,
    /// When it began, in nanoseconds; `None` if it is not timed.
    begun_ns: Option<u64>,
    /// It need not be timed by itself, unless its reply is large.
    is_brief: bool,
    /// It is brief and has come alone.
    is_alone: bool,
}

/// Runs a command whose gates have been passed: handler, counters, slow log.
///
/// An error of the handler becomes its reply, in place of whatever it had
/// written.
pub(crate) fn call(context: &mut Context<'_>, command: &Command, args: Args<'_>) -> Outcome {
    let is_brief =
        is_brief(command, args) && !context.in_transaction && !times_each(context.config);
    let running = begin_call(context, command, is_brief);
    let result = (command.spec.handler)(context, args);
    end_call(context, command, args, running, result)
}

/// The same for a command that [is brief](is_brief) and in no transaction, while nobody
/// sees each command that runs, keeps copies of keys, or wants [each timed](times_each).
#[inline(always)]
pub(crate) fn call_brief(context: &mut Context<'_>, command: &Command, args: Args<'_>) {
    let running = begin_call(context, command, true);
    let result = (command.spec.handler)(context, args);
    let is_small = context.reply.len() - running.mark <= BRIEF_BYTES_MAX;
    let has_happened = context.db.keyspace().has_happened();
    let is_done = matches!(result, Ok(Outcome::Done));
    let is_timed_here = running.is_alone && running.begun_ns.is_some();
    if is_done && is_small && !has_happened && !is_timed_here {
        // It owns nothing, which would be looked up again.
        std::mem::forget(result);
        context.server.stats.commands += 1;
        context.server.commands[command.id].calls += 1;
        if running.is_alone {
            count_untimed(context, command);
        } else {
            context.server.extend_run(command.id);
        }
    } else {
        end_call(context, command, args, running, result);
    }
}

/// Not inlined: it would cost those that come together more than it spares these.
#[inline(never)]
fn count_untimed(context: &mut Context<'_>, command: &Command) {
    let time_ns = context.server.untimed_ns(command.id);
    count_time(context, command, time_ns);
}

#[inline]
fn begin_call(context: &mut Context<'_>, command: &Command, is_brief: bool) -> Running {
    context.server.end_other_run(command.id, context.config.latency_tracking);
    let is_alone = is_brief && !context.server.timer.is_pipelined;
    let tells = context.config.notify_keyspace_events != NotifyFlags::default();
    let begun_ns = match is_alone && !tells && context.server.skips_timing(command.id) {
        true => None,
        false => Some(context.server.begun_ns()),
    };
    Running { mark: context.reply.len(), begun_ns, is_brief, is_alone }
}

fn end_call(
    context: &mut Context<'_>,
    command: &Command,
    args: Args<'_>,
    running: Running,
    result: Ran,
) -> Outcome {
    let Running { mark, begun_ns, is_brief, is_alone } = running;
    let is_first_run = context.wake == Wake::First;
    let has_told = context.db.keyspace().has_happened();
    if has_told {
        events::deliver(context.db.keyspace(), context.clients, context.config, Some(context.me));
    }
    if context.clients.is_tracking() {
        remember_reads(context, command, args);
    }
    let error = match result {
        Ok(Outcome::Done) => None,
        Ok(wait @ Outcome::Wait(_)) => {
            if is_first_run {
                feed_monitors(context, command, args);
            }
            return wait;
        }
        Err(error) => Some(error),
    };
    context.server.stats.commands += 1;
    context.server.commands[command.id].calls += 1;
    // Whom it has told, and of how much, is not bounded.
    let was_small =
        is_brief && !has_told && context.reply.len() - mark <= BRIEF_BYTES_MAX && error.is_none();
    if was_small && !is_alone {
        context.server.extend_run(command.id);
    } else {
        let time_ns = match begun_ns {
            Some(begun_ns) => {
                context.server.time_alone_ns(begun_ns, context.config.latency_tracking)
            }
            None => context.server.untimed_ns(command.id),
        };
        if was_small && begun_ns.is_some() {
            context.server.note_alone(command.id, time_ns);
        }
        count_time(context, command, time_ns);
        if let Some(error) = error {
            answer_error(context, command, &error, mark);
        }
        note_slow(context, command, args, time_ns / 1_000);
    }
    if is_first_run {
        feed_monitors(context, command, args);
    }
    Outcome::Done
}

/// Whether a command, unless its reply is large, need not be timed by itself.
#[inline]
pub(crate) fn is_brief(command: &Command, args: Args<'_>) -> bool {
    command.spec.has(flags::BRIEF) && args.bytes() <= BRIEF_BYTES_MAX
}

/// Whether those are timed by themselves all the same: whoever wants to see what takes
/// so little, sees each.
#[inline]
pub(crate) fn times_each(config: &Config) -> bool {
    (0..BRIEF_SLOWER_THAN_US_MIN).contains(&config.slowlog_log_slower_than)
        || config.latency_monitor_threshold > 0
}

#[inline]
fn count_time(context: &mut Context<'_>, command: &Command, time_ns: u64) {
    context.server.commands[command.id].time_ns += time_ns;
    if context.config.latency_tracking {
        context.server.latencies[command.id].get_or_insert_default().record(time_ns);
    }
}

/// Answers a handler's error in place of whatever it had written.
#[cold]
fn answer_error(context: &mut Context<'_>, command: &Command, error: &CommandError, mark: usize) {
    context.server.commands[command.id].failed += 1;
    context.reply.truncate(mark);
    let text = error.text();
    context.server.count_error(&text);
    context.reply.error_bytes(&text);
}

/// Notes the keys that the command has read, for a client that keeps copies of
/// what it reads. Whether it was answered with an error does not matter, as in
/// Redis.
#[cold]
fn remember_reads(context: &mut Context<'_>, command: &Command, args: Args<'_>) {
    if command.spec.has(flags::READONLY | flags::CACHEABLE)
        && context.clients.remembers_reads(context.me)
    {
        for name in keys_of(command.spec, args) {
            context.clients.remember_read(context.me, name);
        }
    }
}

/// Records the command in SLOWLOG and LATENCY if it was slow.
#[inline]
fn note_slow(context: &mut Context<'_>, command: &Command, args: Args<'_>, time_us: u64) {
    let slower_than = context.config.slowlog_log_slower_than;
    if slower_than >= 0 && time_us >= slower_than as u64 && !command.spec.has(flags::SKIP_SLOWLOG) {
        slow_log::record(context, command, args, time_us);
    }
    let threshold_ms = context.config.latency_monitor_threshold;
    if threshold_ms > 0 {
        let event = if command.spec.has(flags::FAST) { "fast-command" } else { "command" };
        context.server.latency.record(event, time_us / 1_000, threshold_ms, context.now);
    }
}

/// Shows a request to the clients in MONITOR mode. It has run, as in Redis: what
/// EXEC runs comes before EXEC itself, and a command that had to wait is shown
/// once.
#[inline]
fn feed_monitors(context: &mut Context<'_>, command: &Command, args: Args<'_>) {
    if !context.clients.monitors().is_empty() {
        feed(context, command, args);
    }
}

#[cold]
fn feed(context: &mut Context<'_>, command: &Command, args: Args<'_>) {
    if !command.spec.has(flags::SKIP_MONITOR | flags::ADMIN) {
        monitor::feed(context, command, args);
    }
}
