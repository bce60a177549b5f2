//! The comparison: what must be there and what there is. Pure, so that a test can
//! show it faults and see each of them reported.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{History, HoldState, State, intersect};

/// Each client's pairs of keys: their names end with these and their values are
/// always equal.
pub(crate) const PAIR_ENDS: [&str; 2] = [":left", ":right"];

/// An attempt to take units from a counter that all share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take {
    pub(crate) number: u64,
    pub(crate) counter: usize,
    pub(crate) units: i64,
    /// What was answered, if anything was.
    pub(crate) granted: Option<bool>,
}

/// What one client has done since the keys were last looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) db: u32,
    /// The last operation that was sent.
    pub(crate) sent: u64,
    pub(crate) keys: BTreeMap<String, History>,
    /// What each hold that may live or may have ended takes, by stock.
    pub(crate) holds: BTreeMap<String, Vec<(usize, i64)>>,
    pub(crate) takes: Vec<Take>,
    /// Tokens of new grants in the order of the answers.
    pub(crate) tokens: Vec<u64>,
}

/// Everything as one transaction has shown it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) now_ms: u64,
    pub(crate) keys: BTreeMap<(u32, String), State>,
    /// Of each stock: available, held.
    pub(crate) stock: Vec<(i64, i64)>,
    pub(crate) units: Vec<i64>,
}

impl Seen {
    pub(crate) fn key(&self, record: &Record, key: &str) -> &State {
        self.keys.get(&(record.db, key.to_owned())).unwrap_or(&State::Absent)
    }

