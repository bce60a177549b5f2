//! What the server says about itself: INFO, CONFIG, COMMAND, SLOWLOG, LATENCY,
//! MEMORY, MONITOR and DEBUG.

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;

use ::tollgate::clock::Now;
use ::tollgate::commands::TABLE;
use ::tollgate::config::Config;
use ::tollgate::engine::{Engine, Environment, Peer};
use support::process::ServerProcess;
use support::resp::Reply;
use support::sim::{START_UNIX_US, Sim, play};
use support::target::{Target as _, TcpTarget, encode};
use support::{redis_server, tollgate};

thread_local! {
    static CLOCK_NS: Cell<u64> = const { Cell::new(0) };
    static STEP_NS: Cell<u64> = const { Cell::new(0) };
}

/// A server on which each command takes exactly `step_ns`: every reading of
/// its stopwatch is that much later than the one before.
fn timed(config: Config, step_ns: u64) -> Sim {
    STEP_NS.set(step_ns);
    let mut sim = Sim::new();
    let stopwatch = || {
        CLOCK_NS.set(CLOCK_NS.get() + STEP_NS.get());
        CLOCK_NS.get()
    };
    let now = Now { monotonic: std::time::Duration::ZERO, unix_us: START_UNIX_US };
    sim.engine = Engine::new(config, Environment { stopwatch, ..Environment::simulated(1) }, now);
    sim
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.text().expect("a reply of text")).into_owned()
}

fn texts(reply: &Reply) -> Vec<String> {
    reply.elements().expect("an array").iter().map(text).collect()
}

/// INFO as a metrics exporter reads it: `name:value` lines below `# Section`.
fn info(sim: &mut Sim, sections: &[&str]) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut args: Vec<&[u8]> = vec![b"INFO"];
    args.extend(sections.iter().map(|section| section.as_bytes()));
    fields_by_section(&text(&sim.ask(1, &args)))
}

