//! Keeping what the engine has: the journal, snapshots, and loading them at the start.
//!
//! All writing is done by threads: one for the journal, and one for a snapshot while
//! there is one. The loop hands them groups and is told how far they are.

mod copier;
mod loading;
mod mail;
mod writer;

use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::Waker;

use super::{Role, clock};
use crate::clock::Now;
use crate::config::{Config, FsyncPolicy};
use crate::engine::{Engine, JournalProgress, SnapshotKind};
use crate::persist::{
    self, Disk, FileKind, Header, Location, OpenError, Opening, Snapshot, SnapshotWriter,
    SystemDisk,
};
use copier::Copier;
use loading::Loading;
use mail::{Mail, Mailbox, Reached};
use writer::{Source, Writer};

/// Unless every reply waits for the disk, groups are handed to the writer's thread when
/// there are so many bytes of them, or after so long: waking a thread in each turn would
/// cost a tenth of it, and few large writes cost less than many. If the process is killed,
/// that much more is lost at most.
const HANDED_BYTES_MIN: usize = 256 << 10;
const HANDED_EVERY: Duration = Duration::from_millis(5);

/// How many bytes of a snapshot are synced at once.
const SNAPSHOT_SYNC_BYTES: u64 = 4 << 20;

/// Why nothing is changed although the disk works again.
const UNPROVEN: &str = "the first sync has failed; the journal has to be rewritten";

/// Why nothing is changed although there is a journal.
const UNFOUNDED: &str = "the journal has to be rewritten first, and that has failed";

/// While clients are served, a walk takes at most one part in so many of the time.
const WALK_SHARE: u32 = 4;

type AwaitRemoval = Box<dyn FnOnce() + Send>;

/// Why a server cannot keep its data, or has not got it. `Display` is one line for its
/// user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepError(String);

impl fmt::Display for KeepError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for KeepError {}

impl From<OpenError> for KeepError {
    fn from(error: OpenError) -> KeepError {
        KeepError(error.to_string())
    }
}

/// What a server begins with: files that could be opened.
pub(super) struct Files<D: Disk = SystemDisk> {
    disk: D,
    location: Location,
    journal: Option<Opening<D>>,
    /// What to load besides.
    load: Option<PathBuf>,
}

impl<D: Disk> Files<D> {
    /// Locks the journal and finds its files, if there is to be one.
    pub(super) fn open(disk: D, config: &Config, role: Role) -> Result<Files<D>, KeepError> {
        // The program has changed to the directory already. Messages name all of it.
        let dir = match role {
            Role::Program { .. } => std::env::current_dir(),
            Role::Embedded => std::path::absolute(&config.dir),
        };
        let dir = dir.map_err(|error| {
            KeepError(format!("option 'dir': no way to '{}': {error}", config.dir))
        })?;
        let load = (!config.load.is_empty()).then(|| dir.join(&config.load));
        if let Some(path) = &load {
            disk.open(path, false).map_err(|error| {
                KeepError(format!("option 'load': can't open '{}': {error}", path.display()))
            })?;
            if path.is_dir() {
                return Err(KeepError(format!(
                    "option 'load': '{}' is a directory (allowed: a snapshot or one file of a \
                     journal; a whole journal is loaded by 'appendonly', from 'appenddirname' \
                     in 'dir')",
                    path.display()
                )));
            }
        }
        let location = Location {
            dir,
            dir_name: config.appenddirname.clone(),
            file_name: config.appendfilename.clone(),
        };
        let journal = match config.appendonly {
            true => {
                let unix_ms = clock::read_both().unix_ms();
                Some(Opening::new(disk.clone(), location.clone(), unix_ms)?)
            }
            false => None,
        };
        Ok(Files { disk, location, journal, load })
    }
}

