#!/usr/bin/env bash
# Partitions move under load while nodes are killed: the new home, twice; a source; and a node that leaves, for good,
# with half of its rows still to be given. Nothing acknowledged is lost, and what was taken over once is not again.
# long: begins first
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# At this pace a share takes some ten seconds.
export KVD_ARGS='--transfer-rate 1'

done_of() { stat_of "$1" transfer_partitions_done; }
moving() { [ "$(done_of "$1")" -ge "$2" ]; }
stable() { kvcli --json status | grep -q '"phase":"stable","queue":\[\]'; }
members() { kvcli ring --tsv | cut -f1 | paste -sd' '; }
# sum_of COUNTER NODE...
sum_of() {
    local name=$1 i
    shift
    for i in "$@"; do stat_of "$i" "$name"; done | awk '{ n += $1 } END { print n + 0 }'
}
# resumed NODE: how many partitions its last life began with.
resumed() { sed -n 's/.*event=transfer_begin .* done=\([0-9]*\) .*/\1/p' "$(log_of "$1")" | tail -n 1; }

up moves --nodes 5
must kvbench --load --records 20000 --value-size 1000 --clients 32 --workload put --ops 1 --pipeline 16 --json
start_job kvbench --workload a --records 20000 --value-size 1000 --clients 8 --rate 200 --duration 300 --json --history "$TMP/a.jsonl" >"$TMP/a.json"
load=$job

# ---- a sixth joins, and is killed midway ----

start_job cluster add >"$TMP/add" 2>&1
soon "n6 takes partitions over" 30 eval 'use moves; moving 6 200'
for round in first second; do
    before=$(done_of 6)
    must cluster kill 6
    must cluster start 6
    # Progress is noted once a second.
    between "killed for the $round time, it goes on with what it has noted, of $before partitions" 1 "$(resumed 6)" 4096
    soon "and takes more over" 30 eval 'moving 6 $((before + 100))'
done
must cluster kill 3
sleep 2
must cluster start 3
soon "after a source was away, too, it joins" 90 eval 'stable && [ "$(members)" = "n1 n2 n3 n4 n5 n6" ]'
soon "with its share of the rows" 30 eval '[ "$(stat_of 6 rows)" -ge 8500 ]' # they are counted now and then
taken=$(stat_of 6 transfer_bytes)
between "the last life took a part of them over (bytes)" 1 "$taken" 9500000

# ---- one leaves, and dies before it has given all ----

exits "n2 is to leave" 0 'leave n2: queued' kvcli node leave n2 --no-wait
soon "others take over from it" 30 eval 'moving 1 30'
must cluster kill 2
soon "it is given up, and the others read what it had from each other" 90 eval 'stable && [ "$(members)" = "n1 n3 n4 n5 n6" ]'
equals "nothing is missing for that" 0 "$(sum_of transfer_partitions_lost 1 3 4 5 6)"
kill -TERM "$load"
wait "$load"
note "$(cat "$TMP/a.json")"
equals "no operation failed but for its deadline" 0 "$(grep -cvE '"status":"(ok|not_found|timeout|unavailable)"' "$TMP/a.jsonl")"
run kvbench check "$TMP/a.jsonl"
matches "no acknowledged put is lost" ' acknowledged: 0 lost' "$out$err"
note "$out"
exits "every record is there" 0 '^20000$' eval 'kvcli scan user | wc -l'
# A row that a stand-in kept when its hint came home during the change goes with the next pass over what is not held.
must cluster stop 1 3 4 5 6
must cluster start 1 3 4 5 6
must cluster wait alive 1 3 4 5 6
three_times() { rows=$(sum_of rows 1 3 4 5 6) && [ "$rows" = 60000 ]; }
soon "and three times" 60 three_times
note "rows: $rows"

done_testing
