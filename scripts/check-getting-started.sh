#!/usr/bin/env bash
# Follows docs/GETTING_STARTED.md to the letter, downloads and all: on this machine's files under an overlay in memory, out of
# which Redis, Postgres and the worker have been purged first, with the package that is given. What it installs goes with it. `make test`
# does the same without downloads (tests/integration/book/getting_started.rs). Needs root, and nobody on ports 2112, 5432 and 6379.
# Usage: scripts/check-getting-started.sh DEB
set -euo pipefail
deb=$(realpath "$1")
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
  echo "error: packages are installed by root: sudo $0 $*" >&2
  exit 1
fi
box=$(mktemp --directory)
clean_up() {
  for pid in $(find /proc/[0-9]*/root -maxdepth 0 -lname "$box/root" 2>/dev/null | cut -d/ -f3); do kill -s KILL "$pid" 2>/dev/null || true; done
  if mountpoint --quiet "$box/root"; then umount --recursive --lazy "$box/root"; fi
  if mountpoint --quiet "$box"; then umount --lazy "$box"; fi
  rmdir "$box" 2>/dev/null || true
}
trap clean_up EXIT
mount -t tmpfs -o size=3g,mode=755 getting-started "$box"
mkdir "$box/upper" "$box/work" "$box/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$box/root"
root=$box/root
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
for folder in run home; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
rm -f "$root/usr/sbin/policy-rc.d"
# Packages start their services as on a machine that has booted; without an init nobody else would say that.
rm -f "$root/sbin/runlevel"
printf '#!/bin/sh\necho N 2\n' >"$root/sbin/runlevel"
chmod 755 "$root/sbin/runlevel"
# In a container they are mounted, over files that are empty.
for file in hosts resolv.conf; do cp --dereference "/etc/$file" "$root/etc/$file" 2>/dev/null || true; done

inside() { chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
# shellcheck disable=SC2016 # dpkg's own variables
mapfile -t present < <(inside dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' |
  sed -n 's/^installed \(redis.*\|postgresql.*\|fulfillment-worker\)$/\1/p')
if [ "${#present[@]}" -gt 0 ]; then inside apt-get purge --yes --quiet=2 "${present[@]}" >"$box/log" 2>&1 || { tail "$box/log"; exit 1; }; fi
inside rm -rf /etc/postgresql /var/lib/postgresql /var/log/postgresql /etc/redis /var/lib/redis /var/log/redis
inside useradd --create-home --shell /bin/bash reader
echo 'reader ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/reader"
install -d "$root/home/reader/dist" "$root/home/reader/deploy/postgres"
cp "$deb" "$root/home/reader/dist/"
cp deploy/postgres/schema.sql "$root/home/reader/deploy/postgres/"

python3 -B - docs/GETTING_STARTED.md >"$root/home/reader/page" <<'END'
import re, sys
marked = r"<!-- run: an_order_is_fulfilled_on_a_clean_machine -->\n```sh\n(.*?)```"
install, tables, run, submit, look, clean_up = re.findall(marked, open(sys.argv[1]).read(), re.DOTALL)
print(f"""set -euxo pipefail
{install}{tables}{run.rstrip()} &
worker=$!
{submit}
for _ in $(seq 600); do
  if [ "$(psql -qtAXc 'SELECT status FROM orders' orders)" = fulfilled ]; then break; fi
  sleep 0.1
done
{look}kill $worker
wait $worker
{clean_up}""")
END
chroot "$root" setpriv --reuid=reader --regid=reader --init-groups env -i USER=reader LOGNAME=reader HOME=/home/reader \
  PATH=/usr/local/bin:/usr/bin:/bin bash -c 'cd && exec bash page' >"$box/log" 2>&1 || { tail -n 40 "$box/log"; exit 1; }
for wanted in 'order     1   fulfilled' 'orders_processed_total{status="success"} 1'; do
  grep --quiet --fixed-strings --line-regexp "$wanted" "$box/log" || { tail -n 60 "$box/log"; echo "error: the page doesn't lead to: $wanted" >&2; exit 1; }
done
if inside sh -c 'command -v fulfillment-worker redis-server'; then echo "error: the page's last commands leave these" >&2 && exit 1; fi
echo "docs/GETTING_STARTED.md was followed: the order is fulfilled, and everything is removed again"
