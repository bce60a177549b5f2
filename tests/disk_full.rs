//! A journal on a real disk that is full, read-only or gone, and one that another
//! server already has.

#[path = "support/kill/subject.rs"]
#[allow(dead_code)]
mod subject;
mod support;

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use subject::{Folder, Fsync, Subject, rewrite, tail};
use support::process::ServerProcess;
use support::program;
use support::resp::{self, Reply};
use support::target::{Target as _, TcpTarget, encode};

/// How long a server may take to see that a disk has room again. Nobody tells it.
const RECOVERY: Duration = Duration::from_secs(5);

/// Longer than any file here takes to fill the disk.
const WRITES_MAX: usize = 100_000;

const NO_SPACE: &str = "No space left on device";
const READ_ONLY: &str = "Read-only file system";

const DISK: &str = "4m";
const LARGER_DISK: &str = "64m";
const IMAGE_BYTES: u64 = 16 << 20;
const BALLAST_BYTES: usize = 2 * 1024 * 1024;

/// A small disk of its own, in memory or in a file; gone when the test is.
struct Disk {
    folder: Folder,
    is_mounted: bool,
}

impl Disk {
    /// Nothing, with the reason printed, where mounting is not allowed.
    ///
    /// # Panics
    ///
    /// There, if the variable `CI` is set.
    fn mount(name: &str) -> Option<Disk> {
        Disk::mounted(name, false)
    }

    /// The same with a file system that can fail as one on a real disk does.
    fn mount_image(name: &str) -> Option<Disk> {
        Disk::mounted(name, true)
    }

    fn mounted(name: &str, has_image: bool) -> Option<Disk> {
        let mut disk = Disk { folder: Folder::new(name), is_mounted: false };
        fs::create_dir(disk.path()).expect("a temporary directory");
        let mounted = if has_image {
            disk.make_image().and_then(|()| disk.mount_again())
        } else {
            disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={DISK}"), "tmpfs"])
        };
        match mounted {
            Ok(()) => {
                disk.is_mounted = true;
                Some(disk)
            }
            Err(error) => {
                program::skip(&format!("no disk of a test's own: {error}"));
                None
            }
        }
    }

    fn image(&self) -> PathBuf {
        self.folder.path.join("image")
    }

    fn make_image(&self) -> io::Result<()> {
        fs::File::create(self.image())?.set_len(IMAGE_BYTES)?;
        let made = Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(self.image()).output()?;
        if made.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&made.stderr).trim().to_owned()))
    }

    fn mount_again(&self) -> io::Result<()> {
        self.run("mount", &["-o", "loop", &self.image().to_string_lossy()])
    }

    /// What an administrator does after a file system has given itself up.
    fn repair(&self) {
        self.run("umount", &[]).expect("nobody uses it any more");
        let checked = Command::new("e2fsck").arg("-fy").arg(self.image()).output();
        let code = checked.expect("it came with mke2fs").status.code();
        assert!(matches!(code, Some(0 | 1)), "the file system is not repaired: {code:?}");
        self.mount_again().expect("it was mounted before");
    }

    fn path(&self) -> PathBuf {
        self.folder.path.join("disk")
    }

    /// Runs `mount` or `umount` with the options and the path of this disk.
    fn run(&self, program: &str, options: &[&str]) -> io::Result<()> {
        let done = Command::new(program).args(options).arg(self.path()).output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        self.run("mount", &["-o", &options]).expect("it was mounted here");
    }

    /// A file that takes room until it is removed.
    fn put_ballast(&self) {
        fs::write(self.ballast(), vec![1; BALLAST_BYTES]).expect("there is room");
    }

    fn remove_ballast(&self) {
        fs::remove_file(self.ballast()).expect("it was put there");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.is_mounted {
            return;
        }
        // Lazily: a server that is about to be killed may still have files open.
        if let Err(error) = self.run("umount", &["--lazy"]) {
            eprintln!("{} stays mounted: {error}", self.path().display());
            self.folder.keep();
        }
    }
}

