#!/usr/bin/env bash
# The table of the README: what five nodes with N = 3 and R = W = 2 still do with one, two, three and four of them
# dead.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

KEYS=2000
TOLERANCE=6 # points by which chance may differ from the table; what the ring foretells is exact

# keys NAME: a file of that many keys.
keys() { awk -v n="$KEYS" -v name="$1" 'BEGIN { for (i = 0; i < n; i++) print name i "\tvalue " i }' </dev/null >"$TMP/$1.tsv"; }

# percent VERB OPTIONS FILE: how much of the file's keys can be put (load) or are found (check).
percent() {
    # shellcheck disable=SC2086
    run kvcli --timeout $((1500 * PATIENCE)) $2 "$1" "$TMP/$3.tsv"
    awk -v n="$KEYS" '/ (loaded|equal), / { printf "%.1f\n", 100 * $1 / n }' "$TMP/out"
}

# near TEXT EXPECTED FOUND: all and none are exact.
near() {
    case $2 in
    0 | 100) between "$1: $2 %" "$2" "$3" "$2" ;;
    *) between "$1: about $2 %" $(($2 - TOLERANCE)) "$3" $(($2 + TOLERANCE)) ;;
    esac
}

# foretold NAME LEAST: how many of such keys have that many living homes, in percent.
foretold() {
    cut -f1 "$TMP/$1.tsv" | sed 's/^/where /' | kvcli --json | sed 's/.*"homes":\[\([^]]*\)\].*/\1/' |
        awk -F, -v first=$((6 - dead)) -v least="$2" -v n="$KEYS" '
            { alive = 0; for (i = 1; i <= NF; i++) alive += substr($i, 3, 1) < first; good += alive >= least }
            END { printf "%.1f\n", 100 * good / n }'
}

# row STRICT SLOPPY_PUT SLOPPY_GET: kills one more, and looks.
dead=0
row() {
    dead=$((dead + 1))
    cluster kill $((6 - dead))
    must cluster wait dead $((6 - dead))
    found=$(percent check --strict "old$dead-")
    near "$dead dead, strict gets" "$1" "$found"
    equals "just those of which two homes live" "$(foretold "old$dead-" 2)" "$found"
    near "$dead dead, strict puts" "$1" "$(percent load --strict "strict$dead-")"
    found=$(percent check '' "old$dead-")
    near "$dead dead, sloppy gets of old keys" "$3" "$found"
    [ "$dead" = 4 ] || equals "just those of which a home lives" "$(foretold "old$dead-" 1)" "$found"
    near "$dead dead, sloppy puts" "$2" "$(percent load '' "sloppy$dead-")"
    [ "$2" = 0 ] || near "$dead dead, sloppy gets of what was put so" 100 "$(percent check '' "sloppy$dead-")"
}

# Old keys of its own for each row: a get with a home away leaves a copy at a fallback.
up table
for i in 1 2 3 4; do
    keys "old$i-"
    keys "strict$i-"
    keys "sloppy$i-"
    must kvcli -w 3 load "$TMP/old$i-.tsv"
done
row 100 100 100
row 70 100 100
row 30 100 90
row 0 0 0
found=$(percent check '-r 1' old4-)
near "4 dead, sloppy gets with R = 1" 60 "$found"
equals "just those of which a home lives" "$(foretold old4- 1)" "$found"
exits "what cannot be is said at once, with the numbers" 3 'unavailable: .*asked 0, acknowledged 0, needed 2, reachable 1' kvcli put key value
exits "also as JSON" 3 '"status":"unavailable".*"needed":2.*"message":.*"reachable":1' kvcli --json get old4-7

# All that was put comes together again.
must cluster start 2 3 4 5
must cluster wait alive 2 3 4 5
soon "all keys put under one, two and three dead are there when all are back" 10 \
    kvcli check <(cat "$TMP"/old?-.tsv "$TMP"/sloppy[123]-.tsv)

done_testing
