//! Glob patterns over bytes, as KEYS, SCAN, PSUBSCRIBE and CONFIG GET take them.
//!
//! `*` is any bytes, `?` one byte, `[a-z]` and `[^a-z]` one byte of a class, `\`
//! takes the next byte as it is. The matcher agrees with Redis's on every
//! pattern, well-formed or not; these are the corners that are easy to miss:
//!
//! - The empty text matches the empty pattern only, not even `*`.
//! - `]` right after `[` closes the class, so `[]` matches nothing and `[^]` any
//!   byte. A class that nothing closes ends with the pattern.
//! - A range with its ends exchanged is turned round. Ranges compare signed
//!   bytes, so 0x80 to 0xff come before 0.
//! - Ignoring case, an escaped byte of a class still keeps its case, and the ends
//!   of a range are lowered after it was turned round (which can leave it empty,
//!   since 0x80 to 0xfe then come last).
//! - `\` at the end of the pattern is itself.

/// Whether letters have to agree in case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `a` is not `A`: names that clients choose.
    Sensitive,
    /// ASCII letters match in both cases: names that the server has.
    Ignored,
}

/// Whether the whole of `text` matches `pattern`.
///
/// It takes at most `pattern.len() * text.len()` steps and no memory: when
/// something after a `*` fails, only the last `*` has to take one byte more. An
/// earlier one could only move what follows it to the right, where the part
/// after the last `*` has just been looked for.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut rest) = (0, text);
    // Behind the last star, and the text that it has yet to take a byte from.
    let mut retry: Option<(usize, &[u8])> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            retry = Some((at, rest));
            continue;
        }
        let Some((&byte, tail)) = rest.split_first() else {
            // The text ran out first. If this is not a match, no star helps:
            // taking more would leave even less for the rest of the pattern.
            return at == pattern.len();
        };
        if let Some(next) = match_one(pattern, at, byte, case) {
            (at, rest) = (next, tail);
            continue;
        }
        let Some((behind_star, [_, shorter @ ..])) = retry else { return false };
        retry = Some((behind_star, shorter));
        (at, rest) = (behind_star, shorter);
    }
}

/// Matches `byte` with the element of the pattern at `at`, which is not a star,
/// and returns where the next element starts.
#[inline]
fn match_one(pattern: &[u8], at: usize, byte: u8, case: Case) -> Option<usize> {
    match *pattern.get(at..)? {
        [] => None,
        [b'?', ..] => Some(at + 1),
        [b'[', ..] => match_class(pattern, at + 1, byte, case),
        [b'\\', escaped, ..] => same(escaped, byte, case).then_some(at + 2),
        [literal, ..] => same(literal, byte, case).then_some(at + 1),
    }
}

/// As [`match_one`] for a class, whose `[` is before `at`.
fn match_class(pattern: &[u8], mut at: usize, byte: u8, case: Case) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        at += match pattern[at..] {
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                2
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [] => break,
            [first, b'-', last, ..] => {
                found |= in_range(first, last, byte, case);
                3
            }
            [literal, ..] => {
                found |= same(literal, byte, case);
                1
            }
        };
    }
    (found != negated).then_some(at)
}

fn in_range(first: u8, last: u8, byte: u8, case: Case) -> bool {
    let (first, last) =
        if first.cast_signed() <= last.cast_signed() { (first, last) } else { (last, first) };
    match case {
        Case::Sensitive => (first.cast_signed()..=last.cast_signed()).contains(&byte.cast_signed()),
        Case::Ignored => (lowered(first)..=lowered(last)).contains(&lowered(byte)),
    }
}

/// `tolower` of a signed byte in the C library that Redis is built with: bytes
/// from 0x80 come out positive, all but 0xff, which it takes for end of file.
fn lowered(byte: u8) -> i16 {
    if byte == 0xff { -1 } else { i16::from(byte.to_ascii_lowercase()) }
}

