/* The fault table: an order does what it says, a newer one replaces it, clear undoes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kv_error.h"
#include "uv/fault.h"

static struct faults faults;

static int order(uint8_t kind, uint32_t from, uint32_t percent, uint32_t amount)
{
    struct msg_fault o = {.kind = kind, .from = from, .to = 1, .percent = percent, .amount = amount};
    return faults_order(&faults, &o);
}

static int setup(void **state)
{
    (void)state;
    faults_init(&faults, 7);
    faults.self = 1;
    return 0;
}

static void test_nothing_happens_without_rules(void **state)
{
    (void)state;
    struct verdict v = faults_judge(&faults, 2);
    assert_false(v.drop || v.twice || v.delay_ms);
}

static void test_drop_hits_its_sender_only(void **state)
{
    (void)state;
    assert_int_equal(order(FAULT_DROP, 2, 100, 0), KV_OK);
    assert_true(faults_judge(&faults, 2).drop);
    assert_false(faults_judge(&faults, 3).drop);
    assert_false(faults_judge(&faults, 0).drop); /* clients are never touched */
    assert_int_equal(faults.dropped, 1);
}

static void test_a_share_is_dropped(void **state)
{
    (void)state;
    int dropped = 0;
    assert_int_equal(order(FAULT_DROP, 0, 25, 0), KV_OK);
    for (int i = 0; i < 10000; i++)
        dropped += faults_judge(&faults, 2).drop;
    assert_in_range(dropped, 2300, 2700);
}

static void test_delay_and_duplicate(void **state)
{
    (void)state;
    assert_int_equal(order(FAULT_DELAY, 2, 100, 40), KV_OK);
    assert_int_equal(order(FAULT_DUPLICATE, 2, 100, 0), KV_OK);
    struct verdict v = faults_judge(&faults, 2);
    assert_int_equal(v.delay_ms, 40);
    assert_true(v.twice);
    assert_int_equal(order(FAULT_DELAY, 2, 100, 5), KV_OK); /* replaces */
    assert_int_equal(faults_judge(&faults, 2).delay_ms, 5);
    assert_int_equal(faults.count, 2);
}

static void test_settings(void **state)
{
    (void)state;
    assert_int_equal(order(FAULT_SLOW_DISK, 0, 0, 30), KV_OK);
    assert_int_equal(order(FAULT_SKEW, 0, 0, FAULT_SKEW_ZERO - 400), KV_OK);
    assert_int_equal(faults.slow_disk_ms, 30);
    assert_int_equal(faults.skew_ms, -400);
    assert_int_equal(order(FAULT_SLOW_DISK, 0, 0, 0), KV_OK);
    assert_int_equal(faults.slow_disk_ms, 0);
    assert_int_equal(faults.skew_ms, -400);
}

static void test_clear(void **state)
{
    (void)state;
    order(FAULT_DROP, 2, 100, 0);
    order(FAULT_DROP, 3, 100, 0);
    order(FAULT_SKEW, 0, 0, FAULT_SKEW_ZERO + 9);
    assert_int_equal(order(FAULT_CLEAR, 2, 0, 0), KV_OK);
    assert_false(faults_judge(&faults, 2).drop);
    assert_true(faults_judge(&faults, 3).drop);
    assert_int_equal(order(FAULT_CLEAR, 0, 0, 0), KV_OK);
    assert_int_equal(faults.count, 0);
    assert_int_equal(faults.skew_ms, 0);
}

static void test_bad_orders(void **state)
{
    (void)state;
    assert_int_equal(order(99, 2, 100, 0), KV_E_INVALID);
    assert_int_equal(order(FAULT_DROP, 2, 101, 0), KV_E_INVALID);
    assert_int_equal(order(FAULT_DELAY, 2, 100, FAULT_DELAY_MAX_MS + 1), KV_E_INVALID);
    struct msg_fault elsewhere = {.kind = FAULT_DROP, .from = 2, .to = 3, .percent = 100};
    assert_int_equal(faults_order(&faults, &elsewhere), KV_E_INVALID);
    assert_int_equal(faults.count, 0);
}

static void test_the_table_is_bounded(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= FAULT_RULES_MAX; i++)
        assert_int_equal(order(FAULT_DROP, i, 100, 0), KV_OK);
    assert_int_equal(order(FAULT_DROP, FAULT_RULES_MAX + 1, 100, 0), KV_E_OVERLOADED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_happens_without_rules, setup),
        cmocka_unit_test_setup(test_drop_hits_its_sender_only, setup),
        cmocka_unit_test_setup(test_a_share_is_dropped, setup),
        cmocka_unit_test_setup(test_delay_and_duplicate, setup),
        cmocka_unit_test_setup(test_settings, setup),
        cmocka_unit_test_setup(test_clear, setup),
        cmocka_unit_test_setup(test_bad_orders, setup),
        cmocka_unit_test_setup(test_the_table_is_bounded, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
