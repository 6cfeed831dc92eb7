# shellcheck shell=bash
# Which ports of this machine are free, for scripts that start servers. Sourced.

# holder PORT: who listens there, "name (pid 12)", or nothing.
holder() {
    local line
    if command -v ss >/dev/null; then
        line=$(ss -Hlntup "sport = :$1" 2>/dev/null | sed -n 1p)
        [ -n "$line" ] || return 1
        if [[ $line =~ \(\(\"([^\"]+)\",pid=([0-9]+) ]]; then echo "${BASH_REMATCH[1]} (pid ${BASH_REMATCH[2]})"; else echo "another user's process"; fi
    else
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 1
        echo "some process"
    fi
}

# all_free OFFSET...: nobody listens on these ports behind BASE.
all_free() {
    local offset
    for offset; do ! holder $((BASE + offset)) >/dev/null || return 1; done
}

# free_range LAST COMMAND...: sets BASE to the first range of 400 ports, up to LAST, that the command (which reads BASE)
# says is free. Two that look at the same time do not find the same one: it is ours until this shell ends, by descriptor
# 9, which a server that lives on must not inherit.
free_range() {
    local last=$1
    shift
    for ((BASE = ${KV_BASE_FROM:-7600}; BASE <= last; BASE += 400)); do # tests that run side by side begin apart
        { exec 9>"${TMPDIR:-/tmp}/gureum-ports-$BASE"; } 2>/dev/null && flock --nonblock 9 && "$@" >/dev/null && return
    done
    return 1
}
