/* The sentence that a request ends with is true: of what was done and of who was there. */
#include "client_support.h"

#include <stdio.h>

static struct outcome scanned;

static void on_scan(const struct kv_scan_page *p, void *arg)
{
    (void)arg;
    scanned.over = true;
    scanned.status = p->status;
    snprintf(scanned.message, sizeof scanned.message, "%s", p->message);
}

static void ask(struct world *w, enum client_op op, unsigned flags, struct outcome *o)
{
    const struct kv_request q = {.flags = flags, .timeout_ms = 300};
    if (op == CLIENT_PUT)
        world_put(w, "key", "v", &q, o);
    else if (op == CLIENT_GET)
        world_get(w, "key", &q, o);
    else
        world_order(w, &(struct client_order){.op = CLIENT_SCAN, .callback.scan = on_scan});
    if (op != CLIENT_SCAN) {
        world_finish(w, o);
        return;
    }
    scanned.over = false;
    world_finish(w, &scanned);
    *o = scanned;
}

/* Whatever makes it `unavailable`: "nothing was tried" is said only when nobody was asked. */
static void unavailable_says_what_was_done(void **state)
{
    (void)state;
    static const char at_stamps[] =
        "too few of its homes have said in time what they hold; nothing was written";
    static const struct {
        enum client_op op;
        unsigned flags;
        int say;
        uint8_t asked;
        const char *sentence;
    } cases[] = {
        {CLIENT_PUT, 0, KV_E_UNAVAILABLE, 0, "too few nodes can be reached; nothing was tried"},
        {CLIENT_GET, 0, KV_E_UNAVAILABLE, 0, "too few nodes can be reached; nothing was tried"},
        {CLIENT_GET, KV_STRICT, KV_E_UNAVAILABLE, 3, "too few of the nodes that were asked have answered"},
        {CLIENT_PUT, KV_STRICT, KV_E_UNAVAILABLE, 3,
         "too few of the nodes that were asked have answered; nothing was written"},
        {CLIENT_PUT, KV_STRICT, KV_E_TIMEOUT, 3, at_stamps},
        {CLIENT_PUT, KV_STRICT, ANSWER_NOTHING, 0, at_stamps},
        {CLIENT_GET, 0, KV_E_CORRUPT, 0, "last: bytes that cannot be what was written"},
        {CLIENT_PUT, 0, KV_E_AGAIN, 0, "last: not possible right now; nothing was written"},
        {CLIENT_PUT, KV_STRICT, KV_E_IO, 3, "last: the disk failed; nothing was written"},
        {CLIENT_SCAN, 0, KV_E_UNAVAILABLE, 0, "too few nodes can be reached to know all keys"},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        struct outcome o = {0};
        world_init(&w, 5, 0, NULL);
        world_warm_all(&w);
        for (uint32_t n = 1; n <= 5; n++) {
            w.nodes[n].say = cases[i].say;
            w.nodes[n].say_asked = cases[i].asked;
        }
        ask(&w, cases[i].op, cases[i].flags, &o);
        assert_int_equal(o.status, KV_E_UNAVAILABLE);
        if (!strstr(o.message, cases[i].sentence))
            fail_msg("case %u: %s", i, o.message);
        assert_true(o.asked == 0 || !strstr(o.message, "nothing was tried"));
        world_deinit(&w);
    }
}

static void message_of_nobody(uint32_t nodes, const struct kv_request *q, enum node_mode first,
                              const char *sentence)
{
    struct world w;
    struct outcome o;
    world_init(&w, nodes, 0, NULL);
    for (uint32_t i = 1; i <= nodes; i++)
        world_mode(&w, i, i == 1 ? first : NODE_AWAY);
    world_get(&w, "key", q, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_NO_NODE);
    assert_string_equal(o.message, sentence);
    world_deinit(&w);
}

/* Each that was tried is named, and each reason once. */
static void who_is_not_there_is_named(void **state)
{
    (void)state;
    const struct kv_request via = {.via = "127.0.0.1:7602"};
    message_of_nobody(1, NULL, NODE_AWAY, "no node could be reached (127.0.0.1:7601: connection refused)");
    message_of_nobody(3, NULL, NODE_AWAY,
                      "no node could be reached (127.0.0.1:7601, 127.0.0.1:7602, 127.0.0.1:7603: "
                      "connection refused)");
    message_of_nobody(9, NULL, NODE_AWAY,
                      "no node could be reached (127.0.0.1:7601, 127.0.0.1:7602, 127.0.0.1:7603, "
                      "127.0.0.1:7604, 127.0.0.1:7605: connection refused; and 4 more)");
    message_of_nobody(3, NULL, NODE_HOLE,
                      "no node could be reached (127.0.0.1:7601: no connection in time; 127.0.0.1:7602, "
                      "127.0.0.1:7603: connection refused)");
    message_of_nobody(3, &via, NODE_HOLE, "no node could be reached (127.0.0.1:7602: connection refused)");
}

/* Nodes of another cluster, not one that is just away. */
static void who_is_of_another_cluster_is_named(void **state)
{
    (void)state;
    struct world w;
    struct outcome o;
    struct kv_options options = {.cluster = "test"};
    world_init(&w, 3, 0, &options);
    world_mode(&w, 1, NODE_AWAY);
    w.nodes[2].cluster = w.nodes[3].cluster = "other";
    world_get(&w, "key", NULL, &o);
    world_finish(&w, &o);
    assert_int_equal(o.status, KV_E_WRONG_CLUSTER);
    assert_null(strstr(o.message, "127.0.0.1:7601"));
    assert_non_null(strstr(o.message, "(127.0.0.1:7602, 127.0.0.1:7603: "));
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unavailable_says_what_was_done),
        cmocka_unit_test(who_is_not_there_is_named),
        cmocka_unit_test(who_is_of_another_cluster_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
