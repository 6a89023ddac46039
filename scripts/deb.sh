#!/usr/bin/env bash
# Makes the Debian package of what scripts/release.sh has laid out: the binary with its manual, completions, unit and documents.
# Who makes it again from the same files gets the same bytes.
# Usage: scripts/deb.sh TREE VERSION FOLDER
#   TREE     the unpacked release
#   VERSION  of the package, such as 0.2.0-1
#   FOLDER   where fulfillment-worker_VERSION_ARCHITECTURE.deb is written
set -euo pipefail
tree=$(realpath "$1")
version=$2
folder=$(realpath "$3")
cd "$(dirname "$0")/.."

name=fulfillment-worker
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
umask 022
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
root=$work/root
documents=$root/usr/share/doc/$name
compressed() { gzip --best --no-name >"$1"; }

install -D -m 755 "$tree/$name" "$root/usr/bin/$name"
install -D -m 644 "$tree/completions/$name.bash" "$root/usr/share/bash-completion/completions/$name"
install -D -m 644 "$tree/completions/_$name" "$root/usr/share/zsh/vendor-completions/_$name"
install -D -m 644 "$tree/completions/$name.fish" "$root/usr/share/fish/vendor_completions.d/$name.fish"
install -D -m 644 "$tree/systemd/$name.service" "$root/usr/lib/systemd/system/$name.service"
install -D -m 640 "$tree/systemd/environment" "$root/etc/$name/environment"
mkdir -p "$root/usr/share/man/man1" "$documents"
install -m 644 "$tree"/man/*.1 "$root/usr/share/man/man1/"
gzip --best --no-name "$root"/usr/share/man/man1/*.1
for document in "$tree"/docs/*.md; do install -m 644 "$document" "$documents/"; done
# Not compressed: psql, Prometheus and Grafana read them as they are.
cp -r "$tree/deploy" "$documents/"
compressed "$documents/changelog.gz" <"$tree/CHANGELOG.md"
compressed "$documents/THIRD-PARTY-LICENSES.txt.gz" <"$tree/THIRD-PARTY-LICENSES.txt"
compressed "$documents/$name.cdx.json.gz" <"$tree/$name.cdx.json"
{
  sed '/^$/d' <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: $name
Comment: The libraries that are in the binary have licences of their own: THIRD-PARTY-LICENSES.txt.gz in this folder.
END
  printf '\nFiles: *\nCopyright: %s\nLicense: Expat or Apache-2.0\n' \
    "$(sed -n 's/^Copyright (c) //p' LICENSE-MIT | head -1)"
  printf '\nLicense: Expat\n'
  sed '1,/^Copyright/d' LICENSE-MIT | sed -e '/./!d' -e 's/^/ /'
  printf '\nLicense: Apache-2.0\n The text is in /usr/share/common-licenses/Apache-2.0.\n'
} >"$documents/copyright"
maintainer=${DEB_MAINTAINER:-$name <$name@packages.invalid>}
{
  printf '%s (%s) unstable; urgency=medium\n\n  * Release; see changelog.gz for what is new.\n\n' "$name" "$version"
  printf ' -- %s  %s\n' "$maintainer" "$(date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")"
} | compressed "$documents/changelog.Debian.gz"
mkdir -p "$root/usr/share/lintian/overrides"
install -m 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/$name"

# What the binary is linked with, and since which version of it.
mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$name" "$name" >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O --warnings=0 -e"$root/usr/bin/$name" | sed -n 's/^shlibs:Depends=//p')
architecture=$(dpkg --print-architecture)
cat >"$root/DEBIAN/control" <<END
Package: $name
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du --apparent-size --block-size 1024 --summarize "$root" | cut -f 1)
Depends: $depends
Recommends: ca-certificates
Suggests: postgresql, redis-server
Section: net
Priority: optional
Description: order fulfillment worker: Redis queue in, Postgres rows moved once
 Takes orders from a Redis queue, has each one fulfilled by a warehouse over
 HTTP, and moves its row in Postgres: each step once, whatever dies.
 .
 Comes with a systemd unit, fulfillment-worker.service, which is not started
 before it is configured: see /usr/share/doc/fulfillment-worker/SYSTEMD.md.
END
echo "/etc/$name/environment" >"$root/DEBIAN/conffiles"
install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
find "$root" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz -z6 --threads-max=1 --build "$root" "$folder/${name}_${version}_$architecture.deb" >/dev/null
