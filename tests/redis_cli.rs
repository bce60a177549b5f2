//! The real redis-cli, over TCP: sessions from standard input in each of its
//! output formats, mass insertion, and its own modes.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use ::tollgate::commands::TABLE;
use support::program::{self, Background, Finished};
use support::tollgate;

fn is_installed() -> bool {
    program::is_installed("redis-cli", "Debian: redis-tools")
}

fn cli(addr: SocketAddr, options: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-h", &addr.ip().to_string(), "-p", &addr.port().to_string()]).args(options);
    // Somebody's own settings must not change what is printed.
    command.env("REDISCLI_RCFILE", "/dev/null").env_remove("REDISCLI_AUTH");
    command
}

fn run(addr: SocketAddr, options: &[&str], session: &str) -> Finished {
    program::run(cli(addr, options), session.as_bytes())
}

/// What a session prints on a fresh server.
fn session(options: &[&str], session: &str) -> String {
    let server = tollgate::start();
    run(server.address(), options, session).output()
}

/// Without the sequences that colour a terminal, and its carriage returns.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let text = text.replace('\r', "");
    let mut parts = text.split('\x1b');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// One session for all formats: each type of reply once.
const SESSION: &str = "\
SET stock 2
SET text \"a \\\"b\\\"\\n\"
DECRIFPOS stock
DECRIFPOS stock 5
GET text
GET nothing
MGET stock nothing text
INCR text
NOSUCH x
KEYS nothing
PING hello
TTL stock
";

#[test]
fn a_session_for_a_terminal() {
    if !is_installed() {
        return;
    }
    let expected = r#"OK
OK
(integer) 1
(integer) -1
"a \"b\"\n"
(nil)
1) "1"
2) (nil)
3) "a \"b\"\n"
(error) ERR value is not an integer or out of range
(error) ERR unknown command 'NOSUCH', with args beginning with: 'x' 
(empty array)
"hello"
(integer) -1
"#;
    assert_eq!(session(&["--no-raw"], SESSION), expected);
    assert_eq!(session(&["-3", "--no-raw"], SESSION), expected);
}

#[test]
fn a_session_for_a_pipe() {
    if !is_installed() {
        return;
    }
    let expected = "OK\nOK\n1\n-1\na \"b\"\n\n\n1\n\na \"b\"\n\n\
         ERR value is not an integer or out of range\n\n\
         ERR unknown command 'NOSUCH', with args beginning with: 'x' \n\n\
         \nhello\n-1\n";
    for options in [&[][..], &["--raw"], &["-3"], &["-3", "--raw"]] {
        assert_eq!(session(options, SESSION), expected, "{options:?}");
    }
}

#[test]
fn a_session_as_csv() {
    if !is_installed() {
        return;
    }
    let expected = r#""OK"
"OK"
1
-1
"a \"b\"\n"
NULL
"1",NULL,"a \"b\"\n"
ERROR,"ERR value is not an integer or out of range"
ERROR,"ERR unknown command 'NOSUCH', with args beginning with: 'x' "

"hello"
-1
"#;
    assert_eq!(session(&["--csv"], SESSION), expected);
}

#[test]
fn a_session_as_json() {
    if !is_installed() {
        return;
    }
    let expected = r#""OK"
"OK"
1
-1
"a \"b\"\n"
null
["1",null,"a \"b\"\n"]
error:"ERR value is not an integer or out of range"
error:"ERR unknown command 'NOSUCH', with args beginning with: 'x' "
[]
"hello"
-1
"#;
    assert_eq!(session(&["--json"], SESSION), expected);
}

#[test]
fn resp3_maps_are_maps() {
    if !is_installed() {
        return;
    }
    let lines = "CONFIG GET maxclients\nHELLO 3\nCONFIG GET maxclients\n";
    let printed = session(&["--no-raw"], lines);
    let printed: Vec<&str> = printed.lines().collect();
    let value = printed[1].strip_prefix("2) ").expect("the second of two elements");
    assert_eq!(printed[0], "1) \"maxclients\"");
    assert_eq!(printed[2], "1# \"server\" => \"redis\"");
    assert_eq!(printed[4], "3# \"proto\" => (integer) 3");
    assert_eq!(printed[8], "7# \"modules\" => (empty array)");
    assert_eq!(printed[9], format!("1# \"maxclients\" => {value}"));
    let json = session(&["-3", "--json"], "CONFIG GET databases\n");
    assert_eq!(json, "{\"databases\":\"16\"}\n");
}

