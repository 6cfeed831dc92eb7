/* The store's own memory of who it is. */
#include "uv/boot.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "kv_error.h"
#include "node/node.h"

/* An 8-byte value; absent is 0. */
static int get_u64(struct store *store, const char *name, uint64_t *out)
{
    struct buf b = {0};
    *out = 0;
    int rc = store_meta_get(store, name, &b);
    if (rc == KV_OK && b.len == 8)
        *out = be64_get(b.data);
    else if (rc == KV_OK)
        rc = KV_E_CORRUPT;
    buf_deinit(&b);
    return rc == KV_E_NOT_FOUND ? KV_OK : rc;
}

static int put_u64(struct store *store, const char *name, uint64_t v)
{
    uint8_t bytes[8];
    be64_put(bytes, v);
    return store_meta_put(store, name, bytes_of(bytes, sizeof bytes));
}

static int get_optional(struct store *store, const char *name, struct buf *out)
{
    int rc = store_meta_get(store, name, out);
    return rc == KV_E_NOT_FOUND ? KV_OK : rc;
}

static int check_cluster(struct store *store, const char *cluster, char error[256])
{
    struct buf b = {0};
    int rc = store_meta_get(store, META_CLUSTER, &b);
    if (rc == KV_E_NOT_FOUND) {
        rc = store_meta_put(store, META_CLUSTER, bytes_str(cluster));
    } else if (rc == KV_OK && !bytes_eq(buf_bytes(&b), bytes_str(cluster))) {
        snprintf(error, 256, "the data belongs to cluster '%.*s', not '%s'", (int)(b.len > 64 ? 64 : b.len),
                 (const char *)b.data, cluster);
        rc = KV_E_WRONG_CLUSTER;
    }
    buf_deinit(&b);
    return rc;
}

int boot_load(struct store *store, const char *cluster, struct boot *out, char error[256])
{
    *out = (struct boot){0};
    snprintf(error, 256, "the store's own records cannot be read");
    int rc = check_cluster(store, cluster, error);
    if (rc == KV_OK)
        rc = get_u64(store, META_STORE_ID, &out->store_id);
    if (rc == KV_OK && out->store_id == 0) {
        out->fresh = true;
        if (getrandom(&out->store_id, sizeof out->store_id, 0) != sizeof out->store_id)
            return KV_E_IO;
        rc = put_u64(store, META_STORE_ID, out->store_id);
    }
    if (rc == KV_OK)
        rc = get_u64(store, META_GENERATION, &out->generation);
    if (rc == KV_OK)
        rc = put_u64(store, META_GENERATION, ++out->generation);
    if (rc == KV_OK)
        rc = get_u64(store, META_FLOOR, &out->hlc_floor);
    if (rc == KV_OK)
        rc = get_optional(store, META_RING, &out->ring);
    if (rc == KV_OK)
        rc = get_optional(store, META_ACCEPTED, &out->accepted);
    if (rc == KV_OK)
        rc = get_optional(store, META_TRANSFER, &out->transfer);
    if (rc == KV_OK)
        rc = get_u64(store, META_MEMBER, &out->member);
    if (rc == KV_OK)
        rc = get_optional(store, META_PAXOS, &out->paxos);
    if (rc == KV_OK)
        rc = get_optional(store, META_STORES, &out->stores);
    out->sequence = store_sequence(store); /* the generation was synced, and all before it with it */
    if (rc == KV_E_FULL)
        snprintf(error, 256, "the disk is full: a node must write a few bytes to start");
    return rc;
}

void boot_deinit(struct boot *b)
{
    buf_deinit(&b->ring);
    buf_deinit(&b->accepted);
    buf_deinit(&b->transfer);
    buf_deinit(&b->paxos);
    buf_deinit(&b->stores);
}
