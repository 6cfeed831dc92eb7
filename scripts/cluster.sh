#!/usr/bin/env bash
# A Gureum cluster on this machine: starts, stops, kills and shows its nodes.
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ME=scripts/cluster.sh

usage() {
    cat <<EOF
Usage: $ME COMMAND [OPTIONS]

  up         build if needed, start the nodes, wait until each sees all others
  down       stop all nodes gracefully; data is kept
  clean      stop all and delete the data
  status     the table: node, pid, address, state, partitions, keys
  kill I...  SIGKILL            stop I...   graceful (SIGTERM)
  start I... start again on its own data, and wait until it serves; without data it joins anew
  pause I... SIGSTOP            resume I... SIGCONT
  partition 1,2/3,4,5    cut the network between groups; nodes that are not named are one more group
  heal       undo it
  add [--no-wait]    one more node joins the ring
  remove I [--dead]      a node leaves the ring and stops; --dead: it is not there any more
  wait alive|dead I...   return when every living node sees it so
  logs I     follow a node's log
  contrast   a centre against no centre, measured (contrast --help)
  env        print lines for a shell: PATH and KV_NODES (eval "\$($ME env)")

Options of up:
  --nodes N              how many nodes, 1 to 99 (5)
  --replicas N           copies of each key (3)
  --topology T           ring; or, for comparison, central or directory, in which n1 is the hub (ring)
  --sync MODE            always, interval or none: when a write is on disk (always)
  --base-port P|auto     node I listens on P + I (7600); auto tries steps of 400
  --bin DIR              use the programs in DIR and do not build
Options of every command:
  --dir DIR              where data, logs and pids are (.cluster)
  --timeout S            of up, start, wait, kill, stop and down; of add and remove without any progress (30)

A node is named by its number, 2, or its name, n2. Examples:
  $ME up --nodes 7 --replicas 5
  $ME kill 2 n3 && $ME wait dead 2 3 && $ME start 2 3
  $ME up --dir /tmp/second --base-port 8600      # beside the first one
  $ME add && $ME remove 2                        # n6 comes, n2 goes
Exit status: 0 ok, 1 failed, 2 wrong usage.
EOF
}

die() { printf 'cluster.sh: %s\n' "$*" >&2; exit 1; }
wrong() { printf 'cluster.sh: %s\nTry: %s --help\n' "$*" "$ME" >&2; exit 2; }
say() { printf '%s\n' "$*"; }

# ---- options ----

COMMAND=
ARGS=()
DIR=.cluster
NODES=5
REPLICAS=3
TOPOLOGY=ring
SYNC=always
BASE=7600
BIN=
TIMEOUT=30
DEAD=
NO_WAIT=

is_number() { [[ $1 =~ ^[0-9]+$ ]] && [ "${#1}" -le 9 ]; }

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help | help) usage; exit 0 ;;
        --version) say "cluster.sh (Gureum) 0.1.0"; exit 0 ;;
        --nodes | --replicas | --topology | --sync | --base-port | --bin | --dir | --timeout)
            [ $# -ge 2 ] || wrong "$1 needs a value"
            set_option "$1" "$2"
            shift
            ;;
        --dead) DEAD=yes ;;
        --no-wait) NO_WAIT=yes ;;
        --*=*) set_option "${1%%=*}" "${1#*=}" ;;
        -*) wrong "unknown option $1" ;;
        *) if [ -z "$COMMAND" ]; then COMMAND=$1; else ARGS+=("$1"); fi ;;
        esac
        shift
    done
}

