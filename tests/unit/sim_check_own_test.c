/* A client reads its own last put, and never goes back. */
#include "sim_check_support.h"

static void test_own_put_not_read(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t old = put_at(&h, 1, "old", 10, 20, 0);
    uint32_t own = put_at(&h, 2, "own", 30, 40, 0);
    get_at(&h, 3, "old", 45, 55, 0); /* wrong too, but not for this checker */
    expect_clean(&h, check_own);
    uint32_t get = get_at(&h, 2, "old", 50, 60, 0);
    expect_found(&h, check_own, CHECK_OWN_OLDER, old, own, get, -1);
    story_end(&h);
}

static void test_own_put_absent(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    del_at(&h, 2, 10, 20, 0);
    uint32_t own = put_at(&h, 1, "own", 30, 40, 0);
    get_at(&h, 1, NULL, 35, 39, 0); /* before its end nothing is promised */
    get_at(&h, 1, NULL, 40, 45, 0); /* nor at one time with it */
    expect_clean(&h, check_own);
    uint32_t get = get_at(&h, 1, NULL, 50, 60, 0);
    expect_found(&h, check_own, CHECK_OWN_OLDER, own, get, -1);
    story_end(&h);
}

static void test_own_delete_not_seen(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t put = put_at(&h, 1, "one", 10, 20, 0);
    uint32_t del = del_at(&h, 1, 30, 40, 0);
    uint32_t get = get_at(&h, 1, "one", 50, 60, 0);
    expect_found(&h, check_own, CHECK_OWN_OLDER, put, del, get, -1);
    story_end(&h);
}

static void test_something_newer_is_fine(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    put_at(&h, 2, "beside", 5, 35, 0);
    put_at(&h, 1, "own", 30, 40, 0);
    get_at(&h, 1, "beside", 50, 60, 0); /* at the same time as the own one: either may win */
    put_at(&h, 2, "later", 70, 80, UNKNOWN);
    get_at(&h, 1, "later", 90, 95, 0);
    del_at(&h, 3, 100, 110, UNKNOWN);
    get_at(&h, 1, NULL, 200, 210, 0);
    story_key(&h, "b");
    ttl_at(&h, 1, "short", 100, 1000, 1010);
    get_at(&h, 1, NULL, 1100, 1110, 0);
    expect_clean(&h, check_own);
    story_end(&h);
}

static void test_reads_that_go_back(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t one = put_at(&h, 1, "one", 10, 20, 0);
    uint32_t two = put_at(&h, 2, "two", 30, 100, 0);
    uint32_t new = get_at(&h, 3, "two", 40, 50, 0);
    get_at(&h, 4, "one", 60, 70, 0); /* another client */
    expect_clean(&h, check_own);
    uint32_t back = get_at(&h, 3, "one", 60, 70, 0);
    expect_found(&h, check_own, CHECK_OWN_BACK, one, two, new, back, -1);
    story_end(&h);
}

static void test_back_to_nothing(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t one = put_at(&h, 1, "one", 10, 100, 0);
    uint32_t there = get_at(&h, 3, "one", 40, 50, 0);
    uint32_t back = get_at(&h, 3, NULL, 60, 70, 0);
    expect_found(&h, check_own, CHECK_OWN_BACK, one, there, back, -1);
    story_end(&h);
}

/* What the store does not promise. */
static void test_clocks_and_sloppiness(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    put_at(&h, 1, "fast clock", 10, 20, SLOPPY);
    put_at(&h, 2, "slow clock", 20 + STORY_SKEW_NS, 200, 0);
    get_at(&h, 2, "fast clock", 210, 220, 0);
    story_key(&h, "b");
    put_at(&h, 1, "in doubt", 10, 20, UNKNOWN); /* its stamp need not be known to a majority */
    put_at(&h, 2, "slow clock", 50, 60, 0);
    get_at(&h, 2, "in doubt", 210, 220, 0);
    story_key(&h, "c");
    put_at(&h, 1, "own", 10, 20, SLOPPY);
    get_at(&h, 1, NULL, 30, 40, 0);
    put_at(&h, 1, "again", 50, 60, 0);
    get_at(&h, 1, "own", 70, 80, SLOPPY);
    expect_clean(&h, check_own);
    story_end(&h);
}

static void test_beyond_the_skew(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t old = put_at(&h, 1, "old", 10, 20, SLOPPY);
    uint32_t own = put_at(&h, 2, "own", 21 + STORY_SKEW_NS, 200, 0);
    uint32_t get = get_at(&h, 2, "old", 210, 220, 0);
    expect_found(&h, check_own, CHECK_OWN_OLDER, old, own, get, -1);
    story_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_put_not_read),      cmocka_unit_test(test_own_put_absent),
        cmocka_unit_test(test_own_delete_not_seen),   cmocka_unit_test(test_something_newer_is_fine),
        cmocka_unit_test(test_reads_that_go_back),    cmocka_unit_test(test_back_to_nothing),
        cmocka_unit_test(test_clocks_and_sloppiness), cmocka_unit_test(test_beyond_the_skew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
