//! From command to command by their lengths, without a look at what they say.
//!
//! Stricter than what a client may send: a journal has one form, in which every length
//! is canonical and every line ends as it should.

use crate::protocol::{Args, Span};

/// A place in a run of commands. It may stand inside a command, when the bytes ended
/// there, and goes on from there when there are more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    /// Bytes that are done with.
    pub(super) at: usize,
    /// Arguments of the command that are still to come.
    args_left: u64,
}

/// Why a walk has not reached the end of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The command goes on; there have to be `needed` bytes or more in all.
    Incomplete {
        /// A lower bound, more than there are.
        needed: usize,
    },
    /// This is no command.
    Malformed,
}

impl Walk {
    /// A walk that begins at `at`.
    pub(super) fn from(at: usize) -> Walk {
        Walk { at, args_left: 0 }
    }

    /// Whether it stands between two commands.
    #[inline(always)]
    pub(super) fn is_between(self) -> bool {
        self.args_left == 0
    }

    /// Goes on to the end of the command and shows `argument` where in `bytes` each of
    /// its arguments stands.
    #[inline(always)]
    pub(super) fn command(
        &mut self,
        bytes: &[u8],
        mut argument: impl FnMut(usize, usize),
    ) -> Result<(), Stop> {
        if self.args_left == 0 {
            let (count, next) = length(bytes, self.at, b'*')?;
            if count == 0 {
                return Err(Stop::Malformed);
            }
            (self.at, self.args_left) = (next, count);
        }
        while self.args_left > 0 {
            let (len, start) = length(bytes, self.at, b'$')?;
            // Eighteen digits are far from overflowing.
            let end = start + len as usize;
            let Some(line_end) = bytes.get(end..end + 2) else {
                return Err(Stop::Incomplete { needed: end + 2 });
            };
            if line_end != b"\r\n" {
                return Err(Stop::Malformed);
            }
            argument(start, end);
            self.at = end + 2;
            self.args_left -= 1;
        }
        Ok(())
    }
}

/// Reads the line at `at`, of `kind` and a number: the number, and where the next line
/// starts.
#[inline(always)]
pub(super) fn length(bytes: &[u8], at: usize, kind: u8) -> Result<(u64, usize), Stop> {
    let line = bytes.get(at..).unwrap_or_default();
    let incomplete = Stop::Incomplete { needed: bytes.len() + 1 };
    if *line.first().ok_or(incomplete)? != kind {
        return Err(Stop::Malformed);
    }
    let mut value = u64::from(digit(*line.get(1).ok_or(incomplete)?).ok_or(Stop::Malformed)?);
    let mut index = 2;
    loop {
        let byte = *line.get(index).ok_or(incomplete)?;
        let Some(digit) = digit(byte) else { break };
        if value == 0 || index > 18 {
            return Err(Stop::Malformed);
        }
        value = value * 10 + u64::from(digit);
        index += 1;
    }
    if line[index] != b'\r' || *line.get(index + 1).ok_or(incomplete)? != b'\n' {
        return Err(Stop::Malformed);
    }
    Ok((value, at + index + 2))
}

#[inline(always)]
fn digit(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(digit)
}

/// Reads the commands of a group one after the other; one serves all groups, so that
/// nothing is allocated for each.
///
/// ```
/// use tollgate::persist::CommandReader;
///
/// let group = b"*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n";
/// let mut reader = CommandReader::default();
/// let mut rest = &group[..];
/// let mut names = Vec::new();
/// while let Some(args) = reader.next(&mut rest) {
///     names.push(args[0].to_vec());
/// }
/// assert_eq!(names, [&b"MULTI"[..], b"DEL", b"EXEC"]);
/// assert!(rest.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct CommandReader {
    spans: Vec<Span>,
}

impl CommandReader {
    /// Takes the first command off `rest`, and lines of notes before it (`#...`, which
    /// Redis writes). `None` at the end and where no whole command is: `rest` is empty
    /// in the first case only. A command of 4 GiB or more counts as none.
    #[inline]
    pub fn next<'a, 'b: 'a>(&'a mut self, rest: &mut &'b [u8]) -> Option<Args<'a>> {
        while rest.first() == Some(&b'#') {
            *rest = &rest[note_len(rest)?..];
        }
        self.spans.clear();
        let mut walk = Walk::default();
        let mut fits = true;
        let spans = &mut self.spans;
        let walked =
            walk.command(rest, |start, end| match (u32::try_from(start), u32::try_from(end)) {
                (Ok(start), Ok(end)) => spans.push(Span { start, end }),
                _ => fits = false,
            });
        if walked.is_err() || !fits {
            return None;
        }
        let (command, behind) = rest.split_at(walk.at);
        *rest = behind;
        Some(Args::from_parts(command, &self.spans))
    }
}

/// Bytes of the line that `bytes` begin with; `None` if it does not end.
pub(super) fn note_len(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n').map(|end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: &[u8] =
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$11\r\n*1\r\n$1\r\nx\r\n\r\n*1\r\n$4\r\nPING\r\n";

    #[test]
    fn a_walk_goes_on_where_the_bytes_ended() {
        let mut walk = Walk::default();
        let mut ends = Vec::new();
        for len in 0..=COMMANDS.len() {
            match walk.command(&COMMANDS[..len], |_, _| {}) {
                Ok(()) => ends.push(walk.at),
                Err(Stop::Incomplete { needed }) => assert!(needed > len),
                Err(Stop::Malformed) => panic!("{len}"),
            }
        }
        assert_eq!(ends, [COMMANDS.len() - 14, COMMANDS.len()]);
    }

    #[test]
    fn whatever_is_not_the_one_form_is_refused() {
        for text in [
            "x",
            "*0\r\n",
            "*-1\r\n",
            "*01\r\n",
            "*\r\n",
            "*1\n",
            "*1\rx",
            "*1\r\n*",
            "*1\r\n$01\r",
            "*1\r\n$-1\r\n",
            "*1\r\n$1\r\naxy",
            "*1\r\n$1\r\na\rx",
            "*1234567890123456789\r\n",
            "PING\r\n",
        ] {
            let stop = Walk::default().command(text.as_bytes(), |_, _| {});
            assert_eq!(stop, Err(Stop::Malformed), "{text:?}");
        }
    }

    #[test]
    fn arguments_are_slices() {
        let mut reader = CommandReader::default();
        let bytes = [b"#TS:1\r\n", COMMANDS].concat();
        let mut rest = &bytes[..];
        let args = reader.next(&mut rest).expect("a command");
        assert_eq!(args.iter().collect::<Vec<_>>(), [&b"SET"[..], b"a", b"*1\r\n$1\r\nx\r\n"]);
        assert_eq!(&reader.next(&mut rest).expect("another")[0], b"PING");
        assert!(reader.next(&mut rest).is_none() && rest.is_empty());
        let mut torn = &COMMANDS[..COMMANDS.len() - 1];
        assert!(reader.next(&mut torn).is_some());
        assert!(reader.next(&mut torn).is_none() && !torn.is_empty());
    }
}
