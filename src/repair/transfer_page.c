/* Pages that come: looked at row by row, written, and only then counted. */
#include "base/mutant.h"
#include "repair/transfer_internal.h"

#include "base/assert.h"
#include "kv_error.h"
#include "model/pack.h"

#define SAMPLE_US UINT64_C(1000000)

/* Whether the pack is what was asked for: whole rows of the partition, in token order behind the cursor, up
 * to `next`; and, unless it is the last, a step forward. */
static bool page_ok(const struct transfer *t, const struct slot *s, uint32_t partition,
                    const struct msg_rows *rows, uint32_t *count)
{
    uint64_t token = s->token;
    struct bytes key = buf_bytes(&s->key), rest = blob_bytes(rows->pack);
    struct packed_row row;
    *count = 0;
    for (; rest.len; ++*count) {
        if (pack_take(&rest, &row) != KV_OK)
            return false;
        uint64_t at = key_token(row.key);
        bool behind = at > token || (at == token && bytes_cmp(row.key, key) > 0);
        if (!behind || token_partition(at, t->plan.partitions) != partition)
            return false;
        token = at;
        key = row.key;
    }
    const struct cursor *next = &rows->next;
    if (rows->done)
        return *count <= PACK_ROWS_MAX;
    bool reaches = next->token > token || (next->token == token && bytes_cmp(next->key, key) >= 0);
    bool moves = next->token != s->token || !bytes_eq(next->key, buf_bytes(&s->key));
    return reaches && moves && *count <= PACK_ROWS_MAX &&
           token_partition(next->token, t->plan.partitions) == partition;
}

/* The slot's page is durable. */
static void page_durable(struct transfer *t, struct slot *s, uint64_t now_us, struct outbox *out)
{
    struct stream *stream = stream_of(t, s);
    t->changed = true;
    s->state = SLOT_READY;
    if (!s->last) {
        struct buf key = s->key;
        s->key = s->next_key;
        s->next_key = key;
        s->token = stream->token = s->next_token;
    } else {
        transfer_slot_free(t, s);
        if (transfer_stream_done(&t->plan, stream) && all_done(t))
            t->note_us = now_us; /* that is not kept waiting */
    }
    transfer_note(t, now_us, out);
}

/* A source that cannot give what it should is not chosen any more where others can. */
static void source_failed(struct transfer *t, struct lane *lane, struct slot *s, uint64_t now_us)
{
    stream_of(t, s)->begun = false;
    transfer_slot_free(t, s);
    lane->retry_us = now_us + TRANSFER_RETRY_US;
    transfer_rewind(t, now_us);
}

static void page_refused(struct transfer *t, struct lane *lane, struct slot *s, uint64_t now_us, int status,
                         struct outbox *out)
{
    t->counters.refused++;
    if (status == KV_E_OVERLOADED) {
        lane->retry_us = now_us + TRANSFER_BUSY_RETRY_US;
        return;
    }
    if (status == KV_E_WRONG_RING) {
        lane->retry_us = now_us + TRANSFER_RETRY_US;
        return;
    }
    uint32_t partition = t->plan.parts[stream_of(t, s)->part].partition;
    if (log_allowed(now_us, &t->refused_log_us, &t->refused_suppressed))
        outbox_log(out, LOG_WARN, "event=transfer_refused member=%u partition=%u status=%s text=\"%s\"",
                   lane->member, partition, kv_error_word(status), kv_error_text(status));
    source_failed(t, lane, s, now_us);
}

/* Purge (DESIGN section 7) relies on it that nothing older than this is ever applied. */
static bool is_too_old(const struct transfer *t, uint64_t hlc, uint64_t began_hlc)
{
    return hlc_is_older(began_hlc, hlc, t->row_age_max_ms);
}

static void page_write(struct transfer *t, struct lane *lane, struct slot *s, const struct msg_rows *rows,
                       struct outbox *out)
{
    struct effect *e = outbox_add(out, EF_STORE_MERGE);
    s->serial = ++t->serial;
    e->op = transfer_op((uint32_t)(lane - t->plan.lanes), (uint32_t)(s - lane->slots), s->serial);
    e->merge.pack = blob_ref(rows->pack);
    s->state = SLOT_WRITING;
    s->bytes = rows->pack->len;
    t->held_bytes += s->bytes;
}

