/* `kvsim growth`: how much a cluster does, and what its control costs, as nodes are added: the same node
 * code, with service times. */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/kvsim.h"
#include "cmd/kvsim_number.h"
#include "kv_error.h"
#include "sim/growth.h"

#define SECOND_US UINT64_C(1000000)
#define SIZES_MAX 32u

static const char *const help_text =
    "usage: kvsim growth [--nodes N,...] [--topology NAME] [--clients-per-node C] [--pipeline P] "
    "[--put-share X] [--seconds "
    "S]\n"
    "                    [--json]\n"
    "\n"
    "How a cluster grows. For each number of nodes: a quiet while shows what their control costs; then "
    "clients,\n"
    "so many for each node, do one operation after the other, and show how much the cluster does. The nodes "
    "and\n"
    "clients are the real ones; what work costs them are service times, measured on real nodes\n"
    "(src/sim/README.md says where each comes from; scripts/growth-check.sh measures them where you are).\n"
    "\n"
    "  --nodes N,...          1 to 128 each; 3,5,10,20,50,100\n"
    "  --topology NAME        ring: every node equal; central: one keeps the list of members and coordinates "
    "all\n"
    "                         requests; directory: it only keeps the list; ring\n"
    "  --clients-per-node C   each with connections of its own; 1. 0: only the control\n"
    "  --clients C            in all, instead\n"
    "  --pipeline P           operations of a client in flight; 128\n"
    "  --put-share X          of the operations, 0 to 1; 0.5\n"
    "  --seconds S            virtual, under load, after half of it to warm up; 1\n"
    "  --quiet-seconds S      virtual, without clients; 30\n"
    "  --records N            keys; 100 for each node\n"
    "  --value-size BYTES     100\n"
    "  --replicas N           3\n"
    "  --partitions Q         1024, a quarter of a real cluster's: a hundred nodes then meet sooner\n"
    "  --seed S               the same seed gives the same run; 1\n"
    "  --json                 one object a line\n"
    "what work costs, in µs, of a processor but for --sync-us and --delay-us:\n"
    "  --message-us U         the node's loop, each message received or sent\n"
    "  --socket-us U          ... each socket read or written in one turn of it, with whatever is there\n"
    "  --read-us U            ... each row read, from the cache\n"
    "  --row-us U             the storage thread, each row written\n"
    "  --batch-us U           ... each batch of rows\n"
    "  --sync-us U            the disk, each batch: one sync for all that waits\n"
    "  --client-us U          a client, each operation\n"
    "  --delay-us U           a message between two sockets\n"
    "  --cores N              nodes and clients share one machine with N cores; without: each has one of its "
    "own\n"
    "\n"
    "core and disk are shares of the time that they are busy: of the busiest node, and the mean of all.\n"
    "\n"
    "  kvsim growth                                    # three to a hundred nodes\n"
    "  kvsim growth --nodes 3,5 --put-share 1          # puts only\n"
    "  kvsim growth --topology central                 # one coordinates, whatever there are\n"
    "  kvsim growth --nodes 100 --clients-per-node 0   # what the control costs\n"
    "  kvsim growth --nodes 3,5 --cores 2 --clients 50 --pipeline 16   # as on one small machine\n";

struct options {
    struct growth_config run;
    uint32_t sizes[SIZES_MAX];
    uint32_t size_count;
    uint32_t clients_per_node;
    uint32_t clients; /* in all; UINT32_MAX: so many for each node */
    uint32_t records; /* 0: so many for each node */
    bool json;
};

#define RECORDS_PER_NODE 100u

/* ---- options --------------------------------------------------------------------------------- */

static int refuse(const char *what, const char *text)
{
    fprintf(stderr, "kvsim growth: %s: '%s'\n", what, text);
    fprintf(stderr, "usage: kvsim growth [--nodes N,...] [--topology NAME] [--clients-per-node C] "
                    "[--pipeline P] [--put-share X] "
                    "[--seconds S] [--json]; --help says more\n");
    return 2;
}

/* A decimal number times `scale`, as an integer. */
static bool take_scaled(const char *text, double max, double scale, uint64_t *out)
{
    char *end;
    if (!strchr(".0123456789", *text))
        return false;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= 0 && v <= max))
        return false;
    *out = (uint64_t)llround(v * scale);
    return true;
}

static bool take_ns(const char *text, uint32_t *out)
{
    uint64_t ns;
    if (!take_scaled(text, 1000000, 1000, &ns))
        return false;
    *out = (uint32_t)ns;
    return true;
}

static bool take_share(const char *text, uint32_t *out_percent)
{
    uint64_t percent;
    if (!take_scaled(text, 1, 100, &percent))
        return false;
    *out_percent = (uint32_t)percent;
    return true;
}

static bool take_sizes(const char *text, struct options *o)
{
    o->size_count = 0;
    for (bool more = true; more; o->size_count++) {
        uint64_t nodes;
        more = strchr(text, ',');
        if (o->size_count == SIZES_MAX || !take_part(&text, more ? ',' : '\0', 1, SIM_NODES_MAX, &nodes))
            return false;
        o->sizes[o->size_count] = (uint32_t)nodes;
    }
    return true;
}

