/* Scans, over simulated stores of sorted rows: pages in token order, the newest row of a key decides, the
 * frontier, completeness, and what is malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
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

static struct ring *make_ring(void)
{
    struct ring_spec spec = {.epoch = 1, .replicas = 3, .after = ids_to(MEMBERS)};
    return rings_make(&spec);
}

static struct world *world_create(void)
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

static void world_destroy(struct world *w)
{
    scans_check(w->scans);
    scans_destroy(w->scans);
    outbox_deinit(&w->out);
    ring_destroy(w->ring);
    free(w);
}

static int item_cmp(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    return strcmp(x->text, y->text);
}

/* `count` keys, each on its homes. */
static void fill(struct world *w, uint32_t count)
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

static void collect(struct world *w)
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

static void ask_raw(struct world *w, const struct msg_scan *q)
{
    struct message m = {.type = MSG_SCAN, .id = 77, .scan = *q};
    w->answered = false;
    scans_request(w->scans, w->now, w->hlc, to_conn(9), &m, &w->out);
    collect(w);
}

static void ask(struct world *w, const char *prefix, uint32_t limit)
{
    struct msg_scan q = {.prefix = bytes_str(prefix), .limit = limit, .timeout_us = 2000000};
    ask_raw(w, &q);
}

static void ask_next(struct world *w, const char *prefix, uint32_t limit)
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

static void lose(struct world *w, uint32_t i)
{
    memmove(&w->letters[i], &w->letters[i + 1], (w->letter_count - i - 1) * sizeof w->letters[0]);
    w->letter_count--;
}

static void answer(struct world *w, const struct letter *l, const struct msg_range_page *page)
{
    struct message m = {.type = MSG_RANGE_PAGE, .id = l->id, .range_page = *page};
    scans_answer(w->scans, w->now, w->hlc, l->member, &m, &w->out);
    collect(w);
}

/* A member's store answers letter `i`: at most `limit` rows looked at, those with the prefix returned. */
static void serve(struct world *w, uint32_t i, const char *prefix)
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

static void serve_all(struct world *w, const char *prefix)
{
    while (w->letter_count)
        serve(w, w->letter_count - 1, prefix);
}

/* Reads all pages; every live key with the prefix must come, once and in order. */
static uint32_t read_all(struct world *w, const char *prefix, uint32_t limit, uint64_t *pages)
{
    uint32_t at = 0, found = 0;
    ask(w, prefix, limit);
    for (*pages = 1;; ++*pages) {
        serve_all(w, prefix);
        assert_true(w->answered);
        assert_int_equal(w->page.status, KV_OK);
        assert_int_equal(w->page.complete, 1);
        assert_true(w->page.count <= limit);
        for (uint32_t k = 0; k < w->page.count; k++) {
            for (;; at++) {
                struct item *it = &w->items[at];
                struct row newest = row_absent();
                assert_true(at < w->item_count);
                for (uint32_t id = 1; id <= MEMBERS; id++) {
                    if (row_wins(&it->rows[id], &newest))
                        newest = it->rows[id];
                }
                if (!row_is_dead(&newest, w->hlc) &&
                    bytes_starts_with(bytes_str(it->text), bytes_str(prefix)))
                    break;
            }
            assert_string_equal(w->keys[k], w->items[at++].text);
            found++;
        }
        if (w->page.done)
            return found;
        ask_next(w, prefix, limit);
    }
}

static void all_keys_come_once_and_in_order(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1000, 100, 7};
    for (int i = 0; i < 3; i++) {
        struct world *w = world_create();
        uint64_t pages;
        fill(w, i == 2 ? 300 : KEYS_MAX);
        assert_int_equal(read_all(w, "", limits[i], &pages), w->item_count);
        assert_true(pages >= w->item_count / limits[i]);
        if (limits[i] == 1000)
            assert_in_range(pages, 4, 6); /* 600 rows of each member are about a thousand keys */
        assert_int_equal(scans_active(w->scans), 0);
        assert_true(scans_deadline_us(w->scans) == UINT64_MAX);
        world_destroy(w);
    }
}

static void a_prefix_selects(void **state)
{
    (void)state;
    struct world *w = world_create();
    uint64_t pages;
    fill(w, 3000);
    assert_int_equal(read_all(w, "odd:", 1000, &pages), 1500);
    assert_int_equal(read_all(w, "odd:2999", 1000, &pages), 1);
    assert_int_equal(read_all(w, "nothing", 1000, &pages), 0);
    assert_in_range(pages, 3, 5);
    world_destroy(w);
}

static void an_empty_store_is_done_at_once(void **state)
{
    (void)state;
    struct world *w = world_create();
    uint64_t pages;
    assert_int_equal(read_all(w, "", 1000, &pages), 0);
    assert_int_equal(pages, 1);
    world_destroy(w);
}

