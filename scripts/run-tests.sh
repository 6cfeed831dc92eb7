#!/usr/bin/env bash
# Runs tests and sums them up; `make test`, `make unit` and `make cluster-test` call it. --help says how.
#
# One line per executable. Cases inside are counted from what it prints: cmocka's summary, or TAP lines
# (`ok N - text`, `not ok N - text`, `# SKIP reason`). An executable that ends badly without naming a failed case,
# or that claims success without having run a case it planned, counts as one failed.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/run-tests.sh [--build DIR] [--mode MODE] [--match PATTERN] all|checks|unit|fuzz|sim|cluster

  all       build release and asan, then everything
  checks    include directions, shellcheck, formatting
  unit      MODE/tests/unit/*_test
  fuzz      every harness of tests/fuzz for $FUZZ_SECONDS (20), two at a time
  sim       executable tests/sim/*.sh
  cluster   executable tests/cluster/*_test.sh, three at a time; one with a line `# alone` measures time, and runs
            by itself in release builds. Under `all` those with a line `# modes: release asan` run twice

  --build DIR       where the Makefile builds (default build)
  --mode MODE       which of its builds to test (default release)
  --match PATTERN   only tests whose name contains this glob

Tests find the programs in $KV_BIN, the word list in $KV_WORDS, the services in $KV_SERVICES. Logs stay in DIR/MODE/log/. The last line is the sum.
TEXT
}

BUILD=build MODE=release MATCH='' WHAT=''
while [ $# -gt 0 ]; do
    case $1 in
    --build) BUILD=$2; shift 2 ;;
    --mode) MODE=$2; shift 2 ;;
    --match) MATCH=$2; shift 2 ;;
    --help) usage; exit 0 ;;
    all | checks | unit | fuzz | sim | cluster) WHAT=$1; shift ;;
    *) usage >&2; echo "run-tests.sh: what is '$1'?" >&2; exit 2 ;;
    esac
done
[ -n "$WHAT" ] || { usage >&2; exit 2; }

FUZZ_SECONDS=${FUZZ_SECONDS:-20}
UNIT_JOBS=2
CLUSTER_JOBS=3 # they mostly wait
fuzzing= # pid of the fuzzers, when they run beside something
UNIT_TIMEOUT_S=240
SIM_TIMEOUT_S=300
CLUSTER_TIMEOUT_S=420
SHOWN_LINES=60

RESULTS=$(mktemp -d)
trap 'rm -rf "$RESULTS"' EXIT

# A failed test must end in a report, not in a silent half.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-ignore_noninstrumented_modules=1}

# first_of FILE...: prints the first that exists, or the first.
first_of() {
    local file
    for file; do [ ! -e "$file" ] || { echo "$file"; return; }; done
    echo "$1"
}

# The tests' real input, where apt or `deps.sh --user` puts it.
KV_WORDS=$(first_of /usr/share/dict/american-english "$PWD/.deps/usr/share/dict/american-english")
KV_SERVICES=$(first_of /etc/services "$PWD/.deps/etc/services")
export KV_WORDS KV_SERVICES

# sum_matches FILE SED_EXPRESSION: adds up the numbers which the expression prints.
sum_matches() {
    sed -n "$2" "$1" | awk '{ n += $1 } END { print n + 0 }'
}

# count_cases LOG: prints "passed failed skipped planned", 0 planned when it did not say.
count_cases() {
    local log=$1 passed failed skipped planned
    passed=$(sum_matches "$log" 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p')
    failed=$(sum_matches "$log" 's/^\[  FAILED  \] \([0-9]*\) test(s).*/\1/p')
    skipped=$(sum_matches "$log" 's/^\[  SKIPPED \] \([0-9]*\) test(s).*/\1/p')
    planned=$(sum_matches "$log" 's/^\[==========\] Running \([0-9]*\) test(s).*/\1/p')
    if [ "$planned" = 0 ]; then
        passed=$(grep -v '# SKIP' "$log" | grep -c '^ok [0-9]' || true)
        skipped=$(grep -c '^ok [0-9].*# SKIP' "$log" || true)
        failed=$(grep -c '^not ok [0-9]' "$log" || true)
        planned=$(sum_matches "$log" 's/^1\.\.\([0-9][0-9]*\)$/\1/p')
    fi
    echo "$passed $failed $skipped $planned"
}

# failure_of LOG: the failed cases with what they say, or else the end of the log.
failure_of() {
    if grep -q '^not ok [0-9]' "$1"; then
        awk '/^(not )?ok [0-9]/ { shown = /^not/ } shown' "$1" | head -n "$SHOWN_LINES"
    else
        tail -n "$SHOWN_LINES" "$1"
    fi
}

