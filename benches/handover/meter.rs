//! What a server has done meanwhile: requests by its own INFO, and processor time
//! by the system, which counts it exactly where INFO may count ticks of 10 ms.

use std::io;
use std::time::Duration;

use super::shared::usage::cpu;
use super::support::process::ServerProcess;
use super::support::target::TcpTarget;

/// Commands that here only scripts run: nobody has sent them.
const IN_SCRIPTS: &[&str] = &["get", "del", "publish", "decrby"];

/// Commands of the measurement itself.
const OWN: &[&str] = &["info", "config|resetstat"];

/// What a server has done since some moment.
pub(crate) struct Done {
    /// Requests that it was sent.
    pub(crate) requests: u64,
    /// Processor time, of the system on its behalf too.
    pub(crate) cpu: Duration,
}

/// Counts from when it is made.
pub(crate) struct Meter {
    connection: TcpTarget,
    pid: u32,
    cpu_before: Duration,
}

impl Meter {
    pub(crate) fn start(server: &ServerProcess) -> io::Result<Meter> {
        let mut connection = server.connect();
        let info = info(&mut connection, "server");
        let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        let pid = pid.and_then(|pid| pid.trim().parse().ok()).expect("INFO has the process");
        connection.call(&["CONFIG", "RESETSTAT"]);
        Ok(Meter { connection, pid, cpu_before: cpu(pid)? })
    }

    pub(crate) fn stop(mut self) -> io::Result<Done> {
        let cpu = cpu(self.pid)?.saturating_sub(self.cpu_before);
        let info = info(&mut self.connection, "commandstats");
        let calls = |line: &str| -> Option<u64> {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let counts = !IN_SCRIPTS.contains(&name) && !OWN.contains(&name);
            counts.then(|| rest.split(',').next()?.parse().ok())?
        };
        Ok(Done { requests: info.lines().filter_map(calls).sum(), cpu })
    }
}

fn info(connection: &mut TcpTarget, section: &str) -> String {
    let info = connection.call(&["INFO", section]);
    String::from_utf8_lossy(info.text().expect("INFO is text")).into_owned()
}
