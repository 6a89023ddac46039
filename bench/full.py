"""What `make bench-full` measures beside: hard conditions, and what goes with the worker."""

import contextlib
import http.client
import http.server
import os
import pathlib
import selectors
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

import psycopg

from measures import BEST, Rounds, feed, latencies, row, say, share
from processes import HERE, NO_TIME, complete, free_port, running, worker
from servers import HIDDEN, QUEUE, Failure, wait_until

TIMES = "times"
# Tops a list up from another one to a length, in order; says how many are left there.
TOP_UP = """
for _ = 1, tonumber(ARGV[1]) - redis.call('LLEN', KEYS[2]) do
  if not redis.call('RPOPLPUSH', KEYS[1], KEYS[2]) then break end
end
return redis.call('LLEN', KEYS[1])
"""


def compared(bench, key, what, one, other, goals=(), note=""):
    """A line for `one` as a share of `other`, round by round."""
    rounds = Rounds().run({"one": one, "other": other}, bench.sizes["rounds"], what)
    return row(key, what, lambda: {"series": [rounds.ratios("one", "other")]}, unit=TIMES, goals=list(goals), note=note)


def long(bench, *options, **more):
    """A drain of three times as many orders, for what shows only after a while."""
    with bench.servers.database() as database, bench.worker(database, *options) as started:
        return bench.drain_in(database, [started], 3 * bench.sizes["orders"], **more)


def pinned(bench, _peers):
    """Postgres has one processor, everything else the other."""
    contestants = {"default": bench.drain, "ceiling": bench.ceiling, "best": lambda: bench.drain(*BEST)}
    with bench.servers.pinned():
        rounds = Rounds().run(contestants, bench.sizes["rounds"], "pinned")

    def rates(name):
        return lambda: {"series": [rounds.figures(name)], "ratios": rounds.ratios(name, "ceiling")}

    where = "Postgres on one processor, the rest on the other"
    return [
        row("pinned_default", f"{where}: default settings", rates("default"), goals=[("≥", 0.78)]),
        row("pinned_best", f"{where}: `--concurrency 4000`", rates("best")),
    ]


def workers(bench, _peers):
    """Several of them on one queue and the same processors."""

    def together(many):
        with bench.servers.database() as database, contextlib.ExitStack() as stack:
            started = [stack.enter_context(bench.worker(database)) for _ in range(many)]
            return bench.drain_in(database, started, bench.sizes["orders"])

    counts = {str(many): (lambda many=many: together(many)) for many in (1, 2, 4)}
    rounds = Rounds().run(counts, bench.sizes["rounds"], "workers")
    series = lambda: {"series": [rounds.ratios("2", "1"), rounds.ratios("4", "1")]}
    return [row("workers", "2 · 4 workers in sum, against one", series, unit=TIMES, goals=[("≥", 1), ("≥", 1)])]


def in_flight(bench, _peers):
    """Many orders in hand, each of which takes half a second to two."""
    many = bench.sizes["in_flight"]

    def measure():
        rates, memory = [], []
        for turn in range(bench.sizes["open_rounds"]):
            slow = ("--concurrency", str(many))
            with bench.servers.database() as database, bench.worker(database, *slow) as started:
                ids = database.place(12 * many)
                database.hide(ids)
                database.release()
                database.await_fulfilled(ids, bench.sizes["limit"])
                # Start and end, in which fewer are in flight, are left out.
                rates.append(database.rate(ids, margin=0.25))
                memory.append(started.memory())
            say(f"in flight, round {turn + 1}: {rates[-1]:,.0f} orders/s, {memory[-1]:.0f} MB")
        return {"series": [rates, memory]}

    what = f"{many:,} in flight, 500 ms to 2 s an order: orders/s · resident memory at most"
    return [row("in_flight", what, measure, unit="orders/s · MB", goals=[("≥", 7600), ("≤", 80)])]


