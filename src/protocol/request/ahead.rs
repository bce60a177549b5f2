//! Cutting several requests ahead of running the first.
//!
//! A pipelined client sends many requests at once. When all of them are cut
//! before the first is run, the memory that they will look at can be fetched
//! while others run. Nearly all requests have the same plain form, an array of
//! bulks whose lengths are written as every client writes them; this cuts only
//! those, and leaves whatever else there is, right or wrong, to
//! [`RequestBuffer::parse`].

use super::{Limits, Parsed, Progress, RequestBuffer, canonical_length};
use crate::protocol::{Args, ProtocolError, Span};

/// A request that has been cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Its arguments end here among all spans, and begin where those of the one
    /// before it end.
    spans_end: usize,
    /// Offset behind its last byte.
    end: usize,
}

impl RequestBuffer {
    /// Cuts the requests that `input` starts with: at least the first, if it is
    /// complete, and at most `requests_max`, which must not be 0. Returns how many;
    /// [`cut_args`](RequestBuffer::cut_args) and
    /// [`cut_end`](RequestBuffer::cut_end) tell of each. None means that the first
    /// is incomplete.
    ///
    /// `progress` is that of [`parse`](RequestBuffer::parse). Nothing is cut ahead
    /// under the limits of an unauthenticated client, since its first request may
    /// change them.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](RequestBuffer::parse), for the first request only: what is
    /// wrong with a later one is found when it is the first.
    pub fn cut(
        &mut self,
        input: &[u8],
        progress: &mut Option<Box<Progress>>,
        limits: &Limits,
        requests_max: usize,
    ) -> Result<usize, ProtocolError> {
        self.cuts.clear();
        if progress.is_none() && limits.authenticated && input.len() <= u32::MAX as usize {
            self.forget();
            self.is_inline = false;
            let mut at = 0;
            while at < input.len()
                && self.cuts.len() < requests_max
                && let Some(end) = self.cut_plain(input, at, limits)
            {
                self.cuts.push(Cut { spans_end: self.spans.len(), end });
                at = end;
            }
            if !self.cuts.is_empty() {
                return Ok(self.cuts.len());
            }
        }
        match self.parse(input, progress, limits)? {
            Parsed::Complete { consumed } => {
                self.cuts.push(Cut { spans_end: self.spans.len(), end: consumed });
                Ok(1)
            }
            Parsed::Incomplete { .. } => Ok(0),
        }
    }

    /// The arguments of the request with this number, of those that
    /// [`cut`](RequestBuffer::cut) has just found in `input`.
    ///
    /// # Panics
    /// If there is no such request.
    #[inline]
    pub fn cut_args<'a>(&'a self, input: &'a [u8], index: usize) -> Args<'a> {
        let bytes = if self.is_inline { &self.words } else { input };
        Args::from_parts(bytes, self.spans_of(index))
    }

    #[inline]
    fn spans_of(&self, index: usize) -> &[Span] {
        let start = if index == 0 { 0 } else { self.cuts[index - 1].spans_end };
        &self.spans[start..self.cuts[index].spans_end]
    }

    /// Where that request ends in the input.
    ///
    /// # Panics
    /// If there is no such request.
    #[inline]
    pub fn cut_end(&self, index: usize) -> usize {
        self.cuts[index].end
    }

    /// Cuts the request at `at` if it is complete, of the plain form and within the
    /// limits, and says where it ends. Otherwise nothing has happened.
    #[inline]
    fn cut_plain(&mut self, input: &[u8], at: usize, limits: &Limits) -> Option<usize> {
        let spans = self.spans.len();
        let end = cut_arguments(input, at, limits, |_, span| {
            self.spans.push(span);
            Some(())
        });
        if end.is_none() {
            self.spans.truncate(spans);
        }
        end
    }
}

/// Cuts `input` if it is one request of the plain form, within the limits, that has no
/// more arguments than there are `spans`, and nothing else. Answers how many it has.
#[inline]
pub(crate) fn cut_lone(input: &[u8], limits: &Limits, spans: &mut [Span]) -> Option<usize> {
    let mut count = 0;
    let end = cut_arguments(input, 0, limits, |index, span| {
        *spans.get_mut(index)? = span;
        count = index + 1;
        Some(())
    });
    (end == Some(input.len())).then_some(count)
}

/// Cuts the request at `at` if it is complete, of the plain form and within the limits,
/// and says where it ends. Each argument is given to `take`, which may not want it.
#[inline(always)]
fn cut_arguments(
    input: &[u8],
    at: usize,
    limits: &Limits,
    mut take: impl FnMut(usize, Span) -> Option<()>,
) -> Option<usize> {
    let (count, mut at) = short_length(input, at, b'*')?;
    if count == 0 || count > limits.args_max {
        return None;
    }
    for index in 0..count {
        let (len, start) = short_length(input, at, b'$')?;
        let end = start.checked_add(len)?;
        at = end.checked_add(2)?;
        if at > input.len() || len > limits.bulk_bytes_max {
            return None;
        }
        // The whole input is shorter than 4 GiB.
        take(index, Span { start: start as u32, end: end as u32 })?;
    }
    Some(at)
}

/// [`canonical_length`], with lengths of one digit and of two, which nearly all
/// are, read in one look at four bytes.
#[inline(always)]
fn short_length(input: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let line = u32::from_le_bytes(*input.get(at..)?.first_chunk()?);
    // Zero where the bytes are as expected, and a digit's value where it stands. The
    // byte after CR is taken for LF without a look.
    let one = (line ^ u32::from_le_bytes([kind, b'0', b'\r', 0])) & 0x00ff_ffff;
    if one & 0xff == 0 && one <= 0x0900 {
        return Some(((one >> 8) as usize, at + 4));
    }
    let two = line ^ u32::from_le_bytes([kind, b'0', b'0', b'\r']);
    let (tens, units) = (two >> 8 & 0xff, two >> 16);
    if two & 0xff == 0 && (1..=9).contains(&tens) && units <= 9 {
        return Some(((tens * 10 + units) as usize, at + 5));
    }
    let (length, next) = canonical_length(input, at, kind)?;
    Some((usize::try_from(length).ok()?, next))
}
