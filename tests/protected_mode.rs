//! `protected-mode`: who may connect while there is no password.

mod support;

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use socket2::{Domain, Socket, Type};
use support::process::ServerProcess;
use support::redis_server;
use support::sim::Sim;
use tollgate::config::Config;
use tollgate::engine::Peer;

const ELSEWHERE: &str = "203.0.113.5:40000";

fn peer(addr: &str) -> Peer {
    Peer { addr: Some(addr.parse().expect("an address")), laddr: None, fd: 7 }
}

/// What a new client at this address is told without having asked, and whether it is
/// closed then.
fn greeting(sim: &mut Sim, addr: &str) -> (String, bool) {
    const GUEST: usize = 9;
    sim.connect_from(GUEST, peer(addr));
    sim.turn();
    let told = String::from_utf8(sim.take_bytes(GUEST)).expect("it is text");
    let is_closed = sim.is_closed(GUEST);
    if !is_closed {
        sim.disconnect(GUEST);
    }
    (told, is_closed)
}

/// What a server tells a client that connects from this address of the machine.
fn greeting_from(source: Ipv4Addr, server: SocketAddr) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("all of 127.0.0.0/8 is here");
    socket.connect(&server.into()).expect("it accepts");
    let mut text = String::new();
    (&socket).read_to_string(&mut text).expect("it is closed after that");
    text
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let mut sim = Sim::new();
    assert_eq!(sim.cli(1, "CONFIG GET protected-mode"), "1) \"protected-mode\"\n2) \"yes\"");
    let (told, is_closed) = greeting(&mut sim, ELSEWHERE);
    assert!(told.starts_with("-DENIED Redis is running in protected mode because "), "{told}");
    assert!(is_closed && told.ends_with(" from the outside.\r\n"), "{told}");
    assert!(greeting(&mut sim, "[2001:db8::5]:40000").1);
    for local in ["127.0.0.1:40000", "127.1.2.3:40000", "[::1]:40000"] {
        assert_eq!(greeting(&mut sim, local), (String::new(), false), "{local}");
    }
    // As in Redis, who is refused has not been received.
    assert_eq!(sim.info("total_connections_received"), "4");
    assert_eq!(sim.info("rejected_connections"), "2");
}

#[test]
fn a_password_or_the_option_lets_others_in() {
    let mut sim = Sim::new();
    for line in ["CONFIG SET requirepass pw", "CONFIG SET requirepass \"\" protected-mode no"] {
        assert_eq!(sim.cli(1, line), "OK");
        assert_eq!(greeting(&mut sim, ELSEWHERE), (String::new(), false), "{line}");
    }
    // Who is there stays.
    sim.connect_from(2, peer(ELSEWHERE));
    assert_eq!(sim.cli(1, "CONFIG SET protected-mode yes"), "OK");
    assert_eq!(sim.cli(2, "PING"), "PONG");
    assert!(greeting(&mut sim, ELSEWHERE).1);
}

#[test]
fn one_too_many_is_told_that() {
    let mut config = Config::default();
    config.set("maxclients", "1").expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.cli(1, "PING");
    let told = greeting(&mut sim, ELSEWHERE);
    assert_eq!(told, ("-ERR max number of clients reached\r\n".to_owned(), true));
}

#[test]
fn who_is_refused_is_told_in_the_words_of_redis() {
    let Some(redis) = redis_server::start() else { return };
    // To Redis 7.0 this is another machine.
    let theirs = greeting_from(Ipv4Addr::new(127, 0, 0, 2), redis.address());
    assert!(theirs.starts_with("-DENIED "), "{theirs}");
    assert_eq!(greeting(&mut Sim::new(), ELSEWHERE).0, theirs);
}

#[test]
fn the_log_says_whether_others_may_connect() {
    let name = format!("tollgate-protected-mode-{}", std::process::id());
    let file = std::env::temp_dir().join(name);
    let warning = |options: &[&str]| {
        let server = ServerProcess::start(|port| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
            command.args(["--port", &port.to_string(), "--logfile"]).arg(&file).args(options);
            command.env_remove("RUST_LOG");
            command
        });
        // It is logged before anybody is answered.
        drop(server.expect("it starts"));
        let log = fs::read_to_string(&file).expect("the log is a file");
        fs::remove_file(&file).expect("it is there");
        let line = log.lines().find(|line| line.contains("other machines"));
        line.and_then(|line| Some(line.split_once("other machines ")?.1.to_owned()))
    };
    let open = ["--bind", "0.0.0.0"];
    let refused = warning(&open).expect("there is no password");
    assert!(refused.starts_with("are refused while there is no password; "), "{refused}");
    let let_in = warning(&[&open[..], &["--protected-mode", "no"]].concat());
    let let_in = let_in.expect("there is no password");
    assert!(let_in.starts_with("may connect without a password; "), "{let_in}");
    assert_eq!(warning(&["--protected-mode", "no"]), None);
}
