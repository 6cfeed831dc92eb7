/* Slots, twins, extras and fallbacks of a ring that changes, judged by the STABLE rings before and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "kv_error.h"
#include "unit/ring_support.h"

/* The four rings of one change. */
struct rings {
    struct ring *before, *pending, *switching, *after;
};

static bool has(const uint32_t *list, uint32_t count, uint32_t member)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == member)
            return true;
    return false;
}

/* `v` is PENDING. */
static struct rings make_rings(const struct ring_value *v)
{
    struct rings s;
    struct ring_value switching;
    assert_int_equal(ring_value_copy(v, &switching), KV_OK);
    switching.phase = RING_SWITCH;
    switching.switched = false;
    switching.epoch++;
    struct ring_value before = side_of(v, true), after = side_of(v, false);
    s.before = ring_taking(&before);
    s.after = ring_taking(&after);
    assert_int_equal(ring_create(v, &s.pending), KV_OK);
    s.switching = ring_taking(&switching);
    return s;
}

static void destroy_rings(struct rings *s)
{
    ring_destroy(s->before);
    ring_destroy(s->pending);
    ring_destroy(s->switching);
    ring_destroy(s->after);
}

/* ---- what holds for each partition ----------------------------------------------------------- */

/* Who is a home before and after has one slot; the others are paired in the order of their lists; and the
 * slots are in the order of the list before, but for those that one side has more. */
static void check_pairs(const struct rings *s, uint32_t p, const struct ring_slot *slots, uint32_t count)
{
    uint32_t old[PREFERENCE_MAX], new[PREFERENCE_MAX], at = 0, to = 0;
    uint32_t olds = s->before->homes, news = s->after->homes, paired = olds < news ? olds : news;
    ring_preference(s->before, p, old);
    ring_preference(s->after, p, new);
    assert_int_equal(count, olds > news ? olds : news);
    for (uint32_t i = 0; i < count; i++)
        assert_true(i < paired ? slots[i].from && slots[i].to : !slots[i].from != !slots[i].to);
    for (uint32_t k = 0; k < olds; k++) {
        bool stays = has(new, news, old[k]);
        while (!stays && to < news && has(old, olds, new[to]))
            to++;
        uint32_t successor = stays ? old[k] : to < news ? new[to++] : 0;
        uint32_t i = successor ? at++ : paired + k - at;
        assert_int_equal(slots[i].from, old[k]);
        assert_int_equal(slots[i].to, successor);
    }
    for (uint32_t k = 0; k < news; k++) {
        uint32_t times = 0;
        for (uint32_t i = 0; i < count; i++)
            times += slots[i].to == new[k];
        assert_int_equal(times, 1);
    }
}

static bool given_up(const struct ring *r, uint32_t member)
{
    return ring_value_find(&r->value, member)->dead;
}

static uint32_t twin_of(const struct ring *r, uint32_t p, uint32_t slot)
{
    uint16_t twin = r->twins[(size_t)p * r->twin_width + slot];
    return twin == RING_NOBODY ? 0 : r->value.members[twin].id;
}

/* Read homes, twins and extras of one phase follow from its slots. */
static bool stays(const struct member *m)
{
    return m->old_weight > 0 && m->weight > 0 && !m->dead;
}

static void check_homes(const struct ring *r, uint32_t p, const struct ring_slot *slots, uint32_t count)
{
    bool pending = r->value.phase == RING_PENDING;
    uint32_t list[PREFERENCE_MAX], holders[2 * REPLICAS_MAX], expected = 0;
    uint32_t listed = ring_preference(r, p, list), held = ring_holders(r, p, holders);
    assert_int_equal(r->twin_width, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t read = pending ? slots[i].from : slots[i].to, other = pending ? slots[i].to : slots[i].from;
        bool twin = other && other != read && !given_up(r, other);
        assert_int_equal(i < r->homes, read != 0);
        if (read) {
            assert_int_equal(list[i], read);
            assert_true(given_up(r, read) != has(holders, held, read));
            expected += !given_up(r, read);
        }
        assert_int_equal(twin_of(r, p, i), twin ? other : 0);
        assert_true(!twin || has(holders, held, other));
        expected += twin;
    }
    assert_int_equal(held, expected);
    for (uint32_t i = r->homes; i < listed; i++) {
        assert_false(ring_is_home(r, p, list[i]));
        assert_true(stays(ring_value_find(&r->value, list[i])));
        assert_false(has(list, i, list[i]));
    }
    for (uint32_t i = listed; i < r->width; i++)
        assert_int_equal(r->table[(size_t)p * r->width + i], RING_NOBODY);
}

