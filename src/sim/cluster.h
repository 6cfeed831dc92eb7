/* A simulated cluster: real nodes, in one process, on one virtual clock, in a network and on disks that do
 * what the seed says. Every message travels as bytes through wire/. The same seed gives the same run, event
 * for event (sim_trace).
 *
 * Nodes are 1..count, clients 1.. as made. The world moves only inside sim_run* and sim_wait. Running out of
 * memory ends the program: a simulation that goes on without it proves nothing. */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "base/buf.h"
#include "base/prng.h"
#include "node/node.h"
#include "sim/store.h"
#include "sim/tally.h"

#define SIM_NODES_MAX   128u
#define SIM_MEMBERS_MAX 192u /* ids that are given to members, those long gone included */
#define SIM_CLIENTS_MAX 64u
#define SIM_HUB         1u                      /* the first founder by name, where the topology has one */
#define SIM_WALL_MS     UINT64_C(1700000000000) /* wall clocks at the beginning, before their skew */

#define SIM_REPAIR_ROUND_US UINT64_C(20000000) /* anti-entropy: all partitions in this time */
#define SIM_PURGE_US        UINT64_C(5000000)  /* from a delete to the first look for it */

/* When a write is on disk (kvd --sync): before it is acknowledged; at least every SIM_SYNC_US; when the
 * system pleases. The last two lose acknowledged writes to a power cut. */
enum sim_sync { SIM_SYNC_ALWAYS, SIM_SYNC_INTERVAL, SIM_SYNC_NONE };
#define SIM_SYNC_US      UINT64_C(100000)
#define SIM_WRITEBACK_US UINT64_C(5000000)

/* What work costs (sim/service.h). All 0: nothing, and time passes only in the network and on the disk. */
struct sim_service {
    uint32_t message_ns; /* of the node's loop: each message that it is sent, or sends */
    uint32_t socket_ns;  /* … each socket that is read or written in a turn of it, whatever is there */
    uint32_t read_ns;    /* … each row read, from the cache */
    uint32_t row_ns;     /* of the storage thread: a row written */
    uint32_t batch_ns;   /* … and a batch of them */
    uint32_t sync_us;    /* the disk's, for each batch; no processor is busy with it */
    uint32_t client_ns;  /* of a client's thread: an operation */
    /* All nodes and clients are on one machine with so many cores, the clients in one process. 0: each node
     * and each client has a core of its own. */
    uint32_t cores;
};

struct sim_config {
    uint64_t seed;
    uint32_t nodes;
    uint32_t founders;   /* the first of them; 0: all. The others join */
    uint32_t replicas;   /* 0: REPLICAS_DEFAULT */
    uint32_t partitions; /* 0: 256 */
    /* A message takes this long, uniformly; 0, 0: 100 to 500 µs. So does a storage operation. */
    uint64_t delay_min_us, delay_max_us;
    uint64_t disk_min_us, disk_max_us;
    enum sim_sync sync;
    enum topology topology;   /* with a hub it is node SIM_HUB */
    uint64_t purge_us;        /* from a delete to the first look for it; 0: SIM_PURGE_US */
    uint32_t row_age_max_ms;  /* older rows are refused, and a purge waits for as long; 0: ROW_AGE_MAX_MS */
    uint64_t hints_max_bytes; /* 0: HINTS_MAX_BYTES */
    uint64_t repair_round_us; /* of anti-entropy. 0: SIM_REPAIR_ROUND_US; UINT64_MAX: only when asked */
    /* What happens, as lines for people: what nodes log, and sim_say. NULL: nobody is told. */
    void (*log)(uint32_t node, uint64_t now_us, const char *text);
    struct sim_service service;
    /* The invariants of nodes and of clients are looked at once in so many steps. 0: once in SIM_CHECK_STEPS,
     * and in every one. */
    uint32_t check_steps;
    sim_store_lost_fn lost; /* told of each row that a disk loses; NULL: nobody is */
    void *lost_arg;
    struct witness *witness; /* sees what stores take; NULL: nobody does */
    void (*turns)(
        void *arg); /* called when another ring becomes the newest, before and after; NULL: is not */
    void *turns_arg;
};

