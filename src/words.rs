//! Lines of words, as Redis splits them in inline requests and config files.
//!
//! Between double quotes `\n \r \t \b \a`, `\xHH` and `\` before any other byte
//! are escapes, between single quotes only `\'`. A quote may open inside a word,
//! but the word ends where it closes.

/// All words of a line; `None` as for [`take_word`].
pub(crate) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = skip_space(take_word(rest, &mut word)?);
        words.push(word);
    }
    Some(words)
}

/// Appends the word that `rest` starts with to `bytes`, and returns what follows it.
/// `None`: a quote is not closed, or the word goes on where one closes.
pub(crate) fn take_word<'l>(mut rest: &'l [u8], bytes: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        rest = match *rest {
            // Vertical tab and form feed separate words only where a new one
            // could start; inside a word Redis takes them as they are.
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some(rest),
            [b'"', ref quoted @ ..] => return after_quote(double_quoted(quoted, bytes)?),
            [b'\'', ref quoted @ ..] => return after_quote(single_quoted(quoted, bytes)?),
            [byte, ref tail @ ..] => {
                bytes.push(byte);
                tail
            }
        }
    }
}

fn double_quoted<'l>(mut rest: &'l [u8], bytes: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        let (byte, tail) = match *rest {
            [] => return None,
            [b'"', ref tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, ref tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_value(high) << 4 | hex_value(low), tail)
            }
            [b'\\', escaped, ref tail @ ..] => (unescaped(escaped), tail),
            [byte, ref tail @ ..] => (byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
}

fn single_quoted<'l>(mut rest: &'l [u8], bytes: &mut Vec<u8>) -> Option<&'l [u8]> {
    loop {
        let (byte, tail) = match *rest {
            [] => return None,
            [b'\'', ref tail @ ..] => return Some(tail),
            [b'\\', b'\'', ref tail @ ..] => (b'\'', tail),
            [byte, ref tail @ ..] => (byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
}

fn after_quote(rest: &[u8]) -> Option<&[u8]> {
    match rest.first() {
        Some(&byte) if !is_space(byte) => None,
        _ => Some(rest),
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// C's `isspace`, which unlike Rust's ASCII white space has the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What follows the space that `text` starts with.
pub(crate) fn skip_space(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_split() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t\x0b\x0c\r ", &[]),
            (b"PING", &[b"PING"]),
            (b"  SET  k\tv ", &[b"SET", b"k", b"v"]),
            (b"a\rb", &[b"a", b"b"]),
            (b"a\x0bb\x0cc \x0bd", &[b"a\x0bb\x0cc", b"d"]),
            (b"ECHO \"a b\"", &[b"ECHO", b"a b"]),
            (b"\"\" ''", &[b"", b""]),
            (b"\"\\n\\r\\t\\b\\a\\q\\\\\\\"\"", &[b"\n\r\t\x08\x07q\\\""]),
            (b"\"\\x41\\xfF\\x0g\\x\"", &[b"A\xffx0gx"]),
            (b"'a\\'b\\n\"'", &[b"a'b\\n\""]),
            (b"fo\"o b\"", &[b"foo b"]),
            (b"fo'o b'\x0bx", &[b"foo b", b"x"]),
            (b"a\\nb \\x41", &[b"a\\nb", b"\\x41"]),
            (b"nul \0 \"\0\"", &[b"nul", b"\0", b"\0"]),
        ];
        for &(line, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|word| word.to_vec()).collect();
            assert_eq!(split(line), Some(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn lines_with_unbalanced_quotes() {
        // In the last but one a backslash outside quotes is a byte, so the quote opens.
        let cases: &[&[u8]] = &[
            b"\"",
            b"'",
            b"\"a",
            b"'a",
            b"\"a\"b",
            b"'a'b",
            b"\"a\"\"b\"",
            b"\"a\\\"",
            b"a \\\"",
            b"a\"\\",
        ];
        for &line in cases {
            assert_eq!(split(line), None, "{}", line.escape_ascii());
        }
    }
}
