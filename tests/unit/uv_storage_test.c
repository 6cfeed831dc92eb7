/* The storage around a real store: what is one batch, what is written on which thread, in which order it
 * comes back, and what is on disk after it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uv_support.h"
#include "model/pack.h"
#include "uv/storage_state.h"

/* ---- writing ---- */

static void test_a_lone_write_is_synced_at_once(void **state)
{
    (void)state;
    write_row(1, 100);
    assert_int_equal(t.count, 0); /* never from within submit */
    assert_true(storage_pending(t.storage));
    assert_int_equal(storage_flush(t.storage, UINT32_MAX), 1);
    assert_false(storage_pending(t.storage));
    assert_int_equal(t.status[0], KV_OK);
    struct storage_counters c = storage_counters(t.storage);
    assert_int_equal(c.inline_writes, 1);
    assert_int_equal(c.syncs, 1);
}

static void test_many_writes_of_a_turn_are_one_batch(void **state)
{
    (void)state;
    for (uint64_t op = 1; op <= 300; op++)
        write_row(op, 100);
    wait_for(300);
    assert_true(in_order());
    struct storage_counters c = storage_counters(t.storage);
    assert_int_equal(c.inline_writes, 0);
    assert_int_equal(c.batches, 1);
    assert_int_equal(c.syncs, 1);
    assert_int_equal(c.rows, 300);
}

static void test_a_batch_has_its_bounds(void **state)
{
    (void)state;
    for (uint64_t op = 1; op <= 2 * STORAGE_BATCH_MAX + 1; op++)
        write_row(op, 10);
    wait_for(2 * STORAGE_BATCH_MAX + 1);
    assert_int_equal(storage_counters(t.storage).batches, 3);
    for (uint64_t op = 2000; op < 2006; op++)
        write_row(op, STORAGE_BATCH_MAX_BYTES / 2);
    wait_for(2 * STORAGE_BATCH_MAX + 1 + 6);
    assert_int_equal(storage_counters(t.storage).batches, 6);
    assert_true(in_order());
}

/* Until the storage's thread has taken what it was handed. */
static void wait_until_busy(void)
{
    for (bool busy = false; !busy; usleep(100)) {
        pthread_mutex_lock(&t.storage->lock);
        busy = t.storage->busy && list_empty(&t.storage->queue);
        pthread_mutex_unlock(&t.storage->lock);
    }
}

static void test_while_one_batch_syncs_the_next_gathers(void **state)
{
    (void)state;
    storage_slow_disk(t.storage, 300);
    uint64_t begin_us = shell_now_us();
    write_row(1, 10);
    storage_turn(); /* handed over: a slow disk is never waited for on the loop's thread */
    assert_true(shell_now_us() - begin_us < 250000);
    wait_until_busy();
    for (uint64_t op = 2; op <= 50; op++) {
        write_row(op, 10);
        storage_turn();
    }
    wait_for(50);
    assert_true(in_order());
    assert_int_equal(storage_counters(t.storage).inline_writes, 0);
    assert_in_range(storage_counters(t.storage).batches, 2, 3);
}

static void test_a_batch_that_takes_a_second_is_counted(void **state)
{
    (void)state;
    write_row(1, 10);
    wait_for(1);
    assert_int_equal(storage_counters(t.storage).slow_writes, 0);
    storage_slow_disk(t.storage, STORAGE_SLOW_US / 1000);
    write_row(2, 10);
    wait_for(2);
    assert_int_equal(storage_counters(t.storage).slow_writes, 1);
    assert_true(storage_counters(t.storage).last_slow_us >= STORAGE_SLOW_US);
}

static void test_a_large_row_is_not_written_on_the_loop(void **state)
{
    (void)state;
    write_row(1, STORAGE_INLINE_MAX_BYTES + 1);
    wait_for(1);
    assert_int_equal(storage_counters(t.storage).inline_writes, 0);
}

static void test_meta_and_hints_keep_their_place_among_puts(void **state)
{
    (void)state;
    char text[32];
    struct buf value = {0};
    write_row(1, 10);
    struct effect meta = {.type = EF_STORE_META, .op = 2, .meta = {.name = "test", .value = bytes_str("v")}};
    assert_int_equal(storage_submit(t.storage, &meta), KV_OK);
    write_row(3, 10);
    struct effect done = {.type = EF_STORE_HINT_DONE, .op = 4};
    done.hint_done.member = 9;
    done.hint_done.key = key_of(3, text);
    assert_int_equal(storage_submit(t.storage, &done), KV_OK);
    wait_for(4);
    assert_true(in_order());
    assert_int_equal(storage_counters(t.storage).hints_done, 1);
    assert_int_equal(store_meta_get(t.store, "test", &value), KV_OK);
    assert_true(bytes_eq(buf_bytes(&value), bytes_str("v")));
    buf_deinit(&value);
}

