#!/usr/bin/env bash
# The three topologies with the hub killed (n1; in a ring it is a node like any other): central does nothing until it is
# back; directory serves those who have its list, notices no failure and takes nobody new; a ring goes on. All find
# their way back by themselves.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# Operations of a history that began in [FROM, UNTIL) of the monotonic clock: how many, and how many ended well.
count() {
    awk -v from="$2" -v until="$3" -F'"start_ns":' '
        { split($2, t, ","); if (t[1] < from || t[1] >= until) next; n++ }
        /"status":"(ok|not_found)"/ { good++ }
        END { print n + 0, good + 0 }' "$1"
}

# One history of each topology: half a second before the kill until after the restart. $killed, $back: when.
hub_dies() {
    must kvbench --load --records 500 --clients 8 --workload put --ops 1 --json
    start_job kvbench --timeout "$DEADLINE_MS" --workload a --records 500 --clients 8 --rate 300 --duration 3 --json --history "$TMP/$1.jsonl" >"$TMP/$1.json"
    load=$job
    sleep 0.7
    must cluster kill 1
    killed=$(mono_ns)
    sleep 1
    "during_$1"
    back=$(mono_ns)
    must cluster start 1
    wait "$load"
    read -r n good < <(count "$TMP/$1.jsonl" "$((killed + 100000000))" "$((back - 100000000))")
    check "$1: n1 is seen alive again" cluster wait alive 1 2 3
    run kvbench check "$TMP/$1.jsonl"
    matches "$1: no acknowledged put is lost" ' acknowledged: 0 lost' "$out$err"
}

works() { kvcli --timeout 3000 put "after-$1" yes && [ "$(kvcli get "after-$1")" = yes ]; }

nobody_joins() {
    exits "$1: without the hub nobody joins, and add says so" 1 'n1, the hub, does not answer: nobody can join without it' cluster add --timeout 2
    check "$1: and leaves nothing behind" test ! -e "$DIR/n4"
}

# ---- central ----

during_central() {
    exits "central: without the hub nothing is tried" 3 'unavailable: the hub n1 .*nothing was tried' kvcli get key
    exits "central: nor tells anybody who lives" 3 'the hub n1' kvcli status
    exits "central: another node coordinates nothing, and says who does" 6 'not_coordinator: .*n1 at ' \
        kvcli -n "$(addr_of 2)" --via "$(addr_of 2)" get key
    nobody_joins central
}

up central --nodes 3 --sync none --topology central
matches "status names topology and hub" 'topology central, its hub is n1' "$(kvcli status)"
matches "... also as JSON" '"topology":"central","hub":"n1"' "$(kvcli --json status)"
check "a client finds the hub from any node" kvcli -n "$(addr_of 3)" put from-n3 yes
exits "and asks it" 0 '"coordinator":"n1"' kvcli -n "$(addr_of 2)" --json put from-n2 yes
equals "others coordinate nothing" 0 "$(stat_of 2 ops_put_ok)"
hub_dies central
equals "central: of $n operations without the hub none succeeds" 0 "$good"
between "central: enough of them to say so" 50 "$n" 1000
check "central: it works again" works central
must cluster down

# ---- directory ----

during_directory() {
    exits "directory: without the hub a new client is shut out" 3 'the hub n1' kvcli get key
    exits "directory: a node refuses who has no list" 6 'not_coordinator: .*n1 at ' kvcli -n "$(addr_of 2)" --via "$(addr_of 2)" get key
    nobody_joins directory
}

up directory --nodes 3 --sync none --topology directory
hub_dies directory
between "directory: of $n operations with a list but no hub most succeed" $((n * 95 / 100)) "$good" "$n"
check "directory: it works again" works directory
must cluster kill 3
check "directory: the hub notices that n3 is dead" cluster wait dead 3
must cluster start 3
check "directory: and that it is back" cluster wait alive 3
grep -q 'event=member_dead.*name=n3' "$(log_of 2)" && ok "the others hear it from the hub" || not_ok "the others hear it from the hub"
check "directory: a node joins by the hub" cluster add
exits "the hub itself cannot leave" 6 'n1 is the hub' kvcli node leave n1

for name in control_messages_out control_bytes_out; do
    between "the hub's $name" 1 "$(stat_of 1 "$name")" 100000000
    between "another's $name" 1 "$(stat_of 2 "$name")" 100000000
done

# ---- nodes of another opinion ----

exits "there are three topologies" 2 "'star': ring, central or directory" kvd --name n1 --data "$TMP/x" --listen 127.0.0.1:1 --topology star
exits "a ring has no hub" 2 'a ring has none' kvd --name n1 --data "$TMP/x" --listen 127.0.0.1:1 --topology ring --hub n1

must cluster stop 2
exits "a store of one topology is not started as another" 1 "this store's ring is directory, its hub n1" \
    kvd --name n2 --data "$DIR/n2/data" --listen "$(addr_of 2)" --topology ring
exits "nor with another hub" 1 "this store's ring is directory, its hub n1" \
    kvd --name n2 --data "$DIR/n2/data" --listen "$(addr_of 2)" --topology directory --hub n2

# Who else loses its disk joins as new; the hub would wait for itself.
must cluster stop 1
rm -r "${DIR:?}/n1/data"
exits "a hub that lost its disk says that nobody can take it in" 1 'this node is the hub, and its store is not the one' cluster start 1
EXPECTED_ERRORS='event=start_failed|event=exit status=not_member'
must cluster down

# ---- ring ----

during_ring() { check "ring: without n1 it goes on" works during-ring; }

up ring --nodes 3 --sync none
hub_dies ring
between "ring: of $n operations without n1 nearly all succeed" $((n * 99 / 100)) "$good" "$n"
for name in control_messages_out control_bytes_out control_messages_in control_bytes_in; do
    between "a ring's $name is counted by the same name" 1 "$(stat_of 2 "$name")" 100000000
done

done_testing
