#!/usr/bin/env bash
# The worker with everything around it on this machine, without containers: Redis, Postgres, Prometheus with the rules
# of deploy/prometheus, Alertmanager, and orders that arrive without end. All on free ports of the loopback interface
# and in a temporary folder; Ctrl-C stops and removes it.
# Usage: scripts/stack.sh [OPTION OF run ...]
# FULFILLMENT_WORKER_PROGRAM is the worker's binary; ORDERS_EACH_SECOND is 20 if not set.
set -euo pipefail
repository=$(realpath "$(dirname "$0")/..")

program=$(realpath "${FULFILLMENT_WORKER_PROGRAM:-${CARGO_TARGET_DIR:-$repository/target}/release/fulfillment-worker}")
for needed in "$program" prometheus prometheus-alertmanager; do
  if ! command -v "$needed" >/dev/null; then
    echo "error: there is no $needed; run make stack, which builds and installs what is missing" >&2
    exit 1
  fi
done
# shellcheck source=scripts/servers.sh
. "$repository/scripts/servers.sh"

# Whoever needs another one ends before it.
cleanup() {
  trap '' INT TERM
  for part in traffic worker prometheus alertmanager redis; do end "$part" TERM; done
  end postgres INT
  rm -rf "$folder"
}
stop() {
  echo "stopping"
  exit 0
}
trap cleanup EXIT
trap stop INT TERM

redis_port=$(free_port)
postgres_port=$(free_port)
worker_port=$(free_port)
prometheus_port=$(free_port)
alertmanager_port=$(free_port)
# Everybody is a user of their own, as in deploy/redis/users.acl.
queue=redis://worker:worker@127.0.0.1:$redis_port
store=postgres://fulfillment_worker@127.0.0.1:$postgres_port/postgres
as() { # as USER: the store's URL
  echo "${store/fulfillment_worker/$1}"
}

start_worker() {
  begin worker "$program" run --queue "$queue" --store "$store" --listen "127.0.0.1:$worker_port" --migrate off --drain-timeout 10s \
    "${worker_options[@]}"
  echo "${part_pid[worker]}" >"$folder/worker.pid"
}
answers() { # answers URL: whether it is answered with success
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$1"
}

worker_options=("$@")
# Before 7.2, Redis doesn't know the last of these commands; nothing needs it.
sed --regexp-extended 's/#SHA256\(redis-([a-z]+)-password\)/>\1/; s/ \+client\|setinfo//' "$repository/deploy/redis/users.acl" \
  >"$folder/users.acl"
start_redis redis redis-server "$redis_port" --aclfile "$folder/users.acl"
start_postgres "$postgres_port"
await_redis redis "$redis_port"
await_postgres "$postgres_port"
"$postgres_bin/psql" --quiet --no-psqlrc --set ON_ERROR_STOP=1 --dbname "$(as postgres)" \
  --file "$repository/deploy/postgres/schema.sql" --file "$repository/deploy/postgres/roles.sql" >>"$folder/postgres.log" 2>&1 ||
  failed postgres "did not take the tables and roles"
"$program" migrate --store "$(as fulfillment_migrator)" --grant-to fulfillment_worker >>"$folder/postgres.log" 2>&1 ||
  failed postgres "did not take the worker's tables"
start_worker

mkdir "$folder/alertmanager" "$folder/prometheus"
begin alertmanager prometheus-alertmanager --config.file="$repository/deploy/alertmanager/alertmanager.yml" \
  --storage.path="$folder/alertmanager" --web.listen-address="127.0.0.1:$alertmanager_port" --cluster.listen-address=
# What is shipped, with the addresses of here. Exporters don't run here: their jobs have no targets.
ln -s "$repository"/deploy/prometheus/* "$folder/prometheus/"
rm "$folder/prometheus/prometheus.yml"
sed --expression "s/\"worker:[0-9]*\"/\"127.0.0.1:$worker_port\"/" \
  --expression "s/\"alertmanager:[0-9]*\"/\"127.0.0.1:$alertmanager_port\"/" \
  --expression "s/\"localhost:9090\"/\"127.0.0.1:$prometheus_port\"/" \
  --expression "s|runbook: http.*|runbook: file://$repository/docs/RUNBOOK.md|" \
  --expression '/targets:/s/"[a-z-]*:[0-9]*"//g' \
  "$repository/deploy/prometheus/prometheus.yml" >"$folder/prometheus/prometheus.yml"
begin prometheus prometheus --config.file="$folder/prometheus/prometheus.yml" \
  --storage.tsdb.path="$folder/prometheus/data" --web.listen-address="127.0.0.1:$prometheus_port" \
  --enable-feature=exemplar-storage

await worker "$program" healthcheck --url "http://127.0.0.1:$worker_port/readyz"
await alertmanager answers "http://127.0.0.1:$alertmanager_port/-/ready"
await prometheus answers "http://127.0.0.1:$prometheus_port/-/ready"
rate=${ORDERS_EACH_SECOND:-20}
orders=$repository/tests/data/online-retail-2010-12-01.csv
FULFILLMENT_WORKER_PROGRAM=$program begin traffic "$repository/deploy/traffic.sh" "$orders" "$rate" \
  --queue "${queue/worker:worker/producer:producer}" --store "$(as fulfillment_producer)" --migrate off

cat <<TEXT
Page          http://127.0.0.1:$worker_port/
Metrics       http://127.0.0.1:$worker_port/metrics
Prometheus    http://127.0.0.1:$prometheus_port/
Alertmanager  http://127.0.0.1:$alertmanager_port/
Redis         $queue
Postgres      $store
Logs          $folder/*.log

$rate orders arrive each second. In another terminal, try:
  kill -9 \$(cat $folder/worker.pid)
      the worker dies; it is started again, and its orders are taken over
  kill -STOP ${part_pid[redis]}; sleep 90; kill -CONT ${part_pid[redis]}
      Redis hangs: see /readyz, and the alerts
  $program log debug --for 1m --listen 127.0.0.1:$worker_port
      what happens to each order, in $folder/worker.log
Ctrl-C stops everything.
TEXT

# Until a part ends by itself. Asks each one how it is: bash tells only once that a child has ended, and `wait -n` misses
# one that ended before. A worker that was killed is started again, as whoever runs it would. Quiet, as the shell would
# tell of a signal in words of its own.
exec 3>&2 2>/dev/null
while :; do
  for part in "${!part_pid[@]}"; do
    if kill -0 "${part_pid[$part]}" 2>/dev/null; then continue; fi
    wait "${part_pid[$part]}" && code=0 || code=$?
    if [ "$part" = worker ] && [ "$code" -gt 128 ]; then
      echo "the worker was killed ($code); starting it again"
      sleep 1
      start_worker
    else
      unset "part_pid[$part]"
      failed "$part" "has ended ($code)" 2>&3
    fi
  done
  sleep 0.2
done
