//! Syncs that fail under the whole of it: the engine, the loop's side, the journal's thread
//! and a disk that fails when it is told to.

use super::*;

const NOTE: &str = "/data/appendonlydir/appendonly.aof.unsynced";

fn new_disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir(Path::new("/data")).expect("the disk is sound");
    disk.sync_dir(Path::new("/")).expect("the disk is sound");
    disk
}

fn start(disk: &SimulatedDisk, policy: &str) -> Result<Kept<SimulatedDisk>, KeepError> {
    let options = [("appendonly", "yes"), ("appendfsync", policy)];
    Kept::start(disk.clone(), Path::new("/data"), &options)
}

/// A server whose journal is loaded.
fn loaded(disk: &SimulatedDisk, policy: &str) -> Kept<SimulatedDisk> {
    let mut kept = start(disk, policy).expect("its files are there");
    kept.turn_until(|engine| !engine.server().persistence.loading);
    kept
}

/// The next sync fails.
fn fail_a_sync(disk: &SimulatedDisk) {
    let first = disk.counts().syncs;
    disk.set_faults(Faults { syncs: first..first + 1, ..Faults::default() });
}

/// The machine stops, and with it the server.
fn lose_power(disk: &SimulatedDisk, kept: Kept<SimulatedDisk>, seed: u64) {
    disk.crash(seed);
    end_threads(disk, kept);
}

/// The server is killed.
fn kill(disk: &SimulatedDisk, kept: Kept<SimulatedDisk>) {
    disk.kill();
    end_threads(disk, kept);
}

/// The threads of a server that has stopped can change nothing any more.
fn end_threads(disk: &SimulatedDisk, kept: Kept<SimulatedDisk>) {
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    drop(kept);
    disk.set_faults(Faults::default());
}

fn rewrites(engine: &Engine) -> u64 {
    engine.server().persistence.rewrite.completed
}

