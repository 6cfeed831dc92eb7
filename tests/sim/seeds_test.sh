#!/usr/bin/env bash
# Simulated clusters from their seeds: 200 of five nodes, each run twice and alike; the seeds that once found a bug;
# and the same trace from debug, release and sanitizer builds.
set -euo pipefail
cd "$(dirname "$0")/../.."
KVSIM=${KV_BIN:?}/kvsim
BUILD=$(dirname "$KV_BIN")
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
number=0

# case_of TEXT COMMAND...: one TAP line; what the command printed is shown when it fails.
case_of() {
    local text=$1
    shift
    number=$((number + 1))
    if "$@" >"$LOG" 2>&1; then
        echo "ok $number - $text"
    else
        echo "not ok $number - $text"
        sed 's/^/# /' "$LOG"
    fi
}

# One line a seed, without the sum, whose speed differs from run to run.
lines_of() {
    "$1/kvsim" --seed 1 --seeds 8 --nodes 0 --seconds 20 --ops 600 | grep '^seed'
}

same_in() {
    local mode=$1
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -j2 MODE="$mode" BUILD="$BUILD" "$BUILD/$mode/kvsim" >/dev/null
    diff <(lines_of "$KV_BIN") <(lines_of "$BUILD/$mode")
}

# Seeds of long runs of any number of nodes.
found() {
    local seed
    for seed in "$@"; do
        "$KVSIM" --seed "$seed" --nodes 0 --seconds 57 --quiet || return 1
    done
}

echo 1..11
case_of "200 seeds, twice each, every class of faults" "$KVSIM" --seeds 200 --twice --quiet
case_of "20 seeds of nine nodes" "$KVSIM" --seed 1000 --seeds 20 --nodes 9 --quiet
case_of "20 seeds of three nodes" "$KVSIM" --seed 2000 --seeds 20 --nodes 3 --quiet
case_of "20 seeds where a hub coordinates" "$KVSIM" --seed 4000 --seeds 20 --nodes 0 --topology central --quiet
case_of "20 seeds where a hub keeps the list" "$KVSIM" --seed 5000 --seeds 20 --nodes 0 --topology directory --quiet
case_of "seeds of notes forgotten by who was given up, of a join undone, of a slow stop while all heals, of a lone founder" \
    found 60001028 61002681 60001774 80000355 84003193 84008946
case_of "no faults, no surprises" "$KVSIM" --seed 3000 --seeds 10 --faults none --quiet
case_of "an unknown fault is refused" test "$("$KVSIM" --faults nonsense >/dev/null 2>&1; echo $?)" = 2
case_of "what there is, is listed" "$KVSIM" list
case_of "the same runs in the sanitizer build" same_in asan
case_of "the same runs in the debug build" same_in debug
