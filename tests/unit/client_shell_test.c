/* The libuv shell of libkv against a small node that runs in a thread of this process: real sockets, frames
 * in pieces, large values, garbage, and every way to open and close a handle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/map.h"
#include "base/prng.h"
#include "kv.h"
#include "model/key.h"
#include "wire/wire.h"

#define MIB (1u << 20)

/* ---- the node ---- */

enum manner { WELL, IN_PIECES, GARBAGE, HUGE_FRAME, WRONG_VERSION, HANGS_UP, MUTE };

static struct {
    uv_thread_t thread;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t stop;
    uv_sem_t ready;
    uint16_t port;
    atomic_int manner;
    atomic_int connections;
    uint64_t hlc;
    struct map rows; /* token -> struct row * */
} node;

struct link {
    uv_tcp_t tcp;
    struct buf in;
    char chunk[65536];
};

struct sending {
    uv_write_t request;
    struct buf bytes;
};

static void on_sent(uv_write_t *request, int status)
{
    struct sending *s = request->data;
    (void)status;
    buf_deinit(&s->bytes);
    free(s);
}

static void on_link_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    buf_deinit(&l->in);
    free(l);
}

static void hang_up(struct link *l)
{
    if (!uv_is_closing((uv_handle_t *)&l->tcp))
        uv_close((uv_handle_t *)&l->tcp, on_link_closed);
}

static void send_bytes(struct link *l, const void *data, size_t len)
{
    struct sending *s = calloc(1, sizeof *s);
    buf_append(&s->bytes, bytes_of(data, len));
    s->request.data = s;
    uv_buf_t b = uv_buf_init((char *)s->bytes.data, (unsigned)len);
    if (uv_write(&s->request, (uv_stream_t *)&l->tcp, &b, 1, on_sent) != 0)
        on_sent(&s->request, 0);
}

static void reply(struct link *l, const struct message *m)
{
    struct buf out = {0};
    struct wire_frame frame;
    wire_encode(m, &out, &frame);
    for (uint32_t i = 0; i < frame.payload_count; i++)
        buf_append(&out, blob_bytes(frame.payloads[i]));
    size_t step = node.manner == IN_PIECES ? 7 : out.len;
    /* TCP may join the pieces again; with NODELAY and one write each most stay apart. */
    for (size_t at = 0; at < out.len; at += step)
        send_bytes(l, out.data + at, out.len - at < step ? out.len - at : step);
    buf_deinit(&out);
}

static void serve_request(struct link *l, const struct message *q, struct message *m)
{
    uint64_t token = key_token(q->request.key);
    struct row *row = map_get(&node.rows, token);
    (void)l;
    m->type = MSG_RESPONSE;
    m->response.coordinator = 1;
    m->response.asked = m->response.needed = m->response.acked = 1;
    if (q->request.op == OP_PUT) {
        node.hlc = q->request.row.stamp.hlc > node.hlc ? q->request.row.stamp.hlc : node.hlc;
        if (!row) {
            row = calloc(1, sizeof *row);
            map_set(&node.rows, token, row);
        }
        if (row_wins(&q->request.row, row)) {
            row_release(row);
            *row = row_ref(&q->request.row);
        }
    } else if (!row || (row->flags & ROW_TOMBSTONE)) {
        m->response.status = KV_E_NOT_FOUND;
    } else {
        m->response.row = row_ref(row);
    }
}

