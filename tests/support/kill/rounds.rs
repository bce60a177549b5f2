//! The rounds: load, kill, start again, compare, and so on in the same directory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::client::{COUNTERS, Client, Life, STOCKS, stock_key, units_key};
use super::look::{BALLAST_DB, ballast_value, check_ballast, look};
use super::state::State;
use super::subject::{Folder, Fsync, Subject, tail, until_ended};
use super::verify::{Record, Seen, Shared, Tokens, check_client, check_stock, check_units, settle};
use crate::support::process::ServerProcess;
use crate::support::resp::Reply;
use crate::support::target::{Target as _, TcpTarget, encode};
use crate::support::tollgate;

const CLIENTS: usize = 4;

/// Few enough to be sold out at times.
const FIRST_STOCK: i64 = 60;

/// With `everysec` a write may be lost for so long after its acknowledgement. The
/// page cache outlives the process, so what is lost is what had not even been
/// written, and the server does that every second.
const EVERY_SECOND_MAX: Duration = Duration::from_millis(1_500);

/// With `everysec` each of so many rounds lasts longer than that.
const LONG_ROUND_EACH: usize = 8;

/// On a server that is not killed the clients of a round hang up after fewer answers than
/// this.
const ANSWERS_MAX: i64 = 2_000;

/// Turns of the server in which it notices that clients have hung up. It needs one or
/// two, and more only to read what they had sent before.
const TURNS_TO_NOTICE: usize = 10_000;

/// How many times the rounds of a plan may be done, for everything to be heard.
const ROUNDS_TO_HEAR: usize = 10;

/// What is done in one directory.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) subject: Subject,
    pub(crate) fsync: Fsync,
    pub(crate) rounds: usize,
    /// If not, the server goes on and needs no journal: this shows that the model
    /// agrees with it.
    pub(crate) kills: bool,
    pub(crate) seed: u64,
    /// Answers that the clients must have heard. Rounds go on until they have, up to
    /// [`ROUNDS_TO_HEAR`] times as many as there are to be.
    pub(crate) heard: &'static [&'static str],
    /// Part of the directory's name.
    pub(crate) name: String,
    pub(crate) ballast_keys: usize,
    /// What is cut off the journal after each kill: a fault that must be found.
    pub(crate) cut: Cut,
    /// What somebody does to the data of the first client behind everybody's back,
    /// in the third round or as soon as there is something to do it to: another fault
    /// that must be found.
    pub(crate) tamper: Option<Tamper>,
}

/// What is missing at the end of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Nothing,
    Bytes(u64),
    /// All that was added since the server started.
    WholeRound,
}

pub(crate) type Tamper = fn(&Record) -> Vec<Vec<String>>;

/// What has been done.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    rounds: usize,
    acknowledged: usize,
    /// Kills while the journal was rewritten.
    in_rewrites: usize,
    /// Further kills just after a start.
    in_starts: usize,
    clean_ends: usize,
    /// Rounds after which something younger than the time allowed was missing.
    pub(crate) with_losses: usize,
    loading: Duration,
    journal_files: usize,
    journal_bytes: u64,
    /// How often the clients have heard each kind of answer.
    pub(crate) heard: BTreeMap<String, usize>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds, {} operations acknowledged, {} kills in a rewrite, {} more in a start, {} \
             clean ends, {} rounds with allowed losses, {:?} a start, a journal of {} files and {} kB",
            self.rounds,
            self.acknowledged,
            self.in_rewrites,
            self.in_starts,
            self.clean_ends,
            self.with_losses,
            self.loading / (self.rounds.max(1) as u32),
            self.journal_files,
            self.journal_bytes / 1_000
        )
    }
}

