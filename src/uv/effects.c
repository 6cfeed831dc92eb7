/* Carrying out what the core wants: each effect of a step becomes a queued frame, a datagram, a storage job,
 * ... */
#include <stdio.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/shell.h"

/* The shell's own counters join the node's in an answer to STATS. */
static void add_shell_stats(struct shell *s, struct message *m)
{
    struct storage_counters st = storage_counters(s->storage);
    const struct shell_counters *c = &s->counters;
    const struct traffic *control = &c->traffic[CLASS_CONTROL], *ring = &c->traffic[CLASS_RING],
                         *repair = &c->traffic[CLASS_REPAIR];
    const struct stat_value mine[] = {
        {"connections", c->connections},
        {"tcp_bytes_in", c->tcp_bytes_in},
        {"tcp_bytes_out", c->tcp_bytes_out},
        {"udp_bytes_in", c->udp_bytes_in},
        {"udp_bytes_out", c->udp_bytes_out},
        {"udp_packets_in", c->udp_packets_in},
        {"udp_packets_out", c->udp_packets_out},
        {"control_messages_in", control->messages_in},
        {"control_messages_out", control->messages_out},
        {"control_bytes_in", control->bytes_in},
        {"control_bytes_out", control->bytes_out},
        {"ring_messages_in", ring->messages_in},
        {"ring_messages_out", ring->messages_out},
        {"ring_bytes_in", ring->bytes_in},
        {"ring_bytes_out", ring->bytes_out},
        {"repair_messages_in", repair->messages_in},
        {"repair_messages_out", repair->messages_out},
        {"repair_bytes_in", repair->bytes_in},
        {"repair_bytes_out", repair->bytes_out},
        {"frames_in", c->frames_in},
        {"frames_out", c->frames_out},
        {"socket_reads", c->reads},
        {"socket_writes", c->writes},
        {"malformed", c->malformed},
        {"refused_connections", c->refused_connections},
        {"slow_readers_closed", c->slow_readers},
        {"answers_refused", c->answers_refused},
        {"stalled_closed", c->stalled},
        {"receive_bytes", s->pools[0].used_bytes + s->pools[1].used_bytes},
        {"held_bytes", s->held_bytes},
        {"output_bytes", s->output_bytes},
        {"rows", s->rows.rows},
        {"store_batches", st.batches},
        {"store_rows_written", st.rows},
        {"store_rows_deleted", st.rows_deleted},
        {"store_tree_leaves", st.tree_leaves},
        {"store_syncs", st.syncs},
        {"store_inline_writes", st.inline_writes},
        {"store_cached_reads", st.cached_reads},
        {"store_row_cache_hits", st.row_cache_hits},
        {"store_cold_reads", st.cold_reads},
        {"store_pages", st.pages},
        {"store_last_sync_us", st.last_sync_us},
        {"store_slow_writes", st.slow_writes},
        {"store_full", storage_full(s->storage)},
        {"faults_dropped", s->faults.dropped},
        {"faults_delayed", s->faults.delayed},
        {"faults_duplicated", s->faults.duplicated},
    };
    uint32_t own = (uint32_t)(sizeof mine / sizeof *mine);
    uint32_t count = m->stats.count + own;
    struct stat_value *all = arena_alloc(&s->out.arena, count * sizeof *all);
    if (!all)
        return;
    if (m->stats.count)
        memcpy(all, m->stats.stats, m->stats.count * sizeof *all);
    memcpy(all + m->stats.count, mine, sizeof mine);
    m->stats.count = count;
    m->stats.stats = all;
}

static void run_send(struct shell *s, struct effect *e)
{
    struct conn *c = tcp_find(s, e->send.to);
    if (c) {
        if (e->send.message.type == MSG_STATS)
            add_shell_stats(s, &e->send.message);
        conn_bound_answer(c, &e->send.message);
        conn_send(c, &e->send.message);
    }
    message_release(&e->send.message);
    e->type = EF_NONE;
}

static void run_close(struct shell *s, const struct effect *e)
{
    struct conn *c = tcp_find(s, e->conn.at);
    if (c)
        conn_close_when_flushed(c);
}

static void run_accept(struct shell *s, const struct effect *e)
{
    struct conn *c = tcp_find(s, e->conn.at);
    if (c && e->conn.member)
        conn_accept(c, e->conn.member);
    else if (c)
        tcp_accept_client(s, c);
}

static void run_exit(struct shell *s, const struct effect *e)
{
    if (e->exit.status != 0)
        shell_log(s, LOG_ERROR, "event=exit status=%s reason=\"%s\"", kv_error_word(e->exit.status),
                  e->exit.text);
    shell_end(s, e->exit.status == 0 ? 0 : 1);
}

static void run_one(struct shell *s, struct effect *e)
{
    switch (e->type) {
    case EF_NONE: break;
    case EF_SEND: run_send(s, e); break;
    case EF_DATAGRAM:
        udp_send(s, &e->datagram.to, &e->datagram.message);
        message_release(&e->datagram.message);
        e->type = EF_NONE;
        break;
    case EF_PEER: tcp_want_peer(s, e->peer.member, &e->peer.addr); break;
    case EF_ACCEPT: run_accept(s, e); break;
    case EF_CLOSE: run_close(s, e); break;
    case EF_STORE_WRITE:
    case EF_STORE_MERGE:
    case EF_STORE_READ:
    case EF_STORE_META:
    case EF_STORE_RANGE:
    case EF_STORE_HINTS:
    case EF_STORE_HINT_DONE:
    case EF_STORE_ROWS:
    case EF_STORE_DELETE:
    case EF_STORE_HAS:
    case EF_STORE_TREE:
    case EF_STORE_TOTALS:
        if (storage_submit(s->storage, e) != KV_OK) {
            /* The core cannot go on without its completion, and there is no memory to make one. */
            shell_log(s, LOG_ERROR, "event=no_memory what=storage_job");
            shell_end(s, 1);
        }
        break;
    case EF_LOG: shell_log(s, e->log.level, "%s", e->log.text); break;
    case EF_EXIT: run_exit(s, e); break;
    }
}

void effects_run(struct shell *s)
{
    for (uint32_t i = 0; i < s->out.count && !s->ended; i++)
        run_one(s, &s->out.effects[i]);
    outbox_reset(&s->out);
}
