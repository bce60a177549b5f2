//! The layout of an entry, and how its header says it.

use std::alloc::Layout;

use super::INLINE_BYTES_MAX;

/// The longest key whose length fits the header's thirteen bits.
pub(super) const KEY_SHORT_BYTES_MAX: usize = (1 << KEY_BITS) - 1;

pub(super) const FLAG_BITS: u32 = 8;
pub(super) const KEY_BITS: u32 = 13;
const VALUE_BITS: u32 = 11;
const KIND_MASK: u32 = 0x03;
pub(super) const LARGE_KEY: u32 = 1 << 6;
pub(super) const RAW: u32 = 1 << 7;

/// The flags of the trailing fields, in the order in which these stand.
const TRAILING: u32 = 0x3c;
const TRAILING_BYTES: usize = size_of::<u64>();

const _: () = assert!(FLAG_BITS + KEY_BITS + VALUE_BITS == u32::BITS);
const _: () = assert!(INLINE_BYTES_MAX < 1 << VALUE_BITS);

/// The alignment of an entry: its pointer's low three bits are zero.
const ALIGN: usize = 8;

const HEADER_BYTES: usize = 8;

/// A number that an entry has only when it needs it, behind its payload.
///
/// The flag of the deadline is the lowest, so that nothing stands before what
/// nearly every look-up reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Field {
    /// When the key ceases to exist, in Unix ms.
    Deadline = 1 << 2,
    /// When the value was last written, in Unix ms.
    Written = 1 << 3,
    /// When the value goes stale, in Unix ms.
    Fresh = 1 << 4,
    /// The value's version.
    Version = 1 << 5,
}

impl Field {
    pub(super) const ALL: [Field; 4] =
        [Field::Deadline, Field::Written, Field::Fresh, Field::Version];

    #[inline]
    pub(super) const fn flag(self) -> u32 {
        self as u32
    }
}

/// The decoded first half of a header: all that decides the layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) kind: Kind,
    pub(super) raw: bool,
    /// The flags of the trailing fields that are there.
    pub(super) trailing: u32,
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
    /// A `Box<Object>`: what is no string.
    Object,
}

impl Form {
    /// Without trailing fields.
    pub(super) const fn plain(kind: Kind, key_len: usize, payload_len: usize) -> Form {
        Form { kind, raw: false, trailing: 0, key_len, payload_len }
    }

    /// The form that a header and the key's length make up.
    #[inline]
    pub(super) fn unpack(shape: u32, key_len: usize) -> Form {
        let kind = Kind::unpack(shape);
        Form {
            kind,
            raw: shape & RAW != 0,
            trailing: shape & TRAILING,
            key_len,
            payload_len: match kind {
                Kind::Inline => (shape >> (FLAG_BITS + KEY_BITS)) as usize,
                Kind::Int | Kind::Apart | Kind::Object => 8,
            },
        }
    }

    /// The first half of the header; a large key's length is not in it.
    pub(super) const fn pack(self) -> u32 {
        let mut shape = self.kind as u32 | self.trailing;
        if self.raw {
            shape |= RAW;
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
    pub(super) const fn has(self, field: Field) -> bool {
        self.trailing & field.flag() != 0
    }

    /// The same with this field, or without it.
    #[must_use]
    pub(super) const fn with(self, field: Field, present: bool) -> Form {
        let others = self.trailing & !field.flag();
        Form { trailing: if present { others | field.flag() } else { others }, ..self }
    }

    #[inline]
    pub(super) const fn payload_offset(self) -> usize {
        let large = self.key_len > KEY_SHORT_BYTES_MAX;
        HEADER_BYTES + if large { size_of::<u64>() } else { 0 } + self.key_len
    }

    /// Where the first trailing field stands, if there is one.
    #[inline]
    const fn trailing_offset(self) -> usize {
        (self.payload_offset() + self.payload_len).next_multiple_of(ALIGN)
    }

    /// Where the field stands, if it is there.
    #[inline]
    pub(super) const fn offset(self, field: Field) -> usize {
        self.trailing_offset() + TRAILING_BYTES * count(self.trailing & (field.flag() - 1))
    }

    /// Whether the trailing fields are the same and stand at the same place,
    /// which makes the sizes the same too.
    #[inline]
    pub(super) const fn trails_like(self, other: Form) -> bool {
        self.trailing == other.trailing && self.trailing_offset() == other.trailing_offset()
    }

    pub(super) const fn size(self) -> usize {
        self.trailing_offset() + TRAILING_BYTES * count(self.trailing)
    }

    pub(super) fn layout(self) -> Layout {
        Layout::from_size_align(self.size(), ALIGN).expect("a key in memory, and some bytes")
    }
}

/// How many trailing fields these flags are of. Not every processor counts bits by
/// itself; here four are counted in one look at sixteen answers of four bits.
#[inline]
const fn count(trailing: u32) -> usize {
    const ANSWERS: u64 = 0x4332_3221_3221_2110;
    // The flags are the number of the answer, shifted by two: its place in bits.
    const { assert!(TRAILING == 0xf << 2) };
    (ANSWERS >> trailing) as usize & 0xf
}

impl Kind {
    #[inline]
    pub(super) fn unpack(shape: u32) -> Kind {
        match shape & KIND_MASK {
            0 => Kind::Int,
            1 => Kind::Inline,
            2 => Kind::Apart,
            _ => Kind::Object,
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

/// Whether there are any trailing fields.
#[inline]
pub(super) const fn has_trailing(shape: u32) -> bool {
    shape & TRAILING != 0
}

/// Whether that is the shape of one allocation with a key that is not long.
#[inline]
pub(super) const fn is_small(shape: u32) -> bool {
    shape & LARGE_KEY == 0 && shape & KIND_MASK <= Kind::Inline as u32
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_fields_stand_one_behind_the_other() {
        for flags in (0..16).map(|flags| flags << 2) {
            assert_eq!(count(flags), flags.count_ones() as usize);
            let mut form = Form::plain(Kind::Int, 3, 8);
            let present = Field::ALL.into_iter().filter(|field| flags & field.flag() != 0);
            for field in present.clone() {
                form = form.with(field, true);
            }
            let offsets: Vec<usize> = present.map(|field| form.offset(field)).collect();
            let expected: Vec<usize> = (0..offsets.len()).map(|index| 24 + 8 * index).collect();
            assert_eq!((offsets, form.size()), (expected.clone(), 24 + 8 * expected.len()));
        }
    }
}
