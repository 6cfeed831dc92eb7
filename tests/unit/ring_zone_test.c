/* Zones: homes in distinct ones while there are enough, with caps that know it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "base/prng.h"
#include "ring/cap.h"
#include "unit/ring_support.h"

/* Members 1..n, zone sizes as given (0 ends); sizes are in order of id. */
static struct ring_value zoned_value(const uint32_t *sizes)
{
    uint32_t count = 0;
    for (const uint32_t *s = sizes; *s; s++)
        count += *s;
    struct ring_value v = numbered_value(count, 0);
    uint32_t i = 0;
    for (uint32_t zone = 0; sizes[zone]; zone++)
        for (uint32_t k = 0; k < sizes[zone]; k++)
            snprintf(v.members[i++].zone, sizeof v.members[0].zone, "z%u", zone);
    return v;
}

static bool same_zone(const struct member *a, const struct member *b)
{
    return a == b || (a->zone[0] != '\0' && strcmp(a->zone, b->zone) == 0);
}

static uint32_t zones_among(const struct ring *r, const uint32_t *ids, uint32_t count)
{
    uint32_t zones = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct member *m = ring_value_find(&r->value, ids[i]);
        bool fresh = true;
        for (uint32_t k = 0; k < i; k++)
            fresh = fresh && !same_zone(m, ring_value_find(&r->value, ids[k]));
        zones += fresh;
    }
    return zones;
}

/* As many zones among every partition's homes as there can be. */
static void check_zones(const struct ring *r)
{
    uint32_t all[MEMBERS_MAX];
    for (uint32_t i = 0; i < r->value.member_count; i++)
        all[i] = r->value.members[i].id;
    uint32_t zones = zones_among(r, all, r->value.member_count);
    uint32_t expected = zones < r->homes ? zones : r->homes;
    for (uint32_t p = 0; p < r->value.partitions; p++) {
        uint32_t list[PREFERENCE_MAX];
        ring_preference(r, p, list);
        assert_int_equal(zones_among(r, list, r->homes), expected);
    }
}

static void equal_zones_are_as_even_as_none(void **state)
{
    (void)state;
    const uint32_t layouts[][8] = {{1, 1, 1}, {2, 2, 2}, {5, 5, 5}, {3, 3, 3, 3}, {10, 10, 10, 10, 10, 10}};
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        struct ring_value v = zoned_value(layouts[i]);
        struct ring *r = ring_taking(&v);
        check_table(r);
        check_zones(r);
        assert_true(ring_max_over_mean(r) <= 1.06);
        ring_destroy(r);
    }
}

/* The only member of one of three zones has everything; within a zone it is even. */
static void unequal_zones_are_even_within_each(void **state)
{
    (void)state;
    const uint32_t sizes[] = {1, 2, 5, 0};
    struct ring_value v = zoned_value(sizes);
    struct ring *r = ring_taking(&v);
    check_table(r);
    check_zones(r);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t size = i == 0 ? 1 : i < 3 ? 2 : 5;
        assert_in_range(r->owned[i], 0.75 * RING_PARTITIONS / size, ceil(1.05 * RING_PARTITIONS / size));
    }
    assert_int_equal(r->owned[0], RING_PARTITIONS);
    ring_destroy(r);
}

/* More zones than homes: a small zone has no more than its share. */
static void a_small_zone_among_many_is_not_overloaded(void **state)
{
    (void)state;
    const uint32_t sizes[] = {1, 5, 5, 5, 5, 0};
    struct ring_value v = zoned_value(sizes);
    struct ring *r = ring_taking(&v);
    check_table(r);
    check_zones(r);
    assert_true(ring_max_over_mean(r) <= 1.06);
    ring_destroy(r);
}

static void with_two_zones_each_partition_is_in_both(void **state)
{
    (void)state;
    const uint32_t sizes[] = {2, 4, 0};
    struct ring_value v = zoned_value(sizes);
    struct ring *r = ring_taking(&v);
    check_table(r);
    check_zones(r);
    assert_true(ring_max_over_mean(r) <= 1.06);
    ring_destroy(r);
}

