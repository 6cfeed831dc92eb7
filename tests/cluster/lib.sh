# shellcheck shell=bash
# What the tests of real clusters share; sourced by each. A test prints TAP lines, leaves no process and no file
# behind, and ends with `done_testing`: one that ends before it has failed.
#
#   KV_BIN=DIR        where the programs are (build/release)     KV_MODE=MODE   how they were built (release)
#   KV_WORDS=FILE     the word list                              KV_SERVICES=FILE  /etc/services
#   KV_KEEP=1         keep the data and the logs, and say where they are
#   KV_TMP=DIR        where the clusters' data is ($TMPDIR, /tmp)
#   KV_PATIENCE=F     how often as long anything may take as on a machine that does nothing else (1; 4 under a sanitizer)
set -u -o pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
KV_BIN=$(readlink -f "${KV_BIN:-$TOP/build/release}" || true)
KV_MODE=${KV_MODE:-release}
KV_WORDS=${KV_WORDS:-/usr/share/dict/american-english}
KV_SERVICES=${KV_SERVICES:-/etc/services}
PATIENCE=${KV_PATIENCE:-$([ "$KV_MODE" = release ] && echo 1 || echo 4)}
PATH=$KV_BIN:$PATH
unset KV_NODES KVD_ARGS
export LC_ALL=C.UTF-8

if ! [ -x "$KV_BIN/kvd" ] || ! [ -x "$KV_BIN/kvcli" ] || ! [ -x "$KV_BIN/kvbench" ]; then
    echo "Bail out! no kvd, kvcli and kvbench in ${KV_BIN:-KV_BIN}"
    exit 1
fi
# shellcheck disable=SC2034 # of a request that must succeed; the tests use it
DEADLINE_MS=$((2000 * PATIENCE))
TMP=$(mktemp -d "${KV_TMP:-${TMPDIR:-/tmp}}/gureum-test.XXXXXX")
DIR=            # of the cluster that `cluster` speaks to
CLUSTERS=()     # all their directories
JOBS=()         # processes that the test started itself
CASES=0 FAILED=0
ENDED=no
EXPECTED_ERRORS= # log lines of level error that match this are what the test is about

# ---- verdicts ----

ok() { CASES=$((CASES + 1)); printf 'ok %d - %s\n' "$CASES" "$1"; }

not_ok() {
    CASES=$((CASES + 1)) FAILED=$((FAILED + 1))
    printf 'not ok %d - %s\n' "$CASES" "$1"
    shift
    [ $# -eq 0 ] || printf '%s\n' "$@" | head -n 40 | sed 's/^/#     /'
}

skip() { CASES=$((CASES + 1)); printf 'ok %d - %s # SKIP %s\n' "$CASES" "$1" "$2"; }
note() { printf '%s\n' "$*" | sed 's/^/# /'; }

# A test that cannot go on.
die() { not_ok "$@"; exit 1; }

# check TEXT COMMAND...: the command succeeds.
check() {
    local text=$1 output status=0
    shift
    output=$("$@" 2>&1) || status=$?
    if [ "$status" = 0 ]; then ok "$text"; else not_ok "$text" "exit $status of: $*" "$output"; fi
    return "$status"
}

equals() {
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "expected: $2" "found:    $3"; fi
}

matches() { # TEXT PATTERN FOUND: an extended regular expression
    if [[ $3 =~ $2 ]]; then ok "$1"; else not_ok "$1" "expected: $2" "found:    $3"; fi
}

# between TEXT LEAST NUMBER MOST
between() {
    if awk -v a="$2" -v x="${3:-nothing}" -v b="$4" 'BEGIN { exit !(x == x + 0 && a <= x && x <= b) }' </dev/null; then
        ok "$1 ($3)"
    else
        not_ok "$1" "expected: $2 to $4" "found:    ${3:-nothing}"
    fi
}

# run COMMAND...: leaves its exit status, standard output (without NULs) and standard error in $status $out $err.
run() {
    status=0
    "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
    out=$(tr -d '\0' <"$TMP/out") err=$(tr -d '\0' <"$TMP/err")
}

# exits TEXT STATUS PATTERN COMMAND...: it exits so, and says something that matches.
exits() {
    local text=$1 wanted=$2 pattern=$3
    shift 3
    run "$@"
    if [ "$status" = "$wanted" ] && [[ "$out$err" =~ $pattern ]]; then
        ok "$text"
    else
        not_ok "$text" "expected: exit $wanted, /$pattern/, of: $*" "found:    exit $status" "$out" "$err"
    fi
}

# ---- time ----

now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo "${t%???}"; }

