/* The frame machine on a real socket: however the bytes are cut, the same messages come out; whatever is no
 * message closes the connection, is counted, and touches nobody else. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uv_support.h"

/* ---- cutting ---- */

/* Three requests in one run of bytes, the middle one with a payload, cut at `at`. */
static void send_cut(struct world *w, struct raw *r, struct bytes all, size_t at)
{
    uint64_t frames = w->shell.counters.frames_in;
    struct message m;
    assert_true(raw_send(w, r, bytes_of(all.data, at)));
    pump_ms(w, 0);
    world_turn(w);
    assert_true(raw_send(w, r, bytes_of(all.data + at, all.len - at)));
    for (uint64_t id = 1; id <= 3; id++) {
        assert_true(raw_next(w, r, &m));
        assert_in_range(m.id, 1, 3);
        assert_int_equal(m.response.status, m.id == 2 ? KV_OK : KV_E_NOT_FOUND);
    }
    assert_int_equal(w->shell.counters.frames_in, frames + 3);
}

static void test_a_pipeline_may_be_cut_at_every_byte(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct buf b = {0};
    struct bytes value = noise(300, 1);
    raw_open(w, &r);
    raw_hello(w, &r);
    get_append(w, &b, 1, "absent");
    put_append(w, &b, 2, "there", value);
    get_append(w, &b, 3, "absent too");
    for (size_t at = 0; at <= b.len; at++)
        send_cut(w, &r, buf_bytes(&b), at);
    raw_get(w, &r, "there", value);
    raw_close(&r);
    buf_deinit(&b);
    free((void *)value.data);
}

static void test_byte_by_byte(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct buf b = {0};
    struct message m;
    raw_open(w, &r);
    hello_append(w, &b);
    get_append(w, &b, 1, "absent");
    for (size_t i = 0; i < b.len; i++)
        assert_true(raw_send(w, &r, bytes_of(b.data + i, 1)));
    assert_true(raw_next(w, &r, &m));
    assert_int_equal(m.type, MSG_WELCOME);
    assert_true(raw_next(w, &r, &m));
    assert_int_equal(m.response.status, KV_E_NOT_FOUND);
    raw_close(&r);
    buf_deinit(&b);
}

/* Sizes around every buffer's: copied or not, received in place or not, one read or many. */
static void test_values_of_all_sizes_come_back(void **state)
{
    struct world *w = *state;
    static const size_t sizes[] = {0,       1,     511,   512,   1024,   1025,    4095,     16000,
                                   16384,   65000, 65536, 65537, 131072, 1000000, 4u << 20, (8u << 20) - 1,
                                   8u << 20};
    struct raw r;
    raw_open(w, &r);
    raw_hello(w, &r);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct bytes value = noise(sizes[i], i);
        raw_put(w, &r, "sized", value);
        raw_get(w, &r, "sized", value);
        free((void *)value.data);
    }
    assert_int_equal(w->shell.pools[0].used_bytes, 0);
    raw_close(&r);
}

static void test_a_value_too_large_is_refused(void **state)
{
    struct world *w = *state;
    struct raw r, other;
    struct buf b = {0};
    struct bytes value = noise((8u << 20) + FRAME_EXTRA_MAX_BYTES + 1, 1);
    uint64_t malformed = w->shell.counters.malformed;
    raw_open(w, &other);
    raw_hello(w, &other);
    raw_open(w, &r);
    raw_hello(w, &r);
    put_append(w, &b, 1, "large", value);
    raw_send(w, &r, buf_bytes(&b));
    pump_until(w, raw_closed(&r));
    assert_int_equal(w->shell.counters.malformed, malformed + 1);
    raw_put(w, &other, "k", bytes_str("v"));
    raw_close(&r);
    raw_close(&other);
    buf_deinit(&b);
    free((void *)value.data);
}

/* HELLO and what follows it in one run, longer than a stranger may send: only what comes before the HELLO is
 * held against a connection. */
static void test_nobody_needs_to_wait_for_the_welcome(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct buf b = {0};
    struct message m;
    struct bytes value = noise(200000, 3);
    raw_open(w, &r);
    hello_append(w, &b);
    put_append(w, &b, 1, "eager", value);
    assert_true(raw_send(w, &r, bytes_of(b.data, 10)));
    pump_ms(w, 2);
    assert_true(raw_send(w, &r, bytes_of(b.data + 10, b.len - 10)));
    assert_true(raw_next(w, &r, &m));
    assert_int_equal(m.type, MSG_WELCOME);
    assert_true(raw_next(w, &r, &m));
    assert_int_equal(m.response.status, KV_OK);
    raw_close(&r);
    buf_deinit(&b);
    free((void *)value.data);
}

/* ---- what is refused ---- */

