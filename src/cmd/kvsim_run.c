/* Seeds, one after the other, and what became of them. */
#include "cmd/kvsim.h"
#include "cmd/kvsim_number.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "kv_error.h"
#include "sim/run.h"
#include "sim/scenario.h"

static const char usage[] = "usage: kvsim [--seed S] [--seeds N] [--nodes N] [--topology T]\n"
                            "             [--scenario NAME | --faults LIST] [--ops N] [--seconds V]\n"
                            "             [--twice] [--forever] [--quiet] [--trace FILE] [--json]\n"
                            "       kvsim list\n"
                            "       kvsim members [--nodes N] ...\n"
                            "       kvsim growth [--nodes N,...] ...\n";

static const char help[] = "\n"
                           "Runs a whole cluster in this process: real nodes and clients, simulated clock,\n"
                           "network and disks. Each run follows from its seed alone. Exit status: 0 all\n"
                           "invariants held, 1 one did not, 2 usage.\n"
                           "\n"
                           "  --seed S         the first seed (default 1)\n"
                           "  --seeds N        how many (default 1)\n"
                           "  --forever        until one fails or this is interrupted\n"
                           "  --nodes N        1 to 9; 0: 3 to 9, by the seed (default 5)\n"
                           "  --scenario NAME  a named story instead of random faults; all: each of them\n"
                           "  --faults LIST    classes that the seed may choose from: names with commas,\n"
                           "                   all (default), none\n"
                           "  --ops N          requests of the clients in a run (default 1200)\n"
                           "  --seconds V      virtual seconds during which faults happen (default 45)\n"
                           "  --topology T     ring (default), central or directory; the hub is n1, which\n"
                           "                   keeps its disk\n"
                           "  --twice          every seed two times, and the two must not differ\n"
                           "  --quiet          only failures and the sum\n"
                           "  --trace FILE     what happened, in lines; - is standard output\n"
                           "  --json           one object a line, the trace too\n"
                           "\n"
                           "examples:\n"
                           "  kvsim --seeds 100                       a hundred clusters of five\n"
                           "  kvsim --seed 42 --trace -               the story of one\n"
                           "  kvsim --scenario split_brain_heals      a named story\n"
                           "  kvsim --seeds 50 --faults pause,clog    only these faults\n"
                           "  kvsim members --nodes 1000              the membership alone (members --help)\n"
                           "  kvsim growth                            what more nodes bring (growth --help)\n"
                           "  kvsim list                              what there is to choose from\n";

struct options {
    uint64_t seed, seeds;
    uint32_t nodes, ops, seconds, classes;
    const struct scenario *scenario;
    enum topology topology;
    bool all_scenarios, forever, twice, quiet, json;
    const char *trace_path, *faults;
};

/* For lines that come from inside a run; there is one run at a time. */
static FILE *trace_file;
static bool trace_json;
static char replay[512]; /* how the current run is done again */

static volatile sig_atomic_t interrupted;

/* ---- the trace ---- */

static void print_json_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

static void on_line(uint32_t node, uint64_t now_us, const char *text)
{
    if (trace_json) {
        fprintf(trace_file, "{\"at_us\":%llu,\"node\":%u,\"text\":", (unsigned long long)now_us, node);
        print_json_text(trace_file, text);
        fprintf(trace_file, "}\n");
    } else if (node) {
        fprintf(trace_file, "%12.6f  n%-3u %s\n", (double)now_us / 1e6, node, text);
    } else {
        fprintf(trace_file, "%12.6f  -    %s\n", (double)now_us / 1e6, text);
    }
}

/* ---- options ---- */

static int wrong(const char *what, const char *value)
{
    fprintf(stderr, "%skvsim: %s '%s'\n", usage, what, value);
    return 2;
}

static bool parse_classes(const char *list, uint32_t *out)
{
    *out = 0;
    if (strcmp(list, "none") == 0)
        return true;
    while (*list) {
        size_t len = strcspn(list, ",");
        uint32_t bits = len == 3 && memcmp(list, "all", 3) == 0 ? FAULT_ALL : 0;
        for (uint32_t c = 0; c < FAULT_CLASSES; c++) {
            const char *word = fault_word((enum fault_class)c);
            if (strlen(word) == len && memcmp(word, list, len) == 0)
                bits = UINT32_C(1) << c;
        }
        if (!bits)
            return false;
        *out |= bits;
        list += len + (list[len] == ',');
    }
    return *out != 0;
}

static int set_number(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    return take_u32(text, min, max, out) ? 0 : wrong("not a number that makes sense:", text);
}

