//! SCAN gives every key that is there from its first call to its last exactly
//! once, whatever happens to the others, and to the table, meanwhile.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use support::resp::Reply;
use support::sim::{Sim, encode, play};
use tollgate::config::Config;

/// Keys of the large test that stay throughout, and those that come and go.
const STAYING: usize = 250_000;
const OTHERS: usize = 750_000;

/// A scan under way.
struct Scan {
    client: usize,
    options: Vec<String>,
    cursor: Vec<u8>,
    is_done: bool,
    calls: usize,
    /// How often each key was given, by kind (its first byte) and number.
    given: BTreeMap<u8, Vec<u8>>,
}

impl Scan {
    fn new(client: usize, options: &str) -> Scan {
        Scan {
            client,
            options: options.split_whitespace().map(str::to_owned).collect(),
            cursor: b"0".to_vec(),
            is_done: false,
            calls: 0,
            given: BTreeMap::new(),
        }
    }

    /// One call; does nothing once the scan has come to its end.
    fn step(&mut self, sim: &mut Sim) {
        if self.is_done {
            return;
        }
        self.calls += 1;
        let mut request: Vec<&[u8]> = vec![b"SCAN", &self.cursor];
        request.extend(self.options.iter().map(|option| option.as_bytes()));
        let reply = sim.ask(self.client, &request);
        let parts = reply.elements().expect("cursor and keys");
        for key in parts[1].elements().expect("keys") {
            let key = key.text().expect("a bulk");
            let number: usize =
                str::from_utf8(&key[1..]).expect("ASCII").parse().expect("a number");
            let given = self.given.entry(key[0]).or_default();
            if given.len() <= number {
                given.resize(number + 1, 0);
            }
            given[number] += 1;
        }
        self.cursor = parts[0].text().expect("a cursor").to_vec();
        self.is_done = self.cursor == b"0";
    }

    fn finish(&mut self, sim: &mut Sim) {
        while !self.is_done {
            self.step(sim);
        }
    }

    /// Each of the first `count` keys of this kind was given once.
    fn assert_once(&self, kind: u8, count: usize) {
        let given = self.given.get(&kind).map_or(&[][..], Vec::as_slice);
        let name = format!("{:?} of kind {}", self.options, kind as char);
        assert_eq!(given.len(), count, "{name}: the last key");
        let wrong = given.iter().position(|&times| times != 1);
        assert_eq!(wrong, None, "{name}: a key that was not given exactly once");
    }

    /// No key of this kind was given twice.
    fn assert_at_most_once(&self, kind: u8) {
        let given = self.given.get(&kind).map_or(&[][..], Vec::as_slice);
        assert!(given.iter().all(|&times| times <= 1), "{:?} gave a key twice", self.options);
    }
}

fn sim() -> Sim {
    let mut config = Config::default();
    config.set("turn-requests-max", "1000000").expect("within bounds");
    Sim::with_config(config)
}

/// Sends requests in one go, and forgets their replies.
fn pipeline(sim: &mut Sim, client: usize, requests: impl Iterator<Item = Vec<Vec<u8>>>) {
    let mut bytes = Vec::new();
    for request in requests {
        let args: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        bytes.extend(encode(&args));
    }
    sim.send_raw(client, &bytes);
    let replies = sim.take_bytes(client);
    assert!(!replies.starts_with(b"-"), "{}", replies.escape_ascii());
}

/// One command with many keys, each with `value` behind it if there is one.
fn with_keys(
    command: &str,
    kind: u8,
    numbers: impl Iterator<Item = usize>,
    value: Option<&str>,
) -> Vec<Vec<u8>> {
    let mut args = vec![command.as_bytes().to_vec()];
    for number in numbers {
        args.push(format!("{}{number}", kind as char).into_bytes());
        args.extend(value.map(|value| value.as_bytes().to_vec()));
    }
    args
}

