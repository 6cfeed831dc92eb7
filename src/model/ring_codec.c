/* The encoding of a ring value (see ring_value.h), big-endian: one header, then every member in order of id,
 * then the changes asked for. A text is one byte of length and its bytes.
 *
 *     0         1       2       3       4       12      20             28  32  36        40
 *     | version | phase | flags | queue | epoch | since | source epoch | Q | N | next_id | count |
 *
 *     hub:     | id |     with FLAG_CENTRAL or FLAG_DIRECTORY only
 *
 *     member:  0    4          12       16           20      21     23
 *              | id | store_id | weight | old weight | flags | port | name | zone | old zone | host
 *
 *     change:  0      1        5          13       17     19
 *              | kind | member | store_id | weight | port | name | zone | host
 *
 * Each value has exactly one encoding: decoding refuses what ring_value_check refuses, flags that do not
 * exist, and bytes that are left over. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "kv_error.h"
#include "model/ring_value.h"

#define VALUE_VERSION      2u
#define VALUE_HEADER_BYTES 44u
#define VALUE_HUB_BYTES    4u
#define MEMBER_FIXED_BYTES 23u
#define MEMBER_MIN_BYTES   (MEMBER_FIXED_BYTES + 4 + 1) /* only the name cannot be empty */
#define MEMBER_MAX_BYTES   (MEMBER_FIXED_BYTES + 4 + 3 * NAME_MAX_BYTES + HOST_MAX_BYTES)
#define CHANGE_FIXED_BYTES 19u
#define CHANGE_MAX_BYTES   (CHANGE_FIXED_BYTES + 3 + 2 * NAME_MAX_BYTES + HOST_MAX_BYTES)

#define FLAG_UNDO      1u /* of the value */
#define FLAG_SWITCHED  2u
#define FLAG_CENTRAL   4u
#define FLAG_DIRECTORY 8u
#define FLAGS_ALL      (FLAG_UNDO | FLAG_SWITCHED | FLAG_CENTRAL | FLAG_DIRECTORY)
#define FLAG_DEAD      1u /* of a member */

/* ---- encoding -------------------------------------------------------------------------------- */

static uint8_t encode_flags(const struct ring_value *v)
{
    static const uint8_t topologies[] = {0, FLAG_CENTRAL, FLAG_DIRECTORY};
    KV_ASSERT(v->topology <= TOPOLOGY_DIRECTORY);
    return (uint8_t)((v->undo ? FLAG_UNDO : 0) | (v->switched ? FLAG_SWITCHED : 0) | topologies[v->topology]);
}

/* With the hub, if there is one. Returns the bytes written. */
static size_t encode_header(const struct ring_value *v, uint8_t out[VALUE_HEADER_BYTES + VALUE_HUB_BYTES])
{
    out[0] = VALUE_VERSION;
    out[1] = v->phase;
    out[2] = encode_flags(v);
    KV_ASSERT(v->queue_count <= RING_QUEUE_MAX);
    out[3] = (uint8_t)v->queue_count;
    be64_put(out + 4, v->epoch);
    be64_put(out + 12, v->since);
    be64_put(out + 20, v->source_epoch);
    be32_put(out + 28, v->partitions);
    be32_put(out + 32, v->replicas);
    be32_put(out + 36, v->next_id);
    be32_put(out + 40, v->member_count);
    if (v->topology == TOPOLOGY_RING)
        return VALUE_HEADER_BYTES;
    be32_put(out + VALUE_HEADER_BYTES, v->hub);
    return VALUE_HEADER_BYTES + VALUE_HUB_BYTES;
}

static void put_port(uint8_t *at, uint16_t port)
{
    at[0] = (uint8_t)(port >> 8);
    at[1] = (uint8_t)port;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t len = strlen(text);
    KV_ASSERT(len <= UINT8_MAX);
    *at++ = (uint8_t)len;
    memcpy(at, text, len);
    return at + len;
}

/* Each returns the bytes written. */

