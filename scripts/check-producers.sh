#!/usr/bin/env bash
# Runs the examples of docs/PRODUCERS.md in the languages that no other test needs: Node, Go, PHP and Ruby. Installs these, with the
# libraries that the page names, where they are missing; Node's into the target folder, the others are Debian's.
# Usage: scripts/check-producers.sh
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-packages.sh nodejs npm ruby
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
missing=()
command -v go >/dev/null || missing+=(golang-go)
for library in golang-github-gomodule-redigo-dev golang-github-lib-pq-dev; do
  dpkg-query --show "$library" >/dev/null 2>&1 || missing+=("$library")
done
php -m 2>/dev/null | grep --quiet pdo_pgsql || missing+=(php-cli php-pgsql)
php -m 2>/dev/null | grep --quiet redis || missing+=(php-redis)
ruby -e 'require "pg"; require "redis"' 2>/dev/null || missing+=(ruby-pg ruby-redis)
if [ "${#missing[@]}" -gt 0 ]; then
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

TEST_PRODUCERS=$(realpath -m "${CARGO_TARGET_DIR:-target}")/producers
export TEST_PRODUCERS
mkdir -p "$TEST_PRODUCERS"
(cd "$TEST_PRODUCERS" && npm install --silent --no-audit --no-fund --ignore-scripts pg@8.23.1 redis@5.9.0 >/dev/null)
scripts/install-python.sh
scripts/with-servers.sh cargo test --locked --workspace --features faults --test integration -- --ignored producers::
