//! The loop's side: clients, turns, and what hands groups to the writer.

mod anew;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use tollgate::clock::Now;
use tollgate::config::{Config, FsyncPolicy};
use tollgate::engine::{Engine, Environment, JournalProgress, Peer, SnapshotKind};
use tollgate::persist::{
    Faults, FileKind, Header, Journal, Location, OpenError, Opening, SimulatedDisk, SnapshotWriter,
};

use super::liar::Liar;
use super::oracle::{Found, Oracle, PAIRS, RISING_DB};
use super::threads::{Copier, Copy, Mail, Order, RETRY_AFTER, Reached, Writer};
use super::{Sabotage, Tally};
use crate::support::changes::change;
use crate::support::resp::{self, Reply};
use crate::support::sim::START_UNIX_US;

/// Clients that change anything.
const MIXED: std::ops::RangeInclusive<usize> = 1..=3;
/// Clients each of which lets a key of its own rise.
const RISING: std::ops::RangeInclusive<usize> = 4..=5;
/// Who changes two keys together.
const PAIRING: usize = 6;
/// Who reads what the others write.
const READER: usize = 7;

const HANDED_EVERY: Duration = Duration::from_millis(5);
const SLICES_MAX: usize = 8;

/// A request that was sent and not answered.
struct Sent {
    request: String,
    /// The group that has what it changed, if it changed anything.
    group: usize,
    /// The engine knew that the disk fails.
    is_faulty: bool,
    /// It was run with `appendfsync always`.
    is_always: bool,
}

pub(crate) struct Server {
    pub(crate) rng: Rng,
    pub(crate) tally: Tally,
    sabotage: Sabotage,
    is_loud: bool,
    now: Now,
    config: Config,
    policy: FsyncPolicy,
    disk: Liar,
    oracle: Oracle,
    /// How often, in percent, each thread comes by in a turn.
    writer_odds: u8,
    copier_odds: u8,
    fault_odds: u8,
    anew_odds: u8,
    rising: i64,
    /// What goes wrong at the moment keeps files from being cut.
    keeps_from_cutting: bool,
    process: Option<Process>,
}

/// What ends with the process.
struct Process {
    engine: Engine,
    writer: Writer,
    copier: Option<Copier>,
    mail: Mail,
    reached: Reached,
    handed_at: Duration,
    given_bytes: u64,
    /// Groups of the oracle's before the engine's first.
    before: usize,
    /// The engine's number of the group before the writer's first.
    seq_before: u64,
    /// A restart would not find the journal yet.
    is_unfounded: bool,
    /// What the writer was told last.
    policy: FsyncPolicy,
    sent: BTreeMap<usize, VecDeque<Sent>>,
    heard: BTreeMap<usize, Vec<u8>>,
    /// For how many groups the base stands that is being copied.
    walked_to: usize,
    /// A sync has failed, perhaps, and so has cutting off what it was for.
    may_be_uncut: bool,
}

fn location() -> Location {
    Location {
        dir: PathBuf::from("/data"),
        dir_name: "aof".to_owned(),
        file_name: "appendonly.aof".to_owned(),
    }
}