/// The fields by section, each with its value.
fn fields_by_section(reply: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = String::new();
    for line in reply.split("\r\n").filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("# ") {
            section = title.to_owned();
            assert!(found.insert(section.clone(), BTreeMap::new()).is_none(), "{title} twice");
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
        let fields = found.get_mut(&section).expect("fields stand below a title");
        assert!(fields.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice");
    }
    found
}

#[test]
fn info_has_the_sections_that_are_asked_for() {
    let mut sim = Sim::new();
    let titles = |sim: &mut Sim, sections: &[&str]| {
        info(sim, sections).into_keys().collect::<Vec<String>>().join(" ")
    };
    let usual = "CPU Clients Cluster Errorstats Keyspace Loop Memory Modules Persistence Replication Server \
         Stats";
    assert_eq!(titles(&mut sim, &[]), usual);
    assert_eq!(titles(&mut sim, &["default"]), usual);
    assert_eq!(titles(&mut sim, &["nosuch", "DEFAULT", "server"]), usual);
    let all = "CPU Clients Cluster Commandstats Errorstats Keyspace Latencystats Loop Memory Modules \
               Persistence Replication Server Stats Tollgate";
    assert_eq!(titles(&mut sim, &["all"]), all);
    assert_eq!(titles(&mut sim, &["everything"]), all);
    assert_eq!(titles(&mut sim, &["tollgate", "CPU", "commandSTATS"]), "CPU Commandstats Tollgate");
    assert_eq!(titles(&mut sim, &["nosuch"]), "");
    assert_eq!(sim.ask(1, &[b"INFO", b"nosuch"]), Reply::Bulk(Vec::new()));
}

#[test]
fn info_counts_what_happens() {
    let mut sim = Sim::new();
    for line in ["SET a 1 EX 10", "SET b 2", "GET a", "GET nothing", "APPEND", "NOSUCH", "INCR b"] {
        sim.cli(1, line);
    }
    sim.cli(1, "SET b text");
    sim.cli(1, "INCR b");
    sim.cli(2, "PING");
    let info = info(&mut sim, &["everything"]);
    let field = |section: &str, name: &str| info[section][name].clone();
    assert_eq!(field("Clients", "connected_clients"), "2");
    assert_eq!(field("Clients", "maxclients"), "20000");
    assert_eq!(field("Stats", "total_connections_received"), "2");
    assert_eq!(field("Stats", "keyspace_hits"), "1");
    assert_eq!(field("Stats", "keyspace_misses"), "1");
    assert_eq!(field("Stats", "total_error_replies"), "3");
    assert_eq!(field("Errorstats", "errorstat_ERR"), "count=3");
    assert_eq!(field("Keyspace", "db0"), "keys=2,expires=1,avg_ttl=10000");
    assert_eq!(field("Persistence", "rdb_changes_since_last_save"), "4");
    assert_eq!(
        field("Commandstats", "cmdstat_incr"),
        "calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1"
    );
    assert_eq!(
        field("Commandstats", "cmdstat_append"),
        "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0"
    );
    assert_eq!(field("Replication", "role"), "master");
    assert_eq!(field("Server", "run_id").len(), 40);
    assert!(!info["Tollgate"]["table_bytes"].starts_with('0'));
    for (section, name) in [("Memory", "used_memory"), ("Memory", "used_memory_peak")] {
        assert!(field(section, name).parse::<u64>().expect("a number") > 0, "{name}");
    }

    sim.cli(1, "CONFIG RESETSTAT");
    sim.advance_ms(20_000);
    let info = self::info(&mut sim, &["everything"]);
    assert_eq!(info["Stats"]["keyspace_hits"], "0");
    assert_eq!(info["Stats"]["expired_keys"], "1");
    assert_eq!(info["Stats"]["total_error_replies"], "0");
    assert!(!info["Commandstats"].contains_key("cmdstat_incr"));
    assert_eq!(info["Server"]["uptime_in_seconds"], "20");
    assert_eq!(info["Keyspace"]["db0"], "keys=1,expires=0,avg_ttl=0");
}

/// Fields of Redis's INFO that tollgate lacks, each with the reason. One that it
/// has fails the test, so the list cannot go stale.
const LACKING: &[(&str, &str)] = &[
    ("atomicvar_api", "There is one thread and no atomic variable that has an API to name."),
    ("gcc_version", "No C compiler made it."),
];

#[test]
fn info_has_the_fields_of_redis() {
    let Some(redis) = redis_server::start() else { return };
    let tollgate = tollgate::start();
    let fields = |mut connection: TcpTarget| {
        // So that there is a database, an error and a time to tell of.
        connection.call(&["SET", "a", "1", "EX", "1000"]);
        connection.call(&["NOSUCH"]);
        fields_by_section(&text(&connection.call(&["INFO", "everything"])))
    };
    let (theirs, ours) = (fields(redis.connect()), fields(tollgate.connect()));
    assert!(theirs.len() >= 13, "redis has only {:?}", theirs.keys());
    let lacking: Vec<&str> = LACKING.iter().map(|(name, _)| *name).collect();
    for (section, fields) in &theirs {
        let own = ours.get(section).unwrap_or_else(|| panic!("there is no section {section}"));
        let missing = fields.keys().filter(|name| !own.contains_key(*name));
        let missing: Vec<&String> =
            missing.filter(|name| !lacking.contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "{section} lacks {missing:?}");
    }
    let has = |name: &str| ours.values().any(|fields| fields.contains_key(name));
    let stale: Vec<&&str> = lacking.iter().filter(|name| has(name)).collect();
    assert!(stale.is_empty(), "no longer lacking: {stale:?}");
}

#[test]
fn reads_and_writes_are_counted_as_in_redis() {
    let Some(redis) = redis_server::start() else { return };
    let counts = |server: &ServerProcess| {
        let (mut connection, mut other) = (server.connect(), server.connect());
        other.call(&["PING"]);
        connection.call(&["CONFIG", "RESETSTAT"]);
        for _ in 0..5 {
            connection.call(&["PING"]);
        }
        // A pipeline is one read and one write.
        connection.send(&encode(&["PING"]).repeat(10)).expect("the server reads");
        for _ in 0..10 {
            connection.reply().expect("the server replies");
        }
        // The end is read too.
        drop(other);
        connection.call(&["PING"]);
        let stats = fields_by_section(&text(&connection.call(&["INFO", "stats"])));
        ["total_reads_processed", "total_writes_processed", "reply_buffer_expands"]
            .map(|name| stats["Stats"][name].clone())
    };
    let ours = counts(&tollgate::start());
    assert_eq!(ours, counts(&redis));
    // What has answered CONFIG RESETSTAT is a write, and what answers INFO is none yet.
    assert_eq!(ours, ["9", "8", "0"]);
}

#[test]
fn the_memory_of_the_machine_is_told_as_in_redis() {
    let Some(redis) = redis_server::start() else { return };
    let tollgate = tollgate::start();
    let memory = |mut connection: TcpTarget| {
        let fields = fields_by_section(&text(&connection.call(&["INFO", "memory"])));
        ["total_system_memory", "total_system_memory_human"]
            .map(|name| fields["Memory"][name].clone())
    };
    assert_eq!(memory(tollgate.connect()), memory(redis.connect()));
}

#[test]
fn times_of_commands_are_kept_as_percentiles() {
    let mut sim = timed(Config::default(), 100_000);
    sim.cli(1, "PING");
    sim.cli(1, "PING");
    let info = info(&mut sim, &["latencystats", "commandstats"]);
    // 100 us lie in the bucket that ends at 106.495 us.
    assert_eq!(
        info["Latencystats"]["latency_percentiles_usec_ping"],
        "p50=106.495,p99=106.495,p99.9=106.495"
    );
    assert_eq!(
        info["Commandstats"]["cmdstat_ping"],
        "calls=2,usec=200,usec_per_call=100.00,rejected_calls=0,failed_calls=0"
    );
    sim.transcript(
        "histogram",
        r#"
> LATENCY HISTOGRAM ping nosuch ping
1) "ping"
2) 1) "calls"
   2) (integer) 2
   3) "histogram_usec"
   4) 1) (integer) 131
      2) (integer) 2
