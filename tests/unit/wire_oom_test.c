/* The hot messages allocate nothing once buffers are warm, and any allocation that fails is reported and
 * leaves nothing behind. Also prints what a message costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "kv_error.h"
#include "unit/oom.h"
#include "unit/wire_support.h"

#define KEY "a key of thirty-two bytes, as is"

static struct message hot_message(enum message_type type, struct blob *payload)
{
    struct message m = {.type = type, .id = 1, .cluster = 2, .ring_epoch = 3, .hlc = 4};
    struct row row = {
        .kind = ROW_REGISTER,
        .raw_size = payload->len,
        .stamp = {UINT64_C(0x18f0123456780001), UINT64_C(0x9e3779b97f4a7c15)},
        .payload = payload,
    };
    switch (type) {
    case MSG_REQUEST:
        m.request =
            (struct msg_request){.op = OP_PUT, .timeout_us = 2000000, .key = bytes_str(KEY), .row = row};
        break;
    case MSG_RESPONSE:
        m.response = (struct msg_response){.asked = 3, .acked = 2, .needed = 2, .row = row};
        break;
    case MSG_WRITE:
        m.write = (struct msg_write){.key = bytes_str(KEY), .row = row, .began_hlc = row.stamp.hlc};
        break;
    case MSG_WRITE_ACK: m.write_ack.sequence = 123456789; break;
    case MSG_READ: m.read.key = bytes_str(KEY); break;
    default: m.read_reply.row = row;
    }
    return m;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int encode(const struct message *m, struct buf *out)
{
    struct wire_frame frame;
    buf_clear(out);
    return wire_encode(m, out, &frame);
}

static int decode(const struct buf *frame, struct blob *payload, struct arena *arena)
{
    struct wire_header h;
    struct message out;
    arena_reset(arena);
    int error = wire_decode_header(frame->data, FRAME_MAX_TEST, &h);
    if (!error)
        error = wire_decode(&h, bytes_of(frame->data + WIRE_HEADER_BYTES, h.body_size),
                            wire_payload_bytes(&h) ? payload : NULL, VALUE_MAX_TEST, arena, &out);
    if (!error)
        message_release(&out);
    return error;
}

static void test_hot_messages_allocate_nothing(void **state)
{
    (void)state;
    static const enum message_type hot[] = {MSG_REQUEST,   MSG_RESPONSE, MSG_WRITE,
                                            MSG_WRITE_ACK, MSG_READ,     MSG_READ_REPLY};
    enum { ROUNDS = 100000 };
    struct arena arena;
    struct buf frame = {0};
    struct blob *payload = blob_copy(bytes_str("a value of some thirty bytes ..."));
    arena_init(&arena, WIRE_ARENA_MAX_BYTES);
    for (size_t i = 0; i < sizeof hot / sizeof hot[0]; i++) {
        struct message m = hot_message(hot[i], payload);
        assert_int_equal(encode(&m, &frame), KV_OK);
        assert_int_equal(decode(&frame, payload, &arena), KV_OK);
        oom_after(0);
        int errors = 0;
        uint64_t start = now_ns();
        for (int n = 0; n < ROUNDS; n++)
            errors += encode(&m, &frame) != KV_OK;
        uint64_t middle = now_ns();
        for (int n = 0; n < ROUNDS; n++)
            errors += decode(&frame, payload, &arena) != KV_OK;
        uint64_t end = now_ns();
        assert_int_equal(oom_end(), 0);
        assert_int_equal(errors, 0);
        print_message("%-10s %3zu bytes: encode %4.0f ns, decode %4.0f ns\n", message_name(hot[i]), frame.len,
                      (double)(middle - start) / ROUNDS, (double)(end - middle) / ROUNDS);
    }
    assert_int_equal(payload->refs, 1);
    blob_unref(payload);
    buf_deinit(&frame);
    arena_deinit(&arena);
}

/* Every allocation of a round fails once: nothing crashes, leaks (under ASan) or is half done. */
static void test_out_of_memory(void **state)
{
    (void)state;
    struct prng p;
    struct arena making;
    struct wire_frame f;
    prng_init(&p, 3);
    arena_init(&making, 64u << 20);
    for (size_t i = 0; i < all_types_count; i++) {
        struct message out, m = random_message(&p, &making, all_types[i], SIZE_LARGE);
        int failed, error;
        for (int n = 0;; n++) {
            struct buf b = {0};
            oom_after(n);
            error = wire_encode(&m, &b, &f);
            failed = oom_end();
            assert_int_equal(error, failed ? KV_E_NO_MEMORY : KV_OK);
            assert_int_equal(b.len > 0, !failed);
            buf_deinit(&b);
            if (!failed)
                break;
        }
        struct buf b = {0};
        frame_build(&m, &b);
        struct wire_header h;
        assert_int_equal(wire_decode_header(b.data, FRAME_MAX_TEST, &h), KV_OK);
        struct bytes body = bytes_of(b.data + WIRE_HEADER_BYTES, h.body_size);
        struct blob *payload = blob_copy(bytes_of(body.data + body.len, wire_payload_bytes(&h)));
        for (int n = 0;; n++) {
            struct arena arena;
            arena_init(&arena, WIRE_ARENA_MAX_BYTES);
            oom_after(n);
            error = wire_decode(&h, body, payload, VALUE_MAX_TEST, &arena, &out);
            failed = oom_end();
            assert_int_equal(error, failed ? KV_E_NO_MEMORY : KV_OK);
            if (!error)
                message_release(&out);
            arena_deinit(&arena);
            if (!failed)
                break;
        }
        if (payload)
            assert_int_equal(payload->refs, 1);
        blob_unref(payload);
        buf_deinit(&b);
        message_release(&m);
        arena_reset(&making);
    }
    arena_deinit(&making);
}

static void test_values_out_of_memory(void **state)
{
    (void)state;
    static uint8_t zeros[2000];
    static const size_t lengths[] = {100, sizeof zeros};
    for (size_t i = 0; i < 2; i++) {
        struct row row = {.kind = ROW_REGISTER, .stamp = {1, 2}};
        int failed = 1;
        for (int n = 0; failed; n++) {
            oom_after(n);
            int error = wire_pack_value(bytes_of(zeros, lengths[i]), &row);
            failed = oom_end();
            assert_int_equal(error, failed ? KV_E_NO_MEMORY : KV_OK);
            assert_int_equal(row.payload != NULL, !failed);
        }
        failed = 1;
        for (int n = 0; failed; n++) {
            struct blob *value;
            oom_after(n);
            int error = wire_unpack_value(&row, VALUE_MAX_BYTES, &value);
            failed = oom_end();
            assert_int_equal(error, failed ? KV_E_NO_MEMORY : KV_OK);
            assert_int_equal(value != NULL, !failed);
            blob_unref(value);
        }
        row_release(&row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hot_messages_allocate_nothing),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_values_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
