#!/bin/sh
# Runs every fuzzer of tests/fuzz for SECONDS (20) each, from its corpus; what it finds stays in build/fuzz/.
#   scripts/fuzz.sh [SECONDS]
set -eu
cd "$(dirname "$0")/.."

case ${1:-20} in
*[!0-9]* | '')
    echo "usage: scripts/fuzz.sh [SECONDS]" >&2
    exit 2
    ;;
esac

if ! command -v clang >/dev/null; then
    echo "fuzz: needs clang with libFuzzer (Debian: clang, libclang-rt-14-dev)" >&2
    exit 1
fi
exec make fuzz FUZZ_SECONDS="${1:-20}"
