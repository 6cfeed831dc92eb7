/* The table of members: found by id, drawn for probing in random round-robin order, with the changes that
 * are still to be told.
 *
 * Invariants: a member is in exactly one order, `live` while alive or suspect, else `absent`;
 * items[place] of its order is the member itself; both orders have room for all members, so that a change
 * of state cannot fail. */
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "swim/internal.h"

int swim_order_reserve(struct swim_order *o, size_t count)
{
    if (count <= o->cap)
        return KV_OK;
    size_t cap = count < 16 ? 16 : count * 2;
    struct swim_member **items = realloc(o->items, cap * sizeof(struct swim_member *));
    if (!items)
        return KV_E_NO_MEMORY;
    o->items = items;
    o->cap = cap;
    return KV_OK;
}

static void put(struct swim_order *o, size_t place, struct swim_member *m)
{
    o->items[place] = m;
    m->place = place;
}

static void swap(struct swim_order *o, size_t a, size_t b)
{
    struct swim_member *was = o->items[a];
    put(o, a, o->items[b]);
    put(o, b, was);
}

/* Its turn comes in this round, at a random time. */
void swim_order_insert(struct swim_order *o, struct swim_member *m)
{
    KV_ASSERT(!m->order && o->count < o->cap);
    m->order = o;
    put(o, o->count++, m);
}

/* Fills a hole with what stands at `from`, which then is the hole. */
static size_t fill(struct swim_order *o, size_t hole, size_t from)
{
    if (from != hole)
        put(o, hole, o->items[from]);
    return from;
}

/* The hole is filled with the last one of its zone, and so is the hole that this makes in front of the
 * next. */
void swim_order_remove(struct swim_member *m)
{
    struct swim_order *o = m->order;
    KV_ASSERT(o && o->items[m->place] == m);
    size_t hole = m->place;
    if (hole < o->next) {
        hole = fill(o, hole, --o->next);
        hole = fill(o, hole, hole + o->urgent);
    } else if (hole < o->next + o->urgent) {
        o->urgent--;
        hole = fill(o, hole, o->next + o->urgent);
    }
    fill(o, hole, --o->count);
    m->order = NULL;
}

/* It becomes the first of the urgent ones. */
void swim_order_hurry(struct swim_member *m)
{
    struct swim_order *o = m->order;
    if (m->place < o->next) {
        o->next--;
        swap(o, m->place, o->next);
        o->urgent++;
    } else if (m->place >= o->next + o->urgent) {
        swap(o, m->place, o->next + o->urgent);
        swap(o, m->place, o->next);
        o->urgent++;
    }
}

void swim_order_pass(struct swim_member *m)
{
    struct swim_order *o = m->order;
    if (m->place < o->next + o->urgent)
        return;
    swap(o, m->place, o->next + o->urgent);
    swap(o, m->place, o->next++);
}

struct swim_member *swim_order_pick(struct swim_order *o, struct prng *prng)
{
    if (o->count == 0)
        return NULL;
    if (o->next == o->count)
        o->next = 0;
    if (o->urgent > 0)
        o->urgent--;
    else
        swap(o, o->next, o->next + prng_below(prng, o->count - o->next));
    return o->items[o->next++];
}

static uint32_t collect(const struct swim_order *o, size_t start, uint32_t wanted, uint32_t except,
                        struct swim_member *out[], size_t *end)
{
    uint32_t count = 0;
    size_t i = 0;
    for (; i < o->count && count < wanted; i++) {
        struct swim_member *m = o->items[(start + i) % o->count];
        if (m->belief.state == MEMBER_ALIVE && m->id != except)
            out[count++] = m;
    }
    *end = start + i;
    return count;
}

uint32_t swim_order_sample(const struct swim_order *o, struct prng *prng, uint32_t wanted, uint32_t except,
                           struct swim_member *out[])
{
    size_t end;
    return collect(o, o->count ? prng_below(prng, o->count) : 0, wanted, except, out, &end);
}

