#include "sim/operator.h"

#include <stdlib.h>

#include "sim/internal.h"
#include "sim/rings.h"

#define WISHES_MAX 16u
#define ASK_US     UINT64_C(1000000)
#define ANSWER_MS  3000u

struct wish {
    struct ring_change change; /* kind 0: free, or taken on */
    struct sim_call *call;     /* NULL: not asked now */
};

struct ring_operator {
    struct sim *sim;
    struct sim_timer timer;
    uint32_t client;
    struct wish wishes[WISHES_MAX];
    uint64_t dismissed[SIM_NODES_MAX + 1]; /* the store that was told to go; 0: none */
};

static uint32_t anybody(struct sim *s)
{
    uint32_t from = (uint32_t)sim_between(s, 0, s->config.nodes - 1);
    for (uint32_t i = 0; i < s->config.nodes; i++) {
        uint32_t node = 1 + (from + i) % s->config.nodes;
        if (sim_node(s, node) && !sim_paused(s, node) && sim_member(s, node))
            return node;
    }
    return 0;
}

/* Taken on, or refused for good. Who is to leave may be away for a moment, and who is to be removed may still
 * be thought to live: both are asked for again. */
static bool is_over(const struct wish *w, int status)
{
    return status == KV_OK || (status == KV_E_INVALID && w->change.kind == RING_WEIGHT);
}

static void look(struct ring_operator *o, struct wish *w)
{
    struct sim *s = o->sim;
    if (w->call && !sim_reply(w->call)->done)
        return;
    if (w->call && is_over(w, sim_reply(w->call)->status)) {
        *w = (struct wish){0};
        return;
    }
    if (sim_ring(s) && !ring_value_find(&sim_ring(s)->value, w->change.member)) {
        *w = (struct wish){0}; /* it is no member any more */
        return;
    }
    uint32_t node = anybody(s);
    struct sim_options options = {.timeout_ms = ANSWER_MS};
    w->call = node ? sim_change(s, o->client, node, &w->change, &options) : NULL;
}

static void fire(struct sim *s, struct sim_timer *t)
{
    struct ring_operator *o = container_of(t, struct ring_operator, timer);
    for (uint32_t i = 0; i < WISHES_MAX; i++)
        if (o->wishes[i].change.kind)
            look(o, &o->wishes[i]);
    if (operator_waiting(o))
        sim_schedule(s, t, s->now_us + ASK_US);
}

struct ring_operator *operator_create(struct sim *s)
{
    struct ring_operator *o = sim_must(calloc(1, sizeof *o));
    o->sim = s;
    o->timer = (struct sim_timer){.fire = fire, .embedded = true};
    o->client = sim_client(s);
    return o;
}

void operator_destroy(struct ring_operator *o)
{
    if (o)
        sim_cancel(o->sim, &o->timer);
    free(o);
}

bool operator_ask(struct ring_operator *o, enum ring_change_kind kind, uint32_t node, uint32_t weight)
{
    struct sim *s = o->sim;
    uint32_t member = sim_member(s, node), i = 0;
    while (i < WISHES_MAX && o->wishes[i].change.kind)
        i++;
    if (!member || i == WISHES_MAX)
        return false;
    o->wishes[i] = (struct wish){.change = {.kind = (uint8_t)kind, .member = member, .weight = weight}};
    if (kind == RING_LEAVE || kind == RING_REMOVE)
        o->dismissed[node] = sim_store_id(sim_store(s, node));
    sim_say(s, node, "the operator asks for change %d of member %u", (int)kind, member);
    sim_schedule(s, &o->timer, s->now_us + 1);
    return true;
}

uint32_t operator_waiting(const struct ring_operator *o)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < WISHES_MAX; i++)
        count += o->wishes[i].change.kind != 0;
    return count;
}

bool operator_dismissed(const struct ring_operator *o, uint32_t node)
{
    return o->dismissed[node] == sim_store_id(sim_store(o->sim, node));
}