set_option() {
    case $1 in
    --nodes) { is_number "$2" && [ "$2" -ge 1 ] && [ "$2" -le 99 ]; } || wrong "--nodes '$2': 1 to 99"; NODES=$((10#$2)) ;;
    --replicas) { is_number "$2" && [ "$2" -ge 1 ] && [ "$2" -le 7 ]; } || wrong "--replicas '$2': 1 to 7"; REPLICAS=$((10#$2)) ;;
    --topology) case $2 in ring | central | directory) TOPOLOGY=$2 ;; *) wrong "--topology '$2': ring, central or directory" ;; esac ;;
    --sync) case $2 in always | interval | none) SYNC=$2 ;; *) wrong "--sync '$2': always, interval or none" ;; esac ;;
    --base-port) { [ "$2" = auto ] || { is_number "$2" && [ "$2" -ge 1024 ] && [ "$2" -le 65100 ]; }; } || wrong "--base-port '$2': 1024 to 65100, or auto"; BASE=$2 ;;
    --bin) BIN=$2 ;;
    --dir) DIR=$2 ;;
    --timeout) { is_number "$2" && [ "$2" -ge 1 ]; } || wrong "--timeout '$2': seconds"; TIMEOUT=$((10#$2)) ;;
    *) wrong "unknown option $1" ;;
    esac
}

