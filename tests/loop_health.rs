//! What the loop says about itself: `INFO loop`, and the `turn` event of LATENCY.

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use ::tollgate::clock::Now;
use ::tollgate::config::Config;
use ::tollgate::engine::{Engine, Environment, Room, Stage};
use support::process::ServerProcess;
use support::sim::{START_UNIX_US, Sim};
use support::target::{Target as _, TcpTarget, encode};
use support::tollgate;

thread_local! {
    /// What the stopwatch shows, in nanoseconds.
    static CLOCK_NS: Cell<u64> = const { Cell::new(0) };
    static CPU_NS: Cell<u64> = const { Cell::new(0) };
}

/// A server whose clocks go on only where the test says so.
fn timed(config: Config) -> Sim {
    CLOCK_NS.set(1_000);
    CPU_NS.set(0);
    let mut sim = Sim::new();
    let environment = Environment {
        stopwatch: || CLOCK_NS.get(),
        thread_cpu_time: || CPU_NS.get(),
        ..Environment::simulated(1)
    };
    let now = Now { monotonic: Duration::ZERO, unix_us: START_UNIX_US };
    sim.engine = Engine::new(config, environment, now);
    sim
}

fn pass(time_us: u64) {
    CLOCK_NS.set(CLOCK_NS.get() + time_us * 1_000);
}

/// One turn of the loop, in which `work` happens.
fn turn(sim: &mut Sim, work: impl FnOnce(&mut Sim)) {
    sim.engine.begin_turn(CLOCK_NS.get());
    work(sim);
    sim.engine.end_turn(CLOCK_NS.get());
}