> CONFIG SET latency-tracking no latency-tracking-info-percentiles ""
OK
> PING
PONG
> CONFIG RESETSTAT
OK
> PING
PONG
> LATENCY HISTOGRAM
(empty array)
"#,
    );
}

#[test]
fn one_in_sixteen_small_commands_that_come_alone_is_timed() {
    let mut sim = timed(Config::default(), 10_000);
    let readings = |sim: &mut Sim, commands: usize| {
        let before = CLOCK_NS.get();
        for _ in 0..commands {
            sim.cli(1, "GET a");
        }
        (CLOCK_NS.get() - before) / STEP_NS.get()
    };
    assert_eq!(readings(&mut sim, 16), 2);
    // Others are not counted among them.
    sim.cli(1, "STRLEN a");
    assert_eq!(readings(&mut sim, 16), 2);
    let stats = info(&mut sim, &["commandstats"]);
    assert_eq!(
        stats["Commandstats"]["cmdstat_get"],
        "calls=32,usec=320,usec_per_call=10.00,rejected_calls=0,failed_calls=0"
    );
    // While they take long, each is timed.
    STEP_NS.set(60_000);
    assert_eq!(readings(&mut sim, 4), 8);
    STEP_NS.set(10_000);
    assert_eq!(readings(&mut sim, 3), 2);
}

#[test]
fn config_gets_and_sets() {
    play(
        "config",
        r#"
> CONFIG GET
(error) ERR wrong number of arguments for 'config|get' command
> CONFIG
(error) ERR wrong number of arguments for 'config' command
> CONFIG NOSUCH
(error) ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.
> CONFIG GET nosuch
(empty array)
> CONFIG GET SLOWLOG-MAX-* slowlog-max-len save
1) "save"
2) ""
3) "slowlog-max-len"
4) "128"
> CONFIG SET timeout
(error) ERR wrong number of arguments for 'config|set' command
> CONFIG SET timeout 1 databases
(error) ERR syntax error
> CONFIG SET timeout 1 nosuch 2
(error) ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
> CONFIG SET timeout 1 TIMEOUT 2
(error) ERR CONFIG SET failed (possibly related to argument 'TIMEOUT') - duplicate parameter
> CONFIG GET timeout
1) "timeout"
2) "0"
> CONFIG SET notify-keyspace-events KEA slowlog-max-len 5
OK
> CONFIG GET notify-keyspace-events
1) "notify-keyspace-events"
2) "AKE"
> CONFIG REWRITE
(error) ERR The server is running without a config file
"#,
    );
    let config = Config { config_file: "/etc/tollgate.conf".to_owned(), ..Config::default() };
    let mut sim = Sim::with_config(config);
    assert!(sim.cli(1, "CONFIG REWRITE").starts_with("(error) ERR CONFIG REWRITE is not"));
}

