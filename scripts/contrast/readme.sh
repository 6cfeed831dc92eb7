#!/usr/bin/env bash
# Puts the table and the picture of a run of the contrast into README.md, between its two marks:
#   scripts/contrast/readme.sh [DIR]      (build/contrast)
set -euo pipefail
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DIR=${1:-$TOP/build/contrast}
if ! [ -s "$DIR/claims.tsv" ] || ! [ -s "$DIR/availability.svg" ]; then
    echo "readme.sh: no run of the contrast in $DIR" >&2
    exit 1
fi
cp "$DIR/availability.svg" "$TOP/scripts/contrast/availability.svg"
awk -F'\t' '
    FILENAME ~ /contrast.tsv$/ { machine[$1] = $2; next }
    FILENAME ~ /claims.tsv$/ {
        gsub(/\|/, "\\|")
        rows = rows sprintf("| %s | %s | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5, $6)
        next
    }
    /^<!-- contrast: end -->/ { inside = 0 }
    !inside { print }
    /^<!-- contrast: begin/ {
        inside = 1
        printf "Measured %s at commit %s, %s processors (%s):\n\n", substr(machine["date"], 1, 10), machine["commit"], machine["processors"], machine["processor"]
        print "![answered requests over time, three topologies](scripts/contrast/availability.svg)\n"
        print "| | claim | ring | central | directory | verdict |\n|---|---|---|---|---|---|"
        printf "%s", rows
    }' "$DIR/contrast.tsv" "$DIR/claims.tsv" "$TOP/README.md" >"$TOP/README.md.new"
mv "$TOP/README.md.new" "$TOP/README.md"
