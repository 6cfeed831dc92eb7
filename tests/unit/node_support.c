#include "node_support.h"

#include <stdio.h>

static struct node_founder founders[16];
static struct node_config config;
static char names[16][8];

struct addr addr_of(uint32_t i)
{
    struct addr a = {.port = (uint16_t)(7600 + i)};
    memcpy(a.host, "127.0.0.1", 10);
    return a;
}

struct node_config *bench_config(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        snprintf(founders[i].name, sizeof founders[i].name, "n%u", i + 1);
        founders[i].addr = addr_of(i + 1);
    }
    config = (struct node_config){
        .name = "n1",
        .cluster = "test",
        .zone = "",
        .weight = 1,
        .addr = addr_of(1),
        .replicas = 3,
        .partitions = 64,
        .value_max_bytes = VALUE_MAX_BYTES,
        .seed = 1,
        .swim = swim_config_default(),
        .founders = founders,
        .founder_count = count,
        .store_id = SELF_STORE(1),
        .generation = 1,
    };
    return &config;
}

static struct bytes ring_of(uint32_t count, enum topology topology, uint32_t hub)
{
    static struct buf encoded;
    struct member members[16] = {0};
    for (uint32_t i = 0; i < count; i++) {
        members[i].id = i + 1;
        members[i].store_id = SELF_STORE(i + 1);
        members[i].weight = 1;
        members[i].addr = addr_of(i + 1);
        snprintf(members[i].name, sizeof members[i].name, "n%u", i + 1);
    }
    struct ring_value v = {.epoch = 1,
                           .partitions = 64,
                           .replicas = 3,
                           .topology = (uint8_t)topology,
                           .hub = hub,
                           .next_id = count + 1,
                           .member_count = count,
                           .members = members};
    buf_clear(&encoded);
    assert_int_equal(ring_value_encode(&v, &encoded), KV_OK);
    return buf_bytes(&encoded);
}

struct bytes bench_ring(uint32_t count)
{
    return ring_of(count, TOPOLOGY_RING, 0);
}

void bench_start(struct bench *b, const struct node_config *c)
{
    char error[256];
    *b = (struct bench){.now = {.mono_us = 1000000, .wall_ms = WALL_MS}};
    assert_int_equal(outbox_init(&b->out), KV_OK);
    assert_int_equal(node_create(c, &b->node, error), KV_OK);
    struct event e = {.type = EV_START};
    step(b, &e);
}

void bench_founder(struct bench *b, uint32_t count)
{
    bench_start(b, bench_config(count));
}

void bench_member(struct bench *b, uint32_t count)
{
    bench_member_of(b, count, TOPOLOGY_RING, 0);
}

void bench_member_of(struct bench *b, uint32_t count, enum topology topology, uint32_t hub)
{
    struct node_config *c = bench_config(count);
    c->ring = ring_of(count, topology, hub);
    bench_start(b, c);
    if (count > 1) { /* nobody is heard: the clock begins without them */
        assert_null(meta_write(b, META_FLOOR));
        tick_at(b, node_deadline_us(b->node));
    }
    written(b, meta_write(b, META_FLOOR)->op, KV_OK);
    assert_true(hlc_settled(b->node));
}

void bench_destroy(struct bench *b)
{
    outbox_deinit(&b->out);
    node_destroy(b->node);
}

void step(struct bench *b, const struct event *e)
{
    outbox_reset(&b->out);
    node_step(b->node, b->now, e, &b->out);
    node_check(b->node);
    for (uint32_t i = 0; i < b->out.count; i++) {
        const struct effect *f = &b->out.effects[i];
        if (f->type != EF_SEND)
            continue;
        assert_true(f->send.to.conn || f->send.to.peer != node_self(b->node));
        assert_true(f->send.message.cluster == node_cluster_hash(b->node));
        assert_true(f->send.message.hlc <= b->node->clock.floor);
    }
}

void tick_at(struct bench *b, uint64_t mono_us)
{
    b->now.wall_ms += (mono_us - b->now.mono_us) / 1000;
    b->now.mono_us = mono_us;
    struct event e = {.type = EV_TICK};
    step(b, &e);
}

void say(struct bench *b, struct endpoint from, struct message *m)
{
    struct event e = {.type = EV_MESSAGE};
    e.message.from = from;
    e.message.message = m;
    step(b, &e);
    message_release(m);
}

void written(struct bench *b, uint64_t op, int status)
{
    struct event e = {.type = EV_STORE_WRITTEN};
    e.written.op = op;
    e.written.status = status;
    step(b, &e);
}

