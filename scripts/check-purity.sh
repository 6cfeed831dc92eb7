#!/usr/bin/env bash
# The purity of a compiled library, checked. --help says what that is.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/check-purity.sh LIBRARY         (build/release/libcore.a)

What the include check cannot see, read from the compiled pure folders: they call nothing of the system but memory,
strings, formatting and arithmetic, and they hold no writable variable. Exits 1 when one does.
TEXT
}
[ "${1:-}" != --help ] || { usage; exit; }
[ $# = 1 ] || { usage >&2; exit 2; }
library=$1

ALLOWED='mem(cpy|move|set|cmp|chr|rchr|mem)|str(len|nlen|cmp|ncmp|casecmp|ncasecmp|chr|rchr|chrnul|str|spn|cspn|dup|ndup|pbrk)
str(tol|toul|toll|toull|tod)|__isoc23_strto[a-z]+|stpcpy
malloc|calloc|realloc|free|qsort|qsort_r|bsearch|abort
sscanf|__isoc99_sscanf|v?snprintf|__v?snprintf_chk|__(mem|str|stp)[a-z]+_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_
__ctype_b_loc|__ctype_tolower_loc|tolower|toupper|__errno_location
__[a-z]+[dst]i[234]|log|log2|log10|log1p|exp|exp2|pow|sqrt|ceil|floor|round|lround|fmod'
ALLOWED="^($(tr '\n' '|' <<<"$ALLOWED" | sed 's/|$//'))\$"

# The last words of a failed assertion (base/assert.c) are the one thing ever written.
LAST_WORDS='^assert\.o (stderr|fprintf|__fprintf_chk)$'

failed=0

defined=$(mktemp)
trap 'rm -f "$defined"' EXIT
nm --defined-only --format=posix "$library" | awk 'NF > 1 { print $1 }' | sort -u >"$defined"
while read -r member symbol; do
    if ! [[ $symbol =~ $ALLOWED || "$member $symbol" =~ $LAST_WORDS ]] && ! grep -qxF "$symbol" "$defined"; then
        echo "$library: $member calls $symbol"
        failed=1
    fi
done < <(nm -A --undefined-only --format=posix "$library" | sed -n 's/.*\[\(.*\)\]: \([^ ]*\) U.*/\1 \2/p')

while read -r member section; do
    echo "$library: $member has writable variables ($section)"
    failed=1
done < <(size -A "$library" | awk '
    /^[^ ]+ +\(ex / { member = $1 }
    $1 ~ /^\.(data|bss|tdata|tbss)($|\.)/ && $1 !~ /rel\.ro/ && $2 > 0 { print member, $1 }')

exit $failed
