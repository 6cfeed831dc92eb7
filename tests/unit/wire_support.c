/* See wire_support.h. */
#include "unit/wire_support.h"

#include "base/assert.h"
#include "kv_error.h"
#include "unit/wire_text.h"

const enum message_type all_types[] = {
    MSG_HELLO,     MSG_WELCOME,       MSG_REFUSED,   MSG_RING_GET,     MSG_RING,         MSG_FOUND,
    MSG_REQUEST,   MSG_RESPONSE,      MSG_SCAN,      MSG_SCAN_PAGE,    MSG_STATUS_GET,   MSG_STATUS,
    MSG_STATS_GET, MSG_STATS,         MSG_FAULT,     MSG_FAULT_REPLY,  MSG_WRITE,        MSG_WRITE_ACK,
    MSG_READ,      MSG_READ_REPLY,    MSG_RANGE,     MSG_RANGE_PAGE,   MSG_PING,         MSG_PING_REQ,
    MSG_ACK,       MSG_NACK,          MSG_SYNC,      MSG_SYNC_REPLY,   MSG_PREPARE,      MSG_PROMISE,
    MSG_ACCEPT,    MSG_ACCEPTED,      MSG_PREEMPTED, MSG_CHANGE,       MSG_CHANGE_REPLY, MSG_PROGRESS,
    MSG_PULL,      MSG_ROWS,          MSG_ROOTS,     MSG_LEAVES,       MSG_COMPARE,      MSG_COMPARED,
    MSG_MERGE,     MSG_MERGED,        MSG_REPAIR,    MSG_REPAIR_REPLY, MSG_PURGE,        MSG_PURGE_REPLY,
    MSG_HEARTBEAT, MSG_HEARTBEAT_ACK, MSG_LIST_GET,  MSG_LIST,
};
const size_t all_types_count = sizeof all_types / sizeof all_types[0];

/* ---- random parts */

static uint64_t any_u64(struct prng *p)
{
    switch (prng_below(p, 6)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return UINT64_MAX;
    default: return prng_u64(p) >> prng_below(p, 64);
    }
}

static uint32_t up_to(struct prng *p, uint32_t max)
{
    switch (prng_below(p, 6)) {
    case 0: return 0;
    case 1: return max;
    default: return (uint32_t)prng_below(p, (uint64_t)max + 1);
    }
}

static uint32_t any_u32(struct prng *p)
{
    return (uint32_t)any_u64(p);
}

static uint8_t any_u8(struct prng *p, uint8_t max)
{
    return (uint8_t)up_to(p, max);
}

static int32_t any_status(struct prng *p)
{
    static const int32_t codes[] = {
#define CODE(name, value, word, text) value,
        KV_ERROR_TABLE(CODE)
#undef CODE
    };
    return codes[prng_below(p, sizeof codes / sizeof codes[0])];
}

static const char *any_text(struct prng *p, struct arena *arena, uint32_t least, uint32_t most,
                            const char *chars)
{
    uint32_t len = least + up_to(p, most - least);
    char *text = arena_alloc(arena, len + 1);
    KV_ASSERT(text);
    for (uint32_t i = 0; i < len; i++)
        text[i] = chars[prng_below(p, strlen(chars))];
    text[len] = '\0';
    return text;
}

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define TEXT_CHARS NAME_CHARS " \"=\xc3\xa9:"

static const char *any_name(struct prng *p, struct arena *arena)
{
    return any_text(p, arena, 1, NAME_MAX_BYTES, NAME_CHARS);
}

/* Known, or not. */
static struct addr any_addr(struct prng *p)
{
    struct addr a = {.port = 0};
    uint32_t len = up_to(p, HOST_MAX_BYTES);
    if (len == 0)
        return a;
    a.port = (uint16_t)(1 + up_to(p, UINT16_MAX - 1));
    for (uint32_t i = 0; i < len; i++)
        a.host[i] = NAME_CHARS[prng_below(p, sizeof NAME_CHARS - 1)];
    return a;
}

static struct bytes any_bytes(struct prng *p, struct arena *arena, uint32_t least, uint32_t most)
{
    uint32_t len = least + up_to(p, most - least);
    uint8_t *data = arena_alloc(arena, len);
    KV_ASSERT(data);
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)prng_u64(p);
    return bytes_of(data, len);
}

