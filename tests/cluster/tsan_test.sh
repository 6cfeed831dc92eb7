#!/usr/bin/env bash
# Five nodes built with ThreadSanitizer, under load, with a node that is killed and returns and with graceful stops:
# no data race in our code. Nothing is suppressed; what RocksDB and libuv do among themselves is not looked at.
# modes: tsan
# shellcheck disable=SC2154 # lib.sh sets job
. "$(dirname "$0")/lib.sh"

if [ "$KV_MODE" != tsan ]; then
    skip "no data race" "not built with ThreadSanitizer; make tsan-test"
    done_testing
fi
export TSAN_OPTIONS=ignore_noninstrumented_modules=1
# Its shadow memory and address randomisation collide on some kernels.
[ "$(setarch -R true 2>&1)" != "" ] || cluster() { setarch -R "$TOP/scripts/cluster.sh" "$@" --dir "$DIR"; }

bench() { setarch -R kvbench --timeout 20000 --json "$@"; }
ends_well() { # TEXT JSON
    note "$1: $2"
    equals "$1: every operation went well" 0 "$(failures_of "$2")"
}

up tsan
ends_well "loading" "$(bench --load --workload put --records 2000 --clients 16 --ops 1000 --value-size 2000 | tail -n 1)"
start_job bench --workload a --records 2000 --clients 32 --duration 20 --value-size 2000 >"$TMP/a.json"
load=$job
sleep 3
must cluster kill 2
sleep 4
must cluster start 2
must cluster wait alive 2
check "scans go on meanwhile" setarch -R kvcli --timeout 20000 scan --limit 500
check "and values of a MiB" setarch -R kvcli --timeout 20000 put large @<(head -c 1000000 /dev/urandom)
must cluster stop 4
wait "$load"
ends_well "a node killed, another stopped" "$(tail -n 1 "$TMP/a.json")"
must cluster start 4
must cluster wait alive 4
must cluster down
equals "no data race was seen" "" "$(grep -h 'WARNING: ThreadSanitizer' "$DIR"/n*/log)"
for i in 1 2 3 4 5; do matches "n$i stopped by itself" 'event=stopped status=0' "$(tail -n 1 "$(log_of "$i")")"; done

done_testing
