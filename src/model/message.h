/* Everything that nodes and clients say to each other, as plain structs. wire/ turns them to bytes and back;
 * nobody else knows how they look on the wire.
 *
 * Ownership: `struct bytes` and `const char *` are borrowed: from the receive buffer or arena for an arriving
 * message (valid during the step), from the sender's arena for a leaving one. Each row and blob owns one
 * reference; message_release drops them. */
#ifndef MODEL_MESSAGE_H
#define MODEL_MESSAGE_H

#include "model/addr.h"
#include "model/clock.h"
#include "model/membership.h"
#include "model/ring_value.h"
#include "model/row.h"
#include "model/topology.h"

#define PROTOCOL_VERSION 1u

enum message_type {
    MSG_NONE = 0,
    /* Opening a connection (TCP). */
    MSG_HELLO = 1,   /* dialler: who I am */
    MSG_WELCOME = 2, /* answer: who I am, what time it is */
    MSG_REFUSED = 3, /* answer to anything that is refused as a whole, by name */
    /* The ring. */
    MSG_RING_GET = 4, /* send me your ring */
    MSG_RING = 5,     /* answer to RING_GET, or pushed to who is behind */
    MSG_FOUND = 6,    /* between founders while no ring is there (DESIGN section 4) */
    /* A client's requests. */
    MSG_REQUEST = 10,
    MSG_RESPONSE = 11,
    MSG_SCAN = 12,
    MSG_SCAN_PAGE = 13,
    MSG_STATUS_GET = 14,
    MSG_STATUS = 15,
    MSG_STATS_GET = 16,
    MSG_STATS = 17,
    MSG_FAULT = 18, /* to a node started with --lab; handled in the shell */
    MSG_FAULT_REPLY = 19,
    /* Between coordinator and replica. */
    MSG_WRITE = 30,
    MSG_WRITE_ACK = 31,
    MSG_READ = 32,
    MSG_READ_REPLY = 33,
    MSG_RANGE = 34, /* one page of this node's own rows */
    MSG_RANGE_PAGE = 35,
    /* Membership: the first four are datagrams, the push-pull travels over TCP. */
    MSG_PING = 50,
    MSG_PING_REQ = 51,
    MSG_ACK = 52,
    MSG_NACK = 53,
    MSG_SYNC = 54,
    MSG_SYNC_REPLY = 55,
    /* Membership with a hub (hub/hub.h): the first two are datagrams, the list travels over TCP. */
    MSG_HEARTBEAT = 60,     /* a member: I am here */
    MSG_HEARTBEAT_ACK = 61, /* the hub: my list is at this version */
    MSG_LIST_GET = 62,      /* a member: what is new in it since mine? */
    MSG_LIST = 63,          /* the hub: answer to LIST_GET, or pushed to all */
    /* Deciding on the next ring (Lamport 2001: phases 1a, 1b, 2a, 2b), between members. */
    MSG_PREPARE = 70,
    MSG_PROMISE = 71,
    MSG_ACCEPT = 72,
    MSG_ACCEPTED = 73,
    MSG_PREEMPTED = 74, /* instead of PROMISE or ACCEPTED: a higher ballot was promised */
    /* Changing the ring. */
    MSG_CHANGE = 80,       /* an operator, or a node that wants to join, asks for a change */
    MSG_CHANGE_REPLY = 81, /* it is decided that it will be made; or it will not be */
    MSG_PROGRESS = 82,     /* between members: how far the sender has taken over what it gains */
    /* Moving partitions, from an old home to a new one. */
    MSG_PULL = 90, /* one page of a partition's rows, please */
    MSG_ROWS = 91,
    /* Anti-entropy, between homes of the same partitions. */
    MSG_ROOTS = 100,    /* my hashes of these partitions: which of yours differ? */
    MSG_LEAVES = 101,   /* these, and their leaves' hashes */
    MSG_COMPARE = 102,  /* the rows that I have in these leaves: what do you have that I have not? */
    MSG_COMPARED = 103, /* these rows; and those I miss */
    MSG_MERGE = 104,    /* rows that you miss */
    MSG_MERGED = 105,   /* they are durable */
    /* An operator's: hash everything again and compare it with everybody. */
    MSG_REPAIR = 106,
    MSG_REPAIR_REPLY = 107, /* it has begun */
    /* Purging dead rows (repair/purge.h), from a partition's first home to the members, itself included. */
    MSG_PURGE = 110, /* what have you of these rows? or: delete them */
    MSG_PURGE_REPLY = 111,
};

