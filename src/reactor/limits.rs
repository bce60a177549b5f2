//! What the system gives the process: how many files it may open, and so how many
//! clients fit, and pages of which size.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Role;
use crate::config::Config;

/// Files that are not clients: listeners, poll, signals, log, journal.
const RESERVED_FILES: u64 = 32;

/// Has the system give the program memory in small pages only, unless the
/// configuration says otherwise. With huge ones an idle connection costs half as much
/// again, and the first touch of memory is a turn of many ms.
pub(super) fn keep_pages_small(config: &Config, role: Role) {
    if config.disable_thp
        && matches!(role, Role::Program { .. })
        && let Err(error) = rustix::thread::disable_transparent_huge_pages(true)
    {
        log::debug!("huge pages stay: {error}");
    }
}

/// Raises the limit on open files as far as the process may, and lowers
/// `maxclients` to what fits; returns how much that is, `None` for any number.
/// A client that cannot be accepted would wait without an answer; one beyond
/// `maxclients` is told.
pub(super) fn fit_to_open_files(config: &mut Config, role: Role) -> Option<usize> {
    let files = match role {
        Role::Program { .. } => raise_open_files(),
        Role::Embedded => getrlimit(Resource::Nofile).current,
    }?;
    let (wanted, fitting) = (u64::from(config.maxclients), clients_that_fit(files));
    if fitting < wanted {
        config.maxclients = u32::try_from(fitting).unwrap_or(u32::MAX);
        log::warn!(
            "maxclients is {fitting} instead of {wanted}: the process may open {files} files, \
             of which {RESERVED_FILES} are reserved; raise the limit (ulimit -n) for more"
        );
    }
    Some(usize::try_from(fitting).unwrap_or(usize::MAX))
}

/// At least one, so that somebody can connect and look.
fn clients_that_fit(files: u64) -> u64 {
    files.saturating_sub(RESERVED_FILES).max(1)
}

/// Raises the soft limit to the hard one, whatever `maxclients` is now: CONFIG
/// SET may raise it later. The limit in force, `None` for unlimited.
fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    if limit.current == limit.maximum {
        return Some(current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            log::warn!("cannot raise the limit on open files above {current}: {error}");
            Some(current)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_files_are_not_given_to_clients() {
        assert_eq!(clients_that_fit(1_024), 992);
        assert_eq!(clients_that_fit(10), 1);
    }

    #[test]
    fn maxclients_stays_when_it_fits() {
        let mut config = Config { maxclients: 1, ..Config::default() };
        let clients_max = fit_to_open_files(&mut config, Role::Embedded);
        assert_eq!(config.maxclients, 1);
        assert!(clients_max.is_none_or(|clients_max| clients_max >= 1));
    }
}
