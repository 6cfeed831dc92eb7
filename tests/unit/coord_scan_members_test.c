/* Scans while members are away, silent, or under another ring: who is asked, who is waited for, and whether
 * the page is complete. */
#include "unit/coord_scan_world.h"

static void without_enough_homes_a_page_is_not_complete(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 500);
    scans_peer_set(w->scans, w->now, w->hlc, 2, false, &w->out);
    ask(w, "", 1000);
    assert_int_equal(w->letter_count, 4);
    serve_all(w, "");
    assert_int_equal(w->page.complete, 1); /* one is away: two homes of everything are left */
    scans_peer_set(w->scans, w->now, w->hlc, 3, false, &w->out);
    ask(w, "", 1000);
    serve_all(w, "");
    assert_int_equal(w->page.status, KV_OK);
    assert_int_equal(w->page.complete, 0);
    assert_int_equal(w->page.count, 500); /* still, one home of everything is there */
    struct msg_scan q = {.strict_complete = 1, .timeout_us = 1000000};
    ask_raw(w, &q);
    serve_all(w, "");
    assert_int_equal(w->page.status, KV_E_UNAVAILABLE);
    assert_int_equal(w->page.count, 0);
    world_destroy(w);
}

static void a_lost_member_is_waited_for_no_longer(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100);
    ask(w, "", 1000);
    while (w->letter_count > 1)
        serve(w, w->letters[0].member == 4 ? 1 : 0, "");
    assert_false(w->answered);
    scans_peer_set(w->scans, w->now, w->hlc, 4, false, &w->out);
    collect(w);
    assert_true(w->answered);
    assert_int_equal(w->page.count, 100);
    assert_int_equal(w->page.complete, 1);
    serve(w, 0, ""); /* its late answer is ignored */
    world_destroy(w);
}

static void the_silent_are_waited_for_with_patience(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100);
    for (uint32_t silent = 1; silent <= 5; silent++) {
        uint64_t began_us = w->now.mono_us;
        ask(w, "", 1000);
        while (w->letter_count > silent)
            serve(w, 0, "");
        /* With one silent the page is complete anyway; with more it is worth waiting for. */
        uint64_t wait_us = silent == 1 ? SCAN_PATIENCE_US : 1500000;
        for (;;) {
            assert_false(w->answered);
            w->now.mono_us = scans_deadline_us(w->scans);
            scans_tick(w->scans, w->now, w->hlc, &w->out);
            collect(w);
            if (w->answered)
                break;
        }
        assert_int_equal(w->now.mono_us - began_us, wait_us);
        assert_int_equal(w->page.status, silent < 5 ? KV_OK : KV_E_TIMEOUT);
        assert_int_equal(w->page.complete, silent == 1);
        w->letter_count = 0;
    }
    world_destroy(w);
}

static void the_last_home_makes_a_late_page_complete(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100);
    ask(w, "", 1000);
    while (w->letter_count > 2)
        serve(w, 0, "");
    w->now.mono_us += SCAN_PATIENCE_US;
    scans_tick(w->scans, w->now, w->hlc, &w->out);
    assert_false(w->answered);
    serve(w, 0, ""); /* now it is, and the last one is not waited for */
    assert_true(w->answered);
    assert_int_equal(w->page.complete, 1);
    world_destroy(w);
}

static void change_ring(struct world *w, const struct ring_spec *spec)
{
    struct ring *old = w->ring;
    w->ring = rings_make(spec);
    scans_ring_set(w->scans, w->now, w->ring);
    ring_destroy(old);
    scans_tick(w->scans, w->now, w->hlc, &w->out);
    collect(w);
}

/* Answers under two rings are not mixed. */
static void a_new_ring_begins_the_page_anew(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct ring_spec spec = {.epoch = 2, .replicas = 3, .after = ids_to(MEMBERS)};
    fill(w, 100);
    ask(w, "", 1000);
    struct letter first = w->letters[0];
    for (int i = 0; i < 4; i++)
        serve(w, 0, "");
    w->letter_count = 0;
    change_ring(w, &spec);
    assert_int_equal(w->letter_count, MEMBERS);
    assert_true(w->letters[0].id != first.id);
    struct msg_range_page nothing = {.done = 1};
    answer(w, &first, &nothing); /* it would be the last one */
    assert_false(w->answered);
    serve_all(w, "");
    assert_true(w->answered);
    assert_int_equal(w->page.count, 100);
    assert_int_equal(w->page.complete, 1);
    world_destroy(w);
}

