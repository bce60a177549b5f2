//! The client's side of the protocol, read strictly: a server that writes a
//! length with a leading zero or ends a line with a bare `\n` is wrong even if
//! a lenient client would understand it.

use std::fmt::Write as _;

/// One reply, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    /// `$-1` and `_`.
    Null,
    /// `*-1`.
    NullArray,
    Array(Vec<Reply>),
    /// A double keeps the text that the server wrote.
    Double(String),
    Boolean(bool),
    BigNumber(String),
    BulkError(Vec<u8>),
    Verbatim {
        format: [u8; 3],
        text: Vec<u8>,
    },
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Attribute {
        pairs: Vec<(Reply, Reply)>,
        reply: Box<Reply>,
    },
}

impl Reply {
    /// The elements of an array, set or push.
    pub(crate) fn elements(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// The bytes of a bulk, simple, error or verbatim reply.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self {
            Reply::Simple(text)
            | Reply::Error(text)
            | Reply::Bulk(text)
            | Reply::BulkError(text)
            | Reply::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Key and value pairs of a map, or of the flat array that stands for a
    /// map in RESP2.
    pub(crate) fn pairs(&self) -> Option<Vec<(Reply, Reply)>> {
        match self {
            Reply::Map(pairs) => Some(pairs.clone()),
            Reply::Array(flat) if flat.len() % 2 == 0 => {
                Some(flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            _ => None,
        }
    }
}

/// Why bytes are not a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) offset: usize,
    pub(crate) reason: &'static str,
}

/// The length of the first reply in `input`, or `None` if it is incomplete.
pub(crate) fn measure(input: &[u8]) -> Result<Option<usize>, Malformed> {
    // One for the reply itself; every aggregate adds its elements. No nesting
    // on the stack, so no input can overflow it.
    let mut outstanding: u64 = 1;
    let mut at = 0;
    while outstanding > 0 {
        let Some((head, next)) = head(input, at)? else { return Ok(None) };
        outstanding -= 1;
        at = next;
        match head {
            Head::Whole(_) => {}
            Head::Sized(_, length) => match body(input, at, length)? {
                Some(end) => at = end,
                None => return Ok(None),
            },
            Head::Elements(_, count) => outstanding += count,
            // An attribute stands before the reply that it describes.
            Head::Attribute(pairs) => outstanding += 2 * pairs + 1,
        }
    }
    Ok(Some(at))
}

/// Decodes the first reply in `input`; gives its length too, or `None` if it
/// is incomplete.
pub(crate) fn decode(input: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    match measure(input)? {
        None => Ok(None),
        Some(length) => {
            let mut at = 0;
            let reply = build(input, &mut at)?;
            Ok(Some((reply, length)))
        }
    }
}

/// Decodes `raw`, which must be exactly one reply.
pub(crate) fn decode_one(raw: &[u8]) -> Reply {
    match decode(raw) {
        Ok(Some((reply, length))) if length == raw.len() => reply,
        other => panic!("not exactly one reply: {:?}: {other:?}", String::from_utf8_lossy(raw)),
    }
}

enum Head {
    Whole(Reply),
    Sized(u8, usize),
    Elements(u8, u64),
    Attribute(u64),
}

fn head(input: &[u8], at: usize) -> Result<Option<(Head, usize)>, Malformed> {
    let malformed = |reason| Malformed { offset: at, reason };
    let Some(&kind) = input.get(at) else { return Ok(None) };
    if !b"+-:$*_,#(!=%~>|".contains(&kind) {
        return Err(malformed("unknown type byte"));
    }
    let rest = &input[at + 1..];
    let Some(end) = rest.iter().position(|&byte| byte == b'\r' || byte == b'\n') else {
        return Ok(None);
    };
    if rest[end] == b'\n' {
        return Err(malformed("a line without CR"));
    }
    match rest.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(malformed("CR inside a line")),
    }
    let line = &rest[..end];
    let next = at + 1 + end + 2;
    let count = || {
        strict_integer(line)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or(malformed("length of an aggregate"))
    };
    let head = match kind {
        b'+' => Head::Whole(Reply::Simple(line.to_vec())),
        b'-' => Head::Whole(Reply::Error(line.to_vec())),
        b':' => Head::Whole(Reply::Integer(strict_integer(line).ok_or(malformed("integer"))?)),
        b'_' if line.is_empty() => Head::Whole(Reply::Null),
        b'_' => return Err(malformed("null with a body")),
        b'#' => match line {
            b"t" => Head::Whole(Reply::Boolean(true)),
            b"f" => Head::Whole(Reply::Boolean(false)),
            _ => return Err(malformed("boolean")),
        },
        b',' => Head::Whole(Reply::Double(double_text(line).ok_or(malformed("double"))?)),
        b'(' => {
            let digits = line.strip_prefix(b"-").unwrap_or(line);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(malformed("big number"));
            }
            Head::Whole(Reply::BigNumber(String::from_utf8_lossy(line).into_owned()))
        }
        b'$' if line == b"-1" => Head::Whole(Reply::Null),
        b'*' if line == b"-1" => Head::Whole(Reply::NullArray),
        b'$' | b'!' | b'=' => {
            let length = usize::try_from(count()?).map_err(|_| malformed("bulk length"))?;
            if kind == b'=' && length < 4 {
                return Err(malformed("verbatim text without a format"));
            }
            Head::Sized(kind, length)
        }
        b'%' => Head::Elements(kind, count()?.checked_mul(2).ok_or(malformed("map length"))?),
        b'|' => Head::Attribute(count()?),
        _ => Head::Elements(kind, count()?),
    };
    Ok(Some((head, next)))
}

