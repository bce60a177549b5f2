//! A server whose disk fails and whose machine stops, all in one thread and in simulated
//! time: the engine, the journal and its files, and between them what
//! `src/reactor/keeper` does.

mod liar;
mod oracle;
mod server;
mod threads;

use server::Server;

/// A fault of the server's, to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// Groups count as durable when the writer has them.
    AcknowledgesBeforeSync,
    /// A rewrite is finished while groups that its base has the effects of may be lost.
    FinishesUnsynced,
    /// The same, because the loop has not handed them over yet.
    FinishesWithoutTheLast,
    /// After a sync has failed, the next one is taken to make up for it.
    BelievesFailedSyncs,
    /// A restarted server grants locks before it is durable which tokens it may give.
    ServesAtOnce,
}

/// What has happened in the runs, so that a test can tell whether it was much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) groups: usize,
    pub(crate) power_losses: usize,
    pub(crate) kills: usize,
    /// Groups that were sealed and lost.
    pub(crate) lost: usize,
    pub(crate) rewrites: usize,
    pub(crate) saves: usize,
    pub(crate) refusals: usize,
    pub(crate) faults: usize,
    pub(crate) mended: usize,
    pub(crate) torn: usize,
    pub(crate) failed_starts: usize,
    pub(crate) begun_anew: usize,
    /// A sync has failed of what had counted when it was written.
    pub(crate) broken: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.groups += other.groups;
        self.power_losses += other.power_losses;
        self.kills += other.kills;
        self.lost += other.lost;
        self.rewrites += other.rewrites;
        self.saves += other.saves;
        self.refusals += other.refusals;
        self.faults += other.faults;
        self.mended += other.mended;
        self.torn += other.torn;
        self.failed_starts += other.failed_starts;
        self.begun_anew += other.begun_anew;
        self.broken += other.broken;
    }
}

/// Runs a seed: a few servers, one after the other, on one disk.
pub(crate) fn run(seed: u64, sabotage: Sabotage, is_loud: bool) -> Result<Tally, String> {
    let mut server = Server::new(seed, sabotage, is_loud);
    let lives = server.rng.usize(2..=4);
    for life in 1..=lives {
        server.live().map_err(|what| format!("seed {seed}, life {life}: {what}"))?;
        server.crash().map_err(|what| format!("seed {seed}, end of life {life}: {what}"))?;
    }
    Ok(server.tally)
}
