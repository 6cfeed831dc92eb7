#!/usr/bin/env bash
# The same load on five nodes of Gureum and on the stores people know, in rounds that take turns. --help says how.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/bench-peers.sh BIN_DIR [OPTIONS]

  --rounds N      (5)              --seconds S    of each measurement (5)
  --records N     keys (10000)     --only PATTERN comparisons whose name matches this extended regular expression
  --dir DIR       where all of them keep their data (build/bench-peers)

Ours: five nodes, N=3, R=W=2, --sync always, values of 100 bytes: a put is on two disks when it is acknowledged.
Against, each where it is installed, all on this machine:
  redis    one primary, two replicas, appendfsync always; a put is SET, then WAIT 1: on the primary's disk, and received
           by a replica. "each": a WAIT for every SET; "batch": one for a client's 16
  cluster  Redis Cluster, three primaries and three replicas; a get asks the primary, as ours with R=1 asks one home
  etcd     three members; a put is on two disks. Its load comes from scripts/etcd-load.go (needs golang-go and
           golang-etcd-server-dev); the others' from kvbench
A ratio above 1 is for us in ops/s, and against us in CPU; it is the median of the rounds' ratios.
TEXT
}

ROUNDS=5 SECONDS_EACH=5 RECORDS=10000 ONLY='' DIR=build/bench-peers BIN=''
declare -A VALUES=([--rounds]=ROUNDS [--seconds]=SECONDS_EACH [--records]=RECORDS [--only]=ONLY [--dir]=DIR) FLAGS=()
. scripts/bench-lib.sh
. scripts/ports.sh
take_options "$@"
[ ! -e "$DIR" ] || die "$DIR exists already"
make_ready kvd kvcli kvbench

# Of the peers' servers (Redis Cluster's nodes talk to each other 10,000 ports above); our nodes look for their own.
free_range 55000 all_free {1..3} {11..16} {10011..10016} {21..23} {31..33} || die "no free range of ports found"

