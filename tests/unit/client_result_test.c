/* What the caller is told: values, times to live, stories, lists. */
#include "client_support.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t called;

static struct outcome put_bytes(struct world *w, const void *data, size_t len, const struct kv_request *q)
{
    struct outcome o = {0};
    struct client_order order = {.op = CLIENT_PUT,
                                 .key = bytes_str("key"),
                                 .value = bytes_of(data, len),
                                 .request = q,
                                 .callback.result = on_outcome,
                                 .arg = &o};
    assert_int_equal(world_order(w, &order), KV_OK);
    world_finish(w, &o);
    assert_int_equal(o.status, KV_OK);
    return o;
}

static uint8_t *expected_value;
static size_t expected_len;

static void on_value(const struct kv_result *r, void *arg)
{
    *(bool *)arg = true;
    assert_int_equal(r->status, KV_OK);
    assert_int_equal(r->value_len, expected_len);
    assert_non_null(r->value);
    assert_memory_equal(r->value, expected_value, expected_len);
}

static void values_come_back_as_they_were(void **state)
{
    (void)state;
    struct world w;
    const size_t sizes[] = {0, 1, 256, 511, 512, 4096, 100000, 8 << 20};
    world_init(&w, 5, 0, NULL);
    expected_value = malloc(8 << 20);
    for (int compressible = 0; compressible <= 1; compressible++)
        for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct prng prng;
            prng_init(&prng, i);
            expected_len = sizes[i];
            for (size_t k = 0; k < expected_len; k++)
                expected_value[k] = (uint8_t)(compressible ? k >> 6 : prng_u64(&prng));
            put_bytes(&w, expected_value, expected_len, NULL);
            const struct row *row = world_row(&w, "key");
            assert_int_equal(row->raw_size, expected_len);
            if (expected_len >= 4096)
                assert_int_equal((row->flags & ROW_LZ4) != 0, compressible);
            bool over = false;
            world_order(&w, &(struct client_order){.op = CLIENT_GET,
                                                   .key = bytes_str("key"),
                                                   .callback.result = on_value,
                                                   .arg = &over});
            world_drain(&w);
            assert_true(over);
        }
    free(expected_value);
    world_deinit(&w);
}

static void deletes_and_absence(void **state)
{
    (void)state;
    struct world w;
    struct outcome o = {0};
    world_init(&w, 5, 0, NULL);
    put_bytes(&w, "v", 1, NULL);
    world_order(&w, &(struct client_order){
                        .op = CLIENT_DEL, .key = bytes_str("key"), .callback.result = on_outcome, .arg = &o});
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_true(world_row(&w, "key")->flags & ROW_TOMBSTONE);
    assert_null(world_row(&w, "key")->payload);
    world_get(&w, "key", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_NOT_FOUND);
    assert_true(o.proven);
    assert_string_equal(o.message, "no such key");
    world_deinit(&w);
}

static void time_to_live_counts_on_the_clusters_clock(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    struct kv_request q = {.ttl_ms = 5000};
    world_init(&w, 5, 0, NULL);
    o = put_bytes(&w, "v", 1, &q);
    assert_int_equal(world_row(&w, "key")->expires_hlc, o.stamp.hlc + hlc_from_ms(5000));
    world_run(&w, 3 * SECOND);
    world_get(&w, "key", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_in_range(o.ttl_ms, 1990, 2001);
    world_run(&w, 2100 * MS);
    world_get(&w, "key", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_NOT_FOUND);
    q.ttl_ms = CLIENT_TTL_MAX_MS + 1;
    assert_int_equal(world_put(&w, "key", "v", &q, &o), KV_E_INVALID);
    world_deinit(&w);
}

static void damaged_value_is_fetched_from_another(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    static uint8_t zeros[4096];
    world_init(&w, 5, 0, NULL);
    world_warm_all(&w);
    put_bytes(&w, zeros, sizeof zeros, NULL);
    struct row *row = (struct row *)world_row(&w, "key");
    assert_true(row->flags & ROW_LZ4);
    row->raw_size = 5000;
    struct kv_request q = {.timeout_ms = 500};
    world_get(&w, "key", &q, &o);
    world_run(&w, 20 * MS);
    assert_false(o.over);
    row->raw_size = 4096;
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_OK);
    assert_true(o.attempts > 1);
    assert_non_null(strstr(w.log, "damaged_value"));
    world_deinit(&w);
}

