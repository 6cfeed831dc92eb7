/* Dropping what is no longer held, over a store that answers when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "kv_error.h"
#include "model/id.h"
#include "model/key.h"
#include "repair/drop.h"
#include "unit/repair_support.h"

enum { ROWS = 5000 };

struct kept {
    char text[16];
    uint64_t token;
    struct stamp stamp; /* {0, 0}: gone */
    bool noted;
};

struct cellar {
    struct drop *drop;
    struct ring *ring;
    struct outbox out;
    struct now now;
    struct kept rows[ROWS]; /* in token order */
    struct effect asked;    /* EF_NONE: nothing */
    char asked_key[16];
    struct row_version doomed[STORE_KEYS_MAX];
    uint32_t pages, deletes, asked_max;
};

static int kept_cmp(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    return x->token < y->token ? -1 : x->token > y->token;
}

static bool is_held(const struct cellar *c, const struct kept *k)
{
    return ring_is_home(c->ring, ring_partition(c->ring, k->token), SELF);
}

static void collect(struct cellar *c)
{
    for (uint32_t i = 0; i < c->out.count; i++) {
        const struct effect *e = &c->out.effects[i];
        if (e->type == EF_LOG)
            continue;
        assert_int_equal(c->asked.type, EF_NONE); /* one thing at a time */
        assert_int_equal(id_owner(e->op), ID_DROP);
        c->asked = *e;
        if (e->type == EF_STORE_ROWS) {
            assert_true(e->rows.headers && e->rows.limit <= STORE_KEYS_MAX);
            memset(c->asked_key, 0, sizeof c->asked_key);
            if (e->rows.after.key.len)
                memcpy(c->asked_key, e->rows.after.key.data, e->rows.after.key.len);
            c->pages++;
        } else {
            assert_int_equal(e->type, EF_STORE_DELETE);
            assert_true(e->remove.unless_noted);
            assert_in_range(e->remove.count, 1, STORE_KEYS_MAX);
            memcpy(c->doomed, e->remove.entries, e->remove.count * sizeof c->doomed[0]);
            for (uint32_t k = 0; k < e->remove.count; k++) { /* the bytes are the event's */
                uint32_t r = 0;
                while (!bytes_eq(bytes_str(c->rows[r].text), c->doomed[k].key))
                    r++;
                c->doomed[k].key = bytes_str(c->rows[r].text);
            }
            c->deletes++;
        }
    }
    outbox_reset(&c->out);
    drop_check(c->drop);
}

/* Every row is there, whoever holds it. */
static struct cellar *cellar_create(void)
{
    struct cellar *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->now.mono_us = 1000000;
    c->ring = world_ring(1, 0);
    assert_int_equal(outbox_init(&c->out), KV_OK);
    assert_int_equal(drop_create(SELF, &c->drop), KV_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct kept *k = &c->rows[i];
        snprintf(k->text, sizeof k->text, "key%u", i);
        k->token = key_token(bytes_str(k->text));
        k->stamp = (struct stamp){100 + i, 1};
        k->noted = i % 10 == 0;
    }
    qsort(c->rows, ROWS, sizeof c->rows[0], kept_cmp);
    assert_int_equal(drop_ring_set(c->drop, c->now, c->ring), KV_OK);
    return c;
}

static void cellar_destroy(struct cellar *c)
{
    drop_destroy(c->drop);
    outbox_deinit(&c->out);
    ring_destroy(c->ring);
    free(c);
}

static void tick(struct cellar *c)
{
    uint64_t at = drop_deadline_us(c->drop);
    assert_true(at != UINT64_MAX);
    if (at > c->now.mono_us)
        c->now.mono_us = at;
    drop_tick(c->drop, c->now, &c->out);
    collect(c);
}

static bool is_behind(const struct kept *k, const struct effect *e, const char *key)
{
    uint64_t after = e->rows.after.token;
    return k->token > after || (k->token == after && strcmp(k->text, key) > 0);
}

