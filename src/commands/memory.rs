//! MEMORY: where the server's memory is.

use super::flags::READONLY;
use super::parse::{integer, is};
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec, help};
use crate::keyspace::Entry;
use crate::protocol::{Args, Reply};

pub(super) static SPEC: Spec = Spec {
    name: "memory",
    arity: -2,
    tips: &[],
    complexity: "Depends on the subcommand.",
    summary: "A container for commands that tell where memory goes.",
    subcommands: &[&DOCTOR, &HELP, &MALLOC_STATS, &PURGE, &STATS, &USAGE],
    ..BASE
};

const BASE: Spec = Spec {
    arity: 2,
    group: Group::Server,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    since: "4.0.0",
    ..Spec::BASE
};

static DOCTOR: Spec = Spec {
    name: "doctor",
    summary: "Sums the use of memory up in words.",
    example: "
> MEMORY DOCTOR
(any)
",
    handler: |context, _| {
        let Figures { keys, used, overhead, clients, .. } = Figures::of(context);
        let text = format!(
            "{keys} keys. {used} bytes are resident, {overhead} of them tables and deadline \
             indexes, {clients} clients' buffers.\n"
        );
        context.reply.verbatim(text.as_bytes(), "txt");
        Ok(Outcome::Done)
    },
    ..BASE
};

static HELP: Spec = Spec {
    example: "
> MEMORY HELP
(any)
",
    ..help::spec(Group::Server, "4.0.0")
};

static MALLOC_STATS: Spec = Spec {
    name: "malloc-stats",
    summary: "Says that the allocator keeps no statistics.",
    example: r#"
> MEMORY MALLOC-STATS
"Stats not supported for the current allocator"
"#,
    handler: |context, _| {
        context.reply.verbatim(b"Stats not supported for the current allocator", "txt");
        Ok(Outcome::Done)
    },
    ..BASE
};

static PURGE: Spec = Spec {
    name: "purge",
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    summary: "Does nothing: the allocator gives memory back by itself.",
    example: "
> MEMORY PURGE
OK
",
    handler: |context, _| {
        context.reply.ok();
        Ok(Outcome::Done)
    },
    ..BASE
};

static STATS: Spec = Spec {
    name: "stats",
    summary: "Answers figures of the server's memory.",
    example: "
> MEMORY STATS
(any)
",
    handler: stats,
    ..BASE
};

static USAGE: Spec = Spec {
    name: "usage",
    arity: -3,
    flags: READONLY,
    keys: &[KeySpec::one(2, "RO")],
    tips: &[],
    summary: "Answers the bytes that a key takes, its value and its place in the table included.",
    syntax: "key [SAMPLES count]",
    example: "
> SET greeting hello
OK
> MEMORY USAGE greeting
(integer) 32
> MEMORY USAGE nothing
(nil)
",
    handler: usage,
    ..BASE
};

/// A key's slot in the table.
const SLOT_BYTES: usize = 8;

