//! The table of options: the one place that names an option, its default, its
//! bounds and what it is for.

use super::kind::{
    Choice, Describe, FileName, Hz, Int, Kind, Memory, Only, Secret, Text, ValueError, YesNo,
    short_bytes,
};
use super::list::{Addresses, Events, OutputLimits, Percentiles};
use super::value::{
    Allowed, BindAddress, FsyncPolicy, LogLevel, NotifyFlags, OutputBufferLimit,
    OutputBufferLimits, Password,
};

/// Whether CONFIG SET may change an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At any time.
    Live,
    /// Only at the start.
    Immutable,
    /// Only at the start, because a client could do harm with it.
    Protected,
}

/// One row of the table.
pub struct OptionSpec {
    /// The name, as in redis.conf and, after `--`, in argv.
    pub name: &'static str,
    /// The heading it stands under in `--help`.
    pub group: &'static str,
    /// What its number counts (`ms`, `bytes`); empty where nothing is counted.
    pub unit: &'static str,
    /// Whether CONFIG SET may change it.
    pub change: Change,
    /// What it is for, in one sentence.
    pub summary: &'static str,
    pub(super) parse: fn(&mut Config, &str) -> Result<(), ValueError>,
    pub(super) print: fn(&Config) -> String,
    pub(super) kind: &'static dyn Describe,
}

impl OptionSpec {
    /// The row of the option called `name`, in any case.
    pub fn find(name: &str) -> Option<&'static OptionSpec> {
        OPTIONS.iter().find(|option| option.name.eq_ignore_ascii_case(name))
    }

    /// The row whose name is most like `name`, if one is near enough to be
    /// meant.
    pub fn closest(name: &str) -> Option<&'static OptionSpec> {
        let name = name.to_ascii_lowercase();
        let edits_max = name.len().div_ceil(3).min(4);
        let near = OPTIONS.iter().map(|option| (edits(&name, option.name), option));
        let near = near.filter(|(edits, _)| *edits <= edits_max);
        near.min_by_key(|(edits, _)| *edits).map(|(_, option)| option)
    }

    /// What values are allowed, to complete "allowed: ...".
    pub fn allowed(&self) -> String {
        self.kind.allowed()
    }

    /// The placeholder of its value in `--help`.
    pub fn placeholder(&self) -> &'static str {
        self.kind.placeholder()
    }

    /// Several words make one value: `--bind 127.0.0.1 ::1`.
    pub fn is_list(&self) -> bool {
        self.kind.is_list()
    }

    /// The value must not appear in logs, errors or MONITOR.
    pub fn is_secret(&self) -> bool {
        self.kind.is_secret()
    }

    /// The default with its unit, as `--help` shows it.
    pub fn default_with_unit(&self) -> String {
        let printed = (self.print)(&Config::default());
        match (self.unit, printed.parse()) {
            _ if printed.is_empty() => "\"\"".to_owned(),
            ("", _) => printed,
            ("bytes", Ok(bytes)) if short_bytes(bytes) != printed => short_bytes(bytes),
            (unit, _) => format!("{printed} {unit}"),
        }
    }
}

impl std::fmt::Debug for OptionSpec {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "OptionSpec({})", self.name)
    }
}

/// Edits of one letter that turn `left` into `right`. The time is the product
/// of both lengths, which is small: `right` is a name of the table.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (done, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = done + 1;
        for (at, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[right.len()]
}

const NO_SAVE_POINTS: &str =
    "snapshots are written by SAVE and BGSAVE only: for durability there is appendonly";
const NO_EVICTION: &str = "a memory limit is not there yet: keys are never evicted";

/// Enough for any use, and a database that is never used is not free.
const DATABASES_MAX: i64 = 65_536;

/// Below this, CONFIG SET itself might no longer fit, and nobody could raise
/// the limit again.
const REQUEST_MIN: u64 = 1_024;

const INT_MAX: i64 = i32::MAX as i64;
const BYTES_MAX: u64 = i64::MAX as u64;

