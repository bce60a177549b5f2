//! How each kind of value is read, printed and described.
//!
//! The texts of [`ValueError`] are those of Redis, because CONFIG SET repeats
//! them and clients compare them.

use std::fmt;

use super::value::Password;

/// Reads and prints values of one type.
pub(super) trait Kind<T>: Describe {
    /// Reads `value`. `current` is what the option holds now: some values
    /// replace only a part of it.
    fn parse(&self, value: &str, current: &T) -> Result<T, ValueError>;

    /// The value as CONFIG GET shows it.
    fn print(&self, value: &T) -> String;
}

/// What `--help` and errors say about a kind of value.
pub(super) trait Describe: Sync {
    /// What is allowed, to complete "allowed: ...".
    fn allowed(&self) -> String;

    /// The placeholder in `--help`.
    fn placeholder(&self) -> &'static str;

    /// Several words make one value: `--bind 127.0.0.1 ::1`.
    fn is_list(&self) -> bool {
        false
    }

    /// The value must not appear in any message.
    fn is_secret(&self) -> bool {
        false
    }
}

/// Why a value was refused; `Display` is the text that Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// Neither `yes` nor `no`.
    NotYesNo,
    /// Not a decimal integer of 64 bits.
    NotInteger,
    /// Not a number of bytes with an optional unit.
    NotMemory,
    /// A number outside its bounds.
    OutOfRange {
        /// The smallest value allowed.
        min: i128,
        /// The largest value allowed.
        max: i128,
    },
    /// None of the names in the list.
    NotOneOf(String),
    /// Not an address that `bind` takes.
    NotAddress(String),
    /// Refused with the text that belongs to this option.
    Text(&'static str),
    /// Understood, but this server does not do it.
    Unsupported(&'static str),
}

impl ValueError {
    /// The text itself says what is allowed.
    pub(super) fn names_allowed(&self) -> bool {
        use ValueError::{NotOneOf, NotYesNo, OutOfRange};
        matches!(self, NotYesNo | NotOneOf(_) | OutOfRange { .. })
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::NotYesNo => out.write_str("argument must be 'yes' or 'no'"),
            ValueError::NotInteger => out.write_str("argument couldn't be parsed into an integer"),
            ValueError::NotMemory => out.write_str("argument must be a memory value"),
            ValueError::OutOfRange { min, max } => {
                write!(out, "argument must be between {min} and {max} inclusive")
            }
            ValueError::NotOneOf(names) => {
                write!(out, "argument(s) must be one of the following: {names}")
            }
            ValueError::NotAddress(text) => {
                write!(out, "'{}' is not an IP address", text.escape_debug())
            }
            ValueError::Text(text) | ValueError::Unsupported(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for ValueError {}

/// `yes` or `no`.
pub(super) struct YesNo;

impl Kind<bool> for YesNo {
    fn parse(&self, value: &str, _current: &bool) -> Result<bool, ValueError> {
        match value {
            yes if yes.eq_ignore_ascii_case("yes") => Ok(true),
            no if no.eq_ignore_ascii_case("no") => Ok(false),
            _ => Err(ValueError::NotYesNo),
        }
    }

    fn print(&self, value: &bool) -> String {
        if *value { "yes" } else { "no" }.to_owned()
    }
}

impl Describe for YesNo {
    fn allowed(&self) -> String {
        "yes or no".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "yes|no"
    }
}

/// A decimal integer.
pub(super) struct Int {
    pub(super) min: i64,
    pub(super) max: i64,
}

impl<T: TryFrom<i64> + fmt::Display> Kind<T> for Int {
    fn parse(&self, value: &str, _current: &T) -> Result<T, ValueError> {
        let number = parse_integer(value).ok_or(ValueError::NotInteger)?;
        let range = ValueError::OutOfRange { min: self.min.into(), max: self.max.into() };
        if !(self.min..=self.max).contains(&number) {
            return Err(range);
        }
        T::try_from(number).map_err(|_| range)
    }

    fn print(&self, value: &T) -> String {
        value.to_string()
    }
}

impl Describe for Int {
    fn allowed(&self) -> String {
        let Int { min, max } = self;
        if *max >= i32::MAX.into() {
            format!("an integer from {min}")
        } else {
            format!("an integer from {min} to {max}")
        }
    }

    fn placeholder(&self) -> &'static str {
        "N"
    }
}

/// The one number that Redis pulls into its bounds instead of refusing it.
pub(super) struct Hz;

impl Hz {
    const BOUNDS: Int = Int { min: 0, max: i32::MAX as i64 };
}

impl Kind<u32> for Hz {
    fn parse(&self, value: &str, current: &u32) -> Result<u32, ValueError> {
        Ok(Hz::BOUNDS.parse(value, current)?.clamp(1, 500))
    }

    fn print(&self, value: &u32) -> String {
        value.to_string()
    }
}

impl Describe for Hz {
    fn allowed(&self) -> String {
        "an integer, pulled into 1 to 500".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "N"
    }
}

/// A number of bytes with an optional unit: `k` `m` `g` are powers of 1000,
/// `kb` `mb` `gb` powers of 1024, as in redis.conf.
pub(super) struct Memory {
    pub(super) min: u64,
    pub(super) max: u64,
}

impl<T: TryFrom<u64> + fmt::Display> Kind<T> for Memory {
    fn parse(&self, value: &str, _current: &T) -> Result<T, ValueError> {
        let bytes = parse_memory(value).ok_or(ValueError::NotMemory)?;
        let range = ValueError::OutOfRange { min: self.min.into(), max: self.max.into() };
        if !(self.min..=self.max).contains(&bytes) {
            return Err(range);
        }
        T::try_from(bytes).map_err(|_| range)
    }

    fn print(&self, value: &T) -> String {
        value.to_string()
    }
}

impl Describe for Memory {
    fn allowed(&self) -> String {
        let min = short_bytes(self.min);
        if self.max >= i64::MAX as u64 {
            format!("bytes from {min}, units k kb m mb g gb")
        } else {
            format!("bytes from {min} to {}, units k kb m mb g gb", short_bytes(self.max))
        }
    }

    fn placeholder(&self) -> &'static str {
        "BYTES"
    }
}

/// Any text.
pub(super) struct Text {
    /// Written as several words, as `save` is.
    pub(super) words: bool,
}

impl Kind<String> for Text {
    fn parse(&self, value: &str, _current: &String) -> Result<String, ValueError> {
        Ok(value.to_owned())
    }

    fn print(&self, value: &String) -> String {
        value.clone()
    }
}

impl Describe for Text {
    fn allowed(&self) -> String {
        "any text".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        if self.words { "WORDS..." } else { "TEXT" }
    }

    fn is_list(&self) -> bool {
        self.words
    }
}

/// The name of a file or directory in `dir`: a path would lead out of the directory
/// whose lock and whose sync are to count for it.
pub(super) struct FileName;

impl Kind<String> for FileName {
    fn parse(&self, value: &str, _current: &String) -> Result<String, ValueError> {
        match value {
            "" => Err(ValueError::Text("it can't be empty")),
            "." | ".." => Err(ValueError::Text("it can't be a path, just a name")),
            path if path.contains('/') => Err(ValueError::Text("it can't be a path, just a name")),
            name => Ok(name.to_owned()),
        }
    }

    fn print(&self, value: &String) -> String {
        value.clone()
    }
}

impl Describe for FileName {
    fn allowed(&self) -> String {
        "a name without '/'".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "NAME"
    }
}

/// Any text, which no message repeats.
pub(super) struct Secret;

impl Kind<Password> for Secret {
    fn parse(&self, value: &str, _current: &Password) -> Result<Password, ValueError> {
        Ok(Password::from(value.to_owned()))
    }

    fn print(&self, value: &Password) -> String {
        value.reveal().to_owned()
    }
}

impl Describe for Secret {
    fn allowed(&self) -> String {
        "any text".to_owned()
    }

    fn placeholder(&self) -> &'static str {
        "PASSWORD"
    }

    fn is_secret(&self) -> bool {
        true
    }
}

/// One of a fixed list of names.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + Sync> Kind<T> for Choice<T> {
    fn parse(&self, value: &str, _current: &T) -> Result<T, ValueError> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(value));
        found.map(|(_, value)| *value).ok_or_else(|| ValueError::NotOneOf(self.names()))
    }

    fn print(&self, value: &T) -> String {
        let named = self.0.iter().find(|(_, named)| named == value);
        named.map_or("unknown", |(name, _)| name).to_owned()
    }
}

