# figures.tsv to the table of claims: letter, claim, what ring, central and directory measured, the verdict, and the
# rule by which figures make the verdict. A claim whose figures are not there is "not measured in this run".
#
# Growth comes from growth-*.tsv, which are read before it where they are there.

BEGIN { FS = OFS = "\t" }

FILENAME ~ /growth-[a-z]+.tsv$/ { # nodes, ops/s, control bytes a second of a node: mean, busiest
    t = FILENAME
    sub(/.*growth-/, "", t)
    sub(/.tsv/, "", t)
    if ($2 > 0) {
        if (!(t in least)) { least[t] = $1; first[t] = $2 }
        most[t] = $1; last[t] = $2
    }
    if ($4 > 0) { largest[t] = $1; mean[t] = $3; busiest[t] = $4; at[t, $1] = $4; sizes[$1] }
    next
}

{ f[$1, $2] = $3 }

function known(name,    t) {
    for (t = 1; t <= 2; t++)
        if (f[name, TOPOLOGY[t]] == "-") return 0
    return 1
}
function percent(x) { return x == "-" || x == "" ? "-" : sprintf(x >= 99.95 && x < 100 ? "%.3f %%" : "%.1f %%", x) }
function ms(x) { return x == "-" || x == "" ? "-" : x + 0 == x ? sprintf(x >= 100 ? "%.0f ms" : "%.1f ms", x) : x }
function number(x) { return x == "-" || x == "" ? "-" : x + 0 == x ? sprintf(x >= 100 ? "%.0f" : "%.3g", x) : x }
function low(a, b) { return a == "-" ? b : b == "-" ? a : a < b ? a : b }

# The least of what was answered during any one fault.
function worst(t) { return low(low(f["node.available", t], f["hub.phase", t]), low(f["line.available", t], f["pause.available", t])) }

function protocol(t) { return f["protocol.messages", t] " types of messages, " f["protocol.lines", t] " lines of code" }
function all_states(t) { return f["protocol.states", t] + f["protocol.phases", t] }
function states(t) { return f["protocol.phases", t] == "-" ? "-" : all_states(t) ": " f["protocol.states", t] " of a member, " f["protocol.phases", t] " of a node" }

# Nothing at all is a dash.
function tidy(x) { return x ~ /(^|[ ])-([,; ]|$)/ && x !~ /[0-9]|yes|impossible/ ? "-" : x }
function say(letter, claim, ring, central, directory, verdict, rule) {
    print letter, claim, tidy(ring), tidy(central), tidy(directory), verdict, rule
}
function judged(is_measured, holds, yes, no) { return !is_measured ? "not measured in this run" : holds ? yes : no }

function sides(t) {
    return "sloppy " percent(f["cut.far.sloppy", t]) " / " percent(f["cut.near.sloppy", t]) \
        ", strict " percent(f["cut.far.strict", t]) " / " percent(f["cut.near.strict", t])
}
function steps(t) {
    return "restart " f["steps.restart", t] ", add " f["steps.add", t] ", remove " f["steps.remove", t] ", replace the lost hub: " f["steps.replace", t]
}
function without(t) {
    return "new client " f["without.client", t] ", death noticed " f["without.death", t] ", node added " f["without.join", t]
}
function gain(t) { return t in most ? last[t] / first[t] : "-" }
function growth(t) {
    return t in most ? sprintf("%.0f ops/s with %d nodes, %.0f with %d: x %.1f", first[t], least[t], last[t], most[t], gain(t)) : "-"
}
function control(t) {
    return t in largest ? sprintf("%d nodes: mean %.0f B/s, busiest %.0f B/s", largest[t], mean[t], busiest[t]) : "-"
}
# The least number of nodes for which the hub alone has more to say than any node of the ring; 0: none measured.
function crossing(    n, least_n) {
    for (n in sizes)
        if (((C, n) in at) && ((R, n) in at) && at[C, n] > at[R, n] && (!least_n || n + 0 < least_n)) least_n = n + 0
    return least_n + 0
}
function names(t) { return f["names.p99", t] == "-" ? "-" : ms(f["names.p50", t]) ", 99 % within " ms(f["names.p99", t]) (f["names.unknown", t] > 0 ? ", all but " f["names.unknown", t] : ", all") " within " ms(f["names.max", t]) }
function traffic(t) { return f["control.bytes", t] == "-" ? "-" : number(f["control.bytes", t]) " B, " number(f["control.messages", t]) " messages" }
function change(t) { return f["grow.seconds", t] == "-" ? "-" : "two more in " number(f["grow.seconds", t]) " s, " percent(f["grow.available", t]) " answered; away in " number(f["shrink.seconds", t]) " s, " percent(f["shrink.available", t]) }
function beyond() { return crossing() ? ": from " crossing() " nodes on the hub itself has more to say than any node of the ring" : "" }
function wrongs(t) { return f["lost", t] "; " f["stale.strict", t] (f["unread", t] > 0 ? " (" f["unread", t] " keys could not be read)" : "") }
function both_ways(t) { return f["grow.seconds", t] == "-" ? "-" : number(f["grow.seconds", t] + f["shrink.seconds", t]) " s" }