enum {
    OPT_NODES = 256,
    OPT_TOPOLOGY,
    OPT_CLIENTS_PER_NODE,
    OPT_CLIENTS,
    OPT_PIPELINE,
    OPT_PUT_SHARE,
    OPT_SECONDS,
    OPT_QUIET,
    OPT_RECORDS,
    OPT_VALUE,
    OPT_REPLICAS,
    OPT_PARTITIONS,
    OPT_SEED,
    OPT_JSON,
    OPT_MESSAGE,
    OPT_SOCKET,
    OPT_READ,
    OPT_ROW,
    OPT_BATCH,
    OPT_SYNC,
    OPT_CLIENT,
    OPT_DELAY,
    OPT_CORES,
    OPT_HELP
};

static const struct option long_options[] = {
    {"nodes", required_argument, NULL, OPT_NODES},
    {"topology", required_argument, NULL, OPT_TOPOLOGY},
    {"clients-per-node", required_argument, NULL, OPT_CLIENTS_PER_NODE},
    {"clients", required_argument, NULL, OPT_CLIENTS},
    {"pipeline", required_argument, NULL, OPT_PIPELINE},
    {"put-share", required_argument, NULL, OPT_PUT_SHARE},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"quiet-seconds", required_argument, NULL, OPT_QUIET},
    {"records", required_argument, NULL, OPT_RECORDS},
    {"value-size", required_argument, NULL, OPT_VALUE},
    {"replicas", required_argument, NULL, OPT_REPLICAS},
    {"partitions", required_argument, NULL, OPT_PARTITIONS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"json", no_argument, NULL, OPT_JSON},
    {"message-us", required_argument, NULL, OPT_MESSAGE},
    {"socket-us", required_argument, NULL, OPT_SOCKET},
    {"read-us", required_argument, NULL, OPT_READ},
    {"row-us", required_argument, NULL, OPT_ROW},
    {"batch-us", required_argument, NULL, OPT_BATCH},
    {"sync-us", required_argument, NULL, OPT_SYNC},
    {"client-us", required_argument, NULL, OPT_CLIENT},
    {"delay-us", required_argument, NULL, OPT_DELAY},
    {"cores", required_argument, NULL, OPT_CORES},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_option(int opt, const char *arg, struct options *o)
{
    struct growth_config *c = &o->run;
    switch (opt) {
    case OPT_NODES: return take_sizes(arg, o);
    case OPT_TOPOLOGY: return topology_parse(arg, &c->topology) == KV_OK;
    case OPT_CLIENTS_PER_NODE: return take_u32(arg, 0, 100, &o->clients_per_node);
    case OPT_CLIENTS: return take_u32(arg, 0, 10000, &o->clients);
    case OPT_PIPELINE: return take_u32(arg, 1, 1024, &c->pipeline);
    case OPT_PUT_SHARE: return take_share(arg, &c->put_percent);
    case OPT_SECONDS: return take_scaled(arg, 3600, SECOND_US, &c->load_us) && c->load_us > 0;
    case OPT_QUIET: return take_scaled(arg, 86400, SECOND_US, &c->quiet_us);
    case OPT_RECORDS: return take_u32(arg, 1, 10000000, &o->records);
    case OPT_VALUE: return take_u32(arg, 0, 1u << 20, &c->value_bytes);
    case OPT_REPLICAS: return take_u32(arg, 1, REPLICAS_MAX, &c->replicas);
    case OPT_PARTITIONS: return take_u32(arg, 1, RING_PARTITIONS_MAX, &c->partitions);
    case OPT_SEED: return take_u64(arg, 0, UINT64_MAX, &c->seed);
    case OPT_JSON: o->json = true; return true;
    case OPT_MESSAGE: return take_ns(arg, &c->service.message_ns);
    case OPT_SOCKET: return take_ns(arg, &c->service.socket_ns);
    case OPT_READ: return take_ns(arg, &c->service.read_ns);
    case OPT_ROW: return take_ns(arg, &c->service.row_ns);
    case OPT_BATCH: return take_ns(arg, &c->service.batch_ns);
    case OPT_SYNC: return take_u32(arg, 0, 1000000, &c->service.sync_us);
    case OPT_CLIENT: return take_ns(arg, &c->service.client_ns);
    case OPT_DELAY: return take_u64(arg, 1, 1000000, &c->delay_us);
    case OPT_CORES: return take_u32(arg, 1, 1024, &c->service.cores);
    default: return false;
    }
}

static const struct options defaults = {
    .run = {.seed = 1,
            .replicas = 3,
            .partitions = 1024,
            .pipeline = 128,
            .value_bytes = 100,
            .put_percent = 50,
            .quiet_us = 30 * SECOND_US,
            .load_us = SECOND_US,
            .delay_us = 50,
            .service = {.message_ns = 700,
                        .socket_ns = 12100,
                        .read_ns = 11900,
                        .row_ns = 6100,
                        .batch_ns = 265000,
                        .sync_us = 1000,
                        .client_ns = 10000}},
    .sizes = {3, 5, 10, 20, 50, 100},
    .size_count = 6,
    .clients_per_node = 1,
    .clients = UINT32_MAX,
};

