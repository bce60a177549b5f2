//! CL.THROTTLE in simulated time: its five numbers, its key, and its algorithm
//! against one that does the same in another, slower way.

mod support;

use std::time::Duration;

use support::resp::Reply;
use support::sim::{START_UNIX_US, Sim, play};
use tollgate::config::Config;

/// The five numbers for a request.
fn throttle(sim: &mut Sim, rest: &str) -> [i64; 5] {
    let request = format!("CL.THROTTLE {rest}\r\n");
    sim.send_raw(1, request.as_bytes());
    let reply = sim.take_reply(1).expect("a reply");
    let elements = reply.elements().unwrap_or_else(|| panic!("{rest}: {reply:?}"));
    let numbers: Vec<i64> = elements
        .iter()
        .map(|element| match element {
            Reply::Integer(number) => *number,
            other => panic!("{rest}: {other:?}"),
        })
        .collect();
    numbers.try_into().expect("five numbers")
}

fn advance_us(sim: &mut Sim, us: u64) {
    sim.now = sim.now.advanced(Duration::from_micros(us));
    sim.turn();
}

#[test]
fn a_burst_then_one_each_interval() {
    let mut sim = Sim::new();
    // Five at once, then one a second.
    let rate = "k 4 60 60";
    for (taken, remaining) in (1..=5).zip([4, 3, 2, 1, 0]) {
        assert_eq!(throttle(&mut sim, rate), [0, 5, remaining, -1, taken]);
    }
    assert_eq!(throttle(&mut sim, rate), [1, 5, 0, 1, 5]);
    sim.advance_ms(999);
    assert_eq!(throttle(&mut sim, rate), [1, 5, 0, 1, 5], "4.001 seconds are left");
    sim.advance_ms(1);
    assert_eq!(throttle(&mut sim, rate), [0, 5, 0, -1, 5]);
    sim.advance_ms(3_500);
    assert_eq!(throttle(&mut sim, rate), [0, 5, 2, -1, 3], "1.5 seconds were left");
    sim.advance_ms(2_500);
    assert_eq!(throttle(&mut sim, rate), [0, 5, 4, -1, 1], "it was empty");
}

#[test]
fn a_quantity_may_be_any_number() {
    let mut sim = Sim::new();
    // More than ever fits: limited, and no time to retry.
    assert_eq!(throttle(&mut sim, "k 4 1 1 6"), [1, 5, 5, -1, 0]);
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0", "nothing is kept of it");
    assert_eq!(throttle(&mut sim, "k 4 1 1 5"), [0, 5, 0, -1, 5]);
    sim.advance_ms(2_000);
    assert_eq!(throttle(&mut sim, "k 4 1 1 5"), [1, 5, 2, 3, 3]);
    assert_eq!(throttle(&mut sim, "k 4 1 1 2"), [0, 5, 0, -1, 5]);
    // Zero only looks.
    assert_eq!(throttle(&mut sim, "k 4 1 1 0"), [0, 5, 0, -1, 5]);
    assert_eq!(throttle(&mut sim, "other 4 1 1 0"), [0, 5, 5, -1, 0]);
    assert_eq!(sim.cli(1, "EXISTS other"), "(integer) 0");
    // A negative one gives back, and never more than there is.
    assert_eq!(throttle(&mut sim, "k 4 1 1 -2"), [0, 5, 2, -1, 3]);
    assert_eq!(throttle(&mut sim, "k 4 1 1 -9"), [0, 5, 5, -1, 0]);
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0", "an empty bucket is no key");
    assert_eq!(throttle(&mut sim, "k 4 1 1 -1"), [0, 5, 5, -1, 0]);
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0");
}

#[test]
fn no_burst_and_less_than_none() {
    let mut sim = Sim::new();
    assert_eq!(throttle(&mut sim, "k 0 1 10"), [0, 1, 0, -1, 10]);
    assert_eq!(throttle(&mut sim, "k 0 1 10"), [1, 1, 0, 10, 10]);
    // A limit of nothing lets nothing pass.
    assert_eq!(throttle(&mut sim, "none -1 1 10"), [1, 0, 0, -1, 0]);
    assert_eq!(throttle(&mut sim, "none -1 1 10 0"), [0, 0, 0, -1, 0]);
    assert_eq!(throttle(&mut sim, "none -7 1 10"), [1, -6, 0, -1, 0]);
    assert_eq!(throttle(&mut sim, "none -9223372036854775808 1 10")[..2], [1, -i64::MAX]);
}

