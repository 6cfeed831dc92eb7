/* kvbench: a load generator with YCSB's workloads, and a checker of what it recorded. */
#include "cmd/kvbench.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/common_stop.h"
#include "cmd/version.h"

enum {
    KEY_WORKLOAD = 0x100,
    KEY_RECORDS,
    KEY_VALUE,
    KEY_CLIENTS,
    KEY_PIPELINE,
    KEY_DURATION,
    KEY_OPS,
    KEY_RATE,
    KEY_DIST,
    KEY_STRICT,
    KEY_LOAD,
    KEY_JSON,
    KEY_HISTORY,
    KEY_TIMEOUT,
    KEY_SEED,
    KEY_PREFIX,
    KEY_UNIQUE,
    KEY_VIA,
    KEY_FINAL,
    KEY_NO_FINAL,
    KEY_SKEW,
    KEY_QUIET,
    KEY_REDIS,
    KEY_REDIS_WAIT,
    KEY_SIDE,
    KEY_BUCKET,
    KEY_EVENTS,
    KEY_PHASES,
    KEY_ANY_NODE
};

static const struct argp_option OPTIONS[] = {
    {0, 0, 0, 0, "What is done:", 1},
    {"workload", KEY_WORKLOAD, "a|b|c|d|f|put|get", 0,
     "YCSB's a: half reads, half updates; b: 5 % updates; c: reads; d: reads of the latest, 5 % inserts; f: "
     "half read-modify-write. Or put; get",
     0},
    {"load", KEY_LOAD, 0, 0, "First write every record once", 0},
    {"records", KEY_RECORDS, "N", 0, "Keys there are (10000)", 0},
    {"value-size", KEY_VALUE, "BYTES", 0, "Bytes of each value (100)", 0},
    {"distribution", KEY_DIST, "zipfian|uniform", 0, "How keys are chosen (zipfian, theta 0.99)", 0},
    {"unique", KEY_UNIQUE, 0, 0, "Puts only, each to a key of its own: what is lost cannot hide", 0},
    {"key-prefix", KEY_PREFIX, "TEXT", 0, "What every key begins with (user)", 0},
    {"seed", KEY_SEED, "S", 0, "Same seed, same operations (1)", 0},
    {0, 0, 0, 0, "How hard, how long:", 2},
    {"clients", KEY_CLIENTS, "N", 0, "Clients, each with connections of its own (50)", 0},
    {"pipeline", KEY_PIPELINE, "N", 0, "Operations of one client in flight (1)", 0},
    {"rate", KEY_RATE, "OPS", 0, "Operations a second in all; latency then counts from when each was due", 0},
    {"duration", KEY_DURATION, "S", 0, "Seconds (10); Ctrl-C ends it early, in peace", 0},
    {"ops", KEY_OPS, "N", 0, "Stop after N operations instead", 0},
    {0, 0, 0, 0, "Of whom, and how it is told:", 3},
    {"nodes", 'n', "HOST:PORT,...", 0, "Nodes to begin with; else $KV_NODES, else 127.0.0.1:7601 to 7605", 0},
    {"via", KEY_VIA, "NODE", 0, "This node only", 0},
    {"read", 'r', "R", 0, "Replicas that must answer a get (a majority)", 0},
    {"write", 'w', "W", 0, "Replicas that must have stored a put (a majority)", 0},
    {"strict", KEY_STRICT, 0, 0, "Only homes count", 0},
    {"timeout", KEY_TIMEOUT, "MS", 0, "Of an operation (2000, and 1000 more for each MiB of value)", 0},
    {"json", KEY_JSON, 0, 0, "Print a JSON object for the load, and one for the run", 0},
    {"quiet", KEY_QUIET, 0, 0, "No line a second, also on a terminal", 0},
    {"history", KEY_HISTORY, "FILE", 0, "Record every operation", 0},
    {"side", KEY_SIDE, "HOST:PORT,...", 0,
     "From SIGUSR1 to SIGUSR2 the clients reach these nodes only, as behind a cut line", 0},
    {0, 0, 0, 0, "Redis in its place, to compare (workloads put and get):", 4},
    {"redis", KEY_REDIS, "HOST:PORT,...", 0,
     "A primary (a put is SET, then WAIT 1), or the primaries of a cluster of Redis in slot order", 0},
    {"redis-wait", KEY_REDIS_WAIT, "each|batch", 0, "WAIT after each SET (default), or once for a pipeline",
     0},
    {0, 0, 0, 0, "check:", 5},
    {"final", KEY_FINAL, "FILE", 0, "What the store holds now, as kvcli dump wrote it; else it is asked", 0},
    {"no-final", KEY_NO_FINAL, 0, 0, "Judge the history alone, ask nobody what the store holds now", 0},
    {"skew-ms", KEY_SKEW, "MS", 0,
     "Puts of different clients closer than this are not ordered by the store's promise, unless they are "
     "strict (10)",
     0},
    {0, 0, 0, 0, "timeline (and --skew-ms, --json):", 6},
    {"bucket", KEY_BUCKET, "MS", 0, "A line for so much time (100)", 0},
    {"phases", KEY_PHASES, 0, 0, "A line for each phase of --events instead", 0},
    {"events", KEY_EVENTS, "FILE", 0,
     "When phases begin: lines of <ns><TAB><name>; time is told from the first", 0},
    {0, 0, 0, 0, "names:", 7},
    {"any-node", KEY_ANY_NODE, 0, 0, "Clients go where their topology sends them, not only to their own node",
     0},
    {0},
};

