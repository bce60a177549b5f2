//! What a journal claims to be durable is compared with what is there after a crash,
//! for disks that fail in all the ways that [`Faults`] knows.

use std::path::{Path, PathBuf};

mod ends;
mod losses;
mod openings;
mod rewriting;

use super::writing::{ROOM_BYTES, ROOM_FOR_MAX, WRITTEN_BYTES_MAX};
use super::*;
use crate::persist::scanner::tests::push_command;
use crate::persist::{
    CommandReader, CutTail, Faults, Location, OpenError, Opening, SimulatedDisk, Snapshot,
    SnapshotWriter,
};

const NOTE: &str = "/data/aof/a.aof.unsynced";

/// The files in which is kept what was torn or left out.
fn kept(life: &Life) -> Vec<String> {
    let names = life.disk.list(Path::new("/data/aof")).expect("there is one");
    names.into_iter().filter(|name| name.contains("torn")).collect()
}

fn location() -> Location {
    Location { dir: "/data".into(), dir_name: "aof".into(), file_name: "a.aof".into() }
}

fn new_disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir(Path::new("/data")).expect("the disk is sound");
    disk.sync_dir(Path::new("/")).expect("the disk is sound");
    disk
}

/// A group says which one it is and has a length that depends on that.
fn group(number: u64) -> Vec<u8> {
    let filler = vec![b'x'; (number * 37 % 200) as usize];
    let mut out = Vec::new();
    push_command(&mut out, &[b"SET", number.to_string().as_bytes(), &filler]);
    out
}

/// What has been loaded: the number of the last group whose effect is there. Panics
/// unless they all are.
fn load(opening: &mut Opening<SimulatedDisk>) -> Result<u64, OpenError> {
    let mut reader = CommandReader::default();
    let (mut based, mut base_from, mut last) = (0, 0, 0);
    while let Some(found) = opening.next_group()? {
        let mut rest = found.commands;
        let args = reader.next(&mut rest).expect("a group has a command");
        let number = std::str::from_utf8(&args[1]).ok().and_then(|text| text.parse().ok());
        let number: u64 = number.expect("groups are numbered");
        if &args[0] == b"BASE" {
            assert_eq!((based, last), (0, 0), "a base comes first");
            based = number;
            let from = std::str::from_utf8(&args[2]).ok().and_then(|text| text.parse().ok());
            base_from = from.expect("it says what it begins with");
        } else {
            assert!(number > last, "{number} comes after {last}");
            // Not all can be done twice: the base has it, and its rewrite begins behind it.
            assert!(number > base_from, "{number} is in a base begun after {base_from}");
            assert!(number <= last.max(based) + 1, "{number} comes after {last} and {based}");
            assert_eq!(found.commands, group(number));
            last = number;
        }
    }
    Ok(last.max(based))
}

/// A server's life with a journal on a disk that is not reliable.
struct Life {
    disk: SimulatedDisk,
    journal: Option<Journal<SimulatedDisk>>,
    counted: Counted,
    wants_room: bool,
    /// It ends with the machine, so that only what has been synced is promised.
    ends_with_machine: bool,
    /// The number of the last group that was sent, and of the last one sent before the
    /// process began.
    sent: u64,
    begun: u64,
    /// The last that must be there after a crash.
    promised: u64,
    base: Option<SnapshotWriter<SimulatedDisk>>,
    /// The number of the last group that was written when the base was begun.
    base_from: u64,
    finished: Option<Snapshot>,
}

impl Life {
    fn new() -> Life {
        let disk = new_disk();
        let (journal, base, finished) = (None, None, None);
        Life {
            disk,
            journal,
            counted: Counted::Synced,
            wants_room: false,
            ends_with_machine: false,
            sent: 0,
            begun: 0,
            promised: 0,
            base,
            base_from: 0,
            finished,
        }
    }

    /// With a journal on a new disk.
    fn begun() -> Life {
        let mut life = Life::new();
        life.open().expect("the disk is sound");
        life
    }