# "2" or "n2" to 2; the node must be one of this cluster's.
index() {
    local i=${1#n}
    { is_number "$i" && [ "$i" -ge 1 ] && [ "$i" -le "$NODES" ]; } || wrong "'$1' is no node of this cluster (1 to $NODES)"
    i=$((10#$i))
    [[ " $GONE " != *" $i "* ]] || wrong "n$i has left the cluster; '$ME add' starts a new node"
    echo "$i"
}

# ---- what a cluster remembers: $DIR/cluster.conf ----
# Nodes 1 to FOUNDERS founded it, those up to NODES were added, those in GONE have left; a number is never used
# again.

HUB=1 # unless the topology is a ring
FOUNDERS=
GONE=
CUT= # "1,2/3,4,5": how the network is partitioned

conf_save() {
    mkdir -p "$DIR"
    printf 'NODES=%s\nFOUNDERS=%s\nGONE=%q\nREPLICAS=%s\nTOPOLOGY=%s\nSYNC=%s\nBASE=%s\nBIN=%q\nCUT=%q\n' \
        "$NODES" "${FOUNDERS:=$NODES}" "$GONE" "$REPLICAS" "$TOPOLOGY" "$SYNC" "$BASE" "$BIN" "$CUT" >"$DIR/cluster.conf"
}

conf_load() {
    [ -f "$DIR/cluster.conf" ] || die "no cluster in $DIR; start one with: $ME up"
    # shellcheck disable=SC1091
    . "$DIR/cluster.conf"
    FOUNDERS=${FOUNDERS:-$NODES}
}

# The numbers of all nodes that have not left.
nodes() {
    local i
    for ((i = 1; i <= NODES; i++)); do [[ " $GONE " == *" $i "* ]] || echo "$i"; done
}
node_count() { nodes | wc -l; }

node_dir() { echo "$DIR/n$1"; }
addr() { echo "127.0.0.1:$((BASE + $1))"; }
initial() {
    local list='' i
    for ((i = 1; i <= FOUNDERS; i++)); do list+="${list:+,}n$i=$(addr "$i")"; done
    echo "$list"
}
all_addrs() {
    local list='' i
    for i in $(nodes); do list+="${list:+,}$(addr "$i")"; done
    echo "$list"
}
# Those of all but node I.
other_addrs() {
    local list='' i
    for i in $(nodes); do [ "$i" = "$1" ] || list+="${list:+,}$(addr "$i")"; done
    echo "$list"
}

# What is asked many times while others wait for their answers starts no programs: these read /proc themselves.

# Sets PID to that of running node I. A pid file may outlive its process and name a stranger by now; what has ended and
# was not waited for has no command line.
find_pid() {
    local word
    PID=
    {
        read -r PID <"$DIR/n$1/pid" || return 1
        while IFS= read -r -d '' word; do
            [ "$word" != "$DIR/n$1/data" ] || return 0
        done <"/proc/$PID/cmdline"
    } 2>/dev/null
    return 1
}

pid_of() { find_pid "$1" && echo "$PID"; }

# Sets STATE to the letter of process PID.
find_state() {
    { read -r STATE <"/proc/$PID/stat"; } 2>/dev/null || return 1
    STATE=${STATE##*) }
    STATE=${STATE%% *}
}

# Whether the process that was launched is there, be it kvd already or still on its way to become it.
launched() {
    { read -r PID <"$DIR/n$1/pid"; } 2>/dev/null && find_state && [ "$STATE" != Z ]
}

paused() { find_pid "$1" && find_state && [ "$STATE" = T ]; }

running() {
    local i
    for i in $(nodes); do ! find_pid "$i" || echo "$i"; done
}

kvcli() { "$BIN/kvcli" "$@"; }

# The running nodes that say who lives: all of them in a ring, else the hub. A paused one says nothing.
observers() {
    local i
    for i in $(nodes); do
        [ "$TOPOLOGY" = ring ] || [ "$i" = "$HUB" ] || continue
        ! find_pid "$i" || ! find_state || [ "$STATE" = T ] || echo "$i"
    done
}

# ---- starting ----

# shellcheck source-path=SCRIPTDIR source=ports.sh
. "$TOP/scripts/ports.sh"

build() {
    if [ -n "$BIN" ]; then
        { [ -x "$BIN/kvd" ] && [ -x "$BIN/kvcli" ]; } || die "no kvd and kvcli in $BIN"
        BIN=$(readlink -f "$BIN")
        return
    fi
    "$TOP/scripts/deps.sh"
    local log
    log=$(mktemp)
    if [[ $(make -C "$TOP" -n all 2>/dev/null) == *"' CC "* ]]; then
        say "building (about a minute the first time) ..."
    fi
    make -C "$TOP" -j"$(nproc)" all >"$log" 2>&1 || { tail -n 40 "$log" >&2; rm -f "$log"; die "the build failed"; }
    rm -f "$log"
    BIN=$TOP/build/release
}

check_ports() {
    local i who
    for i in ${1:-$(nodes)}; do
        if who=$(holder $((BASE + i))); then
            printf 'port %s is held by %s' $((BASE + i)) "$who"
            return 1
        fi
    done
}

choose_base() {
    local problem
    if [ "$BASE" != auto ]; then
        problem=$(check_ports) || { rmdir "$DIR" 2>/dev/null || true; die "$problem; try --base-port auto"; }
        return
    fi
    free_range 64000 check_ports || die "no free range of ports found"
}

check_disk() {
    local kind
    kind=$(stat -f -c %T "$DIR" 2>/dev/null || echo unknown)
    case $kind in
    nfs* | cifs | smb* | fuse* | v9fs | 9p | ceph | afs | ntfs* | msdos | exfat)
        say "warning: $DIR lies on a $kind file system: syncs may be slow there, or mean nothing" ;;
    tmpfs | ramfs) say "note: $DIR lies in memory ($kind): data is gone after a reboot" ;;
    esac
    local begin end
    begin=$(date +%s%N)
    dd if=/dev/zero of="$DIR/.sync" bs=4096 count=20 oflag=dsync status=none 2>/dev/null || die "cannot write to $DIR"
    end=$(date +%s%N)
    rm -f "$DIR/.sync"
    say "disk: $kind, $(((end - begin) / 20000)) us for a synced write"
}

# Founders found; whoever has no data although the cluster was founded, and whoever came later, joins.
launch() {
    local i=$1 dir extra how
    dir=$(readlink -f "$(node_dir "$i")")
    mkdir -p "$dir/data"
    how=(--initial "$(initial)")
    if [ "$i" -gt "$FOUNDERS" ] || { [ -e "$DIR/founded" ] && [ -z "$(ls -A "$dir/data")" ]; }; then
        how=(--join "$(other_addrs "$i")")
    fi
    [ "$TOPOLOGY" = ring ] || how+=(--topology "$TOPOLOGY" --hub "n$HUB")
    extra=KVD_ARGS_n$i # for experiments: KVD_ARGS goes to all nodes, KVD_ARGS_n2 to one
    # shellcheck disable=SC2086
    setsid nohup "$BIN/kvd" --name "n$i" --data "$dir/data" --listen "$(addr "$i")" "${how[@]}" \
        --replicas "$REPLICAS" --sync "$SYNC" --lab ${KVD_ARGS:-} ${!extra:-} >>"$dir/log" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/pid"
}

show_log_end() { sed 's/^/    /' <(tail -n 5 "$(node_dir "$1")/log") >&2; }

# Waits until CONDITION (a function with arguments) holds. It may leave the reason why it does not in $WHY.
wait_until() {
    local what=$1 deadline WHY=''
    shift
    deadline=$((SECONDS + TIMEOUT))
    until "$@"; do
        [ $SECONDS -lt $deadline ] || die "$what: not within $TIMEOUT s${WHY:+; $WHY}"
        sleep 0.1
    done
}

# Every node that says who lives sees node I in a state that matches the pattern. Of the hub nobody does.
seen_as() {
    local i=$1 pattern=$2 j state
    [ "$TOPOLOGY" = ring ] || [ "$i" = "$HUB" ] || [ -n "$(observers)" ] || return 1
    for j in $(observers); do
        [ "$j" = "$i" ] && [ "$pattern" != alive ] && continue
        state=$(kvcli --timeout 1000 -n "$(addr "$j")" --via "$(addr "$j")" status --tsv 2>/dev/null | awk -F'\t' -v n="n$i" '$1==n{print $5}')
        WHY="n$j $([ -n "$state" ] && echo "says $state" || echo "gives no answer")"
        [[ $state =~ ^($pattern)$ ]] || return 1
    done
}

all_see_all() {
    local i list count
    count=$(node_count)
    mapfile -t list < <(running)
    [ "${#list[@]}" = "$count" ] || return 1
    for i in $(observers); do
        [ "$(kvcli --timeout 1000 -n "$(addr "$i")" --via "$(addr "$i")" status --tsv 2>/dev/null |
            awk -F'\t' '$5=="alive" && $6=="normal"' | wc -l)" = "$count" ] || return 1
    done
}

all_up_or_die() {
    local i
    for i in $(nodes); do
        launched "$i" && continue
        show_log_end "$i"
        die "n$i did not start; its log: $(node_dir "$i")/log"
    done
    all_see_all
}

cmd_up() {
    if [ -f "$DIR/cluster.conf" ]; then
        local had
        had=$(conf_load && DIR=$(readlink -f "$DIR") && running | wc -l)
        if [ "$had" -gt 0 ]; then
            conf_load
            DIR=$(readlink -f "$DIR")
            say "a cluster is running in ${DIR#"$PWD"/} already ($had of $(node_count) nodes); nothing was changed"
            [ "$had" -eq "$(node_count)" ] || say "the others: $ME start I..."
            cmd_status
            return
        fi
    fi
    local kept_bin=$BIN kept_sync=$SYNC
    if [ -f "$DIR/cluster.conf" ]; then # the old one again, on its data
        local asked=$NODES/$REPLICAS asked_topology=$TOPOLOGY
        conf_load
        SYNC=$kept_sync
        [ "$asked_topology" = ring ] || [ "$asked_topology" = "$TOPOLOGY" ] ||
            die "$DIR holds a cluster of topology $TOPOLOGY; '$ME clean' deletes it"
        [ "$asked" = "5/3" ] || [ "$asked" = "$(node_count)/$REPLICAS" ] ||
            die "$DIR holds a cluster of $(node_count) nodes, $REPLICAS replicas; '$ME clean' deletes it"
    fi
    BIN=$kept_bin
    local why
    why=$(mkdir -p "$DIR" 2>&1) || die "${why#mkdir: }"
    build
    DIR=$(readlink -f "$DIR")
    choose_base
    CUT=
    conf_save
    check_disk
    local i
    for i in $(nodes); do
        mkdir -p "$(node_dir "$i")"
        launch "$i"
    done
    sleep 0.05
    wait_until "all nodes seeing each other" all_up_or_die
    touch "$DIR/founded"
    cmd_status
    local victim=1
    [ "$TOPOLOGY" != central ] || victim=2 # n1 is the hub, without which nothing is answered
    cat <<EOF

Try:
  eval "\$($ME env$(dir_option))"          # puts kvcli on your PATH
  kvcli put greeting 'hello, cloud' && kvcli get greeting
  kvcli where greeting
  $ME kill $victim$(dir_option) && kvcli get greeting
EOF
}

dir_option() { [ "$DIR" = "$(readlink -f .cluster)" ] || printf ' --dir %q' "$DIR"; }

cmd_env() {
    # shellcheck disable=SC2016
    printf 'export PATH=%q:"$PATH"\nexport KV_NODES=%q\n' "$BIN" "$(all_addrs)"
}

# shellcheck source-path=SCRIPTDIR source=cluster-ring.sh
. "$TOP/scripts/cluster-ring.sh"

# ---- the rest ----

cmd_status() {
    local i pid state ring line up table change
    up=$(running)
    table='' change=''
    for i in $(observers); do
        table=$(kvcli --timeout 1000 -n "$(addr "$i")" --via "$(addr "$i")" status --tsv 2>/dev/null) || continue
        change=$(kvcli --timeout 1000 -n "$(addr "$i")" --via "$(addr "$i")" status 2>/dev/null |
            grep -E '^(the ring changes|waits: |n[0-9]+ has taken over)' || true)
        break
    done
    printf '%-6s %-8s %-18s %-10s %10s %10s\n' node pid address state partitions keys
    for i in $(nodes); do
        line=$(awk -F'\t' -v n="n$i" '$1==n' <<<"$table" | tail -n 1)
        state=$(cut -f5 <<<"$line")
        ring=$(cut -f6 <<<"$line")
        [ "$state" != alive ] || [ "${ring:-normal}" = normal ] || state=$ring
        pid=$(pid_of "$i") || pid=-
        if [ "$pid" != - ]; then
            if paused "$i"; then state="paused"; fi
            keys=$(kvcli --timeout 1000 -n "$(addr "$i")" --via "$(addr "$i")" stats --tsv 2>/dev/null | awk -F'\t' '$1=="rows"{print $2}') || keys=
        else
            keys=
            [ -n "$state" ] || state=down
        fi
        [ -n "$state" ] || [ -n "$(observers)" ] || state=unknown
        printf '%-6s %-8s %-18s %-10s %10s %10s\n' "n$i" "$pid" "$(addr "$i")" "${state:-starting}" \
            "$(cut -f7 <<<"$line")" "${keys:--}"
    done
    [ -z "$change" ] || say "$change"
    [ "$TOPOLOGY" = ring ] || say "topology $TOPOLOGY; the hub is n$HUB$([ -n "$(observers)" ] || echo ", which does not answer: nobody says who lives")"
    [ -z "$CUT" ] || say "the network is cut: ${CUT//\// | }"
    [ -n "$up" ] || say "no node is running; start them with: $ME up"
}

signal() {
    local sig=$1 i pid
    shift
    for i in "$@"; do
        pid=$(pid_of "$i") || { say "n$i is not running"; continue; }
        kill "-$sig" "$pid"
    done
}

gone() {
    local i
    for i in "$@"; do ! find_pid "$i" || return 1; done
}

cmd_kill() {
    signal KILL "$@"
    wait_until "the end of the processes" gone "$@"
}

cmd_stop() {
    signal CONT "$@" >/dev/null
    signal TERM "$@"
    wait_until "a graceful stop" gone "$@"
}

# They take requests, or are on their way into the ring; and a hub, which is of no use to anybody before, has heard of all
# that run.
serving() {
    local i
    for i in "$@"; do
        launched "$i" || { show_log_end "$i"; die "n$i did not start; its log: $(node_dir "$i")/log"; }
        kvcli --timeout 500 -n "$(addr "$i")" --via "$(addr "$i")" stats --tsv >/dev/null 2>&1 || return 1
        takes_requests "$i" || joining "$i" || return 1
        [ "$TOPOLOGY" = ring ] || [ "$i" != "$HUB" ] || hub_sees_all || return 1
    done
}

# A node that begins refuses them until it knows the time. What it has itself asks nobody else.
takes_requests() {
    local status=0
    kvcli --timeout 500 -n "$(addr "$1")" --via "$(addr "$1")" get --local . >/dev/null 2>&1 || status=$?
    [ "$status" -ne 3 ]
}

joining() {
    kvcli --timeout 1000 -n "$(addr "$1")" --via "$(addr "$1")" status --tsv 2>/dev/null |
        awk -F'\t' -v n="n$1" '$1 == n && $6 == "joining" { found = 1 } END { exit !found }'
}

# Whoever it cannot hear is left out: who is paused, and beyond a cut all.
hub_sees_all() {
    local i alive
    [ -z "$CUT" ] || return 0
    alive=$(kvcli --timeout 1000 -n "$(addr "$HUB")" --via "$(addr "$HUB")" status --tsv 2>/dev/null | awk -F'\t' '$5 == "alive" { print $1 }')
    for i in $(running); do paused "$i" || grep -qx "n$i" <<<"$alive" || return 1; done
}

cmd_start() {
    local i started=()
    for i in "$@"; do
        if find_pid "$i"; then
            say "n$i is running already"
        else
            launch "$i"
            started+=("$i")
        fi
    done
    sleep 0.05
    [ ${#started[@]} -eq 0 ] || wait_until "the start" serving "${started[@]}"
    [ -z "$CUT" ] || [ ${#started[@]} -eq 0 ] || cut_network "$CUT" 100
}

cmd_wait() {
    local state=${ARGS[0]:-} i
    case $state in
    alive) pattern=alive ;;
    dead) pattern='dead|left' ;;
    *) wrong "wait alive|dead I..." ;;
    esac
    [ ${#ARGS[@]} -ge 2 ] || wrong "wait $state: which node?"
    for i in "${ARGS[@]:1}"; do
        i=$(index "$i")
        wait_until "n$i seen as $state by all" seen_as "$i" "$pattern"
    done
}

# Runs a function on the numbers of the nodes named on the line.
with_nodes() {
    local f=$1 i list=()
    [ ${#ARGS[@]} -gt 0 ] || wrong "$COMMAND: which node?"
    for i in "${ARGS[@]}"; do
        i=$(index "$i") || exit 2
        list+=("$i")
    done
    "$f" "${list[@]}"
}

cmd_pause() { signal STOP "$@"; }
cmd_resume() { signal CONT "$@"; }

cmd_down() {
    local list
    mapfile -t list < <(running)
    [ ${#list[@]} -gt 0 ] || { say "no node is running"; return; }
    cmd_stop "${list[@]}"
    CUT= # the orders are gone with the processes
    conf_save
    say "stopped ${#list[@]} node$([ ${#list[@]} -eq 1 ] || echo s); data is kept in ${DIR#"$PWD"/}"
}

cmd_clean() {
    local list
    mapfile -t list < <(running)
    [ ${#list[@]} -eq 0 ] || cmd_kill "${list[@]}"
    local i
    for ((i = 1; i <= NODES; i++)); do rm -rf "$(node_dir "$i")"; done
    rm -f "$DIR/cluster.conf" "$DIR/founded"
    rmdir "$DIR" 2>/dev/null || say "$DIR holds other files too; they were left"
    say "deleted"
}

# Ctrl-C would else end just the program that is asked at that moment.
interrupted() {
    printf '\ncluster.sh: interrupted; nodes that run go on\n' >&2
    exit 130
}

[ "${1:-}" != contrast ] || exec "$TOP/scripts/contrast.sh" "${@:2}"
parse "$@"
trap interrupted INT
[ -z "$DEAD" ] || [ "$COMMAND" = remove ] || wrong "--dead is for remove"
[ -z "$NO_WAIT" ] || [ "$COMMAND" = add ] || wrong "--no-wait is for add"
case $COMMAND in
up | down | clean | status | env | heal) [ ${#ARGS[@]} -eq 0 ] || wrong "$COMMAND takes no '${ARGS[0]}'" ;;
esac
case $COMMAND in
up) cmd_up ;;
down | clean | status | env) conf_load; DIR=$(readlink -f "$DIR"); "cmd_$COMMAND" ;;
kill | stop | start | pause | resume) conf_load; DIR=$(readlink -f "$DIR"); with_nodes "cmd_$COMMAND" ;;
wait | partition | heal | add | remove) conf_load; DIR=$(readlink -f "$DIR"); "cmd_$COMMAND" ;;
logs)
    conf_load
    [ ${#ARGS[@]} -eq 1 ] || wrong "logs: which node?"
    i=$(index "${ARGS[0]}")
    exec tail -n 50 -f "$(node_dir "$i")/log"
    ;;
'') usage >&2; exit 2 ;;
*) wrong "unknown command '$COMMAND'" ;;
esac