#[test]
fn a_command_of_a_pipeline_that_sends_events_is_timed_by_itself() {
    let mut config = Config::default();
    config.set("slowlog-log-slower-than", "1000").expect("a valid value");
    let mut sim = timed(config, 1_000_000);
    let slow_sets = |sim: &mut Sim| {
        sim.send_raw(1, &b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n".repeat(10));
        sim.take_replies(1);
        let entries = sim.ask(1, &[b"SLOWLOG", b"GET", b"-1"]);
        let entries = entries.elements().expect("an array").iter();
        let words = entries.map(|entry| texts(&entry.elements().expect("an entry")[3]));
        words.filter(|words| words[0] == "SET").count()
    };
    sim.cli(1, "PING");
    assert_eq!(slow_sets(&mut sim), 0, "ten have taken a millisecond together");
    sim.cli(1, "CONFIG SET notify-keyspace-events KEA");
    assert_eq!(slow_sets(&mut sim), 10);
}

#[test]
fn a_pipeline_that_ends_a_wait_is_timed_together_behind_that_too() {
    let mut sim = timed(Config::default(), 1_000_000);
    sim.cli(1, "LOCK.ACQUIRE l a PX 1000");
    sim.send(2, &[b"LOCK.ACQUIRE", b"l", b"b", b"PX", b"1000", b"WAIT", b"1000"]);
    let mut pipeline = b"*3\r\n$12\r\nLOCK.RELEASE\r\n$1\r\nl\r\n$1\r\na\r\n".to_vec();
    pipeline.extend(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(10));
    sim.send_raw(1, &pipeline);
    sim.take_replies(1);
    let commandstats = &info(&mut sim, &["commandstats"])["Commandstats"];
    let get = &commandstats["cmdstat_get"];
    assert!(get.starts_with("calls=10,usec=1000,"), "{get}");
}

#[test]
fn the_slow_log_keeps_what_is_slow_and_hides_passwords() {
    let mut config = Config::default();
    config.set("slowlog-log-slower-than", "1000").expect("a valid value");
    let mut sim = timed(config, 999_999);
    sim.cli(1, "PING");
    assert_eq!(sim.cli(1, "SLOWLOG LEN"), "(integer) 0");
    STEP_NS.set(1_000_000);
    sim.cli(1, "SET a b");
    sim.cli(1, "CONFIG SET requirepass '' TIMEOUT 0 RequirePass again");
    let long = vec![b'x'; 200];
    sim.ask(1, &[b"APPEND", b"a", &long]);
    let many: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain([&b"k"[..]; 40]).collect();
    sim.ask(1, &many);
    let entries = sim.ask(1, &[b"SLOWLOG", b"GET", b"-1"]);
    let entries: Vec<Vec<String>> = entries
        .elements()
        .expect("an array")
        .iter()
        .map(|entry| {
            let fields = entry.elements().expect("an entry");
            assert_eq!(fields.len(), 6);
            assert_eq!(fields[1], Reply::Integer(1_893_456_000));
            assert_eq!(fields[2], Reply::Integer(1_000));
            assert_eq!(text(&fields[4]), "?:0");
            texts(&fields[3])
        })
        .collect();
    let set = entries.iter().find(|args| args[0] == "SET").expect("SET was slow");
    assert_eq!(set.join(" "), "SET a b");
    let hidden = entries.iter().find(|args| args[0] == "CONFIG").expect("CONFIG was slow");
    assert_eq!(
        hidden.join(" "),
        "CONFIG SET requirepass (redacted) TIMEOUT 0 RequirePass (redacted)"
    );
    let append = entries.iter().find(|args| args[0] == "APPEND").expect("APPEND was slow");
    assert!(append[2].ends_with("xxx... (72 more bytes)"), "{append:?}");
    let del = entries.iter().find(|args| args[0] == "DEL").expect("DEL was slow");
    assert_eq!((del.len(), del[31].as_str()), (32, "... (10 more arguments)"));

    for (line, answer) in [
        ("SLOWLOG GET -2", "(error) ERR count should be greater than or equal to -1"),
        ("SLOWLOG GET x", "(error) ERR count should be greater than or equal to -1"),
        (
            "SLOWLOG GET 1 2",
            "(error) ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG \
             HELP.",
        ),
        ("SLOWLOG GET 0", "(empty array)"),
        ("SLOWLOG RESET", "OK"),
        // RESET itself was slow.
        ("SLOWLOG LEN", "(integer) 1"),
    ] {
        assert_eq!(sim.cli(1, line), answer, "{line}");
    }
}

#[test]
fn latency_spikes_are_kept_by_event() {
    let mut config = Config::default();
    config.set("latency-monitor-threshold", "5").expect("a valid value");
    let mut sim = timed(config, 0);
    sim.cli(1, "KEYS *");
    assert_eq!(sim.cli(1, "LATENCY LATEST"), "(empty array)");
    STEP_NS.set(20_000_000);
    sim.cli(1, "PING");
    sim.cli(1, "KEYS *");
    sim.advance_ms(3_000);
    STEP_NS.set(7_000_000);
    sim.cli(1, "KEYS *");
    STEP_NS.set(0);
    let latest = sim.ask(1, &[b"LATENCY", b"LATEST"]);
    let events: Vec<String> = latest
        .elements()
        .expect("an array")
        .iter()
        .map(|event| text(&event.elements().expect("an event")[0]))
        .collect();
    assert_eq!(events, ["command", "expire-cycle", "fast-command"]);
    sim.transcript(
        "latency",
        r#"
> LATENCY HISTORY fast-command
1) 1) (integer) 1893456000
   2) (integer) 20
