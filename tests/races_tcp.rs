//! The races over real TCP: the server is a process of its own, and thousands of
//! clients are connected at once.
//!
//! Where an order of arrival is claimed, it is a known one: the next client sends
//! its request when the server has said that the last one waits.

mod support;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use support::crowd::{self, Crowd};
use support::process::ServerProcess;
use support::resp::Reply;
use support::target::{Target as _, TcpTarget, encode};
use support::tollgate;

/// Long enough for any machine; it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// No lock, lease or wait ends by its time in a test that does not want it to.
const FOR_EVER: &str = "3600000";

/// Each test takes many open files and both processors.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> ServerProcess {
    tollgate::start_with(&["--max-wait-ms", FOR_EVER, "--maxclients", "10000"])
}

/// A number that chance hangs on, the same in each run unless the variable
/// `TOLLGATE_SEED` names another.
fn rng() -> Rng {
    let seed = std::env::var("TOLLGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    Rng::with_seed(seed.unwrap_or(20_000))
}

fn integer(reply: &Reply) -> i64 {
    match reply {
        Reply::Integer(number) => *number,
        other => panic!("not an integer: {other:?}"),
    }
}

/// How many clients wait.
fn waiting(control: &mut TcpTarget) -> usize {
    let info = control.call(&["INFO", "clients"]);
    let info = String::from_utf8_lossy(info.text().expect("INFO is text")).into_owned();
    info.lines()
        .find_map(|line| line.strip_prefix("blocked_clients:"))
        .and_then(|count| count.trim().parse().ok())
        .expect("INFO counts those who wait")
}

/// Returns when so many clients wait.
fn until_waiting(control: &mut TcpTarget, count: usize) {
    let end = Instant::now() + PATIENCE;
    while waiting(control) != count {
        assert!(Instant::now() < end, "{} wait instead of {count}", waiting(control));
    }
}

/// The numbers that the server knows the clients by.
fn ids(crowd: &mut Crowd, clients: usize) -> Vec<String> {
    (0..clients).for_each(|who| crowd.send(who, &["CLIENT", "ID"]));
    (0..clients).map(|who| integer(&crowd.next_of(who)).to_string()).collect()
}

/// Returns when this client waits.
fn until_waits(control: &mut TcpTarget, id: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let line = control.call(&["CLIENT", "LIST", "ID", id]);
        let line = String::from_utf8_lossy(line.text().expect("CLIENT LIST is text")).into_owned();
        if line.contains(" flags=b ") {
            return;
        }
        assert!(Instant::now() < end, "it does not wait: {line}");
    }
}

/// One field of a map.
fn field(map: &Reply, name: &str) -> Reply {
    let pairs = map.pairs().unwrap_or_else(|| panic!("not a map: {map:?}"));
    let found = pairs.into_iter().find(|(key, _)| key.text() == Some(name.as_bytes()));
    found.unwrap_or_else(|| panic!("no {name} in {map:?}")).1
}

fn name(who: usize) -> String {
    format!("client-{who}")
}

/// The clients that LOCK.INFO says wait for `lock`, in its order.
fn queue_of(control: &mut TcpTarget) -> Vec<String> {
    let info = control.call(&["LOCK.INFO", "lock"]);
    let waiters = field(&info, "waiters");
    let owner = |waiter: &Reply| {
        String::from_utf8(field(waiter, "owner").text().expect("a name").to_vec()).expect("ASCII")
    };
    waiters.elements().expect("a list").iter().map(owner).collect()
}

fn acquire(crowd: &mut Crowd, who: usize, options: &[&str]) {
    let owner = name(who);
    let request = ["LOCK.ACQUIRE", "lock", &owner, "PX", FOR_EVER, "WAIT", FOR_EVER];
    crowd.send(who, &[&request, options].concat());
}

