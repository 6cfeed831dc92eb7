#!/usr/bin/env bash
# Five nodes of their own, N=3, R=W=2, measured and taken down again. --help says how.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/bench.sh BIN_DIR [OPTIONS]

Five nodes, three replicas, R=W=2, values of 100 bytes. Puts and gets of 1 client, 50 clients, and 50 clients with
16 operations in flight each; gets with R=1; YCSB's workload a. Medians of the rounds, which take turns.

  --rounds N      (5)              --seconds S    of each measurement (5; --entropy: 10; the loss of --gossip: 120)
  --records N     keys (10000)     --sync MODE    always, interval or none (always)
  --only PATTERN  only measurements whose name matches this extended regular expression
  --million       then load 1,000,000 keys: memory, the join of a sixth node, the start after SIGKILL
  --gossip        instead: what gossip sends at rest; how long after SIGKILL, of each node in each round, the others
                  know; who is called dead, though alive, while 25 % of all packets are lost
  --entropy       instead: puts of 50 clients while anti-entropy is off, as by default, and never pauses; each turn on
                  a cluster of its own
  --json          print JSON, an object a line
  --dir DIR       where the nodes keep their data (build/bench)

"server us" is the CPU time of all nodes for one operation, "client us" that of kvbench. Two processes that share a
core or do not make two different latencies of one client: look at their spread.
TEXT
}

ROUNDS=5 SECONDS_EACH='' RECORDS=10000 SYNC=always ONLY='' MILLION='' GOSSIP='' ENTROPY='' JSON='' DIR=build/bench BIN='' JOIN_RATE=1000
declare -A VALUES=([--rounds]=ROUNDS [--seconds]=SECONDS_EACH [--records]=RECORDS [--sync]=SYNC [--only]=ONLY [--dir]=DIR)
declare -A FLAGS=([--million]=MILLION [--gossip]=GOSSIP [--entropy]=ENTROPY [--json]=JSON)
# shellcheck source-path=SCRIPTDIR source=bench-lib.sh
. scripts/bench-lib.sh
# shellcheck source-path=SCRIPTDIR source=bench-gossip.sh
. scripts/bench-gossip.sh
# shellcheck source-path=SCRIPTDIR source=bench-entropy.sh
. scripts/bench-entropy.sh
take_options "$@"
need_nodes kvd kvcli kvbench

bench() { "$BIN/kvbench" --json --quiet --records "$RECORDS" "$@"; }

# Name, and what it asks of kvbench.
MEASUREMENTS=(
    "put 1|--workload put --clients 1"
    "put 50|--workload put --clients 50"
    "put 50x16|--workload put --clients 50 --pipeline 16"
    "get 1|--workload get --clients 1"
    "get 50|--workload get --clients 50"
    "get 50x16|--workload get --clients 50 --pipeline 16"
    "get 1 R=1|--workload get --clients 1 -r 1"
    "get 50 R=1|--workload get --clients 50 -r 1"
    "get 50x16 R=1|--workload get --clients 50 --pipeline 16 -r 1"
    "a 50|--workload a --clients 50 --distribution zipfian"
)

FACTS=()
# fact NAME UNIT VALUE...: a figure that is measured once.
fact() {
    local name=$1 unit=$2
    shift 2
    FACTS+=("$name|$unit|$*")
}

stat_sum() { stats_of_all | awk -F'\t' -v n="$1" '$1 == n { sum += $2 } END { print sum + 0 }'; }

measure_memory() { # WHEN
    local mean max
    # shellcheck disable=SC2086
    read -r mean max < <(rss_kib $NODE_PIDS)
    fact "resident memory of a node, $1" "KiB, mean and largest" "$mean" "$max"
}

# serving I: it answers for its own rows.
serving() {
    local status=0 at=127.0.0.1:$((NODE_BASE + $1))
    "$BIN/kvcli" -n "$at" --via "$at" --timeout 500 get --local user1 >/dev/null 2>&1 || status=$?
    [ "$status" -le 1 ]
}

# measure_start WHAT I...: SIGKILL, and the time from the start of the processes until all serve.
measure_start() {
    local what=$1 begin i
    shift
    scripts/cluster.sh kill "$@" --dir "$DIR" >/dev/null
    begin=$(date +%s%N)
    scripts/cluster.sh start "$@" --dir "$DIR" >/dev/null &
    for i; do until serving "$i"; do sleep 0.01; done; done
    fact "start after SIGKILL, $what" ms $((($(date +%s%N) - begin) / 1000000))
    wait $!
    nodes_pids "$DIR"
}

