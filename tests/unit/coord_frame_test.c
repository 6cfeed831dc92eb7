/* The coordinator around its requests: limits, the ring and its changes, peers that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "unit/coord_support.h"

static void without_a_ring_everything_is_unavailable(void **state)
{
    (void)state;
    struct coord_config config = {.self = 1, .value_max_bytes = VALUE_MAX_BYTES};
    struct coord *c;
    struct outbox out;
    struct now now = {0};
    assert_int_equal(coord_create(&config, &c), KV_OK);
    assert_int_equal(outbox_init(&out), KV_OK);
    struct message m = {.type = MSG_REQUEST, .id = 7, .request = {.op = OP_GET, .key = bytes_str("key")}};
    coord_request(c, now, 1, to_conn(3), &m, &out);
    assert_int_equal(out.count, 1);
    assert_int_equal(out.effects[0].send.to.conn, 3);
    assert_int_equal(out.effects[0].send.message.id, 7);
    assert_int_equal(out.effects[0].send.message.response.status, KV_E_UNAVAILABLE);
    assert_true(coord_deadline_us(c) == UINT64_MAX);
    coord_check(c);
    coord_destroy(c);
    outbox_deinit(&out);
}

static void members_may_be_told_of_before_the_ring(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    struct coord_config config = {.self = 1, .value_max_bytes = VALUE_MAX_BYTES};
    struct coord *c;
    assert_int_equal(coord_create(&config, &c), KV_OK);
    assert_true(coord_peer_reachable(c, 1)); /* itself */
    coord_peer_set(c, w->now, 2, true, &w->out);
    coord_peer_set(c, w->now, 55, true, &w->out);
    coord_ring_set(c, w->now, w->ring, &w->out);
    assert_true(coord_peer_reachable(c, 2));
    assert_false(coord_peer_reachable(c, 3));
    assert_false(coord_peer_reachable(c, 55)); /* no member: forgotten */
    assert_false(coord_peer_reachable(c, 0));
    coord_destroy(c);
    world_destroy(w);
}

static void an_unknown_operation_is_invalid(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    struct msg_request q = {.op = 99, .key = w->key};
    world_request(w, &q);
    assert_int_equal(world_answer(w)->status, KV_E_INVALID);
    world_destroy(w);
}

/* Straight to the coordinator: the tray of world is too small for this. */
static void request(struct world *w, uint64_t id, const struct row *row)
{
    struct message m = {.type = MSG_REQUEST,
                        .id = id,
                        .request = {.op = row ? OP_PUT : OP_GET, .timeout_us = 1000000, .key = w->key}};
    if (row)
        m.request.row = *row;
    coord_request(w->coord, w->now, w->hlc, to_conn(1), &m, &w->out);
}

static uint32_t responses(struct world *w, int status)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->out.count; i++) {
        const struct effect *e = &w->out.effects[i];
        count += e->type == EF_SEND && e->send.message.type == MSG_RESPONSE &&
                 e->send.message.response.status == status;
    }
    return count;
}

