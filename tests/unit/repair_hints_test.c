/* Hinted handoff over a simulated store: which notes go, when, how many at once, and what stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "kv_error.h"
#include "model/id.h"
#include "repair/hints.h"

enum { MEMBERS = 5, SELF = 1, KEYS_MAX = 1000, MAIL_MAX = 1024 };

#define HLC UINT64_C(123456)

/* A key of the store: its row, and the stamps of the notes on it, by member. */
struct item {
    uint64_t token;
    char text[16];
    struct row row;
    struct stamp notes[MEMBERS + 2];
};

struct mail {
    uint32_t member;
    uint64_t id;
    uint32_t item;
    struct stamp stamp;
};

struct world {
    struct hints *hints;
    struct ring *ring;
    struct outbox out;
    struct now now;
    struct item items[KEYS_MAX]; /* in token order */
    uint32_t item_count;
    /* What was asked for, oldest first. */
    struct mail sent[MAIL_MAX], forget[MAIL_MAX];
    uint32_t sent_count, forget_count;
    struct effect read; /* the page asked for */
    char read_key[16];
    bool reading;
    uint32_t in_flight_max, dropped, pages;
    uint64_t bytes_sent;
};

static struct ring *make_ring(uint64_t epoch, uint32_t without)
{
    struct member table[MEMBERS] = {0};
    struct ring_value v = {
        .epoch = epoch, .partitions = 256, .replicas = 3, .next_id = 100, .members = table};
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        if (id == without)
            continue;
        struct member *m = &table[v.member_count++];
        m->id = id;
        m->store_id = id;
        m->weight = 1;
        snprintf(m->name, sizeof m->name, "n%u", id);
        snprintf(m->addr.host, sizeof m->addr.host, "127.0.0.1");
        m->addr.port = (uint16_t)(7600 + id);
    }
    struct ring *ring;
    assert_int_equal(ring_create(&v, &ring), KV_OK);
    return ring;
}

static struct world *world_create(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->ring = make_ring(1, 0);
    w->now.mono_us = 9000000;
    assert_int_equal(hints_create(SELF, &w->hints), KV_OK);
    assert_int_equal(outbox_init(&w->out), KV_OK);
    hints_ring_set(w->hints, w->ring);
    return w;
}

static void world_destroy(struct world *w)
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

static int item_cmp(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

static uint64_t weight_of(const struct item *it)
{
    return strlen(it->text) + blob_bytes(it->row.payload).len;
}

/* `count` rows with `bytes` of payload, each with a note for `member` that the store told of. */
static void fill(struct world *w, uint32_t count, size_t bytes, uint32_t member)
{
    w->item_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct item *it = &w->items[i];
        snprintf(it->text, sizeof it->text, "key%u", i);
        it->token = key_token(bytes_str(it->text));
        it->row = (struct row){.kind = ROW_REGISTER, .stamp = {100 + i, 1}, .raw_size = (uint32_t)bytes};
        it->row.payload = blob_create(bytes);
        memset(it->row.payload->data, 'x', bytes);
        it->notes[member] = it->row.stamp;
        assert_int_equal(hints_noted(w->hints, w->now, member, weight_of(it)), KV_OK);
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
        } else if (e->type == EF_SEND) {
            const struct message *m = &e->send.message;
            assert_int_equal(m->type, MSG_WRITE);
            assert_int_equal(m->write.flags, WRITE_HANDOFF);
            assert_int_equal(m->write.hint_count, 0);
            assert_int_equal(m->write.began_hlc, HLC);
            uint32_t item = item_of(w, m->write.key);
            assert_int_equal(stamp_cmp(m->write.row.stamp, w->items[item].row.stamp), 0);
            w->sent[w->sent_count++] = (struct mail){e->send.to.peer, m->id, item, m->write.row.stamp};
            w->bytes_sent += weight_of(&w->items[item]);
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

static void tick(struct world *w)
{
    hints_tick(w->hints, w->now, &w->out);
    collect(w);
}

/* Lets time go by to the next deadline. */
static void wait(struct world *w)
{
    uint64_t at = hints_deadline_us(w->hints);
    assert_true(at != UINT64_MAX);
    if (at > w->now.mono_us)
        w->now.mono_us = at;
    tick(w);
}

static void page(struct world *w, int status)
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
        entries[e.page.count++] = (struct page_entry){bytes_str(it->text), it->row, note};
        e.page.next = (struct cursor){it->token, bytes_str(it->text)};
        bytes += weight_of(it);
    }
    hints_page(w->hints, w->now, HLC, &e, &w->out);
    collect(w);
}

