/* Reading and writing frames on one TCP connection; see conn.h. */
#include "uv/conn.h"

#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/shell.h"

void conn_init(struct conn *c, struct shell *shell)
{
    memset(c, 0, sizeof *c);
    c->shell = shell;
    c->since_us = shell_now_us();
}

/* ---- reading ---- */

static uint32_t frame_max(const struct conn *c)
{
    return c->accepted ? c->shell->options.value_max_bytes + FRAME_EXTRA_MAX_BYTES : STRANGER_MAX_BYTES;
}

static void release_charge(struct conn *c)
{
    struct shell *s = c->shell;
    KV_ASSERT(s->receive_bytes >= c->charged_bytes);
    s->receive_bytes -= c->charged_bytes;
    c->charged_bytes = 0;
    if (!list_empty(&s->starved))
        s->feed_wanted = true;
}

static void frame_reset(struct conn *c)
{
    c->header_have = 0;
    c->begun = false;
    c->payload_have = 0;
    c->frame_since_us = 0;
    buf_clear(&c->body);
    if (c->body.cap > CONN_SCRATCH_BYTES)
        buf_deinit(&c->body);
    blob_unref(c->payload);
    c->payload = NULL;
    release_charge(c);
}

/* Copies up to what is missing; returns how much was taken. */
static size_t take(struct bytes *in, size_t missing)
{
    return in->len < missing ? in->len : missing;
}

/* The header is whole: checks it, and books the memory that the rest will need. KV_E_AGAIN: no room now. */
static int frame_begin(struct conn *c)
{
    struct shell *s = c->shell;
    int rc = wire_decode_header(c->header_bytes, frame_max(c), &c->header);
    if (rc != KV_OK)
        return rc;
    uint32_t need = c->header.body_size + wire_payload_bytes(&c->header);
    if (s->receive_bytes + need > RECEIVE_MAX_BYTES && s->receive_bytes > 0)
        return KV_E_AGAIN;
    if (wire_payload_bytes(&c->header)) {
        c->payload = blob_create(wire_payload_bytes(&c->header));
        if (!c->payload)
            return KV_E_NO_MEMORY;
    }
    c->charged_bytes = need;
    s->receive_bytes += need;
    return KV_OK;
}

static int frame_end(struct conn *c, struct bytes body)
{
    struct shell *s = c->shell;
    struct message m;
    arena_reset(&s->receive_arena);
    int rc = wire_decode(&c->header, body, c->payload, s->options.value_max_bytes, &s->receive_arena, &m);
    if (rc != KV_OK)
        return rc;
    m.from = c->member;
    shell_message(s, c, &m, body);
    message_release(&m);
    frame_reset(c);
    return KV_OK;
}

/* Body and payload: the frame has begun. */
static int frame_rest(struct conn *c, struct bytes *in)
{
    uint32_t payload = wire_payload_bytes(&c->header);
    struct bytes body = buf_bytes(&c->body);
    if (body.len < c->header.body_size) {
        size_t n = take(in, c->header.body_size - body.len);
        if (n == c->header.body_size && in->len - n >= payload) {
            body = bytes_of(in->data, n); /* the whole frame is here: no copy of the body */
        } else {
            int rc = buf_append(&c->body, bytes_of(in->data, n));
            if (rc != KV_OK)
                return rc;
            body = buf_bytes(&c->body);
        }
        *in = bytes_of(in->data + n, in->len - n);
        if (body.len < c->header.body_size)
            return KV_OK;
    }
    if (c->payload_have < payload) {
        size_t n = take(in, payload - c->payload_have);
        memcpy(c->payload->data + c->payload_have, in->data, n);
        c->payload_have += (uint32_t)n;
        *in = bytes_of(in->data + n, in->len - n);
        if (c->payload_have < payload)
            return KV_OK;
    }
    return frame_end(c, body);
}

/* One step of the frame machine over `in`: KV_OK when it may go on, KV_E_AGAIN when the connection is starved
 * of memory. */
static int frame_step(struct conn *c, struct bytes *in)
{
    if (c->header_have < WIRE_HEADER_BYTES) {
        if (c->header_have == 0)
            c->frame_since_us = shell_now_us();
        size_t n = take(in, WIRE_HEADER_BYTES - c->header_have);
        memcpy(c->header_bytes + c->header_have, in->data, n);
        c->header_have += (uint32_t)n;
        *in = bytes_of(in->data + n, in->len - n);
        if (c->header_have < WIRE_HEADER_BYTES)
            return KV_OK;
    }
    if (!c->begun) {
        int rc = frame_begin(c);
        if (rc != KV_OK)
            return rc;
        c->begun = true;
    }
    return frame_rest(c, in);
}

