//! The list of a journal's files, in the format of Redis 7.

use std::fmt;

use super::groups::FileKind;
use crate::protocol::number::parse_u64;
use crate::words;

/// Bytes of a line that Redis reads at most.
const LINE_BYTES_MAX: usize = 1024;

/// The highest number of a file, which is that of Redis. Counting never reaches half of it.
pub(super) const SEQUENCE_MAX: u64 = i64::MAX as u64;

/// What a file is to its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The state from which loading begins; there is at most one.
    Base,
    /// What happened since, in the order of their sequence numbers.
    Incr,
    /// No longer needed, and about to be removed.
    History,
}

impl Role {
    fn letter(self) -> &'static str {
        match self {
            Role::Base => "b",
            Role::Incr => "i",
            Role::History => "h",
        }
    }

    /// The kind of file that has the role; `None` where it can be either.
    pub(super) fn kind(self) -> Option<FileKind> {
        match self {
            Role::Base => Some(FileKind::Base),
            Role::Incr => Some(FileKind::Incr),
            Role::History => None,
        }
    }
}

/// One file of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its name in the journal's directory, without any directory.
    pub name: String,
    /// Its number among the files of its role.
    pub sequence: u64,
    /// What it is to the journal.
    pub role: Role,
}

/// The files of a journal: the base, what happened since in order, and what is about
/// to be removed. `Display` prints what [`Manifest::parse`] reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// All of them, as listed.
    pub files: Vec<ManifestFile>,
}

/// A line of a manifest that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Which, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a manifest. Lines that begin with `#` are notes; words that Redis may add
    /// in pairs to a line are passed over, as Redis does.
    ///
    /// # Errors
    /// The first line that cannot be read. Two bases and sequence numbers out of order
    /// are errors too: what would be loaded is not what was written.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        // What follows the last line's end is no line, unless there is something.
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            let error = |reason| ManifestError { line: index + 1, reason };
            let file = parse_line(line).map_err(error)?;
            let last = manifest.files.iter().rfind(|known| known.role == file.role);
            match (file.role, last) {
                (Role::Base, Some(_)) => return Err(error("a second base")),
                (Role::Incr, Some(last)) if last.sequence >= file.sequence => {
                    return Err(error("the sequence numbers do not rise"));
                }
                _ => {}
            }
            manifest.files.push(file);
        }
        Ok(manifest)
    }

    /// The files that are loaded, in the order in which they are.
    pub fn chain(&self) -> impl Iterator<Item = &ManifestFile> {
        let of = |role| self.files.iter().filter(move |file| file.role == role);
        of(Role::Base).chain(of(Role::Incr))
    }

    /// The base, if there is one.
    pub fn base(&self) -> Option<&ManifestFile> {
        self.files.iter().find(|file| file.role == Role::Base)
    }

    /// The highest sequence number of a role; 0 if there is no file of it. What is about
    /// to be removed counts, whatever it was: its name must not be used again.
    pub(super) fn last_sequence(&self, role: Role) -> u64 {
        let is_of_role = |found| found == role || found == Role::History;
        let of_role = self.files.iter().filter(|file| is_of_role(file.role));
        of_role.map(|file| file.sequence).max().unwrap_or(0)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ManifestFile { name, sequence, role } in &self.files {
            f.write_str("file ")?;
            write_name(f, name)?;
            writeln!(f, " seq {sequence} type {}", role.letter())?;
        }
        Ok(())
    }
}