static struct blob *any_blob(struct prng *p, size_t len)
{
    if (len == 0)
        return NULL;
    struct blob *blob = blob_create(len);
    KV_ASSERT(blob);
    for (size_t i = 0; i < len; i++)
        blob->data[i] = (uint8_t)prng_u64(p);
    return blob;
}

static struct cursor any_cursor(struct prng *p, struct arena *arena, uint32_t key_max)
{
    return (struct cursor){.token = any_u64(p), .key = any_bytes(p, arena, 0, key_max)};
}

struct row random_row(struct prng *p, size_t value_max)
{
    struct row row = {
        .kind = ROW_REGISTER,
        .stamp = {.hlc = 1 + prng_below(p, UINT64_MAX - 1), .origin = any_u64(p)},
        .expires_hlc = any_u64(p),
    };
    size_t len = up_to(p, (uint32_t)value_max);
    switch (prng_below(p, 3)) {
    case 0: row.flags = ROW_TOMBSTONE; break;
    case 1: /* would not inflate, but could be a block for all that wire_decode may know */
        if (len >= 2) {
            size_t packed = len / 2;
            row.flags = ROW_LZ4;
            row.raw_size = (uint32_t)len;
            row.payload = any_blob(p, packed);
            break;
        } /* fall through */
    default: row.raw_size = (uint32_t)len; row.payload = any_blob(p, len);
    }
    KV_ASSERT(row_check(&row, (uint32_t)value_max) == KV_OK);
    return row;
}

static struct row header_of(struct row row)
{
    blob_unref(row.payload);
    row.payload = NULL;
    return row;
}

/* What an answer may hold: nothing, a header, a row. */
static struct row answer_row(struct prng *p, size_t value_max)
{
    switch (prng_below(p, 3)) {
    case 0: return row_absent();
    case 1: return header_of(random_row(p, value_max));
    default: return random_row(p, value_max);
    }
}

/* ---- random lists and messages */

struct maker {
    struct prng *p;
    struct arena *arena;
    uint32_t key_max;
    uint32_t value_max;
    uint32_t list_max; /* if the list's own limit is not below it */
};

static uint32_t list_count(struct maker *k, uint32_t limit)
{
    return up_to(k->p, limit < k->list_max ? limit : k->list_max);
}

static const struct scan_entry *random_entries(struct maker *k, uint32_t *count)
{
    *count = list_count(k, SCAN_PAGE_MAX);
    struct scan_entry *entries = arena_alloc(k->arena, *count * sizeof *entries);
    uint32_t key_max = k->list_max > 100 ? 200 : k->key_max; /* a page's keys are bounded together */
    for (uint32_t i = 0; i < *count; i++)
        entries[i] = (struct scan_entry){
            .key = any_bytes(k->p, k->arena, 1, key_max),
            .row = header_of(random_row(k->p, 100)),
        };
    return entries;
}

static const struct gossip *random_gossip(struct maker *k, uint32_t *count)
{
    *count = list_count(k, MEMBERS_MAX);
    struct gossip *gossip = arena_alloc(k->arena, *count * sizeof *gossip);
    for (uint32_t i = 0; i < *count; i++)
        gossip[i] = (struct gossip){
            .member = any_u32(k->p),
            .generation = any_u64(k->p),
            .incarnation = any_u32(k->p),
            .state = any_u8(k->p, MEMBER_LEFT),
            .from = any_u32(k->p),
            .addr = any_addr(k->p),
        };
    return gossip;
}

static const struct trace_line *random_trace(struct maker *k, uint8_t *count)
{
    *count = (uint8_t)list_count(k, TRACE_MAX);
    struct trace_line *trace = arena_alloc(k->arena, *count * sizeof *trace);
    for (uint32_t i = 0; i < *count; i++)
        trace[i] = (struct trace_line){
            .at_us = any_u32(k->p),
            .kind = (uint8_t)(TRACE_ASK + prng_below(k->p, TRACE_DECIDE)),
            .member = any_u32(k->p),
            .other = any_u32(k->p),
            .status = any_status(k->p),
            .stamp = {any_u64(k->p), any_u64(k->p)},
        };
    return trace;
}

