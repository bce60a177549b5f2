//! However a client's bytes are cut on their way, the replies are the same.

mod support;

use support::sim::{Sim, encode};
use tollgate::config::Config;

/// A session with most kinds of requests and replies: arrays and inline
/// requests, empty ones, errors of every stage, transactions, messages to
/// itself, a change of protocol, silence, and an end.
fn session() -> Vec<u8> {
    let mut bytes = Vec::new();
    let binary: Vec<u8> = (0..=255).collect();
    for line in [
        "GET missing",
        "AUTH wrong",
        "AUTH pw",
        "PING",
        "",
        "PING hello",
        "ECHO 'quoted \"text\"'",
        "SET a 1",
        "GET a",
        "INCRBY a 41",
        "APPEND a x",
        "INCR a",
        "SETRANGE a 5 tail",
        "STRLEN a",
        "SET b 2 EX 100 NX",
        "SET b 3 NX GET",
        "TTL b",
        "PTTL b",
        "EXPIRE b 5 GT",
        "PERSIST b",
        "MSET c 1 d 2",
        "MGET c d e",
        "MSETNX c 1 z 2",
        "GETRANGE a 0 -2",
        "GETDEL d",
        "GETEX c PX 10",
        "INCRBYFLOAT f 0.1",
        "DECRIFPOS c 5",
        "DIGEST a",
        "DELEX a IFEQ no",
        "TYPE a",
        "OBJECT ENCODING a",
        "EXISTS a b c",
        "COPY a g",
        "RENAME g h",
        "TOUCH a h",
        "KEYS a*",
        "DBSIZE",
        "SWAPDB 0 1",
        "SELECT 1",
        "SELECT 99",
        "MOVE h 0",
        "RANDOMKEY x",
        "NOSUCH a b",
        "GET",
        "CLIENT NOSUCH",
        "WATCH a",
        "MULTI",
        "INCR c",
        "GET a",
        "PUBLISH me hidden",
        "EXEC",
        "WATCH a",
        "SET a 2",
        "MULTI",
        "PING",
        "EXEC",
        "MULTI",
        "NOSUCH",
        "EXEC",
        "MULTI",
        "SET q 1",
        "DISCARD",
        "CLIENT SETNAME n",
        "CLIENT GETNAME",
        "CLIENT ID",
        "SUBSCRIBE me",
        "PING",
        "GET a",
        "UNSUBSCRIBE",
        "HELLO 3",
        "SUBSCRIBE me",
        "PSUBSCRIBE m?",
        "PUBLISH me hello",
        "MULTI",
        "PUBLISH me inner",
        "PING",
        "EXEC",
        "UNSUBSCRIBE me",
        "CLIENT REPLY SKIP",
        "PING",
        "PING",
        "CLIENT REPLY OFF",
        "PING",
        "PUBLISH me loud",
        "CLIENT REPLY ON",
        "WAIT 0 0",
        "ROLE",
        "TIME",
        "FLUSHALL",
        "RESET",
        "HELLO 2 AUTH default pw",
        "SHUTDOWN FOO",
        "UNLINK a b",
        "CLIENT PAUSE 0",
        "PING",
    ] {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend(encode(&[b"SET", b"bin", &binary]));
    bytes.extend(encode(&[b"GET", b"bin"]));
    bytes.extend(encode(&[b"SET", b"", b""]));
    bytes.extend(encode(&[b"GET", b""]));
    bytes.extend_from_slice(b"*0\r\n*-1\r\n\n\r\nPING\n*1\r\n$4\r\nping\r\n");
    bytes.extend(encode(&[b"ECHO", &[b'e'; 3_000]]));
    bytes.extend_from_slice(b"QUIT\r\nPING\r\n");
    bytes
}

/// What a client is answered when its bytes come in these pieces.
fn replay<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, share: usize) -> Vec<u8> {
    let mut config = Config::default();
    config.set("requirepass", "pw").expect("a valid option");
    config.set("turn-requests-max", &share.to_string()).expect("a valid option");
    let mut sim = Sim::with_config(config);
    sim.connect(1);
    for piece in pieces {
        if !sim.is_closed(1) {
            sim.send_raw(1, piece);
        }
    }
    assert!(sim.is_closed(1), "the session ends with QUIT, or with an error");
    sim.take_bytes(1)
}

fn assert_same(expected: &[u8], actual: &[u8], how: &str) {
    assert!(
        expected == actual,
        "cut {how}:\n--- whole\n{}\n--- cut\n{}",
        String::from_utf8_lossy(expected),
        String::from_utf8_lossy(actual)
    );
}

#[test]
fn one_cut_anywhere_changes_nothing() {
    let session = session();
    let whole = replay([&session[..]], 1_024);
    assert!(whole.len() > 5_000 && whole.ends_with(b"+OK\r\n"), "the session is answered");
    for at in 1..session.len() {
        let (head, tail) = session.split_at(at);
        assert_same(&whole, &replay([head, tail], 1_024), &format!("at {at}"));
    }
}

#[test]
fn single_bytes_and_random_pieces_change_nothing() {
    let session = session();
    let whole = replay([&session[..]], 1_024);
    assert_same(&whole, &replay(session.chunks(1), 1_024), "into bytes");
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let piece_max = 1 << rng.usize(1..=11);
        let mut pieces = Vec::new();
        let mut rest = &session[..];
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rng.usize(1..=piece_max).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        // A share of the turn that ends in the middle of everything is a cut too.
        let share = rng.usize(1..=8);
        let how = format!("with seed {seed}, pieces of up to {piece_max} bytes, share {share}");
        assert_same(&whole, &replay(pieces, share), &how);
    }
}

#[test]
fn broken_input_is_answered_the_same_however_it_is_cut() {
    for broken in [
        &b"PING\r\n*1\r\n#4\r\nPING\r\n"[..],
        b"PING\r\n*x\r\nPING\r\n",
        b"PING\r\n*2\r\n$4\r\nECHO\r\n$-5\r\n",
        b"PING\r\nECHO 'open\r\nPING\r\n",
        b"PING\r\n*99999999999\r\n",
    ] {
        let whole = replay([broken], 1_024);
        let text = String::from_utf8_lossy(&whole);
        assert!(text.contains("-ERR Protocol error: "), "{text}");
        for at in 1..broken.len() {
            let (head, tail) = broken.split_at(at);
            assert_same(&whole, &replay([head, tail], 1_024), &format!("at {at}"));
        }
    }
}
