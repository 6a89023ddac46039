# syntax=docker/dockerfile:1
# Two stages: the build, and an image of the binary with what it is linked with, 12 MB compressed (docs/DOCKER.md).
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(date -u +%FT%TZ)" -t fulfillment-worker .
# tests/integration/image runs the first stage's commands without Docker. The digest is that of the tag's images for all platforms.

FROM rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
# SQLite is C; the image gets the other two.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential busybox-static ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# The dependencies alone first: a layer that is built again only when they change. Every package of the workspace has to
# be there, its sources need not.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY crates/model/Cargo.toml crates/model/
COPY crates/testkit/Cargo.toml crates/testkit/
COPY crates/warehouse/Cargo.toml crates/warehouse/
RUN for package in . crates/*; do mkdir "$package/src" && touch "$package/src/lib.rs"; done \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --profile dist --locked --features otlp-grpc --bin fulfillment-worker \
    && rm -rf src crates

COPY build.rs ./
COPY src src
COPY crates crates
# The orders of the demo are built in.
COPY tests/data/online-retail-2010-12-01.csv tests/data/
# The commit, which `--version` shows. There is no .git here to ask.
ARG REVISION=""
# Cargo tells what to build by the time of change, and the stand-ins above are younger than the sources.
RUN touch src/main.rs src/lib.rs crates/*/src/lib.rs \
    && FULFILLMENT_WORKER_REVISION="$REVISION" cargo build --profile dist --locked --features otlp-grpc --bin fulfillment-worker

# What stands around it: the C library, the certificate authorities for rediss:// and Postgres over TLS, and BusyBox for the health
# checks of existing compose files, `wget -qO- http://localhost:2112/health`.
COPY scripts/image-root.sh scripts/
RUN sh scripts/image-root.sh target/dist/fulfillment-worker rootfs \
    && mkdir -p home

FROM scratch
COPY --from=build /build/rootfs/ /
# Where `sqlite:` paths that are relative lead to: the embedded database, if --store names one.
COPY --from=build --chown=10001:10001 --chmod=0700 /build/home/ /var/lib/fulfillment-worker/
COPY --from=build /build/target/dist/fulfillment-worker /usr/local/bin/fulfillment-worker

ENV PATH=/usr/local/bin:/bin
USER 10001
WORKDIR /var/lib/fulfillment-worker
EXPOSE 2112
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["fulfillment-worker", "healthcheck"]
# `docker stop` waits 10 s by default, less than a drain may take: give it --time 30, or compose's stop_grace_period.
STOPSIGNAL SIGTERM
ENTRYPOINT ["fulfillment-worker"]
CMD ["run"]

# Last, as they change with every commit. A build that isn't told its time keeps the epoch's, as reproducible builds do.
ARG REVISION=""
ARG CREATED="1970-01-01T00:00:00Z"
LABEL org.opencontainers.image.title="fulfillment-worker" \
      org.opencontainers.image.description="An order fulfillment worker: Redis queue in, Postgres rows moved once, everything on /metrics" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
