//! To and from Redis: a journal of plain types loads into Redis with `redis-cli
//! --pipe`, and Redis's append-only files load here.

#[path = "support/kill/subject.rs"]
#[allow(dead_code)]
mod subject;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use subject::{Folder, Fsync, Subject, rewrite, tail, until_ended};
use support::process::ServerProcess;
use support::program;
use support::redis_server;
use support::resp::{self, Reply};
use support::target::{Target as _, TcpTarget, encode};

const DATABASES: u32 = 16;

/// A key: its database and name. Its value: the bytes and the deadline.
type Data = BTreeMap<(u32, Vec<u8>), (Vec<u8>, i64)>;

fn are_installed() -> bool {
    program::is_installed("redis-server", "Debian: redis-server")
        && program::is_installed("redis-cli", "Debian: redis-tools")
}

/// A redis-server that writes its append-only files as text, or with its snapshot
/// format at their beginning.
fn redis(dir: &Path, options: &[&str]) -> ServerProcess {
    Subject::Redis
        .start(dir, Fsync::Always, options)
        .unwrap_or_else(|error| panic!("redis-server does not start: {error}"))
}

fn tollgate(dir: &Path, options: &[&str]) -> ServerProcess {
    Subject::chosen()
        .start(dir, Fsync::Always, options)
        .unwrap_or_else(|error| panic!("the server does not start: {error}"))
}

/// All strings of a server, with their deadlines.
fn data_of(server: &ServerProcess) -> Data {
    let mut connection = server.connect();
    let mut data = Data::new();
    for db in 0..DATABASES {
        connection.call(&["SELECT", &db.to_string()]);
        let mut cursor = b"0".to_vec();
        loop {
            let page = ask(&mut connection, &[b"SCAN", &cursor, b"COUNT", b"1000"]);
            let [next, keys] = page.elements().expect("SCAN has two elements") else {
                panic!("SCAN answers {page:?}");
            };
            for key in keys.elements().expect("a list of keys") {
                let key = key.text().expect("a key");
                let value = ask(&mut connection, &[b"GET", key]);
                let Reply::Integer(deadline) = ask(&mut connection, &[b"PEXPIRETIME", key]) else {
                    panic!("no deadline of {}", resp::quoted(key));
                };
                // It may have expired since.
                if let Reply::Bulk(value) = value {
                    data.insert((db, key.to_vec()), (value, deadline));
                }
            }
            cursor = next.text().expect("a cursor").to_vec();
            if cursor == b"0" {
                break;
            }
        }
    }
    data
}

fn ask(connection: &mut TcpTarget, request: &[&[u8]]) -> Reply {
    connection.send(&encode(request)).expect("the server takes a request");
    resp::decode_one(&connection.reply().expect("the server replies"))
}

/// Names what differs rather than printing two whole databases.
#[track_caller]
fn assert_same(expected: &Data, found: &Data) {
    let show = |value: Option<&(Vec<u8>, i64)>| match value {
        Some((value, deadline)) => format!("{} until {deadline}", resp::excerpt(value)),
        None => "nothing".to_owned(),
    };
    let keys = expected.keys().chain(found.keys());
    let different: BTreeMap<String, String> = keys
        .filter(|key| expected.get(*key) != found.get(*key))
        .map(|key| {
            let change = format!("{} became {}", show(expected.get(key)), show(found.get(key)));
            (format!("db {} {}", key.0, resp::quoted(&key.1)), change)
        })
        .collect();
    assert!(different.is_empty(), "{different:#?}");
}

fn stop(mut server: ServerProcess) {
    let mut connection = server.connect();
    connection.send(&encode(&["SHUTDOWN"])).expect("it takes input");
    until_ended(&mut server).unwrap_or_else(|error| panic!("{error}"));
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(since.as_millis()).expect("for some million years")
}

