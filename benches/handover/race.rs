//! Clients who want one lock, all in this process and each with a connection of
//! its own: one holds it for a while, the others wait in one of three ways.
//!
//! A hand-over begins when the holder sends its release and ends when another has
//! read its grant. Who has released joins the others then, so that as many wait
//! for each hand-over.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use mio::{Events, Interest, Poll, Token};

use super::support::process::ServerProcess;
use super::support::resp::{self, Reply};
use super::support::target::encode;

/// A lock is held for a random time up to this, in which waiters come to rest and
/// after which those who poll are anywhere between two attempts.
pub(crate) const HOLD_MAX: Duration = Duration::from_millis(100);

/// The pause of `redis.lock.Lock` between two attempts, unless it is told another.
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// Nobody's lock ends by its time.
const LOCK_MS: &str = "60000";

/// Without a hand-over for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

const RELEASE: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end \
                       redis.call('del', KEYS[1]) return 1";

const RELEASE_AND_TELL: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end \
                                redis.call('del', KEYS[1]) \
                                redis.call('publish', KEYS[2], 'free') return 1";

/// How a client that does not get the lock waits for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In the server's queue: LOCK.ACQUIRE with WAIT.
    Queue,
    /// For a message, which who releases publishes; then all try again. A client
    /// has one connection for both, as RESP3 permits.
    Messages,
    /// A tenth of a second, over and over.
    Polling,
}

/// What a client is to be answered next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Acquire,
    Release,
}

struct Contender {
    stream: mio::net::TcpStream,
    input: Vec<u8>,
    acquire: Vec<u8>,
    release: Vec<u8>,
    sent: VecDeque<Sent>,
    /// Refused, and waiting for a message.
    listens: bool,
    /// A message came while an attempt was under way: if that is refused, it may
    /// have been too early.
    told: bool,
    /// When its last attempt was due. The pause to the next one counts from then:
    /// if this process is late, a thousand clients must not come to poll in step.
    due: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Release,
    Try,
}

/// The clients, one of whom holds the lock.
pub(crate) struct Race {
    way: Way,
    poll: Poll,
    contenders: Vec<Contender>,
    /// What is to be done when, and by whom.
    tasks: BinaryHeap<Reverse<(Instant, Task, usize)>>,
    released: Option<(Instant, usize)>,
    /// Requests under way.
    unanswered: usize,
    latencies: Vec<Duration>,
    rng: Rng,
}

impl Race {
    /// Connects one holder and so many waiters; `seed` is what their times hang on.
    pub(crate) fn prepare(
        server: &ServerProcess,
        way: Way,
        waiters: usize,
        seed: u64,
    ) -> io::Result<Race> {
        let script = match way {
            Way::Queue => None,
            Way::Messages => Some(RELEASE_AND_TELL),
            Way::Polling => Some(RELEASE),
        };
        let sha = script.map(|script| server.connect().call(&["SCRIPT", "LOAD", script]));
        let sha = sha.as_ref().and_then(Reply::text).map(String::from_utf8_lossy);
        let poll = Poll::new()?;
        let mut contenders = Vec::new();
        for number in 0..=waiters {
            let mut contender =
                Contender::connect(server.address(), way, number, sha.as_deref().unwrap_or(""))?;
            let interest = Interest::READABLE;
            poll.registry().register(&mut contender.stream, Token(number), interest)?;
            contenders.push(contender);
        }
        let tasks = BinaryHeap::new();
        let mut race = Race {
            way,
            poll,
            contenders,
            tasks,
            released: None,
            unanswered: 0,
            latencies: Vec::new(),
            rng: Rng::with_seed(seed),
        };
        race.begin()?;
        Ok(race)
    }

    /// Lets the first one have the lock, and the others begin to wait for it at
    /// different moments.
    fn begin(&mut self) -> io::Result<()> {
        self.acquire(0)?;
        while !self.contenders[0].sent.is_empty() {
            self.listen(Some(PATIENCE))?;
        }
        // The first one holds it on until all wait.
        self.tasks.clear();
        let now = Instant::now();
        for who in 1..self.contenders.len() {
            let after = POLL_PAUSE.mul_f64(self.rng.f64());
            self.tasks.push(Reverse((now + after, Task::Try, who)));
        }
        // All have begun long before.
        self.go_on_until(now + 3 * POLL_PAUSE, |_| false)
    }

    /// Hands the lock over so often; calls `tick` each time.
    pub(crate) fn run(
        &mut self,
        hand_overs: usize,
        mut tick: impl FnMut(),
    ) -> io::Result<Vec<Duration>> {
        self.tasks.push(Reverse((Instant::now(), Task::Release, 0)));
        while self.latencies.len() < hand_overs {
            let before = self.latencies.len();
            self.go_on_until(Instant::now() + PATIENCE, |race| race.latencies.len() > before)?;
            if self.latencies.len() == before {
                return Err(io::Error::other("the lock is not handed over"));
            }
            tick();
        }
        Ok(std::mem::take(&mut self.latencies))
    }

