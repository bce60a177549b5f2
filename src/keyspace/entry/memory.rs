//! The memory of an entry: allocating it, giving it another form, and reading and
//! writing its parts where the form says that they are.

use std::alloc::{alloc, dealloc, handle_alloc_error, realloc};
use std::mem::size_of;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

use super::Entry;
use super::apart::Apart;
use super::form::{self, Field, Form, KEY_SHORT_BYTES_MAX, Kind, key_offset};
use super::value::NewValue;
use crate::keyspace::object::Object;

/// The header's first half is [`Form::pack`], the second the time of access.
#[repr(C)]
pub(super) struct Header {
    shape: u32,
    /// Atomic, so that a mere lookup may set it.
    accessed_s: AtomicU32,
}

impl Entry {
    /// An allocation of that form with the key in it. The payload, and the
    /// trailing fields of the form, are still to be written.
    pub(super) fn allocate(form: Form, key: &[u8]) -> Entry {
        let layout = form.layout();
        // SAFETY: no form has a size of zero, as the header is part of it.
        let memory = unsafe { alloc(layout) };
        let Some(header) = NonNull::new(memory.cast::<Header>()) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the allocation has the size and alignment of the form, which
        // begins with a header and has room for the key.
        unsafe {
            header.write(Header { shape: form.pack(), accessed_s: AtomicU32::new(0) });
            if form.key_len > KEY_SHORT_BYTES_MAX {
                memory.add(size_of::<Header>()).cast::<usize>().write(form.key_len);
            }
            let at = memory.add(key_offset(form.pack()));
            ptr::copy_nonoverlapping(key.as_ptr(), at, key.len());
        }
        Entry(header)
    }

    /// A copy, bit by bit, under another key.
    ///
    /// # Safety
    /// Whatever the payload owns is then owned twice. One of the two must neither
    /// be dropped nor used before its payload is overwritten.
    pub(super) unsafe fn with_key(&self, new_key: &[u8]) -> Entry {
        let from = self.form();
        let to = Form { key_len: new_key.len(), ..from };
        let mut entry = Entry::allocate(to, new_key);
        entry.set_accessed_s(self.accessed_s());
        // SAFETY: both payloads have the same length, in two allocations.
        unsafe {
            let source = self.at(from.payload_offset());
            let target = entry.at(to.payload_offset());
            ptr::copy_nonoverlapping(source, target, from.payload_len);
        }
        for field in Field::ALL {
            if let Some(number) = self.field(field) {
                entry.write_field(to, field, number);
            }
        }
        entry
    }

    /// Gives the entry another form of the same key. The trailing fields that
    /// both forms have stay. Of the payload, the bytes that both forms have
    /// room for stay; what they mean is for the caller to settle, as is who
    /// owns what they point to.
    pub(super) fn reshape(&mut self, to: Form) {
        let from = self.form();
        debug_assert_eq!(from.key_len, to.key_len);
        if from.trails_like(to) {
            self.write_form(to);
            return;
        }
        let kept = Field::ALL.map(|field| self.field(field));
        if from.size() != to.size() {
            // SAFETY: the pointer came from an allocation of this layout; the
            // new size is not zero, and a multiple of the alignment.
            let memory = unsafe { realloc(self.0.as_ptr().cast(), from.layout(), to.size()) };
            let Some(header) = NonNull::new(memory.cast()) else { handle_alloc_error(to.layout()) };
            self.0 = header;
        }
        self.write_form(to);
        for (field, kept) in Field::ALL.into_iter().zip(kept) {
            if let (true, Some(number)) = (to.has(field), kept) {
                self.write_field(to, field, number);
            }
        }
    }

    /// A trailing field, if it is there.
    #[inline]
    pub(super) fn field(&self, field: Field) -> Option<u64> {
        if self.shape() & field.flag() == 0 {
            return None;
        }
        let offset = self.form().offset(field);
        // SAFETY: the flag says that eight initialized bytes stand there.
        Some(unsafe { self.at(offset).cast::<u64>().read() })
    }

    #[inline]
    pub(super) fn set_field(&mut self, field: Field, number: Option<u64>) {
        let form = self.form();
        match (number, form.has(field)) {
            (Some(number), true) => self.write_field(form, field, number),
            (Some(number), false) => {
                let form = form.with(field, true);
                self.reshape(form);
                self.write_field(form, field, number);
            }
            (None, true) => self.reshape(form.with(field, false)),
            (None, false) => {}
        }
    }

    /// What the payload owns besides its own bytes.
    ///
    /// # Safety
    /// It is then owned twice: the caller must overwrite the payload before this is
    /// dropped, or never use the entry again.
    pub(super) unsafe fn owned(&mut self) -> Owned {
        match self.kind() {
            Kind::Int | Kind::Inline => Owned::Nothing,
            // SAFETY: the kind says what the payload owns; the caller sees to it
            // that nobody takes it twice.
            Kind::Apart => Owned::Apart(unsafe { Box::from_raw(self.apart().as_ptr()) }),
            // SAFETY: as for `Apart`.
            Kind::Object => Owned::Object(unsafe { Box::from_raw(self.boxed_object().as_ptr()) }),
        }
    }

