#!/usr/bin/env bash
# usage: scripts/bench.sh BIN_DIR [WORKLOAD...]
# Five nodes of their own, loaded and measured with YCSB's core workloads (default: a b c), and taken down again.
# KV_BENCH_SECONDS (10), KV_BENCH_RECORDS (10000) and KV_BENCH_CLIENTS (50) say how much.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${1:?"usage: scripts/bench.sh BIN_DIR [WORKLOAD...]"}
shift
[ $# -gt 0 ] || set -- a b c
records=${KV_BENCH_RECORDS:-10000}

[ -x "$bin/kvbench" ] || { echo "bench.sh: $bin/kvbench is not built" >&2; exit 1; }

dir=$(mktemp -d)
base_port=8400
trap 'scripts/cluster.sh clean --dir "$dir" >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT

scripts/cluster.sh up --dir "$dir" --base-port "$base_port" >/dev/null
KV_NODES=$(seq -s, -f "127.0.0.1:%g" $((base_port + 1)) $((base_port + 5)))
export KV_NODES

load=--load
for workload; do
    echo "== workload $workload"
    "$bin/kvbench" --workload "$workload" --records "$records" --clients "${KV_BENCH_CLIENTS:-50}" \
        --duration "${KV_BENCH_SECONDS:-10}" $load
    load=
done
