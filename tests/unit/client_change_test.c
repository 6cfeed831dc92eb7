/* Asking for a change of the ring: what is sent, what comes back, and that it is asked again elsewhere. */
#include <stdio.h>
#include <string.h>

#include "client_support.h"

struct answer {
    uint32_t calls;
    int status;
    char message[100];
    char node[40];
    struct kv_changed changed;
};

static void on_changed(const struct kv_changed *c, void *arg)
{
    struct answer *a = arg;
    a->calls++;
    a->status = c->status;
    a->changed = *c;
    snprintf(a->message, sizeof a->message, "%s", c->message);
    snprintf(a->node, sizeof a->node, "%s", c->node);
}

static int ask(struct world *w, struct kv_change change, const struct kv_request *q, struct answer *a)
{
    *a = (struct answer){0};
    return world_order(
        w,
        &(struct client_order){
            .op = CLIENT_CHANGE, .change = &change, .request = q, .callback.change = on_changed, .arg = a});
}

static uint32_t asked(const struct world *w)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i <= w->count; i++)
        n += w->nodes[i].others;
    return n;
}

static void a_change_is_asked_for(void **state)
{
    (void)state;
    struct world w;
    struct answer a;
    struct kv_request second = {.via = "127.0.0.1:7602"};
    world_init(&w, 5, 0, NULL);
    assert_int_equal(
        ask(&w, (struct kv_change){.kind = KV_CHANGE_WEIGHT, .name = "n4", .weight = 3}, &second, &a), KV_OK);
    world_drain(&w);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.status, KV_OK);
    assert_string_equal(a.message, "queued");
    assert_string_equal(a.node, "n2");
    assert_int_equal(a.changed.epoch, FAKE_EPOCH + 1);
    const struct msg_change *m = &w.nodes[2].change;
    assert_int_equal(m->change.kind, RING_WEIGHT);
    assert_int_equal(m->change.weight, 3);
    assert_int_equal(m->change.member, 0);
    assert_string_equal(m->change.name, "n4");
    assert_false(m->plan);
    assert_in_range(m->timeout_us, 9 * SECOND, 10 * SECOND);
    world_deinit(&w);
}

static void a_plan(void **state)
{
    (void)state;
    struct world w;
    struct answer a;
    world_init(&w, 5, 0, NULL);
    struct kv_change join = {.kind = KV_CHANGE_JOIN, .name = "n6", .weight = 1, .zone = "z", .plan = true};
    assert_int_equal(ask(&w, join, NULL, &a), KV_OK);
    world_drain(&w);
    assert_int_equal(a.status, KV_OK);
    assert_int_equal(a.changed.moved, 30);
    assert_int_equal(a.changed.least, 28);
    assert_int_equal(a.changed.total, 768);
    assert_true(a.changed.max_over_mean > 1.039 && a.changed.max_over_mean < 1.041);
    uint32_t plans = 0;
    for (uint32_t i = 1; i <= 5; i++)
        plans += w.nodes[i].change.plan && strcmp(w.nodes[i].change.change.zone, "z") == 0;
    assert_int_equal(plans, 1);
    world_deinit(&w);
}

static void the_reason_for_a_refusal_is_told(void **state)
{
    (void)state;
    static const int FINAL[] = {KV_E_INVALID, KV_E_NOT_PERMITTED, KV_E_DUPLICATE_ID};
    for (uint32_t i = 0; i < sizeof FINAL / sizeof *FINAL; i++) {
        struct world w;
        struct answer a;
        world_init(&w, 3, 0, NULL);
        for (uint32_t n = 1; n <= 3; n++)
            w.nodes[n].say = FINAL[i];
        assert_int_equal(ask(&w, (struct kv_change){.kind = KV_CHANGE_LEAVE, .name = "n1"}, NULL, &a), KV_OK);
        world_drain(&w);
        assert_int_equal(a.calls, 1);
        assert_int_equal(a.status, FINAL[i]);
        assert_string_equal(a.message, "no, not so");
        assert_int_equal(asked(&w), 1); /* another node would say the same */
        world_deinit(&w);
    }
}

static void a_lost_node_is_made_up_for(void **state)
{
    (void)state;
    struct world w;
    struct answer a;
    world_init(&w, 3, 0, NULL);
    world_warm_all(&w);
    for (uint32_t n = 1; n <= 3; n++)
        w.nodes[n].say = ANSWER_NOTHING;
    assert_int_equal(ask(&w, (struct kv_change){.kind = KV_CHANGE_LEAVE, .name = "n1"}, NULL, &a), KV_OK);
    world_run(&w, SECOND);
    assert_int_equal(asked(&w), 1); /* deciding takes its time: nobody else is asked so soon */
    uint32_t first = 1;
    while (w.nodes[first].others == 0)
        first++;
    for (uint32_t n = 1; n <= 3; n++)
        w.nodes[n].say = 0;
    world_mode(&w, first, NODE_AWAY);
    world_drain(&w);
    assert_int_equal(a.status, KV_OK);
    assert_int_equal(asked(&w), 2);
    world_deinit(&w);
}

static void who_never_answers_is_waited_for_ten_seconds(void **state)
{
    (void)state;
    struct world w;
    struct answer a;
    world_init(&w, 3, 0, NULL);
    world_warm_all(&w);
    for (uint32_t n = 1; n <= 3; n++)
        w.nodes[n].say = ANSWER_NOTHING;
    uint64_t begun = w.now_us;
    assert_int_equal(ask(&w, (struct kv_change){.kind = KV_CHANGE_REMOVE, .name = "n1"}, NULL, &a), KV_OK);
    world_drain(&w);
    assert_int_equal(a.status, KV_E_TIMEOUT);
    assert_string_equal(a.message, kv_error_text(KV_E_TIMEOUT));
    assert_in_range(w.now_us - begun, 10 * SECOND, 10 * SECOND + 50 * MS);
    world_deinit(&w);
}

static void what_makes_no_sense_is_refused_at_once(void **state)
{
    (void)state;
    struct world w;
    struct answer a;
    world_init(&w, 3, 0, NULL);
    const struct kv_change WRONG[] = {
        {.kind = KV_CHANGE_LEAVE},
        {.kind = KV_CHANGE_LEAVE, .name = ""},
        {.kind = KV_CHANGE_LEAVE, .name = "no name"},
        {.kind = KV_CHANGE_LEAVE, .name = "a-name-that-is-longer-than-31-bytes"},
        {.kind = 0, .name = "n1"},
        {.kind = KV_CHANGE_ZONE + 1, .name = "n1"},
        {.kind = KV_CHANGE_WEIGHT, .name = "n1", .weight = WEIGHT_MAX + 1},
        {.kind = KV_CHANGE_ZONE, .name = "n1", .zone = "no zone"},
        {.kind = KV_CHANGE_JOIN, .name = "n9", .weight = 1}, /* not a plan */
    };
    for (uint32_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
        assert_int_equal(ask(&w, WRONG[i], NULL, &a), KV_E_INVALID);
    assert_int_equal(world_order(&w, &(struct client_order){.op = CLIENT_CHANGE}), KV_E_INVALID);
    assert_int_equal(client_pending(w.client), 0);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_asked_for),
        cmocka_unit_test(a_plan),
        cmocka_unit_test(the_reason_for_a_refusal_is_told),
        cmocka_unit_test(a_lost_node_is_made_up_for),
        cmocka_unit_test(who_never_answers_is_waited_for_ten_seconds),
        cmocka_unit_test(what_makes_no_sense_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
