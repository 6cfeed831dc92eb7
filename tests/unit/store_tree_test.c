/* Hash trees: whatever is written, deleted, killed or damaged, a tree says what a pass over all rows would
 * say; and only leaves that were written are read. */
#include "unit/store_support.h"

#include "base/prng.h"
#include "model/key.h"
#include "store/engine.h"
#include "unit/rounds.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEYS = 600, ALICE = 2 };

static struct store *open_checked(const char *dir)
{
    struct store *s = open_ok(dir);
    put_numbered(s, KEYS, 20, false);
    check_trees(s);
    assert_int_equal(check_trees(s), 0);
    return s;
}

static void put_key(struct store *s, uint32_t number, uint64_t hlc)
{
    char text[KEY_TEXT_BYTES];
    assert_int_equal(put(s, key_number(number, text), row_text(hlc, "v"), false), KV_OK);
}

/* ---- cases */

static void an_empty_store_has_empty_trees(void **state)
{
    struct store *s = open_ok(*state);
    struct store_tree tree;
    assert_int_equal(store_tree_hash(s, 1, Q, false, &tree), KV_OK);
    assert_true(tree.more); /* the first question only tells how many partitions there are */
    assert_int_equal(store_tree_keep(s, &tree), KV_OK);
    assert_int_equal(store_tree_hash(s, 1, Q, false, &tree), KV_OK);
    assert_false(tree.more);
    assert_true(tree.leaves == UINT64_MAX);
    for (uint32_t leaf = 0; leaf < TREE_LEAVES; leaf++)
        assert_true(tree.hashes[leaf] == 0);
    assert_int_equal(store_tree_keep(s, &tree), KV_OK);
    assert_int_equal(store_tree_hash(s, 1, 2 * Q, false, &tree), KV_E_INVALID);
    store_close(s);
}

static void only_what_was_written_is_read(void **state)
{
    struct store *s = open_checked(*state);
    for (int reopened = 0; reopened < 2; reopened++) {
        put_key(s, 7, KEYS + 1 + (uint64_t)reopened);
        assert_int_equal(check_trees(s), 1);
        assert_int_equal(check_trees(s), 0);
        put_key(s, 8, KEYS + 10);
        put_key(s, 9, KEYS + 10);
        put_key(s, 8, KEYS + 11);
        store_close(s);
        s = open_ok(*state);
        assert_int_equal(check_trees(s), 2 * MARKED_LEAVES);
        store_close(s);
        s = open_ok(*state);
        assert_int_equal(check_trees(s), 0);
    }
    store_close(s);
}

/* More in one batch than the engine remembers tokens of. */
static void large_batches_mark_all_their_leaves(void **state)
{
    enum { PUTS = 2 * ONCE_PUTS_MAX };
    static struct store_put puts[PUTS];
    static char texts[PUTS][KEY_TEXT_BYTES];
    struct store *s = open_checked(*state);
    bool written[Q * TREE_LEAVES] = {false};
    uint32_t leaves = 0;
    for (uint32_t i = 0; i < PUTS; i++) {
        puts[i] = (struct store_put){.key = key_number(i, texts[i]), .row = tombstone(KEYS + 1)};
        written[token_partition(key_token(puts[i].key), Q * TREE_LEAVES)] = true;
    }
    for (uint32_t i = 0; i < Q * TREE_LEAVES; i++)
        leaves += written[i];
    uint64_t sequence;
    assert_int_equal(store_write(s, puts, PUTS, false, &sequence), KV_OK);
    assert_int_equal(check_trees(s), leaves);
    assert_int_equal(store_write(s, puts, PUTS, false, &sequence), KV_OK);
    store_close(s);
    s = open_ok(*state);
    assert_in_range(check_trees(s), leaves, Q * TREE_LEAVES);
    store_close(s);
}

