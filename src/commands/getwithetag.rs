//! GETWITHETAG, GETIFNOTMATCH: a string with its version.

use super::etag::{compared, etag_and_string};
use super::flags::{FAST, READONLY};
use super::parse::write_value;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};

const BASE: Spec = Spec {
    flags: READONLY | FAST,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    group: Group::String,
    since: "0.1.0",
    ..Spec::BASE
};

pub(super) static GETWITHETAG: Spec = Spec {
    name: "getwithetag",
    arity: 2,
    summary: "Answers the version of the string under a key, 0 if it has none, and the string.",
    syntax: "key",
    example: r#"
> SET page draft WITHETAG
(integer) 1
> GETWITHETAG page
1) (integer) 1
2) "draft"
> APPEND page " two"
(integer) 9
> GETWITHETAG page
1) (integer) 2
2) "draft two"
"#,
    handler: |context, args| answer(context, &args[1], None),
    ..BASE
};

pub(super) static GETIFNOTMATCH: Spec = Spec {
    name: "getifnotmatch",
    arity: 3,
    summary: "Answers the version of the string under a key, and the string if the version is \
              another than the given one.",
    syntax: "key etag",
    example: r#"
> SET page draft WITHETAG
(integer) 1
> GETIFNOTMATCH page 1
1) (integer) 1
2) (nil)
> SET page final WITHETAG
(integer) 2
> GETIFNOTMATCH page 1
1) (integer) 2
2) "final"
"#,
    handler: |context, args| {
        let known = compared(&args[2])?;
        answer(context, &args[1], Some(known))
    },
    ..BASE
};

/// `known` is the version whose string the client has.
fn answer(context: &mut Context<'_>, key: &[u8], known: Option<u64>) -> Ran {
    let Some(entry) = context.db.read(key) else {
        context.reply.null();
        return Ok(Outcome::Done);
    };
    let (etag, string) = etag_and_string(&entry)?;
    context.reply.array(2);
    context.reply.integer(etag as i64);
    if known == Some(etag) {
        context.reply.null();
    } else {
        write_value(&mut context.reply, string);
    }
    Ok(Outcome::Done)
}
