//! Opening a journal: what there is, group by group, and how to go on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::aside::{TornEnd, Uncut, lacks_room};
use super::disk::{Disk, DiskFile};
use super::home::{Fault, Home, Location};
use super::incr::CurrentFile;
use super::journal::{Found, Journal};
use super::manifest::{Manifest, ManifestFile, Role};
use super::outcome::{CutTail, LeftOut, LeftRoom, OpenError};
use super::scanner::{self, End, Group, Origin, PIECE_BYTES, Scanner, Step};
use super::unsynced::{UnsyncedNote, rename_left_out};

const OTHER_HEADER: &str = "the file says that it is another one";
const EMPTY: &str = "the file is empty";
const MISSING: &str = "groups that were written there are missing, and a sync of them had failed";
const NO_SUMS: &str = "the file is one of Redis, but the files before it are not";

/// A file of a journal that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    name: String,
    sequence: u64,
    role: Role,
}

/// What has become of the last file.
struct LastFile<D: Disk> {
    /// It, if it can be gone on with.
    current: Option<CurrentFile<D>>,
    cut_tail: Option<CutTail>,
    /// It is still to be cut, and why.
    uncut: Option<Uncut>,
}

/// A journal that is being loaded: [`Opening::next_group`] yields its groups, and when there
/// are no more, [`Opening::finish`] makes it one that can be written.
pub struct Opening<D: Disk> {
    home: Home<D>,
    manifest: Manifest,
    files: Vec<ChainFile>,
    /// The file that is read.
    index: usize,
    scanner: Option<Scanner<D::File>>,
    done_bytes: u64,
    /// An empty file that Redis may have left.
    empty: Option<PathBuf>,
    /// A file of this program has been seen.
    has_sums: bool,
    /// Where the last file is to be cut, and why.
    torn: Option<(u64, &'static str)>,
    /// Files with groups that are not loaded because this one is torn.
    left_out: Vec<ChainFile>,
    /// Those that the last start has left out, and has not given other names.
    still_left_out: Vec<ChainFile>,
    /// What the last process has noted, if a sync had failed.
    unsynced: Option<UnsyncedNote>,
    /// The last file is one to go on with.
    is_last_ours: bool,
    /// Bytes of room at the end of the file that was read last.
    room_bytes: u64,
    now_unix_ms: u64,
}

impl<D: Disk> Opening<D> {
    /// Locks the journal at a location, which is created if there is none, and finds
    /// its files. `now_unix_ms` is noted in new ones.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn new(disk: D, location: Location, now_unix_ms: u64) -> Result<Opening<D>, OpenError> {
        let dir = location.journal_dir();
        let home = Home::open(disk, location)?.ok_or(OpenError::InUse { dir })?;
        let manifest = match home.load_manifest()? {
            Some(Ok(manifest)) => manifest,
            Some(Err(error)) => {
                return Err(OpenError::Manifest { path: home.manifest_path(), error });
            }
            None => {
                refuse_unlisted(&home)?;
                Manifest::default()
            }
        };
        let look_at = |file: &ManifestFile| {
            let path = home.path(&file.name);
            let opened = home.disk.open(&path, false).map_err(Fault::of("open", &path))?;
            let bytes = opened.len().map_err(Fault::of("look at", &path))?;
            let (name, sequence, role) = (file.name.clone(), file.sequence, file.role);
            Ok::<_, Fault>(ChainFile { path, bytes, name, sequence, role })
        };
        let files = manifest.chain().map(look_at).collect::<Result<_, _>>()?;
        let unsynced = UnsyncedNote::load(&home.disk, &home.dir, &home.location.file_name)?;
        let is_left_out = |file: &&ManifestFile| {
            let note = unsynced.as_ref().filter(|_| file.role == Role::History);
            file.name == home.location.name_of(Role::Incr, file.sequence)
                && note.is_some_and(|note| note.is_left_out(file.sequence))
        };
        // One that is gone has another name already.
        let is_there = |found: &Result<ChainFile, Fault>| {
            found.as_ref().err().is_none_or(|fault| fault.kind != io::ErrorKind::NotFound)
        };
        let left_out = manifest.files.iter().filter(is_left_out).map(look_at);
        let still_left_out = left_out.filter(is_there).collect::<Result<_, _>>()?;
        Ok(Opening {
            home,
            manifest,
            files,
            index: 0,
            scanner: None,
            done_bytes: 0,
            empty: None,
            has_sums: false,
            torn: None,
            left_out: Vec::new(),
            still_left_out,
            unsynced,
            is_last_ours: false,
            room_bytes: 0,
            now_unix_ms,
        })
    }

