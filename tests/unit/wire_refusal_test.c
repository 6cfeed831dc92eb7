/* Bodies that no honest peer sends, written by hand: each is refused with the right error, and none makes the
 * receiver allocate more than its arena allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "kv_error.h"
#include "unit/wire_support.h"

static struct arena arena;
static struct buf body;

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
    buf_deinit(&body);
    return 0;
}

/* ---- protobuf by hand */

static void varint(uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        assert_int_equal(buf_append_byte(&body, (uint8_t)(v | 0x80)), KV_OK);
    assert_int_equal(buf_append_byte(&body, (uint8_t)v), KV_OK);
}

static void field_varint(uint32_t field, uint64_t v)
{
    varint(field << 3);
    varint(v);
}

static void field_bytes(uint32_t field, const void *data, size_t len)
{
    varint(field << 3 | 2);
    varint(len);
    assert_int_equal(buf_append(&body, bytes_of(data, len)), KV_OK);
}

static void append_hex(const char *hex)
{
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        char byte[3] = {hex[0], hex[1], '\0'};
        assert_int_equal(buf_append_byte(&body, (uint8_t)strtoul(byte, NULL, 16)), KV_OK);
        hex++;
    }
}

/* `body` as the body of a message of this type, with `payload_len` bytes behind it. What is accepted is
 * dropped. */
static int decode(enum message_type type, size_t payload_len)
{
    static const uint8_t zeros[200];
    struct wire_header h = {
        .length = (uint32_t)(WIRE_HEADER_BYTES - 4 + body.len + payload_len),
        .body_size = (uint32_t)body.len,
        .version = PROTOCOL_VERSION,
        .type = (uint8_t)type,
    };
    struct message out;
    struct blob *payload = blob_copy(bytes_of(zeros, payload_len));
    arena_reset(&arena);
    int error = wire_decode(&h, buf_bytes(&body), payload, 100, &arena, &out);
    assert_true(arena.used_bytes <= arena.limit_bytes);
    if (error)
        assert_int_equal(out.type, MSG_NONE);
    else
        message_release(&out);
    if (payload)
        assert_int_equal(payload->refs, 1); /* nothing that was refused holds on to it */
    blob_unref(payload);
    return error;
}

/* ---- field by field */

#define KEY     "0a016b" /* field 1: "k" */
#define STAMP   "210100000000000000 290200000000000000"
#define VERSION KEY "110100000000000000 190200000000000000"
#define ROW2    "1218 0801 1802" STAMP "3802" /* field 2: 2 raw bytes */

struct refusal {
    const char *what;
    enum message_type type;
    const char *hex;
    size_t payload_len;
    int error;
};

