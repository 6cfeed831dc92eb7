#!/usr/bin/env bash
# Ten thousand keys are deleted while one of their homes is away; it comes back: nothing returns. Then the tombstones
# themselves go, from all stores. It takes some minutes, since nothing goes before a minute of waiting: with KV_LONG=1.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

if [ -z "${KV_LONG:-}" ]; then
    skip "tombstones go from all stores" "takes minutes; make test-long"
    echo "1..$CASES"
    ENDED=yes
    exit 0
fi

KEYS=10000
rows() { for i in 1 2 3 4 5; do stat_of "$i" rows; done | awk '{ n += $1 } END { print n + 0 }'; }
rows_are() { [ "$(rows)" = "$1" ]; }
purged() { for i in 1 2 3 4 5; do stat_of "$i" purge_rows_purged; done | awk '{ n += $1 } END { print n + 0 }'; }

up purge --nodes 5
for ((i = 0; i < KEYS; i++)); do printf 'gone/%d\tvalue %d\n' "$i" "$i"; done >"$TMP/gone.tsv"
for ((i = 0; i < 1000; i++)); do printf 'kept/%d\tvalue %d\n' "$i" "$i"; done >"$TMP/kept.tsv"
must kvcli load "$TMP/gone.tsv"
must kvcli load "$TMP/kept.tsv"
soon "every key is on three disks" 60 rows_are $((3 * (KEYS + 1000)))
must cluster kill 2
cut -f1 "$TMP/gone.tsv" | sed 's/^/del /' >"$TMP/delete"
run kvcli <"$TMP/delete"
equals "all are deleted while one is away" 0 "$status"
must cluster start 2
must cluster wait alive 2
soon "their homes have all met" 30 no_hints
run kvcli check "$TMP/gone.tsv"
matches "nothing returns" " 0 equal, 0 different or failed, $KEYS missing" " $out$err"
# Two rounds of anti-entropy, and a minute.
soon "then the tombstones are gone from all stores, and nothing else is" 1260 rows_are 3000
between "by purging (rows)" $((3 * KEYS)) "$(purged)" $((3 * KEYS + 300))
run kvcli check "$TMP/gone.tsv"
matches "and still nothing returns" " 0 equal, 0 different or failed, $KEYS missing" " $out$err"
exits "what was not deleted is there" 0 '1000 equal, 0 different or failed, 0 missing' kvcli check "$TMP/kept.tsv"
done_testing
