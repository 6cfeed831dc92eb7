/* Rows in and out: every kind, in any order, in batches; the engine merges by the one law. */
#include "unit/store_support.h"

#include "base/prng.h"
#include "model/limits.h"

#include <stdlib.h>
#include <time.h>

/* The stored row's hlc; 0 when absent. Checks that both tiers and the stamp-only read agree. */
static uint64_t stored_hlc(struct store *s, struct bytes key)
{
    struct row whole, stamp, cached;
    assert_int_equal(store_read(s, key, STORE_ANY, false, &whole), KV_OK);
    assert_int_equal(store_read(s, key, STORE_ANY, true, &stamp), KV_OK);
    assert_null(stamp.payload);
    assert_int_equal(stamp_cmp(whole.stamp, stamp.stamp), 0);
    /* A compaction may just have moved the row to a block that nobody has read yet. */
    int status = store_read(s, key, STORE_CACHED, false, &cached);
    if (status == KV_OK)
        assert_int_equal(stamp_cmp(whole.stamp, cached.stamp), 0);
    else
        assert_int_equal(status, KV_E_AGAIN);
    uint64_t hlc = whole.stamp.hlc;
    row_release(&whole);
    row_release(&cached);
    return hlc;
}

static void assert_value(struct store *s, struct bytes key, const void *value, size_t len)
{
    struct row row;
    assert_int_equal(store_read(s, key, STORE_ANY, false, &row), KV_OK);
    assert_false(row_is_absent(&row));
    assert_int_equal(row.raw_size, len);
    assert_true(bytes_eq(blob_bytes(row.payload), bytes_of(value, len)));
    row_release(&row);
}

static void what_was_never_written_is_absent(void **state)
{
    struct store *s = open_ok(*state);
    assert_true(stored_hlc(s, bytes_str("nobody")) == 0);
    flush_rows(s);
    assert_true(stored_hlc(s, bytes_str("nobody")) == 0);
    store_close(s);
}

static void the_newer_row_wins_in_any_order(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("k");
    assert_int_equal(put(s, key, row_text(7, "seven"), false), KV_OK);
    assert_int_equal(put(s, key, row_text(5, "five"), false), KV_OK);
    assert_value(s, key, "seven", 5);
    flush_rows(s); /* the older operand now comes above a flushed value */
    assert_int_equal(put(s, key, row_text(6, "six"), false), KV_OK);
    assert_value(s, key, "seven", 5);
    flush_rows(s);
    assert_value(s, key, "seven", 5);
    assert_int_equal(put(s, key, row_text(8, "eight"), false), KV_OK);
    assert_value(s, key, "eight", 5);

    struct row larger_origin = row_text(8, "larger origin");
    larger_origin.stamp.origin = 2;
    assert_int_equal(put(s, key, larger_origin, false), KV_OK);
    assert_value(s, key, "larger origin", 13);
    assert_int_equal(put(s, key, row_text(8, "eight"), false), KV_OK);
    assert_value(s, key, "larger origin", 13);
    store_close(s);
}

/* Random stamps onto few keys, with flushes and reopening in between, against the largest seen. */
static void merging_agrees_with_the_law(void **state)
{
    enum { KEYS = 20, WRITES = 3000 };
    struct store *s = open_ok(*state);
    struct prng prng;
    uint64_t newest[KEYS] = {0};
    prng_init(&prng, 42);
    for (int i = 0; i < WRITES; i++) {
        char text[KEY_TEXT_BYTES];
        uint32_t k = (uint32_t)prng_below(&prng, KEYS);
        uint64_t hlc = 1 + prng_below(&prng, 1000000);
        newest[k] = hlc > newest[k] ? hlc : newest[k];
        struct row row = prng_below(&prng, 8) ? row_of(hlc, &hlc, sizeof hlc) : tombstone(hlc);
        assert_int_equal(put(s, key_number(k, text), row, false), KV_OK);
        assert_true(stored_hlc(s, key_number(k, text)) == newest[k]);
        if (i % 700 == 699)
            flush_rows(s);
        if (i % 1100 == 1099) {
            store_close(s);
            s = open_ok(*state);
        }
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        char text[KEY_TEXT_BYTES];
        assert_true(stored_hlc(s, key_number(k, text)) == newest[k]);
    }
    store_close(s);
}