/* The newest row decides, wherever it is; tombstones cannot stall a scan, since pages are by rows read. */
static void the_newest_row_decides_whether_a_key_lives(void **state)
{
    (void)state;
    struct world *w = world_create();
    uint64_t pages;
    struct prng prng;
    prng_init(&prng, 5);
    fill(w, 2000);
    uint32_t alive = 2000;
    for (uint32_t i = 0; i < 2000; i++) {
        struct row *rows = w->items[i].rows;
        uint64_t dice = prng_below(&prng, 10);
        uint32_t home = 1;
        while (row_is_absent(&rows[home]))
            home++;
        if (dice < 5) { /* deleted; one home has not heard of it */
            alive--;
            for (uint32_t id = home + 1; id <= MEMBERS; id++) {
                if (!row_is_absent(&rows[id]))
                    rows[id] = (struct row){.kind = ROW_REGISTER, .flags = ROW_TOMBSTONE, .stamp = {20, 1}};
            }
        } else if (dice == 5) { /* expired */
            alive--;
            rows[home].stamp.hlc = 30;
            rows[home].expires_hlc = w->hlc;
        } else if (dice == 6) { /* put again after a delete, on a fallback only */
            uint32_t other = 1;
            while (!row_is_absent(&rows[other]))
                other++;
            rows[home] = (struct row){.kind = ROW_REGISTER, .flags = ROW_TOMBSTONE, .stamp = {20, 1}};
            rows[other] = (struct row){.kind = ROW_REGISTER, .stamp = {21, 1}};
        } else if (dice == 7) { /* equal times: the origin decides */
            alive--;
            rows[home].stamp.origin = 2;
            rows[home].flags = ROW_TOMBSTONE;
        }
    }
    assert_int_equal(read_all(w, "", 1000, &pages), alive);
    assert_in_range(pages, 2, 5);
    world_destroy(w);
}

static void without_enough_homes_a_page_is_not_complete(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 500);
    scans_peer_set(w->scans, w->now, w->hlc, 2, false, &w->out);
    ask(w, "", 1000);
    assert_int_equal(w->letter_count, 4);
    serve_all(w, "");
    assert_int_equal(w->page.complete, 1); /* one is away: two homes of everything are left */
    scans_peer_set(w->scans, w->now, w->hlc, 3, false, &w->out);
    ask(w, "", 1000);
    serve_all(w, "");
    assert_int_equal(w->page.status, KV_OK);
    assert_int_equal(w->page.complete, 0);
    assert_int_equal(w->page.count, 500); /* still, one home of everything is there */
    struct msg_scan q = {.strict_complete = 1, .timeout_us = 1000000};
    ask_raw(w, &q);
    serve_all(w, "");
    assert_int_equal(w->page.status, KV_E_UNAVAILABLE);
    assert_int_equal(w->page.count, 0);
    world_destroy(w);
}

static void a_lost_member_is_waited_for_no_longer(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100);
    ask(w, "", 1000);
    while (w->letter_count > 1)
        serve(w, w->letters[0].member == 4 ? 1 : 0, "");
    assert_false(w->answered);
    scans_peer_set(w->scans, w->now, w->hlc, 4, false, &w->out);
    collect(w);
    assert_true(w->answered);
    assert_int_equal(w->page.count, 100);
    assert_int_equal(w->page.complete, 1);
    serve(w, 0, ""); /* its late answer is ignored */
    world_destroy(w);
}

static void the_silent_are_waited_for_with_patience(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100);
    for (uint32_t silent = 1; silent <= 5; silent++) {
        uint64_t began_us = w->now.mono_us;
        ask(w, "", 1000);
        while (w->letter_count > silent)
            serve(w, 0, "");
        /* With one silent the page is complete anyway; with more it is worth waiting for. */
        uint64_t wait_us = silent == 1 ? SCAN_PATIENCE_US : 1500000;
        for (;;) {
            assert_false(w->answered);
            w->now.mono_us = scans_deadline_us(w->scans);
            scans_tick(w->scans, w->now, w->hlc, &w->out);
            collect(w);
            if (w->answered)
                break;
        }
        assert_int_equal(w->now.mono_us - began_us, wait_us);
        assert_int_equal(w->page.status, silent < 5 ? KV_OK : KV_E_TIMEOUT);
        assert_int_equal(w->page.complete, silent == 1);
        w->letter_count = 0;
    }
    world_destroy(w);
}

