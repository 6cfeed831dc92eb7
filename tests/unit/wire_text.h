/* What a message says, as text: part of wire_support.c, which includes it once. */
#ifndef TESTS_UNIT_WIRE_TEXT_H
#define TESTS_UNIT_WIRE_TEXT_H

#include <inttypes.h>

#include "base/assert.h"
#include "kv_error.h"
#include "wire/wire.h"

static void say_u64(struct buf *out, const char *name, uint64_t value)
{
    KV_ASSERT(buf_printf(out, "%s=%" PRIu64 " ", name, value) == KV_OK);
}

static void say_status(struct buf *out, int32_t status)
{
    KV_ASSERT(buf_printf(out, "status=%" PRId32 " ", status) == KV_OK);
}

static void say_text(struct buf *out, const char *name, const char *text)
{
    KV_ASSERT(buf_printf(out, "%s=\"%s\" ", name, text) == KV_OK);
}

static void say_bytes(struct buf *out, const char *name, struct bytes bytes)
{
    KV_ASSERT(buf_printf(out, "%s=%zu:", name, bytes.len) == KV_OK);
    for (size_t i = 0; i < bytes.len; i++) {
        KV_ASSERT(buf_append_byte(out, (uint8_t) "0123456789abcdef"[bytes.data[i] >> 4]) == KV_OK);
        KV_ASSERT(buf_append_byte(out, (uint8_t) "0123456789abcdef"[bytes.data[i] & 15]) == KV_OK);
    }
    KV_ASSERT(buf_append_byte(out, ' ') == KV_OK);
}

static void say_addr(struct buf *out, const struct addr *a)
{
    say_text(out, "host", a->host);
    say_u64(out, "port", a->port);
}

static void say_stamp(struct buf *out, struct stamp s)
{
    say_u64(out, "stamp", s.hlc);
    say_u64(out, "origin", s.origin);
}

static void say_row(struct buf *out, const struct row *r)
{
    say_u64(out, "row.kind", r->kind);
    say_u64(out, "flags", r->flags);
    say_u64(out, "raw_size", r->raw_size);
    say_stamp(out, r->stamp);
    say_u64(out, "expires", r->expires_hlc);
    say_bytes(out, "payload", blob_bytes(r->payload));
}

static void say_cursor(struct buf *out, const struct cursor *c)
{
    say_u64(out, "token", c->token);
    say_bytes(out, "after", c->key);
}

static void say_entries(struct buf *out, const struct scan_entry *entries, uint32_t count)
{
    say_u64(out, "entries", count);
    for (uint32_t i = 0; i < count; i++) {
        say_bytes(out, "\n  key", entries[i].key);
        say_row(out, &entries[i].row);
    }
}

static void say_gossip(struct buf *out, const struct gossip *gossip, uint32_t count)
{
    say_u64(out, "gossip", count);
    for (uint32_t i = 0; i < count; i++) {
        say_u64(out, "\n  member", gossip[i].member);
        say_u64(out, "generation", gossip[i].generation);
        say_u64(out, "incarnation", gossip[i].incarnation);
        say_u64(out, "state", gossip[i].state);
        say_u64(out, "from", gossip[i].from);
        say_addr(out, &gossip[i].addr);
    }
}

static void say_fault(struct buf *out, const struct msg_fault *f)
{
    say_u64(out, "\n  kind", f->kind);
    say_u64(out, "from", f->from);
    say_u64(out, "to", f->to);
    say_u64(out, "percent", f->percent);
    say_u64(out, "amount", f->amount);
}