    /// Opens the journal and compares what is in it with what was promised.
    fn open(&mut self) -> Result<Option<CutTail>, OpenError> {
        let mut opening = Opening::new(self.disk.clone(), location(), 1)?;
        let loaded = load(&mut opening)?;
        assert!(loaded >= self.promised, "{loaded} are there of {}", self.promised);
        assert!(loaded <= self.sent, "{loaded} are there, {} were sent", self.sent);
        let (mut journal, cut) = opening.finish()?;
        journal.set_counted(self.counted);
        journal.set_room(self.wants_room);
        let is_replacement = journal.is_replacement();
        // What nobody was promised and is there all the same stays there from now on.
        (self.sent, self.begun) = (loaded, loaded);
        self.journal = Some(journal);
        if is_replacement {
            // Before that nothing more is promised.
            self.begin_rewrite();
            self.write_base();
            self.finish_rewrite();
            if self.journal.as_ref().is_some_and(Journal::is_replacement) {
                self.journal = None;
                let fault = Fault::new("rewrite", Path::new("/data"), &io::Error::other("a fault"));
                return Err(OpenError::Disk(fault));
            }
        }
        self.promised = loaded;
        Ok(cut)
    }

    fn append(&mut self, count: u64) {
        let Some(journal) = &mut self.journal else { return };
        let (mut groups, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..count {
            self.sent += 1;
            groups.extend(group(self.sent));
            ends.push(groups.len());
        }
        journal.append(groups, ends, self.sent - self.begun);
    }

    fn note_progress(&mut self) {
        if let Some(journal) = &self.journal {
            let progress = journal.progress();
            assert!(progress.durable_seq <= progress.written_seq);
            if self.counted == Counted::Synced {
                assert!(progress.durable_seq <= progress.synced_seq);
            }
            let durable =
                if self.ends_with_machine { progress.synced_seq } else { progress.durable_seq };
            let durable = self.begun + durable;
            assert!(durable <= self.sent);
            self.promised = self.promised.max(durable);
        }
    }

    /// Groups that are written.
    fn put(&mut self, count: u64) {
        self.append(count);
        self.write();
    }

    /// The same, and synced.
    fn keep(&mut self, count: u64) {
        self.put(count);
        self.sync();
        self.note_synced();
    }

    fn note_synced(&mut self) {
        self.journal.as_mut().into_iter().for_each(Journal::note_synced);
    }

    fn write(&mut self) -> bool {
        let is_well = self.journal.as_mut().is_some_and(Journal::write);
        self.note_progress();
        is_well
    }

    fn sync(&mut self) -> bool {
        let is_well = self.journal.as_mut().is_some_and(Journal::sync);
        self.note_progress();
        is_well
    }

    /// Groups count as durable from then on.
    fn count(&mut self, counted: Counted) {
        self.counted = counted;
        if let Some(journal) = &mut self.journal {
            journal.set_counted(counted);
        }
    }

    fn begin_rewrite(&mut self) {
        self.finished = None;
        let Some(journal) = &mut self.journal else { return };
        self.base = journal.begin_rewrite(2).ok();
        self.base_from = match journal.needs_rewrite() {
            true => self.sent,
            false => self.begun + journal.progress().written_seq,
        };
        self.note_progress();
    }

    /// Writes all of the base: the effects of everything sent so far.
    fn write_base(&mut self) {
        let Some(mut base) = self.base.take() else { return };
        let mut all = Vec::new();
        let (sent, from) = (self.sent.to_string(), self.base_from.to_string());
        push_command(&mut all, &[b"BASE", sent.as_bytes(), from.as_bytes()]);
        let ends = [all.len()];
        self.finished = base.write(&all, &ends).and_then(|()| base.finish()).ok();
    }

    fn finish_rewrite(&mut self) {
        if let (Some(journal), Some(base)) = (&mut self.journal, &self.finished)
            && journal.finish_rewrite(base).is_ok()
        {
            self.finished = None;
        }
    }

    fn end_process(&mut self, end: impl FnOnce(&SimulatedDisk)) {
        end(&self.disk);
        (self.journal, self.base, self.finished) = (None, None, None);
    }

    /// With a disk that is sound again everything becomes durable, soon.
    fn heal(&mut self) {
        self.disk.set_faults(Faults::default());
        // Each may meet what the last fault has left, and mends it.
        for _ in 0..2 {
            self.write();
            self.sync();
            if self.journal.as_ref().is_some_and(Journal::wants_rewrite) {
                self.begin_rewrite();
                self.write_base();
                self.finish_rewrite();
                self.note_progress();
            }
        }
        if let Some(journal) = &self.journal {
            assert_eq!(journal.fault(), None);
            assert_eq!(self.promised, self.sent);
            let progress = journal.progress();
            assert_eq!((progress.queued_bytes, progress.unsynced_bytes), (0, 0));
        }
    }
}

fn random_faults(rng: &mut fastrand::Rng, disk: &SimulatedDisk) -> Faults {
    let counts = disk.counts();
    let mut range = |from: u64| {
        let start = from + rng.u64(..8);
        start..start + rng.u64(1..4)
    };
    let (operations, appends, syncs) =
        (range(counts.operations), range(counts.appends), range(counts.syncs));
    let mut faults = Faults::default();
    match rng.u8(..7) {
        0 => faults.operations = operations,
        1 => faults.appends = appends,
        2 => faults.syncs = syncs,
        3 => faults.append_bytes_max = Some(rng.usize(1..100)),
        4 => faults.room_bytes = Some(rng.u64(..2000)),
        5 => faults.read_only = true,
        _ => {}
    }
    if rng.u8(..4) == 0 {
        faults.append_bytes_max = Some(rng.usize(1..100));
    }
    faults
}

#[test]
fn what_was_durable_is_there_after_any_faults_and_crashes() {
    let base_seed = 0x5eed;
    for seed in base_seed..base_seed + 400 {
        // Shown when the test fails.
        println!("seed {seed}");
        live_randomly(seed, &[Counted::Synced], true);
    }
}

#[test]
fn what_was_synced_is_there_whatever_counts_meanwhile() {
    let base_seed = 0xc0de;
    for seed in base_seed..base_seed + 400 {
        println!("seed {seed}");
        live_randomly(seed, &[Counted::Synced, Counted::Written], true);
    }
}

#[test]
fn what_was_written_is_there_after_any_faults_of_writing_and_kills() {
    let base_seed = 0xd15c;
    for seed in base_seed..base_seed + 200 {
        println!("seed {seed}");
        live_randomly(seed, &[Counted::Written], false);
    }
}

#[test]
fn what_was_synced_is_there_though_more_had_counted() {
    let base_seed = 0xfa11;
    for seed in base_seed..base_seed + 400 {
        println!("seed {seed}");
        live_randomly(seed, &[Counted::Written], true);
    }
}

/// A life with a disk that fails, and with a machine that stops or only a process that does.
/// What counts changes now and then, if there is a choice.
fn live_randomly(seed: u64, choice: &[Counted], ends_with_machine: bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut life =
        Life { counted: choice[0], ends_with_machine, wants_room: rng.bool(), ..Life::new() };
    let crash = |disk: &SimulatedDisk, seed: u64| match ends_with_machine {
        true => disk.crash(seed),
        false => disk.kill(),
    };
    for _ in 0..rng.usize(20..200) {
        if life.journal.is_none() && life.open().is_err() {
            // Only the disk may keep it from opening, never what is in the files.
            // If its own sync fails, what the cache shows of the last process's groups
            // may not be on the disk, and where that cannot be noted nobody can tell.
            match life.disk.read(Path::new(NOTE)).is_some() && rng.bool() {
                true => life.disk.kill(),
                false => crash(&life.disk, rng.u64(..)),
            }
            life.open().expect("the journal is whole");
        }
        if choice.len() > 1 && rng.u8(..8) == 0 {
            life.count(choice[rng.usize(..choice.len())]);
        }
        match rng.u8(..32) {
            0..8 => life.append(rng.u64(1..6)),
            8..16 => _ = life.write(),
            16..21 => _ = life.sync(),
            21 if rng.bool() => life.note_synced(),
            21 => {
                life.wants_room = rng.bool();
                let wants_room = life.wants_room;
                life.journal.as_mut().into_iter().for_each(|journal| journal.set_room(wants_room));
            }
            22 => life.begin_rewrite(),
            23 => life.write_base(),
            24 => life.finish_rewrite(),
            25 if rng.bool() => {
                life.journal.as_mut().into_iter().for_each(Journal::abandon_rewrite);
                (life.base, life.finished) = (None, None);
            }
            25..29 => {
                let faults = random_faults(&mut rng, &life.disk);
                life.disk.set_faults(faults);
            }
            29 => life.heal(),
            30 => life.end_process(|disk| crash(disk, rng.u64(..))),
            // A process that ends after a failed sync and without having cut the file
            // leaves groups that can be read and are not on the disk. The next one
            // cannot know; only when the machine ends with it are they gone.
            _ if life.journal.as_ref().is_some_and(|journal| {
                let is_cut = || journal.file.len().is_ok_and(|len| len <= journal.synced);
                (journal.is_lost && !is_cut()) || (journal.wants_rewrite() && !journal.has_note)
            }) =>
            {
                life.end_process(|disk| crash(disk, rng.u64(..)));
            }
            _ => life.end_process(SimulatedDisk::kill),
        }
    }
    if life.journal.is_some() {
        life.heal();
    }
    life.end_process(|disk| crash(disk, seed));
    life.open().expect("the journal is whole");
    life.heal();
    assert_nothing_is_left(&mut life);
}

/// After one more rewrite there is what is listed, and what was torn.
fn assert_nothing_is_left(life: &mut Life) {
    life.begin_rewrite();
    life.write_base();
    life.finish_rewrite();
    let journal = life.journal.as_ref().expect("it is open");
    let listed = |name: &String| journal.manifest().files.iter().any(|file| file.name == *name);
    let mut names = life.disk.list(Path::new("/data/aof")).expect("it is there");
    // One whose header has not come to the disk may be anybody's.
    let read = |name: &String| life.disk.read(&Path::new("/data/aof").join(name));
    let is_strange = |name: &String| read(name).is_some_and(|bytes| bytes.starts_with(&[0]));
    names.retain(|name| !listed(name) && !name.contains(".torn-") && !is_strange(name));
    assert_eq!(names, ["a.aof.manifest", "tollgate.lock"]);
    assert_eq!(journal.manifest().files.len(), 2);
}

/// Everything that a journal does, once.
fn script(life: &mut Life) {
    life.keep(3);
    life.put(2);
    life.begin_rewrite();
    life.put(2);
    life.write_base();
    life.keep(1);
    life.finish_rewrite();
    life.keep(2);
    life.begin_rewrite();
    life.write_base();
    life.finish_rewrite();
    life.keep(1);
}

#[test]
fn any_operation_may_fail_or_be_the_last() {
    let mut sound = Life::new();
    sound.open().expect("the disk is sound");
    script(&mut sound);
    assert_eq!(sound.promised, sound.sent);
    let operations = sound.disk.counts().operations;
    assert!(operations > 60, "{operations}");
    for first in 0..operations {
        for count in [1, 2, 5, u64::MAX / 2] {
            for end in 0..3 {
                println!("{count} operations fail from number {first} on, end {end}");
                let mut life = Life::new();
                life.disk
                    .set_faults(Faults { operations: first..first + count, ..Faults::default() });
                if life.open().is_ok() {
                    script(&mut life);
                }
                match end {
                    0 => life.heal(),
                    1 => {}
                    _ => life.end_process(SimulatedDisk::kill),
                }
                let seed = first * 31 + count;
                life.end_process(|disk| disk.crash(seed));
                life.open().expect("the journal is whole");
                // And it goes on from there.
                script(&mut life);
                assert_eq!(life.promised, life.sent);
                life.end_process(|disk| disk.crash(seed));
                life.open().expect("the journal is whole");
            }
        }
    }
}

#[test]
fn a_file_that_may_be_listed_does_not_hide_a_torn_one() {
    let mut cut = 0;
    for seed in 0..60 {
        println!("seed {seed}");
        let mut life = Life::begun();
        life.keep(3);
        // The new file, its name and the manifest are synced; the manifest's name is not.
        let last = life.disk.counts().syncs + 3;
        life.disk.set_faults(Faults { syncs: last..last + 1, ..Faults::default() });
        life.begin_rewrite();
        assert!(!life.journal.as_ref().is_some_and(Journal::is_rewriting));
        life.append(5);
        assert!(life.write());
        life.end_process(|disk| disk.crash(seed));
        cut += usize::from(life.open().expect("the journal is whole").is_some());
    }
    assert!(cut > 10, "{cut}");
}

#[test]
fn groups_that_count_when_written_survive_the_process() {
    let mut life = Life { counted: Counted::Written, ..Life::new() };
    life.open().expect("the disk is sound");
    life.append(5);
    assert!(life.write());
    assert_eq!(life.promised, 5);
    assert_eq!(life.journal.as_ref().expect("it is open").progress().unsynced_bytes, 0);
    life.end_process(SimulatedDisk::kill);
    life.open().expect("the journal is whole");
    assert_eq!(life.sent, 5);
}

#[test]
fn a_removed_file_is_noticed() {
    let mut life = Life::begun();
    life.keep(1);
    let path = Path::new("/data/aof/a.aof.1.incr.aof");
    life.disk.remove(path).expect("it is there");
    life.put(1);
    assert!(!life.sync());
    assert!(!life.write());
    let fault = life.journal.as_ref().and_then(Journal::fault).expect("there is one");
    assert_eq!(fault.path, path);
    assert_eq!(life.promised, 1);
}

#[test]
fn a_full_disk_loses_nothing_and_says_why() {
    let mut life = Life::begun();
    life.keep(2);
    life.disk.set_faults(Faults { room_bytes: Some(300), ..Faults::default() });
    life.append(20);
    assert!(!life.write());
    assert!(!life.sync());
    let fault = life.journal.as_ref().and_then(Journal::fault).expect("there is one");
    let text = "cannot write /data/aof/a.aof.1.incr.aof: No space left on device (os error 28)";
    assert_eq!(fault.to_string(), text);
    assert!(life.promised > 2 && life.promised < 22, "{}", life.promised);
    life.heal();
    life.end_process(|disk| disk.crash(1));
    life.open().expect("it is whole");
    assert_eq!(life.sent, 22);
}

#[test]
fn a_group_larger_than_a_write_goes_through() {
    let mut life = Life::begun();
    let mut large = Vec::new();
    push_command(&mut large, &[b"SET", b"k", &vec![b'v'; 3 * WRITTEN_BYTES_MAX]]);
    let mut small = Vec::new();
    push_command(&mut small, &[b"DEL", b"k"]);
    let groups = [&small[..], &large, &small].concat();
    let ends = vec![small.len(), small.len() + large.len(), groups.len()];
    let journal = life.journal.as_mut().expect("it is open");
    journal.append(groups, ends, 3);
    assert!(journal.write() && journal.sync());
    life.end_process(SimulatedDisk::kill);
    let mut opening = Opening::new(life.disk.clone(), location(), 1).expect("it is whole");
    for expected in [&small, &large, &small] {
        let found = opening.next_group().expect("it is whole").expect("there is a group");
        assert!(found.commands == expected.as_slice());
    }
    assert!(opening.next_group().expect("it is whole").is_none());
    assert_eq!(opening.loaded_bytes(), opening.total_bytes());
}

#[test]
fn half_a_note_is_cut_before_another_file_follows() {
    let mut life = Life::begun();
    life.put(2);
    // The sync and a piece of the note succeed; the rest of it and its removal do not.
    let next = life.disk.counts().operations;
    let operations = next + 2..next + 4;
    life.disk.set_faults(Faults { operations, append_bytes_max: Some(10), ..Faults::default() });
    assert!(life.sync(), "what it is about is durable");
    life.disk.set_faults(Faults::default());
    life.begin_rewrite();
    life.keep(2);
    life.end_process(SimulatedDisk::kill);
    assert_eq!(life.open(), Ok(None));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "an empty group")]
fn a_group_without_a_byte_is_refused() {
    let mut life = Life::begun();
    let journal = life.journal.as_mut().expect("it is open");
    let len = group(1).len();
    journal.append(group(1), vec![len, len], 2);
}