static void the_last_home_makes_a_late_page_complete(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100);
    ask(w, "", 1000);
    while (w->letter_count > 2)
        serve(w, 0, "");
    w->now.mono_us += SCAN_PATIENCE_US;
    scans_tick(w->scans, w->now, w->hlc, &w->out);
    assert_false(w->answered);
    serve(w, 0, ""); /* now it is, and the last one is not waited for */
    assert_true(w->answered);
    assert_int_equal(w->page.complete, 1);
    world_destroy(w);
}

static void malformed_pages_are_failures(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 4);
    struct row row = {.kind = ROW_REGISTER, .stamp = {10, 1}};
    struct bytes k0 = bytes_str(w->items[0].text), k1 = bytes_str(w->items[1].text);
    struct scan_entry first = {k0, row}, second = {k1, row}, empty = {{NULL, 0}, row};
    const struct msg_range_page bad[] = {
        {.done = 0, .next = {0, {NULL, 0}}},                                          /* moves nowhere */
        {.done = 0, .next = {w->items[0].token, k0}, .count = 1, .entries = &second}, /* beyond its own end */
        {.done = 1, .count = 1, .entries = &empty},                                   /* no key */
        {.done = 1, .count = SCAN_PAGE_MAX + 1, .entries = &first},                   /* too many */
        {.status = KV_E_CORRUPT, .done = 1},
        {.status = KV_E_WRONG_RING, .done = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask(w, "", 1000);
        for (uint32_t m = 0; m < 4; m++) {
            struct letter l = w->letters[0];
            lose(w, 0);
            answer(w, &l, &bad[i]);
        }
        assert_false(w->answered);
        serve_all(w, "");
        assert_int_equal(w->page.status, KV_OK);
        assert_int_equal(w->page.complete, 0);
    }
    /* A key without the prefix, and one before the cursor: nobody answers anything usable. */
    const struct msg_range_page page = {.done = 1, .count = 1, .entries = &first};
    const struct msg_scan asked[] = {
        {.prefix = bytes_str("zzz"), .timeout_us = 1000000},
        {.after = {w->items[1].token, k1}, .timeout_us = 1000000},
    };
    for (size_t i = 0; i < 2; i++) {
        ask_raw(w, &asked[i]);
        while (w->letter_count) {
            struct letter l = w->letters[0];
            lose(w, 0);
            answer(w, &l, &page);
        }
        assert_int_equal(w->page.status, KV_E_TIMEOUT);
    }
    world_destroy(w);
}

static void scans_are_limited_and_answers_belong_to_theirs(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 10);
    for (uint32_t i = 0; i < SCANS_MAX; i++)
        ask(w, "", 1000);
    assert_int_equal(scans_active(w->scans), SCANS_MAX);
    ask(w, "", 1000);
    assert_true(w->answered);
    assert_int_equal(w->page.status, KV_E_OVERLOADED);
    struct letter first = w->letters[0];
    serve_all(w, "");
    assert_int_equal(scans_active(w->scans), 0);
    ask(w, "", 1000);
    struct msg_range_page nothing = {.done = 1}, failed = {.status = KV_E_IO};
    for (first.member = 1; first.member <= MEMBERS; first.member++)
        answer(w, &first, &failed); /* of a scan that is over */
    while (w->letter_count > 1)
        serve(w, 0, "");
    struct letter twice = w->letters[0];
    assert_false(w->answered);
    twice.member = 1 + twice.member % MEMBERS; /* who has answered already */
    answer(w, &twice, &nothing);
    assert_false(w->answered);
    serve_all(w, "");
    assert_int_equal(w->page.count, 10);
    assert_int_equal(w->page.complete, 1);
    world_destroy(w);
}

static void change_ring(struct world *w, const struct ring_spec *spec)
{
    struct ring *old = w->ring;
    w->ring = rings_make(spec);
    scans_ring_set(w->scans, w->now, w->ring);
    ring_destroy(old);
    scans_tick(w->scans, w->now, w->hlc, &w->out);
    collect(w);
}

/* Answers under two rings are not mixed. */
static void a_new_ring_begins_the_page_anew(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct ring_spec spec = {.epoch = 2, .replicas = 3, .after = ids_to(MEMBERS)};
    fill(w, 100);
    ask(w, "", 1000);
    struct letter first = w->letters[0];
    for (int i = 0; i < 4; i++)
        serve(w, 0, "");
    w->letter_count = 0;
    change_ring(w, &spec);
    assert_int_equal(w->letter_count, MEMBERS);
    assert_true(w->letters[0].id != first.id);
    struct msg_range_page nothing = {.done = 1};
    answer(w, &first, &nothing); /* it would be the last one */
    assert_false(w->answered);
    serve_all(w, "");
    assert_true(w->answered);
    assert_int_equal(w->page.count, 100);
    assert_int_equal(w->page.complete, 1);
    world_destroy(w);
}

