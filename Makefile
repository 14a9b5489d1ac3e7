# Two commands: `make demo` shows the main job on real traffic, `make test` passes all tests. Both set up what they need.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help demo test check charts lab image fuzz outside real-cluster toolchain clean

help:
	@echo "make demo    the main job, on loopback: nothing to configure; once built, no root and no network"
	@echo "make test    formatting, lints, licences, unit and component tests, and the lab (root or user namespaces)"
	@echo "             installs the programs that it drives (tests/setup); all of these install gcc where there is no cc"
	@echo "make check   only what is quick: formatting, lints, unit and component tests"
	@echo "make charts  only the Helm charts: rendered, validated, tried with the appliance (part of check)"
	@echo "make lab     only the lab: real clients and origins in network namespaces"
	@echo "make image   the image of agents' containers, as an OCI archive (agent-image/README.md)"
	@echo "make fuzz    every parser that an agent can reach, a minute each (SECONDS=60), two at a time"
	@echo "make outside tools that others wrote, against the appliance (tests/outside)"
	@echo "make real-cluster  the model of a cluster against a real kube-apiserver and etcd (minutes)"

demo: toolchain
	@cargo run --quiet --package stubgate-proxy --bin stubgate -- demo

test: check lab

check: toolchain
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check bans licenses sources; \
	 else echo "cargo-deny is not installed; its checks are left out (cargo install --locked cargo-deny)"; fi
	./tests/setup
	cargo test --workspace --exclude stubgate-tests --locked
	PYTHON=$(abspath $(or $(CARGO_TARGET_DIR),target))/bridges-venv/bin/python ./agent-image/bridges/run-tests
	./tests/charts/run

charts: toolchain
	./tests/setup
	cargo build --locked --package stubgate-proxy --package stubgate-agent
	./tests/charts/run

# In one process at a time within a suite: each makes network namespaces.
lab: toolchain
	./tests/setup
	cargo build --locked --profile lab --package stubgate-proxy
	./agent-image/build --lab --rootfs $(or $(CARGO_TARGET_DIR),target)/agent-image/lab
	./tests/run-lab

# The image of agents' containers, and its list of parts beside it.
image: toolchain
	./agent-image/build --oci $(or $(CARGO_TARGET_DIR),target)/agent-image/stubgate-agent.tar

SECONDS ?= 60
fuzz: toolchain
	./tests/fuzz/run $(if $(QUICK),--quick) $(SECONDS)

outside: toolchain
	./tests/outside/run

# Takes kube-apiserver and etcd in target/lab-cluster/bin, or in the folder that STUBGATE_LAB_CLUSTER names.
real-cluster: toolchain
	STUBGATE_REAL_CLUSTER=1 cargo test --locked --package stubgate-proxy --test kubernetes -- --nocapture real

# aws-lc-rs compiles C.
toolchain:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup, 1.89 or newer" >&2; exit 1; }
	@command -v cc >/dev/null || { \
	  echo "installing a C compiler"; \
	  as_root=; [ "$$(id -u)" -eq 0 ] || as_root=sudo; \
	  $$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y --no-install-recommends gcc libc6-dev; }

clean:
	cargo clean
