/* Which partitions may have dead rows. Only those that this node drives are marked: who drives a partition is
 * one of its homes, so every row of it passes here. */
#include "repair/purge_internal.h"

#include "model/key.h"

#include <stdlib.h>

#define DUE_NOW 1u

uint64_t mark_due_hlc(const struct row *row)
{
    uint64_t dead = row->flags & ROW_TOMBSTONE ? row->stamp.hlc : row->expires_hlc;
    uint64_t margin = hlc_from_ms(PURGE_MARGIN_MS);
    if (dead == 0)
        return 0;
    if (dead < row->stamp.hlc)
        dead = row->stamp.hlc; /* it may have been expired when it was written */
    return dead > UINT64_MAX - margin ? 0 : dead + margin;
}

static uint64_t ready_us(const struct purge_turn *t, const struct mark *m)
{
    uint64_t dead_us = turn_when_us(t, m->due_hlc);
    return dead_us > m->look_us ? dead_us : m->look_us;
}

/* A mark that is due earlier stays as it is: so a row that dies after the look that is due anyway does not
 * make that come sooner. */
void mark_set(struct purge *p, const struct purge_turn *t, uint32_t partition, uint64_t due_hlc)
{
    struct mark *m = &p->marks[partition];
    if (!m->driven || due_hlc == 0)
        return;
    struct mark alone = {.due_hlc = due_hlc, .look_us = t->now.mono_us + (p->config.interval_us << m->idle)};
    uint64_t at_us = ready_us(t, &alone);
    if (m->due_hlc == 0 || at_us < ready_us(t, m))
        m->look_us = at_us;
    if (m->due_hlc == 0 || due_hlc < m->due_hlc)
        m->due_hlc = due_hlc;
    purge_look(p, ready_us(t, m));
}

void mark_again(struct purge *p, const struct purge_turn *t, uint32_t partition)
{
    struct mark *m = &p->marks[partition];
    m->due_hlc = DUE_NOW;
    m->look_us = t->now.mono_us + (p->config.interval_us << m->idle);
    purge_look(p, m->look_us);
}

static int tables_make(struct purge *p)
{
    if (p->marks)
        return KV_OK;
    p->partitions = p->ring->value.partitions;
    p->driven = calloc(p->partitions, sizeof *p->driven);
    p->marks = calloc(p->partitions, sizeof *p->marks);
    return p->driven && p->marks ? KV_OK : KV_E_NO_MEMORY;
}

static bool drives(const struct purge *p, uint32_t partition)
{
    uint32_t members[PREFERENCE_MAX];
    return ring_preference(p->ring, partition, members) > 0 && members[0] == p->config.self;
}

/* What somebody else drove until now is not known: it is looked at once. */
static void mark_ring_set(struct purge *p, const struct purge_turn *t, uint32_t partition)
{
    struct mark *m = &p->marks[partition];
    if (m->looking)
        m->due_hlc = DUE_NOW;
    m->looking = false;
    if (!purge_stable(p))
        return;
    bool driven = drives(p, partition);
    if (driven && !m->driven) {
        uint64_t share_us = PURGE_SPREAD * p->config.interval_us / p->partitions * partition;
        *m = (struct mark){.due_hlc = DUE_NOW, .look_us = t->now.mono_us + p->config.interval_us + share_us};
    }
    m->driven = driven;
    if (driven)
        p->driven[p->driven_count++] = partition;
    else
        m->due_hlc = 0;
}

int marks_ring_set(struct purge *p, const struct purge_turn *t)
{
    int rc = tables_make(p);
    if (rc != KV_OK)
        return rc;
    if (purge_stable(p))
        p->driven_count = p->next_driven = 0;
    for (uint32_t i = 0; i < p->partitions; i++)
        mark_ring_set(p, t, i);
    purge_look(p, t->now.mono_us);
    return KV_OK;
}

/* In turn, so that one with dead rows without end does not keep the others from theirs. */
uint32_t marks_next(struct purge *p, const struct purge_turn *t)
{
    p->look_us = UINT64_MAX;
    for (uint32_t n = 0; n < p->driven_count; n++) {
        uint32_t i = (p->next_driven + n) % p->driven_count;
        struct mark *m = &p->marks[p->driven[i]];
        if (!m->looking && m->due_hlc == 0)
            continue;
        uint64_t at_us = m->looking ? 0 : ready_us(t, m);
        if (at_us > t->now.mono_us) {
            purge_look(p, at_us);
            continue;
        }
        if (!m->looking) {
            m->looking = true;
            m->resume_token = partition_first_token(p->driven[i], p->partitions);
            m->due_hlc = 0;
        }
        p->next_driven = (i + 1) % p->driven_count;
        return p->driven[i];
    }
    return UINT32_MAX;
}
