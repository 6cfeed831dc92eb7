/* Flags (argp) and the configuration file (libconfuse) of kvd. One table of settings serves both: every
 * setting is a word and a text, so whatever the file says can be said by flag. */
#include "cmd/kvd_options.h"

#include <argp.h>
#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/common_file.h"
#include "cmd/version.h"
#include "kv_error.h"

enum {
    KEY_CONFIG = 'c',
    KEY_TRUST = 0x100,
    KEY_LAB,
    KEY_SKEW,
    KEY_VALUE_MAX,
    KEY_CACHE,
    KEY_LOG,
    KEY_CLUSTER,
    KEY_REPLICAS,
    KEY_RATE,
    KEY_REPAIR,
    KEY_PURGE,
    KEY_TOPOLOGY,
    KEY_HUB,
    KEY_SCHEDULING
};

static const struct argp_option OPTIONS[] = {
    {"name", 'n', "NAME", 0, "This node's name", 0},
    {"data", 'd', "DIR", 0, "Its data directory; made when there is none", 0},
    {"listen", 'l', "HOST:PORT", 0, "Where clients and members reach it (TCP and UDP)", 0},
    {"initial", 'i', "NAME=HOST:PORT,...", 0,
     "All founders of a new cluster, itself included: the same list on each", 0},
    {"join", 'j', "HOST:PORT,...", 0, "Join a cluster that is there: some of its nodes", 0},
    {"cluster", KEY_CLUSTER, "NAME", 0, "The cluster's name (gureum)", 0},
    {"replicas", KEY_REPLICAS, "N", 0, "Copies of each key; fixed by the founders (3)", 0},
    {"topology", KEY_TOPOLOGY, "ring|central|directory", 0,
     "The same on all nodes. All are equal (ring, the default); or one, the hub, keeps the list of members "
     "and coordinates all requests (central), or keeps the list only (directory)",
     0},
    {"hub", KEY_HUB, "NAME", 0, "The hub, where the topology has one (the first founder by name)", 0},
    {"zone", 'z', "ZONE", 0, "Copies of a key go to different zones while there are enough", 0},
    {"weight", 'w', "1..16", 0, "Its share of the keys, relative to the others (1)", 0},
    {"sync", 's', "always|interval|none", 0,
     "When an acknowledged write is on disk: before the answer, within 0.1 s, some time (always)", 0},
    {"transfer-rate", KEY_RATE, "MIB", 0,
     "While the ring changes: take over and give at most so many MiB a second (32)", 0},
    {"repair-interval", KEY_REPAIR, "SECONDS", 0,
     "Compare all rows with the other homes once in this time; 0: only when asked (600)", 0},
    {"purge-interval", KEY_PURGE, "SECONDS", 0,
     "Look for deleted and expired rows that may be forgotten once in this time (60)", 0},
    {"value-max", KEY_VALUE_MAX, "MIB", 0, "Largest value, 1 to 64 MiB (8)", 0},
    {"block-cache", KEY_CACHE, "MIB", 0, "Memory for rows read from disk (64)", 0},
    {"scheduling", KEY_SCHEDULING, "batch|normal", 0,
     "batch: do not interrupt who runs, and find more messages at a turn; normal: answer at once, also on a "
     "machine that is busy with other things (batch)",
     0},
    {"trust-network", KEY_TRUST, NULL, 0,
     "Listen on an address that is not loopback, though nothing is authenticated or encrypted yet", 0},
    {"lab", KEY_LAB, NULL, 0, "Take fault orders (kvcli fault); for lessons and tests", 0},
    {"clock-skew", KEY_SKEW, "MS", 0, "With --lab: run with a wall clock that is off", 0},
    {"log", KEY_LOG, "debug|info|warn|error", 0, "Least level of the lines on standard error (info)", 0},
    {"config", KEY_CONFIG, "FILE", 0,
     "Read settings from FILE: the long names above with _ for -, as name = value", 0},
    {0},
};

#define SETTINGS_MAX 32u