static const struct refusal refusals[] = {
    {"a write", MSG_WRITE, KEY ROW2, 2, KV_OK},
    {"unknown fields are ignored", MSG_WRITE, KEY ROW2 "f83f07 c23f03616263", 2, KV_OK},
    {"no field at all", MSG_WRITE, "", 0, KV_E_MALFORMED},
    {"no key", MSG_WRITE, ROW2, 2, KV_E_MALFORMED},
    {"an empty key", MSG_WRITE, "0a00" ROW2, 2, KV_E_MALFORMED},
    {"no row", MSG_WRITE, KEY, 0, KV_E_MALFORMED},
    {"an absent row", MSG_WRITE, KEY "1200", 0, KV_E_MALFORMED},
    {"a row without its payload", MSG_WRITE, KEY ROW2, 0, KV_E_MALFORMED},
    {"a payload too short", MSG_WRITE, KEY ROW2, 1, KV_E_MALFORMED},
    {"a payload too long", MSG_WRITE, KEY ROW2, 3, KV_E_MALFORMED},
    {"a header only", MSG_WRITE, KEY "1216 0801 1802" STAMP, 0, KV_E_MALFORMED},
    {"bytes nobody speaks of", MSG_WRITE, KEY "1214 0801" STAMP, 2, KV_E_MALFORMED},
    {"an empty value", MSG_WRITE, KEY "1214 0801" STAMP, 0, KV_OK},
    {"a row of no kind", MSG_WRITE, KEY "1212" STAMP, 0, KV_E_MALFORMED},
    {"a row of kind 257", MSG_WRITE, KEY "1215 088102" STAMP, 0, KV_E_MALFORMED},
    {"an unknown row flag", MSG_WRITE, KEY "1216 0801 1004" STAMP, 0, KV_E_MALFORMED},
    {"row flags above a byte", MSG_WRITE, KEY "1217 0801 108002" STAMP, 0, KV_E_MALFORMED},
    {"no stamp", MSG_WRITE, KEY "120b 0801 290200000000000000", 0, KV_E_MALFORMED},
    {"a tombstone", MSG_WRITE, KEY "1216 0801 1001" STAMP, 0, KV_OK},
    {"a tombstone with a value", MSG_WRITE, KEY "121a 0801 1001 1802" STAMP "3802", 2, KV_E_MALFORMED},
    {"lz4 of 2 bytes in 2", MSG_WRITE, KEY "121a 0801 1002 1802" STAMP "3802", 2, KV_E_MALFORMED},
    {"lz4 of 100 bytes in 2", MSG_WRITE, KEY "121a 0801 1002 1864" STAMP "3802", 2, KV_OK},
    {"lz4 of 101 bytes", MSG_WRITE, KEY "121a 0801 1002 1865" STAMP "3802", 2, KV_E_TOO_LARGE},
    {"lz4 of 4 GiB", MSG_WRITE, KEY "121e 0801 1002 18ffffffff0f" STAMP "3802", 2, KV_E_TOO_LARGE},
    {"lz4 of nothing", MSG_WRITE, KEY "1218 0801 1002 1864" STAMP, 0, KV_E_MALFORMED},
    {"a raw value of 101 bytes", MSG_WRITE, KEY "1218 0801 1865" STAMP "3865", 101, KV_E_TOO_LARGE},
    {"an unknown write flag", MSG_WRITE, KEY ROW2 "2004", 2, KV_E_MALFORMED},
    {"14 hints", MSG_WRITE, KEY ROW2 "2a0e0102030405060708090a0b0c0d0e", 2, KV_OK},
    {"15 hints", MSG_WRITE, KEY ROW2 "2a0f0102030405060708090a0b0c0d0e0f", 2, KV_E_MALFORMED},
    {"15 hints of a delete", MSG_WRITE, KEY "1216 0801 1001" STAMP "2a0f0102030405060708090a0b0c0d0e0f", 0,
     KV_E_MALFORMED},
    {"a field of another kind", MSG_WRITE, "0801" ROW2, 2, KV_E_MALFORMED},
    {"a field that runs over the end", MSG_WRITE, "0a7f6b", 0, KV_E_MALFORMED},
    {"an endless varint", MSG_WRITE_ACK, "10ffffffffffffffffffffff01", 0, KV_E_MALFORMED},

    {"no answer is an answer", MSG_WRITE_ACK, "", 0, KV_OK},
    {"an unknown status", MSG_WRITE_ACK, "08c801", 0, KV_E_MALFORMED},
    {"a positive status", MSG_WRITE_ACK, "0802", 0, KV_E_MALFORMED},
    {"a payload for an ack", MSG_WRITE_ACK, "", 1, KV_E_MALFORMED},
    {"a payload for nothing", MSG_STATUS_GET, "", 1, KV_E_MALFORMED},

    {"an absent row read", MSG_READ_REPLY, "", 0, KV_OK},
    {"a row read", MSG_READ_REPLY, ROW2, 2, KV_OK},
    {"a stamp read", MSG_READ_REPLY, "1216 0801 1802" STAMP, 0, KV_OK},
    {"a stamp above the limit", MSG_READ_REPLY, "1216 0801 1865" STAMP, 0, KV_E_TOO_LARGE},
    {"a tombstone's stamp with a size", MSG_READ_REPLY, "1218 0801 1001 1802" STAMP, 0, KV_E_MALFORMED},
    {"a stamp of no kind", MSG_READ_REPLY, "1214 1802" STAMP, 0, KV_E_MALFORMED},
    {"rows of no time", MSG_READ_REPLY, "1202 0801", 0, KV_E_MALFORMED},

    {"a get", MSG_REQUEST, "0801 32016b", 0, KV_OK},
    {"op 0", MSG_REQUEST, "32016b", 0, KV_E_MALFORMED},
    {"op 4", MSG_REQUEST, "0804 32016b", 0, KV_E_MALFORMED},
    {"op 257", MSG_REQUEST, "088102 32016b", 0, KV_E_MALFORMED},
    {"a request's unknown flag", MSG_REQUEST, "0801 1008 32016b", 0, KV_E_MALFORMED},
    {"r 255", MSG_REQUEST, "0801 18ff01 32016b", 0, KV_OK},
    {"r 256", MSG_REQUEST, "0801 188002 32016b", 0, KV_E_MALFORMED},
    {"w 256", MSG_REQUEST, "0801 208002 32016b", 0, KV_E_MALFORMED},
    {"a get without a key", MSG_REQUEST, "0801", 0, KV_E_MALFORMED},
    {"a get with a row", MSG_REQUEST, "0801 32016b 3a14 0801" STAMP, 0, KV_E_MALFORMED},
    {"a get with a value", MSG_REQUEST, "0801 32016b 3a18 0801 1802" STAMP "3802", 2, KV_E_MALFORMED},
    {"a put without a row", MSG_REQUEST, "0802 32016b", 0, KV_E_MALFORMED},
    {"a put", MSG_REQUEST, "0802 32016b 3a18 0801 1802" STAMP "3802", 2, KV_OK},

    {"asked 256", MSG_RESPONSE, "108002", 0, KV_E_MALFORMED},
    {"acked 256", MSG_RESPONSE, "188002", 0, KV_E_MALFORMED},
    {"needed 256", MSG_RESPONSE, "208002", 0, KV_E_MALFORMED},
    {"hinted 256", MSG_RESPONSE, "288002", 0, KV_E_MALFORMED},
    {"reachable 256", MSG_RESPONSE, "308002", 0, KV_E_MALFORMED},
    {"a trace line", MSG_RESPONSE, "7a02 1007", 0, KV_OK},
    {"a trace line of kind 0", MSG_RESPONSE, "7a00", 0, KV_E_MALFORMED},
    {"a trace line of kind 8", MSG_RESPONSE, "7a02 1008", 0, KV_E_MALFORMED},
    {"a trace line's status", MSG_RESPONSE, "7a05 1007 28ff01", 0, KV_E_MALFORMED},

    {"a client", MSG_HELLO, "", 0, KV_OK},
    {"a member", MSG_HELLO, "0801 120163 1a016e 3a06 0a026831 1050", 0, KV_OK},
    {"role 2", MSG_HELLO, "0802 120163 1a016e", 0, KV_E_MALFORMED},
    {"a member without a name", MSG_HELLO, "0801 120163", 0, KV_E_MALFORMED},
    {"a member without a cluster", MSG_HELLO, "0801 1a016e", 0, KV_E_MALFORMED},
    {"a name with a NUL", MSG_HELLO, "0801 120163 1a036e006e", 0, KV_E_MALFORMED},
    {"a name with a newline", MSG_HELLO, "0801 120163 1a036e0a6e", 0, KV_E_MALFORMED},
    {"a name with a blank", MSG_HELLO, "0801 120163 1a036e206e", 0, KV_E_MALFORMED},
    {"a client's bad name", MSG_HELLO, "1a036e206e", 0, KV_E_MALFORMED},
    {"port 65616", MSG_HELLO, "3a07 0a0168 10d08004", 0, KV_E_MALFORMED},
    {"an empty address", MSG_HELLO, "3a00", 0, KV_OK},
    {"a host without a port", MSG_HELLO, "3a03 0a0168", 0, KV_E_MALFORMED},
    {"a port without a host", MSG_HELLO, "3a02 1050", 0, KV_E_MALFORMED},
    {"a host with a NUL", MSG_HELLO, "3a07 0a03680068 1050", 0, KV_E_MALFORMED},
    {"a host that ends in a NUL", MSG_HELLO, "3a06 0a026800 1050", 0, KV_E_MALFORMED},
    {"a host with a blank", MSG_HELLO, "3a06 0a026820 1050", 0, KV_E_MALFORMED},

    {"value_max of 64 MiB", MSG_WELCOME, "0a0163 12016e 4080808020", 0, KV_OK},
    {"value_max above that", MSG_WELCOME, "0a0163 12016e 4081808020", 0, KV_E_MALFORMED},
    {"text with an escape", MSG_REFUSED, "12031b5b4d", 0, KV_E_MALFORMED},
    {"text in UTF-8", MSG_REFUSED, "1202c3a9", 0, KV_OK},
    {"weight 17", MSG_FOUND, "0a016e 3811", 0, KV_E_MALFORMED},
    {"a ring", MSG_RING, "0805", 5, KV_OK},
    {"no ring yet", MSG_RING, "", 0, KV_OK},
    {"half a ring", MSG_RING, "0805", 4, KV_E_MALFORMED},
    {"a ring of no size", MSG_RING, "", 4, KV_E_MALFORMED},

    {"a proposal", MSG_ACCEPT, "0802 1204 0805 1001 2003", 3, KV_OK},
    {"half a proposal", MSG_ACCEPT, "0802 1204 0805 1001 2003", 2, KV_E_MALFORMED},
    {"a promise of nothing", MSG_PROMISE, "0802 1204 0805 1001", 0, KV_OK},
    {"a ballot of no kind", MSG_PREPARE, "0802 1205 0805 1001", 0, KV_E_MALFORMED},
    {"a change", MSG_CHANGE, "0805 2a026e32 320165", 0, KV_OK},
    {"a change of kind 6", MSG_CHANGE, "0806", 0, KV_E_MALFORMED},
    {"a change to weight 17", MSG_CHANGE, "0804 2011", 0, KV_E_MALFORMED},
    {"a change of a bad name", MSG_CHANGE, "0802 2a036e206e", 0, KV_E_MALFORMED},
    {"a change of a long name", MSG_CHANGE,
     "2a20 6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e 6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e", 0, KV_E_MALFORMED},
    {"a change to a bad zone", MSG_CHANGE, "0805 32036e0a6e", 0, KV_E_MALFORMED},
    {"a reply's status", MSG_CHANGE_REPLY, "0802", 0, KV_E_MALFORMED},
    {"a reply's text", MSG_CHANGE_REPLY, "12026e0a", 0, KV_E_MALFORMED},
    {"progress", MSG_PROGRESS, "0802 1001 1805 2007", 0, KV_OK},
    {"a phase", MSG_STATUS, "0a0163 1a016e 3002", 0, KV_OK},
    {"phase 3", MSG_STATUS, "0a0163 1a016e 3003", 0, KV_E_MALFORMED},

    {"an entry", MSG_SCAN_PAGE, "7a19" KEY "1214 0801" STAMP, 0, KV_OK},
    {"an entry without a key", MSG_SCAN_PAGE, "7a16 1214 0801" STAMP, 0, KV_E_MALFORMED},
    {"an entry without a row", MSG_SCAN_PAGE, "7a03" KEY, 0, KV_E_MALFORMED},
    {"an entry with a payload", MSG_RANGE_PAGE, "7a1d" KEY ROW2, 2, KV_E_MALFORMED},

    {"gossip", MSG_PING, "7a02 2003", 0, KV_OK},
    {"gossip of state 4", MSG_PING, "7a02 2004", 0, KV_E_MALFORMED},
    {"gossip of state 256", MSG_SYNC, "7a03 208002", 0, KV_E_MALFORMED},
    {"gossip's port", MSG_SYNC, "7a09 3207 0a0168 10d08004", 0, KV_E_MALFORMED},
    {"a status", MSG_STATUS, "0a0163 1a016e 7a03 12016e", 0, KV_OK},
    {"a member's state", MSG_STATUS, "0a0163 1a016e 7a05 12016e 2804", 0, KV_E_MALFORMED},
    {"a nameless member", MSG_STATUS, "0a0163 1a016e 7a00", 0, KV_E_MALFORMED},
    {"fault kind 256", MSG_FAULT, "088002", 0, KV_E_MALFORMED},
    {"a heartbeat", MSG_HEARTBEAT, "0801 1002 2003", 0, KV_OK},
    {"a heartbeat's flag 4", MSG_HEARTBEAT, "0801 1002 2004", 0, KV_E_MALFORMED},
    {"a list's member's state", MSG_LIST, "7a04 08012004", 0, KV_E_MALFORMED},
    {"topology 3", MSG_WELCOME, "0a0163 12016e 5003", 0, KV_E_MALFORMED},
    {"a hub's name", MSG_WELCOME, "0a0163 12016e 620120", 0, KV_E_MALFORMED},
    {"a purge", MSG_PURGE, "0801 7a15" VERSION, 0, KV_OK},
    {"a purge of no step", MSG_PURGE, "7a15" VERSION, 0, KV_E_MALFORMED},
    {"a purge's step 5", MSG_PURGE, "0805 7a15" VERSION, 0, KV_E_MALFORMED},
    {"a purge of nothing", MSG_PURGE, "0801", 0, KV_E_MALFORMED},
    {"a purge without a key", MSG_PURGE, "0801 7a12 110100000000000000 190200000000000000", 0,
     KV_E_MALFORMED},
    {"a purge without a stamp", MSG_PURGE, "0801 7a03" KEY, 0, KV_E_MALFORMED},
    {"a purge of partition 65536", MSG_PURGE, "0801 10808004 7a15" VERSION, 0, KV_E_MALFORMED},
    {"fault rule kind 256", MSG_FAULT_REPLY, "7a03 088002", 0, KV_E_MALFORMED},
    {"leaf hashes", MSG_LEAVES, "7a0f 190300000000000000 220400000000", 0, KV_E_MALFORMED},
    {"as many as leaves", MSG_LEAVES, "7a13 190300000000000000 22080000000000000000", 0, KV_OK},
    {"leaves without hashes", MSG_LEAVES, "7a09 190300000000000000", 0, KV_E_MALFORMED},
    {"digests", MSG_COMPARE, "2808", 8, KV_OK},
    {"half a digest", MSG_COMPARE, "2808", 4, KV_E_MALFORMED},
    {"a conflict", MSG_COMPARED, "7a03 08ff1f", 0, KV_OK},
    {"a conflict above its limit", MSG_COMPARED, "7a03 088020", 0, KV_E_MALFORMED},
    {"rows", MSG_COMPARED, "3003", 3, KV_OK},
    {"rows of no size", MSG_MERGE, "", 3, KV_E_MALFORMED},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        buf_clear(&body);
        append_hex(r->hex);
        int error = decode(r->type, r->payload_len);
        if (error != r->error)
            fail_msg("%s (%s): %s instead of %s", r->what, message_name(r->type), kv_error_word(error),
                     kv_error_word(r->error));
    }
}

