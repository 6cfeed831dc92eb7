/* What is common to all messages: dropping what they own, weighing it, naming them. */
#include "model/message.h"

#include "base/hash.h"

static size_t row_weight(const struct row *r)
{
    return blob_bytes(r->payload).len;
}

/* A page's entries are borrowed, but each of their rows owns a reference. */
static void release_entries(const struct scan_entry *entries, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++)
        blob_unref(entries[i].row.payload);
    *count = 0;
}

static size_t keys_weight(const struct row_version *rows, uint32_t count)
{
    size_t weight = 0;
    for (uint32_t i = 0; i < count; i++)
        weight += rows[i].key.len;
    return weight;
}

static size_t entries_weight(const struct scan_entry *entries, uint32_t count)
{
    size_t weight = 0;
    for (uint32_t i = 0; i < count; i++)
        weight += entries[i].key.len + row_weight(&entries[i].row);
    return weight;
}

static void release_blob(struct blob **blob)
{
    blob_unref(*blob);
    *blob = NULL;
}

void message_release(struct message *m)
{
    switch (m->type) {
    case MSG_RING: release_blob(&m->ring.value); break;
    case MSG_PREPARE:
    case MSG_PROMISE:
    case MSG_ACCEPT:
    case MSG_ACCEPTED:
    case MSG_PREEMPTED: release_blob(&m->paxos.value); break;
    case MSG_ROWS: release_blob(&m->rows.pack); break;
    case MSG_COMPARE: release_blob(&m->compare.digests); break;
    case MSG_COMPARED: release_blob(&m->compared.pack); break;
    case MSG_MERGE: release_blob(&m->merge.pack); break;
    case MSG_REQUEST: row_release(&m->request.row); break;
    case MSG_RESPONSE: row_release(&m->response.row); break;
    case MSG_WRITE: row_release(&m->write.row); break;
    case MSG_READ_REPLY: row_release(&m->read_reply.row); break;
    case MSG_SCAN_PAGE: release_entries(m->scan_page.entries, &m->scan_page.count); break;
    case MSG_RANGE_PAGE: release_entries(m->range_page.entries, &m->range_page.count); break;
    default: break;
    }
}

size_t message_weight(const struct message *m)
{
    switch (m->type) {
    case MSG_RING: return blob_bytes(m->ring.value).len;
    case MSG_PREPARE:
    case MSG_PROMISE:
    case MSG_ACCEPT:
    case MSG_ACCEPTED:
    case MSG_PREEMPTED: return blob_bytes(m->paxos.value).len;
    case MSG_PULL: return m->pull.after.key.len;
    case MSG_ROWS: return m->rows.next.key.len + blob_bytes(m->rows.pack).len;
    case MSG_COMPARE: return blob_bytes(m->compare.digests).len;
    case MSG_COMPARED: return blob_bytes(m->compared.pack).len;
    case MSG_MERGE: return blob_bytes(m->merge.pack).len;
    case MSG_PURGE: return keys_weight(m->purge.rows, m->purge.count);
    case MSG_REQUEST: return m->request.key.len + row_weight(&m->request.row);
    case MSG_RESPONSE: return row_weight(&m->response.row);
    case MSG_SCAN: return m->scan.after.key.len + m->scan.prefix.len;
    case MSG_SCAN_PAGE:
        return m->scan_page.next.key.len + entries_weight(m->scan_page.entries, m->scan_page.count);
    case MSG_WRITE: return m->write.key.len + row_weight(&m->write.row);
    case MSG_READ: return m->read.key.len;
    case MSG_READ_REPLY: return row_weight(&m->read_reply.row);
    case MSG_RANGE: return m->range.after.key.len + m->range.prefix.len;
    case MSG_RANGE_PAGE:
        return m->range_page.next.key.len + entries_weight(m->range_page.entries, m->range_page.count);
    default: return 0;
    }
}

uint32_t message_datagram_from(const struct message *m)
{
    if (m->type >= MSG_PING && m->type <= MSG_NACK)
        return m->probe.from;
    return m->type == MSG_HEARTBEAT || m->type == MSG_HEARTBEAT_ACK ? m->heartbeat.from : 0;
}

