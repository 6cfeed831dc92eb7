#!/usr/bin/env bash
# What the programs say and how they exit: every kind of answer and mistake of kvcli, cluster.sh, kvd and kvbench.
# long: begins first
# modes: release
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
EXPECTED_ERRORS='event=start_failed'
export HOME=$TMP # the prompt keeps its history there

stamp='[0-9a-f]{16}-[0-9a-f]{16}'

# ---- without any cluster ----

for program in kvcli kvd kvbench; do
    exits "$program --version" 0 "^$program \(Gureum\) [0-9]+\.[0-9]+" "$program" --version
    exits "$program --help has examples" 0 'Usage: .*Examples:' "$program" --help
    # argp breaks its own columns where a text ends at an unlucky byte.
    equals "... and is set in columns of a terminal" '' \
        "$("$program" --help | awk 'length > 79 || /^ {8,28}[-=]/ || (/^[^ ]/ && before ~ /^ +-/); { before = $0 }')"
    exits "$program with an unknown option" 2 "unrecognized option '--no-such'" "$program" --no-such
done
equals "kvsim --help fits a terminal" '' "$(kvsim --help | awk 'length > 80')"
exits "kvsim: a trace that cannot be written" 2 'kvsim: cannot write /no/trace: No such file' kvsim --trace /no/trace
exits "cluster.sh --version" 0 '^cluster.sh \(Gureum\)' "$TOP/scripts/cluster.sh" --version
exits "cluster.sh --help has examples" 0 'Usage: .*Examples:' "$TOP/scripts/cluster.sh" --help
exits "cluster.sh without a command" 2 'Usage:' "$TOP/scripts/cluster.sh"

begin=$(now_ms)
exits "no node there: exit 7" 7 'no_node' kvcli -n 127.0.0.1:1,127.0.0.1:2 get key
exits "as JSON" 7 '^\{"status":"no_node",.*"message":"' kvcli --json -n 127.0.0.1:1 get key
exits "status of nobody" 7 'no_node' kvcli -n 127.0.0.1:1 status
between "which is said soon (ms)" 0 $(($(now_ms) - begin)) $((8000 * PATIENCE))

wrong() { # TEXT PATTERN WORDS: a mistake: exit 2, what was wrong, and usage
    local text=$1 pattern=$2
    shift 2
    exits "kvcli: $text" 2 "$pattern" kvcli "$@"
}
wrong "an unknown command" "no command 'gt'.*Usage" gt key
wrong "a word missing" 'get: something is missing.*Usage: kvcli \[OPTIONS\] get KEY' get
wrong "a word too many" "'b' is one word too many.*Usage: .* get KEY" get a b
wrong "an option of another command" 'does not take' get a --ttl 3
wrong "a quorum where none is" 'does not take -r' --strict status
wrong "R that is none" "-r '9': a number from 1 to 7" -r 9 get a
wrong "a timeout that is none" "--timeout 'soon': a number" --timeout soon get a
wrong "a TTL that is none" "--ttl '0': a number" put a b --ttl 0
wrong "nodes that are none" "nodes 'here' make no sense|'here'" -n here get a
wrong "a cursor that is none" "cursor 'zz'" scan --cursor zz
wrong "a file that is not there" 'cannot read .*/no/such' put a @/no/such
wrong "a file to load that is not there" 'cannot read /no/such' load /no/such
wrong "a file to load that is a directory" 'cannot read /tmp: Is a directory' load /tmp
wrong "a value from a directory" 'cannot read /tmp: Is a directory' put a @/tmp
exits "an empty key" 6 'invalid: a key has 1 to 4096 bytes' kvcli get ''
exits "one to explain" 6 'invalid: a key has 1 to 4096 bytes' kvcli explain get ''
exits "a key that is too long" 6 'too_large: a key has 1 to 4096 bytes' kvcli put "$(printf '%4097s' x)" v
wrong "explain of what has no story" 'explain get KEY, or explain put KEY VALUE; not .del.' explain del a
exits "explain where no node is" 7 '^get k: no_node, no coordinator had a say, [0-9]+ us.*no node could be reached' \
    kvcli -n 127.0.0.1:1 explain get k
