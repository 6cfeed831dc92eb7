/* libkv: the client of a Gureum cluster. This header is its manual; it needs nothing but itself and
 * kv_error.h.
 *
 * A handle (`struct kv`) speaks to a whole cluster. It is told one or more nodes, learns all others from
 * them, and keeps one connection to each node it needs, shared by any number of requests in flight.
 * Everything runs on the caller's libuv loop, in the loop's thread: no threads, no locks. Without a loop of
 * one's own, see "Blocking".
 *
 * [example]
 *     #include <kv.h>
 *     #include <stdio.h>
 *     #include <string.h>
 *     #include <uv.h>
 *
 *     static const char key[] = "greeting", value[] = "hello, cloud";
 *
 *     static void on_get(const struct kv_result *r, void *arg)
 *     {
 *         if (r->status == KV_OK)
 *             printf("%s = %.*s, said %s\n", key, (int)r->value_len, (const char *)r->value, r->coordinator);
 *         else
 *             printf("get: %s: %s\n", kv_error_word(r->status), r->message);
 *         kv_close(arg, NULL, NULL);
 *     }
 *
 *     static void on_put(const struct kv_result *r, void *arg)
 *     {
 *         printf("put: %s, %d of %d acknowledged\n", kv_error_word(r->status), r->acked, r->needed);
 *         int rc = kv_get(arg, key, strlen(key), NULL, on_get, arg);
 *         if (rc)
 *             kv_close(arg, NULL, NULL);
 *     }
 *
 *     int main(void)
 *     {
 *         struct kv_options options = {.nodes = "127.0.0.1:7601,127.0.0.1:7602", .timeout_ms = 1000};
 *         struct kv *kv;
 *         int rc = kv_open(uv_default_loop(), &options, &kv);
 *         if (rc) {
 *             fprintf(stderr, "open: %s\n", kv_error_text(rc));
 *             return 1;
 *         }
 *         rc = kv_put(kv, key, strlen(key), value, strlen(value), NULL, on_put, kv);
 *         if (rc)
 *             kv_close(kv, NULL, NULL);
 *         uv_run(uv_default_loop(), UV_RUN_DEFAULT);
 *         return rc ? 1 : 0;
 *     }
 * [example end]
 *
 * What is promised. A key whose puts, gets and deletes are all strict, with majorities for R and W (the
 * default), is a linearizable register. Sloppy (the default): every acknowledged put is on W disks somewhere
 * and will be at its homes; a get may miss it while homes are away. One handle's sloppy puts of one key take
 * effect in the order in which they were made; a strict one is ordered after all that ended before it began.
 * A put is retried and hedged within its time, through whichever node, as the same write: it never happens
 * twice, nor after a later put of the same handle.
 *
 * Time. A write's stamp comes from the cluster's clock, which the handle carries forward by this machine's
 * monotonic clock. This machine's date does not matter.
 *
 * How a request ends (`status`): always one of
 *     KV_OK               done
 *     KV_E_NOT_FOUND      no such key; `proven` says whether enough homes said so to be sure
 *     KV_E_UNAVAILABLE    too few nodes could be reached, and no attempt of a write can have been applied
 *     KV_E_TIMEOUT        no answer in time: a write may have been applied, or may still be (`unknown`)
 *     KV_E_OVERLOADED     a limit is reached or a disk is full, there or here; try again later
 *     KV_E_TOO_LARGE, KV_E_INVALID, KV_E_NOT_PERMITTED   refused; asking again will not help
 *     KV_E_NO_NODE        no node could be reached at all
 *     KV_E_WRONG_CLUSTER, KV_E_VERSION   the node spoken to is not one of ours, or of another age
 *     KV_E_NOT_COORDINATOR   with `via`, where the topology has a hub: the hub answers that, not this node
 *     KV_E_CLOSED         kv_close came first, and nothing had been sent
 *
 * Calls return KV_OK, and then their callback is called exactly once, later, from the loop; or an error, and
 * then it is not called: KV_E_INVALID, KV_E_TOO_LARGE, KV_E_OVERLOADED (KV_REQUESTS_MAX or
 * KV_QUEUE_MAX_BYTES), KV_E_CLOSED, KV_E_NO_MEMORY. Keys, values and options are copied before a call
 * returns. What a callback is given is borrowed and gone when it returns. A callback may call anything here.
 */
#ifndef KV_H
#define KV_H

#include "kv_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KV_VERSION "0.1.0"

