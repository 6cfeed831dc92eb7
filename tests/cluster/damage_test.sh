#!/usr/bin/env bash
# Damaged and foreign data: a flipped bit in the middle of the log is refused, a torn tail is cut; a directory in use
# is refused; a founder that lost its disk founds no second ring, and joins
# the one that is there.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
EXPECTED_ERRORS='event=start_failed'

up damage
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "key%d\tthe value of key %d, long enough to fill a log\n", i, i }' </dev/null >"$TMP/keys.tsv"
must kvcli load "$TMP/keys.tsv"
ring=$(kvcli --json ring | sed -n 's/.*"ring_hash":"\([0-9a-f]*\)".*/\1/p')

# kvd_again NODE [OPTION...]: the node's own command line, in the foreground for at most 5 s, or so.
kvd_again() {
    local i=$1 line
    shift
    mapfile -d '' -t line <"$TMP/cmdline$i"
    timeout $((5 * PATIENCE)) "${line[@]}" "$@" 2>&1
}
for i in 1 2 3 4 5; do cp "/proc/$(pid_of "$i")/cmdline" "$TMP/cmdline$i"; done

# ---- in use ----

exits "a data directory in use is refused" 1 'event=start_failed status=busy' kvd_again 2 --listen 127.0.0.1:1
equals "the node in it goes on" value "$(kvcli put in-use value && kvcli --via n2 get in-use)"

# ---- a flipped bit, a torn tail ----

longest_log() { find "$DIR/n$1/data" -name '*.log' -size +0 -printf '%s %p\n' | sort -n | tail -n 1; }
must cluster kill 2 3 4
read -r size file < <(longest_log 2)
between "there is a log to damage (bytes)" 200000 "$size" 100000000
at=$((size - 100000))
byte=$(od -An -tu1 -j "$at" -N 1 "$file" | tr -d ' ')
cp "$file" "$TMP/undamaged"
printf '%b' "\\x$(printf %02x $((byte ^ 4)))" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
exits "a bit flipped 100,000 bytes before the end of the log: refused, with the reason" 1 \
    'event=start_failed status=corrupt reason=.*(damage|corrupt|checksum)' kvd_again 2
note "$(grep -o 'reason=.*' <<<"$out$err")"
exits "cluster.sh says so too" 1 'n2 did not start' cluster start 2
cp "$TMP/undamaged" "$file"
exits "with the bit as it was, it starts" 0 '' cluster start 2

read -r size file < <(longest_log 3)
truncate -s $((size - 7)) "$file"
exits "a torn tail: it starts" 0 '' cluster start 3
printf 'half a record' >>"$(longest_log 4 | cut -d' ' -f2)"
exits "garbage behind the tail: it starts" 0 '' cluster start 4
must cluster wait alive 2 3 4
run kvcli check "$TMP/keys.tsv"
matches "nothing is lost" '^20000 equal' "$out$err"

# ---- a wiped founder ----

must cluster stop 5
rm -rf "$DIR/n5/data"
mkdir "$DIR/n5/data"
cluster start 5 --timeout 3 >/dev/null 2>&1
soon "a founder that lost its disk sees that it is a newcomer" 10 grep -q 'event=newcomer' "$(log_of 5)"
exits "the others go on without it" 0 '' kvcli put still works
stable() { kvcli --json status | grep -q '"phase":"stable","queue":\[\]'; }
is_back() { [ "$(kvcli ring --tsv | grep -c '^n5')" = 1 ] && kvcli --via n5 get still >/dev/null 2>&1 && stable; }
soon "and becomes a member again, as a new one" 90 is_back
ring_of() { kvcli --json --via "n$1" ring | sed -n 's/.*"ring_hash":"\([0-9a-f]*\)".*/\1/p'; }
for i in 1 2 3 4; do equals "n$i and n5 are in the same ring" "$(ring_of 5)" "$(ring_of $i)"; done
matches "which is another than before" "^[0-9a-f]{16}$" "$(ring_of 5 | grep -v "$ring")"
run kvcli check "$TMP/keys.tsv"
matches "everything is there" '^20000 equal' "$out$err"

done_testing
