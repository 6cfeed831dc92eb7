/* The simulated store means what the real one does: pages of runs, compare-and-delete, queries in their turn,
 * trees; and what a power cut takes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/assert.h"
#include "kv_error.h"
#include "model/key.h"
#include "sim/store.h"

enum { ALICE = 2, Q = 4 };

static struct sim_store *st;
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    st = sim_store_create(1);
    arena_init(&arena, 8u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_store_destroy(st);
    arena_deinit(&arena);
    return 0;
}

/* The completion, valid until `release`. */
struct done {
    struct sim_job *job;
    struct event event;
};

static struct done run(struct effect e)
{
    struct done d = {.job = sim_store_submit(st, &e)};
    sim_store_finish(st, d.job, &arena, &d.event);
    return d;
}

static void release(struct done *d)
{
    sim_job_release(d->job, &d->event);
    arena_reset(&arena);
}

static struct effect write_of(struct bytes key, uint64_t hlc, const char *value, uint32_t hint)
{
    struct effect e = {.type = EF_STORE_WRITE};
    e.write.key = key;
    e.write.row = (struct row){.kind = ROW_REGISTER,
                               .stamp = {hlc, 1},
                               .raw_size = (uint32_t)strlen(value),
                               .payload = blob_copy(bytes_str(value))};
    e.write.hint_count = hint ? 1 : 0;
    e.write.hints[0] = hint;
    return e;
}

static void put(struct bytes key, uint64_t hlc, const char *value)
{
    struct done d = run(write_of(key, hlc, value, 0));
    assert_int_equal(d.event.written.status, KV_OK);
    release(&d);
}

static struct bytes number(uint32_t n, char text[16])
{
    snprintf(text, 16, "key-%u", n);
    return bytes_str(text);
}

static void put_numbered(uint32_t count)
{
    char text[16];
    for (uint32_t i = 0; i < count; i++)
        put(number(i, text), i + 1, "value");
}

static struct effect delete_of(const struct row_version *v, bool unless_noted)
{
    struct effect e = {.type = EF_STORE_DELETE};
    e.remove.count = 1;
    e.remove.entries = v;
    e.remove.unless_noted = unless_noted;
    return e;
}

static uint32_t deleted(struct bytes key, uint64_t hlc, bool unless_noted)
{
    struct row_version v = {key, {hlc, 1}};
    struct done d = run(delete_of(&v, unless_noted));
    assert_int_equal(d.event.type, EV_STORE_WRITTEN);
    assert_int_equal(d.event.written.status, KV_OK);
    uint32_t count = d.event.written.deleted;
    release(&d);
    return count;
}

static void runs_in_pages(void **state)
{
    (void)state;
    enum { ROWS = 500 };
    put_numbered(ROWS);
    uint32_t rows = 0;
    for (uint32_t p = 0; p < Q; p++) {
        struct effect e = {.type = EF_STORE_ROWS, .op = 9};
        struct buf at = {0};
        e.rows.after.token = partition_first_token(p, Q);
        e.rows.until_token = partition_first_token(p + 1, Q);
        e.rows.limit = p % 2 ? 7 : 0;
        e.rows.limit_bytes = p / 2 ? 400 : 0;
        e.rows.headers = p == 3;
        for (bool done = false; !done;) {
            struct done d = run(e);
            assert_int_equal(d.event.type, EV_STORE_PAGE);
            assert_true(d.event.page.op == 9);
            assert_true(d.event.page.count > 0 || d.event.page.done);
            for (uint32_t i = 0; i < d.event.page.count; i++) {
                const struct page_entry *entry = &d.event.page.entries[i];
                assert_int_equal(token_partition(key_token(entry->key), Q), p);
                assert_true(!entry->row.payload == (p == 3));
            }
            assert_true(p % 2 == 0 || d.event.page.count <= 7);
            assert_true(p != 2 || d.event.page.count <= 400 / (ROW_HEADER_BYTES + 5) + 1);
            rows += d.event.page.count;
            done = d.event.page.done;
            assert_int_equal(buf_set(&at, d.event.page.next.key), KV_OK);
            e.rows.after = (struct cursor){d.event.page.next.token, buf_bytes(&at)};
            release(&d);
        }
        buf_deinit(&at);
    }
    assert_int_equal(rows, ROWS);
}

static void deletes_compare(void **state)
{
    (void)state;
    struct bytes k = bytes_str("k");
    assert_int_equal(deleted(k, 5, false), 0);
    put(k, 5, "v");
    assert_int_equal(deleted(k, 4, false), 0);
    assert_int_equal(deleted(k, 5, false), 1);
    assert_null(sim_store_row(st, k));

    struct done d = run(write_of(k, 6, "v", ALICE));
    release(&d);
    assert_int_equal(deleted(k, 6, true), 0);
    assert_int_equal(deleted(k, 6, false), 1);

    put(k, 7, "v");
    sim_store_full(st, true); /* what shrinks the store goes on */
    assert_int_equal(deleted(k, 7, false), 1);
}