> LATENCY HISTORY command
1) 1) (integer) 1893456000
   2) (integer) 20
2) 1) (integer) 1893456003
   2) (integer) 7
> LATENCY HISTORY nosuch
(empty array)
> LATENCY GRAPH nosuch
(error) ERR No samples available for event 'nosuch'
> LATENCY DOCTOR
(any)
> LATENCY RESET nosuch fast-command
(integer) 1
> LATENCY RESET
(integer) 2
> LATENCY RESET
(integer) 0
"#,
    );
    sim.cli(1, "CONFIG SET latency-monitor-threshold 0");
    let doctor = text(&sim.ask(1, &[b"LATENCY", b"DOCTOR"]));
    assert!(doctor.starts_with("Latency is not monitored."), "{doctor}");
}

#[test]
fn command_lists_describes_and_finds_keys() {
    play(
        "command",
        r#"
> COMMAND NOSUCH
(error) ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.
> COMMAND LIST FILTERBY
(error) ERR syntax error
> COMMAND LIST FILTERBY NOSUCH x
(error) ERR syntax error
> COMMAND LIST FILTERBY ACLCAT nosuch
(empty array)
> COMMAND LIST FILTERBY PATTERN CONFIG|re*
1) "config|resetstat"
2) "config|rewrite"
> COMMAND GETKEYS GET
(error) ERR wrong number of arguments for 'command|getkeys' command
> COMMAND GETKEYS nosuch a
(error) ERR Invalid command specified
> COMMAND GETKEYS OBJECT nosuch a
(error) ERR Invalid command specified
> COMMAND GETKEYS KEYS a
(error) ERR The command has no key arguments
> COMMAND GETKEYS SET a
(error) ERR Invalid number of arguments specified for command
> COMMAND GETKEYS OBJECT ENCODING a
1) "a"
> COMMAND GETKEYS MSETEX 2 a 1 b 2 NX
1) "a"
2) "b"
> COMMAND GETKEYS MSETEX 2 a 1 b
(error) ERR Invalid arguments specified for command
> COMMAND GETKEYS MSETEX x a 1 b
(error) ERR Invalid arguments specified for command
> COMMAND GETKEYS MSETEX 9223372036854775807 a 1
(error) ERR Invalid arguments specified for command
> COMMAND GETKEYSANDFLAGS SET a b
1) 1) "a"
   2) 1) OW
      2) update
> COMMAND GETKEYSANDFLAGS SET a b get
1) 1) "a"
   2) 1) RW
      2) access
      3) update
> COMMAND INFO get nosuch
1)  1) "get"
    2) (integer) 2
    3) 1) readonly
       2) fast
    4) (integer) 1
    5) (integer) 1
    6) (integer) 1
    7) 1) @read
       2) @string
       3) @fast
    8) (empty array)
    9) 1) 1) "flags"
          2) 1) RO
             2) access
          3) "begin_search"
          4) 1) "type"
             2) "index"
             3) "spec"
             4) 1) "index"
                2) (integer) 1
          5) "find_keys"
          6) 1) "type"
             2) "range"
             3) "spec"
             4) 1) "lastkey"
                2) (integer) 0
                3) "keystep"
                4) (integer) 1
                5) "limit"
                6) (integer) 0
   10) (empty array)
