#!/usr/bin/env bash
# Makes the secrets of deploy/compose.yaml that are missing: random passwords, one in a file, and what Redis and its exporter are
# told of theirs. Those that are there stay. A file may be read by everybody, as the users in the containers are others than
# this one; the folder may be entered by its owner alone.
# Usage: scripts/compose-secrets.sh [FOLDER]
#   FOLDER  in place of deploy/secrets
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-deploy/secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

passwords=(postgres-password migrator-password worker-password producer-password exporter-password redis-worker-password
  redis-producer-password redis-exporter-password grafana-admin-password)
for name in "${passwords[@]}"; do
  if [ ! -s "$folder/$name" ]; then
    # 192 bits, in letters and digits alone.
    LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 32 >"$folder/$name.new" || [ -s "$folder/$name.new" ]
    mv "$folder/$name.new" "$folder/$name"
  fi
done

# Redis keeps hashes only.
users=$(cat deploy/redis/users.acl)
for name in "${passwords[@]}"; do
  hash=$(sha256sum <"$folder/$name")
  users=${users//"SHA256($name)"/${hash%% *}}
done
printf '%s\n' "$users" >"$folder/redis-users.acl"
printf '{"redis://exporter@redis:6379": "%s"}\n' "$(cat "$folder/redis-exporter-password")" >"$folder/redis-exporter.json"
chmod 644 "$folder"/*