#[test]
fn twenty_thousand_grants_go_to_two_thousand_clients_in_the_order_of_their_arrival() {
    const GRANTS: usize = 20_000;
    /// How many pause between a grant and asking again, so that the order of
    /// arrival is another one each time.
    const PAUSING: usize = 50;
    let _alone = alone();
    let server = start();
    let clients = crowd::fitting(2_000);
    let mut crowd = Crowd::connect(server.address(), clients);
    let mut control = server.connect();
    let mut rng = rng();
    let ids = ids(&mut crowd, clients);
    let gate = control.call(&["LOCK.ACQUIRE", "lock", "gate", "PX", FOR_EVER]);
    let mut last_token = integer(&gate);
    let mut queue: VecDeque<usize> = (0..clients).collect();
    rng.shuffle(queue.make_contiguous());
    for &who in &queue {
        acquire(&mut crowd, who, &[]);
        until_waits(&mut control, &ids[who]);
    }
    let in_order: Vec<String> = queue.iter().map(|&who| name(who)).collect();
    assert_eq!(queue_of(&mut control), in_order);
    assert_eq!(control.call(&["LOCK.RELEASE", "lock", "gate"]), Reply::Integer(0));

    let mut grants = vec![0; clients];
    let mut pausing = Vec::new();
    for granted in 0..GRANTS {
        let (who, reply) = crowd.next();
        assert_eq!(Some(who), queue.pop_front(), "grant {granted} is out of order");
        let token = integer(&reply);
        assert_eq!(token, last_token + 1, "grant {granted}: somebody else has had a grant");
        last_token = token;
        grants[who] += 1;

        // Somebody arrives behind all others, as long as there are grants to come.
        if pausing.len() > PAUSING && granted + queue.len() + 1 < GRANTS {
            let arriving = pausing.swap_remove(rng.usize(..pausing.len()));
            acquire(&mut crowd, arriving, &[]);
            queue.push_back(arriving);
            until_waits(&mut control, &ids[arriving]);
        }

        // Nobody else is inside, by the server's account and by what the others
        // have heard: their answers to earlier requests would be here by now.
        let token = token.to_string();
        crowd.send(who, &["LOCK.GUARD", "lock", &token, "INCR", "inside"]);
        assert_eq!(crowd.next_of(who), Reply::Integer(1), "grant {granted}");
        crowd.assert_silence();
        crowd.send_all(
            who,
            &[
                &["LOCK.GUARD", "lock", &token, "DECR", "inside"],
                &["LOCK.RELEASE", "lock", &name(who)],
            ],
        );
        assert_eq!(crowd.next_of(who), Reply::Integer(0));
        assert_eq!(crowd.next_of(who), Reply::Integer(0));
        pausing.push(who);
    }
    crowd.assert_silence();
    assert!(queue.is_empty());
    assert!(grants.iter().all(|&count| count > 0), "somebody was never served");
    assert_eq!(control.call(&["LOCK.INFO", "lock"]), Reply::Null);
    assert_eq!(waiting(&mut control), 0);
}

/// What becomes of a client that has queued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is granted the lock and releases it.
    Served,
    /// It is killed while it waits, and the server sees that before its turn.
    KilledWaiting,
    /// It is killed about when its turn comes.
    KilledAtItsTurn,
    /// It is killed when it has the lock.
    KilledHolding,
}

#[test]
fn who_is_killed_waiting_or_holding_does_not_block_the_next() {
    const CLIENTS: usize = 600;
    let _alone = alone();
    let server = start();
    let clients = crowd::fitting(CLIENTS);
    let mut crowd = Crowd::connect(server.address(), clients);
    let mut control = server.connect();
    let mut rng = rng();
    let fates: Vec<Fate> = (0..clients)
        .map(|_| match rng.u8(..5) {
            0 => Fate::KilledWaiting,
            1 => Fate::KilledAtItsTurn,
            2 => Fate::KilledHolding,
            _ => Fate::Served,
        })
        .collect();

    let ids = ids(&mut crowd, clients);
    let gate = control.call(&["LOCK.ACQUIRE", "lock", "gate", "PX", FOR_EVER]);
    let mut last_token = integer(&gate);
    for who in 0..clients {
        // Who is gone before its turn leaves the queue, TIED or not.
        let is_tied = fates[who] != Fate::KilledWaiting || rng.bool();
        acquire(&mut crowd, who, if is_tied { &["TIED"] } else { &[] });
        until_waits(&mut control, &ids[who]);
    }
    let (gone, mut queue): (Vec<usize>, VecDeque<usize>) = {
        let (gone, rest): (Vec<usize>, Vec<usize>) =
            (0..clients).partition(|&who| fates[who] == Fate::KilledWaiting);
        (gone, rest.into())
    };
    gone.into_iter().for_each(|who| crowd.kill(who));
    until_waiting(&mut control, queue.len());
    let in_order: Vec<String> = queue.iter().map(|&who| name(who)).collect();
    assert_eq!(queue_of(&mut control), in_order);

    let expected = fates.iter().filter(|&&fate| fate == Fate::Served).count();
    let mut served = 0;
    pass_on(&mut crowd, &mut queue, &fates, rng.bool(), |_| {
        control.send(&encode(&["LOCK.RELEASE", "lock", "gate"])).expect("it takes input");
    });
    while let Some(next) = queue.pop_front() {
        let (who, reply) = crowd.next();
        assert_eq!(who, next, "after {served} grants");
        let token = integer(&reply);
        assert!(token > last_token, "{token} does not follow {last_token}");
        last_token = token;
        let kills_first = rng.bool();
        if fates[who] == Fate::KilledHolding {
            pass_on(&mut crowd, &mut queue, &fates, kills_first, |crowd| crowd.kill(who));
            continue;
        }
        served += 1;
        crowd.send(who, &["LOCK.GUARD", "lock", &token.to_string(), "INCR", "served"]);
        assert_eq!(crowd.next_of(who), Reply::Integer(served as i64), "it holds the lock");
        crowd.assert_silence();
        pass_on(&mut crowd, &mut queue, &fates, kills_first, |crowd| {
            crowd.send(who, &["LOCK.RELEASE", "lock", &name(who)]);
        });
        assert_eq!(crowd.next_of(who), Reply::Integer(0));
    }
    assert_eq!(served, expected);

    // Whatever the last ones were, nothing is left of them.
    assert_eq!(control.reply().expect("it was released"), b":0\r\n");
    let last = ["LOCK.ACQUIRE", "lock", "gate", "PX", FOR_EVER, "WAIT", FOR_EVER];
    assert!(integer(&control.call(&last)) > last_token);
    until_waiting(&mut control, 0);
    assert_eq!(field(&control.call(&["LOCK.INFO", "lock"]), "waiters"), Reply::Array(vec![]));
}

