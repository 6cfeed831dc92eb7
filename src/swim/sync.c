/* Push-pull: the whole table, now and then, to one random member over TCP, which answers with its own.
 * Gossip may miss somebody, this ends it: what two nodes know between them, both know after it. A node
 * that has just started asks soon, and again while it misses many. */
#include "base/assert.h"
#include "model/id.h"
#include "swim/internal.h"

struct table {
    const struct swim *swim;
    struct gossip *items;
    uint32_t count;
};

static void add_member(uint64_t id, void *value, void *arg)
{
    (void)id;
    const struct swim_member *m = value;
    struct table *t = arg;
    if (m->belief.generation > 0)
        t->items[t->count++] = swim_gossip_of(t->swim, m);
}

static void send_table(struct swim *s, struct endpoint to, enum message_type type, uint64_t id,
                       struct outbox *out)
{
    if (outbox_room(out) == 0)
        return;
    size_t max = map_count(&s->by_id) + 1;
    struct table t = {.swim = s, .items = arena_alloc(&out->arena, max * sizeof(struct gossip))};
    if (!t.items)
        return;
    t.items[t.count++] = swim_gossip_of_self(s);
    map_each(&s->by_id, add_member, &t);
    struct message *m = outbox_send(out, to, type, id);
    m->sync = (struct msg_sync){.from = s->config.self, .count = t.count, .gossip = t.items};
}

void swim_sync_tick(struct swim *s, struct outbox *out)
{
    if (s->next_sync_us > s->now_us)
        return;
    uint64_t interval_us = s->config.sync_interval_us;
    if (!s->synced || (s->now_us < s->young_until_us && s->absent.count > s->live.count / 16))
        interval_us /= SWIM_SYNC_FIRST_DIVISOR;
    s->next_sync_us = s->now_us + interval_us;
    struct swim_member *partner;
    if (swim_order_sample(&s->live, &s->prng, 1, 0, &partner) == 0)
        return;
    send_table(s, to_peer(partner->id), MSG_SYNC, id_make(ID_SWIM, ++s->sync_serial), out);
}

void swim_sync(struct swim *s, struct now now, struct endpoint from, const struct message *m,
               struct outbox *out)
{
    KV_ASSERT(m->type == MSG_SYNC || m->type == MSG_SYNC_REPLY);
    swim_enter(s, now);
    if (!swim_member_find(s, m->sync.from)) {
        s->counters.ignored++;
        return;
    }
    s->counters.syncs++;
    s->synced = true;
    swim_hear(s, m->sync.gossip, m->sync.count, m->sync.from, SWIM_BY_SYNC);
    if (m->type == MSG_SYNC)
        send_table(s, from, MSG_SYNC_REPLY, m->id, out);
    swim_end_turn(s, out);
}
