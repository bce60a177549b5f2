//! Other people's programs, run to their end or in the background: bounded in
//! time, and never left running.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a program may run. Generous, because the machine may be busy; it
/// only turns a hang into a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whether `program` is installed; where it is not, the reason is printed.
///
/// # Panics
///
/// If it is not installed although the variable `CI` is set: there, a test that
/// is skipped is a test that is missing.
pub(crate) fn is_installed(program: &str, package: &str) -> bool {
    let started = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match started {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(&format!("{program} is not installed ({package})"));
            false
        }
        Err(error) => panic!("{program} does not start: {error}"),
    }
}

/// Says why a test is skipped; with the variable `CI`, fails it.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    eprintln!("skipped: {reason}");
}

/// What a program has left when it ended.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// What it printed, if it ended well and had no complaint.
    pub(crate) fn output(self) -> String {
        assert!(
            self.status.success() && self.stderr.is_empty(),
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// Runs a program to its end, with `input` as its standard input.
///
/// # Panics
///
/// If it has not ended after [`PATIENCE`]; it is killed then.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Finished {
    let mut child = Running(
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}")),
    );
    let stdout = read_to_end(child.0.stdout.take().expect("piped"));
    let stderr = read_to_end(child.0.stderr.take().expect("piped"));
    let mut stdin = child.0.stdin.take().expect("piped");
    let input = input.to_vec();
    // A program may end without having read everything: then this fails, and
    // its status tells.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let status = child.wait_until(Instant::now() + PATIENCE);
    if status.is_none() {
        child.kill();
    }
    writer.join().expect("it does not panic");
    let text = |reader: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().expect("it does not panic")).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(status) = status else {
        panic!("{command:?} does not end\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    };
    Finished { status, stdout, stderr }
}

fn read_to_end(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until an error is what there is to show.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A program that runs beside the test, read line by line; dropped, also by a
/// panic, it is killed.
pub(crate) struct Background {
    child: Running,
    lines: Receiver<String>,
}

impl Background {
    pub(crate) fn start(mut command: Command) -> Background {
        let mut child = Running(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?} does not start: {error}")),
        );
        let lines = lines_of(child.0.stdout.take().expect("piped"));
        Background { child, lines }
    }

    /// The next line of its output.
    ///
    /// # Panics
    ///
    /// If none comes within [`PATIENCE`].
    pub(crate) fn line(&self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("no line of output: {error}"))
    }

    /// Kills it and gives what it had still printed.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.child.kill();
        self.lines.iter().collect()
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A child that does not outlive this value.
struct Running(Child);

impl Running {
    /// Its status if it ends in time.
    fn wait_until(&mut self, end: Instant) -> Option<ExitStatus> {
        loop {
            let status = self.0.try_wait().expect("a child can be waited for");
            if status.is_some() || Instant::now() >= end {
                return status;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn kill(&mut self) {
        // Both fail only if it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
