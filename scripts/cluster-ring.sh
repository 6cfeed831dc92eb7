# shellcheck shell=bash
# The part of cluster.sh that cuts its network and changes its ring; sourced by it.

# ---- the network ----

# cut_network GROUPS PERCENT: each node drops so much of what comes from other groups. Faults are in the nodes, so
# that nobody needs to be root; the orders come from outside and are not cut.
cut_network() {
    local a b group=() orders='' part n=0
    for part in ${1//\// }; do
        n=$((n + 1))
        for a in ${part//,/ }; do group[a]=$n; done
    done
    for a in $(running); do
        for b in $(running); do
            [ "${group[a]:-0}" = "${group[b]:-0}" ] || orders+="fault drop --percent $2 --from n$a --to n$b"$'\n'
        done
    done
    kvcli -n "$(all_addrs)" <<<"$orders" || die "not every node took its orders (all of them must run, with --lab)"
}

cmd_partition() {
    local part a i seen=' ' groups=() group
    [ ${#ARGS[@]} -eq 1 ] || wrong "partition: which groups? Like 1,2/3,4,5"
    for part in ${ARGS[0]//\// }; do
        group=
        for a in ${part//,/ }; do
            i=$(index "$a") || exit 2
            [[ $seen != *" $i "* ]] || wrong "partition: n$i is named twice"
            seen+="$i "
            group+="${group:+,}$i"
        done
        [ -z "$group" ] || groups+=("$group")
    done
    group=
    for i in $(nodes); do [[ $seen == *" $i "* ]] || group+="${group:+,}$i"; done
    [ -z "$group" ] || groups+=("$group")
    [ ${#groups[@]} -ge 2 ] || wrong "partition '${ARGS[0]}': at least two groups, like 1,2/3,4,5"
    [ -z "$CUT" ] || cut_network "$CUT" 0
    CUT=$(IFS=/; echo "${groups[*]}")
    cut_network "$CUT" 100
    conf_save
    say "the network is cut: ${CUT//\// | }"
}

cmd_heal() {
    [ -n "$CUT" ] || { say "the network is not cut"; return; }
    cut_network "$CUT" 0
    CUT=
    conf_save
    say "the network is whole"
}

# ---- the ring ----

# Shows how far the ring's change is, in one line that is rewritten on a terminal, until a condition holds. Without
# any progress it gives up after the time-out.
follow_until() {
    local what=$1 line last='' deadline=$((SECONDS + TIMEOUT))
    shift
    until "$@"; do
        line=$(kvcli --timeout 1000 -n "$(all_addrs)" status 2>/dev/null |
            grep -E '^(the ring changes|n[0-9]+ has taken over)' | tail -n 1 | cut -c1-78 || true)
        if [ "$line" != "$last" ]; then
            deadline=$((SECONDS + TIMEOUT))
            if [ -t 1 ]; then printf '\r%s\033[K' "$line"; elif [ -n "$line" ]; then say "$line"; fi
        fi
        last=$line
        [ $SECONDS -lt $deadline ] || die "$what: no progress within $TIMEOUT s"
        sleep 0.3
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

# Node I is a member like any other, in every running node's eyes.
joined() {
    launched "$1" || { show_log_end "$1"; die "n$1 ended; its log: $(node_dir "$1")/log"; }
    local j
    [ -n "$(observers)" ] || return 1
    for j in $(observers); do
        kvcli --timeout 1000 -n "$(addr "$j")" --via "$(addr "$j")" status --tsv 2>/dev/null |
            awk -F'\t' -v n="n$1" '$1==n && $5=="alive" && $6=="normal" { found = 1 } END { exit !found }' || return 1
    done
}

cmd_add() {
    local i problem
    [ ${#ARGS[@]} -eq 0 ] || wrong "add takes no '${ARGS[0]}': the next free number is taken"
    [ -n "$(running)" ] || die "no node is running; start them with: $ME up"
    [ -n "$(observers)" ] || [ "$TOPOLOGY" = ring ] || die "n$HUB, the hub, does not answer: nobody can join without it"
    i=$((NODES + 1))
    [ "$i" -le 99 ] || die "no number is left: at most 99 nodes"
    problem=$(check_ports "$i") || die "$problem"
    NODES=$i
    mkdir -p "$(node_dir "$i")"
    conf_save
    launch "$i"
    say "n$i joins at $(addr "$i")"
    sleep 0.05
    [ -z "$CUT" ] || say "note: the network is cut (${CUT//\// | }); n$i hears all"
    [ -z "$NO_WAIT" ] || return 0
    follow_until "n$i joining" joined "$i"
    cmd_status
}

# It leaves by itself while it runs, and is given up when it is dead.
leave_ring() {
    local i=$1 word=leave
    if [ -n "$DEAD" ]; then
        word=remove
        ! find_pid "$i" || die "n$i is running; without --dead it leaves in peace"
        wait_until "n$i seen as dead by all" seen_as "$i" 'dead|left'
    else
        find_pid "$i" || die "n$i is not running; with --dead the others take its share over"
    fi
    kvcli -n "$(other_addrs "$i")" node "$word" "n$i" || die "n$i is still a member"
}

cmd_remove() {
    local i ring
    [ ${#ARGS[@]} -eq 1 ] || wrong "remove: which node?"
    i=$(index "${ARGS[0]}") || exit 2
    ring=$(kvcli -n "$(other_addrs "$i")" ring --tsv) || die "no other node answers"
    if cut -f1 <<<"$ring" | grep -qx "n$i"; then
        leave_ring "$i"
    else
        say "n$i has left the ring before"
    fi
    wait_until "the end of n$i" gone "$i" # which ends by itself when it has left
    GONE="${GONE:+$GONE }$i"
    conf_save
    cmd_status
}
