/* `kvsim members`: the membership of a cluster alone, on a virtual clock. How soon is a crash known, to the
 * first and to the last; what does it cost when nothing happens; is anybody called dead who is not? */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/kvsim.h"
#include "cmd/kvsim_number.h"
#include "kv_error.h"
#include "sim/members.h"

#define SECOND_US       UINT64_C(1000000)
#define RUNS_MAX        1000u
#define STEADY_US       (60 * SECOND_US)
#define SETTLE_LIMIT_US (7200 * SECOND_US)
#define CRASH_LIMIT_US  (300 * SECOND_US)
#define AFTER_CRASH_US  (20 * SECOND_US)

static const char *const help_text =
    "usage: kvsim members [--nodes N] [--topology NAME] [--runs R] [--seed S] [--loss P]\n"
    "                     [--pause COUNT,SECONDS,DURATION] [--preset default|memberlist] [--json]\n"
    "\n"
    "The membership alone: N real members (src/swim) on a virtual clock, all packets through the real "
    "codec.\n"
    "They have met long ago; a quiet minute shows what they cost; then, if asked for, faults show "
    "whether\n"
    "anybody is called dead who is not; then R crashes, one after another, show how soon they are known.\n"
    "\n"
    "  --nodes N       2 to 2000; 100\n"
    "  --topology NAME ring: all judge all; central, directory: one, the hub, gets heartbeats and tells all; "
    "no "
    "more\n"
    "                  than 1024 then; ring\n"
    "  --runs R        crashes; 10, or 0 with --loss or --pause\n"
    "  --seed S        the same seed gives the same run; 1\n"
    "  --loss P        percent of all datagrams, for --duration, and during the crashes too\n"
    "  --pause C,S,D   C members stop for S seconds again and again, with 0.1 to 2 s in between, for D "
    "seconds\n"
    "  --duration S    of --loss; 120\n"
    "  --preset NAME   default: what kvd has; memberlist: interval 1 s, time-out 0.5 s, suspicion 4 x log10 "
    "N\n"
    "  --json          one object\n"
    "and, to try others, on top of the preset:\n"
    "  --interval MS   between the probes of a member        --timeout MS   until others are asked to probe\n"
    "  --deadline MS   no answer by then: suspected          --gossip MS    between tellings of news\n"
    "  --mult M        suspicion: M x log10 N x deadline     --max-mult M   at most so many times that\n"
    "  --indirect K    asked to probe; told at a time        --retransmit M news is told M x log10 N times\n"
    "  --sync MS       between push-pulls                    --confirmations C  that end the suspicion "
    "sooner\n"
    "\n"
    "False deaths: one member calls another one dead that runs and was never paused. If all believe it, "
    "that\n"
    "is N - 1 of them and one burial.\n"
    "\n"
    "  kvsim members --nodes 1000 --runs 20            # how soon, how many bytes\n"
    "  kvsim members --nodes 1000 --topology central   # the same with a hub\n"
    "  kvsim members --nodes 128 --pause 16,16,120     # the slow accuse nobody\n"
    "  kvsim members --nodes 100 --loss 25             # a quarter of all packets is lost\n";

struct options {
    struct members_config world;
    const char *preset;
    uint32_t runs;
    bool runs_given;
    uint64_t fault_us;
    uint32_t pausing;
    uint64_t pause_us;
    uint32_t loss_percent;
    bool json;
};

struct figures {
    double busiest_bytes_per_s;                                     /* of the member that sends most */
    double datagrams_per_s, datagram_bytes_per_s, sync_bytes_per_s; /* per member, in quiet */
    uint64_t false_deaths, false_burials, false_suspicions, paused_deaths;
    uint32_t crashes, missed;
    uint64_t first_us[RUNS_MAX], all_us[RUNS_MAX], spread_us[RUNS_MAX];
    double virtual_s, real_s, cpu_s;
    uint64_t trace;
};

/* ---- options --------------------------------------------------------------------------------- */

static int refuse(const char *what, const char *text)
{
    fprintf(stderr, "kvsim members: %s: '%s'\n", what, text);
    fprintf(stderr, "usage: kvsim members [--nodes N] [--runs R] [--seed S] [--loss P] [--pause C,S,D] "
                    "[--preset NAME] [--json]; --help says more\n");
    return 2;
}

static bool take_ms(const char *text, uint64_t *out_us)
{
    if (!take_u64(text, 1, 3600000, out_us))
        return false;
    *out_us *= 1000;
    return true;
}