/* Nobody who could be a fallback is left out while there is room. Of more members than a list holds, those
 * far behind on both walks may be. */
static void check_fallbacks_whole(const struct ring *r, uint32_t p)
{
    uint32_t list[PREFERENCE_MAX], count = ring_preference(r, p, list), others = 0;
    for (uint32_t i = 0; i < r->value.member_count; i++)
        others += !ring_is_home(r, p, r->value.members[i].id) && stays(&r->value.members[i]);
    if (r->value.member_count <= PREFERENCE_MAX)
        assert_int_equal(count, r->homes + others);
}

static void check_is_home(const struct ring *r, uint32_t p, const struct ring_slot *slots, uint32_t count)
{
    assert_false(ring_is_home(r, p, 0));
    for (uint32_t i = 0; i < r->value.member_count; i++) {
        bool home = false;
        for (uint32_t k = 0; k < count; k++)
            home = home || slots[k].from == r->value.members[i].id || slots[k].to == r->value.members[i].id;
        assert_int_equal(ring_is_home(r, p, r->value.members[i].id), home);
    }
}

static void check_rings(const struct rings *s)
{
    assert_int_equal(s->pending->homes, s->before->homes);
    assert_int_equal(s->switching->homes, s->after->homes);
    for (uint32_t p = 0; p < s->pending->value.partitions; p++) {
        struct ring_slot slots[REPLICAS_MAX], same[REPLICAS_MAX];
        uint32_t count = ring_slots(s->pending, p, slots);
        assert_int_equal(ring_slots(s->switching, p, same), count);
        assert_memory_equal(slots, same, count * sizeof *slots);
        check_pairs(s, p, slots, count);
        check_homes(s->pending, p, slots, count);
        check_homes(s->switching, p, slots, count);
        check_fallbacks_whole(s->pending, p);
        check_is_home(s->pending, p, slots, count);
    }
    const struct ring *changing[] = {s->pending, s->switching};
    for (uint32_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < changing[k]->value.member_count; i++) {
            uint32_t id = changing[k]->value.members[i].id;
            assert_int_equal(ring_owned(changing[k], id), ring_owned(s->after, id));
        }
        assert_true(ring_max_over_mean(changing[k]) == ring_max_over_mean(s->after));
    }
    assert_int_equal(ring_moved(s->pending, s->pending), ring_moved(s->before, s->after));
    assert_int_equal(ring_moved(s->before, s->switching), ring_moved(s->before, s->after));
    assert_int_equal(ring_moved(s->switching, s->after), 0);
}

static void check_same(const struct ring *r, const struct ring *expected)
{
    size_t partitions = r->value.partitions;
    assert_int_equal(r->hash, expected->hash);
    assert_int_equal(r->homes, expected->homes);
    assert_int_equal(r->width, expected->width);
    assert_int_equal(r->twin_width, expected->twin_width);
    assert_memory_equal(r->table, expected->table, partitions * r->width * sizeof *r->table);
    assert_memory_equal(r->owned, expected->owned, r->value.member_count * sizeof *r->owned);
    if (r->twin_width == 0)
        return;
    assert_memory_equal(r->twins, expected->twins, partitions * r->twin_width * sizeof *r->twins);
    assert_memory_equal(r->pairs, expected->pairs, partitions * r->twin_width * sizeof *r->pairs);
}