#[test]
fn a_million_keys_that_grow_churn_and_shrink_under_the_scans() {
    const BATCH: usize = 1_000;
    let mut sim = sim();
    for from in (0..STAYING).step_by(BATCH) {
        let batch = with_keys("MSET", b's', from..from + BATCH, Some("1"));
        pipeline(&mut sim, 1, std::iter::once(batch));
    }

    // Growth: the table splits under the scans.
    let mut slow = Scan::new(2, "COUNT 500");
    let mut matching = Scan::new(3, "MATCH s*7 COUNT 700 TYPE string");
    for from in (0..OTHERS).step_by(BATCH) {
        let batch = with_keys("MSET", b'o', from..from + BATCH, Some("value"));
        pipeline(&mut sim, 1, std::iter::once(batch));
        slow.step(&mut sim);
        matching.step(&mut sim);
    }
    assert_eq!(sim.cli(1, "DBSIZE"), format!("(integer) {}", STAYING + OTHERS));
    assert!(!slow.is_done, "it has to overlap with all of the growth");
    slow.finish(&mut sim);
    slow.assert_once(b's', STAYING);
    slow.assert_at_most_once(b'o');
    matching.finish(&mut sim);
    let given = &matching.given[&b's'];
    assert!(matching.given.len() == 1, "the others do not match");
    for (number, &times) in given.iter().enumerate() {
        assert_eq!(times, u8::from(number % 10 == 7), "s{number}");
    }
    assert_eq!(given.len(), STAYING - 2, "s249997 is the last that matches");

    // All million keys, while others are overwritten, so that they move.
    let mut whole = Scan::new(2, "COUNT 1000");
    let mut from = 0;
    while !whole.is_done {
        whole.step(&mut sim);
        let numbers = (from..from + 50).map(|number| number * 7_919 % OTHERS);
        let value = "a longer value than before, in another allocation";
        let batch = with_keys("MSET", b'o', numbers, Some(value));
        pipeline(&mut sim, 1, std::iter::once(batch));
        from += 50;
    }
    whole.assert_once(b's', STAYING);
    whole.assert_once(b'o', OTHERS);
    assert!(whole.calls <= (STAYING + OTHERS) / 1_000 + 1, "COUNT is looked at");

    // Shrinkage: most keys go, and the table merges under the scans.
    let mut slow = Scan::new(2, "COUNT 300");
    for from in (0..OTHERS).step_by(BATCH) {
        let batch = with_keys("DEL", b'o', from..from + BATCH, None);
        pipeline(&mut sim, 1, std::iter::once(batch));
        slow.step(&mut sim);
    }
    assert!(!slow.is_done, "it has to overlap with all of the shrinkage");
    slow.finish(&mut sim);
    slow.assert_once(b's', STAYING);
    slow.assert_at_most_once(b'o');
}

#[test]
fn many_scans_at_once_over_keys_that_change_at_random() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sim = sim();
        let staying = random.usize(1..4_000);
        pipeline(&mut sim, 1, (0..staying).map(|n| with_keys("SET", b's', n..=n, Some("1"))));
        let mut scans: Vec<Scan> = [1, 2, 10, 37, 100, 1_000]
            .into_iter()
            .enumerate()
            .map(|(at, count)| Scan::new(10 + at, &format!("COUNT {count}")))
            .collect();
        let mut others = 0;
        let mut renamed = 0;
        while scans.iter().any(|scan| !scan.is_done) {
            let amount = random.usize(1..300);
            let requests: Vec<Vec<Vec<u8>>> = match random.u32(0..9) {
                0..3 => {
                    others += amount;
                    (others - amount..others)
                        .map(|n| with_keys("SET", b'o', n..=n, Some("1")))
                        .collect()
                }
                3 => vec![with_keys("DEL", b'o', 0..=others, None)],
                4 => (0..amount)
                    .map(|_| random.usize(0..=others))
                    .map(|n| with_keys("DEL", b'o', n..=n, None))
                    .collect(),
                5 => (0..amount)
                    .map(|_| random.usize(0..staying))
                    .map(|n| with_keys("SET", b's', n..=n, Some("another value")))
                    .collect(),
                6 => (0..amount)
                    .map(|_| random.usize(0..staying))
                    .map(|n| with_keys("PEXPIRE", b's', n..=n, Some("100000000")))
                    .collect(),
                7 => {
                    // The others under new names: a renamed key is another key.
                    let n = random.usize(0..=others);
                    renamed += 1;
                    let [from, to] = [format!("o{n}"), format!("r{renamed}")];
                    vec![
                        vec![b"SET".to_vec(), from.clone().into_bytes(), b"v".to_vec()],
                        vec![b"RENAME".to_vec(), from.into_bytes(), to.into_bytes()],
                    ]
                }
                _ => vec![
                    vec![b"SELECT".to_vec(), b"1".to_vec()],
                    vec![b"SET".to_vec(), b"elsewhere".to_vec(), b"v".to_vec()],
                    vec![b"FLUSHDB".to_vec()],
                    vec![b"SELECT".to_vec(), b"0".to_vec()],
                ],
            };
            pipeline(&mut sim, 1, requests.into_iter());
            for scan in &mut scans {
                for _ in 0..random.usize(0..20) {
                    scan.step(&mut sim);
                }
            }
        }
        for scan in &scans {
            scan.assert_once(b's', staying);
            scan.assert_at_most_once(b'r');
        }
    }
}

#[test]
fn a_scan_goes_on_after_another_database_is_flushed() {
    let mut sim = sim();
    pipeline(&mut sim, 1, std::iter::once(with_keys("MSET", b's', 0..5_000, Some("1"))));
    sim.cli(2, "SELECT 1");
    pipeline(&mut sim, 2, std::iter::once(with_keys("MSET", b'o', 0..5_000, Some("1"))));
    let mut here = Scan::new(1, "COUNT 100");
    let mut there = Scan::new(2, "COUNT 100");
    for _ in 0..10 {
        here.step(&mut sim);
        there.step(&mut sim);
    }
    sim.cli(2, "FLUSHDB");
    here.finish(&mut sim);
    here.assert_once(b's', 5_000);
    there.finish(&mut sim);
    there.assert_at_most_once(b'o');
    // A scan under way when everything is flushed comes to its end.
    let mut here = Scan::new(1, "COUNT 100");
    here.step(&mut sim);
    sim.cli(2, "FLUSHALL");
    here.step(&mut sim);
    assert!(here.is_done);
}

