/* Hinted handoff: see hints.h. */
#include "base/mutant.h"
#include "repair/hints.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "kv_error.h"
#include "model/id.h"
#include "model/key.h"
#include "repair/heirs.h"

#include <stdlib.h>

/* The serial of an id: whose notes, which page of them, which entry of it. */
#define ENTRY_BITS  8u
#define PAGE_BITS   32u
#define KEEPERS_MAX (1u << (ID_SERIAL_BITS - PAGE_BITS - ENTRY_BITS))
#define WHOLE_PAGE  ((1u << ENTRY_BITS) - 1) /* the entry of the page's own operation */
_Static_assert(HINTS_WINDOW < WHOLE_PAGE, "an entry's index fits its bits");

enum entry_state {
    ENTRY_DONE,       /* or unused */
    ENTRY_SENT,       /* the row is on its way to its heirs */
    ENTRY_FORGETTING, /* it is there; the note is being deleted */
};

/* One note of the page at hand. */
struct entry {
    uint8_t state; /* enum entry_state */
    bool purged;   /* there is no row any more: only the note is to go */
    bool drop_row; /* this node is no home of the key */
    bool missed;   /* an heir could not be reached: the note stays */
    uint8_t heir_count;
    uint16_t waiting; /* for these of them, by index */
    uint32_t heirs[HOLDERS_MAX];
    struct buf key;
    struct stamp stamp; /* of the row; purged: of the note */
    uint64_t bytes;
};

enum pass_state {
    PASS_NONE,
    PASS_READING, /* the store was asked for a page */
    PASS_SENDING, /* entries are open */
    PASS_PAUSED,  /* the page is finished; the next would be above the rate now */
};

/* What is kept for one member. */
struct keeper {
    struct heap_node timer;
    uint32_t index; /* in hints.keepers */
    uint32_t member;
    bool reachable;
    uint64_t count, bytes;
    uint8_t state;       /* enum pass_state */
    bool failed;         /* a note of this pass stays */
    bool blocked;        /* ... because an heir cannot be reached: no further pass until somebody is back */
    bool stopping;       /* no further page in this pass */
    bool noted;          /* a note was added since the pass began */
    bool last_page;      /* the page at hand is the pass's last */
    uint32_t page;       /* serial of the page at hand */
    uint32_t open;       /* entries that are not done */
    uint64_t page_bytes; /* sent of it */
    uint64_t next_page_us;
    struct buf after_key;
    uint64_t after_token;
    struct entry *entries; /* HINTS_WINDOW of them, allocated for the first pass and kept */
};

struct hints {
    uint32_t self;
    const struct ring *ring; /* NULL: none yet */
    struct map by_member;
    struct keeper **keepers;
    uint32_t count, cap;
    struct heap timers;
    uint64_t bytes;
    uint64_t handed_over;
};

/* ---- life */

int hints_create(uint32_t self, struct hints **out)
{
    struct hints *h = calloc(1, sizeof *h);
    if (!h)
        return KV_E_NO_MEMORY;
    h->self = self;
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
    h->cap = cap;
    return heap_reserve(&h->timers, cap);
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
 * waits until the change is over: undone, it is a home as before; done, it is out of the ring. */
static bool wanted(const struct hints *h, const struct keeper *k)
{
    if (k->count == 0 || k->blocked || !h->ring)
        return false;
    const struct member *m = ring_value_find(&h->ring->value, k->member);
    return m ? k->reachable && !m->dead : true;
}

static bool reachable(const struct hints *h, uint32_t member)
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

static void pass_end(struct hints *h, struct keeper *k, uint64_t now_us)
{
    bool clean = !k->failed && !k->blocked && !k->noted;
    bool again = k->failed || k->noted;
    pass_stop(h, k);
    k->blocked = k->blocked && !again;
    if (clean) {
        KV_ASSERT(h->bytes >= k->bytes);
        h->bytes -= k->bytes;
        k->count = k->bytes = 0;
    }
    wake_if_wanted(h, k, now_us + HINTS_RETRY_US);
}

static uint64_t op_of(const struct keeper *k, uint32_t entry)
{
    uint64_t serial = ((uint64_t)k->index << PAGE_BITS | k->page) << ENTRY_BITS | entry;
    return id_make(ID_HINTS, serial);
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
    e->op = op_of(k, WHOLE_PAGE);
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
        pass_end(h, k, now_us);
    } else if (now_us >= k->next_page_us) {
        page_ask(h, k, out);
    } else {
        k->state = PASS_PAUSED;
        wake(h, k, k->next_page_us);
    }
}

/* ---- entries */

static void entry_close(struct keeper *k, struct entry *e, bool failed)
{
    KV_ASSERT(e->state != ENTRY_DONE && k->open > 0);
    e->state = ENTRY_DONE;
    k->open--;
    k->failed |= failed;
}

static void entry_forget(struct keeper *k, uint32_t i, struct outbox *out)
{
    struct entry *e = &k->entries[i];
    struct bytes key = arena_copy(&out->arena, buf_bytes(&e->key));
    e->state = ENTRY_FORGETTING;
    if (key.len != e->key.len) {
        entry_close(k, e, true);
        return;
    }
    struct effect *f = outbox_add(out, EF_STORE_HINT_DONE);
    f->op = op_of(k, i);
    f->hint_done.member = k->member;
    f->hint_done.key = key;
    f->hint_done.stamp = e->stamp;
    f->hint_done.drop_row = e->drop_row;
}

