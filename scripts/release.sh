#!/usr/bin/env bash
# Makes what is handed out, in dist/: a tarball of the release binary with completions, manual, systemd unit, documents, licences, and
# the files of deploy/ for servers and monitoring that run anyway (SQL, users of Redis, alerts, dashboards);
# the Debian package of the same (scripts/deb.sh); the list of its dependencies (CycloneDX), which the binary names itself, too
# (cargo auditable, for `cargo audit bin` and other scanners); and checksums. Who makes it again gets the same files.
# Usage: scripts/release.sh [CARGO_BUILD_OPTION ...], by default --profile dist
#   DIST     the folder, instead of dist
#   BINARY   a binary that was built before by this script's command, instead of a build
set -euo pipefail
cd "$(dirname "$0")/.."

name=fulfillment-worker
dist=${DIST:-dist}
options=("$@")
if [ "${#options[@]}" -eq 0 ]; then options=(--profile dist); fi

# The commit's time, so that who builds it again gets the same files.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

# Its own output says where the binary is, whatever the options.
binary=${BINARY:-$(scripts/cargo-tool.sh cargo-auditable auditable build --locked --bin "$name" "${options[@]}" \
  --message-format json-render-diagnostics | python3 scripts/release.py executable "$name")}
version=$("$binary" --version | cut -d ' ' -f 2)
target=$(rustc --version --verbose | sed -n 's/^host: //p')
work=$(mktemp --directory)
# The list is written beside the manifest, and names the folder of the build.
trap 'rm -rf "$work" "${name}_bin.cdx.json"' EXIT
release=$name-$version-$target
tree=$work/$release

mkdir -p "$tree/completions" "$tree/systemd" "$tree/docs"
install -m 755 "$binary" "$tree/$name"
"$binary" completions bash >"$tree/completions/$name.bash"
"$binary" completions zsh >"$tree/completions/_$name"
"$binary" completions fish >"$tree/completions/$name.fish"
"$binary" man "$tree/man"
install -m 644 packaging/systemd/"$name".service packaging/environment "$tree/systemd/"
install -m 644 docs/*.md docs/*.yaml "$tree/docs/"
# Where the documents and the worker's own messages send their reader.
install -D -m 644 -t "$tree/deploy/postgres" deploy/postgres/*.sql
install -D -m 644 -t "$tree/deploy/redis" deploy/redis/users.acl
install -D -m 644 -t "$tree/deploy/prometheus" deploy/prometheus/*.yml
install -D -m 644 -t "$tree/deploy/grafana/dashboards" deploy/grafana/dashboards/*.json
install -m 644 README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$tree/"

features=()
for ((at = 0; at < ${#options[@]}; at++)); do
  if [ "${options[at]}" = --features ]; then features=(--features "${options[at + 1]}"); fi
done
scripts/cargo-tool.sh cargo-cyclonedx cyclonedx --quiet --format json --describe binaries --spec-version 1.5 "${features[@]}"
sed "s|file://$PWD|file://.|g" "${name}_bin.cdx.json" >"$tree/$name.cdx.json"
python3 scripts/release.py check "$tree/$name" "$tree/$name.cdx.json"
python3 scripts/release.py glibc "$tree/$name"
python3 scripts/release.py licences "$tree/$name.cdx.json" >"$tree/THIRD-PARTY-LICENSES.txt"

rm -rf "$dist"
mkdir -p "$dist"
find "$tree" -type d -exec chmod 755 {} + -o -type f ! -path "$tree/$name" -exec chmod 644 {} +
tar --directory "$work" --create --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  "$release" | xz -6 --threads=1 >"$dist/$release.tar.xz"
if command -v dpkg-deb >/dev/null; then
  scripts/deb.sh "$tree" "$version-1" "$dist"
else
  echo "no Debian package: dpkg-deb and dpkg-shlibdeps are missing (dpkg-dev)" >&2
fi
cp "$tree/$name.cdx.json" "$dist/$name-$version.cdx.json"
sums=$(cd "$dist" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum)
echo "$sums" >"$dist/SHA256SUMS"
(cd "$dist" && stat --format '%s  %n' -- *)