2) (nil)
"#,
    );
}

/// The whole of COMMAND and COMMAND DOCS, as `redis-cli` reads it at its start.
#[test]
fn command_docs_are_complete() {
    let mut sim = Sim::new();
    let docs = sim.ask(1, &[b"COMMAND", b"DOCS"]);
    let docs = docs.pairs().expect("a map");
    assert_eq!(docs.len(), TABLE.top_level().count());
    let mut documented = 0;
    for (name, doc) in &docs {
        documented += check_doc(&text(name), doc);
    }
    assert_eq!(documented, TABLE.all().len());
    let count = sim.ask(1, &[b"COMMAND", b"COUNT"]);
    assert_eq!(count, Reply::Integer(docs.len() as i64));
    for request in [&[&b"COMMAND"[..]][..], &[b"COMMAND", b"INFO"]] {
        let all = sim.ask(1, request);
        let all = all.elements().expect("an array");
        assert_eq!(all.len(), docs.len());
        assert!(all.iter().all(|command| command.elements().expect("an array").len() == 10));
    }
}

/// Returns how many commands were documented: this one and its subcommands.
fn check_doc(name: &str, doc: &Reply) -> usize {
    let fields: BTreeMap<String, Reply> =
        doc.pairs().expect("a map").into_iter().map(|(key, value)| (text(&key), value)).collect();
    for field in ["summary", "since", "group", "complexity"] {
        assert!(!text(&fields[field]).is_empty(), "{name} has no {field}");
    }
    if let Some(arguments) = fields.get("arguments") {
        arguments.elements().expect("an array").iter().for_each(|argument| check(name, argument));
    }
    let subcommands = fields.get("subcommands").map(|subs| subs.pairs().expect("a map"));
    let subcommands = subcommands.unwrap_or_default();
    1 + subcommands.iter().map(|(name, doc)| check_doc(&text(name), doc)).sum::<usize>()
}

fn check(command: &str, argument: &Reply) {
    let fields: BTreeMap<String, Reply> = argument
        .pairs()
        .expect("a map")
        .into_iter()
        .map(|(key, value)| (text(&key), value))
        .collect();
    let kind = text(&fields["type"]);
    let parts = fields.get("arguments").map_or(0, |parts| parts.elements().expect("parts").len());
    match kind.as_str() {
        "oneof" | "block" => assert!(parts >= 2, "{command}: a {kind} of {parts}"),
        "pure-token" => assert!(fields.contains_key("token"), "{command}: a token without one"),
        "key" => assert!(fields.contains_key("key_spec_index"), "{command}: a key of no spec"),
        "string" | "integer" | "double" | "pattern" | "unix-time" => {}
        other => panic!("{command}: no such type: {other}"),
    }
    if let Some(parts) = fields.get("arguments") {
        parts.elements().expect("parts").iter().for_each(|part| check(command, part));
    }
}

