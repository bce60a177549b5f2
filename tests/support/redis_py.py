"""redis-py against tollgate: one class a subject.

    python redis_py.py HOST PORT PROTOCOL CLASS

tests/redis_py.rs runs it, with a fresh server for each class and protocol.
"""

import asyncio
import sys
import threading
import time
import unittest

import redis
import redis.asyncio
from redis.exceptions import (
    ConnectionError,
    ExecAbortError,
    LockError,
    LockNotOwnedError,
    ResponseError,
    WatchError,
)
from redis.lock import Lock

# Only turns a hang into a failure.
PATIENCE = 30

HOST, PORT, PROTOCOL = "127.0.0.1", 6379, 2


def connect(**options):
    options = {"protocol": PROTOCOL, "decode_responses": True, "socket_timeout": PATIENCE} | options
    return redis.Redis(HOST, PORT, **options)


class Case(unittest.TestCase):
    def setUp(self):
        self.r = connect()
        self.addCleanup(self.r.close)
        self.r.flushall()


class Strings(Case):
    def test_set_and_its_options(self):
        r = self.r
        self.assertIs(r.set("a", "1"), True)
        self.assertIsNone(r.set("a", "2", nx=True))
        self.assertIs(r.set("a", "2", xx=True), True)
        self.assertEqual(r.set("a", "3", get=True), "2")
        self.assertIs(r.set("a", "4", px=600_000), True)
        self.assertTrue(0 < r.pttl("a") <= 600_000)
        self.assertIs(r.set("a", "5", keepttl=True), True)
        self.assertTrue(0 < r.ttl("a") <= 600)
        self.assertIs(r.set("a", "6", exat=int(time.time()) + 3600), True)
        self.assertEqual(r.getex("a", persist=True), "6")
        self.assertEqual(r.ttl("a"), -1)
        self.assertEqual(r.ttl("nothing"), -2)
        self.assertEqual(r.getdel("a"), "6")
        self.assertIsNone(r.get("a"))

    def test_numbers_and_parts(self):
        r = self.r
        self.assertEqual([r.incr("n"), r.incrby("n", 41), r.decrby("n", 2)], [1, 42, 40])
        self.assertEqual(r.incrbyfloat("n", 0.5), 40.5)
        self.assertEqual(r.append("text", "hello"), 5)
        self.assertEqual(r.setrange("text", 6, "you"), 9)
        self.assertEqual(r.getrange("text", 0, -1), "hello\0you")
        self.assertIs(r.mset({"a": 1, "b": 2}), True)
        self.assertEqual(r.mget("a", "nothing", "b"), ["1", None, "2"])
        with self.assertRaisesRegex(ResponseError, "not an integer or out of range"):
            r.incr("text")
        self.assertEqual(r.execute_command("DECRIFPOS", "b"), 1)
        self.assertEqual(r.execute_command("DECRIFPOS", "b", 2), -1)

    def test_bytes_stay_bytes(self):
        raw = connect(decode_responses=False)
        self.addCleanup(raw.close)
        every = bytes(range(256))
        raw.set(every, every)
        self.assertEqual(raw.get(every), every)
        self.assertEqual(raw.keys(), [every])

    def test_compare_and_set(self):
        if not hasattr(self.r, "delex"):
            self.skipTest("this redis-py does not have it")
        r = self.r
        r.set("order", "draft")
        self.assertIs(r.set("order", "paid", ifeq="draft"), True)
        self.assertIsNone(r.set("order", "cancelled", ifeq="draft"))
        self.assertEqual(r.delex("order", ifeq="draft"), 0)
        self.assertEqual(len(r.digest("order")), 16)
        self.assertEqual(r.delex("order", ifdeq=r.digest("order")), 1)
        self.assertEqual(r.msetex({"a": 1, "b": 2}, ex=60), 1)


