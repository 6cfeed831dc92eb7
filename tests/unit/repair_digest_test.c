/* Short forms of rows and leaves, sets of them; and spans, which are read leaf by leaf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "kv_error.h"
#include "repair/digest.h"
#include "repair/span.h"

enum { PARTITIONS = 64 };

/* ---- digests */

static void a_root_stands_for_all_leaves(void **state)
{
    (void)state;
    uint64_t leaves[TREE_LEAVES] = {0};
    assert_int_equal(tree_root(leaves), 0);
    for (uint32_t i = 0; i < TREE_LEAVES; i++) {
        leaves[i] = 7;
        uint64_t root = tree_root(leaves);
        assert_int_not_equal(root, 0);
        leaves[i] = 8;
        assert_true(tree_root(leaves) != root);
        leaves[i] = 0;
    }
    leaves[0] = 1;
    uint64_t first = tree_root(leaves);
    leaves[0] = 0;
    leaves[1] = 1;
    assert_true(tree_root(leaves) != first);
}

struct said {
    uint64_t token;
    struct stamp stamp;
};

static struct blob *say(const struct said *rows, uint32_t count, uint64_t salt)
{
    struct blob *blob = blob_create((size_t)count * DIGEST_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        be32_put(blob->data + i * DIGEST_BYTES, digest_key(rows[i].token, salt));
        be32_put(blob->data + i * DIGEST_BYTES + 4, digest_stamp(rows[i].stamp, salt));
    }
    return blob;
}

static struct page_entry row_of(const char *key, uint64_t hlc)
{
    return (struct page_entry){.key = bytes_str(key), .row = {.kind = ROW_REGISTER, .stamp = {hlc, 5}}};
}

static struct said said_of(const char *key, uint64_t hlc)
{
    return (struct said){key_token(bytes_str(key)), {hlc, 5}};
}

static void rows_are_judged(void **state)
{
    (void)state;
    const struct said said[] = {said_of("same", 1), said_of("older there", 1), said_of("only there", 1),
                                said_of("young here", 1)};
    const struct page_entry here[] = {row_of("same", 1), row_of("older there", 2), row_of("only here", 1),
                                      row_of("young here", 100), row_of("young and new", 100)};
    for (uint64_t salt = 1; salt < 20; salt++) {
        struct digest_set set;
        enum digest_verdict verdicts[5];
        uint32_t indexes[5];
        uint8_t bits[COMPARE_DIGESTS_MAX / 8];
        struct blob *blob = say(said, 4, salt);
        assert_int_equal(digest_set_init(&set, blob, false), KV_OK);
        digest_set_judge(&set, here, 5, salt, 99, verdicts, indexes);
        assert_int_equal(verdicts[0], DIGEST_SAME);
        assert_int_equal(verdicts[1], DIGEST_CONFLICT);
        assert_int_equal(indexes[1], 1);
        assert_int_equal(verdicts[2], DIGEST_MISSING);
        assert_int_equal(verdicts[3], DIGEST_SAME);
        assert_int_equal(verdicts[4], DIGEST_SAME);
        assert_int_equal(digest_set_wants(&set, bits), 1);
        assert_int_equal(bits[0], 1 << 2); /* only what nothing here has the key of */
        digest_set_deinit(&set);
        blob_unref(blob);
    }
}

/* Of two keys that look alike the one that is there is found, and the other is missing: not the first taken
 * for an older version of the other. */
static void keys_that_look_alike_are_told_apart(void **state)
{
    (void)state;
    const struct said said = said_of("key", 7);
    const struct page_entry here[] = {row_of("key", 3), row_of("key", 7)};
    struct digest_set set;
    enum digest_verdict verdicts[2];
    uint32_t indexes[2];
    struct blob *blob = say(&said, 1, 1);
    assert_int_equal(digest_set_init(&set, blob, false), KV_OK);
    digest_set_judge(&set, here, 2, 1, 99, verdicts, indexes);
    assert_int_equal(verdicts[0], DIGEST_MISSING);
    assert_int_equal(verdicts[1], DIGEST_SAME);
    digest_set_deinit(&set);
    blob_unref(blob);
}

