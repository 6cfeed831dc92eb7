/* Tokens and partitions: equal shares of the token space, each a contiguous run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/key.h"

static void tokens_are_xxh3_of_the_bytes(void **state)
{
    (void)state;
    assert_true(key_token(bytes_str("key")) == hash64(bytes_str("key")));
    assert_true(key_token(bytes_of("a\0b", 3)) != key_token(bytes_of("a\0c", 3)));
    /* Published value of XXH3-64 for no input: rows on disk depend on it. */
    assert_true(key_token(bytes_of("", 0)) == UINT64_C(0x2d06800538d394c2));
}

static void partitions_are_runs_of_tokens(void **state)
{
    (void)state;
    for (uint32_t q = 1; q <= RING_PARTITIONS_MAX; q *= 2) {
        assert_true(partition_first_token(0, q) == 0);
        assert_int_equal(token_partition(UINT64_MAX, q), q - 1);
        for (uint32_t p = 1; p < q; p = p * 3 + 1) {
            uint64_t first = partition_first_token(p, q);
            assert_int_equal(token_partition(first, q), p);
            assert_int_equal(token_partition(first - 1, q), p - 1);
        }
    }
}

/* Side by side they are the partition. */
static void leaves_are_runs_of_a_partitions_tokens(void **state)
{
    (void)state;
    for (uint32_t q = 1; q <= RING_PARTITIONS_MAX; q *= 2) {
        for (uint32_t p = 0; p < q; p = p * 3 + 1) {
            assert_true(leaf_first_token(p, 0, q) == partition_first_token(p, q));
            assert_true(leaf_first_token(p, TREE_LEAVES, q) == partition_first_token(p + 1, q));
            for (uint32_t leaf = 0; leaf < TREE_LEAVES; leaf++) {
                uint64_t first = leaf_first_token(p, leaf, q), last = leaf_first_token(p, leaf + 1, q) - 1;
                assert_true(first < last);
                assert_int_equal(token_leaf(first, q), leaf);
                assert_int_equal(token_leaf(last, q), leaf);
                assert_int_equal(token_partition(last, q), p);
            }
        }
        assert_true(leaf_first_token(q - 1, TREE_LEAVES, q) == 0); /* the end of all tokens */
    }
}

static void keys_spread_evenly(void **state)
{
    (void)state;
    uint32_t counts[64] = {0};
    for (uint32_t i = 0; i < 64000; i++) {
        uint8_t key[4];
        be32_put(key, i);
        counts[token_partition(key_token(bytes_of(key, 4)), 64)]++;
    }
    for (int i = 0; i < 64; i++)
        assert_in_range(counts[i], 800, 1200);
}

static void keys_have_bounds(void **state)
{
    (void)state;
    static const uint8_t bytes[KEY_MAX_BYTES + 1];
    assert_false(key_ok(bytes_of(bytes, 0)));
    assert_true(key_ok(bytes_of(bytes, 1)));
    assert_true(key_ok(bytes_of(bytes, KEY_MAX_BYTES)));
    assert_false(key_ok(bytes_of(bytes, KEY_MAX_BYTES + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_xxh3_of_the_bytes),
        cmocka_unit_test(partitions_are_runs_of_tokens),
        cmocka_unit_test(leaves_are_runs_of_a_partitions_tokens),
        cmocka_unit_test(keys_spread_evenly),
        cmocka_unit_test(keys_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
