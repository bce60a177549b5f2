//! One key with its value, in one allocation behind one thin pointer.
//!
//! ```text
//! offset 0   header   8 bytes: kind, flags, both lengths, time of last access
//!        8   length   8 bytes, only if the key is longer than KEY_SHORT_BYTES_MAX
//!        .   key
//!        .   payload  i64, or the value's bytes, or a pointer to what stands apart
//!        .   padding  to a multiple of 8
//!        .   deadline, time of writing, end of freshness, version: 8 bytes each,
//!            only those that there are
//! ```
//!
//! A key of 16 bytes with a value of 32 takes 56 bytes; a deadline adds 8.
//! The key stands at the same place in every entry, whatever else there is,
//! since comparing it is what each lookup does. Optional fields trail: they
//! come and go without moving key or payload; [`Form`] is all that knows where
//! they are. Whatever is no string is an [`Object`] in a box of its own.

use std::alloc::dealloc;
use std::mem::{ManuallyDrop, size_of};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::Ordering;

use apart::Apart;
pub(crate) use borrowed::EntryRef;
use bytes::Bytes;
use form::{Field, Form, KEY_SHORT_BYTES_MAX, Kind, RAW, key_offset};
use memory::Header;

use super::object::Object;
use crate::prefetch::prefetch;
pub(crate) use value::{NewValue, Value, WrongType};

mod apart;
mod borrowed;
mod form;
mod memory;
mod value;

/// Bytes whose release to the system takes about as long as freeing one small
/// entry does.
const BYTES_PER_COST: usize = 16 << 10;

/// The most that one entry counts for: half of the usual slice, so that no slice
/// frees more than a few of the largest.
const FREEING_COST_MAX: usize = 256;

/// A buffer from this size on, in bytes, is given to a [`Discard`] and not freed
/// where its last use ends: the system takes it back page by page, which takes
/// about a tenth of a millisecond for each of these.
const LARGE_BYTES_MIN: usize = 1 << 20;

/// What frees a large buffer. It may do so later and elsewhere.
pub type Discard = fn(Bytes);

/// The longest value that is stored in the entry itself; longer ones stand
/// apart. Eleven bits of the header hold an inline length.
pub(crate) const INLINE_BYTES_MAX: usize = 1024;

const _: () = assert!(size_of::<Header>() == 8 && size_of::<Option<Entry>>() == 8);

/// A key, its value and its deadline.
///
/// Owns one allocation and is as large as a pointer to it; changing the value
/// or the deadline may move the allocation.
#[repr(transparent)]
pub(crate) struct Entry(NonNull<Header>);

// SAFETY: an entry owns all it points to, none of which is bound to a thread.
unsafe impl Send for Entry {}
// SAFETY: what `&Entry` can change is the time of access, which is atomic.
unsafe impl Sync for Entry {}

impl Entry {
    /// An entry last accessed at second 0.
    pub(crate) fn new(key: &[u8], value: NewValue<'_>, deadline_ms: Option<u64>) -> Entry {
        let (kind, payload_len) = value.form();
        let form =
            Form::plain(kind, key.len(), payload_len).with(Field::Deadline, deadline_ms.is_some());
        let mut entry = Entry::allocate(form, key);
        entry.write_payload(value);
        if let Some(deadline_ms) = deadline_ms {
            entry.write_field(form, Field::Deadline, deadline_ms);
        }
        entry
    }

