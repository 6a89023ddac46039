# shellcheck shell=bash
# For scripts that run real servers beside something else; they source it. Redis and Postgres on free ports of the
# loopback interface, in a temporary folder. Each server is a process of its own session, so that a Ctrl-C reaches the
# script alone, which then ends them in order; and each ends by itself if the script is killed.
#
# Gives: $folder, which goes with the script; $postgres_bin; ${part_pid[NAME]}; and the functions below.

for needed in redis-server redis-cli python3 setpriv setsid; do
  if ! command -v "$needed" >/dev/null; then
    echo "error: $needed is not installed; run scripts/install-packages.sh" >&2
    exit 1
  fi
done
postgres_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
if [ -z "$postgres_bin" ]; then
  echo "error: no Postgres server below /usr/lib/postgresql; run scripts/install-packages.sh" >&2
  exit 1
fi

folder=$(mktemp -d)
# Postgres, which is another user, has to get at its own folder.
chmod 755 "$folder"
declare -A part_pid=()

# Not one of those that the kernel gives to connections: one of them could take it before its server starts.
free_port() {
  python3 -c 'import random, socket
while True:
    port = random.randrange(10_000, 32_768)
    try: socket.create_server(("127.0.0.1", port)).close()
    except OSError: continue
    print(port)
    break'
}

# Postgres refuses to run as root. A change of user forgets which signal the script's death is to send.
as_postgres=()
if [ "$(id -u)" -eq 0 ]; then
  as_postgres=(setpriv --pdeathsig INT --reuid=postgres --regid=postgres --clear-groups --)
fi

begin() { # begin NAME COMMAND...: starts a part, which writes to NAME.log and never to the terminal
  local name=$1
  shift
  # Started in the temporary folder: the user that runs Postgres may not enter this one.
  (cd "$folder" && exec setsid setpriv --pdeathsig TERM -- "$@") </dev/null >>"$folder/$name.log" 2>&1 &
  part_pid[$name]=$!
}

failed() { # failed NAME WHAT: gives up, showing why
  echo "error: $1 $2; its log ends so:" >&2
  tail -n 20 "$folder/$1.log" >&2
  exit 1
}

await() { # await NAME COMMAND...: waits until the command succeeds, for 60 seconds at most
  local name=$1
  shift
  for _ in $(seq 600); do
    # Something else could answer on the port if the part could not have it.
    kill -0 "${part_pid[$name]}" 2>/dev/null || failed "$name" "did not start"
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  failed "$name" "was not ready within a minute"
}

end() { # end NAME SIGNAL: ends the part with all that it has started, and waits; after 15 seconds it kills them
  local pid=${part_pid[$1]-}
  unset "part_pid[$1]"
  # Within a trap, a bare `return` is that of what the trap has interrupted.
  if [ -z "$pid" ]; then return 0; fi
  kill -s "$2" -- "-$pid" 2>/dev/null || true
  # One that stands still would not see the signal.
  kill -s CONT -- "-$pid" 2>/dev/null || true
  for _ in $(seq 150); do
    kill -0 -- "-$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -s KILL -- "-$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

start_redis() { # start_redis NAME PROGRAM PORT [OPTION...]: a server that speaks Redis's protocol
  mkdir "$folder/$1"
  begin "$1" "$2" --port "$3" --bind 127.0.0.1 --dir "$folder/$1" --save '' --appendonly no \
    --maxmemory-policy noeviction --daemonize no "${@:4}"
}

await_redis() { # await_redis NAME PORT
  await "$1" redis-cli -p "$2" ping
}

start_postgres() { # start_postgres PORT [OPTION...]: an empty server, whose user postgres needs no password
  mkdir "$folder/postgres" "$folder/socket"
  if [ "$(id -u)" -eq 0 ]; then chown postgres: "$folder/postgres" "$folder/socket"; fi
  (cd "$folder" && "${as_postgres[@]}" "$postgres_bin/initdb" -D "$folder/postgres" -U postgres -A trust --no-sync) \
    >"$folder/postgres.log" 2>&1 || failed postgres "could not make its folder"
  begin postgres "${as_postgres[@]}" "$postgres_bin/postgres" -D "$folder/postgres" -p "$1" \
    -c listen_addresses=127.0.0.1 -c "unix_socket_directories=$folder/socket" -c max_connections=300 "${@:2}"
}

await_postgres() { # await_postgres PORT
  await postgres "$postgres_bin/pg_isready" --host 127.0.0.1 --port "$1" --username postgres
}
