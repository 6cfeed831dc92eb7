#!/usr/bin/env bash
# Every named scenario, with a few seeds each.
set -euo pipefail
KVSIM=${KV_BIN:?}/kvsim
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
mapfile -t names < <("$KVSIM" list | sed -n '/^scenarios/,/^$/s/^  \([a-z_0-9]*\) .*/\1/p')
echo "1..${#names[@]}"
number=0
for name in "${names[@]}"; do
    number=$((number + 1))
    seeds=10
    [ "$name:${KV_LONG:-}" = killed_at_message:1 ] && seeds=400 # every message
    if "$KVSIM" --scenario "$name" --seeds "$seeds" --twice --quiet >"$LOG" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$LOG"
    fi
done
[ "$number" -gt 0 ]
