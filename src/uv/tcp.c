/* Accepting clients and members, and dialling members: who is connected, under which name the core knows it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "kv_error.h"
#include "uv/shell.h"

/* ---- accepted connections: id = serial << 20 | place + 1, so an id never comes back ---- */

#define PLACE_BITS 20

static uint32_t place_of(struct endpoint e)
{
    return (uint32_t)(e.conn & ((1u << PLACE_BITS) - 1)) - 1;
}

static int place_take(struct shell *s, struct conn *c)
{
    if (s->conn_free_count == 0) {
        uint32_t cap = s->conn_cap ? 2 * s->conn_cap : 64;
        if (cap >> PLACE_BITS)
            return KV_E_OVERLOADED;
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
    c->self = to_conn(c->serial << PLACE_BITS | (place + 1));
    return KV_OK;
}

struct conn *tcp_find(struct shell *s, struct endpoint e)
{
    struct conn *c = NULL;
    if (e.conn) {
        uint32_t place = place_of(e);
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

/* All places taken: the stranger that has kept its own longest gives it up. Whoever has something to say says
 * HELLO at once, so members get in, however many strangers hold the door. */
static bool make_room(struct shell *s)
{
    if (s->accepted_count < s->options.clients_max + ACCEPT_EXTRA)
        return true;
    s->counters.refused_connections++;
    if (list_empty(&s->strangers))
        return false;
    conn_close(container_of(s->strangers.next, struct conn, stranger));
    return true;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct shell *s = container_of((uv_tcp_t *)listener, struct shell, listener);
    if (status < 0) {
        shell_complain(s, "-", "accept_failed", KV_E_OVERLOADED, uv_strerror(status));
        return;
    }
    struct conn *c = malloc(sizeof *c);
    s->accept_owed = c == NULL; /* libuv is deaf until this one is accepted: tried again in a second */
    if (!c)
        return;
    conn_init(c, s);
    uv_tcp_init(s->loop, &c->tcp);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 || s->stopping || !make_room(s) ||
        place_take(s, c) != KV_OK) {
        conn_close(c);
        return;
    }
    s->accepted_count++;
    s->counters.connections++;
    list_push_back(&s->strangers, &c->stranger);
    conn_open(c);
}

void tcp_accept_client(struct shell *s, struct conn *c)
{
    if (s->client_count < s->options.clients_max) {
        s->client_count++;
        conn_accept(c, 0);
        return;
    }
    char host[HOST_MAX_BYTES + 1];
    s->counters.refused_connections++;
    static const char text[] = "this node serves as many clients as it can";
    shell_complain(s, tcp_remote_host(c, host), "too_many_clients", KV_E_OVERLOADED, text);
    struct message m = {.type = MSG_REFUSED,
                        .cluster = node_cluster_hash(s->node),
                        .refused = {.status = KV_E_OVERLOADED, .text = text}};
    conn_send(c, &m);
    conn_close_when_flushed(c); /* the core's WELCOME is not sent any more */
}

struct conn *tcp_slowest_client(struct shell *s)
{
    struct conn *most = NULL;
    for (uint32_t i = 0; i < s->conn_cap; i++) {
        struct conn *c = s->conns[i];
        if (c && c->counted_bytes && (!most || c->counted_bytes > most->counted_bytes))
            most = c;
    }
    return most;
}

int tcp_listen(struct shell *s, char error[256])
{
    struct sockaddr_storage a;
    char text[ADDR_TEXT_MAX];
    addr_format(&s->options.listen, text);
    if (names_resolve_now(s->loop, &s->options.listen, &a) != KV_OK) {
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

/* Who accepts connections only to refuse us is no reason to dial faster. */
static void peer_retry_later(struct peer *p)
{
    if (p->shell->ended || !p->wanted)
        return;
    if (p->connected_us && shell_now_us() - p->connected_us > DIAL_BACKOFF_MAX_MS * UINT64_C(1000))
        p->backoff_ms = DIAL_BACKOFF_MIN_MS;
    p->connected_us = 0;
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
    /* We chose whom to dial; the answer to our HELLO is checked by the core. */
    conn_accept(c, p->member);
    conn_open(c);
    if (c->state != CONN_OPEN)
        return;
    p->connected_us = shell_now_us();
    struct event e = {.type = EV_PEER_CONNECTED, .peer = p->member};
    shell_step(s, &e);
}

static void peer_dial(struct peer *p)
{
    struct shell *s = p->shell;
    struct sockaddr_storage a;
    struct conn *c = NULL;
    if (names_resolve(&s->names, &p->addr, &a) == KV_OK)
        c = malloc(sizeof *c);
    if (!c) {
        peer_retry_later(p);
        return;
    }
    conn_init(c, s);
    uv_tcp_init(s->loop, &c->tcp);
    c->self = to_peer(p->member);
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
        uint32_t place = place_of(c->self);
        s->conns[place] = NULL;
        s->conn_free[s->conn_free_count++] = place;
        s->accepted_count--;
        s->client_count -= c->accepted && !c->member;
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
        peer_retry_later(p);
    }
    conn_deinit(c);
    free(c);
    if (e.type && !s->ended)
        shell_step(s, &e);
}

static void check_conn(struct shell *s, struct conn *c, uint64_t now_us)
{
    conn_write_trim(c);
    if (!conn_stalled(c, now_us))
        return;
    s->counters.stalled++;
    conn_close(c);
}

static void check_peer(uint64_t key, void *value, void *arg)
{
    (void)key;
    struct peer *p = value;
    uint64_t now_us = *(uint64_t *)arg;
    if (p->conn && p->conn->state == CONN_DIALLING && now_us - p->dialled_us > DIAL_TIMEOUT_US)
        conn_close(p->conn);
    else if (p->conn)
        check_conn(p->shell, p->conn, now_us);
}

/* Once a second: closes who is too slow. */
void tcp_check(struct shell *s)
{
    uint64_t now_us = shell_now_us();
    for (uint32_t i = 0; i < s->conn_cap; i++)
        if (s->conns[i])
            check_conn(s, s->conns[i], now_us);
    map_each(&s->peers, check_peer, &now_us);
    if (s->accept_owed)
        on_connection((uv_stream_t *)&s->listener, 0);
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
