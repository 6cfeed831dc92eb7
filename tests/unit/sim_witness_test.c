/* The witness of what stores take: it accuses what must not be, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/id.h"
#include "sim/store.h"

static struct witness w;
static struct sim_store *st;
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    w = (struct witness){.unique = true};
    st = sim_store_create(1);
    sim_store_witness(st, &w);
    arena_init(&arena, 8u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_store_destroy(st);
    witness_deinit(&w);
    arena_deinit(&arena);
    return 0;
}

static void run(struct effect e)
{
    struct event done;
    struct sim_job *job = sim_store_submit(st, &e);
    sim_store_finish(st, job, &arena, &done);
    sim_job_release(job, &done);
    arena_reset(&arena);
}

static void put(const char *key, uint64_t hlc, const char *value)
{
    struct effect e = {.type = EF_STORE_WRITE};
    e.write.key = bytes_str(key);
    e.write.row = (struct row){.kind = ROW_REGISTER,
                               .flags = value ? 0 : ROW_TOMBSTONE,
                               .stamp = {hlc, 1},
                               .payload = value ? blob_copy(bytes_str(value)) : NULL};
    run(e);
}

static void take_away(const char *key, uint64_t hlc, enum id_owner owner)
{
    struct row_version row = {.key = bytes_str(key), .stamp = {hlc, 1}};
    struct effect e = {.type = EF_STORE_DELETE, .op = id_make(owner, 1)};
    e.remove.count = 1;
    e.remove.entries = &row;
    run(e);
}

static void what_is_older_than_what_was_purged_has_risen(void **state)
{
    (void)state;
    put("a", 10, NULL);
    put("a", 5, "before the purge, and late");
    take_away("a", 10, ID_PURGE);
    assert_int_equal(w.risen.count, 0);
    put("a", 11, "newer");
    put("b", 4, "another key");
    assert_int_equal(w.risen.count, 0);
    put("a", 6, "older");
    assert_int_equal(w.risen.count, 1);
    assert_int_equal(w.risen.records[0].stamp.hlc, 6);
}

static void what_is_dropped_may_come_again(void **state)
{
    (void)state;
    put("a", 10, "moved");
    take_away("a", 10, ID_DROP);
    put("a", 5, "older");
    assert_int_equal(w.risen.count, 0);
    assert_false(witness_may_be_purged(&w, bytes_str("a"), (struct stamp){5, 1}));
}

static void a_purge_that_finds_another_row_purges_nothing(void **state)
{
    (void)state;
    put("a", 12, "newer");
    take_away("a", 10, ID_PURGE);
    assert_false(witness_may_be_purged(&w, bytes_str("a"), (struct stamp){10, 1}));
    put("b", 10, NULL);
    take_away("b", 10, ID_PURGE);
    assert_true(witness_may_be_purged(&w, bytes_str("b"), (struct stamp){10, 1}));
    assert_false(witness_may_be_purged(&w, bytes_str("b"), (struct stamp){11, 1}));
}

static void a_value_with_two_stamps_is_a_twin(void **state)
{
    (void)state;
    put("a", 10, "one");
    put("a", 10, "one");
    put("a", 11, "two");
    put("a", 12, NULL);
    put("a", 13, NULL);
    assert_int_equal(w.twins.count, 0);
    put("a", 14, "one");
    assert_int_equal(w.twins.count, 1);
    assert_int_equal(w.twins.records[0].stamp.hlc, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_older_than_what_was_purged_has_risen, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_dropped_may_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_purge_that_finds_another_row_purges_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_with_two_stamps_is_a_twin, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