/// Each kind of command once, in an order in which each has something to do.
const EACH_KIND: &str = "\
SET plain value
SET ex value EX 1000
SET px value PX 1000000
SET nx value NX
SET nx other NX
SET plain again XX
SET px kept KEEPTTL
SET plain got GET
SETNX setnx value
SETEX setex 1000 value
PSETEX psetex 1000000 value
GETSET plain getset
SET gone value
GETDEL gone
GETEX ex PERSIST
GETEX plain PX 2000000
APPEND appended one
APPEND appended two
SETRANGE padded 5 tail
SETRANGE padded 2 xx
INCR number
DECR number
INCRBY number 41
DECRBY number 2
INCRBYFLOAT float 1.25
INCRBYFLOAT float 3e-3
MSET a 1 b 2 c 3
MSETNX d 4 e 5
MSETNX d 4 f 6
DEL a nothing
UNLINK b
SET source value PX 3000000
RENAME source target
RENAMENX target plain
RENAMENX target renamed
COPY renamed copied
COPY renamed copied REPLACE
COPY renamed far DB 3
SET wanderer value PX 4000000
MOVE wanderer 2
SET short value PX 30
EXPIRE c 5000
PEXPIRE d 6000000
EXPIRE d 100 GT
PEXPIRE d 9000000 XX
EXPIRE e 100 NX
PERSIST c
EXPIRE nx -1
MULTI
SET together 1
INCR together
SELECT 4
SET together 2
SELECT 0
EXEC
MULTI
SET never 1
DISCARD
SELECT 5
SET five 5
SELECT 6
SET six 6
SWAPDB 5 6
SELECT 7
SET flushed 1
FLUSHDB
SET seven 7
SELECT 0
INCR plain
SET last value
";

/// What else there is to know of values and deadlines: bytes of all kinds, large
/// ones, deadlines in the past and far ahead.
fn special(connection: &mut TcpTarget) {
    let all_bytes: Vec<u8> = (0..=255).collect();
    ask(connection, &[b"SET", b"all bytes", &all_bytes]);
    ask(connection, &[b"SET", &all_bytes, b"*1\r\n$4\r\nPING\r\n"]);
    ask(connection, &[b"SET", b"", b""]);
    ask(connection, &[b"SET", b"large", &all_bytes.repeat(2_000)]);
    ask(connection, &[b"SET", b"integer", b"-9223372036854775808"]);
    ask(connection, &[b"SET", b"not an integer", b"007"]);
    ask(connection, &[b"SET", b"past", b"x"]);
    ask(connection, &[b"PEXPIREAT", b"past", b"1"]);
    ask(connection, &[b"SET", b"far", b"x", b"PXAT", b"99999999999999"]);
}

/// Random ones among few keys in few databases, errors included.
fn random(connection: &mut TcpTarget, rng: &mut Rng, count: usize) {
    for _ in 0..count {
        let (key, other) = (format!("k{}", rng.u32(..12)), format!("k{}", rng.u32(..12)));
        let (key, other) = (key.as_str(), other.as_str());
        let (number, db) = (rng.i64(-50..1_000).to_string(), rng.u32(..4).to_string());
        let at = (now_ms() + rng.u64(1_000_000..9_000_000)).to_string();
        let px = rng.u64(1_000_000..9_000_000).to_string();
        let request: Vec<&str> = match rng.u32(..34) {
            0..4 => vec!["SET", key, &number],
            4 => vec!["SET", key, &number, "PX", &px],
            5 => vec!["SET", key, &number, "PXAT", &at],
            6 => vec!["SET", key, &number, "KEEPTTL"],
            7 => vec!["SET", key, &number, "NX", "GET"],
            8 => vec!["SETEX", key, "4000", &number],
            9 => vec!["GETSET", key, &number],
            10 => vec!["GETDEL", key],
            11 => vec!["GETEX", key, "PXAT", &at],
            12 => vec!["GETEX", key, "PERSIST"],
            13 => vec!["APPEND", key, &number],
            14 => vec!["SETRANGE", key, "3", &number],
            15..18 => vec!["INCRBY", key, &number],
            18 => vec!["INCRBYFLOAT", key, "0.1"],
            19 => vec!["MSET", key, &number, other, &number],
            20 => vec!["MSETNX", key, &number, other, &number],
            21 => vec!["DEL", key, other],
            22 => vec!["RENAME", key, other],
            23 => vec!["RENAMENX", key, other],
            24 => vec!["COPY", key, other, "DB", &db, "REPLACE"],
            25 => vec!["COPY", key, other],
            26 => vec!["MOVE", key, &db],
            27 => vec!["PEXPIREAT", key, &at],
            28 => vec!["PEXPIRE", key, &px, "GT"],
            29 => vec!["PERSIST", key],
            30 => vec!["SWAPDB", "1", &db],
            31 if rng.u32(..6) == 0 => vec!["FLUSHDB"],
            32 if rng.u32(..6) == 0 => vec!["MULTI"],
            33 if rng.u32(..2) == 0 => vec!["EXEC"],
            _ => vec!["SELECT", &db],
        };
        connection.call(&request);
    }
    // An error if no transaction is open.
    connection.call(&["EXEC"]);
    connection.call(&["SELECT", "0"]);
}

