/* Inside the store: what its files share. */
#ifndef SIM_STORE_STATE_H
#define SIM_STORE_STATE_H

#include "base/assert.h"
#include "base/list.h"
#include "sim/store.h"
#include "sim/table.h"

#define META_MAX 16u
struct meta {
    char name[32];
    struct buf value;
};

/* What a record was before an unsynced write. */
struct undo {
    uint64_t sequence; /* of the write: those of one batch go together */
    uint32_t member;
    struct buf key;
    bool there;
    struct row row;
    struct stamp stamp;
    uint64_t bytes;
};

struct sim_store {
    uint64_t id;
    uint64_t sequence;
    uint64_t durable; /* sequence of the newest write that a power cut would leave */
    bool full;
    bool lazy;
    struct undo *undo; /* oldest first */
    size_t undo_count, undo_cap;
    sim_store_lost_fn lost;
    void *lost_arg;
    struct witness *witness;
    uint32_t partitions; /* Q of the hash trees; 0: nobody has asked yet */
    struct table rows;
    struct table notes;
    struct meta meta[META_MAX];
    uint32_t meta_count;
    struct list jobs; /* volatile, in order of submission */
};

struct sim_job {
    struct list link;
    struct effect effect; /* its bytes are in `held` */
    struct buf held[2];
    struct row_version *versions; /* EF_STORE_DELETE: its keys are in `held` too */
    struct bytes *keys;           /* EF_STORE_HAS: likewise */
};

static inline void *must(void *p)
{
    KV_ASSERT(p);
    return p;
}

static inline bool is_noted(const struct sim_store *st, struct bytes key)
{
    for (size_t i = 0; i < st->notes.count; i++)
        if (bytes_eq(st->notes.records[i].at.key, key))
            return true;
    return false;
}

/* store_read.c: the answer to an effect that changes no row. */
void store_look(struct sim_store *st, const struct effect *e, struct arena *arena, struct event *out);

#endif
