#include "uv_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/prng.h"

/* ---- the world ---- */

static void keep_line(enum log_level level, const char *text, void *arg)
{
    struct world *w = arg;
    int n = snprintf(w->log + w->log_len, sizeof w->log - w->log_len, "level=%s %s\n", log_level_name(level),
                     text);
    if (n > 0 && (size_t)n < sizeof w->log - w->log_len)
        w->log_len += (size_t)n;
    if (getenv("UV_TEST_LOG"))
        fprintf(stderr, "%s\n", text);
}

bool world_logged(const struct world *w, const char *text)
{
    return strstr(w->log, text) != NULL;
}

uint32_t world_logged_count(const struct world *w, const char *text)
{
    uint32_t count = 0;
    for (const char *p = w->log; (p = strstr(p, text)) != NULL; p += strlen(text))
        count++;
    return count;
}

/* A port that nobody has: the kernel's word, good until somebody else takes it. */
static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void make_node(struct world *w, const struct boot *boot, struct addr addr, uint32_t value_max_bytes)
{
    char error[256] = "";
    struct node_founder self = {.name = "n1", .addr = addr};
    struct node_config config = {
        .name = "n1",
        .cluster = "test",
        .zone = "",
        .weight = 1,
        .addr = addr,
        .replicas = 1,
        .partitions = RING_PARTITIONS,
        .value_max_bytes = value_max_bytes,
        .seed = 1,
        .swim = swim_config_default(),
        .founders = &self,
        .founder_count = 1,
        .store_id = boot->store_id,
        .generation = boot->generation,
        .hlc_floor = boot->hlc_floor,
        .ring = buf_bytes(&boot->ring),
        .accepted = buf_bytes(&boot->accepted),
        .sequence = boot->sequence,
        .member = boot->member,
        .paxos = buf_bytes(&boot->paxos),
        .stores = buf_bytes(&boot->stores),
    };
    if (node_create(&config, &w->node, error) != KV_OK)
        fail_msg("node: %s", error);
}

static bool world_serves(struct world *w)
{
    struct raw r;
    bool serves = false;
    if (!node_serving(w->node))
        return false;
    raw_open(w, &r);
    raw_hello(w, &r);
    struct buf b = {0};
    struct message m;
    get_append(w, &b, 1, "nothing");
    serves = raw_send(w, &r, buf_bytes(&b)) && raw_next(w, &r, &m) && m.response.status == KV_E_NOT_FOUND;
    buf_deinit(&b);
    raw_close(&r);
    return serves;
}

