/* Taking partitions over: see transfer.h. A slot's life, page by page:
 *
 *     FREE --(a stream is due)--> READY --PULL--> ASKED --ROWS--> WRITING --durable--> READY ... FREE
 *                                   ^               |                |
 *                                   +--(refused, late, damaged)------+--(no room)
 *
 * Whatever becomes of a page, the stream's cursor is moved only when all of it is durable: a page that is
 * asked for twice merges to the same rows. */
#include "repair/transfer_internal.h"

#include "base/assert.h"
#include "kv_error.h"

#include <stdlib.h>

#define FIRST_LOOK_US UINT64_C(5000000) /* when it is first asked whether anything moves */

/* ---- life */

int transfer_create(const struct transfer_config *config, struct transfer **out)
{
    struct transfer *t = calloc(1, sizeof *t);
    if (!t)
        return KV_E_NO_MEMORY;
    t->self = config->self;
    t->row_age_max_ms = config->row_age_max_ms;
    t->meta = config->meta;
    t->page_bytes = config->page_bytes && config->page_bytes < TRANSFER_PAGE_BYTES ? config->page_bytes
                                                                                   : TRANSFER_PAGE_BYTES;
    t->rate.per_second = config->rate_bytes ? config->rate_bytes : TRANSFER_RATE_BYTES;
    t->wake_us = UINT64_MAX;
    map_init(&t->reachable);
    if (buf_set(&t->noted, config->noted)) {
        transfer_destroy(t);
        return KV_E_NO_MEMORY;
    }
    *out = t;
    return KV_OK;
}

void transfer_destroy(struct transfer *t)
{
    if (!t)
        return;
    transfer_plan_deinit(&t->plan);
    map_deinit(&t->reachable);
    buf_deinit(&t->noted);
    free(t);
}

/* ---- notes */

void transfer_note(struct transfer *t, uint64_t now_us, struct outbox *out)
{
    if (!t->changed || t->noting)
        return;
    if (now_us < t->note_us) {
        wake(t, t->note_us);
        return;
    }
    struct buf value = {0};
    struct bytes copy = {NULL, 0};
    if (transfer_note_encode(&t->plan, t->source_epoch, &value) == KV_OK)
        copy = arena_copy(&out->arena, buf_bytes(&value));
    buf_deinit(&value);
    t->note_us = now_us + TRANSFER_NOTE_US;
    if (!copy.len) {
        wake(t, t->note_us);
        return;
    }
    t->changed = false;
    t->noting = true;
    t->noting_all = all_done(t);
    t->note_serial = ++t->serial;
    struct effect *e = outbox_add(out, EF_STORE_META);
    e->op = transfer_op(NOTE_LANE, 0, t->note_serial);
    e->meta.name = t->meta;
    e->meta.value = copy;
}

static void log_whole(const struct transfer *t, uint64_t now_us, struct outbox *out)
{
    outbox_log(out, LOG_INFO, "event=transfer_whole source_epoch=%llu partitions=%u bytes=%llu ms=%llu",
               (unsigned long long)t->source_epoch, t->plan.part_count, (unsigned long long)t->plan_bytes,
               (unsigned long long)(now_us - t->began_us) / 1000);
}

bool transfer_noted(struct transfer *t, struct now now, const struct event *in, struct outbox *out)
{
    if (!t->noting || in->written.op != transfer_op(NOTE_LANE, 0, t->note_serial))
        return false;
    t->noting = false;
    if (in->written.status != KV_OK) {
        t->changed = true;
        t->note_us = now.mono_us + TRANSFER_RETRY_US;
        wake(t, t->note_us);
        return true;
    }
    if (t->noting_all && t->whole != t->source_epoch) {
        t->whole = t->source_epoch;
        log_whole(t, now.mono_us, out);
    }
    transfer_note(t, now.mono_us, out); /* of what came meanwhile */
    return true;
}

/* ---- the ring */

static uint64_t wanted_epoch(const struct ring *ring)
{
    const struct ring_value *v = &ring->value;
    return v->phase == RING_STABLE || v->undo ? 0 : v->source_epoch;
}

