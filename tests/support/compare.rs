//! When two replies count as equal: byte for byte, unless a departure says
//! which freedom a command has, and why.

use super::generator::Command;
use super::resp::{self, Reply};

/// How the replies of a command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Byte for byte.
    Exact,
    /// Integers may differ by so much; negative ones must be equal.
    Within(i64),
    /// The elements are a set.
    Unordered,
    /// The same, two by two: a map.
    UnorderedPairs,
    /// A SCAN that returns everything in one call: the keys are a set.
    ScanKeys,
    /// Only type and number of elements, recursively; errors must be equal.
    Shape,
    /// All fields but `version` and `id`.
    Hello,
    /// Lines of `name=value`: every field that the oracle names, and the values
    /// of those that do not depend on sockets, clocks or buffers.
    ClientFields,
    /// An array of lines with the same first one.
    HelpText,
    /// Arguments and client names of the entries.
    SlowLogEntries,
    /// RESP3 messages: their order is compared, their place between the replies
    /// is not.
    MessagePlace,
    /// UNSUBSCRIBE without arguments: the channels are a set, the counts are not.
    UnsubscribedChannels,
    /// The patterns that one message matched are a set.
    MatchedPatterns,
    /// Never sent to both.
    NotGenerated,
}

/// One freedom, or one thing that is not compared.
pub(crate) struct Departure {
    /// Commands (`TTL`) or subcommands (`CLIENT INFO`).
    pub(crate) subjects: &'static [&'static str],
    pub(crate) treatment: Treatment,
    pub(crate) reason: &'static str,
}

/// How `command` is treated.
pub(crate) fn treatment(departures: &[Departure], command: &Command) -> Treatment {
    let (name, full_name) = (command.name(), command.full_name());
    departures
        .iter()
        .find(|it| it.subjects.iter().any(|&subject| subject == name || subject == full_name))
        .map_or(Treatment::Exact, |departure| departure.treatment)
}

/// The first difference between what two servers replied.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// Index of the command, if the reply belongs to one.
    pub(crate) command: Option<usize>,
    pub(crate) oracle: Option<Vec<u8>>,
    pub(crate) subject: Option<Vec<u8>>,
}

/// Compares everything that two servers replied to `commands`.
pub(crate) fn difference(
    departures: &[Departure],
    commands: &[Command],
    oracle: &[Vec<u8>],
    subject: &[Vec<u8>],
) -> Option<Difference> {
    // The ordinary case needs no thinking.
    if oracle == subject {
        return None;
    }
    let listed = |treatment| departures.iter().any(|it| it.treatment == treatment);
    let place_is_free = listed(Treatment::MessagePlace);
    let arranged = |replies: &[Vec<u8>]| {
        let (mut pushes, mut others): (Vec<_>, Vec<_>) = replies
            .iter()
            .cloned()
            .partition(|raw| place_is_free && raw[0] == b'>' && is_message(raw));
        if listed(Treatment::MatchedPatterns) {
            sort_matched_patterns(&mut pushes);
            sort_matched_patterns(&mut others);
        }
        let owners = attribute(commands, &others.iter().collect::<Vec<_>>());
        if listed(Treatment::UnsubscribedChannels) {
            sort_unsubscribed_channels(commands, &owners, &mut others);
        }
        (pushes, others, owners)
    };
    let (pushes_of_oracle, of_oracle, owners) = arranged(oracle);
    let (pushes_of_subject, of_subject, _) = arranged(subject);
    let mut queued: Vec<Treatment> = Vec::new();
    for index in 0..of_oracle.len().max(of_subject.len()) {
        let owner = owners.get(index).copied().flatten();
        let (left, right) = (of_oracle.get(index), of_subject.get(index));
        let found = Difference {
            command: owner,
            oracle: left.map(|raw| raw.to_vec()),
            subject: right.map(|raw| raw.to_vec()),
        };
        let (Some(left), Some(right)) = (left, right) else { return Some(found) };
        let Some(owner) = owner else {
            if left != right {
                return Some(found);
            }
            continue;
        };
        let treatment = treatment(departures, &commands[owner]);
        let equal = match commands[owner].name().as_str() {
            "EXEC" => executed_equal(&queued, left, right),
            _ => equal(treatment, left, right),
        };
        if !equal {
            return Some(found);
        }
        if left.as_slice() == b"+QUEUED\r\n" {
            queued.push(treatment);
        } else if matches!(commands[owner].name().as_str(), "EXEC" | "DISCARD" | "RESET") {
            queued.clear();
        }
    }
    let most = pushes_of_oracle.len().max(pushes_of_subject.len());
    (0..most).find_map(|index| {
        let (left, right) = (pushes_of_oracle.get(index), pushes_of_subject.get(index));
        (left != right).then(|| Difference {
            command: None,
            oracle: left.cloned(),
            subject: right.cloned(),
        })
    })
}

