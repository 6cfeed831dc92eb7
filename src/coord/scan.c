/* Scans: see scan.h. Nothing is kept between pages; the cursor in the client's hand is the whole state. */
#include "coord/scan.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mutant.h"
#include "coord/plan.h"
#include "kv_error.h"
#include "model/id.h"

#include <stdlib.h>

#define SLOT_BITS 6u
_Static_assert(1u << SLOT_BITS == SCANS_MAX, "a scan's index fits its bits");

/* A place in token order; the last one is behind everything. */
struct place {
    uint64_t token;
    struct bytes key;
    bool end;
};

enum asked_state {
    ASKED_SENT,
    ASKED_HELD, /* it has another ring: asked again in a while */
    ASKED_ANSWERED,
    ASKED_FAILED,
};

struct asked {
    uint32_t member;
    uint8_t state; /* enum asked_state */
};

/* A row that a member has, header only. The key is at `offset` of scan.keys. */
struct found {
    uint64_t token;
    size_t offset;
    uint32_t len;
    struct row row;
};

struct scan {
    struct heap_node timer; /* in the heap while in progress */
    uint64_t generation;    /* tells answers to a former scan of this slot apart */
    struct endpoint client;
    uint64_t client_id;
    uint64_t began_us, deadline_us;
    uint64_t retry_us; /* when those that are held are asked again; UINT64_MAX: nobody is */
    uint32_t limit;    /* rows to return */
    bool strict_complete;
    bool outdated; /* the ring has changed: the page is begun anew with the next tick */
    struct buf after_key, prefix;
    uint64_t after_token;
    struct asked *asked;
    uint32_t asked_count, waiting;
    struct found *found;
    size_t found_count, found_cap;
    struct buf keys;
    struct buf front_key; /* the frontier: what all answers cover, up to and with it */
    uint64_t front_token;
    bool front_end;
};

struct scans {
    uint32_t self;
    const struct ring *ring; /* NULL: none yet */
    struct map reachable;    /* member -> anything */
    struct heap timers;
    struct scan slots[SCANS_MAX];
};

static bool in_progress(const struct scan *s)
{
    return heap_contains(&s->timer);
}

static int place_cmp(struct place a, struct place b)
{
    if (a.end || b.end)
        return (int)a.end - (int)b.end;
    if (a.token != b.token)
        return a.token < b.token ? -1 : 1;
    return bytes_cmp(a.key, b.key);
}

static struct place after_of(const struct scan *s)
{
    return (struct place){s->after_token, buf_bytes(&s->after_key), false};
}

static struct place front_of(const struct scan *s)
{
    return (struct place){s->front_token, buf_bytes(&s->front_key), s->front_end};
}

static struct bytes key_of(const struct scan *s, const struct found *f)
{
    return bytes_of(s->keys.data + f->offset, f->len);
}

/* ---- life */

int scans_create(uint32_t self, struct scans **out)
{
    struct scans *s = calloc(1, sizeof *s);
    if (!s)
        return KV_E_NO_MEMORY;
    s->self = self;
    map_init(&s->reachable);
    heap_init(&s->timers);
    if (heap_reserve(&s->timers, SCANS_MAX)) {
        free(s);
        return KV_E_NO_MEMORY;
    }
    *out = s;
    return KV_OK;
}

static void scan_clear(struct scan *s)
{
    buf_deinit(&s->after_key);
    buf_deinit(&s->prefix);
    buf_deinit(&s->keys);
    buf_deinit(&s->front_key);
    free(s->asked);
    free(s->found);
    *s = (struct scan){.generation = s->generation + 1};
}

void scans_destroy(struct scans *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < SCANS_MAX; i++)
        scan_clear(&s->slots[i]);
    map_deinit(&s->reachable);
    heap_deinit(&s->timers);
    free(s);
}

static bool reachable(const struct scans *s, uint32_t member)
{
    return member == s->self || map_get(&s->reachable, member) != NULL;
}

