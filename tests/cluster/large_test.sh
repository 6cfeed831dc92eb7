#!/usr/bin/env bash
# The largest values from many clients all at once: each has an answer, no node ends, and others are served after it.
# alone: whoever else needs the disk would wait
# modes: release asan
# shellcheck disable=SC2154 # lib.sh sets out
. "$(dirname "$0")/lib.sh"

up large
size=8388608
[ "$KV_MODE" = release ] || size=500000
run kvbench --workload put --records 50 --clients 50 --value-size "$size" --ops 50 --timeout 60000 --json
note "50 clients put $size bytes at once: $out"
equals "50 large puts at once: each has an answer" 50 "$(number_of "$out" ops)"
soon "and small ones are served after it" 90 kvcli --timeout 2000 put after it
for i in 1 2 3 4 5; do
    check "n$i runs" kill -0 "$(pid_of "$i")"
    note "n$i, peak: $(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$(pid_of "$i")/status") MiB"
done

done_testing
