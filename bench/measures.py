"""What `make bench` measures."""

import random
import statistics
import sys
import time

import statements
from processes import NO_TIME, pgbench, whole_batches, worker
from report import Row
from servers import FAILURES, QUEUE, Failure, message

# Seconds that the producer of an open loop may fall behind before it gives up.
MOST_LATE = 10
BEST = (*NO_TIME, "--concurrency", "4000")


def say(text):
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Bench:
    """The servers, the binary, and how much of everything."""

    def __init__(self, servers, binary, sizes):
        self.servers, self.binary, self.sizes = servers, binary, sizes

    def worker(self, database, *options, environment=None):
        return worker(self.binary, database.url, self.servers.redis_url, *options, environment=environment)

    def drain(self, *options, orders=None, environment=None):
        """A full queue, and one worker that is already there when it fills: rate, processor time and WAL of an order."""
        with self.servers.database() as database, self.worker(database, *options, environment=environment) as started:
            return self.drain_in(database, [started], orders or self.sizes["orders"])

    def drain_in(self, database, workers, orders, shuffled=False, meanwhile=None):
        ids = database.place(orders)
        messages = list(ids)
        if shuffled:
            random.Random(1).shuffle(messages)
        database.hide(messages)
        before = [sum(started.cpu() for started in workers), *self.servers.cpu()]
        wal = database.wal()
        database.release()
        if meanwhile:
            meanwhile()
        database.await_fulfilled(ids, self.sizes["limit"])
        after = [sum(started.cpu() for started in workers), *self.servers.cpu()]
        wal = (database.wal() - wal) / orders
        cpu = [(late - early) / orders * 1e6 for early, late in zip(before, after)]
        return {"rate": database.rate(ids), "cpu": cpu, "wal": wal}

    def ceiling(self, events=True):
        """The same rows written by SQL alone."""
        orders = whole_batches(self.sizes["orders"])
        with self.servers.database() as database:
            ids = database.place(orders)
            before, wal = self.servers.cpu(), database.wal()
            pgbench(database, orders, events, self.sizes["limit"])
            cpu = [(late - early) / orders * 1e6 for early, late in zip(before, self.servers.cpu())]
            wal = (database.wal() - wal) / orders
            check_rows(database, orders, events)
            return {"rate": database.rate(ids), "cpu": [0.0, *cpu], "wal": wal}

    def peer(self, peer):
        orders = self.sizes["peer_orders"]
        with self.servers.database() as database:
            ids = database.place(orders)
            if not peer.crash_safe:
                database.hide(ids)
                database.release()
            before = self.servers.cpu()
            peer.run(database, orders, self.sizes["limit"])
            cpu = [(late - early) / orders * 1e6 for early, late in zip(before, self.servers.cpu())]
            check_rows(database, orders, True)
            return {"rate": database.rate(ids), "cpu": [0.0, *cpu]}


def check_rows(database, orders, events):
    """SQL alone and peers have done what the worker does."""
    done = database.ask("SELECT count(*) FROM orders WHERE status = 'fulfilled'")
    noted = database.ask(statements.NOTED)
    expected = 2 * orders if events else 0
    if (done, noted) != (orders, expected):
        raise Failure(f"{done} of {orders} orders were fulfilled, with {noted} rows in the timeline instead of {expected}")


class Rounds:
    """Contestants in turn, each first as often as the others: a machine that slows down does so for all."""

    def __init__(self):
        self.results, self.missing = {}, {}

    def run(self, contestants, rounds, title):
        names = list(contestants)
        for turn in range(rounds):
            for at in range(len(names)):
                name = names[(turn + at) % len(names)]
                if name in self.missing:
                    continue
                try:
                    result = contestants[name]()
                except FAILURES as failure:
                    self.missing[name] = str(failure).splitlines()[0]
                    say(f"{title}: {name}: not measured: {failure}")
                else:
                    self.results.setdefault(name, []).append(result)
                    say(f"{title}, round {turn + 1} of {rounds}: {name}: {result['rate']:,.0f} orders/s")
        return self

    def figures(self, name, what="rate"):
        """One a round; a Failure where the contestant had to give up."""
        if name in self.missing or name not in self.results:
            raise Failure(self.missing.get(name, "not among the contestants"))
        return [result[what] for result in self.results[name]]

    def ratios(self, name, other):
        """Round by round."""
        return [one / two for one, two in zip(self.figures(name), self.figures(other))]