static void copy_name(struct argp_state *state, const char *what, const char *arg,
                      char out[NAME_MAX_BYTES + 1])
{
    if (!name_ok(arg))
        argp_error(state, "%s '%s': 1 to %u letters, digits, '.', '_' or '-'", what, arg, NAME_MAX_BYTES);
    else
        snprintf(out, NAME_MAX_BYTES + 1, "%s", arg);
}

static long number(struct argp_state *state, const char *what, const char *arg, long min, long max)
{
    char *end;
    long v = strtol(arg, &end, 10);
    if (*arg == 0 || *end || v < min || v > max)
        argp_error(state, "%s '%s': a number from %ld to %ld", what, arg, min, max);
    return v;
}

static void parse_founders(struct argp_state *state, const char *arg, struct kvd_options *o)
{
    char *copy = strdup(arg), *save = NULL;
    o->founder_count = 0;
    for (char *part = copy ? strtok_r(copy, ",", &save) : NULL; part; part = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(part, '=');
        if (o->founder_count == MEMBERS_MAX)
            argp_error(state, "--initial: at most %u founders", MEMBERS_MAX);
        struct node_founder *f = &o->founders[o->founder_count++];
        if (equals)
            *equals = 0;
        if (!equals || !name_ok(part) || addr_parse(equals + 1, &f->addr) != KV_OK)
            argp_error(state, "--initial: '%s' is no NAME=HOST:PORT", part);
        snprintf(f->name, sizeof f->name, "%s", part);
    }
    free(copy);
    if (o->founder_count == 0)
        argp_error(state, "--initial: the list is empty");
}

static void parse_join(struct argp_state *state, const char *arg, struct kvd_options *o)
{
    char *copy = strdup(arg), *save = NULL;
    o->join_count = 0;
    for (char *part = copy ? strtok_r(copy, ",", &save) : NULL; part; part = strtok_r(NULL, ",", &save)) {
        if (o->join_count == MEMBERS_MAX)
            argp_error(state, "--join: at most %u addresses", MEMBERS_MAX);
        if (addr_parse(part, &o->join[o->join_count++]) != KV_OK)
            argp_error(state, "--join: '%s' is no HOST:PORT", part);
    }
    free(copy);
    if (o->join_count == 0)
        argp_error(state, "--join: the list is empty");
}

static void parse_topology(struct argp_state *state, const char *arg, struct kvd_options *o)
{
    if (topology_parse(arg, &o->topology) != KV_OK)
        argp_error(state, "--topology '%s': ring, central or directory", arg);
    o->topology_given = true;
}

static void parse_sync(struct argp_state *state, const char *arg, enum sync_mode *out)
{
    static const char *const WORDS[] = {"always", "interval", "none"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(arg, WORDS[i]) == 0) {
            *out = (enum sync_mode)i;
            return;
        }
    }
    argp_error(state, "--sync '%s': always, interval or none", arg);
}

