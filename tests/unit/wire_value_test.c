/* Packing values: when it is worth it, that it comes back whole, and that nothing declared is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "kv_error.h"
#include "unit/wire_support.h"

static uint8_t *space; /* VALUE_MAX_CEILING_BYTES + 1 */

static int setup(void **state)
{
    (void)state;
    space = calloc(1, VALUE_MAX_CEILING_BYTES + 1);
    return space ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(space);
    return 0;
}

static void fill_random(size_t from, size_t to)
{
    struct prng p;
    prng_init(&p, 7);
    for (size_t i = from; i < to; i++)
        space[i] = (uint8_t)prng_u64(&p);
}

static void fill_text(size_t len)
{
    static const char words[] = "the cloud is nowhere and everywhere; ";
    for (size_t i = 0; i < len; i++)
        space[i] = (uint8_t)words[i % (sizeof words - 1)];
}

static struct row packed(size_t len)
{
    struct row row = {.kind = ROW_REGISTER, .stamp = {1, 2}, .flags = ROW_TOMBSTONE, .raw_size = 9};
    assert_int_equal(wire_pack_value(bytes_of(space, len), &row), KV_OK);
    assert_int_equal(row_check(&row, VALUE_MAX_CEILING_BYTES), KV_OK);
    assert_int_equal(row.raw_size, len);
    assert_int_equal(row.flags & ROW_TOMBSTONE, 0);
    return row;
}

/* Whether it was compressed. It comes back as it was. */
static bool round_trip(size_t len)
{
    struct row row = packed(len);
    struct blob *value;
    assert_int_equal(wire_unpack_value(&row, VALUE_MAX_CEILING_BYTES, &value), KV_OK);
    assert_true(bytes_eq(blob_bytes(value), bytes_of(space, len)));
    bool lz4 = row.flags & ROW_LZ4;
    if (lz4)
        assert_true(row.payload->len <= len - len / 8);
    else
        assert_ptr_equal(value, row.payload); /* another reference, no copy */
    blob_unref(value);
    row_release(&row);
    return lz4;
}

static void test_threshold(void **state)
{
    (void)state;
    fill_text(5000);
    assert_false(round_trip(0));
    assert_false(round_trip(1));
    assert_false(round_trip(COMPRESS_MIN_BYTES - 1));
    assert_true(round_trip(COMPRESS_MIN_BYTES));
    assert_true(round_trip(5000));
}

static void test_empty_value(void **state)
{
    (void)state;
    struct row row = packed(0);
    struct blob *value = (struct blob *)space;
    assert_null(row.payload);
    assert_int_equal(wire_unpack_value(&row, 0, &value), KV_OK);
    assert_null(value);
}

/* Incompressible, and saving a little less, a little more than an eighth. */
static void test_only_when_it_saves(void **state)
{
    (void)state;
    size_t len = 64000;
    fill_random(0, len);
    assert_false(round_trip(len));
    memset(space, 0, len);
    fill_random(0, len - len / 8 + 400);
    assert_false(round_trip(len));
    memset(space, 0, len);
    fill_random(0, len - len / 8 - 800);
    assert_true(round_trip(len));
}

static void test_every_byte_and_large_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < 65536; i++)
        space[i] = (uint8_t)i;
    for (size_t len = 0; len < 3000; len += 7)
        round_trip(len);
    fill_text(VALUE_MAX_BYTES);
    assert_true(round_trip(VALUE_MAX_BYTES));
    fill_random(0, VALUE_MAX_BYTES);
    assert_false(round_trip(VALUE_MAX_BYTES));
    fill_text(VALUE_MAX_CEILING_BYTES);
    assert_true(round_trip(VALUE_MAX_CEILING_BYTES));
    struct row row = {.kind = ROW_REGISTER, .stamp = {1, 2}};
    assert_int_equal(wire_pack_value(bytes_of(space, VALUE_MAX_CEILING_BYTES + 1), &row), KV_E_TOO_LARGE);
    assert_null(row.payload);
}

