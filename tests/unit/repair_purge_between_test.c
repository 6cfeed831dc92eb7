/* Purging dead rows: what may come between the steps of a round. */
#include "unit/purge_world.h"

/* From a delete to its purge: a look, a wait, and what the paces add. */
#define ROUND_US (INTERVAL + ROW_AGE_MAX_MS * UINT64_C(1000) + 10 * SECOND)

static struct row now_dead(struct world *w)
{
    return dead_row(hlc_of(w, 1));
}

static const enum purge_step all_steps[] = {PURGE_SAME, PURGE_NONE, PURGE_STILL, PURGE_DELETE};

/* A put between any two steps: it is there afterwards, and nothing but it. */
static void a_write_between_two_steps_stays(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < 4; s++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        write_homes(w, 0, &row);
        world_run_to(w, all_steps[s]);
        struct row put = alive_row(hlc_of(w, 1) + 5);
        write_homes(w, 0, &put);
        assert_true(world_run(w, 2 * ROUND_US));
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_int_equal(w->deleted, 0);
        assert_int_equal(stamp_cmp(w->places[nth(w, 0, 1)].cells[0].row.stamp, put.stamp), 0);
        world_destroy(w);
    }
}

/* An older row that comes to a fallback after it has answered: it would hand it over, read afresh, long after
 * the wait. And when it is not there any more at the second question. */
