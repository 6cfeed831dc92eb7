/* Placement: see place.h for the rules. Consistent hashing with bounded loads (Mirrokni, Thorup,
 * Zadimoghaddam 2018): the walk passes over members that are full.
 *
 * First every partition gets its first home, in order of their numbers, then every partition its second, and
 * so on. With fewer zones than homes, the homes that rule 2 demands are then placed before those that may be
 * anywhere; placed partition by partition, the latter fill up small zones. Other orders (rank by rank,
 * shuffled, by deferred acceptance) were measured: no more even, and as many rows move when a member joins.
 *
 * Every node and client computes this whenever the ring changes, all of them at once, so it has to be quick:
 * the beginnings of all walks are found in one pass over the circle (fill_heads), and a partition's circle is
 * walked only where all members at the head of its walk are passed over. */
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

    uint16_t *heads; /* partitions x lists->width: the first distinct members of each walk */

    /* The partition at hand, and how many homes it has so far. */
    uint32_t partition;
    uint32_t placed;
    uint32_t *walk; /* distinct members, nearest first; followed only when more than the head is asked for */
    uint32_t *walk_mark; /* equal to `mark`: the member is on it. So nothing is cleared between partitions */
    uint32_t mark;
    uint32_t walk_count;
    uint32_t steps; /* points passed */
};

