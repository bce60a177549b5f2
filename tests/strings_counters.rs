//! Counters within bounds: DECRIFPOS and INCREX.

mod support;

use support::sim::{Sim, play};

#[test]
fn decrifpos_never_goes_below_zero() {
    play(
        "decrifpos_never_goes_below_zero",
        r#"
> DECRIFPOS stock
(integer) -2
> EXISTS stock
(integer) 0
> SET stock 5 EX 100
OK
> DECRIFPOS stock
(integer) 4
> DECRIFPOS stock 4
(integer) 0
> DECRIFPOS stock
(integer) -1
> DECRIFPOS stock 9223372036854775807
(integer) -1
> GET stock
"0"
> TTL stock
(integer) 100
> OBJECT ENCODING stock
"int"
> SET stock 9223372036854775807
OK
> DECRIFPOS stock 9223372036854775807
(integer) 0
> SET stock -9223372036854775808
OK
> DECRIFPOS stock 9223372036854775807
(integer) -1
> GET stock
"-9223372036854775808"
> SET stock -1
OK
> DECRIFPOS stock
(integer) -1
> DECRIFPOS stock 0
(error) ERR decrement must be an integer between 1 and 9223372036854775807
> DECRIFPOS stock -1
(error) ERR decrement must be an integer between 1 and 9223372036854775807
> DECRIFPOS stock 9223372036854775808
(error) ERR decrement must be an integer between 1 and 9223372036854775807
> DECRIFPOS stock 1.5
(error) ERR decrement must be an integer between 1 and 9223372036854775807
> DECRIFPOS stock x
(error) ERR decrement must be an integer between 1 and 9223372036854775807
> DECRIFPOS nothing 0
(error) ERR decrement must be an integer between 1 and 9223372036854775807
> DECRIFPOS stock 1 1
(error) ERR wrong number of arguments for 'decrifpos' command
> DECRIFPOS
(error) ERR wrong number of arguments for 'decrifpos' command
> SET stock many
OK
> DECRIFPOS stock
(error) ERR value is not an integer or out of range
> SET stock 1
OK
> SETRANGE stock 1 0
(integer) 2
> DECRIFPOS stock 3
(integer) 7
"#,
    );
}

#[test]
fn increx_counts_integers_within_bounds() {
    play(
        "increx_counts_integers_within_bounds",
        r#"
> INCREX k
1) (integer) 1
2) (integer) 1
> INCREX k BYINT 99
1) (integer) 100
2) (integer) 99
> INCREX k BYINT 0
1) (integer) 100
2) (integer) 0
> OBJECT ENCODING k
"int"
> INCREX k BYINT 100 UBOUND 180
1) (integer) 100
2) (integer) 0
> INCREX k BYINT 100 UBOUND 180 SATURATE
1) (integer) 180
2) (integer) 80
> INCREX k BYINT -100 LBOUND 100
1) (integer) 180
2) (integer) 0
> INCREX k BYINT -100 LBOUND 100 SATURATE
1) (integer) 100
2) (integer) -80
> INCREX k LBOUND 0 BYINT 50 UBOUND 150
1) (integer) 150
2) (integer) 50
> INCREX k BYINT 5 UBOUND 30
1) (integer) 150
2) (integer) 0
> INCREX k BYINT -130 UBOUND 30
1) (integer) 20
2) (integer) -130
> INCREX k BYINT 5 UBOUND 3 SATURATE
1) (integer) 3
2) (integer) -17
> SET k 9223372036854775800
OK
> INCREX k BYINT 9223372036854775800
1) (integer) 9223372036854775800
2) (integer) 0
> INCREX k BYINT 9223372036854775800 SATURATE
1) (integer) 9223372036854775807
2) (integer) 7
> INCREX k BYINT 1 SATURATE UBOUND -9223372036854775808
(error) ERR applied increment would overflow
> INCREX k BYINT -9223372036854775808 SATURATE UBOUND -1
1) (integer) -1
2) (integer) -9223372036854775808
> SET k -9223372036854775800
OK
> INCREX k BYINT -9223372036854775800
1) (integer) -9223372036854775800
2) (integer) 0
> INCREX k BYINT -9223372036854775800 SATURATE
1) (integer) -9223372036854775808
2) (integer) -8
> DEL k
(integer) 1
> INCREX k BYINT 15 UBOUND 10
1) (integer) 0
2) (integer) 0
> INCREX k BYINT 5 LBOUND 10
1) (integer) 0
2) (integer) 0
> EXISTS k
(integer) 0
> INCREX k BYINT 5 LBOUND 10 SATURATE
1) (integer) 10
2) (integer) 10
> SET k 1.5
OK
> INCREX k
(error) ERR value is not an integer or out of range
"#,
    );
}