def queued(bench, _peers):
    """A queue that stays short, and one that stays long."""

    def at_length(length):
        with bench.servers.database() as database, bench.worker(database) as started:
            ids = database.place(length + bench.sizes["orders"])
            database.hide(ids[length:])
            bench.servers.redis.rename(HIDDEN, "bench_reserve")
            database.hide(ids[:length])
            database.release()
            top_up = bench.servers.redis.register_script(TOP_UP)
            empty = lambda: top_up(keys=["bench_reserve", QUEUE], args=[length]) == 0
            wait_until("the reserve is empty", empty, bench.sizes["limit"], pause=0.002)
            measured = ids[: bench.sizes["orders"]]
            database.await_some(measured, bench.sizes["limit"])
            return {"rate": database.rate(measured), "memory": started.memory()}

    many = bench.sizes["queued"]
    what = f"{many:,} queued, against 1,000"
    return [compared(bench, "queued", what, lambda: at_length(many), lambda: at_length(1_000), goals=[("≥", 0.9)])]


def rows(bench, _peers):
    """A table with a history, against one that is nearly new."""
    many, few = bench.sizes["rows"], 10_000

    def run(database):
        with bench.worker(database) as started:
            return bench.drain_in(database, [started], bench.sizes["orders"])

    def new():
        with bench.servers.database() as database:
            database.place(few, "fulfilled")
            return run(database)

    with bench.servers.database() as old:
        for _ in range(0, many, 1_000_000):
            old.place(min(many, 1_000_000), "fulfilled")
        say(f"{many:,} rows are there")
        return [compared(bench, "rows", f"{many:,} rows, against {few:,}", lambda: run(old), new, goals=[("≥", 0.9)])]


class Scraper:
    """Scrapes as Prometheus does, on a thread and a connection of its own."""

    HEADERS = {"Accept-Encoding": "gzip", "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"}

    def __init__(self, port, every):
        self.times, self.stop = [], threading.Event()
        self.thread = threading.Thread(target=self.run, args=(port, every), daemon=True)

    def run(self, port, every):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not self.stop.wait(every):
            began = time.monotonic()
            connection.request("GET", "/metrics", headers=self.HEADERS)
            connection.getresponse().read()
            self.times.append((time.monotonic() - began) * 1000)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.stop.set()
        self.thread.join(15)


def scraped(bench, _peers):
    """What scrapes cost the orders, and what the orders cost scrapes."""

    def run(every):
        with bench.servers.database() as database, bench.worker(database) as started, Scraper(started.port, every) as scraper:
            result = bench.drain_in(database, [started], 3 * bench.sizes["orders"])
        return result | {"times": scraper.times}

    def often():
        times = [run(0.02)["times"] for _ in range(bench.sizes["open_rounds"])]
        return {"series": [[share(some, part) for some in times] for part in (0.5, 0.99)]}

    return [
        compared(bench, "scraped", "with a scrape each second, against without", lambda: run(1.0), lambda: long(bench),
                 goals=[("≥", 0.98)]),
        row("scrape", "a scrape at full speed, p50 · p99", often, unit="ms", goals=[("≤", 5), ("≤", 5)]),
    ]


