//! What depends on how far the threads are, which a test through a socket cannot choose.

mod failed_syncs;
mod rests;

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use mio::{Poll, Token};

use super::*;
use crate::engine::{Environment, Peer};
use crate::persist::{Counted, Faults, Journal, SimulatedDisk};

/// The loop's side without a loop.
struct Kept<D: Disk = SystemDisk> {
    keeper: Keeper<D>,
    engine: Engine,
    now: Now,
    /// How far its time is ahead of the clock.
    ahead: Duration,
    dir: PathBuf,
    /// A directory of the system that is removed in the end.
    own_dir: Option<PathBuf>,
    _poll: Poll,
}

const ME: usize = 1;

fn poll() -> (Poll, Arc<Waker>) {
    let poll = Poll::new().expect("the system has one");
    let waker = Waker::new(poll.registry(), Token(0)).expect("the first of this poll");
    (poll, Arc::new(waker))
}

impl Kept {
    fn new(name: &str) -> Kept {
        let dir = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).expect("a new name");
        let mut kept = Kept::start(SystemDisk, &dir, &[]).expect("there are no files");
        kept.own_dir = Some(dir);
        kept
    }

    /// The same, and a journal is kept whose first rewrite has ended.
    fn journaling(name: &str, policy: &str) -> Kept {
        let mut kept = Kept::new(name);
        kept.run(&format!("CONFIG SET appendonly yes appendfsync {policy}"));
        kept.turn_until(|engine| !engine.server().persistence.is_unfounded);
        assert_eq!(kept.take_replies(), "+OK\r\n");
        kept
    }
}

impl<D: Disk> Kept<D> {
    /// With the files that there are, if there are any.
    fn start(disk: D, dir: &Path, options: &[(&str, &str)]) -> Result<Kept<D>, KeepError> {
        let mut config = Config::default();
        config.set("dir", &dir.to_string_lossy()).expect("an option");
        for (name, value) in options {
            config.set(name, value).expect("an option");
        }
        let (poll, waker) = poll();
        let files = Files::open(disk, &config, Role::Embedded)?;
        let (now, ahead) = (clock::read_both(), Duration::ZERO);
        let mut engine = Engine::new(config, Environment::simulated(1), now);
        let keeper = Keeper::new(files, waker, &mut engine, now);
        engine.connect(ME, Peer::in_process(), now);
        Ok(Kept { keeper, engine, now, ahead, dir: dir.into(), own_dir: None, _poll: poll })
    }

    fn run(&mut self, request: &str) {
        self.engine.receive(ME, format!("{request}\r\n").as_bytes(), self.now);
        self.turn();
    }

    fn turn(&mut self) {
        self.engine.tick(self.now);
        self.keeper.turn(&mut self.engine, self.now, true).expect("nothing is to be loaded");
    }

    fn turn_until(&mut self, done: impl Fn(&Engine) -> bool) {
        self.turn_until_kept(|kept| done(&kept.engine));
    }

    fn turn_until_kept(&mut self, done: impl Fn(&Kept<D>) -> bool) {
        let end = clock::monotonic() + Duration::from_secs(60);
        while !done(self) {
            assert!(clock::monotonic() < end, "it does not come");
            std::thread::sleep(Duration::from_millis(1));
            self.now = clock::read_both().advanced(self.ahead);
            self.turn();
        }
    }

    /// So much time passes for it at once.
    fn skip(&mut self, time: Duration) {
        self.ahead += time;
        self.now = self.now.advanced(time);
    }