impl Server {
    pub(crate) fn new(seed: u64, sabotage: Sabotage, is_loud: bool) -> Server {
        let mut rng = Rng::with_seed(seed);
        let policies = [FsyncPolicy::Always, FsyncPolicy::EverySec, FsyncPolicy::No];
        let policy = policies[[0, 0, 0, 1, 1, 2][rng.usize(..6)]];
        let word = match policy {
            FsyncPolicy::Always => "always",
            FsyncPolicy::EverySec => "everysec",
            FsyncPolicy::No => "no",
        };
        let mut config = Config::default();
        config.set("appendonly", "yes").expect("an option");
        config.set("appendfsync", word).expect("an option");
        let disk = SimulatedDisk::new();
        {
            use tollgate::persist::Disk;
            disk.create_dir(Path::new("/data")).expect("no faults yet");
            disk.sync_dir(Path::new("/")).expect("no faults yet");
        }
        let mut server = Server {
            writer_odds: [100, 60, 20][rng.usize(..3)],
            copier_odds: [100, 50][rng.usize(..2)],
            fault_odds: [0, 3, 10][rng.usize(..3)],
            anew_odds: [0, 0, 3][rng.usize(..3)],
            rng,
            tally: Tally::default(),
            sabotage,
            is_loud,
            now: Now { monotonic: Duration::from_secs(1), unix_us: START_UNIX_US },
            config,
            policy,
            disk: Liar { disk, lies: sabotage == Sabotage::BelievesFailedSyncs },
            oracle: Oracle::default(),
            rising: 0,
            keeps_from_cutting: false,
            process: None,
        };
        server.note(&format!("appendfsync {word}"));
        let opening = Opening::new(server.disk.clone(), location(), 0);
        let (journal, _) = opening.and_then(Opening::finish).expect("an empty disk");
        server.start(&[], journal);
        server
    }

    fn note(&self, what: &str) {
        if self.is_loud {
            eprintln!("{:>10.3} {what}", self.now.monotonic.as_secs_f64());
        }
    }

    /// Starts a process that has loaded these groups, which are `before` the oracle's.
    fn start(&mut self, groups: &[Vec<u8>], journal: Journal<Liar>) {
        let before = self.oracle.groups.len();
        let mut engine = Engine::new(self.config.clone(), Environment::simulated(1), self.now);
        engine.begin_replay(self.now);
        for group in groups {
            engine.replay(group).expect("it was replayed before");
        }
        engine.start_journal();
        // A sync of the last process's has failed.
        let is_unfounded = journal.is_replacement();
        let mut process = Process {
            engine,
            writer: Writer::new(journal, self.policy, self.sabotage, self.now.monotonic),
            copier: None,
            mail: Mail::default(),
            reached: Reached::default(),
            handed_at: self.now.monotonic,
            given_bytes: 0,
            before,
            seq_before: 0,
            is_unfounded,
            policy: self.policy,
            sent: BTreeMap::new(),
            heard: BTreeMap::new(),
            walked_to: 0,
            may_be_uncut: false,
        };
        // Which tokens this process may give has to be there before it gives the first:
        // the one after it would begin with the same.
        if self.sabotage != Sabotage::ServesAtOnce {
            process.hand_over(&mut self.oracle);
            process.writer.step(usize::MAX, self.now.monotonic, &mut process.mail);
        }
        let process = if is_unfounded {
            process.note_progress();
            self.rewrite_first(process)
        } else {
            process
        };
        self.serve(process);
    }

    /// Nobody is served before the journal can be relied on.
    fn rewrite_first(&mut self, process: Process) -> Process {
        self.process = Some(process);
        loop {
            self.keep().expect("the disk works");
            let mut process = self.process.take().expect("it is there");
            if !process.is_unfounded {
                return process;
            }
            process.write(usize::MAX, self.now.monotonic, false);
            let Process { copier, mail, .. } = &mut process;
            if let Some(copier) = copier {
                copier.step(mail);
            }
            self.process = Some(process);
        }
    }

    fn serve(&mut self, mut process: Process) {
        process.engine.end_replay(self.now);
        for client in *MIXED.start()..=READER {
            process.engine.connect(client, Peer::in_process(), self.now);
            if client > *MIXED.end() {
                let select = format!("SELECT {RISING_DB}\r\n");
                process.engine.receive(client, select.as_bytes(), self.now);
                let selected =
                    Sent { request: select, group: 0, is_faulty: false, is_always: false };
                process.sent.entry(client).or_default().push_back(selected);
            }
        }
        self.process = Some(process);
    }

    fn percent(&mut self, odds: u8) -> bool {
        self.rng.u8(..100) < odds
    }