static void wake(struct scans *all, struct scan *s, uint64_t at_us)
{
    int rc = heap_set(&all->timers, &s->timer, at_us);
    KV_ASSERT(rc == KV_OK);
}

/* Nothing is found yet, and nobody asked; answers to what was asked before are no longer meant. Only the
 * first time there may be no memory for it. */
static int page_begin(struct scan *s)
{
    s->generation++;
    s->asked_count = s->waiting = 0;
    s->found_count = 0;
    s->retry_us = UINT64_MAX;
    buf_clear(&s->keys);
    s->front_token = s->after_token;
    s->front_end = true;
    return buf_set(&s->front_key, buf_bytes(&s->after_key));
}

void scans_ring_set(struct scans *s, struct now now, const struct ring *ring)
{
    s->ring = ring;
    for (uint32_t i = 0; i < SCANS_MAX; i++) {
        if (!in_progress(&s->slots[i]))
            continue;
        int rc = page_begin(&s->slots[i]);
        KV_ASSERT(rc == KV_OK);
        s->slots[i].outdated = true;
        wake(s, &s->slots[i], now.mono_us);
    }
}

/* ---- asking */

/* So many rows of each member that all together find about SCAN_PAGE_MAX keys: a key has `homes` rows. */
static uint32_t rows_of_each(const struct ring *ring)
{
    uint32_t rows = SCAN_PAGE_MAX * ring->homes / ring->value.member_count;
    return rows > SCAN_READ_MIN ? rows : SCAN_READ_MIN;
}

static void set_cursor(struct arena *arena, struct cursor *out, uint64_t token, struct bytes key)
{
    out->token = token;
    out->key = arena_copy(arena, key);
}

/* Asks those that are to be asked. */
static void ask(struct scans *all, struct scan *s, struct outbox *out)
{
    uint64_t serial = s->generation << SLOT_BITS | (uint64_t)(s - all->slots);
    struct cursor after;
    struct bytes prefix = arena_copy(&out->arena, buf_bytes(&s->prefix));
    set_cursor(&out->arena, &after, s->after_token, buf_bytes(&s->after_key));
    s->retry_us = UINT64_MAX;
    for (uint32_t i = 0; i < s->asked_count; i++) {
        if (s->asked[i].state != ASKED_HELD)
            continue;
        s->asked[i].state = ASKED_SENT;
        struct message *m =
            outbox_send(out, to_peer(s->asked[i].member), MSG_RANGE, id_make(ID_SCAN, serial));
        m->range.after = after;
        m->range.prefix = prefix;
        m->range.limit = rows_of_each(all->ring);
    }
}

/* Everybody who can be reached, and is not given up by the ring. */
static int ask_everybody(struct scans *all, struct scan *s, struct outbox *out)
{
    const struct ring_value *v = &all->ring->value;
    struct asked *asked = realloc(s->asked, v->member_count * sizeof *asked);
    s->outdated = false;
    if (!asked)
        return KV_E_OVERLOADED;
    s->asked = asked;
    for (uint32_t i = 0; i < v->member_count; i++) {
        if (!v->members[i].dead && reachable(all, v->members[i].id))
            asked[s->asked_count++] = (struct asked){v->members[i].id, ASKED_HELD};
    }
    s->waiting = s->asked_count;
    ask(all, s, out);
    return KV_OK;
}

/* ---- the page */

/* Whether enough homes of every partition between the cursor and the frontier answered: of slots that move,
 * those that are read. */