/* ---- lengths */

struct text_limit {
    enum message_type type;
    uint32_t field;
    size_t max;
    int error; /* one above it */
};

static void test_text_and_key_limits(void **state)
{
    (void)state;
    static const struct text_limit limits[] = {
        {MSG_HELLO, 2, NAME_MAX_BYTES, KV_E_MALFORMED},
        {MSG_HELLO, 3, NAME_MAX_BYTES, KV_E_MALFORMED},
        {MSG_REFUSED, 2, 255, KV_E_MALFORMED},
        {MSG_READ, 1, KEY_MAX_BYTES, KV_E_TOO_LARGE},
        {MSG_PURGE_REPLY, 3, PURGE_BITS_BYTES, KV_E_MALFORMED},
        {MSG_SCAN, 2, KEY_MAX_BYTES, KV_E_TOO_LARGE},
        {MSG_RANGE, 2, KEY_MAX_BYTES, KV_E_TOO_LARGE},
    };
    static char text[KEY_MAX_BYTES + 1];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        for (size_t over = 0; over < 2; over++) {
            buf_clear(&body);
            field_bytes(limits[i].field, text, limits[i].max + over);
            assert_int_equal(decode(limits[i].type, 0), over ? limits[i].error : KV_OK);
        }
}

/* As above, one message deeper: a host in an address, the name of a counter. */
static void test_nested_text_limits(void **state)
{
    (void)state;
    static const char text[HOST_MAX_BYTES + 2] =
        "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh";
    assert_int_equal(strlen(text), HOST_MAX_BYTES + 1);
    for (uint8_t over = 0; over < 2; over++) {
        uint8_t len = (uint8_t)(HOST_MAX_BYTES + over);
        int error = over ? KV_E_MALFORMED : KV_OK;
        buf_clear(&body);
        varint(7 << 3 | 2); /* HELLO's address, and its port behind the host */
        varint(len + 4u);
        field_bytes(1, text, len);
        field_varint(2, 80);
        assert_int_equal(decode(MSG_HELLO, 0), error);
        buf_clear(&body);
        varint(15 << 3 | 2);
        varint(len + 2u);
        field_bytes(1, text, len);
        assert_int_equal(decode(MSG_STATS, 0), error);
    }
}