    /// Some turns, with whatever goes wrong.
    pub(crate) fn live(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.usize(5..80) {
            self.choose_faults();
            self.pass();
            if self.percent(self.anew_odds) {
                self.begin_anew()?;
            }
            let mut requests = Vec::new();
            for _ in 0..self.rng.usize(..5) {
                requests.push(self.request());
            }
            self.turn(requests)?;
            self.run_threads();
        }
        if self.rng.u8(..3) == 0 {
            self.mend()?;
            self.pass();
        }
        Ok(())
    }

    fn pass(&mut self) {
        let us = match self.rng.u8(..20) {
            0 => self.rng.u64(..2_000_000),
            1..=5 => self.rng.u64(..100_000),
            _ => self.rng.u64(..3_000),
        };
        self.now = self.now.advanced(Duration::from_micros(us));
    }

    fn run_threads(&mut self) {
        let (writer_runs, copier_runs) =
            (self.percent(self.writer_odds), self.percent(self.copier_odds));
        let orders_max = if self.rng.bool() { usize::MAX } else { 1 };
        let Some(process) = &mut self.process else { return };
        if writer_runs {
            process.write(orders_max, self.now.monotonic, self.keeps_from_cutting);
        }
        let Process { copier, mail, .. } = process;
        if copier_runs && let Some(copier) = copier {
            copier.step(mail);
        }
    }

    fn choose_faults(&mut self) {
        if self.percent(15) {
            self.disk.disk.set_faults(Faults::default());
        }
        // That one is rare.
        let fails_next = self.process.as_ref().is_some_and(Process::counts_synced_next)
            && self.fault_odds > 0
            && self.rng.bool();
        if !fails_next && !self.percent(self.fault_odds) {
            return;
        }
        let counts = self.disk.disk.counts();
        let rng = &mut self.rng;
        let mut faults = Faults::default();
        match rng.u8(..7) {
            _ if fails_next => faults.syncs = counts.syncs..counts.syncs + rng.u64(1..3),
            0 => faults.append_bytes_max = Some(rng.usize(1..200)),
            1 => faults.room_bytes = Some(rng.u64(..2_000)),
            2 => {
                let from = counts.appends + rng.u64(..5);
                faults.appends = from..from + rng.u64(1..10);
            }
            3 | 4 => {
                let from = counts.syncs + rng.u64(..5);
                faults.syncs = from..from + rng.u64(1..5);
            }
            5 => {
                let from = counts.operations + rng.u64(..20);
                faults.operations = from..from + rng.u64(1..20);
            }
            _ => faults.read_only = true,
        }
        self.tally.faults += 1;
        self.keeps_from_cutting = faults.read_only || !faults.operations.is_empty();
        self.note(&format!("{faults:?} after {counts:?}"));
        self.disk.disk.set_faults(faults);
    }

    /// The disk works again: so do writers after a while, of themselves.
    fn mend(&mut self) -> Result<(), String> {
        self.note("the disk works again");
        self.disk.disk.set_faults(Faults::default());
        let client = *RISING.start();
        // A rewrite without which it does not work is tried again after some seconds.
        for round in 0..600 {
            let needs_rewrite = |process: &Process| process.writer.journal.needs_rewrite();
            if round >= 30 && !self.process.as_ref().is_some_and(needs_rewrite) {
                break;
            }
            self.now = self.now.advanced(RETRY_AFTER);
            self.turn(Vec::new())?;
            if let Some(process) = &mut self.process {
                process.write(usize::MAX, self.now.monotonic, false);
                let Process { copier, mail, .. } = process;
                if let Some(copier) = copier {
                    copier.step(mail);
                }
            }
        }
        let request = (client, self.rise(client));
        self.turn(vec![request])?;
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Some(fault) = process.writer.journal.fault() {
            return Err(format!("the disk works, but {fault}"));
        }
        let is_refused = process.sent[&client].iter().any(|sent| sent.is_faulty);
        if is_refused || process.reached.fault.is_some() {
            return Err("the disk works, but who writes is refused".to_owned());
        }
        for _ in 0..12 {
            self.now = self.now.advanced(RETRY_AFTER);
            if let Some(process) = &mut self.process {
                process.write(usize::MAX, self.now.monotonic, false);
            }
            self.turn(Vec::new())?;
        }
        let Some(process) = &self.process else { return Ok(()) };
        let waiting = process.sent.iter().find_map(|(client, sent)| Some((client, sent.front()?)));
        if let Some((client, Sent { request, group, .. })) = waiting {
            return Err(format!(
                "the disk works, but {client} is not told of {request}, of group {group}"
            ));
        }
        self.tally.mended += 1;
        Ok(())
    }

