/* What the files of this folder share. One file, one concept; node.c dispatches the events, loops back what a
 * part says to this node itself, and puts cluster, epoch and clock into whatever leaves.
 *
 *     node.c      create, step, deadline, check          message.c  who may say what, and to which part
 *     conns.c     connections accepted: HELLO, refusals  peers.c    connections dialled, reachability
 *     form.c      founders agree on epoch 1              adopt.c    the ring: fetched, durable, in force
 *     change.c    its next epoch is driven               ask.c      ... and asked for
 *     join.c      how this node becomes a member         stores.c   peers' stores, and how far they were
 *     move.c      partitions that move                   heal.c     homes that compare what they have
 *     replica.c   this node's own rows                   front.c    a client's requests, checked
 *     hlc.c       the clock, what it says, its floor     status.c   STATUS and STATS
 *     membership.c  who is alive, by SWIM or the hub     centre.c   what only the hub does
 *
 * Every function here runs inside node_step: `n->now` and `n->out` are that step's. */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include "base/assert.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/rate.h"
#include "coord/coord.h"
#include "coord/scan.h"
#include "hub/hub.h"
#include "kv_error.h"
#include "model/id.h"
#include "node/node.h"
#include "repair/drop.h"
#include "repair/entropy.h"
#include "repair/hints.h"
#include "repair/purge.h"
#include "repair/transfer.h"
#include "paxos/paxos.h"
#include "repair/hints.h"
#include "ring/change.h"

#define FOUND_RETRY_US \
    UINT64_C(200000) /* FOUND is said again this often, with jitter, until a ring is there */
#define RING_FETCH_US    UINT64_C(200000)   /* a newer ring is asked for at most this often */
#define REFUSED_RETRY_US UINT64_C(10000000) /* who refused us is dialled again after this */
#define AGAIN_RETRY_US   UINT64_C(1000000)  /* ... or after this, when it said so */
#define TWIN_WATCH_US \
    UINT64_C(3000000) /* a second process of a member is only believed to be one after this */
#define META_RETRY_US       UINT64_C(500000)   /* a disk that was full is tried again */
#define STOP_GRACE_US       UINT64_C(5000000)  /* requests in flight at EV_STOP get this long */
#define CLOCK_WAIT_US       UINT64_C(2000000)  /* a life waits this long to hear its peers' wall clocks */
#define CLOCK_ASK_US        UINT64_C(1000000)  /* one peer is asked what time it is there */
#define CLOCK_ROUND_TRIP_US UINT64_C(1000000)  /* an answer that took longer does not say what time it is */
#define CLOCK_LOOK_US       UINT64_C(10000000) /* how often we compare our clock with our peers' */
#define REPLICA_OPS_MAX     32768u             /* storage operations in flight; a power of two */
#define NEWCOMERS_MAX       16u                /* strangers with our cluster's name that `status` shows */
#define NEWCOMER_KEEP_US    UINT64_C(30000000)

/* The serials of this folder's own storage operations (ID_NODE). */
enum node_op { OP_FLOOR = 1, OP_RING, OP_ACCEPTED, OP_MEMBER, OP_STORES };

/* One line a minute per subject. */
struct log_limit {
    uint64_t last_us;
    uint64_t suppressed;
};

/* ---- message.c ---- */

void message_inbound(struct node *n, struct endpoint from, struct message *m); /* of an accepted connection */
void message_dialled(struct node *n, struct endpoint from, struct message *m); /* of one to a member */
void message_datagram(struct node *n, const struct addr *from, struct message *m);
void message_own(struct node *n, struct message *m); /* from this node to itself */

/* ---- peers.c: one per member but this node (before there is a ring: per founder), in order of id ---- */

