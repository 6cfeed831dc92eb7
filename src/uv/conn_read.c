/* Bytes to frames, one at a time:
 *
 *     header --(checked, memory booked)--> body --> payload --> to the core
 *
 * What could not be looked at yet, because there is no memory for the frame (KV_E_AGAIN) or because a client
 * does not read its answers, is held; conn_feed goes on from there. Anything here may close the connection:
 * its memory stays until libuv has let go of it, and nothing is read from it after that. */
#include "base/assert.h"
#include "kv_error.h"
#include "uv/shell.h"

static uint32_t frame_max(const struct conn *c)
{
    return c->accepted ? c->shell->options.value_max_bytes + FRAME_EXTRA_MAX_BYTES : STRANGER_MAX_BYTES;
}

/* ---- memory for frames ---- */

static bool pool_fits(const struct receive_pool *pool, uint32_t need)
{
    return pool->used_bytes == 0 || pool->used_bytes + need <= pool->max_bytes;
}

static uint32_t frame_need(const struct conn *c)
{
    return c->header.body_size + wire_payload_bytes(&c->header);
}

bool pool_ready(const struct receive_pool *pool)
{
    return !list_empty(&pool->waiting) &&
           pool_fits(pool, frame_need(container_of(pool->waiting.next, struct conn, waiting)));
}

/* False: not now; nobody overtakes who waits already. */
static bool pool_book(struct conn *c, uint32_t need)
{
    struct receive_pool *pool = &c->shell->pools[c->member != 0];
    c->pool = pool;
    if ((!c->granted && !list_empty(&pool->waiting)) || !pool_fits(pool, need))
        return false;
    pool->used_bytes += need;
    c->booked_bytes = need;
    return true;
}

static void pool_release(struct conn *c)
{
    if (!c->booked_bytes)
        return;
    KV_ASSERT(c->pool->used_bytes >= c->booked_bytes);
    c->pool->used_bytes -= c->booked_bytes;
    c->booked_bytes = 0;
    if (!list_empty(&c->pool->waiting))
        c->shell->feed_wanted = true;
}

static void held_clear(struct conn *c)
{
    c->shell->held_bytes -= c->held.len;
    buf_deinit(&c->held);
}

static void frame_reset(struct conn *c)
{
    c->header_have = 0;
    c->begun = false;
    c->granted = false;
    c->payload_have = 0;
    c->frame_since_us = 0;
    buf_clear(&c->body);
    if (c->body.cap > CONN_IDLE_KEEP_BYTES)
        buf_deinit(&c->body);
    blob_unref(c->payload);
    c->payload = NULL;
    pool_release(c);
}

void conn_read_reset(struct conn *c)
{
    frame_reset(c);
    held_clear(c);
}

/* ---- the frame machine ---- */

/* What a stranger sends is counted by whole frames, so that no byte behind its HELLO is held against it. */
static int stranger_count(struct conn *c, uint32_t need)
{
    if (c->accepted)
        return KV_OK;
    c->stranger_bytes += WIRE_HEADER_BYTES + need;
    return c->stranger_bytes > STRANGER_MAX_BYTES ? KV_E_TOO_LARGE : KV_OK;
}

/* The header is whole: checks it, and books the memory that the rest needs. KV_E_AGAIN: no room now. */
static int frame_begin(struct conn *c, struct bytes in)
{
    if (!c->granted) {
        int rc = wire_decode_header(c->header_bytes, frame_max(c), &c->header);
        if (rc == KV_OK)
            rc = stranger_count(c, frame_need(c));
        if (rc != KV_OK)
            return rc;
    }
    uint32_t need = frame_need(c);
    if (need > FRAME_SMALL_BYTES && in.len < need && !pool_book(c, need))
        return KV_E_AGAIN;
    if (wire_payload_bytes(&c->header)) {
        c->payload = blob_create(wire_payload_bytes(&c->header));
        if (!c->payload)
            return KV_E_NO_MEMORY;
    }
    c->begun = true;
    c->granted = false;
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
    c->unanswered += m.type == MSG_REQUEST || m.type == MSG_SCAN;
    shell_message(s, c, &m, body);
    message_release(&m);
    frame_reset(c);
    return KV_OK;
}

/* Takes up to `n` bytes from the front of `in`. */
static struct bytes take(struct bytes *in, size_t n)
{
    struct bytes front = bytes_of(in->data, in->len < n ? in->len : n);
    *in = bytes_of(in->data + front.len, in->len - front.len);
    return front;
}