/// The loop's side of all that.
pub(super) struct Keeper<D: Disk = SystemDisk> {
    disk: D,
    location: Location,
    mailbox: Arc<Mailbox<D>>,
    loading: Option<Loading<D>>,
    writer: Option<Writer>,
    /// The one that was kept until CONFIG SET appendonly no, while it ends. Replies that
    /// wait are true after that.
    ending_writer: Option<Writer>,
    reached: Reached,
    /// The journal's thread is opening its files.
    is_opening: bool,
    copier: Option<Copier>,
    /// How many of them there have been.
    copiers: u64,
    /// Those whose snapshot was given up and whose threads have not ended. They may
    /// still write to the file of that name, and remove it at their end.
    ending: Vec<u64>,
    /// Waits until what a process has left of a snapshot is removed: its lock is somebody's
    /// as long.
    await_removal: Option<AwaitRemoval>,
    /// The walk has ended, and its file has not.
    is_walked: bool,
    /// No slice of the walk before then, while clients are served.
    walk_at: Duration,
    /// When the writer was last handed something.
    handed_at: Duration,
    /// The last group that a sync has been asked for because somebody waits for it.
    asked_seq: u64,
    /// Loading ends when the journal has what was loaded.
    loads_until_rewritten: bool,
    /// The journal is none before its first rewrite has ended.
    is_unfounded: bool,
    /// Why nothing is changed before that: it was to end before anybody is served, and has
    /// failed.
    unfounded_fault: Option<String>,
    /// Loading ends when the first group has been synced, whatever the policy: it says which
    /// fencing tokens may be given, and before that is sure none must be.
    loads_until_durable: bool,
}

impl<D: Disk> Keeper<D> {
    /// Begins to load what there is, if there is anything.
    pub(super) fn new(
        files: Files<D>,
        waker: Arc<Waker>,
        engine: &mut Engine,
        now: Now,
    ) -> Keeper<D> {
        let Files { disk, location, journal, load } = files;
        let await_removal = remove_left(&disk, &location.dir.join(&engine.config().dbfilename));
        let loading = Loading::begin(disk.clone(), journal, load, engine, now);
        Keeper {
            disk,
            location,
            mailbox: Arc::new(Mailbox::new(waker)),
            loading,
            writer: None,
            ending_writer: None,
            reached: Reached::default(),
            is_opening: false,
            copier: None,
            copiers: 0,
            ending: Vec::new(),
            await_removal,
            is_walked: false,
            walk_at: Duration::ZERO,
            handed_at: Duration::ZERO,
            asked_seq: 0,
            loads_until_rewritten: false,
            is_unfounded: false,
            unfounded_fault: None,
            loads_until_durable: false,
        }
    }

    /// The part of a turn between its requests and its replies. `is_idle`: it had no
    /// requests. Returns whether there was anything to do.
    ///
    /// # Errors
    /// What was to be loaded cannot be: the server must not go on without it.
    #[inline]
    pub(super) fn turn(
        &mut self,
        engine: &mut Engine,
        now: Now,
        is_idle: bool,
    ) -> Result<bool, KeepError> {
        let mail = self.mailbox.take();
        let mut has_worked = mail.is_some();
        if let Some(mail) = mail {
            self.take_mail(mail, engine, now)?;
        }
        if self.loading.is_some() {
            self.load(engine)?;
            return Ok(true);
        }
        if self.writer.is_some() != engine.config().appendonly
            && !self.loads_until_rewritten
            && self.ending_writer.is_none()
        {
            self.follow_option(engine, now);
        }
        // It may have been kept all along, if somebody has changed his mind at once.
        if engine.awaits_journal() && self.writer.is_some() && !self.is_opening {
            engine.journal_begun();
        }
        if let Some(writer) = &mut self.writer {
            writer.follow_policy(engine.config().appendfsync);
        }
        if engine.config().appendfsync == FsyncPolicy::No {
            self.sync_if_awaited(engine);
        }
        if let Some(kind) = engine.take_snapshot_request() {
            self.begin_snapshot(kind, engine, now);
        }
        let bytes = engine.seal_groups();
        if bytes > 0 {
            self.hand_over_if_due(bytes, engine, now);
            has_worked = true;
        }
        if self.copier.is_some() {
            self.walk(engine, is_idle);
            has_worked = true;
        }
        Ok(has_worked)
    }

