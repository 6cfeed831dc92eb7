/* Every message type there and back, and what is left of it when bytes are missing or wrong. Random; a
 * failure names the seed, which WIRE_TEST_SEED replays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "kv_error.h"
#include "unit/wire_support.h"

static struct arena making, taking;
static struct buf frame, want, got;
static uint64_t seed = 20240601;

static int setup(void **state)
{
    (void)state;
    arena_init(&making, 64u << 20);
    arena_init(&taking, WIRE_ARENA_MAX_BYTES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&making);
    arena_deinit(&taking);
    buf_deinit(&frame);
    buf_deinit(&want);
    buf_deinit(&got);
    return 0;
}

/* A new random message and its frame; starts both arenas afresh. */
static struct message fresh(struct prng *p, enum message_type type, enum message_size size)
{
    arena_reset(&making);
    arena_reset(&taking);
    struct message m = random_message(p, &making, type, size);
    frame_build(&m, &frame);
    return m;
}

static void check_round_trip(struct prng *p, enum message_type type, enum message_size size)
{
    struct message out, m = fresh(p, type, size);
    assert_int_equal(frame_parse(buf_bytes(&frame), &taking, &out), KV_OK);
    memset(frame.data, 0xee, frame.len); /* nothing may point into what was received */
    if (strcmp(message_text(&m, &want), message_text(&out, &got)) != 0)
        fail_msg("seed %llu, %s:\n%s\nbecame\n%s", (unsigned long long)seed, message_name(type), want.data,
                 got.data);
    assert_int_equal(message_weight(&m), message_weight(&out));
    assert_int_equal(out.from, 0);
    message_release(&m);
    message_release(&out);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, seed);
    for (size_t i = 0; i < all_types_count; i++) {
        for (int n = 0; n < 300; n++)
            check_round_trip(&p, all_types[i], SIZE_SMALL);
        for (int n = 0; n < 6; n++)
            check_round_trip(&p, all_types[i], SIZE_LARGE);
    }
}

/* A payload is one blob from socket to store: the message takes a reference of what was received. */
static void test_payload_is_not_copied(void **state)
{
    (void)state;
    struct prng p;
    struct wire_header h;
    struct message out, m = {.type = MSG_WRITE};
    prng_init(&p, seed);
    m.write.key = bytes_str("key");
    do {
        row_release(&m.write.row);
        m.write.row = random_row(&p, 5000);
    } while (!m.write.row.payload);
    struct wire_frame f;
    buf_clear(&frame);
    assert_int_equal(wire_encode(&m, &frame, &f), KV_OK);
    assert_int_equal(f.payload_count, 1);
    assert_ptr_equal(f.payloads[0], m.write.row.payload);
    assert_int_equal(m.write.row.payload->refs, 1);
    assert_int_equal(wire_decode_header(frame.data, FRAME_MAX_TEST, &h), KV_OK);
    struct bytes body = bytes_of(frame.data + WIRE_HEADER_BYTES, h.body_size);
    assert_int_equal(wire_decode(&h, body, m.write.row.payload, VALUE_MAX_TEST, &taking, &out), KV_OK);
    assert_ptr_equal(out.write.row.payload, m.write.row.payload);
    assert_int_equal(m.write.row.payload->refs, 2);
    message_release(&out);
    assert_int_equal(m.write.row.payload->refs, 1);
    message_release(&m);
}

/* Several frames behind each other in one buffer, as a connection's turn writes them. */
static void test_frames_append(void **state)
{
    (void)state;
    struct message a = {.type = MSG_WRITE_ACK, .write_ack = {KV_OK, 7}}, b = {.type = MSG_STATUS_GET}, out;
    struct wire_frame f;
    buf_clear(&frame);
    assert_int_equal(wire_encode(&a, &frame, &f), KV_OK);
    size_t first = frame.len;
    assert_int_equal(wire_encode(&b, &frame, &f), KV_OK);
    assert_int_equal(frame_parse(bytes_of(frame.data, first), &taking, &out), KV_OK);
    assert_int_equal(out.write_ack.sequence, 7);
    assert_int_equal(frame_parse(bytes_of(frame.data + first, frame.len - first), &taking, &out), KV_OK);
    assert_int_equal(out.type, MSG_STATUS_GET);
}

static void test_truncated_frames(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, seed);
    for (size_t i = 0; i < all_types_count * 20; i++) {
        struct message out, m = fresh(&p, all_types[i % all_types_count], SIZE_SMALL);
        for (size_t len = 0; len < frame.len; len++)
            assert_int_equal(frame_parse(bytes_of(frame.data, len), &taking, &out), KV_E_MALFORMED);
        message_release(&m);
    }
}

