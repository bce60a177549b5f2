//! STOCK.HOLD, CONFIRM, CANCEL, EXTEND, INFO: units that are set aside for a time,
//! and sold or given back.

use std::collections::{BTreeMap, HashMap};

use super::flags::{DENYOOM, FAST, LOOKS_FURTHER, READONLY, WRITE};
use super::parse::is;
use super::span::{self, Span};
use super::value::counted;
use super::{CommandError, Context, Group, KeySpec, Outcome, Ran, Spec};
use crate::keyspace::{Hold, HoldItem, HoldState, Object};
use crate::protocol::Args;

const BASE: Spec = Spec {
    arity: 2,
    flags: WRITE | FAST,
    keys: &[KeySpec::one(1, "RW ACCESS UPDATE")],
    group: Group::Stock,
    since: "0.1.0",
    complexity: "O(N) with N being the number of counters in the hold",
    syntax: "hold",
    ..Spec::BASE
};

pub(super) static HOLD: Spec = Spec {
    name: "stock.hold",
    arity: -6,
    flags: WRITE | DENYOOM,
    keys: &[KeySpec::one(1, "RW ACCESS INSERT"), KeySpec::to_end(4, 2, "RW ACCESS UPDATE")],
    summary: "Sets units of several counters aside for a time, all or none; they return by themselves.",
    syntax: "hold PX milliseconds key amount [key amount ...]",
    example: "
> MSET shirt 5 cap 1
OK
> STOCK.HOLD cart:7 PX 60000 shirt 2 cap 1
1) (integer) 3
2) (integer) 0
2> STOCK.HOLD cart:8 PX 60000 shirt 2 cap 1
1) (integer) 3
2) (integer) -1
(60000 ms later)
> MGET shirt cap
1) \"5\"
2) \"1\"
",
    handler: hold,
    ..BASE
};

pub(super) static CONFIRM: Spec = Spec {
    name: "stock.confirm",
    summary: "Sells what a hold has set aside; 1, -1: it went back already, -2: no such hold.",
    example: "
> SET shirt 5
OK
> STOCK.HOLD cart:7 PX 60000 shirt 2
1) (integer) 3
> STOCK.CONFIRM cart:7
(integer) 1
(60000 ms later)
> GET shirt
\"3\"
> STOCK.CONFIRM nothing
(integer) -2
",
    handler: |context, args| end(context, args, true),
    ..BASE
};

pub(super) static CANCEL: Spec = Spec {
    name: "stock.cancel",
    summary: "Gives back what a hold has set aside; 1, -1: it is confirmed, -2: no such hold.",
    example: "
> SET shirt 5
OK
> STOCK.HOLD cart:7 PX 60000 shirt 2
1) (integer) 3
> STOCK.CANCEL cart:7
(integer) 1
> STOCK.CONFIRM cart:7
(integer) -1
> GET shirt
\"5\"
",
    handler: |context, args| end(context, args, false),
    ..BASE
};

pub(super) static EXTEND: Spec = Spec {
    name: "stock.extend",
    arity: 4,
    summary: "Lets a hold last so long from now; 1, -1: it has ended, -2: no such hold.",
    syntax: "hold PX milliseconds",
    example: "
> SET shirt 5
OK
> STOCK.HOLD cart:7 PX 60000 shirt 2
1) (integer) 3
(50000 ms later)
> STOCK.EXTEND cart:7 PX 60000
(integer) 1
> PTTL cart:7
(integer) 60000
",
    handler: extend,
    ..BASE
};

pub(super) static INFO: Spec = Spec {
    name: "stock.info",
    flags: READONLY | LOOKS_FURTHER,
    keys: &[KeySpec::one(1, "RO ACCESS")],
    complexity: "O(N) with N being the number of holds of a counter, or of counters in a hold",
    summary: "Answers what is available and held of a counter, or how far a hold has come.",
    syntax: "key",
    example: r#"
> SET shirt 5
OK
> STOCK.HOLD cart:7 PX 60000 shirt 2
1) (integer) 3
> STOCK.INFO shirt
1) "available"
2) (integer) 3
3) "held"
4) (integer) 2
5) "holds"
6) 1) 1) "hold"
      2) "cart:7"
      3) "amount"
      4) (integer) 2
      5) "pttl"
      6) (integer) 60000
