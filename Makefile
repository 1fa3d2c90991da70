# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo run observe test test-slow failover test-postgres model chaos replay dialogues bench overload growth hostile queries lint audit image-root first-day

# make would expand a `$` in these paths, also in a value from the command line. $(value) prevents that.
ifdef TEPPAN_HOME
override TEPPAN_HOME := $(value TEPPAN_HOME)
export TEPPAN_HOME
endif
ifdef DIALOGUES
override DIALOGUES := $(value DIALOGUES)
export DIALOGUES
endif
# PostgreSQL's variables refer to another server: do not pass them to the private servers.
unexport $(filter PG%,$(.VARIABLES))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  DIALOGUES=path.jsonl and OPTIONS='...' go to the tools: make replay DIALOGUES=... OPTIONS='--concurrency 16'"

setup: ## Install missing tools: PostgreSQL, grpcurl and nats-server
	@deploy/local/setup.sh

demo: setup ## Play a chat that ends in a booking, and show each step
	cargo build --workspace --bins
	@target/debug/demo $(OPTIONS)

run: setup ## Start both services and run them until Ctrl-C
	cargo build --workspace --bins
	@target/debug/run $(OPTIONS)

observe: setup ## Watch both services under load with Prometheus and Alertmanager
	@deploy/local/setup.sh prometheus
	cargo build --workspace --bins
	@target/debug/observe $(OPTIONS)

test: setup ## Run every test
	@deploy/local/setup.sh tzdata prometheus grpcio pgbouncer
	cargo build --workspace --bins
	cargo test --workspace

test-slow: setup ## Run the tests that take minutes, on a machine that does nothing else
	@deploy/local/setup.sh cluster
	cargo build --workspace --bins
	cargo test --workspace -- --ignored --nocapture
	@$(MAKE) overload

failover: setup ## Kill or suspend the primary of a PostgreSQL cluster ten times under load
	@deploy/local/setup.sh cluster
	cargo build --workspace --bins
	cargo test -p teppan-tests --test slow failover -- --ignored --nocapture

test-postgres: setup ## Test on each version of PostgreSQL: VERSIONS='15 18' NEWEST=1
	@deploy/local/postgres-versions.sh $(VERSIONS)

model: setup ## Compare booking-service with a model of the contract: OPERATIONS=100000 SEED=42
	cargo build --bin booking-service --bin model
	@target/debug/model --operations $(or $(OPERATIONS),10000) $(if $(SEED),--seed $(SEED)) $(OPTIONS)

chaos: setup ## Break the services under load, then check every promise: MINUTES=30 SEED=42
	cargo build --release --bin booking-service --bin conversation-service --bin chaos
	@target/release/chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(OPTIONS)

replay: dialogues setup ## Play a file of dialogues through both services: DIALOGUES=path.jsonl
	cargo build --release --bin booking-service --bin conversation-service --bin replay
	@target/release/replay $${DIALOGUES:+"$$DIALOGUES"} $(OPTIONS)

# Checks the file of dialogues before set-up and build.
dialogues:
	@$(if $(DIALOGUES)$(OPTIONS),,$(error no dialogues are named: make replay DIALOGUES=path.jsonl))true
	@test -z "$$DIALOGUES" || test -r "$$DIALOGUES" || { \
		echo "make replay: $$DIALOGUES cannot be read; DIALOGUES must name a file of dialogues" >&2; exit 1; }

bench: setup ## Measure calls beside pgbench and a plain service
	cargo build --release --bin booking-service --bin conversation-service --bin plain --bin bench
	@target/release/bench $(OPTIONS)

overload: setup ## Offer the services several times their peak load, and measure what they serve in time
	cargo build --release --bin booking-service --bin conversation-service --bin overload
	@target/release/overload $(OPTIONS)

growth: setup ## Time the background work on small and large tables
	cargo build --release --bin growth
	@target/release/growth $(OPTIONS)

hostile: setup ## Attack the services, and measure what a well-behaved client is served
	cargo build --release --bin booking-service --bin conversation-service --bin hostile
	@target/release/hostile $(OPTIONS)

queries: setup ## Check the SQL against the migrations and write sqlx's offline data
	@deploy/local/queries.sh

lint: ## Format, lint, and check the contract and the offline data
	@deploy/local/lint.sh

audit: ## Check the dependencies for known vulnerabilities, with a list from the network
	@deploy/local/setup.sh deny
	"$${TEPPAN_HOME:-.teppan}/tools/bin/cargo-deny" check --hide-inclusion-graph advisories

image-root: setup ## Build the contents of the images, run them without Docker, and measure them
	deploy/docker/build.sh compile target/image
	cargo build --workspace --bins
	TEPPAN_IMAGE_BINARIES="$(CURDIR)/target/image/release" cargo test --workspace --test system image_root:: -- --nocapture

first-day: setup ## Run the commands of the first day in docs/operations.md
	cargo build --workspace --bins
	@deploy/local/first-day.sh