/// From the rows, makes the plain struct, its defaults, and the table.
macro_rules! options {
    ($($group:literal {$(
        $name:literal $field:ident: $type:ty = $default:expr, $kind:expr, $unit:literal, $change:ident,
        $summary:literal;
    )*})*) => {
        /// The value of every option. Code on the hot path reads the fields.
        ///
        /// Whoever writes a field directly answers for its bounds; the methods
        /// check them.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {$($(
            #[doc = $summary]
            pub $field: $type,
        )*)*
            /// The configuration file that was read, empty for none. It is not an
            /// option: it is where options came from.
            pub config_file: String,
        }

        impl Default for Config {
            fn default() -> Config {
                Config {$($($field: $default,)*)* config_file: String::new()}
            }
        }

        /// Every option, in the order of `--help`.
        pub static OPTIONS: &[OptionSpec] = &[$($(
            OptionSpec {
                name: $name,
                group: $group,
                unit: $unit,
                change: Change::$change,
                summary: $summary,
                parse: |config, value| {
                    config.$field = $kind.parse(value, &config.$field)?;
                    Ok(())
                },
                print: |config| $kind.print(&config.$field),
                kind: &$kind,
            },
        )*)*];

        #[cfg(test)]
        pub(super) const FIELDS: &[&str] = &[$($(stringify!($field),)*)*];
    };
}

