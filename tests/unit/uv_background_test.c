/* The storage's background work: pages of whole rows, deletes, queries and trees; and what it says is
 * durable. */
#include <string.h>
#include <unistd.h>

#include "uv_support.h"
#include "uv/rowcount.h"
#include "uv/storage_state.h"

static void test_pages_of_whole_rows_count_in_memory(void **state)
{
    (void)state;
    for (uint64_t op = 1; op <= 100; op++)
        write_row(op, 1000);
    wait_for(100);
    struct effect e = {.type = EF_STORE_ROWS, .op = 500, .rows = {.limit_bytes = 10000}};
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    uint64_t most_bytes = 0;
    while (t.count < 101) {
        uv_run(&t.loop, UV_RUN_NOWAIT);
        most_bytes = t.storage->read_bytes > most_bytes ? t.storage->read_bytes : most_bytes;
        storage_flush(t.storage, UINT32_MAX);
    }
    assert_int_equal(t.page_count, 10);
    assert_int_equal(t.page_bytes, 10000);
    assert_int_equal(most_bytes, 10000);
    assert_int_equal(t.storage->read_bytes, 0);
}

/* However much background work there is, a read finds a thread. */
static void test_background_work_leaves_threads(void **state)
{
    (void)state;
    enum { PAGES = 300 };
    write_row(1, 100);
    wait_for(1);
    for (uint64_t op = 2; op < 2 + PAGES; op++) {
        struct effect e = {.type = EF_STORE_ROWS, .op = op};
        assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    }
    assert_int_equal(t.storage->pool_background, STORAGE_BACKGROUND_MAX);
    struct effect range = {.type = EF_STORE_RANGE, .op = 1000, .range = {.limit = 1}};
    assert_int_equal(storage_submit(t.storage, &range), KV_OK);
    assert_int_equal(t.storage->pool_jobs, STORAGE_BACKGROUND_MAX + 1);
    wait_for(1 + PAGES + 1);
    assert_int_equal(t.page_count, PAGES + 1);
    assert_int_equal(t.storage->pool_jobs, 0);
}

static void submit_delete(uint64_t op, uint64_t of, uint64_t hlc)
{
    char text[32];
    struct row_version v = {key_of(of, text), {hlc, 1}};
    struct effect e = {.type = EF_STORE_DELETE, .op = op};
    e.remove.count = 1;
    e.remove.entries = &v;
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    memset(text, 'x', sizeof text); /* it has copies of its own */
    v = (struct row_version){0};
}

static void submit_has(uint64_t op, uint64_t of)
{
    char text[32];
    struct bytes keys[2] = {bytes_str("none"), key_of(of, text)};
    struct effect e = {.type = EF_STORE_HAS, .op = op};
    e.has.count = 2;
    e.has.keys = keys;
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    memset(text, 'x', sizeof text);
}

static void test_deletes_and_queries_see_what_was_asked_before(void **state)
{
    (void)state;
    storage_slow_disk(t.storage, 5);
    t.most = 2;
    write_row(1, 10);
    submit_has(2, 1);
    submit_delete(3, 1, 2);
    submit_has(4, 1);
    wait_for(2);
    assert_int_equal(t.has.row.hlc, 2);
    assert_false(t.has.noted);
    wait_for(4);
    assert_true(in_order());
    assert_int_equal(t.deleted, 1);
    assert_true(stamp_is_zero(t.has.row));
    submit_delete(5, 1, 2);
    wait_for(5);
    assert_int_equal(t.deleted, 0);
    assert_int_equal(storage_counters(t.storage).rows_deleted, 1);
    assert_int_equal(storage_counters(t.storage).inline_writes, 0);
}

static void submit_tree(uint64_t op, bool rehash)
{
    struct effect e = {.type = EF_STORE_TREE, .op = op};
    e.tree.partition = 0;
    e.tree.partitions = 1;
    e.tree.rehash = rehash;
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
}