static void slots_are_limited_and_outboxes_too(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    struct row row = world_row(w, 5, "value");
    for (uint32_t i = 0; i < REQUESTS_MAX; i++) {
        request(w, i, &row);
        assert_int_equal(responses(w, KV_E_OVERLOADED), 0);
        outbox_reset(&w->out);
    }
    request(w, 1, &row);
    assert_int_equal(responses(w, KV_E_OVERLOADED), 1);
    outbox_reset(&w->out);
    assert_int_equal(coord_in_flight(w->coord), REQUESTS_MAX);
    coord_check(w->coord);
    /* All of them want to go on elsewhere when a home is lost: as many steps as that needs. */
    coord_peer_set(w->coord, w->now, AT(w, 1), false, &w->out);
    uint32_t sent = 0, steps = 0;
    for (;; steps++) {
        assert_true(w->out.count <= OUT_MAX / 2 + PREFERENCE_MAX + REPLICAS_MAX);
        for (uint32_t i = 0; i < w->out.count; i++)
            sent += w->out.effects[i].send.to.peer == AT(w, 3);
        outbox_reset(&w->out);
        coord_check(w->coord);
        if (coord_deadline_us(w->coord) > w->now.mono_us)
            break;
        coord_tick(w->coord, w->now, w->hlc, &w->out);
    }
    assert_int_equal(sent, REQUESTS_MAX);
    assert_int_equal(steps, 3);
    /* And all deadlines come at once. */
    w->now.mono_us += 1000000;
    uint32_t told = 0;
    while (coord_deadline_us(w->coord) <= w->now.mono_us) {
        coord_tick(w->coord, w->now, w->hlc, &w->out);
        told += responses(w, KV_E_TIMEOUT);
        outbox_reset(&w->out);
    }
    assert_int_equal(told, REQUESTS_MAX);
    w->now.mono_us += COORD_WRITE_PATIENCE_US;
    while (coord_deadline_us(w->coord) <= w->now.mono_us) {
        coord_tick(w->coord, w->now, w->hlc, &w->out);
        outbox_reset(&w->out);
    }
    assert_int_equal(coord_in_flight(w->coord), 0);
    assert_int_equal(coord_counters(w->coord).puts[OUTCOME_TIMEOUT], REQUESTS_MAX);
    row_release(&row);
    world_destroy(w);
}

static void bytes_in_flight_are_limited(void **state)
{
    (void)state;
    struct world *w = world_create(3, 3, 0);
    struct row row = {.kind = ROW_REGISTER, .stamp = {w->hlc, 1}, .raw_size = 32u << 20};
    row.payload = blob_create(row.raw_size);
    assert_non_null(row.payload);
    for (uint32_t i = 0; i < 7; i++)
        request(w, i, &row);
    assert_int_equal(coord_bytes_in_flight(w->coord), 7 * (3 + (32u << 20)));
    assert_int_equal(responses(w, KV_E_OVERLOADED), 0);
    request(w, 8, &row); /* the eighth would be the keys above the limit */
    assert_int_equal(responses(w, KV_E_OVERLOADED), 1);
    assert_int_equal(coord_in_flight(w->coord), 7);
    request(w, 9, NULL); /* a get is small */
    assert_int_equal(responses(w, KV_E_OVERLOADED), 1);
    outbox_reset(&w->out);
    assert_int_equal(row.payload->refs, 1 + 7); /* one for each request in flight, however many replicas */
    for (uint32_t i = 0; i < 10; i++) {
        w->now.mono_us += 1000000;
        coord_tick(w->coord, w->now, w->hlc, &w->out);
        outbox_reset(&w->out);
    }
    assert_int_equal(coord_bytes_in_flight(w->coord), 0);
    assert_int_equal(row.payload->refs, 1);
    row_release(&row);
    world_destroy(w);
}

/* Members of the key's list by position, as ids. */
static void ids_at(const struct world *w, const uint32_t *positions, uint32_t count, uint32_t *out)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = AT(w, positions[i]);
    for (uint32_t i = 1; i < count; i++) {
        for (uint32_t j = i; j > 0 && out[j - 1] > out[j]; j--) {
            uint32_t id = out[j];
            out[j] = out[j - 1];
            out[j - 1] = id;
        }
    }
}

static void wrong_ring_waits_for_the_newer_one(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    uint32_t all[] = {1, 2, 3, 4, 5};
    world_put(w, 0, 3, 5, "value");
    struct stamp stamp = world_letter(w, AT(w, 1))->message.write.row.stamp;
    world_ack(w, AT(w, 1), KV_E_WRONG_RING);
    world_ack(w, AT(w, 0), KV_OK);
    world_ack(w, AT(w, 2), KV_OK);
    assert_int_equal(w->letter_count, 0); /* held: neither sent again nor replaced */
    assert_int_equal(w->answer_count, 0);
    world_wait(w, 500000);
    assert_int_equal(w->letter_count, 0);
    world_ring(w, 3, all, 5);
    assert_int_equal(w->letter_count, 1);
    struct letter *again = world_letter(w, AT(w, 1));
    assert_non_null(again);
    assert_int_equal(stamp_cmp(again->message.write.row.stamp, stamp), 0); /* the same write */
    world_ack(w, AT(w, 1), KV_OK);
    assert_int_equal(world_answer(w)->status, KV_OK);
    assert_int_equal(world_answer(w)->acked, 3);
    assert_int_equal(coord_counters(w->coord).replans, 1);
    world_destroy(w);
}