static void say_connection(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_HELLO:
        say_u64(out, "role", m->hello.role);
        say_text(out, "cluster", m->hello.cluster);
        say_text(out, "name", m->hello.name);
        say_u64(out, "member_id", m->hello.member_id);
        say_u64(out, "store_id", m->hello.store_id);
        say_u64(out, "generation", m->hello.generation);
        say_addr(out, &m->hello.addr);
        say_u64(out, "sequence", m->hello.sequence);
        say_u64(out, "topology", m->hello.topology);
        say_text(out, "hub", m->hello.hub);
        break;
    case MSG_WELCOME:
        say_text(out, "cluster", m->welcome.cluster);
        say_text(out, "name", m->welcome.name);
        say_u64(out, "member_id", m->welcome.member_id);
        say_u64(out, "store_id", m->welcome.store_id);
        say_u64(out, "generation", m->welcome.generation);
        say_u64(out, "wall_ms", m->welcome.wall_ms);
        say_u64(out, "ring_hash", m->welcome.ring_hash);
        say_u64(out, "value_max_bytes", m->welcome.value_max_bytes);
        say_u64(out, "sequence", m->welcome.sequence);
        say_u64(out, "topology", m->welcome.topology);
        say_u64(out, "hub", m->welcome.hub);
        say_text(out, "hub_name", m->welcome.hub_name);
        say_addr(out, &m->welcome.hub_addr);
        break;
    case MSG_REFUSED:
        say_status(out, m->refused.status);
        say_text(out, "text", m->refused.text);
        break;
    case MSG_RING: say_bytes(out, "value", blob_bytes(m->ring.value)); break;
    case MSG_FOUND:
        say_text(out, "name", m->found.name);
        say_u64(out, "store_id", m->found.store_id);
        say_u64(out, "initial_hash", m->found.initial_hash);
        say_u64(out, "accepted_hash", m->found.accepted_hash);
        say_text(out, "zone", m->found.zone);
        say_u64(out, "weight", m->found.weight);
        say_u64(out, "wants_reply", m->found.wants_reply);
        break;
    default: break;
    }
}

static void say_request(struct buf *out, const struct message *m)
{
    if (m->type == MSG_REQUEST) {
        say_u64(out, "op", m->request.op);
        say_u64(out, "flags", m->request.flags);
        say_u64(out, "r", m->request.r);
        say_u64(out, "w", m->request.w);
        say_u64(out, "timeout_us", m->request.timeout_us);
        say_bytes(out, "key", m->request.key);
        say_row(out, &m->request.row);
        return;
    }
    const struct msg_response *r = &m->response;
    say_status(out, r->status);
    say_u64(out, "asked", r->asked);
    say_u64(out, "acked", r->acked);
    say_u64(out, "needed", r->needed);
    say_u64(out, "hinted", r->hinted);
    say_u64(out, "reachable", r->reachable);
    say_u64(out, "proven", r->proven);
    say_u64(out, "coordinator", r->coordinator);
    say_u64(out, "us", r->us);
    say_row(out, &r->row);
    say_u64(out, "trace", r->trace_count);
    for (uint32_t i = 0; i < r->trace_count; i++) {
        say_u64(out, "\n  at_us", r->trace[i].at_us);
        say_u64(out, "kind", r->trace[i].kind);
        say_u64(out, "member", r->trace[i].member);
        say_u64(out, "other", r->trace[i].other);
        say_status(out, r->trace[i].status);
        say_stamp(out, r->trace[i].stamp);
    }
}

static void say_scan(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_SCAN:
        say_cursor(out, &m->scan.after);
        say_bytes(out, "prefix", m->scan.prefix);
        say_u64(out, "limit", m->scan.limit);
        say_u64(out, "strict_complete", m->scan.strict_complete);
        say_u64(out, "timeout_us", m->scan.timeout_us);
        break;
    case MSG_SCAN_PAGE:
        say_status(out, m->scan_page.status);
        say_u64(out, "done", m->scan_page.done);
        say_u64(out, "complete", m->scan_page.complete);
        say_cursor(out, &m->scan_page.next);
        say_entries(out, m->scan_page.entries, m->scan_page.count);
        break;
    case MSG_RANGE:
        say_cursor(out, &m->range.after);
        say_bytes(out, "prefix", m->range.prefix);
        say_u64(out, "limit", m->range.limit);
        break;
    case MSG_RANGE_PAGE:
        say_status(out, m->range_page.status);
        say_u64(out, "done", m->range_page.done);
        say_cursor(out, &m->range_page.next);
        say_entries(out, m->range_page.entries, m->range_page.count);
        break;
    default: break;
    }
}

