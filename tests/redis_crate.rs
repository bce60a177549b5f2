//! The `redis` crate against tollgate: blocking and asynchronous, RESP2 and
//! RESP3, and its own functions for the newer commands.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::StreamExt as _;
use redis::{
    AsyncCommands as _, AsyncConnectionConfig, Client, Commands as _, Connection, ErrorKind,
    ExistenceCheck, Expiry, IncrexOptions, IncrexResult, MSetOptions, ProtocolVersion, PushKind,
    RedisResult, ScanOptions, ServerErrorKind, SetExpiry, SetOptions, Value, ValueComparison,
    calculate_value_digest,
};
use support::process::ServerProcess;
use support::program::PATIENCE;
use support::tollgate;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

/// What follows the database in the URL, for either protocol.
const PROTOCOLS: [&str; 2] = ["", "?protocol=resp3"];

fn client(server: &ServerProcess, protocol: &str) -> Client {
    Client::open(format!("redis://{}/0{protocol}", server.address())).expect("a valid URL")
}

/// A connection on which nothing waits for ever.
fn connect(client: &Client) -> Connection {
    let connection = client.get_connection_with_timeout(PATIENCE).expect("the server accepts");
    connection.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    connection.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
    connection
}

/// Runs the test for each protocol, on a fresh server.
fn with_each_protocol(test: fn(&Client) -> RedisResult<()>) {
    for protocol in PROTOCOLS {
        let server = tollgate::start();
        test(&client(&server, protocol)).unwrap_or_else(|error| panic!("{protocol:?}: {error}"));
    }
}

/// The same with a runtime.
fn with_each_protocol_async<F>(test: impl Fn(Client) -> F)
where
    F: Future<Output = RedisResult<()>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the runtime starts");
    for protocol in PROTOCOLS {
        let server = tollgate::start();
        let client = client(&server, protocol);
        let result = runtime.block_on(async { timeout(PATIENCE, test(client)).await });
        result
            .unwrap_or_else(|_| panic!("{protocol:?}: not done in time"))
            .unwrap_or_else(|error| panic!("{protocol:?}: {error}"));
    }
}

/// The crate's default gives up after half a second, which a busy machine may
/// take.
fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
}

#[test]
fn strings() {
    with_each_protocol(|client| {
        let mut connection = connect(client);
        let () = connection.set("greeting", "Hello")?;
        assert_eq!(connection.append::<_, _, usize>("greeting", " you")?, 9);
        assert_eq!(connection.get::<_, String>("greeting")?, "Hello you");
        assert_eq!(connection.getrange::<_, String>("greeting", 6, -1)?, "you");
        assert_eq!(connection.get::<_, Option<String>>("nothing")?, None);
        let binary: Vec<u8> = (0..=255).collect();
        let () = connection.set("binary", &binary)?;
        assert_eq!(connection.get::<_, Vec<u8>>("binary")?, binary);
        let () = connection.mset(&[("a", 1), ("b", 2)])?;
        let both: (i64, i64) = connection.mget(&["a", "b"])?;
        assert_eq!(both, (1, 2));
        assert_eq!(connection.incr::<_, _, i64>("a", 41)?, 42);
        assert_eq!(connection.incr::<_, _, f64>("a", 0.5)?, 42.5);
        assert_eq!(connection.del::<_, usize>(&["a", "b", "nothing"])?, 2);
        assert!(!connection.exists::<_, bool>("a")?);
        Ok(())
    });
}

#[test]
fn times_to_live() {
    with_each_protocol(|client| {
        let mut connection = connect(client);
        let lock = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::PX(600_000));
        let taken: Option<String> = connection.set_options("lock", "me", lock.clone())?;
        assert_eq!(taken.as_deref(), Some("OK"));
        let refused: Option<String> = connection.set_options("lock", "you", lock)?;
        assert_eq!(refused, None);
        let left: i64 = connection.pttl("lock")?;
        assert!((1..=600_000).contains(&left), "{left}");
        let value: String = connection.get_ex("lock", Expiry::PERSIST)?;
        assert_eq!((value.as_str(), connection.ttl::<_, i64>("lock")?), ("me", -1));
        let () = connection.set_ex("soon", "x", 1_000)?;
        assert!(connection.expire_at::<_, bool>("soon", 1)?, "in the past");
        assert_eq!(connection.ttl::<_, i64>("soon")?, -2);
        Ok(())
    });
}

