/* Datagrams: membership only. Each is one frame, small enough never to be fragmented. */
#include <stdio.h>

#include "kv_error.h"
#include "uv/shell.h"

static int from_sockaddr(const struct sockaddr *a, struct addr *out)
{
    *out = (struct addr){0};
    if (uv_ip_name(a, out->host, sizeof out->host) != 0)
        return KV_E_INVALID;
    out->port = ntohs(a->sa_family == AF_INET ? ((const struct sockaddr_in *)(const void *)a)->sin_port
                                              : ((const struct sockaddr_in6 *)(const void *)a)->sin6_port);
    return KV_OK;
}

void udp_deliver(struct shell *s, const struct addr *from, struct bytes datagram)
{
    struct message m;
    arena_reset(&s->receive_arena);
    int rc = wire_decode_datagram(datagram, &s->receive_arena, &m);
    if (rc != KV_OK) {
        s->counters.malformed++;
        shell_complain(s, from->host, "malformed_datagram", rc, kv_error_text(rc));
        return;
    }
    traffic_in(&s->counters, m.type, datagram.len);
    m.from = message_datagram_from(&m);
    if (m.from) {
        struct event e = {.type = EV_DATAGRAM,
                          .datagram = {.from = *from, .message = &m, .bytes = (uint32_t)datagram.len}};
        shell_step(s, &e);
    }
    message_release(&m);
}

/* The sender's id stands in the message, so a fault on a member is judged after a look at it. */
static uint32_t sender_of(struct shell *s, struct bytes datagram)
{
    struct message m;
    arena_reset(&s->receive_arena);
    if (wire_decode_datagram(datagram, &s->receive_arena, &m) != KV_OK)
        return 0;
    uint32_t from = message_datagram_from(&m);
    message_release(&m);
    return from;
}

static void receive(struct shell *s, const struct addr *from, struct bytes datagram)
{
    struct verdict v = {0};
    if (s->faults.count)
        v = faults_judge(&s->faults, sender_of(s, datagram));
    if (v.drop)
        return;
    for (int i = 0; i < 1 + v.twice; i++) {
        if (v.delay_ms)
            delay_datagram(s, from, datagram, v.delay_ms);
        else
            udp_deliver(s, from, datagram);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct shell *s = container_of((uv_udp_t *)handle, struct shell, udp);
    *buf = uv_buf_init((char *)s->udp_scratch, sizeof s->udp_scratch);
}

static void on_receive(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                       unsigned flags)
{
    struct shell *s = container_of(udp, struct shell, udp);
    struct addr addr;
    if (n <= 0 || !from || from_sockaddr(from, &addr) != KV_OK)
        return;
    s->counters.udp_packets_in++;
    s->counters.udp_bytes_in += (uint64_t)n;
    if (flags & UV_UDP_PARTIAL) {
        s->counters.malformed++;
        return;
    }
    receive(s, &addr, bytes_of(buf->base, (size_t)n));
}

int udp_listen(struct shell *s, char error[256])
{
    struct sockaddr_storage a;
    char text[ADDR_TEXT_MAX];
    int rc = uv_udp_init(s->loop, &s->udp);
    if (rc == 0 && names_resolve_now(s->loop, &s->options.listen, &a) != KV_OK)
        rc = UV_EADDRNOTAVAIL;
    if (rc == 0)
        rc = uv_udp_bind(&s->udp, (struct sockaddr *)&a, 0);
    if (rc == 0)
        rc = uv_udp_recv_start(&s->udp, on_alloc, on_receive);
    if (rc != 0) {
        snprintf(error, 256, "cannot receive datagrams on %s: %s", addr_format(&s->options.listen, text),
                 uv_strerror(rc));
        return rc == UV_EADDRINUSE ? KV_E_BUSY : KV_E_IO;
    }
    return KV_OK;
}

void udp_send(struct shell *s, const struct addr *to, const struct message *m)
{
    struct wire_frame frame;
    struct sockaddr_storage a;
    buf_clear(&s->udp_out);
    if (wire_encode(m, &s->udp_out, &frame) != KV_OK || names_resolve(&s->names, to, &a) != KV_OK)
        return;
    uv_buf_t buf = uv_buf_init((char *)s->udp_out.data, (unsigned)s->udp_out.len);
    /* A full socket buffer loses the datagram, as the network may; so does a name not looked up yet. */
    if (uv_udp_try_send(&s->udp, &buf, 1, (struct sockaddr *)&a) >= 0) {
        s->counters.udp_packets_out++;
        s->counters.udp_bytes_out += s->udp_out.len;
        traffic_out(&s->counters, m->type, s->udp_out.len);
    }
}
