/* What the files of the core share: the handle, its peers, its requests. Nobody else may look inside.
 *
 *     client.c   the handle: options, events and effects in and out, timers
 *     peer.c     one node: dialling, welcome, silence, its queue of tries
 *     ring.c     the ring as the cluster tells it: members to peers, placement when it is needed
 *     route.c    which peer is asked next
 *     submit.c   how a request comes to be
 *     request.c  its life: tried, hedged, finished
 *     answer.c   what an answer does to it
 *     result.c   what the caller is told
 *     sentence.c ... and in which words */
#ifndef CLIENT_STATE_H
#define CLIENT_STATE_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "client/client.h"
#include "client/clock.h"
#include "ring/ring.h"
#include "wire/wire.h"

#define CLIENT_SKEW_ZERO       (UINT32_C(1) << 31) /* a skew of 0 as it travels */
#define CLIENT_PING_ID         1u /* of RING_GETs that no request waits for; requests' ids are larger */
#define CLIENT_TRACE_MAX       64u
#define CLIENT_SPARE_MAX       1024u
#define CLIENT_ARENA_MAX_BYTES (4u << 20) /* of one request's result */

/* IDLE -> DIALLING -> GREETED -> READY, and from each of them WAITING when it fails, from there DIALLING
 * again. */
enum peer_state {
    PEER_IDLE,     /* never dialled, or left alone after a failure long ago */
    PEER_DIALLING, /* CLIENT_DIAL is out */
    PEER_GREETED,  /* HELLO is out */
    PEER_READY,    /* welcomed: takes requests */
    PEER_WAITING,  /* failed; dialled again when its timer says */
};

struct peer {
    uint32_t slot;
    struct addr addr;
    char addr_text[ADDR_TEXT_MAX];
    char name[NAME_MAX_BYTES + 1]; /* "": not known yet */
    uint32_t member;               /* 0: not known yet */
    bool seed;                     /* named in the options or as `via` */
    enum peer_state state;
    bool ever_ready;
    bool in_ring;        /* a member of the ring we know */
    bool silent;         /* owes an answer for longer than a hedge delay: avoided until it says something */
    uint32_t failures;   /* in a row */
    int refusal;         /* the status of its last REFUSED; KV_OK: none */
    char reason[120];    /* of its last failure, for people */
    uint64_t dialled_us; /* when the connection, or the attempt, began */
    uint64_t heard_us;   /* last sign of life */
    uint64_t silent_since_us;
    bool ping_out;       /* a RING_GET of our own is not answered */
    uint64_t renewed_us; /* last dialled anew because it refused a stamp */
    uint32_t value_max_bytes;
    uint32_t in_flight; /* frames sent and not answered, abandoned tries included */
    uint32_t mean_us;   /* of answers: RFC 6298 */
    uint32_t deviation_us;
    struct list queued;     /* tries that wait for the connection, or for room on it */
    struct list sent;       /* tries that wait for an answer */
    struct heap_node timer; /* in client.peer_timers */
};

enum try_state { TRY_NONE, TRY_QUEUED, TRY_SENT };

struct
try {
    struct list link; /* in its peer's queued or sent */
    struct client_request *request;
    struct peer *peer;
    enum try_state state;
    uint8_t number; /* within the request; part of the wire id */
    uint64_t begun_us;
    uint64_t sent_us;
};

/* Rounds of a request, in this order; most have only the last. */
enum request_round {
    ROUND_RING,  /* the ring is needed first: to know a node by its name, or to answer from it */
    ROUND_STAMP, /* strict put: the newest stamp at a majority of homes */
    ROUND_FINAL,
};

/* The numbers of the last answer that did not end the request. */
struct refusal {
    int status; /* KV_OK: there was none */
    struct peer *peer;
    uint8_t asked, acked, needed, hinted, reachable;
    uint32_t us;
};

