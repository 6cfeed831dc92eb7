# shellcheck shell=bash
# One topology of the contrast: a cluster, the load, the faults and when they came, what the counters said. Sourced
# by contrast.sh; everything is left in $OUT/$T.

RATE_NEAR=150 RATE_FAR=100 # operations a second of the clients on each side, once sloppy and once strict
RECORDS=1000               # keys of each
SECONDS_QUIET=6            # without load, for the control traffic
NAMES=10000 NAMES_RATE=1000
SKEW_MS=50                 # what stalls of a busy machine may put between the clocks of two programs
PATIENCE=60                # seconds, with one command of an operator

CLUSTER='' # directory of the cluster that runs now
LOAD=()    # pids of the clients
PHASE_BEGAN=0

cluster() { "$TOP/scripts/cluster.sh" "$@" --dir "$CLUSTER"; }
kvcli() { "$BIN/kvcli" "$@"; }
kvbench() { "$BIN/kvbench" "$@"; }

# until_second S: sleeps until the phase is S seconds old.
until_second() {
    sleep "$(awk -v begin="$PHASE_BEGAN" -v s="$1" -v now="$EPOCHREALTIME" \
        'BEGIN { left = begin + s - now; print (left > 0 ? left : 0) }')"
}

# phase NAME: it begins now. Its time is on the clock of the histories.
phase() {
    PHASE_BEGAN=$EPOCHREALTIME
    printf '%s\t%s\n' "$(kvbench clock)" "$1" >>"$OUT/$T/events.tsv"
    progress "$1"
}

# operator TASK WORDS...: what somebody would have to type to cluster.sh. Kept with its exit status and its seconds.
operator() {
    local task=$1 status=0 begin=$EPOCHREALTIME
    shift
    timeout "$PATIENCE" "$TOP/scripts/cluster.sh" "$@" --dir "$CLUSTER" >>"$OUT/$T/operator.log" 2>&1 || status=$?
    awk -v task="$task" -v command="cluster.sh $*" -v status=$status -v begin="$begin" -v end="$EPOCHREALTIME" \
        'BEGIN { printf "%s\t%s\t%d\t%.1f\n", task, command, status, end - begin }' >>"$OUT/$T/operator.tsv"
    return 0
}

address() { echo "127.0.0.1:$((BASE + $1))"; }
addresses() {
    local i list=''
    for i; do list+="${list:+,}$(address "$i")"; done
    echo "$list"
}

# stats FILE: all counters of all nodes.
stats() {
    local i
    for i in 1 2 3 4 5; do
        kvcli --via "$(address "$i")" stats --tsv | sed "s/^/n$i\t/"
    done >"$OUT/$T/$1" 2>/dev/null || true
}

start_cluster() {
    local options=()
    [ "$T" = ring ] || options=(--topology "$T")
    CLUSTER=$OUT/$T/cluster
    cluster up --bin "$BIN" --base-port auto "${options[@]}" >"$OUT/$T/up.txt" 2>&1 ||
        die "$T: the nodes did not start: $(tail -n 1 "$OUT/$T/up.txt")"
    BASE=$(sed -n 's/^BASE=//p' "$CLUSTER/cluster.conf")
    KV_NODES=$(addresses 1 2 3 4 5)
    export KV_NODES
    for level in sloppy strict; do
        kvbench --load --records $RECORDS --key-prefix "$level" "$([ $level = strict ] && echo --strict || echo --quiet)" \
            --quiet --clients 8 --history "$OUT/$T/$level-load.jsonl" >/dev/null || die "$T: no load"
    done
}

# The node that has the most to do, of which the centre's is the hub; the others; and the sides of the cut, with the
# hub among the three.
choose_nodes() {
    HUB=1
    if [ "$T" = ring ]; then
        HUB=$(for i in 1 2 3 4 5; do
            kvcli --via "$(address "$i")" stats --tsv | awk -F'\t' -v i="$i" '$1 == "ops_put_ok" { print $2, i }'
        done | sort -rn | awk 'NR == 1 { print $2 }')
    fi
    mapfile -t OTHERS < <(seq 1 5 | grep -vx "$HUB")
    NEAR=("$HUB" "${OTHERS[2]}" "${OTHERS[3]}") FAR=("${OTHERS[0]}" "${OTHERS[1]}")
    printf 'hub\tn%s\nnear\tn%s n%s n%s\nfar\tn%s n%s\n' "$HUB" "${NEAR[@]}" "${FAR[@]}" >"$OUT/$T/nodes.tsv"
}

