/* Purging dead rows: what one round does, and what stops it (repair/purge.h). What may come between its
 * steps: repair_purge_between_test. */
#include "unit/purge_world.h"

static void a_deleted_key_is_purged_everywhere(void **state)
{
    (void)state;
    struct world *w = world_create(1, false);
    struct row row = now_dead(w);
    write_homes(w, 0, &row);
    assert_true(world_run(w, ROW_AGE_MAX_MS * UINT64_C(1000)));
    assert_int_equal(rows_left(w), HOMES); /* never sooner than this after a look */
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    assert_int_equal(w->deleted, HOMES);
    struct purge_counters c = counters_of(w, nth(w, 0, 0));
    assert_int_equal(c.ends[PURGE_DONE], 1);
    assert_int_equal(c.seen, 1);
    assert_int_equal(c.purged, 1);
    assert_int_equal(c.marked + c.in_flight + c.watched, 0);
    for (uint32_t id = 1; id <= MEMBERS; id++)
        assert_int_equal(counters_of(w, id).watched, 0);
    assert_true(world_deadline(w) == UINT64_MAX); /* nothing is left to be done */
    world_destroy(w);
}

static void what_lives_stays(void **state)
{
    (void)state;
    struct world *w = world_create(40, false);
    for (uint32_t i = 0; i < 40; i++) {
        struct row row = i % 3 ? alive_row(hlc_of(w, 1)) : now_dead(w);
        write_homes(w, i, &row);
    }
    assert_true(world_run(w, 2 * ROUND_US));
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(homes_with(w, i), i % 3 ? HOMES : 0);
    world_destroy(w);
}

static void an_expired_row_is_purged_when_it_is_dead(void **state)
{
    (void)state;
    struct world *w = world_create(2, false);
    uint64_t hlc = hlc_of(w, 1);
    struct row row = mortal_row(hlc, hlc + hlc_from_ms(500000)), late = mortal_row(hlc, hlc + hlc_from_ms(1));
    write_homes(w, 0, &row);
    write_homes(w, 1, &late);
    assert_true(world_run(w, 2 * ROUND_US));
    assert_int_equal(homes_with(w, 0), HOMES);
    assert_int_equal(homes_with(w, 1), 0);
    uint64_t sent = w->sent;
    assert_true(world_run(w, 499 * SECOND - 2 * ROUND_US));
    assert_int_equal(w->sent, sent); /* a mark that knows when: nobody asks before */
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    world_destroy(w);
}

/* Hundreds of rows of one partition: pages of a store, rounds of STORE_KEYS_MAX, side by side. */
static void whole_partitions_are_purged_at_a_time(void **state)
{
    (void)state;
    struct world *w = world_create(KEYS_MAX, false);
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        struct row row = now_dead(w);
        write_homes(w, i, &row);
    }
    assert_true(world_run(w, ROUND_US));
    assert_int_equal(rows_left(w), 0);
    uint64_t rounds = (KEYS_MAX + STORE_KEYS_MAX - 1) / STORE_KEYS_MAX;
    assert_int_equal(counters_of(w, nth(w, 0, 0)).ends[PURGE_DONE], rounds);
    /* To three homes three times, to two others twice, and as many answers. */
    assert_int_equal(w->sent, 2 * rounds * (3 * HOMES + 2 * (MEMBERS - HOMES)));
    world_destroy(w);
}

