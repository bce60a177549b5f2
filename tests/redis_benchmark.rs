//! redis-benchmark against tollgate: its default list, as far as tollgate has
//! the commands, with a thousand connections and pipelines of sixteen.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use ::tollgate::commands::TABLE;
use support::program::{self, Finished};
use support::tollgate;

/// One benchmark of the default list.
struct Benchmark {
    /// For `-t`.
    test: &'static str,
    command: &'static str,
    /// What the row of its figures is called.
    row: &'static str,
}

/// The default list of redis-benchmark 7.0, in its order.
const DEFAULT_LIST: &[Benchmark] = &[
    benchmark("ping_inline", "PING", "PING_INLINE"),
    benchmark("ping_mbulk", "PING", "PING_MBULK"),
    benchmark("set", "SET", "SET"),
    benchmark("get", "GET", "GET"),
    benchmark("incr", "INCR", "INCR"),
    benchmark("lpush", "LPUSH", "LPUSH"),
    benchmark("rpush", "RPUSH", "RPUSH"),
    benchmark("lpop", "LPOP", "LPOP"),
    benchmark("rpop", "RPOP", "RPOP"),
    benchmark("sadd", "SADD", "SADD"),
    benchmark("hset", "HSET", "HSET"),
    benchmark("spop", "SPOP", "SPOP"),
    benchmark("zadd", "ZADD", "ZADD"),
    benchmark("zpopmin", "ZPOPMIN", "ZPOPMIN"),
    benchmark("lrange_100", "LRANGE", "LRANGE_100 (first 100 elements)"),
    benchmark("lrange_300", "LRANGE", "LRANGE_300 (first 300 elements)"),
    benchmark("lrange_500", "LRANGE", "LRANGE_500 (first 500 elements)"),
    benchmark("lrange_600", "LRANGE", "LRANGE_600 (first 600 elements)"),
    benchmark("mset", "MSET", "MSET (10 keys)"),
];

const fn benchmark(test: &'static str, command: &'static str, row: &'static str) -> Benchmark {
    Benchmark { test, command, row }
}

impl Benchmark {
    fn is_possible(&self) -> bool {
        TABLE.find(self.command.as_bytes()).is_some()
    }
}

fn is_installed() -> bool {
    program::is_installed("redis-benchmark", "Debian: redis-tools")
}

fn run(addr: SocketAddr, options: &[&str]) -> Finished {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", &addr.ip().to_string(), "-p", &addr.port().to_string(), "--csv"]);
    command.args(options);
    program::run(command, b"")
}

/// The rows in which redis-benchmark reports what it has completed.
fn rows(printed: &str) -> Vec<String> {
    let cells = printed.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.trim_matches('"').split("\",\"").collect();
        let rate: f64 = cells[1].parse().unwrap_or_else(|_| panic!("no figures: {line}"));
        assert!(rate > 0.0, "{line}");
        cells[0].to_owned()
    });
    // Preparations have rows as well.
    cells.filter(|name| !name.contains("(needed to benchmark")).collect()
}

#[test]
fn the_default_list_as_far_as_the_commands_go() {
    const REQUESTS: usize = 40_000;
    const KEYS: usize = 1_000;
    if !is_installed() {
        return;
    }
    let (possible, missing): (Vec<&Benchmark>, Vec<&Benchmark>) =
        DEFAULT_LIST.iter().partition(|benchmark| benchmark.is_possible());
    let missing: Vec<&str> = missing.iter().map(|benchmark| benchmark.test).collect();
    println!("not run, for types that tollgate does not have: {}", missing.join(" "));
    let tests: Vec<&str> = possible.iter().map(|benchmark| benchmark.test).collect();
    let expected: Vec<&str> = possible.iter().map(|benchmark| benchmark.row).collect();
    assert!(expected.len() >= 6, "{expected:?}");

    for protocol in [&[][..], &["-3"]] {
        let server = tollgate::start();
        let (requests, keys, tests) = (REQUESTS.to_string(), KEYS.to_string(), tests.join(","));
        let list = ["-P", "16", "-c", "1000", "-n", &requests, "-r", &keys, "-t", &tests];
        let printed = run(server.address(), &[&list, protocol].concat()).output();
        assert_eq!(rows(&printed), expected, "{protocol:?}");

        let mut connection = server.connect();
        let (mut counted, mut keys_found) = (0, 0);
        for number in 0..KEYS {
            let key = format!("key:{number:012}");
            let value = connection.call(&["GET", &key]);
            keys_found += usize::from(value.text() == Some(b"VXK"));
            let counter = connection.call(&["GET", &format!("counter:{number:012}")]);
            let counter = counter.text().and_then(|text| std::str::from_utf8(text).ok());
            counted += counter.map_or(0, |text| text.parse::<usize>().expect("a counter"));
        }
        // Forty random writes for each of the keys miss none, as good as surely.
        assert_eq!(keys_found, KEYS, "SET and MSET have written their keys");
        // The last batches may be more than was asked for.
        assert!(counted >= REQUESTS, "{counted} increments of {REQUESTS}");
    }
}

#[test]
fn a_command_of_ones_own() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    server.connect().call(&["SET", "stock", "500"]);
    let options = ["-c", "1000", "-P", "16", "-n", "20000", "DECRIFPOS", "stock"];
    let printed = run(server.address(), &options).output();
    assert_eq!(rows(&printed), ["DECRIFPOS stock"]);
    assert_eq!(server.connect().call(&["GET", "stock"]).text(), Some(&b"0"[..]));
}

#[test]
fn a_connection_for_each_request() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    let options = ["-k", "0", "-c", "50", "-n", "2000", "-t", "get"];
    let finished = run(server.address(), &options);
    // It complains about what the option does to the system, and goes on.
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(rows(&finished.stdout), ["GET"]);
}

/// redis-benchmark ends at the first error reply, which is what a command of a
/// type that tollgate does not have is answered with; what stands before it in
/// the list has been completed.
#[test]
fn the_whole_default_list_ends_at_the_first_command_that_is_missing() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    let finished = run(server.address(), &["-P", "16", "-n", "2000"]);
    let completed = rows(&finished.stdout);
    let until = DEFAULT_LIST.iter().position(|benchmark| !benchmark.is_possible());
    let Some(until) = until else {
        assert!(finished.status.success(), "{}", finished.stderr);
        return;
    };
    let expected: Vec<&str> = DEFAULT_LIST[..until].iter().map(|it| it.row).collect();
    assert_eq!(completed, expected);
    assert_eq!(finished.status.code(), Some(1));
    let name = DEFAULT_LIST[until].command;
    let refusal = format!("Error from server: ERR unknown command '{name}'");
    assert!(finished.stderr.contains(&refusal), "{}", finished.stderr);
}