struct peer {
    uint32_t id;
    struct addr addr;       /* where it is dialled */
    bool connected;         /* the dialled connection is there */
    bool up;                /* ... and it answered our HELLO as the member it should be */
    bool reachable;         /* up, and not seen dead: what coord, scans and hints were told */
    bool offset_known;      /* wall_offset_ms was learned */
    int64_t wall_offset_ms; /* its wall clock minus our monotonic one */
    uint64_t hello_us;      /* when it was last sent a HELLO */
    uint64_t store_id;      /* of the process that welcomed us */
    uint64_t generation;    /* of it */
    struct addr advertised; /* where it said in its own HELLO that it listens; port 0: not heard of */
    uint64_t advertised_generation;
    uint64_t twin_generation; /* of a process that said HELLO while the member's own was connected */
    uint64_t twin_since_us;
    uint64_t retry_us;            /* it refused us and is left alone until then; UINT64_MAX: no */
    bool guest;                   /* it refused us because we are no member, and hears us all the same */
    uint64_t epoch;               /* of the ring that it has adopted, as far as we heard */
    uint64_t dead_since_us;       /* as membership says; 0: it is not */
    struct msg_progress progress; /* its last word */
    struct log_limit refused;     /* it refused us, or is not who it should be */
};

struct peers {
    struct peer *items;
    uint32_t count;
    bool introduced;   /* somebody has welcomed this process: only then it gossips */
    uint32_t asked;    /* how often a peer was asked for the time */
    uint64_t asked_us; /* when last */
};

struct peer *peers_find(const struct node *n, uint32_t member);
const char *peers_name(const struct node *n, uint32_t member);
int peers_set(struct node *n); /* from the ring, or the founders before it. KV_E_NO_MEMORY */
void peers_connected(struct node *n, uint32_t member);
void peers_lost(struct node *n, uint32_t member);
void peers_dial_now(struct node *n, struct peer *p);
void peers_say_hello(struct node *n, struct peer *p);
/* Whoever refuses us is not asked again at the shell's pace. */
void peers_leave_alone(struct node *n, struct peer *p, uint64_t delay_us);
void peers_message(struct node *n, struct peer *p, struct message *m); /* WELCOME, REFUSED */
void peers_member_changes(struct node *n);
void peers_tick(struct node *n);
uint64_t peers_deadline_us(const struct node *n);
void peers_check(const struct node *n);
void peers_deinit(struct node *n);

/* ---- membership.c */

struct membership { /* one of the two, once this node is a member */
    struct swim *swim;
    struct hub *hub;
};

int membership_create(struct node *n); /* by the ring in force. KV_E_NO_MEMORY */
void membership_destroy(struct node *n);
bool membership_there(const struct node *n);
int membership_add(struct node *n, uint32_t member, const struct addr *addr); /* KV_E_NO_MEMORY */
void membership_remove(struct node *n, uint32_t member);
void membership_heard(struct node *n, uint32_t member, uint64_t generation, const struct addr *addr);
void membership_lost(struct node *n, uint32_t member); /* our connection to it broke */
int membership_lookup(const struct node *n, uint32_t member,
                      struct member_view *out);               /* KV_E_NOT_FOUND; self is alive */
bool membership_alive(const struct node *n, uint32_t member); /* or suspect */
bool membership_next_change(struct node *n, struct member_change *out);
void membership_datagram(struct node *n, const struct addr *from, const struct message *m);
void membership_message(struct node *n, struct endpoint from, const struct message *m); /* SYNC..., LIST... */
void membership_leave(struct node *n);
void membership_tick(struct node *n);
uint64_t membership_deadline_us(const struct node *n);
void membership_check(const struct node *n);

/* ---- centre.c */

int centre_config(struct node *n, const struct node_config *config, char error[256]);
uint64_t centre_cluster_hash(const struct node *n);
bool centre_is_here(const struct node *n);      /* this node is the hub */
bool centre_is_elsewhere(const struct node *n); /* there is a hub, and this node is not it */
bool centre_same(const struct node *n, const struct ring_value *v);
void centre_welcome(const struct node *n, struct msg_welcome *w);
const char *centre_text(const struct node *n);                          /* where the hub is, in the arena */
bool centre_coordinates(const struct node *n, const struct message *m); /* a client's REQUEST, SCAN */
bool centre_refuses(struct node *n, struct endpoint from, const struct message *m); /* of a client */

/* ---- conns.c: connections that others made to us, from their HELLO on ---- */

struct inbound {
    uint64_t id;
    uint32_t member; /* 0: a client, or a guest */
    bool guest;      /* a node that is no member: it may ask to become one, within a stranger's limits */
    uint64_t store_id;
    uint32_t requests;             /* a client's, not answered yet */
    char name[NAME_MAX_BYTES + 1]; /* a guest's */
};

