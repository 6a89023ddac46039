#!/usr/bin/env bash
# The test of the package, as it runs on the machine that scripts/check-package.sh boots: install, configure, start, work, reload,
# hang, upgrade, wait for Postgres, remove, purge. Nowhere else: it changes the machine.
# Caught, when seeded: a unit without RestartPreventExitStatus; without DynamicUser; a postinst that restarts nothing.
# Within functions, too: otherwise the trap below stays silent there.
set -Eeuo pipefail
# shellcheck disable=SC2154 # The shell sets it.
trap 'echo "error: line $LINENO: $BASH_COMMAND"; systemctl status --no-pager fulfillment-worker || true; journalctl --no-pager -u fulfillment-worker | tail -50' ERR
cd /package-test
unit=fulfillment-worker
export HOME=/root

until_true() { # until_true WHAT COMMAND...: within a minute
  local what=$1 left=600
  shift
  until "$@"; do
    left=$((left - 1))
    if [ "$left" -eq 0 ]; then
      echo "waited for this in vain: $what"
      return 1
    fi
    sleep 0.1
  done
  echo "ok: $what"
}
property() { systemctl show --property "$1" --value "$unit"; }
has() { [ "$(property "$1")" = "$2" ]; }
listing() {
  find /etc /usr /var /run -xdev \( -path /var/log -o -path /var/lib/dpkg -o -path /var/cache -o -path /run/systemd -o -path /run/log \
    -o -path /run/udev -o -path /run/user -o -path '/etc/.pwd.lock' \) -prune -o -name '*fulfillment-worker*' -print | sort
}
sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --tuples-only --no-align --dbname "$owner" --command "$1"; }
place() {
  local id
  id=$(sql "INSERT INTO orders (product_id, quantity) VALUES (1, 2) RETURNING id")
  redis-cli --no-auth-warning -a s3cret LPUSH fulfillment_queue "{\"order_id\":$id,\"product_id\":1,\"quantity\":2}" >/dev/null
  echo "$id"
}
is() { [ "$(sql "SELECT status FROM orders WHERE id = $2")" = "$1" ]; }
fulfils() {
  local id
  id=$(place)
  until_true "order $id is fulfilled: $1" is fulfilled "$id"
}

before=$(listing)
dpkg --install old.deb >/dev/null
[ "$(systemctl is-enabled $unit)" = enabled ]
has ActiveState inactive
echo "ok: it is enabled, and not started before it is configured"
if timeout 60 systemctl start $unit 2>/dev/null; then echo "it starts without a configuration"; false; fi
has ExecMainStatus 2
has NRestarts 0
has ActiveState failed
echo "ok: without a configuration, systemctl start fails with exit code 2, and it is not tried again"
systemctl reset-failed $unit

