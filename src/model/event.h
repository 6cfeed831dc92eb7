/* What the shell tells the core, one event a step (DESIGN section 2). Everything an event points to is
 * borrowed for the call, except that rows and blobs inside a message are released by the shell after the
 * step: the core takes its own reference of what it keeps. */
#ifndef MODEL_EVENT_H
#define MODEL_EVENT_H

#include "model/message.h"

enum event_type {
    EV_START,          /* the first event of a life: the store is open, the sockets listen */
    EV_TICK,           /* node_deadline_us has come */
    EV_MESSAGE,        /* a whole frame: from an accepted or dialled connection */
    EV_DATAGRAM,       /* a whole datagram */
    EV_PEER_CONNECTED, /* the connection that EF_PEER asked for is there; say HELLO */
    EV_PEER_LOST,      /* ... is gone, or could not be made. The shell dials again by itself, with back-off */
    EV_CONN_CLOSED,    /* an accepted connection is gone */
    EV_STORE_WRITTEN,  /* EF_STORE_WRITE, _MERGE, _META, _HINT_DONE, _DELETE: durable as asked, or failed */
    EV_STORE_READ,     /* EF_STORE_READ */
    EV_STORE_PAGE,     /* EF_STORE_RANGE, EF_STORE_HINTS, EF_STORE_ROWS */
    EV_STORE_HAS,      /* EF_STORE_HAS */
    EV_STORE_TREE,     /* EF_STORE_TREE */
    EV_STORE_TOTALS,   /* EF_STORE_TOTALS */
    EV_STOP,           /* SIGTERM: take no more requests, finish those in flight, then EF_EXIT */
};

/* The other end of a connection. */
struct endpoint {
    uint64_t conn; /* an accepted connection, never used twice; 0: the dialled connection to `peer` */
    uint32_t peer; /* member id */
};

static inline struct endpoint to_peer(uint32_t member)
{
    return (struct endpoint){0, member};
}

static inline struct endpoint to_conn(uint64_t conn)
{
    return (struct endpoint){conn, 0};
}

/* What a store has of a key (EV_STORE_HAS). */
struct store_has {
    struct stamp row; /* of its row, dead or alive; {0, 0}: there is none */
    bool noted;       /* there is a hint for it, for whomever */
};

/* What there is of a member's notes (EV_STORE_TOTALS). */
struct hint_total {
    uint32_t member;
    uint64_t count;
    uint64_t bytes; /* of keys and encoded rows, each note's for its newest stamp */
};

/* One row of EV_STORE_PAGE. For EF_STORE_RANGE rows are header only, for EF_STORE_ROWS whole unless headers
 * were asked for. For EF_STORE_HINTS `row` is the data row as it is now (absent: purged meanwhile) and `hint`
 * the stamp that the note was made for; `unreadable`: there may be a row, but the disk does not give it. */
struct page_entry {
    struct bytes key;
    struct row row;
    struct stamp hint;
    bool unreadable;
};

struct event {
    enum event_type type;
    union {
        struct {
            struct endpoint from;
            struct message *message;
        } message;
        struct {
            struct addr from;
            struct message *message;
            uint32_t bytes; /* payload size as received: bounds what may be answered to a stranger */
        } datagram;
        uint32_t peer; /* EV_PEER_* */
        uint64_t conn; /* EV_CONN_CLOSED */
        struct {
            uint64_t op;
            int status;        /* KV_OK, KV_E_FULL; anything else ended the process before this event */
            uint64_t sequence; /* the store's newest that is on disk; this write's, if it was to be synced */
            uint32_t deleted;  /* EF_STORE_DELETE: how many rows went */
        } written;
        struct {
            uint64_t op;
            int status; /* KV_OK also for an absent row; KV_E_CORRUPT, KV_E_IO */
            struct row row;
        } read;
        struct {
            uint64_t op;
            int status;
            bool done; /* nothing is left behind `next` */
            struct cursor next;
            uint32_t count;
            const struct page_entry *entries;
        } page;
        struct {
            uint64_t op;
            int status; /* KV_OK; KV_E_CORRUPT, KV_E_IO: nothing is known */
            uint32_t count;
            const struct store_has *keys; /* of each key, in order */
        } has;
        struct {
            uint64_t op;
            int status; /* KV_OK; KV_E_AGAIN: a part is done, ask again; KV_E_FULL, KV_E_CORRUPT, KV_E_IO,
                         * KV_E_NO_MEMORY; KV_E_INVALID: another Q */
            uint32_t partition;
            const uint64_t *hashes; /* TREE_LEAVES of them; KV_OK only */
        } tree;
        struct {
            uint64_t op;
            int status; /* KV_OK; KV_E_CORRUPT, KV_E_IO, KV_E_NO_MEMORY: nothing is known */
            uint32_t count;
            const struct hint_total *members; /* those that have notes */
        } totals;
    };
};

#endif