#define GUESTS_MAX 16u

/* Someone with our cluster's name who is no member: a wiped founder, or a node that may join later. */
struct newcomer {
    char name[NAME_MAX_BYTES + 1];
    struct addr addr;
    uint64_t store_id;
    uint64_t generation;
    uint64_t seen_us;
};

#define CONN_REFUSALS 64u

struct conns {
    struct map map; /* conn id -> struct inbound */
    uint32_t clients;
    uint32_t guests;
    struct newcomer newcomers[NEWCOMERS_MAX];
    uint32_t newcomer_count;
    struct log_limit refused[CONN_REFUSALS]; /* by status */
};

struct inbound *conns_find(const struct node *n, uint64_t id);
void conns_hello(struct node *n, uint64_t id, const struct message *m);
void conns_tell_time(struct node *n, uint64_t conn, uint64_t id); /* a member has said HELLO again */
void conns_refuse(struct node *n, struct endpoint at, int status, const char *text);
void conns_closed(struct node *n, uint64_t id);
void conns_answered(struct node *n, uint64_t id);
void conns_ring_changed(struct node *n); /* closes those of members that are none any more */
void conns_deinit(struct node *n);

/* ---- adopt.c ---- */

struct adopt {
    struct ring *next;       /* on its way to the disk, or there and not in force yet; NULL: none */
    struct blob *next_value; /* its encoding */
    uint64_t known_us;       /* since when */
    bool written;            /* it is on disk */
    struct blob *value;      /* of n->ring */
    uint64_t asked_us;       /* a newer ring was last asked for */
    uint64_t retry_us;       /* the disk was full; UINT64_MAX: no */
    uint32_t member;         /* as which this store was taken into a ring, as the disk has it; 0: never */
    uint64_t mark_us;        /* that is written again then; UINT64_MAX: no */
};

uint64_t adopt_epoch(const struct node *n);
bool adopt_leaving(const struct node *n); /* the change under way is that this node goes */
bool adopt_stays(const struct node *n);   /* a member whether the change is undone or done */
void adopt_heard(struct node *n, struct endpoint from, uint64_t epoch);
void adopt_send(struct node *n, struct endpoint to, uint64_t id);
void adopt_message(struct node *n, const struct message *m);
void adopt_begin(struct node *n, struct bytes value);
void adopt_written(struct node *n, int status);
void adopt_look(struct node *n);                       /* a peer has another ring than it had */
int adopt_restore(struct node *n, struct bytes value); /* at create: KV_E_CORRUPT, KV_E_NO_MEMORY */
void adopt_start(struct node *n);
void adopt_marked(struct node *n, int status);
void adopt_tick(struct node *n);
uint64_t adopt_deadline_us(const struct node *n);
void adopt_deinit(struct node *n);

/* ---- stores.c ---- */

struct store_seen {
    uint64_t store_id;
    uint64_t generation; /* of the life that introduced itself last */
    uint64_t began;      /* sequence with which it began */
    uint64_t newest;     /* largest that was acknowledged, in this life or an earlier one */
};

struct stores {
    struct store_seen *items;
    uint32_t count, cap;
    uint64_t due_us; /* to be written then; UINT64_MAX: nothing new */
    uint64_t written_us;
};

/* A life of a member's store introduces itself. False: the store is older than it was. */
bool stores_began(struct node *n, uint64_t store_id, uint64_t generation, uint64_t sequence);
void stores_acknowledged(struct node *n, const struct peer *p, uint64_t sequence);
void stores_ring_changed(struct node *n);
int stores_restore(struct node *n, struct bytes in); /* at create: KV_E_CORRUPT, KV_E_NO_MEMORY */
void stores_tick(struct node *n);
uint64_t stores_deadline_us(const struct node *n);
void stores_deinit(struct node *n);

/* ---- join.c ---- */

struct join {
    struct addr *addrs; /* --join */
    uint32_t count;
    uint64_t due_us; /* somebody is asked, or heard of, again; UINT64_MAX: never */
    uint32_t turn;
    struct log_limit refused;
};