#[test]
fn memory_usage_and_stats() {
    play(
        "memory",
        r#"
> SET a b
OK
> MEMORY USAGE a SAMPLES
(error) ERR syntax error
> MEMORY USAGE a SAMPLES -1
(error) ERR syntax error
> MEMORY USAGE a SAMPLES x
(error) ERR value is not an integer or out of range
> MEMORY USAGE a NOSUCH 1
(error) ERR syntax error
> MEMORY USAGE nothing SAMPLES 0
(nil)
> MEMORY PURGE
OK
"#,
    );
    let mut sim = Sim::new();
    sim.cli(1, "SET small 1");
    sim.ask(1, &[b"SET", b"large", &vec![b'x'; 100_000]]);
    let usage = |sim: &mut Sim, key: &[u8]| match sim.ask(1, &[b"MEMORY", b"USAGE", key]) {
        Reply::Integer(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    assert!((16..100).contains(&usage(&mut sim, b"small")));
    assert!((100_000..101_000).contains(&usage(&mut sim, b"large")));
    let stats = sim.ask(1, &[b"MEMORY", b"STATS"]);
    let stats: BTreeMap<String, Reply> =
        stats.pairs().expect("a map").into_iter().map(|(key, value)| (text(&key), value)).collect();
    assert_eq!(stats["keys.count"], Reply::Integer(2));
    assert_eq!(stats["db.0"].pairs().expect("a map").len(), 3);
    assert_eq!(stats.len(), 28);
}

#[test]
fn monitor_shows_commands_but_no_passwords() {
    play(
        "monitor",
        r#"
2> MONITOR
OK
> SET a "x\n\"\x01"
OK
2>
1893456000.000000 [0 ?:0] "SET" "a" "x\n\"\x01"
> AUTH secret
(any)
> AUTH user secret
(any)
> HELLO 2 AUTH user secret SETNAME me
(any)
2>
1893456000.000000 [0 ?:0] "AUTH" "(redacted)"
1893456000.000000 [0 ?:0] "AUTH" "(redacted)" "(redacted)"
1893456000.000000 [0 ?:0] "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me"
> MULTI
OK
> MONITOR
QUEUED
> EXEC
1) (error) ERR MONITOR isn't allowed for DENY BLOCKING client
2>
1893456000.000000 [0 ?:0] "MULTI"
1893456000.000000 [0 ?:0] "EXEC"
> CONFIG SET requirepass secret
OK
> DEBUG SLEEP 0
(error) ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.
> SET a
(error) ERR wrong number of arguments for 'set' command
> NOSUCH
(error) ERR unknown command 'NOSUCH', with args beginning with: 
2>
(none)
> MEMORY USAGE nothing
(nil)
2>
1893456000.000000 [0 ?:0] "MEMORY" "USAGE" "nothing"
"#,
    );
}

#[test]
fn debug_object_and_sleep() {
    with_debug("local").transcript(
        "debug",
        r#"
> DEBUG
(error) ERR wrong number of arguments for 'debug' command
> DEBUG OBJECT nothing
(error) ERR no such key
> DEBUG SEGFAULT
(error) ERR unknown subcommand or wrong number of arguments for 'SEGFAULT'. Try DEBUG HELP.
> DEBUG SLEEP
(error) ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.
> DEBUG SLEEP x
OK
> SET a 123456
OK
> SET b abcdef
OK
(2000 ms later)
> DEBUG OBJECT a
Value at:0x0 refcount:1 encoding:int serializedlength:5 lru:14407808 lru_seconds_idle:2
> DEBUG OBJECT b
Value at:0x0 refcount:1 encoding:embstr serializedlength:7 lru:14407808 lru_seconds_idle:2
> MEMORY USAGE b
(any)
> OBJECT IDLETIME b
(integer) 2
"#,
    );
}

fn with_debug(allowed: &str) -> Sim {
    let mut config = Config::default();
    config.set("enable-debug-command", allowed).expect("a valid option");
    // So that clients from elsewhere get as far as the command.
    config.set("protected-mode", "no").expect("a valid option");
    Sim::with_config(config)
}

#[test]
fn debug_has_to_be_allowed() {
    let refused = "(error) ERR DEBUG command not allowed. If the enable-debug-command option is \
                   set to \"local\", you can run it from a local connection, otherwise you need to \
                   set this option in the configuration file, and then restart the server.";
    let mut sim = Sim::new();
    assert_eq!(sim.cli(1, "DEBUG SLEEP 0"), refused);
    assert!(sim.cli(1, "CONFIG SET enable-debug-command yes").contains("protected config"));
    for (allowed, addr, expected) in [
        ("no", "127.0.0.1:1000", refused),
        ("local", "127.0.0.1:1000", "OK"),
        ("local", "[::1]:1000", "OK"),
        ("local", "[::ffff:127.0.0.1]:1000", "OK"),
        ("local", "192.0.2.1:1000", refused),
        ("yes", "192.0.2.1:1000", "OK"),
    ] {
        let mut sim = with_debug(allowed);
        let addr = Some(addr.parse().expect("an address"));
        sim.connect_from(1, Peer { addr, ..Peer::in_process() });
        assert_eq!(sim.cli(1, "DEBUG SLEEP 0"), expected, "{allowed} {addr:?}");
    }
}

#[test]
fn slowlog_shortens_the_name_of_a_client() {
    let mut sim = Sim::new();
    sim.cli(1, "CONFIG SET slowlog-log-slower-than 0");
    sim.send(1, &[b"CLIENT", b"SETNAME", &[b'n'; 1_000]]);
    sim.cli(1, "PING");
    assert!(sim.cli(1, "SLOWLOG GET 1").ends_with("... (872 more bytes)\""));
}
