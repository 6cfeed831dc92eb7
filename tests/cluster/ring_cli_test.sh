#!/usr/bin/env bash
# Growing and shrinking a cluster as people do: cluster.sh add, remove, remove --dead, a node with an empty disk, a cut
# network; kvcli node and what it says meanwhile. No key is lost on the way.
# long: begins first
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# all_there TEXT: every key is what it was.
all_there() {
    use grown
    run kvcli check "$TMP/keys.tsv"
    matches "$1" '^5000 equal, 0 different or failed, 0 missing' "$out$err"
}
# ring_of NODE: its ring's epoch and hash.
ring_of() { kvcli --via "n$1" --json ring | sed -n 's/.*"ring_hash":"\([0-9a-f]*\)".*"epoch":\([0-9]*\).*/\2 \1/p'; }
members() { kvcli ring --tsv | cut -f1 | paste -sd' '; }
stable() { kvcli --json status | grep -q '"phase":"stable","queue":\[\]'; }
share_of() { kvcli ring --tsv | awk -F'\t' -v n="$1" '$1 == n { print $6 }'; }

up grown --nodes 3
for ((i = 0; i < 5000; i++)); do printf 'key%d\tvalue %d of five thousand, some more bytes\n' "$i" "$i"; done >"$TMP/keys.tsv"
must kvcli load "$TMP/keys.tsv"

# ---- growing ----

exits "a plan for a fourth" 0 '^join n4 would move [0-9]+ of 12288 replicas of partitions \(least possible: 30[0-9]+\)' kvcli node add n4 --plan
exits "add: a fourth node joins" 0 'n4 joins at 127.0.0.1:[0-9]+.*n4 +[0-9]+ +127.0.0.1:[0-9]+ +alive +[0-9]+' cluster add
use grown
equals "it is a member" 'n1 n2 n3 n4' "$(members)"
between "with about its share" 0.24 "$(share_of n4)" 0.27
for i in 2 3 4; do equals "n$i has the same ring" "$(ring_of 1)" "$(ring_of $i)"; done
between "and about three quarters of the keys" 3300 "$(stat_of 4 rows)" 4200
all_there "all keys are there"
exits "env knows it" 0 "KV_NODES=.*$(addr_of 4)" cluster env
exits "status too" 0 'n4 +[0-9]+ .* alive' cluster status
soon "the others drop what they gave away" 30 eval '[ "$(stat_of 1 rows)" -lt 4400 ]'

# ---- shrinking ----

before=$(ring_of 1)
exits "leave --plan" 0 '^leave n2 would move [0-9]+ of 12288' kvcli node leave n2 --plan
exits "weight --plan" 0 '^weight n1 2 would move [0-9]+ of 12288.*Nothing was changed' kvcli node weight n1 2 --plan
equals "has changed nothing" "$before" "$(ring_of 1)"
exits "remove of a living member is refused" 6 'invalid: n2 is alive' kvcli node remove n2
exits "so is leave of who is no member" 6 'no member of the ring is named n9' kvcli node leave n9
exits "remove: a node leaves the ring and ends" 0 'leave n2: done, [0-9.]+ [KM]?i?B moved' cluster remove 2
equals "it is no member" 'n1 n3 n4' "$(members)"
matches "it ended in peace" 'event=left .*event=stopped status=0' "$(tail -n 5 "$(log_of 2)")"
equals "the table has it no more" 0 "$(cluster status | grep -c '^n2 ')"
exits "start of it is refused" 2 "n2 has left the cluster; .* add. starts a new node" cluster start 2
all_there "all keys are there"

# ---- weight and zone ----

exits "weight" 0 'weight n1 2: done' kvcli node weight n1 2
exits "the same again is done at once" 0 'weight n1 2: done, 0 B moved' kvcli node weight n1 2
exits "zone, as JSON" 0 '^(\{"status":"under_way","change":"zone n1 west",[^}]*\}.)*\{"status":"ok","change":"zone n1 west","moved_bytes":[0-9]+\}$' \
    kvcli --json node zone n1 west
exits "it stands in the list" 0 $'n1\t1\t[0-9.:]+\twest\talive\tnormal\t' kvcli node list --tsv
exits "weight back" 0 'weight n1 1: done' kvcli node weight n1 1

# ---- slowly, and interrupted ----