static bool take_pause(const char *text, struct options *o)
{
    uint64_t count, pause_s, duration_s;
    if (!take_part(&text, ',', 1, MEMBERS_SIM_MAX, &count) || !take_part(&text, ',', 1, 3600, &pause_s) ||
        !take_u64(text, 1, 86400, &duration_s))
        return false;
    o->pausing = (uint32_t)count;
    o->pause_us = pause_s * SECOND_US;
    o->fault_us = duration_s * SECOND_US;
    return true;
}

static bool take_preset(const char *name, struct options *o)
{
    o->preset = name;
    if (strcmp(name, "default") == 0)
        o->world.swim = swim_config_default();
    else if (strcmp(name, "memberlist") == 0)
        o->world.swim = members_memberlist_config();
    else
        return false;
    return true;
}

static bool take_duration(const char *text, struct options *o)
{
    uint64_t s;
    if (!take_u64(text, 1, 86400, &s))
        return false;
    o->fault_us = s * SECOND_US;
    return true;
}

enum {
    OPT_NODES = 256,
    OPT_TOPOLOGY,
    OPT_RUNS,
    OPT_SEED,
    OPT_LOSS,
    OPT_PAUSE,
    OPT_DURATION,
    OPT_PRESET,
    OPT_JSON,
    OPT_HELP,
    OPT_INTERVAL,
    OPT_TIMEOUT,
    OPT_MULT,
    OPT_MAX_MULT,
    OPT_INDIRECT,
    OPT_RETRANSMIT,
    OPT_SYNC,
    OPT_CONFIRMATIONS,
    OPT_DEADLINE,
    OPT_GOSSIP
};

static const struct option long_options[] = {
    {"nodes", required_argument, NULL, OPT_NODES},
    {"topology", required_argument, NULL, OPT_TOPOLOGY},
    {"runs", required_argument, NULL, OPT_RUNS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"loss", required_argument, NULL, OPT_LOSS},
    {"pause", required_argument, NULL, OPT_PAUSE},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"preset", required_argument, NULL, OPT_PRESET},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {"interval", required_argument, NULL, OPT_INTERVAL},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"mult", required_argument, NULL, OPT_MULT},
    {"max-mult", required_argument, NULL, OPT_MAX_MULT},
    {"indirect", required_argument, NULL, OPT_INDIRECT},
    {"retransmit", required_argument, NULL, OPT_RETRANSMIT},
    {"sync", required_argument, NULL, OPT_SYNC},
    {"confirmations", required_argument, NULL, OPT_CONFIRMATIONS},
    {"deadline", required_argument, NULL, OPT_DEADLINE},
    {"gossip", required_argument, NULL, OPT_GOSSIP},
    {NULL, 0, NULL, 0},
};

static bool take_option(int opt, const char *arg, struct options *o)
{
    struct swim_config *c = &o->world.swim;
    switch (opt) {
    case OPT_NODES: return take_u32(arg, 2, MEMBERS_SIM_MAX, &o->world.nodes);
    case OPT_TOPOLOGY: return topology_parse(arg, &o->world.topology) == KV_OK;
    case OPT_RUNS: o->runs_given = true; return take_u32(arg, 0, RUNS_MAX, &o->runs);
    case OPT_SEED: return take_u64(arg, 0, UINT64_MAX, &o->world.seed);
    case OPT_LOSS: return take_u32(arg, 0, 99, &o->loss_percent);
    case OPT_PAUSE: return take_pause(arg, o);
    case OPT_DURATION: return take_duration(arg, o);
    case OPT_PRESET: return true; /* was taken first */
    case OPT_JSON: o->json = true; return true;
    case OPT_INTERVAL: return take_ms(arg, &c->probe_interval_us);
    case OPT_TIMEOUT: return take_ms(arg, &c->probe_timeout_us);
    case OPT_MULT: return take_u32(arg, 1, 100, &c->suspicion_mult);
    case OPT_MAX_MULT: return take_u32(arg, 1, 100, &c->suspicion_max_mult);
    case OPT_INDIRECT: return take_u32(arg, 0, 8, &c->indirect_probes);
    case OPT_RETRANSMIT: return take_u32(arg, 1, 16, &c->retransmit_mult);
    case OPT_SYNC: return take_ms(arg, &c->sync_interval_us);
    case OPT_CONFIRMATIONS: return take_u32(arg, 0, 8, &c->suspicion_confirmations);
    case OPT_DEADLINE: return take_ms(arg, &c->probe_deadline_us);
    case OPT_GOSSIP: return take_ms(arg, &c->gossip_interval_us);
    default: return false;
    }
}

