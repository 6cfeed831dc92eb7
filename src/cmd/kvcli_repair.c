/* repair: orders one node, or each in turn, to hash all its rows and compare them with the other homes now,
 * and follows it by the node's counters. Interrupted, it goes on there. */
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/common_human.h"
#include "cmd/kvcli.h"

#define NODES_MAX   1024u
#define LOOK_MS     200u /* between looks at the counters */
#define PATIENCE_MS 1000u
#define SILENCE_MAX 30u /* looks without an answer: given up */

struct figures {
    bool heard;
    uint64_t left;
    uint64_t differed, rows_received, rows_sent, rows_young;
};

struct repair_run {
    struct cli *cli;
    struct kv *kv;
    uint32_t count;
    char names[NODES_MAX][32];
    const char *node; /* at work */
    uint32_t partitions, peers;
    struct figures before, now;
    int exit;
};

static void on_ring(const struct kv_ring *r, void *arg)
{
    struct repair_run *run = arg;
    if (r->status != KV_OK) {
        run->exit = cli_fail_status(run->cli, r->status, r->message);
        return;
    }
    for (uint32_t i = 0; i < r->count && run->count < NODES_MAX; i++)
        (void)snprintf(run->names[run->count++], sizeof run->names[0], "%s", r->members[i].name);
}

static uint64_t stat_of(const struct kv_stats *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->stats[i].name, name) == 0)
            return s->stats[i].value;
    return 0;
}

static void on_stats(const struct kv_stats *s, void *arg)
{
    struct repair_run *run = arg;
    if (s->status != KV_OK)
        return;
    run->now = (struct figures){
        .heard = true,
        .left = stat_of(s, "entropy_repair_left"),
        .differed = stat_of(s, "entropy_partitions_differed"),
        .rows_received = stat_of(s, "entropy_rows_received"),
        .rows_sent = stat_of(s, "entropy_rows_sent"),
        .rows_young = stat_of(s, "entropy_rows_young"),
    };
}

static void look(struct repair_run *run)
{
    struct kv_request request = {.timeout_ms = PATIENCE_MS, .via = run->node};
    run->now.heard = false;
    if (kv_stats(run->kv, &request, on_stats, run) == KV_OK)
        kv_wait(run->kv);
}

static void on_begun(const struct kv_repair_begun *b, void *arg)
{
    struct repair_run *run = arg;
    run->partitions = b->partitions;
    run->peers = b->peers;
    if (b->status != KV_OK) {
        char text[256];
        (void)snprintf(text, sizeof text, "%s: %s", run->node, b->message);
        run->exit = cli_fail_status(run->cli, b->status, text);
    }
}

static void show_left(const struct repair_run *run)
{
    char percent[HUMAN_MAX];
    uint64_t left = run->now.left < run->partitions ? run->now.left : run->partitions;
    if (isatty(STDERR_FILENO) && !run->cli->json)
        fprintf(stderr, "\r%s: %s compared\033[K", run->node,
                human_percent(run->partitions - left, run->partitions, percent));
}

static void say_done(const struct repair_run *run)
{
    uint64_t received = run->now.rows_received - run->before.rows_received;
    uint64_t sent = run->now.rows_sent - run->before.rows_sent;
    uint64_t differed = run->now.differed - run->before.differed;
    uint64_t young = run->now.rows_young - run->before.rows_young;
    if (run->cli->json)
        json_print(json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I}", "status", "ok", "node", run->node,
                             "partitions", (int)run->partitions, "peers", (int)run->peers, "differed",
                             (json_int_t)differed, "rows_received", (json_int_t)received, "rows_sent",
                             (json_int_t)sent, "rows_young", (json_int_t)young));
    else
        printf("%s: %u partitions compared with %u nodes, %" PRIu64 " times there was a difference; "
               "rows received %" PRIu64 ", sent %" PRIu64 "\n",
               run->node, run->partitions, run->peers, differed, received, sent);
    if (young && !run->cli->json)
        printf("%s: rows kept back %" PRIu64 ": written just now, or stamped ahead of the clock; they go "
               "when it has passed them\n",
               run->node, young);
}

static void follow(struct repair_run *run)
{
    const struct timespec pause = {0, LOOK_MS * 1000000L};
    uint32_t silent = 0;
    do {
        look(run);
        silent = run->now.heard ? 0 : silent + 1;
        show_left(run);
        if (run->now.heard && run->now.left == 0)
            break;
        nanosleep(&pause, NULL);
    } while (silent < SILENCE_MAX);
    if (isatty(STDERR_FILENO) && !run->cli->json)
        fputs("\r\033[K", stderr);
    if (run->now.heard)
        say_done(run);
    else
        run->exit = cli_fail_status(run->cli, KV_E_TIMEOUT, "the node does not answer any more");
}

static void repair_one(struct repair_run *run, const char *node)
{
    struct kv_request request = {.timeout_ms = run->cli->timeout_ms, .via = node};
    run->node = node;
    look(run);
    run->before = run->now;
    int rc = kv_repair(run->kv, &request, on_begun, run);
    if (rc != KV_OK)
        run->exit = cli_fail_status(run->cli, rc, kv_error_text(rc));
    else
        kv_wait(run->kv);
    if (run->exit != EXIT_OK)
        return;
    if (run->cli->given & OPT_NO_WAIT)
        printf("%s: %u partitions will be compared with %u nodes\n", node, run->partitions, run->peers);
    else
        follow(run);
}

/* Every node, or one. A node that fails does not keep the others from it. */
int cmd_repair(struct cli *cli)
{
    static struct repair_run run;
    run = (struct repair_run){.cli = cli, .kv = cli_kv(cli)};
    if (!run.kv)
        return EXIT_USAGE;
    if (cli->argc > 1) {
        repair_one(&run, cli->argv[1]);
        return run.exit;
    }
    struct kv_request request = cli_request(cli);
    int rc = kv_ring(run.kv, &request, on_ring, &run);
    if (rc != KV_OK)
        return cli_fail_status(cli, rc, kv_error_text(rc));
    kv_wait(run.kv);
    int exit = run.exit;
    for (uint32_t i = 0; i < run.count; i++) {
        run.exit = EXIT_OK;
        repair_one(&run, run.names[i]);
        exit = exit ? exit : run.exit;
    }
    return exit;
}