    // Clients

    fn request(&mut self) -> (usize, String) {
        let client = self.rng.usize(*MIXED.start()..=READER);
        let request = match client {
            PAIRING => {
                self.rising += 1;
                let ([[left, right], [one, other]], value) = (PAIRS, self.rising);
                match self.rng.bool() {
                    true => format!("MULTI\r\nSET {left} {value}\r\nSET {right} {value}\r\nEXEC"),
                    false => format!("MSET {one} {value} {other} {value}"),
                }
            }
            READER => format!("GET own{}", self.rng.usize(RISING)),
            _ if RISING.contains(&client) => self.rise(client),
            _ => match self.rng.u8(..60) {
                0 | 1 => "BGREWRITEAOF".to_owned(),
                2 => "BGSAVE".to_owned(),
                3 => {
                    let policy = ["always", "everysec", "no"][self.rng.usize(..3)];
                    format!("CONFIG SET appendfsync {policy}")
                }
                _ => change(&mut self.rng),
            },
        };
        (client, request)
    }

    fn rise(&mut self, client: usize) -> String {
        self.rising += 1;
        self.oracle.sent.insert(format!("own{client}"), self.rising);
        format!("SET own{client} {}", self.rising)
    }

    /// One turn of the loop, and what it lets go to clients.
    fn turn(&mut self, requests: Vec<(usize, String)>) -> Result<(), String> {
        let now = self.now;
        let Some(process) = &mut self.process else { return Ok(()) };
        let is_faulty = process.reached.fault.is_some();
        let mut asked = Vec::new();
        for (client, request) in requests {
            process.engine.receive(client, format!("{request}\r\n").as_bytes(), now);
            let is_always =
                process.engine.config().appendfsync == FsyncPolicy::Always && !process.is_unfounded;
            if !is_always {
                // Whoever waited does not any more.
                let all = process.sent.values_mut().flatten();
                all.for_each(|sent| sent.is_always = false);
            }
            for request in request.split("\r\n") {
                let (request, group) = (request.to_owned(), usize::MAX);
                let sent = Sent { request, group, is_faulty, is_always };
                process.sent.entry(client).or_default().push_back(sent);
            }
            asked.push((client, request));
        }
        process.engine.tick(now);
        if self.is_loud {
            asked.iter().for_each(|(client, request)| {
                let cut = request.get(..60).unwrap_or(request).replace("\r\n", " | ");
                eprintln!("{:>10.3} {client}> {cut}", now.monotonic.as_secs_f64());
            });
        }
        // A snapshot that begins seals another one.
        process.engine.seal_groups();
        let sealed_seq = process.engine.sealed_seq();
        let group = process.before + (sealed_seq - process.seq_before) as usize;
        for sent in process.sent.values_mut().flatten().filter(|sent| sent.group == usize::MAX) {
            sent.group = group;
        }
        self.keep()?;
        let Some(process) = &mut self.process else { return Ok(()) };
        let outputs = process.engine.take_outputs();
        let mut replies = Vec::new();
        for &client in &outputs {
            let bytes = process.engine.output(client).to_vec();
            process.engine.sent(client, bytes.len());
            let heard = process.heard.entry(client).or_default();
            heard.extend(bytes);
            while let Some((reply, len)) = resp::decode(heard).expect("well-formed") {
                heard.drain(..len);
                let sent = process.sent.get_mut(&client).and_then(VecDeque::pop_front);
                replies.push((client, sent.ok_or("a reply to nothing")?, reply));
            }
        }
        process.engine.restore_outputs(outputs);
        process.engine.take_resumed();
        replies.into_iter().try_for_each(|(client, sent, reply)| self.hear(client, &sent, &reply))
    }