static void serve(struct link *l, const struct message *q)
{
    static const uint8_t garbage[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n and more of the same";
    struct message m = {.id = q->id, .cluster = 5, .hlc = node.hlc};
    switch ((enum manner)atomic_load(&node.manner)) {
    case GARBAGE: send_bytes(l, garbage, sizeof garbage); return;
    case HUGE_FRAME: {
        uint8_t header[WIRE_HEADER_BYTES] = {0};
        be32_put(header, 0x7fffffff);
        header[4] = PROTOCOL_VERSION;
        header[5] = MSG_RESPONSE;
        send_bytes(l, header, sizeof header);
        return;
    }
    case WRONG_VERSION: {
        uint8_t header[WIRE_HEADER_BYTES] = {0};
        be32_put(header, WIRE_HEADER_BYTES - 4);
        header[4] = PROTOCOL_VERSION + 1;
        header[5] = MSG_WELCOME;
        send_bytes(l, header, sizeof header);
        return;
    }
    case HANGS_UP: hang_up(l); return;
    case MUTE: return;
    default: break;
    }
    if (q->type == MSG_HELLO) {
        m.type = MSG_WELCOME;
        m.welcome = (struct msg_welcome){.cluster = "c",
                                         .name = "n1",
                                         .member_id = 1,
                                         .wall_ms = UINT64_C(1700000000000) + uv_hrtime() / 1000000,
                                         .value_max_bytes = VALUE_MAX_BYTES};
    } else if (q->type == MSG_RING_GET) {
        m.type = MSG_RING;
    } else if (q->type == MSG_REQUEST) {
        serve_request(l, q, &m);
    } else {
        hang_up(l);
        return;
    }
    reply(l, &m);
    message_release(&m);
}

/* Whole frames at the front of what was received. */
static void take_frames(struct link *l)
{
    size_t at = 0;
    while (l->in.len - at >= WIRE_HEADER_BYTES && !uv_is_closing((uv_handle_t *)&l->tcp)) {
        struct wire_header h;
        struct message q;
        struct arena arena;
        if (wire_decode_header(l->in.data + at, VALUE_MAX_BYTES + FRAME_EXTRA_MAX_BYTES, &h) != KV_OK)
            break;
        if (l->in.len - at < h.length + 4u)
            break;
        const uint8_t *body = l->in.data + at + WIRE_HEADER_BYTES;
        struct blob *payload = blob_copy(bytes_of(body + h.body_size, wire_payload_bytes(&h)));
        arena_init(&arena, WIRE_ARENA_MAX_BYTES);
        if (wire_decode(&h, bytes_of(body, h.body_size), payload, VALUE_MAX_BYTES, &arena, &q) == KV_OK) {
            serve(l, &q);
            message_release(&q);
        }
        arena_deinit(&arena);
        blob_unref(payload);
        at += h.length + 4u;
    }
    memmove(l->in.data, l->in.data + at, l->in.len - at);
    l->in.len -= at;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct link *l = handle->data;
    (void)suggested;
    *out = uv_buf_init(l->chunk, sizeof l->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct link *l = stream->data;
    if (n < 0) {
        hang_up(l);
        return;
    }
    buf_append(&l->in, bytes_of(b->base, (size_t)n));
    if (l->in.len)
        take_frames(l);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct link *l = calloc(1, sizeof *l);
    (void)status;
    uv_tcp_init(&node.loop, &l->tcp);
    l->tcp.data = l;
    uv_accept(listener, (uv_stream_t *)&l->tcp);
    uv_tcp_nodelay(&l->tcp, 1);
    uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
    node.connections++;
}

static void close_one(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, handle == (uv_handle_t *)&node.listener || handle == (uv_handle_t *)&node.stop
                             ? NULL
                             : on_link_closed);
}

static void on_stop(uv_async_t *async)
{
    (void)async;
    uv_walk(&node.loop, close_one, NULL);
}

static void node_main(void *arg)
{
    struct sockaddr_in a;
    int len = sizeof a;
    (void)arg;
    uv_loop_init(&node.loop);
    uv_async_init(&node.loop, &node.stop, on_stop);
    uv_tcp_init(&node.loop, &node.listener);
    uv_ip4_addr("127.0.0.1", 0, &a);
    uv_tcp_bind(&node.listener, (struct sockaddr *)&a, 0);
    uv_listen((uv_stream_t *)&node.listener, 128, on_connection);
    uv_tcp_getsockname(&node.listener, (struct sockaddr *)&a, &len);
    node.port = ntohs(a.sin_port);
    uv_sem_post(&node.ready);
    uv_run(&node.loop, UV_RUN_DEFAULT);
    uv_loop_close(&node.loop);
}

static void free_row(uint64_t token, void *value, void *arg)
{
    (void)token;
    (void)arg;
    row_release(value);
    free(value);
}

static int start_node(void **state)
{
    (void)state;
    map_init(&node.rows);
    uv_sem_init(&node.ready, 0);
    uv_thread_create(&node.thread, node_main, NULL);
    uv_sem_wait(&node.ready);
    return 0;
}

static int stop_node(void **state)
{
    (void)state;
    uv_async_send(&node.stop);
    uv_thread_join(&node.thread);
    uv_sem_destroy(&node.ready);
    map_each(&node.rows, free_row, NULL);
    map_deinit(&node.rows);
    return 0;
}

static struct kv_options options_for(enum manner manner, const char *host)
{
    static char nodes[64];
    node.manner = manner;
    snprintf(nodes, sizeof nodes, "%s:%u", host, node.port);
    return (struct kv_options){.nodes = nodes, .timeout_ms = 20000};
}

/* ---- blocking calls ---- */

static void blocking_calls(void **state)
{
    (void)state;
    const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (uint32_t h = 0; h < 2; h++) {
        struct kv_options options = options_for(WELL, hosts[h]);
        struct kv *kv;
        struct kv_result r;
        assert_int_equal(kv_connect(&options, &kv), KV_OK);
        assert_int_equal(kv_put_wait(kv, "k", 1, "value", 5, NULL, &r), KV_OK);
        assert_string_equal(r.coordinator, "n1");
        assert_int_equal(r.stamp.origin, kv_origin(kv));
        assert_int_equal(kv_get_wait(kv, "k", 1, NULL, &r), KV_OK);
        assert_int_equal(r.value_len, 5);
        assert_memory_equal(r.value, "value", 5); /* still there */
        assert_int_equal(kv_del_wait(kv, "k", 1, NULL, &r), KV_OK);
        assert_int_equal(kv_get_wait(kv, "k", 1, NULL, &r), KV_E_NOT_FOUND);
        assert_int_equal(r.value_len, 0);
        assert_int_equal(kv_get_wait(kv, "", 0, NULL, &r), KV_E_INVALID);
        assert_string_equal(r.message, kv_error_text(KV_E_INVALID));
        assert_int_equal(kv_pending(kv), 0);
        kv_disconnect(kv);
    }
}

static void values_of_all_sizes(void **state)
{
    (void)state;
    for (enum manner manner = WELL; manner <= IN_PIECES; manner++) {
        struct kv_options options = options_for(manner, "127.0.0.1");
        struct kv *kv;
        struct kv_result r;
        struct prng prng;
        prng_init(&prng, 3);
        uint8_t *value = malloc(8 * MIB + 1);
        for (size_t i = 0; i <= 8 * MIB; i++)
            value[i] = (uint8_t)prng_u64(&prng);
        const size_t sizes[] = {0, 1, 600, 1024, 1025, 16384, 65536, 65537, 200000, MIB, 8 * MIB};
        size_t count = manner == IN_PIECES ? 9 : 11;
        assert_int_equal(kv_connect(&options, &kv), KV_OK);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(kv_put_wait(kv, "big", 3, value, sizes[i], NULL, &r), KV_OK);
            assert_int_equal(kv_get_wait(kv, "big", 3, NULL, &r), KV_OK);
            assert_int_equal(r.value_len, sizes[i]);
            assert_memory_equal(r.value, value, sizes[i]);
        }
        if (manner == WELL)
            assert_int_equal(kv_put_wait(kv, "big", 3, value, 8 * MIB + 1, NULL, &r), KV_E_TOO_LARGE);
        kv_disconnect(kv);
        free(value);
    }
}