uint32_t swim_order_deal(const struct swim_order *o, size_t *place, uint32_t wanted,
                         struct swim_member *out[])
{
    return collect(o, o->count ? *place % o->count : 0, wanted, 0, out, place);
}

struct swim_member *swim_member_find(const struct swim *s, uint32_t id)
{
    return map_get(&s->by_id, id);
}

uint32_t swim_live_count(const struct swim *s)
{
    return (uint32_t)s->live.count + 1;
}

bool swim_is_among_few(struct swim *s, uint32_t few)
{
    return prng_below(&s->prng, swim_live_count(s)) < few;
}

static struct member_view view_of(const struct swim_member *m)
{
    return (struct member_view){.state = m->belief.state,
                                .generation = m->belief.generation,
                                .incarnation = m->belief.incarnation,
                                .addr = m->addr,
                                .rtt_us = m->rtt_us};
}

void swim_member_changing(struct swim *s, struct swim_member *m)
{
    if (list_linked(&m->changed))
        return;
    m->before = view_of(m);
    list_push_back(&s->changes, &m->changed);
}

/* A new incarnation alone is of no interest outside; neither is a state that came and went. */
static bool worth_telling(const struct swim_member *m)
{
    return m->before.state != m->belief.state || m->before.generation != m->belief.generation ||
           !addr_eq(&m->before.addr, &m->addr);
}

bool swim_next_change(struct swim *s, struct member_change *out)
{
    for (struct list *it; (it = list_pop_front(&s->changes)) != NULL;) {
        const struct swim_member *m = container_of(it, struct swim_member, changed);
        if (worth_telling(m)) {
            *out = (struct member_change){m->id, m->before.state, view_of(m)};
            return true;
        }
    }
    return false;
}

int swim_lookup(const struct swim *s, uint32_t member, struct member_view *out)
{
    if (member == s->config.self) {
        *out = (struct member_view){.state = swim_own_state(s),
                                    .generation = s->config.generation,
                                    .incarnation = s->incarnation,
                                    .addr = s->config.addr};
        return KV_OK;
    }
    const struct swim_member *m = swim_member_find(s, member);
    if (!m)
        return KV_E_NOT_FOUND;
    *out = view_of(m);
    return KV_OK;
}

/* All memory that its life may need is taken here, or nothing is. */
static int create(struct swim *s, uint32_t id, const struct addr *addr, bool alive, struct swim_member **out)
{
    size_t count = map_count(&s->by_id) + 1;
    int rc;
    if ((rc = swim_order_reserve(&s->live, count)) != 0 ||
        (rc = swim_order_reserve(&s->absent, count)) != 0 ||
        (rc = heap_reserve(&s->suspicions, s->live.cap)) != 0)
        return rc;
    struct swim_member *m = calloc(1, sizeof *m);
    if (!m)
        return KV_E_NO_MEMORY;
    if ((rc = map_set(&s->by_id, id, m)) != 0) {
        free(m);
        return rc;
    }
    m->id = id;
    m->addr = *addr;
    m->belief.state = MEMBER_DEAD;
    if (alive) {
        swim_member_changing(s, m);
        m->belief.state = MEMBER_ALIVE;
    }
    swim_order_insert(alive ? &s->live : &s->absent, m);
    *out = m;
    return KV_OK;
}

int swim_member_add(struct swim *s, uint32_t id, const struct addr *addr, bool alive)
{
    struct swim_member *m = swim_member_find(s, id);
    if (!m) {
        int rc = create(s, id, addr, alive, &m);
        if (rc == 0 && !alive)
            swim_absent_hurry(s, m);
        return rc;
    }
    /* Where it lives it knows best itself: once it was heard, only it moves it. */
    if (m->belief.generation == 0 && !addr_eq(&m->addr, addr)) {
        swim_member_changing(s, m);
        m->addr = *addr;
    }
    return KV_OK;
}

void swim_member_remove(struct swim *s, struct swim_member *m)
{
    swim_suspicion_stop(s, m);
    swim_queue_drop(&s->queue, m);
    list_remove(&m->changed);
    swim_order_remove(m);
    map_remove(&s->by_id, m->id);
    free(m);
}
