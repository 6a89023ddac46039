#!/usr/bin/env python3
"""Slow and idle clients against a worker: does it still answer probes, and does it still fulfill orders as fast?

    scripts/attack.py BINARY [--connections 2000] [--seconds 15] [--attack silent …]

Starts a worker for each attack with an embedded database, on loopback, and ends it; half-tls meets one with TLS, which is
probed over TLS. Prints how many probes of /livez and /metrics were answered and how fast, the orders per second as a share of
those just before without the attack, and the machine's load.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

HOST = "127.0.0.1"
PROBE_LIMIT = 2.0
HELLO = bytes.fromhex("16030100c8010000c40303")  # the beginning of a TLS handshake
GET = b"GET %s HTTP/1.1\r\nHost: worker\r\n\r\n"
METRICS = GET % b"/metrics" + b"GET /metrics HTTP/1.1\r\nHost: worker\r\nAccept-Encoding: gzip\r\n\r\n"
ATTACKS = ["silent", "slow-head", "idle", "deaf", "half-tls"]


async def attacker(kind, port):
    """One client that takes a place again five seconds after it lost it."""
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
            if kind == "deaf":
                writer.transport.pause_reading()
                writer.write(METRICS * 10)
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


async def probe(port, path, tls):
    """The seconds until a whole answer with status 200 has come on a new connection; None without one."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_LIMIT):
            reader, writer = await asyncio.open_connection(HOST, port, ssl=tls)
            writer.write(b"GET %s HTTP/1.0\r\n\r\n" % path)
            answer = await reader.read(-1)
            writer.transport.abort()
            return time.perf_counter() - began if answer.startswith(b"HTTP/1.0 200") else None
    except (OSError, TimeoutError):
        return None


async def probes(port, seconds, tls, rate=100):
    """Probes at a steady rate, whether or not earlier ones have been answered."""
    running, paths = [], (b"/livez", b"/metrics")
    for number in range(int(seconds * rate)):
        running.append(asyncio.create_task(probe(port, paths[number % 2], tls)))
        await asyncio.sleep(1 / rate)
    return await asyncio.gather(*running)


def fulfilled(binary, database):
    """From the table, as /metrics may not be answered."""
    counted = subprocess.run([binary, "status", "--store", database, "--json"], capture_output=True, check=True, text=True)
    return json.loads(counted.stdout)["orders"]["fulfilled"]


async def window(binary, database, port, seconds, tls):
    began, before = time.monotonic(), fulfilled(binary, database)
    times = await probes(port, seconds, tls)
    return times, (fulfilled(binary, database) - before) / (time.monotonic() - began)


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000 if times else float("nan")


def measure(options, kind, database, port, tls):
    _, without = asyncio.run(window(options.binary, database, port, options.seconds, tls))
    command = [sys.executable, __file__, options.binary, "--as", kind, "--port", str(port)]
    command += ["--connections", str(options.connections)]
    attacking = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        attacking.stdout.readline()
        time.sleep(3)
        times, under = asyncio.run(window(options.binary, database, port, options.seconds, tls))
    finally:
        attacking.kill()
        attacking.wait()
    answered = [took for took in times if took is not None]
    print(
        f"{kind:10} {len(times):7} {len(answered):9} {percentile(answered, 0.5):8.1f} {percentile(answered, 0.99):8.1f}"
        f" {under:9.1f} {without:9.1f} {under / without:6.3f} {os.getloadavg()[0]:6.1f}",
        flush=True,
    )


def certificate(folder):
    """A web configuration with a certificate of its own."""
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=worker"]
    subprocess.run([*make, "-keyout", f"{folder}/key", "-out", f"{folder}/crt"], check=True, capture_output=True)
    with open(f"{folder}/web.yml", "w") as file:
        file.write("tls_server_config: {cert_file: crt, key_file: key}\n")
    return ["--web-config", f"{folder}/web.yml"]


@contextlib.contextmanager
def worker(options, folder, database, port, tls):
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": folder}
    # A constant latency: the speed depends on the worker's waits, and not on who else uses the processors.
    run = [options.binary, "run", "--store", database, "--listen", f"{HOST}:{port}", "--concurrency", "20"]
    run += ["--simulate-latency", "100ms..100ms", "--log", "error", "--drain-timeout", "2s"]
    running = subprocess.Popen(run + (certificate(folder) if tls else []), env=environment)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http{'s' if tls else ''}://{HOST}:{port}/readyz", timeout=1, context=tls).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        running.terminate()
        running.wait()


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
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:{folder}/db"
        orders = int(2 * len(options.attack) * (options.seconds + 12) * 220)
        lines = b"product,quantity\n" + b"Lamp,1\n" * orders
        submit = [options.binary, "submit", "--format", "csv", "--store", database, "-"]
        subprocess.run(submit, input=lines, check=True, env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL)
        port = int(os.environ.get("ATTACK_PORT", "22112"))
        print("attack      probes  answered   p50 ms   p99 ms  orders/s   without  ratio   load")
        for kind in options.attack:
            tls = unverified if kind == "half-tls" else None
            with worker(options, folder, database, port, tls):
                measure(options, kind, database, port, tls)


if __name__ == "__main__":
    main()
