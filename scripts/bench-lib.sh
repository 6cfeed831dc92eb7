# shellcheck shell=bash
# What bench.sh, bench-peers.sh and growth-check.sh share: options, running one measurement, and medians of several.
# Sourced.

die() { echo "${0##*/}: $*" >&2; exit 1; }

# take_options ARG...: into the variables that VALUES and FLAGS give for them, and BIN.
take_options() {
    while [ $# -gt 0 ]; do
        if [ -n "${VALUES[$1]:-}" ]; then
            [ $# -ge 2 ] || die "$1 needs a value"
            printf -v "${VALUES[$1]}" %s "$2"
            shift
        elif [ -n "${FLAGS[$1]:-}" ]; then
            printf -v "${FLAGS[$1]}" 1
        else
            case $1 in
            --help) usage; exit 0 ;;
            -*) usage >&2; exit 2 ;;
            *) BIN=$1 ;;
            esac
        fi
        shift
    done
    [ -n "$BIN" ] || { usage >&2; exit 2; }
}

# make_ready PROGRAM...: they are there, in $BIN; a directory for data is, $DIR, and one for results; all by full names.
make_ready() {
    local program
    for program; do [ -x "$BIN/$program" ] || die "$BIN/$program is not built"; done
    BIN=$(cd "$BIN" && pwd)
    mkdir -p "$DIR"
    DIR=$(cd "$DIR" && pwd)
    RESULTS=$(mktemp -d)
}

# need_nodes PROGRAM...: the same, for nodes of our own that are gone in the end.
need_nodes() {
    [ ! -e "$DIR/cluster.conf" ] || die "$DIR holds a cluster already"
    make_ready "$@"
    trap 'scripts/cluster.sh clean --dir "$DIR" >/dev/null 2>&1 || true; rm -rf "$RESULTS"' EXIT
}

# $RESULTS has a file a measurement; a line a round: ops/s, server us, client us, p50, p99, failures.
COLUMNS_OF_RESULTS="ops_per_s server_cpu_us_per_op client_cpu_us_per_op p50_us p99_us failures"

# number_of JSON NAME: the first number of that name, 0 when there is none.
number_of() {
    local n
    n=$(grep -oE "\"$2\":[0-9.]+" <<<"$1" | head -n 1 | cut -d: -f2)
    echo "${n:-0}"
}

# cpu_us PID...: user and system time of these processes so far.
cpu_us() {
    local pid stat
    for pid; do
        stat=$(<"/proc/$pid/stat") || die "process $pid is gone"
        echo "${stat##*) }"
    done | awk -v hz="$(getconf CLK_TCK)" '{ t += $12 + $13 } END { printf "%.0f\n", t * 1e6 / hz }'
}

# rss_kib PID...: the mean, and the largest.
rss_kib() {
    local pid
    for pid; do grep VmRSS "/proc/$pid/status"; done |
        awk '{ n++; sum += $2; if ($2 > max) max = $2 } END { printf "%.0f %.0f\n", sum / n, max }'
}

# measure NAME "PID..." COMMAND...: the command prints what kvbench --json does; the pids are the servers'.
measure() {
    local name=$1 pids=$2 before after out failures
    shift 2
    # shellcheck disable=SC2086
    before=$(cpu_us $pids)
    out=$("$@") || die "$name: $* failed"
    # shellcheck disable=SC2086
    after=$(cpu_us $pids)
    out=${out##*$'\n'}
    failures=$(sed 's/.*"failures":{\([^}]*\)}.*/\1/' <<<"$out" | grep -oE '[0-9]+' | awk '{ n += $1 } END { print n + 0 }')
    awk -v ops="$(number_of "$out" ops)" -v per_s="$(number_of "$out" ops_per_s)" -v us=$((after - before)) \
        -v client="$(number_of "$out" client_cpu_us_per_op)" -v p50="$(number_of "$out" p50_us)" \
        -v p99="$(number_of "$out" p99_us)" -v failures="$failures" \
        'BEGIN { print per_s, us / (ops ? ops : 1), client, p50, p99, failures }' >>"$RESULTS/$name"
}

# spread COLUMN FILE: "median min max" of a column.
spread() {
    awk -v c="$1" '{ print $c }' "$2" | sort -g | awk '
        { v[NR] = $1 }
        END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2, v[1], v[NR] }'
}

