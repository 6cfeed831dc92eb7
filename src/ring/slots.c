/* Slots, twins and extras (see ring.h), from the lists of both sides of the change (side.h). */
#include "ring/slots.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "ring/side.h"

struct side {
    const struct ring_lists *lists;
    uint16_t index[MEMBERS_MAX]; /* of each of its members in the ring's value */
};

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint16_t listed(const struct side *s, uint32_t partition, uint32_t k)
{
    return s->index[s->lists->table[(size_t)partition * s->lists->width + k]];
}

static bool is_home(const struct side *s, uint32_t partition, uint16_t member)
{
    for (uint32_t k = 0; k < s->lists->homes; k++)
        if (listed(s, partition, k) == member)
            return true;
    return false;
}

/* ---- one partition --------------------------------------------------------------------------- */

/* The next home of `s` from *k on that is no home of `other`; RING_NOBODY behind the last. */
static uint16_t next_mover(const struct side *s, const struct side *other, uint32_t partition, uint32_t *k)
{
    while (*k < s->lists->homes) {
        uint16_t member = listed(s, partition, (*k)++);
        if (!is_home(other, partition, member))
            return member;
    }
    return RING_NOBODY;
}

static void pair(const struct ring *r, uint32_t partition, const struct side *before,
                 const struct side *after)
{
    struct ring_pair *pairs = r->pairs + (size_t)partition * r->twin_width;
    struct ring_pair alone[REPLICAS_MAX];
    uint32_t count = 0, alone_count = 0, mover = 0;
    for (uint32_t k = 0; k < before->lists->homes; k++) {
        uint16_t from = listed(before, partition, k);
        bool stays = is_home(after, partition, from);
        struct ring_pair p = {from, stays ? from : next_mover(after, before, partition, &mover)};
        if (p.to == RING_NOBODY)
            alone[alone_count++] = p;
        else
            pairs[count++] = p;
    }
    for (uint16_t to; (to = next_mover(after, before, partition, &mover)) != RING_NOBODY;)
        alone[alone_count++] = (struct ring_pair){RING_NOBODY, to};
    KV_ASSERT(count + alone_count == r->twin_width);
    memcpy(pairs + count, alone, alone_count * sizeof *alone);
}

static bool given_up(const struct ring *r, uint16_t member)
{
    return r->value.members[member].dead;
}

static void fill_homes(const struct ring *r, uint32_t partition)
{
    uint16_t *list = r->table + (size_t)partition * r->width;
    uint16_t *twins = r->twins + (size_t)partition * r->twin_width;
    const struct ring_pair *pairs = r->pairs + (size_t)partition * r->twin_width;
    for (uint32_t i = 0; i < r->twin_width; i++) {
        bool pending = r->value.phase == RING_PENDING;
        uint16_t read = pending ? pairs[i].from : pairs[i].to;
        uint16_t other = pending ? pairs[i].to : pairs[i].from;
        KV_ASSERT((read != RING_NOBODY) == (i < r->homes));
        if (i < r->homes)
            list[i] = read;
        bool twin = other != read && other != RING_NOBODY && !given_up(r, other);
        twins[i] = twin ? other : RING_NOBODY;
    }
}

static bool is_listed(const uint16_t *list, uint32_t count, uint16_t member)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == member)
            return true;
    return false;
}

/* Whoever comes may be gone when the change is undone, and whoever goes when it is done, with what it keeps
 * for others. */
static bool stays(const struct ring *r, uint16_t member)
{
    const struct member *m = &r->value.members[member];
    return m->old_weight > 0 && m->weight > 0 && !m->dead;
}

/* Of one side's list, who is behind its homes. Returns how many there are now. */
static uint32_t add_fallbacks(const struct ring *r, uint32_t partition, const struct side *s,
                              const struct side *other, uint32_t count)
{
    uint16_t *list = r->table + (size_t)partition * r->width;
    for (uint32_t k = s->lists->homes; k < s->lists->width && count < r->width; k++) {
        uint16_t member = listed(s, partition, k);
        if (!is_home(other, partition, member) && stays(r, member) && !is_listed(list, count, member))
            list[count++] = member;
    }
    return count;
}

/* In the order of the list after the change; where that has all members, nobody is left for the other. */
static void fill_fallbacks(const struct ring *r, uint32_t partition, const struct side *before,
                           const struct side *after)
{
    uint16_t *list = r->table + (size_t)partition * r->width;
    uint32_t count = add_fallbacks(r, partition, after, before, r->homes);
    if (after->lists->width < after->lists->of.member_count)
        count = add_fallbacks(r, partition, before, after, count);
    for (; count < r->width; count++)
        list[count] = RING_NOBODY;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int allocate(struct ring *r, const struct side *before, const struct side *after)
{
    uint32_t members = r->value.member_count, partitions = r->value.partitions;
    r->homes = r->value.phase == RING_PENDING ? before->lists->homes : after->lists->homes;
    r->width = members < PREFERENCE_MAX ? members : PREFERENCE_MAX;
    r->twin_width = max_u32(before->lists->homes, after->lists->homes);
    r->table = calloc((size_t)partitions * r->width, sizeof *r->table);
    r->twins = calloc((size_t)partitions * r->twin_width, sizeof *r->twins);
    r->pairs = calloc((size_t)partitions * r->twin_width, sizeof *r->pairs);
    r->owned = calloc(members, sizeof *r->owned);
    return r->table && r->twins && r->pairs && r->owned ? KV_OK : KV_E_NO_MEMORY;
}

int ring_pair_up(struct ring *r)
{
    KV_ASSERT(r->value.phase != RING_STABLE);
    struct side before = {.lists = r->before}, after = {.lists = r->after};
    ring_side_index(&r->value, true, before.index);
    ring_side_index(&r->value, false, after.index);
    int status = allocate(r, &before, &after);
    if (status != KV_OK)
        return status;
    for (uint32_t partition = 0; partition < r->value.partitions; partition++) {
        pair(r, partition, &before, &after);
        fill_homes(r, partition);
        fill_fallbacks(r, partition, &before, &after);
    }
    for (uint32_t i = 0; i < r->after->of.member_count; i++)
        r->owned[after.index[i]] = r->after->owned[i];
    return KV_OK;
}