# Four independent programs: clients of each side, with keys of each kind. Enough requests may be in flight that
# each begins when it is due, also while all of them run into their time-outs.
start_load() {
    local level side
    LOAD=() LOAD_NEAR=() LOAD_FAR=()
    for level in sloppy strict; do
        for side in near far; do
            local nodes rate=$RATE_NEAR seed=1
            nodes=$(addresses "${NEAR[@]}")
            [ $side = near ] || { nodes=$(addresses "${FAR[@]}"); rate=$RATE_FAR; seed=2; }
            # shellcheck disable=SC2046
            "$BIN/kvbench" --workload a --distribution uniform --records $RECORDS --key-prefix $level \
                $([ $level = sloppy ] || echo --strict) --rate $rate --duration 3600 --clients 4 --pipeline 128 \
                --seed $seed --side "$nodes" --json --history "$OUT/$T/$level-$side.jsonl" \
                >"$OUT/$T/$level-$side.json" 2>>"$OUT/$T/load.log" &
            LOAD+=($!)
            if [ $side = near ]; then LOAD_NEAR+=($!); else LOAD_FAR+=($!); fi
        done
    done
}

stop_load() {
    [ ${#LOAD[@]} -gt 0 ] || return 0
    kill -TERM "${LOAD[@]}" 2>/dev/null || true
    wait "${LOAD[@]}" 2>/dev/null || true
    LOAD=()
}

# ---- the faults ----

# At once, for the phase begins with it.
kill_node() {
    local pid
    pid=$(cat "$CLUSTER/n$1/pid")
    phase "$2"
    kill -KILL "$pid"
}

fault_node() {
    kill_node "${FAR[0]}" 'node killed'
    until_second "$1"
    phase 'node restarted'
    operator 'restart a node' start "${FAR[0]}"
    until_second "$2"
}

fault_hub() {
    kill_node "$HUB" 'hub killed'
    until_second "$1"
    phase 'hub restarted'
    operator 'restart the hub' start "$HUB"
    until_second "$2"
}

# insist COMMAND...: on a busy machine an order may run out of time; it can be given again.
insist() {
    local try
    for try in 1 2 3 4 5; do
        "$@" >>"$OUT/$T/orders.log" 2>&1 && return 0
        sleep 0.$try
    done
    die "$T: $*: $(tail -n 1 "$OUT/$T/orders.log")"
}

# One line of the busiest node, in both directions. Orders take their time; until all are given the fault is half one.
fault_line() {
    phase 'orders go out'
    insist kvcli fault drop --from "n$HUB" --to "n${FAR[1]}"
    insist kvcli fault drop --from "n${FAR[1]}" --to "n$HUB"
    phase 'line cut'
    until_second "$1"
    phase 'line mended'
    insist kvcli fault clear
    until_second "$2"
}

fault_partition() {
    phase 'orders go out'
    insist cluster partition "${FAR[0]},${FAR[1]}/${NEAR[0]},${NEAR[1]},${NEAR[2]}"
    kill -USR1 "${LOAD[@]}"
    phase 'network cut 2|3'
    until_second "$1"
    phase 'network mended'
    kill -USR2 "${LOAD[@]}"
    insist cluster heal
    until_second "$2"
}

fault_pause() {
    phase 'node paused'
    cluster pause "${OTHERS[2]}"
    until_second "$1"
    phase 'node resumed'
    cluster resume "${OTHERS[2]}"
    until_second "$2"
}

grow_and_shrink() {
    phase 'two nodes added'
    operator 'add a node' add --timeout 40
    operator 'add a node' add --timeout 40
    until_second 4
    phase 'two taken away'
    operator 'remove a node' remove 6
    operator 'remove a node' remove 7
    until_second 4
}

schedule_full() {
    phase 'before'
    until_second 6
    fault_node 6 6
    fault_hub 8 6
    fault_line 6 5
    fault_partition 10 8
    fault_pause 6 6
    grow_and_shrink
    phase 'after'
    until_second 2
}

schedule_quick() {
    phase 'before'
    until_second 3
    fault_node 4 3
    fault_hub 5 4
    fault_partition 7 5
}

schedule_tiny() {
    phase 'before'
    until_second 2
    fault_hub 3 3
}

# ---- what is asked after the load ----

no_hints() {
    local i
    for i in 1 2 3 4 5; do
        [ "$(kvcli --via "$(address "$i")" stats --tsv 2>/dev/null | awk -F'\t' '$1 == "hints_waiting" { print $2 }')" = 0 ] || return 1
    done
}

# Acknowledged writes that are lost, and strict reads that were stale or contradict each other. Two sloppy puts by
# different programs that were closer than SKEW_MS may win in either order: each program has a clock of its own.
check_histories() {
    local level end=$((SECONDS + 20))
    until no_hints || [ $SECONDS -ge $end ]; do sleep 0.2; done
    for level in sloppy strict; do
        # shellcheck disable=SC2046
        kvbench check --skew-ms $SKEW_MS $([ $level = sloppy ] || echo --strict) "$OUT/$T/$level-load.jsonl" \
            "$OUT/$T/$level-near.jsonl" "$OUT/$T/$level-far.jsonl" >"$OUT/$T/check-$level.txt" 2>&1 || true
    done
}

# Before the load: nothing but what the nodes say to each other about who is there.
control_traffic() {
    progress "control traffic without load"
    stats control-before.tsv
    kvbench clock >"$OUT/$T/control.ns"
    sleep "$SECONDS_QUIET"
    stats control-after.tsv
    kvbench clock >>"$OUT/$T/control.ns"
}

# In the ring through each node; where a centre answers, everybody goes there.
names() {
    local how=()
    [ "$T" = ring ] || how=(--any-node)
    progress "$NAMES names changed"
    kvbench names --ops "$NAMES" --rate "$NAMES_RATE" --key-prefix name "${how[@]}" >"$OUT/$T/names.json" 2>>"$OUT/$T/load.log" || true
}

says() { # QUESTION COMMAND...: a line of without-hub.tsv, with yes or no
    local question=$1 answer=no begin=$EPOCHREALTIME
    shift
    ! "$@" >>"$OUT/$T/without-hub.log" 2>&1 || answer=yes
    awk -v q="$question" -v a=$answer -v begin="$begin" -v end="$EPOCHREALTIME" \
        'BEGIN { printf "%s\t%s\t%.1f\n", q, a, end - begin }' >>"$OUT/$T/without-hub.tsv"
}

new_client_works() { kvcli --timeout 1500 put newcomer "$EPOCHREALTIME" && kvcli --timeout 1500 get newcomer; }

is_member() { kvcli --timeout 1500 ring --tsv | cut -f1 | grep -qx "n$1"; }
is_no_member() { kvcli --timeout 1500 ring --tsv >/dev/null && ! is_member "$1"; }

# Some node says within seven seconds that node I is dead.
death_is_noticed() {
    local i end=$((SECONDS + 7))
    while [ $SECONDS -lt $end ]; do
        for i in "${OTHERS[@]}"; do
            [ "$i" != "$1" ] && kvcli --timeout 500 --via "$(address "$i")" status --tsv 2>/dev/null |
                awk -F'\t' -v n="n$1" '$1 == n && $5 == "dead" { found = 1 } END { exit !found }' && return 0
        done
        sleep 0.2
    done
    return 1
}

# The hub is dead and its disk is lost: what does a cluster still do, and what does somebody have to type?
without_hub() {
    local next=$(($(sed -n 's/^NODES=//p' "$CLUSTER/cluster.conf") + 1))
    progress "the hub is gone for good"
    cluster kill "$HUB" >/dev/null
    says 'a new client can put and get' new_client_works
    cluster kill "${OTHERS[3]}" >/dev/null
    says 'the death of another node is noticed' death_is_noticed "${OTHERS[3]}"
    cluster start "${OTHERS[3]}" --timeout 5 >/dev/null 2>&1 || true
    operator 'replace the hub' remove "$HUB" --dead --timeout 12
    says 'the hub is removed' is_no_member "$HUB"
    operator 'replace the hub' add --timeout 14
    says 'a node is added' is_member "$next"
}

# ---- one topology ----

timelines() {
    local class
    for class in sloppy strict sloppy-near sloppy-far strict-near strict-far all; do
        local files=()
        case $class in
        all) files=("$OUT/$T"/{sloppy,strict}-{load,near,far}.jsonl) ;;
        *-*) files=("$OUT/$T/${class%-*}-load.jsonl" "$OUT/$T/$class.jsonl") ;;
        *) files=("$OUT/$T/$class"-{load,near,far}.jsonl) ;;
        esac
        kvbench timeline --phases --events "$OUT/$T/events.tsv" "${files[@]}" >"$OUT/$T/phases-$class.csv"
        kvbench timeline --events "$OUT/$T/events.tsv" "${files[@]}" >"$OUT/$T/buckets-$class.csv"
        kvbench timeline --json --events "$OUT/$T/events.tsv" "${files[@]}" >"$OUT/$T/buckets-$class.jsonl"
    done
}

end_cluster() {
    [ -n "$CLUSTER" ] || return 0
    stop_load
    if [ -f "$CLUSTER/cluster.conf" ]; then
        mkdir -p "$OUT/$T/logs"
        local log
        for log in "$CLUSTER"/n*/log; do cp "$log" "$OUT/$T/logs/$(basename "$(dirname "$log")").log" 2>/dev/null || true; done
        cluster clean >/dev/null 2>&1 || true
    fi
    CLUSTER=''
}

run_topology() {
    T=$1
    mkdir -p "$OUT/$T"
    progress "five nodes start"
    start_cluster
    choose_nodes
    control_traffic
    start_load
    sleep 1
    "schedule_$LENGTH"
    stop_load
    progress "the histories are checked"
    check_histories
    if [ "$LENGTH" = full ]; then
        names
        without_hub
    fi
    end_cluster
    timelines
}
