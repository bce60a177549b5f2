//! Cuts requests out of a client's input.
//!
//! It accepts and refuses what Redis 7.0 does, in the same words, except that
//!
//! - a NUL byte in a line is a byte like any other, where Redis takes it for the
//!   end of what has arrived and waits;
//! - a line above its limit is refused even if it arrives all at once, so that
//!   the outcome never depends on how the network cut the input;
//! - the number of arguments has a limit of its own, below Redis's `INT_MAX`.

use ahead::Cut;
pub(crate) use ahead::cut_lone;

use super::number::parse_i64;
use super::{Args, ProtocolError, Span, inline};

mod ahead;

/// A client that has yet to authenticate may send this many arguments ...
const UNAUTHENTICATED_ARGS_MAX: u64 = 10;
/// ... of this many bytes each, enough for AUTH and HELLO and no more.
const UNAUTHENTICATED_BULK_BYTES_MAX: u64 = 16 * 1024;

/// Spans that a [`RequestBuffer`] keeps allocated between requests. A rare huge
/// request gives its memory back; everything up to 16,384 arguments reuses it.
const SPANS_KEPT_MAX: usize = 16 * 1024;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest argument, in bytes.
    pub bulk_bytes_max: usize,
    /// Most arguments of one request.
    pub args_max: usize,
    /// Longest inline request, and longest line with a length, in bytes without
    /// the line's end.
    pub inline_bytes_max: usize,
    authenticated: bool,
}

impl Limits {
    /// The limits for a client that has authenticated or need not.
    pub fn new(bulk_bytes_max: usize, args_max: usize, inline_bytes_max: usize) -> Limits {
        Limits { bulk_bytes_max, args_max, inline_bytes_max, authenticated: true }
    }

    /// The same limits for a client that has yet to authenticate: requests are
    /// also held to 10 arguments of 16 KiB, so that strangers cost little memory.
    #[must_use]
    pub fn unauthenticated(self) -> Limits {
        Limits { authenticated: false, ..self }
    }
}

/// What [`RequestBuffer::parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The first `consumed` bytes of the input are one request; its arguments
    /// are in [`RequestBuffer::args`]. It may have none (an empty line, `*0`,
    /// `*-1`): such a request asks for nothing and gets no reply.
    Complete {
        /// Bytes of the input that belong to this request, at least 1.
        consumed: usize,
    },
    /// The request goes on beyond the input, for at least `needed` more bytes.
    ///
    /// Only a bulk that has begun counts, and a client chooses its length: a
    /// caller that reserves room for it should do so under a bound of its own.
    Incomplete {
        /// Lower bound of the bytes that are missing, at least 1.
        needed: usize,
    },
}

/// How far an incomplete request has been parsed, so that the bytes before are
/// never looked at again and a request in many pieces costs linear time.
///
/// It belongs to the input: whoever keeps the input keeps it, and drops both
/// together.
#[derive(Debug, Default)]
pub struct Progress {
    position: Position,
    spans: Vec<Span>,
}

impl Progress {
    /// Bytes of memory that it holds.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Progress>() + self.spans.capacity() * size_of::<Span>()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// Start of the first line that is not yet done with: the request's own
    /// line while this is 0, afterwards an argument's header.
    at: usize,
    /// No line ends before this offset, counted from `at` on.
    searched: usize,
    /// Arguments that are still to come, once the request's own line is read.
    args_left: usize,
}

/// The place where requests are parsed, one after the other; one serves all
/// clients of a server and is reused for every request.
#[derive(Debug, Default)]
pub struct RequestBuffer {
    spans: Vec<Span>,
    /// Words of an inline request, freed of their quotes.
    words: Vec<u8>,
    is_inline: bool,
    /// Requests that have been cut ahead.
    cuts: Vec<Cut>,
}

impl RequestBuffer {
    /// An empty buffer.
    pub fn new() -> RequestBuffer {
        RequestBuffer::default()
    }