/* Where nodes are looked for when options do not say: the first five of scripts/cluster.sh. */
#define KV_NODES_DEFAULT "127.0.0.1:7601,127.0.0.1:7602,127.0.0.1:7603,127.0.0.1:7604,127.0.0.1:7605"

#define KV_KEY_MAX_BYTES   4096u        /* keys are 1..4096 bytes */
#define KV_REQUESTS_MAX    65536u       /* of one handle, not answered yet */
#define KV_QUEUE_MAX_BYTES (256u << 20) /* keys and values that they keep alive */

struct kv;        /* a handle */
struct uv_loop_s; /* uv_loop_t of <uv.h> */

/* ---- Opening and closing ---- */

/* All zero is a good default. */
struct kv_options {
    const char *nodes;   /* "HOST:PORT,..."; one live one is enough; NULL: KV_NODES_DEFAULT */
    const char *cluster; /* its name: others' nodes are refused. NULL: the first node's word */
    const char *via;     /* this node only, "HOST:PORT" or name; a name is looked up in the ring. NULL: any */
    uint8_t r;           /* replicas that must answer a get; 0: a majority */
    uint8_t w;           /* replicas that must have a put on disk; 0: a majority */
    bool strict;         /* only homes count, and a put takes two rounds */
    uint32_t timeout_ms; /* of a request; 0: 2 s, and 1 s more per MiB of value. A put or delete ends at the
                            latest 60 s after it was first sent: older ones are refused by all nodes */
    uint32_t connect_timeout_ms;              /* of one connection; 0: 1 s */
    void (*log)(const char *line, void *arg); /* told what goes wrong with nodes; NULL: nobody is */
    void *log_arg;
};

/* Never blocks and connects to nothing yet: that is done when the first request comes. The loop must outlive
 * the handle. SIGPIPE is set to be ignored if nobody handles it: a node that goes away must not end the
 * program. KV_E_INVALID: an address that is none, or names no node; KV_E_NO_MEMORY. */
int kv_open(struct uv_loop_s *loop, const struct kv_options *options, struct kv **out);

/* Requests not answered yet end (KV_E_CLOSED, or KV_E_TIMEOUT for a write that was sent); then `done` (may be
 * NULL) is called from the loop, and the handle is gone. While a handle is open and has no request, it does
 * not keep uv_run from returning. */
void kv_close(struct kv *kv, void (*done)(void *arg), void *arg);

/* ---- Keys and values ---- */

enum kv_flag {
    KV_STRICT = 1 << 0,  /* only homes count */
    KV_SLOPPY = 1 << 1,  /* the first N reachable count, though the handle says strict */
    KV_EXPLAIN = 1 << 2, /* tell the story: `trace` */
    KV_LOCAL = 1 << 3,   /* get: the addressed node's own copy, and nobody else is asked */
};

/* How one request differs from the handle's options; NULL or zero: it does not. */
struct kv_request {
    uint8_t r;
    uint8_t w;
    uint32_t flags; /* enum kv_flag */
    uint32_t timeout_ms;
    uint64_t ttl_ms; /* put: reads as absent after this time; 0: never */
    const char *via; /* this node only, "HOST:PORT" or name */
};

/* A write's place in the order of all writes of its key. */
struct kv_stamp {
    uint64_t hlc;    /* cluster's time: milliseconds since 1970 << 16, and a counter */
    uint64_t origin; /* of the handle that wrote it */
};

enum kv_trace_kind {
    KV_TRACE_SEND = 0,   /* this library sent the request to `node` */
    KV_TRACE_ASK = 1,    /* replica `node` was asked; `other`: beside it, for the key moves between the two */
    KV_TRACE_ANSWER,     /* and answered: `status`, `stamp` */
    KV_TRACE_HEDGE,      /* `node` was asked because another is slow */
    KV_TRACE_HINT,       /* `node` was asked as a fallback, keeping the row for `other` */
    KV_TRACE_WRITE_BACK, /* the newest row was sent to `node`, which had an older one */
    KV_TRACE_SKIP,       /* `node` was not asked: it cannot be reached */
    KV_TRACE_DECIDE,     /* the answer was there: `status` */
    KV_TRACE_LOST,       /* this library lost the connection to `node` before it answered */
    KV_TRACE_REPLY,      /* `node` answered this library: `status` */
};

struct kv_trace {
    uint32_t at_us; /* since the call */
    uint8_t kind;   /* enum kv_trace_kind */
    uint8_t client; /* 1: seen by this library, 0: told by the coordinator */
    int status;
    const char *node; /* its name, or address while the name is not known; "" : nobody */
    const char *other;
    struct kv_stamp stamp;
};

