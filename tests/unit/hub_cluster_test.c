/* The hub and its members on a small network: who is seen how, and how soon; the hub's own death and return;
 * loss, pauses, cut lines, and all of it at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/hub_support.h"

static struct star *settled(uint32_t count, uint64_t seed)
{
    struct star *s = star_create(count, seed);
    star_start_all(s);
    assert_in_range(star_until_agreed(s, 5 * SECOND_US), 0, 1500000);
    return s;
}

static void deaths_are_found_in_time(void **state)
{
    (void)state;
    /* Last heartbeat, interval and deadline, suspicion, and the push. */
    const struct {
        uint32_t count;
        uint64_t most_us;
    } cases[] = {{2, 2200000}, {5, 2200000}, {100, 3200000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct star *s = settled(cases[i].count, seed);
            star_run(s, prng_below(&s->prng, 2 * SECOND_US));
            star_kill(s, 2);
            assert_in_range(star_until_seen(s, 2, MEMBER_DEAD, 10 * SECOND_US), 1100000, cases[i].most_us);
            star_start(s, 2);
            assert_in_range(star_until_seen(s, 2, MEMBER_ALIVE, 10 * SECOND_US), 0, 400000);
            star_destroy(s);
        }
}

static void farewells_are_told_at_once(void **state)
{
    (void)state;
    struct star *s = settled(5, 1);
    star_leave(s, 3);
    assert_in_range(star_until_seen(s, 3, MEMBER_LEFT, 10 * SECOND_US), 0, 400000);
    star_run(s, 5 * SECOND_US);
    assert_true(star_all_see(s, 3, MEMBER_LEFT)); /* not dead: it said so */
    star_start(s, 3);
    assert_in_range(star_until_seen(s, 3, MEMBER_ALIVE, 10 * SECOND_US), 0, 400000);
    star_destroy(s);
}

static void without_the_hub_the_last_list_stays(void **state)
{
    (void)state;
    struct star *s = settled(5, 1);
    star_kill(s, 1);
    star_kill(s, 4);
    star_run(s, 60 * SECOND_US);
    assert_true(star_all_see(s, 4, MEMBER_ALIVE)); /* nobody notices */
    assert_true(star_all_see(s, 1, MEMBER_ALIVE)); /* and of the hub nobody has an opinion */
    star_start(s, 1);
    /* It listens first: nobody who lives is called dead meanwhile. */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(star_sees(s, 2, 3), MEMBER_ALIVE);
        star_run(s, 100000);
    }
    assert_true(star_agrees(s));
    assert_true(star_all_see(s, 4, MEMBER_DEAD));
    star_destroy(s);
}

static void a_hub_that_was_stopped_blames_nobody(void **state)
{
    (void)state;
    struct star *s = settled(5, 1);
    star_pause(s, 1);
    star_run(s, 10 * SECOND_US);
    star_resume(s, 1);
    star_run(s, 5 * SECOND_US);
    for (uint32_t i = 2; i <= 5; i++)
        assert_int_equal(s->died[i], 0);
    star_pause(s, 3); /* but who is stopped itself is seen so */
    assert_in_range(star_until_seen(s, 3, MEMBER_DEAD, 10 * SECOND_US), 1000000, 3000000);
    star_resume(s, 3);
    assert_in_range(star_until_seen(s, 3, MEMBER_ALIVE, 10 * SECOND_US), 0, 1200000);
    star_destroy(s);
}

static void a_quarter_lost_buries_nobody(void **state)
{
    (void)state;
    struct star *s = settled(30, 1);
    s->loss_percent = 25;
    star_run(s, 600 * SECOND_US);
    for (uint32_t i = 2; i <= 30; i++)
        assert_int_equal(s->died[i], 0);
    assert_true(hub_counters(s->nodes[1].hub).suspicions > 100); /* so there was need to call */
    star_destroy(s);
}

