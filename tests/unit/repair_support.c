/* See repair_support.h. */
#include "repair_support.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

static void collect(struct world *w);

struct ring *world_ring(uint64_t epoch, uint32_t without)
{
    struct ring_spec spec = {.epoch = epoch, .replicas = 3, .after = ids_to(MEMBERS)};
    if (without)
        spec.after &= ~id_bit(without);
    return rings_make(&spec);
}

void world_ring_set(struct world *w, const struct ring_spec *spec)
{
    struct ring *old = w->ring;
    w->ring = rings_make(spec);
    hints_ring_set(w->hints, w->ring);
    ring_destroy(old);
    collect(w);
}

struct world *world_create_with(uint64_t max_bytes)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->ring = world_ring(1, 0);
    w->now.mono_us = 9000000;
    assert_int_equal(hints_create(SELF, max_bytes, &w->hints), KV_OK);
    assert_int_equal(outbox_init(&w->out), KV_OK);
    hints_ring_set(w->hints, w->ring);
    return w;
}

void world_destroy(struct world *w)
{
    hints_check(w->hints);
    hints_destroy(w->hints);
    outbox_deinit(&w->out);
    for (uint32_t i = 0; i < w->item_count; i++) {
        if (w->items[i].row.payload)
            assert_int_equal(w->items[i].row.payload->refs, 1);
        row_release(&w->items[i].row);
    }
    ring_destroy(w->ring);
    free(w);
}

struct world *world_create(void)
{
    return world_create_with(HINTS_MAX_BYTES);
}

static int item_cmp(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

uint64_t item_weight(const struct item *it)
{
    return strlen(it->text) + blob_bytes(it->row.payload).len;
}

void world_fill(struct world *w, uint32_t count, size_t bytes, uint32_t member)
{
    w->item_count = count;
    for (uint32_t i = 0, n = 0; i < count; i++) {
        struct item *it = &w->items[i];
        do {
            snprintf(it->text, sizeof it->text, "key%u", n++);
            it->token = key_token(bytes_str(it->text));
        } while (!ring_is_home(w->ring, ring_partition(w->ring, it->token), member));
        it->row = (struct row){.kind = ROW_REGISTER, .stamp = {100 + i, 1}, .raw_size = (uint32_t)bytes};
        it->row.payload = blob_create(bytes);
        memset(it->row.payload->data, 'x', bytes);
        it->notes[member] = it->row.stamp;
        assert_int_equal(hints_noted(w->hints, w->now, member, item_weight(it)), KV_OK);
    }
    qsort(w->items, count, sizeof w->items[0], item_cmp);
}

static uint32_t item_of(const struct world *w, struct bytes key)
{
    for (uint32_t i = 0; i < w->item_count; i++) {
        if (bytes_eq(key, bytes_str(w->items[i].text)))
            return i;
    }
    fail_msg("a key that was never kept");
    return 0;
}

static void collect(struct world *w)
{
    for (uint32_t i = 0; i < w->out.count; i++) {
        const struct effect *e = &w->out.effects[i];
        if (e->type == EF_STORE_HINTS) {
            assert_false(w->reading);
            assert_true(e->hints.limit <= HINTS_WINDOW);
            assert_int_equal(id_owner(e->op), ID_HINTS);
            w->read = *e;
            w->reading = true;
            w->pages++;
            if (e->hints.after.key.len)
                memcpy(w->read_key, e->hints.after.key.data, e->hints.after.key.len);
            w->read.hints.after.key.data = (const uint8_t *)w->read_key;
        } else if (e->type == EF_LOG) {
            w->log_lines++;
        } else if (e->type == EF_STORE_TOTALS) {
            assert_false(w->counting);
            assert_int_equal(id_owner(e->op), ID_HINTS);
            w->counting = true;
        } else if (e->type == EF_SEND) {
            const struct message *m = &e->send.message;
            assert_int_equal(m->type, MSG_WRITE);
            assert_int_equal(m->write.flags, WRITE_HANDOFF);
            assert_int_equal(m->write.began_hlc, HLC);
            uint32_t item = item_of(w, m->write.key);
            for (uint32_t h = 0; h < m->write.hint_count; h++)
                w->items[item].moved_to[m->write.hints[h]] |= id_bit(e->send.to.peer);
            assert_int_equal(stamp_cmp(m->write.row.stamp, w->items[item].row.stamp), 0);
            w->sent[w->sent_count++] = (struct mail){e->send.to.peer, m->id, item, m->write.row.stamp};
            w->bytes_sent += item_weight(&w->items[item]);
        } else {
            assert_int_equal(e->type, EF_STORE_HINT_DONE);
            struct item *it = &w->items[item_of(w, e->hint_done.key)];
            bool home = ring_is_home(w->ring, ring_partition(w->ring, it->token), SELF);
            assert_int_equal(e->hint_done.drop_row, !home && !row_is_absent(&it->row));
            w->dropped += e->hint_done.drop_row;
            w->forget[w->forget_count++] =
                (struct mail){e->hint_done.member, e->op, (uint32_t)(it - w->items), e->hint_done.stamp};
        }
    }
    if (w->sent_count > w->in_flight_max)
        w->in_flight_max = w->sent_count;
    outbox_reset(&w->out);
    hints_check(w->hints);
}

void world_tick(struct world *w)
{
    hints_tick(w->hints, w->now, &w->out);
    collect(w);
}

void world_wait(struct world *w)
{
    uint64_t at = hints_deadline_us(w->hints);
    assert_true(at != UINT64_MAX);
    if (at > w->now.mono_us)
        w->now.mono_us = at;
    world_tick(w);
}

void world_page(struct world *w, int status)
{
    static struct page_entry entries[HINTS_WINDOW];
    struct event e = {.type = EV_STORE_PAGE, .page = {.op = w->read.op, .status = status, .done = true}};
    uint64_t bytes = 0;
    assert_true(w->reading);
    w->reading = false;
    e.page.entries = entries;
    for (uint32_t i = 0; i < w->item_count && status == KV_OK; i++) {
        struct item *it = &w->items[i];
        struct stamp note = it->notes[w->read.hints.member];
        bool behind = w->read.hints.after.key.len == 0 || it->token > w->read.hints.after.token;
        if (!behind || stamp_is_zero(note))
            continue;
        if (e.page.count == w->read.hints.limit || bytes >= 1u << 20) {
            e.page.done = false;
            break;
        }
        entries[e.page.count++] =
            (struct page_entry){bytes_str(it->text), it->damaged ? row_absent() : it->row, note, it->damaged};
        e.page.next = (struct cursor){it->token, bytes_str(it->text)};
        bytes += item_weight(it);
    }
    hints_page(w->hints, w->now, HLC, &e, &w->out);
    collect(w);
}

void world_count(struct world *w, int status)
{
    struct hint_total totals[MEMBERS + 2];
    struct event e = {.type = EV_STORE_TOTALS, .totals = {.status = status, .members = totals}};
    assert_true(w->counting);
    w->counting = false;
    for (uint32_t member = 1; member < MEMBERS + 2 && status == KV_OK; member++) {
        struct hint_total *t = &totals[e.totals.count];
        *t = (struct hint_total){.member = member};
        for (uint32_t i = 0; i < w->item_count; i++) {
            bool noted = !stamp_is_zero(w->items[i].notes[member]);
            t->count += noted;
            t->bytes += noted ? item_weight(&w->items[i]) : 0;
        }
        e.totals.count += t->count > 0;
    }
    hints_counted(w->hints, w->now, &e);
    collect(w);
}

struct mail world_take(struct mail *list, uint32_t *count, uint32_t i)
{
    struct mail m = list[i];
    assert_true(i < *count);
    memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof *list);
    --*count;
    return m;
}

