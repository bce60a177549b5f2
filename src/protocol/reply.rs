//! Replies, appended to a client's output in its version of the protocol.

use std::fmt;
use std::io::Write;

use bytes::Bytes;

use super::ProtocolError;
use super::number::{self, DECIMAL_BYTES_MAX};
use super::out_buffer::{OutBuffer, SharedPieces};

/// A string from this size on, in bytes, is shared and not copied into the output,
/// if that can be. One more piece costs the system about as much as copying so much does
/// from memory that is in no cache: of 4 KiB a reply costs 1.2 us shared and 1.7 us
/// copied, of 2 KiB 1.0 us either way, and 0.74 and 0.66 us where it is in the cache.
const SHARED_BYTES_MIN: usize = 3 << 10;

/// The version of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// What every client speaks until it says HELLO 3.
    #[default]
    Resp2,
    /// Has types of its own for maps, sets, doubles, booleans, null and pushes.
    Resp3,
}

/// Writes one client's replies.
///
/// Each method appends one complete value, except the headers
/// ([`array`](Reply::array), [`map`](Reply::map), [`set`](Reply::set),
/// [`push`](Reply::push)), after which the caller appends that many elements.
/// A value that RESP2 has no type for becomes the one that Redis sends there.
///
/// A writer [`with_limit`](Reply::with_limit) drops every text that would make
/// the buffer longer than the limit, and all texts after it; what is in the
/// buffer is then no whole reply, and the client can only be closed. Numbers,
/// headers and nulls are written even then: a request is answered with few of
/// them for each of its arguments, so the limit of a request bounds them.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    /// Where strings that are not copied go.
    shared: Option<&'a mut SharedPieces>,
    version: Version,
    /// The length in bytes of `out`, without what is shared, that no text may
    /// exceed; 0 once one has.
    bytes_max: usize,
    overflowed: bool,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `out`, as much as is written.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, version: Version) -> Reply<'a> {
        Reply { out, shared: None, version, bytes_max: usize::MAX, overflowed: false }
    }

    /// A writer that appends to a client's output, where large strings can be
    /// shared.
    #[inline]
    pub fn over(out: &'a mut OutBuffer, version: Version) -> Reply<'a> {
        let OutBuffer { bytes, shared, .. } = out;
        Reply { shared: Some(shared), ..Reply::new(bytes, version) }
    }

    /// The same for a buffer, earlier replies included, of at most `bytes_max`
    /// bytes.
    #[inline]
    pub fn with_limit(self, bytes_max: usize) -> Reply<'a> {
        Reply { bytes_max: bytes_max.saturating_sub(self.shared_bytes()), ..self }
    }

    /// Whether something has been dropped because of the limit.
    #[inline]
    pub fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Whether a text of `len` bytes may be appended.
    #[inline]
    fn has_room(&mut self, len: usize) -> bool {
        if self.out.len() + len <= self.bytes_max {
            return true;
        }
        self.overflow();
        false
    }

    #[cold]
    fn overflow(&mut self) {
        self.overflowed = true;
        // No later text is to slip in where this one is missing. (The buffer
        // may be empty and the text too; that does no harm.)
        self.bytes_max = 0;
    }

    /// Bytes in the buffer that are shared.
    #[inline]
    fn shared_bytes(&self) -> usize {
        self.shared.as_deref().map_or(0, SharedPieces::len)
    }

    /// Bytes in the buffer so far, earlier replies included: a mark for
    /// [`Reply::truncate`].
    #[inline]
    pub fn len(&self) -> usize {
        self.out.len() + self.shared_bytes()
    }

    /// Whether the buffer holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes back what was written after the buffer was `len` bytes long.
    pub fn truncate(&mut self, len: usize) {
        let Some(shared) = self.shared.as_deref_mut() else { return self.out.truncate(len) };
        let before = shared.len();
        // What a command has shared before it failed, is still stored.
        shared.truncate(0, len, drop);
        if !self.overflowed {
            self.bytes_max = self.bytes_max.saturating_add(before - shared.len());
        }
        self.out.truncate(len - shared.len());
    }

    /// The version that replies are written in.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Changes the version for what follows; HELLO answers in the new one.
    #[inline]
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// `+text`. The text must hold no CR or LF.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']), "would end the reply early: {text:?}");
        if !self.has_room(text.len()) {
            return;
        }
        self.out.reserve(text.len() + 3);
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.crlf();
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// `-error`, whose text starts with its code (`ERR`, `WRONGTYPE`).
    ///
    /// An error may quote the client's bytes. As in Redis, CR and LF at its ends
    /// are cut off and those inside become spaces, so it cannot forge a reply.
    pub fn error(&mut self, error: &(impl fmt::Display + ?Sized)) {
        self.error_with(|out| {
            write!(out, "{error}").expect("writing to a Vec fails only if Display itself does");
        });
    }

    /// As [`error`](Reply::error), for a text that quotes bytes outside UTF-8.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.error_with(|out| out.extend_from_slice(text));
    }

    /// `-ERR Protocol error: ...`, the last thing that such a client reads.
    pub fn protocol_error(&mut self, error: ProtocolError) {
        self.error_with(|out| {
            out.extend_from_slice(b"ERR Protocol error: ");
            error.push_text(out);
        });
    }

    fn error_with(&mut self, write_text: impl FnOnce(&mut Vec<u8>)) {
        // An error is short: its own length need not be known beforehand.
        if !self.has_room(0) {
            return;
        }
        self.out.push(b'-');
        let start = self.out.len();
        write_text(self.out);
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = self.out[start..].iter().rposition(|byte| !is_break(byte));
        self.out.truncate(end.map_or(start, |last| start + last + 1));
        let leading = self.out[start..].iter().take_while(|byte| is_break(byte)).count();
        self.out.drain(start..start + leading);
        for byte in self.out[start..].iter_mut().filter(|byte| is_break(byte)) {
            *byte = b' ';
        }
        self.crlf();
    }

    /// `:value`.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        match value {
            // Counters of things done or not done are most of all integers.
            0..=9 => self.out.extend_from_slice(&[b':', b'0' + value as u8, b'\r', b'\n']),
            _ => self.header_signed(b':', value),
        }
    }

    /// `$len`, the bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if !self.has_room(bytes.len()) {
            return;
        }
        self.out.reserve(HEADER_BYTES_MAX + bytes.len() + 2);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.crlf();
    }

    /// The same for a string that others hold as well: a large one is not copied,
    /// where the output can share it.
    pub fn bulk_shared(&mut self, bytes: &Bytes) {
        if self.shared.is_none() || bytes.len() < SHARED_BYTES_MIN {
            return self.bulk(bytes);
        }
        if !self.has_room(bytes.len()) {
            return;
        }
        self.header(b'$', bytes.len());
        if let Some(shared) = self.shared.as_deref_mut() {
            shared.push(self.out.len(), bytes.clone());
            self.bytes_max -= bytes.len();
        }
        self.crlf();
    }

    /// `value` in decimal as a bulk string, which is how GET answers a number.
    #[inline]
    pub fn bulk_int(&mut self, value: i64) {
        self.header(b'$', number::decimal_len(value));
        number::push_i64(self.out, value);
        self.crlf();
    }

    /// No value: `$-1`, or `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.either(b"$-1\r\n", b"_\r\n");
    }

    /// No array: `*-1`, or `_` in RESP3.
    #[inline]
    pub fn null_array(&mut self) {
        self.either(b"*-1\r\n", b"_\r\n");
    }

    /// Header of an array of `len` elements.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Header of a map of `pairs` keys with values; in RESP2 an array of both.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', pairs * 2),
            Version::Resp3 => self.header(b'%', pairs),
        }
    }

    /// Header of a set of `len` elements; in RESP2 an array.
    #[inline]
    pub fn set(&mut self, len: usize) {
        self.header(self.kind(b'*', b'~'), len);
    }

    /// Header of a message that answers no request; in RESP2 an array.
    #[inline]
    pub fn push(&mut self, len: usize) {
        self.header(self.kind(b'*', b'>'), len);
    }

    /// An array whose length is known only when its elements are written:
    /// `elements` writes them and returns how many.
    ///
    /// The header is put before them afterwards, which moves them once.
    pub fn array_with(&mut self, elements: impl FnOnce(&mut Reply<'a>) -> usize) {
        self.deferred(elements, Reply::array);
    }

    /// A map whose size is known only when its pairs are written: `pairs`
    /// writes them and returns how many pairs.
    pub fn map_with(&mut self, pairs: impl FnOnce(&mut Reply<'a>) -> usize) {
        self.deferred(pairs, Reply::map);
    }

    /// A set whose size is known only when its elements are written.
    pub fn set_with(&mut self, elements: impl FnOnce(&mut Reply<'a>) -> usize) {
        self.deferred(elements, Reply::set);
    }

    fn deferred(
        &mut self,
        body: impl FnOnce(&mut Reply<'a>) -> usize,
        header: impl FnOnce(&mut Reply<'a>, usize),
    ) {
        let start = self.out.len();
        let len = body(self);
        let body_end = self.out.len();
        header(self, len);
        // The header was written behind the body; turning it to the front needs
        // no second buffer.
        let header_bytes = self.out.len() - body_end;
        self.out[start..].rotate_right(header_bytes);
        if let Some(shared) = self.shared.as_deref_mut() {
            shared.shift_from(start, header_bytes);
        }
    }

    /// A double: `,value` in RESP3, a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        if self.version == Version::Resp3 {
            self.out.push(b',');
            number::push_f64(self.out, value);
            return self.crlf();
        }
        let start = self.out.len();
        number::push_f64(self.out, value);
        let text_end = self.out.len();
        self.header(b'$', text_end - start);
        let header_bytes = self.out.len() - text_end;
        self.out[start..].rotate_right(header_bytes);
        self.crlf();
    }

    /// `#t` or `#f`; in RESP2 the integers 1 and 0.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        if value { self.either(b":1\r\n", b"#t\r\n") } else { self.either(b":0\r\n", b"#f\r\n") }
    }

    /// Text for people, with the three letters of its format (`txt`, `mkd`);
    /// in RESP2 a bulk string without them.
    pub fn verbatim(&mut self, bytes: &[u8], format: &str) {
        debug_assert_eq!(format.len(), 3, "RESP3 has room for three letters");
        if self.version == Version::Resp2 {
            return self.bulk(bytes);
        }
        if !self.has_room(bytes.len()) {
            return;
        }
        self.header(b'=', bytes.len() + 4);
        self.out.extend_from_slice(format.as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
        self.crlf();
    }

    /// Bytes that are a reply, or several, already.
    #[inline]
    pub fn raw(&mut self, reply: &[u8]) {
        if !self.has_room(reply.len()) {
            return;
        }
        self.out.extend_from_slice(reply);
    }

    #[inline]
    fn either(&mut self, resp2: &'static [u8], resp3: &'static [u8]) {
        self.out.extend_from_slice(match self.version {
            Version::Resp2 => resp2,
            Version::Resp3 => resp3,
        });
    }

    #[inline]
    fn kind(&self, resp2: u8, resp3: u8) -> u8 {
        match self.version {
            Version::Resp2 => resp2,
            Version::Resp3 => resp3,
        }
    }

    /// Appends `kind`, `len` in decimal and the line's end in one copy.
    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        // Of a fixed length, each is one or two stores.
        if len < 10 {
            self.out.extend_from_slice(&[kind, b'0' + len as u8, b'\r', b'\n']);
        } else if len < 100 {
            let [tens, units] = number::two_digits(len);
            self.out.extend_from_slice(&[kind, tens, units, b'\r', b'\n']);
        } else {
            let mut line = [0; HEADER_BYTES_MAX];
            let start = number::write_decimal(&mut line, DIGITS_END, len as u64);
            self.finish_header(&mut line, start, kind);
        }
    }

    #[inline]
    fn header_signed(&mut self, kind: u8, value: i64) {
        let mut line = [0; HEADER_BYTES_MAX];
        let mut start = number::write_decimal(&mut line, DIGITS_END, value.unsigned_abs());
        if value < 0 {
            start -= 1;
            line[start] = b'-';
        }
        self.finish_header(&mut line, start, kind);
    }

    #[inline]
    fn finish_header(&mut self, line: &mut [u8; HEADER_BYTES_MAX], start: usize, kind: u8) {
        line[start - 1] = kind;
        line[DIGITS_END..].copy_from_slice(b"\r\n");
        self.out.extend_from_slice(&line[start - 1..]);
    }

    #[inline]
    fn crlf(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A type byte before, CR LF after the longest number.
const HEADER_BYTES_MAX: usize = 1 + DECIMAL_BYTES_MAX + 2;
const DIGITS_END: usize = HEADER_BYTES_MAX - 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// What `write` appends in RESP2 and in RESP3.
    fn both(write: impl Fn(&mut Reply<'_>)) -> (String, String) {
        let text = |version| {
            let mut out = b"before".to_vec();
            write(&mut Reply::new(&mut out, version));
            out.strip_prefix(b"before").expect("a reply only appends").escape_ascii().to_string()
        };
        (text(Version::Resp2), text(Version::Resp3))
    }

    #[track_caller]
    fn check(write: impl Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        assert_eq!(both(write), (resp2.to_owned(), resp3.to_owned()));
    }

    #[test]
    fn every_type_in_both_versions() {
        check(|r| r.ok(), r"+OK\r\n", r"+OK\r\n");
        check(|r| r.simple("PONG"), r"+PONG\r\n", r"+PONG\r\n");
        check(|r| r.null(), r"$-1\r\n", r"_\r\n");
        check(|r| r.null_array(), r"*-1\r\n", r"_\r\n");
        check(|r| r.bulk(b""), r"$0\r\n\r\n", r"$0\r\n\r\n");
        check(|r| r.bulk(b"a\r\n\0\xff"), r"$5\r\na\r\n\x00\xff\r\n", r"$5\r\na\r\n\x00\xff\r\n");
        check(|r| r.bulk(b"0123456789"), r"$10\r\n0123456789\r\n", r"$10\r\n0123456789\r\n");
        check(|r| r.array(0), r"*0\r\n", r"*0\r\n");
        check(|r| r.array(1024), r"*1024\r\n", r"*1024\r\n");
        check(|r| r.map(5), r"*10\r\n", r"%5\r\n");
        check(|r| r.set(3), r"*3\r\n", r"~3\r\n");
        check(|r| r.push(3), r"*3\r\n", r">3\r\n");
        check(|r| r.boolean(true), r":1\r\n", r"#t\r\n");
        check(|r| r.boolean(false), r":0\r\n", r"#f\r\n");
        check(|r| r.double(1.5), r"$3\r\n1.5\r\n", r",1.5\r\n");
        check(|r| r.double(0.1), r"$19\r\n0.10000000000000001\r\n", r",0.10000000000000001\r\n");
        check(|r| r.double(f64::NEG_INFINITY), r"$4\r\n-inf\r\n", r",-inf\r\n");
        check(|r| r.verbatim(b"hi", "txt"), r"$2\r\nhi\r\n", r"=6\r\ntxt:hi\r\n");
        check(|r| r.raw(b"+A\r\n+B\r\n"), r"+A\r\n+B\r\n", r"+A\r\n+B\r\n");
    }

    #[test]
    fn integers_of_every_length() {
        for value in [0, 1, 9, 10, 99, 100, 12_345, -1, -10, i64::MAX, i64::MIN] {
            let (text, _) = both(|r| r.integer(value));
            assert_eq!(text, format!(r":{value}\r\n"));
            let (text, _) = both(|r| r.bulk_int(value));
            assert_eq!(text, format!(r"${}\r\n{value}\r\n", value.to_string().len()));
        }
    }

    #[test]
    fn an_error_stays_on_one_line() {
        for (text, expected) in [
            ("ERR no such key", r"-ERR no such key\r\n"),
            ("ERR a\r\nb\nc", r"-ERR a  b c\r\n"),
            ("\r\n\nERR a\r\n\r\n", r"-ERR a\r\n"),
            ("\n", r"-\r\n"),
            ("", r"-\r\n"),
        ] {
            check(|r| r.error(text), expected, expected);
            check(|r| r.error_bytes(text.as_bytes()), expected, expected);
        }
        check(|r| r.error_bytes(b"ERR '\xff'"), r"-ERR \'\xff\'\r\n", r"-ERR \'\xff\'\r\n");
    }

    #[test]
    fn protocol_errors_are_told_in_full() {
        let (text, _) = both(|r| r.protocol_error(ProtocolError::ExpectedDollar(b'\r')));
        assert_eq!(text, r"-ERR Protocol error: expected \'$\', got \' \'\r\n");
        let (text, _) = both(|r| r.protocol_error(ProtocolError::InvalidBulkLength));
        assert_eq!(text, r"-ERR Protocol error: invalid bulk length\r\n");
    }

    #[test]
    fn deferred_lengths_nest() {
        check(
            |r| {
                r.array_with(|r| {
                    r.integer(1);
                    r.map_with(|r| {
                        r.bulk(b"k");
                        r.set_with(|_| 0);
                        1
                    });
                    for _ in 0..9 {
                        r.integer(7);
                    }
                    11
                });
            },
            &format!(r"*11\r\n:1\r\n*2\r\n$1\r\nk\r\n*0\r\n{}", r":7\r\n".repeat(9)),
            &format!(r"*11\r\n:1\r\n%1\r\n$1\r\nk\r\n~0\r\n{}", r":7\r\n".repeat(9)),
        );
    }

    #[test]
    fn the_version_can_change_between_replies() {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Version::default());
        reply.null();
        reply.set_version(Version::Resp3);
        reply.null();
        assert_eq!(reply.version(), Version::Resp3);
        assert_eq!(out, b"$-1\r\n_\r\n");
    }

    #[test]
    fn what_does_not_fit_is_dropped_with_all_that_follows() {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Version::Resp3).with_limit(20);
        reply.array(4);
        reply.bulk(b"0123456789");
        assert!(!reply.has_overflowed());
        for _ in 0..1_000 {
            reply.bulk(b"x");
            reply.verbatim(b"x", "txt");
            reply.raw(b"x");
            reply.simple("x");
            reply.error("ERR x");
        }
        assert!(reply.has_overflowed());
        assert_eq!(out, b"*4\r\n$10\r\n0123456789\r\n");
    }

    #[test]
    fn what_was_written_after_a_mark_can_be_taken_back() {
        check(
            |r| {
                assert!(!r.is_empty(), "earlier replies count");
                r.ok();
                let mark = r.len();
                r.bulk(b"half a repl");
                r.truncate(mark);
                r.null();
            },
            r"+OK\r\n$-1\r\n",
            r"+OK\r\n_\r\n",
        );
    }
}
