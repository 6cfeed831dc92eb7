/* Nothing deleted or expired comes back. */
#include "sim_check_support.h"

static void test_resurrected_delete(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t put = put_at(&h, 1, "one", 10, 20, 0);
    uint32_t del = del_at(&h, 2, 30, 40, 0);
    get_at(&h, 3, "one", 35, 60, 0); /* at the same time as the delete */
    get_at(&h, 3, "one", 40, 60, 0);
    get_at(&h, 3, NULL, 50, 60, 0);
    expect_clean(&h, check_absent);
    uint32_t get = get_at(&h, 3, "one", 41, 60, 0);
    expect_found(&h, check_absent, CHECK_ABSENT_DELETED, put, del, get, -1);
    story_end(&h);
}

static void test_resurrected_in_the_end(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t put = put_at(&h, 1, "one", 10, 20, SLOPPY);
    uint32_t del = del_at(&h, 2, 21 + STORY_SKEW_NS, 200, SLOPPY);
    get_at(&h, 3, "one", 250, 260, SLOPPY); /* sloppy reads may miss a delete */
    get_at(&h, 3, "one", 250, 260, 0);      /* and strict ones a sloppy delete */
    expect_clean(&h, check_absent);
    uint32_t get = final_get(&h, "one");
    expect_found(&h, check_absent, CHECK_ABSENT_DELETED, put, del, get, -1);
    story_end(&h);
}

static void test_delete_that_did_not_win(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    del_at(&h, 1, 10, 20, 0);
    put_at(&h, 2, "after", 30, 40, 0);
    del_at(&h, 1, 35, 50, 0); /* beside the put */
    del_at(&h, 3, 60, 70, UNKNOWN);
    del_at(&h, 3, 60, 70, REFUSED);
    del_at(&h, 4, 60, 70, SLOPPY); /* within the skew */
    get_at(&h, 5, "after", 80, 90, 0);
    final_get(&h, "after");
    expect_clean(&h, check_absent);
    story_end(&h);
}

static void test_seen_gone_and_back(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t put = put_at(&h, 1, "one", 10, 500, 0);
    get_at(&h, 2, NULL, 15, 25, 0); /* before it was there */
    uint32_t there = get_at(&h, 2, "one", 20, 30, 0);
    expect_clean(&h, check_absent);
    uint32_t gone = get_at(&h, 2, NULL, 40, 50, 0);
    uint32_t back = get_at(&h, 3, "one", 60, 70, 0);
    expect_found(&h, check_absent, CHECK_ABSENT_GONE, put, there, gone, back, -1);
    story_end(&h);
}

static void test_expired(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t put = ttl_at(&h, 1, "one", 100, 1000, 1020);
    get_at(&h, 2, "one", 1093, 1095, 0);
    get_at(&h, 2, NULL, 1100, 1105, 0); /* some clocks are ahead, some behind */
    get_at(&h, 2, "one", 1110, 1115, 0);
    get_at(&h, 2, NULL, 1140, 1145, 0);
    expect_clean(&h, check_absent);
    uint32_t get = get_at(&h, 2, "one", 1131, 1145, SLOPPY);
    expect_found(&h, check_absent, CHECK_ABSENT_EXPIRED, put, get, -1);
    story_end(&h);
}

static void test_gone_before_its_time(void **state)
{
    (void)state;
    struct history h;
    story_begin(&h);
    uint32_t put = ttl_at(&h, 1, "one", 1000, 1000, 1020);
    uint32_t gone = get_at(&h, 2, NULL, 1100, 1105, 0);
    uint32_t back = get_at(&h, 2, "one", 1110, 1115, 0);
    expect_found(&h, check_absent, CHECK_ABSENT_GONE, put, gone, back, -1);
    story_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resurrected_delete),
        cmocka_unit_test(test_resurrected_in_the_end),
        cmocka_unit_test(test_delete_that_did_not_win),
        cmocka_unit_test(test_seen_gone_and_back),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_gone_before_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