static bool complete(const struct scans *all, const struct scan *s)
{
    const struct ring *ring = all->ring;
    const struct ring_value *v = &ring->value;
    bool answered[MEMBERS_MAX] = {false};
    uint32_t a = 0;
    for (uint32_t i = 0; i < v->member_count; i++) { /* both in order of id */
        while (a < s->asked_count && s->asked[a].member < v->members[i].id)
            a++;
        answered[i] = a < s->asked_count && s->asked[a].member == v->members[i].id &&
                      s->asked[a].state == ASKED_ANSWERED;
    }
    uint32_t last = s->front_end ? v->partitions - 1 : ring_partition(ring, s->front_token);
    for (uint32_t p = ring_partition(ring, s->after_token); p <= last; p++) {
        const uint16_t *list = &ring->table[(size_t)p * ring->width];
        uint32_t homes = 0;
        for (uint32_t h = 0; h < ring->homes; h++)
            homes += answered[list[h]];
        if (homes < MUTANT(scan_one_home, plan_cover(ring->homes), 1u))
            return false;
    }
    return true;
}

/* By place, the newest row of a key first. */
static int found_cmp(const void *a, const void *b, void *scan)
{
    const struct found *x = a, *y = b;
    int c = place_cmp((struct place){x->token, key_of(scan, x), false},
                      (struct place){y->token, key_of(scan, y), false});
    return c ? c : stamp_cmp(y->row.stamp, x->row.stamp);
}

/* Live keys up to the frontier, or until the page is full: then it ends at the last key looked at. */
static int fill_page(struct scan *s, uint64_t hlc, struct arena *arena, struct msg_scan_page *page)
{
    struct scan_entry *entries = arena_alloc(arena, s->limit * sizeof *entries);
    struct bytes last = {NULL, 0};
    size_t bytes = 0;
    if (!entries)
        return KV_E_OVERLOADED;
    if (s->found_count)
        qsort_r(s->found, s->found_count, sizeof *s->found, found_cmp, s);
    page->entries = entries;
    page->done = s->front_end;
    set_cursor(arena, &page->next, s->front_token, buf_bytes(&s->front_key));
    for (size_t i = 0; i < s->found_count; i++) {
        struct found *f = &s->found[i];
        struct bytes key = key_of(s, f);
        if (place_cmp((struct place){f->token, key, false}, front_of(s)) > 0)
            break;
        bool older = i > 0 && bytes_eq(last, key);
        last = key;
        if (older || row_is_dead(&f->row, hlc))
            continue;
        bytes += key.len;
        struct bytes kept = arena_copy(arena, key);
        if (kept.len != key.len)
            return KV_E_OVERLOADED;
        entries[page->count++] = (struct scan_entry){kept, f->row};
        if (page->count == s->limit || bytes >= SCAN_PAGE_MAX_BYTES) {
            page->done = s->front_end && MUTANT(scan_full_ends, i + 1 == s->found_count, true);
            page->next = (struct cursor){f->token, kept};
            break;
        }
    }
    return KV_OK;
}

static int judge(const struct scans *all, const struct scan *s, bool is_complete)
{
    uint32_t answered = 0;
    for (uint32_t i = 0; i < s->asked_count; i++)
        answered += s->asked[i].state == ASKED_ANSWERED;
    if (s->asked_count == 0 || !all->ring)
        return KV_E_UNAVAILABLE;
    if (answered == 0)
        return KV_E_TIMEOUT;
    return s->strict_complete && !is_complete ? KV_E_UNAVAILABLE : KV_OK;
}

static void finish(struct scans *all, struct scan *s, uint64_t hlc, struct outbox *out)
{
    bool is_complete = s->asked_count && complete(all, s);
    struct message *m = outbox_send(out, s->client, MSG_SCAN_PAGE, s->client_id);
    struct msg_scan_page *page = &m->scan_page;
    page->status = judge(all, s, is_complete);
    if (page->status == KV_OK)
        page->status = fill_page(s, hlc, &out->arena, page);
    if (page->status == KV_OK)
        page->complete = is_complete;
    else
        page->count = 0;
    heap_remove(&all->timers, &s->timer);
    scan_clear(s);
}