static void who_has_another_ring_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct msg_range_page wrong = {.status = KV_E_WRONG_RING};
    fill(w, 100);
    for (int lost = 0; lost < 2; lost++) {
        ask(w, "", 1000);
        for (int i = 0; i < 5; i++) {
            struct letter l = w->letters[w->letter_count - 1];
            assert_int_equal(l.member, MEMBERS);
            lose(w, w->letter_count - 1);
            answer(w, &l, &wrong);
            assert_true(scans_deadline_us(w->scans) == w->now.mono_us + SCAN_RETRY_US);
            w->now.mono_us += SCAN_RETRY_US;
            scans_tick(w->scans, w->now, w->hlc, &w->out);
            collect(w);
        }
        assert_false(w->answered);
        if (lost) { /* while it is held */
            struct letter l = w->letters[w->letter_count - 1];
            lose(w, w->letter_count - 1);
            answer(w, &l, &wrong);
            scans_peer_set(w->scans, w->now, w->hlc, MEMBERS, false, &w->out);
        }
        serve_all(w, "");
        assert_true(w->answered);
        assert_int_equal(w->page.count, 100);
        assert_int_equal(w->page.complete, 1);
    }
    world_destroy(w);
}

/* A page is complete by the homes that are read; who is given up is not asked. */
static void slots_are_covered_by_the_homes_that_are_read(void **state)
{
    (void)state;
    struct msg_range_page failed = {.status = KV_E_IO};
    for (enum ring_phase phase = RING_PENDING; phase <= RING_SWITCH; phase++) {
        for (uint32_t silent = 2; silent <= MEMBERS; silent++) {
            for (uint32_t dead = 0; dead <= 2; dead += 2) {
                struct world *w = world_create();
                struct ring_spec spec = {.epoch = 2, .replicas = 3, .phase = phase, .since = 2 - phase / 2};
                spec.before = ids_to(MEMBERS - 1);
                spec.after = ids_to(MEMBERS) & ~id_bit(2);
                spec.dead = dead ? id_bit(dead) : 0;
                fill(w, 10);
                change_ring(w, &spec);
                ask(w, "", 1000);
                assert_int_equal(w->letter_count, MEMBERS - (dead != 0));
                uint32_t failing = 0;
                for (uint32_t i = w->letter_count; i-- > 0;) {
                    struct letter l = w->letters[i];
                    assert_true(l.member != dead);
                    if (l.member != silent) {
                        serve(w, i, "");
                        continue;
                    }
                    lose(w, i);
                    answer(w, &l, &failed);
                    failing++;
                }
                bool enough = true;
                for (uint32_t p = 0; p < RINGS_PARTITIONS; p++) {
                    uint32_t ids[PREFERENCE_MAX], homes = 0;
                    ring_preference(w->ring, p, ids);
                    for (uint32_t h = 0; h < 3; h++)
                        homes += ids[h] != dead && !(failing && ids[h] == silent);
                    enough &= homes >= 2;
                }
                assert_true(w->answered);
                assert_int_equal(w->page.complete, enough);
                world_destroy(w);
            }
        }
    }
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct scans *s;
    struct outbox out;
    struct now now = {0};
    struct message m = {.type = MSG_SCAN, .id = 77};
    assert_int_equal(scans_create(99, &s), KV_OK); /* a node that is no member */
    assert_int_equal(outbox_init(&out), KV_OK);
    struct ring *ring = make_ring();
    for (int i = 0; i < 2; i++) {
        scans_request(s, now, 1, to_conn(9), &m, &out); /* first without a ring, then with nobody */
        assert_int_equal(out.effects[0].send.message.scan_page.status, KV_E_UNAVAILABLE);
        outbox_reset(&out);
        scans_ring_set(s, now, ring);
    }
    scans_destroy(s);
    ring_destroy(ring);
    outbox_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_come_once_and_in_order),
        cmocka_unit_test(a_prefix_selects),
        cmocka_unit_test(an_empty_store_is_done_at_once),
        cmocka_unit_test(the_newest_row_decides_whether_a_key_lives),
        cmocka_unit_test(without_enough_homes_a_page_is_not_complete),
        cmocka_unit_test(a_lost_member_is_waited_for_no_longer),
        cmocka_unit_test(the_silent_are_waited_for_with_patience),
        cmocka_unit_test(the_last_home_makes_a_late_page_complete),
        cmocka_unit_test(malformed_pages_are_failures),
        cmocka_unit_test(scans_are_limited_and_answers_belong_to_theirs),
        cmocka_unit_test(a_new_ring_begins_the_page_anew),
        cmocka_unit_test(who_has_another_ring_is_asked_again),
        cmocka_unit_test(slots_are_covered_by_the_homes_that_are_read),
        cmocka_unit_test(nobody_there_is_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
