//! Inline requests: one line of words, for people with a terminal.

use super::{ProtocolError, Span};
use crate::words::{skip_space, take_word};

/// Splits `line` into words, appending the unquoted words to `bytes` and their
/// places to `spans`.
pub(super) fn split(
    line: &[u8],
    bytes: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        // A word is never longer than its line, which the limit of inline
        // requests keeps far below 4 GiB.
        let start = bytes.len() as u32;
        rest = take_word(rest, bytes).ok_or(ProtocolError::UnbalancedQuotes)?;
        rest = skip_space(rest);
        spans.push(Span { start, end: bytes.len() as u32 });
    }
    Ok(())
}