static size_t encode_member(const struct member *m, uint8_t out[MEMBER_MAX_BYTES])
{
    be32_put(out, m->id);
    be64_put(out + 4, m->store_id);
    be32_put(out + 12, m->weight);
    be32_put(out + 16, m->old_weight);
    out[20] = m->dead ? FLAG_DEAD : 0;
    put_port(out + 21, m->addr.port);
    uint8_t *at = put_text(out + MEMBER_FIXED_BYTES, m->name);
    at = put_text(at, m->zone);
    at = put_text(at, m->old_zone);
    at = put_text(at, m->addr.host);
    return (size_t)(at - out);
}

static size_t encode_change(const struct ring_change *c, uint8_t out[CHANGE_MAX_BYTES])
{
    out[0] = c->kind;
    be32_put(out + 1, c->member);
    be64_put(out + 5, c->store_id);
    be32_put(out + 13, c->weight);
    put_port(out + 17, c->addr.port);
    uint8_t *at = put_text(out + CHANGE_FIXED_BYTES, c->name);
    at = put_text(at, c->zone);
    at = put_text(at, c->addr.host);
    return (size_t)(at - out);
}

int ring_value_encode(const struct ring_value *v, struct buf *out)
{
    /* All the room first: no half value is left behind when memory runs out. */
    size_t most = VALUE_HEADER_BYTES + VALUE_HUB_BYTES + (size_t)v->member_count * MEMBER_MAX_BYTES +
                  (size_t)v->queue_count * CHANGE_MAX_BYTES;
    int status = buf_reserve(out, most);
    if (status != KV_OK)
        return status;
    uint8_t piece[MEMBER_MAX_BYTES];
    _Static_assert(sizeof piece >= VALUE_HEADER_BYTES + VALUE_HUB_BYTES && sizeof piece >= CHANGE_MAX_BYTES,
                   "any piece fits");
    status = buf_append(out, bytes_of(piece, encode_header(v, piece)));
    for (uint32_t i = 0; status == KV_OK && i < v->member_count; i++)
        status = buf_append(out, bytes_of(piece, encode_member(&v->members[i], piece)));
    for (uint32_t i = 0; status == KV_OK && i < v->queue_count; i++)
        status = buf_append(out, bytes_of(piece, encode_change(&v->queue[i], piece)));
    return status;
}