measure_million() {
    "$BIN/kvbench" --load --records 1000000 --clients 50 --pipeline 16 --quiet >/dev/null
    measure_memory "1,000,000 keys"
    measure_join
    measure_start "1,000,000 keys, one node" 1
    measure_start "1,000,000 keys, all nodes" 1 2 3 4 5
}

# p99_of JSON: of the puts, in us.
p99_of() { number_of "$(grep -o '"update":{[^}]*}' <<<"$1")" p99_us; }

# A sixth node joins while puts and gets come at a steady rate.
measure_join() {
    local before during load begin given seconds
    load() { bench --workload a --records 1000000 --clients 16 --rate "$JOIN_RATE" --duration "$1"; }
    load 10 >/dev/null # until the disks have digested the keys
    before=$(load 10)
    given=$(stat_sum transfer_bytes_given)
    load 600 >"$RESULTS/.join" &
    load=$!
    begin=$(date +%s%N)
    scripts/cluster.sh add --dir "$DIR" >/dev/null || die "a sixth node could not join"
    seconds=$(awk -v ns=$(($(date +%s%N) - begin)) 'BEGIN { printf "%.1f", ns / 1e9 }')
    pkill -TERM -P "$load" || true
    wait "$load" || true
    during=$(<"$RESULTS/.join")
    given=$(($(stat_sum transfer_bytes_given) - given))
    fact "a sixth node joins 1,000,000 keys" s "$seconds"
    fact "it takes over" "MB, MB/s" $((given / 1000000)) "$(awk -v b="$given" -v s="$seconds" 'BEGIN { printf "%.1f", b / 1e6 / s }')"
    fact "p99 of puts, $JOIN_RATE operations a second" "us, before and meanwhile" "$(p99_of "$before")" "$(p99_of "$during")"
    fact "operations that failed meanwhile" "" "$(grep -o '"failures":{[^}]*}' <<<"$during" | grep -oE '[0-9]+' | awk '{ n += $1 } END { print n + 0 }')"
}

report() {
    local m f name unit value
    if [ -n "$JSON" ]; then
        for m in "${MEASUREMENTS[@]}"; do [ ! -e "$RESULTS/${m%%|*}" ] || json_row "${m%%|*}"; done
        for f in "${FACTS[@]}"; do
            IFS='|' read -r name unit value <<<"$f"
            printf '{"name":"%s","unit":"%s","values":[%s]}\n' "$name" "$unit" "${value// /,}"
        done
        printf '{"machine":"%s","sync":"%s","seconds":%s}\n' "$(machine_line)" "$SYNC" "$SECONDS_EACH"
        return
    fi
    echo "$(machine_line); --sync $SYNC"
    [ -n "$GOSSIP" ] || table_head
    for m in "${MEASUREMENTS[@]}"; do [ ! -e "$RESULTS/${m%%|*}" ] || table_row "${m%%|*}"; done
    for f in "${FACTS[@]}"; do
        IFS='|' read -r name unit value <<<"$f"
        printf '%-52s %s %s\n' "$name" "$value" "$unit"
    done
}

measure_all() {
    local round m
    measure_memory "idle"
    sleep 2
    measure_rest 10
    bench --load --clients 50 --pipeline 4 >/dev/null
    for ((round = 1; round <= ROUNDS; round++)); do
        [ ! -t 2 ] || echo "round $round of $ROUNDS" >&2
        for m in "${MEASUREMENTS[@]}"; do
            [[ -z $ONLY || ${m%%|*} =~ $ONLY ]] || continue
            # shellcheck disable=SC2086
            measure "${m%%|*}" "$NODE_PIDS" bench --distribution uniform --duration "$SECONDS_EACH" ${m#*|}
        done
    done
    [ -z "$MILLION" ] || measure_million
}

if [ -n "$ENTROPY" ]; then
    SECONDS_EACH=${SECONDS_EACH:-10}
    measure_entropy
else
    nodes_up "$BIN" "$DIR" --sync "$SYNC"
    if [ -n "$GOSSIP" ]; then
        SECONDS_EACH=${SECONDS_EACH:-120}
        measure_gossip
    else
        SECONDS_EACH=${SECONDS_EACH:-5}
        measure_all
    fi
fi
report
