/* Push-pull: now and then two tables are compared over TCP, and made equal. Gossip may miss somebody, this
 * ends it: what two nodes know between them, both know after it. A node that has just started asks soon,
 * and again while it misses many.
 *
 *     asker                          asked
 *     SYNC: self, digest      ->
 *                             <-     SYNC_REPLY: self, digest     they are equal, which is nearly always
 *                             <-     SYNC_REPLY: whole, digest    they are not
 *     SYNC: whole, digest     ->                                  the asker still knows more
 *                             <-     SYNC_REPLY                   as above, and that is the end
 *
 * So a thousand members that all know the same say so in 200 bytes and not in 80 KB. */
#include "base/assert.h"
#include "base/hash.h"
#include "model/id.h"
#include "swim/internal.h"

/* Of a belief that is sure: a suspicion is news for gossip, and soon refuted or a death. */
static uint64_t digest_one(uint32_t id, struct swim_belief b)
{
    enum member_state state = b.state == MEMBER_SUSPECT ? MEMBER_ALIVE : b.state;
    return hash64_mix(hash64_mix(hash64_mix(b.generation) + id) + ((uint64_t)b.incarnation << 8 | state));
}

static void digest_member(uint64_t id, void *value, void *arg)
{
    const struct swim_member *m = value;
    uint64_t *sum = arg;
    if (m->belief.generation > 0)
        *sum += digest_one((uint32_t)id, m->belief);
}

/* A sum, so that the order of the table does not matter. */
static uint64_t digest(struct swim *s)
{
    uint64_t sum = digest_one(s->config.self,
                              (struct swim_belief){s->config.generation, s->incarnation, swim_own_state(s)});
    map_each(&s->by_id, digest_member, &sum);
    return sum;
}

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

static void send_table(struct swim *s, struct endpoint to, enum message_type type, uint64_t id, bool whole,
                       struct outbox *out)
{
    if (outbox_room(out) == 0)
        return;
    size_t max = whole ? map_count(&s->by_id) + 1 : 1;
    struct table t = {.swim = s, .items = arena_alloc(&out->arena, max * sizeof(struct gossip))};
    if (!t.items)
        return;
    t.items[t.count++] = swim_gossip_of_self(s);
    if (whole)
        map_each(&s->by_id, add_member, &t);
    struct message *m = outbox_send(out, to, type, id);
    m->sync =
        (struct msg_sync){.from = s->config.self, .digest = digest(s), .count = t.count, .gossip = t.items};
}

static uint64_t next_id(struct swim *s)
{
    return id_make(ID_SWIM, ++s->sync_serial);
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
    s->sync_id = next_id(s);
    send_table(s, to_peer(partner->id), MSG_SYNC, s->sync_id, false, out);
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
    bool differ = m->sync.digest != digest(s);
    if (m->type == MSG_SYNC) {
        send_table(s, from, MSG_SYNC_REPLY, m->id, differ, out);
    } else if (m->id == s->sync_id) {
        s->sync_id = 0;
        if (differ)
            send_table(s, to_peer(m->sync.from), MSG_SYNC, next_id(s), true, out);
    }
    swim_end_turn(s, out);
}