/* Who is at the other end of a connection. */
enum role { ROLE_CLIENT = 0, ROLE_MEMBER = 1 };

struct msg_hello {
    uint8_t role;
    const char *cluster; /* its name; the hash of it and of Q is in every header */
    const char *name;    /* of the node; "" for a client */
    uint32_t member_id;  /* 0: not (yet) a member */
    uint64_t store_id;
    uint64_t generation;
    struct addr addr;  /* where the sender listens; port 0 for a client */
    uint64_t sequence; /* of its store when this life of it began (DESIGN section 7, restored backups) */
    uint8_t topology;  /* enum topology, of a member */
    const char *hub;   /* its name, where there is one; "": none */
};

struct msg_welcome {
    const char *cluster;
    const char *name;
    uint32_t member_id;
    uint64_t store_id;
    uint64_t generation;
    uint64_t wall_ms; /* the node's wall clock: what a client carries forward (DESIGN section 3) */
    uint64_t ring_hash;
    uint32_t value_max_bytes;
    uint64_t sequence; /* as in HELLO */
    uint8_t topology;  /* enum topology */
    uint32_t hub;      /* member id; 0: none */
    const char *hub_name;
    struct addr hub_addr; /* where clients find it */
};

/* With id 0 it is about the connection, which is closed after it; with that of a question, about this one
 * alone. */
struct msg_refused {
    int32_t status;   /* KV_E_WRONG_CLUSTER, KV_E_VERSION, KV_E_DUPLICATE_ID, KV_E_OVERLOADED, ... */
    const char *text; /* one sentence for a person */
};

struct msg_ring {
    struct blob *value; /* ring_value encoding; NULL: none yet */
};

/* A founder's word: what it is, and the value it has accepted. */
struct msg_found {
    const char *name;
    uint64_t store_id;
    uint64_t initial_hash;  /* of the --initial list, Q, N and the cluster's name: must agree */
    uint64_t accepted_hash; /* ring_value_hash of the accepted epoch 1; 0: none yet */
    const char *zone;       /* of the sender: the value has every founder's */
    uint32_t weight;
    uint8_t wants_reply;
};

enum op { OP_GET = 1, OP_PUT = 2, OP_STAMP = 3 /* the newest stamp only: first round of a strict put */ };

enum request_flag {
    REQ_STRICT = 1 << 0,  /* only homes count */
    REQ_EXPLAIN = 1 << 1, /* tell the story */
    REQ_LOCAL = 1 << 2,   /* this node's own copy, nobody else asked (get) */
};

/* A delete is a put of a tombstone row. r, w: 0 means a majority of N. */
struct msg_request {
    uint8_t op;
    uint8_t flags;
    uint8_t r;
    uint8_t w;
    uint32_t timeout_us; /* what is left of the client's deadline */
    struct bytes key;
    struct row row; /* put: with the client's stamp */
};

enum trace_kind {
    TRACE_ASK = 1,    /* a replica was asked; `other`: beside it, for the slot moves between the two */
    TRACE_ANSWER,     /* and answered: stamp, status */
    TRACE_HEDGE,      /* another was asked because one is slow */
    TRACE_HINT,       /* asked as a fallback, with a hint for `other` */
    TRACE_WRITE_BACK, /* the newest row is sent to who had an older one */
    TRACE_SKIP,       /* not asked: cannot be reached */
    TRACE_DECIDE,     /* the answer was there */
};

struct trace_line {
    uint32_t at_us; /* since the request came in */
    uint8_t kind;
    uint32_t member;
    uint32_t other;
    int32_t status;
    struct stamp stamp;
};

/* Always with numbers (DESIGN section 6). */
struct msg_response {
    int32_t status;
    uint8_t asked;
    uint8_t acked;
    uint8_t needed;
    uint8_t hinted;
    uint8_t reachable; /* replicas that could have been asked, for `unavailable` */
    uint8_t proven;    /* not_found: absence is proven, not only likely */
    uint32_t coordinator;
    uint32_t us;    /* spent in the coordinator */
    struct row row; /* get: the live row; stamp: the newest stamp, no payload */
    uint8_t trace_count;
    const struct trace_line *trace;
};