/* 0, or the exit status: 2, and 1 for --help, which is none. */
static int parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.world = {.nodes = 100,
                                    .seed = 1,
                                    .swim = swim_config_default(),
                                    .delay_min_us = 100,
                                    .delay_max_us = 2000},
                          .preset = "default",
                          .runs = 10,
                          .fault_us = 120 * SECOND_US};
    for (int pass = 0; pass < 2; pass++) { /* the preset first, wherever it stands */
        optind = 0;
        opterr = 0;
        for (int opt; (opt = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
            if (opt == OPT_HELP)
                return 1;
            if (opt == '?')
                return refuse("what is this", argv[optind - 1]);
            if (pass == 0 ? opt == OPT_PRESET && !take_preset(optarg, o) : !take_option(opt, optarg, o))
                return refuse("not a sensible value", optarg);
        }
    }
    if (optind < argc)
        return refuse("what is this", argv[optind]);
    if (o->world.topology != TOPOLOGY_RING && o->world.nodes > MEMBERS_MAX)
        return refuse("more than a hub has", "--nodes");
    if (o->pausing > o->world.nodes)
        return refuse("more pausing than there are", "--pause");
    const struct swim_config *c = &o->world.swim;
    if (c->probe_timeout_us >= c->probe_deadline_us || c->probe_deadline_us > c->probe_interval_us)
        return refuse("time-out < deadline <= interval must hold", "--timeout");
    if (!o->runs_given && (o->pausing || o->loss_percent))
        o->runs = 0;
    return 0;
}

/* ---- the run --------------------------------------------------------------------------------- */

static void quiet(struct members *w, const struct options *o, struct figures *f)
{
    struct members_traffic a = members_traffic(w);
    uint64_t sent[MEMBERS_SIM_MAX + 1];
    for (uint32_t i = 1; i <= o->world.nodes; i++)
        sent[i] = members_sent_bytes(w, i);
    members_run(w, STEADY_US);
    for (uint32_t i = 1; i <= o->world.nodes; i++) {
        double per_s = (double)(members_sent_bytes(w, i) - sent[i]) * 1e6 / (double)STEADY_US;
        f->busiest_bytes_per_s = per_s > f->busiest_bytes_per_s ? per_s : f->busiest_bytes_per_s;
    }
    struct members_traffic b = members_traffic(w);
    double member_s = (double)STEADY_US / 1e6 * o->world.nodes;
    f->datagrams_per_s = (double)(b.datagrams - a.datagrams) / member_s;
    f->datagram_bytes_per_s = (double)(b.datagram_bytes - a.datagram_bytes) / member_s;
    f->sync_bytes_per_s = (double)(b.sync_bytes - a.sync_bytes) / member_s;
}

static void faults(struct members *w, const struct options *o)
{
    members_loss(w, o->loss_percent);
    if (o->pausing)
        members_run_pausing(w, o->pausing, o->pause_us, o->fault_us);
    else if (o->loss_percent)
        members_run(w, o->fault_us);
}

static void crashes(struct members *w, const struct options *o, struct figures *f)
{
    uint32_t n = o->world.nodes;
    for (uint32_t run = 0; run < o->runs; run++) {
        uint32_t victim = 1 + (uint32_t)((o->world.seed * 7919 + run * 104729) % n);
        struct members_detection d;
        if (o->world.topology != TOPOLOGY_RING && victim == ROSTER_HUB)
            victim = n; /* nobody would notice */
        if (members_crash(w, victim, CRASH_LIMIT_US, &d)) {
            f->first_us[f->crashes] = d.first_us;
            f->all_us[f->crashes] = d.all_us;
            f->spread_us[f->crashes++] = d.all_us - d.first_us;
        } else {
            f->missed++;
        }
        members_restart(w, victim);
        members_run(w, AFTER_CRASH_US + run * 137777); /* not in step with the periods */
    }
}

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(const struct options *o, struct figures *f)
{
    double began_s = clock_s(CLOCK_MONOTONIC), began_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    struct members *w = members_create(&o->world);
    uint64_t began_us = members_now_us(w);
    members_settle(w, SETTLE_LIMIT_US);
    quiet(w, o, f);
    faults(w, o);
    crashes(w, o, f);
    f->false_deaths = members_false_deaths(w);
    f->false_burials = members_false_burials(w);
    f->false_suspicions = members_false_suspicions(w);
    f->paused_deaths = members_paused_deaths(w);
    f->virtual_s = (double)(members_now_us(w) - began_us) / 1e6;
    f->real_s = clock_s(CLOCK_MONOTONIC) - began_s;
    f->cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - began_cpu_s;
    f->trace = members_trace(w);
    members_destroy(w);
}