/// All rounds of a plan, or what was wrong. Then the directory is kept.
pub(crate) fn run(plan: &Plan) -> Result<Summary, String> {
    let mut folder = Folder::new(&plan.name);
    // A panic says neither.
    println!("seed {} in {}", plan.seed, folder.path.display());
    let dir = folder.path.join("data");
    fs::create_dir(&dir).map_err(|error| error.to_string())?;
    let mut lane = Lane::new(plan, dir.clone());
    let done = lane.prepare().and_then(|()| lane.all_rounds());
    done.map_err(|faults| {
        folder.keep();
        format!(
            "{plan:?}\nround {} of {}, directory {} (kept; data.log ends:\n{}\n)\n{faults}",
            lane.summary.rounds + 1,
            plan.rounds,
            folder.path.display(),
            tail(&dir)
        )
    })?;
    lane.summary.journal_files = journal_files(&dir).len();
    lane.summary.journal_bytes = journal_files(&dir).iter().map(|it| size(it)).sum();
    lane.summary.heard = lane.heard();
    Ok(lane.summary)
}

/// How a life of the server ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    Shutdown,
}

struct Lane<'a> {
    plan: &'a Plan,
    dir: PathBuf,
    rng: Rng,
    clients: Vec<Client>,
    shared: Shared,
    tokens: Tokens,
    server: Option<ServerProcess>,
    summary: Summary,
}