/// Fills a server with a rewrite in the middle, and answers what it then has.
fn fill(server: &ServerProcess) -> Data {
    let seed = std::env::var("TOLLGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("TOLLGATE_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut connection = server.connect();
    random(&mut connection, &mut rng, 500);
    special(&mut connection);
    rewrite(&mut server.connect(), "ok");
    random(&mut connection, &mut rng, 1_500);
    for line in EACH_KIND.lines() {
        connection.call(&line.split(' ').collect::<Vec<_>>());
    }
    special(&mut connection);
    // What was to expire is gone, here as wherever it is loaded.
    std::thread::sleep(Duration::from_millis(50));
    let data = data_of(server);
    assert!(data.len() > 40, "{} keys are few", data.len());
    assert!(data.keys().any(|(db, key)| *db == 5 && key == b"six"), "SWAPDB had an effect");
    data
}

/// The files of a journal that hold data, in the order in which they are loaded.
fn files_in_order(dir: &Path) -> Vec<PathBuf> {
    let folder = dir.join("appendonlydir");
    let manifest = fs::read_to_string(folder.join("appendonly.aof.manifest"))
        .expect("a journal has a manifest");
    let mut files = Vec::new();
    for line in manifest.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ["file", name, "seq", _, "type", kind, ..] = words[..] else {
            panic!("a line of the manifest: {line:?}");
        };
        // `h` is history: replaced, and about to be removed.
        if kind != "h" {
            files.push(folder.join(name));
        }
    }
    assert!(!files.is_empty(), "{manifest:?}");
    files
}

fn joined(dir: &Path) -> Vec<u8> {
    let files = files_in_order(dir);
    files.iter().flat_map(|file| fs::read(file).expect("it is listed")).collect()
}

fn pipe(server: &ServerProcess, requests: &[u8]) -> String {
    let mut command = Command::new("redis-cli");
    let address = server.address();
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string(), "--pipe"]);
    command.env("REDISCLI_RCFILE", "/dev/null").env_remove("REDISCLI_AUTH");
    program::run(command, requests).output()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a temporary directory");
    for item in fs::read_dir(from).expect("it is readable") {
        let path = item.expect("it is readable").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("there is room");
        }
    }
}

/// Directories for a test, below one that is removed.
fn directories(name: &str) -> (Folder, [PathBuf; 2]) {
    let folder = Folder::new(name);
    let dirs = ["first", "second"].map(|name| folder.path.join(name));
    dirs.iter().for_each(|dir| fs::create_dir(dir).expect("a temporary directory"));
    (folder, dirs)
}

/// What there is in a journal that Redis can read, which is put there.
fn journaled(dir: &Path) -> Data {
    let options: &[&str] = match Subject::chosen() {
        Subject::Tollgate => &[],
        Subject::Redis => TEXT,
    };
    let server = tollgate(dir, options);
    let data = fill(&server);
    stop(server);
    data
}

#[test]
fn a_journal_loads_into_redis_with_redis_cli() {
    if !are_installed() {
        return;
    }
    let (_folder, [dir, _]) = directories("journal-to-redis");
    let data = journaled(&dir);
    let Some(redis) = redis_server::start() else { return };
    let printed = pipe(&redis, &joined(&dir));
    assert!(printed.contains("errors: 0, replies: "), "{printed}");
    assert_same(&data, &data_of(&redis));
}

#[test]
fn redis_itself_starts_on_a_copy_of_a_journal() {
    if !are_installed() {
        return;
    }
    let (_folder, [dir, copied]) = directories("journal-for-redis");
    let data = journaled(&dir);
    copy(&dir, &copied);
    let redis = redis(&copied, TEXT);
    assert_same(&data, &data_of(&redis));
}

#[test]
fn a_journal_gives_a_restarted_server_the_same_data() {
    let (_folder, [dir, _]) = directories("journal-restart");
    let server = tollgate(&dir, &[]);
    let data = fill(&server);
    stop(server);
    assert_same(&data, &data_of(&tollgate(&dir, &[])));
}

