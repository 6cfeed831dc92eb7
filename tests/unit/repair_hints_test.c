/* Hinted handoff: which notes go, when, how many at once, and what stays. To whom, when the ring has
 * changed: repair_hints_heirs_test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/repair_support.h"

static void notes_go_when_the_member_is_back(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 200, 100, 3);
    assert_int_equal(hints_waiting(w->hints, 3), 200);
    assert_int_equal(hints_waiting(w->hints, 0), 200);
    assert_true(hints_bytes(w->hints) > 200 * 100);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
    world_peer(w, 3, true);
    assert_true(hints_deadline_us(w->hints) <= w->now.mono_us); /* at once */
    world_tick(w);
    for (int i = 0; i < 20 && world_notes_left(w, 3); i++) {
        world_serve(w);
        if (world_notes_left(w, 3))
            world_wait(w);
    }
    world_nothing_waits(w, 3);
    assert_int_equal(hints_handed_over(w->hints), 200);
    assert_int_equal(w->in_flight_max, HINTS_WINDOW);
    assert_int_equal(w->pages, 4);
    assert_in_range(w->dropped, 40, 120); /* where this node is no home: two in five */
    world_destroy(w);
}

static void a_page_is_finished_before_the_next(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 200, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    assert_int_equal(w->sent_count, HINTS_WINDOW);
    for (uint32_t i = 0; i < HINTS_WINDOW; i++) {
        assert_false(w->reading);
        world_ack(w, w->sent_count - 1, KV_OK); /* in any order */
        assert_int_equal(w->forget_count, 1);
        world_forget(w, 0, KV_OK);
    }
    world_wait(w);
    assert_true(w->reading);
    world_serve(w);
    world_destroy(w);
}

/* 8 MiB a second, however fast the member acknowledges. */
static void the_rate_is_limited(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 320, 100000, 3);
    world_peer(w, 3, true);
    uint64_t began_us = w->now.mono_us;
    world_tick(w);
    for (world_serve(w); world_notes_left(w, 3); world_serve(w)) {
        double seconds = (double)(w->now.mono_us - began_us) / 1e6;
        assert_true((double)w->bytes_sent <= (seconds * (double)HINTS_RATE_BYTES) + 2.0 * (1 << 20));
        world_wait(w);
    }
    world_nothing_waits(w, 3);
    assert_in_range(w->now.mono_us - began_us, 3600000, 3900000); /* 32 MB */
    world_destroy(w);
}

static void a_purged_row_leaves_only_its_note_to_go(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 3, 10, 3);
    row_release(&w->items[1].row);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(w->forget_count, 1);
    assert_int_equal(stamp_cmp(w->forget[0].stamp, w->items[1].notes[3]), 0);
    world_serve(w);
    world_nothing_waits(w, 3);
    assert_int_equal(hints_handed_over(w->hints), 2);
    world_destroy(w);
}