> STOCK.INFO cart:7
1) "state"
2) "held"
3) "pttl"
4) (integer) 60000
5) "items"
6) 1) 1) "key"
      2) "shirt"
      3) "amount"
      4) (integer) 2
"#,
    handler: info,
    ..BASE
};

/// There are fewer units than are asked for.
const NOT_ENOUGH: i64 = -1;
const NO_SUCH_KEY: i64 = -2;

/// What is asked of one counter; `None` if it is more than a number can say.
type Amount = Option<i64>;

fn hold(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let lasts = px(args, 2)?;
    let pairs = args.tail(4);
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity { command: "stock.hold".to_owned() });
    }
    let wanted = Wanted::read(pairs)?;
    let deadline_ms = lasts.deadline_ms(context, "stock.hold")?;
    let key = &args[1];
    if let Some(placed) = context.db.hold(key)? {
        let remained = repeated(key, placed, &wanted)?;
        wanted.answer(context, &remained);
        return Ok(Outcome::Done);
    }
    // All is looked at before anything is taken.
    let mut available = Vec::with_capacity(wanted.amounts.len());
    for (counter, _) in &wanted.amounts {
        let value = context.db.peek_string(counter)?;
        available.push(value.map(|value| counted(Some(value))).transpose()?);
    }
    let left = |(available, (_, amount)): (&Option<i64>, &(&[u8], Amount))| match available {
        None => Err(NO_SUCH_KEY),
        Some(available) => {
            let left = amount.and_then(|amount| available.checked_sub(amount));
            left.filter(|left| *left >= 0).ok_or(NOT_ENOUGH)
        }
    };
    let left: Vec<Result<i64, i64>> = available.iter().zip(&wanted.amounts).map(left).collect();
    if left.iter().all(Result::is_ok) {
        let items = wanted.amounts.iter().zip(&left).filter_map(|((counter, amount), left)| {
            Some(HoldItem { key: (*counter).into(), amount: (*amount)?, remained: (*left).ok()? })
        });
        context.db.place_hold(key, items.collect(), deadline_ms, lasts.ms);
    }
    let placed = left.iter().all(Result::is_ok);
    let answers: Vec<i64> = left
        .iter()
        .zip(&available)
        .map(|(left, available)| match left {
            Ok(left) if placed => *left,
            Ok(_) => available.unwrap_or(NO_SUCH_KEY),
            Err(refusal) => *refusal,
        })
        .collect();
    wanted.answer(context, &answers);
    Ok(Outcome::Done)
}

/// What the first reply was to who asks for the same again.
fn repeated(key: &[u8], placed: &Hold, wanted: &Wanted<'_>) -> Result<Vec<i64>, CommandError> {
    let refuse = |code: &str, why: &str| {
        let quoted = CommandError::quotable(key);
        CommandError::owned([code.as_bytes(), b" hold '", quoted, b"' ", why.as_bytes()].concat())
    };
    if placed.state() != HoldState::Held {
        return Err(refuse("HOLDDONE", &format!("has ended: {}", placed.state().name())));
    }
    let items = placed.by_key();
    let same = |(counter, amount): &(&[u8], Amount)| {
        items.get(counter).filter(|item| Some(item.amount) == *amount).map(|item| item.remained)
    };
    let remained: Option<Vec<i64>> = wanted.amounts.iter().map(same).collect();
    remained
        .filter(|remained| remained.len() == items.len())
        .ok_or_else(|| refuse("HOLDBUSY", "holds other items"))
}

/// What is asked for, by counter in the order of first mention.
struct Wanted<'a> {
    amounts: Vec<(&'a [u8], Amount)>,
    /// For each pair of the request, which of these it is about.
    places: Vec<usize>,
}