class Keys(Case):
    def test_scan_iter(self):
        r = self.r
        expected = {f"key:{number}" for number in range(2_000)}
        r.mset({key: "x" for key in expected})
        found = list(r.scan_iter())
        self.assertEqual((len(found), set(found)), (len(expected), expected))
        found = sorted(r.scan_iter(match="key:199?", count=7, _type="string"))
        self.assertEqual(found, [f"key:{number}" for number in range(1990, 2000)])
        self.assertEqual(list(r.scan_iter(_type="hash")), [])

    def test_expiry(self):
        r = self.r
        r.mset({"a": 1, "b": 2})
        self.assertIs(r.expire("a", 100), True)
        self.assertIs(r.expire("a", 50, gt=True), False)
        self.assertIs(r.pexpire("a", 200_000, gt=True), True)
        self.assertAlmostEqual(r.expiretime("a"), time.time() + 200, delta=PATIENCE)
        self.assertIs(r.persist("a"), True)
        self.assertIs(r.expireat("a", 1), True)
        self.assertEqual(r.exists("a", "b"), 1)

    def test_the_rest(self):
        r = self.r
        r.set("a", "12345")
        self.assertEqual([r.type("a"), r.type("nothing")], ["string", "none"])
        self.assertEqual(r.object("encoding", "a"), "int")
        self.assertIs(r.rename("a", "b"), True)
        self.assertIs(r.copy("b", "c"), True)
        self.assertIs(r.move("c", 3), True)
        self.assertIs(r.swapdb(0, 3), True)
        self.assertEqual((r.dbsize(), r.randomkey()), (1, "c"))
        with self.assertRaisesRegex(ResponseError, "no such key"):
            r.rename("nothing", "x")
        self.assertIs(r.flushall(), True)
        self.assertEqual(r.keys("*"), [])


class Transactions(Case):
    def test_a_pipeline(self):
        with self.r.pipeline(transaction=False) as pipe:
            for number in range(10_000):
                pipe.incr("n")
            self.assertEqual(pipe.execute(), list(range(1, 10_001)))

    def test_an_error_inside(self):
        with self.r.pipeline() as pipe:
            pipe.set("a", "text").incr("a").get("a")
            done, error, text = pipe.execute(raise_on_error=False)
        self.assertEqual((done, text), (True, "text"))
        self.assertIsInstance(error, ResponseError)
        with self.r.pipeline() as pipe:
            pipe.set("a", "changed")
            pipe.execute_command("NOSUCH")
            with self.assertRaises(ExecAbortError):
                # With one command that is refused the client gives that error.
                try:
                    pipe.execute()
                except ResponseError as error:
                    if "unknown command" in str(error):
                        raise ExecAbortError from error
                    raise
        self.assertEqual(self.r.get("a"), "text")

    def test_watch(self):
        self.r.set("a", 1)
        with self.r.pipeline() as pipe:
            pipe.watch("a")
            self.r.set("a", 2)
            pipe.multi()
            pipe.set("a", 3)
            with self.assertRaises(WatchError):
                pipe.execute()
        self.assertEqual(self.r.get("a"), "2")

    def test_optimistic_retries_lose_nothing(self):
        threads, increments = 4, 50

        def add():
            with connect() as r:
                for _ in range(increments):
                    def once(pipe):
                        old = int(pipe.get("n") or 0)
                        pipe.multi()
                        pipe.set("n", old + 1)
                    r.transaction(once, "n")

        run_in_threads(threads, add)
        self.assertEqual(self.r.get("n"), str(threads * increments))