void world_ack_mail(struct world *w, struct mail m, int status)
{
    struct message a = {.type = MSG_WRITE_ACK, .id = m.id, .write_ack = {.status = status}};
    hints_acked(w->hints, w->now, m.member, &a, &w->out);
    collect(w);
}

void world_ack(struct world *w, uint32_t i, int status)
{
    struct mail m = world_take(w->sent, &w->sent_count, i);
    if (status == KV_OK)
        w->items[m.item].reached |= id_bit(m.member);
    world_ack_mail(w, m, status);
}

void world_forget(struct world *w, uint32_t i, int status)
{
    struct mail m = world_take(w->forget, &w->forget_count, i);
    struct stamp *note = &w->items[m.item].notes[m.member];
    if (status == KV_OK && stamp_cmp(*note, m.stamp) <= 0)
        *note = (struct stamp){0, 0};
    struct event e = {.type = EV_STORE_WRITTEN, .written = {.op = m.id, .status = status}};
    hints_written(w->hints, w->now, &e, &w->out);
    collect(w);
}

void world_serve(struct world *w)
{
    for (;;) {
        if (w->reading)
            world_page(w, KV_OK);
        else if (w->forget_count)
            world_forget(w, 0, KV_OK);
        else if (w->sent_count)
            world_ack(w, 0, KV_OK);
        else if (w->counting)
            world_count(w, KV_OK);
        else
            return;
    }
}

void world_peer(struct world *w, uint32_t member, bool reachable)
{
    hints_peer_set(w->hints, w->now, member, reachable);
    collect(w);
}

uint32_t world_notes_left(const struct world *w, uint32_t member)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < w->item_count; i++)
        left += !stamp_is_zero(w->items[i].notes[member]);
    return left;
}

void world_nothing_waits(struct world *w, uint32_t member)
{
    assert_int_equal(world_notes_left(w, member), 0);
    assert_int_equal(hints_waiting(w->hints, member), 0);
    assert_int_equal(hints_bytes(w->hints), 0);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
}
