#!/usr/bin/env bash
# Installs the Debian package where systemd runs, and has it started, used, upgraded, removed and purged there:
# scripts/check-package-inside.sh. That machine is this one's files under an overlay in memory, booted by systemd-nspawn without a
# network, so nothing is installed here. Before, the same without systemd, in a chroot.
# Needs root, and what scripts/install-packages.sh installs.
# Usage: scripts/check-package.sh DEB NEWER_DEB
set -euo pipefail
packages=("$(realpath "$1")" "$(realpath "$2")")
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
  echo "error: packages are installed by root: sudo scripts/check-package.sh $*" >&2
  exit 1
fi
if ! command -v systemd-nspawn >/dev/null; then
  echo "error: systemd-nspawn is missing: scripts/install-packages.sh systemd-container" >&2
  exit 1
fi

machine=package-test-$$
box=$(mktemp --directory)
clean_up() {
  # Whoever still runs there, as after an interruption, keeps it for so long, and nobody else sees it.
  if mountpoint --quiet "$box/root/proc"; then umount --lazy "$box/root/proc"; fi
  if mountpoint --quiet "$box/root"; then umount --lazy "$box/root"; fi
  if mountpoint --quiet "$box"; then umount --lazy "$box"; fi
  rmdir "$box" "/run/systemd/nspawn/propagate/$machine" "/run/systemd/nspawn/unix-export/$machine" 2>/dev/null || true
}
trap clean_up EXIT
mount -t tmpfs -o size=2g,mode=755 package-test "$box"
mkdir "$box/upper" "$box/work" "$box/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$box/root"
root=$box/root
install -d "$root/package-test"
cp "${packages[0]}" "$root/package-test/old.deb"
cp "${packages[1]}" "$root/package-test/new.deb"
cp deploy/postgres/schema.sql "$root/package-test/"
install -m 755 scripts/check-package-inside.sh "$root/package-test/inside"
# Of this machine, and no part of the test. The second has every manual of the machine indexed anew, which takes long.
rm -f "$root/usr/sbin/policy-rc.d" "$root/var/lib/man-db/auto-update"
if chroot "$root" dpkg-query --show fulfillment-worker >/dev/null 2>&1; then
  echo "error: fulfillment-worker is installed on this machine; the test needs one without it" >&2
  exit 1
fi

# The maintainer scripts have nothing to do there, and must not fail.
mount --bind /proc "$root/proc"
for deb in old new; do chroot "$root" dpkg --install "/package-test/$deb.deb" >"$box/log" 2>&1 || { cat "$box/log"; exit 1; }; done
chroot "$root" fulfillment-worker --version
chroot "$root" dpkg --purge fulfillment-worker >"$box/log" 2>&1 || { cat "$box/log"; exit 1; }
umount "$root/proc"
echo "without systemd: installed, upgraded, purged"

cat >"$root/etc/systemd/system/package-test.service" <<'END'
[Unit]
Description=Test of the package
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=/package-test/inside
StandardOutput=file:/package-test/log
StandardError=inherit
TimeoutStartSec=infinity
END
here=()
# Where no systemd runs, there is no unit for the machine to be in either.
if [ ! -d /run/systemd/system ]; then here=(--keep-unit); fi
timeout --kill-after 10 500 systemd-nspawn --quiet --register=no "${here[@]}" --machine "$machine" --private-network \
  --link-journal=no --directory "$root" --console=pipe --boot systemd.unit=package-test.service </dev/null >"$box/boot" 2>&1 || true
cat "$root/package-test/log" 2>/dev/null || cat "$box/boot"
if [ ! -e "$root/package-test/passed" ]; then
  echo "error: the package failed its test, see above" >&2
  exit 1
fi
