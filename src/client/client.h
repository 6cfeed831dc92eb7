/* The core of libkv: a state machine of the same make as the node (DESIGN section 2). What happens goes in
 * through the calls below, each with the monotonic time; what is to be done comes out as effects. No sockets,
 * no clock, no threads: the files uv... are its shell, tests and the simulator are others.
 *
 * Contract with the shell. After any call, take effects with client_next_effect until there is none; only
 * then take finished requests, one by one, with client_next_done, and look for effects again after each.
 * Calls may be made in between at any point. A peer is known by its slot, a small number that is never used
 * again.
 *
 * A request's way: it is routed (route.c) to a peer and waits there until the connection is welcome and has
 * room; it is sent; the answer ends it or sends it elsewhere (answer.c). Every sending is a *try*. A peer
 * that is lost, refuses, or is slow beyond the hedge delay causes a try at another, with the same stamp and
 * what is left of the time (request.c).
 *
 * Invariants (client_check): a request not done has a timer, at most its deadline; a try is on exactly one
 * list of exactly one peer; pending requests and their bytes are bounded; a stamp once minted for a request
 * never changes. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "kv.h"
#include "model/message.h"

/* A try that is not answered for this long is hedged: the peer's usual time (mean + 4 deviations, as RFC 6298
 * has it) between these bounds, and more for a large value. Low enough that a stopped node costs a request no
 * 500 ms, high enough that a slow sync does not double the load. */
#define CLIENT_HEDGE_MIN_US     UINT64_C(20000)
#define CLIENT_HEDGE_MAX_US     UINT64_C(150000)
#define CLIENT_HEDGE_FIRST_US   UINT64_C(60000) /* for a peer not measured yet */
#define CLIENT_HEDGE_PER_MIB_US UINT64_C(150000)
#define CLIENT_HEDGE_CHANGE_US  UINT64_C(2000000) /* a change is decided on by a majority: give it time */
/* Hedges against a peer that is alive and merely slow are rationed, else an overloaded cluster gets more load
 * the slower it is: this many at once, and one more for every CLIENT_HEDGE_EARN requests that end. */
#define CLIENT_HEDGE_BURST 64u
#define CLIENT_HEDGE_EARN  10u

#define CLIENT_TRIES_MAX       3u   /* of one request at the same time */
#define CLIENT_SENDS_MAX       200u /* of one request in its life; below 256: one byte of the id */
#define CLIENT_UNAVAILABLE_MAX 3u   /* nodes that say so before it is believed */
#define CLIENT_OVERLOADED_MAX  4u
#define CLIENT_PEERS_MAX       (MEMBERS_MAX + 64u)
#define CLIENT_CONNECT_US      UINT64_C(1000000) /* for a connection to be made and welcomed */
#define CLIENT_REDIAL_MIN_US   UINT64_C(50000)   /* after a failure; doubles */
#define CLIENT_REDIAL_MAX_US   UINT64_C(1000000)
#define CLIENT_IDLE_US         UINT64_C(30000000) /* without requests for so long, lost peers are not redialled */
#define CLIENT_SILENT_MAX_US   UINT64_C(5000000) /* a peer that owes an answer for so long is dialled anew */
#define CLIENT_RING_RETRY_US   UINT64_C(100000)
#define CLIENT_RING_SPREAD_US  UINT64_C(100000)    /* a newer ring is asked for within this */
#define CLIENT_TTL_MAX_MS      (UINT64_C(1) << 43) /* 278 years */

struct client;

/* `seed` must be random, and another for each handle: the origin of its stamps comes from it. KV_E_INVALID
 * (options that make no sense), KV_E_NO_MEMORY. */
int client_create(const struct kv_options *options, uint64_t seed, struct client **out);
void client_destroy(struct client *c);

/* ---- Requests ---- */

enum client_op {
    CLIENT_GET,
    CLIENT_PUT,
    CLIENT_DEL,
    CLIENT_SCAN,
    CLIENT_STATUS,
    CLIENT_STATS,
    CLIENT_RING,
    CLIENT_WHERE,
    CLIENT_FAULT,
    CLIENT_CHANGE,
    CLIENT_REPAIR,
};

