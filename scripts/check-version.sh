#!/usr/bin/env bash
# Whether a tag may become a release: the workspace has its version, and CHANGELOG.md has it with a date and what is new.
# tests/checks holds the other files that name the version to the workspace's.
# Usage: scripts/check-version.sh TAG
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
if [ "$1" != "$version" ]; then
  echo "error: the tag is $1, and Cargo.toml has version $version" >&2
  exit 1
fi
python3 scripts/release.py notes "$version" >/dev/null
echo "version $version: tag, Cargo.toml and CHANGELOG.md agree"