static const struct status_member *random_members(struct maker *k, uint32_t *count)
{
    *count = list_count(k, MEMBERS_MAX + 8);
    struct status_member *members = arena_alloc(k->arena, *count * sizeof *members);
    for (uint32_t i = 0; i < *count; i++)
        members[i] = (struct status_member){
            .id = any_u32(k->p),
            .name = any_name(k->p, k->arena),
            .zone = any_text(k->p, k->arena, 0, NAME_MAX_BYTES, NAME_CHARS),
            .addr = any_addr(k->p),
            .state = any_u8(k->p, MEMBER_LEFT),
            .in_ring = any_u8(k->p, 1),
            .generation = any_u64(k->p),
            .incarnation = any_u32(k->p),
            .partitions = any_u32(k->p),
            .rtt_us = any_u32(k->p),
            .weight = up_to(k->p, WEIGHT_MAX),
            .ring = any_u8(k->p, RING_STATE_REMOVED),
            .epoch = any_u64(k->p),
            .partitions_done = any_u32(k->p),
            .partitions_total = any_u32(k->p),
            .moved_bytes = any_u64(k->p),
        };
    return members;
}

static const char *const *random_queue(struct maker *k, uint32_t *count)
{
    *count = list_count(k, RING_QUEUE_MAX);
    const char **queue = arena_alloc(k->arena, *count * sizeof *queue);
    for (uint32_t i = 0; i < *count; i++)
        queue[i] = any_text(k->p, k->arena, 0, 255, TEXT_CHARS);
    return queue;
}

static const struct stat_value *random_stats(struct maker *k, uint32_t *count)
{
    *count = list_count(k, 1024);
    struct stat_value *stats = arena_alloc(k->arena, *count * sizeof *stats);
    for (uint32_t i = 0; i < *count; i++)
        stats[i] =
            (struct stat_value){.name = any_text(k->p, k->arena, 0, 63, NAME_CHARS), .value = any_u64(k->p)};
    return stats;
}

static struct msg_fault random_fault(struct prng *p)
{
    return (struct msg_fault){any_u8(p, UINT8_MAX), any_u32(p), any_u32(p), any_u32(p), any_u32(p)};
}

static const struct msg_fault *random_faults(struct maker *k, uint32_t *count)
{
    *count = list_count(k, 256);
    struct msg_fault *rules = arena_alloc(k->arena, *count * sizeof *rules);
    for (uint32_t i = 0; i < *count; i++)
        rules[i] = random_fault(k->p);
    return rules;
}

static void random_connection(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    switch (m->type) {
    case MSG_HELLO: {
        uint8_t role = any_u8(p, ROLE_MEMBER);
        m->hello = (struct msg_hello){
            .role = role,
            .cluster = any_text(p, k->arena, role, NAME_MAX_BYTES, NAME_CHARS),
            .name = any_text(p, k->arena, role, NAME_MAX_BYTES, NAME_CHARS),
            .member_id = any_u32(p),
            .store_id = any_u64(p),
            .generation = any_u64(p),
            .addr = any_addr(p),
            .sequence = any_u64(p),
            .topology = any_u8(p, TOPOLOGY_DIRECTORY),
            .hub = any_text(p, k->arena, 0, NAME_MAX_BYTES, NAME_CHARS),
        };
        break;
    }
    case MSG_WELCOME:
        m->welcome = (struct msg_welcome){
            .cluster = any_name(p, k->arena),
            .name = any_name(p, k->arena),
            .member_id = any_u32(p),
            .store_id = any_u64(p),
            .generation = any_u64(p),
            .wall_ms = any_u64(p),
            .ring_hash = any_u64(p),
            .value_max_bytes = up_to(p, VALUE_MAX_CEILING_BYTES),
            .sequence = any_u64(p),
            .topology = any_u8(p, TOPOLOGY_DIRECTORY),
            .hub = any_u32(p),
            .hub_name = any_text(p, k->arena, 0, NAME_MAX_BYTES, NAME_CHARS),
            .hub_addr = any_addr(p),
        };
        if (m->welcome.hub == 0)
            m->welcome.hub_addr = (struct addr){0};
        break;
    case MSG_REFUSED:
        m->refused = (struct msg_refused){any_status(p), any_text(p, k->arena, 0, 255, TEXT_CHARS)};
        break;
    case MSG_RING: m->ring.value = any_blob(p, up_to(p, k->value_max)); break;
    case MSG_FOUND:
        m->found = (struct msg_found){
            .name = any_name(p, k->arena),
            .store_id = any_u64(p),
            .initial_hash = any_u64(p),
            .accepted_hash = any_u64(p),
            .zone = any_text(p, k->arena, 0, NAME_MAX_BYTES, NAME_CHARS),
            .weight = up_to(p, WEIGHT_MAX),
            .wants_reply = any_u8(p, 1),
        };
        break;
    default: break; /* RING_GET, STATUS_GET, STATS_GET say nothing */
    }
}