# ratio COLUMN A B: "median min max" of A over B, round by round.
ratio() {
    paste -d' ' "$RESULTS/$2" "$RESULTS/$3" | awk -v c="$1" '{ printf "%.3f\n", $c / ($(c + 6) ? $(c + 6) : 1) }' >"$RESULTS/.ratio"
    spread 1 "$RESULTS/.ratio"
}

table_head() {
    printf '%-34s %9s %19s %10s %10s %17s %9s %8s\n' "" ops/s "min-max" "server us" "client us" "p50 us (min-max)" "p99 us" failed
}

# table_row NAME
table_row() {
    local ops low high server client p50 p50_low p50_high p99 failed
    read -r ops low high < <(spread 1 "$RESULTS/$1")
    read -r server _ < <(spread 2 "$RESULTS/$1")
    read -r client _ < <(spread 3 "$RESULTS/$1")
    read -r p50 p50_low p50_high < <(spread 4 "$RESULTS/$1")
    read -r p99 _ < <(spread 5 "$RESULTS/$1")
    failed=$(awk '{ n += $6 } END { print n + 0 }' "$RESULTS/$1")
    printf '%-34s %9.0f %19s %10.1f %10.1f %17s %9.0f %8d\n' "$1" "$ops" "$(printf '%.0f-%.0f' "$low" "$high")" \
        "$server" "$client" "$(printf '%.0f (%.0f-%.0f)' "$p50" "$p50_low" "$p50_high")" "$p99" "$failed"
}

# json_row NAME: {"name":"put 50","rounds":5,"ops_per_s":{"median":1,"min":1,"max":1},...}
json_row() {
    local column=0 name text median min max
    text=$(printf '{"name":"%s","rounds":%d' "$1" "$(wc -l <"$RESULTS/$1")")
    for name in $COLUMNS_OF_RESULTS; do
        column=$((column + 1))
        read -r median min max < <(spread $column "$RESULTS/$1")
        text+=$(printf ',"%s":{"median":%.1f,"min":%.1f,"max":%.1f}' "$name" "$median" "$min" "$max")
    done
    echo "$text}"
}

# ---- nodes ----

# nodes_up BIN DIR [OPTION...]: starts them, five without --nodes; sets KV_NODES, NODE_COUNT, NODE_PIDS, NODE_BASE.
nodes_up() {
    local bin=$1 dir=$2
    shift 2
    scripts/cluster.sh up --dir "$dir" --base-port auto --bin "$bin" "$@" >"$RESULTS/.up" || die "the nodes did not start: $(tail -n 1 "$RESULTS/.up")"
    NODE_BASE=$(sed -n 's/^BASE=//p' "$dir/cluster.conf")
    nodes_pids "$dir"
    NODE_COUNT=$(wc -w <<<"$NODE_PIDS")
    KV_NODES=$(seq -s, -f "127.0.0.1:%g" $((NODE_BASE + 1)) $((NODE_BASE + NODE_COUNT)))
    export KV_NODES
}

# shellcheck disable=SC2034 # for who sources this
nodes_pids() { NODE_PIDS=$(cat "$1"/n[1-9]*/pid | paste -sd' '); }

# stats_of_all: each node's counters, one node after the other.
stats_of_all() {
    local i
    for ((i = 1; i <= NODE_COUNT; i++)); do "$BIN/kvcli" --via "127.0.0.1:$((NODE_BASE + i))" stats --tsv; done
}

# The machine and the moment, without which no figure means anything.
machine_line() {
    printf '%s processors, load %s, a synced write takes %s us, commit %s, %s\n' "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)" \
        "$(sed -n 's/.*, \([0-9]*\) us for a synced write/\1/p' "$RESULTS/.up")" \
        "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" "$(date -u +%Y-%m-%dT%H:%MZ)"
}