/* A packed blob is as large as what it holds: rows live long. */
static void test_payload_is_exact(void **state)
{
    (void)state;
    memset(space, 'a', 1u << 20);
    struct row row = packed(1u << 20);
    assert_true(row.flags & ROW_LZ4);
    assert_true(row.payload->len < 10000);
    row_release(&row);
}

static int unpack(const struct row *row, uint32_t value_max)
{
    struct blob *value = (struct blob *)space;
    int error = wire_unpack_value(row, value_max, &value);
    if (error)
        assert_null(value);
    else
        blob_unref(value);
    return error;
}

static void test_declared_size_is_not_believed(void **state)
{
    (void)state;
    fill_text(4000);
    struct row row = packed(4000);
    assert_int_equal(unpack(&row, 4000), KV_OK);
    assert_int_equal(unpack(&row, 3999), KV_E_TOO_LARGE);
    for (uint32_t raw = row.payload->len; raw < 8000; raw++) {
        row.raw_size = raw;
        assert_int_equal(unpack(&row, 8000), raw == 4000 ? KV_OK : KV_E_CORRUPT);
    }
    row.raw_size = UINT32_MAX;
    assert_int_equal(unpack(&row, VALUE_MAX_CEILING_BYTES), KV_E_TOO_LARGE);
    row_release(&row);
}

/* 64 MiB declared by a handful of bytes: refused before anything is allocated. */
static void test_bomb(void **state)
{
    (void)state;
    struct row row = {
        .kind = ROW_REGISTER, .flags = ROW_LZ4, .stamp = {1, 2}, .raw_size = VALUE_MAX_CEILING_BYTES};
    assert_int_equal(unpack(&row, VALUE_MAX_CEILING_BYTES), KV_E_CORRUPT);
    row.payload = blob_copy(bytes_of(space, 100));
    assert_int_equal(unpack(&row, VALUE_MAX_CEILING_BYTES), KV_E_CORRUPT);
    row.raw_size = 100 * 255 + 1;
    assert_int_equal(unpack(&row, VALUE_MAX_CEILING_BYTES), KV_E_CORRUPT);
    row_release(&row);
}

static void test_damaged_blocks(void **state)
{
    (void)state;
    fill_text(700);
    fill_random(200, 400);
    struct row row = packed(700);
    assert_true(row.flags & ROW_LZ4);
    for (size_t bit = 0; bit < (size_t)row.payload->len * 8; bit++) {
        row.payload->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int error = unpack(&row, 700);
        assert_true(error == KV_OK || error == KV_E_CORRUPT);
        row.payload->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (uint32_t len = row.payload->len; len > 0;) {
        row.payload->len = --len;
        assert_int_equal(unpack(&row, 700), KV_E_CORRUPT);
    }
    row_release(&row);
}

/* Raw rows whose size is a lie, and rows that only came as a header. */
static void test_raw_rows(void **state)
{
    (void)state;
    struct row row = {.kind = ROW_REGISTER, .stamp = {1, 2}, .raw_size = 5};
    assert_int_equal(unpack(&row, 100), KV_E_CORRUPT);
    row.payload = blob_copy(bytes_str("four"));
    assert_int_equal(unpack(&row, 100), KV_E_CORRUPT);
    row.raw_size = 4;
    assert_int_equal(unpack(&row, 100), KV_OK);
    assert_int_equal(unpack(&row, 3), KV_E_TOO_LARGE);
    row_release(&row);
    row = (struct row){.kind = ROW_REGISTER, .stamp = {1, 2}, .flags = ROW_TOMBSTONE};
    assert_int_equal(unpack(&row, 100), KV_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_empty_value),
        cmocka_unit_test(test_only_when_it_saves),
        cmocka_unit_test(test_every_byte_and_large_values),
        cmocka_unit_test(test_payload_is_exact),
        cmocka_unit_test(test_declared_size_is_not_believed),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_damaged_blocks),
        cmocka_unit_test(test_raw_rows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
