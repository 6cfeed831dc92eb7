/* Accepting clients and members, and dialling members: who is connected, under which name the core knows it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/shell.h"

/* ---- accepted connections: id = generation << 32 | place + 1, so an id never comes back ---- */

static int place_take(struct shell *s, struct conn *c)
{
    if (s->conn_free_count == 0) {
        uint32_t cap = s->conn_cap ? 2 * s->conn_cap : 64;
        struct conn **conns = realloc(s->conns, cap * sizeof *conns);
        if (!conns)
            return KV_E_NO_MEMORY;
        s->conns = conns;
        uint32_t *free_places = realloc(s->conn_free, cap * sizeof *free_places);
        if (!free_places)
            return KV_E_NO_MEMORY;
        s->conn_free = free_places;
        for (uint32_t i = cap; i-- > s->conn_cap;) {
            s->conns[i] = NULL;
            s->conn_free[s->conn_free_count++] = i;
        }
        s->conn_cap = cap;
    }
    uint32_t place = s->conn_free[--s->conn_free_count];
    s->conns[place] = c;
    c->self = to_conn((uint64_t)++s->conn_generation << 32 | (place + 1));
    return KV_OK;
}

struct conn *tcp_find(struct shell *s, struct endpoint e)
{
    struct conn *c = NULL;
    if (e.conn) {
        uint32_t place = (uint32_t)e.conn - 1;
        c = place < s->conn_cap ? s->conns[place] : NULL;
        if (c && c->self.conn != e.conn)
            c = NULL;
    } else {
        struct peer *p = map_get(&s->peers, e.peer);
        c = p ? p->conn : NULL;
    }
    return c && c->state == CONN_OPEN ? c : NULL;
}

const char *tcp_remote_host(const struct conn *c, char out[HOST_MAX_BYTES + 1])
{
    struct sockaddr_storage a;
    int len = sizeof a;
    snprintf(out, HOST_MAX_BYTES + 1, "unknown");
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&a, &len) == 0)
        uv_ip_name((struct sockaddr *)&a, out, HOST_MAX_BYTES + 1);
    return out;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct shell *s = container_of((uv_tcp_t *)listener, struct shell, listener);
    if (status < 0) {
        shell_log(s, LOG_WARN, "event=accept_failed error=\"%s\"", uv_strerror(status));
        return;
    }
    struct conn *c = malloc(sizeof *c);
    if (!c)
        return; /* the backlog keeps it */
    conn_init(c, s);
    uv_tcp_init(s->loop, &c->tcp);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || s->accepted_count >= s->options.clients_max ||
        s->stopping || place_take(s, c) != KV_OK) {
        s->counters.refused_connections++;
        c->state = CONN_OPEN;
        conn_close(c);
        return;
    }
    s->accepted_count++;
    s->counters.connections++;
    conn_open(c);
}

/* ---- names to addresses: numeric ones without a look-up ---- */