static uint16_t *list_of(const struct placing *p, uint32_t partition)
{
    return p->lists->table + (size_t)partition * p->lists->width;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* Takes up a partition whose first `placed` homes are in the table. */
static void begin(struct placing *p, uint32_t partition, uint32_t placed)
{
    p->partition = partition;
    p->placed = placed;
    p->mark++;
    p->walk_count = 0;
    p->steps = 0;
}

/* Past the head. */
static uint32_t walk_on(struct placing *p, uint32_t k)
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

/* The k-th distinct member clockwise from the partition's first token; NOBODY past the last. */
static inline uint32_t walk_at(struct placing *p, uint32_t k)
{
    uint32_t width = p->lists->width;
    return k < width ? p->heads[(size_t)p->partition * width + k] : walk_on(p, k);
}

static void move_to_front(uint16_t *head, uint32_t width, uint16_t member)
{
    uint16_t carried = member;
    for (uint32_t i = 0; i < width; i++) {
        uint16_t here = head[i];
        head[i] = carried;
        if (here == member)
            return;
        carried = here;
    }
}

/* A partition's walk is that of the next one with its own points put before it, the last of them first: each
 * moves its member to the front. Behind the last partition the circle begins anew; where that walk leads is
 * known after one turn. */
static void fill_heads(struct placing *p)
{
    const struct ring_circle *c = &p->circle;
    uint32_t width = p->lists->width;
    uint16_t head[PREFERENCE_MAX];
    memset(head, 0xff, sizeof head); /* nobody's */
    for (uint32_t i = c->count; i-- > 0;)
        move_to_front(head, width, (uint16_t)c->points[i].member);
    KV_ASSERT(head[width - 1] != UINT16_MAX); /* so many have points */
    for (uint32_t partition = p->value->partitions; partition-- > 0;) {
        for (uint32_t i = c->first[partition + 1]; i-- > c->first[partition];)
            move_to_front(head, width, (uint16_t)c->points[i].member);
        memcpy(p->heads + (size_t)partition * width, head, width * sizeof *head);
    }
}

/* ---- homes ----------------------------------------------------------------------------------- */

static bool is_home(const uint16_t *homes, uint32_t count, uint32_t member)
{
    for (uint32_t i = 0; i < count; i++)
        if (homes[i] == member)
            return true;
    return false;
}

/* A home is in a zone that has none yet, until all have: so many zones are used as there are homes. */
static bool may_be_home(const struct placing *p, uint32_t member)
{
    const uint16_t *homes = list_of(p, p->partition);
    if (p->placed >= p->caps.zone_count)
        return !is_home(homes, p->placed, member);
    for (uint32_t i = 0; i < p->placed; i++)
        if (p->caps.zone_of[homes[i]] == p->caps.zone_of[member])
            return false;
    return true;
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
    uint16_t *list = list_of(p, partition), homes[REPLICAS_MAX];
    uint32_t count = p->lists->homes, home = 0, fallback = count;
    memcpy(homes, list, count * sizeof *homes);
    begin(p, partition, count);
    for (uint32_t k = 0; home < count || fallback < p->lists->width; k++) {
        uint32_t member = walk_at(p, k);
        KV_ASSERT(member != NOBODY);
        if (is_home(homes, count, member))
            list[home++] = (uint16_t)member;
        else if (fallback < p->lists->width)
            list[fallback++] = (uint16_t)member;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int placing_init(struct placing *p, const struct ring_value *value, struct ring_lists *lists)
{
    *p = (struct placing){.value = value, .lists = lists};
    uint32_t count = value->member_count;
    p->heads = calloc((size_t)value->partitions * lists->width, sizeof *p->heads);
    p->walk = calloc(count, sizeof *p->walk);
    p->walk_mark = calloc(count, sizeof *p->walk_mark);
    if (!p->heads || !p->walk || !p->walk_mark)
        return KV_E_NO_MEMORY;
    int status = ring_circle_init(&p->circle, value);
    if (status == KV_OK)
        fill_heads(p);
    return status == KV_OK ? ring_caps_init(&p->caps, value, lists->homes) : status;
}

static void placing_deinit(struct placing *p)
{
    ring_caps_deinit(&p->caps);
    ring_circle_deinit(&p->circle);
    free(p->heads);
    free(p->walk);
    free(p->walk_mark);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static int place_all(struct ring_lists *l)
{
    const struct ring_value *value = &l->of;
    l->homes = min_u32(value->replicas, value->member_count);
    l->width = min_u32(PREFERENCE_MAX, value->member_count);
    l->table = calloc((size_t)value->partitions * l->width, sizeof *l->table);
    l->owned = calloc(value->member_count, sizeof *l->owned);
    if (!l->table || !l->owned)
        return KV_E_NO_MEMORY;
    struct placing p;
    int status = placing_init(&p, value, l);
    if (status != KV_OK)
        goto out;
    for (uint32_t slot = 0; slot < l->homes; slot++)
        for (uint32_t partition = 0; partition < value->partitions; partition++)
            place_home(&p, partition, slot);
    for (uint32_t partition = 0; partition < value->partitions; partition++)
        order_list(&p, partition);
out:
    placing_deinit(&p);
    return status;
}

int ring_lists_create(struct ring_value *of, struct ring_lists **out)
{
    *out = NULL;
    struct ring_lists *l = calloc(1, sizeof *l);
    if (!l) {
        ring_value_deinit(of);
        return KV_E_NO_MEMORY;
    }
    l->users = 1;
    l->of = *of;
    int status = place_all(l);
    if (status == KV_OK)
        *out = l;
    else
        ring_lists_release(l);
    return status;
}

bool ring_lists_fit(const struct ring_lists *l, const struct ring_value *of)
{
    if (l->of.partitions != of->partitions || l->of.replicas != of->replicas ||
        l->of.member_count != of->member_count)
        return false;
    for (uint32_t i = 0; i < of->member_count; i++) {
        const struct member *a = &l->of.members[i], *b = &of->members[i];
        if (a->id != b->id || a->weight != b->weight || strcmp(a->zone, b->zone) != 0)
            return false;
    }
    return true;
}

struct ring_lists *ring_lists_share(struct ring_lists *l)
{
    l->users++;
    return l;
}

void ring_lists_release(struct ring_lists *l)
{
    if (!l || --l->users > 0)
        return;
    ring_value_deinit(&l->of);
    free(l->table);
    free(l->owned);
    free(l);
}
