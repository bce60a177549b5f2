//! The directory of a journal: its names, its lock, its manifest.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, append_all, read_all};
use super::manifest::{Manifest, ManifestError, Role, SEQUENCE_MAX};

/// The name of the file whose lock keeps a second server out.
pub(super) const LOCK_NAME: &str = "tollgate.lock";

/// Bytes of a manifest that are read at most: far more than a journal has files.
const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a journal is, and what its files are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The directory in which its own is; it has to exist.
    pub dir: PathBuf,
    /// The name of its own directory.
    pub dir_name: String,
    /// What the names of its files begin with.
    pub file_name: String,
}

impl Location {
    /// The journal's own directory.
    pub fn journal_dir(&self) -> PathBuf {
        self.dir.join(&self.dir_name)
    }

    pub(super) fn manifest_name(&self) -> String {
        format!("{}.manifest", self.file_name)
    }

    pub(super) fn name_of(&self, role: Role, sequence: u64) -> String {
        let word = if role == Role::Base { "base" } else { "incr" };
        format!("{}.{sequence}.{word}.aof", self.file_name)
    }

    /// The name of a file that is not finished; whatever has it at a start is removed.
    pub(super) fn temp_name(&self, name: &str) -> String {
        format!("temp-{name}")
    }

    pub(super) fn is_temp(&self, name: &str) -> bool {
        name.strip_prefix("temp-").is_some_and(|rest| rest.starts_with(&self.file_name))
    }
}

/// What has gone wrong on the disk, in words for whoever runs the server. `Display`
/// gives one line: `cannot write /data/aof/file: No space left on device (os error 28)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What could not be done: a verb.
    pub operation: &'static str,
    /// The file or directory it was to be done to.
    pub path: PathBuf,
    /// The kind of error.
    pub kind: io::ErrorKind,
    /// What the system says.
    pub cause: String,
}

impl Fault {
    pub(super) fn new(operation: &'static str, path: &Path, error: &io::Error) -> Fault {
        Fault { operation, path: path.into(), kind: error.kind(), cause: error.to_string() }
    }

    /// What clients are told: the cause, and of what is missing where it should be.
    pub fn told(&self) -> String {
        match self.kind {
            io::ErrorKind::NotFound => format!("{}: {}", self.path.display(), self.cause),
            _ => self.cause.clone(),
        }
    }

    /// Makes one of an error.
    pub(super) fn of(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
        move |error| Fault::new(operation, path, &error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.path.display(), self.cause)
    }
}

impl std::error::Error for Fault {}

/// The directory in which a file is.
pub(super) fn dir_of(path: &Path) -> &Path {
    // A mere name has an empty parent, which no system call takes.
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a manifest.
pub(super) fn read_manifest<D: Disk>(
    disk: &D,
    path: &Path,
) -> Result<Result<Manifest, ManifestError>, Fault> {
    let file = disk.open(path, false).map_err(Fault::of("open", path))?;
    let text = read_all(&file, MANIFEST_BYTES_MAX).map_err(Fault::of("read", path))?;
    Ok(Manifest::parse(&text))
}

/// Why a manifest could not be saved.
pub(super) struct Unsaved {
    pub(super) fault: Fault,
    /// A crash may leave the new one in effect, or the old one.
    pub(super) is_uncertain: bool,
}

/// An open journal directory; nobody else has it.
pub(super) struct Home<D: Disk> {
    pub(super) disk: D,
    pub(super) location: Location,
    pub(super) dir: PathBuf,
    _lock: D::Lock,
}

impl<D: Disk> Home<D> {
    /// Locks the journal's directory, which is created if there is none; `None` if
    /// another server has it.
    pub(super) fn open(disk: D, location: Location) -> Result<Option<Home<D>>, Fault> {
        let dir = location.journal_dir();
        match disk.create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => {
                created.map_err(Fault::of("create", &dir))?;
            }
        }
        // Also where it exists: whoever made it may have been stopped just then.
        disk.sync_dir(&location.dir).map_err(Fault::of("sync", &location.dir))?;
        let lock_path = dir.join(LOCK_NAME);
        let lock = disk.lock(&lock_path).map_err(Fault::of("lock", &lock_path))?;
        Ok(lock.map(|lock| Home { disk, location, dir, _lock: lock }))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn manifest_path(&self) -> PathBuf {
        self.path(&self.location.manifest_name())
    }

    pub(super) fn sync_dir(&self) -> Result<(), Fault> {
        self.disk.sync_dir(&self.dir).map_err(Fault::of("sync", &self.dir))
    }

    /// The names in the directory.
    pub(super) fn list(&self) -> Result<Vec<String>, Fault> {
        self.disk.list(&self.dir).map_err(Fault::of("list", &self.dir))
    }

    /// The files of a role in the directory, finished and listed or not: their numbers and
    /// names.
    pub(super) fn numbered(&self, role: Role) -> Result<Vec<(u64, String)>, Fault> {
        let number = |name: &str| {
            let own = name.strip_prefix("temp-").unwrap_or(name);
            let mut words = own.strip_prefix(&self.location.file_name)?.split('.').skip(1);
            let number = words.next()?.parse().ok()?;
            if number > SEQUENCE_MAX / 2 {
                // It will not be come upon, and none must be counted on from it.
                return None;
            }
            (self.location.name_of(role, number) == own).then_some(number)
        };
        let names = self.list()?.into_iter();
        Ok(names.filter_map(|name| Some((number(&name)?, name))).collect())
    }

    /// Reads the manifest; `None` if there is none.
    pub(super) fn load_manifest(&self) -> Result<Option<Result<Manifest, ManifestError>>, Fault> {
        match read_manifest(&self.disk, &self.manifest_path()) {
            Err(fault) if fault.kind == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Replaces the manifest, durably.
    pub(super) fn save_manifest(&self, manifest: &Manifest) -> Result<(), Unsaved> {
        let unsaved = |is_uncertain| move |fault| Unsaved { fault, is_uncertain };
        let path = self.manifest_path();
        let temp = self.path(&self.location.temp_name(&self.location.manifest_name()));
        let text = manifest.to_string();
        self.put(&temp, text.as_bytes()).map_err(unsaved(false))?;
        let renamed = self.disk.rename(&temp, &path).map_err(Fault::of("replace", &path));
        // An error of the system's may come after the deed.
        renamed.map_err(unsaved(true))?;
        self.sync_dir().map_err(unsaved(true))
    }

    /// Writes a whole file and syncs it, but not its name.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Fault> {
        let mut file = self.disk.create(path).map_err(Fault::of("create", path))?;
        append_all(&mut file, bytes).map_err(Fault::of("write", path))?;
        file.sync_data().map_err(Fault::of("sync", path))
    }
}