struct sim;

struct sim *sim_create(const struct sim_config *config);
void sim_destroy(struct sim *s);
uint64_t sim_now_us(const struct sim *s);
struct prng *sim_prng(struct sim *s);

/* A hash over all that happened. */
uint64_t sim_trace(const struct sim *s);

/* How often what has happened. Of the nodes' own counters those of ended lives; sim_look adds the others. */
struct tally *sim_tally(struct sim *s);

/* A line in the story that `log` is told; `node` 0: nobody's. */
void sim_say(struct sim *s, uint32_t node, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- time ---- */

void sim_run(struct sim *s, uint64_t us);

/* Until `done` says so, looked at after every event. False: it did not within `limit_us`. */
bool sim_run_until(struct sim *s, bool (*done)(struct sim *s, void *arg), void *arg, uint64_t limit_us);

/* ---- nodes ---- */

/* How a node is started; set before sim_start, kept over restarts. */
struct sim_setup {
    char name[NAME_MAX_BYTES + 1];
    char cluster[NAME_MAX_BYTES + 1];
    char zone[NAME_MAX_BYTES + 1];
    struct addr addr;
    uint32_t weight;
    uint32_t partitions;
    uint32_t replicas;
    /* May be changed while it runs. */
    int64_t skew_ms;   /* of its wall clock */
    int64_t drift_ppm; /* it also runs this much too fast, since drift_us */
    uint64_t drift_us;
    uint64_t disk_extra_us; /* a storage operation takes up to this much longer */
    bool disk_refuses;      /* the store does not open */
};
struct sim_setup *sim_setup(struct sim *s, uint32_t node);

/* KV_E_IO: the store does not open, and the node is not running. */
int sim_start(struct sim *s, uint32_t node);
void sim_kill(struct sim *s, uint32_t node); /* SIGKILL: of what was not finished on disk, the seed decides */
void sim_power_cut(struct sim *s, uint32_t node); /* and what was not synced is lost, the newest first */
/* Soon: while its next write is on its way to the disk, or after `us` without one. */
void sim_doom(struct sim *s, uint32_t node, bool power, uint64_t us);
void sim_spare(struct sim *s, uint32_t node); /* it lives on after all */
void sim_stop(struct sim *s, uint32_t node);  /* SIGTERM */
void sim_pause(struct sim *s, uint32_t node); /* SIGSTOP: what comes meanwhile waits */
void sim_resume(struct sim *s, uint32_t node);
bool sim_paused(const struct sim *s, uint32_t node);
void sim_wipe(struct sim *s, uint32_t node); /* a blank store; the node is not running */
/* A crash, after which the disk holds an older copy of itself, which the simulation takes over. */
void sim_put_back(struct sim *s, uint32_t node, struct sim_store *backup);
/* It left, since its store is older than it was, has missed too much, or came by a change that was undone: it
 * is to start with a blank one. */
bool sim_store_refused(const struct sim *s, uint32_t node);
void sim_copy_store(struct sim *s, uint32_t from, uint32_t to); /* id and ring of another's: cp -a */
struct node *sim_node(struct sim *s, uint32_t node);            /* NULL: not running */
struct sim_store *sim_store(struct sim *s, uint32_t node);

/* Whether a node left by itself, and with which status. */
bool sim_exited(const struct sim *s, uint32_t node, int *status);

/* The first node that left with another status than 0, and why; 0: none. */
uint32_t sim_failed(const struct sim *s, const char **why);

/* The first node whose clock, as it tells others, went back within a life or over a restart; 0: none. */
uint32_t sim_backwards(const struct sim *s);

/* The first node that has answered for its rows under another ring than it was asked under; 0: none. */
uint32_t sim_crossed(const struct sim *s);

/* The first node that went back to an older belief of a member; 0: none. */
uint32_t sim_gullible(const struct sim *s);

/* How often a node has logged a line that contains `text`. */
uint32_t sim_logged(const struct sim *s, uint32_t node, const char *text);

/* What a node has done in all its lives; 0: what the clients have sent. */
struct sim_usage {
    uint64_t messages, message_bytes;   /* sent on streams */
    uint64_t datagrams, datagram_bytes; /* sent */
    uint64_t core_us; /* of both its threads; this and the following only with service times */
    uint64_t disk_us; /* in syncs */
    uint64_t syncs, rows;
};
struct sim_usage sim_usage(const struct sim *s, uint32_t node);

/* ---- the network ---- */

/* One direction between two nodes; node 0 is all the clients. May be changed at any time. */
struct sim_link {
    bool cut;             /* datagrams are lost and streams held back; a stream held for long breaks */
    bool clogged;         /* streams are held back, datagrams pass */
    uint8_t loss_percent; /* of datagrams */
    uint8_t duplicate_percent;
    uint8_t reorder_percent;             /* of datagrams: 50 ms late at most */
    uint8_t tail_percent;                /* of messages: up to a second late, few very late (Pareto) */
    uint64_t delay_min_us, delay_max_us; /* 0, 0: as configured */
};
struct sim_link *sim_link(struct sim *s, uint32_t from, uint32_t to);

void sim_cut(struct sim *s, uint32_t from, uint32_t to, bool cut);
void sim_heal(struct sim *s);                   /* all links as in the beginning */
void sim_loss(struct sim *s, uint32_t percent); /* of datagrams, everywhere */

/* ---- clients: as libkv, they learn the cluster's clock from the nodes and mint their stamps ---- */

struct sim_options {
    bool strict;
    bool local;
    bool there; /* at that node, though libkv would ask the hub */
    uint8_t r, w;
    uint32_t ttl_ms;
    uint32_t timeout_ms;   /* 0: 2000 */
    struct stamp stamp;    /* put: this one instead of a new one */
    struct sim_call *same; /* put: with the stamp of that one: a retry */
};

struct sim_reply {
    bool done;
    int status; /* KV_E_NO_NODE: not running; KV_E_CLOSED: the connection broke */
    uint8_t asked, acked, needed, hinted, proven;
    uint32_t coordinator;
    struct stamp stamp; /* of the put; of the row that was got */
    struct buf value;
    uint64_t began_us, ended_us;
};

struct sim_call; /* belongs to the simulation */

uint32_t sim_client(struct sim *s);
struct sim_call *sim_put(struct sim *s, uint32_t client, uint32_t node, const char *key, const char *value,
                         const struct sim_options *options);
struct sim_call *sim_delete(struct sim *s, uint32_t client, uint32_t node, const char *key,
                            const struct sim_options *options);
struct sim_call *sim_get(struct sim *s, uint32_t client, uint32_t node, const char *key,
                         const struct sim_options *options);

/* One page of keys, joined by '\n' in `value`; `cursor` (may be NULL: from the beginning) is the last key
 * seen. */
struct sim_call *sim_scan(struct sim *s, uint32_t client, uint32_t node, const char *cursor, uint32_t limit);

/* Has a node compare what it has with the other homes; done when it has begun. */
struct sim_call *sim_repair(struct sim *s, uint32_t client, uint32_t node);

/* Asks for a change of the ring; `value` is what is said about it. */
struct sim_call *sim_change(struct sim *s, uint32_t client, uint32_t node, const struct ring_change *change,
                            const struct sim_options *options);

const struct sim_reply *sim_reply(const struct sim_call *call);
const struct sim_reply *sim_wait(struct sim *s, struct sim_call *call);

/* The hlc that a node last said to a client. */
uint64_t sim_heard_hlc(const struct sim *s, uint32_t client, uint32_t node);

#endif