static void a_row_that_comes_to_a_fallback_meanwhile_keeps_the_key(void **state)
{
    (void)state;
    for (uint32_t gone = 0; gone < 2; gone++) {
        struct world *w = world_create(1, false);
        struct row old = alive_row(hlc_of(w, 1)), row = dead_row(hlc_of(w, 1) + 1);
        uint32_t fallback = nth(w, 0, HOMES);
        write_homes(w, 0, &row);
        world_run_to(w, PURGE_NONE);
        w->stop_at = PURGE_STILL;
        world_settle(w);
        assert_int_equal(counters_of(w, fallback).watched, 1);
        world_write(w, fallback, 0, &old, true);
        if (gone)
            w->places[fallback].cells[0] = (struct cell){.row = row_absent()};
        w->stop_at = 0;
        assert_true(world_run(w, ROW_AGE_MAX_MS * UINT64_C(1000) + 10 * SECOND));
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_int_equal(w->steps[PURGE_STILL], MEMBERS);
        assert_int_equal(w->steps[PURGE_DELETE], 0);
        w->places[fallback].cells[0] = (struct cell){.row = row_absent()};
        assert_true(world_run(w, 4 * ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

/* A member that knows nothing of the round any more, the driver included, does not vouch for anything. */
static void a_restart_between_two_steps_stops_the_round(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < 4; s++) {
        for (uint32_t i = 0; i < MEMBERS; i++) {
            struct world *w = world_create(1, false);
            struct row row = now_dead(w);
            write_homes(w, 0, &row);
            world_run_to(w, all_steps[s]);
            world_restart(w, nth(w, 0, i));
            uint64_t last = PURGE_SPREAD * INTERVAL + 2 * ROUND_US; /* a driver looks everywhere again */
            assert_true(world_run(w, last));
            assert_int_equal(rows_left(w), 0);
            world_destroy(w);
        }
    }
}

static void a_watch_does_not_outlive_the_process(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    write_homes(w, 0, &row);
    world_run_to(w, PURGE_STILL);
    /* So quick that nobody noticed. */
    uint32_t fallback = nth(w, 0, HOMES);
    purge_destroy(w->places[fallback].purge);
    world_start(w, fallback);
    world_settle(w);
    assert_int_equal(counters_of(w, nth(w, 0, 0)).ends[PURGE_FORGOTTEN], 1);
    assert_int_equal(homes_with(w, 0), HOMES);
    world_destroy(w);
}

static void another_ring_ends_the_round(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < 4; s++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        write_homes(w, 0, &row);
        world_run_to(w, all_steps[s]);
        uint32_t driver = nth(w, 0, 0);
        world_ring_set(w, world_ring(2, 0));
        assert_int_equal(counters_of(w, driver).ends[PURGE_RING], 1);
        assert_int_equal(counters_of(w, driver).in_flight, 0);
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_true(world_run(w, 2 * ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

/* PENDING, of the same members: one gets more weight. */
static struct ring *changing_ring(uint64_t epoch)
{
    struct ring *stable = world_ring(epoch, 0), *ring;
    struct ring_value *v = &stable->value;
    v->phase = RING_PENDING;
    v->since = v->source_epoch = epoch;
    v->queue_count = 1;
    v->queue[0] = (struct ring_change){.kind = RING_WEIGHT, .member = 1, .weight = 2};
    for (uint32_t i = 0; i < v->member_count; i++)
        v->members[i].old_weight = 1;
    v->members[0].weight = 2;
    assert_int_equal(ring_create(v, &ring), KV_OK);
    ring_destroy(stable);
    return ring;
}

static void nothing_is_purged_while_the_ring_changes(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    world_ring_set(w, changing_ring(2));
    for (uint32_t i = 0; i < HOMES; i++)
        world_write(w, nth(w, 0, i), 0, &row, false);
    assert_true(world_run(w, 10 * ROUND_US));
    assert_int_equal(w->sent, 0);
    assert_int_equal(homes_with(w, 0), HOMES);
    world_ring_set(w, world_ring(3, 0));
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    world_destroy(w);
}

/* The partition's new driver has no mark of it. */
static void a_new_driver_looks_for_itself(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    write_homes(w, 0, &row);
    uint32_t driver = nth(w, 0, 0);
    struct ring *ring = world_ring(2, driver);
    world_kill(w, driver);
    w->places[driver].cells[0].row = row_absent();
    world_ring_set(w, ring);
    write_homes(w, 0, &row); /* moved there */
    assert_true(world_run(w, PURGE_SPREAD * INTERVAL + ROUND_US));
    assert_int_equal(rows_left(w), 0);
    world_destroy(w);
}

static void an_open_transfer_or_comparison_stops_the_round(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < 2; s++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        uint32_t home = nth(w, 0, 1);
        write_homes(w, 0, &row);
        world_run_to(w, s ? PURGE_STILL : PURGE_SAME);
        w->places[home].busy = true;
        assert_true(world_run(w, ROUND_US));
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_true(counters_of(w, nth(w, 0, 0)).ends[PURGE_BUSY] >= 1);
        w->places[home].busy = false;
        w->places[nth(w, 0, 3)].busy = true; /* of no home: it does not matter */
        assert_true(world_run(w, 2 * ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

static uint32_t places_held(const struct world *w, uint32_t partition)
{
    uint32_t count = 0;
    for (uint32_t id = 1; id <= MEMBERS; id++)
        count += w->places[id].held[partition] > 0;
    return count;
}

static void anti_entropy_is_held_off_only_at_the_end(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    uint32_t partition = partition_of(w, 0);
    write_homes(w, 0, &row);
    world_run_to(w, PURGE_STILL);
    assert_int_equal(places_held(w, partition), 0);
    world_run_to(w, PURGE_DELETE);
    assert_int_equal(places_held(w, partition), HOMES);
    assert_true(world_run(w, SECOND));
    assert_int_equal(places_held(w, partition), 0);
    /* The driver is gone before it says DELETE. */
    write_homes(w, 0, &row);
    world_run_to(w, PURGE_DELETE);
    while (w->mail_count)
        free(mail_take(w, 0));
    assert_int_equal(places_held(w, partition), HOMES);
    assert_true(world_run(w, PURGE_HOLD_US));
    assert_int_equal(places_held(w, partition), 0);
    world_destroy(w);
}

/* Messages that come twice change nothing, whenever the second comes. */
static void doubled_messages_change_nothing(void **state)
{
    (void)state;
    for (uint64_t late_us = 0; late_us <= 100 * SECOND; late_us += 50 * SECOND) {
        struct world *w = world_create(3, false);
        struct row row = now_dead(w);
        static struct mail copies[1000];
        uint32_t count = 0;
        for (uint32_t i = 0; i < 3; i++)
            write_homes(w, i, &row);
        for (uint64_t n = 0; n < 400; n++) {
            while (w->op_count || w->mail_count) {
                if (w->op_count) {
                    world_serve(w, 0, KV_OK);
                } else {
                    assert_true(count < 1000);
                    copies[count] = *w->mails[0];
                    copies[count++].sent_us = w->now_us;
                    world_deliver(w, 0);
                }
            }
            for (uint32_t i = 0; i < count; i++) {
                if (copies[i].to && copies[i].sent_us + late_us <= w->now_us) {
                    deliver_copy(w, &copies[i]);
                    copies[i].to = 0;
                }
            }
            w->now_us += SECOND;
            world_tick(w);
        }
        assert_int_equal(rows_left(w), 0);
        assert_int_equal(counters_of(w, nth(w, 0, 0)).ends[PURGE_DONE], 1);
        world_destroy(w);
    }
}

/* A question that comes again, after something has: the watch does not forget it. */
static void a_question_that_comes_twice_does_not_begin_the_watch_anew(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row old = alive_row(hlc_of(w, 1)), row = dead_row(hlc_of(w, 1) + 1);
    uint32_t fallback = nth(w, 0, HOMES);
    write_homes(w, 0, &row);
    world_run_to(w, PURGE_NONE);
    while (w->mails[0]->to != fallback)
        world_deliver(w, 0);
    struct mail again = *w->mails[0];
    w->stop_at = PURGE_STILL;
    world_settle(w);
    world_write(w, fallback, 0, &old, true);
    w->places[fallback].cells[0] = (struct cell){.row = row_absent()};
    deliver_copy(w, &again);
    world_settle(w);
    w->stop_at = 0;
    assert_true(world_run(w, ROW_AGE_MAX_MS * UINT64_C(1000) + 10 * SECOND));
    assert_int_equal(w->steps[PURGE_DELETE], 0);
    /* And of a round that is over, it begins none. */
    assert_int_equal(counters_of(w, fallback).watched, 0);
    deliver_copy(w, &again);
    assert_int_equal(w->mails[w->mail_count - 1]->m.purge_reply.status, KV_E_STALE);
    assert_int_equal(counters_of(w, fallback).watched, 0);
    world_destroy(w);
}

/* Who is asked judges by its own clock: one that is behind does not vouch, however long was waited. */
static void a_clock_that_stands_still_stops_the_round(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        uint32_t slow = nth(w, 0, i);
        write_homes(w, 0, &row);
        world_run_to(w, PURGE_NONE);
        w->places[slow].skew_ms -= 3600000; /* and the hybrid one does not hear the others */
        struct clock stood = w->places[slow].clock;
        for (uint32_t n = 0; n < 120; n++) {
            world_settle(w);
            w->places[slow].clock = stood;
            w->now_us += SECOND;
            world_tick(w);
        }
        assert_int_equal(w->steps[PURGE_DELETE], 0);
        assert_true(counters_of(w, nth(w, 0, 0)).ends[PURGE_CLOCK] >= 1);
        assert_int_equal(homes_with(w, 0), HOMES);
        world_destroy(w);
    }
}

/* Clocks that differ as much as they may. */
static void clocks_may_differ(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    for (uint32_t id = 1; id <= MEMBERS; id++)
        w->places[id].skew_ms = id % 2 ? 400 : -400;
    w->now_us += SECOND;
    struct row row = now_dead(w);
    write_homes(w, 0, &row);
    assert_true(world_run(w, 2 * ROUND_US));
    assert_int_equal(rows_left(w), 0);
    world_destroy(w);
}

/* A row that was given to the store is seen by the look that its mark is for, however late it is to be seen
 * there (seed 427 of five nodes: it was not, and nobody looked again). */
static void a_row_on_its_way_is_waited_for(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w), nothing = row_absent();
    struct cell *c = &w->places[nth(w, 0, 0)].cells[0];
    write_homes(w, 0, &row);
    while (w->op_count)
        world_serve(w, 0, KV_OK);
    cell_set(w, c, &nothing);
    while (w->op_count == 0) {
        w->now_us = world_deadline(w);
        world_tick(w);
    }
    assert_int_equal(w->ops[0]->e.type, EF_STORE_HAS);
    assert_int_equal(w->ops[0]->e.has.count, 0);
    cell_set(w, c, &row);
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    world_destroy(w);
}

/* What a round asks of stores: to come up to what they were given, a page, for keys, to delete. */
static bool is_asked(const struct effect *e, uint32_t nth)
{
    static const enum effect_type types[] = {EF_STORE_HAS, EF_STORE_ROWS, EF_STORE_HAS, EF_STORE_DELETE};
    return e->type == types[nth] && (e->type != EF_STORE_HAS || (e->has.count == 0) == (nth == 0));
}

/* A store that cannot read or has no room. */
static void a_store_that_fails_stops_the_round(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 4; type++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        write_homes(w, 0, &row);
        bool failed = false;
        while (!failed) {
            while (w->op_count) {
                bool fails = is_asked(&w->ops[0]->e, type);
                failed |= fails;
                world_serve(w, 0, fails ? KV_E_IO : KV_OK);
            }
            if (w->mail_count) {
                world_deliver(w, 0);
                continue;
            }
            w->now_us = world_deadline(w) > w->now_us ? world_deadline(w) : w->now_us;
            world_tick(w);
        }
        assert_true(world_run(w, 20 * SECOND));
        assert_int_equal(counters_of(w, nth(w, 0, 0)).ends[PURGE_REFUSED], 1);
        /* DELETE is late for one of them: anti-entropy makes them equal. */
        if (type == 3)
            write_homes(w, 0, &row);
        assert_true(world_run(w, 3 * ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

/* What no driver says is refused, and changes nothing. */
static void strange_questions_are_refused(void **state)
{
    (void)state;
    struct world *w = world_create(2, false);
    uint32_t driver = nth(w, 0, 0), home = nth(w, 0, 1), other = nth(w, 0, HOMES);
    struct row_version rows[2] = {{bytes_str(w->keys[0]), {9, 9}}, {bytes_str(w->keys[1]), {9, 9}}};
    struct row_version turned[2] = {rows[1], rows[0]}, doubled[2] = {rows[0], rows[0]};
    struct msg_purge good = {PURGE_SAME, partition_of(w, 0), hlc_of(w, 1), 5, 2, rows};
    struct {
        uint32_t from, to;
        struct msg_purge q;
        int status;
    } cases[] = {
        {driver, home, good, KV_OK},
        {home, home, good, KV_E_NOT_PERMITTED},
        {driver, other, good, KV_E_NOT_PERMITTED},
        {driver, home, good, KV_E_NOT_PERMITTED},
        {driver, home, good, KV_E_INVALID},
        {driver, home, good, KV_E_INVALID},
        {driver, home, good, KV_E_INVALID},
        {driver, home, good, KV_E_INVALID},
        {driver, home, good, KV_E_AGAIN},
        {driver, other, good, KV_E_NOT_FOUND},
        {driver, other, good, KV_E_AGAIN},
        {driver, other, good, KV_E_STALE},
    };
    cases[3].q.step = PURGE_NONE;
    cases[4].q.partition = PARTITIONS;
    cases[5].q.partition = (good.partition + 1) % PARTITIONS;
    cases[6].q.rows = turned;
    cases[7].q.rows = doubled;
    cases[8].q.after_hlc = hlc_of(w, 1) + hlc_from_ms(1000);
    cases[9].q.step = PURGE_STILL;
    cases[10].q.step = PURGE_NONE;
    cases[10].q.round = hlc_of(w, 1) + hlc_from_ms(10000);
    cases[11].q.step = PURGE_NONE;
    cases[11].q.round = hlc_of(w, 1) - hlc_from_ms(ROW_AGE_MAX_MS + 1000);
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message m = {.type = MSG_PURGE, .id = 77, .purge = cases[i].q};
        struct purge_turn t = turn_of(w, cases[i].to);
        purge_asked(w->places[cases[i].to].purge, &t, to_peer(cases[i].from), cases[i].from, false, &m);
        collect(w, cases[i].to);
        while (w->op_count)
            world_serve(w, 0, KV_OK);
        assert_int_equal(w->mail_count, 1);
        assert_int_equal(w->mails[0]->m.id, 77);
        if (w->mails[0]->m.purge_reply.status != cases[i].status)
            fail_msg("case %u: %s", i, kv_error_word(w->mails[0]->m.purge_reply.status));
        free(mail_take(w, 0));
        assert_int_equal(counters_of(w, cases[i].to).watched, 0);
    }
    world_destroy(w);
}

/* Rounds that reach STILL here, and end there because another home is busy, leave their holds behind. */
static void holds_of_rounds_that_ended_are_bounded(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    uint32_t driver = nth(w, 0, 0), home = nth(w, 0, 1), partition = partition_of(w, 0), refused = 0;
    struct row_version row = {bytes_str(w->keys[0]), {9, 9}};
    for (uint32_t i = 0; i < 300; i++) {
        struct message m = {
            .type = MSG_PURGE, .id = 77, .purge = {PURGE_STILL, partition, hlc_of(w, 1) + i, 5, 1, &row}};
        struct purge_turn t = turn_of(w, home);
        purge_asked(w->places[home].purge, &t, to_peer(driver), driver, false, &m);
        collect(w, home);
        while (w->op_count)
            world_serve(w, 0, KV_OK);
        refused += w->mails[0]->m.purge_reply.status == KV_E_OVERLOADED;
        free(mail_take(w, 0));
    }
    assert_int_equal(w->places[home].held[partition], PURGE_HOLDS_MAX);
    assert_int_equal(refused, 300 - PURGE_HOLDS_MAX);
    assert_true(world_run(w, PURGE_HOLD_US + SECOND));
    assert_int_equal(w->places[home].held[partition], 0);
    world_destroy(w);
}

/* Answers that fit no question. */
static void strange_answers_are_ignored(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    uint32_t driver = nth(w, 0, 0), other = nth(w, 0, HOMES);
    write_homes(w, 0, &row);
    world_run_to(w, PURGE_SAME);
    uint8_t all = 0xff;
    struct message m = {.type = MSG_PURGE_REPLY, .id = w->mails[0]->m.id};
    m.purge_reply.passed = bytes_of(&all, 1);
    struct purge_turn t = turn_of(w, driver);
    purge_answered(w->places[driver].purge, &t, other, &m); /* was not asked */
    purge_answered(w->places[driver].purge, &t, 99, &m);
    m.id++;
    purge_answered(w->places[driver].purge, &t, nth(w, 0, 1), &m);
    m.id = id_make(ID_PURGE, UINT64_MAX);
    purge_answered(w->places[driver].purge, &t, nth(w, 0, 1), &m);
    m.id = id_make(ID_HINTS, 0);
    purge_answered(w->places[driver].purge, &t, nth(w, 0, 1), &m);
    collect(w, driver);
    assert_int_equal(w->mail_count, HOMES); /* nothing followed */
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    world_destroy(w);
}

/* A key that cannot be purged is looked for ever more seldom, and does not keep the others waiting. */
static void a_key_that_stays_is_looked_for_less_and_less(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    write_homes(w, 0, &row);
    w->places[nth(w, 0, HOMES)].cells[0].noted = true;
    assert_true(world_run(w, 100 * INTERVAL));
    uint64_t rounds = counters_of(w, nth(w, 0, 0)).ends[PURGE_EMPTY] - 1; /* but the look of the start */
    assert_true(rounds >= 7 && rounds <= 13);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_between_two_steps_stays),
        cmocka_unit_test(a_row_that_comes_to_a_fallback_meanwhile_keeps_the_key),
        cmocka_unit_test(a_restart_between_two_steps_stops_the_round),
        cmocka_unit_test(a_watch_does_not_outlive_the_process),
        cmocka_unit_test(another_ring_ends_the_round),
        cmocka_unit_test(nothing_is_purged_while_the_ring_changes),
        cmocka_unit_test(a_new_driver_looks_for_itself),
        cmocka_unit_test(an_open_transfer_or_comparison_stops_the_round),
        cmocka_unit_test(anti_entropy_is_held_off_only_at_the_end),
        cmocka_unit_test(doubled_messages_change_nothing),
        cmocka_unit_test(a_question_that_comes_twice_does_not_begin_the_watch_anew),
        cmocka_unit_test(a_clock_that_stands_still_stops_the_round),
        cmocka_unit_test(clocks_may_differ),
        cmocka_unit_test(a_row_on_its_way_is_waited_for),
        cmocka_unit_test(a_store_that_fails_stops_the_round),
        cmocka_unit_test(strange_questions_are_refused),
        cmocka_unit_test(holds_of_rounds_that_ended_are_bounded),
        cmocka_unit_test(strange_answers_are_ignored),
        cmocka_unit_test(a_key_that_stays_is_looked_for_less_and_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
