/* Messages to bytes and back (DESIGN section 9). A frame:
 *
 *     0        4        5      6     8        16         24       32    40
 *     | length | version| type | 0 0 | id     | cluster  | epoch  | hlc | body ... | payloads ...
 *
 * length (big-endian, like all of the header) counts what follows it; `body_size` is the first 4 bytes of the
 * body part, then the protobuf message, then raw payloads whose sizes the message names. So a value is never
 * copied: it is written from its blob and read straight into one. A datagram is a frame without payloads.
 *
 * Every length is checked before it is believed, unpacking runs in a bounded arena, and generated types never
 * leave this folder. */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "model/message.h"

#define WIRE_HEADER_BYTES 44u /* with body_size */

/* Largest arena one message may take while it is unpacked: hostile bytes cost no more than this. */
#define WIRE_ARENA_MAX_BYTES (4u << 20)

/* Largest body, payloads not counted: a page of SCAN_PAGE_MAX_BYTES of keys and their rows fits, and a table
 * of MEMBERS_MAX members. */
#define WIRE_BODY_MAX_BYTES (512u << 10)

/* One message, ready to be written with one gathered write: `head` (header, body) and the payloads, in order.
 */
#define WIRE_PAYLOADS_MAX 4u
struct wire_frame {
    uint32_t payload_count;
    struct blob *payloads[WIRE_PAYLOADS_MAX]; /* references taken from the message's own: valid as long as
                                                 they are held */
};

/* Appends header and body to `out` and lists the payloads that must follow it (borrowed from `m`, not
 * referenced). Messages whose payload is not a blob of their own are whole in `out`. KV_E_NO_MEMORY,
 * KV_E_TOO_LARGE. */
int wire_encode(const struct message *m, struct buf *out, struct wire_frame *frame);

/* What a header says, before anything is allocated. */
struct wire_header {
    uint32_t length;    /* bytes after the first four */
    uint32_t body_size; /* of the protobuf message */
    uint8_t version;
    uint8_t type;
    uint64_t id;
    uint64_t cluster;
    uint64_t ring_epoch;
    uint64_t hlc;
};

/* Reads WIRE_HEADER_BYTES and checks them: KV_E_VERSION (other version, the rest of `out` is still filled),
 * KV_E_TOO_LARGE (length above `frame_max`, body above its limit), KV_E_MALFORMED (unknown type, sizes that
 * contradict each other).
 */
int wire_decode_header(const uint8_t bytes[WIRE_HEADER_BYTES], uint32_t frame_max, struct wire_header *out);

/* Bytes of payload behind the body. */
static inline uint32_t wire_payload_bytes(const struct wire_header *h)
{
    return h->length - (WIRE_HEADER_BYTES - 4) - h->body_size;
}

/* Decodes a body whose header was found good. `payload` holds all payload bytes of the frame, in one blob
 * (NULL when there are none), of which `out` takes references or, when a message has several payloads,
 * copies. Strings and lists of `out` live in `arena`; byte strings of the body are copied there too, so
 * `body` may be reused. On success message_release(out) is due; on error nothing is. KV_E_MALFORMED,
 * KV_E_TOO_LARGE, KV_E_NO_MEMORY. `value_max_bytes` bounds declared raw sizes.
 *
 * What `out` says is within the limits of its fields and of model/limits.h; texts hold no control characters;
 * a row is absent, or row_check holds for it, or (RESPONSE, READ_REPLY, pages) it has a raw_size and no
 * payload: a header only. */
int wire_decode(const struct wire_header *h, struct bytes body, struct blob *payload,
                uint32_t value_max_bytes, struct arena *arena, struct message *out);

/* A datagram: a whole frame without payloads in at most DATAGRAM_MAX_BYTES. Errors of both of the above. */
int wire_decode_datagram(struct bytes datagram, struct arena *arena, struct message *out);

/* Values at rest and on the wire (DESIGN section 3): lz4 from COMPRESS_MIN_BYTES on, raw when that saves
 * under 1/8. Fills flags, raw_size and payload of `row` from `value`; KV_E_NO_MEMORY,
 * KV_E_TOO_LARGE above VALUE_MAX_CEILING_BYTES. */
int wire_pack_value(struct bytes value, struct row *row);

/* The value of a row: a blob with a reference for the caller (the row's own when it is raw). NULL blob for
 * the empty value. KV_E_CORRUPT when it does not inflate to exactly raw_size; KV_E_TOO_LARGE above
 * `value_max_bytes`. */
int wire_unpack_value(const struct row *row, uint32_t value_max_bytes, struct blob **out);

#endif
