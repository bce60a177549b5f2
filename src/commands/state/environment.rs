//! What surrounds the server: everything that it needs from a process and may
//! not reach for itself.

use std::time::Duration;

use crate::keyspace::Discard;

/// What a server is made from, apart from its configuration.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Keys the hash function and seeds all randomness. Secret from clients in
    /// a server; fixed in a test, which then runs the same each time.
    pub seed: u64,
    /// Measures durations, in nanoseconds from any origin. One that always
    /// returns 0 will do: SLOWLOG and INFO then know of no durations.
    pub stopwatch: Stopwatch,
    /// How long the thread that calls it has had the processor, in nanoseconds; for
    /// `loop-cpu-time`.
    pub thread_cpu_time: Stopwatch,
    /// Lets the given time pass, for DEBUG SLEEP; simulated time does not.
    pub sleep: fn(Duration),
    /// What is known of the process at the start.
    pub process: ProcessFigures,
    /// Brings those figures of the process that change up to date, for INFO.
    pub refresh_process: fn(&mut ProcessFigures),
    /// Frees what takes long to be freed: large values when nobody needs them any
    /// more. `drop` will do.
    pub discard: Discard,
    /// The most clients that the process has files for: CONFIG SET maxclients
    /// refuses more. `None`: any number.
    pub clients_max: Option<usize>,
}

impl Environment {
    /// No clock, no process, and a fixed seed: for tests and simulations.
    pub fn simulated(seed: u64) -> Environment {
        Environment {
            seed,
            stopwatch: || 0,
            thread_cpu_time: || 0,
            sleep: |_| {},
            process: ProcessFigures::default(),
            refresh_process: |_| {},
            discard: drop,
            clients_max: None,
        }
    }
}

/// Figures that only the process can read; the reactor brings them up to date
/// before INFO and MEMORY need them.
#[derive(Clone, Debug, Default)]
pub struct ProcessFigures {
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Memory of the machine, in bytes; 0: not known.
    pub system_memory_bytes: u64,
    /// Processor time in user mode.
    pub cpu_user: Duration,
    /// Processor time in the kernel.
    pub cpu_system: Duration,
    /// The process's number.
    pub pid: u32,
    /// Path of the program.
    pub executable: String,
    /// The memory allocator's name, empty for that of the system.
    pub allocator: &'static str,
    /// The port that is listened on.
    pub tcp_port: u16,
}

/// A reading in nanoseconds from an arbitrary origin, to measure durations
/// with. The engine itself reads no clock: whoever drives it hands one in.
pub type Stopwatch = fn() -> u64;