    fn go_on_until(&mut self, end: Instant, is_done: impl Fn(&Race) -> bool) -> io::Result<()> {
        while !is_done(self) {
            let now = Instant::now();
            if now >= end {
                break;
            }
            while let Some(&Reverse((at, task, who))) = self.tasks.peek()
                && at <= now
            {
                self.tasks.pop();
                match task {
                    Task::Release => self.release(who)?,
                    Task::Try => {
                        self.contenders[who].due = at;
                        self.acquire(who)?;
                    }
                }
            }
            let (next, task) = match self.tasks.peek() {
                Some(&Reverse((at, task, _))) if at < end => (at, Some(task)),
                _ => (end, None),
            };
            let left = next.saturating_duration_since(Instant::now());
            if task == Some(Task::Try) && self.unanswered == 0 {
                // There is nothing to hear.
                thread::sleep(left);
                continue;
            }
            // The system waits whole milliseconds, and more rather than less.
            self.listen(Some(Duration::from_millis(left.as_millis() as u64)))?;
        }
        Ok(())
    }

    fn listen(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        match self.poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &events {
            let Token(who) = event.token();
            self.contenders[who].read()?;
            let read_at = Instant::now();
            while let Some(reply) = self.contenders[who].next_reply()? {
                self.hear(who, &reply, read_at)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, who: usize, reply: &Reply, read_at: Instant) -> io::Result<()> {
        let contender = &mut self.contenders[who];
        if let Reply::Push(_) = reply {
            contender.told = true;
            if std::mem::take(&mut contender.listens) {
                self.acquire(who)?;
            }
            return Ok(());
        }
        self.unanswered -= 1;
        match (contender.sent.pop_front(), reply) {
            (Some(Sent::Acquire), Reply::Integer(_) | Reply::Simple(_)) => {
                self.granted(who, read_at)
            }
            (Some(Sent::Acquire), Reply::Null) => self.refused(who),
            (Some(Sent::Release), Reply::Integer(_)) => Ok(()),
            _ => Err(io::Error::other(format!("unexpected: {reply:?}"))),
        }
    }

    fn granted(&mut self, who: usize, read_at: Instant) -> io::Result<()> {
        if let Some((since, by)) = self.released.take() {
            self.latencies.push(read_at.saturating_duration_since(since));
            self.contenders[by].due = read_at;
            self.acquire(by)?;
        }
        let hold = HOLD_MAX.mul_f64(self.rng.f64());
        self.tasks.push(Reverse((Instant::now() + hold, Task::Release, who)));
        Ok(())
    }

    fn refused(&mut self, who: usize) -> io::Result<()> {
        let contender = &mut self.contenders[who];
        match self.way {
            Way::Queue => return Err(io::Error::other("a wait for the lock has ended")),
            Way::Messages if contender.told => self.acquire(who)?,
            Way::Messages => contender.listens = true,
            Way::Polling => {
                self.tasks.push(Reverse((contender.due + POLL_PAUSE, Task::Try, who)));
            }
        }
        Ok(())
    }

    fn acquire(&mut self, who: usize) -> io::Result<()> {
        self.contenders[who].told = false;
        self.send(who, Sent::Acquire)
    }

    fn release(&mut self, who: usize) -> io::Result<()> {
        self.released = Some((Instant::now(), who));
        self.send(who, Sent::Release)
    }

    fn send(&mut self, who: usize, what: Sent) -> io::Result<()> {
        self.unanswered += 1;
        self.contenders[who].send(what)
    }
}

impl Contender {
    fn connect(address: SocketAddr, way: Way, number: usize, sha: &str) -> io::Result<Contender> {
        let owner = format!("owner-{number}");
        let set = ["SET", "lock", &owner, "NX", "PX", LOCK_MS];
        let (acquire, release) = match way {
            Way::Queue => (
                encode(&["LOCK.ACQUIRE", "lock", &owner, "PX", LOCK_MS, "WAIT", LOCK_MS]),
                encode(&["LOCK.RELEASE", "lock", &owner]),
            ),
            Way::Messages => (encode(&set), encode(&["EVALSHA", sha, "2", "lock", "free", &owner])),
            Way::Polling => (encode(&set), encode(&["EVALSHA", sha, "1", "lock", &owner])),
        };
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        if way == Way::Messages {
            stream.write_all(&encode(&["HELLO", "3"]))?;
            stream.write_all(&encode(&["SUBSCRIBE", "free"]))?;
            // Two replies: what the server is, and the subscription.
            let mut input = Vec::new();
            for _ in 0..2 {
                while resp::decode(&input).map_err(malformed)?.is_none() {
                    let mut chunk = [0; 1_024];
                    let length = stream.read(&mut chunk)?;
                    input.extend_from_slice(&chunk[..length]);
                }
                let (_, length) = resp::decode(&input).map_err(malformed)?.expect("it is there");
                input.drain(..length);
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Contender {
            stream: mio::net::TcpStream::from_std(stream),
            input: Vec::new(),
            acquire,
            release,
            sent: VecDeque::new(),
            listens: false,
            told: false,
            due: Instant::now(),
        })
    }

    fn send(&mut self, what: Sent) -> io::Result<()> {
        self.sent.push_back(what);
        let request = match what {
            Sent::Acquire => &self.acquire,
            Sent::Release => &self.release,
        };
        // So little always fits into a socket whose replies are read.
        self.stream.write_all(request)
    }

    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4_096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::Error::other("the server has closed a connection")),
                Ok(length) => {
                    self.input.extend_from_slice(&chunk[..length]);
                    // The rest would be another event.
                    if length < chunk.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn next_reply(&mut self) -> io::Result<Option<Reply>> {
        let Some((reply, length)) = resp::decode(&self.input).map_err(malformed)? else {
            return Ok(None);
        };
        self.input.drain(..length);
        Ok(Some(reply))
    }
}

fn malformed(malformed: resp::Malformed) -> io::Error {
    io::Error::other(format!("not a reply: {malformed:?}"))
}
