/* The fixed header, byte by byte, and whole frames of known bytes: the format does not change without a test
 * that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "kv_error.h"
#include "unit/wire_support.h"

#define FRAME_MAX 1000u

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, WIRE_ARENA_MAX_BYTES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static const char *hex(struct bytes bytes)
{
    static char text[1024];
    assert_true(bytes.len * 2 < sizeof text);
    for (size_t i = 0; i < bytes.len; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
    return text;
}

/* Reserved bytes, id, cluster, epoch, hlc. */
#define HEADER_REST "0000 0102030405060708 1112131415161718 2122232425262728 3132333435363738"

static struct message head(enum message_type type)
{
    return (struct message){
        .type = type,
        .id = UINT64_C(0x0102030405060708),
        .cluster = UINT64_C(0x1112131415161718),
        .ring_epoch = UINT64_C(0x2122232425262728),
        .hlc = UINT64_C(0x3132333435363738),
    };
}

static void golden(struct message *m, const char *expected)
{
    struct buf frame = {0};
    frame_build(m, &frame);
    /* Blanks in `expected` are for the reader. */
    char wanted[1024];
    size_t n = 0;
    for (const char *c = expected; *c; c++)
        if (*c != ' ')
            wanted[n++] = *c;
    wanted[n] = '\0';
    assert_string_equal(hex(buf_bytes(&frame)), wanted);
    buf_deinit(&frame);
    message_release(m);
}

/* If one of these fails, nodes of two builds no longer understand each other: raise PROTOCOL_VERSION. */
static void test_golden_header_alone(void **state)
{
    (void)state;
    struct message m = head(MSG_STATUS_GET);
    golden(&m, "00000028 01 0e" HEADER_REST "00000000");
}

static void test_golden_write_ack(void **state)
{
    (void)state;
    struct message m = head(MSG_WRITE_ACK);
    m.write_ack = (struct msg_write_ack){KV_E_OVERLOADED, 300};
    golden(&m, "0000002d 01 1f" HEADER_REST "00000005"
               "0807" /* status -4 */
               "10ac02" /* sequence */);
}

static void test_golden_write(void **state)
{
    (void)state;
    struct message m = head(MSG_WRITE);
    m.write = (struct msg_write){
        .key = bytes_str("k"),
        .row = {.kind = ROW_REGISTER, .raw_size = 2, .stamp = {0x1020, 0x30}, .expires_hlc = 0x40},
        .began_hlc = 0x50,
        .flags = WRITE_BACK,
        .hint_count = 2,
        .hints = {7, 200},
    };
    m.write.row.payload = blob_copy(bytes_str("vw"));
    golden(&m, "00000060 01 1e" HEADER_REST "00000036"
               "0a016b"             /* key */
               "1221"               /* row */
               "0801"               /*   kind */
               "1802"               /*   raw_size */
               "212010000000000000" /*   hlc */
               "293000000000000000" /*   origin */
               "314000000000000000" /*   expires_hlc */
               "3802"               /*   payload_size */
               "195000000000000000" /* began_hlc */
               "2002"               /* flags */
               "2a0307c801"         /* hints */
               "7677" /* payload */);
}

static void test_golden_ping(void **state)
{
    (void)state;
    static const struct gossip gossip[] = {
        {.member = 3,
         .generation = 4,
         .incarnation = 5,
         .state = MEMBER_SUSPECT,
         .from = 6,
         .addr = {"h", 80}},
        {.member = 9},
    };
    struct message m = head(MSG_PING);
    m.probe = (struct msg_probe){
        .from = 1, .from_generation = 300, .target = 2, .sequence = 77, .count = 2, .gossip = gossip};
    golden(&m, "00000048 01 32" HEADER_REST "00000020"
               "0801 10ac02 1802 204d"
               "7a11 0803 1004 1805 2001 2806 3205 0a0168 1050"
               "7a02 0809");
}

/* ---- the header is checked before it is believed */

static void build_header(uint8_t out[WIRE_HEADER_BYTES], uint32_t length, uint8_t version, uint8_t type,
                         uint32_t body_size)
{
    memset(out, 0, WIRE_HEADER_BYTES);
    be32_put(out, length);
    out[4] = version;
    out[5] = type;
    be64_put(out + 8, 11);
    be64_put(out + 16, 12);
    be64_put(out + 24, 13);
    be64_put(out + 32, 14);
    be32_put(out + 40, body_size);
}

static int header_error(uint32_t length, uint8_t version, uint8_t type, uint32_t body_size)
{
    uint8_t bytes[WIRE_HEADER_BYTES];
    struct wire_header h;
    build_header(bytes, length, version, type, body_size);
    int error = wire_decode_header(bytes, FRAME_MAX, &h);
    /* Whatever is wrong, what was read is there: a refusal wants the id. */
    assert_int_equal(h.length, length);
    assert_int_equal(h.body_size, body_size);
    assert_int_equal(h.version, version);
    assert_int_equal(h.type, type);
    assert_true(h.id == 11 && h.cluster == 12 && h.ring_epoch == 13 && h.hlc == 14);
    return error;
}

