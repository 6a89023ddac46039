#!/usr/bin/env bash
# Writes the digest of each image's tag into deploy/compose.yaml, the Dockerfile and the workflows, as the registry has it now: after a
# version was raised there, or to take in a rebuilt image of the same version. Needs Docker with buildx, and the network; no engine.
set -euo pipefail
cd "$(dirname "$0")/.."

files=(deploy/compose.yaml Dockerfile .github/workflows/*.yml)
images=$(sed -nE 's/^ *image: ([^ @$]+:[^ @$]+)(@sha256:[0-9a-f]{64})?$/\1/p; s/^FROM ([^ @]+:[^ @]+)(@sha256:[0-9a-f]{64})? .*$/\1/p' \
  "${files[@]}" | grep -v '^fulfillment-worker:' | sort -u)
for image in $images; do
  # The list of all platforms, where there is one.
  digest=$(docker buildx imagetools inspect --format '{{ .Manifest.Digest }}' "$image")
  if ! [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
    echo "error: no digest of $image: $digest" >&2
    exit 1
  fi
  escaped=${image//./\\.}
  sed -i -E "s|($escaped)(@sha256:[0-9a-f]{64})?( \|\$)|\\1@$digest\\3|" "${files[@]}"
  echo "$image@$digest"
done
