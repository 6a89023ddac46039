#!/usr/bin/env bash
# Compares the public API with that of the release before, by the rules of Semantic Versioning for the versions that the two have:
# a minor release before 1.0 may break things, a patch release may not.
# Usage: scripts/check-semver.sh [--release-type patch]   with that, as if the next release were a patch
set -euo pipefail
cd "$(dirname "$0")/.."

# The commit that scripts/previous-release.sh names, too: a clone may lack the tag.
commit=$(sed -n 's/^commit=\([0-9a-f]\{40\}\)$/\1/p' scripts/previous-release.sh)
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  echo "error: commit ${commit:-of scripts/previous-release.sh} is not in this clone: run \`git fetch --unshallow --tags\`" >&2
  exit 1
fi

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
source=$target/semver/$commit
if [ ! -d "$source" ]; then
  mkdir -p "$source.part"
  git archive "$commit" | tar -x -C "$source.part"
  mv "$source.part" "$source"
fi
# What was in that release; the features are those that docs.rs shows.
packages=()
for manifest in "$source"/Cargo.toml "$source"/crates/*/Cargo.toml; do
  name=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$manifest" | head -1)
  [ "$name" = fulfillment-model ] || packages+=("$name")
done
for package in "${packages[@]}"; do
  features=()
  [ "$package" != fulfillment-worker ] || features=(--features otlp-grpc)
  scripts/cargo-tool.sh cargo-semver-checks semver-checks check-release --package "$package" --baseline-root "$source" \
    --default-features "${features[@]}" "$@"
done
