//! Versions of strings, as clients name them: ETags. A string without one has the
//! ETag 0.

use crate::commands::CommandError;
use crate::keyspace::{Entry, Value};
use crate::protocol::number;

/// The largest that a client may give to a key: far enough below 2^63 that no key
/// is ever written often enough to count that far.
pub(in crate::commands) const ETAG_MAX: u64 = 9_000_000_000_000_000_000;

/// An ETag to compare with.
pub(in crate::commands) fn compared(arg: &[u8]) -> Result<u64, CommandError> {
    number::parse_i64(arg)
        .and_then(|etag| u64::try_from(etag).ok())
        .ok_or(CommandError::fixed("ETAG must be a numerical value greater than or equal to 0"))
}

/// An ETag that the key may be given.
pub(in crate::commands) fn given(arg: &[u8]) -> Result<u64, CommandError> {
    let etag = compared(arg)?;
    if etag > ETAG_MAX {
        return Err(CommandError::owned(format!(
            "ETAG must be a numerical value between 0 and {ETAG_MAX}"
        )));
    }
    Ok(etag)
}

/// The ETag of an entry and its string.
pub(in crate::commands) fn etag_and_string(
    entry: &Entry,
) -> Result<(u64, Value<'_>), CommandError> {
    Ok((entry.version().unwrap_or(0), entry.string()?))
}
