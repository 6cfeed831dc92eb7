/* Any conversation with a node: what clients, members, its own dialled connections and datagrams may say that
 * the wire lets through. Its disk works, at once and on an empty store. Nothing may break an assertion, and
 * node_check holds after every step. */
#include <stdio.h>

#include "fuzz/feed.h"
#include "node/node.h"

#define MEMBERS 5u
#define WALL_MS UINT64_C(1700000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct now now;
static struct outbox out;
static struct node *node;
static struct buf ring;

static struct addr addr_of(uint32_t i)
{
    struct addr a = {.host = "127.0.0.1", .port = (uint16_t)(7600 + i)};
    return a;
}

static void make_ring(void)
{
    struct member members[MEMBERS] = {0};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        members[i] = (struct member){.id = i + 1, .store_id = i + 1, .weight = 1, .addr = addr_of(i + 1)};
        snprintf(members[i].name, sizeof members[i].name, "n%u", i + 1);
    }
    struct ring_value v = {.epoch = 1,
                           .partitions = 16,
                           .replicas = 3,
                           .next_id = MEMBERS + 1,
                           .member_count = MEMBERS,
                           .members = members};
    KV_ASSERT(ring_value_encode(&v, &ring) == KV_OK);
}

/* ---- steps: what the node asks of its disk is done, and told in the next steps ---- */

#define DONE_MAX 4096u
static const struct store_has nothing[STORE_KEYS_MAX];
static const uint64_t empty_tree[TREE_LEAVES];
static struct event done[DONE_MAX];
static uint32_t done_count;

static void remember(const struct effect *e)
{
    struct event *d = &done[done_count];
    *d = (struct event){0};
    switch (e->type) {
    case EF_STORE_WRITE:
    case EF_STORE_MERGE:
    case EF_STORE_META:
    case EF_STORE_HINT_DONE:
    case EF_STORE_DELETE:
        d->type = EV_STORE_WRITTEN;
        d->written.op = e->op;
        d->written.sequence = now.mono_us;
        break;
    case EF_STORE_READ:
        d->type = EV_STORE_READ;
        d->read.op = e->op;
        break;
    case EF_STORE_RANGE:
    case EF_STORE_HINTS:
    case EF_STORE_ROWS:
        d->type = EV_STORE_PAGE;
        d->page.op = e->op;
        d->page.done = true;
        break;
    case EF_STORE_HAS:
        d->type = EV_STORE_HAS;
        d->has.op = e->op;
        d->has.count = e->has.count;
        d->has.keys = nothing;
        break;
    case EF_STORE_TREE:
        d->type = EV_STORE_TREE;
        d->tree.op = e->op;
        d->tree.partition = e->tree.partition;
        d->tree.hashes = empty_tree;
        break;
    case EF_STORE_TOTALS:
        d->type = EV_STORE_TOTALS;
        d->totals.op = e->op;
        break;
    default: return;
    }
    done_count += done_count < DONE_MAX - 1;
}

static void step(const struct event *e)
{
    outbox_reset(&out);
    now.mono_us += 100;
    node_step(node, now, e, &out);
    node_check(node);
    for (uint32_t i = 0; i < out.count; i++)
        remember(&out.effects[i]);
}

static void settle(void)
{
    for (uint32_t i = 0; i < done_count; i++) {
        struct event e = done[i];
        step(&e);
    }
    done_count = 0;
}

static void tell(struct endpoint from, struct message *m)
{
    struct event e = {.type = EV_MESSAGE, .message = {.from = from, .message = m}};
    step(&e);
}

static void meet(uint32_t member)
{
    static const char *const names[] = {"", "n1", "n2", "n3", "n4", "n5"};
    struct event connected = {.type = EV_PEER_CONNECTED, .peer = member};
    struct message welcome = {.type = MSG_WELCOME,
                              .cluster = node_cluster_hash(node),
                              .ring_epoch = 1,
                              .welcome = {.cluster = "fuzz",
                                          .name = names[member],
                                          .member_id = member,
                                          .store_id = member,
                                          .generation = 1,
                                          .wall_ms = WALL_MS,
                                          .value_max_bytes = FEED_VALUE_MAX}};
    struct message hello = {.type = MSG_HELLO,
                            .cluster = node_cluster_hash(node),
                            .ring_epoch = 1,
                            .hello = {.role = ROLE_MEMBER,
                                      .cluster = "fuzz",
                                      .name = names[member],
                                      .member_id = member,
                                      .store_id = member,
                                      .generation = 1,
                                      .addr = addr_of(member)}};
    step(&connected);
    tell(to_peer(member), &welcome);
    tell(to_conn(member), &hello);
}

static void begin(void)
{
    char error[256];
    struct node_config config = {.name = "n1",
                                 .cluster = "fuzz",
                                 .zone = "",
                                 .weight = 1,
                                 .addr = addr_of(1),
                                 .replicas = 3,
                                 .partitions = 16,
                                 .value_max_bytes = FEED_VALUE_MAX,
                                 .seed = 1,
                                 .swim = swim_config_default(),
                                 .store_id = 1,
                                 .generation = 1,
                                 .ring = buf_bytes(&ring)};
    struct event start = {.type = EV_START}, tick = {.type = EV_TICK};
    now = (struct now){.mono_us = 1000000, .wall_ms = WALL_MS};
    KV_ASSERT(node_create(&config, &node, error) == KV_OK);
    step(&start);
    for (uint32_t i = 2; i < MEMBERS; i++) /* one is away */
        meet(i);
    struct message client = {.type = MSG_HELLO, .hello = {.role = ROLE_CLIENT, .cluster = "", .name = ""}};
    tell(to_conn(100), &client);
    now.mono_us = node_deadline_us(node) > now.mono_us ? node_deadline_us(node) : now.mono_us;
    step(&tick);
    settle();
}

/* 0: a stranger's, 1: a client's connection, 2..4: a member's own, 5..7: the one dialled to it, 8: a
 * datagram, 9: time */
static void act(uint8_t who, struct message *m)
{
    uint8_t part = who % 10, member = (uint8_t)(2 + part % 3);
    struct event e = {.type = EV_TICK};
    struct addr from = addr_of(2 + who % 4u);
    m->hlc = who & 0x80 ? UINT64_MAX : 0;
    if (part == 0) {
        tell(to_conn(200), m);
    } else if (part == 1) {
        tell(to_conn(100), m);
    } else if (part < 5) {
        tell(to_conn(member), m);
    } else if (part < 8) {
        tell(to_peer(member), m);
    } else if (part == 8) {
        e = (struct event){.type = EV_DATAGRAM, .datagram = {.from = from, .message = m, .bytes = 100}};
        step(&e);
    } else {
        now.mono_us += who * 1000u;
        step(&e);
    }
    settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena = {.limit_bytes = WIRE_ARENA_MAX_BYTES};
    struct bytes in = bytes_of(data, size);
    struct message m;
    uint8_t who;
    if (!ring.len) {
        make_ring();
        KV_ASSERT(outbox_init(&out) == KV_OK);
    }
    begin();
    while (feed_next(&in, node_cluster_hash(node), 1, &arena, &who, &m)) {
        act(who, &m);
        message_release(&m);
    }
    outbox_reset(&out);
    node_destroy(node);
    return 0;
}
