//! Which keyspace events the string commands emit, in which order.

mod support;

use support::events::{check_events, listening};

/// All classes, those of misses and of new keys too.
const ALL: &str = "KEAmn";

#[track_caller]
fn check(steps: &[(&str, &[&str])]) {
    check_events(&mut listening(ALL), steps);
}

#[test]
fn storing_emits_set_and_expire() {
    check(&[
        ("> SET k v EX 10", &["new k", "set k", "expire k"]),
        ("> SET k w KEEPTTL", &["set k"]),
        ("> SET k w", &["set k"]),
        ("> SET k w NX", &[]),
        ("> SET k v GET", &["set k"]),
        ("> SET q v GET", &["keymiss q", "new q", "set q"]),
        ("> SET z v XX GET", &["keymiss z"]),
        ("> SET k v IFEQ x", &[]),
        ("> SET k v IFEQ v PX 10", &["set k", "expire k"]),
        ("> SETEX k 10 v", &["set k", "expire k"]),
        ("> PSETEX k 1000 v JITTER 10", &["set k", "expire k"]),
        ("> SETNX k v", &[]),
        ("> SETNX n v", &["new n", "set n"]),
        ("> GETSET k v", &["set k"]),
        ("> GETSET o v", &["keymiss o", "new o", "set o"]),
        ("> MSET k 1 m 2", &["set k", "new m", "set m"]),
        ("> MSETNX k 1 p 2", &[]),
        ("> MSETNX p 1 r 2", &["new p", "set p", "new r", "set r"]),
        ("> MSETEX 2 k 1 p 2 NX EX 10", &[]),
        ("> MSETEX 2 k 1 p 2 EX 10", &["set k", "expire k", "set p", "expire p"]),
        ("> MSETEX 1 k 1 KEEPTTL", &["set k"]),
    ]);
}

#[test]
fn reading_emits_what_it_changes() {
    check(&[
        ("> GET k", &["keymiss k"]),
        ("> MGET k l", &["keymiss k", "keymiss l"]),
        ("> STRLEN k", &["keymiss k"]),
        ("> GETRANGE k 0 1", &["keymiss k"]),
        ("> DIGEST k", &["keymiss k"]),
        ("> GETEX k EX 10", &["keymiss k"]),
        ("> GETDEL k", &["keymiss k"]),
        ("> SET k v", &["new k", "set k"]),
        ("> GETEX k", &[]),
        ("> GETEX k EX 10", &["expire k"]),
        ("> GETEX k EX 0", &[]),
        ("> GETEX k PERSIST", &["persist k"]),
        ("> GETEX k PERSIST", &[]),
        ("> GETEX k PXAT 1", &["del k"]),
        ("> SET k v", &["new k", "set k"]),
        ("> GETDEL k", &["del k"]),
    ]);
}

#[test]
fn editing_and_counting_emit_their_own_events() {
    check(&[
        ("> APPEND k x", &["new k", "append k"]),
        ("> APPEND k x", &["append k"]),
        ("> SETRANGE k 0 y", &["setrange k"]),
        ("> SETRANGE k 0 \"\"", &[]),
        ("> SETRANGE r 2 y", &["new r", "setrange r"]),
        ("> SETRANGE e 2 \"\"", &[]),
        ("> INCR c", &["new c", "incrby c"]),
        ("> DECRBY c 1", &["incrby c"]),
        ("> INCRBY c x", &[]),
        ("> INCRBYFLOAT c 1", &["incrbyfloat c"]),
        ("> INCRBYFLOAT f 1.5", &["new f", "incrbyfloat f"]),
        ("> INCR f", &[]),
        ("> DECRIFPOS c", &["incrby c"]),
        ("> DECRIFPOS c", &[]),
        ("> DECRIFPOS d", &[]),
        ("> INCREX c", &["incrby c"]),
        ("> INCREX c UBOUND 1 EX 10", &[]),
        ("> INCREX c BYFLOAT 0.5", &["incrbyfloat c"]),
        ("> INCREX i EX 10", &["new i", "incrby i", "expire i"]),
        ("> INCREX i EX 10 ENX", &["incrby i"]),
        ("> INCREX i EXAT 1 ENX", &["incrby i"]),
        ("> INCREX i PERSIST", &["incrby i", "persist i"]),
        ("> INCREX i PERSIST", &["incrby i"]),
        ("> INCREX i EXAT 1", &["del i"]),
        ("> INCREX i EXAT 1", &[]),
    ]);
}

#[test]
fn removing_emits_del_and_time_emits_expired() {
    check(&[
        ("> SET k v", &["new k", "set k"]),
        ("> DELEX k IFEQ x", &[]),
        ("> DELIFEQ k x", &[]),
        ("> DELEX k", &["del k"]),
        ("> DELEX k", &[]),
        ("> SET k v", &["new k", "set k"]),
        ("> DELIFEQ k v", &["del k"]),
        ("> SET k v PX 100", &["new k", "set k", "expire k"]),
        ("(99 ms later)", &[]),
        ("> INCR other", &["new other", "incrby other"]),
        ("(1 ms later)", &["expired k"]),
        ("> INCR k", &["new k", "incrby k"]),
    ]);
}