    /// A reply has reached its client: what it says must be true from now on.
    fn hear(&mut self, client: usize, sent: &Sent, reply: &Reply) -> Result<(), String> {
        let words: Vec<&str> = sent.request.split_whitespace().collect();
        let is_refused = matches!(reply, Reply::Error(text) if text.starts_with(b"MISCONF"));
        self.tally.refusals += usize::from(is_refused);
        if matches!(words[0], "SET" | "APPEND" | "MSET") && words.len() > 2 {
            let is_queued = client == PAIRING && words[0] == "SET";
            if is_refused != sent.is_faulty && !(is_queued && is_refused) {
                let fault = if sent.is_faulty { "fails" } else { "works" };
                return Err(format!("the disk {fault}, but {}: {reply:?}", sent.request));
            }
        }
        if words[0] == "LOCK.ACQUIRE"
            && let Reply::Integer(token) = reply
        {
            self.oracle.token = self.oracle.token.max(*token);
        }
        let process = self.process.as_ref().ok_or("a reply of nobody")?;
        if !sent.is_always || process.engine.config().appendfsync != FsyncPolicy::Always {
            return Ok(());
        }
        if has_changed(&words, reply) {
            if sent.group > process.before + process.reached.synced_seq as usize {
                return Err(format!(
                    "{client} is told of {}, of group {}, before it is durable: {reply:?}",
                    sent.request, sent.group
                ));
            }
            self.oracle.acknowledged = self.oracle.acknowledged.max(sent.group);
        }
        let told = match (words[0], reply) {
            ("SET", Reply::Simple(_)) if RISING.contains(&client) => words[2],
            // While the disk fails readers see what there is.
            ("GET", Reply::Bulk(text)) if client == READER && !sent.is_faulty => {
                std::str::from_utf8(text).unwrap_or("")
            }
            _ => return Ok(()),
        };
        let value: i64 = told.parse().map_err(|_| format!("{}: {reply:?}", sent.request))?;
        let known = self.oracle.told.entry(words[1].to_owned()).or_default();
        *known = value.max(*known);
        Ok(())
    }

    // The loop's side of the journal