impl<T> Choice<T> {
    fn names(&self) -> String {
        self.0.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

impl<T: Sync> Describe for Choice<T> {
    fn allowed(&self) -> String {
        self.names()
    }

    fn placeholder(&self) -> &'static str {
        "NAME"
    }
}

/// An option that Redis has and of which this server does only one value: the
/// default. Whoever asks for another one must hear so at the start, rather
/// than find out when the data is gone.
pub(super) struct Only<K> {
    pub(super) kind: K,
    /// The one value, as it is written.
    pub(super) value: &'static str,
    pub(super) why: &'static str,
}

impl<T: PartialEq, K: Kind<T>> Kind<T> for Only<K> {
    fn parse(&self, value: &str, current: &T) -> Result<T, ValueError> {
        // `current` is the default: nothing else has ever been accepted.
        let parsed = self.kind.parse(value, current)?;
        if parsed == *current { Ok(parsed) } else { Err(ValueError::Unsupported(self.why)) }
    }

    fn print(&self, value: &T) -> String {
        self.kind.print(value)
    }
}

impl<K: Describe> Describe for Only<K> {
    fn allowed(&self) -> String {
        if self.value.is_empty() { "only \"\"".to_owned() } else { format!("only {}", self.value) }
    }

    fn placeholder(&self) -> &'static str {
        self.kind.placeholder()
    }

