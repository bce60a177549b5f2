//! INFO: the server in figures, section by section, with Redis's names, so
//! that what reads them from Redis reads them here.
//!
//! What has no counterpart here (forks, replicas, a memory limit) is the
//! constant that Redis shows when it does not use it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::debug::lru_clock;
use super::flags::{LOADING, STALE};
use super::memory::{Figures, percent};
use super::parse::is;
use super::version::REDIS_VERSION;
use super::{Context, Group, Outcome, Ran, Spec, Stage, TABLE};
use crate::clients::Parked;
use crate::protocol::Args;

pub(super) static SPEC: Spec = Spec {
    name: "info",
    arity: -1,
    flags: LOADING | STALE,
    group: Group::Server,
    acl: &["dangerous"],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    summary: "Answers figures of the server, all usual sections or the named ones.",
    syntax: "[section ...]",
    example: r##"
> SET a 1
OK
> INFO keyspace
"# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n"
"##,
    handler: info,
    ..Spec::BASE
};

struct Section {
    title: &'static str,
    /// Shown when no section is named.
    is_usual: bool,
    write: fn(&mut Context<'_>, &mut Text),
}

const SECTIONS: &[Section] = &[
    Section { title: "Server", is_usual: true, write: server },
    Section { title: "Clients", is_usual: true, write: clients },
    Section { title: "Memory", is_usual: true, write: memory },
    Section { title: "Persistence", is_usual: true, write: persistence },
    Section { title: "Stats", is_usual: true, write: stats },
    Section { title: "Replication", is_usual: true, write: replication },
    Section { title: "CPU", is_usual: true, write: cpu },
    Section { title: "Modules", is_usual: true, write: |_, _| {} },
    Section { title: "Commandstats", is_usual: false, write: command_stats },
    Section { title: "Errorstats", is_usual: true, write: error_stats },
    Section { title: "Latencystats", is_usual: false, write: latency_stats },
    Section { title: "Cluster", is_usual: true, write: |_, text| text.field("cluster_enabled", 0) },
    Section { title: "Keyspace", is_usual: true, write: keyspace },
    Section { title: "Loop", is_usual: true, write: turns },
    Section { title: "Tollgate", is_usual: false, write: tollgate },
];

fn info(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    (context.server.refresh_process)(&mut context.server.process);
    let names = args.tail(1);
    let named = |word: &str| names.iter().any(|name| is(name, word));
    let all = named("all") || named("everything");
    let usual = names.is_empty() || named("default");
    let mut text = Text(String::new());
    for section in SECTIONS {
        if all || (usual && section.is_usual) || named(section.title) {
            if !text.0.is_empty() {
                text.0.push_str("\r\n");
            }
            text.line(format_args!("# {}", section.title));
            (section.write)(context, &mut text);
        }
    }
    context.reply.verbatim(text.0.as_bytes(), "txt");
    Ok(Outcome::Done)
}

/// The reply while it grows.
struct Text(String);

impl Text {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a String takes everything");
        self.0.push_str("\r\n");
    }

    fn field(&mut self, name: &str, value: impl fmt::Display) {
        self.line(format_args!("{name}:{value}"));
    }

    /// Fields that say nothing here and that readers of INFO expect.
    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.field(name, 0);
        }
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.line(format_args!("{name}_human:{}", human(bytes)));
    }
}

/// Bytes with a unit, as Redis prints them: `12.50M`.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1_024 {
        return format!("{bytes}B");
    }
    let magnitude = (bytes.ilog2() / 10) as usize;
    let amount = bytes as f64 / (1u64 << (10 * magnitude)) as f64;
    format!("{amount:.2}{}", UNITS[magnitude - 1])
}

fn server(context: &mut Context<'_>, text: &mut Text) {
    let (server, process) = (&context.server, &context.server.process);
    let uptime_s = context.now.monotonic.saturating_sub(server.started.monotonic).as_secs();
    let port = if process.tcp_port == 0 { context.config.port } else { process.tcp_port };
    text.field("redis_version", REDIS_VERSION);
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", 0);
    text.field("redis_mode", "standalone");
    text.line(format_args!("os:{} {}", std::env::consts::OS, std::env::consts::ARCH));
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "POSIX clock_gettime");
    text.field("multiplexing_api", "epoll");
    text.field("process_id", process.pid);
    text.field("process_supervised", "no");
    text.field("run_id", &server.run_id);
    text.field("tcp_port", port);
    text.field("server_time_usec", context.now.unix_us);
    text.field("uptime_in_seconds", uptime_s);
    text.field("uptime_in_days", uptime_s / 86_400);
    text.field("hz", context.config.hz);
    text.field("configured_hz", context.config.hz);
    text.field("lru_clock", lru_clock(context.now.unix_s()));
    text.field("executable", &process.executable);
    text.field("config_file", &context.config.config_file);
    text.field("io_threads_active", 0);
    text.field("tollgate_version", env!("CARGO_PKG_VERSION"));
}