#[test]
fn a_rate_may_change_from_call_to_call() {
    let mut sim = Sim::new();
    assert_eq!(throttle(&mut sim, "k 9 1 1 10"), [0, 10, 0, -1, 10]);
    // Room for two seconds only: the ten that are in it have to go first.
    assert_eq!(throttle(&mut sim, "k 1 1 1"), [1, 2, 0, 9, 10]);
    assert_eq!(throttle(&mut sim, "k 1 1 1 0"), [1, 2, 0, 8, 10], "even to look");
    // Room for twenty.
    assert_eq!(throttle(&mut sim, "k 19 1 1"), [0, 20, 9, -1, 11]);
    // In units of a quarter of a second.
    assert_eq!(throttle(&mut sim, "k 99 4 1"), [0, 100, 55, -1, 12], "11.25 seconds");
}

#[test]
fn seconds_are_rounded_up_from_the_microsecond() {
    let mut sim = Sim::new();
    // One each 1.5 milliseconds.
    assert_eq!(throttle(&mut sim, "k 0 2000 3"), [0, 1, 0, -1, 1]);
    advance_us(&mut sim, 1_499);
    assert_eq!(throttle(&mut sim, "k 0 2000 3"), [1, 1, 0, 1, 1], "one microsecond early");
    advance_us(&mut sim, 1);
    assert_eq!(throttle(&mut sim, "k 0 2000 3"), [0, 1, 0, -1, 1]);
    // A second and a microsecond is two seconds.
    assert_eq!(throttle(&mut sim, "l 0 1000000 1000001"), [0, 1, 0, -1, 2]);
    assert_eq!(throttle(&mut sim, "l 0 1000000 1000001"), [1, 1, 0, 2, 2]);
    advance_us(&mut sim, 1);
    assert_eq!(throttle(&mut sim, "l 0 1000000 1000001"), [1, 1, 0, 1, 1]);
}

/// Whoever waits as long as was said is not refused again.
#[test]
fn the_time_to_retry_is_enough_and_no_second_too_long() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = Sim::new();
        let (burst, count, period) = (rng.u32(0..5), rng.u32(1..50), rng.u32(1..50));
        let quantity = rng.u32(1..=burst + 1);
        let request = format!("k {burst} {count} {period} {quantity}");
        let retry_after_s = loop {
            advance_us(&mut sim, rng.u64(0..100_000));
            let [limited, _, _, retry_after_s, _] = throttle(&mut sim, &request);
            if limited == 1 {
                break retry_after_s;
            }
        };
        assert!(retry_after_s > 0, "{request}");
        sim.advance_ms(1_000 * (retry_after_s as u64 - 1));
        assert_eq!(throttle(&mut sim, &request)[0], 1, "{request}: a second too long");
        sim.advance_ms(1_000);
        assert_eq!(throttle(&mut sim, &request)[0], 0, "{request}: refused again");
    }
}

#[test]
fn the_key_holds_when_the_bucket_is_empty_and_expires_then() {
    let mut sim = Sim::new();
    throttle(&mut sim, "k 4 1 10 2");
    let empty_ns = (START_UNIX_US + 20_000_000) * 1_000;
    assert_eq!(sim.cli(1, "GET k"), format!("\"{empty_ns}\""));
    assert_eq!(sim.cli(1, "TYPE k"), "string");
    assert_eq!(sim.cli(1, "PTTL k"), "(integer) 20000");
    sim.advance_ms(15_000);
    throttle(&mut sim, "k 4 1 10");
    assert_eq!(sim.cli(1, "PTTL k"), "(integer) 15000");
    sim.advance_ms(14_999);
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 1");
    sim.advance_ms(1);
    assert_eq!(sim.cli(1, "DBSIZE"), "(integer) 0");
    // Never before: a fraction of a millisecond counts as a whole one.
    throttle(&mut sim, "k 0 2000 3");
    assert_eq!(sim.cli(1, "PTTL k"), "(integer) 2");
    // One that cannot expire is not taken for a bucket with something in it.
    sim.cli(1, "PERSIST k");
    sim.advance_ms(60_000);
    assert_eq!(throttle(&mut sim, "k 0 1 60 0"), [0, 1, 1, -1, 0]);
    assert_eq!(throttle(&mut sim, "k 0 1 60"), [0, 1, 0, -1, 60]);
    assert_eq!(sim.cli(1, "PTTL k"), "(integer) 60000");
    // The state can be taken along, and thrown away.
    sim.cli(1, "RENAME k l");
    assert_eq!(throttle(&mut sim, "l 0 1 60"), [1, 1, 0, 60, 60]);
    sim.cli(1, "DEL l");
    assert_eq!(throttle(&mut sim, "l 0 1 60"), [0, 1, 0, -1, 60]);
}

