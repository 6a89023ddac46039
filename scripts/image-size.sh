#!/usr/bin/env bash
# Says how large the image's layers are, compressed as a registry keeps them, from the files that are in them; fails above 40 MB.
# The worker is compressed as it is given: strip it first, as the Dockerfile's profile does.
# Usage: scripts/image-size.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."

limit=40000000
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
scripts/image-root.sh "$program" "$folder/root"
mkdir -p "$folder/worker/usr/local/bin"
cp "$program" "$folder/worker/usr/local/bin/fulfillment-worker"

total=0
for layer in root worker; do
  size=$(tar --create --directory "$folder/$layer" --sort=name --owner=0 --group=0 --numeric-owner . | gzip -6 | wc -c)
  printf '%-8s %6.1f MB compressed\n' "$layer" "$(awk "BEGIN { print $size / 1e6 }")"
  total=$((total + size))
done
printf '%-8s %6.1f MB compressed\n' image "$(awk "BEGIN { print $total / 1e6 }")"
if [ "$total" -gt "$limit" ]; then
  echo "error: the image's layers are larger than $((limit / 1000000)) MB" >&2
  exit 1
fi
