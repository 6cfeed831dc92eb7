/* The same load on Redis, so that scripts/bench-peers.sh compares servers and not load generators: the loop,
 * the workloads, the values and the histogram are kvbench's own.
 *
 * A put is SET, and acknowledged when WAIT 1 says that a replica has it too; with `--redis-wait batch` one
 * WAIT covers a client's whole pipeline (WAIT blocks its connection, so with one for each SET a pipeline
 * gains Redis little). Several addresses are the masters of a Redis Cluster in slot order, laid out as
 * redis-cli lays them out; whatever else answers MOVED, which counts as refused.
 *
 * Enough of RESP for that: what is expected is known, and anything else ends the connection. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/list.h"
#include "cmd/kvbench.h"
#include "cmd/common_stop.h"
#include "model/addr.h"

#define NODES_MAX    16u
#define SLOTS        16384u
#define READ_BYTES   65536u
#define WAIT_MS      "5000"
#define DEPTH_FACTOR 2u /* answers of one operation: SET's and WAIT's */

struct redis;
struct client;

/* An answer that is to come. */
struct due {
    enum { DUE_SET, DUE_WAIT, DUE_GET } what;
    uint32_t count; /* DUE_WAIT: operations that end with it */
};

struct link {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct client *client;
    struct buf out, writing, in;
    bool open, busy;
    struct list dirty;
    struct due *due; /* a ring */
    uint32_t due_first, due_count;
    uint64_t *starts; /* of the operations whose answers are due, a ring too */
    uint32_t start_first, start_count;
    uint32_t unsealed; /* SETs that no WAIT covers yet */
};

struct client {
    struct redis *run;
    uint32_t in_flight;
    struct link links[NODES_MAX];
};

struct redis {
    const struct bench_options *o;
    struct bench_result *result;
    uv_loop_t loop;
    uv_prepare_t prepare;
    struct stop stop;
    struct workload workload;
    bool load_phase, batch, over;
    struct sockaddr_storage nodes[NODES_MAX];
    uint32_t node_count;
    struct client *clients;
    struct list dirty;
    uint64_t begun_ns, end_ns, started, finished, limit;
    char *value;
    uint8_t read_buffer[READ_BYTES];
};

static void fail(const char *what, int rc)
{
    fprintf(stderr, "kvbench: redis: %s%s%s\n", what, rc ? ": " : "", rc ? uv_strerror(rc) : "");
    exit(EXIT_NO_NODE);
}

static void fail_refused(const char *what, struct bytes said)
{
    char reason[BENCH_REASON_MAX];
    bench_first_line(said, reason, sizeof reason);
    fprintf(stderr, "kvbench: redis: %s was refused: %s\n", what, reason);
    exit(EXIT_REFUSED);
}

/* ---- which node: CRC-16/XMODEM of the key, as Redis Cluster has it (keys have no hash tags) ---- */

