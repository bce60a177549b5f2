//! An entry behind a pointer that is not stored as an `Entry`.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use super::{Entry, Header, Object, Value, WrongType};

/// An entry borrowed from where only its pointer is stored.
#[derive(Clone, Copy)]
pub(crate) struct EntryRef<'a> {
    raw: NonNull<Header>,
    owner: PhantomData<&'a Entry>,
}

impl<'a> EntryRef<'a> {
    /// # Safety
    /// The pointer must come from [`Entry::into_raw`], and for `'a` nobody may
    /// take the entry back or change it.
    #[inline]
    pub(in crate::keyspace) unsafe fn from_raw(raw: NonNull<u8>) -> EntryRef<'a> {
        EntryRef { raw: raw.cast(), owner: PhantomData }
    }

    /// The key, for as long as the owner is borrowed.
    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        // SAFETY: the key is not part of this reference, but of the entry,
        // which lives for `'a` without a change.
        unsafe { &*ptr::from_ref((*self).key()) }
    }

    /// The string, for as long as the owner is borrowed.
    #[inline]
    pub(crate) fn string(self) -> Result<Value<'a>, WrongType> {
        Ok(match (*self).string()? {
            Value::Int(value) => Value::Int(value),
            // SAFETY: as for the key.
            Value::Bytes(bytes) => Value::Bytes(unsafe { &*ptr::from_ref(bytes) }),
            // SAFETY: likewise; the box that holds it is the entry's.
            Value::Apart(bytes) => Value::Apart(unsafe { &*ptr::from_ref(bytes) }),
        })
    }

    /// What it holds, if that is no string, for as long as the owner is borrowed.
    pub(crate) fn object(self) -> Option<&'a Object> {
        // SAFETY: the object stands in a box that the entry owns, and the entry
        // lives for `'a` without a change.
        (*self).object().map(|object| unsafe { &*ptr::from_ref(object) })
    }
}

impl Deref for EntryRef<'_> {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        // SAFETY: `Entry` is a transparent wrapper of the same pointer, and a
        // shared reference neither drops nor moves it.
        unsafe { &*ptr::from_ref(&self.raw).cast::<Entry>() }
    }
}
