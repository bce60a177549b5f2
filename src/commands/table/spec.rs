//! What is known about a command before it runs: the table that COMMAND,
//! COMMAND DOCS, the argument-count check, the gates and the documentation
//! are all made from.

use crate::commands::{Command, CommandError, Context, Outcome, TABLE};
use crate::protocol::Args;

/// A command's code. `args[0]` is the command's name; for a subcommand
/// `args[1]` is its own.
///
/// An error return is the whole reply: what the handler wrote before it is
/// taken back.
pub(crate) type Handler = fn(&mut Context<'_>, Args<'_>) -> Result<Outcome, CommandError>;

/// One command, or one subcommand of a container such as CLIENT.
#[derive(Debug)]
pub struct Spec {
    /// Lower case; a subcommand's is only its own word (`id` of CLIENT ID).
    pub name: &'static str,
    /// Number of arguments, the command's name included; negative: at least
    /// that many.
    pub arity: i32,
    /// What `arity` admits and would be one argument too many in Redis: a
    /// command of fixed length there that has an option here.
    pub exceeds: Option<fn(Args<'_>) -> bool>,
    /// Union of the constants in [`flags`].
    pub flags: u32,
    /// Where the keys stand among the arguments.
    pub keys: &'static [KeySpec],
    /// Which family of the documentation it belongs to.
    pub group: Group,
    /// ACL categories that do not follow from flags and group.
    pub acl: &'static [&'static str],
    /// Hints for clients and proxies, as COMMAND INFO gives them:
    /// `nondeterministic_output`, `request_policy:all_shards`.
    pub tips: &'static [&'static str],
    /// The Redis version that introduced it, or tollgate's own.
    pub since: &'static str,
    /// Asymptotic cost, as in "O(1)".
    pub complexity: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The arguments after the name in Redis's notation: `key [NX|XX]
    /// [EX seconds|PX milliseconds] [field value ...]`. Words in capitals are
    /// tokens, others stand for values; COMMAND DOCS gives it as a tree.
    pub syntax: &'static str,
    /// A redis-cli transcript that holds on an empty server: lines that start
    /// with `> ` are sent, what follows is the reply. The tests run it.
    pub example: &'static str,
    /// The code; for a container, what runs when no subcommand is named.
    pub(crate) handler: Handler,
    /// For a container: its subcommands. Otherwise empty.
    pub subcommands: &'static [&'static Spec],
}

impl Spec {
    /// Where a literal takes its unnamed fields from.
    pub const BASE: Spec = Spec {
        name: "",
        arity: 1,
        exceeds: None,
        flags: 0,
        keys: &[],
        group: Group::Generic,
        acl: &[],
        tips: &[],
        since: "1.0.0",
        complexity: "O(1)",
        summary: "",
        syntax: "",
        example: "",
        handler: |_, _| Err(CommandError::Syntax),
        subcommands: &[],
    };

    /// Whether a request has as many arguments as the command takes.
    #[inline]
    pub fn accepts(&self, args: Args<'_>) -> bool {
        let count = args.len();
        let wanted = self.arity.unsigned_abs() as usize;
        let fits = if self.arity < 0 { count >= wanted } else { count == wanted };
        fits && !self.exceeds.is_some_and(|exceeds| exceeds(args))
    }

    /// Where the command begins that this one runs, if it runs one.
    pub fn command_at(&self) -> Option<usize> {
        let runs = |keys: &&KeySpec| matches!(keys.find, FindKeys::OfCommand);
        self.keys.iter().find(runs).map(|keys| keys.first)
    }

    /// The command that a request of this one runs, and where it begins. One that
    /// runs another is not run itself, so that there is only one such step.
    pub(crate) fn guarded(&self, args: Args<'_>) -> Option<(usize, &'static Command)> {
        let at = self.command_at()?;
        if args.len() <= at {
            return None;
        }
        let command = TABLE.resolve(args.tail(at)).ok()?;
        command.spec.command_at().is_none().then_some((at, command))
    }

    /// Whether any of these [`flags`] is set.
    pub const fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

/// Properties of commands; the gates of dispatch and the flags of COMMAND INFO.
pub mod flags {
    /// May change keys.
    pub const WRITE: u32 = 1 << 0;
    /// Reads keys and changes none.
    pub const READONLY: u32 = 1 << 1;
    /// May need more memory.
    pub const DENYOOM: u32 = 1 << 2;
    /// For administrators.
    pub const ADMIN: u32 = 1 << 3;
    /// Publish/subscribe.
    pub const PUBSUB: u32 = 1 << 4;
    /// Not for scripts.
    pub const NOSCRIPT: u32 = 1 << 5;
    /// May make its client wait.
    pub const BLOCKING: u32 = 1 << 6;
    /// Allowed while data is being loaded.
    pub const LOADING: u32 = 1 << 7;
    /// Allowed on a replica with stale data.
    pub const STALE: u32 = 1 << 8;
    /// Not shown by MONITOR.
    pub const SKIP_MONITOR: u32 = 1 << 9;
    /// Not recorded by SLOWLOG.
    pub const SKIP_SLOWLOG: u32 = 1 << 10;
    /// Constant or logarithmic time, no waiting.
    pub const FAST: u32 = 1 << 11;
    /// Allowed before AUTH.
    pub const NO_AUTH: u32 = 1 << 12;
    /// Not allowed inside MULTI.
    pub const NO_MULTI: u32 = 1 << 13;
    /// May run without naming any key although it has key positions.
    pub const NO_MANDATORY_KEYS: u32 = 1 << 14;
    /// Must be allowed in the configuration, by `enable-debug-command`.
    pub const PROTECTED: u32 = 1 << 15;
    /// Not allowed during asynchronous loading.
    pub const NO_ASYNC_LOADING: u32 = 1 << 16;
    /// Allowed while a script is busy.
    pub const ALLOW_BUSY: u32 = 1 << 17;
    /// Its effects may have to reach replicas.
    pub const MAY_REPLICATE: u32 = 1 << 18;
    /// Key positions depend on the arguments.
    pub const MOVABLEKEYS: u32 = 1 << 19;

