#!/usr/bin/env bash
# The membership alone, against the measured figures of memberlist (interval 1 s, time-out 0.5 s, multiplier 4): how
# soon a crash is known, what it costs in quiet, and that nobody who lives is called dead. Every run is one seed.
set -euo pipefail
cd "$(dirname "$0")/../.."
KVSIM=${KV_BIN:?}/kvsim
# shellcheck source-path=SCRIPTDIR source=figures.sh
. tests/sim/figures.sh

members() {
    "$KVSIM" members --json "$@" || true
}

# as_memberlist NODES RUNS FIRST_S ALL_S: with its parameters no slower, spread and bytes within bounds.
as_memberlist() {
    ran=$(members --preset memberlist --nodes "$1" --runs "$2")
    holds "$1 members: no slower than memberlist, 1 s from first to all, 200 B/s" "$ran" \
        "$(value "$ran" median_s first) <= $3" "$(value "$ran" median_s all) <= $4" \
        "$(value "$ran" max_s first_to_all) <= 1" "$(value "$ran" bytes_per_s) <= 200" \
        "$(value "$ran" missed) + $(value "$ran" false_deaths) == 0" "$(value "$ran" crashes) == $2"
}

# half_of_it NODES RUNS: the defaults beside what as_memberlist has just run.
half_of_it() {
    local d
    d=$(members --nodes "$1" --runs "$2")
    holds "$1 members: the defaults know it in half the time for 1.5 times the bytes" "$d" \
        "$(value "$d" median_s all) <= 0.5 * $(value "$ran" median_s all)" \
        "$(value "$d" bytes_per_s) <= 1.5 * $(value "$ran" bytes_per_s)" \
        "$(value "$d" max_s first_to_all) <= 1" "$(value "$d" missed) + $(value "$d" false_deaths) == 0"
}

echo 1..13
as_memberlist 32 31 8.8 9.2
half_of_it 32 31
as_memberlist 100 31 10.3 10.8
half_of_it 100 31
as_memberlist 1000 3 14.5 15.1
holds "gossip_at_1000: faster than real time" "$ran" "$(value "$ran" virtual_s) > $(value "$ran" cpu_s)"

five=$(members --nodes 5 --runs 101)
holds "5 members, as cluster.sh has them: known to all in 2 s" "$five" \
    "$(value "$five" median_s all) <= 2" "$(value "$five" bytes_per_s) <= 200" "$(value "$five" false_deaths) == 0"

hub=$(members --topology central --nodes 100 --runs 31)
holds "100 members and a hub: each says less than in a ring, the hub for all; crashes are known as soon" "$hub" \
    "$(value "$hub" bytes_per_s) < $(value "$five" bytes_per_s)" \
    "$(value "$hub" bytes_max_per_s) > 25 * $(value "$hub" bytes_per_s)" "$(value "$hub" median_s all) <= 3" \
    "$(value "$hub" missed) + $(value "$hub" false_deaths) == 0"

for preset in memberlist default; do
    run=$(members --preset $preset --nodes 128 --pause 16,16,120)
    holds "$preset: 16 of 128 pause for 16 s again and again, nobody healthy is called dead" "$run" \
        "$(value "$run" false_deaths) == 0" "$(value "$run" paused_deaths) > 128"
    run=$(members --preset $preset --nodes 100 --loss 25)
    holds "$preset: a quarter of all packets lost for 120 s, 100 members, at most 2 false deaths" "$run" \
        "$(value "$run" false_deaths) <= 2" "$(value "$run" false_suspicions) > 1000"
done

again=$(members --nodes 32 --runs 2 --loss 10)
once_more=$(members --nodes 32 --runs 2 --loss 10)
if [ "${again##*trace}" = "${once_more##*trace}" ]; then
    echo "ok $((number + 1)) - the same seed gives the same run"
else
    echo "not ok $((number + 1)) - the same seed gives the same run"
fi
