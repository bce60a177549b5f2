//! The string commands of Redis 7.0, by transcript: it answered like this.

mod support;

use support::sim::{Sim, play};
use tollgate::config::Config;

#[test]
fn set_options_exclude_each_other_and_the_last_repeated_one_counts() {
    play(
        "set_options_exclude_each_other_and_the_last_repeated_one_counts",
        r#"
> SET k v EX
(error) ERR syntax error
> SET k v EX 0
(error) ERR invalid expire time in 'set' command
> SET k v PX -1
(error) ERR invalid expire time in 'set' command
> SET k v EX x
(error) ERR value is not an integer or out of range
> SET k v EX 9223372036854775807
(error) ERR invalid expire time in 'set' command
> SET k v PX 9223372036854775807
(error) ERR invalid expire time in 'set' command
> SET k v NX XX
(error) ERR syntax error
> SET k v EX 10 PX 20
(error) ERR syntax error
> SET k v KEEPTTL EX 1
(error) ERR syntax error
> SET k v EX 10 KEEPTTL
(error) ERR syntax error
> SET k v PERSIST
(error) ERR syntax error
> SET k v EX 10 foo
(error) ERR syntax error
> SET k v GET EX 0
(error) ERR invalid expire time in 'set' command
> EXISTS k
(integer) 0
> SET k
(error) ERR wrong number of arguments for 'set' command
> SET k v NX NX
OK
> SET k w XX XX GET GET
"v"
> SET k v EX 10 EX 20
OK
> TTL k
(integer) 20
> SET k w KEEPTTL KEEPTTL
OK
> TTL k
(integer) 20
> SET k w
OK
> TTL k
(integer) -1
"#,
    );
}

#[test]
fn set_answers_the_old_value_with_get_and_keeps_nx_and_xx() {
    play(
        "set_answers_the_old_value_with_get_and_keeps_nx_and_xx",
        r#"
> SET k 1 XX
(nil)
> SET k 1 XX GET
(nil)
> SET k 1 NX GET
(nil)
> SET k 2 NX GET
"1"
> SET k 2 NX
(nil)
> SET k 2 XX GET
"1"
> SET k 3 XX
OK
> GET k
"3"
> SET k 4 nx get ex 10
"3"
> TTL k
(integer) -1
> SET k 4 EXAT 1
OK
> EXISTS k
(integer) 0
> SET k 4 pxat 1
OK
> GET k
(nil)
"#,
    );
}

#[test]
fn setnx_setex_and_psetex_store_or_say_why_not() {
    play(
        "setnx_setex_and_psetex_store_or_say_why_not",
        r#"
> SETNX k 1
(integer) 1
> SETNX k 2
(integer) 0
> GET k
"1"
> SETNX k
(error) ERR wrong number of arguments for 'setnx' command
> SETEX k 10 v
OK
> TTL k
(integer) 10
> PSETEX k 10000 w
OK
> TTL k
(integer) 10
> GET k
"w"
> SETEX k 0 v
(error) ERR invalid expire time in 'setex' command
> SETEX k -1 v
(error) ERR invalid expire time in 'setex' command
> SETEX k x v
(error) ERR value is not an integer or out of range
> PSETEX k 0 v
(error) ERR invalid expire time in 'psetex' command
> PSETEX k 9223372036854775807 v
(error) ERR invalid expire time in 'psetex' command
> SETEX k 9223372036854775807 v
(error) ERR invalid expire time in 'setex' command
> SETEX k 10
(error) ERR wrong number of arguments for 'setex' command
> SETEX k 1 v x
(error) ERR wrong number of arguments for 'setex' command
> PSETEX k 1 v x
(error) ERR wrong number of arguments for 'psetex' command
> GET k
"w"
"#,
    );
}

#[test]
fn getset_and_getdel_hand_out_the_old_value() {
    play(
        "getset_and_getdel_hand_out_the_old_value",
        r#"
> SET k v EX 100
OK
> GETSET k w
"v"
> TTL k
(integer) -1
> GETSET n 1
(nil)
> OBJECT ENCODING n
"int"
> GETDEL k
"w"
> GETDEL k
(nil)
> GETDEL
(error) ERR wrong number of arguments for 'getdel' command
> EXISTS k
(integer) 0
"#,
    );
}