static void consume(struct conn *c, struct bytes in)
{
    if (!c->accepted) {
        c->stranger_bytes += in.len;
        if (c->stranger_bytes > STRANGER_MAX_BYTES) {
            shell_refuse_frame(c->shell, c, KV_E_TOO_LARGE);
            return;
        }
    }
    /* A frame that had been starved may need no more bytes than are here already. */
    while (c->state == CONN_OPEN && !c->close_when_flushed &&
           (in.len > 0 || (c->header_have == WIRE_HEADER_BYTES && !c->begun))) {
        int rc = frame_step(c, &in);
        if (rc == KV_E_AGAIN) {
            if (buf_set(&c->held, in) != KV_OK) {
                shell_refuse_frame(c->shell, c, KV_E_NO_MEMORY);
                return;
            }
            uv_read_stop((uv_stream_t *)&c->tcp);
            if (!list_linked(&c->starved))
                list_push_back(&c->shell->starved, &c->starved);
            return;
        }
        if (rc != KV_OK) {
            shell_refuse_frame(c->shell, c, rc);
            return;
        }
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    if (c->payload && c->body.len == c->header.body_size &&
        c->payload->len - c->payload_have >= CONN_DIRECT_MIN_BYTES) {
        *buf = uv_buf_init((char *)c->payload->data + c->payload_have, c->payload->len - c->payload_have);
        return;
    }
    *buf = uv_buf_init((char *)c->shell->scratch, CONN_SCRATCH_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = container_of((uv_tcp_t *)stream, struct conn, tcp);
    struct shell *s = c->shell;
    if (n == 0)
        return;
    if (n < 0) {
        conn_close(c);
        return;
    }
    s->counters.tcp_bytes_in += (uint64_t)n;
    s->counters.reads++;
    if (buf->base == (char *)s->scratch) {
        consume(c, bytes_of(buf->base, (size_t)n));
        return;
    }
    c->payload_have += (uint32_t)n; /* received in place */
    if (c->payload_have == c->payload->len) {
        int rc = frame_end(c, buf_bytes(&c->body));
        if (rc != KV_OK)
            shell_refuse_frame(c->shell, c, rc);
    }
}

void conn_open(struct conn *c)
{
    c->state = CONN_OPEN;
    uv_tcp_nodelay(&c->tcp, 1);
    uv_tcp_keepalive(&c->tcp, 1, 60);
    if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        conn_close(c);
}

void conn_feed(struct conn *c)
{
    list_remove(&c->starved);
    if (c->state != CONN_OPEN)
        return;
    struct buf held = c->held;
    c->held = (struct buf){0};
    consume(c, buf_bytes(&held));
    bool starved_again = list_linked(&c->starved);
    buf_deinit(&held);
    if (!starved_again && c->state == CONN_OPEN &&
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        conn_close(c);
}

bool conn_stalled(const struct conn *c, uint64_t now_us)
{
    if (c->state != CONN_OPEN || list_linked(&c->starved))
        return false;
    if (!c->accepted && now_us - c->since_us > FRAME_STALL_MAX_US)
        return true;
    /* A large frame on a slow line gets its time by the MiB. */
    uint64_t mib = 1 + (c->payload ? c->payload->len >> 20 : 0);
    return c->frame_since_us && now_us - c->frame_since_us > FRAME_STALL_MAX_US * mib;
}

/* ---- writing ---- */

static void output_clear(struct conn_output *o)
{
    for (size_t i = 0; i < o->cut_count; i++)
        blob_unref(o->cuts[i].blob);
    o->cut_count = 0;
    o->total_bytes = 0;
    buf_clear(&o->bytes);
    if (o->bytes.cap > 4u * CONN_SCRATCH_BYTES)
        buf_deinit(&o->bytes);
}

static int output_add_payload(struct conn_output *o, struct blob *blob)
{
    if (blob->len <= CONN_COPY_MAX_BYTES) {
        o->total_bytes += blob->len;
        return buf_append(&o->bytes, blob_bytes(blob));
    }
    if (o->cut_count == o->cut_cap) {
        size_t cap = o->cut_cap ? 2 * o->cut_cap : 8;
        struct conn_cut *cuts = realloc(o->cuts, cap * sizeof *cuts);
        if (!cuts)
            return KV_E_NO_MEMORY;
        o->cuts = cuts;
        o->cut_cap = cap;
    }
    o->cuts[o->cut_count++] = (struct conn_cut){o->bytes.len, blob_ref(blob)};
    o->total_bytes += blob->len;
    return KV_OK;
}

void conn_send(struct conn *c, const struct message *m)
{
    if (c->state != CONN_OPEN)
        return;
    struct wire_frame frame;
    size_t before = c->out.bytes.len;
    int rc = wire_encode(m, &c->out.bytes, &frame);
    if (rc == KV_OK) {
        c->out.total_bytes += c->out.bytes.len - before;
        for (uint32_t i = 0; i < frame.payload_count && rc == KV_OK; i++)
            if (frame.payloads[i])
                rc = output_add_payload(&c->out, frame.payloads[i]);
    }
    c->shell->counters.frames_out++;
    if (rc != KV_OK || c->out.total_bytes + c->in_kernel.total_bytes > CONN_QUEUE_MAX_BYTES) {
        c->shell->counters.slow_readers++;
        conn_close(c); /* half a frame must never be followed by another */
        return;
    }
    if (!list_linked(&c->dirty))
        list_push_back(&c->shell->dirty, &c->dirty);
}

/* The output as vectors, skipping what is written already. Returns how many; `*all` says whether they are all
 * of it. */
static unsigned output_vectors(const struct conn_output *o, size_t skip, uv_buf_t *v, unsigned max)
{
    unsigned n = 0;
    size_t at = 0;
    for (size_t i = 0; i <= o->cut_count && n < max; i++) {
        size_t end = i < o->cut_count ? o->cuts[i].at : o->bytes.len;
        struct bytes pieces[2] = {bytes_of(o->bytes.data + at, end - at),
                                  i < o->cut_count ? blob_bytes(o->cuts[i].blob) : (struct bytes){NULL, 0}};
        at = end;
        for (int k = 0; k < 2 && n < max; k++) {
            if (skip >= pieces[k].len) {
                skip -= pieces[k].len;
                continue;
            }
            v[n++] = uv_buf_init((char *)pieces[k].data + skip, (unsigned)(pieces[k].len - skip));
            skip = 0;
        }
    }
    return n;
}

static void after_flush(struct conn *c)
{
    if (c->close_when_flushed && c->out.total_bytes == 0 && !c->writing)
        conn_close(c);
}

static void on_written(uv_write_t *request, int status)
{
    struct conn *c = container_of(request, struct conn, write_request);
    output_clear(&c->in_kernel);
    c->writing = false;
    if (c->state != CONN_OPEN)
        return;
    if (status < 0) {
        conn_close(c);
        return;
    }
    conn_flush(c);
}

/* What the socket did not take at once goes to libuv, which keeps the vectors: so the output moves to
 * `in_kernel`. */
static void write_rest(struct conn *c, size_t written)
{
    struct conn_output swap = c->in_kernel;
    c->in_kernel = c->out;
    c->out = swap;
    size_t max = 2 * c->in_kernel.cut_count + 1;
    uv_buf_t *v = malloc(max * sizeof *v);
    unsigned n = v ? output_vectors(&c->in_kernel, written, v, (unsigned)max) : 0;
    int rc = v ? uv_write(&c->write_request, (uv_stream_t *)&c->tcp, v, n, on_written) : UV_ENOMEM;
    free(v); /* libuv has its own copy of the vectors */
    if (rc != 0) {
        conn_close(c);
        return;
    }
    c->writing = true;
}

void conn_flush(struct conn *c)
{
    list_remove(&c->dirty);
    if (c->state != CONN_OPEN || c->writing || c->out.total_bytes == 0) {
        after_flush(c);
        return;
    }
    uv_buf_t v[CONN_WRITE_VECTORS_MAX];
    size_t written = 0;
    while (written < c->out.total_bytes) {
        unsigned n = output_vectors(&c->out, written, v, CONN_WRITE_VECTORS_MAX);
        int rc = uv_try_write((uv_stream_t *)&c->tcp, v, n);
        c->shell->counters.writes++;
        if (rc == UV_EAGAIN)
            break;
        if (rc < 0) {
            conn_close(c);
            return;
        }
        written += (size_t)rc;
        c->shell->counters.tcp_bytes_out += (uint64_t)rc;
    }
    if (written < c->out.total_bytes) {
        c->shell->counters.tcp_bytes_out += c->out.total_bytes - written;
        write_rest(c, written);
    } else {
        output_clear(&c->out);
        after_flush(c);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    shell_conn_gone(c->shell, c);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    list_remove(&c->dirty);
    list_remove(&c->starved);
    frame_reset(c);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void conn_deinit(struct conn *c)
{
    output_clear(&c->out);
    output_clear(&c->in_kernel);
    buf_deinit(&c->out.bytes);
    buf_deinit(&c->in_kernel.bytes);
    free(c->out.cuts);
    free(c->in_kernel.cuts);
    buf_deinit(&c->body);
    buf_deinit(&c->held);
}