static void deletes_and_dropped_rows_are_writes(void **state)
{
    char text[KEY_TEXT_BYTES];
    struct store *s = open_checked(*state);
    struct bytes key = key_number(3, text);
    uint32_t deleted;
    struct row_version gone = {key, {4, 1}};
    assert_int_equal(store_delete(s, &gone, 1, false, &deleted), KV_OK);
    assert_int_equal(deleted, 1);
    assert_int_equal(check_trees(s), 1);
    gone.stamp.hlc = 99;
    assert_int_equal(store_delete(s, &gone, 1, false, &deleted), KV_OK);
    assert_int_equal(check_trees(s), 0);

    key = key_number(KEYS + 1, text);
    assert_int_equal(put_noted(s, key, row_text(5, "v"), ALICE, 0), KV_OK);
    assert_int_equal(check_trees(s), 1);
    assert_int_equal(store_hint_done(s, ALICE, key, (struct stamp){5, 1}, true), KV_OK);
    assert_int_equal(check_trees(s), 1);
    store_close(s);
}

static void a_write_between_reading_and_keeping_is_not_forgotten(void **state)
{
    char text[KEY_TEXT_BYTES];
    struct store *s = open_checked(*state);
    uint32_t partition = token_partition(key_token(key_number(5, text)), Q);
    put_key(s, 5, KEYS + 1);
    struct store_tree tree, other;
    assert_int_equal(store_tree_hash(s, partition, Q, false, &tree), KV_OK);
    assert_int_equal(store_tree_hash(s, partition, Q, false, &other), KV_E_AGAIN);
    put_key(s, 5, KEYS + 2);
    assert_int_equal(store_tree_keep(s, &tree), KV_OK);
    assert_int_equal(check_trees(s), 1);

    /* And if the process dies before anything is kept, too. */
    put_key(s, 5, KEYS + 3);
    assert_int_equal(store_tree_hash(s, partition, Q, false, &tree), KV_OK);
    store_close(s);
    s = open_ok(*state);
    assert_int_equal(check_trees(s), MARKED_LEAVES);
    store_close(s);
}

/* Rows that vanish behind the store's back are in no mark: that is what `rehash` is for. */
static void rehash_trusts_nothing(void **state)
{
    char text[KEY_TEXT_BYTES];
    uint64_t hashes[TREE_LEAVES];
    struct store *s = open_checked(*state);
    purge_row(s, key_number(11, text));
    for (uint32_t p = 0; p < Q; p++)
        assert_int_equal(tree_ask(s, p, true, hashes), TREE_LEAVES);
    assert_int_equal(check_trees(s), 0);
    store_close(s);
}

static void one_call_is_bounded(void **state)
{
    enum { MANY = Q * TREE_ROWS_MAX * 5 / 4 };
    static struct store_put puts[512];
    static char texts[512][KEY_TEXT_BYTES];
    struct store *s = open_ok(*state);
    uint64_t sequence;
    for (uint32_t i = 0; i < MANY; i += 512) {
        for (uint32_t k = 0; k < 512; k++)
            puts[k] = (struct store_put){.key = key_number(i + k, texts[k]), .row = tombstone(1)};
        assert_int_equal(store_write(s, puts, 512, false, &sequence), KV_OK);
    }
    struct store_tree tree;
    assert_int_equal(store_tree_hash(s, 0, Q, false, &tree), KV_OK);
    assert_int_equal(store_tree_keep(s, &tree), KV_OK);
    assert_int_equal(store_tree_hash(s, 0, Q, false, &tree), KV_OK);
    assert_true(tree.more);
    assert_in_range(__builtin_popcountll(tree.leaves), TREE_LEAVES / 2, TREE_LEAVES - 1);
    assert_int_equal(store_tree_keep(s, &tree), KV_OK);
    assert_int_equal(check_trees(s), Q * TREE_LEAVES - (uint32_t)__builtin_popcountll(tree.leaves));
    store_close(s);
}

/* ---- any story */