static void stop(struct transfer *t)
{
    transfer_plan_deinit(&t->plan);
    t->source_epoch = t->whole = 0;
    t->asked = 0;
    t->held_bytes = 0; /* what is being written still is, and nobody waits for it */
    t->wake_us = UINT64_MAX;
    t->changed = t->noting = t->starved = false;
    t->plan_bytes = t->sampled_rate = 0;
}

static void log_begin(const struct transfer *t, struct outbox *out)
{
    const struct plan *p = &t->plan;
    outbox_log(out, LOG_INFO, "event=transfer_begin source_epoch=%llu partitions=%u done=%u sources=%u",
               (unsigned long long)t->source_epoch, p->part_count, p->parts_done, p->lane_count);
    if (p->parts_lost)
        outbox_log(
            out, LOG_ERROR,
            "event=transfer_loss partitions=%u text=\"fewer of the homes that these partitions had are "
            "left than could prove them complete: what was acknowledged by the others alone is lost\"",
            p->parts_lost);
}

static void begin(struct transfer *t, struct now now, const struct ring *ring, struct outbox *out)
{
    uint64_t from = transfer_note_epoch(buf_bytes(&t->noted));
    /* Epochs are never used twice: it is a note of this very change. */
    if (from >= ring->value.since && from <= ring->value.source_epoch)
        transfer_note_apply(buf_bytes(&t->noted), &t->plan);
    t->source_epoch = ring->value.source_epoch;
    t->began_us = t->sample_us = now.mono_us;
    t->sample_bytes = t->counters.bytes;
    t->counters.lost += t->plan.parts_lost;
    t->log_us = now.mono_us + FIRST_LOOK_US;
    t->note_us = now.mono_us;
    for (uint32_t i = 0; i < t->plan.lane_count; i++)
        t->plan.lanes[i].reachable = map_get(&t->reachable, t->plan.lanes[i].member) != NULL;
    if (t->plan.part_count)
        log_begin(t, out);
    if (all_done(t) && (t->plan.part_count == 0 || from == t->source_epoch))
        t->whole = t->source_epoch;
    t->changed = all_done(t) && !t->whole; /* done under another source_epoch: that has to be noted */
    wake(t, now.mono_us);
}

int transfer_ring_set(struct transfer *t, struct now now, const struct ring *ring, struct outbox *out)
{
    uint64_t epoch = wanted_epoch(ring);
    if (epoch == t->source_epoch)
        return KV_OK;
    if (t->source_epoch) {
        buf_clear(&t->noted); /* without memory for it all is taken over again */
        (void)transfer_note_encode(&t->plan, t->source_epoch, &t->noted);
    }
    stop(t);
    int rc = epoch ? transfer_plan_create(ring, t->self, &t->plan) : KV_OK;
    if (rc == KV_OK && epoch)
        begin(t, now, ring, out);
    return rc;
}

/* ---- sources come and go */

/* A member that there is no memory for counts as away; its next return helps. */
void transfer_peer_set(struct transfer *t, struct now now, uint32_t member, bool reachable,
                       struct outbox *out)
{
    if (!reachable)
        (void)map_remove(&t->reachable, member);
    else if (map_set(&t->reachable, member, t) != KV_OK)
        return;
    for (uint32_t i = 0; i < t->plan.lane_count; i++) {
        struct lane *lane = &t->plan.lanes[i];
        if (lane->member != member || lane->reachable == reachable)
            continue;
        lane->reachable = reachable;
        lane->retry_us = 0;
        if (!reachable)
            transfer_lane_lost(t, lane);
        transfer_rewind(t, now.mono_us);
        transfer_pump(t, lane, now.mono_us, out);
    }
}

void transfer_busy_set(struct transfer *t, bool busy)
{
    t->busy = busy;
}

/* ---- time */

