/* What the files of the purge share. Private: nobody else includes it.
 *
 *     purge.c         create, ring, members, time, dispatch, counters
 *     purge_mark.c    which partitions may have dead rows, and from when on
 *     purge_round.c   a round: the driver's side
 *     purge_guard.c   what a member answers, the keys it watches, the partitions it holds
 */
#ifndef REPAIR_PURGE_INTERNAL_H
#define REPAIR_PURGE_INTERNAL_H

#include "base/assert.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "kv_error.h"
#include "model/id.h"
#include "repair/purge.h"

/* The serial of an id: which side, its index in that side's table, and what was asked for, so that an answer
 * to a former question is told apart. */
#define SERIAL_BITS 44u
#define INDEX_BITS  11u
_Static_assert(PURGE_ROUNDS_MAX <= 1u << INDEX_BITS && PURGE_ASKS_MAX <= 1u << INDEX_BITS, "an index fits");
_Static_assert(1 + INDEX_BITS + SERIAL_BITS == ID_SERIAL_BITS, "the parts are the whole");

enum purge_side { SIDE_ROUND, SIDE_ASK };

static inline uint64_t purge_id(enum purge_side side, uint32_t index, uint64_t serial)
{
    uint64_t low = serial & ((UINT64_C(1) << SERIAL_BITS) - 1);
    return id_make(ID_PURGE,
                   (uint64_t)side << (INDEX_BITS + SERIAL_BITS) | (uint64_t)index << SERIAL_BITS | low);
}

static inline enum purge_side purge_id_side(uint64_t id)
{
    return id_serial(id) >> (INDEX_BITS + SERIAL_BITS) ? SIDE_ASK : SIDE_ROUND;
}

static inline uint32_t purge_id_index(uint64_t id)
{
    return (uint32_t)(id_serial(id) >> SERIAL_BITS) & ((1u << INDEX_BITS) - 1);
}

/* ---- purge_mark.c */

struct mark {
    bool driven;           /* by this node, under the latest STABLE ring */
    bool looking;          /* its rows are being listed: `resume_token` */
    uint8_t idle;          /* rounds in a row whose keys all dropped out; at most PURGE_BACKOFF_MAX */
    uint64_t due_hlc;      /* from this hybrid time on there may be a row to purge; 0: none is known of */
    uint64_t look_us;      /* not looked at before */
    uint64_t resume_token; /* where the next page begins */
};

/* When a row may be purged: dead on everybody's clock. 0: it is alive for ever. */
uint64_t mark_due_hlc(const struct row *row);

/* Something there may be purged from `due_hlc` on. */
void mark_set(struct purge *p, const struct purge_turn *t, uint32_t partition, uint64_t due_hlc);

/* Rows were left over, or the look was broken off: another one later, the later the more of them were in vain
 * (`idle`). */
void mark_again(struct purge *p, const struct purge_turn *t, uint32_t partition);

/* What a ring makes of the marks. KV_E_NO_MEMORY. */
int marks_ring_set(struct purge *p, const struct purge_turn *t);

/* The next partition to list; UINT32_MAX: none now, and `look_us` says when. */
uint32_t marks_next(struct purge *p, const struct purge_turn *t);

/* ---- purge_round.c */

enum round_state {
    ROUND_FREE,
    ROUND_FENCED,   /* the store was asked to say when all it was given before is to be seen */
    ROUND_LISTING,  /* ... for a page of headers */
    ROUND_PAUSED,   /* ... and will be for the next */
    ROUND_SAME,     /* messages are out */
    ROUND_NONE,     /* ... */
    ROUND_WAITING,  /* for the clocks */
    ROUND_STILL,    /* ... */
    ROUND_DELETING, /* ... */
    ROUND_STATES
};

/* One key of a round. */
struct round_row {
    uint32_t at; /* of the key in `keys` */
    uint16_t len;
    bool lost; /* it failed the step at hand */
    struct stamp stamp;
};

#define MEMBER_WORDS (MEMBERS_MAX / 64)

struct round {
    struct heap_node timer;
    uint8_t state; /* enum round_state */
    bool lagging;  /* somebody's clock was not there yet */
    bool left;     /* a key dropped out */
    uint32_t index;
    uint32_t partition;
    uint64_t name;       /* what members know it by: the driver's clock, never the same twice */
    uint64_t serial;     /* of what was asked last */
    uint64_t lag_end_us; /* no longer is a late clock waited for */
    uint64_t after_hlc;  /* of the step at hand */
    uint64_t clock_hlc;  /* the largest that was answered, and the latest death of a row */
    uint32_t count;
    struct round_row rows[STORE_KEYS_MAX];
    struct buf keys;
    uint64_t missing[MEMBER_WORDS]; /* members, by index, that have not done the step at hand */
    uint64_t pending[MEMBER_WORDS]; /* ... whose answer to the latest message is awaited */
};

