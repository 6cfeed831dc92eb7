#!/usr/bin/env bash
# The ring grows and shrinks under load: five nodes become six, then two more that ask at once, then fewer, and one is
# killed and replaced. Nothing acknowledged is lost, strict keys are linearizable, no operation fails, and no more
# moves than has to.
#
#   KV_LONG=1    the whole word list; 5 to 8 one by one, three at once, down to 3; and how long requests take
# long: begins first
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

LONG=${KV_LONG:-}
need_words
words_tsv >"$TMP/words.tsv"
[ -n "$LONG" ] || { head -n 20000 "$TMP/words.tsv" >"$TMP/some.tsv"; mv "$TMP/some.tsv" "$TMP/words.tsv"; }
members() { kvcli ring --tsv | cut -f1 | sort -V | paste -sd' '; } # in whichever order they came
stable() { kvcli --json status | grep -q '"phase":"stable","queue":\[\]'; }
are() { stable && [ "$(members)" = "$1" ]; }
balanced() { # TEXT
    between "$1: busiest of the mean" 1 "$(number_of "$(kvcli --json ring)" max_over_mean)" 1.07
    exits "$1: every word is there" 0 ' equal, 0 different or failed, 0 missing' kvcli check "$TMP/words.tsv"
}
# frugal TEXT WORDS...: what the change would move, against the least possible.
frugal() {
    local text=$1 plan
    shift
    plan=$(kvcli --json node "$@" --plan)
    between "$text: replicas that move, of the least possible" 1 "$(awk "BEGIN { print $(number_of "$plan" moved) / $(number_of "$plan" least) }")" 1.35
}
begin_load() { # SECONDS RATE; so long at most
    start_job kvbench --workload a --records 2000 --clients 8 --rate $(($2 / 2)) --duration "$1" --timeout "$DEADLINE_MS" --strict --key-prefix strict --seed 1 \
        --json --history "$TMP/strict.jsonl" >"$TMP/strict.json"
    strict=$job
    start_job kvbench --workload a --records 2000 --clients 8 --rate $(($2 / 2)) --duration "$1" --timeout "$DEADLINE_MS" --key-prefix sloppy --seed 2 \
        --json --history "$TMP/sloppy.jsonl" >"$TMP/sloppy.json"
    sloppy=$job
}
end_load() { # TEXT
    local kind json
    kill -TERM "$strict" "$sloppy" 2>/dev/null
    wait "$strict" "$sloppy"
    for kind in strict sloppy; do
        json=$(tail -n 1 "$TMP/$kind.json")
        note "$1, $kind: $json"
        equals "$1: every $kind operation is ok within its deadline" 0 "$(failures_of "$json")"
        run kvbench check "$TMP/$kind.jsonl"
        note "$out"
        equals "$1: what the $kind clients saw holds: nothing lost, nothing stale" 0 "$status"
    done
}

# p99_us HISTORY...: of all puts in them, each from when it was due: the i-th to start, i / rate after the first.
p99_us() {
    local file
    for file; do
        sed -E 's/.*"op":"([a-z]+)".*"start_ns":([0-9]+),"end_ns":([0-9]+).*/\2 \3 \1/' "$file" | sort -n |
            awk -v rate=$((rate / 2)) 'NR == 1 { begun = $1 } $3 == "put" { printf "%d\n", ($2 - begun) / 1000 - (NR - 1) * 1e6 / rate }'
    done | sort -n | awk '{ us[NR] = $1 } END { print us[int((NR * 99 + 99) / 100)] }'
}
# grows TEXT COMMAND...: under load, beside which nothing runs but the change: what puts take meanwhile is judged.
grows() {
    local text=$1
    shift
    begin_load 300 "$rate"
    "$@"
    end_load "$text"
    mv "$TMP/sloppy.jsonl" "$TMP/growing-$text.jsonl"
    balanced "$text"
}
together() { # MEMBERS I...: they ask at once
    local members=$1
    shift
    while [ $# -gt 1 ]; do must cluster add --no-wait; shift; done
    must cluster add
    soon "all that ask at once join" 120 are "$members"
}

up grow --nodes 5
must kvcli load "$TMP/words.tsv"
for kind in strict sloppy; do
    must kvbench --load --workload put --records 2000 --clients 16 --ops 1 --key-prefix $kind --json
done
rate=400
if [ -n "$LONG" ]; then
    run kvbench --workload a --records 2000 --clients 16 --key-prefix sloppy --duration 5 --json
    rate=$(awk -v p="$(number_of "$(tail -n 1 <<<"$out")" ops_per_s)" 'BEGIN { print int(p * 0.3) }')
    begin_load 30 "$rate"
    wait "$strict" "$sloppy"
    end_load "before"
    before=$(p99_us "$TMP/sloppy.jsonl")
fi
note "operations a second: $rate"

frugal "a sixth" add n6
grows six must cluster add
if [ -n "$LONG" ]; then
    for i in 7 8; do grows "$i" must cluster add; done
    grows eleven together 'n1 n2 n3 n4 n5 n6 n7 n8 n9 n10 n11' 9 10 11
    # A figure and no case: on two cores eleven nodes and the load itself take longer than what moves.
    note "p99 of puts: $before us before, $(p99_us "$TMP"/growing-*.jsonl) us while partitions move (aim: twice that before, or 25 ms)"
else
    grows eight together 'n1 n2 n3 n4 n5 n6 n7 n8' 7 8
fi

begin_load 300 "$rate"
last=$([ -n "$LONG" ] && echo 11 || echo 8)
least=$([ -n "$LONG" ] && echo 4 || echo 7)
for ((i = last; i >= least; i--)); do
    [ "$i" != "$last" ] || frugal "one less" leave "n$i"
    must cluster remove "$i"
done
balanced "fewer"
i=$((least - 1))
id_of() { kvcli --json status | grep -o "\"name\":\"n$1\",\"id\":\"[0-9]*\"[^}]*\"ring\":\"normal\"" | grep -o '"id":"[0-9]*"'; }
old=$(id_of "$i")
is_another() { [ -n "$(id_of "$i")" ] && [ "$(id_of "$i")" != "$old" ] && stable; }
must cluster kill "$i"
rm -rf "${DIR:?}/n$i/data"
must cluster start "$i"
soon "one that was killed and lost its disk is replaced under its name" 120 is_another
balanced "replaced"
end_load "shrinking"

done_testing
