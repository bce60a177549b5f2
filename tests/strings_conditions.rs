//! What newer versions of Redis and Valkey, and tollgate itself, have added to
//! storing and removing strings: comparisons, MSETEX, JITTER.

mod support;

use support::sim::{Sim, play};

#[test]
fn set_compares_values() {
    play(
        "set_compares_values",
        r#"
> SET k v IFEQ v
(nil)
> EXISTS k
(integer) 0
> SET k v IFEQ v GET
(nil)
> EXISTS k
(integer) 0
> SET k hello IFNE hello
OK
> SET k world IFNE hello
(nil)
> SET k world IFEQ other
(nil)
> SET k world IFEQ other GET
"hello"
> GET k
"hello"
> SET k world ifeq hello GET
"hello"
> GET k
"world"
> SET k 12345
OK
> SET k 1 IFEQ 012345
(nil)
> SET k 1 IFEQ 12345 EX 10
OK
> TTL k
(integer) 10
> SET k 2 IFEQ 1 KEEPTTL
OK
> TTL k
(integer) 10
> SET k "" IFNE "1"
OK
> SET k v IFNE ""
(nil)
> SET k v IFEQ ""
OK
> SET k w IFEQ a IFEQ v
OK
> SET k v IFEQ
(error) ERR syntax error
> SET k v IFEQ w NX
(error) ERR syntax error
> SET k v XX IFEQ w
(error) ERR syntax error
> SET k v IFEQ w IFNE w
(error) ERR syntax error
> SET k v IFDEQ 0123456789abcdef IFDNE 0123456789abcdef
(error) ERR syntax error
> GET k
"w"
"#,
    );
}

#[test]
fn set_compares_digests() {
    play(
        "set_compares_digests",
        r#"
> SET k v IFDEQ 1234
(nil)
> SET k hello IFDNE 1234
OK
> DIGEST k
"9555e8555c62dcfd"
> SET k v IFDEQ 9555e8555c62dcf
(error) ERR must be exactly 16 hexadecimal characters
> SET k v IFDNE 09555e8555c62dcfd
(error) ERR must be exactly 16 hexadecimal characters
> SET k v IFDEQ ""
(error) ERR must be exactly 16 hexadecimal characters
> SET k v GET IFDEQ ""
(error) ERR must be exactly 16 hexadecimal characters
> SET k v IFDNE 9555E8555C62DCFD
(nil)
> SET k v IFDEQ 9555e8555c62dcfe
(nil)
> SET k v IFDEQ 9555e8555c62dcfe GET
"hello"
> SET k v IFDEQ 9555E8555C62DCFD GET EX 10
"hello"
> TTL k
(integer) 10
> SET zeros v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd
OK
> DIGEST zeros
"00006c38adf31777"
> SET zeros 1 IFDEQ 00006c38adf31777
OK
> SET other "1"
OK
> APPEND other ""
(integer) 1
> OBJECT ENCODING zeros
"int"
> OBJECT ENCODING other
"raw"
> DIGEST zeros
"65cd25028f98f158"
> DIGEST other
"65cd25028f98f158"
> DIGEST nothing
(nil)
> DIGEST
(error) ERR wrong number of arguments for 'digest' command
"#,
    );
}

#[test]
fn jitter_shortens_and_never_lengthens() {
    let mut sim = Sim::new();
    let mut left = Vec::new();
    for request in [
        "SET k v PX 100000 JITTER 50",
        "SET k v JITTER 50 EX 100",
        "SET k v PXAT 1893456100000 JITTER 50",
        "SET k v EXAT 1893456100 JITTER 10 JITTER 50",
        "SETEX k 100 v JITTER 50",
        "PSETEX k 100000 v jitter 50",
        "MSETEX 1 k v PX 100000 JITTER 50",
        "GETEX k PX 100000 JITTER 50",
    ] {
        for _ in 0..50 {
            let reply = sim.cli(1, request);
            assert!(["OK", "(integer) 1", "\"v\""].contains(&reply.as_str()), "{request}: {reply}");
            let pttl = sim.cli(1, "PTTL k");
            let pttl: u64 = pttl.strip_prefix("(integer) ").expect("an integer").parse().unwrap();
            assert!((50_000..=100_000).contains(&pttl), "{request}: {pttl}");
            left.push(pttl);
        }
        sim.cli(1, "SET k v");
        sim.cli(1, "DEL n");
        sim.cli(1, "INCREX n PX 100000 JITTER 50");
        let pttl = sim.cli(1, "PTTL n");
        let pttl: u64 = pttl.strip_prefix("(integer) ").expect("an integer").parse().unwrap();
        assert!((50_000..=100_000).contains(&pttl), "INCREX: {pttl}");
    }
    left.sort_unstable();
    left.dedup();
    assert!(left.len() > 350, "only {} different times in 400", left.len());
}

#[test]
fn keys_of_one_msetex_do_not_expire_together() {
    let mut sim = Sim::new();
    sim.cli(1, "MSETEX 3 a 1 b 2 c 3 PX 1000000 JITTER 90");
    let left: Vec<String> = ["a", "b", "c"].map(|key| sim.cli(1, &format!("PTTL {key}"))).into();
    assert!(left[0] != left[1] && left[1] != left[2], "{left:?}");
}