fn clients(context: &mut Context<'_>, text: &mut Text) {
    let clients = &context.clients;
    let (mut input_bytes, mut output_bytes, mut blocked) = (0, 0, 0);
    let (mut subscribed, mut watching) = (0, 0);
    for (_, client) in clients.iter() {
        input_bytes = input_bytes.max(client.unread_bytes());
        output_bytes = output_bytes.max(client.output.capacity());
        blocked += usize::from(matches!(client.parked, Some(Parked::Waiting { .. })));
        subscribed += usize::from(client.subscriptions.is_some());
        watching += usize::from(client.watched.is_some());
    }
    text.field("connected_clients", clients.len());
    text.field("cluster_connections", 0);
    text.field("maxclients", context.config.maxclients);
    text.field("client_recent_max_input_buffer", input_bytes);
    text.field("client_recent_max_output_buffer", output_bytes);
    text.field("blocked_clients", blocked);
    text.field("tracking_clients", clients.trackers().count());
    text.field("pubsub_clients", subscribed);
    text.field("watching_clients", watching);
    // Every wait has a deadline.
    text.field("clients_in_timeout_table", blocked);
    text.field("total_watched_keys", context.db.keyspace().watched_keys());
    text.field("total_blocking_keys", context.db.keyspace().waiters().key_count());
    text.zeros(&["total_blocking_keys_on_nokey"]);
}

fn memory(context: &mut Context<'_>, text: &mut Text) {
    let figures = Figures::of(context);
    let (used, dataset) = (figures.used, figures.dataset());
    let rss = context.server.process.rss_bytes;
    text.bytes("used_memory", used);
    text.bytes("used_memory_rss", rss);
    text.bytes("used_memory_peak", figures.peak);
    text.line(format_args!("used_memory_peak_perc:{:.2}%", percent(used, figures.peak)));
    text.field("used_memory_overhead", figures.overhead + figures.clients);
    text.field("used_memory_startup", 0);
    text.field("used_memory_dataset", dataset);
    text.line(format_args!("used_memory_dataset_perc:{:.2}%", percent(dataset, used)));
    for name in ["allocator_allocated", "allocator_active", "allocator_resident"] {
        text.field(name, used);
    }
    text.bytes("total_system_memory", context.server.process.system_memory_bytes);
    text.bytes("used_memory_lua", 0);
    text.bytes("used_memory_vm_total", 0);
    text.bytes("used_memory_scripts", 0);
    text.zeros(&["used_memory_vm_eval", "used_memory_scripts_eval"]);
    text.zeros(&["used_memory_vm_functions", "used_memory_functions"]);
    text.zeros(&["number_of_cached_scripts", "number_of_functions", "number_of_libraries"]);
    text.bytes("maxmemory", context.config.maxmemory);
    text.field("maxmemory_policy", context.config.maxmemory_policy);
    // There are no statistics of the allocator to compare with.
    for (ratio, bytes) in [
        ("allocator_frag_ratio", "allocator_frag_bytes"),
        ("allocator_rss_ratio", "allocator_rss_bytes"),
        ("rss_overhead_ratio", "rss_overhead_bytes"),
        ("mem_fragmentation_ratio", "mem_fragmentation_bytes"),
    ] {
        text.field(ratio, "1.00");
        text.field(bytes, 0);
    }
    text.zeros(&[
        "mem_not_counted_for_evict",
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
    ]);
    text.field("mem_clients_normal", figures.clients);
    text.zeros(&["mem_cluster_links", "mem_aof_buffer"]);
    let allocator = context.server.process.allocator;
    text.field("mem_allocator", if allocator.is_empty() { "system" } else { allocator });
    text.zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
}

