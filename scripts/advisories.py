#!/usr/bin/env python3
"""A dated copy of the RustSec advisories, for where their database can't be had: what concerns which versions, without texts.

Usage: scripts/advisories.py copy DATABASE   # from a clone of it, into tests/data/advisories.jsonl
       scripts/advisories.py restore FOLDER  # makes a database of the copy there, as cargo-deny reads it
       scripts/advisories.py date            # the day of the copy, and its age in days
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

COPY = pathlib.Path(__file__).parent.parent / "tests/data/advisories.jsonl"
SOURCE = "https://github.com/rustsec/advisory-db"


def git(folder, *arguments, **more):
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True, **more)
    return done.stdout.strip()


def copy(database):
    rows = []
    for file in sorted(pathlib.Path(database, "crates").glob("*/RUSTSEC-*.md")):
        found = tomllib.loads(re.match(r"```toml\n(.*?)```", file.read_text(), re.DOTALL).group(1))
        advisory, versions = found["advisory"], found.get("versions", {})
        if "withdrawn" in advisory:
            continue
        row = {key: advisory[key] for key in ("id", "package", "date", "informational") if key in advisory}
        rows.append(row | {key: versions[key] for key in ("patched", "unaffected") if versions.get(key)})
    day = git(database, "show", "--no-patch", "--format=%cs", "HEAD")
    head = {"source": SOURCE, "commit": git(database, "rev-parse", "HEAD"), "date": day, "licence": "CC0-1.0"}
    COPY.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in [head, *rows]))
    print(f"{len(rows)} advisories of {day}")


def read():
    head, *rows = map(json.loads, COPY.read_text().splitlines())
    return head, rows


def restore(folder):
    head, rows = read()
    for row in rows:
        file = pathlib.Path(folder, "crates", row["package"], row["id"] + ".md")
        file.parent.mkdir(parents=True, exist_ok=True)
        # A string or a list of strings is written alike in JSON and in TOML.
        advisory = "".join(f"{key} = {json.dumps(row[key])}\n" for key in row if key not in ("patched", "unaffected"))
        versions = "".join(f"{key} = {json.dumps(row.get(key, []))}\n" for key in ("patched", "unaffected"))
        text = f"# {row['id']}\n\nSee https://rustsec.org/advisories/{row['id']}\n"
        file.write_text(f"```toml\n[advisory]\n{advisory}\n[versions]\n{versions}```\n\n{text}")
    who = {"name": "RustSec", "email": "nobody@localhost", "date": head["date"] + "T00:00:00Z"}
    environment = {f"GIT_{role}_{key.upper()}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who}
    pathlib.Path(folder).mkdir(exist_ok=True)
    git(folder, "init", "--quiet")
    git(folder, "add", "crates")
    git(folder, "commit", "--quiet", "--no-gpg-sign", "--message", "copy", env={**os.environ, **environment})


def date():
    day = datetime.date.fromisoformat(read()[0]["date"])
    print(day, (datetime.date.today() - day).days)


if __name__ == "__main__":
    {"copy": copy, "restore": restore, "date": date}[sys.argv[1]](*sys.argv[2:])
