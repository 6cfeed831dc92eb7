/* Pages of rows in token order: together they are all rows, each once, whatever bounds a page. */
#include "unit/store_support.h"

#include "model/key.h"
#include "model/limits.h"

#include <stdlib.h>

enum { ROWS = 2500, ARENA_BYTES = 1 << 20 };

struct scan {
    struct store *store;
    struct bytes prefix;
    uint32_t limit;
    uint32_t found; /* entries of all pages */
    uint32_t pages;
    uint64_t last_token;
    struct buf last_key;
};

static void look_at(struct scan *scan, const struct page_entry *entry)
{
    uint64_t token = key_token(entry->key);
    assert_true(bytes_starts_with(entry->key, scan->prefix));
    assert_null(entry->row.payload);
    assert_false(row_is_absent(&entry->row));
    if (scan->found++)
        assert_true(token > scan->last_token ||
                    (token == scan->last_token && bytes_cmp(entry->key, buf_bytes(&scan->last_key)) > 0));
    scan->last_token = token;
    assert_int_equal(buf_set(&scan->last_key, entry->key), KV_OK);
}

static void scan_all(struct scan *scan)
{
    struct arena arena;
    struct buf at = {0};
    struct cursor after = {0};
    arena_init(&arena, ARENA_BYTES);
    for (bool done = false; !done; scan->pages++) {
        struct page_entry *entries;
        struct cursor next;
        uint32_t count;
        assert_int_equal(store_range(scan->store, after, scan->prefix, scan->limit, &arena, &entries, &count,
                                     &next, &done),
                         KV_OK);
        assert_true(count <= scan->limit);
        for (uint32_t i = 0; i < count; i++)
            look_at(scan, &entries[i]);
        assert_true(done || next.token == key_token(next.key));
        assert_int_equal(buf_set(&at, next.key), KV_OK);
        after = (struct cursor){next.token, buf_bytes(&at)};
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    buf_deinit(&at);
    buf_deinit(&scan->last_key);
}

static void pages_are_all_rows_once(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS / 2, 20, false);
    flush_rows(s);
    put_numbered(s, ROWS, 20, false); /* half of them once more, over flushed ones */
    static const uint32_t limits[] = {1, 7, 999, SCAN_PAGE_MAX};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct scan scan = {.store = s, .limit = limits[i]};
        scan_all(&scan);
        assert_int_equal(scan.found, ROWS);
        assert_in_range(scan.pages, ROWS / limits[i], ROWS / limits[i] + 1);
    }
    uint64_t rows, about;
    assert_int_equal(store_count(s, true, &rows), KV_OK);
    assert_true(rows == ROWS);
    assert_int_equal(store_count(s, false, &about), KV_OK);
    assert_true(about > 0);
    store_close(s);
}

/* A rare prefix must not make a page long: bounded is what was looked at. */
static void a_page_is_bounded_by_rows_read(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, 20, false);
    struct scan scan = {.store = s, .prefix = bytes_str("key-0000000"), .limit = 100};
    scan_all(&scan);
    assert_int_equal(scan.found, 10);
    assert_in_range(scan.pages, ROWS / 100, ROWS / 100 + 1);
    struct scan none = {.store = s, .prefix = bytes_str("nothing"), .limit = 1000};
    scan_all(&none);
    assert_int_equal(none.found, 0);
    assert_in_range(none.pages, ROWS / 1000, ROWS / 1000 + 1);
    store_close(s);
}

static void a_page_is_bounded_by_bytes_of_keys(void **state)
{
    enum { LONG_KEYS = 200 };
    struct store *s = open_ok(*state);
    uint8_t key[KEY_MAX_BYTES] = {0};
    for (uint32_t i = 0; i < LONG_KEYS; i++) {
        be32_put(key, i);
        assert_int_equal(put(s, bytes_of(key, sizeof key), tombstone(i + 1), false), KV_OK);
    }
    struct scan scan = {.store = s, .limit = SCAN_PAGE_MAX};
    scan_all(&scan);
    assert_int_equal(scan.found, LONG_KEYS);
    assert_int_equal(scan.pages, LONG_KEYS * KEY_MAX_BYTES / SCAN_PAGE_MAX_BYTES + 1);

    store_close(s);
}

/* Only headers are returned, but the engine reads whole rows. */
static void a_page_is_bounded_by_bytes_read(void **state)
{
    enum { LARGE = 8, LARGE_BYTES = 4 << 20 };
    struct store *s = open_ok(*state);
    uint8_t *value = calloc(1, LARGE_BYTES);
    for (uint32_t i = 0; i < LARGE; i++) {
        char text[KEY_TEXT_BYTES];
        assert_int_equal(put(s, key_number(i, text), row_of(1, value, LARGE_BYTES), false), KV_OK);
    }
    free(value);
    struct scan scan = {.store = s, .limit = SCAN_PAGE_MAX};
    scan_all(&scan);
    assert_int_equal(scan.found, LARGE);
    assert_in_range(scan.pages, LARGE / 2, LARGE / 2 + 1);
    store_close(s);
}

/* A cursor that no key has, and keys that differ in trailing zeros. */
static void a_page_begins_behind_its_cursor(void **state)
{
    struct store *s = open_ok(*state);
    struct arena arena;
    struct page_entry *entries;
    struct cursor next, empty = {0};
    uint32_t count;
    bool done;
    arena_init(&arena, ARENA_BYTES);
    assert_int_equal(store_range(s, empty, bytes_str(""), 10, &arena, &entries, &count, &next, &done), KV_OK);
    assert_int_equal(count, 0);
    assert_true(done);

    struct bytes key = bytes_of("a\0", 2);
    assert_int_equal(put(s, key, row_text(1, "v"), false), KV_OK);
    struct cursor before = {key_token(key), bytes_of("a", 1)};
    assert_int_equal(store_range(s, before, bytes_str(""), 10, &arena, &entries, &count, &next, &done),
                     KV_OK);
    assert_int_equal(count, 1);
    struct cursor at = {key_token(key), key};
    assert_int_equal(store_range(s, at, bytes_str(""), 10, &arena, &entries, &count, &next, &done), KV_OK);
    assert_int_equal(count, 0);
    assert_true(done);
    struct cursor token_only = {key_token(key), bytes_str("")};
    assert_int_equal(store_range(s, token_only, bytes_str(""), 10, &arena, &entries, &count, &next, &done),
                     KV_OK);
    assert_int_equal(count, 1);
    struct cursor last = {UINT64_MAX, bytes_str("x")};
    assert_int_equal(store_range(s, last, bytes_str(""), 10, &arena, &entries, &count, &next, &done), KV_OK);
    assert_int_equal(count, 0);
    assert_true(done);
    arena_deinit(&arena);
    store_close(s);
}

static void a_small_arena_is_an_error(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, 100, 20, false);
    struct arena arena;
    struct page_entry *entries;
    struct cursor next, from = {0};
    uint32_t count;
    bool done;
    arena_init(&arena, 100 * sizeof *entries + 256);
    assert_int_equal(store_range(s, from, bytes_str(""), 100, &arena, &entries, &count, &next, &done),
                     KV_E_NO_MEMORY);
    assert_int_equal(count, 0);
    assert_null(next.key.data);
    arena_deinit(&arena);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(pages_are_all_rows_once),
        CASE(a_page_is_bounded_by_rows_read),
        CASE(a_page_is_bounded_by_bytes_of_keys),
        CASE(a_page_is_bounded_by_bytes_read),
        CASE(a_page_begins_behind_its_cursor),
        CASE(a_small_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
