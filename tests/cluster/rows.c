/* A stopped node's rows: `rows list DIR` prints every one (key, stamp). `rows lose DIR N` deletes every N-th
 * behind the store's back, as a bad disk or a careless hand would: nothing is marked; it prints how many
 * went, and their bytes (keys and payloads). `rows forget DIR` drops the hashes that the store remembers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/engine.h"

static void die(const char *what, const char *why)
{
    fprintf(stderr, "rows: %s: %s\n", what, why);
    exit(1);
}

struct order {
    uint32_t every; /* 0: only list */
    uint64_t seen, lost, bytes;
};

static void lose(struct store *s, const struct page_entry *p)
{
    struct engine_key k;
    char *error = NULL;
    data_key(&k, key_token(p->key), p->key);
    rocksdb_delete_cf(s->db, s->write_synced, s->families[FAMILY_DATA], (const char *)k.data, k.len, &error);
    if (error)
        die("delete", error);
}

static void visit(struct store *s, struct order *o, const struct page_entry *p)
{
    if (o->every == 0) {
        printf("%.*s %" PRIu64 " %" PRIu64 "\n", (int)p->key.len, (const char *)p->key.data, p->row.stamp.hlc,
               p->row.stamp.origin);
    } else if (o->seen++ % o->every == 0) {
        o->lost++;
        o->bytes += p->key.len + blob_bytes(p->row.payload).len;
        lose(s, p);
    }
}

static void walk(struct store *s, struct order *o)
{
    struct buf key = {0};
    struct cursor at = {0};
    struct arena arena;
    bool done = false;
    arena_init(&arena, 64u << 20);
    while (!done) {
        struct store_run run = {.after = at};
        struct page_entry *entries;
        uint32_t count;
        struct cursor next;
        int rc = store_rows(s, &run, &arena, &entries, &count, &next, &done);
        if (rc != KV_OK)
            die("read", kv_error_text(rc));
        for (uint32_t i = 0; i < count; i++) {
            visit(s, o, &entries[i]);
            row_release(&entries[i].row);
        }
        if (buf_set(&key, next.key))
            die("read", kv_error_text(KV_E_NO_MEMORY));
        at = (struct cursor){next.token, buf_bytes(&key)};
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    buf_deinit(&key);
}

/* One byte is where each kind of record begins, and there are three. */
static void forget(struct store *s)
{
    char *error = NULL;
    rocksdb_delete_range_cf(s->db, s->write_synced, s->families[FAMILY_TREE], "\0", 1, "\3", 1, &error);
    if (error)
        die("forget", error);
}

int main(int argc, char **argv)
{
    struct order order = {0};
    char error[STORE_ERROR_MAX] = "";
    struct store_options options = {.block_cache_bytes = 8u << 20};
    struct store *s;
    if (argc == 4 && strcmp(argv[1], "lose") == 0)
        order.every = (uint32_t)strtoul(argv[3], NULL, 10);
    else if (argc != 3 || (strcmp(argv[1], "list") != 0 && strcmp(argv[1], "forget") != 0))
        die("usage", "rows list DIR | rows lose DIR N | rows forget DIR");
    if (store_open(argv[2], &options, &s, error) != KV_OK)
        die(argv[2], error);
    if (strcmp(argv[1], "forget") == 0)
        forget(s);
    else
        walk(s, &order);
    if (order.every)
        printf("%" PRIu64 " %" PRIu64 "\n", order.lost, order.bytes);
    store_close(s);
    return 0;
}