fn start(dir: &Path, fsync: Fsync) -> ServerProcess {
    // No rewrite of its own: what needs a new file is asked for.
    let mut options = vec!["--auto-aof-rewrite-percentage", "0"];
    if Subject::chosen() == Subject::Redis {
        // Its snapshots are compressed.
        options.extend(["--aof-use-rdb-preamble", "no"]);
    }
    Subject::chosen()
        .start(dir, fsync, &options)
        .unwrap_or_else(|error| panic!("it does not start: {error}"))
}

fn write_status(connection: &mut TcpTarget) -> Option<String> {
    connection.info("persistence", "aof_last_write_status")
}

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

fn value_of(which: usize) -> String {
    format!("{which}:{}", "v".repeat(1_000))
}

fn set(connection: &mut TcpTarget, which: usize) -> Reply {
    connection.call(&["SET", &format!("key:{which}"), &value_of(which)])
}

/// What became of writing until the disk was full.
struct Full {
    /// The first key that was not acknowledged.
    next: usize,
    /// How a write is refused now.
    error: String,
    /// With `always` a reply is owed to the write that met the full disk. A server may
    /// refuse it, or hold the reply back until the write is on the disk.
    held: Option<TcpTarget>,
}

impl Full {
    /// After the disk has recovered: the reply that was held back.
    fn take_held(&mut self) {
        let Some(mut connection) = self.held.take() else { return };
        connection.set_patience(RECOVERY);
        let reply = connection.reply().expect("the reply comes when the disk has recovered");
        println!("the reply that was held back: {}", resp::excerpt(&reply));
        if reply == b"+OK\r\n" {
            assert_there(&mut connection, self.next..self.next + 1);
        }
    }
}

/// Writes until that is not acknowledged.
fn write_until_full(server: &ServerProcess, first: usize) -> Full {
    let mut connection = server.connect();
    connection.set_patience(Duration::from_secs(2));
    for next in first..WRITES_MAX {
        let request = encode(&["SET", &format!("key:{next}"), &value_of(next)]);
        connection.send(&request).expect("it takes requests");
        match connection.reply() {
            Ok(reply) if reply == b"+OK\r\n" => {}
            Ok(reply) => {
                let error = String::from_utf8_lossy(&reply).trim_start_matches('-').to_owned();
                return Full { next, error, held: None };
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                // That one waits for the disk. All others are answered: reads, and writes
                // with a refusal.
                let answer = |request: &[&str]| {
                    let mut other = server.connect();
                    other.set_patience(RECOVERY);
                    other.send(&encode(request)).expect("it takes requests");
                    let reply = other.reply().unwrap_or_else(|error| {
                        panic!(
                            "{request:?} of another client is not answered while key:{next} waits \
                             for the full disk: {error}"
                        )
                    });
                    String::from_utf8_lossy(&reply).trim_start_matches('-').to_owned()
                };
                answer(&["PING"]);
                answer(&["GET", "key:0"]);
                let error = answer(&["SET", "probe", "x"]);
                return Full { next, error, held: Some(connection) };
            }
            Err(error) => panic!("key:{next}: {error}"),
        }
    }
    panic!("{WRITES_MAX} writes fit");
}

#[track_caller]
fn assert_misconf(error: &str, cause: &str) {
    println!("{error}");
    assert!(error.starts_with("MISCONF "), "{error}");
    if Subject::chosen() == Subject::Tollgate {
        assert!(error.contains(cause), "the cause: {error}");
    }
}

/// No rewrite is begun that the fault would end at once, and the cause is answered.
fn assert_rewrite_refused(connection: &mut TcpTarget, cause: &str) {
    let refused = connection.call(&["BGREWRITEAOF"]);
    let text = String::from_utf8_lossy(refused.text().unwrap_or_default()).into_owned();
    assert!(text.contains("Can't execute an AOF background rewriting: "), "{refused:?}");
    assert!(text.contains(cause), "{refused:?}");
}

