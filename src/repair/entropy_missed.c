/* What an operator's order has not compared and will not: with whom, which partitions, and why. */
#include "repair/entropy_internal.h"

void missed_reset(struct entropy *e)
{
    e->missed_count = 0;
    e->counters.repair_missed = 0;
}

/* Those there is no place for are counted only. */
static struct entropy_missed *missed_of(struct entropy *e, uint32_t member, int status)
{
    for (uint32_t i = 0; i < e->missed_count; i++)
        if (e->missed[i].member == member && e->missed[i].status == status)
            return &e->missed[i];
    if (e->missed_count == ENTROPY_MISSED_MAX)
        return NULL;
    struct entropy_missed *m = &e->missed[e->missed_count++];
    *m = (struct entropy_missed){.member = member, .status = status, .first = UINT32_MAX};
    return m;
}

void missed_add(struct entropy *e, uint32_t partition, uint32_t member, int status)
{
    struct entropy_missed *m = missed_of(e, member, status);
    e->counters.repair_missed++;
    if (!m)
        return;
    m->partitions++;
    m->first = partition < m->first ? partition : m->first;
}

void missed_trees(struct entropy *e, uint64_t trees, uint32_t member, int status)
{
    for (; trees; trees &= trees - 1) {
        const struct tree *tree = &e->slice.trees[__builtin_ctzll(trees)];
        if (tree->ordered)
            missed_add(e, tree->partition, member, status);
    }
}

uint32_t entropy_missed(const struct entropy *e, const struct entropy_missed **out)
{
    *out = e->missed;
    return e->missed_count;
}
