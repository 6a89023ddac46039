#!/usr/bin/env bash
# Every check that needs no server. Runs them all, then fails if any did.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

failed=()
check() { # check NAME COMMAND...: runs it and remembers whether it failed
  echo "== $1"
  shift
  "$@" || failed+=("$*")
}

# Each feature alone, and none: what one of them needs must not be missing without the others, nor be left over.
clippy_of_each_feature() {
  local feature features
  features=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
[package] = [p for p in json.load(sys.stdin)["packages"] if p["name"] == "fulfillment-worker"]
print(*(f for f in package["features"] if f != "default"))') || return
  for feature in '' $features; do
    cargo clippy --quiet --locked --package fulfillment-worker --lib --no-default-features --features "$feature" -- \
      -D warnings || { echo "with the feature '$feature' alone" >&2 && return 1; }
  done
}

# The golden file masks values that vary.
metrics_as_promtool_reads_them() {
  sed 's/(varies)/0/' tests/golden/metrics.txt | promtool check metrics
}

check "format" cargo fmt --all --check
check "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
check "clippy, with what tests need" cargo clippy --workspace --all-targets --locked --features faults -- -D warnings
check "clippy, with each feature alone" clippy_of_each_feature
# Those of other systems, too, which nothing before needed, and without which the next two know nothing.
check "every crate is there" cargo fetch --quiet --locked
check "advisories" scripts/check-advisories.sh
check "licences, bans and sources" scripts/cargo-tool.sh cargo-deny --locked --offline check bans licenses sources
check "metrics" metrics_as_promtool_reads_them
check "rules and alerts" promtool check config --lint=all --lint-fatal deploy/prometheus/prometheus.yml
check "shell scripts" shellcheck --external-sources scripts/*.sh deploy/*.sh bench/peers/*.sh .ci/run
check "the benchmark, without servers" python3 -B -m unittest discover --quiet --start-directory bench
check "format of the benchmark's peers" rustfmt --check --edition 2024 bench/peers/*/src/main.rs
check "the book, whose links lead somewhere" scripts/book.sh
check "packages and their documentation" scripts/check-crates.sh
check "imports, links, rules and alerts" cargo test --quiet --locked --workspace --features faults --test checks

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
