/* Borrowed bytes and refcounted blobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "unit/death.h"

static int sign(int c)
{
    return (c > 0) - (c < 0);
}

static void order_is_that_of_memcmp_with_prefixes_first(void **state)
{
    (void)state;
    const struct bytes sorted[] = {
        {NULL, 0},       bytes_of("\0", 1), bytes_of("\0\0", 2), bytes_str("a"),    bytes_of("a\0", 2),
        bytes_str("ab"), bytes_str("b"),    bytes_str("\x80"),   bytes_str("\xff"),
    };
    const int count = sizeof sorted / sizeof sorted[0];
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            assert_int_equal(sign(bytes_cmp(sorted[i], sorted[j])), sign(i - j));
            assert_int_equal(bytes_eq(sorted[i], sorted[j]), i == j);
        }
    }
}

static void prefixes(void **state)
{
    (void)state;
    assert_true(bytes_starts_with(bytes_str("abc"), bytes_str("ab")));
    assert_true(bytes_starts_with(bytes_str("abc"), bytes_str("abc")));
    assert_true(bytes_starts_with(bytes_str("abc"), (struct bytes){NULL, 0}));
    assert_true(bytes_starts_with((struct bytes){NULL, 0}, (struct bytes){NULL, 0}));
    assert_false(bytes_starts_with(bytes_str("ab"), bytes_str("abc")));
    assert_false(bytes_starts_with(bytes_str("abc"), bytes_str("b")));
}

static void big_endian_order_is_numeric_order(void **state)
{
    (void)state;
    const uint64_t sorted[] = {0, 1, 255, 256, 65535, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof sorted / sizeof sorted[0]; i++) {
        uint8_t here[8], before[8], small[4];
        be64_put(here, sorted[i]);
        assert_true(be64_get(here) == sorted[i]);
        be32_put(small, (uint32_t)sorted[i]);
        assert_int_equal(be32_get(small), (uint32_t)sorted[i]);
        if (i > 0) {
            be64_put(before, sorted[i - 1]);
            assert_true(memcmp(before, here, 8) < 0);
        }
    }
}

static void a_blob_lives_as_long_as_its_last_reference(void **state)
{
    (void)state;
    char text[] = "value";
    struct blob *b = blob_copy(bytes_str(text));
    text[0] = 'x';
    assert_int_equal(b->refs, 1);
    assert_ptr_equal(blob_ref(b), b);
    assert_int_equal(b->refs, 2);
    blob_unref(b);
    assert_true(bytes_eq(blob_bytes(b), bytes_str("value")));
    blob_unref(b); /* a leak or a use after free shows in the sanitizer build */
}

static void null_is_the_empty_blob(void **state)
{
    (void)state;
    assert_null(blob_copy((struct bytes){NULL, 0}));
    assert_null(blob_ref(NULL));
    blob_unref(NULL);
    assert_int_equal(blob_bytes(NULL).len, 0);
    struct blob *empty = blob_create(0);
    assert_int_equal(blob_bytes(empty).len, 0);
    blob_unref(empty);
    assert_null(blob_create((size_t)UINT32_MAX + 1)); /* its length could not be told */
}

static void a_count_gone_wrong_stops_the_process(void **state)
{
    (void)state;
    struct blob dead = {.refs = 0}, full = {.refs = UINT32_MAX};
    assert_dies(blob_unref(&dead));
    assert_dies(blob_ref(&dead));
    assert_dies(blob_ref(&full));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_that_of_memcmp_with_prefixes_first),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(big_endian_order_is_numeric_order),
        cmocka_unit_test(a_blob_lives_as_long_as_its_last_reference),
        cmocka_unit_test(null_is_the_empty_blob),
        cmocka_unit_test(a_count_gone_wrong_stops_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
