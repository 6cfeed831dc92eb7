# shellcheck shell=bash
# Raw data to figures, claims, plots and the report. Sourced by contrast.sh.

# shellcheck source-path=SCRIPTDIR source=figures.sh
. "$TOP/scripts/contrast/figures.sh"

HERE=$TOP/scripts/contrast

# growth-*.jsonl and control-*.jsonl as tables: nodes, ops/s, control bytes a second of a node (mean, and the busiest).
# Where the members alone were measured, up to a thousand of them, the control is theirs.
growth_tables() {
    local t files
    rm -f "$OUT"/growth-*.tsv
    for t in ring central; do
        [ -s "$OUT/growth-$t.jsonl" ] || continue
        files=("$OUT/growth-$t.jsonl")
        [ ! -s "$OUT/control-$t.jsonl" ] || files+=("$OUT/control-$t.jsonl")
        awk -v alone=$((${#files[@]} - 1)) '
            function member(name) { return match($0, "\"" name "\":[0-9.]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) : 0 }
            { n = member("nodes"); sizes[n] }
            member("clients") { ops[n] = member("ops_per_s"); if (alone) next }
            { mean[n] = member("bytes_per_s"); busiest[n] = member("bytes_max_per_s") }
            END { for (n in sizes) printf "%d\t%.0f\t%.1f\t%.1f\n", n, ops[n], mean[n], busiest[n] }' "${files[@]}" | sort -n >"$OUT/growth-$t.tsv"
    done
}

# SVG for this page: its black is the page's ink, and its paper is the page's.
inline() { sed -n '/<svg/,$p' "$1" | sed -e 's/black/currentColor/g; s/rgb( *0, *0, *0)/currentColor/g; s/rgb(208, *208, *208)/var(--fault)/g; s/rgb(192, *192, *192)/var(--line)/g; s/rgb( *31, *95, *139)/var(--answered)/g' -e '/<rect .*fill="white"/d; /<rect .*fill="#ffffff"/d'; }

# The outline of what was answered in each bucket, with corners only where it changes.
outline() {
    awk -F, 'NR == 1 || $3 == 0 { next }
        $7 != value { if (value != "") print end "," value; print $1 "," $7; value = $7 }
        { end = $2 }
        END { print end "," value }' "$1"
}

plots() {
    local t lines='' names='' seconds=0
    for t in "${TOPOLOGIES[@]}"; do
        [ -s "$OUT/$t/phases-all.csv" ] || continue
        names+="${names:+ }$t"
        awk -F, '$1 ~ /killed|cut|paused|added|away/ { print $1 "," $2 "," $3 }' "$OUT/$t/phases-all.csv" >"$OUT/$t/faults.csv"
        outline "$OUT/$t/buckets-all.csv" >"$OUT/$t/steps.csv"
        seconds=$(awk -F, -v s="$seconds" '$3 / 1000 > s { s = $3 / 1000 } END { print s }' "$OUT/$t/phases-all.csv")
    done
    if [ -n "$names" ]; then (cd "$OUT" && gnuplot -e "topologies='$names'; seconds=$seconds" "$HERE/availability.gp"); fi
    for t in ring central; do [ ! -s "$OUT/growth-$t.tsv" ] || lines+="${lines:+ }$t"; done
    if [ -n "$lines" ]; then (cd "$OUT" && gnuplot -e "lines='$lines'" "$HERE/growth.gp"); fi
}

# claims.tsv; the figures once more as JSON lines.
claims() {
    local growth=() file
    for file in "$OUT"/growth-*.tsv; do [ ! -s "$file" ] || growth+=("$file"); done
    awk -f "$HERE/claims.awk" "${growth[@]}" "$OUT/figures.tsv" >"$OUT/claims.tsv"
    awk -F'\t' 'function text(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return s }
        { printf "{\"name\":\"%s\",\"topology\":\"%s\",\"value\":\"%s\",\"unit\":\"%s\",\"what\":\"%s\",\"line\":\"%s\"}\n", $1, $2, $3, $4, text($5), text($6) }' \
        "$OUT/figures.tsv" >"$OUT/figures.jsonl"
}

print_claims() {
    awk -F'\t' '{ printf "\n%s  %s\n     ring       %s\n     central    %s\n     directory  %s\n     => %s\n", $1, $2, $3, $4, $5, $6 }' "$OUT/claims.tsv"
    printf '\n   %s\n' "$(etcd_words)"
}

etcd_words() {
    local t
    t=$(awk -F'\t' '{ print $2 }' "$OUT/etcd/gaps.tsv" 2>/dev/null | sort -n | awk '
        { v[NR] = $1 } END { if (NR) printf "%d ms (median of %d runs, %d to %d)", v[int((NR + 1) / 2)], NR, v[1], v[NR] }')
    if [ -n "$t" ]; then
        echo "etcd, three members, two clients, its leader killed: no put acknowledged for $t; then it goes on by itself, with no command typed."
    else
        echo "etcd's gap at a leader's death: not measured here."
    fi
}

report() {
    progress "figures, plots, report"
    growth_tables
    figures
    claims
    [ ! -x "$TOP/.deps/run/gnuplot" ] || PATH=$PATH:$TOP/.deps/run
    if command -v gnuplot >/dev/null; then plots; else progress "no gnuplot, so no plots"; fi
    html >"$OUT/report.html"
    print_claims
    printf '\n%s\n' "report: $OUT/report.html"
}

# ---- the page ----

escape() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'; }

claims_table() {
    echo '<table class="claims"><thead><tr><th></th><th>Claim</th><th>ring</th><th>central</th><th>directory</th><th>Verdict</th></tr></thead><tbody>'
    escape <"$OUT/claims.tsv" | awk -F'\t' '{
        printf "<tr><td class=\"letter\">%s</td><td>%s</td><td data-label=\"ring\">%s</td><td data-label=\"central\">%s</td><td data-label=\"directory\">%s</td><td data-label=\"verdict\"><b>%s</b><small>%s</small></td></tr>\n", $1, $2, $3, $4, $5, $6, $7 }'
    echo '</tbody></table>'
}

# Before, during and after each fault, of one topology.
phases_table() {
    echo '<div class="wide"><table><thead><tr><th>Phase</th><th>Operations</th><th>Failed</th><th>Missed</th><th>Stale</th><th>Answered</th><th>p50 ms</th><th>p99 ms</th><th>Longest ms</th><th>Until well ms</th><th>No answer for ms</th></tr></thead><tbody>'
    awk -F, 'NR > 1 { printf "<tr><td>%s</td><td>%d</td><td>%d</td><td>%d</td><td>%d</td><td>%.2f %%</td><td>%.1f</td><td>%.1f</td><td>%.0f</td><td>%s</td><td>%.0f</td></tr>\n",
        $1, $4, $5, $6, $7, $8, $9 / 1000, $10 / 1000, $11 / 1000, ($12 == "" ? "not in it" : sprintf("%.0f", $12)), $13 }' "$OUT/$1/phases-all.csv"
    echo '</tbody></table></div>'
}

operator_table() {
    echo '<div class="wide"><table><thead><tr><th>Topology</th><th>Task</th><th>Command typed</th><th>Exit</th><th>Seconds</th></tr></thead><tbody>'
    for T in "${TOPOLOGIES[@]}"; do
        [ ! -s "$OUT/$T/operator.tsv" ] || escape <"$OUT/$T/operator.tsv" | awk -F'\t' -v t="$T" \
            '{ printf "<tr><td>%s</td><td>%s</td><td><code>%s</code></td><td>%s</td><td>%s</td></tr>\n", t, $1, $2, $3, $4 }'
    done
    echo '</tbody></table></div>'
}

figures_table() {
    echo '<div class="wide"><table><thead><tr><th>Figure</th><th>Topology</th><th>Value</th><th>What it is, and the line that computes it</th></tr></thead><tbody>'
    escape <"$OUT/figures.tsv" | awk -F'\t' '$3 != "-" { printf "<tr><td>%s</td><td>%s</td><td>%s %s</td><td>%s<br><code>%s</code></td></tr>\n", $1, $2, $3, $4 == "-" ? "" : $4, $5, $6 }'
    echo '</tbody></table></div>'
}

machine() { awk -F'\t' '$1 != "length" { printf "%s%s: %s", (NR > 2 ? " · " : ""), $1, $2 }' "$OUT/contrast.tsv" | escape; }

# What came out, in a sentence or two.
lead() {
    awk -F'\t' '
        { f[$1, $2] = $3 }
        function percent(name, t) { return sprintf("%.1f %%", f[name, t]) }
        function states(t) { return f["protocol.states", t] + f["protocol.phases", t] }
        END {
            if (("hub.available", "central") in f && ("hub.available", "ring") in f)
                printf "With its hub dead, central answered %s of all requests, until somebody started the hub again; the ring, with its busiest node dead, answered %s. ", percent("hub.available", "central"), percent("hub.available", "ring")
            if (("whole.available", "central") in f && ("whole.available", "ring") in f)
                printf "Over all phases, faults and all, the ring answered %s, central %s. ", percent("whole.available", "ring"), percent("whole.available", "central")
            if (f["protocol.lines", "central"] > 0)
                printf "The price: to know who is there the ring needs %d types of messages, %d states and %d lines of code, the centre %d, %d and %d", f["protocol.messages", "ring"], states("ring"), f["protocol.lines", "ring"], f["protocol.messages", "central"], states("central"), f["protocol.lines", "central"]
            if (f["control.bytes", "central"] > 0)
                printf "; a node of the ring sends %.0f bytes a second for it in %.1f messages, one of central %.0f in %.1f", f["control.bytes", "ring"], f["control.messages", "ring"], f["control.bytes", "central"], f["control.messages", "central"]
            if (f["protocol.lines", "central"] > 0) print "."
        }' "$OUT/figures.tsv" | escape
}

html() {
    cat "$HERE/report-head.html"
    echo "<p class=\"quiet\">$(machine)</p><p class=\"lead\">$(lead)</p>"
    cat "$HERE/report-setting.html"
    echo '<h2>Claims and verdicts</h2>'
    claims_table
    echo "<p>$(etcd_words | escape) The centre here has no standby, by definition: what stands in for a dead hub must be decided without it, and that is what etcd does with a quorum among equals. Its gap is what a centre with elected successors costs.</p>"
    if [ -s "$OUT/availability.svg" ]; then
        echo '<h2>Answered requests over time</h2><p>Filled: the part of the requests that began in each tenth of a second and were answered. Grey bands: a fault is there, or nodes come or go.</p>'
        echo "<figure>$(inline "$OUT/availability.svg")</figure>"
    fi
    for T in "${TOPOLOGIES[@]}"; do
        [ ! -s "$OUT/$T/phases-all.csv" ] || { echo "<h3>$T, phase by phase</h3>"; phases_table "$T"; }
    done
    echo '<h2>Growth</h2>'
    if [ -s "$OUT/growth-operations.svg" ]; then
        echo '<p>The same node code in the simulator, with service times measured on real nodes. Both axes are logarithmic.</p>'
        echo "<figure class=\"pair\">$(inline "$OUT/growth-operations.svg")$(inline "$OUT/growth-control.svg")</figure>"
    else
        echo '<p>Not measured in this run.</p>'
    fi
    echo '<h2>What an operator types</h2>'
    operator_table
    echo '<details><summary>Every figure, and the line that computes it</summary><p>Run in the directory of this report, with <code>T</code> the topology, <code>SRC</code> the folder src of the project.</p>'
    figures_table
    echo '</details>'
    cat "$HERE/report-foot.html"
    T=''
}