    fn keep(&mut self) -> Result<(), String> {
        self.take_mail()?;
        let now = self.now;
        let Some(process) = &mut self.process else { return Ok(()) };
        let policy = process.engine.config().appendfsync;
        if process.policy != policy {
            process.policy = policy;
            process.writer.orders.push_back(Order::Policy(policy));
        }
        if let Some(kind) = process.engine.take_snapshot_request() {
            match kind {
                SnapshotKind::Rewrite => {
                    process.hand_over(&mut self.oracle);
                    process.writer.orders.push_back(Order::BeginRewrite(now.unix_ms()));
                }
                SnapshotKind::Save => match self.create_snapshot() {
                    Ok(file) => self.begin_walk(kind, file),
                    Err(why) => self.fail_snapshot(kind, &why),
                },
            }
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let is_due = process.engine.seal_groups() > 0
            && (policy == FsyncPolicy::Always
                || now.monotonic.saturating_sub(process.handed_at) >= HANDED_EVERY);
        if is_due {
            process.handed_at = now.monotonic;
            process.hand_over(&mut self.oracle);
            process.note_progress();
        }
        self.walk();
        Ok(())
    }

    fn take_mail(&mut self) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mail = mem::take(&mut process.mail);
        if let Some(reached) = mail.reached {
            if self.is_loud && reached.fault != process.reached.fault {
                eprintln!("           the disk: {:?}", reached.fault);
            }
            self.tally.broken +=
                usize::from(reached.needs_rewrite && !process.reached.needs_rewrite);
            process.reached = reached;
            process.note_progress();
        }
        match mail.rewrite_begun {
            Some(Ok(file)) => self.begin_walk(SnapshotKind::Rewrite, file),
            Some(Err(why)) => self.fail_snapshot(SnapshotKind::Rewrite, &why),
            None => {}
        }
        match mail.snapshot {
            Some((SnapshotKind::Rewrite, Ok(base))) => {
                if let Some(process) = &mut self.process {
                    process.copier = None;
                    process.writer.orders.push_back(Order::FinishRewrite(base));
                }
            }
            Some((SnapshotKind::Save, Ok(_))) => self.end_save()?,
            Some((kind, Err(why))) => self.fail_snapshot(kind, &why),
            None => {}
        }
        match mail.rewrite_finished {
            Some(Ok(())) => {
                self.note("rewritten");
                self.tally.rewrites += 1;
                if let Some(process) = &mut self.process {
                    process.engine.note_snapshot(SnapshotKind::Rewrite, true);
                    if mem::take(&mut process.is_unfounded) {
                        self.oracle.old = None;
                        process.note_progress();
                    }
                }
            }
            Some(Err(why)) => self.fail_snapshot(SnapshotKind::Rewrite, &why),
            None => {}
        }
        Ok(())
    }

    fn snapshot_path(&self) -> PathBuf {
        location().dir.join(&self.config.dbfilename)
    }

    fn create_snapshot(&self) -> Result<SnapshotWriter<Liar>, String> {
        let path = self.snapshot_path();
        let temp = location().dir.join("temp-snapshot");
        let created_unix_ms = self.now.unix_ms();
        let header = Header { kind: FileKind::Snapshot, sequence: 1, created_unix_ms };
        SnapshotWriter::create(self.disk.clone(), temp, path, header, 4 << 20)
            .map_err(|fault| fault.to_string())
    }

    fn end_save(&mut self) -> Result<(), String> {
        let path = self.snapshot_path();
        let Some(process) = &mut self.process else { return Ok(()) };
        process.copier = None;
        process.engine.note_snapshot(SnapshotKind::Save, true);
        let end = process.walked_to;
        self.note(&format!("saved what there was after {end} groups"));
        self.tally.saves += 1;
        self.oracle.saved = self.disk.disk.read(&path).into_iter().collect();
        self.oracle.must_be_saved = true;
        self.oracle.check_saved(&self.disk, &path, end, &self.config, self.now)
    }

    fn begin_walk(&mut self, kind: SnapshotKind, file: SnapshotWriter<Liar>) {
        let Some(process) = &mut self.process else { return };
        process.copier = Some(Copier::new(kind, file));
        process.hand_over(&mut self.oracle);
        process.engine.begin_snapshot(kind);
    }

    fn fail_snapshot(&mut self, kind: SnapshotKind, why: &str) {
        self.note(&format!("{kind:?} has failed: {why}"));
        let path = self.snapshot_path();
        if kind == SnapshotKind::Save {
            self.oracle.saved.extend(self.disk.disk.read(&path));
        }
        let Some(process) = &mut self.process else { return };
        process.copier = None;
        if kind == SnapshotKind::Rewrite {
            process.writer.orders.push_back(Order::AbandonRewrite);
        }
        process.engine.note_snapshot(kind, false);
    }

