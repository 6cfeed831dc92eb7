/* The growing buffer, and reading back what was appended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "kv_error.h"
#include "unit/death.h"

static void grows_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct buf b = {0};
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(buf_append_byte(&b, (uint8_t)(i * 7)), KV_OK);
    assert_int_equal(b.len, 10000);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], (uint8_t)(i * 7));
    assert_int_equal(buf_append(&b, (struct bytes){NULL, 0}), KV_OK);
    assert_int_equal(b.len, 10000);
    buf_deinit(&b);
    assert_null(b.data);
    buf_deinit(&b);
}

static void a_reserve_holds_its_promise(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_reserve(&b, 0), KV_OK);
    assert_int_equal(buf_reserve(&b, 1000), KV_OK);
    const uint8_t *data = b.data;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_append_byte(&b, 1), KV_OK);
    assert_ptr_equal(b.data, data);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), KV_E_NO_MEMORY);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 1000), KV_E_NO_MEMORY);
    assert_ptr_equal(b.data, data);
    assert_int_equal(b.len, 1000);
    buf_deinit(&b);
}

static void formats_with_a_nul_that_is_not_counted(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_printf(&b, "%d,", i), KV_OK);
        assert_int_equal(b.data[b.len], 0);
    }
    assert_int_equal(b.len, 10 * 2 + 90 * 3);
    assert_true(bytes_starts_with(buf_bytes(&b), bytes_str("0,1,2,")));
    buf_deinit(&b);

    /* A text that ends where the capacity does leaves no room for its NUL. */
    assert_int_equal(buf_reserve(&b, 64), KV_OK);
    size_t cap = b.cap;
    assert_int_equal(buf_printf(&b, "%0*d", (int)cap, 5), KV_OK);
    assert_int_equal(b.len, cap);
    assert_true(b.cap > cap);
    assert_int_equal(b.data[b.len], 0);
    buf_deinit(&b);
}

static void set_takes_a_piece_of_itself(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_set(&b, bytes_str("0123456789")), KV_OK);
    assert_int_equal(buf_set(&b, bytes_of(b.data + 3, 5)), KV_OK);
    assert_true(bytes_eq(buf_bytes(&b), bytes_str("34567")));
    assert_int_equal(buf_set(&b, (struct bytes){NULL, 0}), KV_OK);
    assert_int_equal(b.len, 0);

    char long_text[500];
    memset(long_text, 'z', sizeof long_text);
    assert_int_equal(buf_append_byte(&b, 1), KV_OK);
    assert_int_equal(buf_set(&b, bytes_of(long_text, sizeof long_text)), KV_OK);
    assert_true(bytes_eq(buf_bytes(&b), bytes_of(long_text, sizeof long_text)));
    buf_deinit(&b);
}

static void appending_a_piece_of_itself_is_a_bug_found(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_set(&b, bytes_str("0123456789")), KV_OK);
    assert_dies(buf_append(&b, buf_bytes(&b)));
    buf_deinit(&b);
}

static void reads_back_what_was_appended(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append_byte(&b, 0xfe), KV_OK);
    assert_int_equal(buf_append_be32(&b, 0x01020304), KV_OK);
    assert_int_equal(buf_append_be64(&b, UINT64_C(0x1122334455667788)), KV_OK);
    assert_int_equal(buf_append(&b, bytes_str("rest")), KV_OK);
    assert_memory_equal(b.data, "\xfe\x01\x02\x03\x04\x11\x22\x33\x44\x55\x66\x77\x88rest", 17);

    struct bytes in = buf_bytes(&b), rest;
    uint8_t byte;
    uint32_t u32;
    uint64_t u64;
    assert_int_equal(bytes_take_byte(&in, &byte), KV_OK);
    assert_int_equal(byte, 0xfe);
    assert_int_equal(bytes_take_be32(&in, &u32), KV_OK);
    assert_int_equal(u32, 0x01020304);
    assert_int_equal(bytes_take_be64(&in, &u64), KV_OK);
    assert_true(u64 == UINT64_C(0x1122334455667788));
    assert_int_equal(bytes_take(&in, 4, &rest), KV_OK);
    assert_true(bytes_eq(rest, bytes_str("rest")));
    assert_int_equal(in.len, 0);
    buf_deinit(&b);
}

static void short_input_is_malformed_and_left_alone(void **state)
{
    (void)state;
    const uint8_t seven[7] = {1, 2, 3, 4, 5, 6, 7};
    struct bytes in = bytes_of(seven, 7), out = bytes_str("before");
    uint64_t u64 = 9;
    uint32_t u32 = 9;
    uint8_t byte = 9;
    assert_int_equal(bytes_take_be64(&in, &u64), KV_E_MALFORMED);
    assert_int_equal(bytes_take(&in, 8, &out), KV_E_MALFORMED);
    assert_int_equal(bytes_take(&in, SIZE_MAX, &out), KV_E_MALFORMED);
    assert_int_equal(in.len, 7);
    assert_ptr_equal(in.data, seven);
    in.len = 3;
    assert_int_equal(bytes_take_be32(&in, &u32), KV_E_MALFORMED);
    in = (struct bytes){NULL, 0};
    assert_int_equal(bytes_take_byte(&in, &byte), KV_E_MALFORMED);
    assert_int_equal(bytes_take(&in, 0, &out), KV_OK);
    assert_int_equal(out.len, 0);
    assert_true(u64 == 9 && u32 == 9 && byte == 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_keeps_what_it_has),
        cmocka_unit_test(a_reserve_holds_its_promise),
        cmocka_unit_test(formats_with_a_nul_that_is_not_counted),
        cmocka_unit_test(set_takes_a_piece_of_itself),
        cmocka_unit_test(appending_a_piece_of_itself_is_a_bug_found),
        cmocka_unit_test(reads_back_what_was_appended),
        cmocka_unit_test(short_input_is_malformed_and_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
