/* repair: orders one node, or each in turn, to hash all its rows and compare them with the other homes now,
 * and follows it by the node's counters. Interrupted, it goes on there. What the node could not compare is
 * said, and is no success. */
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
#define MISSED_MAX  8u  /* kinds of failures that a node tells apart */

struct missed {
    uint64_t node; /* member id; the node's own: its rows cannot be read */
    int status;
    uint64_t partitions, first;
};

struct figures {
    bool heard;
    uint64_t generation;
    uint64_t left, missed;
    uint64_t differed, rows_received, rows_sent, rows_young;
    uint32_t kinds; /* of what was missed */
    struct missed kind[MISSED_MAX];
};

struct repair_run {
    struct cli *cli;
    struct kv *kv;
    uint32_t count;
    uint64_t ids[NODES_MAX];
    char names[NODES_MAX][32];
    const char *node; /* at work, as it was typed */
    char name[32];    /* and as it is called */
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
    for (uint32_t i = 0; i < r->count && i < NODES_MAX; i++) {
        run->ids[i] = r->members[i].id;
        (void)snprintf(run->names[i], sizeof run->names[0], "%s", r->members[i].name);
        run->count = i + 1;
    }
}

static uint64_t stat_of(const struct kv_stats *s, const char *name)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (strcmp(s->stats[i].name, name) == 0)
            return s->stats[i].value;
    return 0;
}

static uint64_t missed_figure(const struct kv_stats *s, uint32_t nth, const char *what)
{
    char name[48];
    (void)snprintf(name, sizeof name, "entropy_missed_%u_%s", nth, what);
    return stat_of(s, name);
}

static void take_missed(const struct kv_stats *s, struct figures *f)
{
    for (; f->kinds < MISSED_MAX && missed_figure(s, f->kinds + 1, "partitions"); f->kinds++)
        f->kind[f->kinds] = (struct missed){
            .node = missed_figure(s, f->kinds + 1, "node"),
            .status = -(int)missed_figure(s, f->kinds + 1, "error"),
            .partitions = missed_figure(s, f->kinds + 1, "partitions"),
            .first = missed_figure(s, f->kinds + 1, "first"),
        };
}

static void on_stats(const struct kv_stats *s, void *arg)
{
    struct repair_run *run = arg;
    if (s->status != KV_OK)
        return;
    run->now = (struct figures){
        .heard = true,
        .generation = stat_of(s, "generation"),
        .left = stat_of(s, "entropy_repair_left"),
        .missed = stat_of(s, "entropy_repair_missed"),
        .differed = stat_of(s, "entropy_partitions_differed"),
        .rows_received = stat_of(s, "entropy_rows_received"),
        .rows_sent = stat_of(s, "entropy_rows_sent"),
        .rows_young = stat_of(s, "entropy_rows_young"),
    };
    take_missed(s, &run->now);
}

static void look(struct repair_run *run)
{
    struct kv_request request = {.timeout_ms = PATIENCE_MS, .via = run->node};
    run->now.heard = false;
    if (kv_stats(run->kv, &request, on_stats, run) == KV_OK)
        kv_wait(run->kv);
}

static void fail(struct repair_run *run, int status, const char *message)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%s: %s", run->node, message);
    run->exit = cli_fail_status(run->cli, status, text);
}

static void on_begun(const struct kv_repair_begun *b, void *arg)
{
    struct repair_run *run = arg;
    run->partitions = b->partitions;
    run->peers = b->peers;
    (void)snprintf(run->name, sizeof run->name, "%s", b->node);
    if (b->status != KV_OK)
        fail(run, b->status, b->message);
}

static void show_left(const struct repair_run *run)
{
    char percent[HUMAN_MAX];
    uint64_t left = run->now.left < run->partitions ? run->now.left : run->partitions;
    if (isatty(STDERR_FILENO) && !run->cli->json)
        fprintf(stderr, "\r%s: %s compared\033[K", run->node,
                human_percent(run->partitions - left, run->partitions, percent));
}

static const char *name_of(const struct repair_run *run, uint64_t id)
{
    for (uint32_t i = 0; i < run->count; i++)
        if (run->ids[i] == id)
            return run->names[i];
    return "a node that is no member any more";
}