static void test_notes_are_counted(void **state)
{
    (void)state;
    char text[32];
    struct effect write = {.type = EF_STORE_WRITE, .op = 1};
    write.write.key = key_of(1, text);
    write.write.row = (struct row){.kind = ROW_REGISTER, .stamp = {2, 1}};
    write.write.hint_count = 2;
    write.write.hints[0] = 7;
    write.write.hints[1] = 9;
    assert_int_equal(storage_submit(t.storage, &write), KV_OK);
    wait_for(1);
    struct effect count = {.type = EF_STORE_TOTALS, .op = 2};
    assert_int_equal(storage_submit(t.storage, &count), KV_OK);
    wait_for(2);
    assert_int_equal(t.status[1], KV_OK);
    assert_int_equal(t.notes, 2);
}

/* A page of a transfer: one effect, one batch, however many rows. */
static void test_a_pack_is_one_batch(void **state)
{
    (void)state;
    enum { ROWS = STORAGE_BATCH_MAX + 100 };
    static char texts[ROWS][32];
    static struct page_entry entries[ROWS];
    struct blob *value = blob_copy(bytes_str("packed"));
    for (uint32_t i = 0; i < ROWS; i++)
        entries[i] = (struct page_entry){
            .key = key_of(i, texts[i]),
            .row = {.kind = ROW_REGISTER, .stamp = {7, i}, .raw_size = value->len, .payload = value}};
    write_row(1, 10); /* older */
    wait_for(1);
    uint64_t batches = storage_counters(t.storage).batches;
    struct effect e = {.type = EF_STORE_MERGE, .op = 2, .merge.pack = pack_rows(entries, ROWS)};
    struct blob *pack = blob_ref(e.merge.pack);
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    wait_for(2);
    assert_true(in_order());
    assert_int_equal(storage_counters(t.storage).batches, batches + 1);
    assert_int_equal(storage_counters(t.storage).rows, ROWS + 1);
    assert_int_equal(pack->refs, 1);
    blob_unref(pack);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct row row;
        assert_int_equal(store_read(t.store, entries[i].key, STORE_ANY, false, &row), KV_OK);
        assert_int_equal(row.stamp.origin, i);
        assert_true(bytes_eq(blob_bytes(row.payload), bytes_str("packed")));
        row_release(&row);
    }
    blob_unref(value);
}

static void test_interval_syncs_in_time_and_none_never(void **state)
{
    (void)state;
    close_storage();
    open_storage(SYNC_INTERVAL);
    write_row(1, 10);
    wait_for(1);
    assert_int_equal(storage_counters(t.storage).syncs, 0);
    uint64_t begin_us = shell_now_us();
    while (storage_counters(t.storage).syncs == 0 && shell_now_us() - begin_us < 5000000)
        usleep(1000);
    assert_int_equal(storage_counters(t.storage).syncs, 1);
    assert_in_range(shell_now_us() - begin_us, STORAGE_INTERVAL_US / 2, 20 * STORAGE_INTERVAL_US);
    usleep(3 * STORAGE_INTERVAL_US);
    assert_int_equal(storage_counters(t.storage).syncs, 1); /* nothing is left to sync */
    close_storage();
    open_storage(SYNC_NONE);
    write_row(2, 10);
    wait_for(1);
    usleep(3 * STORAGE_INTERVAL_US);
    assert_int_equal(storage_counters(t.storage).syncs, 0);
}

/* What was submitted is written, though nobody hears of it any more. */
static void test_stop_writes_what_was_submitted(void **state)
{
    (void)state;
    storage_slow_disk(t.storage, 20);
    for (uint64_t op = 1; op <= 20; op++) {
        write_row(op, 1000);
        if (op % 5 == 0)
            storage_turn();
    }
    close_storage();
    open_storage(SYNC_ALWAYS);
    for (uint64_t op = 1; op <= 20; op++)
        read_row(op);
    wait_for(20);
    for (int i = 0; i < 20; i++)
        assert_int_equal(t.status[i], KV_OK);
    assert_int_equal(t.row.raw_size, 1000);
}

/* ---- reading ---- */

static void test_a_cached_read_takes_no_thread(void **state)
{
    (void)state;
    write_row(1, 100);
    wait_for(1);
    read_row(1);
    assert_int_equal(t.count, 1);
    assert_int_equal(storage_flush(t.storage, UINT32_MAX), 1);
    assert_int_equal(t.row.stamp.hlc, 2);
    assert_int_equal(storage_counters(t.storage).cached_reads, 1);
    read_row(77);
    wait_for(3);
    assert_int_equal(t.status[2], KV_OK);
    assert_true(row_is_absent(&t.row));
}