    /// Writes a payload whose form the entry has; the old one is not dropped.
    pub(super) fn write_payload(&mut self, value: NewValue<'_>) {
        match (self.kind(), value) {
            (_, NewValue::Int(value)) => self.write_int(value),
            (_, NewValue::Object(object)) => self.write_box(object),
            (Kind::Apart, value) => {
                self.write_box(Box::new(Apart::exact(value.into_bytes())));
            }
            (_, NewValue::Bytes(bytes)) => self.write_inline(bytes),
            (_, NewValue::Shared(bytes)) => self.write_inline(&bytes),
        }
    }

    fn write_inline(&mut self, bytes: &[u8]) {
        let form = self.form();
        assert_eq!(form.payload_len, bytes.len());
        // SAFETY: the payload has just that length.
        unsafe {
            let at = self.at(form.payload_offset());
            ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
        }
    }

    #[inline]
    pub(super) fn write_int(&mut self, value: i64) {
        let at = self.at(self.form().payload_offset());
        // SAFETY: a payload of kind `Int` is eight bytes, at any alignment.
        unsafe { at.cast::<i64>().write_unaligned(value) };
    }

    pub(super) fn write_box<T>(&mut self, boxed: Box<T>) {
        let at = self.at(self.form().payload_offset());
        // SAFETY: a payload of kind `Apart` or `Object` is a pointer, at any
        // alignment.
        unsafe { at.cast::<*mut T>().write_unaligned(Box::into_raw(boxed)) };
    }

    #[inline]
    pub(super) fn write_field(&mut self, form: Form, field: Field, number: u64) {
        debug_assert!(form.has(field));
        // SAFETY: the form has eight bytes there, aligned.
        unsafe { self.at(form.offset(field)).cast::<u64>().write(number) };
    }

    pub(super) fn write_form(&mut self, form: Form) {
        // SAFETY: the header lives as long as the entry; `&mut self` makes
        // this the only access.
        unsafe { (&raw mut (*self.0.as_ptr()).shape).write(form.pack()) };
    }

    /// The number in the payload; the kind must be `Int`.
    #[inline]
    pub(super) fn int(&self) -> i64 {
        debug_assert_eq!(self.kind(), Kind::Int);
        let at = self.at(self.form().payload_offset());
        // SAFETY: every payload of that kind is eight initialized bytes.
        unsafe { at.cast::<i64>().read_unaligned() }
    }

    /// The pointer in the payload; the kind must be `Apart`.
    pub(super) fn apart(&self) -> NonNull<Apart> {
        assert_eq!(self.kind(), Kind::Apart);
        let at = self.at(self.form().payload_offset());
        // SAFETY: a payload of that kind is a pointer that is never null.
        unsafe { at.cast::<NonNull<Apart>>().read_unaligned() }
    }

    /// The pointer in the payload; the kind must be `Object`.
    pub(super) fn boxed_object(&self) -> NonNull<Object> {
        assert_eq!(self.kind(), Kind::Object);
        let at = self.at(self.form().payload_offset());
        // SAFETY: a payload of that kind is a pointer that is never null.
        unsafe { at.cast::<NonNull<Object>>().read_unaligned() }
    }

    #[inline]
    pub(super) fn shape(&self) -> u32 {
        // SAFETY: the header is initialized and lives as long as the entry.
        unsafe { (*self.0.as_ptr()).shape }
    }

    #[inline]
    pub(super) fn header_accessed(&self) -> &AtomicU32 {
        // SAFETY: as for `shape`; the field is only used as an atomic.
        unsafe { &(*self.0.as_ptr()).accessed_s }
    }

    #[inline]
    pub(super) fn kind(&self) -> Kind {
        Kind::unpack(self.shape())
    }

    #[inline]
    pub(super) fn key_len(&self, shape: u32) -> usize {
        if let Some(len) = form::key_len_short(shape) {
            return len;
        }
        // SAFETY: the flag says that the length stands behind the header.
        unsafe { self.at(size_of::<Header>()).cast::<usize>().read() }
    }

    #[inline]
    pub(super) fn form(&self) -> Form {
        let shape = self.shape();
        Form::unpack(shape, self.key_len(shape))
    }

    /// The address `offset` bytes into the allocation.
    #[inline]
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: callers only pass offsets from the entry's own form.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: the entry is not used after this.
        drop(unsafe { self.owned() });
        // SAFETY: the allocation was made with the layout of its form.
        unsafe { dealloc(self.0.as_ptr().cast(), self.form().layout()) };
    }
}

/// What a payload owned.
pub(super) enum Owned {
    Nothing,
    #[expect(dead_code, reason = "held to be dropped")]
    Apart(Box<Apart>),
    #[expect(dead_code, reason = "held to be dropped")]
    Object(Box<Object>),
}
