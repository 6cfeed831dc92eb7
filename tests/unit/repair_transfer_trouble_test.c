/* Taking partitions over when things go wrong: refusals, damage, full disks, restarts, rings that change
 * midway; and its bounds. */
#include "unit/repair_moves.h"

static const struct mover joins[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {0, 1, 0}};

static struct moves *join_world(uint32_t keys, uint32_t bytes)
{
    struct moves *w = moves_create(moves_ring(joins, 6, 3, 5, 5), 6);
    moves_fill(w, keys, bytes);
    moves_start(w);
    return w;
}

/* ---- pages that are not given, not good, not written */

static void refused_pages_are_asked_for_again(void **state)
{
    (void)state;
    static const struct {
        int status;
        uint64_t wait_us;
    } kinds[] = {{KV_E_OVERLOADED, TRANSFER_BUSY_RETRY_US},
                 {KV_E_WRONG_RING, TRANSFER_RETRY_US},
                 {KV_E_CORRUPT, TRANSFER_RETRY_US}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct moves *w = join_world(500, 50);
        moves_peer(w, 1, true);
        uint32_t asked = w->pull_count;
        assert_true(asked > 0);
        while (w->pull_count)
            moves_refuse(w, 0, kinds[i].status);
        assert_int_equal(transfer_counters(w->transfer).refused, asked);
        uint64_t refused_us = w->now.mono_us;
        while (!w->pull_count)
            moves_wait(w);
        assert_int_equal(w->now.mono_us, refused_us + kinds[i].wait_us);
        assert_int_equal(moves_logged(w, "event=transfer_refused"), kinds[i].status == KV_E_CORRUPT);
        moves_all_up(w);
        moves_finish(w);
        moves_assert_taken_over(w);
        moves_destroy(w);
    }
}

/* Where a majority is read, one that cannot give what it has is passed over. */
static void a_source_that_fails_is_replaced(void **state)
{
    (void)state;
    static const struct mover movers[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 0, 1}, {1, 1, 0}, {0, 1, 0}};
    struct moves *w = moves_create(moves_ring(movers, 6, 5, 5, 5), 6);
    moves_fill(w, 1000, 50);
    moves_start(w);
    moves_all_up(w);
    assert_int_equal(moves_gained(w->ring, 6), PARTS); /* all are homes of all: four are left, three needed */
    for (int i = 0; i < 100000 && !transfer_whole(w->transfer); i++) {
        uint32_t bad = 0;
        while (bad < w->pull_count && w->pulls[bad].member != 2)
            bad++;
        if (bad < w->pull_count)
            moves_refuse(w, bad, KV_E_IO);
        else if (w->pull_count)
            moves_answer(w, 0);
        else if (w->write_count)
            moves_written(w, 0, KV_OK);
        else if (w->note.len)
            moves_note_written(w, KV_OK);
        else
            moves_wait(w);
    }
    assert_int_equal(transfer_whole(w->transfer), 5);
    for (uint32_t p = 0; p < PARTS; p++)
        assert_true(w->asked_of[1][p] && w->asked_of[3][p] && w->asked_of[5][p]);
    moves_destroy(w);
}

static void say_nothing(struct moves *w, struct message *m)
{
    (void)w;
    (void)m;
}

static void cut_off(struct moves *w, struct message *m)
{
    (void)w;
    m->rows.pack->len--;
}

static void wrong_kind(struct moves *w, struct message *m)
{
    (void)w;
    uint32_t key_bytes = be32_get(m->rows.pack->data);
    m->rows.pack->data[8 + key_bytes] = 9;
}

static void old_ring(struct moves *w, struct message *m)
{
    (void)w;
    m->ring_epoch = 4;
}

static void old_rows(struct moves *w, struct message *m)
{
    (void)w;
    m->rows.began_hlc = MOVES_HLC - hlc_from_ms(ROW_AGE_MAX_MS + 1);
}

static void backwards(struct moves *w, struct message *m)
{
    (void)w;
    m->rows.done = 0;
    m->rows.next = (struct cursor){0};
}

static void standing_still(struct moves *w, struct message *m)
{
    (void)w;
    blob_unref(m->rows.pack);
    m->rows.pack = NULL;
    m->rows.done = 0;
    m->rows.next = (struct cursor){w->pulls[0].token, bytes_str(w->pulls[0].key)};
}