static struct mail take(struct mail *list, uint32_t *count, uint32_t i)
{
    struct mail m = list[i];
    assert_true(i < *count);
    memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof *list);
    --*count;
    return m;
}

static void ack_mail(struct world *w, struct mail m, int status)
{
    struct message a = {.type = MSG_WRITE_ACK, .id = m.id, .write_ack = {.status = status}};
    hints_acked(w->hints, w->now, m.member, &a, &w->out);
    collect(w);
}

static void ack(struct world *w, uint32_t i, int status)
{
    ack_mail(w, take(w->sent, &w->sent_count, i), status);
}

/* The store forgets a note, unless it is newer. */
static void forget(struct world *w, uint32_t i, int status)
{
    struct mail m = take(w->forget, &w->forget_count, i);
    struct stamp *note = &w->items[m.item].notes[m.member];
    if (status == KV_OK && stamp_cmp(*note, m.stamp) <= 0)
        *note = (struct stamp){0, 0};
    struct event e = {.type = EV_STORE_WRITTEN, .written = {.op = m.id, .status = status}};
    hints_written(w->hints, w->now, &e, &w->out);
    collect(w);
}

/* Store and members answer everything, until there is nothing to do without time going by. */
static void serve(struct world *w)
{
    for (;;) {
        if (w->reading)
            page(w, KV_OK);
        else if (w->forget_count)
            forget(w, 0, KV_OK);
        else if (w->sent_count)
            ack(w, 0, KV_OK);
        else
            return;
    }
}

static void peer(struct world *w, uint32_t member, bool reachable)
{
    hints_peer_set(w->hints, w->now, member, reachable);
    collect(w);
}

static uint32_t notes_left(const struct world *w, uint32_t member)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < w->item_count; i++)
        left += !stamp_is_zero(w->items[i].notes[member]);
    return left;
}

static void nothing_waits(struct world *w, uint32_t member)
{
    assert_int_equal(notes_left(w, member), 0);
    assert_int_equal(hints_waiting(w->hints, member), 0);
    assert_int_equal(hints_bytes(w->hints), 0);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
}

static void notes_go_when_the_member_is_back(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 200, 100, 3);
    assert_int_equal(hints_waiting(w->hints, 3), 200);
    assert_int_equal(hints_waiting(w->hints, 0), 200);
    assert_true(hints_bytes(w->hints) > 200 * 100);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
    peer(w, 3, true);
    assert_true(hints_deadline_us(w->hints) <= w->now.mono_us); /* at once */
    tick(w);
    for (int i = 0; i < 20 && notes_left(w, 3); i++) {
        serve(w);
        if (notes_left(w, 3))
            wait(w);
    }
    nothing_waits(w, 3);
    assert_int_equal(hints_handed_over(w->hints), 200);
    assert_int_equal(w->in_flight_max, HINTS_WINDOW);
    assert_int_equal(w->pages, 4);
    assert_in_range(w->dropped, 40, 120); /* where this node is no home: two in five */
    world_destroy(w);
}

static void a_page_is_finished_before_the_next(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 200, 10, 3);
    peer(w, 3, true);
    tick(w);
    page(w, KV_OK);
    assert_int_equal(w->sent_count, HINTS_WINDOW);
    for (uint32_t i = 0; i < HINTS_WINDOW; i++) {
        assert_false(w->reading);
        ack(w, w->sent_count - 1, KV_OK); /* in any order */
        assert_int_equal(w->forget_count, 1);
        forget(w, 0, KV_OK);
    }
    wait(w);
    assert_true(w->reading);
    serve(w);
    world_destroy(w);
}

/* 8 MiB a second, however fast the member acknowledges. */
static void the_rate_is_limited(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 320, 100000, 3);
    peer(w, 3, true);
    uint64_t began_us = w->now.mono_us;
    tick(w);
    for (serve(w); notes_left(w, 3); serve(w)) {
        double seconds = (double)(w->now.mono_us - began_us) / 1e6;
        assert_true((double)w->bytes_sent <= (seconds * (double)HINTS_RATE_BYTES) + 2.0 * (1 << 20));
        wait(w);
    }
    nothing_waits(w, 3);
    assert_in_range(w->now.mono_us - began_us, 3600000, 3900000); /* 32 MB */
    world_destroy(w);
}