/* Answers when everybody has, or when it is not worth waiting any longer; else sets the timer. */
static void scan_run(struct scans *all, struct scan *s, uint64_t now_us, uint64_t hlc, struct outbox *out)
{
    uint64_t patience_us = s->began_us + SCAN_PATIENCE_US;
    bool patient = now_us < patience_us;
    if (s->waiting == 0 || now_us >= s->deadline_us || (!patient && complete(all, s))) {
        finish(all, s, hlc, out);
        return;
    }
    if (now_us >= s->retry_us)
        ask(all, s, out);
    uint64_t at = patient && patience_us < s->deadline_us ? patience_us : s->deadline_us;
    wake(all, s, at < s->retry_us ? at : s->retry_us);
}

/* ---- requests */

static struct scan *slot_take(struct scans *all)
{
    for (uint32_t i = 0; i < SCANS_MAX; i++) {
        if (!in_progress(&all->slots[i]))
            return &all->slots[i];
    }
    return NULL;
}

static int scan_begin(struct scan *s, uint64_t now_us, struct endpoint from, const struct message *m)
{
    const struct msg_scan *q = &m->scan;
    uint64_t timeout_us = q->timeout_us ? q->timeout_us : TIMEOUT_DEFAULT_US;
    if (timeout_us > TIMEOUT_MAX_US)
        timeout_us = TIMEOUT_MAX_US;
    s->client = from;
    s->client_id = m->id;
    s->began_us = now_us;
    s->deadline_us = now_us + timeout_us - timeout_us / 4;
    s->limit = q->limit && q->limit < SCAN_PAGE_MAX ? q->limit : SCAN_PAGE_MAX;
    s->strict_complete = q->strict_complete;
    s->after_token = q->after.token;
    if (buf_set(&s->after_key, q->after.key) || buf_set(&s->prefix, q->prefix) || page_begin(s))
        return KV_E_OVERLOADED;
    return KV_OK;
}

void scans_request(struct scans *s, struct now now, uint64_t hlc, struct endpoint from,
                   const struct message *m, struct outbox *out)
{
    struct scan *scan = slot_take(s);
    int status = !s->ring ? KV_E_UNAVAILABLE : scan ? KV_OK : KV_E_OVERLOADED;
    if (status == KV_OK) {
        status = scan_begin(scan, now.mono_us, from, m);
        if (status == KV_OK)
            status = ask_everybody(s, scan, out);
        if (status != KV_OK)
            scan_clear(scan);
    }
    if (status == KV_OK) {
        scan_run(s, scan, now.mono_us, hlc, out);
    } else {
        outbox_send(out, from, MSG_SCAN_PAGE, m->id)->scan_page.status = status;
    }
}

/* ---- answers */

static int found_add(struct scan *s, uint64_t token, const struct scan_entry *e)
{
    if (s->found_count == s->found_cap) {
        size_t cap = s->found_cap ? s->found_cap * 2 : SCAN_PAGE_MAX;
        struct found *grown = realloc(s->found, cap * sizeof *grown);
        if (!grown)
            return KV_E_NO_MEMORY;
        s->found = grown;
        s->found_cap = cap;
    }
    size_t offset = s->keys.len;
    int status = buf_append(&s->keys, e->key);
    if (status != KV_OK)
        return status;
    struct row row = e->row;
    row.payload = NULL;
    s->found[s->found_count++] = (struct found){token, offset, (uint32_t)e->key.len, row};
    return KV_OK;
}

/* Takes one member's rows in, as far as the others cover them too. A page that does not move forward would
 * make the client ask for ever: it is none. */
static int page_add(struct scan *s, const struct msg_range_page *page)
{
    struct place next = {page->next.token, page->next.key, page->done};
    if (place_cmp(next, after_of(s)) <= 0)
        return KV_E_MALFORMED;
    if (page->count > SCAN_PAGE_MAX)
        return KV_E_MALFORMED;
    for (uint32_t i = 0; i < page->count; i++) {
        const struct scan_entry *e = &page->entries[i];
        struct place at = {key_token(e->key), e->key, false};
        if (!key_ok(e->key) || !bytes_starts_with(e->key, buf_bytes(&s->prefix)))
            return KV_E_MALFORMED;
        if (place_cmp(at, after_of(s)) <= 0 || place_cmp(at, next) > 0)
            return KV_E_MALFORMED;
        int status = place_cmp(at, front_of(s)) <= 0 ? found_add(s, at.token, e) : KV_OK;
        if (status != KV_OK)
            return status;
    }
    if (place_cmp(next, front_of(s)) >= 0)
        return KV_OK;
    int status = buf_set(&s->front_key, next.key);
    if (status == KV_OK) {
        s->front_token = next.token;
        s->front_end = false;
    }
    return status;
}

