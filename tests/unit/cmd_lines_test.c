/* key<TAB>value lines: whatever the bytes, what is written is read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cmd/common_lines.h"
#include "kv_error.h"

static struct buf text, back;

static void test_every_byte_survives(void **state)
{
    (void)state;
    uint8_t all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    buf_clear(&text);
    buf_clear(&back);
    assert_int_equal(lines_escape(bytes_of(all, 256), &text), KV_OK);
    assert_null(memchr(text.data, '\n', text.len));
    assert_null(memchr(text.data, '\t', text.len));
    assert_int_equal(lines_unescape(buf_bytes(&text), &back), KV_OK);
    assert_true(bytes_eq(buf_bytes(&back), bytes_of(all, 256)));
}

static void test_escapes(void **state)
{
    (void)state;
    buf_clear(&back);
    assert_int_equal(lines_unescape(bytes_str("a\\tb\\nc\\\\d\\x41\\xff"), &back), KV_OK);
    assert_true(bytes_eq(buf_bytes(&back), bytes_str("a\tb\nc\\dA\xff")));
    static const char *const WRONG[] = {"\\", "\\q", "\\x", "\\x4", "\\xg0", "a\\"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
        assert_int_equal(lines_unescape(bytes_str(WRONG[i]), &back), KV_E_MALFORMED);
}

static void test_lines(void **state)
{
    (void)state;
    char input[] = "one\t1\n\nno tab\n\tno key\nbad\\q\tx\ntwo\t\nthree\ta\tb\nlast\tz";
    static const struct {
        int rc;
        const char *key, *value;
    } EXPECTED[] = {
        {1, "one", "1"}, {KV_E_MALFORMED, 0, 0}, {KV_E_MALFORMED, 0, 0}, {KV_E_MALFORMED, 0, 0},
        {1, "two", ""},  {1, "three", "a\tb"},   {1, "last", "z"},       {0, 0, 0},
    };
    FILE *f = fmemopen(input, sizeof input - 1, "r");
    struct lines l;
    lines_init(&l, f);
    for (size_t i = 0; i < sizeof EXPECTED / sizeof *EXPECTED; i++) {
        assert_int_equal(lines_next(&l), EXPECTED[i].rc);
        if (EXPECTED[i].rc != 1)
            continue;
        assert_true(bytes_eq(buf_bytes(&l.key), bytes_str(EXPECTED[i].key)));
        assert_true(bytes_eq(buf_bytes(&l.value), bytes_str(EXPECTED[i].value)));
    }
    assert_int_equal(l.number, 8);
    lines_deinit(&l);
    fclose(f);
}

static void test_random_fields(void **state)
{
    (void)state;
    struct prng p;
    uint8_t field[64];
    prng_init(&p, 11);
    for (int i = 0; i < 20000; i++) {
        size_t n = prng_below(&p, sizeof field + 1);
        for (size_t k = 0; k < n; k++)
            field[k] = (uint8_t)prng_u64(&p);
        buf_clear(&text);
        buf_clear(&back);
        assert_int_equal(lines_escape(bytes_of(field, n), &text), KV_OK);
        assert_int_equal(lines_unescape(buf_bytes(&text), &back), KV_OK);
        assert_true(bytes_eq(buf_bytes(&back), bytes_of(field, n)));
    }
}

static int teardown(void **state)
{
    (void)state;
    buf_deinit(&text);
    buf_deinit(&back);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_survives),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_random_fields),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