static void a_purged_row_leaves_only_its_note_to_go(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 3, 10, 3);
    row_release(&w->items[1].row);
    peer(w, 3, true);
    tick(w);
    page(w, KV_OK);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(w->forget_count, 1);
    assert_int_equal(stamp_cmp(w->forget[0].stamp, w->items[1].notes[3]), 0);
    serve(w);
    nothing_waits(w, 3);
    assert_int_equal(hints_handed_over(w->hints), 2);
    world_destroy(w);
}

static void what_is_refused_does_not_hold_up_the_rest(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100, 10, 3);
    peer(w, 3, true);
    tick(w);
    page(w, KV_OK);
    uint32_t poison = w->sent[0].item;
    ack(w, 0, KV_E_INVALID);
    for (int pass = 0; pass < 3; pass++) {
        for (;;) {
            uint32_t i = 0;
            if (w->reading)
                page(w, KV_OK);
            else if (w->forget_count)
                forget(w, 0, KV_OK);
            else if (w->sent_count) {
                while (i + 1 < w->sent_count && w->sent[i].item == poison)
                    i++;
                ack(w, i, w->sent[i].item == poison ? KV_E_INVALID : KV_OK);
            } else if (notes_left(w, 3) > 1)
                wait(w); /* for the rate */
            else
                break;
        }
        assert_int_equal(notes_left(w, 3), 1);
        assert_true(hints_waiting(w->hints, 3) >= 1);
        assert_in_range(hints_deadline_us(w->hints), w->now.mono_us + 1, w->now.mono_us + HINTS_RETRY_US);
        wait(w);
    }
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void an_overloaded_member_is_left_alone_for_a_while(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 200, 10, 3);
    peer(w, 3, true);
    tick(w);
    page(w, KV_OK);
    ack(w, 0, KV_E_OVERLOADED);
    serve(w); /* those already on their way arrive */
    assert_int_equal(notes_left(w, 3), 200 - HINTS_WINDOW + 1);
    assert_false(w->reading);
    assert_int_equal(hints_deadline_us(w->hints), w->now.mono_us + HINTS_RETRY_US);
    while (notes_left(w, 3)) {
        wait(w);
        serve(w);
    }
    nothing_waits(w, 3);
    world_destroy(w);
}