static void nothing_is_asked_while_a_member_is_away(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < MEMBERS; i++) {
        struct world *w = world_create(1, false);
        uint32_t away = nth(w, 0, i);
        struct row row = now_dead(w);
        world_kill(w, away);
        write_homes(w, 0, &row);
        assert_true(world_run(w, 10 * ROUND_US));
        assert_int_equal(w->sent, 0);
        assert_int_equal(homes_with(w, 0), HOMES);
        world_start(w, away);
        world_reach(w, away, true);
        assert_true(world_run(w, ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

static void a_home_with_another_row_keeps_the_key(void **state)
{
    (void)state;
    for (uint32_t older = 0; older < 2; older++) {
        struct world *w = world_create(2, false);
        uint64_t hlc = hlc_of(w, 1);
        struct row row = dead_row(hlc), other = alive_row(older ? hlc - 1 : hlc + 1);
        uint32_t home = nth(w, 0, 2);
        for (uint32_t i = 0; i < 2; i++)
            world_write(w, nth(w, 0, i), 0, &row, false);
        world_write(w, home, 0, &other, false);
        write_homes(w, 1, &row);
        assert_true(world_run(w, ROUND_US));
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_int_equal(homes_with(w, 1), 0); /* the others go on */
        assert_true(counters_of(w, nth(w, 0, 0)).differed >= 1);
        /* Anti-entropy makes them equal. */
        for (uint32_t i = 0; i < HOMES; i++)
            world_write(w, nth(w, 0, i), 0, older ? &row : &other, false);
        assert_true(world_run(w, 16 * INTERVAL + ROUND_US));
        assert_int_equal(homes_with(w, 0), older ? 0 : HOMES);
        world_destroy(w);
    }
}

static void a_fallback_with_a_row_or_a_hint_keeps_the_key(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 3; kind++) {
        struct world *w = world_create(2, false);
        uint32_t fallback = nth(w, 0, HOMES + kind % 2);
        struct cell *c = &w->places[fallback].cells[0];
        struct row old = alive_row(hlc_of(w, 1)), row = dead_row(hlc_of(w, 1) + 1);
        if (kind < 2)
            world_write(w, fallback, 0, kind ? &row : &old, true);
        else
            c->noted = true; /* a hint whose row is gone */
        write_homes(w, 0, &row);
        write_homes(w, 1, &row);
        assert_true(world_run(w, 20 * INTERVAL));
        assert_int_equal(homes_with(w, 0), HOMES);
        assert_int_equal(homes_with(w, 1), 0);
        assert_true(counters_of(w, nth(w, 0, 0)).found >= 1);
        /* It is handed over. */
        if (kind < 2)
            write_homes(w, 0, &c->row);
        c->row = row_absent();
        c->noted = false;
        assert_true(world_run(w, 16 * INTERVAL + ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
}

static void silence_at_any_step_stops_the_round(void **state)
{
    (void)state;
    for (uint32_t step = PURGE_SAME; step <= PURGE_STILL; step++) {
        for (uint32_t i = 0; i < MEMBERS; i++) {
            struct world *w = world_create(1, false);
            struct row row = now_dead(w);
            bool asked = step == PURGE_STILL || (i < HOMES) == (step == PURGE_SAME);
            write_homes(w, 0, &row);
            w->silent_step = (uint8_t)step;
            w->silent = nth(w, 0, i);
            assert_true(world_run(w, 4 * ROUND_US));
            assert_int_equal(homes_with(w, 0), asked ? HOMES : 0);
            assert_int_equal(counters_of(w, nth(w, 0, 0)).ends[PURGE_SILENCE] > 0, asked);
            w->silent = 0;
            assert_true(world_run(w, 2 * ROUND_US));
            assert_int_equal(rows_left(w), 0);
            world_destroy(w);
        }
    }
}

/* It keeps its dead row; anti-entropy gives it to the others; then all are rid of it. */
static void a_home_that_misses_the_delete(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HOMES; i++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        write_homes(w, 0, &row);
        w->silent_step = PURGE_DELETE;
        w->silent = nth(w, 0, i);
        assert_true(world_run(w, ROUND_US));
        assert_int_equal(homes_with(w, 0), 1);
        assert_true(world_run(w, PURGE_HOLD_US));
        assert_false(w->places[w->silent].held[partition_of(w, 0)]); /* nor is it held for ever */
        w->silent = 0;
        assert_true(world_run(w, 4 * INTERVAL));
        assert_int_equal(homes_with(w, 0), 1);
        write_homes(w, 0, &row);
        assert_true(world_run(w, 16 * INTERVAL + ROUND_US));
        assert_int_equal(rows_left(w), 0);
        world_destroy(w);
    }
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

/* A store that cannot read or has no room. */
static void a_store_that_fails_stops_the_round(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 3; type++) {
        struct world *w = world_create(1, false);
        struct row row = now_dead(w);
        write_homes(w, 0, &row);
        static const enum effect_type types[] = {EF_STORE_ROWS, EF_STORE_HAS, EF_STORE_DELETE};
        bool failed = false;
        while (!failed) {
            while (w->op_count) {
                failed |= w->ops[0]->e.type == types[type];
                world_serve(w, 0, w->ops[0]->e.type == types[type] ? KV_E_IO : KV_OK);
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
        if (type == 2)
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

static void ends_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < PURGE_ENDS; i++)
        assert_string_not_equal(purge_end_name((enum purge_end)i), "?");
    assert_string_equal(purge_end_name(PURGE_ENDS), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deleted_key_is_purged_everywhere),
        cmocka_unit_test(what_lives_stays),
        cmocka_unit_test(an_expired_row_is_purged_when_it_is_dead),
        cmocka_unit_test(whole_partitions_are_purged_at_a_time),
        cmocka_unit_test(nothing_is_asked_while_a_member_is_away),
        cmocka_unit_test(a_home_with_another_row_keeps_the_key),
        cmocka_unit_test(a_fallback_with_a_row_or_a_hint_keeps_the_key),
        cmocka_unit_test(silence_at_any_step_stops_the_round),
        cmocka_unit_test(a_home_that_misses_the_delete),
        cmocka_unit_test(a_clock_that_stands_still_stops_the_round),
        cmocka_unit_test(clocks_may_differ),
        cmocka_unit_test(a_store_that_fails_stops_the_round),
        cmocka_unit_test(strange_questions_are_refused),
        cmocka_unit_test(strange_answers_are_ignored),
        cmocka_unit_test(a_key_that_stays_is_looked_for_less_and_less),
        cmocka_unit_test(ends_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