static void test_trees_are_read_in_the_pool_and_kept_by_the_thread(void **state)
{
    (void)state;
    char text[32];
    uint64_t sum = 0, expected = 0;
    for (uint64_t op = 1; op <= 100; op++) {
        write_row(op, 10);
        expected += row_digest(key_of(op, text), (struct stamp){op + 1, 1});
    }
    wait_for(100);
    submit_tree(101, false);
    wait_for(101);
    assert_int_equal(t.status[100], KV_E_AGAIN); /* now it knows Q */
    submit_tree(102, false);
    wait_for(102);
    assert_int_equal(t.status[101], KV_OK);
    for (uint32_t i = 0; i < TREE_LEAVES; i++)
        sum += t.hashes[i];
    assert_true(sum == expected);
    assert_int_equal(storage_counters(t.storage).tree_leaves, TREE_LEAVES);

    write_row(103, 10);
    wait_for(103);
    submit_tree(104, false);
    wait_for(104);
    assert_int_equal(storage_counters(t.storage).tree_leaves, TREE_LEAVES + 1);
    submit_tree(105, true);
    wait_for(105);
    assert_int_equal(storage_counters(t.storage).tree_leaves, 2 * TREE_LEAVES + 1);
    assert_int_equal(t.status[104], KV_OK);

    /* What is still on its way at the end is forgotten, and nothing with it. */
    for (uint64_t op = 106; op < 200; op++)
        submit_tree(op, true);
    close_storage();
    open_storage(SYNC_ALWAYS);
}

/* Peers hold a store to what it says it has: so it says only what a power cut leaves. */
static void test_the_sequence_told_is_durable(void **state)
{
    (void)state;
    write_row(1, 10);
    wait_for(1);
    uint64_t synced = t.sequence;
    assert_int_equal(synced, store_sequence(t.store));
    submit_delete(2, 1, 2);
    wait_for(2);
    assert_int_equal(t.deleted, 1);
    assert_int_equal(t.sequence, synced);
    close_storage();
    open_storage(SYNC_NONE);
    uint64_t opened = store_sequence(t.store);
    write_row(3, 10);
    wait_for(1);
    assert_int_equal(t.sequence, opened);
    struct effect meta = {.type = EF_STORE_META, .op = 4, .meta = {.name = "test", .value = bytes_str("v")}};
    assert_int_equal(storage_submit(t.storage, &meta), KV_OK);
    wait_for(2);
    assert_int_equal(t.sequence, store_sequence(t.store));
}

/* ---- counting rows ---- */

enum { POOL_THREADS = 4, HELD_MS = 200 }; /* as many as libuv has */

static uv_sem_t held;
static int still_held;

static void hold(uv_work_t *work)
{
    (void)work;
    uv_sem_wait(&held);
}

static void let_go(uv_work_t *work, int status)
{
    (void)work;
    assert_int_equal(status, 0);
    still_held--;
}

/* A count that had to wait for a thread was not dear: the next may follow soon. While partitions move the
 * pool has much to do, and just then there is something to count. */
static void test_waiting_for_the_pool_makes_no_count_dear(void **state)
{
    (void)state;
    struct rowcount r;
    uv_work_t busy[POOL_THREADS];
    write_row(1, 10);
    wait_for(1);
    assert_int_equal(uv_sem_init(&held, 0), 0);
    still_held = POOL_THREADS;
    for (int i = 0; i < POOL_THREADS; i++)
        assert_int_equal(uv_queue_work(&t.loop, &busy[i], hold, let_go), 0);
    rowcount_init(&r, t.store);
    rowcount_poll(&r, &t.loop, 1);
    usleep(HELD_MS * 1000);
    assert_true(r.running);
    for (int i = 0; i < POOL_THREADS; i++)
        uv_sem_post(&held);
    while (r.running || still_held)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(r.rows, 1);
    assert_true(r.cost_us < HELD_MS * 1000 / 2);
    uv_sem_destroy(&held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
        test(test_pages_of_whole_rows_count_in_memory),
        test(test_background_work_leaves_threads),
        test(test_deletes_and_queries_see_what_was_asked_before),
        test(test_trees_are_read_in_the_pool_and_kept_by_the_thread),
        test(test_the_sequence_told_is_durable),
        test(test_waiting_for_the_pool_makes_no_count_dear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
