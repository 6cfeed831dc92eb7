#!/usr/bin/env bash
# Anti-entropy with real nodes: what a round costs when nothing is wrong; a store that has lost a quarter of its rows
# behind its own back, which an operator has checked; and one that has lost what it remembered of its rows, too, and is
# repaired by its peers as soon as it is back.
# long: begins first
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

rows=$KV_BIN/tests/cluster/rows
[ -x "$rows" ] || die "there is a tool for a store's rows" "no $rows; make tests"

INTERVAL=8 KEYS=20000 PAIRS=$((4096 * 3))
export KVD_ARGS="--repair-interval $INTERVAL"

# sum_of COUNTER: of all nodes that are there.
sum_of() { for i in 1 2 3 4 5; do stat_of "$i" "$1" 2>/dev/null; done | awk '{ n += $1 } END { print n + 0 }'; }
rounds() { for i in 1 2 3 4 5; do stat_of "$i" entropy_rounds; done | sort -n | head -n 1; }
rounds_are() { [ "$(rounds)" -ge "$1" ]; }
quiet() { [ "$(sum_of entropy_repair_left)" = 0 ]; }

up repair --nodes 5
must kvbench --load --records $KEYS --value-size 500 --clients 32 --workload put --ops 1 --pipeline 16 --json

# ---- nothing to repair ----

soon "every node compares all it holds within a round" $((3 * INTERVAL)) rounds_are 2
before=$(sum_of entropy_bytes_sent) from=$(sum_of entropy_rounds)
compared=$(sum_of entropy_partitions_compared) sent=$(sum_of entropy_rows_sent)
begin=$(now_ms)
soon "rounds follow each other" $((4 * INTERVAL)) eval '[ $(($(sum_of entropy_rounds) - from)) -ge 10 ]'
took=$(($(sum_of entropy_rounds) - from)) # of five nodes
bytes=$(($(sum_of entropy_bytes_sent) - before))
compared=$(($(sum_of entropy_partitions_compared) - compared))
between "and none before its time" 10 "$took" $(((($(now_ms) - begin) / 1000 / INTERVAL + 1) * 5 + 1))
# Of each node up to a round more or less may be in it: those that had begun.
between "each pair of homes meets once in each" $((PAIRS * took / 5 * 8 / 10)) "$compared" $((PAIRS * (took + 5) / 5 * 11 / 10))
between "for so many bytes a pair" 1 $((bytes / compared)) 200
equals "and no row is sent" "$sent" "$(sum_of entropy_rows_sent)"

# ---- rows that went unseen ----

must cluster stop 2
read -r lost bytes <<<"$("$rows" lose "$DIR/n2/data" 4)"
between "n2 has lost a quarter of its rows" $((KEYS * 3 / 5 / 5)) "$lost" $((KEYS * 3 / 5 / 3))
must cluster start 2
must cluster wait alive 2
before=$(sum_of entropy_bytes_sent)
exits "an operator has it checked" 0 'n2: [0-9]+ partitions compared with 4 nodes.* rows received [0-9]+, sent 0' kvcli repair n2
between "all that was lost has come, and hardly a row twice" "$lost" "$(sed -n 's/.*rows received \([0-9]*\),.*/\1/p' <<<"$out" | head -n 1)" $((lost * 101 / 100))
between "for at most twice the bytes that were missing" "$bytes" $(($(sum_of entropy_bytes_sent) - before)) $((2 * bytes))
exits "a second time there is nothing to be done" 0 '"differed":0,"rows_received":0,"rows_sent":0' kvcli repair n2 --json

# ---- a home that is away ----

must cluster kill 5
must cluster wait dead 5
exits "who could not be compared with is named, and it is no success" 3 'n2: [0-9]+ partitions were not compared with n5, the first is [0-9]+: it cannot be reached' kvcli repair n2
exits "also to scripts" 3 '"missed":\[\{"node":"n5","status":"unavailable",.*"partitions":[1-9]' kvcli repair n2 --json
must cluster start 5
must cluster wait alive 5

# ---- and with them what the store knew of them ----

must cluster stop 4
read -r lost bytes <<<"$("$rows" lose "$DIR/n4/data" 4)"
must "$rows" forget "$DIR/n4/data"
sent=$(sum_of entropy_rows_sent) # n4 is away: the others'
must cluster start 4
must cluster wait alive 4
soon "its peers repair it as soon as it is back" 30 eval '[ "$(stat_of 4 entropy_rows_received)" -ge $lost ]'
between "and hardly anything twice" "$lost" $(($(sum_of entropy_rows_sent) - sent)) $((lost * 101 / 100))

# ---- all homes are equal ----

soon "nothing is under way any more" 30 quiet
must cluster down
for i in 1 2 3 4 5; do "$rows" list "$DIR/n$i/data"; done | sort | uniq -c >"$TMP/rows"
equals "every row is at three homes, the same" "$KEYS" "$(awk '$1 == 3' "$TMP/rows" | wc -l)"
equals "and there is no other" "$KEYS" "$(wc -l <"$TMP/rows")"

done_testing
