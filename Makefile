# `make` alone lists what there is to do.

.DEFAULT_GOAL := help
.PHONY: help demo install release run stack test test-more test-slow test-all lint fmt bench bench-full bench-record storm outage failover chaos chaos-matrix mutants model properties fuzz strange-requests pressure attack compat screenshots book up manifests clean

# Options for `make demo` and `make run`, for example: make demo ARGS="--orders 200"
ARGS ?=

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Where cargo puts the binary, as a shell has it.
BINARY := $${CARGO_TARGET_DIR:-target}/release/fulfillment-worker

demo: ## Watch real orders flow until Ctrl-C, with nothing installed but Rust; ARGS="--orders 200" ends by itself
	@[ -x "$(BINARY)" ] || echo "Building first: about 4 minutes on two cores. It is built once; later starts take no time."
	@cargo build --release --locked --bin fulfillment-worker
	@"$(BINARY)" demo $(ARGS)

# Where `make install` puts things; DESTDIR goes before it, for packages.
PREFIX ?= /usr/local

install: ## Install the binary, its shell completions and manual pages below PREFIX=/usr/local
	@if command -v cargo > /dev/null; then cargo build --release --locked --bin fulfillment-worker; \
	  elif [ ! -x "$(BINARY)" ]; then echo "cargo is not in the PATH (sudo has one of its own): run \`make demo\` or" \
	    "\`cargo build --release --locked\` first, or install without sudo: make install PREFIX=\$$HOME/.local" >&2; exit 1; fi
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/bash-completion/completions" \
	  "$(DESTDIR)$(PREFIX)/share/zsh/site-functions" "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d"
	install -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/fulfillment-worker"
	"$(BINARY)" completions bash > "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/fulfillment-worker"
	"$(BINARY)" completions zsh > "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_fulfillment-worker"
	"$(BINARY)" completions fish > "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/fulfillment-worker.fish"
	"$(BINARY)" man "$(DESTDIR)$(PREFIX)/share/man/man1"

release: ## Make dist/: a tarball, a Debian package with a systemd unit, an SBOM (CycloneDX), checksums (docs/SYSTEMD.md)
	scripts/release.sh

run: ## Run the service, as the environment and ARGS configure it
	cargo build --release --locked --bin fulfillment-worker
	target="$${CARGO_TARGET_DIR:-target}"; "$$target/release/fulfillment-worker" run $(ARGS)

stack: ## The worker with Redis, Postgres, Prometheus and Alertmanager, without containers; ARGS go to the worker (docs/OBSERVABILITY.md)
	scripts/install-packages.sh
	cargo build --release --locked --bin fulfillment-worker
	@scripts/stack.sh $(ARGS)

# With failpoints and mutants, so that everything is compiled once. Another set of features would compile it again.
CARGO_TEST := cargo test --locked --workspace --features faults
# Tests wait most of the time: for leases, backoffs and servers.
THREADS ?= 12

test: ## Install what the tests need (apt, pip), start real servers, run every test; ONLY=end_to_end::shutdown runs some
	scripts/install-packages.sh
	scripts/install-python.sh
	RUST_TEST_THREADS=$(THREADS) scripts/with-servers.sh $(CARGO_TEST) $(ONLY)

test-all: test test-more test-slow ## The tests, and what takes longer: the release binary, upgrades from the one before, the image's build, servers of other versions

test-more:
	scripts/check-producers.sh
	scripts/check-crates.sh --build
	scripts/check-release.sh
	scripts/check-upgrade.sh

# Half an hour more, and what it looks at seldom changes.
test-slow:
	scripts/check-image.sh
	scripts/compat.sh

lint: ## Check format, clippy with each feature, dependencies, imports, links, metrics, alerts and shell scripts
	scripts/install-packages.sh
	scripts/lint.sh

up: ## The worker, Redis and Postgres in containers, with random passwords in deploy/secrets (docs/DOCKER.md)
	scripts/compose-secrets.sh
	docker compose --file deploy/compose.yaml up --build

manifests: ## Write deploy/kubernetes, and the chart's copies of alerts and rules, anew (docs/KUBERNETES.md)
	scripts/install-packages.sh
	scripts/install-python.sh
	scripts/manifests.sh

fmt: ## Format the code
	cargo fmt --all

# With servers of its own, the Python packages that speak to them, what peers are built with, and the release binary.
MEASURE = scripts/install-packages.sh && scripts/install-python.sh && bench/peers/install-packages.sh && \
  cargo build --release --locked --bin fulfillment-worker && \
  scripts/with-servers.sh --durable "$${CARGO_TARGET_DIR:-target}/python/bin/python" bench/bench.py measure

bench: ## Measure the speed beside the database's own and other queues, in 5 minutes; fails if it fell (docs/BENCHMARKS.md)
	@$(MEASURE) short "$(BINARY)"

bench-full: ## The same for longer, hard conditions, and what metrics and traces cost: about 45 minutes (docs/BENCHMARKS.md)
	@$(MEASURE) full "$(BINARY)"
	cargo bench --locked --bench observe

bench-record: ## `make bench-full`, and its figures into docs/BENCHMARKS.md, docs/charts and the baseline that `make bench` keeps to
	@$(MEASURE) full "$(BINARY)" --record
	cargo bench --locked --bench observe