static void on_story(const struct kv_result *r, void *arg)
{
    (void)arg;
    called++;
    assert_int_equal(r->status, KV_OK);
    assert_string_equal(r->coordinator, "n1");
    const struct kv_trace *t = r->trace;
    assert_int_equal(r->trace_count, 5);
    for (uint32_t i = 1; i < r->trace_count; i++)
        assert_true(t[i].at_us >= t[i - 1].at_us);
    assert_int_equal(t[0].kind, KV_TRACE_SEND);
    assert_int_equal(t[0].client, 1);
    assert_string_equal(t[0].node, "n1");
    assert_int_equal(t[1].kind, KV_TRACE_ASK);
    assert_int_equal(t[1].client, 0);
    assert_string_equal(t[1].node, "n2");
    assert_int_equal(t[2].kind, KV_TRACE_ANSWER);
    assert_int_equal(t[3].kind, KV_TRACE_HINT);
    assert_string_equal(t[3].node, "n4");
    assert_string_equal(t[3].other, "n3");
    assert_int_equal(t[4].kind, KV_TRACE_REPLY);
    assert_int_equal(t[4].status, KV_OK);
}

/* Also for the very first request of a handle: the ring, and so the names, are asked for before it. */
static void explain_tells_the_story_with_names(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 1, NULL);
    struct kv_request q = {.flags = KV_EXPLAIN};
    called = 0;
    world_order(&w, &(struct client_order){.op = CLIENT_PUT,
                                           .key = bytes_str("key"),
                                           .value = bytes_str("v"),
                                           .request = &q,
                                           .callback.result = on_story});
    world_drain(&w);
    assert_int_equal(called, 1);
    world_deinit(&w);
}

static void on_scan(const struct kv_scan_page *p, void *arg)
{
    (void)arg;
    called++;
    assert_int_equal(p->status, KV_OK);
    assert_true(p->done && p->complete);
    assert_int_equal(p->count, 1);
    assert_int_equal(p->entries[0].key_len, 3);
    assert_memory_equal(p->entries[0].key, "a\0b", 3);
    assert_int_equal(p->entries[0].value_len, 5);
    assert_int_equal(p->next.token, 9);
    assert_int_equal(p->next.key_len, 1);
    assert_true(p->coordinator[0] != 0);
}

static void on_failed_scan(const struct kv_scan_page *p, void *arg)
{
    (void)arg;
    called++;
    assert_int_equal(p->status, KV_E_UNAVAILABLE);
    assert_int_equal(p->count, 0);
    assert_string_equal(p->coordinator, "");
}

static void on_status(const struct kv_status *s, void *arg)
{
    (void)arg;
    called++;
    assert_int_equal(s->status, KV_OK);
    assert_string_equal(s->cluster, "test");
    assert_int_equal(s->count, 2);
    assert_string_equal(s->members[1].name, "n2");
    assert_string_equal(s->members[1].address, "127.0.0.1:7602");
    assert_string_equal(s->members[1].zone, "z");
    assert_int_equal(s->members[1].state, KV_DEAD);
    assert_true(s->members[0].share > 0.74 && s->members[0].share < 0.76);
    assert_int_equal(s->epoch, FAKE_EPOCH);
    assert_int_equal(s->phase, KV_PENDING);
    assert_int_equal(s->queue_count, 2);
    assert_string_equal(s->queue[0], "remove n2");
    assert_string_equal(s->queue[1], "leave n1");
    assert_int_equal(s->members[1].ring, KV_RING_REMOVED);
    assert_int_equal(s->members[1].partitions_done, 3);
    assert_int_equal(s->members[1].partitions_total, 7);
}