/* 0, or the exit status: 2, and 1 for --help, which is none. */
static int parse(int argc, char **argv, struct options *o)
{
    *o = defaults;
    optind = 0;
    opterr = 0;
    for (int opt; (opt = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (opt == OPT_HELP)
            return 1;
        if (opt == '?')
            return refuse("what is this", argv[optind - 1]);
        if (!take_option(opt, optarg, o))
            return refuse("not a sensible value", optarg);
    }
    if (optind < argc)
        return refuse("what is this", argv[optind]);
    o->run.warmup_us = o->run.load_us / 2;
    return 0;
}

/* ---- the report ------------------------------------------------------------------------------ */

static void print_head(const struct options *o)
{
    printf("%s, seed %" PRIu64 "\n", topology_name(o->run.topology), o->run.seed);
    printf("%5s %9s %17s %17s %11s %11s %6s %6s %7s %26s\n", "", "", "get ms", "put ms", "core", "disk",
           "msgs", "rows/", "", "control, a node and second");
    printf("%5s %9s %8s %8s %8s %8s %5s %5s %5s %5s %6s %6s %7s %8s %8s %8s\n", "nodes", "ops/s", "p50",
           "p99", "p50", "p99", "max", "mean", "max", "mean", "/op", "sync", "failed", "messages", "bytes",
           "busiest");
}

static void print_row(uint32_t nodes, const struct growth_result *r)
{
    printf("%5u %9.0f %8.2f %8.2f %8.2f %8.2f %5.2f %5.2f %5.2f %5.2f %6.2f %6.1f %7" PRIu64
           " %8.1f %8.0f %8.0f\n",
           nodes, r->ops_per_s, (double)r->get.p50_us / 1e3, (double)r->get.p99_us / 1e3,
           (double)r->put.p50_us / 1e3, (double)r->put.p99_us / 1e3, r->core_max, r->core_mean, r->disk_max,
           r->disk_mean, r->messages_per_op, r->rows_per_sync, r->failures, r->control_messages_per_s,
           r->control_bytes_per_s, r->control_bytes_max_per_s);
    fflush(stdout);
}

static void json_latency(const char *what, const struct growth_latency *l)
{
    printf("\"%s\":{\"ops\":%" PRIu64 ",\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 "},", what, l->count,
           l->p50_us, l->p99_us);
}

static void print_json(uint32_t nodes, const struct growth_config *c, const struct growth_result *r)
{
    printf("{\"topology\":\"%s\",\"nodes\":%u,\"clients\":%u,\"pipeline\":%u,\"put_percent\":%u,\"ops_per_"
           "s\":%.1f,"
           "\"failures\":%" PRIu64 ",",
           topology_name(c->topology), nodes, c->clients, c->pipeline, c->put_percent, r->ops_per_s,
           r->failures);
    json_latency("get", &r->get);
    json_latency("put", &r->put);
    printf("\"core\":{\"max\":%.3f,\"mean\":%.3f},\"disk\":{\"max\":%.3f,\"mean\":%.3f},", r->core_max,
           r->core_mean, r->disk_max, r->disk_mean);
    printf("\"messages_per_op\":%.3f,\"rows_per_sync\":%.2f,", r->messages_per_op, r->rows_per_sync);
    printf("\"control\":{\"messages_per_s\":%.2f,\"bytes_per_s\":%.1f,\"messages_max_per_s\":%.2f,"
           "\"bytes_max_per_s\":%.1f},\"trace\":\"%016" PRIx64 "\"}\n",
           r->control_messages_per_s, r->control_bytes_per_s, r->control_messages_max_per_s,
           r->control_bytes_max_per_s, r->trace);
    fflush(stdout);
}

int kvsim_growth(int argc, char **argv)
{
    struct options o;
    int status = parse(argc, argv, &o);
    if (status == 1)
        fputs(help_text, stdout);
    if (status != 0)
        return status == 1 ? 0 : status;
    if (!o.json)
        print_head(&o);
    for (uint32_t i = 0; i < o.size_count; i++) {
        struct growth_result r;
        uint32_t nodes = o.sizes[i];
        o.run.nodes = nodes;
        o.run.clients = o.clients == UINT32_MAX ? nodes * o.clients_per_node : o.clients;
        o.run.records = o.records ? o.records : nodes * RECORDS_PER_NODE;
        growth_run(&o.run, &r);
        if (!r.formed) {
            fprintf(stderr, "kvsim growth: %u nodes agree on no ring in two minutes\n", nodes);
            return 1;
        }
        if (o.json)
            print_json(nodes, &o.run, &r);
        else
            print_row(nodes, &r);
    }
    return 0;
}