/// What makes Redis write text only.
const TEXT: &[&str] = &["--aof-use-rdb-preamble", "no"];

/// The same, with lines between the commands that say what time it was.
const TEXT_WITH_TIMES: &[&str] =
    &["--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes"];

/// What redis-server has left in `dir` when it was filled and stopped.
fn left_by_redis(dir: &Path, options: &[&str]) -> Data {
    let redis = redis(dir, options);
    let data = fill(&redis);
    stop(redis);
    data
}

#[test]
fn append_only_files_of_redis_load_and_go_on() {
    if !are_installed() {
        return;
    }
    for (name, options) in [("plain", TEXT), ("with times", TEXT_WITH_TIMES)] {
        println!("{name}");
        let (_folder, [dir, copied]) = directories("journal-from-redis");
        let mut data = left_by_redis(&dir, options);
        copy(&dir, &copied);
        let server = tollgate(&copied, &[]);
        assert_same(&data, &data_of(&server));
        // What is added is added to what was there, also over a rewrite.
        for (key, rewrites) in [("before", true), ("after", false)] {
            server.connect().call(&["SET", key, "here"]);
            data.insert((0, key.as_bytes().to_vec()), (b"here".to_vec(), -1));
            if rewrites {
                rewrite(&mut server.connect(), "ok");
            }
        }
        stop(server);
        assert_same(&data, &data_of(&tollgate(&copied, &[])));
    }
}

#[test]
fn one_append_only_file_of_redis_loads_by_name() {
    if Subject::chosen() == Subject::Redis || !are_installed() {
        return;
    }
    let (folder, [dir, fresh]) = directories("journal-load");
    let data = left_by_redis(&dir, TEXT);
    let file = folder.path.join("one.aof");
    fs::write(&file, joined(&dir)).expect("there is room");
    let before = fs::read(&file).expect("it was written");
    let name = file.to_str().expect("ASCII");
    // Without a journal of its own, and with an empty one.
    for appendonly in ["no", "yes"] {
        let options = ["--load", name, "--appendonly", appendonly];
        let server = tollgate(&fresh, &options);
        assert_same(&data, &data_of(&server));
        stop(server);
    }
    assert_eq!(fs::read(&file).expect("it is still there"), before, "a backup is only read");
    // What was loaded is in the journal now.
    assert_same(&data, &data_of(&tollgate(&fresh, &[])));
}

#[test]
fn an_append_only_file_with_a_list_is_refused_by_name_and_place() {
    if Subject::chosen() == Subject::Redis || !are_installed() {
        return;
    }
    let (_folder, [dir, copied]) = directories("journal-list");
    let server = redis(&dir, TEXT);
    let mut connection = server.connect();
    connection.call(&["SET", "before", "1"]);
    connection.call(&["RPUSH", "list", "1", "2"]);
    connection.call(&["SET", "after", "1"]);
    stop(server);
    copy(&dir, &copied);
    let said = Subject::chosen().refusal(&copied);
    // Going on without it would lose the list in silence.
    assert!(said.contains("appendonly.aof.1.incr.aof"), "the file: {said}");
    assert!(said.to_uppercase().contains("RPUSH"), "the command: {said}");
    let text = fs::read(&files_in_order(&dir)[1]).expect("it is there");
    let place = text.windows(5).position(|it| it == b"*4\r\n$").expect("RPUSH has four words");
    assert!(said.contains(&place.to_string()), "offset {place}: {said}");
}

#[test]
fn a_file_in_the_snapshot_format_of_redis_is_refused_with_the_way_out() {
    if Subject::chosen() == Subject::Redis || !are_installed() {
        return;
    }
    let (_folder, [dir, copied]) = directories("journal-rdb");
    let server = redis(&dir, &["--aof-use-rdb-preamble", "yes"]);
    server.connect().call(&["SET", "key", "value"]);
    rewrite(&mut server.connect(), "ok");
    stop(server);
    copy(&dir, &copied);
    let said = Subject::chosen().refusal(&copied);
    println!("{}", tail(&copied));
    assert!(said.contains(".base."), "the file: {said}");
    assert!(said.contains("aof-use-rdb-preamble"), "what to do: {said}");
}