int resolve(uv_loop_t *loop, const struct addr *addr, struct sockaddr_storage *out)
{
    if (uv_ip4_addr(addr->host, addr->port, (struct sockaddr_in *)out) == 0 ||
        uv_ip6_addr(addr->host, addr->port, (struct sockaddr_in6 *)out) == 0)
        return KV_OK;
    char port[8];
    snprintf(port, sizeof port, "%u", addr->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    uv_getaddrinfo_t request;
    if (uv_getaddrinfo(loop, &request, NULL, addr->host, port, &hints) != 0)
        return KV_E_NO_NODE;
    memcpy(out, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
    uv_freeaddrinfo(request.addrinfo);
    return KV_OK;
}

int tcp_listen(struct shell *s, char error[256])
{
    struct sockaddr_storage a;
    char text[ADDR_TEXT_MAX];
    addr_format(&s->options.listen, text);
    if (resolve(s->loop, &s->options.listen, &a) != KV_OK) {
        snprintf(error, 256, "cannot listen on %s: no such host", text);
        return KV_E_INVALID;
    }
    uv_tcp_init(s->loop, &s->listener);
    int rc = uv_tcp_bind(&s->listener, (struct sockaddr *)&a, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, 1024, on_connection);
    if (rc != 0) {
        snprintf(error, 256, "cannot listen on %s: %s", text, uv_strerror(rc));
        return rc == UV_EADDRINUSE ? KV_E_BUSY : KV_E_IO;
    }
    return KV_OK;
}

/* ---- dialled connections ---- */

static void peer_dial(struct peer *p);

static void on_retry(uv_timer_t *timer)
{
    struct peer *p = container_of(timer, struct peer, retry);
    if (p->wanted && !p->conn && !p->shell->ended)
        peer_dial(p);
}

static void peer_retry_later(struct peer *p)
{
    if (p->shell->ended || !p->wanted)
        return;
    uv_timer_start(&p->retry, on_retry, p->backoff_ms, 0);
    p->backoff_ms = p->backoff_ms * 2 > DIAL_BACKOFF_MAX_MS ? DIAL_BACKOFF_MAX_MS : p->backoff_ms * 2;
}

static void on_connect(uv_connect_t *request, int status)
{
    struct conn *c = container_of(request, struct conn, connect_request);
    struct shell *s = c->shell;
    struct peer *p = map_get(&s->peers, c->self.peer);
    if (c->state == CONN_CLOSING || status == UV_ECANCELED)
        return;
    if (status < 0 || !p || p->conn != c) {
        conn_close(c);
        return;
    }
    c->accepted = true; /* we chose whom to dial; the answer to our HELLO is checked by the core */
    conn_open(c);
    if (c->state != CONN_OPEN)
        return;
    p->connected = true;
    p->backoff_ms = DIAL_BACKOFF_MIN_MS;
    struct event e = {.type = EV_PEER_CONNECTED, .peer = p->member};
    shell_step(s, &e);
}

static void peer_dial(struct peer *p)
{
    struct shell *s = p->shell;
    struct sockaddr_storage a;
    struct conn *c = NULL;
    if (resolve(s->loop, &p->addr, &a) == KV_OK)
        c = malloc(sizeof *c);
    if (!c) {
        peer_retry_later(p);
        return;
    }
    conn_init(c, s);
    uv_tcp_init(s->loop, &c->tcp);
    c->self = to_peer(p->member);
    c->member = p->member;
    p->conn = c;
    p->dialled_us = shell_now_us();
    if (uv_tcp_connect(&c->connect_request, &c->tcp, (struct sockaddr *)&a, on_connect) != 0)
        conn_close(c);
}

void tcp_want_peer(struct shell *s, uint32_t member, const struct addr *addr)
{
    struct peer *p = map_get(&s->peers, member);
    if (!p) {
        if (addr->port == 0)
            return;
        p = calloc(1, sizeof *p);
        if (!p || map_set(&s->peers, member, p) != KV_OK) {
            free(p);
            shell_log(s, LOG_ERROR, "event=no_memory what=peer member=%u", member);
            return;
        }
        p->member = member;
        p->shell = s;
        uv_timer_init(s->loop, &p->retry);
    }
    bool same = addr_eq(&p->addr, addr);
    p->wanted = addr->port != 0;
    p->addr = *addr;
    p->backoff_ms = DIAL_BACKOFF_MIN_MS;
    if (p->conn && (!same || !p->wanted))
        conn_close(p->conn); /* dialled again when it is gone */
    else if (!p->conn && p->wanted)
        peer_dial(p);
}

/* The connection's memory is ours again; the core hears of it. */
void tcp_conn_gone(struct shell *s, struct conn *c)
{
    struct event e = {0};
    if (c->self.conn) {
        uint32_t place = (uint32_t)c->self.conn - 1;
        s->conns[place] = NULL;
        s->conn_free[s->conn_free_count++] = place;
        s->accepted_count--;
        s->counters.connections--;
        e.type = EV_CONN_CLOSED;
        e.conn = c->self.conn;
    } else if (c->self.peer) {
        struct peer *p = map_get(&s->peers, c->self.peer);
        KV_ASSERT(p && p->conn == c);
        p->conn = NULL;
        /* The core is told of failed attempts too: it may want to know that a founder is not there yet. */
        e.type = EV_PEER_LOST;
        e.peer = p->member;
        p->connected = false;
        peer_retry_later(p);
    }
    conn_deinit(c);
    free(c);
    if (e.type && !s->ended)
        shell_step(s, &e);
}

static void check_dialling(uint64_t key, void *value, void *arg)
{
    (void)key;
    struct peer *p = value;
    uint64_t now = *(uint64_t *)arg;
    if (p->conn && p->conn->state == CONN_DIALLING && now - p->dialled_us > DIAL_TIMEOUT_US)
        conn_close(p->conn);
}

/* Once a second: closes who is too slow. */
void tcp_check_stalls(struct shell *s)
{
    uint64_t now = shell_now_us();
    for (uint32_t i = 0; i < s->conn_cap; i++) {
        struct conn *c = s->conns[i];
        if (c && conn_stalled(c, now)) {
            s->counters.stalled++;
            conn_close(c);
        }
    }
    map_each(&s->peers, check_dialling, &now);
}

static void close_peer(uint64_t key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    struct peer *p = value;
    p->wanted = false;
    if (p->conn)
        conn_close(p->conn);
    uv_close((uv_handle_t *)&p->retry, NULL);
}

void tcp_close_all(struct shell *s)
{
    for (uint32_t i = 0; i < s->conn_cap; i++)
        if (s->conns[i])
            conn_close(s->conns[i]);
    map_each(&s->peers, close_peer, NULL);
    uv_close((uv_handle_t *)&s->listener, NULL);
}

static void free_peer(uint64_t key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    free(value);
}

void tcp_deinit(struct shell *s)
{
    map_each(&s->peers, free_peer, NULL);
    map_deinit(&s->peers);
    free(s->conns);
    free(s->conn_free);
}
