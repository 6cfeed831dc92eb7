/* The row cache by itself, and in front of a store that puts, packs and deletes of the same few keys go
 * through at random: whatever is read is what a store without a cache could have answered. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "unit/rounds.h"
#include "uv_support.h"

#include "base/prng.h"
#include "model/pack.h"
#include "uv/row_cache.h"
#include "store/engine.h"
#include "uv/storage_state.h"

static struct row row_of(uint64_t hlc, size_t bytes)
{
    struct row row = {.kind = ROW_REGISTER, .stamp = {hlc, 1}, .raw_size = (uint32_t)bytes};
    row.payload = bytes ? blob_create(bytes) : NULL;
    if (bytes)
        memset(row.payload->data, (int)(hlc & 0xff), bytes);
    return row;
}

/* ---- by itself ---- */

static int cache_setup(void **state)
{
    static struct row_cache cache;
    *state = &cache;
    return row_cache_init(&cache);
}

static int cache_teardown(void **state)
{
    struct row_cache *c = *state;
    row_cache_deinit(c);
    assert_int_equal(c->bytes, 0);
    return 0;
}

static void fill(struct row_cache *c, uint64_t key, uint64_t hlc, size_t bytes)
{
    char text[32];
    struct row row = row_of(hlc, bytes);
    row_cache_fill(c, key_of(key, text), &row);
    row_release(&row);
}

static void written(struct row_cache *c, uint64_t key, uint64_t hlc, size_t bytes)
{
    char text[32];
    struct row row = row_of(hlc, bytes);
    row_cache_written(c, key_of(key, text), &row);
    row_release(&row);
}

enum { NOT_KNOWN = 1 << 30 };

/* The stamp's time, or NOT_KNOWN; the payload is that of the stamp. */
static uint64_t known(struct row_cache *c, uint64_t key)
{
    char text[32];
    struct row row;
    if (!row_cache_get(c, key_of(key, text), false, &row))
        return NOT_KNOWN;
    struct bytes payload = blob_bytes(row.payload);
    assert_int_equal(payload.len, row.raw_size);
    for (size_t i = 0; i < payload.len; i++)
        assert_int_equal(payload.data[i], row.stamp.hlc & 0xff);
    uint64_t hlc = row.stamp.hlc;
    row_release(&row);
    return hlc;
}

static void test_the_larger_stamp_stays(void **state)
{
    struct row_cache *c = *state;
    written(c, 1, 10, 100);
    assert_int_equal(known(c, 1), NOT_KNOWN); /* who knows what else the store has of this key? */
    fill(c, 1, 10, 100);
    written(c, 1, 9, 50);
    assert_int_equal(known(c, 1), 10);
    written(c, 1, 11, 50);
    assert_int_equal(known(c, 1), 11);
    fill(c, 2, 0, 0); /* no row at all is known as well, */
    assert_int_equal(known(c, 2), 0);
    written(c, 2, 1, 7); /* and any row is larger */
    assert_int_equal(known(c, 2), 1);
    char text[32];
    row_cache_drop(c, key_of(1, text));
    row_cache_drop(c, key_of(3, text));
    assert_int_equal(known(c, 1), NOT_KNOWN);
    row_cache_clear(c);
    assert_int_equal(known(c, 2), NOT_KNOWN);
    assert_int_equal(c->bytes, 0);
}

static void test_a_stamp_has_no_payload(void **state)
{
    struct row_cache *c = *state;
    char text[32];
    struct row row;
    fill(c, 1, 10, 100);
    assert_true(row_cache_get(c, key_of(1, text), true, &row));
    assert_int_equal(row.stamp.hlc, 10);
    assert_int_equal(row.raw_size, 100);
    assert_null(row.payload);
}

