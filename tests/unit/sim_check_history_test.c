/* The record itself: names, limits, order, text. */
#include "sim_check_support.h"

#include <stdio.h>

static void test_names(void **state)
{
    (void)state;
    struct history_names n = {0};
    char text[32];
    uint32_t number, again;
    assert_int_equal(history_names_find(&n, bytes_str("x")), HISTORY_NO_NAME);
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "name%u", i);
        assert_int_equal(history_names_add(&n, bytes_str(text), &number), KV_OK);
        assert_int_equal(number, i);
    }
    assert_int_equal(history_names_add(&n, bytes_of("", 0), &number), KV_OK);
    assert_int_equal(number, 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "name%u", i);
        assert_int_equal(history_names_add(&n, bytes_str(text), &again), KV_OK);
        assert_int_equal(again, i);
        assert_int_equal(history_names_find(&n, bytes_str(text)), i);
        assert_true(bytes_eq(history_names_text(&n, i), bytes_str(text)));
    }
    assert_int_equal(history_names_find(&n, bytes_str("name")), HISTORY_NO_NAME);
    assert_int_equal(history_names_find(&n, bytes_of("name1\0", 6)), HISTORY_NO_NAME);
    history_names_deinit(&n);
}

static void test_what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct history h;
    uint32_t key, value;
    history_init(&h, 2);
    assert_int_equal(history_key(&h, bytes_str("k"), &key), KV_OK);
    assert_int_equal(history_value(&h, bytes_str("v"), &value), KV_OK);
    const struct history_op good = {
        .start_ns = 1, .end_ns = 2, .key = key, .value = value, .kind = HISTORY_PUT};
    struct history_op bad = good;
    bad.start_ns = 3;
    assert_int_equal(history_append(&h, &bad), KV_E_INVALID);
    bad = good, bad.end_ns = UINT64_MAX;
    assert_int_equal(history_append(&h, &bad), KV_E_INVALID);
    bad = good, bad.key = 7;
    assert_int_equal(history_append(&h, &bad), KV_E_INVALID);
    bad = good, bad.value = 7;
    assert_int_equal(history_append(&h, &bad), KV_E_INVALID);
    bad = good, bad.value = HISTORY_ABSENT;
    assert_int_equal(history_append(&h, &bad), KV_E_INVALID);
    bad = good, bad.kind = HISTORY_DEL;
    assert_int_equal(history_append(&h, &bad), KV_E_INVALID);
    bad = good, bad.final = true;
    assert_int_equal(history_append(&h, &bad), KV_E_INVALID);
    assert_int_equal(history_append(&h, &good), KV_OK);
    assert_int_equal(history_append(&h, &good), KV_OK);
    assert_int_equal(history_append(&h, &good), KV_E_OVERLOADED);
    assert_int_equal(h.count, 2);
    history_deinit(&h);
}

static void test_order(void **state)
{
    (void)state;
    struct history h;
    struct prng p;
    prng_init(&p, 1);
    story_begin(&h);
    for (uint32_t i = 0; i < 1000; i++) {
        char key[2] = {(char)('a' + prng_below(&p, 5)), 0};
        uint64_t start = prng_below(&p, 100);
        story_key(&h, key);
        get_at(&h, 1, NULL, start, start + 1, 0);
    }
    assert_int_equal(history_sort(&h), KV_OK);
    assert_int_equal(h.first[0], 0);
    assert_int_equal(h.first[h.keys.count], 1000);
    for (uint32_t k = 0; k < h.keys.count; k++) {
        assert_true(h.first[k + 1] > h.first[k]);
        for (uint32_t i = h.first[k]; i < h.first[k + 1]; i++) {
            const struct history_op *op = &h.ops[h.order[i]];
            assert_int_equal(op->key, k);
            if (i > h.first[k]) {
                const struct history_op *before = &h.ops[h.order[i - 1]];
                assert_true(before->start_ns < op->start_ns ||
                            (before->start_ns == op->start_ns && h.order[i - 1] < h.order[i]));
            }
        }
    }
    story_end(&h);
}

static void expect_text(const struct history *h, uint32_t op, const char *want)
{
    struct buf text = {0};
    assert_int_equal(history_text(h, op, &text), KV_OK);
    assert_int_equal(buf_append_byte(&text, 0), KV_OK);
    assert_string_equal((const char *)text.data, want);
    buf_deinit(&text);
}

static void test_text(void **state)
{
    (void)state;
    struct history h;
    struct check_report r;
    const struct check_options o = {.blank = true};
    struct buf text = {0};
    story_begin(&h);
    expect_text(&h, put_at(&h, 3, "c3-12", 1000, 2500, 0), "client 3  strict put c3-12 ok, 1000 to 2500 ns");
    expect_text(&h, put_at(&h, 3, "c3-13", 3000, 4000, SLOPPY | UNKNOWN),
                "client 3  put c3-13 outcome unknown, 3000 to 4000 ns");
    expect_text(&h, get_at(&h, 2u << HISTORY_CLIENT_BITS | 5, "c3-12", 5000, 6000, SLOPPY),
                "client 5 of file 3  get -> c3-12, 5000 to 6000 ns");
    expect_text(&h, get_at(&h, 5, NULL, 5000, 6000, 0), "client 5  strict get -> absent, 5000 to 6000 ns");
    expect_text(&h, get_at(&h, 5, NULL, 5000, 6000, UNKNOWN), "client 5  strict get failed, 5000 to 6000 ns");
    expect_text(&h, del_at(&h, 5, 5000, 6000, REFUSED), "client 5  strict delete refused, 5000 to 6000 ns");
    expect_text(&h, ttl_at(&h, 5, "short", 70, 5000, 6000),
                "client 5  strict put short ok, for 70 ns, 5000 to 6000 ns");
    expect_text(&h, final_get(&h, NULL), "in the end:  get -> absent");
    story_key(&h, "b");
    put_at(&h, 1, "one", 10, 20, 0);
    final_get(&h, NULL);
    assert_int_equal(history_sort(&h), KV_OK);
    assert_int_equal(check_durable(&h, &o, &r), KV_OK);
    assert_int_equal(r.found, 1);
    assert_int_equal(check_text(&h, &r.shown[0], &text), KV_OK);
    assert_int_equal(buf_append_byte(&text, 0), KV_OK);
    assert_string_equal((const char *)text.data,
                        "key b: an acknowledged put is lost: the key is absent in the end\n"
                        "    client 1  strict put one ok, 10 to 20 ns\n"
                        "    in the end:  get -> absent\n");
    buf_deinit(&text);
    story_end(&h);
}

/* All are counted, the first are kept. */
static void test_many_violations(void **state)
{
    (void)state;
    struct history h;
    struct check_report r;
    const struct check_options o = {.blank = true};
    char key[16];
    story_begin(&h);
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "key%u", i);
        story_key(&h, key);
        put_at(&h, 1, "one", 10, 20, 0);
        final_get(&h, NULL);
    }
    assert_int_equal(history_sort(&h), KV_OK);
    assert_int_equal(check_durable(&h, &o, &r), KV_OK);
    assert_int_equal(r.found, 100);
    assert_int_equal(r.shown_count, CHECK_SHOWN_MAX);
    story_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),           cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_order),           cmocka_unit_test(test_text),
        cmocka_unit_test(test_many_violations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
