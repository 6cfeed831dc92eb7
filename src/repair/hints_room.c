/* How much is kept for others, and whether there is room for more: see hints.h. */
#include "base/assert.h"
#include "kv_error.h"
#include "model/id.h"
#include "repair/hints_internal.h"

#define REST_MIN_US UINT64_C(1000000)
#define REST_TIMES  9u /* as long as it took: counting has a tenth of the time at most */

static uint64_t room_left(const struct hints *h)
{
    return h->bytes < h->max_bytes ? h->max_bytes - h->bytes : 0;
}

/* Unless nothing was noted since the last time, which would find the same. */
static void want_count(struct hints *h, uint64_t now_us)
{
    struct recount *r = &h->recount;
    if (r->asked || r->noted_bytes == 0 || r->due_us != UINT64_MAX)
        return;
    r->due_us = now_us > r->rest_until_us ? now_us : r->rest_until_us;
}

bool hints_room(struct hints *h, struct now now, uint64_t bytes)
{
    if (bytes <= room_left(h))
        return true;
    want_count(h, now.mono_us);
    return false;
}

/* When half of the room that the last count left is used up, so that the next one is there before the rest
 * is. */
void room_noted(struct hints *h, struct keeper *k, uint64_t now_us, uint64_t bytes)
{
    k->bound_count++;
    k->bound_bytes += bytes;
    h->recount.noted_bytes += bytes;
    if (h->recount.noted_bytes >= room_left(h))
        want_count(h, now_us);
}

void room_tick(struct hints *h, uint64_t now_us, struct outbox *out)
{
    struct recount *r = &h->recount;
    if (r->due_us > now_us)
        return;
    outbox_add(out, EF_STORE_TOTALS)->op = id_make(ID_HINTS, 0);
    r->asked = true;
    r->asked_us = now_us;
    r->due_us = UINT64_MAX;
    r->before_bytes = r->noted_bytes;
    r->noted_bytes = 0;
    for (uint32_t i = 0; i < h->count; i++)
        h->keepers[i]->bound_count = h->keepers[i]->bound_bytes = 0;
}

/* Both bounds are true: what was kept when the store was asked, less what was handed over since; and what it
 * found, and what was noted since. */
static void take_bound(struct hints *h, struct keeper *k)
{
    if (k->bound_count < k->count)
        k->count = k->bound_count;
    if (k->bound_bytes >= k->bytes)
        return;
    h->bytes -= k->bytes - k->bound_bytes;
    k->bytes = k->bound_bytes;
}

void hints_counted(struct hints *h, struct now now, const struct event *in)
{
    struct recount *r = &h->recount;
    KV_ASSERT(r->asked);
    uint64_t rest_us = REST_TIMES * (now.mono_us - r->asked_us);
    r->asked = false;
    r->rest_until_us = now.mono_us + (rest_us > REST_MIN_US ? rest_us : REST_MIN_US);
    if (in->totals.status != KV_OK) {
        r->noted_bytes += r->before_bytes;
        return;
    }
    for (uint32_t i = 0; i < in->totals.count; i++) {
        const struct hint_total *t = &in->totals.members[i];
        struct keeper *k = map_get(&h->by_member, t->member);
        if (!k)
            continue;
        k->bound_count += t->count;
        k->bound_bytes += t->bytes;
    }
    for (uint32_t i = 0; i < h->count; i++)
        take_bound(h, h->keepers[i]);
}