struct kv_result {
    int status;
    const char *message; /* one sentence for a person; never NULL */
    bool unknown;        /* a write without KV_OK that may have been applied, or may still be */
    const void *value;   /* get; never NULL, also when empty */
    size_t value_len;
    struct kv_stamp stamp;   /* of the row read or written; zero: none */
    uint64_t ttl_ms;         /* get: time left; 0: for ever */
    uint8_t asked;           /* replicas asked by the coordinator whose answer this is */
    uint8_t acked;           /* that answered, or have it on disk */
    uint8_t needed;          /* that had to */
    uint8_t hinted;          /* fallbacks that keep it for a home */
    uint8_t reachable;       /* replicas that could have been asked */
    bool proven;             /* not found: enough homes said so */
    const char *coordinator; /* name of the node whose answer this is, its address if nameless; "": none */
    uint32_t us;             /* from the call to here */
    uint32_t coordinator_us; /* of them, spent in the coordinator */
    uint32_t attempts;       /* nodes it was sent to, retries and hedges included */
    uint32_t trace_count;    /* KV_EXPLAIN */
    const struct kv_trace *trace;
};

typedef void (*kv_result_fn)(const struct kv_result *result, void *arg);

int kv_get(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
           kv_result_fn done, void *arg);
int kv_put(struct kv *kv, const void *key, size_t key_len, const void *value, size_t value_len,
           const struct kv_request *request, kv_result_fn done, void *arg);
int kv_del(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
           kv_result_fn done, void *arg);

/* ---- Scanning ---- */

/* Where a scan is: behind this key in token order (a hash of the key: any order but that of the alphabet).
 * All zero: the beginning. */
struct kv_cursor {
    uint64_t token;
    const void *key;
    size_t key_len;
};

struct kv_scan_entry {
    const void *key;
    size_t key_len;
    struct kv_stamp stamp;
    uint32_t value_len;
    uint64_t ttl_ms; /* 0: for ever */
};

struct kv_scan_page {
    int status;
    const char *message;
    bool done;             /* nothing is behind `next` */
    bool complete;         /* enough homes of every partition took part: no acknowledged key is missing */
    struct kv_cursor next; /* where to go on */
    uint32_t count;        /* may be 0 although more follows */
    const struct kv_scan_entry *entries;
    const char *coordinator;
    uint32_t us;
};

typedef void (*kv_scan_fn)(const struct kv_scan_page *page, void *arg);

/* One page of live keys that begin with `prefix`, at most `limit` (0: as many as a page holds). KV_STRICT:
 * fail rather than be incomplete. */
int kv_scan(struct kv *kv, const void *prefix, size_t prefix_len, struct kv_cursor after, uint32_t limit,
            const struct kv_request *request, kv_scan_fn done, void *arg);

/* ---- The cluster ---- */

enum kv_member_state { KV_ALIVE = 0, KV_SUSPECT = 1, KV_DEAD = 2, KV_LEFT = 3 };

/* What a node is to the ring. Being dead and being out of the ring are different things: only a change that
 * somebody asked for moves data. */
enum kv_ring_state {
    KV_RING_NONE = 0, /* no member (yet) */
    KV_RING_NORMAL = 1,
    KV_RING_JOINING = 2, /* takes over its share */
    KV_RING_LEAVING = 3, /* hands its share over */
    KV_RING_LEFT = 4,
    KV_RING_REMOVED = 5, /* given up: the others take its share over */
};

/* A change of the ring goes STABLE, PENDING, SWITCH, STABLE; while it is PENDING, data moves. */
enum kv_ring_phase { KV_STABLE = 0, KV_PENDING = 1, KV_SWITCH = 2 };

struct kv_member {
    uint32_t id;
    const char *name;
    const char *address;
    const char *zone;    /* "": one of its own */
    uint8_t state;       /* kv_status: enum kv_member_state, as the answering node sees it */
    bool in_ring;        /* a member of the ring */
    uint8_t ring;        /* enum kv_ring_state; kv_ring: as the ring itself has it */
    uint32_t weight;     /* its share relative to the others'; 0: it leaves */
    uint32_t partitions; /* it is a home of */
    double share;        /* of all replicas, 0..1 */
    uint64_t generation; /* kv_status: grows with each start */
    uint32_t rtt_us;     /* kv_status: round trip as the answering node sees it; 0: unknown */
    /* kv_status, while the ring changes: */
    uint64_t epoch;           /* of the ring that it is known to have adopted; 0: not heard of */
    uint32_t partitions_done; /* taken over, of those it gains */
    uint32_t partitions_total;
    uint64_t moved_bytes;
};

