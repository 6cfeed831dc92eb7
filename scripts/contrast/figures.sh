# shellcheck shell=bash
# Raw data to figures, by the lines of figures.list. Sourced by report.sh.

# figures.tsv: name, topology, value, unit, what it is, the line.
figures() {
    local name unit text line value
    for T in "${TOPOLOGIES[@]}"; do
        while IFS='|' read -r name unit text line; do
            [[ $name =~ ^[a-z] ]] || continue
            value=$(cd "$OUT" && T=$T SRC=$TOP/src bash -c "$line" 2>/dev/null) || value=''
            printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$T" "${value:--}" "$unit" "$text" "$line"
        done <"$TOP/scripts/contrast/figures.list"
    done >"$OUT/figures.tsv"
    T=''
}