class Messages(Case):
    def next(self, subscriber):
        message = subscriber.get_message(timeout=PATIENCE)
        self.assertIsNotNone(message, "no message came")
        return message["type"], message["pattern"], message["channel"], message["data"]

    def test_publish_and_subscribe(self):
        with self.r.pubsub() as subscriber:
            subscriber.subscribe("news")
            subscriber.psubscribe("weather.*")
            self.assertEqual(self.next(subscriber), ("subscribe", None, "news", 1))
            self.assertEqual(self.next(subscriber), ("psubscribe", None, "weather.*", 2))
            self.assertEqual(self.r.publish("news", "first"), 1)
            self.assertEqual(self.r.publish("weather.now", "rain"), 1)
            self.assertEqual(self.r.publish("other", "unheard"), 0)
            self.assertEqual(self.next(subscriber), ("message", None, "news", "first"))
            self.assertEqual(
                self.next(subscriber), ("pmessage", "weather.*", "weather.now", "rain")
            )
            self.assertEqual(self.r.pubsub_channels(), ["news"])
            self.assertEqual(self.r.pubsub_numsub("news", "other"), [("news", 1), ("other", 0)])
            self.assertEqual(self.r.pubsub_numpat(), 1)
            subscriber.unsubscribe("news")
            self.assertEqual(self.next(subscriber), ("unsubscribe", None, "news", 1))
            subscriber.ping()

    def test_keyspace_notifications(self):
        self.r.config_set("notify-keyspace-events", "KEA")
        with self.r.pubsub(ignore_subscribe_messages=True) as subscriber:
            subscriber.psubscribe("__key*@0__:*")
            # The first answer is that of the subscription.
            self.assertIsNone(subscriber.get_message(timeout=PATIENCE))
            self.r.set("session", "alice", px=1)
            expected = []
            for event in ["set", "expire", "expired"]:
                expected.append(("pmessage", "__key*@0__:*", "__keyspace@0__:session", event))
                expected.append(("pmessage", "__key*@0__:*", f"__keyevent@0__:{event}", "session"))
            self.assertEqual([self.next(subscriber) for _ in expected], expected)
            self.assertIsNone(self.r.get("session"))

    def test_a_thread_that_listens(self):
        heard, enough = [], threading.Event()

        def hear(message):
            heard.append(message["data"])
            if len(heard) == 100:
                enough.set()

        with self.r.pubsub(ignore_subscribe_messages=True) as subscriber:
            subscriber.subscribe(news=hear)
            listener = subscriber.run_in_thread(sleep_time=0.01, daemon=True)
            try:
                for number in range(100):
                    self.r.publish("news", number)
                self.assertTrue(enough.wait(PATIENCE))
            finally:
                listener.stop()
                listener.join(PATIENCE)
        self.assertEqual(heard, [str(number) for number in range(100)])


class LockWithoutScripts(Lock):
    """redis-py's lock, whose second half is one command instead of a script."""

    def do_release(self, expected_token):
        if not self.redis.execute_command("DELIFEQ", self.name, expected_token):
            raise LockNotOwnedError("Cannot release a lock that's no longer owned")

    def do_reacquire(self):
        token = self.local.token
        milliseconds = int(self.timeout * 1000)
        if not self.redis.execute_command(
            "SET", self.name, token, "IFEQ", token, "PX", milliseconds
        ):
            raise LockNotOwnedError("Cannot reacquire a lock that's no longer owned")
        return True


class Locks(Case):
    def test_acquire_and_contention(self):
        one = self.r.lock("lock", timeout=600)
        other = self.r.lock("lock", timeout=600)
        self.assertTrue(one.acquire(blocking=False))
        self.assertFalse(other.acquire(blocking=False))
        self.assertTrue(one.locked() and one.owned() and not other.owned())
        self.assertTrue(0 < self.r.pttl("lock") <= 600_000)

    def test_release_of_the_original_says_that_there_are_no_scripts(self):
        lock = self.r.lock("lock", timeout=600)
        lock.acquire(blocking=False)
        with self.assertRaisesRegex(ResponseError, "unknown command 'EVALSHA'"):
            lock.release()
        self.assertTrue(self.r.exists("lock"), "nothing has been released")

    def test_release_without_a_script(self):
        one = self.r.lock("lock", timeout=600, lock_class=LockWithoutScripts)
        other = self.r.lock("lock", timeout=600, lock_class=LockWithoutScripts)
        with one:
            self.assertTrue(one.reacquire())
            self.assertFalse(other.acquire(blocking=False))
            with self.assertRaises(LockError):
                other.release()
            self.assertTrue(one.owned())
        self.assertTrue(other.acquire(blocking=False))
        self.r.set("lock", "somebody else")
        with self.assertRaises(LockNotOwnedError):
            other.release()
        self.assertEqual(self.r.get("lock"), "somebody else")

    def test_a_lock_expires(self):
        one = self.r.lock("lock", timeout=0.001, lock_class=LockWithoutScripts)
        self.assertTrue(one.acquire(blocking=False))
        other = self.r.lock("lock", timeout=600, sleep=0.001, lock_class=LockWithoutScripts)
        self.assertTrue(other.acquire(blocking_timeout=PATIENCE))
        with self.assertRaises(LockNotOwnedError):
            one.release()
        other.release()

    def test_one_at_a_time(self):
        threads, turns, inside, most = 8, 10, [0], [0]

        def work():
            with connect() as r:
                for _ in range(turns):
                    with r.lock("lock", timeout=600, sleep=0.001, lock_class=LockWithoutScripts):
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                        r.set("n", int(r.get("n") or 0) + 1)
                        inside[0] -= 1

        run_in_threads(threads, work)
        self.assertEqual((most[0], self.r.get("n")), (1, str(threads * turns)))


