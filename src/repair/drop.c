/* Dropping what is no longer held: see drop.h. */
#include "repair/drop.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "base/buf.h"
#include "kv_error.h"
#include "model/id.h"

#include <stdlib.h>

enum drop_state {
    DROP_NONE,     /* the ring changes, or all has been looked at */
    DROP_RESTING,  /* until wake_us */
    DROP_READING,  /* the store was asked for a page */
    DROP_DELETING, /* and for the rows of it to go */
};

struct drop {
    uint32_t self;
    uint8_t state; /* enum drop_state */
    uint8_t *held; /* a bit per partition */
    uint32_t partitions;
    uint32_t run, run_end; /* partitions of the run at hand */
    uint64_t serial;       /* of the operation that is waited for */
    uint64_t wake_us;
    uint64_t asked_us;
    struct buf after_key; /* the cursor */
    uint64_t after_token;
    bool last;           /* the page at hand is the run's last */
    struct buf next_key; /* the cursor behind it */
    uint64_t next_token;
    uint64_t rows, rows_before; /* dropped; and when this pass began */
};

int drop_create(uint32_t self, struct drop **out)
{
    struct drop *d = calloc(1, sizeof *d);
    if (!d)
        return KV_E_NO_MEMORY;
    d->self = self;
    d->wake_us = UINT64_MAX;
    *out = d;
    return KV_OK;
}

void drop_destroy(struct drop *d)
{
    if (!d)
        return;
    buf_deinit(&d->after_key);
    buf_deinit(&d->next_key);
    free(d->held);
    free(d);
}

static bool holds(const struct drop *d, uint32_t partition)
{
    return d->held[partition / 8] >> partition % 8 & 1;
}

/* The next run of partitions that are not held, from `from` on. False: there is none. */
static bool run_begin(struct drop *d, uint32_t from)
{
    while (from < d->partitions && holds(d, from))
        from++;
    if (from == d->partitions)
        return false;
    d->run = d->run_end = from;
    while (d->run_end < d->partitions && !holds(d, d->run_end))
        d->run_end++;
    d->after_token = partition_first_token(d->run, d->partitions);
    buf_clear(&d->after_key);
    return true;
}

static void stop(struct drop *d)
{
    d->state = DROP_NONE;
    d->wake_us = UINT64_MAX;
    d->serial++; /* what is still to come is not meant any more */
}

static void rest(struct drop *d, uint64_t until_us)
{
    d->state = DROP_RESTING;
    d->wake_us = until_us;
}

#ifdef MUTANTS
static bool will_be_home(const struct ring *ring, uint32_t partition, uint32_t member)
{
    struct ring_slot slots[REPLICAS_MAX];
    for (uint32_t i = ring_slots(ring, partition, slots); i-- > 0;)
        if (slots[i].to == member)
            return true;
    return false;
}
#endif

int drop_ring_set(struct drop *d, struct now now, const struct ring *ring)
{
    stop(d);
    free(d->held);
    d->held = NULL;
    if (MUTANT(drop_early, ring->value.phase != RING_STABLE, ring->value.phase == RING_PENDING))
        return KV_OK;
    d->partitions = ring->value.partitions;
    d->held = calloc(d->partitions / 8 + 1, 1);
    if (!d->held)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < d->partitions; i++)
        if (MUTANT(drop_early, ring_is_home(ring, i, d->self), will_be_home(ring, i, d->self)))
            d->held[i / 8] |= (uint8_t)(1u << i % 8);
    d->rows_before = d->rows;
    if (run_begin(d, 0))
        rest(d, now.mono_us + MUTANT(drop_early, DROP_DELAY_US, 0));
    return KV_OK;
}

/* ---- pages */

static void page_ask(struct drop *d, uint64_t now_us, struct outbox *out)
{
    struct bytes key = arena_copy(&out->arena, buf_bytes(&d->after_key));
    if (key.len != d->after_key.len) {
        rest(d, now_us + DROP_RETRY_US);
        return;
    }
    d->state = DROP_READING;
    d->wake_us = UINT64_MAX;
    d->asked_us = now_us;
    struct effect *e = outbox_add(out, EF_STORE_ROWS);
    e->op = id_make(ID_DROP, ++d->serial);
    e->rows.after = (struct cursor){d->after_token, key};
    e->rows.until_token = d->run_end < d->partitions ? partition_first_token(d->run_end, d->partitions) : 0;
    e->rows.limit = STORE_KEYS_MAX;
    e->rows.headers = true;
}

