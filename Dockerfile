# syntax=docker/dockerfile:1
# Two stages: the build, and an image that holds the binary and nothing to build with.

FROM rust:1.95.0-slim-bookworm AS build
# jemalloc and SQLite are C.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# The dependencies alone first: a layer that is built again only when they change. Every package of the workspace has to
# be there, its sources need not.
COPY Cargo.toml Cargo.lock ./
COPY crates/model/Cargo.toml crates/model/
COPY crates/warehouse/Cargo.toml crates/warehouse/
RUN for package in . crates/*; do mkdir "$package/src" && touch "$package/src/lib.rs"; done \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked --bin fulfillment-worker \
    && rm -rf src crates

COPY build.rs ./
COPY src src
COPY crates crates
# The orders of the demo are built in.
COPY tests/data/online-retail-2010-12-01.csv tests/data/
# Cargo tells what to build by the time of change, and the stand-ins above are younger than the sources.
RUN touch src/main.rs src/lib.rs crates/*/src/lib.rs && cargo build --release --locked --bin fulfillment-worker

FROM debian:bookworm-slim
# The system's certificates, for rediss:// and Postgres over TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/fulfillment-worker fulfillment
COPY --from=build /build/target/release/fulfillment-worker /usr/local/bin/fulfillment-worker

USER 10001
# Where `sqlite:` paths that are relative lead to: the embedded database, if --store names one.
WORKDIR /var/lib/fulfillment-worker
EXPOSE 2112
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["fulfillment-worker", "healthcheck"]
# `docker stop` waits 10 s by default, less than a drain may take: give it --time 30, or compose's stop_grace_period.
STOPSIGNAL SIGTERM
ENTRYPOINT ["fulfillment-worker"]
CMD ["run"]