#[test]
fn getex_changes_the_time_to_live_only() {
    play(
        "getex_changes_the_time_to_live_only",
        r#"
> GETEX k EX 0
(nil)
> SET k v
OK
> GETEX k
"v"
> GETEX k EX 0
(error) ERR invalid expire time in 'getex' command
> GETEX k EX x
(error) ERR value is not an integer or out of range
> GETEX k EX
(error) ERR syntax error
> GETEX k EX 10 PERSIST
(error) ERR syntax error
> GETEX k PERSIST EX 10
(error) ERR syntax error
> GETEX k EX 10 PX 10
(error) ERR syntax error
> GETEX k KEEPTTL
(error) ERR syntax error
> GETEX k NX
(error) ERR syntax error
> TTL k
(integer) -1
> GETEX k EX 10 EX 100
"v"
> TTL k
(integer) 100
> GETEX k
"v"
> TTL k
(integer) 100
> GETEX k PERSIST PERSIST
"v"
> TTL k
(integer) -1
> GETEX k PX 100000
"v"
> TTL k
(integer) 100
> GETEX k EXAT 4102444800
"v"
> EXPIRETIME k
(integer) 4102444800
> GETEX k PXAT 4102444800123
"v"
> PEXPIRETIME k
(integer) 4102444800123
> GETEX k EXAT 1
"v"
> EXISTS k
(integer) 0
"#,
    );
}

#[test]
fn several_strings_are_stored_and_read_in_one_step() {
    play(
        "several_strings_are_stored_and_read_in_one_step",
        r#"
> MSET a
(error) ERR wrong number of arguments for 'mset' command
> MSET a 1 b
(error) ERR wrong number of arguments for 'mset' command
> MSETNX a 1 b
(error) ERR wrong number of arguments for 'msetnx' command
> MSET a 1 b 2 a 3
OK
> MGET a b nothing a
1) "3"
2) "2"
3) (nil)
4) "3"
> MGET
(error) ERR wrong number of arguments for 'mget' command
> MSETNX b 9 c 1
(integer) 0
> EXISTS c
(integer) 0
> MSETNX c 1 c 2 d 4
(integer) 1
> MGET c d
1) "2"
2) "4"
> SET e 1 EX 100
OK
> MSET e 2
OK
> TTL e
(integer) -1
"#,
    );
}

#[test]
fn append_makes_a_raw_string_unless_the_key_is_new() {
    play(
        "append_makes_a_raw_string_unless_the_key_is_new",
        r#"
> APPEND n 12
(integer) 2
> OBJECT ENCODING n
"int"
> APPEND n 3
(integer) 3
> OBJECT ENCODING n
"raw"
> INCR n
(integer) 124
> OBJECT ENCODING n
"int"
> SET k abc EX 100
OK
> APPEND k ""
(integer) 3
> OBJECT ENCODING k
"raw"
> APPEND k def
(integer) 6
> TTL k
(integer) 100
> GET k
"abcdef"
> STRLEN k
(integer) 6
> STRLEN nothing
(integer) 0
> APPEND e ""
(integer) 0
> EXISTS e
(integer) 1
> STRLEN e
(integer) 0
"#,
    );
}