struct effect *effect(struct bench *b, enum effect_type type)
{
    for (uint32_t i = 0; i < b->out.count; i++)
        if (b->out.effects[i].type == type)
            return &b->out.effects[i];
    return NULL;
}

uint32_t count_of(struct bench *b, enum effect_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->out.count; i++)
        count += b->out.effects[i].type == type;
    return count;
}

struct message *sent(struct bench *b, enum message_type type)
{
    for (uint32_t i = 0; i < b->out.count; i++)
        if (b->out.effects[i].type == EF_SEND && b->out.effects[i].send.message.type == type)
            return &b->out.effects[i].send.message;
    return NULL;
}

struct message *sent_to(struct bench *b, enum message_type type, struct endpoint to)
{
    for (uint32_t i = 0; i < b->out.count; i++) {
        struct effect *e = &b->out.effects[i];
        if (e->type == EF_SEND && e->send.message.type == type && e->send.to.conn == to.conn &&
            e->send.to.peer == to.peer)
            return &e->send.message;
    }
    return NULL;
}

struct effect *meta_write(struct bench *b, const char *name)
{
    for (uint32_t i = 0; i < b->out.count; i++)
        if (b->out.effects[i].type == EF_STORE_META && strcmp(b->out.effects[i].meta.name, name) == 0)
            return &b->out.effects[i];
    return NULL;
}

struct message message_of(struct bench *b, enum message_type type)
{
    return (struct message){.type = type,
                            .id = 77,
                            .cluster = node_cluster_hash(b->node),
                            .ring_epoch = node_ring(b->node) ? node_ring(b->node)->value.epoch : 0,
                            .hlc = hlc_from_ms(b->now.wall_ms)};
}

struct message member_hello(struct bench *b, uint32_t i)
{
    struct message m = message_of(b, MSG_HELLO);
    snprintf(names[i], sizeof names[i], "n%u", i);
    m.hello = (struct msg_hello){.role = ROLE_MEMBER,
                                 .cluster = "test",
                                 .name = names[i],
                                 .member_id = node_ring(b->node) ? i : 0,
                                 .store_id = SELF_STORE(i),
                                 .generation = 1,
                                 .addr = addr_of(i),
                                 .topology = (uint8_t)b->node->topology,
                                 .hub = b->node->hub};
    return m;
}

struct endpoint client(struct bench *b)
{
    struct endpoint at = to_conn(++b->next_conn);
    struct message m = {.type = MSG_HELLO, .id = 5};
    m.hello = (struct msg_hello){.role = ROLE_CLIENT, .cluster = "", .name = ""};
    say(b, at, &m);
    assert_non_null(sent_to(b, MSG_WELCOME, at));
    return at;
}

struct endpoint member(struct bench *b, uint32_t i)
{
    struct endpoint at = to_conn(++b->next_conn);
    struct message m = member_hello(b, i);
    say(b, at, &m);
    assert_non_null(sent_to(b, MSG_WELCOME, at));
    return at;
}

void peer_up(struct bench *b, uint32_t i)
{
    struct event e = {.type = EV_PEER_CONNECTED};
    e.peer = i;
    step(b, &e);
    assert_non_null(sent_to(b, MSG_HELLO, to_peer(i)));
    struct message m = message_of(b, MSG_WELCOME);
    snprintf(names[i], sizeof names[i], "n%u", i);
    m.welcome = (struct msg_welcome){.cluster = "test",
                                     .name = names[i],
                                     .member_id = i,
                                     .store_id = SELF_STORE(i),
                                     .generation = 1,
                                     .wall_ms = b->now.wall_ms};
    say(b, to_peer(i), &m);
    assert_true(peers_find(b->node, i)->up);
}

static struct row row_of(struct bench *b, const char *value)
{
    struct row r = {
        .kind = ROW_REGISTER, .raw_size = (uint32_t)strlen(value), .stamp = {hlc_from_ms(b->now.wall_ms), 9}};
    r.payload = blob_copy(bytes_str(value));
    return r;
}

struct message put_of(struct bench *b, const char *key, const char *value)
{
    struct message m = message_of(b, MSG_REQUEST);
    m.request.op = OP_PUT;
    m.request.timeout_us = 1000000;
    m.request.key = bytes_str(key);
    m.request.row = row_of(b, value);
    return m;
}

struct message write_of(struct bench *b, const char *key, const char *value)
{
    struct message m = message_of(b, MSG_WRITE);
    m.write.key = bytes_str(key);
    m.write.row = row_of(b, value);
    m.write.began_hlc = m.hlc;
    return m;
}