    fn is_list(&self) -> bool {
        self.kind.is_list()
    }
}

/// Redis takes a number only in the form in which it would print it: no `+`,
/// no leading zero, no space.
fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = text == "0" || digits.starts_with(|first| matches!(first, '1'..='9'));
    if canonical { text.parse().ok() } else { None }
}

/// Redis's rules: no sign, the unit in any case, and no digits at all mean 0.
/// What does not fit becomes `u64::MAX`, which the bounds then judge.
pub(super) fn parse_memory(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number: u64 = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(number.saturating_mul(factor))
}

/// `bytes` in the largest unit that divides it.
pub(super) fn short_bytes(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        for (text, number) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            assert_eq!(parse_integer(text), Some(number));
        }
        for wrong in ["", "-", "-0", "+1", "01", " 1", "1 ", "0x1", "1.5", "9223372036854775808"] {
            assert_eq!(parse_integer(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_name_is_no_path() {
        let parse = |value| FileName.parse(value, &String::new());
        for name in ["a", "a b", "snapshot.aof", "..a", "\u{e9}"] {
            assert_eq!(parse(name).as_deref(), Ok(name));
        }
        for wrong in ["", ".", "..", "a/b", "/a", "a/", "../a"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Each was tried with CONFIG SET maxmemory on Redis 7.0.15.
    #[test]
    fn memory_has_units() {
        for (text, bytes) in [
            ("1k", 1_000),
            ("1KB", 1_024),
            ("2MB", 2 << 20),
            ("1g", 1_000_000_000),
            ("1b", 1),
            ("", 0),
            ("kb", 0),
            ("18446744073709551615", u64::MAX),
            ("99999999999999999999", u64::MAX),
        ] {
            assert_eq!(parse_memory(text), Some(bytes), "{text}");
        }
        for wrong in ["-1", "+5", "1.5gb", " 1", "1 k", "50%", "bb", "0x5", "1tb"] {
            assert_eq!(parse_memory(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn short_bytes_reads_back() {
        for bytes in [0, 1, 1_000, 1 << 10, 3 << 20, 1 << 30, (1 << 30) + 1, u64::MAX] {
            assert_eq!(parse_memory(&short_bytes(bytes)), Some(bytes));
        }
        assert_eq!(short_bytes(512 << 20), "512mb");
    }
}