/* Body and payload: the frame has begun. */
static int frame_rest(struct conn *c, struct bytes *in)
{
    uint32_t payload = wire_payload_bytes(&c->header);
    struct bytes body = buf_bytes(&c->body);
    if (body.len == 0 && in->len >= frame_need(c)) {
        body = take(in, c->header.body_size); /* the whole frame is here: no copy of the body */
    } else if (body.len < c->header.body_size) {
        int rc = buf_append(&c->body, take(in, c->header.body_size - body.len));
        if (rc != KV_OK)
            return rc;
        body = buf_bytes(&c->body);
    }
    if (body.len < c->header.body_size)
        return KV_OK;
    if (c->payload_have < payload) {
        struct bytes part = take(in, payload - c->payload_have);
        if (part.len)
            memcpy(c->payload->data + c->payload_have, part.data, part.len);
        c->payload_have += (uint32_t)part.len;
        if (c->payload_have < payload)
            return KV_OK;
    }
    return frame_end(c, body);
}

/* One step of the machine over `in`. KV_E_AGAIN: it has to wait for memory. */
static int frame_step(struct conn *c, struct bytes *in)
{
    if (c->header_have < WIRE_HEADER_BYTES) {
        if (c->header_have == 0)
            c->frame_since_us = shell_now_us();
        struct bytes part = take(in, WIRE_HEADER_BYTES - c->header_have);
        memcpy(c->header_bytes + c->header_have, part.data, part.len);
        c->header_have += (uint32_t)part.len;
        if (c->header_have < WIRE_HEADER_BYTES)
            return KV_OK;
    }
    if (!c->begun) {
        int rc = frame_begin(c, *in);
        if (rc != KV_OK)
            return rc;
    }
    return frame_rest(c, in);
}

/* Keeps `in` for conn_feed. */
static void hold(struct conn *c, struct bytes in)
{
    if (buf_set(&c->held, in) != KV_OK) {
        shell_refuse_frame(c->shell, c, KV_E_NO_MEMORY);
        return;
    }
    c->shell->held_bytes += in.len;
}

static void consume(struct conn *c, struct bytes in)
{
    /* A frame that had to wait may need no more bytes than are here already; nor may one of header only. */
    while (c->state == CONN_OPEN && !c->close_when_flushed &&
           (in.len > 0 || (c->header_have == WIRE_HEADER_BYTES && !c->begun))) {
        if (c->header_have == 0 && conn_crowded(c)) {
            c->paused = true;
            hold(c, in);
            return;
        }
        int rc = frame_step(c, &in);
        if (rc == KV_E_AGAIN) {
            list_push_back(&c->pool->waiting, &c->waiting);
            hold(c, in);
            return;
        }
        if (rc != KV_OK) {
            shell_refuse_frame(c->shell, c, rc);
            return;
        }
    }
}

void conn_feed(struct conn *c)
{
    list_remove(&c->waiting);
    if (c->state != CONN_OPEN)
        return;
    if (c->header_have == WIRE_HEADER_BYTES && !c->begun) {
        c->granted = true;
        c->frame_since_us = shell_now_us(); /* the time in the line was not its own */
    }
    struct buf held = c->held;
    c->held = (struct buf){0};
    c->shell->held_bytes -= held.len;
    consume(c, buf_bytes(&held));
    buf_deinit(&held);
    conn_read_update(c);
}

/* ---- reading from the socket ---- */

static bool receives_in_place(const struct conn *c)
{
    return c->payload && c->body.len == c->header.body_size &&
           c->payload->len - c->payload_have >= CONN_DIRECT_MIN_BYTES;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    if (receives_in_place(c)) {
        *buf = uv_buf_init((char *)c->payload->data + c->payload_have, c->payload->len - c->payload_have);
        return;
    }
    bool scarce = c->shell->held_bytes > HELD_MAX_BYTES && !c->member;
    *buf = uv_buf_init((char *)c->shell->scratch, scarce ? CONN_READ_SHORT_BYTES : CONN_SCRATCH_BYTES);
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
        conn_read_update(c);
        return;
    }
    c->payload_have += (uint32_t)n; /* received in place */
    if (c->payload_have == c->payload->len) {
        int rc = frame_end(c, buf_bytes(&c->body));
        if (rc != KV_OK)
            shell_refuse_frame(c->shell, c, rc);
    }
}

void conn_read_update(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    bool wanted = !c->paused && !list_linked(&c->waiting) && !c->close_when_flushed;
    if (wanted == c->reading)
        return;
    c->reading = wanted;
    if (!wanted)
        uv_read_stop((uv_stream_t *)&c->tcp);
    else if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        conn_close(c);
}
