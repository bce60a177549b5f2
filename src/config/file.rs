//! The config file: redis.conf's syntax.
//!
//! A line is `name value ...`, see [`words`] for quotes. A line that begins with `#`
//! is a comment. `include FILE` reads another file at that place. What comes
//! later wins.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::{OptionError, Remedy};
use super::table::{Config, OptionSpec};
use crate::words;

/// Most files that include one another. A file that includes itself ends here.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Most bytes of one config file: a wrong path must not fill the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Sets in `config` what the file says.
///
/// # Errors
/// The first thing that is wrong, with its file and line.
pub(super) fn read_file(config: &mut Config, path: &Path) -> Result<(), OptionError> {
    Reader { config, contents: &mut contents }.read(path, 1)
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

struct Reader<'a> {
    config: &'a mut Config,
    /// How a file is read, so that tests need none.
    contents: &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path, depth: usize) -> Result<(), OptionError> {
        let bytes = (self.contents)(path)
            .map_err(|why| OptionError::Unreadable { path: path.to_owned(), why })?;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            self.line(line, depth).map_err(|error| match error {
                // The innermost place is where the reader has to look.
                error @ OptionError::At { .. } => error,
                error => OptionError::At {
                    path: path.to_owned(),
                    line: index + 1,
                    error: Box::new(error),
                },
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], depth: usize) -> Result<(), OptionError> {
        let line = line.trim_ascii();
        if line.starts_with(b"#") {
            return Ok(());
        }
        let words = words::split(line).ok_or(OptionError::UnbalancedQuotes)?;
        let words: Vec<String> = words
            .into_iter()
            .map(|word| String::from_utf8(word).map_err(|_| OptionError::NotUtf8))
            .collect::<Result<_, _>>()?;
        match words.as_slice() {
            [] => Ok(()),
            [name, files @ ..] if name.eq_ignore_ascii_case("include") => {
                self.include(files, depth)
            }
            [name, values @ ..] => self.set(name, values),
        }
    }

    fn include(&mut self, files: &[String], depth: usize) -> Result<(), OptionError> {
        let [file] = files else {
            return Err(OptionError::IncludeCount);
        };
        if file.contains(['*', '?', '[']) {
            return Err(OptionError::IncludePattern);
        }
        if depth == INCLUDE_DEPTH_MAX {
            return Err(OptionError::IncludeDepth { depth_max: INCLUDE_DEPTH_MAX });
        }
        self.read(Path::new(file), depth + 1)
    }

    fn set(&mut self, name: &str, values: &[String]) -> Result<(), OptionError> {
        match (OptionSpec::find(name), values) {
            (Some(option), []) => Err(OptionError::NoValue { option }),
            (Some(option), [_, further @ ..]) if !further.is_empty() && !option.is_list() => {
                let has_comment = further.iter().any(|value| value.starts_with('#'));
                let remedy = if has_comment { Remedy::OwnLine } else { Remedy::Quotes };
                Err(OptionError::SeveralValues { option, remedy })
            }
            _ => self.config.set(name, &values.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Config, String> {
        let mut config = Config::default();
        let mut contents = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found
                .map(|(_, text)| text.as_bytes().to_vec())
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
        };
        let mut reader = Reader { config: &mut config, contents: &mut contents };
        reader.read(Path::new(files[0].0), 1).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn lines_set_options() {
        let text = "# a comment\n\n  PORT   21879 \r\n\ttimeout 1\ntimeout 5\nsave \"\"\n\
                    requirepass \"a b\"\nbind 127.0.0.1 -::1\n\
                    client-output-buffer-limit normal  1k 2k   3\n\
                    client-output-buffer-limit pubsub 4 5 6";
        let config = read(&[("site.conf", text)]).unwrap();
        assert_eq!((config.port, config.timeout), (21879, 5));
        assert!(config.requirepass.matches(b"a b"));
        assert_eq!(config.value("bind").unwrap(), "127.0.0.1 -::1");
        let limits = config.value("client-output-buffer-limit").unwrap();
        assert_eq!(limits, "normal 1000 2000 3 slave 268435456 67108864 60 pubsub 4 5 6");
    }

    #[test]
    fn an_included_file_stands_at_its_line() {
        let config = read(&[
            ("a.conf", "port 1\ntimeout 1\ninclude b.conf\ntimeout 3\n"),
            ("b.conf", "port 2\ntimeout 2\n"),
        ]);
        let config = config.unwrap();
        assert_eq!((config.port, config.timeout), (2, 3));
    }

    #[test]
    fn errors_name_file_and_line() {
        for (text, error) in [
            ("port 1\nprot 2\n", "a.conf:2: unknown option 'prot'; did you mean 'port'?"),
            ("\n\nport x", "a.conf:3: option 'port': 'x' is refused: argument couldn't be parsed"),
            ("port", "a.conf:1: option 'port' needs a value"),
            ("bind", "a.conf:1: option 'bind' needs a value"),
            ("port 1 2", "a.conf:1: option 'port' takes exactly one value"),
            ("port 1 # why", "a.conf:1: option 'port' takes exactly one value (a comment needs"),
            ("#\nrequirepass \"a b\n", "a.conf:2: unbalanced quotes"),
            ("requirepass \"\\xff\"", "a.conf:1: an option and its value must be UTF-8"),
            ("include", "a.conf:1: 'include' takes exactly one file"),
            ("include *.conf", "a.conf:1: 'include' takes one file, patterns"),
            ("include none.conf", "a.conf:1: can't read config file 'none.conf'"),
            ("#\ninclude b.conf", "b.conf:2: unknown option 'foo'"),
            ("include a.conf", "a.conf:1: 'include' is nested more than 16 files deep"),
        ] {
            let found = read(&[("a.conf", text), ("b.conf", "\nfoo 1\n")]).unwrap_err();
            assert!(found.starts_with(error), "{text:?}: {found}");
            assert!(!found.contains('\n'));
        }
        let missing = contents(Path::new("no/such.conf")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