    fn walk(&mut self) {
        let Some(process) = &mut self.process else { return };
        let Some(copier) = &mut process.copier else { return };
        if copier.is_walked || copier.orders.len() >= SLICES_MAX {
            return;
        }
        let Some((groups, is_over)) = process.engine.walk() else { return };
        if !groups.is_empty() {
            let ends = groups.ends().to_vec();
            copier.orders.push_back(Copy::Groups((groups.into_bytes(), ends)));
        }
        if is_over {
            copier.orders.push_back(Copy::Finish);
            copier.is_walked = true;
            let is_hasty = self.sabotage == Sabotage::FinishesWithoutTheLast;
            if !(is_hasty && copier.kind == SnapshotKind::Rewrite) {
                process.hand_over(&mut self.oracle);
            }
            process.walked_to = self.oracle.groups.len();
        }
    }

    // Crashes

    /// The process ends, and another one starts and has what it has to.
    pub(crate) fn crash(&mut self) -> Result<(), String> {
        let Some(process) = self.process.take() else { return Ok(()) };
        // What a failed sync has dropped can still be read as long as the machine runs, and
        // no later process can know. It is cut off at once; where even that fails, nothing
        // is promised until the machine has stopped.
        let is_broken = process.writer.journal.wants_rewrite();
        let mut is_power_lost = self.rng.u8(..3) > 0 || process.may_be_uncut || is_broken;
        let (before, is_unfounded) = (process.before, process.is_unfounded);
        let progress = process.writer.journal.progress();
        let written = before + progress.written_seq as usize;
        let durable = before + progress.synced_seq as usize;
        self.note(&format!(
            "{written} groups are written, {durable} durable, {} acknowledged",
            self.oracle.acknowledged
        ));
        self.end_process(process, is_power_lost);
        loop {
            self.pass();
            if self.rng.u8(..10) == 0 && durable > 0 {
                self.now.unix_us -= self.rng.u64(..1_000_000_000);
            }
            // It may be stopped while it starts.
            let has_trouble = self.rng.u8(..4) == 0;
            if has_trouble {
                let from = self.disk.disk.counts().operations + self.rng.u64(..12);
                self.disk
                    .disk
                    .set_faults(Faults { operations: from..u64::MAX, ..Faults::default() });
            }
            let opened = self.open();
            if has_trouble && matches!(opened, Err(OpenError::Disk(_))) {
                self.tally.failed_starts += 1;
                self.stop_machine(true);
                is_power_lost = true;
                continue;
            }
            self.disk.disk.set_faults(Faults::default());
            let (found, journal) =
                opened.map_err(|error| format!("the journal is refused: {error}"))?;
            let is_anew = self.oracle.old.is_some();
            let is_old = self.is_old(&found);
            let floor = match is_power_lost {
                // It is all there, or it is the new one, of which nothing is promised.
                _ if is_old => self.oracle.groups.len(),
                _ if is_unfounded && is_anew => 0,
                _ if is_unfounded => before,
                true => durable,
                false => written,
            };
            let floor = floor.max(self.oracle.acknowledged);
            let all = self.oracle.groups.len();
            self.note(&format!(
                "{:?} groups of a base and {} others",
                found.base.as_ref().map(Vec::len),
                found.later.len()
            ));
            let end = self.oracle.check(&found, floor, &self.config, self.now)?;
            self.note(&format!("{end} groups of {all} are there, at least {floor} had to be"));
            self.tally.lost += all - end;
            self.tally.groups += end;
            self.oracle.check_left(&self.disk, &self.snapshot_path())?;
            self.oracle.cut(end);
            self.start(&found.all(), journal);
            return Ok(());
        }
    }

    fn end_process(&mut self, process: Process, is_power_lost: bool) {
        let Process { engine, writer, copier, mut mail, .. } = process;
        if let Some(Ok(file)) = mail.rewrite_begun.take() {
            mem::forget(file);
        }
        // A file may have just got its name.
        self.oracle.saved.extend(self.disk.disk.read(&self.snapshot_path()));
        self.stop_machine(is_power_lost);
        if let Some(copier) = copier {
            copier.end_with_process();
        }
        drop((engine, writer));
    }

