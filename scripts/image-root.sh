#!/bin/sh
# Makes the file system of the image, without the worker itself: the C library and whatever else the worker is linked with, the
# certificate authorities, and BusyBox for the health checks of existing compose files (`wget -qO- http://localhost:2112/health`)
# and for whoever has to look around. Nothing that installs anything is in it.
# Usage: image-root.sh PROGRAM FOLDER
#   PROGRAM  the worker
#   FOLDER   is made
set -eu

program=$1
root=$2
busybox=/bin/busybox
authorities=/etc/ssl/certs/ca-certificates.crt
for file in "$busybox" "$authorities"; do
  [ -e "$file" ] || { echo "error: no $file; install busybox-static and ca-certificates" >&2; exit 1; }
done

mkdir -p "$root/bin" "$root/etc/ssl/certs" "$root/usr/local/bin" "$root/usr/share/doc" "$root/tmp" "$root/run" "$root/var/lib"
chmod 1777 "$root/tmp"

# Each at its own path, as the loader looks for it.
ldd "$program" | awk '/\// { print ($2 == "=>") ? $3 : $1 }' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done

cp "$busybox" "$root/bin/busybox"
for command in sh wget cat ls ps head tail wc sleep env id grep; do ln -sf busybox "$root/bin/$command"; done
cp -L "$authorities" "$root/etc/ssl/certs/"
echo 'fulfillment:x:10001:10001::/var/lib/fulfillment-worker:/bin/false' >"$root/etc/passwd"
echo 'fulfillment:x:10001:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# The licences of what is copied.
for package in libc6 libgcc-s1 busybox-static ca-certificates; do
  if [ -e "/usr/share/doc/$package/copyright" ]; then
    mkdir -p "$root/usr/share/doc/$package"
    cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
  fi
done
