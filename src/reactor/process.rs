//! What the process says about itself, for INFO.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};

use crate::engine::ProcessFigures;

/// What does not change: who the process is, how much memory its machine has, and
/// which port it listens on first.
///
/// `allocator` is what the program has chosen, which a library cannot see.
pub(super) fn at_start(listens_on: Option<SocketAddr>, allocator: &'static str) -> ProcessFigures {
    ProcessFigures {
        allocator,
        pid: std::process::id(),
        tcp_port: listens_on.map_or(0, |addr| addr.port()),
        executable: std::env::current_exe()
            .map_or(String::new(), |path| path.display().to_string()),
        system_memory_bytes: fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|meminfo| memory_bytes(&meminfo))
            .unwrap_or(0),
        ..ProcessFigures::default()
    }
}

/// Brings memory and processor time up to date. What cannot be read, as on
/// systems without `/proc`, keeps its value.
pub(super) fn refresh(figures: &mut ProcessFigures) {
    if let Some(pages) = fs::read_to_string("/proc/self/statm").ok().and_then(|s| rss_pages(&s)) {
        figures.rss_bytes = pages * page_size() as u64;
    }
    if let Some((user, system)) =
        fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_ticks(&stat))
    {
        figures.cpu_user = duration(user);
        figures.cpu_system = duration(system);
    }
}

/// The line `MemTotal` of meminfo, which counts in KiB.
fn memory_bytes(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1_024)
}

/// The second number of statm: resident pages.
fn rss_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The fields 14 and 15 of stat: ticks in user mode and in the kernel. Field 2
/// is the program's name in parentheses, which may itself hold both spaces and
/// parentheses, so counting starts behind the last one.
fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, from_third) = stat.rsplit_once(')')?;
    let mut ticks = from_third.split_ascii_whitespace().skip(11).map(str::parse);
    Some((ticks.next()?.ok()?, ticks.next()?.ok()?))
}

fn duration(ticks: u64) -> Duration {
    let per_second = clock_ticks_per_second().max(1);
    Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 23 45 0 0 20 0 1 0 9 8 7";
        assert_eq!(cpu_ticks(stat), Some((23, 45)));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
        assert_eq!(rss_pages("500 42 3 1 0 9 0\n"), Some(42));
        assert_eq!(rss_pages(""), None);
    }

    #[test]
    fn meminfo_counts_in_kib() {
        let meminfo = "MemTotal:       24684092 kB\nMemFree:         1 kB\n";
        assert_eq!(memory_bytes(meminfo), Some(25_276_510_208));
        assert_eq!(memory_bytes("MemFree: 1 kB\n"), None);
        assert_eq!(memory_bytes("MemTotal: 1 MB\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_so_has_its_machine() {
        let mut figures = at_start(None, "");
        refresh(&mut figures);
        assert!(figures.rss_bytes > 100_000);
        assert!(figures.system_memory_bytes > figures.rss_bytes);
    }
}