fn persistence(context: &mut Context<'_>, text: &mut Text) {
    let changes = context.db.keyspace().stats().changes;
    let unix_s = context.now.unix_s();
    let persistence = &context.server.persistence;
    let (save, rewrite) = (&persistence.save, &persistence.rewrite);
    let last = |seconds: Option<u64>| seconds.map_or("-1".to_owned(), |s| s.to_string());
    let current =
        |since_s: Option<u64>| last(since_s.map(|since_s| unix_s.saturating_sub(since_s)));
    text.field("loading", u8::from(persistence.loading));
    text.zeros(&["async_loading", "current_cow_peak", "current_cow_size"]);
    text.zeros(&["current_cow_size_age"]);
    text.field("current_fork_perc", "0.00");
    text.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    text.field("rdb_changes_since_last_save", changes - persistence.changes_at_save);
    text.field("rdb_bgsave_in_progress", u8::from(save.since_s.is_some()));
    text.field("rdb_last_save_time", persistence.last_save_s);
    text.field("rdb_last_bgsave_status", save.status());
    text.field("rdb_last_bgsave_time_sec", last(save.last_s));
    text.field("rdb_current_bgsave_time_sec", current(save.since_s));
    text.field("rdb_saves", save.completed);
    text.zeros(&["rdb_last_cow_size"]);
    text.zeros(&["rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"]);
    text.field("aof_enabled", u8::from(persistence.journaling));
    text.field("aof_rewrite_in_progress", u8::from(rewrite.since_s.is_some()));
    text.field("aof_rewrite_scheduled", u8::from(rewrite.is_requested));
    text.field("aof_last_rewrite_time_sec", last(rewrite.last_s));
    text.field("aof_current_rewrite_time_sec", current(rewrite.since_s));
    text.field("aof_last_bgrewrite_status", rewrite.status());
    text.field("aof_rewrites", rewrite.completed);
    text.field("aof_rewrites_consecutive_failures", rewrite.failures);
    text.field("aof_last_write_status", if persistence.fault.is_none() { "ok" } else { "err" });
    text.zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    if persistence.journaling {
        text.field("aof_current_size", persistence.current_bytes);
        text.field("aof_base_size", persistence.base_bytes);
        text.zeros(&["aof_pending_rewrite"]);
        text.field("aof_buffer_length", persistence.unsynced_bytes);
        text.field(
            "aof_pending_bio_fsync",
            persistence.sealed_seq.saturating_sub(persistence.durable_seq),
        );
        let (delayed, before) = (persistence.delayed_syncs, persistence.delayed_syncs_reset);
        text.field("aof_delayed_fsync", delayed.saturating_sub(before));
    }
    if persistence.loading {
        let load = &persistence.load;
        let per_second = load.loaded_bytes * 1_000 / load.elapsed_ms.max(1);
        let left = load.total_bytes.saturating_sub(load.loaded_bytes);
        let share = load.loaded_bytes as f64 * 100.0 / load.total_bytes.max(1) as f64;
        text.field("loading_start_time", load.since_s);
        text.field("loading_total_bytes", load.total_bytes);
        text.zeros(&["loading_rdb_used_mem"]);
        text.field("loading_loaded_bytes", load.loaded_bytes);
        text.field("loading_loaded_perc", format!("{share:.2}"));
        text.field("loading_eta_seconds", left / per_second.max(1));
    }
}

fn stats(context: &mut Context<'_>, text: &mut Text) {
    let keyspace = context.db.keyspace().stats();
    let (stats, rate) = (&context.server.stats, &context.server.rate);
    let pubsub = context.clients.pubsub();
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1_024.0);
    text.field("total_connections_received", stats.connections_received);
    text.field("total_commands_processed", stats.commands);
    text.field("instantaneous_ops_per_sec", rate.commands);
    text.field("total_net_input_bytes", stats.input_bytes);
    text.field("total_net_output_bytes", stats.output_bytes);
    text.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    text.field("instantaneous_input_kbps", kilobytes(rate.input_bytes));
    text.field("instantaneous_output_kbps", kilobytes(rate.output_bytes));
    text.field("instantaneous_input_repl_kbps", "0.00");
    text.field("instantaneous_output_repl_kbps", "0.00");
    text.field("rejected_connections", stats.connections_rejected);
    text.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    text.field("expired_keys", keyspace.expired);
    text.field("expired_stale_perc", "0.00");
    text.zeros(&["expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds"]);
    text.zeros(&["evicted_keys", "evicted_clients"]);
    text.zeros(&["total_eviction_exceeded_time", "current_eviction_exceeded_time"]);
    text.field("keyspace_hits", keyspace.hits);
    text.field("keyspace_misses", keyspace.misses);
    text.field("pubsub_channels", pubsub.channel_count());
    text.field("pubsub_patterns", pubsub.pattern_count());
    text.zeros(&["pubsubshard_channels", "latest_fork_usec", "total_forks"]);
    text.zeros(&["migrate_cached_sockets", "slave_expires_tracked_keys"]);
    text.zeros(&["active_defrag_hits", "active_defrag_misses"]);
    text.zeros(&["active_defrag_key_hits", "active_defrag_key_misses"]);
    text.zeros(&["total_active_defrag_time", "current_active_defrag_time"]);
    let trackers = context.clients.trackers();
    text.field("tracking_total_keys", trackers.keys());
    text.field("tracking_total_items", trackers.items());
    text.field("tracking_total_prefixes", trackers.prefixes());
    text.field("unexpected_error_replies", 0);
    text.field("total_error_replies", stats.errors);
    text.field("dump_payload_sanitizations", 0);
    text.field("total_reads_processed", stats.reads);
    text.field("total_writes_processed", stats.writes);
    text.zeros(&["io_threaded_reads_processed", "io_threaded_writes_processed"]);
    // They count how often the buffer that each client keeps was given another size,
    // and here no client keeps one.
    text.zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
    text.field("client_output_buffer_limit_disconnections", context.clients.output_limit_closes);
    text.field("acl_access_denied_auth", stats.auth_failures);
}