static void random_request(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    if (m->type == MSG_REQUEST) {
        uint8_t op = (uint8_t)(OP_GET + prng_below(p, OP_STAMP));
        m->request = (struct msg_request){
            .op = op,
            .flags = any_u8(p, 7),
            .r = any_u8(p, UINT8_MAX),
            .w = any_u8(p, UINT8_MAX),
            .timeout_us = any_u32(p),
            .key = any_bytes(p, k->arena, 1, k->key_max),
            .row = op == OP_PUT ? random_row(p, k->value_max) : row_absent(),
        };
        return;
    }
    m->response = (struct msg_response){
        .status = any_status(p),
        .asked = any_u8(p, UINT8_MAX),
        .acked = any_u8(p, UINT8_MAX),
        .needed = any_u8(p, UINT8_MAX),
        .hinted = any_u8(p, UINT8_MAX),
        .reachable = any_u8(p, UINT8_MAX),
        .proven = any_u8(p, 1),
        .coordinator = any_u32(p),
        .us = any_u32(p),
        .row = answer_row(p, k->value_max),
    };
    m->response.trace = random_trace(k, &m->response.trace_count);
}

static void random_scan(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    struct cursor cursor = any_cursor(p, k->arena, k->key_max);
    struct bytes prefix = any_bytes(p, k->arena, 0, k->key_max);
    switch (m->type) {
    case MSG_SCAN: m->scan = (struct msg_scan){cursor, prefix, any_u32(p), any_u8(p, 1), any_u32(p)}; break;
    case MSG_SCAN_PAGE:
        m->scan_page = (struct msg_scan_page){
            .status = any_status(p), .done = any_u8(p, 1), .complete = any_u8(p, 1), .next = cursor};
        m->scan_page.entries = random_entries(k, &m->scan_page.count);
        break;
    case MSG_RANGE: m->range = (struct msg_range){cursor, prefix, any_u32(p)}; break;
    default:
        m->range_page =
            (struct msg_range_page){.status = any_status(p), .done = any_u8(p, 1), .next = cursor};
        m->range_page.entries = random_entries(k, &m->range_page.count);
    }
}

static void random_operator(struct maker *k, struct message *m)
{
    switch (m->type) {
    case MSG_STATUS:
        m->status = (struct msg_status){
            .cluster = any_name(k->p, k->arena),
            .seen_by = any_u32(k->p),
            .seen_by_name = any_name(k->p, k->arena),
            .ring_hash = any_u64(k->p),
            .ring_epoch = any_u64(k->p),
            .phase = any_u8(k->p, RING_SWITCH),
            .topology = any_u8(k->p, TOPOLOGY_DIRECTORY),
            .hub = any_u32(k->p),
        };
        m->status.queue = random_queue(k, &m->status.queue_count);
        m->status.members = random_members(k, &m->status.count);
        break;
    case MSG_STATS: m->stats.stats = random_stats(k, &m->stats.count); break;
    case MSG_FAULT: m->fault = random_fault(k->p); break;
    default:
        m->fault_reply.status = any_status(k->p);
        m->fault_reply.rules = random_faults(k, &m->fault_reply.count);
    }
}

static void random_replica(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    switch (m->type) {
    case MSG_WRITE:
        m->write = (struct msg_write){
            .key = any_bytes(p, k->arena, 1, k->key_max),
            .row = random_row(p, k->value_max),
            .began_hlc = any_u64(p),
            .flags = any_u8(p, 3),
            .hint_count = any_u8(p, HOLDERS_MAX),
        };
        for (uint8_t i = 0; i < m->write.hint_count; i++)
            m->write.hints[i] = any_u32(p);
        break;
    case MSG_WRITE_ACK: m->write_ack = (struct msg_write_ack){any_status(p), any_u64(p)}; break;
    case MSG_READ: m->read = (struct msg_read){any_bytes(p, k->arena, 1, k->key_max), any_u8(p, 1)}; break;
    default: m->read_reply = (struct msg_read_reply){any_status(p), answer_row(p, k->value_max)};
    }
}