fn body(input: &[u8], at: usize, length: usize) -> Result<Option<usize>, Malformed> {
    let Some(end) = at.checked_add(length).and_then(|end| end.checked_add(2)) else {
        return Err(Malformed { offset: at, reason: "bulk length" });
    };
    match input.get(at + length..end) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some(end)),
        Some(_) => Err(Malformed { offset: at + length, reason: "bulk not followed by CRLF" }),
    }
}

fn build(input: &[u8], at: &mut usize) -> Result<Reply, Malformed> {
    let incomplete = Malformed { offset: *at, reason: "incomplete" };
    let (head, next) = head(input, *at)?.ok_or(incomplete)?;
    *at = next;
    match head {
        Head::Whole(reply) => Ok(reply),
        Head::Sized(kind, length) => {
            let bytes = &input[*at..*at + length];
            *at += length + 2;
            Ok(match kind {
                b'$' => Reply::Bulk(bytes.to_vec()),
                b'!' => Reply::BulkError(bytes.to_vec()),
                _ if bytes[3] != b':' => {
                    return Err(Malformed { offset: next, reason: "verbatim format" });
                }
                _ => Reply::Verbatim {
                    format: [bytes[0], bytes[1], bytes[2]],
                    text: bytes[4..].to_vec(),
                },
            })
        }
        Head::Elements(kind, count) => {
            let mut elements = Vec::new();
            for _ in 0..count {
                elements.push(build(input, at)?);
            }
            Ok(match kind {
                b'*' => Reply::Array(elements),
                b'~' => Reply::Set(elements),
                b'>' => Reply::Push(elements),
                _ => Reply::Map(paired(elements)),
            })
        }
        Head::Attribute(count) => {
            let mut elements = Vec::new();
            for _ in 0..2 * count {
                elements.push(build(input, at)?);
            }
            Ok(Reply::Attribute { pairs: paired(elements), reply: Box::new(build(input, at)?) })
        }
    }
}

fn paired(elements: Vec<Reply>) -> Vec<(Reply, Reply)> {
    let mut elements = elements.into_iter();
    let mut pairs = Vec::new();
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        pairs.push((key, value));
    }
    pairs
}

