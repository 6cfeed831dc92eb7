/* The heap of deadlines against a sorted array that does the same the slow way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/heap.h"
#include "base/prng.h"
#include "kv_error.h"
#include "unit/death.h"

static void first_of_none_is_none(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    assert_null(heap_first(&h));
    assert_true(heap_deadline(&h) == UINT64_MAX);
    struct heap_node stranger = {0};
    heap_remove(&h, &stranger);
    assert_false(heap_contains(&stranger));
    heap_deinit(&h);
}

static void equal_times_come_in_order_of_insertion(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    struct heap_node nodes[100] = {0};
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(heap_set(&h, &nodes[i], 7), KV_OK);
    assert_int_equal(heap_set(&h, &nodes[0], 7), KV_OK); /* set again: now the last */
    for (size_t i = 1; i <= 100; i++) {
        assert_ptr_equal(heap_first(&h), &nodes[i % 100]);
        heap_remove(&h, heap_first(&h));
    }
    assert_int_equal(h.count, 0);
    heap_deinit(&h);
}

static void check(const struct heap *h)
{
    for (size_t i = 0; i < h->count; i++) {
        assert_int_equal(h->nodes[i]->index, i + 1);
        if (i > 0) {
            const struct heap_node *parent = h->nodes[(i - 1) / 2];
            assert_true(parent->at < h->nodes[i]->at ||
                        (parent->at == h->nodes[i]->at && parent->order < h->nodes[i]->order));
        }
    }
}

/* The slow way: the earliest is found by looking at all. */
enum { NODES = 64 };

struct reference {
    bool in[NODES];
    uint64_t at[NODES];
    uint64_t order[NODES];
    uint64_t next_order;
};

static int reference_first(const struct reference *r)
{
    int best = -1;
    for (int i = 0; i < NODES; i++)
        if (r->in[i] &&
            (best < 0 || r->at[i] < r->at[best] || (r->at[i] == r->at[best] && r->order[i] < r->order[best])))
            best = i;
    return best;
}

static void agrees_with_the_reference(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct heap h;
        heap_init(&h);
        struct heap_node nodes[NODES] = {0};
        struct reference r = {0};
        for (int step = 0; step < 5000; step++) {
            size_t i = (size_t)prng_below(&prng, NODES);
            if (prng_below(&prng, 3) > 0) {
                r.at[i] = prng_below(&prng, 20); /* few values: many ties */
                r.order[i] = r.next_order++;
                r.in[i] = true;
                assert_int_equal(heap_set(&h, &nodes[i], r.at[i]), KV_OK);
            } else {
                r.in[i] = false;
                heap_remove(&h, &nodes[i]);
            }
            int first = reference_first(&r);
            assert_ptr_equal(heap_first(&h), first < 0 ? NULL : &nodes[first]);
            assert_true(heap_deadline(&h) == (first < 0 ? UINT64_MAX : r.at[first]));
            for (int n = 0; n < NODES; n++)
                assert_int_equal(heap_contains(&nodes[n]), r.in[n]);
            if (step % 50 == 0)
                check(&h);
        }
        heap_deinit(&h);
    }
}

static void a_node_of_another_heap_is_a_bug_found(void **state)
{
    (void)state;
    struct heap a, b;
    heap_init(&a);
    heap_init(&b);
    struct heap_node node = {0}, other = {0};
    assert_int_equal(heap_set(&a, &node, 1), KV_OK);
    assert_int_equal(heap_set(&b, &other, 1), KV_OK);
    assert_dies(heap_remove(&b, &node));
    assert_dies(heap_set(&b, &node, 2));
    heap_deinit(&a);
    heap_deinit(&b);
}

static void a_reserve_too_large_is_refused(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    assert_int_equal(heap_reserve(&h, SIZE_MAX), KV_E_NO_MEMORY);
    assert_int_equal(heap_reserve(&h, 1000), KV_OK);
    assert_true(h.cap >= 1000);
    heap_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_of_none_is_none),
        cmocka_unit_test(equal_times_come_in_order_of_insertion),
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(a_node_of_another_heap_is_a_bug_found),
        cmocka_unit_test(a_reserve_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