fn replication(context: &mut Context<'_>, text: &mut Text) {
    text.field("role", "master");
    text.field("connected_slaves", 0);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &context.server.run_id);
    text.field("master_replid2", "0".repeat(40));
    text.field("master_repl_offset", 0);
    text.field("second_repl_offset", -1);
    text.zeros(&["repl_backlog_active", "repl_backlog_size"]);
    text.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

fn cpu(context: &mut Context<'_>, text: &mut Text) {
    let process = &context.server.process;
    let (system, user) = (process.cpu_system.as_secs_f64(), process.cpu_user.as_secs_f64());
    text.line(format_args!("used_cpu_sys:{system:.6}"));
    text.line(format_args!("used_cpu_user:{user:.6}"));
    text.field("used_cpu_sys_children", "0.000000");
    text.field("used_cpu_user_children", "0.000000");
    // Only the whole process is measured; all its work is done by one thread.
    text.line(format_args!("used_cpu_sys_main_thread:{system:.6}"));
    text.line(format_args!("used_cpu_user_main_thread:{user:.6}"));
}

fn command_stats(context: &mut Context<'_>, text: &mut Text) {
    for (command, stats) in TABLE.all().iter().zip(&context.server.commands) {
        if stats.calls == 0 && stats.rejected == 0 && stats.failed == 0 {
            continue;
        }
        let time_us = stats.time_ns / 1_000;
        let per_call = if stats.calls == 0 { 0.0 } else { time_us as f64 / stats.calls as f64 };
        text.line(format_args!(
            "cmdstat_{}:calls={},usec={time_us},usec_per_call={per_call:.2},rejected_calls={},\
             failed_calls={}",
            command.full_name(),
            stats.calls,
            stats.rejected,
            stats.failed
        ));
    }
}

fn error_stats(context: &mut Context<'_>, text: &mut Text) {
    let by_code: &BTreeMap<Box<[u8]>, u64> = &context.server.stats.errors_by_code;
    for (code, count) in by_code {
        // An error may quote a client's word; it must not begin another line.
        text.line(format_args!("errorstat_{}:count={count}", code.escape_ascii()));
    }
}

fn latency_stats(context: &mut Context<'_>, text: &mut Text) {
    let percents = &context.config.latency_tracking_info_percentiles;
    for (command, histogram) in TABLE.all().iter().zip(&context.server.latencies) {
        let Some(histogram) = histogram else { continue };
        let shown: Vec<String> = percents
            .iter()
            .map(|percent| {
                let time_us = histogram.percentile_ns(*percent) as f64 / 1_000.0;
                format!("p{percent}={time_us:.3}")
            })
            .collect();
        text.line(format_args!(
            "latency_percentiles_usec_{}:{}",
            command.full_name(),
            shown.join(",")
        ));
    }
}

fn keyspace(context: &mut Context<'_>, text: &mut Text) {
    for figures in context.db.keyspace().figures() {
        text.line(format_args!(
            "db{}:keys={},expires={},avg_ttl={}",
            figures.db, figures.keys, figures.with_deadline, figures.average_ttl_ms
        ));
    }
}

