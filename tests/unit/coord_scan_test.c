/* The pages of a scan: in token order, the newest row of a key decides, the frontier, and what is malformed.
 * Whether they are complete: coord_scan_members_test. */
#include "base/prng.h"
#include "unit/coord_scan_world.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_come_once_and_in_order),
        cmocka_unit_test(a_prefix_selects),
        cmocka_unit_test(an_empty_store_is_done_at_once),
        cmocka_unit_test(the_newest_row_decides_whether_a_key_lives),
        cmocka_unit_test(malformed_pages_are_failures),
        cmocka_unit_test(scans_are_limited_and_answers_belong_to_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