fn strict_integer(line: &[u8]) -> Option<i64> {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    let canonical = line == b"0" || matches!(digits.first(), Some(b'1'..=b'9'));
    if !canonical {
        return None;
    }
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn double_text(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let special = matches!(text, "inf" | "-inf" | "nan" | "-nan");
    let numeric = text.bytes().all(|byte| b"0123456789+-.eE".contains(&byte));
    (special || (numeric && text.parse::<f64>().is_ok())).then(|| text.to_owned())
}

/// The text that `redis-cli` shows for this reply on a terminal, with the
/// final line feed.
pub(crate) fn format_cli(reply: &Reply) -> String {
    format_nested(reply, "")
}

fn format_nested(reply: &Reply, indent: &str) -> String {
    match reply {
        Reply::Simple(text) => format!("{}\n", String::from_utf8_lossy(text)),
        Reply::Error(text) | Reply::BulkError(text) => {
            format!("(error) {}\n", String::from_utf8_lossy(text))
        }
        Reply::Integer(number) => format!("(integer) {number}\n"),
        Reply::Bulk(bytes) => format!("{}\n", quoted(bytes)),
        Reply::Null | Reply::NullArray => "(nil)\n".to_owned(),
        Reply::Double(text) => format!("(double) {text}\n"),
        Reply::Boolean(true) => "(true)\n".to_owned(),
        Reply::Boolean(false) => "(false)\n".to_owned(),
        Reply::BigNumber(digits) => format!("{digits}\n"),
        Reply::Verbatim { text, .. } => format!("{}\n", String::from_utf8_lossy(text)),
        Reply::Array(elements) => format_elements(elements, indent, ')', "(empty array)\n"),
        Reply::Set(elements) => format_elements(elements, indent, '~', "(empty set)\n"),
        Reply::Push(elements) => format_elements(elements, indent, ')', "(empty push)\n"),
        Reply::Map(pairs) => format_pairs(pairs, indent),
        Reply::Attribute { reply, .. } => format_nested(reply, indent),
    }
}

fn format_elements(elements: &[Reply], indent: &str, mark: char, empty: &str) -> String {
    let Some(width) = index_width(elements.len()) else { return empty.to_owned() };
    let deeper = format!("{indent}{}", " ".repeat(width + 2));
    let mut out = String::new();
    for (index, element) in elements.iter().enumerate() {
        // The first line continues the one that the parent has begun.
        let lead = if index == 0 { "" } else { indent };
        let number = index + 1;
        let text = format_nested(element, &deeper);
        write!(out, "{lead}{number:>width$}{mark} {text}").expect("a String takes everything");
    }
    out
}

fn format_pairs(pairs: &[(Reply, Reply)], indent: &str) -> String {
    let Some(width) = index_width(pairs.len()) else { return "(empty hash)\n".to_owned() };
    let deeper = format!("{indent}{}", " ".repeat(width + 2));
    let mut out = String::new();
    for (index, (key, value)) in pairs.iter().enumerate() {
        let lead = if index == 0 { "" } else { indent };
        let number = index + 1;
        let key = format_nested(key, &deeper);
        let key = key.strip_suffix('\n').unwrap_or(&key);
        let value_text = format_nested(value, &deeper);
        // An aggregate that takes several lines begins on one of its own.
        let aggregate = matches!(value, Reply::Map(_)) || value.elements().is_some();
        let nested = aggregate && value_text.lines().count() > 1;
        let gap = if nested { format!("\n{deeper}") } else { String::new() };
        write!(out, "{lead}{number:>width$}# {key} => {gap}{value_text}")
            .expect("a String takes everything");
    }
    out
}

fn index_width(count: usize) -> Option<usize> {
    (count > 0).then(|| count.to_string().len())
}

/// Bytes in double quotes with the escapes that `redis-cli` uses.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "\\x{byte:02x}").expect("a String takes everything"),
        }
    }
    out.push('"');
    out
}

/// The same, shortened to be readable in a report.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 400;
    if bytes.len() <= SHOWN_BYTES {
        return quoted(bytes);
    }
    format!("{}... ({} bytes)", quoted(&bytes[..SHOWN_BYTES]), bytes.len())
}
