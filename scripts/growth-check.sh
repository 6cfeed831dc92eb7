#!/usr/bin/env bash
# What the simulator says of throughput, beside what real nodes do. --help says how.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/growth-check.sh BIN_DIR [OPTIONS]

Starts three and then five nodes, has 50 clients put and get as fast as they can (one and 16 operations of each in
flight), and takes down what that costs: processor time of the nodes' loops and of their storage threads, messages,
reads and writes of sockets, rows written and read, batches. From all of it together follow the service times that
`kvsim growth` wants. With these, and as many cores as here, it simulates the same; printed are both throughputs and
their ratio. The throughput itself is never fitted.

  --topology NAME ring, central or directory (ring)
  --nodes N,...   sizes (3,5)          --seconds S    of each measurement (5)
  --clients C     (50)                 --records N    keys (10000)
  --limit PERCENT leave with 1 when a ratio is further from 1 (30)
  --json          print JSON, an object a line
  --dir DIR       where the nodes keep their data (build/growth)

Needs a quiet machine: "cores used" says how many the nodes and kvbench had; where it is far below the machine's
while the simulated nodes are busy, others took them.
TEXT
}

TOPOLOGY=ring SIZES=3,5 SECONDS_EACH=5 CLIENTS=50 RECORDS=10000 LIMIT=30 JSON='' DIR=build/growth BIN=''
declare -A VALUES=([--topology]=TOPOLOGY [--nodes]=SIZES [--seconds]=SECONDS_EACH [--clients]=CLIENTS [--records]=RECORDS
    [--limit]=LIMIT [--dir]=DIR)
declare -A FLAGS=([--json]=JSON)
. scripts/bench-lib.sh
take_options "$@"
need_nodes kvd kvcli kvbench kvsim

# Workload and pipeline.
MEASUREMENTS=("put 16" "get 16" "put 1" "get 1")

# thread_us: processor time of all nodes' loops so far, and of their other threads.
thread_us() {
    local pid task
    for pid in $NODE_PIDS; do
        for task in /proc/"$pid"/task/*; do
            echo "$((${task##*/} == pid)) $(sed 's/.*) //' "$task/stat")"
        done
    done | awk -v hz="$(getconf CLK_TCK)" '{ us[$1] += ($13 + $14) * 1e6 / hz } END { printf "%.0f %.0f\n", us[1], us[0] }'
}

# counters: messages, reads and writes of sockets, rows written, batches, rows read of all nodes so far.
counters() {
    stats_of_all | awk -F'\t' '
        { v[$1] += $2 }
        END {
            datagrams = v["udp_packets_in"] + v["udp_packets_out"]
            print v["frames_in"] + v["frames_out"] + datagrams, v["socket_reads"] + v["socket_writes"] + datagrams, \
                v["store_rows_written"], v["store_batches"], v["store_cached_reads"] + v["store_cold_reads"]
        }'
}

# take NODES WORKLOAD PIPELINE: a line in $RESULTS/costs: nodes workload pipeline ops/s client-us/op cores-used
# loop-us storage-us messages sockets rows batches reads.
take() {
    local before after out
    before="$(thread_us) $(counters)"
    out=$("$BIN/kvbench" --json --quiet --workload "$2" --clients "$CLIENTS" --pipeline "$3" --records "$RECORDS" \
        --distribution uniform --duration "$SECONDS_EACH")
    after="$(thread_us) $(counters)"
    awk -v head="$1 $2 $3" -v per_s="$(number_of "$out" ops_per_s)" -v ops="$(number_of "$out" ops)" \
        -v client="$(number_of "$out" client_cpu_us_per_op)" -v s="$(number_of "$out" seconds)" '
        NR == 1 { for (i = 1; i <= NF; i++) was[i] = $i }
        NR == 2 {
            for (i = 1; i <= NF; i++) v[i] = $i - was[i]
            print head, per_s, client, (v[1] + v[2] + client * ops) / s / 1e6, v[1], v[2], v[3], v[4], v[5], v[6], v[7]
        }' <<<"$before
$after" >>"$RESULTS/costs"
}

# sync_us NODES: of one of so many disks that sync at the same time, as these share one.
sync_us() {
    local begin i
    begin=$(date +%s%N)
    for ((i = 1; i <= $1; i++)); do
        dd if=/dev/zero of="$DIR/.sync$i" bs=4096 count=$SYNCS oflag=dsync status=none &
    done
    wait
    echo $((($(date +%s%N) - begin) / 1000 / SYNCS))
    rm -f "$DIR"/.sync*
}
SYNCS=200

# fit FILE Y X...: columns of the costs. Prints a factor for each X, none negative, so that the sum is nearest to Y,
# relatively: least squares, without those that would be negative.
fit() {
    awk -v columns="${*:2}" '
        # Solves the normal equations of the columns that are used (Gauss), into a[].
        function solve(  i, j, k, f, m, r) {
            for (i = 1; i <= n; i++) {
                r[i] = used[i] ? sum[i] : 0
                for (j = 1; j <= n; j++) m[i, j] = used[i] && used[j] ? product[i, j] : i == j
            }
            for (i = 1; i <= n; i++)
                for (j = 1; j <= n; j++) {
                    if (j == i || !m[i, i]) continue
                    f = m[j, i] / m[i, i]
                    for (k = 1; k <= n; k++) m[j, k] -= f * m[i, k]
                    r[j] -= f * r[i]
                }
            for (i = 1; i <= n; i++) a[i] = m[i, i] ? r[i] / m[i, i] : 0
        }
        BEGIN { n = split(columns, at, " ") - 1; for (i = 1; i <= n; i++) used[i] = 1 }
        {
            for (i = 1; i <= n; i++) {
                x = $at[i + 1] / $at[1]
                sum[i] += x
                for (j = 1; j <= n; j++) product[i, j] += x * $at[j + 1] / $at[1]
            }
        }
        END {
            do {
                solve()
                worst = 0
                for (i = 1; i <= n; i++) if (a[i] < 0 && (!worst || a[i] < a[worst])) worst = i
                if (worst) used[worst] = 0
            } while (worst)
            for (i = 1; i <= n; i++) printf "%.2f%s", a[i], i < n ? " " : "\n"
        }' "$1"
}