static void say_members(struct buf *out, const struct msg_status *status)
{
    say_text(out, "cluster", status->cluster);
    say_u64(out, "seen_by", status->seen_by);
    say_text(out, "seen_by_name", status->seen_by_name);
    say_u64(out, "ring_hash", status->ring_hash);
    say_u64(out, "ring_epoch", status->ring_epoch);
    say_u64(out, "phase", status->phase);
    say_u64(out, "topology", status->topology);
    say_u64(out, "hub", status->hub);
    say_u64(out, "queue", status->queue_count);
    for (uint32_t i = 0; i < status->queue_count; i++)
        say_text(out, "\n  change", status->queue[i]);
    say_u64(out, "members", status->count);
    for (uint32_t i = 0; i < status->count; i++) {
        const struct status_member *s = &status->members[i];
        say_u64(out, "\n  id", s->id);
        say_text(out, "name", s->name);
        say_text(out, "zone", s->zone);
        say_addr(out, &s->addr);
        say_u64(out, "state", s->state);
        say_u64(out, "in_ring", s->in_ring);
        say_u64(out, "generation", s->generation);
        say_u64(out, "incarnation", s->incarnation);
        say_u64(out, "partitions", s->partitions);
        say_u64(out, "rtt_us", s->rtt_us);
        say_u64(out, "weight", s->weight);
        say_u64(out, "ring", s->ring);
        say_u64(out, "epoch", s->epoch);
        say_u64(out, "done", s->partitions_done);
        say_u64(out, "total", s->partitions_total);
        say_u64(out, "moved_bytes", s->moved_bytes);
    }
}

static void say_operator(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_STATUS: say_members(out, &m->status); break;
    case MSG_STATS:
        say_u64(out, "stats", m->stats.count);
        for (uint32_t i = 0; i < m->stats.count; i++) {
            say_text(out, "\n  name", m->stats.stats[i].name);
            say_u64(out, "value", m->stats.stats[i].value);
        }
        break;
    case MSG_FAULT: say_fault(out, &m->fault); break;
    case MSG_FAULT_REPLY:
        say_status(out, m->fault_reply.status);
        say_u64(out, "rules", m->fault_reply.count);
        for (uint32_t i = 0; i < m->fault_reply.count; i++)
            say_fault(out, &m->fault_reply.rules[i]);
        break;
    default: break;
    }
}

static void say_replica(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_WRITE:
        say_bytes(out, "key", m->write.key);
        say_row(out, &m->write.row);
        say_u64(out, "began_hlc", m->write.began_hlc);
        say_u64(out, "flags", m->write.flags);
        say_u64(out, "hints", m->write.hint_count);
        for (uint32_t i = 0; i < m->write.hint_count; i++)
            say_u64(out, "hint", m->write.hints[i]);
        break;
    case MSG_WRITE_ACK:
        say_status(out, m->write_ack.status);
        say_u64(out, "sequence", m->write_ack.sequence);
        break;
    case MSG_READ:
        say_bytes(out, "key", m->read.key);
        say_u64(out, "stamp_only", m->read.stamp_only);
        break;
    case MSG_READ_REPLY:
        say_status(out, m->read_reply.status);
        say_row(out, &m->read_reply.row);
        break;
    default: break;
    }
}