    /// Ours: runs at once inside MULTI instead of being queued.
    pub const IMMEDIATE: u32 = 1 << 24;
    /// Ours: allowed to a RESP2 client that has subscriptions.
    pub const SUBSCRIBED: u32 = 1 << 25;
    /// Ours: runs what MULTI has queued, or throws it away when it cannot.
    pub const RUNS_QUEUED: u32 = 1 << 26;
    /// Ours: not in the ACL category of its group.
    pub const UNGROUPED: u32 = 1 << 27;
    /// Ours: writes, and answers a value that the client may keep a copy of.
    pub const CACHEABLE: u32 = 1 << 29;
    /// Ours: takes so little time, whatever is asked, unless much is sent or answered,
    /// that several in a row are timed together.
    pub const BRIEF: u32 = 1 << 30;
    /// Ours: what CLIENT CACHING says stays in force for the command after it;
    /// of a container, for all its subcommands.
    pub const KEEPS_CACHING: u32 = 1 << 28;
    /// Ours: what it answers depends on keys that it does not name.
    pub const LOOKS_FURTHER: u32 = 1 << 31;

    /// The names COMMAND INFO gives them, in its order. Redis 7.0 does not show
    /// `may_replicate`.
    pub const NAMES: &[(u32, &str)] = &[
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_MONITOR, "skip_monitor"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (PROTECTED, "protected"),
        (NO_ASYNC_LOADING, "no_async_loading"),
        (NO_MULTI, "no_multi"),
        (MOVABLEKEYS, "movablekeys"),
        (ALLOW_BUSY, "allow_busy"),
    ];
}

/// The families of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Any key, whatever its type.
    Generic,
    /// Strings, counters included.
    String,
    /// The connection and its client.
    Connection,
    /// The server.
    Server,
    /// Publish/subscribe.
    Pubsub,
    /// MULTI and what belongs to it.
    Transactions,
    /// Units that are set aside.
    Stock,
    /// Locks with queues and fencing tokens.
    Lock,
    /// Values that one computes for all.
    Lease,
    /// How often something may be done.
    Rate,
}

impl Group {
    /// The name that COMMAND DOCS gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Pubsub => "pubsub",
            Group::Transactions => "transactions",
            Group::Stock => "stock",
            Group::Lock => "lock",
            Group::Lease => "lease",
            Group::Rate => "rate",
        }
    }

    /// The ACL category that all commands of the group are in, if there is one.
    pub const fn acl(self) -> Option<&'static str> {
        match self {
            Group::Generic => Some("keyspace"),
            Group::String => Some("string"),
            Group::Connection => Some("connection"),
            Group::Pubsub => Some("pubsub"),
            Group::Transactions => Some("transaction"),
            Group::Stock => Some("stock"),
            Group::Lock => Some("lock"),
            Group::Lease => Some("lease"),
            Group::Rate => Some("rate"),
            Group::Server => None,
        }
    }
}

/// Where a command's keys stand: the first argument position and how to go on.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What happens to these keys, as in COMMAND INFO: `RO ACCESS`,
    /// `RW UPDATE`, `OW UPDATE`, `RM DELETE`.
    pub flags: &'static str,
    /// Position of the first key, or of the argument that the count is
    /// relative to. Counts from the command's name.
    pub first: usize,
    /// How many keys follow.
    pub find: FindKeys,
}

/// How many keys follow the first one.
#[derive(Clone, Copy, Debug)]
pub enum FindKeys {
    /// From the first to `last` (relative to the first; negative: counted from
    /// the end of the arguments, -1 is the last), every `step`th.
    Range {
        /// Relative to the first; negative counts from the end.
        last: i32,
        /// Distance from one key to the next.
        step: usize,
    },
    /// The argument at the first position says how many keys follow it.
    Counted {
        /// Distance from one key to the next.
        step: usize,
    },
    /// A whole command begins at the first position, with its own keys.
    OfCommand,
}

impl KeySpec {
    /// One key at `position`.
    pub const fn one(position: usize, flags: &'static str) -> KeySpec {
        KeySpec { flags, first: position, find: FindKeys::Range { last: 0, step: 1 } }
    }

    /// Keys from `first` to the end of the arguments, every `step`th.
    pub const fn to_end(first: usize, step: usize, flags: &'static str) -> KeySpec {
        KeySpec { flags, first, find: FindKeys::Range { last: -1, step } }
    }

    /// A count at `position`, that many keys behind it, every `step`th.
    pub const fn counted(position: usize, step: usize, flags: &'static str) -> KeySpec {
        KeySpec { flags, first: position, find: FindKeys::Counted { step } }
    }
}
