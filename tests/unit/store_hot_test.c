/* Keys that are written often, alone and in one batch: only winners are written, sometimes in place of all
 * that is there, and whatever way it went the row is the one with the largest stamp, and is read quickly. */
#include "unit/store_support.h"

#include <stdlib.h>
#include <time.h>

#include "model/key.h"
#include "store/hot.h"

enum { KEYS = 12, PUTS_MAX = 700, LONG_BYTES = 1500 };

struct model {
    uint64_t newest[KEYS];
    uint64_t next;
};

/* The value is the stamp, over and over; every fifth is long. */
static struct row row_number(uint64_t hlc)
{
    uint64_t words[LONG_BYTES / sizeof(uint64_t)];
    size_t count = hlc % 5 ? 1 : sizeof words / sizeof *words;
    for (size_t i = 0; i < count; i++)
        words[i] = hlc;
    return row_of(hlc, words, count * sizeof *words);
}

static void check_key(struct store *s, uint32_t key, uint64_t hlc)
{
    char text[KEY_TEXT_BYTES];
    struct row row, wanted = row_number(hlc);
    assert_int_equal(store_read(s, key_number(key, text), STORE_ANY, false, &row), KV_OK);
    assert_true(row.stamp.hlc == hlc);
    assert_true(bytes_eq(blob_bytes(row.payload), blob_bytes(wanted.payload)));
    row_release(&wanted);
    row_release(&row);
}

static void check_all(struct store *s, const struct model *m)
{
    for (uint32_t i = 0; i < KEYS; i++)
        if (m->newest[i])
            check_key(s, i, m->newest[i]);
}

/* New writes, old ones that come late, and the same ones again. */
static void write_random_batch(struct store *s, struct prng *prng, struct model *m, size_t count)
{
    static struct store_put puts[PUTS_MAX];
    static char texts[PUTS_MAX][KEY_TEXT_BYTES];
    for (size_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)prng_below(prng, 1 + prng_below(prng, KEYS)); /* small ones more often */
        uint64_t hlc = prng_below(prng, 3) ? ++m->next : 1 + prng_below(prng, m->next + 1);
        if (hlc > m->next)
            m->next = hlc;
        if (hlc > m->newest[key])
            m->newest[key] = hlc;
        puts[i] = (struct store_put){.key = key_number(key, texts[i]), .row = row_number(hlc)};
    }
    uint64_t sequence;
    assert_int_equal(store_write(s, puts, count, false, &sequence), KV_OK);
    for (size_t i = 0; i < count; i++)
        row_release(&puts[i].row);
}

static void any_batches_leave_the_newest_rows(void **state)
{
    enum { BATCHES = 400 };
    static const size_t sizes[] = {1, 2, 3, 40, 512, PUTS_MAX};
    struct store *s = open_ok(*state);
    struct model m = {.next = 0};
    struct prng prng;
    prng_init(&prng, 7);
    for (uint32_t i = 0; i < BATCHES; i++) {
        write_random_batch(s, &prng, &m, sizes[prng_below(&prng, sizeof sizes / sizeof *sizes)]);
        check_all(s, &m);
        if (i % 100 == 50)
            flush_rows(s);
        if (i % 100 == 99) {
            store_close(s);
            s = open_ok(*state);
        }
    }
    check_all(s, &m);
    store_close(s);
}

static double read_seconds_once(struct store *s, uint32_t key)
{
    enum { READS = 50 };
    char text[KEY_TEXT_BYTES];
    struct timespec begin, end;
    struct bytes k = key_number(key, text);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < READS; i++) {
        struct row row;
        assert_int_equal(store_read(s, k, STORE_ANY, false, &row), KV_OK);
        row_release(&row);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

/* The best of a few: another process may have had the processor in the others. */
static double read_seconds(struct store *s, uint32_t key)
{
    double best = read_seconds_once(s, key);
    for (int i = 0; i < 4; i++) {
        double again = read_seconds_once(s, key);
        best = again < best ? again : best;
    }
    return best;
}

enum { WRITES = 20000, SLOWER_MAX = 50, COLD = 1000000 };

static void put_one(struct store *s, uint32_t key, uint64_t hlc)
{
    char text[KEY_TEXT_BYTES];
    assert_int_equal(put(s, key_number(key, text), row_number(hlc), false), KV_OK);
}

static uint64_t place_of(uint32_t key)
{
    char text[KEY_TEXT_BYTES];
    return key_token(key_number(key, text)) % HOT_PLACES;
}

static void two_hot_keys_in_one_place(void **state)
{
    struct store *s = open_ok(*state);
    uint32_t other = 1;
    while (place_of(other) != place_of(0))
        other++;
    put_one(s, COLD, 1);
    for (uint64_t i = 1; i <= WRITES; i++) {
        put_one(s, 0, i);
        put_one(s, other, i);
    }
    check_key(s, 0, WRITES);
    check_key(s, other, WRITES);
    double cold = read_seconds(s, COLD);
    assert_true(read_seconds(s, 0) < SLOWER_MAX * cold);
    assert_true(read_seconds(s, other) < SLOWER_MAX * cold);
    store_close(s);
}

/* Late and repeated writes never win, and must not pile up either. */
static void old_writes_of_a_hot_key(void **state)
{
    struct store *s = open_ok(*state);
    put_one(s, COLD, 1);
    put_one(s, 0, WRITES + 1);
    for (uint64_t i = 1; i <= WRITES; i++)
        put_one(s, 0, i / 2 + 1);
    check_key(s, 0, WRITES + 1);
    assert_true(read_seconds(s, 0) < SLOWER_MAX * read_seconds(s, COLD));
    store_close(s);
}

/* Whose note it is matters, not whether its row won: each note of a batch is kept. */
static void beaten_rows_leave_their_notes(void **state)
{
    struct store *s = open_ok(*state);
    char text[KEY_TEXT_BYTES];
    struct bytes key = key_number(0, text);
    struct store_put puts[] = {
        {.key = key, .row = row_number(2), .hint_count = 1, .hints = {4}},
        {.key = key, .row = row_number(3)},
        {.key = key, .row = row_number(1), .hint_count = 1, .hints = {5}},
    };
    uint64_t sequence;
    assert_int_equal(store_write(s, puts, 3, false, &sequence), KV_OK);
    for (size_t i = 0; i < 3; i++)
        row_release(&puts[i].row);
    for (uint32_t member = 4; member <= 5; member++) {
        struct arena arena;
        struct page_entry *entries;
        struct cursor next;
        uint32_t count;
        bool done;
        arena_init(&arena, 1u << 20);
        assert_int_equal(
            store_hints(s, member, (struct cursor){0}, 10, &arena, &entries, &count, &next, &done), KV_OK);
        assert_int_equal(count, 1);
        assert_true(entries[0].row.stamp.hlc == 3);
        row_release(&entries[0].row);
        arena_deinit(&arena);
    }
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(any_batches_leave_the_newest_rows),
        CASE(two_hot_keys_in_one_place),
        CASE(old_writes_of_a_hot_key),
        CASE(beaten_rows_leave_their_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