class Connections(Case):
    def test_names_and_lists(self):
        r = self.r
        self.assertIs(r.client_setname("tester"), True)
        self.assertEqual(r.client_getname(), "tester")
        me = [it for it in r.client_list() if it["name"] == "tester"]
        self.assertEqual(len(me), 1)
        self.assertEqual(me[0]["id"], str(r.client_id()))
        self.assertEqual(me[0]["resp"], str(PROTOCOL))
        self.assertEqual(me[0]["lib-name"], "redis-py")
        self.assertEqual(int(r.client_info()["db"]), 0)
        with connect(client_name="other", db=5) as other:
            self.assertEqual(other.client_getname(), "other")
            self.assertEqual(int(other.client_info()["db"]), 5)

    def test_kill(self):
        other = connect(retry=None)
        self.addCleanup(other.close)
        # With one connection, so that it is this one that is killed.
        connection = other.connection_pool.get_connection()
        connection.send_command("CLIENT", "ID")
        self.assertEqual(self.r.client_kill_filter(_id=connection.read_response()), 1)
        connection.send_command("PING")
        with self.assertRaises(ConnectionError):
            connection.read_response()
        connection.disconnect()

    def test_protocol(self):
        hello = self.r.execute_command("HELLO", PROTOCOL)
        if PROTOCOL == 2:
            hello = dict(zip(hello[::2], hello[1::2]))
        self.assertEqual((hello["server"], hello["proto"]), ("redis", PROTOCOL))
        self.assertEqual((hello["mode"], hello["role"], hello["modules"]), ("standalone", "master", []))

    def test_a_pool_for_fifty_threads(self):
        threads, increments = 50, 50
        pool = redis.BlockingConnectionPool(
            host=HOST, port=PORT, protocol=PROTOCOL, max_connections=10, timeout=PATIENCE,
            socket_timeout=PATIENCE,
        )
        shared = redis.Redis(connection_pool=pool)

        def add():
            for _ in range(increments):
                shared.incr("n")

        run_in_threads(threads, add)
        self.assertEqual(self.r.get("n"), str(threads * increments))
        pools = len(self.r.client_list()) - 1
        self.assertTrue(1 <= pools <= 10, pools)
        pool.disconnect()

    def test_health_checks(self):
        # An interval so short that each command checks first.
        with connect(health_check_interval=1e-9) as checked:
            for number in range(1, 6):
                self.assertEqual(checked.incr("n"), number)
            with checked.pubsub(ignore_subscribe_messages=True) as subscriber:
                subscriber.subscribe("news")
                checked.publish("news", "x")
                message = None
                end = time.monotonic() + PATIENCE
                while message is None and time.monotonic() < end:
                    subscriber.check_health()
                    message = subscriber.get_message(timeout=0.1)
                self.assertEqual(message["data"], "x")
        self.assertGreater(self.r.info("commandstats")["cmdstat_ping"]["calls"], 3)


