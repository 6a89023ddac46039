#!/usr/bin/env bash
# Prints the path of the binary of the release before this one, for the tests of both side by side (docs/UPGRADING.md). It is built
# once for a commit, as a release, and kept in the target folder.
# Usage: scripts/previous-release.sh
#   PREVIOUS_RELEASE=/path/to/binary  prints this path instead, whatever the binary is
set -euo pipefail
cd "$(dirname "$0")/.."

# When a version is released, it comes to stand here (CONTRIBUTING.md). The commit is what is built, as a clone may lack the tag.
version=0.1.0
commit=050fe98d02fb990835c863545c7f8fbea98d7a6b

fail() {
  printf 'error: %s\n' "$@" >&2
  exit 1
}

if [ -n "${PREVIOUS_RELEASE-}" ]; then
  if [ ! -x "$PREVIOUS_RELEASE" ]; then fail "PREVIOUS_RELEASE=$PREVIOUS_RELEASE is not a program"; fi
  realpath "$PREVIOUS_RELEASE"
  exit
fi

folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/previous-release/$commit
binary=$folder/fulfillment-worker
mkdir -p "$folder"
exec 9>"$folder/lock"
# Whoever comes second waits for the first one's binary.
flock 9
if [ ! -x "$binary" ]; then
  if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    fail "commit $commit, which is version $version, is not in this clone: run \`git fetch --unshallow --tags\`" \
      "(or \`git fetch --tags\` if the clone is not a shallow one), or set PREVIOUS_RELEASE=/path/to/its/binary"
  fi
  if tagged=$(git rev-parse --verify --quiet "refs/tags/$version^{commit}") && [ "$tagged" != "$commit" ]; then
    fail "tag $version is commit $tagged, and $0 has $commit: one of them is wrong"
  fi
  rm -rf "$folder/source"
  mkdir "$folder/source"
  git archive "$commit" | tar -x -C "$folder/source"
  echo "building version $version in $folder, once: this takes some minutes" >&2
  (cd "$folder/source" && FULFILLMENT_WORKER_REVISION=$commit CARGO_TARGET_DIR=$folder/target \
    cargo build --quiet --release --locked --bin fulfillment-worker >&2)
  said=$("$folder/target/release/fulfillment-worker" --version)
  if [[ $said != *" $version "* ]]; then fail "commit $commit is \"$said\" and not $version"; fi
  mv "$folder/target/release/fulfillment-worker" "$binary"
  rm -rf "$folder/source" "$folder/target"
fi
echo "$binary"
