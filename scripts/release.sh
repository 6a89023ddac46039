#!/usr/bin/env bash
# Makes what is handed out, in dist/: the release binary, which names its dependencies itself (cargo auditable, for `cargo audit
# bin` and other scanners), their list for people and tools (CycloneDX), their licences, shell completions, and checksums.
# Usage: scripts/release.sh [CARGO_BUILD_OPTION ...], by default --profile dist
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
binary=$(scripts/cargo-tool.sh cargo-auditable auditable build --locked --bin "$name" "${options[@]}" \
  --message-format json-render-diagnostics | python3 scripts/release.py executable "$name")
rm -rf "$dist"
mkdir -p "$dist/completions"
install -m 755 "$binary" "$dist/$name"
"$dist/$name" completions bash >"$dist/completions/$name.bash"
"$dist/$name" completions zsh >"$dist/completions/_$name"
"$dist/$name" completions fish >"$dist/completions/$name.fish"

# It is written beside the manifest, and names the folder of the build.
trap 'rm -f "${name}_bin.cdx.json"' EXIT
features=()
for ((at = 0; at < ${#options[@]}; at++)); do
  if [ "${options[at]}" = --features ]; then features=(--features "${options[at + 1]}"); fi
done
scripts/cargo-tool.sh cargo-cyclonedx cyclonedx --quiet --format json --describe binaries --spec-version 1.5 "${features[@]}"
sed "s|file://$PWD|file://.|g" "${name}_bin.cdx.json" >"$dist/$name.cdx.json"

python3 scripts/release.py check "$dist/$name" "$dist/$name.cdx.json"
python3 scripts/release.py licences "$dist/$name.cdx.json" >"$dist/THIRD-PARTY-LICENSES.txt"
cp LICENSE-APACHE LICENSE-MIT "$dist/"
sums=$(cd "$dist" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum)
echo "$sums" >"$dist/SHA256SUMS"
echo "$dist: $(find "$dist" -type f | wc -l) files, $(stat --format %s "$dist/$name") bytes of binary"