static void what_is_not_acknowledged_is_sent_again(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 10, 10, 3);
    peer(w, 3, true);
    tick(w);
    page(w, KV_OK);
    struct mail late = take(w->sent, &w->sent_count, 0);
    uint64_t sent_us = w->now.mono_us;
    serve(w);
    assert_int_equal(notes_left(w, 3), 1);
    wait(w);
    assert_int_equal(w->now.mono_us, sent_us + HINTS_ACK_TIMEOUT_US);
    assert_false(w->reading);
    ack_mail(w, late, KV_OK); /* too late: it is sent again, which changes nothing there */
    assert_int_equal(w->forget_count, 0);
    wait(w);
    assert_int_equal(w->now.mono_us, sent_us + HINTS_ACK_TIMEOUT_US + HINTS_RETRY_US);
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void a_loss_ends_the_pass_and_a_return_begins_another(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 100, 10, 3);
    peer(w, 3, true);
    tick(w);
    struct effect asked = w->read;
    peer(w, 3, false);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
    page(w, KV_OK); /* the page comes, but is not wanted any more */
    assert_int_equal(w->sent_count, 0);
    peer(w, 3, true);
    tick(w);
    assert_true(w->read.op != asked.op);
    struct effect second = w->read;
    w->read = asked;
    page(w, KV_OK); /* nor is it taken for the one that is wanted now */
    assert_int_equal(w->sent_count, 0);
    w->read = second;
    w->reading = true;
    page(w, KV_OK);
    ack(w, 0, KV_OK);
    struct mail acked = w->sent[0];
    peer(w, 3, false);
    w->sent_count = 0;
    ack_mail(w, acked, KV_OK);
    assert_int_equal(w->forget_count, 1);
    forget(w, 0, KV_OK); /* done in the store all the same */
    assert_int_equal(notes_left(w, 3), 99);
    assert_true(hints_waiting(w->hints, 3) >= 99); /* an upper bound */
    peer(w, 3, true);
    tick(w);
    for (serve(w); notes_left(w, 3); serve(w))
        wait(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

/* Notes on the same key overwrite each other: only a pass can tell that none is left. */
static void counts_become_exact_after_a_clean_pass(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 5, 10, 3);
    for (int i = 0; i < 20; i++)
        assert_int_equal(hints_noted(w->hints, w->now, 3, weight_of(&w->items[0])), KV_OK);
    assert_int_equal(hints_waiting(w->hints, 3), 25);
    peer(w, 3, true);
    tick(w);
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void a_note_during_the_pass_makes_another(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 5, 10, 3);
    peer(w, 3, true);
    tick(w);
    page(w, KV_OK);
    /* A newer row for a key that is being handed over: its note must survive. */
    uint32_t item = w->sent[2].item;
    w->items[item].row.stamp.hlc += 1000;
    w->items[item].notes[3] = w->items[item].row.stamp;
    assert_int_equal(hints_noted(w->hints, w->now, 3, 20), KV_OK);
    for (uint32_t i = w->sent_count; i > 0; i--)
        ack(w, 0, KV_OK);
    while (w->forget_count)
        forget(w, 0, KV_OK);
    assert_int_equal(notes_left(w, 3), 1);
    assert_true(hints_waiting(w->hints, 3) >= 1);
    wait(w);
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void a_note_for_a_member_that_is_there_goes_soon(void **state)
{
    (void)state;
    struct world *w = world_create();
    peer(w, 3, true);
    fill(w, 5, 10, 3);
    assert_int_equal(hints_deadline_us(w->hints), w->now.mono_us + HINTS_RETRY_US);
    wait(w);
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void what_the_store_holds_at_start_is_counted(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 5, 10, 3);
    struct hints *second;
    assert_int_equal(hints_create(SELF, &second), KV_OK);
    assert_int_equal(hints_total_add(second, 3, 5, hints_bytes(w->hints)), KV_OK);
    hints_destroy(w->hints);
    w->hints = second;
    peer(w, 3, true);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX); /* no ring yet */
    hints_ring_set(w->hints, w->ring);
    wait(w);
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void notes_for_who_is_no_member_wait(void **state)
{
    (void)state;
    struct world *w = world_create();
    struct ring *with = w->ring, *without = make_ring(2, 3);
    fill(w, 5, 10, 3);
    hints_ring_set(w->hints, without);
    peer(w, 3, true);
    assert_true(hints_deadline_us(w->hints) == UINT64_MAX);
    hints_ring_set(w->hints, with);
    wait(w);
    serve(w);
    nothing_waits(w, 3);
    ring_destroy(without);
    world_destroy(w);
}

static void a_store_that_fails_is_asked_again(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 5, 10, 3);
    peer(w, 3, true);
    tick(w);
    page(w, KV_E_CORRUPT);
    assert_int_equal(hints_deadline_us(w->hints), w->now.mono_us + HINTS_RETRY_US);
    wait(w);
    page(w, KV_OK);
    ack(w, 0, KV_OK);
    forget(w, 0, KV_E_FULL); /* the disk */
    serve(w);
    assert_int_equal(notes_left(w, 3), 1);
    wait(w);
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void strange_answers_are_ignored(void **state)
{
    (void)state;
    struct world *w = world_create();
    fill(w, 5, 10, 3);
    peer(w, 3, true);
    tick(w);
    page(w, KV_OK);
    struct mail m = w->sent[0], other = m;
    other.member = 4;
    ack_mail(w, other, KV_OK); /* not whom it was sent to */
    assert_int_equal(w->forget_count, 0);
    other = m;
    other.id += UINT64_C(1) << 45; /* nobody's */
    ack_mail(w, other, KV_OK);
    other.id = m.id ^ UINT64_C(7) << 57;
    ack_mail(w, other, KV_OK);
    assert_int_equal(w->forget_count, 0);
    ack(w, 0, KV_OK);
    ack_mail(w, m, KV_OK); /* twice */
    assert_int_equal(w->forget_count, 1);
    uint64_t op = w->forget[0].id;
    forget(w, 0, KV_OK);
    struct event e = {.type = EV_STORE_WRITTEN, .written = {.op = op}};
    hints_written(w->hints, w->now, &e, &w->out);
    assert_int_equal(hints_handed_over(w->hints), 1);
    serve(w);
    nothing_waits(w, 3);
    world_destroy(w);
}

static void room_is_limited(void **state)
{
    (void)state;
    struct world *w = world_create();
    assert_true(hints_room(w->hints, HINTS_MAX_BYTES));
    assert_false(hints_room(w->hints, HINTS_MAX_BYTES + 1));
    assert_int_equal(hints_noted(w->hints, w->now, 3, HINTS_MAX_BYTES / 2), KV_OK);
    assert_int_equal(hints_noted(w->hints, w->now, 4, HINTS_MAX_BYTES / 2 - 10), KV_OK);
    assert_true(hints_room(w->hints, 10));
    assert_false(hints_room(w->hints, 11));
    assert_false(hints_room(w->hints, UINT64_MAX));
    world_destroy(w);
}

/* Members come, go, refuse and lose; puts go on. In the end every note has gone to its member. */
static void random_runs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct world *w = world_create();
        struct prng prng;
        bool up = false;
        prng_init(&prng, seed);
        fill(w, 150, 50, 3);
        for (int i = 0; i < 1500; i++) {
            uint64_t dice = prng_below(&prng, 100);
            if (dice < 50 && w->sent_count) {
                uint32_t n = (uint32_t)prng_below(&prng, w->sent_count);
                uint64_t luck = prng_below(&prng, 50);
                if (luck == 0)
                    take(w->sent, &w->sent_count, n);
                else
                    ack(w, n, luck == 1 ? KV_E_OVERLOADED : luck == 2 ? KV_E_STALE : KV_OK);
            } else if (dice < 75 && w->forget_count) {
                forget(w, 0, prng_below(&prng, 50) ? KV_OK : KV_E_FULL);
            } else if (dice < 80 && w->reading) {
                page(w, prng_below(&prng, 20) ? KV_OK : KV_E_IO);
            } else if (dice < 88) {
                w->now.mono_us += prng_below(&prng, 200000);
                tick(w);
            } else if (dice < 90) {
                up = !up;
                peer(w, 3, up);
                w->sent_count = 0;
                if (w->reading)
                    page(w, KV_OK);
            } else if (dice < 95) {
                struct item *it = &w->items[prng_below(&prng, w->item_count)];
                it->row.stamp.hlc += 1000;
                it->notes[3] = it->row.stamp;
                assert_int_equal(hints_noted(w->hints, w->now, 3, weight_of(it)), KV_OK);
            }
            assert_true(hints_waiting(w->hints, 3) > 0 || notes_left(w, 3) == 0);
        }
        peer(w, 3, true);
        for (int i = 0; i < 1000 && hints_waiting(w->hints, 3); i++) {
            serve(w);
            if (hints_deadline_us(w->hints) != UINT64_MAX)
                wait(w);
        }
        nothing_waits(w, 3);
        world_destroy(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes_go_when_the_member_is_back),
        cmocka_unit_test(a_page_is_finished_before_the_next),
        cmocka_unit_test(the_rate_is_limited),
        cmocka_unit_test(a_purged_row_leaves_only_its_note_to_go),
        cmocka_unit_test(what_is_refused_does_not_hold_up_the_rest),
        cmocka_unit_test(an_overloaded_member_is_left_alone_for_a_while),
        cmocka_unit_test(what_is_not_acknowledged_is_sent_again),
        cmocka_unit_test(a_loss_ends_the_pass_and_a_return_begins_another),
        cmocka_unit_test(counts_become_exact_after_a_clean_pass),
        cmocka_unit_test(a_note_during_the_pass_makes_another),
        cmocka_unit_test(a_note_for_a_member_that_is_there_goes_soon),
        cmocka_unit_test(what_the_store_holds_at_start_is_counted),
        cmocka_unit_test(notes_for_who_is_no_member_wait),
        cmocka_unit_test(a_store_that_fails_is_asked_again),
        cmocka_unit_test(strange_answers_are_ignored),
        cmocka_unit_test(room_is_limited),
        cmocka_unit_test(random_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