static void closed_without_a_word(struct world *w, struct bytes bytes)
{
    struct raw r;
    uint64_t malformed = w->shell.counters.malformed;
    raw_open(w, &r);
    raw_send(w, &r, bytes);
    pump_until(w, raw_closed(&r));
    assert_int_equal(r.in.len, 0);
    assert_int_equal(w->shell.counters.malformed, malformed + 1);
    raw_close(&r);
}

static void test_a_stranger_has_64_kib(void **state)
{
    struct world *w = *state;
    uint8_t frame[WIRE_HEADER_BYTES] = {0, 0, 0xff, 0xfc, PROTOCOL_VERSION, MSG_HELLO};
    struct raw r;
    raw_open(w, &r);
    raw_send(w, &r, bytes_of(frame, sizeof frame)); /* 64 KiB in all: waited for */
    pump_ms(w, 20);
    assert_false(raw_closed(&r));
    raw_close(&r);
    be32_put(frame, STRANGER_MAX_BYTES - 3); /* one byte more */
    closed_without_a_word(w, bytes_of(frame, sizeof frame));
    struct bytes junk = noise(STRANGER_MAX_BYTES + 1, 5);
    ((uint8_t *)junk.data)[4] = PROTOCOL_VERSION;
    closed_without_a_word(w, junk);
    free((void *)junk.data);
}

static void test_garbage_is_refused_whole(void **state)
{
    struct world *w = *state;
    struct raw other;
    raw_open(w, &other);
    raw_hello(w, &other);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct bytes junk = noise(1 + seed * 7, seed);
        struct raw r;
        raw_open(w, &r);
        if (junk.len > 4)
            ((uint8_t *)junk.data)[4] = PROTOCOL_VERSION;
        raw_send(w, &r, junk);
        raw_close(&r);
        free((void *)junk.data);
    }
    raw_put(w, &other, "k", bytes_str("v"));
    raw_get(w, &other, "k", bytes_str("v"));
    raw_close(&other);
    assert_true(w->shell.counters.malformed > 150);
    assert_int_equal(world_logged_count(w, "event=malformed_frame"), 1); /* one line a minute */
}

static void test_another_version_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct buf b = {0};
    struct message m;
    hello_append(w, &b);
    b.data[4] = PROTOCOL_VERSION + 1;
    raw_open(w, &r);
    raw_send(w, &r, buf_bytes(&b));
    assert_true(raw_next(w, &r, &m));
    assert_int_equal(m.type, MSG_REFUSED);
    assert_int_equal(m.refused.status, KV_E_VERSION);
    assert_string_equal(m.refused.text, "this node speaks protocol version 1, not 2");
    pump_until(w, raw_closed(&r));
    assert_true(world_logged(w, "event=foreign_version host=127.0.0.1 status=version"));
    raw_close(&r);
    buf_deinit(&b);
}

static void test_a_stranger_may_only_say_hello(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct buf b = {0};
    struct message m;
    get_append(w, &b, 1, "k");
    get_append(w, &b, 2, "k"); /* never looked at */
    raw_open(w, &r);
    raw_send(w, &r, buf_bytes(&b));
    assert_true(raw_next(w, &r, &m));
    assert_int_equal(m.type, MSG_REFUSED);
    assert_false(raw_next(w, &r, &m));
    raw_close(&r);
    buf_deinit(&b);
}

static void test_another_cluster_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct raw r;
    struct buf b = {0};
    struct message m = {.type = MSG_HELLO,
                        .cluster = cluster_hash("test", RING_PARTITIONS * 2),
                        .hello = {.role = ROLE_MEMBER,
                                  .cluster = "test",
                                  .name = "n2",
                                  .store_id = 9,
                                  .generation = 1,
                                  .addr = {.host = "127.0.0.1", .port = 9}}};
    frame_append(&b, &m);
    raw_open(w, &r);
    raw_send(w, &r, buf_bytes(&b));
    assert_true(raw_next(w, &r, &m));
    assert_int_equal(m.type, MSG_REFUSED);
    assert_int_equal(m.refused.status, KV_E_WRONG_CLUSTER);
    assert_non_null(strstr(m.refused.text, "another number of partitions"));
    assert_false(raw_next(w, &r, &m));
    assert_true(world_logged(w, "event=refused name=n2"));
    raw_close(&r);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pipeline_may_be_cut_at_every_byte),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_values_of_all_sizes_come_back),
        cmocka_unit_test(test_a_value_too_large_is_refused),
        cmocka_unit_test(test_nobody_needs_to_wait_for_the_welcome),
        cmocka_unit_test(test_a_stranger_has_64_kib),
        cmocka_unit_test(test_garbage_is_refused_whole),
        cmocka_unit_test(test_another_version_is_refused_by_name),
        cmocka_unit_test(test_a_stranger_may_only_say_hello),
        cmocka_unit_test(test_another_cluster_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