/// Writes this key until it is taken: how long that took.
fn until_taken(connection: &mut TcpTarget, which: usize) -> Duration {
    let started = Instant::now();
    loop {
        let reply = set(connection, which);
        if reply == ok() {
            return started.elapsed();
        }
        let text = String::from_utf8_lossy(reply.text().unwrap_or_default()).into_owned();
        assert!(text.starts_with("MISCONF "), "{reply:?}");
        assert!(started.elapsed() < RECOVERY, "still refused: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fails unless all these keys have their values; which keys may be missing is for
/// the caller to say.
#[track_caller]
fn assert_there(connection: &mut TcpTarget, keys: impl Iterator<Item = usize>) {
    let keys: Vec<usize> = keys.collect();
    for batch in keys.chunks(100) {
        let requests: Vec<u8> =
            batch.iter().flat_map(|which| encode(&["GET", &format!("key:{which}")])).collect();
        connection.send(&requests).expect("it takes requests");
        for which in batch {
            let reply = resp::decode_one(&connection.reply().expect("it replies"));
            let found = reply.text().map(resp::excerpt);
            let expected = value_of(*which);
            assert!(
                reply.text() == Some(expected.as_bytes()),
                "key:{which} of {} is {found:?}",
                keys.len()
            );
        }
    }
}

#[test]
fn on_a_full_disk_reads_go_on_and_nothing_acknowledged_is_lost_by_kill_9() {
    if Subject::chosen() == Subject::Redis {
        // It ends itself when it cannot keep the promise of `always`.
        return;
    }
    let Some(disk) = Disk::mount("disk-full-kill") else { return };
    let dir = disk.path();
    let server = start(&dir, Fsync::Always);
    let mut connection = server.connect();
    let mut waiter = server.connect();
    let lock = connection.call(&["LOCK.ACQUIRE", "lock", "one", "PX", "2000"]);
    let Reply::Integer(token) = lock else { panic!("{lock:?}") };
    connection.call(&["SET", "short", "x", "PX", "2000"]);
    disk.put_ballast();
    let full = write_until_full(&server, 0);
    assert_misconf(&full.error, NO_SPACE);
    let taken = full.next;
    assert!(taken > 100, "{taken} writes are few for the room there is");
    assert_eq!(write_status(&mut connection).as_deref(), Some("err"));

    // Reads go on, and every kind of write is refused.
    assert_there(&mut connection, 0..taken);
    assert_eq!(waiter.call(&["PING"]), Reply::Simple(b"PONG".to_vec()));
    for write in [
        &["SET", "key:0", "other"][..],
        &["DEL", "key:0"],
        &["INCR", "number"],
        &["PEXPIRE", "key:0", "1000"],
        &["FLUSHALL"],
        &["STOCK.HOLD", "hold", "PX", "1000", "stock", "1"],
        &["LOCK.ACQUIRE", "other lock", "one", "PX", "1000"],
        &["LEASE.GET", "page", "FOR", "1000"],
    ] {
        let reply = connection.call(write);
        let text = String::from_utf8_lossy(reply.text().unwrap_or_default()).into_owned();
        assert!(text.starts_with("MISCONF "), "{write:?} is answered {reply:?}");
    }
    assert_there(&mut connection, 0..taken);

    // Time goes on as well, without a journal.
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(connection.call(&["LOCK.INFO", "lock"]), Reply::Null);
    assert_eq!(connection.call(&["EXISTS", "short", "lock"]), Reply::Integer(0));

    // The disk is still full when the server is killed.
    drop(server);
    disk.remount(&format!("size={LARGER_DISK}"));
    let server = start(&dir, Fsync::Always);
    let mut connection = server.connect();
    assert_there(&mut connection, 0..taken);
    assert_eq!(connection.call(&["EXISTS", "short", "lock", "number"]), Reply::Integer(0));
    let again = connection.call(&["LOCK.ACQUIRE", "lock", "two", "PX", "2000"]);
    assert!(matches!(again, Reply::Integer(later) if later > token), "{again:?} after {token}");
    assert_eq!(set(&mut connection, taken), ok());
    assert_eq!(write_status(&mut connection).as_deref(), Some("ok"));
}

#[test]
fn a_torn_end_on_a_full_disk_stops_writes_and_not_the_start() {
    if Subject::chosen() == Subject::Redis {
        // It keeps nothing of it.
        return;
    }
    let Some(disk) = Disk::mount("disk-full-torn") else { return };
    let dir = disk.path();
    let server = start(&dir, Fsync::Always);
    disk.put_ballast();
    let taken = write_until_full(&server, 0).next;
    drop(server);
    let files = dir.join("appendonlydir");
    let path = files.join("appendonly.aof.1.incr.aof");
    let file = fs::OpenOptions::new().write(true).open(path).expect("it is there");
    file.set_len(file.metadata().expect("it is open").len() - 50).expect("it can be cut");
    fs::write(dir.join("rest"), vec![1; BALLAST_BYTES]).expect_err("it is full again");
    let server = start(&dir, Fsync::Always);
    let mut connection = server.connect();
    assert_there(&mut connection, 0..taken - 1);
    let refused = set(&mut connection, taken);
    assert_misconf(&String::from_utf8_lossy(refused.text().unwrap_or_default()), NO_SPACE);
    disk.remount(&format!("size={LARGER_DISK}"));
    until_taken(&mut connection, taken);
    drop(server);
    let names = fs::read_dir(files).expect("it is there").flatten().map(|entry| entry.file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().contains(".torn-")).count(), 1);
    let server = start(&dir, Fsync::Always);
    assert_there(&mut server.connect(), (0..taken - 1).chain([taken]));
}

#[test]
fn writes_are_taken_again_when_there_is_room_again() {
    for fsync in [Fsync::Always, Fsync::EverySecond] {
        if Subject::chosen() == Subject::Redis && fsync == Fsync::Always {
            continue;
        }
        println!("{}", fsync.name());
        let Some(disk) = Disk::mount(&format!("disk-full-{}", fsync.name())) else { return };
        let dir = disk.path();
        let server = start(&dir, fsync);
        let mut connection = server.connect();
        // Twice: what has recovered can fail again.
        let mut taken = 0;
        for time in 1..=2 {
            disk.put_ballast();
            let mut full = write_until_full(&server, taken);
            assert_misconf(&full.error, NO_SPACE);
            let next = full.next;
            println!("time {time}: {} were taken", next - taken);
            disk.remove_ballast();
            let after = until_taken(&mut connection, next);
            println!("time {time}: taken again after {after:?}");
            full.take_held();
            assert_there(&mut connection, 0..=next);
            assert_eq!(write_status(&mut connection).as_deref(), Some("ok"));
            taken = next + 1;
            if time == 1 {
                // Room for the second time.
                disk.remount("size=8m");
            }
        }
        if fsync == Fsync::EverySecond {
            // What was acknowledged longer ago than this is on the disk.
            std::thread::sleep(Duration::from_millis(1_500));
        }
        drop(server);
        let server = start(&dir, fsync);
        assert_there(&mut server.connect(), 0..taken);
    }
}

#[test]
fn a_rewrite_that_finds_the_disk_full_costs_nothing() {
    let Some(disk) = Disk::mount("disk-full-rewrite") else { return };
    let dir = disk.path();
    let server = start(&dir, Fsync::EverySecond);
    let mut connection = server.connect();
    disk.put_ballast();
    // More than half of what is left: there is no room for a second copy.
    let written = 1_300;
    (0..written).for_each(|which| assert_eq!(set(&mut connection, which), ok()));
    rewrite(&mut connection, "err");
    assert_there(&mut connection, 0..written);
    // What the rewrite had written is gone, so that there is room for writes.
    until_taken(&mut connection, written);
    disk.remove_ballast();
    rewrite(&mut connection, "ok");
    std::thread::sleep(Duration::from_millis(1_500));
    drop(server);
    assert_there(&mut start(&dir, Fsync::EverySecond).connect(), 0..=written);
}

#[test]
fn a_start_on_a_read_only_directory_is_refused_with_the_reason() {
    let Some(disk) = Disk::mount("disk-read-only") else { return };
    disk.remount("ro");
    let said = Subject::chosen().refusal(&disk.path());
    if Subject::chosen() == Subject::Tollgate {
        assert!(said.contains(READ_ONLY), "the cause: {said}");
        assert!(said.contains(&*disk.path().to_string_lossy()), "the place: {said}");
    }
    disk.remount("rw");
    let server = start(&disk.path(), Fsync::Always);
    assert_eq!(set(&mut server.connect(), 0), ok());
    drop(server);

    // With a journal in it as well: a server that may not write it must not serve.
    disk.remount("ro");
    let said = Subject::chosen().refusal(&disk.path());
    if Subject::chosen() == Subject::Tollgate {
        assert!(said.contains(READ_ONLY), "the cause: {said}");
    }
}

/// Servers whom permissions bind, which they do not do to root.
struct Bound {
    is_changed: bool,
}

impl Bound {
    /// The number of the user `nobody`, or of one who is not there.
    const NOBODY: u32 = 65_534;

    /// In a directory of its own that it may change. Nothing, with the reason printed,
    /// where that is not to be had.
    fn new(dir: &Path) -> Option<Bound> {
        fs::create_dir(dir).expect("a temporary directory");
        let closed = Closed::new(dir);
        let is_root = fs::write(dir.join("probe"), "").is_ok();
        drop(closed);
        if !is_root {
            return Some(Bound { is_changed: false });
        }
        fs::remove_file(dir.join("probe")).expect("it was put there");
        chown(dir, Some(Bound::NOBODY), Some(Bound::NOBODY)).expect("root may");
        let bound = Bound { is_changed: true };
        let mut version = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        version.arg("--version");
        match bound.bind(version).output() {
            Ok(done) if done.status.success() => Some(bound),
            failed => {
                program::skip(&format!("the program cannot be run as another user: {failed:?}"));
                None
            }
        }
    }

    /// The same command, run by nobody in particular.
    fn bind(&self, command: Command) -> Command {
        if !self.is_changed {
            return command;
        }
        let mut bound = Command::new("setpriv");
        bound.arg(format!("--reuid={}", Bound::NOBODY)).arg(format!("--regid={}", Bound::NOBODY));
        bound.arg("--clear-groups").arg(command.get_program()).args(command.get_args());
        bound
    }

    fn start(&self, dir: &Path, options: &[&str]) -> ServerProcess {
        ServerProcess::start(|port| {
            let options = [&["--auto-aof-rewrite-percentage", "0"], options].concat();
            let mut command =
                self.bind(Subject::Tollgate.command(port, dir, Fsync::Always, &options));
            command.stderr(subject::log(dir));
            command
        })
        .unwrap_or_else(|error| panic!("it does not start: {error}\n{}", tail(dir)))
    }
}

/// A directory in which nothing can be created, until this is dropped.
struct Closed<'a>(&'a Path);

impl Closed<'_> {
    fn new(dir: &Path) -> Closed<'_> {
        let closed = Closed(dir);
        closed.set_mode(0o555);
        closed
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.0, fs::Permissions::from_mode(mode)).expect("it is the test's");
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.set_mode(0o755);
    }
}

