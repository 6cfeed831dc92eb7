/* Scans over simulated stores of sorted rows: what the members are asked lies in a tray until the test has
 * them answer, or not. Included once per test. */
#ifndef TESTS_UNIT_COORD_SCAN_WORLD_H
#define TESTS_UNIT_COORD_SCAN_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "coord/scan.h"
#include "kv_error.h"
#include "unit/rings.h"

enum { MEMBERS = 5, SELF = 1, KEYS_MAX = 4000 };

struct item {
    uint64_t token;
    char text[24];
    struct row rows[MEMBERS + 1]; /* by member; absent: it has none */
};

struct letter {
    uint32_t member;
    uint64_t id;
    uint64_t after_token;
    char after_key[32];
    size_t after_len;
    uint32_t limit;
};

struct world {
    struct scans *scans;
    struct ring *ring;
    struct outbox out;
    struct now now;
    uint64_t hlc;
    struct item items[KEYS_MAX]; /* in token order */
    uint32_t item_count;
    struct letter letters[SCANS_MAX * MEMBERS + MEMBERS];
    uint32_t letter_count;
    /* The last page. */
    bool answered;
    struct msg_scan_page page;
    char keys[KEYS_MAX][24];
    char next_key[32];
    size_t next_len;
};

static inline struct ring *make_ring(void)
{
    struct ring_spec spec = {.epoch = 1, .replicas = 3, .after = ids_to(MEMBERS)};
    return rings_make(&spec);
}

static inline struct world *world_create(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->ring = make_ring();
    w->hlc = 1000;
    w->now.mono_us = 7000000;
    assert_int_equal(scans_create(SELF, &w->scans), KV_OK);
    assert_int_equal(outbox_init(&w->out), KV_OK);
    scans_ring_set(w->scans, w->now, w->ring);
    for (uint32_t id = 2; id <= MEMBERS; id++)
        scans_peer_set(w->scans, w->now, w->hlc, id, true, &w->out);
    return w;
}

static inline void world_destroy(struct world *w)
{
    scans_check(w->scans);
    scans_destroy(w->scans);
    outbox_deinit(&w->out);
    ring_destroy(w->ring);
    free(w);
}

static inline int item_cmp(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    return strcmp(x->text, y->text);
}

/* `count` keys, each on its homes. */
static inline void fill(struct world *w, uint32_t count)
{
    w->item_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct item *it = &w->items[i];
        snprintf(it->text, sizeof it->text, "%s:%u", i % 2 ? "odd" : "even", i);
        it->token = key_token(bytes_str(it->text));
        for (uint32_t id = 1; id <= MEMBERS; id++) {
            if (ring_is_home(w->ring, ring_partition(w->ring, it->token), id))
                it->rows[id] = (struct row){.kind = ROW_REGISTER, .stamp = {10, 1}};
        }
    }
    qsort(w->items, count, sizeof w->items[0], item_cmp);
}

static inline void collect(struct world *w)
{
    for (uint32_t i = 0; i < w->out.count; i++) {
        const struct effect *e = &w->out.effects[i];
        assert_int_equal(e->type, EF_SEND);
        const struct message *m = &e->send.message;
        if (e->send.to.conn == 0) {
            assert_int_equal(m->type, MSG_RANGE);
            struct letter *l = &w->letters[w->letter_count++];
            *l = (struct letter){.member = e->send.to.peer, .id = m->id, .limit = m->range.limit};
            l->after_token = m->range.after.token;
            l->after_len = m->range.after.key.len;
            if (l->after_len)
                memcpy(l->after_key, m->range.after.key.data, l->after_len);
            continue;
        }
        assert_int_equal(m->type, MSG_SCAN_PAGE);
        assert_int_equal(m->id, 77);
        w->answered = true;
        w->page = m->scan_page;
        assert_true(w->page.count <= KEYS_MAX);
        for (uint32_t k = 0; k < w->page.count; k++)
            snprintf(w->keys[k], sizeof w->keys[k], "%.*s", (int)w->page.entries[k].key.len,
                     (const char *)w->page.entries[k].key.data);
        w->next_len = w->page.next.key.len;
        if (w->next_len)
            memcpy(w->next_key, w->page.next.key.data, w->next_len);
    }
    outbox_reset(&w->out);
    scans_check(w->scans);
}

static inline void ask_raw(struct world *w, const struct msg_scan *q)
{
    struct message m = {.type = MSG_SCAN, .id = 77, .scan = *q};
    w->answered = false;
    scans_request(w->scans, w->now, w->hlc, to_conn(9), &m, &w->out);
    collect(w);
}

static inline void ask(struct world *w, const char *prefix, uint32_t limit)
{
    struct msg_scan q = {.prefix = bytes_str(prefix), .limit = limit, .timeout_us = 2000000};
    ask_raw(w, &q);
}

static inline void ask_next(struct world *w, const char *prefix, uint32_t limit)
{
    struct msg_scan q = {.after = {w->page.next.token, bytes_of(w->next_key, w->next_len)},
                         .prefix = bytes_str(prefix),
                         .limit = limit,
                         .timeout_us = 2000000};
    char key[32];
    memcpy(key, w->next_key, sizeof key);
    q.after.key.data = (const uint8_t *)key;
    ask_raw(w, &q);
}

static inline void lose(struct world *w, uint32_t i)
{
    memmove(&w->letters[i], &w->letters[i + 1], (w->letter_count - i - 1) * sizeof w->letters[0]);
    w->letter_count--;
}

static inline void answer(struct world *w, const struct letter *l, const struct msg_range_page *page)
{
    struct message m = {.type = MSG_RANGE_PAGE, .id = l->id, .range_page = *page};
    scans_answer(w->scans, w->now, w->hlc, l->member, &m, &w->out);
    collect(w);
}

/* A member's store answers letter `i`: at most `limit` rows looked at, those with the prefix returned. */
static inline void serve(struct world *w, uint32_t i, const char *prefix)
{
    struct letter l = w->letters[i];
    static struct scan_entry entries[SCAN_PAGE_MAX];
    struct msg_range_page page = {.done = 1, .entries = entries};
    uint32_t looked = 0;
    lose(w, i);
    for (uint32_t k = 0; k < w->item_count; k++) {
        struct item *it = &w->items[k];
        struct bytes key = bytes_str(it->text), after = bytes_of(l.after_key, l.after_len);
        bool before = it->token < l.after_token || (it->token == l.after_token && bytes_cmp(key, after) <= 0);
        if (before || row_is_absent(&it->rows[l.member]))
            continue;
        if (looked == l.limit) {
            page.done = 0;
            break;
        }
        looked++;
        page.next = (struct cursor){it->token, key};
        if (bytes_starts_with(key, bytes_str(prefix)))
            entries[page.count++] = (struct scan_entry){key, it->rows[l.member]};
    }
    answer(w, &l, &page);
}

static inline void serve_all(struct world *w, const char *prefix)
{
    while (w->letter_count)
        serve(w, w->letter_count - 1, prefix);
}

#endif