/* Where a scan is: behind this key in token order. token 0 and no key: the beginning. */
struct cursor {
    uint64_t token;
    struct bytes key;
};

struct msg_scan {
    struct cursor after;
    struct bytes prefix;
    uint32_t limit;          /* rows to return at most; 0: SCAN_PAGE_MAX */
    uint8_t strict_complete; /* refuse (unavailable) unless every partition is covered by N-W+1 homes */
    uint32_t timeout_us;
};

struct scan_entry {
    struct bytes key;
    struct row row; /* header only, except in dumps; payload NULL in scan pages */
};

struct msg_scan_page {
    int32_t status;
    uint8_t done;     /* nothing behind `next` */
    uint8_t complete; /* enough homes of every partition answered */
    struct cursor next;
    uint32_t count;
    const struct scan_entry *entries;
};

/* What a member is to a ring that changes. */
enum ring_state {
    RING_STATE_NONE = 0, /* no member: a newcomer, a founder before there is a ring */
    RING_STATE_NORMAL = 1,
    RING_STATE_JOINING = 2,
    RING_STATE_LEAVING = 3,
    RING_STATE_LEFT = 4,    /* by its own wish, and its place is taken */
    RING_STATE_REMOVED = 5, /* given up: the others take its place */
};

struct status_member {
    uint32_t id;
    const char *name;
    const char *zone;
    struct addr addr;
    uint8_t state;
    uint8_t in_ring; /* 0: known but no member of the ring (a newcomer) */
    uint64_t generation;
    uint32_t incarnation;
    uint32_t partitions;
    uint32_t rtt_us; /* 0: unknown */
    uint32_t weight;
    uint8_t ring;             /* enum ring_state */
    uint64_t epoch;           /* of the ring that it is known to have adopted; 0: not heard of */
    uint32_t partitions_done; /* while the ring changes: what it has taken over, of what it gains */
    uint32_t partitions_total;
    uint64_t moved_bytes; /* and what that came to */
};

struct msg_status {
    const char *cluster;
    uint32_t seen_by;
    const char *seen_by_name;
    uint64_t ring_hash;
    uint64_t ring_epoch;
    uint8_t phase;    /* enum ring_phase */
    uint8_t topology; /* enum topology */
    uint32_t hub;     /* member id; 0: none */
    uint32_t queue_count;
    const char *const *queue; /* changes asked for, as text; the first is under way unless STABLE */
    uint32_t count;
    const struct status_member *members;
};

struct stat_value {
    const char *name; /* "ops_get_ok": unit at the end where it has one */
    uint64_t value;
};

struct msg_stats {
    uint32_t count;
    const struct stat_value *stats;
};

/* One order to the fault hook of a node (uv/fault.h). */
struct msg_fault {
    uint8_t kind;  /* enum fault_kind of uv/fault.h */
    uint32_t from; /* member id; 0: any */
    uint32_t to;
    uint32_t percent; /* drop, duplicate: how often */
    uint32_t amount;  /* delay in ms, skew in ms + 2^31, ... */
};

struct msg_fault_reply {
    int32_t status;
    uint32_t count;
    const struct msg_fault *rules; /* those in force */
};

/* A row on its way to a replica. `began_hlc`: when its request began or its content was read; older than
 * ROW_AGE_MAX_MS is refused (purge relies on it). `hints`: members this row is also kept for, as a note. */
struct msg_write {
    struct bytes key;
    struct row row;
    uint64_t began_hlc;
    uint8_t flags; /* enum write_flag */
    uint8_t hint_count;
    uint32_t hints[HOLDERS_MAX];
};

enum write_flag {
    WRITE_HANDOFF = 1 << 0, /* a hint coming home; not a client's request */
    WRITE_BACK = 1 << 1,    /* read repair */
};

struct msg_write_ack {
    int32_t status;
    uint64_t sequence; /* the store's durable sequence (DESIGN section 7, restored backups) */
};

struct msg_read {
    struct bytes key;
    uint8_t stamp_only; /* leave the payload out */
};

struct msg_read_reply {
    int32_t status; /* KV_OK, also for an absent row */
    struct row row;
};

struct msg_range {
    struct cursor after;
    struct bytes prefix;
    uint32_t limit; /* rows read at most */
};