int join_init(struct node *n, const struct node_config *config, char error[256]);
bool join_active(const struct node *n); /* this node is no member and would like to be */
void join_start(struct node *n);
void join_refused(struct node *n, struct peer *p);                          /* p has made us its guest */
void join_message(struct node *n, struct peer *p, const struct message *m); /* CHANGE_REPLY */
void join_tick(struct node *n);
uint64_t join_deadline_us(const struct node *n);
void join_deinit(struct node *n);

/* ---- change.c ---- */

struct change {
    uint64_t due_us;      /* looked at again; UINT64_MAX: nothing is to be done */
    uint64_t seen_epoch;  /* the step below is of this ring */
    enum ring_step step;  /* that is next */
    uint64_t step_us;     /* when this node may propose it: it leaves others a lead */
    uint64_t orphan_us;   /* ... what somebody proposed and did not finish */
    uint64_t announced;   /* epoch that was decided here and told to the peers */
    uint64_t progress_us; /* PROGRESS is said again */
    struct msg_progress said;
    uint64_t said_epoch; /* under this ring */
};

void change_question(struct node *n, struct endpoint from, const struct message *m); /* PREPARE, ACCEPT */
void change_answer(struct node *n, const struct message *m); /* PROMISE, ACCEPTED, PREEMPTED */
void change_progress(struct node *n, const struct message *m);
void change_ring_changed(struct node *n);
void change_look(struct node *n); /* proposes what is next, if anything */
int change_propose(struct node *n, const struct ring_value *next,
                   const char *what); /* `what` is for the log */
struct msg_progress change_own_progress(const struct node *n);
void change_tick(struct node *n);
uint64_t change_deadline_us(const struct node *n);

/* ---- ask.c ---- */

#define ASKS_MAX 32u

/* One who waits to hear that a change is decided. */
struct ask {
    struct endpoint from;
    uint64_t id;
    struct ring_change change;
    uint64_t deadline_us;
};

struct asks {
    struct ask items[ASKS_MAX]; /* in order of arrival */
    uint32_t count;
    bool proposed; /* the first is what this node proposes for the next epoch */
};

void ask_message(struct node *n, const struct inbound *c, const struct message *m); /* CHANGE */
bool ask_propose(struct node *n); /* the first that is not decided yet; false: none */
void ask_look(struct node *n);    /* answers those that are decided or late */
uint64_t ask_deadline_us(const struct node *n);
const char *ask_text(struct node *n, const struct ring_change *c); /* in the arena */

/* ---- form.c ---- */

struct founder {
    char name[NAME_MAX_BYTES + 1];
    char zone[NAME_MAX_BYTES + 1];
    struct addr addr;
    uint32_t weight;
    uint64_t store_id;      /* 0: not heard of */
    uint64_t accepted_hash; /* what it says it has accepted durably */
};

struct form {
    struct founder *founders; /* in order of name: ids are index + 1 */
    uint32_t count;
    uint32_t self; /* index */
    uint64_t initial_hash;
    struct blob *accepted; /* epoch 1 as we accepted it; NULL: not yet */
    uint64_t accepted_hash;
    bool durable; /* ... and it is on disk, so it may be told */
    bool writing;
    uint64_t retry_us;
    struct founder caller; /* who is no founder, and has a ring; no name: nobody */
    struct log_limit mismatch, stuck;
};

int form_init(struct node *n, const struct node_config *config, char error[256]);
int form_hash(struct node *n); /* what founders must agree on, once it is known. KV_E_NO_MEMORY */
bool form_active(const struct node *n);
const struct founder *form_find(const struct node *n, const char *name);
uint32_t form_id(const struct node *n, const struct founder *f);
void form_start(struct node *n);
void form_called(struct node *n, const struct message *hello); /* by who is no founder */
uint32_t form_caller_id(const struct node *n); /* as a peer, behind the founders; 0: there is none */
void form_welcomed(struct node *n, const struct peer *p);
void form_message(struct node *n, struct endpoint from, uint32_t member, const struct message *m);
void form_written(struct node *n, int status);
void form_tick(struct node *n);
uint64_t form_deadline_us(const struct node *n);
void form_deinit(struct node *n);

