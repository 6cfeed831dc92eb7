/* The table: against a plain array, and its order of iteration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"
#include "base/prng.h"
#include "kv_error.h"
#include "unit/death.h"

static int values[2000];

static void starts_empty(void **state)
{
    (void)state;
    struct map m = {0};
    assert_int_equal(map_count(&m), 0);
    assert_null(map_get(&m, 0));
    assert_null(map_remove(&m, 0));
    map_deinit(&m);
    map_init(&m);
    assert_int_equal(map_set(&m, 0, &values[0]), KV_OK); /* 0 is a key as any */
    assert_int_equal(map_set(&m, UINT64_MAX, &values[1]), KV_OK);
    assert_ptr_equal(map_get(&m, 0), &values[0]);
    assert_ptr_equal(map_get(&m, UINT64_MAX), &values[1]);
    assert_dies(map_set(&m, 3, NULL));
    map_deinit(&m);
}

static void agrees_with_the_reference(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct map m;
        map_init(&m);
        void *reference[KEYS] = {0};
        size_t count = 0;
        for (int step = 0; step < 10000; step++) {
            size_t i = (size_t)prng_below(&prng, KEYS);
            uint64_t key = (uint64_t)i << 48 | i; /* differs only far apart */
            assert_ptr_equal(map_get(&m, key), reference[i]);
            if (prng_below(&prng, 2)) {
                void *value = &values[prng_below(&prng, 2000)];
                count += reference[i] == NULL;
                reference[i] = value;
                assert_int_equal(map_set(&m, key, value), KV_OK);
            } else {
                count -= reference[i] != NULL;
                assert_ptr_equal(map_remove(&m, key), reference[i]);
                reference[i] = NULL;
            }
            assert_int_equal(map_count(&m), count);
        }
        map_deinit(&m);
    }
}

struct visit {
    struct map *map;
    uint64_t keys[1000];
    size_t count;
    int remove_every; /* 0: none */
};

static void note(uint64_t key, void *value, void *arg)
{
    struct visit *v = arg;
    assert_ptr_equal(value, &values[key % 2000]);
    v->keys[v->count++] = key;
    if (v->remove_every && v->count % (size_t)v->remove_every == 0)
        assert_ptr_equal(map_remove(v->map, key), value);
}

static void visits_in_order_of_insertion(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    struct prng prng;
    prng_init(&prng, 5);
    uint64_t inserted[1000];
    for (size_t i = 0; i < 1000; i++) {
        inserted[i] = prng_u64(&prng);
        assert_int_equal(map_set(&m, inserted[i], &values[inserted[i] % 2000]), KV_OK);
    }
    /* Replacing keeps the place. */
    assert_int_equal(map_set(&m, inserted[10], &values[inserted[10] % 2000]), KV_OK);

    struct visit v = {.map = &m, .remove_every = 2};
    map_each(&m, note, &v);
    assert_int_equal(v.count, 1000);
    assert_memory_equal(v.keys, inserted, sizeof inserted);

    v = (struct visit){.map = &m, .remove_every = 1};
    map_each(&m, note, &v);
    assert_int_equal(v.count, 500);
    for (size_t i = 0; i < 500; i++)
        assert_true(v.keys[i] == inserted[2 * i]);
    assert_int_equal(map_count(&m), 0); /* all removed while visited, the last one included */
    assert_int_equal(map_set(&m, 1, &values[1]), KV_OK);
    map_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty),
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(visits_in_order_of_insertion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
