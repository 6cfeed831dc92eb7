/* The ring value: checked, encoded, hashed (see ring_value.h).
 *
 * Encoded (big-endian), one header, then every member in order of id; a text is one byte of length and its
 * bytes:
 *
 *     0         1       2       10   14   18        22
 *     | version | phase | epoch | Q  | N  | next_id | count | member ...
 *
 *     0    4          12       16     18
 *     | id | store_id | weight | port | name | zone | host
 *
 * Each value has exactly one encoding: decoding refuses what ring_value_check refuses, and bytes that are
 * left over. */
#include "model/ring_value.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "kv_error.h"

#define VALUE_VERSION      1u
#define VALUE_HEADER_BYTES 26u
#define MEMBER_FIXED_BYTES 18u
#define MEMBER_MIN_BYTES   (MEMBER_FIXED_BYTES + 3 + 1) /* only the name cannot be empty */
#define MEMBER_MAX_BYTES   (MEMBER_FIXED_BYTES + 3 + 2 * NAME_MAX_BYTES + HOST_MAX_BYTES)

void ring_value_deinit(struct ring_value *v)
{
    free(v->members);
    *v = (struct ring_value){0};
}

int ring_value_copy(const struct ring_value *from, struct ring_value *to)
{
    struct ring_value copy = *from;
    copy.members = NULL;
    if (from->member_count > 0) {
        copy.members = calloc(from->member_count, sizeof *copy.members);
        if (!copy.members)
            return KV_E_NO_MEMORY;
        memcpy(copy.members, from->members, from->member_count * sizeof *copy.members);
    }
    *to = copy;
    return KV_OK;
}

/* ---- what can be a ring ---------------------------------------------------------------------- */

static bool is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* Not known yet, or a whole one. */
static bool addr_known_or_empty(const struct addr *a)
{
    return addr_ok(a) || (a->host[0] == '\0' && a->port == 0);
}

static bool member_ok(const struct member *m)
{
    return m->id != 0 && name_ok(m->name) && (m->zone[0] == '\0' || name_ok(m->zone)) &&
           addr_known_or_empty(&m->addr) && m->weight >= 1 && m->weight <= WEIGHT_MAX;
}

/* A small hash table on the stack: comparing all pairs of a thousand names takes milliseconds. */
static bool names_distinct(const struct ring_value *v)
{
    uint16_t slots[2 * MEMBERS_MAX] = {0}; /* index + 1; 0: free */
    for (uint32_t i = 0; i < v->member_count; i++) {
        const char *name = v->members[i].name;
        uint32_t at = (uint32_t)hash64(bytes_str(name)) % (2 * MEMBERS_MAX);
        for (; slots[at] != 0; at = (at + 1) % (2 * MEMBERS_MAX))
            if (strcmp(v->members[slots[at] - 1].name, name) == 0)
                return false;
        slots[at] = (uint16_t)(i + 1);
    }
    return true;
}

static bool header_ok(const struct ring_value *v)
{
    return v->epoch != 0 && is_power_of_two(v->partitions) && v->partitions <= RING_PARTITIONS_MAX &&
           v->replicas >= 1 && v->replicas <= REPLICAS_MAX && v->phase <= RING_SWITCH &&
           v->member_count >= 1 && v->member_count <= MEMBERS_MAX;
}

int ring_value_check(const struct ring_value *v)
{
    if (!header_ok(v))
        return KV_E_INVALID;
    uint32_t last_id = 0;
    for (uint32_t i = 0; i < v->member_count; i++) {
        const struct member *m = &v->members[i];
        if (!member_ok(m) || m->id <= last_id || m->id >= v->next_id)
            return KV_E_INVALID;
        last_id = m->id;
    }
    return names_distinct(v) ? KV_OK : KV_E_INVALID;
}

/* ---- encoding -------------------------------------------------------------------------------- */

static void encode_header(const struct ring_value *v, uint8_t out[VALUE_HEADER_BYTES])
{
    out[0] = VALUE_VERSION;
    out[1] = v->phase;
    be64_put(out + 2, v->epoch);
    be32_put(out + 10, v->partitions);
    be32_put(out + 14, v->replicas);
    be32_put(out + 18, v->next_id);
    be32_put(out + 22, v->member_count);
}

static uint8_t *put_text(uint8_t *at, struct bytes text)
{
    KV_ASSERT(text.len <= UINT8_MAX);
    *at++ = (uint8_t)text.len;
    memcpy(at, text.data, text.len);
    return at + text.len;
}

