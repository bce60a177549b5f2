//! The journal of a server with real sockets, threads and files, embedded in the test.
//! What kill -9 leaves is the subject of `kill.rs`, a failing disk of `disk_full.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tollgate::server::{Builder, Handle, Server};

/// Long enough for any machine; it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tollgate-journal-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new name");
        Folder(path)
    }

    fn builder(&self) -> Builder {
        Server::builder().port(0).option("dir", &self.0.to_string_lossy())
    }

    fn journaling(&self, appendfsync: &str) -> Builder {
        self.builder().option("appendonly", "yes").option("appendfsync", appendfsync)
    }

    /// The journal's files whose names have this in them.
    fn files(&self, part: &str) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.0.join("appendonlydir")).expect("there is a journal");
        let paths = listed.map(|entry| entry.expect("readable").path());
        let mut files: Vec<PathBuf> =
            paths.filter(|path| path.to_string_lossy().contains(part)).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One connection that asks in words and is answered in lines.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(server: &Handle) -> Client {
        let stream = TcpStream::connect(server.addr()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_nodelay(true).expect("it is connected");
        Client(BufReader::new(stream))
    }

    /// One that is served: what there is, is loaded.
    fn loaded(server: &Handle) -> Client {
        let mut client = Client::connect(server);
        let end = Instant::now() + PATIENCE;
        while client.ask("EXISTS nothing").starts_with("-LOADING") {
            assert!(Instant::now() < end, "loading takes too long");
            std::thread::sleep(Duration::from_millis(1));
        }
        client
    }

    fn send(&mut self, request: &str) {
        self.0.get_mut().write_all(format!("{request}\r\n").as_bytes()).expect("it takes input");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server replies");
        line.trim_end().to_owned()
    }

    /// A reply of one line, or a string.
    fn ask(&mut self, request: &str) -> String {
        self.send(request);
        let line = self.line();
        match line.strip_prefix('$').map(|len| len.parse::<usize>()) {
            None | Some(Err(_)) => line,
            Some(Ok(len)) => {
                let mut bytes = vec![0; len + 2];
                self.0.read_exact(&mut bytes).expect("all of the string");
                String::from_utf8_lossy(&bytes[..len]).into_owned()
            }
        }
    }

    fn info(&mut self, field: &str) -> String {
        let text = self.ask("INFO all");
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
    }

    fn wait_for(&mut self, field: &str, value: &str) {
        let end = Instant::now() + PATIENCE;
        while self.info(field) != value {
            assert!(Instant::now() < end, "{field} is {} and not {value}", self.info(field));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn start(builder: Builder) -> Handle {
    builder.start().expect("the server starts")
}

/// Why a server ends by itself that cannot load what there is.
fn refusal(builder: Builder) -> String {
    let server = start(builder);
    let end = Instant::now() + PATIENCE;
    while server.is_running() {
        assert!(Instant::now() < end, "it goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
    server.shutdown().expect_err("it has not loaded").to_string()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new name");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("readable");
        }
    }
}

/// The journal as it is at this moment, as a machine that stops would leave it at best.
fn photograph(folder: &Folder) -> Folder {
    let copy = Folder::new();
    copy_dir(&folder.0, &copy.0);
    copy
}

#[test]
fn what_was_acknowledged_with_always_is_in_the_files_already() {
    let folder = Folder::new();
    let server = start(folder.journaling("always"));
    let mut client = Client::loaded(&server);
    for at in 0..20 {
        assert_eq!(client.ask(&format!("SET key{at} {at}")), "+OK");
        let copy = photograph(&folder);
        let other = start(copy.journaling("no"));
        let mut reader = Client::loaded(&other);
        assert_eq!(reader.ask(&format!("GET key{at}")), at.to_string());
        assert_eq!(reader.ask("DBSIZE"), format!(":{}", at + 1));
    }
}

#[test]
fn a_server_comes_back_with_everything_after_an_orderly_end() {
    let folder = Folder::new();
    for policy in ["everysec", "always", "no"] {
        let server = start(folder.journaling(policy));
        let mut client = Client::loaded(&server);
        for _ in 0..100 {
            client.ask("INCR count");
        }
        server.shutdown().expect("it has written everything");
    }
    let server = start(folder.journaling("everysec"));
    assert_eq!(Client::loaded(&server).ask("GET count"), "300");
}

#[test]
fn an_orderly_end_syncs_whatever_the_policy() {
    let folder = Folder::new();
    let server = start(folder.journaling("no"));
    Client::loaded(&server).ask("SET last change");
    server.shutdown().expect("all is written");
    let bytes = fs::read(folder.files(".incr.").remove(0)).expect("it is there");
    let text = String::from_utf8_lossy(&bytes);
    // The journal notes how far it has been synced.
    let change = text.find("change").expect("it is written");
    let (_, note) = text.rsplit_once("tollgate-synced ").expect("it has been synced");
    let synced: usize = note.split("\r\n").next().and_then(|it| it.parse().ok()).expect("a number");
    assert!(synced > change, "{synced} bytes of {change} and more");
}

#[test]
fn two_servers_cannot_have_one_journal() {
    let folder = Folder::new();
    let _server = start(folder.journaling("no"));
    let error = folder.journaling("no").start().expect_err("it is taken").to_string();
    assert!(error.starts_with("another running server holds the lock"), "{error}");
    assert!(error.contains(&*folder.0.to_string_lossy()), "{error}");
}

#[test]
fn a_rewrite_keeps_everything_and_the_old_files_go() {
    let folder = Folder::new();
    let server = start(folder.journaling("everysec"));
    let mut client = Client::loaded(&server);
    for at in 0..5_000 {
        client.send(&format!("SET key{} {at}", at % 500));
    }
    for _ in 0..5_000 {
        assert_eq!(client.line(), "+OK");
    }
    assert!(client.ask("BGREWRITEAOF").starts_with("+Background append only file rewriting"));
    // More happens meanwhile.
    for at in 0..500 {
        assert_eq!(client.ask(&format!("APPEND key{at} x")), ":5");
    }
    client.wait_for("aof_rewrites", "1");
    assert_eq!((folder.files("base").len(), folder.files("incr").len()), (1, 1));
    server.shutdown().expect("all is well");
    let server = start(folder.journaling("everysec"));
    let mut client = Client::loaded(&server);
    assert_eq!(client.ask("DBSIZE"), ":500");
    assert_eq!(client.ask("GET key7"), "4507x");
}

#[test]
fn a_journal_that_has_grown_is_rewritten_by_itself() {
    let folder = Folder::new();
    let server = start(folder.journaling("no").option("auto-aof-rewrite-min-size", "10kb"));
    let mut client = Client::loaded(&server);
    let end = Instant::now() + PATIENCE;
    while client.info("aof_rewrites") == "0" {
        assert!(Instant::now() < end, "it is never rewritten");
        for _ in 0..100 {
            client.ask("INCR count");
        }
    }
}

#[test]
fn a_journal_can_be_begun_and_ended_while_the_server_runs() {
    let folder = Folder::new();
    let server = start(folder.builder());
    let mut client = Client::loaded(&server);
    client.ask("SET before 1");
    assert!(client.ask("WAITAOF 1 0 1000").starts_with("-ERR WAITAOF cannot be used"));
    assert_eq!(client.ask("CONFIG SET appendonly yes"), "+OK");
    client.ask("SET after 1");
    // It waits for the first rewrite, from which on a restart finds all of it.
    assert_eq!((client.ask("WAITAOF 1 0 60000"), client.line(), client.line()), {
        ("*2".to_owned(), ":1".to_owned(), ":0".to_owned())
    });
    let copy = photograph(&folder);
    let mut reader = start(copy.journaling("no"));
    assert_eq!(Client::loaded(&reader).ask("EXISTS before after"), ":2");

    assert_eq!(client.ask("CONFIG SET appendonly no"), "+OK");
    client.wait_for("aof_enabled", "0");
    client.ask("FLUSHALL");
    client.ask("SET other 1");
    // What the files hold is of another time now: it must not come back.
    assert_eq!(client.ask("CONFIG SET appendonly yes"), "+OK");
    assert_eq!((client.ask("WAITAOF 1 0 60000"), client.line(), client.line()), {
        ("*2".to_owned(), ":1".to_owned(), ":0".to_owned())
    });
    let copy = photograph(&folder);
    reader = start(copy.journaling("no"));
    assert_eq!(Client::loaded(&reader).ask("EXISTS before after other"), ":1");
}

#[test]
fn a_journal_that_cannot_be_begun_leaves_the_server_without_one() {
    let folder = Folder::new();
    File::create(folder.0.join("appendonlydir")).expect("a file where a directory should be");
    let server = start(folder.builder());
    let mut client = Client::loaded(&server);
    let refused = client.ask("CONFIG SET appendonly yes");
    let begins = "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to \
                  turn on AOF: ";
    assert!(refused.starts_with(begins), "{refused}");
    let place = folder.0.join("appendonlydir").join("tollgate.lock");
    assert!(refused.contains(&*place.to_string_lossy()), "{refused}");
    assert!(refused.contains("Not a directory"), "{refused}");
    assert_eq!(client.info("aof_enabled"), "0");
    // Whoever has not asked for it alone is not told.
    client.send("MULTI\r\nCONFIG SET appendonly yes\r\nEXEC");
    let lines: Vec<String> = (0..4).map(|_| client.line()).collect();
    assert_eq!(lines, ["+OK", "+QUEUED", "*1", "+OK"]);
    client.wait_for("aof_enabled", "0");
    client.send("CONFIG GET appendonly");
    let lines: Vec<String> = (0..5).map(|_| client.line()).collect();
    assert_eq!(lines.last().map(String::as_str), Some("no"));
    assert_eq!(client.ask("SET a 1"), "+OK");
}

#[test]
fn a_snapshot_is_a_backup_that_can_be_loaded() {
    let folder = Folder::new();
    let server = start(folder.builder().option("dbfilename", "backup.aof"));
    let mut client = Client::loaded(&server);
    for at in 0..1_000 {
        client.ask(&format!("SET key{at} {at}"));
    }
    let before = client.info("rdb_last_save_time");
    assert_eq!(client.ask("SAVE"), "+OK");
    assert!(client.ask("LASTSAVE").trim_start_matches(':') >= before.as_str());
    assert_eq!(client.info("rdb_changes_since_last_save"), "0");
    client.ask("SET more 1");
    assert_eq!(client.ask("BGSAVE"), "+Background saving started");
    client.wait_for("rdb_saves", "2");

    let elsewhere = Folder::new();
    fs::copy(folder.0.join("backup.aof"), elsewhere.0.join("copy.aof")).expect("it is there");
    let cache = start(elsewhere.builder().option("load", "copy.aof"));
    assert_eq!(Client::loaded(&cache).ask("DBSIZE"), ":1001");
    cache.shutdown().expect("it has nothing to write");
    // With a journal, it is in that as soon as clients are served.
    let keeper = start(elsewhere.journaling("always").option("load", "copy.aof"));
    assert_eq!(Client::loaded(&keeper).ask("DBSIZE"), ":1001");
    keeper.shutdown().expect("all is written");
    let again = start(elsewhere.journaling("always"));
    assert_eq!(Client::loaded(&again).ask("DBSIZE"), ":1001");
    again.shutdown().expect("all is written");
    // But not twice: the journal may know better by now.
    let refused = start(elsewhere.journaling("always").option("load", "copy.aof"));
    while refused.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let error = refused.shutdown().expect_err("it is refused").to_string();
    assert!(error.contains("the journal has 1001 keys already"), "{error}");
}

#[test]
fn half_of_a_snapshot_that_a_killed_process_has_left_is_removed() {
    let folder = Folder::new();
    let (left, other) = (folder.0.join("temp-mine.aof"), folder.0.join("temp-other.aof"));
    for path in [&left, &other] {
        fs::write(path, "half of it").expect("it can be written");
    }
    let server = start(folder.builder().option("dbfilename", "mine.aof"));
    let end = Instant::now() + PATIENCE;
    while left.exists() {
        assert!(Instant::now() < end, "it stays");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(other.exists(), "it would never have written that");
    assert_eq!(Client::connect(&server).ask("SAVE"), "+OK");
}

#[test]
fn shutdown_save_writes_a_snapshot_first() {
    let folder = Folder::new();
    let server = start(folder.builder());
    let mut client = Client::loaded(&server);
    client.ask("SET a 1");
    client.send("SHUTDOWN SAVE");
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).expect("the connection ends");
    assert!(rest.is_empty());
    server.shutdown().expect("it ends in order");
    let loaded = start(folder.builder().option("load", "snapshot.aof"));
    assert_eq!(Client::loaded(&loaded).ask("GET a"), "1");
}

#[test]
fn a_torn_end_is_cut_and_kept_aside() {
    let folder = Folder::new();
    let server = start(folder.journaling("always"));
    let mut client = Client::loaded(&server);
    client.ask("SET whole 1");
    client.ask("SET torn 1");
    server.shutdown().expect("all is written");
    let path = folder.files("incr").pop().expect("there is one");
    let file = OpenOptions::new().write(true).open(&path).expect("it is there");
    let bytes = fs::read(&path).expect("it is there");
    let torn = bytes.windows(4).rposition(|part| part == b"torn").expect("it is written");
    let len = torn as u64 + 2;
    file.set_len(len).expect("it can be cut");

    // Unless that is forbidden; then nothing is changed.
    let error = refusal(folder.journaling("always").option("aof-load-truncated", "no"));
    assert!(error.contains(&*path.to_string_lossy()), "{error}");
    assert!(error.contains("is torn at offset"), "{error}");
    assert_eq!(file.metadata().expect("it is open").len(), len);
    drop(file);
    let server = start(folder.journaling("always"));
    let mut client = Client::loaded(&server);
    assert_eq!(client.ask("EXISTS whole torn"), ":1");
    assert_eq!(folder.files(".torn-").len(), 1, "{:?}", folder.files(""));
}

#[test]
fn a_journal_that_may_not_be_on_the_disk_is_rewritten_before_anybody_is_served() {
    let folder = Folder::new();
    let server = start(folder.journaling("no"));
    assert_eq!(Client::loaded(&server).ask("SET a 1"), "+OK");
    server.shutdown().expect("all is written");
    let note = folder.0.join("appendonlydir/appendonly.aof.unsynced");
    fs::write(&note, "").expect("it can be written");
    assert!(folder.files(".base.").is_empty());
    let server = start(folder.journaling("always"));
    assert_eq!(Client::loaded(&server).ask("GET a"), "1");
    assert_eq!(folder.files(".base.").len(), 1);
    assert!(!note.exists(), "what it was about is of no use any more");
    server.shutdown().expect("all is written");
    let server = start(folder.journaling("always"));
    assert_eq!(Client::loaded(&server).ask("GET a"), "1");
}

#[test]
fn damage_stops_the_start_with_file_and_offset() {
    let folder = Folder::new();
    let server = start(folder.journaling("always"));
    let mut client = Client::loaded(&server);
    client.ask("SET first 1");
    client.ask("SET second 1");
    client.ask("SET third 1");
    server.shutdown().expect("all is written");
    let path = folder.files("incr").pop().expect("there is one");
    let mut bytes = fs::read(&path).expect("it is there");
    let at = bytes.windows(6).position(|part| part == b"second").expect("it is written");
    bytes[at] = b'S';
    fs::write(&path, bytes).expect("it can be written");
    let error = refusal(folder.journaling("always"));
    assert!(error.contains(&*path.to_string_lossy()), "{error}");
    assert!(error.contains("is damaged at offset"), "{error}");
    assert!(error.contains("tollgate check"), "{error}");
}

/// What the program says of a path, and whether all is well.
fn checked(arguments: &[&std::ffi::OsStr]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let output = command.arg("check").args(arguments).output().expect("it can be run");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("words"))
}

#[test]
fn all_files_of_a_journal_are_checked_and_mended_together() {
    let folder = Folder::new();
    let server = start(folder.journaling("always"));
    let mut client = Client::loaded(&server);
    client.ask("SET first 1");
    assert!(client.ask("BGREWRITEAOF").starts_with("+Background"));
    client.wait_for("aof_rewrites", "1");
    client.ask("SET second 1");
    let dir = folder.0.join("appendonlydir");
    let (is_whole, text) = checked(&[dir.as_os_str()]);
    assert!(is_whole && text.contains("all 2 files are whole"), "{text}");
    server.shutdown().expect("all is written");

    let (base, incr) = (folder.files(".base.").remove(0), folder.files(".incr.").remove(0));
    let mut bytes = fs::read(&base).expect("it is there");
    let at = bytes.windows(5).position(|part| part == b"first").expect("it is written");
    bytes[at] = b'F';
    fs::write(&base, bytes).expect("it can be written");
    let (is_whole, text) = checked(&[folder.files("manifest").remove(0).as_os_str()]);
    assert!(!is_whole && text.contains("1 of 2 files: "), "{text}");
    let (damaged, whole) = (base.to_string_lossy(), incr.to_string_lossy());
    let in_order = text.find(&*damaged) < text.find(&*whole);
    assert!(in_order && text.contains(&format!("{damaged} is not whole")), "{text}");
    assert!(!text.contains(&format!("{whole} is not whole")), "{text}");
    // Several that are named, one of which is not there.
    let (is_whole, text) = checked(&["none".as_ref(), incr.as_os_str()]);
    assert!(!is_whole && text.contains("1 of 2 files: cannot open none"), "{text}");
    let (is_whole, text) = checked(&[dir.as_os_str(), "--fix".as_ref()]);
    assert!(is_whole && text.contains("rebuilt with"), "{text}");
    let server = start(folder.journaling("always"));
    assert_eq!(Client::loaded(&server).ask("EXISTS first second"), ":1");
}

#[test]
fn many_clients_share_one_group() {
    // Counted and not timed: with one sync a reply there would be as many groups as
    // replies, each made durable alone.
    let folder = Folder::new();
    let server = start(folder.journaling("always"));
    let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(&server)).collect();
    Client::loaded(&server);
    for round in 0..5 {
        for client in &mut clients {
            client.send("INCR count");
        }
        for client in &mut clients {
            assert!(client.line().starts_with(':'), "round {round}");
        }
    }
    assert_eq!(clients[0].ask("GET count"), "1000");
    let path = folder.files("incr").pop().expect("there is one");
    let text = fs::read(path).expect("it is there");
    let records = text.windows(10).filter(|part| part == b"$5\r\ncount\r").count();
    assert!(records < 500, "{records} records for 1,000 changes of one key");
}
