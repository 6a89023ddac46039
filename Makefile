# `make` alone lists what there is to do.

.DEFAULT_GOAL := help
.PHONY: help demo run test lint fmt bench clean

# Options for `make demo`, `make run` and `make bench`, for example: make demo ARGS="--orders 200"
ARGS ?=

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Watch real orders flow, with nothing installed but Rust; ARGS="--orders 200" ends by itself
	cargo build --release --locked
	target="$${CARGO_TARGET_DIR:-target}"; "$$target/release/fulfillment-worker" demo $(ARGS)

run: ## Run the service, as the environment and ARGS configure it
	cargo build --release --locked
	target="$${CARGO_TARGET_DIR:-target}"; "$$target/release/fulfillment-worker" run $(ARGS)

test: ## Install what the tests need (apt, pip), start real servers, run every test
	scripts/install-packages.sh
	scripts/install-python.sh
	scripts/with-servers.sh cargo test --locked

lint: ## Check format, clippy, dependencies, metrics and shell scripts
	scripts/lint.sh

fmt: ## Format the code
	cargo fmt

bench: ## Measure the speed against real servers (docs/BENCHMARKS.md)
	scripts/install-packages.sh
	scripts/with-servers.sh cargo bench --locked --bench throughput $(if $(ARGS),-- $(ARGS))

clean: ## Remove what was built
	cargo clean