static void a_set_may_name_keys_only(void **state)
{
    (void)state;
    struct digest_set set;
    struct blob *blob = blob_create(8);
    be32_put(blob->data, 5);
    be32_put(blob->data + 4, 3);
    assert_int_equal(digest_set_init(&set, blob, true), KV_OK);
    assert_int_equal(set.count, 2);
    for (uint32_t key = 0; key < 8; key++)
        assert_int_equal(digest_set_has(&set, key), key == 3 || key == 5);
    digest_set_deinit(&set);
    assert_int_equal(digest_set_init(&set, NULL, true), KV_OK);
    assert_false(digest_set_has(&set, 0));
    digest_set_deinit(&set);
    blob_unref(blob);
}

static void sets_are_bounded(void **state)
{
    (void)state;
    static const size_t wrong[] = {1, 4, 12, (COMPARE_DIGESTS_MAX + 1) * (size_t)DIGEST_BYTES};
    struct digest_set set;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct blob *blob = blob_create(wrong[i]);
        memset(blob->data, 0, wrong[i]);
        assert_int_equal(digest_set_init(&set, blob, false), KV_E_MALFORMED);
        blob_unref(blob);
    }
    struct blob *most = blob_create(COMPARE_DIGESTS_MAX * (size_t)DIGEST_BYTES);
    memset(most->data, 0xff, most->len);
    uint8_t bits[COMPARE_DIGESTS_MAX / 8];
    assert_int_equal(digest_set_init(&set, most, false), KV_OK);
    assert_int_equal(digest_set_wants(&set, bits), COMPARE_DIGESTS_MAX / 8);
    digest_set_deinit(&set);
    blob_unref(most);
}

/* What looks alike under one salt does not under another. */
static void salts_part_what_looks_alike(void **state)
{
    (void)state;
    uint64_t a = 1, b = 2;
    while (leaf_short(a, 9) >> 8 != leaf_short(b, 9) >> 8) /* 24 bits are soon found */
        b++;
    uint32_t alike = 0;
    for (uint64_t salt = 10; salt < 1000; salt++)
        alike += leaf_short(a, salt) >> 8 == leaf_short(b, salt) >> 8;
    assert_int_equal(alike, 0);
}

/* ---- spans */

/* The runs of tokens that a span asks for, page by page, when the store has no rows at all. */
static uint32_t walk(struct span *s, struct effect *asked, uint32_t most)
{
    struct outbox out;
    uint32_t count = 0;
    assert_int_equal(outbox_init(&out), KV_OK);
    while (span_ask(s, 1, 1000, false, &out)) {
        struct event page = {.type = EV_STORE_PAGE, .page = {.done = true}};
        assert_true(count < most);
        asked[count++] = out.effects[0];
        assert_int_equal(span_next(s, &page), KV_OK);
        outbox_reset(&out);
    }
    assert_true(s->over);
    outbox_deinit(&out);
    return count;
}

static uint64_t leaf_at(uint32_t partition, uint32_t leaf)
{
    return leaf_first_token(partition, leaf, PARTITIONS);
}

static void adjacent_leaves_are_read_together(void **state)
{
    (void)state;
    const struct partition_leaf_set sets[] = {{3, 0x7}, {5, UINT64_C(1) << 63 | 1}, {6, 0}, {63, UINT64_MAX}};
    struct span s = {0};
    struct effect asked[8];
    struct cursor none = {0};
    assert_true(span_sets_ok(PARTITIONS, sets, 4));
    assert_int_equal(span_set(&s, PARTITIONS, sets, 4, none, none), KV_OK);
    assert_int_equal(walk(&s, asked, 8), 4);
    const uint64_t runs[4][2] = {{leaf_at(3, 0), leaf_at(3, 3)},
                                 {leaf_at(5, 0), leaf_at(5, 1)},
                                 {leaf_at(5, 63), leaf_at(6, 0)},
                                 {leaf_at(63, 0), 0}};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(asked[i].rows.after.token, runs[i][0]);
        assert_int_equal(asked[i].rows.after.key.len, 0);
        assert_int_equal(asked[i].rows.until_token, runs[i][1]);
    }
    for (uint32_t p = 0; p < PARTITIONS; p++)
        for (uint32_t leaf = 0; leaf < TREE_LEAVES; leaf++) {
            bool in = (p == 3 && leaf < 3) || (p == 5 && (leaf == 0 || leaf == 63)) || p == 63;
            assert_int_equal(span_has(&s, leaf_at(p, leaf)), in);
            assert_int_equal(span_has(&s, leaf_at(p, leaf) + (UINT64_C(1) << 51)), in);
        }
    span_deinit(&s);
}

