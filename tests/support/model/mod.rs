//! A model of the server: plain and slow, written from the contract and not from
//! the server's code. It predicts every reply, including who is served when.
//!
//! It is told what the engine is told, in the same order: connections, complete
//! requests, the time, the turn's tick, and how many replies a client has taken.

mod args;
mod data;
mod expect;
mod keys;
mod lease;
mod lock;
mod rates;
mod session;
mod stock;
mod strings;
mod time;
mod versions;
mod waits;

use std::collections::{BTreeMap, VecDeque};

pub(crate) use data::{Db, HoldState, LeaseState, Value, Waiter, Wants};
pub(crate) use expect::Expect;
use expect::{error, wrong_arity};

pub(crate) struct Model {
    pub(crate) now_us: i64,
    pub(crate) dbs: Vec<Db>,
    pub(crate) clients: BTreeMap<usize, Client>,
    /// In order of arrival.
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) last_token: i64,
    /// Replies in the order in which they are made; the simulator takes them.
    pub(crate) expected: VecDeque<Expected>,
    /// Units whose counter was gone when they were to go back.
    pub(crate) units_dropped: i64,
    /// Keyspace events since somebody took them: database, event, key.
    pub(crate) events: Vec<(usize, &'static str, String)>,
    /// SHUTDOWN: no wait lasts any longer.
    pub(crate) stops: bool,
    limits: Limits,
    last_id: i64,
    /// Clients that go on with their requests in the next tick, in this order.
    backlog: VecDeque<usize>,
}

/// The options that the model knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) databases: usize,
    pub(crate) max_wait_ms: i64,
    /// Requests that one client runs before the others have their turn.
    pub(crate) turn_requests_max: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) id: i64,
    pub(crate) db: usize,
    pub(crate) resp3: bool,
    /// Requests that have arrived and not been answered.
    pub(crate) pending: VecDeque<Vec<String>>,
    /// The beginning of another one has arrived too.
    has_partial: bool,
    pub(crate) waits: bool,
    /// CLIENT KILL has named it: it runs nothing any more.
    pub(crate) is_closing: bool,
    /// It goes on in the next tick and not before.
    in_backlog: bool,
    /// MULTI, and what was queued since.
    pub(crate) transaction: Option<Transaction>,
    watched: Vec<(usize, String)>,
    watch_failed: bool,
    /// Replies made and replies taken, since it connected.
    replies: usize,
    taken: usize,
    /// Grants, each with the number of the reply that tells of it.
    granted: Vec<(usize, i64)>,
}

#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) client: usize,
    pub(crate) request: Vec<String>,
    pub(crate) reply: Expect,
    pub(crate) resp3: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) queued: Vec<Vec<String>>,
    refused: bool,
}

/// What a command comes to.
pub(crate) enum Ran {
    Reply(Expect),
    Wait(Waiter),
}

impl From<Expect> for Ran {
    fn from(reply: Expect) -> Ran {
        Ran::Reply(reply)
    }
}

/// `Err` is a refusal; both are replies.
type Answer = Result<Expect, Expect>;

impl Model {
    pub(crate) fn new(now_us: i64, limits: Limits) -> Model {
        Model {
            now_us,
            dbs: vec![Db::default(); limits.databases],
            clients: BTreeMap::new(),
            waiters: Vec::new(),
            last_token: now_us,
            expected: VecDeque::new(),
            units_dropped: 0,
            events: Vec::new(),
            stops: false,
            limits,
            last_id: 0,
            backlog: VecDeque::new(),
        }
    }

    pub(crate) fn connect(&mut self, client: usize) {
        self.last_id += 1;
        self.clients.insert(client, Client { id: self.last_id, ..Client::default() });
    }

    /// The client's connection has ended.
    pub(crate) fn disconnect(&mut self, client: usize) {
        self.waiters.retain(|waiter| waiter.client != client);
        self.backlog.retain(|listed| *listed != client);
        let Some(gone) = self.clients.remove(&client) else { return };
        self.release_tied(client);
        for (reply, token) in gone.granted {
            if reply >= gone.taken {
                self.undo_grant(token);
            }
        }
        self.serve();
    }