static void test_header_checks(void **state)
{
    (void)state;
    assert_int_equal(header_error(40, 1, MSG_PING, 0), KV_OK);
    assert_int_equal(header_error(FRAME_MAX, 1, MSG_WRITE, FRAME_MAX - 40), KV_OK);
    assert_int_equal(header_error(FRAME_MAX, 1, MSG_WRITE, 7), KV_OK);
    assert_int_equal(header_error(FRAME_MAX + 1, 1, MSG_WRITE, 7), KV_E_TOO_LARGE);
    assert_int_equal(header_error(UINT32_MAX, 1, MSG_WRITE, UINT32_MAX), KV_E_TOO_LARGE);
    assert_int_equal(header_error(39, 1, MSG_PING, 0), KV_E_MALFORMED);
    assert_int_equal(header_error(0, 1, MSG_PING, 0), KV_E_MALFORMED);
    assert_int_equal(header_error(50, 1, MSG_PING, 11), KV_E_MALFORMED);
    assert_int_equal(header_error(50, 1, MSG_PING, UINT32_MAX), KV_E_MALFORMED);
    /* Another version is named as such, whatever else its header may mean. */
    assert_int_equal(header_error(UINT32_MAX, 2, 200, UINT32_MAX), KV_E_VERSION);
    assert_int_equal(header_error(40, 0, MSG_PING, 0), KV_E_VERSION);
}

static void test_header_types(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 256; type++) {
        bool known = false;
        for (size_t i = 0; i < all_types_count; i++)
            known = known || all_types[i] == type;
        assert_int_equal(header_error(40, 1, (uint8_t)type, 0), known ? KV_OK : KV_E_MALFORMED);
        assert_int_equal(known, strcmp(message_name(type), "?") != 0 && type != MSG_NONE);
    }
}

static void test_header_reserved_and_body_limit(void **state)
{
    (void)state;
    uint8_t bytes[WIRE_HEADER_BYTES];
    struct wire_header h;
    for (int at = 6; at < 8; at++) {
        build_header(bytes, 40, 1, MSG_PING, 0);
        bytes[at] = 1;
        assert_int_equal(wire_decode_header(bytes, FRAME_MAX, &h), KV_E_MALFORMED);
    }
    build_header(bytes, 40 + WIRE_BODY_MAX_BYTES, 1, MSG_SYNC, WIRE_BODY_MAX_BYTES);
    assert_int_equal(wire_decode_header(bytes, UINT32_MAX, &h), KV_OK);
    build_header(bytes, 41 + WIRE_BODY_MAX_BYTES, 1, MSG_SYNC, WIRE_BODY_MAX_BYTES + 1);
    assert_int_equal(wire_decode_header(bytes, UINT32_MAX, &h), KV_E_TOO_LARGE);
    build_header(bytes, 41 + WIRE_BODY_MAX_BYTES, 1, MSG_WRITE, 1);
    assert_int_equal(wire_decode_header(bytes, UINT32_MAX, &h), KV_OK);
    assert_int_equal(wire_payload_bytes(&h), WIRE_BODY_MAX_BYTES);
}

/* ---- datagrams */

static void test_datagram(void **state)
{
    (void)state;
    static struct gossip gossip[40];
    struct message m = head(MSG_ACK), out;
    m.probe = (struct msg_probe){.from = 4, .sequence = 5, .count = 3, .gossip = gossip};
    struct buf b = {0}, want = {0}, got = {0};
    frame_build(&m, &b);
    assert_int_equal(wire_decode_datagram(buf_bytes(&b), &arena, &out), KV_OK);
    assert_string_equal(message_text(&m, &want), message_text(&out, &got));

    /* One byte too many, one too few, none. */
    assert_int_equal(buf_append_byte(&b, 0), KV_OK);
    assert_int_equal(wire_decode_datagram(buf_bytes(&b), &arena, &out), KV_E_MALFORMED);
    for (size_t len = 0; len < b.len - 1; len++)
        assert_int_equal(wire_decode_datagram(bytes_of(b.data, len), &arena, &out), KV_E_MALFORMED);
    buf_deinit(&want);
    buf_deinit(&got);
    buf_deinit(&b);
}

static void test_datagram_limits(void **state)
{
    (void)state;
    static struct gossip gossip[400];
    struct message m = head(MSG_ACK), out;
    m.probe = (struct msg_probe){.from = 4, .sequence = 5, .count = 400, .gossip = gossip};
    for (int i = 0; i < 400; i++)
        gossip[i].member = 1;
    struct buf b = {0};
    frame_build(&m, &b);
    assert_true(b.len > DATAGRAM_MAX_BYTES);
    assert_int_equal(wire_decode_datagram(buf_bytes(&b), &arena, &out), KV_E_TOO_LARGE);
    assert_int_equal(arena.used_bytes, 0);

    /* Exactly the largest, one above it, and the smallest. */
    m.probe.count = 338; /* of 4 bytes each, and 4 for the fields before them */
    frame_build(&m, &b);
    assert_int_equal(b.len, DATAGRAM_MAX_BYTES);
    assert_int_equal(wire_decode_datagram(buf_bytes(&b), &arena, &out), KV_OK);
    gossip[0].member = 128;
    frame_build(&m, &b);
    assert_int_equal(b.len, DATAGRAM_MAX_BYTES + 1);
    assert_int_equal(wire_decode_datagram(buf_bytes(&b), &arena, &out), KV_E_TOO_LARGE);
    struct message bare = head(MSG_RING_GET);
    frame_build(&bare, &b);
    assert_int_equal(b.len, WIRE_HEADER_BYTES);
    assert_int_equal(wire_decode_datagram(buf_bytes(&b), &arena, &out), KV_OK);

    arena_reset(&arena);
    /* Values do not come by datagram. */
    struct message ring = head(MSG_RING);
    ring.ring.value = blob_copy(bytes_str("ring"));
    frame_build(&ring, &b);
    assert_int_equal(wire_decode_datagram(buf_bytes(&b), &arena, &out), KV_E_MALFORMED);
    assert_int_equal(arena.used_bytes, 0);
    message_release(&ring);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden_header_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_golden_write_ack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_golden_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_golden_ping, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_reserved_and_body_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagram_limits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