wrong "a fault that is none" "no fault 'crash'" fault crash
wrong "a delay of nothing" 'how many ms' fault delay
wrong "node without a word" 'node: something is missing.*Usage' node
wrong "node with a word that is none" "no 'node fly'.*Usage" node fly n1
wrong "node leave of nobody" 'node leave takes: NAME' node leave
wrong "node list with a name" 'node list takes: no more words' node list n1
wrong "node weight without one" 'node weight takes: NAME W' node weight n1
wrong "node weight that is none" "'17' is no number from 1 to 16" node weight n1 17
wrong "node leave does not take" 'node leave does not take --weight' node leave n1 --weight 2
wrong "node add without --plan says how a node joins" 'kvd --name n9 --data DIR .*--join' node add n9
wrong "a name that is none" "'no name' is no name" -n 127.0.0.1:1 node leave 'no name'
wrong "--plan of another command" 'get does not take --plan' get a --plan
exits "node leave where no node is" 7 'no_node' kvcli -n 127.0.0.1:1 node leave n1
exits "help of a command" 0 '^put KEY VALUE' kvcli help put
exits "with the options it takes" 0 '^put KEY .*    --ttl=SECONDS    gone after this time.    --literal .*    -r R, -w W, --strict$' kvcli help put
equals "help fits a terminal" '' "$(kvcli help | awk 'length > 80')"
exits "help of none" 2 "no command 'frob'" kvcli help frob

exits "kvd without what it needs" 2 '--name, --data and --listen are needed' kvd --name n1
exits "kvd with a wrong address" 2 "--listen 'here' is no HOST:PORT" kvd --listen here
exits "kvd with wrong founders" 2 "'n1' is no NAME=HOST:PORT" kvd --initial n1
exits "kvd with nobody to join" 2 '--join: the list is empty' kvd --join ,
exits "kvd with a wrong address to join" 2 "--join: 'there' is no HOST:PORT" kvd --join there
exits "kvd cannot found and join" 2 '--initial founds a cluster, --join joins one' \
    kvd --name n1 --data "$TMP/none" --listen 127.0.0.1:1 --initial n1=127.0.0.1:1 --join 127.0.0.1:2
exits "kvd with a wrong rate" 2 "--transfer-rate '0': a number from 1 to" kvd --transfer-rate 0
exits "kvd with a wrong name" 2 "--name 'a b'" kvd --name 'a b'
exits "kvd with a wrong sync" 2 "--sync 'maybe': always, interval or none" kvd --sync maybe
exits "kvd with a wrong scheduling" 2 "--scheduling 'fast': batch or normal" kvd --scheduling fast
exits "kvd with a number too large" 2 "--replicas '8': a number from 1 to 7" kvd --replicas 8
exits "kvd with a word too many" 2 "'word' is not understood" kvd word
exits "kvd: a skewed clock needs --lab" 2 'clock-skew is for --lab only' \
    kvd --name n1 --data "$TMP/none" --listen 127.0.0.1:1 --clock-skew 5
exits "kvd with a settings file that is not there" 2 'config /no/such' kvd --config /no/such
whole=(--name n1 --data "$TMP/none" --listen 127.0.0.1:1 --initial n1=127.0.0.1:1)
exits "or is a directory" 2 '^kvd: --config /tmp cannot be read' kvd --config /tmp
exits "also when nothing else is missing" 2 'config /no/such' kvd "${whole[@]}" --config /no/such
echo 'nonsense = 7' >"$TMP/kvd.conf"
exits "kvd with a setting that is none" 2 "nonsense.*kvd.conf is not understood" kvd "${whole[@]}" --config "$TMP/kvd.conf"
echo 'sync = "maybe"' >"$TMP/kvd.conf"
exits "kvd with a setting of a wrong value" 2 "--sync 'maybe': always" kvd "${whole[@]}" --config "$TMP/kvd.conf"
check "and nothing was made" test ! -e "$TMP/none"
exits "kvbench with a workload that is none" 2 "workload" kvbench --workload z
exits "kvbench: check of nothing" 2 '' kvbench check
exits "kvbench with a word that is none" 2 'what do these words mean' kvbench --workload a word
exits "kvbench where no node is" 7 'kvbench: run: none of 5 operations succeeded; 5 ended in no_node: no node could be reached' \
    kvbench -n 127.0.0.1:1 --workload a --ops 5
exits "kvbench names too" 7 'names: none of 5 operations succeeded; 5 ended in no_node' kvbench names -n 127.0.0.1:1 --ops 5
exits "kvbench: check of a file that is not there" 2 'cannot read' kvbench check /no/such

