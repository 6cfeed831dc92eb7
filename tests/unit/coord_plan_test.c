/* The pure part of the coordinator, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "coord/plan.h"

/* Sets written the way lists are read: "1101" is positions 0, 1 and 3. */
static position_set set(const char *s)
{
    position_set bits = 0;
    for (uint32_t p = 0; s[p]; p++)
        bits |= s[p] == '1' ? position_bit(p) : 0;
    return bits;
}

static void majorities_meet(void **state)
{
    (void)state;
    static const uint32_t majority[] = {0, 1, 2, 2, 3, 3, 4, 4};
    for (uint32_t n = 1; n <= REPLICAS_MAX; n++) {
        assert_int_equal(plan_majority(n), majority[n]);
        assert_true(2 * plan_majority(n) > n);
        assert_true(plan_majority(n) + plan_cover(n) == n + 1);
        assert_true(plan_cover(n) <= plan_majority(n)); /* so R answers suffice to be written back to */
    }
}

static void windows(void **state)
{
    (void)state;
    assert_int_equal(plan_window(3, set("11111"), false), set("111"));
    assert_int_equal(plan_window(3, set("10111"), false), set("1011"));
    assert_int_equal(plan_window(3, set("00011"), false), set("00011"));
    assert_int_equal(plan_window(3, set("10111"), true), set("101"));
    assert_int_equal(plan_window(3, set("00011"), true), 0);
    assert_int_equal(plan_window(3, 0, false), 0);
}

struct plan_case {
    const char *name;
    uint32_t homes, self;
    const char *idle, *carriers, *no_hints, *covered;
    const char *send;
    const char *hints[6]; /* by position: homes */
};

static const struct plan_case cases[] = {
    {"all homes up", 3, 0, "11111", "", "", "", "111", {NULL}},
    {"second home down", 3, 0, "10111", "", "", "", "1011", {NULL, NULL, NULL, "01"}},
    {"two down", 3, 0, "00111", "", "", "", "00111", {NULL, NULL, NULL, "10", "01"}},
    {"all homes down", 3, 9, "000111", "", "", "", "000111", {NULL, NULL, NULL, "100", "010", "001"}},
    {"no fallback: self takes the hint", 3, 1, "011", "", "", "", "011", {NULL, "1"}},
    {"no fallback, self not on the list", 3, PLAN_NONE, "011", "", "", "", "011", {NULL, "1"}},
    {"one fallback for two", 3, 0, "10010", "", "", "", "1001", {"001", NULL, NULL, "01"}},
    {"a home that takes no hints", 3, 0, "110", "", "1", "", "11", {NULL, "001"}},
    {"a fallback that takes no hints is none",
     3,
     0,
     "11011",
     "",
     "0001",
     "",
     "11001",
     {NULL, NULL, NULL, NULL, "001"}},
    {"covered homes need nobody", 3, 0, "00011", "", "", "111", "", {NULL}},
    {"a home that is back is sent the row", 3, 0, "01011", "", "", "111", "01", {NULL}},
    {"later: next fallback", 3, 0, "00001", "11", "", "11", "00001", {NULL, NULL, NULL, NULL, "001"}},
    {"later: nobody new, self carries", 3, 1, "", "11", "", "11", "01", {NULL, "001"}},
    {"later: self refused hints, the other carries", 3, 1, "", "11", "01", "11", "1", {"001"}},
    {"later: nobody takes hints", 3, 1, "", "11", "11", "11", "", {NULL}},
    {"later: nobody has the row yet", 3, 1, "", "", "", "1", "", {NULL}},
    {"sending anyway beats sending again", 3, PLAN_NONE, "01", "1", "", "1", "01", {NULL, "001"}},
    {"one home only", 1, 0, "0111", "", "", "", "01", {NULL, "1"}},
};

static void writes_are_planned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct plan_case *c = &cases[i];
        struct plan_view v = {c->homes,         c->self,          set(c->idle),
                              set(c->carriers), set(c->no_hints), set(c->covered)};
        struct plan plan = plan_write(&v);
        print_message("%s\n", c->name);
        assert_int_equal(plan.send, set(c->send));
        for (uint32_t p = 0; p < PREFERENCE_MAX; p++) {
            const char *want = p < 6 ? c->hints[p] : NULL;
            assert_int_equal(plan.hints[p], want ? set(want) : 0);
        }
    }
}

/* Whatever the sets: hints only where something is sent, each bare home hinted at most once, none for a home
 * that is sent to or covered, none for those who refused; and if anybody could take them, all are taken. */
static void plans_are_sound(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 1u << 16; bits++) {
        struct plan_view v = {.homes = 3, .self = bits % 6 == 5 ? PLAN_NONE : bits % 6};
        v.idle = bits & 31;
        v.carriers = (bits >> 5 & 31) & ~v.idle;
        v.no_hints = bits >> 10 & 7;
        v.covered = (bits >> 13 & 7) | (v.carriers & 7); /* a home that has the row is covered */
        struct plan plan = plan_write(&v);
        position_set hinted = 0, bare = 7 & ~v.covered & ~plan.send;
        assert_int_equal(plan.send & 7 & v.idle, v.idle & 7);
        assert_int_equal(plan.send & ~(v.idle | v.carriers), 0);
        for (uint32_t p = 0; p < PREFERENCE_MAX; p++) {
            assert_int_equal(hinted & plan.hints[p], 0);
            hinted |= plan.hints[p];
            assert_true(!plan.hints[p] || (plan.send & ~v.no_hints & position_bit(p)));
        }
        assert_int_equal(hinted & ~bare, 0);
        bool somebody = ((plan.send | v.carriers) & ~v.no_hints) != 0;
        assert_true(hinted == bare || !somebody);
    }
}

static void readers_are_homes_first_then_nearest(void **state)
{
    (void)state;
    uint8_t distance[PREFERENCE_MAX] = {3, 1, 2, 0, 0};
    assert_int_equal(plan_reader(3, set("11111"), distance), 1);
    assert_int_equal(plan_reader(3, set("10111"), distance), 2);
    assert_int_equal(plan_reader(3, set("10011"), distance), 0);
    assert_int_equal(plan_reader(3, set("00011"), distance), 3);
    assert_int_equal(plan_reader(3, 0, distance), PLAN_NONE);
    memset(distance, 0, sizeof distance);
    assert_int_equal(plan_reader(3, set("011"), distance), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(majorities_meet),
        cmocka_unit_test(windows),
        cmocka_unit_test(writes_are_planned),
        cmocka_unit_test(plans_are_sound),
        cmocka_unit_test(readers_are_homes_first_then_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
