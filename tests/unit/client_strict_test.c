/* The stamps of writes: the cluster's clock, one stamp per write, and the two rounds of a strict put. */
#include "client_support.h"

#include <stdio.h>

static const struct kv_request strict = {.flags = KV_STRICT};

static void stamps_are_the_clusters_time(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    world_init(&w, 5, 0, NULL);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    uint64_t wall_ms = FAKE_WALL_MS + w.now_us / 1000;
    assert_in_range(hlc_to_ms(o.stamp.hlc), wall_ms - 1, wall_ms);
    assert_int_equal(o.stamp.origin, client_origin(w.client));
    world_run(&w, 3600 * SECOND);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_in_range(hlc_to_ms(o.stamp.hlc), wall_ms + 3599999, wall_ms + 3600002);
    world_deinit(&w);
}

static void stamps_of_one_handle_increase(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 0, NULL);
    for (uint32_t i = 1; i <= 5; i++)
        w.nodes[i].skew_ms = (int64_t)i * 160 - 480; /* -320 .. 320 ms */
    uint64_t last = 0;
    for (uint32_t i = 0; i < 300; i++) {
        char key[16];
        struct outcome o;
        snprintf(key, sizeof key, "key%u", i % 7);
        world_put(&w, key, "v", i % 3 ? NULL : &strict, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_OK);
        assert_true(o.stamp.hlc > last);
        last = o.stamp.hlc;
        if (i % 50 == 49)
            world_break(&w, 1 + i / 50 % 5);
    }
    world_deinit(&w);
}

/* A write is as old as its stamp: when it is too old for every node, its time is up. */
static void a_write_ends_when_its_stamp_is_too_old(void **state)
{
    (void)state;
    struct kv_request long_wait = {.timeout_ms = 600000};
    struct world w;
    struct outcome o;
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    for (uint32_t i = 1; i <= 5; i++)
        w.nodes[i].say = ANSWER_NOTHING;
    world_put(&w, "key", "v", &long_wait, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_TIMEOUT);
    assert_true(o.unknown);
    assert_int_equal(o.us, TIMEOUT_PUT_MAX_US);
    world_get(&w, "key", &long_wait, &o);
    world_finish(&w, &o);
    assert_int_equal(o.us, 600 * SECOND);
    world_deinit(&w);
}

/* The node whose clock it was minted by is far behind: there is another, as long as nothing was sent. */
static void a_stamp_that_is_too_old_is_minted_anew(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_homes(&w, "key", homes);
    for (int sent = 0; sent < 2; sent++) {
        struct fake_node *n = &w.nodes[homes[sent]];
        w.seen_count = 0;
        n->say = KV_E_STALE;
        n->say_times = 1;
        n->hlc = hlc_from_ms(FAKE_WALL_MS + 1000000 * (uint64_t)(sent + 1));
        world_mode(&w, homes[0], sent ? NODE_STOPPED : NODE_UP);
        world_put(&w, "key", "v", NULL, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_OK);
        uint32_t at = 0;
        while (w.seen[at].node != homes[sent])
            at++;
        struct stamp refused = w.seen[at].stamp, last = w.seen[w.seen_count - 1].stamp;
        assert_int_equal(last.hlc == refused.hlc, sent); /* it may have been applied by who is silent */
        assert_int_equal(last.hlc > n->hlc - 2, !sent);
        world_run(&w, SECOND);
    }
    world_deinit(&w);
}

