/* See growth.h. */
#include "sim/growth.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/internal.h"
#include "sim/kv.h"

#define FORM_LIMIT_US UINT64_C(120000000)
#define SETTLE_US     UINT64_C(5000000) /* what is left to tell after the forming */
#define DRAIN_MAX_US  UINT64_C(20000000)
#define KEY_MAX       32u
#define CHECK_STEPS   1024u /* all of them would take a third of the time */

/* One operation after the other. */
struct worker {
    struct sim_timer next; /* a callback must not submit */
    struct growth *growth;
    struct sim_kv *kv;
    bool puts;
    uint64_t began_us;
};

struct latencies {
    uint64_t *us;
    size_t count, cap;
};

struct growth {
    const struct growth_config *config;
    struct growth_result *result;
    struct sim *sim;
    struct sim_kv **kvs;
    struct worker *workers;
    uint32_t worker_count;
    uint32_t loaded; /* records written, in the beginning */
    uint32_t pending;
    bool loading, counting, stopping;
    char *value;
    struct latencies gets, puts;
};

/* ---- clients ---- */

static void keep(struct latencies *l, uint64_t us)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 4096;
        l->us = sim_must(realloc(l->us, l->cap * sizeof *l->us));
    }
    l->us[l->count++] = us;
}

static void on_result(const struct kv_result *r, void *arg)
{
    struct worker *w = arg;
    struct growth *g = w->growth;
    uint64_t now_us = sim_now_us(g->sim);
    g->pending--;
    if (g->counting) {
        bool ok = r->status == KV_OK || (!w->puts && r->status == KV_E_NOT_FOUND);
        g->result->ops += ok;
        g->result->failures += !ok;
        keep(w->puts ? &g->puts : &g->gets, now_us - w->began_us);
    }
    sim_schedule(g->sim, &w->next, now_us);
}

static void submit(struct worker *w, uint32_t record)
{
    struct growth *g = w->growth;
    char key[KEY_MAX];
    snprintf(key, sizeof key, "user%u", record);
    struct client_order order = {
        .op = w->puts ? CLIENT_PUT : CLIENT_GET,
        .key = bytes_str(key),
        .callback.result = on_result,
        .arg = w,
    };
    if (w->puts)
        order.value = bytes_of((const uint8_t *)g->value, g->config->value_bytes);
    w->began_us = sim_now_us(g->sim);
    g->pending++;
    KV_ASSERT(sim_kv_submit(w->kv, &order) == KV_OK);
}

static void fire_next(struct sim *s, struct sim_timer *t)
{
    struct worker *w = container_of(t, struct worker, next);
    struct growth *g = w->growth;
    if (g->loading && g->loaded == g->config->records)
        return;
    if (g->stopping)
        return;
    w->puts = g->loading || prng_below(sim_prng(s), 100) < g->config->put_percent;
    submit(w, g->loading ? g->loaded++ : (uint32_t)prng_below(sim_prng(s), g->config->records));
}

static void begin(struct growth *g)
{
    for (uint32_t i = 0; i < g->worker_count; i++)
        sim_schedule(g->sim, &g->workers[i].next, sim_now_us(g->sim));
}

static bool is_idle(struct sim *s, void *arg)
{
    const struct growth *g = arg;
    (void)s;
    return g->pending == 0;
}

static bool is_loaded(struct sim *s, void *arg)
{
    const struct growth *g = arg;
    return g->loaded == g->config->records && is_idle(s, arg);
}

static void hire(struct growth *g)
{
    const struct growth_config *c = g->config;
    g->value = sim_must(malloc(c->value_bytes + 1));
    memset(g->value, 'v', c->value_bytes);
    g->kvs = sim_must(calloc(c->clients, sizeof(struct sim_kv *)));
    g->worker_count = c->clients * c->pipeline;
    g->workers = sim_must(calloc(g->worker_count, sizeof *g->workers));
    for (uint32_t i = 0; i < c->clients; i++)
        g->kvs[i] = sim_kv_create(g->sim);
    for (uint32_t i = 0; i < g->worker_count; i++)
        g->workers[i] = (struct worker){
            .next = {.fire = fire_next, .embedded = true}, .growth = g, .kv = g->kvs[i % c->clients]};
}

/* ---- what is measured ---- */

struct mark {
    uint64_t us;
    struct sim_usage usage[SIM_NODES_MAX + 1];
};

