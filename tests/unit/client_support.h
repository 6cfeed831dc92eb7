/* A cluster of fake nodes on a virtual clock for the tests of client/: they share one table of rows, and each
 * can be away, stopped, slow, or made to say anything. Node i (from 1) is "nI", member id I, at
 * 127.0.0.1:7600+I. */
#ifndef TESTS_UNIT_CLIENT_SUPPORT_H
#define TESTS_UNIT_CLIENT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/client.h"
#include "client/state.h"

#define NODES_MAX      9u
#define SEEN_MAX       4096u
#define KEYS_MAX       4096u
#define MS             UINT64_C(1000)
#define SECOND         UINT64_C(1000000)
#define FAKE_EPOCH     7u
#define FAKE_WALL_MS   UINT64_C(1700000000000)
#define ANSWER_NOTHING 1 /* a `say` that swallows the question */

enum node_mode {
    NODE_UP,
    NODE_AWAY,    /* connections are refused, those there are were lost */
    NODE_STOPPED, /* SIGSTOP: connections are made, nothing is said until it goes on */
    NODE_HOLE,    /* packets vanish: not even connections are made */
};

/* A request that a node was sent; the first SEEN_MAX are kept. */
struct seen {
    uint32_t node;
    uint8_t op;
    uint8_t flags, r, w;
    uint32_t timeout_us;
    uint64_t at_us;
    struct stamp stamp;
    bool applied; /* a put that took effect */
};

struct fake_node {
    enum node_mode mode;
    uint64_t delay_us; /* of each answer */
    int64_t skew_ms;   /* of its wall clock */
    uint64_t hlc;
    int say;            /* the status of its answers; 0: what is right */
    uint32_t say_times; /* so often, then 0 */
    uint8_t say_asked;  /* replicas asked, when it says so */
    bool say_applied;   /* ... and a put takes effect all the same */
    bool no_ring;
    const char *cluster;
    uint32_t value_max_bytes;
    uint32_t connections; /* made so far */
    uint64_t conn;        /* serial of the present one; 0: none */
    uint32_t slot;        /* the client's name for it */
    struct list held;     /* what came while it was stopped */
    uint32_t requests;
    uint32_t others;          /* scans, status, stats, faults, changes */
    struct msg_change change; /* the last one */
};

struct world {
    struct client *client;
    uint64_t now_us;
    uint32_t unchecked; /* steps without client_check */
    uint32_t count;
    enum topology topology; /* with a hub: */
    uint32_t hub;
    struct fake_node nodes[NODES_MAX + 1];
    struct heap events;
    uint64_t next_conn;
    struct ring_value ring;
    struct blob *ring_blob;
    uint32_t rows;
    struct bytes keys[KEYS_MAX];
    struct row row[KEYS_MAX];
    uint32_t seen_count;
    struct seen seen[SEEN_MAX];
    uint32_t done_count;
    uint32_t statuses[64]; /* how many requests ended so, by -status */
    uint64_t slowest_us;
    char log[4096];
};

/* What became of one request, copied. */
struct outcome {
    bool over;
    int status;
    bool unknown, proven;
    uint8_t asked, acked, needed;
    char value[64];
    size_t value_len;
    struct kv_stamp stamp;
    uint64_t ttl_ms;
    uint32_t attempts;
    uint32_t us;
    char coordinator[40];
    char message[400];
};

/* `count` nodes, all in the ring; the client knows `seeds` of them (0: all). */
void world_init(struct world *w, uint32_t count, uint32_t seeds, const struct kv_options *options);
void world_deinit(struct world *w);

/* Starts one; tell() is what world_* does with finished requests. */
int world_put(struct world *w, const char *key, const char *value, const struct kv_request *q,
              struct outcome *o);
int world_get(struct world *w, const char *key, const struct kv_request *q, struct outcome *o);
int world_order(struct world *w, const struct client_order *order);

/* Until the outcome is there; asserts that it comes. */
void world_finish(struct world *w, const struct outcome *o);
void world_run(struct world *w, uint64_t for_us);
/* Until nothing is pending. */
void world_drain(struct world *w);

/* kv_close. */
void world_close(struct world *w);

void world_mode(struct world *w, uint32_t node, enum node_mode mode);

/* The node breaks its connection. */
void world_break(struct world *w, uint32_t node);

/* The nodes have another ring: w->ring as it is now, with the next epoch. */
void world_ring(struct world *w);

/* Homes of a key, in order. */
uint32_t world_homes(struct world *w, const char *key, uint32_t out[PREFERENCE_MAX]);

/* A put and a get of some key, so that the ring and connections are there. */
void world_warm(struct world *w);

/* Connects to all nodes. */
void world_warm_all(struct world *w);

const struct row *world_row(const struct world *w, const char *key);

void on_outcome(const struct kv_result *result, void *arg);

#endif