/* The answer was on its way when we adopted the ring it speaks of. */
static void wrong_ring_of_a_former_ring_is_sent_again_at_once(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    uint32_t all[] = {1, 2, 3, 4, 5};
    for (int put = 0; put < 2; put++) {
        if (put)
            world_put(w, 0, 2, 5, "value");
        else
            world_get(w, 0, 2);
        uint32_t letters = world_letters(w, AT(w, 1), put ? MSG_WRITE : MSG_READ);
        assert_int_equal(letters, 1);
        uint64_t id = world_letter(w, AT(w, 1))->message.id;
        world_lose(w, AT(w, 1));
        world_ring(w, 3, all, 5);
        assert_int_equal(world_letters(w, AT(w, 1), put ? MSG_WRITE : MSG_READ), 0);
        if (put)
            world_ack_id(w, AT(w, 1), id, KV_E_WRONG_RING);
        else
            world_reply_id(w, AT(w, 1), id, KV_E_WRONG_RING, NULL);
        assert_int_equal(world_letters(w, AT(w, 1), put ? MSG_WRITE : MSG_READ), 1);
        world_serve_all(w);
        assert_int_equal(world_answer(w)->status, put ? KV_OK : KV_E_NOT_FOUND);
    }
    world_destroy(w);
}

/* A member that has not adopted our ring yet is asked again, and again, more and more slowly. */
static void who_is_behind_with_the_ring_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    uint32_t all[] = {1, 2, 3, 4, 5};
    world_ring(w, 3, all, 5);
    for (int put = 0; put < 2; put++) {
        uint64_t waited_us = 0;
        if (put)
            world_put(w, REQ_STRICT, 3, 5, "value");
        else
            world_get(w, REQ_STRICT, 3);
        world_serve(w, AT(w, 0));
        world_serve(w, AT(w, 2));
        for (uint32_t i = 0; i < 8; i++) {
            uint64_t pause_us = 5 * MS << (i < 5 ? i : 5);
            w->answer_epoch = 1;
            if (put)
                world_ack(w, AT(w, 1), KV_E_WRONG_RING);
            else
                world_reply(w, AT(w, 1), KV_E_WRONG_RING, NULL);
            w->answer_epoch = 0;
            world_wait(w, pause_us - 1);
            assert_int_equal(world_letters(w, AT(w, 1), put ? MSG_WRITE : MSG_READ), 0);
            world_wait(w, 1);
            assert_int_equal(world_letters(w, AT(w, 1), put ? MSG_WRITE : MSG_READ), 1);
            waited_us += pause_us;
        }
        assert_true(waited_us < 2000 * MS);
        world_serve_all(w);
        assert_int_equal(world_answer(w)->status, put ? KV_OK : KV_E_NOT_FOUND);
        assert_int_equal(world_answer(w)->acked, 3);
    }
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void wrong_ring_without_a_ring_ends_at_the_deadline(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    world_put(w, 0, 2, 5, "value");
    for (uint32_t p = 0; p < 3; p++)
        world_ack(w, AT(w, p), KV_E_WRONG_RING);
    world_wait(w, 1999999);
    assert_int_equal(w->answer_count, 0);
    world_wait(w, 1);
    assert_int_equal(world_answer(w)->status, KV_E_TIMEOUT);
    world_wait(w, COORD_WRITE_PATIENCE_US);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void a_new_ring_places_requests_again(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    static const uint32_t stay[] = {0, 1, 3, 4};
    uint32_t ids[4], gone = AT(w, 2), next = AT(w, 3);
    world_put(w, REQ_STRICT, 3, 5, "value");
    world_ack(w, AT(w, 0), KV_OK);
    world_ack(w, AT(w, 1), KV_OK);
    uint64_t to_gone = world_letter(w, gone)->message.id;
    ids_at(w, stay, 4, ids);
    world_ring(w, 3, ids, 4); /* the third home leaves: the first fallback is home now */
    assert_int_equal(AT(w, 2), next);
    assert_int_equal(world_letters(w, next, MSG_WRITE), 1);
    assert_int_equal(world_letter(w, next)->message.write.hint_count, 0);
    world_ack_id(w, gone, to_gone, KV_OK); /* counts no more */
    assert_int_equal(w->answer_count, 0);
    world_ack(w, next, KV_OK);
    assert_int_equal(world_answer(w)->status, KV_OK);
    assert_int_equal(world_answer(w)->asked, 4);
    assert_int_equal(world_answer(w)->acked, 3);
    world_destroy(w);
}

static void hints_follow_their_homes_to_a_new_ring(void **state)
{
    (void)state;
    struct world *w = world_create(6, 3, 1);
    static const uint32_t stay[] = {1, 2, 3, 4, 5};
    uint32_t ids[5], away = AT(w, 2), keeper = AT(w, 4);
    world_peer(w, AT(w, 3), false);
    world_peer(w, away, false);
    world_put(w, 0, 3, 5, "value");
    assert_true(letter_hints(world_letter(w, keeper), away));
    world_ack(w, keeper, KV_OK);
    ids_at(w, stay, 5, ids);
    world_ring(w, 3, ids, 5); /* `away` is home number 1 now, and position 3 home number 2 */
    assert_int_equal(AT(w, 1), away);
    assert_true(letter_hints(world_letter(w, AT(w, 4)), AT(w, 2)));
    assert_int_equal(world_letters(w, AT(w, 4), MSG_WRITE), 1);
    assert_int_equal(world_letters(w, keeper, MSG_WRITE), 0); /* its hint is still good */
    world_serve_all(w);
    assert_int_equal(world_answer(w)->status, KV_OK);
    assert_int_equal(coord_in_flight(w->coord), 0);
    world_destroy(w);
}

static void a_get_goes_on_under_a_new_ring(void **state)
{
    (void)state;
    struct world *w = world_create(5, 3, 0);
    static const uint32_t stay[] = {1, 2, 3, 4};
    uint32_t ids[4];
    w->replicas[AT(w, 1)].row = world_row(w, 5, "value");
    world_get(w, REQ_STRICT, 2);
    world_serve(w, AT(w, 0));
    world_serve(w, AT(w, 1));
    assert_int_equal(world_letters(w, AT(w, 0), MSG_WRITE), 1); /* being written back */
    ids_at(w, stay, 4, ids);
    world_ring(w, 3, ids, 4); /* to a member that is gone: one answer of the new homes is not enough */
    assert_int_equal(w->answer_count, 0);
    world_serve_all(w);
    assert_int_equal(world_answer(w)->status, KV_OK);
    assert_int_equal(world_answer(w)->acked, 2);
    uint32_t holders = 0;
    for (uint32_t p = 0; p < 3; p++)
        holders += w->replicas[AT(w, p)].row.payload != NULL;
    assert_true(holders >= 2);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_ring_everything_is_unavailable),
        cmocka_unit_test(members_may_be_told_of_before_the_ring),
        cmocka_unit_test(an_unknown_operation_is_invalid),
        cmocka_unit_test(slots_are_limited_and_outboxes_too),
        cmocka_unit_test(bytes_in_flight_are_limited),
        cmocka_unit_test(wrong_ring_waits_for_the_newer_one),
        cmocka_unit_test(wrong_ring_of_a_former_ring_is_sent_again_at_once),
        cmocka_unit_test(who_is_behind_with_the_ring_is_asked_again),
        cmocka_unit_test(wrong_ring_without_a_ring_ends_at_the_deadline),
        cmocka_unit_test(a_new_ring_places_requests_again),
        cmocka_unit_test(hints_follow_their_homes_to_a_new_ring),
        cmocka_unit_test(a_get_goes_on_under_a_new_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
