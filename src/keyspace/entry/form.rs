//! The layout of an entry, and how its header says it.

use std::alloc::Layout;

use super::INLINE_BYTES_MAX;

/// The longest key whose length fits the header's thirteen bits.
pub(super) const KEY_SHORT_BYTES_MAX: usize = (1 << KEY_BITS) - 1;

pub(super) const FLAG_BITS: u32 = 8;
pub(super) const KEY_BITS: u32 = 13;
const VALUE_BITS: u32 = 11;
const KIND_MASK: u32 = 0x0f;
pub(super) const RAW: u32 = 1 << 4;
pub(super) const DEADLINE: u32 = 1 << 5;
pub(super) const LARGE_KEY: u32 = 1 << 6;

const _: () = assert!(FLAG_BITS + KEY_BITS + VALUE_BITS == u32::BITS);
const _: () = assert!(INLINE_BYTES_MAX < 1 << VALUE_BITS);

/// The alignment of an entry: its pointer's low three bits are zero.
const ALIGN: usize = 8;

const HEADER_BYTES: usize = 8;

/// The decoded first half of a header: all that decides the layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) kind: Kind,
    pub(super) raw: bool,
    pub(super) deadline: bool,
    pub(super) key_len: usize,
    pub(super) payload_len: usize,
}

/// How the payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An `i64`.
    Int,
    /// The bytes of the value.
    Inline,
    /// A `Box<Apart>`.
    Apart,
}

impl Form {
    /// The form that a header and the key's length make up.
    #[inline]
    pub(super) fn unpack(shape: u32, key_len: usize) -> Form {
        let kind = Kind::unpack(shape);
        Form {
            kind,
            raw: shape & RAW != 0,
            deadline: shape & DEADLINE != 0,
            key_len,
            payload_len: match kind {
                Kind::Inline => (shape >> (FLAG_BITS + KEY_BITS)) as usize,
                Kind::Int | Kind::Apart => 8,
            },
        }
    }

    /// The first half of the header; a large key's length is not in it.
    pub(super) const fn pack(self) -> u32 {
        let mut shape = self.kind as u32;
        if self.raw {
            shape |= RAW;
        }
        if self.deadline {
            shape |= DEADLINE;
        }
        if self.key_len > KEY_SHORT_BYTES_MAX {
            shape |= LARGE_KEY;
        } else {
            shape |= (self.key_len as u32) << FLAG_BITS;
        }
        if matches!(self.kind, Kind::Inline) {
            shape |= (self.payload_len as u32) << (FLAG_BITS + KEY_BITS);
        }
        shape
    }

    #[inline]
    pub(super) const fn payload_offset(self) -> usize {
        let large = self.key_len > KEY_SHORT_BYTES_MAX;
        HEADER_BYTES + if large { size_of::<u64>() } else { 0 } + self.key_len
    }

    #[inline]
    pub(super) const fn deadline_offset(self) -> usize {
        (self.payload_offset() + self.payload_len).next_multiple_of(ALIGN)
    }

    pub(super) const fn size(self) -> usize {
        self.deadline_offset() + if self.deadline { size_of::<u64>() } else { 0 }
    }

    pub(super) fn layout(self) -> Layout {
        Layout::from_size_align(self.size(), ALIGN).expect("a key in memory, and some bytes")
    }
}

impl Kind {
    #[inline]
    pub(super) fn unpack(shape: u32) -> Kind {
        match shape & KIND_MASK {
            0 => Kind::Int,
            1 => Kind::Inline,
            _ => Kind::Apart,
        }
    }
}

/// Where the key begins, without a branch: the flag of a large key, shifted,
/// is the size of its length.
#[inline]
pub(super) const fn key_offset(shape: u32) -> usize {
    const { assert!(LARGE_KEY >> 3 == size_of::<u64>() as u32) };
    HEADER_BYTES + ((shape & LARGE_KEY) >> 3) as usize
}

/// The key's length, unless it stands behind the header.
#[inline]
pub(super) const fn key_len_short(shape: u32) -> Option<usize> {
    if shape & LARGE_KEY == 0 {
        Some((shape >> FLAG_BITS) as usize & KEY_SHORT_BYTES_MAX)
    } else {
        None
    }
}