# The clock of histories, which is monotonic.
mono_ns() { local up; read -r up _ </proc/uptime; echo "${up/./}0000000"; }

# within SECONDS COMMAND...: the command succeeds before they are over, on a machine that does nothing else. The time it
# took is in $took_ms.
within() {
    local limit_ms=$(($1 * 1000 * PATIENCE)) begin
    begin=$(now_ms)
    shift
    while :; do
        if "$@" >/dev/null 2>&1; then
            took_ms=$(($(now_ms) - begin))
            return 0
        fi
        took_ms=$(($(now_ms) - begin))
        [ "$took_ms" -lt "$limit_ms" ] || return 1
        sleep 0.05
    done
}

# soon TEXT SECONDS COMMAND...: the same as a case.
soon() {
    local text=$1 seconds=$2
    shift 2
    if within "$seconds" "$@"; then
        ok "$text ($took_ms ms)"
    else
        not_ok "$text" "not after $took_ms ms: $*" "$("$@" 2>&1 | tail -n 10)"
    fi
}

# ---- clusters ----

# up NAME [OPTION...]: starts a cluster of that name, and makes it the one that everything speaks to.
up() {
    local name=$1
    shift
    use "$name"
    CLUSTERS+=("$DIR")
    cluster up --bin "$KV_BIN" --base-port auto "$@" >"$TMP/$name.up" 2>&1 ||
        die "a cluster starts" "$(cat "$TMP/$name.up")" "$(tail -n 3 "$DIR"/n*/log)"
    use "$name"
}

use() {
    DIR=$TMP/$1
    [ ! -f "$DIR/cluster.conf" ] || eval "$(cluster env | grep KV_NODES)"
}

# Waits up to 30 s, where no --timeout says otherwise.
cluster() { "$TOP/scripts/cluster.sh" --timeout $((30 * PATIENCE)) "$@" --dir "$DIR"; }

# must COMMAND...: what the test needs and does not test.
must() {
    local output
    output=$("$@" 2>&1) || die "$*" "$output"
}

pid_of() { cat "$DIR/n$1/pid"; }
log_of() { echo "$DIR/n$1/log"; }
addr_of() { cut -d, -f"$1" <<<"$KV_NODES"; }

# stat_of NODE NAME: one counter.
stat_of() { kvcli stats "n$1" --tsv | awk -F'\t' -v name="$2" '$1 == name { print $2 }'; }

# Whether all hints of living nodes are handed over.
no_hints() {
    local i
    for i in $(seq 1 "$(tr -cd , <<<"$KV_NODES," | wc -c)"); do
        kill -0 "$(pid_of "$i")" 2>/dev/null || continue
        [ "$(stat_of "$i" hints_waiting)" = 0 ] || return 1
    done
}

# start_job COMMAND...: in the background, ended when the test ends; its pid is in $job.
start_job() {
    "$@" &
    job=$!
    JOBS+=("$job")
}

