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

  all       build release, asan and the fuzzers, then everything; of the unit tests in release those only that draw
            their runs at random, and more of them there
  checks    shellcheck, include directions, purity of what was built, formatting
  unit      MODE/tests/unit/*_test
  fuzz      every harness of tests/fuzz for $FUZZ_SECONDS (20), four at a time
  sim       executable tests/sim/*_test.sh
  cluster   executable tests/cluster/*_test.sh, four at a time, those with a line `# long` first, with their data in
            memory if /dev/shm has room ($KV_TMP says otherwise). In release builds what measures time comes last, on
            the disk: two at a time with a line `# calm`, by itself with `# alone`. Under `all` those with a line
            `# modes: release asan` run twice

  --build DIR       where the Makefile builds (default build)
  --mode MODE       which of its builds to test (default release)
  --match PATTERN   only tests whose name contains this glob

Tests find the programs in $KV_BIN, the word list in $KV_WORDS, the services in $KV_SERVICES. Logs stay in
DIR/MODE/log/. The last line is the sum.
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
FUZZ_JOBS=4    # each has its time, whatever it gets done in it
SMALL_JOBS=3   # checks, simulations and unit tests: some wait for a disk
CLUSTER_JOBS=4 # five take as long: then no processor is idle
CALM_JOBS=2
CLUSTER_PATIENCE=4 # what waits among so many may take so many times as long
UNIT_TIMEOUT_S=240
SIM_TIMEOUT_S=300
CLUSTER_TIMEOUT_S=420
SHOWN_LINES=120

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

# count_cases LOG: prints "passed failed skipped planned", 0 planned when it did not say.
count_cases() {
    awk '
        /^\[  PASSED  \] [0-9]+ test\(s\)/ { passed += $4 }
        /^\[  FAILED  \] [0-9]+ test\(s\)/ { failed += $4 }
        /^\[  SKIPPED \] [0-9]+ test\(s\)/ { skipped += $4 }
        /^\[==========\] Running [0-9]+ test\(s\)/ { planned += $3 }
        /^ok [0-9]/ { if (/# SKIP/) tap_skipped++; else tap_passed++ }
        /^not ok [0-9]/ { tap_failed++ }
        /^1\.\.[0-9]+$/ { tap_planned += substr($0, 4) }
        END {
            if (planned) print passed + 0, failed + 0, skipped + 0, planned
            else print tap_passed + 0, tap_failed + 0, tap_skipped + 0, tap_planned + 0
        }' "$1"
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
    [ -d "${log%/*}" ] || mkdir -p "${log%/*}"
    start=${EPOCHREALTIME/[.,]/}
    timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
    end=${EPOCHREALTIME/[.,]/}
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
    local seconds=$(((end - start) / 10000)) line
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

# in_slots SLOTS COMMAND...: in the background, as soon as fewer than that many run.
in_slots() {
    local slots=$1
    shift
    while [ "$(jobs -rp | wc -l)" -ge "$slots" ]; do wait -n || true; done
    "$@" &
}

wanted() {
    # shellcheck disable=SC2053 # MATCH is a glob
    [ -z "$MATCH" ] || [[ $1 == *$MATCH* ]]
}

# make_for MODE TARGET...: not a child of the make that called us: it has its own -j, and sees packages that were
# just installed.
make_for() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -j"$(nproc)" MODE="$1" BUILD="$BUILD" "${@:2}"
}

run_build() { # MODE TARGET...
    MODE=$1
    echo "== build $MODE"
    if make_for "$@"; then
        echo "1 0 0" >"$RESULTS/build-$MODE"
    else
        echo "FAIL build $MODE"
        echo "0 1 0" >"$RESULTS/build-$MODE"
        return 1
    fi
}

# Side by side; who calls it waits for them.
run_checks() {
    MODE=checks
    local core=$BUILD/release/libcore.a scripts
    if wanted shellcheck; then
        if command -v shellcheck >/dev/null; then
            mapfile -t scripts < <(find .ci/run scripts tests -name run -o -name '*.sh' | sort)
            in_slots $SMALL_JOBS run_one shellcheck 120 shellcheck -x --severity=warning "${scripts[@]}"
        else
            skip_one shellcheck "shellcheck is not installed"
        fi
    fi
    ! wanted includes || in_slots $SMALL_JOBS run_one includes 60 scripts/check-includes.sh
    ! wanted checks_test || in_slots $SMALL_JOBS run_one checks_test 60 tests/unit/checks_test.sh
    [ ! -e "$core" ] || ! wanted purity || in_slots $SMALL_JOBS run_one purity 60 scripts/check-purity.sh "$core"
    if wanted format; then
        if "$(command -v clang-format-14 || echo clang-format)" --version 2>/dev/null | grep -q 'version 14\.'; then
            in_slots $SMALL_JOBS run_one format 120 make fmt-check
        else
            skip_one format "clang-format 14 is not installed; others format differently"
        fi
    fi
}

# Side by side, from the last name to the first: uv_ and sim_ take long, base_ nothing, so that no core is left
# waiting at the end. Under `all` a release build runs those only that go more rounds there. Who calls it waits for them.
run_unit() {
    MODE=$1
    local tests=("$BUILD/$MODE"/tests/unit/*_test) prefix=() i name
    [ "$MODE" != tsan ] || prefix=(setarch -R) # its shadow memory and address randomisation collide on some kernels
    for ((i = ${#tests[@]} - 1; i >= 0; i--)); do
        name=${tests[i]##*/}
        [ "$WHAT$MODE" != allrelease ] || grep -qs unit/rounds.h "tests/unit/$name.c" || continue
        # What is left of a test whose source is gone is no test.
        if [ -x "${tests[i]}" ] && [ -e "tests/unit/$name.c" ] && wanted "$name"; then
            in_slots $SMALL_JOBS run_one "$name" "$UNIT_TIMEOUT_S" "${prefix[@]}" "${tests[i]}"
        fi
    done
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
    run_build fuzz CC=clang fuzzers
}

