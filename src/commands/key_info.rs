//! KEY.INFO: why a key is what it is.

use super::flags::READONLY;
use super::memory::usage_bytes;
use super::object::encoding;
use super::span::left_ms;
use super::stock::held_units;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::Object;
use crate::protocol::{Args, Reply};

pub(super) static SPEC: Spec = Spec {
    name: "key.info",
    arity: 2,
    flags: READONLY,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    group: Group::Generic,
    since: "0.1.0",
    complexity: "O(N) with N being the number of a lock's owners or a counter's holds",
    summary: "Answers all that is known about a key in one map, or nil where nothing is.",
    syntax: "key",
    example: r#"
> SET page html PX 60000
OK
(1500 ms later)
> KEY.INFO page
 1) "type"
 2) "string"
 3) "bytes"
 4) (integer) 32
 5) "encoding"
 6) "embstr"
 7) "age-ms"
 8) (nil)
 9) "pttl"
10) (integer) 58500
11) "state"
12) "fresh"
13) "fresh-ms"
14) (integer) 58500
15) "lease"
16) (nil)
17) "version"
18) (nil)
19) "owners"
20) (empty array)
21) "held"
22) (integer) 0
23) "holds"
24) (empty array)
25) "waiters"
26) (integer) 0
"#,
    handler: key_info,
    ..Spec::BASE
};

fn key_info(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    let (now, now_ms, db) = (context.now, context.now.unix_ms(), context.db.index());
    let waiters = context.db.keyspace().waiters().count(db, key);
    let lease = context.db.lease(key);
    let entry = context.db.look(key);
    if entry.is_none() && lease.is_none() && waiters == 0 {
        context.reply.null();
        return Ok(Outcome::Done);
    }
    let reply = &mut context.reply;
    reply.map(13);
    reply.bulk(b"type");
    reply.bulk(entry.map_or("none", |entry| entry.type_name()).as_bytes());
    reply.bulk(b"bytes");
    reply.integer(entry.map_or(0, |entry| usage_bytes(&entry) as i64));
    reply.bulk(b"encoding");
    match entry {
        Some(entry) => reply.bulk(encoding(&entry).as_bytes()),
        None => reply.null(),
    }
    reply.bulk(b"age-ms");
    let written_ms = entry.and_then(|entry| entry.written_ms());
    optional(reply, written_ms.map(|written_ms| now_ms.saturating_sub(written_ms) as i64));
    reply.bulk(b"pttl");
    reply.integer(match entry.map(|entry| entry.ends_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(ends_ms)) => left_ms(ends_ms, now),
    });
    let string = entry.filter(|entry| entry.object().is_none());
    let fresh_until_ms = string.map(|entry| entry.fresh_end_ms());
    reply.bulk(b"state");
    match fresh_until_ms {
        None => reply.null(),
        Some(Some(until_ms)) if until_ms <= now_ms => reply.bulk(b"stale"),
        Some(_) => reply.bulk(b"fresh"),
    }
    reply.bulk(b"fresh-ms");
    optional(reply, fresh_until_ms.flatten().map(|until_ms| left_ms(until_ms, now)));
    reply.bulk(b"lease");
    match lease {
        Some(lease) => {
            reply.map(3);
            reply.bulk(b"holder");
            reply.integer(lease.client_id as i64);
            reply.bulk(b"token");
            reply.integer(lease.token as i64);
            reply.bulk(b"pttl");
            reply.integer(left_ms(lease.deadline_ms, now));
        }
        None => reply.null(),
    }
    reply.bulk(b"version");
    optional(reply, entry.and_then(|entry| entry.version()).map(|version| version as i64));
    reply.bulk(b"owners");
    match entry.and_then(|entry| entry.object()) {
        Some(Object::Lock(lock)) => {
            reply.array(lock.len());
            for (_, owner) in lock.owners() {
                reply.bulk(&owner.name);
            }
        }
        _ => reply.array(0),
    }
    let holds = context.db.held(key);
    reply.bulk(b"held");
    reply.integer(held_units(holds));
    reply.bulk(b"holds");
    reply.array(holds.map_or(0, |holds| holds.len()));
    for hold in holds.into_iter().flat_map(|holds| holds.keys()) {
        reply.bulk(hold);
    }
    reply.bulk(b"waiters");
    reply.integer(waiters as i64);
    Ok(Outcome::Done)
}

fn optional(reply: &mut Reply<'_>, number: Option<i64>) {
    match number {
        Some(number) => reply.integer(number),
        None => reply.null(),
    }
}
