//! The program's command line and config file, from outside: every wrong
//! option ends with exit code 1 and one line that says what to do.
//!
//! No test gives options that are right, since the program would then serve.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tollgate::config::OPTIONS;

fn tollgate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(args).env_remove("RUST_LOG").output().expect("the program starts")
}

/// The one line on standard error of a start that fails.
#[track_caller]
fn refusal(args: &[&str]) -> String {
    let output = tollgate(args);
    let text = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    let line = text.trim_end();
    line.strip_prefix("tollgate: ").expect("the program names itself").to_owned()
}

/// A config file that is removed with the value.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn new(name: &str, text: &str) -> ConfigFile {
        let name = format!("{}-{name}.conf", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).expect("the directory for tests is writable");
        ConfigFile(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is UTF-8")
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_wrong_option_is_named_with_what_is_allowed() {
    for (args, message) in [
        (
            &["--port", "70000"][..],
            "option 'port': '70000' is refused: argument must be between 0 and 65535 inclusive",
        ),
        (
            &["--databases", "many"],
            "option 'databases': 'many' is refused: argument couldn't be parsed into an integer \
             (allowed: an integer from 1 to 65536)",
        ),
        (
            &["--loglevel", "loud"],
            "option 'loglevel': 'loud' is refused: argument(s) must be one of the following: \
             debug, verbose, notice, warning, nothing",
        ),
        (
            &["--aof-use-rdb-preamble", "yes"],
            "option 'aof-use-rdb-preamble': 'yes' is refused: all files are of RESP commands \
             (allowed: only no)",
        ),
        (
            &["--appenddirname", "../x"],
            "option 'appenddirname': '../x' is refused: it can't be a path, just a name \
             (allowed: a name without '/')",
        ),
        (
            &["--dbfilename", ""],
            "option 'dbfilename': '' is refused: it can't be empty (allowed: a name without '/')",
        ),
        (&["--prot", "1"], "unknown option 'prot'; did you mean 'port'?"),
        (&["--replicaof", "x", "1"], "unknown option 'replicaof'; --help lists all options"),
        (&["--timeout"], "option 'timeout' needs a value (allowed: an integer from 0)"),
    ] {
        assert_eq!(refusal(args), message);
    }
}

#[test]
fn options_for_what_is_not_there_may_say_so() {
    // The last option is wrong on purpose: it is the only one complained of.
    let args = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--hz", "x"];
    assert!(refusal(&args).starts_with("option 'hz': 'x' is refused"));
}

#[test]
fn errors_in_a_config_file_name_the_line() {
    let inner = ConfigFile::new("inner", "# fine\ntimeout soon\n");
    let outer = ConfigFile::new("outer", &format!("port 0\n\ninclude \"{}\"\n", inner.path()));
    let message = refusal(&[outer.path()]);
    assert!(message.starts_with(&format!("{}:2: option 'timeout': 'soon'", inner.path())));

    let unknown = ConfigFile::new("unknown", "port 0\nmax-clients 5\n");
    let expected =
        format!("{}:2: unknown option 'max-clients'; did you mean 'maxclients'?", unknown.path());
    assert_eq!(refusal(&[unknown.path()]), expected);
    // What argv says comes after the file, so the file's error is first.
    assert_eq!(refusal(&[unknown.path(), "--port", "x"]), expected);

    assert!(refusal(&["no-such.conf"]).starts_with("can't read config file 'no-such.conf': "));
}

#[test]
fn only_files_are_loaded() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let expected = format!(
        "option 'load': '{directory}' is a directory (allowed: a snapshot or one file of a \
         journal; a whole journal is loaded by 'appendonly', from 'appenddirname' in 'dir')"
    );
    assert_eq!(refusal(&["--port", "0", "--load", directory]), expected);
    let missing = refusal(&["--port", "0", "--load", "/no/such/file"]);
    assert!(missing.starts_with("option 'load': can't open '/no/such/file': "), "{missing}");
}

#[test]
fn a_config_file_comes_first_only_outside_of_one() {
    let file = ConfigFile::new("several", "port 1 2\n");
    let expected = format!(
        "{}:1: option 'port' takes exactly one value (quote a value that holds spaces)",
        file.path()
    );
    assert_eq!(refusal(&[file.path()]), expected);
    let expected = "option 'port' takes exactly one value (quote a value that holds spaces; a \
                    config file comes first)";
    assert_eq!(refusal(&["--port", "1", file.path()]), expected);
}

#[test]
fn a_password_is_never_printed() {
    let file = ConfigFile::new("password", "requirepass open sesame\n");
    for args in [
        &["--requirepass", "open", "sesame"][..],
        &["--requirepas=sesame"],
        &["--requirepas", "sesame"],
        &["--requirepass", "sesame", "--port", "x"],
        &[file.path()],
    ] {
        assert!(!refusal(args).contains("sesame"));
    }
}

#[test]
fn paths_that_do_not_work_are_said() {
    let message = refusal(&["--dir", "/no/such/directory", "--port", "0"]);
    assert!(message.starts_with("option 'dir': can't change to '/no/such/directory': "));
    let message = refusal(&["--logfile", "/no/such/directory/log", "--port", "0"]);
    assert!(message.starts_with("option 'logfile': can't open '/no/such/directory/log': "));
}

#[test]
fn help_lists_every_option_with_its_default() {
    let output = tollgate(&["--help"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let help = String::from_utf8(output.stdout).expect("help is UTF-8");
    for option in OPTIONS {
        let entry = help.split_once(&format!("--{} <", option.name));
        let (_, entry) = entry.unwrap_or_else(|| panic!("{} is missing", option.name));
        let entry = entry.split("\n      --").next().unwrap_or_default();
        // Lines are wrapped at the width of the terminal.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = format!("[default: {}]", option.default_with_unit());
        assert!(words(entry).contains(&words(&expected)), "{}", option.name);
        assert!(help.contains(&format!("\n{}:\n", option.group)), "{}", option.group);
    }
    assert_eq!(tollgate(&["-h"]).stdout, help.into_bytes());
}

#[test]
fn version_is_the_crates() {
    for flag in ["--version", "-v"] {
        let output = tollgate(&[flag]);
        assert!(output.status.success());
        assert_eq!(output.stdout, concat!("tollgate ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    }
}
