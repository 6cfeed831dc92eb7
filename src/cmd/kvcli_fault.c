/* fault: orders to the nodes' fault hooks. A rule stands in the node where the message arrives, so each
 * concerned node gets its own order: all of them, or the one that --to names. */
#include <stdlib.h>
#include <string.h>

#include "cmd/kvcli.h"

#define NODES_MAX 128u

struct fault_run {
    struct cli *cli;
    struct kv_fault order;
    uint32_t count;
    char names[NODES_MAX][64];
    uint32_t ids[NODES_MAX];
    char node[64]; /* asked now */
    int exit;
};

static const struct {
    const char *word;
    uint8_t kind;
    bool amount;
} KINDS[] = {
    {"list", KV_FAULT_LIST, false},
    {"clear", KV_FAULT_CLEAR, false},
    {"drop", KV_FAULT_DROP, false},
    {"delay", KV_FAULT_DELAY, true},
    {"duplicate", KV_FAULT_DUPLICATE, false},
    {"slow-disk", KV_FAULT_DISK, true},
    {"skew", KV_FAULT_SKEW, true},
};

static void on_ring(const struct kv_ring *r, void *arg)
{
    struct fault_run *f = arg;
    if (r->status != KV_OK) {
        f->exit = cli_fail_status(f->cli, r->status, r->message);
        return;
    }
    for (uint32_t i = 0; i < r->count && f->count < NODES_MAX; i++) {
        snprintf(f->names[f->count], sizeof f->names[0], "%s", r->members[i].name);
        f->ids[f->count++] = r->members[i].id;
    }
}

static const char *name_of(const struct fault_run *f, uint32_t id)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->ids[i] == id)
            return f->names[i];
    return "any";
}

static uint32_t id_of(const struct fault_run *f, const char *name)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (strcmp(f->names[i], name) == 0)
            return f->ids[i];
    return 0;
}

static void print_rule(const struct fault_run *f, const struct kv_fault *rule)
{
    const char *word = "?";
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (KINDS[i].kind == rule->kind)
            word = KINDS[i].word;
    if (f->cli->json)
        json_print(json_pack("{s:s, s:s, s:s, s:i, s:i}", "node", f->node, "fault", word, "from",
                             name_of(f, rule->from), "percent", (int)rule->percent, "amount",
                             (int)rule->amount));
    else if (rule->kind == KV_FAULT_DISK || rule->kind == KV_FAULT_SKEW)
        printf("%s: %s %d ms\n", f->node, word, rule->amount);
    else if (rule->kind == KV_FAULT_DELAY)
        printf("%s: delay %d ms, %u %% of what comes from %s\n", f->node, rule->amount, rule->percent,
               name_of(f, rule->from));
    else
        printf("%s: %s %u %% of what comes from %s\n", f->node, word, rule->percent, name_of(f, rule->from));
}

static void on_fault(const struct kv_faults *r, void *arg)
{
    struct fault_run *f = arg;
    if (r->status != KV_OK) {
        char text[256];
        snprintf(text, sizeof text, "%s: %s%s", f->node, r->message,
                 r->status == KV_E_NOT_PERMITTED ? " (was it started with --lab?)" : "");
        f->exit = cli_fail_status(f->cli, r->status, text);
        return;
    }
    if (f->order.kind == KV_FAULT_LIST)
        for (uint32_t i = 0; i < r->count; i++)
            print_rule(f, &r->rules[i]);
}

static int parse_order(struct cli *cli, struct kv_fault *order)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (strcmp(cli->argv[1], KINDS[i].word) != 0)
            continue;
        *order = (struct kv_fault){.kind = KINDS[i].kind, .percent = cli->percent};
        if ((cli->argc == 3) != KINDS[i].amount)
            return cli_usage(cli, KINDS[i].amount ? "fault %s: how many ms?" : "fault %s takes no number",
                             cli->argv[1]);
        if (KINDS[i].amount) {
            char *end;
            long v = strtol(cli->argv[2], &end, 10);
            if (*end || v < -100000000 || v > 100000000)
                return cli_usage(cli, "'%s' is no number of ms", cli->argv[2]);
            order->amount = (int32_t)v;
        }
        return EXIT_OK;
    }
    return cli_usage(cli, "no fault '%s'", cli->argv[1]);
}

static void send_order(struct fault_run *f, struct kv *kv, uint32_t i)
{
    struct kv_request request = {.timeout_ms = f->cli->timeout_ms, .via = f->names[i]};
    snprintf(f->node, sizeof f->node, "%s", f->names[i]);
    int rc = kv_fault(kv, &f->order, &request, on_fault, f);
    if (rc != KV_OK)
        f->exit = cli_fail_status(f->cli, rc, kv_error_text(rc));
    else
        kv_wait(kv);
}

int cmd_fault(struct cli *cli)
{
    struct fault_run f = {.cli = cli};
    int exit = parse_order(cli, &f.order);
    struct kv *kv = exit == EXIT_OK ? cli_kv(cli) : NULL;
    if (!kv)
        return EXIT_USAGE;
    struct kv_request request = cli_request(cli);
    int rc = kv_ring(kv, &request, on_ring, &f);
    if (rc != KV_OK)
        return cli_fail_status(cli, rc, kv_error_text(rc));
    kv_wait(kv);
    if (f.exit != EXIT_OK)
        return f.exit;
    if (cli->from && (f.order.from = id_of(&f, cli->from)) == 0)
        return cli_usage(cli, "--from %s: no member has this name", cli->from);
    if (cli->to && id_of(&f, cli->to) == 0)
        return cli_usage(cli, "--to %s: no member has this name", cli->to);
    for (uint32_t i = 0; i < f.count; i++) {
        bool self = cli->from && f.ids[i] == f.order.from; /* nobody cuts itself off */
        if ((!cli->to || strcmp(cli->to, f.names[i]) == 0) && !(self && !cli->to))
            send_order(&f, kv, i);
    }
    return f.exit;
}
