/* What the files of the simulation share.
 *     world.c    time, events, the trace          net.c     links, connections, datagrams
 *     process.c  nodes as processes               disk.c    … and what becomes of their disks
 *     service.c  what work costs
 *     client.c   plain clients, for tests
 *     kv.c       clients made of libkv's core     rings.c   which rings there were, who is who */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "client/clock.h"
#include "kv_error.h"
#include "sim/cluster.h"
#include "sim/look.h"
#include "sim/service.h"
#include "wire/wire.h"

#define SIM_BACKOFF_MIN_US UINT64_C(50000)
#define SIM_BACKOFF_MAX_US UINT64_C(1000000)
#define SIM_DIAL_LIMIT_US  UINT64_C(1000000) /* an attempt over a cut link fails after this */
#define SIM_HOLD_LIMIT_US  UINT64_C(8000000) /* a stream held back longer breaks */
#define SIM_HOLD_LOOK_US   UINT64_C(100000)
#define SIM_EPOCHS_MAX     4096u
#define SIM_CHECK_STEPS \
    16u /* a node's invariants are looked at once in so many steps: all of them took a third of the time */

void *sim_must(void *p);
uint64_t sim_between(struct sim *s, uint64_t min, uint64_t max);
void sim_schedule(struct sim *s, struct sim_timer *t, uint64_t at_us);
void sim_cancel(struct sim *s, struct sim_timer *t);
void sim_note(struct sim *s, uint64_t a, uint64_t b); /* into the trace */

/* ---- net ---- */

/* One end of a connection: a process, or a client. */
struct end {
    uint32_t node;   /* 0: a client's */
    uint64_t serial; /* of the process */
    uint32_t client;
    struct sim_kv *kv; /* libkv's; NULL: a caller's */
    uint32_t member;   /* dialler only: how its core calls the other end */
    bool open;
    uint64_t read_turn, written_turn; /* of its thread, the last in which it was; one more than that */
    uint64_t last_us;                 /* the last packet towards this end arrives then: they stay in order */
    struct list held;                 /* packets towards this end that a cut link keeps back */
    uint64_t held_since_us;
};

struct sim_conn {
    struct list link;
    uint64_t id;
    struct end ends[2];  /* dialler, acceptor */
    struct map asked[2]; /* of each end: the epochs that it asks for rows under, by id of the request */
};

struct net {
    struct sim_link *links;                   /* from x to, 0: clients; those that there are */
    uint64_t *arrives_us;                     /* of each link: the latest datagram under way */
    struct sim_usage sent[SIM_NODES_MAX + 1]; /* by each node in all its lives */
    uint32_t loss_percent;
    struct list conns;
    struct map by_id;
    uint64_t next_conn;
};

void net_init(struct sim *s);
void net_deinit(struct sim *s);
struct sim_conn *net_connect(struct sim *s, struct end dialler, uint32_t to);
struct sim_conn *net_find(struct sim *s, uint64_t id);
void net_send(struct sim *s, struct sim_conn *c, int from, const struct message *m);
void net_close(struct sim *s, struct sim_conn *c, int from);
void net_datagram(struct sim *s, uint32_t from, const struct addr *to, const struct message *m);
void net_process_gone(struct sim *s, uint32_t node, uint64_t serial);
bool net_is_cut(const struct sim *s, uint32_t from, uint32_t to);
bool net_stalls(const struct sim *s, uint32_t from, uint32_t to); /* streams: cut or clogged */

/* ---- process ---- */

struct dial {
    bool wanted;
    struct addr addr;
    struct sim_conn *conn;
    uint64_t backoff_us;
    uint64_t attempt; /* of several scheduled attempts only the latest counts */
};

