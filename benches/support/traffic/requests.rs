//! The requests as bytes. They are made once; what differs from one to the next is
//! a number of always the same width, which is written over the last one.

use fastrand::Rng;

use super::mix::{Kind, Mix};

/// Digits of the number in a key, as `redis-benchmark` has them.
const DIGITS: usize = 12;

/// What stands there before a number is written over it.
const BLANK: &str = "000000000000";

/// So long a lock lasts if its release never comes.
const LOCK_MS: &str = "30000";

/// So many units a counter has, which is more than a benchmark takes.
const UNITS: &str = "1000000000000";

/// What every batch is made from.
pub(crate) struct Settings {
    pub(crate) mix: Mix,
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    /// Draws of the mix that are sent at once.
    pub(crate) pipeline: usize,
    /// Each SET stores another value: it ends with the number of the request. That
    /// needs values of twelve bytes at least.
    pub(crate) are_values_counted: bool,
}

/// Requests of one kind, with the places of what changes.
struct Template {
    bytes: Vec<u8>,
    /// Where the key's number is.
    keys: Vec<usize>,
    /// Where the number of the connection is, which owns the lock.
    owners: Vec<usize>,
    /// Where the number of the request is, which makes the value another one.
    values: Vec<usize>,
    requests: u32,
}

impl Template {
    fn new(kind: Kind, settings: &Settings) -> Template {
        let value = "x".repeat(settings.value_bytes);
        let (key, owner) = (key(kind, BLANK), format!("owner:{BLANK}"));
        let (bytes, keys, owners) = match kind {
            Kind::Get => (encode(&["GET", &key]), vec![&key], vec![]),
            Kind::Set => (encode(&["SET", &key, &value]), vec![&key], vec![]),
            Kind::DecrIfPos => (encode(&["DECRIFPOS", &key, "1"]), vec![&key], vec![]),
            Kind::Incr => (encode(&["INCR", &key]), vec![&key], vec![]),
            Kind::SetNx => {
                let request = encode(&["SET", &key, &owner, "NX", "PX", LOCK_MS]);
                (request, vec![&key], vec![&owner])
            }
            Kind::Lock => {
                let acquire = encode(&["LOCK.ACQUIRE", &key, &owner, "PX", LOCK_MS]);
                let release = encode(&["LOCK.RELEASE", &key, &owner]);
                ([acquire, release].concat(), vec![&key; 2], vec![&owner; 2])
            }
        };
        let keys = places(&bytes, &keys);
        let owners = places(&bytes, &owners);
        let is_counted = settings.are_values_counted && kind == Kind::Set;
        let values = if is_counted { places(&bytes, &[&value]) } else { Vec::new() };
        Template { bytes, keys, owners, values, requests: kind.requests() }
    }

    /// Writes the numbers into a copy of the bytes.
    fn fill(&self, copy: &mut [u8], key: u64, owner: u64, drawn: u64) {
        for at in &self.keys {
            write_number(&mut copy[*at..*at + DIGITS], key);
        }
        for at in &self.owners {
            write_number(&mut copy[*at..*at + DIGITS], owner);
        }
        for at in &self.values {
            write_number(&mut copy[*at..*at + DIGITS], drawn);
        }
    }
}

/// A batch that is ready to be sent.
pub(crate) struct Batch<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) requests: u32,
}

/// Makes batch after batch.
pub(crate) struct Batches {
    settings: Settings,
    templates: Vec<(Kind, Template)>,
    /// The last batch, over which the next one is written.
    buffer: Vec<u8>,
    rng: Rng,
    /// Draws of the mix so far.
    drawn: u64,
}

impl Batches {
    /// The same seed makes the same batches.
    pub(crate) fn new(settings: Settings, seed: u64) -> Batches {
        let templates: Vec<(Kind, Template)> =
            settings.mix.kinds().map(|kind| (kind, Template::new(kind, &settings))).collect();
        let buffer = match settings.mix.only() {
            Some(_) => templates[0].1.bytes.repeat(settings.pipeline),
            None => Vec::new(),
        };
        Batches { settings, templates, buffer, rng: Rng::with_seed(seed), drawn: 0 }
    }

