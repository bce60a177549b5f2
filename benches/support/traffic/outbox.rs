//! What a socket would not take yet.

use std::io::{self, ErrorKind, Write};

/// The rest of what is to be written to one connection; nearly always empty.
#[derive(Default)]
pub(crate) struct Outbox {
    rest: Vec<u8>,
}

impl Outbox {
    /// Writes what the socket takes and keeps the rest until it is flushed.
    pub(crate) fn send(&mut self, to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            return self.flush(to);
        }
        let written = write_some(to, bytes)?;
        self.rest.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes more of the rest, if there is one.
    pub(crate) fn flush(&mut self, to: &mut impl Write) -> io::Result<()> {
        if !self.rest.is_empty() {
            let written = write_some(to, &self.rest)?;
            self.rest.drain(..written);
        }
        Ok(())
    }
}

/// Writes until the socket takes no more.
fn write_some(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(length) => written += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
