//! What the journal needs of a disk, and the system's own.
//!
//! A trait, because what matters most about these files is what happens when the disk
//! fails between two operations, and no real disk does that on demand:
//! [`SimulatedDisk`](super::SimulatedDisk) does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

/// A file that is appended to and read anywhere.
///
/// Behind what was appended there may be room, see [`DiskFile::make_room`]: zeros, which
/// belong to the file for whoever reads it and are appended over by whoever writes it.
pub trait DiskFile: Send {
    /// Appends bytes behind those that were appended last, or at the end of a file that
    /// has been opened: at least one of them unless `bytes` is empty, maybe not all.
    /// Answers how many.
    ///
    /// # Errors
    /// What the disk says; nothing was appended then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The same for bytes that stand in several pieces.
    ///
    /// # Errors
    /// What the disk says; nothing was appended then.
    fn append_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.append(&bytes)
    }

    /// Says whether the file is the only copy of what is appended from now on, which it is
    /// not at first. If it is, that can be read as long as the machine runs, even where a
    /// sync of it has failed; otherwise it may be gone then.
    fn set_only_copy(&mut self, is_only_copy: bool);

    /// Sees to it that so many bytes can be appended without making the file longer: to
    /// make a new length durable takes a file system more work than the bytes do, and
    /// twice the time. Room that was made and is not used up stays.
    ///
    /// # Errors
    /// What the disk says. There may be some of the room then.
    fn make_room(&mut self, bytes: u64) -> io::Result<()>;

    /// Reads bytes from `offset` on into `into` and answers how many, 0 at the end.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The file's length in bytes, with the room at its end.
    ///
    /// # Errors
    /// What the disk says.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// What the disk says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether any directory still has a name for the file. What is written to a file
    /// without one is lost when it is closed, and no write or sync says so.
    ///
    /// # Errors
    /// What the disk says.
    fn has_name(&self) -> io::Result<bool>;

    /// Cuts the file to `len` bytes, which is not more than it has. What is appended next
    /// comes there.
    ///
    /// # Errors
    /// What the disk says.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes all bytes of the file durable, and its length (`fdatasync`).
    ///
    /// # Errors
    /// What the disk says. Bytes that were not durable before cannot be relied on any
    /// more, even if a later call succeeds.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// The operations on files and directories that the journal is made of. A clone is
/// another handle of the same disk.
///
/// Entries of a directory (new, renamed and removed names) are durable only after
/// [`Disk::sync_dir`] of it.
pub trait Disk: Clone + Send + 'static {
    /// An open file; dropping it closes it.
    type File: DiskFile + 'static;
    /// A lock, held until it is dropped or the process ends.
    type Lock: Send + 'static;

    /// Opens an existing file, for appending as well if `writable`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none, and whatever else the disk says.
    fn open(&self, path: &Path, writable: bool) -> io::Result<Self::File>;

    /// Creates a file for appending and reading; one that exists is emptied.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives a file another name; a file that had this name is replaced.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none, and whatever else the disk says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order. Names that are not UTF-8 are left out:
    /// nothing here has such a name.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a directory in one that exists.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something has the name, and whatever else
    /// the disk says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the entries of a directory durable.
    ///
    /// # Errors
    /// What the disk says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks the file that has a name, which is created if need be, against everybody else;
    /// `None` if somebody else has it. Only who has the lock may take the name away.
    ///
    /// # Errors
    /// What the disk says.
    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;
}

/// Writes of so many bytes and more do not stay in the system's page cache. Nobody reads a
/// journal while it is written, and to fill all memory that is free with one costs more
/// than to write it: on a virtual machine that gives what is free back to its host, each
/// page has to be fetched from there again (3.5 us of processor time for a kilobyte where
/// 0.7 do). Smaller writes stay, for the next one mostly begins on the page on which they
/// end, and half a page that has not stayed is read before it is written. Nor does anything
/// leave that is in no other place: a page that the disk does not take leaves as well.
const UNCACHED_BYTES_MIN: usize = 64 << 10;

/// `RWF_DONTCACHE` of `linux/fs.h`: pages are written to the disk at once, and leave the
/// cache as soon as they are there. Linux has it since 6.14, not for all file systems.
const UNCACHED: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// The file systems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

/// An open file of a [`SystemDisk`].
#[derive(Debug)]
pub struct SystemFile {
    file: File,
    /// Where the next bytes are appended, and how long the file is at least.
    end: u64,
    len: u64,
    /// As far as is known, the file system takes [`UNCACHED`].
    takes_uncached: bool,
    is_only_copy: bool,
    /// The page on which the next write begins may be on its way out of the cache: the file
    /// has been cut, is somebody else's work, or took only some of the last write. One write
    /// in the usual way makes it stay. (The first versions of Linux with [`UNCACHED`] could
    /// lose another.)
    may_be_leaving: bool,
}

impl SystemFile {
    fn new(file: File) -> io::Result<SystemFile> {
        let len = file.metadata()?.len();
        Ok(SystemFile {
            file,
            end: len,
            len,
            takes_uncached: true,
            is_only_copy: false,
            may_be_leaving: len > 0,
        })
    }

