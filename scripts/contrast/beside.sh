# shellcheck shell=bash
# What stands beside the three topologies: how they grow, in the simulator, and how long etcd is away when its leader
# dies. Sourced by contrast.sh.

CONTROL_NODES="3 10 30 100 300 1000"
ETCD_RUNS=5
BESIDE=() # pids of what runs in the background
ETCD=()   # pids of etcd's members and clients

end_beside() {
    local pid
    for pid in "${BESIDE[@]}"; do
        kill "$pid" 2>/dev/null || true
        pkill -P "$pid" 2>/dev/null || true
    done
    BESIDE=()
    end_etcd
}

has_topology() { "$BIN/kvsim" "$1" --help 2>/dev/null | grep -q -- --topology; }

# growth_of TOPOLOGY: throughput of the same node code, with service times as measured on real nodes; and what its
# control costs without load. A line of JSON for each size.
growth_of() {
    local t=$1 option=() n
    ! has_topology growth || option=(--topology "$t")
    "$BIN/kvsim" growth "${option[@]}" --seconds 0.25 --quiet-seconds 6 --json |
        sed "/\"topology\"/! s/^{/{\"topology\":\"$t\",/" >"$OUT/growth-$t.jsonl"
    has_topology members || return 0 # then the control of the runs above is what there is
    for n in $CONTROL_NODES; do
        "$BIN/kvsim" members --topology "$t" --nodes "$n" --runs 0 --json
    done | sed "/\"topology\"/! s/^{/{\"topology\":\"$t\",/" >"$OUT/control-$t.jsonl"
}

# For the ring, and for central where the simulator has it.
growth() {
    progress "growth, in the simulator"
    if ! "$BIN/kvsim" growth --help 2>/dev/null | grep -q '^usage: kvsim growth'; then
        progress "this kvsim has no growth; left out"
        return 0
    fi
    local t
    BESIDE=()
    for t in ring central; do
        [ $t = ring ] || has_topology growth || continue
        growth_of $t 2>>"$OUT/growth.log" &
        BESIDE+=($!)
    done
    wait "${BESIDE[@]}" || progress "kvsim growth failed; see growth.log"
    BESIDE=()
}

# ---- etcd ----

end_etcd() {
    [ ${#ETCD[@]} -eq 0 ] || kill -KILL "${ETCD[@]}" 2>/dev/null || true
    ETCD=()
}

etcd_address() { echo "http://127.0.0.1:$((BASE + $1))"; }
etcd_addresses() { echo "$(etcd_address 1),$(etcd_address 2),$(etcd_address 3)"; }
ctl() { ETCDCTL_API=3 etcdctl --endpoints "$(etcd_addresses)" "$@"; }

etcd_start() { # I
    local i=$1 members='' k
    for k in 1 2 3; do members+="${members:+,}e$k=http://127.0.0.1:$((BASE + 10 + k))"; done
    mkdir -p "$OUT/etcd/e$i"
    etcd --name "e$i" --data-dir "$OUT/etcd/e$i/data" --log-level error \
        --listen-client-urls "$(etcd_address "$i")" --advertise-client-urls "$(etcd_address "$i")" \
        --listen-peer-urls "http://127.0.0.1:$((BASE + 10 + i))" \
        --initial-advertise-peer-urls "http://127.0.0.1:$((BASE + 10 + i))" --initial-cluster "$members" \
        >>"$OUT/etcd/e$i/log" 2>&1 9>&- &
    ETCD_PID[i]=$!
    ETCD+=($!)
    disown $! # the shell need not tell when it is killed
}

etcd_healthy() {
    local end=$((SECONDS + 20))
    until ctl endpoint health >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

etcd_leader() {
    local i
    for i in 1 2 3; do
        ETCDCTL_API=3 etcdctl --endpoints "$(etcd_address "$i")" endpoint status -w fields 2>/dev/null |
            awk '/"MemberID"/ { id = $3 } /"Leader"/ { leader = $3 } END { exit !(id && id == leader) }' && { echo "$i"; return; }
    done
}

# A client: puts one after the other, and notes when each was acknowledged.
etcd_client() {
    while :; do
        ctl --command-timeout 300ms put contrast "$EPOCHREALTIME" >/dev/null 2>&1 && "$BIN/kvbench" clock
    done
}

# One leader killed under load: the longest time between two acknowledged puts.
etcd_kill() { # RUN
    local leader client
    leader=$(etcd_leader)
    [ -n "$leader" ] || return 1
    for client in 1 2; do
        etcd_client >"$OUT/etcd/acknowledged-$1-$client.ns" &
        ETCD+=($!) ETCD_CLIENTS[client]=$!
        disown $!
    done
    sleep 1
    printf '%s\t%s\n' "$1" "$("$BIN/kvbench" clock)" >>"$OUT/etcd/killed.tsv"
    kill -KILL "${ETCD_PID[leader]}"
    sleep 4
    kill -TERM "${ETCD_CLIENTS[@]}" 2>/dev/null || true
    etcd_start "$leader"
    etcd_healthy
}

etcd_gap() {
    if ! command -v etcd >/dev/null || ! command -v etcdctl >/dev/null; then
        progress "etcd is not installed; its gap is not measured here"
        return 0
    fi
    progress "etcd: its leader dies $ETCD_RUNS times"
    local i run BASE
    free_range 64000 all_free {1..3} {11..13} || { progress "etcd: no free range of ports found"; return 0; }
    ETCD_PID=() ETCD_CLIENTS=()
    rm -rf "$OUT/etcd"
    mkdir -p "$OUT/etcd"
    for i in 1 2 3; do etcd_start $i; done
    if etcd_healthy; then
        for ((run = 1; run <= ETCD_RUNS; run++)); do
            etcd_kill $run || { progress "etcd: run $run failed; left out"; break; }
        done
    else
        progress "etcd does not start; its gap is not measured here"
    fi
    end_etcd 2>/dev/null
    rm -rf "$OUT"/etcd/e?/data
    # Between two acknowledged puts, whoever's: the longest of each run, in ms.
    for ((i = 1; i < run; i++)); do
        sort -n "$OUT"/etcd/acknowledged-$i-?.ns | awk -v run=$i \
            'NR > 1 && $1 - last > gap { gap = $1 - last } { last = $1 } END { printf "%d\t%.0f\n", run, gap / 1e6 }'
    done >"$OUT/etcd/gaps.tsv"
}
