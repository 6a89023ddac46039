"""The servers that scripts/with-servers.sh --durable started: their settings, processes, databases and queue."""

import contextlib
import json
import os
import pathlib
import random
import time

import psycopg
import redis

import statements

QUEUE = "fulfillment_queue"
# Where orders wait until their run begins.
HIDDEN = "bench_hidden"
SCHEMA = pathlib.Path(__file__).parent.parent / "tests/data/given_schema.sql"
TICKS = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """A measurement that can't be had, and why."""


# What ends a measurement, but no other one.
FAILURES = (Failure, OSError, psycopg.Error, redis.RedisError)
# Milliseconds for one statement.
PATIENT = "-c statement_timeout=600000"


def wait_until(what, condition, limit, pause=0.05):
    """Waits for a condition, for `limit` seconds at most."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"gave up after {limit:.0f} s waiting until {what}")
        time.sleep(pause)


def stat(pid):
    """The fields of /proc/PID/stat from the state on; none if the process has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def cpu_seconds(pid):
    """Processor time of a process and of those of its children that have ended."""
    fields = stat(pid)
    return sum(map(int, fields[11:15])) / TICKS if fields else 0.0


def pin(pid, cpus):
    """Every thread of a process onto these processors."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), cpus)


class Servers:
    def __init__(self, prepare):
        """`prepare` makes the worker's own tables in the database of an URL."""
        self.prepare = prepare
        self.postgres_url = os.environ["TEST_POSTGRES_URL"]
        self.redis_url = os.environ["TEST_REDIS_URL"]
        self.redis = redis.Redis.from_url(self.redis_url, decode_responses=True, socket_timeout=60)
        # As docs/REDIS.md asks for.
        self.redis.config_set("appendfsync", "everysec")
        self.redis.config_set("appendonly", os.environ.get("BENCH_APPENDONLY", "yes"))
        self.admin = psycopg.connect(self.postgres_url, autocommit=True, options=PATIENT)
        self.postmaster = int(self.ask("SELECT pg_read_file('postmaster.pid')").split()[0])
        self.redis_pid = self.redis.info("server")["process_id"]

    def ask(self, query, *parameters):
        return self.admin.execute(query, parameters or None).fetchone()[0]

    def settings(self):
        """What decides about speed and durability, as the servers say it."""
        names = "fsync synchronous_commit full_page_writes wal_level shared_buffers max_wal_size checkpoint_timeout autovacuum"
        postgres = {name: self.ask(f"SHOW {name}") for name in names.split()}
        asked = ["appendonly", "appendfsync", "save", "maxmemory-policy", "io-threads"]
        return {"postgres": postgres, "redis": {name: self.redis.config_get(name)[name] for name in asked}}

    def versions(self):
        return {"postgres": self.ask("SHOW server_version"), "redis": self.redis.info("server")["redis_version"]}

    def backends(self):
        """Every process that the postmaster has started."""
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        return [pid for pid in pids if (fields := stat(pid)) and int(fields[1]) == self.postmaster]

    def cpu(self):
        """Processor seconds so far: Redis, Postgres."""
        while True:
            backends = self.backends()
            postgres = cpu_seconds(self.postmaster) + sum(map(cpu_seconds, backends))
            # One that ended meanwhile would be counted twice or not at all.
            if self.backends() == backends:
                return cpu_seconds(self.redis_pid), postgres

    @contextlib.contextmanager
    def pinned(self):
        """Postgres on one processor; Redis and what is started meanwhile on another one."""
        everywhere = os.sched_getaffinity(0)
        if len(everywhere) < 2:
            raise Failure("there is only one processor")
        one, other = sorted(everywhere)[:2]
        try:
            for pid in [self.postmaster, *self.backends()]:
                pin(pid, {one})
            pin(self.redis_pid, {other})
            pin(os.getpid(), {other})
            yield
        finally:
            for pid in [self.postmaster, *self.backends(), self.redis_pid, os.getpid()]:
                pin(pid, everywhere)

    @contextlib.contextmanager
    def database(self):
        """An empty queue, and a database with the given tables and the worker's own, which go with it."""
        self.redis.flushall()
        name = f"bench_{random.randrange(1 << 32):08x}"
        self.admin.execute(f"CREATE DATABASE {name}")
        url = self.postgres_url.rpartition("/")[0] + f"/{name}"
        try:
            with psycopg.connect(url, autocommit=True, options=PATIENT) as connection:
                connection.execute(SCHEMA.read_text())
                connection.execute("INSERT INTO products (name, price) VALUES ('WHITE METAL LANTERN', 3.39)")
                self.prepare(url)
                connection.execute(statements.SETUP)
                yield Database(self, url, connection)
        finally:
            self.admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            self.redis.flushall()


class Database:
    def __init__(self, servers, url, connection):
        self.servers, self.url, self.connection = servers, url, connection
        self.last = 0

    def ask(self, query, *parameters):
        return self.connection.execute(query, parameters or None).fetchone()[0]

    def place(self, orders, status="pending"):
        """Rows of so many orders, written before anything is measured; returns their ids."""
        self.connection.execute("CHECKPOINT")
        self.connection.execute(
            "INSERT INTO orders (product_id, quantity, status) SELECT 1, 6, %s FROM generate_series(1, %s)", (status, orders)
        )
        self.connection.execute("VACUUM ANALYZE orders")
        first, self.last = self.last + 1, self.last + orders
        return range(first, self.last + 1)

    def hide(self, ids):
        """Their messages, where no worker looks."""
        pipeline = self.servers.redis.pipeline(transaction=False)
        for at in range(0, len(ids), 1000):
            pipeline.lpush(HIDDEN, *map(message, ids[at : at + 1000]))
        pipeline.execute()

    def release(self):
        """All of them onto the queue, at once."""
        self.servers.redis.rename(HIDDEN, QUEUE)

    def await_fulfilled(self, ids, limit):
        """Looks at the queue while there is one, as that costs nearly nothing."""
        wait_until("the queue is empty", lambda: self.servers.redis.llen(QUEUE) == 0, limit)
        self.await_some(ids, limit)

    def await_some(self, ids, limit):
        """The same while others are left on the queue."""
        open_orders = "SELECT count(*) FROM orders WHERE id BETWEEN %s AND %s AND status <> 'fulfilled'"
        wait_until("every order is fulfilled", lambda: self.ask(open_orders, ids[0], ids[-1]) == 0, limit)

    def rate(self, ids, margin=0.1):
        """Orders per second by the database's clock, without the first and last tenth: start and end are another matter."""
        query = (
            "SELECT count(*) * %s::float8 / nullif(extract(epoch FROM percentile_disc(%s) WITHIN GROUP (ORDER BY updated_at)"
            " - percentile_disc(%s) WITHIN GROUP (ORDER BY updated_at)), 0)::float8"
            " FROM orders WHERE id BETWEEN %s AND %s AND status = 'fulfilled'"
        )
        rate = self.ask(query, 1 - 2 * margin, 1 - margin, margin, ids[0], ids[-1])
        if rate is None:
            raise Failure(f"{len(ids)} orders are too few to measure a rate")
        return rate

    def wal(self):
        """Bytes written so far."""
        return int(self.ask("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))


def message(order):
    return json.dumps({"order_id": order, "product_id": 1, "quantity": 6})
