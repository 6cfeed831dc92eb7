/* What members say of each other: the bodies of the messages of membership, and what comes of them. */
#ifndef MODEL_MEMBERSHIP_H
#define MODEL_MEMBERSHIP_H

#include "model/addr.h"

enum member_state { MEMBER_ALIVE = 0, MEMBER_SUSPECT = 1, MEMBER_DEAD = 2, MEMBER_LEFT = 3 };

const char *member_state_name(enum member_state state);

/* What membership, of whichever kind, says of a member. */
struct member_view {
    enum member_state state;
    uint64_t generation;
    uint32_t incarnation;
    struct addr addr;
    uint32_t rtt_us; /* smoothed, of direct probes; 0: none yet */
};

/* A change of state, generation or address. */
struct member_change {
    uint32_t member;
    enum member_state before;
    struct member_view now;
};

/* ---- messages */

/* What one member believes of another. (generation, incarnation, state) order it: SWIM section 4.2, with the
 * generation in front so that a restarted process needs no memory of its incarnations. */
struct gossip {
    uint32_t member;
    uint64_t generation;
    uint32_t incarnation;
    uint8_t state; /* enum member_state */
    uint32_t from; /* who suspects (Lifeguard counts independent suspicions) */
    struct addr addr;
};

/* PING, PING_REQ, ACK and NACK. `sequence` binds an answer to its probe. That the sender is alive at
 * (from_generation, from_incarnation) needs no gossip. */
struct msg_probe {
    uint32_t from;
    uint64_t from_generation;
    uint32_t from_incarnation;
    uint32_t target; /* PING, PING_REQ: who is meant; an answer from another id is no answer */
    uint32_t sequence;
    struct addr target_addr; /* PING_REQ */
    uint32_t count;
    const struct gossip *gossip; /* piggy-backed */
};

/* Push-pull: the table, or the sender's word alone with a digest of its table. */
struct msg_sync {
    uint32_t from;
    uint64_t digest;
    uint32_t count;
    const struct gossip *gossip;
};

/* HEARTBEAT, HEARTBEAT_ACK. */
struct msg_heartbeat {
    uint32_t from;
    uint64_t generation;
    uint64_t version; /* ACK: of the hub's list; 0: it has none to show yet */
    uint8_t flags;    /* enum heartbeat_flag */
};

enum heartbeat_flag {
    HEARTBEAT_LEAVING = 1 << 0, /* HEARTBEAT: the last one, it stops */
    HEARTBEAT_CALL = 1 << 1,    /* ACK that nobody asked for: are you there? */
};

/* LIST_GET: the list that the asker has. LIST: its entries that have changed after version `since`, up to
 * `version`. A hub's versions begin anew with each life of it. */
struct msg_list {
    uint64_t generation; /* of the hub's life whose list it is; LIST_GET: 0: none */
    uint64_t since;      /* 0: all entries */
    uint64_t version;    /* LIST */
    uint32_t count;
    const struct gossip *members;
};

#endif