#[test]
fn a_directory_in_which_nothing_can_be_created_stops_only_rewrites() {
    if Subject::chosen() == Subject::Redis {
        return;
    }
    let folder = Folder::new("disk-closed");
    let dir = folder.path.join("data");
    let Some(bound) = Bound::new(&dir) else { return };
    let journal = dir.join("appendonlydir");
    let server = bound.start(&dir, &[]);
    let mut connection = server.connect();
    assert_eq!(set(&mut connection, 0), ok());

    let closed = Closed::new(&journal);
    assert_eq!(set(&mut connection, 1), ok(), "its file is open");
    rewrite(&mut connection, "err");
    let said = tail(&dir);
    let place = format!("cannot create {}", journal.display());
    assert!(said.contains(&place) && said.contains("Permission denied"), "{said}");
    assert_eq!(write_status(&mut connection).as_deref(), Some("ok"));
    assert_eq!(set(&mut connection, 2), ok());
    assert_there(&mut connection, 0..3);

    // A snapshot is another directory's business.
    assert_eq!(connection.call(&["SAVE"]), ok());
    let all_closed = Closed::new(&dir);
    let refused = connection.call(&["SAVE"]);
    let text = String::from_utf8_lossy(refused.text().unwrap_or_default()).into_owned();
    assert!(text.contains("the snapshot was not written"), "{refused:?}");
    assert!(
        tail(&dir).contains(&format!("cannot create {}/temp-", dir.display())),
        "{}",
        tail(&dir)
    );

    // A start needs to create nothing where all of it is there.
    drop((server, connection));
    let server = bound.start(&dir, &[]);
    let mut connection = server.connect();
    assert_there(&mut connection, 0..3);
    assert_eq!(set(&mut connection, 3), ok());

    drop((closed, all_closed));
    rewrite(&mut connection, "ok");
    assert_eq!(set(&mut connection, 4), ok());
    drop((server, connection));
    assert_there(&mut bound.start(&dir, &[]).connect(), 0..5);
}

