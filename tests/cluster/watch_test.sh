#!/usr/bin/env bash
# kvcli watch, once and live on a terminal: what it shows of a cluster whose nodes die and come back, how it ends.
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

TERMINAL=$TMP/tmux # a server of our own
tmux() { command tmux -S "$TERMINAL" -f /dev/null "$@"; }
tear_down() { tmux kill-server 2>/dev/null; }

# type WORDS...: keys for the terminal.
type_keys() { tmux send-keys -t view "$@"; }
screen() { tmux capture-pane -p -t view; }
# shows PATTERN: the screen has such a line.
shows() { screen | grep -qE -- "$1"; }
no_longer_shows() { ! shows "$1"; }
# colors: the screen is coloured.
colors() { tmux capture-pane -p -e -t view | grep -q $'\e\\[3[1-6]m'; }
# widest: columns of its widest line.
widest() { screen | wc -L; }

up watched
for ((i = 0; i < 50; i++)); do echo "put key$i value"; done | kvcli || die "keys are put"

# ---- once ----

exits "--once" 0 'gureum: 5 nodes, 5 alive.*seen by.*n1 +alive +-\.\.\.\. +normal +[0-9.]+% .*n5 +alive +\.\.\.\.- .*operations.*available' \
    kvcli watch --once
equals "which is no terminal's: no escape sequences" '' "$(grep -c $'\e' "$TMP/out" | grep -v '^0$')"
exits "as JSON" 0 '^\{"cluster":"gureum","seen_by":"n[1-5]",.*"phase":"stable","queue":\[\],"ops_per_s":[0-9.]+,.*"nodes":\[\{"name":"n1",.*"state":"alive","seen_by":\{"n2":"alive","n3":"alive","n4":"alive","n5":"alive"\},"ring":"normal",.*"answers":true,.*"gossip_bytes_per_s":[0-9.]+' \
    kvcli --json watch --once
exits "by one node alone" 0 'seen by n3.*n3 +alive +\?\?-\?\? ' kvcli --via n3 watch --once
equals "as JSON without --once: a line a second" 2 "$(kvcli --json watch | head -n 2 | grep -c '^{.*}$')"
exits "where no terminal is" 2 'there is none: --once, or --json' kvcli watch
exits "where no node is" 7 'no_node: no node could be reached' kvcli -n 127.0.0.1:1 watch --once
exits "with a word too many" 2 "'on' is one word too many" kvcli watch on
exits "--once of another command" 2 'does not take --once' kvcli status --once

# ---- live ----

tmux new-session -d -s view -x 80 -y 24 "env -u NO_COLOR LC_ALL=C.UTF-8 PS1='ready> ' bash --norc --noprofile"
soon "a terminal is there" 10 shows '^ready>'
type_keys 'kvcli watch' Enter
soon "the view is drawn" 15 shows '^n5 +alive +\.\.\.\.- +normal'
soon "it has rates after two rounds" 10 shows '^all +[0-9.]+ +0 +0 '
check "it is coloured" colors
check "it fits 80 columns and 24 lines" test "$(widest)" -le 80
equals "and begins with the title" 'gureum: 5 nodes, 5 alive' "$(screen | head -n 1 | cut -c1-24)"

start_job kvbench --load --workload a --records 500 --clients 4 --rate 200 --duration 300 >"$TMP/bench" 2>&1
soon "operations are counted" 15 shows '^all +[1-9][0-9.]* '
soon "and what is available" 5 shows '^available .* (100|99\.[0-9]+) %'

# The view was opened by asking anybody: whoever that is, it goes on when nodes die one after the other.
must cluster kill 1
soon "a killed node gives no answer" 10 shows '^n1 .*no answer'
soon "and is seen dead by the others" 15 shows '^n1 +dead +\?DDDD '
must cluster start 1
soon "it comes back" 20 shows '^n1 +alive +-\.\.\.\. +normal'
must cluster kill 2
soon "the next is killed" 15 shows '^n2 +dead +D\?DDD '
soon "hints wait for it" 10 shows '^all +[0-9.]+ +[0-9.]+ +[1-9]'
must cluster start 2
soon "and it comes back" 20 shows '^n2 +alive +\.-\.\.\. '
check "the timeline tells of both" shows '^n1 .*D.* alive'
check "of the second too" shows '^n2 .*D.* alive'
soon "the hints went home" 20 shows '^all +[0-9.]+ +[0-9.]+ +0 '
kill -TERM "$job"

tmux resize-window -t view -x 60 -y 14
soon "a smaller terminal: the timeline of the nodes gives way" 5 no_longer_shows '^n1 .* alive$'
check "the nodes are all there" shows '^n5 +alive'
between "nothing is wider" 20 "$(widest)" 60
tmux resize-window -t view -x 60 -y 8
soon "where not all nodes fit" 5 no_longer_shows '^n5'
check "the first do" shows '^n2 +alive'
type_keys j j j
soon "j goes down" 5 shows '^n5'
type_keys k k k
soon "k goes up" 5 shows '^n1 '
tmux resize-window -t view -x 80 -y 24
soon "and back" 5 shows '^n1 .* alive$'

must cluster pause 1 2 3 4 5
soon "when nobody answers it says so" 20 shows 'nobody has answered for [0-9]+ s'
check "the table stays" shows '^n4 '
must cluster resume 1 2 3 4 5
soon "and goes on when they answer" 20 no_longer_shows 'nobody has answered'

# ---- how it ends ----

# ended PATTERN: back at the prompt, with the terminal as it was.
ended() { shows 'ready> *$' && no_longer_shows 'gossip/s'; }
sane() { # the terminal echoes and reads lines
    type_keys "clear; stty -a | grep -oE '(^| )(icanon|echo) ' | wc -l" Enter
    within 5 shows '^2$'
}
type_keys q
soon "q quits, and the old screen is back" 5 ended
type_keys 'echo "exit $?"' Enter
soon "with 0" 5 shows '^exit 0'

for signal in INT TERM HUP; do
    type_keys 'clear' Enter
    type_keys 'kvcli watch' Enter
    soon "SIG$signal: the view is there" 15 shows '^n5 +alive'
    if [ $signal = INT ]; then type_keys C-c; else pkill "-$signal" -P "$(tmux display-message -p -t view '#{pane_pid}')" kvcli; fi
    soon "the old screen is back" 5 ended
    type_keys 'echo "exit $?"' Enter
    soon "it ended with 128 and the signal" 5 shows "^exit $((128 + $(kill -l $signal)))"
done
type_keys clear Enter
check "the terminal reads lines and echoes" sane

type_keys 'clear; kvcli watch' Enter
soon "Ctrl-Z: the view is there" 15 shows '^n5 +alive'
type_keys C-z
soon "the shell has its terminal back" 5 shows 'Stopped'
check "without the view" no_longer_shows 'gossip/s'
type_keys fg Enter
soon "fg: the view is back" 10 shows '^n5 +alive'
type_keys q
soon "and quits" 5 ended

type_keys 'clear; NO_COLOR=1 LC_ALL=C kvcli watch' Enter
soon "NO_COLOR and a plain locale" 15 shows '^n5 +alive .*'
equals "no colours" no "$(colors && echo yes || echo no)"
equals "nothing but ASCII" '' "$(screen | LC_ALL=C grep -n '[^ -~]')"
type_keys q
soon "it ends" 5 ended
type_keys 'clear; TERM=dumb kvcli watch' Enter
soon "a terminal that cannot be drawn on" 5 shows 'there is none: --once'

done_testing