struct msg_range_page {
    int32_t status;
    uint8_t done;
    struct cursor next; /* everything up to here has been looked at */
    uint32_t count;
    const struct scan_entry *entries;
};

/* Rounds grow, and the member's id makes no two alike. {0, 0} is below every ballot. */
struct ballot {
    uint64_t round;
    uint32_t member;
};

/* PREPARE, PROMISE, ACCEPT, ACCEPTED, PREEMPTED: one step of the instance that decides on `epoch`. */
struct msg_paxos {
    uint64_t epoch;
    struct ballot ballot; /* the proposer's, which an answer repeats */
    struct ballot other;  /* PROMISE: of the accepted value, {0, 0}: none; PREEMPTED: what was promised */
    struct blob *value;   /* PROMISE, ACCEPT: ring_value encoding; NULL: none */
};

struct msg_change {
    struct ring_change change; /* by name: `member` 0 stands for the member that is called `name` */
    uint32_t timeout_us;       /* what is left of the asker's deadline */
    uint8_t plan;              /* change nothing, tell what would move */
};

struct msg_change_reply {
    int32_t status;   /* KV_OK: it is in the ring's queue, or in force already */
    const char *text; /* one sentence for a person */
    uint64_t epoch;   /* of the ring that has it; of a plan: that it was made from */
    /* A plan: replicas of partitions that would move, least possible, all; and the busiest member's share of
     * the mean afterwards, in thousandths. */
    uint32_t moved, least, total, max_over_mean_milli;
};

struct msg_progress {
    uint64_t source_epoch; /* of the transfer that this is about (ring_value); 0: none */
    uint8_t whole;         /* all that it gains is taken over and durable */
    uint32_t partitions_done, partitions_total;
    uint64_t bytes;
};

/* What the asker does not have yet of a partition: its rows behind `after`. */
struct msg_pull {
    uint32_t partition;
    struct cursor after;
    uint32_t limit_bytes; /* of the page, but for a single row that is larger */
};

/* The rows of a page, in token order, packed (model/pack.h). `began_hlc`: when they were read. */
struct msg_rows {
    int32_t status;
    uint8_t done;       /* the partition has nothing behind `next` */
    struct cursor next; /* everything up to here has been looked at */
    uint64_t began_hlc;
    struct blob *pack; /* NULL: none */
};

struct partition_root {
    uint32_t partition;
    uint64_t hash; /* of its leaves' hashes; 0: it is empty */
};

struct msg_roots {
    uint32_t count;
    const struct partition_root *roots;
};

/* One partition that differs. Leaf hashes travel as 32 bits, mixed with the id of the question: two that are
 * alike by chance are not alike in the next round. */
struct partition_leaves {
    uint32_t partition;
    uint8_t held;        /* it is not compared now: its dead rows are being purged */
    uint64_t filled;     /* a bit for each leaf that has rows */
    struct bytes hashes; /* of those, four bytes each, in order */
};

struct msg_leaves {
    int32_t status; /* KV_E_WRONG_RING, KV_E_OVERLOADED, ... : none was compared */
    uint32_t count;
    const struct partition_leaves *partitions;
};

struct partition_leaf_set {
    uint32_t partition;
    uint64_t leaves; /* a bit for each */
};

/* Of the rows in these leaves, in token order, those behind `after`, up to `upto` and including it ({0, no
 * key}: to the end), and not younger than `until_hlc`, which may still be on their way. `digests`
 * (repair/digest.h) stand for what the asker has; all rows without one are wanted. With `fetch` they name
 * keys, and just those are wanted. */
struct msg_compare {
    struct cursor after, upto;
    uint64_t until_hlc;
    uint8_t fetch;
    uint32_t count;
    const struct partition_leaf_set *sets; /* in order of partition */
    struct blob *digests;                  /* NULL: none */
};

/* Both have the key of a digest, but not the same row. */
struct compare_conflict {
    uint32_t index; /* of the digest */
    struct stamp stamp;
};

struct msg_compared {
    int32_t status;
    uint8_t done;       /* the whole range was compared; else */
    struct cursor next; /* up to here */
    uint64_t began_hlc; /* the rows were not read before; older than ROW_AGE_MAX_MS is refused */
    struct bytes wants; /* a bit for each digest whose row is missed; zeros at the end left out */
    uint32_t count;
    const struct compare_conflict *conflicts;
    struct blob *pack; /* rows (model/pack.h); NULL: none */
};

