"""Threads that want one `redis.lock.Lock`: one holds it for a while, the others
wait as redis-py does.

Usage: redis_py.py HOST PORT WAITERS HAND_OVERS HOLD_MAX_MS

Prints the nanoseconds from each release to the next grant, a line each, and at
last the microseconds of processor time and the requests that all of it has cost
the server.
"""

import os
import random
import sys
import threading
import time

import redis

# What only the script of the release runs, and what is asked here.
NOT_SENT = {"get", "del", "info", "config|resetstat"}


class Race:
    def __init__(self, client, hand_overs, hold_max):
        self.client = client
        self.left = hand_overs
        self.hold_max = hold_max
        self.released_ns = None
        self.holder = None
        self.changed = threading.Condition()
        self.over = threading.Event()

    def contend(self, number):
        time.sleep(0.1 * random.random())
        lock = self.client.lock("lock", timeout=60)
        while True:
            lock.acquire()
            self.granted(number, time.perf_counter_ns())
            time.sleep(self.hold_max * random.random())
            self.released_ns = time.perf_counter_ns()
            lock.release()
            # Who has released joins the others when another one has the lock.
            with self.changed:
                self.changed.wait_for(lambda: self.holder != number)

    def granted(self, number, now_ns):
        with self.changed:
            self.holder = number
            self.changed.notify_all()
        if self.released_ns is None or self.over.is_set():
            return
        print(now_ns - self.released_ns, flush=True)
        self.left -= 1
        if self.left == 0:
            self.over.set()


def cpu_us(client):
    with open(f"/proc/{client.info('server')['process_id']}/schedstat") as stat:
        return int(stat.read().split()[0]) // 1000


def main():
    host, port, waiters, hand_overs, hold_max_ms = sys.argv[1:]
    client = redis.Redis(host=host, port=int(port))
    race = Race(client, int(hand_overs), int(hold_max_ms) / 1000)
    client.config_resetstat()
    before = cpu_us(client)
    for number in range(int(waiters) + 1):
        threading.Thread(target=race.contend, args=(number,), daemon=True).start()
    race.over.wait()
    after = cpu_us(client)
    stats = client.info("commandstats")
    sent = (name.removeprefix("cmdstat_") for name in stats)
    requests = sum(stats["cmdstat_" + name]["calls"] for name in sent if name not in NOT_SENT)
    print(after - before, requests, flush=True)
    # The others still wait.
    os._exit(0)


main()
