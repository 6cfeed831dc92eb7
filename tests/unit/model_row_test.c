/* Rows: what may be one, their bytes, their ownership. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/prng.h"
#include "kv_error.h"
#include "model/limits.h"
#include "model/row.h"

static struct row live(const char *value)
{
    return (struct row){
        .kind = ROW_REGISTER,
        .stamp = {.hlc = 0x0102030405060708, .origin = 0x1112131415161718},
        .raw_size = (uint32_t)strlen(value),
        .expires_hlc = 0x2122232425262728,
        .payload = blob_copy(bytes_str(value)),
    };
}

/* Header and payload in `out`; returns all its bytes. */
static struct bytes encode(const struct row *r, uint8_t *out)
{
    struct bytes payload = blob_bytes(r->payload);
    row_encode_header(r, out);
    if (payload.len)
        memcpy(out + ROW_HEADER_BYTES, payload.data, payload.len);
    return bytes_of(out, ROW_HEADER_BYTES + payload.len);
}

static void the_layout_is_fixed(void **state)
{
    (void)state;
    const uint8_t expected[ROW_HEADER_BYTES] = {
        1,    0,    0,    0,    0,    0,    0,    5,    1,    2,    3,    4,    5,    6,    7,    8,
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
    };
    struct row r = live("value");
    uint8_t header[ROW_HEADER_BYTES];
    row_encode_header(&r, header);
    assert_memory_equal(header, expected, sizeof expected);
    row_release(&r);
}

static void decoding_gives_back_what_was_encoded(void **state)
{
    (void)state;
    const char *values[] = {"", "v", "a longer value than that"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t bytes[100];
        struct row r = live(values[i]), back;
        assert_int_equal(row_decode(encode(&r, bytes), &back), KV_OK);
        assert_true(stamp_cmp(back.stamp, r.stamp) == 0);
        assert_true(back.expires_hlc == r.expires_hlc);
        assert_int_equal(back.raw_size, r.raw_size);
        assert_true(bytes_eq(blob_bytes(back.payload), bytes_str(values[i])));
        row_release(&back);
        assert_true(row_is_absent(&back));
        row_release(&r);
    }
}

static void damage_is_no_row(void **state)
{
    (void)state;
    struct row r = live("value"), back;
    uint8_t good[64], bad[64];
    struct bytes whole = encode(&r, good);
    for (size_t len = 0; len < whole.len; len++) {
        assert_int_equal(row_decode(bytes_of(good, len), &back), KV_E_CORRUPT);
        assert_true(row_is_absent(&back) && back.payload == NULL);
    }
    const struct {
        size_t at;
        uint8_t value;
    } damage[] = {{0, 0}, {0, 2}, {1, 4}, {1, 0x80}, {2, 1},
                  {3, 1}, {4, 1}, {7, 4}, {7, 6},    {1, ROW_TOMBSTONE}};
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        memcpy(bad, good, whole.len);
        bad[damage[i].at] = damage[i].value;
        assert_int_equal(row_decode(bytes_of(bad, whole.len), &back), KV_E_CORRUPT);
    }
    memcpy(bad, good, whole.len);
    memset(bad + 8, 0, 8);
    assert_int_equal(row_decode(bytes_of(bad, whole.len), &back), KV_E_CORRUPT);
    row_release(&r);
}

/* Whatever decodes passes the check that guards the engine, and encodes to the same bytes. */
static void random_bytes_decode_to_valid_rows_or_none(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    struct row r = live("value");
    uint8_t good[64], bytes[64], again[64];
    struct bytes whole = encode(&r, good);
    uint32_t decoded = 0;
    for (int i = 0; i < 300000; i++) {
        memcpy(bytes, good, whole.len);
        for (uint64_t n = 1 + prng_below(&p, 4); n > 0; n--)
            bytes[prng_below(&p, whole.len)] =
                (uint8_t)(prng_below(&p, 2) ? prng_below(&p, 8) : prng_u64(&p));
        struct bytes in = bytes_of(bytes, prng_below(&p, 4) ? whole.len : prng_below(&p, whole.len));
        struct row back;
        if (row_decode(in, &back) != KV_OK)
            continue;
        decoded++;
        assert_int_equal(row_check(&back, VALUE_MAX_CEILING_BYTES), KV_OK);
        assert_true(bytes_eq(encode(&back, again), in));
        row_release(&back);
    }
    assert_true(decoded > 1000);
    row_release(&r);
}

static int check(struct row r, size_t payload_bytes, uint32_t value_max_bytes)
{
    static const uint8_t zeros[1024];
    r.payload = blob_copy(bytes_of(zeros, payload_bytes));
    int status = row_check(&r, value_max_bytes);
    blob_unref(r.payload);
    return status;
}

