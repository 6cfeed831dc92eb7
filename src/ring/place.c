/* Placement: see place.h for the rules. Consistent hashing with bounded loads (Mirrokni, Thorup,
 * Zadimoghaddam 2018): the walk passes over members that are full.
 *
 * First every partition gets its first home, in order of their numbers, then every partition its second, and
 * so on. With fewer zones than homes, the homes that rule 2 demands are then placed before those that may be
 * anywhere; placed partition by partition, the latter fill up small zones. Other orders (rank by rank,
 * shuffled, by deferred acceptance) were measured: no more even, and as many rows move when a member joins.
 */
#include "ring/place.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "ring/cap.h"
#include "ring/circle.h"

#define NOBODY UINT32_MAX

struct placing {
    const struct ring_value *value;
    struct ring_lists *lists;
    struct ring_circle circle;
    struct ring_caps caps;

    /* The partition at hand. Its walk is followed only as far as somebody asks. A mark equal to `mark` says
     * that the member is on the walk, is a home; that the zone has a home. So nothing is cleared between
     * partitions. */
    uint32_t partition;
    uint32_t mark;
    uint32_t *walk; /* distinct members, nearest first */
    uint32_t walk_count;
    uint32_t steps; /* points passed */
    uint32_t zones_used;
    uint32_t *walk_mark;
    uint32_t *home_mark;
    uint32_t *zone_mark;
};

static uint16_t *list_of(const struct placing *p, uint32_t partition)
{
    return p->lists->table + (size_t)partition * p->lists->width;
}

static void mark_home(struct placing *p, uint32_t member)
{
    p->home_mark[member] = p->mark;
    uint32_t *zone_mark = &p->zone_mark[p->caps.zone_of[member]];
    p->zones_used += *zone_mark != p->mark;
    *zone_mark = p->mark;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* Takes up a partition whose first `placed` homes are in the table. */
static void begin(struct placing *p, uint32_t partition, uint32_t placed)
{
    p->partition = partition;
    p->mark++;
    p->walk_count = 0;
    p->steps = 0;
    p->zones_used = 0;
    for (uint32_t i = 0; i < placed; i++)
        mark_home(p, list_of(p, partition)[i]);
}

/* The k-th distinct member clockwise from the partition's first token; NOBODY past the last. */
static uint32_t walk_at(struct placing *p, uint32_t k)
{
    const struct ring_circle *c = &p->circle;
    while (p->walk_count <= k && p->steps < c->count) {
        uint32_t at = c->first[p->partition] + p->steps++;
        uint32_t member = c->points[at < c->count ? at : at - c->count].member;
        if (p->walk_mark[member] == p->mark)
            continue;
        p->walk_mark[member] = p->mark;
        p->walk[p->walk_count++] = member;
        if (p->walk_count == p->value->member_count)
            p->steps = c->count;
    }
    return k < p->walk_count ? p->walk[k] : NOBODY;
}

/* ---- homes ----------------------------------------------------------------------------------- */

static bool may_be_home(const struct placing *p, uint32_t member)
{
    if (p->home_mark[member] == p->mark)
        return false;
    bool all_zones_used = p->zones_used == p->caps.zone_count;
    return all_zones_used || p->zone_mark[p->caps.zone_of[member]] != p->mark;
}

/* `whole`: only of those whom rule 3 speaks of. */
static uint32_t first_below_cap(struct placing *p, bool whole)
{
    for (uint32_t k = 0;; k++) {
        uint32_t member = walk_at(p, k);
        if (member == NOBODY)
            return NOBODY;
        if (may_be_home(p, member) && p->lists->owned[member] < p->caps.cap[member] &&
            (!whole || p->caps.whole[member]))
            return member;
    }
}

/* In proportion to the cap; of equals, who is first on the walk. */
static uint32_t least_above_cap(struct placing *p)
{
    const uint32_t *load = p->lists->owned;
    const uint32_t *cap = p->caps.cap;
    uint32_t best = NOBODY;
    for (uint32_t k = 0;; k++) {
        uint32_t member = walk_at(p, k);
        if (member == NOBODY)
            return best;
        if (may_be_home(p, member) &&
            (best == NOBODY || (uint64_t)load[member] * cap[best] < (uint64_t)load[best] * cap[member]))
            best = member;
    }
}

static void place_home(struct placing *p, uint32_t partition, uint32_t slot)
{
    begin(p, partition, slot);
    uint32_t member = p->caps.any_whole ? first_below_cap(p, true) : NOBODY;
    if (member == NOBODY)
        member = first_below_cap(p, false);
    if (member == NOBODY)
        member = least_above_cap(p);
    KV_ASSERT(member != NOBODY);
    list_of(p, partition)[slot] = (uint16_t)member;
    p->lists->owned[member]++;
}

/* Puts the homes into the order of the walk, and behind them whoever else is first on it, those included whom
 * the cap has passed over. */
static void order_list(struct placing *p, uint32_t partition)
{
    uint32_t home = 0, fallback = p->lists->homes;
    begin(p, partition, p->lists->homes);
    for (uint32_t k = 0; home < p->lists->homes || fallback < p->lists->width; k++) {
        uint32_t member = walk_at(p, k);
        KV_ASSERT(member != NOBODY);
        if (p->home_mark[member] == p->mark)
            list_of(p, partition)[home++] = (uint16_t)member;
        else if (fallback < p->lists->width)
            list_of(p, partition)[fallback++] = (uint16_t)member;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int placing_init(struct placing *p, const struct ring_value *value, struct ring_lists *lists)
{
    *p = (struct placing){.value = value, .lists = lists};
    uint32_t count = value->member_count;
    p->walk = calloc(count, sizeof *p->walk);
    p->walk_mark = calloc(count, sizeof *p->walk_mark);
    p->home_mark = calloc(count, sizeof *p->home_mark);
    p->zone_mark = calloc(count, sizeof *p->zone_mark); /* no more zones than members */
    if (!p->walk || !p->walk_mark || !p->home_mark || !p->zone_mark)
        return KV_E_NO_MEMORY;
    int status = ring_circle_init(&p->circle, value);
    return status == KV_OK ? ring_caps_init(&p->caps, value, lists->homes) : status;
}

static void placing_deinit(struct placing *p)
{
    ring_caps_deinit(&p->caps);
    ring_circle_deinit(&p->circle);
    free(p->walk);
    free(p->walk_mark);
    free(p->home_mark);
    free(p->zone_mark);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

int ring_place(const struct ring_value *value, struct ring_lists *out)
{
    *out = (struct ring_lists){
        .homes = min_u32(value->replicas, value->member_count),
        .width = min_u32(PREFERENCE_MAX, value->member_count),
    };
    out->table = calloc((size_t)value->partitions * out->width, sizeof *out->table);
    out->owned = calloc(value->member_count, sizeof *out->owned);
    if (!out->table || !out->owned)
        return KV_E_NO_MEMORY;
    struct placing p;
    int status = placing_init(&p, value, out);
    if (status != KV_OK)
        goto out;
    for (uint32_t slot = 0; slot < out->homes; slot++)
        for (uint32_t partition = 0; partition < value->partitions; partition++)
            place_home(&p, partition, slot);
    for (uint32_t partition = 0; partition < value->partitions; partition++)
        order_list(&p, partition);
out:
    placing_deinit(&p);
    return status;
}

void ring_lists_deinit(struct ring_lists *l)
{
    free(l->table);
    free(l->owned);
    *l = (struct ring_lists){0};
}