/// Lets the lock pass on, and kills those whose turn that makes it and who are to
/// die then: at once before or after, in a race that either may win.
fn pass_on(
    crowd: &mut Crowd,
    queue: &mut VecDeque<usize>,
    fates: &[Fate],
    kills_first: bool,
    pass: impl FnOnce(&mut Crowd),
) {
    let mut doomed = Vec::new();
    while queue.front().is_some_and(|&who| fates[who] == Fate::KilledAtItsTurn) {
        doomed.extend(queue.pop_front());
    }
    if kills_first {
        doomed.drain(..).for_each(|who| crowd.kill(who));
    }
    pass(crowd);
    doomed.into_iter().for_each(|who| crowd.kill(who));
}

/// The reply of LEASE.GET: its state, the value, the token.
fn lease(reply: &Reply) -> (String, Option<Vec<u8>>, Option<i64>) {
    let [state, value, token] = reply.elements().expect("three elements") else {
        panic!("not three elements: {reply:?}");
    };
    let state = String::from_utf8_lossy(state.text().expect("a state")).into_owned();
    let token = match token {
        Reply::Null => None,
        token => Some(integer(token)),
    };
    (state, value.text().map(<[u8]>::to_vec), token)
}

#[test]
fn a_stampede_of_five_thousand_runs_the_fill_once() {
    let _alone = alone();
    let server = start();
    let clients = crowd::fitting(5_000);
    let mut crowd = Crowd::connect(server.address(), clients);
    let mut control = server.connect();
    // The second time the first one who fills has to give up, and one other fills.
    for (key, gives_up) in [("page", false), ("flaky", true)] {
        for who in 0..clients {
            crowd.send(who, &["LEASE.GET", key, "FOR", FOR_EVER, "WAIT", FOR_EVER]);
        }
        let fill = |crowd: &mut Crowd| {
            let (who, reply) = crowd.next();
            let (state, value, token) = lease(&reply);
            assert_eq!((state.as_str(), value), ("FILL", None));
            (who, token.expect("who fills has a token").to_string())
        };
        let (mut filler, mut token) = fill(&mut crowd);
        let mut without = 1;
        until_waiting(&mut control, clients - without);
        crowd.assert_silence();
        if gives_up {
            crowd.send(filler, &["LEASE.FAIL", key, &token]);
            assert_eq!(crowd.next_of(filler), Reply::Integer(1));
            (filler, token) = fill(&mut crowd);
            without = 2;
            until_waiting(&mut control, clients - without);
            crowd.assert_silence();
        }
        crowd.send(filler, &["LEASE.SET", key, &token, "html", "PX", FOR_EVER]);
        assert_eq!(crowd.next_of(filler), Reply::Integer(1));
        let mut answered = vec![false; clients];
        for _ in without..clients {
            let (who, reply) = crowd.next();
            assert!(!std::mem::replace(&mut answered[who], true), "client {who} twice");
            assert_eq!(lease(&reply), ("HIT".to_owned(), Some(b"html".to_vec()), None));
        }
        assert!(!answered[filler]);
        crowd.assert_silence();
        assert_eq!(waiting(&mut control), 0);
    }
}