/* Each ring of the change made from each other one, which is gone by then: the same as without. */
static void check_sharing(const struct rings *s)
{
    const struct ring *all[] = {s->before, s->pending, s->switching, s->after};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            struct ring *earlier, *r;
            assert_int_equal(ring_create(&all[j]->value, &earlier), KV_OK);
            assert_int_equal(ring_create_after(&all[i]->value, earlier, &r), KV_OK);
            if (i == 2 && j == 1) { /* nothing is placed again */
                assert_ptr_equal(r->before, earlier->before);
                assert_ptr_equal(r->after, earlier->after == r->after ? r->after : r->before);
            }
            if (i == 1 && j == 0)
                assert_ptr_equal(r->before, earlier->after);
            if (i == 3 && j == 2)
                assert_true(r->after == earlier->after || r->after == earlier->before);
            ring_destroy(earlier);
            check_same(r, all[i]);
            ring_destroy(r);
        }
}

/* ---- changes --------------------------------------------------------------------------------- */

static void random_changes_pair_up(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    for (int round = 0; round < 200; round++) {
        uint32_t count = 1 + (uint32_t)prng_below(&prng, round % 8 ? 9 : 30);
        struct ring_value v = numbered_value(count, 0);
        begin_by_hand(&v);
        v.partitions = 32;
        v.replicas = 1 + (uint32_t)prng_below(&prng, REPLICAS_MAX);
        bool zones = prng_below(&prng, 2);
        for (uint32_t i = 0; i < count; i++) {
            struct member *m = &v.members[i];
            m->old_weight = prng_below(&prng, 4) ? 1 + (uint32_t)prng_below(&prng, 3) : 0;
            m->weight = prng_below(&prng, 4) ? 1 + (uint32_t)prng_below(&prng, 3) : !m->old_weight;
            if (zones)
                snprintf(m->zone, sizeof m->zone, "z%u", (uint32_t)prng_below(&prng, 3));
            if (zones && m->old_weight)
                snprintf(m->old_zone, sizeof m->old_zone, "z%u", (uint32_t)prng_below(&prng, 3));
            m->dead = m->old_weight && prng_below(&prng, 6) == 0;
        }
        v.members[0].old_weight = v.members[0].weight = 1;
        struct rings s = make_rings(&v);
        check_rings(&s);
        if (round % 4 == 0)
            check_sharing(&s);
        destroy_rings(&s);
        ring_value_deinit(&v);
    }
}

/* Members 1..count, of whom the last joins or leaves. */
static struct rings last_of(uint32_t count, bool joins, bool dead)
{
    struct ring_value v = numbered_value(count, 0);
    begin_by_hand(&v);
    struct member *last = &v.members[count - 1];
    if (joins)
        last->old_weight = 0;
    else
        last->weight = 0;
    last->dead = dead;
    struct rings s = make_rings(&v);
    ring_value_deinit(&v);
    return s;
}

/* N is 3: up to three members the new one is an extra and then a slot, and from four on it has twins. */
static void from_one_member_to_six_and_back(void **state)
{
    (void)state;
    for (uint32_t count = 2; count <= 6; count++) {
        struct rings up = last_of(count, true, false), down = last_of(count, false, false);
        check_rings(&up);
        check_rings(&down);
        bool extra = count <= REPLICAS_DEFAULT;
        assert_int_equal(up.pending->homes, extra ? count - 1 : 3);
        assert_int_equal(up.switching->homes, extra ? count : 3);
        struct ring_slot slots[REPLICAS_MAX];
        assert_int_equal(ring_slots(up.pending, 0, slots), extra ? count : 3);
        if (extra) {
            assert_int_equal(slots[count - 1].from, 0);
            assert_int_equal(slots[count - 1].to, count);
            assert_int_equal(twin_of(up.pending, 0, count - 1), count);
            assert_int_equal(twin_of(up.switching, 0, count - 1), 0);
            assert_int_equal(twin_of(down.pending, 0, count - 1), 0);
            assert_int_equal(twin_of(down.switching, 0, count - 1), count);
        }
        destroy_rings(&up);
        destroy_rings(&down);
    }
}