class Viewers:
    """Browsers that follow the page, on one thread; each comes again when its stream ends."""

    def __init__(self, port, count):
        self.port, self.count, self.stop, self.bytes = port, count, threading.Event(), 0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def follow(self, selector):
        stream = socket.create_connection(("127.0.0.1", self.port), 10)
        stream.sendall(f"GET /live?range=24h HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        selector.register(stream, selectors.EVENT_READ)

    def run(self):
        with selectors.DefaultSelector() as selector:
            for _ in range(self.count):
                self.follow(selector)
            while not self.stop.is_set():
                for key, _ in selector.select(0.2):
                    part = key.fileobj.recv(65536)
                    self.bytes += len(part)
                    if not part:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        self.follow(selector)
            for key in list(selector.get_map().values()):
                key.fileobj.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.stop.set()
        self.thread.join(15)


def viewers(bench, _peers):
    """What the page costs the orders while many follow it."""
    count = 50

    def run():
        with bench.servers.database() as database, bench.worker(database) as started, Viewers(started.port, count) as page:
            result = bench.drain_in(database, [started], 3 * bench.sizes["orders"])
        if page.bytes < count * 1_000:
            raise Failure("nothing was sent to those who follow the page")
        return result

    what = f"{count} people follow the page, against none"
    return [compared(bench, "viewers", what, run, lambda: long(bench), goals=[("≥", 0.98)])]


def horizon(bench, _peers):
    """A transaction that is idle for minutes keeps Postgres from cleaning up behind the orders."""
    rate, seconds = bench.sizes["pin_rate"], bench.sizes["pin_seconds"]
    size = "SELECT sum(pg_total_relation_size(relid))::float8 / 1e6 FROM pg_stat_user_tables"
    dead = "SELECT sum(n_dead_tup)::float8 FROM pg_stat_user_tables"
    facts = {}

    def measure():
        with bench.servers.database() as database, bench.worker(database) as started:
            drains = lambda: [bench.drain_in(database, [started], bench.sizes["orders"])["rate"] for _ in range(3)]
            before = drains()
            at_first = database.ask(size)
            with psycopg.connect(database.url) as idle:
                idle.execute("SELECT txid_current()")
                tails = []
                for _ in range(max(1, seconds // 10)):
                    times = latencies(database, feed(database, rate, min(10, seconds)), bench.sizes["limit"])
                    tails.append(share(times, 0.99))
                pinned = drains()
                # The statistics are half a second behind.
                time.sleep(1)
                facts["bloat"] = [[at_first], [database.ask(size)], [database.ask(dead) / 1e6]]
                facts["tails"] = tails
        listed = lambda rates: ", ".join(f"{rate:,.0f}" for rate in rates)
        say(f"horizon: {listed(before)} orders/s before, {listed(pinned)} while pinned")
        return {"series": [[late / early for early, late in zip(before, pinned)]]}

    def bloat():
        return {"series": need(facts, "bloat")}

    def tails():
        return {"series": [need(facts, "tails")]}

    while_pinned = f"a transaction idle for {seconds} s at {rate:,} orders/s"
    return [
        row("horizon", f"{while_pinned}: full speed then, against before", measure, unit=TIMES, goals=[("≥", 0.8)]),
        row("horizon_bloat", "the same: tables and indexes before · then · dead rows", bloat, unit="MB · MB · million"),
        row("horizon_tail", "the same: order to `fulfilled`, p99 of each 10 s", tails, unit="ms"),
    ]


def need(facts, name):
    if name not in facts:
        raise Failure("the line above was not measured")
    return facts[name]


def hard(bench, _peers):
    """Orders in no order, and a checkpoint in the middle."""

    def checkpoint():
        half = 3 * bench.sizes["orders"] // 2
        wait_until("half is done", lambda: bench.servers.redis.llen(QUEUE) < half, bench.sizes["limit"])
        bench.servers.admin.execute("CHECKPOINT")

    contestants = {
        "neither": lambda: long(bench),
        "shuffled": lambda: long(bench, shuffled=True),
        "checkpoint": lambda: long(bench, meanwhile=checkpoint),
    }
    rounds = Rounds().run(contestants, bench.sizes["rounds"], "hard")
    against = lambda name: lambda: {"series": [rounds.ratios(name, "neither")]}
    return [
        row("shuffled", "shuffled ids, against ids in order", against("shuffled"), unit=TIMES),
        row("checkpoint", "a checkpoint in the middle, against none", against("checkpoint"), unit=TIMES),
    ]


def embedded(bench, _peers):
    """Queue and store in one SQLite file."""
    orders = bench.sizes["orders"]

    def run():
        with tempfile.TemporaryDirectory() as folder:
            store, lines = f"sqlite:{folder}/db", pathlib.Path(folder) / "orders.csv"
            lines.write_text("product,quantity\n" + "Lamp,1\n" * orders)
            complete([bench.binary, "submit", "--format", "csv", "--store", store, str(lines)], bench.sizes["limit"])
            database = sqlite3.connect(f"file:{folder}/db?mode=ro", uri=True)
            with worker(bench.binary, store, store, *NO_TIME):
                left = "SELECT count(*) FROM orders WHERE status <> 'fulfilled'"
                wait_until("every order is fulfilled", lambda: database.execute(left).fetchone()[0] == 0, bench.sizes["limit"], 0.2)
            moments = [at / 1e6 for (at,) in database.execute("SELECT updated_at FROM orders")]
            database.close()
        return {"rate": 0.8 * orders / (share(moments, 0.9) - share(moments, 0.1))}

    rounds = Rounds().run({"embedded": run, "ceiling": bench.ceiling}, bench.sizes["rounds"], "embedded")
    figures = lambda: {"series": [rounds.figures("embedded")], "ratios": rounds.ratios("embedded", "ceiling")}
    return [row("embedded", "embedded, default settings", figures)]


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes whatever comes."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_line):
        pass


def traces(bench, _peers):
    """With a collector that is asked for nothing, for little, for all, and one that never answers."""
    address = "OTEL_EXPORTER_OTLP_ENDPOINT"
    collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    # Nobody accepts there.
    hanging = socket.create_server(("127.0.0.1", 0))
    there = {address: f"http://127.0.0.1:{collector.server_port}"}
    silent = {address: f"http://127.0.0.1:{hanging.getsockname()[1]}"}
    few = there | {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    ways = {"off": {}, "silent": silent, "few": few, "all": there}
    try:
        drains = {name: (lambda way=way: bench.drain(environment=way)) for name, way in ways.items()}
        rounds = Rounds().run(drains, bench.sizes["rounds"], "traces")
    finally:
        collector.shutdown()
        collector.server_close()
        hanging.close()

    def line(name, what, goals):
        series = lambda: {"series": [rounds.ratios(name, "off")]}
        return row(f"traces_{name}", f"traces, {what}, against none", series, unit=TIMES, goals=goals)

    return [
        line("silent", "to a collector that never answers", [("≥", 0.98)]),
        line("few", "of one attempt in a hundred, to a collector on the same machine", []),
        line("all", "of every attempt, to a collector on the same machine", []),
    ]


def warehouse(bench, _peers):
    """A warehouse that answers at once, called by the worker and by wrk with the same requests."""

    @contextlib.contextmanager
    def serving():
        port = free_port()
        command = [bench.binary, "warehouse", "--listen", f"127.0.0.1:{port}"]
        null = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        with running(command, env={"PATH": os.environ["PATH"]}, **null):
            wait_until("the warehouse is up", lambda: answers(port), 30)
            yield f"http://127.0.0.1:{port}"

    def answers(port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    def wrk():
        with serving() as url:
            command = ["wrk", "--threads=1", "--connections=256", "--duration=10s", f"--script={HERE / 'requests.lua'}", url]
            said = complete(command, 60)
        if "Non-2xx" in said:
            raise Failure("the warehouse refused requests of wrk's")
        return {"rate": float(said.partition("Requests/sec:")[2].split()[0])}

    def calls():
        with serving() as url:
            return bench.drain("--fulfiller", f"{url}/shipments", "--concurrency", "256")

    rounds = Rounds().run({"worker": calls, "wrk": wrk}, bench.sizes["open_rounds"], "warehouse")
    series = lambda: {"series": [rounds.figures("worker")]}
    ratio = lambda: {"series": [rounds.ratios("worker", "wrk")]}
    return [
        row("warehouse", "a warehouse that answers at once, 256 calls at once", series, goals=[("≥", 8000)]),
        row("warehouse_to_wrk", "the same, against `wrk` alone with the same requests", ratio, unit=TIMES),
    ]


SECTIONS = {
    "pinned": pinned,
    "workers": workers,
    "in_flight": in_flight,
    "queued": queued,
    "rows": rows,
    "scraped": scraped,
    "viewers": viewers,
    "horizon": horizon,
    "hard": hard,
    "embedded": embedded,
    "traces": traces,
    "warehouse": warehouse,
}
