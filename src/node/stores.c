/* Stores that come back older than they were (DESIGN section 7): a restored backup has forgotten what it
 * acknowledged, promised and accepted, and must not speak for it.
 *
 * Acknowledgements carry the durable sequence of their store, HELLO and WELCOME the one with which a life
 * began. A life that begins below what an earlier one acknowledged, or in a generation that is over, is not
 * of that store. Acknowledgements count only for the life that has introduced itself, since one of the next
 * may overtake its HELLO.
 *
 * It is kept in META_STORES, written at most once in STORES_WRITE_US: what a crash here forgets makes the
 * check weaker by that much, never wrong. */
#include "base/mutant.h"
#include "node/internal.h"

#include <stdlib.h>

#define STORES_WRITE_US UINT64_C(1000000)
#define STORES_VERSION  1u
#define SEEN_BYTES      32u

/* ---- the table, in order of appearance */

static struct store_seen *find(const struct stores *s, uint64_t store_id)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->items[i].store_id == store_id)
            return &s->items[i];
    return NULL;
}

/* NULL: no memory. */
static struct store_seen *find_or_add(struct stores *s, uint64_t store_id)
{
    struct store_seen *it = find(s, store_id);
    if (it)
        return it;
    if (s->count == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 8;
        struct store_seen *items = realloc(s->items, cap * sizeof *items);
        if (!items)
            return NULL;
        s->items = items;
        s->cap = cap;
    }
    it = &s->items[s->count++];
    *it = (struct store_seen){.store_id = store_id};
    return it;
}

/* ---- what is heard */

static void changed(struct node *n)
{
    struct stores *s = &n->stores;
    if (s->due_us == UINT64_MAX)
        s->due_us = n->now.mono_us < s->written_us + STORES_WRITE_US ? s->written_us + STORES_WRITE_US
                                                                     : n->now.mono_us;
}

bool stores_began(struct node *n, uint64_t store_id, uint64_t generation, uint64_t sequence)
{
    struct store_seen *it = find_or_add(&n->stores, store_id);
    if (!it)
        return true; /* no memory: it is believed, as one that was never seen */
    if (generation < it->generation || (generation == it->generation && sequence < it->began) ||
        (generation > it->generation && sequence < it->newest))
        return MUTANT(restored_votes, false, true);
    if (generation == it->generation && sequence == it->began)
        return true;
    it->generation = generation;
    it->began = sequence;
    it->newest = sequence > it->newest ? sequence : it->newest;
    changed(n);
    return true;
}

void stores_acknowledged(struct node *n, const struct peer *p, uint64_t sequence)
{
    struct store_seen *it = find(&n->stores, p->store_id);
    if (!it || it->generation != p->generation || sequence <= it->newest)
        return;
    it->newest = sequence;
    changed(n);
}

/* Those of members only: the table is as large as the ring at most. */
void stores_ring_changed(struct node *n)
{
    struct stores *s = &n->stores;
    const struct ring_value *v = &n->ring->value;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        bool member = false;
        for (uint32_t k = 0; k < v->member_count && !member; k++)
            member = v->members[k].store_id == s->items[i].store_id;
        if (member)
            s->items[kept++] = s->items[i];
    }
    s->count = kept;
}

/* ---- on disk: version | {store id, generation, began, newest}..., all big-endian */

static void write_all(struct node *n)
{
    struct stores *s = &n->stores;
    size_t len = 1 + (size_t)s->count * SEEN_BYTES;
    uint8_t *data = arena_alloc(&n->out->arena, len);
    s->due_us = UINT64_MAX;
    s->written_us = n->now.mono_us;
    if (!data)
        return;
    uint8_t *p = data;
    *p++ = STORES_VERSION;
    for (uint32_t i = 0; i < s->count; i++, p += SEEN_BYTES) {
        be64_put(p, s->items[i].store_id);
        be64_put(p + 8, s->items[i].generation);
        be64_put(p + 16, s->items[i].began);
        be64_put(p + 24, s->items[i].newest);
    }
    struct effect *e = outbox_add(n->out, EF_STORE_META);
    e->op = id_make(ID_NODE, OP_STORES);
    e->meta.name = META_STORES;
    e->meta.value = bytes_of(data, len);
}

int stores_restore(struct node *n, struct bytes in)
{
    uint8_t version;
    if (in.len == 0)
        return KV_OK;
    if (bytes_take_byte(&in, &version) != KV_OK || version != STORES_VERSION || in.len % SEEN_BYTES != 0)
        return KV_E_CORRUPT;
    for (; in.len; in = bytes_of(in.data + SEEN_BYTES, in.len - SEEN_BYTES)) {
        struct store_seen *it = find_or_add(&n->stores, be64_get(in.data));
        if (!it)
            return KV_E_NO_MEMORY;
        it->generation = be64_get(in.data + 8);
        it->began = be64_get(in.data + 16);
        it->newest = be64_get(in.data + 24);
    }
    return KV_OK;
}

void stores_tick(struct node *n)
{
    if (n->stores.due_us <= n->now.mono_us)
        write_all(n);
}

uint64_t stores_deadline_us(const struct node *n)
{
    return n->stores.due_us;
}

void stores_deinit(struct node *n)
{
    free(n->stores.items);
}
