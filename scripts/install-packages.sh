#!/usr/bin/env bash
# Installs what the tests need beside Rust, on Debian and Ubuntu: only what is missing, without starting any service.
# Does nothing, and needs no rights, where everything is there.
# Usage: scripts/install-packages.sh [PROGRAM[:PACKAGE] ...]
#   PROGRAM  also this one, from the package of its name or that PACKAGE
set -euo pipefail

has_postgres_server() {
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}

# A driver drives the Chromium of its own version alone.
same_chromium() {
  command -v chromedriver && [ "$(chromedriver --version | awk '{ print $2 }')" = "$(chromium --version | awk '{ print $2 }')" ]
}

missing=()
need() { # need PACKAGE COMMAND...: the package, unless the command succeeds
  local package=$1
  shift
  if ! "$@" >/dev/null 2>&1; then missing+=("$package"); fi
}
need redis-server command -v redis-server
need redis-tools command -v redis-cli
need postgresql has_postgres_server
need postgresql-client command -v psql
need sqlite3 command -v sqlite3
need prometheus command -v prometheus
need prometheus command -v promtool
need prometheus-alertmanager command -v amtool
need shellcheck command -v shellcheck
need python3 command -v python3
need python3-venv python3 -c 'import ensurepip, venv'
need util-linux command -v setpriv
need procps type -P kill
need libfaketime compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1'
need pgbouncer test -x /usr/sbin/pgbouncer
need wrk command -v wrk
need wget command -v wget
need curl command -v curl
need jq command -v jq
need sudo command -v sudo
need iproute2 command -v ip
need openssl command -v openssl
need chromium command -v chromium
need chromium-driver same_chromium
need build-essential command -v cc
need busybox-static test -x /bin/busybox
for program in "$@"; do need "${program#*:}" type -P "${program%%:*}"; done

if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi
echo "missing: ${missing[*]}" >&2

if ! command -v apt-get >/dev/null; then
  echo "error: there is no apt-get here to install them with; install these or their counterparts yourself" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "error: installing needs root or sudo; as root, run: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

# Debian starts the services that it installs, unless this policy forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi

"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