# run_one NAME TIMEOUT_S COMMAND...: runs it, prints its line, leaves its counts in $RESULTS.
run_one() {
    local name=$1 limit=$2 log status=0 start end passed failed skipped planned verdict=ok why='' cases
    shift 2
    log=$BUILD/$MODE/log/${name//\//_}.log
    mkdir -p "${log%/*}"
    start=$(date +%s%N)
    timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
    end=$(date +%s%N)
    read -r passed failed skipped planned < <(count_cases "$log")
    cases=$((passed + failed + skipped))
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        failed=$((failed + 1)) why="not done after $limit s"
    elif [ "$status" != 0 ] && [ "$failed" = 0 ]; then
        failed=1 why="exit $status"
    elif [ "$cases" -lt "$planned" ]; then
        failed=$((failed + 1)) why="$cases of $planned cases ran"
    elif [ "$cases" = 0 ]; then
        passed=1 # a check: it has one answer, its exit status
    fi
    [ "$failed" = 0 ] || verdict=FAIL
    echo "$passed $failed $skipped" >"$RESULTS/$MODE-${name//\//_}"
    local seconds=$(((end - start) / 10000000)) line
    line=$(printf '%-4s %-8s %-40s %5d cases %4d.%02d s  %s' "$verdict" "$MODE" "$name" \
        $((passed + failed + skipped)) $((seconds / 100)) $((seconds % 100)) "$why")
    [ "$skipped" = 0 ] || line+=$'\n'$(grep -E '# SKIP|^\[  SKIPPED \] [^0-9]' "$log" | sed 's/^/     /' || true)
    [ "$failed" = 0 ] || line+=$'\n'$(failure_of "$log" | sed 's/^/     | /')
    printf '%s\n' "$line"
}

# A check whose tool is not here is skipped with the reason, never passed.
skip_one() {
    printf 'skip %-8s %-40s %s\n' "$MODE" "$1" "$2"
    echo "0 0 1" >"$RESULTS/$MODE-${1//\//_}"
}

wanted() {
    # shellcheck disable=SC2053 # MATCH is a glob
    [ -z "$MATCH" ] || [[ $1 == *$MATCH* ]]
}

run_build() {
    MODE=$1
    echo "== build $MODE"
    # Not a child of the make that called us: it has its own -j, and sees packages that were just installed.
    if env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -j"$(nproc)" MODE="$MODE" BUILD="$BUILD" all tests; then
        echo "1 0 0" >"$RESULTS/build-$MODE"
    else
        echo "FAIL build $MODE"
        echo "0 1 0" >"$RESULTS/build-$MODE"
        return 1
    fi
}

run_checks() {
    MODE=checks
    echo "== checks"
    ! wanted includes || run_one includes 60 scripts/check-includes.sh
    ! wanted checks_test || run_one checks_test 60 tests/unit/checks_test.sh
    local core=$BUILD/release/libcore.a
    [ ! -e "$core" ] || ! wanted purity || run_one purity 60 scripts/check-purity.sh "$core"
    if wanted shellcheck; then
        if command -v shellcheck >/dev/null; then
            local scripts
            mapfile -t scripts < <(find .ci/run scripts tests -name run -o -name '*.sh' | sort)
            run_one shellcheck 120 shellcheck -x --severity=warning "${scripts[@]}"
        else
            skip_one shellcheck "shellcheck is not installed"
        fi
    fi
    if wanted format; then
        if "$(command -v clang-format-14 || echo clang-format)" --version 2>/dev/null | grep -q 'version 14\.'; then
            run_one format 120 make fmt-check
        else
            skip_one format "clang-format 14 is not installed; others format differently"
        fi
    fi
}

run_unit() {
    MODE=$1
    echo "== unit tests, $MODE"
    local test name prefix=()
    [ "$MODE" != tsan ] || prefix=(setarch -R) # its shadow memory and address randomisation collide on some kernels
    for test in "$BUILD/$MODE"/tests/unit/*_test; do
        [ -x "$test" ] || continue
        name=${test##*/}
        # What is left of a test whose source is gone is no test.
        [ -e "tests/unit/$name.c" ] || continue
        wanted "$name" || continue
        while [ "$(jobs -rp | wc -l)" -ge "$UNIT_JOBS" ]; do wait -n || true; done
        run_one "$name" "$UNIT_TIMEOUT_S" "${prefix[@]}" "$test" &
    done
    wait
}

# One harness: what it does not survive is in its log and in BUILD/fuzz/.
fuzz_one() {
    local name=$1 seeds=tests/fuzz/corpus/$1
    mkdir -p "$BUILD/fuzz/corpus/$name"
    run_one "fuzz/$name" $((FUZZ_SECONDS + 60)) "$BUILD/fuzz/tests/fuzz/$name" -max_total_time="$FUZZ_SECONDS" \
        -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$BUILD/fuzz/$name-" \
        "$BUILD/fuzz/corpus/$name" "$seeds"
}