/* Who is to be told, kept for the shell. */
union client_callback {
    kv_result_fn result;
    kv_scan_fn scan;
    kv_status_fn status;
    kv_stats_fn stats;
    kv_ring_fn ring;
    kv_where_fn where;
    kv_fault_fn fault;
    kv_change_fn change;
    kv_repair_fn repair;
};

/* What is asked for; all borrowed. */
struct client_order {
    enum client_op op;
    struct bytes key; /* get, put, del, where; the prefix of a scan */
    struct bytes value;
    struct kv_cursor after;
    uint32_t limit;
    struct kv_fault fault;
    const struct kv_change *change;
    const struct kv_request *request; /* NULL: as the handle's options say */
    union client_callback callback;
    void *arg;
};

/* KV_E_INVALID, KV_E_TOO_LARGE, KV_E_OVERLOADED, KV_E_CLOSED, KV_E_NO_MEMORY: nothing was begun. */
int client_submit(struct client *c, uint64_t now_us, const struct client_order *order);

/* What became of it. Everything it points to lives until client_done_release. */
struct client_done {
    enum client_op op;
    union client_callback callback;
    void *arg;
    union {
        struct kv_result result;
        struct kv_scan_page scan;
        struct kv_status status;
        struct kv_stats stats;
        struct kv_ring ring;
        struct kv_where where;
        struct kv_faults faults;
        struct kv_changed changed;
        struct kv_repair_begun repair;
    };
};

/* Takes the request that was finished first; NULL: none. The caller owns it until client_done_release, which
 * must come before client_destroy. */
struct client_done *client_next_done(struct client *c);
void client_done_release(struct client *c, struct client_done *done);

/* Not finished yet. */
uint32_t client_pending(const struct client *c);

/* Every request ends, every connection is closed, and nothing new is taken. */
void client_shutdown(struct client *c, uint64_t now_us);

/* ---- Events ---- */

/* CLIENT_DIAL succeeded: bytes can be sent. */
void client_connected(struct client *c, uint64_t now_us, uint32_t peer);

/* The connection is gone, or could not be made: `reason` is a sentence or NULL. Not to be called after
 * CLIENT_CLOSE. */
void client_lost(struct client *c, uint64_t now_us, uint32_t peer, const char *reason);

/* A whole frame. `m` is borrowed; the caller releases it. */
void client_message(struct client *c, uint64_t now_us, uint32_t peer, const struct message *m);

/* Bytes came, though no whole frame: a sign of life, so that a large value on its way is not taken for
 * silence. */
void client_heard(struct client *c, uint64_t now_us, uint32_t peer);

/* client_deadline_us has come. */
void client_tick(struct client *c, uint64_t now_us);

/* When to tick; UINT64_MAX: never. */
uint64_t client_deadline_us(const struct client *c);

/* ---- Effects ---- */

enum client_effect_type {
    CLIENT_DIAL,  /* connect `peer` to `addr`; client_connected or client_lost comes of it */
    CLIENT_CLOSE, /* drop its connection, or the attempt to make one, at once */
    CLIENT_SEND,  /* a message to a connected peer; what it points to is borrowed until the next
                     client_next_done */
    CLIENT_LOG,   /* a line for people */
};

struct client_effect {
    enum client_effect_type type;
    uint32_t peer;
    union {
        struct addr addr;
        struct message message; /* its row's payload is borrowed too: not to be released */
        char log[200];
    };
};

/* Takes the next effect; false: none. */
bool client_next_effect(struct client *c, struct client_effect *out);

/* ---- For the shell and for tests ---- */

uint64_t client_origin(const struct client *c);

/* Largest frame that may come from a peer: small until it is welcomed. */
uint32_t client_frame_max_bytes(const struct client *c, uint32_t peer);

/* The peer's name, or its address while it has none. */
const char *client_peer_label(const struct client *c, uint32_t peer);

/* The invariants. Asserts. */
void client_check(const struct client *c);

#endif
