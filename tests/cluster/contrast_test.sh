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

# ---- figures and claims, of sources planted here ----

# counted NAME TOPOLOGY: a figure of the tree.
counted() { awk -F'\t' -v name="$1" -v t="$2" '$1 == name && $2 == t { print $3 }' "$TMP/planted/figures.tsv"; }
# of_states COLUMN: of the claim about states.
of_states() { awk -f "$TOP/scripts/contrast/claims.awk" "$TMP/planted/figures.tsv" | awk -F'\t' -v c="$1" '$2 ~ /^States of/ { print $c }'; }
plant() (
    TOP=$TMP/tree OUT=$TMP/planted TOPOLOGIES=(ring central directory)
    # shellcheck source-path=SCRIPTDIR source=../../scripts/contrast/figures.sh
    . "$TOP/scripts/contrast/figures.sh"
    figures
)

mkdir -p "$TMP"/tree/src/{model,swim,hub} "$TMP/planted"
ln -s "$TOP/scripts" "$TMP/tree/scripts"
plant
equals "states that are not there are not measured" 'not measured in this run' "$(of_states 6)"
echo 'enum member_state { MEMBER_UP = 0, MEMBER_DOWN = 1 };' >"$TMP/tree/src/model/membership.h"
echo 'enum hub_phase { HUB_NEW, HUB_ON, HUB_OFF };' >"$TMP/tree/src/hub/internal.h"
echo 'enum swim_probe_phase { SWIM_IDLE, SWIM_ASKED };' >"$TMP/tree/src/swim/probe.c"
cat >"$TMP/tree/src/swim/internal.h" <<'CODE'
#define SWIM_MAX 8u
enum swim_hearsay { SWIM_BY_GOSSIP, SWIM_BY_SYNC };
enum swim_phase {
    SWIM_NEW, /* until it is SWIM_ON */
    SWIM_ON,
};
struct swim {
    enum swim_phase phase; /* SWIM_GONE: no more */
};
CODE
plant
equals "a member's states are counted" '2 2 2' "$(counted protocol.states ring) $(counted protocol.states central) $(counted protocol.states directory)"
equals "phases are counted, over lines and files, and nothing else is" '4 3 3' \
    "$(counted protocol.phases ring) $(counted protocol.phases central) $(counted protocol.phases directory)"
equals "the claim adds them up" '6: 2 of a member, 4 of a node' "$(of_states 3)"
equals "the centre has fewer" 'holds: the centre has fewer' "$(of_states 6)"
echo 'enum hub_list_phase { HUB_WHOLE };' >"$TMP/tree/src/hub/list.c"
plant
equals "as many are not fewer" 'does not hold' "$(of_states 6)"

# ---- plots: read without colour ----

if command -v gnuplot >/dev/null; then
    printf '3\t80000\t160\t170\n100\t1200000\t170\t200\n' >"$TMP/planted/growth-ring.tsv"
    printf '3\t70000\t100\t150\n100\t150000\t140\t7600\n' >"$TMP/planted/growth-central.tsv"
    check "growth is drawn" bash -c "cd '$TMP/planted' && gnuplot -e \"lines='ring central'\" '$TOP/scripts/contrast/growth.gp'"
    for plot in operations:1:1 control:2:2; do # curves that are solid, and dashed
        IFS=: read -r name solid dashed <<<"$plot"
        svg=$TMP/planted/growth-$name.svg
        equals "$name: the centre's curves are dashed, the ring's are not" "$solid $dashed" \
            "$(awk '/id="gnuplot_plot_/ { plot = $0 } /stroke-dasharray/ && plot { dashed[plot] } plot { all[plot] }
                END { print length(all) - length(dashed), length(dashed) }' "$svg")"
    done
    check "numbers are written out" grep -q '>1,000,000<' "$TMP/planted/growth-operations.svg"
else
    skip "growth is drawn" "no gnuplot"
fi

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

equals "a member may be held in each state that has a name" "$(grep -c 'case MEMBER_[A-Z]*: return' "$TOP/src/model/message.c")" "$(figure protocol.states)"
check "the README's table counts the states as they are" \
    grep -qF "$(($(figure protocol.states) + $(figure protocol.phases))): $(figure protocol.states) of a member, $(figure protocol.phases) of a node |" "$TOP/README.md"

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
