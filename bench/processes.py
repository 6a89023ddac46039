"""What is measured: the worker's release binary, SQL alone, and the peers."""

import contextlib
import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request

import statements
from servers import Failure, cpu_seconds, stat, wait_until

HERE = pathlib.Path(__file__).parent
NO_TIME = ("--simulate-latency", "0")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def running(command, **options):
    """A process that ends with this block, killed where it doesn't within half a minute; and with this program, however that ends."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", *command], stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Worker:
    """The binary as it is shipped: `run`, with no options but where it is, what it is told, and work that takes no time."""

    def __init__(self, process, port):
        self.pid, self.port = process.pid, port

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read()

    def ready(self):
        if stat(self.pid) is None or stat(self.pid)[0] == "Z":
            raise Failure("the worker ended at its start")
        try:
            return bool(self.get("/readyz"))
        except OSError:
            return False

    def cpu(self):
        return cpu_seconds(self.pid)

    def memory(self, what="VmHWM"):
        """Resident memory in MB: the most so far."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) * 1024 / 1e6
        raise Failure("the worker has ended")


@contextlib.contextmanager
def worker(binary, store, queue, *options, environment=None):
    """A worker that is ready."""
    port = free_port()
    command = [binary, "run", "--listen", f"127.0.0.1:{port}", *(options or NO_TIME)]
    with tempfile.TemporaryDirectory() as folder:
        known = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": folder, "DATABASE_URL": store, "REDIS_URL": queue}
        # In a session of its own: a Ctrl-C reaches this program, which then ends it.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True, "cwd": folder}
        with running(command, env=known | (environment or {}), **quiet) as process:
            started = Worker(process, port)
            wait_until("the worker is ready", started.ready, 60)
            yield started


def whole_batches(orders):
    """At least as many, so that two connections have the same number of batches."""
    return -(-orders // (2 * statements.BATCH)) * 2 * statements.BATCH


def pgbench(database, orders, events, limit):
    """SQL alone; the rows must be there afterwards."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench")) or [shutil.which("pgbench")]
    if not programs[-1]:
        raise Failure("pgbench is not installed")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statements.ceiling(events))
        script.flush()
        turns = str(orders // (2 * statements.BATCH))
        command = [programs[-1], "--no-vacuum", "--protocol=prepared", "--client=2", "--jobs=1", f"--transactions={turns}"]
        complete([*command, "--define=round=0", f"--file={script.name}", database.url], limit)


def complete(command, limit, environment=None):
    """Runs a program to its end, which must be a good one."""
    try:
        known = {"PATH": os.environ["PATH"]} | (environment or {})
        done = subprocess.run(
            command, env=known, timeout=limit, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"{command[0]} took longer than {limit:.0f} s") from None
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["nothing"]
        raise Failure(f"{os.path.basename(command[0])} ended with {done.returncode} and said: {said[-1][:200]}")
    return done.stdout


class Peer:
    """A program of bench/peers: how it is built, and how it is started, with `enqueue` before where its queue is its own."""

    def __init__(self, key, name, build, command, crash_safe):
        self.key, self.name, self.build, self.command, self.crash_safe = key, name, build, command, crash_safe
        self.missing = None

    def run(self, database, orders, limit):
        environment = {
            "ORDERS": str(orders),
            "REDIS_URL": database.servers.redis_url,
            "DATABASE_URL": database.url,
            "BEGIN_SQL": statements.BEGIN,
            "CONCLUDE_SQL": statements.CONCLUDE,
        }
        if self.crash_safe:
            complete([*self.command, "enqueue"], limit, environment)
        complete([*self.command, "work"] if self.crash_safe else self.command, limit, environment)


def peers(target):
    """All of them, in order; what they are made of goes below the folder `target`."""
    sources = HERE / "peers"
    rust = {"CARGO_TARGET_DIR": str(target / "peers")}
    go = {"GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "HOME": str(target)}

    def cargo():
        # All at once: one by one, they would have other features of what they share, and compile it again.
        build(["cargo", "build", "--release", "--locked", "--manifest-path", str(sources / "Cargo.toml")], rust)

    def npm():
        shutil.copytree(sources / "bullmq", target / "bullmq", dirs_exist_ok=True)
        build(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(target / "bullmq")], {})

    def go_build():
        build(["go", "build", "-o", str(target / "plain-loop-go"), str(sources / "plain-loop-go/main.go")], go)

    built = target / "peers/release"
    return [
        Peer("go_loop", "plain loop in Go, one at a time", go_build, [str(target / "plain-loop-go")], False),
        Peer("rust_loop", "plain loop in Rust, one at a time", cargo, [str(built / "plain-loop")], False),
        Peer("bullmq", "BullMQ 6.7.0", npm, ["node", str(target / "bullmq/peer.mjs")], True),
        Peer("apalis_redis", "apalis-redis 1.0.0", cargo, [str(built / "apalis-redis-peer")], True),
        Peer("apalis_postgres", "apalis-postgres 1.0.0", cargo, [str(built / "apalis-postgres-peer")], True),
    ]


def build(command, environment):
    """As `complete`, with this environment, for half an hour at most."""
    complete(command, 1800, dict(os.environ) | environment)


def interrupt_on_sigterm():
    """A SIGTERM ends what was started, as a Ctrl-C does."""

    def stop(_signal, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
