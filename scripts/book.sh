#!/usr/bin/env bash
# Builds the book of docs/ with mdBook into the target folder and looks whether it is whole: no warning, no page that nothing leads
# to, no link, anchor or picture that leads nowhere, nothing loaded from elsewhere.
# Usage: scripts/book.sh
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/book
python3 -B scripts/book.py stage "$folder"
said=$(scripts/cargo-tool.sh mdbook build "$folder" 2>&1) || { printf '%s\n' "$said" >&2; exit 1; }
if grep --quiet --extended-regexp 'WARN|ERROR' <<<"$said"; then
  printf 'error: mdBook warns:\n%s\n' "$said" >&2
  exit 1
fi
python3 -B scripts/book.py check "$folder/html"
echo "$folder/html/index.html"