#[test]
fn increx_counts_floats_within_bounds() {
    play(
        "increx_counts_floats_within_bounds",
        r#"
> INCREX k BYFLOAT 0.1
1) "0.1"
2) "0.1"
> INCREX k BYFLOAT 1
1) "1.1"
2) "1"
> SET k 10
OK
> INCREX k BYFLOAT 100 UBOUND 42.5
1) "10"
2) "0"
> INCREX k BYFLOAT 100 UBOUND 42.5 SATURATE
1) "42.5"
2) "32.5"
> INCREX k BYFLOAT -100 LBOUND -5.5
1) "42.5"
2) "0"
> INCREX k BYFLOAT -100 LBOUND -5.5 SATURATE
1) "-5.5"
2) "-48"
> INCREX k BYFLOAT 5.5 UBOUND -10 SATURATE
1) "-10"
2) "-4.5"
> INCREX k BYFLOAT 10 LBOUND 0 UBOUND 10
1) "0"
2) "10"
> OBJECT ENCODING k
"embstr"
> DEL k
(integer) 1
> INCREX k BYFLOAT -0.5 UBOUND -1.5
1) "0"
2) "0"
> EXISTS k
(integer) 0
> INCREX k BYFLOAT +inf
(error) ERR BYFLOAT increment cannot be Infinity
> INCREX k BYFLOAT -inf
(error) ERR BYFLOAT increment cannot be Infinity
> INCREX k BYFLOAT 1 UBOUND inf
(error) ERR UBOUND cannot be Infinity
> INCREX k BYFLOAT 1 LBOUND -inf
(error) ERR LBOUND cannot be Infinity
> SET k inf
OK
> INCREX k BYFLOAT 1
(error) ERR value cannot be Infinity
> SET k hello
OK
> INCREX k BYFLOAT 1
(error) ERR value is not a valid float
"#,
    );
}

#[test]
fn increx_saturates_floats_at_the_ends_of_their_range() {
    let mut sim = Sim::new();
    sim.cli(1, "SET k 1.1e4932");
    let refused = sim.cli(1, "INCREX k BYFLOAT 1.1e4932");
    assert!(refused.ends_with("\n2) \"0\""), "{refused}");
    let saturated = sim.cli(1, "INCREX k BYFLOAT 1.1e4932 SATURATE");
    assert!(saturated.starts_with("1) \"11897314953572317650"), "{saturated}");
    let value = sim.cli(1, "GET k");
    assert_eq!(value.len(), 4932 + 3, "the digits of the largest number, a digit, and quotes");
    sim.cli(1, "SET k -1.1e4932");
    let saturated = sim.cli(1, "INCREX k BYFLOAT -1.1e4932 SATURATE");
    assert!(saturated.starts_with("1) \"-11897314953572317650"), "{saturated}");
    let error = sim.cli(1, "INCREX k BYFLOAT 1 LBOUND 1e4932 SATURATE");
    assert_eq!(error, "(error) ERR applied increment would produce Infinity");
}