uint64_t ring_value_hash(const struct ring_value *v)
{
    uint8_t piece[MEMBER_MAX_BYTES];
    uint64_t hash = hash64(bytes_of(piece, encode_header(v, piece)));
    for (uint32_t i = 0; i < v->member_count; i++)
        hash = hash64_seeded(bytes_of(piece, encode_member(&v->members[i], piece)), hash);
    for (uint32_t i = 0; i < v->queue_count; i++)
        hash = hash64_seeded(bytes_of(piece, encode_change(&v->queue[i], piece)), hash);
    return hash;
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* A hub that is no member fails ring_value_check. */
static int decode_topology(struct bytes *in, uint8_t flags, struct ring_value *v)
{
    struct bytes hub;
    if (!(flags & (FLAG_CENTRAL | FLAG_DIRECTORY)))
        return KV_OK;
    if ((flags & FLAG_CENTRAL) && (flags & FLAG_DIRECTORY))
        return KV_E_MALFORMED;
    int status = bytes_take(in, VALUE_HUB_BYTES, &hub);
    if (status != KV_OK)
        return status;
    v->topology = flags & FLAG_CENTRAL ? TOPOLOGY_CENTRAL : TOPOLOGY_DIRECTORY;
    v->hub = be32_get(hub.data);
    return KV_OK;
}

static int decode_header(struct bytes *in, struct ring_value *v)
{
    struct bytes h;
    int status = bytes_take(in, VALUE_HEADER_BYTES, &h);
    if (status != KV_OK)
        return status;
    if (h.data[0] != VALUE_VERSION || (h.data[2] & ~FLAGS_ALL) != 0)
        return KV_E_MALFORMED;
    v->phase = h.data[1];
    v->undo = h.data[2] & FLAG_UNDO;
    v->switched = h.data[2] & FLAG_SWITCHED;
    v->queue_count = h.data[3];
    v->epoch = be64_get(h.data + 4);
    v->since = be64_get(h.data + 12);
    v->source_epoch = be64_get(h.data + 20);
    v->partitions = be32_get(h.data + 28);
    v->replicas = be32_get(h.data + 32);
    v->next_id = be32_get(h.data + 36);
    v->member_count = be32_get(h.data + 40);
    if (v->queue_count > RING_QUEUE_MAX || v->member_count > MEMBERS_MAX)
        return KV_E_MALFORMED;
    return decode_topology(in, h.data[2], v);
}

static uint16_t get_port(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static int take_text(struct bytes *in, size_t max, char *out)
{
    uint8_t len;
    struct bytes text;
    if (bytes_take_byte(in, &len) != KV_OK || len > max || bytes_take(in, len, &text) != KV_OK)
        return KV_E_MALFORMED;
    if (len == 0)
        return KV_OK; /* what it belongs to was zeroed */
    /* A NUL inside would shorten the text: two encodings of one value. */
    if (memchr(text.data, '\0', len))
        return KV_E_MALFORMED;
    memcpy(out, text.data, len);
    return KV_OK;
}

static int decode_member(struct bytes *in, struct member *m)
{
    struct bytes fixed;
    int status = bytes_take(in, MEMBER_FIXED_BYTES, &fixed);
    if (status != KV_OK)
        return status;
    if ((fixed.data[20] & ~FLAG_DEAD) != 0)
        return KV_E_MALFORMED;
    m->id = be32_get(fixed.data);
    m->store_id = be64_get(fixed.data + 4);
    m->weight = be32_get(fixed.data + 12);
    m->old_weight = be32_get(fixed.data + 16);
    m->dead = fixed.data[20] & FLAG_DEAD;
    m->addr.port = get_port(fixed.data + 21);
    if ((status = take_text(in, NAME_MAX_BYTES, m->name)) != KV_OK ||
        (status = take_text(in, NAME_MAX_BYTES, m->zone)) != KV_OK ||
        (status = take_text(in, NAME_MAX_BYTES, m->old_zone)) != KV_OK)
        return status;
    return take_text(in, HOST_MAX_BYTES, m->addr.host);
}

static int decode_change(struct bytes *in, struct ring_change *c)
{
    struct bytes fixed;
    int status = bytes_take(in, CHANGE_FIXED_BYTES, &fixed);
    if (status != KV_OK)
        return status;
    c->kind = fixed.data[0];
    c->member = be32_get(fixed.data + 1);
    c->store_id = be64_get(fixed.data + 5);
    c->weight = be32_get(fixed.data + 13);
    c->addr.port = get_port(fixed.data + 17);
    if ((status = take_text(in, NAME_MAX_BYTES, c->name)) != KV_OK ||
        (status = take_text(in, NAME_MAX_BYTES, c->zone)) != KV_OK)
        return status;
    return take_text(in, HOST_MAX_BYTES, c->addr.host);
}

int ring_value_decode(struct bytes in, struct ring_value *out)
{
    struct ring_value v = {0};
    *out = v;
    int status = decode_header(&in, &v);
    if (status != KV_OK)
        return status;
    /* No more is allocated than the bytes that came can fill. */
    if (v.member_count == 0 || in.len < (size_t)v.member_count * MEMBER_MIN_BYTES)
        return KV_E_MALFORMED;
    v.members = calloc(v.member_count, sizeof *v.members);
    if (!v.members)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; status == KV_OK && i < v.member_count; i++)
        status = decode_member(&in, &v.members[i]);
    for (uint32_t i = 0; status == KV_OK && i < v.queue_count; i++)
        status = decode_change(&in, &v.queue[i]);
    if (status == KV_OK && (in.len > 0 || ring_value_check(&v) != KV_OK))
        status = KV_E_MALFORMED;
    if (status == KV_OK)
        *out = v;
    else
        ring_value_deinit(&v);
    return status;
}