struct client_request {
    struct client_done done; /* first: the shell holds it by this */
    struct list link;        /* in client.stranded, done or spare, or in none of them */
    struct heap_node timer;  /* in client.request_timers */
    uint32_t slot;
    bool live; /* holds its slot: not done yet */
    /* What is asked. */
    enum request_round round;
    uint32_t flags; /* enum kv_flag */
    uint8_t r, w;
    struct blob *key;
    struct row row; /* put: minted at the first sending, never again */
    uint64_t ttl_ms;
    uint64_t after_token;
    struct blob *after_key;
    uint32_t limit;
    struct kv_fault fault;
    struct msg_change *change; /* in the arena */
    bool via;                  /* one peer only */
    char via_name[NAME_MAX_BYTES + 1];
    struct peer *via_peer; /* NULL: its name is not known yet */
    size_t weight_bytes;
    /* How it goes. */
    uint64_t began_us;
    uint64_t deadline_us;
    uint64_t hedge_us; /* UINT64_MAX: no more hedges */
    uint64_t retry_us; /* UINT64_MAX: nothing to be tried again */
    struct try tries[CLIENT_TRIES_MAX];
    uint32_t sends;       /* tries begun */
    uint32_t sent;        /* of them, really sent */
    uint32_t tried_count; /* peers that this pass over the candidates has used */
    uint32_t tried[CLIENT_SENDS_MAX];
    uint32_t unavailable, overloaded, again, invalid; /* answers of the kind */
    bool maybe_applied;                               /* a write was sent and its fate is not known */
    bool partly_applied;                              /* ... was refused after some replicas had been asked */
    bool unanswered;                                  /* a try was sent, and then lost */
    struct refusal refusal;
    const char *word; /* the sentence of the last answer to a change, in the arena; NULL: none */
    /* The story, for KV_EXPLAIN. */
    struct arena arena;
    uint32_t trace_count;
    struct kv_trace *trace; /* CLIENT_TRACE_MAX of them, with KV_EXPLAIN */
    struct blob *value;     /* what done.result.value points to */
};

struct client {
    /* Options. */
    uint8_t r, w;
    bool strict;
    uint64_t timeout_us;
    uint64_t connect_us;
    bool via;
    char via_text[ADDR_TEXT_MAX];
    /* The cluster. */
    char cluster[NAME_MAX_BYTES + 1]; /* "": not known yet */
    bool cluster_known;               /* a node has said what headers carry: */
    uint64_t cluster_hash;
    enum topology topology; /* as the last WELCOME said */
    struct peer *hub;       /* where there is one; NULL: none, or not known yet */
    struct client_clock clock;
    struct ring_value ring_value; /* epoch 0: none yet */
    uint64_t ring_hash;
    struct ring *ring; /* its placement, or that of an earlier one: client_ring makes it anew when needed */
    bool ring_stale;   /* somebody knows a newer one */
    uint64_t ring_asked_us;
    uint64_t ring_due_us; /* it is not asked for before */
    /* Peers. */
    struct peer **peers;
    uint32_t peer_count;
    uint32_t peer_cap;
    uint32_t ready_count;
    bool ever_ready;
    uint32_t rotor;     /* spreads requests that any peer may take */
    struct map members; /* id -> peer */
    struct heap peer_timers;
    /* Requests. */
    struct client_request **slots;
    uint64_t *generations; /* of each slot: counts its uses; 40 bits travel */
    uint32_t *free_slots;
    uint32_t slot_count;
    uint32_t free_count;
    uint32_t slot_cap;
    uint32_t pending;
    size_t pending_bytes;
    uint64_t last_submit_us;
    uint32_t hedge_tokens; /* in 1/CLIENT_HEDGE_EARN of a hedge */
    struct heap request_timers;
    struct list stranded; /* no peer can take them now; they go on when one is welcome */
    struct list done;
    struct list spare; /* for reuse */
    uint32_t spare_count;
    bool closed;
    uint64_t origin;
    struct prng prng;
    /* Effects not taken yet, oldest at `effect_first`. */
    struct client_effect *effects;
    size_t effect_first;
    size_t effect_count;
    size_t effect_cap;
    struct client_effect scrap; /* takes an effect that there is no memory for: timers make up for it */
};

static inline bool client_is_write(const struct client_request *r)
{
    return r->done.op == CLIENT_PUT || r->done.op == CLIENT_DEL;
}

/* Get, put, del: what a home of the key does best. */
static inline bool client_has_home(const struct client_request *r)
{
    return r->done.op == CLIENT_GET || client_is_write(r);
}