impl<'a> Wanted<'a> {
    fn read(pairs: Args<'a>) -> Result<Wanted<'a>, CommandError> {
        let mut wanted = Wanted { amounts: Vec::new(), places: Vec::new() };
        let mut known: HashMap<&[u8], usize> = HashMap::new();
        let mut words = pairs.iter();
        while let (Some(counter), Some(amount)) = (words.next(), words.next()) {
            let amount = span::positive(amount, "amount")? as i64;
            let place = *known.entry(counter).or_insert_with(|| {
                wanted.amounts.push((counter, Some(0)));
                wanted.amounts.len() - 1
            });
            let sum = &mut wanted.amounts[place].1;
            *sum = sum.and_then(|sum| sum.checked_add(amount));
            wanted.places.push(place);
        }
        Ok(wanted)
    }

    /// Answers a number a pair.
    fn answer(&self, context: &mut Context<'_>, by_counter: &[i64]) {
        context.reply.array(self.places.len());
        for &place in &self.places {
            context.reply.integer(by_counter[place]);
        }
    }
}

fn px(args: Args<'_>, at: usize) -> Result<Span, CommandError> {
    if !is(&args[at], "px") {
        return Err(CommandError::Syntax);
    }
    Span::positive(&args[at + 1], "PX")
}

fn end(context: &mut Context<'_>, args: Args<'_>, as_sold: bool) -> Ran {
    let ended = context.db.end_hold(&args[1], as_sold)?;
    context.reply.integer(ended);
    Ok(Outcome::Done)
}

fn extend(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let lasts = px(args, 2)?;
    let deadline_ms = lasts.deadline_ms(context, "stock.extend")?;
    let extended = context.db.extend_hold(&args[1], deadline_ms, lasts.ms)?;
    context.reply.integer(extended);
    Ok(Outcome::Done)
}

fn info(context: &mut Context<'_>, args: Args<'_>) -> Ran {
    let key = &args[1];
    let Some(entry) = context.db.read(key) else {
        context.reply.null();
        return Ok(Outcome::Done);
    };
    if let Some(Object::Hold(_)) = entry.object() {
        return hold_info(context, key);
    }
    let available = counted(Some(entry.string()?))?;
    counter_info(context, key, available);
    Ok(Outcome::Done)
}

fn hold_info(context: &mut Context<'_>, key: &[u8]) -> Ran {
    let now = context.now;
    // First, as looking for the hold gives its units back if it is time.
    context.db.hold(key)?;
    let ends_ms = context.db.look(key).and_then(|entry| entry.ends_ms()).unwrap_or_default();
    let Some(hold) = context.db.hold(key)? else { return Err(CommandError::NoSuchKey) };
    let reply = &mut context.reply;
    reply.map(3);
    reply.bulk(b"state");
    reply.bulk(hold.state().name().as_bytes());
    reply.bulk(b"pttl");
    reply.integer(span::left_ms(ends_ms, now));
    reply.bulk(b"items");
    reply.array(hold.items().len());
    for item in hold.items() {
        reply.map(2);
        reply.bulk(b"key");
        reply.bulk(&item.key);
        reply.bulk(b"amount");
        reply.integer(item.amount);
    }
    Ok(Outcome::Done)
}

/// All units that holds have taken off a counter. They can be more than a number
/// says, where the counter was filled up again meanwhile.
pub(super) fn held_units(holds: Option<&BTreeMap<Box<[u8]>, i64>>) -> i64 {
    let amounts = holds.into_iter().flat_map(BTreeMap::values);
    amounts.fold(0, |sum, amount| sum.saturating_add(*amount))
}

fn counter_info(context: &mut Context<'_>, key: &[u8], available: i64) {
    let now = context.now;
    let reply = &mut context.reply;
    let holds = context.db.held(key);
    reply.map(3);
    reply.bulk(b"available");
    reply.integer(available);
    reply.bulk(b"held");
    reply.integer(held_units(holds));
    reply.bulk(b"holds");
    reply.array(holds.map_or(0, |holds| holds.len()));
    for (hold, amount) in holds.into_iter().flatten() {
        let ends_ms = context.db.look(hold).and_then(|entry| entry.ends_ms()).unwrap_or_default();
        reply.map(3);
        reply.bulk(b"hold");
        reply.bulk(hold);
        reply.bulk(b"amount");
        reply.integer(*amount);
        reply.bulk(b"pttl");
        reply.integer(span::left_ms(ends_ms, now));
    }
}