# client_us WORKLOAD PIPELINE: of an operation, the mean of the sizes.
client_us() { awk -v w="$1" -v p="$2" '$2 == w && $3 == p { n++; sum += $5 } END { printf "%.2f\n", sum / n }' "$RESULTS/costs"; }

for nodes in ${SIZES//,/ }; do
    [ ! -t 2 ] || echo "$nodes nodes" >&2
    nodes_up "$BIN" "$DIR" --nodes "$nodes" --topology "$TOPOLOGY"
    sync_us "$nodes" >"$RESULTS/sync$nodes"
    "$BIN/kvbench" --load --records "$RECORDS" --clients "$CLIENTS" --pipeline 4 --quiet --duration 1 >/dev/null
    # What begins with a cluster (first anti-entropy, first files of the store) is over before anything counts.
    "$BIN/kvbench" --workload put --records "$RECORDS" --clients "$CLIENTS" --pipeline 16 --quiet --duration "$SECONDS_EACH" >/dev/null
    for m in "${MEASUREMENTS[@]}"; do
        # shellcheck disable=SC2086
        take "$nodes" $m
    done
    scripts/cluster.sh clean --dir "$DIR" >/dev/null
done

grep ' put ' "$RESULTS/costs" >"$RESULTS/puts"
read -r MESSAGE_US SOCKET_US READ_US < <(fit "$RESULTS/costs" 7 9 10 13)
read -r ROW_US BATCH_US < <(fit "$RESULTS/puts" 8 11 12)
COSTS="--message-us $MESSAGE_US --socket-us $SOCKET_US --read-us $READ_US --row-us $ROW_US --batch-us $BATCH_US"

[ -n "$JSON" ] || {
    machine_line
    echo "$TOPOLOGY; service times: $COSTS"
    printf '%13s %21s %6s %15s %11s %8s %10s %6s\n' "" "ops/s" "" "CPU us/op" "" "" "" ""
    printf '%5s %-7s %10s %10s %6s %7s %7s %11s %8s %10s %6s\n' nodes "" measured simulated ratio meas. simul. "cores used" "sync us" \
        "client us" disk
}
status=0
while read -r nodes workload pipeline measured _ used _; do
    client=$(client_us "$workload" "$pipeline")
    # shellcheck disable=SC2086
    out=$("$BIN/kvsim" growth --json --topology "$TOPOLOGY" --nodes "$nodes" --cores "$(nproc)" --clients "$CLIENTS" --pipeline "$pipeline" \
        --records "$RECORDS" --put-share "$([ "$workload" = put ] && echo 1 || echo 0)" --quiet-seconds 0 --seconds 1 \
        $COSTS --sync-us "$(<"$RESULTS/sync$nodes")" --client-us "$client")
    simulated=$(number_of "$out" ops_per_s)
    ratio=$(awk -v a="$simulated" -v b="$measured" 'BEGIN { printf "%.2f", a / b }')
    awk -v r="$ratio" -v l="$LIMIT" 'BEGIN { exit !(r < 1 - l / 100 || r > 1 + l / 100) }' && status=1
    cpu=$(awk -v n="$used" -v per_s="$measured" 'BEGIN { printf "%.1f", n * 1e6 / per_s }')
    simulated_cpu=$(awk -v n="$nodes" -v core="$(number_of "${out#*\"core\":}" mean)" -v client="$client" -v per_s="$simulated" \
        'BEGIN { printf "%.1f", n * core * 1e6 / per_s + client }')
    if [ -n "$JSON" ]; then
        printf '{"topology":"%s","nodes":%d,"workload":"%s","pipeline":%d,"measured_ops_per_s":%.0f,"simulated_ops_per_s":%.0f,"ratio":%s,"measured_cpu_us_per_op":%s,"simulated_cpu_us_per_op":%s,"cores_used":%.2f,"sync_us":%d,"client_us":%s,"costs":"%s"}\n' \
            "$TOPOLOGY" "$nodes" "$workload" "$pipeline" "$measured" "$simulated" "$ratio" "$cpu" "$simulated_cpu" "$used" "$(<"$RESULTS/sync$nodes")" "$client" "$COSTS"
    else
        printf '%5d %-7s %10.0f %10.0f %6s %7s %7s %11.2f %8d %10s %6s\n' "$nodes" "$workload x$pipeline" "$measured" "$simulated" \
            "$ratio" "$cpu" "$simulated_cpu" "$used" "$(<"$RESULTS/sync$nodes")" "$client" "$(number_of "${out#*\"disk\":}" max)"
    fi
done <"$RESULTS/costs"
exit $status