#[test]
fn increx_sets_the_time_to_live() {
    play(
        "increx_sets_the_time_to_live",
        r#"
> INCREX k EX 100
1) (integer) 1
2) (integer) 1
> TTL k
(integer) 100
> INCREX k
1) (integer) 2
2) (integer) 1
> TTL k
(integer) 100
> INCREX k PX 5000 ENX
1) (integer) 3
2) (integer) 1
> PTTL k
(integer) 100000
> INCREX k EXAT 1 ENX
1) (integer) 4
2) (integer) 1
> TTL k
(integer) 100
> INCREX k PERSIST
1) (integer) 5
2) (integer) 1
> TTL k
(integer) -1
> INCREX k PERSIST
1) (integer) 6
2) (integer) 1
> INCREX k PXAT 4102444800123 ENX
1) (integer) 7
2) (integer) 1
> PEXPIRETIME k
(integer) 4102444800123
> INCREX k BYINT 100 UBOUND 15 EX 5
1) (integer) 7
2) (integer) 0
> INCREX k BYINT 100 UBOUND 15 PERSIST
1) (integer) 7
2) (integer) 0
> PEXPIRETIME k
(integer) 4102444800123
> INCREX k BYINT 100 UBOUND 15 SATURATE EX 5
1) (integer) 15
2) (integer) 8
> TTL k
(integer) 5
> INCREX k EXAT 1
1) (integer) 16
2) (integer) 1
> EXISTS k
(integer) 0
> INCREX k PXAT 1 ENX
1) (integer) 1
2) (integer) 1
> EXISTS k
(integer) 0
> SET k 1
OK
> INCREX k UBOUND 1 EXAT 1
1) (integer) 1
2) (integer) 0
> EXISTS k
(integer) 1
"#,
    );
}

#[test]
fn increx_refuses_what_makes_no_sense() {
    play(
        "increx_refuses_what_makes_no_sense",
        r#"
> INCREX
(error) ERR wrong number of arguments for 'increx' command
> INCREX k FOO
(error) ERR syntax error
> INCREX k BYINT
(error) ERR syntax error
> INCREX k LBOUND
(error) ERR syntax error
> INCREX k EX
(error) ERR syntax error
> INCREX k BYINT 1 BYFLOAT 1.5
(error) ERR syntax error
> INCREX k BYINT 1 BYINT 1
(error) ERR syntax error
> INCREX k BYFLOAT 1 BYFLOAT 1
(error) ERR syntax error
> INCREX k LBOUND 0 LBOUND 1
(error) ERR syntax error
> INCREX k UBOUND 9 UBOUND 8
(error) ERR syntax error
> INCREX k SATURATE SATURATE
(error) ERR syntax error
> INCREX k ENX ENX EX 10
(error) ERR syntax error
> INCREX k PERSIST PERSIST
(error) ERR syntax error
> INCREX k PERSIST ENX
(error) ERR syntax error
> INCREX k ENX PERSIST
(error) ERR syntax error
> INCREX k EX 10 EX 20
(error) ERR syntax error
> INCREX k EX 10 PX 20
(error) ERR syntax error
> INCREX k EX 10 PERSIST
(error) ERR syntax error
> INCREX k PERSIST EX 10
(error) ERR syntax error
> INCREX k KEEPTTL
(error) ERR syntax error
> INCREX k ENX
(error) ERR ENX flag requires an expiration
> INCREX k BYINT abc
(error) ERR Increment is not an integer or out of range
> INCREX k BYINT 1.5
(error) ERR Increment is not an integer or out of range
> INCREX k BYFLOAT abc
(error) ERR Increment is not a valid float
> INCREX k LBOUND 1.5
(error) ERR LBOUND is not an integer or out of range
> INCREX k BYFLOAT 1 UBOUND x
(error) ERR UBOUND is not a valid float
> INCREX k LBOUND 10 UBOUND 5
(error) ERR LBOUND can't be greater than UBOUND
> INCREX k BYFLOAT 0.5 LBOUND 10.5 UBOUND 1.5
(error) ERR LBOUND can't be greater than UBOUND
> INCREX k EX 0
(error) ERR invalid expire time in 'increx' command
> INCREX k PX -1
(error) ERR invalid expire time in 'increx' command
> INCREX k EX x
(error) ERR value is not an integer or out of range
> EXISTS k
(integer) 0
"#,
    );
}