    fn stop_machine(&mut self, is_power_lost: bool) {
        if is_power_lost {
            self.note("the power is lost");
            self.tally.power_losses += 1;
            self.disk.disk.crash(self.rng.u64(..));
        } else {
            self.note("the process is killed");
            self.tally.kills += 1;
            self.disk.disk.kill();
        }
    }

    fn open(&mut self) -> Result<(Found, Journal<Liar>), OpenError> {
        let mut opening = Opening::new(self.disk.clone(), location(), self.now.unix_ms())?;
        let has_base = opening.files().iter().any(|file| is_base(&file.path));
        let (mut base, mut later) = (Vec::new(), Vec::new());
        while let Some(group) = opening.next_group()? {
            let group = group.commands.to_vec();
            if is_base(opening.path()) { base.push(group) } else { later.push(group) }
        }
        let (journal, cut) = opening.finish()?;
        self.tally.torn += usize::from(cut.is_some());
        Ok((Found { base: has_base.then_some(base), later }, journal))
    }
}

fn is_base(path: &Path) -> bool {
    path.to_string_lossy().contains(".base.")
}

/// Whether a reply says beyond doubt that something has changed.
fn has_changed(words: &[&str], reply: &Reply) -> bool {
    match (words[0], reply) {
        ("SET" | "MSET", Reply::Simple(text)) => text == b"OK",
        ("APPEND" | "LOCK.ACQUIRE", Reply::Integer(_)) => true,
        ("DEL" | "COPY", Reply::Integer(count)) => *count > 0,
        ("RENAME", Reply::Simple(_)) => words[1] != words[2],
        ("LOCK.RELEASE", Reply::Integer(left)) => *left >= 0,
        ("EXEC", Reply::Array(_)) => true,
        _ => false,
    }
}

impl Process {
    /// The writer's thread comes by.
    fn write(&mut self, orders_max: usize, now: Duration, keeps_from_cutting: bool) {
        self.writer.step(orders_max, now, &mut self.mail);
        self.may_be_uncut = match self.writer.journal.fault() {
            None => false,
            Some(_) => self.may_be_uncut || keeps_from_cutting,
        };
    }

    /// The next sync is of all that has counted when it was written.
    fn counts_synced_next(&self) -> bool {
        let mut orders = self.writer.orders.iter();
        self.writer.policy == FsyncPolicy::No
            && self.engine.config().appendfsync != FsyncPolicy::No
            && self.writer.journal.fault().is_none()
            && orders
                .find(|order| !matches!(order, Order::Groups(_)))
                .is_some_and(|order| matches!(order, Order::Policy(_)))
    }

    fn hand_over(&mut self, oracle: &mut Oracle) {
        self.engine.seal_groups();
        if !self.engine.has_groups() {
            return;
        }
        let groups = self.engine.take_groups();
        let ends = groups.ends().to_vec();
        let bytes = groups.into_bytes();
        self.given_bytes += bytes.len() as u64;
        oracle.note(&bytes, &ends);
        self.writer.orders.push_back(Order::Groups((bytes, ends)));
    }

    fn note_progress(&mut self) {
        let reached = &self.reached;
        let founded = |seq| self.seq_before + if self.is_unfounded { 0 } else { seq };
        self.engine.note_journal(JournalProgress {
            delayed_syncs: 0,
            written_seq: self.seq_before + reached.written_seq,
            durable_seq: founded(reached.durable_seq),
            synced_seq: founded(reached.synced_seq),
            fault: reached.fault.clone(),
            unsynced_bytes: self.given_bytes.saturating_sub(reached.done_bytes) as usize,
            current_bytes: reached.current_bytes,
            base_bytes: reached.base_bytes,
            is_unfounded: self.is_unfounded,
            wants_rewrite: reached.wants_rewrite,
        });
    }
}