/// The health of the loop: what its turns take, and what is left to later ones.
/// Counted from the start or CONFIG RESETSTAT, but for what is left.
///
/// | field | what |
/// |---|---|
/// | `turns` | turns of the loop |
/// | `turns_over_1ms` | those longer than a millisecond, the wait for events not included |
/// | `turns_over_1ms_cpu` | those of them in which the loop had the processor for more than a millisecond; counted while `loop-cpu-time` is on |
/// | `turn_longest_us` | the longest turn, in microseconds |
/// | `turn_longest_recent_us` | the longest of the last minute and up to ten seconds more |
/// | `turn_longest_stages_us` | the longest turn by stage: what made it long |
/// | `turn_longest_work` | requests run and bytes received and sent in it, seconds since then, and `cpu_us`, how long it had the processor (-1: not measured) |
/// | `wait_us` | time spent waiting for events |
/// | `stage_*_us` | time spent in each [`Stage`], in microseconds |
/// | `requests_per_turn`, `input_bytes_per_turn`, `output_bytes_per_turn` | averages |
/// | `requests_per_turn_max` and so on | the most in one turn |
/// | `expiry_backlog` | keys that are due and not removed yet; keys that were changed meanwhile may count |
/// | `expiry_overdue_ms` | how late the earliest of those is that have not been taken up yet |
/// | `expiry_lag_ms` | how late the latest key was that the last turn which removed any has removed |
/// | `expiry_lag_max_ms` | the most of these |
/// | `garbage_tables`, `garbage_entries` | flushed databases that wait to be freed, and about how many entries they have |
fn turns(context: &mut Context<'_>, text: &mut Text) {
    let (now, server) = (context.now, &context.server);
    let (turns, stats) = (&server.turns, &server.stats);
    let longest = &turns.longest;
    text.field("turns", turns.turns);
    text.field("turns_over_1ms", turns.over_1ms);
    text.field("turns_over_1ms_cpu", turns.over_1ms_cpu);
    text.field("turn_longest_us", longest.busy_ns / 1_000);
    text.field("turn_longest_recent_us", turns.recent.longest_ns(now.monotonic) / 1_000);
    let stages = Stage::ALL
        .map(|stage| format!("{}={}", stage.name(), longest.stages_ns[stage as usize] / 1_000));
    text.field("turn_longest_stages_us", stages.join(","));
    text.line(format_args!(
        "turn_longest_work:requests={},input_bytes={},output_bytes={},ago_s={},cpu_us={}",
        longest.requests,
        longest.input_bytes,
        longest.output_bytes,
        now.monotonic.saturating_sub(longest.at).as_secs(),
        longest.cpu_ns.map_or(-1, |cpu_ns| (cpu_ns / 1_000) as i64)
    ));
    text.field("wait_us", turns.wait_ns / 1_000);
    for stage in Stage::ALL {
        let time_us = turns.stages_ns[stage as usize] / 1_000;
        text.line(format_args!("stage_{}_us:{time_us}", stage.name()));
    }
    for (name, total, most) in [
        ("requests", stats.commands, turns.requests_max),
        ("input_bytes", stats.input_bytes, turns.input_bytes_max),
        ("output_bytes", stats.output_bytes, turns.output_bytes_max),
    ] {
        let average = total as f64 / turns.turns.max(1) as f64;
        text.line(format_args!("{name}_per_turn:{average:.2}"));
        text.line(format_args!("{name}_per_turn_max:{most}"));
    }
    let keyspace = context.db.keyspace();
    let overdue_ms =
        keyspace.earliest_deadline_ms().map_or(0, |due| now.unix_ms().saturating_sub(due));
    text.field("expiry_backlog", keyspace.expire_backlog());
    text.field("expiry_overdue_ms", overdue_ms);
    text.field("expiry_lag_ms", turns.expire_lag_ms);
    text.field("expiry_lag_max_ms", turns.expire_lag_max_ms);
    text.field("garbage_tables", keyspace.garbage_tables());
    text.field("garbage_entries", keyspace.garbage_entries());
}

/// What Redis does not have.
fn tollgate(context: &mut Context<'_>, text: &mut Text) {
    let stats = &context.server.stats;
    text.field("idle_closes", stats.idle_closes);
    let keyspace = context.db.keyspace();
    let native = keyspace.native_figures();
    text.field("timers", native.timers);
    text.field("leases", native.leases);
    text.field("stock_held_counters", native.held_counters);
    text.field("stock_units_dropped", keyspace.stats().stock_units_dropped);
    text.field("waiting_places", native.waiting);
    text.field("wakeups", stats.wakeups);
    let (mut table_bytes, mut index_bytes) = (0, 0);
    for db in 0..keyspace.database_count() {
        let (table, index) = keyspace.overhead_bytes_of(db);
        table_bytes += table;
        index_bytes += index;
    }
    text.field("table_bytes", table_bytes);
    text.field("deadline_index_bytes", index_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people_have_two_digits_and_a_unit() {
        for (bytes, shown) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_024, "1.00K"),
            (1_658_216, "1.58M"),
            (25_276_510_208, "23.54G"),
            (u64::MAX, "16.00E"),
        ] {
            assert_eq!(human(bytes), shown);
        }
    }
}
