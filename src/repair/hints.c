/* Hinted handoff: see hints.h. */
#include "base/assert.h"
#include "base/list.h"
#include "kv_error.h"
#include "model/id.h"
#include "repair/hints_internal.h"

#include <stdlib.h>

/* ---- life */

int hints_create(uint32_t self, uint64_t max_bytes, struct hints **out)
{
    struct hints *h = calloc(1, sizeof *h);
    if (!h)
        return KV_E_NO_MEMORY;
    h->self = self;
    h->max_bytes = max_bytes;
    h->recount.due_us = UINT64_MAX;
    map_init(&h->by_member);
    heap_init(&h->timers);
    *out = h;
    return KV_OK;
}

static void keeper_destroy(struct keeper *k)
{
    for (uint32_t i = 0; k->entries && i < HINTS_WINDOW; i++)
        buf_deinit(&k->entries[i].key);
    free(k->entries);
    buf_deinit(&k->after_key);
    free(k);
}

void hints_destroy(struct hints *h)
{
    if (!h)
        return;
    for (uint32_t i = 0; i < h->count; i++)
        keeper_destroy(h->keepers[i]);
    free(h->keepers);
    map_deinit(&h->by_member);
    heap_deinit(&h->timers);
    free(h);
}

static int keepers_grow(struct hints *h)
{
    if (h->count < h->cap)
        return KV_OK;
    uint32_t cap = h->cap ? 2 * h->cap : 16;
    if (cap > KEEPERS_MAX)
        return KV_E_NO_MEMORY;
    struct keeper **grown = realloc(h->keepers, cap * sizeof *grown);
    if (!grown)
        return KV_E_NO_MEMORY;
    h->keepers = grown;
    int rc = heap_reserve(&h->timers, cap);
    if (rc == KV_OK)
        h->cap = cap;
    return rc;
}

/* The member's keeper, made if need be. NULL: no memory. */
static struct keeper *keeper_of(struct hints *h, uint32_t member)
{
    struct keeper *k = map_get(&h->by_member, member);
    if (k)
        return k;
    k = keepers_grow(h) == KV_OK ? calloc(1, sizeof *k) : NULL;
    if (!k)
        return NULL;
    if (map_set(&h->by_member, member, k)) {
        free(k);
        return NULL;
    }
    k->member = member;
    k->index = h->count;
    h->keepers[h->count++] = k;
    return k;
}

/* ---- passes */

/* What is kept for a member that is out of the ring goes to others. What is kept for one that is given up
 * waits until the change is over: undone, it is a home as before; done, it is out of the ring. Whoever leaves
 * the ring itself keeps nothing back. */
static bool wanted(const struct hints *h, const struct keeper *k)
{
    if (k->count == 0 || k->blocked || !h->ring)
        return false;
    const struct member *m = ring_value_find(&h->ring->value, k->member);
    return h->leaving || !m || (k->reachable && !m->dead);
}

bool hints_reachable(const struct hints *h, uint32_t member)
{
    const struct keeper *k = map_get(&h->by_member, member);
    return k && k->reachable;
}

/* The heap has room for every keeper. */
static void wake(struct hints *h, struct keeper *k, uint64_t at_us)
{
    int rc = heap_set(&h->timers, &k->timer, at_us);
    KV_ASSERT(rc == KV_OK);
}

/* A pass that is due is begun by the tick. */
static void wake_if_wanted(struct hints *h, struct keeper *k, uint64_t at_us)
{
    if (k->state == PASS_NONE && wanted(h, k) && !heap_contains(&k->timer))
        wake(h, k, at_us);
}

/* Answers to the page at hand, if there still come any, are no longer meant. */
static void pass_stop(struct hints *h, struct keeper *k)
{
    for (uint32_t i = 0; k->open > 0 && i < HINTS_WINDOW; i++)
        k->entries[i].state = ENTRY_DONE;
    k->open = 0;
    k->page++;
    k->state = PASS_NONE;
    heap_remove(&h->timers, &k->timer);
}

/* Said once, and again when there are more. */
static void note_unreadable(struct keeper *k, struct outbox *out)
{
    if (k->found > k->unreadable)
        outbox_log(
            out, LOG_ERROR,
            "event=hints_unreadable member=%u rows=%u text=\"some of what is kept for it cannot be read from "
            "the disk; the others are handed over\"",
            k->member, k->found);
    if (k->found > k->unreadable || k->last_page)
        k->unreadable = k->found;
}

static void pass_end(struct hints *h, struct keeper *k, uint64_t now_us, struct outbox *out)
{
    bool clean = !k->failed && !k->blocked && !k->noted;
    bool again = k->failed || k->noted;
    note_unreadable(k, out);
    pass_stop(h, k);
    k->blocked = k->blocked && !again;
    if (clean) {
        KV_ASSERT(h->bytes >= k->bytes);
        h->bytes -= k->bytes;
        k->count = k->bytes = 0;
    }
    wake_if_wanted(h, k, now_us + HINTS_RETRY_US);
}