static void write_any(struct store *s, struct prng *prng, uint64_t *hlc)
{
    char text[KEY_TEXT_BYTES];
    struct bytes key = key_number((uint32_t)prng_below(prng, KEYS), text);
    struct row row;
    uint32_t deleted;
    switch (prng_below(prng, 6)) {
    case 0: assert_int_equal(put(s, key, tombstone(++*hlc), false), KV_OK); break;
    case 1: assert_int_equal(put_noted(s, key, row_text(++*hlc, "noted"), ALICE, 0), KV_OK); break;
    case 2:
        assert_int_equal(store_read(s, key, STORE_ANY, true, &row), KV_OK);
        assert_int_equal(store_hint_done(s, ALICE, key, row.stamp, true), KV_OK);
        break;
    case 3:
        assert_int_equal(store_read(s, key, STORE_ANY, true, &row), KV_OK);
        assert_int_equal(store_delete(s, &(struct row_version){key, row.stamp}, 1, true, &deleted), KV_OK);
        break;
    default: assert_int_equal(put(s, key, row_text(++*hlc, "v"), prng_below(prng, 20) == 0), KV_OK);
    }
}

/* Writes with questions between, some of them half answered, some with writes in their midst. */
static void live(struct store *s, struct prng *prng, uint64_t *hlc, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t writes = (uint32_t)prng_below(prng, 20);
        while (writes--)
            write_any(s, prng, hlc);
        struct store_tree tree;
        uint32_t partition = (uint32_t)prng_below(prng, Q);
        int status = store_tree_hash(s, partition, Q, prng_below(prng, 10) == 0, &tree);
        if (status == KV_E_AGAIN)
            continue;
        assert_int_equal(status, KV_OK);
        if (prng_below(prng, 3) == 0)
            write_any(s, prng, hlc);
        assert_int_equal(store_tree_keep(s, &tree), KV_OK);
    }
}

static void any_story_ends_with_true_hashes(void **state)
{
    struct prng prng;
    uint64_t hlc = 0;
    prng_init(&prng, 7);
    for (uint32_t round = 0; round < rounds_of(30); round++) {
        struct store *s = open_ok(*state);
        live(s, &prng, &hlc, 30);
        if (round % 3 == 0)
            check_trees(s);
        if (round % 5 == 0)
            flush_rows(s);
        store_close(s);
        if (round % 4 == 0) {
            s = open_ok(*state);
            check_trees(s);
            store_close(s);
        }
    }
}

/* As a child: lives until it is killed in the midst of it. */
static int live_until_killed(const char *dir, const char *seed)
{
    struct prng prng;
    struct store *s = open_ok(dir);
    prng_init(&prng, strtoull(seed, NULL, 10));
    uint64_t hlc = (prng_u64(&prng) >> 32) + 1;
    uint32_t steps = 1 + (uint32_t)prng_below(&prng, 40);
    live(s, &prng, &hlc, steps);
    raise(SIGKILL);
    return 1;
}

static void a_killed_process_forgets_no_mark(void **state)
{
    for (uint32_t seed = 1; seed <= rounds_of(12); seed++) {
        char text[16];
        snprintf(text, sizeof text, "%u", seed);
        int status = run_self(text, *state);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct store *s = open_ok(*state);
        check_trees(s);
        assert_int_equal(check_trees(s), 0);
        store_close(s);
    }
}

/* ---- a reader beside the writer */

struct reader {
    struct store *store;
    _Atomic bool stop;
    _Atomic uint32_t partition; /* of `tree`, which waits to be kept; Q: nothing does */
    struct store_tree tree;
};

static void *read_trees(void *arg)
{
    struct reader *r = arg;
    for (uint32_t i = 0; !r->stop; i++) {
        if (r->partition != Q)
            continue;
        if (store_tree_hash(r->store, i % Q, Q, i % 16 == 0, &r->tree) == KV_OK)
            r->partition = i % Q;
    }
    return NULL;
}

static void a_reader_in_another_thread(void **state)
{
    enum { WRITES = 20000 };
    struct store *s = open_checked(*state);
    struct reader r = {.store = s, .partition = Q};
    pthread_t thread;
    uint64_t hlc = KEYS;
    uint32_t kept = 0;
    struct prng prng;
    prng_init(&prng, 11);
    assert_int_equal(pthread_create(&thread, NULL, read_trees, &r), 0);
    for (uint32_t i = 0; i < WRITES || kept < 20; i++) {
        write_any(s, &prng, &hlc);
        if (r.partition == Q)
            continue;
        assert_int_equal(store_tree_keep(s, &r.tree), KV_OK);
        r.partition = Q;
        kept++;
    }
    r.stop = true;
    pthread_join(thread, NULL);
    if (r.partition != Q)
        assert_int_equal(store_tree_keep(s, &r.tree), KV_OK);
    check_trees(s);
    store_close(s);
    s = open_ok(*state);
    assert_int_equal(check_trees(s), 0);
    store_close(s);
}