use none
exits "cluster.sh: no cluster there" 1 'no cluster in .*; start one with: .* up' cluster status
exits "cluster.sh: an unknown command" 2 "unknown command 'fly'" cluster fly
exits "cluster.sh: an unknown option" 2 'unknown option --fast' cluster up --fast
exits "cluster.sh: a value missing" 2 '--nodes needs a value' "$TOP/scripts/cluster.sh" up --nodes
exits "cluster.sh: no nodes" 2 "--nodes '0': 1 to 99" cluster up --nodes 0
exits "cluster.sh: too many" 2 "--nodes '100': 1 to 99" cluster up --nodes=100
exits "cluster.sh: a count that is none" 2 "--nodes 'five': 1 to 99" cluster up --nodes five
exits "cluster.sh: a wrong sync" 2 "--sync 'often'" cluster up --sync often
exits "cluster.sh: a wrong port" 2 "--base-port '99999': 1024 to 65100, or auto" cluster up --base-port 99999
exits "cluster.sh: programs that are not there" 1 'no kvd and kvcli in /no/such' cluster up --bin /no/such
exits "cluster.sh: up with a word too many" 2 "up takes no 'now'" cluster up now
exits "cluster.sh: clean of one node, which there is not" 2 "clean takes no '2'" cluster clean 2
two_ranges() ( # the second is looked for while the first is somebody's
    TMPDIR=$TMP
    . "$TOP/scripts/ports.sh"
    free_range 64000 true && first=$BASE && (free_range 64000 true && [ "$BASE" -gt "$first" ])
)
check "two that look for free ports at the same time find different ones" two_ranges
touch "$TMP/file"
exits "cluster.sh: up in what is no directory" 1 'cluster.sh: cannot create directory .*/file' \
    "$TOP/scripts/cluster.sh" up --bin "$KV_BIN" --dir "$TMP/file"
exits "cluster.sh: --dead of what is none" 2 '\-\-dead is for remove' cluster stop 1 --dead
check "and nothing was made" test ! -e "$DIR/n1"

# ---- a cluster ----

up first --nodes 3
ours=$KV_NODES
base=$(($(addr_of 1 | cut -d: -f2) - 1))
matches "up shows the table" 'node +pid +address +state +partitions +keys' "$(cat "$TMP/first.up")"
equals "with each node alive" 3 "$(grep -cE '^n[1-3] +[0-9]+ +127.0.0.1:[0-9]+ +alive +[0-9]+ +0$' "$TMP/first.up")"
matches "and commands to try" 'Try:.*kvcli put' "$(cat "$TMP/first.up")"
matches "and how fast the disk syncs" '[0-9]+ us for a synced write' "$(cat "$TMP/first.up")"
pids=$(cat "$DIR"/n?/pid)
ports_free() (
    . "$TOP/scripts/ports.sh"
    BASE=$base
    all_free "$@"
)
equals "ports that somebody holds are not free" "no no yes" \
    "$(for i in 1 "300 3" 300; do ports_free $i && echo yes || echo no; done | paste -sd' ')"
exits "a second up says so" 0 'is running in .* already \(3 of 3 nodes\); nothing was changed' cluster up --bin "$KV_BIN"
equals "and changes nothing" "$pids" "$(cat "$DIR"/n?/pid)"
exits "cluster.sh: Ctrl-C ends it, and not just what it asks" 124 'cluster.sh: interrupted; nodes that run go on' \
    env --default-signal=INT timeout -s INT "$PATIENCE" "$TOP/scripts/cluster.sh" wait dead 1 --dir "$DIR"
exits "cluster.sh: a node that is none" 2 "'4' is no node of this cluster \(1 to 3\)" cluster kill 4
exits "cluster.sh: no node named" 2 'kill: which node' cluster kill
exits "cluster.sh: remove of nobody" 2 'remove: which node' cluster remove
exits "cluster.sh: remove --dead of a living node" 1 'n2 is running; without --dead it leaves in peace' cluster remove 2 --dead
exits "cluster.sh: add takes no number" 2 "add takes no '7': the next free number is taken" cluster add 7
exits "cluster.sh: partition of nothing" 2 'partition: which groups' cluster partition
exits "cluster.sh: partition of one group" 2 'at least two groups' cluster partition 1,2,3
exits "cluster.sh: partition with a node twice" 2 'n1 is named twice' cluster partition 1/2,1
exits "cluster.sh: partition with a node that is none" 2 "'7' is no node of this cluster" cluster partition 1/7
exits "cluster.sh: heal of what is whole" 0 'the network is not cut' cluster heal
exits "cluster.sh: start of what runs" 0 'n2 is running already' cluster start n2
exits "env is for eval" 0 '^export PATH=.*export KV_NODES=127' cluster env
exits "logs shows the log" 124 'event=listening' timeout "$PATIENCE" "$TOP/scripts/cluster.sh" logs 2 --dir "$DIR"

