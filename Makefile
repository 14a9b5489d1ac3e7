# Two commands: `make demo` shows the main job on real traffic, `make test` passes all tests. Both set up what they need.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help demo test check charts lab image images-test images-run deb deb-test manual fuzz outside real-cluster toolchain clean

help:
	@echo "make demo    the main job, on loopback: nothing to configure; once built, no root and no network"
	@echo "make test    formatting, lints, licences, unit and component tests, and the lab (root or user namespaces)"
	@echo "             installs the programs that it drives (tests/setup); all of these install gcc where there is no cc"
	@echo "make check   only what is quick: formatting, lints, unit and component tests"
	@echo "make charts  only the Helm charts: rendered, validated, tried with the appliance (part of check)"
	@echo "make lab     only the lab: real clients and origins in network namespaces"
	@echo "make image   the images of the appliance (deploy/image) and of agents' containers (agent-image/README.md), as OCI archives"
	@echo "make images-test  builds both and runs them by runc, read-only and without a capability"
	@echo "make deb     the Debian package (docs/install/systemd.md)"
	@echo "make deb-test  builds it, and installs and purges it in a fresh Debian"
	@echo "make manual  man pages and completions, written anew from the command lines"
	@echo "make fuzz    every parser that an agent can reach, a minute each (SECONDS=60), two at a time"
	@echo "make outside tools that others wrote, against the appliance (tests/outside)"
	@echo "make real-cluster  the model of a cluster against a real kube-apiserver and etcd (minutes), and what the charts render"

demo: toolchain
	@cargo run --quiet --package stubgate-proxy --bin stubgate -- demo

test: check lab

# The programs first: checks that find theirs missing are left out.
check: toolchain
	./tests/setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check bans licenses sources; \
	 else echo "cargo-deny is not installed; its checks are left out (cargo install --locked cargo-deny@0.20.2)"; fi
	@actionlint=$$(PATH=$(abspath $(or $(CARGO_TARGET_DIR),target))/lab-cluster/bin:$$HOME/go/bin:$$PATH; command -v actionlint); \
	 if [ -n "$$actionlint" ]; then "$$actionlint"; \
	 else echo "actionlint is not installed; its checks of .github/workflows are left out"; fi
	cargo test --workspace --exclude stubgate-tests --locked
	PYTHON=$(abspath $(or $(CARGO_TARGET_DIR),target))/bridges-venv/bin/python ./agent-image/bridges/run-tests
	./tests/charts/run

charts: toolchain
	./tests/setup
	cargo build --locked --package stubgate-proxy --package stubgate-agent
	./tests/charts/run

# In one process at a time within a suite: each makes network namespaces. The suites are told of the built root, because a build
# that a test starts has cargo's variables, by which the C libraries are compiled again.
agent_rootfs := $(abspath $(or $(CARGO_TARGET_DIR),target))/agent-image/lab
lab: toolchain
	./tests/setup
	cargo build --locked --profile lab --package stubgate-proxy
	./agent-image/build --lab --rootfs $(agent_rootfs)
	STUBGATE_AGENT_ROOTFS=$(agent_rootfs) ./tests/run-lab

# The images, and the list of parts of each beside it.
images := $(or $(CARGO_TARGET_DIR),target)
image: toolchain
	./deploy/image/build --oci $(images)/image/stubgate.tar
	./agent-image/build --oci $(images)/agent-image/stubgate-agent.tar

# The lab's appliance is the program of the image.
static := $(abspath $(images))/x86_64-unknown-linux-musl/release/stubgate
images-test: toolchain
	./tests/setup --images
	$(MAKE) image
	$(MAKE) images-run

# Those that are built already, whoever did; takes root.
images-run: toolchain
	./tests/setup --images
	STUBGATE_BIN=$(static) STUBGATE_IMAGE=$(abspath $(images))/image/stubgate.tar \
	STUBGATE_AGENT_IMAGE=$(abspath $(images))/agent-image/stubgate-agent.tar \
	cargo test --locked --package stubgate-tests --test images -- --ignored --nocapture --test-threads 1

deb: toolchain
	./deploy/debian/build

# In a Debian that mmdebstrap makes; takes root.
deb-test: deb
	./deploy/debian/try "$$(ls -t $(images)/deb/*.deb | head -n 1)"

manual: toolchain
	cargo run --quiet --package stubgate-manual

SECONDS ?= 60
fuzz: toolchain
	./tests/fuzz/run $(if $(QUICK),--quick) $(SECONDS)

outside: toolchain
	./tests/outside/run

# Builds kube-apiserver and etcd once, some twenty minutes; STUBGATE_LAB_CLUSTER names another folder with them.
real-cluster: toolchain
	./tests/setup
	./tests/setup-go --cluster
	cargo build --locked --package stubgate-proxy --package stubgate-agent
	STUBGATE_REAL_CLUSTER=1 cargo test --locked --package stubgate-proxy --test kubernetes -- --nocapture real
	STUBGATE_REAL_CLUSTER=1 ./tests/charts/run test_cluster

# aws-lc-rs compiles C.
toolchain:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it with rustup, 1.89 or newer" >&2; exit 1; }
	@command -v cc >/dev/null || { \
	  echo "installing a C compiler"; \
	  as_root=; [ "$$(id -u)" -eq 0 ] || as_root=sudo; \
	  $$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y --no-install-recommends gcc libc6-dev; }

clean:
	cargo clean
