/* Memory runs out at the n-th allocation, for every n: the error is reported, nothing is lost or leaked, and
 * it goes on when memory is back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/map.h"
#include "kv_error.h"
#include "unit/oom.h"

static int values[200];

static void map_is_whole_after_each_failure(void **state)
{
    (void)state;
    /* 200 keys: the table and its buckets are made and doubled on the way. */
    for (int n = 0;; n++) {
        struct map m;
        map_init(&m);
        uint64_t set = 0;
        int rc = KV_OK;
        oom_after(n);
        while (set < 200 && (rc = map_set(&m, set, &values[set])) == KV_OK)
            set++;
        int hits = oom_end();
        assert_int_equal(rc, set < 200 ? KV_E_NO_MEMORY : KV_OK);
        assert_int_equal(map_count(&m), set);
        for (uint64_t key = 0; key < 200; key++)
            assert_ptr_equal(map_get(&m, key), key < set ? &values[key] : NULL);
        for (; set < 200; set++)
            assert_int_equal(map_set(&m, set, &values[set]), KV_OK);
        assert_int_equal(map_count(&m), 200);
        for (uint64_t key = 0; key < 200; key++)
            assert_ptr_equal(map_remove(&m, key), &values[key]);
        map_deinit(&m);
        if (hits == 0) {
            assert_true(n > 200);
            return;
        }
    }
}

static void buffer_keeps_its_content(void **state)
{
    (void)state;
    struct buf b = {0};
    oom_after(0);
    assert_int_equal(buf_append_byte(&b, 1), KV_E_NO_MEMORY);
    assert_int_equal(buf_printf(&b, "x"), KV_E_NO_MEMORY);
    assert_int_equal(oom_end(), 2);
    assert_null(b.data);
    assert_int_equal(buf_set(&b, bytes_str("kept")), KV_OK);
    oom_after(0);
    assert_int_equal(buf_reserve(&b, 1000), KV_E_NO_MEMORY);
    assert_int_equal(buf_set(&b, bytes_of((uint8_t[1000]){0}, 1000)), KV_E_NO_MEMORY);
    assert_int_equal(oom_end(), 2);
    assert_true(bytes_eq(buf_bytes(&b), bytes_str("kept")));
    buf_deinit(&b);
}

static void heap_keeps_its_nodes(void **state)
{
    (void)state;
    struct heap h;
    heap_init(&h);
    struct heap_node nodes[40] = {0};
    oom_after(1);
    size_t in = 0;
    while (heap_set(&h, &nodes[in], 100 - in) == KV_OK)
        in++;
    assert_int_equal(oom_end(), 1);
    assert_true(in > 0 && in < 40);
    assert_int_equal(h.count, in);
    assert_false(heap_contains(&nodes[in]));
    assert_ptr_equal(heap_first(&h), &nodes[in - 1]);

    assert_int_equal(heap_reserve(&h, 40), KV_OK);
    oom_after(0); /* reserved: cannot fail any more */
    for (; in < 40; in++)
        assert_int_equal(heap_set(&h, &nodes[in], 100 - in), KV_OK);
    assert_int_equal(heap_reserve(&h, 41), KV_E_NO_MEMORY);
    oom_end();
    heap_deinit(&h);
}

static void arena_and_blob_say_no(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    oom_after(0);
    assert_null(arena_alloc(&a, 16));
    assert_string_equal(arena_printf(&a, "text"), "");
    assert_null(arena_copy(&a, bytes_str("x")).data);
    assert_null(blob_create(10));
    assert_null(blob_copy(bytes_str("x")));
    assert_int_equal(oom_end(), 5);
    assert_int_equal(a.used_bytes, 0);
    assert_non_null(arena_alloc(&a, 16));
    oom_after(0);
    assert_null(arena_alloc(&a, 100000)); /* needs a second chunk */
    assert_non_null(arena_alloc(&a, 16)); /* the first still has room */
    oom_end();
    arena_deinit(&a);
}

static void a_steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    for (int turn = 0; turn < 10; turn++) {
        if (turn == 1)
            oom_after(0);
        for (int i = 0; i < 1000; i++)
            assert_non_null(arena_alloc(&a, 500));
        arena_reset(&a);
    }
    assert_int_equal(oom_end(), 0);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_is_whole_after_each_failure),
        cmocka_unit_test(buffer_keeps_its_content),
        cmocka_unit_test(heap_keeps_its_nodes),
        cmocka_unit_test(arena_and_blob_say_no),
        cmocka_unit_test(a_steady_state_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