static void bad_nodes_are_left(void **state)
{
    static const char *const why[] = {[GARBAGE] = "another protocol",
                                      [HUGE_FRAME] = "no message",
                                      [WRONG_VERSION] = "another version",
                                      [HANGS_UP] = "it closed the connection"};
    (void)state;
    for (enum manner manner = GARBAGE; manner <= HANGS_UP; manner++) {
        struct kv_options options = options_for(manner, "127.0.0.1");
        struct kv *kv;
        struct kv_result r;
        options.timeout_ms = 2000;
        assert_int_equal(kv_connect(&options, &kv), KV_OK);
        assert_int_equal(kv_put_wait(kv, "k", 1, "v", 1, NULL, &r), KV_E_NO_NODE);
        assert_false(r.unknown);
        assert_true(r.us < 1000000);
        assert_non_null(strstr(r.message, why[manner]));
        kv_disconnect(kv);
    }
}

static void nobody_listens(void **state)
{
    (void)state;
    struct kv_options options = {.nodes = "127.0.0.1:1,[::1]:1"};
    struct kv *kv;
    struct kv_result r;
    assert_int_equal(kv_connect(&options, &kv), KV_OK);
    assert_int_equal(kv_get_wait(kv, "k", 1, NULL, &r), KV_E_NO_NODE);
    assert_true(r.us < 500000);
    kv_disconnect(kv);
    options.nodes = "no.such.host.invalid:7";
    assert_int_equal(kv_connect(&options, &kv), KV_OK);
    assert_int_equal(kv_get_wait(kv, "k", 1, NULL, &r), KV_E_NO_NODE);
    kv_disconnect(kv);
}