attack: ## Slow and idle clients by the thousand against the release binary, on loopback (docs/BENCHMARKS.md)
	cargo build --release --locked --bin fulfillment-worker
	scripts/attack.py "$(BINARY)"

storm: ## 20,000 orders, 30 % of the answers lost, a worker killed each second (docs/BENCHMARKS.md)
	scripts/install-packages.sh
	STORM_ORDERS=20000 scripts/with-servers.sh cargo test --locked --release --test integration warehouse_faults::storm -- --nocapture

outage: ## A warehouse that is out of order for a minute (docs/BENCHMARKS.md)
	scripts/install-packages.sh
	OUTAGE_SECONDS=60 scripts/with-servers.sh cargo test --locked --release --test integration warehouse_faults::outage -- --nocapture --test-threads 1

failover: ## Postgres is killed, and a standby promoted that has not received everything (docs/FAILOVER.md)
	FAILOVER_ORDERS=3000 scripts/with-servers.sh cargo test --locked --release --test integration failover::lossy -- --nocapture

# What `make chaos`, `make properties` and `make fuzz` draw from, and how long the first brings faults about.
SEED ?= 1
MINUTES ?= 5
# Orders a second.
RATE ?= 150

chaos: ## Orders while 37 kinds of things go wrong, among workers of this release and the one before: SEED=1 MINUTES=5 RATE=150 JSON=figures.json (docs/RELIABILITY.md)
	scripts/install-packages.sh
	previous=$$(scripts/previous-release.sh) && PREVIOUS_RELEASE=$$previous \
	  CHAOS_SEED=$(SEED) CHAOS_SECONDS=$$(($(MINUTES) * 60)) CHAOS_RATE=$(RATE) $(if $(JSON),CHAOS_JSON=$(abspath $(JSON))) \
	  cargo test --locked --release --test integration chaos:: -- --nocapture

chaos-matrix: ## A worker killed, stopped, failed or held up beside every step, in 540 cases: JSON=matrix.json (docs/RELIABILITY.md)
	scripts/install-packages.sh
	MATRIX=all MATRIX_LANES=10 $(if $(JSON),MATRIX_JSON=$(abspath $(JSON))) \
	  $(CARGO_TEST) --test integration matrix:: -- --nocapture

# Where they say who noticed them.
MUTANTS := $(abspath $(or $(CARGO_TARGET_DIR),target))/mutants.txt
mutants: ## Bugs on purpose, each with a scene that it doesn't survive (docs/RELIABILITY.md)
	scripts/install-packages.sh
	@rm -f "$(MUTANTS)"
	@RUST_TEST_THREADS=5 MUTANTS_TABLE="$(MUTANTS)" $(CARGO_TEST) --test integration mutants::; code=$$?; \
	  if [ -f "$(MUTANTS)" ]; then sort "$(MUTANTS)"; fi; exit $$code

model: ## Search the model of the protocol wider than the tests do (docs/MODEL.md)
	MODEL_MESSAGES=2 MODEL_FAULTS=4 cargo test --locked --release -p fulfillment-model --test search -- --nocapture --test-threads 1

# Sequences for each backend; SEED draws them.
CASES ?= 10000
properties: ## Random sequences of steps at both backends and in a model: CASES=10000 SEED=1 (docs/RELIABILITY.md)
	scripts/install-packages.sh
	PROPERTY_CASES=$(CASES) PROPERTY_SEED=$(SEED) scripts/with-servers.sh \
	  $(CARGO_TEST) --test integration conformance::state_machine -- --nocapture

# Of all targets together.
EXECUTIONS ?= 10000000
fuzz: ## Search for bytes that break a reader, guided by coverage: EXECUTIONS=10000000 SEED=1 (docs/RELIABILITY.md)
	scripts/fuzz.sh $(EXECUTIONS) $(SEED)

# What `make strange-requests` has answered.
REQUESTS ?= 1000000
strange-requests: ## Requests that nobody sends, at the listener: REQUESTS=1000000 SEED=1 (docs/SECURITY.md)
	STRANGE_REQUESTS=$(REQUESTS) STRANGE_SEED=$(SEED) \
	  cargo test --locked --release --test integration strange_requests:: -- --nocapture

pressure: ## Slow servers and floods of poison at full size, with tables (docs/RELIABILITY.md)
	scripts/install-packages.sh
	PRESSURE_ORDERS=100000 PRESSURE_SECONDS=20 PRESSURE_POISON=20000 \
	  scripts/with-servers.sh $(CARGO_TEST) --test integration pressure:: -- --nocapture --test-threads 1

compat: ## Conformance suite and 5,000 orders on every server of the matrix, with a table (docs/COMPATIBILITY.md)
	scripts/compat.sh

screenshots: ## Take the pictures of the page for the README anew: docs/images
	scripts/install-packages.sh pngquant
	scripts/install-python.sh
	@mkdir -p docs/images
	SCREENSHOTS="$(abspath docs/images)" scripts/with-servers.sh $(CARGO_TEST) --test integration page::screenshots

book: ## Make a book of docs/, with a search, and look whether it is whole: no dead link (once: mdBook is built, some minutes)
	scripts/book.sh

clean: ## Remove what was built
	cargo clean