    /// Why a server that is loading is not to go on.
    fn refusal(&mut self) -> String {
        loop {
            match self.keeper.turn(&mut self.engine, self.now, true) {
                Ok(_) => assert!(self.engine.server().persistence.loading),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// What has been answered since this was last asked.
    fn take_replies(&mut self) -> String {
        let replies = String::from_utf8_lossy(self.engine.output(ME)).into_owned();
        self.engine.sent(ME, replies.len());
        replies
    }
}

impl<D: Disk> Drop for Kept<D> {
    fn drop(&mut self) {
        if let Some(dir) = &self.own_dir {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

#[test]
fn a_snapshot_does_not_begin_while_the_last_one_may_still_write_its_file() {
    let mut kept = Kept::new("keeper-ending");
    let failures = |engine: &Engine| engine.server().persistence.save.failures;
    kept.run("SET a 1");
    // Its thread cannot say that it has ended.
    let mailbox = kept.keeper.mailbox.clone();
    let held = mailbox.lock();
    kept.run("BGSAVE");
    kept.keeper.fail_snapshot(SnapshotKind::Save, "the test says so", &mut kept.engine);
    assert_eq!(failures(&kept.engine), 1);
    kept.run("BGSAVE");
    assert_eq!(failures(&kept.engine), 2);
    drop(held);
    kept.turn_until_kept(|kept| kept.keeper.ending.is_empty());
    kept.run("BGSAVE");
    kept.turn_until(|engine| !engine.server().persistence.save.is_active());
    assert_eq!(failures(&kept.engine), 0);
    assert!(kept.dir.join("snapshot.aof").exists());
}

#[test]
fn a_snapshot_waits_until_what_was_left_of_one_is_removed() {
    let mut kept = Kept::new("keeper-left");
    let temp = kept.dir.join("temp-snapshot.aof");
    let lock = SystemDisk.lock(&temp).expect("a new name").expect("it is free");
    // Nobody removes it but whoever waits for that, so it is there if nobody does.
    kept.keeper.await_removal = Some(Box::new(move || {
        fs::remove_file(&temp).expect("it is there");
        drop(lock);
    }));
    kept.run("BGSAVE");
    kept.turn_until(|engine| !engine.server().persistence.save.is_active());
    assert_eq!(kept.engine.server().persistence.save.failures, 0);
    assert!(kept.dir.join("snapshot.aof").exists());
}

/// Keeps a journal's thread from telling what it has done until it is released, but not
/// for ever: a loop that waits for it would keep it so.
struct Held {
    release: Sender<()>,
    thread: JoinHandle<Result<(), RecvTimeoutError>>,
}

impl Held {
    fn new(kept: &Kept) -> Held {
        let mailbox = kept.keeper.mailbox.clone();
        let (sender, is_held) = channel();
        let (release, is_released) = channel();
        let thread = std::thread::spawn(move || {
            let _held = mailbox.lock();
            sender.send(()).expect("somebody waits for it");
            is_released.recv_timeout(Duration::from_secs(20))
        });
        is_held.recv().expect("it says so");
        Held { release, thread }
    }

    /// Whether nobody has waited for that.
    fn release(self) -> bool {
        let _ = self.release.send(());
        self.thread.join().expect("it does not panic").is_ok()
    }
}

#[test]
fn the_loop_does_not_wait_for_a_journal_that_ends() {
    let mut kept = Kept::journaling("keeper-end", "always");
    let journaling = |engine: &Engine| engine.server().persistence.journaling;
    let is_founded = |engine: &Engine| !engine.server().persistence.is_unfounded;
    kept.run("SET a 1");
    kept.turn_until(|engine| !engine.is_holding_replies());
    // Nothing more is to come of that.
    kept.turn();
    let held = Held::new(&kept);
    kept.run("SET b 1");
    kept.run("CONFIG SET appendonly no");
    kept.run("SET c 1");
    assert!(kept.engine.is_holding_replies(), "what they say is not durable yet");
    // Another one has to wait until the files are free.
    kept.run("CONFIG SET appendonly yes");
    assert!(kept.keeper.ending_writer.is_some());
    assert!(held.release(), "the loop has waited");
    kept.turn_until(|engine| !engine.awaits_journal());
    kept.turn_until(is_founded);
    assert!(journaling(&kept.engine) && !kept.engine.is_holding_replies());
    kept.run("CONFIG SET appendonly no");
    kept.turn_until(|engine| !journaling(engine));
}

#[test]
fn a_journal_that_is_ended_and_begun_in_one_turn_goes_on() {
    let mut kept = Kept::new("keeper-again");
    kept.run("CONFIG SET appendonly yes");
    kept.turn_until(|engine| !engine.awaits_journal());
    kept.run("CONFIG SET appendonly no\r\nCONFIG SET appendonly yes");
    assert!(!kept.engine.awaits_journal());
    kept.turn();
    let replies = kept.take_replies();
    assert_eq!(replies, "+OK\r\n".repeat(3));
}

#[test]
fn no_end_of_a_snapshot_is_lost_if_two_come_between_two_looks() {
    let kept = Kept::new("keeper-mail");
    let mailbox = &kept.keeper.mailbox;
    mailbox.post(|mail| mail.snapshots.push((1, None)));
    mailbox.post(|mail| mail.snapshots.push((2, Some(Err("no room".to_owned())))));
    mailbox.post(|mail| mail.has_panicked = true);
    mailbox.forget_writer();
    let mail = mailbox.take().expect("there is some");
    assert_eq!(mail.snapshots, [(1, None), (2, Some(Err("no room".to_owned())))]);
    assert!(mail.has_panicked, "it may have been the one that writes a snapshot");
}

#[test]
fn a_thread_that_panics_ends_the_server() {
    let mut kept = Kept::new("keeper-panic");
    let on_panic = mail::OnPanic(kept.keeper.mailbox.clone());
    let panics = move || {
        let _on_panic = on_panic;
        panic!("the test says so");
    };
    std::thread::spawn(panics).join().expect_err("it panics");
    let ended = kept.keeper.turn(&mut kept.engine, kept.now, true);
    assert!(ended.expect_err("it has heard of it").to_string().contains("has panicked"));
}

#[test]
fn who_asks_for_a_sync_gets_one_when_there_is_none_otherwise() {
    let mut kept = Kept::journaling("keeper-asked", "no");
    kept.run("SET a 1\r\nWAITAOF 1 0 0");
    let seq = kept.engine.sealed_seq();
    // Nobody is woken before that.
    kept.turn_until(|engine| engine.server().persistence.synced_seq >= seq);
    kept.turn();
    let replies = kept.take_replies();
    assert_eq!(replies, "+OK\r\n*2\r\n:1\r\n:0\r\n");
}

#[test]
fn loading_ends_when_the_tokens_that_may_be_given_are_synced_and_not_only_written() {
    let mut kept = Kept::new("keeper-tokens");
    kept.engine.begin_replay(kept.now);
    kept.keeper.loads_until_durable = true;
    let is_loading = |kept: &Kept| kept.engine.server().persistence.loading;
    kept.keeper.mailbox.post(|mail| mail.reached.durable_seq = 1);
    kept.turn();
    assert!(is_loading(&kept));
    kept.keeper.mailbox.post(|mail| mail.reached.synced_seq = 1);
    kept.turn();
    assert!(!is_loading(&kept));
}

#[test]
fn a_journal_whose_first_rewrite_ends_with_the_server_is_complete() {
    let mut kept = Kept::new("keeper-last");
    kept.run("CONFIG SET appendonly yes");
    let end = clock::monotonic() + Duration::from_secs(60);
    let mut has_walked = false;
    // Until the journal's thread has the new base, and the loop has not heard of it.
    while !has_walked || kept.keeper.copier.is_some() {
        assert!(clock::monotonic() < end, "it is not written");
        std::thread::sleep(Duration::from_millis(1));
        kept.turn();
        has_walked |= kept.keeper.copier.is_some();
    }
    assert!(kept.keeper.is_unfounded);
    let Kept { keeper, engine, now, .. } = &mut kept;
    let location = keeper.location.clone();
    let (_poll, waker) = poll();
    let other = Files { disk: SystemDisk, location, journal: None, load: None };
    let other = Keeper::new(other, waker, engine, *now);
    mem::replace(keeper, other).finish(engine).expect("a restart finds all of it");
}

#[test]
fn what_was_only_written_is_synced_as_soon_as_it_is_to_be() {
    let mut kept = Kept::journaling("keeper-policy", "no");
    kept.run("SET a 1");
    kept.turn_until(|engine| engine.server().persistence.durable_seq == engine.sealed_seq());
    let is_synced = |engine: &Engine| {
        let persistence = &engine.server().persistence;
        (persistence.synced_seq, persistence.durable_seq)
            == (engine.sealed_seq(), engine.sealed_seq())
    };
    assert!(!is_synced(&kept.engine));
    // Nothing else is written.
    kept.run("CONFIG SET appendfsync always");
    kept.run("GET a");
    kept.turn_until(is_synced);
    assert!(!kept.engine.is_holding_replies());
}

/// Leaves word, until the loop does something about it, that a sync has failed of what had
/// counted when it was written. The journal's thread knows better, and says so when it is
/// told to do something.
fn hear_of_a_failed_sync(kept: &mut Kept, set: impl Fn(&mut Reached)) {
    let end = clock::monotonic() + Duration::from_secs(60);
    while !kept.engine.is_rewriting() {
        assert!(clock::monotonic() < end, "nothing is done about it");
        kept.keeper.mailbox.post(|mail| {
            mail.reached.wants_rewrite = true;
            set(&mut mail.reached);
        });
        kept.turn();
    }
}

#[test]
fn a_failed_sync_of_what_had_counted_is_made_up_for_by_a_rewrite() {
    let mut kept = Kept::journaling("keeper-suspect", "no");
    let completed = |engine: &Engine| engine.server().persistence.rewrite.completed;
    assert_eq!(completed(&kept.engine), 1);
    hear_of_a_failed_sync(&mut kept, |_| {});
    // Nobody has relied on it.
    assert_eq!(kept.engine.server().persistence.fault, None);
    kept.run("SET a 1\r\nWAITAOF 1 0 0");
    let seq = kept.engine.sealed_seq();
    kept.turn_until(|engine| {
        completed(engine) == 2 && engine.server().persistence.synced_seq >= seq
    });
    kept.turn();
    let replies = kept.take_replies();
    assert_eq!(replies, "+OK\r\n*2\r\n:1\r\n:0\r\n");
}

#[test]
fn loading_ends_without_tokens_if_no_sync_can_say_which_may_be_given() {
    let mut kept = Kept::journaling("keeper-unproven", "no");
    kept.engine.begin_replay(kept.now);
    kept.keeper.loads_until_durable = true;
    // The fault came and went while the loop did not look.
    hear_of_a_failed_sync(&mut kept, |reached| (reached.synced_seq, reached.fault) = (0, None));
    let persistence = &kept.engine.server().persistence;
    assert!(!persistence.loading && persistence.fault.as_deref() == Some(UNPROVEN));
    kept.run("GET a\r\nLOCK.ACQUIRE lock me PX 60000");
    let replies = kept.take_replies();
    assert!(replies.starts_with("$-1\r\n-MISCONF"), "{replies}");
    kept.turn_until(|engine| engine.server().persistence.rewrite.completed == 2);
    assert_eq!(kept.engine.server().persistence.fault, None);
    kept.run("LOCK.ACQUIRE lock me PX 60000");
    let replies = kept.take_replies();
    assert!(replies.starts_with(":"), "{replies}");
}

#[test]
fn an_orderly_end_does_not_call_a_sync_that_has_failed_a_success() {
    let group = b"*1\r\n$4\r\nPING\r\n";
    let begin = |counted| {
        let (disk, dir) = (SimulatedDisk::new(), PathBuf::from("/"));
        let location = Location { dir, dir_name: "aof".into(), file_name: "a.aof".into() };
        let opening = Opening::new(disk.clone(), location, 1).expect("the disk is sound");
        let (mut journal, _) = opening.finish().expect("the disk is sound");
        journal.set_counted(counted);
        journal.append(group.to_vec(), vec![group.len()], 1);
        (disk, journal)
    };
    let fail = |disk: &SimulatedDisk, count: u64| {
        let first = disk.counts().syncs;
        disk.set_faults(Faults { syncs: first..first + count, ..Faults::default() });
    };
    let end = |journal: &mut Journal<SimulatedDisk>| {
        writer::make_durable(journal, 3, Duration::ZERO).err().unwrap_or_default()
    };
    let failed = "what a sync of the journal was to make durable may not be on the disk, and no \
                  rewrite has made up for that: cannot sync /aof/a.aof.1.incr.aof: Input/output \
                  error (os error 5)";
    // In the end, before it, and at neither.
    let (disk, mut journal) = begin(Counted::Written);
    fail(&disk, 1);
    assert_eq!(end(&mut journal), failed);
    let (disk, mut journal) = begin(Counted::Written);
    fail(&disk, 1);
    assert!(journal.write() && !journal.sync() && journal.write() && journal.sync());
    assert_eq!(end(&mut journal), failed);
    assert_eq!(end(&mut begin(Counted::Written).1), "");
    // What is still in memory is written once more.
    let (disk, mut journal) = begin(Counted::Synced);
    fail(&disk, 1);
    assert_eq!(end(&mut journal), "");
    let (disk, mut journal) = begin(Counted::Synced);
    fail(&disk, 100);
    let why = end(&mut journal);
    assert!(why.starts_with("the last 14 bytes of the journal are not durable: "), "{why}");
    // It counts as lost on top of what an earlier sync was for.
    let (disk, mut journal) = begin(Counted::Written);
    assert!(journal.write());
    journal.set_counted(Counted::Synced);
    journal.append(group.to_vec(), vec![group.len()], 2);
    fail(&disk, 1);
    let why = end(&mut journal);
    assert!(why.starts_with(failed) && why.contains("; the last 14 bytes of the journal"), "{why}");
}
