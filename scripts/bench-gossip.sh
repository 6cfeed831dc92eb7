# shellcheck shell=bash
# The part of bench.sh that measures gossip: at rest, when a node is killed, and when packets are lost. Sourced.

LOSS_PERCENT=25

# The times that are in force, as a node's log has them.
measure_settings() {
    local values
    read -ra values < <(grep -m 1 -o 'event=detection .*' "$DIR/n1/log" | sed 's/event=detection//; s/[a-z_]*=//g')
    fact "probe interval, timeout, deadline" ms "${values[@]:0:3}"
    fact "indirect probes" "" "${values[3]}"
    fact "suspicion: multiplier, at most, confirmations" "" "${values[@]:4:3}"
}

# measure_rest SECONDS: what a node sends while nothing happens.
measure_rest() {
    local begin bytes packets node_s
    begin=$(date +%s%N) bytes=$(stat_sum udp_bytes_out) packets=$(stat_sum udp_packets_out)
    sleep "$1"
    node_s=$(awk -v ns=$(($(date +%s%N) - begin)) -v n="$NODE_COUNT" 'BEGIN { print n * ns / 1e9 }')
    bytes=$(($(stat_sum udp_bytes_out) - bytes)) packets=$(($(stat_sum udp_packets_out) - packets))
    fact "gossip sent by a node at rest" "bytes/s of UDP payload" "$(awk -v n="$bytes" -v s="$node_s" 'BEGIN { printf "%.0f", n / s }')"
    fact "gossip sent by a node at rest" "datagrams/s" "$(awk -v n="$packets" -v s="$node_s" 'BEGIN { printf "%.2f", n / s }')"
}

# All live, and no node's own time-outs are still longer because of what was before (Lifeguard).
until_rest() {
    local deadline=$((SECONDS + 60))
    # shellcheck disable=SC2046
    scripts/cluster.sh wait alive $(seq "$NODE_COUNT") --dir "$DIR" >/dev/null
    until [ "$(stat_sum swim_awareness)" = 0 ]; do
        [ $SECONDS -lt $deadline ] || die "the nodes do not come to rest"
        sleep 0.2
    done
}

# deaths_since MS I: how long after that moment each other node's log calls it dead, in ms, the first first.
deaths_since() {
    local i
    for ((i = 1; i <= NODE_COUNT; i++)); do
        [ "$i" = "$2" ] || sed -n "s/^time=\([^ ]*\) .*event=member_dead .* name=n$2 .*/\1/p" "$DIR/n$i/log" | tail -n 1
    done | date -f - +%s%3N | awk -v since="$1" '$1 >= since { print $1 - since }' | sort -n
}

# measure_kill I: SIGKILL; a line into $RESULTS/.kills: when the first other node knew, and when all did.
measure_kill() {
    local at known deadline=$((SECONDS + 60))
    until_rest
    at=$(date +%s%3N)
    kill -KILL "$(<"$DIR/n$1/pid")"
    until known=$(deaths_since "$at" "$1") && [ "$(wc -l <<<"$known")" = $((NODE_COUNT - 1)) ]; do
        [ $SECONDS -lt $deadline ] || die "not all know that n$1 is dead"
        sleep 0.1
    done
    echo "${known%%$'\n'*} ${known##*$'\n'}" >>"$RESULTS/.kills"
    scripts/cluster.sh start "$1" --dir "$DIR" >/dev/null
}

# shellcheck disable=SC2046
measure_kills() {
    local round i
    for ((round = 1; round <= ROUNDS; round++)); do
        for ((i = 1; i <= NODE_COUNT; i++)); do measure_kill "$i"; done
    done
    nodes_pids "$DIR"
    fact "SIGKILL until the first other node calls it dead" "ms, median, least, most" $(spread 1 "$RESULTS/.kills")
    fact "until all do (aim: 2000), $(wc -l <"$RESULTS/.kills") kills" "ms, median, least, most" $(spread 2 "$RESULTS/.kills")
}

# measure_loss SECONDS: so much is dropped wherever it arrives, also of messages over TCP. All count: each node
# whatever it believes of each other.
measure_loss() {
    local name counters=(swim_deaths swim_suspicions swim_refutations faults_dropped) before=() after=()
    until_rest
    for name in "${counters[@]}"; do before+=("$(stat_sum "$name")"); done
    "$BIN/kvcli" fault drop --percent $LOSS_PERCENT >/dev/null
    sleep "$1"
    for name in "${counters[@]}"; do after+=("$(stat_sum "$name")"); done
    "$BIN/kvcli" fault clear >/dev/null
    fact "$LOSS_PERCENT % loss for $1 s: called dead, though alive" "times (aim: 0)" $((after[0] - before[0]))
    fact "meanwhile suspected, refuted" times $((after[1] - before[1])) $((after[2] - before[2]))
    fact "meanwhile lost" "datagrams and messages" $((after[3] - before[3]))
}

measure_gossip() {
    measure_settings
    until_rest
    measure_rest 30
    measure_kills
    measure_loss "$SECONDS_EACH"
}