static void say_membership(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_PING:
    case MSG_PING_REQ:
    case MSG_ACK:
    case MSG_NACK:
        say_u64(out, "from", m->probe.from);
        say_u64(out, "from_generation", m->probe.from_generation);
        say_u64(out, "from_incarnation", m->probe.from_incarnation);
        say_u64(out, "target", m->probe.target);
        say_u64(out, "sequence", m->probe.sequence);
        say_addr(out, &m->probe.target_addr);
        say_gossip(out, m->probe.gossip, m->probe.count);
        break;
    case MSG_SYNC:
    case MSG_SYNC_REPLY:
        say_u64(out, "from", m->sync.from);
        say_u64(out, "digest", m->sync.digest);
        say_gossip(out, m->sync.gossip, m->sync.count);
        break;
    case MSG_HEARTBEAT:
    case MSG_HEARTBEAT_ACK:
        say_u64(out, "from", m->heartbeat.from);
        say_u64(out, "generation", m->heartbeat.generation);
        say_u64(out, "version", m->heartbeat.version);
        say_u64(out, "flags", m->heartbeat.flags);
        break;
    case MSG_LIST_GET:
    case MSG_LIST:
        say_u64(out, "generation", m->list.generation);
        say_u64(out, "since", m->list.since);
        say_u64(out, "version", m->list.version);
        say_gossip(out, m->list.members, m->list.count);
        break;
    default: break;
    }
}

static void say_ballot(struct buf *out, struct ballot b)
{
    say_u64(out, "round", b.round);
    say_u64(out, "by", b.member);
}

static void say_paxos(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_PREPARE:
    case MSG_PROMISE:
    case MSG_ACCEPT:
    case MSG_ACCEPTED:
    case MSG_PREEMPTED:
        say_u64(out, "epoch", m->paxos.epoch);
        say_ballot(out, m->paxos.ballot);
        say_ballot(out, m->paxos.other);
        say_bytes(out, "value", blob_bytes(m->paxos.value));
        break;
    default: break;
    }
}

static void say_change(struct buf *out, const struct message *m)
{
    const struct ring_change *c = &m->change.change;
    switch (m->type) {
    case MSG_CHANGE:
        say_u64(out, "kind", c->kind);
        say_u64(out, "member", c->member);
        say_u64(out, "store_id", c->store_id);
        say_u64(out, "weight", c->weight);
        say_text(out, "name", c->name);
        say_text(out, "zone", c->zone);
        say_addr(out, &c->addr);
        say_u64(out, "timeout_us", m->change.timeout_us);
        say_u64(out, "plan", m->change.plan);
        break;
    case MSG_CHANGE_REPLY:
        say_status(out, m->change_reply.status);
        say_text(out, "text", m->change_reply.text);
        say_u64(out, "epoch", m->change_reply.epoch);
        say_u64(out, "moved", m->change_reply.moved);
        say_u64(out, "least", m->change_reply.least);
        say_u64(out, "total", m->change_reply.total);
        say_u64(out, "max_over_mean_milli", m->change_reply.max_over_mean_milli);
        break;
    case MSG_PROGRESS:
        say_u64(out, "source_epoch", m->progress.source_epoch);
        say_u64(out, "whole", m->progress.whole);
        say_u64(out, "done", m->progress.partitions_done);
        say_u64(out, "total", m->progress.partitions_total);
        say_u64(out, "bytes", m->progress.bytes);
        break;
    default: break;
    }
}

static void say_transfer(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_PULL:
        say_u64(out, "partition", m->pull.partition);
        say_cursor(out, &m->pull.after);
        say_u64(out, "limit_bytes", m->pull.limit_bytes);
        break;
    case MSG_ROWS:
        say_status(out, m->rows.status);
        say_u64(out, "done", m->rows.done);
        say_cursor(out, &m->rows.next);
        say_u64(out, "began_hlc", m->rows.began_hlc);
        say_bytes(out, "pack", blob_bytes(m->rows.pack));
        break;
    default: break;
    }
}