#[test]
fn type_and_match_are_applied_to_what_is_looked_at() {
    play(
        "type_and_match_are_applied_to_what_is_looked_at",
        r#"
> MSET a:1 x b:1 y
OK
> SCAN 0 MATCH a:* COUNT 100
1) "0"
2) 1) "a:1"
> SCAN 0 MATCH a:* TYPE STRING COUNT 100
1) "0"
2) 1) "a:1"
> SCAN 0 TYPE hash COUNT 100
1) "0"
2) (empty array)
> SCAN 0 TYPE nonsense COUNT 100
1) "0"
2) (empty array)
> SCAN 0 match c* count 100
1) "0"
2) (empty array)
> SCAN 0 MATCH x MATCH b* COUNT 1 COUNT 100
1) "0"
2) 1) "b:1"
> SELECT 1
OK
> SCAN 0
1) "0"
2) (empty array)
"#,
    );
}

#[test]
fn wrong_cursors_and_options_are_errors() {
    play(
        "wrong_cursors_and_options_are_errors",
        r#"
> SCAN x
(error) ERR invalid cursor
> SCAN 1x
(error) ERR invalid cursor
> SCAN " 0"
(error) ERR invalid cursor
> SCAN -
(error) ERR invalid cursor
> SCAN 0x10
(error) ERR invalid cursor
> SCAN 18446744073709551616
(error) ERR invalid cursor
> SCAN x COUNT 0
(error) ERR invalid cursor
> SCAN 18446744073709551615
1) "0"
2) (empty array)
> SCAN -1
1) "0"
2) (empty array)
> SCAN +0
1) "0"
2) (empty array)
> SCAN ""
1) "0"
2) (empty array)
> SCAN 0 COUNT
(error) ERR syntax error
> SCAN 0 COUNT 0
(error) ERR syntax error
> SCAN 0 COUNT -1
(error) ERR syntax error
> SCAN 0 COUNT x
(error) ERR value is not an integer or out of range
> SCAN 0 MATCH
(error) ERR syntax error
> SCAN 0 TYPE
(error) ERR syntax error
> SCAN 0 FOO bar
(error) ERR syntax error
> SCAN
(error) ERR wrong number of arguments for 'scan' command
> SCAN 0 COUNT 9223372036854775807
1) "0"
2) (empty array)
"#,
    );
}

#[test]
fn any_number_is_a_cursor() {
    let mut sim = sim();
    pipeline(&mut sim, 1, std::iter::once(with_keys("MSET", b's', 0..3_000, Some("1"))));
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..100 {
        // From anywhere a scan goes up to the end and gives no key twice.
        let mut scan = Scan::new(1, "COUNT 1000");
        scan.cursor = random.u64(1..).to_string().into_bytes();
        scan.finish(&mut sim);
        scan.assert_at_most_once(b's');
    }
}

#[test]
fn keys_that_are_due_are_neither_given_nor_waited_for() {
    let mut sim = sim();
    let deadline = "100";
    for from in (0..50_000).step_by(1_000) {
        let requests = (from..from + 1_000).map(|number| {
            let mut request = with_keys("SET", b'd', number..=number, Some("1"));
            request.extend([b"PX".to_vec(), deadline.as_bytes().to_vec()]);
            request
        });
        pipeline(&mut sim, 1, requests);
    }
    pipeline(&mut sim, 1, std::iter::once(with_keys("MSET", b's', 0..1_000, Some("1"))));
    sim.now = sim.now.advanced(Duration::from_millis(100));
    // No tick comes between, so the keys are all still in the table.
    let mut cursor = b"0".to_vec();
    let mut given = BTreeSet::new();
    let mut calls = 0;
    loop {
        sim.engine.receive(1, &encode(&[b"SCAN", &cursor, b"COUNT", b"10"]), sim.now);
        let reply = support::resp::decode(sim.engine.output(1)).expect("well-formed");
        let (reply, len) = reply.expect("complete");
        sim.engine.sent(1, len);
        let parts = reply.elements().expect("cursor and keys");
        for key in parts[1].elements().expect("keys") {
            let key = key.text().expect("a bulk").to_vec();
            assert!(key.starts_with(b"s"), "{}", key.escape_ascii());
            assert!(given.insert(key), "given twice");
        }
        calls += 1;
        cursor = match &parts[0] {
            Reply::Bulk(next) => next.clone(),
            other => panic!("not a cursor: {other:?}"),
        };
        if cursor == b"0" {
            break;
        }
    }
    assert_eq!(given.len(), 1_000);
    assert!(calls > 80, "{calls} calls: each looks at a bounded part of the table");
}
