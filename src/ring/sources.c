/* Whom a partition is taken over from (DESIGN section 7, "Moving").
 *
 * What was acknowledged is at a majority of the n homes when it is, and after changes of n still at
 * n - majority + 1 of them: at least one of any majority, which is what reading relies on. A change has to
 * keep that. A new home reads the home whose slot it takes, so it has whatever that one had. Where that one
 * is given up, or there is none, it reads a majority of the homes before, and so has all that was
 * acknowledged.
 *
 * When a home goes and no other comes in its place (fewer members than N are left), one of those that have a
 * row may be the one that goes. Of an odd number of homes enough others have it: of 3, 2 have it, and 1 of
 * the 2 that stay is enough. Of an even number not: of 2, 1 may have it. So all that stay read the one that
 * goes. */
#include "ring/slots.h"

static uint32_t majority(uint32_t n)
{
    return n / 2 + 1;
}

bool ring_stay_takes_over(const struct ring *r)
{
    uint32_t before = 0, after = 0;
    for (uint32_t i = 0; r->pairs && i < r->twin_width; i++) {
        before += r->pairs[i].from != RING_NOBODY;
        after += r->pairs[i].to != RING_NOBODY;
    }
    return before > after && before % 2 == 0;
}

static void add(struct ring_sources *s, uint32_t member)
{
    s->members[s->count++] = member;
}

/* Of those that are not given up. A home before has its own rows without reading. */
static void read_majority(const struct ring *r, const struct ring_slot *slots, uint32_t count, uint32_t self,
                          struct ring_sources *out)
{
    uint32_t homes = 0, own = 0;
    *out = (struct ring_sources){0};
    for (uint32_t i = 0; i < count; i++) {
        if (slots[i].from == 0)
            continue;
        homes++;
        if (slots[i].from == self)
            own = 1;
        else if (!ring_value_find(&r->value, slots[i].from)->dead)
            add(out, slots[i].from);
    }
    out->needed = majority(homes) - own;
    out->lossy = out->needed > out->count;
    if (out->lossy)
        out->needed = out->count;
}

/* The homes before that it must read: of its slot, when it is new there; those that nobody succeeds, when all
 * have to. False: one of them is given up, or there is none. */
static bool read_each(const struct ring *r, const struct ring_slot *slots, uint32_t count, uint32_t self,
                      bool everybody, struct ring_sources *out)
{
    *out = (struct ring_sources){0};
    for (uint32_t i = 0; i < count; i++) {
        bool mine = slots[i].to == self && slots[i].from != self;
        if (!mine && !(everybody && slots[i].to == 0))
            continue;
        const struct member *from = ring_value_find(&r->value, slots[i].from);
        if (!from || from->dead)
            return false;
        add(out, from->id);
    }
    out->needed = out->count;
    return true;
}

bool ring_takes_over(const struct ring *r, uint32_t partition, uint32_t member, struct ring_sources *out)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(r, partition, slots), mine = 0;
    bool everybody = ring_stay_takes_over(r);
    while (mine < count && (member == 0 || slots[mine].to != member))
        mine++;
    if (mine == count || (slots[mine].from == member && !everybody))
        return false;
    if (!read_each(r, slots, count, member, everybody, out))
        read_majority(r, slots, count, member, out);
    return true;
}