/* The first part that has fewer sources within reach than it needs; NULL: none. */
static const struct part *find_waiting(const struct plan *p, uint32_t *waiting)
{
    const struct part *first = NULL;
    *waiting = 0;
    for (uint32_t i = 0; i < p->part_count; i++) {
        const struct part *part = &p->parts[i];
        uint32_t usable = 0;
        for (uint32_t k = 0; k < part->stream_count; k++) {
            const struct stream *s = &p->streams[part->first_stream + k];
            usable += s->done || p->lanes[s->lane].reachable;
        }
        if (part->done || usable >= part->need)
            continue;
        first = first ? first : part;
        ++*waiting;
    }
    return first;
}

static void say_if_stuck(struct transfer *t, uint64_t now_us, struct outbox *out)
{
    if (now_us < t->log_us || all_done(t)) {
        wake(t, all_done(t) ? UINT64_MAX : t->log_us);
        return;
    }
    uint32_t waiting;
    const struct part *part = find_waiting(&t->plan, &waiting);
    if (part)
        outbox_log(
            out, LOG_WARN,
            "event=transfer_waits partitions=%u first=%u needs=%u text=\"too few of the homes that these "
            "partitions had can be reached to take them over\"",
            waiting, part->partition, part->need);
    t->log_us = now_us + TRANSFER_LOG_US;
    wake(t, t->log_us);
}

void transfer_tick(struct transfer *t, struct now now, struct outbox *out)
{
    if (t->wake_us > now.mono_us)
        return;
    t->wake_us = UINT64_MAX;
    for (uint32_t i = 0; i < t->plan.lane_count; i++) {
        if (outbox_room(out) < OUT_MAX / 2) {
            wake(t, now.mono_us);
            return;
        }
        transfer_lane_late(t, &t->plan.lanes[i], now.mono_us);
        transfer_pump(t, &t->plan.lanes[i], now.mono_us, out);
    }
    transfer_note(t, now.mono_us, out);
    say_if_stuck(t, now.mono_us, out);
}

uint64_t transfer_deadline_us(const struct transfer *t)
{
    return t->wake_us;
}

/* ---- what is told */

uint64_t transfer_whole(const struct transfer *t)
{
    return t->whole;
}

struct transfer_progress transfer_progress(const struct transfer *t)
{
    return (struct transfer_progress){
        .source_epoch = t->source_epoch,
        .partitions_done = t->plan.parts_done,
        .partitions_total = t->plan.part_count,
        .bytes = t->plan_bytes,
        .rate_bytes = all_done(t) ? 0 : t->sampled_rate,
    };
}

struct transfer_counters transfer_counters(const struct transfer *t)
{
    return t->counters;
}

uint64_t transfer_newest_hlc(const struct transfer *t)
{
    return t->newest_hlc;
}

uint64_t transfer_held_bytes(const struct transfer *t)
{
    return t->held_bytes;
}

static void check_lane(const struct transfer *t, const struct lane *lane, uint32_t *asked, uint64_t *held)
{
    for (uint32_t i = 0; i < TRANSFER_WINDOW; i++) {
        const struct slot *s = &lane->slots[i];
        *asked += s->state == SLOT_ASKED;
        *held += s->state == SLOT_WRITING ? s->bytes : 0;
        if (s->state == SLOT_FREE)
            continue;
        const struct stream *stream = &t->plan.streams[s->stream];
        KV_ASSERT(stream->active && &t->plan.lanes[stream->lane] == lane && !stream->done);
        KV_ASSERT(lane->reachable || s->state == SLOT_WRITING);
        KV_ASSERT(s->state != SLOT_ASKED || t->wake_us <= s->due_us);
    }
}

void transfer_check(const struct transfer *t)
{
    uint32_t asked = 0, done = 0;
    uint64_t held = 0;
    for (uint32_t i = 0; i < t->plan.lane_count; i++)
        check_lane(t, &t->plan.lanes[i], &asked, &held);
    KV_ASSERT(asked == t->asked && held == t->held_bytes);
    for (uint32_t i = 0; i < t->plan.part_count; i++)
        done += t->plan.parts[i].done;
    KV_ASSERT(done == t->plan.parts_done);
    KV_ASSERT(t->whole == 0 || (t->whole == t->source_epoch && all_done(t)));
    KV_ASSERT(t->whole || t->noting || t->source_epoch == 0 || t->wake_us != UINT64_MAX);
}
