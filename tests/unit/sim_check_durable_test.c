/* Acknowledged puts are there in the end. */
#include "sim_check_support.h"

#include <stdio.h>

static void test_lost_put(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    put_at(&h, 1, "older", 1, 5, 0);
    uint32_t held = put_at(&h, 1, "old", 10, 20, 0);
    put_at(&h, 2, "lost too", 30, 40, 0);
    uint32_t lost = put_at(&h, 2, "lost", 50, 60, 0);
    expect_clean(&h, check_durable); /* nobody looked yet */
    uint32_t final = final_get(&h, "old");
    expect_found(&h, check_durable, CHECK_DURABLE_OLDER, held, lost, final, -1);
    story_end(&h);
}

static void test_lost_altogether(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    del_at(&h, 1, 1, 5, 0);
    uint32_t lost = put_at(&h, 1, "lost", 10, 20, 0);
    put_at(&h, 1, "in doubt", 30, 40, UNKNOWN);
    uint32_t final = final_get(&h, NULL);
    expect_found(&h, check_durable, CHECK_DURABLE_ABSENT, lost, final, -1);
    story_end(&h);
}

/* A set: its members are written once each, and all are read in the end. */
static void test_lost_member(void **state)
{
    (void)state;
    struct history h;
    char name[16];
    story_begin(&h);
    uint32_t lost = 0, final = 0;
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "member%u", i);
        story_key(&h, name);
        uint32_t put = put_at(&h, i % 3, "1", 10 * i, 10 * i + 5,
                              i == 3   ? UNKNOWN
                              : i == 4 ? REFUSED
                                       : SLOPPY);
        bool missing = i == 3 || i == 4 || i == 12;
        uint32_t get = final_get(&h, missing ? NULL : "1");
        if (i == 12) {
            lost = put;
            final = get;
        }
    }
    expect_found(&h, check_durable, CHECK_DURABLE_ABSENT, lost, final, -1);
    story_end(&h);
}

static void test_held_by_nobodys_put(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t lost = put_at(&h, 1, "one", 10, 20, SLOPPY);
    uint32_t final = final_get(&h, "ghost");
    expect_found(&h, check_durable, CHECK_DURABLE_NOBODY, lost, final, -1);
    story_end(&h);
}

static void test_overwritten_or_gone(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    put_at(&h, 1, "one", 10, 20, 0);
    put_at(&h, 2, "two", 15, 30, 0);
    put_at(&h, 3, "three", 25, 40, UNKNOWN);
    final_get(&h, "two"); /* beside the one in doubt, and later than the first */
    story_key(&h, "b");
    put_at(&h, 1, "one", 10, 20, 0);
    del_at(&h, 2, 15, 30, UNKNOWN);
    final_get(&h, NULL);
    story_key(&h, "c");
    ttl_at(&h, 1, "one", 100, 10, 20);
    final_get(&h, NULL);
    story_key(&h, "d");
    put_at(&h, 1, "one", 10, 20, SLOPPY);
    put_at(&h, 2, "within the skew", 20 + STORY_SKEW_NS, 200, SLOPPY);
    final_get(&h, "one");
    story_key(&h, "e");
    put_at(&h, 1, "one", 10, 20, 0);
    get_at(&h, 1, NULL, 30, 40, UNKNOWN); /* the final get failed: nothing is known */
    expect_clean(&h, check_durable);
    story_end(&h);
}

/* One client's puts are in its own order, however close. */
static void test_no_skew_within_a_client(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t held = put_at(&h, 1, "one", 10, 20, SLOPPY);
    uint32_t lost = put_at(&h, 1, "two", 21, 30, SLOPPY);
    uint32_t final = final_get(&h, "one");
    expect_found(&h, check_durable, CHECK_DURABLE_OLDER, held, lost, final, -1);
    story_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_put),
        cmocka_unit_test(test_lost_altogether),
        cmocka_unit_test(test_lost_member),
        cmocka_unit_test(test_held_by_nobodys_put),
        cmocka_unit_test(test_overwritten_or_gone),
        cmocka_unit_test(test_no_skew_within_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