/* It is not answered before the writes that were asked for earlier are there. */
static void queries_wait_for_their_turn(void **state)
{
    (void)state;
    struct bytes keys[2] = {bytes_str("none"), bytes_str("k")};
    struct effect ask = {.type = EF_STORE_HAS, .op = 3}, write = write_of(keys[1], 5, "v", ALICE);
    ask.has.count = 2;
    ask.has.keys = keys;
    struct sim_job *first = sim_store_submit(st, &write), *second = sim_store_submit(st, &ask);
    keys[0] = keys[1] = bytes_str("something else");
    assert_true(sim_job_is_write(second));
    struct event e;
    sim_store_finish(st, first, &arena, &e);
    sim_job_release(first, &e);
    sim_store_finish(st, second, &arena, &e);
    assert_int_equal(e.type, EV_STORE_HAS);
    assert_true(e.has.op == 3);
    assert_int_equal(e.has.count, 2);
    assert_true(stamp_is_zero(e.has.keys[0].row) && !e.has.keys[0].noted);
    assert_true(e.has.keys[1].row.hlc == 5 && e.has.keys[1].noted);
    sim_job_release(second, &e);
}

static int ask_tree(uint32_t partition, uint32_t partitions, uint64_t hashes[TREE_LEAVES])
{
    struct effect e = {.type = EF_STORE_TREE, .op = 4};
    e.tree.partition = partition;
    e.tree.partitions = partitions;
    struct done d = run(e);
    assert_int_equal(d.event.type, EV_STORE_TREE);
    assert_true(d.event.tree.op == 4);
    assert_int_equal(d.event.tree.partition, partition);
    int status = d.event.tree.status;
    if (status == KV_OK)
        memcpy(hashes, d.event.tree.hashes, TREE_LEAVES * sizeof *hashes);
    release(&d);
    return status;
}

static void trees_are_sums_of_digests(void **state)
{
    (void)state;
    enum { ROWS = 300 };
    char text[16];
    uint64_t hashes[TREE_LEAVES], left[Q][TREE_LEAVES] = {{0}};
    put_numbered(ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct bytes key = number(i, text);
        uint64_t token = key_token(key);
        left[token_partition(token, Q)][token_leaf(token, Q)] += row_digest(key, (struct stamp){i + 1, 1});
    }
    assert_int_equal(ask_tree(0, Q, hashes), KV_E_AGAIN);
    for (uint32_t p = 0; p < Q; p++) {
        assert_int_equal(ask_tree(p, Q, hashes), KV_OK);
        assert_memory_equal(hashes, left[p], sizeof hashes);
    }
    assert_int_equal(ask_tree(0, 2 * Q, hashes), KV_E_INVALID);
}

static uint32_t losses;

static void count_loss(struct bytes key, bool wiped, void *arg)
{
    (void)key, (void)wiped, (void)arg;
    losses++;
}

static uint64_t sequence_of_put(struct bytes key, uint64_t hlc)
{
    struct done d = run(write_of(key, hlc, "v", 0));
    uint64_t sequence = d.event.written.sequence;
    release(&d);
    return sequence;
}

/* A row that comes back is none that is lost; and the sequence that was told is never lost. */
static void a_power_cut_undoes_deletes(void **state)
{
    (void)state;
    struct prng prng;
    struct bytes k = bytes_str("k");
    prng_init(&prng, 1);
    losses = 0;
    sim_store_on_loss(st, count_loss, NULL);
    uint64_t synced = sequence_of_put(k, 5);
    assert_true(synced > 0);
    sim_store_lazy(st, true);
    assert_int_equal(deleted(k, 5, true), 1);
    assert_int_equal(sim_store_power_cut(st, &prng), 1);
    assert_non_null(sim_store_row(st, k));
    assert_int_equal(losses, 0);

    assert_true(sequence_of_put(k, 6) == synced);
    sim_store_sync(st);
    uint64_t told = sequence_of_put(k, 7);
    assert_true(told > synced);
    assert_int_equal(sim_store_power_cut(st, &prng), 1);
    assert_int_equal(losses, 1);
    assert_true(sim_store_row(st, k)->stamp.hlc == 6);
    sim_store_lazy(st, false);
    assert_true(sequence_of_put(k, 8) == told + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_in_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(deletes_compare, setup, teardown),
        cmocka_unit_test_setup_teardown(queries_wait_for_their_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(trees_are_sums_of_digests, setup, teardown),
        cmocka_unit_test_setup_teardown(a_power_cut_undoes_deletes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