static void answer_page(struct cellar *c, int status)
{
    static struct page_entry entries[STORE_KEYS_MAX];
    struct effect e = c->asked;
    char key[16];
    memcpy(key, c->asked_key, sizeof key);
    struct event in = {.type = EV_STORE_PAGE,
                       .page = {.op = e.op, .status = status, .entries = entries, .done = true}};
    for (uint32_t i = 0; i < ROWS && status == KV_OK; i++) {
        const struct kept *k = &c->rows[i];
        bool before_end = e.rows.until_token == 0 || k->token < e.rows.until_token;
        if (!is_behind(k, &e, key) || !before_end || stamp_is_zero(k->stamp))
            continue;
        if (in.page.count == e.rows.limit) {
            in.page.done = false;
            break;
        }
        entries[in.page.count++] =
            (struct page_entry){.key = bytes_str(k->text), .row = {.kind = ROW_REGISTER, .stamp = k->stamp}};
        in.page.next = (struct cursor){k->token, bytes_str(k->text)};
    }
    c->asked.type = EF_NONE;
    drop_page(c->drop, c->now, &in, &c->out);
    collect(c);
}

static void answer_delete(struct cellar *c, int status)
{
    struct event in = {.type = EV_STORE_WRITTEN, .written = {.op = c->asked.op, .status = status}};
    for (uint32_t i = 0; i < c->asked.remove.count && status == KV_OK; i++) {
        struct kept *k = container_of((const char(*)[16])c->doomed[i].key.data, struct kept, text);
        if (k->noted || stamp_cmp(k->stamp, c->doomed[i].stamp) != 0)
            continue;
        k->stamp = (struct stamp){0, 0};
        in.written.deleted++;
    }
    c->asked.type = EF_NONE;
    drop_written(c->drop, c->now, &in, &c->out);
    collect(c);
}

static void run(struct cellar *c)
{
    while (drop_active(c->drop)) {
        if (c->asked.type == EF_STORE_ROWS)
            answer_page(c, KV_OK);
        else if (c->asked.type == EF_STORE_DELETE)
            answer_delete(c, KV_OK);
        else
            tick(c);
    }
}

static void assert_only_held_and_noted_are_left(const struct cellar *c)
{
    uint32_t gone = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        bool stays = c->rows[i].noted || is_held(c, &c->rows[i]);
        assert_int_equal(stays, !stamp_is_zero(c->rows[i].stamp));
        gone += !stays;
    }
    assert_true(gone > ROWS / 4); /* this node holds three of five */
    assert_int_equal(drop_rows(c->drop), gone);
}

static void what_is_not_held_goes_and_notes_keep_their_rows(void **state)
{
    (void)state;
    struct cellar *c = cellar_create();
    assert_int_equal(drop_deadline_us(c->drop), c->now.mono_us + DROP_DELAY_US);
    run(c);
    assert_only_held_and_noted_are_left(c);
    assert_true(drop_deadline_us(c->drop) == UINT64_MAX);
    /* Once more, as at the next start: nothing is left to be deleted but what is noted. */
    uint64_t rows = drop_rows(c->drop);
    assert_int_equal(drop_ring_set(c->drop, c->now, c->ring), KV_OK);
    run(c);
    assert_int_equal(drop_rows(c->drop), rows);
    cellar_destroy(c);
}

static void a_row_that_was_written_meanwhile_stays(void **state)
{
    (void)state;
    struct cellar *c = cellar_create();
    while (c->asked.type != EF_STORE_DELETE) {
        if (c->asked.type == EF_STORE_ROWS)
            answer_page(c, KV_OK);
        else
            tick(c);
    }
    struct kept *k = container_of((const char(*)[16])c->doomed[0].key.data, struct kept, text);
    k->noted = false;
    k->stamp.hlc += 1000000;
    answer_delete(c, KV_OK);
    assert_false(stamp_is_zero(k->stamp));
    run(c);
    assert_false(stamp_is_zero(k->stamp)); /* until the next pass */
    cellar_destroy(c);
}