/* Whatever other clients wrote before is older, though their clocks ran ahead. */
static void strict_put_is_above_what_is_there(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    struct row *row = (struct row *)world_row(&w, "key");
    row->stamp = (struct stamp){o.stamp.hlc + hlc_from_ms(400), 99};
    struct stamp ahead = row->stamp;

    world_put(&w, "key", "sloppy", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(world_row(&w, "key")->stamp.hlc, ahead.hlc); /* a sloppy put may lose */

    w.seen_count = 0;
    world_put(&w, "key", "strict", &strict, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(w.seen_count, 2);
    assert_int_equal(w.seen[0].op, OP_STAMP);
    assert_int_equal(w.seen[0].r, 0);
    assert_true(w.seen[0].flags & REQ_STRICT);
    assert_int_equal(w.seen[1].op, OP_PUT);
    assert_true(w.seen[1].flags & REQ_STRICT);
    assert_true(o.stamp.hlc > ahead.hlc);
    assert_int_equal(world_row(&w, "key")->stamp.hlc, o.stamp.hlc);
    world_deinit(&w);
}

static void strict_put_asks_once_and_keeps_its_stamp(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_homes(&w, "key", homes);
    world_put(&w, "key", "v", &strict, &o);
    world_run(&w, 250); /* the stamp is there, the put is on its way */
    assert_int_equal(w.seen_count, 1);
    w.nodes[homes[0]].say = ANSWER_NOTHING;
    world_run(&w, 200);
    assert_int_equal(w.seen_count, 2);
    world_mode(&w, homes[0], NODE_AWAY);
    world_run(&w, 50);
    w.nodes[homes[1]].say = KV_E_WRONG_RING;
    w.nodes[homes[1]].say_times = 1;
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    uint32_t stamps = 0;
    for (uint32_t i = 0; i < w.seen_count; i++) {
        stamps += w.seen[i].op == OP_STAMP;
        if (w.seen[i].op == OP_PUT)
            assert_int_equal(w.seen[i].stamp.hlc, o.stamp.hlc);
    }
    assert_int_equal(stamps, 1);
    assert_true(w.seen_count >= 4);
    world_deinit(&w);
}

/* The late answer to a hedged first round must not be taken for one to the second. */
static void late_answers_of_the_first_round_are_ignored(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    uint32_t homes[PREFERENCE_MAX];
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    world_homes(&w, "key", homes);
    w.nodes[homes[0]].delay_us = 55 * MS; /* beyond the hedge delay */
    world_put(&w, "key", "v", &strict, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_int_equal(world_row(&w, "key")->stamp.hlc, o.stamp.hlc);
    uint32_t puts = 0;
    for (uint32_t i = 0; i < w.seen_count; i++)
        puts += w.seen[i].op == OP_PUT;
    assert_true(puts >= 1);
    world_run(&w, SECOND);
    world_deinit(&w);
}

/* While nothing was written, nothing is unknown. */
static void failed_first_round_is_never_a_timeout(void **state)
{
    (void)state;
    const int says[] = {ANSWER_NOTHING, KV_E_UNAVAILABLE, KV_E_TIMEOUT};
    for (uint32_t s = 0; s < 3; s++) {
        struct world w;
        struct outcome o;
        world_init(&w, 5, 0, NULL);
        world_warm_all(&w);
        for (uint32_t i = 1; i <= 5; i++)
            w.nodes[i].say = says[s];
        world_put(&w, "key", "v", &strict, &o);
        world_finish(&w, &o);
        assert_int_equal(o.status, KV_E_UNAVAILABLE);
        assert_false(o.unknown);
        assert_int_equal(o.stamp.hlc, 0);
        for (uint32_t i = 0; i < w.seen_count; i++)
            assert_int_equal(w.seen[i].op, OP_STAMP);
        world_deinit(&w);
    }
}

static void flags_and_quorums_travel(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    struct kv_options options = {.r = 1, .w = 3, .strict = true};
    world_init(&w, 5, 0, &options);
    world_put(&w, "key", "v", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(w.seen_count, 2);
    assert_int_equal(w.seen[0].r, 0); /* a majority, whatever R is */
    assert_int_equal(w.seen[1].r, 1);
    assert_int_equal(w.seen[1].w, 3);
    struct kv_request q = {.flags = KV_SLOPPY | KV_LOCAL, .r = 2};
    w.seen_count = 0;
    world_get(&w, "key", &q, &o);
    world_finish(&w, &o);
    assert_int_equal(w.seen[0].flags, REQ_LOCAL);
    assert_int_equal(w.seen[0].r, 2);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_are_the_clusters_time),
        cmocka_unit_test(stamps_of_one_handle_increase),
        cmocka_unit_test(a_write_ends_when_its_stamp_is_too_old),
        cmocka_unit_test(a_stamp_that_is_too_old_is_minted_anew),
        cmocka_unit_test(strict_put_is_above_what_is_there),
        cmocka_unit_test(strict_put_asks_once_and_keeps_its_stamp),
        cmocka_unit_test(late_answers_of_the_first_round_are_ignored),
        cmocka_unit_test(failed_first_round_is_never_a_timeout),
        cmocka_unit_test(flags_and_quorums_travel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