/* ---- damage */

static void tree_put(struct store *s, enum tree_kind kind, uint32_t partition, struct bytes value)
{
    char *error = NULL;
    struct engine_key k;
    tree_key(&k, kind, partition);
    rocksdb_put_cf(s->db, s->write_unsynced, s->families[FAMILY_TREE], (const char *)k.data, k.len,
                   (const char *)value.data, value.len, &error);
    assert_null(error);
}

/* Opens what was damaged: all leaves are read again, and then it is as new. */
static void check_mended(const char *dir)
{
    struct store *s = open_ok(dir);
    assert_int_equal(check_trees(s), Q * TREE_LEAVES);
    put_key(s, 1, 100000);
    store_close(s);
    s = open_ok(dir);
    assert_int_equal(check_trees(s), MARKED_LEAVES);
    store_close(s);
}

static void a_damaged_value_costs_a_pass(void **state)
{
    static const struct {
        enum tree_kind kind;
        uint32_t partition;
        const char *value;
    } damages[] = {
        {TREE_PARTITIONS, 0, ""},
        {TREE_PARTITIONS, 0, "\1\1\1\1"}, /* no power of two */
        {TREE_MARKS, 2, "short"},
        {TREE_MARKS, Q, "no such "}, /* partition */
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct store *s = open_checked(*state);
        tree_put(s, damages[i].kind, damages[i].partition, bytes_str(damages[i].value));
        store_close(s);
        check_mended(*state);
    }
}

/* These are looked at only when they are needed. */
static void damaged_hashes_cost_a_pass(void **state)
{
    struct store *s = open_checked(*state);
    tree_put(s, TREE_HASHES, 2, bytes_str("short"));
    assert_int_equal(check_trees(s), Q * TREE_LEAVES - 2 * TREE_LEAVES); /* two had answered before */
    assert_int_equal(check_trees(s), 2 * TREE_LEAVES);
    assert_int_equal(check_trees(s), 0);
    tree_put(s, TREE_HASHES, 0, bytes_str(""));
    store_close(s);
    check_mended(*state);
}

static void a_damaged_block_costs_a_pass(void **state)
{
    char table[PATH_BYTES], *error = NULL;
    struct store *s = open_checked(*state);
    flush_rows(s);
    /* Large enough to be the largest file of all. */
    static uint8_t filler[1 << 16];
    tree_put(s, TREE_HASHES, Q, bytes_of(filler, sizeof filler));
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flush_cf(s->db, options, s->families[FAMILY_TREE], &error);
    assert_null(error);
    rocksdb_flushoptions_destroy(options);
    store_close(s);
    find_file(*state, ".sst", table);
    flip_bit(table, 20, 3); /* in the first block */
    check_mended(*state);
}

/* A store that was made before there were trees. */
static void a_store_without_a_tree_gets_one(void **state)
{
    char *error = NULL;
    struct store *s = open_checked(*state);
    rocksdb_drop_column_family(s->db, s->families[FAMILY_TREE], &error);
    assert_null(error);
    store_close(s);
    check_mended(*state);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return live_until_killed(argv[2], argv[1]);
    const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        CASE(an_empty_store_has_empty_trees),
        CASE(only_what_was_written_is_read),
        CASE(large_batches_mark_all_their_leaves),
        CASE(deletes_and_dropped_rows_are_writes),
        CASE(a_write_between_reading_and_keeping_is_not_forgotten),
        CASE(rehash_trusts_nothing),
        CASE(one_call_is_bounded),
        CASE(any_story_ends_with_true_hashes),
        CASE(a_killed_process_forgets_no_mark),
        CASE(a_reader_in_another_thread),
        CASE(a_damaged_value_costs_a_pass),
        CASE(damaged_hashes_cost_a_pass),
        CASE(a_damaged_block_costs_a_pass),
        CASE(a_store_without_a_tree_gets_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