static void mute_node_times_out(void **state)
{
    (void)state;
    struct kv_options options = options_for(WELL, "127.0.0.1");
    struct kv *kv;
    struct kv_result r;
    options.timeout_ms = 200;
    assert_int_equal(kv_connect(&options, &kv), KV_OK);
    assert_int_equal(kv_put_wait(kv, "k", 1, "v", 1, NULL, &r), KV_OK);
    node.manner = MUTE;
    assert_int_equal(kv_put_wait(kv, "k", 1, "v", 1, NULL, &r), KV_E_TIMEOUT);
    assert_true(r.unknown);
    assert_in_range(r.us, 200000, 900000);
    kv_disconnect(kv);
}

/* Behind a cut line requests run out of time, as with a node that is gone; then all is well again, on a new
 * connection. A line may be cut before there is one. */
static void cut_lines(void **state)
{
    (void)state;
    struct kv_options options = options_for(WELL, "127.0.0.1");
    struct kv *kv;
    struct kv_result r;
    options.timeout_ms = 200;
    for (int dialled = 0; dialled < 2; dialled++) {
        assert_int_equal(kv_connect(&options, &kv), KV_OK);
        if (dialled)
            assert_int_equal(kv_put_wait(kv, "k", 1, "v", 1, NULL, &r), KV_OK);
        assert_int_equal(kv_reach(kv, "127.0.0.1:1,127.0.0.1:2"), KV_OK);
        assert_int_not_equal(kv_put_wait(kv, "k", 1, "lost", 4, NULL, &r), KV_OK);
        assert_int_equal(kv_reach(kv, "no address"), KV_E_INVALID);
        assert_int_not_equal(kv_get_wait(kv, "k", 1, NULL, &r), KV_OK);
        assert_int_equal(kv_reach(kv, NULL), KV_OK);
        assert_int_equal(kv_put_wait(kv, "k", 1, "back", 4, NULL, &r), KV_OK);
        assert_int_equal(kv_reach(kv, options.nodes), KV_OK); /* the node is on our side */
        assert_int_equal(kv_get_wait(kv, "k", 1, NULL, &r), KV_OK);
        assert_memory_equal(r.value, "back", 4);
        kv_disconnect(kv);
    }
}

/* ---- asynchronous calls ---- */

struct flood {
    struct kv *kv;
    uint32_t puts, gets, bad;
};

#define FLOOD 20000u

static void on_flood_get(const struct kv_result *r, void *arg)
{
    struct flood *f = arg;
    f->gets++;
    f->bad += r->status != KV_OK || r->value_len != 100;
}

static void on_flood_put(const struct kv_result *r, void *arg)
{
    struct flood *f = arg;
    char key[16];
    f->bad += r->status != KV_OK;
    int len = snprintf(key, sizeof key, "key%u", f->puts++);
    f->bad += kv_get(f->kv, key, (size_t)len, NULL, on_flood_get, f) != KV_OK; /* from inside a callback */
}