KVD_ARGS_n5='--transfer-rate 1' exits "a fifth joins" 0 'n5 joins' cluster add
use grown
head -c 30000 /dev/urandom | base64 -w0 >"$TMP/large"
for ((i = 0; i < 150; i++)); do echo "put large$i @$TMP/large"; done | kvcli || die "large values are put"
exits "a change is queued" 0 '^weight n5 4: queued in epoch [0-9]+' kvcli node weight n5 4 --no-wait
start_job env - PATH="$PATH" KV_NODES="$KV_NODES" kvcli node weight n4 2 2>"$TMP/interrupted"
soon "the next one waits for it" 10 grep -q 'weight n4 2: waits for 1 other change' "$TMP/interrupted"
soon "status tells of both" 10 eval 'tr "\n" " " < <(kvcli status) | grep -E "the ring changes \((pending|switch)\): weight n5 4 .*waits: weight n4 2"'
exits "watch too" 0 'changes: weight n5 4, 1 more waits' kvcli watch --once
kill -INT "$job"
wait "$job"
equals "interrupted, it ends so" 130 "$?"
matches "and says that the change goes on" 'weight n4 2 goes on without us' "$(cat "$TMP/interrupted")"
soon "both are made" 60 stable
exits "as the list says" 0 $'n5\t[^\n]*\tnormal' kvcli node list --tsv
equals "n4 weighs 2 and n5 4" '2 4' "$(kvcli ring --tsv | awk -F'\t' '$1 == "n4" || $1 == "n5" { print $4 }' | paste -sd' ')"
all_there "all keys are there"

# ---- a dead member ----

must cluster stop 5 # and at full speed from now on
must cluster start 5
must cluster wait alive 1 3 4 5
must cluster kill 4
must cluster wait dead 4
exits "leave of a dead member is refused" 6 'n4 cannot be reached' kvcli node leave n4
exits "replace says how" 0 'kvd --name n4 --data DIR --listen HOST:PORT --join 127' kvcli node replace n4
exits "remove without --dead too" 1 'n4 is not running; with --dead the others take its share over' cluster remove 4
exits "remove --dead" 0 'remove n4: done' cluster remove 4 --dead
equals "it is no member" 'n1 n3 n5' "$(members)"
all_there "all keys are there"
soon "each on three nodes again" 60 eval '[ "$(stat_of 1 rows)" -ge 5150 ]'

must cluster add
use grown
exits "a node that leaves by kvcli's word" 0 'leave n6: done' kvcli node leave n6
soon "ends" 10 eval '! kill -0 "$(pid_of 6)"'
exits "cluster.sh is told with remove" 0 'n6 has left the ring before' cluster remove 6
use grown

# ---- an empty disk ----

must cluster stop 3
rm -rf "$DIR/n3/data"
must cluster wait dead 3
must cluster start 3
rejoined() { kvcli --via n1 status --tsv | awk -F'\t' '$1 == "n3" && $5 == "alive" && $6 == "normal" && $2 > 3 { ok = 1 } END { exit !ok }' && stable; }
soon "a node whose disk is empty joins under its name, as a new member" 60 rejoined
equals "in the old one's place" 'n1 n5 n3' "$(members)"
all_there "all keys are there"

# ---- a cut ----

exits "partition" 0 'the network is cut: 1 \| 3,5' cluster partition 1
exits "status says so" 0 'the network is cut: 1 \| 3,5' cluster status
soon "the other side is seen dead, all of it" 30 eval 'kvcli --via n1 status --tsv | awk -F"\t" '\''$5 == "dead" { n++ } END { exit n < 2 }'\'
run kvcli --timeout 3000 --via n1 node weight n1 2
matches "the smaller side cannot change the ring: exit 3, or 4 while it hopes" '^[34]$' "$status"
exits "the larger can" 0 'weight n5 1: queued' kvcli --via n3 node weight n5 1 --no-wait
exits "heal" 0 'the network is whole' cluster heal
check "all see all" cluster wait alive 1 3 5
soon "and the change is made" 60 stable
equals "by all" "$(ring_of 3)" "$(ring_of 1)"
all_there "all keys are there"

# ---- down and up ----

must cluster down
exits "up again, as many as there are now" 0 'n5 +[0-9]+ .*alive' cluster up --bin "$KV_BIN" --nodes 3
use grown
all_there "all keys are there"

done_testing