impl Lane<'_> {
    fn new(plan: &Plan, dir: PathBuf) -> Lane<'_> {
        let mut rng = Rng::with_seed(plan.seed);
        // Of each kind half, where there are two.
        let is_native = |id| plan.subject.has_native_commands() && id < CLIENTS / 2;
        let clients = (0..CLIENTS).map(|id| Client::new(id, is_native(id), rng.u64(..))).collect();
        let shared = Shared {
            stock: vec![FIRST_STOCK; STOCKS],
            sold: vec![0; STOCKS],
            units: vec![(FIRST_STOCK, 0); COUNTERS],
        };
        Lane {
            plan,
            dir,
            rng,
            clients,
            shared,
            tokens: Tokens::default(),
            server: None,
            summary: Summary::default(),
        }
    }

    /// The first start, and what is there before the first round. It ends in good
    /// order, so that no promise of a second is needed for it.
    fn prepare(&mut self) -> Result<(), String> {
        self.start()?;
        let mut connection = self.connect();
        connection.call(&["SELECT", &BALLAST_DB.to_string()]);
        for first in (0..self.plan.ballast_keys).step_by(100) {
            let mut request = vec!["MSET".to_owned()];
            for which in first..(first + 100).min(self.plan.ballast_keys) {
                request.extend([format!("ballast:{which}"), ballast_value(which)]);
            }
            connection.send(&encode(&request)).map_err(|error| error.to_string())?;
            let reply = connection.reply().map_err(|error| error.to_string())?;
            if reply != b"+OK\r\n" {
                return Err(format!("MSET is answered {}", String::from_utf8_lossy(&reply)));
            }
        }
        connection.call(&["SELECT", "0"]);
        let stocks = (0..STOCKS).map(stock_key);
        for key in stocks.chain((0..COUNTERS).map(units_key)) {
            connection.call(&["SET", &key, &FIRST_STOCK.to_string()]);
        }
        drop(connection);
        if self.plan.kills {
            self.shut_down()?;
            self.start()?;
        }
        self.verify(&[0; CLIENTS])
    }

    /// As many as are to be, and more until everything has been heard.
    fn all_rounds(&mut self) -> Result<(), String> {
        (0..self.plan.rounds).try_for_each(|_| self.round())?;
        loop {
            let heard = self.heard();
            let missing: Vec<_> =
                self.plan.heard.iter().filter(|kind| !heard.contains_key(**kind)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            if self.summary.rounds >= self.plan.rounds * ROUNDS_TO_HEAR {
                return Err(format!("nobody has heard {missing:?}: {heard:?}"));
            }
            self.round()?;
        }
    }

    /// How often the clients have heard each kind of answer.
    fn heard(&self) -> BTreeMap<String, usize> {
        let mut heard = BTreeMap::new();
        for (kind, count) in self.clients.iter().flat_map(|client| &client.heard) {
            *heard.entry(kind.clone()).or_default() += count;
        }
        heard
    }

    /// One life of the server and the look at what it has left.
    fn round(&mut self) -> Result<(), String> {
        if !self.plan.kills {
            return self.round_without_kill();
        }
        let end = if self.rng.u32(..100) < 8 { End::Shutdown } else { End::Kill };
        let is_long = self.plan.fsync == Fsync::EverySecond
            && self.summary.rounds % LONG_ROUND_EACH == LONG_ROUND_EACH / 2;
        let load_ms = if is_long { self.rng.u64(1_700..2_300) } else { self.rng.u64(10..150) };
        // Half of the rewrites are killed early, the others may come to their end.
        let rewrite_before_ms = match self.rng.u32(..100) {
            0..20 => Some(self.rng.u64(0..12)),
            20..40 => Some(self.rng.u64(0..load_ms)),
            _ => None,
        };
        let lengths: BTreeMap<PathBuf, u64> =
            journal_files(&self.dir).into_iter().map(|it| (it.clone(), size(&it))).collect();
        let (ended, was_rewriting) = self.live(load_ms, rewrite_before_ms, end)?;
        self.summary.in_rewrites += usize::from(was_rewriting && end == End::Kill);
        self.summary.clean_ends += usize::from(end == End::Shutdown);
        self.summary.acknowledged +=
            self.clients.iter().map(Client::acknowledged_in_life).sum::<usize>();

        if end == End::Kill {
            self.cut(&lengths)?;
        }
        while self.rng.u32(..100) < 20 {
            let after = Duration::from_millis(self.rng.u64(0..60));
            self.summary.in_starts += 1;
            self.plan
                .subject
                .start_and_kill(&self.dir, self.plan.fsync, &self.options(), after)
                .map_err(|error| error.to_string())?;
        }
        let started = Instant::now();
        self.start()?;
        self.summary.loading += started.elapsed();

        let all: Vec<u64> = self.clients.iter().map(|it| it.acknowledged_by(None)).collect();
        let promised = match (self.plan.fsync, end) {
            (Fsync::Always, _) | (_, End::Shutdown) => all.clone(),
            (Fsync::EverySecond, End::Kill) => {
                let sure = ended.checked_sub(EVERY_SECOND_MAX);
                let by = |client: &Client| match sure {
                    Some(sure) => client.acknowledged_by(Some(sure)),
                    None => 0,
                };
                self.clients.iter().map(by).collect()
            }
        };
        self.verify(&promised)?;
        self.summary.rounds += 1;
        Ok(())
    }

    /// The clients go away in the middle of what they do, and the server goes on.
    fn round_without_kill(&mut self) -> Result<(), String> {
        let address = self.server().address();
        let life = Life::of_answers(self.rng.i64(1..ANSWERS_MAX));
        thread::scope(|scope| {
            for client in &mut self.clients {
                let life = &life;
                scope.spawn(move || client.load(address, life));
            }
        });
        self.faults_of_clients()?;
        let mut connection = self.connect();
        // Each request is of a turn of its own.
        let mut is_alone =
            || connection.info("clients", "connected_clients").as_deref() == Some("1");
        if !(0..TURNS_TO_NOTICE).any(|_| is_alone()) {
            return Err("the server keeps clients that have gone".to_owned());
        }
        if let Some(tamper) = self.plan.tamper
            && self.summary.rounds >= 2
        {
            for request in tamper(&self.clients[0].record) {
                let request: Vec<&str> = request.iter().map(String::as_str).collect();
                let reply = connection.call(&request);
                println!("{request:?} behind everybody's back: {reply:?}");
            }
        }
        let promised: Vec<u64> = self.clients.iter().map(|it| it.acknowledged_by(None)).collect();
        self.summary.acknowledged +=
            self.clients.iter().map(Client::acknowledged_in_life).sum::<usize>();
        self.verify(&promised)?;
        self.summary.rounds += 1;
        Ok(())
    }

    fn faults_of_clients(&mut self) -> Result<(), String> {
        let faults: Vec<String> =
            self.clients.iter_mut().flat_map(|client| client.take_faults()).collect();
        if faults.is_empty() { Ok(()) } else { Err(report(&faults)) }
    }

    /// The load until the end of the server: when that was, and whether the journal
    /// was being rewritten then.
    fn live(
        &mut self,
        load_ms: u64,
        rewrite_before_ms: Option<u64>,
        end: End,
    ) -> Result<(Instant, bool), String> {
        let address = self.server().address();
        let mut control = self.connect();
        let mut server = self.server.take().expect("it runs");
        let life = Life::default();
        let (mut ended, mut was_rewriting) = (Instant::now(), false);
        let ended_well = thread::scope(|scope| {
            for client in &mut self.clients {
                let life = &life;
                scope.spawn(move || client.load(address, life));
            }
            let kill_at = Instant::now() + Duration::from_millis(load_ms);
            if let Some(before) = rewrite_before_ms {
                sleep_until(kill_at - Duration::from_millis(before.min(load_ms)));
                let reply = control.call(&["BGREWRITEAOF"]);
                if let Reply::Error(error) = &reply {
                    let error = String::from_utf8_lossy(error);
                    // It may have begun one by itself.
                    if !error.contains("already in progress") {
                        // The clients end when the server does, which is now.
                        life.is_ending.store(true, Ordering::SeqCst);
                        drop(server);
                        return Err(format!("BGREWRITEAOF is answered {error}"));
                    }
                }
            }
            sleep_until(kill_at);
            if rewrite_before_ms.is_some() {
                let state = control.info("persistence", "aof_rewrite_in_progress");
                was_rewriting = state.as_deref() == Some("1");
            }
            life.is_ending.store(true, Ordering::SeqCst);
            ended = Instant::now();
            if end == End::Kill {
                // SIGKILL.
                drop(server);
                return Ok(());
            }
            control.send(&encode(&["SHUTDOWN"])).map_err(|error| error.to_string())?;
            until_ended(&mut server)
        });
        ended_well?;
        self.faults_of_clients()?;
        Ok((ended, was_rewriting))
    }

    /// Looks at what there is, compares, and takes it for the beginning of the next
    /// round.
    fn verify(&mut self, promised: &[u64]) -> Result<(), String> {
        let mut connection = self.connect();
        let mut faults = Vec::new();
        let fields: &[(&str, &str)] = if self.plan.kills {
            &[("loading", "0"), ("aof_enabled", "1"), ("aof_last_write_status", "ok")]
        } else {
            &[]
        };
        for &(name, expected) in fields {
            let value = connection.info("persistence", name);
            if value.as_deref() != Some(expected) {
                faults.push(format!("INFO: {name} is {value:?} instead of {expected}"));
            }
        }
        let has_native = self.plan.subject.has_native_commands();
        let records: Vec<&Record> = self.clients.iter().map(|client| &client.record).collect();
        let seen = look(&mut connection, &records, has_native)?;
        for (record, &promised) in records.iter().zip(promised) {
            faults.extend(check_client(record, promised, &seen));
        }
        if has_native {
            let promises: Vec<(&Record, u64)> =
                records.iter().copied().zip(promised.iter().copied()).collect();
            faults.extend(check_stock(&self.shared, &records, &seen));
            faults.extend(check_units(&self.shared, &promises, &seen));
            faults.extend(self.tokens.check_life(&records, &seen));
            faults.extend(end_leases(&mut connection, &self.clients, &seen, self.plan.kills));
        }
        faults.extend(check_ballast(&mut connection, self.plan.ballast_keys, &mut self.rng));
        if !faults.is_empty() {
            return Err(report(&faults));
        }
        let is_lossy = self.clients.iter().any(|client| {
            !check_client(&client.record, client.acknowledged_by(None), &seen).is_empty()
        });
        self.summary.with_losses += usize::from(is_lossy);
        let mut records: Vec<&mut Record> =
            self.clients.iter_mut().map(|client| &mut client.record).collect();
        settle(&mut self.shared, &mut records, &seen);
        self.clients.iter_mut().for_each(|client| client.begin_life(seen.now_ms));
        Ok(())
    }

    fn options(&self) -> Vec<&'static str> {
        // Every second directory is rewritten by itself as well.
        let min_size = if self.plan.seed.is_multiple_of(2) { "1mb" } else { "64mb" };
        let mut options = vec!["--auto-aof-rewrite-min-size", min_size];
        match self.plan.subject {
            Subject::Tollgate => options.extend(["--loglevel", "notice"]),
            Subject::Redis => options.extend(["--aof-use-rdb-preamble", "no"]),
        }
        options
    }

    fn start(&mut self) -> Result<(), String> {
        if !self.plan.kills {
            self.server = Some(tollgate::start_with(&["--maxclients", "100"]));
            return Ok(());
        }
        let server = self
            .plan
            .subject
            .start(&self.dir, self.plan.fsync, &self.options())
            .map_err(|error| format!("it does not start again: {error}"))?;
        self.server = Some(server);
        Ok(())
    }

    fn server(&self) -> &ServerProcess {
        self.server.as_ref().expect("it runs")
    }

    fn connect(&self) -> TcpTarget {
        self.server().connect()
    }

    fn shut_down(&mut self) -> Result<(), String> {
        let mut connection = self.connect();
        connection.send(&encode(&["SHUTDOWN"])).map_err(|error| error.to_string())?;
        let mut server = self.server.take().expect("it runs");
        until_ended(&mut server)
    }

    /// The planted fault: the end of the journal is gone. The files had these lengths
    /// at the beginning of the round.
    fn cut(&self, lengths: &BTreeMap<PathBuf, u64>) -> Result<(), String> {
        let files = journal_files(&self.dir);
        let last = files.iter().filter(|it| it.to_string_lossy().ends_with(".incr.aof")).max();
        let Some(last) = last else { return Ok(()) };
        let length = match self.plan.cut {
            Cut::Nothing => return Ok(()),
            Cut::Bytes(bytes) => size(last).saturating_sub(bytes),
            Cut::WholeRound => lengths.get(last).copied().unwrap_or(0),
        };
        let failed = |error: std::io::Error| error.to_string();
        let file = OpenOptions::new().write(true).open(last).map_err(failed)?;
        file.set_len(length).map_err(failed)
    }
}