/* ---- replica.c ---- */

struct replica_op {
    enum message_type type; /* MSG_WRITE, MSG_READ, MSG_RANGE, MSG_REQUEST (get --local); MSG_NONE: free */
    struct endpoint from;
    uint64_t id; /* of the message to be answered */
    uint64_t began_us;
    uint64_t epoch;     /* of the ring in force then */
    uint32_t serial;    /* changes with each use: a stale completion is noticed */
    uint32_t bytes;     /* booked */
    uint32_t next_free; /* index + 1 */
    uint8_t hint_count;
    uint32_t hints[HOLDERS_MAX];
};

struct replica {
    struct replica_op *ops;
    uint32_t cap;
    uint32_t first_free; /* index + 1; 0: none */
    uint32_t active;
    uint64_t bytes;
    uint32_t noting; /* active ones that keep a note for somebody */
    bool full;       /* the disk was, at the last write */
    uint64_t rows_written, reads, pages, stale, wrong_ring, refused;
};

void replica_message(struct node *n, struct endpoint from, struct message *m); /* WRITE, READ, RANGE */
void replica_local_get(struct node *n, struct endpoint from, const struct message *m);
void replica_written(struct node *n, const struct event *in);
void replica_read(struct node *n, const struct event *in);
void replica_page(struct node *n, const struct event *in);
bool replica_too_old(const struct node *n, uint64_t began_hlc);
void replica_check(const struct node *n);
void replica_deinit(struct node *n);

/* ---- move.c ---- */

#define PULLS_MAX 8u /* pages read at once for new homes */

/* A page that is read for a new home. */
struct pull {
    struct endpoint from;
    uint64_t id;    /* of the message to be answered */
    uint64_t epoch; /* of the ring in force then */
    uint64_t began_hlc;
    uint32_t serial;
    uint32_t bytes; /* booked; 0: free */
};

struct move {
    struct transfer *transfer; /* NULL: no member yet */
    struct drop *drop;
    struct buf noted; /* META_TRANSFER */
    struct pull pulls[PULLS_MAX];
    uint32_t active;
    uint32_t serial;
    uint64_t pulled_bytes; /* booked by pulls */
    struct rate rate;      /* of bytes read for others */
    uint64_t pages, bytes, refused;
};

int move_config(struct node *n, const struct node_config *config); /* KV_E_NO_MEMORY */
int move_create(struct node *n);                                   /* KV_E_NO_MEMORY */
int move_ring_set(struct node *n);                                 /* KV_E_NO_MEMORY */
void move_peer_set(struct node *n, uint32_t member, bool reachable);
void move_pull(struct node *n, struct endpoint from, const struct message *m);
void move_rows(struct node *n, const struct message *m);
void move_page(struct node *n, const struct event *in);
void move_written(struct node *n, const struct event *in);
void move_tick(struct node *n);
uint64_t move_deadline_us(const struct node *n);
uint64_t move_bytes_in_flight(const struct node *n);
void move_check(const struct node *n);
void move_deinit(struct node *n);

/* ---- heal.c ---- */

struct heal {
    struct entropy *entropy;
    uint64_t round_us; /* 0: only when asked */
};

void heal_config(struct node *n, const struct node_config *config);
int heal_create(struct node *n);   /* KV_E_NO_MEMORY */
int heal_ring_set(struct node *n); /* KV_E_NO_MEMORY */
void heal_question(struct node *n, struct endpoint from, const struct message *m);
void heal_answer(struct node *n, const struct message *m);
void heal_stored(struct node *n, const struct event *in);
void heal_order(struct node *n, struct endpoint from, uint64_t id); /* REPAIR */
void heal_tick(struct node *n);
uint64_t heal_deadline_us(const struct node *n);
void heal_deinit(struct node *n);

/* ---- sweep.c ---- */

int sweep_create(struct node *n);   /* KV_E_NO_MEMORY */
int sweep_ring_set(struct node *n); /* KV_E_NO_MEMORY */
void sweep_peer_set(struct node *n, uint32_t member, bool reachable);
void sweep_question(struct node *n, struct endpoint from, const struct message *m);
void sweep_answer(struct node *n, const struct message *m);
void sweep_stored(struct node *n, const struct event *in);
void sweep_wrote(struct node *n, const struct effect *e); /* EF_STORE_WRITE, EF_STORE_MERGE */
void sweep_tick(struct node *n);
uint64_t sweep_deadline_us(const struct node *n);
void sweep_deinit(struct node *n);

