/* A node: every pure part composed behind one function (DESIGN section 2). The same code runs in kvd, under
 * libuv and RocksDB, and in the simulator.
 *
 * One event a call; the outbox is empty on entry; what the effects cause comes back as later events. Messages
 * that a part sends to this node itself are looped back inside the step and never reach the shell.
 *
 * The parts do not know each other; node/ carries what one says to another. The list of its files is in
 * internal.h; ring, swim, hub, paxos, coord and repair are in their folders. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "model/outbox.h"
#include "ring/ring.h"
#include "swim/swim.h"

/* Names of the values kept in the store's `meta`. */
#define META_STORE_ID   "store_id"   /* 8 bytes, random, written when the store is created (shell) */
#define META_GENERATION "generation" /* 8 bytes, +1 at each start, synced before the first event (shell) */
#define META_CLUSTER    "cluster"    /* name of the cluster this store belongs to (shell checks) */
#define META_FLOOR      "hlc_floor"  /* 8 bytes (clock.h) */
#define META_RING       "ring"       /* ring_value encoding of the newest adopted epoch */
#define META_ACCEPTED   "accepted"   /* founders: the epoch-1 value accepted (form.c) */
#define META_TRANSFER   "transfer"   /* how far partitions are taken over (repair/transfer.h) */
#define META_MEMBER     "member"     /* 8 bytes: the id as which this store was taken into a ring (adopt.c) */
#define META_PAXOS      "paxos"      /* what this node has promised and accepted (paxos.h) */
#define META_STORES     "stores"     /* how far the peers' stores were (stores.c) */

struct node_founder {
    char name[NAME_MAX_BYTES + 1];
    struct addr addr;
};

struct node_config {
    const char *name;
    const char *cluster;
    const char *zone; /* "" : a zone of its own */
    uint32_t weight;
    struct addr addr;  /* where this node can be reached */
    uint32_t replicas; /* N and Q: only for founding; afterwards the ring says */
    uint32_t partitions;
    uint32_t value_max_bytes;
    uint64_t transfer_rate_bytes; /* a second, taken over from others or read for them; 0: the default */
    uint64_t purge_interval_us;   /* from a delete to the look for it; 0: PURGE_INTERVAL_US */
    /* A row that was read, or whose request began, longer ago than this is refused, and a purge waits for as
     * long: the same on all nodes. 0: ROW_AGE_MAX_MS */
    uint32_t row_age_max_ms;
    uint64_t repair_round_us; /* homes compare everything within this; 0: the default; UINT64_MAX: never */
    uint64_t hints_max_bytes; /* of rows kept for others; 0: HINTS_MAX_BYTES */
    uint64_t seed;
    const enum topology *topology; /* NULL: as the store's ring says; without one, a ring */
    const char
        *hub; /* where the topology has one; NULL or "": as the ring says, or the first founder by name */
    struct swim_config swim;             /* self, generation, addr, seed are filled in by the node */
    const struct node_founder *founders; /* --initial, any order; the node sorts by name */
    uint32_t founder_count;
    const struct addr *join; /* --join: members that are asked to let this node into their ring */
    uint32_t join_count;
    /* What the store remembers. */
    uint64_t store_id;
    uint64_t generation;
    uint64_t sequence; /* of the store, all of it durable */
    uint64_t hlc_floor;
    struct bytes ring;     /* META_RING; empty: none */
    struct bytes accepted; /* META_ACCEPTED; empty: none */
    struct bytes transfer; /* META_TRANSFER; empty: none */
    uint64_t member;       /* META_MEMBER; 0: none */
    struct bytes paxos;    /* META_PAXOS; empty: none */
    struct bytes stores;   /* META_STORES; empty: none */
};

struct node;

/* Copies what it needs. KV_E_INVALID (with a sentence in `error`): this node is not among the founders, names
 * twice, ...; KV_E_CORRUPT: META_RING is no ring; KV_E_NO_MEMORY. */
int node_create(const struct node_config *config, struct node **out, char error[256]);
void node_destroy(struct node *n);

/* Notes found in the store at start; before EV_START. */
int node_hint_total(struct node *n, uint32_t member, uint64_t count, uint64_t bytes);

/* One turn. `in` is borrowed for this call; the effects in `out` stay valid until the next call. */
void node_step(struct node *n, struct now now, const struct event *in, struct outbox *out);

/* When it must be stepped with EV_TICK again (monotonic); UINT64_MAX: never. */
uint64_t node_deadline_us(const struct node *n);

/* For the shell: what goes into every header, and limits that depend on the ring. */
uint32_t node_self(const struct node *n); /* member id; 0 while it is none */
uint64_t node_cluster_hash(const struct node *n);
const struct ring *node_ring(const struct node *n); /* NULL: none yet */
bool node_serving(const struct node *n);            /* a member of a formed ring */

/* All parts' invariants. Asserts; the simulator calls it after every step. */
void node_check(const struct node *n);

#endif
