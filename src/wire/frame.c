/* Frames: the fixed header, and the way from a message to bytes and back through its codec (see wire.h for
 * the layout). */
#include "wire/codec.h"

#include "base/assert.h"
#include "kv_error.h"
#include "model/pack.h"

/* Where the header's fields are. */
enum {
    AT_LENGTH = 0,
    AT_VERSION = 4,
    AT_TYPE = 5,
    AT_RESERVED = 6, /* two zero bytes */
    AT_ID = 8,
    AT_CLUSTER = 16,
    AT_EPOCH = 24,
    AT_HLC = 32,
    AT_BODY_SIZE = 40,
};

#define LENGTH_BYTES 4u                                 /* the length itself, which it does not count */
#define COUNTED      (WIRE_HEADER_BYTES - LENGTH_BYTES) /* what it always counts */

static void header_write(const struct message *m, uint32_t body_size, uint32_t payload_bytes,
                         uint8_t out[WIRE_HEADER_BYTES])
{
    be32_put(out + AT_LENGTH, COUNTED + body_size + payload_bytes);
    out[AT_VERSION] = PROTOCOL_VERSION;
    out[AT_TYPE] = (uint8_t)m->type;
    out[AT_RESERVED] = 0;
    out[AT_RESERVED + 1] = 0;
    be64_put(out + AT_ID, m->id);
    be64_put(out + AT_CLUSTER, m->cluster);
    be64_put(out + AT_EPOCH, m->ring_epoch);
    be64_put(out + AT_HLC, m->hlc);
    be32_put(out + AT_BODY_SIZE, body_size);
}

int wire_decode_header(const uint8_t bytes[WIRE_HEADER_BYTES], uint32_t frame_max, struct wire_header *out)
{
    *out = (struct wire_header){
        .length = be32_get(bytes + AT_LENGTH),
        .body_size = be32_get(bytes + AT_BODY_SIZE),
        .version = bytes[AT_VERSION],
        .type = bytes[AT_TYPE],
        .id = be64_get(bytes + AT_ID),
        .cluster = be64_get(bytes + AT_CLUSTER),
        .ring_epoch = be64_get(bytes + AT_EPOCH),
        .hlc = be64_get(bytes + AT_HLC),
    };
    if (out->version != PROTOCOL_VERSION)
        return KV_E_VERSION;
    if (out->length > frame_max)
        return KV_E_TOO_LARGE;
    if (out->length < COUNTED || !codec_of(out->type) || out->body_size > out->length - COUNTED)
        return KV_E_MALFORMED;
    if (out->body_size > WIRE_BODY_MAX_BYTES)
        return KV_E_TOO_LARGE;
    return bytes[AT_RESERVED] || bytes[AT_RESERVED + 1] ? KV_E_MALFORMED : KV_OK;
}

/* Body and payloads into `e`, behind the room left for the header at `start`. */
static int encode_behind(struct encoder *e, const struct message *m, size_t start)
{
    const struct codec *codec = codec_of(m->type);
    KV_ASSERT(codec);
    codec->encode(e, m);
    if (e->error)
        return e->error;
    size_t body_size = e->out->len - start - WIRE_HEADER_BYTES;
    if (body_size > WIRE_BODY_MAX_BYTES)
        return KV_E_TOO_LARGE;
    size_t payload_bytes = 0;
    for (uint32_t i = 0; i < e->frame->payload_count; i++)
        payload_bytes += e->frame->payloads[i]->len;
    if (payload_bytes > PACK_MAX_BYTES)
        return KV_E_TOO_LARGE;
    header_write(m, (uint32_t)body_size, (uint32_t)payload_bytes, e->out->data + start);
    return KV_OK;
}

int wire_encode(const struct message *m, struct buf *out, struct wire_frame *frame)
{
    size_t start = out->len;
    frame->payload_count = 0;
    int error = buf_reserve(out, WIRE_HEADER_BYTES);
    if (error)
        return error;
    out->len += WIRE_HEADER_BYTES;
    struct encoder e = {.out = out, .frame = frame};
    error = encode_behind(&e, m, start);
    if (error) {
        out->len = start;
        frame->payload_count = 0;
    }
    return error;
}

/* protobuf-c's allocator on the decoder's arena. What it gives up is reclaimed with the arena. */
static void *arena_malloc(void *decoder, size_t size)
{
    struct decoder *d = decoder;
    void *p = arena_alloc(d->arena, size);
    if (!p)
        wire_fail(d, KV_E_NO_MEMORY);
    return p;
}

static void arena_free(void *decoder, void *p)
{
    (void)decoder;
    (void)p;
}

static void decode_body(struct decoder *d, const struct codec *codec, struct bytes body, struct message *out)
{
    ProtobufCAllocator allocator = {arena_malloc, arena_free, d};
    const void *unpacked = protobuf_c_message_unpack(codec->body, &allocator, body.len, body.data);
    if (!unpacked) {
        wire_fail(d, KV_E_MALFORMED); /* unless the arena already said that it is full */
        return;
    }
    codec->decode(d, unpacked, out);
    if (d->payload)
        wire_fail(d, KV_E_MALFORMED); /* bytes that no field speaks of */
}

int wire_decode(const struct wire_header *h, struct bytes body, struct blob *payload,
                uint32_t value_max_bytes, struct arena *arena, struct message *out)
{
    KV_ASSERT(body.len == h->body_size && blob_bytes(payload).len == wire_payload_bytes(h));
    const struct codec *codec = codec_of(h->type);
    KV_ASSERT(codec);
    *out = (struct message){
        .type = h->type, .id = h->id, .cluster = h->cluster, .ring_epoch = h->ring_epoch, .hlc = h->hlc};
    struct decoder d = {.arena = arena,
                        .payload = blob_bytes(payload).len ? payload : NULL,
                        .value_max_bytes = value_max_bytes};
    decode_body(&d, codec, body, out);
    if (d.error) {
        message_release(out);
        *out = (struct message){.type = MSG_NONE};
    }
    return d.error;
}

int wire_decode_datagram(struct bytes datagram, struct arena *arena, struct message *out)
{
    *out = (struct message){.type = MSG_NONE};
    if (datagram.len > DATAGRAM_MAX_BYTES)
        return KV_E_TOO_LARGE;
    if (datagram.len < WIRE_HEADER_BYTES)
        return KV_E_MALFORMED;
    struct wire_header h;
    int error = wire_decode_header(datagram.data, DATAGRAM_MAX_BYTES, &h);
    if (error)
        return error;
    if (h.length != datagram.len - LENGTH_BYTES || wire_payload_bytes(&h) != 0)
        return KV_E_MALFORMED;
    return wire_decode(&h, bytes_of(datagram.data + WIRE_HEADER_BYTES, h.body_size), NULL, 0, arena, out);
}
