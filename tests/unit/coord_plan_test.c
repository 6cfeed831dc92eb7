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

/* A shape the way the ring's tables are read: 'h' a read home, 'x' one that is given up, 'f' a fallback, then
 * the twin of each slot in order ('-': none), and 'e' extras: "hhhff--te". */
static struct plan_shape shape(const char *text)
{
    struct plan_shape s = {0};
    for (uint32_t slot = 0; *text; text++) {
        if (*text == 'x')
            s.given_up |= position_bit(s.width);
        s.homes = (uint8_t)(s.homes + (*text == 'h' || *text == 'x'));
        s.listed = (uint8_t)(s.listed + (*text == 'h' || *text == 'x' || *text == 'f'));
        if (*text == 't')
            s.twin[slot] = s.width;
        slot += *text == 't' || *text == '-';
        s.width = (uint8_t)(s.width + (*text != '-'));
    }
    return s;
}

static void shapes(void **state)
{
    (void)state;
    static const struct {
        const char *shape, *holders, *has, *whole;
    } table[] = {
        {"hhhff", "111", "11111", "11111"},
        {"hhhff", "111", "01010", "01010"},
        {"hhhff--t", "111001", "111110", "11011"}, /* the third slot's twin lacks it */
        {"hhhff--t", "111001", "110111", "11011"}, /* ... or its read home */
        {"hhhff--t", "111001", "111111", "11111"},
        {"hhhff--t", "111001", "000001", ""},
        {"hhhffttt", "11100111", "11111010", "01011"},
        {"hhxff--t", "110001", "111111", "11011"}, /* given up: neither acknowledges */
        {"hhxff", "11", "11111", "11011"},
        {"hhfff--e", "110001", "110000", "11"}, /* an extra never counts */
        {"hhhe", "1111", "0111", "011"},
        {"h-e", "11", "1", "1"},
        {"xt", "01", "11", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct plan_shape s = shape(table[i].shape);
        assert_int_equal(plan_holders(&s), set(table[i].holders));
        assert_int_equal(plan_whole(&s, set(table[i].has)), set(table[i].whole));
    }
    struct plan_shape s = shape("hxhff-tt");
    assert_int_equal(plan_unit(&s, 0), set("1"));
    assert_int_equal(plan_unit(&s, 1), set("010001"));
    assert_int_equal(plan_unit(&s, 2), set("0010000") | position_bit(6));
    assert_int_equal(plan_unit(&s, 4), set("00001"));
    assert_int_equal(plan_heirs(&s, set("111")), set("101001"));
    assert_int_equal(plan_heirs(&s, set("001")), set("001"));
    s = shape("hx");
    assert_int_equal(plan_heirs(&s, set("11")), set("1"));
}

/* What is whole does not shrink when more have it, and is whole by its own unit. */
static void wholes_are_sound(void **state)
{
    (void)state;
    static const char *const shapes_of[] = {"hhhff", "hhhff--t", "hhhffttt", "hxhfft-t",
                                            "hhxff", "hhhfeee",  "hf-e"};
    for (size_t i = 0; i < sizeof shapes_of / sizeof shapes_of[0]; i++) {
        struct plan_shape s = shape(shapes_of[i]);
        for (position_set has = 0; has < position_bit(s.width); has++) {
            position_set whole = plan_whole(&s, has);
            assert_int_equal(whole & ~positions_below(s.listed), 0);
            for (uint32_t p = 0; p < s.listed; p++) {
                bool all = !(plan_unit(&s, p) & ~has) && !(s.given_up & position_bit(p));
                assert_int_equal(whole >> p & 1, all);
            }
        }
    }
}

struct plan_case {
    const char *name;
    const char *shape;
    uint32_t self;
    const char *idle, *carriers, *no_hints, *covered;
    const char *send;
    const char *hints[8]; /* by position: holders */
    const char *vacant;
};

static const struct plan_case cases[] = {
    {"all homes up", "hhhfff", 0, "11111", "", "", "", "111", {NULL}, NULL},
    {"second home down", "hhhfff", 0, "10111", "", "", "", "1011", {NULL, NULL, NULL, "01"}, NULL},
    {"two down", "hhhfff", 0, "00111", "", "", "", "00111", {NULL, NULL, NULL, "10", "01"}, NULL},
    {"all homes down",
     "hhhfff",
     9,
     "000111",
     "",
     "",
     "",
     "000111",
     {NULL, NULL, NULL, "100", "010", "001"},
     NULL},
    {"no fallback: self takes the hint", "hhhfff", 1, "011", "", "", "", "011", {NULL, "1"}, NULL},
    {"no fallback, self not on the list", "hhhfff", PLAN_NONE, "011", "", "", "", "011", {NULL, "1"}, NULL},
    {"one fallback for two", "hhhfff", 0, "10010", "", "", "", "1001", {"001", NULL, NULL, "01"}, NULL},
    {"a home that takes no hints", "hhhfff", 0, "110", "", "1", "", "11", {NULL, "001"}, NULL},
    {"a fallback that takes no hints is none",
     "hhhfff",
     0,
     "11011",
     "",
     "0001",
     "",
     "11001",
     {NULL, NULL, NULL, NULL, "001"},
     NULL},
    {"covered homes need nobody", "hhhfff", 0, "00011", "", "", "111", "", {NULL}, NULL},
    {"a home that is back is sent the row", "hhhfff", 0, "01011", "", "", "111", "01", {NULL}, NULL},
    {"later: next fallback",
     "hhhfff",
     0,
     "00001",
     "11",
     "",
     "11",
     "00001",
     {NULL, NULL, NULL, NULL, "001"},
     NULL},
    {"later: nobody new, self carries", "hhhfff", 1, "", "11", "", "11", "01", {NULL, "001"}, NULL},
    {"later: self refused hints, the other carries", "hhhfff", 1, "", "11", "01", "11", "1", {"001"}, NULL},
    {"later: nobody takes hints", "hhhfff", 1, "", "11", "11", "11", "", {NULL}, NULL},
    {"later: nobody has the row yet", "hhhfff", 1, "", "", "", "1", "", {NULL}, NULL},
    {"sending anyway beats sending again",
     "hhhfff",
     PLAN_NONE,
     "01",
     "1",
     "",
     "1",
     "01",
     {NULL, "001"},
     NULL},
    {"one home only", "hfff", 0, "0111", "", "", "", "01", {NULL, "1"}, NULL},
    {"a twin is sent to like a home", "hhhff--t", 0, "111111", "", "", "", "111001", {NULL}, NULL},
    {"a twin down", "hhhff--t", 0, "11111", "", "", "", "1111", {NULL, NULL, NULL, "000001"}, NULL},
    {"a slot down: two stand in",
     "hhhff--t",
     0,
     "11011",
     "",
     "",
     "",
     "11011",
     {NULL, NULL, NULL, "001", "000001"},
     NULL},
    {"no fallback: a twin carries", "hh-t", PLAN_NONE, "001", "", "", "", "001", {NULL, NULL, "11"}, NULL},
    {"an extra down", "hhf--e", 0, "111", "", "", "", "111", {NULL, NULL, "0001"}, NULL},
    {"nobody stands in for who is given up", "hhxf", 0, "1101", "", "", "", "11", {NULL}, NULL},
    {"a vacant twin that is sent to",
     "hhxff--t",
     0,
     "110111",
     "",
     "",
     "",
     "110101",
     {NULL, NULL, NULL, "000001"},
     "000001"},
    {"a vacant twin that has it",
     "hhxff--t",
     0,
     "00011",
     "110001",
     "",
     "110001",
     "0001",
     {NULL, NULL, NULL, "000001"},
     "000001"},
    {"a vacant twin needs no carrier", "hhx--t", 0, "", "1101", "", "1101", "", {NULL}, "0001"},
    {"a vacant twin that is down does", "hhx--t", 0, "11", "", "", "", "11", {"0001"}, "0001"},
};

static void writes_are_planned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct plan_case *c = &cases[i];
        struct plan_shape sh = shape(c->shape);
        position_set list = positions_below(sh.listed) & ~positions_below(sh.homes);
        struct plan_view v = {.self = c->self,
                              .holders = plan_holders(&sh),
                              .fallbacks = list,
                              .idle = set(c->idle),
                              .carriers = set(c->carriers),
                              .no_hints = set(c->no_hints),
                              .covered = set(c->covered),
                              .vacant = c->vacant ? set(c->vacant) : 0};
        struct plan plan = plan_write(&v);
        print_message("%s\n", c->name);
        assert_int_equal(plan.send, set(c->send));
        for (uint32_t p = 0; p < POSITIONS_MAX; p++) {
            const char *want = p < 8 ? c->hints[p] : NULL;
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
        struct plan_view v = {
            .self = bits % 6 == 5 ? PLAN_NONE : bits % 6, .holders = 7, .fallbacks = set("00011")};
        v.idle = bits & 31;
        v.carriers = (bits >> 5 & 31) & ~v.idle;
        v.no_hints = bits >> 10 & 7;
        v.covered = (bits >> 13 & 7) | (v.carriers & 7); /* a home that has the row is covered */
        struct plan plan = plan_write(&v);
        position_set hinted = 0, bare = 7 & ~v.covered & ~plan.send;
        assert_int_equal(plan.send & 7 & v.idle, v.idle & 7);
        assert_int_equal(plan.send & ~(v.idle | v.carriers), 0);
        for (uint32_t p = 0; p < POSITIONS_MAX; p++) {
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
        cmocka_unit_test(shapes),
        cmocka_unit_test(wholes_are_sound),
        cmocka_unit_test(writes_are_planned),
        cmocka_unit_test(plans_are_sound),
        cmocka_unit_test(readers_are_homes_first_then_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
