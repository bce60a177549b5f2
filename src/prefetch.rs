//! Hints to the processor that memory will be read soon.

/// Bytes that come from memory at once.
const LINE_BYTES: usize = 64;

/// Has so many lines of memory fetched, the first of which is the one that `address`
/// lies in. Nothing is read: any address will do, and none is ever wrong.
#[inline]
pub(crate) fn prefetch(address: *const u8, lines: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(line * LINE_BYTES).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, lines, LINE_BYTES);
}