    /// How many requests a batch is on average.
    pub(crate) fn requests_a_batch(&self) -> f64 {
        self.settings.pipeline as f64 * self.settings.mix.requests_a_draw()
    }

    /// The next batch of this connection.
    pub(crate) fn next(&mut self, connection: usize) -> Batch<'_> {
        let Batches { settings, templates, buffer, rng, drawn } = self;
        let mut requests = 0;
        if settings.mix.only().is_some() {
            let template = &templates[0].1;
            for copy in buffer.chunks_exact_mut(template.bytes.len()) {
                *drawn += 1;
                template.fill(copy, rng.u64(..settings.keys), connection as u64, *drawn);
                requests += template.requests;
            }
            return Batch { bytes: buffer, requests };
        }
        buffer.clear();
        for _ in 0..settings.pipeline {
            let kind = settings.mix.draw(rng);
            let Some((_, template)) = templates.iter().find(|(other, _)| *other == kind) else {
                continue;
            };
            let start = buffer.len();
            buffer.extend_from_slice(&template.bytes);
            let key = rng.u64(..settings.keys);
            *drawn += 1;
            template.fill(&mut buffer[start..], key, connection as u64, *drawn);
            requests += template.requests;
        }
        Batch { bytes: buffer, requests }
    }

    /// One of each kind: what a server has to know.
    pub(crate) fn samples(&self) -> impl Iterator<Item = Batch<'_>> {
        self.templates
            .iter()
            .map(|(_, template)| Batch { bytes: &template.bytes, requests: template.requests })
    }

    /// Requests that store what the mix reads and counts down, in batches of up to
    /// `size` keys.
    pub(crate) fn fillings(&self, size: u64) -> impl Iterator<Item = (Vec<u8>, u64)> + '_ {
        let Settings { mix, keys, value_bytes, .. } = &self.settings;
        let value = "x".repeat(*value_bytes);
        let strings = (mix.has(Kind::Get) || mix.has(Kind::Set)).then_some((Kind::Get, value));
        let stock = mix.has(Kind::DecrIfPos).then(|| (Kind::DecrIfPos, UNITS.to_owned()));
        let counters = mix.has(Kind::Incr).then(|| (Kind::Incr, "0".to_owned()));
        strings.into_iter().chain(stock).chain(counters).flat_map(move |(kind, value)| {
            let key = key(kind, BLANK);
            let set = encode(&["SET", &key, &value]);
            let place = places(&set, &[&key])[0];
            (0..keys.div_ceil(size)).map(move |part| {
                let numbers = part * size..(*keys).min((part + 1) * size);
                let count = numbers.end - numbers.start;
                let mut bytes = set.repeat(count as usize);
                for (copy, number) in bytes.chunks_exact_mut(set.len()).zip(numbers) {
                    write_number(&mut copy[place..place + DIGITS], number);
                }
                (bytes, count)
            })
        })
    }
}

fn key(kind: Kind, number: &str) -> String {
    match kind {
        Kind::Get | Kind::Set => format!("key:{number}"),
        Kind::DecrIfPos => format!("item:{number}"),
        Kind::Incr => format!("counter:{number}"),
        Kind::SetNx => format!("mutex:{number}"),
        Kind::Lock => format!("lock:{number}"),
    }
}

/// Where the number of each of these words is, which stand there in this order.
fn places(bytes: &[u8], words: &[&String]) -> Vec<usize> {
    let mut from = 0;
    let mut place = |word: &&String| {
        let found = bytes[from..].windows(word.len()).position(|part| part == word.as_bytes());
        from += found.expect("the word is in the request") + word.len();
        from - DIGITS
    };
    words.iter().map(&mut place).collect()
}

fn write_number(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A request as an array of bulk strings.
fn encode(args: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", args.len());
    for arg in args {
        request.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
    }
    request.into_bytes()
}
