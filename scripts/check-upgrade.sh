#!/usr/bin/env bash
# Runs the tests of this release beside the one before, whose binary is built first where it isn't yet (docs/UPGRADING.md).
# Usage: scripts/check-upgrade.sh [FILTER ...], such as upgrading::embedded
set -euo pipefail
cd "$(dirname "$0")/.."

PREVIOUS_RELEASE=$(scripts/previous-release.sh)
export PREVIOUS_RELEASE
filters=("$@")
if [ "${#filters[@]}" -eq 0 ]; then filters=(upgrading::); fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$PREVIOUS_RELEASE" --version
RUST_TEST_THREADS=${RUST_TEST_THREADS:-4} scripts/with-servers.sh \
  cargo test --locked --workspace --features faults --test integration -- --ignored "${filters[@]}" 2>&1 | tee "$log"
# A filter that matches nothing would pass, too.
if ! grep --quiet --extended-regexp '^test result: ok\. [1-9][0-9]* passed' "$log"; then
  echo "error: no test of upgrades ran: ${filters[*]}" >&2
  exit 1
fi