# Values and how they are printed.
exits "put is silent" 0 '^$' kvcli put greeting 'hello, cloud'
equals "get prints the value alone, without a newline" 'hello, cloud|' "$(kvcli get greeting && echo '|')"
matches "and a newline on a terminal" $'^hello, cloud\r\nend$' "$(script -qec 'kvcli get greeting' /dev/null </dev/null && echo end)"
exits "a key that is not there: exit 1" 1 '^kvcli: not found: nothing$' kvcli get nothing
equals "and nothing on standard output" '' "$(kvcli get nothing 2>/dev/null)"
must kvcli put literal @greeting --literal
equals "a value that begins with @" '@greeting' "$(kvcli get literal)"
must kvcli put -- dash -x
equals "a value that begins with -" '-x' "$(kvcli get dash)"
echo 'from a file' >"$TMP/value"
must kvcli put file "@$TMP/value"
equals "a value from a file" 'from a file' "$(kvcli get file)"
equals "a value from standard input" piped "$(echo -n piped | kvcli put input - && kvcli get input)"
exits "-v says what was asked" 0 "ok by n[1-3] in [0-9]+ us: asked [23], acknowledged 2 of 2 needed, 0 hinted" kvcli -v get greeting
exits "del" 0 '^$' kvcli del greeting
exits "then it is not there" 1 'not found' kvcli get greeting

# JSON.
must kvcli put k v
exits "JSON of put" 0 "^\{\"status\":\"ok\",\"key\":\"k\",\"coordinator\":\"n[1-3]\",\"asked\":3,\"acked\":[23],\"needed\":2,\"hinted\":0,\"stamp\":\"$stamp\",\"us\":[0-9]+\}$" \
    kvcli --json put k v
exits "JSON of get" 0 "^\{\"status\":\"ok\",\"key\":\"k\",\"value\":\"v\",\"coordinator\":\"n[1-3]\",\"asked\":[23],\"acked\":2,\"needed\":2,\"hinted\":0,\"stamp\":\"$stamp\",\"us\":[0-9]+\}$" \
    kvcli --json get k
exits "JSON of what is not there" 1 '^\{"status":"not_found","key":"none",.*"proven":true,.*\}$' kvcli --json get none
printf '\377\000' | kvcli put binary -
exits "JSON of bytes that are no UTF-8" 0 '"value":\{"base64":"/wA="\}' kvcli --json get binary
exits "JSON of a TTL" 0 '"ttl_ms":[0-9]+' bash -c 'kvcli put brief v --ttl 100 && kvcli --json get brief'
exits "JSON of status" 0 '^\{"cluster":"gureum","seen_by":"n2","topology":"ring","hub":"","ring_hash":"[0-9a-f]{16}","members":\[\{"name":"n1","id":"1","addr":"127.0.0.1:[0-9]+","zone":"","state":"alive","ring":"normal","partitions":4096,"share":0\.33' \
    kvcli --json --via n2 status
exits "and of the ring's change" 0 '"epoch":1,"phase":"stable","queue":\[\]\}$' kvcli --json --via n2 status
exits "JSON of ring" 0 '^\{"ring_hash":"[0-9a-f]{16}",.*"partitions":4096,"replicas":3,"max_over_mean":1\.0,"members":\[\{"name":"n1"' kvcli --json ring
exits "JSON of where" 0 '^\{"key":"k","token":"[0-9a-f]{16}","partition":[0-9]+,"homes":\["n[1-3]","n[1-3]","n[1-3]"\],"fallbacks":\[\],"moving":\[\]\}$' kvcli --json where k
exits "JSON of stats" 0 '^\{"node":"n3",.*"hints_waiting":0' kvcli --json stats n3
exits "JSON of explain" 0 '"trace":\[\{"at_us":[0-9]+,"by":"client","node":"n[1-3]","text":"client sends the request to n[1-3]"\},.*"text":"has its answer: ok"' kvcli --json explain get k

