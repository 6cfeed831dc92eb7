#!/usr/bin/env bash
# The house's walls, checked. --help says which.
# shellcheck disable=SC2086 # the tables are lists of words; `set -f` keeps their globs as they are
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/check-includes.sh [DIR]

Who may include whom, which system headers stay in which folder, and the few rules of form that a machine can check.
Prints each breach as FILE:LINE: what; exits 1 when there is any. DIR: this tree instead of the repository
(tests/unit/checks_test.sh plants breaches in one).
TEXT
}
[ "${1:-}" != --help ] || { usage; exit; }
cd "${1:-$(dirname "$0")/..}"

MAX_LINES=600
PURE="base model ring swim hub paxos coord repair node"

# Folder -> the folders whose headers it may include, besides its own. include/ is open to all.
declare -A MAY=(
    [base]=""
    [model]="base"
    [ring]="base model"
    [swim]="base model"
    [hub]="base model"
    [paxos]="base model"
    [coord]="base model ring"
    [repair]="base model ring"
    [node]="base model ring swim hub paxos coord repair"
    [wire]="base model"
    [store]="base model"
    [uv]="base model node wire store"
    [sim]="base model ring swim hub paxos coord repair node wire client"
    [client]="base model ring wire"
    [cmd]="$PURE wire store uv sim client"
    [include]=""
)

# System header (a glob) -> the folders that may include it. "client-shell" is src/client/uv*.[ch] and blocking*.[ch].
OWNED=(
    "uv.h              uv client-shell cmd"
    "rocksdb/*         store"
    "lz4*.h            wire"
    "protobuf-c/*      wire"
    "google/protobuf*  wire"
    "*.pb-c.h          wire"
    "xxhash.h          base"
    "jansson.h         cmd"
    "confuse.h         cmd"
    "argp.h            cmd"
    "editline/*        cmd"
    "histedit.h        cmd"
)

# All that the pure folders may take from the system: nothing here knows a clock, a thread or a socket. stdio is for
# snprintf; that nothing is printed shows check-purity.sh.
PURE_HEADERS="alloca.h ctype.h errno.h float.h inttypes.h limits.h math.h stdalign.h stdarg.h stdbool.h stddef.h
    stdint.h stdio.h stdlib.h string.h uthash.h utlist.h"

# The simulator and the client's pure part live in simulated time; wire knows none.
CLOCKLESS="sim client wire"
WORLD_HEADERS="time.h sys/time.h unistd.h pthread.h threads.h poll.h netdb.h signal.h fcntl.h
    sys/* arpa/* netinet/*"

breaches=0
breach() {
    echo "$1"
    breaches=$((breaches + 1))
}

# one_of WORD GLOB...
one_of() {
    local word=$1 glob
    shift
    for glob; do
        # shellcheck disable=SC2053 # a glob on purpose
        [[ $word != $glob ]] || return 0
    done
    return 1
}

is_client_shell() {
    one_of "$1" 'src/client/uv*' 'src/client/blocking*'
}

check_own_header() {
    local at=$1 file=$2 folder=$3 header=$4 target=${4%%/*}
    case $header in
    kv_error.h) return ;;
    kv.h)
        one_of "$folder" client cmd include || breach "$at: $folder/ may not include kv.h, the client's front door"
        return
        ;;
    *.pb-c.h)
        [ "$folder" = wire ] || breach "$at: generated headers stay in wire/, not $folder/"
        return
        ;;
    esac
    if [ "$target" = "$header" ]; then
        breach "$at: write \"folder/$header\""
    elif [ "$target" != "$folder" ] && ! one_of "$target" ${MAY[$folder]}; then
        breach "$at: $folder/ may not include $target/ (it may: ${MAY[$folder]:-nothing})"
    fi
    if is_client_shell "src/$header" && [ "$folder" != cmd ] && ! is_client_shell "$file"; then
        breach "$at: $header is the client's shell; its pure part and sim/ do without"
    fi
}

check_system_header() {
    local at=$1 file=$2 folder=$3 header=$4 rule place=$3 glob owners
    ! is_client_shell "$file" || place=client-shell
    for rule in "${OWNED[@]}"; do
        read -r glob owners <<<"$rule"
        if one_of "$header" "$glob" && ! one_of "$place" $owners; then
            breach "$at: <$header> belongs to $owners, not $place"
            return
        fi
    done
    if one_of "$folder" $PURE && ! one_of "$header" $PURE_HEADERS xxhash.h; then
        breach "$at: <$header> in $folder/, which is pure"
    elif one_of "$place" $CLOCKLESS && one_of "$header" $WORLD_HEADERS; then
        breach "$at: <$header> in $place, which is given its time and its bytes"
    fi
}

check_includes() {
    local line file rest number text folder at
    while IFS= read -r line; do
        file=${line%%:*}
        rest=${line#*:}
        number=${rest%%:*}
        text=${rest#*:}
        at=$file:$number
        folder=${file#src/}
        folder=${folder%%/*}
        if [ -z "${MAY[$folder]+known}" ]; then
            breach "$at: the folder $folder/ is not in the table of scripts/check-includes.sh"
        elif [[ $text =~ \"([^\"]+)\" ]]; then
            check_own_header "$at" "$file" "$folder" "${BASH_REMATCH[1]}"
        elif [[ $text =~ \<([^>]+)\> ]]; then
            check_system_header "$at" "$file" "$folder" "${BASH_REMATCH[1]}"
        else
            breach "$at: an include this check cannot read"
        fi
    done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' src include || true)
}

check_length() {
    local file lines
    while IFS= read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -le "$MAX_LINES" ] || breach "$file:$MAX_LINES: $lines lines; split it by concept ($MAX_LINES at most)"
    done < <(find src include tests -name '*.[ch]' | sort)
}

# breach_lines MESSAGE PATTERN PATH...: every line that matches is a breach.
breach_lines() {
    local message=$1 pattern=$2 line
    shift 2
    while IFS= read -r line; do
        breach "$(cut -d: -f1,2 <<<"$line"): $message"
    done < <(grep -rnIE "$pattern" "$@" 2>/dev/null || true)
}

set -f # the tables hold globs
check_includes
check_length
breach_lines "unfinished; finish it or delete it" '\b(TO''DO|FIX''ME)\b' src include tests proto
breach_lines "the path of somebody's machine" '(^|[^[:alnum:]_./-])/(home|root|work|Users)/' \
    src include tests proto scripts Makefile README.md .ci
breach_lines "the name of a tool nobody else has" '\bfar[m]-' \
    src include tests proto scripts Makefile README.md .ci

if [ "$breaches" -gt 0 ]; then
    echo "check-includes: $breaches breaches"
    exit 1
fi