#[test]
fn setrange_fills_gaps_with_zeros_and_stays_within_the_limit() {
    play(
        "setrange_fills_gaps_with_zeros_and_stays_within_the_limit",
        r#"
> SETRANGE k -1 x
(error) ERR offset is out of range
> SETRANGE k 536870912 x
(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
> SETRANGE k 9223372036854775807 x
(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
> SETRANGE k x x
(error) ERR value is not an integer or out of range
> SETRANGE k 0 ""
(integer) 0
> EXISTS k
(integer) 0
> SETRANGE k 3 abc
(integer) 6
> GET k
"\x00\x00\x00abc"
> OBJECT ENCODING k
"raw"
> SETRANGE k 0 xyz
(integer) 6
> GET k
"xyzabc"
> SET m 12
OK
> SETRANGE m 5 ""
(integer) 2
> SETRANGE m 536870912 ""
(integer) 2
> OBJECT ENCODING m
"int"
> SETRANGE m 1 3
(integer) 2
> GET m
"13"
> OBJECT ENCODING m
"raw"
> INCR m
(integer) 14
> SET t hello EX 100
OK
> SETRANGE t 4 y
(integer) 5
> TTL t
(integer) 100
"#,
    );
}

#[test]
fn getrange_takes_any_positions() {
    play(
        "getrange_takes_any_positions",
        r#"
> SET k "hello world"
OK
> GETRANGE k 0 -1
"hello world"
> GETRANGE k -5 -1
"world"
> GETRANGE k 3 5
"lo "
> GETRANGE k 5 3
""
> GETRANGE k -1 -5
""
> GETRANGE k -100 100
"hello world"
> GETRANGE k 0 -100
"h"
> GETRANGE k 20 30
""
> GETRANGE k x 1
(error) ERR value is not an integer or out of range
> GETRANGE k 0 x
(error) ERR value is not an integer or out of range
> GETRANGE nothing 0 -1
""
> GETRANGE k 0
(error) ERR wrong number of arguments for 'getrange' command
> SET n -12345
OK
> GETRANGE n 0 1
"-1"
> SUBSTR n -3 -1
"345"
> SUBSTR nothing 0 1
""
> SUBSTR n
(error) ERR wrong number of arguments for 'substr' command
"#,
    );
}

#[test]
fn counters_stay_within_64_bits() {
    play(
        "counters_stay_within_64_bits",
        r#"
> INCR n
(integer) 1
> INCRBY n 10
(integer) 11
> DECR n
(integer) 10
> DECRBY n 5
(integer) 5
> DECRBY n -1
(integer) 6
> INCRBY n x
(error) ERR value is not an integer or out of range
> INCRBY n 1.5
(error) ERR value is not an integer or out of range
> DECRBY n x
(error) ERR value is not an integer or out of range
> DECRBY n -9223372036854775808
(error) ERR decrement would overflow
> INCRBY n 9223372036854775807
(error) ERR increment or decrement would overflow
> GET n
"6"
> SET n 9223372036854775807
OK
> INCR n
(error) ERR increment or decrement would overflow
> DECRBY n 9223372036854775807
(integer) 0
> DECRBY n 9223372036854775807
(integer) -9223372036854775807
> DECR n
(integer) -9223372036854775808
> DECR n
(error) ERR increment or decrement would overflow
> SET n " 1"
OK
> INCR n
(error) ERR value is not an integer or out of range
> SET n 01
OK
> INCR n
(error) ERR value is not an integer or out of range
> SET n ""
OK
> INCR n
(error) ERR value is not an integer or out of range
> SET n abc
OK
> INCRBY n 1
(error) ERR value is not an integer or out of range
> INCRBY n x
(error) ERR value is not an integer or out of range
> SET n 5 EX 100
OK
> INCR n
(integer) 6
> TTL n
(integer) 100
> OBJECT ENCODING n
"int"
"#,
    );
}

#[test]
fn numbers_are_kept_as_numbers_only_in_their_canonical_form() {
    play(
        "numbers_are_kept_as_numbers_only_in_their_canonical_form",
        r#"
> SET a 9223372036854775807
OK
> OBJECT ENCODING a
"int"
> SET a 9223372036854775808
OK
> OBJECT ENCODING a
"embstr"
> SET a -9223372036854775808
OK
> OBJECT ENCODING a
"int"
> SET a +1
OK
> OBJECT ENCODING a
"embstr"
> SET a -0
OK
> OBJECT ENCODING a
"embstr"
> SET a 007
OK
> GET a
"007"
> SET a 00000000000000000000000000000000000000000001
OK
> OBJECT ENCODING a
"embstr"
> SET a 000000000000000000000000000000000000000000001
OK
> OBJECT ENCODING a
"raw"
"#,
    );
}

#[test]
fn floats_are_added_as_redis_adds_them() {
    play(
        "floats_are_added_as_redis_adds_them",
        r#"
> INCRBYFLOAT f x
(error) ERR value is not a valid float
> INCRBYFLOAT f 3
"3"
> OBJECT ENCODING f
"embstr"
> INCRBYFLOAT f 0.1
"3.1"
> INCRBYFLOAT f -3.1
"0"
> INCR f
(integer) 1
> OBJECT ENCODING f
"int"
> INCRBYFLOAT f 1e20
"100000000000000000000"
> INCRBYFLOAT f inf
(error) ERR increment would produce NaN or Infinity
> INCRBYFLOAT f -inf
(error) ERR increment would produce NaN or Infinity
> INCRBYFLOAT f nan
(error) ERR value is not a valid float
> INCRBYFLOAT f ""
(error) ERR value is not a valid float
> INCRBYFLOAT f " 1"
(error) ERR value is not a valid float
> SET f inf
OK
> INCRBYFLOAT f 1
(error) ERR increment would produce NaN or Infinity
> INCRBYFLOAT f -inf
(error) ERR increment would produce NaN or Infinity
> SET f abc
OK
> INCRBYFLOAT f 1
(error) ERR value is not a valid float
> SET f 5.0e3 EX 100
OK
> INCRBYFLOAT f 2.0e2
"5200"
> TTL f
(integer) 100
> INCRBYFLOAT f 0x10
"5216"
"#,
    );
}

#[test]
fn a_string_ends_in_its_millisecond() {
    play(
        "a_string_ends_in_its_millisecond",
        r#"
> SET k v PX 1000
OK
> SET n 5 PX 1000
OK
> MSETEX 2 a 1 b 2 EX 1
(integer) 1
(999 ms later)
> GET k
"v"
> INCR n
(integer) 6
> PTTL n
(integer) 1
(1 ms later)
> GET k
(nil)
> INCR n
(integer) 1
> TTL n
(integer) -1
> DECRIFPOS a
(integer) -2
> SETNX b 3
(integer) 1
> SET k v PX 1000
OK
> SET k w KEEPTTL
OK
> APPEND k x
(integer) 2
> SETRANGE k 0 v
(integer) 2
> PTTL k
(integer) 1000
> SET k v
OK
(1000 ms later)
> GET k
"v"
"#,
    );
}

#[test]
fn a_string_stays_below_the_limit() {
    let config = Config { proto_max_bulk_len: 1 << 20, ..Config::default() };
    let mut sim = Sim::with_config(config);
    sim.transcript(
        "a_string_stays_below_the_limit",
        r#"
> SETRANGE k 1048575 x
(integer) 1048576
> STRLEN k
(integer) 1048576
> APPEND k x
(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
> APPEND k ""
(integer) 1048576
> SETRANGE k 1048576 x
(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
> SETRANGE k 1048570 abcdefg
(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
> SETRANGE k 1048570 abcdef
(integer) 1048576
> GETRANGE k -7 -1
"\x00abcdef"
> SETRANGE other 1048576 x
(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
> EXISTS other
(integer) 0
"#,
    );
}

#[test]
fn values_of_every_length_come_back_as_they_were() {
    let mut sim = Sim::new();
    for len in [0, 1, 19, 20, 21, 44, 45, 1023, 1024, 1025, 5000, 100_000] {
        let value: Vec<u8> = (0..len).map(|at| (at * 7 % 256) as u8).collect();
        sim.send(1, &[b"SET", b"k", &value]);
        sim.send(1, &[b"GET", b"k"]);
        sim.send(1, &[b"SET", b"k", b"x", b"IFEQ", &value]);
        sim.send(1, &[b"APPEND", b"k", &value]);
        sim.send(1, &[b"GETDEL", b"k"]);
        sim.take_reply(1);
        assert_eq!(sim.take_reply(1).expect("a reply").text(), Some(&value[..]));
        assert_eq!(sim.take_reply(1).expect("a reply").text(), Some(&b"OK"[..]));
        sim.take_reply(1);
        assert_eq!(
            sim.take_reply(1).expect("a reply").text(),
            Some(&[b"x", &value[..]].concat()[..])
        );
    }
}
