/* Messages held back by a fault. They are kept as bytes, and delivered later as if they had just come; if the
 * connection is gone by then, so is the message. Equal delays keep the order of arrival (libuv breaks ties by
 * start). */
#include <stdlib.h>

#include "kv_error.h"
#include "uv/shell.h"

struct delayed {
    struct list link;
    struct shell *shell;
    uv_timer_t timer;
    bool is_datagram;
    struct endpoint conn;
    uint64_t serial;
    struct addr from;
    struct wire_header header;
    struct blob *payload;
    struct buf bytes;
};

static void on_closed(uv_handle_t *handle)
{
    struct delayed *d = container_of((uv_timer_t *)handle, struct delayed, timer);
    blob_unref(d->payload);
    buf_deinit(&d->bytes);
    free(d);
}

static void deliver_frame(struct shell *s, struct delayed *d)
{
    struct conn *c = tcp_find(s, d->conn);
    if (!c || c->serial != d->serial)
        return;
    struct message m;
    arena_reset(&s->receive_arena);
    if (wire_decode(&d->header, buf_bytes(&d->bytes), d->payload, s->options.value_max_bytes,
                    &s->receive_arena, &m) != KV_OK)
        return;
    m.from = c->member;
    struct event e = {.type = EV_MESSAGE, .message = {.from = c->self, .message = &m}};
    shell_step(s, &e);
    message_release(&m);
}

static void on_due(uv_timer_t *timer)
{
    struct delayed *d = container_of(timer, struct delayed, timer);
    struct shell *s = d->shell;
    list_remove(&d->link);
    s->delayed_count--;
    if (d->is_datagram)
        udp_deliver(s, &d->from, buf_bytes(&d->bytes));
    else
        deliver_frame(s, d);
    uv_close((uv_handle_t *)&d->timer, on_closed);
}

static struct delayed *delayed_create(struct shell *s, struct bytes bytes)
{
    struct delayed *d = s->delayed_count < DELAYED_MAX ? calloc(1, sizeof *d) : NULL;
    if (!d)
        return NULL;
    d->shell = s;
    if (buf_set(&d->bytes, bytes) != KV_OK) {
        free(d);
        return NULL;
    }
    return d;
}

static void delayed_start(struct delayed *d, uint32_t ms)
{
    uv_timer_init(d->shell->loop, &d->timer);
    uv_timer_start(&d->timer, on_due, ms, 0);
    list_push_back(&d->shell->delayed, &d->link);
    d->shell->delayed_count++;
}

void delay_message(struct shell *s, struct conn *c, struct bytes body, uint32_t ms)
{
    struct delayed *d = delayed_create(s, body);
    if (!d)
        return;
    d->conn = c->self;
    d->serial = c->serial;
    d->header = c->header;
    d->payload = blob_ref(c->payload);
    delayed_start(d, ms);
}

void delay_datagram(struct shell *s, const struct addr *from, struct bytes datagram, uint32_t ms)
{
    struct delayed *d = delayed_create(s, datagram);
    if (!d)
        return;
    d->is_datagram = true;
    d->from = *from;
    delayed_start(d, ms);
}

void delay_deinit(struct shell *s)
{
    struct list *node;
    while ((node = list_pop_front(&s->delayed)) != NULL)
        uv_close((uv_handle_t *)&container_of(node, struct delayed, link)->timer, on_closed);
}
