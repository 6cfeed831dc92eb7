/* Rows go only if they still are what was meant, all at once; and what there is of a key is told truly. */
#include "unit/store_support.h"

#include "base/prng.h"
#include "model/key.h"
#include "store/engine.h"

#include <stdio.h>

enum { ALICE = 2, BOB = 7 };

static uint32_t delete_one(struct store *s, struct bytes key, uint64_t hlc, bool unless_noted)
{
    uint32_t deleted;
    struct row_version v = {key, {hlc, 1}};
    assert_int_equal(store_delete(s, &v, 1, unless_noted, &deleted), KV_OK);
    return deleted;
}

static struct store_has has_one(struct store *s, struct bytes key)
{
    struct store_has has;
    assert_int_equal(store_has(s, &key, 1, &has), KV_OK);
    return has;
}

static bool row_there(struct store *s, struct bytes key)
{
    return !stamp_is_zero(has_one(s, key).row);
}

static void only_the_version_that_was_meant_goes(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes k = bytes_str("k");
    assert_int_equal(delete_one(s, k, 5, false), 0);
    assert_int_equal(put(s, k, row_text(5, "five"), false), KV_OK);
    assert_int_equal(put(s, k, tombstone(9), false), KV_OK); /* operands that nobody has folded yet */
    assert_int_equal(delete_one(s, k, 5, false), 0);
    assert_int_equal(delete_one(s, k, 10, false), 0);
    assert_true(has_one(s, k).row.hlc == 9);
    assert_int_equal(delete_one(s, k, 9, false), 1);
    assert_false(row_there(s, k));
    assert_int_equal(delete_one(s, k, 9, false), 0);

    /* An older write may come back: it is as if the key had never been. */
    assert_int_equal(put(s, k, row_text(3, "three"), false), KV_OK);
    assert_true(has_one(s, k).row.hlc == 3);
    store_close(s);
    s = open_ok(*state);
    assert_true(has_one(s, k).row.hlc == 3);
    uint64_t rows;
    assert_int_equal(store_count(s, true, &rows), KV_OK);
    assert_true(rows == 1);
    store_close(s);
}

static void a_note_of_anybody_keeps_a_row(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes k = bytes_str("k");
    assert_int_equal(put_noted(s, k, row_text(5, "v"), ALICE, BOB), KV_OK);
    for (int reopened = 0; reopened < 2; reopened++) {
        assert_true(has_one(s, k).noted);
        assert_int_equal(delete_one(s, k, 5, true), 0);
        store_close(s);
        s = open_ok(*state);
    }
    assert_int_equal(store_hint_done(s, ALICE, k, (struct stamp){5, 1}, false), KV_OK);
    assert_int_equal(delete_one(s, k, 5, true), 0);
    assert_int_equal(store_hint_done(s, BOB, k, (struct stamp){5, 1}, false), KV_OK);
    assert_false(has_one(s, k).noted);
    assert_int_equal(delete_one(s, k, 5, true), 1);

    /* A note whose row has gone is a note still. */
    assert_int_equal(put_noted(s, k, row_text(6, "v"), ALICE, 0), KV_OK);
    assert_int_equal(delete_one(s, k, 6, false), 1);
    assert_true(has_one(s, k).noted && !row_there(s, k));
    store_close(s);
}

static void a_batch_takes_those_that_match(void **state)
{
    enum { MOST = STORE_KEYS_MAX };
    static char texts[MOST][KEY_TEXT_BYTES];
    static struct row_version rows[MOST];
    static struct bytes keys[MOST];
    static struct store_has has[MOST];
    struct store *s = open_ok(*state);
    put_numbered(s, MOST, 50, false);
    for (uint32_t i = 0; i < MOST; i++) {
        keys[i] = key_number(i, texts[i]);
        rows[i] = (struct row_version){keys[i], {i % 3 ? i + 1 : 7777, 1}};
    }
    uint32_t deleted;
    uint64_t before = store_sequence(s);
    assert_int_equal(store_delete(s, rows, MOST, true, &deleted), KV_OK);
    assert_int_equal(deleted, MOST - (MOST + 2) / 3);
    assert_true(store_sequence(s) > before);
    assert_int_equal(store_has(s, keys, MOST, has), KV_OK);
    for (uint32_t i = 0; i < MOST; i++) {
        assert_true(has[i].row.hlc == (i % 3 ? 0 : i + 1));
        assert_false(has[i].noted);
    }
    uint64_t count;
    assert_int_equal(store_count(s, true, &count), KV_OK);
    assert_true(count == MOST - deleted);
    rows[0].key = bytes_str("");
    assert_int_equal(store_delete(s, rows, 1, true, &deleted), KV_E_INVALID);
    keys[0] = bytes_str("");
    assert_int_equal(store_has(s, keys, 1, has), KV_E_INVALID);
    store_close(s);
}

/* A key that is written so often that its writes fold what is there: what is gone must not come back. */
static void a_hot_key_is_gone_too(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes k = bytes_str("hot");
    uint64_t hlc = 0;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < round; i++)
            assert_int_equal(put(s, k, row_text(++hlc, "v"), false), KV_OK);
        assert_int_equal(delete_one(s, k, hlc, true), round > 0);
        assert_false(row_there(s, k));
    }
    store_close(s);
}

/* A row that cannot be read is not known to be the one that was meant. */
static void an_unreadable_row_stays(void **state)
{
    enum { ROWS = 400 };
    char table[PATH_BYTES], text[KEY_TEXT_BYTES];
    struct store *s = open_ok(*state);
    put_numbered(s, ROWS, 1000, false);
    flush_rows(s);
    store_close(s);
    find_file(*state, ".sst", table);
    flip_bit(table, file_size(table) / 3, 0);
    s = open_ok(*state);
    uint32_t gone = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        gone += delete_one(s, key_number(i, text), i + 1, true);
    assert_in_range(gone, ROWS * 3 / 4, ROWS - 1);
    int unknown = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        struct store_has has;
        struct bytes key = key_number(i, text);
        unknown += store_has(s, &key, 1, &has) == KV_E_CORRUPT;
    }
    assert_int_equal(unknown, ROWS - gone);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(only_the_version_that_was_meant_goes),
        CASE(a_note_of_anybody_keeps_a_row),
        CASE(a_batch_takes_those_that_match),
        CASE(a_hot_key_is_gone_too),
        CASE(an_unreadable_row_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