    /// How long the loop may sleep; `None`: as long as it likes.
    pub(super) fn timeout(&self, engine: &Engine, ended_at: Duration) -> Option<Duration> {
        if self.loading.is_some() || self.has_to_walk(engine) {
            return Some(Duration::ZERO);
        }
        let has_groups = self.writer.is_some() && engine.has_groups();
        has_groups.then(|| (self.handed_at + HANDED_EVERY).saturating_sub(ended_at))
    }

    /// Ends everything: the journal is whole and durable after this.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn finish(mut self, engine: &mut Engine) -> Result<(), KeepError> {
        let is_unfounded = self.is_unfounded;
        if let Some(writer) = self.ending_writer.take() {
            return writer.finish().map_err(KeepError);
        }
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let groups = engine.take_groups();
        if !groups.is_empty() {
            writer.write(groups);
        }
        writer.finish().map_err(KeepError)?;
        // That may have been the last that it has done.
        let mail = self.mailbox.take();
        let is_founded = mail.is_some_and(|mail| matches!(mail.rewrite_finished, Some(Ok(()))));
        if is_unfounded && !is_founded {
            let why = "the journal is not complete: its first rewrite had not ended";
            return Err(KeepError(why.to_owned()));
        }
        Ok(())
    }

    // Loading

    fn load(&mut self, engine: &mut Engine) -> Result<(), KeepError> {
        let Some(loading) = &mut self.loading else { return Ok(()) };
        if !loading.step(engine)? {
            return Ok(());
        }
        let Some(loading) = self.loading.take() else { return Ok(()) };
        let end = loading.end(engine)?;
        if let Some(source) = end.journal {
            self.start_writer(source, engine)?;
            engine.start_journal();
            if end.is_foreign {
                // What has been loaded is not in the journal yet.
                self.is_unfounded = true;
                self.note_progress(engine);
                self.loads_until_rewritten = true;
                return Ok(());
            }
            self.hand_over(engine);
            if let Some(writer) = &self.writer {
                writer.sync();
                self.loads_until_durable = true;
                return Ok(());
            }
        }
        engine.end_replay(clock::read_both());
        Ok(())
    }

    // The journal

    fn start_writer(&mut self, source: Source<D>, engine: &mut Engine) -> Result<(), KeepError> {
        self.mailbox.forget_writer();
        let policy = engine.config().appendfsync;
        let (seq, mailbox) = (engine.sealed_seq(), self.mailbox.clone());
        let writer = Writer::start(source, policy, writer::REST, seq, mailbox);
        let writer =
            writer.map_err(|error| KeepError(format!("no thread for the journal: {error}")))?;
        self.writer = Some(writer);
        self.reached = Reached::default();
        Ok(())
    }

    /// CONFIG SET appendonly.
    #[cold]
    fn follow_option(&mut self, engine: &mut Engine, now: Now) {
        if let Some(mut writer) = self.writer.take() {
            writer.write(engine.take_groups());
            writer.end();
            self.is_opening = false;
            self.ending_writer = Some(writer);
            self.end_rewrite("no journal is kept any more", engine);
            return;
        }
        // What its files hold is of another time. They are opened by the thread, for a
        // disk may take its time.
        match self.start_writer(
            Source::Begun(self.disk.clone(), self.location.clone(), now.unix_ms()),
            engine,
        ) {
            Ok(()) => {
                engine.start_journal();
                self.is_opening = true;
                self.is_unfounded = true;
                self.note_progress(engine);
            }
            Err(why) => {
                log::error!("no journal can be kept: {why}");
                engine.refuse_journal(&why.0);
            }
        }
    }

    #[inline]
    fn hand_over_if_due(&mut self, bytes: usize, engine: &mut Engine, now: Now) {
        let Some(writer) = &mut self.writer else {
            // They were for a snapshot.
            engine.take_groups();
            return;
        };
        let is_due = engine.config().appendfsync == FsyncPolicy::Always
            || bytes >= HANDED_BYTES_MIN
            || now.monotonic.saturating_sub(self.handed_at) >= HANDED_EVERY;
        if is_due {
            self.handed_at = now.monotonic;
            writer.write(engine.take_groups());
            self.note_progress(engine);
        }
    }

    /// Somebody may wait for a sync when there is none otherwise.
    fn sync_if_awaited(&mut self, engine: &mut Engine) {
        let Some(seq) = engine.awaited_seq().filter(|&seq| seq > self.asked_seq) else { return };
        if self.writer.is_none() || self.is_unfounded {
            return;
        }
        self.asked_seq = seq;
        self.hand_over(engine);
        if let Some(writer) = &self.writer {
            writer.sync();
        }
    }

    fn hand_over(&mut self, engine: &mut Engine) {
        engine.seal_groups();
        if let Some(writer) = &mut self.writer
            && engine.has_groups()
        {
            writer.write(engine.take_groups());
        }
    }

    fn note_progress(&mut self, engine: &mut Engine) {
        let Some(writer) = &self.writer else { return };
        let reached = &self.reached;
        let founded = |seq| writer.seq_of(if self.is_unfounded { 0 } else { seq });
        // No token is given before the first group has been synced, and no sync that
        // succeeds now says so.
        let is_unproven = reached.wants_rewrite && reached.synced_seq == 0 && !self.is_unfounded;
        let unproven = is_unproven.then(|| UNPROVEN.to_owned());
        engine.note_journal(JournalProgress {
            written_seq: writer.seq_of(reached.written_seq),
            durable_seq: founded(reached.durable_seq),
            synced_seq: founded(reached.synced_seq),
            fault: reached.fault.clone().or(unproven).or_else(|| self.unfounded_fault.clone()),
            unsynced_bytes: writer.unsynced_bytes(reached),
            current_bytes: reached.current_bytes,
            base_bytes: reached.base_bytes,
            delayed_syncs: reached.delayed_syncs,
            is_unfounded: self.is_unfounded,
            wants_rewrite: reached.wants_rewrite,
        });
    }

    #[cold]
    fn take_mail(&mut self, mail: Mail<D>, engine: &mut Engine, now: Now) -> Result<(), KeepError> {
        if mail.has_panicked {
            let why = "a thread that writes files has panicked: nothing more can be kept";
            return Err(KeepError(why.to_owned()));
        }
        self.reached = mail.reached;
        self.note_progress(engine);
        let Reached { synced_seq, fault, wants_rewrite, .. } = &self.reached;
        // While the disk fails nothing is changed, so no token is given either. Nor is one
        // before a rewrite that has to make up for the first sync.
        let is_sure = *synced_seq > 0 || fault.is_some() || *wants_rewrite;
        if self.loads_until_durable && is_sure {
            self.loads_until_durable = false;
            engine.end_replay(now);
        }
        if mail.is_begun && self.writer.is_some() {
            log::info!("a journal is kept from now on");
            self.is_opening = false;
        }
        if let Some(why) = mail.failed {
            self.is_opening = false;
            log::error!("no journal can be kept: {why}");
            if let Some(writer) = self.writer.take() {
                // It says the same once more.
                let _ = writer.finish();
            }
            // Before its rewrite is given up, for what has been loaded would be served then.
            if self.loads_until_rewritten || self.loads_until_durable {
                return Err(KeepError(why));
            }
            self.end_rewrite(&why, engine);
            (self.is_unfounded, self.unfounded_fault) = (false, None);
            engine.stop_journal();
            engine.refuse_journal(&why);
        }
        if let Some(result) = mail.ended.filter(|_| self.ending_writer.is_some()) {
            self.end_journal(result, engine);
        }
        // The journal it was for may have been given up meanwhile, and its rewrite with it.
        let is_rewriting = self.writer.is_some() && engine.has_begun_rewrite();
        match mail.rewrite_begun.filter(|_| is_rewriting) {
            Some(Ok(file)) => {
                self.begin_walk(SnapshotKind::Rewrite, move || Ok(file), engine);
            }
            Some(Err(why)) => self.fail_snapshot(SnapshotKind::Rewrite, &why, engine),
            None => {}
        }
        for (number, copied) in mail.snapshots {
            self.ending.retain(|&ending| ending != number);
            if let Some(result) = copied {
                self.take_snapshot(number, result, engine);
            }
        }
        match mail.rewrite_finished.filter(|_| is_rewriting) {
            Some(Ok(())) => {
                log::info!("rewrote the journal: {} bytes", self.reached.current_bytes);
                engine.note_snapshot(SnapshotKind::Rewrite, true);
                if mem::take(&mut self.is_unfounded) {
                    self.unfounded_fault = None;
                    self.note_progress(engine);
                }
                if self.loads_until_rewritten {
                    self.loads_until_rewritten = false;
                    engine.end_replay(now);
                }
            }
            Some(Err(why)) => self.fail_snapshot(SnapshotKind::Rewrite, &why, engine),
            None => {}
        }
        Ok(())
    }

    /// The thread has ended that was told to.
    fn end_journal(&mut self, result: Result<(), String>, engine: &mut Engine) {
        // It is told here what it has said already.
        drop(self.ending_writer.take().map(Writer::finish));
        if let Err(why) = result {
            log::error!("{why}");
        }
        (self.is_unfounded, self.unfounded_fault) = (false, None);
        engine.stop_journal();
        log::info!("no journal is kept any more");
    }

    // Snapshots

    fn take_snapshot(
        &mut self,
        number: u64,
        result: Result<Snapshot, String>,
        engine: &mut Engine,
    ) {
        let Some(copier) = self.copier.take_if(|copier| copier.number() == number) else {
            // Nobody waits for it any more. A base of its number will never be listed.
            if let Ok(Snapshot { header: Header { kind: FileKind::Base, .. }, path, .. }) = result {
                // That takes as long as it is large.
                let disk = self.disk.clone();
                let remove = move || drop(disk.remove(&path));
                if let Err(error) = thread::Builder::new().spawn(remove) {
                    log::warn!("a base that is not needed stays: no thread for it: {error}");
                }
            }
            return;
        };
        match (copier.kind(), result) {
            (SnapshotKind::Rewrite, Ok(base)) => {
                if let Some(writer) = &self.writer {
                    writer.finish_rewrite(base);
                }
            }
            (SnapshotKind::Save, Ok(file)) => {
                log::info!("wrote {} ({} bytes)", file.path.display(), file.bytes);
                engine.note_snapshot(SnapshotKind::Save, true);
            }
            (kind, Err(why)) => self.fail_snapshot(kind, &why, engine),
        }
    }

    #[cold]
    fn begin_snapshot(&mut self, kind: SnapshotKind, engine: &mut Engine, now: Now) {
        match kind {
            SnapshotKind::Rewrite => {
                // What has changed before belongs to the files before.
                self.hand_over(engine);
                match &self.writer {
                    Some(writer) => writer.begin_rewrite(now.unix_ms()),
                    None => engine.note_snapshot(kind, false),
                }
            }
            SnapshotKind::Save => {
                if !self.ending.is_empty() {
                    let why = "the disk is still busy with the one that was given up";
                    self.fail_snapshot(kind, why, engine);
                    return;
                }
                let path = self.location.dir.join(&engine.config().dbfilename);
                let (disk, await_removal) = (self.disk.clone(), self.await_removal.take());
                let open = move || {
                    // Its thread is ours too, and is no other server that writes the file.
                    await_removal.into_iter().for_each(|wait| wait());
                    create_snapshot(disk, &path, now)
                };
                self.begin_walk(kind, open, engine);
            }
        }
    }

    fn begin_walk(
        &mut self,
        kind: SnapshotKind,
        open: impl FnOnce() -> Result<SnapshotWriter<D>, String> + Send + 'static,
        engine: &mut Engine,
    ) {
        self.copiers += 1;
        match Copier::start(kind, self.copiers, open, self.mailbox.clone()) {
            Ok(copier) => {
                self.copier = Some(copier);
                self.is_walked = false;
                self.hand_over(engine);
                engine.begin_snapshot(kind);
            }
            Err(error) => self.fail_snapshot(kind, &format!("no thread for it: {error}"), engine),
        }
    }

    fn fail_snapshot(&mut self, kind: SnapshotKind, why: &str, engine: &mut Engine) {
        match kind {
            SnapshotKind::Rewrite => log::error!("the journal was not rewritten: {why}"),
            SnapshotKind::Save => log::error!("the snapshot was not written: {why}"),
        }
        let copier = self.copier.take_if(|copier| copier.kind() == kind);
        if let Some(copier) = copier.filter(|_| kind == SnapshotKind::Save) {
            self.ending.push(copier.number());
        }
        if kind == SnapshotKind::Rewrite
            && let Some(writer) = &self.writer
        {
            writer.abandon_rewrite();
        }
        engine.note_snapshot(kind, false);
        if kind == SnapshotKind::Rewrite && mem::take(&mut self.loads_until_rewritten) {
            // Nobody would be served before the disk works: what has been loaded can be
            // read meanwhile, as it can while another fault stands.
            self.unfounded_fault = Some(format!("{UNFOUNDED}: {why}"));
            self.note_progress(engine);
            engine.end_replay(clock::read_both());
        }
    }

    /// There will be no rewrite, begun or only asked for.
    fn end_rewrite(&mut self, why: &str, engine: &mut Engine) {
        engine.forget_rewrite_request();
        if engine.has_begun_rewrite() {
            self.fail_snapshot(SnapshotKind::Rewrite, why, engine);
        }
    }

    fn has_to_walk(&self, engine: &Engine) -> bool {
        engine.is_walking() && self.copier.as_ref().is_some_and(|copier| !copier.is_full())
    }

    fn walk(&mut self, engine: &mut Engine, is_idle: bool) {
        let Some(copier) = &mut self.copier else { return };
        if !copier.has_room() {
            // What changes is kept for it meanwhile, but not without end.
            if engine.walk_backlog_bytes() >= engine.config().append_queue_max {
                let why = "more has changed than could be written";
                self.fail_snapshot(SnapshotKind::Save, why, engine);
            }
            return;
        }
        let begun = clock::monotonic();
        if self.is_walked || (!is_idle && begun < self.walk_at) {
            return;
        }
        let Some((groups, is_over)) = engine.walk() else { return };
        copier.write(groups);
        if is_over {
            copier.finish();
            self.is_walked = true;
            // The new base shows what has changed by now, so the journal has to have all
            // of it before the base counts.
            self.hand_over(engine);
        }
        let ended = clock::monotonic();
        self.walk_at = ended + ended.saturating_sub(begun) * (WALK_SHARE - 1);
    }
}