    /// How many of `bytes` that are appended now need not stay in the page cache: up to the
    /// end of the last page that they fill.
    fn uncached(&self, bytes: usize) -> usize {
        let is_allowed = self.takes_uncached && !self.is_only_copy && !self.may_be_leaving;
        if bytes < UNCACHED_BYTES_MIN || !is_allowed {
            return 0;
        }
        bytes.saturating_sub(on_last_page(self.end + bytes as u64))
    }

    fn write(&mut self, pieces: &[IoSlice<'_>], flags: ReadWriteFlags) -> Result<usize, Errno> {
        loop {
            // A system without `pwritev2` (Linux before 4.6, and some that only look like it)
            // has the older call.
            let taken = match flags.is_empty() {
                true => rustix::io::pwritev(&self.file, pieces, self.end),
                false => rustix::io::pwritev2(&self.file, pieces, self.end, flags),
            };
            match taken {
                Ok(taken) => {
                    self.end += taken as u64;
                    self.len = self.len.max(self.end);
                    self.may_be_leaving = flags == UNCACHED && on_last_page(self.end) > 0;
                    return Ok(taken);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// How many bytes of a file that ends there are on a page that is not full.
fn on_last_page(end: u64) -> usize {
    (end % rustix::param::page_size() as u64) as usize
}

/// The first `bytes` of what stands in pieces.
fn first<'a>(pieces: &'a [IoSlice<'_>], bytes: usize) -> Vec<IoSlice<'a>> {
    let mut left = bytes;
    let cut = |piece: &'a IoSlice<'_>| {
        let len = piece.len().min(left);
        left -= len;
        (len > 0).then(|| IoSlice::new(&piece[..len]))
    };
    pieces.iter().filter_map(cut).collect()
}

impl Disk for SystemDisk {
    type File = SystemFile;
    type Lock = File;

    fn open(&self, path: &Path, writable: bool) -> io::Result<SystemFile> {
        SystemFile::new(OpenOptions::new().read(true).write(writable).open(path)?)
    }

    fn create(&self, path: &Path) -> io::Result<SystemFile> {
        let mut options = OpenOptions::new();
        SystemFile::new(options.read(true).write(true).create(true).truncate(true).open(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        lock_opened(path, || options.open(path))
    }
}

/// Locks what `open` finds at `path`, which is asked again where the name has got another
/// file meanwhile, or none.
fn lock_opened(
    path: &Path,
    mut open: impl FnMut() -> io::Result<File>,
) -> io::Result<Option<File>> {
    loop {
        match lock_named(open()?, path)? {
            Locked::File(file) => return Ok(Some(file)),
            Locked::Busy => return Ok(None),
            Locked::Unnamed => {}
        }
    }
}

/// What has become of a file that was to be locked.
enum Locked {
    /// It is.
    File(File),
    /// By somebody else.
    Busy,
    /// Between its opening and its locking somebody has taken its name away, so that the
    /// lock keeps nobody from a file of that name.
    Unnamed,
}

fn lock_named(file: File, path: &Path) -> io::Result<Locked> {
    // `File::try_lock` needs a newer Rust than this crate asks for.
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Locked::Busy),
        Err(error) => return Err(error.into()),
    }
    let locked = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => {
            Ok(Locked::File(file))
        }
        Ok(_) => Ok(Locked::Unnamed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Locked::Unnamed),
        Err(error) => Err(error),
    }
}

impl DiskFile for SystemFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append_vectored(&[IoSlice::new(bytes)])
    }

    fn append_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let uncached = self.uncached(bytes);
        if uncached > 0 {
            match self.write(&first(pieces, uncached), UNCACHED) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.takes_uncached = false,
                written => return some(written, bytes),
            }
        }
        some(self.write(pieces, ReadWriteFlags::empty()), bytes)
    }

    fn set_only_copy(&mut self, is_only_copy: bool) {
        self.is_only_copy = is_only_copy;
    }

    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        // Blocks that are only reserved would have to be marked as written when they are,
        // which costs what a new length does.
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        while self.len < self.end + bytes {
            let left = self.end + bytes - self.len;
            let piece = ZEROS.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match FileExt::write_at(&self.file, &ZEROS[..piece], self.len) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => self.len += taken as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(&self.file, into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn has_name(&self) -> io::Result<bool> {
        // Nothing but the count of names is asked for. Linux gives a file that has been asked
        // for its times another one at its next change, and then a sync has those to write
        // as well: 180 us instead of 100.
        let (flags, mask) = (AtFlags::EMPTY_PATH, StatxFlags::NLINK);
        Ok(rustix::fs::statx(&self.file, "", flags, mask)?.stx_nlink > 0)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        (self.end, self.len) = (len, len);
        self.may_be_leaving = true;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// What a write of so many bytes has come to.
fn some(written: Result<usize, Errno>, bytes: usize) -> io::Result<usize> {
    match written {
        Ok(0) if bytes > 0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written?),
    }
}

/// Appends all of `bytes`, in as many steps as the disk wants.
///
/// # Errors
/// What the disk says; some of the bytes may have been appended then.
pub(super) fn append_all(file: &mut impl DiskFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = file.append(bytes)?;
        bytes = &bytes[taken..];
    }
    Ok(())
}

/// Reads a whole file of at most `max` bytes.
///
/// # Errors
/// What the disk says, and [`io::ErrorKind::InvalidData`] if the file is longer.
pub(super) fn read_all(file: &impl DiskFile, max: usize) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    if len > max {
        let text = format!("the file has {len} bytes, more than {max}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