# For people.
exits "status" 0 'cluster gureum, seen by n[1-3].*n3 +127.0.0.1:[0-9]+ .* alive +normal' kvcli status
exits "node list" 0 'cluster gureum, seen by n[1-3].*n3 +127.0.0.1:[0-9]+ .* alive +normal' kvcli node list
exits "node list --tsv" 0 $'n1\t1\t127.0.0.1:[0-9]+\t\talive\tnormal\t4096\t0.3333\t0\t0\t0' kvcli node list --tsv
exits "node leave of who is no member" 6 'invalid: no member of the ring is named n9' kvcli node leave n9
exits "node remove of a living member is refused" 6 'n2 .*(alive|lives)' kvcli node remove n2
exits "node replace of a living member too" 6 'n2 is alive; only a dead member can be replaced' kvcli node replace n2
exits "node leave --plan" 0 '^leave n3 would move [0-9]+ of (8192|12288) replicas of partitions \(least possible: [0-9]+\);.the busiest member would have 1.0[0-9] of the mean. Nothing was changed.' \
    kvcli node leave n3 --plan
exits "node add --plan" 0 '^join n4 would move [0-9]+ of 12288 replicas' kvcli node add n4 --plan
exits "JSON of a plan" 0 '^\{"status":"ok","change":"weight n1 2","plan":true,"epoch":1,"moved":0,"least":0,"total":12288,"max_over_mean":1\.[0-9]+\}$' \
    kvcli --json node weight n1 2 --plan
exits "which has changed nothing" 0 'epoch 1:' kvcli ring
exits "ring" 0 'ring [0-9a-f]{16}, epoch 1: 4096 partitions, 3 replicas; busiest member 1.00 of the mean' kvcli ring
exits "where" 0 'token +[0-9a-f]{16}.partition +[0-9]+.homes +n' kvcli where k
exits "stats of a node" 0 'counters of n2.*rows_written +[0-9]+' kvcli stats n2
exits "explain get" 0 "get k: ok, coordinated by n.*asks n.*answers ok, $stamp.*has its answer: ok.*2 of 2 needed" kvcli explain get k
exits "explain put" 0 'put k: ok, coordinated by n.*asks n.*answers ok' kvcli explain put k w
equals "which has put it" w "$(kvcli get k)"
exits "--via of a name that is none" 6 'invalid: no node is named n9' kvcli --via n9 get k

exits "kvbench: R above the replicas, every get is refused" 6 '^run: 50 operations.*none of 50 operations succeeded; 50 ended in refused: .*R or W above' \
    kvbench --workload get -r 5 --ops 50
exits "kvbench: gets of what is not there are answered" 0 'not_found +50 +100.00 %' kvbench --workload get --key-prefix none- --ops 50
# bench OPTION...: a load that goes on until it is told to stop, as $job; interrupt tells it, and waits until it knows.
bench() {
    start_job env --default-signal=INT kvbench --load --records 10000000 --workload c --clients 4 "$@" >"$TMP/bench"
    within 30 catches || die "kvbench catches SIGINT"
}
catches() { [ "$(cat "/proc/$job/comm")" = kvbench ] && in_mask SigCgt; }
in_mask() { (($(sed -n "s/^$1:[[:space:]]*/16#/p" "/proc/$job/status") & 1 << ($(kill -l INT) - 1))); }
interrupt() {
    kill -INT "$job"
    within 30 eval '! in_mask ShdPnd'
}
bench --key-prefix stopped-
soon "kvbench loads" 30 kvcli get stopped-0
interrupt
wait "$job"
equals "Ctrl-C ends kvbench" 130 "$?"
matches "with what it has found out" '^load: [1-9][0-9]* operations in [0-9.]+ s,' "$(cat "$TMP/bench")"
equals "and no other phase is begun" '' "$(grep '^run:' "$TMP/bench")"
must cluster pause 3
bench -n "$(addr_of 3)" --via "$(addr_of 3)" --timeout 60000
interrupt
check "it waits for what is in flight" kill -0 "$job"
interrupt
wait "$job"
equals "a second one ends it before that" 130 "$?"
matches "which also says what there is to say" '^load: 0 operations in [0-9.]+ s,' "$(cat "$TMP/bench")"
must cluster resume 3
must cluster wait alive 3

