//! Begins the next file that groups go to.

use super::disk::{Disk, DiskFile, append_all};
use super::groups::{FileKind, Header, push_sealed};
use super::home::{Fault, Home};
use super::manifest::{Manifest, ManifestFile, Role};

/// The file that is written, which is listed.
pub(super) struct CurrentFile<D: Disk> {
    pub(super) file: D::File,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Why a new file is not in the manifest.
pub(super) struct NotAdded {
    pub(super) fault: Fault,
    /// The file's name, if the manifest may list it all the same after a crash.
    pub(super) name: Option<String>,
}

/// Creates the next file for groups and lists it in `manifest`, all durably.
pub(super) fn add_incr<D: Disk>(
    home: &Home<D>,
    manifest: &mut Manifest,
    role: Role,
    last_incr: &mut u64,
    now_unix_ms: u64,
) -> Result<CurrentFile<D>, NotAdded> {
    let sequence = *last_incr + 1;
    let name = home.location.name_of(Role::Incr, sequence);
    let path = home.path(&name);
    let header = Header { kind: FileKind::Incr, sequence, created_unix_ms: now_unix_ms };
    let mut bytes = Vec::new();
    push_sealed(&mut bytes, 0, &header.command());
    let not_added = |fault| NotAdded { fault, name: None };
    let mut file =
        home.disk.create(&path).map_err(Fault::of("create", &path)).map_err(not_added)?;
    let put = append_all(&mut file, &bytes)
        .map_err(Fault::of("write", &path))
        .and_then(|()| file.sync_data().map_err(Fault::of("sync", &path)))
        // Before the manifest says that there is such a file there is one.
        .and_then(|()| home.sync_dir());
    if let Err(fault) = put {
        // The next attempt takes the same name.
        let _ = home.disk.remove(&path);
        return Err(not_added(fault));
    }
    manifest.files.push(ManifestFile { name: name.clone(), sequence, role });
    if let Err(unsaved) = home.save_manifest(manifest) {
        if !unsaved.is_uncertain {
            let _ = home.disk.remove(&path);
            return Err(not_added(unsaved.fault));
        }
        *last_incr = sequence;
        return Err(NotAdded { fault: unsaved.fault, name: Some(name) });
    }
    *last_incr = sequence;
    Ok(CurrentFile { file, name, bytes: bytes.len() as u64 })
}
