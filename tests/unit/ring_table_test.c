/* The table: what it depends on and what not, its lists, weights, and how many partitions survive how many
 * deaths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "base/prng.h"
#include "kv_error.h"
#include "unit/ring_support.h"

/* Rows rest where this table put them: a change of hash, seed or rule must be seen. */
static void the_table_of_five_is_fixed(void **state)
{
    (void)state;
    struct ring *r = numbered_ring(5, 0);
    uint32_t list[PREFERENCE_MAX];
    assert_int_equal(ring_preference(r, 0, list), 5);
    printf("table of five: %#llx, list of partition 0: %u %u %u | %u %u\n", (unsigned long long)table_hash(r),
           list[0], list[1], list[2], list[3], list[4]);
    assert_true(table_hash(r) == UINT64_C(0x769b9ecb15c9b649));
    ring_destroy(r);
}

static void lists_are_whole_for_any_number_of_members(void **state)
{
    (void)state;
    const uint32_t counts[] = {1, 2, 3, 4, 15, 16, 17, 60};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (uint32_t replicas = 1; replicas <= REPLICAS_MAX; replicas += 2) {
            struct ring_value v = numbered_value(counts[i], 0);
            v.replicas = replicas;
            v.partitions = 256;
            struct ring *r = ring_taking(&v);
            check_table(r);
            ring_destroy(r);
        }
    }
}

static void one_partition_is_enough(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(5, 0);
    v.partitions = 1;
    struct ring *r = ring_taking(&v);
    check_table(r);
    assert_int_equal(ring_partition(r, UINT64_MAX), 0);
    ring_destroy(r);
}

/* Where a member is put in the list of a value depends on its id alone. */
static void insert_member(struct ring_value *v, const struct member *m)
{
    uint32_t at = v->member_count++;
    for (; at > 0 && v->members[at - 1].id > m->id; at--)
        v->members[at] = v->members[at - 1];
    v->members[at] = *m;
}

static void the_order_of_arrival_does_not_matter(void **state)
{
    (void)state;
    struct ring *expected = numbered_ring(20, 0);
    struct prng p;
    prng_init(&p, 9);
    for (int round = 0; round < 10; round++) {
        uint32_t order[20];
        for (uint32_t i = 0; i < 20; i++)
            order[i] = i;
        prng_shuffle_u32(&p, order, 20);
        struct ring_value all = numbered_value(20, 0), v = numbered_value(20, 0);
        v.member_count = 0;
        for (uint32_t i = 0; i < 20; i++)
            insert_member(&v, &all.members[order[i]]);
        struct ring *r = ring_taking(&v);
        assert_true(r->hash == expected->hash);
        assert_true(table_hash(r) == table_hash(expected));
        ring_destroy(r);
        ring_value_deinit(&all);
    }
    ring_destroy(expected);
}

/* Out and in again with the same id: everything is back where it was. */
static void the_way_to_a_member_set_does_not_matter(void **state)
{
    (void)state;
    struct ring *before = numbered_ring(10, 0), *without = numbered_ring(10, 4),
                *after = numbered_ring(10, 0);
    assert_true(ring_moved(before, without) > 0);
    assert_int_equal(ring_moved(before, after), 0);
    ring_destroy(before);
    ring_destroy(without);
    ring_destroy(after);
}

static void names_addresses_and_stores_move_nothing(void **state)
{
    (void)state;
    struct ring *before = numbered_ring(10, 0);
    struct ring_value v = numbered_value(10, 0);
    v.epoch = 77;
    v.next_id = 1000;
    for (uint32_t i = 0; i < 10; i++) {
        v.members[i].name[0] = 'z';
        v.members[i].store_id = 1 + i * 7;
        v.members[i].addr = (struct addr){"10.1.2.3", (uint16_t)(80 + i)};
    }
    struct ring *after = ring_taking(&v);
    assert_true(table_hash(before) == table_hash(after));
    assert_true(before->hash != after->hash);
    ring_destroy(before);
    ring_destroy(after);
}

static void moved_counts_new_places(void **state)
{
    (void)state;
    struct ring *two = numbered_ring(2, 0), *three = numbered_ring(3, 0), *four = numbered_ring(4, 0);
    assert_int_equal(ring_moved(three, three), 0);
    /* The third member is a home of everything and nobody else gains anything. */
    assert_int_equal(ring_moved(two, three), RING_PARTITIONS);
    assert_int_equal(ring_moved(three, two), 0);
    assert_true(ring_moved(three, four) >= ring_owned(four, 4));
    assert_int_equal(ring_moved(four, three), ring_owned(four, 4));
    ring_destroy(two);
    ring_destroy(three);
    ring_destroy(four);
}

static void strangers_own_nothing(void **state)
{
    (void)state;
    struct ring *r = numbered_ring(5, 3);
    assert_int_equal(ring_owned(r, 3), 0);
    assert_int_equal(ring_owned(r, 0), 0);
    assert_false(ring_is_home(r, 0, 3));
    assert_true(ring_owned(r, 4) > 0);
    ring_destroy(r);
}

static void no_ring_from_no_value(void **state)
{
    (void)state;
    struct ring *r = (void *)state;
    struct ring_value v = numbered_value(3, 0);
    v.members[1].id = 9;
    assert_int_equal(ring_create(&v, &r), KV_E_INVALID);
    assert_null(r);
    ring_destroy(r);
    ring_value_deinit(&v);
}

