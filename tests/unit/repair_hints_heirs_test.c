/* Hinted handoff under a ring that is not the one of the note: who has left or moved has heirs, who leaves
 * hands its notes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/repair_support.h"

/* The homes of a key but this node, as bits. */
static uint32_t others(const struct world *w, const struct item *it)
{
    uint32_t ids[HOLDERS_MAX], set = 0;
    uint32_t count = ring_holders(w->ring, ring_partition(w->ring, it->token), ids);
    for (uint32_t i = 0; i < count; i++)
        set |= ids[i] != SELF ? id_bit(ids[i]) : 0;
    return set;
}

static void notes_for_who_has_left_go_to_all_homes(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct ring_spec without = {.epoch = 2, .replicas = 3, .after = ids_to(MEMBERS) & ~id_bit(3)};
    world_fill(w, 100, 10, 3);
    for (uint32_t id = 2; id <= MEMBERS; id++)
        world_peer(w, id, id != 3);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
    world_ring_set(w, &without);
    world_tick(w);
    world_page(w, KV_OK);
    /* A note goes with the last acknowledgement of its row. */
    struct item *it = &w->items[w->sent[0].item];
    while (w->items[w->sent[0].item].text == it->text) {
        assert_int_equal(w->forget_count, 0);
        world_ack(w, 0, KV_OK);
    }
    assert_int_equal(w->forget_count, 1);
    for (world_serve(w); world_notes_left(w, 3); world_serve(w))
        world_wait(w);
    world_nothing_waits(w, 3);
    assert_int_equal(hints_handed_over(w->hints), 100);
    for (uint32_t i = 0; i < w->item_count; i++)
        assert_int_equal(w->items[i].reached, others(w, &w->items[i]));
    assert_in_range(w->dropped, 10, 60); /* where this node is no home: one in four, or so */
    world_destroy(w);
}

/* All that can be reached get the row, at once and once; the note waits for the others without a timer. */
static void an_heir_that_is_away_keeps_the_note(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct ring_spec without = {.epoch = 2, .replicas = 3, .after = ids_to(MEMBERS) & ~id_bit(3)};
    world_fill(w, 100, 10, 3);
    world_peer(w, 2, true);
    world_peer(w, 4, true);
    world_ring_set(w, &without);
    world_tick(w);
    for (world_serve(w); hints_deadline_us(w->hints) != UINT64_MAX; world_serve(w))
        world_wait(w);
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < w->item_count; i++) {
        uint32_t homes = others(w, &w->items[i]);
        assert_int_equal(w->items[i].reached, homes & ~id_bit(5));
        assert_int_equal(!stamp_is_zero(w->items[i].notes[3]), homes >> 5 & 1);
        waiting += homes >> 5 & 1;
    }
    assert_in_range(waiting, 30, 99);
    assert_true(hints_waiting(w->hints, 3) >= waiting);
    world_peer(w, 2, false); /* somebody is back, but not who is missed */
    world_peer(w, 2, true);
    world_tick(w);
    for (world_serve(w); hints_deadline_us(w->hints) != UINT64_MAX; world_serve(w))
        world_wait(w);
    assert_int_equal(world_notes_left(w, 3), waiting);
    world_peer(w, 5, true);
    world_wait(w);
    for (world_serve(w); world_notes_left(w, 3); world_serve(w))
        world_wait(w);
    world_nothing_waits(w, 3);
    for (uint32_t i = 0; i < w->item_count; i++)
        assert_int_equal(w->items[i].reached, others(w, &w->items[i]));
    world_destroy(w);
}

/* A member that is there but no home of the key any more is as good as gone; of a slot that moves, both homes
 * are sent the row. */
static void notes_follow_a_key_that_moves(void **state)
{
    (void)state;
    for (enum ring_phase phase = RING_STABLE; phase <= RING_SWITCH; phase++) {
        struct world *w = world_create();
        struct ring_spec next = {.epoch = 3,
                                 .replicas = 3,
                                 .phase = phase,
                                 .before = ids_to(MEMBERS),
                                 .after = ids_to(6),
                                 .since = 2};
        uint32_t moved = 0;
        world_fill(w, 300, 10, 3);
        for (uint32_t id = 2; id <= 6; id++)
            world_peer(w, id, true);
        world_ring_set(w, &next);
        world_wait(w);
        for (world_serve(w); world_notes_left(w, 3); world_serve(w))
            world_wait(w);
        world_nothing_waits(w, 3);
        for (uint32_t i = 0; i < w->item_count; i++) {
            const struct item *it = &w->items[i];
            uint32_t partition = ring_partition(w->ring, it->token);
            struct ring_slot slots[REPLICAS_MAX];
            uint32_t want = 0, count = ring_slots(w->ring, partition, slots);
            for (uint32_t s = 0; s < count; s++) {
                if (slots[s].from == 3 || slots[s].to == 3)
                    want |= id_bit(slots[s].from) | id_bit(slots[s].to);
            }
            moved += want != id_bit(3);
            assert_int_equal(it->reached, want ? want & ~id_bit(SELF) : others(w, it));
        }
        assert_in_range(moved, 20, 200);
        world_destroy(w);
    }
}