/* client.c */
struct client_effect *client_effect_add(struct client *c, enum client_effect_type type, uint32_t peer);
struct message *client_send(struct client *c, const struct peer *p, enum message_type type, uint64_t id);
void client_log(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* peer.c */
int client_peer_add(struct client *c, const struct addr *addr,
                    struct peer **out); /* or the one that is there */
struct peer *client_peer_named(const struct client *c, const char *name);
void client_peer_destroy(struct peer *p);
void client_peer_want(struct client *c, uint64_t now_us,
                      struct peer *p); /* dial it, if it is not connected */
void client_peer_flush(struct client *c, uint64_t now_us, struct peer *p); /* send what waits */
void client_peer_drop(struct client *c, uint64_t now_us, struct peer *p, const char *reason);
void client_peer_renew(struct client *c, uint64_t now_us,
                       struct peer *p); /* dial anew: its clock may have moved */
void client_peer_silent(struct client *c, uint64_t now_us, struct peer *p);
void client_peer_heard(struct client *c, uint64_t now_us, struct peer *p);
void client_peer_measure(struct peer *p, uint64_t took_us);
uint64_t client_peer_hedge_us(const struct peer *p, size_t bytes);
const char *client_peer_name(const struct peer *p);
void client_peer_tick(struct client *c, uint64_t now_us, struct peer *p);
void client_peer_welcome(struct client *c, uint64_t now_us, struct peer *p, const struct message *m);
void client_peer_refused(struct client *c, uint64_t now_us, struct peer *p, const struct msg_refused *m);

/* ring.c */
/* A header says that there is a ring of this epoch. */
void client_ring_heard(struct client *c, uint64_t now_us, struct peer *p, uint64_t epoch);
void client_ring_want(struct client *c, uint64_t now_us, struct peer *p); /* p: who knows it; NULL: anybody */
int client_ring_adopt(struct client *c, const struct blob *value);
const struct ring *client_ring(struct client *c); /* placement; NULL: no ring yet */
const char *client_member_name(const struct client *c, uint32_t member, struct arena *arena);

/* route.c */
struct peer *client_route(struct client *c, uint64_t now_us, const struct client_request *r);
bool client_needs_hub(const struct client *c, const struct client_request *r);
bool client_route_tried(const struct client_request *r, const struct peer *p);

/* request.c */
void client_request_go(struct client *c, uint64_t now_us, struct client_request *r);
void client_request_retry(struct client *c, uint64_t now_us, struct client_request *r, uint64_t base_us,
                          uint32_t nth);
void client_request_next_round(struct client *c, uint64_t now_us, struct client_request *r);
/* No good answer will come: ends with the best that is known. */
void client_request_fail(struct client *c, uint64_t now_us, struct client_request *r);
void client_request_finish(struct client *c, uint64_t now_us, struct client_request *r, int status);
void client_request_tick(struct client *c, uint64_t now_us, struct client_request *r);
void client_request_destroy(struct client_request *r);
void client_requests_wake(struct client *c, uint64_t now_us); /* the stranded: a peer is welcome */
struct try *client_try_find(struct client *c, const struct peer *p, uint64_t id);
void client_try_send(struct client *c, uint64_t now_us, struct try *t);
void client_try_end(struct try *t);
void client_try_lost(struct client *c, uint64_t now_us, struct try *t);

/* answer.c */
void client_answer(struct client *c, uint64_t now_us, struct peer *p, const struct message *m);

/* sentence.c */
const char *client_sentence(struct client *c, struct client_request *r, int status);

/* result.c */
void client_trace(struct client_request *r, uint64_t now_us, enum kv_trace_kind kind, const struct peer *p,
                  int status);
int client_result_value(struct client_request *r, const struct row *row);
void client_result_response(struct client *c, struct client_request *r, const struct try *t,
                            const struct peer *p, const struct msg_response *m, uint64_t now_us);
int client_result_scan(struct client *c, struct client_request *r, const struct peer *p,
                       const struct msg_scan_page *m, uint64_t now_us);
int client_result_status(struct client_request *r, const struct msg_status *m);
int client_result_stats(struct client_request *r, const struct peer *p, const struct msg_stats *m);
int client_result_faults(struct client_request *r, const struct peer *p, const struct msg_fault_reply *m);
int client_result_change(struct client_request *r, const struct peer *p, const struct msg_change_reply *m);
int client_result_repair(struct client_request *r, const struct peer *p, const struct msg_repair_reply *m);
int client_result_ring(struct client *c, struct client_request *r);
int client_result_where(struct client *c, struct client_request *r);
void client_result_end(struct client *c, struct client_request *r, int status, uint64_t now_us);

#endif
