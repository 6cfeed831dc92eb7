/* Which codec a message type has. */
#include "wire/codec.h"

static const struct codec *const codecs[] = {
    [MSG_HELLO] = &codec_hello,
    [MSG_WELCOME] = &codec_welcome,
    [MSG_REFUSED] = &codec_refused,
    [MSG_RING_GET] = &codec_nothing,
    [MSG_RING] = &codec_ring,
    [MSG_FOUND] = &codec_found,
    [MSG_REQUEST] = &codec_request,
    [MSG_RESPONSE] = &codec_response,
    [MSG_SCAN] = &codec_scan,
    [MSG_SCAN_PAGE] = &codec_scan_page,
    [MSG_STATUS_GET] = &codec_nothing,
    [MSG_STATUS] = &codec_status,
    [MSG_STATS_GET] = &codec_nothing,
    [MSG_STATS] = &codec_stats,
    [MSG_FAULT] = &codec_fault,
    [MSG_FAULT_REPLY] = &codec_fault_reply,
    [MSG_WRITE] = &codec_write,
    [MSG_WRITE_ACK] = &codec_write_ack,
    [MSG_READ] = &codec_read,
    [MSG_READ_REPLY] = &codec_read_reply,
    [MSG_RANGE] = &codec_range,
    [MSG_RANGE_PAGE] = &codec_range_page,
    [MSG_PING] = &codec_probe,
    [MSG_PING_REQ] = &codec_probe,
    [MSG_ACK] = &codec_probe,
    [MSG_NACK] = &codec_probe,
    [MSG_SYNC] = &codec_sync,
    [MSG_SYNC_REPLY] = &codec_sync,
    [MSG_HEARTBEAT] = &codec_heartbeat,
    [MSG_HEARTBEAT_ACK] = &codec_heartbeat,
    [MSG_LIST_GET] = &codec_list,
    [MSG_LIST] = &codec_list,
    [MSG_PREPARE] = &codec_paxos,
    [MSG_PROMISE] = &codec_paxos,
    [MSG_ACCEPT] = &codec_paxos,
    [MSG_ACCEPTED] = &codec_paxos,
    [MSG_PREEMPTED] = &codec_paxos,
    [MSG_CHANGE] = &codec_change,
    [MSG_CHANGE_REPLY] = &codec_change_reply,
    [MSG_PROGRESS] = &codec_progress,
    [MSG_PULL] = &codec_pull,
    [MSG_ROWS] = &codec_rows,
    [MSG_ROOTS] = &codec_roots,
    [MSG_LEAVES] = &codec_leaves,
    [MSG_COMPARE] = &codec_compare,
    [MSG_COMPARED] = &codec_compared,
    [MSG_MERGE] = &codec_merge,
    [MSG_MERGED] = &codec_merged,
    [MSG_REPAIR] = &codec_nothing,
    [MSG_REPAIR_REPLY] = &codec_repair_reply,
    [MSG_PURGE] = &codec_purge,
    [MSG_PURGE_REPLY] = &codec_purge_reply,
};

const struct codec *codec_of(uint32_t type)
{
    return type < sizeof codecs / sizeof codecs[0] ? codecs[type] : NULL;
}

static void nothing_encode(struct encoder *e, const struct message *m)
{
    (void)e;
    (void)m;
}

static void nothing_decode(struct decoder *d, const void *body, struct message *m)
{
    (void)d;
    (void)body;
    (void)m;
}

const struct codec codec_nothing = {&gureum__nothing__descriptor, nothing_encode, nothing_decode};