/// Writes a name as Redis does: in quotes only if it needs them.
fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !name.is_empty() && name.bytes().all(is_plain) {
        return f.write_str(name);
    }
    f.write_str("\"")?;
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            0x07 => f.write_str("\\a")?,
            0x08 => f.write_str("\\b")?,
            b' '..=b'~' => write!(f, "{}", char::from(byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_str("\"")
}

fn parse_line(line: &[u8]) -> Result<ManifestFile, &'static str> {
    if line.len() >= LINE_BYTES_MAX {
        return Err("the line is too long");
    }
    let words = words::split(line).ok_or("unbalanced quotes")?;
    if words.is_empty() {
        return Err("the line is empty");
    }
    let (mut name, mut sequence, mut role) = (None, None, None);
    for pair in words.chunks(2) {
        let [key, value] = pair else { return Err("a word without a value") };
        match key.to_ascii_lowercase().as_slice() {
            b"file" => {
                let text = String::from_utf8(value.clone()).map_err(|_| "the name is not UTF-8")?;
                if text.is_empty() || text == "." || text == ".." || text.contains(['/', '\0']) {
                    return Err("the name is not that of a file in the directory");
                }
                name = Some(text);
            }
            b"seq" => {
                let number = parse_u64(value).filter(|number| *number <= SEQUENCE_MAX);
                sequence = Some(number.ok_or("the sequence is no number")?);
            }
            b"type" => {
                role = Some(match value.as_slice() {
                    b"b" => Role::Base,
                    b"i" => Role::Incr,
                    b"h" => Role::History,
                    _ => return Err("the type is unknown"),
                });
            }
            _ => {}
        }
    }
    match (name, sequence, role) {
        (Some(name), Some(sequence @ 1..), Some(role)) => Ok(ManifestFile { name, sequence, role }),
        _ => Err("file, seq and type are needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_writes_is_read_and_printed_the_same() {
        let text = "file appendonly.aof.2.base.aof seq 2 type b\n\
                    file appendonly.aof.1.base.aof seq 1 type h\n\
                    file appendonly.aof.4.incr.aof seq 4 type i\n\
                    file \"append only\\x01\\\"\\n.aof.5.incr.aof\" seq 5 type i\n";
        let manifest = Manifest::parse(text.as_bytes()).expect("a manifest");
        assert_eq!(manifest.to_string(), text);
        let chain: Vec<u64> = manifest.chain().map(|file| file.sequence).collect();
        assert_eq!(chain, [2, 4, 5]);
        assert_eq!(manifest.files[3].name, "append only\u{1}\"\n.aof.5.incr.aof");
        assert_eq!(manifest.base().map(|base| base.sequence), Some(2));
        assert_eq!(manifest.last_sequence(Role::Incr), 5);
    }

    #[test]
    fn names_of_all_kinds_come_back() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..500 {
            let len = rng.usize(1..20);
            let name: String = (0..len)
                .map(
                    |_| if rng.bool() { rng.char('\u{1}'..='\u{ff}') } else { rng.char('a'..='z') },
                )
                .filter(|letter| *letter != '/')
                .chain("x".chars())
                .collect();
            let file = ManifestFile { name, sequence: 1, role: Role::Base };
            let manifest = Manifest { files: vec![file] };
            assert_eq!(Manifest::parse(manifest.to_string().as_bytes()), Ok(manifest));
        }
    }

    #[test]
    fn notes_and_further_words_are_passed_over() {
        let text = b"# a note\nfile a seq 1 type i startoffset 5\n";
        assert_eq!(Manifest::parse(text).expect("a manifest").files.len(), 1);
        let name = |text: &[u8]| Manifest::parse(text).expect("a manifest").files[0].name.clone();
        assert_eq!(name(b"FILE 'a b' SEQ 1 TYPE i"), "a b");
        // As Redis splits it, which takes a quote that opens in a word for one.
        assert_eq!(name(b"\tfile  a\"b c\"\x0b seq 1 type i \r"), "ab c");
    }

    #[test]
    fn errors_name_their_line() {
        for (text, line, reason) in [
            ("", 1, "the line is empty"),
            ("file a seq 1 type b\nfile b seq 2 type b\n", 2, "a second base"),
            ("file a seq 2 type i\nfile b seq 2 type i", 2, "the sequence numbers do not rise"),
            ("#\nfile a seq 1", 2, "file, seq and type are needed"),
            ("file a seq 0 type i", 1, "file, seq and type are needed"),
            ("file a seq x type i", 1, "the sequence is no number"),
            ("file a seq 9223372036854775808 type i", 1, "the sequence is no number"),
            ("file a seq 1 type x", 1, "the type is unknown"),
            ("file a seq 1 type i odd", 1, "a word without a value"),
            ("file ../a seq 1 type i", 1, "the name is not that of a file in the directory"),
            ("file \"a seq 1 type i", 1, "unbalanced quotes"),
            ("file \"a\"b seq 1 type i", 1, "unbalanced quotes"),
            ("file \"\\xff\" seq 1 type i", 1, "the name is not UTF-8"),
        ] {
            assert_eq!(
                Manifest::parse(text.as_bytes()),
                Err(ManifestError { line, reason }),
                "{text}"
            );
        }
    }
}
