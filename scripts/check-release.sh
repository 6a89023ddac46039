#!/usr/bin/env bash
# Makes the release and checks what tests of another build can't tell: the binary can't be told to fail or to have a bug, all is
# there and small enough, the tarball works where it is unpacked, and the package where it is installed (scripts/check-package.sh).
# BINARY=PATH takes a binary that was built before; see scripts/release.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh lintian systemd-nspawn:systemd-container dpkg-shlibdeps:dpkg-dev

DIST=$(realpath -m "${CARGO_TARGET_DIR:-target}")/dist-files
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export DIST SOURCE_DATE_EPOCH
scripts/release.sh
(cd "$DIST" && sha256sum --quiet --check SHA256SUMS)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
elsewhere=$(mktemp --directory)
trap 'rm -rf "$elsewhere"' EXIT

problem() {
  echo "error: $1" >&2
  exit 1
}
at_most() { # at_most BYTES FILE
  local bytes
  bytes=$(stat --format %s "$2")
  echo "$(basename "$2"): $((bytes / 1000)) kB of at most $(($1 / 1000))"
  if [ "$bytes" -gt "$1" ]; then problem "$2: $bytes bytes are more than $1"; fi
}
tarball=$(echo "$DIST"/fulfillment-worker-"$version"-*.tar.xz)
package=$(echo "$DIST"/fulfillment-worker_"$version"-1_*.deb)
at_most 10000000 "$package"
at_most 10000000 "$tarball"

# The tarball, where nothing of the sources is.
tar --directory "$elsewhere" --extract --file "$tarball"
tree=$(echo "$elsewhere"/fulfillment-worker-*)
binary=$tree/fulfillment-worker
at_most 20000000 "$binary"
for file in completions/fulfillment-worker.bash completions/_fulfillment-worker completions/fulfillment-worker.fish \
  man/fulfillment-worker.1 man/fulfillment-worker-run.1 systemd/fulfillment-worker.service systemd/environment README.md \
  CHANGELOG.md LICENSE-MIT LICENSE-APACHE THIRD-PARTY-LICENSES.txt fulfillment-worker.cdx.json docs/SYSTEMD.md; do
  [ -s "$tree/$file" ] || problem "$tarball: $file is missing or empty"
done
# Where documents and messages send their reader, in both; whatever the binary names is among it.
dpkg-deb --extract "$package" "$elsewhere/package"
mapfile -t named < <(grep --text --only-matching 'deploy/[a-z]*/[a-z]*\.\(sql\|acl\|yml\)' "$binary" | sort --unique)
[ "${#named[@]}" -gt 0 ] || problem "the binary names no file of deploy/"
for file in "${named[@]}" deploy/postgres/*.sql deploy/redis/users.acl deploy/prometheus/*.yml deploy/grafana/dashboards/*.json; do
  cmp "$file" "$tree/$file" || problem "$tarball: $file is missing or another one"
  cmp "$file" "$elsewhere/package/usr/share/doc/fulfillment-worker/$file" || problem "$package: $file is missing or another one"
done
# Otherwise the texts below would be looked for in vain.
grep --quiet --text --fixed-strings fulfillment_queue "$binary" || problem "no text of the binary is found"
for text in FULFILLMENT_FAILPOINT FULFILLMENT_MUTANT 'failpoint reached'; do
  if grep --quiet --text --fixed-strings "$text" "$binary"; then problem "the binary has $text, which is for tests alone"; fi
done
if readelf --sections "$binary" | grep --quiet '\.debug_info\|\.symtab'; then problem "$binary is not stripped"; fi
(
  cd "$elsewhere"
  env --ignore-environment "$binary" --version
  # 60 orders through the demo of the binary alone.
  env --ignore-environment TMPDIR="$elsewhere" "$binary" demo --orders 60 --rate 60 --simulate-latency 0 --listen 127.0.0.1:0 \
    | grep --quiet '^fulfilled'
) || problem "the binary doesn't work where it is unpacked"
bash -n "$tree/completions/fulfillment-worker.bash"

# The same files make the same package, and a newer one for the upgrade.
again=$elsewhere/again
mkdir "$again"
scripts/deb.sh "$tree" "$version-1" "$again"
cmp "$package" "$again/$(basename "$package")" || problem "$package comes out differently each time"
scripts/deb.sh "$tree" "$version-2" "$again"
lintian --allow-root --fail-on error,warning "$package" || problem "$package: see above"
dpkg-deb --field "$package" Depends | grep --quiet 'libc6 (>= ' || problem "$package depends on no libc6"
# systemd reads the unit, whose binary is elsewhere here.
unit=$elsewhere/fulfillment-worker.service
sed "s|^ExecStart=/usr/bin/|ExecStart=$tree/|" "$tree/systemd/fulfillment-worker.service" >"$unit"
systemd-analyze verify --man=no "$unit" 2>&1 | tee "$elsewhere/verified"
if [ -s "$elsewhere/verified" ]; then problem "the unit: see above"; fi
# 0 is the best of 10. What it is made of: docs/SYSTEMD.md.
systemd-analyze security --offline=true --threshold=15 --no-pager "$unit" \
  | tail -1 || problem "the unit is more exposed than it was"
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
"${as_root[@]}" scripts/check-package.sh "$package" "$again/fulfillment-worker_$version-2_$(dpkg --print-architecture).deb"
"${as_root[@]}" scripts/check-getting-started.sh "$package"
