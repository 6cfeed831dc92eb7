#!/usr/bin/env bash
# SIGTERM under load: the node exits 0, nothing acknowledged is lost, and no client sees more than a retry.
# calm: it measures how long requests take
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

up term
mapfile -d '' -t line <"/proc/$(pid_of 2)/cmdline"
must cluster stop 2

# As our own child, its exit status can be seen.
start_job "${line[@]}" 2>>"$(log_of 2)"
child=$job
echo "$child" >"$DIR/n2/pid"
must cluster wait alive 2

start_job kvbench --workload a --records 5000 --clients 32 --rate 2000 --duration 7 --json --history "$TMP/a.jsonl" >"$TMP/a.json"
load=$job
sleep 2
kill -TERM "$child"
begin=$(now_ms)
wait "$child"
equals "a node that is told to stop under load exits 0" 0 "$?"
between "without much delay (ms)" 0 $(($(now_ms) - begin)) 3000
sleep 1
must cluster start 2
# Often, because what a stop may come in the middle of differs.
for ((stops = 0; stops < 8; stops++)); do
    must cluster stop 4 --timeout 5
    must cluster start 4
done
must cluster stop 4 --timeout 5
wait "$load"
note "$(cat "$TMP/a.json")"
equals "every operation of the load is ok" 0 "$(failures_of "$(cat "$TMP/a.json")")"
between "none waited long (us)" 0 "$(number_of "$(cat "$TMP/a.json")" max_us update)" 500000
matches "it says that it stopped" 'event=stopped status=0' "$(tail -n 3 "$(log_of 4)")"

# A request in flight is finished first: with slow disks, a put that only this node knows of.
must cluster start 4
must cluster wait alive 4
must kvcli fault slow-disk 700
node=$(addr_of 4)
start_job kvcli -n "$node" --via "$node" put in-flight value >"$TMP/flight" 2>&1
put=$job
in_flight() { [ "$(stat_of 4 requests_in_flight)" -gt 0 ]; }
soon "a put is in flight" 1 in_flight
must cluster stop 4
wait "$put"
equals "the put in flight when its node is told to stop ends ok" "0 " "$? $(cat "$TMP/flight")"
must cluster start 4
must kvcli fault clear
equals "and is there" value "$(kvcli get in-flight)"

# All, under load: what was acknowledged is on disk.
start_job kvbench --workload put --records 5000 --clients 32 --duration 3 --timeout 500 --seed 9 --key-prefix all- --json --history "$TMP/all.jsonl" >"$TMP/all.json"
load=$job
sleep 1
must cluster stop 1 2 3 4 5
wait "$load"
must cluster start 1 2 3 4 5
must cluster wait alive 1 2 3 4 5
for history in a all; do
    run kvbench check "$TMP/$history.jsonl"
    matches "no acknowledged put of load $history is lost" ' acknowledged: 0 lost' "$out$err"
    note "$out"
done
exits "SIGINT is as good" 0 '' kill -INT "$(pid_of 1)"
stopped() { tail -n 1 "$(log_of 1)" | grep -q 'event=stopped status=0'; }
soon "and stops it" 5 stopped

# ---- beyond loopback ----

for host in 0.0.0.0 192.0.2.1 '[::]'; do
    exits "--listen $host:7999 is refused without --trust-network" 2 'not loopback.*--trust-network' \
        kvd --name x --data "$TMP/x" --listen "$host:7999" --initial x=127.0.0.1:7999
done
check "before it made a data directory" test ! -e "$TMP/x"

done_testing
