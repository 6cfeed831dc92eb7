/* What an operator's order could not compare is told: with whom, which partitions, and why. */
#include "unit/entropy_lab.h"

enum { MEMBERS = 5, PARTITIONS = 64 };

static struct lab *settled_lab(void)
{
    struct lab *lab = lab_create(MEMBERS, 3, PARTITIONS, 7);
    for (uint32_t i = 0; i < 1000; i++)
        lab_put(lab, i, i, 100, 7);
    lab_connect(lab);
    lab_run(lab, 2 * ENTROPY_RETURN_US);
    return lab;
}

static void order(struct lab *lab, uint32_t node)
{
    struct msg_repair_reply reply;
    entropy_repair(lab->nodes[node], lab->now, &reply);
    assert_int_equal(reply.status, KV_OK);
}

static void finish(struct lab *lab, uint32_t node)
{
    for (uint32_t i = 0; entropy_counters(lab->nodes[node]).repair_left; i++) {
        assert_in_range(i, 0, 1000);
        lab_run(lab, 1000000);
    }
}

/* Partitions that two have in common, and the first of them. */
static uint32_t shared(const struct lab *lab, uint32_t a, uint32_t b, uint32_t *first)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if (!ring_is_home(lab->ring, p, a) || !ring_is_home(lab->ring, p, b))
            continue;
        if (count++ == 0)
            *first = p;
    }
    return count;
}

static void expect_nothing_missed(const struct lab *lab, uint32_t node)
{
    const struct entropy_missed *m;
    assert_int_equal(entropy_missed(lab->nodes[node], &m), 0);
    assert_int_equal(entropy_counters(lab->nodes[node]).repair_missed, 0);
}

/* Of node 1, exactly this: everything that it shares with the member. */
static void expect_missed(const struct lab *lab, uint32_t member, int status)
{
    const struct entropy_missed *m;
    uint32_t first, count = shared(lab, 1, member, &first);
    assert_int_equal(entropy_missed(lab->nodes[1], &m), 1);
    assert_int_equal(m->member, member);
    assert_int_equal(m->status, status);
    assert_int_equal(m->partitions, count);
    assert_int_equal(m->first, first);
    assert_int_equal(entropy_counters(lab->nodes[1]).repair_missed, count);
}

static void a_peer_that_does_not_answer(void **state)
{
    (void)state;
    struct lab *lab = settled_lab();
    lab->cut[2] = true; /* and nobody is told */
    order(lab, 1);
    finish(lab, 1);
    expect_missed(lab, 2, KV_E_TIMEOUT);
    lab->cut[2] = false;
    lab_run(lab, 2 * ENTROPY_ROUND_US);
    order(lab, 1); /* the next one begins with a clean sheet */
    finish(lab, 1);
    expect_nothing_missed(lab, 1);
    lab_destroy(lab);
}

static void a_peer_that_cannot_be_reached(void **state)
{
    (void)state;
    struct lab *lab = settled_lab();
    lab_reach(lab, 3, false);
    order(lab, 1);
    finish(lab, 1);
    expect_missed(lab, 3, KV_E_UNAVAILABLE);
    lab_destroy(lab);
}

/* At any moment. What was compared before is not missed; everything else is. */
static void a_peer_that_is_lost_meanwhile(void **state)
{
    (void)state;
    for (uint32_t steps = 0; steps < 400; steps += 13) {
        struct lab *lab = settled_lab();
        struct entropy_counters before = entropy_counters(lab->nodes[1]);
        const struct entropy_missed *m;
        order(lab, 1);
        lab_tick(lab);
        for (uint32_t i = 0; i < steps; i++) {
            lab->now.mono_us += 10;
            lab_tick(lab);
            lab_step(lab);
        }
        lab_reach(lab, 4, false);
        finish(lab, 1);
        struct entropy_counters after = entropy_counters(lab->nodes[1]);
        uint32_t pairs = 2 * ring_owned(lab->ring, 1);
        assert_int_equal(after.compared - before.compared + after.repair_missed, pairs);
        assert_true(after.repair_missed == 0 || entropy_missed(lab->nodes[1], &m) == 1);
        lab_destroy(lab);
    }
}

static void rows_that_cannot_be_read_here(void **state)
{
    (void)state;
    struct lab *lab = settled_lab();
    const struct entropy_missed *m;
    lab->stores[1].fail = KV_E_CORRUPT;
    order(lab, 1);
    finish(lab, 1);
    assert_int_equal(entropy_missed(lab->nodes[1], &m), 1);
    assert_int_equal(m->member, 1);
    assert_int_equal(m->status, KV_E_CORRUPT);
    assert_int_equal(m->partitions, ring_owned(lab->ring, 1));
    lab->stores[1].fail = KV_OK;
    lab_destroy(lab);
}

static void rows_that_cannot_be_read_there(void **state)
{
    (void)state;
    struct lab *lab = settled_lab();
    lab->stores[2].fail = KV_E_IO;
    order(lab, 1);
    finish(lab, 1);
    expect_missed(lab, 2, KV_E_IO);
    lab->stores[2].fail = KV_OK;
    lab_destroy(lab);
}

/* Rounds that nobody has ordered are repeated by themselves. */
static void what_was_not_ordered_is_not_told(void **state)
{
    (void)state;
    struct lab *lab = settled_lab();
    lab->cut[2] = true;
    lab_run(lab, 2 * ENTROPY_ROUND_US);
    assert_true(lab_counters(lab).sessions_failed > 0);
    expect_nothing_missed(lab, 1);
    lab_destroy(lab);
}

/* An order goes on under another ring, also for the partitions that were engaged. */
static void a_new_ring_forgets_no_order(void **state)
{
    (void)state;
    struct lab *lab = settled_lab();
    struct ring *old = lab->ring;
    char text[LAB_KEY_MAX];
    for (uint32_t i = 0; i < 1000; i++)
        if (lab_find(&lab->stores[1], lab_key(i, text)))
            lab_lose_row(&lab->stores[1], lab_key(i, text));
    for (uint32_t p = 0; p < PARTITIONS; p++)
        entropy_hold(lab->nodes[1], p); /* until there is another ring */
    order(lab, 1);
    lab_run(lab, 1000000);
    assert_true(entropy_counters(lab->nodes[1]).repair_left > 0);
    uint64_t compared = entropy_counters(lab->nodes[1]).compared;
    lab->ring = lab_ring(2, MEMBERS, 3, PARTITIONS);
    for (uint32_t id = 1; id <= MEMBERS; id++)
        assert_int_equal(entropy_ring_set(lab->nodes[id], lab->now, lab->ring), KV_OK);
    ring_destroy(old);
    finish(lab, 1);
    assert_int_equal(entropy_counters(lab->nodes[1]).compared - compared, 2 * ring_owned(lab->ring, 1));
    expect_nothing_missed(lab, 1);
    assert_int_equal(lab_differing(lab), 0);
    lab_destroy(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_does_not_answer),    cmocka_unit_test(a_peer_that_cannot_be_reached),
        cmocka_unit_test(a_peer_that_is_lost_meanwhile),  cmocka_unit_test(rows_that_cannot_be_read_here),
        cmocka_unit_test(rows_that_cannot_be_read_there), cmocka_unit_test(what_was_not_ordered_is_not_told),
        cmocka_unit_test(a_new_ring_forgets_no_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
