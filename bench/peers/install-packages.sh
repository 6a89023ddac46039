#!/usr/bin/env bash
# Installs what the peers in Go and JavaScript are built with, where this is Debian or Ubuntu and it is missing. Never fails:
# a peer that can't be built is reported as not measured.
set -uo pipefail

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v go >/dev/null || missing+=(golang-go)
for library in golang-github-gomodule-redigo-dev golang-github-lib-pq-dev; do
  [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$library" 2>/dev/null)" = installed ] || missing+=("$library")
done
if [ "${#missing[@]}" -eq 0 ] || ! command -v apt-get >/dev/null; then exit 0; fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
  echo "without ${missing[*]}, some peers are not measured" >&2