static void one_zone_is_no_zone(void **state)
{
    (void)state;
    const uint32_t sizes[] = {7, 0};
    struct ring_value v = zoned_value(sizes);
    struct ring *zoned = ring_taking(&v), *plain = numbered_ring(7, 0);
    assert_true(table_hash(zoned) == table_hash(plain));
    ring_destroy(zoned);
    ring_destroy(plain);
}

/* A member that names no zone shares none with another. */
static void no_name_is_a_zone_of_ones_own(void **state)
{
    (void)state;
    struct ring_value v = numbered_value(6, 0);
    for (uint32_t i = 0; i < 4; i++)
        strcpy(v.members[i].zone, "shared");
    struct ring *r = ring_taking(&v);
    check_table(r);
    check_zones(r);
    /* Three zones, so the two loners are homes of everything. */
    assert_int_equal(r->owned[4], RING_PARTITIONS);
    assert_int_equal(r->owned[5], RING_PARTITIONS);
    ring_destroy(r);

    v = numbered_value(6, 0);
    for (uint32_t i = 0; i < 6; i++)
        snprintf(v.members[i].zone, sizeof v.members[i].zone, "only-%u", i);
    struct ring *named = ring_taking(&v), *unnamed = numbered_ring(6, 0);
    assert_true(table_hash(named) == table_hash(unnamed));
    ring_destroy(named);
    ring_destroy(unnamed);
}

/* The one who joins takes from members of every zone, and little else moves. */
static void a_join_moves_little_between_zones(void **state)
{
    (void)state;
    const uint32_t before_sizes[] = {3, 3, 3, 0}, after_sizes[] = {3, 3, 4, 0};
    struct ring_value v = zoned_value(before_sizes);
    struct ring *before = ring_taking(&v);
    v = zoned_value(after_sizes);
    struct ring *after = ring_taking(&v);
    assert_true(ring_moved(before, after) <= 1.1 * ring_owned(after, 10));
    ring_destroy(before);
    ring_destroy(after);
}

static struct ring_value random_value(struct prng *p)
{
    struct ring_value v = numbered_value(1 + (uint32_t)prng_below(p, 24), 0);
    uint64_t zones = 1 + prng_below(p, 8), weights = 1 + prng_below(p, 4);
    v.partitions = 256;
    v.replicas = 1 + (uint32_t)prng_below(p, 5);
    for (uint32_t i = 0; i < v.member_count; i++) {
        v.members[i].weight = 1 + (uint32_t)prng_below(p, weights);
        if (prng_below(p, 8))
            snprintf(v.members[i].zone, sizeof v.members[i].zone, "z%u", (uint32_t)prng_below(p, zones));
    }
    return v;
}

/* Whatever the zones and weights: every partition has its homes, in as many zones as can be, and the caps,
 * which know the zones, are hardly ever exceeded. */
static void any_layout_is_placed(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 17);
    uint64_t placed = 0, above = 0;
    for (int round = 0; round < 300; round++) {
        struct ring_value v = random_value(&p);
        struct ring *r = ring_taking(&v);
        struct ring_caps caps;
        check_table(r);
        check_zones(r);
        assert_int_equal(ring_caps_init(&caps, &r->value, r->homes), 0);
        for (uint32_t i = 0; i < r->value.member_count; i++) {
            placed += r->owned[i];
            assert_true(r->owned[i] <= caps.cap[i] * 1.12 + 1);
            above += r->owned[i] > caps.cap[i] ? r->owned[i] - caps.cap[i] : 0;
        }
        ring_caps_deinit(&caps);
        ring_destroy(r);
    }
    printf("300 layouts: %.4f %% of the homes are above a cap\n", 100.0 * (double)above / (double)placed);
    assert_true(above < placed / 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_zones_are_as_even_as_none),
        cmocka_unit_test(unequal_zones_are_even_within_each),
        cmocka_unit_test(a_small_zone_among_many_is_not_overloaded),
        cmocka_unit_test(with_two_zones_each_partition_is_in_both),
        cmocka_unit_test(one_zone_is_no_zone),
        cmocka_unit_test(no_name_is_a_zone_of_ones_own),
        cmocka_unit_test(a_join_moves_little_between_zones),
        cmocka_unit_test(any_layout_is_placed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
