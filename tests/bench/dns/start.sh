#!/bin/sh
# Starts stubgate's DNS server for a benchmark: answers the names in the file $NAMES (one a line) on $LISTEN (ip:port) by a
# compiled policy, refuses all others, and records every question in $RUN/dns.jsonl. Build it first:
#   cargo build --release -p stubgate-dns --example serve
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
exec "${CARGO_TARGET_DIR:-$root/target}/release/examples/serve"