static double number(struct argp_state *state, const char *what, const char *arg, double min, double max)
{
    char *end;
    double v = strtod(arg, &end);
    if (*arg == 0 || *end || !(v >= min) || !(v <= max))
        argp_error(state, "%s '%s': a number from %.0f to %.0f", what, arg, min, max);
    return v;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench_options *o = state->input;
    switch (key) {
    case 'n': o->nodes = arg; break;
    case KEY_VIA: o->via = arg; break;
    case KEY_WORKLOAD: o->workload = arg; break;
    case KEY_LOAD: o->load = true; break;
    case KEY_RECORDS: o->records = (uint64_t)number(state, "--records", arg, 1, 1e12); break;
    case KEY_VALUE: o->value_size = (uint32_t)number(state, "--value-size", arg, 0, 64 << 20); break;
    case KEY_CLIENTS: o->clients = (uint32_t)number(state, "--clients", arg, 1, 10000); break;
    case KEY_PIPELINE: o->pipeline = (uint32_t)number(state, "--pipeline", arg, 1, 4096); break;
    case KEY_DURATION: o->duration_s = number(state, "--duration", arg, 0.001, 1e9); break;
    case KEY_OPS: o->ops = (uint64_t)number(state, "--ops", arg, 1, 1e15); break;
    case KEY_RATE: o->rate = number(state, "--rate", arg, 0.001, 1e9); break;
    case KEY_DIST:
        if (strcmp(arg, "zipfian") != 0 && strcmp(arg, "uniform") != 0)
            argp_error(state, "--distribution '%s': zipfian or uniform", arg);
        o->distribution = arg[0] == 'z' ? DIST_ZIPFIAN : DIST_UNIFORM;
        break;
    case 'r': o->r = (uint8_t)number(state, "-r", arg, 1, 7); break;
    case 'w': o->w = (uint8_t)number(state, "-w", arg, 1, 7); break;
    case KEY_STRICT: o->strict = true; break;
    case KEY_UNIQUE: o->unique = true; break;
    case KEY_TIMEOUT: o->timeout_ms = (uint32_t)number(state, "--timeout", arg, 1, 600000); break;
    case KEY_JSON: o->json = true; break;
    case KEY_QUIET: o->quiet = true; break;
    case KEY_HISTORY: o->history = arg; break;
    case KEY_SEED: o->seed = (uint64_t)number(state, "--seed", arg, 0, 1e18); break;
    case KEY_PREFIX: o->key_prefix = arg; break;
    case KEY_FINAL: o->final = arg; break;
    case KEY_NO_FINAL: o->no_final = true; break;
    case KEY_SKEW: o->skew_ms = (uint32_t)number(state, "--skew-ms", arg, 0, 60000); break;
    case KEY_SIDE: o->side = arg; break;
    case KEY_BUCKET: o->bucket_ms = (uint32_t)number(state, "--bucket", arg, 1, 3600000); break;
    case KEY_EVENTS: o->events = arg; break;
    case KEY_ANY_NODE: o->any_node = true; break;
    case KEY_PHASES: o->phases = true; break;
    case KEY_REDIS: o->redis = arg; break;
    case KEY_REDIS_WAIT:
        if (strcmp(arg, "each") != 0 && strcmp(arg, "batch") != 0)
            argp_error(state, "--redis-wait '%s': each or batch", arg);
        o->redis_batch = arg[0] == 'b';
        break;
    case ARGP_KEY_ARG:
        if (o->file_count == 64)
            argp_error(state, "too many words");
        o->files[o->file_count++] = arg;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char DOC[] =
    "Measures a Gureum cluster under load, or checks a recorded history for what the store must never do.\v"
    "Examples:\n"
    "  kvbench --load --workload a --duration 30\n"
    "  kvbench --workload put --clients 50 --pipeline 16 --json\n"
    "  kvbench --workload a --rate 2000 --duration 60 --history run.jsonl\n"
    "  kvbench check run.jsonl\n"
    "  kvbench check --no-final run.jsonl\n"
    "  kvbench timeline --bucket 100 run.jsonl > availability.csv\n"
    "  printf '%s\\tkill\\n' $(kvbench clock) >> events      # a phase begins\n"
    "  kvbench timeline --phases --events events run.jsonl\n"
    "  kvbench names --ops 10000 --rate 1000 --json\n\n"
    "check reads what each key that was put holds now, and shows the few operations\n"
    "that prove a violation:\n"
    "  lost    an acknowledged put; the key is absent, or holds a put that had\n"
    "          ended before it began\n"
    "  own     a strict get that returned something older than its client had put\n"
    "          or read before\n"
    "  linear  answers of a key, all of whose operations are strict, that no order\n"
    "          of them explains\n"
    "  absent  a value that came back after its delete was acknowledged, it was\n"
    "          seen to be gone, or expired\n\n"
    "timeline prints CSV: operations that began in each span of time, those that\n"
    "failed, gets that missed a key that was there or were stale, the percentage\n"
    "answered, latencies of those answered, the time until nothing failed any more\n"
    "(empty: until the end something did), the longest time without any answer.\n"
    "clock prints the time of histories, which is monotonic, in nanoseconds.\n"
    "names changes --ops names through random nodes and asks every node until all\n"
    "answer with the new value.\n\n"
    "Exit status: 0 ok, also when some operations failed: that is a measurement;\n"
    "1 check found violations; 2 wrong usage. When not one operation succeeded,\n"
    "what most of them met: 3 unavailable, nothing was tried; 4 time-out, outcome\n"
    "unknown; 6 refused (too large, invalid, overloaded, not permitted); 7 no node\n"
    "reachable.";

static const struct argp PARSER = {
    OPTIONS, parse, "\ncheck HISTORY...\ntimeline HISTORY...\nnames\nclock", DOC, 0, 0, 0};

static int usage(const char *text)
{
    fprintf(stderr, "kvbench: %s\nTry 'kvbench --help'.\n", text);
    return 2;
}

static double own_cpu_s(void)
{
    uv_rusage_t u;
    uv_getrusage(&u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int run_phase(const struct bench_options *o, bool load)
{
    static struct bench_result result; /* large */
    memset(&result, 0, sizeof result);
    double cpu_s = own_cpu_s();
    int rc = o->redis ? bench_redis(o, load, &result) : bench_run(o, load, &result);
    result.cpu_s = own_cpu_s() - cpu_s;
    if (rc != 0)
        return rc;
    bench_report(o, load ? "load" : "run", &result);
    return bench_verdict(load ? "load" : "run", &result.tally);
}

static int run(const struct bench_options *o)
{
    struct workload probe;
    if (o->file_count)
        return usage(
            "what do these words mean? There are check HISTORY..., timeline HISTORY..., names and clock");
    if (!o->workload && !o->load)
        return usage("--workload or --load is needed");
    if (o->workload && workload_init(&probe, o->workload, DIST_UNIFORM, 2, false, 1) != KV_OK)
        return usage("--workload: a, b, c, d, f, put or get");
    if (o->redis && o->workload && strcmp(o->workload, "put") != 0 && strcmp(o->workload, "get") != 0)
        return usage("--redis measures put and get");
    stop_hold();
    int rc = o->load ? run_phase(o, true) : 0;
    if (rc == 0 && !stop_signal() && o->workload)
        rc = run_phase(o, false);
    fflush(stdout);
    stop_release();
    return rc;
}

int main(int argc, char **argv)
{
    static struct bench_options o = {
        .key_prefix = "user",
        .records = 10000,
        .seed = 1,
        .value_size = 100,
        .clients = 50,
        .pipeline = 1,
        .skew_ms = 10,
        .duration_s = 10,
        .distribution = DIST_ZIPFIAN,
    };
    argp_program_version = GUREUM_VERSION_TEXT("kvbench");
    argp_err_exit_status = 2;
    argp_parse(&PARSER, argc, argv, 0, NULL, &o);
    const char *env = getenv("KV_NODES");
    if (!o.nodes && env && *env)
        o.nodes = env;
    if (o.file_count && strcmp(o.files[0], "check") == 0) {
        if (o.file_count < 2)
            return usage("check: which history?");
        return bench_check(&o);
    }
    if (o.file_count && strcmp(o.files[0], "timeline") == 0) {
        if (o.file_count < 2)
            return usage("timeline: which history?");
        if (o.phases && !o.events)
            return usage("--phases needs --events");
        return bench_timeline(&o);
    }
    if (o.file_count == 1 && strcmp(o.files[0], "clock") == 0) {
        printf("%llu\n", (unsigned long long)uv_hrtime());
        return 0;
    }
    if (o.file_count == 1 && strcmp(o.files[0], "names") == 0)
        return bench_names(&o);
    return run(&o);
}