#[test]
fn what_is_no_rate_is_refused() {
    let mut sim = Sim::new();
    sim.cli(1, "SET text hello");
    sim.cli(1, "LOCK.ACQUIRE lock me PX 60000");
    let not_integer = "ERR value is not an integer or out of range";
    let zero = "ERR Zero rates are not supported";
    let too_long = "ERR period divided by count must be at most 9223372036 seconds";
    let too_far = "ERR the bucket would not be empty before the year 2262";
    let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
    let arity = "ERR wrong number of arguments for 'cl.throttle' command";
    for (rest, error) in [
        ("k 1 1", arity),
        ("k 1 1 1 1 1", arity),
        ("k x 1 1", not_integer),
        ("k 1 1.5 1", not_integer),
        ("k 1 1 9223372036854775808", not_integer),
        ("k 1 1 1 x", not_integer),
        ("k 1 0 1", zero),
        ("k 1 1 0", zero),
        ("k 1 0 0", zero),
        ("k 1 2000000000 1", zero),
        ("k 1 9223372036854775807 9223372036", zero),
        ("k 1 -1 1", "ERR count and period must be positive"),
        ("k 1 1 -1", "ERR count and period must be positive"),
        ("k 1 -1 -1", "ERR count and period must be positive"),
        ("k 9223372036854775807 1 1", "ERR max_burst must be less than 9223372036854775807"),
        ("k 1 1 9223372037", too_long),
        ("k 1 1 9223372036854775807", too_long),
        ("k 1 1 9223372036", too_far),
        ("k 9223372036854775806 1 9223372036 9223372036854775807", too_far),
        ("text 1 1 1", not_integer),
        ("lock 1 1 1", wrong_type),
    ] {
        assert_eq!(
            sim.cli(1, &format!("CL.THROTTLE {rest}")),
            format!("(error) {error}"),
            "{rest}"
        );
    }
    assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0");
}

#[test]
fn no_numbers_of_64_bits_overflow() {
    let edges: &[i64] = &[i64::MIN, -1, 0, 1, 1_000_000_000, 9_223_372_036, i64::MAX - 1, i64::MAX];
    let mut sim = Sim::new();
    for state in ["", "0", "-9223372036854775808", "1893456001000000000", "9223372036854775807"] {
        for burst in edges {
            for count in edges {
                for period in edges {
                    for quantity in edges {
                        sim.cli(1, "DEL k");
                        if !state.is_empty() {
                            sim.cli(1, &format!("SET k {state}"));
                        }
                        let request = format!("CL.THROTTLE k {burst} {count} {period} {quantity}");
                        let reply = sim.cli(1, &request);
                        assert!(
                            reply.starts_with("(error) ERR ") || reply.starts_with("1) (integer) "),
                            "{state}: {request}: {reply}"
                        );
                    }
                }
            }
        }
    }
    // A burst as good as without a limit.
    sim.cli(1, "DEL k");
    let numbers = throttle(&mut sim, "k 9223372036854775806 1000 1");
    assert_eq!(numbers, [0, i64::MAX, i64::MAX - 1, -1, 1]);
}

#[test]
fn the_reply_is_an_array_in_both_protocols() {
    let mut sim = Sim::new();
    sim.cli(1, "HELLO 2");
    sim.cli(2, "HELLO 3");
    for (client, key) in [(1, "a"), (2, "b")] {
        sim.send_raw(client, format!("CL.THROTTLE {key} 0 1 60\r\n").as_bytes());
        assert_eq!(sim.take_bytes(client), b"*5\r\n:0\r\n:1\r\n:0\r\n:-1\r\n:60\r\n");
    }
}

#[test]
fn a_transaction_may_hold_it_and_watch_sees_what_it_takes() {
    play(
        "a_transaction_may_hold_it_and_watch_sees_what_it_takes",
        r#"
> MULTI
OK
> CL.THROTTLE k 0 1 60
QUEUED
> CL.THROTTLE k 0 1 60
QUEUED
> EXEC
1) 1) (integer) 0
   2) (integer) 1
   3) (integer) 0
   4) (integer) -1
   5) (integer) 60
2) 1) (integer) 1
   2) (integer) 1
   3) (integer) 0
   4) (integer) 60
   5) (integer) 60
> WATCH k
OK
2> CL.THROTTLE k 0 1 60
(any)
2> CL.THROTTLE k 0 1 60 0
(any)
> MULTI
OK
> GET k
QUEUED
> EXEC
(any)
> WATCH k l
OK
2> CL.THROTTLE l 0 1 60
(any)
> MULTI
OK
> GET k
QUEUED
> EXEC
(nil)
"#,
    );
}

