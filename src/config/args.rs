//! The command line: a clap `Command` made from the table.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use super::error::{OptionError, Remedy};
use super::file::read_file;
use super::table::{Change, Config, OPTIONS, OptionSpec};

const CONFIG_FILE: &str = "CONFIG-FILE";

/// The word that makes the program check a file instead of serving.
const CHECK: &str = "check";
const FILE: &str = "FILE";
const FIX: &str = "fix";

/// What the command line asks for.
#[derive(Debug)]
pub enum Start {
    /// Run a server with these options.
    Run(Box<Config>),
    /// Print this text (`--help`, `--version`) and exit with success.
    Print(String),
    /// Look through journal files, and mend them if `fix` is set.
    Check {
        /// Files, manifests and directories of journals; at least one.
        paths: Vec<PathBuf>,
        /// Change them.
        fix: bool,
    },
}

/// Reads the command line: `tollgate [CONFIG-FILE] [--name value ...]...`.
/// The first item is the program's name; options override the file.
///
/// # Errors
/// The first thing that is wrong with an option, here or in the file.
pub fn read_args(args: impl IntoIterator<Item = OsString>) -> Result<Start, OptionError> {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|word| word == CHECK) {
        return read_check(args);
    }
    let matches = match command().try_get_matches_from(join_values(args)?) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Ok(Start::Print(error.render().to_string()));
            }
            _ => return Err(unmatched(&error)),
        },
    };
    let mut config = Config::default();
    if let Some(path) = matches.get_one::<String>(CONFIG_FILE) {
        read_file(&mut config, Path::new(path))?;
        // Before the server changes its directory.
        config.config_file = std::path::absolute(path)
            .map_or_else(|_| path.clone(), |path| path.to_string_lossy().into_owned());
    }
    for option in OPTIONS {
        for value in matches.get_many::<String>(option.name).into_iter().flatten() {
            config.set(option.name, value)?;
        }
    }
    Ok(Start::Run(Box::new(config)))
}

/// `tollgate check FILE... [--fix]`.
fn read_check(args: Vec<OsString>) -> Result<Start, OptionError> {
    // The name of the program stands in front of the rest.
    match check_command().try_get_matches_from(args.into_iter().skip(1)) {
        Ok(matches) => Ok(Start::Check {
            paths: matches.get_many::<PathBuf>(FILE).into_iter().flatten().cloned().collect(),
            fix: matches.get_flag(FIX),
        }),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Ok(Start::Print(error.render().to_string()))
        }
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            Err(OptionError::NoFile)
        }
        Err(error) => Err(match unmatched(&error) {
            // The server's options are none of these, however close they come.
            OptionError::Unknown { name, .. } => OptionError::Unknown { name, closest: None },
            other => other,
        }),
    }
}

fn check_command() -> Command {
    Command::new("tollgate check")
        .about("Looks through journal or snapshot files and says what is wrong with them.")
        .override_usage("tollgate check FILE... [--fix]")
        .arg(
            Arg::new(FILE)
                .help(
                    "Journal or snapshot of tollgate, or append-only file of Redis; of a manifest \
                     or a directory all files that are listed, in their order",
                )
                .value_parser(clap::value_parser!(PathBuf))
                .num_args(1..)
                .required(true),
        )
        .arg(Arg::new(FIX).long("fix").action(ArgAction::SetTrue).help(
            "Cut what is torn and keep what is whole of what is damaged; the rest is kept aside",
        ))
}

fn command() -> Command {
    let command = Command::new("tollgate")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A key-value server that speaks the Redis protocol.")
        .override_usage(
            "tollgate [CONFIG-FILE] [--OPTION VALUE...]...\n       tollgate check FILE... [--fix]",
        )
        .after_help(
            "Options marked * are fixed at the start; CONFIG SET changes the others at run time. \
             Numbers of bytes take the units k kb m mb g gb.",
        )
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .action(ArgAction::Version)
                .help("Print version"),
        )
        .arg(Arg::new(CONFIG_FILE).help("File in redis.conf syntax; options override it"));
    OPTIONS.iter().fold(command, |command, option| command.arg(option_arg(option)))
}

fn option_arg(option: &'static OptionSpec) -> Arg {
    let mark = if option.change == Change::Live { "" } else { " *" };
    let (default, allowed) = (option.default_with_unit(), option.allowed());
    Arg::new(option.name)
        .long(option.name)
        .value_name(option.placeholder())
        // Repeated options apply in order: the last one wins, or adds to the
        // earlier ones where it names a part.
        .action(ArgAction::Append)
        .help_heading(option.group)
        .help(format!("{}{mark} [default: {default}] [allowed: {allowed}]", option.summary))
}

/// Joins each option with the words that belong to it into `--name=value`, by
/// the rule of redis-server: everything up to the next `--`.
///
/// clap alone cannot tell `--bind 127.0.0.1 -::1` and `--requirepass -x` from
/// options, and would take a stray second word of a password for a file, and
/// print it.
fn join_values(args: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, OptionError> {
    let mut joined: Vec<String> = Vec::new();
    // The option that takes the next words, and whether it has one already.
    let mut open: Option<(&OptionSpec, bool)> = None;
    for arg in args {
        let arg = arg.into_string().map_err(|_| OptionError::NotUtf8)?;
        if let Some(written) = arg.strip_prefix("--") {
            refuse_missing(open)?;
            let (name, value) = match written.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (written, None),
            };
            open = OptionSpec::find(name).map(|option| (option, value.is_some()));
            joined.push(match (open, value) {
                (Some((option, _)), None) => format!("--{}", option.name),
                (Some((option, _)), Some(value)) => format!("--{}={value}", option.name),
                (None, _) => arg,
            });
            continue;
        }
        match (&mut open, joined.last_mut()) {
            (Some((option, has_value)), Some(last)) if !*has_value || option.is_list() => {
                last.push(if *has_value { ' ' } else { '=' });
                last.push_str(&arg);
                *has_value = true;
            }
            (Some(_), _) if matches!(arg.as_str(), "-h" | "-v") => joined.push(arg),
            (Some((option, _)), _) => {
                let remedy = Remedy::QuotesOrOrder;
                return Err(OptionError::SeveralValues { option, remedy });
            }
            (None, _) => joined.push(arg),
        }
    }
    refuse_missing(open)?;
    Ok(joined)
}