static int set_option(struct options *o, int letter, const char *value)
{
    switch (letter) {
    case 's': return take_u64(value, 0, UINT64_MAX, &o->seed) ? 0 : wrong("not a seed:", value);
    case 'S': return take_u64(value, 0, UINT64_MAX, &o->seeds) ? 0 : wrong("not a number:", value);
    case 'n': return set_number(value, 0, 9, &o->nodes);
    case 'o': return set_number(value, 0, 1000000, &o->ops);
    case 'v': return set_number(value, 1, 100000, &o->seconds);
    case 'f':
        o->faults = value;
        return parse_classes(value, &o->classes) ? 0 : wrong("no such fault in", value);
    case 'c':
        o->all_scenarios = strcmp(value, "all") == 0;
        o->scenario = scenario_find(value);
        return o->scenario || o->all_scenarios ? 0 : wrong("no such scenario:", value);
    case 'T': return topology_parse(value, &o->topology) == KV_OK ? 0 : wrong("no such topology:", value);
    case 't': o->trace_path = value; return 0;
    case 'j': o->json = true; return 0;
    case 'w': o->twice = true; return 0;
    case 'F': o->forever = true; return 0;
    case 'q': o->quiet = true; return 0;
    case 'h': printf("%s%s", usage, help); exit(0);
    default: fputs(usage, stderr); return 2;
    }
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'S'},
        {"nodes", required_argument, NULL, 'n'},
        {"scenario", required_argument, NULL, 'c'},
        {"faults", required_argument, NULL, 'f'},
        {"ops", required_argument, NULL, 'o'},
        {"seconds", required_argument, NULL, 'v'},
        {"trace", required_argument, NULL, 't'},
        {"topology", required_argument, NULL, 'T'},
        {"json", no_argument, NULL, 'j'},
        {"twice", no_argument, NULL, 'w'},
        {"forever", no_argument, NULL, 'F'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int letter, rc;
    while ((letter = getopt_long(argc, argv, "h", longs, NULL)) != -1)
        if ((rc = set_option(o, letter, optarg)))
            return rc;
    if (optind < argc)
        return wrong("what is", argv[optind]);
    return 0;
}

/* ---- one seed ---- */

static void print_result(const struct options *o, const struct run_config *c, const struct run_result *r)
{
    const char *name = c->scenario ? c->scenario->name : "";
    if (o->json) {
        printf("{\"seed\":%llu,\"scenario\":\"%s\",\"ok\":%s,\"invariant\":\"%s\",\"nodes\":%u,\"virtual_"
               "us\":%llu,"
               "\"ops\":%llu,\"ops_ok\":%llu,\"judged\":%llu,\"settled_us\":%llu,\"trace\":\"%016llx\","
               "\"story\":",
               (unsigned long long)c->seed, name, r->invariant ? "false" : "true",
               r->invariant ? r->invariant : "", r->nodes, (unsigned long long)r->virtual_us,
               (unsigned long long)r->ops, (unsigned long long)r->ops_ok, (unsigned long long)r->judged,
               (unsigned long long)r->settled_us, (unsigned long long)r->trace);
        print_json_text(stdout, r->story.len ? (const char *)r->story.data : "");
        printf("}\n");
        return;
    }
    if (r->invariant || !o->quiet)
        printf("seed %llu%s%s: %s%s, %u nodes, %.1f virtual s, %llu of %llu requests ok, settled in %.1f s, "
               "trace %016llx\n",
               (unsigned long long)c->seed, *name ? " " : "", name, r->invariant ? "VIOLATED " : "ok",
               r->invariant ? r->invariant : "", r->nodes, (double)r->virtual_us / 1e6,
               (unsigned long long)r->ops_ok, (unsigned long long)r->ops, (double)r->settled_us / 1e6,
               (unsigned long long)r->trace);
    if (r->invariant)
        printf("%s  replay: %s --trace -\n", (const char *)r->story.data, replay);
}

static void note_replay(const struct options *o, const struct run_config *c)
{
    const char *topology = topology_name(scenario_topology(c->scenario, c->topology));
    snprintf(replay, sizeof replay, "kvsim --seed %llu --nodes %u --ops %u --seconds %u --topology %s %s %s",
             (unsigned long long)c->seed, o->nodes, o->ops, o->seconds, topology,
             c->scenario ? "--scenario" : "--faults", c->scenario ? c->scenario->name : o->faults);
}