    /// The files, in the order in which they are loaded.
    pub fn files(&self) -> &[ChainFile] {
        &self.files
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Bytes of them whose groups have been yielded.
    pub fn loaded_bytes(&self) -> u64 {
        self.done_bytes + self.scanner.as_ref().map_or(0, Scanner::position)
    }

    /// The file that the last group was in.
    pub fn path(&self) -> &Path {
        let index = self.index.min(self.files.len().saturating_sub(1));
        self.files.get(index).map_or(Path::new(""), |file| &file.path)
    }

    /// The next group; `None` at the end. Nothing is changed on the disk.
    ///
    /// # Errors
    /// [`OpenError::Disk`], after which it can be asked again, and
    /// [`OpenError::Damaged`].
    pub fn next_group(&mut self) -> Result<Option<Group<'_>>, OpenError> {
        let place = loop {
            if self.scanner.is_none() {
                if self.index == self.files.len() {
                    return Ok(None);
                }
                self.scanner = Some(self.open_file()?);
            }
            let Some(scanner) = &mut self.scanner else { return Ok(None) };
            let path = &self.files[self.index].path;
            match scanner.step().map_err(Fault::of("read", path))? {
                Step::Group(place) => break place,
                Step::End(end) => self.end_file(end)?,
            }
        };
        Ok(self.scanner.as_ref().map(|scanner| scanner.group(&place)))
    }

    /// What [`Opening::finish`] would cut off, once all groups have been yielded.
    pub fn torn(&self) -> Option<OpenError> {
        let (at, reason) = self.torn?;
        let path = self.path().to_path_buf();
        Some(match self.left_out.len() {
            0 => OpenError::Torn { path, at, reason },
            behind => OpenError::Unsynced { path, at, reason, behind },
        })
    }

    /// The room that [`Opening::finish`] gives back without a word, once all groups have
    /// been yielded.
    pub fn left_room(&self) -> Option<LeftRoom> {
        let is_wanted = self.is_last_ours && self.torn.is_none() && self.room_bytes > 0;
        let last = self.files.last().filter(|_| is_wanted)?;
        Some(LeftRoom { path: last.path.clone(), at: last.bytes, bytes: self.room_bytes })
    }

    fn is_last(&self) -> bool {
        self.index + 1 == self.files.len()
    }

