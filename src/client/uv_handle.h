/* The libuv shell of libkv: a handle is the core (client.h), one connection per peer, one timer, and a
 * prepare watcher that ends each turn of the loop: finished requests are told, then every connection writes
 * what has gathered. Shared by uv_handle.c, uv_conn.c and blocking.c only.
 *
 * Effects of the core are carried out at once after each event; callbacks are only called from the prepare
 * watcher, so never from inside a call of the caller's. */
#ifndef CLIENT_UV_HANDLE_H
#define CLIENT_UV_HANDLE_H

#include <uv.h>

#include "base/list.h"
#include "client/client.h"
#include "wire/wire.h"

#define KV_RECEIVE_BYTES (64u << 10) /* the handle's one receive buffer */

struct kv_conn;
struct kv_blocking;

struct kv {
    uv_loop_t *loop;
    struct client *core;
    uv_prepare_t prepare; /* keeps the loop alive while requests are pending */
    uv_idle_t idle;       /* keeps it from sleeping while finished requests are to be told */
    uv_timer_t timer;
    uint64_t timer_us;      /* what it is set to; UINT64_MAX: nothing */
    uint32_t open_handles;  /* of prepare, idle and timer */
    uint32_t conn_count;    /* connections not freed yet */
    struct kv_conn **conns; /* by peer; NULL: none */
    uint32_t conn_cap;
    struct list dirty;  /* connections with something to write */
    struct addr *reach; /* a lab's fault: nothing else is reached. NULL: none */
    uint32_t reach_count;
    uint8_t *received;    /* KV_RECEIVE_BYTES */
    struct arena arena;   /* of one message */
    uint32_t outstanding; /* requests whose callback has not returned */
    bool closing;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
    void (*log)(const char *line, void *arg);
    void *log_arg;
    struct client_done *keep; /* set by a callback of blocking.c: this one is not to be released yet */
    struct kv_blocking *blocking;
};

uint64_t kv_now_us(void);
void kv_effects(struct kv *kv); /* carries out what the core wants */
void kv_log_line(struct kv *kv, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* uv_conn.c */
void kv_conn_dial(struct kv *kv, uint32_t peer, const struct addr *addr);
void kv_conn_close(struct kv *kv, uint32_t peer);
void kv_conn_send(struct kv *kv, uint32_t peer, const struct message *m);
void kv_conn_flush(struct kv_conn *c);
void kv_conn_freed(struct kv *kv); /* uv_handle.c: one less to wait for when closing */
struct kv_conn *kv_conn_of_dirty(struct list *link);
void kv_conn_reach(struct kv *kv, uint32_t peer); /* whether it is cut off may have changed */

/* uv_reach.c */
bool kv_reaches(const struct kv *kv, const struct addr *addr);

#endif
