#!/usr/bin/env bash
# A whole life in small: 2,000 keys, a node killed under load and started again, its hints, all killed, SIGTERM. Under
# the sanitizers every report in a node's log, and every leak of a client, fails it.
# modes: release asan
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

awk 'BEGIN { for (i = 0; i < 2000; i++) { v = "value " i; while (length(v) < i) v = v v; print "key" i "\t" v } }' </dev/null >"$TMP/keys.tsv"
up smoke
equals "nodes let who runs go on (SCHED_BATCH is 3)" 3 "$(awk '{ print $41 }' "/proc/$(pid_of 1)/stat")"
exits "2,000 keys, with values of up to 4 kB" 0 '^2000 loaded, 0 failed' kvcli load "$TMP/keys.tsv"

start_job kvbench --timeout "$DEADLINE_MS" --workload a --records 500 --clients 8 --rate 300 --duration 8 --value-size 700 --json --history "$TMP/a.jsonl" >"$TMP/a.json"
load=$job
sleep 1
must cluster kill 2
must cluster wait dead 2
must kvcli put while away
must kvcli del key7
must cluster start 2
must cluster wait alive 2
soon "hints find their way home" 20 no_hints
wait "$load"
note "$(cat "$TMP/a.json")"
equals "no operation failed" 0 "$(failures_of "$(cat "$TMP/a.json")")"
run kvbench check "$TMP/a.jsonl"
matches "no acknowledged put is lost" ' acknowledged: 0 lost' "$out"

sed -i '/^key7\t/d' "$TMP/keys.tsv"
for i in 1 2 3 4 5; do
    run kvcli --via "n$i" check "$TMP/keys.tsv"
    matches "n$i finds all keys" '^1999 equal' "$out$err"
done
exits "and not the deleted one" 1 'not found' kvcli --via n2 get key7
equals "scan sees what is there" 2000 "$(kvcli scan | grep -cE '^(key[0-9]+|while)$')"
exits "strict" 0 '^away$' kvcli --strict get while

run kvbench names --ops 300 --rate 150 --key-prefix name
matches "each of 300 changed names is known at every node" '"names":300,"nodes":5,.*"refused":0,"late":0,.*"known":\{"count":300,' "$out"
equals "with the value that it was given last" "$(kvcli --via n1 get name299)" "$(kvcli --via n5 get name299)"

must cluster kill 1 2 3 4 5
must cluster start 1 2 3 4 5
must cluster wait alive 1 2 3 4 5
run kvcli check "$TMP/keys.tsv"
matches "after all were killed everything is there" '^1999 equal' "$out$err"
must cluster stop 1 2 3 4 5
for i in 1 2 3 4 5; do matches "n$i has stopped well" 'event=stopped status=0' "$(tail -n 1 "$(log_of "$i")")"; done
must cluster start 1 2 3 4 5
must cluster wait alive 1 2 3 4 5
run kvcli check "$TMP/keys.tsv"
matches "after all were stopped too" '^1999 equal' "$out$err"

done_testing
