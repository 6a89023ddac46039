#!/usr/bin/env bash
# Every check that needs no server and no network. Runs them all, then fails if any did.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

failed=()
check() { # check NAME COMMAND...: runs it and remembers whether it failed
  echo "== $1"
  shift
  "$@" || failed+=("$*")
}
have() { # have PROGRAM HOW-TO-INSTALL: whether it is there; a missing one is a failure
  command -v "$1" >/dev/null && return
  echo "$1 is not installed: $2" >&2
  failed+=("$1 (missing)")
  return 1
}

check "format" cargo fmt --all --check
check "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
check "clippy, with what tests need" cargo clippy --workspace --all-targets --locked --features faults -- -D warnings
# The advisories change daily and need the network: `cargo deny check advisories`, as a job of its own.
if have cargo-deny "cargo install cargo-deny --locked"; then
  check "licences, bans and sources" cargo deny --locked --offline check bans licenses sources
fi
# The golden file masks values that vary.
metrics_as_promtool_reads_them() { sed 's/(varies)/0/' tests/golden/metrics.txt | promtool check metrics; }
if have promtool "scripts/install-packages.sh"; then
  check "metrics" metrics_as_promtool_reads_them
  check "rules and alerts" promtool check config --lint=all --lint-fatal deploy/prometheus/prometheus.yml
fi
if have shellcheck "scripts/install-packages.sh"; then
  check "shell scripts" shellcheck --external-sources scripts/*.sh deploy/*.sh .ci/run
fi

if [ "${#failed[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