static void who_has_another_ring_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct msg_range_page wrong = {.status = KV_E_WRONG_RING};
    fill(w, 100);
    for (int lost = 0; lost < 2; lost++) {
        ask(w, "", 1000);
        for (int i = 0; i < 5; i++) {
            struct letter l = w->letters[w->letter_count - 1];
            assert_int_equal(l.member, MEMBERS);
            lose(w, w->letter_count - 1);
            answer(w, &l, &wrong);
            assert_true(scans_deadline_us(w->scans) == w->now.mono_us + SCAN_RETRY_US);
            w->now.mono_us += SCAN_RETRY_US;
            scans_tick(w->scans, w->now, w->hlc, &w->out);
            collect(w);
        }
        assert_false(w->answered);
        if (lost) { /* while it is held */
            struct letter l = w->letters[w->letter_count - 1];
            lose(w, w->letter_count - 1);
            answer(w, &l, &wrong);
            scans_peer_set(w->scans, w->now, w->hlc, MEMBERS, false, &w->out);
        }
        serve_all(w, "");
        assert_true(w->answered);
        assert_int_equal(w->page.count, 100);
        assert_int_equal(w->page.complete, 1);
    }
    world_destroy(w);
}

/* A page is complete by the homes that are read; who is given up is not asked. */
static void slots_are_covered_by_the_homes_that_are_read(void **state)
{
    (void)state;
    struct msg_range_page failed = {.status = KV_E_IO};
    for (enum ring_phase phase = RING_PENDING; phase <= RING_SWITCH; phase++) {
        for (uint32_t silent = 2; silent <= MEMBERS; silent++) {
            for (uint32_t dead = 0; dead <= 2; dead += 2) {
                struct world *w = world_create();
                struct ring_spec spec = {.epoch = 2, .replicas = 3, .phase = phase, .since = 2 - phase / 2};
                spec.before = ids_to(MEMBERS - 1);
                spec.after = ids_to(MEMBERS) & ~id_bit(2);
                spec.dead = dead ? id_bit(dead) : 0;
                fill(w, 10);
                change_ring(w, &spec);
                ask(w, "", 1000);
                assert_int_equal(w->letter_count, MEMBERS - (dead != 0));
                uint32_t failing = 0;
                for (uint32_t i = w->letter_count; i-- > 0;) {
                    struct letter l = w->letters[i];
                    assert_true(l.member != dead);
                    if (l.member != silent) {
                        serve(w, i, "");
                        continue;
                    }
                    lose(w, i);
                    answer(w, &l, &failed);
                    failing++;
                }
                bool enough = true;
                for (uint32_t p = 0; p < RINGS_PARTITIONS; p++) {
                    uint32_t ids[PREFERENCE_MAX], homes = 0;
                    ring_preference(w->ring, p, ids);
                    for (uint32_t h = 0; h < 3; h++)
                        homes += ids[h] != dead && !(failing && ids[h] == silent);
                    enough &= homes >= 2;
                }
                assert_true(w->answered);
                assert_int_equal(w->page.complete, enough);
                world_destroy(w);
            }
        }
    }
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    struct scans *s;
    struct outbox out;
    struct now now = {0};
    struct message m = {.type = MSG_SCAN, .id = 77};
    assert_int_equal(scans_create(99, &s), KV_OK); /* a node that is no member */
    assert_int_equal(outbox_init(&out), KV_OK);
    struct ring *ring = make_ring();
    for (int i = 0; i < 2; i++) {
        scans_request(s, now, 1, to_conn(9), &m, &out); /* first without a ring, then with nobody */
        assert_int_equal(out.effects[0].send.message.scan_page.status, KV_E_UNAVAILABLE);
        outbox_reset(&out);
        scans_ring_set(s, now, ring);
    }
    scans_destroy(s);
    ring_destroy(ring);
    outbox_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_enough_homes_a_page_is_not_complete),
        cmocka_unit_test(a_lost_member_is_waited_for_no_longer),
        cmocka_unit_test(the_silent_are_waited_for_with_patience),
        cmocka_unit_test(the_last_home_makes_a_late_page_complete),
        cmocka_unit_test(a_new_ring_begins_the_page_anew),
        cmocka_unit_test(who_has_another_ring_is_asked_again),
        cmocka_unit_test(slots_are_covered_by_the_homes_that_are_read),
        cmocka_unit_test(nobody_there_is_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