#[test]
fn with_no_a_failed_sync_is_made_up_for_by_a_rewrite() {
    let disk = new_disk();
    let mut kept = loaded(&disk, "no");
    kept.run("SET a 1\r\nSET b 1");
    fail_a_sync(&disk);
    kept.run("WAITAOF 1 0 0");
    kept.turn_until(|engine| rewrites(engine) == 1);
    let seq = kept.engine.sealed_seq();
    kept.turn_until(|engine| engine.server().persistence.synced_seq >= seq);
    kept.turn();
    assert_eq!(kept.take_replies(), "+OK\r\n+OK\r\n*2\r\n:1\r\n:0\r\n");
    assert_eq!(disk.read(Path::new(NOTE)), None);
    lose_power(&disk, kept, 1);
    let mut kept = loaded(&disk, "no");
    kept.run("MGET a b");
    assert_eq!(kept.take_replies(), "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
}

#[test]
fn with_no_what_a_failed_sync_was_for_is_loaded_as_a_prefix_after_the_machines_end() {
    let mut lost = 0;
    for seed in 0..4 {
        println!("seed {seed}");
        let disk = new_disk();
        let mut kept = loaded(&disk, "no");
        kept.run("SET a 1\r\nWAITAOF 1 0 0");
        let seq = kept.engine.sealed_seq();
        kept.turn_until(|engine| engine.server().persistence.synced_seq >= seq);
        for number in 0..8 {
            kept.run(&format!("SET key{number} 1"));
        }
        // Then there is no room for the new base.
        let first = disk.counts().syncs;
        let room_bytes = Some(1_000);
        disk.set_faults(Faults { syncs: first..first + 1, room_bytes, ..Faults::default() });
        kept.run("WAITAOF 1 0 1");
        kept.turn_until(|engine| engine.server().persistence.wants_rewrite);
        kept.turn_until(|engine| engine.server().persistence.rewrite.failures > 0);
        assert!(disk.read(Path::new(NOTE)).is_some());
        lose_power(&disk, kept, seed);
        // Nobody is served before it has been rewritten.
        let mut kept = loaded(&disk, "no");
        assert_eq!((rewrites(&kept.engine), disk.read(Path::new(NOTE))), (1, None));
        kept.run("GET a");
        assert_eq!(kept.take_replies(), "$1\r\n1\r\n", "what was synced");
        kept.run("EXISTS key0 key1 key2 key3 key4 key5 key6 key7");
        let count = kept.take_replies()[1..2].parse::<usize>().expect("a number");
        for number in 0..8 {
            kept.run(&format!("EXISTS key{number}"));
            assert_eq!(kept.take_replies(), format!(":{}\r\n", u8::from(number < count)));
        }
        lost += 8 - count;
    }
    assert!(lost > 8, "{lost}");
}

#[test]
fn with_always_a_reply_waits_until_what_a_failed_sync_was_for_is_written_again() {
    for seed in 0..2 {
        let disk = new_disk();
        let mut kept = loaded(&disk, "always");
        kept.run("SET a 1");
        kept.turn_until(|engine| !engine.is_holding_replies());
        assert_eq!(kept.take_replies(), "+OK\r\n");
        // The file that is gone on in cannot be created either, for a while.
        let first = disk.counts().syncs;
        disk.set_faults(Faults { syncs: first..first + 4, ..Faults::default() });
        kept.run("SET b 1");
        kept.turn_until(|engine| engine.server().persistence.fault.is_some());
        assert_eq!(kept.take_replies(), "");
        kept.run("SET c 1");
        kept.turn_until(|engine| !engine.is_holding_replies());
        kept.turn_until(|engine| engine.server().persistence.fault.is_none());
        let replies = kept.take_replies();
        assert!(
            replies.starts_with("+OK\r\n-MISCONF Errors writing to the AOF file: "),
            "{replies}"
        );
        assert_eq!((rewrites(&kept.engine), disk.read(Path::new(NOTE))), (0, None));
        lose_power(&disk, kept, seed);
        let mut kept = loaded(&disk, "always");
        kept.run("EXISTS a b c");
        assert_eq!(kept.take_replies(), ":2\r\n");
    }
}

#[test]
fn what_had_counted_and_is_to_be_synced_after_all_is_refused_until_the_rewrite_has_ended() {
    let disk = new_disk();
    let mut kept = loaded(&disk, "no");
    kept.run("SET a 1");
    kept.turn_until(|engine| engine.server().persistence.durable_seq == engine.sealed_seq());
    fail_a_sync(&disk);
    kept.run("CONFIG SET appendfsync always");
    kept.turn_until(|engine| engine.server().persistence.fault.is_some());
    kept.run("SET b 1");
    assert!(disk.read(Path::new(NOTE)).is_some());
    kept.turn_until(|engine| rewrites(engine) == 1);
    kept.turn_until(|engine| engine.server().persistence.fault.is_none());
    kept.run("SET c 1");
    kept.turn_until(|engine| !engine.is_holding_replies());
    let replies = kept.take_replies();
    assert!(replies.starts_with("+OK\r\n+OK\r\n-MISCONF "), "{replies}");
    assert!(replies.ends_with("\r\n+OK\r\n"), "{replies}");
    lose_power(&disk, kept, 1);
    let mut kept = loaded(&disk, "always");
    kept.run("EXISTS a b c");
    assert_eq!(kept.take_replies(), ":2\r\n");
}

#[test]
fn a_start_whose_own_sync_fails_is_refused_and_the_next_one_rewrites_the_journal() {
    let disk = new_disk();
    let mut kept = loaded(&disk, "no");
    kept.run("SET a 1");
    kept.turn_until(|engine| engine.server().persistence.durable_seq == engine.sealed_seq());
    kill(&disk, kept);
    let mut kept = start(&disk, "always").expect("its files are there");
    // The directory's, where the journal's own was looked for, has been synced.
    fail_a_sync(&disk);
    let refused = kept.refusal();
    assert!(refused.starts_with("cannot sync /data/appendonlydir/"), "{refused}");
    drop(kept);
    disk.kill();
    let kept = loaded(&disk, "always");
    assert_eq!(rewrites(&kept.engine), 1);
    lose_power(&disk, kept, 1);
    let mut kept = loaded(&disk, "always");
    kept.run("GET a");
    assert_eq!(kept.take_replies(), "$1\r\n1\r\n");
}

/// A server whose journal has to be rewritten before anybody is served, after the first
/// attempt, for which the disk had no room. `a` has 2,000 bytes.
fn started_without_room(policy: &str) -> (SimulatedDisk, Kept<SimulatedDisk>) {
    let disk = new_disk();
    let mut kept = loaded(&disk, "always");
    let value = "x".repeat(2_000);
    kept.run(&format!("SET a {value}"));
    kept.turn_until(|engine| !engine.is_holding_replies());
    kill(&disk, kept);
    disk.set_faults(Faults { room_bytes: Some(1_500), ..Faults::default() });
    disk.put(Path::new(NOTE), b"");
    let mut kept = start(&disk, policy).expect("its files are there");
    kept.turn_until(|engine| engine.server().persistence.rewrite.failures > 0);
    (disk, kept)
}

fn has_fault(kept: &Kept<SimulatedDisk>, why: &str) -> bool {
    kept.engine.server().persistence.fault.as_ref().is_some_and(|fault| fault.starts_with(why))
}

#[test]
fn what_a_start_had_no_room_for_comes_first_when_there_is_some() {
    let (disk, mut kept) = started_without_room("always");
    disk.set_faults(Faults::default());
    // While time stands no other rewrite is begun.
    while has_fault(&kept, "No space left") {
        std::thread::sleep(Duration::from_millis(1));
        kept.turn();
    }
    kept.run("SET b 1");
    let replies = kept.take_replies();
    assert!(replies.starts_with("-MISCONF ") && replies.contains(UNFOUNDED), "{replies}");
}

#[test]
fn a_start_that_has_no_room_for_its_rewrite_serves_what_can_be_read() {
    // None for the first file of another journal either, and none for its base.
    for room_bytes in [0, 1_500] {
        let disk = new_disk();
        let mut kept = loaded(&disk, "always");
        let value = "x".repeat(2_000);
        kept.run(&format!("SET a {value}"));
        kept.turn_until(|engine| !engine.is_holding_replies());
        kill(&disk, kept);
        disk.set_faults(Faults { room_bytes: Some(room_bytes), ..Faults::default() });
        disk.put(Path::new(NOTE), b"");
        let mut kept = loaded(&disk, "always");
        assert_eq!(kept.engine.server().persistence.rewrite.failures, 1);
        kept.run("STRLEN a\r\nSET b 1");
        let replies = kept.take_replies();
        assert!(replies.starts_with(":2000\r\n-MISCONF "), "{replies}");
        assert!(replies.contains("No space left on device"), "{replies}");
        // Another one is tried by itself, and not before its time.
        disk.set_faults(Faults::default());
        kept.skip(Duration::from_secs(3));
        kept.turn();
        assert!(!kept.engine.is_rewriting());
        kept.skip(Duration::from_secs(3));
        kept.turn_until(|engine| rewrites(engine) == 1);
        assert_eq!(disk.read(Path::new(NOTE)), None);
        kept.run("SET b 1");
        kept.turn_until(|engine| !engine.is_holding_replies());
        assert_eq!(kept.take_replies(), "+OK\r\n");
        lose_power(&disk, kept, 1);
        let mut kept = loaded(&disk, "always");
        kept.run("EXISTS a b");
        assert_eq!(kept.take_replies(), ":2\r\n");
    }
}

#[test]
fn a_start_that_cannot_begin_its_journal_is_refused_however_late_that_is_known() {
    for is_rewrite_begun in [false, true] {
        let disk = new_disk();
        disk.put(Path::new("/data/begin"), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n");
        let options = [("appendonly", "yes"), ("load", "begin")];
        let started = Kept::start(disk.clone(), Path::new("/data"), &options);
        let mut kept = started.expect("its files are there");
        disk.set_faults(Faults { room_bytes: Some(0), ..Faults::default() });
        while !kept.keeper.loads_until_rewritten {
            kept.turn();
        }
        if is_rewrite_begun {
            // The journal's thread may be slower than the loop's next turn.
            let kind = kept.engine.take_snapshot_request().expect("nothing else counts before");
            kept.keeper.begin_snapshot(kind, &mut kept.engine, kept.now);
        }
        let refused = kept.refusal();
        assert!(refused.contains("No space left on device"), "{refused}");
    }
}

#[test]
fn a_journal_that_cannot_be_begun_leaves_no_rewrite_behind() {
    let disk = new_disk();
    let mut kept = Kept::start(disk.clone(), Path::new("/data"), &[]).expect("there are no files");
    disk.set_faults(Faults { room_bytes: Some(0), ..Faults::default() });
    kept.run("CONFIG SET appendonly yes");
    assert!(kept.engine.server().persistence.rewrite.is_active(), "it is asked for at once");
    kept.turn_until(|engine| !engine.config().appendonly);
    disk.set_faults(Faults::default());
    // It would wait for the rewrite.
    kept.run("BGSAVE");
    kept.turn_until(|engine| engine.server().persistence.save.completed == 1);
}

#[test]
fn a_journal_that_is_ended_takes_along_what_its_start_has_failed_in() {
    let (disk, mut kept) = started_without_room("everysec");
    disk.set_faults(Faults::default());
    kept.run("CONFIG SET appendonly no");
    while kept.keeper.ending_writer.is_some() {
        std::thread::sleep(Duration::from_millis(1));
        kept.turn();
    }
    // This one is begun while others are served.
    kept.run("CONFIG SET appendonly yes\r\nSET b 1");
    let mut replies = kept.take_replies();
    while replies.lines().count() < 3 {
        std::thread::sleep(Duration::from_millis(1));
        kept.turn();
        replies += &kept.take_replies();
    }
    assert_eq!(replies, "+OK\r\n+OK\r\n+OK\r\n");
}
