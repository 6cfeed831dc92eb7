/* The outbox: bounded, in order, and the owner of what its effects carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/outbox.h"
#include "unit/death.h"

static int setup(void **state)
{
    static struct outbox out;
    *state = &out;
    return outbox_init(&out);
}

static int teardown(void **state)
{
    outbox_deinit(*state);
    outbox_deinit(*state); /* twice is fine */
    return 0;
}

static void effects_come_in_order_and_clean(void **state)
{
    struct outbox *out = *state;
    for (int round = 0; round < 2; round++) {
        struct message *m = outbox_send(out, to_peer(7), MSG_PING, 42);
        assert_int_equal(m->type, MSG_PING);
        assert_true(m->id == 42);
        assert_int_equal(m->probe.sequence, 0);
        m->probe.sequence = 99; /* must not be seen in the next round */
        struct addr to = {"10.0.0.1", 5};
        m = outbox_datagram(out, &to, MSG_ACK);
        assert_int_equal(m->type, MSG_ACK);
        assert_true(m->id == 0);
        struct effect *e = outbox_add(out, EF_EXIT);
        assert_int_equal(e->exit.status, 0);
        e->exit.status = -1;

        assert_int_equal(out->count, 3);
        assert_int_equal(out->effects[0].type, EF_SEND);
        assert_int_equal(out->effects[0].send.to.peer, 7);
        assert_int_equal(out->effects[1].type, EF_DATAGRAM);
        assert_true(addr_eq(&out->effects[1].datagram.to, &to));
        assert_int_equal(out->effects[2].type, EF_EXIT);
        outbox_reset(out);
        assert_int_equal(out->count, 0);
    }
}

static void reset_drops_what_effects_own(void **state)
{
    struct outbox *out = *state;
    struct blob *b = blob_copy(bytes_str("value"));
    struct row r = {.kind = ROW_REGISTER, .stamp = {1, 1}, .payload = b};
    outbox_send(out, to_conn(1), MSG_WRITE, 1)->write.row = row_ref(&r);
    outbox_datagram(out, &(struct addr){"h", 1}, MSG_RING)->ring.value = blob_ref(b);
    outbox_add(out, EF_STORE_WRITE)->write.row = row_ref(&r);
    /* Taken over by the shell: it has the reference and says so. */
    struct effect *taken = outbox_add(out, EF_STORE_WRITE);
    taken->write.row = row_ref(&r);
    taken->type = EF_NONE;
    outbox_add(out, EF_STORE_MERGE)->merge.pack = blob_ref(b);
    assert_int_equal(b->refs, 6);
    outbox_reset(out);
    assert_int_equal(b->refs, 2);
    blob_unref(b);
    blob_unref(b);
}

static void deinit_drops_it_too(void **state)
{
    (void)state;
    struct outbox out;
    struct blob *b = blob_copy(bytes_str("value"));
    assert_int_equal(outbox_init(&out), 0);
    outbox_send(&out, to_peer(1), MSG_RING, 1)->ring.value = blob_ref(b);
    outbox_deinit(&out);
    assert_int_equal(b->refs, 1);
    blob_unref(b);
}

static void is_bounded(void **state)
{
    struct outbox *out = *state;
    assert_int_equal(outbox_room(out), OUT_MAX);
    for (uint32_t i = 0; i < OUT_MAX; i++)
        outbox_add(out, EF_PEER);
    assert_int_equal(outbox_room(out), 0);
    assert_dies(outbox_add(out, EF_PEER));
    assert_dies(outbox_send(out, to_peer(1), MSG_PING, 1));
    outbox_log(out, LOG_INFO, "event=%s", "dropped");
    assert_int_equal(out->count, OUT_MAX);
    outbox_reset(out);
    assert_int_equal(outbox_room(out), OUT_MAX);
}

static void logs_are_formatted_and_cut(void **state)
{
    struct outbox *out = *state;
    outbox_log(out, LOG_WARN, "event=%s n=%d", "test", 5);
    assert_int_equal(out->effects[0].type, EF_LOG);
    assert_int_equal(out->effects[0].log.level, LOG_WARN);
    assert_string_equal(out->effects[0].log.text, "event=test n=5");

    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    outbox_log(out, LOG_INFO, "%s", text);
    size_t len = strlen(out->effects[1].log.text);
    assert_in_range(len, 1000, 1100);
    assert_memory_equal(out->effects[1].log.text, text, len);
    outbox_reset(out);
}

/* Every effect of a step may come with a key of the largest size. */
static void the_arena_holds_a_key_for_each_effect(void **state)
{
    struct outbox *out = *state;
    for (uint32_t i = 0; i < OUT_MAX; i++)
        assert_non_null(arena_alloc(&out->arena, KEY_MAX_BYTES));
    outbox_reset(out);
    assert_int_equal(out->arena.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(effects_come_in_order_and_clean, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_drops_what_effects_own, setup, teardown),
        cmocka_unit_test(deinit_drops_it_too),
        cmocka_unit_test_setup_teardown(is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(logs_are_formatted_and_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(the_arena_holds_a_key_for_each_effect, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