static void beyond_the_partition(struct moves *w, struct message *m)
{
    (void)w;
    m->rows.done = 0;
    m->rows.next = (struct cursor){UINT64_MAX, bytes_str("x")};
}

/* The rows of another partition. */
static void of_another(struct moves *w, struct message *m)
{
    struct asked a = w->pulls[0];
    a.partition = (a.partition + 1) % PARTS;
    a.token = 0;
    for (uint32_t i = 0; i < w->piece_count; i++)
        w->pieces[i].at[a.member] = 1;
    blob_unref(m->rows.pack);
    struct message other = moves_page(w, &a);
    m->rows.pack = other.rows.pack;
}

static void the_same_row_twice(struct moves *w, struct message *m)
{
    (void)w;
    struct blob *twice = blob_create(2 * (size_t)m->rows.pack->len);
    memcpy(twice->data, m->rows.pack->data, m->rows.pack->len);
    memcpy(twice->data + m->rows.pack->len, m->rows.pack->data, m->rows.pack->len);
    blob_unref(m->rows.pack);
    m->rows.pack = twice;
}

/* Whatever a source says: only what was asked for is written, and the rest is asked for again. */
static void what_is_not_what_was_asked_for_is_not_written(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(struct moves *w, struct message *m);
        uint32_t damaged, refused, written;
    } cases[] = {
        {say_nothing, 0, 0, 1},        {cut_off, 1, 1, 0},
        {wrong_kind, 1, 1, 0},         {old_ring, 0, 1, 0},
        {old_rows, 1, 1, 0},           {backwards, 1, 1, 0},
        {of_another, 1, 1, 0},         {standing_still, 1, 1, 0},
        {the_same_row_twice, 1, 1, 0}, {beyond_the_partition, 1, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct moves *w = join_world(1000, 50);
        moves_peer(w, 2, true);
        struct asked a = w->pulls[0];
        struct message m = moves_page(w, &a);
        assert_non_null(m.rows.pack);
        cases[i].spoil(w, &m);
        (void)moves_take(w, 0);
        moves_rows(w, 2, &m);
        message_release(&m);
        assert_int_equal(transfer_counters(w->transfer).damaged, cases[i].damaged);
        assert_int_equal(transfer_counters(w->transfer).refused, cases[i].refused);
        assert_int_equal(w->write_count, cases[i].written);
        moves_all_up(w);
        moves_finish(w);
        moves_assert_taken_over(w);
        moves_destroy(w);
    }
}