/* The same, with a header that was made to fit: the body ends early, or payload bytes are missing. Between
 * two fields a body may end and still be one, but what it then says is valid, and a payload is never
 * believed. */
static void test_truncated_bodies(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, seed);
    for (size_t i = 0; i < all_types_count * 20; i++) {
        struct message out, m = fresh(&p, all_types[i % all_types_count], SIZE_SMALL);
        uint32_t body_size = be32_get(frame.data + 40);
        for (uint32_t len = 0; len < frame.len - WIRE_HEADER_BYTES; len++) {
            arena_reset(&taking);
            be32_put(frame.data, 40 + len);
            be32_put(frame.data + 40, len < body_size ? len : body_size);
            int error = frame_parse(bytes_of(frame.data, WIRE_HEADER_BYTES + len), &taking, &out);
            if (len >= body_size)
                assert_int_equal(error, KV_E_MALFORMED);
            if (error == KV_OK) {
                frame_build(&out, &got); /* valid as anything that we would send */
                message_release(&out);
            }
        }
        message_release(&m);
    }
}

/* Nothing that one wrong bit does may crash, leak (under ASan) or be taken for something that cannot be sent.
 */
static void test_flipped_bits(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, seed);
    uint32_t accepted = 0, refused = 0;
    for (size_t i = 0; i < all_types_count * 10; i++) {
        struct message out, m = fresh(&p, all_types[i % all_types_count], SIZE_SMALL);
        for (size_t bit = 0; bit < frame.len * 8; bit++) {
            arena_reset(&taking);
            frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int error = frame_parse(buf_bytes(&frame), &taking, &out);
            if (error == KV_OK) {
                accepted++;
                frame_build(&out, &got);
                message_release(&out);
            } else {
                refused++;
                assert_true(error == KV_E_MALFORMED || error == KV_E_TOO_LARGE || error == KV_E_VERSION);
            }
            frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        message_release(&m);
    }
    assert_true(accepted > 1000 && refused > 1000);
}

/* A failed encoding leaves the buffer as it was. */
static void refuses_to_send(const struct message *m, int error)
{
    struct wire_frame f;
    buf_clear(&frame);
    assert_int_equal(buf_append(&frame, bytes_str("before")), KV_OK);
    assert_int_equal(wire_encode(m, &frame, &f), error);
    assert_true(bytes_eq(buf_bytes(&frame), bytes_str("before")));
    assert_int_equal(f.payload_count, 0);
}

static void test_nothing_above_a_limit_is_sent(void **state)
{
    (void)state;
    static uint8_t long_key[KEY_MAX_BYTES + 1];
    static struct gossip gossip[MEMBERS_MAX + 1];
    static struct scan_entry entries[SCAN_PAGE_MAX + 1];
    static struct trace_line trace[TRACE_MAX + 1];
    struct bytes key = bytes_of(long_key, sizeof long_key);

    struct message m = {.type = MSG_READ, .read = {.key = key}};
    refuses_to_send(&m, KV_E_TOO_LARGE);
    m = (struct message){.type = MSG_SCAN, .scan = {.after = {.key = key}}};
    refuses_to_send(&m, KV_E_TOO_LARGE);
    m = (struct message){.type = MSG_SYNC, .sync = {.count = MEMBERS_MAX + 1, .gossip = gossip}};
    refuses_to_send(&m, KV_E_TOO_LARGE);
    m = (struct message){.type = MSG_SCAN_PAGE,
                         .scan_page = {.count = SCAN_PAGE_MAX + 1, .entries = entries}};
    refuses_to_send(&m, KV_E_TOO_LARGE);
    m = (struct message){.type = MSG_RESPONSE, .response = {.trace_count = TRACE_MAX + 1, .trace = trace}};
    refuses_to_send(&m, KV_E_TOO_LARGE);
    /* Within the count, above the body's limit. */
    for (uint32_t i = 0; i < SCAN_PAGE_MAX; i++)
        entries[i].key = bytes_of(long_key, KEY_MAX_BYTES);
    m = (struct message){.type = MSG_RANGE_PAGE, .range_page = {.count = SCAN_PAGE_MAX, .entries = entries}};
    refuses_to_send(&m, KV_E_TOO_LARGE);
}

/* A sentence for people is cut rather than refused. */
static void test_long_refusal_is_cut(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct message out, m = {.type = MSG_REFUSED, .refused = {KV_E_VERSION, text}};
    frame_build(&m, &frame);
    assert_int_equal(frame_parse(buf_bytes(&frame), &taking, &out), KV_OK);
    assert_int_equal(out.refused.status, KV_E_VERSION);
    assert_int_equal(strlen(out.refused.text), 255);
}

int main(void)
{
    const char *given = getenv("WIRE_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_payload_is_not_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frames_append, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_above_a_limit_is_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_refusal_is_cut, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