/* It stays a read home, that nobody may count, and is nothing else. */
static void who_is_given_up_is_read_home_or_nothing(void **state)
{
    (void)state;
    struct rings s = last_of(5, false, true);
    uint32_t seen = 0;
    check_rings(&s);
    for (uint32_t p = 0; p < s.pending->value.partitions; p++) {
        uint32_t list[PREFERENCE_MAX], count = ring_preference(s.pending, p, list);
        bool home = has(list, s.pending->homes, 5);
        seen += home;
        assert_int_equal(home, ring_is_home(s.before, p, 5));
        assert_int_equal(has(list, count, 5), home);
        assert_false(has(list, ring_preference(s.switching, p, list), 5));
        for (uint32_t i = 0; i < s.switching->twin_width; i++)
            assert_int_not_equal(twin_of(s.switching, p, i), 5);
    }
    assert_int_equal(seen, ring_owned(s.before, 5));
    destroy_rings(&s);
}

/* As many members with the same weights, before and after: another one of them, or one in another zone. */
static void only_the_same_members_share(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct ring_value v = numbered_value(6, 0);
        begin_by_hand(&v);
        if (round == 0)
            v.members[1].weight = v.members[5].old_weight = 0;
        for (uint32_t i = 0; round == 1 && i < 6; i++) {
            (void)snprintf(v.members[i].old_zone, sizeof v.members[i].old_zone, "z%u", i % 3);
            (void)snprintf(v.members[i].zone, sizeof v.members[i].zone, "z%u", i < 5 ? i % 3 : 0);
        }
        struct rings s = make_rings(&v);
        assert_true(ring_moved(s.before, s.after) > 0);
        check_rings(&s);
        check_sharing(&s);
        destroy_rings(&s);
        ring_value_deinit(&v);
    }
}

static void a_stable_ring_has_slots_that_stay(void **state)
{
    (void)state;
    struct ring *r = numbered_ring(5, 0);
    assert_null(r->twins);
    assert_int_equal(r->twin_width, 0);
    for (uint32_t p = 0; p < r->value.partitions; p++) {
        struct ring_slot slots[REPLICAS_MAX];
        uint32_t list[PREFERENCE_MAX], holders[2 * REPLICAS_MAX];
        ring_preference(r, p, list);
        assert_int_equal(ring_slots(r, p, slots), 3);
        assert_int_equal(ring_holders(r, p, holders), 3);
        for (uint32_t i = 0; i < 3; i++)
            assert_true(slots[i].from == list[i] && slots[i].to == list[i] && holders[i] == list[i]);
    }
    ring_destroy(r);
}

/* ---- sources --------------------------------------------------------------------------------- */

static uint32_t cover(uint32_t n)
{
    return n - (n / 2 + 1) + 1;
}

/* A set of `count` of the members of `from`, at random. */
static uint64_t some_of(struct prng *prng, uint64_t from, uint32_t count)
{
    uint64_t set = 0;
    while ((uint32_t)__builtin_popcountll(set) < count) {
        uint32_t id = (uint32_t)prng_below(prng, 64);
        set |= from & UINT64_C(1) << id;
    }
    return set;
}

static void check_copies(const struct ring *r, uint32_t p, struct prng *prng)
{
    struct ring_slot slots[REPLICAS_MAX];
    uint32_t count = ring_slots(r, p, slots), before = 0, after = 0, copies = 0;
    uint64_t old = 0;
    bool lossy = false;
    for (uint32_t i = 0; i < count; i++) {
        old |= slots[i].from ? UINT64_C(1) << slots[i].from : 0;
        before += slots[i].from != 0;
        after += slots[i].to != 0;
    }
    uint64_t have = some_of(prng, old, cover(before));
    for (uint32_t i = 0; i < count; i++) {
        struct ring_sources s = {0};
        if (slots[i].to == 0)
            continue;
        bool takes = ring_takes_over(r, p, slots[i].to, &s);
        uint64_t sources = 0;
        for (uint32_t k = 0; k < s.count; k++)
            sources |= UINT64_C(1) << s.members[k];
        lossy = lossy || s.lossy;
        assert_int_equal(__builtin_popcountll(sources), s.count);
        assert_int_equal(sources & ~old & ~(UINT64_C(1) << slots[i].to), 0);
        assert_true(takes || slots[i].from == slots[i].to);
        uint64_t read = some_of(prng, sources, s.needed) | UINT64_C(1) << slots[i].to;
        copies += (read & have) != 0;
    }
    assert_true(copies >= cover(after) || lossy);
    assert_true(before > 2 ? !lossy : true);
}

