#!/usr/bin/env bash
# All five nodes are killed at one moment under load, and started again: they serve within 5 s, and nothing that
# was acknowledged is lost. Their clocks do not run backwards, though all come back with their wall clocks an hour ago.
# calm: it measures how long it takes until all serve
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

need_words
words_tsv >"$TMP/words.tsv"
words=$(wc -l <"$TMP/words.tsv")
up all
must kvcli load "$TMP/words.tsv"

start_job kvbench --workload a --records 10000 --clients 32 --rate 2500 --duration 4 --timeout 1000 --json --history "$TMP/a.jsonl" >"$TMP/a.json"
load=$job
sleep 2
pids=()
for i in 1 2 3 4 5; do pids+=("$(pid_of "$i")"); done
kill -KILL "${pids[@]}"
wait "$load"
note "$(cat "$TMP/a.json")"
between "the kill struck in the middle of the load: some operations failed" 32 "$(failures_of "$(cat "$TMP/a.json")")" 8000

# ---- all serve again ----

serve() { # every node answers gets of words through itself
    local i
    for i in 1 2 3 4 5; do [ "$(kvcli --timeout 500 --via "n$i" get zebra)" = "$zebra" ] || return 1; done
}
zebra=$(awk -F'\t' '$1 == "zebra" { print $2 }' "$TMP/words.tsv")
begin=$(now_ms)
must cluster start 1 2 3 4 5
within 10 serve
between "all five serve within 5 s (ms)" 0 "$(($(now_ms) - begin))" 5000

run kvbench check "$TMP/a.jsonl"
matches "no acknowledged put is lost" ' acknowledged: 0 lost' "$out$err"
note "$out"
run kvcli check "$TMP/words.tsv"
matches "all $words words are there" "^$words equal, 0 different or failed, 0 missing" "$out$err"

# ---- the clock never goes back over a restart ----

stamp_of() { sed -n 's/.*"stamp":"\([0-9a-f]*\)-.*/\1/p'; }
must kvcli put clocked before
before=$(kvcli --json get clocked | stamp_of)
must cluster kill 1 2 3 4 5
for i in 1 2 3 4 5; do export "KVD_ARGS_n$i=--clock-skew -3600000"; done
must cluster start 1 2 3 4 5
within 10 serve
must kvcli put clocked after
after=$(kvcli --json get clocked | stamp_of)
equals "a put after the clocks went back an hour is the one that is read" after "$(kvcli get clocked)"
check "its stamp is above the one before ($before, $after)" test "$((16#$after))" -gt "$((16#$before))"

done_testing