    /// The key.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        let shape = self.shape();
        let len = self.key_len(shape);
        // SAFETY: the key's bytes stand there for as long as the entry lives,
        // and nothing writes to them.
        unsafe { slice::from_raw_parts(self.at(key_offset(shape)), len) }
    }

    /// The string.
    #[inline]
    pub(crate) fn string(&self) -> Result<Value<'_>, WrongType> {
        let form = self.form();
        Ok(match form.kind {
            Kind::Int => Value::Int(self.int()),
            Kind::Inline => {
                // SAFETY: an inline payload is `payload_len` initialized bytes.
                let bytes = unsafe {
                    slice::from_raw_parts(self.at(form.payload_offset()), form.payload_len)
                };
                Value::Bytes(bytes)
            }
            // SAFETY: the kind is `Apart`.
            Kind::Apart => Value::Apart(unsafe { self.apart().as_ref() }.bytes()),
            Kind::Object => return Err(WrongType),
        })
    }

    /// What it holds, if that is no string.
    #[inline]
    pub(crate) fn object(&self) -> Option<&Object> {
        // SAFETY: the kind is `Object`, whose payload points to one.
        (self.kind() == Kind::Object).then(|| unsafe { self.boxed_object().as_ref() })
    }

    /// Whether it holds something that is no string.
    #[inline]
    pub(crate) fn is_object(&self) -> bool {
        self.kind() == Kind::Object
    }

    /// What it holds, if that is no string, to change it.
    pub(crate) fn object_mut(&mut self) -> Option<&mut Object> {
        // SAFETY: as for `object`; `&mut self` makes it exclusive.
        (self.kind() == Kind::Object).then(|| unsafe { self.boxed_object().as_mut() })
    }

    /// The name of the value's type, as TYPE answers it.
    pub(crate) fn type_name(&self) -> &'static str {
        self.object().map_or("string", Object::type_name)
    }

    /// The value without a copy, if it stands apart.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> Option<Bytes> {
        match self.string() {
            Ok(Value::Apart(bytes)) => Some(bytes.clone()),
            Ok(Value::Int(_) | Value::Bytes(_)) | Err(WrongType) => None,
        }
    }

    /// When the key ceases to exist, in Unix milliseconds. (Locks and live holds
    /// have deadlines of their own, see [`Object::deadline_ms`].)
    #[inline]
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.field(Field::Deadline)
    }

    /// Whether there is a deadline.
    #[inline]
    pub(crate) fn has_deadline(&self) -> bool {
        self.shape() & Field::Deadline.flag() != 0
    }

    /// Since when the value is what it is, in Unix milliseconds, if that is kept.
    pub(crate) fn written_ms(&self) -> Option<u64> {
        self.field(Field::Written)
    }

    /// Notes when the value was written, in Unix milliseconds; `None` forgets when it
    /// was written before.
    #[inline]
    pub(crate) fn set_written(&mut self, written_ms: Option<u64>) {
        if written_ms.is_some() || self.shape() & Field::Written.flag() != 0 {
            self.set_field(Field::Written, written_ms);
        }
    }

    /// When the value goes stale, in Unix milliseconds; `None`: not before its
    /// deadline.
    #[inline]
    pub(crate) fn fresh_until_ms(&self) -> Option<u64> {
        self.field(Field::Fresh)
    }

    /// Sets or takes away the end of the value's freshness, in Unix milliseconds.
    pub(crate) fn set_fresh_until(&mut self, fresh_until_ms: Option<u64>) {
        self.set_field(Field::Fresh, fresh_until_ms);
    }

    /// When the string is fresh no longer, because it goes stale or is gone.
    pub(crate) fn fresh_end_ms(&self) -> Option<u64> {
        self.fresh_until_ms().into_iter().chain(self.deadline_ms()).min()
    }

    /// The value's version, if it has one.
    pub(crate) fn version(&self) -> Option<u64> {
        self.field(Field::Version)
    }

    /// Whether the value has a version.
    #[inline]
    pub(crate) fn has_version(&self) -> bool {
        self.shape() & Field::Version.flag() != 0
    }

    /// Whether there is nothing but key and value: no deadline, no time of writing, no
    /// end of freshness, no version.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        !form::has_trailing(self.shape())
    }

    /// The version behind the value's own. Having none is as good as 0.
    pub(crate) fn next_version(&self) -> u64 {
        self.version().unwrap_or(0).saturating_add(1)
    }

    /// Gives the value a version or takes it away.
    pub(crate) fn set_version(&mut self, version: Option<u64>) {
        self.set_field(Field::Version, version);
    }

    /// Whether the deadline has come: then the key is absent, though it may not
    /// have been removed yet.
    #[inline]
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }

    /// When the key is gone if nothing is done about it, in Unix ms: its deadline,
    /// or that of the lock or hold that it is.
    pub(crate) fn ends_ms(&self) -> Option<u64> {
        self.object().and_then(Object::deadline_ms).or_else(|| self.deadline_ms())
    }

    /// Whether the string was made by changing a part of one.
    pub(crate) fn is_raw(&self) -> bool {
        self.shape() & RAW != 0
    }

    /// Says whether the string was made by changing a part of one.
    pub(crate) fn set_raw(&mut self, raw: bool) {
        let form = self.form();
        self.write_form(Form { raw, ..form });
    }

    /// When the key was last accessed, in seconds since the owner's origin.
    pub(crate) fn accessed_s(&self) -> u32 {
        self.header_accessed().load(Ordering::Relaxed)
    }

    /// Notes an access, in seconds since the owner's origin.
    #[inline]
    pub(crate) fn set_accessed_s(&self, accessed_s: u32) {
        self.header_accessed().store(accessed_s, Ordering::Relaxed);
    }

    /// Sets, moves or takes away the deadline, in Unix milliseconds.
    pub(crate) fn set_deadline(&mut self, deadline_ms: Option<u64>) {
        self.set_field(Field::Deadline, deadline_ms);
    }

    /// Replaces the value; key, trailing fields and time of access stay. Gives
    /// the old one's buffer if it is large, for a [`Discard`].
    pub(crate) fn set_value(&mut self, value: NewValue<'_>) -> Option<Bytes> {
        let old = self.form();
        let (kind, payload_len) = value.form();
        if (old.kind, kind) == (Kind::Apart, Kind::Apart) {
            // SAFETY: the kind is `Apart`, and `&mut self` makes it exclusive.
            let apart = unsafe { self.apart().as_mut() };
            let is_large = apart.allocated_bytes() >= LARGE_BYTES_MIN;
            let replaced = apart.replace(value).filter(|_| is_large);
            self.set_raw(false);
            return replaced;
        }
        let replaced = self.take_large();
        // SAFETY: the payload is overwritten before this is dropped.
        let owned = unsafe { self.owned() };
        self.reshape(Form { kind, raw: false, payload_len, ..old });
        self.write_payload(value);
        // Only now: the payload that owned it has been overwritten, so that
        // this is the only pointer to it.
        drop(owned);
        replaced
    }

    /// Takes the value's buffer out if it is large. What is left holds no value,
    /// and is only to be dropped or given another.
    fn take_large(&mut self) -> Option<Bytes> {
        if self.kind() != Kind::Apart {
            return None;
        }
        // SAFETY: the kind is `Apart`, and `&mut self` makes it exclusive.
        let apart = unsafe { self.apart().as_mut() };
        (apart.allocated_bytes() >= LARGE_BYTES_MIN).then(|| apart.take())
    }

    /// Drops the entry, but for a large buffer, which `discard` gets.
    #[inline]
    pub(crate) fn discard(mut self, discard: Discard) {
        if let Some(large) = self.take_large() {
            discard(large);
        }
    }

    /// Replaces the value in place if both are short strings of the same length;
    /// otherwise answers false, and nothing has happened.
    #[inline]
    pub(crate) fn overwrite(&mut self, bytes: &[u8]) -> bool {
        let form = self.form();
        if form.kind != Kind::Inline || form.payload_len != bytes.len() {
            return false;
        }
        if form.raw {
            self.set_raw(false);
        }
        // SAFETY: the payload has just that length, and nobody else has the entry.
        unsafe {
            let at = self.at(form.payload_offset());
            ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
        }
        true
    }

    /// Replaces the value by a number, in place if it is one already.
    #[inline]
    pub(crate) fn set_int(&mut self, value: i64) -> Option<Bytes> {
        if self.kind() == Kind::Int {
            self.write_int(value);
            None
        } else {
            self.set_value(NewValue::Int(value))
        }
    }

    /// Appends to the value, as a string, and gives its new length. The cost
    /// is amortised: it is that of `data`, not that of the value.
    pub(crate) fn append(&mut self, data: &[u8]) -> usize {
        let offset = self.make_string();
        self.write_string(offset, offset + data.len(), data)
    }

    /// Writes `data` into the value, as a string, at `offset`, fills a gap
    /// before it with zeros, and gives the new length. Without data, nothing
    /// changes.
    pub(crate) fn write_at(&mut self, offset: usize, data: &[u8]) -> usize {
        let len = self.make_string();
        if data.is_empty() {
            return len;
        }
        self.write_string(offset, len.max(offset + data.len()), data)
    }

    /// What the entry takes of memory, in bytes: its own allocation, and that
    /// of a value apart.
    pub(crate) fn allocated_bytes(&self) -> usize {
        let form = self.form();
        let apart = match form.kind {
            // SAFETY: the kind is `Apart`.
            Kind::Apart => unsafe { self.apart().as_ref() }.allocated_bytes(),
            // SAFETY: the kind is `Object`.
            Kind::Object => unsafe { self.boxed_object().as_ref() }.allocated_bytes(),
            Kind::Int | Kind::Inline => 0,
        };
        form.size() + apart
    }

    /// What freeing the entry takes of a slice's budget: one, and for a large
    /// one as many as small ones would be freed in the time.
    #[inline]
    pub(crate) fn freeing_cost(&self) -> usize {
        // What is in one allocation, under a key that is not long, is small.
        const { assert!(KEY_SHORT_BYTES_MAX + INLINE_BYTES_MAX + 64 < BYTES_PER_COST) };
        if form::is_small(self.shape()) {
            return 1;
        }
        (self.allocated_bytes() / BYTES_PER_COST).clamp(1, FREEING_COST_MAX)
    }

    /// The entry under another key, with everything else as it was.
    pub(crate) fn into_renamed(self, new_key: &[u8]) -> Entry {
        // SAFETY: what the payload owns moves to `entry`; the old allocation is
        // freed without being dropped, and not used again.
        let entry = unsafe { self.with_key(new_key) };
        let old = ManuallyDrop::new(self);
        // SAFETY: as above.
        unsafe { dealloc(old.0.as_ptr().cast(), old.form().layout()) };
        entry
    }

    /// A copy under another key, deadline included. A value apart is shared
    /// until one of the two changes.
    pub(crate) fn duplicate(&self, new_key: &[u8]) -> Entry {
        // SAFETY: the copy is not dropped before its payload owns something else.
        let mut copy = ManuallyDrop::new(unsafe { self.with_key(new_key) });
        match copy.kind() {
            Kind::Int | Kind::Inline => {}
            Kind::Apart => {
                // SAFETY: the kind is `Apart`.
                let apart = unsafe { copy.apart().as_ref().clone() };
                copy.write_box(Box::new(apart));
            }
            Kind::Object => {
                // SAFETY: the kind is `Object`.
                let object = unsafe { copy.boxed_object().as_ref().clone() };
                copy.write_box(Box::new(object));
            }
        }
        ManuallyDrop::into_inner(copy)
    }

    /// Hints to the processor that the key will be read soon, and what follows it:
    /// an entry begins anywhere in a line.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self.0.as_ptr().cast(), 2);
    }

    /// Gives up ownership for a pointer that [`Entry::from_raw`] takes back.
    /// It is aligned to 8 bytes.
    #[inline]
    pub(super) fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0.cast()
    }

    /// The entry that [`Entry::into_raw`] gave away.
    ///
    /// # Safety
    /// The pointer must come from `into_raw`, and nobody may take it twice or
    /// use an [`EntryRef`] of it at the same time.
    #[inline]
    pub(super) unsafe fn from_raw(raw: NonNull<u8>) -> Entry {
        Entry(raw.cast())
    }

    /// Makes the value a string, if it is a number, and gives its length.
    fn make_string(&mut self) -> usize {
        if let Ok(Value::Int(value)) = self.string() {
            self.set_value(NewValue::Bytes(value.to_string().as_bytes()));
        }
        match self.string() {
            Ok(Value::Bytes(bytes)) => bytes.len(),
            Ok(Value::Apart(bytes)) => bytes.len(),
            Ok(Value::Int(_)) | Err(WrongType) => 0,
        }
    }

    /// Brings a string to `len` bytes, which is no less than it has, with
    /// `data` at `offset` and zeros where nothing was.
    fn write_string(&mut self, offset: usize, len: usize, data: &[u8]) -> usize {
        let form = self.form();
        if form.kind == Kind::Apart {
            // SAFETY: the kind is `Apart`, and `&mut self` makes it exclusive.
            unsafe { self.apart().as_mut() }.write(offset, len, data);
        } else if len <= INLINE_BYTES_MAX {
            let to = Form { payload_len: len, ..form };
            self.reshape(to);
            // SAFETY: the payload has room for `len` bytes, of which the first
            // `form.payload_len` are initialized, and the others are now.
            let bytes = unsafe {
                let payload = self.at(to.payload_offset());
                payload.add(form.payload_len).write_bytes(0, len - form.payload_len);
                slice::from_raw_parts_mut(payload, len)
            };
            bytes[offset..offset + data.len()].copy_from_slice(data);
        } else {
            let Ok(Value::Bytes(old)) = self.string() else {
                unreachable!("a number was made a string before")
            };
            let mut apart = Apart::exact(Bytes::copy_from_slice(old));
            apart.write(offset, len, data);
            self.reshape(Form {
                kind: Kind::Apart,
                payload_len: size_of::<NonNull<Apart>>(),
                ..form
            });
            self.write_box(Box::new(apart));
        }
        self.set_raw(true);
        len
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("string", &self.string())
            .field("object", &self.object())
            .field("deadline_ms", &self.deadline_ms())
            .finish()
    }
}

#[cfg(test)]
mod tests;
