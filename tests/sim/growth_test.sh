#!/usr/bin/env bash
# How a cluster grows, in small: more nodes do more (by less than their number: each talks to more others, and says less
# to each at a time), a request costs the messages that it must, and what the control costs a node does not depend on
# how many there are. Every run is one seed.
set -euo pipefail
cd "$(dirname "$0")/../.."
KVSIM=${KV_BIN:?}/kvsim
# shellcheck source-path=SCRIPTDIR source=figures.sh
. tests/sim/figures.sh

growth() {
    "$KVSIM" growth --json --seconds 0.1 --quiet-seconds 10 --records 200 --partitions 64 "$@" || true
}

echo 1..8
gets=$(growth --nodes 3 --put-share 0)
holds "a get is four messages, and keeps the busiest node busy" "$gets" "$(value "$gets" failures) == 0" \
    "$(value "$gets" messages_per_op) >= 4" "$(value "$gets" messages_per_op) < 4.1" "$(value "$gets" max core) > 0.95"

puts=$(growth --nodes 3 --put-share 1)
holds "a put is six, and one sync serves many" "$puts" "$(value "$puts" failures) == 0" \
    "$(value "$puts" messages_per_op) >= 6" "$(value "$puts" messages_per_op) < 6.1" \
    "$(value "$puts" rows_per_sync) > 10"

nine=$(growth --nodes 9 --put-share 0)
holds "three times the nodes do at least 1.6 times as much" "$nine" \
    "$(value "$nine" ops_per_s) > 1.6 * $(value "$gets" ops_per_s)" "$(value "$nine" failures) == 0"

holds "and the control of each costs the same" "$nine" \
    "$(value "$nine" bytes_per_s control) > 0" \
    "$(value "$nine" bytes_per_s control) < 1.3 * $(value "$gets" bytes_per_s control)"

shared=$(growth --nodes 9 --put-share 0 --cores 3)
holds "nine nodes on three cores do no more than three of their own" "$shared" \
    "$(value "$shared" ops_per_s) < $(value "$gets" ops_per_s)" "$(value "$shared" mean core) < 0.34"

central=$(growth --nodes 9 --put-share 0 --topology central)
holds "a hub is busy before the others, and does less than the ring" "$central" "$(value "$central" failures) == 0" \
    "$(value "$central" max core) > 0.95" "$(value "$central" mean core) < 0.8" \
    "$(value "$central" ops_per_s) < $(value "$nine" ops_per_s)"

holds "and sends more than twice the control of the mean node" "$central" \
    "$(value "$central" bytes_max_per_s control) > 2 * $(value "$central" bytes_per_s control)"

again=$(growth --nodes 3 --put-share 1)
holds "the same seed gives the same run" "$again" "\"$(value "$again" trace)\" == \"$(value "$puts" trace)\""