# run_fuzz JOBS: so many harnesses at a time.
run_fuzz() {
    local jobs=$1 source name
    MODE=fuzz
    echo "== fuzzers, $FUZZ_SECONDS s each"
    for source in tests/fuzz/*_fuzz.c; do
        name=$(basename "$source" .c)
        ! wanted "$name" || in_slots "$jobs" fuzz_one "$name"
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

# Where the clusters in lanes have their data: in memory, if there is room (they use half a GiB). Twenty nodes that sync
# all the time wait for the disk and not for what is tested, and a disk that stops for a minute fails them. Those that run
# in quiet have a disk.
lane_data() {
    local dir=/dev/shm free_mib
    free_mib=$(df -m --output=avail $dir 2>/dev/null | tail -n 1)
    [ "$(stat -f -c %T $dir 2>/dev/null)" = tmpfs ] && [ -w $dir ] && [ "${free_mib:-0}" -ge 2048 ] && echo $dir
}

# run_lanes JOBS MODE:FILE...: so many at a time, each with ports of its own: a test may kill all its nodes, and nobody else
# may take their ports meanwhile. They lie below those that Linux gives to clients.
run_lanes() {
    local jobs=$1 job l lane=()
    shift
    for job; do
        while :; do
            for ((l = 0; l < jobs; l++)); do
                if [ -z "${lane[l]:-}" ] || ! kill -0 "${lane[l]}" 2>/dev/null; then break 2; fi
            done
            wait -n || true
        done
        KV_BASE_FROM=$((7600 + l * 5000)) run_scripts "${job%%:*}" "$CLUSTER_TIMEOUT_S" "${job#*:}" &
        lane[l]=$!
    done
    for l in "${lane[@]}"; do wait "$l" || true; done
}

# Side by side; who calls it waits for them.
run_sim() {
    local script
    for script in tests/sim/*_test.sh; do in_slots $SMALL_JOBS run_scripts "$1" "$SIM_TIMEOUT_S" "$script"; done
}

# run_cluster MODE...
run_cluster() {
    local mode script calm=() alone=() long=() short=()
    for mode; do
        for script in tests/cluster/*_test.sh; do
            if [ "$WHAT" = all ] && [ "$mode" != release ] && ! grep -qE "^# modes:.*\<$mode\>" "$script"; then
                continue
            elif [ "$mode" = release ] && grep -q '^# alone' "$script"; then
                alone+=("$script")
            elif [ "$mode" = release ] && grep -q '^# calm' "$script"; then
                calm+=("$mode:$script")
            elif grep -q '^# long' "$script"; then
                long+=("$mode:$script")
            else
                short+=("$mode:$script")
            fi
        done
    done
    KV_TMP=${KV_TMP-$(lane_data || true)} KV_PATIENCE=$CLUSTER_PATIENCE run_lanes $CLUSTER_JOBS "${long[@]}" "${short[@]}"
    run_lanes $CALM_JOBS "${calm[@]}"
    run_scripts release "$CLUSTER_TIMEOUT_S" "${alone[@]}"
}

begin=$SECONDS
case $WHAT in
checks)
    run_checks
    wait
    ;;
unit)
    run_unit "$MODE"
    wait
    ;;
fuzz) ! build_fuzz || run_fuzz $FUZZ_JOBS ;;
sim)
    run_sim "$MODE"
    wait
    ;;
cluster) run_cluster "$MODE" ;;
all)
    built=() fuzzers=
    ! run_build release all release-tests || built+=(release)
    ! run_build asan all tests || built+=(asan)
    run_build debug "$BUILD/debug/kvsim" || true # whose traces are compared
    ! build_fuzz || fuzzers=built
    echo "== checks, simulations, unit tests"
    run_checks
    [[ " ${built[*]} " != *" release "* ]] || run_sim release
    for mode in "${built[@]}"; do run_unit "$mode"; done
    wait
    [ -z "$fuzzers" ] || run_fuzz $FUZZ_JOBS
    echo "== clusters of real nodes"
    run_cluster "${built[@]}"
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
