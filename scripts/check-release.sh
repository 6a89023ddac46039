#!/usr/bin/env bash
# Makes the release and checks what tests of another build can't tell: the binary can't be told to fail or to have a bug, it is
# small, and it names what it was built from.
set -euo pipefail
cd "$(dirname "$0")/.."

DIST=${CARGO_TARGET_DIR:-target}/dist
export DIST
scripts/release.sh
binary=$DIST/fulfillment-worker
(cd "$DIST" && sha256sum --quiet --check SHA256SUMS)
most_bytes=20000000

problem() {
  echo "error: $binary: $1" >&2
  exit 1
}
# Otherwise the texts below would be looked for in vain.
grep --quiet --text --fixed-strings fulfillment_queue "$binary" || problem "no text of it is found"
for text in FULFILLMENT_FAILPOINT FULFILLMENT_MUTANT 'failpoint reached'; do
  if grep --quiet --text --fixed-strings "$text" "$binary"; then problem "has $text, which is for tests alone"; fi
done
bytes=$(stat --format %s "$binary")
echo "$binary: no failpoints, $((bytes / 1000)) kB"
if [ "$bytes" -gt "$most_bytes" ]; then problem "$bytes bytes are more than $most_bytes"; fi
