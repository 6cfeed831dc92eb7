#!/usr/bin/env bash
# A centre against no centre: the same load and the same faults on three topologies, measured, and told in a report.
# `cluster.sh contrast` calls it; --help says how.
set -euo pipefail
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'TEXT'
usage: scripts/cluster.sh contrast [OPTIONS]

Runs five nodes as a ring (no centre), as `central` (a hub coordinates every request) and as `directory` (a hub keeps
the list of nodes), one after the other, each under the same load and the same faults. Writes raw data, figures, a
table of claims with verdicts, plots (SVG, PNG) and report.html. Under 10 minutes on two cores.

  --out DIR           where all of that goes (build/contrast); what an earlier run left there is replaced
  --quick             a node, the hub, and the network 2|3 only: under 2.5 minutes
  --topologies LIST   of ring,central,directory (all three)
  --bin DIR           use the programs in DIR and do not build
  --report            run nothing: figures, plots and report again, from the data in DIR

examples:
  scripts/cluster.sh contrast
  scripts/cluster.sh contrast --quick --out /tmp/contrast
TEXT
}

die() { echo "contrast: $*" >&2; exit 1; }
wrong() { echo "contrast: $*" >&2; usage >&2; exit 2; }

OUT=$TOP/build/contrast LENGTH=full BIN='' REPORT_ONLY='' TOPOLOGIES=(ring central directory)
while [ $# -gt 0 ]; do
    case $1 in
    --out | --topologies | --bin)
        [ $# -ge 2 ] || wrong "$1 needs a value"
        case $1 in
        --out) OUT=$2 ;;
        --bin) BIN=$2 ;;
        --topologies) IFS=, read -ra TOPOLOGIES <<<"$2" ;;
        esac
        shift
        ;;
    --quick) LENGTH=quick ;;
    --tiny) LENGTH=tiny ;; # the test's: one fault, and plots only where gnuplot is there already
    --report) REPORT_ONLY=yes ;;
    --help | -h) usage; exit 0 ;;
    *) wrong "what is '$1'?" ;;
    esac
    shift
done
for T in "${TOPOLOGIES[@]}"; do
    case $T in ring | central | directory) ;; *) wrong "--topologies: '$T' is none" ;; esac
done

BEGAN=$SECONDS
T=''
# progress TEXT: a line on the terminal, with the time since the start.
progress() { printf '%3d:%02d  %-10s %s\n' $(((SECONDS - BEGAN) / 60)) $(((SECONDS - BEGAN) % 60)) "$T" "$1"; }

# shellcheck source-path=SCRIPTDIR source=ports.sh
. "$TOP/scripts/ports.sh"
# shellcheck source-path=SCRIPTDIR source=contrast/run.sh
. "$TOP/scripts/contrast/run.sh"
# shellcheck source-path=SCRIPTDIR source=contrast/beside.sh
. "$TOP/scripts/contrast/beside.sh"
# shellcheck source-path=SCRIPTDIR source=contrast/report.sh
. "$TOP/scripts/contrast/report.sh"

case $LENGTH in
quick) SECONDS_QUIET=4 ;;
tiny) SECONDS_QUIET=1 ;;
esac

# Whatever happens, no process stays behind.
finish() {
    local status=$?
    trap - EXIT INT TERM
    end_cluster
    end_beside
    exit $status
}
trap finish EXIT
trap 'echo; echo "contrast: stopped; its nodes are taken down" >&2; exit 130' INT
trap 'exit 143' TERM

prepare() {
    [ "$LENGTH" = tiny ] || "$TOP/scripts/deps.sh" --contrast
    if [ -z "$BIN" ]; then
        "$TOP/scripts/deps.sh"
        progress "building"
        make -C "$TOP" -j"$(nproc)" all >"$OUT/build.log" 2>&1 || { tail -n 20 "$OUT/build.log" >&2; die "the build failed"; }
        BIN=$TOP/build/release
    fi
    BIN=$(readlink -f "$BIN")
    [ -x "$BIN/kvbench" ] || die "no kvbench in $BIN"
}

# Only what is ours is replaced.
empty_out() {
    if [ -n "$(ls -A "$OUT" 2>/dev/null)" ] && [ ! -e "$OUT/contrast.tsv" ]; then
        die "$OUT holds other files; name another directory, or an empty one"
    fi
    mkdir -p "$OUT"
    OUT=$(readlink -f "$OUT")
    rm -rf "${OUT:?}"/{ring,central,directory,etcd}
    find "$OUT" -maxdepth 1 -type f -delete
}

# The machine and the moment, without which no figure means anything.
describe() {
    printf 'length\t%s\ntopologies\t%s\nprocessors\t%s\nprocessor\t%s\nload before\t%s\nkernel\t%s\ncommit\t%s\ndate\t%s\n' \
        "$LENGTH" "${TOPOLOGIES[*]}" "$(nproc)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
        "$(cut -d' ' -f1 /proc/loadavg)" "$(uname -sr)" "$(git -C "$TOP" rev-parse --short HEAD 2>/dev/null || echo unknown)" \
        "$(date -u +%Y-%m-%dT%H:%MZ)" >"$OUT/contrast.tsv"
}

if [ -n "$REPORT_ONLY" ]; then
    [ -e "$OUT/contrast.tsv" ] || die "no run of the contrast in $OUT"
    OUT=$(readlink -f "$OUT")
    BIN=${BIN:-$TOP/build/release}
    LENGTH=$(awk -F'\t' '$1 == "length" { print $2 }' "$OUT/contrast.tsv")
    read -ra TOPOLOGIES < <(awk -F'\t' '$1 == "topologies" { print $2 }' "$OUT/contrast.tsv")
else
    empty_out
    prepare
    describe
    for T in "${TOPOLOGIES[@]}"; do run_topology "$T"; done
    T=''
    if [ "$LENGTH" = full ]; then
        growth
        etcd_gap
    fi
fi
report