/* ---- lists: counted before anything is allocated for them */

struct list_limit {
    enum message_type type;
    const char *before; /* what the body needs beside its list */
    const char *item;
    uint32_t max;
};

static void test_list_limits(void **state)
{
    (void)state;
    static const struct list_limit limits[] = {
        {MSG_SYNC, "", "7a00", MEMBERS_MAX},
        {MSG_PING, "", "7a00", MEMBERS_MAX},
        {MSG_RESPONSE, "", "7a021001", TRACE_MAX},
        {MSG_SCAN_PAGE, "", "7a19" KEY "1214 0801" STAMP, SCAN_PAGE_MAX},
        {MSG_RANGE_PAGE, "", "7a19" KEY "1214 0801" STAMP, SCAN_PAGE_MAX},
        {MSG_STATUS, "0a0163 1a016e", "7a03 12016e", 2 * MEMBERS_MAX},
        {MSG_STATS, "", "7a00", 1024},
        {MSG_ROOTS, "", "7a00", COMPARE_PARTITIONS_MAX},
        {MSG_LEAVES, "", "7a00", COMPARE_PARTITIONS_MAX},
        {MSG_COMPARE, "", "7a00", COMPARE_PARTITIONS_MAX},
        {MSG_COMPARED, "", "7a00", COMPARE_DIGESTS_MAX},
        {MSG_FAULT_REPLY, "", "7a00", 256},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        buf_clear(&body);
        append_hex(limits[i].before);
        for (uint32_t n = 0; n < limits[i].max; n++)
            append_hex(limits[i].item);
        assert_int_equal(decode(limits[i].type, 0), KV_OK);
        append_hex(limits[i].item);
        assert_int_equal(decode(limits[i].type, 0), KV_E_TOO_LARGE);
    }
}