/* ---- weights --------------------------------------------------------------------------------- */

static void homes_are_in_proportion_to_weight(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(12, 0);
    uint32_t total = 0;
    for (uint32_t i = 0; i < 12; i++)
        total += v.members[i].weight = 1 + i % 4;
    struct ring *r = ring_taking(&v);
    check_table(r);
    for (uint32_t i = 0; i < 12; i++) {
        double fair = (double)RING_PARTITIONS * 3 * r->value.members[i].weight / total;
        assert_true(r->owned[i] <= ceil(1.05 * fair));
        assert_true(r->owned[i] >= 0.85 * fair);
    }
    assert_true(ring_max_over_mean(r) <= 1.06);
    ring_destroy(r);
}

/* A member is at most once among the homes: what it cannot take, the others take evenly. */
static void a_weight_beyond_everything_is_all_partitions(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(5, 0);
    v.members[2].weight = WEIGHT_MAX;
    struct ring *r = ring_taking(&v);
    check_table(r);
    assert_in_range(r->owned[2], RING_PARTITIONS * 98 / 100, RING_PARTITIONS);
    for (uint32_t i = 0; i < 5; i++)
        if (i != 2)
            assert_true(r->owned[i] <= ceil(1.05 * RING_PARTITIONS * 2 / 4));
    ring_destroy(r);
}

/* It keeps the points it has: nothing moves between the others but what the caps move. */
static void more_weight_takes_from_the_others(void **state)
{
    (void)state;
    struct ring *before = numbered_ring(10, 0);
    struct ring_value v = numbered_value(10, 0);
    v.members[0].weight = 2;
    struct ring *after = ring_taking(&v);
    uint32_t gained = ring_owned(after, 1) - ring_owned(before, 1);
    assert_true(gained > 0);
    assert_true(ring_moved(before, after) <= gained * 1.1);
    ring_destroy(before);
    ring_destroy(after);
}

/* ---- deaths ---------------------------------------------------------------------------------- */

/* Share of partitions with at least `needed` live homes. */
static double served(const struct ring *r, uint32_t dead, uint32_t needed)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < r->value.partitions; p++) {
        uint32_t list[PREFERENCE_MAX], live = 0;
        ring_preference(r, p, list);
        for (uint32_t i = 0; i < r->homes; i++)
            live += (dead >> list[i] & 1) == 0;
        count += live >= needed;
    }
    return (double)count / r->value.partitions;
}

struct survival {
    uint32_t choices;
    double sum, least, most;
};

/* Over every choice of `count` dead among members 1..5. */
static struct survival survive(const struct ring *r, int count, uint32_t needed)
{
    struct survival s = {.least = 1};
    for (uint32_t dead = 0; dead < 1 << 6; dead += 2) {
        if (__builtin_popcount(dead) != count)
            continue;
        double share = served(r, dead, needed);
        s.choices++;
        s.sum += share;
        s.least = fmin(s.least, share);
        s.most = fmax(s.most, share);
    }
    return s;
}

/* The README's table for 5 nodes, N=3, R=W=2: strict needs two live homes, a sloppy get of an old key one. On
 * average it follows from three distinct homes; that no choice of victims is much worse follows from
 * spreading them. */
static void five_members_survive_as_the_readme_says(void **state)
{
    (void)state;
    const struct {
        int dead;
        double two_live, one_live;
    } table[] = {{1, 1.0, 1.0}, {2, 0.7, 1.0}, {3, 0.3, 0.9}, {4, 0.0, 0.6}};
    struct ring *r = numbered_ring(5, 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct survival two = survive(r, table[i].dead, 2), one = survive(r, table[i].dead, 1);
        printf("%d dead: two live homes %.1f %% (%.1f..%.1f), one %.1f %% (%.1f..%.1f)\n", table[i].dead,
               100 * two.sum / two.choices, 100 * two.least, 100 * two.most, 100 * one.sum / one.choices,
               100 * one.least, 100 * one.most);
        assert_true(fabs(two.sum / two.choices - table[i].two_live) < 0.001);
        assert_true(fabs(one.sum / one.choices - table[i].one_live) < 0.001);
        assert_true(two.least > table[i].two_live - 0.05 && two.most < table[i].two_live + 0.05);
        assert_true(one.least > table[i].one_live - 0.05 && one.most < table[i].one_live + 0.05);
    }
    ring_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_five_is_fixed),
        cmocka_unit_test(lists_are_whole_for_any_number_of_members),
        cmocka_unit_test(one_partition_is_enough),
        cmocka_unit_test(the_order_of_arrival_does_not_matter),
        cmocka_unit_test(the_way_to_a_member_set_does_not_matter),
        cmocka_unit_test(names_addresses_and_stores_move_nothing),
        cmocka_unit_test(moved_counts_new_places),
        cmocka_unit_test(strangers_own_nothing),
        cmocka_unit_test(no_ring_from_no_value),
        cmocka_unit_test(homes_are_in_proportion_to_weight),
        cmocka_unit_test(a_weight_beyond_everything_is_all_partitions),
        cmocka_unit_test(more_weight_takes_from_the_others),
        cmocka_unit_test(five_members_survive_as_the_readme_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