    /// Bytes have arrived that complete these requests; `has_partial`: and begin
    /// another one.
    pub(crate) fn receive(&mut self, client: usize, requests: Vec<Vec<String>>, has_partial: bool) {
        let state = self.state(client);
        if state.is_closing {
            return;
        }
        state.pending.extend(requests);
        state.has_partial = has_partial;
        if !state.in_backlog {
            self.run_share(client);
        }
    }

    /// So many replies in all have been handed to the client's transport.
    pub(crate) fn taken(&mut self, client: usize, replies: usize) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.taken = replies;
            client.granted.retain(|(reply, _)| *reply >= replies);
        }
    }

    /// Runs what a client has sent until it waits, or has had its share.
    fn run_share(&mut self, client: usize) {
        let mut share = self.limits.turn_requests_max;
        while share > 0 && !self.clients[&client].waits {
            let state = self.state(client);
            let Some(request) = state.pending.pop_front() else { break };
            share -= 1;
            let resp3 = state.resp3;
            match self.request(client, &request) {
                Ran::Reply(reply) => self.answer(client, request, reply, resp3),
                Ran::Wait(waiter) => {
                    let state = self.state(client);
                    state.waits = true;
                    state.pending.push_front(request);
                    self.waiters.push(waiter);
                }
            }
            self.serve();
        }
        if share == 0 {
            self.go_on_later(client);
        }
    }

    /// The client goes on in the next tick, if it has sent more.
    fn go_on_later(&mut self, client: usize) {
        let state = self.state(client);
        if !state.in_backlog && (state.has_partial || !state.pending.is_empty()) {
            state.in_backlog = true;
            self.backlog.push_back(client);
        }
    }

    fn answer(&mut self, client: usize, request: Vec<String>, reply: Expect, was_resp3: bool) {
        let Some(state) = self.clients.get_mut(&client) else { return };
        // HELLO answers in the version that it has chosen.
        let resp3 = was_resp3 || state.resp3;
        state.replies += 1;
        self.expected.push_back(Expected { client, request, reply, resp3 });
    }

    /// Notes that the reply in the making grants a lock or a lease.
    fn grants(&mut self, client: usize, token: i64) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.granted.push((client.replies, token));
        }
    }

    /// One request of a client that does not wait.
    fn request(&mut self, me: usize, request: &[String]) -> Ran {
        let name = request[0].to_uppercase();
        let in_transaction = self.clients[&me].transaction.is_some();
        if let Err(refusal) = check_arity(&name, request) {
            if let Some(transaction) = &mut self.state(me).transaction {
                transaction.refused = true;
            }
            return refusal.into();
        }
        let immediate = ["MULTI", "EXEC", "DISCARD", "WATCH"].contains(&&*name);
        if in_transaction && !immediate {
            let transaction = &mut self.state(me).transaction;
            transaction.as_mut().expect("checked above").queued.push(request.to_vec());
            return expect::simple("QUEUED").into();
        }
        self.run(me, request, false)
    }

    fn state(&mut self, me: usize) -> &mut Client {
        self.clients.get_mut(&me).expect("who sends is connected")
    }

    /// Runs one command; `at_once` where a WAIT counts as 0.
    fn run(&mut self, me: usize, request: &[String], at_once: bool) -> Ran {
        let name = request[0].to_uppercase();
        let db = self.clients[&me].db;
        match name.as_str() {
            "LOCK.ACQUIRE" => self.lock_acquire(me, request, at_once),
            "LOCK.GUARD" => self.lock_guard(me, request),
            "LEASE.GET" => self.lease_get(me, request, at_once),
            "EXEC" => self.exec(me).into(),
            _ => {
                let answer = match name.split('.').next() {
                    Some("LOCK") => self.lock_command(me, db, &name, request),
                    Some("LEASE") => self.lease_command(db, &name, request),
                    Some("STOCK") => self.stock_command(db, &name, request),
                    Some("CL") => self.throttle(db, request),
                    _ => self
                        .session_command(me, &name, request)
                        .or_else(|| self.key_command(db, &name, request))
                        .or_else(|| self.string_command(db, &name, request))
                        .or_else(|| self.version_command(db, &name, request))
                        .unwrap_or_else(|| panic!("the model does not know {name}")),
                };
                answer.unwrap_or_else(|refusal| refusal).into()
            }
        }
    }
}

