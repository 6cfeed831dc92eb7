#!/usr/bin/env bash
# What is expired is absent on every node within a second of its time, and what is deleted stays so, though a node
# that has it was down when it was deleted.
# modes: release asan
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

up ttl

# ---- expiry ----

for ((i = 0; i < 50; i++)); do printf 'ttl%d\tgone soon\n' "$i"; done >"$TMP/ttl.tsv"
must kvcli put stays here
found() { # how many of the 50 node $1 finds; more options may follow
    local node=$1
    shift
    cut -f1 "$TMP/ttl.tsv" | sed "s/.*/get & $*/" | kvcli --json --via "$node" 2>&1 | grep -c '"status":"ok"' || true
}
look() { # at all of them: $all found by n1, $own on the disks of their homes
    local i
    all=$(found n1) own=0
    for i in 1 2 3 4 5; do own=$((own + $(found "n$i" --local))); done
}
begin=$(now_ms)
look # how long that takes here
ttl=$((5 + 3 * ($(now_ms) - begin) / 1000))
must kvcli load --ttl "$ttl" "$TMP/ttl.tsv"
put_ms=$(now_ms)
look
left=$((put_ms + ttl * 1000 - $(now_ms)))
[ "$left" -gt 0 ] || die "a look takes less than $ttl s"
equals "all are there before their time" 50 "$all"
between "on the disks of their homes" 100 "$own" 150
sleep "$(awk -v ms="$left" 'BEGIN { print ms / 1000 + 0.9 }' </dev/null)"
for i in 1 2 3 4 5; do
    equals "n$i finds none of them within a second of their time" "0 0" "$(found "n$i") $(found "n$i" --local)"
done
equals "what has no time stays" here "$(kvcli get stays)"
exits "scan does not show the expired" 0 '^stays$' kvcli scan
must kvcli put ttl0 'again, for ever'
equals "an expired key can be put again" 'again, for ever' "$(kvcli get ttl0)"

# ---- deletion ----

for ((i = 0; i < 300; i++)); do printf 'del%d\tvalue\n' "$i"; done >"$TMP/del.tsv"
must kvcli -w 3 load "$TMP/del.tsv"
must cluster kill 3
cut -f1 "$TMP/del.tsv" | sed 's/^/del /' | kvcli --json >"$TMP/deleted" 2>&1
equals "all are deleted while a node is down" 300 "$(grep -c '"status":"ok"' "$TMP/deleted")"
must cluster start 3
must cluster wait alive 3
soon "the deletions reach the node that was down" 10 no_hints
there() { # how many some node still finds
    local i n=0
    for i in 1 2 3 4 5; do
        n=$((n + $(cut -f1 "$TMP/del.tsv" | sed "s/.*/get & $*/" | kvcli --json --via "n$i" 2>&1 | grep -c '"status":"ok"')))
    done
    echo "$n"
}
equals "no node finds one of them" 0 "$(there)"
equals "and none has a copy that lives" 0 "$(there --local)"
exits "not found is exit 1, and proven" 1 'not found: del7$' kvcli get del7
exits "to delete what is not there is no error" 0 '' kvcli del del7

done_testing