# kvbench's other side. Nothing of ours listens so far behind the first port.
if command -v redis-server >/dev/null; then
    start_job redis-server --port $((base + 399)) --bind 127.0.0.1 --save '' --dir "$TMP" --requirepass x >"$TMP/redis.log"
    redis=127.0.0.1:$((base + 399))
    within 5 bash -c ": </dev/tcp/127.0.0.1/$((base + 399))" || die "redis-server starts" "$(cat "$TMP/redis.log")"
    exits "kvbench: why Redis refused a SET" 6 'kvbench: redis: SET was refused: NOAUTH [A-Z]' kvbench --redis "$redis" --workload put --ops 5
    exits "and why every GET" 6 'none of 5 operations succeeded; 5 ended in refused: NOAUTH ' kvbench --redis "$redis" --workload get --ops 5
    kill -TERM "$job"
    wait "$job" || true
else
    skip "kvbench: why Redis refused a SET" "no redis-server here"
fi

# scan, dump, load.
for ((i = 0; i < 40; i++)); do printf 'scan/%d\\t\tvalue\\n%d\n' "$i" "$i"; done >"$TMP/scan.tsv"
exits "load" 0 '^40 loaded, 0 failed, ' kvcli load "$TMP/scan.tsv"
exits "JSON of load" 0 '^\{"status":"ok","loaded":40,"failed":0,"missing":0,"seconds":' kvcli --json load "$TMP/scan.tsv"
exits "load of standard input" 0 '^40 loaded' bash -c "kvcli load - <'$TMP/scan.tsv'"
check "dump is what load takes" cmp <(kvcli dump scan/ | sort) <(sort "$TMP/scan.tsv")
equals "scan shows the keys with a prefix" 40 "$(kvcli scan scan/ | grep -c '^scan/[0-9]*\\t$')"
exits "a scan with a limit says how to go on" 0 "more follows: --cursor '[0-9a-f]{16}:scan" kvcli scan scan/ --limit 7
cursor='' pages=0
: >"$TMP/scanned"
while [ "$pages" -lt 20 ]; do
    run kvcli scan scan/ --limit 7 ${cursor:+--cursor "$cursor"}
    echo "$out" >>"$TMP/scanned"
    pages=$((pages + 1))
    cursor=$(sed -n "s/.*--cursor '\(.*\)'$/\1/p" <<<"$err")
    [ -n "$cursor" ] || break
done
check "page by page it finds the same" cmp <(grep . "$TMP/scanned" | sort) <(cut -f1 "$TMP/scan.tsv" | sort)
exits "JSON of scan" 0 '^\{"key":"scan/[0-9]+\\t","size":[0-9]+,"stamp":"' kvcli --json scan scan/ --limit 1
printf 'good\t1\nno tab here\nbad escape\t\\q\n\tno key\nalso good\t2\n' >"$TMP/bad.tsv"
exits "load says which lines are none" 6 'line 2: no KEY<TAB>VALUE.*line 3: .*line 4: ' kvcli load "$TMP/bad.tsv"
matches "and counts both" '^2 loaded, 3 failed, ' "$out"
equals "and loads the others" '1 2' "$(kvcli get good) $(kvcli get 'also good')"
seq 1000 >"$TMP/bad.tsv"
run kvcli load "$TMP/bad.tsv"
equals "of very many it names the first" 21 "$(wc -l <<<"$err")"
matches "and counts all" '^0 loaded, 1000 failed, ' "$out"

