//! What breaks the protocol, in Redis's words.

use std::fmt;

/// Input that cannot be a request. Where the next request starts is unknown
/// from here on, so the connection is told and closed.
///
/// `Display` gives the text that follows `Protocol error: `. A byte outside
/// ASCII prints as a Latin-1 character there, which suits a log;
/// [`ProtocolError::push_text`] writes the very byte, which suits the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number after `*` is no integer, or above the limit of arguments.
    InvalidMultibulkLength,
    /// The line after `*` does not end within the limit of an inline request.
    TooBigMultibulkCount,
    /// More than ten arguments from a client that has yet to authenticate.
    UnauthenticatedMultibulkLength,
    /// An argument's header starts with this byte.
    ExpectedDollar(u8),
    /// The number after `$` is no integer, negative, or above the limit.
    InvalidBulkLength,
    /// The line after `$` does not end within the limit of an inline request.
    TooBigBulkCount,
    /// An argument above 16 KiB from a client that has yet to authenticate.
    UnauthenticatedBulkLength,
    /// An inline request with an open quote, or text right after a closing one.
    UnbalancedQuotes,
    /// An inline request that does not end within its limit.
    TooBigInlineRequest,
}

impl ProtocolError {
    /// Appends the text that follows `Protocol error: `, byte for byte.
    pub fn push_text(self, out: &mut Vec<u8>) {
        match self {
            ProtocolError::ExpectedDollar(byte) => {
                out.extend_from_slice(b"expected '$', got '");
                out.push(byte);
                out.push(b'\'');
            }
            fixed => out.extend_from_slice(fixed.fixed_text().as_bytes()),
        }
    }

    fn fixed_text(self) -> &'static str {
        match self {
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length",
            ProtocolError::TooBigMultibulkCount => "too big mbulk count string",
            ProtocolError::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            ProtocolError::ExpectedDollar(_) => "expected '$'",
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::TooBigBulkCount => "too big bulk count string",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::TooBigInlineRequest => "too big inline request",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fixed_text())?;
        if let ProtocolError::ExpectedDollar(byte) = *self {
            write!(f, ", got '{}'", char::from(byte))?;
        }
        Ok(())
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_text_agree() {
        for error in [
            ProtocolError::InvalidMultibulkLength,
            ProtocolError::TooBigMultibulkCount,
            ProtocolError::UnauthenticatedMultibulkLength,
            ProtocolError::ExpectedDollar(b'x'),
            ProtocolError::InvalidBulkLength,
            ProtocolError::TooBigBulkCount,
            ProtocolError::UnauthenticatedBulkLength,
            ProtocolError::UnbalancedQuotes,
            ProtocolError::TooBigInlineRequest,
        ] {
            let mut text = Vec::new();
            error.push_text(&mut text);
            assert_eq!(String::from_utf8(text).unwrap(), error.to_string());
        }
    }

    #[test]
    fn the_unexpected_byte_reaches_the_client_as_it_came() {
        let mut text = Vec::new();
        ProtocolError::ExpectedDollar(0xff).push_text(&mut text);
        assert_eq!(text, b"expected '$', got '\xff'");
        assert_eq!(ProtocolError::ExpectedDollar(0xff).to_string(), "expected '$', got 'ÿ'");
    }
}