    /// What a client has put into the stocks, or the counters of units, so far: a
    /// number that it writes in the same transaction.
    fn put_in(&self, record: &Record, kind: &str, which: usize) -> i64 {
        match self.key(record, &put_in_key(&record.name, kind, which)) {
            State::Text { value, .. } => {
                std::str::from_utf8(value).ok().and_then(|it| it.parse().ok()).unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// The key in which a client notes what it has put into a stock or counter.
pub(crate) fn put_in_key(name: &str, kind: &str, which: usize) -> String {
    format!("{name}:in:{kind}:{which}")
}

/// What is known of the stocks and counters that all clients share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    /// Units that were there at the very beginning, by stock.
    pub(crate) stock: Vec<i64>,
    /// Units in holds that were seen confirmed before, by stock.
    pub(crate) sold: Vec<i64>,
    /// Of each counter of units: what was seen last, and what all clients had put
    /// in by then.
    pub(crate) units: Vec<(i64, i64)>,
}

/// The keys of one client, after so many operations were promised to last.
pub(crate) fn check_client(record: &Record, promised: u64, seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    let allowed = vec![promised..=record.sent];
    let mut common = allowed.clone();
    let mut narrowed_by = String::new();
    for (key, history) in &record.keys {
        let state = seen.key(record, key);
        let explained = history.explained_by(state, seen.now_ms, record.sent);
        let alone = intersect(&explained, &allowed);
        let about = || {
            format!(
                "db {} key {key} is {state:?} at {}; operations {promised} (promised) to {} (sent) \
                 make it {}",
                record.db,
                seen.now_ms,
                record.sent,
                history.show(promised)
            )
        };
        if alone.is_empty() {
            let kind = if explained.is_empty() { "never made" } else { "lost" };
            faults.push(format!("{kind}: {}, where it was after {explained:?}", about()));
            continue;
        }
        let both = intersect(&common, &alone);
        if both.is_empty() {
            faults.push(format!(
                "disagree: {}, so after operations {alone:?}, but {narrowed_by} says {common:?}",
                about()
            ));
            continue;
        }
        if both != common {
            narrowed_by.clone_from(key);
        }
        common = both;
    }
    faults.extend(torn_pairs(record, seen));
    if !faults.is_empty() {
        faults.insert(0, how_far(record, promised, seen));
    }
    faults
}

/// The first thing to know: whether the keys are those of an earlier time, all of
/// one, or of none.
fn how_far(record: &Record, promised: u64, seen: &Seen) -> String {
    let mut common = vec![0..=record.sent];
    for (key, history) in &record.keys {
        let state = seen.key(record, key);
        common = intersect(&common, &history.explained_by(state, seen.now_ms, record.sent));
    }
    let Record { name, sent, .. } = record;
    match common.as_slice() {
        [] => format!("client {name}: its keys are not those of any one time"),
        times => format!(
            "client {name}: its keys are as after operations {times:?}, of {sent} sent and \
             {promised} promised"
        ),
    }
}

/// The other rule would find them as well, in more words.
fn torn_pairs(record: &Record, seen: &Seen) -> Vec<String> {
    let pairs = record.keys.keys().filter_map(|left| {
        let stem = left.strip_suffix(PAIR_ENDS[0])?;
        let right = format!("{stem}{}", PAIR_ENDS[1]);
        Some((left, seen.key(record, left), seen.key(record, &right)))
    });
    pairs
        .filter(|(_, left, right)| left != right)
        .map(|(name, left, right)| format!("torn: {name} is {left:?}, its other half {right:?}"))
        .collect()
}

/// What was put in is available, held or sold, for each stock.
pub(crate) fn check_stock(shared: &Shared, records: &[&Record], seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    for (which, &(available, held)) in seen.stock.iter().enumerate() {
        let in_state = |wanted| -> i64 {
            records.iter().map(|record| held_in(record, seen, wanted, which)).sum()
        };
        let put_in: i64 = records.iter().map(|it| seen.put_in(it, "stock", which)).sum();
        let total = shared.stock[which] + put_in;
        let (in_holds, sold) =
            (in_state(HoldState::Held), shared.sold[which] + in_state(HoldState::Confirmed));
        if available < 0 {
            faults.push(format!("oversold: stock {which} has {available}"));
        }
        if held != in_holds {
            faults.push(format!(
                "holds: stock {which} has {held} held, its live holds are {in_holds}"
            ));
        }
        if available + in_holds + sold != total {
            faults.push(format!(
                "stock {which}: {available} available + {in_holds} in live holds + {sold} sold is \
                 not the {total} that were put in"
            ));
        }
    }
    faults
}

fn held_in(record: &Record, seen: &Seen, wanted: HoldState, which: usize) -> i64 {
    let takes = record.holds.iter().filter(
        |(hold, _)| matches!(seen.key(record, hold), State::Hold { state, .. } if *state == wanted),
    );
    takes.flat_map(|(_, items)| items).filter(|item| item.0 == which).map(|item| item.1).sum()
}

/// Units that DECRIFPOS has granted are gone from the counter, others are not.
pub(crate) fn check_units(shared: &Shared, records: &[(&Record, u64)], seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    for (counter, &value) in seen.units.iter().enumerate() {
        let put_in: i64 = records.iter().map(|(it, _)| seen.put_in(it, "units", counter)).sum();
        let (last, put_in_before) = shared.units[counter];
        let gone = last + put_in - put_in_before - value;
        let (mut least, mut most) = (0, 0);
        for (record, promised) in records {
            for take in record.takes.iter().filter(|take| take.counter == counter) {
                let is_sure = take.granted == Some(true) && take.number <= *promised;
                least += if is_sure { take.units } else { 0 };
                most += if take.granted == Some(false) { 0 } else { take.units };
            }
        }
        if value < 0 {
            faults.push(format!("oversold: counter {counter} is {value}"));
        }
        if !(least..=most).contains(&gone) {
            faults.push(format!(
                "units: counter {counter} is {value}, so {gone} are gone, but {least} to {most} \
                 were granted"
            ));
        }
    }
    faults
}

/// The tokens that the clients have had, over all lives of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    greatest_of_earlier_lives: u64,
}

impl Tokens {
    /// Takes what the clients were granted in one life, and what locks show after
    /// its end.
    pub(crate) fn check_life(&mut self, records: &[&Record], seen: &Seen) -> Vec<String> {
        let mut faults = Vec::new();
        let mut of_this_life = BTreeSet::new();
        for record in records {
            let mut last = self.greatest_of_earlier_lives;
            for &token in &record.tokens {
                if token <= last {
                    faults.push(format!(
                        "token: {} was granted {token} after {last}, the greatest of earlier lives \
                         is {}",
                        record.name, self.greatest_of_earlier_lives
                    ));
                }
                if !of_this_life.insert(token) {
                    faults.push(format!(
                        "token: {token} was granted twice, again to {}",
                        record.name
                    ));
                }
                last = last.max(token);
            }
        }
        // Of locks whose grant was not answered the token is seen now only.
        let mut unanswered = BTreeSet::new();
        for record in records {
            let locks =
                record.keys.iter().filter_map(|(key, history)| match seen.key(record, key) {
                    State::Lock { token: Some(token), .. } => Some((key, history, *token)),
                    _ => None,
                });
            for (key, history, token) in locks {
                let is_old = matches!(history.settled(), State::Lock { token: Some(it), .. } if *it == token);
                if is_old || record.tokens.contains(&token) {
                    continue;
                }
                let is_new = token > self.greatest_of_earlier_lives
                    && !of_this_life.contains(&token)
                    && unanswered.insert(token);
                if !is_new {
                    faults.push(format!(
                        "token: {key} has {token}, which somebody else was granted or which is not \
                         after {}, the greatest of earlier lives",
                        self.greatest_of_earlier_lives
                    ));
                }
            }
        }
        of_this_life.extend(unanswered);
        let greatest = of_this_life.last().copied().unwrap_or(0);
        self.greatest_of_earlier_lives = self.greatest_of_earlier_lives.max(greatest);
        faults
    }
}

/// From here on the model is what was seen.
pub(crate) fn settle(shared: &mut Shared, records: &mut [&mut Record], seen: &Seen) {
    for which in 0..seen.stock.len() {
        let sold = records.iter().map(|it| held_in(it, seen, HoldState::Confirmed, which));
        shared.sold[which] += sold.sum::<i64>();
    }
    for (counter, &value) in seen.units.iter().enumerate() {
        let put_in = records.iter().map(|it| seen.put_in(it, "units", counter)).sum();
        shared.units[counter] = (value, put_in);
    }
    for record in records {
        let ended: Vec<String> = record
            .holds
            .keys()
            .filter(|hold| {
                !matches!(seen.key(record, hold), State::Hold { state: HoldState::Held, .. })
            })
            .cloned()
            .collect();
        for hold in ended {
            // Its name is not used again.
            record.holds.remove(&hold);
            record.keys.remove(&hold);
        }
        let (name, db, sent) = (record.name.clone(), record.db, record.sent);
        for (key, history) in &mut record.keys {
            let state = seen.keys.get(&(db, key.clone())).cloned().unwrap_or(State::Absent);
            debug_assert!(!matches!(state, State::Odd(_)), "{name} {key}");
            history.settle(sent, state);
        }
        record.takes.clear();
        record.tokens.clear();
    }
}