/* The largest body of the emptiest items would be dozens of MiB unpacked: the arena ends it. */
static void test_flood_of_items(void **state)
{
    (void)state;
    static const enum message_type with_lists[] = {MSG_SYNC,   MSG_PING,    MSG_RESPONSE,    MSG_SCAN_PAGE,
                                                   MSG_STATUS, MSG_STATS,   MSG_FAULT_REPLY, MSG_ROOTS,
                                                   MSG_LEAVES, MSG_COMPARE, MSG_COMPARED};
    buf_clear(&body);
    while (body.len + 2 <= WIRE_BODY_MAX_BYTES)
        append_hex("7a00");
    for (size_t i = 0; i < sizeof with_lists / sizeof with_lists[0]; i++)
        assert_int_equal(decode(with_lists[i], 0), KV_E_NO_MEMORY);
    /* The same as fields nobody knows, and as one field again and again. */
    for (size_t i = 0; i < all_types_count; i++)
        assert_int_not_equal(decode(all_types[i], 0), KV_OK);
    buf_clear(&body);
    while (body.len + 3 <= WIRE_BODY_MAX_BYTES)
        append_hex(KEY);
    (void)decode(MSG_WRITE, 0);
}

/* One bit for each digest that there may be, and no more. */
static void test_too_many_wants(void **state)
{
    (void)state;
    static const uint8_t ones[COMPARE_DIGESTS_MAX / 8 + 1] = {1};
    for (size_t over = 0; over <= 1; over++) {
        buf_clear(&body);
        field_bytes(5, ones, COMPARE_DIGESTS_MAX / 8 + over);
        assert_int_equal(decode(MSG_COMPARED, 0), over ? KV_E_TOO_LARGE : KV_OK);
    }
}