#[test]
fn a_transaction_from_standard_input() {
    if !is_installed() {
        return;
    }
    let printed = session(
        &["--no-raw"],
        "MULTI\nSET a 1\nINCR a\nGET a\nEXEC\nMULTI\nINCR a\nNOSUCH\nEXEC\n\
         MULTI\nDEL a\nDISCARD\nWATCH a\nSET a 5\nMULTI\nINCR a\nEXEC\nGET a\n",
    );
    assert_eq!(
        printed,
        "OK\nQUEUED\nQUEUED\nQUEUED\n1) OK\n2) (integer) 2\n3) \"2\"\n\
         OK\nQUEUED\n(error) ERR unknown command 'NOSUCH', with args beginning with: \n\
         (error) EXECABORT Transaction discarded because of previous errors.\n\
         OK\nQUEUED\nOK\nOK\nOK\nOK\nQUEUED\n(nil)\n\"5\"\n"
    );
}

#[test]
fn mass_insertion_and_a_scan() {
    const KEYS: usize = 10_000;
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    let mut requests = String::new();
    for number in 0..KEYS {
        let (key, value) = (format!("key:{number}"), format!("value of {number}"));
        requests.push_str(&format!(
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
            key.len(),
            value.len()
        ));
    }
    let printed = run(server.address(), &["--pipe"], &requests).output();
    assert!(printed.ends_with(&format!("errors: 0, replies: {KEYS}\n")), "{printed}");
    assert_eq!(run(server.address(), &["DBSIZE"], "").output(), format!("{KEYS}\n"));
    assert_eq!(run(server.address(), &["GET", "key:777"], "").output(), "value of 777\n");

    let printed = run(server.address(), &["--scan"], "").output();
    let mut keys: Vec<&str> = printed.lines().collect();
    assert_eq!(keys.len(), KEYS, "every key is printed once");
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), KEYS, "and none twice");

    let printed = run(server.address(), &["--scan", "--pattern", "key:99?"], "").output();
    let mut keys: Vec<&str> = printed.lines().collect();
    keys.sort_unstable();
    let expected: Vec<String> = (990..1000).map(|number| format!("key:{number}")).collect();
    assert_eq!(keys, expected);
    // Each error is counted, and the rest is done.
    let broken = "*2\r\n$4\r\nINCR\r\n$5\r\nkey:1\r\n*2\r\n$3\r\nDEL\r\n$5\r\nkey:2\r\n";
    let finished = run(server.address(), &["--pipe"], broken);
    assert!(finished.stdout.ends_with("errors: 1, replies: 2\n"), "{}", finished.stdout);
    assert_eq!(run(server.address(), &["EXISTS", "key:2"], "").output(), "0\n");
}

#[test]
fn a_subscriber_prints_what_is_published() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    let addr = server.address();
    let expect = |subscriber: &Background, lines: &[&str]| {
        for line in lines {
            assert_eq!(subscriber.line(), *line, "of {lines:?}");
        }
    };
    for protocol in ["-2", "-3"] {
        let words = [protocol, "--raw", "SUBSCRIBE", "news", "weather"];
        let subscriber = Background::start(cli(addr, &words));
        expect(&subscriber, &["subscribe", "news", "1", "subscribe", "weather", "2"]);
        assert_eq!(run(addr, &["PUBLISH", "weather", "so so"], "").output(), "1\n");
        expect(&subscriber, &["message", "weather", "so so"]);
        assert_eq!(subscriber.stop(), Vec::<String>::new());
    }
    let patterns = Background::start(cli(addr, &["--raw", "PSUBSCRIBE", "n*"]));
    expect(&patterns, &["psubscribe", "n*", "1"]);
    assert_eq!(run(addr, &["PUBLISH", "news", "a"], "").output(), "1\n");
    expect(&patterns, &["pmessage", "n*", "news", "a"]);
    assert_eq!(patterns.stop(), Vec::<String>::new());
}

#[test]
fn a_monitor_prints_what_is_run() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start_with(&["--requirepass", "sesame"]);
    let as_user = |words: &[&str]| {
        let mut command = cli(server.address(), words);
        command.env("REDISCLI_AUTH", "sesame");
        command
    };
    let monitor = Background::start(as_user(&["MONITOR"]));
    assert_eq!(monitor.line(), "OK");
    program::run(as_user(&["-n", "2", "SET", "a b", "x\"y"]), b"").output();
    // Some versions of redis-cli ask for COMMAND DOCS first; only SET counts.
    let mut line = monitor.line();
    while !line.contains("SET") {
        assert!(!line.contains("sesame"), "a password is shown: {line}");
        line = monitor.line();
    }
    let (time, rest) = line.split_once(' ').expect("time first");
    assert!(time.parse::<f64>().is_ok_and(|seconds| seconds > 1e9), "{line}");
    assert!(rest.starts_with("[2 127.0.0.1:"), "{line}");
    assert!(rest.ends_with("] \"SET\" \"a b\" \"x\\\"y\""), "{line}");
    monitor.stop();
}