# build_fuzz: false, with the reason, when there is nothing to run.
build_fuzz() {
    MODE=fuzz
    if ! echo 'int LLVMFuzzerTestOneInput(void){return 0;}' | clang -fsanitize=fuzzer -x c - -o "$RESULTS/probe" 2>/dev/null; then
        skip_one fuzz "needs clang with libFuzzer (Debian: clang, libclang-rt-14-dev)"
        return 1
    fi
    rm -f "$RESULTS/probe"
    if ! env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -j"$(nproc)" MODE=fuzz CC=clang BUILD="$BUILD" fuzzers; then
        echo "FAIL build fuzz"
        echo "0 1 0" >"$RESULTS/build-fuzz"
        return 1
    fi
}

# run_fuzz JOBS: so many harnesses at a time.
run_fuzz() {
    local jobs=$1 source name
    MODE=fuzz
    echo "== fuzzers, $FUZZ_SECONDS s each"
    for source in tests/fuzz/*_fuzz.c; do
        name=$(basename "$source" .c)
        wanted "$name" || continue
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
        fuzz_one "$name" &
    done
    wait
}

# run_scripts MODE TIMEOUT_S FILE...: one after the other.
run_scripts() {
    local limit=$2 script name
    MODE=$1
    shift 2
    KV_BIN=$(cd "$BUILD/$MODE" && pwd) || return 0
    export KV_BIN KV_MODE=$MODE
    for script; do
        name=${script#tests/}
        name=${name%.sh}
        if [ -x "$script" ] && wanted "$name"; then
            run_one "$name" "$limit" "$script"
        fi
    done
}

# run_lanes MODE TIMEOUT_S FILE...: some at a time, each with ports of its own: a test may kill all its nodes, and
# nobody else may take their ports meanwhile.
run_lanes() {
    local mode=$1 limit=$2 script l lane=()
    shift 2
    for script; do
        while :; do
            for ((l = 0; l < CLUSTER_JOBS; l++)); do
                if [ -z "${lane[l]:-}" ] || ! kill -0 "${lane[l]}" 2>/dev/null; then break 2; fi
            done
            wait -n || true
        done
        KV_BASE_FROM=$((7600 + l * 10000)) run_scripts "$mode" "$limit" "$script" &
        lane[l]=$!
    done
    wait
}

run_sim() {
    echo "== simulations, $1"
    run_scripts "$1" "$SIM_TIMEOUT_S" tests/sim/*.sh
}

run_cluster() {
    echo "== clusters of real nodes, $1"
    local scripts=(tests/cluster/*_test.sh) alone=() together=() script
    if [ "$WHAT" = all ] && [ "$1" != release ]; then
        mapfile -t scripts < <(grep -lE "^# modes:.*\<$1\>" "${scripts[@]}" 2>/dev/null || true)
    fi
    for script in "${scripts[@]}"; do
        if [ "$1" = release ] && grep -q '^# alone' "$script"; then alone+=("$script"); else together+=("$script"); fi
    done
    run_lanes "$1" "$CLUSTER_TIMEOUT_S" "${together[@]}"
    [ -z "$fuzzing" ] || wait "$fuzzing" 2>/dev/null || true
    run_scripts "$1" "$CLUSTER_TIMEOUT_S" "${alone[@]}"
}

begin=$SECONDS
case $WHAT in
checks) run_checks ;;
unit) run_unit "$MODE" ;;
fuzz) ! build_fuzz || run_fuzz "$UNIT_JOBS" ;;
sim) run_sim "$MODE" ;;
cluster) run_cluster "$MODE" ;;
all)
    built=()
    for mode in release asan; do
        ! run_build "$mode" || built+=("$mode")
    done
    run_checks
    for mode in "${built[@]}"; do run_unit "$mode"; done
    [[ " ${built[*]} " != *" release "* ]] || run_sim release
    # Tests of clusters mostly wait: a core is free for the fuzzers beside those that measure nothing.
    ! build_fuzz || run_fuzz 1 &
    fuzzing=$!
    for mode in "${built[@]}"; do run_cluster "$mode"; done
    ;;
esac

echo "== $((SECONDS - begin)) s"
find "$RESULTS" -type f -exec cat {} + | awk '
    { passed += $1; failed += $2; skipped += $3 }
    END {
        printf "%d passed, %d failed", passed, failed
        if (skipped) printf ", %d skipped", skipped
        printf "\n"
        exit (failed > 0 || passed == 0)
    }'