/* The keeper and the entry an id is about; NULL: it is over. */
static struct keeper *keeper_by_op(const struct hints *h, uint64_t op, uint32_t *entry)
{
    uint64_t serial = id_serial(op);
    uint64_t index = serial >> (PAGE_BITS + ENTRY_BITS);
    *entry = (uint32_t)serial & WHOLE_PAGE;
    if (id_owner(op) != ID_HINTS || index >= h->count)
        return NULL;
    struct keeper *k = h->keepers[index];
    return k->page == (uint32_t)(serial >> ENTRY_BITS) ? k : NULL;
}

/* There is no time limit on the store: it always answers. */
static void page_ask(struct hints *h, struct keeper *k, struct outbox *out)
{
    k->page++;
    k->state = PASS_READING;
    heap_remove(&h->timers, &k->timer);
    struct effect *e = outbox_add(out, EF_STORE_HINTS);
    e->op = hints_op(k, WHOLE_PAGE);
    e->hints.member = k->member;
    e->hints.after.token = k->after_token;
    e->hints.after.key = arena_copy(&out->arena, buf_bytes(&k->after_key));
    e->hints.limit = HINTS_WINDOW;
}

static void pass_begin(struct hints *h, struct keeper *k, uint64_t now_us, struct outbox *out)
{
    if (!k->entries)
        k->entries = calloc(HINTS_WINDOW, sizeof *k->entries);
    if (!k->entries) {
        wake(h, k, now_us + HINTS_RETRY_US);
        return;
    }
    k->failed = k->blocked = k->stopping = k->noted = k->last_page = false;
    k->found = 0;
    k->after_token = 0;
    buf_clear(&k->after_key);
    page_ask(h, k, out);
}

/* When the page's last entry is done. */
static void page_over(struct hints *h, struct keeper *k, uint64_t now_us, struct outbox *out)
{
    if (k->open > 0)
        return;
    if (k->stopping || k->last_page) {
        pass_end(h, k, now_us, out);
    } else if (now_us >= k->next_page_us) {
        page_ask(h, k, out);
    } else {
        k->state = PASS_PAUSED;
        wake(h, k, k->next_page_us);
    }
}

/* ---- events */

void hints_page(struct hints *h, struct now now, uint64_t hlc, const struct event *in, struct outbox *out)
{
    uint32_t entry;
    struct keeper *k = keeper_by_op(h, in->page.op, &entry);
    if (!k || entry != WHOLE_PAGE || k->state != PASS_READING)
        return;
    KV_ASSERT(in->page.count <= HINTS_WINDOW);
    k->state = PASS_SENDING;
    k->last_page = in->page.done;
    k->after_token = in->page.next.token;
    if (in->page.status != KV_OK || buf_set(&k->after_key, in->page.next.key))
        k->failed = k->stopping = true;
    k->found += in->page.status == KV_E_CORRUPT || in->page.status == KV_E_IO;
    k->page_bytes = 0;
    for (uint32_t i = 0; i < in->page.count && !k->stopping; i++)
        hints_entry_begin(h, k, i, &in->page.entries[i], hlc, out);
    k->next_page_us = now.mono_us + k->page_bytes * 1000000 / HINTS_RATE_BYTES;
    wake(h, k, now.mono_us + HINTS_ACK_TIMEOUT_US);
    page_over(h, k, now.mono_us, out);
}

/* A member without room is not asked for more in this pass; what it refuses for the row's own sake is left
 * behind. */
static bool has_no_room(int status)
{
    return status == KV_E_OVERLOADED || status == KV_E_FULL || status == KV_E_WRONG_RING;
}

void hints_acked(struct hints *h, struct now now, uint32_t member, const struct message *m,
                 struct outbox *out)
{
    uint32_t i;
    struct keeper *k = keeper_by_op(h, m->id, &i);
    if (m->type != MSG_WRITE_ACK || !k || k->state != PASS_SENDING || i >= HINTS_WINDOW)
        return;
    if (!hints_entry_acked(k, i, member, m->write_ack.status, out))
        return;
    k->stopping |= has_no_room(m->write_ack.status);
    page_over(h, k, now.mono_us, out);
}

static void forgotten(struct hints *h, struct keeper *k, const struct entry *e)
{
    uint64_t bytes = e->bytes < k->bytes ? e->bytes : k->bytes;
    h->handed_over += !e->purged;
    k->bytes -= bytes;
    h->bytes -= bytes;
    if (k->count > 1) /* the last one is counted down by the end of a pass that found nothing */
        k->count--;
}

void hints_written(struct hints *h, struct now now, const struct event *in, struct outbox *out)
{
    uint32_t i;
    struct keeper *k = keeper_by_op(h, in->written.op, &i);
    if (!k || k->state != PASS_SENDING || i >= HINTS_WINDOW || k->entries[i].state != ENTRY_FORGETTING)
        return;
    if (in->written.status == KV_OK)
        forgotten(h, k, &k->entries[i]);
    hints_entry_close(k, &k->entries[i], in->written.status != KV_OK);
    page_over(h, k, now.mono_us, out);
}