redis-server --port 6379 --requirepass s3cret --save '' --daemonize yes >/dev/null
bin=$(echo /usr/lib/postgresql/*/bin)
install -d -o postgres /package-test/pg /run/postgresql
runuser -u postgres -- "$bin/initdb" --auth trust --pgdata /package-test/pg --no-sync >/dev/null
postgres() { runuser -u postgres -- "$bin/pg_ctl" --wait --pgdata /package-test/pg --log /tmp/pg.log "$@" >/dev/null; }
postgres start
owner="postgres://postgres@127.0.0.1/postgres"
psql --no-psqlrc --quiet --dbname "$owner" --file schema.sql
sql "INSERT INTO products (name, price) VALUES ('a box', 9.90)"

install -d -m 700 /etc/credstore
umask 077
echo 'redis://:s3cret@127.0.0.1:6379' >/etc/credstore/$unit.redis-url
printf 'postgres://postgres:not-shown@127.0.0.1/postgres' | systemd-creds encrypt --with-key=host --name=database-url - \
  /tmp/database-url 2>/dev/null
install -d /etc/credstore.encrypted "/etc/systemd/system/$unit.service.d"
mv /tmp/database-url /etc/credstore.encrypted/$unit.database-url
printf '[Service]\nLoadCredentialEncrypted=database-url:%s.database-url\n' $unit >/etc/systemd/system/$unit.service.d/encrypted.conf
umask 022
echo 'FULFILLMENT_SIMULATE_LATENCY=0' >>/etc/$unit/environment
systemctl daemon-reload
systemctl start $unit
until_true "systemctl start, and it claims orders" has StatusText "Claims orders"
fulfils "credentials, one of them encrypted"
process=$(property MainPID)
user=$(stat --format %u "/proc/$process")
if [ "$user" -lt 61184 ] || [ "$user" -gt 65519 ]; then echo "user $user is not a dynamic one"; false; fi
if tr '\0' '\n' <"/proc/$process/environ" | grep --quiet -e s3cret -e not-shown; then echo "a secret is in the environment"; false; fi
if journalctl --no-pager -u $unit | grep --quiet -e s3cret -e not-shown; then echo "a secret is in the journal"; false; fi
[ "$(awk '$1 == "CapEff:" { print $2 }' "/proc/$process/status")" = 0000000000000000 ]
echo "ok: user $user, no capabilities, no secret in environment or journal"
fulfillment-worker healthcheck
fulfillment-worker log --admin-socket /run/$unit/admin.sock
systemctl reload $unit
has MainPID "$process"
has ActiveState active
echo "ok: systemctl reload"

# As it is in the file but for a shorter time.
printf '[Service]\nWatchdogSec=3s\n' >/etc/systemd/system/$unit.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart $unit
until_true "it claims orders" has StatusText "Claims orders"
process=$(property MainPID)
sleep 5
has MainPID "$process"
has NRestarts 0
echo "ok: a worker that makes progress outlives its watchdog's time"
kill -STOP "$process"
until_true "a worker that stands still is started anew" has NRestarts 1
until_true "it claims orders" has StatusText "Claims orders"
fulfils "after the watchdog's restart"
rm /etc/systemd/system/$unit.service.d/watchdog.conf
systemctl daemon-reload

echo 'FULFILLMENT_SIMULATE_LATENCY=3s..3s' >>/etc/$unit/environment
systemctl restart $unit
until_true "it claims orders" has StatusText "Claims orders"
process=$(property MainPID)
in_work=$(place)
until_true "an order is in work" is processing "$in_work"
dpkg --install new.deb >/dev/null
has ActiveState active
if has MainPID "$process"; then echo "the old version runs on"; false; fi
[ "$(readlink "/proc/$(property MainPID)/exe")" = /usr/bin/fulfillment-worker ]
until_true "the order that was in work at the upgrade is fulfilled" is fulfilled "$in_work"
[ "$(sql "SELECT count(*) FROM fulfillment.events WHERE order_id = $in_work AND state = 'fulfilled'")" = 1 ]
grep --quiet LATENCY=3s /etc/$unit/environment
echo "ok: upgraded to $(dpkg-query --show --showformat '${Version}' $unit) while it ran; the configuration is kept"

postgres stop --mode immediate
began=$SECONDS
systemctl restart $unit
echo "ok: systemctl restart took $((SECONDS - began)) s without Postgres"
[ "$((SECONDS - began))" -lt 45 ]
until_true "it says what it waits for" has StatusText "Starting: waits for store"
postgres start
until_true "it claims orders once Postgres is back" has StatusText "Claims orders"
fulfils "after Postgres came back"

began=$SECONDS
dpkg --remove $unit >/dev/null 2>&1
has ActiveState inactive
[ ! -e /usr/bin/fulfillment-worker ]
[ -e /etc/$unit/environment ]
echo "ok: removed in $((SECONDS - began)) s; the configuration stays"
dpkg --install new.deb >/dev/null
[ "$(systemctl is-enabled $unit)" = enabled ]
systemctl start $unit
until_true "it works again when installed again" has StatusText "Claims orders"
touch /var/lib/private/$unit/fulfillment.db
dpkg --purge $unit 2>&1 | grep "not empty, and stays"
[ -e /var/lib/private/$unit/fulfillment.db ]
echo "ok: a purge leaves an embedded database alone"
rm /var/lib/private/$unit/fulfillment.db
dpkg --install new.deb >/dev/null
dpkg --purge $unit >/dev/null 2>&1
systemctl daemon-reload
after=$(listing)
[ "$after" = "$before" ] || diff <(echo "$before") <(echo "$after")
[ -z "$(systemctl list-unit-files --no-legend "$unit.service" || true)" ]
echo "ok: purged; nothing is left behind"
touch /package-test/passed