static void who_was_cut_off_catches_up(void **state)
{
    (void)state;
    struct star *s = settled(10, 1);
    s->nodes[5].cut = true;
    star_run(s, 5 * SECOND_US);
    assert_int_equal(star_sees(s, 1, 5), MEMBER_DEAD);
    star_kill(s, 6); /* it misses that, and that */
    star_run(s, 5 * SECOND_US);
    star_kill(s, 7);
    star_run(s, 5 * SECOND_US);
    assert_int_equal(star_sees(s, 5, 6), MEMBER_ALIVE);
    s->nodes[5].cut = false;
    assert_in_range(star_until_agreed(s, 5 * SECOND_US), 0, 1200000);
    assert_int_equal(star_sees(s, 5, 6), MEMBER_DEAD);
    star_destroy(s);
}

/* A quiet list costs nothing; one change is one small list for each; a crowd that goes at once is not pushed
 * one by one. */
static void lists_are_small_and_few(void **state)
{
    (void)state;
    struct star *s = settled(200, 1);
    star_run(s, 2 * SECOND_US);
    uint64_t lists = s->lists, entries = s->entries, datagrams = s->datagrams;
    star_run(s, 10 * SECOND_US);
    assert_int_equal(s->lists, lists);
    assert_in_range(s->datagrams - datagrams, 2 * 199 * 10 * 10 / 7, 2 * 199 * 10 * 16 / 10);
    star_kill(s, 2);
    star_run(s, 5 * SECOND_US); /* suspect, dead; some ask before the push that is on its way arrives */
    assert_in_range(s->lists - lists, 2 * 197, 2 * 199 * 5 / 4);
    assert_in_range(s->entries - entries, s->lists - lists, 2 * (s->lists - lists));
    lists = s->lists;
    for (uint32_t i = 101; i <= 200; i++)
        star_kill(s, i);
    star_run(s, 10 * SECOND_US);
    assert_true(star_agrees(s));
    assert_in_range(s->lists - lists, 1, 30 * 199); /* at most one push in 100 ms while they go */
    star_destroy(s);
}

/* Whatever happened: when all heals, all agree with the hub, and the hub with what is. */
static void in_the_end_all_agree_with_the_hub(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct star *s = star_create(2 + (uint32_t)seed % 9, seed);
        star_start_all(s);
        s->loss_percent = (uint32_t)prng_below(&s->prng, 50);
        for (int step = 0; step < 60; step++) {
            uint32_t i = 1 + (uint32_t)prng_below(&s->prng, s->count);
            struct star_node *n = &s->nodes[i];
            switch (prng_below(&s->prng, 6)) {
            case 0:
                if (n->hub && !n->paused)
                    star_kill(s, i);
                break;
            case 1:
                if (!n->hub)
                    star_start(s, i);
                break;
            case 2:
                if (n->hub && !n->paused)
                    star_pause(s, i);
                break;
            case 3:
                if (n->paused)
                    star_resume(s, i);
                break;
            case 4: n->cut = !n->cut; break;
            default:
                if (n->hub && !n->paused && i > 1)
                    star_leave(s, i);
            }
            star_run(s, prng_below(&s->prng, 2 * SECOND_US));
        }
        s->loss_percent = 0;
        for (uint32_t i = 1; i <= s->count; i++) {
            s->nodes[i].cut = false;
            if (s->nodes[i].paused)
                star_resume(s, i);
            if (i == 1 && !s->nodes[i].hub)
                star_start(s, i);
        }
        if (star_until_agreed(s, 10 * SECOND_US) == UINT64_MAX)
            fail_msg("seed %llu: not all agree with the hub", (unsigned long long)seed);
        star_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deaths_are_found_in_time),
        cmocka_unit_test(farewells_are_told_at_once),
        cmocka_unit_test(without_the_hub_the_last_list_stays),
        cmocka_unit_test(a_hub_that_was_stopped_blames_nobody),
        cmocka_unit_test(a_quarter_lost_buries_nobody),
        cmocka_unit_test(who_was_cut_off_catches_up),
        cmocka_unit_test(lists_are_small_and_few),
        cmocka_unit_test(in_the_end_all_agree_with_the_hub),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