static void parse_scheduling(struct argp_state *state, const char *arg, bool *out)
{
    *out = strcmp(arg, "batch") == 0;
    if (!*out && strcmp(arg, "normal") != 0)
        argp_error(state, "--scheduling '%s': batch or normal", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct kvd_options *o = state->input;
    switch (key) {
    case 'n': copy_name(state, "--name", arg, o->name); break;
    case 'd': snprintf(o->data, sizeof o->data, "%s", arg); break;
    case 'l':
        if (addr_parse(arg, &o->listen) != KV_OK)
            argp_error(state, "--listen '%s' is no HOST:PORT", arg);
        break;
    case 'i': parse_founders(state, arg, o); break;
    case 'j': parse_join(state, arg, o); break;
    case KEY_CLUSTER: copy_name(state, "--cluster", arg, o->cluster); break;
    case KEY_REPLICAS: o->replicas = (uint32_t)number(state, "--replicas", arg, 1, REPLICAS_MAX); break;
    case KEY_TOPOLOGY: parse_topology(state, arg, o); break;
    case KEY_HUB: copy_name(state, "--hub", arg, o->hub); break;
    case 'z': copy_name(state, "--zone", arg, o->zone); break;
    case 'w': o->weight = (uint32_t)number(state, "--weight", arg, 1, WEIGHT_MAX); break;
    case 's': parse_sync(state, arg, &o->sync); break;
    case KEY_VALUE_MAX:
        o->value_max_bytes = (uint32_t)number(state, "--value-max", arg, 1, VALUE_MAX_CEILING_BYTES >> 20)
                             << 20;
        break;
    case KEY_RATE:
        o->transfer_rate_bytes = (uint64_t)number(state, "--transfer-rate", arg, 1, 1 << 20) << 20;
        break;
    case KEY_REPAIR:
        o->repair_round_us = (uint64_t)number(state, "--repair-interval", arg, 0, 86400L * 365) * 1000000;
        o->repair_round_us = o->repair_round_us ? o->repair_round_us : UINT64_MAX;
        break;
    case KEY_PURGE:
        o->purge_interval_us = (uint64_t)number(state, "--purge-interval", arg, 1, 86400L * 365) * 1000000;
        break;
    case KEY_CACHE: o->block_cache_mib = (uint32_t)number(state, "--block-cache", arg, 1, 1 << 20); break;
    case KEY_SCHEDULING: parse_scheduling(state, arg, &o->batch_scheduling); break;
    case KEY_TRUST: o->trust_network = true; break;
    case KEY_LAB: o->lab = true; break;
    case KEY_SKEW:
        o->clock_skew_ms = number(state, "--clock-skew", arg, -1000L * 86400 * 365, 1000L * 86400 * 365);
        break;
    case KEY_LOG:
        if (log_level_parse(arg, &o->log_level) != 0)
            argp_error(state, "--log '%s': debug, info, warn or error", arg);
        break;
    case KEY_CONFIG: break; /* read before */
    case ARGP_KEY_ARG: argp_error(state, "'%s' is not understood", arg); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const char DOC[] =
    /* In front of \v: what stands above the options. */
    "A node of a Gureum cluster: a key-value store of equal peers.\v"
    "Examples:\n"
    "  kvd --name n1 --data n1.data --listen 127.0.0.1:7601 \\\n"
    "      --initial n1=127.0.0.1:7601,n2=127.0.0.1:7602,n3=127.0.0.1:7603\n"
    "  kvd --name n4 --data n4.data --listen 127.0.0.1:7604 \\\n"
    "      --join 127.0.0.1:7601,127.0.0.1:7602\n"
    "  kvd --name n1 ... --topology central --hub n1        # on every node\n"
    "  kvd --config /etc/gureum/n1.conf\n\n"
    "A restarted node needs --name, --data and --listen only: the rest is in its\n"
    "data. One whose data is lost joins anew under its name, with --join, and takes\n"
    "its place over from the others; a hub cannot.\n"
    "SIGTERM: stops taking requests, finishes those in flight, syncs, leaves: 0.\n"
    "Exit 1: could not start or go on, with the reason in the log; 2: wrong usage;\n"
    "70: the disk failed.";

static const struct argp PARSER = {OPTIONS, parse, NULL, DOC, NULL, NULL, NULL};

/* A setting's flag: the names differ in '_' and '-' only. */
static const struct argp_option *find_option(const char *name)
{
    for (const struct argp_option *o = OPTIONS; o->name; o++) {
        size_t i = 0;
        while (name[i] && (name[i] == o->name[i] || (name[i] == '_' && o->name[i] == '-')))
            i++;
        if (!name[i] && !o->name[i])
            return o;
    }
    return NULL;
}

/* The file's settings, one cfg_opt_t a flag; switches are booleans, everything else is text. */
static size_t config_table(cfg_opt_t *table, char (*names)[64], size_t max)
{
    size_t n = 0;
    for (const struct argp_option *o = OPTIONS; o->name && n + 1 < max; o++) {
        if (o->key == KEY_CONFIG)
            continue;
        snprintf(names[n], 64, "%s", o->name);
        for (char *p = names[n]; *p; p++)
            if (*p == '-')
                *p = '_';
        cfg_opt_t text = CFG_STR(names[n], NULL, CFGF_NODEFAULT),
                  flag = CFG_BOOL(names[n], cfg_false, CFGF_NONE);
        table[n] = o->arg ? text : flag;
        n++;
    }
    cfg_opt_t end = CFG_END();
    table[n] = end;
    return n;
}

static void usage(const char *text)
{
    fprintf(stderr, "kvd: %s\nTry 'kvd --help'.\n", text);
    exit(2);
}

/* Settings as the flags they stand for. Returns how many. */
static int config_words(cfg_t *cfg, char (*names)[64], size_t count, char **words)
{
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct argp_option *o = find_option(names[i]);
        const char *text = o->arg ? cfg_getstr(cfg, names[i]) : NULL;
        if (!text && (o->arg || !cfg_getbool(cfg, names[i])))
            continue;
        if (asprintf(&words[n], "--%s%s%s", o->name, text ? "=" : "", text ? text : "") < 0)
            usage("out of memory");
        n++;
    }
    return n;
}

static void read_config(const char *path, struct kvd_options *out)
{
    cfg_opt_t table[SETTINGS_MAX];
    char names[SETTINGS_MAX][64], *words[SETTINGS_MAX + 1] = {(char *)"kvd"};
    char error[4200];
    size_t n = config_table(table, names, SETTINGS_MAX);
    cfg_t *cfg = cfg_init(table, CFGF_NONE);
    FILE *f = file_open(path);
    cfg->filename = f ? strdup(path) : NULL;
    int rc = f ? cfg_parse_fp(cfg, f) : CFG_FILE_ERROR; /* prints line and reason of a mistake itself */
    if (f)
        fclose(f);
    if (rc != CFG_SUCCESS) {
        snprintf(error, sizeof error, "--config %s %s", path,
                 rc == CFG_FILE_ERROR ? "cannot be read" : "is not understood");
        usage(error);
    }
    int count = config_words(cfg, names, n, words + 1);
    argp_parse(&PARSER, count + 1, words, ARGP_NO_HELP, NULL, out);
    for (int i = 1; i <= count; i++)
        free(words[i]);
    cfg_free(cfg);
}

static error_t find_config(int key, char *arg, struct argp_state *state)
{
    if (key == KEY_CONFIG)
        *(const char **)state->input = arg;
    return key == ARGP_KEY_ARG || key > 0 ? 0 : ARGP_ERR_UNKNOWN;
}

static void check(const struct kvd_options *o)
{
    char text[256];
    if (!o->name[0] || !o->data[0] || o->listen.port == 0)
        usage("--name, --data and --listen are needed");
    if (o->founder_count && o->join_count)
        usage("--initial founds a cluster, --join joins one: not both");
    if (o->hub[0] && o->topology_given && o->topology == TOPOLOGY_RING)
        usage("--hub: a ring has none");
    if (!addr_is_loopback(&o->listen) && !o->trust_network) {
        snprintf(text, sizeof text,
                 "--listen %s is not loopback: connections are neither authenticated nor encrypted yet; "
                 "--trust-network says that you trust everybody who can reach it",
                 o->listen.host);
        usage(text);
    }
    if (o->clock_skew_ms && !o->lab)
        usage("--clock-skew is for --lab only");
}

void kvd_options_parse(int argc, char **argv, struct kvd_options *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->cluster, sizeof out->cluster, "gureum");
    out->replicas = REPLICAS_DEFAULT;
    out->weight = 1;
    out->value_max_bytes = VALUE_MAX_BYTES;
    out->block_cache_mib = 64;
    out->batch_scheduling = true;
    out->log_level = LOG_INFO;
    argp_program_version = GUREUM_VERSION_TEXT("kvd");
    argp_err_exit_status = 2;
    /* Flags win: the file is read first, wherever it stands on the line. */
    const char *config = NULL;
    struct argp finder = PARSER;
    finder.parser = find_config;
    argp_parse(&finder, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_SILENT, NULL, &config);
    if (config)
        read_config(config, out);
    argp_parse(&PARSER, argc, argv, 0, NULL, out);
    check(out);
}
