#!/usr/bin/env bash
# The experiment of `cluster.sh contrast`, at its shortest: one topology, one fault. All files are there, the figures
# follow from the raw data, and nothing is left running.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

OUT=$TMP/contrast
# Also when the test is stopped in between.
tear_down() { [ ! -f "$OUT/ring/cluster/cluster.conf" ] || "$TOP/scripts/cluster.sh" clean --dir "$OUT/ring/cluster" >/dev/null 2>&1; }
figure() { awk -F'\t' -v name="$1" '$1 == name { print $3 }' "$OUT/figures.tsv"; }

exits "an option that is none" 2 "what is '--fast'" "$TOP/scripts/cluster.sh" contrast --fast
exits "a topology that is none" 2 "'star' is none" "$TOP/scripts/cluster.sh" contrast --topologies star
mkdir "$TMP/mine"
touch "$TMP/mine/precious"
exits "a directory with other files in it is not touched" 1 'holds other files' \
    "$TOP/scripts/cluster.sh" contrast --out "$TMP/mine" --bin "$KV_BIN"
check "they are still there" test -e "$TMP/mine/precious"

run "$TOP/scripts/cluster.sh" contrast --tiny --topologies ring --out "$OUT" --bin "$KV_BIN"
equals "a run ends well" 0 "$status"
note "$err"
matches "it prints claims and what was measured" 'The managing host fails.*=> ' "$out"
for file in contrast.tsv figures.tsv figures.jsonl claims.tsv report.html ring/events.tsv ring/sloppy-near.jsonl \
    ring/strict-far.jsonl ring/phases-all.csv ring/buckets-all.csv ring/buckets-all.jsonl ring/control-after.tsv ring/logs/n1.log; do
    [ -s "$OUT/$file" ] || not_ok "there is $file" "$(ls -R "$OUT")"
done
equals "its phases" 'before,hub killed,hub restarted' "$(awk -F, 'NR > 1 { print $1 }' "$OUT/ring/phases-all.csv" | paste -sd,)"
equals "nothing acknowledged was lost" 0 "$(figure lost)"
[ "$(figure lost)" = 0 ] || note "$(cat "$OUT"/ring/check-*.txt)"
equals "no strict read was stale" 0 "$(figure stale.strict)"
between "the ring answers while its busiest node is dead (%)" 95 "$(figure hub.phase)" 100
between "all began when it was due (500 a second, at least 8 seconds)" 3500 "$(figure whole.ops)" 20000

# The buckets are the phases, cut otherwise; both are counted from the histories.
by_hand=$(cat "$OUT"/ring/{sloppy,strict}-{near,far}.jsonl | awk -v begin="$(head -n 1 "$OUT/ring/events.tsv" | cut -f1)" '
    { sub(/.*"start_ns":/, ""); if ($0 + 0 >= begin) n++ } END { print n }')
equals "phases count the operations of the histories" "$by_hand" "$(awk -F, 'NR > 1 { n += $4 } END { print n }' "$OUT/ring/phases-all.csv")"
equals "so do buckets" "$by_hand" "$(awk -F, 'NR > 1 { n += $3 } END { print n }' "$OUT/ring/buckets-all.csv")"

check "the report asks nobody for anything" bash -c "! grep -qE '(src|href)=\"' '$OUT/report.html'"
check "no node of it is left" bash -c "! pgrep -f '[c]ontrast/ring/cluster/n' >/dev/null"
before=$(cat "$OUT/figures.tsv")
check "figures and report can be made again from the data" "$TOP/scripts/cluster.sh" contrast --report --out "$OUT" --bin "$KV_BIN"
equals "they are the same" "$before" "$(cat "$OUT/figures.tsv")"

done_testing
