/* The receiving half of codec.h: everything that arrives passes one of these before anybody uses it. */
#include "wire/codec.h"

#include "kv_error.h"

void wire_fail(struct decoder *d, int error)
{
    if (!d->error)
        d->error = error;
}

uint32_t wire_take_u32(struct decoder *d, uint32_t value, uint32_t max)
{
    if (value <= max)
        return value;
    wire_fail(d, KV_E_MALFORMED);
    return 0;
}

uint8_t wire_take_u8(struct decoder *d, uint32_t value, uint8_t max)
{
    return (uint8_t)wire_take_u32(d, value, max);
}

int32_t wire_take_status(struct decoder *d, int32_t status)
{
    switch (status) {
#define STATUS_CASE(name, value, word, text) case (value):
        KV_ERROR_TABLE(STATUS_CASE)
#undef STATUS_CASE
        return status;
    default: wire_fail(d, KV_E_MALFORMED); return KV_E_MALFORMED;
    }
}

/* Control characters would let a stranger write lines into our logs and terminals. */
static bool is_text(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] < 0x20 || p[i] == 0x7f)
            return false;
    return true;
}

const char *wire_take_text(struct decoder *d, ProtobufCBinaryData text, size_t max)
{
    if (text.len == 0)
        return "";
    if (text.len > max || !is_text(text.data, text.len)) {
        wire_fail(d, KV_E_MALFORMED);
        return "";
    }
    char *copy = arena_alloc(d->arena, text.len + 1);
    if (!copy) {
        wire_fail(d, KV_E_NO_MEMORY);
        return "";
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

const char *wire_take_name(struct decoder *d, ProtobufCBinaryData name, enum wire_name kind)
{
    const char *text = wire_take_text(d, name, NAME_MAX_BYTES);
    bool empty_is_fine = kind == WIRE_NAME_OR_EMPTY && name.len == 0;
    if (!empty_is_fine && !name_ok(text))
        wire_fail(d, KV_E_MALFORMED);
    return text;
}

struct addr wire_take_addr(struct decoder *d, const Gureum__Addr *a)
{
    struct addr out = {.port = 0};
    if (!a || (a->host.len == 0 && a->port == 0))
        return out;
    if (a->host.len >= 1 && a->host.len <= HOST_MAX_BYTES) {
        memcpy(out.host, a->host.data, a->host.len);
        out.port = (uint16_t)wire_take_u32(d, a->port, UINT16_MAX);
    }
    /* A NUL inside would make two texts of one address. */
    if (strlen(out.host) != a->host.len || !addr_ok(&out)) {
        wire_fail(d, KV_E_MALFORMED);
        return (struct addr){.port = 0};
    }
    return out;
}

struct bytes wire_take_prefix(struct decoder *d, ProtobufCBinaryData prefix)
{
    if (prefix.len <= KEY_MAX_BYTES)
        return bytes_of(prefix.data, prefix.len);
    wire_fail(d, KV_E_TOO_LARGE);
    return (struct bytes){NULL, 0};
}

struct bytes wire_take_key(struct decoder *d, ProtobufCBinaryData key)
{
    if (key.len == 0)
        wire_fail(d, KV_E_MALFORMED);
    return wire_take_prefix(d, key);
}

struct cursor wire_take_cursor(struct decoder *d, const Gureum__Cursor *c)
{
    if (!c)
        return (struct cursor){0};
    return (struct cursor){.token = c->token, .key = wire_take_prefix(d, c->key)};
}

struct blob *wire_take_payload(struct decoder *d, uint32_t size)
{
    if (size == 0)
        return NULL;
    if (!d->payload || d->payload->len != size) {
        wire_fail(d, KV_E_MALFORMED);
        return NULL;
    }
    struct blob *payload = d->payload;
    d->payload = NULL;
    return blob_ref(payload);
}

/* A row whose payload was rightly left out: row_check would miss it, the model's reader of bare headers does
 * not. */
static int check_header(const struct row *row, uint32_t value_max_bytes)
{
    if (row->raw_size == 0)
        return row_check(row, value_max_bytes); /* nothing is missing */
    uint8_t header[ROW_HEADER_BYTES];
    struct row same;
    row_encode_header(row, header);
    if (row_decode_header(bytes_of(header, sizeof header), &same) || (row->flags & ROW_TOMBSTONE))
        return KV_E_INVALID;
    return row->raw_size > value_max_bytes ? KV_E_TOO_LARGE : KV_OK;
}

struct row wire_take_row(struct decoder *d, const Gureum__Row *row, enum wire_row kind)
{
    if (!row) {
        if (kind != WIRE_ROW_ANY)
            wire_fail(d, KV_E_MALFORMED);
        return row_absent();
    }
    struct row out = {
        .kind = wire_take_u8(d, row->kind, UINT8_MAX),
        .flags = wire_take_u8(d, row->flags, UINT8_MAX),
        .raw_size = row->raw_size,
        .stamp = {.hlc = row->hlc, .origin = row->origin},
        .expires_hlc = row->expires_hlc,
    };
    if (kind == WIRE_ROW_HEADER)
        (void)wire_take_u32(d, row->payload_size, 0);
    else
        out.payload = wire_take_payload(d, row->payload_size);
    bool whole = kind == WIRE_ROW_WHOLE || row->payload_size != 0;
    int status = whole ? row_check(&out, d->value_max_bytes) : check_header(&out, d->value_max_bytes);
    if (status)
        wire_fail(d, status == KV_E_TOO_LARGE ? KV_E_TOO_LARGE : KV_E_MALFORMED);
    return out;
}

void *wire_take_list(struct decoder *d, size_t count, uint32_t max, size_t item_size)
{
    if (count == 0 || d->error)
        return NULL;
    if (count > max) {
        wire_fail(d, KV_E_TOO_LARGE);
        return NULL;
    }
    void *list = arena_alloc(d->arena, count * item_size);
    if (!list)
        wire_fail(d, KV_E_NO_MEMORY);
    return list;
}