def row(key, what, make, **fields):
    """A line whose figures `make` gives, or that says why there are none."""
    try:
        return Row(key, what, **fields, **make())
    except FAILURES as failure:
        return Row(key, what, missing=str(failure).splitlines()[0])


def speed(bench, peers):
    """The worker in several settings, the ceiling and the peers, all in turn."""
    contestants = {
        "default": bench.drain,
        "ceiling": bench.ceiling,
        "best": lambda: bench.drain(*BEST),
        "best, events off": lambda: bench.drain(*BEST, "--events", "off"),
        "ceiling, events off": lambda: bench.ceiling(events=False),
    }
    rounds = Rounds().run(contestants, bench.sizes["rounds"], "speed")
    slow = {"one": lambda: bench.drain(*NO_TIME, "--concurrency", "1", orders=bench.sizes["peer_orders"])}
    # Beside them once more, so that they are compared in the same minutes.
    slow["default beside peers"] = bench.drain
    slow |= {peer.name: (lambda peer=peer: bench.peer(peer)) for peer in peers if not peer.missing}
    versus = Rounds().run(slow, bench.sizes["peer_rounds"], "peers")
    versus.missing |= {peer.name: peer.missing for peer in peers if peer.missing}
    return speed_rows(rounds, versus, peers)


def speed_rows(rounds, versus, peers):
    def rates(name, other=None):
        ratios = {"ratios": rounds.ratios(name, other)} if other else {}
        return lambda: {"series": [rounds.figures(name)]} | ratios

    def cpu(name):
        return lambda: {"series": [list(part) for part in zip(*rounds.figures(name, "cpu"))]}

    def against(name, other):
        return lambda: {"series": [versus.ratios(name, other)]}

    def against_best():
        safe = [peer.name for peer in peers if peer.crash_safe and peer.name in versus.results]
        if not safe:
            raise Failure("no crash-safe peer could be had")
        best = max(safe, key=lambda name: statistics.median(versus.figures(name)))
        return {"series": [versus.ratios("default beside peers", best)], "note": best}

    us, times = "µs of processor time an order", "times"
    order_goals = [("≤", 6), ("≤", 5), ("≤", 32)]
    rows = [
        row("default", "**default settings**", rates("default", "ceiling"), goals=[("≥", 0.5)]),
        row("default_cpu", "the same: worker · Redis · Postgres", cpu("default"), unit=us, goals=order_goals),
        row("default_wal", "the same: WAL", lambda: {"series": [rounds.figures("default", "wal")]}, unit="bytes an order",
            goals=[("≤", 1250)]),
        row("best", "`--concurrency 4000`", rates("best", "ceiling"), goals=[("≥", 0.6)]),
        row("best_cpu", "the same: worker · Redis · Postgres", cpu("best"), unit=us),
        row("best_no_events", "`--concurrency 4000 --events off`", rates("best, events off", "ceiling, events off")),
        row("ceiling", f"ceiling: SQL alone, the same rows, {statements.BATCH} a commit, two connections", rates("ceiling")),
        row("ceiling_cpu", "the same: Postgres", lambda: {"series": [[cpu[2] for cpu in rounds.figures("ceiling", "cpu")]]},
            unit=us),
        row("ceiling_no_events", "ceiling with events off", rates("ceiling, events off")),
        row("against_best_peer", "default settings, against the best crash-safe peer", against_best, unit=times,
            goals=[("≥", 10)]),
        row("one", "`--concurrency 1`", lambda: {"series": [versus.figures("one")]}),
    ]
    for peer, goal in zip(peers[:2], (1.0, 0.8)):
        what = f"`--concurrency 1`, against the {peer.name}"
        rows.append(row(f"one_against_{peer.key}", what, against("one", peer.name), unit=times, goals=[("≥", goal)]))
    for peer in peers:
        safe = "" if peer.crash_safe else " (a crash loses orders)"
        rows.append(row(peer.key, peer.name + safe, lambda name=peer.name: {"series": [versus.figures(name)]}))
    return rows


