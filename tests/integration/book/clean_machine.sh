#!/usr/bin/env bash
# A machine on which nothing runs yet, for docs/GETTING_STARTED.md: this kernel and these packages, but a network, processes, and
# folders of servers of its own, so that stock servers start on their usual ports, and go without a trace.
# As root, within `unshare --net --mount --pid --fork --kill-child`. Usage: clean_machine.sh BINARY COMMAND [ARGUMENT ...]
# The command is run by the user `reader`, who may use sudo. `apt-get install` starts what it would have installed.
set -euo pipefail
binary=$1
shift
repository=$(realpath "$(dirname "$0")/../../..")

mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
for folder in /run /etc/postgresql /var/lib/postgresql /var/log/postgresql /var/lib/redis /var/log/redis /home /opt; do
  mount -t tmpfs -o mode=755 tmpfs "$folder"
done
install -d -o postgres -g postgres -m 2775 /run/postgresql /var/log/postgresql
install -d -o postgres -g postgres /etc/postgresql /var/lib/postgresql
install -d -o redis -g redis /var/lib/redis /var/log/redis

for file in passwd group shadow; do cp -p "/etc/$file" "/opt/$file"; done
echo 'reader:x:4711:4711::/home/reader:/bin/bash' >>/opt/passwd
echo 'reader:x:4711:' >>/opt/group
echo 'reader:*:19000:0:99999:7:::' >>/opt/shadow
for file in passwd group shadow; do mount --bind "/opt/$file" "/etc/$file"; done
install -d -o reader -g reader -m 700 /home/reader
mount -t tmpfs -o mode=755 tmpfs /etc/sudoers.d
echo 'reader ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/reader
chmod 440 /etc/sudoers.d/reader

# sudo looks for programs in places of its own.
install -d /opt/bin
cat >/opt/bin/apt-get <<'END'
#!/usr/bin/env bash
# What the packages' own scripts do after they are unpacked, without systemd; each has to be installed on the real machine.
set -euo pipefail
case $1 in
  update | purge) ;;
  install)
    for package in "${@:2}"; do
      case $package in
        --yes) ;;
        ./dist/*.deb) ;;
        *) dpkg-query --show --showformat '${db:Status-Status}\n' "$package" | grep --quiet --line-regexp installed ;;
      esac
    done
    service redis-server start >/dev/null
    pg_createcluster -u postgres --no-status "$(pg_config_version)" main --start >/dev/null
    ;;
  *) echo "error: apt-get $1 is not known here" >&2 && exit 100 ;;
esac
END
cat >/opt/bin/pg_config_version <<'END'
#!/bin/sh
ls /usr/lib/postgresql | sort -n | tail -1
END
chmod 755 /opt/bin/*
touch /opt/bin/fulfillment-worker
mount --bind "$binary" /opt/bin/fulfillment-worker
echo 'Defaults secure_path="/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"' >/etc/sudoers.d/path
chmod 440 /etc/sudoers.d/path

# Bound rather than linked: the reader may not enter the folders on the way.
install -d /home/reader/deploy
mount --bind "$repository/deploy" /home/reader/deploy
cd /home/reader
exec setpriv --reuid=4711 --regid=4711 --clear-groups env -i USER=reader LOGNAME=reader HOME=/home/reader \
  PATH=/opt/bin:/usr/local/bin:/usr/bin:/bin "$@"
