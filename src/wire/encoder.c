/* The sending half of codec.h. */
#include "wire/codec.h"

#include "base/assert.h"
#include "kv_error.h"

/* Field 15, length-delimited, is one byte: (15 << 3) | 2. And a 32-bit length takes at most five. */
#define LIST_TAG         0x7au
#define VARINT_MAX_BYTES 5u

ProtobufCBinaryData wire_bytes(struct bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.len, .data = (uint8_t *)bytes.data};
}

ProtobufCBinaryData wire_text(const char *text)
{
    return wire_bytes(bytes_str(text ? text : ""));
}

Gureum__Addr wire_addr(const struct addr *a)
{
    Gureum__Addr out = GUREUM__ADDR__INIT;
    out.host = wire_text(a->host);
    out.port = a->port;
    return out;
}

ProtobufCBinaryData wire_key(struct encoder *e, struct bytes key)
{
    if (key.len > KEY_MAX_BYTES && !e->error)
        e->error = KV_E_TOO_LARGE;
    return wire_bytes(key);
}

Gureum__Cursor wire_cursor(struct encoder *e, const struct cursor *c)
{
    Gureum__Cursor out = GUREUM__CURSOR__INIT;
    out.token = c->token;
    out.key = wire_key(e, c->key);
    return out;
}

Gureum__Row *wire_row(const struct row *row, Gureum__Row *store)
{
    if (row_is_absent(row)) {
        KV_ASSERT(!row->payload);
        return NULL;
    }
    *store = (Gureum__Row)GUREUM__ROW__INIT;
    store->kind = row->kind;
    store->flags = row->flags;
    store->raw_size = row->raw_size;
    store->hlc = row->stamp.hlc;
    store->origin = row->stamp.origin;
    store->expires_hlc = row->expires_hlc;
    store->payload_size = row->payload ? row->payload->len : 0;
    return store;
}

void wire_put_body(struct encoder *e, const void *body)
{
    if (e->error)
        return;
    size_t size = protobuf_c_message_get_packed_size(body);
    e->error = buf_reserve(e->out, size);
    if (e->error)
        return;
    size_t packed = protobuf_c_message_pack(body, e->out->data + e->out->len);
    KV_ASSERT(packed == size);
    e->out->len += size;
}

bool wire_put_list(struct encoder *e, uint32_t count, uint32_t max)
{
    if (count > max && !e->error)
        e->error = KV_E_TOO_LARGE;
    return !e->error;
}

void wire_put_item(struct encoder *e, const void *item)
{
    if (e->error)
        return;
    size_t size = protobuf_c_message_get_packed_size(item);
    if (size > WIRE_BODY_MAX_BYTES) {
        e->error = KV_E_TOO_LARGE;
        return;
    }
    e->error = buf_reserve(e->out, 1 + VARINT_MAX_BYTES + size);
    if (e->error)
        return;
    uint8_t *p = e->out->data + e->out->len;
    *p++ = LIST_TAG;
    size_t rest = size;
    for (; rest >= 0x80; rest >>= 7)
        *p++ = (uint8_t)(rest | 0x80);
    *p++ = (uint8_t)rest;
    p += protobuf_c_message_pack(item, p);
    e->out->len = (size_t)(p - e->out->data);
}

void wire_put_payload(struct encoder *e, struct blob *payload)
{
    if (e->error || !payload || payload->len == 0)
        return;
    KV_ASSERT(e->frame->payload_count < WIRE_PAYLOADS_MAX);
    e->frame->payloads[e->frame->payload_count++] = payload;
}