    /// Parses the request that `input` starts with.
    ///
    /// `progress` is `None` at the start of a request. If the request is
    /// incomplete it becomes `Some` (not for an empty input) and has to be passed
    /// again, with the same bytes and more behind them; it is `None` again after a complete request
    /// and after an error.
    ///
    /// # Errors
    ///
    /// Input that breaks the protocol or a limit. A request of 4 GiB or more in
    /// all is refused as an invalid bulk length whatever the limits are.
    #[inline]
    pub fn parse(
        &mut self,
        input: &[u8],
        progress: &mut Option<Box<Progress>>,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        let Some(saved) = progress else {
            self.forget();
            let mut position = Position::default();
            let parsed = self.advance(input, &mut position, limits)?;
            if matches!(parsed, Parsed::Incomplete { .. }) && !input.is_empty() {
                *progress = Some(Box::new(Progress { position, spans: self.spans.clone() }));
            }
            return Ok(parsed);
        };
        std::mem::swap(&mut self.spans, &mut saved.spans);
        let parsed = self.advance(input, &mut saved.position, limits);
        if let Ok(Parsed::Incomplete { .. }) = parsed {
            // Swapped, not copied: a copy at every piece would be quadratic.
            std::mem::swap(&mut self.spans, &mut saved.spans);
        } else {
            *progress = None;
        }
        parsed
    }

    /// The arguments of the request that [`parse`](RequestBuffer::parse) has
    /// just found complete in `input`.
    #[inline]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args::from_parts(if self.is_inline { &self.words } else { input }, &self.spans)
    }

    /// Forgets the last request's arguments, and gives back the memory of very many.
    #[inline]
    fn forget(&mut self) {
        if self.spans.capacity() > SPANS_KEPT_MAX {
            self.spans = Vec::new();
        }
        self.spans.clear();
    }

    fn advance(
        &mut self,
        input: &[u8],
        position: &mut Position,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        let Position { mut at, mut args_left, .. } = *position;
        self.is_inline = false;
        if at == 0 {
            if input.first() != Some(&b'*') {
                return self.inline_request(input, position, limits);
            }
            let (count, next) = match canonical_length(input, 0, b'*') {
                Some(found) => found,
                None => match odd_count(input, position, limits)? {
                    Some(found) => found,
                    None => return Ok(Parsed::Incomplete { needed: 1 }),
                },
            };
            if count > limits.args_max as u64 {
                return Err(ProtocolError::InvalidMultibulkLength);
            }
            if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
                return Err(ProtocolError::UnauthenticatedMultibulkLength);
            }
            (at, args_left) = (next, count as usize);
        }
        while args_left > 0 {
            (position.at, position.args_left) = (at, args_left);
            let (len, start) = match canonical_length(input, at, b'$') {
                Some(found) => found,
                None => match odd_bulk_length(input, position, limits)? {
                    Some(found) => found,
                    None => return Ok(Parsed::Incomplete { needed: 1 }),
                },
            };
            if len > limits.bulk_bytes_max as u64 {
                return Err(ProtocolError::InvalidBulkLength);
            }
            if len > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
                return Err(ProtocolError::UnauthenticatedBulkLength);
            }
            let Ok(end) = u32::try_from(start as u64 + len) else {
                return Err(ProtocolError::InvalidBulkLength);
            };
            // Two more bytes have to be there; like Redis, nobody asks which.
            let next = end as usize + 2;
            if input.len() < next {
                return Ok(Parsed::Incomplete { needed: next - input.len() });
            }
            // `start` is not above `end`, which has just fitted.
            self.spans.push(Span { start: start as u32, end });
            at = next;
            args_left -= 1;
        }
        Ok(Parsed::Complete { consumed: at })
    }

    #[cold]
    fn inline_request(
        &mut self,
        input: &[u8],
        position: &mut Position,
        limits: &Limits,
    ) -> Result<Parsed, ProtocolError> {
        let too_big = ProtocolError::TooBigInlineRequest;
        let Some(line_end) = find_line_end(input, b'\n', position, limits, too_big)? else {
            return Ok(Parsed::Incomplete { needed: 1 });
        };
        let line = &input[..line_end];
        self.is_inline = true;
        self.words.clear();
        inline::split(line.strip_suffix(b"\r").unwrap_or(line), &mut self.words, &mut self.spans)?;
        Ok(Parsed::Complete { consumed: line_end + 1 })
    }
}