/// Brings the messages that one PUBLISH sends for several patterns, which
/// differ in nothing but the pattern, into one order.
fn sort_matched_patterns(replies: &mut [Vec<u8>]) {
    let published = |raw: &[u8]| {
        // Four elements make it one that a pattern matched.
        let matched = is_message(raw) && raw[1] == b'4';
        let elements = children(raw).filter(|_| matched)?;
        Some((elements[2].to_vec(), elements[3].to_vec()))
    };
    for run in replies.chunk_by_mut(|one, next| {
        let one = published(one);
        one.is_some() && one == published(next)
    }) {
        run.sort();
    }
}

/// Brings the channels that one UNSUBSCRIBE without arguments names into one
/// order; the counts stay where they are.
fn sort_unsubscribed_channels(
    commands: &[Command],
    owners: &[Option<usize>],
    replies: &mut [Vec<u8>],
) {
    let mut at = 0;
    for run in owners.chunk_by(|one, next| one == next) {
        let range = at..at + run.len();
        at = range.end;
        let Some(owner) = run[0] else { continue };
        if commands[owner].args.len() > 1 || commands[owner].name() != "UNSUBSCRIBE" {
            continue;
        }
        let replies = &mut replies[range];
        let split: Option<Vec<Vec<Vec<u8>>>> = replies
            .iter()
            .map(|raw| Some(children(raw)?.into_iter().map(<[u8]>::to_vec).collect()))
            .collect();
        let Some(split) = split.filter(|it| it.iter().all(|parts| parts.len() == 3)) else {
            continue;
        };
        let mut channels: Vec<&Vec<u8>> = split.iter().map(|parts| &parts[1]).collect();
        channels.sort();
        for ((raw, parts), channel) in replies.iter_mut().zip(&split).zip(channels) {
            let head = [raw[0], b'3', b'\r', b'\n'];
            *raw = [&head, parts[0].as_slice(), channel, &parts[2]].concat();
        }
    }
}

/// A published message, as opposed to a reply.
pub(crate) fn is_message(raw: &[u8]) -> bool {
    const HEADS: [&[u8]; 4] = [
        b"*3\r\n$7\r\nmessage\r\n",
        b">3\r\n$7\r\nmessage\r\n",
        b"*4\r\n$8\r\npmessage\r\n",
        b">4\r\n$8\r\npmessage\r\n",
    ];
    HEADS.iter().any(|head| raw.starts_with(head))
}

/// For every reply the index of the command that it answers; `None` for
/// messages and for what nobody asked.
pub(crate) fn attribute(commands: &[Command], replies: &[&Vec<u8>]) -> Vec<Option<usize>> {
    let mut owners = Vec::with_capacity(replies.len());
    let mut pending = commands.iter().enumerate().filter(|(_, command)| !command.silent);
    let mut current: Option<(usize, Expected)> = None;
    for raw in replies {
        if is_message(raw) {
            owners.push(None);
            continue;
        }
        let kind = subscription_kind(raw);
        current = match current {
            Some((owner, Expected::More(left))) if left > 0 => {
                Some((owner, Expected::More(left - 1)))
            }
            Some((owner, Expected::While(name))) if kind == Some(name) => {
                Some((owner, Expected::While(name)))
            }
            _ => pending.next().map(|(index, command)| (index, expected(command, kind))),
        };
        owners.push(current.as_ref().map(|(owner, _)| *owner));
    }
    owners
}

/// What still comes for a command after its first reply.
enum Expected {
    More(usize),
    While(&'static str),
}

const SUBSCRIPTION_KINDS: [&str; 4] = ["subscribe", "psubscribe", "unsubscribe", "punsubscribe"];

fn expected(command: &Command, kind: Option<&'static str>) -> Expected {
    // Refused or queued, it has one reply like everything else.
    let Some(kind) = kind.filter(|kind| command.name().eq_ignore_ascii_case(kind)) else {
        return Expected::More(0);
    };
    match command.args.len() {
        1 => Expected::While(kind),
        length => Expected::More(length - 2),
    }
}

fn subscription_kind(raw: &[u8]) -> Option<&'static str> {
    SUBSCRIPTION_KINDS.into_iter().find(|kind| {
        let tail = format!("3\r\n${}\r\n{kind}\r\n", kind.len());
        raw.get(1..).is_some_and(|rest| rest.starts_with(tail.as_bytes()))
    })
}

/// The reply to EXEC: each element as its command is treated.
fn executed_equal(queued: &[Treatment], left: &[u8], right: &[u8]) -> bool {
    match (children(left), children(right)) {
        (Some(left), Some(right)) if left.len() == queued.len() && right.len() == queued.len() => {
            queued
                .iter()
                .zip(left.iter().zip(&right))
                .all(|(&it, (left, right))| equal(it, left, right))
        }
        _ => left == right,
    }
}

