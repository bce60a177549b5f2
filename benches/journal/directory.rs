//! Directories for the servers' files, gone when they are not needed any more, and
//! how fast the disk below them is.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::fdatasync;

use crate::shared::figures::quantile;

/// Writes and syncs by which the disk is measured.
const PROBES: usize = 50;
const PROBE_BYTES: usize = 4_096;

/// A directory that did not exist before; dropped, it is removed with all in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A fresh one of this name within `parent`, which is made if need be.
    pub(crate) fn create(parent: &Path, name: &str) -> io::Result<Directory> {
        fs::create_dir_all(parent)?;
        let path = parent.canonicalize()?.join(name);
        fs::create_dir(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        Ok(Directory(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The size of all files in it, in bytes.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        bytes_below(&self.0)
    }

    /// What it takes to write and sync a little at the end of a file: median and 99th
    /// percentile in microseconds.
    pub(crate) fn sync_times(&self) -> io::Result<(f64, f64)> {
        let path = self.0.join("probe");
        let mut file = File::create(&path)?;
        let mut times = Vec::new();
        for _ in 0..PROBES {
            let begun = Instant::now();
            file.write_all(&[b'x'; PROBE_BYTES])?;
            fdatasync(&file)?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        fs::remove_file(path)?;
        Ok((quantile(times.clone(), 0.5), quantile(times, 0.99)))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is left: {error}", self.0.display());
        }
    }
}

fn bytes_below(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}