static void a_span_has_ends(void **state)
{
    (void)state;
    const struct partition_leaf_set sets[] = {{3, UINT64_MAX}, {4, UINT64_MAX}, {9, 1}};
    struct span s = {0};
    struct effect asked[8];
    struct cursor after = {leaf_at(3, 10) + 5, bytes_str("k")}, upto = {leaf_at(4, 20) + 7, bytes_str("m")};
    assert_int_equal(span_set(&s, PARTITIONS, sets, 3, after, upto), KV_OK);
    assert_int_equal(walk(&s, asked, 8), 2);
    assert_int_equal(asked[0].rows.after.token, after.token);
    assert_int_equal(asked[0].rows.after.key.len, 1);
    assert_int_equal(asked[0].rows.until_token, leaf_at(4, 0));
    assert_int_equal(asked[1].rows.after.token, leaf_at(4, 0));
    assert_int_equal(asked[1].rows.until_token, upto.token + 1);
    span_deinit(&s);
}

/* At its last token a span ends with a key. */
static void rows_behind_the_end_do_not_belong(void **state)
{
    (void)state;
    char keys[3][8];
    struct page_entry entries[3];
    for (uint32_t i = 0; i < 3; i++) { /* three rows in order of token */
        uint64_t least = i ? key_token(entries[i - 1].key) : 0;
        uint32_t n = 0;
        do {
            snprintf(keys[i], sizeof keys[i], "%u", n++);
            entries[i] = (struct page_entry){.key = bytes_str(keys[i])};
        } while (key_token(entries[i].key) <= least);
    }
    const struct partition_leaf_set all[] = {{0, UINT64_MAX}};
    struct event page = {.type = EV_STORE_PAGE, .page = {.count = 3, .entries = entries}};
    struct outbox out;
    assert_int_equal(outbox_init(&out), KV_OK);
    page.page.next = (struct cursor){key_token(entries[2].key), entries[2].key};
    for (uint32_t end = 0; end < 3; end++) {
        struct span s = {0};
        struct cursor none = {0}, upto = {key_token(entries[end].key), entries[end].key};
        assert_int_equal(span_set(&s, 1, all, 1, none, upto), KV_OK);
        assert_true(span_ask(&s, 1, 0, true, &out));
        assert_int_equal(span_count(&s, &page), end + 1);
        assert_int_equal(span_next(&s, &page), KV_OK);
        assert_int_equal(s.over, end < 2);
        span_deinit(&s);
    }
    outbox_deinit(&out);
}

static void sets_out_of_order_are_none(void **state)
{
    (void)state;
    const struct partition_leaf_set sets[] = {{3, 1}, {3, 1}, {2, 1}, {PARTITIONS, 1}};
    assert_true(span_sets_ok(PARTITIONS, sets, 0));
    assert_true(span_sets_ok(PARTITIONS, sets, 1));
    assert_false(span_sets_ok(PARTITIONS, sets, 2));
    assert_false(span_sets_ok(PARTITIONS, &sets[1], 2));
    assert_false(span_sets_ok(PARTITIONS, &sets[3], 1));
    struct partition_leaf_set many[COMPARE_PARTITIONS_MAX + 1];
    for (uint32_t i = 0; i <= COMPARE_PARTITIONS_MAX; i++)
        many[i] = (struct partition_leaf_set){i, 1};
    assert_true(span_sets_ok(4096, many, COMPARE_PARTITIONS_MAX));
    assert_false(span_sets_ok(4096, many, COMPARE_PARTITIONS_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_stands_for_all_leaves),
        cmocka_unit_test(rows_are_judged),
        cmocka_unit_test(keys_that_look_alike_are_told_apart),
        cmocka_unit_test(a_set_may_name_keys_only),
        cmocka_unit_test(sets_are_bounded),
        cmocka_unit_test(salts_part_what_looks_alike),
        cmocka_unit_test(adjacent_leaves_are_read_together),
        cmocka_unit_test(a_span_has_ends),
        cmocka_unit_test(rows_behind_the_end_do_not_belong),
        cmocka_unit_test(sets_out_of_order_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