struct msg_merge {
    uint64_t began_hlc; /* as in msg_compared */
    struct blob *pack;  /* rows (model/pack.h) */
};

struct msg_merged {
    int32_t status;
};

struct msg_repair_reply {
    int32_t status;
    uint32_t partitions; /* that will be compared */
    uint32_t peers;      /* and with how many */
};
/* The steps of a purge, in order (DESIGN section 7). */
enum purge_step {
    PURGE_SAME = 1,   /* to the homes: are these rows yours, exactly so? */
    PURGE_NONE = 2,   /* to the others: have you nothing of these keys? And from now on watch them */
    PURGE_STILL = 3,  /* to all: is it still so? */
    PURGE_DELETE = 4, /* to the homes: then delete each that is */
};

struct msg_purge {
    uint8_t step; /* enum purge_step */
    uint32_t partition;
    uint64_t round;     /* which, of this partition: the driver's clock when it began */
    uint64_t after_hlc; /* to be done only when the receiver's clock is beyond this */
    uint32_t count;     /* 1..STORE_KEYS_MAX */
    const struct row_version *rows;
};

struct msg_purge_reply {
    int32_t status;
    uint64_t hlc;        /* the sender's clock when it looked, however far that is ahead of its floor */
    struct bytes passed; /* a bit for each row, the lowest first: the answer is yes */
};

#define PURGE_BITS_BYTES (STORE_KEYS_MAX / 8)

struct message {
    enum message_type type;
    uint64_t id;         /* request id; an answer carries its request's */
    uint64_t cluster;    /* hash of cluster name and Q: cluster_hash() */
    uint64_t ring_epoch; /* the sender's */
    uint64_t hlc;        /* the sender's clock */
    uint32_t from;       /* set by the receiver: member id of the peer, 0 for a client */
    union {
        struct msg_hello hello;
        struct msg_welcome welcome;
        struct msg_refused refused;
        struct msg_ring ring;
        struct msg_found found;
        struct msg_request request;
        struct msg_response response;
        struct msg_scan scan;
        struct msg_scan_page scan_page;
        struct msg_status status;
        struct msg_stats stats;
        struct msg_fault fault;
        struct msg_fault_reply fault_reply;
        struct msg_write write;
        struct msg_write_ack write_ack;
        struct msg_read read;
        struct msg_read_reply read_reply;
        struct msg_range range;
        struct msg_range_page range_page;
        struct msg_probe probe;
        struct msg_sync sync;
        struct msg_heartbeat heartbeat;
        struct msg_list list;
        struct msg_paxos paxos;
        struct msg_change change;
        struct msg_change_reply change_reply;
        struct msg_progress progress;
        struct msg_pull pull;
        struct msg_rows rows;
        struct msg_roots roots;
        struct msg_leaves leaves;
        struct msg_compare compare;
        struct msg_compared compared;
        struct msg_merge merge;
        struct msg_merged merged;
        struct msg_repair_reply repair_reply;
        struct msg_purge purge;
        struct msg_purge_reply purge_reply;
    };
};

/* Drops the references of rows and blobs; borrowed parts are left alone. */
void message_release(struct message *m);

/* Bytes of keys and payloads it keeps alive: what counts against INFLIGHT_MAX_BYTES. */
size_t message_weight(const struct message *m);

/* The member that a datagram says it is from; 0: not a message that travels as one. */
uint32_t message_datagram_from(const struct message *m);

/* What a message is for: traffic is counted by it. */
enum message_class {
    CLASS_REQUEST, /* a client's requests and questions, and what they cost between nodes */
    CLASS_CONTROL, /* membership */
    CLASS_RING,    /* what the next ring is, and telling it */
    CLASS_REPAIR,  /* rows that move, are compared, are purged */
    CLASSES
};
enum message_class message_class(enum message_type type);

/* "WRITE_ACK"; "?" for a number that is no type. */
const char *message_name(enum message_type type);

/* What every header carries: other clusters' packets are refused by it. */
uint64_t cluster_hash(const char *cluster, uint32_t partitions);

const char *ring_state_name(enum ring_state state);

#endif