static void what_is_refused_does_not_hold_up_the_rest(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 100, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    uint32_t poison = w->sent[0].item;
    world_ack(w, 0, KV_E_INVALID);
    for (int pass = 0; pass < 3; pass++) {
        for (;;) {
            uint32_t i = 0;
            if (w->reading)
                world_page(w, KV_OK);
            else if (w->forget_count)
                world_forget(w, 0, KV_OK);
            else if (w->sent_count) {
                while (i + 1 < w->sent_count && w->sent[i].item == poison)
                    i++;
                world_ack(w, i, w->sent[i].item == poison ? KV_E_INVALID : KV_OK);
            } else if (world_notes_left(w, 3) > 1)
                world_wait(w); /* for the rate */
            else
                break;
        }
        assert_int_equal(world_notes_left(w, 3), 1);
        assert_true(hints_waiting(w->hints, 3) >= 1);
        assert_in_range(hints_deadline_us(w->hints), w->now.mono_us + 1, w->now.mono_us + HINTS_RETRY_US);
        world_wait(w);
    }
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void an_overloaded_member_is_left_alone_for_a_while(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 200, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    world_ack(w, 0, KV_E_OVERLOADED);
    world_serve(w); /* those already on their way arrive */
    assert_int_equal(world_notes_left(w, 3), 200 - HINTS_WINDOW + 1);
    assert_false(w->reading);
    assert_int_equal(hints_deadline_us(w->hints), w->now.mono_us + HINTS_RETRY_US);
    while (world_notes_left(w, 3)) {
        world_wait(w);
        world_serve(w);
    }
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void what_is_not_acknowledged_is_sent_again(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 10, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    struct mail late = world_take(w->sent, &w->sent_count, 0);
    uint64_t sent_us = w->now.mono_us;
    world_serve(w);
    assert_int_equal(world_notes_left(w, 3), 1);
    world_wait(w);
    assert_int_equal(w->now.mono_us, sent_us + HINTS_ACK_TIMEOUT_US);
    assert_false(w->reading);
    world_ack_mail(w, late, KV_OK); /* too late: it is sent again, which changes nothing there */
    assert_int_equal(w->forget_count, 0);
    world_wait(w);
    assert_int_equal(w->now.mono_us, sent_us + HINTS_ACK_TIMEOUT_US + HINTS_RETRY_US);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void a_loss_ends_the_pass_and_a_return_begins_another(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 100, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    struct effect asked = w->read;
    world_peer(w, 3, false);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
    world_page(w, KV_OK); /* the page comes, but is not wanted any more */
    assert_int_equal(w->sent_count, 0);
    world_peer(w, 3, true);
    world_tick(w);
    assert_true(w->read.op != asked.op);
    struct effect second = w->read;
    w->read = asked;
    world_page(w, KV_OK); /* nor is it taken for the one that is wanted now */
    assert_int_equal(w->sent_count, 0);
    w->read = second;
    w->reading = true;
    world_page(w, KV_OK);
    world_ack(w, 0, KV_OK);
    struct mail acked = w->sent[0];
    world_peer(w, 3, false);
    w->sent_count = 0;
    world_ack_mail(w, acked, KV_OK);
    assert_int_equal(w->forget_count, 1);
    world_forget(w, 0, KV_OK); /* done in the store all the same */
    assert_int_equal(world_notes_left(w, 3), 99);
    assert_true(hints_waiting(w->hints, 3) >= 99); /* an upper bound */
    world_peer(w, 3, true);
    world_tick(w);
    for (world_serve(w); world_notes_left(w, 3); world_serve(w))
        world_wait(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

/* Notes on the same key overwrite each other: only a pass can tell that none is left. */
static void counts_become_exact_after_a_clean_pass(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 5, 10, 3);
    for (int i = 0; i < 20; i++)
        assert_int_equal(hints_noted(w->hints, w->now, 3, item_weight(&w->items[0])), KV_OK);
    assert_int_equal(hints_waiting(w->hints, 3), 25);
    world_peer(w, 3, true);
    world_tick(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void a_note_during_the_pass_makes_another(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 5, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    /* A newer row for a key that is being handed over: its note must survive. */
    uint32_t item = w->sent[2].item;
    w->items[item].row.stamp.hlc += 1000;
    w->items[item].notes[3] = w->items[item].row.stamp;
    assert_int_equal(hints_noted(w->hints, w->now, 3, 20), KV_OK);
    for (uint32_t i = w->sent_count; i > 0; i--)
        world_ack(w, 0, KV_OK);
    while (w->forget_count)
        world_forget(w, 0, KV_OK);
    assert_int_equal(world_notes_left(w, 3), 1);
    assert_true(hints_waiting(w->hints, 3) >= 1);
    world_wait(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void a_note_for_a_member_that_is_there_goes_soon(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_peer(w, 3, true);
    world_fill(w, 5, 10, 3);
    assert_int_equal(hints_deadline_us(w->hints), w->now.mono_us + HINTS_RETRY_US);
    world_wait(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void what_the_store_holds_at_start_is_counted(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 5, 10, 3);
    struct hints *second;
    assert_int_equal(hints_create(SELF, HINTS_MAX_BYTES, &second), KV_OK);
    assert_int_equal(hints_total_add(second, 3, 5, hints_bytes(w->hints)), KV_OK);
    hints_destroy(w->hints);
    w->hints = second;
    world_peer(w, 3, true);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX); /* no ring yet */
    hints_ring_set(w->hints, w->ring);
    world_wait(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void a_store_that_fails_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 5, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    for (int i = 0; i < 3; i++) {
        world_page(w, KV_E_CORRUPT);
        assert_int_equal(hints_deadline_us(w->hints), w->now.mono_us + HINTS_RETRY_US);
        world_wait(w);
    }
    assert_int_equal(w->log_lines, 1);
    world_page(w, KV_OK);
    world_ack(w, 0, KV_OK);
    world_forget(w, 0, KV_E_FULL); /* the disk */
    world_serve(w);
    assert_int_equal(world_notes_left(w, 3), 1);
    world_wait(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

/* The others go. Its note stays, for nobody is known to have it; and it is not tried without end. */
static void a_row_that_cannot_be_read_is_left_behind(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 100, 10, 3);
    w->items[7].damaged = true;
    world_peer(w, 3, true);
    for (int round = 1; round <= 3; round++) {
        world_tick(w);
        for (world_serve(w); hints_deadline_us(w->hints) != UINT64_MAX; world_serve(w))
            world_wait(w);
        assert_int_equal(world_notes_left(w, 3), 1);
        assert_false(stamp_is_zero(w->items[7].notes[3]));
        assert_int_equal(hints_handed_over(w->hints), 99);
        assert_int_equal(hints_waiting(w->hints, 3), 1);
        assert_int_equal(hints_unreadable(w->hints), 1);
        assert_int_equal(w->pages, 1 + round);
        assert_int_equal(w->log_lines, 1);
        world_peer(w, 4, true); /* another chance */
        world_peer(w, 4, false);
    }
    w->items[7].damaged = false;
    world_peer(w, 3, false);
    world_peer(w, 3, true);
    world_tick(w);
    world_serve(w);
    assert_int_equal(hints_unreadable(w->hints), 0);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

/* By a write with a note for somebody else, who has it by now: nobody else would drop it. */
static void a_row_that_has_changed_is_sent_again(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 1, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    world_ack(w, 0, KV_OK);
    w->items[0].row.stamp.hlc += 1000;
    world_forget(w, 0, KV_E_AGAIN);
    assert_int_equal(hints_waiting(w->hints, 3), 1);
    world_wait(w);
    world_page(w, KV_OK);
    assert_int_equal(w->sent_count, 1);
    assert_int_equal(stamp_cmp(w->sent[0].stamp, w->items[0].row.stamp), 0);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void strange_answers_are_ignored(void **state)
{
    (void)state;
    struct world *w = world_create();
    world_fill(w, 5, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    struct mail m = w->sent[0], other = m;
    other.member = 4;
    world_ack_mail(w, other, KV_OK); /* not whom it was sent to */
    assert_int_equal(w->forget_count, 0);
    other = m;
    other.id += UINT64_C(1) << 45; /* nobody's */
    world_ack_mail(w, other, KV_OK);
    other.id = m.id ^ UINT64_C(7) << 57;
    world_ack_mail(w, other, KV_OK);
    assert_int_equal(w->forget_count, 0);
    world_ack(w, 0, KV_OK);
    world_ack_mail(w, m, KV_OK); /* twice */
    assert_int_equal(w->forget_count, 1);
    uint64_t op = w->forget[0].id;
    world_forget(w, 0, KV_OK);
    struct event e = {.type = EV_STORE_WRITTEN, .written = {.op = op}};
    hints_written(w->hints, w->now, &e, &w->out);
    assert_int_equal(hints_handed_over(w->hints), 1);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

static void random_ring(struct world *w, struct prng *prng)
{
    static uint64_t epoch = 1;
    struct ring_spec spec = {.epoch = ++epoch,
                             .replicas = 3,
                             .phase = (enum ring_phase)prng_below(prng, 3),
                             .before = (uint32_t)prng_below(prng, ids_to(6)) & ids_to(6),
                             .after = (uint32_t)prng_below(prng, ids_to(6)) & ids_to(6),
                             .since = epoch - 1};
    spec.before |= id_bit(SELF);
    spec.after |= prng_below(prng, 4) ? id_bit(SELF) : 0;
    if (spec.phase == RING_STABLE || !spec.after)
        spec.after |= id_bit(SELF);
    spec.dead = prng_below(prng, 3) ? 0 : spec.before & id_bit(2 + (uint32_t)prng_below(prng, 5));
    world_ring_set(w, &spec);
}

/* Members come, go, refuse and lose; the ring changes; puts go on. In the end every note has gone to its
 * member, or to its heirs. */
static void random_runs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct world *w = world_create_with(10000);
        struct prng prng;
        bool up = false;
        prng_init(&prng, seed);
        world_fill(w, 150, 50, 3);
        for (int i = 0; i < 1500; i++) {
            uint64_t dice = prng_below(&prng, 100);
            if (dice < 50 && w->sent_count) {
                uint32_t n = (uint32_t)prng_below(&prng, w->sent_count);
                uint64_t luck = prng_below(&prng, 50);
                if (luck == 0)
                    world_take(w->sent, &w->sent_count, n);
                else
                    world_ack(w, n, luck == 1 ? KV_E_OVERLOADED : luck == 2 ? KV_E_STALE : KV_OK);
            } else if (dice < 75 && w->forget_count) {
                world_forget(w, 0, prng_below(&prng, 50) ? KV_OK : KV_E_FULL);
            } else if (dice < 80 && w->reading) {
                world_page(w, prng_below(&prng, 20) ? KV_OK : KV_E_IO);
            } else if (dice < 88) {
                w->now.mono_us += prng_below(&prng, 200000);
                world_tick(w);
            } else if (dice < 90) {
                up = !up;
                world_peer(w, 3, up);
                for (uint32_t n = w->sent_count; n-- > 0;) {
                    if (w->sent[n].member == 3)
                        world_take(w->sent, &w->sent_count, n);
                }
                if (w->reading)
                    world_page(w, KV_OK);
            } else if (dice < 95) {
                struct item *it = &w->items[prng_below(&prng, w->item_count)];
                it->row.stamp.hlc += 1000;
                it->notes[3] = it->row.stamp;
                assert_int_equal(hints_noted(w->hints, w->now, 3, item_weight(it)), KV_OK);
            } else if (dice < 97) {
                world_peer(w, 2 + (uint32_t)prng_below(&prng, 5), prng_below(&prng, 2));
            } else if (dice < 98) {
                random_ring(w, &prng);
                w->sent_count = 0;
                if (w->reading)
                    world_page(w, KV_OK);
            } else if (w->counting) {
                world_count(w, prng_below(&prng, 10) ? KV_OK : KV_E_CORRUPT);
            }
            assert_true(hints_waiting(w->hints, 3) > 0 || world_notes_left(w, 3) == 0);
        }
        bool leaves = prng_below(&prng, 2);
        struct ring_spec last = {
            .epoch = 1000000, .replicas = 3, .after = ids_to(6) & ~(leaves ? id_bit(3) : 0)};
        w->sent_count = 0;
        w->reading = false;
        world_ring_set(w, &last);
        for (uint32_t id = 2; id <= 6; id++)
            world_peer(w, id, true);
        for (int i = 0; i < 1000 && (hints_waiting(w->hints, 3) || w->counting); i++) {
            world_serve(w);
            if (hints_deadline_us(w->hints) != UINT64_MAX)
                world_wait(w);
        }
        world_nothing_waits(w, 3);
        world_destroy(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes_go_when_the_member_is_back),
        cmocka_unit_test(a_page_is_finished_before_the_next),
        cmocka_unit_test(the_rate_is_limited),
        cmocka_unit_test(a_purged_row_leaves_only_its_note_to_go),
        cmocka_unit_test(what_is_refused_does_not_hold_up_the_rest),
        cmocka_unit_test(an_overloaded_member_is_left_alone_for_a_while),
        cmocka_unit_test(what_is_not_acknowledged_is_sent_again),
        cmocka_unit_test(a_loss_ends_the_pass_and_a_return_begins_another),
        cmocka_unit_test(counts_become_exact_after_a_clean_pass),
        cmocka_unit_test(a_note_during_the_pass_makes_another),
        cmocka_unit_test(a_note_for_a_member_that_is_there_goes_soon),
        cmocka_unit_test(what_the_store_holds_at_start_is_counted),
        cmocka_unit_test(a_store_that_fails_is_asked_again),
        cmocka_unit_test(a_row_that_cannot_be_read_is_left_behind),
        cmocka_unit_test(a_row_that_has_changed_is_sent_again),
        cmocka_unit_test(strange_answers_are_ignored),
        cmocka_unit_test(random_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
