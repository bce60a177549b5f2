//! What a client has sent and the server has not run yet.

use crate::protocol::Progress;

/// What has arrived and has not been run.
///
/// A large argument that is still arriving has room for all of it, so that it need
/// not be moved again and again, and the buffer ends with it, so that the value can
/// be taken over together with the buffer. A request with many large arguments learns
/// of them one by one: its room grows by half at least, so that what it moves in all is
/// no more than a few times its length. The client chooses the length, so room
/// costs nothing until something stands in it: it is not touched, and below
/// [`Unread::CLAIMED_BYTES_MAX`] of received bytes there is no more of it than that.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pub(crate) bytes: Vec<u8>,
    /// How far the first request in `bytes` has been cut already.
    pub(crate) progress: Option<Box<Progress>>,
    /// Bytes that the large argument at the end of `bytes` still lacks; 0 if there is
    /// none.
    missing: usize,
    /// Bytes that the last read has filled of it.
    last_filled: usize,
}

/// Where the rest of a large argument is read to.
#[derive(Debug)]
pub enum Room<'a> {
    /// Into this, from its front; what is longer goes elsewhere. Empty if there is no such
    /// argument.
    Window(&'a mut [u8]),
    /// To the end of this, as far as there is capacity. Some of what follows the argument
    /// may come along.
    Spare(&'a mut Vec<u8>),
}

impl Unread {
    /// A request with an argument from this size on, in bytes, has a buffer of its
    /// own.
    pub(crate) const LARGE_BYTES_MIN: usize = 32 << 10;
    /// Of an argument that continues a request, at least so many bytes have to be
    /// missing for it to be read by itself: small ones come many at a time.
    const MISSING_BYTES_MIN: usize = 4 << 10;
    /// Room, in bytes, for what a client has announced and of which it has not sent
    /// as much yet.
    pub(crate) const CLAIMED_BYTES_MAX: usize = 1 << 20;
    /// Most bytes that are read into the buffer at once: what the processor's cache
    /// holds, and what takes well below a millisecond.
    const WINDOW_BYTES_MAX: usize = 256 << 10;
    /// What is read into it at least, if it lacks as much.
    const WINDOW_BYTES_MIN: usize = 64 << 10;
    /// Most spare room, in bytes, behind a large argument, for shorter ones that
    /// follow it.
    const SPARE_BYTES_MAX: usize = 64 << 10;
    /// The part of a request that is spare room: one in so many bytes.
    const SPARE_SHARE: usize = 16;

    /// A copy of `bytes`, whose request lacks at least `needed` more.
    pub(crate) fn new(bytes: &[u8], progress: Option<Box<Progress>>, needed: usize) -> Unread {
        let mut unread = Unread { bytes: Vec::new(), progress, missing: 0, last_filled: 0 };
        let is_large = bytes.len() + needed >= Self::LARGE_BYTES_MIN;
        if !is_large || !unread.reserve(bytes.len() + needed, bytes.len()) {
            unread.bytes.reserve_exact(bytes.len());
        }
        unread.bytes.extend_from_slice(bytes);
        // If it lacks one, that may as well be a line that is unfinished.
        unread.missing = if is_large && needed > 1 { needed } else { 0 };
        unread.make_room();
        unread
    }

    /// The request, of which a part was there before, lacks at least `needed` more bytes.
    pub(crate) fn expect(&mut self, needed: usize) {
        let is_large =
            needed >= Self::MISSING_BYTES_MIN && self.bytes.len() + needed >= Self::LARGE_BYTES_MIN;
        self.missing = if is_large { needed } else { 0 };
        self.make_room();
    }

    /// Whether it ends in an argument of which something is missing, so that nothing
    /// can be run.
    pub(crate) fn is_waiting(&self) -> bool {
        self.missing > 0
    }

    /// Appends what belongs to the argument that is arriving, or everything if there
    /// is none, and gives the rest.
    pub(crate) fn append<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.missing == 0 {
            self.bytes.extend_from_slice(bytes);
            return b"";
        }
        let (own, rest) = bytes.split_at(self.missing.min(bytes.len()));
        self.bytes.extend_from_slice(own);
        self.missing -= own.len();
        self.make_room();
        rest
    }

    /// Lets `read` bring bytes: to the room that it is given, and if that is a window and
    /// they are more, to the front of `behind`. It says how many there are in all. Returns
    /// how many belong to the argument that is arriving, and how many stand in `behind`
    /// now.
    pub(crate) fn fill(
        &mut self,
        behind: &mut [u8],
        read: impl FnOnce(Room<'_>, &mut [u8]) -> usize,
    ) -> (usize, usize) {
        let len = self.bytes.len();
        let room = self.bytes.capacity() - len;
        let holds_all = self.missing > 0
            && (self.missing..=Self::WINDOW_BYTES_MAX).contains(&room)
            && room - self.missing <= behind.len().min((len + self.missing) / Self::SPARE_SHARE);
        let (filled, ahead) = if holds_all {
            read(Room::Spare(&mut self.bytes), behind);
            let filled = (self.bytes.len() - len).min(self.missing);
            let ahead = &self.bytes[len + filled..];
            behind[..ahead.len()].copy_from_slice(ahead);
            (filled, ahead.len())
        } else {
            // It has to be zeroed first, which is not to cost more than what is read.
            let window =
                (2 * self.last_filled).clamp(Self::WINDOW_BYTES_MIN, Self::WINDOW_BYTES_MAX);
            let window = self.missing.min(window).min(room);
            self.bytes.resize(len + window, 0);
            let count = read(Room::Window(&mut self.bytes[len..]), behind);
            (count.min(window), count.saturating_sub(window))
        };
        self.bytes.truncate(len + filled);
        self.missing -= filled;
        self.last_filled = filled;
        self.make_room();
        (filled, ahead)
    }

    /// Sees to it that there is room for more of the argument, and, when enough of it
    /// has come, for all.
    fn make_room(&mut self) {
        let len = self.bytes.len();
        if self.missing == 0 || self.bytes.capacity() - len >= self.missing {
            return;
        }
        let is_full = self.bytes.capacity() == len;
        if (is_full || len >= Self::CLAIMED_BYTES_MAX) && !self.reserve(self.missing, len) {
            // There is not that much memory. What has arrived fits once more, or the
            // process cannot go on.
            self.bytes.reserve(1);
        }
    }

    /// Reserves room for `needed` bytes when `received` have arrived; false if the
    /// memory cannot be had.
    fn reserve(&mut self, needed: usize, received: usize) -> bool {
        let total = self.bytes.len() + needed;
        let spare = (total / Self::SPARE_SHARE).min(Self::SPARE_BYTES_MAX);
        let claim_max = if received >= Self::CLAIMED_BYTES_MAX {
            usize::MAX
        } else {
            Self::CLAIMED_BYTES_MAX + received
        };
        let room = (needed + spare).max(received / 2);
        self.bytes.try_reserve_exact(room.min(claim_max)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_by_what_has_been_received() {
        const ANNOUNCED: usize = 100 << 20;
        let mut unread = Unread::new(&[b'x'; 100], None, ANNOUNCED);
        assert!(unread.bytes.capacity() <= 2 * Unread::CLAIMED_BYTES_MAX);
        let mut moves = 0;
        let mut address = unread.bytes.as_ptr();
        while unread.is_waiting() {
            let (filled, ahead) = unread.fill(&mut [0; 4], |room, _| match room {
                Room::Window(window) => {
                    assert!((1..=Unread::WINDOW_BYTES_MAX).contains(&window.len()));
                    window.fill(b'y');
                    window.len()
                }
                Room::Spare(_) => panic!("so much is read in parts"),
            });
            assert!(filled > 0 && ahead == 0);
            moves += usize::from(unread.bytes.as_ptr() != address);
            address = unread.bytes.as_ptr();
        }
        assert_eq!(unread.bytes.len(), 100 + ANNOUNCED);
        assert!(unread.bytes.capacity() <= 100 + ANNOUNCED + Unread::SPARE_BYTES_MAX);
        assert!(moves <= 1, "{moves}");
    }

    #[test]
    fn only_what_was_filled_counts_and_the_rest_is_given_back() {
        let mut unread = Unread::new(&[b'x'; 40_000], None, 10);
        assert_eq!(unread.fill(&mut [0; 4], |_, _| 0), (0, 0));
        let read = |room: Room<'_>, _: &mut [u8]| match room {
            Room::Window(window) => window.len() - 7,
            Room::Spare(_) => panic!("there is more room than what is read elsewhere"),
        };
        assert_eq!(unread.fill(&mut [0; 4], read), (3, 0));
        assert_eq!((unread.bytes.len(), unread.missing), (40_003, 7));
        assert_eq!(unread.append(b"12345678"), b"8");
        assert!(!unread.is_waiting());
        assert_eq!(unread.append(b"9"), b"");
        assert!(unread.bytes.ends_with(b"12345679"));
    }

    #[test]
    fn what_comes_along_behind_an_argument_is_handed_on() {
        let mut unread = Unread::new(&[b'x'; 60_000], None, 5_000);
        let mut behind = [0; 8_000];
        let read = |room: Room<'_>, bytes: &[u8]| match room {
            Room::Spare(spare) => {
                let (address, room) = (spare.as_ptr(), spare.capacity() - spare.len());
                assert!((bytes.len()..10_000).contains(&room), "{room}");
                spare.extend_from_slice(bytes);
                assert_eq!(spare.as_ptr(), address);
                bytes.len()
            }
            Room::Window(_) => panic!("there is room for all of it"),
        };
        let filled = unread.fill(&mut behind, |room, _| read(room, &[b'y'; 4_998]));
        assert_eq!((filled, unread.missing), ((4_998, 0), 2));
        let filled = unread.fill(&mut behind, |room, _| read(room, b"yyPING"));
        assert_eq!((filled, unread.missing), ((2, 4), 0));
        assert!(behind.starts_with(b"PING"));
        assert_eq!(unread.bytes.len(), 65_000);
        assert!(unread.bytes.ends_with(&[b'y'; 5_000]));
    }

    #[test]
    fn a_request_with_many_large_arguments_is_moved_a_few_times_only() {
        const ARGUMENT: usize = 300_000;
        let mut unread = Unread::new(&[b'x'; 100], None, ARGUMENT);
        // An allocator may happen not to move what grows; it cannot be relied on.
        let (mut moves, mut capacity) = (0, unread.bytes.capacity());
        let mut note = |unread: &Unread| {
            moves += usize::from(unread.bytes.capacity() != capacity);
            capacity = unread.bytes.capacity();
        };
        for _ in 0..100 {
            while unread.is_waiting() {
                unread.fill(&mut [], |room, _| match room {
                    Room::Window(window) => window.len(),
                    Room::Spare(spare) => {
                        spare.resize(spare.capacity(), b'x');
                        spare.len()
                    }
                });
                note(&unread);
            }
            // The head of the next one comes with the end of the one before.
            unread.append(b"\r\n$7\r\nkey:100\r\n$300000\r\n");
            unread.expect(ARGUMENT);
            note(&unread);
        }
        assert!(unread.bytes.len() > 100 * ARGUMENT);
        assert!(unread.bytes.capacity() < 2 * unread.bytes.len());
        assert!(moves <= 16, "{moves}");
    }

    #[test]
    fn small_arguments_of_a_large_request_are_not_read_one_by_one() {
        let mut unread = Unread::new(&[b'x'; 60_000], None, 100);
        assert_eq!(unread.append(&[b'x'; 100]), b"");
        unread.expect(100);
        assert!(!unread.is_waiting(), "the next read is of any length");
        unread.expect(Unread::MISSING_BYTES_MIN);
        assert!(unread.is_waiting());
    }

    #[test]
    fn small_requests_have_no_window() {
        let mut unread = Unread::new(b"*1\r\n$5\r\nPI", None, 5);
        assert!(!unread.is_waiting());
        let read = |room: Room<'_>, _: &mut [u8]| match room {
            Room::Window(window) => window.len() + 3,
            Room::Spare(_) => panic!("nothing is assembled"),
        };
        assert_eq!(unread.fill(&mut [0; 4], read), (0, 3));
    }
}