/* ---- the report ------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct spread {
    double median_s, p90_s, max_s;
};

static struct spread spread_of(uint64_t *us, uint32_t count)
{
    qsort(us, count, sizeof us[0], compare);
    if (count == 0)
        return (struct spread){0};
    double middle = ((double)us[(count - 1) / 2] + (double)us[count / 2]) / 2;
    return (struct spread){middle / 1e6, (double)us[(count * 9 + 9) / 10 - 1] / 1e6,
                           (double)us[count - 1] / 1e6};
}

static void say_spread(const char *what, struct spread s)
{
    printf("%-22s %6.2f s median %6.2f s p90 %6.2f s max\n", what, s.median_s, s.p90_s, s.max_s);
}

static void print_text(const struct options *o, struct figures *f)
{
    const struct swim_config *c = &o->world.swim;
    printf("%u members, %s, seed %" PRIu64 ", %s: interval %.3g s, time-out %.3g s, suspicion mult %u\n",
           o->world.nodes, topology_name(o->world.topology), o->world.seed, o->preset,
           (double)c->probe_interval_us / 1e6, (double)c->probe_timeout_us / 1e6, c->suspicion_mult);
    printf("%-22s %6.0f B/s a member (%.0f in %.2f datagrams, %.0f on streams), %.0f B/s the busiest\n",
           "quiet", f->datagram_bytes_per_s + f->sync_bytes_per_s, f->datagram_bytes_per_s,
           f->datagrams_per_s, f->sync_bytes_per_s, f->busiest_bytes_per_s);
    if (f->crashes) {
        say_spread("crash, first to know", spread_of(f->first_us, f->crashes));
        say_spread("crash, known to all", spread_of(f->all_us, f->crashes));
        say_spread("from first to all", spread_of(f->spread_us, f->crashes));
    }
    if (f->missed)
        printf("%-22s %u of %u crashes in %.0f s\n", "not known to all", f->missed, o->runs,
               (double)CRASH_LIMIT_US / 1e6);
    printf("%-22s %" PRIu64 " deaths in %" PRIu64 " burials, %" PRIu64 " suspicions\n", "false",
           f->false_deaths, f->false_burials, f->false_suspicions);
    if (o->pausing)
        printf("%-22s %" PRIu64 " times called dead\n", "the paused", f->paused_deaths);
    printf("%-22s %.0f virtual s in %.1f s, %.1f s of a processor: %.1f times real time; trace %016" PRIx64
           "\n",
           "speed", f->virtual_s, f->real_s, f->cpu_s, f->virtual_s / f->cpu_s, f->trace);
}

static void json_spread(const char *what, struct spread s)
{
    printf("\"%s\":{\"median_s\":%.3f,\"p90_s\":%.3f,\"max_s\":%.3f},", what, s.median_s, s.p90_s, s.max_s);
}

static void print_json(const struct options *o, struct figures *f)
{
    printf("{\"topology\":\"%s\",\"nodes\":%u,\"seed\":%" PRIu64
           ",\"preset\":\"%s\",\"crashes\":%u,\"missed\":%u,",
           topology_name(o->world.topology), o->world.nodes, o->world.seed, o->preset, f->crashes, f->missed);
    json_spread("first", spread_of(f->first_us, f->crashes));
    json_spread("all", spread_of(f->all_us, f->crashes));
    json_spread("first_to_all", spread_of(f->spread_us, f->crashes));
    printf("\"bytes_max_per_s\":%.1f,", f->busiest_bytes_per_s);
    printf("\"bytes_per_s\":%.1f,\"datagram_bytes_per_s\":%.1f,\"sync_bytes_per_s\":%.1f,\"datagrams_per_s\":"
           "%.3f,",
           f->datagram_bytes_per_s + f->sync_bytes_per_s, f->datagram_bytes_per_s, f->sync_bytes_per_s,
           f->datagrams_per_s);
    printf("\"false_deaths\":%" PRIu64 ",\"false_burials\":%" PRIu64 ",\"false_suspicions\":%" PRIu64
           ",\"paused_deaths\":%" PRIu64 ",",
           f->false_deaths, f->false_burials, f->false_suspicions, f->paused_deaths);
    printf("\"virtual_s\":%.1f,\"real_s\":%.2f,\"cpu_s\":%.2f,\"trace\":\"%016" PRIx64 "\"}\n", f->virtual_s,
           f->real_s, f->cpu_s, f->trace);
}

int kvsim_members(int argc, char **argv)
{
    struct options o;
    int status = parse(argc, argv, &o);
    if (status == 1)
        fputs(help_text, stdout);
    if (status != 0)
        return status == 1 ? 0 : status;
    struct figures *f = calloc(1, sizeof *f);
    if (!f) {
        fprintf(stderr, "kvsim members: out of memory\n");
        return 1;
    }
    run(&o, f);
    if (o.json)
        print_json(&o, f);
    else
        print_text(&o, f);
    status = f->missed ? 1 : 0;
    free(f);
    return status;
}