/* An assertion is an invariant too: it says which run it was. */
static void on_abort(int number)
{
    char text[600];
    int len = snprintf(text, sizeof text, "  replay: %s --trace -\n", replay);
    (void)number;
    fflush(stdout);
    if (write(STDOUT_FILENO, text, (size_t)len) < 0)
        return;
}

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- all of them ---- */

struct sum {
    uint64_t runs, failed, virtual_us, ops, judged;
    uint32_t classes; /* of faults that were enabled in some run */
    struct tally tally;
};

static bool run_one(const struct options *o, uint64_t seed, const struct scenario *scenario, struct sum *sum)
{
    struct run_config config = {
        .seed = seed,
        .nodes = scenario ? 0 : o->nodes,
        .classes = o->classes,
        .ops = o->ops,
        .seconds = o->seconds,
        .topology = o->topology,
        .scenario = scenario,
        .log = trace_file ? on_line : NULL,
    };
    struct run_result r, again;
    note_replay(o, &config);
    run_seed(&config, &r);
    if (o->twice) {
        run_seed(&config, &again);
        if (again.trace != r.trace && !r.invariant) {
            r.invariant = "repeatable";
            KV_ASSERT(buf_printf(&r.story, "the same seed gave two runs: %016llx and %016llx\n",
                                 (unsigned long long)r.trace, (unsigned long long)again.trace) == KV_OK);
        }
        run_result_deinit(&again);
    }
    print_result(o, &config, &r);
    fflush(stdout);
    sum->runs++;
    sum->failed += r.invariant != NULL;
    sum->virtual_us += r.virtual_us;
    sum->ops += r.ops;
    sum->judged += r.judged;
    sum->classes |= r.classes;
    tally_add(&sum->tally, &r.tally);
    bool ok = !r.invariant;
    run_result_deinit(&r);
    return ok;
}

static void run_all(const struct options *o, struct sum *sum)
{
    for (uint64_t i = 0; (o->forever || i < o->seeds) && !interrupted; i++) {
        if (!o->all_scenarios) {
            if (!run_one(o, o->seed + i, o->scenario, sum) && o->forever)
                return;
            continue;
        }
        for (uint32_t k = 0; scenarios[k]; k++)
            (void)run_one(o, o->seed + i, scenarios[k], sum);
    }
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Enough runs for every enabled class of faults to have had its chance. */
#define RUNS_FOR_ALL_FAULTS 100u

static bool print_sum(const struct options *o, const struct sum *sum, double took_s)
{
    bool fired = true;
    if (sum->runs < 2 && !o->forever)
        return true;
    FILE *f = o->json ? stderr : stdout;
    fprintf(
        f,
        "%llu runs, %llu failed, %.2f virtual hours, %llu requests, %llu judged, %.0f virtual s a second\n",
        (unsigned long long)sum->runs, (unsigned long long)sum->failed, (double)sum->virtual_us / 3.6e9,
        (unsigned long long)sum->ops, (unsigned long long)sum->judged,
        (double)sum->virtual_us / 1e6 / took_s);
    for (uint32_t i = 0; i < TALLY_COUNT; i++)
        fprintf(f, "%12llu %-16s %s\n", (unsigned long long)sum->tally.counts[i],
                tally_word((enum tally_item)i), tally_text((enum tally_item)i));
    for (uint32_t c = 0; c < FAULT_CLASSES; c++) {
        bool wanted =
            o->classes >> c & 1u && !o->scenario && !o->all_scenarios && sum->runs >= RUNS_FOR_ALL_FAULTS;
        if (!wanted || sum->tally.counts[fault_shows((enum fault_class)c)])
            continue;
        fprintf(f, "the fault '%s' never fired\n", fault_word((enum fault_class)c));
        fired = false;
    }
    return fired;
}

int kvsim_run(int argc, char **argv)
{
    struct options o = {
        .seed = 1, .seeds = 1, .nodes = 5, .ops = 1200, .seconds = 45, .classes = FAULT_ALL, .faults = "all"};
    struct sum sum = {0};
    int rc = parse(argc, argv, &o);
    if (rc)
        return rc;
    trace_json = o.json;
    if (o.trace_path) {
        trace_file = strcmp(o.trace_path, "-") == 0 ? stdout : fopen(o.trace_path, "w");
        if (!trace_file) {
            fprintf(stderr, "kvsim: cannot write %s: %m\n", o.trace_path);
            return 2;
        }
    }
    signal(SIGABRT, on_abort);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    double began_s = now_s();
    run_all(&o, &sum);
    bool fired = print_sum(&o, &sum, now_s() - began_s);
    if (trace_file && trace_file != stdout)
        fclose(trace_file);
    return sum.failed || !fired ? 1 : 0;
}
