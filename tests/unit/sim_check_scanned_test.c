/* A complete scan misses no key that was strictly put before it began. */
#include "sim_check_support.h"

enum { KEYS = 4, BEGAN = 100 };

/* What a scan of all keys that begin with `prefix` has missed, which saw those in `seen`; HISTORY_NO_NAME. */
static uint32_t missed(struct history *h, const char *prefix, const char *seen, uint64_t judged)
{
    bool saw[KEYS] = {false};
    uint32_t key;
    struct history_scan scan = {.start_ns = BEGAN, .prefix = bytes_str(prefix), .seen = saw};
    assert_true(h->keys.count <= KEYS);
    for (; *seen; seen++)
        saw[history_names_find(&h->keys, bytes_of(seen, 1))] = true;
    assert_int_equal(history_sort(h), KV_OK);
    assert_int_equal(check_scanned(h, &scan, &key), judged);
    return key;
}

static uint32_t key_of(const struct history *h, const char *key)
{
    return history_names_find(&h->keys, bytes_str(key));
}

static void test_a_key_that_was_there(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    put_at(&h, 1, "one", 10, 20, 0);
    story_key(&h, "b");
    put_at(&h, 2, "two", 30, BEGAN - 1, 0);
    get_at(&h, 2, "two", 40, 50, 0);
    assert_int_equal(missed(&h, "", "ab", 2), HISTORY_NO_NAME);
    assert_int_equal(missed(&h, "", "a", 2), key_of(&h, "b"));
    assert_int_equal(missed(&h, "", "", 2), key_of(&h, "a"));
    assert_int_equal(missed(&h, "b", "", 1), key_of(&h, "b"));
    assert_int_equal(missed(&h, "c", "", 0), HISTORY_NO_NAME);
    story_end(&h);
}

static void test_a_key_that_need_not_be_there(void **state)
{
    (void)state;
    static const struct {
        uint64_t end;
        int flags;
    } puts[] = {{BEGAN, 0}, {BEGAN - 1, SLOPPY}, {BEGAN - 1, UNKNOWN}, {BEGAN - 1, REFUSED}};
    for (size_t i = 0; i < sizeof puts / sizeof puts[0]; i++) {
        struct history h;
        story_begin(&h);
        put_at(&h, 1, "one", 10, puts[i].end, puts[i].flags);
        assert_int_equal(missed(&h, "", "", 0), HISTORY_NO_NAME);
        story_end(&h);
    }
}

/* Nothing is said of a key that was ever meant to go, whenever that was. */
static void test_a_key_that_goes(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    put_at(&h, 1, "one", 10, 20, 0);
    del_at(&h, 2, BEGAN + 10, BEGAN + 20, UNKNOWN);
    story_key(&h, "b");
    ttl_at(&h, 1, "two", 1000, 10, 20);
    assert_int_equal(missed(&h, "", "", 0), HISTORY_NO_NAME);
    story_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_that_was_there),
        cmocka_unit_test(test_a_key_that_need_not_be_there),
        cmocka_unit_test(test_a_key_that_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