static void test_large_rows_are_not_kept(void **state)
{
    struct row_cache *c = *state;
    fill(c, 1, 10, ROW_CACHE_ROW_MAX_BYTES);
    assert_int_equal(known(c, 1), NOT_KNOWN);
    fill(c, 1, 10, 100);
    written(c, 1, 11, ROW_CACHE_ROW_MAX_BYTES);
    assert_int_equal(known(c, 1), NOT_KNOWN);
    assert_int_equal(c->bytes, 0);
}

static void test_memory_has_its_bound_and_the_last_stay(void **state)
{
    struct row_cache *c = *state;
    enum { KEYS = 3 * ROW_CACHE_SETS };
    for (uint64_t key = 0; key < KEYS; key++) {
        fill(c, key, key + 1, 2000);
        assert_true(c->bytes <= ROW_CACHE_MAX_BYTES);
        assert_int_equal(known(c, key), key + 1);
        (void)known(c, 7); /* is used all the time */
    }
    assert_true(c->bytes > ROW_CACHE_MAX_BYTES / 2);
    row_cache_clear(c);
    uint32_t kept = 0;
    for (uint64_t key = 0; key < ROW_CACHE_SETS; key++)
        fill(c, key, key + 1, 20);
    for (uint64_t key = 0; key < ROW_CACHE_SETS; key++)
        kept += known(c, key) == key + 1;
    assert_true(kept > ROW_CACHE_SETS * 98 / 100); /* a quarter full, nearly no set overflows */
}

/* ---- in front of a store ---- */

enum { KEYS = 6, STEPS = 4000 };

/* What the test knows of each key. A delete names a version, so it only ever takes that one. */
struct truth {
    uint64_t least;  /* no read may answer less: the largest stamp whose write is complete and stays */
    uint64_t newest; /* asked for */
    uint64_t deleted;
    bool deleting;
};

struct random_run {
    struct prng prng;
    struct truth keys[KEYS];
    uint64_t next_hlc;
    uint64_t next_op;
};

static void submit_put(struct random_run *r, uint64_t key)
{
    char text[32];
    struct effect e = {.type = EF_STORE_WRITE, .op = r->next_op++};
    e.write.key = key_of(key, text);
    e.write.row = row_of(r->next_hlc, 1 + prng_u64(&r->prng) % 200);
    r->keys[key].newest = r->next_hlc++;
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
}

static void submit_pack(struct random_run *r, uint64_t key)
{
    char text[2][32];
    uint64_t other = (key + 1) % KEYS;
    struct row rows[2] = {row_of(r->next_hlc, 30), row_of(r->next_hlc + 1, 40)};
    struct page_entry entries[2] = {{.key = key_of(key, text[0]), .row = rows[0]},
                                    {.key = key_of(other, text[1]), .row = rows[1]}};
    struct effect e = {.type = EF_STORE_MERGE, .op = r->next_op++};
    e.merge.pack = pack_rows(entries, 2);
    r->keys[key].newest = r->next_hlc++;
    r->keys[other].newest = r->next_hlc++;
    row_release(&rows[0]);
    row_release(&rows[1]);
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
}

static void submit_delete(struct random_run *r, uint64_t key)
{
    char text[32];
    struct truth *k = &r->keys[key];
    struct row_version version = {.key = key_of(key, text), .stamp = {k->newest, 1}};
    struct effect e = {.type = EF_STORE_DELETE, .op = r->next_op++};
    e.remove.count = 1;
    e.remove.entries = &version;
    k->deleted = k->newest;
    k->deleting = true;
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
}

/* The only read that is on its way. */
static uint64_t read_now(struct random_run *r, uint64_t key)
{
    char text[32];
    struct effect e = {.type = EF_STORE_READ, .op = r->next_op++};
    e.read.key = key_of(key, text);
    e.read.stamp_only = prng_u64(&r->prng) % 4 == 0;
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    row_release(&t.row);
    for (uint32_t seen = t.count;;) {
        while (seen < t.count && t.ops[seen] != e.op)
            seen++;
        if (seen < t.count)
            break;
        storage_turn();
    }
    return t.row.stamp.hlc;
}