/* Any n - majority + 1 homes may be those that have a row. Whichever they are, so many of the homes after the
 * change must have it once all have read what they must, whichever of their sources they read. */
static void what_was_acknowledged_is_at_enough_homes_after(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 8);
    for (uint32_t count = 1; count <= 8; count++) {
        for (uint32_t dead = 0; dead < 2; dead++) {
            for (uint32_t n = 1; n <= REPLICAS_MAX; n++) {
                struct ring_value v = numbered_value(count + 1, 0);
                begin_by_hand(&v);
                v.partitions = 16;
                v.replicas = n;
                struct member *last = &v.members[count];
                if (prng_below(&prng, 2))
                    last->weight = 0;
                else if (!dead)
                    last->old_weight = 0;
                last->dead = dead;
                struct ring *r = ring_taking(&v);
                for (uint32_t p = 0; p < 16; p++)
                    check_copies(r, p, &prng);
                ring_destroy(r);
            }
        }
    }
}

static struct ring_sources sources_of(const struct ring *r, uint32_t member)
{
    struct ring_sources s = {0};
    assert_true(ring_takes_over(r, 0, member, &s));
    return s;
}

static void the_sources_of_each_case(void **state)
{
    (void)state;
    struct ring_sources s;
    /* A third member: a majority of two, which is both. The others need nothing. */
    struct rings up = last_of(3, true, false);
    s = sources_of(up.pending, 3);
    assert_true(s.count == 2 && s.needed == 2 && !s.lossy);
    assert_false(ring_takes_over(up.pending, 0, 1, &s));
    assert_false(ring_takes_over(up.pending, 0, 9, &s));
    assert_false(ring_takes_over(up.pending, 0, 0, &s));
    assert_false(ring_takes_over(up.after, 0, 3, &s));
    /* Of three, the two that stay have enough; of two, the one that stays has not. */
    struct rings to_two = last_of(3, false, false), to_one = last_of(2, false, false);
    assert_false(ring_takes_over(to_two.pending, 0, 1, &s));
    s = sources_of(to_one.pending, 1);
    assert_true(s.count == 1 && s.needed == 1 && s.members[0] == 2 && !s.lossy);
    struct rings removed = last_of(2, false, true);
    s = sources_of(removed.pending, 1);
    assert_true(s.count == 0 && s.needed == 0 && s.lossy);
    destroy_rings(&up);
    destroy_rings(&to_two);
    destroy_rings(&to_one);
    destroy_rings(&removed);
    /* The slot's home before; given up, two of the others. */
    for (uint32_t dead = 0; dead < 2; dead++) {
        struct rings down = last_of(5, false, dead);
        for (uint32_t p = 0; p < down.pending->value.partitions; p++) {
            struct ring_slot slots[REPLICAS_MAX];
            ring_slots(down.pending, p, slots);
            for (uint32_t i = 0; i < 3; i++) {
                bool takes = ring_takes_over(down.pending, p, slots[i].to, &s);
                assert_int_equal(takes, slots[i].from != slots[i].to);
                if (takes && dead && slots[i].from == 5)
                    assert_true(s.count == 2 && s.needed == 2 && !s.lossy);
                else if (takes)
                    assert_true(s.count == 1 && s.members[0] == slots[i].from && s.needed == 1);
            }
        }
        destroy_rings(&down);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_pair_up),
        cmocka_unit_test(from_one_member_to_six_and_back),
        cmocka_unit_test(who_is_given_up_is_read_home_or_nothing),
        cmocka_unit_test(only_the_same_members_share),
        cmocka_unit_test(a_stable_ring_has_slots_that_stay),
        cmocka_unit_test(what_was_acknowledged_is_at_enough_homes_after),
        cmocka_unit_test(the_sources_of_each_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
