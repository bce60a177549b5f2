//! What a race is played with: a server, clients that count what they send, and
//! a clock.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, InfoDict, Pipeline, RedisResult, Value};
use tollgate::server::Handle;

use crate::Result;

/// Every key that is used begins with this, and is gone afterwards: the server
/// may be somebody's.
pub(crate) const PREFIX: &str = "races:";

/// How many connections are opened side by side, which a listener's queue holds.
const CONNECTING_MAX: usize = 64;
/// Connections that are left to others, on a server by address.
const CONNECTIONS_SPARED: usize = 16;

/// The server that is played against.
pub(crate) struct Server {
    client: redis::Client,
    /// When none was given by address.
    _own: Option<Handle>,
    /// As in INFO: `redis 7.0.15`.
    pub(crate) name: String,
    /// How many connections it can take from here.
    pub(crate) clients_max: usize,
    lacks: BTreeSet<String>,
    tally: Rc<Tally>,
}

/// What all clients have sent since the last [`Server::reset`].
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) requests: Cell<u64>,
    /// Those of them that only asked again.
    pub(crate) again: Cell<u64>,
}

impl Server {
    /// A server by its address, or else one of our own in this process.
    ///
    /// `needed` names the commands and options that any way of playing uses.
    pub(crate) async fn open(address: Option<&str>, needed: &BTreeSet<&str>) -> Result<Server> {
        // First, since a server of our own takes as many clients as it finds files.
        let open_files = open_files()?;
        let (address, own) = match address {
            Some(address) => (address.to_owned(), None),
            None => {
                let server = tollgate::Server::builder().port(0).option("maxclients", "20000");
                let server = server.start()?;
                (server.addr().to_string(), Some(server))
            }
        };
        let client = redis::Client::open(format!("redis://{address}/"))?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&patient())
            .await
            .map_err(|error| format!("no server at {address}: {error}"))?;

        let info: InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
        let name = match info.get::<String>("tollgate_version") {
            Some(version) => format!("tollgate {version}"),
            None => format!("redis {}", info.get::<String>("redis_version").unwrap_or_default()),
        };
        // In this process every connection takes two files, one at each end.
        let ends = if own.is_some() { 2 } else { 1 };
        let server_max: usize = info.get("maxclients").unwrap_or(10_000);
        let clients_max = (open_files / ends).min(server_max).saturating_sub(CONNECTIONS_SPARED);

        let mut lacks = BTreeSet::new();
        for &name in needed {
            if !has(&mut connection, name).await? {
                lacks.insert(name.to_owned());
            }
        }
        Ok(Server { client, _own: own, name, clients_max, lacks, tally: Rc::default() })
    }

    pub(crate) fn has_all(&self, needed: &[&str]) -> bool {
        !needed.iter().any(|name| self.lacks.contains(*name))
    }

    pub(crate) async fn connect(&self, count: usize) -> Result<Vec<Client>> {
        let config = patient();
        let connections: Vec<MultiplexedConnection> = stream::iter(0..count)
            .map(|_| self.client.get_multiplexed_async_connection_with_config(&config))
            .buffer_unordered(CONNECTING_MAX)
            .try_collect()
            .await
            .map_err(|error| format!("not all {count} clients can connect: {error}"))?;
        let client = |connection| Client { connection, tally: Rc::clone(&self.tally) };
        Ok(connections.into_iter().map(client).collect())
    }

    /// A client whose requests are not counted.
    pub(crate) async fn connect_owner(&self) -> Result<Client> {
        let connection =
            self.client.get_multiplexed_async_connection_with_config(&patient()).await?;
        Ok(Client { connection, tally: Rc::default() })
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn reset(&self) {
        self.tally.requests.set(0);
        self.tally.again.set(0);
    }
}

/// A command that waits may take longer than any limit that fits others.
fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(Some(Duration::from_secs(30)))
}

/// Whether the server has a command or, after a space, a command's option.
async fn has(connection: &mut MultiplexedConnection, name: &str) -> Result<bool> {
    if name == "SET JITTER" {
        // Options stand in no list, so this one is tried.
        let mut set = redis::cmd("SET");
        set.arg(format!("{PREFIX}probe")).arg(1).arg("PX").arg(1).arg("JITTER").arg(1);
        return Ok(set.exec_async(connection).await.is_ok());
    }
    let info: Vec<Value> =
        redis::cmd("COMMAND").arg("INFO").arg(name).query_async(connection).await?;
    Ok(!matches!(info.as_slice(), [Value::Nil] | []))
}

/// How many more files this process may open.
fn open_files() -> Result<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// The program's own: standard streams, epoll, listener.
    const OTHERS: u64 = 40;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(usize::try_from(limit.maximum.unwrap_or(1 << 20).saturating_sub(OTHERS))?)
}

/// One connection, which counts its requests.
pub(crate) struct Client {
    connection: MultiplexedConnection,
    tally: Rc<Tally>,
}

impl Client {
    /// One request and its reply.
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, request: &Cmd) -> RedisResult<T> {
        add(&self.tally.requests, 1);
        request.query_async(&mut self.connection).await
    }

    /// A request that would not be sent if the server had told the client what
    /// it waits for.
    pub(crate) async fn ask_again<T: FromRedisValue>(&mut self, request: &Cmd) -> RedisResult<T> {
        add(&self.tally.again, 1);
        self.ask(request).await
    }

    /// A transaction; none if a watched key had changed.
    pub(crate) async fn exec<T: FromRedisValue>(
        &mut self,
        body: &Pipeline,
    ) -> RedisResult<Option<T>> {
        // MULTI and EXEC come to the body.
        add(&self.tally.requests, body.cmd_iter().count() as u64 + 2);
        body.query_async(&mut self.connection).await
    }

    /// Requests that are sent together.
    pub(crate) async fn batch<T: FromRedisValue>(&mut self, requests: &Pipeline) -> RedisResult<T> {
        add(&self.tally.requests, requests.cmd_iter().count() as u64);
        requests.query_async(&mut self.connection).await
    }

    /// Notes that the last `requests` were in vain and will be repeated.
    pub(crate) fn note_retry(&self, requests: u64) {
        add(&self.tally.again, requests);
    }
}

fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get() + count);
}

/// What one way of one scenario is played on.
pub(crate) struct Stage<'a> {
    /// Prepares the keys and looks at them afterwards, uncounted.
    pub(crate) owner: &'a mut Client,
    pub(crate) clients: &'a mut [Client],
    pub(crate) rounds: usize,
    pub(crate) clock: Stopwatch,
}

/// Adds up the time that races take, without their preparations.
#[derive(Default)]
pub(crate) struct Stopwatch {
    pub(crate) total: Duration,
}

impl Stopwatch {
    /// Lets all run at once; ends when the last has, or at the first error.
    pub(crate) async fn race<T, F>(&mut self, runners: impl Iterator<Item = F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let start = Instant::now();
        let results = try_join_all(runners).await;
        self.total += start.elapsed();
        results
    }
}

pub(crate) async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