/// The functions that the crate has for commands newer than Redis 7.0, and the
/// commands that only tollgate has.
#[test]
fn newer_commands() {
    with_each_protocol(|client| {
        let mut connection = connect(client);
        let () = connection.set("lock", "token")?;
        assert_eq!(connection.del_ex::<_, usize>("lock", ValueComparison::ifeq("other"))?, 0);
        assert_eq!(
            connection.digest::<_, Option<String>>("lock")?,
            Some(calculate_value_digest("token"))
        );
        let mine = ValueComparison::ifdeq(calculate_value_digest("token"));
        let swap = SetOptions::default().value_comparison(mine);
        assert_eq!(connection.set_options::<_, _, Value>("lock", "new", swap)?, Value::Okay);
        assert_eq!(connection.del_ex::<_, usize>("lock", ValueComparison::ifeq("new"))?, 1);

        let together = MSetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::EX(60));
        assert!(connection.mset_ex::<_, _, bool>(&[("a", "1"), ("b", "2")], together)?);
        assert!(!connection.mset_ex::<_, _, bool>(&[("b", "3"), ("c", "4")], together)?);

        let limit =
            || IncrexOptions::default().upper_bound(3_i64).with_expiration(Expiry::EX(3600)).enx();
        let calls: IncrexResult = connection.increx("calls", 2_i64, limit())?;
        assert_eq!((calls.value, calls.actual_increment), (Value::Int(2), Value::Int(2)));
        let calls: IncrexResult = connection.increx("calls", 2_i64, limit())?;
        assert_eq!((calls.value, calls.actual_increment), (Value::Int(2), Value::Int(0)));
        assert!((1..=3600).contains(&connection.ttl::<_, i64>("calls")?));

        let () = connection.set("stock", 2)?;
        let mut buy = redis::cmd("DECRIFPOS");
        buy.arg("stock");
        let replies: (i64, i64, i64) =
            (buy.query(&mut connection)?, buy.query(&mut connection)?, buy.query(&mut connection)?);
        assert_eq!(replies, (1, 0, -1));
        Ok(())
    });
}

#[test]
fn errors_are_told_apart() {
    with_each_protocol(|client| {
        let mut connection = connect(client);
        let () = connection.set("text", "abc")?;
        let error = connection.incr::<_, _, i64>("text", 1).expect_err("it is no number");
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
        assert_eq!(error.code(), Some("ERR"));
        assert_eq!(error.detail(), Some("value is not an integer or out of range"));
        let error = connection.get::<_, i64>("text").expect_err("the client cannot read it");
        assert!(matches!(error.kind(), ErrorKind::UnexpectedReturnType | ErrorKind::Parse));
        let error = redis::cmd("NOSUCH").exec(&mut connection).expect_err("there is none");
        assert_eq!(error.code(), Some("ERR"));
        assert!(error.to_string().contains("unknown command 'NOSUCH'"), "{error}");

        // A mistake inside a transaction refuses all of it.
        let mut spoilt = redis::pipe();
        spoilt.atomic().set("text", "changed").cmd("NOSUCH");
        let error = spoilt.exec(&mut connection).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ExecAbort), "{error}");
        assert_eq!(connection.get::<_, String>("text")?, "abc");
        Ok(())
    });
}

#[test]
fn a_password() {
    for protocol in PROTOCOLS {
        let server = tollgate::start_with(&["--requirepass", "sesame"]);
        let addr = server.address();
        let open = |credentials: &str| {
            Client::open(format!("redis://{credentials}{addr}/3{protocol}")).expect("a valid URL")
        };
        let mut connection = connect(&open(":sesame@"));
        let () = connection.set("a", 1).expect("logged in");
        let mut connection = connect(&open("default:sesame@"));
        assert_eq!(connection.get::<_, i64>("a").expect("logged in, database 3"), 1);
        let refused = open(":wrong@").get_connection_with_timeout(PATIENCE);
        let error = refused.err().expect("a wrong password is refused");
        // The crate has a kind of its own for it only in RESP2.
        let is_told = error.kind() == ErrorKind::AuthenticationFailed;
        assert!(is_told || error.code() == Some("WRONGPASS"), "{error}");
        let refused = open("").get_connection_with_timeout(PATIENCE);
        let error = refused.err().expect("no password is refused");
        // RESP2 fails at SELECT, RESP3 at HELLO.
        let reason = error.to_string();
        let is_told = reason.contains("Authentication required") || reason.contains("NOAUTH");
        assert!(is_told, "{reason}");
    }
}

#[test]
fn pipelines() {
    with_each_protocol(|client| {
        let mut connection = connect(client);
        let (first, second): (i64, Option<String>) = redis::pipe()
            .set("a", 1)
            .ignore()
            .incr("a", 1)
            .get("nothing")
            .query(&mut connection)?;
        assert_eq!((first, second), (2, None));

        let mut many = redis::pipe();
        for number in 0..10_000 {
            many.set(format!("key:{number}"), number).ignore();
            many.get(format!("key:{number}"));
        }
        let values: Vec<i64> = many.query(&mut connection)?;
        assert!(values.into_iter().eq(0..10_000));

        let (value, deleted): (String, i64) = redis::pipe()
            .atomic()
            .set("b", "x")
            .ignore()
            .get("b")
            .del("b")
            .query(&mut connection)?;
        assert_eq!((value.as_str(), deleted), ("x", 1));
        Ok(())
    });
}

