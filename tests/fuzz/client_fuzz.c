/* The client's side: what a node, or who has taken its place, may answer to a program that uses libkv.
 * Requests of every kind are under way; nothing that is said to them may break the client's invariants or
 * keep a request beyond its deadline. */
#include "client/client.h"
#include "fuzz/feed.h"

#define SECOND UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ASKED_MAX 256u

/* What the client has said last, to whom: what may be answered. */
static struct {
    uint32_t peer;
    uint64_t id;
} asked[ASKED_MAX];
static uint32_t asked_count;

static void welcome(struct client *c, uint64_t now_us, uint32_t peer, uint64_t id)
{
    struct message m = {.type = MSG_WELCOME,
                        .id = id,
                        .welcome = {.cluster = "fuzz",
                                    .name = "n1",
                                    .member_id = 1,
                                    .store_id = 1,
                                    .generation = 1,
                                    .wall_ms = 1700000000000,
                                    .value_max_bytes = FEED_VALUE_MAX}};
    client_message(c, now_us, peer, &m);
}

/* Every connection that is asked for comes about, and is welcomed. */
static void effects(struct client *c, uint64_t now_us)
{
    struct client_effect e;
    struct client_done *done;
    do {
        while (client_next_effect(c, &e)) {
            if (e.type == CLIENT_DIAL) {
                client_connected(c, now_us, e.peer);
            } else if (e.type == CLIENT_SEND && e.message.type == MSG_HELLO) {
                welcome(c, now_us, e.peer, e.message.id);
            } else if (e.type == CLIENT_SEND) {
                asked[asked_count % ASKED_MAX].peer = e.peer;
                asked[asked_count++ % ASKED_MAX].id = e.message.id;
            }
        }
        done = client_next_done(c);
        if (done)
            client_done_release(c, done);
    } while (done);
}

static void submit_all(struct client *c, uint64_t now_us)
{
    static const enum client_op ops[] = {CLIENT_GET,  CLIENT_PUT,   CLIENT_DEL,   CLIENT_SCAN, CLIENT_STATUS,
                                         CLIENT_RING, CLIENT_WHERE, CLIENT_STATS, CLIENT_FAULT};
    for (uint32_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct kv_request request = {.flags = i % 2 ? KV_STRICT : KV_EXPLAIN, .timeout_ms = 1000};
        struct client_order order = {
            .op = ops[i], .key = bytes_str("key"), .value = bytes_str("value"), .request = &request};
        (void)client_submit(c, now_us, &order);
    }
    effects(c, now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena = {.limit_bytes = WIRE_ARENA_MAX_BYTES};
    struct bytes in = bytes_of(data, size);
    struct client *c;
    struct message m;
    uint64_t now_us = 5 * SECOND;
    uint8_t who;
    struct kv_options options = {.nodes = "127.0.0.1:7601,127.0.0.1:7602"};
    KV_ASSERT(client_create(&options, 42, &c) == KV_OK);
    asked_count = 0;
    submit_all(c, now_us);
    while (asked_count && feed_next(&in, 1, 1, &arena, &who, &m)) {
        uint32_t open = asked_count < ASKED_MAX ? asked_count : ASKED_MAX, at = who % open;
        now_us += who;
        m.id = asked[at].id;
        client_message(c, now_us, asked[at].peer, &m);
        message_release(&m);
        effects(c, now_us);
        client_check(c);
    }
    now_us += 2 * SECOND; /* beyond every deadline */
    client_tick(c, now_us);
    effects(c, now_us);
    KV_ASSERT(client_pending(c) == 0);
    client_destroy(c);
    return 0;
}
