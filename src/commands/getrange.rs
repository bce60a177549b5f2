//! GETRANGE, SUBSTR: a part of a string.

use super::flags::READONLY;
use super::parse::integer;
use super::value::ValueText;
use super::{Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::protocol::Args;

const BASE: Spec = Spec {
    arity: 4,
    flags: READONLY,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    group: Group::String,
    complexity: "O(N) with N being the length of the part",
    syntax: "key start end",
    handler: getrange,
    ..Spec::BASE
};

pub(super) static GETRANGE: Spec = Spec {
    name: "getrange",
    since: "2.4.0",
    summary: "Answers a part of the string under a key; negative positions count from its end.",
    example: r#"
> SET greeting "hello world"
OK
> GETRANGE greeting 0 4
"hello"
> GETRANGE greeting -5 -1
"world"
"#,
    ..BASE
};

pub(super) static SUBSTR: Spec = Spec {
    name: "substr",
    summary: "Answers a part of the string under a key, as the older name of GETRANGE.",
    example: r#"
> SET greeting "hello world"
OK
> SUBSTR greeting 6 -1
"world"
"#,
    ..BASE
};

fn getrange(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    match context.db.read_string(&args[1])? {
        Some(value) => context.reply.bulk(part(ValueText::of(value).as_bytes(), start, end)),
        None => context.reply.bulk(b""),
    }
    Ok(Outcome::Done)
}

/// The bytes from `start` to `end`, both included.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    // A slice is at most `isize::MAX` bytes long.
    let len = bytes.len() as i64;
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let from_front = |position: i64| if position < 0 { position + len } else { position }.max(0);
    let (start, end) = (from_front(start), from_front(end).min(len - 1));
    if start > end {
        return b"";
    }
    &bytes[start as usize..=end as usize]
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn every_pair_of_positions_is_answered() {
        let text = b"12345";
        for (start, end, expected) in [
            (0, -1, "12345"),
            (-3, -1, "345"),
            (1, 2, "23"),
            (4, 2, ""),
            (5, 9, ""),
            (-100, 100, "12345"),
            (-1, -100, ""),
            (0, -100, "1"),
            (-100, -5, "1"),
            (i64::MIN, i64::MAX, "12345"),
            (i64::MAX, i64::MIN, ""),
            (i64::MIN, i64::MIN, "1"),
        ] {
            assert_eq!(part(text, start, end), expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(part(b"", 0, 0), b"");
        assert_eq!(part(b"", i64::MIN, -1), b"");
    }
}
