#!/usr/bin/env bash
# Under load one node is killed, 5 s later a second, 10 s later both come back. Nobody notices the first; with two
# dead nearly nobody; nothing acknowledged is lost, and what was hinted for the two reaches them.
# calm: it measures how long requests take
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

up kill
must kvbench --load --records 10000 --clients 32 --workload put --ops 1 --pipeline 16 --json

start_job kvbench --workload a --records 10000 --clients 32 --rate 2000 --duration 60 --json --history "$TMP/a.jsonl" >"$TMP/a.json"
load=$job
start_job kvbench --workload put --unique --records 1 --key-prefix once- --clients 8 --rate 200 --duration 60 --seed 2 --json \
    --history "$TMP/once.jsonl" >"$TMP/once.json"
once=$job
sleep 3
first=$(mono_ns)
cluster kill 2
sleep 5
second=$(mono_ns)
cluster kill 4
sleep 10
must cluster start 2 4
returned=$(now_ms)

# ---- hints reach the returned, while the load goes on ----

soon "no hint waits any more on any node" 10 no_hints
note "returned and without hints after $(($(now_ms) - returned)) ms"
handed=0
for i in 1 3 5; do handed=$((handed + $(stat_of "$i" hints_handed_over))); done
between "hints were handed over" 100 "$handed" 1000000
check "the returned are seen alive by all" cluster wait alive 2 4 --timeout 10
kill -TERM "$load" "$once" # in peace
wait "$load" "$once"

# ---- every operation ended well ----

note "$(cat "$TMP/a.json")"
cat "$TMP/a.jsonl" "$TMP/once.jsonl" >"$TMP/all.jsonl"
# ended FROM UNTIL: "operations bad" of those that began then, and says which were bad.
ended() {
    awk -v from="$1" -v until="$2" -F'"start_ns":' '
        { split($2, t, ","); if (t[1] < from || t[1] >= until) next }
        { n++ }
        !/"status":"(ok|not_found)"/ { bad++; if (bad <= 5) print "# " $0 >"/dev/stderr" }
        END { print n + 0, bad + 0 }' "$TMP/all.jsonl"
}
read -r n bad < <(ended 0 "$first")
equals "before the first kill all $n operations are ok" 0 "$bad"
read -r n bad < <(ended "$first" "$second")
equals "from the first kill to the second all $n operations are ok or not_found" 0 "$bad"
between "enough of them to say so" 8000 "$n" 13000
read -r n bad < <(ended "$second" 99999999999999999)
note "$bad of $n operations failed after the second kill"
between "after the second at least 99.9 % are" 0 "$((bad * 100000 / n))" 100
longest=$(sed -n 's/.*"start_ns":\([0-9]*\),"end_ns":\([0-9]*\).*/\1 \2/p' "$TMP/all.jsonl" | awk '{ d = $2 - $1; if (d > m) m = d } END { print int(m / 1e6) }')
between "all within their deadline (ms)" 0 "$longest" 2050

# ---- nothing acknowledged is lost ----

run kvbench check "$TMP/a.jsonl"
matches "no acknowledged put is lost" ' acknowledged: 0 lost' "$out$err"
note "$out"
run kvbench check "$TMP/once.jsonl"
matches "every acknowledged key of those written once is there" ' acknowledged: 0 lost' "$out$err"
note "$out"
# That check can fail: a history with a put that never was.
printf '{"client":0,"op":"put","key":"never","value":"c0-1","start_ns":1,"end_ns":2,"status":"ok"}\n' >"$TMP/never.jsonl"
exits "a put that never reached the store counts as lost" 1 'acknowledged: 1 lost' kvbench check "$TMP/never.jsonl"

# ---- the returned nodes' own copies ----

# copies NODE: of all keys that it is a home of, compares its own copy with what a majority says.
copies() {
    local node=$1
    sed 's/^/where /' "$TMP/keys" | kvcli --json |
        sed -n "s/^{\"key\":\"\([^\"]*\)\".*\"homes\":\[[^]]*\"$node\"[],].*/\1/p" >"$TMP/keys-$node"
    sed 's/^/get /' "$TMP/keys-$node" | kvcli --json --via "$node" | version >"$TMP/majority-$node"
    sed 's/.*/get & --local/' "$TMP/keys-$node" | kvcli --json --via "$node" | version >"$TMP/local-$node"
}
# Key, value and stamp of each answer.
version() { sed 's/.*"key":\("[^"]*"\),"value":\("[^"]*"\).*"stamp":\("[^"]*"\).*/\1 \2 \3/'; }

sed -n 's/.*"op":"put","key":"\([^"]*\)".*"status":"ok".*/\1/p' "$TMP/all.jsonl" | sort -u >"$TMP/keys"
copies n2 &
copies n4
wait $!
for node in n2 n4; do
    keys=$(wc -l <"$TMP/keys-$node")
    differing=$(diff "$TMP/majority-$node" "$TMP/local-$node" | grep -c '^>' || true)
    between "$node is a home of its share of the keys" 3000 "$keys" 9000
    equals "$node has its own newest copy of all $keys" 0 "$differing"
    [ "$differing" = 0 ] || diff "$TMP/majority-$node" "$TMP/local-$node" | head -n 6 | sed 's/^/# /'
done

done_testing
