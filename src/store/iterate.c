/* Walks. An engine iterator that meets a damaged block ends just as it does behind the last key; this is the
 * only file that sees one, and there is no ending a walk without asking. */
#include "store/engine.h"

void walk_begin(struct walk *w, struct store *s, enum family family, struct bytes from, struct bytes to)
{
    pthread_rwlock_rdlock(&s->gate);
    engine_count_nothing();
    w->store = s;
    w->options = rocksdb_readoptions_create();
    /* Background work must not push out of the cache what clients read. */
    rocksdb_readoptions_set_fill_cache(w->options, 0);
    w->to.len = 0;
    engine_key_append(&w->to, to);
    if (to.len)
        rocksdb_readoptions_set_iterate_upper_bound(w->options, (const char *)w->to.data, w->to.len);
    w->it = s->db ? rocksdb_create_iterator_cf(s->db, w->options, s->families[family]) : NULL;
    walk_seek(w, from);
}

bool walk_valid(const struct walk *w)
{
    return w->it && rocksdb_iter_valid(w->it);
}

void walk_next(struct walk *w)
{
    rocksdb_iter_next(w->it);
}

void walk_seek(struct walk *w, struct bytes key)
{
    if (w->it)
        rocksdb_iter_seek(w->it, key.data ? (const char *)key.data : "", key.len);
}

struct bytes walk_key(const struct walk *w)
{
    size_t len = 0;
    const char *data = rocksdb_iter_key(w->it, &len);
    return bytes_of(data, len);
}

struct bytes walk_value(const struct walk *w)
{
    size_t len = 0;
    const char *data = rocksdb_iter_value(w->it, &len);
    return bytes_of(data, len);
}

int walk_end(struct walk *w)
{
    int status = KV_E_IO;
    if (w->it) {
        char *error = NULL;
        rocksdb_iter_get_error(w->it, &error);
        status = engine_status(error);
        rocksdb_iter_destroy(w->it);
    }
    rocksdb_readoptions_destroy(w->options);
    pthread_rwlock_unlock(&w->store->gate);
    return status;
}
