/* What the files of the transfer share.
 *
 *     transfer_plan.c   what this node gains, and from whom: a pure function of the ring
 *     transfer_note.c   how far it is, as bytes for the store, and back
 *     transfer_lane.c   whom to ask for what, and when
 *     transfer_page.c   pages that come
 *     transfer.c        the ring, the notes, time
 *
 * A partition that is gained is a `part`; each member that could be read for it makes a `stream`; all streams
 * of one member are its `lane`, which has TRANSFER_WINDOW slots for those that are read now. */
#ifndef REPAIR_TRANSFER_INTERNAL_H
#define REPAIR_TRANSFER_INTERNAL_H

#include "base/map.h"
#include "base/rate.h"
#include "model/id.h"
#include "repair/transfer.h"

struct part {
    uint32_t partition;
    uint32_t first_stream; /* its streams stand together */
    uint8_t stream_count;
    uint8_t need; /* streams that must be read to their end */
    uint8_t read; /* that are */
    bool done;
};

struct stream {
    uint32_t part;
    uint32_t lane;
    uint64_t token; /* all below it is durable here */
    bool begun;     /* its source was chosen */
    bool active;    /* a slot has it */
    bool done;      /* read to its end, durable */
};

enum slot_state {
    SLOT_FREE,
    SLOT_READY,   /* its next page may be asked for */
    SLOT_ASKED,   /* the source has been */
    SLOT_WRITING, /* the page is on its way to the disk */
};

/* A stream that is being read. */
struct slot {
    uint8_t state;   /* enum slot_state */
    uint8_t misses;  /* pages in a row that did not come */
    bool last;       /* WRITING: the page is the stream's last */
    uint32_t stream; /* index */
    uint32_t serial; /* of what was asked of source or store */
    uint32_t bytes;  /* ASKED: of the page at most; WRITING: of the page */
    uint64_t due_us; /* ASKED: the page is given up */
    uint64_t token;  /* the cursor: all up to it is durable */
    struct buf key;
    uint64_t next_token; /* WRITING: the cursor when it is */
    struct buf next_key;
};

struct lane {
    uint32_t member;
    bool reachable;
    uint32_t first, count; /* its run of plan.order */
    uint32_t next;         /* streams before this one have begun or are not needed now */
    uint64_t retry_us;     /* not before then */
    struct slot slots[TRANSFER_WINDOW];
};

struct plan {
    struct part *parts; /* in order of partition */
    uint32_t part_count;
    uint32_t parts_done;
    uint32_t parts_lost; /* with fewer old homes left than a majority */
    struct stream *streams;
    uint32_t stream_count;
    uint32_t *order; /* indexes of streams, lane by lane, in order of partition */
    struct lane *lanes;
    uint32_t lane_count;
    uint32_t partitions; /* Q */
};

/* KV_E_NO_MEMORY: `out` is empty then. */
int transfer_plan_create(const struct ring *ring, uint32_t self, struct plan *out);
void transfer_plan_deinit(struct plan *p);

/* A stream was read to its end. True: with it its part is taken over. */
bool transfer_stream_done(struct plan *p, struct stream *s);

/* How far `p` is under this source_epoch, appended to `out`. KV_E_NO_MEMORY. */
int transfer_note_encode(const struct plan *p, uint64_t source_epoch, struct buf *out);

/* The source_epoch of a note; 0: it is none. */
uint64_t transfer_note_epoch(struct bytes note);

/* Takes over what a note says of the parts of `p`; one that is damaged says less. */
void transfer_note_apply(struct bytes note, struct plan *p);

struct transfer {
    uint32_t self;
    uint32_t row_age_max_ms;
    struct rate rate; /* of bytes taken over */
    uint32_t page_bytes;
    const char *meta;
    struct map reachable; /* member id -> itself */
    struct buf noted;     /* the newest note known: of a former life, or a former source_epoch */

    uint64_t source_epoch; /* of the plan; 0: there is none */
    struct plan plan;
    uint64_t whole; /* source_epoch, once all of it is durable */
    bool busy;
    uint32_t serial;
    uint32_t asked;      /* slots that are ASKED */
    uint64_t held_bytes; /* of pages that are WRITING */
    uint64_t wake_us;    /* a tick is due */
    bool starved;        /* somebody waits for memory */
    bool changed;        /* something is not noted yet */
    bool noting;         /* a note is on its way to the disk, */
    bool noting_all;     /* and says that all is done */
    uint32_t note_serial;
    uint64_t note_us;                            /* not before then */
    uint64_t log_us;                             /* when to say that nothing can move */
    uint64_t refused_log_us, refused_suppressed; /* of log_allowed */
    uint64_t began_us;
    uint64_t plan_bytes; /* taken over under this plan */
    uint64_t sample_us, sample_bytes, sampled_rate;
    uint64_t newest_hlc;
    struct transfer_counters counters;
};

static inline void wake(struct transfer *t, uint64_t at_us)
{
    if (at_us < t->wake_us)
        t->wake_us = at_us;
}

static inline bool all_done(const struct transfer *t)
{
    return t->plan.parts_done == t->plan.part_count;
}

static inline struct stream *stream_of(struct transfer *t, const struct slot *s)
{
    return &t->plan.streams[s->stream];
}

/* ---- transfer_lane.c */

/* The serial of an id: which lane, which slot of it, which request. */
#define SLOT_BITS    4u
#define REQUEST_BITS 32u
#define NOTE_LANE    ((1u << (ID_SERIAL_BITS - REQUEST_BITS - SLOT_BITS)) - 1) /* the note is no lane's */
_Static_assert(TRANSFER_WINDOW <= 1u << SLOT_BITS, "a slot's index fits its bits");
_Static_assert(MEMBERS_MAX < NOTE_LANE, "a lane's index fits its bits");

uint64_t transfer_op(uint32_t lane, uint32_t slot, uint32_t serial);

/* The slot that an id is about, if it is in `state` for that; NULL: it is not any more. */
struct slot *transfer_slot_of(struct transfer *t, uint64_t op, enum slot_state state, struct lane **lane);

/* The page that was asked for is here, or will not come: READY. */
void transfer_slot_answered(struct transfer *t, struct slot *s);

/* READY -> FREE: the stream is for others, or for later. */
void transfer_slot_free(struct transfer *t, struct slot *s);

/* Asks for as many pages as may be asked for now. */
void transfer_pump(struct transfer *t, struct lane *lane, uint64_t now_us, struct outbox *out);

void transfer_lane_lost(struct transfer *t, struct lane *lane);

/* Gives up what did not come in time. */
void transfer_lane_late(struct transfer *t, struct lane *lane, uint64_t now_us);

/* What the sources of others could not give may be a source's to give that was passed over. */
void transfer_rewind(struct transfer *t, uint64_t now_us);

/* ---- transfer.c */

/* Notes how far it is, when it is time to. */
void transfer_note(struct transfer *t, uint64_t now_us, struct outbox *out);

/* False: not the completion of a note. */
bool transfer_noted(struct transfer *t, struct now now, const struct event *in, struct outbox *out);

#endif
