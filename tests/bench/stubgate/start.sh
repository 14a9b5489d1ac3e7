#!/bin/bash
# Starts the appliance for the side-by-side benchmark (see ../README.md): TLS at 127.0.0.10:8443 with the benchmark's CA, and
# `Bearer stub-0001` swapped for `Bearer real-0001`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${STUBGATE_BIN:-$here/../../../target/release/stubgate}
mkdir -p "$RUN/state" "$RUN/policy" "$RUN/secrets"
cp "$PKI/mitm-ca.key" "$RUN/ca.key" && chmod 600 "$RUN/ca.key"
printf real-0001 > "$RUN/secrets/token"
cat > "$RUN/stubgate.yaml" <<YAML
listen:
  https: ["127.0.0.10:8443"]
  admin: ["127.0.0.10:9090"]
advertise: ["127.0.0.10"]
policy: ["$RUN/policy/policy.yaml"]
state_dir: "$RUN/state"
ca: { certificate_file: "$PKI/mitm-ca.pem", key_file: "$RUN/ca.key" }
limits: { connections_per_agent: 20000, connections: 20000, upstream_idle_per_authority: 10000 }
timeouts: { idle_seconds: 3600, upstream_idle_seconds: 3600 }
upstream:
  ca_files: ["$PKI/origin-ca.pem"]
  nameservers: ["127.0.0.1:53"]
  connect_to:
    "origin.test:443": "127.0.0.20:443"
    "stream.test:443": "127.0.0.21:443"
audit:
  files: [{ path: "$RUN/audit.jsonl" }]
YAML
cat > "$RUN/policy/policy.yaml" <<YAML
version: 1
agents:
  bench: { sources: ["127.0.0.0/8"] }
credentials:
  token: { stub: stub-0001, slots: [bearer], hosts: [origin.test, stream.test, "*.mint.test"], source: { file: "$RUN/secrets/token" } }
rules:
  - { name: origin, agents: [bench], hosts: [origin.test, stream.test, "*.mint.test"], methods: [any], credentials: [token] }
YAML
exec "$bin" run --config "$RUN/stubgate.yaml"
