/* What the core wants done: the effects of one step, in order. The shell consumes them all before the next
 * step, and then calls outbox_reset. Each effect owns one reference of every row or blob in it. Borrowed
 * bytes either point into `arena` or into the event of this very step; the shell copies what it needs longer.
 */
#ifndef MODEL_OUTBOX_H
#define MODEL_OUTBOX_H

#include "base/arena.h"
#include "base/log.h"
#include "model/event.h"

enum effect_type {
    EF_NONE,        /* was consumed inside the node */
    EF_SEND,        /* a message to a peer or connection; dropped when that is gone */
    EF_DATAGRAM,    /* a message to an address */
    EF_PEER,        /* keep a connection dialled to this member at this address; port 0: no longer */
    EF_ACCEPT,      /* this connection said a valid HELLO: lift the stranger's limits; `member` 0: a client */
    EF_CLOSE,       /* flush, then close this connection (also a dialled one: it is dialled again later) */
    EF_STORE_WRITE, /* merge a row, and note hints, atomically; EV_STORE_WRITTEN */
    EF_STORE_MERGE, /* merge all rows of a pack, at once; EV_STORE_WRITTEN */
    EF_STORE_READ,  /* EV_STORE_READ */
    EF_STORE_META,  /* a named value, always synced; EV_STORE_WRITTEN */
    EF_STORE_RANGE, /* a page of the store's own rows in token order; EV_STORE_PAGE */
    EF_STORE_HINTS, /* a page of the notes for one member with their rows; EV_STORE_PAGE */
    EF_STORE_HINT_DONE, /* forget a note if it is not newer than `stamp`; EV_STORE_WRITTEN */
    EF_STORE_ROWS,      /* a page of rows of a run of tokens; EV_STORE_PAGE */
    EF_STORE_DELETE,    /* delete rows that are still what they were; EV_STORE_WRITTEN */
    EF_STORE_HAS,       /* which keys have a row or a note, after all writes before it; EV_STORE_HAS */
    EF_STORE_TREE,      /* the leaf hashes of a partition; EV_STORE_TREE */
    EF_STORE_TOTALS,    /* counts all notes, those written by now at least; EV_STORE_TOTALS */
    EF_LOG,
    EF_EXIT, /* leave: status 0 after EV_STOP, otherwise with a reason (duplicate id, wiped store, ...) */
};

struct effect {
    enum effect_type type;
    uint64_t op; /* store effects: given back with the completion */
    union {
        struct {
            struct endpoint to;
            struct message message;
        } send;
        struct {
            struct addr to;
            struct message message;
        } datagram;
        struct {
            uint32_t member;
            struct addr addr;
        } peer;
        struct {
            struct endpoint at;
            uint32_t member;
        } conn; /* EF_ACCEPT, EF_CLOSE */
        struct {
            struct bytes key;
            struct row row;
            uint8_t hint_count;
            uint32_t hints[HOLDERS_MAX];
        } write;
        struct {
            struct blob *pack; /* which pack_take was seen to take apart to the end */
        } merge;
        struct {
            struct bytes key;
            bool stamp_only; /* no payload wanted */
        } read;
        struct {
            const char *name; /* static: META_... of node.h */
            struct bytes value;
        } meta;
        struct {
            struct cursor after;
            struct bytes prefix;
            uint32_t limit; /* rows looked at, at most */
        } range;
        struct {
            uint32_t member;
            struct cursor after;
            uint32_t limit;
        } hints;
        struct {
            uint32_t member; /* whose note */
            struct bytes key;
            struct stamp stamp; /* of the row that was handed over */
            /* Also delete the data row, if it still has exactly this stamp and no other note names the key.
             * KV_E_AGAIN: it is newer by now, and the note stays. Set when this node is no home of the key.
             */
            bool drop_row;
        } hint_done;
        struct {
            struct cursor after;  /* {first token, no key}: from the first row of a run on */
            uint64_t until_token; /* the run ends before it; 0: at the end of all tokens */
            uint32_t limit;       /* rows at most; 0: SCAN_PAGE_MAX */
            uint32_t limit_bytes; /* of keys and payloads: the row that reaches it is the page's last;
                                   * 0: ROWS_PAGE_MAX_BYTES */
            bool headers;         /* no payloads wanted */
        } rows;
        struct {
            uint32_t count; /* 1..STORE_KEYS_MAX, each key once */
            /* A row goes only if it still has exactly this stamp. One batch: all of them at once. Not synced
             * whatever `--sync` says: a power cut may bring rows back. */
            const struct row_version *entries;
            bool unless_noted; /* and only if no hint of any member names the key */
        } remove;
        struct {
            uint32_t count; /* 1..STORE_KEYS_MAX */
            const struct bytes *keys;
        } has; /* sees all writes that were asked for before it */
        struct {
            uint32_t partition;
            uint32_t partitions; /* Q; the store keeps one tree, for one Q */
            /* Do not trust what is remembered of leaves that no write has touched: read all rows. When the
             * answer is KV_E_AGAIN, ask again without it. */
            bool rehash;
        } tree;
        struct {
            enum log_level level;
            const char *text;
        } log;
        struct {
            int status;
            const char *text;
        } exit;
    };
};

struct outbox {
    struct effect *effects; /* OUT_MAX of them, allocated once */
    uint32_t count;
    struct arena arena;
};

int outbox_init(struct outbox *out);
void outbox_deinit(struct outbox *out);

/* Drops what the effects own and empties the arena. The shell sets the type of an effect whose references it
 * has taken over to EF_NONE. */
void outbox_reset(struct outbox *out);

/* How many more effects fit. Components that could emit without bound look here first. */
static inline uint32_t outbox_room(const struct outbox *out)
{
    return OUT_MAX - out->count;
}

/* A new effect, zeroed but for its type, to be filled in. Asserts that there is room. */
struct effect *outbox_add(struct outbox *out, enum effect_type type);

/* The message of a new EF_SEND, zeroed but for its type and id: fill in its body. */
struct message *outbox_send(struct outbox *out, struct endpoint to, enum message_type type, uint64_t id);
struct message *outbox_datagram(struct outbox *out, const struct addr *to, enum message_type type);

/* A line cut at about 1 KiB. Dropped when there is no room: no log line is worth an effect. */
void outbox_log(struct outbox *out, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