static void a_tombstone_is_a_row(void **state)
{
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("k");
    struct row row;
    assert_int_equal(put(s, key, row_text(1, "v"), false), KV_OK);
    assert_int_equal(put(s, key, tombstone(2), true), KV_OK);
    store_close(s);
    s = open_ok(*state);
    assert_int_equal(store_read(s, key, STORE_ANY, false, &row), KV_OK);
    assert_false(row_is_absent(&row));
    assert_int_equal(row.flags, ROW_TOMBSTONE);
    assert_null(row.payload);
    assert_true(row_is_dead(&row, 0));
    store_close(s);
}

static void every_field_comes_back(void **state)
{
    struct store *s = open_ok(*state);
    struct row in = row_of(UINT64_C(0x1122334455667788), "lz4-lz4-lz4", 11), out;
    in.stamp.origin = UINT64_MAX;
    in.flags = ROW_LZ4;
    in.raw_size = 700;
    in.expires_hlc = UINT64_C(0x99aabbccddeeff00);
    struct row copy = row_ref(&in);
    assert_int_equal(put(s, bytes_str("k"), in, false), KV_OK);
    assert_int_equal(store_read(s, bytes_str("k"), STORE_ANY, false, &out), KV_OK);
    assert_int_equal(out.kind, copy.kind);
    assert_int_equal(out.flags, copy.flags);
    assert_int_equal(out.raw_size, copy.raw_size);
    assert_int_equal(stamp_cmp(out.stamp, copy.stamp), 0);
    assert_true(out.expires_hlc == copy.expires_hlc);
    assert_true(bytes_eq(blob_bytes(out.payload), blob_bytes(copy.payload)));
    row_release(&out);
    row_release(&copy);
    store_close(s);
}

static void values_of_every_size(void **state)
{
    static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 70000, VALUE_MAX_BYTES};
    struct store *s = open_ok(*state);
    uint8_t *value = malloc(VALUE_MAX_BYTES);
    assert_non_null(value);
    for (size_t i = 0; i < VALUE_MAX_BYTES; i++)
        value[i] = (uint8_t)(i * 7 + i / 256);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char text[KEY_TEXT_BYTES];
            struct bytes key = key_number((uint32_t)i, text);
            if (round == 0)
                assert_int_equal(put(s, key, row_of(1, value, sizes[i]), true), KV_OK);
            assert_value(s, key, value, sizes[i]);
        }
        store_close(s);
        s = open_ok(*state);
    }
    store_close(s);
    free(value);
}

static void keys_are_any_bytes(void **state)
{
    static uint8_t longest[KEY_MAX_BYTES + 1];
    memset(longest, 0xff, sizeof longest);
    const struct bytes keys[] = {
        bytes_of("\0", 1),   bytes_of("\0\0", 2), bytes_of("a\0b", 3),
        bytes_of("a\0", 2),  bytes_of("a", 1),    bytes_of(longest, KEY_MAX_BYTES),
        bytes_of("\xff", 1), bytes_str("구름"),
    };
    enum { KEYS = sizeof keys / sizeof *keys };
    struct store *s = open_ok(*state);
    for (size_t i = 0; i < KEYS; i++)
        assert_int_equal(put(s, keys[i], row_of(1, &i, sizeof i), false), KV_OK);
    for (size_t i = 0; i < KEYS; i++)
        assert_value(s, keys[i], &i, sizeof i);

    struct row row;
    assert_int_equal(put(s, bytes_str(""), row_text(1, "v"), false), KV_E_INVALID);
    assert_int_equal(put(s, bytes_of(longest, KEY_MAX_BYTES + 1), row_text(1, "v"), false), KV_E_INVALID);
    assert_int_equal(store_read(s, bytes_of(longest, KEY_MAX_BYTES + 1), STORE_ANY, false, &row),
                     KV_E_INVALID);
    uint64_t rows;
    assert_int_equal(store_count(s, true, &rows), KV_OK);
    assert_true(rows == KEYS);
    store_close(s);
}

