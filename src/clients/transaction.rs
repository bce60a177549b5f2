//! MULTI: requests that wait for EXEC, and the keys that must not change
//! meanwhile.

use std::collections::HashSet;

use crate::protocol::{Args, Span};

/// What a client has collected since MULTI.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The arguments of all requests, one behind the other: three buffers for
    /// the whole, so that a short request costs little more than its bytes.
    bytes: Vec<u8>,
    /// Where they lie, counted from the first byte of their request.
    spans: Vec<Span>,
    /// Where each request ends.
    ends: Vec<End>,
    /// A request could not be queued: EXEC will refuse the whole.
    pub(crate) refused: bool,
    /// A queued command writes, or publishes.
    pub(crate) writes: bool,
}

/// Where a request ends in the buffers of its transaction.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    bytes: usize,
    spans: usize,
}

impl Transaction {
    /// Keeps a request for EXEC.
    pub(crate) fn queue(&mut self, args: Args<'_>) {
        let begin = self.bytes.len();
        for arg in args.iter() {
            // A request is below 4 GiB, so its spans have 32 bits.
            let start = (self.bytes.len() - begin) as u32;
            self.bytes.extend_from_slice(arg);
            self.spans.push(Span { start, end: (self.bytes.len() - begin) as u32 });
        }
        self.ends.push(End { bytes: self.bytes.len(), spans: self.spans.len() });
    }

    /// Bytes that would be queued with this request too: all arguments, the
    /// places where they lie, and those where the requests end. (A buffer that
    /// grows doubles; what it has in reserve for the next ones is not counted.)
    pub(crate) fn bytes_with(&self, args: Args<'_>) -> usize {
        let arg_bytes: usize = args.iter().map(<[u8]>::len).sum();
        (self.bytes.len() + arg_bytes)
            + (self.spans.len() + args.len()) * size_of::<Span>()
            + (self.ends.len() + 1) * size_of::<End>()
    }

    /// Number of requests queued.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Memory of what is queued, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.ends.capacity() * size_of::<End>()
    }

    /// The requests, in the order in which they came.
    pub(crate) fn requests(&self) -> impl Iterator<Item = Args<'_>> {
        let mut begin = End::default();
        self.ends.iter().map(move |&end| {
            let bytes = &self.bytes[begin.bytes..end.bytes];
            let spans = &self.spans[begin.spans..end.spans];
            begin = end;
            Args::from_parts(bytes, spans)
        })
    }
}

/// The keys that a client watches, each with its database.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// What is watched; the keyspace has the other direction.
    keys: HashSet<(usize, Box<[u8]>)>,
    names_bytes: usize,
    /// One of them has changed: EXEC will answer nil.
    pub(crate) dirty: bool,
}

impl Watched {
    /// Adds a key; returns whether it was not watched yet.
    pub(crate) fn insert(&mut self, db: usize, name: &[u8]) -> bool {
        let added = self.keys.insert((db, name.into()));
        if added {
            self.names_bytes += name.len();
        }
        added
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of all their names.
    pub(crate) fn names_bytes(&self) -> usize {
        self.names_bytes
    }

    /// The keys, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.keys.iter().map(|(db, name)| (*db, &**name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_and_none_costs_an_allocation_of_its_own() {
        let word = [Span { start: 0, end: 4 }];
        let pair = [Span { start: 0, end: 3 }, Span { start: 3, end: 3 }];
        let mut transaction = Transaction::default();
        for _ in 0..1_000 {
            transaction.queue(Args::from_parts(b"PING", &word));
            let next = Args::from_parts(b"GET", &pair);
            let expected = transaction.bytes_with(next);
            transaction.queue(next);
            assert!((expected..=2 * expected + 256).contains(&transaction.bytes()));
        }
        assert_eq!(transaction.len(), 2_000);
        for (index, args) in transaction.requests().enumerate() {
            let expected: &[&[u8]] = if index % 2 == 0 { &[b"PING"] } else { &[b"GET", b""] };
            assert_eq!(args.iter().collect::<Vec<_>>(), expected);
        }
    }
}