    /// Whether no group stands in the files behind this one. There can be such files: one
    /// that was to be the next, when listing it failed so late that it may be listed and
    /// may be not, and this one was gone on with.
    fn is_end(&self) -> Result<bool, OpenError> {
        for file in &self.files[self.index + 1..] {
            if file.role != Role::Incr || !has_no_groups(&self.home.disk, &file.path)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn open_file(&mut self) -> Result<Scanner<D::File>, OpenError> {
        let file = &self.files[self.index];
        let path = file.path.clone();
        let is_last_incr = self.is_last() && file.role == Role::Incr;
        let opened = self.home.disk.open(&path, false).map_err(Fault::of("open", &path))?;
        let scanner = Scanner::new(opened, PIECE_BYTES).map_err(Fault::of("read", &path))?;
        let damaged = |path, reason| OpenError::Damaged { path, at: 0, reason, behind: None };
        match scanner.origin() {
            Origin::Journal(header) => {
                if file.role.kind() != Some(header.kind) || file.sequence != header.sequence {
                    return Err(damaged(path, OTHER_HEADER));
                }
                self.has_sums = true;
                self.is_last_ours = is_last_incr;
            }
            // The last one may have been torn down to nothing.
            Origin::Redis if scanner.is_empty() => {
                if !is_last_incr {
                    self.empty = Some(path);
                }
            }
            Origin::Redis if self.has_sums => return Err(damaged(path, NO_SUMS)),
            Origin::Redis | Origin::Unknown => {}
        }
        // Redis begins with empty files. One of this program's never is empty, and one
        // of Redis's is left out of the list before there are any of this program.
        match self.empty.take() {
            Some(path) if self.has_sums => Err(damaged(path, EMPTY)),
            empty => {
                self.empty = empty;
                Ok(scanner)
            }
        }
    }

    /// Whether a file lacks something from `at` on that the last process has written to
    /// it, and gone on behind although it may not have been durable.
    fn lacks_behind(&self, file: &ChainFile, at: u64) -> bool {
        let note = self.unsynced.as_ref().filter(|_| file.role == Role::Incr);
        note.is_some_and(|note| note.is_more_than(file.sequence, at))
    }

    /// The file that is read is the last that is loaded, and is cut.
    fn tear(&mut self, at: u64, reason: &'static str) -> Result<(), OpenError> {
        self.torn = Some((at, reason));
        for file in self.files.split_off(self.index + 1) {
            if !has_no_groups(&self.home.disk, &file.path)? {
                self.left_out.push(file);
            }
        }
        self.left_out.append(&mut self.still_left_out);
        self.is_last_ours = self.has_sums && at > 0;
        Ok(())
    }

    fn end_file(&mut self, end: End) -> Result<(), OpenError> {
        let file = &self.files[self.index];
        match end {
            End::Whole => {
                let len = self.scanner.as_ref().map_or(file.bytes, Scanner::len);
                let was_end = self.still_left_out.is_empty();
                if self.lacks_behind(file, len) && !(was_end && self.is_end()?) {
                    self.tear(len, MISSING)?;
                }
            }
            // Nobody has been told that what cannot be read there was durable.
            End::Torn { at, reason }
                if self.lacks_behind(file, at) || file.role == Role::Incr && self.is_end()? =>
            {
                self.tear(at, reason)?;
            }
            End::Torn { at, reason } => {
                let path = file.path.clone();
                return Err(OpenError::Damaged { path, at, reason, behind: None });
            }
            End::Damaged { at, reason, behind } => {
                let path = file.path.clone();
                return Err(OpenError::Damaged { path, at, reason, behind });
            }
        }
        // Without the room at its end.
        if let Some(scanner) = self.scanner.take() {
            self.files[self.index].bytes = scanner.len();
            self.room_bytes = scanner.room_bytes();
        }
        self.done_bytes += self.files[self.index].bytes;
        self.index += 1;
        Ok(())
    }

    /// Cuts what is torn, keeping it aside, and makes the journal ready to be written.
    /// Groups that have not been yielded yet are passed over.
    ///
    /// If there is no room to keep what is torn, the journal can be loaded all the same:
    /// the [fault](Journal::fault) stands, and nothing is written, until there is room,
    /// and then the end is cut.
    ///
    /// If the last process has left a note that a sync had failed, the journal [has to be
    /// replaced](Journal::is_replacement), as after [`Opening::replace`]. If there is no room
    /// for its first file, it can be read all the same: the fault stands until a rewrite has
    /// found some.
    ///
    /// # Errors
    /// See [`OpenError`]. Where it is a sync of the files that has failed, the next process
    /// finds such a note.
    pub fn finish(mut self) -> Result<(Journal<D>, Option<CutTail>), OpenError> {
        while self.next_group()?.is_some() {}
        let replaces = self.unsynced.is_some();
        let LastFile { current, mut cut_tail, uncut } = self.ready_last_file(replaces)?;
        for file in &self.files {
            // What the last process has written and not synced is about to be built
            // upon. That need not be in the last file only, see `is_end`.
            let opened = self.home.disk.open(&file.path, false);
            let mut opened = opened.map_err(Fault::of("open", &file.path))?;
            if let Err(error) = opened.sync_data() {
                self.note_failed_sync();
                return Err(Fault::new("sync", &file.path, &error).into());
            }
        }
        for file in &mut self.manifest.files {
            let is_used = |used: &ChainFile| used.name == file.name && used.bytes > 0;
            if !self.files.iter().any(is_used) {
                file.role = Role::History;
            }
        }
        self.home.sync_dir()?;
        if let Some(cut_tail) = &mut cut_tail {
            cut_tail.left_out = self.keep_left_out()?;
        }
        for name in self.home.list()? {
            if self.home.location.is_temp(&name) {
                // It costs room if it stays, and nothing else.
                let _ = self.home.disk.remove(&self.home.path(&name));
            }
        }
        let file_bytes: BTreeMap<String, u64> =
            self.files.iter().map(|file| (file.name.clone(), file.bytes)).collect();
        let Opening { home, manifest, now_unix_ms, unsynced, .. } = self;
        let unsynced = unsynced.unwrap_or_default();
        let found =
            Found { home, manifest, file_bytes, current, uncut, now_unix_ms, replaces, unsynced };
        Ok((Journal::begin(found)?, cut_tail))
    }

    /// The next start may read the same as this one, and its sync will succeed and say
    /// nothing of what this one has dropped.
    fn note_failed_sync(&self) {
        if self.unsynced.is_none() {
            // A disk that does not take it leaves nothing else to try.
            let _ = UnsyncedNote::default().save(&self.home);
        }
    }

    /// Gives the files that are not loaded other names, once they are listed as not
    /// needed: otherwise they would be removed.
    fn keep_left_out(&mut self) -> Result<Vec<LeftOut>, Fault> {
        let files = std::mem::take(&mut self.left_out);
        if !files.is_empty() {
            let note = self.unsynced.take().unwrap_or_default();
            let note = note.with_left_out(files.iter().map(|file| file.sequence));
            note.save(&self.home)?;
            self.unsynced = Some(note);
            self.home.save_manifest(&self.manifest).map_err(|unsaved| unsaved.fault)?;
        }
        let mut left_out = Vec::new();
        for ChainFile { path, bytes, .. } in files {
            let kept = rename_left_out(&self.home.disk, &path)?;
            left_out.push(LeftOut { path, bytes, kept });
        }
        Ok(left_out)
    }

    /// Begins a journal of data that did not come from these files, whatever they hold,
    /// as when a running server is told to keep a journal from now on.
    ///
    /// It is there from the end of its first rewrite on, which is to be begun at once:
    /// until then a crash leaves the old journal, and nothing that is appended counts,
    /// whatever [`Progress`](super::Progress) says.
    ///
    /// # Errors
    /// What the disk says.
    pub fn replace(self) -> Result<Journal<D>, OpenError> {
        let Opening { home, manifest, now_unix_ms, unsynced, .. } = self;
        let found = Found {
            home,
            manifest,
            file_bytes: BTreeMap::new(),
            current: None,
            uncut: None,
            now_unix_ms,
            replaces: true,
            unsynced: unsynced.unwrap_or_default(),
        };
        Ok(Journal::begin(found)?)
    }

    /// Cuts the last file if it is torn, and opens it if it can be gone on with.
    fn ready_last_file(&mut self, replaces: bool) -> Result<LastFile<D>, OpenError> {
        let none = LastFile { current: None, cut_tail: None, uncut: None };
        let Some(last) = self.files.last_mut() else { return Ok(none) };
        if last.role != Role::Incr || (self.torn.is_none() && !self.is_last_ours) {
            return Ok(none);
        }
        let path = &last.path;
        let opened = self.home.disk.open(path, true);
        let mut file = opened.map_err(Fault::of("open", path))?;
        let (mut cut_tail, mut uncut) = (None, None);
        let bytes = self.torn.map_or(last.bytes, |(at, _)| at);
        let is_usable = self.is_last_ours && bytes > 0;
        if let Some((at, reason)) = self.torn {
            let mut end = TornEnd { range: at..last.bytes, reason, kept: None };
            match end.cut(&self.home.disk, &mut file, path) {
                Ok(cut) => cut_tail = Some(cut),
                // Anything else would need room as well.
                Err(fault) if is_usable && !replaces && lacks_room(&fault) => {
                    uncut = Some(Uncut { end, fault });
                }
                Err(fault) => {
                    end.forget(&self.home.disk, &file);
                    return Err(fault.into());
                }
            }
        } else if file.len().map_err(Fault::of("look at", path))? > last.bytes {
            // Only its room. Where there is none nothing is changed that could fail.
            file.truncate(last.bytes).map_err(Fault::of("cut", path))?;
        }
        last.bytes = bytes;
        let current = is_usable.then(|| CurrentFile { file, name: last.name.clone(), bytes });
        Ok(LastFile { current, cut_tail, uncut })
    }
}

/// Without a manifest there must be nothing that one could have listed: to begin anew
/// beside it would be to lose it. What the very first start has left behind when it was
/// cut short has no group in it.
fn refuse_unlisted<D: Disk>(home: &Home<D>) -> Result<(), OpenError> {
    for name in home.list()? {
        let rest = name.strip_prefix(&home.location.file_name).unwrap_or_default();
        if !rest.starts_with('.') || !(rest.ends_with(".aof") || rest.ends_with(".rdb")) {
            continue;
        }
        let path = home.path(&name);
        if !has_no_groups(&home.disk, &path)? {
            return Err(OpenError::Unlisted { path });
        }
    }
    Ok(())
}

fn has_no_groups<D: Disk>(disk: &D, path: &Path) -> Result<bool, Fault> {
    let file = disk.open(path, false).map_err(Fault::of("open", path))?;
    scanner::has_no_groups(file).map_err(Fault::of("read", path))
}