/* One bad row in a batch, and none of it is there: a bad operand would make its key unwritable for ever. */
static void a_batch_is_written_whole_or_not_at_all(void **state)
{
    enum { PUTS = 5 };
    struct store *s = open_ok(*state);
    struct store_put puts[PUTS];
    char text[PUTS][KEY_TEXT_BYTES];
    uint64_t sequence = 0;
    for (uint32_t i = 0; i < PUTS; i++)
        puts[i] = (struct store_put){.key = key_number(i, text[i]), .row = row_text(1, "value")};

    struct row *bad = &puts[3].row;
    const struct row good = *bad;
    const struct row bads[] = {
        {.kind = 9, .raw_size = 5, .stamp = good.stamp, .payload = good.payload},
        {.kind = ROW_REGISTER, .raw_size = 5, .stamp = {0, 7}, .payload = good.payload},
        {.kind = ROW_REGISTER, .raw_size = 4, .stamp = good.stamp, .payload = good.payload},
        {.kind = ROW_REGISTER, .flags = 0x80, .raw_size = 5, .stamp = good.stamp, .payload = good.payload},
    };
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        *bad = bads[i];
        assert_int_equal(store_write(s, puts, PUTS, true, &sequence), KV_E_INVALID);
    }
    *bad = good;
    for (uint32_t i = 0; i < PUTS; i++)
        assert_true(stored_hlc(s, puts[i].key) == 0);

    puts[4].key = puts[0].key; /* twice in one batch: the larger stamp, not the later place */
    puts[0].row.stamp.hlc = 9;
    assert_int_equal(store_write(s, puts, PUTS, true, &sequence), KV_OK);
    assert_true(sequence == store_sequence(s));
    assert_true(stored_hlc(s, puts[0].key) == 9);
    for (uint32_t i = 1; i < PUTS - 1; i++)
        assert_true(stored_hlc(s, puts[i].key) == 1);
    for (uint32_t i = 0; i < PUTS; i++)
        row_release(&puts[i].row);
    store_close(s);
}

static double read_seconds(struct store *s, struct bytes key)
{
    enum { READS = 50 };
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < READS; i++)
        assert_true(stored_hlc(s, key) != 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

/* Many operands on one key: with the engine's defaults each get would fold them all again, and take some
 * hundred times as long as here. */
static void a_hot_key_stays_readable(void **state)
{
    enum { WRITES = 20000, SLOWER_MAX = 50 };
    struct store *s = open_ok(*state);
    struct bytes key = bytes_str("hot"), other = bytes_str("other");
    assert_int_equal(put(s, other, row_text(1, "v"), false), KV_OK);
    for (uint64_t i = 1; i <= WRITES; i++)
        assert_int_equal(put(s, key, row_of(i, &i, sizeof i), false), KV_OK);
    uint64_t last = WRITES;
    assert_value(s, key, &last, sizeof last);
    assert_true(read_seconds(s, key) < SLOWER_MAX * read_seconds(s, other));
    store_close(s);
    s = open_ok(*state);
    assert_value(s, key, &last, sizeof last);
    flush_rows(s);
    assert_value(s, key, &last, sizeof last);
    uint64_t rows;
    assert_int_equal(store_count(s, true, &rows), KV_OK);
    assert_true(rows == 2);
    store_close(s);
}

static void named_values(void **state)
{
    struct store *s = open_ok(*state);
    struct buf value = {0};
    assert_int_equal(store_meta_get(s, "ring", &value), KV_E_NOT_FOUND);
    assert_int_equal(store_meta_put(s, "ring", bytes_of("a\0b", 3)), KV_OK);
    assert_int_equal(store_meta_put(s, "empty", (struct bytes){NULL, 0}), KV_OK);
    store_close(s);
    s = open_ok(*state);
    assert_int_equal(store_meta_get(s, "ring", &value), KV_OK);
    assert_true(bytes_eq(buf_bytes(&value), bytes_of("a\0b", 3)));
    assert_int_equal(store_meta_get(s, "empty", &value), KV_OK);
    assert_int_equal(value.len, 0);
    assert_int_equal(store_meta_put(s, "ring", bytes_str("next")), KV_OK);
    assert_int_equal(store_meta_get(s, "ring", &value), KV_OK);
    assert_true(bytes_eq(buf_bytes(&value), bytes_str("next")));
    buf_deinit(&value);
    store_close(s);
}

static void the_sequence_never_goes_back(void **state)
{
    struct store *s = open_ok(*state);
    put_numbered(s, 10, 8, false);
    assert_int_equal(store_sync(s), KV_OK);
    uint64_t before = store_sequence(s);
    store_close(s);
    s = open_ok(*state);
    assert_true(store_sequence(s) >= before);
    before = store_sequence(s);
    flush_rows(s);
    assert_int_equal(put(s, bytes_str("k"), row_text(1, "v"), false), KV_OK);
    assert_true(store_sequence(s) > before);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(what_was_never_written_is_absent),
        CASE(the_newer_row_wins_in_any_order),
        CASE(merging_agrees_with_the_law),
        CASE(a_tombstone_is_a_row),
        CASE(every_field_comes_back),
        CASE(values_of_every_size),
        CASE(keys_are_any_bytes),
        CASE(a_batch_is_written_whole_or_not_at_all),
        CASE(a_hot_key_stays_readable),
        CASE(named_values),
        CASE(the_sequence_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
