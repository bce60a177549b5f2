//! What a restart has to find: the groups in their order, how many of them at least,
//! and what clients have been told.

use std::collections::BTreeMap;
use std::path::Path;

use tollgate::clock::Now;
use tollgate::config::Config;
use tollgate::persist::{End, PIECE_BYTES, Scanned, Scanner};

use super::liar::Liar;
use crate::support::resp::Reply;
use crate::support::sim::Sim;

/// The database of the keys whose values rise.
pub(crate) const RISING_DB: &str = "9";

/// Keys of that database that are changed together.
pub(crate) const PAIRS: [[&str; 2]; 2] = [["left", "right"], ["one", "other"]];

/// All that was sealed and handed to a writer, from the first server on: what a crash
/// has lost is no part of it.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) groups: Vec<Vec<u8>>,
    /// Those of the journal that is to be replaced, as long as it is not.
    pub(crate) old: Option<Vec<Vec<u8>>>,
    /// Replies whose changes are in groups up to this one have been let go.
    pub(crate) acknowledged: usize,
    /// The value of each rising key that somebody has been told of, and the last one
    /// that was sent.
    pub(crate) told: BTreeMap<String, i64>,
    pub(crate) sent: BTreeMap<String, i64>,
    /// The highest token that somebody has.
    pub(crate) token: i64,
    /// Snapshots that may be found under their name: the last that was finished, and
    /// what has been attempted since.
    pub(crate) saved: Vec<Vec<u8>>,
    pub(crate) must_be_saved: bool,
}

/// What was found.
pub(crate) struct Found {
    /// Groups of the base; `None` if there is none.
    pub(crate) base: Option<Vec<Vec<u8>>>,
    pub(crate) later: Vec<Vec<u8>>,
}

impl Oracle {
    pub(crate) fn note(&mut self, bytes: &[u8], ends: &[usize]) {
        let mut start = 0;
        for &end in ends {
            self.groups.push(bytes[start..end].to_vec());
            start = end;
        }
    }

    /// Compares what was found with what was written, of which at least `floor` groups
    /// have to be there. Answers how many are.
    pub(crate) fn check(
        &self,
        found: &Found,
        floor: usize,
        config: &Config,
        now: Now,
    ) -> Result<usize, String> {
        let all = self.groups.len();
        let later = found.later.len();
        if found.base.is_none() {
            if later > all || found.later != self.groups[..later] {
                return Err(format!("{later} groups are not the first of {all}"));
            }
            if later < floor {
                return Err(format!("{later} groups are there, not {floor} of {all}"));
            }
        }
        let mut recovered = Sim::restarted(config.clone(), now, &found.all());
        let shown = recovered.snapshot();
        // With a base the groups in it cannot be told, but those behind it.
        let ends = match found.base {
            Some(_) => later..=all,
            None => later..=later,
        };
        let mut candidates: Vec<usize> =
            ends.filter(|&end| found.later == self.groups[end - later..end]).collect();
        if candidates.is_empty() {
            return Err(format!("the last {later} groups do not follow each other"));
        }
        candidates.retain(|&end| end >= floor);
        if candidates.is_empty() {
            return Err(format!("less than {floor} of {all} groups are there"));
        }
        let is_it = |end: &usize| {
            let mut expected = Sim::restarted(config.clone(), now, &self.groups[..*end]);
            expected.snapshot() == shown
        };
        let Some(end) = candidates.iter().copied().find(is_it) else {
            let nearest = candidates[candidates.len() - 1];
            let mut expected =
                Sim::restarted(config.clone(), now, &self.groups[..nearest]).snapshot();
            let mut shown = shown;
            shown.retain(|record| {
                let at = expected.iter().position(|other| other == record);
                at.map(|at| expected.remove(at)).is_none()
            });
            let told = |records: &[Vec<Vec<u8>>]| {
                let words = records.iter().map(|record| record.join(&b' '));
                words.map(|words| words.escape_ascii().to_string()).collect::<Vec<_>>()
            };
            return Err(format!(
                "the keys are not those of {candidates:?} groups (at least {floor} of {all}): {:?} \
                 instead of {:?}",
                told(&shown),
                told(&expected)
            ));
        };
        self.look(&mut recovered)?;
        Ok(end)
    }

    /// What clients were told is so, or more has happened since.
    fn look(&self, recovered: &mut Sim) -> Result<(), String> {
        recovered.ask(1, &[b"SELECT", RISING_DB.as_bytes()]);
        for (key, &sent) in &self.sent {
            let value = match recovered.ask(1, &[b"GET", key.as_bytes()]) {
                Reply::Bulk(text) => String::from_utf8_lossy(&text).parse().unwrap_or(-1),
                _ => 0,
            };
            let told = self.told.get(key).copied().unwrap_or(0);
            if !(told..=sent).contains(&value) {
                return Err(format!("{key} is {value}, was {told} and was to be {sent}"));
            }
        }
        for pair in PAIRS {
            let both = pair.map(|key| recovered.ask(1, &[b"GET", key.as_bytes()]));
            if both[0] != both[1] {
                return Err(format!("half of a transaction is there: {both:?}"));
            }
        }
        match recovered.ask(1, &[b"LOCK.ACQUIRE", b"probe", b"me", b"PX", b"1000"]) {
            Reply::Integer(token) if token > self.token => Ok(()),
            other => Err(format!("the next token is {other:?} after {}", self.token)),
        }
    }

    /// What a crash has lost was never written.
    pub(crate) fn cut(&mut self, end: usize) {
        self.groups.truncate(end);
        self.acknowledged = self.acknowledged.min(end);
    }

    /// A snapshot is all that there was after so many groups.
    pub(crate) fn check_saved(
        &self,
        disk: &Liar,
        path: &Path,
        end: usize,
        config: &Config,
        now: Now,
    ) -> Result<(), String> {
        let groups = groups_of(disk, path)?;
        let mut saved = Sim::restarted(config.clone(), now, &groups);
        let mut expected = Sim::restarted(config.clone(), now, &self.groups[..end]);
        if saved.snapshot() != expected.snapshot() {
            return Err(format!("the snapshot is not that of {end} groups"));
        }
        Ok(())
    }

    /// The snapshot that a crash leaves is a whole one.
    pub(crate) fn check_left(&self, disk: &Liar, path: &Path) -> Result<(), String> {
        match disk.disk.read(path) {
            None if self.must_be_saved => Err("the snapshot is gone".to_owned()),
            None => Ok(()),
            Some(bytes) if self.saved.contains(&bytes) => groups_of(disk, path).map(drop),
            Some(_) => Err("the snapshot is another one".to_owned()),
        }
    }
}

impl Found {
    /// All groups, in order.
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        [self.base.as_deref().unwrap_or_default(), &self.later].concat()
    }
}

fn groups_of(disk: &Liar, path: &Path) -> Result<Vec<Vec<u8>>, String> {
    use tollgate::persist::Disk;
    let told = |error: std::io::Error| format!("the snapshot: {error}");
    let file = disk.open(path, false).map_err(told)?;
    let mut scanner = Scanner::new(file, PIECE_BYTES).map_err(told)?;
    let mut groups = Vec::new();
    loop {
        match scanner.scan().map_err(told)? {
            Scanned::Group(group) => groups.push(group.commands.to_vec()),
            Scanned::End(End::Whole) => return Ok(groups),
            Scanned::End(end) => return Err(format!("the snapshot ends so: {end:?}")),
        }
    }
}