static void set_mark(struct growth *g, struct mark *m)
{
    m->us = sim_now_us(g->sim);
    for (uint32_t i = 0; i <= g->config->nodes; i++)
        m->usage[i] = sim_usage(g->sim, i);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void count_control(struct growth *g, const struct mark *a, const struct mark *b)
{
    struct growth_result *r = g->result;
    double s = (double)(b->us - a->us) / 1e6;
    for (uint32_t i = 1; i <= g->config->nodes && s > 0; i++) {
        const struct sim_usage *x = &a->usage[i], *y = &b->usage[i];
        double bytes = (double)(y->message_bytes + y->datagram_bytes - x->message_bytes - x->datagram_bytes);
        double messages = (double)(y->messages + y->datagrams - x->messages - x->datagrams);
        r->control_bytes_per_s += bytes / s / g->config->nodes;
        r->control_messages_per_s += messages / s / g->config->nodes;
        r->control_bytes_max_per_s = larger(r->control_bytes_max_per_s, bytes / s);
        r->control_messages_max_per_s = larger(r->control_messages_max_per_s, messages / s);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static struct growth_latency sum_up(struct latencies *l)
{
    if (l->count == 0)
        return (struct growth_latency){0};
    qsort(l->us, l->count, sizeof l->us[0], compare);
    return (struct growth_latency){l->count, l->us[(l->count - 1) / 2],
                                   l->us[(l->count * 99 + 99) / 100 - 1]};
}

static void count_load(struct growth *g, const struct mark *a, const struct mark *b)
{
    struct growth_result *r = g->result;
    uint64_t messages = b->usage[0].messages - a->usage[0].messages, rows = 0, syncs = 0;
    double us = (double)(b->us - a->us);
    for (uint32_t i = 1; i <= g->config->nodes; i++) {
        const struct sim_usage *x = &a->usage[i], *y = &b->usage[i];
        double core = (double)(y->core_us - x->core_us) / us, disk = (double)(y->disk_us - x->disk_us) / us;
        messages += y->messages - x->messages;
        rows += y->rows - x->rows;
        syncs += y->syncs - x->syncs;
        r->core_mean += core / g->config->nodes;
        r->disk_mean += disk / g->config->nodes;
        r->core_max = larger(r->core_max, core);
        r->disk_max = larger(r->disk_max, disk);
    }
    r->ops_per_s = (double)r->ops * 1e6 / us;
    r->messages_per_op = r->ops ? (double)messages / (double)r->ops : 0;
    r->rows_per_sync = syncs ? (double)rows / (double)syncs : 0;
    r->get = sum_up(&g->gets);
    r->put = sum_up(&g->puts);
}

/* ---- the run ---- */

static bool is_formed(struct sim *s, void *arg)
{
    const struct growth *g = arg;
    for (uint32_t i = 1; i <= g->config->nodes; i++)
        if (!sim_node(s, i) || !sim_look_ready(sim_node(s, i), 1000000 + sim_now_us(s)))
            return false;
    uint32_t coordinators = g->config->topology == TOPOLOGY_CENTRAL ? 1 : g->config->nodes;
    for (uint32_t i = 1; i <= coordinators; i++)
        for (uint32_t j = 1; j <= g->config->nodes; j++)
            if (i != j && !sim_look_reaches(sim_node(s, i), j))
                return false;
    return true;
}

/* Looked at now and then: for a hundred nodes it is a long look. */
static bool form(struct growth *g)
{
    for (uint32_t i = 1; i <= g->config->nodes; i++)
        KV_ASSERT(sim_start(g->sim, i) == KV_OK);
    while (!is_formed(g->sim, g)) {
        if (sim_now_us(g->sim) > FORM_LIMIT_US)
            return false;
        sim_run(g->sim, 100000);
    }
    sim_run(g->sim, SETTLE_US);
    return true;
}

static void measure(struct growth *g, struct mark *a, struct mark *b)
{
    set_mark(g, a);
    sim_run(g->sim, g->config->quiet_us);
    set_mark(g, b);
    count_control(g, a, b);
    if (!g->config->clients)
        return;
    hire(g);
    g->loading = true;
    begin(g);
    KV_ASSERT(sim_run_until(g->sim, is_loaded, g, UINT64_MAX / 2));
    g->loading = false;
    begin(g);
    sim_run(g->sim, g->config->warmup_us);
    g->counting = true;
    set_mark(g, a);
    sim_run(g->sim, g->config->load_us);
    set_mark(g, b);
    g->counting = false;
    count_load(g, a, b);
    g->stopping = true;
    (void)sim_run_until(g->sim, is_idle, g, DRAIN_MAX_US);
}

void growth_run(const struct growth_config *config, struct growth_result *out)
{
    *out = (struct growth_result){0};
    struct growth g = {.config = config, .result = out};
    struct sim_config world = {
        .seed = config->seed,
        .nodes = config->nodes,
        .topology = config->topology,
        .replicas = config->replicas,
        .partitions = config->partitions,
        .delay_min_us = config->delay_us,
        .delay_max_us = config->delay_us,
        .disk_min_us = 0,
        .disk_max_us = 1, /* what is read is in the cache */
        .repair_round_us = UINT64_MAX,
        .service = config->service,
        .check_steps = CHECK_STEPS,
    };
    g.sim = sim_create(&world);
    struct mark *marks = sim_must(calloc(2, sizeof *marks));
    out->formed = form(&g);
    if (out->formed)
        measure(&g, &marks[0], &marks[1]);
    out->trace = sim_trace(g.sim);
    for (uint32_t i = 0; g.kvs && i < config->clients; i++)
        sim_kv_destroy(g.kvs[i]);
    for (uint32_t i = 0; i < g.worker_count; i++)
        sim_cancel(g.sim, &g.workers[i].next);
    sim_destroy(g.sim);
    free(marks);
    free(g.kvs);
    free(g.workers);
    free(g.value);
    free(g.gets.us);
    free(g.puts.us);
}