/// Each writer retries until nobody was in between: no increment is lost.
#[test]
fn watched_transactions_retry() {
    const WRITERS: usize = 4;
    const INCREMENTS: usize = 50;
    with_each_protocol(|client| {
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    let mut connection = connect(client);
                    for _ in 0..INCREMENTS {
                        let key = "counter";
                        let result: RedisResult<()> =
                            redis::transaction(&mut connection, &[key], |connection, pipe| {
                                let old: Option<usize> = connection.get(key)?;
                                pipe.set(key, old.unwrap_or(0) + 1).ignore().query(connection)
                            });
                        result.expect("it succeeds in the end");
                    }
                });
            }
        });
        let count: usize = connect(client).get("counter")?;
        assert_eq!(count, WRITERS * INCREMENTS);
        Ok(())
    });
}

#[test]
fn scans_give_each_key_once() {
    with_each_protocol(|client| {
        let mut connection = connect(client);
        let mut fill = redis::pipe();
        for number in 0..2_000 {
            fill.set(format!("key:{number}"), number).ignore();
        }
        fill.exec(&mut connection)?;
        let keys: Vec<String> = connection.scan()?.collect::<RedisResult<_>>()?;
        assert_eq!(keys.len(), 2_000);
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), 2_000);
        let options = ScanOptions::default().with_pattern("key:199?").with_count(7);
        let keys: Vec<String> = connection.scan_options(options)?.collect::<RedisResult<_>>()?;
        let expected: BTreeSet<String> = (1990..2000).map(|n| format!("key:{n}")).collect();
        assert_eq!(keys.len(), expected.len());
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), expected);
        Ok(())
    });
}

#[test]
fn names_and_figures() {
    with_each_protocol(|client| {
        let mut connection = connect(client);
        let () = connection.client_setname("tester")?;
        assert_eq!(connection.client_getname::<Option<String>>()?.as_deref(), Some("tester"));
        let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut connection)?;
        // Whoever looked whether the server answers may not have been noticed to be gone.
        let own: Vec<&str> =
            clients.lines().filter(|line| line.contains(" name=tester ")).collect();
        assert_eq!(own.len(), 1, "{clients}");
        assert!(own[0].contains(" lib-name=redis-rs"), "{clients}");
        let info: redis::InfoDict = redis::cmd("INFO").query(&mut connection)?;
        assert!(info.get::<usize>("connected_clients").is_some_and(|clients| clients > 0));
        assert_eq!(info.get::<String>("redis_mode").as_deref(), Some("standalone"));
        let options: HashMap<String, String> =
            redis::cmd("CONFIG").arg("GET").arg("data*").query(&mut connection)?;
        assert_eq!(options, HashMap::from([("databases".to_owned(), "16".to_owned())]));
        Ok(())
    });
}

#[test]
fn messages_to_a_blocking_subscriber() {
    with_each_protocol(|client| {
        let mut listener = connect(client);
        let mut speaker = connect(client);
        let mut messages = listener.as_pubsub();
        messages.subscribe("news")?;
        messages.psubscribe("weather.*")?;
        assert_eq!(speaker.publish::<_, _, usize>("news", "first")?, 1);
        assert_eq!(speaker.publish::<_, _, usize>("weather.today", b"\xff\x00")?, 1);
        assert_eq!(speaker.publish::<_, _, usize>("other", "unheard")?, 0);
        let message = messages.get_message()?;
        assert_eq!(
            (message.get_channel_name(), message.get_payload::<String>()?.as_str()),
            ("news", "first")
        );
        assert!(!message.from_pattern());
        let message = messages.get_message()?;
        assert_eq!(message.get_channel_name(), "weather.today");
        assert_eq!(message.get_pattern::<String>()?, "weather.*");
        assert_eq!(message.get_payload_bytes(), b"\xff\x00");
        let pong = match client.get_connection_info().redis_settings().protocol() {
            ProtocolVersion::RESP3 => Value::SimpleString("PONG".to_owned()),
            // In RESP2 a subscriber gets its reply in the form of a message.
            _ => Value::Array(["pong", ""].map(|text| Value::BulkString(text.into())).to_vec()),
        };
        assert_eq!(messages.ping::<Value>()?, pong);
        messages.unsubscribe("news")?;
        assert_eq!(speaker.publish::<_, _, usize>("news", "second")?, 0);
        // What is left of the subscriptions ends with this.
        drop(messages);
        let () = listener.set("a", 1)?;
        assert_eq!(speaker.publish::<_, _, usize>("weather.today", "x")?, 0);
        Ok(())
    });
}