static void a_newer_ring_ends_it_at_once(void **state)
{
    (void)state;
    for (int at = 0; at < 3; at++) {
        struct cellar *c = cellar_create();
        tick(c);
        while (at == 2 && c->asked.type != EF_STORE_DELETE)
            answer_page(c, KV_OK);
        if (at == 0)
            while (c->asked.type != EF_NONE)
                c->asked.type == EF_STORE_ROWS ? answer_page(c, KV_OK) : answer_delete(c, KV_OK);
        struct ring *pending = world_ring(2, 0);
        pending->value.phase = RING_PENDING;
        assert_int_equal(drop_ring_set(c->drop, c->now, pending), KV_OK);
        ring_destroy(pending);
        assert_false(drop_active(c->drop));
        assert_true(drop_deadline_us(c->drop) == UINT64_MAX);
        if (c->asked.type == EF_STORE_ROWS)
            answer_page(c, KV_OK);
        else if (c->asked.type == EF_STORE_DELETE)
            answer_delete(c, KV_OK);
        assert_int_equal(c->asked.type, EF_NONE); /* what comes late starts nothing */
        /* And begins anew with the next STABLE. */
        assert_int_equal(drop_ring_set(c->drop, c->now, c->ring), KV_OK);
        run(c);
        for (uint32_t i = 0; i < ROWS; i++)
            assert_int_equal(c->rows[i].noted || is_held(c, &c->rows[i]), !stamp_is_zero(c->rows[i].stamp));
        cellar_destroy(c);
    }
}

static void a_busy_store_is_given_rest(void **state)
{
    (void)state;
    struct cellar *c = cellar_create();
    tick(c);
    while (c->asked.type == EF_STORE_ROWS)
        answer_page(c, KV_OK);
    c->now.mono_us += 30000; /* it took so long */
    answer_delete(c, KV_OK);
    assert_int_equal(drop_deadline_us(c->drop), c->now.mono_us + DROP_REST * 30000);
    run(c);
    assert_only_held_and_noted_are_left(c);
    cellar_destroy(c);
}

static void a_full_disk_is_tried_again(void **state)
{
    (void)state;
    struct cellar *c = cellar_create();
    tick(c);
    while (c->asked.type == EF_STORE_ROWS)
        answer_page(c, KV_OK);
    answer_delete(c, KV_E_FULL);
    assert_int_equal(drop_deadline_us(c->drop), c->now.mono_us + DROP_RETRY_US);
    run(c);
    assert_only_held_and_noted_are_left(c);
    cellar_destroy(c);
}

static void a_run_that_cannot_be_read_is_passed_over(void **state)
{
    (void)state;
    struct cellar *c = cellar_create();
    tick(c);
    struct effect first = c->asked;
    answer_page(c, KV_E_CORRUPT);
    run(c);
    uint32_t left = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        const struct kept *k = &c->rows[i];
        if (k->noted || is_held(c, k) || stamp_is_zero(k->stamp))
            continue;
        left++;
        assert_true(k->token >= first.rows.after.token && k->token < first.rows.until_token);
    }
    assert_true(left > 0);
    cellar_destroy(c);
}

static void who_holds_everything_drops_nothing(void **state)
{
    (void)state;
    struct cellar *c = cellar_create();
    struct ring *all = world_ring(2, 0);
    all->value.member_count = 1; /* a smaller value has the same first member */
    struct ring *alone;
    assert_int_equal(ring_create(&all->value, &alone), KV_OK);
    assert_int_equal(drop_ring_set(c->drop, c->now, alone), KV_OK);
    assert_false(drop_active(c->drop));
    all->value.member_count = MEMBERS;
    ring_destroy(all);
    ring_destroy(alone);
    cellar_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_held_goes_and_notes_keep_their_rows),
        cmocka_unit_test(a_row_that_was_written_meanwhile_stays),
        cmocka_unit_test(a_newer_ring_ends_it_at_once),
        cmocka_unit_test(a_busy_store_is_given_rest),
        cmocka_unit_test(a_full_disk_is_tried_again),
        cmocka_unit_test(a_run_that_cannot_be_read_is_passed_over),
        cmocka_unit_test(who_holds_everything_drops_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
