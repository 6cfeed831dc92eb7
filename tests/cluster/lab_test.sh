#!/usr/bin/env bash
# The faults of the lab do what they say, and clearing them undoes it.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

up lab
must kvcli put key value
must kvcli put -- other value
# A coordinator that is home of the key needs one answer from another node.
home=$(kvcli --json where key | sed 's/.*"homes":\["\([^"]*\)".*/\1/')

# takes TEXT LEAST MOST WORDS...: how long the request takes, us, as kvcli says. Never less; and not more, at best of
# some: others may need the processor.
takes() {
    local text=$1 least=$2 most=$3 best=99999999 us i
    shift 3
    for ((i = 0; i < 5 * PATIENCE && best > most; i++)); do
        us=$(kvcli --json --timeout 5000 "$@" | sed -n 's/.*"us":\([0-9]*\).*/\1/p')
        [ "${us:-$best}" -ge "$best" ] || best=$us
    done
    between "$text (us)" "$least" "$best" "$most"
}
sum_of() { local i; for i in 1 2 3 4 5; do stat_of "$i" "$1"; done | awk '{ n += $1 } END { print n }'; }

equals "at first there are no faults" '' "$(kvcli fault list)"

# ---- delay ----

takes "a get without faults" 0 40000 get key
must kvcli fault delay 100
matches "the list shows it, in every node" 'n1: delay 100 ms, 100 % of what comes from any.*n5: delay 100 ms' "$(kvcli fault list)"
takes "with 100 ms of delay between nodes, a get, there and back" 195000 400000 --via "$home" get key
takes "and a put" 195000 400000 --via "$home" put key value2
between "messages were counted as delayed" 10 "$(sum_of faults_delayed)" 1000000
must kvcli fault clear
equals "cleared" '' "$(kvcli fault list)"
takes "then it is quick again" 0 40000 --via "$home" get key

# ---- a slow disk ----

must kvcli fault slow-disk 150
takes "with slow disks a put takes longer" 150000 600000 put key value3
takes "a get does not" 0 60000 get key
must kvcli fault slow-disk 1100
check "with disks that take a second a put goes well" kvcli --timeout "$DEADLINE_MS" put key value3
soon "and the nodes say why it took so long" 3 grep -q 'event=slow_disk ms=1[1-9]' "$DIR"/n*/log
must kvcli fault slow-disk 0
takes "0 ms undoes it" 0 60000 put key value4

# ---- duplicates ----

must kvcli fault duplicate
must kvbench --workload a --records 500 --clients 8 --ops 4000 --json --history "$TMP/twice.jsonl"
between "messages come twice" 1000 "$(sum_of faults_duplicated)" 100000000
run kvbench check "$TMP/twice.jsonl"
matches "and what is put stays put" ' acknowledged: 0 lost' "$out"
must kvcli fault clear

# ---- retries ----

# Puts that the client sends to a second node, because the first is slow, stay one write: each home holds one row,
# with the stamp that the client was told.
must kvcli fault delay 150 --percent 50
for ((i = 0; i < 150; i++)); do echo "put hedged$i value$i"; done | kvcli --json -v >"$TMP/told" 2>"$TMP/attempts"
must kvcli fault clear
equals "all puts were ok" 150 "$(grep -c '"status":"ok"' "$TMP/told")"
between "some went through more than one node" 5 "$(grep -cE ', ([2-9]|1[0-9]) attempts' "$TMP/attempts")" 150
soon "no hints wait" 20 no_hints
key_and_stamp() { sed -n 's/.*"key":"\([^"]*\)".*"stamp":"\([^"]*\)".*/\1 \2/p' | sort -u; }
one_stamp() {
    local i
    for i in 1 2 3 4 5; do sed 's/.*"key":"\([^"]*\)".*/get \1 --local/' "$TMP/told" | kvcli --json --via "n$i" 2>&1; done >"$TMP/held"
    cmp <(key_and_stamp <"$TMP/held") <(key_and_stamp <"$TMP/told")
}
soon "wherever there is a row, it has the stamp of the put" 5 one_stamp
between "and it is at all homes (rows)" 450 "$(grep -c '"status":"ok"' "$TMP/held")" 600

# ---- loss ----

must kvcli fault drop --percent 10
run kvbench --workload a --records 500 --clients 8 --rate 300 --duration 4 --timeout $((3000 * PATIENCE)) --json --history "$TMP/drop.jsonl"
dropped=$(failures_of "$(cat "$TMP/out")")
note "$(cat "$TMP/out")"
between "one message in ten lost: hardly an operation fails (of 1200)" 0 "$dropped" 12
between "messages were lost" 100 "$(sum_of faults_dropped)" 100000000
must kvcli fault clear
run kvbench check "$TMP/drop.jsonl"
matches "nothing acknowledged is lost" ' acknowledged: 0 lost' "$out"

# ---- a cut ----

# n5 hears nobody, and nobody hears n5.
must kvcli fault drop --to n5
must kvcli fault drop --from n5
exits "the list shows which way" 0 'n1: drop 100 % of what comes from n5' kvcli fault list
seen_dead() { # by each of the four
    local i
    for i in 1 2 3 4; do
        kvcli --via "n$i" status --tsv | awk -F'\t' '$1 == "n5" { found = $5 } END { exit found != "dead" }' || return
    done
}
soon "a node that is cut off is seen dead by all others" 20 seen_dead
must kvcli put during cut
equals "puts and gets go on" cut "$(kvcli get during)"
run kvcli --timeout 500 --via n5 put lonely value
matches "alone it takes no put: exit 3, or 4 while it still waits for others" '^[34]$' "$status"
must kvcli fault clear
check "healed, all see all alive" cluster wait alive 1 2 3 4 5
equals "also through the one that was cut off" cut "$(kvcli --via n5 get during)"

# ---- one direction, one pair ----

before=$(stat_of 2 faults_dropped)
must kvcli fault drop --from n1 --to n2
exits "one pair is one rule" 0 '^n2: drop 100 % of what comes from n1.?$' kvcli fault list
exits "which is in n2 only" 0 '"node":"n2","fault":"drop","from":"n1","percent":100' kvcli --json fault list
for i in 1 2 3 4 5; do
    for ((k = 0; k < 20; k++)); do kvcli --via "n$i" put "pair$i-$k" v >/dev/null 2>&1 || echo "n$i pair$i-$k"; done
done >"$TMP/failed"
equals "with one link cut in one direction every put is taken" '' "$(cat "$TMP/failed")"
between "n2 drops what n1 sends" $((before + 1)) "$(stat_of 2 faults_dropped)" 100000000
must kvcli fault clear --to n2
equals "cleared" '' "$(kvcli fault list)"

# ---- mistakes ----

exits "a node that is none" 2 '--from n9: no member has this name' kvcli fault drop --from n9
exits "a percentage that is none" 2 "--percent '101': a number from 0 to 100" kvcli fault drop --percent 101
exits "a delay that is too long" 6 'invalid' kvcli fault delay 60001
check "the cluster is whole" cluster wait alive 1 2 3 4 5

done_testing