/// In RESP3 the same connection asks and listens.
#[test]
fn pushes_beside_replies() -> RedisResult<()> {
    let server = tollgate::start();
    let mut connection = connect(&client(&server, PROTOCOLS[1]));
    let (sender, pushes) = mpsc::channel();
    connection.set_push_sender(sender);
    connection.subscribe_resp3("news")?;
    assert_eq!(connection.publish::<_, _, usize>("news", "to myself")?, 1);
    assert_eq!(connection.incr::<_, _, i64>("counter", 1)?, 1);
    let pushed: Vec<PushKind> =
        (0..2).filter_map(|_| pushes.recv_timeout(PATIENCE).ok().map(|push| push.kind)).collect();
    assert_eq!(pushed, [PushKind::Subscribe, PushKind::Message]);
    Ok(())
}

#[test]
fn a_multiplexed_connection() {
    with_each_protocol_async(|client| async move {
        let connection = client.get_multiplexed_async_connection_with_config(&patient()).await?;
        let increments = (0..500).map(|_| {
            let mut connection = connection.clone();
            async move { connection.incr::<_, _, usize>("counter", 1).await }
        });
        let mut replies =
            join_all(increments).await.into_iter().collect::<RedisResult<Vec<_>>>()?;
        replies.sort_unstable();
        assert!(replies.into_iter().eq(1..=500), "each got a number of its own");

        let mut connection = connection;
        let (old, new): (usize, usize) = redis::pipe()
            .atomic()
            .get("counter")
            .incr("counter", 5)
            .query_async(&mut connection)
            .await?;
        assert_eq!((old, new), (500, 505));
        let error = redis::cmd("NOSUCH").exec_async(&mut connection).await.expect_err("unknown");
        assert_eq!(error.code(), Some("ERR"));
        let keys: Vec<String> =
            connection.scan::<String>().await?.map(|key| key.expect("text")).collect().await;
        assert_eq!(keys, ["counter"]);
        Ok(())
    });
}

#[test]
fn messages_to_an_asynchronous_subscriber() {
    with_each_protocol_async(|client| async move {
        let mut speaker = client.get_multiplexed_async_connection_with_config(&patient()).await?;
        let mut subscriber = client.get_async_pubsub().await?;
        subscriber.subscribe(&["news", "sport"]).await?;
        subscriber.psubscribe("weather.*").await?;
        let (mut sink, mut messages) = subscriber.split();
        for number in 0..100 {
            let channel = ["news", "sport", "weather.now"][number % 3];
            assert_eq!(speaker.publish::<_, _, usize>(channel, number).await?, 1);
        }
        for number in 0..100 {
            let message = messages.next().await.expect("as many as were sent");
            assert_eq!(message.get_channel_name(), ["news", "sport", "weather.now"][number % 3]);
            assert_eq!(message.get_payload::<usize>()?, number);
        }
        sink.unsubscribe("news").await?;
        assert_eq!(speaker.publish::<_, _, usize>("news", "x").await?, 0);
        Ok(())
    });
}

#[test]
fn pushes_to_a_multiplexed_connection() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it starts");
    let server = tollgate::start();
    let client = client(&server, PROTOCOLS[1]);
    let test = async {
        let (sender, mut pushes) = unbounded_channel();
        let config = patient().set_push_sender(sender);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let () = redis::cmd("CONFIG")
            .arg(&["SET", "notify-keyspace-events", "Ex"])
            .query_async(&mut connection)
            .await?;
        connection.subscribe("__keyevent@0__:expired").await?;
        let () = connection.pset_ex("session", "alice", 1).await?;
        let kinds = [PushKind::Subscribe, PushKind::Message];
        for kind in kinds {
            let push = pushes.recv().await.expect("the connection is open");
            assert_eq!(push.kind, kind);
            if kind == PushKind::Message {
                let key = Value::BulkString(b"session".to_vec());
                assert_eq!(push.data.last(), Some(&key), "the key that has expired");
            }
        }
        assert_eq!(connection.get::<_, Option<String>>("session").await?, None);
        RedisResult::Ok(())
    };
    runtime
        .block_on(async { timeout(PATIENCE, test).await })
        .expect("in time")
        .expect("the server replies");
}

/// A reader that finds its connection closed tells it, and does not wait.
#[test]
fn a_connection_that_is_killed() {
    with_each_protocol(|client| {
        let mut one = connect(client);
        let mut other = connect(client);
        let id: i64 = redis::cmd("CLIENT").arg("ID").query(&mut one)?;
        let killed: usize = redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).query(&mut other)?;
        assert_eq!(killed, 1);
        one.set_read_timeout(Some(Duration::from_secs(10)))?;
        let error = one.get::<_, Option<String>>("a").expect_err("it is closed");
        assert!(error.is_connection_dropped() && !error.is_timeout(), "{error}");
        Ok(())
    });
}