/* All that was asked for is complete. */
static void settle(struct random_run *r, uint32_t *asked)
{
    wait_for(*asked);
    t.count = *asked = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        struct truth *k = &r->keys[key];
        k->least = k->newest;
        if (k->deleting && k->deleted == k->newest)
            k->least = k->newest = 0; /* nothing newer came: it is gone */
        k->deleting = false;
    }
}

static void random_step(struct random_run *r, uint32_t *asked)
{
    uint64_t key = prng_u64(&r->prng) % KEYS;
    uint64_t what = prng_u64(&r->prng) % 20;
    struct truth *k = &r->keys[key];
    if (what < 6) {
        submit_put(r, key);
    } else if (what < 8) {
        submit_pack(r, key);
    } else if (what == 8 && k->newest && !k->deleting) {
        submit_delete(r, key);
    } else if (what < 11) {
        settle(r, asked);
        for (uint64_t i = 0; i < KEYS; i++, ++*asked)
            assert_int_equal(read_now(r, i), r->keys[i].newest);
        return;
    } else if (what < 13) {
        storage_turn();
        return;
    } else {
        uint64_t hlc = read_now(r, key);
        assert_true(hlc <= k->newest);
        assert_true(hlc >= k->least || k->deleting);
    }
    ++*asked;
}

static void test_reads_are_what_the_store_holds(void **state)
{
    (void)state;
    uint64_t hits = 0;
    for (uint64_t seed = 1; seed <= rounds_of(8); seed++) {
        struct random_run r = {.next_hlc = 1, .next_op = 1};
        prng_init(&r.prng, seed);
        uint32_t asked = 0;
        storage_setup(NULL);
        storage_slow_disk(t.storage, seed % 2);
        for (uint32_t i = 0; i < STEPS / 8; i++)
            random_step(&r, &asked);
        settle(&r, &asked);
        hits += storage_counters(t.storage).row_cache_hits;
        storage_teardown(NULL);
    }
    assert_true(hits > 100);
}

/* ---- a full disk ---- */

static bool disk_full;

/* The store asks it how much room there is; nothing else in this program does. */
__attribute__((visibility("default"))) int statvfs(const char *path, struct statvfs *out)
{
    (void)path;
    *out = (struct statvfs){.f_frsize = 1, .f_bavail = disk_full ? 0 : UINT64_MAX / 2};
    return 0;
}

/* What was refused may be in the store all the same once it is opened anew, so nothing is taken from the
 * cache that was there before. */
static void test_a_refused_write_empties_the_cache(void **state)
{
    (void)state;
    enum { BEFORE = 1, LARGE = 2, AFTER = 3 };
    write_row(BEFORE, 100);
    wait_for(1);
    read_row(BEFORE); /* fills */
    wait_for(2);
    row_release(&t.row);
    read_row(BEFORE);
    wait_for(3);
    row_release(&t.row);
    assert_int_equal(storage_counters(t.storage).row_cache_hits, 1);
    disk_full = true;
    write_row(LARGE, SPACE_LOOK_BYTES); /* as much as makes the store look how much room there is */
    wait_for(4);
    disk_full = false;
    assert_int_equal(t.status[3], KV_E_FULL);
    write_row(AFTER, 100);
    wait_for(5);
    assert_int_equal(t.status[4], KV_OK);
    read_row(BEFORE);
    wait_for(6);
    assert_int_equal(t.row.stamp.hlc, BEFORE + 1);
    row_release(&t.row);
    assert_int_equal(storage_counters(t.storage).row_cache_hits, 1);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)
    const struct CMUnitTest tests[] = {
        test(test_the_larger_stamp_stays),
        test(test_a_stamp_has_no_payload),
        test(test_large_rows_are_not_kept),
        test(test_memory_has_its_bound_and_the_last_stay),
        cmocka_unit_test(test_reads_are_what_the_store_holds),
        cmocka_unit_test_setup_teardown(test_a_refused_write_empties_the_cache, storage_setup,
                                        storage_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