static const char *why(int status)
{
    switch (status) {
    case KV_E_UNAVAILABLE: return "it cannot be reached";
    case KV_E_TIMEOUT: return "it does not answer";
    case KV_E_CORRUPT:
    case KV_E_IO: return "it cannot read rows of them from its disk";
    default: return kv_error_text(status);
    }
}

static json_t *missed_json(const struct repair_run *run)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < run->now.kinds; i++) {
        const struct missed *m = &run->now.kind[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:I, s:I}", "node", name_of(run, m->node), "status",
                                        kv_error_word(m->status), "message", why(m->status), "partitions",
                                        (json_int_t)m->partitions, "first", (json_int_t)m->first));
    }
    return list;
}

static void say_missed(const struct repair_run *run)
{
    for (uint32_t i = 0; i < run->now.kinds; i++) {
        const struct missed *m = &run->now.kind[i];
        const char *node = name_of(run, m->node);
        bool own = strcmp(node, run->name) == 0;
        fprintf(stderr,
                "kvcli: %s: %s: %" PRIu64 " partitions were not compared%s%s, the first is %" PRIu64 ": %s\n",
                kv_error_word(m->status), run->node, m->partitions, own ? "" : " with ", own ? "" : node,
                m->first, why(m->status));
    }
}

static void say_done(struct repair_run *run)
{
    uint64_t received = run->now.rows_received - run->before.rows_received;
    uint64_t sent = run->now.rows_sent - run->before.rows_sent;
    uint64_t differed = run->now.differed - run->before.differed;
    uint64_t young = run->now.rows_young - run->before.rows_young;
    int status = run->now.kinds ? run->now.kind[0].status : KV_OK;
    if (run->cli->json) {
        json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I}", "status", kv_error_word(status),
                              "node", run->node, "partitions", (int)run->partitions, "peers", (int)run->peers,
                              "differed", (json_int_t)differed, "rows_received", (json_int_t)received,
                              "rows_sent", (json_int_t)sent, "rows_young", (json_int_t)young);
        if (status != KV_OK)
            json_object_set_new(o, "missed", missed_json(run));
        json_print(o);
    } else {
        printf("%s: %u partitions compared with %u nodes%s, %" PRIu64 " times there was a difference; "
               "rows received %" PRIu64 ", sent %" PRIu64 "\n",
               run->node, run->partitions, run->peers, status == KV_OK ? "" : ", but not all of them",
               differed, received, sent);
        if (young)
            printf("%s: rows kept back %" PRIu64 ": written just now, or stamped ahead of the clock; they go "
                   "when it has passed them\n",
                   run->node, young);
        say_missed(run);
    }
    run->exit = cli_exit_of(status);
}

/* Looks until nothing is left to be compared. */
static void follow(struct repair_run *run)
{
    const struct timespec pause = {0, LOOK_MS * 1000000L};
    uint32_t silent = 0;
    bool same = true; /* life of the node: another one knows nothing of the order */
    do {
        look(run);
        silent = run->now.heard ? 0 : silent + 1;
        same = !run->now.heard || !run->before.heard || run->now.generation == run->before.generation;
        show_left(run);
        if (!same || (run->now.heard && run->now.left == 0))
            break;
        nanosleep(&pause, NULL);
    } while (silent < SILENCE_MAX);
    if (isatty(STDERR_FILENO) && !run->cli->json)
        fputs("\r\033[K", stderr);
    if (!run->now.heard)
        fail(run, KV_E_TIMEOUT, "it does not answer any more");
    else if (!same)
        fail(run, KV_E_UNAVAILABLE, "it was started anew meanwhile, and knows nothing of the order");
    else
        say_done(run);
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
    struct kv_request request = cli_request(cli);
    int rc = kv_ring(run.kv, &request, on_ring, &run);
    if (rc != KV_OK)
        return cli_fail_status(cli, rc, kv_error_text(rc));
    kv_wait(run.kv);
    if (run.exit == EXIT_OK && cli->argc > 1)
        repair_one(&run, cli->argv[1]);
    if (cli->argc > 1)
        return run.exit;
    int exit = run.exit;
    for (uint32_t i = 0; i < run.count; i++) {
        run.exit = EXIT_OK;
        repair_one(&run, run.names[i]);
        exit = exit ? exit : run.exit;
    }
    return exit;
}