static void on_stats(const struct kv_stats *s, void *arg)
{
    (void)arg;
    called++;
    assert_int_equal(s->status, KV_OK);
    assert_string_equal(s->node, "n3");
    assert_int_equal(s->count, 2);
    assert_string_equal(s->stats[0].name, "rows");
    assert_int_equal(s->stats[0].value, 12);
}

static void on_ring(const struct kv_ring *r, void *arg)
{
    (void)arg;
    called++;
    assert_int_equal(r->status, KV_OK);
    assert_int_equal(r->epoch, FAKE_EPOCH);
    assert_int_equal(r->partitions, 256);
    assert_int_equal(r->replicas, 3);
    assert_int_equal(r->count, 5);
    double share = 0;
    for (uint32_t i = 0; i < r->count; i++)
        share += r->members[i].share;
    assert_true(share > 0.999 && share < 1.001);
    assert_true(r->max_over_mean >= 1.0 && r->max_over_mean < 1.2);
    assert_string_equal(r->members[4].name, "n5");
}

static void on_where(const struct kv_where *p, void *arg)
{
    struct world *w = arg;
    uint32_t homes[PREFERENCE_MAX];
    called++;
    assert_int_equal(p->status, KV_OK);
    world_homes(w, "key", homes);
    assert_int_equal(p->home_count, 3);
    assert_int_equal(p->fallback_count, 2);
    for (uint32_t i = 0; i < 5; i++) {
        char name[4];
        snprintf(name, sizeof name, "n%u", homes[i]);
        assert_string_equal(i < 3 ? p->homes[i] : p->fallbacks[i - 3], name);
    }
    assert_int_equal(p->token, key_token(bytes_str("key")));
}

static void on_faults(const struct kv_faults *f, void *arg)
{
    called++;
    assert_int_equal(f->status, arg ? KV_E_NOT_PERMITTED : KV_OK);
    if (f->status)
        return;
    assert_string_equal(f->node, "n2");
    assert_int_equal(f->count, 1);
    assert_int_equal(f->rules[0].kind, KV_FAULT_SKEW);
    assert_int_equal(f->rules[0].amount, -400); /* there and back through an unsigned number */
}

static void on_repair(const struct kv_repair_begun *b, void *arg)
{
    called++;
    assert_int_equal(b->status, arg ? KV_E_UNAVAILABLE : KV_OK);
    if (b->status)
        return;
    assert_string_equal(b->node, "n3");
    assert_int_equal(b->partitions, 60);
    assert_int_equal(b->peers, 4);
}

/* One order, to the node that is meant. */
static void a_repair_is_ordered(void **state)
{
    (void)state;
    for (int refused = 0; refused <= 1; refused++) {
        struct world w;
        struct kv_request third = {.via = "n3"};
        world_init(&w, 5, 0, NULL);
        w.nodes[3].say = refused ? KV_E_UNAVAILABLE : KV_OK;
        called = 0;
        const struct client_order order = {
            .op = CLIENT_REPAIR, .request = &third, .callback.repair = on_repair, .arg = refused ? &w : NULL};
        assert_int_equal(world_order(&w, &order), KV_OK);
        world_drain(&w);
        assert_int_equal(called, 1);
        world_deinit(&w);
    }
}