/* Returns the bytes written. */
static size_t encode_member(const struct member *m, uint8_t out[MEMBER_MAX_BYTES])
{
    be32_put(out, m->id);
    be64_put(out + 4, m->store_id);
    be32_put(out + 12, m->weight);
    out[16] = (uint8_t)(m->addr.port >> 8);
    out[17] = (uint8_t)m->addr.port;
    uint8_t *at = put_text(out + MEMBER_FIXED_BYTES, bytes_str(m->name));
    at = put_text(at, bytes_str(m->zone));
    at = put_text(at, bytes_str(m->addr.host));
    return (size_t)(at - out);
}

int ring_value_encode(const struct ring_value *v, struct buf *out)
{
    /* All the room first: no half value is left behind when memory runs out. */
    int status = buf_reserve(out, VALUE_HEADER_BYTES + (size_t)v->member_count * MEMBER_MAX_BYTES);
    if (status != KV_OK)
        return status;
    uint8_t piece[MEMBER_MAX_BYTES];
    encode_header(v, piece);
    status = buf_append(out, bytes_of(piece, VALUE_HEADER_BYTES));
    for (uint32_t i = 0; status == KV_OK && i < v->member_count; i++)
        status = buf_append(out, bytes_of(piece, encode_member(&v->members[i], piece)));
    return status;
}

uint64_t ring_value_hash(const struct ring_value *v)
{
    uint8_t piece[MEMBER_MAX_BYTES];
    encode_header(v, piece);
    uint64_t hash = hash64(bytes_of(piece, VALUE_HEADER_BYTES));
    for (uint32_t i = 0; i < v->member_count; i++)
        hash = hash64_seeded(bytes_of(piece, encode_member(&v->members[i], piece)), hash);
    return hash;
}

/* ---- decoding -------------------------------------------------------------------------------- */

static int decode_header(struct bytes *in, struct ring_value *v)
{
    struct bytes h;
    int status = bytes_take(in, VALUE_HEADER_BYTES, &h);
    if (status != KV_OK)
        return status;
    v->phase = h.data[1];
    v->epoch = be64_get(h.data + 2);
    v->partitions = be32_get(h.data + 10);
    v->replicas = be32_get(h.data + 14);
    v->next_id = be32_get(h.data + 18);
    v->member_count = be32_get(h.data + 22);
    return h.data[0] == VALUE_VERSION && header_ok(v) ? KV_OK : KV_E_MALFORMED;
}

static int take_text(struct bytes *in, size_t max, char *out)
{
    uint8_t len;
    struct bytes text;
    if (bytes_take_byte(in, &len) != KV_OK || len > max || bytes_take(in, len, &text) != KV_OK)
        return KV_E_MALFORMED;
    if (len == 0)
        return KV_OK; /* the member was zeroed */
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
    m->id = be32_get(fixed.data);
    m->store_id = be64_get(fixed.data + 4);
    m->weight = be32_get(fixed.data + 12);
    m->addr.port = (uint16_t)(fixed.data[16] << 8 | fixed.data[17]);
    if ((status = take_text(in, NAME_MAX_BYTES, m->name)) != KV_OK ||
        (status = take_text(in, NAME_MAX_BYTES, m->zone)) != KV_OK)
        return status;
    return take_text(in, HOST_MAX_BYTES, m->addr.host);
}

int ring_value_decode(struct bytes in, struct ring_value *out)
{
    struct ring_value v = {0};
    *out = v;
    int status = decode_header(&in, &v);
    if (status != KV_OK)
        return status;
    /* No more is allocated than the bytes that came can fill. */
    if (in.len < (size_t)v.member_count * MEMBER_MIN_BYTES)
        return KV_E_MALFORMED;
    v.members = calloc(v.member_count, sizeof *v.members);
    if (!v.members)
        return KV_E_NO_MEMORY;
    for (uint32_t i = 0; i < v.member_count; i++)
        if ((status = decode_member(&in, &v.members[i])) != KV_OK)
            goto fail;
    status = in.len == 0 && ring_value_check(&v) == KV_OK ? KV_OK : KV_E_MALFORMED;
    if (status != KV_OK)
        goto fail;
    *out = v;
    return KV_OK;
fail:
    ring_value_deinit(&v);
    return status;
}

/* ---- looking up ------------------------------------------------------------------------------ */

const struct member *ring_value_find(const struct ring_value *v, uint32_t id)
{
    uint32_t low = 0, high = v->member_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->members[middle].id == id)
            return &v->members[middle];
        if (v->members[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct member *ring_value_find_name(const struct ring_value *v, const char *name)
{
    for (uint32_t i = 0; i < v->member_count; i++)
        if (strcmp(v->members[i].name, name) == 0)
            return &v->members[i];
    return NULL;
}