#[inline]
fn same(a: u8, b: u8, case: Case) -> bool {
    match case {
        Case::Sensitive => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(&b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers are those of KEYS in redis-server 7.0.
    #[test]
    fn agrees_with_redis() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"", b"", true),
            (b"", b"a", false),
            (b"**", b"", false),
            (b"?", b"", false),
            (b"[^a]", b"", false),
            (b"a*", b"a", true),
            (b"a**", b"a", true),
            (b"*a", b"a", true),
            (b"*a*", b"a", true),
            (b"?*", b"a", true),
            (b"*?", b"a", true),
            (b"*??", b"a", false),
            (b"h?llo", b"hello", true),
            (b"h*llo", b"hllo", true),
            (b"h[ae]llo", b"hillo", false),
            (b"h[^e]llo", b"hallo", true),
            (b"h[a-c]llo", b"hbllo", true),
            (b"news.*.eu", b"news.a.b.eu", true),
            (b"*ab*cd", b"xabyabcdcd", true),
            (b"*ab*cd", b"xabyabcdc", false),
            (b"\\*", b"*", true),
            (b"\\*", b"a", false),
            (b"a\\", b"a\\", true),
            (b"a\\", b"a", false),
            (b"\\", b"\\", true),
            (b"\\\\", b"\\", true),
            (b"\\[a]", b"[a]", true),
            (b"[", b"[", false),
            (b"[", b"a", false),
            (b"[]", b"]", false),
            (b"[]a]", b"]", false),
            (b"[]a]", b"a]", false),
            (b"[^]", b"x", true),
            (b"[^", b"x", true),
            (b"[^", b"^", true),
            (b"[^]a]", b"xa]", true),
            (b"[a", b"a", true),
            (b"[a", b"b", false),
            (b"[ab", b"b", true),
            (b"x[a*", b"x*", true),
            (b"x[a*", b"xab", false),
            (b"[z-a]", b"m", true),
            (b"[a-]", b"-", false),
            (b"[a-]", b"]", true),
            (b"[a-]", b"`", true),
            (b"[a-]", b"b", false),
            (b"[-a]", b"-", true),
            (b"[a-", b"-", true),
            (b"[a-", b"a", true),
            (b"[\\]]", b"]", true),
            (b"[\\]a]", b"a", true),
            (b"[a-\\]]", b"^]", true),
            (b"[a-\\]]", b"`]", true),
            (b"[\\a-z]", b"-", true),
            (b"[\\a-z]", b"b", false),
            (b"[\\", b"\\", true),
            (b"[a\\", b"\\", true),
            (b"[^^]", b"^", false),
            (b"[a^]", b"^", true),
            (b"[!a]", b"b", false),
            (b"[a-c-e]", b"d", false),
            (b"[a-c-e]", b"-", true),
            (b"[*]", b"*", true),
            (b"[*]", b"a", false),
            (b"[?]", b"?", true),
            (b"[a-\xff]", b"\x00", true),
            (b"[a-\xff]", b"b", false),
            (b"[a-\xff]", b"\xff", true),
            (b"[a-\xff]", b"\xfe", false),
            (b"[\x80-\xff]", b"\x90", true),
            (b"\xff*", b"\xff\x00", true),
            (b"A", b"a", false),
            (b"[A-Z]", b"a", false),
            (b"a\x00b", b"a\x00b", true),
            (b"a*\x00", b"a\x00", true),
        ];
        for &(pattern, text, expected) in cases {
            assert_eq!(
                matches(pattern, text, Case::Sensitive),
                expected,
                "{} on {}",
                pattern.escape_ascii(),
                text.escape_ascii()
            );
        }
    }

    /// The answers are those of CONFIG GET in redis-server 7.0.
    #[test]
    fn agrees_with_redis_ignoring_case() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"p[A-Z]rt", b"port", true),
            (b"p[^A-Z]rt", b"port", false),
            (b"p[Z-a]rt", b"port", false),
            (b"p[Z-b]rt", b"port", false),
            (b"p[\\O]rt", b"port", false),
            (b"p[\\o]rt", b"port", true),
            (b"p[\x91-X]rt", b"port", false),
            (b"p[\xff-X]rt", b"port", true),
            (b"p[O]rt", b"port", true),
            (b"P*T", b"port", true),
            (b"P[O]RT", b"port", true),
            (b"P\\ORT*", b"port", true),
        ];
        for &(pattern, text, expected) in cases {
            let pattern_text = pattern.escape_ascii();
            assert_eq!(matches(pattern, text, Case::Ignored), expected, "{pattern_text}");
        }
    }

    /// A matcher that tries every star again takes longer than the universe here.
    #[test]
    fn many_stars_take_bounded_time() {
        let text = [b'a'; 2_000];
        let mut pattern = b"a*".repeat(500);
        pattern.push(b'b');
        assert!(!matches(&pattern, &text, Case::Sensitive));
        pattern.pop();
        assert!(matches(&pattern, &text, Case::Sensitive));
    }

    /// Against the definition by recursion, over every short pattern and text of
    /// a small alphabet.
    #[test]
    fn the_last_star_suffices() {
        fn recursive(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], _) => text.is_empty(),
                ([b'*', rest @ ..], _) => {
                    (0..=text.len()).any(|taken| recursive(rest, &text[taken..]))
                }
                ([b'?', rest @ ..], [_, tail @ ..]) => recursive(rest, tail),
                ([literal, rest @ ..], [byte, tail @ ..]) => {
                    literal == byte && recursive(rest, tail)
                }
                _ => false,
            }
        }
        let words = |alphabet: &[u8], len: u32| -> Vec<Vec<u8>> {
            (0..(alphabet.len() as u32).pow(len))
                .map(|mut number| {
                    let mut digit = || {
                        let index = number as usize % alphabet.len();
                        number /= alphabet.len() as u32;
                        alphabet[index]
                    };
                    (0..len).map(|_| digit()).collect()
                })
                .collect()
        };
        let texts: Vec<_> = (1..=5).flat_map(|len| words(b"ab", len)).collect();
        for pattern in (0..=5).flat_map(|len| words(b"ab*?", len)) {
            for text in &texts {
                assert_eq!(
                    matches(&pattern, text, Case::Sensitive),
                    recursive(&pattern, text),
                    "{} on {}",
                    pattern.escape_ascii(),
                    text.escape_ascii()
                );
            }
        }
    }
}