static void test_cold_reads_come_from_the_pool(void **state)
{
    (void)state;
    for (uint64_t op = 1; op <= 3000; op++)
        write_row(op, 4000);
    wait_for(3000);
    close_storage(); /* the next one finds them in files, and nothing of those in its cache */
    open_storage(SYNC_ALWAYS);
    for (uint64_t op = 1; op <= 3000; op += 7)
        read_row(op);
    wait_for(429);
    for (uint32_t i = 0; i < t.count; i++)
        assert_int_equal(t.status[i], KV_OK);
    assert_int_equal(t.row.raw_size, 4000);
    assert_true(storage_counters(t.storage).cold_reads > 0);
}

static void test_pages_come_from_the_pool(void **state)
{
    (void)state;
    for (uint64_t op = 1; op <= 100; op++)
        write_row(op, 10);
    wait_for(100);
    struct effect e = {
        .type = EF_STORE_RANGE, .op = 500, .range = {.prefix = bytes_str("key-"), .limit = 1000}};
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    wait_for(101);
    assert_int_equal(t.page_count, 100);
    assert_int_equal(storage_counters(t.storage).pages, 1);
}

/* Values that nobody has looked at yet never fill the memory. */
static void test_reads_wait_for_memory(void **state)
{
    (void)state;
    enum { VALUE = 1u << 20, READS = 200 };
    write_row(1, VALUE);
    wait_for(1);
    for (uint32_t i = 0; i < READS; i++)
        read_row(1);
    assert_in_range(t.storage->read_bytes, STORAGE_READ_MAX_BYTES, STORAGE_READ_MAX_BYTES + VALUE);
    t.most = 10;
    assert_int_equal(storage_flush(t.storage, UINT32_MAX), 9); /* the tenth said that it is enough */
    assert_in_range(t.storage->read_bytes, 1, STORAGE_READ_MAX_BYTES + VALUE);
    assert_int_equal(storage_flush(t.storage, 4), 4);
    wait_for(1 + READS);
    assert_int_equal(t.storage->read_bytes, 0);
    assert_int_equal(t.row.raw_size, VALUE);
}

static void test_stop_forgets_reads_that_wait(void **state)
{
    (void)state;
    write_row(1, 1u << 20);
    wait_for(1);
    for (int i = 0; i < 100; i++)
        read_row(1);
    close_storage();
    assert_int_equal(t.count, 1);
    open_storage(SYNC_ALWAYS);
}

/* ---- ownership ---- */

static void test_one_reference_goes_in_and_is_dropped(void **state)
{
    (void)state;
    char text[32];
    struct blob *mine = blob_copy(bytes_str("shared"));
    struct effect e = {.type = EF_STORE_WRITE, .op = 1};
    e.write.key = key_of(1, text);
    e.write.row =
        (struct row){.kind = ROW_REGISTER, .stamp = {5, 1}, .raw_size = 6, .payload = blob_ref(mine)};
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    assert_int_equal(mine->refs, 2);
    wait_for(1);
    assert_int_equal(mine->refs, 1);
    blob_unref(mine);
}

static void test_long_keys_are_copied(void **state)
{
    (void)state;
    char key[KEY_MAX_BYTES];
    memset(key, 'k', sizeof key);
    struct effect e = {.type = EF_STORE_WRITE, .op = 1};
    e.write.key = bytes_of(key, sizeof key);
    e.write.row = (struct row){.kind = ROW_REGISTER, .stamp = {5, 1}, .flags = ROW_TOMBSTONE};
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    memset(key, 'x', sizeof key);
    wait_for(1);
    memset(key, 'k', sizeof key);
    struct effect read = {.type = EF_STORE_READ, .op = 2};
    read.read.key = bytes_of(key, sizeof key);
    assert_int_equal(storage_submit(t.storage, &read), KV_OK);
    memset(key, 'x', sizeof key);
    wait_for(2);
    assert_int_equal(t.row.stamp.hlc, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define test(name) cmocka_unit_test_setup_teardown(name, storage_setup, storage_teardown)
        test(test_a_lone_write_is_synced_at_once),
        test(test_many_writes_of_a_turn_are_one_batch),
        test(test_a_batch_has_its_bounds),
        test(test_while_one_batch_syncs_the_next_gathers),
        test(test_a_batch_that_takes_a_second_is_counted),
        test(test_a_large_row_is_not_written_on_the_loop),
        test(test_meta_and_hints_keep_their_place_among_puts),
        test(test_notes_are_counted),
        test(test_a_pack_is_one_batch),
        test(test_interval_syncs_in_time_and_none_never),
        test(test_stop_writes_what_was_submitted),
        test(test_a_cached_read_takes_no_thread),
        test(test_cold_reads_come_from_the_pool),
        test(test_pages_come_from_the_pool),
        test(test_reads_wait_for_memory),
        test(test_stop_forgets_reads_that_wait),
        test(test_one_reference_goes_in_and_is_dropped),
        test(test_long_keys_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