struct kv_status {
    int status;
    const char *message;
    const char *cluster;
    const char *seen_by; /* the node that says so */
    uint32_t seen_by_id; /* 0: it is no member (yet) */
    uint64_t epoch;      /* of its ring; 0: none yet */
    uint64_t ring_hash;
    const char *topology; /* "ring", "central" or "directory" */
    const char *hub;      /* the member that is the hub; "": there is none */
    uint8_t phase;        /* enum kv_ring_phase */
    uint32_t queue_count; /* changes asked for and not made yet, as text; the first is under way unless the */
    const char *const *queue; /* phase is KV_STABLE */
    uint32_t count;
    const struct kv_member *members;
    uint32_t us;
};

struct kv_ring {
    int status;
    const char *message;
    uint64_t epoch;
    uint8_t phase; /* enum kv_ring_phase; partitions and shares are those after the change */
    uint64_t ring_hash;
    uint32_t partitions;
    uint32_t replicas; /* N */
    double max_over_mean;
    uint32_t count;
    const struct kv_member *members;
};

/* One copy on its way from member to member: until the change is over both have it. "" where there is none: a
 * copy more, or one less. */
struct kv_move {
    const char *from;
    const char *to;
};

/* A key's place, by the ring alone: whoever is alive. */
struct kv_where {
    int status;
    const char *message;
    uint64_t token;
    uint32_t partition;
    uint32_t home_count;
    const char *const *homes; /* names */
    uint32_t fallback_count;
    const char *const *fallbacks;
    uint32_t move_count; /* while the ring changes: of its copies, those that move */
    const struct kv_move *moves;
};

struct kv_stat {
    const char *name; /* the unit is at the end where it has one */
    uint64_t value;
};

struct kv_stats {
    int status;
    const char *message;
    const char *node; /* whose counters they are */
    uint32_t count;
    const struct kv_stat *stats;
    uint32_t us;
};

typedef void (*kv_status_fn)(const struct kv_status *status, void *arg);
typedef void (*kv_ring_fn)(const struct kv_ring *ring, void *arg);
typedef void (*kv_where_fn)(const struct kv_where *where, void *arg);
typedef void (*kv_stats_fn)(const struct kv_stats *stats, void *arg);

/* Of `request` only timeout_ms and via count. kv_status and kv_stats ask any node unless told which. */
int kv_status(struct kv *kv, const struct kv_request *request, kv_status_fn done, void *arg);
int kv_ring(struct kv *kv, const struct kv_request *request, kv_ring_fn done, void *arg);
int kv_where(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
             kv_where_fn done, void *arg);
int kv_stats(struct kv *kv, const struct kv_request *request, kv_stats_fn done, void *arg);

/* ---- Changing the ring ---- */

enum kv_change_kind {
    KV_CHANGE_JOIN = 1,   /* to plan only: a node joins by itself (kvd --join) */
    KV_CHANGE_LEAVE = 2,  /* a living member hands its share over and leaves */
    KV_CHANGE_REMOVE = 3, /* a dead member is given up: the others take its share over from each other */
    KV_CHANGE_WEIGHT = 4, /* `weight` */
    KV_CHANGE_ZONE = 5,   /* `zone` */
};

struct kv_change {
    uint8_t kind;     /* enum kv_change_kind */
    const char *name; /* the member */
    uint32_t weight;  /* join, weight: 1..16 */
    const char *zone; /* join, zone; NULL or "": one of its own */
    bool plan;        /* change nothing, tell what would move */
};

struct kv_changed {
    /* KV_OK: in the ring's queue, or in force already. KV_E_INVALID, KV_E_NOT_PERMITTED (a hub does not go),
     * KV_E_DUPLICATE_ID (it is a member, and alive): `message` says why not. */
    int status;
    const char *message;
    const char *node; /* that answered */
    uint64_t epoch;   /* of the ring that has it; of a plan: that it was made from */
    /* A plan: replicas of partitions that would move, the least possible, all there are; and what the busiest
     * member would have, relative to its fair share. */
    uint32_t moved, least, total;
    double max_over_mean;
    uint32_t us;
};

typedef void (*kv_change_fn)(const struct kv_changed *changed, void *arg);

