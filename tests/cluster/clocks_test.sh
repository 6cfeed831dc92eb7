#!/usr/bin/env bash
# Wall clocks that are off: by up to 400 ms, a client that puts and gets through random nodes under strict reads its
# own last put, and so does another client; a stamp too far ahead is refused and moves no clock.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS=1500
skews=(-400 -400 -400 400 400) # what lies furthest apart, and the median at one end
for i in 1 2 3 4 5; do export "KVD_ARGS_n$i=--clock-skew ${skews[i - 1]}"; done
up clocks

# ---- one client ----

# Alternating puts and gets of a few keys through random nodes; the gets' answers must be the puts' values in order.
awk -v n="$ROUNDS" 'BEGIN {
    srand(7)
    for (i = 1; i <= n; i++) {
        key = "k" int(rand() * 5)
        printf "--via n%d put %s v%d\n--via n%d get %s\n", 1 + int(rand() * 5), key, i, 1 + int(rand() * 5), key
    }
}' </dev/null >"$TMP/script"
kvcli --json --strict <"$TMP/script" >"$TMP/answers" 2>&1
bad=$(grep -vc '"status":"ok"' "$TMP/answers" || true)
equals "all $((2 * ROUNDS)) operations under skewed clocks are ok" 0 "$bad"
[ "$bad" = 0 ] || grep -v '"status":"ok"' "$TMP/answers" | head -n 3 | sed 's/^/# /'
sed -n 's/.*"value":"v\([0-9]*\)".*/\1/p' "$TMP/answers" >"$TMP/read"
check "each get reads the put before it" cmp "$TMP/read" <(seq "$ROUNDS")
stamps=$(grep -v '"value"' "$TMP/answers" | sed -n 's/.*"stamp":"\([0-9a-f]*\)-.*/\1/p')
check "the stamps of its puts grow" cmp <(sort -c <<<"$stamps" 2>&1) /dev/null

# ---- many clients, each of which knows nothing of the others ----

alone() { # FLAGS...: a client that speaks to one node only, so that it knows the time of no other
    local node
    node=$(addr_of $((1 + RANDOM % 5)))
    kvcli -n "$node" --via "$node" --strict "$@"
}
wrong=0
for ((i = 1; i <= 150; i++)); do
    must alone put shared "s$i"
    [ "$(alone get shared)" = "s$i" ] || wrong=$((wrong + 1))
done
equals "another client reads the put of the one before it, 150 times" 0 "$wrong"
equals "sloppy puts of one client keep their order through all nodes" 500 "$(
    for ((i = 1; i <= 500; i++)); do echo "--via n$((1 + i % 5)) put order $i"; done | kvcli
    kvcli --strict get order
)"
soon "a node 400 ms ahead of the others says so" 15 grep -q event=clock_ahead "$(log_of 4)"

# ---- far ahead ----

# ahead_ms JSON: a put's stamp, less the wall clock of this machine.
ahead_ms() {
    local stamp
    stamp=$(sed -n 's/.*"stamp":"\([0-9a-f]*\)-.*/\1/p' <<<"$1")
    echo $(((16#${stamp:-0} >> 16) - $(now_ms)))
}
about_now() { # of all nodes
    local i
    for i in 1 2 3 4 5; do
        run kvcli --json --via "n$i" put "about-now$i" x
        between "$1, a put through n$i is ok and stamped about now (ms)" $((-2000 * PATIENCE)) "$(ahead_ms "$out")" 2000
        [ "$status" = 0 ] || not_ok "$1, a put through n$i" "$out"
    done
}
about_now "before any clock is far ahead"
must kvcli fault skew 600000 --to n3
soon "a node ten minutes ahead says so" 15 grep -qE 'event=clock_ahead ms=(599|600|601)[0-9]{3} ' "$(log_of 3)"
about_now "with one node ten minutes ahead"
must kvcli fault clear --to n3

must cluster kill 3
KVD_ARGS_n3='--clock-skew 600000' must cluster start 3
must cluster wait alive 3
about_now "with a node that starts ten minutes ahead"

# Another cluster of the same name, alone and ten minutes ahead, teaches a client the wrong time.
ours=$KV_NODES
unset "${!KVD_ARGS_n@}"
KVD_ARGS_n1='--clock-skew 600000' up ahead --nodes 1 --replicas 1
theirs=$KV_NODES
use clocks
refused=$(for i in 1 2 3 4 5; do stat_of "$i" stamps_refused; done | awk '{ n += $1 } END { print n }')
printf -- '--via %s put far ahead\n--via %s put far ahead\n' "$theirs" "$(addr_of 2)" |
    kvcli --json -n "$theirs,$ours" >"$TMP/far" 2>&1
between "the client's clock is ten minutes ahead (ms)" 590000 "$(ahead_ms "$(head -n 1 "$TMP/far")")" 610000
matches "its put is refused as invalid" '"status":"invalid"' "$(tail -n 1 "$TMP/far")"
between "the node counted it" $((refused + 1)) \
    "$(for i in 1 2 3 4 5; do stat_of "$i" stamps_refused; done | awk '{ n += $1 } END { print n }')" 1000000
about_now "after it"

done_testing
