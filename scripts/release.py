#!/usr/bin/env python3
"""What scripts/release.sh asks about a build.

Usage: scripts/release.py executable NAME     # where the binary is, of what cargo says at standard input
       scripts/release.py check BINARY SBOM   # whether both name the same dependencies, as Cargo.lock has them
       scripts/release.py licences SBOM       # the licences of all that is in it, at standard output
       scripts/release.py glibc BINARY        # the oldest glibc that it runs with; docs/SYSTEMD.md must say the same
       scripts/release.py notes VERSION       # what is new in it, as CHANGELOG.md has it; fails if that has no such version
"""

import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zlib


def executable(name):
    messages = [json.loads(line) for line in sys.stdin]
    built = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == name]
    print(built[-1] if built else sys.exit("cargo built no such binary"))


def in_binary(binary):
    """Names and versions that cargo auditable put into the section `.dep-v0`."""
    with tempfile.NamedTemporaryFile() as section:
        subprocess.run(["objcopy", "--dump-section", f".dep-v0={section.name}", binary, "/dev/null"], check=True)
        packages = json.loads(zlib.decompress(section.read()))["packages"]
    return {(package["name"], package["version"]) for package in packages}


def in_sbom(file):
    sbom = json.loads(pathlib.Path(file).read_text())
    return {(part["name"], part["version"]) for part in [sbom["metadata"]["component"], *sbom["components"]]}


def check(binary, sbom):
    named, listed = in_binary(binary), in_sbom(sbom)
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]
    locked = {(package["name"], package["version"]) for package in lock}
    wrong = {
        "in the binary, and not in Cargo.lock": named - locked,
        "in the binary, and not in the list": named - listed,
        "in the list, and not in the binary": listed - named,
    }
    if any(wrong.values()) or len(named) < 100:
        differ = {why: sorted(of) for why, of in wrong.items() if of}
        sys.exit(f"error: {binary} names {len(named)} packages: {differ}")
    print(f"{binary} names its {len(named)} packages, as Cargo.lock and {sbom} do")


def licences(sbom):
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--locked", "--offline", "--format-version", "1"]))
    wanted = in_sbom(sbom)
    # The same text is printed once.
    texts = collections.defaultdict(list)
    for package in metadata["packages"]:
        if package["source"] is None or (package["name"], package["version"]) not in wanted:
            continue
        folder = pathlib.Path(package["manifest_path"]).parent
        names = ("LICEN", "COPYING", "NOTICE", "UNLICENSE")
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and file.name.upper().startswith(names)]
        label = f"{package['name']} {package['version']} ({package['license']})"
        for text in [f.read_text(errors="replace").strip() for f in files] or ["(The package has no file with its licence.)"]:
            texts[text].append(label)
    for text, packages in sorted(texts.items(), key=lambda pair: pair[1]):
        print("=" * 80, *packages, "-" * 80, text, "", sep="\n")


def glibc(binary):
    symbols = subprocess.check_output(["objdump", "--dynamic-syms", binary], text=True)
    found = {tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([0-9.]+)", symbols)}
    needed = ".".join(map(str, max(found)))
    [said] = re.findall(r"glibc ([0-9.]+[0-9]) or newer", pathlib.Path("docs/SYSTEMD.md").read_text())
    if needed != said:
        sys.exit(f"error: {binary} needs glibc {needed}, and docs/SYSTEMD.md says {said}: build on an older system, or say so")
    print(f"{binary} needs glibc {needed}, as docs/SYSTEMD.md says")


def notes(version):
    text = pathlib.Path("CHANGELOG.md").read_text()
    found = re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not found or not found[1].strip():
        sys.exit(f"error: CHANGELOG.md has no `## [{version}] - DATE` with text below it")
    print(found[1].strip())


if __name__ == "__main__":
    commands = {"executable": executable, "check": check, "licences": licences, "glibc": glibc, "notes": notes}
    commands[sys.argv[1]](*sys.argv[2:])