#[test]
fn help_comes_from_the_server() {
    if !is_installed() {
        return;
    }
    for name in ["GET", "SET", "DECRIFPOS", "CONFIG GET", "MSETEX", "DELIFEQ"] {
        let printed = without_colours(&session(&[], &format!("HELP {name}\n")));
        let words = name.to_ascii_lowercase();
        let mut words = words.split(' ');
        let mut command = TABLE.find(words.next().expect("a word").as_bytes()).expect(name);
        if let Some(subcommand) = words.next() {
            command = TABLE.subcommand(command, subcommand.as_bytes()).expect(name);
        }
        let summary = format!("summary: {}", command.spec.summary.trim_end_matches('.'));
        assert!(printed.contains(&summary), "{summary:?} is not in {printed}");
        assert!(printed.trim_start().starts_with(name), "{printed}");
    }
    let printed = without_colours(&session(&[], "HELP DECRIFPOS\nHELP @string\n"));
    assert!(printed.trim_start().starts_with("DECRIFPOS key [decrement]\n"), "{printed}");
    for name in ["GETEX", "INCREX", "DIGEST"] {
        assert!(printed.contains(&format!("\n  {name} ")), "{name} is no string command");
    }
}

#[test]
fn a_password_and_a_database() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start_with(&["--requirepass", "sesame"]);
    let addr = server.address();
    let refused = run(addr, &["GET", "a"], "");
    assert_eq!(refused.stdout, "NOAUTH Authentication required.\n\n");
    for options in [
        &["--no-auth-warning", "-a", "sesame"][..],
        &["--no-auth-warning", "--user", "default", "--pass", "sesame"],
        &["--no-auth-warning", "-3", "-a", "sesame"],
    ] {
        let printed = run(addr, &[options, &["-n", "3", "SET", "a", "3"]].concat(), "").output();
        assert_eq!(printed, "OK\n", "{options:?}");
    }
    for credentials in ["sesame@", "default:sesame@"] {
        let uri = format!("redis://{credentials}{addr}/3");
        let mut command = Command::new("redis-cli");
        command.args(["--no-auth-warning", "-u", &uri, "GET", "a"]);
        assert_eq!(program::run(command, b"").output(), "3\n", "{uri}");
    }
    let wrong = run(addr, &["-a", "open", "GET", "a"], "");
    assert!(wrong.stderr.contains("Using a password"), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("WRONGPASS invalid username-password pair or user is disabled."),
        "{}",
        wrong.stderr
    );
    // Without a password there is nothing to log in to.
    let open = tollgate::start();
    let useless = run(open.address(), &["--no-auth-warning", "-a", "sesame", "PING"], "");
    assert!(useless.stderr.contains("without any password configured"), "{}", useless.stderr);
    assert_eq!(useless.stdout, "PONG\n");
}

#[test]
fn an_error_is_an_exit_status() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    let failed = run(server.address(), &["-e", "GET"], "");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(failed.stderr, "ERR wrong number of arguments for 'get' command\n");
    assert_eq!(run(server.address(), &["-x", "SET", "a"], "from stdin").output(), "OK\n");
    assert_eq!(run(server.address(), &["GET", "a"], "").output(), "from stdin\n");
    let printed = run(server.address(), &["-r", "3", "-i", "0.001", "INCR", "n"], "").output();
    assert_eq!(printed, "1\n2\n3\n");
}

/// Ends by itself after a second if nobody watches.
#[test]
fn latency() {
    if !is_installed() {
        return;
    }
    let printed = session(&["--raw", "--latency"], "");
    let figures: Vec<f64> =
        printed.split_whitespace().map(|word| word.parse().expect("figures")).collect();
    let [min, max, average, samples] = figures[..] else { panic!("{printed}") };
    assert!(min <= average && average <= max && samples > 0.0, "{printed}");
}

#[test]
fn big_keys() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    let addr = server.address();
    run(addr, &[], "MSET small x middle xxxxx number 1234567\nSETRANGE big 999999 x\n").output();
    let printed = run(addr, &["--bigkeys"], "").output();
    assert!(printed.contains("Sampled 4 keys in the keyspace!"), "{printed}");
    assert!(printed.contains("Biggest string found '\"big\"' has 1000000 bytes"), "{printed}");
    assert!(printed.contains("4 strings with 1000013 bytes (100.00% of keys"), "{printed}");

    let printed = run(addr, &["--memkeys"], "").output();
    assert!(printed.contains("Sampled 4 keys in the keyspace!"), "{printed}");
    let (_, rest) = printed.split_once("Biggest string found '\"big\"' has ").expect("the biggest");
    let bytes: u64 = rest.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    assert!((1_000_000..2_200_000).contains(&bytes), "{bytes}");
}

#[test]
fn statistics() {
    if !is_installed() {
        return;
    }
    let server = tollgate::start();
    run(server.address(), &["MSET", "a", "1", "b", "2"], "").output();
    let stat = Background::start(cli(server.address(), &["--stat", "-i", "0.01"]));
    let mut line = stat.line();
    while line.starts_with(['-', 'k']) {
        line = stat.line();
    }
    let columns: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(columns[0], "2", "keys: {line}");
    assert!(columns[1].ends_with(['K', 'M', 'B']), "memory: {line}");
    stat.stop();
}