static void check_knows_what_a_row_is(void **state)
{
    (void)state;
    const struct row ok = {.kind = ROW_REGISTER, .stamp = {1, 0}, .raw_size = 100};
    struct row r = ok;
    assert_int_equal(check(ok, 100, 100), KV_OK);
    assert_int_equal(check(ok, 100, 99), KV_E_TOO_LARGE);
    assert_int_equal(check(ok, 99, 100), KV_E_INVALID);
    assert_int_equal(check(ok, 0, 100), KV_E_INVALID);
    assert_int_equal(check(row_absent(), 0, 100), KV_E_INVALID);

    r = ok, r.kind = 2;
    assert_int_equal(check(r, 100, 100), KV_E_INVALID);
    r = ok, r.flags = 4;
    assert_int_equal(check(r, 100, 100), KV_E_INVALID);
    r = ok, r.stamp = (struct stamp){0, 1};
    assert_int_equal(check(r, 100, 100), KV_E_INVALID);
    r = ok, r.stamp.hlc = UINT64_MAX; /* no clock could mint above it */
    assert_int_equal(check(r, 100, 100), KV_E_INVALID);
}

static void check_bounds_what_lz4_may_claim(void **state)
{
    (void)state;
    struct row r = {.kind = ROW_REGISTER, .flags = ROW_LZ4, .stamp = {1, 0}, .raw_size = 2550};
    assert_int_equal(check(r, 1000, 4096), KV_OK);
    assert_int_equal(check(r, 10, 4096), KV_OK);
    assert_int_equal(check(r, 9, 4096), KV_E_INVALID);
    assert_int_equal(check(r, 0, 4096), KV_E_INVALID);
    assert_int_equal(check(r, 1000, 2549), KV_E_TOO_LARGE);
    r.raw_size = 1000;
    assert_int_equal(check(r, 1000, 4096), KV_E_INVALID);
}

static void check_lets_a_tombstone_carry_nothing(void **state)
{
    (void)state;
    struct row r = {.kind = ROW_REGISTER, .flags = ROW_TOMBSTONE, .stamp = {1, 0}};
    assert_int_equal(check(r, 0, 100), KV_OK);
    assert_int_equal(check(r, 1, 100), KV_E_INVALID);
    r.raw_size = 1;
    assert_int_equal(check(r, 0, 100), KV_E_INVALID);
    r = (struct row){.kind = ROW_REGISTER, .flags = ROW_TOMBSTONE | ROW_LZ4, .stamp = {1, 0}};
    assert_int_equal(check(r, 0, 100), KV_E_INVALID);
}

static void dead_are_the_absent_the_deleted_and_the_expired(void **state)
{
    (void)state;
    struct row r = {.kind = ROW_REGISTER, .stamp = {10, 1}};
    assert_true(row_is_dead(&(struct row){0}, 0));
    assert_false(row_is_dead(&r, UINT64_MAX));
    r.expires_hlc = 100;
    assert_false(row_is_dead(&r, 99));
    assert_true(row_is_dead(&r, 100));
    r.expires_hlc = 0;
    r.flags = ROW_TOMBSTONE;
    assert_true(row_is_dead(&r, 0));
}

static void references_are_counted(void **state)
{
    (void)state;
    struct row r = live("shared"), other = row_ref(&r);
    assert_ptr_equal(other.payload, r.payload);
    assert_int_equal(r.payload->refs, 2);
    row_release(&r);
    assert_null(r.payload);
    assert_int_equal(other.payload->refs, 1);
    row_release(&other);
    row_release(&other); /* absent by now */
    struct row empty = row_absent();
    other = row_ref(&empty);
    assert_true(row_is_absent(&other));
}

/* It is compared between nodes: the same for ever, and another for whatever is another. */
static void digests_tell_versions_apart(void **state)
{
    (void)state;
    uint64_t d = row_digest(bytes_str("k"), (struct stamp){5, 7});
    assert_true(d == hash64_seeded(bytes_str("k"), hash64_mix(5 + hash64_mix(7))));
    assert_true(d != row_digest(bytes_str("l"), (struct stamp){5, 7}));
    assert_true(d != row_digest(bytes_str("k"), (struct stamp){6, 7}));
    assert_true(d != row_digest(bytes_str("k"), (struct stamp){5, 8}));
    assert_true(d != row_digest(bytes_str("k"), (struct stamp){7, 5}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_fixed),
        cmocka_unit_test(decoding_gives_back_what_was_encoded),
        cmocka_unit_test(damage_is_no_row),
        cmocka_unit_test(random_bytes_decode_to_valid_rows_or_none),
        cmocka_unit_test(check_knows_what_a_row_is),
        cmocka_unit_test(check_bounds_what_lz4_may_claim),
        cmocka_unit_test(check_lets_a_tombstone_carry_nothing),
        cmocka_unit_test(dead_are_the_absent_the_deleted_and_the_expired),
        cmocka_unit_test(references_are_counted),
        cmocka_unit_test(digests_tell_versions_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
