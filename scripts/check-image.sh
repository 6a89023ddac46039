#!/usr/bin/env bash
# Builds what the Dockerfile builds, by its own commands, from what .dockerignore leaves: without Docker, in the target
# folder, in minutes. Where there is a container engine, it builds and starts the image as well.
set -euo pipefail
cd "$(dirname "$0")/.."

IMAGE_BUILD=full cargo test --locked --workspace --features faults --test integration image:: -- --nocapture

if ! docker info >/dev/null 2>&1; then
  echo "no container engine answers here: the Dockerfile's commands ran without one, and its packages were not installed"
  exit 0
fi
image=fulfillment-worker:check
docker build --quiet --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(date -u +%FT%TZ)" --tag "$image" .
container=$(docker run --detach "$image" run --queue sqlite:check.db --store sqlite:check.db)
trap 'docker rm --force "$container" >/dev/null' EXIT
for _ in $(seq 60); do
  if docker exec "$container" wget -qO- http://localhost:2112/health; then
    docker exec "$container" fulfillment-worker healthcheck
    docker exec "$container" fulfillment-worker --version
    exit 0
  fi
  sleep 1
done
echo "error: the container was not healthy within a minute; its log ends so:" >&2
docker logs --tail 20 "$container" >&2
exit 1