static uint16_t crc16(const char *key, size_t len)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc = (uint16_t)(crc ^ (uint16_t)((uint8_t)key[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

static struct link *link_of(struct client *c, const char *key, size_t len)
{
    uint32_t n = c->run->node_count;
    if (n == 1)
        return &c->links[0];
    double share = (double)SLOTS / n;
    uint32_t slot = crc16(key, len) % SLOTS, node = 0;
    while (node + 1 < n && slot > (uint32_t)(share * (node + 1) - 1 + 0.5))
        node++;
    return &c->links[node];
}

/* ---- asking ---- */

static void due_push(struct link *l, struct due due)
{
    uint32_t cap = DEPTH_FACTOR * l->client->run->o->pipeline;
    l->due[(l->due_first + l->due_count++) % cap] = due;
}

static void touch(struct link *l)
{
    if (!list_linked(&l->dirty))
        list_push_back(&l->client->run->dirty, &l->dirty);
}

static void seal(struct link *l)
{
    static const char text[] = "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n" WAIT_MS "\r\n";
    (void)buf_append(&l->out, bytes_str(text));
    due_push(l, (struct due){DUE_WAIT, l->unsealed});
    l->unsealed = 0;
}

static void start_one(struct client *c)
{
    struct redis *r = c->run;
    uint64_t number = r->started++;
    enum bench_op op = r->load_phase ? BENCH_INSERT : workload_next(&r->workload, &number);
    char key[96];
    size_t len = (size_t)snprintf(key, sizeof key, "%s%llu", r->o->key_prefix, (unsigned long long)number);
    struct link *l = link_of(c, key, len);
    l->starts[(l->start_first + l->start_count++) % r->o->pipeline] = uv_hrtime();
    c->in_flight++;
    touch(l);
    if (op == BENCH_READ) {
        (void)buf_printf(&l->out, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", len, key);
        due_push(l, (struct due){DUE_GET, 1});
        return;
    }
    workload_text(&r->workload, r->value, r->o->value_size);
    (void)buf_printf(&l->out, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%u\r\n", len, key, r->o->value_size);
    (void)buf_append(&l->out, bytes_of(r->value, r->o->value_size));
    (void)buf_append(&l->out, bytes_of("\r\n", 2));
    due_push(l, (struct due){DUE_SET, 0});
    l->unsealed++;
    if (!r->batch)
        seal(l);
}

static bool may_start(const struct redis *r)
{
    return r->started < r->limit && (r->end_ns == 0 || uv_hrtime() < r->end_ns);
}

/* With one WAIT for all, the next batch begins when the last one has ended. */
static void fill(struct client *c)
{
    struct redis *r = c->run;
    if (r->batch && c->in_flight)
        return;
    while (c->in_flight < r->o->pipeline && may_start(r))
        start_one(c);
    for (uint32_t i = 0; i < r->node_count; i++)
        if (c->links[i].unsealed)
            seal(&c->links[i]);
}

static void close_all(struct redis *r)
{
    if (r->over)
        return;
    r->over = true;
    uv_close((uv_handle_t *)&r->prepare, NULL);
    stop_unwatch(&r->stop);
    for (uint32_t i = 0; i < r->o->clients; i++)
        for (uint32_t n = 0; n < r->node_count; n++)
            uv_close((uv_handle_t *)&r->clients[i].links[n].tcp, NULL);
}

/* ---- answers ---- */

static void end_ops(struct link *l, uint32_t count, enum bench_op op, enum bench_status status,
                    struct bytes reason)
{
    struct client *c = l->client;
    struct redis *r = c->run;
    bench_tally_add(&r->result->tally, status, count, reason);
    for (uint64_t now = uv_hrtime(); count; count--) {
        uint64_t start = l->starts[l->start_first];
        l->start_first = (l->start_first + 1) % r->o->pipeline;
        l->start_count--;
        c->in_flight--;
        r->finished++;
        histogram_record(&r->result->latency[op], (now - start) / 1000);
    }
}

/* One answer: 0 when it is not whole yet, else its bytes. `number` is what ':' or '$' said. */
static size_t answer_bytes(struct bytes in, char *kind, long *number)
{
    const uint8_t *end = in.len ? memchr(in.data, '\n', in.len) : NULL;
    if (!end)
        return 0;
    size_t line = (size_t)(end - in.data) + 1;
    *kind = (char)in.data[0];
    *number = strtol((const char *)in.data + 1, NULL, 10);
    if (*kind != '$' || *number < 0)
        return line;
    size_t whole = line + (size_t)*number + 2;
    return in.len < whole ? 0 : whole;
}

/* `said` is what follows the kind: of a refusal, the reason. */
static void take_answer(struct link *l, char kind, long number, struct bytes said)
{
    static const char no_replica[] = "no replica had it within " WAIT_MS " ms";
    uint32_t cap = DEPTH_FACTOR * l->client->run->o->pipeline;
    if (l->due_count == 0)
        fail("an answer nobody asked for", 0);
    struct due due = l->due[l->due_first];
    l->due_first = (l->due_first + 1) % cap;
    l->due_count--;
    enum bench_op put = l->client->run->load_phase ? BENCH_INSERT : BENCH_UPDATE;
    if (due.what == DUE_GET)
        end_ops(l, 1, BENCH_READ, kind == '$' ? (number < 0 ? BS_NOT_FOUND : BS_OK) : BS_REFUSED, said);
    else if (due.what == DUE_WAIT && kind == ':')
        end_ops(l, due.count, put, number >= 1 ? BS_OK : BS_TIMEOUT, bytes_str(no_replica));
    else if (due.what == DUE_WAIT)
        end_ops(l, due.count, put, BS_REFUSED, said);
    else if (kind != '+')
        fail_refused("SET", said);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct link *l = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)l->client->run->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct link *l = stream->data;
    struct redis *r = l->client->run;
    if (n < 0)
        fail("connection lost", (int)n);
    struct bytes in = bytes_of(buf->base, (size_t)n);
    if (l->in.len) {
        (void)buf_append(&l->in, in);
        in = buf_bytes(&l->in);
    }
    char kind;
    long number;
    for (size_t used; (used = answer_bytes(in, &kind, &number)) != 0;) {
        struct bytes said = bytes_of(in.data + 1, used - 1);
        in = bytes_of(in.data + used, in.len - used);
        take_answer(l, kind, number, said);
    }
    if (in.len && l->in.len)
        memmove(l->in.data, in.data, in.len);
    else if (in.len)
        (void)buf_append(&l->in, in);
    l->in.len = in.len;
    fill(l->client);
    if (r->finished == r->started && !may_start(r))
        close_all(r);
}

/* ---- writing: once a turn ---- */

static void on_written(uv_write_t *request, int status)
{
    struct link *l = request->data;
    if (status < 0 && status != UV_ECANCELED)
        fail("write", status);
    l->busy = false;
    buf_clear(&l->writing);
    if (l->out.len && !l->client->run->over)
        touch(l);
}

static void flush(struct link *l)
{
    if (!l->open || l->busy || l->out.len == 0)
        return;
    uv_buf_t b = uv_buf_init((char *)l->out.data, (unsigned)l->out.len);
    int rc = uv_try_write((uv_stream_t *)&l->tcp, &b, 1);
    if (rc < 0 && rc != UV_EAGAIN)
        fail("write", rc);
    size_t written = rc > 0 ? (size_t)rc : 0;
    if (written == l->out.len) {
        buf_clear(&l->out);
        return;
    }
    struct buf swap = l->writing;
    l->writing = l->out;
    l->out = swap;
    b = uv_buf_init((char *)l->writing.data + written, (unsigned)(l->writing.len - written));
    l->write.data = l;
    l->busy = true;
    rc = uv_write(&l->write, (uv_stream_t *)&l->tcp, &b, 1, on_written);
    if (rc)
        fail("write", rc);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct redis *r = prepare->data;
    for (struct list *node; (node = list_pop_front(&r->dirty)) != NULL;)
        flush(container_of(node, struct link, dirty));
}

/* ---- the run ---- */

static void on_connect(uv_connect_t *request, int status)
{
    struct link *l = request->data;
    if (status == UV_ECANCELED)
        return;
    if (status < 0)
        fail("connect", status);
    l->open = true;
    uv_tcp_nodelay(&l->tcp, 1);
    uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
    if (l->out.len)
        touch(l);
}

static void on_stop(int times, void *arg)
{
    struct redis *r = arg;
    r->limit = r->started;
    if (r->finished == r->started || times > 1)
        close_all(r);
}

static int open_links(struct redis *r, struct client *c)
{
    for (uint32_t n = 0; n < r->node_count; n++) {
        struct link *l = &c->links[n];
        l->client = c;
        l->due = calloc(DEPTH_FACTOR * r->o->pipeline, sizeof *l->due);
        l->starts = calloc(r->o->pipeline, sizeof *l->starts);
        if (!l->due || !l->starts)
            return KV_E_NO_MEMORY;
        uv_tcp_init(&r->loop, &l->tcp);
        l->tcp.data = l->connect.data = l;
        int rc = uv_tcp_connect(&l->connect, &l->tcp, (struct sockaddr *)&r->nodes[n], on_connect);
        if (rc)
            return KV_E_IO;
    }
    return KV_OK;
}

static int parse_nodes(struct redis *r)
{
    char *list = strdup(r->o->redis), *rest = list;
    int rc = list ? KV_OK : KV_E_NO_MEMORY;
    for (char *one; rc == KV_OK && (one = strsep(&rest, ",")) != NULL;) {
        struct addr addr;
        rc = r->node_count < NODES_MAX ? addr_parse(one, &addr) : KV_E_TOO_LARGE;
        if (rc == KV_OK &&
            uv_ip4_addr(addr.host, addr.port, (struct sockaddr_in *)&r->nodes[r->node_count++]))
            rc = KV_E_INVALID;
    }
    free(list);
    return rc;
}

static void release(struct redis *r)
{
    for (uint32_t i = 0; r->clients && i < r->o->clients; i++)
        for (uint32_t n = 0; n < r->node_count; n++) {
            struct link *l = &r->clients[i].links[n];
            buf_deinit(&l->out);
            buf_deinit(&l->writing);
            buf_deinit(&l->in);
            free(l->due);
            free(l->starts);
        }
    free(r->clients);
    free(r->value);
}

int bench_redis(const struct bench_options *o, bool load_phase, struct bench_result *out)
{
    static struct redis r;
    r = (struct redis){.o = o, .result = out, .load_phase = load_phase, .batch = o->redis_batch};
    r.limit = load_phase ? o->records : o->ops ? o->ops : UINT64_MAX;
    r.clients = calloc(o->clients, sizeof *r.clients);
    r.value = malloc(o->value_size + 1u);
    list_init(&r.dirty);
    workload_init(&r.workload, o->workload ? o->workload : "put", o->distribution, o->records, o->unique,
                  o->seed);
    uv_loop_init(&r.loop);
    int rc = r.clients && r.value ? parse_nodes(&r) : KV_E_NO_MEMORY;
    for (uint32_t i = 0; rc == KV_OK && i < o->clients; i++) {
        r.clients[i].run = &r;
        rc = open_links(&r, &r.clients[i]);
    }
    if (rc == KV_OK && stop_watch(&r.stop, &r.loop, on_stop, &r) != 0)
        rc = KV_E_IO;
    if (rc != KV_OK) {
        fprintf(stderr, "kvbench: redis: %s: %s\n", o->redis, kv_error_text(rc));
        return 2;
    }
    uv_prepare_init(&r.loop, &r.prepare);
    r.prepare.data = &r;
    uv_prepare_start(&r.prepare, on_prepare);
    r.begun_ns = uv_hrtime();
    if (!load_phase && !o->ops)
        r.end_ns = r.begun_ns + (uint64_t)(o->duration_s * 1e9);
    for (uint32_t i = 0; i < o->clients; i++)
        fill(&r.clients[i]);
    uv_run(&r.loop, UV_RUN_DEFAULT);
    out->seconds = (double)(uv_hrtime() - r.begun_ns) / 1e9;
    uv_loop_close(&r.loop);
    release(&r);
    return 0;
}