/* Undone, it is a home again; done, it is out of the ring. */
static void notes_for_who_is_given_up_wait_for_the_end_of_the_change(void **state)
{
    (void)state;
    for (int done = 0; done < 2; done++) {
        struct world *w = world_create();
        struct ring_spec next = {.epoch = 2,
                                 .replicas = 3,
                                 .phase = RING_PENDING,
                                 .before = ids_to(MEMBERS),
                                 .after = ids_to(MEMBERS) & ~id_bit(3),
                                 .dead = id_bit(3),
                                 .since = 2};
        world_fill(w, 20, 10, 3);
        for (uint32_t id = 2; id <= MEMBERS; id++)
            world_peer(w, id, true);
        world_ring_set(w, &next);
        assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
        next = (struct ring_spec){.epoch = 3, .replicas = 3, .after = done ? next.after : next.before};
        world_ring_set(w, &next);
        world_wait(w);
        world_serve(w);
        world_nothing_waits(w, 3);
        for (uint32_t i = 0; i < w->item_count; i++)
            assert_int_equal(w->items[i].reached, done ? others(w, &w->items[i]) : id_bit(3));
        world_destroy(w);
    }
}

/* Whoever leaves keeps nothing back: what an heir cannot be given now, somebody else keeps for it. */
static void a_node_that_leaves_hands_its_notes_on(void **state)
{
    (void)state;
    for (int case_ = 0; case_ < 3; case_++) {
        struct world *w = world_create();
        struct ring_spec leaving = {.epoch = 3,
                                    .replicas = 3,
                                    .phase = RING_PENDING,
                                    .before = ids_to(MEMBERS),
                                    .after = ids_to(MEMBERS) & ~id_bit(SELF),
                                    .since = 2};
        if (case_ == 1)
            leaving.dead = id_bit(3);
        if (case_ == 2) /* it is out of the ring already */
            leaving.before &= ~id_bit(3), leaving.after &= ~id_bit(3);
        world_fill(w, 100, 10, 3);
        for (uint32_t id = 2; id <= MEMBERS; id++)
            world_peer(w, id, id != 3 && id != 5);
        world_ring_set(w, &leaving);
        world_wait(w);
        for (world_serve(w); world_notes_left(w, 3); world_serve(w))
            world_wait(w);
        world_nothing_waits(w, 3);
        for (uint32_t i = 0; i < w->item_count; i++) {
            const struct item *it = &w->items[i];
            uint32_t three = it->moved_to[3], five = it->moved_to[5];
            uint32_t homes = others(w, it);
            assert_int_equal(__builtin_popcount(three), case_ < 2); /* one keeps it */
            assert_int_equal((three | five | it->reached) & (id_bit(SELF) | id_bit(3) | id_bit(5)), 0);
            assert_int_equal((three | five) & ~it->reached, 0);
            if (case_ == 2) {
                assert_int_equal(it->reached & homes, homes & ~id_bit(5));
                assert_int_equal(__builtin_popcount(five), homes >> 5 & 1);
            }
        }
        world_destroy(w);
    }
}

/* With nobody to give them to, they stay until somebody is back. */
static void a_node_that_leaves_alone_waits(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct ring_spec leaving = {.epoch = 3,
                                .replicas = 3,
                                .phase = RING_SWITCH,
                                .before = ids_to(MEMBERS),
                                .after = ids_to(MEMBERS) & ~id_bit(SELF),
                                .since = 2};
    world_fill(w, 10, 10, 3);
    world_ring_set(w, &leaving);
    world_wait(w);
    world_serve(w);
    assert_int_equal(world_notes_left(w, 3), 10);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
    for (uint32_t id = 2; id <= MEMBERS; id++)
        world_peer(w, id, id != 3);
    world_wait(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

/* What was sent under the ring before is sent again: the heirs may be others. */
static void a_new_ring_begins_the_pass_anew(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct ring_spec same = {.epoch = 2, .replicas = 3, .after = ids_to(MEMBERS)};
    world_fill(w, 10, 10, 3);
    world_peer(w, 3, true);
    world_tick(w);
    world_page(w, KV_OK);
    struct mail early = w->sent[0];
    w->sent_count = 0;
    world_ring_set(w, &same);
    world_ack_mail(w, early, KV_OK);
    assert_int_equal(w->forget_count, 0);
    world_wait(w);
    world_serve(w);
    world_nothing_waits(w, 3);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes_for_who_has_left_go_to_all_homes),
        cmocka_unit_test(an_heir_that_is_away_keeps_the_note),
        cmocka_unit_test(notes_follow_a_key_that_moves),
        cmocka_unit_test(notes_for_who_is_given_up_wait_for_the_end_of_the_change),
        cmocka_unit_test(a_node_that_leaves_hands_its_notes_on),
        cmocka_unit_test(a_node_that_leaves_alone_waits),
        cmocka_unit_test(a_new_ring_begins_the_pass_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