#[test]
fn jitter_is_a_percentage_of_a_time() {
    play(
        "jitter_is_a_percentage_of_a_time",
        r#"
> SET k v JITTER 10
(error) ERR JITTER requires EX, PX, EXAT or PXAT
> SET k v KEEPTTL JITTER 10
(error) ERR JITTER requires EX, PX, EXAT or PXAT
> SET k v EX 10 JITTER
(error) ERR syntax error
> SET k v EX 10 JITTER 101
(error) ERR JITTER must be a percentage between 0 and 100
> SET k v EX 10 JITTER -1
(error) ERR JITTER must be a percentage between 0 and 100
> SET k v EX 10 JITTER x
(error) ERR value is not an integer or out of range
> EXISTS k
(integer) 0
> SET k v PX 10000 JITTER 0
OK
> PTTL k
(integer) 10000
> SET k v PX 1 JITTER 100
OK
> PTTL k
(integer) 1
> SET k v PXAT 1 JITTER 100
OK
> EXISTS k
(integer) 0
> SETEX k 10 v JITTER
(error) ERR wrong number of arguments for 'setex' command
> SETEX k 10 v OTHER 10
(error) ERR wrong number of arguments for 'setex' command
> PSETEX k 10 v JITTER 10 more
(error) ERR wrong number of arguments for 'psetex' command
> SETEX k 10 v JITTER 200
(error) ERR JITTER must be a percentage between 0 and 100
> SETEX k 0 v JITTER 10
(error) ERR invalid expire time in 'setex' command
> GETEX nothing PERSIST JITTER 10
(nil)
> SET k v
OK
> GETEX k PERSIST JITTER 10
(error) ERR JITTER requires EX, PX, EXAT or PXAT
> GETEX k JITTER 10
(error) ERR JITTER requires EX, PX, EXAT or PXAT
> MSETEX 1 k v JITTER 10
(error) ERR JITTER requires EX, PX, EXAT or PXAT
> INCREX n JITTER 10
(error) ERR JITTER requires EX, PX, EXAT or PXAT
> INCREX n EX 10 JITTER 10 JITTER 10
(error) ERR syntax error
"#,
    );
}

#[test]
fn msetex_stores_all_or_none() {
    play(
        "msetex_stores_all_or_none",
        r#"
> MSETEX 2 a 1 b 2
(integer) 1
> TTL a
(integer) -1
> MSETEX 2 b 3 c 4 NX
(integer) 0
> MSETEX 2 b 3 c 4 XX
(integer) 0
> EXISTS c
(integer) 0
> MSETEX 2 a 5 b 6 XX EX 10
(integer) 1
> MGET a b
1) "5"
2) "6"
> MSETEX 2 a 7 c 8 KEEPTTL
(integer) 1
> TTL a
(integer) 10
> TTL c
(integer) -1
> MSETEX 1 a 9
(integer) 1
> TTL a
(integer) -1
> MSETEX 2 x 1 x 2 NX PX 5000
(integer) 1
> GET x
"2"
> MSETEX 1 x 1 PXAT 4102444800123
(integer) 1
> PEXPIRETIME x
(integer) 4102444800123
> MSETEX 1 x 1 EXAT 4102444800 NX
(integer) 0
> MSETEX 1 EX 1 EX 10
(integer) 1
> TTL EX
(integer) 10
> MSETEX 1 a
(error) ERR wrong number of arguments for 'msetex' command
> MSETEX a 1 b
(error) ERR invalid numkeys value
> MSETEX 0 a 1
(error) ERR invalid numkeys value
> MSETEX -1 a 1
(error) ERR invalid numkeys value
> MSETEX 2147483648 a 1
(error) ERR invalid numkeys value
> MSETEX 9223372036854775808 a 1
(error) ERR invalid numkeys value
> MSETEX 2147483647 a 1
(error) ERR wrong number of key-value pairs
> MSETEX 2 a 1 b
(error) ERR wrong number of key-value pairs
> MSETEX 1 a 1 b 2
(error) ERR syntax error
> MSETEX 1 a 1 NX XX
(error) ERR syntax error
> MSETEX 1 a 1 EX 10 PX 10
(error) ERR syntax error
> MSETEX 1 a 1 EX 10 KEEPTTL
(error) ERR syntax error
> MSETEX 1 a 1 EX
(error) ERR syntax error
> MSETEX 1 a 1 GET
(error) ERR syntax error
> MSETEX 1 a 1 IFEQ 1
(error) ERR syntax error
> MSETEX 1 a 1 EX 0
(error) ERR invalid expire time in 'msetex' command
> GET a
"9"
"#,
    );
}

#[test]
fn a_key_is_removed_if_it_compares() {
    play(
        "a_key_is_removed_if_it_compares",
        r#"
> DELEX k
(integer) 0
> SET k hello
OK
> DELEX k
(integer) 1
> DELEX k IFNE hello
(integer) 0
> DELEX k IFDEQ 12
(integer) 0
> SET k hello
OK
> DELEX k IFEQ other
(integer) 0
> DELEX k IFNE hello
(integer) 0
> DELEX k IFDEQ 0000000000000000
(integer) 0
> DELEX k IFDNE 9555E8555C62DCFD
(integer) 0
> DELEX k IFDEQ 12
(error) ERR must be exactly 16 hexadecimal characters
> DELEX k IFDNE 12
(error) ERR must be exactly 16 hexadecimal characters
> DELEX k NX hello
(error) ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
> DELEX k IFEQ
(error) ERR wrong number of arguments for 'delex' command
> DELEX k IFEQ hello IFEQ
(error) ERR wrong number of arguments for 'delex' command
> EXISTS k
(integer) 1
> DELEX k ifdeq 9555e8555c62dcfd
(integer) 1
> SET k 12
OK
> DELEX k IFDNE 9555e8555c62dcfd
(integer) 1
> SET k 12
OK
> DELEX k IFNE 13
(integer) 1
> SET k 12
OK
> DELIFEQ k 13
(integer) 0
> DELIFEQ k 12
(integer) 1
> DELIFEQ k 12
(integer) 0
> DELIFEQ k
(error) ERR wrong number of arguments for 'delifeq' command
"#,
    );
}