struct process {
    uint32_t index;
    struct sim_setup setup;
    struct sim_store *store;
    struct node *node; /* NULL: not running */
    uint64_t serial;   /* of the life */
    struct thread loop;
    struct disk disk;
    struct core_pool cores; /* of its own machine */
    uint64_t steps;         /* of all lives */
    struct sim_timer tick;
    struct sim_timer doom; /* it dies then, or earlier: in the middle of its next write */
    bool doom_is_power;
    uint64_t last_write_us;
    uint64_t synced_us; /* the store was last synced, unless it is always */
    uint64_t said_hlc;  /* the largest, in all lives of its store */
    struct belief_seen {
        uint64_t generation;
        uint32_t incarnation;
    } believed[SIM_MEMBERS_MAX + 1]; /* of each member, in this life */
    uint64_t epoch_seen;             /* of its ring, in this life */
    uint64_t epoch_believed;         /* when `believed` was last looked at */
    bool paused;
    struct list backlog;                    /* timers that fired meanwhile, in order */
    struct dial dials[SIM_MEMBERS_MAX + 1]; /* by member id */
    bool put_back;                          /* its store is an older copy */
    bool exiting;
    bool exited;
    int exit_status;
    struct buf log;
};

void process_init(struct sim *s, uint32_t index);
void process_deinit(struct sim *s, struct process *p);
void process_new_store(struct sim *s, struct process *p);
void process_step(struct sim *s, struct process *p, const struct event *e);
struct process *process_at(struct sim *s, const struct addr *addr);
void process_conn_lost(struct sim *s, struct sim_conn *c, int end);

/* Whether the process is paused, or busy with other things before this one, which costs `ns`; the timer then
 * fires again when its turn comes. */
bool process_defers(struct sim *s, uint32_t node, struct sim_timer *t, uint64_t ns);

/* ---- client ---- */

struct sim_call {
    struct list link;
    uint64_t id;
    uint32_t client;
    uint32_t node;
    bool sent;
    struct message request; /* key and row are owned */
    struct buf key;
    struct buf value;
    struct sim_options options;
    struct sim_reply reply;
};

struct caller {
    struct client_clock clock;
    uint64_t origin;
    struct sim_conn *conns[SIM_NODES_MAX + 1];
    bool welcomed[SIM_NODES_MAX + 1];
    uint64_t heard[SIM_NODES_MAX + 1];
    uint64_t cluster[SIM_NODES_MAX + 1];
};

void caller_message(struct sim *s, struct sim_conn *c, struct message *m);
void caller_conn_lost(struct sim *s, struct sim_conn *c);
void callers_deinit(struct sim *s);

/* ---- kv ---- */

bool sim_kv_defers(struct sim *s, struct sim_kv *kv, struct sim_timer *t);
void sim_kv_message(struct sim *s, struct sim_conn *c, struct message *m);
void sim_kv_conn_lost(struct sim *s, struct sim_conn *c);

struct sim {
    struct sim_config config;
    uint64_t now_us;
    struct heap events;
    struct prng prng;
    uint64_t trace;
    struct net net;
    struct process processes[SIM_NODES_MAX + 1];
    uint64_t next_serial;
    struct tally tally;
    uint32_t failed; /* the first node that left with an error */
    char failure[200];
    uint32_t backwards;               /* a node whose word of the time went back; 0: none */
    uint32_t crossed;                 /* a node that answered under another ring than it was asked; 0: none */
    uint32_t gullible;                /* a node that went back to an older belief of a member; 0: none */
    int64_t skew_min_ms, skew_max_ms; /* that any wall clock ever had */
    struct {
        struct ring *newest;
        struct sim_timer *alarm;         /* goes off soon after there is a new one; NULL: none */
        uint64_t hashes[SIM_EPOCHS_MAX]; /* by epoch; 0: not seen */
        uint64_t twice;                  /* an epoch of which two values were seen; 0: none */
    } rings;
    struct node_founder founders[SIM_NODES_MAX];
    struct addr join[SIM_NODES_MAX]; /* where they live */
    struct caller clients[SIM_CLIENTS_MAX + 1];
    uint32_t client_count;
    struct list calls;
    uint64_t next_call;
    struct core_pool cores;      /* of the one machine, if there is only one */
    struct thread client_thread; /* … on which all clients are one process */
    struct outbox out;
    bool stepping;
    struct arena arena; /* of the event that is being delivered */
};

#endif
