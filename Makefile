# What people and CI run. `make` alone lists it.
CARGO ?= cargo
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help build fmt lint unit crds parts test crash-points demo clean
# Cargo uses every core by itself, and the last thing printed has to be its summary.
.NOTPARALLEL:

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## Every binary, debug build
	$(CARGO) build --workspace --bins --locked

fmt: ## Formats the code
	$(CARGO) fmt --all

lint: ## Format, clippy and rustdoc; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --quiet

unit: ## The fast tests: domain, directory, protocol, layers
	$(CARGO) test --locked --lib --test layering

crds: ## Writes crds/ and the chart's copies from the types
	$(CARGO) run --quiet --locked --bin crdgen crds
	rm -f charts/scim-operator/files/crds/*.yaml
	cp crds/*.yaml charts/scim-operator/files/crds/

parts: ## Builds or installs the control plane, Helm and the SCIM servers into the user's cache
	tests/controlplane/build
	tests/scim-servers/setup

test: lint parts build ## Everything: lint, unit, layers, CRDs, chart, stories on a real API server
	$(CARGO) test --workspace --locked --no-fail-fast

crash-points: build ## Kills the operator at each of its requests; CRASH_POINTS=writes, ONLY=groups:17:after-commit, SHARD=1/4
	tests/controlplane/build
	$(CARGO) run --quiet --locked -p scim-operator-harness --bin crash_points

demo: build ## The main job, narrated: control plane, chart, operator, simulator, examples
	tests/controlplane/build
	$(CARGO) run --quiet --locked -p scim-operator-harness --bin demo

clean: ## Removes what was built here; the cache of parts stays
	$(CARGO) clean
