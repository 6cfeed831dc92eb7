#!/usr/bin/env bash
# A node is stopped (SIGSTOP) for 10 s at 30 % of peak rate: no request takes over 500 ms, the 99th percentile hardly
# moves; the node is suspected, then dead, then refutes and is alive, and nobody else is ever called dead.
# alone: it measures how long requests take
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

up pause
run kvbench --load --workload a --records 10000 --clients 32 --duration 4 --json
peak=$(number_of "$(tail -n 1 "$TMP/out")" ops_per_s)
rate=$(awk -v p="$peak" 'BEGIN { print int(p * 0.3) }')
note "peak $peak operations/s, so the load is $rate"

bench() { kvbench --workload a --records 10000 --clients 32 --rate "$rate" --duration "$1" --json; }
before=$(bench 5)
note "before: $before"
start_job bench 12 >"$TMP/during.json"
load=$job
sleep 1
must cluster pause 3
sleep 10
must cluster resume 3
check "the paused node is alive again for everybody" cluster wait alive 3 --timeout 20
wait "$load"
during=$(cat "$TMP/during.json")
note "during: $during"

equals "no operation failed" 0 "$(failures_of "$during")"
for op in read update; do
    between "no $op took over 500 ms (us)" 0 "$(number_of "$during" max_us "$op")" 500000
    limit=$(($(number_of "$before" p99_us "$op") * 3))
    [ "$limit" -ge 25000 ] || limit=25000
    between "p99 of ${op}s (us; before: $(number_of "$before" p99_us "$op"))" 0 "$(number_of "$during" p99_us "$op")" "$limit"
done

# ---- what the nodes said of each other ----

# Each of the others' changes of mind about n3 since the ring was formed.
for i in 1 2 4 5; do
    story=$(sed -n 's/.*event=member_\([a-z]*\) member=[0-9]* name=n3 .*was=\([a-z]*\).*/\2>\1/p' "$(log_of "$i")" | tail -n +2 | tr '\n' ' ')
    matches "n$i saw n3 suspected, then dead, then alive" '^alive>suspect (suspect>alive alive>suspect )*suspect>dead dead>alive $' "$story"
    note "n$i: $story"
done
matches "n3 says why" 'event=stalled ms=[0-9]{4}' "$(cat "$(log_of 3)")"
between "n3 refuted" 1 "$(stat_of 3 swim_refutations)" 100
equals "nobody else was ever called dead, by anybody" "" "$(grep -h 'event=member_dead ' "$DIR"/n?/log | grep -v ' name=n3 ' || true)"

done_testing