/* All heirs that could be reached have it. */
static void entry_handed_over(struct keeper *k, uint32_t i, struct outbox *out)
{
    k->blocked |= k->entries[i].missed;
    if (k->entries[i].missed)
        entry_close(k, &k->entries[i], false);
    else
        entry_forget(k, i, out);
}

/* To its heirs, each of which has it from this message or not at all; this node has it. */
static void entry_send(const struct hints *h, struct keeper *k, uint32_t i, const struct row *row,
                       uint64_t hlc, struct outbox *out)
{
    struct entry *e = &k->entries[i];
    struct bytes key = arena_copy(&out->arena, buf_bytes(&e->key));
    e->state = ENTRY_SENT;
    if (key.len != e->key.len) {
        entry_close(k, e, true);
        return;
    }
    for (uint32_t at = 0; at < e->heir_count; at++) {
        if (e->heirs[at] == h->self)
            continue;
        if (!reachable(h, e->heirs[at])) {
            e->missed = true;
            continue;
        }
        e->waiting |= (uint16_t)(1u << at);
        struct message *m = outbox_send(out, to_peer(e->heirs[at]), MSG_WRITE, op_of(k, i));
        m->write.key = key;
        m->write.row = row_ref(row);
        m->write.began_hlc = hlc;
        m->write.flags = WRITE_HANDOFF;
        k->page_bytes += e->bytes;
    }
    if (!e->waiting)
        entry_handed_over(k, i, out);
}

/* The row is never older than its note. Were it, the note could not be met: then it goes with what there is,
 * and the row stays. */
static void entry_begin(const struct hints *h, struct keeper *k, uint32_t i, const struct page_entry *p,
                        uint64_t hlc, struct outbox *out)
{
    struct entry *e = &k->entries[i];
    uint32_t partition = ring_partition(h->ring, key_token(p->key));
    bool current = stamp_cmp(p->row.stamp, p->hint) >= 0;
    if (buf_set(&e->key, p->key)) {
        k->failed = true;
        return;
    }
    e->purged = row_is_absent(&p->row);
    e->drop_row = !e->purged && current && !ring_is_home(h->ring, partition, h->self);
    e->stamp = current ? p->row.stamp : p->hint;
    e->bytes = p->key.len + blob_bytes(p->row.payload).len;
    e->missed = false;
    e->waiting = 0;
    e->heir_count = (uint8_t)heirs_of(h->ring, partition, k->member, e->heirs);
    k->open++;
    if (e->purged)
        entry_forget(k, i, out);
    else
        entry_send(h, k, i, &p->row, hlc, out);
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
    k->page_bytes = 0;
    for (uint32_t i = 0; i < in->page.count && !k->stopping; i++)
        entry_begin(h, k, i, &in->page.entries[i], hlc, out);
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

/* Whether this heir's word is waited for; it is not any more. */
static bool take_word(struct entry *e, uint32_t member)
{
    for (uint32_t at = 0; at < e->heir_count; at++) {
        if (e->heirs[at] != member)
            continue;
        bool waiting = e->waiting & (1u << at);
        e->waiting &= (uint16_t) ~(1u << at);
        return waiting;
    }
    return false;
}

void hints_acked(struct hints *h, struct now now, uint32_t member, const struct message *m,
                 struct outbox *out)
{
    uint32_t i;
    struct keeper *k = keeper_by_op(h, m->id, &i);
    if (m->type != MSG_WRITE_ACK || !k || k->state != PASS_SENDING || i >= HINTS_WINDOW ||
        k->entries[i].state != ENTRY_SENT || !take_word(&k->entries[i], member))
        return;
    struct entry *e = &k->entries[i];
    int status = m->write_ack.status;
    k->stopping |= has_no_room(status);
    if (MUTANT(handoff_refused, status != KV_OK, false))
        entry_close(k, e, true);
    else if (!e->waiting)
        entry_handed_over(k, i, out);
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
    entry_close(k, &k->entries[i], in->written.status != KV_OK);
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
        pass_end(h, k, now_us);
        break;
    case PASS_READING: KV_ASSERT(k->state != PASS_READING); break;
    }
}

void hints_tick(struct hints *h, struct now now, struct outbox *out)
{
    while (heap_deadline(&h->timers) <= now.mono_us && outbox_room(out) > OUT_MAX / 2)
        keeper_due(h, container_of(heap_first(&h->timers), struct keeper, timer), now.mono_us, out);
}

uint64_t hints_deadline_us(const struct hints *h)
{
    return heap_deadline(&h->timers);
}

/* Under another ring the heirs are others, so passes begin anew. */
void hints_ring_set(struct hints *h, const struct ring *ring)
{
    h->ring = ring;
    for (uint32_t i = 0; i < h->count; i++) {
        pass_stop(h, h->keepers[i]);
        h->keepers[i]->blocked = false;
        wake_if_wanted(h, h->keepers[i], 0);
    }
}

/* Passes that waited for somebody to come back. */
static void unblock(struct hints *h, uint64_t now_us)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct keeper *k = h->keepers[i];
        if (k->state == PASS_NONE && k->blocked) {
            k->blocked = false;
            wake_if_wanted(h, k, now_us);
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

bool hints_room(const struct hints *h, uint64_t bytes)
{
    return bytes <= HINTS_MAX_BYTES && h->bytes <= HINTS_MAX_BYTES - bytes;
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
}
