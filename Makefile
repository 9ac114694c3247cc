# What people and CI run. `make` alone lists it.
CARGO ?= cargo
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

.PHONY: help build fmt lint unit crds parts test demo clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## The operator, debug build
	$(CARGO) build --locked --bins

fmt: ## Formats the code
	$(CARGO) fmt --all

lint: ## Format, clippy and rustdoc; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --quiet

unit: ## The fast tests: domain, directory, protocol
	$(CARGO) test --locked --lib

crds: ## Writes crds/ and the chart's copies from the types
	$(CARGO) run --quiet --locked --bin crdgen crds
	cp crds/*.yaml charts/scim-operator/files/crds/

parts: ## Builds or installs the control plane, Helm and the SCIM servers into the user's cache
	tests/controlplane/build
	tests/scim-servers/setup

test: lint parts ## Everything: lint, unit, layers, CRDs, chart, stories on a real API server
	$(CARGO) build --workspace --bins --locked
	$(CARGO) test --workspace --locked --no-fail-fast

demo: parts ## The main job, narrated: control plane, chart, operator, simulator, examples
	$(CARGO) build --workspace --bins --locked
	$(CARGO) run --quiet --locked -p scim-operator-harness --bin demo

clean: ## Removes what was built here; the cache of parts stays
	$(CARGO) clean