void world_start(struct world *w, const struct world_options *o)
{
    char error[STORE_ERROR_MAX] = "";
    struct boot boot;
    memset(w, 0, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/gureum-uv-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    struct store_options so = {.block_cache_bytes = 8u << 20, .create = true};
    if (store_open(w->dir, &so, &w->store, error) != KV_OK ||
        boot_load(w->store, "test", &boot, error) != KV_OK)
        fail_msg("store: %s", error);
    struct addr addr = {.host = "127.0.0.1", .port = free_port()};
    uint32_t value_max_bytes = o->value_max_bytes ? o->value_max_bytes : VALUE_MAX_BYTES;
    make_node(w, &boot, addr, value_max_bytes);
    boot_deinit(&boot);
    struct shell_options shell = {
        .listen = addr,
        .value_max_bytes = value_max_bytes,
        .clients_max = o->clients_max ? o->clients_max : 1000,
        .stall_us = o->stall_us,
        .sync = o->sync,
        .log = {LOG_DEBUG, keep_line, w},
    };
    assert_int_equal(uv_loop_init(&w->loop), 0);
    if (shell_start(&w->shell, &w->loop, &shell, w->node, w->store, error) != KV_OK)
        fail_msg("shell: %s", error);
    pump_until(w, world_serves(w));
    pump_until(w, w->shell.accepted_count == 0);
}

static void delete_dir(const char *dir)
{
    char path[512];
    DIR *d = opendir(dir);
    for (const struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

void world_stop(struct world *w)
{
    shell_end(&w->shell, 0);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->shell.pools[0].used_bytes, 0);
    assert_int_equal(w->shell.pools[1].used_bytes, 0);
    assert_int_equal(w->shell.held_bytes, 0);
    assert_int_equal(w->shell.output_bytes, 0);
    assert_int_equal(w->shell.accepted_count, 0);
    assert_int_equal(w->shell.client_count, 0);
    shell_deinit(&w->shell);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    node_destroy(w->node);
    store_close(w->store);
    delete_dir(w->dir);
}

int world_setup(void **state)
{
    static struct world world;
    struct world_options defaults = {0};
    world_start(&world, &defaults);
    *state = &world;
    return 0;
}

int world_teardown(void **state)
{
    world_stop(*state);
    return 0;
}

void world_turn(struct world *w)
{
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

void pump_ms(struct world *w, uint32_t ms)
{
    for (uint64_t end_us = shell_now_us() + ms * UINT64_C(1000); shell_now_us() < end_us;)
        world_turn(w);
}

/* ---- a raw connection ---- */

void raw_open(struct world *w, struct raw *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons(w->shell.options.listen.port)};
    memset(r, 0, sizeof *r);
    arena_init(&r->arena, WIRE_ARENA_MAX_BYTES);
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(r->fd >= 0);
    assert_int_equal(connect(r->fd, (struct sockaddr *)&a, sizeof a),
                     0); /* into the backlog: does not wait */
    fcntl(r->fd, F_SETFL, O_NONBLOCK);
}

void raw_close(struct raw *r)
{
    close(r->fd);
    buf_deinit(&r->in);
    message_release(&r->last);
    arena_deinit(&r->arena);
    r->fd = -1;
}

size_t raw_send_some(struct raw *r, struct bytes bytes)
{
    ssize_t n = send(r->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        r->closed = true;
    return n > 0 ? (size_t)n : 0;
}

bool raw_send(struct world *w, struct raw *r, struct bytes bytes)
{
    uint64_t end_us = shell_now_us() + 20000000;
    for (size_t sent = 0; sent < bytes.len && !r->closed;) {
        sent += raw_send_some(r, bytes_of(bytes.data + sent, bytes.len - sent));
        world_turn(w);
        assert_true(shell_now_us() < end_us);
    }
    return !r->closed;
}

void raw_receive(struct raw *r)
{
    uint8_t bytes[65536];
    ssize_t n;
    while ((n = recv(r->fd, bytes, sizeof bytes, 0)) > 0)
        assert_int_equal(buf_append(&r->in, bytes_of(bytes, (size_t)n)), KV_OK);
    if (n == 0 || errno != EAGAIN)
        r->closed = true;
}

bool raw_closed(struct raw *r)
{
    raw_receive(r);
    return r->closed;
}

/* Whether a whole frame is in r->in. */
static bool has_frame(const struct raw *r)
{
    return r->in.len >= WIRE_HEADER_BYTES && r->in.len >= 4 + be32_get(r->in.data);
}

bool raw_next(struct world *w, struct raw *r, struct message *out)
{
    uint64_t end_us = shell_now_us() + 20000000;
    while (!has_frame(r) && !r->closed) {
        world_turn(w);
        raw_receive(r);
        if (shell_now_us() > end_us)
            fail_msg("no answer within 20 s");
    }
    if (!has_frame(r))
        return false;
    struct wire_header h;
    size_t frame = 4 + be32_get(r->in.data);
    assert_int_equal(wire_decode_header(r->in.data, UINT32_MAX, &h), KV_OK);
    message_release(&r->last);
    arena_reset(&r->arena);
    struct blob *payload =
        blob_copy(bytes_of(r->in.data + WIRE_HEADER_BYTES + h.body_size, wire_payload_bytes(&h)));
    assert_int_equal(wire_decode(&h, bytes_of(r->in.data + WIRE_HEADER_BYTES, h.body_size), payload,
                                 VALUE_MAX_CEILING_BYTES, &r->arena, &r->last),
                     KV_OK);
    blob_unref(payload);
    *out = r->last;
    memmove(r->in.data, r->in.data + frame, r->in.len - frame);
    r->in.len -= frame;
    return true;
}

void raw_hello(struct world *w, struct raw *r)
{
    struct buf b = {0};
    struct message m;
    hello_append(w, &b);
    assert_true(raw_send(w, r, buf_bytes(&b)));
    assert_true(raw_next(w, r, &m));
    assert_int_equal(m.type, MSG_WELCOME);
    buf_deinit(&b);
}

/* ---- frames ---- */

void frame_append(struct buf *out, const struct message *m)
{
    struct wire_frame f;
    assert_int_equal(wire_encode(m, out, &f), KV_OK);
    for (uint32_t i = 0; i < f.payload_count; i++)
        assert_int_equal(buf_append(out, blob_bytes(f.payloads[i])), KV_OK);
}

void hello_append(struct world *w, struct buf *out)
{
    struct message m = {.type = MSG_HELLO,
                        .cluster = node_cluster_hash(w->node),
                        .hello = {.role = ROLE_CLIENT, .cluster = "test", .name = ""}};
    frame_append(out, &m);
}

void put_append(struct world *w, struct buf *out, uint64_t id, const char *key, struct bytes value)
{
    struct message m = {.type = MSG_REQUEST,
                        .id = id,
                        .cluster = node_cluster_hash(w->node),
                        .request = {.op = OP_PUT, .timeout_us = 20000000, .key = bytes_str(key)}};
    assert_int_equal(wire_pack_value(value, &m.request.row), KV_OK);
    m.request.row.kind = ROW_REGISTER;
    m.request.row.stamp = (struct stamp){shell_now(&w->shell).wall_ms << 16 | (id & 0xffff), 7};
    frame_append(out, &m);
    message_release(&m);
}

void get_append(struct world *w, struct buf *out, uint64_t id, const char *key)
{
    struct message m = {.type = MSG_REQUEST,
                        .id = id,
                        .cluster = node_cluster_hash(w->node),
                        .request = {.op = OP_GET, .timeout_us = 20000000, .key = bytes_str(key)}};
    frame_append(out, &m);
}

void raw_put(struct world *w, struct raw *r, const char *key, struct bytes value)
{
    struct buf b = {0};
    struct message m;
    put_append(w, &b, ++r->next_id, key, value);
    assert_true(raw_send(w, r, buf_bytes(&b)));
    buf_deinit(&b);
    assert_true(raw_next(w, r, &m));
    assert_int_equal(m.type, MSG_RESPONSE);
    assert_int_equal(m.id, r->next_id);
    assert_int_equal(m.response.status, KV_OK);
}

void raw_get(struct world *w, struct raw *r, const char *key, struct bytes expected)
{
    struct buf b = {0};
    struct message m;
    get_append(w, &b, ++r->next_id, key);
    assert_true(raw_send(w, r, buf_bytes(&b)));
    buf_deinit(&b);
    assert_true(raw_next(w, r, &m));
    assert_int_equal(m.response.status, KV_OK);
    struct blob *value;
    assert_int_equal(wire_unpack_value(&m.response.row, VALUE_MAX_CEILING_BYTES, &value), KV_OK);
    assert_true(bytes_eq(blob_bytes(value), expected));
    blob_unref(value);
}

struct bytes noise(size_t len, uint64_t seed)
{
    struct prng p;
    prng_init(&p, seed);
    uint8_t *data = malloc(len + 8);
    assert_non_null(data);
    for (size_t i = 0; i < len; i += 8)
        be64_put(data + i, prng_u64(&p));
    return bytes_of(data, len);
}

static size_t status_kib(const char *name)
{
    char line[128];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtoul(line + strlen(name) + 1, NULL, 10);
    fclose(f);
    return kib << 10;
}

size_t resident_bytes(void)
{
    return status_kib("VmRSS");
}

size_t resident_peak_bytes(void)
{
    return status_kib("VmHWM");
}

/* ---- the storage by itself ---- */

struct storage_test t;

static uint64_t op_of(const struct event *e)
{
    switch (e->type) {
    case EV_STORE_READ: return e->read.op;
    case EV_STORE_PAGE: return e->page.op;
    case EV_STORE_HAS: return e->has.op;
    case EV_STORE_TREE: return e->tree.op;
    case EV_STORE_TOTALS: return e->totals.op;
    default: return e->written.op;
    }
}

static int status_of(const struct event *e)
{
    switch (e->type) {
    case EV_STORE_READ: return e->read.status;
    case EV_STORE_PAGE: return e->page.status;
    case EV_STORE_HAS: return e->has.status;
    case EV_STORE_TREE: return e->tree.status;
    case EV_STORE_TOTALS: return e->totals.status;
    default: return e->written.status;
    }
}

static bool on_done(struct storage_job *job, void *arg)
{
    struct event *e = &job->event;
    assert_ptr_equal(arg, &t);
    assert_true(t.count < STORAGE_TEST_JOBS_MAX);
    t.ops[t.count] = op_of(e);
    t.status[t.count++] = status_of(e);
    if (e->type == EV_STORE_READ) {
        row_release(&t.row);
        t.row = row_ref(&e->read.row);
    } else if (e->type == EV_STORE_PAGE) {
        t.page_count += e->page.count;
        for (uint32_t i = 0; i < e->page.count; i++)
            t.page_bytes += blob_bytes(e->page.entries[i].row.payload).len;
    } else if (e->type == EV_STORE_HAS && e->has.status == KV_OK) {
        t.has = e->has.keys[e->has.count - 1];
    } else if (e->type == EV_STORE_TREE && e->tree.status == KV_OK) {
        memcpy(t.hashes, e->tree.hashes, sizeof t.hashes);
    } else if (e->type == EV_STORE_WRITTEN) {
        t.deleted = e->written.deleted;
        t.sequence = e->written.sequence;
    }
    for (uint32_t i = 0; e->type == EV_STORE_TOTALS && i < e->totals.count; i++)
        t.notes += e->totals.members[i].count;
    storage_job_release(job);
    return t.most == 0 || t.count % t.most != 0;
}

void open_storage(enum sync_mode mode)
{
    char error[STORE_ERROR_MAX];
    struct store_options so = {.block_cache_bytes = 8u << 20, .create = true};
    assert_int_equal(store_open(t.dir, &so, &t.store, error), KV_OK);
    assert_int_equal(uv_loop_init(&t.loop), 0);
    assert_int_equal(storage_create(&t.loop, t.store, mode, on_done, &t, &t.storage), KV_OK);
    t.count = 0;
}

void close_storage(void)
{
    storage_stop(t.storage);
    uv_run(&t.loop, UV_RUN_DEFAULT);
    storage_destroy(t.storage);
    assert_int_equal(uv_loop_close(&t.loop), 0);
    store_close(t.store);
    row_release(&t.row);
    t.row = row_absent();
}

int storage_setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    snprintf(t.dir, sizeof t.dir, "/tmp/gureum-uv-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    open_storage(SYNC_ALWAYS);
    return 0;
}

int storage_teardown(void **state)
{
    (void)state;
    close_storage();
    char path[512];
    DIR *d = opendir(t.dir);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        snprintf(path, sizeof path, "%s/%s", t.dir, e->d_name);
        unlink(path);
    }
    closedir(d);
    rmdir(t.dir);
    return 0;
}

struct bytes key_of(uint64_t op, char text[32])
{
    snprintf(text, 32, "key-%06llu", (unsigned long long)op);
    return bytes_str(text);
}

/* Its only reference goes into the storage. */
void write_row(uint64_t op, size_t value_bytes)
{
    char text[32];
    struct bytes value = noise(value_bytes, op);
    struct effect e = {.type = EF_STORE_WRITE, .op = op};
    e.write.key = key_of(op, text);
    e.write.row = (struct row){.kind = ROW_REGISTER,
                               .stamp = {op + 1, 1},
                               .raw_size = (uint32_t)value_bytes,
                               .payload = blob_copy(value)};
    free((void *)value.data);
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
    assert_int_equal(e.type, EF_NONE);
}

void read_row(uint64_t op)
{
    char text[32];
    struct effect e = {.type = EF_STORE_READ, .op = op};
    e.read.key = key_of(op, text);
    assert_int_equal(storage_submit(t.storage, &e), KV_OK);
}

void storage_turn(void)
{
    storage_flush(t.storage, UINT32_MAX);
    uv_run(&t.loop, UV_RUN_NOWAIT);
}

void wait_for(uint32_t count)
{
    uint64_t end_us = shell_now_us() + 20000000;
    while (t.count < count) {
        storage_turn();
        assert_true(shell_now_us() < end_us);
    }
    assert_int_equal(t.count, count);
}

bool in_order(void)
{
    for (uint32_t i = 1; i < t.count; i++)
        if (t.ops[i] <= t.ops[i - 1])
            return false;
    return true;
}