#[test]
fn what_changes_the_key_is_announced() {
    let mut config = Config::default();
    config.set("notify-keyspace-events", "KEAmn").expect("known letters");
    let mut sim = Sim::with_config(config);
    sim.cli(2, "PSUBSCRIBE __keyevent@0__:*");
    let mut check = |request: &str, expected: &str| {
        if let Ok(ms) = request.parse() {
            sim.advance_ms(ms);
        } else {
            throttle(&mut sim, request);
        }
        let mut events = Vec::new();
        while let Some(message) = sim.take_reply(2) {
            let channel = message.elements().and_then(|elements| elements[2].text());
            let channel = String::from_utf8_lossy(channel.expect("a message")).into_owned();
            events.push(channel.trim_start_matches("__keyevent@0__:").to_owned());
        }
        assert_eq!(events.join(" "), expected, "{request}");
    };
    check("k 1 1 10", "new set expire");
    check("k 1 1 10", "set expire");
    check("k 1 1 10", "");
    check("k 1 1 10 0", "");
    check("k 1 1 10 5", "");
    check("k 1 1 10 -1", "set expire");
    check("k 1 1 10 -1", "del");
    check("k 1 1 10 -1", "");
    check("k 1 1 10", "new set expire");
    check("10000", "expired");
}

/// The same as a bucket that is filled and leaks, and whose answers are found by
/// trying them out: no arrival times, and no division.
struct Bucket {
    content_ns: i128,
}

impl Bucket {
    fn leak(&mut self, ns: i128) {
        self.content_ns = (self.content_ns - ns).max(0);
    }

    fn ask(&mut self, burst: i128, interval_ns: i128, quantity: i128) -> [i64; 5] {
        let size_ns = interval_ns * (burst + 1);
        let fits =
            |content_ns: i128, quantity: i128| content_ns + interval_ns * quantity <= size_ns;
        let after = |seconds: i128| (self.content_ns - seconds * 1_000_000_000).max(0);
        let limited = !fits(self.content_ns, quantity);
        let mut retry_after_s = -1;
        if limited && fits(0, quantity) {
            retry_after_s = (0..).find(|s| fits(after(*s), quantity)).expect("some day");
        }
        if !limited {
            self.content_ns = (self.content_ns + interval_ns * quantity).max(0);
        }
        let remaining =
            (0..=burst).take_while(|count| fits(self.content_ns, count + 1)).count() as i64;
        let reset_after_s = (0..).find(|s| self.content_ns <= s * 1_000_000_000).expect("some day");
        [
            i64::from(limited),
            (burst + 1) as i64,
            remaining,
            retry_after_s as i64,
            reset_after_s as i64,
        ]
    }
}

#[test]
fn random_requests_agree_with_a_leaking_bucket() {
    let (mut allowed, mut refused) = (0, 0);
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut sim = Sim::new();
        let mut bucket = Bucket { content_ns: 0 };
        let (mut burst, mut count, mut period) = (3, 10, 5);
        for step in 0..300 {
            if rng.u8(..40) == 0 || step == 0 {
                burst = rng.u32(0..12);
                let most = [10, 1_000, 3_000_000][rng.usize(..3)];
                count = rng.u32(1..most);
                period = rng.u32(1..100);
            }
            let interval_ns = i128::from(period) * 1_000_000_000 / i128::from(count);
            let us = match rng.u8(..4) {
                0 => 0,
                1 => rng.u64(0..10),
                2 => rng.u64(0..=2 * interval_ns as u64 / 1_000),
                // Just what one takes, as far as there are microseconds.
                _ => interval_ns as u64 / 1_000,
            };
            advance_us(&mut sim, us);
            bucket.leak(i128::from(us) * 1_000);
            let quantity = match rng.u8(..10) {
                0 => 0,
                1 => rng.i32(-4..0),
                2 => rng.i32(1..15),
                _ => 1,
            };
            let request = format!("k {burst} {count} {period} {quantity}");
            let expected = bucket.ask(i128::from(burst), interval_ns, i128::from(quantity));
            let found = throttle(&mut sim, &request);
            assert_eq!(found, expected, "seed {seed}, step {step}, {us} us later: {request}");
            if found[0] == 0 {
                allowed += 1
            } else {
                refused += 1
            }
            let exists = sim.cli(1, "EXISTS k") == "(integer) 1";
            assert!(exists || bucket.content_ns == 0, "seed {seed}, step {step}: the key is gone");
        }
        // Keys end with a millisecond: this one with that in which it is empty.
        advance_us(&mut sim, (bucket.content_ns as u64).div_ceil(1_000) + 999);
        assert_eq!(sim.cli(1, "EXISTS k"), "(integer) 0", "seed {seed}");
    }
    assert!(allowed > 5_000 && refused > 5_000, "{allowed} allowed, {refused} refused");
}
