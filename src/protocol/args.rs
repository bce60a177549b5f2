//! The arguments of one request, without copies of them.

use std::ops::Index;

/// Where one argument lies in the bytes of its request.
///
/// Offsets have 32 bits because a request is refused before it reaches 4 GiB
/// (see [`RequestBuffer::parse`](super::RequestBuffer::parse)): a million
/// arguments then cost 8 MB of spans instead of 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

/// The arguments of one request, the command's name first.
///
/// It is two slices and therefore `Copy`; the arguments live as long as the
/// input they point into.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `bytes`.
    ///
    /// Every span must lie inside `bytes`; using one that does not panics.
    #[inline]
    pub fn from_parts(bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { bytes, spans }
    }

    /// Number of arguments, the command's name included.
    #[inline]
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name, as in an empty line.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`, borrowed from the input rather than from `self`.
    #[inline]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|&span| slice(self.bytes, span))
    }

    /// Bytes from the first argument's start to the last one's end: about the length
    /// of the request.
    #[inline]
    pub fn bytes(self) -> usize {
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) => (last.end - first.start) as usize,
            _ => 0,
        }
    }

    /// All arguments in order.
    #[inline]
    pub fn iter(self) -> ArgsIter<'a> {
        ArgsIter { bytes: self.bytes, spans: self.spans.iter() }
    }

    /// The arguments from index `from` on; empty if there are none.
    #[inline]
    pub fn tail(self, from: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: self.spans.get(from..).unwrap_or_default() }
    }
}

#[inline]
fn slice(bytes: &[u8], span: Span) -> &[u8] {
    &bytes[span.start as usize..span.end as usize]
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        slice(self.bytes, self.spans[index])
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    #[inline]
    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

/// Iterator over the arguments of a request.
#[derive(Clone, Debug)]
pub struct ArgsIter<'a> {
    bytes: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|&span| slice(self.bytes, span))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl DoubleEndedIterator for ArgsIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back().map(|&span| slice(self.bytes, span))
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(ranges: &[(u32, u32)]) -> Vec<Span> {
        ranges.iter().map(|&(start, end)| Span { start, end }).collect()
    }

    #[test]
    fn arguments_are_slices_of_the_input() {
        let spans = spans(&[(1, 4), (4, 4), (6, 8)]);
        let args = Args::from_parts(b".SET..ab.", &spans);
        assert_eq!(args.len(), 3);
        assert_eq!(&args[0], b"SET");
        assert_eq!(args.get(1), Some(&b""[..]));
        assert_eq!(args.get(3), None);
        assert_eq!(args.iter().rev().collect::<Vec<_>>(), [&b"ab"[..], b"", b"SET"]);
        assert_eq!(args.tail(2).iter().collect::<Vec<_>>(), [b"ab"]);
        assert!(args.tail(3).is_empty() && args.tail(9).is_empty());
    }

    #[test]
    fn an_argument_outlives_the_view() {
        let spans = spans(&[(0, 3)]);
        let input = b"GET".to_vec();
        let name = {
            let args = Args::from_parts(&input, &spans);
            args.get(0)
        };
        assert_eq!(name, Some(&b"GET"[..]));
    }
}