static void many_requests_in_flight(void **state)
{
    (void)state;
    struct kv_options options = options_for(WELL, "127.0.0.1");
    uv_loop_t loop;
    struct flood f = {0};
    char value[100] = "v";
    uv_loop_init(&loop);
    assert_int_equal(kv_open(&loop, &options, &f.kv), KV_OK);
    int before = node.connections;
    for (uint32_t i = 0; i < FLOOD; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "key%u", i);
        assert_int_equal(kv_put(f.kv, key, (size_t)len, value, sizeof value, NULL, on_flood_put, &f), KV_OK);
    }
    assert_int_equal(kv_pending(f.kv), FLOOD);
    uv_run(&loop, UV_RUN_DEFAULT); /* returns: the handle is open, but idle */
    assert_int_equal(f.puts, FLOOD);
    assert_int_equal(f.gets, FLOOD);
    assert_int_equal(f.bad, 0);
    assert_int_equal(node.connections - before, 1);
    kv_close(f.kv, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void on_closed(void *arg)
{
    ++*(int *)arg;
}

static void on_end(const struct kv_result *r, void *arg)
{
    *(int *)arg = r->status;
}

struct closer {
    struct kv *kv;
    int closed;
    int called;
};

static void close_inside(const struct kv_result *r, void *arg)
{
    struct closer *c = arg;
    (void)r;
    c->called++;
    kv_close(c->kv, on_closed, &c->closed);
    assert_int_equal(kv_get(c->kv, "k", 1, NULL, close_inside, c), KV_E_CLOSED);
}

static void every_way_to_close(void **state)
{
    (void)state;
    struct kv_options options = options_for(WELL, "127.0.0.1");
    uv_loop_t loop;
    struct kv *kv;
    uv_loop_init(&loop);
    for (int when = 0; when < 6; when++) {
        int closed = 0, status = 1;
        options = options_for(when == 4 ? MUTE : WELL, when == 3 ? "localhost" : "127.0.0.1");
        assert_int_equal(kv_open(&loop, &options, &kv), KV_OK);
        if (when >= 1)
            assert_int_equal(kv_put(kv, "k", 1, "v", 1, NULL, on_end, &status), KV_OK);
        for (int turn = 0; turn < when && when != 5; turn++)
            uv_run(&loop, UV_RUN_NOWAIT);
        if (when == 5)
            uv_run(&loop, UV_RUN_DEFAULT);
        kv_close(kv, on_closed, &closed);
        assert_int_equal(closed, 0); /* never from inside the call */
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(closed, 1);
        if (when >= 1)
            assert_true(status == KV_OK || status == KV_E_CLOSED || status == KV_E_TIMEOUT);
        if (when == 5)
            assert_int_equal(status, KV_OK);
    }
    struct closer c = {0};
    options = options_for(WELL, "127.0.0.1");
    assert_int_equal(kv_open(&loop, &options, &c.kv), KV_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(kv_get(c.kv, "k", 1, NULL, close_inside, &c), KV_OK);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(c.called, 10);
    assert_int_equal(c.closed, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void bad_options(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct kv *kv;
    struct kv_options options = {.nodes = "nowhere"};
    uv_loop_init(&loop);
    assert_int_equal(kv_open(&loop, &options, &kv), KV_E_INVALID);
    assert_int_equal(kv_connect(&options, &kv), KV_E_INVALID);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocking_calls),      cmocka_unit_test(values_of_all_sizes),
        cmocka_unit_test(bad_nodes_are_left),  cmocka_unit_test(nobody_listens),
        cmocka_unit_test(mute_node_times_out), cmocka_unit_test(many_requests_in_flight),
        cmocka_unit_test(every_way_to_close),  cmocka_unit_test(bad_options),
        cmocka_unit_test(cut_lines),
    };
    return cmocka_run_group_tests(tests, start_node, stop_node);
}