/* A pass is due, or a page may follow, or a page was not acknowledged in time. */
static void keeper_due(struct hints *h, struct keeper *k, uint64_t now_us, struct outbox *out)
{
    switch ((enum pass_state)k->state) {
    case PASS_NONE:
        heap_remove(&h->timers, &k->timer);
        if (wanted(h, k))
            pass_begin(h, k, now_us, out);
        break;
    case PASS_PAUSED: page_ask(h, k, out); break;
    case PASS_SENDING:
        k->failed = true;
        pass_end(h, k, now_us, out);
        break;
    case PASS_READING: KV_ASSERT(k->state != PASS_READING); break;
    }
}

void hints_tick(struct hints *h, struct now now, struct outbox *out)
{
    if (outbox_room(out) > OUT_MAX / 2)
        room_tick(h, now.mono_us, out);
    while (heap_deadline(&h->timers) <= now.mono_us && outbox_room(out) > OUT_MAX / 2)
        keeper_due(h, container_of(heap_first(&h->timers), struct keeper, timer), now.mono_us, out);
}

uint64_t hints_deadline_us(const struct hints *h)
{
    uint64_t passes_us = heap_deadline(&h->timers);
    return passes_us < h->recount.due_us ? passes_us : h->recount.due_us;
}

/* Under another ring the heirs are others, so passes begin anew. */
void hints_ring_set(struct hints *h, const struct ring *ring)
{
    const struct member *self = ring_value_find(&ring->value, h->self);
    h->ring = ring;
    h->leaving = self && self->weight == 0;
    for (uint32_t i = 0; i < h->count; i++) {
        pass_stop(h, h->keepers[i]);
        h->keepers[i]->blocked = false;
        wake_if_wanted(h, h->keepers[i], 0);
    }
}

/* Passes that waited for somebody to come back. One that is under way may have missed just him: it is
 * followed by another. */
static void unblock(struct hints *h, uint64_t now_us)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct keeper *k = h->keepers[i];
        if (k->state == PASS_NONE && k->blocked) {
            k->blocked = false;
            wake_if_wanted(h, k, now_us);
        } else if (k->state != PASS_NONE) {
            k->failed = true;
        }
    }
}

/* A member there is no memory for has no notes here; should it get some, the next loss and return helps. */
void hints_peer_set(struct hints *h, struct now now, uint32_t member, bool is_reachable)
{
    struct keeper *k = keeper_of(h, member);
    if (!k || k->reachable == is_reachable)
        return;
    k->reachable = is_reachable;
    if (!wanted(h, k))
        pass_stop(h, k);
    wake_if_wanted(h, k, now.mono_us);
    if (is_reachable)
        unblock(h, now.mono_us);
}

int hints_total_add(struct hints *h, uint32_t member, uint64_t count, uint64_t bytes)
{
    struct keeper *k = keeper_of(h, member);
    if (!k)
        return KV_E_NO_MEMORY;
    k->count += count;
    k->bytes += bytes;
    h->bytes += bytes;
    wake_if_wanted(h, k, 0);
    return KV_OK;
}

int hints_noted(struct hints *h, struct now now, uint32_t member, uint64_t bytes)
{
    struct keeper *k = keeper_of(h, member);
    if (!k)
        return KV_E_NO_MEMORY;
    k->count++;
    k->bytes += bytes;
    h->bytes += bytes;
    room_noted(h, k, now.mono_us, bytes);
    k->noted = true;
    if (k->state == PASS_NONE)
        k->blocked = false;
    wake_if_wanted(h, k, now.mono_us + HINTS_RETRY_US);
    return KV_OK;
}

uint64_t hints_waiting(const struct hints *h, uint32_t member)
{
    uint64_t waiting = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        if (member == 0 || h->keepers[i]->member == member)
            waiting += h->keepers[i]->count;
    }
    return waiting;
}

uint64_t hints_bytes(const struct hints *h)
{
    return h->bytes;
}

uint64_t hints_unreadable(const struct hints *h)
{
    uint64_t unreadable = 0;
    for (uint32_t i = 0; i < h->count; i++)
        unreadable += h->keepers[i]->unreadable;
    return unreadable;
}

uint64_t hints_handed_over(const struct hints *h)
{
    return h->handed_over;
}

void hints_check(const struct hints *h)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct keeper *k = h->keepers[i];
        uint32_t open = 0;
        for (uint32_t e = 0; k->entries && e < HINTS_WINDOW; e++)
            open += k->entries[e].state != ENTRY_DONE;
        KV_ASSERT(open == k->open && (open > 0) == (k->state == PASS_SENDING));
        KV_ASSERT(k->state == PASS_NONE || (k->entries && h->ring));
        KV_ASSERT(k->state == PASS_NONE || heap_contains(&k->timer) == (k->state != PASS_READING));
        KV_ASSERT(k->state != PASS_NONE || !wanted(h, k) || heap_contains(&k->timer));
        bytes += k->bytes;
    }
    KV_ASSERT(bytes == h->bytes);
    KV_ASSERT(!h->recount.asked || h->recount.due_us == UINT64_MAX);
}
