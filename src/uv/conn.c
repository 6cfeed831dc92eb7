/* The life of one TCP connection; see conn.h. */
#include "uv/conn.h"

#include "kv_error.h"
#include "uv/shell.h"

void conn_init(struct conn *c, struct shell *shell)
{
    memset(c, 0, sizeof *c);
    c->shell = shell;
    c->serial = ++shell->conn_serial;
    c->since_us = shell_now_us();
    c->answer_bytes = CONN_ANSWER_FIRST_BYTES;
}

void conn_open(struct conn *c)
{
    c->state = CONN_OPEN;
    uv_tcp_nodelay(&c->tcp, 1);
    uv_tcp_keepalive(&c->tcp, 1, 60);
    conn_read_update(c);
}

void conn_accept(struct conn *c, uint32_t member)
{
    c->accepted = true;
    c->member = member;
    list_remove(&c->stranger);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    tcp_conn_gone(c->shell, c);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    list_remove(&c->dirty);
    list_remove(&c->stranger);
    list_remove(&c->waiting);
    conn_read_reset(c);
    conn_write_count(c);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void conn_close_when_flushed(struct conn *c)
{
    if (c->state != CONN_OPEN || c->close_when_flushed)
        return;
    c->close_when_flushed = true;
    c->since_us = shell_now_us();
    list_remove(&c->stranger);
    list_remove(&c->waiting);
    conn_read_reset(c);
    conn_read_update(c);
    if (c->state == CONN_OPEN && !list_linked(&c->dirty))
        list_push_back(&c->shell->dirty, &c->dirty);
}

/* A large frame on a slow line has as much more time as a request has for such a value. */
static bool frame_stalled(const struct conn *c, uint64_t now_us)
{
    if (!c->frame_since_us || list_linked(&c->waiting) || c->paused)
        return false;
    uint64_t limit_us = c->shell->options.stall_us;
    if (c->payload)
        limit_us += limit_us * (c->payload->len >> 20) / 10;
    return now_us - c->frame_since_us > limit_us;
}

/* Twice the time of a frame: a member that was stopped for a while is not worth dialling again. */
static bool output_stalled(struct conn *c, uint64_t now_us)
{
    size_t left = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    if (left == 0 || left != c->unwritten_bytes) {
        c->unwritten_bytes = left;
        c->unwritten_us = now_us;
        return false;
    }
    return now_us - c->unwritten_us > 2 * c->shell->options.stall_us;
}

bool conn_stalled(struct conn *c, uint64_t now_us)
{
    if (c->state != CONN_OPEN)
        return false;
    bool leaving = !c->accepted || c->close_when_flushed;
    if (leaving && !list_linked(&c->waiting) && now_us - c->since_us > c->shell->options.stall_us)
        return true;
    return frame_stalled(c, now_us) || output_stalled(c, now_us);
}

void conn_deinit(struct conn *c)
{
    conn_write_deinit(c);
    buf_deinit(&c->body);
    buf_deinit(&c->held);
}