static void sample_rate(struct transfer *t, uint64_t now_us)
{
    uint64_t us = now_us - t->sample_us;
    if (us < SAMPLE_US)
        return;
    t->sampled_rate = (t->counters.bytes - t->sample_bytes) * 1000000 / us;
    t->sample_us = now_us;
    t->sample_bytes = t->counters.bytes;
}

/* Of a page that was found good. */
static void learn_stamps(struct transfer *t, struct now now, const struct clock *clock,
                         const struct blob *pack)
{
    struct bytes rest = blob_bytes(pack);
    struct packed_row row;
    while (rest.len && pack_take(&rest, &row) == KV_OK) {
        uint64_t hlc = row.row.stamp.hlc;
        if (hlc > t->newest_hlc && clock_accepts(clock, now.wall_ms, hlc))
            t->newest_hlc = hlc;
    }
}

/* A page that was asked for, from who was asked. */
static void page_take(struct transfer *t, struct lane *lane, struct slot *s, struct now now,
                      const struct clock *clock, const struct msg_rows *rows, struct outbox *out)
{
    uint32_t count, partition = t->plan.parts[stream_of(t, s)->part].partition;
    uint64_t hlc = clock_peek(clock, now.wall_ms);
    if (!page_ok(t, s, partition, rows, &count) || is_too_old(t, hlc, rows->began_hlc)) {
        t->counters.damaged++;
        page_refused(t, lane, s, now.mono_us, KV_E_MALFORMED, out);
        return;
    }
    if (!rows->done && buf_set(&s->next_key, rows->next.key)) {
        lane->retry_us = now.mono_us + TRANSFER_RETRY_US;
        return;
    }
    uint32_t bytes = (uint32_t)blob_bytes(rows->pack).len;
    rate_take(&t->rate, now.mono_us, bytes);
    learn_stamps(t, now, clock, rows->pack);
    s->misses = 0;
    s->last = rows->done;
    s->next_token = rows->next.token;
    t->counters.pages++;
    t->counters.rows += count;
    t->counters.bytes += bytes;
    t->plan_bytes += bytes;
    sample_rate(t, now.mono_us);
    if (bytes)
        page_write(t, lane, s, rows, out);
    else
        page_durable(t, s, now.mono_us, out);
}

void transfer_rows(struct transfer *t, struct now now, const struct clock *clock, uint32_t member,
                   const struct message *m, struct outbox *out)
{
    struct lane *lane;
    struct slot *s = transfer_slot_of(t, m->id, SLOT_ASKED, &lane);
    if (m->type != MSG_ROWS || !s || lane->member != member)
        return;
    transfer_slot_answered(t, s);
    /* Only what was read after the source had adopted the change is complete. */
    bool old = MUTANT(old_snapshot, m->ring_epoch < t->source_epoch, false);
    int status = old ? KV_E_WRONG_RING : m->rows.status;
    if (status != KV_OK)
        page_refused(t, lane, s, now.mono_us, status, out);
    else
        page_take(t, lane, s, now, clock, &m->rows, out);
    transfer_pump(t, lane, now.mono_us, out);
}

void transfer_written(struct transfer *t, struct now now, const struct event *in, struct outbox *out)
{
    if (transfer_noted(t, now, in, out))
        return;
    struct lane *lane;
    struct slot *s = transfer_slot_of(t, in->written.op, SLOT_WRITING, &lane);
    if (!s)
        return;
    KV_ASSERT(t->held_bytes >= s->bytes);
    t->held_bytes -= s->bytes;
    s->bytes = 0;
    if (in->written.status == KV_OK) {
        page_durable(t, s, now.mono_us, out);
    } else {
        s->state = SLOT_READY;
        lane->retry_us = now.mono_us + TRANSFER_RETRY_US;
    }
    if (s->state == SLOT_READY && !lane->reachable)
        transfer_slot_free(t, s);
    transfer_pump(t, lane, now.mono_us, out);
    if (t->starved)
        wake(t, now.mono_us);
}