/// `INFO loop`, asked outside any turn.
fn info(sim: &mut Sim) -> BTreeMap<String, String> {
    let reply = sim.ask(1, &[b"INFO", b"loop"]);
    let text = String::from_utf8_lossy(reply.text().expect("INFO is text")).into_owned();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("# Loop"));
    let pairs = lines.map(|line| line.split_once(':').expect("name:value"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[track_caller]
fn expect(sim: &mut Sim, fields: &[(&str, &str)]) {
    let found = info(sim);
    for (name, value) in fields {
        assert_eq!(found[*name], *value, "{name}");
    }
}

#[test]
fn time_is_told_by_stage_and_the_longest_turn_is_kept() {
    let mut sim = timed(Config::default());
    turn(&mut sim, |sim| {
        pass(30);
        sim.engine.end_stage(Stage::Accept);
        pass(200);
        sim.engine.end_stage(Stage::Requests);
        pass(5);
    });
    // Between turns the loop waits.
    pass(700);
    turn(&mut sim, |sim| {
        sim.ask(1, &[b"PING"]);
        pass(2_500);
        sim.engine.end_stage(Stage::Requests);
        pass(10);
    });
    expect(
        &mut sim,
        &[
            ("turns", "2"),
            ("turns_over_1ms", "1"),
            ("turns_over_1ms_cpu", "0"),
            ("turn_longest_us", "2510"),
            ("turn_longest_recent_us", "2510"),
            (
                "turn_longest_stages_us",
                "accept=0,requests=2500,expire=0,wakeups=0,free=0,keep=0,send=10",
            ),
            ("wait_us", "700"),
            ("stage_accept_us", "30"),
            ("stage_requests_us", "2700"),
            ("stage_expire_us", "0"),
            ("stage_send_us", "15"),
        ],
    );
}

#[test]
fn the_longest_of_the_last_minute_is_forgotten_after_it() {
    let mut sim = timed(Config::default());
    turn(&mut sim, |_| pass(800));
    sim.advance_ms(50_000);
    turn(&mut sim, |_| pass(300));
    expect(&mut sim, &[("turn_longest_recent_us", "800"), ("turn_longest_us", "800")]);
    sim.advance_ms(25_000);
    expect(&mut sim, &[("turn_longest_recent_us", "300"), ("turn_longest_us", "800")]);
    sim.advance_ms(1_000_000);
    expect(&mut sim, &[("turn_longest_recent_us", "0"), ("turn_longest_us", "800")]);
    sim.cli(1, "CONFIG RESETSTAT");
    expect(&mut sim, &[("turn_longest_us", "0"), ("turns", "0"), ("stage_send_us", "0")]);
}

#[test]
fn what_a_turn_carries_is_counted() {
    let mut sim = timed(Config::default());
    turn(&mut sim, |sim| {
        for _ in 0..3 {
            assert_eq!(sim.cli(1, "PING"), "PONG");
        }
    });
    turn(&mut sim, |_| {});
    expect(
        &mut sim,
        &[
            ("requests_per_turn", "1.50"),
            ("requests_per_turn_max", "3"),
            ("input_bytes_per_turn_max", "18"),
            ("output_bytes_per_turn_max", "21"),
        ],
    );
    // What was asked outside of turns is told of by nobody's maximum.
    expect(&mut sim, &[("requests_per_turn_max", "3")]);
}

#[test]
fn a_turn_in_which_others_ran_is_told_from_a_busy_one() {
    let mut sim = timed(Config { loop_cpu_time: true, ..Config::default() });
    turn(&mut sim, |_| pass(5_000));
    turn(&mut sim, |_| {
        pass(6_000);
        CPU_NS.set(CPU_NS.get() + 5_900_000);
    });
    let fields = info(&mut sim);
    assert_eq!(
        (fields["turns_over_1ms"].as_str(), fields["turns_over_1ms_cpu"].as_str()),
        ("2", "1")
    );
    assert!(fields["turn_longest_work"].ends_with(",cpu_us=5900"), "{fields:?}");
    // Without the option nobody reads that clock.
    sim.cli(1, "CONFIG SET loop-cpu-time no");
    turn(&mut sim, |_| pass(7_000));
    let fields = info(&mut sim);
    assert!(fields["turn_longest_work"].ends_with(",cpu_us=-1"), "{fields:?}");
}

#[test]
fn keys_that_are_due_are_a_backlog_until_they_are_removed() {
    let mut sim = timed(Config { expire_slice_keys: 100, ..Config::default() });
    for number in 0..1_000 {
        sim.cli(1, &format!("SET {number} x PX 1000"));
    }
    expect(&mut sim, &[("expiry_backlog", "0"), ("expiry_overdue_ms", "0")]);
    let due = sim.now.advanced(Duration::from_millis(1_007));
    let overdue = |sim: &mut Sim| {
        sim.engine.receive(1, b"INFO loop\r\n", due);
        let text = String::from_utf8_lossy(sim.engine.output(1)).into_owned();
        let sent = text.len();
        sim.engine.sent(1, sent);
        let field = |name: &str| -> u64 {
            let mut found = text.lines().filter_map(|line| line.strip_prefix(name));
            found.next().and_then(|value| value.parse().ok()).expect("a field")
        };
        (field("expiry_backlog:"), field("expiry_overdue_ms:"), field("expiry_lag_max_ms:"))
    };
    assert_eq!(overdue(&mut sim), (1_000, 7, 0));
    let mut ticks = 0;
    loop {
        sim.engine.tick(due);
        ticks += 1;
        let (backlog, overdue_ms, lag_ms) = overdue(&mut sim);
        assert!(overdue_ms <= 7 && lag_ms == 7);
        if backlog == 0 {
            break;
        }
    }
    assert!(ticks > 2, "they went in slices");
}

#[test]
fn what_is_stored_with_a_deadline_in_the_past_was_not_late() {
    let mut sim = timed(Config::default());
    sim.cli(1, "SET a 1 PXAT 1");
    assert_eq!(sim.cli(1, "EXISTS a"), "(integer) 0");
    sim.advance_ms(10);
    expect(&mut sim, &[("expiry_lag_max_ms", "0")]);
}

#[test]
fn a_flushed_database_is_garbage_until_it_is_freed() {
    let mut sim = timed(Config { free_slice_entries: 500, ..Config::default() });
    for number in 0..3_000 {
        sim.cli(1, &format!("SET {number} x"));
    }
    let now = sim.now;
    sim.engine.receive(1, b"FLUSHALL\r\nINFO loop\r\n", now);
    let text = String::from_utf8_lossy(sim.engine.output(1)).into_owned();
    assert!(text.contains("garbage_tables:1\r\n"), "{text}");
    assert!(!text.contains("garbage_entries:0\r\n"), "{text}");
    sim.advance_ms(10);
    sim.take_replies(1);
    expect(&mut sim, &[("garbage_tables", "0"), ("garbage_entries", "0")]);
}

#[test]
fn latency_has_an_event_for_long_turns() {
    let mut sim = timed(Config { latency_monitor_threshold: 2, ..Config::default() });
    turn(&mut sim, |_| pass(1_900));
    assert_eq!(sim.cli(1, "LATENCY LATEST"), "(empty array)");
    turn(&mut sim, |_| pass(2_100));
    sim.advance_ms(1_000);
    turn(&mut sim, |_| pass(7_000));
    sim.transcript(
        "the event of long turns",
        &format!(
            "> LATENCY HISTORY turn
1) 1) (integer) {0}
   2) (integer) 2
2) 1) (integer) {1}
   2) (integer) 7
> LATENCY LATEST
1) 1) \"turn\"
   2) (integer) {1}
   3) (integer) 7
   4) (integer) 7