/// Places so many holds that end in the same millisecond, and the stock that they
/// take from; answers how much each takes of both counters.
fn place(control: &mut TcpTarget, count: usize, px: &str, rng: &mut Rng) -> Vec<[i64; 2]> {
    let amounts: Vec<[i64; 2]> = (0..count).map(|_| [rng.i64(1..5), rng.i64(1..5)]).collect();
    let [shirts, caps] = totals(&amounts).map(|total| total.to_string());
    control.call(&["MSET", "shirts", &shirts, "caps", &caps]);
    // In one step, and so at one time.
    let mut requests = encode(&["MULTI"]);
    for (at, [shirts, caps]) in amounts.iter().enumerate() {
        let (hold, shirts, caps) = (format!("hold-{at}"), shirts.to_string(), caps.to_string());
        let items = ["shirts", &shirts, "caps", &caps];
        requests.extend(encode(&[&["STOCK.HOLD", &hold, "PX", px], &items[..]].concat()));
        requests.extend(encode(&["PEXPIRETIME", &hold]));
    }
    requests.extend(encode(&["EXEC"]));
    control.send(&requests).expect("the server takes input");
    for _ in 0..=2 * count {
        let queued = control.reply().expect("the server replies");
        assert!(queued == b"+OK\r\n" || queued == b"+QUEUED\r\n");
    }
    let replies = support::resp::decode_one(&control.reply().expect("the server replies"));
    let replies = replies.elements().expect("EXEC runs").to_vec();
    let deadline = integer(&replies[1]);
    for pair in replies.chunks(2) {
        let left: Vec<i64> =
            pair[0].elements().expect("a number each").iter().map(integer).collect();
        assert!(left.iter().all(|left| *left >= 0), "placed: {left:?}");
        assert_eq!(integer(&pair[1]), deadline, "all end in one millisecond");
    }
    assert_eq!(pair_of(&replies[2 * count - 2]), [0, 0], "nothing remains");
    amounts
}

fn totals(amounts: &[[i64; 2]]) -> [i64; 2] {
    amounts.iter().fold([0, 0], |[shirts, caps], [more_shirts, more_caps]| {
        [shirts + more_shirts, caps + more_caps]
    })
}

fn pair_of(reply: &Reply) -> [i64; 2] {
    let numbers: Vec<i64> = reply.elements().expect("two numbers").iter().map(integer).collect();
    numbers.try_into().expect("two numbers")
}

/// What is available of both counters, and what of each is held.
fn stock(control: &mut TcpTarget) -> ([i64; 2], [i64; 2]) {
    let infos = ["shirts", "caps"].map(|key| control.call(&["STOCK.INFO", key]));
    let number = |name| infos.each_ref().map(|info| integer(&field(info, name)));
    (number("available"), number("held"))
}

#[test]
fn a_thousand_holds_that_end_in_one_millisecond_give_back_exactly_what_they_held() {
    const HOLDS: usize = 1_000;
    let _alone = alone();
    let server = start();
    let (mut control, mut subscriber) = (server.connect(), server.connect());
    control.call(&["CONFIG", "SET", "notify-keyspace-events", "Ed"]);
    subscriber.call(&["SUBSCRIBE", "__keyevent@0__:holdexpired"]);
    let amounts = place(&mut control, HOLDS, "300", &mut rng());
    let total = totals(&amounts);
    // However far they have come: what is not held is available.
    loop {
        let (available, held) = stock(&mut control);
        if held == [0, 0] {
            assert_eq!(available, total);
            break;
        }
        // The two counters are looked at one after the other.
        for at in 0..2 {
            assert_eq!(available[at] + held[at], total[at]);
        }
    }
    for _ in 0..HOLDS {
        let event = support::resp::decode_one(&subscriber.reply().expect("an event each"));
        assert_eq!(event.elements().expect("a message")[0].text(), Some(&b"message"[..]));
    }
    for at in 0..HOLDS {
        // Who comes too late is told, and changes nothing.
        assert_eq!(control.call(&["STOCK.CONFIRM", &format!("hold-{at}")]), Reply::Integer(-1));
    }
    assert_eq!(stock(&mut control), (total, [0, 0]));
}

#[test]
fn a_thousand_confirmations_race_the_millisecond_in_which_their_holds_end() {
    let _alone = alone();
    let server = start();
    let mut control = server.connect();
    let holds = crowd::fitting(1_000);
    let mut crowd = Crowd::connect(server.address(), holds);
    let amounts = place(&mut control, holds, "300", &mut rng());
    // Sent just before it, some come in time and some do not; whichever do, the
    // sums are the same.
    while (10..300).contains(&integer(&control.call(&["PTTL", "hold-0"]))) {}
    for at in 0..holds {
        crowd.send(at, &["STOCK.CONFIRM", &format!("hold-{at}")]);
    }
    let (mut sold, mut late) = ([0, 0], 0);
    for _ in 0..holds {
        match crowd.next() {
            (at, Reply::Integer(1)) => sold = totals(&[sold, amounts[at]]),
            (_, Reply::Integer(-1)) => late += 1,
            (at, other) => panic!("hold-{at}: {other:?}"),
        }
    }
    println!("{} of {holds} came in time", holds - late);
    let total = totals(&amounts);
    assert_eq!(stock(&mut control), ([total[0] - sold[0], total[1] - sold[1]], [0, 0]));
}