fn refuse_missing(open: Option<(&'static OptionSpec, bool)>) -> Result<(), OptionError> {
    match open {
        Some((option, false)) => Err(OptionError::NoValue { option }),
        _ => Ok(()),
    }
}

/// The typed error for an argument that matches nothing in the table.
fn unmatched(error: &clap::Error) -> OptionError {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    // What follows the `=` may be a password under a misspelt name.
    let argument = argument.split('=').next().unwrap_or_default();
    if !argument.starts_with('-') || argument == "-" {
        return OptionError::Unexpected { argument: argument.to_owned() };
    }
    let name = argument.strip_prefix("--").unwrap_or(argument);
    OptionError::Unknown {
        name: name.to_owned(),
        closest: OptionSpec::closest(name).map(|option| option.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Config, String> {
        let args = std::iter::once(&"tollgate").chain(words).map(OsString::from);
        match read_args(args).map_err(|error| error.to_string())? {
            Start::Run(config) => Ok(*config),
            Start::Print(text) => Err(text),
            Start::Check { paths, fix } => Err(format!("check {paths:?} {fix}")),
        }
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
        check_command().debug_assert();
    }

    #[test]
    fn files_can_be_checked() {
        assert_eq!(run(&["check", "a.aof"]).unwrap_err(), "check [\"a.aof\"] false");
        let both = "check [\"a.aof\", \"b.aof\"] true";
        assert_eq!(run(&["check", "a.aof", "b.aof", "--fix"]).unwrap_err(), both);
        assert_eq!(run(&["check", "--fix", "a.aof", "b.aof"]).unwrap_err(), both);
        assert!(run(&["check", "--help"]).unwrap_err().contains("tollgate check FILE... [--fix]"));
        assert!(run(&["check"]).unwrap_err().contains("FILE"));
        for (option, name) in [("--mend", "mend"), ("--port", "port"), ("--load", "load")] {
            let error = run(&["check", "a.aof", option]).unwrap_err();
            assert_eq!(error, format!("unknown option '{name}'; --help lists all options"));
        }
    }

    #[test]
    fn options_set_fields() {
        assert_eq!(run(&[]).unwrap(), Config::default());
        let config = run(&[
            "--port",
            "7000",
            "--BIND",
            "127.0.0.1",
            "-::1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--requirepass",
            "-x",
            "--slowlog-log-slower-than",
            "-1",
            "--timeout=5",
            "--port",
            "7001",
        ]);
        let config = config.unwrap();
        assert_eq!((config.port, config.timeout, config.slowlog_log_slower_than), (7001, 5, -1));
        assert_eq!(config.value("bind").unwrap(), "127.0.0.1 -::1");
        assert!(config.requirepass.matches(b"-x"));
        assert_eq!(run(&["--save="]).unwrap(), Config::default());
    }

    #[test]
    fn repeated_limits_add_up() {
        let name = "--client-output-buffer-limit";
        let config = run(&[name, "normal", "1", "2", "3", name, "pubsub 4 5 6"]).unwrap();
        let limits = config.client_output_buffer_limit;
        assert_eq!((limits.normal.hard_bytes, limits.pubsub.soft_seconds), (1, 6));
        assert_eq!(limits.replica, Config::default().client_output_buffer_limit.replica);
    }

    #[test]
    fn errors_are_one_line() {
        for (words, error) in [
            (&["--prot", "1"][..], "unknown option 'prot'; did you mean 'port'?"),
            (&["--requirepas=secret"], "unknown option 'requirepas'; did you mean 'requirepass'?"),
            (&["-p", "1"], "unknown option '-p'; --help lists"),
            (&["--port"], "option 'port' needs a value (allowed: an integer from 0 to 65535)"),
            (&["--port", "--timeout", "1"], "option 'port' needs a value"),
            (&["--port", "1", "2"], "option 'port' takes exactly one value"),
            (&["--requirepass", "open", "secret"], "option 'requirepass' takes exactly one"),
            (&["--bind", "127.0.0.1", "x"], "option 'bind': '127.0.0.1 x' is refused: 'x' is not"),
            (&["none.conf"], "can't read config file 'none.conf'"),
            (&["none.conf", "other.conf"], "unexpected argument 'other.conf'"),
            (&["--help=x"], "unknown option 'help"),
        ] {
            let found = run(words).unwrap_err();
            assert!(found.starts_with(error), "{words:?}: {found}");
            assert!(!found.contains('\n') && !found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn help_wins_over_what_follows_it() {
        for words in [&["--help"][..], &["-h", "--port", "x"], &["--port", "1", "-h"]] {
            assert!(run(words).unwrap_err().contains("Usage: tollgate"), "{words:?}");
        }
        for words in [&["--version"][..], &["-v"]] {
            assert_eq!(
                run(words).unwrap_err(),
                concat!("tollgate ", env!("CARGO_PKG_VERSION"), "\n")
            );
        }
    }
}