static void random_membership(struct maker *k, struct message *m)
{
    struct prng *p = k->p;
    if (m->type == MSG_HEARTBEAT || m->type == MSG_HEARTBEAT_ACK) {
        m->heartbeat = (struct msg_heartbeat){any_u32(p), any_u64(p), any_u64(p),
                                              any_u8(p, HEARTBEAT_LEAVING | HEARTBEAT_CALL)};
        return;
    }
    if (m->type == MSG_LIST_GET || m->type == MSG_LIST) {
        m->list = (struct msg_list){any_u64(p), any_u64(p), any_u64(p), 0, NULL};
        m->list.members = random_gossip(k, &m->list.count);
        return;
    }
    if (m->type == MSG_SYNC || m->type == MSG_SYNC_REPLY) {
        m->sync.from = any_u32(p);
        m->sync.digest = any_u64(p);
        m->sync.gossip = random_gossip(k, &m->sync.count);
        return;
    }
    m->probe = (struct msg_probe){
        .from = any_u32(p),
        .from_generation = any_u64(p),
        .from_incarnation = any_u32(p),
        .target = any_u32(p),
        .sequence = any_u32(p),
        .target_addr = any_addr(p),
    };
    m->probe.gossip = random_gossip(k, &m->probe.count);
}

#include "unit/wire_random.h"

struct message random_message(struct prng *p, struct arena *arena, enum message_type type,
                              enum message_size size)
{
    bool small = size == SIZE_SMALL;
    struct maker k = {p, arena, small ? 40 : KEY_MAX_BYTES, small ? 60 : VALUE_MAX_TEST, small ? 3 : 1100};
    struct message m = {
        .type = type,
        .id = any_u64(p),
        .cluster = any_u64(p),
        .ring_epoch = any_u64(p),
        .hlc = any_u64(p),
    };
    if (type <= MSG_FOUND)
        random_connection(&k, &m);
    else if (type <= MSG_RESPONSE)
        random_request(&k, &m);
    else if (type == MSG_SCAN || type == MSG_SCAN_PAGE || type == MSG_RANGE || type == MSG_RANGE_PAGE)
        random_scan(&k, &m);
    else if (type == MSG_STATUS_GET || type == MSG_STATS_GET)
        random_connection(&k, &m);
    else if (type <= MSG_FAULT_REPLY)
        random_operator(&k, &m);
    else if (type <= MSG_READ_REPLY)
        random_replica(&k, &m);
    else if (type <= MSG_LIST)
        random_membership(&k, &m);
    else if (type <= MSG_PREEMPTED)
        random_paxos(&k, &m);
    else if (type <= MSG_PROGRESS)
        random_change(&k, &m);
    else if (type <= MSG_ROWS)
        random_transfer(&k, &m);
    else if (type <= MSG_REPAIR_REPLY)
        random_entropy(&k, &m);
    else
        random_purge(&k, &m);
    return m;
}

/* ---- frames */

void frame_build(const struct message *m, struct buf *out)
{
    struct wire_frame frame;
    buf_clear(out);
    KV_ASSERT(wire_encode(m, out, &frame) == KV_OK);
    for (uint32_t i = 0; i < frame.payload_count; i++)
        KV_ASSERT(buf_append(out, blob_bytes(frame.payloads[i])) == KV_OK);
}

int frame_parse(struct bytes frame, struct arena *arena, struct message *out)
{
    struct wire_header h;
    if (frame.len < WIRE_HEADER_BYTES)
        return KV_E_MALFORMED;
    int error = wire_decode_header(frame.data, FRAME_MAX_TEST, &h);
    if (error)
        return error;
    if (frame.len != h.length + 4u)
        return KV_E_MALFORMED;
    struct bytes body = bytes_of(frame.data + WIRE_HEADER_BYTES, h.body_size);
    struct blob *payload = blob_copy(bytes_of(body.data + body.len, wire_payload_bytes(&h)));
    error = wire_decode(&h, body, payload, VALUE_MAX_TEST, arena, out);
    blob_unref(payload);
    return error;
}

const char *message_text(const struct message *m, struct buf *out)
{
    buf_clear(out);
    say_message(out, m);
    KV_ASSERT(buf_append_byte(out, '\0') == KV_OK);
    return (const char *)out->data;
}
