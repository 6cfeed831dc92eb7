/* What is to be piggy-backed (SWIM section 4.1). An update is told a limited number of times by each
 * member, which is enough for an epidemic; the least told goes first, so that news is not held up by what
 * is known already. A newer belief about the same member replaces the older: there is one entry for each
 * member. */
#include <math.h>

#include "base/assert.h"
#include "swim/internal.h"

void swim_queue_init(struct swim_queue *q)
{
    for (uint32_t i = 0; i < SWIM_TRANSMITS_MAX; i++)
        list_init(&q->by_transmits[i]);
    q->count = 0;
}

void swim_queue_drop(struct swim_queue *q, struct swim_member *m)
{
    if (!list_linked(&m->queued))
        return;
    list_remove(&m->queued);
    q->count--;
}

void swim_queue_push(struct swim_queue *q, struct swim_member *m)
{
    swim_queue_drop(q, m);
    m->transmits = 0;
    list_push_front(&q->by_transmits[0], &m->queued);
    q->count++;
}

uint32_t swim_queue_peek(const struct swim_queue *q, uint32_t max, struct swim_member *out[])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SWIM_TRANSMITS_MAX && count < max; i++) {
        const struct list *head = &q->by_transmits[i];
        for (struct list *it = head->next; it != head && count < max; it = it->next)
            out[count++] = container_of(it, struct swim_member, queued);
    }
    return count;
}

void swim_queue_sent(struct swim_queue *q, struct swim_member *m, uint32_t limit)
{
    KV_ASSERT(list_linked(&m->queued) && limit <= SWIM_TRANSMITS_MAX);
    list_remove(&m->queued);
    if (++m->transmits < limit)
        list_push_back(&q->by_transmits[m->transmits], &m->queued);
    else
        q->count--;
}

uint32_t swim_retransmit_limit(uint32_t mult, uint32_t live)
{
    double limit = mult * ceil(log10((double)live + 1));
    return limit < SWIM_TRANSMITS_MAX ? (uint32_t)limit : SWIM_TRANSMITS_MAX;
}
