#!/usr/bin/env bash
# Strangers who mean harm: spoilt frames and datagrams by the thousand, connections that say nothing, a reader who
# does not read. No node ends, memory stays what it is, every other client is served; and whoever does not belong is
# refused by name, with one clear line on each side.
#
#   KV_HOSTILE=N    frames and datagrams per port (20000)
# alone: it measures how long requests take
# long: begins first, where it is not alone
# modes: release asan
# shellcheck disable=SC2154 # lib.sh sets job, out and status
. "$(dirname "$0")/lib.sh"

N=${KV_HOSTILE:-20000}
[ "$KV_MODE" = release ] || N=$((N / 10))
attack=$KV_BIN/tests/cluster/attack
[ -x "$attack" ] || die "there is an attacker" "no $attack; make tests"
up hostile --replicas 3
host() { local a; a=$(addr_of "$1"); echo "${a%:*} ${a#*:}"; }
read -r HOST PORT <<<"$(host 1)"

# ---- memory ----

# From here on the peak is counted anew.
peak_reset() {
    local i
    for i in 1 2 3 4 5; do echo 5 >"/proc/$(pid_of "$i")/clear_refs"; done
}
peaks() {
    local i
    for i in 1 2 3 4 5; do awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$(pid_of "$i")/status"; done
}
# grown BEFORE: the most that any node's peak grew since, MiB.
grown() { paste <(echo "$1") <(peaks) | awk '{ d = $2 - $1; if (d > m) m = d } END { print m + 0 }'; }

# ---- the others: served all the while ----

load() { kvbench --workload a --records 2000 --clients 8 --rate 300 --duration "$1" --timeout "$DEADLINE_MS" --json; }
# served TEXT FILE: what the load meanwhile says.
served() {
    local json
    json=$(tail -n 1 "$2")
    note "$1: $json"
    equals "$1: every other operation went well" 0 "$(failures_of "$json")"
    [ "$KV_MODE" != release ] || between "$1: and none took long (us)" 1 "$(number_of "$json" p99_us read)" 1000000
}

# The control run: the same load, without an attack.
must kvbench --load --workload a --records 2000 --clients 8 --duration 1
peak_reset
load 5 >"$TMP/control.json"
control=$(peaks)
note "control, MiB: $(tr '\n' ' ' <<<"$control")"
served "without an attack" "$TMP/control.json"

# ---- spoilt frames and datagrams ----

peak_reset
start_job load 12 >"$TMP/attacked.json"
other=$job
for i in 1 2 3; do
    read -r host port <<<"$(host "$i")"
    exits "$N frames to n$i" 0 "frames=$((N / 10))" "$attack" frames "$host" "$port" gureum "$N" "$i"
    note "$out"
    exits "$N datagrams to n$i, none of them answered" 0 'unsent=.* bytes_in=0' "$attack" datagrams "$host" "$port" gureum "$N" "$i"
    note "$out"
done
wait "$other"
served "under attack" "$TMP/attacked.json"
[ "$KV_MODE" != release ] || between "memory grew by at most 64 MiB over the control run (MiB)" 0 "$(grown "$control")" 64
between "they were seen (malformed)" $((N / 20)) "$(stat_of 1 malformed)" $((N * 4))
between "and the log did not fill with them (lines)" 1 "$(grep -c 'level=warn' "$(log_of 1)")" 40

# ---- connections that say nothing, or a byte a second ----

clients=2000
[ "$KV_MODE" = release ] || clients=300
peak_reset
start_job load 13 >"$TMP/idle.json"
other=$job
exits "$clients connections that say nothing, or a byte a second" 0 "open=$clients" "$attack" idle "$HOST" "$PORT" gureum "$clients" 12
note "$(tr '\n' ' ' <<<"$out")"
# A quarter: clients that say nothing, which is nobody's harm.
between "those that never said HELLO, and those whose frame does not end, were closed" $((clients / 4)) "$(number_of "\"x\":${out##*=}" x)" $((clients / 4))
wait "$other"
served "beside idle connections" "$TMP/idle.json"
[ "$KV_MODE" != release ] || between "memory grew by at most 64 MiB (MiB)" 0 "$(grown "$control")" 64

# ---- who does not read ----

head -c 4000000 /dev/urandom >"$TMP/large"
must kvcli put large "@$TMP/large"
start_job load 11 >"$TMP/deaf.json"
other=$job
exits "a client that asks and never reads" 0 'asked=' "$attack" deaf "$HOST" "$PORT" gureum large 8
note "$out"
wait "$other"
served "beside a client that never reads" "$TMP/deaf.json"

note "peaks, MiB: $(peaks | tr '\n' ' ')"
for i in 1 2 3 4 5; do check "n$i runs" kill -0 "$(pid_of "$i")"; done
must kvcli put after it

# ---- who does not belong ----

refused() { # TEXT WORD WHAT
    exits "$1: is told why" 0 "$2" "$attack" hello "$HOST" "$PORT" gureum "$3"
    note "$out"
}
refused "a newer protocol version" 'refused: version: this node speaks protocol version 1, not 2' version
refused "another number of partitions" 'refused: wrong_cluster: .* has another number of partitions' partitions
matches "and so says the node's log of a version" 'event=foreign_version host=[0-9.]* status=version' "$(grep -h foreign_version "$(log_of 1)")"
matches "and of partitions" 'event=refused name=n2 .* status=wrong_cluster .*another number of partitions' "$(cat "$(log_of 1)")"

# kvd_as NAME DATA CLUSTER: one more process, on a port of its own, that knows n1.
spare=$((PORT + 60))
kvd_as() {
    exec "$KV_BIN/kvd" --name "$1" --data "$2" --cluster "$3" --listen "127.0.0.1:$spare" \
        --initial "$1=127.0.0.1:$spare,n1=$(addr_of 1)" >"$TMP/$1-$3.log" 2>&1
}
start_job kvd_as n2 "$TMP/foreign" another
foreign=$job
soon "a node of another cluster says that it was refused" 10 grep -q 'event=refused_by peer=n1 .* status=wrong_cluster' "$TMP/n2-another.log"
equals "in one line" 1 "$(grep -c event=refused_by "$TMP/n2-another.log")"
soon "and so does the one that refused it" 5 grep -q 'event=refused name=n2 .* status=wrong_cluster' "$(log_of 1)"
kill "$foreign"
wait "$foreign" 2>/dev/null

# A copy of a live node's data, started as a second process of its name.
must cluster stop 3
cp -r "$DIR/n3/data" "$TMP/twin"
must cluster start 3
must cluster wait alive 3
status=0
timeout 30 "$KV_BIN/kvd" --name n3 --data "$TMP/twin" --listen "127.0.0.1:$spare" >"$TMP/twin.log" 2>&1 || status=$?
equals "a second process with a live id leaves" 1 "$status"
matches "and says why" 'event=exit status=duplicate_id reason="another live process is n3' "$(cat "$TMP/twin.log")"
matches "so do those that it came to" 'event=refused name=n3 .* status=duplicate_id' "$(cat "$DIR"/n*/log)"
check "the first one is alive for all" cluster wait alive 3
exits "and serves" 0 'it' kvcli --via n3 get after

done_testing