/// Reads the line at `at` if it is complete, starts with `kind` and holds a
/// number in its one canonical form, as every client sends it: the number, and
/// where the next line starts. Anything else, right or wrong, is left to the
/// slower [`odd_count`] and [`odd_bulk_length`].
#[inline(always)]
fn canonical_length(input: &[u8], at: usize, kind: u8) -> Option<(u64, usize)> {
    let line = input.get(at..)?;
    if *line.first()? != kind {
        return None;
    }
    let mut value = u64::from(digit(*line.get(1)?)?);
    let mut index = 2;
    loop {
        let byte = *line.get(index)?;
        match digit(byte) {
            // Eighteen digits cannot overflow; after a leading zero none may follow.
            Some(digit) if value != 0 && index <= 18 => value = value * 10 + u64::from(digit),
            _ => break,
        }
        index += 1;
    }
    // The byte after CR is taken for LF without a look, but it has to be there.
    (line[index] == b'\r' && line.len() > index + 1).then_some((value, at + index + 2))
}

#[inline(always)]
fn digit(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(digit)
}

/// The request's own line where [`canonical_length`] gave up: `None` if it is
/// incomplete, otherwise the number of arguments, where a negative one is none.
#[cold]
fn odd_count(
    input: &[u8],
    position: &mut Position,
    limits: &Limits,
) -> Result<Option<(u64, usize)>, ProtocolError> {
    let too_big = ProtocolError::TooBigMultibulkCount;
    let Some(cr) = find_length_end(input, position, limits, too_big)? else { return Ok(None) };
    match parse_i64(&input[1..cr]) {
        Some(count) => Ok(Some((u64::try_from(count).unwrap_or(0), cr + 2))),
        None => Err(ProtocolError::InvalidMultibulkLength),
    }
}

/// An argument's header where [`canonical_length`] gave up: `None` if it is
/// incomplete, otherwise its length. Redis reads the whole line before it minds
/// the first byte, so the order of these checks decides which error is told.
#[cold]
fn odd_bulk_length(
    input: &[u8],
    position: &mut Position,
    limits: &Limits,
) -> Result<Option<(u64, usize)>, ProtocolError> {
    let too_big = ProtocolError::TooBigBulkCount;
    let Some(cr) = find_length_end(input, position, limits, too_big)? else { return Ok(None) };
    let at = position.at;
    if input[at] != b'$' {
        return Err(ProtocolError::ExpectedDollar(input[at]));
    }
    match parse_i64(&input[at + 1..cr]).map(u64::try_from) {
        Some(Ok(len)) => Ok(Some((len, cr + 2))),
        _ => Err(ProtocolError::InvalidBulkLength),
    }
}

/// Finds the CR that ends a line with a length; `None` until the byte behind it
/// is there as well.
fn find_length_end(
    input: &[u8],
    position: &mut Position,
    limits: &Limits,
    too_big: ProtocolError,
) -> Result<Option<usize>, ProtocolError> {
    let cr = find_line_end(input, b'\r', position, limits, too_big)?;
    Ok(cr.filter(|&cr| cr + 1 < input.len()))
}

/// Finds the byte that ends the line at `position.at`. The search starts where
/// the last one stopped, and it ends at the limit even if the input goes on, so
/// the outcome does not depend on how the input was cut.
fn find_line_end(
    input: &[u8],
    terminator: u8,
    position: &mut Position,
    limits: &Limits,
    too_big: ProtocolError,
) -> Result<Option<usize>, ProtocolError> {
    let line_end_max = position.at.saturating_add(limits.inline_bytes_max);
    let search_end = input.len().min(line_end_max.saturating_add(1));
    let search_start = position.searched.max(position.at);
    let searched = &input[search_start..search_end];
    match searched.iter().position(|&byte| byte == terminator) {
        Some(index) => {
            position.searched = search_start + index;
            Ok(Some(search_start + index))
        }
        None if search_end > line_end_max => Err(too_big),
        None => {
            position.searched = search_end;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
