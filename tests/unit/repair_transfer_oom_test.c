/* Memory runs out at the n-th allocation, for every n: what is created reports it, what is under way loses
 * time only. */
#include "unit/oom.h"
#include "unit/repair_moves.h"

#include "repair/drop.h"

static const struct mover joins[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {0, 1, 0}};

static int create_both(const struct ring *ring, struct outbox *out, struct transfer **t, struct drop **d)
{
    static const uint8_t noted[13] = {1};
    struct transfer_config config = {.self = 4,
                                     .row_age_max_ms = ROW_AGE_MAX_MS,
                                     .meta = "transfer",
                                     .noted = bytes_of(noted, sizeof noted)};
    struct now now = {0};
    int rc = transfer_create(&config, t);
    if (rc == KV_OK)
        rc = drop_create(4, d);
    if (rc == KV_OK)
        rc = transfer_ring_set(*t, now, ring, out);
    if (rc == KV_OK)
        rc = drop_ring_set(*d, now, ring);
    return rc;
}

static void what_is_created_reports_it(void **state)
{
    (void)state;
    struct outbox out;
    struct ring *rings[] = {moves_ring(joins, 4, 3, 5, 5), moves_ring(joins, 4, 3, 5, 5)};
    rings[1]->value.phase = RING_STABLE;
    assert_int_equal(outbox_init(&out), KV_OK);
    assert_non_null(arena_alloc(&out.arena, 4096)); /* for log lines, which are dropped without */
    outbox_reset(&out);
    for (int kind = 0; kind < 2; kind++) {
        int failed = 0;
        for (int n = 0;; n++) {
            struct transfer *t = NULL;
            struct drop *d = NULL;
            oom_after(n);
            int rc = create_both(rings[kind], &out, &t, &d);
            int hits = oom_end();
            assert_int_equal(rc, hits ? KV_E_NO_MEMORY : KV_OK);
            if (t)
                transfer_check(t);
            if (d)
                drop_check(d);
            transfer_destroy(t);
            drop_destroy(d);
            outbox_reset(&out);
            failed += hits > 0;
            if (!hits)
                break;
        }
        assert_true(failed >= 4 - kind);
    }
    for (int kind = 0; kind < 2; kind++)
        ring_destroy(rings[kind]);
    outbox_deinit(&out);
}

/* One event, while memory lasts for `n` allocations. */
static void one_event(struct moves *w, struct message *rows, struct event *written, int n)
{
    static const struct clock clock = {.hlc = MOVES_HLC};
    oom_after(n);
    if (rows)
        transfer_rows(w->transfer, w->now, &clock, w->pulls[0].member, rows, &w->out);
    else if (written)
        transfer_written(w->transfer, w->now, written, &w->out);
    else
        transfer_tick(w->transfer, w->now, &w->out);
    (void)oom_end();
}

static void step(struct moves *w, int n)
{
    if (w->note.len) {
        moves_note_written(w, KV_OK);
    } else if (w->write_count) {
        struct event e = {.type = EV_STORE_WRITTEN, .written.op = w->writes[0].op};
        merge_pack(w, w->writes[0].pack);
        blob_unref(w->writes[0].pack);
        w->writes[0] = w->writes[--w->write_count];
        one_event(w, NULL, &e, n);
    } else if (w->pull_count) {
        struct message m = moves_page(w, &w->pulls[0]);
        one_event(w, &m, NULL, n);
        message_release(&m);
        (void)moves_take(w, 0);
    } else {
        uint64_t at = transfer_deadline_us(w->transfer);
        assert_true(at != UINT64_MAX);
        w->now.mono_us = at > w->now.mono_us ? at : w->now.mono_us;
        one_event(w, NULL, NULL, n);
    }
    moves_collect(w);
}

static void what_is_under_way_loses_time_only(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        struct moves *w = moves_create(moves_ring(joins, 4, 3, 5, 5), 4);
        moves_fill(w, 300, 20000);
        moves_start(w);
        moves_all_up(w);
        for (int i = 0; i < 400 && !transfer_whole(w->transfer); i++)
            step(w, n);
        moves_finish(w);
        moves_assert_taken_over(w);
        moves_destroy(w);
    }
}

/* A member there is no memory for counts as away until it comes again. */
static void a_source_that_is_not_remembered_is_met_again(void **state)
{
    (void)state;
    struct moves *w = moves_create(moves_ring(joins, 4, 3, 5, 5), 4);
    moves_fill(w, 300, 100);
    moves_start(w);
    oom_after(0);
    moves_peer(w, 1, true);
    (void)oom_end();
    assert_int_equal(w->pull_count, 0);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_created_reports_it),
        cmocka_unit_test(what_is_under_way_loses_time_only),
        cmocka_unit_test(a_source_that_is_not_remembered_is_met_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