static struct asked *asked_of(struct scan *s, uint32_t member)
{
    for (uint32_t i = 0; i < s->asked_count; i++) {
        if (s->asked[i].member == member)
            return &s->asked[i];
    }
    return NULL;
}

void scans_answer(struct scans *s, struct now now, uint64_t hlc, uint32_t member, const struct message *m,
                  struct outbox *out)
{
    uint64_t serial = id_serial(m->id);
    struct scan *scan = &s->slots[serial & (SCANS_MAX - 1)];
    if (m->type != MSG_RANGE_PAGE || !in_progress(scan) || scan->generation != serial >> SLOT_BITS)
        return;
    struct asked *asked = asked_of(scan, member);
    if (!asked || asked->state != ASKED_SENT)
        return;
    int status = m->range_page.status;
    if (status == KV_OK)
        status = page_add(scan, &m->range_page);
    if (status == KV_E_WRONG_RING) {
        asked->state = ASKED_HELD;
        if (scan->retry_us == UINT64_MAX)
            scan->retry_us = now.mono_us + SCAN_RETRY_US;
        scan_run(s, scan, now.mono_us, hlc, out);
        return;
    }
    asked->state = status == KV_OK ? ASKED_ANSWERED : ASKED_FAILED;
    scan->waiting--;
    scan_run(s, scan, now.mono_us, hlc, out);
}

/* A member there is no memory for stays unreachable. */
void scans_peer_set(struct scans *s, struct now now, uint64_t hlc, uint32_t member, bool is_reachable,
                    struct outbox *out)
{
    if (is_reachable) {
        (void)map_set(&s->reachable, member, s);
        return;
    }
    map_remove(&s->reachable, member);
    for (uint32_t i = 0; i < SCANS_MAX; i++) {
        struct scan *scan = &s->slots[i];
        struct asked *asked = in_progress(scan) ? asked_of(scan, member) : NULL;
        if (!asked || (asked->state != ASKED_SENT && asked->state != ASKED_HELD))
            continue;
        asked->state = ASKED_FAILED;
        scan->waiting--;
        scan_run(s, scan, now.mono_us, hlc, out);
    }
}

void scans_tick(struct scans *s, struct now now, uint64_t hlc, struct outbox *out)
{
    while (heap_deadline(&s->timers) <= now.mono_us && outbox_room(out) > MEMBERS_MAX) {
        struct scan *scan = container_of(heap_first(&s->timers), struct scan, timer);
        if (scan->outdated)
            (void)ask_everybody(s, scan, out); /* no memory: nobody is asked, and that is the answer */
        scan_run(s, scan, now.mono_us, hlc, out);
    }
}

uint64_t scans_deadline_us(const struct scans *s)
{
    return heap_deadline(&s->timers);
}

uint32_t scans_active(const struct scans *s)
{
    return (uint32_t)s->timers.count;
}

void scans_check(const struct scans *s)
{
    for (uint32_t i = 0; i < SCANS_MAX; i++) {
        const struct scan *scan = &s->slots[i];
        uint32_t waiting = 0;
        for (uint32_t a = 0; a < scan->asked_count; a++)
            waiting += scan->asked[a].state == ASKED_SENT || scan->asked[a].state == ASKED_HELD;
        KV_ASSERT(waiting == scan->waiting && in_progress(scan) == (waiting > 0 || scan->outdated));
        KV_ASSERT(in_progress(scan) || (!scan->asked && !scan->found && !scan->keys.data));
    }
}
