//! Requests that are broken in a small way, against redis-server: what comes back is
//! equal byte for byte, and so is whether the connection is closed.
//!
//! The random commands of `oracle.rs` are all well formed; here bytes of them are
//! changed, removed, added and repeated. `TOLLGATE_SEED` chooses other ones.

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use fastrand::Rng;
use support::process::ServerProcess;
use support::program::PATIENCE;
use support::target::{Target as _, encode};
use support::{redis_server, tollgate};

/// Words whose replies are no server's own. Not CLIENT REPLY SKIP: an empty line, which is
/// easily made, is a departure behind it.
const REQUESTS: &[&str] = &[
    "SET k v",
    "SET k v EX 100",
    "GET k",
    "INCR n",
    "DEL k n",
    "MGET k n",
    "PING",
    "ECHO word",
    "EXISTS k",
    "APPEND k xyz",
    "GETRANGE k 0 -1",
    "SETRANGE k 3 ab",
    "STRLEN k",
    "SELECT 1",
    "WATCH k",
    "RESET",
    "SUBSCRIBE a",
    "UNSUBSCRIBE",
    "CLIENT SETNAME x",
    "CLIENT GETNAME",
    "QUIT",
];

/// Some sessions have one of these; both together would be another departure.
const MODES: [&[&str]; 2] = [&["MULTI", "EXEC"], &["CLIENT REPLY OFF", "CLIENT REPLY ON"]];

const INLINE: &[&str] =
    &["PING\r\n", "SET k \"a\\x41 b\"\r\n", "GET k\n", "\r\n", "ECHO 'x'\r\n", "  INCR  n \r\n"];

/// What the framing is made of, and some that it is not. (What becomes of a zero byte is
/// a departure.)
const BYTES: &[u8] = b"*$0123456789\r\n-+: \"'a\xff";

/// The longest piece that is repeated.
const REPEATED_MAX: usize = 12;

fn session(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mode = MODES[rng.usize(..MODES.len())];
    for _ in 0..rng.usize(1..=6) {
        let requests = match rng.u8(..10) {
            0..2 => {
                bytes.extend_from_slice(rng.choice(INLINE).expect("there are some").as_bytes());
                continue;
            }
            2..4 => mode,
            _ => REQUESTS,
        };
        let request = rng.choice(requests).expect("there are some");
        bytes.extend(encode(&request.split(' ').collect::<Vec<_>>()));
    }
    for _ in 0..rng.usize(0..=3) {
        mutate(&mut bytes, rng);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.usize(..bytes.len());
    let byte = *rng.choice(BYTES).expect("there are some");
    match rng.u8(..5) {
        0 => bytes[at] = byte,
        1 => _ = bytes.remove(at),
        2 => bytes.insert(at, byte),
        3 => bytes.truncate(at),
        _ => {
            let from = rng.usize(..bytes.len());
            let to = bytes.len().min(from + rng.usize(1..=REPEATED_MAX));
            let repeated = bytes[from..to].to_vec();
            bytes.splice(at..at, repeated);
        }
    }
}

/// All that a server sends to a client that sends this and no more.
fn answers(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(server).expect("the server listens");
    client.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    client.write_all(bytes).expect("the server takes input");
    // The server may have closed it already.
    let _ = client.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    match client.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{}: {error}", bytes.escape_ascii()),
    }
    answers
}

#[test]
fn broken_requests_are_answered_as_by_redis() {
    let Some(redis) = redis_server::start() else { return };
    let tollgate = tollgate::start();
    let count = if std::env::var_os("CI").is_some() { 10_000 } else { 3_000 };
    let first = std::env::var("TOLLGATE_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let mut flushing = [&redis, &tollgate].map(ServerProcess::connect);
    let (mut alive, mut refused) = (0, 0);
    for seed in first..first + count {
        let bytes = session(&mut Rng::with_seed(seed));
        let [redis, tollgate] = [&redis, &tollgate]
            .map(|server| answers(server.address(), &bytes).escape_ascii().to_string());
        for connection in &mut flushing {
            connection.send(&encode(&["FLUSHALL"])).expect("the server reads");
            assert_eq!(connection.reply().expect("the server replies"), b"+OK\r\n");
        }
        assert_eq!(redis, tollgate, "TOLLGATE_SEED={seed}, {}", bytes.escape_ascii());
        let is_refused = redis.contains("Protocol error");
        refused += usize::from(is_refused);
        alive += usize::from(!is_refused && !redis.is_empty());
    }
    // Most are answered, and enough break the protocol.
    assert!(alive > 1_000 && refused > 300, "{alive} {refused}");
}