static void say_partitions(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_ROOTS:
        for (uint32_t i = 0; i < m->roots.count; i++) {
            say_u64(out, "\n  partition", m->roots.roots[i].partition);
            say_u64(out, "hash", m->roots.roots[i].hash);
        }
        break;
    case MSG_LEAVES:
        say_status(out, m->leaves.status);
        for (uint32_t i = 0; i < m->leaves.count; i++) {
            const struct partition_leaves *p = &m->leaves.partitions[i];
            say_u64(out, "\n  partition", p->partition);
            say_u64(out, "held", p->held);
            say_u64(out, "filled", p->filled);
            say_bytes(out, "hashes", p->hashes);
        }
        break;
    case MSG_COMPARE:
        say_cursor(out, &m->compare.after);
        say_cursor(out, &m->compare.upto);
        say_u64(out, "until_hlc", m->compare.until_hlc);
        say_u64(out, "fetch", m->compare.fetch);
        say_bytes(out, "digests", blob_bytes(m->compare.digests));
        for (uint32_t i = 0; i < m->compare.count; i++) {
            say_u64(out, "\n  partition", m->compare.sets[i].partition);
            say_u64(out, "leaves", m->compare.sets[i].leaves);
        }
        break;
    default: break;
    }
}

static void say_entropy(struct buf *out, const struct message *m)
{
    say_partitions(out, m);
    switch (m->type) {
    case MSG_COMPARED:
        say_status(out, m->compared.status);
        say_u64(out, "done", m->compared.done);
        say_cursor(out, &m->compared.next);
        say_u64(out, "began", m->compared.began_hlc);
        say_bytes(out, "wants", m->compared.wants);
        say_bytes(out, "pack", blob_bytes(m->compared.pack));
        for (uint32_t i = 0; i < m->compared.count; i++) {
            say_u64(out, "\n  index", m->compared.conflicts[i].index);
            say_stamp(out, m->compared.conflicts[i].stamp);
        }
        break;
    case MSG_MERGE:
        say_u64(out, "began", m->merge.began_hlc);
        say_bytes(out, "pack", blob_bytes(m->merge.pack));
        break;
    case MSG_MERGED: say_status(out, m->merged.status); break;
    case MSG_REPAIR_REPLY:
        say_status(out, m->repair_reply.status);
        say_u64(out, "partitions", m->repair_reply.partitions);
        say_u64(out, "peers", m->repair_reply.peers);
        break;
    default: break;
    }
}

static void say_purge(struct buf *out, const struct message *m)
{
    switch (m->type) {
    case MSG_PURGE:
        say_u64(out, "step", m->purge.step);
        say_u64(out, "partition", m->purge.partition);
        say_u64(out, "round", m->purge.round);
        say_u64(out, "after_hlc", m->purge.after_hlc);
        say_u64(out, "rows", m->purge.count);
        for (uint32_t i = 0; i < m->purge.count; i++) {
            say_bytes(out, "\n  key", m->purge.rows[i].key);
            say_stamp(out, m->purge.rows[i].stamp);
        }
        break;
    case MSG_PURGE_REPLY:
        say_status(out, m->purge_reply.status);
        say_u64(out, "hlc", m->purge_reply.hlc);
        say_bytes(out, "passed", m->purge_reply.passed);
        break;
    default: break;
    }
}

static void say_message(struct buf *out, const struct message *m)
{
    say_text(out, "type", message_name(m->type));
    say_u64(out, "id", m->id);
    say_u64(out, "cluster", m->cluster);
    say_u64(out, "ring_epoch", m->ring_epoch);
    say_u64(out, "hlc", m->hlc);
    say_connection(out, m);
    if (m->type == MSG_REQUEST || m->type == MSG_RESPONSE)
        say_request(out, m);
    say_scan(out, m);
    say_operator(out, m);
    say_replica(out, m);
    say_membership(out, m);
    say_paxos(out, m);
    say_change(out, m);
    say_transfer(out, m);
    say_entropy(out, m);
    say_purge(out, m);
}

#endif