static void answers_of_others_and_late_ones_are_not_meant(void **state)
{
    (void)state;
    struct moves *w = join_world(500, 50);
    moves_peer(w, 1, true);
    moves_peer(w, 2, true);
    struct asked a = w->pulls[0];
    assert_int_equal(a.member, 1);
    struct message m = moves_page(w, &a);
    moves_rows(w, 2, &m); /* somebody else answers */
    assert_int_equal(w->write_count, 0);
    w->now.mono_us += TRANSFER_ANSWER_US;
    moves_tick(w);
    assert_true(transfer_counters(w->transfer).timeouts > 0);
    moves_rows(w, 1, &m); /* too late, and asked for again already */
    assert_int_equal(w->write_count, 0);
    message_release(&m);
    w->pull_count = 0; /* those do not come either, and are waited for twice as long */
    uint64_t asked_us = w->now.mono_us;
    while (!w->pull_count)
        moves_wait(w);
    assert_int_equal(w->now.mono_us, asked_us + 2 * TRANSFER_ANSWER_US);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

static void a_full_disk_costs_the_page_only(void **state)
{
    (void)state;
    struct moves *w = join_world(500, 50);
    moves_peer(w, 1, true);
    struct asked a = w->pulls[0];
    moves_answer(w, 0);
    moves_written(w, 0, KV_E_FULL);
    uint64_t failed_us = w->now.mono_us;
    uint32_t others = w->pull_count;
    while (w->pull_count == others)
        moves_wait(w);
    assert_int_equal(w->now.mono_us, failed_us + TRANSFER_RETRY_US);
    assert_int_equal(w->pulls[others].partition, a.partition);
    assert_int_equal(w->pulls[others].token, a.token);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

/* ---- restarts */

/* As far as it goes while time does not pass beyond `us`. */
static void run_for(struct moves *w, uint64_t us)
{
    uint64_t end_us = w->now.mono_us + us;
    for (moves_serve(w); transfer_deadline_us(w->transfer) <= end_us; moves_serve(w))
        moves_wait(w);
    w->now.mono_us = end_us;
}

static void a_restart_goes_on_where_it_was(void **state)
{
    (void)state;
    struct moves *w = join_world(4000, 30000); /* three pages and more a partition */
    moves_all_up(w);
    for (int i = 0; i < 170; i++) {
        moves_answer(w, 0);
        moves_written(w, 0, KV_OK);
    }
    while (w->note.len)
        moves_note_written(w, KV_OK);
    w->now.mono_us += TRANSFER_NOTE_US;
    moves_tick(w);
    moves_note_written(w, KV_OK);
    uint32_t done = transfer_progress(w->transfer).partitions_done;
    assert_true(done > 0);
    uint64_t before = w->written_bytes;
    moves_kill(w);
    moves_start(w);
    assert_int_equal(transfer_progress(w->transfer).partitions_done, done);
    memset(w->asked_of, 0, sizeof w->asked_of);
    moves_all_up(w);
    uint32_t resumed = 0;
    for (uint32_t i = 0; i < w->pull_count; i++)
        resumed += w->pulls[i].token > partition_first_token(w->pulls[i].partition, PARTS);
    assert_true(resumed > 0);
    moves_finish(w);
    moves_assert_taken_over(w);
    uint64_t all = w->written_bytes;
    /* What was taken over before is not taken over again, but for a row or so where it went on. */
    moves_kill(w);
    buf_clear(&w->noted);
    w->written_bytes = 0;
    moves_start(w);
    moves_all_up(w);
    moves_finish(w);
    assert_true(all - before < w->written_bytes && all < w->written_bytes + 40 * 30100);
    moves_destroy(w);
}

static void a_restart_after_whole_says_so_at_once(void **state)
{
    (void)state;
    struct moves *w = join_world(500, 50);
    moves_all_up(w);
    moves_finish(w);
    uint32_t asked = w->asked_total;
    moves_kill(w);
    moves_start(w);
    assert_int_equal(transfer_whole(w->transfer), 5);
    moves_all_up(w);
    assert_int_equal(w->asked_total, asked);
    moves_destroy(w);
}

static void notes_of_other_changes_and_damaged_ones_mean_nothing(void **state)
{
    (void)state;
    struct moves *w = join_world(300, 50);
    moves_all_up(w);
    moves_finish(w);
    struct buf good = {0};
    assert_int_equal(buf_set(&good, buf_bytes(&w->noted)), KV_OK);
    for (size_t i = 0; i < 13; i++) { /* version, epoch, Q */
        moves_kill(w);
        assert_int_equal(buf_set(&w->noted, buf_bytes(&good)), KV_OK);
        w->noted.data[i] ^= 0x40;
        moves_start(w);
        assert_int_equal(transfer_whole(w->transfer), 0);
        assert_int_equal(transfer_progress(w->transfer).partitions_done, 0);
    }
    for (size_t len = 0; len < good.len; len++) {
        moves_kill(w);
        assert_int_equal(buf_set(&w->noted, bytes_of(good.data, len)), KV_OK);
        moves_start(w);
        assert_int_equal(transfer_whole(w->transfer), 0);
    }
    moves_kill(w);
    assert_int_equal(buf_set(&w->noted, buf_bytes(&good)), KV_OK);
    ring_destroy(w->ring);
    w->ring = moves_ring(joins, 6, 3, 15, 15);
    w->ring->value.since = 15;
    moves_start(w);
    assert_int_equal(transfer_whole(w->transfer), 0);
    buf_deinit(&good);
    moves_destroy(w);
}

static void a_source_that_was_away_is_asked_for_the_rest(void **state)
{
    (void)state;
    struct moves *w = join_world(4000, 30000);
    moves_all_up(w);
    for (int i = 0; i < 30; i++) {
        moves_answer(w, 0);
        moves_written(w, 0, KV_OK);
    }
    for (uint32_t m = 1; m <= 5; m++)
        moves_peer(w, m, false);
    w->pull_count = 0;
    run_for(w, 1000000);
    assert_int_equal(w->pull_count, 0);
    moves_all_up(w);
    moves_finish(w);
    moves_assert_taken_over(w);
    uint64_t once = 0;
    for (uint32_t i = 0; i < w->piece_count; i++)
        if (w->pieces[i].at[6])
            once += w->pieces[i].bytes;
    assert_true(w->written_bytes < once + once / 50);
    moves_destroy(w);
}

/* ---- rings */

/* The displaced home 2 dies midway, and is given up. */
static void a_source_that_is_given_up_costs_only_what_was_not_finished(void **state)
{
    (void)state;
    static const struct mover dead[] = {{1, 1, 0}, {1, 1, 1}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {0, 1, 0}};
    struct moves *w = join_world(2000, 50);
    moves_all_up(w);
    for (int i = 0; i < 12; i++) {
        moves_answer(w, 0);
        moves_written(w, 0, KV_OK);
    }
    moves_peer(w, 2, false);
    uint32_t done = transfer_progress(w->transfer).partitions_done;
    assert_true(done > 0);
    uint32_t before[PARTS] = {0}, again = 0;
    for (uint32_t p = 0; p < PARTS; p++)
        for (uint32_t m = 1; m <= 5; m++)
            before[p] += w->asked_of[m][p];
    w->pull_count = 0;
    moves_ring_set(w, moves_ring(dead, 6, 3, 9, 9));
    assert_int_equal(transfer_progress(w->transfer).partitions_done, done);
    moves_finish(w);
    moves_assert_taken_over(w);
    for (uint32_t p = 0; p < PARTS; p++) {
        uint32_t after = 0;
        struct ring_slot slot;
        for (uint32_t m = 1; m <= 5; m++)
            after += w->asked_of[m][p];
        again += before[p] && after > before[p];
        if (moves_slot(w->ring, 6, p, &slot) && slot.from == 2)
            assert_true(after - before[p] == 2 || (after == before[p] && before[p] == 1));
    }
    assert_true(again <= 5 * TRANSFER_WINDOW); /* what was on its way */
    moves_destroy(w);
}

/* All is taken over; then a home is given up: WHOLE is said under the new epoch without another page. */
static void what_is_whole_stays_whole(void **state)
{
    (void)state;
    static const struct mover dead[] = {{1, 1, 0}, {1, 1, 1}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {0, 1, 0}};
    struct moves *w = join_world(500, 50);
    moves_all_up(w);
    moves_finish(w);
    uint32_t asked = w->asked_total;
    moves_ring_set(w, moves_ring(dead, 6, 3, 9, 9));
    assert_int_equal(transfer_whole(w->transfer), 0); /* not noted yet */
    moves_finish(w);
    assert_int_equal(w->asked_total, asked);
    moves_destroy(w);
}

static void another_epoch_of_the_same_change_disturbs_nothing(void **state)
{
    (void)state;
    struct moves *w = join_world(500, 50);
    moves_all_up(w);
    uint32_t asked = w->pull_count;
    moves_ring_set(w, moves_ring(joins, 6, 3, 6, 5)); /* something was asked for */
    assert_int_equal(w->pull_count, asked);
    moves_finish(w);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

static void an_undo_and_the_end_of_a_change_end_it(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct moves *w = join_world(500, 50);
        moves_all_up(w);
        moves_answer(w, 0);
        struct ring *next = moves_ring(joins, 6, 3, 8, 5);
        next->value.undo = kind == 0;
        next->value.phase = kind == 0 ? RING_PENDING : RING_STABLE;
        moves_ring_set(w, next);
        assert_int_equal(transfer_progress(w->transfer).source_epoch, 0);
        assert_int_equal(transfer_progress(w->transfer).partitions_total, 0);
        assert_true(transfer_deadline_us(w->transfer) == UINT64_MAX);
        moves_written(w, 0, KV_OK); /* of before: it is just there */
        uint32_t asked = w->asked_total;
        while (w->pull_count)
            moves_answer(w, 0);
        assert_int_equal(w->write_count, 0);
        assert_int_equal(w->asked_total, asked);
        assert_int_equal(transfer_whole(w->transfer), 0);
        moves_destroy(w);
    }
}

/* ---- bounds */

static void the_rate_is_limited(void **state)
{
    (void)state;
    enum { RATE = 4 << 20 };
    struct moves *w = moves_create(moves_ring(joins, 6, 3, 5, 5), 6);
    moves_fill(w, 4000, 20000);
    struct transfer_config config = {
        .self = 6, .row_age_max_ms = ROW_AGE_MAX_MS, .meta = "transfer", .rate_bytes = RATE};
    assert_int_equal(transfer_create(&config, &w->transfer), KV_OK);
    assert_int_equal(transfer_ring_set(w->transfer, w->now, w->ring, &w->out), KV_OK);
    moves_collect(w);
    moves_all_up(w);
    uint64_t began_us = w->now.mono_us;
    for (moves_serve(w); !transfer_whole(w->transfer); moves_serve(w)) {
        uint64_t us = w->now.mono_us - began_us + RATE_BURST_US;
        assert_true(w->written_bytes <= us * RATE / 1000000 + 2 * TRANSFER_PAGE_BYTES);
        moves_wait(w);
    }
    assert_true(w->written_bytes > 30u << 20);
    uint64_t least_us = w->written_bytes * 1000000 / RATE;
    assert_in_range(w->now.mono_us - began_us, least_us * 9 / 10, least_us * 12 / 10);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

static void one_page_at_a_time_while_there_are_requests(void **state)
{
    (void)state;
    struct moves *w = join_world(2000, 50);
    transfer_busy_set(w->transfer, true);
    moves_all_up(w);
    moves_finish(w);
    assert_int_equal(w->in_flight_max, 1);
    moves_assert_taken_over(w);
    moves_destroy(w);
}

static void pages_that_wait_for_the_disk_are_bounded(void **state)
{
    (void)state;
    static const struct mover many[] = {{1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {1, 1, 0},
                                        {1, 1, 0}, {1, 1, 0}, {1, 1, 0}, {0, 1, 0}};
    struct moves *w = moves_create(moves_ring(many, 8, 3, 5, 5), 8);
    moves_fill(w, 200, 2u << 20); /* each a page of its own */
    moves_start(w);
    moves_all_up(w);
    uint32_t waits = 0;
    while (!transfer_whole(w->transfer)) {
        if (w->pull_count)
            moves_answer(w, 0);
        else if (w->note.len)
            moves_note_written(w, KV_OK);
        else if (w->write_count && waits++ % 2)
            moves_written(w, 0, KV_OK);
        else
            moves_wait(w);
    }
    /* Those asked for already may be larger than was thought. */
    assert_true(w->held_max > TRANSFER_HELD_MAX_BYTES / 2);
    assert_true(w->held_max <= TRANSFER_HELD_MAX_BYTES + 7 * TRANSFER_WINDOW * (2u << 20));
    moves_assert_taken_over(w);
    moves_destroy(w);
}

static void notes_are_seldom(void **state)
{
    (void)state;
    struct moves *w = join_world(4000, 20000);
    moves_all_up(w);
    uint64_t began_us = w->now.mono_us;
    while (!transfer_whole(w->transfer)) {
        moves_serve(w);
        w->now.mono_us += 10000;
        moves_tick(w);
    }
    assert_in_range(w->notes_total, 1, 3 + (w->now.mono_us - began_us) / TRANSFER_NOTE_US);
    moves_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_pages_are_asked_for_again),
        cmocka_unit_test(a_source_that_fails_is_replaced),
        cmocka_unit_test(what_is_not_what_was_asked_for_is_not_written),
        cmocka_unit_test(answers_of_others_and_late_ones_are_not_meant),
        cmocka_unit_test(a_full_disk_costs_the_page_only),
        cmocka_unit_test(a_restart_goes_on_where_it_was),
        cmocka_unit_test(a_restart_after_whole_says_so_at_once),
        cmocka_unit_test(notes_of_other_changes_and_damaged_ones_mean_nothing),
        cmocka_unit_test(a_source_that_was_away_is_asked_for_the_rest),
        cmocka_unit_test(a_source_that_is_given_up_costs_only_what_was_not_finished),
        cmocka_unit_test(what_is_whole_stays_whole),
        cmocka_unit_test(another_epoch_of_the_same_change_disturbs_nothing),
        cmocka_unit_test(an_undo_and_the_end_of_a_change_end_it),
        cmocka_unit_test(the_rate_is_limited),
        cmocka_unit_test(one_page_at_a_time_while_there_are_requests),
        cmocka_unit_test(pages_that_wait_for_the_disk_are_bounded),
        cmocka_unit_test(notes_are_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