class Caches(Case):
    """redis-py's own client-side cache: it asks the server only for what it has
    not read yet, or has been told to forget."""

    def setUp(self):
        super().setUp()
        if PROTOCOL != 3:
            self.skipTest("redis-py's cache wants RESP3")
        try:
            from redis.cache import CacheConfig
        except ImportError:
            self.skipTest("this redis-py has no cache")
        self.cached = connect(cache_config=CacheConfig())
        self.addCleanup(self.cached.close)

    def gets(self):
        return self.r.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]

    def until_told(self, key, expected):
        # The push is on its way while the writer has its reply already.
        end = time.monotonic() + PATIENCE
        while self.cached.get(key) != expected and time.monotonic() < end:
            time.sleep(0.001)
        self.assertEqual(self.cached.get(key), expected)

    def test_reads_are_served_locally(self):
        self.r.set("a", "1")
        self.assertEqual(self.cached.get("a"), "1")
        before = self.gets()
        for _ in range(100):
            self.assertEqual(self.cached.get("a"), "1")
        self.assertEqual(self.gets(), before)
        self.assertEqual(self.r.info("clients")["tracking_clients"], 1)
        self.assertEqual(self.r.info("stats")["tracking_total_keys"], 1)

    def test_what_others_do_is_heard_of(self):
        self.r.set("a", "1")
        self.assertEqual(self.cached.get("a"), "1")
        self.r.set("a", "2")
        self.until_told("a", "2")
        self.r.delete("a")
        self.until_told("a", None)
        self.r.set("a", "3", px=50)
        self.until_told("a", None)
        self.r.mset({"a": 4, "b": 5})
        self.until_told("a", "4")
        self.assertEqual(self.cached.mget("a", "b"), ["4", "5"])
        self.r.flushall()
        self.until_told("a", None)
        self.assertEqual(self.cached.mget("a", "b"), [None, None])

    def test_what_the_client_does_itself_is_heard_of(self):
        for number in range(20):
            self.cached.set("a", number)
            self.assertEqual(self.cached.get("a"), str(number))

    def test_a_pipeline(self):
        self.r.set("a", "1")
        self.assertEqual(self.cached.get("a"), "1")
        with self.cached.pipeline() as pipe:
            self.assertEqual(pipe.set("a", "2").get("a").incr("a").execute(), [True, "2", 3])
        self.until_told("a", "3")


class Password(Case):
    def setUp(self):
        self.r = connect(password="sesame")
        self.addCleanup(self.r.close)

    def test_the_right_one(self):
        self.assertTrue(self.r.ping())
        with connect(username="default", password="sesame", db=3) as other:
            self.assertTrue(other.ping())

    def test_the_wrong_one(self):
        for options in [{}, {"password": "open"}, {"username": "me", "password": "sesame"}]:
            # A refusal counts as a connection that failed, which is tried again.
            with connect(retry=None, **options) as refused:
                with self.assertRaises(redis.AuthenticationError):
                    refused.ping()


