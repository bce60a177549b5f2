//! What a process has used of the machine, as the system counts it.

use std::fs;
use std::io;
use std::time::Duration;

/// The processor time of all its threads, in user mode and in the system.
///
/// It is the scheduler's own count, in nanoseconds, where the times in `stat` are
/// ticks of 10 ms.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = match fs::read_to_string(thread?.path().join("schedstat")) {
            // The thread has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
        total += ns
            .map(Duration::from_nanos)
            .ok_or_else(|| io::Error::other("no number in schedstat"))?;
    }
    Ok(total)
}

/// How much of its memory is resident, in bytes.
pub(crate) fn resident_memory(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most of its memory that was resident since it began, or since 5 was written to
/// its `clear_refs`.
pub(crate) fn peak_memory(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, name: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = kib.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1_024).ok_or_else(|| io::Error::other(format!("no {name} in status")))
}