static void lists(void **state)
{
    (void)state;
    for (int warm = 0; warm <= 1; warm++) {
        struct world w;
        struct kv_request third = {.via = "n3"}, second = {.via = "127.0.0.1:7602"};
        struct kv_fault fault = {.kind = KV_FAULT_SKEW, .amount = -400};
        world_init(&w, 5, 0, NULL);
        if (warm)
            world_warm_all(&w);
        called = 0;
        const struct client_order orders[] = {
            {.op = CLIENT_SCAN, .callback.scan = on_scan},
            {.op = CLIENT_STATUS, .callback.status = on_status},
            {.op = CLIENT_STATS, .request = &third, .callback.stats = on_stats},
            {.op = CLIENT_RING, .callback.ring = on_ring},
            {.op = CLIENT_WHERE, .key = bytes_str("key"), .callback.where = on_where, .arg = &w},
            {.op = CLIENT_FAULT, .fault = fault, .request = &second, .callback.fault = on_faults},
        };
        for (uint32_t i = 0; i < 6; i++) {
            assert_int_equal(world_order(&w, &orders[i]), KV_OK);
            world_drain(&w);
            world_run(&w, 1);
            assert_int_equal(called, i + 1);
        }
        for (uint32_t i = 1; i <= 5; i++)
            w.nodes[i].say = KV_E_UNAVAILABLE;
        world_order(&w, &(struct client_order){.op = CLIENT_SCAN, .callback.scan = on_failed_scan});
        world_drain(&w);
        w.nodes[2].say = KV_E_NOT_PERMITTED;
        struct client_order refused = orders[5];
        refused.arg = &w;
        world_order(&w, &refused);
        world_drain(&w);
        assert_int_equal(called, 8);
        world_deinit(&w);
    }
}

/* A node that founds no ring yet: asked again until it has one. */
static void ring_is_waited_for(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 5, 0, NULL);
    for (uint32_t i = 1; i <= 5; i++)
        w.nodes[i].no_ring = true;
    called = 0;
    world_order(&w, &(struct client_order){.op = CLIENT_RING, .callback.ring = on_ring});
    world_run(&w, 500 * MS);
    assert_int_equal(called, 0);
    for (uint32_t i = 1; i <= 5; i++)
        w.nodes[i].no_ring = false;
    world_run(&w, 500 * MS);
    assert_int_equal(called, 1);
    world_deinit(&w);
}

static void options_are_checked(void **state)
{
    (void)state;
    struct client *c;
    const struct kv_options bad[] = {
        {.nodes = ""},
        {.nodes = "nowhere"},
        {.nodes = "127.0.0.1:7601,"},
        {.nodes = "127.0.0.1:0x"},
        {.cluster = "a b"},
        {.via = "no such name"},
        {.via = "127.0.0.1:99999"},
        {.r = REPLICAS_MAX + 1},
        {.w = REPLICAS_MAX + 1},
    };
    for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(client_create(&bad[i], 1, &c), KV_E_INVALID);
    const struct kv_options good[] = {
        {0}, {.nodes = " 127.0.0.1:1 , [::1]:2,localhost:3"}, {.via = "n2"}, {.cluster = "kv-1.x_"}};
    for (uint32_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(client_create(&good[i], 1, &c), KV_OK);
        client_destroy(c);
    }
}

static void no_two_handles_have_one_origin(void **state)
{
    (void)state;
    const struct kv_options none = {0};
    uint64_t origins[100];
    for (uint32_t i = 0; i < 100; i++) {
        struct client *c;
        assert_int_equal(client_create(&none, i, &c), KV_OK);
        origins[i] = client_origin(c);
        assert_int_not_equal(origins[i], 0);
        for (uint32_t k = 0; k < i; k++)
            assert_true(origins[k] != origins[i]);
        client_destroy(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_they_were),
        cmocka_unit_test(deletes_and_absence),
        cmocka_unit_test(time_to_live_counts_on_the_clusters_clock),
        cmocka_unit_test(damaged_value_is_fetched_from_another),
        cmocka_unit_test(explain_tells_the_story_with_names),
        cmocka_unit_test(lists),
        cmocka_unit_test(a_repair_is_ordered),
        cmocka_unit_test(ring_is_waited_for),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(no_two_handles_have_one_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