# What takes long ends in peace when it is told to.
yes "$(printf 'stopped/\tvalue')" | head -n 3000000 >"$TMP/long.tsv"
start_job env --default-signal=INT kvcli load "$TMP/long.tsv" >"$TMP/load" 2>"$TMP/load.err"
catches() { [ "$(cat "/proc/$job/comm")" = kvcli ] && in_mask SigCgt; }
within 30 catches || die "kvcli load catches SIGINT"
soon "kvcli load loads" 30 kvcli get stopped/
kill -INT "$job"
wait "$job"
equals "Ctrl-C ends it" 130 "$?"
matches "with the number of lines that it loaded" '^[1-9][0-9]* loaded, 0 failed, ' "$(cat "$TMP/load")"
matches "and up to which it came" '^kvcli: interrupted after line [1-9][0-9]*; no line behind it was begun' "$(cat "$TMP/load.err")"
equals "which are as many" "$(cut -d' ' -f1 "$TMP/load")" "$(sed 's/.*after line \([0-9]*\);.*/\1/' "$TMP/load.err")"
rm "$TMP/long.tsv"
seq -f $'dumped/%g\tvalue' 3000 >"$TMP/many.tsv"
must kvcli load "$TMP/many.tsv"
must kvcli fault delay 100 # so that the first page of several is still to come
start_job env --default-signal=INT kvcli dump dumped/ >/dev/null 2>"$TMP/dump.err"
within 30 catches || die "kvcli dump catches SIGINT"
kill -INT "$job"
wait "$job"
equals "Ctrl-C ends a dump" 130 "$?"
matches "which says that it is not whole" 'kvcli: interrupted: not all keys are in what was written' "$(cat "$TMP/dump.err")"
must kvcli fault clear
exits "check says what is missing" 1 'line 1: absent: missing' kvcli check <(printf 'absent\tx\n')

# Lines from a pipe, and the prompt.
printf '%s\n' "put 'a key' \"a value\"" "get 'a key'" '' 'get no-such' 'frob' quit 'put never reached' >"$TMP/lines"
run kvcli <"$TMP/lines"
equals "lines from a pipe are commands; the worst exit counts" '2 a value' "$status $out"
matches "with their errors" "not found: no-such.*no command 'frob'" "$err"
exits "quit quits" 1 '' kvcli get never
exits "an open quote" 2 'open quote' kvcli <<<"get 'a"
printf 'get "a key"\nstatus\nquit\n' >"$TMP/typed"
matches "on a terminal there is a prompt" "Gureum. 'help' lists the commands.*kv> .*a value.*cluster gureum" \
    "$(TERM=dumb script -qec kvcli /dev/null <"$TMP/typed" 2>&1)"
matches "with a history" 'get "a key"|get.*a.*key' "$(cat "$TMP"/.kvcli_history 2>&1)"

# ---- more than one cluster ----

use second
exits "ports that are held: up names who holds them" 1 "port $((base + 1)) is held by kvd \(pid $(head -n 1 <<<"$pids")\); try --base-port auto" \
    cluster up --bin "$KV_BIN" --base-port "$base" --nodes 1
check "and leaves no directory" test ! -e "$DIR"
up second --nodes 1 --replicas 1 --sync none
theirs=$KV_NODES
must kvcli put only-here yes
exits "a key of one cluster is not in the other" 1 'not found' kvcli -n "$ours" get only-here
exits "a kvd whose port is held" 1 'event=start_failed .*(address already in use|cannot listen)' \
    timeout $((5 * PATIENCE)) kvd --name n1 --data "$TMP/port" --listen "$theirs" --initial "n1=$theirs"
must cluster stop 1
exits "data of one cluster is refused under another's name" 1 "event=start_failed status=wrong_cluster reason=.*belongs to cluster 'gureum', not 'other'" \
    timeout $((5 * PATIENCE)) kvd --name n1 --data "$DIR/n1/data" --listen "$theirs" --initial "n1=$theirs" --cluster other
exits "stop again" 0 'n1 is not running' cluster stop 1
exits "status of a cluster that is down" 0 'n1 +- .*down.*no node is running; start them with' cluster status
exits "up again, on its data" 0 'n1 +[0-9]+ .*alive' cluster up --bin "$KV_BIN"
equals "which is there" yes "$(kvcli -n "$theirs" get only-here)"
exits "another size on its data is refused" 1 "" bash -c "'$TOP/scripts/cluster.sh' down --dir '$DIR' && '$TOP/scripts/cluster.sh' up --bin '$KV_BIN' --nodes 4 --dir '$DIR'"

# A stranger: another cluster's node that believes ours to be its own.
port=$(cut -d: -f2 <<<"$theirs")
CLUSTERS+=("$TMP/stranger")
mkdir -p "$TMP/stranger/n1"
start_job kvd --name n9 --data "$TMP/stranger/n1/data" --listen "127.0.0.1:$port" --cluster other \
    --initial "n9=127.0.0.1:$port,n1=127.0.0.1:$((base + 1))" 2>"$TMP/stranger/n1/log"
