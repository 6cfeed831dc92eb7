/* What the codecs of the message families share; private to this folder, the only one that sees generated
 * types.
 *
 * A codec is three things: the protobuf message of the body, a function that fills that from a `struct
 * message` and one for the way back. Both directions carry on after an error and remember the first: a codec
 * then reads as a list of fields, and its caller looks once. Until it has looked, nothing of the result is
 * used.
 *
 * Encoding allocates nothing but the output: the protobuf struct is on the stack, and the items of a list
 * are packed one by one behind the body (which is what a repeated field looks like). Decoding allocates in
 * the arena only. */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "wire/wire.h"

#include "gureum.pb-c.h"

/* ---- encoding */

struct encoder {
    struct buf *out;
    struct wire_frame *frame;
    int error; /* the first one; KV_OK so far */
};

/* A part of a body as protobuf-c wants it, borrowed. */
ProtobufCBinaryData wire_bytes(struct bytes bytes);
ProtobufCBinaryData wire_text(const char *text); /* NULL is "" */
Gureum__Addr wire_addr(const struct addr *a);

/* Above KEY_MAX_BYTES: KV_E_TOO_LARGE. */
ProtobufCBinaryData wire_key(struct encoder *e, struct bytes key);
Gureum__Cursor wire_cursor(struct encoder *e, const struct cursor *c);

/* Fills `store` from `row` and returns it; NULL for an absent row, which is left out of the body. */
Gureum__Row *wire_row(const struct row *row, Gureum__Row *store);

/* Packs onto the end of the output: the body, without its list. */
void wire_put_body(struct encoder *e, const void *body);

/* Checks the length of a list before its items are put: KV_E_TOO_LARGE above `max`. False on any error so
 * far. */
bool wire_put_list(struct encoder *e, uint32_t count, uint32_t max);

/* Packs one item of the body's list (always field 15). */
void wire_put_item(struct encoder *e, const void *item);

/* The bytes that follow the body; NULL and empty blobs are left out. */
void wire_put_payload(struct encoder *e, struct blob *payload);

/* ---- decoding */

struct decoder {
    struct arena *arena;
    struct blob *payload; /* of the frame, not yet claimed by a field of the message; NULL: none */
    uint32_t value_max_bytes;
    int error; /* the first one; KV_OK so far */
};

void wire_fail(struct decoder *d, int error);

/* A number that must not be above `max`; 0 and KV_E_MALFORMED when it is. */
uint32_t wire_take_u32(struct decoder *d, uint32_t value, uint32_t max);
uint8_t wire_take_u8(struct decoder *d, uint32_t value, uint8_t max);

/* A code of the error table. */
int32_t wire_take_status(struct decoder *d, int32_t status);

/* Text for people and logs: at most `max` bytes and no control characters (NUL, newlines). "" on error. */
const char *wire_take_text(struct decoder *d, ProtobufCBinaryData text, size_t max);

/* The name of a node, zone or cluster, for which name_ok holds; "" when `or_empty` allows it. */
enum wire_name { WIRE_NAME, WIRE_NAME_OR_EMPTY };
const char *wire_take_name(struct decoder *d, ProtobufCBinaryData name, enum wire_name kind);

/* One that addr_ok accepts; left out, or empty: {"", 0}. */
struct addr wire_take_addr(struct decoder *d, const Gureum__Addr *a);

/* 1..KEY_MAX_BYTES. */
struct bytes wire_take_key(struct decoder *d, ProtobufCBinaryData key);

/* 0..KEY_MAX_BYTES: prefixes, and the key of a cursor. */
struct bytes wire_take_prefix(struct decoder *d, ProtobufCBinaryData prefix);

/* A cursor left out is the beginning. */
struct cursor wire_take_cursor(struct decoder *d, const Gureum__Cursor *c);

enum wire_row {
    WIRE_ROW_WHOLE,  /* there, and row_check holds for it with its payload */
    WIRE_ROW_HEADER, /* there, without a payload */
    WIRE_ROW_ANY,    /* whole, header only, or left out (the absent row) */
};

/* Lists of gossip: membership.c. NULL: an empty one, or it does not fit. */
void wire_put_gossip(struct encoder *e, const struct gossip *gossip, uint32_t count);
struct gossip *wire_take_gossip(struct decoder *d, Gureum__Gossip *const *items, size_t count);

/* Takes a reference of the frame's payload when the row names one. */
struct row wire_take_row(struct decoder *d, const Gureum__Row *row, enum wire_row kind);

/* The frame's payload, of exactly `size` bytes; NULL for 0. The caller of wire_decode owns the reference. */
struct blob *wire_take_payload(struct decoder *d, uint32_t size);

/* Room in the arena for a list; NULL when `count` is 0, above `max` (KV_E_TOO_LARGE) or does not fit. */
void *wire_take_list(struct decoder *d, size_t count, uint32_t max, size_t item_size);

/* ---- the codecs, by family */

#define WIRE_TEXT_MAX_BYTES     255u              /* of a refusal; cut when it is longer */
#define WIRE_STATUS_MEMBERS_MAX (2 * MEMBERS_MAX) /* the ring's, and who would like to be */
#define WIRE_STATS_MAX          1024u
#define WIRE_STAT_NAME_BYTES    63u
#define WIRE_FAULT_RULES_MAX    256u

struct codec {
    const ProtobufCMessageDescriptor *body;
    void (*encode)(struct encoder *e, const struct message *m);
    void (*decode)(struct decoder *d, const void *body, struct message *m);
};

/* The codec of a message type; NULL for a number that is no type. */
const struct codec *codec_of(uint32_t type);

extern const struct codec codec_nothing; /* codec.c */
extern const struct codec codec_hello, codec_welcome, codec_refused, codec_ring,
    codec_found;                                                                         /* connection.c */
extern const struct codec codec_request, codec_response;                                 /* request.c */
extern const struct codec codec_scan, codec_scan_page, codec_range, codec_range_page;    /* scan.c */
extern const struct codec codec_status, codec_stats, codec_fault, codec_fault_reply;     /* operator.c */
extern const struct codec codec_write, codec_write_ack, codec_read, codec_read_reply;    /* replica.c */
extern const struct codec codec_heartbeat, codec_list;                                   /* hub.c */
extern const struct codec codec_probe, codec_sync;                                       /* membership.c */
extern const struct codec codec_paxos, codec_change, codec_change_reply, codec_progress; /* change.c */
extern const struct codec codec_pull, codec_rows;                                        /* transfer.c */
extern const struct codec codec_roots, codec_leaves, codec_compare, codec_compared, codec_merge, codec_merged,
    codec_repair_reply;                                   /* entropy.c */
extern const struct codec codec_purge, codec_purge_reply; /* purge.c */

#endif