> LATENCY DOCTOR
\"turn: 2 spikes, 4 ms on average, 7 ms at worst.\\nSLOWLOG GET tells which commands were slow.\\n\"
> LATENCY RESET turn
(integer) 1
> LATENCY LATEST
(empty array)
",
            START_UNIX_US / 1_000_000,
            START_UNIX_US / 1_000_000 + 1
        ),
    );
}

#[test]
fn a_server_at_work_tells_of_its_turns() {
    let server = tollgate::start();
    let mut connection = server.connect();
    for _ in 0..10 {
        connection.call(&["PING"]);
    }
    let reply = connection.call(&["INFO", "loop"]);
    let text = String::from_utf8_lossy(reply.text().expect("INFO is text")).into_owned();
    let field = |name: &str| -> f64 {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
    };
    assert!(field("turns") >= 10.0);
    assert!(field("requests_per_turn_max") >= 1.0);
    assert!(field("turn_longest_us") >= 1.0);
}

#[test]
fn what_follows_the_last_command_counts_to_the_requests_too() {
    let mut sim = timed(Config::default());
    sim.connect(2);
    sim.connect(3);
    let large = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nabc";
    sim.engine.receive(3, large, sim.now);
    turn(&mut sim, |sim| {
        pass(10);
        sim.engine.receive(2, b"PING\r\n", sim.now);
        sim.engine.read_into(3, &mut [0; 64], |room, _| {
            pass(300);
            match room {
                Room::Window(window) => window.len().min(1_000),
                Room::Spare(spare) => {
                    spare.extend_from_slice(&[b'x'; 1_000]);
                    1_000
                }
            }
        });
        sim.engine.receive(3, b"", sim.now);
        sim.engine.end_stage(Stage::Requests);
    });
    expect(&mut sim, &[("stage_requests_us", "310"), ("stage_send_us", "0")]);
    turn(&mut sim, |sim| {
        pass(10);
        sim.engine.receive(2, b"PING\r\n", sim.now);
        let bytes = sim.engine.output(2).len();
        pass(500);
        sim.engine.sent(2, bytes);
        sim.engine.end_stage(Stage::Requests);
        pass(7);
    });
    expect(&mut sim, &[("stage_requests_us", "820"), ("stage_send_us", "7")]);
}

/// The program's allocator puts off giving memory back to the system. The loop is not
/// to be the one that does it in the end.
#[test]
fn the_memory_of_a_large_value_goes_back_to_the_system_beside_the_loop() {
    const VALUE_BYTES: usize = 300 << 20;
    let server = ServerProcess::start(|port| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.args(["--port", &port.to_string(), "--loop-cpu-time", "yes"]);
        command.args(["--loglevel", "nothing"]);
        command
    })
    .unwrap_or_else(|error| panic!("tollgate does not start: {error}"));
    let mut client = server.connect();
    let used = |client: &mut TcpTarget| -> usize {
        let used = client.info("memory", "used_memory").expect("INFO tells");
        used.parse().expect("a number")
    };
    client.send(&encode(&[b"SET", &b"large"[..], &vec![b'v'; VALUE_BYTES]])).expect("it takes it");
    assert_eq!(client.reply().expect("a reply"), b"+OK\r\n");
    assert!(used(&mut client) > VALUE_BYTES);
    client.call(&["DEL", "large"]);
    client.call(&["CONFIG", "RESETSTAT"]);
    // Pages of small values come and go.
    let begun = Instant::now();
    let mut count: usize = 0;
    while begun.elapsed() < Duration::from_millis(2_500) {
        let value = "v".repeat(100 + count * 7_919 % 3_000);
        client.call(&["SET", &format!("k{}", count % 2_000), &value]);
        client.call(&["DEL", &format!("k{}", count * 31 % 2_000)]);
        count += 1;
    }
    assert!(used(&mut client) < VALUE_BYTES / 2, "{}", used(&mut client));
    let work = client.info("loop", "turn_longest_work").expect("INFO tells");
    let cpu_us = work.rsplit_once("cpu_us=").expect("it is measured").1;
    let cpu_us: u64 = cpu_us.parse().expect("a number");
    let beside_us = thread_cpu_us(&server, "tollgate-purge");
    // How long that takes is the machine's business; whoever does it takes that long.
    assert!(cpu_us < beside_us, "{work}; beside the loop {beside_us} us");
}

/// How long a thread of the server has had the processor, in microseconds.
fn thread_cpu_us(server: &ServerProcess, name: &str) -> u64 {
    let tasks = format!("/proc/{}/task", server.id());
    let mut paths = std::fs::read_dir(tasks).expect("it runs").flatten().map(|task| task.path());
    let is_it = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let path = paths.find(is_it).expect("there is such a thread");
    let times = std::fs::read_to_string(path.join("schedstat")).expect("it runs");
    let ran_ns = times.split(' ').next().and_then(|time| time.parse::<u64>().ok());
    ran_ns.expect("a number") / 1_000
}
