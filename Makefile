# What people and CI run. `make` alone lists it.
CARGO ?= cargo
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help build fmt lint unit crds reference parts test docs audit advisories sbom soak crash-points demo outage bench bench-replicas clean
# Cargo uses every core by itself, and the last thing printed has to be its summary.
.NOTPARALLEL:

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

build: ## Every binary, debug build
	$(CARGO) build --workspace --bins --locked

fmt: ## Formats the code
	$(CARGO) fmt --all

lint: ## Format, clippy and rustdoc; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --locked --no-default-features --bin scim-operator -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --quiet

unit: ## The fast tests: domain, directory, protocol, layers
	$(CARGO) test --locked --lib --test layering

crds: ## Writes crds/ and the chart's copies from the types
	$(CARGO) run --quiet --locked --bin crdgen crds
	rm -f charts/scim-operator/files/crds/*.yaml
	cp crds/*.yaml charts/scim-operator/files/crds/

reference: ## Writes docs/reference/ from the types
	$(CARGO) run --quiet --locked --bin refgen docs/reference

parts: ## Builds or installs the control plane, Helm, Prometheus, the SCIM servers, krew, the judge of health, the definitions of others and the tools of a release into the user's cache
	tests/controlplane/build
	tests/scim-servers/setup
	tests/prometheus/build
	tests/gitops/build
	tests/gitops/definitions
	tests/krew/build
	release/tools cargo-deny cargo-cyclonedx

test: lint parts audit build docs ## Everything: lint, audit, unit, layers, CRDs, chart, the book, stories on a real API server
	$(CARGO) test --workspace --locked --no-fail-fast

audit: ## Licences, bans and sources of what is depended on, by deny.toml; no network but for what Cargo lacks
	tools="$$(release/tools cargo-deny)"; PATH="$$tools:$$PATH" $(CARGO) deny --locked check --hide-inclusion-graph licenses bans sources

advisories: ## Known vulnerabilities of what is depended on; fetches the RustSec database
	tools="$$(release/tools cargo-deny)"; PATH="$$tools:$$PATH" $(CARGO) deny --locked check --hide-inclusion-graph advisories

sbom: ## What the operator's binary is linked from, as CycloneDX in release/out
	release/sbom

docs: ## Builds the book into target/book, by an mdBook in the user's cache, and follows every link of it
	"$$(CARGO='$(CARGO)' tests/docs/mdbook)" build
	python3 tests/docs/links.py target/book

# Where the explorer and the fuzzing begin, and for how long each part goes on.
SOAK_SECONDS ?= 120
SOAK_CASES ?= 5000
SOAK_SEED ?= $(shell date +%s)

soak: ## Ten minutes of faults in pairs, random walks and random input; SOAK_SECONDS, SOAK_CASES, SOAK_SEED
	@echo "SOAK_SEED=$(SOAK_SEED)"
	EXPLORER_SECONDS=$(SOAK_SECONDS) EXPLORER_FIRST_SEED=$(SOAK_SEED) $(CARGO) test --locked --profile soak --test explorer -- --nocapture --test-threads 1
	PROPTEST_CASES=$(SOAK_CASES) $(CARGO) test --locked --profile soak --test fuzz

crash-points: build ## Kills the operator at each of its requests; CRASH_POINTS=writes, ONLY=groups:17:after-commit, SHARD=1/4
	tests/controlplane/build
	$(CARGO) run --quiet --locked -p scim-operator-harness --bin crash_points

demo: build ## The main job, narrated: control plane, chart, operator, simulator, examples
	tests/controlplane/build
	$(CARGO) run --quiet --locked -p scim-operator-harness --bin demo

outage: build ## Ten minutes of outage with 1,000 users pending: requests during it, recovery after it
	tests/controlplane/build
	$(CARGO) run --quiet --locked -p scim-operator-harness --bin outage

bench: ## Floors, the operator beside them, and every target; release build. BENCH_USERS, BENCH_MANY, BENCH_ONLY
	tests/controlplane/build
	$(CARGO) build --release --workspace --bins --locked
	target/release/bench

bench-replicas: ## Ten connections shared by 1, 2 and 3 replicas, and a replica that is killed; release build
	tests/controlplane/build
	$(CARGO) build --release --workspace --bins --locked
	target/release/bench_replicas

clean: ## Removes what was built here; the cache of parts stays
	$(CARGO) clean
