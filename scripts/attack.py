#!/usr/bin/env python3
"""Slow and idle clients against a worker: does it still answer probes, and does it still fulfill orders as fast?

    scripts/attack.py BINARY [--connections 2000] [--seconds 15] [--attack silent …]

Starts the worker with an embedded database, on loopback, and ends it. For each attack prints how many probes of /livez and
/metrics were answered and how fast, and the orders per second as a share of those just before without the attack.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request

HOST = "127.0.0.1"
PROBE_LIMIT = 2.0
HELLO = bytes.fromhex("16030100c8010000c40303")  # the beginning of a TLS handshake
GET = b"GET %s HTTP/1.1\r\nHost: worker\r\n\r\n"
ATTACKS = ["silent", "slow-head", "idle", "deaf", "half-tls"]


async def attacker(kind, port):
    """One client that takes a place again five seconds after it lost it."""
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
            if kind == "deaf":
                writer.transport.pause_reading()
                writer.write(GET % b"/metrics" * 20)
                await asyncio.sleep(60)
            if kind == "slow-head":
                writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
                while not reader.at_eof():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(1)
            if kind == "idle":
                writer.write(GET % b"/livez")
            if kind == "half-tls":
                writer.write(HELLO)
            while await reader.read(4096):
                pass
        except OSError:
            pass
        finally:
            if writer:
                writer.transport.abort()
        await asyncio.sleep(5)


async def attack(kind, port, connections):
    print("started", flush=True)
    await asyncio.gather(*(attacker(kind, port) for _ in range(connections)))


async def probe(port, path):
    """The seconds until a whole answer with status 200 has come on a new connection; None without one."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_LIMIT):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET %s HTTP/1.0\r\n\r\n" % path)
            answer = await reader.read(-1)
            writer.transport.abort()
            return time.perf_counter() - began if answer.startswith(b"HTTP/1.0 200") else None
    except (OSError, TimeoutError):
        return None


async def probes(port, seconds, rate=100):
    """Probes at a steady rate, whether or not earlier ones have been answered."""
    running, paths = [], (b"/livez", b"/metrics")
    for number in range(int(seconds * rate)):
        running.append(asyncio.create_task(probe(port, paths[number % 2])))
        await asyncio.sleep(1 / rate)
    return await asyncio.gather(*running)


def fulfilled(binary, database):
    """From the table, as /metrics may not be answered."""
    counted = subprocess.run([binary, "status", "--store", database, "--json"], capture_output=True, check=True, text=True)
    return json.loads(counted.stdout)["orders"]["fulfilled"]


async def window(binary, database, port, seconds):
    began, before = time.monotonic(), fulfilled(binary, database)
    times = await probes(port, seconds)
    return times, (fulfilled(binary, database) - before) / (time.monotonic() - began)


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000 if times else float("nan")


def measure(options, database, port):
    print(f"{'attack':10} {'probes':>7} {'answered':>9} {'p50 ms':>8} {'p99 ms':>8} {'orders/s':>9} {'without':>9} {'ratio':>6}")
    for kind in options.attack:
        _, without = asyncio.run(window(options.binary, database, port, options.seconds))
        command = [sys.executable, __file__, options.binary, "--as", kind, "--port", str(port)]
        command += ["--connections", str(options.connections)]
        attacking = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            attacking.stdout.readline()
            time.sleep(3)
            times, under = asyncio.run(window(options.binary, database, port, options.seconds))
        finally:
            attacking.kill()
            attacking.wait()
        answered = [took for took in times if took is not None]
        print(
            f"{kind:10} {len(times):7} {len(answered):9} {percentile(answered, 0.5):8.1f} {percentile(answered, 0.99):8.1f}"
            f" {under:9.1f} {without:9.1f} {under / without:6.3f}",
            flush=True,
        )
        time.sleep(6)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--attack", nargs="*", default=ATTACKS, choices=ATTACKS)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--as", dest="kind", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.kind:
        return asyncio.run(attack(options.kind, options.port, options.connections))
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:{folder}/db"
        environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": folder}
        orders = int(2 * len(options.attack) * (options.seconds + 12) * 220)
        lines = b"product,quantity\n" + b"Lamp,1\n" * orders
        submit = [options.binary, "submit", "--format", "csv", "--store", database, "-"]
        subprocess.run(submit, input=lines, check=True, env=environment, stdout=subprocess.DEVNULL)
        port = int(os.environ.get("ATTACK_PORT", "22112"))
        # A constant latency: the speed depends on the worker's waits, and not on who else uses the processors.
        run = [options.binary, "run", "--store", database, "--listen", f"{HOST}:{port}", "--concurrency", "20"]
        run += ["--simulate-latency", "100ms..100ms", "--log", "error", "--drain-timeout", "2s"]
        worker = subprocess.Popen(run, env=environment)
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            measure(options, database, port)
        finally:
            worker.terminate()
            worker.wait()


if __name__ == "__main__":
    main()