/* ---- front.c ---- */
struct front {
    uint64_t invalid_stamps, refused, unavailable, local_gets, scans;
};

void front_message(struct node *n, struct inbound *c, struct message *m); /* REQUEST, SCAN */
uint64_t front_bytes_in_flight(const struct node *n);

/* ---- hlc.c ---- */

struct hlc_state {
    bool begun;             /* the wall clock is in use */
    uint64_t wait_until_us; /* for peers' clocks, at most; 0: not waiting yet */
    uint64_t raw_wall_ms;   /* of this step, before peers are asked */
    uint64_t settled_us; /* clients are served from here on; UINT64_MAX: the first floor is not durable yet */
    uint64_t writing;    /* the floor on its way to the disk; 0: none */
    uint64_t due_us;     /* the floor is looked at again */
    bool retrying;       /* ... because the disk was full */
    uint64_t looked_us;
    int64_t ahead_ms;  /* of the median; below 0: behind */
    int64_t median_ms; /* of ours and our peers' wall clocks, less the monotonic clock */
    bool median_known;
    uint64_t refused; /* clocks of members and clients that were too far ahead */
    struct log_limit warn;
};

void hlc_begin(struct node *n, struct now now);
void hlc_look(struct node *n); /* compares with the peers: after a WELCOME, and now and then */
uint64_t hlc_now(const struct node *n);
uint64_t hlc_said(const struct node *n);
void hlc_heard(struct node *n, uint64_t hlc);
void hlc_handshake(struct node *n, uint64_t hlc);
bool hlc_settled(const struct node *n);
void hlc_end(struct node *n);
void hlc_written(struct node *n, int status);

/* ---- status.c ---- */

void status_send(struct node *n, struct endpoint to, uint64_t id);
void stats_send(struct node *n, struct endpoint to, uint64_t id);

/* ---- the node ---- */

struct node {
    char name[NAME_MAX_BYTES + 1];
    char cluster[NAME_MAX_BYTES + 1];
    char zone[NAME_MAX_BYTES + 1];
    uint32_t weight;
    struct addr addr;
    uint32_t replicas; /* N and Q to found with */
    uint32_t partitions;
    uint32_t value_max_bytes;
    uint64_t store_id;
    uint64_t generation;
    uint64_t sequence; /* of the store when this life began */
    uint64_t cluster_hash;
    enum topology topology;
    char hub[NAME_MAX_BYTES + 1]; /* its name; "": there is none */
    uint64_t centre_refused;      /* clients that were sent to the hub */
    struct swim_config swim_config;
    struct prng prng;

    uint32_t self;     /* member id; 0: none */
    struct ring *ring; /* in force; NULL: none yet */
    /* The parts: there once this node is a member. */
    struct membership membership;
    struct coord *coord;
    struct scans *scans;
    struct hints *hints;
    struct paxos *paxos;

    struct clock clock;
    struct hlc_state hlc;
    struct peers peers;
    struct conns conns;
    struct adopt adopt;
    struct form form;
    struct join join;
    struct stores stores;
    struct change change;
    struct asks asks;
    struct replica replica;
    struct front front;
    struct move move;
    struct heal heal;
    struct purge *purge;
    uint64_t purge_interval_us; /* 0: the default */
    uint32_t row_age_max_ms;
    uint64_t hints_max_bytes;
    bool started;
    bool stopping;
    bool exited;
    uint64_t stop_us;   /* at the latest */
    uint64_t misplaced; /* messages of a kind that its sender has no business to send */

    /* Of the step that is running. */
    struct now now;
    struct outbox *out;
    uint32_t looped; /* effects before this one have been looked at for the loop-back */
};

int parts_create(struct node *n); /* once n->self is known */
/* Ends this life; `text` is static or in the outbox's arena. */
void node_exit(struct node *n, int status, const char *text);
bool log_may(struct node *n, struct log_limit *limit);

#endif