class Introspection(Case):
    def test_info(self):
        self.r.set("a", 1, ex=600)
        self.r.set("b", 1)
        info = self.r.info()
        self.assertEqual(info["db0"]["keys"], 2)
        self.assertEqual(info["db0"]["expires"], 1)
        self.assertEqual(info["redis_mode"], "standalone")
        self.assertEqual(info["role"], "master")
        self.assertEqual(info["tcp_port"], PORT)
        for field in ["uptime_in_seconds", "used_memory", "connected_clients", "keyspace_hits",
                      "total_commands_processed", "instantaneous_ops_per_sec", "expired_keys"]:
            self.assertIsInstance(info[field], int, field)
        self.assertIsInstance(info["used_cpu_user"], float)
        # Other clients take the version apart.
        self.assertTrue(all(part.isdigit() for part in info["redis_version"].split(".")))
        stats = self.r.info("commandstats")
        self.assertEqual(stats["cmdstat_set"]["calls"], 2)
        self.assertIsInstance(self.r.info("everything"), dict)

    def test_config(self):
        r = self.r
        self.assertEqual(r.config_get("databases"), {"databases": "16"})
        self.assertLess({"maxclients", "timeout"}, set(r.config_get("*")))
        self.assertIs(r.config_set("timeout", 600), True)
        self.assertEqual(r.config_get("timeout", "databases"), {"timeout": "600", "databases": "16"})
        self.assertIs(r.config_resetstat(), True)
        with self.assertRaisesRegex(ResponseError, "Unknown option"):
            r.config_set("nosuch", 1)

    def test_slow_log(self):
        r = self.r
        r.config_set("slowlog-log-slower-than", 0)
        self.assertIs(r.slowlog_reset(), True)
        r.set("a", "b c")
        r.config_set("slowlog-log-slower-than", -1)
        entries = {entry["command"]: entry for entry in r.slowlog_get(10)}
        entry = entries.get("SET a b c") or entries[b"SET a b c"]
        self.assertGreaterEqual(entry["duration"], 0)
        self.assertAlmostEqual(entry["start_time"], time.time(), delta=PATIENCE)
        self.assertEqual(r.slowlog_len(), len(entries))

    def test_memory_and_time(self):
        r = self.r
        r.set("a", "x" * 10_000)
        self.assertTrue(10_000 <= r.memory_usage("a") < 30_000)
        self.assertIsNone(r.memory_usage("nothing"))
        self.assertIn("peak.allocated", r.memory_stats())
        self.assertAlmostEqual(r.time()[0], time.time(), delta=PATIENCE)
        self.assertEqual(r.wait(0, 100), 0)
        self.assertEqual(r.role()[0], "master")
        self.assertEqual(r.latency_latest(), [])

    def test_commands(self):
        r = self.r
        commands = r.command()
        self.assertGreater(len(commands), 80)
        self.assertEqual(commands["get"]["arity"], 2)
        self.assertIn("readonly", [str(flag) for flag in commands["get"]["flags"]])
        self.assertEqual(r.command_count(), len(commands))
        self.assertEqual(r.command_getkeys("MSET", "a", 1, "b", 2), ["a", "b"])
        self.assertIn("decrifpos", r.command_list())

    def test_monitor(self):
        with self.r.monitor() as monitor:
            self.r.set("a b", 'x"y')
            end = time.monotonic() + PATIENCE
            seen = monitor.next_command()
            while not seen["command"].startswith("SET") and time.monotonic() < end:
                seen = monitor.next_command()
        # Whether the client takes the escapes away depends on its version.
        self.assertEqual(seen["command"].replace("\\", ""), 'SET a b x"y')
        self.assertEqual((seen["db"], seen["client_type"]), (0, "tcp"))


class Asynchronous(unittest.TestCase):
    def setUp(self):
        with connect() as r:
            r.flushall()

    def run_with(self, test):
        async def whole():
            async with redis.asyncio.Redis(
                host=HOST, port=PORT, protocol=PROTOCOL, decode_responses=True
            ) as r:
                await test(r)

        asyncio.run(asyncio.wait_for(whole(), PATIENCE))

    def test_many_at_once(self):
        async def test(r):
            replies = await asyncio.gather(*(r.incr("n") for _ in range(100)))
            self.assertEqual(sorted(replies), list(range(1, 101)))
            async with r.pipeline(transaction=True) as pipe:
                self.assertEqual(await pipe.set("a", 1).incr("a").execute(), [True, 2])
            self.assertEqual(sorted([key async for key in r.scan_iter()]), ["a", "n"])

        self.run_with(test)

    def test_messages(self):
        async def test(r):
            async with r.pubsub(ignore_subscribe_messages=True) as subscriber:
                await subscriber.subscribe("news")
                await subscriber.get_message(timeout=PATIENCE)
                await r.publish("news", "x")
                message = await subscriber.get_message(timeout=PATIENCE)
                self.assertEqual(message["data"], "x")

        self.run_with(test)


def run_in_threads(count, work):
    """Raises what a thread has raised, if any has."""
    errors = []

    def guarded():
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError("the threads do not end")
    if errors:
        raise errors[0]


if __name__ == "__main__":
    HOST, PORT, PROTOCOL = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
