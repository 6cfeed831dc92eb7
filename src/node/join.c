/* How a node that is no member becomes one: a blank store with a name of its own (--join), or a wiped one
 * under the name that it had. It dials who it was told to; is refused, and told the ring; dials that ring's
 * members; and, as the guest of whoever answers, asks one of them for its JOIN, and all for news by saying
 * HELLO again, until a ring has it in it. From then on it is a member like any other (adopt.c). */
#include "node/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define JOIN_RETRY_US   UINT64_C(1000000)
#define JOIN_TIMEOUT_US UINT64_C(5000000)

int join_init(struct node *n, const struct node_config *config, char error[256])
{
    if (config->join_count == 0)
        return KV_OK;
    if (config->join_count > MEMBERS_MAX) {
        snprintf(error, 256, "at most %u addresses to join at", MEMBERS_MAX);
        return KV_E_INVALID;
    }
    for (uint32_t i = 0; i < config->join_count; i++)
        if (!addr_ok(&config->join[i])) {
            snprintf(error, 256, "an address to join at is none");
            return KV_E_INVALID;
        }
    n->join.addrs = calloc(config->join_count, sizeof *n->join.addrs);
    if (!n->join.addrs)
        return KV_E_NO_MEMORY;
    n->join.count = config->join_count;
    memcpy(n->join.addrs, config->join, config->join_count * sizeof *n->join.addrs);
    return KV_OK;
}

bool join_active(const struct node *n)
{
    return !n->self && !n->adopt.member && (n->ring || n->join.count > 0) && !n->stopping;
}

void join_start(struct node *n)
{
    if (!join_active(n) || n->exited)
        return;
    outbox_log(n->out, LOG_INFO, "event=joining addresses=%u", n->join.count);
    n->join.due_us = n->now.mono_us + JOIN_RETRY_US;
    if (!n->ring && n->form.count == 0 && peers_set(n) != KV_OK)
        node_exit(n, KV_E_NO_MEMORY, "no memory for the addresses to join at");
}

/* ---- asking */

static void ask(struct node *n, const struct peer *p)
{
    struct message *m = outbox_send(n->out, to_peer(p->id), MSG_CHANGE, id_make(ID_CHANGE, p->id));
    struct ring_change *c = &m->change.change;
    *c = (struct ring_change){
        .kind = RING_JOIN, .store_id = n->store_id, .weight = n->weight, .addr = n->addr};
    memcpy(c->name, n->name, sizeof c->name);
    memcpy(c->zone, n->zone, sizeof c->zone);
    m->change.timeout_us = (uint32_t)JOIN_TIMEOUT_US;
}

/* Any member, or the hub alone. */
static bool may_decide(const struct node *n, const struct peer *p)
{
    return !n->ring->value.hub || n->ring->value.hub == p->id;
}

void join_refused(struct node *n, struct peer *p)
{
    bool first = !p->guest;
    p->guest = true;
    if (n->join.due_us == UINT64_MAX)
        n->join.due_us = n->now.mono_us + JOIN_RETRY_US;
    if (first && n->ring && may_decide(n, p))
        ask(n, p);
}

void join_message(struct node *n, struct peer *p, const struct message *m)
{
    const struct msg_change_reply *r = &m->change_reply;
    if (r->status == KV_OK || n->self || !log_may(n, &n->join.refused))
        return;
    outbox_log(n->out, LOG_WARN, "event=join_refused peer=%s status=%s text=\"%s\"", peers_name(n, p->id),
               kv_error_word(r->status), r->text);
}

/* News from all, a place from one: the next in turn. */
void join_tick(struct node *n)
{
    struct join *j = &n->join;
    if (j->due_us > n->now.mono_us)
        return;
    j->due_us = UINT64_MAX;
    if (!join_active(n))
        return;
    j->due_us = n->now.mono_us + JOIN_RETRY_US + prng_below(&n->prng, JOIN_RETRY_US / 4);
    uint32_t count = n->peers.count;
    bool asked = false;
    for (uint32_t i = 0; i < count && outbox_room(n->out) > OUT_MAX / 2; i++) {
        struct peer *p = &n->peers.items[(j->turn + i) % count];
        if (!p->guest)
            continue;
        peers_say_hello(n, p);
        if (asked || !n->ring || !may_decide(n, p))
            continue;
        ask(n, p);
        asked = true;
    }
    j->turn++;
}

uint64_t join_deadline_us(const struct node *n)
{
    return n->join.due_us;
}

void join_deinit(struct node *n)
{
    free(n->join.addrs);
}
