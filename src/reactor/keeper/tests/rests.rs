//! The rests of the journal's thread, with one that takes longer than any test.

use super::*;
use crate::config::FsyncPolicy;
use crate::persist::Location;

const REST: Duration = Duration::from_secs(24 * 3600);

/// An engine that keeps a journal, and the thread that writes it.
struct Written {
    engine: Engine,
    now: Now,
    writer: Writer,
    mailbox: Arc<Mailbox<SimulatedDisk>>,
    _poll: Poll,
}

impl Written {
    /// Of a thread that rests.
    fn new() -> Written {
        let disk = SimulatedDisk::new();
        let location = Location {
            dir: PathBuf::from("/"),
            dir_name: "appendonlydir".to_owned(),
            file_name: "appendonly.aof".to_owned(),
        };
        let poll = Poll::new().expect("the system has one");
        let waker = Waker::new(poll.registry(), Token(0)).expect("the first of this poll");
        let mailbox = Arc::new(Mailbox::new(Arc::new(waker)));
        let source = Source::Begun(disk, location, 0);
        let writer = Writer::start(source, FsyncPolicy::EverySec, REST, 0, mailbox.clone());
        let now = clock::read_both();
        let mut engine = Engine::new(Config::default(), Environment::simulated(1), now);
        engine.connect(ME, Peer::in_process(), now);
        engine.start_journal();
        let writer = writer.expect("the system has threads");
        let mut written = Written { engine, now, writer, mailbox, _poll: poll };
        // It may rest before this one, or after it. So it is asked for.
        written.set(1);
        written.writer.sync();
        written.wait_for(|reached| reached.synced_seq);
        written
    }

    /// Has a group of somewhat more than so many bytes written.
    fn set(&mut self, bytes: usize) {
        let value = "v".repeat(bytes);
        let request = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bytes}\r\n{value}\r\n");
        self.engine.receive(ME, request.as_bytes(), self.now);
        self.writer.write(self.engine.take_groups());
    }

    /// Waits until the thread says that it is as far as the engine.
    fn wait_for(&self, reached: impl Fn(&Reached) -> u64) {
        let last = self.engine.sealed_seq();
        self.wait_until(|mail| reached(&mail.reached) == last);
    }

    fn wait_until(&self, done: impl Fn(&Mail<SimulatedDisk>) -> bool) {
        let end = clock::monotonic() + Duration::from_secs(60);
        while !done(&self.mailbox.lock()) {
            assert!(clock::monotonic() < end, "it rests");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_sync_that_somebody_waits_for_ends_a_rest() {
    let mut written = Written::new();
    for _ in 0..3 {
        written.set(1);
        written.writer.sync();
        written.wait_for(|reached| reached.synced_seq);
    }
    assert_eq!(written.writer.finish(), Ok(()));
}

#[test]
fn many_bytes_end_a_rest() {
    let mut written = Written::new();
    written.set(600 << 10);
    written.set(600 << 10);
    written.wait_for(|reached| reached.written_seq);
    assert_eq!(written.writer.finish(), Ok(()));
}

#[test]
fn nobody_rests_when_replies_wait() {
    let mut written = Written::new();
    written.set(1);
    written.writer.follow_policy(FsyncPolicy::Always);
    written.wait_for(|reached| reached.durable_seq);
    written.set(1);
    written.wait_for(|reached| reached.durable_seq);
    assert_eq!(written.writer.finish(), Ok(()));
}

#[test]
fn the_end_does_not_wait_for_a_rest() {
    let mut written = Written::new();
    written.set(1);
    written.writer.end();
    written.wait_until(|mail| mail.ended == Some(Ok(())));
    assert_eq!(written.writer.finish(), Ok(()));
}
