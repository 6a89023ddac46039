#!/usr/bin/env bash
# Whether a tag may become a release: the workspace has its version, CHANGELOG.md has it with a date and what is new, and each package
# that is published says where its repository is. tests/checks holds the other files that name the version to the workspace's.
# Usage: scripts/check-version.sh TAG
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: scripts/check-version.sh TAG, such as 0.2.0" >&2
  exit 2
fi
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
if [ "$1" != "$version" ]; then
  echo "error: the tag is $1, and Cargo.toml has version $version" >&2
  exit 1
fi
python3 scripts/release.py notes "$version" >/dev/null
# A version that is published can't be mended.
without=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
packages = [p for p in json.load(sys.stdin)["packages"] if p["publish"] != [] and not p["repository"]]
print(*(p["name"] for p in packages))')
if [ -n "$without" ]; then
  echo "error: $without: Cargo.toml has no \`repository\`, and without it crates.io shows a README whose links lead nowhere;" \
    "see \"Migrations and releases\" in CONTRIBUTING.md" >&2
  exit 1
fi
echo "version $version: tag, Cargo.toml and CHANGELOG.md agree"