fn create_snapshot<D: Disk>(disk: D, path: &Path, now: Now) -> Result<SnapshotWriter<D>, String> {
    let Some(temp) = temp_of(path) else {
        return Err(format!("'{}' is no name of a file", path.display()));
    };
    let created_unix_ms = now.unix_ms();
    let header = Header { kind: FileKind::Snapshot, sequence: 1, created_unix_ms };
    SnapshotWriter::create_alone(disk, temp, path.into(), header, SNAPSHOT_SYNC_BYTES)
        .map_err(|fault| fault.to_string())
}

/// What a snapshot is called until it is finished.
fn temp_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    Some(path.with_file_name(format!("temp-{name}")))
}

/// Removes the half of a snapshot that a process has left which was killed. That takes as
/// long as it is large, so nobody waits for it.
fn remove_left<D: Disk>(disk: &D, path: &Path) -> Option<AwaitRemoval> {
    let temp = temp_of(path).filter(|temp| disk.open(temp, false).is_ok())?;
    let disk = disk.clone();
    let remove = move || {
        if persist::remove_left(&disk, &temp) {
            log::info!("removed {}, which was not finished", temp.display());
        }
    };
    match thread::Builder::new().name("tollgate-close".to_owned()).spawn(remove) {
        Ok(remover) => Some(Box::new(move || drop(remover.join()))),
        Err(error) => {
            log::warn!("half of a snapshot stays: no thread to remove it: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests;