enum message_class message_class(enum message_type type)
{
    if (type >= MSG_PING && type <= MSG_LIST)
        return CLASS_CONTROL;
    if ((type >= MSG_RING_GET && type <= MSG_FOUND) || (type >= MSG_PREPARE && type <= MSG_PROGRESS))
        return CLASS_RING;
    return type >= MSG_PULL ? CLASS_REPAIR : CLASS_REQUEST;
}

const char *message_name(enum message_type type)
{
    switch (type) {
    case MSG_NONE: return "NONE";
    case MSG_HELLO: return "HELLO";
    case MSG_WELCOME: return "WELCOME";
    case MSG_REFUSED: return "REFUSED";
    case MSG_RING_GET: return "RING_GET";
    case MSG_RING: return "RING";
    case MSG_FOUND: return "FOUND";
    case MSG_REQUEST: return "REQUEST";
    case MSG_RESPONSE: return "RESPONSE";
    case MSG_SCAN: return "SCAN";
    case MSG_SCAN_PAGE: return "SCAN_PAGE";
    case MSG_STATUS_GET: return "STATUS_GET";
    case MSG_STATUS: return "STATUS";
    case MSG_STATS_GET: return "STATS_GET";
    case MSG_STATS: return "STATS";
    case MSG_FAULT: return "FAULT";
    case MSG_FAULT_REPLY: return "FAULT_REPLY";
    case MSG_WRITE: return "WRITE";
    case MSG_WRITE_ACK: return "WRITE_ACK";
    case MSG_READ: return "READ";
    case MSG_READ_REPLY: return "READ_REPLY";
    case MSG_RANGE: return "RANGE";
    case MSG_RANGE_PAGE: return "RANGE_PAGE";
    case MSG_PING: return "PING";
    case MSG_PING_REQ: return "PING_REQ";
    case MSG_ACK: return "ACK";
    case MSG_NACK: return "NACK";
    case MSG_SYNC: return "SYNC";
    case MSG_SYNC_REPLY: return "SYNC_REPLY";
    case MSG_HEARTBEAT: return "HEARTBEAT";
    case MSG_HEARTBEAT_ACK: return "HEARTBEAT_ACK";
    case MSG_LIST_GET: return "LIST_GET";
    case MSG_LIST: return "LIST";
    case MSG_PREPARE: return "PREPARE";
    case MSG_PROMISE: return "PROMISE";
    case MSG_ACCEPT: return "ACCEPT";
    case MSG_ACCEPTED: return "ACCEPTED";
    case MSG_PREEMPTED: return "PREEMPTED";
    case MSG_CHANGE: return "CHANGE";
    case MSG_CHANGE_REPLY: return "CHANGE_REPLY";
    case MSG_PROGRESS: return "PROGRESS";
    case MSG_PULL: return "PULL";
    case MSG_ROWS: return "ROWS";
    case MSG_ROOTS: return "ROOTS";
    case MSG_LEAVES: return "LEAVES";
    case MSG_COMPARE: return "COMPARE";
    case MSG_COMPARED: return "COMPARED";
    case MSG_MERGE: return "MERGE";
    case MSG_MERGED: return "MERGED";
    case MSG_REPAIR: return "REPAIR";
    case MSG_REPAIR_REPLY: return "REPAIR_REPLY";
    case MSG_PURGE: return "PURGE";
    case MSG_PURGE_REPLY: return "PURGE_REPLY";
    }
    return "?";
}

uint64_t cluster_hash(const char *cluster, uint32_t partitions)
{
    return hash64_seeded(bytes_str(cluster), partitions);
}

const char *member_state_name(enum member_state state)
{
    switch (state) {
    case MEMBER_ALIVE: return "alive";
    case MEMBER_SUSPECT: return "suspect";
    case MEMBER_DEAD: return "dead";
    case MEMBER_LEFT: return "left";
    }
    return "?";
}

const char *ring_state_name(enum ring_state state)
{
    switch (state) {
    case RING_STATE_NONE: return "none";
    case RING_STATE_NORMAL: return "normal";
    case RING_STATE_JOINING: return "joining";
    case RING_STATE_LEAVING: return "leaving";
    case RING_STATE_LEFT: return "left";
    case RING_STATE_REMOVED: return "removed";
    }
    return "?";
}