soon "a node of another cluster is told that it is refused" 10 grep -qE 'event=(refused_by|wrong_peer) .*(wrong_cluster|cluster=gureum)' "$TMP/stranger/n1/log"
use first
soon "and the refusing node says so too" 10 grep -q 'event=refused .*status=wrong_cluster' "$(log_of 1)"
kill -TERM "$job"
wait "$job"
equals "SIGTERM ends also a node that never found its cluster, with 0" 0 "$?"

# A node by a settings file.
cat >"$TMP/kvd.conf" <<CONF
name = "n1"
data = "$TMP/stranger/n2"
listen = "127.0.0.1:$port"
initial = "n1=127.0.0.1:$port"
replicas = 1
CONF
start_job kvd --config "$TMP/kvd.conf" 2>"$TMP/conf.log"
soon "a node runs from a settings file" 5 kvcli -n "127.0.0.1:$port" put conf file
exits "without --lab it takes no fault orders" 6 'not_permitted.*started with --lab' kvcli -n "127.0.0.1:$port" fault delay 10
kill -TERM "$job"
wait "$job"
equals "SIGTERM ends it with 0" 0 "$?"

# ---- nodes that are away ----

exits "pause" 0 '' cluster pause 2
exits "a time-out: exit 4" 4 'timeout: .*outcome is unknown.*acknowledged [0-2], needed 3' kvcli --timeout 1200 -w 3 put k v
must cluster resume 2
must cluster wait alive 2
must cluster pause 2
exits "as JSON" 4 '^\{"status":"timeout","key":"k",.*"acked":[0-2],"needed":3,.*"message":"' kvcli --json --timeout 1200 -w 3 put k v
exits "a node that does not answer is not reached" 7 'no_node' kvcli --timeout 300 --via n2 get k
exits "status calls it paused" 0 'n2 +[0-9]+ +127[^ ]+ +paused' cluster status
exits "through the others it goes on" 0 '' kvcli put k v2
exits "resume" 0 '' cluster resume 2
soon "then it answers again" 5 kvcli --timeout 500 --via n2 get k
exits "kill" 0 '' cluster kill 2 n3
exits "kill of the dead" 0 'n2 is not running' cluster kill 2
exits "wait dead" 0 '' cluster wait dead 2 3
exits "status shows them so" 0 'n2 +- +127[^ ]+ +dead .*n3 +- +127[^ ]+ +dead' cluster status
exits "too few nodes: exit 3" 3 '^kvcli: unavailable: .*\(asked 0, acknowledged 0, needed 2, reachable 1\)' kvcli put k v
exits "as JSON" 3 '^\{"status":"unavailable","key":"k",.*"asked":0,"acked":0,"needed":2,.*"message":"[^"]+","reachable":1\}$' kvcli --json put k v
exits "kvbench: none of many is a failure, with what most met" 3 '^run: 20 operations.*none of 20 operations succeeded; 20 ended in unavailable: ' \
    kvbench --workload put --ops 20 --clients 2
exits "kvbench: so is a load" 3 'kvbench: load: none of 20 operations succeeded; ' kvbench --load --workload get --records 20 --clients 2
equals "and no other phase is begun" '' "$(grep '^run:' <<<"$out")"
exits "kvbench: some that fail are a measurement" 0 'unavailable +[0-9]+ ' kvbench -r 1 --workload a --ops 200 --clients 2
exits "one is enough for R = 1" 0 '^v2$' kvcli -r 1 get k
exits "load writes what failed to a file" 6 '^0 loaded, 40 failed' kvcli load "$TMP/scan.tsv" --failed "$TMP/failed.tsv"
check "just as it was" cmp <(sort "$TMP/failed.tsv") <(sort "$TMP/scan.tsv")
exits "wait that is in vain" 1 'n2 seen as alive by all: not within 1 s' cluster wait alive 2 --timeout 1
exits "start" 0 '' cluster start 2 3
exits "wait alive" 0 '' cluster wait alive 2 3
exits "what failed can be loaded then" 0 '^40 loaded, 0 failed' kvcli load "$TMP/failed.tsv"

exits "down" 0 'stopped 3 nodes; data is kept in' cluster down
exits "down again" 0 'no node is running' cluster down
exits "clean" 0 'deleted' cluster clean
check "then nothing is left" test ! -e "$DIR/n1"

done_testing
