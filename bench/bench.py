#!/usr/bin/env python3
"""How fast the worker is, as ratios taken in one run; `make bench` runs it, and docs/BENCHMARKS.md tells how to read it.

    scripts/with-servers.sh --durable bench/bench.py measure short|full BINARY   a table on stdout, JSON in the target folder
    bench/bench.py compare JSON [BASELINE]    fails where a ratio to the ceiling has become less than 0.85 of the baseline's
    bench/bench.py record JSON                the figures into docs/BENCHMARKS.md, docs/charts and the baseline

BENCH_ORDERS and the like (see SIZES) say how much, BENCH_ONLY=speed,idle what.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import report

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
BASELINE = REPOSITORY / "bench/baseline.json"

# How much of everything, `make bench` and `make bench-full`: BENCH_ and the name in capitals is the variable that changes it.
SIZES = {
    "orders": (60_000, 100_000),
    "rounds": (5, 5),
    "peer_orders": (4_000, 5_000),
    "peer_rounds": (3, 5),
    # Seconds for one run.
    "limit": (120, 600),
    # Of the open loop: orders a second, for so many seconds.
    "rate": (10_000, 10_000),
    "seconds": (8, 20),
    "open_rounds": (1, 5),
    "pickups": (200, 1_000),
    "idle_seconds": (5, 30),
    # Of bench-full alone.
    "queued": (0, 1_000_000),
    "rows": (0, 10_000_000),
    "in_flight": (0, 10_000),
    "pin_rate": (0, 5_000),
    "pin_seconds": (0, 300),
}


def sizes(full):
    return {name: whole_number(f"BENCH_{name.upper()}", pair[full]) for name, pair in SIZES.items()}


def whole_number(variable, otherwise):
    text = os.environ.get(variable, str(otherwise))
    if not text.isdecimal():
        wrong_usage(f"{variable} is a whole number, and not {text!r}")
    return int(text)


def wrong_usage(text):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def parts(sections):
    """Those that BENCH_ONLY names, or all."""
    wanted = [name.strip() for name in os.environ.get("BENCH_ONLY", ",".join(sections)).split(",")]
    if unknown := [name for name in wanted if name not in sections]:
        wrong_usage(f"BENCH_ONLY: there is no {', '.join(map(repr, unknown))} here, but {', '.join(sections)}")
    return wanted


def said(*command):
    """The first line of what a program says, or nothing where there is none."""
    try:
        return (subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY).stdout.splitlines() or [""])[0]
    except OSError:
        return ""


def machine():
    cpus = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in cpus if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {"processor": model, "processors": len(os.sched_getaffinity(0)), "memory_gb": round(memory),
            "kernel": platform.release(), "load_before": round(os.getloadavg()[0], 2)}


def measure(kind, binary, recording):
    # Only where servers are: its packages are those of scripts/install-python.sh.
    import full
    import measures
    import processes
    from servers import FAILURES, Servers

    processes.interrupt_on_sigterm()
    sections = measures.SHORT | (full.SECTIONS if kind == "full" else {})
    wanted, amounts = parts(sections), sizes(kind == "full")
    binary = str(pathlib.Path(binary).resolve())
    target = (pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "bench").resolve()
    target.mkdir(parents=True, exist_ok=True)
    servers = Servers(lambda url: processes.complete([binary, "migrate", "--store", url], 60))
    document = {
        "kind": kind,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": said("git", "rev-parse", "HEAD") + (" and changes" if said("git", "status", "--porcelain") else ""),
        "machine": machine(),
        "versions": servers.versions() | {"worker": said(binary, "--version"), "rustc": said("rustc", "--version"),
                                          "node": said("node", "--version"), "go": said("go", "version")},
        "settings": servers.settings(),
        "sizes": amounts,
    }
    print(heading(document), flush=True)
    peers = processes.peers(target)
    for peer in peers if "speed" in wanted else []:
        measures.say(f"building {peer.name}")
        try:
            peer.build()
        except processes.Failure as failure:
            peer.missing = str(failure)
            measures.say(f"{peer.name}: not measured: {failure}")
    bench, rows = measures.Bench(servers, binary, amounts), []
    try:
        for name in wanted:
            measures.say(f"measuring: {name}")
            try:
                rows += sections[name](bench, peers)
            except FAILURES as failure:
                rows.append(report.Row(name, name, missing=str(failure).splitlines()[0]))
                measures.say(f"{name}: not measured: {failure}")
    finally:
        # What there is, also where the rest was given up.
        document["rows"] = [dataclasses.asdict(row) for row in rows]
        (target / f"{kind}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        print(report.table(rows))
    measures.say(f"written to {target / kind}.json")
    if recording:
        return record(target / f"{kind}.json")
    # A run of some sections alone has nothing to say about the others.
    return 0 if "BENCH_ONLY" in os.environ else compare(target / f"{kind}.json", BASELINE)


def heading(document):
    """Where and with what."""
    at, versions = document["machine"], document["versions"]
    lines = [f"{at['processors']} processors ({at['processor']}), {at['memory_gb']} GB; {versions['worker']}"]
    for server, settings in document["settings"].items():
        listed = ", ".join(f"{name} {value or '(none)'}" for name, value in settings.items())
        lines.append(f"{server} {versions[server]}: {listed}")
    return "\n".join(lines) + "\n"


def rows_of(path):
    return [report.Row(**row) for row in json.loads(pathlib.Path(path).read_text())["rows"]]


def compare(path, baseline):
    """Exit code 1 and a sentence for each ratio that has become too small."""
    if not pathlib.Path(baseline).exists():
        print(f"no baseline at {baseline}: nothing to compare with", file=sys.stderr)
        return 0
    wrong = report.regressions(report.ratios(rows_of(path)), json.loads(pathlib.Path(baseline).read_text())["ratios"])
    for sentence in wrong:
        print(f"slower: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


def record(path):
    """The figures of a run into what is committed."""
    import charts

    document, rows = json.loads(pathlib.Path(path).read_text()), rows_of(path)
    page = REPOSITORY / "docs/BENCHMARKS.md"
    text = page.read_text()
    before, _, rest = text.partition("<!-- figures -->\n")
    _, _, after = rest.partition("<!-- end of figures -->\n")
    where = f"Commit `{document['commit'][:12]}`, {document['when'][:10]}."
    figures = f"{where}\n\n```text\n{heading(document)}```\n\n{report.table(rows)}\n"
    page.write_text(f"{before}<!-- figures -->\n{figures}<!-- end of figures -->\n{after}")
    folder = REPOSITORY / "docs/charts"
    folder.mkdir(exist_ok=True)
    for name, drawing in charts.draw({row.key: row for row in rows if not row.missing}).items():
        (folder / f"{name}.svg").write_text(drawing)
    (folder / "figures.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    baseline = {"commit": document["commit"], "ratios": report.ratios(rows)}
    BASELINE.write_text(json.dumps(baseline, indent=1) + "\n")
    print(f"updated {page}, {folder} and {BASELINE}", file=sys.stderr)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("kind", choices=["short", "full"])
    measuring.add_argument("binary")
    measuring.add_argument("--record", action="store_true", help="as the command, instead of a comparison with the baseline")
    comparing = commands.add_parser("compare")
    comparing.add_argument("json")
    comparing.add_argument("baseline", nargs="?", default=BASELINE)
    commands.add_parser("record").add_argument("json")
    options = parser.parse_args()
    if options.command == "measure":
        return measure(options.kind, options.binary, options.record)
    return compare(options.json, options.baseline) if options.command == "compare" else record(options.json)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; everything that it started is ended", file=sys.stderr)
        sys.exit(130)