declare -A PIDS=() # of each peer, one string
STARTED=() # pids of the peers' servers
finish() {
    scripts/cluster.sh clean --dir "$DIR/ours" >/dev/null 2>&1 || true
    [ ${#STARTED[@]} -eq 0 ] || kill "${STARTED[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$DIR" "$RESULTS"
}
trap finish EXIT

# spawn DIRECTORY COMMAND...: in the background, in its own directory; adds its pid to STARTED and SPAWNED.
spawn() {
    mkdir -p "$1"
    (cd "$1" && exec "${@:2}") >"$1/log" 2>&1 9>&- &
    STARTED+=($!)
    SPAWNED+=" $!"
}

# until_ok WHAT COMMAND...: waits until it succeeds.
until_ok() {
    local what=$1 deadline=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || die "$what: not ready in 30 s"
        sleep 0.1
    done
}

# ---- Redis, and Redis Cluster ----

CLUSTER_AT=''

redis_spawn() { # PORT OPTION...
    spawn "$DIR/redis-$1" redis-server --port "$1" --bind 127.0.0.1 --appendonly yes --appendfsync always --save "" "${@:2}"
}

redis_replicas_are() { redis-cli -p $((BASE + 1)) info replication | grep -c 'state=online' | grep -qx 2; }

redis_up() {
    local i
    SPAWNED=''
    redis_spawn $((BASE + 1))
    for i in 2 3; do redis_spawn $((BASE + i)) --replicaof 127.0.0.1 $((BASE + 1)); done
    PIDS[redis]=$SPAWNED
    until_ok redis redis_replicas_are
}

cluster_is() { redis-cli -p $((BASE + 11)) cluster info | grep -q cluster_state:ok; }
cluster_answers() { redis-cli -p "$1" ping; }

cluster_up() {
    local i ports=()
    SPAWNED=''
    for i in 11 12 13 14 15 16; do
        redis_spawn $((BASE + i)) --cluster-enabled yes --cluster-config-file nodes.conf
        ports+=("127.0.0.1:$((BASE + i))")
    done
    PIDS[cluster]=$SPAWNED
    for i in 11 12 13 14 15 16; do until_ok "redis cluster" cluster_answers $((BASE + i)); done
    redis-cli --cluster create "${ports[@]}" --cluster-replicas 1 --cluster-yes >"$DIR/cluster.log" || die "no Redis Cluster: $(tail -n 1 "$DIR/cluster.log")"
    until_ok "redis cluster" cluster_is
    CLUSTER_AT=${ports[0]},${ports[1]},${ports[2]}
}

# ---- etcd ----

ETCD_AT='' ETCD_GO=/usr/share/gocode

etcd_can() {
    command -v etcd >/dev/null || { echo "etcd: not installed" >&2; return 1; }
    command -v go >/dev/null && [ -d "$ETCD_GO/src/go.etcd.io/etcd/clientv3" ] ||
        { echo "etcd: no load generator without golang-go and golang-etcd-server-dev" >&2; return 1; }
    GO111MODULE=off GOPATH=$ETCD_GO GOCACHE=$DIR/go go build -o "$DIR/etcd-load" scripts/etcd-load.go ||
        { echo "etcd: scripts/etcd-load.go does not build" >&2; return 1; }
}

etcd_is() { ETCDCTL_API=3 etcdctl --endpoints "$ETCD_AT" endpoint health; }

etcd_up() {
    local i members=''
    SPAWNED=''
    for i in 1 2 3; do
        members+=,e$i=http://127.0.0.1:$((BASE + 30 + i))
        ETCD_AT+=,http://127.0.0.1:$((BASE + 20 + i))
    done
    ETCD_AT=${ETCD_AT#,}
    for i in 1 2 3; do
        local client=http://127.0.0.1:$((BASE + 20 + i)) peer=http://127.0.0.1:$((BASE + 30 + i))
        spawn "$DIR/etcd-$i" etcd --name "e$i" --data-dir data --log-level error \
            --listen-client-urls "$client" --advertise-client-urls "$client" \
            --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "${members#,}"
    done
    PIDS[etcd]=$SPAWNED
    until_ok etcd etcd_is
}

# ---- who does what ----

kvbench() { "$BIN/kvbench" --json --quiet --records "$RECORDS" --duration "$SECONDS_EACH" --distribution uniform "$@"; }
ours() { kvbench "$@"; }
redis() { kvbench --redis 127.0.0.1:$((BASE + 1)) "$@"; }
cluster() { kvbench --redis "$CLUSTER_AT" "$@"; }
etcd_load() { "$DIR/etcd-load" "$ETCD_AT" "$1" "$2" "$SECONDS_EACH" "$RECORDS"; }

# Name | the peer's command | the peer's pids (in PIDS) | ours
COMPARISONS=()
compare_with_redis() {
    COMPARISONS+=(
        "put 1 vs redis|redis --workload put --clients 1|redis|--workload put --clients 1"
        "put 50 vs redis|redis --workload put|redis|--workload put"
        "put 50x16 vs redis each|redis --workload put --pipeline 16|redis|--workload put --pipeline 16"
        "put 50x16 vs redis batch|redis --workload put --pipeline 16 --redis-wait batch|redis|--workload put --pipeline 16"
    )
}
compare_with_cluster() {
    COMPARISONS+=(
        "get 50 R=1 vs cluster|cluster --workload get|cluster|--workload get -r 1"
        "get 50 R=2 vs cluster|cluster --workload get|cluster|--workload get"
        "get 50x16 R=1 vs cluster|cluster --workload get --pipeline 16|cluster|--workload get --pipeline 16 -r 1"
    )
}
compare_with_etcd() {
    COMPARISONS+=(
        "put 50 vs etcd|etcd_load 50 1|etcd|--workload put"
        "put 50x16 vs etcd|etcd_load 50 16|etcd|--workload put --pipeline 16"
    )
}

nodes_up "$BIN" "$DIR/ours"
kvbench --load >/dev/null
if command -v redis-server >/dev/null; then
    redis_up
    redis --load >/dev/null
    compare_with_redis
    cluster_up
    cluster --load >/dev/null
    compare_with_cluster
else
    echo "redis: redis-server is not installed" >&2
fi
if etcd_can; then
    etcd_up
    compare_with_etcd
fi

for ((round = 1; round <= ROUNDS; round++)); do
    [ ! -t 2 ] || echo "round $round of $ROUNDS" >&2
    for c in "${COMPARISONS[@]}"; do
        IFS='|' read -r name command pids mine <<<"$c"
        [[ -z $ONLY || $name =~ $ONLY ]] || continue
        for side in $((round % 2)) $(((round + 1) % 2)); do # who begins takes turns, too
            # shellcheck disable=SC2086
            if [ "$side" = 1 ]; then measure "ours: $name" "$NODE_PIDS" ours $mine; else measure "$name" "${PIDS[$pids]}" $command; fi
        done
    done
done

machine_line
table_head
for c in "${COMPARISONS[@]}"; do
    name=${c%%|*}
    [ -e "$RESULTS/$name" ] || continue
    table_row "ours: $name"
    table_row "$name"
    read -r median low high < <(ratio 1 "ours: $name" "$name")
    read -r cpu cpu_low cpu_high < <(ratio 2 "ours: $name" "$name")
    printf '%-34s ops/s x %.2f (%.2f-%.2f), server CPU x %.2f (%.2f-%.2f)\n\n' "  ratio" "$median" "$low" "$high" "$cpu" "$cpu_low" "$cpu_high"
done