/* A packed list names its size in bytes: 64 bytes of hints become at most 64 numbers. */
static void test_flood_of_hints(void **state)
{
    (void)state;
    static const uint8_t ones[WIRE_BODY_MAX_BYTES / 2] = {1};
    buf_clear(&body);
    append_hex(KEY ROW2);
    field_bytes(5, ones, sizeof ones);
    assert_int_equal(decode(MSG_WRITE, 2), KV_E_MALFORMED);
    buf_clear(&body);
    append_hex(KEY ROW2);
    for (uint32_t n = 0; n < 100; n++)
        field_varint(5, n);
    assert_int_equal(decode(MSG_WRITE, 2), KV_E_MALFORMED);
}

/* What does not fit the arena that was given is refused, at every size, and nothing is taken beyond it. */
static void test_small_arenas(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    struct arena making, small;
    struct buf frame = {0};
    arena_init(&making, 16u << 20);
    for (size_t i = 0; i < all_types_count; i++) {
        arena_reset(&making);
        struct message out, m = random_message(&p, &making, all_types[i], SIZE_SMALL);
        frame_build(&m, &frame);
        int error = KV_E_NO_MEMORY;
        for (size_t limit = 0; error != KV_OK; limit += 16) {
            arena_init(&small, limit);
            error = frame_parse(buf_bytes(&frame), &small, &out);
            assert_true(error == KV_OK || error == KV_E_NO_MEMORY);
            assert_true(small.used_bytes <= limit);
            if (error == KV_OK)
                message_release(&out);
            arena_deinit(&small);
        }
        message_release(&m);
    }
    buf_deinit(&frame);
    arena_deinit(&making);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_and_key_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nested_text_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood_of_items, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_wants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood_of_hints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_arenas, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
