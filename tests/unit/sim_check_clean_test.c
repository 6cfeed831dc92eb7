/* A store that keeps its promises is never accused: random histories of an atomic one, and a long one. And
 * one that breaks them at random is caught. */
#include "sim_check_support.h"

#include <stdio.h>
#include <time.h>

static struct check_options options_of(const struct store_load *load)
{
    return (struct check_options){
        .skew_ns = load->skew_ns + 10, .expiry_slack_ns = load->skew_ns + 10, .blank = true};
}

static struct store_load random_load(struct prng *p)
{
    return (struct store_load){
        .clients = 1 + (uint32_t)prng_below(p, 8),
        .keys = 1 + (uint32_t)prng_below(p, 3),
        .ops = 20 + (uint32_t)prng_below(p, 200),
        .depth = prng_below(p, 3) ? 1 : 4,
        .unknown_percent = prng_below(p, 2) ? 0 : (uint32_t)prng_below(p, 40),
        .del_percent = prng_below(p, 2) ? 0 : (uint32_t)prng_below(p, 30),
        .ttl_percent = prng_below(p, 3) ? 0 : (uint32_t)prng_below(p, 60),
        .sloppy = prng_below(p, 3) == 0,
        .skew_ns = prng_below(p, 2) ? 0 : prng_below(p, 2000),
    };
}

static void test_clean_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct history h;
        struct prng p;
        prng_init(&p, seed);
        struct store_load load = random_load(&p);
        struct check_options o = options_of(&load);
        history_init(&h, 10000);
        record_atomic_store(&h, &load, &p);
        expect_all_clean(&h, &o, seed);
        history_deinit(&h);
    }
}

/* Makes one get of a clean history return what a random other one did, and asks whether that is noticed. Some
 * such changes are harmless, so only most of them need be. */
static void test_changed_histories_are_caught(void **state)
{
    (void)state;
    uint32_t caught = 0, tried = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct store_load load = {.clients = 4, .keys = 1, .ops = 200, .depth = 1, .del_percent = 5};
        struct check_options o = options_of(&load);
        struct check_report r;
        struct history h;
        struct prng p;
        prng_init(&p, seed);
        history_init(&h, 10000);
        record_atomic_store(&h, &load, &p);
        struct history_op *a = &h.ops[prng_below(&p, h.count)], *b = &h.ops[prng_below(&p, h.count)];
        if (a->kind == HISTORY_GET && b->kind == HISTORY_GET && !a->final && !b->final &&
            a->value != b->value) {
            tried++;
            a->value = b->value;
            assert_int_equal(history_sort(&h), KV_OK);
            assert_int_equal(check_linear(&h, &o, &r), KV_OK);
            caught += r.found > 0;
        }
        history_deinit(&h);
    }
    print_message("%u of %u changed gets were noticed\n", caught, tried);
    assert_true(tried > 100);
    assert_true(caught * 100 >= tried * 95);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A million operations on few keys, the hard case; the limit leaves room for sanitizers. */
static void test_a_million_operations(void **state)
{
    (void)state;
    struct store_load load = {
        .clients = 50, .keys = 8, .ops = 1000000, .depth = 4, .unknown_percent = 2, .del_percent = 5};
    struct check_options o = options_of(&load);
    struct history h;
    struct prng p;
    prng_init(&p, 1);
    history_init(&h, 2000000);
    record_atomic_store(&h, &load, &p);
    double begin = seconds();
    expect_all_clean(&h, &o, 1);
    double took = seconds() - begin;
    print_message("%zu operations sorted and checked in %.2f s\n", h.count, took);
    assert_true(h.count >= 1000000);
    assert_true(took < 10);
    history_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_histories),
        cmocka_unit_test(test_changed_histories_are_caught),
        cmocka_unit_test(test_a_million_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