static void pass_end(struct drop *d, struct outbox *out)
{
    if (d->rows > d->rows_before)
        outbox_log(out, LOG_INFO,
                   "event=dropped rows=%llu text=\"rows of partitions that are not held here\"",
                   (unsigned long long)(d->rows - d->rows_before));
    stop(d);
}

/* The page at hand is done with. Runs without rows follow each other at once. */
static void page_over(struct drop *d, uint64_t now_us, bool empty, struct outbox *out)
{
    if (d->last && !run_begin(d, d->run_end)) {
        pass_end(d, out);
        return;
    }
    if (!d->last) {
        struct buf key = d->after_key;
        d->after_key = d->next_key;
        d->next_key = key;
        d->after_token = d->next_token;
    }
    if (empty) {
        page_ask(d, now_us, out);
        return;
    }
    uint64_t us = (now_us - d->asked_us) * DROP_REST;
    us = us < DROP_REST_MIN_US ? DROP_REST_MIN_US : us;
    rest(d, now_us + (us > DROP_REST_MAX_US ? DROP_REST_MAX_US : us));
}

static bool page_delete(struct drop *d, const struct event *in, struct outbox *out)
{
    struct row_version *rows = arena_alloc(&out->arena, in->page.count * sizeof *rows);
    if (!rows)
        return false;
    for (uint32_t i = 0; i < in->page.count; i++)
        rows[i] =
            (struct row_version){.key = in->page.entries[i].key, .stamp = in->page.entries[i].row.stamp};
    d->state = DROP_DELETING;
    struct effect *e = outbox_add(out, EF_STORE_DELETE);
    e->op = id_make(ID_DROP, ++d->serial);
    e->remove.count = in->page.count;
    e->remove.entries = rows;
    e->remove.unless_noted = true;
    return true;
}

void drop_page(struct drop *d, struct now now, const struct event *in, struct outbox *out)
{
    if (d->state != DROP_READING || in->page.op != id_make(ID_DROP, d->serial))
        return;
    d->last = in->page.done;
    if (in->page.status != KV_OK) {
        outbox_log(out, LOG_WARN, "event=drop_skipped partition=%u partitions=%u status=%s text=\"%s\"",
                   d->run, d->run_end - d->run, kv_error_word(in->page.status),
                   kv_error_text(in->page.status));
        d->last = true;
        page_over(d, now.mono_us, false, out);
        return;
    }
    d->next_token = in->page.next.token;
    bool ok = d->last || buf_set(&d->next_key, in->page.next.key) == KV_OK;
    if (ok && in->page.count == 0)
        page_over(d, now.mono_us, true, out);
    else if (!ok || !page_delete(d, in, out))
        rest(d, now.mono_us + DROP_RETRY_US);
}

void drop_written(struct drop *d, struct now now, const struct event *in, struct outbox *out)
{
    if (d->state != DROP_DELETING || in->written.op != id_make(ID_DROP, d->serial))
        return;
    if (in->written.status != KV_OK) {
        rest(d, now.mono_us + DROP_RETRY_US);
        return;
    }
    d->rows += in->written.deleted;
    page_over(d, now.mono_us, false, out);
}

void drop_tick(struct drop *d, struct now now, struct outbox *out)
{
    if (d->wake_us <= now.mono_us)
        page_ask(d, now.mono_us, out);
}

uint64_t drop_deadline_us(const struct drop *d)
{
    return d->wake_us;
}

bool drop_active(const struct drop *d)
{
    return d->state != DROP_NONE;
}

uint64_t drop_rows(const struct drop *d)
{
    return d->rows;
}

void drop_check(const struct drop *d)
{
    KV_ASSERT((d->state == DROP_RESTING) == (d->wake_us != UINT64_MAX));
    KV_ASSERT(d->state == DROP_NONE || (d->held && d->run < d->run_end && d->run_end <= d->partitions));
    for (uint32_t i = d->run; d->state != DROP_NONE && i < d->run_end; i++)
        KV_ASSERT(!holds(d, i));
}