END {
    R = TOPOLOGY[1] = "ring"; C = TOPOLOGY[2] = "central"; D = "directory"
    for (key in f) { split(key, part, SUBSEP); named[part[1]] }
    for (name in named) {
        if (!((name, R) in f)) f[name, R] = "-"
        if (!((name, C) in f)) f[name, C] = "-"
        if (!((name, D) in f)) f[name, D] = "-"
    }

    say("a", "A centre is easy to control and to manage: a simpler protocol tells who is there",
        protocol(R), protocol(C), protocol(D),
        judged(known("protocol.lines"), f["protocol.messages", C] < f["protocol.messages", R] && f["protocol.lines", C] < f["protocol.lines", R], "holds: the centre is simpler", "does not hold"),
        "holds if the centre needs fewer types and fewer lines")
    say("a", "States of that protocol: those a member may be held in, and those of a node's own machines", states(R), states(C), states(D),
        judged(known("protocol.phases"), all_states(C) < all_states(R), "holds: the centre has fewer", "does not hold"),
        "holds if the centre has fewer in all; values of enums are counted, and on neither side what is only a flag, a counter or a deadline")
    say("a", "Commands an operator types", steps(R), steps(C), steps(D),
        judged(known("steps.restart"), f["steps.add", C] == f["steps.add", R] && f["steps.restart", C] == f["steps.restart", R],
            f["steps.replace", C] == "impossible" ? "no difference, until the hub is lost" : "no difference", "differs"),
        "compared command by command; a replacement that no command achieves is named so")
    say("a", "Places to ask who is there", "any of 5 nodes; each has a view of its own", "one, the hub; one view", "one, the hub; one view",
        "holds, by definition: one place to ask, and to lose", "not measured: it is what the words mean")
    say("b", "The managing host fails and the whole network fails: answered while it is dead",
        percent(f["hub.available", R]), percent(f["hub.available", C]), percent(f["hub.available", D]),
        judged(known("hub.available"), f["hub.available", C] <= 0.1 && f["hub.available", R] >= 99.9, "holds: central stops, the ring goes on" (f["hub.available", D] >= 99 ? "; directory serves those who have its list" : ""), "does not hold"),
        "holds if central answers at most 0.1 %, the ring at least 99.9 %")
    say("b", "The longest time without any answer when it dies",
        ms(f["hub.gap", R]), ms(f["hub.gap", C]), ms(f["hub.gap", D]),
        judged(known("hub.gap"), f["hub.gap", C] > 10 * f["hub.gap", R], "holds: central is away until its hub is back", "does not hold"),
        "holds if it is ten times as long with a centre")
    say("b", "What a cluster still does without its hub", without(R), without(C), without(D),
        judged(known("without.client"), f["without.join", R] == "yes" && f["without.join", C] != "yes", "holds: nothing is managed without the hub", "does not hold"),
        "holds if a node can be added to the ring and not to the centre")
    say("c", "A centre limits growth: operations a second as nodes are added (simulated)", growth(R), growth(C), growth(D),
        judged((R in most) && (C in most), (R in most) && (C in most) && gain(R) >= 2 * gain(C), "holds", "does not hold"),
        "holds if the ring gains at least twice what the centre gains")
    say("d", "Without a centre any node or line may fail: the least answered during any single fault",
        percent(worst(R)), percent(worst(C)), percent(worst(D)),
        judged(known("hub.phase"), worst(R) >= 99.9, "holds", "does not hold"),
        "holds if the ring answers at least 99.9 % during each")
    say("d", "The network cut in two: the two nodes without the hub / the three with it", sides(R), sides(C), sides(D),
        judged(known("cut.far.sloppy"), f["cut.far.sloppy", R] >= 80 && f["cut.near.sloppy", R] >= 80 && f["cut.far.sloppy", C] < 1, "holds: both sides of the ring work, sloppy; of central only the hub's", "does not hold"),
        "holds if both sides of the ring answer 80 % sloppy, and central's far side nothing")
    say("e", "It grows freely: two nodes join and leave under load", change(R), change(C), change(D),
        judged(known("grow.seconds"), f["grow.available", R] >= 99.9 && f["shrink.available", R] >= 99.9 && f["grow.seconds", R] + f["shrink.seconds", R] > 0, "holds", "does not hold"),
        "holds if the ring answers at least 99.9 % meanwhile, and both changes are made")
    say("f", "Its control traffic is higher: sent by each idle node in a second", traffic(R), traffic(C), traffic(D),
        judged(known("control.bytes"), f["control.bytes", R] > 1.1 * f["control.bytes", C], "holds: the centre is cheaper", f["control.bytes", R] < f["control.bytes", C] / 1.1 ? "does not hold: the ring is cheaper" : "does not hold: about the same"),
        "holds if a node of the ring sends at least a tenth more bytes than the mean of central")
    say("f", "The same as nodes are added (simulated)", control(R), control(C), control(D),
        judged((R in largest) && (C in largest), mean[R] > 1.1 * mean[C], "holds" beyond(), "does not hold" beyond()),
        "holds if the mean of the ring is at least a tenth higher at the largest size")
    say("g", "A world-wide table of names can be kept nearly in real time only so: until every node answers with a new value",
        names(R), names(C), names(D),
        judged(known("names.p99"), f["names.p99", R] <= 1000 && !(f["names.p99", C] <= 1000), "holds", f["names.p99", R] <= 1000 ? "the ring can; so can the centre, while its hub lives" : "does not hold"),
        "holds if 99 % are known within a second on the ring, and not with a centre")
    say("h", "Capacity comes and goes with the load: time for two nodes, both ways",
        both_ways(R), both_ways(C), both_ways(D),
        judged(known("grow.seconds"), f["grow.seconds", R] + f["shrink.seconds", R] > 0 && f["grow.seconds", R] + f["shrink.seconds", R] <= 120, f["grow.seconds", C] + f["shrink.seconds", C] > 0 ? "holds; the centre can too, while its hub lives" : "holds", "does not hold"),
        "holds if the ring does it within two minutes")
    say("i", "More available, faults and all: answered over all phases of fixed length",
        percent(f["whole.available", R]), percent(f["whole.available", C]), percent(f["whole.available", D]),
        judged(known("whole.available"), f["whole.available", R] > f["whole.available", C], "holds", "does not hold"),
        "holds if the ring answered more than central")
    say("i", "Acknowledged writes lost; strict reads that were stale",
        wrongs(R), wrongs(C), wrongs(D),
        judged(known("lost"), f["lost", R] + f["lost", C] + f["lost", D] + f["stale.strict", R] + f["stale.strict", C] + f["stale.strict", D] == 0,
            f["unread", R] + f["unread", C] + f["unread", D] == 0 ? "none, with and without a centre" : "none of those that could be read", "something was lost"),
        "must be 0 on all")
}
