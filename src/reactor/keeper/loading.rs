//! Loading at the start, a slice a turn, so that clients are answered meanwhile that
//! data is being loaded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::KeepError;
use super::writer::Source;
use crate::clock::Now;
use crate::engine::Engine;
use crate::persist::{Disk, DiskFile, End, Opening, Origin, PIECE_BYTES, Scanned, Scanner};
use crate::reactor::clock;

/// How long clients wait while a slice is loaded.
const SLICE_TIME: Duration = Duration::from_millis(5);

/// So many groups are replayed between two looks at the clock.
const GROUPS_PER_LOOK: usize = 16;

/// How often it is logged how far loading is.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What is being loaded.
pub(super) struct Loading<D: Disk> {
    disk: D,
    journal: Option<Opening<D>>,
    is_journal_read: bool,
    /// A file besides, and its reader once it is its turn.
    load: Option<PathBuf>,
    scanner: Option<Scanner<D::File>>,
    began_at: Duration,
    logged_at: Duration,
    total_bytes: u64,
}

/// What loading ends with.
pub(super) struct Loaded<D: Disk> {
    /// The journal, to be written on.
    pub(super) journal: Option<Source<D>>,
    /// There is data that did not come from the journal, or may not be in it for long.
    pub(super) is_foreign: bool,
}

impl<D: Disk> Loading<D> {
    /// `None` if there is nothing to be loaded.
    pub(super) fn begin(
        disk: D,
        journal: Option<Opening<D>>,
        load: Option<PathBuf>,
        engine: &mut Engine,
        now: Now,
    ) -> Option<Loading<D>> {
        if journal.is_none() && load.is_none() {
            return None;
        }
        engine.begin_replay(now);
        let load_file = load.as_ref().and_then(|path| disk.open(path, false).ok());
        let load_bytes = load_file.and_then(|file| file.len().ok()).unwrap_or(0);
        let total_bytes = load_bytes + journal.as_ref().map_or(0, Opening::total_bytes);
        engine.note_load(0, total_bytes, 0);
        Some(Loading {
            disk,
            journal,
            is_journal_read: false,
            load,
            scanner: None,
            began_at: now.monotonic,
            logged_at: now.monotonic,
            total_bytes,
        })
    }

    /// Loads a slice; true when that was the last one.
    pub(super) fn step(&mut self, engine: &mut Engine) -> Result<bool, KeepError> {
        let until = clock::monotonic() + SLICE_TIME;
        loop {
            for _ in 0..GROUPS_PER_LOOK {
                if !self.load_group(engine)? {
                    return Ok(true);
                }
            }
            let now = clock::monotonic();
            if now >= until {
                self.report(engine, now);
                return Ok(false);
            }
        }
    }

    fn report(&mut self, engine: &mut Engine, now: Duration) {
        let loaded_bytes = self.loaded_bytes();
        let elapsed_ms = now.saturating_sub(self.began_at).as_millis() as u64;
        engine.note_load(loaded_bytes, self.total_bytes, elapsed_ms);
        if now.saturating_sub(self.logged_at) >= LOG_EVERY {
            self.logged_at = now;
            let share = loaded_bytes * 100 / self.total_bytes.max(1);
            log::info!("loading: {share} % of {} bytes", self.total_bytes);
        }
    }

    fn loaded_bytes(&self) -> u64 {
        let journal = self.journal.as_ref().map_or(0, Opening::loaded_bytes);
        journal + self.scanner.as_ref().map_or(0, Scanner::position)
    }

    /// Replays one group; false when there is none left.
    fn load_group(&mut self, engine: &mut Engine) -> Result<bool, KeepError> {
        if let Some(opening) = self.journal.as_mut().filter(|_| !self.is_journal_read) {
            if let Some(group) = opening.next_group()? {
                let (offset, commands) = (group.offset, group.commands);
                let replayed = match group.is_sealed {
                    true => engine.replay(commands),
                    false => engine.replay_on(commands),
                };
                return match replayed {
                    Ok(_) => Ok(true),
                    Err(error) => Err(refused(opening.path(), offset, &error)),
                };
            }
            self.is_journal_read = true;
            if let Some(torn) = opening.torn().filter(|_| !engine.config().aof_load_truncated) {
                return Err(torn.into());
            }
        }
        let Some(path) = &self.load else { return Ok(false) };
        if self.scanner.is_none() {
            self.scanner = Some(open_file(&self.disk, path, engine)?);
        }
        let Some(scanner) = &mut self.scanner else { return Ok(false) };
        let is_sealed = matches!(scanner.origin(), Origin::Journal(_));
        let scanned = scanner
            .scan()
            .map_err(|error| KeepError(format!("cannot read {}: {error}", path.display())))?;
        match scanned {
            Scanned::Group(group) => {
                let replayed = match is_sealed {
                    true => engine.replay(group.commands),
                    false => engine.replay_on(group.commands),
                };
                replayed.map_err(|error| refused(path, group.offset, &error))?;
                Ok(true)
            }
            Scanned::End(End::Whole) => Ok(false),
            Scanned::End(End::Torn { at, reason })
            | Scanned::End(End::Damaged { at, reason, .. }) => Err(KeepError(format!(
                "{} is damaged at offset {at}: {reason} (tollgate check {} shows more)",
                path.display(),
                path.display()
            ))),
        }
    }

    /// Makes the journal ready to be written on.
    pub(super) fn end(self, engine: &mut Engine) -> Result<Loaded<D>, KeepError> {
        let now = clock::monotonic();
        let ms = now.saturating_sub(self.began_at).as_millis();
        if self.total_bytes > 0 {
            log::info!("loaded {} keys in {ms} ms", engine.keys());
        }
        let mut is_foreign = self.load.is_some();
        let journal = match self.journal {
            None => None,
            Some(opening) if is_foreign => Some(Source::Replaced(Box::new(opening))),
            Some(opening) => {
                let room = opening.left_room();
                let (journal, cut) = opening.finish()?;
                if let Some(room) = room {
                    log::info!("gave back {room}");
                }
                if let Some(cut) = cut {
                    log::warn!("{cut}");
                }
                if let Some(fault) = journal.fault().filter(|_| !journal.is_replacement()) {
                    log::error!(
                        "the journal ends in the middle of a write; nothing is written before that \
                         can be cut off and kept: {fault}"
                    );
                }
                if journal.is_replacement() {
                    log::warn!("a sync of the journal has failed before: rewriting it first");
                    is_foreign = true;
                }
                Some(Source::Open(Box::new(journal)))
            }
        };
        Ok(Loaded { journal, is_foreign })
    }
}

fn refused(path: &Path, offset: u64, error: &crate::engine::ReplayError) -> KeepError {
    let at = offset + error.offset as u64;
    KeepError(format!("{} cannot be loaded, offset {at}: {error}", path.display()))
}

/// The file of `load`. It is for a server that has no data yet.
fn open_file<D: Disk>(
    disk: &D,
    path: &Path,
    engine: &Engine,
) -> Result<Scanner<D::File>, KeepError> {
    if engine.keys() > 0 {
        return Err(KeepError(format!(
            "option 'load': '{}' is not loaded, because the journal has {} keys already",
            path.display(),
            engine.keys()
        )));
    }
    let cannot = |error| KeepError(format!("cannot read {}: {error}", path.display()));
    let file = disk.open(path, false).map_err(cannot)?;
    Scanner::new(file, PIECE_BYTES).map_err(cannot)
}