/// Whether two replies are equal under `treatment`.
pub(crate) fn equal(treatment: Treatment, left: &[u8], right: &[u8]) -> bool {
    if left == right {
        return true;
    }
    // The freedom is in results, never in which error there is.
    let plain = |raw: &[u8]| matches!(raw[0], b'-' | b'+');
    if plain(left) || plain(right) || left[0] != right[0] {
        return false;
    }
    match treatment {
        Treatment::Exact
        | Treatment::MessagePlace
        | Treatment::MatchedPatterns
        | Treatment::UnsubscribedChannels
        | Treatment::NotGenerated => false,
        Treatment::Within(tolerance) => match (resp::decode_one(left), resp::decode_one(right)) {
            (Reply::Integer(left), Reply::Integer(right)) => {
                left >= 0 && right >= 0 && left.abs_diff(right) <= tolerance.unsigned_abs()
            }
            _ => false,
        },
        Treatment::Unordered => unordered(left, 1) == unordered(right, 1),
        Treatment::UnorderedPairs => unordered(left, 2) == unordered(right, 2),
        Treatment::ScanKeys => match (children(left), children(right)) {
            (Some(left), Some(right)) if left.len() == 2 && right.len() == 2 => {
                left[0] == right[0] && equal(Treatment::Unordered, left[1], right[1])
            }
            _ => false,
        },
        Treatment::Shape => same_shape(left, right),
        Treatment::Hello => hello_fields(left).is_some_and(|it| Some(it) == hello_fields(right)),
        Treatment::ClientFields => client_lines_equal(left, right),
        Treatment::HelpText => help_equal(left, right),
        Treatment::SlowLogEntries => slow_log_equal(left, right),
    }
}

/// The raw elements of an aggregate.
pub(crate) fn children(raw: &[u8]) -> Option<Vec<&[u8]>> {
    if !b"*~%>".contains(raw.first()?) {
        return None;
    }
    let mut rest = &raw[raw.iter().position(|&byte| byte == b'\n')? + 1..];
    let mut found = Vec::new();
    while let Ok(Some(length)) = resp::measure(rest) {
        found.push(&rest[..length]);
        rest = &rest[length..];
    }
    Some(found)
}

fn unordered(raw: &[u8], group: usize) -> Option<Vec<Vec<u8>>> {
    let elements = children(raw)?;
    let mut groups: Vec<Vec<u8>> = elements.chunks(group).map(|group| group.concat()).collect();
    groups.sort();
    Some(groups)
}

fn same_shape(left: &[u8], right: &[u8]) -> bool {
    match (children(left), children(right)) {
        (Some(left), Some(right)) => {
            left.len() == right.len()
                && left.iter().zip(&right).all(|(left, right)| same_shape(left, right))
        }
        (None, None) => {
            let null = |raw: &[u8]| raw == b"$-1\r\n" || raw == b"_\r\n";
            left[0] == right[0] && null(left) == null(right)
        }
        _ => false,
    }
}

fn hello_fields(raw: &[u8]) -> Option<Vec<(Reply, Reply)>> {
    let free = |name: &Reply| matches!(name.text(), Some(b"version" | b"id"));
    let mut fields = resp::decode_one(raw).pairs()?;
    for (name, value) in &mut fields {
        if free(name) {
            // Still a field at this place, and of this type.
            *value = match value {
                Reply::Integer(_) => Reply::Integer(0),
                _ => Reply::Null,
            };
        }
    }
    Some(fields)
}

fn client_lines_equal(left: &[u8], right: &[u8]) -> bool {
    const COMPARED: &[&str] =
        &["name", "db", "sub", "psub", "ssub", "multi", "flags", "cmd", "user", "redir", "resp"];
    let (left, right) = (resp::decode_one(left), resp::decode_one(right));
    let (Some(left), Some(right)) = (left.text(), right.text()) else { return false };
    let (left, right) = (String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    if left.lines().count() != right.lines().count()
        || left.ends_with('\n') != right.ends_with('\n')
    {
        return false;
    }
    left.lines().zip(right.lines()).all(|(left, right)| {
        let fields: Vec<(&str, &str)> = client_fields(right).collect();
        client_fields(left).all(|(name, value)| {
            fields
                .iter()
                .any(|&(other, its)| other == name && (its == value || !COMPARED.contains(&name)))
        })
    })
}

fn client_fields(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split(' ').filter_map(|field| field.split_once('='))
}

fn help_equal(left: &[u8], right: &[u8]) -> bool {
    let lines = |raw: &[u8]| match resp::decode_one(raw) {
        Reply::Array(lines) if lines.iter().all(|line| matches!(line, Reply::Simple(_))) => {
            Some(lines)
        }
        _ => None,
    };
    match (lines(left), lines(right)) {
        (Some(left), Some(right)) => left.first() == right.first() && !right.is_empty(),
        _ => false,
    }
}

fn slow_log_equal(left: &[u8], right: &[u8]) -> bool {
    let (Some(left), Some(right)) = (children(left), children(right)) else { return false };
    left.len() == right.len()
        && left.iter().zip(&right).all(|(left, right)| {
            let (Some(left), Some(right)) = (children(left), children(right)) else { return false };
            // Identity, time, duration, arguments, address, client name.
            left.len() == 6
                && right.len() == 6
                && (0..3).all(|at| left[at][0] == b':' && right[at][0] == b':')
                && left[3] == right[3]
                && left[4][0] == right[4][0]
                && left[5] == right[5]
        })
}
