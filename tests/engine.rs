//! The engine as a program drives it that has loop and connections of its own:
//! everything that the server's reactor does can be done from outside.

mod support;

use std::cell::Cell;
use std::time::Duration;

use support::sim::{START_UNIX_US, Sim};
use tollgate::clock::Now;
use tollgate::config::Config;
use tollgate::engine::{Engine, Environment, Peer, ProcessFigures};

const START: Now = Now { monotonic: Duration::ZERO, unix_us: START_UNIX_US };

thread_local! {
    static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn sim(environment: Environment) -> Sim {
    let mut config = Config::default();
    config.set("enable-debug-command", "local").expect("a valid option");
    let mut sim = Sim::new();
    sim.engine = Engine::new(config, environment, START);
    sim
}

/// Sends all that one client has not been sent.
fn send(engine: &mut Engine, key: usize) -> Vec<u8> {
    let sent = engine.output(key).to_vec();
    engine.sent(key, sent.len());
    sent
}

#[test]
fn an_engine_ends_when_all_is_run_and_sent() {
    let config = Config { turn_requests_max: 2, ..Config::default() };
    let mut engine = Engine::new(config, Environment::simulated(1), START);
    engine.connect(0, Peer::in_process(), START);
    engine.connect(1, Peer::in_process(), START);
    assert!(engine.output_count() == 0 && engine.unfinished_clients() == 0);
    engine.receive(0, &b"PING\r\n".repeat(5), START);
    assert_eq!((engine.output_count(), engine.unsent_bytes(0)), (1, 14));
    assert!(!engine.is_held_back(0), "its share is used up, but it waits for nothing");
    engine.receive(1, b"WAIT 1 60000\r\n", START);
    assert_eq!((engine.is_held_back(1), engine.unsent_bytes(1)), (true, 0));
    assert_eq!(engine.unfinished_clients(), 2, "who waits is owed a reply");

    assert!(!engine.shutdown_requested());
    engine.request_shutdown();
    assert!(engine.shutdown_requested());
    let mut sent = Vec::new();
    let mut turns = 0;
    loop {
        engine.tick(START);
        for key in engine.take_outputs() {
            sent.extend(send(&mut engine, key));
        }
        turns += 1;
        if engine.unfinished_clients() == 0 {
            break;
        }
    }
    assert_eq!(sent.len(), 5 * 7 + ":0\r\n".len());
    assert_eq!(turns, 2, "two requests a turn, one had its turn before");
    assert!(engine.output_count() == 0 && !engine.is_held_back(1));
}

#[test]
fn an_unknown_client_has_nothing() {
    let mut engine = Engine::new(Config::default(), Environment::simulated(1), START);
    assert_eq!((engine.unsent_bytes(7), engine.is_held_back(7)), (0, false));
    assert_eq!(engine.client_memory_bytes(7), 0);
    assert!(engine.output(7).is_empty());
    engine.sent(7, 0);
    engine.disconnect(7);
}

#[test]
fn turns_and_process_are_the_drivers_to_tell() {
    let process = ProcessFigures {
        pid: 4_711,
        tcp_port: 7_000,
        executable: "/bin/mine".to_owned(),
        ..ProcessFigures::default()
    };
    let refresh_process = |figures: &mut ProcessFigures| figures.rss_bytes = 123_456_789;
    let mut sim = sim(Environment { process, refresh_process, ..Environment::simulated(1) });
    for (began_ns, ended_ns) in [(100, 900_100), (3_000_000, 5_500_000)] {
        sim.engine.begin_turn(began_ns);
        sim.engine.end_turn(ended_ns);
    }
    let reply = sim.ask(1, &[b"INFO", b"everything"]);
    let info = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    for field in [
        "process_id:4711",
        "tcp_port:7000",
        "executable:/bin/mine",
        "used_memory_rss:123456789",
        "turns:2",
        "turns_over_1ms:1",
        "turn_longest_us:2500",
    ] {
        assert!(info.lines().any(|line| line == field), "{field} is missing in {info}");
    }
}

#[test]
fn debug_sleep_sleeps_as_the_driver_does() {
    let sleep = |time| SLEPT.set(SLEPT.get() + time);
    let mut sim = sim(Environment { sleep, ..Environment::simulated(1) });
    sim.ask(1, &[b"DEBUG", b"SLEEP", b"0.25"]);
    assert_eq!(SLEPT.get(), Duration::from_millis(250));
    sim.ask(1, &[b"CONFIG", b"SET", b"max-wait-ms", b"1000"]);
    sim.ask(1, &[b"DEBUG", b"SLEEP", b"3600"]);
    assert_eq!(SLEPT.get(), Duration::from_millis(1_250));
}

#[test]
fn maxclients_stays_within_what_the_driver_has_files_for() {
    let mut sim = sim(Environment { clients_max: Some(30_000), ..Environment::simulated(1) });
    let mut set = |options: &[&[u8]]| {
        let reply = sim.ask(1, &[&[&b"CONFIG"[..], b"SET"], options].concat());
        String::from_utf8_lossy(reply.text().expect("a text")).into_owned()
    };
    let refused = "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The \
                   operating system is not able to handle the specified number of clients, try \
                   with 30000";
    assert_eq!(set(&[b"MaxClients", b"30001"]), refused);
    // All or nothing.
    assert_eq!(set(&[b"timeout", b"5", b"maxclients", b"4000000"]), refused);
    assert_eq!(set(&[b"maxclients", b"30000"]), "OK");
    assert_eq!(sim.engine.config().timeout, 0);
    assert_eq!(sim.engine.config().maxclients, 30_000);
}

#[test]
fn spare_buffers_go_when_fewer_are_to_be_kept() {
    let mut sim = sim(Environment::simulated(1));
    let spare_bytes = |sim: &mut Sim| {
        let reply = sim.ask(1, &[b"INFO", b"memory"]);
        let info = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
        let field = info.lines().find_map(|line| line.strip_prefix("mem_clients_normal:"));
        field.expect("INFO has it").parse::<usize>().expect("a number")
    };
    // Outputs that wait at the same time need a buffer each.
    for key in 10..110 {
        sim.engine.connect(key, Peer::in_process(), START);
        sim.engine.receive(key, b"PING\r\n", START);
    }
    for key in 10..110 {
        send(&mut sim.engine, key);
    }
    let before = spare_bytes(&mut sim);
    sim.ask(1, &[b"CONFIG", b"SET", b"buffer-pool-max", b"10"]);
    let after = spare_bytes(&mut sim);
    assert!(before > 8 * after, "{before} before, {after} after");
}