#[test]
fn a_journal_that_cannot_be_created_is_refused_with_place_and_cause() {
    if Subject::chosen() == Subject::Redis {
        return;
    }
    let folder = Folder::new("disk-closed-begun");
    let dir = folder.path.join("data");
    let Some(bound) = Bound::new(&dir) else { return };
    let closed = Closed::new(&dir);
    let server = bound.start(&dir, &["--appendonly", "no"]);
    let mut connection = server.connect();
    let begin = ["CONFIG", "SET", "appendonly", "yes"];
    let refused = connection.call(&begin);
    let text = String::from_utf8_lossy(refused.text().unwrap_or_default()).into_owned();
    println!("{text}");
    assert!(text.starts_with("ERR CONFIG SET failed"), "{refused:?}");
    let place = dir.join("appendonlydir");
    assert!(text.contains(&format!("cannot create {}", place.display())), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    assert_eq!(set(&mut connection, 0), ok(), "it is served without a journal");

    drop(closed);
    assert_eq!(connection.call(&begin), ok());
    assert_durable(&mut connection);
    drop((server, connection));
    assert_there(&mut bound.start(&dir, &[]).connect(), 0..1);
}

/// Waits until a restart finds everything, which takes no time.
#[track_caller]
fn assert_durable(connection: &mut TcpTarget) {
    let durable = connection.call(&["WAITAOF", "1", "0", "4000"]);
    assert_eq!(durable, Reply::Array(vec![Reply::Integer(1), Reply::Integer(0)]));
}

#[test]
fn a_journal_whose_directory_was_removed_is_begun_anew_when_somebody_says_so() {
    if Subject::chosen() == Subject::Redis {
        return;
    }
    let folder = Folder::new("disk-removed");
    let dir = folder.path.join("data");
    fs::create_dir(&dir).expect("a temporary directory");
    let server = start(&dir, Fsync::Always);
    let mut connection = server.connect();
    assert_eq!(set(&mut connection, 0), ok());
    let journal = dir.join("appendonlydir");
    fs::remove_dir_all(&journal).expect("the test may");
    let full = write_until_full(&server, 1);
    let place = journal.to_string_lossy().into_owned();
    let remedy = "CONFIG SET appendonly no and then yes begins it anew";
    assert_misconf(&full.error, &place);
    assert_misconf(&full.error, remedy);
    assert!(tail(&dir).contains(&format!("{place}/appendonly.aof.")), "{}", tail(&dir));
    assert_rewrite_refused(&mut connection, remedy);
    fs::create_dir(&journal).expect("it is gone");
    // Its files do not come back by themselves, and the error says what helps.
    let end = Instant::now() + RECOVERY;
    let error = loop {
        let refused = set(&mut connection, 2);
        let text = String::from_utf8_lossy(refused.text().unwrap_or_default()).into_owned();
        if text.contains("anew") {
            break text;
        }
        assert!(Instant::now() < end, "{text}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_misconf(&error, remedy);
    assert_misconf(&error, &place);
    assert_rewrite_refused(&mut connection, remedy);

    let begun = Instant::now();
    assert_eq!(connection.call(&["CONFIG", "SET", "appendonly", "no"]), ok());
    assert_eq!(connection.call(&["PING"]), Reply::Simple(b"PONG".to_vec()));
    // Nobody is kept waiting for a disk that does not work.
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(connection.call(&["CONFIG", "SET", "appendonly", "yes"]), ok());
    // Its first rewrite is not put off because of one that failed before.
    assert_durable(&mut connection);
    drop((server, connection, full));
    assert_there(&mut start(&dir, Fsync::Always).connect(), 0..2);
}

/// As a file system does that has found itself damaged: what was open cannot be written
/// any more either.
#[test]
fn a_file_system_that_becomes_read_only_stops_writes_and_loses_nothing() {
    if Subject::chosen() == Subject::Redis {
        return;
    }
    let Some(disk) = Disk::mount_image("disk-aborted") else { return };
    let dir = disk.path();
    let server = start(&dir, Fsync::Always);
    let mut connection = server.connect();
    (0..20).for_each(|which| assert_eq!(set(&mut connection, which), ok()));
    disk.remount("abort");
    let full = write_until_full(&server, 20);
    assert_eq!(full.next, 20, "nothing is acknowledged any more");
    assert_misconf(&full.error, READ_ONLY);
    assert_there(&mut connection, 0..20);
    assert_rewrite_refused(&mut connection, READ_ONLY);
    drop((server, connection, full));

    // A server that cannot write does not start either.
    let said = Subject::chosen().refusal(&dir);
    assert!(said.contains(READ_ONLY), "the cause: {said}");
    assert!(said.contains(&*dir.to_string_lossy()), "the place: {said}");
    disk.repair();
    let server = start(&dir, Fsync::Always);
    let mut connection = server.connect();
    assert_there(&mut connection, 0..20);
    assert_eq!(set(&mut connection, 20), ok());
}

#[test]
fn a_start_without_a_directory_is_refused_with_the_reason() {
    let folder = Folder::new("disk-nowhere");
    let said = Subject::chosen().refusal(&folder.path.join("nowhere"));
    if Subject::chosen() == Subject::Tollgate {
        assert!(said.contains("nowhere"), "the place: {said}");
        assert!(said.contains("No such file or directory"), "the cause: {said}");
    }
}

/// The files that are open stay, so only what needs a new one can fail.
#[test]
fn a_directory_that_goes_away_stops_nothing_that_needs_no_new_file() {
    let folder = Folder::new("disk-gone");
    let (dir, away) = (folder.path.join("data"), folder.path.join("away"));
    fs::create_dir(&dir).expect("a temporary directory");
    let server = start(&dir, Fsync::Always);
    let mut connection = server.connect();
    assert_eq!(set(&mut connection, 0), ok());
    let journal = dir.join("appendonlydir");
    fs::rename(&journal, &away).expect("nothing is in the way");
    assert_eq!(set(&mut connection, 1), ok(), "its file is still open");

    connection.call(&["BGREWRITEAOF"]);
    std::thread::sleep(Duration::from_millis(300));
    println!("the rewrite: {:?}", connection.info("persistence", "aof_last_bgrewrite_status"));
    assert_there(&mut connection, 0..2);
    // Taken or refused, but never taken and then lost.
    let reply = set(&mut connection, 2);
    println!("a write after it: {reply:?}");

    // Redis makes a new one, which is complete when the rewrite has succeeded.
    if !journal.exists() {
        fs::rename(&away, &journal).expect("nothing is in the way");
    }
    let after = until_taken(&mut connection, 3);
    println!("taken again after {after:?}");
    let sure = if reply == ok() { 0..4 } else { 0..2 };
    drop(server);
    let server = start(&dir, Fsync::Always);
    assert_there(&mut server.connect(), sure.chain(3..4));
    println!("{}", tail(&dir));
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    if Subject::chosen() == Subject::Redis {
        // It would write into the first one's files.
        return;
    }
    let folder = Folder::new("disk-two");
    let dir = folder.path.join("data");
    fs::create_dir(&dir).expect("a temporary directory");
    let first = start(&dir, Fsync::Always);
    let mut connection = first.connect();
    assert_eq!(set(&mut connection, 0), ok());
    let said = Subject::chosen().refusal(&dir);
    assert!(said.contains("lock"), "what is in the way: {said}");
    assert!(said.contains(&*dir.to_string_lossy()), "where: {said}");
    // It has touched nothing.
    assert_eq!(set(&mut connection, 1), ok());
    drop(first);
    // The lock has gone with the process, whatever file it was in.
    let second = start(&dir, Fsync::Always);
    assert_there(&mut second.connect(), 0..2);
}

#[test]
fn a_server_without_a_journal_needs_no_directory_of_its_own() {
    let folder = Folder::new("disk-none");
    let dir = folder.path.join("data");
    fs::create_dir(&dir).expect("a temporary directory");
    let first = start(&dir, Fsync::Always);
    // The last value of an option counts.
    let second = Subject::chosen()
        .start(&dir, Fsync::Always, &["--appendonly", "no"])
        .unwrap_or_else(|error| panic!("it does not start: {error}"));
    assert_eq!(set(&mut second.connect(), 0), ok());
    assert_eq!(first.connect().call(&["EXISTS", "key:0"]), Reply::Integer(0));
}
