/* Pages of a run of tokens: together they are the run's rows, each once and whole, whatever bounds a page. */
#include "unit/store_support.h"

#include "model/key.h"
#include "model/limits.h"

#include <stdlib.h>

enum { ROWS = 2000, VALUE_BYTES = 100, ARENA_BYTES = 1 << 20 };

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, ARENA_BYTES);
    return scratch_setup(state);
}

static int teardown(void **state)
{
    arena_deinit(&arena);
    return scratch_teardown(state);
}

struct found {
    uint32_t rows;
    uint32_t pages;
    uint64_t bytes; /* of the largest page: keys and encoded rows */
    uint64_t first, last;
};

/* All pages of a run; in order, inside it, as asked. */
static struct found pages_of(struct store *s, struct store_run run)
{
    struct found f = {0};
    struct buf at = {0};
    for (bool done = false; !done; f.pages++) {
        struct page_entry *entries;
        struct cursor next;
        uint32_t count;
        uint64_t bytes = 0;
        assert_int_equal(store_rows(s, &run, &arena, &entries, &count, &next, &done), KV_OK);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t token = key_token(entries[i].key);
            assert_true(token >= run.after.token && (token < run.until_token || !run.until_token));
            assert_true(run.headers == !entries[i].row.payload);
            assert_int_equal(entries[i].row.raw_size, VALUE_BYTES);
            f.first = f.rows ? f.first : token;
            assert_true(f.rows == 0 || token > f.last);
            f.last = token;
            f.rows++;
            bytes += entries[i].key.len + ROW_HEADER_BYTES + blob_bytes(entries[i].row.payload).len;
            row_release(&entries[i].row);
        }
        f.bytes = bytes > f.bytes ? bytes : f.bytes;
        assert_true(count > 0 || done);
        assert_int_equal(buf_set(&at, next.key), KV_OK);
        run.after = (struct cursor){next.token, buf_bytes(&at)};
        arena_reset(&arena);
    }
    buf_deinit(&at);
    return f;
}

static struct store *open_full(const char *dir)
{
    struct store *s = open_ok(dir);
    put_numbered(s, ROWS, VALUE_BYTES, false);
    return s;
}

static void all_rows_whole_or_not(void **state)
{
    struct store *s = open_full(*state);
    flush_rows(s);
    for (int headers = 0; headers < 2; headers++) {
        assert_int_equal(pages_of(s, (struct store_run){.headers = headers}).rows, ROWS);
        struct found f = pages_of(s, (struct store_run){.headers = headers, .limit = 7});
        assert_int_equal(f.rows, ROWS);
        assert_in_range(f.pages, ROWS / 7, ROWS / 7 + 1);
    }
    store_close(s);
}

static void a_page_is_bounded_by_bytes(void **state)
{
    enum { PAGE_BYTES = 5000, ROW_BYTES = 12 + ROW_HEADER_BYTES + VALUE_BYTES };
    struct store *s = open_full(*state);
    struct found f = pages_of(s, (struct store_run){.limit_bytes = PAGE_BYTES});
    assert_int_equal(f.rows, ROWS);
    assert_in_range(f.bytes, PAGE_BYTES, PAGE_BYTES + ROW_BYTES);
    f = pages_of(s, (struct store_run){.limit_bytes = 1});
    assert_int_equal(f.bytes, ROW_BYTES); /* never empty */
    f = pages_of(s, (struct store_run){.limit_bytes = PAGE_BYTES, .headers = true});
    assert_int_equal(f.pages, ROWS / SCAN_PAGE_MAX); /* bounds payloads only */
    store_close(s);
}

static void a_page_is_bounded_by_itself(void **state)
{
    enum { LARGE = 5, LARGE_BYTES = 1 << 20 };
    struct store *s = open_ok(*state);
    uint8_t *value = calloc(1, LARGE_BYTES);
    char text[KEY_TEXT_BYTES];
    for (uint32_t i = 0; i < LARGE; i++)
        assert_int_equal(put(s, key_number(i, text), row_of(1, value, LARGE_BYTES), false), KV_OK);
    free(value);
    struct store_run run = {.limit_bytes = UINT32_MAX};
    struct page_entry *entries;
    struct cursor next;
    uint32_t count;
    bool done;
    assert_int_equal(store_rows(s, &run, &arena, &entries, &count, &next, &done), KV_OK);
    assert_int_equal(count, 1);
    assert_int_equal(blob_bytes(entries[0].row.payload).len, LARGE_BYTES);
    assert_false(done);
    row_release(&entries[0].row);
    store_close(s);
}

/* Partitions, and leaves, side by side are everything. */
static void runs_of_tokens_do_not_overlap(void **state)
{
    struct store *s = open_full(*state);
    uint32_t rows = 0, leaves = 0;
    for (uint32_t p = 0; p < Q; p++) {
        struct store_run run = {.after.token = partition_first_token(p, Q),
                                .until_token = partition_first_token(p + 1, Q),
                                .limit = 100};
        struct found f = pages_of(s, run);
        assert_int_equal(token_partition(f.first, Q), p);
        assert_int_equal(token_partition(f.last, Q), p);
        rows += f.rows;
        for (uint32_t leaf = 0; leaf < TREE_LEAVES; leaf++) {
            run.after.token = leaf_first_token(p, leaf, Q);
            run.until_token = leaf_first_token(p, leaf + 1, Q);
            run.headers = true;
            f = pages_of(s, run);
            assert_true(f.rows == 0 || token_leaf(f.first, Q) == leaf);
            leaves += f.rows;
        }
    }
    assert_int_equal(rows, ROWS);
    assert_int_equal(leaves, ROWS);
    struct store_run nothing = {.after.token = 5, .until_token = 3};
    assert_int_equal(pages_of(s, nothing).rows, 0);
    store_close(s);
}

static void errors_leave_nothing_to_release(void **state)
{
    char table[PATH_BYTES];
    struct store *s = open_full(*state);
    flush_rows(s);
    store_close(s);
    find_file(*state, ".sst", table);
    flip_bit(table, file_size(table) / 3, 0);
    s = open_ok(*state);
    struct page_entry *entries;
    struct cursor next;
    struct store_run run = {.limit = 0};
    uint32_t count;
    bool done;
    int status;
    do {
        status = store_rows(s, &run, &arena, &entries, &count, &next, &done);
        for (uint32_t i = 0; i < count; i++)
            row_release(&entries[i].row);
        run.after = next;
    } while (status == KV_OK && !done);
    assert_int_equal(status, KV_E_CORRUPT);
    assert_int_equal(count, 0);
    assert_false(done);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        CASE(all_rows_whole_or_not),           CASE(a_page_is_bounded_by_bytes),
        CASE(a_page_is_bounded_by_itself),     CASE(runs_of_tokens_do_not_overlap),
        CASE(errors_leave_nothing_to_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