/* Asks for a change of the ring. It is answered when a majority of the members, or the hub where there is
 * one, has put it into the queue, where it outlives any node; that it is made shows kv_status. Asking twice
 * is asking once, so it is asked again, through another node, when one is lost. Of `request` only timeout_ms
 * (0: 10 s) and via count. */
int kv_change(struct kv *kv, const struct kv_change *change, const struct kv_request *request,
              kv_change_fn done, void *arg);

struct kv_repair_begun {
    int status; /* KV_E_UNAVAILABLE: the node is no member, or reaches no other */
    const char *message;
    const char *node;    /* that repairs */
    uint32_t partitions; /* of it, that are compared */
    uint32_t peers;      /* with so many others */
    uint32_t us;
};

typedef void (*kv_repair_fn)(const struct kv_repair_begun *begun, void *arg);

/* Orders one node (`request->via`, or any) to compare everything it holds with all other homes at once, and
 * not to trust what it remembers of its rows: for a store that was damaged, or that is not trusted. Without
 * such an order nodes compare all the time, within ten minutes (kvd --repair-interval), but by what was
 * written. It is answered when it has begun; how much is left says the counter entropy_repair_left
 * (kv_stats), and entropy_rows_young how often a row was kept back, being younger than two seconds or stamped
 * ahead of the node's clock. */
int kv_repair(struct kv *kv, const struct kv_request *request, kv_repair_fn done, void *arg);

/* ---- Faults: for nodes started with --lab ---- */
enum kv_fault_kind {
    KV_FAULT_LIST = 0,      /* change nothing, tell the rules in force */
    KV_FAULT_DROP = 1,      /* `percent` of what arrives from `from` is lost */
    KV_FAULT_DELAY = 2,     /* ... comes `amount` ms later */
    KV_FAULT_DUPLICATE = 3, /* ... comes twice */
    KV_FAULT_DISK = 4,      /* every write takes `amount` ms longer */
    KV_FAULT_SKEW = 5,      /* the wall clock is off by `amount` ms, which may be negative */
    KV_FAULT_CLEAR = 6,     /* forget all rules, or those of `from` when it is not 0 */
};

/* One rule of one node, applied where a message arrives. Members are given by id (kv_ring tells them); 0:
 * any. `to` is the node itself, or 0. */
struct kv_fault {
    uint8_t kind; /* enum kv_fault_kind */
    uint32_t from;
    uint32_t to;
    uint32_t percent; /* 0..100 */
    int32_t amount;
};

struct kv_faults {
    int status;
    const char *message;
    const char *node;
    uint32_t count;
    const struct kv_fault *rules; /* in force now */
};

typedef void (*kv_fault_fn)(const struct kv_faults *faults, void *arg);

/* Gives one order to one node (`request->via`, or any). KV_E_NOT_PERMITTED: it was not started with --lab. */
int kv_fault(struct kv *kv, const struct kv_fault *fault, const struct kv_request *request, kv_fault_fn done,
             void *arg);

/* The same on the client's side: from now on only these nodes ("HOST:PORT,...", as the ring names them) are
 * reached; what goes to others, and comes from them, is lost without a word, as over a cut line. NULL: all
 * are again. KV_E_INVALID, KV_E_NO_MEMORY: nothing has changed. */
int kv_reach(struct kv *kv, const char *nodes);

/* ---- Blocking ---- */

/* A handle with a loop of its own, for programs that have none. Every call above works on it too; their
 * callbacks are called by kv_wait. */
int kv_connect(const struct kv_options *options, struct kv **out);

/* Runs the handle's own loop until every request made so far, and those that callbacks make, are answered. */
void kv_wait(struct kv *kv);

/* Ask and wait. They return `result->status`; a call refused at once says so there too. What `result` points
 * to is valid until the next call with this handle. */
int kv_get_wait(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
                struct kv_result *result);
int kv_put_wait(struct kv *kv, const void *key, size_t key_len, const void *value, size_t value_len,
                const struct kv_request *request, struct kv_result *result);
int kv_del_wait(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
                struct kv_result *result);

/* Closes a handle of kv_connect and waits until it is gone. */
void kv_disconnect(struct kv *kv);

/* ---- What the handle knows ---- */

uint64_t kv_origin(const struct kv *kv);  /* of its stamps: random, its own */
uint32_t kv_pending(const struct kv *kv); /* requests not answered yet */

#ifdef __cplusplus
}
#endif

#endif
