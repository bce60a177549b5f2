//! The bare loop: the floor with data under it.
//!
//! It cuts requests, looks keys up in the standard library's hash map, and answers
//! GET, SET and PING. There is no expiry, nothing is counted, limited or written to a
//! journal, and keys come from memory when it is their turn: what a server costs beside
//! it are those things.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::io;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::plain::Answers;

/// A request with more arguments is refused; none that it knows has more than three.
const ARGUMENTS_MAX: usize = 16;

/// A number in the protocol has no more digits than this.
const DIGITS_MAX: usize = 9;

pub(crate) struct Bare {
    values: HashMap<Box<[u8]>, Box<[u8]>, Seed>,
}

impl Bare {
    /// Without any keys.
    pub(crate) fn new() -> Bare {
        Bare { values: HashMap::with_hasher(Seed(fastrand::u64(..))) }
    }

    fn run(&mut self, arguments: &[&[u8]], replies: &mut Vec<u8>) {
        match arguments {
            [name, key] if name.eq_ignore_ascii_case(b"GET") => match self.values.get(*key) {
                Some(value) => {
                    push_length(value.len(), replies);
                    replies.extend_from_slice(value);
                    replies.extend_from_slice(b"\r\n");
                }
                None => replies.extend_from_slice(b"$-1\r\n"),
            },
            [name, key, value] if name.eq_ignore_ascii_case(b"SET") => {
                match self.values.get_mut(*key) {
                    Some(old) if old.len() == value.len() => old.copy_from_slice(value),
                    Some(old) => *old = (*value).into(),
                    None => drop(self.values.insert((*key).into(), (*value).into())),
                }
                replies.extend_from_slice(b"+OK\r\n");
            }
            [name] if name.eq_ignore_ascii_case(b"PING") => {
                replies.extend_from_slice(b"+PONG\r\n");
            }
            _ => replies.extend_from_slice(b"-ERR the bare loop knows GET, SET and PING\r\n"),
        }
    }
}

impl Answers for Bare {
    fn answer(&mut self, input: &[u8], replies: &mut Vec<u8>) -> io::Result<usize> {
        let mut answered = 0;
        let mut arguments: [&[u8]; ARGUMENTS_MAX] = [&[]; ARGUMENTS_MAX];
        while let Some((count, length)) = cut(&input[answered..], &mut arguments)? {
            self.run(&arguments[..count], replies);
            answered += length;
        }
        Ok(answered)
    }
}

/// The first request of `input`: how many arguments it has and how long it is. `None`
/// if it has not arrived whole.
fn cut<'a>(
    input: &'a [u8],
    arguments: &mut [&'a [u8]; ARGUMENTS_MAX],
) -> io::Result<Option<(usize, usize)>> {
    let mut at = 0;
    let Some(count) = number(input, &mut at, b'*')? else { return Ok(None) };
    let too_many = || io::Error::other("more arguments than any request has");
    for argument in arguments.get_mut(..count).ok_or_else(too_many)? {
        let Some(length) = number(input, &mut at, b'$')? else { return Ok(None) };
        let Some(bytes) = input.get(at..at + length + 2) else { return Ok(None) };
        *argument = &bytes[..length];
        at += length + 2;
    }
    Ok(Some((count, at)))
}

/// The number of a line that begins with `kind`; `at` is behind it then. `None` if the
/// line has not arrived whole.
fn number(input: &[u8], at: &mut usize, kind: u8) -> io::Result<Option<usize>> {
    let Some((&first, digits)) = input[*at..].split_first() else { return Ok(None) };
    if first != kind {
        return Err(io::Error::other("no request begins like this"));
    }
    let mut number = 0;
    for (place, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if place < DIGITS_MAX => number = 10 * number + usize::from(byte - b'0'),
            // Its line feed is not looked at, only waited for.
            b'\r' if place + 1 < digits.len() => {
                *at += place + 3;
                return Ok(Some(number));
            }
            b'\r' => return Ok(None),
            _ => return Err(io::Error::other("no number")),
        }
    }
    Ok(None)
}

/// The line before a value; formatting it the usual way would take a tenth of a GET.
fn push_length(length: usize, replies: &mut Vec<u8>) {
    let mut line = *b"$0000000000\r\n";
    let (mut first, mut rest) = (line.len() - 3, length);
    line[first] = b'0' + (rest % 10) as u8;
    while rest >= 10 {
        rest /= 10;
        first -= 1;
        line[first] = b'0' + (rest % 10) as u8;
    }
    line[first - 1] = b'$';
    replies.extend_from_slice(&line[first - 1..]);
}

/// Hashes keys as tollgate does, with xxh3 and a seed.
struct Seed(u64);

impl BuildHasher for Seed {
    type Hasher = Xxh3;

    fn build_hasher(&self) -> Xxh3 {
        Xxh3(self.0)
    }
}

/// The seed at first, then the hash of the key.
struct Xxh3(u64);

impl Hasher for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// A slice tells its length first, which is in the hash of its bytes already.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