def share(times, part):
    """A percentile."""
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def feed(database, per_second, seconds, tick=0.005):
    """Inserts and pushes orders at a fixed rate, whether or not earlier ones are done; returns their ids.

    An order's `created_at` is when it was due by the database's clock, also where this program is late: what holds up the
    producer counts as the order's own time. The producer's own commits wait for no disk, or it could not be so fast.
    """
    many, first = round(per_second * tick), None
    database.connection.execute("SET synchronous_commit = off")
    insert = (
        "INSERT INTO orders (product_id, quantity, created_at)"
        " SELECT 1, 6, %s::timestamp + %s * interval '1 second' FROM generate_series(1, %s) RETURNING id"
    )
    start, began = database.ask("SELECT clock_timestamp()::timestamp"), time.monotonic()
    for number in range(round(seconds / tick)):
        early = began + number * tick - time.monotonic()
        time.sleep(max(0.0, early))
        if early < -MOST_LATE:
            raise Failure(f"the producer fell {MOST_LATE} s behind {per_second:,} orders/s: the machine has other work")
        ids = [found for (found,) in database.connection.execute(insert, (start, number * tick, many), prepare=True)]
        database.servers.redis.lpush(QUEUE, *map(message, ids))
        first = first or ids[0]
    database.connection.execute("RESET synchronous_commit")
    database.last = ids[-1]
    return range(first, database.last + 1)


def latencies(database, ids, limit):
    """From when each order was due until its row said `fulfilled`, in ms."""
    database.await_fulfilled(ids, limit)
    query = "SELECT extract(epoch FROM updated_at - created_at)::float8 * 1000 FROM orders WHERE id BETWEEN %s AND %s"
    return [took for (took,) in database.connection.execute(query, (ids[0], ids[-1]))]


def open_loop(bench, _peers):
    """Orders at a fixed rate."""
    rate, seconds = bench.sizes["rate"], bench.sizes["seconds"]

    def measure():
        middles, tails = [], []
        for turn in range(bench.sizes["open_rounds"]):
            with bench.servers.database() as database, bench.worker(database):
                feed(database, rate, 2)
                times = latencies(database, feed(database, rate, seconds), bench.sizes["limit"])
            middles.append(share(times, 0.5))
            tails.append(share(times, 0.99))
            say(f"open loop, round {turn + 1}: p50 {middles[-1]:.1f} ms, p99 {tails[-1]:.1f} ms")
        return {"series": [middles, tails]}

    what = f"default settings, {rate:,} orders/s arrive: until `fulfilled`, p50 · p99"
    return [row("open_loop", what, measure, unit="ms", goals=[("≤", 25), ("≤", 25)])]


def idle(bench, _peers):
    """One order at a time to a worker that has nothing else to do, and what it takes while there are none."""
    times, shares = [], []

    def pickups():
        pauses = random.Random(1)
        with bench.servers.database() as database, bench.worker(database) as started:
            pushed = {}
            for _ in range(bench.sizes["pickups"]):
                time.sleep(pauses.uniform(0.02, 0.08))
                order = database.ask("INSERT INTO orders (product_id, quantity) VALUES (1, 6) RETURNING id")
                pushed[order] = database.ask("SELECT clock_timestamp()::timestamp")
                bench.servers.redis.lpush(QUEUE, message(order))
            database.await_fulfilled(range(1, max(pushed) + 1), bench.sizes["limit"])
            for order, at in database.connection.execute("SELECT id, updated_at FROM orders"):
                times.append((at - pushed[order]).total_seconds() * 1000)
            before, began = [started.cpu(), *bench.servers.cpu()], time.monotonic()
            time.sleep(bench.sizes["idle_seconds"])
            after, took = [started.cpu(), *bench.servers.cpu()], time.monotonic() - began
            shares.extend([(late - early) / took * 100] for early, late in zip(before, after))
        return {"series": [[share(times, 0.5)], [share(times, 0.99)]]}

    picked = row("pickup", "idle: from the push until `fulfilled`, with one commit between, p50 · p99", pickups, unit="ms",
                 goals=[("≤", 2), ("≤", 8)])
    say(f"idle: p50 and p99 {picked.series} ms")
    nothing = Row("idle_cpu", "idle: worker · Redis · Postgres", "% of a processor", shares, goals=[("≤", 0.5)],
                  missing=picked.missing)
    return [picked, nothing]


SHORT = {"speed": speed, "open_loop": open_loop, "idle": idle}