fn usage(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let mut options = args.tail(3).iter();
    while let Some(option) = options.next() {
        let Some(count) = options.next().filter(|_| is(option, "samples")) else {
            return Err(CommandError::Syntax);
        };
        // There is nothing to sample in a string, but the number must be one.
        if integer(count)? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    match context.db.look(&args[2]).map(|entry| usage_bytes(&entry)) {
        Some(bytes) => context.reply.integer(bytes as i64),
        None => context.reply.null(),
    }
    Ok(Outcome::Done)
}

/// What a key takes, in bytes.
pub(super) fn usage_bytes(entry: &Entry) -> usize {
    entry.allocated_bytes() + SLOT_BYTES
}

/// What INFO and MEMORY know about memory, in bytes.
pub(super) struct Figures {
    /// Resident memory, or what is known to be held when the process cannot
    /// tell: there are no statistics of the allocator.
    pub(super) used: u64,
    /// The most of it that was seen.
    pub(super) peak: u64,
    /// Tables and deadline indexes.
    pub(super) overhead: u64,
    /// Output and input of clients, without what they share, and spare buffers.
    pub(super) clients: u64,
    /// Keys in all databases.
    pub(super) keys: u64,
}

impl Figures {
    /// Takes the figures now. Time is linear in the number of clients.
    pub(super) fn of(context: &mut Context<'_>) -> Figures {
        (context.server.refresh_process)(&mut context.server.process);
        let overhead = context.db.keyspace().overhead_bytes() as u64;
        let buffers = |(_, client): (_, &crate::clients::Client)| {
            // Values on their way are shared with the keyspace, and with other clients.
            client.output.own_capacity() + client.unread_bytes()
        };
        let clients: usize = context.clients.iter().map(buffers).sum();
        let clients = (clients + context.clients.pool.capacity()) as u64;
        let used = context.server.process.rss_bytes.max(overhead + clients);
        let peak = &mut context.server.peak_rss_bytes;
        *peak = (*peak).max(used);
        let peak = *peak;
        Figures { used, peak, overhead, clients, keys: context.db.keyspace().len() as u64 }
    }

    /// What is neither table nor client: keys, values, and the program.
    pub(super) fn dataset(&self) -> u64 {
        self.used.saturating_sub(self.overhead + self.clients)
    }
}

/// `part` in percent of `whole`.
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

fn stats(context: &mut Context<'_>, _args: Args<'_>) -> Ran {
    let figures = Figures::of(context);
    let databases: Vec<(usize, usize, usize)> = {
        let keyspace = context.db.keyspace();
        let numbers: Vec<usize> = keyspace.figures().map(|figures| figures.db).collect();
        let bytes = |db| {
            let (table, index) = keyspace.overhead_bytes_of(db);
            (db, table, index)
        };
        numbers.into_iter().map(bytes).collect()
    };
    let (used, dataset) = (figures.used, figures.dataset());
    let per_key = dataset.checked_div(figures.keys).unwrap_or(0);
    context.reply.map_with(|reply| {
        let mut pairs = Pairs { reply, count: 0 };
        pairs.number("peak.allocated", figures.peak);
        pairs.number("total.allocated", used);
        pairs.number("startup.allocated", 0);
        pairs.number("replication.backlog", 0);
        pairs.number("clients.slaves", 0);
        pairs.number("clients.normal", figures.clients);
        pairs.number("cluster.links", 0);
        pairs.number("aof.buffer", 0);
        pairs.number("lua.caches", 0);
        pairs.number("functions.caches", 0);
        for &(db, table, index) in &databases {
            pairs.name(&format!("db.{db}"));
            pairs.reply.map_with(|reply| {
                let mut pairs = Pairs { reply, count: 0 };
                pairs.number("overhead.hashtable.main", table as u64);
                pairs.number("overhead.hashtable.expires", index as u64);
                pairs.number("overhead.hashtable.slot-to-keys", 0);
                pairs.count
            });
        }
        pairs.number("overhead.total", figures.overhead + figures.clients);
        pairs.number("keys.count", figures.keys);
        pairs.number("keys.bytes-per-key", per_key);
        pairs.number("dataset.bytes", dataset);
        pairs.double("dataset.percentage", percent(dataset, used));
        pairs.double("peak.percentage", percent(used, figures.peak));
        // Nothing is known of the allocator, so what it holds is what is used.
        for name in ["allocator.allocated", "allocator.active", "allocator.resident"] {
            pairs.number(name, used);
        }
        for (ratio, bytes) in [
            ("allocator-fragmentation.ratio", "allocator-fragmentation.bytes"),
            ("allocator-rss.ratio", "allocator-rss.bytes"),
            ("rss-overhead.ratio", "rss-overhead.bytes"),
            ("fragmentation", "fragmentation.bytes"),
        ] {
            pairs.double(ratio, 1.0);
            pairs.number(bytes, 0);
        }
        pairs.count
    });
    Ok(Outcome::Done)
}

/// Writes the pairs of a map and counts them.
struct Pairs<'r, 'a> {
    reply: &'r mut Reply<'a>,
    count: usize,
}

impl Pairs<'_, '_> {
    fn name(&mut self, name: &str) {
        self.reply.bulk(name.as_bytes());
        self.count += 1;
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.reply.integer(number as i64);
    }

    fn double(&mut self, name: &str, number: f64) {
        self.name(name);
        self.reply.double(number);
    }
}
