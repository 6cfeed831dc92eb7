/* What a connection has to say: gathered during a turn, written at its end with one call. What the socket
 * does not take at once goes to libuv, as `in_kernel`; meanwhile the next turns gather in `out`.
 *
 * Invariant: shell->output_bytes is the sum of what all open clients' connections have queued. */
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/shell.h"

/* ---- one output ---- */

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

static void output_deinit(struct conn_output *o)
{
    output_clear(o);
    buf_deinit(&o->bytes);
    free(o->cuts);
    o->cuts = NULL;
    o->cut_cap = 0;
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

static int output_add(struct conn_output *o, const struct message *m)
{
    struct wire_frame frame;
    size_t before = o->bytes.len;
    int rc = wire_encode(m, &o->bytes, &frame);
    if (rc != KV_OK)
        return rc;
    o->total_bytes += o->bytes.len - before;
    for (uint32_t i = 0; i < frame.payload_count && rc == KV_OK; i++)
        if (frame.payloads[i])
            rc = output_add_payload(o, frame.payloads[i]);
    return rc;
}

/* The output as at most `max` vectors, without the `skip` bytes that are written already. Returns how many.
 */
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

/* ---- bounds ---- */

/* Values that may be queued. */
static size_t values_max(const struct conn *c)
{
    return c->member ? MEMBER_VALUES_MAX_BYTES
                     : CONN_VALUES_MAX_BYTES + 4 * (size_t)c->shell->options.value_max_bytes;
}

/* A member may have as much coming to it as a coordinator can have in flight. */
static size_t queue_max(const struct conn *c)
{
    return c->member ? INFLIGHT_MAX_BYTES : values_max(c) + CONN_QUEUE_EXTRA_BYTES;
}

void conn_bound_answer(struct conn *c, struct message *m)
{
    struct row *row = m->type == MSG_RESPONSE ? &m->response.row : &m->read_reply.row;
    if ((m->type != MSG_RESPONSE && m->type != MSG_READ_REPLY) ||
        conn_queued(c) + blob_bytes(row->payload).len <= values_max(c) || !row->payload)
        return;
    c->shell->counters.answers_refused++;
    row_release(row);
    if (m->type == MSG_RESPONSE)
        m->response.status = KV_E_OVERLOADED;
    else
        m->read_reply.status = KV_E_OVERLOADED;
}

/* Clients only: if members did that to each other, both might wait for ever. */
bool conn_crowded(const struct conn *c)
{
    if (!c->accepted || c->member)
        return false;
    size_t queued_max = c->paused ? CONN_PAUSE_BYTES / 2 : CONN_PAUSE_BYTES;
    return conn_queued(c) > queued_max ||
           (c->unanswered > CONN_WINDOW_MIN && (uint64_t)c->unanswered * c->answer_bytes > CONN_WINDOW_BYTES);
}

static bool is_refusal(const struct message *m)
{
    int32_t status = m->type == MSG_RESPONSE ? m->response.status : m->scan_page.status;
    return status != KV_OK && status != KV_E_NOT_FOUND;
}

/* The largest answer is forgotten by a quarter with each smaller one. A refusal says nothing of what the next
 * answer will be: if it did, who is refused large values would be let ask for more of them. */
static void count_answer(struct conn *c, const struct message *m, size_t bytes)
{
    if (m->type != MSG_RESPONSE && m->type != MSG_SCAN_PAGE)
        return;
    c->unanswered -= c->unanswered > 0;
    if (is_refusal(m))
        return;
    uint32_t faded = c->answer_bytes - c->answer_bytes / 4;
    c->answer_bytes = bytes > faded ? (uint32_t)bytes : faded;
}

void conn_write_count(struct conn *c)
{
    uint64_t now = c->state == CONN_OPEN && !c->member ? conn_queued(c) : 0;
    c->shell->output_bytes += now;
    KV_ASSERT(c->shell->output_bytes >= c->counted_bytes);
    c->shell->output_bytes -= c->counted_bytes;
    c->counted_bytes = now;
}

static void close_slow_reader(struct conn *c)
{
    char host[HOST_MAX_BYTES + 1];
    c->shell->counters.slow_readers++;
    shell_complain(c->shell, tcp_remote_host(c, host), "slow_reader", KV_E_OVERLOADED,
                   "it does not read its answers");
    conn_close(c);
}

/* ---- queueing ---- */

void conn_send(struct conn *c, const struct message *m)
{
    if (c->state != CONN_OPEN || c->close_when_flushed)
        return;
    size_t before = c->out.total_bytes;
    int rc = output_add(&c->out, m);
    if (rc != KV_OK) {
        shell_log(c->shell, LOG_ERROR, "event=unsendable type=%s status=%s", message_name(m->type),
                  kv_error_word(rc));
        conn_close(c); /* half a frame must never be followed by another, and somebody waits for this one */
        return;
    }
    c->shell->counters.frames_out++;
    traffic_out(&c->shell->counters, m->type, c->out.total_bytes - before);
    c->shell->turn_output_bytes += c->out.total_bytes - before;
    count_answer(c, m, c->out.total_bytes - before);
    conn_write_count(c);
    if (!list_linked(&c->dirty))
        list_push_back(&c->shell->dirty, &c->dirty);
    if (conn_queued(c) > queue_max(c)) {
        close_slow_reader(c);
        return;
    }
    struct conn *most = c->shell->output_bytes > OUTPUT_MAX_BYTES ? tcp_slowest_client(c->shell) : NULL;
    if (most)
        close_slow_reader(most);
}

/* ---- writing ---- */

static void after_flush(struct conn *c)
{
    struct shell *s = c->shell;
    if (c->state != CONN_OPEN)
        return;
    conn_write_count(c);
    if (c->close_when_flushed && conn_queued(c) == 0) {
        conn_close(c);
    } else if (c->paused && !conn_crowded(c)) {
        c->paused = false;
        list_push_back(&s->resumed, &c->waiting);
        s->feed_wanted = true;
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct conn *c = container_of(request, struct conn, write_request);
    output_clear(&c->in_kernel);
    c->writing = false;
    if (status < 0)
        conn_close(c);
    else
        conn_flush(c);
}

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
    if (rc != 0)
        conn_close(c);
    else
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
    }
    c->shell->counters.tcp_bytes_out += c->out.total_bytes;
    if (written < c->out.total_bytes)
        write_rest(c, written);
    else
        output_clear(&c->out);
    after_flush(c);
}

void conn_write_trim(struct conn *c)
{
    if (c->out.total_bytes == 0 && c->out.bytes.cap > CONN_IDLE_KEEP_BYTES)
        output_deinit(&c->out);
    if (!c->writing && c->in_kernel.bytes.cap > CONN_IDLE_KEEP_BYTES)
        output_deinit(&c->in_kernel);
}

void conn_write_deinit(struct conn *c)
{
    output_deinit(&c->out);
    output_deinit(&c->in_kernel);
}
