/* What a node remembers of its former lives, read from the store before it speaks (DESIGN sections 3, 5). */
#ifndef UV_BOOT_H
#define UV_BOOT_H

#include "base/buf.h"
#include "store/store.h"

struct boot {
    uint64_t store_id;   /* random, made with the store */
    uint64_t generation; /* of this life: one more than the last one's, synced already */
    uint64_t hlc_floor;
    struct buf ring;     /* META_RING, or empty */
    struct buf accepted; /* META_ACCEPTED, or empty */
    struct buf transfer; /* META_TRANSFER, or empty */
    uint64_t member;     /* META_MEMBER, or 0 */
    struct buf paxos;    /* META_PAXOS, or empty */
    struct buf stores;   /* META_STORES, or empty */
    uint64_t sequence;   /* the store's, all of it durable */
    bool fresh;          /* the store was made just now */
};

/* Reads it all, and begins a new life: the generation is raised and synced. KV_E_WRONG_CLUSTER when the store
 * belongs to another cluster (`error` says which), KV_E_CORRUPT, KV_E_IO. */
int boot_load(struct store *store, const char *cluster, struct boot *out, char error[256]);
void boot_deinit(struct boot *b);

#endif