/* Lists a partition. False: no memory, or no room. */
bool round_begin(struct purge *p, const struct purge_turn *t, uint32_t partition);
void round_due(struct purge *p, const struct purge_turn *t, struct round *r);
void round_stored(struct purge *p, const struct purge_turn *t, struct round *r, const struct event *in);
void round_answered(struct purge *p, const struct purge_turn *t, struct round *r, uint32_t member,
                    const struct msg_purge_reply *reply);
void round_end(struct purge *p, const struct purge_turn *t, struct round *r, enum purge_end why);
void rounds_end(struct purge *p, const struct purge_turn *t, enum purge_end why);
void rounds_member_lost(struct purge *p, const struct purge_turn *t, uint32_t member);

/* Whether a round has something under way. */
static inline bool round_talks(const struct round *r)
{
    return r->state != ROUND_FREE && r->state != ROUND_WAITING;
}

/* ---- purge_guard.c */

/* Keys of one round, watched. */
struct watch {
    struct list link;   /* in purge.watches, oldest first */
    struct watch *next; /* of the same partition */
    uint32_t partition;
    uint64_t round;
    uint64_t until_us;
    uint32_t count;
    uint64_t touched[STORE_KEYS_MAX / 64]; /* something was found, or has come */
    uint64_t tokens[];
};

/* Anti-entropy is kept off a partition. */
struct hold {
    struct list link; /* in purge.holds, oldest first; or in purge.ended */
    uint32_t partition;
    uint64_t round;
    uint64_t until_us;
    bool told;
};

/* What a member keeps for a partition. */
struct guard {
    struct watch *watches;
    uint64_t last_round; /* the newest whose watch was begun */
};

/* A question that the store is looking into. */
struct ask {
    uint8_t step; /* enum purge_step */
    uint32_t index;
    uint64_t serial;
    struct endpoint from;
    uint64_t id; /* of the message */
    uint32_t partition;
    uint64_t round;
    uint32_t count;
    struct stamp stamps[]; /* PURGE_SAME, PURGE_STILL */
};

int guards_ring_set(struct purge *p);
void guard_asked(struct purge *p, const struct purge_turn *t, struct endpoint from, uint32_t member,
                 bool busy, const struct message *m);
void guard_stored(struct purge *p, const struct purge_turn *t, struct ask *a, const struct event *in);
void guard_wrote(struct purge *p, uint32_t partition, uint64_t token);
void guards_expire(struct purge *p, uint64_t now_us);
uint64_t guards_deadline_us(const struct purge *p);
void guards_clear(struct purge *p);
void guards_check(const struct purge *p);

/* ---- purge.c */

struct purge {
    struct purge_config config;
    const struct ring *ring; /* NULL: none yet */
    /* Members that can be reached, in no order; this node is not among them. */
    uint32_t *up;
    uint32_t up_count, up_cap;
    bool all_up;
    uint32_t partitions; /* of the tables */
    struct mark *marks;
    struct guard *guards;
    uint32_t *driven; /* partitions */
    uint32_t driven_count;
    uint32_t next_driven; /* where the search for the next look goes on */
    uint64_t look_us;     /* when it does */
    struct heap timers;
    struct round *rounds[PURGE_ROUNDS_MAX]; /* NULL: free */
    uint32_t round_count, talking, listing;
    uint64_t held_bytes;
    uint64_t last_name;
    uint64_t serial;
    struct ask *asks[PURGE_ASKS_MAX];
    struct list watches, holds, ended;
    uint64_t watched;
    struct purge_counters counters;
};

/* A ring is in force under which rounds may be. */
static inline bool purge_stable(const struct purge *p)
{
    return p->ring && p->ring->value.phase == RING_STABLE;
}

/* Whether a hybrid time is past, for good. */
static inline bool turn_past(const struct purge_turn *t, uint64_t hlc)
{
    return t->said > hlc;
}

/* When it will be, as far as one can tell; now, if it is. */
uint64_t turn_when_us(const struct purge_turn *t, uint64_t hlc);

/* A new look may be possible at once. */
void purge_look(struct purge *p, uint64_t at_us);

#endif