/// Fewest and most words of a request.
const ARITY: &[(&str, usize, usize)] = &[
    ("APPEND", 3, 3),
    ("CL.THROTTLE", 5, 6),
    ("CLIENT", 2, 9),
    ("COPY", 3, 9),
    ("DBSIZE", 1, 1),
    ("DECR", 2, 2),
    ("DECRBY", 3, 3),
    ("DECRIFPOS", 2, 3),
    ("DEL", 2, 99),
    ("DELEX", 2, 4),
    ("DELIFEQ", 3, 3),
    ("DELIFGREATER", 3, 3),
    ("DISCARD", 1, 1),
    ("ECHO", 2, 2),
    ("EXEC", 1, 1),
    ("EXISTS", 2, 99),
    ("EXPIRE", 3, 9),
    ("FLUSHALL", 1, 9),
    ("FLUSHDB", 1, 9),
    ("GET", 2, 2),
    ("GETDEL", 2, 2),
    ("GETEX", 2, 99),
    ("GETIFNOTMATCH", 3, 3),
    ("GETSET", 3, 3),
    ("GETWITHETAG", 2, 2),
    ("HELLO", 1, 9),
    ("INCR", 2, 2),
    ("INCRBY", 3, 3),
    ("INCRBYFLOAT", 3, 3),
    ("INCREX", 2, 99),
    ("KEYS", 2, 2),
    ("LEASE.FAIL", 3, 4),
    ("LEASE.GET", 4, 99),
    ("LEASE.INVALIDATE", 2, 4),
    ("LEASE.SET", 6, 99),
    ("LOCK.ACQUIRE", 5, 99),
    ("LOCK.EXTEND", 5, 5),
    ("LOCK.GUARD", 4, 99),
    ("LOCK.INFO", 2, 2),
    ("LOCK.RELEASE", 3, 3),
    ("MGET", 2, 99),
    ("MOVE", 3, 3),
    ("MSET", 3, 99),
    ("MSETNX", 3, 99),
    ("MULTI", 1, 1),
    ("PERSIST", 2, 2),
    ("PEXPIRE", 3, 9),
    ("PING", 1, 2),
    ("PSETEX", 4, 4),
    ("PTTL", 2, 2),
    ("RENAME", 3, 3),
    ("RENAMENX", 3, 3),
    ("SELECT", 2, 2),
    ("SET", 3, 99),
    ("SETIFGREATER", 4, 99),
    ("SETIFMATCH", 4, 99),
    ("SETNX", 3, 3),
    ("SETRANGE", 4, 4),
    ("STOCK.CANCEL", 2, 2),
    ("STOCK.CONFIRM", 2, 2),
    ("STOCK.EXTEND", 4, 4),
    ("STOCK.HOLD", 6, 99),
    ("STOCK.INFO", 2, 2),
    ("STRLEN", 2, 2),
    ("SWAPDB", 3, 3),
    ("TTL", 2, 2),
    ("TYPE", 2, 2),
    ("UNLINK", 2, 99),
    ("UNWATCH", 1, 1),
    ("WATCH", 2, 99),
];

fn check_arity(name: &str, request: &[String]) -> Result<(), Expect> {
    let Some((_, least, most)) = ARITY.iter().find(|(listed, _, _)| *listed == name) else {
        let mut text = format!("ERR unknown command '{}', with args beginning with: ", request[0]);
        for arg in &request[1..] {
            text.push_str(&format!("'{arg}' "));
        }
        return Err(error(text));
    };
    if (*least..=*most).contains(&request.len()) { Ok(()) } else { Err(wrong_arity(name)) }
}
