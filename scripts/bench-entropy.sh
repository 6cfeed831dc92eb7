# shellcheck shell=bash
# The part of bench.sh that measures what anti-entropy takes from puts. Sourced.

# Name, and what the nodes are told. "always": an interval so short that some partition is compared at any moment.
ENTROPY_KINDS=(
    "off|--repair-interval 0"
    "default|"
    "always|--repair-interval 10"
)
ENTROPY_COUNTERS=(entropy_partitions_compared entropy_partitions_differed entropy_rows_received entropy_rows_young)

# Nodes that meet compare all they share once, after five seconds. That is over when every pair of homes has met: with
# three replicas there are as many pairs as homes. Who does not compare waits, too, so that all are measured at one age.
settle() { # NAME
    local deadline=$((SECONDS + 60))
    sleep 8
    [ "$1" != off ] || return 0
    until [ "$(stat_sum entropy_partitions_compared)" -ge "$(stat_sum ring_partitions_owned)" ]; do
        [ $SECONDS -lt $deadline ] || die "nothing is compared"
        sleep 0.2
    done
}

# entropy_turn NAME OPTIONS: of a cluster of its own, so that nobody else compares meanwhile.
entropy_turn() {
    local name=$1 counter before=() after=()
    KVD_ARGS="${KVD_ARGS:-} $2" nodes_up "$BIN" "$DIR" --sync "$SYNC"
    bench --load --clients 50 --pipeline 4 >/dev/null
    settle "$name"
    for counter in "${ENTROPY_COUNTERS[@]}"; do before+=("$(stat_sum "$counter")"); done
    measure "put 50, $name" "$NODE_PIDS" bench --workload put --clients 50 --distribution uniform --duration "$SECONDS_EACH"
    for counter in "${ENTROPY_COUNTERS[@]}"; do after+=("$(stat_sum "$counter")"); done
    paste -d' ' <(printf '%s\n' "${before[@]}") <(printf '%s\n' "${after[@]}") | awk '{ printf "%d ", $2 - $1 } END { print "" }' >>"$RESULTS/.$name"
    scripts/cluster.sh clean --dir "$DIR" >/dev/null
}

# shellcheck disable=SC2046
measure_entropy() {
    local round k name options
    MEASUREMENTS=()
    for k in "${ENTROPY_KINDS[@]}"; do MEASUREMENTS+=("put 50, ${k%%|*}|"); done
    for ((round = 1; round <= ROUNDS; round++)); do
        [ ! -t 2 ] || echo "round $round of $ROUNDS" >&2
        for k in 0 1 2; do # who begins takes turns, too
            IFS='|' read -r name options <<<"${ENTROPY_KINDS[(round + k) % 3]}"
            entropy_turn "$name" "$options"
        done
    done
    for k in "${ENTROPY_KINDS[@]}"; do
        name=${k%%|*}
        fact "$name: partitions compared, that differed" "in all rounds" $(awk '{ a += $1; b += $2 } END { print a, b }' "$RESULTS/.$name")
        fact "$name: rows repaired, left alone as too young" "in all rounds" $(awk '{ a += $3; b += $4 } END { print a, b }' "$RESULTS/.$name")
        [ "$name" = off ] || fact "$name over off (aim: 0.95)" "x ops/s, median, least, most" $(ratio 1 "put 50, $name" "put 50, off")
    done
}
