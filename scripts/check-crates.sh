#!/usr/bin/env bash
# Checks what would be published: the packages' files and sizes, their order, and the documentation as docs.rs makes it. Nothing is
# uploaded.
# Usage: scripts/check-crates.sh           for `make lint`: half a minute, and what the documentation takes
#        scripts/check-crates.sh --build   for `make test-more`: builds each package from its archive too, without git, and runs
#                                          what comes out
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
published=(fulfillment-warehouse fulfillment-worker fulfillment-worker-testkit)
# In kilobytes, compressed.
declare -A most_kilobytes=([fulfillment-warehouse]=60 [fulfillment-worker]=1200 [fulfillment-worker-testkit]=100)
# Anything else has been packed by mistake.
wanted='^(\.cargo_vcs_info\.json|Cargo\.(toml|toml\.orig|lock)|build\.rs|LICENSE-(MIT|APACHE)|README\.md|ARCHITECTURE\.md|CHANGELOG\.md)$|^(src|examples)/.+\.(rs|sql|lua|css|js|json|txt|svg)$|^tests/data/(README\.md|online-retail-2010-12-01\.csv)$'

problem() {
  printf 'error: %s\n' "$@" >&2
  exit 1
}

version=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
names = {p["name"]: p["version"] for p in json.load(sys.stdin)["packages"] if p["publish"] != []}
print(*sorted(names), file=sys.stderr)
[version] = set(names.values())
print(version)' 2>"$target/published.txt") || problem "the packages that are published have several versions"
[ "$(cat "$target/published.txt")" = "${published[*]}" ] ||
  problem "published are $(cat "$target/published.txt"), and $0 looks at ${published[*]}"

for package in "${published[@]}"; do
  files=$(cargo package --locked --allow-dirty --quiet --list --package "$package")
  if strange=$(grep --invert-match --extended-regexp "$wanted" <<<"$files"); then
    problem "the package $package has files that it should not have; see \`include\` in its Cargo.toml:" "$strange"
  fi
done
# What is compiled in must be there; the build of --build tells the rest.
files=$(cargo package --locked --allow-dirty --quiet --list --package fulfillment-worker)
for needed in $(git ls-files 'src/*.sql' 'src/*.lua' tests/data/online-retail-2010-12-01.csv); do
  grep --quiet --line-regexp --fixed-strings "$needed" <<<"$files" || problem "the package fulfillment-worker lacks $needed"
done

# In the order in which each finds the others that it needs. Archives of before would be taken for those of now.
rm -rf "$target/package"
cargo publish --locked --workspace --dry-run --no-verify --allow-dirty 2>&1 |
  grep --extended-regexp --invert-match 'ignoring (test|benchmark)|Updating|Blocking|aborting upload' || problem "see above"
for package in "${published[@]}"; do
  archive=$(find "$target/package" -name "$package-$version.crate" -print -quit)
  [ -n "$archive" ] || problem "cargo has left no archive of $package in $target/package"
  kilobytes=$(($(stat --format %s "$archive") / 1000))
  echo "$package $version: $kilobytes kB"
  [ "$kilobytes" -le "${most_kilobytes[$package]}" ] || problem "$archive has more than ${most_kilobytes[$package]} kB"
done

# As docs.rs does, whose settings are in Cargo.toml.
features=cli,demo,http-fulfiller,otlp,otlp-grpc,sqlite
packages=("${published[@]/#/--package=}")
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps "${packages[@]}" --features "fulfillment-worker/${features//,/,fulfillment-worker/}"

[ "${1-}" = --build ] || exit 0

# Each as who depends on it gets it: out of its archive, without the others' sources and without git.
CARGO_TARGET_DIR=$target/crates cargo package --locked --quiet --workspace --exclude fulfillment-model --allow-dirty
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
for package in "${published[@]}"; do
  tar -xzf "$target/crates/package/$package-$version.crate" -C "$unpacked"
done
# The registry does not have the others yet.
cargo install --quiet --debug --path "$unpacked/fulfillment-worker-$version" --root "$unpacked/installed" \
  --target-dir "$target/crates" --config "patch.crates-io.fulfillment-warehouse.path='$unpacked/fulfillment-warehouse-$version'"
binary=$unpacked/installed/bin/fulfillment-worker
told=$("$binary" --version)
[[ $told = "fulfillment-worker $version ("* ]] || problem "the binary of the package says: $told"
"$binary" demo --orders 5 --listen 127.0.0.1:0 >/dev/null || problem "the demo of the package's binary fails"
echo "$told: built out of its package, and the demo runs"
