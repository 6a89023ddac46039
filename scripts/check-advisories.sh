#!/usr/bin/env bash
# Asks whether an advisory concerns a dependency: of today's database where it can be had within half a minute, else of the
# dated copy in tests/data. Says which.
set -euo pipefail
cd "$(dirname "$0")/.."

old_after_days=180
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

check() { # check CONFIGURATION [OPTION ...]; an ignored advisory that concerns nothing any more is an error as well
  scripts/cargo-tool.sh cargo-deny --locked --config "$1" "${@:2}" check --hide-inclusion-graph --deny advisory-not-detected advisories
}

# So that a slow build isn't taken for a slow network.
scripts/cargo-tool.sh cargo-deny --version >/dev/null
if timeout 30 scripts/cargo-tool.sh cargo-deny --locked fetch db >"$folder/output" 2>&1; then
  echo "advisories of today, from the network"
  check deny.toml
else
  read -r day age < <(python3 scripts/advisories.py date)
  echo "advisories of $day, $age days ago: today's can't be had: $(sed '/^$/d' "$folder/output" | tail -n 1 | cut -c 1-200)"
  if [ "$age" -gt "$old_after_days" ]; then
    echo "warning: that copy is old; where the network is, \`scripts/advisories.py copy\` makes a new one" >&2
  fi
  # Where cargo-deny looks for the database of this name.
  python3 scripts/advisories.py restore "$folder/advisory-db-3157b0e258782691"
  sed "s|^\[advisories\]\$|[advisories]\ndb-path = \"$folder\"|" deny.toml >"$folder/deny.toml"
  check "$folder/deny.toml" --offline
fi