# number_of JSON NAME [OBJECT]: a number out of one line of JSON, maybe of an object inside.
number_of() {
    local text=$1
    [ $# -lt 3 ] || text=$(sed -n "s/.*\"$3\":{\([^}]*\)}.*/\1/p" <<<"$text")
    sed -n "s/.*\"$2\":\([-0-9.]*\).*/\1/p" <<<"$text"
}

# failures_of JSON: all operations that ended neither ok nor not_found.
failures_of() {
    sed -n 's/.*"failures":{\([^}]*\)}.*/\1/p' <<<"$1" | tr ',' '\n' | awk -F: '{ n += $2 } END { print n + 0 }'
}

# ---- input ----

# The word list as `word<TAB>line number and the word reversed`.
words_tsv() { paste <(cat "$KV_WORDS") <(rev "$KV_WORDS" | awk '{ print NR " " $0 }'); }

# /etc/services as `name/proto<TAB>port`.
services_tsv() { awk '!/^#/ && NF >= 2 { split($2, a, "/"); print $1 "/" a[2] "\t" a[1] }' "$KV_SERVICES"; }

need_words() { [ -r "$KV_WORDS" ] || die "there is a word list" "no $KV_WORDS; scripts/deps.sh --test installs one"; }

# ---- the end ----

# What no log may hold: a failed assertion, a sanitizer's report, an error nobody expected.
bad_log_lines() {
    local dir
    for dir in "${CLUSTERS[@]}"; do
        grep -HE 'Sanitizer|runtime error:|assertion_failed|level=error' "$dir"/n*/log 2>/dev/null
    done | if [ -n "$EXPECTED_ERRORS" ]; then grep -vE "$EXPECTED_ERRORS"; else cat; fi
}

done_testing() {
    local bad
    for DIR in "${CLUSTERS[@]}"; do
        [ ! -f "$DIR/cluster.conf" ] || cluster down >/dev/null 2>&1 || not_ok "the nodes stop when told to" "$(tail -qn 2 "$DIR"/n*/log)"
    done
    bad=$(bad_log_lines || true)
    if [ -z "$bad" ]; then ok "no node failed an assertion, leaked or logged an error"; else not_ok "no node failed an assertion, leaked or logged an error" "$bad"; fi
    echo "1..$CASES"
    ENDED=yes
    exit $((FAILED > 0))
}

# What the loop of every node is doing: one that gives no answer is spinning (R), stopped (T) or waiting, for a disk (D) or
# another thread (S).
loops() {
    local dir node pid
    for dir in "${CLUSTERS[@]}"; do
        for node in "$dir"/n*; do
            pid=$(cat "$node/pid")
            grep -qsF "$node/data" "/proc/$pid/cmdline" || continue
            echo "$node: $(awk '/^State/ { print $2 }' "/proc/$pid/status") in $(cat "/proc/$pid/wchan"), ran," \
                "waited (ns), turns: $(cat "/proc/$pid/schedstat")"
            ! command -v gdb >/dev/null || timeout 20 gdb -p "$pid" -batch -ex 'bt 12' 2>/dev/null |
                sed -n 's/^#[0-9]*  *\(0x[0-9a-f]* in \)*/    /p' | cut -c1-120
        done
    done
}

# A test's own `tear_down` is called when the nodes are gone.
finish() {
    local status=$? pid
    trap - EXIT INT TERM
    if [ "$ENDED" = no ]; then
        not_ok "the test runs to its end" "exit $status"
        echo "1..$CASES"
        status=1
    fi
    for pid in "${JOBS[@]}"; do kill -KILL "$pid" 2>/dev/null; done
    if [ "$FAILED" -gt 0 ]; then
        [ "$ENDED" = yes ] || loops 2>/dev/null | sed "s|^$TMP/||; s|^|#   |"
        for DIR in "${CLUSTERS[@]}"; do
            grep -Hv level=info "$DIR"/n*/log 2>/dev/null | tail -n 20 | sed "s|^$TMP/|#   |"
            [ ! -f "$DIR/cluster.conf" ] || (eval "$(cluster env)" && timeout 10 kvcli watch --once 2>&1) | sed 's/^/#   /'
        done
    fi
    for DIR in "${CLUSTERS[@]}"; do
        [ ! -f "$DIR/cluster.conf" ] || cluster "$([ -n "${KV_KEEP:-}" ] && echo down || echo clean)" >/dev/null 2>&1
    done
    ! declare -F tear_down >/dev/null || tear_down
    if [ -n "${KV_KEEP:-}" ]; then echo "# kept: $TMP"; else rm -rf "$TMP"; fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