options! {
    "Network" {
        "port" port: u16 = 6379, Int { min: 0, max: 65_535 }, "", Immutable,
            "TCP port to listen on, where 0 takes any free one.";
        "bind" bind: Vec<BindAddress> = BindAddress::parse("127.0.0.1").into_iter().collect(),
            Addresses, "", Immutable,
            "Addresses to listen on, where a leading '-' forgives one that the machine lacks.";
        "tcp-backlog" tcp_backlog: u32 = 511, Int { min: 0, max: INT_MAX }, "connections", Immutable,
            "Connections that the kernel keeps waiting until they are accepted.";
        "tcp-keepalive" tcp_keepalive: u32 = 300, Int { min: 0, max: INT_MAX }, "s", Live,
            "Silence after which the kernel probes whether a client is still there, 0 for never.";
        "tcp-nodelay" tcp_nodelay: bool = true, YesNo, "", Live,
            "Send small replies at once instead of waiting for more to send.";
        "reuse-port" reuse_port: bool = false, YesNo, "", Immutable,
            "Let several servers listen on the same port and share its connections.";
        "timeout" timeout: u32 = 0, Int { min: 0, max: INT_MAX }, "s", Live,
            "Silence after which an idle client is closed, 0 for never.";
        "maxclients" maxclients: u32 = 20_000, Int { min: 1, max: u32::MAX as i64 }, "clients", Live,
            "Most clients connected at once.";
    }
    "Access" {
        "requirepass" requirepass: Password = Password::default(), Secret, "", Live,
            "Password that clients must give with AUTH, empty for none.";
        "protected-mode" protected_mode: bool = true, YesNo, "", Live,
            "Refuse clients from other machines while there is no password.";
        "enable-debug-command" enable_debug_command: Allowed = Allowed::No,
            Choice(Allowed::NAMES), "", Protected,
            "Who may run DEBUG, which can hold the whole server up.";
    }
    "Data" {
        "databases" databases: u32 = 16, Int { min: 1, max: DATABASES_MAX }, "databases", Immutable,
            "Databases that SELECT chooses from.";
        "notify-keyspace-events" notify_keyspace_events: NotifyFlags = NotifyFlags::default(),
            Events, "", Live,
            "Keyspace events to publish, as the letters of redis.conf.";
        "key-write-times" key_write_times: bool = false, YesNo, "", Live,
            "Let each key remember when it was written, for KEY.INFO, at 8 bytes a key.";
        "disable-thp" disable_thp: bool = true, YesNo, "", Immutable,
            "Keep transparent huge pages out of the program, which make look-ups quicker but turns long.";
        "maxmemory" maxmemory: u64 = 0,
            Only { kind: Memory { min: 0, max: u64::MAX }, value: "0", why: NO_EVICTION },
            "bytes", Live,
            "Accepted for redis.conf, while memory has no limit.";
        "maxmemory-policy" maxmemory_policy: &'static str = "noeviction",
            Only {
                kind: Choice(&[
                    ("volatile-lru", "volatile-lru"),
                    ("volatile-lfu", "volatile-lfu"),
                    ("volatile-random", "volatile-random"),
                    ("volatile-ttl", "volatile-ttl"),
                    ("allkeys-lru", "allkeys-lru"),
                    ("allkeys-lfu", "allkeys-lfu"),
                    ("allkeys-random", "allkeys-random"),
                    ("noeviction", "noeviction"),
                ]),
                value: "noeviction",
                why: NO_EVICTION,
            }, "", Live,
            "Accepted for redis.conf, while keys are never evicted.";
    }
    "Persistence" {
        "appendonly" appendonly: bool = false, YesNo, "", Live,
            "Keep a journal of all changes, and load it at the start.";
        "appendfsync" appendfsync: FsyncPolicy = FsyncPolicy::EverySec,
            Choice(FsyncPolicy::NAMES), "", Live,
            "When changes are durable: before they are acknowledged, every second, or when the system likes.";
        "appenddirname" appenddirname: String = "appendonlydir".to_owned(), FileName, "", Immutable,
            "Directory of the journal, in dir.";
        "appendfilename" appendfilename: String = "appendonly.aof".to_owned(), FileName, "", Immutable,
            "What the names of the journal's files begin with.";
        "auto-aof-rewrite-percentage" auto_aof_rewrite_percentage: u64 = 100,
            Int { min: 0, max: INT_MAX }, "%", Live,
            "Growth of the journal since its last rewrite that starts another, 0 for never.";
        "auto-aof-rewrite-min-size" auto_aof_rewrite_min_size: u64 = 64 << 20,
            Memory { min: 0, max: BYTES_MAX }, "bytes", Live,
            "Size below which the journal is not rewritten by itself.";
        "append-queue-max" append_queue_max: usize = 256 << 20,
            Memory { min: 1 << 20, max: BYTES_MAX }, "bytes", Live,
            "Changes that are not durable yet above which further writing commands wait.";
        "no-appendfsync-on-rewrite" no_appendfsync_on_rewrite: bool = false,
            Only {
                kind: YesNo,
                value: "no",
                why: "a rewrite has its own thread and syncs a little at a time: nothing waits for it",
            }, "", Live,
            "Accepted for redis.conf, while a rewrite keeps no sync waiting.";
        "aof-use-rdb-preamble" aof_use_rdb_preamble: bool = false,
            Only { kind: YesNo, value: "no", why: "all files are of RESP commands" }, "", Live,
            "Accepted for redis.conf, while all files are of RESP commands.";
        "aof-load-truncated" aof_load_truncated: bool = true, YesNo, "", Immutable,
            "Start although the journal's end is torn, which is cut off and kept aside.";
        "dbfilename" dbfilename: String = "snapshot.aof".to_owned(), FileName, "", Protected,
            "The file that SAVE and BGSAVE write, in dir.";
        "load" load: String = String::new(), Text { words: false }, "", Immutable,
            "Snapshot or journal file of tollgate or Redis to begin with, empty for none.";
        "save" save: String = String::new(),
            Only { kind: Text { words: true }, value: "", why: NO_SAVE_POINTS }, "", Live,
            "Accepted for redis.conf, while snapshots are only written on demand.";
    }
    "Process" {
        "dir" dir: String = ".".to_owned(), Text { words: false }, "", Protected,
            "Directory that the server changes to before it opens files.";
        "loglevel" loglevel: LogLevel = LogLevel::Notice, Choice(LogLevel::NAMES), "", Live,
            "How much to log, unless RUST_LOG says otherwise.";
        "logfile" logfile: String = String::new(), Text { words: false }, "", Immutable,
            "File to append the log to, empty for standard error.";
        "daemonize" daemonize: bool = false,
            Only {
                kind: YesNo,
                value: "no",
                why: "the server stays in the foreground: let a service manager run it",
            }, "", Immutable,
            "Accepted for redis.conf, while the server stays in the foreground.";
        "supervised" supervised: &'static str = "no",
            Only {
                kind: Choice(&[
                    ("upstart", "upstart"),
                    ("systemd", "systemd"),
                    ("auto", "auto"),
                    ("no", "no"),
                ]),
                value: "no",
                why: "the server does not report to a supervisor",
            }, "", Immutable,
            "Accepted for redis.conf, while no supervisor is told of the start.";
        "hz" hz: u32 = 10, Hz, "", Live,
            "Accepted for redis.conf, and without effect because nothing is polled.";
    }
    "Monitoring" {
        "slowlog-log-slower-than" slowlog_log_slower_than: i64 = 10_000,
            Int { min: -1, max: i64::MAX }, "us", Live,
            "Commands that take longer are kept in SLOWLOG, 0 for all and -1 for none.";
        "slowlog-max-len" slowlog_max_len: usize = 128, Int { min: 0, max: i64::MAX }, "commands", Live,
            "Most commands kept in SLOWLOG.";
        "latency-monitor-threshold" latency_monitor_threshold: u64 = 0,
            Int { min: 0, max: i64::MAX }, "ms", Live,
            "Delays of at least this are kept for LATENCY, 0 for none.";
        "loop-cpu-time" loop_cpu_time: bool = false, YesNo, "", Live,
            "Tell long turns of the loop from turns in which other processes ran, for 1 us a turn.";
        "latency-tracking" latency_tracking: bool = true, YesNo, "", Live,
            "Keep a histogram of the time that each command takes.";
        "latency-tracking-info-percentiles" latency_tracking_info_percentiles: Vec<f64> =
            vec![50.0, 99.0, 99.9], Percentiles, "", Live,
            "Percentiles of those histograms that INFO shows.";
    }
    "Limits of a request" {
        "proto-max-bulk-len" proto_max_bulk_len: usize = 512 << 20,
            Memory { min: 1 << 20, max: BYTES_MAX }, "bytes", Live,
            "Most bytes of one argument, and of one value.";
        "multibulk-max-args" multibulk_max_args: usize = 1 << 20,
            Int { min: REQUEST_MIN as i64, max: INT_MAX }, "arguments", Live,
            "Most arguments of one request.";
        "inline-max-bytes" inline_max_bytes: usize = 64 << 10,
            Memory { min: REQUEST_MIN, max: 1 << 30 }, "bytes", Live,
            "Most bytes of one inline request.";
        "client-query-buffer-limit" client_query_buffer_limit: usize = 1 << 30,
            Memory { min: 1 << 20, max: BYTES_MAX }, "bytes", Live,
            "Most bytes kept of a client's unfinished request, above which it is closed.";
        "transaction-max-bytes" transaction_max_bytes: usize = 64 << 20,
            Memory { min: REQUEST_MIN, max: BYTES_MAX }, "bytes", Live,
            "Most bytes of commands that one client queues after MULTI.";
    }
    "Limits of a client" {
        "client-output-buffer-limit" client_output_buffer_limit: OutputBufferLimits =
            OutputBufferLimits {
                normal: OutputBufferLimit::new(1 << 30, 0, 0),
                replica: OutputBufferLimit::new(256 << 20, 64 << 20, 60),
                pubsub: OutputBufferLimit::new(32 << 20, 8 << 20, 60),
            }, OutputLimits, "", Live,
            "Unread replies, by class of client, above which a client is closed.";
        "output-pause-bytes" output_pause_bytes: usize = 1 << 20,
            Memory { min: REQUEST_MIN, max: BYTES_MAX }, "bytes", Live,
            "Unread replies above which a client's next requests wait.";
        "client-watch-max" client_watch_max: usize = 100_000,
            Int { min: 1, max: INT_MAX }, "keys", Live,
            "Most keys that one client watches.";
        "client-subscriptions-max" client_subscriptions_max: usize = 100_000,
            Int { min: 1, max: INT_MAX }, "subscriptions", Live,
            "Most channels and patterns that one client subscribes to.";
        "client-names-max-bytes" client_names_max_bytes: usize = 64 << 20,
            Memory { min: REQUEST_MIN, max: BYTES_MAX }, "bytes", Live,
            "Most bytes of the names that one client watches, tracks and subscribes to.";
        "client-prefixes-max" client_prefixes_max: usize = 1_000,
            Int { min: 1, max: INT_MAX }, "prefixes", Live,
            "Most prefixes that one client tracks.";
        "tracking-table-max-keys" tracking_table_max_keys: usize = 1_000_000,
            Int { min: 0, max: i64::MAX }, "keys", Live,
            "Most keys remembered for client-side caches, 0 for no limit.";
        "tracking-broadcast-max" tracking_broadcast_max: usize = 10_000,
            Int { min: 1, max: INT_MAX }, "keys", Live,
            "Changed keys collected for clients that track prefixes before the turn's end.";
        "lock-circle-max" lock_circle_max: usize = 256,
            Int { min: 1, max: INT_MAX }, "owners", Live,
            "Most owners of locks looked at to find that they wait for each other.";
        "client-tied-max" client_tied_max: usize = 10_000,
            Int { min: 1, max: INT_MAX }, "locks", Live,
            "Most locks that one client holds TIED to its connection.";
        "max-wait-ms" max_wait_ms: u64 = 60_000,
            Int { min: 1, max: INT_MAX }, "ms", Live,
            "Longest time that one command may wait.";
    }
    "Limits of one loop turn" {
        "turn-requests-max" turn_requests_max: usize = 1_024,
            Int { min: 1, max: INT_MAX }, "requests", Live,
            "Requests that one client runs before the others have their turn.";
        "turn-accepts-max" turn_accepts_max: usize = 256,
            Int { min: 1, max: INT_MAX }, "connections", Live,
            "Connections accepted before the connected clients have their turn.";
        "client-read-bytes" client_read_bytes: usize = 64 << 10,
            Memory { min: 4 << 10, max: 16 << 20 }, "bytes", Immutable,
            "Most bytes read from a client at once; the buffer that all share is twice that.";
        "buffer-pool-max" buffer_pool_max: usize = 1_024,
            Int { min: 0, max: INT_MAX }, "buffers", Live,
            "Most drained buffers kept for the next client that needs one.";
        "expire-slice-keys" expire_slice_keys: usize = 500,
            Int { min: 1, max: INT_MAX }, "keys", Live,
            "Most expired keys removed before clients have their turn.";
        "turn-timers-max" turn_timers_max: usize = 10_000,
            Int { min: 1, max: INT_MAX }, "timers", Live,
            "Most locks, holds and leases that end by themselves before clients have their turn.";
        "turn-wakeups-max" turn_wakeups_max: usize = 10_000,
            Int { min: 1, max: INT_MAX }, "wake-ups", Live,
            "Most commands that have waited run again before clients have their turn.";
        "free-slice-entries" free_slice_entries: usize = 2_000,
            Int { min: 1, max: INT_MAX }, "entries", Live,
            "Most entries of a flushed database freed before clients have their turn.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_kebab_and_those_of_the_fields() {
        let names: BTreeSet<&str> = OPTIONS.iter().map(|option| option.name).collect();
        assert_eq!(names.len(), OPTIONS.len());
        for (option, field) in OPTIONS.iter().zip(FIELDS) {
            assert_eq!(option.name, field.replace('_', "-"));
            assert!(option.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        }
    }

    #[test]
    fn every_default_parses_and_prints_back() {
        let default = Config::default();
        for option in OPTIONS {
            let printed = (option.print)(&default);
            let mut config = default.clone();
            (option.parse)(&mut config, &printed).unwrap_or_else(|e| panic!("{option:?}: {e}"));
            assert_eq!(config, default, "{option:?}");
        }
    }

    #[test]
    fn every_summary_is_one_sentence() {
        for option in OPTIONS {
            let sentence = option.summary.strip_suffix('.').expect(option.name);
            assert!(sentence.starts_with(|c: char| c.is_uppercase()), "{option:?}");
            assert!(!sentence.contains(". ") && !sentence.ends_with('.'), "{option:?}");
            assert!(option.summary.len() <= 100, "{option:?}");
            assert!(!option.allowed().is_empty() && !option.placeholder().is_empty());
        }
    }

    #[test]
    fn a_group_is_one_run_of_rows() {
        let mut groups: Vec<&str> = OPTIONS.iter().map(|option| option.group).collect();
        groups.dedup();
        assert_eq!(groups.iter().collect::<BTreeSet<_>>().len(), groups.len());
    }

    #[test]
    fn only_the_password_is_secret() {
        let secret: Vec<_> = OPTIONS.iter().filter(|o| o.is_secret()).map(|o| o.name).collect();
        assert_eq!(secret, ["requirepass"]);
    }

    #[test]
    fn a_near_name_is_found() {
        for (wrong, right) in [
            ("prot", Some("port")),
            ("max-clients", Some("maxclients")),
            ("REQUIREPAS", Some("requirepass")),
            ("client-output-buffer-limits", Some("client-output-buffer-limit")),
            ("replicaof", None),
            ("", None),
        ] {
            assert_eq!(OptionSpec::closest(wrong).map(|option| option.name), right, "{wrong}");
        }
    }
}