/// Leases do not outlive the server: who fills late is refused. Where it was not
/// killed, they are ended here.
fn end_leases(
    connection: &mut TcpTarget,
    clients: &[Client],
    seen: &Seen,
    was_killed: bool,
) -> Vec<String> {
    connection.call(&["SELECT", "0"]);
    let mut faults = Vec::new();
    for client in clients {
        let key = format!("{}:lease:0", client.record.name);
        if !was_killed {
            if *seen.key(&client.record, &key) == State::Absent {
                connection.call(&["DEL", &key]);
            }
            continue;
        }
        let Some(token) = client.held_lease() else { continue };
        let reply =
            connection.call(&["LEASE.SET", &key, &token.to_string(), "late", "PX", "60000"]);
        if reply != Reply::Integer(-1) {
            faults.push(format!("lease: {key} took {token} of an earlier life: {reply:?}"));
        }
    }
    faults
}

fn report(faults: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut lines: Vec<String> = faults.iter().take(SHOWN).cloned().collect();
    if faults.len() > SHOWN {
        lines.push(format!("... and {} more", faults.len() - SHOWN));
    }
    lines.join("\n")
}

fn journal_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("appendonlydir")).into_iter().flatten();
    files.filter_map(|item| Some(item.ok()?.path())).collect()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

fn sleep_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}
